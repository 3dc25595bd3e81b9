"""What may lie in an archive: files under names that stay inside, within limits."""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from vidbench.records import ArchiveError, FetchError
from vidbench.utils import printable

PIECE = 1 << 20  # bytes read at a time
MOST_DEPTH = 32  # folders within folders
MOST_NAME = 255  # bytes of one part of a name, as file systems have it
MOST_PATH = 1024  # bytes of a whole name
FREE_OF_RATIO = 16 << 20  # bytes unpacked before the ratio counts


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Args:
        most_files: files and folders.
        most_bytes: of all files together, unpacked.
        most_ratio: bytes unpacked for each packed one, counted after the first 16 MB; videos have about 1, text 20.
    """

    most_files: int = 3_000_000
    most_bytes: int = 2 << 40
    most_ratio: float = 100.0


class Member:
    """A regular file in an archive: ``name`` (relative, ``/`` between parts), ``size`` in bytes, and ``read``.

    It can be read until the next member is asked for, from its start to its end, once.
    """

    def __init__(self, name: str, size: int, read: Callable[[int], bytes], where: str):
        self.name, self.size, self.left = name, size, size
        self._read, self._where = read, where

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes (all that are left where negative), fewer only at the end.

        Raises:
            ArchiveError: the archive ends within the file, or is damaged there.
        """
        wanted = self.left if size < 0 else min(size, self.left)
        pieces = []
        while wanted:
            data = self._piece(min(wanted, PIECE) if size < 0 else wanted)
            pieces.append(data)
            wanted -= len(data)
            self.left -= len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, size: int) -> bytes:
        with as_archive_error(self._where):
            data = self._read(size)
        if not data:
            raise ArchiveError(f"{self._where} ends within {printable(self.name, 120)}; fetch it again.")
        return data


def safe_name(name: str) -> str:
    """A member's name as a relative path with ``/``, without empty and ``.`` parts; empty for the top itself.

    Raises:
        ArchiveError: a name that leads outside somewhere, that some file system cannot have, or that is no text.

    >>> safe_name("./val//clip [1].mp4")
    'val/clip [1].mp4'
    """
    shown = printable(name, 120)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ArchiveError(f"It holds the name '{shown}', which is not UTF-8.") from None
    if re.search(r"[\x00-\x1f\x7f-\x9f]", name):
        raise ArchiveError(f"It holds the name '{shown}', which has control characters.")
    if "\\" in name or re.match(r"[A-Za-z]:", name) or name.startswith("/"):
        raise ArchiveError(f"It holds the name '{shown}', which is absolute or from another system.")
    if os.name == "nt" and re.search(r'[<>:"|?*]|[. ](/|$)', name):
        raise ArchiveError(f"It holds the name '{shown}', which Windows cannot have.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ArchiveError(f"It holds the name '{shown}', which leads out of the folder.")
    clean = "/".join(parts)
    too_long = any(len(part.encode()) > MOST_NAME for part in parts) or len(clean.encode()) > MOST_PATH
    if too_long or len(parts) > MOST_DEPTH:
        raise ArchiveError(f"It holds the name '{shown}', which is too long or too deep.")
    return clean


def is_junk(name: str) -> bool:
    """Whether it is a file that macOS adds to archives, and not part of the data."""
    return any(part.startswith("._") or part in (".DS_Store", "__MACOSX") for part in name.split("/"))


class Guard:
    """Counts what an archive holds and refuses what goes over a limit."""

    def __init__(self, where: str, limits: Limits):
        self.where, self.limits = where, limits
        self.num_members = self.num_files = self.num_bytes = 0

    def admit(self, name: str, size: int, *, is_file: bool, is_folder: bool) -> str | None:
        """The name under which to unpack a regular file, or ``None`` for a folder and for junk."""
        self.num_members += 1
        if self.num_members > self.limits.most_files:
            raise ArchiveError(f"{self.where} holds more than {self.limits.most_files} files.")
        try:
            clean = safe_name(name)
        except ArchiveError as problem:
            raise ArchiveError(f"{self.where} is refused. {problem}") from None
        if is_folder:
            return None
        if not is_file or not clean or size < 0:
            raise ArchiveError(
                f"{self.where} is refused. It holds {printable(name, 120)!r}, which is a link, a device or the like."
            )
        if is_junk(clean):
            return None
        self.num_files += 1
        self.num_bytes += size
        if self.num_bytes > self.limits.most_bytes:
            raise ArchiveError(f"{self.where} holds more than {self.limits.most_bytes} bytes.")
        return clean

    def check_ratio(self, unpacked: int, packed: int) -> None:
        """Raises ``ArchiveError`` where the bytes unpacked are many more than those packed."""
        if unpacked > FREE_OF_RATIO and unpacked > self.limits.most_ratio * packed:
            raise ArchiveError(
                f"{self.where} unpacks to more than {self.limits.most_ratio:g} times its size, as no videos do."
            )

    def check_count(self, num_files: int | None) -> None:
        """Raises ``ArchiveError`` where the number of files is known and another one was found."""
        if num_files is not None and self.num_files != num_files:
            raise ArchiveError(f"{self.where} holds {self.num_files} files, expected {num_files}; fetch it again.")


@contextlib.contextmanager
def as_archive_error(where: str):
    """Turn what the unpackers raise about damaged data into one sentence."""
    try:
        yield
    except (FetchError, MemoryError):
        raise
    except (zlib.error, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, RecursionError) as problem:
        raise ArchiveError(f"{where} is damaged: {printable(problem, 120)}; fetch it again.") from None
    except (NotImplementedError, RuntimeError) as problem:  # zipfile: a method or password we do not have
        raise ArchiveError(f"{where} cannot be opened: {printable(problem, 120)}.") from None
