"""What a study found, kept beside it so that the reports of its run and of others like it can show it; runs no model.

A study (``temporal``, ``robustness``) writes ``study.json`` next to its page. A report looks for such files in the
folders beside its run, and takes those that were made of the same weights, videos and input.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from vidbench.utils import printable, write_json

NAME, SCHEMA = "study.json", 1
KINDS = ("temporal", "robustness")
MOST_TEXT = 1 << 22  # characters; the largest real one has 100 kB
FOLDERS_SEARCHED = 500  # beside a run
_PROPORTION, _CHANGE = ("value", "low", "high", "k", "n"), ("value", "low", "high")

log = logging.getLogger(__name__)


def write_study(out: str | Path, kind: str, manifest: Mapping, facts: Mapping) -> None:
    """Write ``study.json`` into a study's folder.

    Args:
        out: the study's folder, which is there.
        kind: one of ``KINDS``.
        manifest: of the run on unchanged videos.
        facts: ``lines``, each with ``name``, ``accuracy`` and ``change``, and what else the report shows.

    Raises:
        OSError: the folder cannot be written to.
    """
    page = f"{kind}.html"
    write_json(Path(out) / NAME, {"schema": SCHEMA, "kind": kind, "page": page, "of": identity(manifest), **facts})


def figures(accuracy: Mapping, change: Mapping | None = None) -> dict:
    """One line's accuracy, and its change against the unchanged videos, as a study's file holds them."""
    kept = {"accuracy": {name: accuracy[name] for name in _PROPORTION}}
    return {**kept, "change": change and {name: change[name] for name in _CHANGE}}


def identity(manifest: Mapping) -> dict:
    """What a run and a study must share: model and weights, videos, and the input without a change of it."""
    model, dataset, spec = (manifest.get(name) or {} for name in ("model", "dataset", "spec"))
    return {
        "model": model.get("name"),
        "weights_sha256": model.get("weights_sha256"),
        "records_sha256": dataset.get("records_sha256"),
        "spec": spec,
    }


def studies_of(run_folder: str | Path, manifest: Mapping) -> list[dict]:
    """The studies of a run that lie beside it: in its own folder's neighbours, or around it; by kind, then folder.

    Damaged files are logged and left out.
    """
    folder, wanted = Path(run_folder).resolve(), identity(manifest)
    found: list = []
    if None in (wanted["model"], wanted["records_sha256"]):
        return found
    for place in _places(folder):
        facts = _read(place / NAME)
        if facts and facts["of"] == wanted:
            found.append({**facts, "folder": place.name})
    return sorted(found, key=lambda one: (KINDS.index(one["kind"]), one["folder"]))


def _places(folder: Path) -> list[Path]:
    around = [folder.parent, folder.parent.parent]  # a study's runs lie in its folder runs/
    try:
        beside = sorted(path for path in folder.parent.iterdir() if path != folder)[:FOLDERS_SEARCHED]
    except OSError:
        beside = []
    return [path for path in [*around, *beside] if (path / NAME).is_file()]


def _read(path: Path) -> dict | None:
    try:
        with open(path, encoding="utf-8") as file:
            facts = json.loads(file.read(MOST_TEXT))
        _check(facts)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        log.warning("%s is left out of the report: %s", printable(path), printable(problem, 100))
        return None
    return facts


def _check(facts: dict) -> None:
    """Raise ``ValueError``, ``KeyError`` or ``TypeError`` where a report could not show it."""
    if facts["schema"] != SCHEMA or facts["kind"] not in KINDS or not isinstance(facts["of"], dict):
        raise ValueError("not a study of this version")
    for line in facts["lines"]:
        numbers = [line["accuracy"][name] for name in _PROPORTION]
        numbers += [line["change"][name] for name in _CHANGE] if line["change"] else []
        if not all(isinstance(value, (int, float)) for value in numbers) or not isinstance(line["name"], str):
            raise ValueError(f"a line of {printable(line['name'], 40)} is no figure")
    if facts["kind"] == "robustness" and not all(isinstance(line["severity"], int) for line in facts["lines"]):
        raise ValueError("a line without a severity")
