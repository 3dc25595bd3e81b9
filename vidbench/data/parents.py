"""Which classes belong together: categories and pairs out of a file of one's own, or those that come with vidbench."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vidbench.data.catalog import DatasetCard
from vidbench.data.classes import load_aliases, name_of_list, parents_of, read_text, time_pairs
from vidbench.data.lists import csv_rows
from vidbench.records import AnnotationError, ConfigError
from vidbench.utils import nearest_hint, printable, quoted, sha256_of_file

SHIPPED = "shipped"  # the word for the categories of vidbench/data/labels/parents.csv
MOST_TEXT = 200  # characters of a category's name


def read_parents(path: str | os.PathLike, labels: Sequence[str]) -> tuple[str, ...]:
    """The category of each class, from a file.

    Args:
        path: a CSV file with the columns ``name,parent``, or a JSON file of the form ``{"parent": ["class", ...]}``.
        labels: K class names in index order.

    Returns:
        K names of categories, at least two different ones.

    Raises:
        AnnotationError: no such file, a name that is no class, a class that comes twice or not at all, or one category
            for all; with the first place.

    Source:
        The JSON form is that of PySlowFast's ``TENSORBOARD.CATEGORIES_PATH``, https://github.com/facebookresearch/SlowFast
    """
    where, known = printable(path, 160), frozenset(labels)
    aliases, found = load_aliases(name_of_list(labels) or ""), dict[str, str]()
    for place, name, parent in _pairs(path, where):
        name = name if name in known else aliases.get(name, name)
        if name not in known:
            hint = nearest_hint(name[:MOST_TEXT], known)
            raise AnnotationError(f"{place}: {quoted(name)} is not one of the {len(known)} classes.{hint}")
        if name in found:
            raise AnnotationError(f"{place}: {quoted(name)} comes twice, first under {quoted(found[name])}.")
        if not parent or len(parent) > MOST_TEXT:
            raise AnnotationError(f"{place}: the parent of {quoted(name)} must have 1 to {MOST_TEXT} characters.")
        found[name] = parent
    lacking = [label for label in labels if label not in found]
    if lacking:
        few = ", ".join(map(quoted, lacking[:3])) + (", ..." if lacking[3:] else ".")
        raise AnnotationError(f"{where} has no parent for {len(lacking)} of {len(labels)} classes: {few}")
    if len(set(found.values())) < 2:
        raise AnnotationError(f"{where} puts all classes under one parent: there is nothing to tell apart.")
    return tuple(found[label] for label in labels)


def _pairs(path: str | os.PathLike, where: str) -> Iterator[tuple[str, str, str]]:
    """``(place, class, parent)`` for each line of a file, in order."""
    text = read_text(path)
    if Path(path).suffix.lower() == ".json" or text.lstrip()[:1] in "{[":
        yield from _pairs_of_json(text, where)
        return
    for line, values in csv_rows(path, ("name", "parent")):
        if isinstance(values, str):
            raise AnnotationError(f"{where}, line {line}: {values}.")
        yield f"{where}, line {line}", values[0] or "", values[1] or ""


def _pairs_of_json(text: str, where: str) -> Iterator[tuple[str, str, str]]:
    try:
        found = json.loads(text, object_pairs_hook=tuple)  # pairs, so that a parent written twice loses no class
    except (ValueError, RecursionError) as problem:
        raise AnnotationError(f"{where} is no JSON: {printable(problem, 100)}.") from None
    form = 'expected {"parent": ["class", ...], ...}'
    if not isinstance(found, tuple) or not found:
        raise AnnotationError(f"{where} holds no JSON object; {form}.")
    for parent, names in found:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise AnnotationError(f"{where}: under {quoted(parent)} is no list of class names; {form}.")
        for name in names:
            yield f"{where}, under {quoted(parent)}", name.strip(), parent.strip()


def parents_facts(path: str | os.PathLike | None, labels: Sequence[str]) -> dict | None:
    """What a manifest keeps of a file of categories; ``None`` for those that come with vidbench.

    Raises:
        AnnotationError: as ``read_parents``.
    """
    if path in (None, SHIPPED):
        return None
    parents = read_parents(path, labels)
    return {"source": Path(path).name, "sha256": sha256_of_file(path), "of": list(parents)}


def class_parents(manifest: Mapping, labels: Sequence[str]) -> tuple[tuple[str, ...] | None, str]:
    """The categories of a run's classes, and the name of the file that they are from.

    Returns:
        Those that its user gave; else those that come with vidbench, from no file; ``None`` where neither are known.
    """
    kept = manifest.get("parents")
    facts = kept if isinstance(kept, Mapping) else {}
    given = facts.get("of")
    if isinstance(given, list) and len(given) == len(labels) and all(isinstance(name, str) for name in given):
        return tuple(given), str(facts.get("source") or "a file")
    return parents_of(tuple(labels)), ""


def find_time_pairs(asked: str | None, card: DatasetCard, labels: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Classes of which each is the other one played backwards.

    Args:
        asked: ``known`` for the pairs that come with the dataset, the path of a table, or ``None`` for no pairs.
        card: the dataset.
        labels: as for ``read_time_pairs``.

    Raises:
        ConfigError: none are known for the dataset.
        AnnotationError: a table that cannot be used.
    """
    if asked is None:
        return ()
    if asked != "known":
        return read_time_pairs(asked, labels)
    if pairs := time_pairs(card.labels or ""):
        return pairs
    raise ConfigError(
        f"no classes of {card.name} are known to be each other played backwards; leave it out, or name a CSV file with "
        "the columns class and backwards."
    )


def read_time_pairs(path: str | os.PathLike, labels: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """What ``classes.time_pairs`` gives, for one's own classes, from a CSV file with the columns ``class,backwards``.

    A class that looks the same both ways stands in both columns.

    Args:
        path: the table.
        labels: names of the classes; ``None`` where nobody has looked yet, and any name will do.

    Raises:
        AnnotationError: no such table or an empty one, a name that is no class, or a class in two pairs.
    """
    where, seen = printable(path, 160), set[str]()
    pairs = []
    for line, values in csv_rows(path, ("class", "backwards")):
        place = f"{where}, line {line}"
        if isinstance(values, str):
            raise AnnotationError(f"{place}: {values}.")
        first, second = values
        for label in dict.fromkeys((first, second)):
            if labels is not None and label not in labels:
                hint = nearest_hint(label[:MOST_TEXT], labels)
                raise AnnotationError(f"{place}: {quoted(label, 80)} is not one of the {len(labels)} classes.{hint}")
            if label in seen:
                raise AnnotationError(f"{place}: {quoted(label, 80)} is in two pairs.")
            seen.add(label)
        pairs.append((first, second))
    return tuple(pairs)
