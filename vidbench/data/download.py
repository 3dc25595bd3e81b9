"""One address → one whole file: resumed where it stopped, checked, and named only when it is right.

Bytes go to ``NAME.part`` beside the target; ``NAME.part.json`` says which version of which address they are of. A part
is continued only where the server confirms, by a validator (``If-Range``), that it still has that version; otherwise
it starts again. ``open_stream`` does the same for a reader that stores nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import random
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.disk import writing
from vidbench.data.web import PIECE, Again, Answer, Goal, Link, Patience, Stale, checked_url, megabytes, short
from vidbench.records import FetchError
from vidbench.utils import printable, sha256_of_file, without_login, write_json

log = logging.getLogger(__name__)

MOST_BYTES = 64 << 30  # of one file whose size is not known; the largest archive in use has 20 GB
RESERVE = 64 << 20  # bytes of the disk that a download leaves free
WORTH_IT = 16 << 20  # bytes gained after which failures are counted anew
MOST_TRIES = 100  # of one address, whatever is gained
KEPT = "what was fetched so far is kept"
WRONG_HASHES = 2  # whole files with a wrong hash, after which the address is given up


@dataclass(frozen=True)
class Downloaded:
    """A file that is whole and under its own name.

    Args:
        path: the file.
        num_bytes: its size.
        sha256: of its bytes.
        etag: the server's name for this version, or empty.
        resumed_from: bytes that were there before this call.
        transferred: bytes that this call got from the network, those thrown away included.
        url: the address that gave it, of those allowed; empty where it was there already.
    """

    path: Path
    num_bytes: int
    sha256: str
    etag: str = ""
    resumed_from: int = 0
    transferred: int = 0
    url: str = ""


def download(
    url: str,
    target: str | os.PathLike,
    *,
    sha256: str | None = None,
    size: int | None = None,
    mirrors: Sequence[str] = (),
    ca_bundle: str | os.PathLike | None = None,
    most_bytes: int = MOST_BYTES,
    progress: Callable[[int, int | None], None] | None = None,
    patience: Patience | None = None,
    stop: threading.Event | None = None,
) -> Downloaded:
    """Fetch one file. A second call continues what an earlier one, even a killed one, left.

    A target that exists is the answer, without a request, where it has the size and hash given; else it is replaced.

    Args:
        url: http or https.
        target: the file's final path; it never names anything but a whole, checked file.
        sha256: 64 hexadecimal digits that the file must have.
        size: bytes that it must have. Without a hash, a size or a server that tells the length, nothing is
            accepted: an end could not be told from a cut.
        mirrors: other addresses of the same file, tried in this order when ``url`` is given up.
        ca_bundle: PEM file of certificates to trust besides the usual ones: a company's own, or one that a server
            forgets to send.
        most_bytes: a larger file is refused; ``size`` is the limit where given.
        progress: called with (bytes of the file on disk, its size or ``None``).
        patience: limits on time and tries.
        stop: when set, the download ends with an error and keeps its part.

    Raises:
        FetchError: the file cannot be had, is not the one promised, or does not fit on the disk.
    """
    target = Path(target)
    goal = _FileGoal(*_wanted(sha256, size, most_bytes), progress, target)
    addresses = [checked_url(address) for address in (url, *mirrors)]
    with contextlib.closing(Link(ca_bundle, patience or Patience(), stop)) as link:
        with writing(target, KEPT):
            target.parent.mkdir(parents=True, exist_ok=True)
        with _held(target):
            if found := _already_there(goal):
                return found
            return _first_that_gives(addresses, target.name, lambda address: _download_from(link, address, goal))


def open_stream(
    url: str,
    *,
    sha256: str | None = None,
    size: int | None = None,
    mirrors: Sequence[str] = (),
    ca_bundle: str | os.PathLike | None = None,
    most_bytes: int = MOST_BYTES,
    progress: Callable[[int, int | None], None] | None = None,
    patience: Patience | None = None,
    stop: threading.Event | None = None,
) -> RemoteFile:
    """Open a remote file for reading from its start to its end, without storing it.

    A connection that breaks is taken up where it broke. Where the server cannot do that, the beginning is read again
    and must be the same bytes. The arguments are ``download``'s.

    Raises:
        FetchError: the first request already fails everywhere; reading raises it too, at the latest at the end,
            where length and hash are checked.
    """
    addresses = [checked_url(address) for address in (url, *mirrors)]
    goal = _Goal(*_wanted(sha256, size, most_bytes), progress)
    return RemoteFile(addresses, goal, Link(ca_bundle, patience or Patience(), stop))


# ---------------------------------------------------------------- what is wanted, and the part that is there


@dataclass(frozen=True)
class _Goal(Goal):
    """What the caller asked for."""

    progress: Callable[[int, int | None], None] | None

    def report(self, done: int, total: int | None) -> None:
        if self.progress:
            self.progress(done, self.size if total is None else total)


@dataclass(frozen=True)
class _FileGoal(_Goal):
    """The same, and the file that it becomes."""

    target: Path


def _wanted(sha256: str | None, size: int | None, most_bytes: int) -> tuple[str | None, int | None, int]:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"a SHA-256 has 64 hexadecimal digits, got {sha256!r}")
    return sha256 and sha256.lower(), size, most_bytes if size is None else size


class _Part:
    """The beginning of a file on disk, with its running hash and the version it belongs to."""

    def __init__(self, target: Path):
        self.path = target.with_name(target.name + ".part")
        self.notes_path = target.with_name(target.name + ".part.json")
        self.notes = self._read_notes()
        self.hash, self.num_bytes = hashlib.sha256(), 0
        if self.notes and self.path.is_file() and not self.path.is_symlink():
            with open(self.path, "rb") as file:
                while data := file.read(PIECE):
                    self.hash.update(data)
                    self.num_bytes += len(data)

    def _read_notes(self) -> dict:
        import json

        try:
            notes = json.loads(self.notes_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        kinds = {"url": (str,), "validator": (str,), "etag": (str,), "total": (int, type(None))}
        good = isinstance(notes, dict) and all(isinstance(notes.get(key), kind) for key, kind in kinds.items())
        return notes if good else {}

    def can_continue(self, url: str) -> bool:
        """Whether the server of this address can be asked for the rest of this very version."""
        return bool(self.num_bytes and self.notes.get("validator")) and self.notes["url"] == without_login(url)

    def is_whole(self, url: str) -> bool:
        return self.can_continue(url) and self.num_bytes == self.notes["total"]

    def begin(self, url: str, answer: Answer) -> None:
        """Start an empty part for this version; what was there is lost."""
        self.drop()
        url = without_login(url)  # the notes lie beside the file for all to read
        self.notes = {"url": url, "validator": answer.validator, "etag": answer.etag, "total": answer.total}
        write_json(self.notes_path, self.notes)

    def write(self, file, data: bytes) -> None:
        file.write(data)
        self.hash.update(data)
        self.num_bytes += len(data)

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.notes_path.unlink(missing_ok=True)
        self.notes, self.hash, self.num_bytes = {}, hashlib.sha256(), 0

    def rename(self, target: Path) -> None:
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.path, target)
        self.notes_path.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(target: Path):
    """Keep other processes from the same part; the lock's file goes when no part is left."""
    import filelock

    path = target.with_name(target.name + ".part.lock")
    lock = filelock.FileLock(path, timeout=0)
    with writing(target, KEPT):
        try:
            lock.acquire()
        except filelock.Timeout:
            raise FetchError(
                f"{printable(target, 200)} is being fetched by another process; wait until it is done.", spoils="file"
            ) from None
    try:
        yield
    finally:
        if not target.with_name(target.name + ".part").exists():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        lock.release()


