"""Hashing, atomic writes, seeds and facts about the machine."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # of the checkout, where this is one
PACKAGES = (
    "vidbench",
    "numpy",
    "av",
    "pillow",
    "opencv-python",
    "torch",
    "torchvision",
    "ai-edge-litert",
    "transformers",
)


def sha256_of_file(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits; raises ``OSError``."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chance(seed: int, *words: str) -> bytes:
    """32 bytes drawn for some words, the same on every machine and whatever else is drawn; a key to sort by.

    >>> chance(0, "video", "a").hex()[:8], chance(1, "video", "a").hex()[:8]
    ('67beeca0', '48c2cba0')
    """
    return hashlib.sha256("\0".join((str(int(seed)), *words)).encode("utf-8", "surrogatepass")).digest()


def sha256_of_json(value) -> str:
    """SHA-256 of a JSON value, the same whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def try_to_write(folder: Path) -> None:
    """Make a folder and a file in it, and take away again what was not there before; raises ``OSError``.

    Processes of one training do so at the same time, and one may take away what the other is about to write into: then
    that one begins anew.
    """
    for _ in range(20):
        try:
            return _try_to_write(folder)
        except (FileNotFoundError, FileExistsError) as problem:  # the latter where it is gone when mkdir looks again
            gone = problem
    raise gone


