"""Figures of clips, sampling, scores and runs: returned, never shown, each with its description in words.

Every function returns an ``AltFigure``: a matplotlib figure that pyplot knows nothing of, so a notebook shows it once,
as the last value of its cell. Its ``alt`` is written from the same data as the picture. Whatever a user has changed in
matplotlib's settings has no influence. Mistakes in what is handed over raise ``ConfigError``, in one sentence.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import itertools
import math
import operator
from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from vidbench.data.sample import middle_indices
from vidbench.metrics import per_class, percent, proportion
from vidbench.records import ConfigError, Prediction, VideoRecord
from vidbench.utils import printable

WIDTH = 7.6  # inches; at 100 CSS pixels an inch the width of a notebook's text
CSS_DPI = 100
CHART_DPI, PHOTO_DPI = 135, 115  # some device pixels more than CSS pixels: sharp enough, and small
MOST_COLOURS = 64  # of a chart's PNG
MOST_ALT = 4000  # letters of a description
MOST_NAMES = 60  # classes that a confusion matrix can name legibly

INK, MUTED, LINE, SOFT = "#1b2430", "#536070", "#c4ccd4", "#e9edf1"
BLUE, ORANGE = "#2b6a99", "#d55e00"  # right or usual, and wrong or special, everywhere
SERIES = ("#2b6a99", "#d55e00", "#008f73", "#6a1fa5", "#4f4000", "#1b2430")  # apart for colour-blind eyes too
DASHES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (1, 3)))
PICTURE_COLOURS, UNKNOWN = {"I": ORANGE, "P": BLUE, "B": "#9ec3de"}, "#737b84"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "axes.titlecolor": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "text.parse_math": False,  # labels are names, not formulas: $ means $
    "svg.hashsalt": "vidbench",
}


class AltFigure(Figure):
    """A matplotlib figure that carries its description.

    Args:
        alt: what the picture says, in a sentence or two.
        photo: whether it holds video frames; then it is stored as JPEG, else as PNG of few colours.
        args, kwargs: as for matplotlib's ``Figure``, but for ``dpi``.
    """

    def __init__(self, *args, alt: str = "", photo: bool = False, **kwargs):
        super().__init__(*args, dpi=PHOTO_DPI if photo else CHART_DPI, **kwargs)
        FigureCanvasAgg(self)
        self.alt, self.photo = alt, photo

    @property
    def alt(self) -> str:
        """What the picture says; control characters, and bytes of names that are no text, are written out."""
        return self._alt

    @alt.setter
    def alt(self, words: str) -> None:
        self._alt = printable(words, MOST_ALT)

    @property
    def mime(self) -> str:
        """``image/jpeg`` where the figure holds video frames, else ``image/png``."""
        return "image/jpeg" if self.photo else "image/png"

    def data(self) -> bytes:
        """The encoded picture, of the type ``mime``; the same figure gives the same bytes."""
        return self._encoded(self._drawn(), "JPEG" if self.photo else "PNG")

    def html(self) -> str:
        """The picture as one ``<img>`` element with its alt text, for a page or a widget; as WebP, which is smaller."""
        return self._img(self._drawn())

    def _drawn(self) -> Image.Image:
        with style():
            self.canvas.draw()
        pixels = np.asarray(self.canvas.buffer_rgba())[..., :3]
        return Image.fromarray(pixels.copy()) if self.photo else _few_colours(pixels)

    def _encoded(self, picture: Image.Image, kind: str) -> bytes:
        how = {"JPEG": {"quality": 78}, "PNG": {}, "WEBP": {"quality": 70, "lossless": not self.photo}}[kind]
        buffer = io.BytesIO()
        picture.save(buffer, kind, **how, **({} if kind == "WEBP" else {"optimize": True}))
        return buffer.getvalue()

    def _img(self, picture: Image.Image) -> str:
        data = base64.b64encode(self._encoded(picture.convert("RGB"), "WEBP")).decode()
        width = round(self.get_figwidth() * CSS_DPI)
        look = f"width:{width}px;max-width:100%;height:auto;background:#fff"
        return f'<img src="data:image/webp;base64,{data}" alt="{html.escape(self.alt)}" style="{look}">'

    def _repr_mimebundle_(self, include=None, exclude=None):
        """HTML with the alt text for those that show HTML, the bare picture for those that do not."""
        picture = self._drawn()
        data = base64.b64encode(self._encoded(picture, "JPEG" if self.photo else "PNG")).decode()
        width, height = (round(inches * CSS_DPI) for inches in self.get_size_inches())
        about = {self.mime: {"alt": self.alt, "width": width, "height": height}}
        return {"text/html": self._img(picture), self.mime: data, "text/plain": self.alt}, about

    def _ipython_display_(self):
        """Stands before the formatter for figures that ``import matplotlib.pyplot`` sets, which knows no alt text."""
        from IPython.display import display

        data, about = self._repr_mimebundle_()
        display(data, metadata=about, raw=True)


def _few_colours(pixels: np.ndarray) -> Image.Image:
    """A chart (H, W, 3) in its most frequent colours; the rest, edges of lines and letters, take the nearest of them.

    Pillow's own quantisers average colours, which turns thin lines into other ones than the legend's.
    """
    h, w, _ = pixels.shape
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    kept = colours[np.lexsort((colours, -counts))[:MOST_COLOURS]]
    parts = [np.stack([some >> 16, some >> 8 & 255, some & 255], -1).astype(np.int32) for some in (colours, kept)]
    nearest = np.concatenate(
        [
            ((some[:, None] - parts[1][None]) ** 2).sum(-1).argmin(1)
            for some in np.array_split(parts[0], 1 + h * w // 4096)
        ]
    )
    image = Image.fromarray(nearest[places].reshape(h, w).astype(np.uint8), "P")
    image.putpalette(parts[1].astype(np.uint8).tobytes())
    return image


# --- pictures --------------------------------------------------------------------------------------------------------


def style():
    """For a ``with`` block: our settings on top of matplotlib's own, whatever the user's are, until it ends."""
    own = {name: value for name, value in matplotlib.rcParamsDefault.items() if name not in _KEPT}
    return matplotlib.rc_context({**own, **STYLE})


_KEPT = {"backend", "backend_fallback", "interactive", "toolbar", "timezone", "webagg.port", "webagg.address"}


def _styled(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with style():
            return function(*args, **kwargs)

    return wrapper


@_styled
def contact_sheet(images: Sequence[np.ndarray], titles=None, *, columns: int = 6, alt: str | None = None) -> AltFigure:
    """Many pictures in rows, each fitted into a cell of the same size.

    Args:
        images: uint8, (H, W, 3) each, at least one; sizes may differ.
        titles: one a picture, cut to the cell's width; ``None`` for none.
        columns: pictures a row, 1 to 12.
        alt: replaces the description made from the titles.

    Raises:
        ConfigError: no picture, one of another shape or type, or not as many titles as pictures.
    """
    images = [_image(image, f"picture {number}") for number, image in enumerate(images)]
    titles = None if titles is None else [str(title) for title in titles]
    if not images or not 1 <= columns <= 12:
        raise ConfigError(f"A contact sheet needs a picture and 1 to 12 columns, not {len(images)} and {columns}.")
    if titles is not None and len(titles) != len(images):
        raise ConfigError(f"{len(images)} pictures with {len(titles)} titles: give one title a picture, or none.")
    columns = min(columns, len(images))
    if alt is None:
        named = f": {_listing(_counted(titles), 12)}" if titles else ""
        alt = f"Contact sheet of {_plural(len(images), 'picture')}{named}."
    figure = AltFigure(alt=alt, photo=True)
    _picture_grid(figure, [images[i : i + columns] for i in range(0, len(images), columns)], titles, columns)
    return figure


@_styled
def class_sheet(pictures: Mapping[str, Sequence[np.ndarray]], *, num: int = 6, alt: str | None = None) -> AltFigure:
    """A row of pictures for each class, to see what its videos share.

    Args:
        pictures: by class name, uint8, (H, W, 3) each; a class may have none.
        num: pictures a class to show at most, 1 to 12: the first ones.
        alt: replaces the description made from names and numbers.

    Raises:
        ConfigError: no class, more than 60, no picture at all, or one of another shape or type.
    """
    _check_num(num, "picture")
    rows = {
        str(name): [_image(image, f"{name}, picture {place}") for place, image in enumerate(images)]
        for name, images in pictures.items()
    }
    if not 1 <= len(rows) <= MOST_NAMES or not any(rows.values()) or num > 12:
        raise ConfigError(f"A class sheet needs pictures of 1 to {MOST_NAMES} classes, 12 of each at most.")
    if alt is None:
        counts = [f"{name} {len(images)}" for name, images in rows.items()]
        alt = f"A row of pictures for each of {_plural(len(rows), 'class', 'classes')}, of pictures at hand: "
        alt += f"{_listing(counts, 20)}; at most {num} are shown."
    figure = AltFigure(alt=alt, photo=True)
    _draw_class_rows(figure, {name: images[:num] for name, images in rows.items()}, num)
    return figure


def _draw_class_rows(figure: AltFigure, rows: Mapping[str, list], num: int) -> None:
    gap, room = 0.05, min(2.0, 0.2 + 0.075 * max(len(_short(name, 26)) for name in rows))
    columns = min(num, max(len(images) for images in rows.values()))
    cell = min(1.3, (WIDTH - room) / columns - gap)
    shapes = [image.shape for images in rows.values() for image in images]
    height = min(1.3 * cell, cell * max(h / w for h, w, _ in shapes))
    figure.set_size_inches(room + columns * (cell + gap), len(rows) * (height + gap))
    bottom = figure.get_figheight()
    for name, images in rows.items():
        bottom -= height + gap
        _text(figure, room - 0.1, bottom + height / 2, _short(name, 26), ha="right", va="center")
        for place, image in enumerate(images):
            _show(_axes(figure, room + place * (cell + gap), bottom, cell, height), image)


@_styled
def film_strip(frames: np.ndarray, times_s=None, *, num: int = 8, title=None, alt: str | None = None) -> AltFigure:
    """Some frames of a clip in a row, in order of time, spread evenly.

    Args:
        frames: uint8, (T, H, W, 3).
        times_s: (T,), seconds; printed below the frames. Without them the frames' numbers are, from 0.
        num: frames to show at most; all are shown where there are fewer.
        title: above the strip.
        alt: replaces the description.

    Raises:
        ConfigError: frames of another shape or type, or times that do not fit.
    """
    frames, chosen, names = _strip(frames, times_s, num)
    if alt is None:
        what = f"{title}: " if title else ""
        alt = (
            f"{what}{len(chosen)} of {_plural(len(frames), 'frame')} in order of time, from {names[0]} to {names[-1]}."
        )
    figure = AltFigure(alt=alt, photo=True)
    _picture_grid(figure, [[frames[i] for i in chosen]], names, len(chosen), title=title)
    return figure


@_styled
def side_by_side(images: Mapping[str, np.ndarray], *, alt: str | None = None) -> AltFigure:
    """Pictures of the same thing next to each other at equal height, each with its name and size in pixels.

    Small pictures are enlarged without smoothing, so that their pixels are seen.

    Args:
        images: name → uint8 (H, W, 3), 1 to 6 of them.
        alt: replaces the description.

    Raises:
        ConfigError: no picture or too many, or one of another shape or type.
    """
    images = {str(name): _image(image, str(name)) for name, image in dict(images).items()}
    if not 1 <= len(images) <= 6:
        raise ConfigError(f"1 to 6 pictures fit side by side, not {len(images)}; contact_sheet takes more.")
    sizes = [f"{image.shape[1]}×{image.shape[0]}" for image in images.values()]
    if alt is None:
        alt = "Side by side, width × height in pixels: " + ", ".join(map(" ".join, zip(images, sizes))) + "."
    figure = AltFigure(alt=alt, photo=True)
    gap, ratios = 0.12, [image.shape[1] / image.shape[0] for image in images.values()]
    height = min(2.6, (WIDTH - gap * (len(ratios) - 1)) / sum(ratios))
    figure.set_size_inches(WIDTH, height + 0.5)
    left = 0.0
    for (name, image), size, ratio in zip(images.items(), sizes, ratios):
        axes = _axes(figure, left, 0.02, height * ratio, height)
        _show(axes, image)
        room = max(4, int(height * ratio * 12))
        axes.set_title(f"{_short(name, room)}\n", fontsize=9, pad=2)
        axes.text(0, 1, size + " px", transform=axes.transAxes, fontsize=8, color=MUTED, va="bottom")
        left += height * ratio + gap
    return figure


@_styled
def heat_overlay(frames: np.ndarray, heat: np.ndarray, *, num: int = 8, alt: str | None = None) -> AltFigure:
    """Frames in a row, and below each the same frame under a heat map: where a network looked.

    Args:
        frames: uint8, (T, H, W, 3).
        heat: (T, h, w), in [0, 1]; enlarged smoothly to the frames' size.
        num: frames to show at most, spread evenly.
        alt: text alternative; by default it says where the heat is strongest.

    Raises:
        ConfigError: shapes that do not fit, or heat outside [0, 1].
    """
    frames, chosen, names = _strip(frames, None, num)
    heat = np.asarray(heat, np.float64)
    if heat.ndim != 3 or len(heat) != len(frames) or heat.size == 0:
        raise ConfigError(f"heat must be (T, h, w) with T = {len(frames)} as the frames have, got {heat.shape}.")
    if not (np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1):
        raise ConfigError("heat must lie in [0, 1]: divide it by its largest value.")
    shown = heat[chosen]
    n, y, x = np.unravel_index(shown.argmax(), shown.shape)
    where = _place((y + 0.5) / heat.shape[1], (x + 0.5) / heat.shape[2])
    words = f"{_plural(len(chosen), 'frame')}, and below the same under a heat map, "
    words += (
        f"which is strongest in {names[n]}, {where} ({shown.max():.2f})."
        if shown.any()
        else "which is zero everywhere."
    )
    figure = AltFigure(alt=alt or words, photo=True)
    rows = [[frames[i] for i in chosen], [_heated(frames[i], heat[i]) for i in chosen]]
    _picture_grid(figure, rows, [""] * len(chosen) + names, len(chosen))
    return figure


def _heated(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) under heat (h, w): greyed where cold, yellow over red where hot; uint8 (H, W, 3)."""
    h, w, _ = frame.shape
    large = np.asarray(Image.fromarray(heat.astype(np.float32)).resize((w, h), Image.Resampling.BICUBIC)).clip(0, 1)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.7 * large)[..., :3] * 255
    share = (0.75 * large)[..., None]
    grey = frame.mean(-1, keepdims=True) * 0.6 + frame * 0.4
    return (grey * (1 - share) + colours * share).astype(np.uint8)


