"""Isolated workers: one video each at a time, pictures through shared memory.

A worker is a spawned process that imports neither torch nor TensorFlow. A video that crashes it, hangs it or eats
its memory costs one result, and the worker is replaced. Each worker has a pebble pool of its own, so that nothing is
shared between workers: no lock that a dying one could keep.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import functools
import mmap
import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool

import numpy as np
from pebble import ProcessExpired, ProcessPool

from vidbench.data.cache import ClipCache
from vidbench.data.decode import Limits
from vidbench.data.spawning import HiddenMainContext, exit_words, leave_with
from vidbench.records import InputSpec, RunError, UnreadableVideo
from vidbench.utils import keep_freed_memory, printable

GRACE_S = 2.0  # seconds that a worker may take beyond the limit before it is killed
LOST_S = 60.0  # seconds after which a worker that should long have been killed is given up


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


class Slots:
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
        """Give the memory back; nothing that was copied out is lost."""
        self.maps = []
        for handle in self.handles:
            os.close(handle)
        self.handles = []
        if self.folder is not None:
            self.folder.cleanup()


class Ticket:
    """One video on its way through a worker, and what became of it.

    Args:
        arguments: of ``_work``, without the slot.
    """

    def __init__(self, *arguments):
        self.arguments, self.slot, self.deaths, self.abandoned = arguments, -1, 0, False
        self.done = threading.Event()
        self.result: tuple | Exception | None = None


class _Lane:
    """One worker with a pool of its own; does one ticket after the other."""

    def __init__(self, limits: Limits):
        self.limits, self.since, self.false_starts = limits, 0.0, 0
        self.ticket: Ticket | None = None
        self.future: Future | None = None
        self.pool = self._new_pool()

    def _new_pool(self) -> ProcessPool:
        arguments = (os.getpid(), self.limits.megabytes)
        return ProcessPool(max_workers=1, context=HiddenMainContext(), initializer=_start_worker, initargs=arguments)

    def start(self, ticket: Ticket, slot: str) -> Future:
        """Hand a ticket to the worker; starts the worker, and a new pool where the old one broke."""
        self.ticket, self.since = ticket, time.monotonic()
        arguments = (*ticket.arguments, slot)
        seconds = self.limits.seconds + GRACE_S
        try:
            return self.pool.schedule(_work, args=arguments, timeout=seconds)
        except RuntimeError:  # an idle worker was killed from outside: pebble gives the pool up
            self.renew()
            return self.pool.schedule(_work, args=arguments, timeout=seconds)

    def warm_up(self) -> None:
        """Start the worker; one that cannot be started shows with the first ticket."""
        with contextlib.suppress(Exception):
            self.pool.schedule(_ready)

    def can_start(self) -> bool:
        """Whether a new worker starts and answers; waits for it."""
        self.renew()
        try:
            self.pool.schedule(_ready).result(timeout=LOST_S)
        except Exception:
            return False
        return True

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


class Crew(threading.Thread):
    """The thread that hands videos to workers and takes what becomes of them; all of it happens here, in order.

    Only the pictures are copied out of the slots by a second thread, for which neither the workers nor whoever asks for
    the videos has to wait.

    Args:
        num_workers: processes.
        limits: what one video may cost.
        allocate: called with a shape, gives the uint8 array that a video's pixels are put into.
    """

    def __init__(self, num_workers: int, limits: Limits, allocate: Callable[[tuple[int, ...]], np.ndarray]):
        super().__init__(name="vidbench-crew", daemon=True)
        self.limits, self.allocate, self.stopped = limits, allocate, False
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.lanes = [_Lane(limits) for _ in range(num_workers)]
        self.idle, self.waiting = list(self.lanes), collections.deque[Ticket]()
        number = 2 * num_workers  # so that each worker can fill one while another is copied
        self.slots, self.free_slots = Slots(number), list(range(number))
        self.filled: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self.copier = threading.Thread(target=self._copy_out, name="vidbench-copier", daemon=True)

    def submit(self, ticket: Ticket) -> None:
        """Let a worker read this video as soon as one is free."""
        self.inbox.put(lambda: self.waiting.append(ticket))

    def warm_up(self) -> None:
        """Start every worker before there is anything to do."""
        for lane in self.lanes:
            self.inbox.put(lane.warm_up)

    def abandon(self, tickets: list[Ticket]) -> None:
        """Nobody waits for these any more: they are dropped, or finished unseen."""
        self.inbox.put(lambda: self._abandon(tickets))

    def end(self) -> None:
        """End the workers now and wait until they are gone; nothing that was handed over is lost."""
        self.inbox.put(self._stop)
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Hand out and take back until ``end``."""
        self.copier.start()
        try:
            while not self.stopped:
                with contextlib.suppress(queue.Empty):
                    self.inbox.get(timeout=1.0)()
                self._look_after_lanes()
                while self.idle and self.waiting and not self.stopped and self._give_slot(self.waiting[0]):
                    self._start(self.idle.pop(0), self.waiting.popleft())
        finally:
            self.filled.put(None)
            self.copier.join()
            self.slots.close()

    def _give_slot(self, ticket: Ticket) -> bool:
        """Whether a slot was free, or the ticket has one since it was tried before."""
        if ticket.slot < 0 and self.free_slots:
            ticket.slot = self.free_slots.pop()
        return ticket.slot >= 0

    def _free_slot(self, ticket: Ticket) -> None:
        self.free_slots.append(ticket.slot)
        ticket.slot = -1

    def _start(self, lane: _Lane, ticket: Ticket) -> None:
        try:
            future = lane.future = lane.start(ticket, self.slots.names[ticket.slot])
        except Exception as problem:  # no process can be started, or our own mistake: the caller has to know
            lane.ticket = None
            self.idle.append(lane)
            self._finish(ticket, problem)
            return
        future.add_done_callback(lambda done: self.inbox.put(lambda: self._take(lane, ticket, done)))

    def _take(self, lane: _Lane, ticket: Ticket, future: Future) -> None:
        if lane.future is not future or lane.ticket is not ticket:
            return
        lane.ticket = None
        self.idle.append(lane)
        result = _outcome(future, self.limits)
        lane.false_starts = lane.false_starts + 1 if isinstance(result, BrokenProcessPool) else 0
        ticket.deaths += isinstance(result, _Died)
        if isinstance(result, BrokenProcessPool) and lane.false_starts < 3:
            self.waiting.appendleft(ticket)  # the worker was gone before it took the video, or was heard to take it
        elif isinstance(result, BrokenProcessPool) and lane.can_start():
            lane.false_starts = 0
            self._finish(ticket, _Died("the decoding process dies as soon as it takes the file").as_result())
        elif isinstance(result, _Died) and ticket.deaths < 2 and not ticket.abandoned:
            self.waiting.appendleft(ticket)  # killed from outside, perhaps: one more try
        elif isinstance(result, BrokenProcessPool):
            self._finish(ticket, RuntimeError("the decoding workers end before they take a video; see above for why"))
        else:
            self._finish(ticket, result.as_result() if isinstance(result, _Died) else result)

    def _finish(self, ticket: Ticket, result) -> None:
        ticket.result = result
        if isinstance(result, tuple) and len(result) > 2 and not ticket.abandoned:
            self.filled.put(ticket)
            return
        self._free_slot(ticket)
        ticket.done.set()

    def _copy_out(self) -> None:
        """What the copier does: pixels out of slots, in the order in which they were filled."""
        while ticket := self.filled.get():
            assert isinstance(ticket.result, tuple), "it was read"
            shape, *others = ticket.result
            try:
                ticket.result = (self.slots.copy(ticket.slot, shape, self.allocate), *others)
            except Exception as problem:  # no memory for it: the caller has to know
                ticket.result = problem
            ticket.done.set()
            self.inbox.put(functools.partial(self._free_slot, ticket))

    def _abandon(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            ticket.abandoned = True
            if ticket in self.waiting:
                self.waiting.remove(ticket)
                if ticket.slot >= 0:
                    self._free_slot(ticket)

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
