"""Several processes give the run of one; here processors stand in for GPUs."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from test_distribute import FAST, Progress, interrupt
from test_evaluate import ROOT, bytes_of, config, mixed_folder, rows_of  # noqa: F401 - a fixture

from vidbench import devices, engines, evaluate
from vidbench.records import ConfigError, RunError, WeightsError
from vidbench.runs import read_json
from vidbench.stage_times import StageClock


def on_two(tmp_path, **changed):
    return config(tmp_path, **{**FAST, "device": "auto", "devices": "cpu,cpu", **changed})


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return bytes_of(evaluate.evaluate(config(tmp_path_factory.mktemp("alone"), **FAST)).run_folder)


def test_two_processes_continue_what_one_began_to_the_same_bytes(tmp_path, mixed_folder):  # noqa: F811
    wanted = {"dataset": "folder", "data_dir": str(mixed_folder), "label_map": "names", "limit": None}
    local = evaluate.evaluate(config(tmp_path, **{**FAST, **wanted}, run_name="local"))
    begun = evaluate.evaluate(config(tmp_path, **{**FAST, **wanted}), progress=Progress(4, interrupt))
    assert len(rows_of(begun.run_folder)) == 4
    outcome = engines.run(on_two(tmp_path, **wanted, precision="fp32"))
    assert bytes_of(outcome.run_folder) == bytes_of(local.run_folder)
    timing = read_json(outcome.run_folder / "manifest.json")["timing"]
    assert (timing["devices"], timing["num_videos"]) == (["cpu", "cpu"], local.metrics["n_ok"])
    one = evaluate.evaluate(config(tmp_path, **{**FAST, **wanted}))
    assert "nothing was run" in one.summary


def test_a_killed_process_is_named_and_what_was_written_stays(tmp_path, alone, monkeypatch):
    say, stopped = devices._Helper.say, []

    def say_and_stop(helper, *words):
        """The second process is held before it can have done all its work, and killed when a row is there."""
        say(helper, *words)
        stopped.append(psutil.Process(helper.process.pid))
        if words[0] == "work" and helper.process.pid != stopped[0].pid:
            stopped[-1].suspend()

    monkeypatch.setattr(devices._Helper, "say", say_and_stop)
    with pytest.raises(RunError, match=r"the process of cpu ended \(SIGKILL\); what was written stays, and the same"):
        engines.run(on_two(tmp_path), progress=Progress(1, lambda: stopped[-1].kill()))
    monkeypatch.undo()
    done = len(rows_of(tmp_path / "results" / "run"))
    assert 1 <= done < 60
    assert bytes_of(engines.run(on_two(tmp_path, devices="cpu,cpu,cpu")).run_folder) == alone


def test_a_killed_program_leaves_no_process_behind(tmp_path):
    words = [sys.executable, str(ROOT / "scripts" / "evaluate.py"), "--devices", "cpu,cpu", "--model", FAST["model"],
             "--dataset", "vidmini", "--data-dir", str(ROOT / "data" / "vidmini"), "--no-cache", "--precision", "fp32",
             "--batch-size", "2", "--run-name", "run"]  # fmt: skip
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    rows = tmp_path / "results" / "run" / "rows.jsonl"
    until = time.monotonic() + 100
    while time.monotonic() < until and not (rows.exists() and rows.read_bytes().count(b"\n") >= 4):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 4
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, left = psutil.wait_procs(started, timeout=20)
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []


def test_a_mistake_in_a_process_is_one_sentence_before_anything_is_written(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"bad\.safetensors"):
        engines.run(on_two(tmp_path, weights=str(tmp_path / "bad.safetensors")))
    assert not (tmp_path / "results" / "run").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"devices": "one"}, "--devices must be all, or GPUs such as 0,1, not 'one'"),
        ({"devices": "0,1", "device": "cpu"}, "--devices does not go together with --device"),
        ({"devices": "0,1", "engine": "ray"}, "--devices does not go together with --engine ray, which uses every GPU"),
        ({"devices": "cuda:97"}, "There is no device 'cuda:97' here"),
        ({"devices": "97,98"}, "There is no device 'cuda:97' here"),
    ],
)
def test_devices_that_cannot_be_used_are_named(tmp_path, changed, words):
    with pytest.raises(ConfigError, match=words):
        engines.run(on_two(tmp_path, **changed))


def test_all_means_every_gpu_and_kinds_are_not_mixed(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices.choose_devices(("all",)) == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices.choose_devices(("cuda:2", "cuda:0")) == ["cuda:2", "cuda:0"]
    with pytest.raises(ConfigError, match="must be of one kind, not cuda:0, cpu"):
        devices.choose_devices(("cuda:0", "cpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="There is no CUDA device here for --devices all"):
        devices.choose_devices(("all",))


def test_what_processes_spent_adds_up():
    model = SimpleNamespace(seconds={"forward": 1.0}, halved_batches=2)
    clock, tally = StageClock(), devices.Tally("ab", "shipped", True, "here")
    clock.seconds["decode"] = 4.0
    meter, ours = devices.Meter(model, clock), StageClock()
    for seconds in (0.5, 0.25):
        model.seconds = {
            "forward": model.seconds["forward"] + seconds,
            "transfer": model.seconds.get("transfer", 0) + seconds,
        }
        clock.seconds["decode"] += 2 * seconds
        clock.num_videos += 3
        tally.add(ours, meter.took())
    assert ours.num_videos == 6
    assert ours.seconds["decode"] == pytest.approx(1.5)
    assert tally.seconds == pytest.approx({"forward": 0.75, "transfer": 0.75})
    assert tally.halved_batches == 0


def test_videos_of_which_none_can_be_read_are_all_counted(tmp_path):
    (tmp_path / "videos" / "SitDown").mkdir(parents=True)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "videos" / "SitDown" / name).touch()
    wanted = {"dataset": "folder", "data_dir": str(tmp_path / "videos"), "label_map": "names", "limit": None}
    outcome = engines.run(on_two(tmp_path, **wanted, devices="cpu", precision="auto"))
    assert [row["status"] for row in rows_of(outcome.run_folder)] == ["empty", "empty"]
    assert read_json(outcome.run_folder / "manifest.json")["tuning"]["origin"] == "default"