def _place(down: float, right: float) -> str:
    """``(0.1, 0.9)`` → ``at the upper right``."""
    row = "upper" if down < 1 / 3 else "lower" if down > 2 / 3 else ""
    column = "left" if right < 1 / 3 else "right" if right > 2 / 3 else ""
    if not row and not column:
        return "in the middle"
    return "at the " + " ".join(word for word in (row or ("" if column else "middle"), column or "middle") if word)


def _picture_grid(figure: AltFigure, rows, titles, columns: int, *, title=None) -> None:
    """Rows of pictures in cells of one size; titles below, one a picture in reading order; sets the figure's size."""
    gap, line = 0.06, 0.19
    cell = (WIDTH - gap * (columns - 1)) / columns
    cell = min(cell, 1.9)
    height = cell * max(image.shape[0] / image.shape[1] for row in rows for image in row)
    height = min(height, 2.6)
    top = 0.3 if title else 0.0
    below = [line if titles and any(titles[n * columns : (n + 1) * columns]) else gap for n in range(len(rows))]
    figure.set_size_inches(columns * (cell + gap) - gap, top + sum(height + space for space in below))
    if title:
        _text(figure, 0, figure.get_figheight() - 0.2, _plain(title), fontsize=10, weight="bold")
    bottom, room = figure.get_figheight() - top, max(3, int(cell * 13.5))
    for n, row in enumerate(rows):
        bottom -= height + below[n]
        for m, image in enumerate(row):
            _show(_axes(figure, m * (cell + gap), bottom + below[n], cell, height), image)
            if titles:
                middle = m * (cell + gap) + cell / 2
                _text(figure, middle, bottom + below[n] - 0.14, _short(titles[n * columns + m], room), ha="center")


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float):
    """Axes at a place given in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, width / w, height / h))


def _text(figure: Figure, left: float, bottom: float, words: str, **style) -> None:
    w, h = figure.get_size_inches()
    figure.text(left / w, bottom / h, words, **{"fontsize": 7.5, "color": INK, **style})


def _show(axes, image: np.ndarray) -> None:
    """A picture as it is: pixels seen where it is enlarged, smoothed where it is reduced."""
    axes.imshow(image, interpolation="antialiased", interpolation_stage="rgba")
    axes.set_axis_off()


def _strip(frames, times_s, num: int) -> tuple[np.ndarray, list[int], list[str]]:
    """Checked frames, which of them to show, and the words below each."""
    frames = _frames(frames)
    _check_num(num, "frame")
    count = len(frames)
    chosen = list(range(count)) if count <= num else [int(i) for i in middle_indices(count, num)]
    if times_s is None:
        return frames, chosen, [f"frame {i}" for i in chosen]
    times = _numbers(times_s, "times_s", count)
    return frames, chosen, [f"{times[i]:.2f} s" for i in chosen]


# --- sampling and files ----------------------------------------------------------------------------------------------


@_styled
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
        axes.set_title(_plain(title))
    _ticks_of_video(axes, times, len(clips))
    (_draw_one_clip if len(clips) == 1 else _draw_clips)(axes, clips, times)
    axes.set_xlabel(f"{unit} of the video")
    axes.xaxis.get_major_locator().set_params(integer=unit == "frames")
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    return figure


def _axis_of(num_frames: int, frame_rate, pts_s) -> tuple[np.ndarray, str]:
    """Where each frame of a video lies on the axis, and the axis' unit."""
    if pts_s is not None:
        return _numbers(pts_s, "pts_s", num_frames), "seconds"
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
        words.append(f"{name}{_run_words(clip)}" + (f", {twice} of them repeated" if twice else ""))
    count = f"{t} frames" if v == 1 else f"{v} clips of {t} frames"
    more = "; ..." if v > 6 else ""
    return f"{count} taken from a video of {num_frames}, {'; '.join(words)}{more}."


