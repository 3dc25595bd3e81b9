"""Annotation files to records: one for every listed video, and what is wrong with those that are not there.

Everything is read as text. A line that cannot be used becomes a record with status ``bad_row``, a
label outside the class list ``unknown_label``, a second mention ``duplicate`` (both mentions, where
their labels differ), a file that is not there ``missing``. A file that cannot be what it should be
raises ``AnnotationError``. Labels match class names exactly, or a spelling that
``labels/aliases.csv`` names, spaces around them aside; file names
match exactly, also in case. Text from an annotation file never becomes a path outside the root.

A video is a file, or a folder of numbered pictures (``vidbench.data.pictures``).
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import json
import logging
import os
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vidbench.data.catalog import (
    check_labels,
    find_dataset,
    load_aliases,
    load_labels,
    name_of_list,
    quoted,
    read_labels,
    read_text,
)
from vidbench.data.pictures import is_picture, read_series
from vidbench.records import PREDICTED, AnnotationError, UnreadableVideo, VideoRecord
from vidbench.utils import chance, nearest_hint, printable

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".asf", ".avi", ".dv", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "validate", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
UCF_PICTURES = "jpegs_256"  # the folder of UCF101's videos as pictures, as its zip has it
IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
PICTURE_LINES = (  # of a list of folders: PATH FIRST LAST LABEL, or PATH NUMBER LABEL
    re.compile(r"([^\t]*\S) +(\d{1,9} +\d{1,9}) +(\d{1,6})"),
    re.compile(r"([^\t]*\S) +(\d{1,9}) +(\d{1,6})"),
)
MOST_FRAMES = 10_000_000  # num_frames beyond this is a mistake, not a video


# ---------------------------------------------------------------- the front door


def load_records(
    name: str,
    root: str | os.PathLike,
    split: str,
    fold: int = 1,
    *,
    classes: Iterable[str] | None = None,
    annotations: str | os.PathLike | None = None,
    present_only: bool = False,
) -> list[VideoRecord]:
    """The videos that a dataset lists for a split, in listed order, one record each.

    Args:
        name: a dataset of ``vidbench.data.catalog``.
        root: the folder with the videos; record paths are relative to it.
        split: ``train``, ``val`` or ``test``, as the dataset has it.
        fold: the official division, from 1, for UCF101, HMDB51 and vidmini.
        classes: keep only videos of these classes; their indices stay those of the whole dataset.
        annotations: the annotation file, where it does not lie in its usual place below ``root``.
        present_only: leave out videos whose file is not there; how many is logged.

    Raises:
        AnnotationError: a file that is missing or cannot be used, a split without a video, a class
            that the dataset does not have, or training and test videos cut from one source.
        ConfigError: an unknown dataset.
    """
    card, root = find_dataset(name), Path(root)
    if not root.is_dir():
        way = f", or fetch it: python scripts/fetch.py {card.name} --help" if card.bases else ""
        raise AnnotationError(
            f"{printable(root, 160)} is not a folder; expected the data of {card.title} in it. "
            f"Pass its place as --data-dir{way}."
        )
    labels = dataset_labels(name, root, annotations)
    records = _LAYOUTS[card.layout](root, split, fold, labels, Path(annotations) if annotations else None)
    if not records:
        raise AnnotationError(f"No video is listed in split {quoted(split, 60)} of {card.title} below {root}.")
    if classes is not None:
        records = filter_classes(records, classes, labels)
    if present_only:
        records, absent = keep_present(records)
        log.info("%s: %d of %d listed videos are not there and left out", name, absent, absent + len(records))
    counts = Counter(record.status for record in records)
    if counts["ok"] != len(records):
        log.warning("%s: %s", name, ", ".join(f"{count} {status}" for status, count in counts.most_common()))
    return records


def dataset_labels(name: str, root: str | os.PathLike, annotations: str | os.PathLike | None = None) -> tuple[str, ...]:
    """The class names of a dataset in index order.

    A known dataset has its own list. A folder of classes or a list of paths takes the names in ``labels.txt`` beside
    the annotation file or in the root, where there is one; else the sorted names of the class folders, or those
    that the list mentions.

    Raises:
        AnnotationError: names that cannot be had or used.
        ConfigError: an unknown dataset.
    """
    card, root = find_dataset(name), Path(root)
    if card.labels:
        return load_labels(card.labels)
    for place in (Path(annotations).parent, root) if annotations else (root,):
        if (place / "labels.txt").is_file():
            return read_labels(place / "labels.txt")
    if card.layout == "folder":
        return _folder_labels(root)
    return _list_labels(_list_file(root, Path(annotations) if annotations else None))


def filter_classes(records: Iterable[VideoRecord], classes: Iterable[str], labels: Iterable[str]) -> list[VideoRecord]:
    """Records of some classes, in order; those without a usable label stay, nobody knows their class.

    Raises:
        AnnotationError: a class that is not among ``labels``.
    """
    labels, wanted = set(labels), set(classes)
    for name in sorted(wanted - labels):
        raise AnnotationError(f"There is no class {quoted(name, 80)} in this dataset.{nearest_hint(name, labels)}")
    return [record for record in records if record.label is None or record.label in wanted]


def keep_present(records: Iterable[VideoRecord]) -> tuple[list[VideoRecord], int]:
    """Records whose file is there (or that are wrong in another way), and how many are not."""
    records = list(records)
    present = [record for record in records if record.status != "missing"]
    return present, len(records) - len(present)


def draw_subset(records: Iterable[VideoRecord], limit: int, seed: int) -> list[VideoRecord]:
    """``limit`` records drawn evenly over the classes, in listed order.

    A record's place in the draw depends on ``seed``, its id and its class, on nothing else: the
    draw is the same for every model and machine, and a smaller one lies within a larger one. Each
    class gives its share of the list, to within one video.

    Args:
        records: the whole list, in listed order.
        limit: at least 1; all records where there are no more.
        seed: any whole number.

    Raises:
        ValueError: ``limit`` below 1.
    """
    records = list(records)
    if limit < 1:
        raise ValueError(f"a subset has at least 1 record, got {limit=}")
    if limit >= len(records):
        return records
    by_class: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for position, record in enumerate(records):
        by_class[record.label_index].append((_chance(seed, "video", record.video_id), position))
    order = []
    for index, members in by_class.items():
        offset = _chance(seed, "class", str(index))
        for rank, (_, position) in enumerate(sorted(members)):
            order.append(((rank + offset) / len(members), position))
    return [records[position] for _, position in sorted(sorted(order)[:limit], key=lambda place: place[1])]


def records_fingerprint(records: Iterable[VideoRecord]) -> str:
    """SHA-256 over what the list says, in order: ids, labels, splits, groups and times.

    Paths and statuses are left out: they change when a file is moved or arrives, the list does not.
    """
    digest = hashlib.sha256()
    for r in records:
        line = json.dumps([r.video_id, r.label, r.label_index, r.split, r.group, r.start_s, r.end_s])
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def describe(records: Iterable[VideoRecord], facts: Iterable | None = None, *, by: str = "label"):
    """A table of what is listed, and with ``facts`` of what is in the files: one row a class, or a split, or a codec.

    Args:
        records: the list.
        facts: what ``vidbench.data.survey.probe_all`` or ``survey`` gave for these records, in the same order.
        by: the column to group by: ``label``, ``split``, ``group``, ``status``; with facts also ``codec`` and ``size``.

    Returns:
        A ``pandas.DataFrame``, indexed by ``by`` in order of appearance: ``videos`` listed, ``usable`` (status ``ok``
        or ``partial``), ``groups`` (different sources); with facts also ``megabytes``, ``seconds`` (all together),
        ``shortest_s``, ``median_s``, ``longest_s``, and the different ``frame_rates``, ``sizes`` (width x height) and
        ``codecs``, the most frequent first. What no file of a row tells is missing.

    Raises:
        ValueError: facts of another list, or a column that is not there.
    """
    import pandas as pd

    records = list(records)
    table = pd.DataFrame([_plain_facts(r) for r in records], columns=list(_plain_facts(VideoRecord("", ""))))
    if facts is not None:
        rows = [look.facts() for look in facts]
        if [row["video_id"] for row in rows] != [r.video_id for r in records]:
            raise ValueError(f"{len(rows)} facts are not those of these {len(records)} records, in the same order")
        table = pd.DataFrame(rows, columns=list(rows[0]) if rows else [*table.columns, *_FILE_FACTS])
        table["size"] = [_size_words(row["width"], row["height"]) for row in rows]
    if by not in table.columns:
        raise ValueError(f"there is no column {by!r};{nearest_hint(by, table.columns)}")
    groups = table.groupby(by, sort=False, dropna=False)
    found = pd.DataFrame({"videos": groups.size()})
    found["usable"] = groups["status"].agg(lambda column: int(column.isin(PREDICTED).sum()))
    found["groups"] = groups["group"].agg(lambda column: column[column != ""].nunique())
    return found if facts is None else found.join(_file_columns(groups))


_FILE_FACTS = ("file_size", "num_frames", "frame_rate", "duration_s", "width", "height", "codec")


def _plain_facts(record: VideoRecord) -> dict:
    return {name: getattr(record, name) for name in ("video_id", "label", "split", "group", "status")}


def _size_words(width, height) -> str | None:
    return f"{width}x{height}" if width else None


def _file_columns(groups):
    """What the files of each group say, as columns."""
    import pandas as pd

    seconds = groups["duration_s"]
    columns = {"megabytes": groups["file_size"].sum() / 1e6, "seconds": seconds.sum()}
    columns |= {"shortest_s": seconds.min(), "median_s": seconds.median(), "longest_s": seconds.max()}
    columns["frame_rates"] = groups["frame_rate"].agg(lambda column: _most_frequent(column.dropna().round(2)))
    columns["sizes"] = groups["size"].agg(_most_frequent)
    columns["codecs"] = groups["codec"].agg(_most_frequent)
    return pd.DataFrame(columns)


def _most_frequent(column) -> str:
    """The different values, the most frequent first, in words: at most three."""
    counted = Counter(column.dropna().tolist()).most_common()
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value, _ in counted[:3]]
    return ", ".join([*words, f"and {len(counted) - 3} more"] if len(counted) > 3 else words)


def check_groups(train: Iterable[VideoRecord], test: Iterable[VideoRecord]) -> None:
    """Refuse a test split that shares videos, or sources of videos, with its training split.

    Raises:
        AnnotationError: names the first shared videos or groups and how many there are.
    """
    train = list(train)
    ids, groups = {r.video_id for r in train}, {r.group for r in train if r.group}
    test = list(test)
    for what, shared in (
        ("videos", [r.video_id for r in test if r.video_id in ids]),
        ("source videos", sorted({r.group for r in test if r.group in groups})),
    ):
        if shared:
            names = ", ".join(printable(name, 60) for name in shared[:3])
            raise AnnotationError(
                f"The test split shares {len(shared)} {what} with the training split ({names}"
                f"{', ...' if len(shared) > 3 else ''}): a score on it says nothing. Use lists that keep sources apart."
            )


def _chance(seed: int, *words: str) -> float:
    """A number in [0, 1)."""
    return int.from_bytes(chance(seed, *words)[:7]) / 2**56


# ---------------------------------------------------------------- building a list


class _Listing:
    """Collects the records of one list and gives each the status it deserves.

    Args:
        labels: class names in index order.
        split: goes into each record.
        exists: tells whether a relative path is there.
    """

    def __init__(self, labels: tuple[str, ...], split: str, exists: Callable[[str], bool]):
        self.records: list[VideoRecord] = []
        self.split, self.exists = split, exists
        self._index = {label: index for index, label in enumerate(labels)}
        self._aliases = load_aliases(name_of_list(labels) or "")
        self._similar = {_plain(label): label for label in labels}
        self._unknown: dict[str, tuple[str, str]] = {}
        self._first: dict[str, int] = {}
        self._lines = array("q")

    def knows(self, label: str | None) -> bool:
        return self._aliases.get(label, label) in self._index

    def has(self, video_id: str) -> bool:
        """Whether a video of this id was added before."""
        return video_id in self._first

    def add(self, line: int, video_id: str, path: str, label: str | None, group="", start_s=None, end_s=None) -> None:
        """One listed video; ``label`` is ``None`` where the list gives none."""
        label = self._aliases.get(label, label)
        position = len(self.records)
        first = self._first.setdefault(video_id, position)
        index = -1 if label is None else self._index.get(label, -1)
        if first != position:
            record = self._again(first, line, video_id, path, label, index)
        elif index < 0 and label is not None:
            shown, reason = self._unknown_label(label)
            record = VideoRecord(
                video_id, path, shown, -1, self.split, group, start_s, end_s, "unknown_label", reason
            )  # fmt: skip
        elif not self.exists(path):
            record = VideoRecord(
                video_id, path, label, index, self.split, group, start_s, end_s,
                "missing", "listed, but there is no such file below the data folder",
            )  # fmt: skip
        else:
            record = VideoRecord(video_id, path, label, index, self.split, group, start_s, end_s)
        self.records.append(record)
        self._lines.append(line)

    def bad(self, line: int, reason: str) -> None:
        """A line that names no usable video."""
        reason = f"line {line}: {reason}"
        self.records.append(VideoRecord(f"line {line}", "", split=self.split, status="bad_row", reason=reason))
        self._lines.append(line)

    def _again(self, first: int, line: int, video_id: str, path: str, label: str | None, index: int) -> VideoRecord:
        before, where = self.records[first], self._lines[first]
        shown = None if label is None else printable(label, 200)
        if before.label == shown:
            reason = f"line {line}: listed before in line {where}"
        else:
            reason = f"listed with two labels: {before.label!r} in line {where}, {shown!r} in line {line}"
            self.records[first] = dataclasses.replace(before, status="duplicate", reason=reason)
        return VideoRecord(
            f"{video_id}#{line}", path, shown, index, self.split, before.group, status="duplicate", reason=reason
        )

    def _unknown_label(self, label: str) -> tuple[str, str]:
        """The label as it can be shown, and what is wrong with it."""
        if label not in self._unknown:
            similar = self._similar.get(_plain(label))
            hint = f"; did you mean {similar!r}?" if similar else ""
            reason = f"label {quoted(label, 80)} is not one of the {len(self._index)} classes{hint}"
            self._unknown[label] = printable(label, 200), reason
        return self._unknown[label]


def _plain(label: str) -> str:
    return re.sub(r"[\W_]+", " ", label.casefold()).strip()


def clean_path(text: str) -> str:
    """A path from an annotation file, relative and with forward slashes.

    Raises:
        ValueError: empty, absolute, leaving the folder, too long, or with control characters.

    >>> clean_path("Archery\\\\v_Archery_g01_c01.avi")
    'Archery/v_Archery_g01_c01.avi'
    """
    if not text or len(text) > 4000 or not text.isprintable():
        raise ValueError(f"{quoted(text, 80)} is no file name")
    path = text.replace("\\", "/")
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        raise ValueError(f"path {quoted(text, 80)} is absolute; expected one below the data folder")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ValueError(f"path {quoted(text, 80)} leaves the data folder")
    return "/".join(parts)


class _Files:
    """Which names lie below a folder; each folder is listed once, and names match in case too."""

    def __init__(self, root: Path):
        self.root = root
        self._names: dict[str, frozenset[str]] = {}
        self._folded: dict[str, dict[str, str]] = {}

    def __contains__(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        return name in self._listing(parent)

    def by_casefold(self, folder: str) -> dict[str, str]:
        """Names in a folder by themselves in small letters: two copies of UCF101 spell one class differently."""
        if folder not in self._folded:
            self._folded[folder] = {name.casefold(): name for name in self._listing(folder)}
        return self._folded[folder]

    def _listing(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            names = frozenset()
            if not folder or folder in self:
                try:
                    names = frozenset(os.listdir(self.root / folder))
                except OSError:
                    names = frozenset()
            self._names[folder] = names
        return self._names[folder]


def _walk(root: Path, depth: int = 4, below: str = "", *, is_video: bool = False) -> Iterator[str]:
    """Relative paths of videos in a folder and those in it, sorted; hidden ones are left out.

    Args:
        is_video: whether the folder itself is a video, where it holds numbered pictures.
    """
    try:
        entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
    except OSError:
        return
    if is_video and any(is_picture(entry.name) for entry in entries):
        yield below
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = f"{below}/{entry.name}" if below else entry.name
        if os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES:
            yield path
        elif depth > 1 and entry.is_dir():
            yield from _walk(root, depth - 1, path, is_video=True)


def _by_stem(root: Path, folders: Iterable[str]) -> dict[str, list[str]]:
    """Videos below the first of ``folders`` that exists, or below ``root``, by file name without suffix."""
    below = next((name for name in folders if (root / name).is_dir()), "")
    found: dict[str, list[str]] = defaultdict(list)
    for path in _walk(root, 4, below):
        found[_without_suffix(path.rpartition("/")[2])].append(path)
    return found


def _without_suffix(path: str) -> str:
    """A path without the suffix of a video; a folder's name has none."""
    start, suffix = os.path.splitext(path)
    return start if suffix.lower() in VIDEO_SUFFIXES else path


