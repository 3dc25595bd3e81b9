"""Is a local copy whole, and do splits share videos: each listed video in one state, each leak with its members.

A copy is checked against its list: what is there, what opens, and whether pictures come out of it. The ledger puts
every listed video into exactly one of ``STATES``. Leaks are looked for between splits, of one dataset or of several:
by name, by source, by bytes and by what the pictures show.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidbench.data import order
from vidbench.data.catalog import find_dataset
from vidbench.data.decode import Limits
from vidbench.data.findings import NUM_CODES, Finding, check_videos, picture_hash
from vidbench.data.index import dataset_labels, draw_subset, filter_classes, load_all_splits, load_records
from vidbench.data.leaks import (
    MOST_DIFFERENT,
    Leak,
    Part,
    describe_leaks,
    find_leaks,
    shared_bytes,
    shared_names,
    shared_pictures,
    write_leaks,
)
from vidbench.data.ledger import (
    FETCH_STATES,
    STATES,
    Entry,
    accuracy_bounds,
    by_class,
    count_states,
    describe_ledger,
    state_of,
    write_ledger,
)
from vidbench.records import PREDICTED, ConfigError, RunError, VideoRecord
from vidbench.utils import plural, printable

__all__ = [
    "MOST_DIFFERENT",
    "NUM_CODES",
    "STATES",
    "Entry",
    "Finding",
    "Leak",
    "Outcome",
    "Part",
    "accuracy_bounds",
    "by_class",
    "check",
    "check_videos",
    "count_states",
    "describe_leaks",
    "describe_ledger",
    "fetch_states",
    "find_leaks",
    "make_ledger",
    "picture_hash",
    "shared_bytes",
    "shared_names",
    "shared_pictures",
    "write_leaks",
    "write_ledger",
]

log = logging.getLogger(__name__)
GONE = "its archive was read: it was not asked for then, or its file was removed since"
EXIT_OK, EXIT_FOUND = 0, 3


def make_ledger(
    findings: Iterable[Finding],
    *,
    min_frames: int = 1,
    fetched: Mapping[str, tuple[str, str]] | None = None,
) -> list[Entry]:
    """Each listed video in exactly one state.

    Args:
        findings: what ``check_videos`` gave.
        min_frames: a video with fewer pictures is ``too_short``.
        fetched: by video id, ``(state, reason)`` for videos that a fetch did not bring: ``not_hosted``,
            ``not_fetched`` or ``fetch_failed``. It only explains files that are not there.

    Raises:
        ValueError: a state of a fetch that is none of these.
    """
    return [_entry(finding, min_frames, fetched or {}) for finding in findings]


def _entry(found: Finding, min_frames: int, fetched: Mapping[str, tuple[str, str]]) -> Entry:
    status, reason = found.status, found.reason
    frames = found.info.num_frames if found.info else 0
    if status in PREDICTED and frames < min_frames:
        status, reason = "too_short", f"{plural(frames, 'frame')}, fewer than the {min_frames} asked for"
    state = state_of(status)
    if state == "not_there" and found.record.video_id in fetched:
        state, reason = fetched[found.record.video_id]
        if state not in FETCH_STATES:
            raise ValueError(f"{state!r} is no state that a fetch leaves a video in")
    return Entry(found.record, state, status, reason, frames, found.file_size)


@dataclass(frozen=True)
class Outcome:
    """How a check ended.

    Args:
        summary: a few lines for people.
        exit_status: 0; 3 where a listed video cannot be read, or something leaks.
        folder: where the tables lie.
    """

    summary: str
    exit_status: int
    folder: Path


def check(config, *, progress=None) -> Outcome:
    """Verify a local copy, or look for leaks between its splits, and write the tables.

    Args:
        config: a ``vidbench.arguments.CheckConfig``.
        progress: see ``check_videos``.

    Raises:
        VidbenchError: lists that cannot be used, or a folder that cannot be written.
    """
    config = config.checked()
    folder = Path(config.results_dir) / find_dataset(config.dataset).name
    try:
        return (_check_leaks if config.leaks else _check_copy)(config, folder, progress)
    except OSError as problem:
        where = printable(problem.filename or folder, 160)
        raise RunError(f"{where}: {problem.strerror or problem}; see --results-dir and --data-dir.") from None


def _check_copy(config, folder: Path, progress) -> Outcome:
    lines, whole = [], True
    for split, records in _splits(config, config.dataset, config.data_dir, config.split):
        findings = _read(config, records, config.data_dir, folder, config.depth, False, progress)
        fetched = fetch_states(config.data_dir, split, records)
        ledger = make_ledger(findings, min_frames=config.min_frames, fetched=fetched)
        name = f"{split}{config.fold}" if find_dataset(config.dataset).folds > 1 else split
        write_ledger(ledger, folder / name)
        lines += [f"data       {config.dataset} {name} in {printable(config.data_dir, 160)}, read as {config.depth}"]
        lines += [describe_ledger(ledger), f"tables     {folder / name}"]
        whole &= all(entry.state == "ok" for entry in ledger)
    return Outcome("\n".join(lines), EXIT_OK if whole else EXIT_FOUND, folder)


def _check_leaks(config, folder: Path, progress) -> Outcome:
    datasets = [(config.dataset, config.data_dir, config.split or ("all",))]
    datasets += [(name, root, (split,)) for name, split, root in config.others]
    parts, places = [], []
    for number, (name, root, wanted) in enumerate(datasets):
        for split, records in _splits(config, name, root, wanted, main=number == 0):
            parts.append(Part.of(find_dataset(name), split, root, records))
            places.append(folder if number == 0 else folder.parent / find_dataset(name).name)
    if len(parts) < 2:
        raise ConfigError(
            f"Only {parts[0].name} is there: a leak is between two splits. Name the others' lists with --against."
        )
    if config.compare == "pictures":
        depth = "full" if config.depth == "full" else "frames"
        parts = [
            replace(part, findings=tuple(_read(config, part.records, part.root, place, depth, True, progress)))
            for part, place in zip(parts, places)
        ]
    leaks = find_leaks(parts, compare=config.compare)
    write_leaks(leaks, folder / "leaks.csv")
    names = ", ".join(f"{part.name} ({plural(len(part.records), 'video')})" for part in parts)
    lines = [f"compared   {names}, by {config.compare}", describe_leaks(leaks), f"table      {folder / 'leaks.csv'}"]
    return Outcome("\n".join(lines), EXIT_FOUND if leaks else EXIT_OK, folder)


def _splits(config, name: str, root: str, wanted: Sequence[str] | None, *, main: bool = True):
    """``(split, records)`` for each split asked for; of ``all``, those whose lists are there, and each list once."""
    card, annotations = find_dataset(name), config.annotations if main else None
    fold = config.fold if main else 1
    if tuple(wanted or ()) == ("all",):
        found = load_all_splits(name, root, fold, annotations=annotations)
    else:
        splits = wanted or (card.default_split,)
        found = {split: load_records(name, root, split, fold, annotations=annotations) for split in splits}
    for split, records in found.items():
        yield split or "train", _chosen(config, records, dataset_labels(name, root, annotations))


def _chosen(config, records: list[VideoRecord], labels: Sequence[str]) -> list[VideoRecord]:
    if config.classes is not None:
        records = filter_classes(records, config.classes, labels)
    return draw_subset(records, config.limit, config.seed) if config.limit and records else records


def _read(config, records, root: str, folder: Path, depth: str, codes: bool, progress) -> list[Finding]:
    limits = Limits(seconds=config.timeout, megabytes=config.memory)
    return check_videos(
        records, root, depth=depth, codes=codes, num_workers=config.num_workers, journal=folder / "files.jsonl",
        limits=limits, progress=progress,
    )  # fmt: skip


def fetch_states(root: str | os.PathLike, split: str, records: Iterable[VideoRecord]) -> dict[str, tuple[str, str]]:
    """Why files are not there, as far as ``vidbench.data.fetch`` wrote it down below the data folder.

    Returns:
        By video id ``(state, reason)``; empty where nothing was fetched into this folder.
    """
    if not (Path(root) / order.STATE / f"{split}.json").is_file():
        return {}
    known = order.Known(Path(root), split)
    hosted = known.hosted
    states = {}
    for record in records:
        if record.status != "missing":
            continue
        name = record.video_id
        if name in known.lost:
            states[name] = "fetch_failed", known.lost[name]
        elif name in hosted:
            states[name] = "not_fetched", GONE
        elif known.complete:
            states[name] = "not_hosted", STATES["not_hosted"]
        else:
            states[name] = "not_fetched", STATES["not_fetched"]
    return states
