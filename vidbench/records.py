"""The words of vidbench as types: record, clip, input, row, and our exceptions."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only named in annotations: --help must not wait for it
    import numpy as np

# Every listed video ends as one row with one of these. The first two were predicted; all others
# are skipped, stay in the list and count as wrong.
STATUSES = {
    "ok": "decoded and predicted",
    "partial": "predicted from fewer frames than the file promises",
    "missing": "no file at the path",
    "empty": "the file has 0 bytes",
    "not_regular": "a folder, device, pipe or broken link",
    "not_media": "no container format that we open",
    "no_video_stream": "a media file without pictures, or with an unknown codec",
    "no_frames": "a video stream in which no picture could be decoded",
    "decode_error": "the decoder gave up before any usable frame",
    "too_short": "fewer frames than the model takes, where repeating was not allowed",
    "too_large": "a picture, or the frames asked for, over the limit",
    "size_changed": "the picture size changes within the video",
    "timeout": "decoding took longer than the limit",
    "memory": "decoding needed more memory than the limit",
    "worker_crash": "the decoding process died",
    "unknown_label": "a label outside the label space, or one the model cannot predict",
    "duplicate": "the same video listed before",
    "bad_row": "a line of the annotation file that cannot be used",
    "nonfinite": "the network gave NaN or infinity",
    "cancelled": "the run was stopped before this video",
}
PREDICTED = ("ok", "partial")


class VidbenchError(Exception):
    """A user's mistake or a fact about their data: one sentence, shown without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What IPython, and so a notebook, shows in place of a traceback: the sentence, after the file it is about."""
        return [": ".join([*getattr(self, "__notes__", ()), str(self)])]


class ConfigError(VidbenchError):
    """An option, or a combination of options, that cannot be used."""


class AnnotationError(VidbenchError):
    """An annotation, split or label file that cannot be used."""


class WeightsError(VidbenchError):
    """Weights that cannot be had, or do not fit the network."""


@contextlib.contextmanager
def needs(what: str, extra: str) -> Iterator[None]:
    """Around the import of a library that vidbench does without: where it is not installed, one sentence says so.

    Args:
        what: what needs it, as the beginning of a sentence.
        extra: the extra of ``pyproject.toml`` that brings it.

    Raises:
        ConfigError: the library cannot be imported.
    """
    try:
        yield
    except ImportError as problem:
        raise ConfigError(
            f"{what} needs a package that cannot be imported ({str(problem)[:160]}); pip install "
            f"'vidbench[{extra}]' brings it."
        ) from None


class CacheError(VidbenchError):
    """A cache entry that is not what its name promises; the caller makes it anew."""


class RunError(VidbenchError):
    """A run folder that cannot be continued: another manifest, another process, damage."""


class FetchError(VidbenchError):
    """A file that cannot be had, or is not the one promised.

    Args:
        text: one sentence.
        http_status: the server's answer where that was the reason (404: not hosted), or ``None``.
        spoils: what else cannot work for the same reason: nothing but this ``address``; the ``file``, wherever it
            comes from; or ``all``, as with a full disk.
    """

    def __init__(self, text: str, *, http_status: int | None = None, spoils: str = "address"):
        super().__init__(text)
        self.http_status, self.spoils = http_status, spoils


class ArchiveError(FetchError):
    """An archive that is damaged, hostile, or of a kind that cannot be opened here."""

    def __init__(self, text: str):
        super().__init__(text, spoils="file")


