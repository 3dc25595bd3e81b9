"""What the figures of vidmini do; each action gives ``paint(number, stage)``, forwards in time."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from vidbench.data.drawn.figures import Pose, draw_figure, random_look, standing, towards
from vidbench.data.drawn.ink import (
    FRAME_RATE,
    STAGE_WIDTH,
    box,
    contrasting,
    disc,
    polygon,
    random_progress,
    random_wave,
    sixteenths,
    stroke,
)
from vidbench.data.drawn.places import Backdrop

NOBODY = "Nobody"  # a scene without a figure: no class, and no clip of the splits


def _cast(rng: np.random.Generator, backdrop: Backdrop, low: float = 52, high: float = 86):
    """Look, height, facing and floor of a clip's figure."""
    floor = backdrop.floor + rng.uniform(3, 12)
    return random_look(rng, backdrop), rng.uniform(low, high), float(rng.choice([-1, 1])), floor


def _between(rng: np.random.Generator, margin: float) -> float:
    """A place on the stage at least ``margin`` from the borders of the picture."""
    return rng.uniform(16 + margin, STAGE_WIDTH - 16 - margin)


def approach(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """A figure walks towards the camera (or its back does); its feet keep to the ground."""
    look, _, _, _ = _cast(rng, backdrop)
    small = rng.uniform(26, 40)
    large = small * rng.uniform(2.0, 2.9)
    facing = 0.0 if rng.random() < 0.7 else float(rng.choice([-1, 1]))
    progress = random_progress(rng, num_frames)
    height = small * (large / small) ** progress
    floor = backdrop.floor + 2 + rng.uniform(8, 16) * (height - small) / (large - small)
    x = _between(rng, 34) + rng.uniform(-16, 16) * (progress - 0.5)
    phase = rng.uniform(0, 6) + rng.uniform(9, 16) * progress

    def paint(number: int, stage: np.ndarray) -> None:
        h, step = height[number], math.sin(phase[number])
        pose = standing(x[number], floor[number], h, facing)
        pose.feet = tuple((fx, fy - max(0.0, side * step) * 0.09 * h) for (fx, fy), side in zip(pose.feet, (-1, 1)))
        pose.hands = tuple((hx, hy - max(0.0, -side * step) * 0.1 * h) for (hx, hy), side in zip(pose.hands, (-1, 1)))
        draw_figure(stage, pose, look)

    return paint


def left_to_right(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """A figure crosses the picture from left to right, as often backwards as forwards."""
    look, height, facing, floor = _cast(rng, backdrop, 44, 80)
    way = rng.uniform(58, 100)
    start = rng.uniform(30, STAGE_WIDTH - 30 - way)
    progress = random_progress(rng, num_frames)
    phase = rng.uniform(0, 6) + rng.choice([-1, 1]) * way / height * rng.uniform(4, 6) * progress

    def paint(number: int, stage: np.ndarray) -> None:
        x, swing = start + way * progress[number], math.sin(phase[number]) * 0.17 * height
        pose = standing(x, floor, height, facing)
        lift = abs(math.cos(phase[number])) * 0.03 * height
        pose.feet = ((x - swing, floor - lift), (x + swing, floor - lift))
        pose.hands = ((x + swing, pose.hands[0][1] - lift), (x - swing, pose.hands[1][1] - lift))
        draw_figure(stage, pose, look)

    return paint


def open_door(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """A figure opens a door that swings out of the wall towards the camera."""
    look, height, _, floor = _cast(rng, backdrop, 50, 74)
    side = float(rng.choice([-1, 1]))  # the door's free edge lies on this side of the hinge
    tall, wide = height * rng.uniform(1.1, 1.3), height * rng.uniform(0.55, 0.75)
    base = floor - rng.uniform(2, 8)
    hinge = _between(rng, 42) - side * 0.5 * wide
    colours = [contrasting(rng, backdrop.brightness, 30) for _ in range(2)]
    inside = contrasting(rng, 0.4 * sum(colours[0]) / 3 + 0.6 * backdrop.brightness, 60)
    angle = random_progress(rng, num_frames) * rng.uniform(1.25, 1.9)
    panels = int(rng.integers(3))

    def paint(number: int, stage: np.ndarray) -> None:
        top = base - tall
        edge, rise = hinge + side * wide * math.cos(angle[number]), 0.2 * wide * math.sin(angle[number])
        box(stage, hinge, top, hinge + side * wide, base, inside, look.ink)
        leaf = [(hinge, top), (edge, top - rise), (edge, base + rise), (hinge, base)]
        polygon(stage, leaf, colours[0], look.ink)
        for panel in range(panels):
            _draw_panel(stage, leaf, (panel + 0.2) / panels, (panel + 0.8) / panels, colours[1])
        knob = (hinge + 0.88 * (edge - hinge), base - 0.45 * tall)
        disc(stage, knob, 1.8, look.extra, look.ink)
        x = hinge + side * (0.4 * wide + 0.6 * wide * math.cos(angle[number]) + 0.28 * height)
        pose = standing(x, floor + 3, height, -side)
        pose.hands = (pose.hands[0], towards((pose.neck[0], pose.neck[1] + 0.05 * height), knob, 0.38 * height))
        draw_figure(stage, pose, look)

    return paint


def _draw_panel(stage, leaf, upper: float, lower: float, colour) -> None:
    """A panel of a door leaf, between two shares of its height."""
    corners = np.array(leaf, float)
    left = corners[0] + (corners[3] - corners[0]) * np.array([[upper], [lower]])
    right = corners[1] + (corners[2] - corners[1]) * np.array([[upper], [lower]])
    inner = [left + (right - left) * share for share in (0.2, 0.8)]
    polygon(stage, [inner[0][0], inner[1][0], inner[1][1], inner[0][1]], colour)


def sit_down(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """A figure sits down on a chair, seen from the side."""
    look, height, facing, floor = _cast(rng, backdrop)
    x, seat = _between(rng, 34), rng.uniform(0.22, 0.27) * height
    wood, back = contrasting(rng, backdrop.brightness, 35), rng.uniform(0.5, 0.62) * height
    progress = random_progress(rng, num_frames)
    bow = rng.uniform(0.1, 0.22)

    def paint(number: int, stage: np.ndarray) -> None:
        p = progress[number]
        rear, front = x - facing * 0.36 * height, x - facing * 0.06 * height
        for a, b in (((rear, floor), (rear, floor - back)), ((front, floor), (front, floor - seat))):
            stroke(stage, a, b, 0.045 * height, wood, look.ink)
        stroke(stage, (rear, floor - seat), (front, floor - seat), 0.06 * height, wood, look.ink)
        pose = standing(x, floor, height, facing)
        drop = (0.46 * height - seat - 0.07 * height) * p
        pose.hip = (x - facing * 0.2 * height * p, floor - 0.46 * height + drop)
        lean = facing * height * (bow * math.sin(math.pi * p) - 0.02 * p)
        pose.neck = (pose.hip[0] + lean, pose.hip[1] - 0.34 * height + abs(lean) * 0.4)
        pose.feet = tuple((fx + facing * 0.03 * height, fy) for fx, fy in pose.feet)
        pose.hands = tuple(
            (pose.neck[0] + facing * (0.04 + 0.16 * p + 0.05 * k) * height, pose.neck[1] + (0.36 - 0.08 * p) * height)
            for k in (0, 1)
        )
        draw_figure(stage, pose, look)

    return paint


def _idle(rng: np.random.Generator, backdrop: Backdrop, num_frames: int, margin: float):
    """A figure that stands and sways while it drifts a little; ``(look, pose_at, height)``."""
    look, height, facing, floor = _cast(rng, backdrop, 46, 76)
    x = _between(rng, margin) + rng.uniform(0, 7) * random_wave(rng, num_frames, 0.1, 0.5)
    sway = rng.uniform(0, 0.05) * random_wave(rng, num_frames, 0.3, 1.2)
    facing = facing if rng.random() < 0.6 else 0.0
    return look, lambda number: standing(float(x[number]), floor, height, facing, float(sway[number])), height


def hold_balloon(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """A figure holds a balloon on a string."""
    look, pose_at, height = _idle(rng, backdrop, num_frames, 30)
    colour, radius = contrasting(rng, backdrop.brightness, 45), rng.uniform(0.14, 0.2) * height
    side, string = float(rng.choice([-1, 1])), rng.uniform(0.3, 0.5) * height
    swing = rng.uniform(0.05, 0.25) * random_wave(rng, num_frames, 0.3, 1.2)

    def paint(number: int, stage: np.ndarray) -> None:
        pose = pose_at(number)
        hand = (pose.neck[0] + side * 0.24 * height, pose.neck[1] + 0.02 * height)
        pose.hands = (pose.hands[0], hand)
        end = (hand[0] + string * math.sin(swing[number]), hand[1] - string * math.cos(swing[number]))
        centre = (end[0], end[1] - 1.1 * radius)

        def balloon(stage: np.ndarray) -> None:
            stroke(stage, hand, end, 1, look.ink)
            for grow, fill in ((1, look.ink), (0, colour)):
                axes = sixteenths((radius + grow, 1.2 * radius + grow))
                cv2.ellipse(stage, sixteenths(centre), axes, 0, 0, 360, fill, -1, cv2.LINE_AA, 4)

        draw_figure(stage, pose, look, balloon)

    return paint


def hold_umbrella(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """A figure holds an umbrella over its head."""
    look, pose_at, height = _idle(rng, backdrop, num_frames, 32)
    colours = [contrasting(rng, backdrop.brightness, 45) for _ in range(2)]
    radius, side = rng.uniform(0.28, 0.38) * height, float(rng.choice([-1, 1]))
    tilt = rng.uniform(-0.3, 0.3) + rng.uniform(0, 0.15) * random_wave(rng, num_frames, 0.2, 1)

    def paint(number: int, stage: np.ndarray) -> None:
        pose = pose_at(number)
        hand = (pose.neck[0] + side * 0.16 * height, pose.neck[1] + 0.14 * height)
        pose.hands = (pose.hands[0], hand)
        up = np.array([math.sin(tilt[number]), -math.cos(tilt[number])])
        middle = np.array(hand) + up * 0.42 * height

        def umbrella(stage: np.ndarray) -> None:
            stroke(stage, hand, middle + up * radius * 0.85, 1.5, look.ink)
            _draw_canopy(stage, middle, radius, math.degrees(tilt[number]), colours, look.ink)

        draw_figure(stage, pose, look, umbrella)

    return paint


def _draw_canopy(stage, middle, radius: float, degrees: float, colours, ink) -> None:
    axes = sixteenths((radius, 0.8 * radius))
    cv2.ellipse(
        stage,
        sixteenths(middle),
        sixteenths((radius + 1, 0.8 * radius + 1)),
        degrees,
        180,
        360,
        ink,
        -1,
        cv2.LINE_AA,
        4,
    )
    for part in range(4):
        start = 180 + 45 * part
        cv2.ellipse(stage, sixteenths(middle), axes, degrees, start, start + 45, colours[part % 2], -1, cv2.LINE_AA, 4)


def play_guitar(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """A figure plays a guitar held across its body."""
    look, pose_at, height = _idle(rng, backdrop, num_frames, 26)
    wood, side = contrasting(rng, sum(look.shirt) / 3, 50), float(rng.choice([-1, 1]))
    tilt = rng.uniform(0.1, 0.6) + rng.uniform(0, 0.08) * random_wave(rng, num_frames, 0.2, 1)
    strum = rng.uniform(0.03, 0.09) * random_wave(rng, num_frames, 1.5, 4)
    size = rng.uniform(0.9, 1.15) * height

    def paint(number: int, stage: np.ndarray) -> None:
        pose = pose_at(number)
        belly = np.array([pose.hip[0] - side * 0.06 * height, pose.hip[1] - 0.04 * height])
        along = np.array([side * math.cos(tilt[number]), -math.sin(tilt[number])])
        pose.hands = (belly + along * 0.4 * size, belly + along * 0.03 * size + (0, strum[number] * height))

        def guitar(stage: np.ndarray) -> None:
            stroke(stage, belly, belly + along * 0.5 * size, 0.05 * size, look.extra, look.ink)
            stroke(stage, belly + along * 0.48 * size, belly + along * 0.55 * size, 0.08 * size, wood, look.ink)
            disc(stage, belly + along * 0.12 * size, 0.1 * size, wood, look.ink)
            disc(stage, belly - along * 0.03 * size, 0.135 * size, wood, look.ink)
            disc(stage, belly + along * 0.06 * size, 0.045 * size, look.ink)

        draw_figure(stage, pose, look, guitar)

    return paint


def ride_bicycle(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """A figure on a bicycle that rolls a little, as often backwards as forwards."""
    look, height, facing, floor = _cast(rng, backdrop, 48, 76)
    radius, metal = 0.2 * height, contrasting(rng, backdrop.brightness, 45)
    shift = rng.uniform(-22, 22) * np.linspace(-0.5, 0.5, num_frames)
    x = _between(rng, 38) + shift
    turn = rng.uniform(0, 6) + facing * shift / radius * 2 + rng.choice([-3, 3]) * np.arange(num_frames) / FRAME_RATE

    def paint(number: int, stage: np.ndarray) -> None:
        hub = floor - radius
        rear, front = (x[number] - facing * 0.3 * height, hub), (x[number] + facing * 0.3 * height, hub)
        crank, saddle = (x[number], hub + 0.02 * height), (x[number] - facing * 0.12 * height, hub - 0.3 * height)
        bars = (x[number] + facing * 0.22 * height, hub - 0.36 * height)
        for wheel in (rear, front):
            _draw_wheel(stage, wheel, radius, turn[number], metal, look.ink)
        for a, b in ((rear, saddle), (rear, crank), (crank, saddle), (crank, bars), (saddle, bars), (front, bars)):
            stroke(stage, a, b, 1.6, metal)
        pedal = np.array([math.cos(turn[number]), math.sin(turn[number])]) * 0.07 * height
        neck = (saddle[0] + facing * 0.14 * height, saddle[1] - 0.33 * height)
        pose = Pose(saddle, neck, (np.array(crank) - pedal, np.array(crank) + pedal), (bars, bars), height, facing)
        draw_figure(stage, pose, look)

    return paint


def _draw_wheel(stage, hub, radius: float, turn: float, metal, ink) -> None:
    cv2.circle(stage, sixteenths(hub), round(radius * 16), ink, 3, cv2.LINE_AA, 4)
    cv2.circle(stage, sixteenths(hub), round(radius * 16), metal, 1, cv2.LINE_AA, 4)
    for spoke in range(3):
        across = np.array([math.cos(turn + spoke * 1.05), math.sin(turn + spoke * 1.05)]) * radius
        stroke(stage, np.array(hub) - across, np.array(hub) + across, 1, metal)


def nobody(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """No figure at all."""
    return lambda number, stage: None


ACTIONS = {
    NOBODY: nobody,
    "Approach": approach,
    "LeftToRight": left_to_right,
    "OpenDoor": open_door,
    "SitDown": sit_down,
    "HoldBalloon": hold_balloon,
    "HoldUmbrella": hold_umbrella,
    "PlayGuitar": play_guitar,
    "RideBicycle": ride_bicycle,
}
