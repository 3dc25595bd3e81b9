import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from vidbench.data import cache
from vidbench.data.cache import ClipCache, read_array, remove_debris
from vidbench.records import CacheError

KEY = hashlib.sha256(b"entry").hexdigest()
STORED = {"indices": [[0, 3]], "status": "ok", "reason": ""}


def clip(seed=0, shape=(2, 5, 7, 9, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def filled(tmp_path):
    entries = ClipCache(tmp_path / "clips")
    assert entries.put(KEY, clip(), STORED)
    return entries


def files(entries) -> dict:
    return {path.suffix: path for path in (entries.folder / KEY[:2]).iterdir()}


# --- what goes in comes out


def test_a_clip_comes_back_as_it_was_and_cannot_be_changed(filled):
    array, stored = filled.get(KEY)
    assert (array == clip()).all()
    assert array.dtype == np.uint8
    assert stored == STORED
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0, 0, 0] = 1


def test_numpy_reads_the_file_too(filled):
    assert (np.load(files(filled)[".npy"], allow_pickle=False) == clip()).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 4, 5), (1, 16, 12, 11, 3), (2, 1, 1, 1, 1, 7)])
def test_any_shape_comes_back(tmp_path, shape):
    entries = ClipCache(tmp_path)
    assert entries.put(KEY, clip(1, shape), {})
    assert (entries.get(KEY)[0] == clip(1, shape)).all()
    turned = clip(1, shape).T
    assert entries.put(KEY, turned, {})
    assert (entries.get(KEY)[0] == turned).all()


def test_nothing_is_made_before_the_first_put(tmp_path):
    entries = ClipCache(tmp_path / "clips")
    assert entries.get(KEY) is None
    assert not (tmp_path / "clips").exists()


@pytest.mark.parametrize("array", [clip().astype(np.float32), np.zeros((0, 3), np.uint8), np.zeros(3, np.uint8)])
def test_only_pixels_go_in(tmp_path, array):
    with pytest.raises(ValueError, match="uint8 arrays with pixels"):
        ClipCache(tmp_path).put(KEY, array, {})


def test_a_key_is_never_a_path(tmp_path):
    for key in ("../../etc/passwd", "", "A" * 64, KEY + "/x"):
        with pytest.raises(ValueError, match="no key"):
            ClipCache(tmp_path).get(key)


# --- the key covers all that shapes pixels


def test_the_key_changes_with_each_thing_that_shapes_pixels_and_with_nothing_else(tmp_path):
    entries, video = ClipCache(tmp_path), tmp_path / "a.mp4"
    video.write_bytes(b"first" * 1000)
    geometry = {"num_frames": 16, "resize": (128, 171), "crop": (112, 112)}
    key = entries.key(video, geometry, "av 18")
    moved = tmp_path / "another name.avi"
    moved.write_bytes(b"first" * 1000)
    os.utime(moved, (1, 1))
    assert entries.key(moved, dict(reversed(geometry.items())), "av 18") == key
    assert entries.key(video, {**geometry, "num_frames": 8}, "av 18") != key
    assert entries.key(video, geometry, "av 19") != key
    video.write_bytes(b"First" + b"first" * 999)
    os.utime(video, (1, 1))
    assert entries.key(video, geometry, "av 18") != key, "same size and date, other bytes"


def test_the_key_changes_with_our_own_rules(tmp_path, monkeypatch):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x")
    key = ClipCache(tmp_path).key(video, {}, "av")
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_sha256_of_rules", lambda: "other sources")
        assert ClipCache(tmp_path).key(video, {}, "av") != key
    with monkeypatch.context() as patch:
        patch.setattr(cache, "resize_backend", lambda: "another")
        assert ClipCache(tmp_path).key(video, {}, "av") != key
    assert all((cache.Path(cache.__file__).parent / name).is_file() for name in cache.SHAPING)


def test_what_is_no_readable_file_has_no_key_and_is_not_waited_for(tmp_path):
    entries = ClipCache(tmp_path / "clips")
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("absent.mp4", "pipe.mp4", ".", "nul\0.mp4"):
        key = entries.key(f"{tmp_path}/{name}", {}, "av")
        assert key is None
    assert entries.get(None) is None
    assert entries.put(None, clip(), {}) is False


# --- damage is found, logged, removed and made anew


