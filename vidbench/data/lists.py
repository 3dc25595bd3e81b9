"""What a list of videos is read with: paths, tables and JSON of others, and one list while it is built.

Everything is read as text. A line that cannot be used becomes a record with status ``bad_row``, a
label outside the class list ``unknown_label``, a second mention ``duplicate`` (both mentions, where
their labels differ), a file that is not there ``missing``. A file that cannot be what it should be
raises ``AnnotationError``. Labels match class names exactly, or a spelling that
``labels/aliases.csv`` names, spaces around them aside; file names
match exactly, also in case. Text from an annotation file never becomes a path outside the root.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vidbench.data.classes import load_aliases, name_of_list, read_text
from vidbench.data.pictures import is_picture
from vidbench.records import AnnotationError, VideoRecord
from vidbench.utils import plural, printable, quoted

VIDEO_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".asf", ".avi", ".dv", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
    | {".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)


class Listing:
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
        self._similar = {plain_label(label): label for label in labels}
        self._unknown: dict[str, tuple[str, str]] = {}
        self._first: dict[str, int] = {}
        self._lines = array("q")

    def knows(self, label: str | None) -> bool:
        """Whether a label is a class, or another spelling of one."""
        return label is not None and self._aliases.get(label, label) in self._index

    def has(self, video_id: str) -> bool:
        """Whether a video of this id was added before."""
        return video_id in self._first

    def add(self, line: int, video_id: str, path: str, label: str | None, group="", start_s=None, end_s=None) -> None:
        """One listed video; ``label`` is ``None`` where the list gives none."""
        label = None if label is None else self._aliases.get(label, label)
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
            similar = self._similar.get(plain_label(label))
            hint = f"; did you mean {similar!r}?" if similar else ""
            reason = f"label {quoted(label, 80)} is not one of the {len(self._index)} classes{hint}"
            self._unknown[label] = printable(label, 200), reason
        return self._unknown[label]


def plain_label(label: str) -> str:
    """A label for comparing spellings: small letters and digits, one blank for all between them."""
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


class Files:
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
            names: frozenset[str] = frozenset()
            if not folder or folder in self:
                with contextlib.suppress(OSError):
                    names = frozenset(os.listdir(self.root / folder))
            self._names[folder] = names
        return self._names[folder]


def walk_videos(root: Path, depth: int = 4, below: str = "", *, is_video: bool = False) -> Iterator[str]:
    """Relative paths of videos in a folder and those in it, sorted; hidden ones are left out.

    Args:
        root: folder that the paths are relative to.
        depth: how many folders deep to look.
        below: the folder to begin with, relative to the root.
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
            yield from walk_videos(root, depth - 1, path, is_video=True)


def by_stem(root: Path, folders: Iterable[str]) -> dict[str, list[str]]:
    """Videos below the first of ``folders`` that exists, or below ``root``, by file name without suffix."""
    below = next((name for name in folders if (root / name).is_dir()), "")
    found: dict[str, list[str]] = defaultdict(list)
    for path in walk_videos(root, 4, below):
        found[without_suffix(path.rpartition("/")[2])].append(path)
    return found


def without_suffix(path: str) -> str:
    """A path without the suffix of a video; a folder's name has none."""
    start, suffix = os.path.splitext(path)
    return start if suffix.lower() in VIDEO_SUFFIXES else path


def first_file(root: Path, names: Iterable[str], what: str) -> Path:
    """The first of ``names`` that is a file in the root; ``AnnotationError`` says where it was looked for."""
    names = list(names)
    for name in names:
        if (root / name).is_file():
            return root / name
    shown = ", ".join(names[:4])
    raise AnnotationError(f"No {what} below {printable(root, 160)}; looked for {shown}. Pass --annotations FILE.")


def csv_rows(
    path: str | os.PathLike, required: Iterable[str], optional: Iterable[str] = ()
) -> Iterator[tuple[int, list | str]]:
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
        raise AnnotationError(f"{where} has a header and no row; expected at least one below it.")


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


def lines_of(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Line numbers and lines of a text file, without spaces around them and blank ones."""
    for number, text in enumerate(read_text(path).split("\n"), 1):
        if text.strip():
            yield number, text.strip()


def stem_of(path: str) -> str:
    """The file name of a path, without its last suffix."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def check_groups(train: Iterable[VideoRecord], test: Iterable[VideoRecord], *, by_path: bool = False) -> None:
    """Refuse a test split that shares videos, or sources of videos, with its training split.

    Args:
        train, test: the two.
        by_path: tell videos apart by path and not by name. In own folders ``train/A/1.mp4`` and ``val/A/1.mp4`` are
            two videos; a YouTube identifier is one, wherever it lies.

    Raises:
        AnnotationError: names the first shared videos or groups and how many there are.
    """
    train = list(train)
    name = (lambda r: r.path) if by_path else (lambda r: r.video_id)
    ids, groups = {name(r) for r in train}, {r.group for r in train if r.group}
    test = list(test)
    for what, shared in (
        ("video", [name(r) for r in test if name(r) in ids]),
        ("source video", sorted({r.group for r in test if r.group in groups})),
    ):
        if shared:
            names = ", ".join(printable(name, 60) for name in shared[:3]) + (", ..." if len(shared) > 3 else "")
            split = printable(test[0].split or "test", 40)
            raise AnnotationError(
                f"The {split} split shares {plural(len(shared), what)} with the training split ({names}): "
                "a score on it says nothing. Use lists that keep sources apart."
            )
