"""Finished clips on disk: uint8 ``.npy`` files, each with a ``.json`` beside it that vouches for it.

The name of an entry is a hash over everything that shaped its pixels: the bytes of the video, the
frames and geometry asked for, the decoder's version, and our own rules. A moved video finds its entry, a
changed one never does. The array is written first and the side file last, both under a temporary
name and then renamed, so an entry without a side file does not exist. Nobody waits for a lock: two
processes that make the same entry make the same bytes.

A limit on the size belongs to the folder, in its ``limit.json``, so that all programs that share it keep to one. The
entries that were used least recently go first. Keys are hashes, so a large folder is parted into regions of about 1 GB
by the key's first bits, each with its share of the limit: making room looks through one region only.

An entry is read back only after its header, size, settings and SHA-256 agree. Headers are matched
against the one form that we write and never evaluated; pickles are never loaded.

A side file also says for which dataset and geometry its entry was made. That is for people (``holdings``): it is no
part of the name, so datasets that share a video share its entry, and entries from before it was noted stay good.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import math
import mmap
import os
import re
import stat
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.data.process import resize_backend
from vidbench.data.sample import indices_for
from vidbench.data.web import megabytes
from vidbench.records import CacheError, InputSpec
from vidbench.utils import atomic_writer, printable, sha256_of_json, write_json

log = logging.getLogger(__name__)

SCHEMA = 1
DAY_S = 86400.0
LIMIT_FILE = "limit.json"
REGION_BYTES = 1 << 30  # a region holds this at least, and less than twice as much
NUM_FOLDERS = 256
SIDE_BYTES = 600  # of a side file without its indices, which take five characters each or fewer
NOT_KNOWN = "not known"
MOST_HEADER = 1024  # bytes; ours take 128
MOST_SIDE = 16 << 20  # bytes of a side file
HEADER = re.compile(rb"\{'descr': '\|u1', 'fortran_order': False, 'shape': \(((?:\d{1,12}, ?)+\d{1,12})\), \} *\n")
# A change in one of these may make other pixels.
SHAPING = ("sample.py", "process.py", "video.py", "packets.py", "pictures.py", "strict.py", "foreign.py", "decode.py",
           "ends.py", "flow.py", "retime.py")  # fmt: skip


class ClipCache:
    """Clips in a folder, safe with any number of processes. Nothing is made before the first ``put``.

    Args:
        folder: holds one folder for each first two digits of a key.
        dataset: whose videos these are, noted in new entries; a name of ``vidbench.data.catalog``, or nothing.
    """

    def __init__(self, folder: str | os.PathLike, dataset: str = ""):
        self.folder, self.dataset = Path(folder), dataset

    def key(self, video: str | os.PathLike, geometry: dict, decoder: str) -> str | None:
        """The name of an entry, or ``None`` where the video cannot be read (and so not be cached).

        Args:
            video: the file; its bytes count, not its name or date.
            geometry: JSON values that say which frames are taken and what becomes of them.
            decoder: name and version.
        """
        content = _sha256_of_video(video)
        if content is None:
            return None
        made_by = {"decoder": decoder, "resize": resize_backend(), "rules": _sha256_of_rules()}
        return sha256_of_json({"schema": SCHEMA, "video": content, "geometry": geometry, **made_by})

    def get(self, key: str | None) -> tuple[np.ndarray, dict] | None:
        """An entry's array, uint8 and read-only, and what was stored with it; ``None`` where there is none.

        A damaged entry is logged and removed, and counts as none.
        """
        if key is None:
            return None
        array_path, side_path = self._paths(key)
        try:
            side = read_side(side_path)
            found = read_array(array_path, side, settings={"key": key}), side.get("stored", {})
            with contextlib.suppress(OSError):
                os.utime(side_path)  # when it was used last
            return found
        except FileNotFoundError:
            return None
        except CacheError as problem:
            log.warning("cache entry is made anew: %s", problem)
            for path in (side_path, array_path):
                with contextlib.suppress(OSError):
                    path.unlink()
        except OSError as problem:
            log.warning("cache entry cannot be read: %s", printable(problem))
        return None

    def put(self, key: str | None, array: np.ndarray, stored: dict, geometry: dict | None = None) -> bool:
        """Write an entry; ``False``, and a line in the log, where the disk does not take it.

        Args:
            key: from ``ClipCache.key``; ``None`` stores nothing.
            array: uint8 with at least two axes.
            stored: JSON values to get back with it.
            geometry: as ``key`` had it; noted with the dataset, for ``holdings``.

        Raises:
            ValueError: an array of another type, without pixels, or values that JSON cannot hold.
        """
        if array.dtype != np.uint8 or array.ndim < 2 or not array.size:
            raise ValueError(f"the cache holds uint8 arrays with pixels, not {array.dtype} {array.shape}")
        if key is None:
            return False
        array_path, side_path = self._paths(key)
        data = np.ascontiguousarray(array).data.cast("B")
        header = _header(array.shape)
        digest = hashlib.sha256(header)
        digest.update(data)
        side = {"schema": SCHEMA, "sha256": digest.hexdigest(), "shape": list(array.shape), "dtype": "uint8"}
        side |= {"settings": {"key": key}, "stored": stored, "made_for": [self.dataset, geometry or {}]}
        text = json.dumps(side, allow_nan=False)
        try:
            if not self._make_room(key, len(header) + data.nbytes + len(text)):
                return False
            array_path.parent.mkdir(parents=True, exist_ok=True)
            remove_debris(array_path.parent)
            with atomic_writer(array_path) as file:
                file.write(header)
                file.write(data)
            with atomic_writer(side_path, "w") as file:
                file.write(text)
        except OSError as problem:
            _warn_once(str(self.folder), printable(problem.strerror or problem))  # without the entry's name
            return False
        return True

    @property
    def limit(self) -> int | None:
        """Bytes that the folder may hold, or ``None`` where nobody set a limit. A file that says nothing usable is
        logged, and no limit."""
        path = self.folder / LIMIT_FILE
        try:
            value = read_side(path).get("most_bytes")
        except FileNotFoundError:
            return None
        except (OSError, CacheError) as problem:
            log.warning("the cache has no limit: %s", printable(problem))
            return None
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        log.warning("the cache has no limit: %s names none", printable(path, 160))
        return None

    def set_limit(self, most_bytes: int | None) -> None:
        """Set the limit of the folder for all who use it from now on, and make the cache that small at once.

        Processes that write at the same moment may exceed it by one entry each until the next is written.

        Raises:
            ValueError: a limit below 1.
            OSError: the folder cannot be written.
        """
        path = self.folder / LIMIT_FILE
        if most_bytes is None:
            path.unlink(missing_ok=True)
            return
        if most_bytes < 1:
            raise ValueError(f"a limit is at least 1 byte, got {most_bytes}")
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"most_bytes": most_bytes})
        for region in _regions(most_bytes):
            self._shrink(region, most_bytes // len(_regions(most_bytes)))

    def entries(self) -> list[Stored]:
        """All finished entries, in no order."""
        return [entry for region in _regions(None) for entry in self._stored(region)]

    def holdings(self) -> list[Holding]:
        """What lies in the cache, by dataset and geometry, the most bytes first.

        Reads every side file and no pixels. A video that two datasets share counts for the one that was read first.
        """
        found: dict[tuple[str, str], list[Stored]] = defaultdict(list)
        for entry in self.entries():
            found[_made_for(entry)].append(entry)
        rows = [
            Holding(*names, len(some), sum(entry.num_bytes for entry in some), max(entry.used_s for entry in some))
            for names, some in found.items()
        ]
        return sorted(rows, key=lambda row: (-row.num_bytes, row.dataset, row.geometry))

    def _make_room(self, key: str, size: int) -> bool:
        """Remove what was used least recently where ``size`` more bytes would exceed the limit."""
        limit = self.limit
        if limit is None:
            return True
        regions = _regions(limit)
        share = limit // len(regions)
        if size > share:
            log.warning("an entry of %d bytes is not kept: the cache's limit leaves %d", size, share)
            return False
        self._shrink(regions[int(key[:2], 16) * len(regions) // NUM_FOLDERS], share - size)
        return True

    def _shrink(self, region: range, most_bytes: int) -> None:
        stored = sorted(self._stored(region), key=lambda entry: entry.used_s)
        total = sum(entry.num_bytes for entry in stored)
        for entry in stored:
            if total <= most_bytes:
                return
            for path in entry.paths:  # the side file first: without it there is no entry
                with contextlib.suppress(OSError):
                    path.unlink()
            total -= entry.num_bytes

    def _stored(self, region: range) -> list[Stored]:
        """Entries in some folders, arrays without a side file among them: someone is writing one, or was killed."""
        found = []
        for number in region:
            sizes: dict[str, dict[str, os.stat_result]] = {}
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for item in os.scandir(self.folder / f"{number:02x}"):
                    stem, suffix = os.path.splitext(item.name)
                    if suffix in (".npy", ".json") and re.fullmatch(r"[0-9a-f]{64}", stem):
                        with contextlib.suppress(FileNotFoundError):
                            sizes.setdefault(stem, {})[suffix] = item.stat(follow_symlinks=False)
            for stem, files in sizes.items():
                used = (files.get(".json") or files[".npy"]).st_mtime
                paths = tuple(self.folder / f"{number:02x}" / f"{stem}{suffix}" for suffix in sorted(files))
                found.append(Stored(paths, sum(facts.st_size for facts in files.values()), used))
        return found

    def _paths(self, key: str) -> tuple[Path, Path]:
        if not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError(f"{printable(key, 80)!r} is no key of this cache")
        stem = self.folder / key[:2] / key
        return stem.with_suffix(".npy"), stem.with_suffix(".json")


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry on the disk.

    Args:
        paths: its side file and its array, or the one of them that is there.
        num_bytes: of both.
        used_s: when it was written or read last, in seconds as ``time.time`` gives them.
    """

    paths: tuple[Path, ...]
    num_bytes: int
    used_s: float


