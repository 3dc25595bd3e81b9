"""What training says: its time, what limits it, a rate, and one sentence for data and weights that do not fit."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vidbench import models, train_data, trainer
from vidbench.first_steps import steepest
from vidbench.learner import TrainedNetwork
from vidbench.records import AnnotationError, ConfigError, RunError, VideoRecord, WeightsError
from vidbench.train import check_lists, explained, train
from vidbench.train_task import Processes, make_task

ROOT = Path(__file__).resolve().parents[1]


class Ticks:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def steps_of(monkeypatch, waiting: float, working: float, num_batches: int, epochs: int = 4):
    """What the clock says, and logs, of steps that wait and work for so many seconds each."""
    ticks, said, logged = Ticks(), [], []
    monkeypatch.setattr(trainer, "time", ticks)
    clock = trainer.Clock(said.append, epochs)
    logger = types.SimpleNamespace(log_metrics=lambda values, step: logged.append((step, values)))
    run = types.SimpleNamespace(current_epoch=0, global_step=0, world_size=1, loggers=[logger])
    module = types.SimpleNamespace(
        device=torch.device("cpu"), num_batches=num_batches, config=types.SimpleNamespace(batch_size=6)
    )
    clock.on_train_epoch_start(run, module)
    for batch in range(num_batches):
        ticks.now += 100 if batch == 0 else waiting  # workers start
        clock.on_train_batch_start(run, module, None, batch)
        ticks.now += working
        run.global_step += 1
        clock.on_train_batch_end(run, module, None, None, batch)
        if said:
            break
    return said, logged


def test_after_twenty_steps_the_time_is_told_and_logged(monkeypatch):
    said, logged = steps_of(monkeypatch, waiting=0.5, working=2.5, num_batches=40)
    assert said == [
        "about 2:00 an epoch and 8:00 in all, without validation; 2 clips/s; the network limits the speed (waiting "
        "for data takes 17% of a step)"
    ]
    ((step, values),) = logged
    assert step == 20
    assert values["seconds_an_epoch"] == pytest.approx(120)
    assert values["seconds_in_all"] == pytest.approx(480)
    assert values["share_waiting_for_data"] == pytest.approx(1 / 6)


def test_data_that_limit_the_speed_are_named_with_what_may_help(monkeypatch):
    said, _ = steps_of(monkeypatch, waiting=9, working=1, num_batches=25)
    assert "the data limit the speed (waiting for data takes 90% of a step); more --num-workers" in said[0]


def test_a_training_of_fewer_steps_tells_its_time_after_the_first_epoch(monkeypatch):
    said, logged = steps_of(monkeypatch, waiting=0, working=1, num_batches=7)
    assert len(said) == 1
    assert logged[0][0] == 7


def test_the_time_of_a_training_is_in_its_table_and_its_events(training):
    outcome = train(training(epochs=1, no_tensorboard=False))
    (table,) = outcome.run_folder.glob("log/*/metrics.csv")
    rows = list(csv.DictReader(table.open()))
    assert [float(row["seconds_an_epoch"]) > 0 for row in rows if row.get("seconds_an_epoch")] == [True]
    (events,) = (outcome.run_folder / "tensorboard").glob("events*")
    data = events.read_bytes()
    names = (b"seconds_an_epoch", b"seconds_in_all", b"share_waiting_for_data", b"val_top1", b"loss")
    assert all(name in data for name in names)


def test_a_learning_rate_is_proposed_and_nothing_is_left_behind(training):
    config = training(find_rate=True, crop=32, short_side=32, batch_size=4, accumulate=2, jitter=0.0, min_scale=1.0)
    outcome = train(config)
    rate = outcome.metrics["learning_rate"]
    assert 1e-5 < rate < 1
    said = rf"--learning-rate {rate:.1g}: there the loss fell fastest \(tried from 1e-06 to \S+ in \d+ steps\)"
    assert re.fullmatch(said, outcome.summary)
    assert not outcome.run_folder.exists()
    assert not Path("lightning_logs").exists()


def test_a_proposed_rate_is_where_the_loss_falls_and_chance_proposes_none():
    scatter = np.random.default_rng(7).normal(0, 0.2, 100)
    curve = np.interp(np.arange(100), [0, 55, 70, 80, 99], [2.5, 2.5, 1.0, 0.9, 6.0])
    assert 55 <= steepest(curve + scatter) <= 70
    assert steepest(2.5 + scatter) is None
    assert steepest(np.interp(np.arange(100), [0, 60, 99], [0.5, 0.5, 6.0]) + scatter) is None, "it only rose"
    assert steepest(curve[:20]) is None


def test_options_that_would_do_nothing_are_refused_and_a_warm_up_without_an_end_is_told(training, tmp_path, caplog):
    for options, words in (
        ({"ema": 1}, "--ema must be less than 1"),
        ({"label_smoothing": 1}, "--label-smoothing must be less than 1"),
        ({"drop_frames": 1}, "--drop-frames must be less than 1"),
        ({"dropout": 1}, "--dropout must be less than 1"),
        ({"distil": 0.7}, "--distil belongs to --teacher"),
        ({"temperature": 4}, "--temperature belongs to --teacher"),
        ({"teacher": str(tmp_path), "teacher_weights": "random"}, "belongs to a teacher that is given by name"),
    ):
        with pytest.raises(ConfigError, match=words):
            training(**options).checked()
    with pytest.raises(ConfigError, match=r"--frame-rate is for networks that take frames at a rate\. mini_r2plus1d"):
        train(training(frame_rate=25))
    check_lists(training(warmup_epochs=8), make_task(training(warmup_epochs=8).checked()), Processes(0, 1, 1))
    assert "its highest rate is 0.00025 of the 0.001 that --learning-rate says" in caplog.text


def test_mistakes_in_lists_are_told_before_any_video_is_read(training, tmp_path, monkeypatch):
    monkeypatch.setattr(train_data, "store_videos", lambda *_, **__: pytest.fail("videos were read"))
    (tmp_path / "weights.csv").write_text("path,weight\na.mp4,1\n")
    with pytest.raises(AnnotationError, match=r"weights\.csv has no weight for"):
        train(training(video_weights=str(tmp_path / "weights.csv")))
    with pytest.raises(
        AnnotationError, match=r"\d+ listed training videos, 2 views of each, are fewer than a batch of 99"
    ):
        train(training(batch_size=99, views_per_video=2))


def test_a_network_that_takes_whole_videos_learns_from_windows_and_is_judged_on_whole_videos(training, monkeypatch):
    small = {"short_side": 36, "crop": 32, "num_frames": 4, "epochs": 1, "batch_size": 4, "limit": 12}
    seen, judged = [], []
    step, loss = TrainedNetwork.validation_step, TrainedNetwork.loss

    def look(module, batch, batch_idx):
        judged.extend(views.pixels.shape[1] for _, views in batch)
        step(module, batch, batch_idx)

    monkeypatch.setattr(TrainedNetwork, "validation_step", look)
    monkeypatch.setattr(
        TrainedNetwork, "loss", lambda module, *batch: seen.append(batch[0].shape) or loss(module, *batch)
    )
    outcome = train(training(model="movinet_a0_stream.k600_float", **small))
    assert set(seen) == {(4, 4, 3, 32, 32)}
    assert len(judged) == outcome.metrics["n_listed"]
    assert min(judged) > 8  # two or three seconds at five frames each
    fresh = models.load_model("movinet_a0_stream.k600_float", "random", labels="vidmini").network.module.state_dict()
    after = load_file(outcome.run_folder / "last.safetensors")
    assert all(not torch.equal(fresh[key], after[key]) for key in fresh if key.endswith("weight"))
    # what it learnt on windows is what it does frame by frame
    network = models.load_model(None, outcome.run_folder / "last.safetensors").network.module.eval()
    clip = torch.rand(2, 7, 32, 32, 3)
    whole, states = network(clip), None
    for frame in range(7):
        with torch.no_grad():
            streamed, states = network.step(clip[:, frame : frame + 1], states)
    torch.testing.assert_close(streamed, whole.detach(), atol=1e-4, rtol=1e-4)


def test_memory_that_runs_out_in_earnest_is_one_sentence(training):
    task = types.SimpleNamespace(num_frames=16)
    with pytest.raises(ConfigError, match="16 frames does not fit into the memory"), explained(training(), task):
        torch.empty(2**50)


def test_classes_without_a_video_and_with_one_are_told_and_fewer_than_two_refused(caplog):
    names = [*"AAABBC", "E"]
    listed = [VideoRecord(str(k), f"{k}.mp4", label, "ABCDE".index(label)) for k, label in enumerate(names)]
    train_data.check_classes(listed, list("ABCDE"), None)
    assert "1 of 5 classes have no training video: D" in caplog.text
    assert "2 of 5 classes have a single training video: C, E" in caplog.text
    caplog.clear()
    train_data.check_classes(listed, list("ABCDE"), ["A", "B"])
    assert caplog.text == ""
    with pytest.raises(ConfigError, match="at least two classes that are there; 3 videos of 1 were found"):
        train_data.check_classes(listed[:3], list("ABCDE"), None)
    with pytest.raises(ConfigError, match="0 videos of 0 were found"):
        train_data.check_classes([], list("ABCDE"), None)


@pytest.fixture
def two_classes(tmp_path, make_video):
    """Options that train on a list of its own: ``num_train`` videos of two classes; four more validate."""

    def make(num_train: int = 8) -> dict:
        lines = ["path,label,split,group"]
        for number in [*range(num_train), 8, 9, 10, 11]:
            make_video(tmp_path / "data" / f"{number}.mp4", num_frames=20, width=64, height=48)
            lines.append(f"{number}.mp4,{'AB'[number % 2]},{'train' if number < 8 else 'val'},g{number}")
        (tmp_path / "data" / "annotations.csv").write_text("\n".join(lines) + "\n")
        where = {"data_dir": str(tmp_path / "data"), "annotations": str(tmp_path / "data" / "annotations.csv")}
        more = {"dataset": "csv", "classes": None, "limit": None, "split": "train", "val_split": "val"}
        return {**where, **more, "epochs": 1, "batch_size": 3}

    return make


def test_other_classes_get_a_new_last_layer_and_keep_all_else(training, two_classes):
    outcome = train(training(**two_classes(), weights=None, learning_rate=1e-12))
    before = models.load_model("mini_r2plus1d").network.module.state_dict()
    after = load_file(outcome.run_folder / "last.safetensors")
    assert after["head.weight"].shape == (2, before["head.weight"].shape[1])
    kept = [key for key in before if key.endswith("weight") and not key.startswith("head.")]
    assert kept
    assert all(torch.allclose(before[key], after[key], atol=1e-9) for key in kept)


def test_weights_of_a_third_number_of_classes_or_another_network_are_one_sentence(training, two_classes, tmp_path):
    options = two_classes()
    state = dict(models.load_model("mini_r2plus1d").network.module.state_dict())
    save_file({**state, "head.weight": torch.zeros(5, 96), "head.bias": torch.zeros(5)}, tmp_path / "five.safetensors")
    with pytest.raises(WeightsError, match=r"head\.(weight|bias)"):
        train(training(**options, weights=str(tmp_path / "five.safetensors")))
    other = models.load_model("mini2d").network.module.state_dict()
    save_file(dict(other), tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="mini_r2plus1d"):
        train(training(**options, weights=str(tmp_path / "other.safetensors")))
    made = train(training(**options, weights=None, run_name="made")).run_folder / "best.safetensors"
    with pytest.raises(ConfigError, match=r"was trained as mini_r2plus1d\.vidmini_v1, not r3d_18"):
        train(training(**(options | {"model": "r3d_18"}), weights=str(made)))
    on = train(training(**(options | {"model": None}), weights=str(made), run_name="on"))
    assert on.metrics["n_listed"] == 4


def test_one_video_alone_cannot_be_trained_on(training, two_classes):
    with pytest.raises(ConfigError, match="at least two classes that are there; 1 videos of 1 were found"):
        train(training(**two_classes(num_train=1), weights=None))


def test_when_no_training_video_can_be_read_nothing_begins(training, two_classes, tmp_path):
    options = two_classes()
    for number in range(8):
        (tmp_path / "data" / f"{number}.mp4").write_bytes(b"no video" * 40)
    with pytest.raises(AnnotationError, match="0 readable training videos are fewer than a batch of 3"):
        train(training(**options))


def test_a_damaged_point_to_continue_from_is_one_sentence(training):
    config = training(epochs=1, run_name="torn")
    folder = train(config).run_folder
    (folder / "finished.json").unlink()
    whole = (folder / "last.ckpt").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"PK\x03\x04 no archive"):
        (folder / "last.ckpt").write_bytes(content)
        with pytest.raises(RunError, match=r"last\.ckpt cannot be read .*: remove that file to begin again"):
            train(config)
    (folder / "last.ckpt").unlink()
    assert train(config).exit_status == 0


def test_without_lightning_one_sentence_names_the_extra(tmp_path):
    (tmp_path / "lightning.py").write_text("raise ModuleNotFoundError(\"No module named 'lightning'\")")
    words = ["--model", "mini_r2plus1d", "--dataset", "vidmini", "--split", "test", "--cache-dir", str(tmp_path)]
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *words, "--results-dir", str(tmp_path / "results")]
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 2, done.stderr
    assert "pip install 'vidbench[train]'" in done.stderr
    assert "Traceback" not in done.stderr
