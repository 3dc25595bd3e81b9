"""What was found out about files, kept in a text file, so that stopped work goes on where it stopped."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from vidbench.data.pictures import video_stamp
from vidbench.records import RunError
from vidbench.utils import printable


def file_stamp(root: str | os.PathLike, path: str) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; ``(-1, -1)`` where no video is."""
    return video_stamp(os.path.join(root, path))


class FileJournal:
    """One JSON line a finding, appended and flushed; a line cut off by a kill is dropped.

    A finding holds as long as the file has the same size and the same time of change, and ``made_by`` is the same.
    One process writes at a time: open it with ``with``.

    Args:
        path: the journal; made, with its folder, when it is not there.
        root: the folder that the files' paths are relative to.
        made_by: what made the findings: versions and settings, in one word or more.

    Raises:
        RunError: another process writes it, or the folder cannot be written; on entering.
    """

    def __init__(self, path: str | os.PathLike, root: str | os.PathLike, made_by: str):
        self.path, self.root, self.made_by = Path(path), os.fspath(root), made_by
        self._found: dict[str, dict] = {}
        self._file: BinaryIO | None = None
        self._lock = FileLock(f"{self.path}.lock")

    def __enter__(self) -> FileJournal:
        where = printable(self.path, 160)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"Another process writes {where}; wait for its end, or name another folder.") from None
        except OSError as problem:
            raise RunError(f"{where} cannot be written: {problem.strerror or problem}; name another folder.") from None
        try:
            self._file = open(self.path, "a+b")
            self._load(self._file)
        except BaseException as problem:
            self.__exit__()
            if isinstance(problem, OSError):
                raise RunError(f"{where} cannot be written: {problem.strerror}; name another folder.") from None
            raise
        return self

    def __exit__(self, *_) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.release()

    def __len__(self) -> int:
        return len(self._found)

    def _load(self, file: BinaryIO) -> None:
        file.seek(0)
        whole = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                entry = json.loads(line)
                self._found[entry["path"]] = entry
            except (ValueError, KeyError, TypeError):
                continue  # a line that a full disk or another program spoilt is found out again
        file.truncate(whole)

    def get(self, path: str) -> dict | None:
        """What is known about a file as it is now, or ``None``."""
        entry = self._found.get(path)
        if entry is None or entry.get("made_by") != self.made_by:
            return None
        return entry if [entry.get("size"), entry.get("mtime_ns")] == list(file_stamp(self.root, path)) else None

    def add(self, path: str, stamp: tuple[int, int], values: dict) -> None:
        """Write down a finding about a file that had this ``file_stamp`` before it was read.

        Raises:
            RunError: the disk does not take it.
        """
        assert self._file, "used within its block"
        entry = {"path": path, "size": stamp[0], "mtime_ns": stamp[1], "made_by": self.made_by, **values}
        self._found[path] = entry
        try:
            self._file.write(json.dumps(entry, allow_nan=False).encode() + b"\n")
            self._file.flush()
        except OSError as problem:
            raise RunError(f"{printable(self.path, 160)} cannot be written: {problem.strerror}.") from None
