"""Run folders on an object store, or on any other file system that fsspec knows: ``s3://``, ``gs://``, ``hdfs://``.

Objects cannot be appended to, so a run is worked on in a folder of this machine and sent away in pieces while it goes
on: ``pieces/FIRST.npy`` and then ``pieces/FIRST.jsonl``, logits and rows from number FIRST. A run that is started
again, here or on another machine, is put together from them. A finished run lies there like any run folder. Nothing
keeps two programs from the same run there; they send the same pieces.
"""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path

import numpy as np

from vidbench.data.web import network_words
from vidbench.records import ConfigError, RunError
from vidbench.runs import npy_header, read_json
from vidbench.utils import printable, without_login

PIECE_S = 20.0  # a piece is sent at least so often,
PIECE_BYTES = 32 * 2**20  # and as soon as its rows and logits are so large
OURS = ("held", "holder.json")  # which process of this machine writes: of no use elsewhere


def is_remote(folder: str) -> bool:
    """Whether a folder is an address and no path: ``s3://bucket/results``."""
    return "://" in str(folder)


class RemoteRun:
    """One run folder elsewhere, and its copy here.

    Args:
        address: of the run folder, as fsspec takes it; kept without the login that it may hold.
        folder: here; the parent exists.

    Raises:
        ConfigError: no such kind of file system, or a package for it is missing.
        RunError: it cannot be reached.
    """

    def __init__(self, address: str, folder: Path):
        import fsspec

        self.address, self.folder, self.finished = without_login(address.rstrip("/")), Path(folder), False
        try:
            self.files, self.root = fsspec.core.url_to_fs(address.rstrip("/"))
        except (ImportError, ValueError) as problem:
            raise ConfigError(f"--results-dir {printable(address)} cannot be used: {printable(problem, 200)}") from None
        except Exception as problem:  # some kinds connect here, each with errors of its own
            raise self._failure("reached", problem) from None

    def fetch(self) -> None:
        """Put the run here as far as it was made; nothing where there is none."""
        with self._said("read"):
            if not self.files.exists(f"{self.root}/manifest.json"):
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in ("manifest.json", "absent.json", "rows.jsonl", "logits.npy"):
                if self.files.exists(f"{self.root}/{name}"):
                    self.files.get_file(f"{self.root}/{name}", str(self.folder / name))
            self.finished = (self.folder / "rows.jsonl").exists()
            if not self.finished:
                self._put_together()

    def _put_together(self) -> None:
        """Rows and logits of the pieces that follow each other; a later piece takes the place of what it repeats."""
        lines: list[bytes] = []
        logits = None
        for first, name in self._pieces():
            if first > len(lines):
                break
            part = self.files.cat_file(f"{name}.jsonl").splitlines(keepends=True)
            scores = np.load(io.BytesIO(self.files.cat_file(f"{name}.npy")), allow_pickle=False)
            lines[first:] = part
            logits = scores if logits is None else np.concatenate([logits[:first], scores])
        if logits is None:
            return
        number = read_json(self.folder / "manifest.json")["dataset"]["n_listed"]
        with open(self.folder / "logits.npy", "wb") as file:
            file.write(npy_header((number, *logits.shape[1:])))
            start = file.tell()
            file.write(np.ascontiguousarray(logits, "<f4").tobytes())
            file.truncate(start + 4 * number * int(np.prod(logits.shape[1:])))
        (self.folder / "rows.jsonl").write_bytes(b"".join(lines))

    def _pieces(self) -> list[tuple[int, str]]:
        """``(first row, address without suffix)`` of the pieces that are whole, in order."""
        folder = f"{self.root}/pieces"
        names = self.files.ls(folder, detail=False) if self.files.exists(folder) else []
        whole = [name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl")]
        return sorted((int(name.rpartition("/")[2]), name) for name in whole)

    def drop_from(self, row: int) -> None:
        """Forget pieces that begin at or behind a row: it is made again."""
        with self._said("written"):
            for first, name in self._pieces():
                if first >= row:
                    self.files.rm([f"{name}.jsonl", f"{name}.npy"])

    def send_piece(self, first: int, rows: bytes, logits: np.ndarray) -> None:
        """Add rows (lines) and logits from a row on; the rows come last and make it valid."""
        buffer = io.BytesIO()
        np.save(buffer, logits, allow_pickle=False)
        with self._said("written"):
            self.files.makedirs(f"{self.root}/pieces", exist_ok=True)
            self.files.put_file(str(self.folder / "manifest.json"), f"{self.root}/manifest.json")
            self.files.pipe_file(f"{self.root}/pieces/{first:012d}.npy", buffer.getvalue())
            self.files.pipe_file(f"{self.root}/pieces/{first:012d}.jsonl", rows)

    def send_all(self) -> None:
        """Send every file of a finished run, the rows last; then the pieces are of no more use."""
        there = OURS + (("logits.npy", "rows.jsonl") if self.finished else ())
        names = [path.name for path in self.folder.iterdir() if path.is_file() and path.name not in there]
        with self._said("written"):
            self.files.makedirs(self.root, exist_ok=True)
            for name in sorted(names, key=lambda name: name == "rows.jsonl"):
                self.files.put_file(str(self.folder / name), f"{self.root}/{name}")
            if self.files.exists(f"{self.root}/pieces"):
                self.files.rm(f"{self.root}/pieces", recursive=True)

    @contextlib.contextmanager
    def _said(self, what: str):
        """Whatever a file system raises, as one sentence: each has errors of its own."""
        try:
            yield
        except RunError:
            raise
        except Exception as problem:
            raise self._failure(what, problem) from None

    def _failure(self, what: str, problem: Exception) -> RunError:
        return RunError(
            f"{printable(self.address)} cannot be {what} ({network_words(problem)}); "
            "what was sent stays, and the same command continues"
        )


class Sending:
    """Shows progress as another ``Progress`` does, and sends what was made meanwhile.

    Args:
        remote: where to.
        progress: is called likewise; ``None`` for none.
        clock: seconds, rising; for tests.
    """

    def __init__(self, remote: RemoteRun, progress=None, *, clock=time.monotonic):
        self.remote, self.progress, self.clock = remote, progress, clock
        self.sent = self.offset = 0
        self.since = clock()

    def start(self, total: int, done: int = 0, skipped: int = 0) -> None:
        """The run is there with ``done`` of ``total`` rows; pieces behind them are forgotten."""
        self.remote.finished = False
        self.remote.drop_from(done)
        rows = self.remote.folder / "rows.jsonl"
        self.sent, self.offset, self.since = done, rows.stat().st_size, self.clock()
        if self.progress:
            self.progress.start(total, done, skipped)

    def update(self, done: int, skipped: int) -> None:
        """``done`` rows are written; send those that were not, where it is time to."""
        rows = self.remote.folder / "rows.jsonl"
        if self.clock() - self.since >= PIECE_S or self._bytes_of(done - self.sent, rows) >= PIECE_BYTES:
            self._send(done)
        if self.progress:
            self.progress.update(done, skipped)

    def stop(self) -> None:
        """Send the rest: the run is at its end, or is being stopped."""
        with open(self.remote.folder / "rows.jsonl", "rb") as file:
            file.seek(self.offset)
            number = file.read().count(b"\n")
        try:
            if number:
                self._send(self.sent + number)
        finally:
            if self.progress:
                self.progress.stop()

    def _logits(self) -> np.ndarray:
        return np.load(self.remote.folder / "logits.npy", mmap_mode="r", allow_pickle=False)

    def _bytes_of(self, number: int, rows: Path) -> int:
        return rows.stat().st_size - self.offset + number * self._logits()[:1].nbytes

    def _send(self, done: int) -> None:
        with open(self.remote.folder / "rows.jsonl", "rb") as file:
            file.seek(self.offset)
            lines = file.read()
        self.remote.send_piece(self.sent, lines, np.array(self._logits()[self.sent : done]))
        self.sent, self.offset, self.since = done, self.offset + len(lines), self.clock()
