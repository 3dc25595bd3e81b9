"""An archive in several parts, read as one file."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from vidbench.records import ArchiveError
from vidbench.utils import printable


def find_parts(first: str | os.PathLike) -> list[Path]:
    """The parts of an archive that was cut into ``NAME001, NAME002, ...`` (or from 0 on), in order.

    Args:
        first: any one of them.

    Raises:
        ArchiveError: one in between, or the first, is missing or empty. That the last ones are missing shows only
            when the archive is read.
    """
    first = Path(first)
    match = re.fullmatch(r"(.*?)(\d{2,4})", first.name)
    if not match:
        raise ArchiveError(f"{printable(first.name, 160)} does not end in a part's number.")
    stem, width = match[1], len(match[2])
    found = {}
    if first.parent.is_dir():
        for path in first.parent.iterdir():
            rest = path.name.removeprefix(stem)
            if path.name.startswith(stem) and re.fullmatch(rf"\d{{{width}}}", rest, re.ASCII):
                found[int(rest)] = path
    begin = 0 if 0 in found else 1
    for number in range(begin, max(found, default=begin) + 1):
        path = found.get(number, first.with_name(f"{stem}{number:0{width}}"))
        if not path.is_file() or not path.stat().st_size:
            raise ArchiveError(f"{printable(path.name, 160)} is missing or empty; all parts must lie in one folder.")
    return [found[number] for number in sorted(found)]


class JoinedFile(io.RawIOBase):
    """Several files read as one, without a copy: seekable, read-only.

    Args:
        paths: in order, at least one.
    """

    def __init__(self, paths: Sequence[str | os.PathLike]):
        super().__init__()
        self._paths = [Path(path) for path in paths]
        self.name = os.fspath(self._paths[0])
        self._starts = [0]
        for path in self._paths:
            self._starts.append(self._starts[-1] + path.stat().st_size)
        self._position, self._number = 0, -1
        self._file: io.FileIO | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer) -> int:
        """Fill ``buffer`` from one part, and return how many bytes it took: 0 at the end."""
        import bisect

        if self._position >= self._starts[-1]:
            return 0
        number = bisect.bisect_right(self._starts, self._position) - 1
        if self._file is None or number != self._number:
            self._close_part()
            self._file, self._number = self._paths[number].open("rb", buffering=0), number
        self._file.seek(self._position - self._starts[number])
        count = self._file.readinto(buffer)
        self._position += count
        return count

    def _close_part(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._number = None, -1

    def close(self) -> None:
        self._close_part()
        super().close()


def join_parts(first: str | os.PathLike) -> JoinedFile:
    """All parts of an archive (see ``find_parts``) as one file."""
    return JoinedFile(find_parts(first))
