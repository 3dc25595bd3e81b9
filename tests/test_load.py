"""What must stay true of reading many videos: order, isolation, bounded memory, nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pebble
import psutil
import pytest
from conftest import ROOT, read_barcode

from vidbench.data import load
from vidbench.data.decode import Limits
from vidbench.data.load import ViewReader, read_views
from vidbench.data.workers import _Lane
from vidbench.records import ConfigError, InputSpec, UnreadableVideo, VideoRecord, Views

SPEC = InputSpec(5, None, (64, 96), (64, 80), (0.5,) * 3, (0.5,) * 3, sampling="uniform", num_clips=2, num_crops=3)
WHOLE = InputSpec(4, None, (96, 128), (96, 128), (0.5,) * 3, (0.5,) * 3, sampling="uniform")


def poisoned(path, spec, **more):
    """A reader that does as the file's name says; stands in for a decoder gone wrong."""
    name = Path(path).name
    if name.startswith("kill-once") and not (mark := Path(path + ".killed")).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("kill."):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("abort."):
        os.abort()
    if name.startswith("exit."):
        os._exit(3)
    if name.startswith("hang."):
        time.sleep(600)
    if name.startswith("deaf."):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM})
        time.sleep(600)
    if name.startswith("eat."):
        return np.ones(4 << 30, np.uint8)
    if name.startswith("bug."):
        raise AttributeError("a mistake of ours")
    if name.startswith("odd."):
        raise ValueError("time stamps nobody has seen before")
    if name.startswith("marked."):
        Path(path + ".begun").touch()
    if name.startswith("modules."):
        loaded = [m for m in ("torch", "tensorflow", "torchvision", "av", "cv2") if m in sys.modules]
        raise UnreadableVideo("no_frames", json.dumps([loaded, sys.modules["__main__"].__dict__.get("__file__")]))
    return read_views(path, spec, **more)


@pytest.fixture(scope="module")
def folder(make_video, tmp_path_factory):
    """Six numbered clips of different length and kind."""
    folder = tmp_path_factory.mktemp("clips")
    for k in range(6):
        suffix, codec = [("mp4", "libx264"), ("avi", "mpeg4"), ("mkv", "libx264")][k % 3]
        make_video(folder / f"{k}.{suffix}", num_frames=9 + 7 * k, codec=codec)
    return folder


def records(folder, names=None, **more) -> list[tuple[int, VideoRecord]]:
    names = sorted(path.name for path in Path(folder).iterdir()) if names is None else names
    return [(k, VideoRecord(f"video {k}", name, **more)) for k, name in enumerate(names)]


def statuses(reader, pairs) -> list[str]:
    return [result.status for _, result in reader.stream(pairs)]


def same(a: Views, b: Views) -> None:
    np.testing.assert_array_equal(a.pixels, b.pixels)
    np.testing.assert_array_equal(a.indices, b.indices)
    assert (a.info, a.status, a.reason) == (b.info, b.status, b.reason)


def test_views_hold_the_frames_that_the_card_asks_for(folder):
    views = read_views(folder / "3.mp4", WHOLE)  # 30 frames, 4 of them
    assert views.pixels.shape == (1, 4, 96, 128, 3)
    assert [read_barcode(frame) for frame in views.pixels[0]] == views.indices[0].tolist() == [3, 11, 18, 26]
    assert set(views.seconds) == {"decode", "transform"}
    assert all(seconds >= 0 for seconds in views.seconds.values())


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_give_the_same_views_in_the_order_given(folder, num_workers):
    pairs = records(folder) * 3
    pairs = [(100 - k, record) for k, (_, record) in enumerate(pairs)]
    with ViewReader(folder, SPEC, num_workers=0) as reader:
        expected = list(reader.stream(pairs))
    with ViewReader(folder, SPEC, num_workers=num_workers) as reader:
        found = list(reader.stream(pairs))
    assert [key for key, _ in found] == [key for key, _ in expected] == [key for key, _ in pairs]
    for (_, a), (_, b) in zip(expected, found, strict=True):
        assert a.pixels.shape == (6, 5, 64, 80, 3)
        same(a, b)


def test_views_own_their_pixels(folder):
    with ViewReader(folder, SPEC, num_workers=1, ahead=1) as reader:
        found = [views for _, views in reader.stream(records(folder))]
    for k, views in enumerate(found):
        name = records(folder)[k][1].path
        np.testing.assert_array_equal(views.pixels, read_views(folder / name, SPEC).pixels)
        views.pixels[:] = 0  # writable, and nobody else's