@dataclass(frozen=True, slots=True)
class Holding:
    """Entries of one dataset and geometry.

    Args:
        dataset: that they were made for, ``not known`` where they do not say.
        geometry: frames and size in words, as ``geometry_words`` says them.
        num_clips: entries, one a video.
        num_bytes: of disk, side files included.
        used_s: when one of them was written or read last, in seconds as ``time.time`` gives them.
    """

    dataset: str
    geometry: str
    num_clips: int
    num_bytes: int
    used_s: float


def _made_for(entry: Stored) -> tuple[str, str]:
    """Dataset and geometry of an entry, in words; side files may say anything, or nothing."""
    if len(entry.paths) < 2:
        return NOT_KNOWN, "unfinished: being written, or left by a process that was stopped"
    try:
        side = read_side(next(path for path in entry.paths if path.suffix == ".json"))
        words = geometry_words({}, [int(length) for length in side["shape"]])
    except (OSError, CacheError, LookupError, TypeError, ValueError):
        return NOT_KNOWN, "damaged: made anew when it is asked for"
    try:
        name, geometry = side["made_for"]
        words = geometry_words(geometry, side["shape"])
    except (LookupError, TypeError, ValueError, AttributeError):
        name = ""
    return printable(name if isinstance(name, str) and name else NOT_KNOWN, 40), printable(words, 120)


