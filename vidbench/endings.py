"""How a program ends: its exit status, and a sentence for what went wrong."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

from vidbench.records import AnnotationError, ConfigError, VidbenchError, WeightsError
from vidbench.utils import printable, without_login

FAILED, BAD_OPTIONS = 1, 2  # exit statuses; 2 is argparse's too
INTERRUPTED, TERMINATED = 130, 143  # a shell's for Ctrl-C, and for SIGTERM
NOT_OURS = {  # faults of a disk, or of rights on it → what helps
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a place that is yours to write"),
}


class Terminated(KeyboardInterrupt):
    """SIGTERM came. It ends a program as Ctrl-C does, also one for which Ctrl-C is the way to end well."""


def run_program(main: Callable[[], int], name: str) -> int:
    """Run a script's ``main`` and give the exit status, whatever happens in it.

    A ``VidbenchError`` is said in one sentence; a mistake of ours keeps its traceback; Ctrl-C, and the SIGTERM that a
    cluster sends some seconds before it kills, give the command that continues; a reader that went away (``| head``)
    ends the program quietly.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name outside the terminal's alphabet is no reason to fail
    try:
        with _termination_heard() as terminated:
            status = _status_of(main, name)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return FAILED
    if status == INTERRUPTED:
        print(f"{name}: stopped. To continue: {_this_command()}", file=sys.stderr)
    return TERMINATED if terminated and status else status


@contextlib.contextmanager
def _termination_heard() -> Iterator[list[bool]]:
    """SIGTERM does what Ctrl-C does, and a second one ends the process at once; the list is not empty where it came."""
    came: list[bool] = []

    def stop(*_) -> None:
        came.append(True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield came
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _this_command() -> str:
    """The command that started this process, for a POSIX shell, with a comment where a login was left out of it."""
    given = shlex.join(sys.orig_argv)
    shown = shlex.join(map(without_login, sys.orig_argv))
    return shown if shown == given else f"{shown}  # with the login, left out here, put back into its address"


def _status_of(main: Callable[[], int], name: str) -> int:
    try:
        return main()
    except SystemExit as leaving:
        if isinstance(leaving.code, (int, type(None))):
            return leaving.code or 0
        print(without_login(str(leaving.code)), file=sys.stderr)  # as Python itself does with words
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except VidbenchError as problem:
        print(f"{name}: {without_login(str(problem))}", file=sys.stderr)
        return BAD_OPTIONS if isinstance(problem, (ConfigError, AnnotationError, WeightsError)) else FAILED
    except Exception as problem:
        if words := _fault_of_this_machine(problem):
            print(f"{name}: {words}", file=sys.stderr)
            return FAILED
        print(without_login(traceback.format_exc()), end="", file=sys.stderr)
        print(
            f"{name}: this is a fault of vidbench, not of your data; please report it with the lines above and "
            f"the command: {_this_command()}",
            file=sys.stderr,
        )
        return FAILED


def _fault_of_this_machine(problem: Exception) -> str:
    """The sentence about a full disk or a package that is not installed; nothing where the fault may be ours."""
    if isinstance(problem, OSError) and problem.errno in NOT_OURS:
        where = printable(problem.filename or "a file of the results")
        return f"{problem.strerror}: {where}; {NOT_OURS[problem.errno]} and run the same command again"
    if isinstance(problem, ModuleNotFoundError) and problem.name:
        package = problem.name.partition(".")[0]
        if package != "vidbench" and package not in sys.modules and not importlib.util.find_spec(package):
            return (
                f"No module named {package!r}: it is not installed for {sys.executable}. In a checkout, `make "
                "evaluate` installs everything into an environment, and `source .venv/bin/activate` takes it"
            )
    return ""
