"""Annotation files to records: one for every listed video, and what is wrong with those that are not there.

How each dataset's lists are read is in ``vidbench.data.layouts``, and the rules that hold for all of them in
``vidbench.data.lists``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from vidbench.data.catalog import DatasetCard, find_dataset
from vidbench.data.classes import read_labels
from vidbench.data.layouts import (
    LAYOUTS,
    folder_labels,
    kinetics_records,
    list_file,
    list_labels,
    named_splits,
    read_class_index,
    read_hmdb_split,
    read_ssv2_labels,
    ucf_records,
)
from vidbench.data.lists import check_groups, clean_path, csv_rows, read_json
from vidbench.records import PREDICTED, AnnotationError, VideoRecord
from vidbench.utils import chance, nearest_hint, printable, quoted

__all__ = [
    "check_groups",
    "clean_path",
    "csv_rows",
    "dataset_labels",
    "describe",
    "draw_subset",
    "filter_classes",
    "keep_present",
    "kinetics_records",
    "load_all_splits",
    "load_records",
    "load_splits",
    "own_splits",
    "read_class_index",
    "read_hmdb_split",
    "read_json",
    "read_ssv2_labels",
    "records_fingerprint",
    "ucf_records",
]

log = logging.getLogger(__name__)


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
    _check_root(card, root)
    labels = dataset_labels(name, root, annotations)
    records = LAYOUTS[card.layout](root, split, fold, labels, Path(annotations) if annotations else None)
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


def load_all_splits(name: str, root: str | os.PathLike, fold: int = 1, **options) -> dict[str, list[VideoRecord]]:
    """The videos of every split whose list is there, by its name; the others are left out with a warning.

    Of own videos those splits that their folders or their list name. Where none is named all videos are one part,
    called ``""``, as the ``split`` of its records then is. A list that stands for several splits is read once.

    Args:
        name, root, fold: as for ``load_records``.
        options: its others.

    Raises:
        AnnotationError: none can be used; says why the first one cannot.
        ConfigError: an unknown dataset.
    """
    card, found = find_dataset(name), {}
    splits = card.splits or own_splits(name, root, options.get("annotations"))
    if not splits:
        records = load_records(name, root, card.default_split, fold, **options)
        return {"": [dataclasses.replace(record, split="") for record in records]}
    seen: set[tuple] = set()
    lost: dict[str, AnnotationError] = {}
    for split in splits:
        try:
            records = load_records(name, root, split, fold, **options)
        except AnnotationError as problem:
            lost[split] = problem
            continue
        same = tuple((record.video_id, record.path) for record in records)
        if same not in seen:
            seen.add(same)
            found[split] = records
    if not found:
        raise lost[splits[0]]
    for split, why in lost.items():
        log.warning("%s %s is left out: %s", name, split, why)
    return found


def load_splits(name: str, root: str | os.PathLike, split: str, fold: int = 1, **options) -> list[VideoRecord]:
    """The videos of one split, or for the word ``all`` those of ``load_all_splits``, one after the other."""
    if split != "all":
        return load_records(name, root, split, fold, **options)
    return [record for part in load_all_splits(name, root, fold, **options).values() for record in part]


def own_splits(name: str, root: str | os.PathLike, annotations: str | os.PathLike | None = None) -> list[str]:
    """The splits of own videos that their folders or their list name, ``train``, ``val`` and ``test`` first.

    Args:
        name, root, annotations: as for ``load_records``; a dataset of one's own, ``folder`` or ``csv``.

    Raises:
        AnnotationError: the folder or the list is not there, or cannot be read.
    """
    card = find_dataset(name)
    _check_root(card, Path(root))
    return named_splits(card.layout, Path(root), Path(annotations) if annotations else None)


def _check_root(card: DatasetCard, root: Path) -> None:
    if not root.is_dir():
        way = f", or fetch it: python scripts/fetch.py {card.name} --help" if card.bases else ""
        raise AnnotationError(
            f"{printable(root, 160)} is not a folder; expected the data of {card.title} in it. "
            f"Pass its place as --data-dir{way}."
        )


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
        return card.class_names
    for place in (Path(annotations).parent, root) if annotations else (root,):
        if (place / "labels.txt").is_file():
            return read_labels(place / "labels.txt")
    if card.layout == "folder":
        return folder_labels(root)
    return list_labels(list_file(root, Path(annotations) if annotations else None))


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


def _chance(seed: int, *words: str) -> float:
    """A number in [0, 1)."""
    return int.from_bytes(chance(seed, *words)[:7]) / 2**56
