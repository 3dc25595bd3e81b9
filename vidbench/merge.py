"""Runs of one evaluation that were made apart, as one run: a set union by video, conflicts named. Runs no model.

Shards of one list (``--shard 1/4`` and so on) come back as the run that was never divided, byte by byte: a shard is
made of whole batches of the list, so each batch holds the same videos. Runs of different parts of a dataset
(``--classes``, ``--present-only`` on two machines) become one run of the union.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.compare import read_finished
from vidbench.data import ledger
from vidbench.data.index import records_fingerprint
from vidbench.data.parents import class_parents
from vidbench.records import ConfigError, Row, RunError, VideoRecord
from vidbench.runs import Run, RunFolder, manifest_differences, section
from vidbench.scores import open_logits
from vidbench.utils import plural, printable, write_json

# What may differ between runs that are merged: which part of the data they were, and where it lay.
PARTS = ("dataset.shard", "dataset.n_listed", "dataset.n_in_split", "dataset.records_sha256", "dataset.list_sha256",
         "dataset.n_in_list", "dataset.classes", "dataset.limit", "dataset.present_only", "run.device")  # fmt: skip
NEEDED = ("run.top_n", "model.random")  # to write the tables of the merged run
PIECE = 1000  # videos copied at a time
SHOWN = 10  # missing shards that are named


@dataclass(frozen=True)
class Merged:
    """What a merge came to: ``folder``, number of ``videos`` and of ``runs``, and videos that were in several runs."""

    folder: Path
    num_videos: int
    num_runs: int
    num_repeated: int


def place_in_list(index: int, shard: tuple[int, int], batch_size: int) -> int:
    """Position in the whole list of a shard's video.

    Shard ``i`` of ``n`` takes batches ``i - 1``, ``i - 1 + n``, and so on of the list.

    >>> [place_in_list(index, (2, 3), 4) for index in range(6)]
    [4, 5, 6, 7, 16, 17]
    """
    batch, rest = divmod(index, batch_size)
    return (batch * shard[1] + shard[0] - 1) * batch_size + rest


def merge(folders: Sequence[str | Path], out: str | Path, *, prefer_predicted: bool = False) -> Merged:
    """Write the union of finished runs into a new run folder.

    Args:
        folders: run folders, one or more.
        out: a folder that does not exist yet, or holds an unfinished or earlier merge of the same runs.
        prefer_predicted: where one run predicted a video and another skipped it (a file that one machine did not
            have), take the prediction; otherwise that is a conflict.

    Raises:
        ConfigError: ``out`` is one of the runs.
        RunError: a run that is not finished or was made with other options (with the first key that differs), videos
            whose rows disagree (with the first), shards that are missing, or an earlier merge with other rows.
    """
    if Path(out).resolve() in {Path(folder).resolve() for folder in folders}:
        raise ConfigError(f"--out {printable(out, 160)} is one of the runs that are merged; name a folder of its own")
    runs = [read_finished(folder, NEEDED) for folder in folders]
    for run in runs[1:]:
        refuse_other_options(runs[0], run)
    shards = [shard_of(run) for run in runs]
    known = [shard for shard in shards if shard]
    if known and None in shards:
        whole = runs[shards.index(None)]
        raise RunError(f"{printable(whole.folder)} is no shard, and others are: merge the shards alone")
    chosen, repeated = choose_rows(runs, prefer_predicted)
    if known:
        manifest, order = whole_list(runs, known), list_order(runs, known, chosen)
    else:
        manifest, order = union_list(runs, chosen), list(chosen)
    write_run(Path(out), runs, manifest, [chosen[key] for key in order])
    write_absent(Path(out), runs)
    return Merged(Path(out), len(order), len(runs), repeated)


def refuse_other_options(first: Run, other: Run) -> None:
    """Raise ``RunError`` with the first key in which two runs are of different evaluations."""
    differences = manifest_differences(first.manifest, other.manifest)
    real = [difference for difference in differences if difference[0] not in PARTS]
    if real:
        key, before, after = real[0]
        more = f" (and {len(real) - 1} more: {', '.join(d[0] for d in real[1:6])})" if real[1:] else ""
        raise RunError(
            f"{printable(first.folder)} and {printable(other.folder)} are not of one evaluation: {key} is "
            f"{printable(json.dumps(before), 80)} in the first, {printable(json.dumps(after), 80)} in the second{more}"
        )
    for name in ("precision", "memory_format"):  # free while a run is continued, because its first session decides
        a, b = (run.manifest.get("run", {}).get(name) for run in (first, other))
        if a != b:
            raise RunError(
                f"{printable(first.folder)} ran in {a}, {printable(other.folder)} in {b} ({name}): make them again "
                "with the same --precision, not auto"
            )
    a, b = (run.manifest.get("model", {}).get("weights_sha256") for run in (first, other))
    if a != b:
        raise RunError(f"{printable(first.folder)} and {printable(other.folder)} have other weights: {a} and {b}")


def shard_of(run: Run) -> tuple[int, int] | None:
    """``(i, n)`` of a shard, or ``None``."""
    shard = run.manifest.get("dataset", {}).get("shard")
    return (shard[0], shard[1]) if shard else None


def choose_rows(runs: Sequence[Run], prefer_predicted: bool) -> tuple[dict, int]:
    """For each video ``(number of the run, row)``, in order of appearance; and how many were in several runs."""
    chosen: dict[tuple, tuple[int, Row]] = {}
    conflicts, repeated = [], set()
    for number, run in enumerate(runs):
        seen: dict[str, int] = {}
        for row in run.rows:
            key = (row.video_id, seen.setdefault(row.video_id, 0))
            seen[row.video_id] += 1
            if key not in chosen:
                chosen[key] = (number, row)
                continue
            repeated.add(key)
            before = chosen[key][1]
            if same_row(before, row):
                continue
            if prefer_predicted and before.predicted != row.predicted:
                chosen[key] = (number, row) if row.predicted else chosen[key]
                continue
            conflicts.append((key, chosen[key], (number, row)))
    if conflicts:
        raise RunError(_conflict_words(runs, conflicts))
    return chosen, len(repeated)


def same_row(a: Row, b: Row) -> bool:
    """Whether two rows say the same of a video; its place in a list, and the file's path and size, may differ."""
    apart = {"index": 0, "path": "", "file_size": 0}
    return {**a.as_json(), **apart} == {**b.as_json(), **apart}


