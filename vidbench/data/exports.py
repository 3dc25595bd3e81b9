"""Records to the files that other programs, and ``vidbench.data.index``, read: nothing is written that would come back
as something else.

An importer reads a list into records; here is the way back for each. What a format has no place for (times in a list of
paths, sources in a datalist) is lost, and ``FORMATS`` says so; a name or label that the format cannot hold is refused.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.catalog import find_dataset
from vidbench.data.classes import read_labels
from vidbench.data.index import dataset_labels, load_splits
from vidbench.data.layouts import IDENTIFIER
from vidbench.data.lists import clean_path
from vidbench.data.pictures import read_series
from vidbench.data.split import write_splits
from vidbench.data.survey import survey
from vidbench.records import AnnotationError, ConfigError, RunError, UnreadableVideo, VideoRecord
from vidbench.utils import atomic_writer, plural, printable, quoted

log = logging.getLogger(__name__)

FORMATS = {
    "kinetics": "a CSV file with identifier, times, label and split; needs Kinetics' identifiers and times",
    "ucf101": "a folder with classInd.txt and trainlist0N.txt or testlist0N.txt; needs CLASS/NAME in paths",
    "hmdb51": "a folder with CLASS_test_splitN.txt for each class; needs a video of each class",
    "somethingv2": "a folder with the JSON files of labels and of the split; needs short identifiers",
    "csv": "a CSV file with path, label, split and source; loses times",
    "list": "a text file of PATH and LABEL parted by a tab; loses splits, sources and times",
    "datalist": "a JSON file with path, class_name, label and num_frames; loses splits, sources and times",
    "frames": "a text file of PATH NUMBER LABEL for folders of pictures, labels as numbers; loses the rest",
    "folder": "links to the videos in SPLIT/CLASS/; loses sources and times",
}
IN_LIST = ("ok", "missing")  # entries that can be listed; the others are wrong themselves
TRAIN_LISTS = ("train", "test")


@dataclass(frozen=True)
class Written:
    """What an export wrote.

    Args:
        place: the file or folder that was asked for.
        paths: the files; of a folder of classes the folder itself.
        num_videos: listed in them.
        left_out: how many entries were left out, by status.
    """

    place: Path
    paths: tuple[Path, ...]
    num_videos: int
    left_out: dict[str, int]

    def words(self) -> str:
        """One line for people."""
        lost = ", ".join(f"{count} {status}" for status, count in self.left_out.items())
        return f"{plural(self.num_videos, 'video')} in {printable(self.place, 200)}" + (
            f"; left out: {lost}" if lost else ""
        )


def export(
    records: Iterable[VideoRecord],
    labels: Sequence[str],
    form: str,
    out: str | os.PathLike,
    *,
    fold: int = 1,
    num_frames: Mapping[str, int] | None = None,
    root: str | os.PathLike | None = None,
) -> Written:
    """Write a list of videos in one of ``FORMATS``; files are replaced as a whole.

    Beside lists whose classes could be taken for others, ``labels.txt`` names them in order; one that is there and says
    something else is not replaced.

    Args:
        records: of one split or several; those whose own entry is wrong are left out and counted.
        labels: class names in index order.
        form: one of ``FORMATS``.
        out: a file, or for ``ucf101``, ``hmdb51``, ``somethingv2`` and ``folder`` a folder.
        fold: the official division whose name files of UCF101 and HMDB51 bear.
        num_frames: pictures of each video by its path, for ``datalist`` and ``frames``; a video without is left out.
        root: folder that paths are relative to, for ``folder``.

    Raises:
        ConfigError: an unknown format, or nothing to be written.
        AnnotationError: a record that the format cannot hold; says which and why.
        RunError: the place cannot be written.
    """
    if form not in FORMATS:
        raise ConfigError(f"No list is written as {quoted(form, 40)}; known are {', '.join(FORMATS)}.")
    kept: list[VideoRecord] = []
    left_out: Counter[str] = Counter()
    for record in records:
        if record.status not in IN_LIST:
            left_out[record.status] += 1
        elif form in ("datalist", "frames") and not (num_frames or {}).get(record.path):
            left_out["without a count of frames"] += 1
        else:
            kept.append(record)
    if not kept:
        raise ConfigError(f"There is no video to be listed as {form} ({_counted(left_out)}).")
    job = _Export(kept, tuple(labels), Path(out), fold, num_frames or {}, root)
    try:
        paths = _WRITERS[form](job)
    except OSError as problem:
        reason = problem.strerror or problem  # its file name is that of a temporary file
        raise RunError(f"{printable(out, 160)} cannot be written: {reason}; choose another --out.") from None
    return Written(job.out, tuple(paths), len(kept), dict(left_out))


def _counted(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in left_out.items()) or "the list is empty"


@dataclass(frozen=True)
class _Export:
    """What one call of ``export`` writes, and where."""

    records: list[VideoRecord]
    labels: tuple[str, ...]
    out: Path
    fold: int
    num_frames: Mapping[str, int]
    root: str | os.PathLike | None

    def path_of(self, record: VideoRecord) -> str:
        """Its path, where reading it back gives the same."""
        try:
            good = clean_path(record.path) == record.path == record.path.strip()
        except ValueError:
            good = False
        if not good:
            raise _refused(record, f"path {quoted(record.path, 120)}")
        return record.path

    def label_of(self, record: VideoRecord) -> str:
        """Its class, which must be one of the list."""
        if record.label is None:
            raise _refused(record, "no class", "the format needs one for each")
        label = record.label
        known = 0 <= record.label_index < len(self.labels) and self.labels[record.label_index] == label
        if not known or label != label.strip() or not label.isprintable():
            raise _refused(record, f"class {quoted(label, 80)}, index {record.label_index}")
        return label

    def file_of(self, record: VideoRecord) -> tuple[str, str]:
        """``(class, file name)`` of a video that lies in the folder of its class."""
        label, parts = self.label_of(record), self.path_of(record).split("/")
        if len(parts) < 2 or parts[-2] != label:
            raise _refused(
                record, f"path {quoted(record.path, 120)}", f"the format needs it in a folder {quoted(label)}"
            )
        return label, parts[-1]

    def write(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path, "w") as file:
            file.write(text)
        return path

    def write_rows(self, rows: Iterable[Sequence]) -> Path:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return self.write(self.out, text.getvalue())

    def write_labels(self, folder: Path) -> Path:
        """``labels.txt``, unless it is there."""
        path = folder / "labels.txt"
        if path.exists() and read_labels(path) != self.labels:
            raise ConfigError(f"{printable(path, 160)} is there and names other classes; write to another folder.")
        return path if path.exists() else self.write(path, "".join(f"{label}\n" for label in self.labels))


def _refused(record: VideoRecord, what: str, why: str = "the format cannot hold that") -> AnnotationError:
    return AnnotationError(f"{printable(record.video_id, 120)} has {what}: {why}.")


# ---------------------------------------------------------------- the datasets' own files


def _kinetics(job: _Export) -> list[Path]:
    rows = [["label", "youtube_id", "time_start", "time_end", "split"]]
    for r in job.records:
        if (
            r.start_s is None
            or r.end_s is None
            or not IDENTIFIER.fullmatch(r.group)
            or (f"{r.group}_{int(r.start_s):06d}_{int(r.end_s):06d}" != r.video_id)
        ):
            raise _refused(r, "no identifier and times of Kinetics", "the format needs both")
        label = "" if r.label is None else job.label_of(r)
        rows.append([label, r.group, _seconds(r.start_s), _seconds(r.end_s), r.split])
    return [job.write_rows(rows)]


def _seconds(time: float) -> str:
    return f"{time:g}" if float(f"{time:g}") == time else repr(time)


def _ucf101(job: _Export) -> list[Path]:
    lines: dict[str, list[str]] = defaultdict(list)
    for r in job.records:
        label, file = job.file_of(r)
        if r.split not in TRAIN_LISTS:
            raise _refused(r, f"split {quoted(r.split, 40)}", "the format has train and test only")
        number = f" {r.label_index + 1}" if r.split == "train" or re.search(r"\s", f"{label}/{file}") else ""
        lines[r.split].append(f"{label}/{file}{number}\n")
    names = "".join(f"{number} {label}\n" for number, label in enumerate(job.labels, 1))
    paths = [job.write(job.out / f"{split}list{job.fold:02d}.txt", "".join(some)) for split, some in lines.items()]
    return [*paths, job.write(job.out / "classInd.txt", names)]


def _hmdb51(job: _Export) -> list[Path]:
    lines: dict[str, list[str]] = {label: [] for label in job.labels}
    for r in job.records:
        label, file = job.file_of(r)
        if r.split not in TRAIN_LISTS:
            raise _refused(r, f"split {quoted(r.split, 40)}", "the format has train and test only")
        lines[label].append(f"{file} {1 + TRAIN_LISTS.index(r.split)}\n")
    for label, some in lines.items():
        if not some:
            raise AnnotationError(f"No video of class {quoted(label)} is listed; the format has a file for each class.")
        if "/" in label or label in (".", ".."):
            raise AnnotationError(f"Class {quoted(label)} cannot be part of a file's name, as the format needs.")
    name = f"_test_split{job.fold}.txt"
    return [job.write(job.out / f"{label}{name}", "".join(some)) for label, some in lines.items()]


def _somethingv2(job: _Export) -> list[Path]:
    entries: dict[str, list[dict]] = defaultdict(list)
    for r in job.records:
        if not IDENTIFIER.fullmatch(r.video_id):
            raise _refused(r, "no short identifier of letters, digits, - and _", "the format needs one")
        named = {} if r.label is None else {"label": job.label_of(r), "template": r.label, "placeholders": []}
        entries[r.split].append({"id": r.video_id, **named})
    for label in job.labels:
        if "[" in label or "]" in label:
            raise AnnotationError(f"Class {quoted(label)} has brackets, which mark a place for a word in this format.")
    words = {"val": "validation"}
    prefix = "something-something-v2-"
    paths = [
        job.write(job.out / f"{prefix}{words.get(split, split)}.json", json.dumps(some, indent=1) + "\n")
        for split, some in entries.items()
    ]
    numbers = {label: str(number) for number, label in enumerate(job.labels)}
    return [*paths, job.write(job.out / f"{prefix}labels.json", json.dumps(numbers, indent=1) + "\n")]


# ---------------------------------------------------------------- lists of paths


def _csv(job: _Export) -> list[Path]:
    for r in job.records:
        if r.group != r.group.strip() or not r.group.isprintable():
            raise _refused(r, f"source {quoted(r.group, 80)}")
        job.path_of(r)
        if r.label is not None:
            job.label_of(r)
    labels = job.write_labels(job.out.parent)
    write_splits({"all": job.records}, job.out)
    return [job.out, labels]


def _list(job: _Export) -> list[Path]:
    lines = [f"{job.path_of(r)}\t{job.label_of(r)}\n" for r in job.records]
    return [job.write(job.out, "".join(lines)), job.write_labels(job.out.parent)]


def _datalist(job: _Export) -> list[Path]:
    entries = [
        {
            "path": job.path_of(r),
            "class_name": job.label_of(r),
            "label": r.label_index,
            "num_frames": job.num_frames[r.path],
        }
        for r in job.records
    ]
    text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
    return [job.write(job.out, text), job.write_labels(job.out.parent)]


def _frames(job: _Export) -> list[Path]:
    lines = []
    for r in job.records:
        path = job.path_of(r)
        if re.search(r"\s\d+$", path):
            raise _refused(r, f"path {quoted(path, 120)}", "a number at its end would be taken for the count")
        job.label_of(r)
        lines.append(f"{path} {job.num_frames[r.path]} {r.label_index}\n")
    return [job.write(job.out, "".join(lines)), job.write_labels(job.out.parent)]


# ---------------------------------------------------------------- a folder of classes


def folder_plan(records: Iterable[VideoRecord], labels: Sequence[str]) -> list[tuple[str, str]]:
    """Where each video lies and where it goes in a folder of classes: ``(path, SPLIT/CLASS/NAME)``.

    What lies below a folder of the class's name keeps its place below it.

    Raises:
        AnnotationError: two videos with one place, or a class that no folder can be called.
    """
    job = _Export(list(records), tuple(labels), Path(), 1, {}, None)
    places: dict[str, VideoRecord] = {}
    plan = []
    for r in job.records:
        label, parts = job.label_of(r), job.path_of(r).split("/")
        if "/" in label or "\\" in label or label.startswith("."):
            raise AnnotationError(f"Class {quoted(label)} cannot be the name of a folder, as the format needs.")
        below = parts[parts.index(label) + 1 :] if label in parts[:-1] else parts[-1:]
        place = "/".join(filter(None, (r.split, label, *below)))
        if (other := places.setdefault(place, r)) is not r:
            raise AnnotationError(f"{printable(r.path, 120)} and {printable(other.path, 120)} would both be {place}.")
        plan.append((r.path, place))
    return plan


def _folder(job: _Export) -> list[Path]:
    if job.root is None:
        raise ConfigError("A folder of classes is made of links to the videos: say in which folder they lie.")
    for path, place in folder_plan(job.records, job.labels):
        _link(Path(os.path.abspath(job.root)) / path, job.out / place)
    job.write_labels(job.out)
    return [job.out]


def _link(source: Path, target: Path) -> None:
    """A symbolic link, or a second name of the file where the system has none; one that is there is replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    try:
        os.symlink(source, target)
    except FileExistsError:
        raise ConfigError(f"{printable(target, 160)} is there already; write to another folder.") from None
    except (OSError, NotImplementedError):
        os.link(source, target)