def _already_there(goal: _FileGoal) -> Downloaded | None:
    """The target, where it exists and is what is wanted."""
    target = goal.target
    if not os.path.lexists(target):
        return None
    if not target.is_file():
        raise FetchError(f"{printable(target, 200)} is not a file; move it away.", spoils="file")
    with writing(target, KEPT):
        num_bytes = target.stat().st_size
        right_size = num_bytes == (num_bytes if goal.size is None else goal.size)
        digest = sha256_of_file(target) if right_size else ""
    if not right_size or digest != (goal.sha256 or digest):
        log.warning("%s is not the file wanted; fetching it again", target.name)
        return None
    goal.report(num_bytes, num_bytes)
    return Downloaded(target, num_bytes, digest, resumed_from=num_bytes)


# ---------------------------------------------------------------- one address, many tries


def _download_from(link: Link, url: str, goal: _FileGoal) -> Downloaded:
    with writing(goal.target, KEPT):
        part = _Part(goal.target)
    if not part.can_continue(url):
        with writing(goal.target, KEPT):
            part.drop()
    tries, before, moved = _Tries(url, link), part.num_bytes, [0]
    try:
        while True:
            try:
                if not part.is_whole(url):
                    _fill(link, url, part, goal, moved)
                return _finished(part, url, goal, before, moved[0])
            except Again as problem:
                tries.failed(problem, part.num_bytes)
    finally:
        if not part.num_bytes:
            with contextlib.suppress(OSError):
                part.drop()


