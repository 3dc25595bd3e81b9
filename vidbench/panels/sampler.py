"""Which frames of a video a network would see."""

from __future__ import annotations

from pathlib import Path

import ipywidgets
import numpy as np

from vidbench import visualize
from vidbench.cells import THUMBNAIL_SIDE, sentence
from vidbench.data import sample
from vidbench.data.decode import open_video, read_clip
from vidbench.data.strips import scaled_size
from vidbench.panels.panel import Panel, panel_of_words
from vidbench.panels.player import check_rate
from vidbench.records import ConfigError, UnreadableVideo, VidbenchError
from vidbench.utils import printable

RULES = {
    "clips": "neighbours at a frame rate",
    "dense": "neighbours, every n-th frame",
    "uniform": "evenly over the whole video",
    "segments": "one from each segment",
}
MOST_SAMPLED = {"num_frames": 64, "stride": 16, "num_clips": 10}  # where the sliders end


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
        return panel_of_words(words)
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
        check_rate(frame_rate)


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
