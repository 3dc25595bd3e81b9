"""What drawings of vidmini are made of: its stage, its time, colours and strokes."""

from __future__ import annotations

import math

import cv2
import numpy as np

WIDTH, HEIGHT, FRAME_RATE = 160, 120, 25
STAGE_WIDTH, STAGE_HEIGHT = 192, 144  # larger than the picture, so that the camera can move over it


def random_progress(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """Float (T,), from 0 to 1: a rest, the action, a rest, each of random length."""
    start = rng.uniform(0.05, 0.28)
    length = rng.uniform(0.42, 0.95 - start if start > 0.25 else 0.68)
    share = np.clip((np.arange(num_frames) / (num_frames - 1) - start) / length, 0, 1)
    return share**2 * (3 - 2 * share)


def random_wave(rng: np.random.Generator, num_frames: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Float (T,), a sine of random frequency and phase: alike forwards and backwards."""
    seconds = np.arange(num_frames) / FRAME_RATE
    return np.sin(2 * math.pi * (rng.uniform(low_hz, high_hz) * seconds + rng.random()))


def random_colour(rng: np.random.Generator, brightness: float, vivid: float = 1.0) -> tuple[int, int, int]:
    """An RGB colour of any hue with about this brightness (0 to 255); ``vivid=0`` is grey."""
    colour = rng.uniform(0, 255, 3)
    colour = brightness + vivid * (colour - colour @ (0.299, 0.587, 0.114))
    red, green, blue = (int(value) for value in np.clip(colour, 0, 255))
    return red, green, blue


def contrasting(rng: np.random.Generator, brightness: float, least: float = 55) -> tuple[int, int, int]:
    """A colour brighter or darker than ``brightness``, each as often where there is room."""
    room = [low_high for low_high in ((5, brightness - least), (brightness + least, 250)) if low_high[0] < low_high[1]]
    return random_colour(rng, rng.uniform(*room[rng.integers(len(room))]))


def sixteenths(point) -> tuple[int, int]:
    """A point in the sixteenths of a pixel that OpenCV draws with at ``shift=4``."""
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def stroke(image: np.ndarray, start, end, width: float, colour, ink=None) -> None:
    """A line with round ends, outlined with ``ink``."""
    if ink is not None:
        cv2.line(image, sixteenths(start), sixteenths(end), ink, max(1, round(width + 2)), cv2.LINE_AA, 4)
    cv2.line(image, sixteenths(start), sixteenths(end), colour, max(1, round(width)), cv2.LINE_AA, 4)


def disc(image: np.ndarray, centre, radius: float, colour, ink=None) -> None:
    """A filled circle, outlined with ``ink``."""
    if ink is not None:
        cv2.circle(image, sixteenths(centre), round((radius + 1) * 16), ink, -1, cv2.LINE_AA, 4)
    cv2.circle(image, sixteenths(centre), max(8, round(radius * 16)), colour, -1, cv2.LINE_AA, 4)


def polygon(image: np.ndarray, points, colour, ink=None) -> None:
    """A filled polygon, outlined with ``ink``."""
    fixed = np.array([sixteenths(point) for point in points], np.int32)
    cv2.fillPoly(image, [fixed], colour, cv2.LINE_AA, 4)
    if ink is not None:
        cv2.polylines(image, [fixed], True, ink, 1, cv2.LINE_AA, 4)


def box(image: np.ndarray, left: float, top: float, right: float, bottom: float, colour, ink=None) -> None:
    """A filled rectangle, outlined with ``ink``."""
    polygon(image, [(left, top), (right, top), (right, bottom), (left, bottom)], colour, ink)
