"""Random splits, for videos whose authors made none: clips of one source stay together, unless a leak is asked for."""

from __future__ import annotations

import csv
import dataclasses
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vidbench.records import ConfigError, RunError, VideoRecord
from vidbench.utils import atomic_writer, chance, plural, printable

log = logging.getLogger(__name__)

SKIPPED = ("bad_row", "duplicate", "unknown_label")  # entries that belong into no split


def random_splits(
    records: Iterable[VideoRecord],
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    by: str = "group",
    allow_leak: bool = False,
) -> dict[str, list[VideoRecord]]:
    """Divide videos at random, each class by the same shares as far as whole sources allow.

    Sources are taken in an order that ``seed`` draws, and each goes where most of its classes' videos are lacking. The
    order of the list does not matter.

    Args:
        records: the videos; entries that cannot be used are left out.
        shares: by name of the split, parts of 1: ``{"train": 0.8, "test": 0.2}``.
        seed: any whole number.
        by: ``group`` keeps videos of one source together; a video without a known source counts as its own, which is
            logged. ``clip`` draws each video for itself.
        allow_leak: needed for ``clip`` where that parts a source.

    Returns:
        The records of each split in listed order, with the split's name in them.

    Raises:
        ConfigError: shares that do not add up; no entry can be used; no source is known; or a split by
            clip would leak.
        ValueError: another word for ``by``.
    """
    if by not in ("group", "clip"):
        raise ValueError(f"by is group or clip, got {by!r}")
    check_shares(shares)
    left_out = Counter(record.status for record in records if record.status in SKIPPED)
    records = [record for record in records if record.status not in SKIPPED]
    if left_out and not records:
        why = ", ".join(f"{number} {status}" for status, number in left_out.most_common())
        raise ConfigError(
            f"No video of the list can be divided ({why}). Where a labels.txt lies beside the list or the videos, it "
            "says which classes there are."
        )
    if by == "group":
        _check_sources(records, allow_leak)
    keys = [r.group if by == "group" and r.group else f"\0{r.video_id}" for r in records]
    chosen = _assign(records, keys, shares, seed)
    parts = {
        name: [dataclasses.replace(r, split=name) for r, key in zip(records, keys, strict=True) if chosen[key] == name]
        for name in shares
    }
    if by == "clip" and not allow_leak:
        _refuse_leak(parts)
    return parts


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuse shares that are not at least two parts of 1, each above 0; raises ``ConfigError``."""
    total = math.fsum(shares.values())
    if len(shares) < 2 or not all(share > 0 for share in shares.values()) or not math.isclose(total, 1, abs_tol=1e-6):
        words = " ".join(f"{printable(name, 40)}={share:g}" for name, share in shares.items())
        raise ConfigError(
            f"Shares are two or more, above 0, and add up to 1, such as train=0.8 test=0.2; got {words!r}."
        )


def _check_sources(records: Sequence[VideoRecord], allow_leak: bool) -> None:
    unknown = sum(not record.group for record in records)
    if records and unknown == len(records) and not allow_leak:
        raise ConfigError(
            f"No source is known for any of the {unknown} videos, so clips of one recording could end on both sides. "
            "Name sources in the column 'group' of a list (convert.py writes one for a folder: --to csv); or pass "
            "--allow-leak, if each video is a recording of its own."
        )
    if unknown:
        log.warning("%d of %d videos have no known source; each is taken for its own", unknown, len(records))


def _assign(records: Sequence[VideoRecord], keys: Sequence[str], shares: Mapping[str, float], seed: int) -> dict:
    """The split of each key: largest sources' order is drawn, and each goes where its classes lack most."""
    classes: dict[str, Counter] = defaultdict(Counter)
    for record, key in zip(records, keys, strict=True):
        classes[key][record.label] += 1
    listed = Counter(record.label for record in records)
    lacking = {name: {label: share * listed[label] for label in listed} for name, share in shares.items()}
    chosen = {}
    for key in sorted(classes, key=lambda key: chance(seed, key)):
        need = {name: sum(n * lacking[name][label] for label, n in classes[key].items()) for name in shares}
        chosen[key] = max(shares, key=need.__getitem__)
        for label, number in classes[key].items():
            lacking[chosen[key]][label] -= number
    return chosen


def _refuse_leak(parts: Mapping[str, Sequence[VideoRecord]]) -> None:
    sides = defaultdict(set)
    for name, records in parts.items():
        for record in records:
            if record.group:
                sides[record.group].add(name)
    parted = {group for group, names in sides.items() if len(names) > 1}
    if parted:
        videos = sum(record.group in parted for records in parts.values() for record in records)
        raise ConfigError(
            f"A split by clip parts {len(parted)} of {len(sides)} sources ({plural(videos, 'video')}): clips of one "
            "recording would be in training and test, and a model that knows the recording again scores well "
            "without knowing the action. Split by group; or pass --allow-leak, to show just that."
        )


def write_splits(parts: Mapping[str, Sequence[VideoRecord]], path: str | os.PathLike) -> None:
    """Write one list for all splits, with the columns ``path,label,split,group``: the dataset ``csv`` reads it.

    Raises:
        ConfigError: a split would have no video.
        RunError: the file cannot be written.
    """
    path = Path(path)
    if empty := [name for name, records in parts.items() if not records]:
        raise ConfigError(
            f"No video falls to {' and '.join(empty)}: each class has too few sources for these shares. Give the list "
            "more videos, or a larger share to it with --shares."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "label", "split", "group"])
            for records in parts.values():
                writer.writerows([r.path, r.label or "", r.split, r.group] for r in records)
    except OSError as problem:
        reason = problem.strerror or problem
        raise RunError(f"{printable(path, 160)} cannot be written: {reason}; choose another --out.") from None
