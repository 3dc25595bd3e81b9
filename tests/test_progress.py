"""The progress of a run on a terminal, in a log, and when nobody reads it."""

from __future__ import annotations

import io

from vidbench.progress import Progress


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_speed_counts_only_the_videos_of_this_session():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    progress.start(100, 60, 2)
    clock.now += 20
    progress.update(70, 3)
    assert stream.getvalue() == (
        "continuing after 60 of 100 videos\n70/100 videos, 0.5 clips/s, 1:00 left, 3 skipped\n"
    )


def test_a_log_gets_a_line_every_ten_seconds_or_tenth_and_the_last_state():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    progress.start(1000, 0)
    for done in range(1, 1000):
        clock.now += 0.5
        progress.update(done, 0)
    progress.stop()
    lines = stream.getvalue().splitlines()
    assert 49 <= len(lines) <= 51
    assert lines[-1] == "999/1000 videos, 2 clips/s, 0:00 left, 0 skipped"
    assert "\r" not in stream.getvalue()


def test_a_fast_run_does_not_flood_a_log():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    progress.start(144, 0)
    for done in range(8, 145, 8):
        clock.now += 0.1
        progress.update(done, 1)
    progress.stop()
    assert len(stream.getvalue().splitlines()) <= 2
    assert "144/144 videos" in stream.getvalue()


def test_a_terminal_gets_one_line_that_is_drawn_over():
    clock, stream = Clock(), Terminal()
    progress = Progress(stream, clock=clock)
    progress.start(4, 0)
    for done in range(1, 5):
        clock.now += 1
        progress.update(done, done // 2)
    progress.stop()
    assert stream.getvalue().count("\r") == 4
    assert stream.getvalue().count("\n") == 1
    assert "100%  4/4 videos, 1 clips/s, 0:00 left, 2 skipped" in stream.getvalue()


def test_quiet_writes_nothing_and_a_closed_stream_does_not_stop_the_run():
    stream = Terminal()
    progress = Progress(stream, quiet=True)
    progress.start(4, 2)
    progress.stop()
    assert stream.getvalue() == ""
    stream.close()
    progress = Progress(stream)
    progress.start(4, 2)
    progress.update(3, 0)
    progress.stop()


def test_a_bar_on_a_terminal_without_those_characters_does_not_fail():
    clock = Clock()
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream.isatty = lambda: True
    progress = Progress(stream, clock=clock)
    progress.start(2, 0)
    clock.now += 1
    progress.update(2, 0)
    progress.stop()
    assert b"2/2 videos" in stream.buffer.getvalue()