_WRITERS: dict[str, Callable[[_Export], list[Path]]] = {
    "kinetics": _kinetics,
    "ucf101": _ucf101,
    "hmdb51": _hmdb51,
    "somethingv2": _somethingv2,
    "csv": _csv,
    "list": _list,
    "datalist": _datalist,
    "frames": _frames,
    "folder": _folder,
}


# ---------------------------------------------------------------- from one to another


def convert(config) -> Written:
    """Read a dataset's list and write it in another format.

    Args:
        config: a ``vidbench.arguments.ConvertConfig``.

    Raises:
        VidbenchError: a list that cannot be read, or not be written so.
    """
    card = find_dataset(config.dataset)
    options = {"classes": config.classes, "annotations": config.annotations}
    records = load_splits(card.name, config.data_dir, config.split, config.fold, **options)
    labels = dataset_labels(card.name, config.data_dir, config.annotations)
    count = {"datalist": _counts, "frames": _picture_counts}.get(config.to)
    num_frames = count(records, config.data_dir) if count else None
    return export(records, labels, config.to, config.out, fold=config.fold, num_frames=num_frames, root=config.data_dir)


def _counts(records: Sequence[VideoRecord], root: str) -> dict[str, int]:
    """Pictures of each video that can be read, counted and not taken from its header."""
    looks = survey([record for record in records if record.status == "ok"], root)
    return {look.record.path: look.info.num_frames for look in looks if look.info}


def _picture_counts(records: Sequence[VideoRecord], root: str) -> dict[str, int]:
    counts = {}
    for record in records:
        if record.status != "ok":
            continue
        try:
            counts[record.path] = len(read_series(os.path.join(root, record.path)).names)
        except UnreadableVideo as problem:
            log.warning("%s is left out: %s", printable(record.path, 160), problem.reason)
    return counts
