"""vidmini, the mini set with ground truth: little figures in front of moving, noisy scenes.

Four appearance classes can be told from one frame. Eight order classes form four pairs that
differ by the direction of time alone: a clip of a pair's second class is drawn exactly like one of
the first and then played backwards, camera, light and passers-by included. Whatever one frame
shows, it shows in both classes of a pair equally often. How clips are drawn is in ``drawn/``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context, parent_process
from pathlib import Path

import cv2
import numpy as np

from vidbench.data.drawn.actions import NOBODY
from vidbench.data.drawn.ink import FRAME_RATE
from vidbench.data.drawn.shots import Shot, direct
from vidbench.records import ConfigError
from vidbench.utils import atomic_writer, package_versions, printable, sha256_of_file, usable_cores, write_json

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
