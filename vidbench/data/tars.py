"""A tar archive, gzipped or plain, read forwards to its end, where its checksums and its end mark are."""

from __future__ import annotations

import os
import re
import tarfile
import urllib.parse
import zlib
from collections.abc import Callable, Generator, Iterator

from vidbench.data.members import PIECE, Guard, Limits, Member, as_archive_error
from vidbench.records import ArchiveError
from vidbench.utils import printable

BLOCK = 512  # of a tar
MOST_HEADER = 1 << 20  # bytes of a tar's extended header, which is read into memory


class _Plain:
    """Bytes of a file as they are, with the interface of ``_Gunzip``."""

    def __init__(self, read: Callable[[int], bytes], start: bytes):
        self._read, self._start, self.packed = read, start, 0

    def read(self, size: int) -> bytes:
        data, self._start = (self._start, b"") if self._start else (self._read(size), b"")
        self.packed += len(data)
        return data


class _Gunzip:
    """Bytes of a gzip file, unpacked, with its checksums verified and nothing allowed behind it but zeros.

    ``tarfile`` would not look at the checksum in a stream.
    """

    def __init__(self, read: Callable[[int], bytes], start: bytes, guard: Guard):
        self._read, self._data, self._guard = read, start, guard
        self._unpacker = zlib.decompressobj(31)
        self.packed, self._unpacked = len(start), 0

    def read(self, size: int) -> bytes:
        while True:
            if not self._data:
                self._data = self._read(PIECE)
                self.packed += len(self._data)
            if self._unpacker.eof and not self._next_stream():
                return b""
            if not self._data:
                raise ArchiveError(f"{self._guard.where} ends early; fetch it again.")
            data = self._unpacker.decompress(self._data, PIECE)
            self._data = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
            self._unpacked += len(data)
            self._guard.check_ratio(self._unpacked, self.packed)
            if data:
                return data

    def _next_stream(self) -> bool:
        """Whether another gzip stream follows, as in files put together with ``cat``."""
        while self._data and not self._data.strip(b"\0"):
            self._data = self._read(PIECE)
        if not self._data:
            return False
        if not self._data.startswith(b"\x1f"):
            raise ArchiveError(f"{self._guard.where} has other data after its end; fetch it again.")
        self._unpacker = zlib.decompressobj(31)
        return True


class _Forwards:
    """What ``tarfile`` needs of a file, over a reader that cannot go back."""

    def __init__(self, reader: _Plain | _Gunzip):
        self._reader, self._data, self._at, self._before = reader, b"", 0, 0

    def tell(self) -> int:
        return self._before + self._at

    def some(self, size: int) -> bytes:
        """At least one byte and at most ``size``; none at the end."""
        if self._at == len(self._data):
            self._before += len(self._data)
            self._data, self._at = self._reader.read(PIECE), 0
        if self._at == 0 and size >= len(self._data):
            data = self._data
        else:
            data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def read(self, size: int) -> bytes:
        pieces, left = [], size
        while left and (data := self.some(left)):
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def seek(self, position: int) -> int:
        if position < self.tell():
            raise ValueError("a stream cannot go back")
        while self.tell() < position and self.some(min(PIECE, position - self.tell())):
            pass
        return self.tell()


class _NoEnd(ArchiveError):
    """A tar that stops without its end mark."""


class _BadHeader(ArchiveError):
    """A block where a tar's header should be, which is none."""


