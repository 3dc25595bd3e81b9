"""A run on a Ray cluster is the run of one machine, byte by byte, whatever is killed on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from test_evaluate import MODEL, RESULTS, ROOT, bytes_of, config, mixed_folder, rows_of  # noqa: F401 - a fixture

from vidbench import engines, evaluate, remote
from vidbench.data.load import read_views
from vidbench.distribute import Decoder, OnRay, Predictor, _raise_told, pack_views, unpack_views
from vidbench.plan import make_plan
from vidbench.records import ConfigError, RunError, UnreadableVideo, VideoInfo, Views, WeightsError
from vidbench.runs import read_json, read_rows

pyarrow = pytest.importorskip("pyarrow")
FAST = {"model": "mini2d.vidmini_v1", "limit": 60, "batch_size": 2}


def on_ray(tmp_path, address, **changed):
    return config(tmp_path, engine="ray", ray_address=address, **{**FAST, **changed})


@pytest.fixture(scope="module")
def cluster():
    """Two machines of one core each, played by this one; a lost one is noticed within seconds, a slow one is kept."""
    pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    seen = {"health_check_initial_delay_ms": 5000, "health_check_period_ms": 1000, "health_check_timeout_ms": 20000,
            "health_check_failure_threshold": 3}  # fmt: skip
    one = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 150 * 2**20}
    try:
        made = Cluster(initialize_head=True, head_node_args={**one, "_system_config": seen})
    except Exception:  # Ray gives its processes 30 s to start, which a very busy machine may need twice
        made = Cluster(initialize_head=True, head_node_args={**one, "_system_config": seen})
    made.add_node(num_cpus=1, object_store_memory=150 * 2**20)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same evaluation on one machine without Ray."""
    return bytes_of(evaluate.evaluate(config(tmp_path_factory.mktemp("alone"), **FAST)).run_folder)


class Progress:
    """Calls ``act`` once, when a run has so many rows."""

    def __init__(self, at: int, act):
        self.at, self.act = at, act

    def start(self, *_):
        pass

    def update(self, done, skipped):
        if self.act and done >= self.at:
            act, self.act = self.act, None
            act()

    def stop(self):
        pass


def interrupt():
    raise KeyboardInterrupt


# ---------------------------------------------------------------- on a cluster


@pytest.mark.slow
def test_two_machines_give_the_rows_of_one_and_continue_what_it_began(cluster, tmp_path, mixed_folder):  # noqa: F811
    wanted = {"dataset": "folder", "data_dir": str(mixed_folder), "label_map": "names", "limit": None}
    local = evaluate.evaluate(config(tmp_path, **{**FAST, **wanted}, run_name="local"))
    assert {row["status"] for row in rows_of(local.run_folder)} >= {"ok", "empty", "not_media", "not_regular"}
    begun = evaluate.evaluate(config(tmp_path, **{**FAST, **wanted}), progress=Progress(4, interrupt))
    assert (begun.exit_status, len(rows_of(begun.run_folder))) == (130, 4)
    outcome = engines.run(on_ray(tmp_path, cluster.address, **wanted))
    assert bytes_of(outcome.run_folder) == bytes_of(local.run_folder)
    timing = read_json(outcome.run_folder / "manifest.json")["timing"]
    assert (timing["nodes"], timing["decoders"], timing["predictors"], timing["sessions"]) == (2, 2, 2, 2)
    assert timing["num_videos"] == local.metrics["n_ok"]
    assert engines.run(on_ray(tmp_path, cluster.address, **wanted)).metrics == outcome.metrics


@pytest.mark.slow
def test_a_cluster_and_two_processes_continue_each_other_on_an_object_store(cluster, tmp_path, alone, monkeypatch):
    address = (tmp_path / "store").as_uri()
    monkeypatch.setattr(remote, "PIECE_S", 0.0)
    begun = engines.run(on_ray(tmp_path, cluster.address, results_dir=address), progress=Progress(8, interrupt))
    pieces = (tmp_path / "store" / "run" / "pieces").glob("*.jsonl")
    sent = sum(piece.read_bytes().count(b"\n") for piece in pieces)
    assert (begun.exit_status, begun.run_folder) == (130, f"{address}/run")
    assert 8 <= sent < 60
    assert not (tmp_path / "store" / "run" / "rows.jsonl").exists()
    went_on = []
    progress = Progress(0, lambda: None)
    progress.start = lambda total, done=0, skipped=0: went_on.append(done)
    outcome = engines.run(
        config(tmp_path, **FAST, device="auto", devices="cpu,cpu", precision="fp32", results_dir=address),
        progress=progress,
    )
    assert went_on == [sent]
    assert bytes_of(tmp_path / "store" / "run") == alone
    assert "nothing was run" in engines.run(on_ray(tmp_path, cluster.address, results_dir=address)).summary
    assert outcome.run_folder == f"{address}/run"


