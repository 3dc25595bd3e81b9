"""A video as training keeps it: small whole frames, read once, from which each epoch draws another view."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from dataclasses import dataclass

import numpy as np

from vidbench.data.cache import ClipCache
from vidbench.data.decode import Limits, decoder_version, open_video
from vidbench.data.process import resize, target_size
from vidbench.data.sample import BY_COUNT, fit, segments, stream, uniform
from vidbench.records import InputSpec, UnreadableVideo, VideoInfo, Views

MOST_FRAMES = 300  # kept of a video whose card names a frame rate
SHAPING = ("num_frames", "frame_rate", "resize", "sampling")
SHORTEST_WINDOW = 0.85  # of the video, where frames are spread over it


def stored_spec(spec: InputSpec, num_frames: int, most: int | None = None) -> InputSpec:
    """What is kept of each training video: ``num_frames`` of the result is the most frames kept.

    Args:
        spec: the model's input.
        num_frames: of a training view.
        most: ``None`` for twice a view's frames and at least 32 where the rule spreads frames over the video, and
            for ``MOST_FRAMES`` where the card names a frame rate.
    """
    most = most or (max(32, 2 * num_frames) if spec.sampling in BY_COUNT else MOST_FRAMES)
    return dataclasses.replace(spec, num_frames=max(most, num_frames), num_clips=1, num_crops=1)


def stored_indices(spec: InputSpec, pts_s: np.ndarray, frame_rate: float) -> np.ndarray:
    """Frames that are kept, int64 (M,), in display order.

    Evenly spread ones where the rule of ``spec`` spreads frames over a video (a shorter video gives all it has); else
    all at the card's rate, of a longer video the ``spec.num_frames`` in its middle.
    """
    if spec.sampling in BY_COUNT:
        return np.unique(uniform(len(pts_s), min(len(pts_s), spec.num_frames)))
    if spec.sampling == "dense":
        chosen = np.arange(0, len(pts_s), max(1, round(frame_rate / spec.frame_rate)) if spec.frame_rate else 1)
    else:
        chosen = stream(pts_s, frame_rate, spec.frame_rate)[0]
    skipped = max(0, len(chosen) - spec.num_frames) // 2
    return chosen[skipped : skipped + spec.num_frames]


@dataclass(frozen=True)
class Timing:
    """Which of the stored frames a training view takes.

    Args:
        even: views of a video at ``num_views`` places spread evenly over it, in place of random ones.
        num_views: of a video in an epoch, at least 1; counts with ``even`` alone.
        max_stride: a view of neighbouring frames takes each k-th, k drawn from 1 to this, as far as the video is long
            enough.
        speed: the video plays up to this factor faster or slower, at least 1. Where frames are spread over the video
            it can play slower only: they are spread over a part of it, 1 / ``speed`` at the shortest.
        drop: chance that a frame gets lost, and the one before it is shown once more.
    """

    even: bool = False
    num_views: int = 1
    max_stride: int = 1
    speed: float = 1.0
    drop: float = 0.0


def draw_positions(
    spec: InputSpec,
    num_stored: int,
    num_frames: int,
    rng: np.random.Generator,
    timing: Timing = Timing(),
    turn: int = 0,
) -> np.ndarray:
    """Which of the stored frames a training view takes, drawn anew each time; int64 (num_frames,), non-decreasing
    but where a short video begins again.

    Where frames are spread over the video: over a random part of it, at least 85 % long, with a random place in each
    share (``segments``) or one for all shares (``uniform``). Else a window of neighbours with a random start; a video
    that is too short repeats its last frame or begins again, as the card says.

    Args:
        spec: the model's input; its rule and its rule for short videos count.
        num_stored: frames that are kept of the video.
        num_frames: of the view.
        rng: draws; advanced by the call.
        timing: what else is drawn.
        turn: the how manieth view of this video in this epoch, from 0.
    """
    if spec.sampling in BY_COUNT:
        positions = _spread(spec, num_stored, num_frames, rng, timing, turn)
    else:
        positions = _window(spec, num_stored, num_frames, rng, timing, turn)
    if timing.drop:
        there = rng.random(num_frames) >= timing.drop
        there[0] = True
        positions = positions[np.maximum.accumulate(np.where(there, np.arange(num_frames), 0))]
    return positions


def _spread(spec, num_stored, num_frames, rng, timing, turn) -> np.ndarray:
    if timing.even:
        halves = 2 * timing.num_views * np.arange(num_frames) + 2 * (turn % timing.num_views) + 1
        return halves * num_stored // (2 * timing.num_views * num_frames)
    shortest = min(SHORTEST_WINDOW, 1 / timing.speed)
    length = int(rng.integers(max(1, int(np.ceil(shortest * num_stored))), num_stored + 1))
    start = int(rng.integers(0, num_stored - length + 1))
    rule = {"uniform": uniform, "segments": segments}[spec.sampling]
    return start + rule(length, num_frames, seed=rng)[0]


def _window(spec, num_stored, num_frames, rng, timing, turn) -> np.ndarray:
    step = 1.0
    if timing.max_stride > 1:
        longest = max(1, (num_stored - 1) // max(1, num_frames - 1))
        step *= int(rng.integers(1, min(timing.max_stride, longest) + 1))
    if timing.speed > 1:
        step *= math.exp(rng.uniform(-1, 1) * math.log(timing.speed))
    offsets = np.floor(np.arange(num_frames) * step + 1e-9).astype(np.int64)
    room = max(0, num_stored - 1 - int(offsets[-1]))
    if timing.even:
        start = (2 * (turn % timing.num_views) + 1) * room // (2 * timing.num_views)
    else:
        start = int(rng.integers(0, room + 1))
    return fit(start + offsets, num_stored, spec.short if spec.short != "error" else "repeat")


def middle_positions(spec: InputSpec, num_stored: int, num_frames: int) -> np.ndarray:
    """The positions of a view without chance: spread evenly, or the window in the middle."""
    if spec.sampling in BY_COUNT:
        return uniform(num_stored, num_frames)[0]
    start = max(0, num_stored - num_frames) // 2
    return fit(start + np.arange(num_frames), num_stored, "repeat")


def stored_key(path: str | os.PathLike, spec: InputSpec, cache: ClipCache, decoder: str = "pyav") -> str | None:
    """The name of the cache's entry for the kept frames of a video; the file is read for it.

    Args:
        path, decoder: as for ``vidbench.data.load.read_views``.
        spec: from ``stored_spec``.
        cache: the clip cache.
    """
    return cache.key(path, _geometry(spec), decoder_version(decoder))


def _geometry(spec: InputSpec) -> dict:
    return {"stored": {name: getattr(spec, name) for name in SHAPING}}


def read_stored(
    path: str | os.PathLike,
    spec: InputSpec,
    *,
    decoder: str = "pyav",
    limits: Limits | None = None,
    cache: ClipCache | None = None,
    key: str | None = None,
) -> Views:
    """The kept frames of one video, whole pictures resized as the card says, not cropped.

    Args:
        path, decoder, limits, cache: as for ``vidbench.data.load.read_views``.
        spec: from ``stored_spec``.
        key: from ``stored_key``, where it is known; it takes longer than the cache does.

    Returns:
        Views whose pixels are uint8 (1, M, h, w, 3); M, h and w depend on the video.

    Raises:
        UnreadableVideo: the file gives no usable frame; its ``status`` says why.
    """
    if cache:
        key = key or stored_key(path, spec, cache, decoder)
    if cache and key and (found := cache.get(key)):
        return Views(found[0], np.array(found[1]["indices"])[None], VideoInfo(**found[1]["info"]))
    start = time.thread_time()
    limits = limits or Limits()
    with open_video(path, decoder=decoder, limits=limits) as video:
        clip = video.read(lambda table: stored_indices(spec, table.pts_s, table.frame_rate))
    decoded = time.thread_time()
    _, h, w, _ = clip.frames.shape
    pixels = resize(clip.frames, target_size(h, w, spec.resize))[None]
    if pixels.nbytes > limits.megabytes * 2**20:
        raise UnreadableVideo("too_large", f"its frames take {pixels.nbytes / 2**20:.0f} MB")
    if cache and key:
        side = {"indices": clip.indices.tolist(), "info": dataclasses.asdict(clip.info)}
        cache.put(key, pixels, side, _geometry(spec))
    seconds = {"decode": decoded - start, "transform": time.thread_time() - decoded}
    return Views(pixels, clip.indices[None], clip.info, clip.status, clip.reason, seconds)