def _run_words(clip: np.ndarray) -> str:
    """``frames 3, 7, 11 to 63, 4 apart`` or the frames themselves."""
    steps = set(np.diff(clip).tolist())
    if len(clip) > 3 and len(steps) == 1:
        return f"frames {clip[0]}, {clip[1]} to {clip[-1]}, {steps.pop()} apart"
    if len(clip) <= 16:
        return "frames " + ", ".join(map(str, clip))
    return f"frames {clip[0]}, {clip[1]} to {clip[-1]}"


@_styled
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
    times = None if pts_s is None else _numbers(pts_s, "pts_s", total, finite=False)
    sizes = None if sizes is None else _numbers(sizes, "sizes", total)[:num]
    decoded = np.zeros(1) if dts_s is None else _numbers(dts_s, "dts_s", total, finite=False)
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
        _text(figure, left + 0.16, y, meaning[kind], fontsize=8)


def _gop_alt(types, shown, sizes, total: int) -> str:
    n, counts = len(types), Counter(types)
    alt = f"The first {n} of {total} pictures" if n < total else _plural(n, "picture")
    by_kind = [f"{counts[kind]} {kind}" for kind in sorted(counts, key=lambda kind: ("IPB".find(kind) % 9, kind))]
    alt += f" in the order of decoding: {', '.join(by_kind)}. "
    starts = [place for place, kind in enumerate(types) if kind == "I"]
    where = _listing([str(place) for place in starts], 8)
    alt += f"{'I picture' if len(starts) == 1 else 'I pictures'} at {where}. " if starts else "None is an I picture. "
    if shown is not None:
        moved = int(((shown != np.arange(n)) & (shown >= 0)).sum())
        alt += f"{moved or 'None'} of them {'are' if moved > 1 else 'is'} shown at another place than decoded. "
    if sizes is not None and starts and sizes.sum() > 0:
        alt += f"The I pictures hold {100 * sizes[starts].sum() / sizes.sum():.0f} % of the bytes. "
    return alt.strip()


