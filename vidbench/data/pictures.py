"""Videos that are kept as folders of numbered pictures: which pictures, in which order, at which rate.

A folder of ``img_00001.jpg, img_00002.jpg ...`` is a video. Lists of such folders are in use for UCF101 and Kinetics.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.data.video import DEFAULT_RATE, Clock, Limits, Video, VideoTable, check_pixels
from vidbench.records import UnreadableVideo, VideoInfo
from vidbench.utils import printable

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
NUMBERED = re.compile(r"(.*?)(\d{1,12})\.(\w+)", re.DOTALL)
FLOW = re.compile(r"flow|[xyuv]_", re.IGNORECASE)  # beginnings of names of optical flow's pictures
RATE_FILE = "frame_rate.txt"
RATE_LEVELS = 3  # folders above, in which that file is looked for
MOST_RATE_BYTES = 64
PICTURE_CODECS = {"JPEG": "mjpeg", "PNG": "png", "WEBP": "webp", "BMP": "bmp"}
PICTURE_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")  # 8 bits a channel, or fewer


@dataclass(frozen=True)
class Series:
    """The pictures of one video in order.

    Args:
        names: file names.
        num_bytes: of all of them.
        newest_ns: time of the last change, nanoseconds.
        first: number of the first picture.
        last: number of the last one.
        reason: one sentence where numbers in between are missing.
    """

    names: tuple[str, ...]
    num_bytes: int
    newest_ns: int
    first: int
    last: int
    reason: str = ""


def is_picture(name: str) -> bool:
    """Whether a file name is that of a numbered picture."""
    match = NUMBERED.fullmatch(name)
    return match is not None and f".{match[3].lower()}" in SUFFIXES and not name.startswith(".")


def read_series(folder: str | os.PathLike[str]) -> Series:
    """The numbered pictures of a folder, by their numbers (10 comes after 9).

    Pictures of optical flow that lie beside them (``flow_x_00001.jpg``) are left out.

    Raises:
        UnreadableVideo: no such folder, no numbered picture, several series, or one number twice.
    """
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if is_picture(entry.name) and entry.is_file()]
    except FileNotFoundError:
        raise UnreadableVideo("missing", "no such folder") from None
    except OSError as problem:
        raise UnreadableVideo("missing", f"the folder cannot be read: {printable(problem.strerror)}") from None
    chosen = _choose_series(entry.name for entry in found)
    facts = {entry.name: entry.stat() for entry in found if entry.name in set(chosen.values())}
    numbers = sorted(chosen)
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    reason = f"{missing} of the numbers {numbers[0]} to {numbers[-1]} have no picture" if missing else ""
    size, newest = sum(f.st_size for f in facts.values()), max(f.st_mtime_ns for f in facts.values())
    return Series(tuple(chosen[n] for n in numbers), size, newest, numbers[0], numbers[-1], reason)


def _choose_series(names: Iterable[str]) -> dict[int, str]:
    """File names by their numbers."""
    series: dict[str, dict[int, str]] = defaultdict(dict)
    for name in sorted(names):
        match = NUMBERED.fullmatch(name)
        assert match, "is_picture has said so"
        stem, digits, _ = match.groups()
        other = series[stem].setdefault(int(digits), name)
        if other != name:
            raise UnreadableVideo("not_media", f"two pictures have one number: {printable(other)}, {printable(name)}")
    if not series:
        raise UnreadableVideo("not_regular", "a folder without numbered pictures, not a file")
    kept = [stem for stem in series if not FLOW.match(stem)] or list(series)
    if len(kept) > 1:
        words = ", ".join(f"'{printable(stem, 40)}'" for stem in sorted(kept)[:3])
        raise UnreadableVideo("not_media", f"a folder with {len(kept)} series of pictures ({words}), not one")
    return series[kept[0]]


def frame_rate(folder: str | os.PathLike) -> float | None:
    """Frames per second out of the nearest ``frame_rate.txt``: in the folder, or in one of the three above it.

    Raises:
        UnreadableVideo: such a file without a number from 0.1 to 1000.
    """
    folder = Path(os.path.abspath(folder))
    for place in (folder, *folder.parents[:RATE_LEVELS]):
        path = place / RATE_FILE
        if not path.is_file():
            continue
        try:
            with open(path, "rb") as file:
                rate = float(file.read(MOST_RATE_BYTES))
        except (OSError, ValueError):
            rate = 0.0
        if not 0.1 <= rate <= 1000:
            raise UnreadableVideo("decode_error", f"{RATE_FILE} does not hold a number of frames per second")
        return rate
    return None


def video_stamp(path: str | os.PathLike) -> tuple[int, int]:
    """Bytes and time of change (nanoseconds) of a video, a file or a folder of pictures; ``(-1, -1)`` where none is."""
    try:
        facts = os.stat(path)
        if stat.S_ISDIR(facts.st_mode):
            series = read_series(path)
            return series.num_bytes, max(series.newest_ns, facts.st_mtime_ns)
    except (OSError, ValueError, UnreadableVideo):
        return -1, -1
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else (-1, -1)


def encode_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A picture, uint8 (H, W, 3) RGB, as JPEG; ``quality`` 0 to 100; ``ValueError`` where it is too large for it."""
    import cv2

    good, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        height, width, _ = picture.shape
        raise ValueError(f"a frame of {width} x {height} pixels cannot be encoded")
    return data.tobytes()


