"""Scores over time, and named points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from vidbench.plots.figure import DASHES, INK, MUTED, SERIES, WIDTH, AltFigure, styled
from vidbench.plots.words import listing, numbers, plain, short
from vidbench.records import ConfigError


@styled
def timeline(times_s, scores, labels: Sequence[str], *, top: int = 5, truth=None, what: str = "score") -> AltFigure:
    """Scores of the strongest classes along a video, over what really happens in it.

    Args:
        times_s: (N,), seconds, the time that each row of scores stands for; increasing.
        scores: (N, K); what is not finite, as the scores of unmapped classes are not, is not drawn.
        labels: class names, K of them.
        top: classes to draw, 1 to 6: those with the highest score at any time, true ones first.
        truth: ``(start_s, end_s, label)`` of each action, drawn as bars above.
        what: another word, where other curves than scores are drawn.

    Raises:
        ConfigError: shapes that do not fit, times that go back, or truth that is no such list.
    """
    labels = [str(label) for label in labels]
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[1] != len(labels) or not len(scores):
        raise ConfigError(f"scores must be (N, {len(labels)}) for {len(labels)} labels, got {scores.shape}.")
    times = numbers(times_s, "times_s", len(scores))
    if (np.diff(times) <= 0).any():
        raise ConfigError("times_s must increase from one row of scores to the next.")
    if not 1 <= top <= len(SERIES):
        raise ConfigError(f"top must be 1 to {len(SERIES)} classes, got {top}.")
    spans = _spans(truth or ())
    true = list(dict.fromkeys(label for _, _, label in spans))
    scores = np.where(np.isfinite(scores), scores, np.nan)
    if np.isnan(scores).all(axis=1).any():
        raise ConfigError("A row of scores holds no finite number; leave such times out.")
    highest = np.where(np.isnan(scores), -np.inf, scores).max(axis=0)
    strongest = [labels[i] for i in np.argsort(-highest, kind="stable") if np.isfinite(highest[i])]
    drawn = [*[label for label in true if label in labels], *[label for label in strongest if label not in true]][:top]
    alt = _timeline_alt(times, scores, labels, spans) if what == "score" else _curves_alt(times, scores, labels, what)
    figure = AltFigure((WIDTH, 3.0), alt=alt)
    _draw_timeline(figure, times, scores, labels, drawn, spans, what)
    return figure


def _spans(truth) -> list[tuple[float, float, str]]:
    """Checked ``(start_s, end_s, label)`` of each action."""
    try:
        spans = [(float(start), float(end), str(label)) for start, end, label in truth]
    except (TypeError, ValueError):
        raise ConfigError("truth must be a list of (start_s, end_s, label).") from None
    for start, end, label in spans:
        if not -math.inf < start <= end < math.inf:
            raise ConfigError(f"truth: {short(label, 40)} must end after it starts, not {start} to {end} s.")
    return spans


def _draw_timeline(figure: AltFigure, times, scores, labels, drawn, spans, what: str) -> None:
    axes = figure.add_axes((0.08, 0.16, 0.7, 0.7 if spans else 0.78))
    looks = {label: (SERIES[n], DASHES[n]) for n, label in enumerate(drawn)}
    for label in drawn:
        colour, dashes = looks[label]
        column = scores[:, labels.index(label)]
        marker = "o" if len(times) < 40 else None
        axes.plot(times, column, color=colour, ls=dashes, lw=1.8, label=short(label, 20), marker=marker, ms=3)
    low, high = min([times[0], *[s for s, _, _ in spans]]), max([times[-1], *[e for _, e, _ in spans]])
    margin = 0.01 * (high - low) or 0.5
    axes.set_xlim(low - margin, high + margin)
    inside = np.nanmin(scores) >= 0 and np.nanmax(scores) <= 1
    if inside:
        axes.set_ylim(-0.02, 1.02)
    for start, end, label in spans:
        colour = looks.get(label, (MUTED, "-"))[0]
        axes.axvspan(start, end, color=colour, alpha=0.1, lw=0)
        bar = axes.get_xaxis_transform()
        axes.fill_between([start, end], 1.02, 1.11, color=colour, transform=bar, clip_on=False, lw=0)
        room = int(70 * (end - start) / (high - low + 2 * margin))
        axes.text(
            (start + end) / 2,
            1.06,
            short(label, room) if room > 2 else "",
            transform=bar,
            ha="center",
            va="center",
            color="white",
            fontsize=7.5,
        )
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, handlelength=3)
    axes.set_xlabel("seconds")
    axes.set_ylabel(what)
    axes.grid(axis="y")


def _curves_alt(times, values, labels, what: str) -> str:
    known = [(label, column) for label, column in zip(labels, values.T) if np.isfinite(column).any()]
    peaks = [f"{label} is highest at {times[np.nanargmax(column)]:.1f} s" for label, column in known]
    return f"{what[:1].upper()}{what[1:]} from {times[0]:.1f} to {times[-1]:.1f} s: {listing(peaks, 8)}."


def _timeline_alt(times, scores, labels, spans) -> str:
    best = [labels[i] for i in np.nan_to_num(scores, nan=-np.inf).argmax(axis=1)]
    starts = [n for n in range(len(best)) if n == 0 or best[n] != best[n - 1]]
    runs = [f"{best[n]} from {times[n]:.1f} s" for n in starts]
    alt = f"Scores over time from {times[0]:.1f} to {times[-1]:.1f} s. The best class is {listing(runs, 8)}."
    if spans:
        alt += (
            " True are " + listing([f"{label} from {start:.1f} to {end:.1f} s" for start, end, label in spans], 8) + "."
        )
    return alt


@styled
def named_points(
    groups: Mapping[str, Sequence[tuple]],
    *,
    x: str,
    y: str,
    lines: bool = False,
    log: bool = False,
    title=None,
    marks: bool = True,
) -> AltFigure:
    """Points with names, in groups of one colour each; of groups that are curves, a line through each.

    Args:
        groups: name of a group → ``(x, y, name)`` of each point; an empty name is not written.
        x: what the horizontal axis says.
        y: likewise the vertical one.
        lines: whether the points of a group are joined, in their order along x.
        log: whether x is drawn by its logarithm.
        title: above the figure.
        marks: whether each point is marked; not for curves of many points.

    Raises:
        ConfigError: no point, numbers that are not finite, x below or at 0 on a logarithmic axis, or more groups than
            there are colours.
    """
    points = {str(group): _points(found, str(group), log) for group, found in groups.items()}
    if not 1 <= len(points) <= len(SERIES):
        raise ConfigError(f"named_points draws 1 to {len(SERIES)} groups, not {len(points)}.")
    figure = AltFigure((WIDTH, 4.0), alt=_points_alt(points, x, y, title))
    axes = figure.add_axes((0.09, 0.13, 0.66, 0.79))
    for n, (group, found) in enumerate(points.items()):
        places = [point[:2] for point in found]
        axes.plot(
            *zip(*places), ls=DASHES[n] if lines else "none", lw=1.8, color=SERIES[n], label=short(group, 24),
            marker=MARKERS[n] if marks else None, ms=6,
        )  # fmt: skip
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.12, y=0.1)
    axes.set(xlabel=x, ylabel=y, title=plain(title) if title else "")
    axes.grid()
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, handlelength=3)
    _name_points(axes, [point for found in points.values() for point in found])
    return figure


MARKERS = "osD^vP"


def _name_points(axes, points) -> None:
    """Names beside their points, where there is room: clear of other points, of names before, and inside the axes."""
    axes.autoscale_view()  # else the limits would change when it is drawn, and the places of all words with them
    renderer = axes.figure.canvas.get_renderer()
    taken: list = []
    marks = axes.transData.transform([(x, y) for x, y, _ in points])
    for x, y, name in points:
        best = None
        for right, up in itertools.product((6, -6), (3, -9)) if name else ():
            look = {"ha": "left" if right > 0 else "right", "fontsize": 7.5, "color": INK}
            words = axes.annotate(short(name, 28), (x, y), (right, up), textcoords="offset points", **look)
            box = words.get_window_extent(renderer)
            hit = (
                box.count_overlaps(taken)
                + box.count_contains(marks)
                + (box.x1 > axes.bbox.x1)
                + (box.x0 < axes.bbox.x0)
            )
            if best is None or hit < best[0]:
                if best:
                    best[1].remove()
                best = hit, words, box
            else:
                words.remove()
        taken += [best[2]] if best else []


def _points(found, group: str, log: bool) -> list[tuple[float, float, str]]:
    """Checked points of a group, from left to right."""
    try:
        points = sorted((float(x), float(y), str(name)) for x, y, name in found)
    except (TypeError, ValueError):
        raise ConfigError(f"{short(group, 40)}: give a list of (x, y, name).") from None
    if not points or not all(math.isfinite(x) and math.isfinite(y) and (x > 0 or not log) for x, y, _ in points):
        raise ConfigError(f"{short(group, 40)}: points must be there and finite{', x above 0' if log else ''}.")
    return points


def _points_alt(points, x: str, y: str, title) -> str:
    words = []
    for group, found in points.items():
        places = [f"{name + ' ' if name else ''}{left:.4g}: {up:.4g}" for left, up, name in found]
        words.append(f"{group}: {listing(places, 12)}")
    return f"{title + '. ' if title else ''}{y} against {x}. " + "; ".join(words) + "."