def geometry_words(geometry: dict, shape: Sequence[int]) -> str:
    """What frames, and how large, in words.

    Args:
        geometry: fields of an ``InputSpec`` by name; empty for entries that were made before they were written down.
        shape: of the cached array, (V, T, H, W, C).

    >>> spec = {"num_frames": 16, "frame_rate": 12.5, "resize": 60, "crop": [56, 72], "sampling": "clips"}
    >>> geometry_words(spec, (5, 16, 56, 72, 3))
    '16 frames at 12.5 fps by clips, short side 60, crop 56x72, 5 views'
    >>> geometry_words({}, (1, 16, 56, 72, 3))
    '16 frames, 56x72'
    >>> kept = {"num_frames": 32, "frame_rate": None, "resize": [60, 80], "sampling": "uniform"}
    >>> geometry_words({"stored": kept}, (1, 29, 60, 80, 3))
    'up to 32 frames by uniform, resized to 60x80, not cropped, for training'
    """
    views, frames, height, width = shape[0], *shape[-4:-1]
    kept = geometry.get("stored")  # of a video that trains (vidbench.data.stored)
    if not geometry:
        words = f"{frames} frames, {height}x{width}"
    else:
        geometry = kept or geometry
        words = f"{'up to ' if kept else ''}{geometry['num_frames'] or 'all'} frames"
        words += f" at {geometry['frame_rate']:g} fps" if geometry["frame_rate"] else ""
        size = geometry["resize"]
        size = f"short side {size}" if isinstance(size, int) else f"resized to {size[0]}x{size[1]}"
        cut = "not cropped, for training" if kept else f"crop {geometry['crop'][0]}x{geometry['crop'][1]}"
        words += f" by {geometry['sampling']}, {size}, {cut}"
        words += f", {geometry['temporal']}" if geometry.get("temporal") else ""
    return f"{words}, {views} views" if views > 1 else words