def data_uri(jpeg: bytes) -> str:
    """A JPEG as an address that holds it, for a page that refers to nothing outside itself."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


class PictureVideo(Video):
    """A folder of numbered pictures; those that cannot be decoded are left out, and make it ``partial``."""

    def __init__(self, path: str | os.PathLike, limits: Limits):
        self.path, self.limits, self.clock = os.path.abspath(os.fspath(path)), limits, Clock(limits)
        series = read_series(self.path)
        self.names, self.file_size, self.reason = series.names, series.num_bytes, series.reason
        self.num_listed, self.rate = len(series.names), frame_rate(self.path)
        if self.num_listed > limits.max_frames:
            raise UnreadableVideo("too_large", f"more than the limit of {limits.max_frames} frames")
        self._set_table()
        try:
            self.size, self.codec = self._look(self.names[0])
        except _Damaged:
            self._count()

    def _set_table(self) -> None:
        rate = self.rate or DEFAULT_RATE
        self.table = VideoTable(np.arange(len(self.names)) / rate, rate)

    @property
    def info(self) -> VideoInfo:
        (width, height), count, rate = self.size, len(self.names), self.table.frame_rate
        return VideoInfo(count, rate, count / rate, width, height, self.codec, header_frames=self.num_listed)

    def _count(self) -> None:
        self.counted, good, sizes = True, [], []
        for name in self.names:
            self.clock.check()
            with contextlib.suppress(_Damaged):
                found, self.codec = self._look(name)
                self._pixels(name)
                sizes.append(found)
                good.append(name)
        if not good:
            raise UnreadableVideo("no_frames", "none of its pictures can be decoded")
        self.size = sizes[0]
        if len(good) < len(self.names):
            lost = f"{len(self.names) - len(good)} of {len(self.names)} pictures cannot be decoded"
            self.reason, self.names = "; ".join(filter(None, (self.reason, lost))), tuple(good)
        self._set_table()

    def _decode(self, wanted: np.ndarray) -> np.ndarray | None:
        width, height = self.size
        frames = self._room_for(len(wanted), height, width)
        for frame, number in zip(frames, wanted, strict=True):
            self.clock.check()
            try:
                pixels = self._pixels(self.names[number])
            except _Damaged:
                self._count()
                return None
            if pixels.shape != frame.shape:
                now = f"{pixels.shape[1]}x{pixels.shape[0]}"
                raise UnreadableVideo("size_changed", f"the picture size changes from {width}x{height} to {now}")
            frame[:] = pixels
        return frames

    def _look(self, name: str) -> tuple[tuple[int, int], str]:
        """Width and height, and codec, of a picture by its header."""
        with self._open(name) as picture:
            return picture.size, PICTURE_CODECS[picture.format]

    def _pixels(self, name: str) -> np.ndarray:
        """uint8 (H, W, 3), RGB; as it lies in the file, whatever its EXIF says of turning it."""
        with self._open(name) as picture:
            return np.asarray(picture.convert("RGB"))

    @contextlib.contextmanager
    def _open(self, name: str):
        from PIL import Image

        try:
            with Image.open(os.path.join(self.path, name), formats=tuple(PICTURE_CODECS)) as picture:
                check_pixels(*picture.size, self.limits)
                if picture.mode not in PICTURE_MODES:
                    raise _Damaged(f"pictures of mode {picture.mode}")
                yield picture
        except (UnreadableVideo, MemoryError, _Damaged):
            raise
        except Exception as problem:  # Pillow raises OSError, SyntaxError, ValueError and more
            raise _Damaged(str(problem)) from None


class _Damaged(Exception):
    """A picture that cannot be decoded."""
