"""What a model survives: the same videos made worse, and its errors relative to those of a single-frame model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench import intervals, studies
from vidbench.metrics import percent, points
from vidbench.page.fill import render
from vidbench.report import write_report
from vidbench.runs import results_in, section
from vidbench.utils import atomic_writer, plural, write_table
from vidbench.variants import Variant, beside, change_of, run_variants, single_frame_model, unchanged_facts


@dataclass(frozen=True, eq=False)
class Robustness:
    """What ``scripts/robustness.py`` says.

    Args:
        severities: in the order asked for.
        models: the model, and the single-frame model where there is one: ``{name, plain, lines}``, where ``lines`` are
            ``{corruption, cells}`` with a cell ``{accuracy, change}`` a severity (change: against its own plain run).
        errors: corruption error of each corruption; see ``corruption_errors``. ``None`` without a single-frame model.
        mean: ``{value, low, high}``, the mean corruption error; ``None`` without one, or where it cannot be computed.
        plain: the model's run on unchanged videos.
        skipped: whether more than 1 % of the videos were skipped in some run.
    """

    severities: tuple[int, ...]
    models: list[dict]
    errors: dict[str, float] | None
    mean: dict | None
    plain: Variant
    skipped: bool


def study(config, progress=None) -> Robustness:
    """Run a model, and a single-frame model, under each corruption at each severity.

    Args:
        config: a ``vidbench.study_arguments.RobustnessConfig``.
        progress: as for ``evaluate.evaluate``.

    Raises:
        VidbenchError: something asked for cannot be had; finished runs stay.
    """
    names, levels = tuple(dict.fromkeys(config.corruptions)), tuple(dict.fromkeys(config.severities))
    single = single_frame_model(config.single_frame, config.model, config.weights)
    models: list[dict] = [{}, beside(config, single)] if single else [{}]
    kinds = [None, *(f"{name}:{level}" for name in names for level in levels)]
    folder = str(Path(config.out) / "runs")
    asked = [
        (kind or "plain", config.evaluation(results_dir=folder, corrupt=kind, **model))
        for model in models
        for kind in kinds
    ]
    asked[0] = ("plain", config.evaluation(results_dir=folder, target=config.target))
    runs = run_variants(asked, progress)
    parts = [runs[start : start + len(kinds)] for start in range(0, len(runs), len(kinds))]
    groups = [row.group for row in runs[0].entry.rows]
    errors = mean = None
    if single:
        right = np.array([[run.entry.right for run in part[1:]] for part in parts])
        right = right.reshape(2, len(names), len(levels), -1)
        errors = dict(zip(names, map(float, corruption_errors(right))))
        mean = mean_with_interval(right, groups, config.seed)
    tables = [_table(part, names, levels) for part in parts]
    return Robustness(levels, tables, errors, mean, runs[0], any(run.skipped for run in runs))


def corruption_errors(right: np.ndarray) -> np.ndarray:
    """Errors of a model under each corruption over those of another, both added up over severities.

    Below 1 it makes fewer errors than the other.

    Args:
        right: bool, shape (2, corruptions, severities, videos): the model, and the one it is measured by.

    Returns:
        float64, shape (corruptions,); NaN where both make none, infinite where only the other makes none.

    Source:
        D. Hendrycks and T. Dietterich, 2019, https://arxiv.org/abs/1903.12261, where AlexNet is the other model.
    """
    ours, theirs = 1 - right.mean(-1).mean(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return ours / theirs


def mean_with_interval(right: np.ndarray, groups: list[str], seed: int) -> dict | None:
    """Mean corruption error with its 95 % interval from drawing groups of videos again.

    The ends are percentiles further out than 2.5 and 97.5, because few groups vary less than what they were drawn
    from. With 5 groups of 20 videos (correlation 0.3) the plain ones held the truth 83 times of 100, these 91 times;
    with 12 of 12 91 and 94 (600 draws).

    Args:
        right: as for ``corruption_errors``.
        groups: N names; an empty one is a group of its own.
        seed: of the draws.

    Returns:
        ``{value, low, high}``; ``None`` where the mean is not finite. With a single group nothing is known, and the
        interval is 0 to infinity.

    Source:
        Expanded percentiles: T. C. Hesterberg, 2015, https://doi.org/10.1080/00031305.2015.1089789, section 3.2; with
        the degrees of freedom of ``intervals.group_freedom``.
    """
    from scipy.special import ndtr

    value = float(corruption_errors(right).mean())
    if not np.isfinite(value):
        return None
    numbers, wrong = intervals.group_numbers(groups), (~right).sum(2)
    sums = np.stack([[intervals.sums_by_group(line, numbers)[0] for line in model] for model in wrong])
    if sums.shape[-1] == 1 < len(groups):
        return {"value": value, "low": 0.0, "high": math.inf}
    rng, num_groups, found = np.random.default_rng(seed), sums.shape[-1], []
    for _ in range(intervals.BOOTSTRAPS):
        ours, theirs = sums @ rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups))
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(np.mean(ours / theirs))
    freedom = intervals.group_freedom(numbers)
    tail = float(ndtr(-math.sqrt(1 + 1 / freedom) * intervals.student(freedom)))
    low, high = np.nanquantile(found, [tail, 1 - tail], method="inverted_cdf")
    return {"value": value, "low": float(low), "high": float(high)}


def _table(part: list[Variant], names, levels) -> dict:
    plain, *others = part
    cells = [{"accuracy": run.entry.accuracy, "change": change_of(plain.entry, run.entry)} for run in others]
    lines = [
        {"corruption": name, "cells": cells[place * len(levels) : (place + 1) * len(levels)]}
        for place, name in enumerate(names)
    ]
    return {"name": plain.model, "plain": plain.entry.accuracy, "lines": lines}


# ---------------------------------------------------------------- what is said and written


def text(found: Robustness) -> str:
    """Tables for a terminal: top-1 by severity, and the corruption error."""
    width, lines = max(len(line["corruption"]) for line in found.models[0]["lines"]), []
    for place, model in enumerate(found.models):
        errors = None if place else found.errors
        last = "      CE" if errors else ""
        videos = plural(model["plain"]["n"], "video")
        lines.append(f"top-1 of {model['name']} on {videos}; unchanged {percent(model['plain'])}")
        lines.append(f"  {'severity':{width}}  " + "  ".join(f"{level:5d}" for level in found.severities) + last)
        for line in model["lines"]:
            figures = "  ".join(f"{100 * cell['accuracy']['value']:5.1f}" for cell in line["cells"])
            error = f"  {errors[line['corruption']]:6.2f}" if errors else ""
            lines.append(f"  {line['corruption']:{width}}  {figures}{error}")
        if not place:  # before the single-frame model, of which neither is said
            lines += [f"{name:<11}{words}" for name, words in unchanged_facts(found.plain).items()]
    return "\n".join([*lines, mean_words(found)])


def mean_words(found: Robustness) -> str:
    """The mean corruption error in one line."""
    if found.errors is None:
        if section(found.plain.entry.run.manifest, "spec").get("layout") == "NCHW":
            return "the model itself sees single frames: no corruption error (--single-frame names another one)"
        return "no single-frame model of these classes was run: no corruption error (--single-frame names one)"
    other = found.models[1]["name"]
    if found.mean is None:
        return f"mean corruption error: not finite, because {other} makes no error under some corruption"
    value, low, high = (found.mean[name] for name in ("value", "low", "high"))
    return f"mean corruption error {value:.2f} [{low:.2f}, {high:.2f}] of the errors of {other}"


def write_study(found: Robustness, out: str | Path) -> Path:
    """Write ``robustness.csv``, ``robustness.html`` and ``study.json`` into a folder; gives the page's path.

    The report of the run on unchanged videos is made again, with the table in it.

    Raises:
        RunError: the folder cannot be written to.
    """
    with results_in(out) as out:
        write_table(out / "robustness.csv", csv_lines(found))
        page = render(page_content(found), "robustness.html.j2")
        with atomic_writer(out / "robustness.html", "w") as file:
            file.write(page)
        studies.write_study(out, "robustness", found.plain.entry.run.manifest, facts(found))
        write_report(found.plain.entry.run.folder)
    return out / "robustness.html"


def facts(found: Robustness) -> dict:
    """What the report of a run shows of the study: the model's own table, and the mean corruption error in words."""
    lines = [
        {"name": line["corruption"], "severity": level, **studies.figures(cell["accuracy"], cell["change"])}
        for line in found.models[0]["lines"]
        for level, cell in zip(found.severities, line["cells"])
    ]
    return {"lines": lines, "plain": studies.figures(found.models[0]["plain"])["accuracy"], "mean": mean_words(found)}


