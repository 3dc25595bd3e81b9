"""What every way of reading a video shares: what it may cost, when pictures are shown, which ones are asked for."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vidbench.records import Clip, ConfigError, UnreadableVideo, VideoInfo
from vidbench.utils import printable

LONGEST_FRAME_S = 60  # seconds; time stamps further apart than this on average are no times
DEFAULT_RATE = 25.0  # frames per second where neither time stamps nor header give one


@dataclass(frozen=True)
class Limits:
    """What one video may cost.

    Args:
        seconds: wall time from opening to the last frame. In-process it is looked at between packets;
            ``vidbench.data.load`` enforces it on its workers.
        megabytes: bytes of the frames asked for, and the memory of a worker process, in MiB.
        max_pixels: of one picture, width times height, refused before memory is taken for it.
        max_frames: pictures in one video.
    """

    seconds: float = 60.0
    megabytes: int = 2048
    max_pixels: int = 8192 * 8192
    max_frames: int = 200_000

    def __post_init__(self):
        for name in ("seconds", "megabytes", "max_pixels", "max_frames"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"the limit {name} must be above 0, got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, eq=False)
class VideoTable:
    """When the pictures of a video are shown: what a sampler needs, known before any is decoded.

    Args:
        pts_s: float64, shape (N,), seconds from the first picture, non-decreasing. Where the file gives no
            usable time stamps (none, or running backwards) they are spaced evenly at its average rate.
        frame_rate: frames per second, above 0; see ``VideoInfo.frame_rate``.
    """

    pts_s: np.ndarray
    frame_rate: float

    @property
    def num_frames(self) -> int:
        """N."""
        return len(self.pts_s)


Indices = Sequence[int] | np.ndarray | Callable[[VideoTable], Sequence[int] | np.ndarray]


class Video:
    """An open video: ``info``, ``pts_s``, ``table`` and ``read``; made by ``open_video``."""

    counted = False  # whether every picture was decoded

    def __init__(self, path: str | os.PathLike, limits: Limits):
        self.path, self.limits, self.clock = os.path.abspath(os.fspath(path)), limits, Clock(limits)
        self.file_size = check_file(path)
        self.reason = ""
        self.table: VideoTable

    @property
    def info(self) -> VideoInfo:
        """Count, rate, size and codec of the pictures; decodes only where packets do not tell."""
        raise NotImplementedError

    @property
    def pts_s(self) -> np.ndarray:
        """float64, shape (N,), when each picture is shown; see ``VideoTable``."""
        return self.table.pts_s

    @property
    def status(self) -> str:
        """``ok``, or ``partial`` where ``reason`` says that the file is damaged or cut short."""
        return "partial" if self.reason else "ok"

    def close(self) -> None:
        """Give back the file."""

    def read(self, indices: Indices, size: tuple[int, int] | None = None) -> Clip:
        """The frames at ``indices``; see ``read_clip``."""
        self.clock.go_on()
        try:
            return self._read(indices, size)
        finally:
            self.clock.rest()

    def decode_all(self) -> None:
        """Decode every picture once, so that damage anywhere in the video shows in ``status`` and ``reason``.

        Raises:
            UnreadableVideo: as ``open_video``; the time limit holds for this call anew.
        """
        self.clock.go_on()
        try:
            if not self.counted:
                with as_unreadable():
                    self._count()
        finally:
            self.clock.rest()

    def _read(self, indices: Indices, size: tuple[int, int] | None) -> Clip:
        chosen = self._choose(indices)
        with as_unreadable():
            frames = self._decode(np.unique(chosen))
        if frames is None:  # damage was met, and the pictures counted anew
            try:
                chosen = self._choose(indices)
            except ValueError as problem:
                raise UnreadableVideo("decode_error", f"some pictures cannot be decoded: {problem}") from None
            with as_unreadable():
                frames = self._decode(np.unique(chosen))
            assert frames is not None, "pictures are counted once"
        positions, inverse = np.unique(chosen, return_inverse=True)
        if not np.array_equal(positions, chosen):
            frames = frames[inverse]
        if size is not None:
            frames = _scaled(frames, size)
        return Clip(frames, chosen, self.pts_s[chosen], self.info, self.status, self.reason)

    def _decode(self, wanted: np.ndarray) -> np.ndarray | None:
        """The pictures at ``wanted`` (rising, no repeats), or ``None`` when the table had to be made anew."""
        raise NotImplementedError

    def _count(self) -> None:
        """Decode every picture, keep those that are sound in the table, and say in ``reason`` what is not."""
        raise NotImplementedError

    def _choose(self, indices: Indices) -> np.ndarray:
        chosen = np.asarray(indices(self.table) if callable(indices) else indices)
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise ValueError(f"indices must be whole numbers in one row, got {chosen.dtype} {chosen.shape}")
        chosen, num_frames = chosen.astype(np.int64), self.table.num_frames
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < num_frames):
            raise ValueError(f"frames {chosen.min()} to {chosen.max()} were asked of a video of {num_frames} frames")
        return chosen

    def _room_for(self, num_frames: int, height: int, width: int) -> np.ndarray:
        check_pixels(width, height, self.limits)
        megabytes = num_frames * height * width * 3 / 2**20
        if megabytes > self.limits.megabytes:
            raise UnreadableVideo(
                "too_large",
                f"the {num_frames} frames asked for take {megabytes:.0f} MB, over the limit of {self.limits.megabytes}",
            )
        return np.empty((num_frames, height, width, 3), np.uint8)


def _scaled(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    height, width = size
    scaled = np.empty((len(frames), height, width, 3), np.uint8)
    for frame, target in zip(frames, scaled, strict=True):
        target[:] = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    return scaled


def timetable(pts: Sequence[int | None], time_base, average_rate) -> VideoTable:
    """The table of pictures in display order from their time stamps in ticks of ``time_base`` seconds."""
    rate = float(average_rate) if average_rate else 0.0
    if not 1 / LONGEST_FRAME_S <= rate <= 1e5:
        rate = DEFAULT_RATE
    count, ticks = len(pts), time_base or 0
    known = [stamp for stamp in pts if stamp is not None]
    usable = bool(count and ticks) and len(known) == count
    if usable:
        usable = all(a <= b for a, b in itertools.pairwise(known))
        usable = usable and (count == 1 or 0 < (known[-1] - known[0]) * ticks <= LONGEST_FRAME_S * count)
    if not usable:
        return VideoTable(np.arange(count) / rate, rate)
    seconds = np.array([(stamp - known[0]) * ticks.numerator / ticks.denominator for stamp in known], np.float64)
    if count > 1:
        rate = (count - 1) / float(seconds[-1])
    return VideoTable(seconds, rate)


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Raises ``UnreadableVideo`` (``too_large``) where a picture has more pixels than the limit."""
    if width * height > limits.max_pixels:
        raise UnreadableVideo(
            "too_large", f"pictures of {width}x{height} are over the limit of {limits.max_pixels} pixels"
        )


