"""Many videos to views: isolated workers, pictures through shared memory, results in the order given.

A worker is a spawned process that imports neither torch nor TensorFlow. A video that crashes it, hangs it or eats
its memory costs one result, ``UnreadableVideo``, and the worker is replaced. Each worker has a pebble pool of its
own, so that nothing is shared between workers: no lock that a dying one could keep.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import functools
import itertools
import mmap
import multiprocessing
import multiprocessing.context
import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import spawn
from typing import TypeVar

import numpy as np
from pebble import ProcessExpired, ProcessPool

from vidbench.data import corrupt, retime
from vidbench.data.cache import ClipCache
from vidbench.data.decode import Limits, VideoTable, decoder_version, open_video, read_header
from vidbench.data.flow import flow_version, make_views
from vidbench.data.process import check_spec, resize, target_size
from vidbench.data.sample import indices_for
from vidbench.records import Clip, ConfigError, InputSpec, RunError, UnreadableVideo, VideoInfo, VideoRecord, Views
from vidbench.utils import keep_freed_memory, printable

Key = TypeVar("Key")  # whatever the caller knows a record by

GRACE_S = 2.0  # seconds that a worker may take beyond the limit before it is killed
PIECES_OF_LIMIT = 4  # a stretch of frames is read in pieces of so small a part of the memory limit
LOST_S = 60.0  # seconds after which a worker that should long have been killed is given up


class ClipDataset:
    """One clip per record, in the order given.

    ``dataset[i]`` depends on the constructor's arguments and ``i``, on nothing else: not on earlier calls, the
    worker that asks, or the clock. A file that cannot be read raises ``UnreadableVideo``; no other video ever
    takes its place. It is a map-style dataset for ``torch.utils.data.DataLoader`` as it stands.

    Args:
        records: the videos.
        read_clip: called with a record and a ``numpy.random.Generator`` made from ``seed`` and ``i``.
        seed: a whole number, at least 0.
    """

    def __init__(self, records: Iterable, read_clip: Callable[[VideoRecord, np.random.Generator], Clip], *, seed=0):
        self.records, self.read_clip, self.seed = tuple(records), read_clip, seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Clip:
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index %= len(self)
        return self.read_clip(self.records[index], np.random.default_rng([self.seed, index]))


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


# ---------------------------------------------------------------- cache


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


# ---------------------------------------------------------------- in the worker


def _start_worker(parent: int, megabytes: int) -> None:
    """Make a fresh worker modest: low priority, one thread, bounded memory, and gone when its parent is."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(10)
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    keep_freed_memory(large_blocks=False)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=leave_with, args=(parent,), daemon=True).start()
    _bound_memory(megabytes)


def leave_with(parent: int) -> None:
    """End this process as soon as its parent is gone; for a thread."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _bound_memory(megabytes: int) -> None:
    """Linux counts private memory against RLIMIT_DATA; elsewhere only ``Limits.megabytes`` of frames is checked."""
    with contextlib.suppress(ImportError, OSError, ValueError, StopIteration):
        import resource

        with open("/proc/self/status") as file:
            now = next(int(line.split()[1]) for line in file if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (now * 1024 + megabytes * 2**20,) * 2)


def _work(read, path: str, spec: InputSpec, decoder: str, limits: Limits, cache: ClipCache | None, slot: str):
    """Read one video and put its pixels into the slot; returns everything else about it."""
    _alarm(limits.seconds + 2 * GRACE_S)
    try:
        views = read(path, spec, decoder=decoder, limits=limits, cache=cache)
        _hand_over(slot, views.pixels)
    except UnreadableVideo as problem:
        return problem.status, problem.reason
    except MemoryError:
        return "memory", f"more than the limit of {limits.megabytes} MB of memory was needed"
    except (OSError, ValueError, ArithmeticError) as problem:  # odd data until shown otherwise: costs this video only
        return "decode_error", f"{type(problem).__name__} in the worker: {printable(problem, 120)}"
    finally:
        _alarm(0)
    return views.pixels.shape, views.indices, views.info, views.status, views.reason, views.seconds


def _only_look(path, spec, *, decoder, limits, cache, reason: str):
    """In the place of reading a video of a class that the model lacks: raises ``UnreadableVideo`` with that reason, and
    with what is wrong with the file where its header shows it."""
    try:
        read_header(path, limits=limits)
    except UnreadableVideo as problem:
        reason = f"{reason}; besides, the file itself is {problem.status}: {problem.reason}"
    raise UnreadableVideo("unknown_label", reason)


def _ready() -> None:
    """The first thing a worker does, when it is started early."""


def _alarm(seconds: float) -> None:
    """Let the system end this process after a time, whatever code it hangs in and even when its parent is gone."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _hand_over(slot: str, pixels: np.ndarray) -> None:
    """Fill a slot; raises ``RunError`` where that is refused, because it is no fault of the video's."""
    try:
        _fill(slot, pixels)
    except OSError as problem:
        if problem.errno == errno.ENOMEM:
            raise MemoryError from None
        raise RunError(
            f"a worker cannot hand over {pixels.nbytes / 2**20:.1f} MB of pictures ({problem.strerror}): raise the "
            "limit on file sizes (ulimit -f) or make room in the temporary folder, and run the same command again"
        ) from None


