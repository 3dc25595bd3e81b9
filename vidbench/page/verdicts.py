"""What others published beside a run's figure: the verdict on each, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vidbench import protocol
from vidbench.data import ledger as ledgers
from vidbench.manifest_words import value_words
from vidbench.records import Row
from vidbench.runs import section

VERDICTS = {  # how it is shown, and what it means in a few words; vidbench.protocol has the whole of it
    protocol.REPRODUCED: ("good", "the same protocol, the whole split, and a figure as close as can be told"),
    protocol.CONSISTENT: ("fair", "nothing is known to differ, and the figure lies inside the interval"),
    protocol.NOT_REPRODUCED: ("bad", "nothing is known to differ, and the figure lies outside the interval"),
    protocol.NOT_COMPARABLE: ("apart", "the protocol differs, so that the figures are of different things"),
}


def verdict_lines(found: Sequence[dict]) -> list[dict]:
    """Verdicts for the page: each with ``kind``, ``meaning``, its figure as ``shown``, and a ``link`` or ``None``."""
    lines = []
    for one in found:
        kind, meaning = VERDICTS[one["verdict"]]
        figure = f"{100 * one['top1']:.{one['digits']}f}"
        lines.append({**one, "kind": kind, "meaning": meaning, "shown": figure, "link": _link(one["source"])})
    return lines


def closest_verdict(folder: Path, manifest: dict, rows: Sequence[Row], metrics: dict) -> dict | None:
    """The verdict on the published result whose protocol is closest, as ``verdict_lines`` has it; ``None`` without one.

    Raises:
        RunError: what is known of absent videos is damaged.
    """
    dataset = section(manifest, "dataset")
    absent = ledgers.read_absent(folder, whole=not dataset.get("shard"))
    ledger = ledgers.summarise_ledger(ledgers.run_ledger(rows, absent), metrics, dataset)
    return next(iter(verdict_lines(protocol.verdicts(manifest, metrics, ledger))), None)


def _link(source: str) -> str | None:
    return source if re.match(r"https?://[\w.-]+(/|$)", source) else None


def reported(value) -> list[dict]:
    """What others published, each as ``{figures, facts, link}``; apart from ours because their protocol is theirs."""
    found = []
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(item, dict):
            continue
        given = {key: entry for key, entry in item.items() if entry not in (None, "", [], ())}
        source = str(given.pop("source", ""))
        numbers = {key: given.pop(key) for key in ("top1", "top5") if isinstance(given.get(key), (int, float))}
        facts = {key.replace("_", " "): value_words(entry) for key, entry in given.items()}
        found.append({"figures": numbers, "facts": facts, "source": source, "link": _link(source)})
    return found
