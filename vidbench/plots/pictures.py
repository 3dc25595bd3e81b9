"""Frames and pictures side by side: sheets, strips, and heat over frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from PIL import Image

from vidbench.data.sample import middle_indices
from vidbench.plots.figure import MOST_NAMES, MUTED, WIDTH, AltFigure, axes_at, styled, text_at
from vidbench.plots.words import check_num, counted, listing, numbers, plain, short
from vidbench.records import ConfigError
from vidbench.utils import plural


@styled
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
        named = f": {listing(counted(titles), 12)}" if titles else ""
        alt = f"Contact sheet of {plural(len(images), 'picture')}{named}."
    figure = AltFigure(alt=alt, photo=True)
    _picture_grid(figure, [images[i : i + columns] for i in range(0, len(images), columns)], titles, columns)
    return figure


@styled
def class_sheet(pictures: Mapping[str, Sequence[np.ndarray]], *, num: int = 6, alt: str | None = None) -> AltFigure:
    """A row of pictures for each class, to see what its videos share.

    Args:
        pictures: by class name, uint8, (H, W, 3) each; a class may have none.
        num: pictures a class to show at most, 1 to 12: the first ones.
        alt: replaces the description made from names and numbers.

    Raises:
        ConfigError: no class, more than 60, no picture at all, or one of another shape or type.
    """
    check_num(num, "picture")
    rows = {
        str(name): [_image(image, f"{name}, picture {place}") for place, image in enumerate(images)]
        for name, images in pictures.items()
    }
    if not 1 <= len(rows) <= MOST_NAMES or not any(rows.values()) or num > 12:
        raise ConfigError(f"A class sheet needs pictures of 1 to {MOST_NAMES} classes, 12 of each at most.")
    if alt is None:
        counts = [f"{name} {len(images)}" for name, images in rows.items()]
        alt = f"A row of pictures for each of {plural(len(rows), 'class', 'classes')}, of pictures at hand: "
        alt += f"{listing(counts, 20)}; at most {num} are shown."
    figure = AltFigure(alt=alt, photo=True)
    _draw_class_rows(figure, {name: images[:num] for name, images in rows.items()}, num)
    return figure


def _draw_class_rows(figure: AltFigure, rows: Mapping[str, list], num: int) -> None:
    gap, room = 0.05, min(2.0, 0.2 + 0.075 * max(len(short(name, 26)) for name in rows))
    columns = min(num, max(len(images) for images in rows.values()))
    cell = min(1.3, (WIDTH - room) / columns - gap)
    shapes = [image.shape for images in rows.values() for image in images]
    height = min(1.3 * cell, cell * max(h / w for h, w, _ in shapes))
    figure.set_size_inches(room + columns * (cell + gap), len(rows) * (height + gap))
    bottom = figure.get_figheight()
    for name, images in rows.items():
        bottom -= height + gap
        text_at(figure, room - 0.1, bottom + height / 2, short(name, 26), ha="right", va="center")
        for place, image in enumerate(images):
            _show(axes_at(figure, room + place * (cell + gap), bottom, cell, height), image)


@styled
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
        alt = f"{what}{len(chosen)} of {plural(len(frames), 'frame')} in order of time, from {names[0]} to {names[-1]}."
    figure = AltFigure(alt=alt, photo=True)
    _picture_grid(figure, [[frames[i] for i in chosen]], names, len(chosen), title=title)
    return figure


@styled
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
        axes = axes_at(figure, left, 0.02, height * ratio, height)
        _show(axes, image)
        room = max(4, int(height * ratio * 12))
        axes.set_title(f"{short(name, room)}\n", fontsize=9, pad=2)
        axes.text(0, 1, size + " px", transform=axes.transAxes, fontsize=8, color=MUTED, va="bottom")
        left += height * ratio + gap
    return figure


@styled
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
    words = f"{plural(len(chosen), 'frame')}, and below the same under a heat map, "
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
        text_at(figure, 0, figure.get_figheight() - 0.2, plain(title), fontsize=10, weight="bold")
    bottom, room = figure.get_figheight() - top, max(3, int(cell * 13.5))
    for n, row in enumerate(rows):
        bottom -= height + below[n]
        for m, image in enumerate(row):
            _show(axes_at(figure, m * (cell + gap), bottom + below[n], cell, height), image)
            if titles:
                middle = m * (cell + gap) + cell / 2
                text_at(figure, middle, bottom + below[n] - 0.14, short(titles[n * columns + m], room), ha="center")


def _show(axes, image: np.ndarray) -> None:
    """A picture as it is: pixels seen where it is enlarged, smoothed where it is reduced."""
    axes.imshow(image, interpolation="antialiased", interpolation_stage="rgba")
    axes.set_axis_off()


def _strip(frames, times_s, num: int) -> tuple[np.ndarray, list[int], list[str]]:
    """Checked frames, which of them to show, and the words below each."""
    frames = _frames(frames)
    check_num(num, "frame")
    count = len(frames)
    chosen = list(range(count)) if count <= num else [int(i) for i in middle_indices(count, num)]
    if times_s is None:
        return frames, chosen, [f"frame {i}" for i in chosen]
    times = numbers(times_s, "times_s", count)
    return frames, chosen, [f"{times[i]:.2f} s" for i in chosen]


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
