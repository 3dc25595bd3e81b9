"""Videos that are kept as folders of numbered pictures: which pictures, in which order, at which rate.

A folder of ``img_00001.jpg, img_00002.jpg ...`` is a video. Lists of such folders are in use for UCF101 and Kinetics.
"""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vidbench.records import UnreadableVideo
from vidbench.utils import printable

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
NUMBERED = re.compile(r"(.*?)(\d{1,12})\.(\w+)", re.DOTALL)
FLOW = re.compile(r"flow|[xyuv]_", re.IGNORECASE)  # beginnings of names of optical flow's pictures
RATE_FILE = "frame_rate.txt"
RATE_LEVELS = 3  # folders above, in which that file is looked for
MOST_RATE_BYTES = 64


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
    return bool(match) and f".{match[3].lower()}" in SUFFIXES and not name.startswith(".")


def read_series(folder: str | os.PathLike) -> Series:
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
        stem, digits, _ = NUMBERED.fullmatch(name).groups()
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
