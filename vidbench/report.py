"""A run folder as one page, ``report.html``. Reads rows; runs no model.

Everything on the page comes from ``rows.jsonl`` and ``manifest.json``, so a page can be made again at any time; only
the film strips need the videos. What the page shows is made in ``page/``, a file for each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidbench import calibration, diagrams, protocol, scores, studies
from vidbench import metrics as figures
from vidbench.data import ledger as ledgers
from vidbench.manifest_words import command, environment, protocol_table
from vidbench.metrics import summarise
from vidbench.page.cautions import cautions
from vidbench.page.confused import MAX_MATRIX, confused_pairs, confusion, parent_content
from vidbench.page.coverage import folded, ledger_tables, skipped
from vidbench.page.fill import render
from vidbench.page.mistakes import all_mistakes, confident_mistakes, is_mistake
from vidbench.page.verdicts import reported, verdict_lines
from vidbench.records import Row, RunError
from vidbench.runs import dataset_labels, read_json, read_rows, section
from vidbench.stage_times import stages
from vidbench.utils import atomic_writer


def write_report(run_folder: Path, whole: dict | None = None) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    The figures are computed anew from ``rows.jsonl``, ``logits.npy``, ``absent.json`` and the labels;
    ``metrics.json`` is not read. The page refers to nothing outside itself. The same folder and videos give the same
    bytes.

    Args:
        run_folder: a run that has at least one row.
        whole: what ``scores.figures`` gives for this folder, where it was just computed.

    Raises:
        RunError: ``manifest.json`` or the rows cannot be read.
    """
    folder = Path(run_folder)
    manifest = read_json(folder / "manifest.json")
    rows, unusable = read_rows(folder / "rows.jsonl")
    if not rows:
        raise RunError(f"{folder} holds no rows yet: nothing to report")
    labels = dataset_labels(folder, manifest)
    absent = ledgers.read_absent(folder, whole=not section(manifest, "dataset").get("shard"))
    whole = whole or scores.figures(folder, manifest, rows, labels)
    content = page_content(manifest, rows, labels, section(manifest, "timing"), unusable, absent, whole)
    page = render({**content, "studies": [study_content(one) for one in studies.studies_of(folder, manifest)]})
    with atomic_writer(folder / "report.html", "w") as file:
        file.write(page)
    return folder / "report.html"


def page_content(
    manifest: dict,
    rows: Sequence[Row],
    labels: Sequence[str],
    timing: dict,
    unusable: int = 0,
    absent: Sequence = (),
    whole: dict | None = None,
) -> dict:
    """Everything the template shows, as plain values; pictures as ``data:`` URIs.

    Args:
        manifest: of the run; whatever it lacks is left out of the page.
        rows: one a video, at least one.
        labels: the dataset's class names in index order.
        timing: seconds by stage, as in the manifest.
        unusable: lines of the row file that were no rows.
        absent: what ``ledger.read_absent`` gave.
        whole: what ``scores.figures`` gives; ``None`` shows what the rows alone tell.
    """
    unmapped = section(manifest, "label_map").get("unmapped") or ()
    metrics = whole or summarise(rows, labels, unmapped=unmapped)
    matrix = figures.row_confusion(rows, labels)
    classes = sorted(metrics["per_class"], key=lambda line: (line["listed"]["value"], -line["n"], line["index"]))
    unread, classes = folded(classes, [not line["n_ok"] for line in classes], bool(metrics["n_ok"]))
    model, dataset = section(manifest, "model"), section(manifest, "dataset")
    ledger = ledgers.summarise_ledger(ledgers.run_ledger(rows, absent), metrics, dataset)
    return {
        "run_name": manifest.get("run_name") or "run",
        "model": model.get("name") or "unknown model",
        "dataset": f"{dataset.get('name') or 'unknown data'} {dataset.get('split') or ''}".strip(),
        "metrics": metrics,
        "random": bool(model.get("random")),
        "chance": 1 / len(labels) if len(labels) > 1 and not manifest.get("label_map") else None,
        "cautions": cautions(manifest, metrics),
        "unusable": unusable,
        "ledger": ledger_tables(ledger),
        "verdicts": verdict_lines(protocol.verdicts(manifest, metrics, ledger)),
        "reported": reported(model.get("reported")),
        "other_weights": model.get("published") is False,
        "protocol": protocol_table(manifest),
        "classes": classes,
        "unread": unread,
        "confusion": confusion(matrix, labels),
        "parents": parent_content(matrix, labels, manifest),
        "pairs": confused_pairs(matrix, labels),
        "studies": [],
        "mistakes": all_mistakes(confident_mistakes(rows), dataset.get("data_dir")),
        "n_mistakes": sum(is_mistake(row) for row in rows),
        "skipped": skipped(rows),
        "stages": stages(manifest, timing),
        "environment": environment(manifest),
        "command": command(manifest),
        "max_matrix": MAX_MATRIX,
        **probabilities(metrics, manifest),
    }


def probabilities(metrics: dict, manifest: dict) -> dict:
    """What the page shows of calibration and views; both ``None`` where the figures do not hold them."""
    from markupsafe import Markup  # comes with jinja2, which render loads when it is called

    found, rungs = metrics.get("calibration"), metrics.get("view_ladder")
    content: dict = {"calibration": None, "reliability": [], "risk": None, "risks": [], "ladder": None}
    if found:
        right = sum(line["accuracy"] * line["n"] for line in found["reliability"]) / found["n"]
        content["calibration"] = {**found, "accuracy": right, "guessing": np.log(max(1, metrics["n_classes"]))}
        scaled = found.get("temperature")
        content["calibration"]["scaling"] = calibration.temperature_words(scaled) if scaled else ""
        content["reliability"] = diagrams.reliability_places(found["reliability"])
        risk = diagrams.risk_path(found["risk_coverage"])
        content["risk"] = {**risk, "path": Markup(risk["path"])}  # numbers only, and longer than text may be
        content["risks"] = diagrams.risks_at(found["risk_coverage"])
    if rungs:
        seconds = scores.view_seconds(manifest)
        content["ladder"] = {
            "rungs": rungs,
            "average": section(manifest, "spec").get("average"),
            "averages": list(rungs[0]["by_average"]),
            "clustered": rungs[0]["clustered"] is not None,
            "view_ms": seconds and 1000 * seconds,
        }
    return content


def study_content(study: dict) -> dict:
    """A study as the page shows it: of corruptions a table ``{name: {severity: line}}``."""
    if study["kind"] == "temporal":
        return {"needing": "some", "num_classes": "all", **study}
    table: dict[str, dict] = {}
    for line in study["lines"]:
        table.setdefault(line["name"], {})[line["severity"]] = line
    levels = sorted({line["severity"] for line in study["lines"]})
    return {**study, "table": table, "levels": levels}