def _fill(slot: str, pixels: np.ndarray) -> None:
    handle = os.open(slot, os.O_RDWR)
    try:
        if os.fstat(handle).st_size < pixels.nbytes:
            os.ftruncate(handle, pixels.nbytes)
        if pixels.nbytes:
            with mmap.mmap(handle, pixels.nbytes) as memory:
                np.frombuffer(memory, np.uint8)[:] = np.ascontiguousarray(pixels).reshape(-1)
    finally:
        os.close(handle)


# ---------------------------------------------------------------- starting workers


class _HiddenMainProcess(multiprocessing.context.SpawnProcess):
    """A spawned process that does not run the user's script again.

    Spawning imports ``__main__`` in the child, which would load torch there, and would start the whole program once
    more where a script has no ``if __name__ == "__main__"``. Workers need nothing from it.
    """

    _one_at_a_time = threading.Lock()

    @staticmethod
    def _Popen(process_obj):
        with _HiddenMainProcess._one_at_a_time, _without_main(), _without_interrupts():
            return multiprocessing.context.SpawnProcess._Popen(process_obj)


class HiddenMainContext(multiprocessing.context.SpawnContext):
    """``multiprocessing``'s spawning of processes that leave the user's script, and Ctrl-C, to their parent."""

    Process = _HiddenMainProcess


@contextlib.contextmanager
def _without_main():
    """Spawning in this thread tells the child nothing of ``__main__``, which stays as it is for all other threads:
    libraries that are being imported while workers start look at it."""
    prepare, here = spawn.get_preparation_data, threading.get_ident()

    def prepared(name):
        data = prepare(name)
        if threading.get_ident() == here:
            for key in ("init_main_from_name", "init_main_from_path"):
                data.pop(key, None)
        return data

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare


