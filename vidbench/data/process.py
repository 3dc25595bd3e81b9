"""What happens to pixels: resize, crop, normalise, axis order; and frames out of a video, and into pictures.

Frames are uint8, shape (T, H, W, 3), RGB, 0 to 255, until the network's own scaling. The rules are
those of torchvision's video presets, to the rounding: published weights were measured with them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vidbench.data.decode import Limits, VideoTable, read_clip
from vidbench.data.pictures import RATE_FILE, is_picture
from vidbench.data.sample import uniform
from vidbench.records import MODALITIES, ConfigError, InputSpec, RunError
from vidbench.utils import printable, umask

LAYOUTS = ("NCTHW", "NTCHW", "NTHWC", "NCHW")


def target_size(height: int, width: int, resize: int | tuple[int, int]) -> tuple[int, int]:
    """The picture size after resizing, before the crop.

    A pair is taken as it is. A whole number is the new short side; the long side becomes
    ``int(resize * long / short)``, rounded down as torchvision does.

    Returns:
        ``(height, width)`` in pixels, each at least 1.

    Raises:
        ValueError: a size below 1.

    >>> target_size(240, 320, 128), target_size(340, 256, 256), target_size(240, 320, (128, 171))
    ((128, 170), (340, 256), (128, 171))
    """
    wanted = tuple(resize) if isinstance(resize, (tuple, list)) else (resize,)
    if height < 1 or width < 1 or min(wanted) < 1 or len(wanted) > 2:
        raise ValueError(f"sizes must be at least 1 pixel, got {height=}, {width=}, {resize=}")
    if len(wanted) == 2:
        return int(wanted[0]), int(wanted[1])
    short, long = min(height, width), max(height, width)
    side = int(wanted[0])
    far = int(side * long / short)
    return (side, far) if height <= width else (far, side)


def resize_backend() -> str:
    """``opencv`` where OpenCV can be imported, else ``numpy``; they differ by one level in few values."""
    return "numpy" if _opencv() is None else "opencv"


def resize(frames: np.ndarray, size: tuple[int, int], *, backend: str | None = None) -> np.ndarray:
    """Resize frames bilinearly, with half-pixel centres and without antialiasing.

    The same as ``torchvision.transforms.functional.resize(antialias=False)`` on uint8, but for
    one level in about one value of a thousand, where a sum lies on the edge between two levels.

    Args:
        frames: uint8, shape (T, H, W, 3); T may be 0.
        size: ``(height, width)`` in pixels.
        backend: ``opencv`` or ``numpy``; the default is ``resize_backend()``.

    Returns:
        uint8, shape (T, height, width, 3). ``frames`` itself where the size is right already.

    Raises:
        ValueError: frames of another type or shape, a size below 1, or an unknown backend.
    """
    t, h, w, c = _checked(frames).shape
    height, width = size
    if min(height, width, h, w) < 1:
        raise ValueError(f"cannot resize {h}x{w} frames to {height}x{width}")
    if backend not in (None, "opencv", "numpy"):
        raise ValueError(f"unknown backend {backend!r}; known: opencv, numpy")
    if (h, w) == (height, width):
        return frames
    out = np.empty((t, height, width, c), np.uint8)
    cv2 = _opencv() if backend != "numpy" else None
    if cv2 is None:
        _resize_numpy(frames, out)
    else:
        _resize_opencv(cv2, frames, out)
    return out


def center_crop(frames: np.ndarray, crop: int | tuple[int, int]) -> np.ndarray:
    """The middle of each frame, as a view of the same memory.

    The corner is ``round((side - crop) / 2)``, halves to the even number, as in torchvision.

    Args:
        frames: shape (..., H, W, 3).
        crop: ``(height, width)`` in pixels, or one number for a square.

    Returns:
        shape (..., height, width, 3).

    Raises:
        ValueError: the crop is larger than the frame.
    """
    height, width = _pair(crop)
    top, left = _middle(frames, height, width)
    return frames[..., top : top + height, left : left + width, :]


def three_crops(frames: np.ndarray, crop: int | tuple[int, int]) -> list[np.ndarray]:
    """Three crops along the longer side: left, centre and right, or top, centre and bottom.

    The centre one is ``center_crop``. A square frame is cut left to right.

    Args:
        frames: shape (..., H, W, 3).
        crop: ``(height, width)`` in pixels, or one number for a square.

    Returns:
        Three views of the same memory, each (..., height, width, 3).

    Raises:
        ValueError: the crop is larger than the frame.

    Source:
        Test-time crops of Non-local Neural Networks, https://arxiv.org/abs/1711.07971.
    """
    height, width = _pair(crop)
    top, left = _middle(frames, height, width)
    h, w = frames.shape[-3:-1]
    if h > w:
        corners = [(0, left), (top, left), (h - height, left)]
    else:
        corners = [(top, 0), (top, left), (top, w - width)]
    return [frames[..., y : y + height, x : x + width, :] for y, x in corners]


def ten_crops(frames: np.ndarray, crop: int | tuple[int, int]) -> list[np.ndarray]:
    """The four corners and the centre, then the same five mirrored left to right.

    The order is torchvision's: top left, top right, bottom left, bottom right, centre, and then the same places of the
    mirrored frames. A mirrored clip of "turning left" shows someone turn right: where classes name a side, half of
    these views are of another class.

    Args:
        frames: shape (..., H, W, 3).
        crop: ``(height, width)`` in pixels, or one number for a square.

    Returns:
        Ten views of the same memory, each (..., height, width, 3).

    Raises:
        ValueError: the crop is larger than the frame.

    Source:
        Test-time crops of A. Krizhevsky et al., 2012, https://doi.org/10.1145/3065386.
    """
    height, width = _pair(crop)
    top, left = _middle(frames, height, width)
    h, w = frames.shape[-3:-1]
    corners = [(0, 0), (0, w - width), (h - height, 0), (h - height, w - width), (top, left)]
    both = (frames, frames[..., ::-1, :])
    return [side[..., y : y + height, x : x + width, :] for side in both for y, x in corners]


CROPS = {1: lambda frames, crop: [center_crop(frames, crop)], 3: three_crops, 10: ten_crops}


def can_hold(resize: int | tuple[int, int], crop: tuple[int, int]) -> bool:
    """Whether frames of some shape, resized as ``target_size`` does, hold a crop of ``(height, width)``.

    A short side lies along the height of a wide frame and along the width of a tall one, so it may be shorter than the
    crop's longer side; whether the other side is long enough, each video's own shape says.

    >>> can_hold(60, (56, 72)), can_hold(55, (56, 72)), can_hold((60, 70), (56, 72))
    (True, False, False)
    """
    if isinstance(resize, (tuple, list)):
        return len(resize) == 2 and crop[0] <= resize[0] and crop[1] <= resize[1]
    return min(crop) <= resize


def resized(frames: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Frames in the size that the card crops from.

    Args:
        frames: uint8, shape (M, H, W, 3).
        spec: gives ``resize`` and ``crop``.

    Returns:
        uint8, shape (M, height, width, 3), as ``target_size`` says.

    Raises:
        ConfigError: frames of this shape do not hold the crop then.
    """
    h, w = frames.shape[1:3]
    height, width = target_size(h, w, spec.resize)
    if spec.crop[0] > height or spec.crop[1] > width:
        raise ConfigError(
            f"A crop of {spec.crop[0]}x{spec.crop[1]} does not fit into frames of {h}x{w} that are resized to "
            f"{height}x{width}: a short side of {max(spec.crop)} holds it in frames of any shape."
        )
    return resize(frames, (height, width))


