"""The stored logits of a run as probabilities, and the figures that need them: calibration and the view ladder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vidbench import calibration, views
from vidbench.metrics import has_label, is_counted, summarise
from vidbench.records import Row, RunError
from vidbench.utils import plural, printable

NO_LOGITS = "What needs the logits is left out"  # begins a note
ROUNDING = 1e-3  # of a probability: by how much the answer of a row may lie below another class
SEED = 0  # of the half on which the temperature is fitted


def open_logits(folder: Path, num_rows: int) -> np.ndarray:
    """``logits.npy`` of a run folder as a memory map: float32 (N, V, K), NaN where a video was skipped.

    Raises:
        RunError: it is missing, no such array, or of another number of videos.
    """
    path = Path(folder) / "logits.npy"
    try:
        logits = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise RunError(f"{path} does not exist: the figures that need logits cannot be made") from None
    except (OSError, ValueError, EOFError) as problem:
        raise RunError(f"{path} cannot be read ({problem}); make the run again") from None
    if logits.ndim != 3 or logits.dtype != np.float32 or len(logits) != num_rows:
        raise RunError(f"{path} holds {logits.dtype} {logits.shape}, not float32 logits of {num_rows} videos")
    return logits


def average_of(manifest: dict) -> str:
    """How a run averaged its views; one of ``views.AVERAGES``."""
    how = (manifest.get("spec") or {}).get("average", "logits")
    if how not in views.AVERAGES:
        raise RunError(f"its manifest.json averages views as {how!r}, which this version does not know")
    return how


def to_dataset(manifest: dict) -> Callable | None:
    """From scores (..., K) of the model's classes to the dataset's, as the run's label map did it, or ``None``.

    Raises:
        RunError: the run mapped labels and did not write down which; runs made by earlier versions did not.
    """
    label_map = manifest.get("label_map")
    if not label_map:
        return None
    columns = label_map.get("columns")
    if not isinstance(columns, list):
        raise RunError("its manifest.json does not say which classes were mapped; make the run again")

    def apply(scores: np.ndarray) -> np.ndarray:
        mapped = np.full((*scores.shape[:-1], len(columns)), -np.inf)
        for place, sources in enumerate(columns):
            if sources:
                mapped[..., place] = scores[..., sources].max(-1)
        return mapped

    return apply


def probabilities(folder: Path, manifest: dict, rows: Sequence[Row]) -> np.ndarray:
    """Scores of the dataset's classes for each row, float64 (N, K); NaN where a video was skipped.

    Raises:
        RunError: the logits are missing or damaged, or a predicted row has none.
    """
    logits, how, apply, found = open_logits(folder, len(rows)), average_of(manifest), to_dataset(manifest), []
    for piece in finite_pieces(folder, logits, rows):
        scores = views.aggregate(piece, how)
        found.append(scores if apply is None else apply(scores))
    whole = np.concatenate(found)
    refuse_other_answers(folder, whole, rows)
    whole[[not row.predicted for row in rows]] = np.nan
    return whole


def finite_pieces(folder: Path, logits: np.ndarray, rows: Sequence[Row]) -> Iterator[np.ndarray]:
    """The logits of all rows, float32 (N, V, K) a piece, 0 where a video was skipped; raises as ``probabilities``."""
    predicted = np.array([row.predicted for row in rows], bool)
    size = max(1, views.PIECE // (logits.shape[1] * logits.shape[2]))
    for start in range(0, len(rows), size):
        piece = np.where(predicted[start : start + size, None, None], logits[start : start + size], 0)
        refuse_not_finite(folder, piece, rows[start : start + size])
        yield piece


def logits_problem(folder: Path, rows: Sequence[Row]) -> str:
    """The note that a run's logits cannot be used, and why; empty where they can. Reads all of them."""
    try:
        for _ in finite_pieces(folder, open_logits(folder, len(rows)), rows):
            pass
    except RunError as problem:
        return f"{NO_LOGITS}: {problem}."
    return ""


def logits_notes(figures: Mapping) -> list[str]:
    """Those of a run's ``notes`` that say what is wrong with its logits."""
    return [note for note in figures["notes"] if note.startswith(NO_LOGITS)]


