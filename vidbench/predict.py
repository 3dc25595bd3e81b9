"""Clips → predictions: views averaged, classes ranked, one label space mapped to another, and scores over time."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidbench.data.classes import LABELS_FOLDER, load_aliases, load_joins, name_of_list
from vidbench.metrics import softmax as softmax  # the course has it from here
from vidbench.records import AnnotationError, ConfigError, InputSpec, Prediction, UnreadableVideo, VideoInfo
from vidbench.utils import nearest_hint, printable, sha256_of_file, sha256_of_json
from vidbench.views import aggregate

HEADER = ("dataset_label", "model_label")
JOINED = ("spelling", "renamed", "split")  # kinds of ``classes.Join`` whose right answers are right
WINDOW_S = 2.0  # seconds of a window where the card names no time
PIECE_BYTES = 64 * 2**20  # of decoded pictures held at a time


def average(logits: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Probabilities of a video from the logits of its views.

    Args:
        logits: float32, shape (V, K), finite.
        spec: its ``average`` says how; see ``views.aggregate``.

    Returns:
        float64, shape (K,), sums to 1.
    """
    return aggregate(logits, spec.average)


def top(scores: np.ndarray, n: int, last: int = -1) -> list[int]:
    """Indices of the ``n`` best scores, best first; scores that are not finite are left out.

    Ties go by index, but ``last`` comes behind those it ties with: a true class that ties is wrong everywhere.

    >>> top(np.array([0.1, 0.5, -np.inf, 0.5]), 3)
    [1, 3, 0]
    >>> top(np.array([0.1, 0.5, -np.inf, 0.5]), 3, last=1)
    [3, 1, 0]
    """
    behind = np.zeros(len(scores), bool)
    if last >= 0:
        behind[last] = True
    order = np.lexsort((behind, -np.nan_to_num(scores, nan=-np.inf)))
    return [int(k) for k in order[:n] if np.isfinite(scores[k])]


def rank_of(scores: np.ndarray, true_index: int) -> int:
    """How many other classes score at least as high as the true one: 0 is right at top-1, a tie counts against us.

    A true class without a finite score has rank -1.

    >>> rank_of(np.array([0.2, 0.5, 0.5]), 1)
    1
    """
    if not np.isfinite(scores[true_index]):
        return -1
    return int((scores >= scores[true_index]).sum()) - 1


def predict(model, path: str | os.PathLike, *, decoder: str = "pyav", limits=None, batch_size: int = 8) -> Prediction:
    """What a model says about one video, read in this process.

    Args:
        model: a ``Model`` or a model's name.
        path: a video file.
        decoder: one of ``vidbench.data.decode.DECODERS``.
        limits: a ``vidbench.data.decode.Limits``; ``None`` for its defaults.
        batch_size: views at a time.

    Raises:
        UnreadableVideo: the video gives no usable clip, or the network gave NaN or infinity.
        VidbenchError: the model cannot be had.
    """
    from vidbench.data.decode import Limits
    from vidbench.data.load import read_views
    from vidbench.models import load_model

    if isinstance(model, str):
        model = load_model(model)
    views = read_views(path, model.spec, decoder=decoder, limits=limits or Limits(), cache=None)
    (logits,) = model.logits([views.pixels], batch_size)
    if not np.isfinite(logits).all():
        raise UnreadableVideo("nonfinite", "the network gave NaN or infinity")
    return Prediction(model.labels, average(logits, model.spec).astype(np.float32), logits, views.status, views.reason)


@dataclass(frozen=True, eq=False)
class Timeline:
    """What a model says about a video as time goes by.

    Args:
        labels: class names, K of them.
        windows_s: float64, shape (N, 2), start and end of each window in seconds from the first frame.
        scores: float32, shape (N, K), probabilities of each window; rows sum to 1.
        info: the video.
        status: ``ok`` or ``partial``.
        reason: one sentence where the status is ``partial``.
    """

    labels: tuple[str, ...]
    windows_s: np.ndarray
    scores: np.ndarray
    info: VideoInfo
    status: str = "ok"
    reason: str = ""

    @property
    def times_s(self) -> np.ndarray:
        """The middle of each window, float64, shape (N,)."""
        return self.windows_s.mean(1)

    def top(self, time_s: float, n: int = 5) -> list[tuple[str, float]]:
        """The ``n`` best classes, best first, of the window whose middle is nearest to a time in seconds."""
        scores = self.scores[int(np.abs(self.times_s - time_s).argmin())]
        return [(self.labels[k], float(scores[k])) for k in top(scores, n)]


