"""Camera, light, and what passes by in vidmini's clips: all of it alike forwards and backwards."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from vidbench.data.drawn.ink import (
    FRAME_RATE,
    HEIGHT,
    STAGE_HEIGHT,
    STAGE_WIDTH,
    WIDTH,
    box,
    contrasting,
    disc,
    polygon,
    random_wave,
    stroke,
)
from vidbench.data.drawn.places import Backdrop


def random_drift(rng: np.random.Generator, num_frames: int) -> Callable:
    """``drift(number, picture) -> stage``: a copy of the backdrop under drifting shadows."""
    depth, angle, speed = rng.uniform(0.06, 0.2), rng.uniform(0, 2 * math.pi), rng.uniform(0, 30)
    blobs = np.repeat(rng.uniform(0, 255, (12, 16, 1)), 3, axis=2).astype(np.float32)
    cloth = np.clip(cv2.resize(blobs, (288, 216), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    seconds = (np.arange(num_frames) - num_frames / 2) / FRAME_RATE
    x = np.clip(48 + math.cos(angle) * speed * seconds, 0, 96).astype(int)
    y = np.clip(36 + math.sin(angle) * speed * seconds, 0, 72).astype(int)

    def drift(number: int, picture: np.ndarray) -> np.ndarray:
        part = cloth[y[number] : y[number] + STAGE_HEIGHT, x[number] : x[number] + STAGE_WIDTH]
        return cv2.addWeighted(picture, 1 - depth, part, depth, 0)

    return drift


def random_camera(rng: np.random.Generator, num_frames: int) -> Callable:
    """``camera(number, stage) -> picture``: a hand-held view, slow sway and quick tremble."""

    def sway(slow: float, quick: float) -> np.ndarray:
        wave = rng.uniform(0, slow) * random_wave(rng, num_frames, 0.1, 0.6)
        return wave + rng.uniform(0, quick) * random_wave(rng, num_frames, 1.5, 4)

    x, y, turn, zoom = sway(8, 1.2), sway(5, 1.0), sway(0.03, 0.004), 1.04 + sway(0.05, 0.0)

    def camera(number: int, stage: np.ndarray) -> np.ndarray:
        cos, sin = math.cos(turn[number]) * zoom[number], math.sin(turn[number]) * zoom[number]
        matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
        middle = np.array([STAGE_WIDTH / 2 + x[number], STAGE_HEIGHT / 2 + y[number]])
        matrix[:, 2] = np.array([WIDTH / 2, HEIGHT / 2]) - matrix[:, :2] @ middle
        return cv2.warpAffine(stage, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

    return camera


def random_finish(rng: np.random.Generator, num_frames: int) -> Callable:
    """``finish(number, picture) -> picture``: changing light and the sensor's noise."""
    gain = rng.uniform(0.75, 1.15) * (1 + rng.uniform(0, 0.1) * random_wave(rng, num_frames, 0.2, 2))
    noise = rng.normal(0, rng.uniform(2, 7), (HEIGHT + 32, WIDTH + 32, 1)).astype(np.float32)
    corner = rng.integers(0, 33, (num_frames, 2))

    def finish(number: int, picture: np.ndarray) -> np.ndarray:
        y, x = corner[number]
        lit = picture * np.float32(gain[number]) + noise[y : y + HEIGHT, x : x + WIDTH]
        return np.clip(lit, 0, 255).astype(np.uint8)

    return finish


def random_thing(rng: np.random.Generator, backdrop: Backdrop, num_frames: int) -> Callable:
    """``thing(number, stage)``: something that passes by, grows or shrinks, in any direction."""
    seconds = (np.arange(num_frames) - num_frames / 2) / FRAME_RATE
    angle, speed = rng.uniform(0, 2 * math.pi), rng.uniform(0, 45)
    x = rng.uniform(0, STAGE_WIDTH) + math.cos(angle) * speed * seconds
    y = rng.uniform(10, STAGE_HEIGHT - 10) + 0.5 * math.sin(angle) * speed * seconds
    y = y + rng.uniform(0, 6) * random_wave(rng, num_frames, 0.3, 1.5)
    size = rng.uniform(4, 9) * np.exp(np.clip(rng.normal(0, 0.25), -0.5, 0.5) * seconds)
    turn = rng.uniform(0, 6) + rng.uniform(-3, 3) * seconds
    colour, second = contrasting(rng, backdrop.brightness, 30), contrasting(rng, backdrop.brightness, 30)
    draw = (_draw_ball, _draw_bird, _draw_cart, _draw_kite)[rng.integers(4)]

    def thing(number: int, stage: np.ndarray) -> None:
        draw(stage, x[number], y[number], size[number], turn[number], colour, second)

    return thing


def _draw_ball(stage, x, y, size, turn, colour, second) -> None:
    disc(stage, (x, y), size, colour, second)
    offset = np.array([math.cos(turn), math.sin(turn)]) * size * 0.45
    disc(stage, (x + offset[0], y + offset[1]), size * 0.35, second)


def _draw_bird(stage, x, y, size, turn, colour, second) -> None:
    lift = math.sin(3 * turn) * size * 0.8
    for side in (-1, 1):
        stroke(stage, (x, y), (x + side * size, y - lift), 2, colour)
        stroke(stage, (x + side * size, y - lift), (x + side * 1.7 * size, y - 0.4 * lift), 2, colour)
    disc(stage, (x, y), size * 0.35, second)


def _draw_cart(stage, x, y, size, turn, colour, second) -> None:
    box(stage, x - 1.3 * size, y - 0.7 * size, x + 1.3 * size, y + 0.3 * size, colour, second)
    for side in (-0.8, 0.8):
        disc(stage, (x + side * size, y + 0.45 * size), size * 0.35, second)


def _draw_kite(stage, x, y, size, turn, colour, second) -> None:
    points = [
        (x + size * reach * math.cos(turn / 2 + at), y + size * reach * math.sin(turn / 2 + at))
        for at, reach in ((0, 1.0), (1.57, 0.7), (3.14, 1.5), (4.71, 0.7))
    ]
    polygon(stage, points, colour, second)
