"""Run folders as a page, a table and a few lines of text. Reads rows; runs no model.

Everything on the page comes from ``rows.jsonl`` and ``manifest.json``, so a page can be made again at any time; only
the film strips need the videos. All text of a run (labels, paths, reasons, versions) is foreign: it is escaped for
HTML, and control and direction-changing characters are written out.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vidbench import diagrams, protocol, scores, studies
from vidbench import metrics as figures
from vidbench.asked import asked_words
from vidbench.data import catalog
from vidbench.data import ledger as ledgers
from vidbench.data.parents import class_parents
from vidbench.data.pictures import data_uri, encode_jpeg
from vidbench.data.sample import middle_indices
from vidbench.metrics import percent, summarise, summary_line
from vidbench.records import PREDICTED, RANDOM_NOTE, STATUSES, Row, RunError, UnreadableVideo
from vidbench.runs import read_json, read_rows
from vidbench.utils import atomic_writer, plural, printable, spreadsheet_cell, usable_cores

TEMPLATES = Path(__file__).parent / "templates"
MAX_MATRIX = 40  # classes of a whole confusion matrix; with more, the most confused ones are shown
NUM_CONFUSED = 20  # classes of that smaller matrix
NUM_PAIRS = 30  # of the most frequent confusions; a third of it beside a whole matrix
NUM_MISTAKES = 12
NUM_FRAMES = 6  # of a film strip
FRAME_WIDTH = 160  # pixels
SKIPPED_SHOWN = 50  # of each status
CLASSES_SHOWN = 30  # of those that lack videos
FOLDED = 5  # more classes than this without one video read are a number, and a list that opens

STAGES = {
    "decode": "reading files and decoding the frames wanted",
    "transform": "resizing and cropping",
    "transfer": "copying to the device",
    "forward": "the network",
}
SAMPLING = {
    "clips": "clips spread evenly over the video",
    "clips_from_start": "clips spread evenly over the video, the first one at its beginning",
    "dense": "frames at a fixed stride",
    "uniform": "the middle frame of equal shares of the video",
    "segments": "one frame from each segment of the video",
    "stream": "the whole video, frame by frame",
}
LEDGER_WORDS = {  # what a state means in a run, where that is less than in a check of the whole copy
    "ok": "read and predicted",
    "truncated": "predicted from a part; the file is cut short or damaged",
    "not_drawn": "annotated, but not in the subset that this run is about",
    "elsewhere": "in another shard of this run",
}
SHORT_LIST = 0.95  # a list with a smaller share of the split's videos is a part of it, not another copy
SHORT = {"repeat": "repeat their last frame", "loop": "start again", "error": "are skipped as too short"}


# ---------------------------------------------------------------- predictions.csv


def write_predictions_csv(path: Path, rows: Iterable[Row], top_n: int, *, random_weights: bool = False) -> None:
    """Write one line per listed video, skipped ones included, in listed order.

    UTF-8, comma-separated, one header line. ``YouTube_Id`` is the first 11 characters of a Kinetics id
    (``youtubeid_start_end``) and the whole ``video_id`` otherwise. Scores have at most 6 significant digits, so the
    file's bytes do not depend on how a platform prints floats. Cells without a value are empty, as most are of a
    skipped video. Control characters are written out (a line break as backslash and n), and a cell that a spreadsheet
    would take for a formula, such as an id that begins with ``-``, gets an apostrophe in front
    (``utils.spreadsheet_cell`` says how to take it off).

    Args:
        path: replaced as a whole, or left as it was.
        rows: in listed order.
        top_n: number of ``pred_i`` and ``score_i`` columns.
        random_weights: adds a last column ``note`` that says on every line that the scores are no result.
    """
    numbers = range(1, top_n + 1)
    header = ["YouTube_Id", "Ground_Truth", *(f"pred_{i}" for i in numbers), *(f"score_{i}" for i in numbers)]
    header += ["video_id", "path", "split", "group", "status", "reason", "num_frames", "frame_rate", "rank"]
    with atomic_writer(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*header, "note"] if random_weights else header)
        for row in rows:
            cells = _csv_cells(row, top_n)
            writer.writerow([*cells, RANDOM_NOTE] if random_weights else cells)


def _csv_cells(row: Row, top_n: int) -> list[str]:
    top = row.top[:top_n]
    empty = [""] * (top_n - len(top))
    cells = [youtube_id(row.video_id), row.label or ""]
    cells += [label for label, _, _ in top] + empty + [f"{score:.6g}" for _, _, score in top] + empty
    cells += [row.video_id, row.path, row.split, row.group, row.status, row.reason]
    cells += [str(row.num_frames or ""), f"{row.frame_rate:.6g}" if row.frame_rate else ""]
    cells += [str(row.rank) if row.rank >= 0 else ""]
    return [spreadsheet_cell(printable(cell, len(cell) * 10 + 10)) for cell in cells]


def youtube_id(video_id: str) -> str:
    """The YouTube id within a Kinetics video id, or the id as it is.

    >>> youtube_id("-0AbCdEfGh1_000003_000013"), youtube_id("v_Archery_g01_c01")
    ('-0AbCdEfGh1', 'v_Archery_g01_c01')
    """
    match = re.fullmatch(r"([A-Za-z0-9_-]{11})_\d{6}_\d{6}", video_id)
    return match.group(1) if match else video_id


# ---------------------------------------------------------------- a few lines of text


def summary_text(manifest: dict, metrics: dict, page: Path | None = None, *, timing: dict | None = None) -> str:
    """What a run came to, in at most 12 lines for a terminal or a log.

    Args:
        manifest: the content of ``manifest.json``.
        metrics: as ``metrics.summarise`` gives it.
        page: path of the report, named in the last line.
        timing: stage seconds, where they are not in the manifest.
    """
    model, dataset = section(manifest, "model"), section(manifest, "dataset")
    top5, classes = metrics["listed"].get("top5"), metrics["mean_class_accuracy"]
    lines = [
        f"model      {model.get('name', 'unknown')}",
        f"data       {_data_words(dataset, metrics)}",
        f"protocol   {protocol_words(manifest)}",
        summary_line(metrics),
    ]
    lines += [f"top-5 {percent(top5)}"] if top5 else []
    sure = _sure_words(metrics)
    if classes["listed"] is not None:
        sure.insert(
            0, f"mean class accuracy {100 * classes['listed']:.1f} % over {classes['n_classes_listed']} classes"
        )
    lines += ["; ".join(sure)] if sure else []
    lost = [_status_words(metrics), ledgers.bounds_words(metrics.get("ledger") or {})]
    lines += [f"{'skipped ' if lost[0] else 'coverage'}   {'; '.join(filter(None, lost))}"] if any(lost) else []
    lines += [f"verdict    {words}" for words in verdict_words(metrics.get("published"))]
    lines += [f"speed      {words}" for words in bottleneck_words(manifest, timing)]
    warned = [note for note in cautions(manifest, metrics) if note["in_summary"]]
    lines += [f"{note['title'].upper()}: {note['text']}" for note in warned if note["kind"] == "stop"]
    milder = "; ".join(f"{note['title'].lower()}: {note['text']}" for note in warned if note["kind"] != "stop")
    lines += [f"note       {milder}"] if milder else []
    lines += [f"report     {page}"] if page else []
    return "\n".join(printable(line, 800) for line in lines)


def verdict_words(found: Sequence[dict] | None) -> list[str]:
    """The verdict on the published result whose protocol is closest, in one line; none where nothing was published."""
    if not found:
        return []
    more = f" ({plural(len(found) - 1, 'more verdict', 'more verdicts')} in the report)" if len(found) > 1 else ""
    return [protocol.sentence(found[0]) + more]


def _sure_words(metrics: dict) -> list[str]:
    """The interval that knows groups, and what the probabilities are worth; nothing where neither is known."""
    clustered, found = (metrics.get("clustered") or {}).get("top1"), metrics.get("calibration")
    words = []
    if clustered:
        low, high = 100 * clustered["low"], 100 * clustered["high"]
        words += [f"top-1 [{low:.1f}, {high:.1f}] with its {clustered['n_groups']} groups in mind"]
    if found:
        more = f", NLL {found['nll']:.3f}, Brier {found['brier']:.3f}" if found["nll"] is not None else ""
        words += [f"calibration error {100 * found['ece']:.1f} %{more}"]
    return words


def section(manifest: dict, name: str) -> dict:
    """A section of a manifest; empty where it is missing or no section."""
    value = manifest.get(name)
    return value if isinstance(value, dict) else {}


def _data_words(dataset: dict, metrics: dict) -> str:
    words = f"{dataset.get('name', 'unknown')} {dataset.get('split') or ''}".strip()
    words += f", fold {dataset['fold']}" if dataset.get("fold") else ""
    partial = f", {metrics['n_partial']} of them in part" if metrics["n_partial"] else ""
    return f"{words}: {metrics['n_listed']} videos listed, {metrics['n_ok']} read{partial}"


def protocol_words(manifest: dict) -> str:
    """Views, frames, crop, decoder and precision of a run in one line."""
    spec, decode, run = section(manifest, "spec"), section(manifest, "decode"), section(manifest, "run")
    frames = frames_words(spec)
    crop = "x".join(str(side) for side in _pair(spec.get("crop")))
    words = [asked_words(manifest), views_words(spec), frames, f"crop {crop}" if crop else ""]
    words += [str(decode.get("decoder") or "")]
    words += [f"{run.get('precision', '')} on {run['device']}".strip() if run.get("device") else ""]
    return ", ".join(word for word in words if word)


def _status_words(metrics: dict) -> str:
    skipped = {name: count for name, count in metrics["statuses"].items() if name not in PREDICTED}
    return ", ".join(f"{count} {name}" for name, count in sorted(skipped.items(), key=lambda item: (-item[1], item[0])))


def views_words(spec: dict) -> str:
    """Number of views of a protocol, ``10 clips x 3 crops = 30 views``."""
    clips, crops = spec.get("num_clips") or 1, spec.get("num_crops") or 1
    if clips * crops == 1:
        return "1 view"
    return f"{clips} clip{'s' * (clips != 1)} x {crops} crop{'s' * (crops != 1)} = {clips * crops} views"


def frames_words(spec: dict) -> str:
    """Frames of a view, ``16 frames at 12.5 per second``."""
    frames, rate = spec.get("num_frames"), spec.get("frame_rate")
    if frames is None:
        return ""
    count = "all frames" if frames == 0 else f"{frames} frame{'s' * (frames != 1)}"
    return f"{count} at {rate:g} per second" if isinstance(rate, (int, float)) else count


def _pair(value) -> tuple:
    return tuple(value) if isinstance(value, (list, tuple)) else () if value is None else (value,)


# ---------------------------------------------------------------- time


def stage_seconds(manifest: dict, timing: dict | None = None) -> dict[str, float]:
    """Seconds by stage, those that were measured and above 0; ``wall`` among them."""
    timing = timing or section(manifest, "timing")
    found = timing.get("seconds")
    seconds = found if isinstance(found, dict) else timing
    known = {stage: seconds.get(stage) for stage in (*STAGES, "wall")}
    return {stage: float(value) for stage, value in known.items() if isinstance(value, (int, float)) and value > 0}


def bottleneck_words(manifest: dict, timing: dict | None = None) -> list[str]:
    """One sentence on what limits the speed and what would help; none where no time was taken."""
    timing, run = timing or section(manifest, "timing"), section(manifest, "run")
    seconds = stage_seconds(manifest, timing)
    if not set(seconds) & set(STAGES):
        return []
    workers = max(1, run.get("num_workers") or 1)
    reading = (seconds.get("decode", 0) + seconds.get("transform", 0)) / workers
    network = seconds.get("transfer", 0) + seconds.get("forward", 0)
    rate = f"{timing['clips_per_s']:.3g} clips/s; " if timing.get("clips_per_s") else ""
    each = f"{reading:.1f} s each in {workers} workers" if workers > 1 else f"{reading:.1f} s"
    if timing.get("bottleneck") == "start":
        return [
            f"{rate}most of the time was start-up or waiting: too short, or too busy a machine, to say what limits it"
        ]
    if (timing.get("bottleneck") or ("decode" if reading > network else "forward")) == "decode":
        return [f"{rate}decoding limits it ({each}, the network {network:.1f} s): more cores or the clip cache help"]
    help_ = "a GPU helps" if run.get("device", "cpu") == "cpu" else "lower precision or a larger batch may help"
    if not str(run.get("library", "torch")).startswith("torch"):
        help_ = "more cores help"  # it runs nowhere else
    return [f"{rate}the network limits it ({network:.1f} s, decoding {each}): {help_}"]


# ---------------------------------------------------------------- what a reader must know


def cautions(manifest: dict, metrics: dict) -> list[dict]:
    """What stands between the figures and a conclusion: ``{kind, title, text, in_summary}``, gravest first."""
    model, dataset, protocol = (section(manifest, name) for name in ("model", "dataset", "protocol"))
    found: list[dict] = []

    def add(kind: str, title: str, text: str, in_summary: bool = True) -> None:
        found.append({"kind": kind, "title": title, "text": text, "in_summary": in_summary})

    if model.get("random"):
        what = "the last layer is new and random" if model.get("new_head") else "the weights are random"
        add("stop", "No result", f"{what}; the figures only show that the pipeline runs")
    elif model.get("published") is False:
        add("warn", "Other weights", "not those of the model's card; its published figures do not speak of them")
    listed = dataset.get("n_listed")
    if isinstance(listed, int) and metrics["n_listed"] < listed:
        add("stop", "Not finished", f"only {metrics['n_listed']} of {listed} listed videos have a row so far")
    if protocol.get("on_card") is False:
        add("warn", "Off card", f"{_changed_words(protocol)}; not comparable with the card's published figure")
    if dataset.get("limit"):
        of = f" of {dataset['n_in_split']}" if dataset.get("n_in_split") else ""
        parts = section(manifest, "merged").get("parts")
        how = f"those of {len(parts)} runs that were merged" if parts else f"drawn with seed {dataset.get('seed')}"
        add("warn", "Subset", f"{metrics['n_listed']} videos{of}, {how}")
    if dataset.get("shard"):
        number, of = dataset["shard"]
        text = f"part {number} of {of} of a list of {dataset.get('n_in_list')} videos; scripts/merge.py joins the parts"
        add("warn", "Shard", text)
    if dataset.get("present_only"):
        add("warn", "Partial copy", "only videos that are present were listed; absent ones are not in the count")
    elif short := _short_list(dataset):
        add("warn", "Part of a list", short)
    if dataset.get("classes"):
        add("warn", "Some classes", f"only videos of {plural(len(dataset['classes']), 'class', 'classes')} were listed")
    if manifest.get("label_map"):
        missing = metrics["unmapped"]
        words = f"{plural(len(missing), 'class', 'classes')} of the data without" if missing else "all with"
        add(
            "warn",
            "Mapped labels",
            f"the model's classes were mapped to the data's, {words} a counterpart",
            bool(missing),
        )
    if metrics["n_groups"] and metrics["largest_group"] > 1:
        text = f"the videos come from {metrics['n_groups']} sources (groups), up to {metrics['largest_group']} from "
        text += "one, and are alike; Wilson's intervals take videos as independent and are too narrow"
        clustered = (metrics.get("clustered") or {}).get("top1")
        text += f", the one that knows groups is {percent(clustered)} for top-1" if clustered else ""
        add("note", "Related videos", text, False)
    broken = scores.logits_notes(metrics)
    for note in broken:
        add("warn", "Logits", note[:1].lower() + note[1:].rstrip("."))
    for note in metrics["notes"]:
        if note not in broken:
            add("note", "Left out", note.rstrip("."), False)
    return found


def _short_list(dataset: dict) -> str:
    """That a list is clearly shorter than the split as its dataset's card knows it; empty where it is not."""
    name, split = str(dataset.get("name")), str(dataset.get("split") or "")
    number = dataset.get("n_in_split") or dataset.get("n_in_list") or dataset.get("n_listed")
    known = catalog.split_sizes(name, split, dataset.get("fold"))
    if dataset.get("classes") or not known or not isinstance(number, int) or number >= SHORT_LIST * min(known):
        return ""
    return f"{number:,} videos are listed, and {name} {split} has {known[0]:,}"


