"""Class names: lists that come with vidbench, what is known of their classes, and lists from a file."""

from __future__ import annotations

import csv
import functools
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.records import AnnotationError
from vidbench.utils import nearest_hint, printable, quoted

LABELS_FOLDER = Path(__file__).parent / "labels"
MOST_BYTES = 1 << 30  # of one annotation file; Kinetics-700's largest has 40 MB


def load_labels(name: str) -> tuple[str, ...]:
    """Class names in index order.

    Args:
        name: a list that comes with vidbench (``kinetics400``), or the path of a text file
            with one name a line.

    Raises:
        AnnotationError: no such list, or one that cannot be used (see ``read_labels``).

    >>> load_labels("kinetics400")[:2]
    ('abseiling', 'air drumming')
    """
    shipped = LABELS_FOLDER / f"{name}.txt"
    if re.fullmatch(r"\w+", str(name)) and shipped.is_file():
        return read_labels(shipped)
    if not Path(name).is_file():
        known = sorted(path.stem for path in LABELS_FOLDER.glob("*.txt"))
        raise AnnotationError(f"There is no class list {quoted(name, 120)}.{nearest_hint(str(name), known)}")
    return read_labels(name)


@functools.cache
def _shipped_lists() -> dict[tuple[str, ...], str]:
    return {read_labels(path): path.stem for path in sorted(LABELS_FOLDER.glob("*.txt"))}


def name_of_list(labels) -> str | None:
    """The name of the class list that comes with vidbench and has exactly these names in this order."""
    return _shipped_lists().get(tuple(labels))


@functools.cache
def _shipped_rows(name: str) -> tuple[tuple[str, ...], ...]:
    """Rows of ``labels/NAME.csv`` without its header."""
    rows = csv.reader(io.StringIO(read_text(LABELS_FOLDER / f"{name}.csv"), newline=""), strict=True)
    return tuple(map(tuple, rows))[1:]


def load_aliases(name: str) -> dict[str, str]:
    """Other spellings of a list's classes that are in use, and the class that each stands for.

    Only spellings that ``labels/aliases.csv`` names, with the place where each is in use; nothing is guessed.

    >>> load_aliases("kinetics400")["hurling sport"]
    'hurling (sport)'
    """
    return {alias: known for where, alias, known, _ in _shipped_rows("aliases") if where == name}


def parents_of(labels: Sequence[str]) -> tuple[str, ...] | None:
    """The category of each class, where ``labels/parents.csv`` has one for all of them; ``None`` otherwise.

    UCF101's five and HMDB51's five types are those of their authors' pages (``page`` of the two cards); vidmini's are
    the pairs that differ by the direction of time, and appearance.

    >>> parents_of(load_labels("hmdb51"))[:2]
    ('Body movements with an object', 'Body movements')
    """
    known: dict[str, dict[str, str]] = {}
    for where, name, parent in _shipped_rows("parents"):
        known.setdefault(where, {})[name] = parent
    for parents in known.values():
        if labels and all(label in parents for label in labels):
            found = tuple(parents[label] for label in labels)
            return found if len(set(found)) > 1 else None
    return None


def time_pairs(name: str) -> tuple[tuple[str, str], ...]:
    """Classes of a list of which each shows the other one played backwards; empty where none are known.

    Only what ``labels/backwards.csv`` names. Of Something-Something those pairs are in it whose names are opposites and
    say all that happens: what falls, pours or rolls does not run backwards, and who puts something down does not take
    it from anywhere.

    >>> time_pairs("vidmini")[0]
    ('Approach', 'Recede')
    """
    return tuple((first, second) for where, first, second in _shipped_rows("backwards") if where == name)


@dataclass(frozen=True)
class Join:
    """A class of one list and one of another, under different names, that show the same action.

    Args:
        name: in the first list.
        other: in the second.
        kind: ``spelling`` and ``renamed`` are one class; with ``split`` the second list has several classes for the
            first's one; with ``narrower`` the second one is a part of the first, and the rest has no class.
    """

    name: str
    other: str
    kind: str

    def reversed(self) -> Join:
        """The same, seen from the other label space."""
        kinds = {"split": "part", "narrower": "wider"}
        return Join(self.other, self.name, kinds.get(self.kind, self.kind))


