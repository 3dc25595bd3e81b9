"""A video frame by frame, with the best classes at each moment."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets
import numpy as np

from vidbench import visualize
from vidbench.cells import (
    PLAYER_WIDTH,
    THUMBNAIL_SIDE,
    TOP,
    frame_img,
    score_table,
    sentence,
    shown_width,
    text,
)
from vidbench.data import sample
from vidbench.data.decode import open_video
from vidbench.data.pictures import encode_jpeg
from vidbench.data.strips import scaled_size
from vidbench.panels.panel import Panel, panel_of_words, side_by_side
from vidbench.records import ConfigError, UnreadableVideo
from vidbench.transcode import walk
from vidbench.utils import printable

MOST_FRAMES = 600  # of one player; a longer video is stepped through in larger steps
STORED_SIDE = 360  # pixels, short side of the frames that a player keeps
QUALITY = 88  # of the JPEG frames that a player keeps


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
    check_rate(frame_rate)
    if not isinstance(path_or_frames, np.ndarray | str | Path):
        kind = type(path_or_frames).__name__
        raise ConfigError(f"a player takes a path, or frames as one array uint8 (T, H, W, 3), not a {kind}")
    name = "frames" if isinstance(path_or_frames, np.ndarray) else Path(path_or_frames).name
    title = name if title is None else title
    try:
        frames = load_frames(path_or_frames, frame_rate)
    except UnreadableVideo as problem:
        words = sentence(f"{title} cannot be shown: {problem}")
        return panel_of_words(words)
    return _player(frames, moments, title)


def check_rate(frame_rate: float) -> None:
    """Raise ``ConfigError`` for a frame rate that is no number above 0."""
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