def _first_file(root: Path, names: Iterable[str], what: str) -> Path:
    names = list(names)
    for name in names:
        if (root / name).is_file():
            return root / name
    shown = ", ".join(names[:4])
    raise AnnotationError(f"No {what} below {printable(root, 160)}; looked for {shown}. Pass --annotations FILE.")


# ---------------------------------------------------------------- CSV files


def csv_rows(
    path: str | os.PathLike, required: Iterable[str], optional: Iterable[str] = ()
) -> Iterator[tuple[int, list[str | None] | str]]:
    """Rows of a CSV file with a header, every field as text without the spaces around it.

    Yields:
        ``(line, values)`` with one value for each of ``required`` and then ``optional`` (``None``
        where the file has no such column), or ``(line, reason)`` where the number of fields is not
        that of the header. Blank lines are passed over.

    Raises:
        AnnotationError: no header with the required columns, an open quote, a field over 131,072
            characters, no row at all, or no text file.
    """
    required, optional, where = tuple(required), tuple(optional), printable(path, 160)
    text = read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader)]
        places = _columns(header, required, optional, where)
        num_rows = 0
        line = reader.line_num + 1
        for fields in reader:
            if reader.line_num != line and any("\n" in field for field in fields):
                raise csv.Error("a quote is not closed in its line")
            if fields and (len(fields) > 1 or fields[0].strip()):
                num_rows += 1
                if len(fields) == len(header):
                    yield line, [None if place is None else fields[place].strip() for place in places]
                else:
                    yield line, f"{len(fields)} fields, expected {len(header)}"
            line = reader.line_num + 1
    except csv.Error as problem:
        raise AnnotationError(f"{where}, line {line}: {printable(problem, 80)}; expected one row a line.") from None
    if not num_rows:
        raise AnnotationError(f"{where} has a header and no row; expected at least one video.")


