"""Videos, samplings and runs to look at and to judge, in a notebook.

Each function returns an ipywidgets box that needs a running kernel, and that also carries a picture or a table of what
it shows first: pages made from the notebook, and hosts that only display it, show that instead. A video that cannot be
read, or a folder that cannot be written, is one sentence in the widget and never an exception from a click.

Only pictures and text reach the browser: frames as ``<img alt>``, videos as ``<video>`` with the whole file inside,
so that nothing has to be served and the same cell works in JupyterLab, VS Code and Colab.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets
import numpy as np

from vidbench import review, visualize
from vidbench.cells import (
    PLAYER_WIDTH,
    THUMBNAIL_SIDE,
    TOP,
    accuracy_html,
    comparison_html,
    frame_img,
    pair_html,
    record_html,
    row_html,
    scaled_size,
    score_table,
    sentence,
    show_video,
    shown_width,
    table,
    text,
    video_html,
)
from vidbench.data import sample
from vidbench.data.decode import open_video, read_clip
from vidbench.data.pictures import encode_jpeg
from vidbench.metrics import is_correct
from vidbench.records import ConfigError, Row, UnreadableVideo, VidbenchError, VideoRecord
from vidbench.transcode import walk
from vidbench.utils import printable

__all__ = [
    "Panel",
    "clip_player",
    "dataset_browser",
    "error_browser",
    "run_comparison",
    "sampling_slider",
    "show_video",
    "video_html",
]

MOST_FRAMES = 600  # of one player; a longer video is stepped through in larger steps
MOST_LISTED = 500  # entries of one list of videos
LIST_WIDTH = "380px"  # so that list and player fit beside each other on a laptop
STORED_SIDE = 360  # pixels, short side of the frames that a player keeps
QUALITY = 88  # of the JPEG frames that a player keeps
RULES = {
    "clips": "neighbours at a frame rate",
    "dense": "neighbours, every n-th frame",
    "uniform": "evenly over the whole video",
    "segments": "one from each segment",
}
MOST_SAMPLED = {"num_frames": 64, "stride": 16, "num_clips": 10}  # where the sliders end
ANY = ""  # value of a filter that lets everything pass; no class is called so

STYLE = """<style>
.vidbench {--vb-text: var(--jp-ui-font-color1, #1a1a1a); --vb-soft: var(--jp-ui-font-color2, #555);
  --vb-line: var(--jp-border-color2, #ccc); --vb-bar: #0072b2; --vb-true: #009e73; padding: 4px 0}
.vidbench figure {margin: 0; max-width: 100%} .vidbench figcaption, .vidbench p {color: var(--vb-text); margin: 4px 0}
.vidbench img, .vidbench video {display: block; max-width: 100%; height: auto; background: #000}
.vidbench table {border-collapse: collapse; color: var(--vb-text); margin: 4px 0; font-size: 13px}
.vidbench table, .vidbench p, .vidbench figcaption {line-height: 1.5}
.vidbench td, .vidbench th {padding: 1px 8px 1px 0; text-align: left; font-weight: normal; white-space: nowrap}
.vidbench th[scope=col] {border-bottom: 1px solid var(--vb-line)} .vidbench td.n {text-align: right}
.vidbench .bar {display: block; height: 10px; background: var(--vb-bar)}
.vidbench .true .bar {background: var(--vb-true)}
.vidbench .true td, .vidbench .true th {font-weight: bold}
.vidbench .problem {border-left: 4px solid #d55e00; padding-left: 8px}
</style>"""
# ipywidgets draws sliders and the buttons of its player without accessible names. A style element may carry a load
# handler where a script would not run; this one gives sliders the words of the label beside them, and names buttons.
NAMES_FOR_CONTROLS = """<style onload="
(() => {
  const box = this.closest('.vidbench');
  const buttons = ['play or pause', 'stop', 'play again and again'];
  let tries = 0;
  const name = () => {
    for (const handle of box ? box.querySelectorAll('.noUi-handle') : []) {
      const label = handle.closest('.widget-slider').querySelector('.widget-label');
      handle.setAttribute('aria-label', label ? label.textContent : 'value');
    }
    for (const play of box ? box.querySelectorAll('.widget-play') : []) {
      play.querySelectorAll('button').forEach((button, k) => {
        button.setAttribute('aria-label', buttons[k]);
        button.title = buttons[k];
      });
    }
    if (tries++ < 25) setTimeout(name, 200);
  };
  name();
})()"></style>"""


class Panel(ipywidgets.VBox):
    """A box of controls that also says, as HTML and as a picture, what it shows first.

    A kernel keeps every widget until it is closed. So a panel closes, with all that is in it, when the cell that
    showed it runs again: running a chapter twice takes no more memory than running it once.

    Args:
        children: widgets, from top to bottom.
        fallback: gives ``(html before, figure, html after)`` when the panel is displayed; the figure may be ``None``.
    """

    def __init__(self, children: Sequence[ipywidgets.Widget], fallback: Callable[[], tuple]):
        super().__init__([ipywidgets.HTML(STYLE + NAMES_FOR_CONTROLS), *children])
        self.add_class("vidbench")
        self.fallback = fallback
        self.shown_in: set[str] = set()

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        _close_older(self)
        try:
            before, figure, after = self.fallback()
        except VidbenchError as problem:
            before, figure, after = sentence(problem), None, ""
        if figure is None:
            bundle["text/html"] = f"<div>{before}{after}</div>"
            bundle["text/plain"] = html.unescape(re.sub(r"<[^>]*>", " ", before + after)).strip()
            return bundle
        picture, about = figure._repr_mimebundle_()
        return bundle | picture | {"text/html": f"<div>{before}{picture['text/html']}{after}</div>"}, about

    def close_all_within(self) -> None:
        """Close the panel and every widget in it; its picture in a saved notebook stays."""
        for widget in _within(self):
            widget.close()


_PANELS: dict[str, tuple[str, list[Panel]]] = {}  # by cell: the execution, and the panels it showed


def _close_older(panel: Panel) -> None:
    """Close what earlier executions of this cell showed and no other cell shows; outside a notebook do nothing."""
    cell, execution = _running_cell()
    if not cell:
        return
    before, panels = _PANELS.get(cell, (execution, []))
    if before != execution:
        for old in panels:
            old.shown_in.discard(cell)
            if old is not panel and not old.shown_in:
                old.close_all_within()
        panels = []
    panel.shown_in.add(cell)
    _PANELS[cell] = execution, [*panels, panel]


def _running_cell() -> tuple[str, str]:
    """``(cell id, message id)`` of what the kernel executes now; empty where the front end does not say."""
    from IPython import get_ipython

    parent: dict = getattr(get_ipython(), "get_parent", dict)() or {}
    cell = (parent.get("metadata") or {}).get("cellId")
    return (str(cell), str(parent.get("header", {}).get("msg_id", ""))) if cell else ("", "")


def _within(box: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """A widget and all that belong to it, the innermost first: children, links between them, layouts and styles."""
    for child in getattr(box, "children", ()):
        yield from _within(child)
    yield from getattr(box, "links", ())
    for name in ("layout", "style"):
        if isinstance(part := getattr(box, name, None), ipywidgets.Widget):
            yield part
    yield box


def _only(words: str) -> Panel:
    """A panel of some words."""
    return Panel([ipywidgets.HTML(words)], lambda: (words, None, ""))


def side_by_side(left: ipywidgets.Widget, right: ipywidgets.Widget) -> ipywidgets.HBox:
    """Two columns, or one below the other where the page is narrow."""
    left.layout.flex, right.layout.flex = "0 0 auto", "1 1 400px"
    return ipywidgets.HBox([left, right], layout={"flex_flow": "row wrap", "grid_gap": "4px 24px"})


# ---------------------------------------------------------------- clip player


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of a video, ready for a player.

    Args:
        jpegs: one encoded picture a frame.
        indices: int64, shape (T,), position of each in the video.
        times_s: float64, shape (T,), seconds from the first frame.
        num_frames: pictures of the video.
        height: pixels of the video.
        width: pixels of the video.
        note: a sentence where not every frame is there.
    """

    jpegs: tuple[bytes, ...]
    indices: np.ndarray
    times_s: np.ndarray
    num_frames: int
    height: int
    width: int
    note: str = ""


def load_frames(source: str | Path | np.ndarray, frame_rate: float) -> Frames:
    """Frames of a file, or of an array uint8 (T, H, W, 3) at ``frame_rate``; raises ``UnreadableVideo``."""
    if isinstance(source, np.ndarray):
        if source.ndim != 4 or source.shape[-1] != 3 or source.dtype != np.uint8 or not source.size:
            raise ConfigError(f"frames must be uint8 (T, H, W, 3), none of them 0, got {source.dtype} {source.shape}")
        num, height, width = source.shape[:3]
        step = -(-num // MOST_FRAMES)
        indices = np.arange(0, num, step)
        jpegs = tuple(encode_jpeg(source[index], QUALITY) for index in indices)
        return Frames(jpegs, indices, indices / frame_rate, num, height, width, _step_note(step))
    with open_video(source) as video:
        step = -(-video.table.num_frames // MOST_FRAMES)
        size = scaled_size(video.info.height, video.info.width, STORED_SIDE)
        found = [
            (index, encode_jpeg(pixels, QUALITY), time) for index, pixels, time in walk(video, step=step, size=size)
        ]
        places, encoded, times = zip(*found)
        note = " ".join(filter(None, [_step_note(step), f"Damaged: {video.reason}." if video.reason else ""]))
        info = video.info
        return Frames(encoded, np.array(places), np.array(times), info.num_frames, info.height, info.width, note)


def _step_note(step: int) -> str:
    return f"One frame in {step} is shown." if step > 1 else ""


def clip_player(
    path_or_frames: str | Path | np.ndarray,
    *,
    times_s=None,
    scores=None,
    labels: Sequence[str] | None = None,
    truth=None,
    title: str | None = None,
    frame_rate: float = 25.0,
) -> Panel:
    """A player that steps frame by frame, with the best classes at that moment.

    Args:
        path_or_frames: a video file, or frames uint8 (T, H, W, 3).
        times_s: seconds at which ``scores`` were made, shape (N,); each frame shows the nearest ones.
        scores: probabilities, shape (N, K); or (K,), the same for the whole clip.
        labels: K class names, where there are scores.
        truth: a class name, or spans ``[(start_s, end_s, label), ...]``.
        title: shown above; the file's name where ``None``.
        frame_rate: of frames given as an array, per second.

    Raises:
        ConfigError: scores, times and labels do not fit each other, or the array is no video.
    """
    moments = _Moments.of(times_s, scores, labels, truth)
    _check_rate(frame_rate)
    if not isinstance(path_or_frames, np.ndarray | str | Path):
        kind = type(path_or_frames).__name__
        raise ConfigError(f"a player takes a path, or frames as one array uint8 (T, H, W, 3), not a {kind}")
    name = "frames" if isinstance(path_or_frames, np.ndarray) else Path(path_or_frames).name
    title = name if title is None else title
    try:
        frames = load_frames(path_or_frames, frame_rate)
    except UnreadableVideo as problem:
        words = sentence(f"{title} cannot be shown: {problem}")
        return _only(words)
    return _player(frames, moments, title)


def _check_rate(frame_rate: float) -> None:
    if not isinstance(frame_rate, int | float | np.number) or not 0 < frame_rate < np.inf:
        raise ConfigError(f"frame_rate must be a number above 0, got {frame_rate!r}")


@dataclass(frozen=True, eq=False)
class _Moments:
    """What is known about each time of a video: scores, and the true class."""

    times_s: np.ndarray | None
    scores: np.ndarray | None
    labels: tuple[str, ...]
    truth: str | list | None

    @classmethod
    def of(cls, times_s, scores, labels, truth) -> _Moments:
        if truth is not None and not isinstance(truth, str):
            try:
                truth = [(float(start), float(end), str(label)) for start, end, label in truth]
            except (TypeError, ValueError):
                raise ConfigError("truth must be a class name, or a list of (start_s, end_s, label)") from None
        if scores is None:
            return cls(None, None, (), truth)
        scores = np.asarray(scores, np.float64)
        if labels is None or scores.ndim not in (1, 2) or scores.shape[-1] != len(labels) or not scores.size:
            raise ConfigError(
                f"scores must be (N, K) or (K,) with K labels, got {scores.shape} and {len(labels or ())}"
            )
        if scores.ndim == 1:
            return cls(np.zeros(1), scores[None], tuple(labels), truth)
        times = np.asarray([] if times_s is None else times_s, np.float64)
        if times.shape != scores.shape[:1]:
            raise ConfigError(
                f"times_s must have one time for each row of scores, got {times.shape} for {scores.shape}"
            )
        return cls(times, scores, tuple(labels), truth)

    def true_at(self, time_s: float) -> list[str]:
        """The true classes at a time."""
        if self.truth is None or isinstance(self.truth, str):
            return [self.truth] if self.truth else []
        return [label for start, end, label in self.truth if start <= time_s < end]

    def html(self, time_s: float) -> str:
        true = self.true_at(time_s)
        words = f"<p>true class: {text(', '.join(true), 200)}</p>" if true else ""
        if self.truth and not true:
            words = "<p>no class here</p>"
        if self.scores is None or self.times_s is None:
            return words
        place = int(np.abs(self.times_s - time_s).argmin())
        best = np.argsort(-self.scores[place], kind="stable")[:TOP]
        ranked = [(self.labels[k], float(self.scores[place, k])) for k in best]
        return words + score_table(ranked, true, f"best classes at {time_s:.2f} s")


def _player(frames: Frames, moments: _Moments, title: str) -> Panel:
    width, last = shown_width(frames.height, frames.width), len(frames.jpegs) - 1
    picture, aside = ipywidgets.HTML(), ipywidgets.HTML()
    slider = ipywidgets.IntSlider(0, 0, max(1, last), description="frame", readout=False, disabled=last == 0)
    slider.layout.width = f"{PLAYER_WIDTH - 30}px"
    gaps = np.diff(frames.times_s)
    interval = int(np.clip(1000 * gaps.mean(), 40, 2000)) if len(gaps) and gaps.mean() > 0 else 100
    play = ipywidgets.Play(value=0, min=0, max=max(1, last), interval=interval, show_repeat=True, disabled=last == 0)
    play.links = [ipywidgets.jslink((play, "value"), (slider, "value"))]
    back = ipywidgets.Button(icon="step-backward", tooltip="one frame back")
    forth = ipywidgets.Button(icon="step-forward", tooltip="one frame on")
    for button in (back, forth):
        button.layout.width = "40px"

    def show(place: int) -> None:
        place = min(place, last)
        index, time_s = int(frames.indices[place]), float(frames.times_s[place])
        where = f"frame {index} of {frames.num_frames}, {time_s:.2f} s"
        alt = f"{title}: {where}"
        picture.value = f"<figure>{frame_img(frames.jpegs[place], alt, width)}<figcaption>{where}</figcaption></figure>"
        aside.value = moments.html(time_s)

    def step(by: int) -> None:
        slider.value = int(np.clip(slider.value + by, 0, last))

    slider.observe(lambda change: show(change["new"]), names="value")
    back.on_click(lambda _: step(-1))
    forth.on_click(lambda _: step(1))
    show(0)
    head = f"<p><b>{text(title)}</b></p>" + (f"<p>{text(frames.note)}</p>" if frames.note else "")
    left = ipywidgets.VBox([picture, ipywidgets.HBox([play, back, forth]), slider])
    body = side_by_side(left, aside) if moments.scores is not None or moments.truth else left
    return Panel([ipywidgets.HTML(head), body], lambda: _player_fallback(frames, moments, title))


def _player_fallback(frames: Frames, moments: _Moments, title: str):
    from PIL import Image

    places = np.unique(sample.middle_indices(len(frames.jpegs), 6))
    size = scaled_size(frames.height, frames.width, THUMBNAIL_SIDE) or (frames.height, frames.width)
    pictures = [Image.open(io.BytesIO(frames.jpegs[place])).resize(size[::-1]) for place in places]
    times = frames.times_s[places]
    figure = visualize.film_strip(
        np.stack([np.asarray(p) for p in pictures]), times, num=len(places), title=printable(title, 80)
    )
    middle = float(times[len(times) // 2])
    known = moments.html(middle)
    return "", figure, f"<p>at {middle:.2f} s:</p>{known}" if known else ""


# ---------------------------------------------------------------- sampling slider


def sampling_slider(
    path: str | Path,
    *,
    rule: str = "clips",
    num_frames: int = 16,
    frame_rate: float | None = None,
    stride: int = 2,
    num_clips: int = 1,
) -> Panel:
    """Which frames of a video a network would see, for any count, rate and stride.

    Args:
        path: a video file.
        rule: one of ``RULES``, the rule of ``vidbench.data.sample`` to begin with.
        num_frames: of a clip, 1 to 64.
        frame_rate: frames per second of a clip, for ``clips``; half the video's where ``None``.
        stride: for ``dense``, 1 to 16.
        num_clips: 1 to 10.

    Raises:
        ConfigError: a value out of range.
    """
    _check_sampling(rule, frame_rate, num_frames=num_frames, stride=stride, num_clips=num_clips)
    try:
        thumbnails = _Thumbnails(path)
    except UnreadableVideo as problem:
        words = sentence(f"{Path(path).name} cannot be shown: {problem}")
        return _only(words)
    rate = frame_rate or float(f"{thumbnails.rate / 2:.3g}")
    least = min(0.5, rate)
    controls = {
        "rule": ipywidgets.Dropdown(options=[(words, name) for name, words in RULES.items()], value=rule),
        "num_frames": ipywidgets.IntSlider(num_frames, 1, MOST_SAMPLED["num_frames"]),
        "frame_rate": ipywidgets.FloatSlider(rate, min=least, max=max(2 * thumbnails.rate, rate), step=0.2 * least),
        "stride": ipywidgets.IntSlider(stride, 1, MOST_SAMPLED["stride"]),
        "num_clips": ipywidgets.IntSlider(num_clips, 1, MOST_SAMPLED["num_clips"]),
    }
    names = ("which frames", "frames", "frames per second", "every n-th frame", "clips")
    for control, words in zip(controls.values(), names):
        control.description, control.style.description_width = words, "130px"
        control.continuous_update = False
        control.layout.width = "440px"
    return _sampling_panel(thumbnails, controls)


def _check_sampling(rule: str, frame_rate: float | None, **counts: int) -> None:
    if rule not in RULES:
        raise ConfigError(f"unknown rule {rule!r}; known: {', '.join(RULES)}")
    for name, value in counts.items():
        if not isinstance(value, int | np.integer) or not 1 <= value <= MOST_SAMPLED[name]:
            raise ConfigError(f"{name} must be a whole number between 1 and {MOST_SAMPLED[name]}, got {value!r}")
    if frame_rate is not None:
        _check_rate(frame_rate)


class _Thumbnails:
    """The times of a video's frames, and those frames that were asked for, small."""

    def __init__(self, path: str | Path):
        self.path, self.name = path, printable(Path(path).name, 60)
        self.kept: dict[int, np.ndarray] = {}
        with open_video(path) as video:
            self.pts_s, self.rate, self.num_frames = video.pts_s, video.table.frame_rate, video.info.num_frames
            self.size = scaled_size(video.info.height, video.info.width, THUMBNAIL_SIDE)

    def frames(self, indices: np.ndarray) -> np.ndarray:
        """Frames at ``indices`` (T,), uint8 (T, H, W, 3)."""
        if missing := sorted(set(indices.tolist()) - set(self.kept)):
            self.kept |= zip(missing, read_clip(self.path, missing, size=self.size).frames)
        return np.stack([self.kept[index] for index in indices.tolist()])

    def choose(self, rule: str, num_frames: int, frame_rate: float, stride: int, num_clips: int) -> np.ndarray:
        """Indices (num_clips, T) by one of ``RULES``."""
        num = self.num_frames
        if rule == "clips":
            return sample.clips(self.pts_s, self.rate, num_frames, frame_rate, num_clips)
        if rule == "dense":
            return sample.dense(num, num_frames, stride, num_clips)
        return {"uniform": sample.uniform, "segments": sample.segments}[rule](num, num_frames, num_clips)


def _sampling_panel(thumbnails: _Thumbnails, controls: dict) -> Panel:
    diagram, strip = ipywidgets.HTML(), ipywidgets.HTML()

    def figures() -> list[visualize.AltFigure]:
        indices = thumbnails.choose(**{name: control.value for name, control in controls.items()})
        num, different = len(indices[0]), len(np.unique(indices[0]))
        title = f"{thumbnails.name}: {num} frames of a clip, {different} different ones"
        return [
            visualize.sampling_diagram(indices, thumbnails.num_frames, pts_s=thumbnails.pts_s, title=title),
            visualize.film_strip(thumbnails.frames(indices[0]), thumbnails.pts_s[indices[0]], num=min(8, num)),
        ]

    def show(_=None) -> None:
        controls["frame_rate"].disabled = controls["rule"].value != "clips"
        controls["stride"].disabled = controls["rule"].value != "dense"
        try:
            diagram.value, strip.value = (figure.html() for figure in figures())
        except (VidbenchError, ValueError) as problem:
            diagram.value, strip.value = sentence(problem), ""

    for control in controls.values():
        control.observe(show, names="value")
    show()

    def fallback():
        try:
            first, second = figures()
        except ValueError as problem:
            return sentence(problem), None, ""
        return "", first, second.html()

    return Panel([*controls.values(), diagram, strip], fallback)


# ---------------------------------------------------------------- choosing a video


class _Chooser:
    """A list of videos with filters above it; calls ``show(item)``, or ``show(None)`` where the list is empty.

    Args:
        find: ``find()`` gives ``[(words, item), ...]`` for the filters as they are.
        filters: widgets whose change makes the list anew.
        show: called with the chosen item.
    """

    def __init__(self, find: Callable[[], list], filters: Sequence[ipywidgets.Widget], show: Callable):
        self.find, self.show, self.quiet = find, show, False
        self.items: list = []
        self.list = ipywidgets.Select(description="videos", rows=8, layout={"width": LIST_WIDTH})
        self.count = ipywidgets.HTML()
        self.back = ipywidgets.Button(description="previous", icon="chevron-left", tooltip="previous video")
        self.forth = ipywidgets.Button(description="next", icon="chevron-right", tooltip="next video")
        for control in filters:
            control.style.description_width = "60px"
            control.layout.width = LIST_WIDTH
            control.observe(lambda _: self.refill(), names="value")
        self.list.style.description_width = "60px"
        self.list.observe(self._chosen, names="index")
        self.back.on_click(lambda _: self.step(-1))
        self.forth.on_click(lambda _: self.step(1))
        self.box = ipywidgets.VBox([*filters, self.count, self.list, ipywidgets.HBox([self.back, self.forth])])

    @property
    def item(self):
        return None if self.list.index is None or not self.items else self.items[self.list.index][1]

    def refill(self, keep: object = None) -> None:
        """Make the list anew; stay at ``keep`` where it is still there, else begin at the first."""
        found = self.find()
        self.items = found[:MOST_LISTED]
        more = f", the first {MOST_LISTED} are listed" if len(found) > MOST_LISTED else ""
        self.count.value = f'<p role="status">{len(found)} video{"s" * (len(found) != 1)}{more}</p>'
        place = next((k for k, (_, item) in enumerate(self.items) if item is keep), 0)
        self.quiet = True
        self.list.options = [(f"{k + 1}. {words}", k) for k, (words, _) in enumerate(self.items)]
        self.list.index = place if self.items else None
        self.quiet = False
        self.show(self.item)

    def step(self, by: int) -> None:
        if self.items:
            self.list.index = int(np.clip((self.list.index or 0) + by, 0, len(self.items) - 1))

    def _chosen(self, _) -> None:
        if not self.quiet:
            self.show(self.item)


def _filter(words: str, values: Sequence) -> ipywidgets.Dropdown:
    """A drop-down list: all, then each value."""
    options = [("all", ANY), *[(printable(value, 60), value) for value in values]]
    return ipywidgets.Dropdown(options=options, description=words)


# ---------------------------------------------------------------- dataset browser


def dataset_browser(records: Sequence[VideoRecord], root: str | Path) -> Panel:
    """The videos of a dataset, by class, split and status, each in a player with its facts.

    Args:
        records: as ``vidbench.data.index.load_records`` gives them.
        root: the folder that their paths are relative to.
    """
    records, root = tuple(records), Path(root)
    if not records:
        words = sentence("There is no video to show: the list is empty.")
        return _only(words)
    kinds = {"label": "class", "split": "split", "status": "status"}
    filters = {}
    for name, words in kinds.items():
        values = {getattr(record, name) for record in records} - {None, ""}
        first = {record.label: record.label_index for record in records} if name == "label" else {}
        filters[name] = _filter(words, sorted(values, key=lambda value: (first.get(value, 0), value)))
    stage = ipywidgets.HTML()

    def find() -> list:
        wanted = {name: control.value for name, control in filters.items() if control.value != ANY}
        fits = [r for r in records if all(getattr(r, name) == value for name, value in wanted.items())]
        return [(_record_words(record), record) for record in fits]

    def show(record: VideoRecord | None) -> None:
        stage.value = "<p>No video fits these filters.</p>" if record is None else record_html(record, root)

    chooser = _Chooser(find, list(filters.values()), show)
    chooser.refill()
    body = side_by_side(chooser.box, stage)
    return Panel([body], lambda: _dataset_fallback(records, root))


def _record_words(record: VideoRecord) -> str:
    mark = "" if record.status == "ok" else f" [{record.status}]"
    return f"{printable(record.label or 'no label', 40)}: {printable(record.video_id, 60)}{mark}"


def _dataset_fallback(records: tuple[VideoRecord, ...], root: Path):
    labels = list(dict.fromkeys(record.label or "no label" for record in records))
    count = dict.fromkeys(labels, 0)
    for record in records:
        count[record.label or "no label"] += 1
    usable = [record for record in records if record.status == "ok"]
    firsts = list({record.label: record for record in reversed(usable)}.values())[::-1][:12]
    shown = ", ".join(f"{label} {count[label]}" for label in labels[:12]) + (", ..." if len(labels) > 12 else "")
    words = f"<p>{len(records)} videos, {len(usable)} usable, {len(labels)} classes: {text(shown, 600)}</p>"
    pictures = [(printable(record.label or "no label", 40), _middle_frame(root / record.path)) for record in firsts]
    pictures = [(label, frame) for label, frame in pictures if frame is not None]
    if not pictures:
        return words, None, ""
    titles, images = zip(*pictures)
    return words, visualize.contact_sheet(images, titles, columns=6), ""


def _middle_frame(path: Path) -> np.ndarray | None:
    """The middle frame of a video, uint8 (H, W, 3), small; ``None`` where it cannot be read."""
    try:
        with open_video(path) as video:
            size = scaled_size(video.info.height, video.info.width, THUMBNAIL_SIDE)
            return video.read(lambda table: [table.num_frames // 2], size=size).frames[0]
    except UnreadableVideo:
        return None


# ---------------------------------------------------------------- error browser


def error_browser(run_folder: str | Path, root: str | Path) -> Panel:
    """The mistakes of a run, to look at and to judge.

    Verdicts are saved in the run folder the moment a button is pressed (``vidbench.review``), and the accuracy with
    them taken into account stands beside the run's own.

    Args:
        run_folder: of a finished or begun evaluation.
        root: the folder that the videos' paths are relative to.

    Returns:
        The panel; a sentence where the run folder cannot be read.
    """
    try:
        run = review.read_run(run_folder)
        verdicts = review.read_verdicts(run)
    except VidbenchError as problem:
        words = sentence(problem)
        return _only(words)
    return _ErrorBrowser(run, Path(root), verdicts).panel


class _ErrorBrowser:
    """The widgets of ``error_browser`` and what they do."""

    def __init__(self, run: review.Run, root: Path, verdicts: dict):
        self.run, self.root, self.verdicts = run, root, verdicts
        self.accuracy, self.stage, self.status = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.shown = ipywidgets.Dropdown(options=[(w, n) for n, w in review.SHOWN.items()], description="which")
        self.order = ipywidgets.Dropdown(options=[(w, n) for n, w in review.ORDERS.items()], description="order")
        present = {row.label for row in run.rows}
        self.label = _filter("class", [label for label in run.labels if label in present])
        self.chooser = _Chooser(self.find, [self.shown, self.order, self.label], self.show)
        self.seen = ipywidgets.Dropdown(
            options=[("not named", ANY), *[(printable(label, 60), label) for label in run.labels]],
            description="to be seen",
        )
        self.buttons = [self._button(name) for name in review.VERDICTS]
        self.buttons.append(self._button(None))
        judge = ipywidgets.VBox(
            [self.seen, ipywidgets.HBox(self.buttons, layout={"flex_flow": "row wrap"}), self.status]
        )
        body = side_by_side(self.chooser.box, ipywidgets.VBox([self.stage, judge]))
        self.tell()
        self.chooser.refill()
        self.panel = Panel([self.accuracy, body], self.fallback)

    def _button(self, name: str | None) -> ipywidgets.Button:
        words = "take back" if name is None else name.replace("_", " ")
        tooltip = "remove this video's verdict" if name is None else review.VERDICTS[name]
        button = ipywidgets.Button(description=words, tooltip=tooltip)
        button.on_click(lambda _: self.judge(name))
        return button

    def find(self) -> list[tuple[str, Row]]:
        rows = review.choose_rows(
            self.run.rows,
            shown=self.shown.value,
            order=self.order.value,
            label=self.label.value or None,
            verdicts=self.verdicts,
        )
        return [(self.words(row), row) for row in rows]

    def words(self, row: Row) -> str:
        verdict = self.verdicts.get(row.video_id)
        mark = f" [{verdict.verdict.replace('_', ' ')}]" if verdict else ""
        if not row.predicted:
            return printable(f"{row.label or 'no label'}: {row.status}, {row.video_id}{mark}", 160)
        return printable(f"{row.label or 'no label'} → {_best(row)}, {row.video_id}{mark}", 160)

    def show(self, row: Row | None) -> None:
        self.status.value = ""
        for button in self.buttons:
            button.disabled = row is None
        if row is None:
            self.stage.value = "<p>No video fits these filters.</p>"
            return
        self.seen.value = ANY
        self.stage.value = row_html(row, self.root, self.verdicts.get(row.video_id))

    def judge(self, name: str | None) -> None:
        row = self.chooser.item
        label = (self.seen.value or None) if name in review.NAMES_A_CLASS else None
        try:
            self.verdicts = review.save_verdict(self.run, row.video_id, name, label=label)
        except VidbenchError as problem:
            self.status.value = sentence(problem)
            return
        self.tell()
        self.chooser.refill(keep=row)
        done = "taken back" if name is None else f"saved as {name.replace('_', ' ')}" + (f" ({label})" if label else "")
        self.status.value = f'<p role="status">{text(row.video_id)}: {text(done)}</p>'

    def tell(self) -> None:
        self.accuracy.value = accuracy_html(self.run, self.verdicts)

    def fallback(self):
        rows = review.choose_rows(self.run.rows)[:6]
        names = [printable(f"{row.label} → {_best(row)}", 60) for row in rows]
        pairs = [(name, _middle_frame(self.root / row.path)) for name, row in zip(names, rows)]
        pairs = [(words, frame) for words, frame in pairs if frame is not None]
        words = accuracy_html(self.run, self.verdicts)
        if not pairs:
            lines = [(row.video_id, row.label, row.top[0][0], f"{row.top[0][2]:.2f}") for row in rows]
            return words + table(("video", "true", "predicted", "score"), lines, "most confident mistakes"), None, ""
        titles, images = zip(*pairs)
        return words, visualize.contact_sheet(images, titles, columns=3), ""


def _best(row: Row) -> str:
    """A predicted row's best class and its score."""
    return f"{row.top[0][0]} {row.top[0][2]:.2f}" if row.top else "no class"


# ---------------------------------------------------------------- two runs


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
        return _only(words)
    names = [run.name for run in runs]
    if names[0] == names[1]:
        names = [f"{letter}: {name}" for letter, name in zip("AB", names)]
    groups = {"b": f"only {names[1]} is right", "a": f"only {names[0]} is right", "neither": "neither is right"}
    groups |= {"both": "both are right", "all": "all"}
    which = ipywidgets.Dropdown(options=[(words, name) for name, words in groups.items()], description="which")
    labels = list(dict.fromkeys(row.label for row, _ in sorted(comparison.pairs, key=lambda pair: pair[0].label_index)))
    label = _filter("class", labels)
    stage = ipywidgets.HTML()

    def find() -> list:
        pairs = [pair for pair in comparison.group(which.value) if label.value in (ANY, pair[0].label)]
        return [(printable(f"{a.label}: {_said(a)} / {_said(b)}, {a.video_id}", 160), (a, b)) for a, b in pairs]

    def show(pair) -> None:
        none = "<p>No video fits these filters.</p>"
        stage.value = none if pair is None else pair_html(pair[0], pair[1], names, Path(root))

    chooser = _Chooser(find, [which, label], show)
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
