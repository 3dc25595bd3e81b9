"""Models, datasets and runs by name, as a table for people or as JSON for programs."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import os
from collections.abc import Callable
from pathlib import Path

from vidbench.manifest_words import frames_words, views_words
from vidbench.records import RANDOM_NOTE, ConfigError, RunError
from vidbench.utils import nearest_hint, printable


def listing(config) -> str:
    """What ``vidbench ls`` prints.

    Args:
        config: an ``ask_arguments.LsConfig``.

    Raises:
        ConfigError: no name matches, with the nearest ones; or there is no folder of runs.
    """
    lines, titles = LISTED[config.what](config)
    if config.json:
        return json.dumps(lines, indent=1)
    return table([titles, *([_cell(value) for value in line.values()] for line in lines)])


def matching(names: list[str], pattern: str, what: str, also: Callable[[str], str] = str) -> list[str]:
    """The names that a shell pattern matches, or, where it has no ``*``, ``?`` or ``[``, that contain it.

    Args:
        names: to choose from; their order is kept.
        pattern: see above; capitals count.
        what: the names' kind in the plural, for the error.
        also: gives another word for a name, by which it is found too.

    Raises:
        ConfigError: none matches; it names the nearest.

    >>> matching(["mini2d.vidmini_v1", "s3d.k400"], "k4", "models"), matching(["mini2d", "s3d"], "s*", "models")
    (['s3d.k400'], ['s3d'])
    """
    whole = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    found = [name for name in names if any(fnmatch.fnmatchcase(word, whole) for word in (name, also(name)))]
    if names and not found:
        raise ConfigError(
            f"none of the {len(names)} {what} is called {printable(pattern, 60)!r}.{nearest_hint(pattern, names)}"
        )
    return found


def models(config) -> tuple[list[dict], list[str]]:
    """A line for each card of weights, found by its name or by its classes'.

    It says what the model takes, knows, costs and is reported to score.
    """
    from vidbench.models import CARDS

    titles = ["model", "classes", "views", "parameters", "weights", "published top-1"]
    found = matching(list(CARDS), config.pattern, "models", lambda name: CARDS[name].labels)
    return [_model_line(CARDS[name]) for name in found], titles


def _model_line(card) -> dict:
    reported = card.reported if card.reported and card.reported.top1 is not None else None
    if card.weights.absent:
        where = "none"
    else:
        where = "by download" if card.weights.url else "shipped"
    spec = dataclasses.asdict(card.input)
    return {
        "name": card.name,
        "classes": f"{card.num_classes} {card.labels}",
        "views": f"{views_words(spec)}, {frames_words(spec)}",
        "params": card.params or None,
        "weights": where,
        "reported": f"{reported.top1:g} % on {reported.on}" if reported else None,
    }


def datasets(config) -> tuple[list[dict], list[str]]:
    """A line for each dataset: how many videos are listed, how it comes, and whether a copy lies at its usual place."""
    from vidbench.data.catalog import DATASETS

    titles = ["dataset", "listed", "how it comes", "usual place", "there"]
    return [_dataset_line(DATASETS[name]) for name in matching(list(DATASETS), config.pattern, "datasets")], titles


def _dataset_line(card) -> dict:
    return {
        "name": card.name,
        "listed": ", ".join(f"{split} {count:,}" for split, count in card.counts) or None,
        "comes": card.comes or "you bring it",
        "folder": os.path.relpath(card.default_dir),
        "there": Path(card.default_dir).is_dir(),
    }


def runs(config) -> tuple[list[dict], list[str]]:
    """A line for each evaluation and training, the one that changed last first."""
    from vidbench.browse import Results

    folder = Path(config.results_dir)
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {printable(folder, 160)}: name the one with your runs in --results-dir.")
    found = {run.name: run for run in Results(folder).folders()}
    if not found:
        raise ConfigError(f"{printable(folder, 160)} holds no runs: evaluate a model first, or name another folder.")
    titles = ["run", "model", "data", "top-1", "changed"]
    return [_run_line(found[name]) for name in matching(list(found), config.pattern, "runs")], titles


def _run_line(run) -> dict:
    from vidbench.browse import line_of
    from vidbench.metrics import summary_line

    line = line_of(run)
    if run.training:
        return _training_line(run, line["changed"])
    figure = summary_line(run.metrics) if run.metrics else None
    if line["random"]:
        figure = RANDOM_NOTE
    return {
        "name": run.name,
        "model": line["model"],
        "data": line["dataset"],
        "top1": line["problem"] or figure,
        "changed": line["changed"],
    }


def _training_line(run, changed: str) -> dict:
    from vidbench.runs import read_json, section

    recipe = section(run.manifest, "recipe")
    try:
        figure = str(read_json(run.folder / "best.json")["summary"])
    except (RunError, KeyError):
        figure = "no epoch is whole yet"
    return {
        "name": run.name,
        "model": str(recipe.get("model") or ""),
        "data": f"{recipe.get('dataset') or ''} {recipe.get('split') or ''}".strip(),
        "top1": f"training: {figure}",
        "changed": changed,
    }


LISTED: dict[str, Callable] = {"models": models, "datasets": datasets, "runs": runs}


def table(rows: list[list[str]]) -> str:
    """Rows of cells in columns; the first row is the head.

    >>> print(table([["a", "b"], ["long", "c"]]))
    a     b
    long  c
    """
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _cell(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value / 1e6:.2f} M"
    return "-" if value is None else printable(value)