@contextlib.contextmanager
def _without_interrupts():
    """Ctrl-C is the parent's to handle: a child inherits the mask of the thread that starts it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---------------------------------------------------------------- in the parent


class _Slots:
    """Pieces of shared memory that a worker can open by name and that vanish with this process.

    On Linux they are anonymous (``memfd_create``) and nothing is left behind whatever ends the process; elsewhere
    they are files in a temporary folder.
    """

    def __init__(self, number: int):
        self.folder = None
        if hasattr(os, "memfd_create"):
            self.handles = [os.memfd_create("vidbench", os.MFD_CLOEXEC) for _ in range(number)]
            self.names = [f"/proc/{os.getpid()}/fd/{handle}" for handle in self.handles]
        else:
            self.folder = tempfile.TemporaryDirectory(prefix="vidbench-")
            self.names = [os.path.join(self.folder.name, f"{k}.slot") for k in range(number)]
            self.handles = [os.open(name, os.O_RDWR | os.O_CREAT) for name in self.names]
        self.maps: list[mmap.mmap | None] = [None] * number
        self.free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(number):
            self.free.put(slot)

    def take(self) -> int:
        """A slot that nobody uses; waits for one where a stream left early is still being read."""
        return self.free.get()

    def give_back(self, slot: int) -> None:
        self.free.put(slot)

    def copy(self, slot: int, shape: tuple[int, ...], allocate: Callable) -> np.ndarray:
        """The pixels in a slot, in memory that ``allocate(shape)`` gives."""
        pixels, size = allocate(shape), int(np.prod(shape))
        if size:
            np.copyto(pixels, np.frombuffer(self._memory(slot, size), np.uint8, size).reshape(shape))
        return pixels

    def _memory(self, slot: int, size: int) -> mmap.mmap:
        """A slot as this process sees it; kept, because mapping it again costs as much as a copy."""
        found = self.maps[slot]
        if found is None or len(found) < size:
            found = self.maps[slot] = mmap.mmap(self.handles[slot], size, access=mmap.ACCESS_READ)
        return found

    def close(self) -> None:
        self.maps = []
        for handle in self.handles:
            os.close(handle)
        self.handles = []
        if self.folder is not None:
            self.folder.cleanup()


class _Ticket:
    """One video on its way through a worker."""

    def __init__(self, arguments: tuple, slot: int):
        self.arguments, self.slot, self.deaths, self.abandoned = arguments, slot, 0, False
        self.done = threading.Event()
        self.result: tuple | Exception | None = None


class _Lane:
    """One worker with a pool of its own; does one ticket after the other."""

    def __init__(self, limits: Limits):
        self.limits, self.since, self.false_starts = limits, 0.0, 0
        self.ticket: _Ticket | None = None
        self.future: Future | None = None
        self.pool = self._new_pool()

    def _new_pool(self) -> ProcessPool:
        arguments = (os.getpid(), self.limits.megabytes)
        return ProcessPool(max_workers=1, context=HiddenMainContext(), initializer=_start_worker, initargs=arguments)

    def start(self, ticket: _Ticket) -> Future:
        """Hand a ticket to the worker; starts the worker, and a new pool where the old one broke."""
        self.ticket, self.since = ticket, time.monotonic()
        seconds = self.limits.seconds + GRACE_S
        try:
            return self.pool.schedule(_work, args=ticket.arguments, timeout=seconds)
        except RuntimeError:  # an idle worker was killed from outside: pebble gives the pool up
            self.renew()
            return self.pool.schedule(_work, args=ticket.arguments, timeout=seconds)

    def warm_up(self) -> None:
        """Start the worker; one that cannot be started shows with the first ticket."""
        with contextlib.suppress(Exception):
            self.pool.schedule(_ready)

    @property
    def is_lost(self) -> bool:
        return self.ticket is not None and time.monotonic() - self.since > self.limits.seconds + GRACE_S + LOST_S

    def renew(self) -> None:
        self.pool.stop()
        self.join()
        self.pool = self._new_pool()

    def join(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.pool.join()


class _Crew(threading.Thread):
    """The thread that hands videos to workers and takes what becomes of them; all of it happens here, in order."""

    def __init__(self, num_workers: int, limits: Limits, slots: _Slots):
        super().__init__(name="vidbench-crew", daemon=True)
        self.limits, self.slots, self.stopped = limits, slots, False
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.lanes = [_Lane(limits) for _ in range(num_workers)]
        self.idle, self.waiting = list(self.lanes), collections.deque[_Ticket]()

    def submit(self, ticket: _Ticket) -> None:
        self.inbox.put(lambda: self.waiting.append(ticket))

    def warm_up(self) -> None:
        """Start every worker before there is anything to do."""
        for lane in self.lanes:
            self.inbox.put(lane.warm_up)

    def abandon(self, tickets: list[_Ticket]) -> None:
        """Nobody waits for these any more: they are dropped, or finished unseen, and their slots given back."""
        self.inbox.put(lambda: self._abandon(tickets))

    def end(self) -> None:
        """End the workers now and wait until they are gone."""
        self.inbox.put(self._stop)
        if self.is_alive():
            self.join()

    def run(self) -> None:
        while not self.stopped:
            with contextlib.suppress(queue.Empty):
                self.inbox.get(timeout=1.0)()
            self._look_after_lanes()
            while self.idle and self.waiting and not self.stopped:
                self._start(self.idle.pop(0), self.waiting.popleft())

    def _start(self, lane: _Lane, ticket: _Ticket) -> None:
        try:
            future = lane.future = lane.start(ticket)
        except Exception as problem:  # no process can be started, or our own mistake: the caller has to know
            lane.ticket = None
            self.idle.append(lane)
            self._finish(ticket, problem)
            return
        future.add_done_callback(lambda done: self.inbox.put(lambda: self._take(lane, ticket, done)))

    def _take(self, lane: _Lane, ticket: _Ticket, future: Future) -> None:
        if lane.future is not future or lane.ticket is not ticket:
            return
        lane.ticket = None
        self.idle.append(lane)
        result = _outcome(future, self.limits)
        lane.false_starts = lane.false_starts + 1 if isinstance(result, BrokenProcessPool) else 0
        ticket.deaths += isinstance(result, _Died)
        if isinstance(result, BrokenProcessPool) and lane.false_starts < 3:
            self.waiting.appendleft(ticket)  # the worker was gone before it took the video
        elif isinstance(result, _Died) and ticket.deaths < 2 and not ticket.abandoned:
            self.waiting.appendleft(ticket)  # killed from outside, perhaps: one more try
        elif isinstance(result, BrokenProcessPool):
            self._finish(ticket, RuntimeError("the decoding workers end before they take a video; see above for why"))
        else:
            self._finish(ticket, result.as_result() if isinstance(result, _Died) else result)

    def _finish(self, ticket: _Ticket, result) -> None:
        ticket.result = result
        ticket.done.set()
        if ticket.abandoned:
            self.slots.give_back(ticket.slot)

    def _abandon(self, tickets: list[_Ticket]) -> None:
        for ticket in tickets:
            if ticket in self.waiting:
                self.waiting.remove(ticket)
            elif not ticket.done.is_set():
                ticket.abandoned = True
                continue
            self.slots.give_back(ticket.slot)

    def _look_after_lanes(self) -> None:
        """Give up workers that neither answer nor can be killed by their pool.

        A worker that is killed while it takes a video leaves the pool's lock behind, and the one that follows it waits
        for ever: the video has no part in that and gets one more try.
        """
        for lane in self.lanes:
            if (ticket := lane.ticket) and lane.is_lost:
                lane.ticket = None
                lane.renew()
                self.idle.append(lane)
                ticket.deaths += 1
                if ticket.deaths < 2 and not ticket.abandoned:
                    self.waiting.appendleft(ticket)
                else:
                    self._finish(ticket, _late(self.limits))

    def _stop(self) -> None:
        self.stopped = True
        for lane in self.lanes:
            lane.pool.stop()
        for lane in self.lanes:
            lane.join()


@dataclasses.dataclass(frozen=True)
class _Died:
    reason: str

    def as_result(self) -> tuple[str, str]:
        return "worker_crash", self.reason


def _late(limits: Limits) -> tuple[str, str]:
    return "timeout", f"not read within the limit of {limits.seconds:g} s"


def _outcome(future: Future, limits: Limits):
    """What became of a video: the worker's answer, ``_Died``, or an exception that is our own mistake."""
    if future.cancelled():
        return "cancelled", "the reader was closed"
    problem = future.exception()
    if problem is None:
        return future.result()
    if isinstance(problem, TimeoutError):
        return _late(limits)
    if isinstance(problem, ProcessExpired):
        if problem.exitcode == -getattr(signal, "SIGALRM", 0):
            return _late(limits)
        return _Died(f"the decoding process died ({exit_words(problem.exitcode)})")
    return problem