def refuse_not_finite(folder: Path, logits: np.ndarray, rows: Sequence[Row]) -> None:
    """Raise ``RunError`` where the logits (N, V, K) of a predicted row are not finite: they are another run's."""
    bad = np.flatnonzero(~np.isfinite(logits).all((1, 2)))
    if len(bad):
        raise RunError(
            f"{Path(folder) / 'logits.npy'} holds NaN or infinity for {rows[bad[0]].video_id!r}, whose row has a "
            f"prediction ({len(bad)} such videos): rows and logits are not of one run; make the run again"
        )


def refuse_other_answers(folder: Path, scores: np.ndarray, rows: Sequence[Row]) -> None:
    """Raise ``RunError`` where the answer of a row is not the best of its scores (N, K), within rounding."""
    places = [place for place, row in enumerate(rows) if row.top and 0 <= row.top[0][1] < scores.shape[1]]
    said = scores[places, [rows[place].top[0][1] for place in places]]
    bad = np.flatnonzero(~(said >= scores[places].max(1, initial=-np.inf) - ROUNDING))
    if len(bad):
        raise RunError(
            f"{Path(folder) / 'logits.npy'} gives {printable(repr(rows[places[bad[0]]].video_id), 80)} another answer "
            f"than its row ({plural(len(bad), 'such video')}): rows and logits are not of one run; make the run again"
        )


def figures(folder: Path, manifest: dict, rows: Sequence[Row], labels: Sequence[str]) -> dict:
    """All figures of a run, from its rows and its stored logits: the content of ``metrics.json``.

    Returns:
        What ``metrics.summarise`` gives, with ``calibration`` (as ``calibration.summary``; ``None`` without a labelled
        prediction) and ``view_ladder`` (as ``views.ladder``; ``None`` with a single view). Where the logits cannot be
        used, what needs them is left out, and ``notes`` says why.
    """
    unmapped = (manifest.get("label_map") or {}).get("unmapped")
    result = summarise(rows, labels, unmapped=unmapped)
    places = [row.index for row in rows if row.predicted and row.top and 0 <= row.label_index < len(labels)]
    kept = [rows[place] for place in places]
    right = np.array([row.rank == 0 for row in kept], bool)
    confidence = np.minimum(np.array([row.top[0][2] for row in kept], float), 1.0)
    whole, result["view_ladder"] = None, None
    try:
        if kept and not manifest.get("label_map"):  # scores of mapped classes do not sum to 1
            whole = (
                probabilities(folder, manifest, rows)[places],
                np.array([row.label_index for row in kept], np.int64),
            )
        if kept and num_views(manifest) > 1:
            result["view_ladder"] = ladder_of(folder, manifest, rows)
    except RunError as problem:
        result["notes"] = [*result["notes"], f"{NO_LOGITS}: {problem}."]
        whole = None
    result["calibration"] = calibration.summary(confidence, right, [row.group for row in kept], SEED, whole)
    return result


def num_views(manifest: dict) -> int:
    """Views of a video in a run."""
    spec = manifest.get("spec") or {}
    return (spec.get("num_clips") or 1) * (spec.get("num_crops") or 1)


def ladder_of(folder: Path, manifest: dict, rows: Sequence[Row]) -> list[dict]:
    """The view ladder of a run folder; see ``views.ladder``.

    Raises:
        RunError: as ``probabilities``.
    """
    average_of(manifest)
    logits = open_logits(folder, len(rows))
    kept = [row for row in rows if row.predicted and row.label_index >= 0]
    lost = sum(is_counted(row) for row in rows) - sum(has_label(row) and row.predicted for row in rows)
    places = np.array([row.index for row in kept], np.int64)
    size = max(1, views.PIECE // (logits.shape[1] * logits.shape[2]))
    for start in range(0, len(kept), size):
        refuse_not_finite(folder, logits[places[start : start + size]], kept[start : start + size])
    return views.ladder(
        logits,
        np.array([row.label_index for row in kept], np.int64),
        [row.group for row in kept],
        manifest["spec"],
        places=places,
        to_dataset=to_dataset(manifest),
        num_lost=lost,
    )


def view_seconds(manifest: dict) -> float | None:
    """Measured seconds of the network for one view, copies to the device included; ``None`` where none were taken."""
    timing = manifest.get("timing") or {}
    seconds, number = timing.get("seconds") or {}, timing.get("num_videos")
    network = sum(seconds.get(stage, 0) for stage in ("forward", "transfer"))
    return network / (number * num_views(manifest)) if number and network else None
