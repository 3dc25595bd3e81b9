"""Figures of clips, sampling, scores and runs: returned, never shown, each with its description in words.

Every function returns an ``AltFigure``: a matplotlib figure that pyplot knows nothing of, so a notebook shows it once,
as the last value of its cell. Its ``alt`` is written from the same data as the picture. Whatever a user has changed in
matplotlib's settings has no influence. Mistakes in what is handed over raise ``ConfigError``, in one sentence.
The functions lie in ``vidbench.plots``, a file for each kind of figure; this is the place to import them from.
"""

from vidbench.plots.counts import SHAPES, class_balance, histogram, resolution_scatter
from vidbench.plots.curves import MARKERS, named_points, timeline
from vidbench.plots.figure import (
    BLUE,
    CHART_DPI,
    CSS_DPI,
    DASHES,
    INK,
    LINE,
    MOST_ALT,
    MOST_COLOURS,
    MOST_NAMES,
    MUTED,
    ORANGE,
    PHOTO_DPI,
    SERIES,
    SOFT,
    STYLE,
    WIDTH,
    AltFigure,
    style,
)
from vidbench.plots.pictures import class_sheet, contact_sheet, film_strip, heat_overlay, side_by_side
from vidbench.plots.sampling import PICTURE_COLOURS, UNKNOWN, gop_diagram, sampling_diagram
from vidbench.plots.scores import accuracy_bars, change_bars, confusion, per_class_bars, reliability, score_bars

__all__ = [
    "BLUE",
    "CHART_DPI",
    "CSS_DPI",
    "DASHES",
    "INK",
    "LINE",
    "MARKERS",
    "MOST_ALT",
    "MOST_COLOURS",
    "MOST_NAMES",
    "MUTED",
    "ORANGE",
    "PHOTO_DPI",
    "PICTURE_COLOURS",
    "SERIES",
    "SHAPES",
    "SOFT",
    "STYLE",
    "UNKNOWN",
    "WIDTH",
    "AltFigure",
    "accuracy_bars",
    "change_bars",
    "class_balance",
    "class_sheet",
    "confusion",
    "contact_sheet",
    "film_strip",
    "gop_diagram",
    "heat_overlay",
    "histogram",
    "named_points",
    "per_class_bars",
    "reliability",
    "resolution_scatter",
    "sampling_diagram",
    "score_bars",
    "side_by_side",
    "style",
    "timeline",
]
