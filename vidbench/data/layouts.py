"""How the videos and lists of each dataset lie, as their authors publish them: a function for each layout of a card.

A video is a file, or a folder of numbered pictures (``vidbench.data.pictures``).
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from vidbench.data.classes import check_labels
from vidbench.data.lists import (
    VIDEO_SUFFIXES,
    Files,
    Listing,
    by_stem,
    check_groups,
    clean_path,
    csv_rows,
    first_file,
    lines_of,
    plain_label,
    read_json,
    stem_of,
    walk_videos,
    without_suffix,
)
from vidbench.data.pictures import read_series
from vidbench.records import AnnotationError, UnreadableVideo, VideoRecord
from vidbench.utils import plural, printable, quoted

log = logging.getLogger(__name__)


SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_USUAL = ("train", "val", "test")
UCF_PICTURES = "jpegs_256"  # the folder of UCF101's videos as pictures, as its zip has it
IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
PICTURE_LINES = (  # of a list of folders: PATH FIRST LAST LABEL, or PATH NUMBER LABEL
    re.compile(r"([^\t]*\S) +(\d{1,9} +\d{1,9}) +(\d{1,6})"),
    re.compile(r"([^\t]*\S) +(\d{1,9}) +(\d{1,6})"),
)
MOST_FRAMES = 10_000_000  # num_frames beyond this is a mistake, not a video


def kinetics_records(path: str | os.PathLike, root: Path, split: str, labels: tuple[str, ...]) -> list[VideoRecord]:
    """Records of a Kinetics CSV (``label,youtube_id,time_start,time_end,split``).

    A video is found by its file name ``ID_START_END`` (seconds, six digits) in any folder below
    ``root/SPLIT``, or below ``root`` where that does not exist; the folder's name says nothing.
    Without a column ``label`` (test lists) records have none.

    Raises:
        AnnotationError: see ``csv_rows``; or every row is of another split.
    """
    root = Path(root)
    found = by_stem(root, (split,))
    listing = Listing(labels, split, lambda path: stem_of(path) in found)
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


def _add_kinetics(listing: Listing, found: dict, line: int, youtube_id: str, start: str, end: str, label) -> None:
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
    return next((path for path in paths if plain_label(path.split("/")[-2:][0]) == plain_label(label)), paths[0])


def _load_kinetics(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    if annotations is None:
        spellings = [name for name, known in SPLITS.items() if known == split] or [split]
        names = [f"{folder}{name}.csv" for name in spellings for folder in ("annotations/", "")]
        annotations = first_file(root, names, f"annotation file of split {quoted(split, 40)}")
    return kinetics_records(annotations, root, split, labels)


def read_class_index(path: str | os.PathLike) -> tuple[str, ...]:
    """Class names from UCF101's ``classInd.txt``: lines of ``NUMBER NAME``, counted from 1.

    Raises:
        AnnotationError: a line of another form, numbers that do not run from 1, a name twice.
    """
    names: list[str] = []
    for line, text in lines_of(path):
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
    listing = Listing(labels, split, exists)
    numbers = {label: number for number, label in enumerate(labels, 1)}
    for line, text in lines_of(path):
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
        stem = stem_of(file)
        group = re.match(r"(.*_g\d+)_c\d+$", stem)
        listing.add(line, stem, place(name), label, f"{label}/{group[1]}" if group else "")
    return listing.records


def _load_ucf(root: Path, split: str, fold: int, labels, annotations, lists, videos) -> list[VideoRecord]:
    """``lists`` and ``videos`` are the folders' usual names, relative to the root."""
    names = [f"{folder}/{split}list{fold:02d}.txt" for folder in lists]
    file = annotations or first_file(root, names, f"{split} list of fold {fold}")
    if (file.parent / "classInd.txt").is_file():
        check_labels(read_class_index(file.parent / "classInd.txt"), labels, printable(file.parent / "classInd.txt"))
    folder = next((name for name in videos if (root / name).is_dir()), "")
    files = Files(root)
    place = functools.partial(_ucf_place, root, folder, files)
    records = ucf_records(file, labels, split, files.__contains__, place)
    other = {"train": "test", "test": "train"}.get(split)
    beside = file.parent / f"{other}list{fold:02d}.txt"
    if other and beside.is_file():
        check_groups(records, ucf_records(beside, labels, other, files.__contains__))
    return records


def _ucf_place(root: Path, folder: str, files: Files, name: str) -> str:
    """Where a video of UCF101 lies: the file, a folder of its pictures in its place, or one in ``jpegs_256``."""
    path = "/".join(filter(None, (folder, name)))
    if path in files:
        return path
    stem = stem_of(name)
    known = files.by_casefold(UCF_PICTURES).get(stem.casefold(), stem)
    others = (without_suffix(path), f"{UCF_PICTURES}/{known}")
    return next((other for other in others if other in files and (root / other).is_dir()), path)


