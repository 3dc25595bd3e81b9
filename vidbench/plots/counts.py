"""How values, sizes and classes are spread over a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from vidbench.plots.figure import BLUE, DASHES, INK, LINE, MUTED, ORANGE, SERIES, WIDTH, AltFigure, axes_at, styled
from vidbench.plots.words import check_num, listing, numbers, plain, short
from vidbench.records import ConfigError, VideoRecord
from vidbench.utils import plural, printable


@styled
def histogram(values, *, unit: str, title=None, bins=None, groups=None) -> AltFigure:
    """How often values occur.

    Args:
        values: (N,), numbers; values that are not finite are left out and counted in words.
        unit: of the values, such as ``s``.
        title: above the figure.
        bins: a number of bins or their edges; ``None`` chooses.
        groups: one name a value, 2 to 6 different ones: a line each.

    Raises:
        ConfigError: no finite value, or groups or bins that do not fit.
    """
    values = numbers(values, "values", None, finite=False)
    names = None if groups is None else np.array([str(name) for name in groups])
    if names is not None and len(names) != len(values):
        raise ConfigError(f"{len(values)} values with {len(names)} groups: give one group a value.")
    finite = np.isfinite(values)
    lost = int((~finite).sum())
    values, names = values[finite], None if names is None else names[finite]
    if not len(values):
        raise ConfigError("There is no finite value to draw.")
    kinds = [] if names is None else sorted(set(names.tolist()))
    if len(kinds) > len(SERIES):
        raise ConfigError(f"{len(kinds)} groups are too many to tell apart; {len(SERIES)} are the most.")
    figure = AltFigure((WIDTH, 2.7), alt=_histogram_alt(values, unit, title, lost, names, kinds))
    axes = figure.add_axes((0.09, 0.19, 0.88, 0.68))
    edges = _edges(values, bins)
    if names is None:
        axes.hist(values, edges, color=BLUE, edgecolor="white", lw=0.5)
    for n, kind in enumerate(kinds):
        own = values[names == kind]
        axes.hist(own, edges, histtype="stepfilled", color=SERIES[n], alpha=0.15)
        axes.hist(
            own, edges, histtype="step", color=SERIES[n], ls=DASHES[n], lw=1.6, label=f"{plain(kind)} (n={len(own)})"
        )
    if kinds:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    axes.set_title(plain(title) if title else "")
    axes.set_xlabel(plain(unit))
    axes.set_ylabel("count")
    axes.locator_params("y", integer=True)
    axes.grid(axis="y")
    return figure


def _edges(values: np.ndarray, bins):
    """Bin edges: whole steps where the values are few whole numbers, at most 40 bins else."""
    low, high = values.min(), values.max()
    try:
        if bins is not None:
            return np.histogram_bin_edges(values, bins)
        if low == high:
            return np.array([low - 0.5, low + 0.5])
        if high - low <= 40 and (values == np.round(values)).all():
            return np.arange(low - 0.5, high + 1)
        return np.histogram_bin_edges(values, min(40, max(8, len(np.histogram_bin_edges(values, "auto")) - 1)))
    except (TypeError, ValueError, MemoryError) as problem:
        raise ConfigError(f"These values cannot be put into bins ({printable(problem, 80)}).") from None


def _histogram_alt(values, unit, title, lost, names, kinds) -> str:
    def words(some):
        return f"n={len(some)}, from {some.min():.4g} to {some.max():.4g} {unit}, median {np.median(some):.4g} {unit}"

    alt = f"Histogram{f', {title}' if title else ''}: {words(values)}."
    if kinds:
        alt += " " + "; ".join(f"{kind}: {words(values[names == kind])}" for kind in kinds) + "."
    return alt + (f" {plural(lost, 'value')} not known." if lost else "")


@styled
def resolution_scatter(widths, heights, *, title=None, num: int = 6) -> AltFigure:
    """Which sizes videos have: a disc for each size, its area the number of videos, and lines of equal shape.
    Those that are higher than wide are orange.

    Args:
        widths: (N,), pixels; videos of unknown width or height are left out and counted in words.
        heights: (N,), pixels.
        title: above the figure.
        num: how many of the most frequent sizes are named.

    Raises:
        ConfigError: no video of known size, or not as many heights as widths.
    """
    check_num(num, "size")
    widths = numbers(widths, "widths", None, finite=False)
    heights = numbers(heights, "heights", len(widths), finite=False)
    known = np.isfinite(widths) & np.isfinite(heights) & (widths > 0) & (heights > 0)
    if not known.any():
        raise ConfigError("There is no video of known size to draw.")
    sizes = Counter(zip(widths[known].round().astype(int).tolist(), heights[known].round().astype(int).tolist()))
    figure = AltFigure((WIDTH, 4.2), alt=_sizes_alt(sizes, title, int((~known).sum())))
    axes = figure.add_axes((0.09, 0.12, 0.69, 0.77))
    _draw_sizes(axes, sizes, num)
    axes.set_title(plain(title) if title else "")
    return figure


SHAPES = (("square", 1.0), ("4:3", 4 / 3), ("16:9", 16 / 9), ("9:16", 9 / 16))  # width over height


def _draw_sizes(axes, sizes: Counter, num: int) -> None:
    (w, h), counts = np.array(list(sizes)).T, np.array(list(sizes.values()))
    right, top = 1.15 * w.max(), 1.2 * h.max()
    for name, shape in SHAPES:
        x, y = (right, right / shape) if right / shape < top else (top * shape, top)
        axes.plot([0, x], [0, y], color=LINE, lw=0.8, zorder=1)
        words, where = (f"{name} ", "bottom") if y < top else (f"{name}      ", "top")  # beside its line, not on it
        axes.text(x, y, words, color=MUTED, fontsize=7.5, ha="right", va=where)
    colours = np.where(h > w, ORANGE, BLUE)
    axes.scatter(w, h, s=30 + 370 * counts / counts.max(), c=colours, alpha=0.65, edgecolors="white", zorder=3)
    named = sorted(sizes.most_common(num), key=lambda item: item[0][::-1])
    for place, ((width, height), count) in enumerate(named, 1):  # beside the axes, where names cannot collide
        line = {"arrowstyle": "-", "color": MUTED, "lw": 0.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}
        axes.annotate(
            f"{width}x{height} (n={count})", (width, height), (1.06, (place - 0.5) / len(named)),
            textcoords="axes fraction", fontsize=8, va="center", zorder=4, arrowprops=line,
        )  # fmt: skip
    axes.set_xlim(0, right)
    axes.set_ylim(0, top)
    axes.set_xlabel("width (pixels)")
    axes.set_ylabel("height (pixels)")


def _sizes_alt(sizes: Counter, title, lost: int) -> str:
    total, upright = sum(sizes.values()), sum(n for (w, h), n in sizes.items() if h > w)
    named = [f"{w}x{h} (n={n})" for (w, h), n in sizes.most_common(6)]
    alt = f"Widths and heights{f', {title}' if title else ''}: {plural(total, 'video')} of {plural(len(sizes), 'size')}"
    alt += f", most often {listing(named, 6)}; {upright} higher than wide."
    return alt + (f" {plural(lost, 'video')} of unknown size." if lost else "")


@styled
def class_balance(records: Sequence[VideoRecord], *, num: int = 40) -> AltFigure:
    """How many videos each class has, by split; what the list itself calls unusable is hatched.

    Args:
        records: as ``vidbench.data.index.load_records`` gives them.
        num: classes to show by name at most; of more, only the sorted counts are drawn.

    Raises:
        ConfigError: no record with a label.
    """
    records = list(records)
    labelled = [record for record in records if record.label is not None]
    if not labelled:
        raise ConfigError("None of these records has a label, so there are no classes to count.")
    parts = _parts(labelled)
    totals = Counter(record.label for record in labelled)
    order = sorted(totals, key=lambda label: (-totals[label], label))
    least, most = order[-1], order[0]
    alt = f"{len(labelled)} videos in {plural(len(order), 'class', 'classes')}: "
    even = totals[most] == totals[least]
    alt += f"{totals[most]} each." if even else f"from {totals[least]} ({least}) to {totals[most]} ({most})."
    if len(parts) > 1:
        alt += " " + ", ".join(f"{name}: {sum(counts.values())}" for name, counts in parts.items()) + "."
    if len(labelled) < len(records):
        alt += f" {plural(len(records) - len(labelled), 'video')} without a label not counted."
    named = len(order) <= num
    figure = AltFigure((WIDTH, 0.8 + (0.2 * len(order) if named else 2.2)), alt=alt)
    _draw_balance(figure, parts, order, named)
    return figure


def _parts(records) -> dict[str, Counter]:
    """Counts by label, of each split's usable videos, and of all unusable ones."""
    parts: dict[str, Counter] = {}
    for record in records:
        name = "unusable" if record.status != "ok" else record.split or "all"
        parts.setdefault(name, Counter())[record.label] += 1
    first = ("train", "val", "test")
    return dict(
        sorted(
            parts.items(),
            key=lambda item: (item[0] == "unusable", first.index(item[0]) if item[0] in first else 9, item[0]),
        )
    )


