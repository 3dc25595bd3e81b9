"""The runs of a results folder as pages: a list, and runs side by side. Reads only, runs no model.

Figures come from the rows of each run, so a run that is still being written shows how far it is. Everything a run says
is foreign and passes through the report's templates, which clean and escape it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

from vidbench.compare import cost_of, cost_plot, differing_protocol
from vidbench.manifest_words import protocol_table
from vidbench.metrics import summarise
from vidbench.page.cautions import cautions
from vidbench.page.fill import render
from vidbench.page.verdicts import closest_verdict
from vidbench.records import RunError
from vidbench.review import compare
from vidbench.runs import dataset_labels, read_json, read_rows, section
from vidbench.utils import printable

MOST_COMPARED = 6  # runs side by side
MOST_CLASSES = 60  # of the table of classes, those that differ most first
FILES = {  # what is served of a run folder, and as what
    "report.html": "text/html; charset=utf-8",
    "predictions.csv": "text/csv; charset=utf-8",
    "metrics.json": "application/json",
    "manifest.json": "application/json",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShownRun:
    """One run folder as far as it can be read.

    Args:
        folder: where it lies.
        changed: when its rows changed last, seconds since 1970.
        files: which of ``FILES`` are there.
        manifest: the content of ``manifest.json``; empty where it cannot be read.
        labels: class names of the data.
        metrics: as ``metrics.summarise`` gives it; ``None`` where there are no rows yet.
        verdict: on the published result that is closest, as ``closest_verdict`` gives it; ``None`` without one.
        problem: why the run cannot be read, or nothing.
        training: whether it is the folder of a training, of which nothing but the manifest is read.
    """

    folder: Path
    changed: float
    files: tuple[str, ...]
    manifest: dict = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    metrics: dict | None = None
    verdict: dict | None = None
    problem: str = ""
    training: bool = False

    @property
    def name(self) -> str:
        """The folder's name, which is also its place in addresses."""
        return self.folder.name

    @property
    def url(self) -> str:
        """The name as it stands in an address, and as the value of a tick box."""
        return quote(os.fsencode(self.name), safe="")

    @property
    def figures(self) -> dict:
        """``metrics`` of a run that has rows."""
        assert self.metrics is not None, "only readable runs are compared"
        return self.metrics

    @property
    def random(self) -> bool:
        """Whether the network has random weights, so that its figures are no result."""
        return bool(section(self.manifest, "model").get("random"))


# ---------------------------------------------------------------- reading run folders


def read_shown(folder: Path) -> ShownRun:
    """A run with its figures, computed from its rows. Never raises for what is in the folder."""
    changed = max(modified(folder / name) for name in ("rows.jsonl", "best.json", "manifest.json"))
    shown = ShownRun(folder, changed, tuple(name for name in FILES if is_file(folder / name)))
    try:
        manifest = read_json(folder / "manifest.json")
        if section(manifest, "recipe"):
            return dataclasses.replace(shown, manifest=manifest, training=True)
        labels = tuple(dataset_labels(folder, manifest))
        rows, _ = read_rows(folder / "rows.jsonl")
        unmapped = section(manifest, "label_map").get("unmapped") or ()
        metrics = summarise(rows, labels, unmapped=unmapped) if rows else None
        verdict = closest_verdict(folder, manifest, rows, metrics) if metrics else None
        if metrics:
            (
                cautions(manifest, metrics),
                protocol_table(manifest),
                cost_of(manifest),
            )  # the pages call them: fail here or nowhere
    except Exception as problem:  # one damaged folder must not hide the other runs
        log.warning("%s cannot be read: %s", folder, problem)
        what = "manifest.json is" if isinstance(problem, RunError) else "files are"
        return dataclasses.replace(shown, problem=f"Its {what} damaged; the log says how.")
    return dataclasses.replace(shown, manifest=manifest, labels=labels, metrics=metrics, verdict=verdict)


def modified(path: Path) -> float:
    """When a file changed last, seconds since 1970; 0 where there is none."""
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return 0.0


def is_file(path: Path) -> bool:
    """Whether a path is a regular file, not a link to one."""
    with contextlib.suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