def _changed_words(protocol: dict) -> str:
    changed = section(protocol, "changed")
    if not changed:
        return "the input differs from the model's card"
    parts = []
    for name, values in changed.items():
        card, used = values if isinstance(values, (list, tuple)) and len(values) == 2 else ("?", values)
        parts.append(f"{name} {_value(used)} instead of {_value(card)}")
    return "input differs from the model's card: " + ", ".join(parts)


def _value(value) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return " x ".join(_value(item) for item in value)
    return str(value)


# ---------------------------------------------------------------- report.html


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
    labels, absent = (
        dataset_labels(folder, manifest),
        ledgers.read_absent(folder, whole=not section(manifest, "dataset").get("shard")),
    )
    whole = whole or scores.figures(folder, manifest, rows, labels)
    content = page_content(manifest, rows, labels, section(manifest, "timing"), unusable, absent, whole)
    page = render({**content, "studies": [study_content(one) for one in studies.studies_of(folder, manifest)]})
    with atomic_writer(folder / "report.html", "w") as file:
        file.write(page)
    return folder / "report.html"


def dataset_labels(folder: Path, manifest: dict) -> list[str]:
    """Class names of the data, in index order."""
    labels = manifest.get("labels")
    if not isinstance(labels, list):
        raise RunError(f"{folder} names no classes: its manifest.json has no list 'labels'")
    return [str(label) for label in labels]


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


