"""Processes of ours: started without the user's script, gone with their parent, and how one ended in words."""

from __future__ import annotations

import contextlib
import multiprocessing.context
import os
import signal
import threading
import time
from multiprocessing import spawn


def leave_with(parent: int) -> None:
    """End this process as soon as its parent is gone; for a thread."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


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