# --- scores ----------------------------------------------------------------------------------------------------------


@_styled
def score_bars(predictions: Mapping, *, top: int = 5, truth: str | None = None) -> AltFigure:
    """The best classes of one or more predictions, a panel each.

    Args:
        predictions: name → ``Prediction``, or list of ``(label, score)``, or a row's ``top``; 1 to 6 of them. Scores
            that are not finite, as those of unmapped classes are, are left out.
        top: classes a panel.
        truth: the true class; its bar is blue, and named where it is not among the best.

    Raises:
        ConfigError: no prediction, too many, or one without a class.
    """
    panels = {str(name): _ranked(value, str(name)) for name, value in dict(predictions).items()}
    if not 1 <= len(panels) <= 6 or top < 1:
        raise ConfigError(f"score_bars draws 1 to 6 predictions and at least 1 class, not {len(panels)} and {top}.")
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    rows = min(top, max(map(len, panels.values())))
    height = 0.45 + 0.26 * rows + (0.2 if truth else 0)
    figure = AltFigure((WIDTH if columns > 1 else WIDTH * 0.7, lines * height), alt=_score_alt(panels, truth))
    for n, (name, ranked) in enumerate(panels.items()):
        _score_panel(figure, n, columns, height, name, ranked, min(top, rows), truth)
    return figure


