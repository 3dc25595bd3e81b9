"""A figure that carries its description, its looks, and places in inches."""

from __future__ import annotations

import base64
import functools
import html
import io
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vidbench.utils import printable

WIDTH = 7.6  # inches; at 100 CSS pixels an inch the width of a notebook's text
CSS_DPI = 100
CHART_DPI, PHOTO_DPI = 135, 115  # some device pixels more than CSS pixels: sharp enough, and small
QUALITY, SPARE_QUALITY = 78, 55  # of JPEG: the figure itself, and its copy beside HTML
MOST_COLOURS = 64  # of a chart's PNG
MOST_NAMES = 60  # classes that a figure can name legibly
MOST_ALT = 4000  # letters of a description
INK, MUTED, LINE, SOFT = "#1b2430", "#536070", "#c4ccd4", "#e9edf1"
BLUE, ORANGE = "#2b6a99", "#d55e00"  # right or usual, and wrong or special, everywhere
SERIES = ("#2b6a99", "#d55e00", "#008f73", "#6a1fa5", "#4f4000", "#1b2430")  # apart for colour-blind eyes too
DASHES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (1, 3)))
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
_KEPT = {"backend", "backend_fallback", "interactive", "toolbar", "timezone", "webagg.port", "webagg.address"}


class AltFigure(Figure):
    """A matplotlib figure that carries its description.

    Args:
        alt: what the picture says, in a sentence or two.
        photo: whether it holds video frames; then it is stored as JPEG, else as PNG of few colours.
        figsize: width and height in inches; ``None`` where they are set later.
    """

    def __init__(self, figsize: tuple[float, float] | None = None, *, alt: str = "", photo: bool = False):
        super().__init__(figsize, dpi=PHOTO_DPI if photo else CHART_DPI)
        self._agg, self._alt, self.photo = FigureCanvasAgg(self), printable(alt, MOST_ALT), photo

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
            self._agg.draw()
        pixels = np.asarray(self._agg.buffer_rgba())[..., :3]
        return Image.fromarray(pixels.copy()) if self.photo else _few_colours(pixels)

    def _encoded(self, picture: Image.Image, kind: str, quality: int = QUALITY) -> bytes:
        how: dict[str, dict[str, int | bool]] = {
            "JPEG": {"quality": quality, "optimize": True},
            "PNG": {"optimize": True},
            "WEBP": {"quality": 70, "method": 6, "lossless": not self.photo},
        }
        buffer = io.BytesIO()
        picture.save(buffer, kind, **how[kind])
        return buffer.getvalue()

    def _spare(self, picture: Image.Image, size: tuple[int, int]) -> bytes:
        """The picture for those that show no HTML: a chart as it is, frames coarser and in CSS pixels.

        It lies in a saved notebook beside the one in HTML, and frames weigh more than all else there.
        """
        if self.photo:
            return self._encoded(picture.resize(size, Image.Resampling.LANCZOS), "JPEG", SPARE_QUALITY)
        return self._encoded(picture, "PNG")

    def _img(self, picture: Image.Image) -> str:
        data = base64.b64encode(self._encoded(picture.convert("RGB"), "WEBP")).decode()
        width = round(self.get_figwidth() * CSS_DPI)
        look = f"width:{width}px;max-width:100%;height:auto;background:#fff"
        return f'<img src="data:image/webp;base64,{data}" alt="{html.escape(self.alt)}" style="{look}">'

    def _repr_mimebundle_(self, include=None, exclude=None):
        """HTML with the alt text for those that show HTML, the bare picture for those that do not."""
        picture = self._drawn()
        width, height = (round(inches * CSS_DPI) for inches in self.get_size_inches())
        data = base64.b64encode(self._spare(picture, (width, height))).decode()
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


def style():
    """For a ``with`` block: our settings on top of matplotlib's own, whatever the user's are, until it ends."""
    own: dict = {name: value for name, value in matplotlib.rcParamsDefault.items() if name not in _KEPT}
    return matplotlib.rc_context(own | STYLE)


Given = ParamSpec("Given")
Made = TypeVar("Made")


def styled(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """A function that draws with ``style``, whatever the user's settings of matplotlib are."""

    @functools.wraps(function)
    def wrapper(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        with style():
            return function(*args, **kwargs)

    return wrapper


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float):
    """Axes at a place given in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, width / w, height / h))


def text_at(figure: Figure, left: float, bottom: float, words: str, **style) -> None:
    """Small letters at a place given in inches; ``style`` as for matplotlib's ``Figure.text``."""
    w, h = figure.get_size_inches()
    figure.text(left / w, bottom / h, words, **{"fontsize": 7.5, "color": INK, **style})