def predict_over_time(
    model,
    path: str | os.PathLike,
    *,
    window_s: float | None = None,
    stride_s: float | None = None,
    decoder: str = "pyav",
    limits=None,
    batch_size: int = 8,
) -> Timeline:
    """What a model says about a video as time goes by, from windows that walk over it.

    Each window is taken for a short video of its own and read as the card says, as one clip (with the card's crops).
    However long the video is, only the pictures of ``batch_size`` windows are in memory, in the network's size.

    Args:
        model: a ``Model`` or a model's name.
        path: a video file.
        window_s: length of a window in seconds; ``None`` for the time that one clip of the card spans, or ``WINDOW_S``
            where the card spreads its frames over a video of any length. A shorter video is one window.
        stride_s: seconds from one window to the next; ``None`` for half a window.
        decoder: one of ``vidbench.data.decode.DECODERS``.
        limits: a ``vidbench.data.decode.Limits``, whose seconds hold for each piece read; ``None`` for its defaults.
        batch_size: windows at a time.

    Raises:
        UnreadableVideo: the video gives no usable clip, or the network gave NaN or infinity.
        ConfigError: a length that is not above 0, a batch that is no whole number, more than a million windows, or an
            input whose time is changed or that is corrupted.
    """
    from vidbench.data.decode import open_video
    from vidbench.models import load_model

    if isinstance(model, str):
        model = load_model(model)
    if model.spec.temporal or model.spec.corrupt:
        raise ConfigError("A changed time or a corruption is for whole videos: predict them, or set both to None.")
    window_s = natural_window_s(model.spec) if window_s is None else window_s
    stride_s = window_s / 2 if stride_s is None else stride_s
    for name, value in (("window_s", window_s), ("stride_s", stride_s), ("batch_size", batch_size)):
        if not (np.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be above 0, not {value}.")
    if not isinstance(batch_size, int | np.integer):
        raise ConfigError(f"batch_size must be a whole number of windows, not {batch_size!r}.")
    with open_video(path, decoder=decoder, limits=limits) as video:
        found = _score_windows(model, video, window_s, stride_s, batch_size)
        if found is None:  # damage had the pictures counted anew
            found = _score_windows(model, video, window_s, stride_s, batch_size)
        if found is None:
            raise UnreadableVideo("decode_error", "its pictures were counted twice and differ each time")
        windows_s, scores = found
        return Timeline(model.labels, windows_s, scores, video.info, video.status, video.reason)


def actions_in(windows_s: np.ndarray, truth) -> list[tuple[str, ...]]:
    """Which actions each window sees, the one at its middle first.

    Args:
        windows_s: (N, 2), start and end of each window in seconds, as in ``Timeline``.
        truth: ``(start_s, end_s, label)`` of each action.

    Returns:
        One tuple a window, each label once; empty where the truth names nothing in it. Where no action covers the
        middle, the nearest comes first.

    >>> actions_in([[0, 2], [1, 4]], [(0, 2, "Sit"), (2, 9, "Stand")])
    [('Sit',), ('Stand', 'Sit')]
    """
    found = []
    for start_s, end_s in windows_s:
        middle = (start_s + end_s) / 2
        seen = [(max(first - middle, middle - last, 0), label) for first, last, label in truth]
        seen = [pair for pair, (first, last, _) in zip(seen, truth) if first < end_s and last > start_s]
        found.append(tuple(dict.fromkeys(label for _, label in sorted(seen, key=lambda pair: pair[0]))))
    return found


def natural_window_s(spec: InputSpec) -> float:
    """Seconds that one clip of a card spans, or ``WINDOW_S`` where that depends on the video.

    >>> from vidbench.models import CARDS
    >>> natural_window_s(CARDS["mvit_v2_s.kinetics400_v1"].input)
    2.1333333333333333
    """
    spans = spec.sampling in ("clips", "clips_from_start", "dense") and spec.frame_rate
    return spec.num_frames / (spec.frame_rate or math.nan) if spans else WINDOW_S


def _score_windows(model, video, window_s: float, stride_s: float, batch_size: int) -> tuple | None:
    """Windows (N, 2) of an open video and their probabilities float32 (N, K); ``None`` where its table changed."""
    from vidbench.data.sample import indices_in_windows, time_windows

    spec, table, scores = replace(model.spec, num_clips=1), video.table, []
    duration_s = float(table.pts_s[-1] - table.pts_s[0]) + 1 / table.frame_rate
    if duration_s > 1e6 * stride_s:
        raise ConfigError(
            f"Steps of {stride_s:g} s make over a million windows of {duration_s:.0f} s; use longer ones."
        )
    windows = time_windows(duration_s, window_s, stride_s)
    indices = indices_in_windows(spec, table.pts_s, table.frame_rate, windows)
    for start in range(0, len(indices), batch_size):
        try:
            views = _window_views(video, indices[start : start + batch_size], spec)
        except (UnreadableVideo, ValueError):
            if video.table is table:
                raise
        if video.table is not table:
            return None
        found = model.logits(views, batch_size)
        if not all(np.isfinite(logits).all() for logits in found):
            raise UnreadableVideo("nonfinite", "the network gave NaN or infinity")
        scores += [average(logits, spec).astype(np.float32) for logits in found]
    return windows, np.stack(scores)


def _window_views(video, windows: list[np.ndarray], spec: InputSpec) -> list[np.ndarray]:
    """Views uint8 (crops, T, h, w, 3) of some windows, given as frame indices (1, T); reads piece by piece."""
    from vidbench.data.flow import make_views
    from vidbench.data.process import resize, target_size

    height, width = video.info.height, video.info.width
    used = np.unique(np.concatenate([indices.ravel() for indices in windows]))
    pieces = np.array_split(used, -(-len(used) * height * width * 3 // PIECE_BYTES))
    small = [resize(video.read(piece).frames, target_size(height, width, spec.resize)) for piece in pieces]
    frames = np.concatenate(small)
    return [make_views(frames, np.searchsorted(used, indices), spec) for indices in windows]


@dataclass(frozen=True, eq=False)
class LabelMap:
    """From a model's classes to a dataset's.

    A dataset class may stand for several of the model's; its best score counts. One without any is unmapped: the
    model cannot predict it, and it gets the score minus infinity.

    Args:
        dataset_labels: names in index order.
        model_labels: likewise.
        columns: for each dataset class the indices of its model classes.
        source: ``names``, ``known`` or the file's name.
        sha256: of the file, or the shipped files; empty for ``names``.
    """

    dataset_labels: tuple[str, ...]
    model_labels: tuple[str, ...]
    columns: tuple[tuple[int, ...], ...]
    source: str = "names"
    sha256: str = ""

    @classmethod
    def by_name(cls, dataset_labels, model_labels) -> LabelMap:
        """Classes with the same name, whatever the case of its letters.

        Raises:
            AnnotationError: no name agrees.
        """
        columns = _same_names(dataset_labels, model_labels)
        if not any(columns):
            raise AnnotationError("No class name of the dataset is one of the model's; pass --label-map FILE.")
        return cls(tuple(dataset_labels), tuple(model_labels), tuple(columns))

    @classmethod
    def known(cls, dataset_labels, model_labels) -> LabelMap:
        """Classes that ``by_name`` joins, and those that ``vidbench.data.labels`` names as the same under other names.

        That is, other spellings of a class in use, classes that Kinetics renamed from one version to the next, and
        classes that it split, whose best score counts. One that is only wider or narrower is not joined: a wrong answer
        would be counted as right.

        Raises:
            AnnotationError: nothing agrees.
        """
        dataset_labels, model_labels = tuple(dataset_labels), tuple(model_labels)
        places = {name: place for place, name in enumerate(model_labels)}
        ours, theirs = name_of_list(dataset_labels), name_of_list(model_labels)
        also: dict[str, list[str]] = {name: [known] for name, known in load_aliases(theirs or "").items()}
        for alias, name in load_aliases(ours or "").items():
            also.setdefault(name, []).append(alias)
        for join in load_joins(ours, theirs) if ours and theirs else ():
            if join.kind in JOINED:
                also.setdefault(join.name, []).append(join.other)
        columns = _same_names(dataset_labels, model_labels)
        for number, name in enumerate(dataset_labels):
            others = {places[other] for other in also.get(name, ()) if other in places}
            columns[number] = columns[number] or tuple(sorted(others))
        if not any(columns):
            raise AnnotationError("No class of the dataset is known as one of the model's; pass --label-map FILE.")
        files = [sha256_of_file(LABELS_FOLDER / f"{name}.csv") for name in ("aliases", "joins")]
        return cls(dataset_labels, model_labels, tuple(columns), "known", sha256_of_json(files))

    @classmethod
    def from_csv(cls, path: str | os.PathLike, dataset_labels, model_labels) -> LabelMap:
        """Read ``dataset_label,model_label`` rows under a header of these words; several rows a label are allowed.

        Raises:
            AnnotationError: no such file, another header, or a row that names an unknown class or comes twice; with
                the line.
        """
        path = Path(path)
        known_data = {name: place for place, name in enumerate(dataset_labels)}
        known_model = {name: place for place, name in enumerate(model_labels)}
        found: dict[int, list[int]] = {}
        taken: set[int] = set()
        for line, (dataset_label, model_label) in _rows(path):
            where = f"{printable(path)}:{line}"
            for word, known, kind in ((dataset_label, known_data, "dataset"), (model_label, known_model, "model")):
                if word not in known:
                    hint = nearest_hint(word, known)
                    raise AnnotationError(f"{where}: the {kind} has no class {printable(word, 80)!r}.{hint}")
            places = found.setdefault(known_data[dataset_label], [])
            if known_model[model_label] in places:
                raise AnnotationError(f"{where}: this row comes twice.")
            if known_model[model_label] in taken:
                raise AnnotationError(
                    f"{where}: the model's class {printable(model_label, 80)!r} is mapped to two classes of the "
                    "dataset, which it could never tell apart."
                )
            taken.add(known_model[model_label])
            places.append(known_model[model_label])
        if not found:
            raise AnnotationError(f"{printable(path)} maps no class.")
        columns = tuple(tuple(sorted(found.get(place, ()))) for place in range(len(dataset_labels)))
        return cls(tuple(dataset_labels), tuple(model_labels), columns, path.name, sha256_of_file(path))

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Dataset classes that the model cannot predict."""
        return tuple(name for name, places in zip(self.dataset_labels, self.columns) if not places)

    def is_mapped(self, index: int) -> bool:
        """Whether the model can predict the dataset class of this index."""
        return bool(self.columns[index])

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Scores of the dataset's classes (..., K_dataset) from the model's (..., K_model).

        The best of the mapped scores, not scaled again; minus infinity for an unmapped class.
        """
        if scores.shape[-1] != len(self.model_labels):
            raise ValueError(f"{scores.shape[-1]} scores for {len(self.model_labels)} classes")
        mapped = np.full((*scores.shape[:-1], len(self.columns)), -np.inf, scores.dtype)
        for place, places in enumerate(self.columns):
            if places:
                mapped[..., place] = scores[..., list(places)].max(-1)
        return mapped

    def facts(self) -> dict:
        """For a run's manifest: where it is from, and what it leaves out."""
        return {
            "source": self.source,
            "sha256": self.sha256,
            "n_mapped": len(self.dataset_labels) - len(self.unmapped),
            "n_unmapped": len(self.unmapped),
            "unmapped": list(self.unmapped),
            "columns": [list(places) for places in self.columns],
        }


def _same_names(dataset_labels, model_labels) -> list[tuple[int, ...]]:
    """For each dataset class the model's of that name: spelt alike, else alike but for the case of letters."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(model_labels):
        places.setdefault(name.casefold(), []).append(place)
    columns = []
    for name in dataset_labels:
        same = places.get(name.casefold(), [])
        columns.append(tuple([place for place in same if model_labels[place] == name] or same))
    return columns


def _rows(path: Path):
    """``(line number, (dataset label, model label))`` of a label map's rows, empty lines left out."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if tuple(word.strip() for word in header) != HEADER:
                raise AnnotationError(f"{printable(path)}:1: the header must be {','.join(HEADER)}.")
            for row in reader:
                words = tuple(word.strip() for word in row)
                if any(words) and len(words) != 2:
                    raise AnnotationError(f"{printable(path)}:{reader.line_num}: {len(words)} columns instead of 2.")
                if any(words):
                    yield reader.line_num, words
    except OSError as problem:
        raise AnnotationError(f"{printable(path)} cannot be read: {printable(problem.strerror)}.") from None
    except (UnicodeDecodeError, csv.Error) as problem:
        raise AnnotationError(f"{printable(path)} is no CSV text: {printable(problem, 120)}.") from None