def _score_panel(figure, n: int, columns: int, height: float, name: str, ranked, top: int, truth) -> None:
    width = figure.get_figwidth() / columns
    line, column = divmod(n, columns)
    label_room = min(0.5 * width, 0.12 + 0.075 * max(len(_short(label, 18)) for label, _ in ranked[:top]))
    foot = 0.25 if truth else 0.05
    bottom = figure.get_figheight() - (line + 1) * height + foot
    axes = _axes(figure, column * width + label_room, bottom, width - label_room - 0.45, height - 0.3 - foot)
    best = ranked[:top]
    known = [score for _, score in best]
    end = 1.0 if all(0 <= score <= 1 for score in known) else max(known) * 1.05
    colours = [BLUE if label == truth or truth is None else "#b3bcc6" for label, _ in best]
    axes.barh(range(len(best)), known, color=colours, height=0.7)
    for y, (label, score) in enumerate(best):
        axes.text(max(score, 0) + 0.02 * end, y, f"{score:.2f}", va="center", fontsize=8)
        axes.text(
            -0.02 * end, y, _short(label, 18), va="center", ha="right", fontsize=8, weight=_weight(label == truth)
        )
    axes.set_xlim(min(0, *known, 0), end)
    axes.set_ylim(top - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    _text(
        figure,
        column * width + 0.05,
        bottom + height - 0.25 - foot,
        _short(name, int(width * 11)),
        fontsize=9,
        weight="bold",
    )
    if truth:
        _text(
            figure,
            column * width + 0.05,
            bottom - 0.2,
            _short(_truth_words(ranked, truth), int(width * 14)),
            color=MUTED,
        )


def _weight(bold: bool) -> str:
    return "bold" if bold else "normal"


def _truth_words(ranked, truth: str) -> str:
    """Where the true class stands."""
    for place, (label, score) in enumerate(ranked, 1):
        if label == truth:
            return f"truth: place {place}, {score:.2f}, {truth}"
    return f"truth: not among them, {truth}"


def _ranked(value, name: str) -> list[tuple[str, float]]:
    """All classes of a prediction, best first, as they come where they are a list."""
    pairs = value.top(len(value.labels)) if isinstance(value, Prediction) else list(value)
    try:
        pairs = [(str(label), float(score)) for label, *_, score in pairs]
    except (TypeError, ValueError):
        raise ConfigError(f"{name}: give a Prediction, or a list of (label, score) pairs.") from None
    pairs = [pair for pair in pairs if math.isfinite(pair[1])]
    if not pairs:
        raise ConfigError(f"{name}: there must be at least one class with a finite score.")
    return sorted(pairs, key=lambda pair: -pair[1])


def _score_alt(panels, truth) -> str:
    words = []
    for name, ranked in panels.items():
        best = ", ".join(f"{label} {score:.2f}" for label, score in ranked[:3])
        words.append(f"{name}: {best}" + (f" ({_truth_words(ranked, truth)})" if truth else ""))
    return "Best classes. " + "; ".join(words) + "."


@_styled
def accuracy_bars(
    counts: Mapping[str, tuple[int, int]], *, chance: float | None = None, what: str = "accuracy"
) -> AltFigure:
    """Accuracies with their 95 % Wilson intervals.

    Args:
        counts: name → (number correct, n).
        chance: accuracy of guessing, in [0, 1]: a dashed line.
        what: another word, where other shares than accuracies are drawn.

    Raises:
        ConfigError: no entry, counts that are no whole numbers, more correct than there are, or chance outside [0, 1].
    """
    lines = {str(name): _share(pair, str(name)) for name, pair in dict(counts).items()}
    if not lines:
        raise ConfigError("accuracy_bars needs at least one name with (number correct, n).")
    alt = f"{what[:1].upper()}{what[1:]} with 95 % intervals. " + "; ".join(
        f"{name}: {_percent_n(line)}" for name, line in lines.items()
    )
    alt += "." if chance is None else f". Chance is {100 * _fraction(chance, 'chance'):.1f} %."
    figure = AltFigure((WIDTH, 0.75 + 0.34 * len(lines)), alt=alt)
    _interval_bars(figure, list(lines.items()), chance, f"{what} (%)")
    return figure


@_styled
def per_class_bars(metrics_or_rows, labels=None, *, over: str = "listed", num: int = 30, chance=None) -> AltFigure:
    """Accuracy of each class with its 95 % Wilson interval, the lowest first.

    Args:
        metrics_or_rows: what ``vidbench.metrics.summarise`` or ``per_class`` returns, a run's ``metrics.json``, or
            rows; rows need ``labels``.
        labels: class names in index order.
        over: ``listed`` (skipped videos count as wrong) or ``readable``.
        num: classes to show at most: those with the lowest accuracy.
        chance: accuracy of guessing, in [0, 1]: a dashed line.

    Raises:
        ConfigError: no class, rows without labels, or another word for ``over``.
    """
    if over not in ("listed", "readable"):
        raise ConfigError(f"over must be 'listed' or 'readable', not {over!r}.")
    _check_num(num, "class")
    table = _class_table(metrics_or_rows, labels)
    lines = [(str(line["label"]), line[over]) for line in table if line[over]]
    if not lines:
        raise ConfigError(f"No class has a {over} video with a label, so there is no accuracy to draw.")
    lines.sort(key=lambda line: (line[1]["value"], line[0]))
    shown = lines[:num]
    left_out = f" The {len(shown)} lowest of {len(lines)} classes are shown." if len(shown) < len(lines) else ""
    low, high = lines[0], lines[-1]
    alt = f"Accuracy of {_plural(len(lines), 'class', 'classes')} over {over} videos, with 95 % intervals, from "
    alt += f"{low[0]} ({_percent_n(low[1])}) to {high[0]} ({_percent_n(high[1])}).{left_out}"
    figure = AltFigure((WIDTH, 0.75 + 0.24 * len(shown)), alt=alt)
    title = left_out.strip() or None
    _interval_bars(figure, shown, chance, f"accuracy over {over} videos (%)", title=title)
    return figure


def _class_table(given, labels) -> list[dict]:
    """Dicts as ``metrics.per_class`` makes them, from all that holds them."""
    if isinstance(given, Mapping):
        if "per_class" not in given:
            raise ConfigError("These metrics hold no 'per_class'; hand over what metrics.summarise returns.")
        return list(given["per_class"])
    given = list(given)
    if given and isinstance(given[0], Mapping):
        return given
    if labels is None:
        raise ConfigError("Rows need the class names too: per_class_bars(rows, labels).")
    return per_class(given, list(labels))


def _interval_bars(figure: AltFigure, lines, chance, axis: str, *, title=None) -> None:
    """Bars from 0 to 100 % with whiskers, and the numbers at the right."""
    room = min(2.4, 0.2 + 0.082 * max(len(_short(name, 28)) for name, _ in lines))
    top = 0.35 if title else 0.25 if chance is not None else 0.1
    axes = _axes(figure, room, 0.45, WIDTH - room - 2.25, figure.get_figheight() - 0.45 - top)
    for y, (_, line) in enumerate(lines):
        if line is None:
            continue
        value, low, high = (100 * line[key] for key in ("value", "low", "high"))
        axes.barh(y, value, color="#a9c6dc", height=0.62)
        axes.plot([low, high], [y, y], color=INK, lw=1.2, solid_capstyle="butt")
        axes.plot([low, low, np.nan, high, high], [y - 0.14, y + 0.14, np.nan, y - 0.14, y + 0.14], color=INK, lw=1.2)
        axes.plot(value, y, "o", color=BLUE, ms=4.5, clip_on=False)
    for y, (_, line) in enumerate(lines):
        axes.text(104, y, _percent_n(line), va="center", fontsize=8, clip_on=False)
    if chance is not None:
        axes.axvline(100 * _fraction(chance, "chance"), color=ORANGE, ls="--", lw=1.2)
        axes.annotate(
            "chance",
            (100 * chance, 1),
            (3, 1),
            xycoords=("data", "axes fraction"),
            color=ORANGE,
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [_short(name, 28) for name, _ in lines])
    axes.tick_params(left=False)
    axes.grid(axis="x")
    axes.set_xlabel(axis)
    if title:
        _text(figure, 0.05, figure.get_figheight() - 0.2, title, fontsize=9, weight="bold")


@_styled
def change_bars(changes: Mapping[str, Mapping], *, what: str = "accuracy") -> AltFigure:
    """Paired differences of shares with their intervals, in points, around a line at zero.

    Args:
        changes: name → ``{value, low, high}`` in [-1, 1], as ``intervals.paired_difference`` gives them. Where an
            interval leaves out zero, its point is filled.
        what: another word, where other shares than accuracies are compared.

    Raises:
        ConfigError: no entry, or numbers that are not low <= value <= high in [-1, 1].
    """
    lines = {str(name): _ends(change, str(name)) for name, change in dict(changes).items()}
    if not lines:
        raise ConfigError("change_bars needs at least one name with value, low and high.")
    told = {name: "{:+.1f} [{:+.1f}, {:+.1f}]".format(*ends) for name, ends in lines.items()}
    alt = f"Change of {what} in points, with 95 % intervals. " + "; ".join(map(": ".join, told.items())) + "."
    figure = AltFigure((WIDTH, 0.75 + 0.28 * len(lines)), alt=alt)
    _draw_changes(figure, lines, told, f"change of {what} (points)")
    return figure


def _ends(change: Mapping, name: str) -> tuple[float, float, float]:
    """Value, low and high in points."""
    try:
        value, low, high = (float(change[key]) for key in ("value", "low", "high"))
    except (TypeError, ValueError, KeyError):
        raise ConfigError(f"{name}: give value, low and high, not {printable(change, 80)}.") from None
    if not -1 <= low <= value <= high <= 1:
        raise ConfigError(f"{name}: low <= value <= high must hold within -1 and 1, not {low}, {value}, {high}.")
    return 100 * value, 100 * low, 100 * high


def _draw_changes(figure: AltFigure, lines, told, axis: str) -> None:
    room = min(2.4, 0.2 + 0.082 * max(len(_short(name, 28)) for name in lines))
    axes = _axes(figure, room, 0.45, WIDTH - room - 2.05, figure.get_figheight() - 0.55)
    low, high = min(0, *(ends[1] for ends in lines.values())), max(0, *(ends[2] for ends in lines.values()))
    space = max(2.0, 0.04 * (high - low))
    axes.axvline(0, color=MUTED, lw=1.0)
    for y, (name, (value, least, most)) in enumerate(lines.items()):
        axes.plot([least, most], [y, y], color=INK, lw=1.4, solid_capstyle="butt")
        sure = least > 0 or most < 0
        axes.plot(value, y, "o", color=BLUE, mfc=BLUE if sure else "white", ms=5.5, mew=1.4)
        axes.annotate(told[name], (1, y), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="center", fontsize=8, annotation_clip=False)  # fmt: skip
    axes.set_xlim(low - space, high + space)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [_short(name, 28) for name in lines])
    axes.tick_params(left=False)
    axes.grid(axis="x")
    axes.set_xlabel(axis)


