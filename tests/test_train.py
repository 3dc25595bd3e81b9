"""Training: a killed run ends with the same weights, checkpoints carry their card, mistakes are one sentence."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vidbench import models, trained
from vidbench.arguments import EvaluateConfig, TrainConfig
from vidbench.cli import COMMANDS
from vidbench.data import mini
from vidbench.evaluate import evaluate
from vidbench.learner import TrainedNetwork
from vidbench.records import AnnotationError, ConfigError, RunError, VidbenchError, VideoRecord, WeightsError
from vidbench.train import begun, explained, train
from vidbench.train_data import divide
from vidbench.train_task import evaluation_words, make_task

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "data" / "vidmini"
HARD = {
    "mixup": 0.4,
    "cutmix": 0.4,
    "ema": 0.9,
    "erase": 0.3,
    "rand_augment": 5,
}  # all that draws numbers or keeps some


def as_words(config: TrainConfig, **hard) -> list[str]:
    """The command line of a configuration."""
    names = ("model", "weights", "dataset", "split", "limit", "epochs", "batch_size", "num_workers", "val_share")
    names += ("device", "cache_dir", "results_dir", *hard)
    given = {name: getattr(config, name) for name in names}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]
    words += ["--classes", *config.classes]
    return [sys.executable, str(ROOT / "scripts" / "train.py"), *words, "--no-tensorboard"]


def test_a_killed_run_ends_with_the_same_weights(training, tmp_path):
    whole = train(training(epochs=3, **HARD, run_name="whole"))
    words = [*as_words(training(epochs=3, **HARD), **HARD), "--run-name", "killed"]
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # another number sums in another order
    how = {"cwd": tmp_path, "env": threads, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **how) as run:
        for line in run.stdout:
            if line.startswith("epoch 2/3"):  # judged, and last.ckpt not yet written, or just being written
                run.kill()
    folder = whole.run_folder.with_name("killed")
    assert run.returncode == -9
    assert not (folder / "finished.json").exists()
    again = train(training(epochs=3, **HARD, run_name="killed"))
    for name in ("best", "last"):
        expected, found = (load_file(f / f"{name}.safetensors") for f in (whole.run_folder, folder))
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected), name
    assert again.metrics == whole.metrics
    first = models.load_model("mini_r2plus1d", "random", labels="vidmini").network.module.state_dict()
    assert any(not torch.equal(first[key], value) for key, value in expected.items())  # it did learn
    done = train(training(epochs=3, **HARD, run_name="killed"))
    assert "nothing was run" in done.summary
    assert done.metrics == whole.metrics
    with pytest.raises(RunError, match=r"recipe\.learning_rate was 0.001, now it is 0.1"):
        train(training(epochs=3, **HARD, run_name="killed", learning_rate=0.1))


def test_a_checkpoint_needs_nothing_else(training, tmp_path, training_cache):
    told = []
    outcome = train(training(epochs=1), tell=told.append)
    best = outcome.run_folder / "best.safetensors"
    facts = trained.read_facts(best)
    assert facts["labels"] == list(mini.CLASSES)
    assert facts["recipe"]["epochs"] == 1
    assert facts["metrics"]["listed"]["top1"]["n"] == facts["dataset"]["num_val"] > 4
    assert json.loads(best.with_suffix(".json").read_text()) == facts
    assert any("an epoch and" in line and "limit" in line for line in told)
    where = {"results_dir": str(tmp_path / "runs"), "cache_dir": training_cache, "num_workers": 0, "limit": 12}
    found = evaluate(EvaluateConfig(weights=str(best), **where))
    manifest = json.loads((found.run_folder / "manifest.json").read_text())
    assert manifest["model"]["name"] == facts["name"] == "mini_r2plus1d.train-mini_r2plus1d-vidmini"
    assert manifest["dataset"]["name"] == "vidmini"
    assert manifest["model"]["published"] is True  # these are the weights of its card
    assert "Other weights" not in (found.run_folder / "report.html").read_text()
    assert found.metrics["n_listed"] == 12
    assert models.load_model("mini_r2plus1d", best).card.input == models.find_card("mini_r2plus1d").input
    with pytest.raises(ConfigError, match=r"was trained as mini_r2plus1d\.vidmini_v1, not r3d_18: leave the model's"):
        evaluate(EvaluateConfig(model="r3d_18", weights=str(best), **where))
    on = train(training(model=None, weights=str(best), epochs=1, run_name="on"))  # a checkpoint is a beginning too
    assert trained.read_facts(on.run_folder / "best.safetensors")["network"] == "mini_r2plus1d.vidmini_v1"


def test_validation_is_what_an_evaluation_of_the_same_videos_says(training, tmp_path, training_cache):
    outcome = train(training(epochs=1, weights=None, learning_rate=1e-9, run_name="same"))
    assert outcome.metrics["listed"]["top1"]["value"] == 1.0  # the shipped weights, not moved: 100 % on this split


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 9}, "has schema 9, this version reads 1"),
        ({"network": "r9d.none"}, "of the network 'r9d.none', which this version does not have"),
        ({"labels": ["a", "a"]}, "has class names that cannot be"),
        ({"input": {"num_frames": 3}}, "names an input that cannot be"),
        ({"options": {"widht": 3}}, "has no option 'widht'"),
        ({"labels": 3}, "does not say labels"),
    ],
)
def test_a_card_that_cannot_be_used_is_one_sentence(tmp_path, change, words):
    card = models.find_card("mini_r2plus1d")
    facts = {"name": "x", "network": card.name, "options": {}, "labels": list(mini.CLASSES), "label_space": "vidmini"}
    facts |= {"input": trained.spec_as_json(card.input), "summary": ""}
    path = tmp_path / "x.safetensors"
    module = models.build_module(card)
    trained.write_trained(path, module.state_dict(), {**facts, **change})
    with pytest.raises(VidbenchError, match=words):
        models.load_model(None, path)
    trained.write_trained(path, module.state_dict(), facts)
    assert models.load_model(None, path).card.name == "x"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match="damaged"):
        models.load_model(None, path)


def folder_of_videos(tmp_path, make_video, *, group: bool) -> Path:
    """A list of 12 videos of two classes, of which one trains and one validates unreadably."""
    lines = ["path,label,split" + ",group" * group]
    for number in range(12):
        label = "AB"[number % 2]
        split = "train" if number < 8 else "val"
        path = make_video(tmp_path / "data" / f"{number}.mp4", num_frames=20, width=64, height=48)
        if number in (3, 10):
            path.write_bytes(b"no video" * 40)
        lines.append(f"{number}.mp4,{label},{split}" + f",g{number // 2}" * group)
    (tmp_path / "data" / "annotations.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def test_an_unreadable_video_is_left_out_of_training_and_counts_in_validation(training, tmp_path, make_video, caplog):
    data = folder_of_videos(tmp_path, make_video, group=True)
    where = {
        "classes": None,
        "dataset": "csv",
        "data_dir": str(data),
        "annotations": str(data / "annotations.csv"),
        "split": "train",
    }
    told = []
    outcome = train(training(**where, limit=None, val_split="val", epochs=1, batch_size=3), tell=told.append)
    assert told[0].startswith("7 videos train (1 left out;")
    assert "1 of 8 training videos are left out, the first: 3.mp4 (not_media" in caplog.text
    assert outcome.metrics["n_listed"] == 4
    assert outcome.metrics["n_skipped"] == 1
    assert outcome.metrics["listed"]["top1"]["n"] == 4
    assert trained.read_facts(outcome.run_folder / "best.safetensors")["left_out"] == 1


def folder_of_classes(root: Path, make_video, *splits: str) -> Path:
    """Six videos of each of two classes, in each of some splits, by the same names."""
    for split in splits or ("",):
        for number in range(12):
            make_video(root / split / "AB"[number % 2] / f"{number}.mp4", num_frames=17, width=64, height=48)
    return root


def test_an_own_folder_of_classes_trains_the_first_time_and_the_printed_command_runs(
    training, tmp_path, make_video, caplog, monkeypatch
):
    root = folder_of_classes(tmp_path / "own clips", make_video)
    own = {"dataset": "folder", "data_dir": str(root), "split": "train", "classes": None, "limit": None, "epochs": 1}
    told: list[str] = []
    done = train(training(**own, run_name="my run"), tell=told.append)
    assert "clips cut from one video may stand on both sides" in caplog.text
    divided = trained.read_facts(done.run_folder / "best.safetensors")["dataset"]["divided"]
    assert divided == "25% of the training videos, by clip, sources unknown, seed 0"
    assert float(re.findall(r"learning rate ([^, ]+)", told[-1])[0]) > 0, told[-1]  # of a step, not of the next one
    line, flatters = done.summary.splitlines()[1:]
    assert "these videos, or some of them, trained the network" in flatters
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.removeprefix("to evaluate: "))
    assert words[:2] == ["python", "scripts/evaluate.py"]
    assert COMMANDS["evaluate"].start([*words[2:], "--num-workers=0", "--run-name=judged"]) == 0
    assert len((tmp_path / "results" / "judged" / "rows.jsonl").read_text().splitlines()) == 12
    for name in ("", "last.ckpt", "best.json"):
        with pytest.raises(ConfigError, match=r"not the weights|folder of a training: pass its .*best\.safetensors"):
            EvaluateConfig(weights=str(done.run_folder / name)).checked()


def test_own_folders_and_lists_validate_on_their_own_split_and_are_evaluated_on_another(training, tmp_path, make_video):
    root = folder_of_classes(tmp_path / "parts", make_video, "train", "val")
    own = {"dataset": "folder", "data_dir": str(root), "split": "train", "classes": None, "limit": None}
    with pytest.raises(ConfigError, match=r"--val-share parts validation .* but split val validates; leave"):
        make_task(training(**own, val_share=0.3))
    own["val_share"] = TrainConfig.val_share
    task = make_task(training(**own))
    assert {r.path.partition("/")[0] for r in task.sides.val} == {"val"}
    assert evaluation_words(training(**own), task) == (
        ["--data-dir", str(root), "--split", "val"], "these videos chose the epoch"
    )  # fmt: skip
    rows = [f"{r.path},{r.label},{r.split}" for r in (*task.sides.train, *task.sides.val)]
    table = root / "my list.csv"
    table.write_text("\n".join(["path,label,split", *rows, "train/A/0.mp4,A,test"]) + "\n")
    own |= {"dataset": "csv", "annotations": str(table)}
    task = make_task(training(**own))
    assert [r.path for r in task.sides.val] == [row.partition(",")[0] for row in rows if row.endswith("val")]
    assert evaluation_words(training(**own), task) == (["--data-dir", str(root), "--annotations", str(table)], None)
    table.write_text("\n".join(["path,label,split", *rows, "train/A/0.mp4,A,val"]) + "\n")
    with pytest.raises(AnnotationError, match=r"The val split shares 1 video with the training split \(train/A/0.mp4"):
        make_task(training(**own))


def records(number: int, group: bool, split: str = "train") -> list[VideoRecord]:
    return [
        VideoRecord(f"{split}{k}", f"{k}.mp4", "AB"[k % 2], k % 2, split, f"g{k // 2}" * group) for k in range(number)
    ]


def test_a_leak_is_refused_unless_it_is_asked_for():
    sides = divide(records(40, True), None, share=0.25, seed=0, allow_leak=False)
    assert not {r.group for r in sides.train} & {r.group for r in sides.val}
    assert len(sides.val) in range(6, 15)
    leaking = divide(records(40, True), None, share=0.25, seed=0, allow_leak=True)
    assert {r.group for r in leaking.train} & {r.group for r in leaking.val}
    assert "LEAKING" in leaking.how
    for share, allow_leak, words in (
        (0.01, False, r"40 videos of 20 sources cannot be parted .* by source with --val-share 0.01"),
        (0.01, True, r"40 videos cannot be parted .* by clip with --val-share 0.01: .* --val-split, .*--limit"),
    ):
        with pytest.raises(ConfigError, match=words):
            divide(records(40, True), None, share=share, seed=0, allow_leak=allow_leak)
    with pytest.raises(AnnotationError, match="shares 4 source videos"):
        divide(records(40, True), records(8, True, "val"), share=0.25, seed=0, allow_leak=False)


def test_a_loss_that_is_not_finite_stops_with_a_sentence(training):
    wild = {"optimizer": "sgd", "learning_rate": 100, "clip_norm": 0, "warmup_epochs": 0, "epochs": 30}
    with pytest.raises(RunError, match=r"the loss is (nan|inf) in epoch \d+, batch \d+: make --learning-rate smaller"):
        train(training(**wild))


def test_two_processes_do_not_train_in_one_folder(training, tmp_path):
    folder = tmp_path / "results" / "twice"
    with begun(folder, {"first": True}), pytest.raises(RunError, match="another process is training in"):
        train(training(run_name="twice"))
    assert json.loads((folder / "manifest.json").read_text()) == {"first": True}


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError("Unable to allocate 5.0 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=["torch", "numpy", "cuda", "cudnn"],
)
def test_a_full_memory_says_what_to_change(training, problem):
    task = types.SimpleNamespace(num_frames=16)
    words = "16 frames does not fit into the memory: --batch-size 2 with --accumulate 2 makes the same steps"
    with pytest.raises(ConfigError, match=words), explained(training(batch_size=5), task):
        raise problem


def test_a_worker_that_the_system_ended_and_clips_too_small_are_one_sentence(training):
    task = types.SimpleNamespace(num_frames=16, spec=types.SimpleNamespace(crop=(6, 9)))
    with pytest.raises(ConfigError, match="use fewer --num-workers"), explained(training(), task):
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    words = "16 frames of 6x9 are too small for this network .*: use a larger --crop and --short-side"
    with pytest.raises(ConfigError, match=words), explained(training(), task):
        torch.nn.AvgPool3d(7)(torch.zeros(1, 3, 16, 6, 9))
    with pytest.raises(ConfigError, match=words), explained(training(), task):
        torch.nn.Conv3d(3, 4, 7)(torch.zeros(1, 3, 16, 6, 9))
    with pytest.raises(RuntimeError, match="something else"), explained(training(), task):
        raise RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nsomething else")


def test_a_signal_to_all_processes_of_a_training_is_an_interrupt_and_no_full_memory(training):
    """The views' processes are gone before the training has ended on its own."""

    def end():
        try:
            raise KeyboardInterrupt("came first")
        finally:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    with pytest.raises(KeyboardInterrupt, match="came first"), explained(training(), types.SimpleNamespace()):
        end()