def csv_lines(found: Robustness) -> list[dict]:
    """A line for each model, corruption and severity."""
    return [
        {"model": model["name"], "corruption": line["corruption"], "severity": level}
        | {name: cell["accuracy"][name] for name in ("value", "low", "high", "k", "n")}
        | {f"change_{name}": cell["change"][name] for name in ("value", "low", "high")}
        | {"corruption_error": (found.errors or {}).get(line["corruption"]) if model is found.models[0] else None}
        for model in found.models
        for line in model["lines"]
        for level, cell in zip(found.severities, line["cells"])
    ]


def page_content(found: Robustness) -> dict:
    """Everything that the page shows, as plain values."""
    dataset = section(found.plain.entry.run.manifest, "dataset")
    models = [
        {**model, "lines": [{**line, "cells": [_shown(cell) for cell in line["cells"]]} for line in model["lines"]]}
        for model in found.models
    ]
    return {
        "model": found.plain.model,
        "data": f"{dataset.get('name') or ''} {dataset.get('split') or ''}".strip(),
        "n": len(found.plain.entry.right),
        "severities": found.severities,
        "models": models,
        "errors": found.errors,
        "mean": mean_words(found),
        "made": unchanged_facts(found.plain),
        "random": found.plain.entry.random,
    }


def _shown(cell: dict) -> dict:
    return {"accuracy": cell["accuracy"], "points": points(cell["change"])}