def _share(pair, name: str) -> dict | None:
    try:
        right, n = (operator.index(value) for value in pair)
        return proportion(right, n)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name}: give whole numbers (number correct, n) with 0 <= number correct <= n, not {pair!r}."
        ) from None


def _percent_n(line: dict | None) -> str:
    return "not known, n=0" if line is None else f"{percent(line)}, n={line['n']}"


@_styled
def confusion(matrix, labels: Sequence[str], *, normalise: bool = True) -> AltFigure:
    """True classes in rows, given classes in columns; the diagonal blue, mistakes orange.

    Args:
        matrix: counts, (K, K), or (K, K + 1) as ``vidbench.metrics.confusion_matrix`` gives it: the last column
            counts skipped videos and answers that are no class.
        labels: class names, K of them.
        normalise: percent of the row instead of counts.

    Raises:
        ConfigError: shapes that do not fit, or counts that are negative or no numbers.
    """
    counts, labels = np.asarray(matrix), [str(label) for label in labels]
    k = len(labels)
    if k == 0 or counts.shape not in ((k, k), (k, k + 1)):
        raise ConfigError(f"matrix must be ({k}, {k}) or ({k}, {k + 1}) for {k} labels, got {counts.shape}.")
    if counts.dtype.kind not in "iuf" or not np.isfinite(counts).all() or (counts < 0).any():
        raise ConfigError("matrix must hold counts: numbers of at least 0.")
    size = min(0.37, 5.6 / k)
    room = 0.4 + (0.066 * max(len(_short(label, 20)) for label in labels) if k <= MOST_NAMES else 0)
    width = counts.shape[1] * size
    figure = AltFigure((room + width + 0.3, room + k * size + 0.12), alt=_confusion_alt(counts, labels))
    axes = _axes(figure, room, 0.05, width, k * size)
    _draw_confusion(axes, counts, labels, normalise, size)
    return figure