def _finished(part: _Part, url: str, goal: _FileGoal, before: int, moved: int) -> Downloaded:
    """Give a whole part its final name, once it is the file wanted."""
    _check_whole(part, goal)
    with writing(goal.target, KEPT):
        part.rename(goal.target)
    return Downloaded(goal.target, part.num_bytes, part.hash.hexdigest(), part.notes["etag"], before, moved, url)


def _fill(link: Link, url: str, part: _Part, goal: _FileGoal, moved: list[int]) -> None:
    """One request: append what it gives to the part, to the end."""
    resumes = part.can_continue(url)
    try:
        answer = link.ask(url, part.num_bytes if resumes else 0, part.notes.get("validator", ""), goal)
    except Stale as problem:
        with writing(goal.target, KEPT):
            part.drop()
        raise Again(str(problem)) from None
    with contextlib.closing(answer), writing(goal.target, KEPT):
        if not resumes or not answer.continues:
            part.begin(url, answer)
        elif part.notes["total"] not in (None, answer.total):
            part.drop()
            raise Again("the file's size changed on the server")
        _check_space(part, answer, goal)
        with open(part.path, "ab") as file:
            for data in answer.pieces():
                moved[0] += len(data)
                if part.num_bytes + len(data) > goal.most_bytes:
                    file.close()
                    part.drop()
                    raise FetchError(goal.too_large(url))
                part.write(file, data)
                goal.report(part.num_bytes, answer.total)


def _check_space(part: _Part, answer: Answer, goal: _FileGoal) -> None:
    total = goal.size if answer.total is None else answer.total
    if total is None:
        return
    need, free = total - part.num_bytes, shutil.disk_usage(goal.target.parent).free
    if need + RESERVE > free:
        raise FetchError(
            f"{printable(goal.target, 200)} needs {megabytes(need)} more, but the disk has {megabytes(free)} free; "
            "make room or choose another folder.",
            spoils="all",
        )


def _check_whole(part: _Part, goal: _FileGoal) -> None:
    """Raise ``Again``, with an empty part, where it is not the file wanted."""
    num_bytes, digest = part.num_bytes, part.hash.hexdigest()
    with writing(goal.target, KEPT):
        on_disk = part.path.stat().st_size
    if on_disk != num_bytes:  # the hash is of what we wrote, so no one else may have written
        raise FetchError(f"{printable(part.path, 200)} was changed by another program; start again.", spoils="file")
    total = goal.size if part.notes["total"] is None else part.notes["total"]
    if total is not None and num_bytes < total:
        raise Again(f"the answer ended after {num_bytes} of {total} bytes")
    if reason := goal.mismatch(num_bytes, digest):
        with writing(goal.target, KEPT):
            part.drop()
        raise _WrongBytes(reason)


class _WrongBytes(Again):
    """A whole file that is not the one wanted."""


class _Tries:
    """Counts failures of one address and waits between them."""

    def __init__(self, url: str, link: Link):
        self.url, self.link = url, link
        self.in_a_row = self.all = self.wrong = self.best = 0

    def failed(self, problem: Again, num_bytes: int) -> None:
        """Wait, or raise ``FetchError`` where patience is at its end."""
        patience = self.link.patience
        self.wrong += isinstance(problem, _WrongBytes)
        if num_bytes >= self.best + WORTH_IT:
            self.in_a_row, self.best = 0, num_bytes
        self.in_a_row += 1
        self.all += 1
        if self.in_a_row >= patience.tries or self.all >= MOST_TRIES or self.wrong >= WRONG_HASHES:
            times = f" ({self.all} tries)" if self.all > 1 else ""
            raise FetchError(f"{short(self.url)} failed: {problem}{times}.", http_status=problem.status)
        wait_s = patience.wait_s * 2 ** (self.in_a_row - 1) * random.uniform(0.75, 1.25)
        wait_s = max(min(wait_s, patience.most_wait_s), problem.wait_s)
        log.info("%s: %s; trying again in %.1f s", short(self.url), problem, wait_s)
        self.link.sleep(wait_s)


def _first_that_gives(addresses: list[str], name: str, fetch: Callable):
    """What ``fetch`` returns for the first address that works."""
    problems = []
    for address in addresses:
        try:
            return fetch(address)
        except FetchError as problem:
            if problem.spoils != "address":
                raise
            log.info("%s", problem)
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    reasons = " ".join(str(problem) for problem in problems)
    raise FetchError(
        f"None of {len(problems)} addresses gives {printable(name, 100)}: {reasons}",
        http_status=problems[0].http_status,
    )


# ---------------------------------------------------------------- a file that is read and not stored