def test_a_network_or_a_teacher_that_fills_the_memory_is_one_sentence(training, monkeypatch):
    load = models.load_model

    def full(*names, **more):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(models, "load_model", full)
    with pytest.raises(ConfigError, match="The network does not fit into the memory, before any clip"):
        train(training())
    monkeypatch.setattr(
        models, "load_model", lambda *names, **more: (load if more.get("labels") else full)(*names, **more)
    )
    with pytest.raises(ConfigError, match="The network and its teacher do not fit into the memory"):
        train(training(teacher="mini_r2plus1d"))


def test_one_batch_is_learnt_by_heart_or_the_check_says_no(training):
    learnt = train(training(overfit=True, weights=None, learning_rate=2e-3))
    assert learnt.exit_status == 0
    assert "learnt by heart" in learnt.summary
    stuck = train(training(overfit=True, learning_rate=1e-12, batch_size=2))
    assert stuck.exit_status == 3
    assert "NOT learnt" in stuck.summary
    assert not learnt.run_folder.exists()


def test_freezing_the_backbone_moves_the_last_layer_alone(training):
    outcome = train(training(weights=None, freeze="backbone", epochs=1, learning_rate=0.1, warmup_epochs=0))
    before = models.load_model("mini_r2plus1d").network.module.state_dict()
    after = load_file(outcome.run_folder / "last.safetensors")
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == models.head_keys(models.find_card("mini_r2plus1d"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "i3d.tfhub_kinetics400", "weights": None}, "needs a network in torch"),
        ({"val_split": "test"}, "is the split that trains"),
        ({"network": ("dropout",)}, "must be NAME=VALUE"),
        ({"network": ("widht=3",)}, "has no option 'widht'"),
        ({"crop": 3000}, "does not fit into frames"),
        ({"batch_size": 400}, "are fewer than a batch of 400"),
        ({"classes": ("SitDown",), "limit": None}, "at least two classes"),
        ({"model": None}, "has to be named"),
        ({"precision": "fp16"}, "fp16"),
    ],
)
def test_mistakes_are_one_sentence(training, options, words):
    with pytest.raises(VidbenchError, match=words):
        train(training(**options))