def exit_words(code: int | None) -> str:
    """How a process ended: the signal's name, or its exit status; ``None`` where it has not.

    >>> exit_words(-9), exit_words(3), exit_words(None)
    ('SIGKILL', 'exit status 3', 'no exit status yet')
    """
    if code is None:
        return "no exit status yet"
    with contextlib.suppress(ValueError):
        if code < 0:
            return signal.Signals(-code).name
    return f"exit status {code}"


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
        self._crew: _Crew | None = None
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
        pending = collections.deque[tuple[Key, _Ticket | UnreadableVideo]]()
        try:
            while True:
                for key, record in itertools.islice(source, self.ahead - len(pending)):
                    pending.append((key, self._submit(crew, record)))
                if not pending:
                    return
                key, item = pending.popleft()
                yield key, self._result(crew, item) if isinstance(item, _Ticket) else item
                if self._closed:
                    raise ValueError("this reader is closed")
        finally:
            self._busy = False
            if not self._closed:
                crew.abandon([item for _, item in pending if isinstance(item, _Ticket)])

    def warm_up(self) -> None:
        """Start the workers, so that they are there when a stream begins; returns at once."""
        if self.num_workers and not self._closed:
            self._open().warm_up()

    def close(self) -> None:
        """End the workers now; reading goes no further."""
        self._closed = True
        if self._crew is not None:
            self._crew.end()
            self._crew.slots.close()
            self._crew = None

    def _open(self) -> _Crew:
        if self._crew is None:
            self._crew = _Crew(self.num_workers, self.limits, _Slots(self.ahead))
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

    def _submit(self, crew: _Crew, record: VideoRecord) -> _Ticket | UnreadableVideo:
        read = self._reads(record)
        if read is None:
            return UnreadableVideo(record.status, record.reason)
        slot = crew.slots.take()
        path, name = os.path.join(self.root, record.path), crew.slots.names[slot]
        ticket = _Ticket((read, path, self.spec, self.decoder, self.limits, self.cache, name), slot)
        crew.submit(ticket)
        return ticket

    def _result(self, crew: _Crew, ticket: _Ticket) -> Views | UnreadableVideo:
        while not ticket.done.wait(1.0):  # in steps, so that Ctrl-C is heard on every system
            if not crew.is_alive():
                raise RuntimeError("the thread that feeds the workers has ended")
        try:
            if isinstance(ticket.result, Exception):
                raise ticket.result
            assert ticket.result, "it is done"
            if len(ticket.result) == 2:
                return UnreadableVideo(*ticket.result)
            shape, *others = ticket.result
            return Views(crew.slots.copy(ticket.slot, shape, self._allocate), *others)
        finally:
            crew.slots.give_back(ticket.slot)