def test_files_stand_in_where_the_system_has_no_anonymous_memory(folder, monkeypatch, tmp_path):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ViewReader(folder, SPEC, num_workers=2) as reader:
        found = [views for _, views in reader.stream(records(folder))]
        assert list(tmp_path.glob("vidbench-*"))
    for views, (_, record) in zip(found, records(folder), strict=True):
        same(views, read_views(folder / record.path, SPEC))
    assert not list(tmp_path.glob("vidbench-*"))


def test_a_record_that_is_not_ok_is_passed_on_untouched(folder):
    pairs = [(0, VideoRecord("a", "0.mp4", status="duplicate", reason="listed before")), *records(folder, ["0.mp4"])]
    for num_workers in (0, 1):
        with ViewReader(folder, SPEC, num_workers=num_workers) as reader:
            (_, refused), (_, views) = reader.stream(pairs)
        assert (refused.status, refused.reason) == ("duplicate", "listed before")
        assert isinstance(views, Views)


def test_each_bad_video_costs_itself_only(folder, tmp_path):
    names = ["kill.mp4", "abort.mp4", "exit.mp4", "hang.mp4", "eat.mp4", "absent.mp4", "text.mp4"]
    pairs = []
    for k, name in enumerate(names):
        pairs += [
            VideoRecord("good", str(folder / f"{k % 2}.{'mp4' if k % 2 == 0 else 'avi'}")),
            VideoRecord("bad", name),
        ]
        (tmp_path / name).write_text("text")
    (tmp_path / "absent.mp4").unlink()
    limits = Limits(seconds=2, megabytes=800)
    start = time.monotonic()
    with ViewReader(tmp_path, SPEC, num_workers=2, limits=limits, _read=poisoned) as reader:
        found = statuses(reader, enumerate(pairs))
    bad = ["worker_crash", "worker_crash", "worker_crash", "timeout", "memory", "missing", "not_media"]
    assert found == [status for pair in zip(["ok"] * 7, bad, strict=True) for status in pair]
    assert time.monotonic() - start < 60


def test_a_video_that_kills_its_worker_before_that_is_heard_costs_itself_only(folder, tmp_path, monkeypatch):
    """On a full machine the end of a worker may be seen before its word that it took the video."""
    (tmp_path / "kill.mp4").write_text("text")

    def unheard(*_):
        raise BrokenProcessPool("All workers expired")

    monkeypatch.setattr(pebble.pool.process.PoolManager, "find_expired_task", unheard)
    pairs = [VideoRecord("bad", "kill.mp4"), VideoRecord("good", str(folder / "0.mp4"))]
    with ViewReader(tmp_path, SPEC, num_workers=1, _read=poisoned) as reader:
        assert statuses(reader, enumerate(pairs)) == ["worker_crash", "ok"]


def test_a_worker_killed_from_outside_costs_no_video(folder, tmp_path):
    for k in range(6):
        (tmp_path / f"kill-once-{k}.mp4").write_bytes((folder / "0.mp4").read_bytes())
    with ViewReader(tmp_path, SPEC, num_workers=2, _read=poisoned) as reader:
        assert statuses(reader, records(tmp_path)) == ["ok"] * 6


def test_idle_workers_may_be_killed(folder):
    with ViewReader(folder, SPEC, num_workers=2) as reader:
        assert statuses(reader, records(folder)) == ["ok"] * 6
        for child in workers():
            child.kill()
        time.sleep(0.5)
        assert statuses(reader, records(folder)) == ["ok"] * 6


def test_a_worker_that_never_takes_its_video_costs_no_video(folder, monkeypatch):
    """As one does that waits for a lock which a killed one took with it."""
    renewed, renew = [], _Lane.renew

    def at_once_and_only_once(lane):
        monkeypatch.undo()
        renewed.append(lane.ticket)
        renew(lane)

    with ViewReader(folder, SPEC, num_workers=1) as reader:
        assert statuses(reader, records(folder)[:2]) == ["ok"] * 2
        (worker,) = workers()
        worker.suspend()
        monkeypatch.setattr(_Lane, "renew", at_once_and_only_once)
        monkeypatch.setattr("vidbench.data.workers.LOST_S", -Limits().seconds)
        assert statuses(reader, records(folder)[:2]) == ["ok"] * 2
    assert renewed == [None]
    assert not worker.is_running()


def test_a_worker_that_hears_no_signal_is_killed(folder, tmp_path):
    (tmp_path / "deaf.mp4").write_text("text")
    pairs = [*records(tmp_path), (1, VideoRecord("good", str(folder / "0.mp4")))]
    with ViewReader(tmp_path, SPEC, num_workers=1, limits=Limits(seconds=1), _read=poisoned) as reader:
        assert statuses(reader, pairs) == ["timeout", "ok"]


