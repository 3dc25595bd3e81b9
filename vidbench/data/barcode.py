"""Videos whose every picture carries its own number: ground truth for whatever reads them.

A picture's upper third is a row of black and white blocks, its number in binary; a ball rolls below it, so that the
encoder has motion to predict. Blocks survive lossy compression, so the number read from a decoded picture says which
picture it is, whatever the reader claims.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidbench.records import ConfigError
from vidbench.utils import printable

BITS = 10  # numbers 0 to 1023
TICKS = 90_000  # a second, where times are given


def draw_number(number: int, width: int = 160, height: int = 120) -> np.ndarray:
    """The picture with a number; uint8, shape (height, width, 3), RGB.

    Args:
        number: 0 to 1023.
        width: pixels, at least 40.
        height: pixels, at least 12.

    Raises:
        ValueError: a number outside this range.
    """
    if not 0 <= number < 2**BITS:
        raise ValueError(f"a picture's number is between 0 and {2**BITS - 1}, got {number}")
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = 40 + columns * 120 // width, 60 + rows * 100 // height
    picture = np.stack([red, green, np.full_like(red, 150)], axis=-1)
    radius = height / 6
    centre = radius + (number * 3.0) % (width - 2 * radius)
    picture[np.hypot(columns - centre, rows - height * 0.7) < radius] = (240, 150, 30)
    bits = number >> (BITS - 1 - columns[0] * BITS // width) & 1
    picture[: height // 3] = 255 * bits[:, None]
    return picture.astype(np.uint8)


def read_number(picture: np.ndarray) -> int:
    """The number in a decoded picture (H, W, 3), from the middle of each block."""
    height, width = picture.shape[:2]
    middles = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    level = picture[height // 12 : height // 4].mean(axis=(0, 2))
    near = np.array(
        [level[middle - width // (4 * BITS) : middle + width // (4 * BITS) + 1].mean() for middle in middles]
    )
    return int((near > 127) @ (1 << np.arange(BITS)[::-1]))


def read_numbers(frames: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The numbers in decoded pictures; int64, shape (T,)."""
    return np.array([read_number(frame) for frame in frames], np.int64)


def write_numbered(
    path: str | os.PathLike,
    num_frames: int = 60,
    *,
    frame_rate: int = 25,
    times_s: Sequence[float] | None = None,
    codec: str = "libx264",
    gop: int = 12,
    b_frames: int = 2,
    options: dict[str, str] | None = None,
    width: int = 160,
    height: int = 120,
    picture: Callable[[int, int, int], np.ndarray] = draw_number,
) -> Path:
    """Encode numbered pictures into a file; the container goes by its suffix.

    Args:
        path: the file, overwritten; its folder must exist.
        num_frames: 1 to 1024.
        frame_rate: pictures per second, where ``times_s`` gives no times.
        times_s: seconds at which the pictures are shown, rising, one each.
        codec: an encoder of FFmpeg.
        gop: pictures from one key frame to the next; with some encoders at most.
        b_frames: B-frames in a row; with some encoders at most.
        options: further ones of the encoder.
        width: pixels, even.
        height: pixels, even.
        picture: draws picture ``number`` with ``width`` and ``height``.

    Returns:
        The path.

    Raises:
        ConfigError: times that do not rise or are not one a picture, or numbers out of range; nothing is written.
    """
    import av

    _check_numbered(num_frames, times_s, width, height)
    base = Fraction(1, frame_rate if times_s is None else TICKS)
    stamps = range(num_frames) if times_s is None else [round(time * TICKS) for time in times_s]
    settings = {"threads": "1", "g": str(gop), "bf": str(b_frames)}
    if codec == "libx264":  # which otherwise moves both kinds of picture to where they save most
        settings["x264-params"] = "b-adapt=0:scenecut=0"
    settings |= options or {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=frame_rate, options=settings)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = base
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(picture(number, width, height), format="rgb24")
            frame.pts, frame.time_base = stamp, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return Path(path)


def _check_numbered(num_frames: int, times_s: Sequence[float] | None, width: int, height: int) -> None:
    if not 1 <= num_frames <= 2**BITS:
        raise ConfigError(f"num_frames must be between 1 and {2**BITS}, got {num_frames}.")
    if width < 2 or height < 2 or width % 2 or height % 2:
        raise ConfigError(f"width and height must be even numbers of pixels, got {width}x{height}.")
    if times_s is not None:
        rising = np.isfinite(times_s).all() and (np.diff(times_s) > 0).all()
        if len(times_s) != num_frames or not rising:
            raise ConfigError(f"times_s needs {num_frames} rising times, one a picture, got {printable(times_s, 60)}.")
