"""The run folder on disk: manifest, rows and logits that survive any kill, and who holds it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np

from vidbench.records import Row, RunError, VideoRecord
from vidbench.utils import printable, write_json

SCHEMA = 1
# Sections and keys of the manifest that may differ when a run is continued: they say where and
# how fast it ran, not what was asked.
FREE_SECTIONS = ("environment", "timing", "tuning", "command", "run_name", "merged", "parents")
FREE_KEYS = {
    ("dataset", "data_dir"),  # the list has a hash, and every row its file's size
    ("run", "num_workers"),
    ("run", "precision"),  # settled by the first session, see local.settle
    ("run", "memory_format"),
    ("model", "weights_sha256"),  # known once the model is loaded, see local.check_weights
    ("model", "weights_source"),
    ("model", "published"),
    ("dataset", "n_in_list"),  # of the list before it was divided; runs of earlier versions have none
    ("dataset", "list_sha256"),
    ("protocol", "asked"),  # how the input was asked for; what it is stands in spec
    ("protocol", "target"),  # what the run is compared with
    ("label_map", "columns"),  # follow from its source and hash; runs of earlier versions have none
}

log = logging.getLogger(__name__)


@contextlib.contextmanager
def results_in(out: str | os.PathLike) -> Iterator[Path]:
    """A folder for results, made; ``RunError`` that names ``--out`` where the block cannot write to it."""
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield out
    except OSError as problem:
        raise RunError(f"{printable(out)} cannot be written: {problem.strerror}; use another --out") from None


def manifest_differences(old: dict, new: dict) -> list[tuple[str, object, object]]:
    """Keys that make two manifests different runs, as ``(section.key, old value, new value)``; hashes come last."""
    differences = []
    for section in sorted(set(old) | set(new), key=str):
        if section in FREE_SECTIONS:
            continue
        before, after = old.get(section), new.get(section)
        if not (isinstance(before, dict) and isinstance(after, dict)):
            if before != after:
                differences.append((section, before, after))
            continue
        for key in sorted(set(before) | set(after), key=str):
            if (section, key) not in FREE_KEYS and before.get(key) != after.get(key):
                differences.append((f"{section}.{key}", before.get(key), after.get(key)))
    return sorted(differences, key=lambda difference: difference[0].endswith("sha256"))  # a name says more to people


def refuse_differences(folder: Path, old: dict, new: dict) -> None:
    """Raise ``RunError`` with the first key in which two manifests are different runs."""
    differences = manifest_differences(old, new)
    if not differences:
        return
    key, before, after = differences[0]
    more = f" (and {len(differences) - 1} more: {', '.join(d[0] for d in differences[1:6])})" if differences[1:] else ""
    raise RunError(
        f"{folder} is another run: {key} was {printable(json.dumps(before), 80)}, now it is "
        f"{printable(json.dumps(after), 80)}{more}; use another --run-name, or remove the folder"
    )


def read_json(path: Path) -> dict:
    """A JSON object from a file of a run folder; raises ``RunError`` where it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{path} does not exist: is {path.parent} a run folder?") from None
    except (OSError, ValueError, RecursionError) as problem:
        reason = getattr(problem, "strerror", None) or printable(problem, 100)
        raise RunError(f"{path} cannot be read ({reason}); make the run again under another name") from None
    if not isinstance(value, dict):
        raise RunError(f"{path} holds no JSON object; make the run again under another name")
    return value


def section(manifest: Mapping, name: str) -> dict:
    """A section of a manifest; empty where it is missing or no section."""
    value = manifest.get(name)
    return value if isinstance(value, dict) else {}


def dataset_labels(folder: Path, manifest: dict) -> list[str]:
    """Class names of the data, in index order."""
    labels = manifest.get("labels")
    if not isinstance(labels, list):
        raise RunError(f"{folder} names no classes: its manifest.json has no list 'labels'")
    return [str(label) for label in labels]


def read_rows(path: Path, records: list[VideoRecord] | None = None) -> tuple[list[Row], int]:
    """The valid rows at the start of a ``rows.jsonl``, and how many lines behind them are unusable.

    Row *i* is valid when its line is whole, parses, has index *i* and, where ``records`` are
    given, names record *i*. A torn last line, zeros after a power cut, a line written twice: all
    end the valid part, and the videos behind it are done again.
    """
    rows, _, unusable = _scan(path, records)
    return rows, unusable