def test_our_own_mistake_is_no_row(folder, tmp_path):
    (tmp_path / "bug.mp4").write_text("text")
    for num_workers in (0, 1):
        with (
            ViewReader(tmp_path, SPEC, num_workers=num_workers, _read=poisoned) as reader,
            pytest.raises(AttributeError, match="a mistake of ours"),
        ):
            list(reader.stream(records(tmp_path)))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_data_that_nobody_thought_of_cost_their_own_row_only(tmp_path, make_video, num_workers):
    (tmp_path / "odd.mp4").write_text("text")
    make_video(tmp_path / "plain.mp4", num_frames=9)
    with ViewReader(tmp_path, SPEC, num_workers=num_workers, _read=poisoned) as reader:
        found = [views for _, views in reader.stream(records(tmp_path))]
    assert [getattr(views, "status", None) for views in found] == ["decode_error", "ok"]
    assert "time stamps nobody has seen" in found[0].reason


def test_workers_that_cannot_start_are_an_error_and_no_rows(folder, monkeypatch):
    monkeypatch.setattr("vidbench.data.workers._start_worker", os._exit)
    with (
        ViewReader(folder, SPEC, num_workers=2) as reader,
        pytest.raises(RuntimeError, match="end before they take a video"),
    ):
        list(reader.stream(records(folder)))


def test_a_slow_video_holds_up_the_order_and_not_the_others(folder, tmp_path):
    (tmp_path / "hang.mp4").write_text("text")
    drawn = []

    def source():
        for k, name in enumerate(["hang.mp4"] + [str(folder / "0.mp4")] * 20):
            drawn.append(k)
            yield k, VideoRecord(str(k), name)

    limits = Limits(seconds=2)
    with ViewReader(tmp_path, SPEC, num_workers=2, limits=limits, ahead=7, _read=poisoned) as reader:
        stream = reader.stream(source())
        assert next(stream)[1].status == "timeout"
        assert len(drawn) == 7  # and no more is drawn, however long the first one takes
        start = time.monotonic()
        assert [views.status for _, views in (next(stream) for _ in range(6))] == ["ok"] * 6
        assert time.monotonic() - start < 1  # they were read meanwhile
        assert len(list(stream)) == 14


def test_a_stream_may_be_left_early_and_another_begun(folder):
    with ViewReader(folder, SPEC, num_workers=2) as reader:
        for _ in range(5):
            stream = reader.stream(records(folder))
            key, views = next(stream)
            stream.close()
            assert (key, views.status) == (0, "ok")
        assert statuses(reader, records(folder)) == ["ok"] * 6
    with pytest.raises(ValueError, match="closed"):
        next(reader.stream([]))


def test_a_stream_goes_no_further_when_its_reader_is_closed(folder):
    reader = ViewReader(folder, SPEC, num_workers=1)
    stream = reader.stream(records(folder))
    next(stream)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        next(stream)


def test_two_streams_at_once_are_refused(folder):
    with ViewReader(folder, SPEC, num_workers=1) as reader:
        first = reader.stream(records(folder))
        next(first)
        with pytest.raises(ValueError, match="another stream"):
            next(reader.stream(records(folder)))
        first.close()


def test_cached_views_are_the_same_and_need_no_decoder(folder, tmp_path, monkeypatch):
    runs = []
    for num_workers in (0, 0, 1):
        with ViewReader(folder, SPEC, num_workers=num_workers, cache_dir=tmp_path / "cache") as reader:
            runs.append([views for _, views in reader.stream(records(folder))])
        monkeypatch.setattr(load, "_make_views", None)
    for first, *others in zip(*runs, strict=True):
        for other in others:
            same(first, other)


def test_the_cache_tells_cards_apart_that_make_other_pixels(folder, tmp_path):
    cache = load.ClipCache(tmp_path)
    first = read_views(folder / "5.mkv", SPEC, cache=cache)
    assert (
        read_views(folder / "5.mkv", dataclasses.replace(SPEC, mean=(0.1,) * 3), cache=cache).seconds["transform"] == 0
    )
    for change in ({"num_frames": 4}, {"sampling": "clips"}, {"resize": 80}, {"num_crops": 1}, {"crop": (60, 80)}):
        other = read_views(folder / "5.mkv", dataclasses.replace(SPEC, **change), cache=cache)
        assert other.pixels.shape != first.pixels.shape or not np.array_equal(other.pixels, first.pixels)


