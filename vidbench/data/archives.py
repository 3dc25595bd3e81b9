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
import shutil
import stat
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.disk import writing
from vidbench.data.members import PIECE, Guard, Limits, Member, as_archive_error, is_junk, safe_name
from vidbench.data.parts import JoinedFile, find_parts, join_parts
from vidbench.data.tars import kind_of, read_start, stream_members, tar_members
from vidbench.records import ArchiveError, FetchError
from vidbench.utils import printable, umask, write_json

__all__ = [
    "Extracted",
    "JoinedFile",
    "Limits",
    "Member",
    "extract",
    "find_parts",
    "is_junk",
    "join_parts",
    "kind_of",
    "rar_tools",
    "read_marker",
    "safe_name",
    "stream_members",
]

MARKER = ".complete.json"
KEPT = "nothing of it was kept"
TOOL_SECONDS = 6 * 3600
RAR_HELP = (
    "install unar (Debian and Ubuntu: apt-get install unar; Fedora: dnf install unar; macOS: brew install unar) "
    "or 7-Zip (Windows: winget install 7zip.7zip, then put its folder on PATH), and try again"
)


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
        self.guard = Guard(self.where, limits)
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
            num_files, num_bytes, num_listed = (marker[key] for key in ("num_files", "num_bytes", "num_listed"))
            return Extracted(self.folder, num_files, num_bytes, num_listed, was_there=True)
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
            start = read_start(file)
            file.seek(0)
            kind = kind_of(start)
            if kind == "rar":
                self.unpack_rar()
                return
            self.check_space()
            members = _zip_members(file, self.guard) if kind == "zip" else tar_members(file, self.guard, self.num_files)
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
            blocks: list = []
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

    def list_rar(self, rar) -> Iterator[tuple]:
        """``(name, rarfile's facts)`` of the regular files."""
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


def _zip_members(file, guard: Guard) -> Generator[Member, None, None]:
    with as_archive_error(guard.where):
        archive = zipfile.ZipFile(file)
    with archive:
        infos = archive.infolist()
        admitted = [(_admit_zipped(info, guard), info) for info in infos]
        guard.check_ratio(guard.num_bytes, sum(info.compress_size for info in infos))
        for name, info in admitted:
            if name is None:
                continue
            with as_archive_error(guard.where):
                content = archive.open(info)
            with content:
                yield Member(name, info.file_size, content.read, guard.where)


def _admit_zipped(info: zipfile.ZipInfo, guard: Guard) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    regular = kind in (0, stat.S_IFREG) and not info.is_dir()
    if info.flag_bits & 1:
        raise ArchiveError(f"{guard.where} needs a password.")
    folder = info.is_dir() and kind in (0, stat.S_IFDIR)
    return guard.admit(info.orig_filename, info.file_size, is_file=regular, is_folder=folder)


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