def _conflict_words(runs: Sequence[Run], conflicts: list) -> str:
    (video_id, _), (one, before), (other, row) = conflicts[0]
    hint = ""
    if any(a[1].predicted != b[1].predicted for _, a, b in conflicts):
        hint = "; --prefer-predicted takes the prediction where the other run could not read the file"
    return (
        f"{plural(len(conflicts), 'video has', 'videos have')} different rows: {printable(video_id, 80)} is "
        f"{_row_words(before)} in {printable(runs[one].folder)} and {_row_words(row)} in "
        f"{printable(runs[other].folder)}{hint}"
    )


def _row_words(row: Row) -> str:
    if not row.predicted:
        return row.status
    return f"{printable(row.top[0][0], 60)} with {row.top[0][2]:.6g}, true class in place {row.rank + 1}"


def whole_list(runs: Sequence[Run], shards: Sequence[tuple[int, int]]) -> dict:
    """The manifest of the run that was divided into shards.

    Raises:
        RunError: shards of different lists or numbers, or one that is missing.
    """
    numbers = {n for _, n in shards}
    lists = {run.manifest["dataset"].get("list_sha256") for run in runs}
    if len(numbers) > 1 or len(lists) > 1:
        raise RunError(f"these are shards of different divisions or lists: {', '.join(f'{i}/{n}' for i, n in shards)}")
    (n,) = numbers
    missing = sorted(set(range(1, n + 1)) - {i for i, _ in shards})
    if missing:
        more = f", and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise RunError(f"shards are missing: {', '.join(f'{i}/{n}' for i in missing[:SHOWN])}{more}")
    facts = runs[0].manifest["dataset"]
    dataset = {
        **facts, "shard": None, "n_listed": facts["n_in_list"], "records_sha256": facts["list_sha256"],
    }  # fmt: skip
    return _manifest(runs, dataset)


def list_order(runs: Sequence[Run], shards: Sequence[tuple[int, int]], chosen: dict) -> list[tuple]:
    """Keys of ``chosen`` in the order of the whole list."""
    batch_size = runs[0].manifest["run"]["batch_size"]
    places = {}
    for run, shard in zip(runs, shards):
        seen: dict[str, int] = {}
        for row in run.rows:
            key = (row.video_id, seen.setdefault(row.video_id, 0))
            seen[row.video_id] += 1
            places[key] = place_in_list(row.index, shard, batch_size)
    return sorted(chosen, key=places.__getitem__)


def union_list(runs: Sequence[Run], chosen: dict) -> dict:
    """The manifest of a union of runs of different parts of a dataset.

    It keeps that it is a part: ``classes`` where no run was over all of them, and as ``limit`` the number of videos
    where runs were limited and the union is smaller than what they were drawn from (``n_in_split``).
    """
    facts = [section(run.manifest, "dataset") for run in runs]
    records = [_record(row) for _, row in chosen.values()]
    whole = max(len(records), num_before_limits(runs))
    limited = any(fact.get("limit") for fact in facts) and len(records) < whole
    dataset = {
        **facts[0], "shard": None, "classes": classes_of(runs), "limit": len(records) if limited else None,
        "present_only": any(fact.get("present_only") for fact in facts), "n_listed": len(records),
        "n_in_split": whole, "records_sha256": records_fingerprint(records),
    }  # fmt: skip
    dataset |= {"list_sha256": dataset["records_sha256"], "n_in_list": len(records)}
    return _manifest(runs, dataset)


def classes_of(runs: Sequence[Run]) -> list[str] | None:
    """The classes that the runs were restricted to, together; ``None`` where that is all of them."""
    asked = [section(run.manifest, "dataset").get("classes") for run in runs]
    named = dict.fromkeys(name for names in asked for name in names or ())
    return None if not all(asked) or set(named) >= set(runs[0].labels) else list(named)