def _draw_balance(figure: AltFigure, parts, order, named: bool) -> None:
    room = min(2.4, 0.2 + 0.08 * max(len(short(label, 28)) for label in order)) if named else 0.6
    axes = axes_at(figure, room, 0.42, WIDTH - room - 0.3, figure.get_figheight() - 0.75)
    places, start = np.arange(len(order)), np.zeros(len(order))
    for n, (name, counts) in enumerate(parts.items()):
        length = np.array([counts[label] for label in order])
        some = length > 0
        look: dict = {"color": SERIES[n % len(SERIES)], "label": f"{plain(name)} ({sum(counts.values())})"}
        if name == "unusable":
            look |= {"color": "white", "edgecolor": INK, "hatch": "////", "lw": 0.5}
        if named:
            axes.barh(places[some], length[some], 0.72, left=start[some], **look)
        else:
            axes.bar(places[some], length[some], 1.0, bottom=start[some], **look)
        start += length
    if named:
        for place, total in zip(places, start):
            axes.text(total, place, f" {total:.0f}", va="center", fontsize=7.5)
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.set_yticks(places, [short(label, 28) for label in order])
        axes.tick_params(left=False)
        axes.set_xlim(0, start.max() * 1.08)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("videos")
    else:
        axes.set_xlim(-0.5, len(order) - 0.5)
        axes.set_xlabel(f"{len(order)} classes, from the largest to the smallest")
        axes.set_ylabel("videos")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)