def check_spec(spec: InputSpec) -> None:
    """Refuse a card whose pixels cannot be made, before any video is opened.

    Raises:
        ConfigError: the crop is larger than any resized frame can be, or a value is unknown.
    """
    if min(spec.crop) < 1 or not can_hold(spec.resize, spec.crop):
        raise ConfigError(
            f"A crop of {spec.crop} does not fit into frames resized to {spec.resize}: make the crop smaller, "
            "or the short side at least as long as the crop's shorter side."
        )
    if spec.num_crops not in CROPS:
        raise ConfigError(
            "The number of crops is 1 (centre), 3 (along the longer side) or 10 (corners and centre, also mirrored), "
            f"not {spec.num_crops}."
        )
    if spec.num_clips < 1 or spec.num_frames < 0:
        raise ConfigError(f"Clips and frames are counted from 1, got {spec.num_clips=} and {spec.num_frames=}.")
    if spec.layout not in LAYOUTS:
        raise ConfigError(f"Unknown axis order {spec.layout!r}; known: {', '.join(LAYOUTS)}.")
    if spec.modality not in MODALITIES:
        raise ConfigError(f"Unknown modality {spec.modality!r}; known: {', '.join(MODALITIES)}.")
    if not len(spec.mean) == len(spec.std) == spec.channels:
        raise ConfigError(f"Views of {spec.modality} have {spec.channels} channels, so mean and std have as many.")


