"""Pixels to a GPU and scores back while it computes, and what each stage of a network took, on any device."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class StageClock:
    """Seconds by stage of one piece of work.

    On a GPU stages are marked by events and read when the work is done, so that nobody waits for a stage to end;
    elsewhere by the time that passes.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    """

    def __init__(self, device: str):
        self.device = device
        self._seconds: dict[str, float] = {}
        self._marks: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._end: torch.cuda.Event | None = None

    @contextlib.contextmanager
    def stage(self, name: str):
        """What is begun within belongs to the stage."""
        if is_cuda(self.device):
            begin = _mark(self.device)
            yield
            self._marks.append((name, begin, _mark(self.device)))
            return
        start = time.perf_counter()
        yield
        if self.device.startswith("mps"):
            synchronise(self.device)
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start

    def end(self) -> None:
        """Nothing more is begun."""
        if is_cuda(self.device):
            self._end = _mark(self.device)

    def seconds(self) -> dict[str, float]:
        """Seconds by stage; waits until all that was begun is done."""
        if self._end is not None:
            self._end.synchronize()
            for name, begin, end in self._marks:
                self._seconds[name] = self._seconds.get(name, 0.0) + begin.elapsed_time(end) / 1000
            self._end, self._marks = None, []
        return self._seconds


class Staging:
    """Copies arrays to a GPU beside its work: through pinned memory, on a stream of their own.

    Two pieces of pinned memory take turns, so that one is filled while the other is on its way.

    Args:
        device: ``cuda`` or ``cuda:NUMBER``.
    """

    def __init__(self, device: str):
        import torch

        self.device, self._turn = device, 0
        self._stream = torch.cuda.Stream(device)
        self._pinned: list[torch.Tensor | None] = [None, None]
        self._copied: list[torch.cuda.Event | None] = [None, None]

    def copy(self, arrays: list[np.ndarray]):
        """Uint8 arrays of one shape, stacked, as a tensor on the device that later work may use at once.

        Arrays made by ``pinned`` are copied from where they are: keep them unchanged until that work is done.
        """
        import torch

        shape = (len(arrays), *arrays[0].shape)
        tensors = [torch.from_numpy(array) for array in arrays]
        if all(tensor.is_pinned() for tensor in tensors):
            return self._on_stream(lambda: self._gathered(tensors, shape))
        memory = self._memory(int(np.prod(shape)))
        np.stack(arrays, out=memory.numpy()[: int(np.prod(shape))].reshape(shape))
        return self._on_stream(lambda: self._sent(memory, shape))

    def _sent(self, memory, shape: tuple[int, ...]):
        batch = memory[: int(np.prod(shape))].to(self.device, non_blocking=True).view(shape)
        self._copied[self._turn] = self._stream.record_event()
        return batch

    def _gathered(self, tensors: list, shape: tuple[int, ...]):
        import torch

        batch = torch.empty(shape, dtype=torch.uint8, device=self.device)
        for place, tensor in zip(batch, tensors):
            place.copy_(tensor, non_blocking=True)
        return batch

    def _on_stream(self, copy):
        """A tensor that ``copy`` makes on the stream for copies, and that the device's other work waits for."""
        import torch

        using = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._stream):
            batch = copy()
        using.wait_stream(self._stream)
        batch.record_stream(using)
        return batch

    def _memory(self, size: int):
        """Pinned memory of at least ``size`` bytes that no copy reads any more."""
        import torch

        self._turn = 1 - self._turn
        copied, memory = self._copied[self._turn], self._pinned[self._turn]
        if copied is not None:
            copied.synchronize()
        if memory is None or len(memory) < size:
            memory = self._pinned[self._turn] = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        return memory


def pinned(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialised uint8 array in memory that a GPU copies from without help; reused when nobody holds it."""
    import torch

    return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()


def to_host(scores):
    """A float32 tensor in the processor's memory; from a GPU it arrives when the work begun so far is done."""
    import torch

    if not scores.is_cuda:
        return scores.float().cpu()
    host = torch.empty(scores.shape, dtype=torch.float32, pin_memory=True)
    return host.copy_(scores, non_blocking=True)


def is_cuda(device: str) -> bool:
    """Whether ``cuda``, or ``cuda:1`` and so on, is meant."""
    return device.startswith("cuda")


def synchronise(device: str) -> None:
    """Wait until the device has done what was begun; nothing to wait for on ``cpu``."""
    import torch

    if is_cuda(device):
        torch.cuda.synchronize(device)
    elif device.startswith("mps"):
        torch.mps.synchronize()


def _mark(device: str) -> torch.cuda.Event:
    """An event at the current end of the device's work."""
    import torch

    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event
