"""The mistakes a run was surest of, with film strips of their videos."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vidbench import metrics as figures
from vidbench.data.pictures import data_uri, encode_jpeg
from vidbench.records import Row, UnreadableVideo
from vidbench.utils import usable_cores

NUM_MISTAKES = 12
NUM_FRAMES = 6  # of a film strip
FRAME_SIDE = 160  # pixels, of a frame's longer side


def is_mistake(row: Row) -> bool:
    """Whether a labelled video was predicted, and wrongly."""
    return row.predicted and bool(row.top) and figures.has_label(row) and row.rank != 0


def confident_mistakes(rows: Iterable[Row]) -> list[Row]:
    """Wrong predictions with the highest probability, highest first, ties in listed order."""
    return sorted(filter(is_mistake, rows), key=lambda row: (-row.top[0][2], row.index))[:NUM_MISTAKES]


def all_mistakes(rows: list[Row], data_dir: str | None) -> list[dict]:
    """``mistake`` of each row; their videos are decoded side by side."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max(1, min(len(rows), usable_cores()))) as pool:
        return list(pool.map(lambda row: mistake(row, data_dir), rows))


def mistake(row: Row, data_dir: str | None) -> dict:
    """One mistake for the page, with its film strip or a sentence on why there is none."""
    frames, problem = [], ""
    try:
        frames = film_strip(Path(data_dir or ".") / row.path)
    except UnreadableVideo as error:
        problem = error.reason
    except (OSError, ValueError) as error:
        problem = f"the file cannot be opened ({type(error).__name__})"
    return {"row": row, "frames": frames, "problem": problem.rstrip("."), "tie": row.top[0][0] == row.label}


def film_strip(path: Path) -> list[dict]:
    """``NUM_FRAMES`` frames of a video, evenly spread, as ``{time, width, height, uri}``; fewer of a shorter video.

    Raises ``UnreadableVideo`` where the file is not there (any more) or gives no frames.
    """
    from vidbench.data.decode import Limits  # needed here only, and it loads the decoders
    from vidbench.data.strips import read_strip

    if not path.exists():
        raise UnreadableVideo("missing", "the video is not at its place any more")
    clip = read_strip(path, NUM_FRAMES, FRAME_SIDE, longer=True, limits=Limits(seconds=10))
    return [{"time": f"{time:.1f} s", **thumbnail(frame)} for time, frame in zip(clip.pts_s, clip.frames)]


def thumbnail(frame: np.ndarray) -> dict:
    """A uint8 (H, W, 3) RGB frame, ``FRAME_SIDE`` pixels at most, as a JPEG ``data:`` URI: ``{width, height, uri}``."""
    import cv2

    from vidbench.data.strips import QUALITY, scaled_size

    height, width, _ = frame.shape
    height, width = scaled_size(height, width, FRAME_SIDE, longer=True) or (height, width)
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    return {"width": width, "height": height, "uri": data_uri(encode_jpeg(small, QUALITY))}
