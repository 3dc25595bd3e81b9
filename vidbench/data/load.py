"""Videos to views, one here or many in isolated workers; results in the order given.

A video that crashes a worker, hangs it or eats its memory costs one result, ``UnreadableVideo``.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from vidbench.data import corrupt, retime
from vidbench.data.cache import ClipCache
from vidbench.data.decode import Limits, VideoTable, decoder_version, open_video, read_header
from vidbench.data.flow import flow_version, make_views
from vidbench.data.process import check_spec, resize, target_size
from vidbench.data.sample import indices_for
from vidbench.data.workers import Crew, Ticket
from vidbench.records import Clip, ConfigError, InputSpec, UnreadableVideo, VideoInfo, VideoRecord, Views
from vidbench.utils import printable

Key = TypeVar("Key")  # whatever the caller knows a record by

PIECES_OF_LIMIT = 4  # a stretch of frames is read in pieces of so small a part of the memory limit


def read_views(
    path: str | os.PathLike,
    spec: InputSpec,
    *,
    decoder: str = "pyav",
    limits: Limits | None = None,
    cache: ClipCache | None = None,
) -> Views:
    """All views of one video as a model's card asks for them, read in this process.

    Frames that several views share are decoded and resized once.

    Raises:
        UnreadableVideo: the file gives no usable clip; its ``status`` says why.
        ConfigError: the card or the decoder cannot be used.
    """
    limits = limits or Limits()
    if spec.temporal in retime.ORDERS and not spec.has_flow:  # the same pictures, so one cache entry serves them all
        plain = dataclasses.replace(spec, temporal=None)
        views = read_views(path, plain, decoder=decoder, limits=limits, cache=cache)
        return retime.reorder(views, spec.temporal, retime.video_seed(path))
    if cache is None or spec.corrupt:  # made on the fly: nobody wants dozens of worse copies on the disk
        return _make_views(path, spec, decoder, limits)
    start = time.thread_time()
    geometry = {name: value for name, value in dataclasses.asdict(spec).items() if name not in _NOT_PIXELS}
    geometry |= {"temporal": spec.temporal} if spec.temporal else {}
    geometry |= {"shuffled_for": retime.video_seed(path)} if spec.temporal == "shuffle" else {}
    made_by = decoder_version(decoder) + (f", {flow_version()}" if spec.has_flow else "")
    key = cache.key(path, geometry, made_by)
    if (stored := _from_cache(cache, key, start)) is not None:
        return stored
    views = _make_views(path, spec, decoder, limits)
    cache.put(key, views.pixels, side_of(views), geometry)
    return views


def _make_views(path, spec: InputSpec, decoder: str, limits: Limits) -> Views:
    start, seed = time.thread_time(), retime.video_seed(path)
    chosen: list[np.ndarray] = []

    def choose(table: VideoTable) -> np.ndarray:
        indices = indices_for(spec, table.pts_s, table.frame_rate)
        indices = retime.retimed(indices, table.pts_s, table.frame_rate, spec.temporal, seed)
        indices = corrupt.lost_frames(indices, table.pts_s, table.frame_rate, spec.corrupt, seed)
        chosen[:] = [indices]
        _check_room(indices.shape, spec, limits)
        return np.unique(indices)

    with open_video(path, decoder=decoder, limits=limits) as video:
        clip = _every_frame(video, choose, spec) if _is_coded(spec) else video.read(choose)
    decoded = time.thread_time()
    if spec.corrupt:
        clip = _corrupted(clip, spec, spec.corrupt, seed)
    pixels = _pixels(clip, chosen[0], spec)
    seconds = {"decode": decoded - start, "transform": time.thread_time() - decoded}
    indices = chosen[0][:, : chosen[0].shape[1] - spec.has_flow]
    return Views(pixels, indices, clip.info, clip.status, clip.reason, seconds)


def _pixels(clip: Clip, indices: np.ndarray, spec: InputSpec) -> np.ndarray:
    try:
        return make_views(clip.frames, np.searchsorted(clip.indices, indices), spec)
    except (ConfigError, UnreadableVideo):
        raise
    except MemoryError:
        raise UnreadableVideo("memory", "resizing needs more memory than there is") from None
    except Exception as problem:
        raise UnreadableVideo("decode_error", f"its pictures cannot be resized: {printable(problem, 120)}") from None


def _is_coded(spec: InputSpec) -> bool:
    return spec.corrupt is not None and corrupt.parse_corrupt(spec.corrupt)[0] in corrupt.CODED


def _every_frame(video, choose: Callable[[VideoTable], np.ndarray], spec: InputSpec) -> Clip:
    """All frames from the first to the last one chosen, resized; in pieces, so that a long video fits the limit."""
    for _ in range(3):  # damage has pictures counted anew
        table, frames = video.table, []
        wanted = choose(table)
        span = np.arange(wanted[0], wanted[-1] + 1)
        size = target_size(video.info.height, video.info.width, spec.resize)
        piece_bytes = video.limits.megabytes * 2**20 // PIECES_OF_LIMIT
        pieces = np.array_split(span, -(-len(span) * video.info.height * video.info.width * 3 // piece_bytes))
        try:
            frames = [resize(video.read(piece).frames, size) for piece in pieces]
        except (UnreadableVideo, ValueError):
            if video.table is table:
                raise
        if video.table is table:
            return Clip(np.concatenate(frames), span, table.pts_s[span], video.info, video.status, video.reason)
    raise UnreadableVideo("decode_error", "its pictures were counted three times and differ each time")


def _corrupted(clip: Clip, spec: InputSpec, how: str, seed: int) -> Clip:
    _, h, w, _ = clip.frames.shape
    frames = resize(clip.frames, target_size(h, w, spec.resize))
    return dataclasses.replace(clip, frames=corrupt.corrupted(frames, clip.indices, how, seed))


def check_changes(spec: InputSpec) -> None:
    """Refuse a change of time or a corruption that does not exist; raises ``ConfigError``."""
    if spec.temporal is not None:
        retime.parse_temporal(spec.temporal)
    if spec.corrupt is not None:
        corrupt.parse_corrupt(spec.corrupt)


def _check_room(shape: tuple[int, int], spec: InputSpec, limits: Limits) -> None:
    megabytes = int(np.prod(shape)) * spec.num_crops * spec.crop[0] * spec.crop[1] * spec.channels / 2**20
    if megabytes > limits.megabytes:
        raise UnreadableVideo(
            "too_large", f"its views take {megabytes:.0f} MB, over the limit of {limits.megabytes} MB"
        )


# Parts of a card that come after the uint8 views, and those that are added only where they are set.
_NOT_PIXELS = ("mean", "std", "layout", "average", "temporal", "corrupt")


def side_of(views: Views) -> dict:
    """All of some views but their pixels and what they cost, as JSON values; ``with_side`` has them again."""
    return {
        "indices": views.indices.tolist(),
        "info": dataclasses.asdict(views.info),
        "status": views.status,
        "reason": views.reason,
    }


def with_side(pixels: np.ndarray, side: dict, seconds: dict) -> Views:
    """Views from their pixels and what ``side_of`` said; raises KeyError, TypeError or ValueError where it did not."""
    indices = np.array(side["indices"], np.int64)
    return Views(pixels, indices, VideoInfo(**side["info"]), side["status"], side["reason"], seconds)


def _from_cache(cache: ClipCache, key, start: float) -> Views | None:
    found = cache.get(key)
    if found is None:
        return None
    pixels, side = found
    try:
        return with_side(pixels, side, {"decode": time.thread_time() - start, "transform": 0.0})
    except (KeyError, TypeError, ValueError):
        return None


def _only_look(path, spec, *, decoder, limits, cache, reason: str):
    """In the place of reading a video of a class that the model lacks: raises ``UnreadableVideo`` with that reason, and
    with what is wrong with the file where its header shows it."""
    try:
        read_header(path, limits=limits)
    except UnreadableVideo as problem:
        reason = f"{reason}; besides, the file itself is {problem.status}: {problem.reason}"
    raise UnreadableVideo("unknown_label", reason)


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, np.uint8)


class ViewReader:
    """Reads the views of many videos in isolated workers.

    Use it as a context manager; leaving it ends the workers, at the latest within five seconds. When this process is
    killed they end by themselves, and no shared memory stays behind.

    Args:
        root: the folder that the records' paths are relative to.
        spec: the model's card: which frames, which size.
        num_workers: processes; 0 reads in this process, with the same results but without hard limits: a decoder
            that crashes or hangs then takes the program with it.
        decoder: one of ``vidbench.data.decode.DECODERS``.
        limits: what one video may cost; ``megabytes`` bounds a worker's memory too.
        cache_dir: a folder for finished views, or ``None``.
        dataset: whose videos these are, for the cache's books.
        ahead: videos in work or waiting at most, which bounds memory; the default is twice the workers and two.
        allocate: called with a shape, gives the uint8 array that a video's pixels are put into; ``numpy.empty``, or
            memory from which a GPU copies faster.

    Raises:
        ConfigError: the card, the decoder or a number cannot be used.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        spec: InputSpec,
        *,
        num_workers: int,
        decoder: str = "pyav",
        limits: Limits | None = None,
        cache_dir: str | os.PathLike | None = None,
        dataset: str = "",
        ahead: int | None = None,
        allocate: Callable[[tuple[int, ...]], np.ndarray] = _empty,
        _read: Callable = read_views,
    ):
        if num_workers < 0 or (ahead is not None and ahead < 1):
            raise ConfigError(f"workers are at least 0 and videos ahead at least 1, got {num_workers} and {ahead}")
        check_spec(spec)
        check_changes(spec)
        decoder_version(decoder)
        self.root, self.spec, self.decoder, self.limits = os.fspath(root), spec, decoder, limits or Limits()
        self.cache = None if cache_dir is None else ClipCache(cache_dir, dataset)
        self.num_workers, self.ahead, self._read = num_workers, ahead or 2 * num_workers + 2, _read
        self._allocate = allocate
        self._crew: Crew | None = None
        self._busy = self._closed = False

    def __enter__(self) -> ViewReader:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def stream(self, records: Iterable[tuple[Key, VideoRecord]]) -> Iterator[tuple[Key, Views | UnreadableVideo]]:
        """Views of each record, or why there are none, in the order given.

        A record whose own status is not ``ok`` is passed on as ``UnreadableVideo`` and its file is not touched; but for
        one of a class that the model lacks, whose header is looked at, so that a broken file does not hide behind that.
        Records are drawn from the iterable only ``ahead`` in advance. One stream at a time.

        Args:
            records: pairs of any key, usually the position in the list, and a record.
        """
        if self._closed or self._busy:
            raise ValueError("this reader is closed" if self._closed else "this reader is reading another stream")
        if self.num_workers == 0:
            yield from ((key, self._in_process(record)) for key, record in records)
            return
        self._busy, source, crew = True, iter(records), self._open()
        pending = collections.deque[tuple[Key, Ticket | UnreadableVideo]]()
        try:
            while True:
                for key, record in itertools.islice(source, self.ahead - len(pending)):
                    pending.append((key, self._submit(crew, record)))
                if not pending:
                    return
                key, item = pending.popleft()
                yield key, self._result(crew, item) if isinstance(item, Ticket) else item
                if self._closed:
                    raise ValueError("this reader is closed")
        finally:
            self._busy = False
            if not self._closed:
                crew.abandon([item for _, item in pending if isinstance(item, Ticket)])

    def warm_up(self) -> None:
        """Start the workers, so that they are there when a stream begins; returns at once."""
        if self.num_workers and not self._closed:
            self._open().warm_up()

    def close(self) -> None:
        """End the workers now; reading goes no further."""
        self._closed = True
        if self._crew is not None:
            self._crew.end()
            self._crew = None

    def _open(self) -> Crew:
        if self._crew is None:
            self._crew = Crew(self.num_workers, self.limits, self._allocate)
            self._crew.start()
        return self._crew

    def _reads(self, record: VideoRecord) -> Callable | None:
        """What is called with a record's file; ``None`` where it is not touched."""
        if record.status == "unknown_label" and record.label_index >= 0:
            return functools.partial(_only_look, reason=record.reason)
        return self._read if record.status == "ok" else None

    def _in_process(self, record: VideoRecord) -> Views | UnreadableVideo:
        read = self._reads(record)
        if read is None:
            return UnreadableVideo(record.status, record.reason)
        path = os.path.join(self.root, record.path)
        try:
            return read(path, self.spec, decoder=self.decoder, limits=self.limits, cache=self.cache)
        except UnreadableVideo as problem:
            return problem.with_traceback(None)
        except MemoryError:
            return UnreadableVideo("memory", "more memory was needed than there is")
        except (OSError, ValueError, ArithmeticError) as problem:
            return UnreadableVideo("decode_error", f"{type(problem).__name__}: {printable(problem, 120)}")

    def _submit(self, crew: Crew, record: VideoRecord) -> Ticket | UnreadableVideo:
        read = self._reads(record)
        if read is None:
            return UnreadableVideo(record.status, record.reason)
        path = os.path.join(self.root, record.path)
        ticket = Ticket(read, path, self.spec, self.decoder, self.limits, self.cache)
        crew.submit(ticket)
        return ticket

    def _result(self, crew: Crew, ticket: Ticket) -> Views | UnreadableVideo:
        while not ticket.done.wait(1.0):  # in steps, so that Ctrl-C is heard on every system
            if not crew.is_alive():
                raise RuntimeError("the thread that feeds the workers has ended")
        if isinstance(ticket.result, Exception):
            raise ticket.result
        assert ticket.result, "it is done"
        return UnreadableVideo(*ticket.result) if len(ticket.result) == 2 else Views(*ticket.result)
