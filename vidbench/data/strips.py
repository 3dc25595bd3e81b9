"""Film strips: a few small frames of a video, evenly spread, and what the file holds."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vidbench.data.decode import Limits, open_video
from vidbench.data.load import ViewReader
from vidbench.data.pictures import encode_jpeg, video_stamp
from vidbench.data.sample import middle_indices
from vidbench.records import Clip, InputSpec, UnreadableVideo, VideoInfo, VideoRecord, Views

NUM_FRAMES = 6
SHORT_SIDE = 120  # pixels
QUALITY = 78  # of the JPEG frames
KEPT = 400  # strips in memory, of some 30 kB each
LIMITS = Limits(seconds=20.0)
# What a reader of views is told; _strip_as_views gives whole frames, whose size no card knows before.
_SPEC = InputSpec(NUM_FRAMES, None, SHORT_SIDE, (SHORT_SIDE, SHORT_SIDE), (0.0,) * 3, (1.0,) * 3, layout="NTHWC")


def scaled_size(height: int, width: int, side: int, *, longer: bool = False) -> tuple[int, int] | None:
    """Height and width with at most ``side`` pixels on the shorter or the longer side; ``None`` where it has no more.

    >>> scaled_size(240, 320, 120), scaled_size(240, 320, 120, longer=True), scaled_size(240, 320, 240)
    ((120, 160), (90, 120), None)
    """
    scale = side / (max(height, width) if longer else min(height, width))
    return None if scale >= 1 else (max(1, round(height * scale)), max(1, round(width * scale)))


def read_strip(
    path: str | os.PathLike, num: int, side: int, *, longer: bool = False, limits: Limits | None = None
) -> Clip:
    """At most ``num`` frames of a video from the middle of equal shares, scaled down as ``scaled_size`` says.

    Raises:
        UnreadableVideo: the file gives no usable frame.
    """
    with open_video(path, limits=limits) as video:
        size = scaled_size(video.info.height, video.info.width, side, longer=longer)
        return video.read(lambda table: np.unique(middle_indices(table.num_frames, num)), size=size)


def info_words(info: VideoInfo) -> list[tuple[str, str]]:
    """What a file holds as names and words: its frames and its picture.

    >>> info_words(VideoInfo(67, 25.0, 2.68, 160, 120, "h264"))
    [('frames', '67 at 25 per second, 2.68 s'), ('picture', '160x120, h264')]
    """
    turned = f", turned by {info.rotation}°" if info.rotation else ""
    return [
        ("frames", f"{info.num_frames} at {info.frame_rate:.5g} per second, {info.duration_s:.2f} s"),
        ("picture", f"{info.width}x{info.height}, {info.codec}{turned}"),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """What there is to see of a listed video.

    Args:
        status: ``ok``, ``partial``, or why there is nothing; one of ``vidbench.records.STATUSES``.
        reason: one sentence where the status is not ``ok``.
        info: frames, rate, size and codec; ``None`` where nothing could be decoded.
        file_size: bytes, 0 where there is no file.
        jpegs: encoded frames, at most ``NUM_FRAMES``.
        indices: the place of each in the video, from 0.
        size: height and width of the frames in pixels.
    """

    status: str
    reason: str = ""
    info: VideoInfo | None = None
    file_size: int = 0
    jpegs: tuple[bytes, ...] = ()
    indices: tuple[int, ...] = ()
    size: tuple[int, int] = (0, 0)


class Strips:
    """Film strips of listed videos, read by isolated workers when they are asked for, the last ``KEPT`` of them kept.

    May be asked by several threads at once; they take turns. Use it as a context manager: leaving it ends the workers.

    Args:
        records: the list, as ``vidbench.data.index.load_records`` gives it.
        root: the folder that their paths are relative to.
        num_workers: processes; 0 reads in this one, which a decoder that crashes then takes with it.
        limits: what one video may cost.
    """

    def __init__(
        self, records: Iterable[VideoRecord], root: str | os.PathLike, *, num_workers: int = 2, limits: Limits = LIMITS
    ):
        self.records, self.root = tuple(records), os.fspath(root)
        self._reader = ViewReader(root, _SPEC, num_workers=num_workers, limits=limits, _read=_strip_as_views)
        self._kept: OrderedDict[int, tuple[tuple[int, int], Strip]] = OrderedDict()
        self._turn = threading.Lock()

    def __enter__(self) -> Strips:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; nothing is read any more."""
        self._reader.close()

    def path(self, place: int) -> str:
        """Where the video at a place of the list lies."""
        return os.path.join(self.root, self.records[place].path)

    def of(self, places: Sequence[int]) -> list[Strip]:
        """The strips of the videos at these places of the list; a file that has changed since is read again."""
        with self._turn:
            stamps = {place: video_stamp(self.path(place)) for place in places}
            left = [place for place in stamps if self._kept.get(place, (None,))[0] != stamps[place]]
            for place, found in self._reader.stream((place, self.records[place]) for place in left):
                self._kept[place] = stamps[place], _strip(found, max(0, stamps[place][0]))
            strips = [self._kept[place][1] for place in places]
            for place in places:
                self._kept.move_to_end(place)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return strips


def _strip_as_views(path, spec: InputSpec, *, decoder, limits: Limits, cache) -> Views:
    """What a worker gives back: whole frames in the place of views."""
    clip = read_strip(path, spec.num_frames, SHORT_SIDE, limits=limits)
    return Views(clip.frames[None], clip.indices[None], clip.info, clip.status, clip.reason)


def _strip(found: Views | UnreadableVideo, file_size: int) -> Strip:
    if isinstance(found, UnreadableVideo):
        return Strip(found.status, found.reason, file_size=file_size)
    _, _, height, width, _ = found.pixels.shape
    jpegs = tuple(encode_jpeg(frame, QUALITY) for frame in found.pixels[0])
    indices = tuple(found.indices[0].tolist())
    return Strip(found.status, found.reason, found.info, file_size, jpegs, indices, (height, width))