def command(*extra: str) -> list[str]:
    values = {"model": FAST["model"], "dataset": "vidmini", "data-dir": str(ROOT / "data" / "vidmini"), "limit": "60",
              "batch-size": "2", "device": "cpu", "precision": "fp32", "engine": "ray", "run-name": "run"}  # fmt: skip
    words = [word for name, value in values.items() for word in (f"--{name}", value)]
    return [sys.executable, str(ROOT / "scripts" / "evaluate.py"), *words, "--no-cache", *extra]


@pytest.mark.slow
def test_a_killed_program_leaves_no_process_and_continues_to_the_same_bytes(cluster, tmp_path, alone):
    process = subprocess.Popen(command(), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows = tmp_path / "results" / "run" / "rows.jsonl"
    until = time.monotonic() + 150
    while time.monotonic() < until and not (rows.exists() and rows.read_bytes().count(b"\n") >= 10):
        assert process.poll() is None
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    started = [child for child in started if "Agent" not in child.name()]  # two of Ray's own leave some minutes later
    process.kill()
    process.wait()
    assert 10 <= len(read_rows(rows)[0]) < 60
    assert len(started) > 5  # its own cluster and that one's actors
    _, left = psutil.wait_procs(started, timeout=60)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
    done = subprocess.run(command("--ray-address", cluster.address), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert bytes_of(tmp_path / "results" / "run") == alone
    assert [line for line in done.stderr.splitlines() if " videos" not in line] == []  # progress, and no word of Ray's
    assert done.stdout.startswith("model ")


@pytest.mark.slow
def test_a_mistake_is_one_sentence_before_anything_is_written(cluster, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        engines.run(on_ray(tmp_path, cluster.address, weights=str(tmp_path / "bad.safetensors")))
    with pytest.raises(ConfigError, match="has no GPU; leave out --device cuda"):
        engines.run(on_ray(tmp_path, cluster.address, device="cuda"))
    assert not (tmp_path / "results" / "run").exists()


@pytest.mark.slow
def test_a_folder_that_goes_away_ends_the_job_with_one_sentence(cluster, tmp_path, mixed_folder, monkeypatch, capfd):  # noqa: F811
    begin = OnRay.begin

    def away(self, run):
        begin(self, run)
        mixed_folder.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(OnRay, "begin", away)
    wanted = {"dataset": "folder", "data_dir": str(mixed_folder), "label_map": "names", "limit": None}
    with pytest.raises(
        RunError, match=r"has no folder .*videos: every machine of the cluster needs the videos"
    ) as told:
        engines.run(on_ray(tmp_path, cluster.address, **wanted))
    assert "Traceback" not in str(told.value) + capfd.readouterr().err


@pytest.mark.slow
def test_a_machine_lost_in_the_middle_costs_no_row(cluster, tmp_path, alone):
    def lose():
        victim = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)
        cluster.remove_node(victim, allow_graceful=False)

    progress = Progress(10, lose)
    outcome = engines.run(on_ray(tmp_path, cluster.address), progress=progress)
    assert progress.act is None
    assert bytes_of(outcome.run_folder) == alone


# ---------------------------------------------------------------- without one


def test_an_address_without_a_cluster_is_named_at_once(tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"No Ray cluster answers at 127\.0\.0\.1:9 \(.*refused\).*ray start --head"):
        engines.run(on_ray(tmp_path, "127.0.0.1:9"))
    assert time.monotonic() - began < 30
    assert not (tmp_path / "results" / "run").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ray_address": "somewhere"}, "--ray-address must be auto or HOST:PORT, not 'somewhere'"),
        (
            {"ray_address": "ray://head:10001"},
            "Ray Data does not run over ray://. Make this machine part of the cluster",
        ),
        ({"engine": "local", "ray_address": "auto"}, "--ray-address is for --engine ray, which was not given"),
        ({"num_workers": 0}, "--num-workers must be at least 1 with --engine ray"),
        ({"device": "cuda:1"}, "--device must be auto, cpu or cuda with --engine ray"),
        ({"engine": "rai"}, "--engine must be one of local, ray, not 'rai'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, changed, words):
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(ConfigError, match=words):
        engines.run(config(tmp_path, **{"engine": "ray", **changed}))


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    with pytest.raises(ConfigError, match=r"--engine ray is not installed here: pip install 'vidbench\[ray\]'"):
        engines.run(config(tmp_path, engine="ray"))


def test_evaluate_alone_does_not_pass_over_another_engine(tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(ConfigError, match=r"are for vidbench\.engines\.run"):
        evaluate.evaluate(config(tmp_path, engine="ray"))


def crash_on_the_second(path, *args, **options):
    if Path(path).name.startswith("two"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_views(path, *args, **options)


def actors(tmp_path, folder):
    """The two actors as plain objects, and the records of a folder with two classes."""
    asked = config(tmp_path, dataset="folder", data_dir=str(folder), label_map="names", limit=None, batch_size=3)
    plan = make_plan(asked.checked())
    bare = evaluate.dataclasses.replace(plan, records=[])
    return Decoder(asked, bare, {}), Predictor(asked, bare, {}, "1"), list(enumerate(plan.records))


def table_of(records):
    from vidbench.distribute import _pack_records

    return pyarrow.table({"records": [_pack_records(records)]})


def test_a_video_that_crashes_its_decoder_costs_one_row(tmp_path):
    sources = sorted((ROOT / "data" / "vidmini" / "videos" / "SitDown").glob("*.mp4"))
    (tmp_path / "videos" / "SitDown").mkdir(parents=True)
    for name, source in zip(("one", "two", "zed"), sources):
        shutil.copyfile(source, tmp_path / "videos" / "SitDown" / f"{name}.mp4")
    decoder, predictor, records = actors(tmp_path, tmp_path / "videos")
    with decoder.reader:
        decoder.reader._read = crash_on_the_second
        (found,) = predictor(decoder(table_of(records))).to_pylist()
    rows = [json.loads(line) for line in found["rows"].splitlines()]
    assert [row["status"] for row in rows] == ["ok", "worker_crash", "ok"]
    logits = np.frombuffer(found["logits"], "<f4").reshape(3, 1, 12)
    assert np.isfinite(logits).all(2).ravel().tolist() == [True, False, True]


def test_a_machine_without_the_videos_or_with_other_versions_is_named(tmp_path, mixed_folder):  # noqa: F811
    decoder, predictor, records = actors(tmp_path, mixed_folder)
    with decoder.reader:
        decoder.expected = {"decoder": "pyav 0.1"}
        (found,) = predictor(decoder(table_of(records[:3]))).to_pylist()
        with pytest.raises(RunError, match=r"has another decoder than this machine: .*, not pyav 0\.1; install"):
            _raise_told(found["problem"])
        decoder.expected = {}
        mixed_folder.rename(tmp_path / "elsewhere")
        (found,) = predictor(decoder(table_of(records[:3]))).to_pylist()
        with pytest.raises(RunError, match=r"has no folder .*videos: every machine of the cluster needs the videos"):
            _raise_told(found["problem"])
        mixed_folder.mkdir()  # mounted, but another one
        (found,) = predictor(decoder(table_of(records[:3]))).to_pylist()
    rows = [json.loads(line) for line in found["rows"].splitlines()]
    assert {row["status"] for row in rows} == {"missing"}
    mixed_folder.rmdir()
    (tmp_path / "elsewhere").rename(mixed_folder)
    engine = OnRay(decoder.config, make_plan(decoder.config.checked()))
    with pytest.raises(RunError, match=r"\.mp4 is here, but far does not have it: every machine"):
        engine._refuse_unseen([evaluate.Row.from_json(row) for row in rows], "far")


def test_views_survive_the_way_to_another_machine():
    rng = np.random.default_rng(4)
    info = VideoInfo(**{**dict.fromkeys(VideoInfo.__dataclass_fields__, 3), "codec": "h264"})
    found = [UnreadableVideo("too_short", "one\x1b picture"), UnreadableVideo("empty", "")]
    for number, shape in enumerate([(2, 3, 5, 7, 3), (1, 4, 6, 2, 3)]):
        pixels, indices = rng.integers(0, 256, shape, np.uint8), rng.integers(0, 9, shape[:2])
        found.insert(number, Views(pixels, indices, info, "partial", "cut", {"decode": 0.5, "transform": 1.25}))
    packed, facts = pack_views(found)
    for ours, theirs in zip(unpack_views(pyarrow.py_buffer(packed), facts), found, strict=True):
        assert type(ours) is type(theirs)
        assert (ours.status, ours.reason) == (theirs.status, theirs.reason)
        if isinstance(ours, Views):
            np.testing.assert_array_equal(ours.pixels, theirs.pixels)
            np.testing.assert_array_equal(ours.indices, theirs.indices)
            assert (ours.info, ours.seconds) == (theirs.info, theirs.seconds)
