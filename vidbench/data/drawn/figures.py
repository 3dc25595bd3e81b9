"""The figures of vidmini: how one looks, stands and is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vidbench.data.drawn.ink import box, contrasting, disc, random_colour, sixteenths, stroke
from vidbench.data.drawn.places import Backdrop


@dataclass(frozen=True)
class Look:
    """What a figure looks like: colours, head and build; the same in every frame of a clip."""

    skin: tuple
    shirt: tuple
    trousers: tuple
    ink: tuple
    extra: tuple
    hair: int
    width: float


def random_look(rng: np.random.Generator, backdrop: Backdrop) -> Look:
    """Colours that stand out from the backdrop, brighter or darker; a random head and build."""
    skin, shirt, trousers, extra = (contrasting(rng, backdrop.brightness) for _ in range(4))
    ink = random_colour(rng, 20 if sum(shirt) > 330 else 235)
    return Look(skin, shirt, trousers, ink, extra, int(rng.integers(4)), rng.uniform(0.85, 1.2))


def joint_between(start, end, length: float, side: float) -> tuple[float, float]:
    """The knee or elbow between two points, bones of equal ``length``, bent to ``side`` (±1)."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    distance = max(1e-6, math.hypot(dx, dy))
    out = side * math.sqrt(max(0.0, length**2 - distance**2 / 4)) / distance
    return (x0 + x1) / 2 + dy * out, (y0 + y1) / 2 - dx * out


def towards(start, target, reach: float) -> tuple[float, float]:
    """The point at most ``reach`` from ``start`` on the way to ``target``."""
    dx, dy = target[0] - start[0], target[1] - start[1]
    share = min(1.0, reach / max(1e-6, math.hypot(dx, dy)))
    return start[0] + dx * share, start[1] + dy * share


@dataclass
class Pose:
    """Where a figure's body is, in stage pixels; ``facing`` is 1 (right), -1 (left) or 0 (front)."""

    hip: tuple
    neck: tuple
    feet: tuple
    hands: tuple
    height: float
    facing: float = 1.0


def standing(x: float, floor: float, height: float, facing: float = 1.0, sway: float = 0.0) -> Pose:
    """A figure at rest with hanging arms; ``sway`` leans the upper body (shares of the height)."""
    hip = (x, floor - 0.46 * height)
    neck = (x + sway * height, floor - 0.8 * height)
    gap = 0.07 * height
    hands = tuple((neck[0] + side * 0.11 * height, neck[1] + 0.4 * height) for side in (-1, 1))
    return Pose(hip, neck, ((x - gap, floor), (x + gap, floor)), hands, height, facing)


def draw_figure(stage: np.ndarray, pose: Pose, look: Look, held: Callable | None = None) -> None:
    """Draw a figure; ``held(stage)`` draws what it holds, between the body and the near arm."""
    h, facing = pose.height, pose.facing or 1.0
    leg, arm, torso = 0.105 * h * look.width, 0.075 * h * look.width, 0.17 * h * look.width
    spread = 0.06 * h if pose.facing == 0 else 0.025 * h
    shoulders = [(pose.neck[0] + side * spread, pose.neck[1] + 0.05 * h) for side in (-1, 1)]
    _draw_limb(stage, shoulders[0], pose.hands[0], 0.19 * h, arm, -facing, look.shirt, look)
    for foot in pose.feet:
        _draw_limb(stage, pose.hip, foot, 0.236 * h, leg, facing, look.trousers, look)
        stroke(stage, foot, (foot[0] + 0.06 * h * facing, foot[1]), leg * 0.7, look.extra, look.ink)
    stroke(stage, pose.hip, (pose.neck[0], pose.neck[1] + 0.05 * h), torso, look.shirt, look.ink)
    _draw_head(stage, pose, look)
    if held is not None:
        held(stage)
    _draw_limb(stage, shoulders[1], pose.hands[1], 0.19 * h, arm, -facing, look.shirt, look)
    for hand in pose.hands:
        disc(stage, hand, arm * 0.6, look.skin)


def _draw_limb(stage, start, end, bone, width, side, colour, look) -> None:
    joint = joint_between(start, end, bone, side)
    for a, b in ((start, joint), (joint, end)):
        stroke(stage, a, b, width, look.ink)
        cv2.line(stage, sixteenths(a), sixteenths(b), look.ink, max(1, round(width + 2)), cv2.LINE_AA, 4)
    stroke(stage, start, joint, width, colour)
    stroke(stage, joint, end, width, colour)


def _draw_head(stage: np.ndarray, pose: Pose, look: Look) -> None:
    h, radius = pose.height, 0.095 * pose.height
    x, y = pose.neck[0] + 0.02 * h * pose.facing, pose.neck[1] - 0.085 * h
    disc(stage, (x, y), radius, look.skin, look.ink)
    if look.hair == 1:  # a cap of hair
        cv2.ellipse(
            stage,
            sixteenths((x, y - 0.1 * radius)),
            sixteenths((radius, radius)),
            0,
            180,
            360,
            look.extra,
            -1,
            cv2.LINE_AA,
            4,
        )
    elif look.hair == 2:  # a hat
        stroke(stage, (x - 1.3 * radius, y - 0.6 * radius), (x + 1.3 * radius, y - 0.6 * radius), 2, look.extra)
        box(stage, x - 0.8 * radius, y - 1.7 * radius, x + 0.8 * radius, y - 0.6 * radius, look.extra, look.ink)
    elif look.hair == 3:  # a bun
        disc(stage, (x - 0.4 * radius * pose.facing, y - 1.1 * radius), radius * 0.5, look.extra, look.ink)
    for eye in (-0.4, 0.4) if pose.facing == 0 else (0.5 * pose.facing,):
        disc(stage, (x + eye * radius, y), 0.6, look.ink)
