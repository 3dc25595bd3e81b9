"""Film strips: a few small frames of a video, evenly spread, and what the file holds."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
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
        is_read: false where it is still to be read; then only ``file_size`` is known.
    """

    status: str
    reason: str = ""
    info: VideoInfo | None = None
    file_size: int = 0
    jpegs: tuple[bytes, ...] = ()
    indices: tuple[int, ...] = ()
    size: tuple[int, int] = (0, 0)
    is_read: bool = True


class Strips:
    """Film strips of listed videos, read by isolated workers when they are asked for, the last ``KEPT`` of them kept.

    May be asked by several threads at once; what was asked for last is read first. Use it as a context manager: leaving
    it ends the workers.

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
        self._readers = [  # one for each worker: none waits for a video that hangs in another
            ViewReader(root, _SPEC, num_workers=min(num_workers, 1), limits=limits, ahead=1, _read=_strip_as_views)
            for _ in range(max(num_workers, 1))
        ]
        self._threads = [threading.Thread(target=self._read, args=(one,), daemon=True) for one in self._readers]
        self._kept: OrderedDict[int, tuple[tuple[int, int], int, Strip]] = OrderedDict()
        self._wanted = deque[int]()  # places that no worker has yet, the next one first
        self._in_work: set[int] = set()
        self._num_read = 0
        self._failures: list[Exception] = []
        self._closed = False
        self._news = threading.Condition()  # guards all these, and tells of a strip that was read

    def __enter__(self) -> Strips:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; nothing is read any more."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        for reader in self._readers:
            reader.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=5)

    def path(self, place: int) -> str:
        """Where the video at a place of the list lies."""
        return os.path.join(self.root, self.records[place].path)

    def of(self, places: Sequence[int], *, within: float | None = None) -> list[Strip]:
        """The strips of the videos at these places of the list; a file that has changed since is read again.

        Args:
            places: in the list, from 0.
            within: seconds after which those that are still to be read are given without frames (``is_read`` is
                false); they are read on meanwhile, and there when they are asked for again. ``None`` waits for all.
        """
        stamps = {place: video_stamp(self.path(place)) for place in places}
        found: dict[int, Strip] = {}
        with self._news:
            since, failed = self._num_read, len(self._failures)

            def all_there() -> bool:
                for place in stamps.keys() & self._kept.keys() - found.keys():
                    stamp, number, strip = self._kept[place]
                    if stamp == stamps[place] or number > since:
                        found[place] = strip
                        self._kept.move_to_end(place)
                return self._closed or len(self._failures) > failed or len(found) == len(stamps)

            if not all_there():
                self._want([place for place in stamps if place not in found])
                self._news.wait_for(all_there, within)
            if self._closed:
                raise ValueError("these strips are closed")
            if len(self._failures) > failed:
                raise self._failures[-1]
        return [found.get(place) or Strip("ok", file_size=max(0, stamps[place][0]), is_read=False) for place in places]

    def _want(self, places: Sequence[int]) -> None:
        """Have these read next, in order."""
        for place in reversed(places):
            if place in self._wanted:
                self._wanted.remove(place)
            if place not in self._in_work:
                self._wanted.appendleft(place)
        for thread in self._threads:
            if thread.ident is None:
                thread.start()
        self._news.notify_all()

    def _read(self, reader: ViewReader) -> None:
        """What a thread does: reads what is wanted, one video after the other, until the end."""
        while (place := self._next()) is not None:
            stamp = video_stamp(self.path(place))
            try:
                ((_, found),) = reader.stream([(place, self.records[place])])
                outcome: Strip | Exception = _strip(found, max(0, stamp[0]))
            except Exception as problem:  # no fault of the video's: whoever waits has to know
                outcome = problem
            with self._news:
                self._in_work.discard(place)
                if isinstance(outcome, Strip):
                    self._keep(place, stamp, outcome)
                else:
                    self._failures.append(outcome)
                self._news.notify_all()

    def _keep(self, place: int, stamp: tuple[int, int], strip: Strip) -> None:
        self._num_read += 1
        self._kept[place] = stamp, self._num_read, strip
        self._kept.move_to_end(place)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def _next(self) -> int | None:
        """The place to be read next, once there is one; ``None`` at the end."""
        with self._news:
            self._news.wait_for(lambda: self._wanted or self._closed)
            if self._closed:
                return None
            self._in_work.add(place := self._wanted.popleft())
            return place


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
