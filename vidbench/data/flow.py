"""Motion between frames: dense optical flow, as the Flow stream of I3D takes it.

The authors' rule (https://github.com/google-deepmind/kinetics-i3d, README): frames at 25 per second, in grey, TV-L1,
cut to [-20, 20] pixels, scaled to [-1, 1], the crop of the pictures. TV-L1 comes with OpenCV's contrib build only;
where it is missing, DIS takes its place, and each run says so: its motion is alike, not the same, and no published
accuracy was measured with it.

Ours, where the authors say nothing: motion is found on pictures that are resized already, so that 20 means the same for
every video; and T fields come from T + 1 frames, field t telling how frame t became frame t + 1 at the card's rate (a
frame that is repeated gives none). Fields are kept as 8 bits, 128 for none, 1 to 255 for -20 to 20: steps of 0.16
pixels.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from vidbench.data.process import CROPS, check_spec, resized, views_from_frames
from vidbench.records import ConfigError, InputSpec

BOUND = 20.0  # pixels of motion; what moves farther is cut to it
MEAN, STD = 128 / 255, 127 / 255  # of a card: with these, no motion is 0 and the bounds are -1 and 1


def make_views(frames: np.ndarray, positions: np.ndarray, spec: InputSpec) -> np.ndarray:
    """All views of one video in the card's modality: ``process.views_from_frames``, and motion where it is asked for.

    Args:
        frames: uint8, shape (M, H, W, 3), the distinct frames that were decoded.
        positions: int64, shape (num_clips, T), or (num_clips, T + 1) for a card with optical flow; rows of ``frames``.
        spec: gives ``modality``, ``resize``, ``crop`` and ``num_crops``.

    Returns:
        uint8, shape (V, T, h, w, C), clip by clip and within a clip crop by crop.

    Raises:
        ValueError: a position out of range.
        ConfigError: a crop that does not fit, or OpenCV is missing.
    """
    if not spec.has_flow:
        return views_from_frames(frames, positions, spec)
    check_spec(spec)
    used, places = np.unique(positions, return_inverse=True)
    small = resized(frames[used], spec)
    places = places.reshape(positions.shape)
    motion = _motion_views(small, places, spec)
    if spec.modality == "flow":
        return motion
    return np.concatenate([views_from_frames(small, places[:, :-1], spec), motion], -1)


def quantise(motion: np.ndarray) -> np.ndarray:
    """Motion in pixels as 8 bits, cut at ``BOUND``.

    >>> quantise(np.array([-99, -20, 0, 0.1, 20]))
    array([  1,   1, 128, 129, 255], dtype=uint8)
    """
    return (128 + np.rint(motion.clip(-BOUND, BOUND) * (127 / BOUND))).astype(np.uint8)


def flow_version() -> str:
    """The method that finds motion here, with the library's version.

    >>> flow_version().split()[0] in ("tvl1", "dis")
    True
    """
    cv2 = _opencv()
    return f"{'tvl1' if _has_tvl1(cv2) else 'dis'} of opencv {cv2.__version__}"


def find_motion(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far what is seen moves from one picture to the next.

    Args:
        first: uint8, shape (H, W, 3), RGB, at least 12 pixels high and wide.
        second: likewise.

    Returns:
        float32, shape (H, W, 2): pixels to the right, and down.

    Raises:
        ConfigError: OpenCV is missing.
    """
    cv2 = _opencv()
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # DIS parts the picture by threads, and so gives another answer for each number of them
    try:
        grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) for picture in (first, second)]
        return _method(cv2).calc(*grey, None)
    finally:
        cv2.setNumThreads(before)


def _motion_views(small: np.ndarray, places: np.ndarray, spec: InputSpec) -> np.ndarray:
    """uint8 (V, T, h, w, 2) of resized frames; each pair of frames is looked at once."""
    pairs = sorted({pair for row in places.tolist() for pair in pairwise(row)})
    fields = np.empty((len(pairs), *small.shape[1:3], 2), np.uint8)
    for number, (first, second) in enumerate(pairs):
        fields[number] = quantise(find_motion(small[first], small[second])) if first != second else 128
    crops = CROPS[spec.num_crops](fields, spec.crop)
    if spec.num_crops == 10:  # the last five are mirrored, and so is their motion: 128 + x becomes 128 - x
        crops[5:] = [np.stack([-crop[..., 0], crop[..., 1]], -1) for crop in crops[5:]]
    rows = [[pairs.index(pair) for pair in pairwise(row)] for row in places.tolist()]
    return np.stack([crop[row] for row in rows for crop in crops])


def _method(cv2):
    if _has_tvl1(cv2):
        return cv2.optflow.DualTVL1OpticalFlow_create()
    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def _has_tvl1(cv2) -> bool:
    return hasattr(getattr(cv2, "optflow", None), "DualTVL1OpticalFlow_create")


def _opencv():
    try:
        import cv2
    except ImportError:
        raise ConfigError("Optical flow needs OpenCV; pip install opencv-python.") from None
    return cv2
