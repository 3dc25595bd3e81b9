"""Does a model need time? The same videos shuffled, reversed, stopped and slowed, and which classes suffer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench import compare, intervals, studies
from vidbench.metrics import percent, points
from vidbench.page.fill import render
from vidbench.report import write_report
from vidbench.runs import results_in, section
from vidbench.utils import atomic_writer, plural, printable, write_table
from vidbench.variants import Variant, beside, change_of, run_variants, single_frame_model, unchanged_facts

MOVING = ("shuffle", "reverse")  # changes of order alone: every frame is still there


@dataclass(frozen=True, eq=False)
class Study:
    """What ``scripts/temporal.py`` says.

    Args:
        plain: the run on unchanged videos.
        changes: ``{name, entry, change, p, holm}`` of each changed run against it.
        single: the run of the model that scores single frames, or ``None``; ``change`` is against the plain run.
        classes: one a class, those that need time most first: ``{label, n, plain, changes, worst, needs_time,
            turned}``. There ``changes`` are paired differences by name, and ``turned`` is the most frequent answer once
            reversed.
        skipped: whether more than 1 % of the videos were skipped in some run.
    """

    plain: Variant
    changes: list[dict]
    single: dict | None
    classes: list[dict]
    skipped: bool

    @property
    def moved(self) -> bool:
        """Whether some change was one of order alone."""
        return any(line["name"] in MOVING for line in self.changes)


def study(config, progress=None) -> Study:
    """Run a model on the same videos under each change of time, and the single-frame model on the unchanged ones.

    Args:
        config: a ``vidbench.study_arguments.TemporalConfig``.
        progress: as for ``evaluate.evaluate``.

    Raises:
        VidbenchError: something asked for cannot be had; finished runs stay.
    """
    single = single_frame_model(config.single_frame, config.model, config.weights)
    changes: dict[str, dict] = {"plain": {"target": config.target}}
    changes |= {name: {"temporal": name} for name in config.changes}
    changes |= {single: beside(config, single)} if single else {}
    folder = str(Path(config.out) / "runs")
    asked = [(name, config.evaluation(results_dir=folder, **change)) for name, change in changes.items()]
    runs = run_variants(asked, progress, keep=("plain", "reverse"))
    plain, changed, alone = runs[0], runs[1 : len(runs) - bool(single)], runs[-1] if single else None
    found = [_against(plain, variant) for variant in changed]
    for line, corrected in zip(found, intervals.holm([line["p"] for line in found])):
        line["holm"] = corrected
    return Study(
        plain,
        found,
        _against(plain, alone) if alone else None,
        class_lines(plain, changed),
        any(run.skipped for run in runs),
    )


def _against(plain: Variant, variant: Variant) -> dict:
    groups = [row.group for row in plain.entry.rows]
    p = intervals.sign_flip_test(plain.entry.right, variant.entry.right, groups)
    change = change_of(plain.entry, variant.entry)
    return {"name": variant.name, "entry": variant.entry, "change": change, "p": p}


def class_lines(plain: Variant, changed: list[Variant]) -> list[dict]:
    """What each change does to each class; see ``Study``. A class needs time where a changed order alone hurts it."""
    rows, lines = plain.entry.rows, []
    labels = np.array([row.label_index for row in rows])
    for label in np.unique(labels[labels >= 0]):
        places = np.flatnonzero(labels == label)
        right = plain.entry.right[places]
        changes = {variant.name: change_of(plain.entry, variant.entry, places) for variant in changed}
        moved = [changes[name] for name in MOVING if name in changes]
        turned = next((_commonest(variant.entry, places) for variant in changed if variant.name == "reverse"), "")
        lines.append(
            {
                "label": rows[places[0]].label,
                "n": len(places),
                "plain": intervals.clustered_proportion(right, [rows[place].group for place in places]),
                "changes": changes,
                "worst": min((change["value"] for change in moved), default=0.0),
                "needs_time": any(change["high"] < 0 for change in moved),
                "turned": turned,
            }
        )
    return sorted(lines, key=lambda line: (line["worst"], _sum_of_orders(line), line["label"]))


def _sum_of_orders(line: dict) -> float:
    return sum(change["value"] for name, change in line["changes"].items() if name in MOVING)


def _commonest(entry: compare.Entry, places: np.ndarray) -> str:
    """``StandUp 12 of 12``: the most frequent answer to some videos."""
    said = Counter(entry.rows[place].top[0][0] if entry.rows[place].top else "no answer" for place in places)
    label, count = max(said.items(), key=lambda item: (item[1], item[0]))
    return f"{label} {count} of {len(places)}"


# ---------------------------------------------------------------- what is said and written


def order_words(found: Study) -> str:
    """How many classes a changed order hurts, or that none was asked for."""
    if not found.moved:
        return f"no change of order was asked for, so no class can show that it needs time: {' or '.join(MOVING)} would"
    needing = sum(line["needs_time"] for line in found.classes)
    return f"classes that a changed order alone hurts: {needing} of {len(found.classes)}"


def text(found: Study) -> str:
    """A few lines for a terminal."""
    name, runs = found.plain.model, [*found.changes, *([found.single] if found.single else [])]
    width = max(len(line["name"]) for line in [*runs, {"name": "unchanged"}])
    videos = plural(len(found.plain.entry.right), "video")
    lines = [f"top-1 of {name} on {videos}, and its change in points with 95 % intervals"]
    lines.append(f"  {'unchanged':{width}}  {percent(found.plain.entry.accuracy)}")
    for line in runs:
        corrected = "holm" in line and intervals.p_words(line["holm"], "p")
        holm = f"  {corrected} after Holm's correction" if corrected else "  (single frames)"
        lines.append(f"  {line['name']:{width}}  {percent(line['entry'].accuracy)}  {points(line['change'])}{holm}")
    lines += [f"{name:<11}{words}" for name, words in unchanged_facts(found.plain).items()]
    lines.append(order_words(found))
    if not found.moved:
        return "\n".join(lines)
    width = max(len(printable(line["label"], 30)) for line in found.classes)
    for line in found.classes[:20]:
        words = "  ".join(
            f"{name} {100 * line['changes'][name]['value']:+.0f}" for name in MOVING if name in line["changes"]
        )
        turned = f"  reversed, it says {printable(line['turned'], 60)}" if line["turned"] else ""
        mark = "needs time" if line["needs_time"] else "not shown "
        lines.append(f"  {printable(line['label'], 30):{width}}  {mark}  {words}{turned}")
    more = len(found.classes) - 20
    return "\n".join(lines + ([f"  and {more} more in classes.csv"] if more > 0 else []))


def write_study(found: Study, out: str | Path) -> Path:
    """Write ``changes.csv``, ``classes.csv``, ``temporal.html`` and ``study.json`` into a folder; gives the page.

    The report of the run on unchanged videos is made again, with the table in it.

    Raises:
        RunError: the folder cannot be written to.
    """
    lines = [{"name": "unchanged", "entry": found.plain.entry, "change": None}, *found.changes]
    lines += [found.single] if found.single else []
    with results_in(out) as out:
        write_table(out / "changes.csv", [_change_line(line) for line in lines])
        write_table(out / "classes.csv", [_class_line(line) for line in found.classes])
        page = render(page_content(found), "temporal.html.j2")
        with atomic_writer(out / "temporal.html", "w") as file:
            file.write(page)
        studies.write_study(out, "temporal", found.plain.entry.run.manifest, facts(found))
        write_report(found.plain.entry.run.folder)
    return out / "temporal.html"


def facts(found: Study) -> dict:
    """What the report of a run shows of the study."""
    lines = [{"name": "unchanged", **studies.figures(found.plain.entry.accuracy)}]
    for line in found.changes:
        lines.append({"name": line["name"], **studies.figures(line["entry"].accuracy, line["change"])})
    if found.single:
        name = f"{found.single['name']}, single frames, unchanged"
        lines.append({"name": name, **studies.figures(found.single["entry"].accuracy, found.single["change"])})
    needing = sum(line["needs_time"] for line in found.classes) if found.moved else None
    return {"lines": lines, "needing": needing, "num_classes": len(found.classes)}


def _change_line(line: dict) -> dict:
    change = line["change"] or {}
    table = {
        "change": line["name"],
        **{name: line["entry"].accuracy[name] for name in ("value", "low", "high", "k", "n")},
    }
    table |= {f"change_{name}": change.get(name) for name in ("value", "low", "high")}
    table |= {"only_unchanged": change.get("only_a"), "only_changed": change.get("only_b")}
    return table | {"p": line.get("p"), "p_holm": line.get("holm")}


def _class_line(line: dict) -> dict:
    table = {"label": line["label"], "n": line["n"], "unchanged": line["plain"]["value"]}
    for name, change in line["changes"].items():
        table |= {f"{name} {part}": change[part] for part in ("value", "low", "high")}
    return table | {"needs_time": str(line["needs_time"]).lower(), "reversed_it_says": line["turned"]}


def page_content(found: Study) -> dict:
    """Everything that the page shows, as plain values."""
    manifest = found.plain.entry.run.manifest
    dataset = section(manifest, "dataset")
    return {
        "model": found.plain.model,
        "data": f"{dataset.get('name') or ''} {dataset.get('split') or ''}".strip(),
        "n": len(found.plain.entry.right),
        "plain": found.plain.entry.accuracy,
        "made": unchanged_facts(found.plain),
        "changes": [{**line, "points": points(line["change"])} for line in found.changes],
        "single": found.single and {**found.single, "points": points(found.single["change"])},
        "names": [line["name"] for line in found.changes],
        "classes": found.classes,
        "moved": found.moved,
        "needing": sum(line["needs_time"] for line in found.classes),
        "order": order_words(found),
        "random": found.plain.entry.random,
    }
