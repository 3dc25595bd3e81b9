"""Archives → regular files inside one folder, all of them or none under the folder's name.

``extract`` unpacks a tar (gzipped or plain), ZIP or RAR archive, also one in several parts; ``stream_members`` reads a
tar from anything that can be read forwards, a download for instance, and stores nothing. Both admit regular files and
directories only, under names that stay inside on every system, within limits, and read an archive to its end, where
its checksums and its end mark are. Links, devices, sparse files and second files of one name are refused: datasets
have none.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.disk import writing
from vidbench.records import ArchiveError, FetchError
from vidbench.utils import printable, umask, write_json

PIECE = 1 << 20  # bytes read at a time
BLOCK = 512  # of a tar
MOST_DEPTH = 32  # folders within folders
MOST_NAME = 255  # bytes of one part of a name, as file systems have it
MOST_PATH = 1024  # bytes of a whole name
MOST_HEADER = 1 << 20  # bytes of a tar's extended header, which is read into memory
FREE_OF_RATIO = 16 << 20  # bytes unpacked before the ratio counts
MARKER = ".complete.json"
KEPT = "nothing of it was kept"
TOOL_SECONDS = 6 * 3600
RAR_HELP = (
    "install unar (Debian and Ubuntu: apt-get install unar; Fedora: dnf install unar; macOS: brew install unar) "
    "or 7-Zip (Windows: winget install 7zip.7zip, then put its folder on PATH), and try again"
)


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


@dataclass(frozen=True)
class Extracted:
    """What lies in a folder after ``extract``.

    Args:
        folder: where.
        num_files: regular files written, without the marker.
        num_bytes: their bytes.
        num_listed: regular files in the archive, those not wanted included.
        was_there: whether an earlier call had done it.
    """

    folder: Path
    num_files: int
    num_bytes: int
    num_listed: int
    was_there: bool = False


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
        with _damage(self._where):
            data = self._read(size)
        if not data:
            raise ArchiveError(f"{self._where} ends within {printable(self.name, 120)}; fetch it again.")
        return data


# ---------------------------------------------------------------- names and limits


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


class _Guard:
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
        if unpacked > FREE_OF_RATIO and unpacked > self.limits.most_ratio * packed:
            raise ArchiveError(
                f"{self.where} unpacks to more than {self.limits.most_ratio:g} times its size, as no videos do."
            )

    def check_count(self, num_files: int | None) -> None:
        if num_files is not None and self.num_files != num_files:
            raise ArchiveError(f"{self.where} holds {self.num_files} files, expected {num_files}; fetch it again.")


@contextlib.contextmanager
def _damage(where: str):
    """Turn what the unpackers raise about damaged data into one sentence."""
    try:
        yield
    except (FetchError, MemoryError):
        raise
    except (zlib.error, tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, RecursionError) as problem:
        raise ArchiveError(f"{where} is damaged: {printable(problem, 120)}; fetch it again.") from None
    except (NotImplementedError, RuntimeError) as problem:  # zipfile: a method or password we do not have
        raise ArchiveError(f"{where} cannot be opened: {printable(problem, 120)}.") from None


# ---------------------------------------------------------------- tar


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

    def __init__(self, read: Callable[[int], bytes], start: bytes, guard: _Guard):
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
    guard = _Guard(where, limits or Limits())
    yield from _tar_members(file, guard, num_files)
    guard.check_count(num_files)


def _name_of(file) -> str:
    """For messages: the end of its address, or its name."""
    url = getattr(file, "url", "")
    path = urllib.parse.unquote(urllib.parse.urlsplit(url).path) if url else str(getattr(file, "name", "the archive"))
    return printable(os.path.basename(path), 160)


def _tar_members(file, guard: _Guard, num_files: int | None = None) -> Iterator[Member]:
    start = _read_start(file)
    _refuse_other_kinds(start, guard.where)
    gzipped = start.startswith(b"\x1f\x8b")
    source = _Forwards(_Gunzip(file.read, start, guard) if gzipped else _Plain(file.read, start))
    seen: set[str] = set()
    with _damage(guard.where):
        try:
            tar = tarfile.TarFile(fileobj=source, tarinfo=_StrictInfo, encoding="utf-8", errors="surrogateescape")
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
    with _damage(guard.where):
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


def _next_header(tar: tarfile.TarFile, guard: _Guard, num_files: int | None) -> tarfile.TarInfo | None:
    try:
        with _damage(guard.where):
            info = tar.next()
            tar.members.clear()  # it keeps them all otherwise
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


def _read_start(file) -> bytes:
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


# ---------------------------------------------------------------- a whole archive into a folder


def extract(
    archive: str | os.PathLike | Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    *,
    limits: Limits | None = None,
    want: Callable[[str], bool] | None = None,
    selection: str = "",
    num_files: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Extracted:
    """Unpack an archive; ``folder`` appears when everything is in it, with a marker that says so.

    It is unpacked beside ``folder`` and renamed. A call that was killed is begun again; one that was finished is
    not done again. Members' permissions, owners and times are not taken over.

    Args:
        archive: a tar, tar.gz, ZIP or RAR file, whatever its name says; or its parts in order (not for RAR).
        folder: must not exist, be empty, or come from the same archive and selection.
        limits: what the archive may hold.
        want: whether to keep the file of this name; all where ``None``.
        selection: names what ``want`` keeps, so that another selection is not taken for this one.
        num_files: how many regular files the archive must have, where that is known.
        progress: called with (files, bytes) unpacked so far.

    Raises:
        ArchiveError: the archive is damaged, hostile or of a kind that cannot be opened here; ``folder`` is as it was.
        FetchError: the disk is full, or ``folder`` belongs to something else.
    """
    paths = [Path(archive)] if isinstance(archive, (str, os.PathLike)) else [Path(part) for part in archive]
    folder = Path(folder)
    job = _Job(paths, folder, limits or Limits(), want, selection, num_files, progress)
    if found := job.done_before():
        return found
    with writing(folder, KEPT), job.held():
        if found := job.done_before():
            return found
        return job.run()


class _Job:
    """One call of ``extract``."""

    def __init__(self, paths, folder, limits, want, selection, num_files, progress):
        self.paths, self.folder, self.want, self.progress = paths, folder, want, progress
        self.num_files = num_files
        self.where = printable(paths[0].name, 160)
        self.guard = _Guard(self.where, limits)
        self.temporary = folder.with_name(f".{folder.name}.extracting")
        for path in paths:
            if not path.is_file():
                raise ArchiveError(f"{printable(path, 200)} is not there; fetch it first.")
        num_bytes = sum(path.stat().st_size for path in paths)
        self.identity = {"archive": paths[0].name, "archive_bytes": num_bytes, "selection": selection}
        self.written = self.bytes_written = 0

    def done_before(self) -> Extracted | None:
        if not os.path.lexists(self.folder):
            return None
        if not self.folder.is_dir():
            raise FetchError(f"{printable(self.folder, 200)} is not a folder; move it away.", spoils="file")
        marker = read_marker(self.folder)
        if marker and all(marker.get(key) == value for key, value in self.identity.items()):
            counts = [marker[key] for key in ("num_files", "num_bytes", "num_listed")]
            return Extracted(self.folder, *counts, was_there=True)
        if any(self.folder.iterdir()):
            whose = f"was made from {printable(marker['archive'], 80)}" if marker else "holds other files"
            raise FetchError(
                f"{printable(self.folder, 200)} {whose}; move it away or choose another folder.", spoils="file"
            )
        return None

    @contextlib.contextmanager
    def held(self):
        import filelock

        self.folder.parent.mkdir(parents=True, exist_ok=True)
        path = self.folder.with_name(f".{self.folder.name}.lock")
        lock = filelock.FileLock(path, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise FetchError(
                f"{printable(self.folder, 200)} is being unpacked by another process; wait until it is done.",
                spoils="file",
            ) from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            lock.release()

    def run(self) -> Extracted:
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()
        try:
            self.unpack()
            self.guard.check_count(self.num_files)
            if not self.guard.num_files:
                raise ArchiveError(f"{self.where} holds no files.")
            counts = (self.written, self.bytes_written, self.guard.num_files)
            names = ("num_files", "num_bytes", "num_listed")
            write_json(self.temporary / MARKER, self.identity | dict(zip(names, counts, strict=True)))
            if self.folder.is_dir():
                self.folder.rmdir()
            os.rename(self.temporary, self.folder)
        except BaseException:
            shutil.rmtree(self.temporary, ignore_errors=True)
            raise
        return Extracted(self.folder, *counts)

    def unpack(self) -> None:
        with self.open() as file:
            start = _read_start(file)
            file.seek(0)
            kind = kind_of(start)
            if kind == "rar":
                self.unpack_rar()
                return
            self.check_space()
            members = (
                _zip_members(file, self.guard) if kind == "zip" else _tar_members(file, self.guard, self.num_files)
            )
            with contextlib.closing(members):
                for member in members:
                    self.keep(member)

    def open(self):
        if len(self.paths) == 1:
            return open(self.paths[0], "rb", buffering=0)
        return io.BufferedReader(JoinedFile(self.paths), PIECE)

    def check_space(self, num_bytes: int | None = None) -> None:
        """Refuse what cannot fit: videos hardly shrink in an archive."""
        need = self.identity["archive_bytes"] // 2 if num_bytes is None else num_bytes
        free = shutil.disk_usage(self.temporary).free
        if self.want is None and need > free:
            raise FetchError(
                f"{self.where} needs {need / 1e9:.3g} GB, but the disk has {free / 1e9:.3g} GB free; make room.",
                spoils="all",
            )

    def keep(self, member: Member) -> None:
        if self.want is not None and not self.want(member.name):
            return
        path = self.temporary / member.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "xb", buffering=0)  # noqa: SIM115, the error of opening it is of another kind
        except (FileExistsError, NotADirectoryError):
            raise ArchiveError(
                f"{self.where} holds {printable(member.name, 120)} twice, or as a file and as a folder."
            ) from None
        with file:
            while data := member.read(PIECE):
                _write_all(file, data)
        self.count(member.size)

    def count(self, size: int) -> None:
        self.written += 1
        self.bytes_written += size
        if self.progress:
            self.progress(self.written, self.bytes_written)

    # -- RAR, whose unpacker cannot be free software's own for every method

    def unpack_rar(self) -> None:
        import rarfile

        if len(self.paths) > 1:
            raise ArchiveError(f"{self.where} is a RAR archive in parts; give its first part only.")
        try:
            blocks = []
            with rarfile.RarFile(self.paths[0], errors="strict", info_callback=blocks.append) as rar:
                if rar.needs_password():
                    raise ArchiveError(f"{self.where} needs a password.")
                listed = list(self.list_rar(rar))
                if self.num_files is None and not (blocks and _is_rar_end(blocks[-1])):
                    raise ArchiveError(f"{self.where} has no end mark, so files may be missing; fetch it again.")
                self.check_space(sum(info.file_size for _, info in listed))
                if all(info.compress_type == rarfile.RAR_M0 for _, info in listed):
                    for name, info in listed:
                        with rar.open(info) as file:
                            self.keep(Member(name, info.file_size, _rar_reader(file, self.where), self.where))
                    return
        except rarfile.NeedFirstVolume:
            raise ArchiveError(f"{self.where} is not the first part of its archive.") from None
        except (rarfile.Error, ValueError, OverflowError, EOFError) as problem:
            raise ArchiveError(f"{self.where} is damaged: {printable(problem, 120)}; fetch it again.") from None
        self.unpack_with_tool(listed)

    def list_rar(self, rar) -> Iterator[tuple[str, object]]:
        seen = set()
        for info in rar.infolist():
            name = self.guard.admit(info.filename, info.file_size or 0, is_file=info.is_file(), is_folder=info.is_dir())
            self.guard.check_ratio(self.guard.num_bytes, self.identity["archive_bytes"])
            if name is not None:
                if name in seen:
                    raise ArchiveError(f"{self.where} holds {printable(name, 120)} twice.")
                seen.add(name)
                yield name, info

    def unpack_with_tool(self, listed: list) -> None:
        """Let a program unpack everything at once, then check every file against the archive's own list.

        File by file would unpack a solid archive again for each.
        """
        tools = rar_tools()
        if not tools:
            raise ArchiveError(f"{self.where} is a compressed RAR archive, which needs a program to open: {RAR_HELP}.")
        problems = []
        for tool, command in tools:
            shutil.rmtree(self.temporary, ignore_errors=True)
            self.temporary.mkdir()
            self.written = self.bytes_written = 0
            try:
                _run_tool(tool, command(str(self.paths[0].absolute()), str(self.temporary.absolute())))
                self.check_unpacked(listed)
                return
            except ArchiveError as problem:
                problems.append(f"{tool}: {problem}")
        raise ArchiveError(f"{self.where} could not be unpacked ({' '.join(problems)}); fetch it again, or {RAR_HELP}.")

    def check_unpacked(self, listed: list) -> None:
        wanted = dict(listed)
        for path in sorted(self.temporary.rglob("*"), reverse=True):
            mode, name = path.lstat().st_mode, path.relative_to(self.temporary).as_posix()
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode) or (name not in wanted and not is_junk(name)):
                raise ArchiveError(f"it wrote {printable(name, 120)}, which is not in the list.")
            if is_junk(name):
                path.unlink()
        for name, info in listed:
            path = self.temporary / name
            if not path.is_file() or path.stat().st_size != info.file_size or not _same_crc(path, info.CRC):
                raise ArchiveError(f"{printable(name, 120)} is missing or damaged.")
            if self.want is not None and not self.want(name):
                path.unlink()
                continue
            os.chmod(path, 0o666 & ~umask())
            self.count(info.file_size)


def read_marker(folder: str | os.PathLike) -> dict | None:
    """What ``extract`` wrote down in a folder that it finished; ``None`` where it did not."""
    try:
        marker = json.loads((Path(folder) / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    counts = ("archive_bytes", "num_files", "num_bytes", "num_listed")
    good = isinstance(marker, dict) and all(isinstance(marker.get(key), int) for key in counts)
    return marker if good and isinstance(marker.get("archive"), str) else None


def _write_all(file, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


# ---------------------------------------------------------------- ZIP


def _zip_members(file, guard: _Guard) -> Iterator[Member]:
    with _damage(guard.where):
        archive = zipfile.ZipFile(file)
    with archive:
        infos = archive.infolist()
        admitted = [(_admit_zipped(info, guard), info) for info in infos]
        guard.check_ratio(guard.num_bytes, sum(info.compress_size for info in infos))
        for name, info in admitted:
            if name is None:
                continue
            with _damage(guard.where):
                content = archive.open(info)
            with content:
                yield Member(name, info.file_size, content.read, guard.where)


def _admit_zipped(info: zipfile.ZipInfo, guard: _Guard) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    regular = kind in (0, stat.S_IFREG) and not info.is_dir()
    if info.flag_bits & 1:
        raise ArchiveError(f"{guard.where} needs a password.")
    folder = info.is_dir() and kind in (0, stat.S_IFDIR)
    return guard.admit(info.orig_filename, info.file_size, is_file=regular, is_folder=folder)


# ---------------------------------------------------------------- RAR


def _is_rar_end(block) -> bool:
    """Whether a block of a RAR archive is the one that ends its last part."""
    import rarfile

    return block.type == rarfile.RAR_BLOCK_ENDARC and not block.flags & rarfile.RAR_ENDARC_NEXT_VOLUME


def _rar_reader(file, where: str) -> Callable[[int], bytes]:
    import rarfile

    def read(size: int) -> bytes:
        try:
            return file.read(size)
        except rarfile.Error as problem:
            raise ArchiveError(f"{where} is damaged: {printable(problem, 120)}; fetch it again.") from None

    return read


def rar_tools() -> list[tuple[str, Callable[[str, str], list[str]]]]:
    """Programs found here that unpack RAR, the most able first, each with its command for (archive, folder)."""
    commands = {
        "unrar": lambda archive, folder: ["x", "-idq", "-y", "-p-", "--", archive, folder + os.sep],
        "unar": lambda archive, folder: [
            "-quiet",
            "-no-directory",
            "-no-recursion",
            "-output-directory",
            folder,
            archive,
        ],
        "7zz": lambda archive, folder: ["x", "-y", "-bd", "-p", f"-o{folder}", archive],
        "7z": lambda archive, folder: ["x", "-y", "-bd", "-p", f"-o{folder}", archive],
        "bsdtar": lambda archive, folder: ["-x", "-f", archive, "-C", folder],
    }
    return [(name, commands[name]) for name in commands if shutil.which(name)]


def _run_tool(tool: str, arguments: list[str]) -> None:
    try:
        done = subprocess.run(
            [shutil.which(tool) or tool, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TOOL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ArchiveError(f"it cannot be run: {printable(problem, 120)}.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().split("\n")[-1]
        raise ArchiveError(f"it failed with status {done.returncode}: {printable(said, 120)}.")


def _same_crc(path: Path, wanted: int | None) -> bool:
    """Whether a file has this CRC-32; some RAR archives have another sum, and ``None`` here."""
    if wanted is None:
        return True
    crc = 0
    with open(path, "rb", buffering=0) as file:
        while data := file.read(PIECE):
            crc = zlib.crc32(data, crc)
    return crc == wanted


# ---------------------------------------------------------------- an archive in parts


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
        self._position, self._number, self._file = 0, -1, None

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
        if number != self._number:
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