def rewrite_side(entries, **changes):
    path = files(entries)[".json"]
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def flip_bit(entries):
    path = files(entries)[".npy"]
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "one bit": flip_bit,
    "cut": lambda e: os.truncate(files(e)[".npy"], 500),
    "emptied": lambda e: os.truncate(files(e)[".npy"], 0),
    "longer": lambda e: files(e)[".npy"].write_bytes(files(e)[".npy"].read_bytes() + b"x"),
    "another clip": lambda e: np.save(files(e)[".npy"], clip(9)),
    "floats": lambda e: np.save(files(e)[".npy"], clip().astype(np.float32)),
    "side cut": lambda e: os.truncate(files(e)[".json"], 30),
    "side emptied": lambda e: os.truncate(files(e)[".json"], 0),
    "side no object": lambda e: files(e)[".json"].write_text("[1]"),
    "side deep": lambda e: files(e)[".json"].write_text("[" * 100_000),
    "side no text": lambda e: files(e)[".json"].write_bytes(b"\xff\xfe{"),
    "later form": lambda e: rewrite_side(e, schema=99),
    "other settings": lambda e: rewrite_side(e, settings={"key": "0" * 64}),
    "no settings": lambda e: rewrite_side(e, settings={}),
    "other shape": lambda e: rewrite_side(e, shape=[5, 2, 7, 9, 3]),
    "other hash": lambda e: rewrite_side(e, sha256="0" * 64),
    "stored no object": lambda e: rewrite_side(e, stored=[1]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_entry_is_logged_removed_and_made_anew(filled, kind, caplog):
    DAMAGE[kind](filled)
    assert filled.get(KEY) is None
    assert "made anew" in caplog.text
    assert not list((filled.folder / KEY[:2]).iterdir())
    assert filled.put(KEY, clip(), STORED)
    assert (filled.get(KEY)[0] == clip()).all()


def test_an_entry_without_its_side_file_does_not_exist_yet(filled, caplog):
    files(filled)[".json"].unlink()
    assert filled.get(KEY) is None
    assert not caplog.text
    assert ".npy" in files(filled), "another process may be about to write the side file"


def test_an_entry_under_another_name_is_not_taken_for_it(filled):
    other = hashlib.sha256(b"other").hexdigest()
    folder = filled.folder / other[:2]
    folder.mkdir(exist_ok=True)
    for suffix, path in files(filled).items():
        path.rename(folder / f"{other}{suffix}")
    assert filled.get(other) is None


def test_a_bare_array_can_be_checked_by_header_and_size_alone(filled):
    path = files(filled)[".npy"]
    assert (read_array(path) == clip()).all()
    assert (read_array(path, files(filled)[".json"], settings={"key": KEY}) == clip()).all()
    with pytest.raises(CacheError, match="other settings"):
        read_array(path, files(filled)[".json"])
    with pytest.raises(FileNotFoundError):
        read_array(path.with_suffix(".none"))


# --- writing


def test_a_full_disk_costs_the_entry_and_not_the_run(tmp_path):
    code = """
import logging, resource, signal, sys
import numpy as np
from vidbench.data.cache import ClipCache
logging.basicConfig(level="WARNING")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
entries = ClipCache(sys.argv[1])
print(entries.put("a" * 64, np.zeros((20_000, 2), np.uint8), {}), entries.get("a" * 64))
print(entries.put("c" * 64, np.zeros((20_000, 2), np.uint8), {}), "again")
print(entries.put("b" * 64, np.zeros((20, 2), np.uint8), {}), entries.get("b" * 64)[0].shape)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["False None", "False again"], done.stderr
    assert done.stdout.split("\n")[2] == "True (20, 2)"
    assert done.stderr.count("takes no more") == 1  # not once for each clip
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_that_cannot_be_made_costs_the_entry_and_not_the_run(tmp_path, caplog):
    (tmp_path / "clips").write_text("a file")
    entries = ClipCache(tmp_path / "clips")
    assert entries.put(KEY, clip(), {}) is False
    assert "takes no more" in caplog.text
    assert entries.get(KEY) is None


def test_old_debris_is_cleared_and_young_debris_and_locks_are_left_alone(filled):
    folder = filled.folder / KEY[:2]
    day = cache.DAY_S
    for name, age in (
        (".clip.npy.tmp.99999.deadbeef", 2 * day),
        (f".{KEY}.npy-x1.tmp", 60),
        ("clip.npy.lock", 2 * day),
    ):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - age,) * 2)
    start = time.monotonic()
    assert filled.get(KEY) is not None
    assert filled.put(KEY, clip(), STORED)
    assert time.monotonic() - start < 5
    left = {path.name for path in folder.iterdir()}
    assert left == {f"{KEY}.npy", f"{KEY}.json", f".{KEY}.npy-x1.tmp", "clip.npy.lock"}
    assert remove_debris(folder, older_than_s=0) == 1


def _write_often(folder, seed, until):
    entries = ClipCache(folder)
    while time.monotonic() < until:
        entries.put(KEY, clip(seed), {"seed": seed})


def test_writers_of_one_entry_never_show_a_reader_a_mixture(tmp_path):
    # two clips under one key cannot happen with real keys; here it makes a mixture visible
    context = multiprocessing.get_context("spawn")
    until = time.monotonic() + 6
    writers = [context.Process(target=_write_often, args=(tmp_path, seed, until)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    entries, seen = ClipCache(tmp_path), {1: 0, 2: 0}
    while time.monotonic() < until:
        found = entries.get(KEY)
        if found is not None:
            seed = found[1]["seed"]
            assert (found[0] == clip(seed)).all()
            seen[seed] += 1
    for writer in writers:
        writer.join(20)
        assert writer.exitcode == 0
    assert sum(seen.values()) > 20


def test_threads_that_make_the_same_entry_leave_one(tmp_path):
    entries = ClipCache(tmp_path)
    threads = [threading.Thread(target=entries.put, args=(KEY, clip(), STORED)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files(entries)) == 2
    assert (entries.get(KEY)[0] == clip()).all()


def test_a_killed_writer_leaves_a_whole_entry_or_none(tmp_path):
    code = """
import sys, numpy as np
from vidbench.data.cache import ClipCache
entries, array = ClipCache(sys.argv[1]), np.full((40, 100, 100, 3), 7, np.uint8)
print("ready", flush=True)
while True:
    for number in range(16):
        entries.put(f"{number:064x}", array, {})
"""
    for trial in range(6):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(0.05 + 0.03 * trial)
        child.kill()
        child.wait()
        child.stdout.close()
    entries = ClipCache(tmp_path)
    found = [entries.get(f"{number:064x}") for number in range(16)]
    assert any(found)
    assert all(entry is None or (entry[0] == 7).all() for entry in found)


def test_the_cache_never_evaluates_a_header(tmp_path):
    path = tmp_path / "code.npy"
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"x" * 64)
    with pytest.raises(CacheError, match="another header"):
        read_array(path)


# --- what it will take, and how much it may


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def folder_bytes(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "limit.json")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_clips": 5, "num_crops": 3},
        {"sampling": "uniform", "frame_rate": None, "num_frames": 7},
        {"num_frames": 0, "sampling": "stream", "frame_rate": 5.0},
    ],
    ids=str,
)
def test_the_size_on_disk_is_known_before_anything_is_read(make_video, tmp_path, changes):
    from vidbench.data.load import read_views
    from vidbench.records import InputSpec

    third = (0.5, 0.5, 0.5)
    spec = InputSpec(**{"num_frames": 16, "frame_rate": 12.5, "resize": 64, "crop": (56, 48), "mean": third} | changes
                     | {"std": third})  # fmt: skip
    path = make_video(tmp_path / "a.mp4", num_frames=50, frame_rate=25)
    views = read_views(path, spec, cache=ClipCache(tmp_path / "clips"))
    assert not views.pixels.flags.writeable or views.pixels.dtype == np.uint8
    taken = folder_bytes(tmp_path / "clips")
    assert taken == pytest.approx(cache.predict_bytes(spec, num_frames=50, frame_rate=25.0), abs=100)


def test_the_least_recently_used_goes_first(tmp_path):
    entries = ClipCache(tmp_path)
    array = clip(3, (1, 2, 20, 30, 3))
    for number in range(6):
        assert entries.put(key_of(number), array, {})
        stamp = 1_000_000 + number
        for path in entries._paths(key_of(number)):
            os.utime(path, (stamp, stamp))
    assert entries.get(key_of(1)) is not None  # used now
    each = folder_bytes(tmp_path) // 6
    entries.set_limit(4 * each + 50)
    assert [n for n in range(6) if entries.get(key_of(n)) is not None] == [1, 3, 4, 5]
    for number in (4, 5, 3, 1):
        entries.get(key_of(number))
        time.sleep(0.01)
    assert entries.put(key_of(9), array, {})
    assert [n for n in (1, 3, 4, 5, 9) if entries.get(key_of(n)) is not None] == [1, 3, 5, 9]


@pytest.mark.parametrize("region_bytes", [1 << 30, 1 << 13])
def test_the_limit_holds_whatever_is_written_and_another_process_keeps_to_it_too(tmp_path, monkeypatch, region_bytes):
    monkeypatch.setattr(cache, "REGION_BYTES", region_bytes)
    ClipCache(tmp_path).set_limit(100_000)
    rng = np.random.default_rng(6)
    kept = 0
    for number in range(150):
        entries = ClipCache(tmp_path)  # as each video's worker makes its own
        kept += entries.put(key_of(number), clip(number, (1, int(rng.integers(1, 9)), 12, 14, 3)), {})
        assert folder_bytes(tmp_path) <= 100_000
    assert kept == 150
    assert folder_bytes(tmp_path) > 50_000
    assert sum(entry.num_bytes for entry in ClipCache(tmp_path).entries()) == folder_bytes(tmp_path)


def test_an_entry_over_the_limit_is_not_kept_and_nothing_is_removed_for_it(filled, caplog):
    filled.set_limit(folder_bytes(filled.folder) + 10)
    assert not filled.put(key_of(1), clip(0, (1, 9, 50, 50, 3)), {})
    assert "is not kept" in caplog.text
    assert filled.get(KEY) is not None


def test_arrays_that_a_killed_process_left_count_and_go_too(filled):
    files(filled)[".json"].unlink()
    (entry,) = filled.entries()
    assert entry.num_bytes == files(filled)[".npy"].stat().st_size
    filled.set_limit(100)
    assert filled.entries() == []


def test_a_limit_is_taken_back_and_an_unusable_one_is_none(filled, caplog):
    with pytest.raises(ValueError, match="at least 1 byte"):
        filled.set_limit(0)
    filled.set_limit(10**9)
    assert ClipCache(filled.folder).limit == 10**9
    filled.set_limit(None)
    assert filled.limit is None
    for text in ("", "[1]", '{"most_bytes": "all"}', '{"most_bytes": true}'):
        (filled.folder / "limit.json").write_text(text)
        assert filled.limit is None
    assert "no limit" in caplog.text
    assert filled.put(key_of(1), clip(), {})


@pytest.mark.parametrize("limit", [1, 2**30, 2**31, 10**10, 10**11, 10**12, 10**14])
def test_regions_share_all_folders(limit):
    regions = cache._regions(limit)
    assert [number for region in regions for number in region] == list(range(256))
    assert len({len(region) for region in regions}) == 1
    assert len(regions) == 1 or limit // len(regions) >= cache.REGION_BYTES
    assert len(regions) == 256 or limit // len(regions) < 2 * cache.REGION_BYTES


# --- what lies in it


THIRD = (0.5, 0.5, 0.5)


def read_into(folder, paths, dataset: str, **changes):
    from vidbench.data.load import ViewReader
    from vidbench.records import InputSpec, VideoRecord

    spec = InputSpec(**{"num_frames": 4, "frame_rate": 12.5, "resize": 64, "crop": (56, 48)} | changes,
                     mean=THIRD, std=THIRD)  # fmt: skip
    records = [VideoRecord(path.stem, path.name) for path in paths]
    with ViewReader(paths[0].parent, spec, num_workers=0, cache_dir=folder, dataset=dataset) as reader:
        return [views for _, views in reader.stream(enumerate(records))]


@pytest.fixture(scope="module")
def three_videos(make_video, tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [make_video(folder / f"{number}.mp4", num_frames=20 + number) for number in range(3)]


def test_the_holdings_are_told_by_dataset_and_geometry_and_add_up(three_videos, tmp_path):
    read_into(tmp_path / "c", three_videos, "ucf101")
    read_into(tmp_path / "c", three_videos[:2], "ucf101", crop=(32, 40), num_clips=3)
    read_into(tmp_path / "c", three_videos[:1], "hmdb51", num_frames=0, sampling="stream", frame_rate=5.0)
    rows = ClipCache(tmp_path / "c").holdings()
    assert {(row.dataset, row.geometry): row.num_clips for row in rows} == {
        ("ucf101", "4 frames at 12.5 fps by clips, short side 64, crop 56x48"): 3,
        ("ucf101", "4 frames at 12.5 fps by clips, short side 64, crop 32x40, 3 views"): 2,
        ("hmdb51", "all frames at 5 fps by stream, short side 64, crop 56x48"): 1,
    }
    assert sum(row.num_bytes for row in rows) == folder_bytes(tmp_path / "c")
    assert [row.num_bytes for row in rows] == sorted((row.num_bytes for row in rows), reverse=True)


def test_a_worker_notes_the_dataset_too(three_videos, tmp_path):
    from vidbench.data.load import ViewReader
    from vidbench.records import InputSpec, VideoRecord

    spec = InputSpec(4, 12.5, 64, (56, 48), THIRD, THIRD)
    with ViewReader(three_videos[0].parent, spec, num_workers=1, cache_dir=tmp_path / "c", dataset="ssv2") as reader:
        list(reader.stream([(0, VideoRecord("0", three_videos[0].name))]))
    assert [row.dataset for row in ClipCache(tmp_path / "c").holdings()] == ["ssv2"]


def test_two_datasets_share_the_entry_of_a_shared_video(three_videos, tmp_path):
    (first,) = read_into(tmp_path / "c", three_videos[:1], "kinetics400")
    (second,) = read_into(tmp_path / "c", three_videos[:1], "kinetics600")
    assert (first.pixels == second.pixels).all()
    assert [(row.dataset, row.num_clips) for row in ClipCache(tmp_path / "c").holdings()] == [("kinetics400", 1)]


def test_an_entry_from_before_is_still_good_and_told_by_its_shape(filled):
    side = json.loads(files(filled)[".json"].read_text())
    del side["made_for"]
    files(filled)[".json"].write_text(json.dumps(side))
    assert (filled.get(KEY)[0] == clip()).all()
    (row,) = filled.holdings()
    assert (row.dataset, row.geometry, row.num_clips) == ("not known", "5 frames, 7x9, 2 views", 1)


def test_the_last_use_is_the_youngest_of_its_entries(filled):
    side = files(filled)[".json"]
    os.utime(side, (1000, 1000))
    assert filled.holdings()[0].used_s == 1000
    before = time.time()
    filled.get(KEY)
    assert filled.holdings()[0].used_s >= before - 1


@pytest.mark.parametrize(
    ("changes", "geometry"),
    [
        ({"made_for": ["ucf101", {"num_frames": "x"}]}, "5 frames"),
        ({"made_for": 5}, "5 frames"),
        ({"made_for": ["a\x1b[2J", {}]}, "5 frames"),
        ({"made_for": [["a"], {}]}, "5 frames"),
        ({"shape": "wide"}, "damaged"),
        ({"shape": [1]}, "damaged"),
    ],
    ids=str,
)
def test_whatever_a_side_file_says_is_told_and_counted(filled, changes, geometry):
    rewrite_side(filled, **changes)
    (row,) = filled.holdings()
    assert row.geometry.startswith(geometry)
    assert "\x1b" not in row.dataset
    assert row.num_bytes == folder_bytes(filled.folder)


def test_half_an_entry_is_told_as_unfinished(filled):
    files(filled)[".json"].unlink()
    (row,) = filled.holdings()
    assert row.geometry.startswith("unfinished")


def test_the_table_says_sizes_use_and_limit(filled, tmp_path):
    filled.set_limit(10**9)
    text = cache.describe_holdings(filled)
    size = cache.megabytes(folder_bytes(filled.folder))
    assert text.splitlines()[0].endswith(f": 1 clip, {size}, limit 1 GB")
    assert "5 frames, 7x9, 2 views" in text
    assert time.strftime("%Y-%m-%d", time.localtime()) in text
    none = cache.describe_holdings(ClipCache(tmp_path / "none"))
    assert none.endswith("none (no such folder yet): 0 clips, 0 bytes, no limit")
    assert not (tmp_path / "none").exists()


def cache_script(*words):
    script = cache.Path(__file__).resolve().parents[1] / "scripts" / "cache.py"
    return subprocess.run([sys.executable, str(script), *map(str, words)], capture_output=True, text=True, timeout=60)


def test_the_program_lists_a_folder_and_sets_its_limit(filled):
    done = cache_script("--cache-dir", filled.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == cache.describe_holdings(filled) + "\n"
    assert "no limit" in done.stdout
    done = cache_script("--cache-dir", filled.folder, "--most-gb", "0.000001")
    assert done.stdout.endswith("0 clips, 0 bytes, limit 1 kB\n")
    assert filled.get(KEY) is None
    assert cache_script("--cache-dir", filled.folder, "--no-limit").stdout.endswith("no limit\n")
    assert filled.limit is None


def test_the_programs_mistakes_are_a_sentence_each(tmp_path):
    (tmp_path / "file").write_text("")
    for words, said in (
        (["--cache-dir", tmp_path / "file"], "is no folder"),
        (["--cache-dir", "/proc/absent", "--most-gb", 1], "cannot be made or written to"),
        (["--no-limit", "--most-gb", 1], "say opposite things"),
        (["--most-gb", "-1"], "must be a number above 0"),
    ):
        done = cache_script(*words)
        assert done.returncode == 2
        assert said in done.stderr.splitlines()[0]
        assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
