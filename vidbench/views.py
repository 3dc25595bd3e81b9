"""The views of a video: how they become one answer, and what fewer of them would have given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidbench.intervals import clustered_proportion, proportion
from vidbench.metrics import softmax, true_ranks

AVERAGES = {
    "logits": "the mean of the logits, then one softmax",
    "probabilities": "the mean of each view's probabilities",
    "max": "each class's highest probability in any view, scaled to a sum of 1",
}
CENTRE = {1: 0, 3: 1, 10: 4}  # place of the centre crop among the crops of a clip
PIECE = 2**24  # logits handled at a time: 128 MB as float64


def aggregate(logits: np.ndarray, how: str) -> np.ndarray:
    """Probabilities of videos from the logits of their views.

    Args:
        logits: float, shape (..., V, K), finite.
        how: one of ``AVERAGES``.

    Returns:
        float64, shape (..., K), sums to 1; in float32 the small ones would become ties at zero.
    """
    if how == "logits":
        return softmax(logits.astype(np.float64).mean(-2))
    if how == "probabilities":
        return softmax(logits).mean(-2)
    if how == "max":
        best = softmax(logits).max(-2)
        return best / best.sum(-1, keepdims=True)
    raise ValueError(f"views are averaged as {', '.join(AVERAGES)}, not {how!r}")


def nested_clips(sampling: str, num_clips: int, wanted: int) -> tuple[int, ...] | None:
    """Which of ``num_clips`` clips are the very frames that a run with ``wanted`` clips takes.

    Clips are spread anew for each number, so a smaller number is rarely a part of a larger one. It is where the clips'
    places coincide in every video: of clips spread from the first to the last window, every so-manieth one; of clips
    that lie between one another (``uniform``, ``segments``), the middle one of every odd number.

    Returns:
        ``wanted`` positions in ``[0, num_clips)``, or ``None`` where no part of the clips is that run.

    >>> nested_clips("clips", 5, 3), nested_clips("clips", 5, 1), nested_clips("clips", 10, 5)
    ((0, 2, 4), (2,), None)
    >>> nested_clips("uniform", 9, 3)
    (1, 4, 7)
    """
    if not 1 <= wanted <= num_clips:
        raise ValueError(f"a part of {num_clips} clips is 1 to {num_clips}, got {wanted}")
    if wanted == num_clips:
        return tuple(range(num_clips))
    if sampling in ("uniform", "segments"):
        step, rest = divmod(num_clips, wanted)
        return tuple(range(step // 2, num_clips, step)) if rest == 0 and step % 2 else None
    if wanted == 1:
        if sampling == "clips_from_start":
            return (0,)
        return (num_clips // 2,) if num_clips % 2 else None
    step, rest = divmod(num_clips - 1, wanted - 1)
    return tuple(range(0, num_clips, step)) if rest == 0 else None


def nested_crops(num_crops: int, wanted: int) -> tuple[int, ...] | None:
    """Which of ``num_crops`` crops are those of a run with ``wanted``; ``None`` where they are others.

    >>> nested_crops(3, 1), nested_crops(10, 1), nested_crops(10, 3)
    ((1,), (4,), None)
    """
    if wanted == num_crops:
        return tuple(range(num_crops))
    return (CENTRE[num_crops],) if wanted == 1 and num_crops in CENTRE else None


def rungs(sampling: str, num_clips: int, num_crops: int) -> list[dict]:
    """The steps of a view ladder, fewest views first: ``{num_clips, num_crops, views}``.

    Each is what a direct run with so many clips and crops sees; ``views`` are positions in the V axis of the logits.
    """
    found = []
    for t in range(1, num_clips + 1):
        for s in sorted({1, num_crops}):
            clips, crops = nested_clips(sampling, num_clips, t), nested_crops(num_crops, s)
            if clips is not None and crops is not None:
                views = tuple(clip * num_crops + crop for clip in clips for crop in crops)
                found.append({"num_clips": t, "num_crops": s, "views": views})
    return sorted(found, key=lambda rung: (len(rung["views"]), rung["num_clips"]))


def ladder(
    logits: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    spec: dict,
    *,
    places: np.ndarray | None = None,
    to_dataset=None,
    num_lost: int = 0,
) -> list[dict]:
    """Accuracy and interval for fewer and fewer views, from the logits of one run; runs no model.

    Args:
        logits: float32, shape (M, V, K); a memory map is read in pieces.
        labels: int, shape (N,), in the dataset's label space, of videos that were predicted.
        groups: N names.
        spec: the run's input: ``sampling``, ``num_clips``, ``num_crops``, ``average``.
        places: int64, shape (N,): which of the M they are; ``None`` for all.
        to_dataset: turns probabilities (N, K) into scores of the dataset's classes; ``None`` where they are the same.
        num_lost: listed videos with a label that were not predicted: wrong on every rung.

    Returns:
        One dict a rung: ``num_clips``, ``num_crops``, ``num_views``; ``top1`` over listed videos for the run's own
        average, as ``proportion`` gives it, and ``clustered`` with groups in mind (``None`` without groups);
        ``by_average``: the value of top-1 for each of ``AVERAGES``.
    """
    steps = rungs(spec["sampling"], spec["num_clips"], spec["num_crops"])
    places = np.arange(len(logits)) if places is None else places
    num, (_, v, k) = len(places), logits.shape
    right = {(place, how): np.zeros(num, bool) for place in range(len(steps)) for how in AVERAGES}
    size = max(1, PIECE // (v * k))
    for start in range(0, num, size):
        piece = logits[places[start : start + size]]
        for place, step in enumerate(steps):
            part = piece[:, list(step["views"])]
            for how in AVERAGES:
                scores = aggregate(part, how)
                scores = scores if to_dataset is None else to_dataset(scores)
                right[place, how][start : start + size] = true_ranks(scores, labels[start : start + size]) == 0
    lost, listed = np.zeros(num_lost, bool), num + num_lost
    related = len({group for group in groups if group}) < sum(bool(group) for group in groups)
    found = []
    for place, step in enumerate(steps):
        ours, views = right[place, spec["average"]], len(step["views"])
        found.append(
            {
                "num_clips": step["num_clips"],
                "num_crops": step["num_crops"],
                "num_views": views,
                "top1": proportion(int(ours.sum()), listed),
                "clustered": clustered_proportion(np.append(ours, lost), [*groups, *[""] * num_lost])
                if related
                else None,
                "by_average": {how: float(right[place, how].sum()) / listed for how in AVERAGES},
            }
        )
    return found