# ---------------------------------------------------------------- what is wrong with a file


def check_file(path: str | os.PathLike) -> int:
    """The size in bytes of a regular file that is not empty; raises ``UnreadableVideo``. Opens nothing."""
    try:
        facts = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise UnreadableVideo("not_regular", "a symbolic link to a file that does not exist") from None
        raise UnreadableVideo("missing", "no such file") from None
    except PermissionError:
        raise UnreadableVideo("missing", "no permission to look into its folder") from None
    except (OSError, ValueError) as problem:
        text = getattr(problem, "strerror", None) or str(problem)
        status = "not_regular" if os.path.islink(os.fsencode(path).replace(b"\0", b"")) else "missing"
        raise UnreadableVideo(status, f"cannot be looked up: {printable(text)}") from None
    if not stat.S_ISREG(facts.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(facts.st_mode), "a device")
        raise UnreadableVideo("not_regular", f"{kind}, not a file")
    if facts.st_size == 0:
        raise UnreadableVideo("empty", "the file has 0 bytes")
    return facts.st_size


@contextlib.contextmanager
def as_unreadable(status: str = "decode_error"):
    """Whatever a decoder raises about a file becomes ``UnreadableVideo``; our own mistakes in arguments pass."""
    try:
        yield
    except (UnreadableVideo, ConfigError):
        raise
    except MemoryError:
        raise UnreadableVideo("memory", "decoding needs more memory than there is") from None
    except Exception as problem:
        raise UnreadableVideo(status, decoder_words(problem)) from None


def decoder_words(problem: BaseException) -> str:
    """What a decoder's exception says, as a reason of ``UnreadableVideo``."""
    text = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return f"the decoder says: {printable(text, 120)}"


class Clock:
    """The time that opening a video and reading from it for the first time may take together, and each later read."""

    def __init__(self, limits: Limits):
        self.seconds, self.end, self.rests = limits.seconds, time.monotonic() + limits.seconds, False

    def go_on(self) -> None:
        """Begin a read: it has the whole time again where the one before it has ended."""
        if self.rests:
            self.end, self.rests = time.monotonic() + self.seconds, False

    def rest(self) -> None:
        """End a read."""
        self.rests = True

    def check(self) -> None:
        """Raises ``UnreadableVideo`` (``timeout``) where the time is over."""
        if time.monotonic() > self.end:
            raise UnreadableVideo("timeout", f"not read within the limit of {self.seconds:g} s")

    @property
    def left(self) -> float:
        """Seconds left, at least 0.1."""
        return max(0.1, self.end - time.monotonic())