def _try_to_write(folder: Path) -> None:
    made = []
    try:
        for part in (*reversed(folder.parents), folder):
            if not part.exists():
                part.mkdir(exist_ok=True)
                made.append(part)
        with tempfile.TemporaryFile(dir=folder):
            pass
    finally:
        for part in reversed(made):
            with contextlib.suppress(OSError):
                part.rmdir()


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike, mode: str = "wb"):
    """Open a temporary file that takes the place of ``path`` when the block ends well.

    A reader sees the old file or the whole new one. A block that raises leaves ``path`` as it
    was and removes the temporary file; a killed process leaves a hidden ``.NAME-*.tmp``.
    """
    path = Path(path)
    prefix = f".{path.name[:80]}-"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".tmp")
    try:
        encoding = None if "b" in mode else "utf-8"
        newline = None if "b" in mode else ""
        with os.fdopen(handle, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(problem, OSError) and problem.errno and not problem.filename:
            problem.filename = str(path)  # a full disk's own message names no file
        raise


def umask() -> int:
    """The permissions that a new file is not given. A file that another thread makes meanwhile gets them all."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | os.PathLike, value) -> None:
    """Write a JSON file atomically: indented, keys in the order given, NaN refused.

    ASCII, so that a file name which is no UTF-8 comes back the same.
    """
    with atomic_writer(path, "w") as file:
        file.write(json.dumps(value, indent=1, allow_nan=False) + "\n")


def jsonable(value):
    """Tuples as lists, as JSON will give them back."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value


@contextlib.contextmanager
def quiet():
    """Meanwhile, drop what is written to standard error, also past Python: compiled libraries greet at length.

    In a notebook Python's own warnings and exceptions go another way and are seen.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def as_tuple(value) -> tuple:
    """One value or several of a JSON file as a tuple, which is empty for none.

    >>> as_tuple(224), as_tuple([224, 256]), as_tuple(None)
    ((224,), (224, 256), ())
    """
    return tuple(value) if isinstance(value, (list, tuple)) else () if value is None else (value,)


def plural(count: object, one: str, many: str | None = None) -> str:
    """A count with its word, which takes an s where no other form is given.

    >>> plural(1, "class", "classes"), plural(3, "class", "classes"), plural("0", "video")
    ('1 class', '3 classes', '0 videos')
    """
    return f"{count} {one if str(count) == '1' else many or one + 's'}"


def without_login(text: str) -> str:
    """Text whose addresses have no user and password; queries, which may tell two addresses apart, are kept.

    A password that was not quoted, as a slash has to be in an address, is taken out as well.

    >>> without_login("from https://me:secret@example.org/get?id=3 to s3://key:se/cret@bucket/runs")
    'from https://example.org/get?id=3 to s3://bucket/runs'
    >>> without_login("http://localhost:8080/@me and https://example.org/@me")
    'http://localhost:8080/@me and https://example.org/@me'
    """
    return re.sub(r"(?<=://)([^\s/?#]*@|[^\s/?#@]*:(?!\d*[/?#])\S*@)", "", text)


def printable(text: object, limit: int = 300) -> str:
    """Text that is safe to show: control characters escaped, logins of addresses left out, length limited.

    >>> printable("esc\\x1b[31mred\\n"), printable("ftp://me:secret@host/a")
    ('esc\\\\x1b[31mred\\\\n', 'ftp://host/a')
    """
    text = without_login(str(text).encode("utf-8", "backslashreplace").decode())
    text = re.sub(r"[^\x20-\x7e\u00a0-\U0010ffff]", lambda m: repr(m.group())[1:-1], text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quoted(text: object, limit: int = 60) -> str:
    """Text from outside, safe and short, in quotes, for a message."""
    return f"'{printable(text, limit)}'"


def spreadsheet_cell(text: str) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula.

    One that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return gets an apostrophe in front, and so does
    one that begins with an apostrophe: to have the text again, drop one apostrophe from the front of a cell that
    begins with one.

    >>> spreadsheet_cell("-0AbC"), spreadsheet_cell("0AbC"), spreadsheet_cell("'t")
    ("'-0AbC", '0AbC', "''t")
    """
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else text


def write_table(path: str | os.PathLike, lines: Iterable[Mapping], columns: Sequence[str] = ()) -> None:
    """Write a CSV file that a spreadsheet opens safely (``spreadsheet_cell``), control characters written out.

    Args:
        path: replaced as a whole, or left as it was.
        lines: a value for each column; ``None`` is an empty cell, a float has 8 significant digits.
        columns: names in their order; those of the first line where none are given.

    Raises:
        OSError: it cannot be written.
    """
    lines = list(lines)
    columns = columns or list(lines[0])
    with atomic_writer(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(line[name]) for name in columns] for line in lines)


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.8g}"
    return str(value) if isinstance(value, int) else spreadsheet_cell(printable(value, 10_000))


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Installed versions by package name, without importing them; absent ones are left out."""
    versions = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def git_commit(folder: str | os.PathLike = ROOT) -> str | None:
    """The checkout's commit, with ``+changes`` where files differ from it; ``None`` outside git."""

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(folder), *words]  # a look that writes nothing
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "vidbench", "scripts")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def machine_facts() -> dict:
    """Processor, cores, memory and system, for a manifest. Never raises."""
    facts = {
        "system": platform.platform(),
        "cores": usable_cores(),
        "processor": platform.processor() or platform.machine(),
    }
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                facts["processor"] = line.split(":", 1)[1].strip()
                break
        if total := re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()):
            facts["memory_gb"] = round(int(total[1]) / 2**20, 1)
    return facts


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB (2**20 bytes)."""
    with contextlib.suppress(OSError, StopIteration):  # Linux; getrusage there starts from the parent's peak
        status = Path("/proc/self/status").read_text().splitlines()
        return round(next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 2**10, 1)
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)


def usable_cores() -> int:
    """Cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def keep_freed_memory(*, large_blocks: bool) -> bool:
    """Let glibc keep freed memory for the next use: getting pages from the system anew costs a third of the time.

    It holds for the whole process, and memory once used is not given back before its end.

    Args:
        large_blocks: keep blocks of any size; otherwise those below 32 MB. Large ones leave holes of odd sizes, so
            that the peak may grow by half.

    Returns:
        Whether this system's library can do it.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    trim_threshold, top_pad, mmap_threshold, mmap_max = -1, -2, -3, -4
    if not large_blocks:
        return bool(mallopt(trim_threshold, 256 * 2**20) and mallopt(mmap_threshold, 32 * 2**20))
    return bool(mallopt(trim_threshold, -1) and mallopt(top_pad, 64 * 2**20) and mallopt(mmap_max, 0))


def nearest(word: str, known, limit: int = 3) -> list[str]:
    """The known names most like ``word``, best first, for an error message."""
    import difflib

    known = [str(name) for name in known]
    return difflib.get_close_matches(word, known, n=limit, cutoff=0.5)


def nearest_hint(word: str, known) -> str:
    """`` Did you mean 'x'?`` or the first known names, as the end of an error message."""
    close = nearest(word, known)
    if close:
        return " Did you mean " + " or ".join(repr(name) for name in close) + "?"
    known = sorted(map(str, known))
    return " Known: " + ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "") + "."
