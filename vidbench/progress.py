"""How far a run is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

LOG_SECONDS = 10.0  # between two lines in a log, at least
LOG_SHARE = 0.1  # of the whole: a line at least that often, where the seconds allow it
BAR_SECONDS = 0.1  # between two drawings of the bar


class Progress:
    """Shows videos done, clips per second, time left and videos skipped.

    The speed counts this session's videos only, not those that an earlier session finished.

    Args:
        stream: where to write; standard error when ``None``.
        quiet: write nothing.
        clock: seconds, rising; for tests.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False, clock=time.monotonic):
        self.stream = sys.stderr if stream is None else stream
        self.quiet, self.clock = quiet, clock
        self.on_terminal = bool(getattr(self.stream, "isatty", lambda: False)())
        self.total = self.done = self.done_before = self.skipped = 0
        self.began = self.shown_at = 0.0
        self.shown_done = -1

    def part(self, words: str) -> None:
        """Say which of several runs begins: a line of its own."""
        self._write(f"{words}\n")

    def start(self, total: int, done: int = 0, skipped: int = 0) -> None:
        """Begin with ``done`` of ``total`` videos finished by earlier sessions."""
        self.total, self.done, self.done_before, self.skipped = total, done, done, skipped
        self.began = self.shown_at = self.clock()
        self.shown_done = done
        if done:
            self._write(f"continuing after {done} of {total} videos\n")

    def update(self, done: int, skipped: int) -> None:
        """``done`` videos have their row, ``skipped`` of them without a prediction."""
        self.done, self.skipped = done, skipped
        since = self.clock() - self.shown_at
        share = (done - self.shown_done) / max(1, self.total)
        if self.on_terminal:
            due = since >= BAR_SECONDS
        else:
            due = since >= LOG_SECONDS or (share >= LOG_SHARE and since >= LOG_SECONDS / 10)
        if due:
            self._show()

    def stop(self) -> None:
        """Show the last state; on a terminal, leave the bar's line."""
        if self.shown_done != self.done:
            self._show()
        if self.on_terminal and self.total:
            self._write("\n")

    def text(self) -> str:
        """The state in words: ``96/144 videos, 12.5 clips/s, 0:04 left, 0 skipped``."""
        words = [f"{self.done}/{self.total} videos"]
        seconds, here = self.clock() - self.began, self.done - self.done_before
        if here > 0 and seconds > 0:
            words += [f"{here / seconds:.3g} clips/s", f"{duration((self.total - self.done) * seconds / here)} left"]
        return ", ".join([*words, f"{self.skipped} skipped"])

    def _show(self) -> None:
        self.shown_at, self.shown_done = self.clock(), self.done
        if self.on_terminal:
            share = self.done / max(1, self.total)
            filled = int(24 * share)
            self._write(f"\r{'█' * filled}{'░' * (24 - filled)} {share:4.0%}  {self.text()}\x1b[K")
        else:
            self._write(f"{self.text()}\n")

    def _write(self, text: str) -> None:
        if self.quiet:
            return
        try:
            encoding = getattr(self.stream, "encoding", None) or "utf-8"
            self.stream.write(text.encode(encoding, "replace").decode(encoding))
            self.stream.flush()
        except (OSError, ValueError):  # the reader of our output is gone; the run goes on
            self.quiet = True


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> duration(3725.2), duration(59)
    ('1:02:05', '0:59')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