def _draw_confusion(axes, counts: np.ndarray, labels, normalise: bool, size: float) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    blues = LinearSegmentedColormap.from_list("right", ["#ffffff", "#cfe2f0", BLUE])
    oranges = LinearSegmentedColormap.from_list("wrong", ["#ffffff", "#fbdfc0", "#b95d12"])
    strength = shares**0.7  # so that a few percent show
    colours = np.where(np.eye(*counts.shape, dtype=bool)[..., None], blues(strength), oranges(strength))
    axes.imshow(colours, interpolation="nearest", aspect="auto")
    for row, column in np.argwhere(counts > 0) if size >= 0.25 else ():
        value = 100 * shares[row, column] if normalise else counts[row, column]
        ink = "white" if colours[row, column, :3] @ (0.3, 0.6, 0.1) < 0.6 else INK
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=min(8, 20 * size), color=ink)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(f"given class, {'% of the row' if normalise else 'videos'}")
    axes.set_ylabel("true class")
    axes.spines[:].set_visible(True)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    if len(labels) <= MOST_NAMES:
        _name_cells(axes, counts.shape, labels, min(8, 55 * size))


def _name_cells(axes, shape: tuple[int, int], labels, font: float) -> None:
    """Class names at the cells' rows and columns, and thin lines between the cells."""
    names = [_short(label, 20) for label in labels]
    axes.set_yticks(range(shape[0]), names, fontsize=font)
    axes.set_xticks(range(shape[1]), [*names, "none"][: shape[1]], rotation=90, fontsize=font)
    axes.set_xticks(np.arange(-0.5, shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, shape[0]), minor=True)
    axes.grid(which="minor", lw=0.5)
    axes.tick_params(which="minor", length=0)


def _confusion_alt(counts: np.ndarray, labels) -> str:
    total, right = counts.sum(), np.trace(counts)
    alt = f"Confusion matrix of {len(labels)} classes, rows true, columns given: "
    if total == 0:
        return alt + "it counts no video."
    alt += f"{right:g} of {total:g} videos lie on the diagonal. "
    wrong = counts * ~np.eye(*counts.shape, dtype=bool)
    if wrong.any():
        row, column = np.unravel_index(wrong.argmax(), wrong.shape)
        times = _plural(f"{wrong[row, column]:g}", "time")
        alt += f"The most frequent mistake is {labels[row]} taken for {[*labels, 'none'][column]}, {times}."
    return alt.strip()


# --- tables of numbers -----------------------------------------------------------------------------------------------


@_styled
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
    values = _numbers(values, "values", None, finite=False)
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
            own, edges, histtype="step", color=SERIES[n], ls=DASHES[n], lw=1.6, label=f"{_plain(kind)} (n={len(own)})"
        )
    if kinds:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    axes.set_title(_plain(title) if title else "")
    axes.set_xlabel(_plain(unit))
    axes.set_ylabel("count")
    axes.yaxis.get_major_locator().set_params(integer=True)
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
    return alt + (f" {_plural(lost, 'value')} not known." if lost else "")


@_styled
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
    _check_num(num, "size")
    widths = _numbers(widths, "widths", None, finite=False)
    heights = _numbers(heights, "heights", len(widths), finite=False)
    known = np.isfinite(widths) & np.isfinite(heights) & (widths > 0) & (heights > 0)
    if not known.any():
        raise ConfigError("There is no video of known size to draw.")
    sizes = Counter(zip(widths[known].round().astype(int).tolist(), heights[known].round().astype(int).tolist()))
    figure = AltFigure((WIDTH, 4.2), alt=_sizes_alt(sizes, title, int((~known).sum())))
    axes = figure.add_axes((0.09, 0.12, 0.69, 0.77))
    _draw_sizes(axes, sizes, num)
    axes.set_title(_plain(title) if title else "")
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
    alt = (
        f"Widths and heights{f', {title}' if title else ''}: {_plural(total, 'video')} of {_plural(len(sizes), 'size')}"
    )
    alt += f", most often {_listing(named, 6)}; {upright} higher than wide."
    return alt + (f" {_plural(lost, 'video')} of unknown size." if lost else "")


@_styled
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
    alt = f"{len(labelled)} videos in {_plural(len(order), 'class', 'classes')}: "
    even = totals[most] == totals[least]
    alt += f"{totals[most]} each." if even else f"from {totals[least]} ({least}) to {totals[most]} ({most})."
    if len(parts) > 1:
        alt += " " + ", ".join(f"{name}: {sum(counts.values())}" for name, counts in parts.items()) + "."
    if len(labelled) < len(records):
        alt += f" {_plural(len(records) - len(labelled), 'video')} without a label not counted."
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
    room = min(2.4, 0.2 + 0.08 * max(len(_short(label, 28)) for label in order)) if named else 0.6
    axes = _axes(figure, room, 0.42, WIDTH - room - 0.3, figure.get_figheight() - 0.75)
    places, start = np.arange(len(order)), np.zeros(len(order))
    for n, (name, counts) in enumerate(parts.items()):
        length = np.array([counts[label] for label in order])
        some = length > 0
        look = {"color": SERIES[n % len(SERIES)], "label": f"{_plain(name)} ({sum(counts.values())})"}
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
        axes.set_yticks(places, [_short(label, 28) for label in order])
        axes.tick_params(left=False)
        axes.set_xlim(0, start.max() * 1.08)
        axes.set_xlabel("videos")
    else:
        axes.set_xlim(-0.5, len(order) - 0.5)
        axes.set_xlabel(f"{len(order)} classes, from the largest to the smallest")
        axes.set_ylabel("videos")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)


@_styled
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
    times = _numbers(times_s, "times_s", len(scores))
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
            raise ConfigError(f"truth: {_short(label, 40)} must end after it starts, not {start} to {end} s.")
    return spans


