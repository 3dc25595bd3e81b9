"""Which frames a clip takes of a video, and how a file keeps its pictures."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.collections import LineCollection

from vidbench.plots.figure import BLUE, INK, LINE, ORANGE, WIDTH, AltFigure, styled, text_at
from vidbench.plots.words import listing, numbers, plain
from vidbench.records import ConfigError
from vidbench.utils import plural

PICTURE_COLOURS, UNKNOWN = {"I": ORANGE, "P": BLUE, "B": "#9ec3de"}, "#737b84"


@styled
def sampling_diagram(indices, num_frames: int, *, frame_rate=None, pts_s=None, title=None) -> AltFigure:
    """Which frame of the video each frame of a clip came from.

    One clip: a line from each frame taken down to its place in the clip. Several clips: a row of dots each, on
    the video's own time axis. Frames taken more than once are orange.

    Args:
        indices: int, (T,) or (V, T), in ``[0, num_frames)``.
        num_frames: frames in the video.
        frame_rate: frames per second, to count in seconds; else frames are counted.
        pts_s: (num_frames,), seconds; instead of ``frame_rate`` where it varies.
        title: above the figure.

    Raises:
        ConfigError: indices out of range or of another shape, or time stamps that do not fit.
    """
    clips = np.atleast_2d(np.asarray(indices))
    if clips.ndim != 2 or clips.size == 0 or clips.dtype.kind not in "iu":
        raise ConfigError(f"indices must be whole numbers (T,) or (V, T), got {clips.dtype} {np.shape(indices)}.")
    if clips.min() < 0 or clips.max() >= num_frames:
        raise ConfigError(f"indices run from {clips.min()} to {clips.max()}, but the video has {num_frames} frames.")
    times, unit = _axis_of(num_frames, frame_rate, pts_s)
    figure = AltFigure(
        (WIDTH, 1.9 if len(clips) == 1 else 1.2 + 0.3 * len(clips)), alt=_sampling_alt(clips, num_frames)
    )
    axes = figure.add_axes(
        (0.09, 0.42 / figure.get_figheight(), 0.89, 1 - (0.72 if title else 0.5) / figure.get_figheight())
    )
    if title:
        axes.set_title(plain(title))
    _ticks_of_video(axes, times, len(clips))
    (_draw_one_clip if len(clips) == 1 else _draw_clips)(axes, clips, times)
    axes.set_xlabel(f"{unit} of the video")
    axes.locator_params("x", integer=unit == "frames")
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    return figure


def _axis_of(num_frames: int, frame_rate, pts_s) -> tuple[np.ndarray, str]:
    """Where each frame of a video lies on the axis, and the axis' unit."""
    if pts_s is not None:
        return numbers(pts_s, "pts_s", num_frames), "seconds"
    if frame_rate is not None:
        if not frame_rate > 0:
            raise ConfigError(f"frame_rate must be positive, got {frame_rate}.")
        return np.arange(num_frames) / frame_rate, "seconds"
    return np.arange(num_frames, dtype=float), "frames"


def _ticks_of_video(axes, times: np.ndarray, num_clips: int) -> None:
    """The video's frames as small strokes along the top."""
    span = (times[-1] - times[0]) or 1.0
    axes.set_xlim(times[0] - 0.015 * span, times[-1] + 0.015 * span)
    top = 1.0 if num_clips == 1 else num_clips
    reach = 0.1 if num_clips == 1 else 0.3
    axes.set_ylim(-0.15 if num_clips == 1 else -0.6, top + reach * 1.3)
    axes.add_collection(LineCollection([[(t, top - reach), (t, top + reach)] for t in times], colors="#9aa5b1", lw=0.8))


def _repeated(clip: np.ndarray) -> np.ndarray:
    """Whether each frame of a clip stands in it more than once; bool (T,)."""
    values, counts = np.unique(clip, return_counts=True)
    return np.isin(clip, values[counts > 1])