def _load_ucf101(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    lists = ("ucfTrainTestlist", "../ucfTrainTestlist", ".")
    return _load_ucf(root, split, fold, labels, annotations, lists, ("UCF-101", "UCF101"))


def _load_vidmini(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    return _load_ucf(root, split, fold, labels, annotations, ("splits",), ("videos",))


def read_hmdb_split(path: str | os.PathLike) -> list[tuple[int, str, int]]:
    """``(line, file name, code)`` of an HMDB51 split file; code 0 is unused, 1 train, 2 test.

    Raises:
        AnnotationError: a line without a code, or with another one.
    """
    entries = []
    for line, text in lines_of(path):
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
    files = Files(root)
    listing = Listing(labels, split, files.__contains__)
    for label in labels:
        path = first_file(lists, [f"{label}_test_split{fold}.txt"], f"split file of class {label}, fold {fold},")
        for line, name, code in read_hmdb_split(path):
            if code != wanted:
                continue
            try:
                place = clean_path(f"{folder}{label}/{name}")
                as_pictures = without_suffix(place)
                if place not in files and as_pictures in files:
                    place = as_pictures
                listing.add(line, stem_of(name), place, label, _hmdb_group(name, label))
            except ValueError as problem:
                listing.bad(line, f"{label}: {problem}")
    return listing.records


def _hmdb_group(name: str, label: str) -> str:
    """The source film: the file name up to its class and the codes for camera, quality and number."""
    source = re.fullmatch(rf"(.+)_{re.escape(label)}_\w_\w\w_np\d+_\w\w_\w{{3}}_\d+\.\w+", name)
    return f"{label}/{source[1]}" if source else ""


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
        annotations = first_file(root, names, f"annotation file of split {quoted(split, 40)}")
    for name in (f"{prefix}labels.json", "labels.json"):
        if (annotations.parent / name).is_file():
            check_labels(read_ssv2_labels(annotations.parent / name), labels, printable(annotations.parent / name, 160))
    entries = read_json(annotations)
    if not isinstance(entries, list):
        raise AnnotationError(f"{printable(annotations, 160)}: expected a list of objects with id and template.")
    found = by_stem(root, ("20bn-something-something-v2", "videos"))
    listing = Listing(labels, split, lambda path: stem_of(path) in found)
    for number, entry in enumerate(entries, 1):
        values = entry if isinstance(entry, dict) else {}
        video_id, template = str(values.get("id", "")), values.get("template")
        if not IDENTIFIER.fullmatch(video_id) or not isinstance(template, (str, type(None))):
            listing.bad(number, "expected an object with id and template")
            continue
        path = found.get(video_id, [f"20bn-something-something-v2/{video_id}.webm"])[0]
        listing.add(number, video_id, path, _without_brackets(template) if template else None)
    return listing.records


def _load_folder(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    if annotations is not None:
        raise AnnotationError("A folder of classes needs no annotation file; use the dataset csv to read a list.")
    split = usual_split(split)
    below = _split_folder(root, split)
    known = set(labels)
    listing = Listing(labels, split, lambda path: True)
    others, unnamed = 0, list[str]()
    for name in _class_folders(root / below):
        folder = f"{below}/{name}" if below else name
        if name not in known:
            others += name.isprintable()
            unnamed += [] if name.isprintable() else [name]
            continue
        for number, path in enumerate(walk_videos(root, 4, folder), 1):
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
        count = plural(others, "folder")
        log.warning("left out: %s below %s, not named in labels.txt", count, printable(root / below))
    for name in unnamed:
        log.warning(
            "the name of %s is no text that can be printed: it is left out; rename it", printable(root / below / name)
        )
    _say_what_is_left_out(root, below)
    return listing.records


def _say_what_is_left_out(root: Path, below: str) -> None:
    """Warn of videos that lie in no class folder, and of files that no suffix shows to be a video."""
    if loose := sum(1 for _ in walk_videos(root, 1, below)):
        log.warning("left out: %s directly in %s, in no class folder", plural(loose, "video"), printable(root / below))
    folders = [root / below / name for name in _class_folders(root / below)]
    files = (entry.name for folder in folders for entry in os.scandir(folder) if entry.is_file())
    others = [name for name in files if not name.startswith(".") and Path(name).suffix.lower() not in VIDEO_SUFFIXES]
    if others:
        log.warning(
            "left out: %s in the class folders of %s, without the suffix of a video (such as %s)",
            plural(len(others), "file"), printable(root / below), printable(others[0], 80),
        )  # fmt: skip


def usual_split(word: str) -> str:
    """``train``, ``val`` or ``test`` for its other spellings; any other word as it is."""
    return SPLITS.get(word.lower(), word)


def split_folders(root: Path) -> dict[str, str]:
    """The folders of splits in a root, by split; empty where it holds the classes themselves.

    Names that a class may have too (``valid``, ``Train``) count only where folders of two splits are there.

    Raises:
        AnnotationError: two folders for one split, or a root that cannot be read.
    """
    named = [(SPLITS[name.lower()], name) for name in _class_folders(root) if name.lower() in SPLITS]
    if len({split for split, _ in named}) == 1:
        named = [(split, name) for split, name in named if name in SPLITS and name != "valid"]
    found: dict[str, str] = {}
    for split, name in named:
        if found.setdefault(split, name) != name:
            raise AnnotationError(
                f"{printable(root, 160)} has the folders {found[split]} and {name}, which both mean {split}: "
                "rename or move one of them."
            )
    return found


def _split_folder(root: Path, split: str) -> str:
    """The folder of a split, or nothing where the root holds the classes themselves."""
    present = split_folders(root)
    if split in present:
        return present[split]
    if present:
        raise AnnotationError(
            f"{printable(root, 160)} has folders for {', '.join(sorted(present))}, none for {quoted(split, 40)}; "
            f"pass --split {min(present)}."
        )
    return ""


def named_splits(layout: str, root: Path, annotations: Path | None) -> list[str]:
    """The splits that a folder of classes, or a list of paths, names itself; empty where it knows none.

    Raises:
        AnnotationError: a folder or list that cannot be read.
    """
    if layout == "folder":
        found = set(split_folders(root))
    else:
        path = list_file(root, annotations)
        rows = () if path.suffix.lower() == ".json" else _list_rows(path)
        found = {usual_split(row[2]) for _, row in rows if not isinstance(row, str) and row[2]}
    return sorted(found, key=lambda name: (_USUAL.index(name) if name in _USUAL else len(_USUAL), name))


def _class_folders(root: Path) -> list[str]:
    try:
        return sorted(e.name for e in os.scandir(root) if e.is_dir() and not e.name.startswith("."))
    except OSError as problem:
        raise AnnotationError(f"{printable(root, 160)} cannot be read: {problem.strerror}.") from None


def folder_labels(root: Path) -> tuple[str, ...]:
    """Names of the class folders in a root, or in its folders of splits, sorted; ``AnnotationError`` without any."""
    splits = split_folders(root).values()
    names = sorted({name for below in splits or ["."] for name in _class_folders(root / below)})
    names = [name for name in names if name.isprintable()]
    if not names:
        raise AnnotationError(
            f"{printable(root, 160)} holds no folder; expected one folder a class, with videos. Where a list says the "
            "classes, --dataset csv reads it."
        )
    return tuple(names)


def list_file(root: Path, annotations: Path | None) -> Path:
    """The list of a dataset of paths: the one named, else the first of the usual names in the root."""
    names = ("annotations.csv", "datalist.json", "list.txt")
    return annotations or first_file(root, names, "list of videos")


def _load_list(root: Path, split: str, fold: int, labels, annotations) -> list[VideoRecord]:
    path, split = list_file(root, annotations), usual_split(split)
    listing = Listing(labels, split, Files(root).__contains__)
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
    lines = list(lines_of(path))
    for form in PICTURE_LINES:
        if all(form.fullmatch(text) for _, text in lines):
            for line, text in lines:
                match = form.fullmatch(text)
                assert match
                folder, numbers, label = match.groups()
                yield line, [folder, label, None, None, numbers.split()]
            return
    for line, text in lines:
        parts = text.split("\t") if "\t" in text else text.rsplit(None, 1)
        if len(parts) == 2:
            yield line, [parts[0].strip(), parts[1].strip(), None, None]
        else:
            yield line, "expected 'PATH LABEL', parted by a tab where the label has spaces"


def _add_list(listing: Listing, path: Path, labels: tuple[str, ...], split: str, root: Path) -> None:
    for line, row in _list_rows(path):
        if isinstance(row, str):
            listing.bad(line, row)
            continue
        name, label, row_split, group, *pictures = row
        if row_split and usual_split(row_split) != split:
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


def _add_datalist(listing: Listing, path: Path, labels: tuple[str, ...]) -> None:
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


def list_labels(path: Path) -> tuple[str, ...]:
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


LAYOUTS = {
    "kinetics": _load_kinetics,
    "ucf101": _load_ucf101,
    "vidmini": _load_vidmini,
    "hmdb51": _load_hmdb51,
    "somethingv2": _load_somethingv2,
    "folder": _load_folder,
    "csv": _load_list,
}