def _columns(header: list[str], required: tuple, optional: tuple, where: str) -> list[int | None]:
    absent = [name for name in required if name not in header]
    if absent:
        joined = ",".join(header)
        other = next((sign for sign in ";\t|" if sign in joined), None)
        hint = f" Columns seem to be parted by {other!r}; save the file with commas." if other else ""
        raise AnnotationError(
            f"{where}, line 1: no column {' or '.join(map(repr, absent))}; expected a header with "
            f"{','.join(required)}, found {quoted(joined, 100)}.{hint}"
        )
    twice = [name for name in (*required, *optional) if header.count(name) > 1]
    if twice:
        raise AnnotationError(f"{where}, line 1: column {twice[0]!r} appears twice; expected it once.")
    return [header.index(name) if name in header else None for name in (*required, *optional)]


# ---------------------------------------------------------------- Kinetics


def kinetics_records(path: str | os.PathLike, root: Path, split: str, labels: tuple[str, ...]) -> list[VideoRecord]:
    """Records of a Kinetics CSV (``label,youtube_id,time_start,time_end,split``).

    A video is found by its file name ``ID_START_END`` (seconds, six digits) in any folder below
    ``root/SPLIT``, or below ``root`` where that does not exist; the folder's name says nothing.
    Without a column ``label`` (test lists) records have none.

    Raises:
        AnnotationError: see ``csv_rows``; or every row is of another split.
    """
    root = Path(root)
    found = _by_stem(root, (split,))
    listing = _Listing(labels, split, lambda path: _stem(path) in found)
    others: Counter[str] = Counter()
    for line, row in csv_rows(path, ("youtube_id", "time_start", "time_end"), ("label", "split")):
        if isinstance(row, str):
            listing.bad(line, row)
            continue
        youtube_id, start, end, label, row_split = row
        if row_split and row_split != split:
            known = SPLITS.get(row_split.lower())
            if known is None:
                listing.bad(line, f"split {quoted(row_split, 40)} is none of train, val and test")
            elif known != split:
                others[known] += 1
            if known != split:
                continue
        _add_kinetics(listing, found, line, youtube_id, start, end, label)
    if not listing.records:
        names = " and ".join(sorted(others))
        raise AnnotationError(
            f"{printable(path, 160)}: all {sum(others.values())} rows are of split {names}, none of {split!r}."
        )
    return listing.records