class Results:
    """The runs of a folder, read again only when their files have changed.

    Args:
        folder: holds run folders; it may come into being later.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self._known: dict[str, tuple[tuple, ShownRun]] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Names of the run folders: folders with a manifest; hidden ones and links are left out."""
        try:
            with os.scandir(self.folder) as entries:
                folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return []
        return [name for name in folders if not name.startswith(".") and is_file(self.folder / name / "manifest.json")]

    def runs(self) -> list[ShownRun]:
        """All evaluations, the one that changed last first."""
        return [run for run in self.folders() if not run.training]

    def folders(self) -> list[ShownRun]:
        """All evaluations and trainings, the one that changed last first."""
        names = self.names()
        with self._lock:
            self._known = {name: self._known[name] for name in names if name in self._known}
            runs = [self._read(name) for name in names]
        return sorted(runs, key=lambda run: (-run.changed, run.name))

    def run(self, name: str) -> ShownRun | None:
        """The evaluation of this name, or ``None`` where there is no such run folder."""
        if name not in self.names():
            return None
        with self._lock:
            run = self._read(name)
        return None if run.training else run

    def _read(self, name: str) -> ShownRun:
        folder = self.folder / name
        state = tuple(
            (info.st_mtime_ns, info.st_size) if info else None for info in map(status_of, files_of_run(folder))
        )
        if name not in self._known or self._known[name][0] != state:
            self._known[name] = state, read_shown(folder)
        return self._known[name][1]

    def open(self, name: str, file: str):
        """One of ``FILES`` of a run, opened for reading; ``None`` where it is not there or is no regular file."""
        run = self.run(name)
        if run is None or file not in run.files:
            return None
        try:
            handle = os.open(run.folder / file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        opened = os.fdopen(handle, "rb")
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return opened
        opened.close()
        return None


def files_of_run(folder: Path) -> list[Path]:
    """The files of a run that pages are made of, whether they are there or not."""
    return [folder / name for name in ("rows.jsonl", *FILES)]


def status_of(path: Path) -> os.stat_result | None:
    """What the disk says of a file, links not followed; ``None`` where it cannot be asked."""
    with contextlib.suppress(OSError):
        return path.lstat()
    return None


# ---------------------------------------------------------------- what the pages show


def line_of(run: ShownRun) -> dict:
    """One run as plain values for the list and for the head of a comparison."""
    from markupsafe import Markup  # comes with jinja2, which render loads when it is called

    model, dataset = section(run.manifest, "model"), section(run.manifest, "dataset")
    metrics = run.metrics
    return {
        "name": run.name,
        "url": Markup(run.url),  # ASCII letters, digits and %: nothing to escape, and never to be shortened
        "model": str(model.get("name") or ""),
        "dataset": f"{dataset.get('name') or ''} {dataset.get('split') or ''}".strip(),
        "changed": f"{datetime.fromtimestamp(run.changed, UTC):%Y-%m-%d %H:%M} UTC",
        "files": list(run.files),
        "problem": run.problem,
        "random": run.random,
        "metrics": metrics,
        "cost": cost_of(run.manifest) if metrics else None,
        "verdict": run.verdict,
        "cautions": [item for item in cautions(run.manifest, metrics) if item["kind"] != "note"] if metrics else [],
    }


def list_page(results: Results, data: str = "") -> str:
    """The page with all runs, newest first; how to make one where there is none.

    Args:
        results: the folder.
        data: name of the dataset whose videos are shown too, or nothing.
    """
    runs = [line_of(run) for run in results.runs()]
    content = {"runs": runs, "folder": str(results.folder), "most": MOST_COMPARED, "data": data}
    return render(content, "browse_list.html.j2")


def compare_page(runs: Sequence[ShownRun]) -> str:
    """Two or more readable runs side by side: figures with intervals, what differs in how they were made, classes."""
    lines = [line_of(run) for run in runs]
    content = {
        "runs": lines,
        "same_videos": same_videos(runs),
        "differing": differing_protocol(runs),
        "pair": paired_counts(*runs) if len(runs) == 2 else None,
        "plot": plot_of(runs) if same_videos(runs) else None,
        "classes": class_table(runs),
        "most_classes": MOST_CLASSES,
    }
    return render(content, "browse_compare.html.j2")


def message_page(title: str, text: str) -> str:
    """A page with one sentence."""
    return render({"title": title, "text": text}, "browse_message.html.j2")


def same_videos(runs: Sequence[ShownRun]) -> bool:
    """Whether all runs list the same videos with the same labels, in the same order."""
    lists = {section(run.manifest, "dataset").get("records_sha256") for run in runs}
    return len(lists) == 1 and None not in lists


def plot_of(runs: Sequence[ShownRun]) -> dict | None:
    """Accuracy against measured cost, numbered in the order of the page; see ``compare.cost_plot``."""
    points = [
        SimpleNamespace(
            name=run.name, cost=cost_of(run.manifest), accuracy=run.figures["listed"]["top1"], random=run.random
        )
        for run in runs
    ]
    return cost_plot(points) if all(point.accuracy for point in points) else None


def paired_counts(first: ShownRun, second: ShownRun) -> dict | None:
    """On how many videos both runs, one of them, or neither is right, and how sure the difference is.

    Counts the videos with a label that have a row in both runs: ``{n, both, first, second, neither, sentence}``;
    ``None`` unless both list the same videos. The sentence is that of ``review.compare``.
    """
    if not same_videos([first, second]):
        return None
    try:
        pairs = compare(*(read_rows(run.folder / "rows.jsonl")[0] for run in (first, second)))
    except RunError:
        return None
    groups = {"both": "both", "first": "a", "second": "b", "neither": "neither"}
    counts = {name: len(pairs.group(group)) for name, group in groups.items()}
    return {
        "n": len(pairs.pairs),
        **counts,
        "sentence": pairs.sentence(*(printable(run.name, 60) for run in (first, second))),
    }


def class_table(runs: Sequence[ShownRun]) -> dict | None:
    """Accuracy of each class in every run, widest spread first; ``None`` where the runs' classes differ.

    Returns ``{lines: [{label, values, spread}], total}``; a value is a ``proportion`` over the listed videos, or
    ``None`` where the run lists no video of the class.
    """
    if len({run.labels for run in runs}) != 1:
        return None
    tables = [{line["index"]: line["listed"] for line in run.figures["per_class"]} for run in runs]
    lines = []
    for index in sorted(set().union(*tables)):
        values = [table.get(index) for table in tables]
        known = [value["value"] for value in values if value]
        lines.append({"label": runs[0].labels[index], "values": values, "spread": max(known) - min(known)})
    lines.sort(key=lambda line: -line["spread"])
    return {"lines": lines[:MOST_CLASSES], "total": len(lines)}
