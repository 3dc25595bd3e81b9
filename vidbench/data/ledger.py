"""The ledger of a list of videos: each in exactly one state, what that leaves open, and the same for a run.

Knows rows and records; opens no video. ``vidbench.data.check`` makes a ledger by reading a copy, a run has one because
every listed video ends as one row.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.records import Row, RunError, VideoRecord
from vidbench.utils import plural, printable, write_json, write_table

STATES = {
    "ok": "read as far as it was looked at",
    "truncated": "gives pictures, but is cut short or damaged",
    "too_short": "fewer pictures than asked for",
    "undecodable": "gives no usable picture",
    "not_hosted": "the source's archives were read to their end and do not hold it",
    "not_fetched": "not asked for yet, or its archive not read yet",
    "fetch_failed": "was asked for and did not arrive",
    "not_there": "no such file, and no record of a fetch says why",
    "unusable_entry": "its line in the list cannot be used: unknown label, listed twice, damaged",
    "no_class": "the model has no class for it, so that a run does not read it",
    "no_answer": "was read, and the network gave no number",
}
READ = ("ok", "truncated")
FETCH_STATES = ("not_hosted", "not_fetched", "fetch_failed")
SURELY_WRONG = ("no_class", "no_answer")  # no better copy of the video would change that
STATE_OF = {"ok": "ok", "partial": "truncated", "too_short": "too_short", "missing": "not_there"}
STATE_OF |= {"nonfinite": "no_answer"} | dict.fromkeys(("unknown_label", "duplicate", "bad_row"), "unusable_entry")


def state_of(status: str) -> str:
    """The state of a video by its status; ``undecodable`` for all that has no state of its own."""
    return STATE_OF.get(status, "undecodable")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger.

    Args:
        record: the listed video, as a record or as the row of a run.
        state: one of ``STATES``.
        status: the finer word of ``vidbench.records.STATUSES``.
        reason: one sentence where the state is not ``ok``.
        num_frames: pictures in the file, 0 where unknown.
        file_size: bytes, 0 where there is no file.
    """

    record: VideoRecord | Row
    state: str
    status: str
    reason: str = ""
    num_frames: int = 0
    file_size: int = 0


def count_states(entries: Iterable[Entry]) -> dict[str, int]:
    """How many videos are in each of ``STATES``, in its order; they add up to the number listed."""
    counts = Counter(entry.state for entry in entries)
    return {state: counts[state] for state in STATES}