def _draw_timeline(figure: AltFigure, times, scores, labels, drawn, spans, what: str) -> None:
    axes = figure.add_axes((0.08, 0.16, 0.7, 0.7 if spans else 0.78))
    looks = {label: (SERIES[n], DASHES[n]) for n, label in enumerate(drawn)}
    for label in drawn:
        colour, dashes = looks[label]
        column = scores[:, labels.index(label)]
        marker = "o" if len(times) < 40 else None
        axes.plot(times, column, color=colour, ls=dashes, lw=1.8, label=_short(label, 20), marker=marker, ms=3)
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
            _short(label, room) if room > 2 else "",
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
    return f"{what[:1].upper()}{what[1:]} from {times[0]:.1f} to {times[-1]:.1f} s: {_listing(peaks, 8)}."


def _timeline_alt(times, scores, labels, spans) -> str:
    best = [labels[i] for i in np.nan_to_num(scores, nan=-np.inf).argmax(axis=1)]
    starts = [n for n in range(len(best)) if n == 0 or best[n] != best[n - 1]]
    runs = [f"{best[n]} from {times[n]:.1f} s" for n in starts]
    alt = f"Scores over time from {times[0]:.1f} to {times[-1]:.1f} s. The best class is {_listing(runs, 8)}."
    if spans:
        alt += (
            " True are "
            + _listing([f"{label} from {start:.1f} to {end:.1f} s" for start, end, label in spans], 8)
            + "."
        )
    return alt


@_styled
def named_points(
    groups: Mapping[str, Sequence[tuple]], *, x: str, y: str, lines: bool = False, log: bool = False, title=None
) -> AltFigure:
    """Points with names, in groups of one colour each; of groups that are curves, a line through each.

    Args:
        groups: name of a group → ``(x, y, name)`` of each point; an empty name is not written.
        x: what the horizontal axis says.
        y: likewise the vertical one.
        lines: whether the points of a group are joined, in their order along x.
        log: whether x is drawn by its logarithm.
        title: above the figure.

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
        look = {"color": SERIES[n], "label": _short(group, 24), "marker": MARKERS[n], "ms": 6}
        axes.plot(*zip(*places), ls=DASHES[n] if lines else "none", lw=1.8, **look)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.12, y=0.1)
    axes.set(xlabel=x, ylabel=y, title=_plain(title) if title else "")
    axes.grid()
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, handlelength=3)
    _name_points(axes, [point for found in points.values() for point in found])
    return figure


def _name_points(axes, points) -> None:
    """Names beside their points, where there is room: clear of other points, of names before, and inside the axes."""
    renderer, taken = axes.figure.canvas.get_renderer(), []
    marks = axes.transData.transform([(x, y) for x, y, _ in points])
    for x, y, name in points:
        best = None
        for right, up in itertools.product((6, -6), (3, -9)) if name else ():
            look = {"ha": "left" if right > 0 else "right", "fontsize": 7.5, "color": INK}
            words = axes.annotate(_short(name, 28), (x, y), (right, up), textcoords="offset points", **look)
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


MARKERS = "osD^vP"


def _points(found, group: str, log: bool) -> list[tuple[float, float, str]]:
    """Checked points of a group, from left to right."""
    try:
        points = sorted((float(x), float(y), str(name)) for x, y, name in found)
    except (TypeError, ValueError):
        raise ConfigError(f"{_short(group, 40)}: give a list of (x, y, name).") from None
    if not points or not all(math.isfinite(x) and math.isfinite(y) and (x > 0 or not log) for x, y, _ in points):
        raise ConfigError(f"{_short(group, 40)}: points must be there and finite{', x above 0' if log else ''}.")
    return points


def _points_alt(points, x: str, y: str, title) -> str:
    words = []
    for group, found in points.items():
        places = [f"{name + ' ' if name else ''}{left:.4g}: {up:.4g}" for left, up, name in found]
        words.append(f"{group}: {_listing(places, 12)}")
    return f"{title + '. ' if title else ''}{y} against {x}. " + "; ".join(words) + "."


# --- checks and words ------------------------------------------------------------------------------------------------


def _image(image, name: str) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or image.size == 0:
        raise ConfigError(f"{name}: a picture must be uint8 (H, W, 3), got {image.dtype} {image.shape}.")
    return image


def _frames(frames) -> np.ndarray:
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or frames.size == 0:
        raise ConfigError(f"frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}.")
    return frames


def _numbers(values, name: str, count: int | None, *, finite: bool = True) -> np.ndarray:
    """Values as float64 (count,)."""
    try:
        numbers = np.asarray(list(values), np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} must be a list of numbers.") from None
    if numbers.ndim != 1 or (count is not None and len(numbers) != count):
        raise ConfigError(
            f"{name} must hold {'one' if count is None else count} number{'s' if count != 1 else ''}"
            f"{' a video' if count is None else ''}, got shape {numbers.shape}."
        )
    if finite and not np.isfinite(numbers).all():
        raise ConfigError(f"{name} must be finite numbers.")
    return numbers


def _check_num(num: int, what: str) -> None:
    if not isinstance(num, int | np.integer) or num < 1:
        raise ConfigError(f"num must be a whole number, at least 1 {what}, got {num!r}.")


def _fraction(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must be a fraction between 0 and 1, got {value}.")
    return float(value)


def _plain(words: object) -> str:
    """Words that a font can draw: blanks for all kinds of space, the rest as ``printable`` writes it."""
    return printable(" ".join(str(words).split()))


def _short(words: object, room: int) -> str:
    """Words cut to ``room`` letters, the last one an ellipsis."""
    words = _plain(words)
    return words if len(words) <= room else words[: max(1, room - 1)].rstrip() + "…"


def _plural(count, one: str, many: str | None = None) -> str:
    return f"{count} {one if str(count) == '1' else many or one + 's'}"


def _counted(words: Sequence[str]) -> list[str]:
    """Each word once, with how often it comes."""
    return [word if count == 1 else f"{word} ({count} times)" for word, count in Counter(words).items()]


def _listing(words: Sequence[str], most: int) -> str:
    """``a, b and c``, or the first ``most`` and how many more."""
    if len(words) > most:
        return ", ".join(words[:most]) + f" and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
