"""Remote files that are read while they come: from the start to the end, or at any place; and files in parts."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from vidbench.data.download import Downloaded, download
from vidbench.data.web import Again, Answer, Goal, Link, Patience, Stale, checked_url
from vidbench.records import ArchiveError, FetchError
from vidbench.utils import printable

MOST_ZIP_BYTES = 100 * 10**9
NEAR_BYTES = 10**6  # that are read and thrown away rather than asked for anew


class Restarted(Exception):
    """The file on the server is another one than that which was being read; everything begins again."""


class Arriving(io.RawIOBase):
    """A remote file that is read while it is downloaded to ``target``, from its first byte on.

    A download that was stopped earlier is continued, so the beginning comes from the disk. ``close`` ends it early and
    ``remove`` takes away what is on the disk. Setting ``halt`` makes ``read`` raise an error.
    """

    def __init__(self, urls: list[str], target: Path, *, ca_bundle=None, progress=None, patience=None, halt=None):
        super().__init__()
        self._halt = halt or threading.Event()
        self.target, self.part = target, target.with_name(target.name + ".part")
        self.result: Downloaded | None = None
        self.problem: BaseException | None = None
        self._file: io.FileIO | None = None
        self._news, self._stop = threading.Event(), threading.Event()
        self._options = {"ca_bundle": ca_bundle, "patience": patience, "stop": self._stop}
        self._urls, self._report, self.url = urls, progress, urls[0]
        self._thread = threading.Thread(target=self._download, daemon=True)
        self._thread.start()

    def _download(self) -> None:
        first, *others = self._urls
        try:
            self.result = download(first, self.target, mirrors=others, progress=self._heard, **self._options)
        except BaseException as problem:
            self.problem = problem
        self._news.set()

    def _heard(self, done: int, total: int | None) -> None:
        if self._report:
            self._report(done, total)
        self._news.set()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, at least one, or none at the end of the whole file.

        Raises:
            FetchError: the download failed.
            Restarted: what was read so far is not the beginning of the file that is coming now.
        """
        if size is None or size < 0:
            return self.readall()
        while True:
            if self._halt.is_set():
                raise FetchError("The fetch was stopped; what is there is kept.", spoils="all")
            over = not self._thread.is_alive()
            self._news.clear()
            if self._file is None:
                self._open(over)
            if self._file is not None and (data := self._file.read(size)):
                return data
            if over and self.problem:
                raise self.problem
            if over:
                self._check_same()
                return b""
            if self._file is not None and os.fstat(self._file.fileno()).st_nlink == 0:
                raise Restarted
            self._news.wait(0.1)

    def readinto(self, buffer) -> int:
        """Fill ``buffer``, waiting for bytes that are not here yet, and return how many it took: 0 at the end."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _open(self, over: bool) -> None:
        if os.name == "nt" and not over:  # there, a file that is open cannot be renamed
            return
        for path in (self.part, self.target):
            with contextlib.suppress(FileNotFoundError):
                self._file = open(path, "rb", buffering=0)  # noqa: SIM115, closed in close
                return

    def _check_same(self) -> None:
        """The bytes that were read are those that have the final name now."""
        if self._file is None or not os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.target)):
            raise Restarted

    def close(self) -> None:
        """Stop the download where it is still going on; what is on the disk stays."""
        self._stop.set()
        self._thread.join()
        if self._file is not None:
            self._file.close()
        super().close()

    def remove(self) -> None:
        """Take away the file and its part; after ``close``."""
        names = (self.target.name, self.part.name, self.part.name + ".json", self.part.name + ".lock")
        for name in names:
            self.target.with_name(name).unlink(missing_ok=True)


def bytes_there(target: Path) -> int:
    """Bytes of a download that are on disk, whole or in part."""
    for path in (target, target.with_name(target.name + ".part")):
        with contextlib.suppress(OSError):
            return path.stat().st_size
    return 0


class Traffic:
    """Adds up what several downloads have on disk, and what of it came over the network now."""

    def __init__(self, progress=None):
        self.progress, self.lock = progress, threading.Lock()
        self.first: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.began = time.monotonic()

    def report(self, name: str, before: int = 0) -> Callable[[int, int | None], None]:
        """What to call with (bytes on disk, size) of one download, of which ``before`` bytes were there already."""
        with self.lock:
            self.first.setdefault(name, before)

        def heard(done: int, total: int | None) -> None:
            with self.lock:
                self.last[name] = done
            if self.progress:
                self.progress()

        return heard

    def count(self, name: str) -> Callable[[int], None]:
        """What to call with the bytes just read of one file that is read as a stream, and not kept."""

        def heard(num_bytes: int) -> None:
            self.report(name)(self.last.get(name, 0) + num_bytes, None)

        return heard

    @property
    def num_bytes(self) -> int:
        """Bytes that came over the network in this call, about."""
        with self.lock:
            return sum(max(0, self.last[name] - self.first[name]) for name in self.last)


class RangeFile(io.RawIOBase):
    """A remote file that is read at any place, by asking for its bytes from there on; stores nothing.

    Args:
        urls: addresses of the file, tried in order.
        ca_bundle: file of further certificates to trust; ``None`` for the usual ones.
        patience: limits on time and tries; ``None`` for the usual ones.
        heard: called with the number of bytes of each piece that came.

    Raises:
        FetchError: none of them gives it, or the server cannot begin in the middle; on reading, too.
    """

    def __init__(self, urls: list[str], *, ca_bundle=None, patience=None, heard: Callable[[int], None] | None = None):
        super().__init__()
        self._link, self._goal = Link(ca_bundle, patience or Patience(), None), Goal(None, None, MOST_ZIP_BYTES)
        self._answer: Answer | None = None
        self._pieces: Iterator[bytes] | None = None
        self._data, self._at = b"", 0  # the place of _data's first byte
        self._position, self._heard = 0, heard or (lambda num_bytes: None)
        self._patience = patience or Patience()
        self.url, self.total, self.validator = self._begin([checked_url(url) for url in urls])

    def _begin(self, urls: list[str]) -> tuple[str, int, str]:
        problems = []
        for url in urls:
            try:
                answer = self._retried(lambda url=url: self._link.ask(url, 0, "", self._goal))
            except FetchError as problem:
                problems.append(problem)
                continue
            answer.close()
            if answer.total and answer.validator:
                return url, answer.total, answer.validator
            problems.append(FetchError(f"{printable(url, 160)} cannot be read in parts."))
        raise problems[0]

    def _retried(self, work: Callable):
        for number in range(self._patience.tries):
            try:
                return work()
            except Again as problem:
                reason, status = str(problem), problem.status
                self._link.sleep(self._patience.wait_s * 2**number)
            except Stale as problem:
                reason, status = str(problem), None
                break
        raise FetchError(f"{printable(getattr(self, 'url', 'The file'), 160)} failed: {reason}.", http_status=status)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.total}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer) -> int:
        """Fill ``buffer`` from the network and return how many bytes it took: 0 at the end. Raises ``FetchError``."""
        if self._position >= self.total:
            return 0
        data = self._retried(self._read)[: len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self) -> bytes:
        """Some bytes from the present position on, at least one."""
        try:
            ahead = self._position - self._at
            if self._pieces is None or not 0 <= ahead <= len(self._data) + NEAR_BYTES:
                self._hang_up()
                self._answer = self._link.ask(self.url, self._position, self.validator, self._goal)
                self._pieces, self._data, self._at = self._answer.pieces(), b"", self._position
            while self._position >= self._at + len(self._data):
                self._at += len(self._data)
                self._data = next(self._pieces, b"")
                self._heard(len(self._data))
                if not self._data:
                    raise Again("the connection ended early")
            return self._data[self._position - self._at :]
        except Again:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
        self._answer = self._pieces = None

    def close(self) -> None:
        self._hang_up()
        self._link.close()
        super().close()


class Joined(io.RawIOBase):
    """Files, or the one member of zip files, read one after the other as one; nothing is written."""

    def __init__(self, paths: list[Path], heard: Callable[[int], None]):
        super().__init__()
        self._paths, self._heard, self._stack = list(paths), heard, contextlib.ExitStack()
        self._file: IO[bytes] | None = None
        self.name = f"{paths[0].name} with its other parts" if len(paths) > 1 else paths[0].name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        """Fill ``buffer`` from one file, and return how many bytes it took: 0 after the last."""
        while True:
            if self._file is None:
                if not self._paths:
                    return 0
                self._file = self._open(self._paths.pop(0))
            if data := self._file.read(len(buffer)):
                self._heard(len(data))
                buffer[: len(data)] = data
                return len(data)
            self._stack.close()
            self._file = None

    def _open(self, path: Path) -> IO[bytes]:
        try:
            if path.suffix != ".zip":
                return self._stack.enter_context(open(path, "rb"))
            archive = self._stack.enter_context(zipfile.ZipFile(path))
            names = [info for info in archive.infolist() if not info.is_dir()]
            if len(names) != 1:
                raise ArchiveError(f"{printable(path, 160)} holds {len(names)} files, expected one part.")
            return self._stack.enter_context(archive.open(names[0]))
        except (OSError, zipfile.BadZipFile) as problem:
            raise ArchiveError(f"{printable(path, 160)} cannot be read: {printable(problem, 80)}.") from None

    def close(self) -> None:
        self._stack.close()
        super().close()