def load_joins(name: str, other: str) -> list[Join]:
    """What ``labels/joins.csv`` says of two lists: pairs whose names differ. Classes of one name are not in it.

    Read the other way round, ``split`` becomes ``part`` and ``narrower`` becomes ``wider``.

    >>> [join.other for join in load_joins("kinetics400", "kinetics600") if join.name == "hugging"]
    ['hugging (not baby)', 'hugging baby']
    """
    rows = _shipped_rows("joins")
    found = [Join(one, two, kind) for a, one, b, two, kind in rows if (a, b) == (name, other)]
    return found + [Join(one, two, kind).reversed() for a, one, b, two, kind in rows if (b, a) == (name, other)]


def read_labels(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names from a text file, one a line; the line number, from 0, is the index.

    A byte order mark, any line ends, spaces around a name and blank lines at the end are allowed.

    Raises:
        AnnotationError: not UTF-8 text, no name, a name twice, a blank line before the last
            name, a control character, or a web page taken for a list.
    """
    lines = [line.strip(" \t") for line in read_text(path).rstrip().split("\n")]
    where = printable(path, 160)
    if re.match(r"<(!doctype|html|head|body|\?xml)", lines[0], re.I):
        raise AnnotationError(f"{where} is a web page, not a list of class names; download it again.")
    first_seen: dict[str, int] = {}
    for number, name in enumerate(lines, 1):
        if not name:
            raise AnnotationError(f"{where}, line {number} is blank; expected one class name a line.")
        if not name.isprintable() or len(name) > 300:
            raise AnnotationError(f"{where}, line {number} is no class name: {quoted(name, 60)}.")
        if first_seen.setdefault(name, number) != number:
            raise AnnotationError(f"{where} names {name!r} twice, in lines {first_seen[name]} and {number}.")
    return tuple(lines)


def check_labels(labels, expected, where: str) -> None:
    """Refuse class names that are not those expected, in that order.

    Args:
        labels: class names found.
        expected: class names wanted, by index.
        where: whose names they are, for the message.

    Raises:
        AnnotationError: another number of names, or another name or order; says where first.
    """
    labels, expected = tuple(labels), tuple(expected)
    if len(labels) != len(expected):
        raise AnnotationError(f"{where} has {len(labels)} class names, expected {len(expected)}.")
    for index, (found, wanted) in enumerate(zip(labels, expected, strict=True)):
        if found != wanted:
            order = "the same names in another order" if set(labels) == set(expected) else "other names"
            raise AnnotationError(
                f"{where} has {order}: index {index} is {quoted(found, 80)}, expected {quoted(wanted, 80)}."
            )


def read_text(path: str | os.PathLike, most_bytes: int = MOST_BYTES) -> str:
    """A UTF-8 text file, without byte order mark, with every line end as ``\\n``.

    Raises:
        AnnotationError: no regular file, empty, too large, not UTF-8, or with NUL bytes.
    """
    where = printable(path, 160)
    try:
        if not os.path.isfile(path):
            raise AnnotationError(f"{where} is not a file; expected a text file.")
        if os.path.getsize(path) > most_bytes:
            raise AnnotationError(f"{where} is larger than {most_bytes >> 20} MB; expected a text file.")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as problem:
        raise AnnotationError(f"{where} cannot be read: {printable(problem, 120)}.") from None
    if not data.strip():
        raise AnnotationError(f"{where} is empty; expected text.")
    return _decode(data, where)


def _decode(data: bytes, where: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise AnnotationError(f"{where} is UTF-16 text; save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise AnnotationError(
            f"{where}, line {line} is not UTF-8 text: byte 0x{data[problem.start]:02x} at {problem.start}."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise AnnotationError(f"{where}, line {line} holds a NUL character; this is no text file.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def mirrored_name(label: str) -> str:
    """The class that a mirrored clip shows: left and right are exchanged, in any case or within a word.

    >>> mirrored_name("LeftToRight"), mirrored_name("turning left"), mirrored_name("Bright light")
    ('RightToLeft', 'turning right', 'Bright light')
    """
    words = re.compile(
        r"(?<![A-Za-z])(left|right)(?![a-z])|(Left|Right)(?![a-z])|(?<![A-Za-z])(LEFT|RIGHT)(?![A-Za-z])"
    )
    other = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}
    return words.sub(lambda found: other[found.group()], label)
