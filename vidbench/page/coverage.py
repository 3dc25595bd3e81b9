"""Which of the annotated videos are behind the figures, and what became of the others."""

from __future__ import annotations

from collections.abc import Sequence

from vidbench.data import ledger as ledgers
from vidbench.records import STATUSES, Row

SKIPPED_SHOWN = 50  # of each status
CLASSES_SHOWN = 30  # of those that lack videos
FOLDED = 5  # more classes than this without one video read are a number, and a list that opens
LEDGER_WORDS = {  # what a state means in a run, where that is less than in a check of the whole copy
    "ok": "read and predicted",
    "truncated": "predicted from a part; the file is cut short or damaged",
    "not_drawn": "annotated, but not in the subset that this run is about",
    "elsewhere": "in another shard of this run",
}


def ledger_tables(ledger: dict) -> dict:
    """What became of every annotated video: ``{n, states, classes, num_lacking, gone, bounds}``.

    ``states`` are those that occur, as ``{name, meaning, count, share, reasons}``; ``classes`` the ``CLASSES_SHOWN``
    that lack most, as ``{label, read, listed, states}``; ``gone`` in their place those without one video read, where
    they are more than ``FOLDED``.
    """
    states = {name: count for name, count in ledger["states"].items() if count}
    states |= {name: ledger[f"n_{name}"] for name in ("not_drawn", "elsewhere") if ledger[f"n_{name}"]}
    shown = [
        {
            "name": name.replace("_", " "),
            "meaning": LEDGER_WORDS.get(name) or ledgers.STATES[name],
            "count": count,
            "share": count / ledger["n_annotated"],
            "reasons": [reason for reason in ledger["reasons"] if reason["state"] == name and reason["reason"]][:3],
        }
        for name, count in states.items()
    ]
    classes = [
        {
            "label": row["label"] or "(no class)",
            "read": sum(row[name] for name in ledgers.READ),
            "listed": row["listed"],
            "states": ", ".join(
                f"{row[name]} {name.replace('_', ' ')}" for name in ledgers.STATES if row[name] and name != "ok"
            ),
        }
        for row in ledger["classes"]
    ]
    any_read = any(ledger["states"][name] for name in ledgers.READ)
    gone, lacking = folded(classes, [not row["read"] for row in classes], any_read)
    few = {"classes": lacking[:CLASSES_SHOWN], "num_lacking": len(lacking), "gone": gone}
    return {"n": ledger["n_annotated"], "states": shown, "bounds": ledger["bounds"], **few}


def folded(lines: Sequence[dict], empty: Sequence[bool], any_read: bool) -> tuple[list[dict], list[dict]]:
    """Lines of classes of which nothing was read, where there are more than ``FOLDED``, and all others.

    A partial copy of a large dataset would otherwise be hidden behind the classes that it lacks. Where nothing at all
    was read, nothing is hidden.
    """
    if sum(empty) <= FOLDED or not any_read:
        return [], list(lines)
    return [line for line, no in zip(lines, empty) if no], [line for line, no in zip(lines, empty) if not no]


def skipped(rows: Sequence[Row]) -> list[dict]:
    """Videos skipped or read in part, by status: ``{status, meaning, count, rows, more}``, most frequent first."""
    by_status: dict[str, list[Row]] = {}
    for row in rows:
        if row.status != "ok":
            by_status.setdefault(row.status, []).append(row)
    return [
        {
            "status": status,
            "meaning": STATUSES[status],
            "count": len(found),
            "rows": found[:SKIPPED_SHOWN],
            "more": max(0, len(found) - SKIPPED_SHOWN),
        }
        for status, found in sorted(by_status.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
