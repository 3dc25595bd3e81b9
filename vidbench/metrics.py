"""Top-k, per class, F1 and confusion; NumPy only.

Two denominators run through this file. *Readable* videos are those a model has seen; *listed* videos are all that the
split names, where a skipped one counts as wrong. The second cannot be raised by losing hard videos.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from vidbench.intervals import clustered_proportion, proportion
from vidbench.intervals import wilson as wilson  # the course has it from here
from vidbench.records import STATUSES, Row


def true_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many other classes stand before the true one.

    A tie counts against us: a class with the same score stands before the true one, so a network that gives every
    class the same score is never right. NaN is never right either: a class with a NaN score stands before every
    other, and where the true class itself has one the rank is K.

    Args:
        scores: float, shape (N, K), higher is better.
        labels: int, shape (N,), the true class, in ``[0, K)``, or -1 where it is unknown.

    Returns:
        int64, shape (N,), in ``[0, K]``: right at top-k where below k; -1 where the label is unknown.

    Raises:
        ValueError: the shapes do not fit, or a label is out of range.

    >>> true_ranks(np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2]]), np.array([2, 0]))
    array([1, 1])
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(f"scores must be (N, K) and labels (N,), got {scores.shape} and {labels.shape}")
    num_classes = scores.shape[1]
    if labels.size and not (labels.min() >= -1 and labels.max() < num_classes):
        raise ValueError(f"labels must be in [0, {num_classes}) or -1, got {labels.min()} to {labels.max()}")
    true = np.take_along_axis(scores, np.maximum(labels, 0)[:, None].astype(np.int64), axis=1)
    ranks = (~(scores < true)).sum(axis=1) - 1  # minus the class itself; a comparison with NaN is false
    ranks = np.where(np.isnan(true[:, 0]), num_classes, ranks)
    return np.where(labels < 0, -1, ranks).astype(np.int64)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (..., K), float64, of logits (..., K); each row sums to 1."""
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts of videos by true class (rows) and best class (columns).

    Args:
        true: int, shape (N,), in ``[0, K)``.
        predicted: int, shape (N,), in ``[0, K)``, or -1 for a skipped video and for an answer that is no class here.
        num_classes: K.

    Returns:
        int64, shape (K, K + 1). The last column counts the -1, so every row sums to the listed videos of its class.
    """
    true, predicted = np.asarray(true, np.int64), np.asarray(predicted, np.int64)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"true and predicted must be (N,) both, got {true.shape} and {predicted.shape}")
    if true.size and (true.min() < 0 or true.max() >= num_classes):
        raise ValueError(f"true classes must be in [0, {num_classes}), got {true.min()} to {true.max()}")
    if true.size and (predicted.min() < -1 or predicted.max() >= num_classes):
        raise ValueError(f"predicted classes must be in [-1, {num_classes})")
    columns = np.where(predicted < 0, num_classes, predicted)
    counts = np.bincount(true * (num_classes + 1) + columns, minlength=num_classes * (num_classes + 1))
    return counts.reshape(num_classes, num_classes + 1)


def best_class(row: Row, index_of: dict[str, int]) -> int:
    """Index of a row's best class in the dataset's label space; -1 where skipped or outside it.

    ``index_of`` maps label to index. The name decides where name and index disagree, as they do when a model's own
    index was stored.
    """
    if not row.predicted or not row.top:
        return -1
    return index_of.get(row.top[0][0], -1)


def row_confusion(rows: Iterable[Row], labels: Sequence[str]) -> np.ndarray:
    """``confusion_matrix`` of rows whose label is in the label space; int64, shape (K, K + 1)."""
    index_of = {label: index for index, label in enumerate(labels)}
    pairs = [(row.label_index, best_class(row, index_of)) for row in rows if 0 <= row.label_index < len(labels)]
    true, predicted = np.array(pairs, np.int64).reshape(-1, 2).T
    return confusion_matrix(true, predicted, len(labels))


def per_class(rows: Sequence[Row], labels: Sequence[str]) -> list[dict]:
    """One dict per class with at least one listed video, in index order.

    Returns:
        dicts with ``label``, ``index``, ``n`` (listed), ``n_ok`` (predicted), ``correct`` (right at top-1),
        ``listed`` and ``readable`` (recall as ``proportion`` gives it), ``n_predicted`` (labelled videos given this
        class), ``precision`` (``None`` where no video was given it) and ``confused_with`` (the most frequent wrong
        class as ``{label, index, count}``, ties by index, or ``None``).
    """
    matrix = row_confusion(rows, labels)
    correct, seen = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int64)
    for row in rows:
        if 0 <= row.label_index < len(labels):
            correct[row.label_index] += is_correct(row, 1)
            seen[row.label_index] += row.predicted
    table = []
    for index in np.flatnonzero(matrix.sum(axis=1)):
        wrong = matrix[index, :-1].copy()
        wrong[index] = 0
        other, given = int(wrong.argmax()), int(matrix[:, index].sum())
        listed, ok, right = int(matrix[index].sum()), int(seen[index]), int(correct[index])
        confused = {"label": labels[other], "index": other, "count": int(wrong[other])} if wrong.any() else None
        table.append(
            {
                "label": labels[int(index)],
                "index": int(index),
                "n": listed,
                "n_ok": ok,
                "correct": right,
                "listed": proportion(right, listed),
                "readable": proportion(right, ok),
                "n_predicted": given,
                "precision": proportion(int(matrix[index, index]), given),
                "confused_with": confused,
            }
        )
    return table


def parent_matrix(matrix: np.ndarray, parents: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """A confusion matrix between categories of classes.

    Args:
        matrix: int64 (K, K + 1), as ``confusion_matrix`` gives it.
        parents: the category of each of the K classes.

    Returns:
        Names of the P categories in the order of their first class, and int64 (P, P + 1); the last column again counts
        skipped videos and answers that are no class.
    """
    names = list(dict.fromkeys(parents))
    member = np.array([[parent == name for parent in parents] for name in names], np.int64)
    square = member @ matrix[:, :-1] @ member.T
    return names, np.column_stack([square, member @ matrix[:, -1]])


def by_parent(matrix: np.ndarray, parents: Sequence[str]) -> list[dict]:
    """What became of the videos of each category, those with the lowest accuracy first.

    Returns:
        ``{parent, num_classes, n, right, within, outside, lost, confused_with}``: ``right`` as ``proportion`` gives it,
        of the class itself; counts of answers ``within`` the category that are another class of it, ``outside`` it, and
        videos ``lost``; ``confused_with`` the other category most often said as ``{parent, count}``, or ``None``.
    """
    names, summed = parent_matrix(matrix, parents)
    lines = []
    for place, name in enumerate(names):
        inside = [index for index, parent in enumerate(parents) if parent == name]
        n, right = int(summed[place].sum()), int(sum(matrix[index, index] for index in inside))
        if not n:
            continue
        others = summed[place, :-1].copy()
        others[place] = 0
        said = {"parent": names[int(others.argmax())], "count": int(others.max())} if others.any() else None
        line = {"parent": name, "num_classes": len(inside), "n": n, "right": proportion(right, n)}
        line |= {"within": int(summed[place, place]) - right, "outside": int(others.sum())}
        lines.append({**line, "lost": int(summed[place, -1]), "confused_with": said})
    return sorted(lines, key=lambda line: line["right"]["value"])


def is_correct(row: Row, k: int) -> bool:
    """Whether a row is right at top-k; skipped rows and rows of unknown rank are not."""
    return row.predicted and 0 <= row.rank < k


def summarise(
    rows: Sequence[Row], labels: Sequence[str], top_n: int = 5, *, unmapped: Sequence[str] | None = None
) -> dict:
    """All figures of a run, as written to ``metrics.json``. No value is NaN; what cannot be computed is ``None``.

    Args:
        rows: one a listed video.
        labels: class names of the dataset's label space, in index order.
        top_n: a further k for top-k accuracy, next to 1 and 5.
        unmapped: dataset classes that the model has no name for; ``None`` where labels were not mapped.

    Returns:
        - ``n_listed = n_ok + n_skipped``; ``n_ok`` counts every predicted video, ``n_partial`` how many of these were
          read in part; ``statuses`` the non-zero counts by status; ``n_labelled`` videos with a label.
        - ``readable`` and ``listed``: ``{top1, top5, ...}``, each as ``proportion`` gives it. ``readable`` covers
          predicted videos with a label; ``listed`` adds every skipped one as wrong. Videos predicted without a label
          are in neither. Without any label all are ``None``.
        - ``top1``, ``top5``: the same figures the other way round, ``{readable, listed}``.
        - ``mean_class_accuracy``: ``{readable, listed, n_classes_readable, n_classes_listed}``: unweighted means of
          the classes' recalls, over classes with a readable or a listed video.
        - ``macro_f1``: as ``macro_f1`` gives it.
        - ``clustered``: ``{top1, top5, ...}`` over listed videos, as ``intervals.clustered_proportion`` gives it;
          ``None`` where no two videos share a group.
        - ``n_groups``, ``largest_group``: of the listed videos; ``None`` where the list gives no groups.
        - ``per_class``, ``unmapped``, ``n_classes`` and ``notes``: a sentence for each figure that is left out.
    """
    statuses = Counter(row.status for row in rows)
    n_ok = sum(row.predicted for row in rows)
    n_labelled = sum(has_label(row) for row in rows)
    accuracy, notes = _accuracies(rows, len(labels), sorted({1, 5, top_n}))
    groups = Counter(row.group for row in rows if row.group)
    table = per_class(rows, labels)
    if n_labelled == 0:
        notes = ["Accuracy is left out: no listed video has a label."]
    return {
        "n_listed": len(rows),
        "n_ok": n_ok,
        "n_partial": statuses["partial"],
        "n_skipped": len(rows) - n_ok,
        "n_labelled": n_labelled,
        "statuses": {name: statuses[name] for name in STATUSES if statuses[name]},
        **{name: {over: accuracy[over][name] for over in accuracy} for name in accuracy["listed"]},
        "readable": accuracy["readable"],
        "listed": accuracy["listed"],
        "mean_class_accuracy": _mean_class_accuracy(table),
        "macro_f1": macro_f1(row_confusion(rows, labels)),
        "clustered": _clustered(rows, accuracy["listed"]) if groups and max(groups.values()) > 1 else None,
        "n_classes": len(labels),
        "n_groups": len(groups) or None,
        "largest_group": max(groups.values(), default=None),
        "unmapped": list(unmapped or ()),
        "notes": notes,
        "per_class": table,
    }


def has_label(row: Row) -> bool:
    """Whether the list gives this video a label, in the label space or not."""
    return row.label is not None or row.label_index >= 0


def is_counted(row: Row) -> bool:
    """Whether a row is in the denominator of the accuracy over listed videos, where any video has a label."""
    return has_label(row) or row.status == "bad_row"


def _clustered(rows: Sequence[Row], listed: dict) -> dict:
    """The accuracies over listed videos with intervals that know the groups; ``None`` for those that are left out."""
    kept = [row for row in rows if is_counted(row)]
    groups, result = [row.group for row in kept], {}
    for name, plain in listed.items():
        right = np.array([is_correct(row, int(name.removeprefix("top"))) for row in kept], bool)
        result[name] = clustered_proportion(right, groups) if plain else None
    return result


def macro_f1(matrix: np.ndarray) -> float | None:
    """Unweighted mean of the classes' F1 over listed videos; ``None`` where no class has a video.

    F1 of a class is ``2 right / (listed in it + given it)``. It is the mean over the classes that have a listed video;
    a class without one, which videos were given, lowers it through theirs.

    Args:
        matrix: int64 (K, K + 1), as ``confusion_matrix`` gives it.
    """
    listed, given = matrix.sum(axis=1), matrix[:, :-1].sum(axis=0)
    there = listed > 0
    if not there.any():
        return None
    return float((2 * np.diagonal(matrix)[there] / (listed + given)[there]).mean())


def _accuracies(rows: Sequence[Row], num_classes: int, ks: Sequence[int]) -> tuple[dict, list[str]]:
    """``({"readable": {"top1": ...}, "listed": ...}, notes)``; top-k of more than 1 needs more than k classes."""
    readable = [row for row in rows if row.predicted and has_label(row)]
    any_label = any(has_label(row) for row in rows)
    lost = sum(not row.predicted and is_counted(row) for row in rows)
    n_listed = len(readable) + lost if any_label else 0
    accuracy: dict[str, dict] = {"readable": {}, "listed": {}}
    notes: list[str] = []
    for k in ks:
        if k > 1 and num_classes <= k:
            accuracy["readable"][f"top{k}"] = accuracy["listed"][f"top{k}"] = None
            notes.append(f"Top-{k} is left out: among {num_classes} classes it says nothing.")
            continue
        right = sum(is_correct(row, k) for row in readable)
        accuracy["readable"][f"top{k}"] = proportion(right, len(readable))
        accuracy["listed"][f"top{k}"] = proportion(right, n_listed)
    return accuracy, notes


def _mean_class_accuracy(table: Sequence[dict]) -> dict:
    """Unweighted mean recall over the classes of ``per_class``, both ways; ``None`` where there is no class."""
    result = {}
    for over in ("readable", "listed"):
        values = [line[over]["value"] for line in table if line[over]]
        result[over] = math.fsum(values) / len(values) if values else None
        result[f"n_classes_{over}"] = len(values)
    return result


def percent(value: dict | None) -> str:
    """A ``proportion`` for people.

    >>> percent(proportion(139, 144))
    '96.5 % [92.1, 98.5]'
    """
    if value is None:
        return "not known"
    return f"{100 * value['value']:.1f} % [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"


def points(change: dict) -> str:
    """``-40.3 [-51.0, -28.6]``: a difference in points, with its interval."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * change[name] for name in ("value", "low", "high")))


def summary_line(metrics: dict) -> str:
    """The run in one line, over listed videos: ``top-1 96.5 % [92.1, 98.5], n=144 (0 skipped)``."""
    top1, skipped = metrics["listed"]["top1"], f"({metrics['n_skipped']} skipped)"
    if top1 is None:
        why = "no labels" if metrics["n_listed"] else "no videos"
        return f"top-1 not known ({why}), n={metrics['n_listed']} {skipped}"
    return f"top-1 {percent(top1)}, n={top1['n']} {skipped}"