class _StrictInfo(tarfile.TarInfo):
    """A header that is damaged or missing is an error, where ``tarfile`` would take it for the archive's end."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        if len(buf) < BLOCK:
            raise _NoEnd("it has no end mark")
        if not buf.strip(b"\0"):
            return super().frombuf(buf, encoding, errors)  # raises what tells tarfile that this is the end mark
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError:
            raise _BadHeader("a header is damaged") from None
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) and info.size > MOST_HEADER:
            raise ArchiveError("a header is larger than any should be")
        return info


def stream_members(file, *, limits: Limits | None = None, num_files: int | None = None, where: str = "") -> Iterator:
    """The regular files of a tar archive, gzipped or plain, read from its start to its end, as ``Member`` objects.

    Folders, and files that macOS adds, are left out. Whoever stops early has seen members of an archive that is not
    known to be whole; the end is known to be right only when the iteration ends by itself.

    Args:
        file: has ``read(size)``; fewer bytes than asked for are fine. It is not closed.
        limits: what the archive may hold.
        num_files: how many regular files it must have, where that is known.
        where: the archive's name for messages.

    Raises:
        ArchiveError: the archive is damaged, cut, hostile or of another kind.
    """
    where = where or _name_of(file)
    guard = Guard(where, limits or Limits())
    yield from tar_members(file, guard, num_files)
    guard.check_count(num_files)


def _name_of(file) -> str:
    """For messages: the end of its address, or its name."""
    url = getattr(file, "url", "")
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path) if url else str(getattr(file, "name", "the archive"))
    return printable(os.path.basename(path), 160)


def tar_members(file, guard: Guard, num_files: int | None = None) -> Generator[Member, None, None]:
    """The regular files of a tar as ``stream_members`` gives them, counted by ``guard``."""
    start = read_start(file)
    _refuse_other_kinds(start, guard.where)
    gzipped = start.startswith(b"\x1f\x8b")
    source = _Forwards(_Gunzip(file.read, start, guard) if gzipped else _Plain(file.read, start))
    seen: set[str] = set()
    with as_archive_error(guard.where):
        try:
            tar = tarfile.TarFile(
                fileobj=source,  # type: ignore[arg-type]  # the stubs want what only writing needs
                tarinfo=_StrictInfo,
                encoding="utf-8",
                errors="surrogateescape",
            )
        except ArchiveError as problem:
            raise _no_tar(problem, gzipped, source, guard.where) from None
    while (info := _next_header(tar, guard, num_files)) is not None:
        regular = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not info.issparse()
        name = guard.admit(info.name, info.size, is_file=regular, is_folder=info.type == tarfile.DIRTYPE)
        if name is None:
            continue
        if name in seen:
            raise ArchiveError(f"{guard.where} holds {printable(name, 120)} twice.")
        seen.add(name)
        yield Member(name, info.size, source.some, guard.where)
    with as_archive_error(guard.where):
        while data := source.some(PIECE):
            if data.strip(b"\0"):
                raise ArchiveError(f"{guard.where} has other data after its end mark; fetch it again.")


def _no_tar(problem: ArchiveError, gzipped: bool, source: _Forwards, where: str) -> ArchiveError:
    if str(problem).startswith(where):
        return problem
    if isinstance(problem, _NoEnd) and not source.tell():
        return ArchiveError(f"{where} is empty.")
    if not isinstance(problem, _BadHeader | _NoEnd):
        return ArchiveError(f"{where} is damaged: {problem}; fetch it again.")
    return ArchiveError(f"{where} is {'gzip, but holds no tar archive' if gzipped else 'no tar archive'}.")


def _next_header(tar: tarfile.TarFile, guard: Guard, num_files: int | None) -> tarfile.TarInfo | None:
    try:
        with as_archive_error(guard.where):
            info = tar.next()
            tar.members.clear()  # type: ignore[attr-defined]  # not in the stubs; it keeps them all otherwise
            return info
    except _NoEnd:
        if num_files is not None and guard.num_files == num_files:
            return None
        raise ArchiveError(
            f"{guard.where} ends without a tar's end mark, so files may be missing; fetch it again."
        ) from None
    except ArchiveError as problem:
        if str(problem).startswith(guard.where):
            raise
        raise ArchiveError(f"{guard.where} is damaged: {problem}; fetch it again.") from None


def read_start(file) -> bytes:
    """The first bytes, at least a block where there are so many."""
    start = b""
    while len(start) < BLOCK and (data := file.read(BLOCK - len(start))):
        start += data
    return start


def kind_of(start: bytes) -> str:
    """``zip``, ``rar``, ``page`` (a web page), ``empty`` or ``tar`` (which it need not be), from the first bytes."""
    if not start:
        return "empty"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start.startswith(b"Rar!\x1a\x07"):
        return "rar"
    return "page" if re.match(rb"\s*<(!doctype|html|head|\?xml)", start, re.I) else "tar"


def _refuse_other_kinds(start: bytes, where: str) -> None:
    kind = kind_of(start)
    if kind == "empty":
        raise ArchiveError(f"{where} is empty.")
    if kind == "page":
        raise ArchiveError(f"{where} is a web page in place of an archive; fetch it again.")
    if kind != "tar":
        raise ArchiveError(f"{where} is a {kind.upper()} archive, which cannot be read as a stream.")