def by_class(entries: Iterable[Entry]) -> list[dict]:
    """A row for each class in order of its index: ``label``, ``listed``, and a count for each of ``STATES``."""
    rows: dict[tuple[int, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        rows[entry.record.label_index, entry.record.label or ""].append(entry)
    keys = sorted(rows, key=lambda key: (key[0] < 0, key))
    return [{"label": key[1], "listed": len(rows[key]), **count_states(rows[key])} for key in keys]


def accuracy_bounds(num_correct: int, num_read: int, num_listed: int) -> tuple[float, float]:
    """What the accuracy over all listed videos can be when only some could be read.

    Args:
        num_correct: right answers among those read.
        num_read: videos read.
        num_listed: videos listed, at least 1.

    Returns:
        ``(low, high)`` in [0, 1]: every video that was not read counted as wrong, and as right.

    Raises:
        ValueError: numbers that do not fit together.

    >>> accuracy_bounds(60, 90, 100)
    (0.6, 0.7)
    """
    if not 0 <= num_correct <= num_read <= num_listed or num_listed < 1:
        raise ValueError(f"expected correct <= read <= listed, got {num_correct}, {num_read}, {num_listed}")
    return num_correct / num_listed, (num_correct + num_listed - num_read) / num_listed


def write_ledger(entries: Sequence[Entry], folder: str | os.PathLike) -> list[Path]:
    """Write ``ledger.csv`` (a row a video), ``classes.csv`` (a row a class) and ``broken.csv`` (files that are there
    and not ``ok``, which are worth fetching again); returns their paths. Raises ``OSError``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    broken = [entry for entry in entries if entry.state in ("truncated", "undecodable", "too_short")]
    write_table(folder / "classes.csv", by_class(entries), ["label", "listed", *STATES])
    return [write_videos(entries, folder), folder / "classes.csv", write_videos(broken, folder, "broken.csv")]


def write_videos(entries: Iterable[Entry], folder: Path, name: str = "ledger.csv") -> Path:
    """Write a table with a row a video and return its path; raises ``OSError``."""
    header = ["video_id", "label", "split", "state", "status", "reason", "num_frames", "file_size", "path"]
    write_table(folder / name, map(_ledger_line, entries), header)
    return folder / name


def _ledger_line(entry: Entry) -> dict:
    r = entry.record
    line: dict = {"video_id": r.video_id, "label": r.label or "", "split": r.split, "state": entry.state}
    line |= {"status": entry.status, "reason": entry.reason, "num_frames": entry.num_frames}
    return line | {"file_size": entry.file_size, "path": r.path}


def describe_ledger(entries: Sequence[Entry], num_correct: int | None = None) -> str:
    """The ledger in a few lines: counts by state, what they do to an accuracy, and the classes that lack most.

    Args:
        entries: one a listed video.
        num_correct: right answers of a run among the readable videos, where one is at hand.
    """
    counts, listed = count_states(entries), len(entries)
    read = counts["ok"] + counts["truncated"]
    named = [f"{number} {state.replace('_', ' ')}" for state, number in counts.items() if number]
    lines = [f"listed     {plural(listed, 'video')}: {', '.join(named)}"]
    if not listed or read == listed:
        return lines[0]
    shown = 0.7 * read if num_correct is None else num_correct
    low, high = shown / listed, (shown + listed - read) / listed
    what = "an accuracy of 70.0 %" if num_correct is None else f"{num_correct} right answers"
    lines.append(
        f"bounds     {what} over the {read} readable videos {'is' if num_correct is None else 'are'} "
        f"{100 * low:.1f} to {100 * high:.1f} % over all {listed} (not read = wrong, not read = right)"
    )
    worst = sorted(by_class(entries), key=lambda row: (row["ok"] + row["truncated"]) / row["listed"])
    lacking = [row for row in worst if row["ok"] + row["truncated"] < row["listed"]]
    if len(worst) > 1:
        words = [f"{printable(r['label'], 40)} {r['ok'] + r['truncated']}/{r['listed']}" for r in lacking[:4]]
        lines.append(f"classes    {len(lacking)} of {len(worst)} lack videos: {', '.join(words)}")
    return "\n".join(lines)


# ---------------------------------------------------------------- the ledger of a run

ABSENT = "absent.json"  # in a run folder
NUM_REASONS = 30


def write_absent(
    folder: Path, listed: Iterable[VideoRecord], left_out: Iterable[VideoRecord], fetched: Mapping
) -> None:
    """Keep in a run folder what is known about annotated videos whose files are not there; nothing where all are.

    Args:
        folder: of the run; ``absent.json`` is written there.
        listed: records of the run.
        left_out: annotated videos that ``--present-only`` took off the list, because they are not there.
        fetched: by video id ``(state, reason)``, see ``vidbench.data.check.fetch_states``.
    """
    facts = []
    for is_listed, records in ((True, listed), (False, left_out)):
        for r in records:
            if r.status == "missing":
                state, reason = fetched.get(r.video_id, ("not_there", r.reason))
                names = ("video_id", "path", "label", "label_index", "split", "group")
                facts.append(
                    {n: getattr(r, n) for n in names} | {"state": state, "reason": reason, "listed": is_listed}
                )
    if facts:
        write_json(folder / ABSENT, facts)
    else:
        (folder / ABSENT).unlink(missing_ok=True)


def read_absent(folder: Path, *, whole: bool = True) -> list[dict]:
    """What ``write_absent`` kept; empty where it kept nothing.

    Args:
        folder: of the run.
        whole: ``False`` for a run over a shard, which answers for the videos of its own list alone.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / ABSENT
    try:
        facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        for item in facts:
            VideoRecord(*(item[name] for name in ("video_id", "path", "label", "label_index", "split", "group")))
            if item["state"] not in STATES or not isinstance(item["reason"], str):
                raise ValueError(f"state {item['state']!r}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise RunError(f"{printable(path)} is damaged: {printable(problem, 120)}; run the command again.") from None
    return [item for item in facts if whole or item["listed"]]


def run_ledger(rows: Iterable[Row], absent: Iterable[Mapping] = ()) -> list[Entry]:
    """The ledger of a run: its rows in their order, then the annotated videos that ``--present-only`` left out.

    Args:
        rows: of the run, one a listed video.
        absent: what ``read_absent`` gave.
    """
    absent = list(absent)
    known = {item["video_id"]: item for item in absent if item["listed"]}
    entries = [_entry_of_row(row, known.get(row.video_id)) for row in rows]
    for item in absent:
        if not item["listed"]:
            names = ("video_id", "path", "label", "label_index", "split", "group")
            record = VideoRecord(**{name: item[name] for name in names}, status="missing", reason=item["reason"])
            entries.append(Entry(record, item["state"], "missing", item["reason"]))
    return entries


def _entry_of_row(row: Row, absent: Mapping | None) -> Entry:
    state, reason = state_of(row.status), row.reason
    if state == "not_there" and absent:
        state, reason = absent["state"], absent["reason"]
    if row.status == "unknown_label" and row.label_index >= 0:
        state = "no_class"
    return Entry(row, state, row.status, reason, row.num_frames, row.file_size)


def summarise_ledger(entries: Sequence[Entry], metrics: Mapping, dataset: Mapping) -> dict:
    """A run's ledger as it stands in ``metrics.json``.

    Args:
        entries: what ``run_ledger`` gave.
        metrics: what ``vidbench.metrics.summarise`` gave for the run's rows.
        dataset: the section of the run's manifest: ``--limit`` drew ``n_in_list`` of ``n_in_split`` videos, and of
            these ``n_listed`` are in this shard.

    Returns:
        ``n_annotated``: the videos of ``states``, ``n_not_drawn`` and ``n_elsewhere`` together; ``states``: counts;
        ``reasons``: the most frequent ones as ``{state, reason, count}``, numbers in them written as N; ``classes``: a
        row of ``by_class`` for each class of which some video was not read, those that lack most first; ``bounds``:
        ``{low, high, n, n_read, n_lost}`` of the top-1 accuracy, every video that was not read counted as wrong and as
        right (``n_lost`` of them stand under ``n_read``: the model lacks their class, so they are wrong in both); or
        ``None`` where there is no label, or where the run is a sample of a partial copy.
    """
    in_list = dataset.get("n_in_list") or dataset.get("n_listed") or 0
    not_drawn = max(0, (dataset.get("n_in_split") or in_list) - in_list)
    elsewhere = max(0, in_list - (dataset.get("n_listed") or in_list))
    reasons = Counter((e.state, re.sub(r"\d+", "N", e.reason)) for e in entries if e.state != "ok")
    lacking = [row for row in by_class(entries) if sum(row[state] for state in READ) < row["listed"]]
    lacking.sort(key=lambda row: sum(row[state] for state in READ) / row["listed"])
    return {
        "n_annotated": len(entries) + not_drawn + elsewhere,
        "n_not_drawn": not_drawn,
        "n_elsewhere": elsewhere,
        "states": count_states(entries),
        "reasons": [{"state": s, "reason": r, "count": n} for (s, r), n in reasons.most_common(NUM_REASONS)],
        "classes": lacking,
        "bounds": _bounds(entries, metrics, not_drawn),
    }


def _bounds(entries: Sequence[Entry], metrics: Mapping, not_drawn: int) -> dict | None:
    top1 = metrics["listed"].get("top1")
    left_out = [entry for entry in entries if not isinstance(entry.record, Row)]
    if top1 is None or (left_out and not_drawn):
        return None
    counted = [e for e in entries if e.record.label is not None or e.record.label_index >= 0 or e.status == "bad_row"]
    unmapped = set(metrics.get("unmapped") or ())  # classes that the model cannot answer, whatever the video shows
    not_read = [e.record.label in unmapped for e in counted if e.state not in (*READ, *SURELY_WRONG)]
    lost, unread = not_read.count(True), not_read.count(False)
    low, high = accuracy_bounds(top1["k"], len(counted) - unread, len(counted))
    return {"low": low, "high": high, "n": len(counted), "n_read": len(counted) - unread, "n_lost": lost}


def bounds_words(ledger: Mapping) -> str:
    """What a run leaves open, in a few words; empty where every annotated video was read.

    >>> bounds_words({"bounds": {"low": 0.6, "high": 0.7, "n": 100, "n_read": 90}})
    'top-1 over all 100 annotated videos is 60.0 to 70.0 % (10 not read: all wrong, or all right)'
    """
    bounds = ledger.get("bounds")
    if not bounds or bounds["n_read"] == bounds["n"]:
        return ""
    ends = f"{100 * bounds['low']:.1f} to {100 * bounds['high']:.1f} %"
    unread, lost = bounds["n"] - bounds["n_read"], bounds.get("n_lost")  # runs of earlier versions do not have it
    words = f"{unread} not read: all wrong, or all right"
    words += f"; {lost} more are of classes that the model lacks" if lost else ""
    return f"top-1 over all {bounds['n']} annotated videos is {ends} ({words})"