def describe_holdings(cache: ClipCache) -> str:
    """What a cache holds as a table for people, with its limit."""
    rows, limit = cache.holdings(), cache.limit
    total, clips = sum(row.num_bytes for row in rows), sum(row.num_clips for row in rows)
    number = "1 clip" if clips == 1 else f"{clips} clips"
    bound = "no limit" if limit is None else f"limit {megabytes(limit)}"
    where = "" if cache.folder.is_dir() else " (no such folder yet)"
    lines = [f"cache      {printable(cache.folder, 160)}{where}: {number}, {megabytes(total)}, {bound}"]
    if not rows:
        return lines[0]
    table = [("dataset", "clips", "bytes", "a clip", "used last", "frames")]
    for row in rows:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.used_s))
        each = megabytes(row.num_bytes // row.num_clips)
        table.append((row.dataset, str(row.num_clips), megabytes(row.num_bytes), each, used, row.geometry))
    widths = [max(len(line[column]) for line in table) for column in range(5)]
    aligned = ["  ".join((line[0].ljust(widths[0]), *map(str.rjust, line[1:5], widths[1:]), line[5])) for line in table]
    return "\n".join([*lines, *aligned])


def _regions(limit: int | None) -> list[range]:
    """Numbers of the folders that share a part of the limit; ``None`` gives all in one."""
    number = 1
    while limit is not None and number < NUM_FOLDERS and limit // (2 * number) >= REGION_BYTES:
        number *= 2
    width = NUM_FOLDERS // number
    return [range(start, start + width) for start in range(0, NUM_FOLDERS, width)]


def predict_bytes(spec: InputSpec, *, num_frames: int = 300, frame_rate: float = 30.0) -> int:
    """Bytes of disk that the views of one video will take in the cache: pixels, header and side file.

    Exact to within a hundred bytes of the side file, before any video is read, for a card that takes a fixed number of
    frames.

    Args:
        spec: the card's input. Only the frames that it samples are kept, cropped, 8 bits a value.
        num_frames: pictures in the video; matters for cards that take a whole video (``spec.num_frames`` is 0).
        frame_rate: of the video in frames per second; likewise.

    >>> from vidbench.records import InputSpec
    >>> half = (0.5, 0.5, 0.5)
    >>> predict_bytes(InputSpec(64, 25.0, 256, (224, 224), half, half)) // 10**5 / 10  # MB
    9.6
    """
    indices = indices_for(spec, np.arange(num_frames) / frame_rate, frame_rate)
    shape = (*indices.shape[:1], indices.shape[1] - spec.has_flow, *spec.crop, spec.channels)
    pixels = math.prod(shape) * spec.num_crops
    return len(_header((shape[0] * spec.num_crops, *shape[1:]))) + pixels + SIDE_BYTES + 5 * indices.size


def read_array(path: str | os.PathLike, side: dict | str | os.PathLike | None = None, *, settings: dict | None = None):
    """Map a cached array read-only, once all that is promised about it holds.

    Args:
        path: a ``.npy`` file, uint8, C order, at least two axes.
        side: its side file or what is in it: ``schema``, ``sha256`` (of the whole file), ``shape``
            and ``settings``. Without it only header and size can be checked.
        settings: what the side file must name as settings; ``None`` for none.

    Returns:
        uint8, read-only memory map.

    Raises:
        CacheError: the file is damaged, of another form, or not what its side file promises.
        OSError: the file cannot be read; ``FileNotFoundError`` where it is not there.
    """
    if side is not None and not isinstance(side, dict):
        side = read_side(side)
    where = printable(os.path.basename(path), 120)
    shape, start = None, 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        shape, start = _read_header(file.read(MOST_HEADER), where)
        if size != start + math.prod(shape):
            raise CacheError(f"{where} has {size} bytes, its header promises {start + math.prod(shape)}")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if side is not None:
        _check_side(side, shape, mapped, settings or {}, where)
    return np.frombuffer(mapped, np.uint8, offset=start).reshape(shape)


def read_side(path: str | os.PathLike) -> dict:
    """What a side file says.

    Raises:
        CacheError: no JSON object, or too large.
        OSError: it cannot be read; ``FileNotFoundError`` where it is not there.
    """
    where = printable(os.path.basename(path), 120)
    with open(path, "rb") as file:
        data = file.read(MOST_SIDE + 1)
    if len(data) > MOST_SIDE:
        raise CacheError(f"{where} is larger than any side file")
    try:
        side = json.loads(data)
    except (ValueError, RecursionError, MemoryError):
        raise CacheError(f"{where} is no JSON; it may have been written halfway") from None
    if not isinstance(side, dict):
        raise CacheError(f"{where} holds no object")
    return side


def remove_debris(folder: str | os.PathLike[str], older_than_s: float = DAY_S) -> int:
    """Remove temporary files that killed processes left in a folder; returns how many.

    Younger ones may belong to a process that is still writing.
    """
    removed, now = 0, time.time()
    for entry in os.scandir(folder):
        if not (entry.name.startswith(".") and ".tmp" in entry.name):
            continue
        with contextlib.suppress(OSError):
            if now - entry.stat(follow_symlinks=False).st_mtime > older_than_s:
                os.unlink(entry.path)
                removed += 1
    return removed


def _check_side(side: dict, shape: tuple[int, ...], data, settings: dict, where: str) -> None:
    if side.get("schema") != SCHEMA:
        raise CacheError(f"{where} was written in form {printable(side.get('schema'), 20)}, this is form {SCHEMA}")
    if side.get("shape") != list(shape) or side.get("dtype", "uint8") != "uint8":
        raise CacheError(f"{where} has shape {shape}, its side file promises {printable(side.get('shape'), 60)}")
    if side.get("settings", {}) != settings:
        raise CacheError(f"{where} was made with other settings")
    if not isinstance(side.get("stored", {}), dict):
        raise CacheError(f"{where} has a side file of another form")
    if hashlib.sha256(data).hexdigest() != side.get("sha256"):
        raise CacheError(f"{where} is not the data that its side file was written for")


def _header(shape: tuple[int, ...]) -> bytes:
    """The start of a NumPy file, format 1.0, padded to a multiple of 64 bytes."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {tuple(map(int, shape))}, }}".encode()
    padding = -(10 + len(text) + 1) % 64
    return b"\x93NUMPY\x01\x00" + (len(text) + padding + 1).to_bytes(2, "little") + text + b" " * padding + b"\n"


def _read_header(start: bytes, where: str) -> tuple[tuple[int, ...], int]:
    """Shape, and where the pixels begin."""
    if start[:8] != b"\x93NUMPY\x01\x00":
        raise CacheError(f"{where} is no NumPy file of format 1.0")
    end = 10 + int.from_bytes(start[8:10], "little")
    found = HEADER.fullmatch(start, 10, end)
    if end > len(start) or not found:
        raise CacheError(f"{where} has another header than clips have: uint8, C order, at least two axes")
    shape = tuple(int(number) for number in found[1].split(b","))
    if 0 in shape:
        raise CacheError(f"{where} holds no pixel")
    return shape, end


def _sha256_of_video(path: str | os.PathLike) -> str | None:
    """Of a regular file's bytes; a named pipe is not waited for."""

    def opener(name, flags):
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        with open(path, "rb", opener=opener) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        pass
    return None


@functools.cache  # a process works by the sources that it has loaded
def _sha256_of_rules() -> str:
    """Of the source of the modules that shape pixels, so that no entry outlives a changed rule."""
    digest = hashlib.sha256()
    for name in SHAPING:
        with contextlib.suppress(OSError):
            digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()


@functools.cache  # a process says it once for a folder and a reason, not for each clip
def _warn_once(folder: str, reason: str) -> None:
    log.warning("the clip cache %s takes no more, and clips are decoded anew: %s", folder, reason)