def test_tensorboard_does_not_import_tensorflow(tmp_path):
    code = (
        "import sys; from pathlib import Path; from vidbench.trainer import loggers_for\n"
        f"logger = loggers_for(Path({str(tmp_path)!r}), True)[1]\n"
        "logger.log_metrics({'loss': 1.0}, 0); logger.finalize('success')\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "tensorboard").glob("events*"))


class Killed(BaseException):
    """Ends a training at once, as a kill would: nothing more is written."""


def kill_at(patch, epoch: int, batch: int) -> None:
    begin = TrainedNetwork.on_train_batch_start

    def start(module, data, batch_idx):
        if (module.current_epoch, batch_idx) == (epoch, batch):
            raise Killed
        begin(module, data, batch_idx)

    patch.setattr(TrainedNetwork, "on_train_batch_start", start)


def test_a_run_killed_within_epochs_goes_on_from_the_last_step_kept_with_the_same_bits(training):
    """With everything that has a state of its own: running mean, accumulation, a schedule that looks at validation."""
    options = HARD | {"epochs": 3, "batch_size": 3, "accumulate": 2, "schedule": "plateau", "patience": 9}
    options |= {"save_steps": 1, "weights": None, "learning_rate": 1e-4, "views_per_video": 2, "speed": 1.5}
    whole = train(training(**options, run_name="whole"))
    folder, begun = whole.run_folder.with_name("killed"), []
    for epoch, batch in ((0, 1), (0, 7), (1, 4), (2, 0)):
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, epoch, batch)
            patch.setattr(TrainedNetwork, "on_train_start", lambda module: begun.append(place_of(module)))
            with pytest.raises(Killed):
                train(training(**options, run_name="killed"))
    again = train(training(**options, run_name="killed"))
    assert begun == [(0, 0), (0, 0), (0, 6), (1, 4)]
    ends = [torch.load(f / "last.ckpt", weights_only=True) for f in (whole.run_folder, folder)]
    assert ends[0]["lr_schedulers"] == ends[1]["lr_schedulers"]
    assert ends[0]["lr_schedulers"][0]["last_epoch"] == 3
    assert ends[0]["lr_schedulers"][0]["num_bad_epochs"] > 0
    for name in ("best", "last"):
        expected, found = (load_file(f / f"{name}.safetensors") for f in (whole.run_folder, folder))
        assert all(torch.equal(expected[key], found[key]) for key in expected), name
    assert again.metrics == whole.metrics


def place_of(module: TrainedNetwork) -> tuple[int, int]:
    batches = module.trainer.train_dataloader.batch_sampler
    return batches.sampler.epoch, batches.begun[1] if batches.begun[0] >= 0 else 0