def _add_kinetics(listing: _Listing, found: dict, line: int, youtube_id: str, start: str, end: str, label) -> None:
    if not IDENTIFIER.fullmatch(youtube_id):
        return listing.bad(line, f"{quoted(youtube_id, 60)} is no YouTube identifier")
    try:
        start_s, end_s = float(start), float(end)
    except ValueError:
        start_s, end_s = -1.0, -1.0
    if not 0 <= start_s < end_s < 1e6:
        shown = printable(f"{start} to {end}", 60)
        return listing.bad(line, f"times {shown!r}; expected seconds, start before end")
    video_id = f"{youtube_id}_{int(start_s):06d}_{int(end_s):06d}"
    paths = found.get(video_id)
    if paths:
        path = _of_label(paths, label)
    else:
        folder = label if listing.knows(label) else ""
        path = "/".join(filter(None, (listing.split, folder, video_id + ".mp4")))
    return listing.add(line, video_id, path, label or None, youtube_id, start_s, end_s)


def _of_label(paths: list[str], label: str | None) -> str:
    """The copy that lies in the label's folder, or the first one."""
    if len(paths) == 1 or not label:
        return paths[0]
    return next((path for path in paths if _plain(path.split("/")[-2:][0]) == _plain(label)), paths[0])


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _load_kinetics(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    if annotations is None:
        spellings = [name for name, known in SPLITS.items() if known == split] or [split]
        names = [f"{folder}{name}.csv" for name in spellings for folder in ("annotations/", "")]
        annotations = _first_file(root, names, f"annotation file of split {quoted(split, 40)}")
    return kinetics_records(annotations, root, split, labels)


# ---------------------------------------------------------------- UCF101 and vidmini


def read_class_index(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names from UCF101's ``classInd.txt``: lines of ``NUMBER NAME``, counted from 1.

    Raises:
        AnnotationError: a line of another form, numbers that do not run from 1, a name twice.
    """
    names: list[str] = []
    for line, text in _lines(path):
        number, _, name = text.partition(" ")
        if number != str(len(names) + 1) or not name.strip():
            raise AnnotationError(
                f"{printable(path, 160)}, line {line}: {quoted(text, 60)}; expected "
                f"'{len(names) + 1} CLASSNAME', numbers count from 1 without a gap."
            )
        if name.strip() in names:
            raise AnnotationError(f"{printable(path, 160)}, line {line}: {quoted(name, 60)} is named twice.")
        names.append(name.strip())
    return tuple(names)


def ucf_records(
    path: str | os.PathLike,
    labels: tuple[str, ...],
    split: str,
    exists: Callable[[str], bool],
    place: Callable[[str], str] = str,
) -> list[VideoRecord]:
    """Records of UCF101's ``trainlist0N.txt`` (``CLASS/NAME.avi NUMBER``) or ``testlist0N.txt`` (without number).

    The class is the folder's name, because file names spell some classes differently. The group is
    the file name up to ``_gNN``: clips cut from one source video.

    Args:
        path: the list.
        labels: class names in index order, which the numbers count from 1.
        split: goes into the records.
        exists: tells whether a path is there.
        place: gives the path of ``CLASS/NAME.avi``, relative to the root.

    Raises:
        AnnotationError: a number that is not the folder's class, or a line that is no path.
    """
    listing = _Listing(labels, split, exists)
    numbers = {label: number for number, label in enumerate(labels, 1)}
    for line, text in _lines(path):
        name, number = [*text.rsplit(None, 1), ""][:2]
        try:
            name = clean_path(name)
            label, slash, file = name.partition("/")
            if not slash:
                raise ValueError(f"{quoted(name, 80)}; expected CLASS/NAME")
        except ValueError as problem:
            listing.bad(line, str(problem))
            continue
        if number and label in numbers and number != str(numbers[label]):
            raise AnnotationError(
                f"{printable(path, 160)}, line {line}: the folder says {label} ({numbers[label]}), "
                f"the number says {printable(number, 20)}."
            )
        stem = _stem(file)
        group = re.match(r"(.*_g\d+)_c\d+$", stem)
        listing.add(line, stem, place(name), label, f"{label}/{group[1]}" if group else "")
    return listing.records


def _load_ucf(root: Path, split: str, fold: int, labels, annotations, lists, videos) -> list[VideoRecord]:
    """``lists`` and ``videos`` are the folders' usual names, relative to the root."""
    names = [f"{folder}/{split}list{fold:02d}.txt" for folder in lists]
    file = annotations or _first_file(root, names, f"{split} list of fold {fold}")
    if (file.parent / "classInd.txt").is_file():
        check_labels(read_class_index(file.parent / "classInd.txt"), labels, printable(file.parent / "classInd.txt"))
    folder = next((name for name in videos if (root / name).is_dir()), "")
    files = _Files(root)
    place = functools.partial(_ucf_place, root, folder, files)
    records = ucf_records(file, labels, split, files.__contains__, place)
    other = {"train": "test", "test": "train"}.get(split)
    beside = file.parent / f"{other}list{fold:02d}.txt"
    if other and beside.is_file():
        check_groups(records, ucf_records(beside, labels, other, files.__contains__))
    return records


def _ucf_place(root: Path, folder: str, files: _Files, name: str) -> str:
    """Where a video of UCF101 lies: the file, a folder of its pictures in its place, or one in ``jpegs_256``."""
    path = "/".join(filter(None, (folder, name)))
    if path in files:
        return path
    stem = _stem(name)
    known = files.by_casefold(UCF_PICTURES).get(stem.casefold(), stem)
    others = (_without_suffix(path), f"{UCF_PICTURES}/{known}")
    return next((other for other in others if other in files and (root / other).is_dir()), path)


def _load_ucf101(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    lists = ("ucfTrainTestlist", "../ucfTrainTestlist", ".")
    return _load_ucf(root, split, fold, labels, annotations, lists, ("UCF-101", "UCF101"))


def _load_vidmini(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    return _load_ucf(root, split, fold, labels, annotations, ("splits",), ("videos",))


def _lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Line numbers and lines of a text file, without spaces around them and blank ones."""
    for number, text in enumerate(read_text(path).split("\n"), 1):
        if text.strip():
            yield number, text.strip()


# ---------------------------------------------------------------- HMDB51


def read_hmdb_split(path: str | os.PathLike) -> list[tuple[int, str, int]]:
    """``(line, file name, code)`` of an HMDB51 split file; code 0 is unused, 1 train, 2 test.

    Raises:
        AnnotationError: a line without a code, or with another one.
    """
    entries = []
    for line, text in _lines(path):
        name, _, code = text.rpartition(" ")
        if code not in ("0", "1", "2") or not name.strip():
            raise AnnotationError(
                f"{printable(path, 160)}, line {line}: {quoted(text, 80)}; expected 'NAME.avi CODE' with "
                "code 0 (unused), 1 (train) or 2 (test)."
            )
        entries.append((line, name.strip(), int(code)))
    return entries


def _load_hmdb51(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    lists = root / "testTrainMulti_7030_splits" if annotations is None else annotations
    lists = lists.parent if lists.is_file() else lists
    wanted = {"train": 1, "test": 2}.get(split)
    if wanted is None:
        raise AnnotationError(f"HMDB51 has the splits train and test, not {quoted(split, 40)}.")
    folder = next((f"{name}/" for name in ("hmdb51_org", "videos") if (root / name).is_dir()), "")
    files = _Files(root)
    listing = _Listing(labels, split, files.__contains__)
    for label in labels:
        path = _first_file(lists, [f"{label}_test_split{fold}.txt"], f"split file of class {label}, fold {fold},")
        for line, name, code in read_hmdb_split(path):
            if code != wanted:
                continue
            try:
                place = clean_path(f"{folder}{label}/{name}")
                as_pictures = _without_suffix(place)
                if place not in files and as_pictures in files:
                    place = as_pictures
                listing.add(line, _stem(name), place, label, _hmdb_group(name, label))
            except ValueError as problem:
                listing.bad(line, f"{label}: {problem}")
    return listing.records


def _hmdb_group(name: str, label: str) -> str:
    """The source film: the file name up to its class and the codes for camera, quality and number."""
    source = re.fullmatch(rf"(.+)_{re.escape(label)}_\w_\w\w_np\d+_\w\w_\w{{3}}_\d+\.\w+", name)
    return f"{label}/{source[1]}" if source else ""


# ---------------------------------------------------------------- Something-Something


def read_json(path: str | os.PathLike):
    """The value in a JSON file, numbers finite.

    Raises:
        AnnotationError: no JSON, nested too deeply, or with NaN or Infinity; says where.
    """

    def refuse(word: str):
        raise ValueError(f"{word} is no JSON number")

    try:
        return json.loads(read_text(path), parse_constant=refuse)
    except (ValueError, RecursionError, MemoryError) as problem:
        reason = "nested too deeply" if isinstance(problem, (RecursionError, MemoryError)) else problem
        raise AnnotationError(f"{printable(path, 160)} is no usable JSON: {printable(reason, 120)}.") from None


def read_ssv2_labels(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names from Something-Something's label file: an object of name to number, as text or whole number.

    Brackets around placeholders are dropped: ``[something]`` and ``something`` are one.

    Raises:
        AnnotationError: another form, or numbers that do not run from 0.
    """
    value, where = read_json(path), printable(path, 160)
    if not isinstance(value, dict) or not value:
        raise AnnotationError(f"{where}: expected an object of class name to number.")
    numbers = {}
    for name, number in value.items():
        if not isinstance(number, (str, int)) or isinstance(number, bool) or not str(number).isdecimal():
            raise AnnotationError(f"{where}: {quoted(name, 60)} has no number; expected 0, 1, 2 ...")
        numbers[int(number)] = _without_brackets(name)
    if sorted(numbers) != list(range(len(value))) or len(set(numbers.values())) != len(value):
        raise AnnotationError(f"{where}: expected {len(value)} different names with the numbers 0 to {len(value) - 1}.")
    return tuple(numbers[number] for number in range(len(value)))


def _without_brackets(template: str) -> str:
    return template.replace("[", "").replace("]", "")


def _load_somethingv2(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    word = {"val": "validation"}.get(split, split)
    prefix = "something-something-v2-"
    if annotations is None:
        names = [f"{folder}{name}.json" for folder in ("", "labels/", "annotations/") for name in (prefix + word, word)]
        annotations = _first_file(root, names, f"annotation file of split {quoted(split, 40)}")
    for name in (f"{prefix}labels.json", "labels.json"):
        if (annotations.parent / name).is_file():
            found = read_ssv2_labels(annotations.parent / name)
            check_labels(found, labels, printable(annotations.parent / name, 160))
    entries = read_json(annotations)
    if not isinstance(entries, list):
        raise AnnotationError(f"{printable(annotations, 160)}: expected a list of objects with id and template.")
    found = _by_stem(root, ("20bn-something-something-v2", "videos"))
    listing = _Listing(labels, split, lambda path: _stem(path) in found)
    for number, entry in enumerate(entries, 1):
        values = entry if isinstance(entry, dict) else {}
        video_id, template = str(values.get("id", "")), values.get("template")
        if not IDENTIFIER.fullmatch(video_id) or not isinstance(template, (str, type(None))):
            listing.bad(number, "expected an object with id and template")
            continue
        path = found.get(video_id, [f"20bn-something-something-v2/{video_id}.webm"])[0]
        listing.add(number, video_id, path, _without_brackets(template) if template else None)
    return listing.records


# ---------------------------------------------------------------- folders of classes


def _load_folder(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    if annotations is not None:
        raise AnnotationError("A folder of classes needs no annotation file; use the dataset csv to read a list.")
    below = _split_folder(root, split)
    known = set(labels)
    listing = _Listing(labels, split, lambda path: True)
    others = 0
    for name in _class_folders(root / below):
        folder = f"{below}/{name}" if below else name
        if name not in known:
            others += 1
            continue
        for number, path in enumerate(_walk(root, 4, folder), 1):
            video_id = os.path.splitext(path[len(below) :].lstrip("/"))[0]
            try:
                path.encode()
            except UnicodeEncodeError:
                listing.bad(number, f"{printable(path, 120)}: the file name is not UTF-8; rename the file")
                continue
            if listing.has(video_id):
                video_id = path[len(below) :].lstrip("/")
            listing.add(number, video_id, path, name)
    if others:
        log.warning("%d folders below %s are not named in labels.txt and left out", others, printable(root / below))
    _say_what_is_left_out(root, below)
    return listing.records


def _say_what_is_left_out(root: Path, below: str) -> None:
    """Warn of videos that lie in no class folder, and of files that no suffix shows to be a video."""
    if loose := sum(1 for _ in _walk(root, 1, below)):
        log.warning("%d videos directly in %s have no class folder and are left out", loose, printable(root / below))
    folders = [root / below / name for name in _class_folders(root / below)]
    files = (entry.name for folder in folders for entry in os.scandir(folder) if entry.is_file())
    others = [name for name in files if not name.startswith(".") and Path(name).suffix.lower() not in VIDEO_SUFFIXES]
    if others:
        log.warning(
            "%d files in the class folders of %s are left out: no suffix of a video (such as %s)",
            len(others), printable(root / below), printable(others[0], 80),
        )  # fmt: skip


def _split_folder(root: Path, split: str) -> str:
    """The folder of a split, or nothing where the root holds the classes themselves."""
    present = {SPLITS[name]: name for name in _class_folders(root) if name in SPLITS}
    if split in present:
        return present[split]
    if present:
        raise AnnotationError(
            f"{printable(root, 160)} has folders for {', '.join(sorted(present))}, none for {quoted(split, 40)}."
        )
    return ""


def _class_folders(root: Path) -> list[str]:
    try:
        return sorted(e.name for e in os.scandir(root) if e.is_dir() and not e.name.startswith("."))
    except OSError as problem:
        raise AnnotationError(f"{printable(root, 160)} cannot be read: {problem.strerror}.") from None


def _folder_labels(root: Path) -> tuple[str, ...]:
    splits = [name for name in _class_folders(root) if name in SPLITS]
    names = sorted({name for below in splits or ["."] for name in _class_folders(root / below)})
    names = [name for name in names if name.isprintable()]
    if not names:
        raise AnnotationError(f"{printable(root, 160)} holds no folder; expected one folder a class, with videos.")
    return tuple(names)


# ---------------------------------------------------------------- lists of paths


def _list_file(root: Path, annotations: Path | None) -> Path:
    names = ("annotations.csv", "datalist.json", "list.txt")
    return annotations or _first_file(root, names, "list of videos")


def _load_list(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    path = _list_file(root, annotations)
    listing = _Listing(labels, split, _Files(root).__contains__)
    if path.suffix.lower() == ".json":
        _add_datalist(listing, path, labels)
    else:
        _add_list(listing, path, labels, split, root)
    return listing.records


def _list_rows(path: Path) -> Iterator[tuple[int, list | str]]:
    """``(line, [path, label, split, group])`` of a CSV, or of lines ``PATH LABEL``.

    Lists of folders of pictures have a number of pictures, or the first and the last one, between the two; a row then
    has them as a fifth value, as text.
    """
    if path.suffix.lower() == ".csv":
        yield from csv_rows(path, ("path",), ("label", "split", "group"))
        return
    lines = list(_lines(path))
    for form in PICTURE_LINES:
        if all(form.fullmatch(text) for _, text in lines):
            for line, text in lines:
                folder, numbers, label = form.fullmatch(text).groups()
                yield line, [folder, label, None, None, numbers.split()]
            return
    for line, text in lines:
        parts = text.split("\t") if "\t" in text else text.rsplit(None, 1)
        if len(parts) == 2:
            yield line, [parts[0].strip(), parts[1].strip(), None, None]
        else:
            yield line, "expected 'PATH LABEL', parted by a tab where the label has spaces"


def _add_list(listing: _Listing, path: Path, labels: tuple[str, ...], split: str, root: Path) -> None:
    for line, row in _list_rows(path):
        if isinstance(row, str):
            listing.bad(line, row)
            continue
        name, label, row_split, group, *pictures = row
        if row_split and SPLITS.get(row_split.lower(), row_split) != split:
            continue
        if label and (pictures or label not in labels) and label.isdecimal() and int(label) < len(labels):
            label = labels[int(label)]
        try:
            name = clean_path(name)
            if pictures and len(pictures[0]) == 2:
                _check_range(root / name, *map(int, pictures[0]))
        except ValueError as problem:
            listing.bad(line, str(problem))
            continue
        listing.add(line, name, name, label or None, group or "")


def _check_range(folder: Path, first: int, last: int) -> None:
    """Refuse a line that means a part of a folder's pictures; raises ``ValueError``."""
    try:
        series = read_series(folder)
    except UnreadableVideo:
        return  # not there, or no such folder: reading it says so
    if (first, last) != (series.first, series.last):
        raise ValueError(f"pictures {first} to {last} of {series.first} to {series.last}; only whole folders are read")


def _add_datalist(listing: _Listing, path: Path, labels: tuple[str, ...]) -> None:
    for number, entry in enumerate(_datalist(path), 1):
        try:
            name, label = _datalist_entry(entry, labels)
        except ValueError as problem:
            listing.bad(number, str(problem))
            continue
        if label is not None and 0 <= entry["label"] < len(labels) and labels[entry["label"]] != label:
            raise AnnotationError(
                f"{printable(path, 160)}, entry {number}: class_name says {quoted(label, 60)}, "
                f"label {entry['label']} is {labels[entry['label']]!r}."
            )
        listing.add(number, name, name, label)


def _datalist(path: Path) -> list:
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise AnnotationError(
            f"{printable(path, 160)}: expected a list of objects with path, class_name, label and num_frames."
        )
    return entries


def _datalist_entry(entry, labels: tuple[str, ...]) -> tuple[str, str]:
    """Path and class name of one entry; raises ``ValueError`` that says what is wrong."""
    if not isinstance(entry, dict):
        raise ValueError("expected an object with path, class_name, label and num_frames")
    for key, kind in (("path", str), ("class_name", str), ("label", int), ("num_frames", int)):
        if key not in entry:
            raise ValueError(f"{key} is missing")
        if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
            raise ValueError(f"{key} is {printable(repr(entry[key]), 40)}; expected {kind.__name__}")
    if not 0 <= entry["label"] < len(labels):
        raise ValueError(f"label {entry['label']} is outside 0 to {len(labels) - 1}")
    if not 1 <= entry["num_frames"] <= MOST_FRAMES:
        raise ValueError(f"num_frames is {entry['num_frames']}; expected 1 to {MOST_FRAMES}")
    return clean_path(entry["path"]), entry["class_name"]


def _list_labels(path: Path) -> tuple[str, ...]:
    """The classes that a list mentions: by number where it gives numbers, else sorted."""
    where = printable(path, 160)
    if path.suffix.lower() == ".json":
        names: dict[int, str] = {}
        for entry in _datalist(path):
            label, name = (entry.get("label"), entry.get("class_name")) if isinstance(entry, dict) else (None, None)
            if isinstance(label, int) and isinstance(name, str) and names.setdefault(label, name) != name:
                raise AnnotationError(f"{where}: label {label} is {names[label]!r} and {quoted(name, 60)}.")
        if sorted(names) != list(range(len(names))) or not names:
            raise AnnotationError(f"{where}: labels do not run from 0 without a gap; name all classes in labels.txt.")
        return tuple(names[number] for number in range(len(names)))
    found = {row[1] for _, row in _list_rows(path) if not isinstance(row, str) and row[1]}
    if found and all(name.isdecimal() and len(name) < 6 for name in found):
        return tuple(str(number) for number in range(max(map(int, found)) + 1))
    return tuple(sorted(name for name in found if name.isprintable() and len(name) <= 300))


_LAYOUTS = {
    "kinetics": _load_kinetics,
    "ucf101": _load_ucf101,
    "vidmini": _load_vidmini,
    "hmdb51": _load_hmdb51,
    "somethingv2": _load_somethingv2,
    "folder": _load_folder,
    "csv": _load_list,
}