class RemoteFile(io.RawIOBase):
    """Reads a remote file from start to end; see ``open_stream``.

    ``sha256`` and ``num_bytes`` are of what was read so far, ``transferred`` counts bytes from the network, ``total``
    is the file's size or ``None``, ``url`` the address in use.
    """

    def __init__(self, addresses: list[str], goal: _Goal, link: Link):
        super().__init__()
        self._goal, self._link, self._addresses = goal, link, addresses
        self._answer: Answer | None = None
        self._pieces: Iterator[bytes] | None = None
        self._hash, self._data, self._at, self._ended = hashlib.sha256(), b"", 0, False
        self._problems: list[str] = []
        self._version = {"url": "", "validator": ""}
        self.num_bytes = self.transferred = 0
        self.total: int | None = None
        self.etag = ""
        self._tries = _Tries(addresses[0], link)
        try:
            self._data = self._next_piece()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The address in use."""
        return self._addresses[0]

    @property
    def sha256(self) -> str:
        """Of what was read so far, in hexadecimal."""
        return self._hash.hexdigest()

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.num_bytes - len(self._data) + self._at

    def close(self) -> None:
        self._hang_up()
        self._link.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, fewer only when no more have arrived; empty at the checked end."""
        if self.closed:
            raise ValueError("read of a closed file")
        if size is None or size < 0:
            return self.readall()
        if size and self._at == len(self._data):
            self._data, self._at = (b"" if self._ended else self._next_piece()), 0
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def readinto(self, buffer) -> int:
        """Fill ``buffer`` and return how many bytes it took: 0 at the end. Raises ``FetchError``."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next_piece(self) -> bytes:
        while True:
            try:
                if self._pieces is None:
                    self._pieces = self._connect()
                data = next(self._pieces, b"")
                if data:
                    return self._took(data)
                self._finish()
                return b""
            except Again as problem:
                self._hang_up()
                self._give_up_or_wait(problem)
            except FetchError as problem:
                self._hang_up()
                self._next_address(problem)

    def _took(self, data: bytes) -> bytes:
        self.transferred += len(data)
        self.num_bytes += len(data)
        self._hash.update(data)
        if self.num_bytes > self._goal.most_bytes:
            raise FetchError(self._goal.too_large(self.url), spoils="file")
        self._goal.report(self.num_bytes, self.total)
        return data

    def _finish(self) -> None:
        if self._goal.size is not None and self.num_bytes < self._goal.size and self.total is None:
            raise Again(f"the answer ended after {self.num_bytes} of {self._goal.size} bytes")
        if reason := self._goal.mismatch(self.num_bytes, self.sha256):  # the reader has the bytes: too late to repeat
            raise FetchError(f"{short(self.url)} is not the file expected: {reason}.", spoils="file")
        self._ended = True
        self._hang_up()

    def _connect(self) -> Iterator[bytes]:
        """What was not read yet, asked for; where only the beginning is given, compare it with what was read."""
        known = self._version["validator"] if self._version["url"] == self.url else ""
        offset = self.num_bytes if known else 0
        try:
            answer = self._link.ask(self.url, offset, known, self._goal)
        except Stale as problem:
            self._version["validator"] = ""
            raise Again(str(problem)) from None
        self._answer, self.total, self.etag = answer, answer.total, answer.etag
        self._version = {"url": self.url, "validator": answer.validator}
        pieces = answer.pieces()
        return self._after_the_same_beginning(pieces) if self.num_bytes and not answer.continues else pieces

    def _after_the_same_beginning(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        left, again = self.num_bytes, hashlib.sha256()
        for data in pieces:
            if left > 0:
                self.transferred += min(left, len(data))
                again.update(data[:left])
                data, left = data[left:], left - min(left, len(data))
                if left == 0 and again.digest() != self._hash.digest():
                    raise FetchError(f"{short(self.url)} changed while it was being read; start again.", spoils="file")
            if data:
                yield data
        if left > 0:
            raise FetchError(f"{short(self.url)} changed while it was being read; start again.", spoils="file")

    def _give_up_or_wait(self, problem: Again) -> None:
        try:
            self._tries.failed(problem, self.num_bytes)
        except FetchError as problem:
            self._next_address(problem)

    def _next_address(self, problem: FetchError) -> None:
        """Go on with the next mirror, or raise where there is none or none could help."""
        if problem.spoils != "address" or len(self._addresses) == 1:
            text = " ".join([str(problem), *self._problems])
            raise FetchError(text, http_status=problem.http_status, spoils=problem.spoils) from None
        self._problems.append(str(problem))
        self._addresses = self._addresses[1:]
        self._tries = _Tries(self.url, self._link)

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
        self._answer = self._pieces = None
