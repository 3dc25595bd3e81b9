"""Finished clips on disk: uint8 ``.npy`` files, each with a ``.json`` beside it that vouches for it.

The name of an entry is a hash over everything that shaped its pixels: the bytes of the video, the
frames and geometry asked for, the decoder's version, and our own rules. A moved video finds its entry, a
changed one never does. The array is written first and the side file last, both under a temporary
name and then renamed, so an entry without a side file does not exist. Nobody waits for a lock: two
processes that make the same entry make the same bytes.

An entry is read back only after its header, size, settings and SHA-256 agree. Headers are matched
against the one form that we write and never evaluated; pickles are never loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import mmap
import os
import re
import stat
import time
from pathlib import Path

import numpy as np

from vidbench.data.process import resize_backend
from vidbench.records import CacheError
from vidbench.utils import atomic_writer, printable, sha256_of_json

log = logging.getLogger(__name__)

SCHEMA = 1
DAY_S = 86400.0
MOST_HEADER = 1024  # bytes; ours take 128
MOST_SIDE = 16 << 20  # bytes of a side file
HEADER = re.compile(rb"\{'descr': '\|u1', 'fortran_order': False, 'shape': \(((?:\d{1,12}, ?)+\d{1,12})\), \} *\n")
SHAPING = ("sample.py", "process.py", "decode.py")  # a change in one of these makes other pixels


class ClipCache:
    """Clips in a folder, safe with any number of processes. Nothing is made before the first ``put``.

    Args:
        folder: holds one folder for each first two digits of a key.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

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
            return read_array(array_path, side, settings={"key": key}), side.get("stored", {})
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

    def put(self, key: str | None, array: np.ndarray, stored: dict) -> bool:
        """Write an entry; ``False``, and a line in the log, where the disk does not take it.

        Args:
            array: uint8 with at least two axes.
            stored: JSON values to get back with it.

        Raises:
            ValueError: an array of another type, without pixels, or values that JSON cannot hold.
        """
        if array.dtype != np.uint8 or array.ndim < 2 or not array.size:
            raise ValueError(f"the cache holds uint8 arrays with pixels, not {array.dtype} {array.shape}")
        if key is None:
            return False
        array_path, side_path = self._paths(key)
        data = memoryview(np.ascontiguousarray(array)).cast("B")
        header = _header(array.shape)
        digest = hashlib.sha256(header)
        digest.update(data)
        side = {"schema": SCHEMA, "sha256": digest.hexdigest(), "shape": list(array.shape), "dtype": "uint8"}
        side |= {"settings": {"key": key}, "stored": stored}
        text = json.dumps(side, allow_nan=False)
        try:
            array_path.parent.mkdir(parents=True, exist_ok=True)
            remove_debris(array_path.parent)
            with atomic_writer(array_path) as file:
                file.write(header)
                file.write(data)
            with atomic_writer(side_path, "w") as file:
                file.write(text)
        except OSError as problem:
            log.warning("the clip cache takes no more: %s", printable(problem))
            return False
        return True

    def _paths(self, key: str) -> tuple[Path, Path]:
        if not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError(f"{printable(key, 80)!r} is no key of this cache")
        stem = self.folder / key[:2] / key
        return stem.with_suffix(".npy"), stem.with_suffix(".json")


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


def remove_debris(folder: str | os.PathLike, older_than_s: float = DAY_S) -> int:
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


def _sha256_of_rules() -> str:
    """Of the source of the modules that shape pixels, so that no entry outlives a changed rule."""
    digest = hashlib.sha256()
    for name in SHAPING:
        with contextlib.suppress(OSError):
            digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()