def render(content: dict, template: str = "report.html.j2") -> str:
    """A page: one of ``templates/`` with every value cleaned and escaped."""
    from markupsafe import Markup

    script = {"script": Markup(table_script()), "script_source": script_source()}
    return _templates().get_template(template).render({**content, **script}) + "\n"


@functools.cache
def _templates():
    """What fills templates. Kept, because compiling one takes a tenth of a report's time, and a study writes many."""
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    jinja = jinja2.Environment(
        loader=loader, trim_blocks=True, lstrip_blocks=True, autoescape=True, finalize=clean,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    jinja.filters |= {"percent": percent, "pct": lambda value: f"{100 * value:.1f}", "points": points}
    return jinja


def points(change: dict) -> str:
    """``-40.3 [-51.0, -28.6]``: a difference in points, with its interval."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * change[name] for name in ("value", "low", "high")))


@functools.cache
def table_script() -> str:
    """What sorts and filters the tables of a page: the only script in it."""
    return (TEMPLATES / "table.js").read_text(encoding="utf-8")


@functools.cache
def script_source() -> str:
    """The source that a Content-Security-Policy allows scripts from: those with the hash of ours, and no others."""
    digest = hashlib.sha256(table_script().encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def clean(value):
    """A value as it may stand on the page: text without control or direction-changing characters."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    if re.fullmatch(r"data:image/jpeg;base64,[A-Za-z0-9+/=]*", value):
        return value
    text = printable(value, 400)
    return re.sub("[\u200e\u200f\u2028-\u202e\u2066-\u2069]", lambda match: f"\\u{ord(match.group()):04x}", text)


# ---------------------------------------------------------------- tables


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
        facts = {key.replace("_", " "): _value(entry) for key, entry in given.items()}
        found.append({"figures": numbers, "facts": facts, "source": source, "link": _link(source)})
    return found


def protocol_table(manifest: dict) -> list[tuple[str, str]]:
    """How the figures were made, as ``(what, how)``; entries without a value are left out."""
    names = ("spec", "dataset", "decode", "run", "model", "protocol")
    spec, dataset, decode, run, model, asked = (section(manifest, name) for name in names)
    limits = section(decode, "limits") or decode
    table = {
        "Model": model.get("name"),
        "Weights": weights_words(model),
        "Data": _data_protocol(dataset),
        "Labels": _label_words(manifest),
        "Asked for": asked_words(manifest),
        "Frames of a view": frames_words(spec),
        "Chosen": SAMPLING.get(spec.get("sampling", ""), spec.get("sampling")),
        "Optical flow": decode.get("flow"),
        "Views": views_words(spec) if spec else None,
        "Views averaged as": spec.get("average"),
        "Short videos": SHORT.get(spec.get("short", ""), spec.get("short")),
        "Resize": _resize_words(spec.get("resize")),
        "Crop": " x ".join(str(side) for side in _pair(spec.get("crop"))) + " pixels" if spec.get("crop") else None,
        "Mean, deviation": " / ".join(
            ", ".join(_value(item) for item in _pair(spec.get(name))) for name in ("mean", "std") if spec.get(name)
        ),
        "Decoder": ", ".join(_value(decode[name]) for name in ("decoder", "version") if decode.get(name)),
        "Limits a video": ", ".join(
            f"{_value(limits[name])} {unit}"
            for name, unit in (("seconds", "s"), ("megabytes", "MB"))
            if limits.get(name)
        ),
        "Precision": " ".join(_value(run[name]) for name in ("precision", "memory_format") if run.get(name)),
        "Batch": f"{run['batch_size']} videos on {run.get('device', '?')}" if run.get("batch_size") else None,
        "As on the model's card": {True: "yes", False: "no", None: ""}.get(asked.get("on_card")),
    }
    return [(name, str(text)) for name, text in table.items() if text]


def weights_words(model: dict) -> str:
    """Where weights come from and the start of their hash."""
    if model.get("random"):
        return "random"
    weights = model.get("weights")
    weights = weights.get("file") if isinstance(weights, dict) else weights
    digest = model.get("weights_sha256") or model.get("sha256") or ""
    words = str(weights or model.get("weights_source") or "the card's")
    return f"{words}, sha256 {str(digest)[:16]}…" if digest else words


def _data_protocol(dataset: dict) -> str:
    words = [f"{dataset.get('name', '')} {dataset.get('split') or ''}".strip()]
    words += [f"fold {dataset['fold']}" if dataset.get("fold") else ""]
    words += [f"classes {', '.join(map(str, dataset['classes']))}" if dataset.get("classes") else ""]
    words += [f"subset of {dataset['limit']}, seed {dataset.get('seed')}" if dataset.get("limit") else ""]
    return ", ".join(word for word in words if word)


def _label_words(manifest: dict) -> str:
    label_map, model = section(manifest, "label_map"), section(manifest, "model")
    words = f"{model['num_classes']} classes of the model" if model.get("num_classes") else ""
    if label_map:
        words += f", mapped to the data's ({len(label_map.get('unmapped') or ())} without a counterpart)"
    return words


def _resize_words(value) -> str | None:
    if isinstance(value, (list, tuple)):
        return f"stretched to {' x '.join(str(side) for side in value)} pixels"
    return f"short side to {value} pixels" if value else None


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


def stages(manifest: dict, timing: dict) -> dict:
    """Stage times: ``{lines: [{name, what, seconds, share}], sentence, facts}``; shares of the longest stage."""
    seconds = stage_seconds(manifest, timing)
    longest = max((seconds[stage] for stage in STAGES if stage in seconds), default=0)
    lines = [
        {"name": stage, "what": what, "seconds": f"{seconds[stage]:.1f}", "share": seconds[stage] / longest}
        for stage, what in STAGES.items()
        if stage in seconds
    ]
    facts = {
        "wall time": f"{seconds['wall']:.1f} s" if "wall" in seconds else None,
        "speed": f"{timing['clips_per_s']:.3g} clips/s" if timing.get("clips_per_s") else None,
        "peak memory": f"{timing['peak_rss_mb']:.0f} MB" if timing.get("peak_rss_mb") else None,
        "sessions": timing.get("sessions"),
        "device": timing.get("device_name") or timing.get("device"),
    }
    kept = {name: str(value) for name, value in facts.items() if value}
    return {"lines": lines, "sentence": " ".join(bottleneck_words(manifest, timing)), "facts": kept}


def environment(manifest: dict) -> list[tuple[str, str]]:
    """Versions, machine and commit, flattened to ``(name, value)``."""
    lines = []
    for name, value in section(manifest, "environment").items():
        inner = value.items() if isinstance(value, dict) else [(name, value)]
        lines += [(str(key), _value(entry)) for key, entry in inner if entry not in (None, "")]
    return lines


def command(manifest: dict) -> str:
    """The command that makes this run again, from the manifest; quoted for a POSIX shell."""
    if manifest.get("command"):
        given = manifest["command"]
        return given if isinstance(given, str) else shlex.join(map(str, given))
    model, dataset, run = (section(manifest, name) for name in ("model", "dataset", "run"))
    weights = model.get("weights")
    changed = section(section(manifest, "protocol"), "changed")
    flags = {
        "model": model.get("name"),
        "weights": "random" if model.get("random") else weights.get("file") if isinstance(weights, dict) else weights,
        "dataset": dataset.get("name"),
        "data-dir": dataset.get("data_dir"),
        "split": dataset.get("split"),
        "fold": dataset.get("fold"),
        "classes": dataset.get("classes") or None,
        "limit": dataset.get("limit"),
        "seed": dataset.get("seed"),
        "present-only": [] if dataset.get("present_only") else None,
        "label-map": section(manifest, "label_map").get("source"),
        **{name.replace("_", "-"): values[1] for name, values in changed.items() if _is_flag(name, values)},
        "protocol": _protocol_flag(section(manifest, "protocol").get("asked")),
        "batch-size": run.get("batch_size"),
        "precision": run.get("precision"),
        "decoder": section(manifest, "decode").get("decoder"),
    }
    words = ["python", "scripts/evaluate.py"]
    for name, value in flags.items():
        words += [] if value is None else [f"--{name}", *(value if isinstance(value, list) else [value])]
    return shlex.join(_value(word) for word in words)


def _protocol_flag(asked) -> str | None:
    if isinstance(asked, dict):
        return asked.get("file")
    return None if asked == "card" else asked


def _is_flag(name: str, values) -> bool:
    flags = ("num_frames", "frame_rate", "num_clips", "num_crops")
    return name in flags and isinstance(values, (list, tuple)) and len(values) == 2


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


# ---------------------------------------------------------------- confusion


def confusion(matrix: np.ndarray, labels: Sequence[str]) -> dict | None:
    """A confusion matrix as cells for the page: all classes that occur, or the most confused of them.

    Args:
        matrix: int64 (K, K + 1), as ``metrics.confusion_matrix`` gives it.
        labels: K class names.

    Returns:
        ``{classes, lines: [{label, cells: [{count, shade, right}], rest, lost}], whole}``; ``None`` where nothing was
        predicted. A shade is 0 (none) to 8 (all videos of the class). ``rest`` counts answers outside the shown
        classes, ``lost`` skipped videos and answers outside the label space.
    """
    square = matrix[:, :-1]
    occur = np.flatnonzero(matrix.sum(axis=1) + square.sum(axis=0))
    if len(occur) > MAX_MATRIX:  # classes of which nothing was read have nothing to show
        occur = np.flatnonzero(square.sum(axis=1) + square.sum(axis=0))
    if not square.sum():
        return None
    whole = len(occur) <= MAX_MATRIX
    shown = occur if whole else np.sort(most_confused_classes(square, NUM_CONFUSED))
    lines = []
    for index in shown.tolist():
        total = max(1, int(matrix[index].sum()))
        cells = [
            {"count": int(count), "shade": int(np.ceil(8 * count / total)), "right": column == index}
            for column, count in zip(shown, square[index, shown])
        ]
        rest = int(square[index].sum()) - sum(cell["count"] for cell in cells)
        lines.append({"label": labels[index], "cells": cells, "rest": rest, "lost": int(matrix[index, -1])})
    return {"classes": [labels[index] for index in shown.tolist()], "lines": lines, "whole": whole}


def most_confused_classes(square: np.ndarray, number: int) -> np.ndarray:
    """Up to ``number`` classes, those of the most frequent confusions first; int64."""
    chosen: dict[int, None] = {}
    for true, said in _pairs_by_count(square):
        if len(chosen.keys() | {true, said}) > number:
            break
        chosen |= {true: None, said: None}
    return np.array(list(chosen) or range(min(number, len(square))), np.int64)


def parent_content(matrix: np.ndarray, labels: Sequence[str], manifest: dict) -> dict | None:
    """Confusion between categories of classes, the user's own or the authors'; ``None`` where there are none.

    Returns:
        ``{lines, matrix, source}``: ``lines`` as ``metrics.by_parent`` gives them, ``matrix`` as ``confusion`` does, in
        which an answer of the same category is right, ``source`` the name of the user's file, else empty.
    """
    parents, source = class_parents(manifest, labels)
    if parents is None or not matrix[:, :-1].sum():
        return None
    names, summed = figures.parent_matrix(matrix, parents)
    return {"lines": figures.by_parent(matrix, parents), "matrix": confusion(summed, names), "source": source}


def study_content(study: dict) -> dict:
    """A study as the page shows it: of corruptions a table ``{name: {severity: line}}``."""
    if study["kind"] == "temporal":
        return {"needing": "some", "num_classes": "all", **study}
    table: dict[str, dict] = {}
    for line in study["lines"]:
        table.setdefault(line["name"], {})[line["severity"]] = line
    levels = sorted({line["severity"] for line in study["lines"]})
    return {**study, "table": table, "levels": levels}


def _pairs_by_count(square: np.ndarray) -> list[tuple[int, int]]:
    """Pairs ``(true, said)`` of different classes with a count, most frequent first, ties by share and index."""
    wrong = square.copy()
    np.fill_diagonal(wrong, 0)
    true, said = np.nonzero(wrong)
    share = wrong[true, said] / square.sum(axis=1)[true]
    order = np.lexsort((said, true, -share, -wrong[true, said]))
    return [(int(true[i]), int(said[i])) for i in order]


def confused_pairs(matrix: np.ndarray, labels: Sequence[str]) -> list[dict]:
    """The most frequent confusions, ``{true, said, count, n, share, back}``: ``back`` counts the other direction."""
    square, listed = matrix[:, :-1], matrix.sum(axis=1)
    return [
        {
            "true": labels[true],
            "said": labels[said],
            "count": int(square[true, said]),
            "n": int(listed[true]),
            "share": float(square[true, said] / listed[true]),
            "back": int(square[said, true]),
        }
        for true, said in _pairs_by_count(square)[:NUM_PAIRS]
    ]


# ---------------------------------------------------------------- mistakes


def is_mistake(row: Row) -> bool:
    """Whether a labelled video was predicted, and wrongly."""
    return row.predicted and bool(row.top) and figures.has_label(row) and row.rank != 0


def confident_mistakes(rows: Iterable[Row]) -> list[Row]:
    """Wrong predictions with the highest probability, highest first, ties in listed order."""
    return sorted(filter(is_mistake, rows), key=lambda row: (-row.top[0][2], row.index))[:NUM_MISTAKES]


def all_mistakes(rows: list[Row], data_dir: str | None) -> list[dict]:
    """``mistake`` of each row; their videos are decoded side by side."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max(1, min(len(rows), usable_cores()))) as pool:
        return list(pool.map(lambda row: mistake(row, data_dir), rows))


def mistake(row: Row, data_dir: str | None) -> dict:
    """One mistake for the page, with its film strip or a sentence on why there is none."""
    frames, problem = [], ""
    try:
        frames = film_strip(Path(data_dir or ".") / row.path)
    except UnreadableVideo as error:
        problem = error.reason
    except (OSError, ValueError) as error:
        problem = f"the file cannot be opened ({type(error).__name__})"
    return {"row": row, "frames": frames, "problem": problem.rstrip("."), "tie": row.top[0][0] == row.label}


def film_strip(path: Path) -> list[dict]:
    """``NUM_FRAMES`` evenly spread frames of a video as ``{time, width, height, uri}``; fewer of a shorter video.

    Raises ``UnreadableVideo`` where the file is not there (any more) or gives no frames.
    """
    from vidbench.data.decode import Limits, read_clip  # needed here only, and it loads the decoders

    if not path.exists():
        raise UnreadableVideo("missing", "the video is not at its place any more")

    def choose(table):
        return middle_indices(table.num_frames, min(NUM_FRAMES, table.num_frames))

    clip = read_clip(path, choose, limits=Limits(seconds=10))
    return [{"time": f"{time:.1f} s", **thumbnail(frame)} for time, frame in zip(clip.pts_s, clip.frames)]


def thumbnail(frame: np.ndarray) -> dict:
    """A uint8 (H, W, 3) RGB frame as a JPEG ``data:`` URI, ``FRAME_WIDTH`` pixels wide or as high: ``{width, ...}``."""
    import cv2

    height, width, _ = frame.shape
    scale = min(1.0, FRAME_WIDTH / width, FRAME_WIDTH / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return {"width": size[0], "height": size[1], "uri": data_uri(encode_jpeg(small, 78))}