def _scan(path: Path, records: list[VideoRecord] | None) -> tuple[list[Row], list[int], int]:
    """``read_rows``, with the byte at which each row ends."""
    rows: list[Row] = []
    ends: list[int] = []
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return rows, ends, 0
    lines = data.split(b"\n")
    for line in lines[:-1]:
        try:
            row = Row.from_json(json.loads(line))
        except (ValueError, TypeError, AttributeError, RecursionError):
            break
        if row.index != len(rows):
            break
        if records is not None and (row.index >= len(records) or row.video_id != records[row.index].video_id):
            break
        rows.append(row)
        ends.append((ends[-1] if ends else 0) + len(line) + 1)
    unusable = len([line for line in lines[len(rows) :] if line])
    return rows, ends, unusable


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder, read.

    Args:
        folder: where it lies.
        manifest: content of its ``manifest.json``.
        rows: one a listed video that was done, in listed order.
        labels: class names of the dataset, in index order.
    """

    folder: Path
    manifest: dict
    rows: tuple[Row, ...]
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        """The run's name by its manifest, else that of its folder."""
        return str(self.manifest.get("run_name") or self.folder.name)

    @property
    def num_listed(self) -> int:
        """How many videos the run is over, by its manifest; rows so far where that does not say."""
        listed = section(self.manifest, "dataset").get("n_listed")
        return listed if isinstance(listed, int) else len(self.rows)


def read_run(folder: str | Path) -> Run:
    """Read a run folder; runs no model.

    Raises:
        RunError: no run folder, or one without a single row.
    """
    folder = Path(folder)
    manifest = read_json(folder / "manifest.json")
    labels = manifest.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise RunError(f"{folder}/manifest.json lists no classes; make the run again with scripts/evaluate.py")
    rows, _ = read_rows(folder / "rows.jsonl")
    if not rows:
        raise RunError(f"{folder} has no rows yet; run scripts/evaluate.py first")
    return Run(folder, manifest, tuple(rows), tuple(labels))


def refuse_damaged(run: Run, needed: Sequence[str] = ()) -> None:
    """Raise ``RunError`` with the first field of a manifest that cannot be computed with, as after an edit by hand.

    Args:
        run: with its manifest.
        needed: fields as ``section.key`` that must have a value.
    """
    sections = run.manifest
    for name in ("dataset", "model", "spec", "run", "protocol", "timing"):
        if not isinstance(sections.get(name, None if name == "dataset" else {}), dict):
            raise _damaged(run, name, sections.get(name), "an object")
    for name, (fits, words) in FIELDS.items():
        part, _, key = name.partition(".")
        value = sections.get(part, {}).get(key)
        if value is not None and not fits(value):
            raise _damaged(run, name, value, words)
    if sections["dataset"].get("shard"):  # joining shards takes the whole list apart again
        needed = (*needed, "run.batch_size", "dataset.n_in_list", "dataset.list_sha256")
    for name in needed:
        part, _, key = name.partition(".")
        if sections.get(part, {}).get(key) is None:
            raise _damaged(run, name, None, "given")


def _damaged(run: Run, name: str, value: object, words: str) -> RunError:
    return RunError(
        f"{printable(run.folder / 'manifest.json')} is damaged: {name} is {printable(json.dumps(value), 60)} and must "
        f"be {words}; put the file back as it was, or make the run again"
    )


