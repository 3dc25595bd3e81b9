"""A clip of vidmini before it is drawn: a place, a figure with something to do, and all that happens around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vidbench.data.drawn.actions import ACTIONS
from vidbench.data.drawn.ink import HEIGHT, STAGE_HEIGHT, STAGE_WIDTH, WIDTH
from vidbench.data.drawn.passing import random_camera, random_drift, random_finish, random_thing
from vidbench.data.drawn.places import draw_backdrop

MIN_FRAMES, MAX_FRAMES = 50, 75  # 2 to 3 s


@dataclass(frozen=True, eq=False)
class Shot:
    """A scene with everything that will happen in it, ready to be drawn frame by frame.

    Args:
        num_frames: T.
        picture: uint8 (144, 192, 3), the place without anybody.
        drift: ``drift(number, picture) -> stage``.
        behind: layers ``layer(number, stage)`` that are painted before the actor.
        actor: the actor's layer.
        before: layers that are painted over the actor.
        camera: ``camera(number, stage) -> picture``.
        finish: ``finish(number, picture) -> picture``.
    """

    num_frames: int
    picture: np.ndarray
    drift: Callable
    behind: tuple[Callable, ...]
    actor: Callable
    before: tuple[Callable, ...]
    camera: Callable
    finish: Callable

    def draw(self) -> np.ndarray:
        """All frames, uint8 (T, 120, 160, 3)."""
        frames = np.empty((self.num_frames, HEIGHT, WIDTH, 3), np.uint8)
        for number in range(self.num_frames):
            stage = self.drift(number, self.picture)
            for layer in (*self.behind, self.actor, *self.before):
                layer(number, stage)
            frames[number] = self.finish(number, self.camera(number, stage))
        return frames

    def masks(self) -> np.ndarray:
        """Where the actor is seen, bool (T, 120, 160)."""
        masks = np.empty((self.num_frames, HEIGHT, WIDTH), bool)
        for number in range(self.num_frames):
            seen = _cover(number, (self.actor,)) * (1 - _cover(number, self.before))
            masks[number] = self.camera(number, seen) > 0.5
        return masks


def _cover(number: int, layers: tuple[Callable, ...]) -> np.ndarray:
    """How much layers hide of what is behind them, float32 (144, 192) in [0, 1]: paint over black and over white."""
    black = np.zeros((STAGE_HEIGHT, STAGE_WIDTH, 3), np.uint8)
    white = np.full_like(black, 255)
    for layer in layers:
        layer(number, black)
        layer(number, white)
    return 1 - (white.astype(np.float32) - black).mean(-1) / 255


def direct(action: str, scene: np.random.Generator, clip: np.random.Generator) -> Shot:
    """Decide all that happens in a clip of an action, forwards in time.

    ``action`` is an appearance class, the first of a pair, or ``NOBODY``. ``scene`` decides what the clips of one
    group share (place, colours), ``clip`` all else.
    """
    backdrop = draw_backdrop(scene)
    num_frames = int(clip.integers(MIN_FRAMES, MAX_FRAMES + 1))
    actor = ACTIONS[action](clip, backdrop, num_frames)
    things = [random_thing(clip, backdrop, num_frames) for _ in range(clip.integers(1, 4))]
    behind = tuple(thing for thing in things if clip.random() < 0.7)
    before = tuple(thing for thing in things if thing not in behind)
    drift = random_drift(clip, num_frames)
    camera = random_camera(clip, num_frames)
    return Shot(num_frames, backdrop.picture, drift, behind, actor, before, camera, random_finish(clip, num_frames))