def views_from_frames(frames: np.ndarray, positions: np.ndarray, spec: InputSpec) -> np.ndarray:
    """All views of one video from its decoded frames; each frame in use is resized once.

    Args:
        frames: uint8, shape (M, H, W, 3), the distinct frames that were decoded.
        positions: int64, shape (num_clips, T), each in ``[0, M)``: rows of ``frames``.
        spec: gives ``resize``, ``crop`` and ``num_crops``.

    Returns:
        uint8, shape (V, T, h, w, 3) with ``V = num_clips * num_crops``, clip by clip and within a
        clip crop by crop (left or top, centre, right or bottom; or as ``ten_crops`` orders them).

    Raises:
        ValueError: a position out of range.
        ConfigError: a crop that does not fit.
    """
    check_spec(spec)
    m = len(_checked(frames))
    if positions.ndim != 2 or not positions.size or positions.min() < 0 or positions.max() >= m:
        raise ValueError(f"positions of shape {positions.shape} must have two axes and lie in [0, {m})")
    used, places = np.unique(positions, return_inverse=True)
    places = places.reshape(positions.shape)
    crops = CROPS[spec.num_crops](resized(frames if len(used) == m else frames[used], spec), spec.crop)
    out = np.empty((len(positions), len(crops), positions.shape[1], *spec.crop, 3), np.uint8)
    for number, crop in enumerate(crops):
        for clip, row in enumerate(places):
            np.take(crop, row, axis=0, out=out[clip, number])
    return out.reshape(-1, *out.shape[2:])