def _draw_one_clip(axes, clips: np.ndarray, times: np.ndarray) -> None:
    (clip,) = clips
    low, high = axes.get_xlim()
    slots = low + (np.arange(len(clip)) + 0.5) / len(clip) * (high - low)
    colours = [ORANGE if twice else BLUE for twice in _repeated(clip)]
    lines = [[(times[i], 0.9), (slot, 0.14)] for i, slot in zip(clip, slots)]
    axes.add_collection(LineCollection(lines, colors=colours, lw=1))
    axes.add_collection(LineCollection([[(times[i], 0.9), (times[i], 1.1)] for i in clip], colors=colours, lw=2.2))
    axes.scatter(slots, np.zeros(len(clip)), c=colours, marker="s", s=min(190, 9000 / len(clip)), clip_on=False)
    if len(clip) <= 32:
        for i, slot in zip(clip, slots):
            axes.text(slot, 0, str(i), color="white", ha="center", va="center", fontsize=6.5 if len(clip) > 20 else 7.5)
    axes.set_yticks([0, 1], ["clip", "video"])


def _draw_clips(axes, clips: np.ndarray, times: np.ndarray) -> None:
    for row, clip in enumerate(clips):
        y = len(clips) - 1 - row
        colours = [ORANGE if twice else BLUE for twice in _repeated(clip)]
        axes.plot(times[[clip.min(), clip.max()]], [y, y], color=LINE, lw=1, zorder=1)
        axes.scatter(times[clip], np.full(len(clip), y), c=colours, s=22, zorder=2)
    axes.set_yticks(range(len(clips) + 1), [*[f"clip {n}" for n in range(len(clips), 0, -1)], "video"])


def _sampling_alt(clips: np.ndarray, num_frames: int) -> str:
    v, t = clips.shape
    words = []
    for number, clip in enumerate(clips[:6], 1):
        name = f"clip {number}: " if v > 1 else ""
        twice = int(_repeated(clip).sum())
        words.append(f"{name}{run_words(clip)}" + (f", {twice} of them repeated" if twice else ""))
    count = f"{t} frames" if v == 1 else f"{v} clips of {t} frames"
    more = "; ..." if v > 6 else ""
    return f"{count} taken from a video of {num_frames}, {'; '.join(words)}{more}."


def run_words(clip: np.ndarray) -> str:
    """``frames 3, 7 to 63, 4 apart`` or the frames themselves, of a clip int64 (T,), which may run backwards."""
    steps = set(np.diff(clip).tolist())
    if len(clip) > 3 and len(steps) == 1:
        return f"frames {clip[0]}, {clip[1]} to {clip[-1]}, {abs(steps.pop())} apart"
    if len(clip) <= 16:
        return "frames " + ", ".join(map(str, clip))
    return f"frames {clip[0]}, {clip[1]} to {clip[-1]}"


@styled
def gop_diagram(picture_types, *, pts_s=None, dts_s=None, sizes=None, num: int = 75) -> AltFigure:
    """The pictures of a file in the order of decoding: I stands alone, P refers back, B both ways.

    With time stamps, arrows lead to the order in which the pictures are shown; with sizes, bars above give bytes.

    Args:
        picture_types: ``"IPBBP..."`` or a list of letters, in the order of decoding; ``?`` where it is not known.
        pts_s: (N,), the time each picture is shown, in seconds; NaN where it is not known, which gets no arrow.
        dts_s: (N,), the time each is decoded; must not decrease; NaN where it is not known.
        sizes: (N,), bytes of each picture in the file.
        num: pictures to draw at most, from the first.

    Raises:
        ConfigError: no picture, numbers that do not fit, or decode times that go back.
    """
    types = [str(getattr(letter, "name", letter)) for letter in picture_types]
    total = len(types)
    if not types or num < 1:
        raise ConfigError("gop_diagram needs at least one picture: give a letter for each, such as 'IPBB'.")
    times = None if pts_s is None else numbers(pts_s, "pts_s", total, finite=False)
    sizes = None if sizes is None else numbers(sizes, "sizes", total)[:num]
    decoded = np.zeros(1) if dts_s is None else numbers(dts_s, "dts_s", total, finite=False)
    if (np.diff(decoded[np.isfinite(decoded)]) < 0).any():
        raise ConfigError("dts_s goes back in time: hand over the pictures in the order of decoding.")
    shown = None if times is None or np.isnan(times).all() else _ranks(times)[:num]
    figure = AltFigure((WIDTH, 0.55 + (0.9 if sizes is not None else 0) + (1.25 if shown is not None else 0.25)))
    figure.alt = _gop_alt(types[:num], shown, sizes, total)
    _draw_gop(figure, types[:num], shown, sizes)
    return figure


