"""Places of vidmini's clips, without anybody in them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidbench.data.drawn.ink import STAGE_HEIGHT, STAGE_WIDTH, box, disc, polygon, random_colour, stroke


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A scene without anybody in it.

    Args:
        picture: uint8 (144, 192, 3).
        floor: height of the floor line in pixels from the top of the stage.
        brightness: mean of the wall, 0 to 255.
    """

    picture: np.ndarray
    floor: float
    brightness: float


def draw_backdrop(rng: np.random.Generator) -> Backdrop:
    """A random place: a wall, hills or a town, over a floor, with stains and random colours."""
    brightness = rng.uniform(50, 205)
    picture = np.empty((STAGE_HEIGHT, STAGE_WIDTH, 3), np.uint8)
    picture[:] = random_colour(rng, brightness, 0.5)

    def near(spread: float) -> tuple:
        return random_colour(rng, float(np.clip(brightness + rng.uniform(-spread, spread), 20, 235)), 0.5)

    floor = rng.uniform(98, 112)
    (_draw_wallpaper, _draw_hills, _draw_town, _draw_spots)[rng.integers(4)](picture, rng, floor, near)
    ground = near(35)
    box(picture, -2, floor, STAGE_WIDTH + 2, STAGE_HEIGHT + 2, ground)
    for _ in range(rng.integers(0, 7)):
        x, y = rng.uniform(0, STAGE_WIDTH), rng.uniform(floor + 4, STAGE_HEIGHT)
        stroke(picture, (x, y), (x + rng.uniform(8, 40), y), 1, near(45))
    stains = rng.normal(0, rng.uniform(6, 16), (9, 12, 3)).astype(np.float32)
    stained = picture + cv2.resize(stains, (STAGE_WIDTH, STAGE_HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(stained, 0, 255).astype(np.uint8)
    return Backdrop(picture, floor, float(picture[: int(floor)].mean()))


def _draw_wallpaper(picture, rng, floor, near) -> None:
    colour, step, slant = near(40), rng.uniform(9, 26), rng.uniform(-40, 40)
    for x in np.arange(-60, STAGE_WIDTH + 60, step):
        stroke(picture, (x, 0), (x + slant, floor), step * 0.35, colour)


def _draw_hills(picture, rng, floor, near) -> None:
    x = np.arange(-8, STAGE_WIDTH + 9, 8.0)
    for share in (0.45, 0.7):
        wave = np.sin(x / rng.uniform(14, 40) + rng.uniform(0, 6)) * rng.uniform(5, 14)
        points = [*zip(x, floor * share + wave), (STAGE_WIDTH + 8, floor), (-8, floor)]
        polygon(picture, points, near(45))
    for _ in range(rng.integers(0, 5)):
        at, size = rng.uniform(0, STAGE_WIDTH), rng.uniform(6, 14)
        stroke(picture, (at, floor), (at, floor - 2 * size), 3, near(45))
        disc(picture, (at, floor - 2.4 * size), size, near(45))


def _draw_town(picture, rng, floor, near) -> None:
    left = -10.0
    while left < STAGE_WIDTH:
        right, top = left + rng.uniform(18, 44), floor - rng.uniform(30, 95)
        box(picture, left, top, right, floor, near(45))
        window = near(50)
        for x in np.arange(left + 4, right - 5, 9):
            for y in np.arange(top + 5, floor - 8, 12):
                box(picture, x, y, x + 4, y + 6, window)
        left = right + rng.uniform(0, 8)


def _draw_spots(picture, rng, floor, near) -> None:
    for _ in range(rng.integers(8, 30)):
        centre = rng.uniform(0, STAGE_WIDTH), rng.uniform(0, floor)
        disc(picture, centre, rng.uniform(3, 16), near(45))
