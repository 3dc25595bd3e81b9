"""What a model says and how often it is right: bars with intervals, and the confusion matrix."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from vidbench.intervals import proportion
from vidbench.metrics import per_class, percent
from vidbench.plots.figure import BLUE, INK, MOST_NAMES, MUTED, ORANGE, WIDTH, AltFigure, axes_at, styled, text_at
from vidbench.plots.words import check_num, fraction, short
from vidbench.records import ConfigError, Prediction
from vidbench.utils import plural, printable


@styled
def score_bars(predictions: Mapping, *, top: int = 5, truth: str | None = None) -> AltFigure:
    """The best classes of one or more predictions, a panel each.

    Args:
        predictions: name → ``Prediction``, or list of ``(label, score)``, or a row's ``top``; 1 to 6 of them. Scores
            that are not finite, as those of unmapped classes are, are left out.
        top: classes a panel.
        truth: the true class; its bar is blue, and named where it is not among the best.

    Raises:
        ConfigError: no prediction, too many, or one without a class.
    """
    panels = {str(name): _ranked(value, str(name)) for name, value in dict(predictions).items()}
    if not 1 <= len(panels) <= 6 or top < 1:
        raise ConfigError(f"score_bars draws 1 to 6 predictions and at least 1 class, not {len(panels)} and {top}.")
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    rows = min(top, max(map(len, panels.values())))
    height = 0.45 + 0.26 * rows + (0.2 if truth else 0)
    figure = AltFigure((WIDTH if columns > 1 else WIDTH * 0.7, lines * height), alt=_score_alt(panels, truth))
    for n, (name, ranked) in enumerate(panels.items()):
        _score_panel(figure, n, columns, height, name, ranked, min(top, rows), truth)
    return figure


def _score_panel(figure, n: int, columns: int, height: float, name: str, ranked, top: int, truth) -> None:
    width = figure.get_figwidth() / columns
    line, column = divmod(n, columns)
    label_room = min(0.5 * width, 0.12 + 0.075 * max(len(short(label, 18)) for label, _ in ranked[:top]))
    foot = 0.25 if truth else 0.05
    bottom = figure.get_figheight() - (line + 1) * height + foot
    axes = axes_at(figure, column * width + label_room, bottom, width - label_room - 0.45, height - 0.3 - foot)
    best = ranked[:top]
    known = [score for _, score in best]
    end = 1.0 if all(0 <= score <= 1 for score in known) else max(known) * 1.05
    colours = [BLUE if label == truth or truth is None else "#b3bcc6" for label, _ in best]
    axes.barh(range(len(best)), known, color=colours, height=0.7)
    for y, (label, score) in enumerate(best):
        axes.text(max(score, 0) + 0.02 * end, y, f"{score:.2f}", va="center", fontsize=8)
        axes.text(-0.02 * end, y, short(label, 18), va="center", ha="right", fontsize=8, weight=_weight(label == truth))
    axes.set_xlim(min(0, *known, 0), end)
    axes.set_ylim(top - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    text_at(
        figure,
        column * width + 0.05,
        bottom + height - 0.25 - foot,
        short(name, int(width * 11)),
        fontsize=9,
        weight="bold",
    )
    if truth:
        text_at(
            figure,
            column * width + 0.05,
            bottom - 0.2,
            short(_truth_words(ranked, truth), int(width * 14)),
            color=MUTED,
        )


def _weight(bold: bool) -> str:
    return "bold" if bold else "normal"


def _truth_words(ranked, truth: str) -> str:
    """Where the true class stands."""
    for place, (label, score) in enumerate(ranked, 1):
        if label == truth:
            return f"truth: place {place}, {score:.2f}, {truth}"
    return f"truth: not among them, {truth}"


def _ranked(value, name: str) -> list[tuple[str, float]]:
    """All classes of a prediction, best first, as they come where they are a list."""
    pairs = value.top(len(value.labels)) if isinstance(value, Prediction) else list(value)
    try:
        pairs = [(str(label), float(score)) for label, *_, score in pairs]
    except (TypeError, ValueError):
        raise ConfigError(f"{name}: give a Prediction, or a list of (label, score) pairs.") from None
    pairs = [pair for pair in pairs if math.isfinite(pair[1])]
    if not pairs:
        raise ConfigError(f"{name}: there must be at least one class with a finite score.")
    return sorted(pairs, key=lambda pair: -pair[1])


def _score_alt(panels, truth) -> str:
    words = []
    for name, ranked in panels.items():
        best = ", ".join(f"{label} {score:.2f}" for label, score in ranked[:3])
        words.append(f"{name}: {best}" + (f" ({_truth_words(ranked, truth)})" if truth else ""))
    return "Best classes. " + "; ".join(words) + "."


@styled
def accuracy_bars(
    counts: Mapping[str, tuple[int, int]], *, chance: float | None = None, what: str = "accuracy"
) -> AltFigure:
    """Accuracies with their 95 % Wilson intervals.

    Args:
        counts: name → (number correct, n).
        chance: accuracy of guessing, in [0, 1]: a dashed line.
        what: another word, where other shares than accuracies are drawn.

    Raises:
        ConfigError: no entry, counts that are no whole numbers, more correct than there are, or chance outside [0, 1].
    """
    lines = {str(name): _share(pair, str(name)) for name, pair in dict(counts).items()}
    if not lines:
        raise ConfigError("accuracy_bars needs at least one name with (number correct, n).")
    alt = f"{what[:1].upper()}{what[1:]} with 95 % intervals. " + "; ".join(
        f"{name}: {_percent_n(line)}" for name, line in lines.items()
    )
    alt += "." if chance is None else f". Chance is {100 * fraction(chance, 'chance'):.1f} %."
    figure = AltFigure((WIDTH, 0.75 + 0.34 * len(lines)), alt=alt)
    _interval_bars(figure, list(lines.items()), chance, f"{what} (%)")
    return figure


@styled
def per_class_bars(metrics_or_rows, labels=None, *, over: str = "listed", num: int = 30, chance=None) -> AltFigure:
    """Accuracy of each class with its 95 % Wilson interval, the lowest first.

    Args:
        metrics_or_rows: what ``vidbench.metrics.summarise`` or ``per_class`` returns, a run's ``metrics.json``, or
            rows; rows need ``labels``.
        labels: class names in index order.
        over: ``listed`` (skipped videos count as wrong) or ``readable``.
        num: classes to show at most: those with the lowest accuracy.
        chance: accuracy of guessing, in [0, 1]: a dashed line.

    Raises:
        ConfigError: no class, rows without labels, or another word for ``over``.
    """
    if over not in ("listed", "readable"):
        raise ConfigError(f"over must be 'listed' or 'readable', not {over!r}.")
    check_num(num, "class")
    table = _class_table(metrics_or_rows, labels)
    lines = [(str(line["label"]), line[over]) for line in table if line[over]]
    if not lines:
        raise ConfigError(f"No class has a {over} video with a label, so there is no accuracy to draw.")
    lines.sort(key=lambda line: (line[1]["value"], line[0]))
    shown = lines[:num]
    left_out = f" The {len(shown)} lowest of {len(lines)} classes are shown." if len(shown) < len(lines) else ""
    low, high = lines[0], lines[-1]
    alt = f"Accuracy of {plural(len(lines), 'class', 'classes')} over {over} videos, with 95 % intervals, from "
    alt += f"{low[0]} ({_percent_n(low[1])}) to {high[0]} ({_percent_n(high[1])}).{left_out}"
    figure = AltFigure((WIDTH, 0.75 + 0.24 * len(shown)), alt=alt)
    title = left_out.strip() or None
    _interval_bars(figure, shown, chance, f"accuracy over {over} videos (%)", title=title)
    return figure


def _class_table(given, labels) -> list[dict]:
    """Dicts as ``metrics.per_class`` makes them, from all that holds them."""
    if isinstance(given, Mapping):
        if "per_class" not in given:
            raise ConfigError("These metrics hold no 'per_class'; hand over what metrics.summarise returns.")
        return list(given["per_class"])
    given = list(given)
    if given and isinstance(given[0], Mapping):
        return given
    if labels is None:
        raise ConfigError("Rows need the class names too: per_class_bars(rows, labels).")
    return per_class(given, list(labels))


def _interval_bars(figure: AltFigure, lines, chance, axis: str, *, title=None) -> None:
    """Bars from 0 to 100 % with whiskers, and the numbers at the right."""
    room = min(2.4, 0.2 + 0.082 * max(len(short(name, 28)) for name, _ in lines))
    top = 0.35 if title else 0.25 if chance is not None else 0.1
    axes = axes_at(figure, room, 0.45, WIDTH - room - 2.25, figure.get_figheight() - 0.45 - top)
    for y, (_, line) in enumerate(lines):
        if line is None:
            continue
        value, low, high = (100 * line[key] for key in ("value", "low", "high"))
        axes.barh(y, value, color="#a9c6dc", height=0.62)
        axes.plot([low, high], [y, y], color=INK, lw=1.2, solid_capstyle="butt")
        axes.plot([low, low, np.nan, high, high], [y - 0.14, y + 0.14, np.nan, y - 0.14, y + 0.14], color=INK, lw=1.2)
        axes.plot(value, y, "o", color=BLUE, ms=4.5, clip_on=False)
    for y, (_, line) in enumerate(lines):
        axes.text(104, y, _percent_n(line), va="center", fontsize=8, clip_on=False)
    if chance is not None:
        axes.axvline(100 * fraction(chance, "chance"), color=ORANGE, ls="--", lw=1.2)
        axes.annotate(
            "chance",
            (100 * chance, 1),
            (3, 1),
            xycoords=("data", "axes fraction"),
            color=ORANGE,
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [short(name, 28) for name, _ in lines])
    axes.tick_params(left=False)
    axes.grid(axis="x")
    axes.set_xlabel(axis)
    if title:
        text_at(figure, 0.05, figure.get_figheight() - 0.2, title, fontsize=9, weight="bold")


def _share(pair, name: str) -> dict | None:
    try:
        right, n = (operator.index(value) for value in pair)
        return proportion(right, n)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name}: give whole numbers (number correct, n) with 0 <= number correct <= n, not {pair!r}."
        ) from None


def _percent_n(line: dict | None) -> str:
    return "not known, n=0" if line is None else f"{percent(line)}, n={line['n']}"


@styled
def change_bars(changes: Mapping[str, Mapping], *, what: str = "accuracy") -> AltFigure:
    """Paired differences of shares with their intervals, in points, around a line at zero.

    Args:
        changes: name → ``{value, low, high}`` in [-1, 1], as ``intervals.paired_difference`` gives them. Where an
            interval leaves out zero, its point is filled.
        what: another word, where other shares than accuracies are compared.

    Raises:
        ConfigError: no entry, or numbers that are not low <= value <= high in [-1, 1].
    """
    lines = {str(name): _ends(change, str(name)) for name, change in dict(changes).items()}
    if not lines:
        raise ConfigError("change_bars needs at least one name with value, low and high.")
    told = {name: "{:+.1f} [{:+.1f}, {:+.1f}]".format(*ends) for name, ends in lines.items()}
    alt = f"Change of {what} in points, with 95 % intervals. " + "; ".join(map(": ".join, told.items())) + "."
    figure = AltFigure((WIDTH, 0.75 + 0.28 * len(lines)), alt=alt)
    _draw_changes(figure, lines, told, f"change of {what} (points)")
    return figure


def _ends(change: Mapping, name: str) -> tuple[float, float, float]:
    """Value, low and high in points."""
    try:
        value, low, high = (float(change[key]) for key in ("value", "low", "high"))
    except (TypeError, ValueError, KeyError):
        raise ConfigError(f"{name}: give value, low and high, not {printable(change, 80)}.") from None
    if not -1 <= low <= value <= high <= 1:
        raise ConfigError(f"{name}: low <= value <= high must hold within -1 and 1, not {low}, {value}, {high}.")
    return 100 * value, 100 * low, 100 * high


def _draw_changes(figure: AltFigure, lines, told, axis: str) -> None:
    room = min(2.4, 0.2 + 0.082 * max(len(short(name, 28)) for name in lines))
    axes = axes_at(figure, room, 0.45, WIDTH - room - 2.05, figure.get_figheight() - 0.55)
    low, high = min(0, *(ends[1] for ends in lines.values())), max(0, *(ends[2] for ends in lines.values()))
    space = max(2.0, 0.04 * (high - low))
    axes.axvline(0, color=MUTED, lw=1.0)
    for y, (name, (value, least, most)) in enumerate(lines.items()):
        axes.plot([least, most], [y, y], color=INK, lw=1.4, solid_capstyle="butt")
        sure = least > 0 or most < 0
        axes.plot(value, y, "o", color=BLUE, mfc=BLUE if sure else "white", ms=5.5, mew=1.4)
        axes.annotate(told[name], (1, y), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="center", fontsize=8, annotation_clip=False)  # fmt: skip
    axes.set_xlim(low - space, high + space)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [short(name, 28) for name in lines])
    axes.tick_params(left=False)
    axes.grid(axis="x")
    axes.set_xlabel(axis)


@styled
def reliability(bins: Sequence[Mapping]) -> AltFigure:
    """A reliability diagram: how often answers of a score are right, with 95 % intervals, against the score.

    Points on the diagonal keep their promise; below it scores are too high, above it too low. A larger point stands
    for more videos.

    Args:
        bins: ``{n, confidence, accuracy, low, high}`` each, fractions, as ``calibration.reliability`` gives them.

    Raises:
        ConfigError: no bin, or one without these numbers.
    """
    names = ("n", "confidence", "accuracy", "low", "high")
    try:
        lines = [tuple(float(one[name]) for name in names) for one in bins]
    except (TypeError, ValueError, KeyError):
        raise ConfigError(f"reliability needs bins with {', '.join(names)}.") from None
    if not lines:
        raise ConfigError("reliability needs at least one bin with a video in it.")
    told = [f"{100 * c:.0f} %: {100 * a:.0f} % of {n:.0f} right" for n, c, a, _, _ in lines]
    alt = f"Share of right answers against the mean score of {plural(len(lines), 'bin')}. {'; '.join(told)}."
    figure = AltFigure((0.62 * WIDTH, 3.3), alt=alt)
    _draw_reliability(axes_at(figure, 0.6, 0.45, 0.62 * WIDTH - 0.8, 2.55), lines)
    text_at(figure, 0.6, 3.08, "dashed: scores that keep their promise", color=ORANGE, fontsize=8)
    return figure


def _draw_reliability(axes, lines) -> None:
    most = max(n for n, *_ in lines)
    axes.plot([0, 100], [0, 100], color=ORANGE, ls="--", lw=1.2)
    for n, confidence, accuracy, low, high in lines:
        axes.plot([100 * confidence] * 2, [100 * low, 100 * high], color=INK, lw=1.1)
        axes.plot(100 * confidence, 100 * accuracy, "o", color=BLUE, ms=4 + 7 * math.sqrt(n / most), clip_on=False)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.grid()
    axes.set_xlabel("score of the best class (%)")
    axes.set_ylabel("right answers (%)")


@styled
def confusion(matrix, labels: Sequence[str], *, normalise: bool = True) -> AltFigure:
    """True classes in rows, given classes in columns; the diagonal blue, mistakes orange.

    Args:
        matrix: counts, (K, K), or (K, K + 1) as ``vidbench.metrics.confusion_matrix`` gives it: the last column
            counts skipped videos and answers that are no class.
        labels: class names, K of them.
        normalise: percent of the row instead of counts.

    Raises:
        ConfigError: shapes that do not fit, or counts that are negative or no numbers.
    """
    counts, labels = np.asarray(matrix), [str(label) for label in labels]
    k = len(labels)
    if k == 0 or counts.shape not in ((k, k), (k, k + 1)):
        raise ConfigError(f"matrix must be ({k}, {k}) or ({k}, {k + 1}) for {k} labels, got {counts.shape}.")
    if counts.dtype.kind not in "iuf" or not np.isfinite(counts).all() or (counts < 0).any():
        raise ConfigError("matrix must hold counts: numbers of at least 0.")
    size = min(0.37, 5.6 / k)
    room = 0.4 + (0.066 * max(len(short(label, 20)) for label in labels) if k <= MOST_NAMES else 0)
    width = counts.shape[1] * size
    figure = AltFigure((room + width + 0.3, room + k * size + 0.12), alt=_confusion_alt(counts, labels))
    axes = axes_at(figure, room, 0.05, width, k * size)
    _draw_confusion(axes, counts, labels, normalise, size)
    return figure


def _draw_confusion(axes, counts: np.ndarray, labels, normalise: bool, size: float) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    blues = LinearSegmentedColormap.from_list("right", ["#ffffff", "#cfe2f0", BLUE])
    oranges = LinearSegmentedColormap.from_list("wrong", ["#ffffff", "#fbdfc0", "#b95d12"])
    strength = shares**0.7  # so that a few percent show
    right = np.eye(*counts.shape, dtype=np.bool_)[..., None]
    colours: np.ndarray = np.where(right, blues(strength), oranges(strength))
    axes.imshow(colours, interpolation="nearest", aspect="auto")
    for row, column in np.argwhere(counts > 0) if size >= 0.25 else ():
        value = 100 * shares[row, column] if normalise else counts[row, column]
        ink = "white" if colours[row, column, :3] @ (0.3, 0.6, 0.1) < 0.6 else INK
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=min(8, 20 * size), color=ink)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(f"given class, {'% of the row' if normalise else 'videos'}")
    axes.set_ylabel("true class")
    axes.spines[:].set_visible(True)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    if len(labels) <= MOST_NAMES:
        _name_cells(axes, counts.shape, labels, min(8, 55 * size))


def _name_cells(axes, shape: tuple[int, int], labels, font: float) -> None:
    """Class names at the cells' rows and columns, and thin lines between the cells."""
    names = [short(label, 20) for label in labels]
    axes.set_yticks(range(shape[0]), names, fontsize=font)
    axes.set_xticks(range(shape[1]), [*names, "none"][: shape[1]], rotation=90, fontsize=font)
    axes.set_xticks(np.arange(-0.5, shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, shape[0]), minor=True)
    axes.grid(which="minor", lw=0.5)
    axes.tick_params(which="minor", length=0)


def _confusion_alt(counts: np.ndarray, labels) -> str:
    total, right = counts.sum(), np.trace(counts)
    alt = f"Confusion matrix of {len(labels)} classes, rows true, columns given: "
    if total == 0:
        return alt + "it counts no video."
    alt += f"{right:g} of {total:g} videos lie on the diagonal. "
    wrong = counts * ~np.eye(*counts.shape, dtype=np.bool_)
    if wrong.any():
        row, column = np.unravel_index(wrong.argmax(), wrong.shape)
        times = plural(f"{wrong[row, column]:g}", "time")
        alt += f"The most frequent mistake is {labels[row]} taken for {[*labels, 'none'][column]}, {times}."
    return alt.strip()
