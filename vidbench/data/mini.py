"""Draws vidmini, the mini set with ground truth: little figures in front of moving, noisy scenes.

Four appearance classes can be told from one frame. Eight order classes form four pairs that
differ by the direction of time alone: a clip of a pair's second class is drawn exactly like one of
the first and then played backwards, camera, light and passers-by included. Whatever one frame
shows, it shows in both classes of a pair equally often.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context, parent_process
from pathlib import Path

import cv2
import numpy as np

from vidbench.records import ConfigError
from vidbench.utils import atomic_writer, package_versions, printable, sha256_of_file, usable_cores, write_json

WIDTH, HEIGHT, FRAME_RATE = 160, 120, 25
MIN_FRAMES, MAX_FRAMES = 50, 75  # 2 to 3 s
STAGE_WIDTH, STAGE_HEIGHT = 192, 144  # larger than the picture, so that the camera can move over it

PAIRS = (("Approach", "Recede"), ("LeftToRight", "RightToLeft"), ("OpenDoor", "CloseDoor"), ("SitDown", "StandUp"))
APPEARANCE = ("HoldBalloon", "HoldUmbrella", "PlayGuitar", "RideBicycle")
ORDER = tuple(name for pair in PAIRS for name in pair)
CLASSES = tuple(sorted(APPEARANCE + ORDER))
PARTNER = {**dict(PAIRS), **{second: first for first, second in PAIRS}}  # of an order class, the same played backwards

SPLIT_CODES = {"test": 0, "train": 1}
FIRST_GROUP = {"test": 1, "train": 101}  # groups never cross splits
GROUP_SIZE = 2  # clips of one class in one scene
RECIPE = 1  # rises whenever the same seed gives other pixels
_SCENE_CODE = 1000  # keeps the scenes' random numbers apart from the clips'
_FILM_CODE = 2  # and those of long videos apart from the splits'
NOBODY = "Nobody"  # a scene without a figure: no class, and no clip of the splits


# --- which clips there are -------------------------------------------------------------------


def check_split(split: str, per_class: int) -> None:
    """Raises ``ConfigError`` for an unknown split, or more clips than the split has groups for."""
    if split not in SPLIT_CODES:
        raise ConfigError(f"vidmini has the splits test and train, not {printable(split)!r}.")
    most = (FIRST_GROUP["train"] - FIRST_GROUP["test"]) * GROUP_SIZE if split == "test" else 100_000
    if not 1 <= per_class <= most:
        raise ConfigError(f"The {split} split of vidmini takes 1 to {most} clips a class, not {per_class}.")


def clip_name(label: str, split: str, index: int) -> str:
    """Path of a clip below ``videos/``, in the manner of UCF101.

    >>> clip_name("SitDown", "test", 5)
    'SitDown/v_SitDown_g03_c02.mp4'
    """
    group, take = FIRST_GROUP[split] + index // GROUP_SIZE, index % GROUP_SIZE + 1
    return f"{label}/v_{label}_g{group:02d}_c{take:02d}.mp4"


def draw_clip(label: str, index: int, *, split: str = "test", seed: int = 0) -> np.ndarray:
    """Draw one clip; it depends on the four arguments alone.

    Args:
        label: one of ``CLASSES``.
        index: which clip of the class, from 0.
        split: ``test`` or ``train``.
        seed: at least 0.

    Returns:
        uint8, shape (T, 120, 160, 3), RGB, T from 50 to 75 at 25 frames per second.

    Raises:
        ConfigError: an unknown class or split.
    """
    shot, step = _shot_of_clip(label, index, split, seed)
    return np.ascontiguousarray(shot.draw()[::step])


def actor_mask(label: str, index: int, *, split: str = "test", seed: int = 0) -> np.ndarray:
    """Which pixels of a clip show its actor: the figure with what it holds, sits on, rides or opens.

    Pixels that a passer-by hides are not the actor's. This is the ground truth for where a network looks.

    Args:
        label: one of ``CLASSES``.
        index, split, seed: which clip of the class, as for ``draw_clip``, whose frames these are.

    Returns:
        bool, shape (T, 120, 160).

    Raises:
        ConfigError: an unknown class or split.
    """
    shot, step = _shot_of_clip(label, index, split, seed)
    return np.ascontiguousarray(shot.masks()[::step])


def draw_long(labels: Iterable[str], *, seed: int = 0) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """Draw a long video: one action after the other, with a cut to another place and figure between two.

    Nothing in it is part of a split: places, figures and camera are drawn anew.

    Args:
        labels: classes in order, as often as wanted; ``NOBODY`` is a scene with passers-by and no figure.
        seed: at least 0.

    Returns:
        frames uint8 (T, 120, 160, 3) at 25 frames per second, and the truth: ``(start_s, end_s, label)`` of each
        action, which meet without a gap.

    Raises:
        ConfigError: no label, or an unknown one.
    """
    labels = list(labels)
    if not labels:
        raise ConfigError("A long video needs at least one class.")
    for label in labels:
        _check_class(label, (*CLASSES, NOBODY))
    parts, truth, num_frames = [], [], 0
    for place, label in enumerate(labels):
        forwards, step = _forwards(label)
        rngs = (np.random.default_rng([seed, _FILM_CODE, code, place]) for code in (_SCENE_CODE, 0))
        parts.append(direct(forwards, *rngs).draw()[::step])
        truth.append((num_frames / FRAME_RATE, (num_frames + len(parts[-1])) / FRAME_RATE, label))
        num_frames += len(parts[-1])
    return np.concatenate(parts), truth


def write_long(path: str | os.PathLike, labels: Iterable[str], *, seed: int = 0) -> list[tuple[float, float, str]]:
    """Write ``draw_long`` as H.264 in MP4 and return its truth; the folder must be there."""
    frames, truth = draw_long(labels, seed=seed)
    with atomic_writer(Path(path)) as file:
        file.write(encode_clip(frames))
    return truth


def _check_class(label: str, known: tuple[str, ...] = CLASSES) -> None:
    if label not in known:
        raise ConfigError(f"vidmini has no class {printable(label)!r}. Classes: {', '.join(known)}.")


def _forwards(label: str) -> tuple[str, int]:
    """The action that is drawn for a class, and the step through its frames: -1 for a pair's second class."""
    action = next((first for first, second in PAIRS if label == second), label)
    return action, 1 if action == label else -1


