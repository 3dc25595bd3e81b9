"""Two runs of the same videos, to look at where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ipywidgets

from vidbench import review, visualize
from vidbench.cells import comparison_html, pair_html, sentence
from vidbench.metrics import is_correct
from vidbench.panels.choosing import ANY, Chooser, filter_for
from vidbench.panels.panel import Panel, panel_of_words, side_by_side
from vidbench.records import Row, VidbenchError
from vidbench.utils import printable


def run_comparison(run_a: str | Path, run_b: str | Path, root: str | Path) -> Panel:
    """Two runs on the same videos: who is right where, how sure the difference is, and the videos behind it.

    Args:
        run_a: a run folder.
        run_b: another one on the same split.
        root: the folder that the videos' paths are relative to.

    Returns:
        The panel; a sentence where a run cannot be read or they share no video.
    """
    try:
        runs = review.read_run(run_a), review.read_run(run_b)
        comparison = review.compare(runs[0].rows, runs[1].rows)
    except VidbenchError as problem:
        words = sentence(problem)
        return panel_of_words(words)
    names = [run.name for run in runs]
    if names[0] == names[1]:
        names = [f"{letter}: {name}" for letter, name in zip("AB", names)]
    groups = {"b": f"only {names[1]} is right", "a": f"only {names[0]} is right", "neither": "neither is right"}
    groups |= {"both": "both are right", "all": "all"}
    which = ipywidgets.Dropdown(options=[(words, name) for name, words in groups.items()], description="which")
    labels = list(dict.fromkeys(row.label for row, _ in sorted(comparison.pairs, key=lambda pair: pair[0].label_index)))
    label = filter_for("class", labels)
    stage = ipywidgets.HTML()

    def find() -> list:
        pairs = [pair for pair in comparison.group(which.value) if label.value in (ANY, pair[0].label)]
        return [(printable(f"{a.label}: {_said(a)} / {_said(b)}, {a.video_id}", 160), (a, b)) for a, b in pairs]

    def show(pair) -> None:
        none = "<p>No video fits these filters.</p>"
        stage.value = none if pair is None else pair_html(pair[0], pair[1], names, Path(root))

    chooser = Chooser(find, [which, label], show)
    chooser.refill()
    words = comparison_html(comparison, names)
    head = ipywidgets.HTML(words)
    return Panel([head, side_by_side(chooser.box, stage)], lambda: (words, _comparison_bars(comparison, names), ""))


def _said(row: Row) -> str:
    return row.top[0][0] if row.predicted and row.top else row.status


def _comparison_bars(comparison: review.Comparison, names: Sequence[str]) -> visualize.AltFigure:
    n = len(comparison.pairs)
    counts = [sum(is_correct(pair[place], 1) for pair in comparison.pairs) for place in (0, 1)]
    return visualize.accuracy_bars({printable(name, 60): (k, n) for name, k in zip(names, counts)})