class UnreadableVideo(VidbenchError):
    """A video that gives no usable clip.

    Args:
        status: one of ``STATUSES`` other than ``ok`` and ``partial``.
        reason: one sentence for people, without the path.
    """

    def __init__(self, status: str, reason: str):
        if status not in STATUSES or status in PREDICTED:
            raise ValueError(f"{status!r} is no status of an unreadable video")
        super().__init__(status, reason)
        self.status, self.reason = status, reason

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One listed video: an entry of a split, readable or not.

    Args:
        video_id: unique within the list; for Kinetics ``youtubeid_start_end``.
        path: the file, relative to the dataset's root (or absolute where it lies elsewhere).
        label: the class name, or ``None`` where the list gives none.
        label_index: its index in the dataset's label space, or -1.
        split: ``train``, ``val`` or ``test``.
        group: videos cut from one source share it and never cross splits.
        start_s: start within the source video in seconds, where the list says so.
        end_s: likewise the end.
        status: ``ok``, or what is wrong with the entry itself (``unknown_label``,
            ``duplicate``, ``bad_row``, ``missing``); such a record is never decoded.
        reason: one sentence where ``status`` is not ``ok``.
    """

    video_id: str
    path: str
    label: str | None = None
    label_index: int = -1
    split: str = ""
    group: str = ""
    start_s: float | None = None
    end_s: float | None = None
    status: str = "ok"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file holds, counted and not read off its header.

    Args:
        num_frames: pictures that a full decode is expected to give.
        frame_rate: frames per second, ``(num_frames - 1) / (last - first time stamp)``;
            the container's average where that cannot be computed.
        duration_s: seconds, from the first picture's time to the last one's end.
        width: pixels, upright (after rotation).
        height: pixels, upright.
        codec: FFmpeg's name of the codec.
        rotation: degrees that were applied, 0, 90, 180 or 270.
        header_frames: the count in the container's header, 0 where it gives none.
    """

    num_frames: int
    frame_rate: float
    duration_s: float
    width: int
    height: int
    codec: str
    rotation: int = 0
    header_frames: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Some decoded frames of one video.

    Args:
        frames: uint8, shape (T, H, W, 3), RGB, values 0 to 255.
        indices: int64, shape (T,), position of each frame in display order, from 0.
        pts_s: float64, shape (T,), time stamp of each frame in seconds from the first frame.
        info: the video it comes from.
        status: ``ok`` or ``partial``.
        reason: one sentence where the status is ``partial``.
    """

    frames: np.ndarray
    indices: np.ndarray
    pts_s: np.ndarray
    info: VideoInfo
    status: str = "ok"
    reason: str = ""


# What a user calls a decoder, by the module that is imported and by the package that is installed for it.
DECODER_MODULES = {"pyav": "av", "opencv": "cv2", "torchcodec": "torchcodec", "decord": "decord"}
DECODER_PACKAGES = {"pyav": "av", "opencv": "opencv-python", "torchcodec": "torchcodec", "decord": "decord"}
DECODERS = tuple(DECODER_MODULES)
RANDOM_NOTE = "random weights: no result"

MODALITIES = {"rgb": 3, "flow": 2, "rgb+flow": 5}  # channels of a view


@dataclass(frozen=True)
class InputSpec:
    """What the network saw in training; it travels with the weights.

    Args:
        num_frames: T of one view; 0 for a model that takes a whole video frame by frame.
        frame_rate: frames per second of a view; ``None`` takes every frame as it comes.
        resize: pixels: an int scales the short side to it, a pair ``(height, width)``
            stretches the frame to exactly that.
        crop: ``(height, width)`` in pixels.
        mean: per channel, on values in [0, 1].
        std: per channel, on values in [0, 1].
        sampling: name of a rule in ``vidbench.data.sample``: ``clips`` (dense views at
            ``frame_rate``, evenly spread), ``clips_from_start`` (the same, the first one at the
            beginning), ``uniform`` (middle of equal shares), ``dense``, ``segments`` or ``stream``.
        num_clips: temporal views of one video at test time.
        num_crops: spatial views of each clip: 1 (centre), 3 (along the longer side) or 10 (corners and centre, each
            also mirrored).
        layout: axis order that the network takes: ``NCTHW``, ``NTCHW``, ``NTHWC`` or, for
            single-frame networks, ``NCHW`` (frames are scored apart and their logits averaged).
        short: ``repeat`` repeats the last frame of a video with too few; ``loop`` starts
            again; ``error`` skips the video as ``too_short``.
        average: how the views of a video become one answer: the mean of their ``logits`` (then one softmax) or of
            their ``probabilities`` (softmax of each view first), or ``max``, each class's highest probability, as the
            published protocol did.
        modality: what the channels are: ``rgb``, ``flow`` (motion to the right and down, see ``vidbench.data.flow``)
            or ``rgb+flow``, the one behind the other.
        temporal: a change of time, as ``vidbench.data.retime`` names it; ``None`` on every card.
        corrupt: ``NAME:SEVERITY``, as ``vidbench.data.corrupt`` names it; ``None`` on every card.
    """

    num_frames: int
    frame_rate: float | None
    resize: int | tuple[int, int]
    crop: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sampling: str = "clips"
    num_clips: int = 1
    num_crops: int = 1
    layout: str = "NCTHW"
    short: str = "repeat"
    average: str = "logits"
    modality: str = "rgb"
    temporal: str | None = None
    corrupt: str | None = None

    @property
    def channels(self) -> int:
        """C of a view."""
        return MODALITIES[self.modality]

    @property
    def has_flow(self) -> bool:
        """Whether views hold motion, which takes one frame more than they are long."""
        return self.modality != "rgb"

    @property
    def num_views(self) -> int:
        """V: views a video, clips times crops."""
        return self.num_clips * self.num_crops


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """All views of one video, ready for a network but for scaling and axis order.

    Args:
        pixels: uint8, shape (V, T, H, W, C), RGB or as the card's modality says. The V axis runs clip by
            clip, and within a clip crop by crop (left or top, centre, right or bottom; ten as ``process.ten_crops``).
        indices: int64, shape (num_clips, T): the frames taken, in display order.
        info: the video they come from.
        status: ``ok`` or ``partial``.
        reason: one sentence where the status is ``partial``.
        seconds: CPU seconds spent by stage, ``decode`` and ``transform``.
    """

    pixels: np.ndarray
    indices: np.ndarray
    info: VideoInfo
    status: str = "ok"
    reason: str = ""
    seconds: dict = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a run: what became of one listed video.

    Nothing in it depends on the machine's speed, on the worker or on the order of arrival.

    Args:
        index: position in the list, from 0.
        video_id, path, label, label_index, split, group: as in the video's ``VideoRecord``.
        status: one of ``STATUSES``.
        reason: why it is not ``ok``, without the path.
        frame_rate: frames per second, 0 where it could not be opened.
        top: ``(label, label_index, probability)`` of the best classes, best first; empty where
            the video was skipped. Probabilities are in [0, 1].
        rank: how many classes score higher than the true one (0 is right at top-1; a tie
            counts against us); -1 where unknown.
        num_frames: pictures in the file, 0 where it could not be opened.
        file_size: bytes of the file when the row was made, 0 where there was none; a run does not
            continue over a file of another size.
    """

    index: int
    video_id: str
    path: str
    label: str | None
    label_index: int
    split: str
    group: str
    status: str
    reason: str = ""
    num_frames: int = 0
    frame_rate: float = 0.0
    top: tuple = ()
    rank: int = -1
    file_size: int = 0

    @property
    def predicted(self) -> bool:
        """Whether the video was read and has an answer."""
        return self.status in PREDICTED

    def as_json(self) -> dict:
        """Its fields as JSON values, in the order of the class."""
        return {name: getattr(self, name) for name in self.__slots__}  # asdict copies deeply, for a tenth of a second

    @classmethod
    def from_json(cls, values: dict) -> Row:
        """The row again; raises ``ValueError`` for a value of the wrong kind."""
        try:
            row = cls(**{**values, "top": tuple((str(a), int(b), float(c)) for a, b, c in values["top"])})
        except (TypeError, KeyError, ValueError) as problem:
            raise ValueError(f"not a row: {problem}") from None
        kinds: dict = ROW_KINDS
        for kind, names in kinds.items():
            if wrong := [name for name in names if not isinstance(getattr(row, name), kind)]:
                raise ValueError(f"not a row: {wrong[0]} is {getattr(row, wrong[0])!r}")
        if row.status not in STATUSES:
            raise ValueError(f"unknown status {row.status!r}")
        if min(row.rank, row.label_index) < -1:
            raise ValueError(f"not a row: rank {row.rank}, label_index {row.label_index}")
        if not all(math.isfinite(score) for _, _, score in row.top):
            raise ValueError("a score is not finite")
        return row


ROW_KINDS = {  # what is read from a file must be before anything computes with it
    str: ("video_id", "path", "split", "group", "status", "reason"),
    int: ("index", "label_index", "rank", "num_frames", "file_size"),
    (int, float): ("frame_rate",),
    (str, type(None)): ("label",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model says about one video.

    Args:
        labels: class names, K of them.
        scores: float32, shape (K,), probabilities, averaged over views as the card says.
        logits: float32, shape (V, K), one row a view.
        status: ``ok`` or ``partial``.
        reason: why it is not ``ok``.
    """

    labels: tuple[str, ...]
    scores: np.ndarray
    logits: np.ndarray
    status: str = "ok"
    reason: str = ""

    def top(self, n: int = 5) -> list[tuple[str, float]]:
        """The ``n`` best classes as ``(label, probability)``, best first, ties by index."""
        order = sorted(range(len(self.labels)), key=lambda k: -self.scores[k])[:n]
        return [(self.labels[i], float(self.scores[i])) for i in order]