def _shot_of_clip(label: str, index: int, split: str, seed: int) -> tuple[Shot, int]:
    """A clip of a split before it is drawn, and the step through its frames."""
    _check_class(label)
    check_split(split, index + 1)
    code, (action, step) = SPLIT_CODES[split], _forwards(label)
    scene = np.random.default_rng([seed, code, _SCENE_CODE + CLASSES.index(action), index // GROUP_SIZE])
    clip = np.random.default_rng([seed, code, CLASSES.index(label), index])
    return direct(action, scene, clip), step


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


# --- time, colour, strokes -------------------------------------------------------------------


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


def _fixed(point) -> tuple[int, int]:
    """A point in the sixteenths of a pixel that OpenCV draws with at ``shift=4``."""
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def stroke(image: np.ndarray, start, end, width: float, colour, ink=None) -> None:
    """A line with round ends, outlined with ``ink``."""
    if ink is not None:
        cv2.line(image, _fixed(start), _fixed(end), ink, max(1, round(width + 2)), cv2.LINE_AA, 4)
    cv2.line(image, _fixed(start), _fixed(end), colour, max(1, round(width)), cv2.LINE_AA, 4)


def disc(image: np.ndarray, centre, radius: float, colour, ink=None) -> None:
    """A filled circle, outlined with ``ink``."""
    if ink is not None:
        cv2.circle(image, _fixed(centre), round((radius + 1) * 16), ink, -1, cv2.LINE_AA, 4)
    cv2.circle(image, _fixed(centre), max(8, round(radius * 16)), colour, -1, cv2.LINE_AA, 4)


def polygon(image: np.ndarray, points, colour, ink=None) -> None:
    """A filled polygon, outlined with ``ink``."""
    fixed = np.array([_fixed(point) for point in points], np.int32)
    cv2.fillPoly(image, [fixed], colour, cv2.LINE_AA, 4)
    if ink is not None:
        cv2.polylines(image, [fixed], True, ink, 1, cv2.LINE_AA, 4)


def box(image: np.ndarray, left: float, top: float, right: float, bottom: float, colour, ink=None) -> None:
    """A filled rectangle, outlined with ``ink``."""
    polygon(image, [(left, top), (right, top), (right, bottom), (left, bottom)], colour, ink)


# --- places ----------------------------------------------------------------------------------


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


# --- camera, light, and what passes by: all of it alike forwards and backwards -----------------


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


# --- figures ---------------------------------------------------------------------------------


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
        cv2.line(stage, _fixed(a), _fixed(b), look.ink, max(1, round(width + 2)), cv2.LINE_AA, 4)
    stroke(stage, start, joint, width, colour)
    stroke(stage, joint, end, width, colour)


def _draw_head(stage: np.ndarray, pose: Pose, look: Look) -> None:
    h, radius = pose.height, 0.095 * pose.height
    x, y = pose.neck[0] + 0.02 * h * pose.facing, pose.neck[1] - 0.085 * h
    disc(stage, (x, y), radius, look.skin, look.ink)
    if look.hair == 1:  # a cap of hair
        cv2.ellipse(
            stage, _fixed((x, y - 0.1 * radius)), _fixed((radius, radius)), 0, 180, 360, look.extra, -1, cv2.LINE_AA, 4
        )
    elif look.hair == 2:  # a hat
        stroke(stage, (x - 1.3 * radius, y - 0.6 * radius), (x + 1.3 * radius, y - 0.6 * radius), 2, look.extra)
        box(stage, x - 0.8 * radius, y - 1.7 * radius, x + 0.8 * radius, y - 0.6 * radius, look.extra, look.ink)
    elif look.hair == 3:  # a bun
        disc(stage, (x - 0.4 * radius * pose.facing, y - 1.1 * radius), radius * 0.5, look.extra, look.ink)
    for eye in (-0.4, 0.4) if pose.facing == 0 else (0.5 * pose.facing,):
        disc(stage, (x + eye * radius, y), 0.6, look.ink)


# --- actions: each returns paint(number, stage) ----------------------------------------------


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
                axes = _fixed((radius + grow, 1.2 * radius + grow))
                cv2.ellipse(stage, _fixed(centre), axes, 0, 0, 360, fill, -1, cv2.LINE_AA, 4)

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
    axes = _fixed((radius, 0.8 * radius))
    cv2.ellipse(
        stage, _fixed(middle), _fixed((radius + 1, 0.8 * radius + 1)), degrees, 180, 360, ink, -1, cv2.LINE_AA, 4
    )
    for part in range(4):
        start = 180 + 45 * part
        cv2.ellipse(stage, _fixed(middle), axes, degrees, start, start + 45, colours[part % 2], -1, cv2.LINE_AA, 4)


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
    cv2.circle(stage, _fixed(hub), round(radius * 16), ink, 3, cv2.LINE_AA, 4)
    cv2.circle(stage, _fixed(hub), round(radius * 16), metal, 1, cv2.LINE_AA, 4)
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


# --- files -----------------------------------------------------------------------------------


def encode_clip(frames: np.ndarray, quantiser: int = 30, frame_rate: int = FRAME_RATE) -> bytes:
    """H.264 in MP4, one thread, for frames uint8 (T, H, W, 3) RGB with even sides.

    Every frame gets the same quantiser, key frames too, and a key frame comes every 12 frames:
    nothing in the quality of a frame tells how far the clip has run.
    """
    import av

    target = io.BytesIO()
    height, width = frames.shape[1:3]
    parameters = f"qp={quantiser}:ipratio=1:pbratio=1:aq-mode=0:mbtree=0:scenecut=0:keyint=12:min-keyint=12:bframes=2"
    options = {"preset": "medium", "threads": "1", "x264-params": parameters + ":b-adapt=0:sliced-threads=0"}
    container_options = {"fflags": "+bitexact"}
    with av.open(target, "w", format="mp4", options=container_options) as container:
        stream = container.add_stream("libx264", rate=frame_rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, frame_rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def _write_clip(job: tuple) -> str:
    """Draw, encode and write one clip, in a worker."""
    root, label, index, split, seed = job
    path = Path(root) / "videos" / clip_name(label, split, index)
    data = encode_clip(draw_clip(label, index, split=split, seed=seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file:
        file.write(data)
    return path.name


def read_manifest(root: str | os.PathLike) -> dict:
    """What ``make_mini`` wrote about a folder; an empty one where there is none."""
    path = Path(root) / "manifest.json"
    if not path.exists():
        return {"schema": 1, "name": "vidmini", "recipe": RECIPE, "splits": {}}
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["name"] != "vidmini" or not isinstance(manifest["splits"], dict):
            raise KeyError("name")
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{printable(path)} is not a manifest of vidmini. Choose an empty folder.") from None
    return manifest


def make_mini(
    root: str | os.PathLike, split: str, *, seed: int, per_class: int, num_workers: int | None = None
) -> Iterator[tuple[int, int]]:
    """Write a split of vidmini as a folder of classes, with UCF101's kind of split files.

    Clips that are there already stay, so an interrupted call goes on where it stopped; no file is
    ever half written. A folder may hold both splits.

    Args:
        root: gets ``videos/CLASS/*.mp4``, ``splits/*.txt`` and ``manifest.json``.
        split: ``test`` or ``train``.
        seed: at least 0.
        per_class: clips of each class.
        num_workers: processes; ``None`` for one a core, 0 for none.

    Yields:
        ``(clips done, clips in all)``, after each clip and once before the first.

    Raises:
        ConfigError: arguments out of range, or a folder that holds this split from another seed.
    """
    check_split(split, per_class)
    if seed < 0:
        raise ConfigError(f"A seed is at least 0, not {seed}.")
    root, manifest = Path(root), read_manifest(root)
    entry = manifest["splits"].get(split, {"seed": seed})
    if entry["seed"] != seed or manifest["recipe"] != RECIPE:
        raise ConfigError(
            f"{printable(root)} holds the {split} split of seed {entry['seed']}, recipe {manifest['recipe']}; "
            f"asked for were seed {seed}, recipe {RECIPE}. Choose another folder."
        )
    root.mkdir(parents=True, exist_ok=True)
    manifest["splits"].setdefault(split, {"seed": seed, "per_class": 0})
    write_json(root / "manifest.json", manifest)
    _remove_leftovers(root / "videos")
    jobs = [(str(root), label, index, split, seed) for index in range(per_class) for label in CLASSES]
    missing = [job for job in jobs if not (root / "videos" / clip_name(job[1], split, job[2])).exists()]
    yield len(jobs) - len(missing), len(jobs)
    for number, _ in enumerate(_in_workers(_write_clip, missing, num_workers), len(jobs) - len(missing) + 1):
        yield number, len(jobs)
    _write_lists(root, split, seed, per_class)


def _remove_leftovers(folder: Path, age_s: float = 60) -> None:
    """Temporary files that a killed process left; a file being written now is younger than ``age_s``."""
    for path in folder.glob("*/.v_*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > age_s:
                path.unlink()


def _in_workers(work: Callable, jobs: list, num_workers: int | None) -> Iterator:
    """``work(job)`` of every job, in order, in spawned processes (or here, for 0)."""
    num_workers = usable_cores() if num_workers is None else num_workers
    if num_workers == 0 or len(jobs) < 4:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=_start_worker) as pool:
        try:
            yield from pool.map(work, jobs, chunksize=4)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    """One thread a process, and no process that outlives a killed parent."""
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent, "this is a worker"
    parent.join()
    os._exit(1)


def _write_lists(root: Path, split: str, seed: int, per_class: int) -> None:
    """Split files and the manifest, once all clips of a split are there."""
    folder = root / "splits"
    folder.mkdir(exist_ok=True)
    class_lines = "".join(f"{number} {label}\n" for number, label in enumerate(CLASSES, 1))
    lines, classes = [], {}
    for number, label in enumerate(CLASSES, 1):
        names = [clip_name(label, split, index) for index in range(per_class)]
        lines += [f"{name} {number}\n" if split == "train" else f"{name}\n" for name in names]
        digests = "".join(sha256_of_file(root / "videos" / name) for name in names)
        classes[label] = {"num_clips": per_class, "files_sha256": hashlib.sha256(digests.encode()).hexdigest()}
    for name, text in (("classInd.txt", class_lines), (f"{split}list01.txt", "".join(lines))):
        with atomic_writer(folder / name, "w") as file:
            file.write(text)
    manifest = read_manifest(root)
    versions = package_versions(("numpy", "opencv-python", "av"))
    manifest["splits"][split] = {"seed": seed, "per_class": per_class, "made_with": versions, "classes": classes}
    write_json(root / "manifest.json", manifest)