def _ranks(times: np.ndarray) -> np.ndarray:
    """The place of each picture in the order of showing, from 0; -1 where its time is NaN. int64 (N,)."""
    ranks = np.full(len(times), -1)
    known = np.flatnonzero(~np.isnan(times))
    ranks[known[np.argsort(times[known], kind="stable")]] = np.arange(len(known))
    return ranks


def _draw_gop(figure: AltFigure, types, shown, sizes) -> None:
    n, h = len(types), figure.get_figheight()
    colours = [PICTURE_COLOURS.get(kind, UNKNOWN) for kind in types]
    high = 0.9 if sizes is not None else 0.0
    axes = figure.add_axes((0.1, 0.02, 0.89, 1 - (0.35 + high) / h))
    axes.set_xlim(-0.6, (n if shown is None else max(n, shown.max() + 1)) - 0.4)
    axes.set_ylim(0.6 if shown is None else -0.3, 1.3)
    _row_of_pictures(axes, 1.0, np.arange(n), types, colours)
    axes.set_yticks([1.0], ["decoded"])
    if shown is not None:
        _row_of_pictures(axes, 0.0, shown, types, colours)
        axes.set_yticks([1.0, 0.0], ["decoded", "shown"])
    for place, target in enumerate(() if shown is None else shown):
        arrow = {"arrowstyle": "->", "lw": 0.8, "shrinkA": 8, "shrinkB": 8, "color": colours[place]}
        if target >= 0:
            axes.annotate("", (target, 0), (place, 1), arrowprops=arrow)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False)
    if sizes is not None:
        bars = figure.add_axes((0.1, 1 - (0.3 + high) / h, 0.89, high / h), sharex=axes)
        bars.bar(range(n), sizes / 1000, color=colours, width=0.8)
        bars.set_ylabel("kB")
        bars.tick_params(bottom=False, labelbottom=False)
    _letters_key(figure, types)


def _row_of_pictures(axes, y: float, places: np.ndarray, types, colours) -> None:
    """Squares with letters at each place that is known, which those below 0 are not."""
    known = [place for place, at in enumerate(places) if at >= 0]
    room = axes.get_xlim()[1]
    area = min(220, (430 / room) ** 2)
    axes.scatter(places[known], [y] * len(known), c=[colours[i] for i in known], marker="s", s=area, linewidths=0)
    for i in known if room <= 80 else ():
        look = {"fontsize": max(4.0, min(9.0, 330 / room)), "color": INK if types[i] == "B" else "white"}
        axes.text(places[i], y, types[i], ha="center", va="center", **look)


def _letters_key(figure: AltFigure, types) -> None:
    meaning = {"I": "I: alone", "P": "P: refers back", "B": "B: refers both ways"}
    present = [kind for kind in ("I", "P", "B") if kind in types]
    for n, kind in enumerate(present):
        left = 0.1 * WIDTH + 1.5 * n
        y = figure.get_figheight() - 0.17
        figure.text((left) / WIDTH, y / figure.get_figheight(), "■", color=PICTURE_COLOURS[kind], fontsize=9)
        text_at(figure, left + 0.16, y, meaning[kind], fontsize=8)


def _gop_alt(types, shown, sizes, total: int) -> str:
    n, counts = len(types), Counter(types)
    alt = f"The first {n} of {total} pictures" if n < total else plural(n, "picture")
    by_kind = [f"{counts[kind]} {kind}" for kind in sorted(counts, key=lambda kind: ("IPB".find(kind) % 9, kind))]
    alt += f" in the order of decoding: {', '.join(by_kind)}. "
    starts = [place for place, kind in enumerate(types) if kind == "I"]
    where = listing([str(place) for place in starts], 8)
    alt += f"{'I picture' if len(starts) == 1 else 'I pictures'} at {where}. " if starts else "None is an I picture. "
    if shown is not None:
        moved = int(((shown != np.arange(n)) & (shown >= 0)).sum())
        alt += f"{moved or 'None'} of them {'are' if moved > 1 else 'is'} shown at another place than decoded. "
    if sizes is not None and starts and sizes.sum() > 0:
        alt += f"The I pictures hold {100 * sizes[starts].sum() / sizes.sum():.0f} % of the bytes. "
    return alt.strip()