def normalise(pixels: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Pixels as a network takes them: ``(value / 255 - mean) / std``, in the card's axis order.

    The plain NumPy statement of what models do on their device; for tests and for reading.

    Args:
        pixels: uint8, shape (..., T, H, W, 3), RGB.
        spec: gives ``mean``, ``std`` and ``layout``.

    Returns:
        float32: (..., 3, T, H, W) for ``NCTHW``, (..., T, 3, H, W) for ``NTCHW``,
        (..., T, H, W, 3) for ``NTHWC``, and (all leading axes in one, 3, H, W) for ``NCHW``.

    Raises:
        ValueError: another type, shape or an unknown layout.
    """
    if pixels.dtype != np.uint8 or pixels.ndim < 4 or pixels.shape[-1] != spec.channels:
        raise ValueError(f"pixels must be uint8 (..., T, H, W, {spec.channels}), got {pixels.dtype} {pixels.shape}")
    if spec.layout not in LAYOUTS:
        raise ValueError(f"unknown axis order {spec.layout!r}; known: {', '.join(LAYOUTS)}")
    values: np.ndarray = pixels.astype(np.float32) / np.float32(255)
    values = (values - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    if spec.layout == "NCTHW":
        values = np.moveaxis(values, -1, -4)
    elif spec.layout in ("NTCHW", "NCHW"):
        values = np.moveaxis(values, -1, -3)
    if spec.layout == "NCHW":
        values = values.reshape(-1, *values.shape[-3:])
    return np.ascontiguousarray(values)


# ---------------------------------------------------------------- frames out of a video, and into pictures

PICTURE_NAME = "img_{:05d}.jpg"  # from 1
JPEG_QUALITY = 95


def get_frames(
    path: str | os.PathLike, n_frames: int | None = 16, *, limits: Limits | None = None
) -> tuple[np.ndarray, int]:
    """Frames evenly spread over a video, and the number of its pictures.

    The video is cut into ``n_frames`` equal parts, and the frame in the middle of each is taken: those that a network
    which sees ``n_frames`` spread frames is given. A shorter video gives each of its frames once.

    Args:
        path: a video file, or a folder of numbered pictures.
        n_frames: at least 1; ``None`` for every frame.
        limits: what the video may cost.

    Returns:
        uint8, shape (T, H, W, 3), RGB, T at most ``n_frames``; and how many pictures a full decode gives, whatever the
        file's header says.

    Raises:
        UnreadableVideo: the file gives no usable frame; its ``status`` says why.
        ValueError: ``n_frames`` below 1.

    Source:
        The function of this name in chapter 10 of the PyTorch Computer Vision Cookbook. That one believes the header's
        count, takes one frame too many (17 for 16), and leaves out what it cannot decode without a word.
    """
    if n_frames is not None and n_frames < 1:
        raise ValueError(f"n_frames is at least 1, or None for all, got {n_frames}")
    clip = read_clip(path, lambda table: spread_indices(table, n_frames), limits=limits)
    return clip.frames, clip.info.num_frames


def spread_indices(table: VideoTable, num_frames: int | None) -> np.ndarray:
    """The frames that ``get_frames`` takes, int64 (T,), each once, in order."""
    if num_frames is None or num_frames >= table.num_frames:
        return np.arange(table.num_frames)
    return uniform(table.num_frames, num_frames)[0]


def store_frames(
    frames: Iterable[np.ndarray],
    folder: str | os.PathLike,
    *,
    quality: int = JPEG_QUALITY,
    frame_rate: float | None = None,
    notes: dict[str, str] | None = None,
) -> int:
    """Write frames as ``img_00001.jpg``, ``img_00002.jpg`` and so on into a new folder.

    The folder appears at once and whole: a process that is killed leaves none. Such a folder is a video for everything
    here (``vidbench.data.pictures``).

    Args:
        frames: uint8 (H, W, 3) each, RGB; an array (T, H, W, 3), or anything that gives them one by one.
        folder: to be made, with the folders above it; an empty one may be there.
        quality: of the JPEG files, 1 to 100.
        frame_rate: pictures per second, for ``frame_rate.txt``; ``None`` writes none, and 25 are then supposed.
        notes: text of other files, by name.

    Returns:
        the number of pictures.

    Raises:
        RunError: there is something in the folder, or it cannot be written.
        ValueError: no frame, or something that is none.

    Source:
        As ``get_frames``. The one of this name numbers from 0 without leading zeros, so that sorting puts frame 10
        before frame 2, writes into whatever is there, and does not look whether a file could be written.
    """
    folder = Path(folder)
    try:
        if folder.is_dir() and any(folder.iterdir()):
            kind = "pictures" if any(is_picture(entry.name) for entry in folder.iterdir()) else "files"
            raise RunError(f"{printable(folder, 160)} holds {kind} already; remove it, or write to another folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name[:60]}-", suffix=".tmp", dir=folder.parent))
        try:
            number = _write_pictures(frames, scratch, quality)
            texts = {**(notes or {}), **({RATE_FILE: f"{frame_rate:.6g}\n"} if frame_rate else {})}
            for name, text in texts.items():
                (scratch / name).write_text(text, encoding="utf-8")
            scratch.chmod(0o777 & ~umask())
            if folder.is_dir():  # an empty one
                folder.rmdir()
            os.replace(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as problem:
        reason = problem.strerror or problem
        raise RunError(f"pictures cannot be written to {printable(folder, 160)}: {reason}.") from None
    return number


def _write_pictures(frames: Iterable[np.ndarray], folder: Path, quality: int) -> int:
    from PIL import Image

    number = 0
    for number, frame in enumerate(frames, 1):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
            raise ValueError(f"a frame is uint8 (H, W, 3), got {frame.dtype} {frame.shape}")
        Image.fromarray(frame).save(folder / PICTURE_NAME.format(number), quality=quality)
    if not number:
        raise ValueError("there is no frame to be stored")
    return number


def _resize_opencv(cv2, frames: np.ndarray, out: np.ndarray) -> None:
    """In float32, because OpenCV's own uint8 arithmetic is darker by an eighth of a level on average."""
    height, width = out.shape[1:3]
    mixed = np.empty(out.shape[1:], np.float32)
    for source, target in zip(frames, out, strict=True):
        cv2.resize(source.astype(np.float32, "C"), (width, height), dst=mixed, interpolation=cv2.INTER_LINEAR)
        np.rint(mixed, out=mixed)
        target[...] = mixed


def _resize_numpy(frames: np.ndarray, out: np.ndarray) -> None:
    top, bottom, down = _taps(frames.shape[1], out.shape[1])
    left, right, across = _taps(frames.shape[2], out.shape[2])
    down, across = down[:, None, None], across[:, None]
    for source, target in zip(frames, out, strict=True):
        rows = source[top] * (1 - down) + source[bottom] * down
        mixed = rows[:, left] * (1 - across) + rows[:, right] * across
        np.rint(mixed, out=mixed)
        target[...] = mixed


def _taps(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new pixel the two old ones beside its centre, and the second one's weight."""
    centres = np.maximum((np.arange(wanted) + 0.5) * (size / wanted) - 0.5, 0)
    first = np.minimum(centres.astype(np.int64), size - 1)
    return first, np.minimum(first + 1, size - 1), (centres - first).astype(np.float32)


def _opencv():
    """OpenCV's module, or ``None``; imported at the first resize, because it costs a tenth of a second."""
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def _checked(frames: np.ndarray) -> np.ndarray:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    return frames


def _pair(crop: int | tuple[int, int]) -> tuple[int, int]:
    return (int(crop[0]), int(crop[1])) if isinstance(crop, (tuple, list)) else (int(crop), int(crop))


def _middle(frames: np.ndarray, height: int, width: int) -> tuple[int, int]:
    h, w = frames.shape[-3:-1]
    if not (1 <= height <= h and 1 <= width <= w):
        raise ValueError(f"a crop of {height}x{width} does not fit into frames of {h}x{w}")
    return round((h - height) / 2), round((w - width) / 2)