def _whole(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _shard(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(_whole(item, 1) for item in value) and value[0] <= value[1]


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


COUNT, AMOUNT = (_whole, "a whole number"), (_number, "a number, 0 or above")
FIELDS = {  # of a manifest, with which merging and comparing compute; a missing or empty one is none
    "dataset.shard": (_shard, "[i, n], part i of n"),
    "dataset.classes": (_names, "a list of names"),
    **{f"dataset.{name}": COUNT for name in ("limit", "n_listed", "n_in_split", "n_in_list")},
    **dict.fromkeys(("run.batch_size", "run.top_n"), (lambda value: _whole(value, 1), "a whole number, 1 or above")),
    **dict.fromkeys(("spec.num_clips", "spec.num_crops", "protocol.num_views"), COUNT),
    "timing.seconds": (
        lambda value: isinstance(value, dict) and all(map(_number, value.values())),
        "a number of seconds for each stage",
    ),
    **{f"timing.{name}": AMOUNT for name in ("num_videos", "sessions", "peak_rss_mb")},
}


class RunFolder:
    """One run on disk, held by one process at a time; use it in a ``with`` statement.

    ``rows.jsonl`` and ``logits.npy`` grow by whole batches: logits first, then the rows that
    make them valid, each flushed to the disk. A run that was killed is cut back to the last
    whole batch, so that every batch is computed from the same videos however often it stops.

    Args:
        folder: is created where it does not exist.
        manifest: sections of JSON values; see ``manifest_differences`` for what may change.
        records: the listed videos, in order.
        num_views: V of the logits.
        num_classes: K of the model.
        batch_size: videos in a batch.
        keep: called with the rows that are there; how many of the first ones still stand.

    Raises:
        RunError: the folder belongs to another run or is held by another process.
    """

    def __init__(
        self,
        folder: Path,
        manifest: dict,
        records: list[VideoRecord],
        num_views: int,
        num_classes: int,
        batch_size: int,
        keep: Callable[[list[Row]], int] = len,
    ):
        self.folder, self.records, self.batch_size = Path(folder), records, batch_size
        self.manifest = {"schema": SCHEMA, **manifest}
        self.shape = (len(records), num_views, num_classes)
        self.rows: list[Row] = []
        self.keep = keep
        self.lock = filelock.FileLock(self.folder / "held", timeout=0)

    def __enter__(self) -> RunFolder:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise RunError(
                f"the run folder {self.folder} cannot be made: {problem.strerror}; choose another place"
            ) from None
        self._hold()
        try:
            self._continue_or_begin()
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(self, *_) -> None:
        for file in (self._rows_file, self._logits_file):
            with contextlib.suppress(OSError):  # all that counts was flushed by append, which says what went wrong
                file.close()
        with contextlib.suppress(OSError):
            (self.folder / "holder.json").unlink()
        self.lock.release()

    def _hold(self) -> None:
        holder = self.folder / "holder.json"
        try:
            self.lock.acquire()
        except filelock.Timeout:
            who = "another process"
            with contextlib.suppress(RunError):
                facts = read_json(holder)
                who = printable(f"process {facts.get('pid')} on {facts.get('host')}")
            raise RunError(f"{self.folder} is being written by {who}; wait for it, or use another --run-name") from None
        write_json(holder, {"pid": os.getpid(), "host": socket.gethostname()})

    def _continue_or_begin(self) -> None:
        path, rows = self.folder / "manifest.json", self.folder / "rows.jsonl"
        if path.exists() and rows.exists() and rows.stat().st_size:
            self._check_same(read_json(path))
        elif rows.exists() and rows.stat().st_size:
            raise RunError(f"{self.folder} holds rows but no manifest.json; use another --run-name")
        else:  # nothing was done here yet: whatever was asked before, it is another run's folder now
            write_json(path, self.manifest)
        self._open_files()

    def _check_same(self, old: dict) -> None:
        if old.get("schema") != SCHEMA:
            raise RunError(
                f"{self.folder} was written with schema {printable(old.get('schema'), 20)}, "
                f"this version writes {SCHEMA}; use another --run-name"
            )
        refuse_differences(self.folder, old, json.loads(json.dumps(self.manifest)))
        self.manifest = old

    def _open_files(self) -> None:
        path = self.folder / "rows.jsonl"
        rows, ends, unusable = _scan(path, self.records)
        if unusable:
            log.warning("%s: %d unusable lines; their videos are done again", path, unusable)
        self._logits_file, whole = self._open_logits()
        if rows and not whole:
            log.warning("%s: logits.npy is lost or damaged; all %d videos are done again", self.folder, len(rows))
        number = self.keep(rows) if whole else 0
        if number < len(self.records):
            number -= number % self.batch_size
        self.rows = rows[:number]
        self._rows_file = open(path, "ab")  # noqa: SIM115 - closed in __exit__
        self._rows_file.truncate(ends[number - 1] if number else 0)
        self._rows_file.seek(0, os.SEEK_END)

    def _open_logits(self):
        """``logits.npy`` at its full length from the start; the rows say which part is valid."""
        path = self.folder / "logits.npy"
        header_and_data = npy_header(self.shape)
        size = len(header_and_data) + 4 * int(np.prod(self.shape))
        whole = (
            path.exists()
            and path.stat().st_size == size
            and path.open("rb").read(len(header_and_data)) == header_and_data
        )
        file = open(path, "r+b" if whole else "w+b")  # noqa: SIM115 - closed in __exit__
        if not whole:
            file.write(header_and_data)
            file.truncate(size)
            file.flush()
        self._logits_start = len(header_and_data)
        return file, whole

    def append(self, rows: list[Row], logits: np.ndarray) -> None:
        """Add one batch: ``logits`` is float32 (len(rows), V, K), NaN where a video was skipped.

        Raises:
            RunError: the disk is full or the folder has gone; what was written before stays valid.
        """
        assert logits.shape == (len(rows), *self.shape[1:]), (logits.shape, self.shape)
        try:
            self._logits_file.seek(self._logits_start + 4 * len(self.rows) * self.shape[1] * self.shape[2])
            self._logits_file.write(np.ascontiguousarray(logits, "<f4").tobytes())
            flush(self._logits_file)
            self._rows_file.write(b"".join(encode_row(row) for row in rows))
            flush(self._rows_file)
        except OSError as problem:
            raise RunError(
                f"{self.folder} cannot be written ({problem.strerror}) after {len(self.rows)} of "
                f"{len(self.records)} videos; make room and run the same command again"
            ) from None
        self.rows.extend(rows)

    def update_manifest(self, **sections: dict) -> None:
        """Merge values into sections of the manifest and write it."""
        for name, values in sections.items():
            self.manifest[name] = {**self.manifest.get(name, {}), **values}
        write_json(self.folder / "manifest.json", self.manifest)


def flush(file) -> None:
    """Hand a file's bytes to the disk, so that a power cut finds them."""
    file.flush()
    os.fsync(file.fileno())


def encode_row(row: Row) -> bytes:
    """One line of ``rows.jsonl``; ASCII, so that a file name which is no UTF-8 comes back the same."""
    return json.dumps(row.as_json(), allow_nan=False, separators=(",", ":")).encode() + b"\n"


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The head of a ``.npy`` file of little-endian float32 in C order."""
    import io

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()
