"""The same video with its time changed: in another order, stopped, slower, or seen less often.

These are questions to a model: an answer that survives them did not come from the order of the pictures, or not from
motion at all. Orders (``ORDERS``) rearrange the frames that a view has anyway; the others take other frames.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import re

import numpy as np

from vidbench.data.sample import frames_at
from vidbench.records import ConfigError, Views
from vidbench.utils import printable

ORDERS = ("shuffle", "reverse", "freeze-first", "freeze-middle")
WORDS = (*ORDERS, "half-speed", "fps:N")
MOST_FPS = 1000.0


def parse_temporal(value) -> tuple[str, float]:
    """The change that a word names, and its frames per second: ``("fps", 4.0)`` for ``fps:4``; else 0.

    Raises:
        ConfigError: no such change, or a rate that is not above 0 and at most 1000.

    >>> parse_temporal("fps:12.5"), parse_temporal("reverse")
    (('fps', 12.5), ('reverse', 0.0))
    """
    if value in WORDS[:-1]:
        return value, 0.0
    match = re.fullmatch(r"fps:([0-9]{1,4}(?:\.[0-9]{1,4})?)", value) if isinstance(value, str) else None
    if not match or not 0 < float(match[1]) <= MOST_FPS:
        raise ConfigError(
            f"a change of time must be one of {', '.join(WORDS)} (N frames per second, at most {MOST_FPS:g}), "
            f"not {printable(value, 60)!r}"
        )
    return "fps", float(match[1])


def video_seed(path: str | os.PathLike) -> int:
    """A number that belongs to a video by its file's name: the same on every machine, in every worker and every run."""
    name = os.path.basename(os.path.normpath(os.fspath(path)))
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")


def order_of(change: str, num_clips: int, num_frames: int, seed: int) -> np.ndarray:
    """Which of its own frames each place of a clip shows.

    Args:
        change: one of ``ORDERS``.
        num_clips: C; each clip of a video is shuffled in its own way.
        num_frames: T.
        seed: of the video, for ``shuffle``: every permutation is equally likely, the identity too.

    Returns:
        int64, shape (C, T), in ``[0, T)``.

    >>> order_of("reverse", 1, 4, 0), order_of("freeze-middle", 1, 4, 0)
    (array([[3, 2, 1, 0]]), array([[2, 2, 2, 2]]))
    """
    places = np.tile(np.arange(num_frames, dtype=np.int64), (num_clips, 1))
    if change == "reverse":
        return places[:, ::-1].copy()
    if change in ("freeze-first", "freeze-middle"):
        return np.full_like(places, 0 if change == "freeze-first" else num_frames // 2)
    return np.random.default_rng([seed, num_frames]).permuted(places, axis=1)


def reorder(views: Views, change: str, seed: int) -> Views:
    """Views with their frames in another order; pixels (V, T, h, w, 3) and indices (C, T) alike."""
    num_clips, num_frames = views.indices.shape
    order = order_of(change, num_clips, num_frames, seed)
    of_views = np.repeat(order, len(views.pixels) // num_clips, axis=0)
    pixels = views.pixels[np.arange(len(views.pixels))[:, None], of_views]
    return dataclasses.replace(views, pixels=pixels, indices=np.take_along_axis(views.indices, order, axis=1))


def half_speed(indices: np.ndarray) -> np.ndarray:
    """The middle half of each clip at half its speed: frames between those of the clip where there are any.

    Args:
        indices: int64, shape (C, T): frames in display order.

    Returns:
        int64, shape (C, T), between the clip's own first and last frame. A clip that took every frame shows each twice.

    >>> half_speed(np.array([[0, 4, 8, 12]])), half_speed(np.array([[0, 1, 2, 3]]))
    (array([[3, 5, 7, 9]]), array([[0, 1, 1, 2]]))
    """
    num_frames = indices.shape[1]
    places = (num_frames - 1) / 4 + np.arange(num_frames) / 2
    steps = np.arange(num_frames)
    return np.stack([np.floor(np.interp(places, steps, row) + 1e-9) for row in indices]).astype(np.int64)


def held_at(indices: np.ndarray, pts_s: np.ndarray, frame_rate: float, rate: float) -> np.ndarray:
    """What is on screen at the same moments when the video is shown at ``rate`` frames per second, each held.

    Args:
        indices: int64, any shape: frames in display order.
        pts_s: float64, shape (N,), time stamps in seconds, non-decreasing.
        frame_rate: of the video, frames per second.
        rate: above 0; at or above the video's own nothing changes.

    Returns:
        int64, same shape; no index is later than the one it stands for.

    >>> held_at(np.array([0, 3, 4, 9]), np.arange(10) / 10, 10.0, 2.5)
    array([0, 0, 4, 8])
    """
    if rate >= frame_rate * (1 - 1e-6):
        return indices
    pts_s = np.asarray(pts_s, np.float64)
    times = pts_s - pts_s[0] if math.isfinite(pts_s[-1] - pts_s[0]) else np.arange(len(pts_s)) / frame_rate
    ticks = np.floor(times[indices] * rate + 1e-6) / rate
    return np.minimum(indices, frames_at(ticks, pts_s, frame_rate))


def retimed(indices: np.ndarray, pts_s: np.ndarray, frame_rate: float, temporal: str | None, seed: int) -> np.ndarray:
    """The frames that a clip takes under a change of time.

    Orders come here only where the frames are looked at in pairs, for motion; otherwise ``reorder`` is enough.

    Args:
        indices: int64, shape (C, T): frames in display order.
        pts_s, frame_rate: of the video, as for ``held_at``.
        temporal: one of ``WORDS``, or ``None`` for no change.
        seed: of the video, for ``shuffle``.

    Returns:
        int64, shape (C, T).
    """
    if temporal is None:
        return indices
    change, rate = parse_temporal(temporal)
    if change == "fps":
        return held_at(indices, pts_s, frame_rate, rate)
    if change == "half-speed":
        return half_speed(indices)
    num_clips, num_frames = indices.shape
    return np.take_along_axis(indices, order_of(change, num_clips, num_frames, seed), axis=1)
