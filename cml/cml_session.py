"""What the scripts of this folder share: the project's folder, their arguments, and commands shown line by line.

Standard library only, because the first of these scripts runs before anything is installed. Cloudera may run a script
as a program or cell by cell in IPython, where `__file__` is missing, `sys.argv` is the kernel's, and only what Python
prints itself is sure to reach the log pane.

There is no `__init__.py` here on purpose: with one, this folder would hide the platform's own package `cml`.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  what follows is no Python 3.10, and scripts import this file first
    print(f"vidbench needs Python 3.11, 3.12 or 3.13, this runtime has {sys.version.split()[0]}: choose another.")
    sys.exit(1)

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 200  # characters of a line; pip's longest has thousands


def arguments(default: Sequence[str]) -> list[str]:
    """The words given to the script: on its command line, else in JOB_ARGUMENTS, else the default ones.

    Ends the script with status 2 where the variable has a quotation mark that nothing closes.
    """
    in_kernel = "ipykernel" in sys.argv[0]
    words = [] if in_kernel else sys.argv[1:]
    given = os.environ.get("JOB_ARGUMENTS", "")
    try:
        return words or shlex.split(given) or list(default)
    except ValueError as problem:
        print(f"JOB_ARGUMENTS cannot be read ({problem}): {given[:WIDTH]!r}. Close its quotation marks.")
        sys.exit(2)


def show(command: Sequence[str], keep: Callable[[str], bool] = lambda line: True) -> int:
    """Run a command in the project's folder, print its lines as they come, and give its exit status.

    A SIGTERM, with which a platform stops a Job, is handed on: the command ends by itself and says how to continue.

    Args:
        command: program and words; no shell is involved.
        keep: which lines to print.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, encoding="utf-8", errors="backslashreplace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        before = signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGTERM))
        try:
            for line in process.stdout or ():
                if line.strip() and keep(line):
                    print(line.rstrip()[:WIDTH], flush=True)
        except BaseException:
            process.send_signal(signal.SIGINT)  # an evaluation then says how to continue
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
    return process.returncode


def end(status: int) -> None:
    """End the script: quietly where all is well, and so that the platform marks it as failed where it is not."""
    if status:
        sys.exit(status)