def num_before_limits(runs: Sequence[Run]) -> int:
    """How many videos the runs were drawn from: those of runs over other classes added up, others are of one list.

    Runs whose classes overlap are of one list too, so that there the number is at least this.
    """
    sizes: dict[frozenset, int] = {}
    for run in runs:
        facts = section(run.manifest, "dataset")
        size, names = facts.get("n_in_split"), frozenset(facts.get("classes") or run.labels)
        for other in [other for other in sizes if other & names]:
            names, size = names | other, max(size or 0, sizes.pop(other))
        sizes[names] = size or run.num_listed
    return sum(sizes.values())


def _record(row: Row) -> VideoRecord:
    return VideoRecord(row.video_id, row.path, row.label, row.label_index, row.split, row.group)


def _manifest(runs: Sequence[Run], dataset: dict) -> dict:
    """The first run's manifest for the whole: times added up, and where its parts came from."""
    first = runs[0].manifest
    parts = [
        {"run_name": run.name, "shard": run.manifest["dataset"].get("shard"), "n_listed": run.num_listed,
         "environment": run.manifest.get("environment"), "timing": run.manifest.get("timing")}
        for run in runs
    ]  # fmt: skip
    dropped = ("schema", "timing", "command")
    kept = {name: value for name, value in first.items() if name not in dropped}
    return {**kept, "dataset": dataset, "timing": added_up([run.manifest.get("timing") or {} for run in runs]),
            "parents": shared_parents(runs), "merged": {"command": first.get("command"), "parts": parts}}  # fmt: skip


def shared_parents(runs: Sequence[Run]) -> dict | None:
    """The categories that the user of some runs gave; raises ``RunError`` where two have others."""
    found = [(run, *class_parents(run.manifest, run.labels)) for run in runs]
    given = [(run, parents, source) for run, parents, source in found if source]
    for run, parents, source in given[1:]:
        if parents != given[0][1]:
            raise RunError(
                f"{printable(given[0][0].folder)} and {printable(run.folder)} have other categories "
                f"({printable(given[0][2], 80)} and {printable(source, 80)}): make the report of one again with "
                "--report-only and the --parents of the other"
            )
    return given[0][0].manifest["parents"] if given else None


def added_up(timings: Sequence[dict]) -> dict:
    """Stage times of runs made apart: seconds and videos added, the largest memory, all devices."""
    seconds: dict[str, float] = {}
    for timing in timings:
        for stage, value in (timing.get("seconds") or {}).items():
            seconds[stage] = round(seconds.get(stage, 0.0) + value, 3)
    number = sum(timing.get("num_videos") or 0 for timing in timings)
    working = seconds.get("wall", 0) - seconds.get("tuning", 0)
    return {
        "sessions": sum(timing.get("sessions") or 0 for timing in timings),
        "num_videos": number,
        "seconds": seconds,
        "clips_per_s": round(number / working, 3) if working > 0 else 0.0,
        "bottleneck": (timings[0] if timings else {}).get("bottleneck"),
        "peak_rss_mb": max((timing.get("peak_rss_mb") or 0 for timing in timings), default=0),
        "device_name": ", ".join(sorted({str(timing.get("device_name") or "") for timing in timings} - {""})),
    }


def write_absent(out: Path, runs: Sequence[Run]) -> None:
    """What the runs knew about annotated videos that are not there, each video once."""
    found = {item["video_id"]: item for run in runs for item in ledger.read_absent(run.folder)}
    if found:
        write_json(out / ledger.ABSENT, list(found.values()))


def refuse_other_rows(out: RunFolder, rows: Sequence[Row]) -> None:
    """Raise ``RunError`` where an earlier merge holds other rows than the runs now: one of them was made again."""
    changed = [row.video_id for row, now in zip(out.rows, rows) if not same_row(row, now)]
    if changed:
        videos = plural(len(changed), "video has", "videos have")
        raise RunError(
            f"{printable(out.folder)} holds an earlier merge, in which {videos} other rows "
            f"({printable(changed[0], 80)}{', ...' if changed[1:] else ''}); remove the folder, or use another --out"
        )


def write_run(out: Path, runs: Sequence[Run], manifest: dict, chosen: Sequence[tuple[int, Row]]) -> None:
    """Rows and logits of the chosen videos as a run folder, ``PIECE`` at a time."""
    logits = [open_logits(run.folder, len(run.rows)) for run in runs]
    shapes = {found.shape[1:] for found in logits}
    if len(shapes) > 1:
        raise RunError(f"these runs have logits of different shapes: {', '.join(map(str, sorted(shapes)))}")
    num_views, num_classes = shapes.pop()
    rows = [Row(**{**row.as_json(), "index": place}) for place, (_, row) in enumerate(chosen)]
    manifest = {**manifest, "run_name": out.name}
    with RunFolder(out, manifest, [_record(row) for row in rows], num_views, num_classes, PIECE) as run:
        refuse_other_rows(run, rows)
        for start in range(len(run.rows), len(rows), PIECE):
            part = chosen[start : start + PIECE]
            found = np.stack([logits[number][row.index] for number, row in part])
            run.append(rows[start : start + PIECE], found)