def test_views_over_the_limit_are_refused_before_they_are_made(folder):
    spec = InputSpec(400, None, 200, (200, 200), (0.5,) * 3, (0.5,) * 3, sampling="uniform", num_clips=10)
    with pytest.raises(UnreadableVideo, match="too_large: its views take 458 MB"):
        read_views(folder / "0.mp4", spec, limits=Limits(megabytes=400))


@pytest.mark.parametrize(
    "wrong", [{"num_workers": -1}, {"num_workers": 1, "ahead": 0}, {"num_workers": 1, "decoder": "x"}]
)
def test_wrong_arguments_are_refused_before_any_work(folder, wrong):
    with pytest.raises(ConfigError):
        ViewReader(folder, SPEC, **wrong)


# ---------------------------------------------------------------- processes


def workers(process: psutil.Process | None = None) -> list[psutil.Process]:
    """Living worker processes of a process."""
    found = []
    for child in (process or psutil.Process()).children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.Error:
            continue
    return found


def wait_until(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@pytest.fixture
def users_script(monkeypatch):
    """``__main__`` as it is where a script was started, whatever started these tests."""
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", __file__, raising=False)
    return main


def test_workers_import_neither_torch_nor_the_users_script(folder, tmp_path, users_script):
    (tmp_path / "modules.mp4").write_text("text")
    with ViewReader(tmp_path, SPEC, num_workers=1, _read=poisoned) as reader:
        ((_, answer),) = reader.stream(records(tmp_path))
        (worker,) = workers()
        assert worker.nice() >= 10 or psutil.Process().nice() > 9
    loaded, main = json.loads(answer.reason)
    assert loaded == ["av", "cv2"]
    assert main is None
    assert users_script.__file__ == __file__  # and this process has its script as before


def test_other_threads_see_the_users_script_while_workers_start(folder, users_script):
    """torchvision's import looks at the file of ``__main__``, and an evaluation imports it while workers start."""
    missing, done = [], threading.Event()

    def look():
        while not done.is_set():
            missing.append(users_script.__file__ is None)
            time.sleep(1e-4)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with ViewReader(folder, SPEC, num_workers=2) as reader:
            reader.warm_up()
            assert all(isinstance(views, Views) for _, views in reader.stream(records(folder)))
    finally:
        done.set()
        looking.join()
    assert missing
    assert not any(missing)


SCRIPT = """
    import sys, os, time
    open({marker!r}, "a").write("run\\n")
    sys.path.insert(0, {root!r})
    from vidbench.data.load import ViewReader
    from vidbench.records import InputSpec, VideoRecord
    spec = InputSpec(5, None, (64, 96), (64, 80), (0.5,) * 3, (0.5,) * 3, sampling="uniform")
    reader = ViewReader({folder!r}, spec, num_workers=2)
    pairs = [(k, VideoRecord(str(k), "5.mkv")) for k in range({number})]
    with reader:
        for k, views in reader.stream(pairs):
            assert views.status == "ok", views
            if k == 3:
                print("reading", flush=True)
    print("done", flush=True)
"""


def script(tmp_path, folder, number=100_000) -> tuple[subprocess.Popen, Path]:
    marker, path = tmp_path / "marker", tmp_path / "unguarded.py"
    text = SCRIPT.format(marker=str(marker), root=str(ROOT), folder=str(folder), number=number)
    path.write_text(textwrap.dedent(text))
    process = subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    return process, marker


def test_a_script_without_a_main_guard_runs_once(folder, tmp_path):
    process, marker = script(tmp_path, folder, number=8)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "done" in out
    assert marker.read_text() == "run\n"


def shared_files(processes: list[psutil.Process]) -> set[Path]:
    """Files of shared memory that these processes hold, by their memory maps and open files."""
    names = {mapped.path for process in processes for mapped in process.memory_maps()}
    names |= {opened.path for process in processes for opened in process.open_files()}
    return {Path(name) for name in names if name.startswith(("/dev/shm/", tempfile.gettempdir() + "/"))}


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's list of a process's maps")
def test_the_search_for_shared_memory_sees_a_file_of_it():
    memory = SharedMemory(create=True, size=5000)
    try:
        assert Path("/dev/shm", memory.name.lstrip("/")) in shared_files([psutil.Process()])
    finally:
        memory.close()
        memory.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's list of a process's maps")
def test_a_killed_parent_leaves_neither_workers_nor_shared_memory(folder, tmp_path):
    process, _ = script(tmp_path, folder)
    assert process.stdout.readline() == "reading\n"
    children = workers(psutil.Process(process.pid))
    assert len(children) == 2
    held = {path for path in shared_files([psutil.Process(process.pid), *children]) if folder not in path.parents}
    process.kill()
    process.wait()
    assert wait_until(lambda: not any(child.is_running() for child in children), 5)
    assert wait_until(lambda: not any(path.exists() for path in held), 5)


def test_ctrl_c_ends_parent_and_workers_within_five_seconds(folder, tmp_path):
    process, _ = script(tmp_path, folder)
    assert process.stdout.readline() == "reading\n"
    children = workers(psutil.Process(process.pid))
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - start < 5
    assert wait_until(lambda: not any(child.is_running() for child in children), 1)
    assert err.count("KeyboardInterrupt") == 1  # the parent's; workers say nothing
    assert "done" not in out


def test_leaving_the_reader_ends_its_workers_in_the_midst_of_work(folder, tmp_path):
    (tmp_path / "hang.mp4").write_text("text")
    with ViewReader(tmp_path, SPEC, num_workers=2, _read=poisoned) as reader:
        stream = reader.stream([(0, VideoRecord("good", str(folder / "0.mp4"))), *records(tmp_path)])
        next(stream)
        children = workers()
        assert children
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


@pytest.mark.slow
def test_memory_stays_the_same_however_many_videos_are_read(folder):
    """Peak of this process and its workers over 100 and over 1,000 videos."""

    def peak(reader, number):
        this, most = psutil.Process(), 0
        for k, views in reader.stream((k, VideoRecord(str(k), "0.mp4")) for k in range(number)):
            assert views.status == "ok"
            if k % 20 == 0:
                most = max(most, sum(process.memory_info().rss for process in [this, *workers()]))
        return most

    with ViewReader(folder, SPEC, num_workers=2) as reader:
        few = peak(reader, 100)
        handles = psutil.Process().num_fds()
        many = peak(reader, 1000)
        assert psutil.Process().num_fds() <= handles + 2
    assert many < 1.1 * few


def test_pixels_are_put_where_the_caller_wants_them(folder):
    given = []

    def allocate(shape):
        given.append(np.empty(shape, np.uint8))
        return given[-1]

    with ViewReader(folder, SPEC, num_workers=1, allocate=allocate, ahead=2) as reader:
        found = [views for _, views in reader.stream(records(folder))]
    assert all(views.pixels is mine for views, mine in zip(found, given, strict=True))
    for (_, record), views in zip(records(folder), found, strict=True):
        np.testing.assert_array_equal(views.pixels, read_views(folder / record.path, SPEC).pixels)


def test_no_memory_for_pixels_is_an_error_and_takes_no_slot_away(folder):
    refused = []

    def allocate(shape):
        if len(refused) < 5:  # more often than one worker has slots
            refused.append(shape)
            raise MemoryError("no room")
        return np.empty(shape, np.uint8)

    with ViewReader(folder, SPEC, num_workers=1, allocate=allocate) as reader:
        while len(refused) < 5:
            with pytest.raises(MemoryError, match="no room"):
                list(reader.stream(records(folder, ["0.mp4"])))
        assert statuses(reader, records(folder)) == ["ok"] * 6


def test_a_worker_reads_on_while_pixels_are_copied(folder, tmp_path):
    for k in range(2):
        shutil.copy(folder / "0.mp4", tmp_path / f"marked.{k}.mp4")
    begun, waited = tmp_path / "marked.1.mp4.begun", []

    def allocate(shape):
        until = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.01)
        waited.append(begun.exists())
        return np.empty(shape, np.uint8)

    with ViewReader(tmp_path, SPEC, num_workers=1, allocate=allocate, _read=poisoned) as reader:
        assert statuses(reader, records(tmp_path, ["marked.0.mp4", "marked.1.mp4"])) == ["ok"] * 2
    assert waited == [True, True]


def test_slots_hold_videos_of_any_size_one_after_the_other(folder):
    specs = [dataclasses.replace(SPEC, num_clips=1, num_crops=1), SPEC]
    with ViewReader(folder, specs[0], num_workers=1, ahead=1) as reader:
        for spec in (specs[0], specs[1], specs[0]):  # the one slot grows, and is used again for less
            reader.spec = spec
            ((_, views),) = reader.stream(records(folder, ["1.avi"]))
            same(views, read_views(folder / "1.avi", spec))


def test_workers_that_are_started_early_read_like_others_and_end_with_the_reader(folder):
    me = psutil.Process()
    before = set(me.children())
    with ViewReader(folder, SPEC, num_workers=2) as reader:
        reader.warm_up()
        until = time.monotonic() + 60
        while len(set(me.children()) - before) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        early = set(me.children()) - before
        ((_, views),) = reader.stream(records(folder, ["0.mp4"]))
        assert set(me.children()) - before == early
    same(views, read_views(folder / "0.mp4", SPEC))
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in early)
