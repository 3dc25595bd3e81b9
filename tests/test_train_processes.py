"""Two processes train one network: real ones, over gloo on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import free_port
from safetensors.torch import load_file
from test_train import as_words

from vidbench import models
from vidbench.records import ConfigError
from vidbench.train import train
from vidbench.train_task import RANKS, who_trains
from vidbench.utils import try_to_write

STEADY = {"weights": None, "freeze": "norms", "dropout": 0.0, "schedule": "constant", "warmup_epochs": 0, "epochs": 2}
STEADY |= {"optimizer": "sgd", "learning_rate": 0.002, "batch_size": 3, "limit": 25}

# What scripts/train.py does, and then which videos the process drew, which it judged, and a hash of its weights.
WATCHED = """
import hashlib, json, sys

from vidbench import train, train_data
from vidbench.arguments import TRAIN

seen, take, fit = {"drawn": {}}, train_data.TrainingClips.__getitem__, train.fit

def getitem(self, place):
    seen["drawn"].setdefault(str(place[0]), []).append(place[1])
    return take(self, place)

def fitted(module, *rest):
    outcome = fit(module, *rest)
    state = b"".join(value.numpy().tobytes() for value in module.network.state_dict().values())
    seen["weights"], seen["judged"] = hashlib.sha256(state).hexdigest(), [row.index for row in module.rows]
    return outcome

if __name__ == "__main__":
    train_data.TrainingClips.__getitem__, train.fit = getitem, fitted
    train.train(TRAIN.parse_or_exit(sys.argv[2:]), tell=print)
    with open(sys.argv[1], "w") as file:
        json.dump(seen, file)
"""


def farthest(a: dict, b: dict) -> float:
    return max((a[key].float() - b[key].float()).abs().max().item() for key in a)


def as_torchrun_starts_it(rank: int, port: int) -> dict[str, str]:
    said = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    said |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": 1}
    return {**os.environ, **{name: str(value) for name, value in said.items()}}


@pytest.mark.timeout(300)
def test_two_processes_end_with_the_weights_of_one_with_the_doubled_batch(training, tmp_path):
    config = training(**STEADY, run_name="two")
    script, port = tmp_path / "watched.py", free_port()
    script.write_text(WATCHED)
    command = [sys.executable, str(script)]
    words = [*as_words(config, **STEADY)[2:], "--run-name", "two"]
    how = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    ranks = [
        subprocess.Popen(
            [*command, str(tmp_path / f"{rank}.json"), *words], env=as_torchrun_starts_it(rank, port), **how
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=240)[0] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], said
    one = train(training(**(STEADY | {"batch_size": 6}), run_name="one"))
    folder = one.run_folder.with_name("two")
    assert said[1] == "", "one process speaks"
    assert "epoch 2/2: validation" in said[0]

    seen = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    facts = [json.loads((path / "last.json").read_text()) for path in (one.run_folder, folder)]
    assert seen[0]["weights"] == seen[1]["weights"]
    num_train, num_val = facts[0]["dataset"]["num_train"], facts[0]["dataset"]["num_val"]
    for epoch in ("0", "1"):
        parts = [part["drawn"][epoch] for part in seen]
        assert len(parts[0]) == len(parts[1]) == num_train // 6 * 3
        assert not set(parts[0]) & set(parts[1]), "each video is learnt from once"
    assert seen[0]["judged"] == list(range(0, num_val, 2))
    assert seen[1]["judged"] == list(range(1, num_val, 2))
    assert facts[1]["metrics"]["listed"] == facts[0]["metrics"]["listed"]
    assert facts[1]["metrics"]["n_listed"] == num_val, "each is judged once"
    assert facts[1]["recipe"]["processes"] == 2
    alone, together = (load_file(path / "last.safetensors") for path in (one.run_folder, folder))
    shipped = models.load_model("mini_r2plus1d").network.module.state_dict()
    assert farthest(alone, shipped) > 3e-3
    assert farthest(alone, together) < 1e-5  # sums in another order, in six steps: 3e-6


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_torchrun_itself_trains_as_one_process_with_the_doubled_batch(training, tmp_path):
    words = [*as_words(training(**STEADY), **STEADY)[1:], "--run-name", "two"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    how = {"capture_output": True, "text": True, "timeout": 240, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    done = subprocess.run(torchrun, cwd=tmp_path, **how)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("epoch 2/2: validation") == 1, "one process speaks"
    one = train(training(**(STEADY | {"batch_size": 6}), run_name="one"))
    folder = one.run_folder.with_name("two")
    assert json.loads((folder / "last.json").read_text())["recipe"]["processes"] == 2
    alone, together = (load_file(path / "last.safetensors") for path in (one.run_folder, folder))
    assert farthest(alone, models.load_model("mini_r2plus1d").network.module.state_dict()) > 3e-3
    assert farthest(alone, together) < 1e-5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_devices_start_the_second_process_by_themselves(training, tmp_path):
    options = STEADY | {"epochs": 1, "devices": 2}
    words = [*as_words(training(**options), **options), "--run-name", "two"]
    said = {name: value for name, value in os.environ.items() if name not in RANKS} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=240, env=said)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("epoch 1/1: validation") == 1, "one process speaks"
    facts = json.loads((tmp_path / "results" / "two" / "last.json").read_text())
    assert facts["recipe"]["processes"] == 2
    assert facts["metrics"]["n_listed"] == facts["dataset"]["num_val"], "each is judged once"


def test_torchruns_words_count_where_the_options_are_silent(training, monkeypatch):
    for name, value in {"RANK": "5", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    who = who_trains(training())
    assert (who.rank, who.devices, who.nodes, who.number, who.first) == (5, 4, 2, 8, False)
    with pytest.raises(ConfigError, match=r"--devices 3 on 2 machine\(s\) are 6 processes, but torchrun started 8"):
        who_trains(training(devices=3))
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigError, match="first steps of one process"):
        train(training(overfit=True))


def test_without_torchrun_the_options_count_and_one_process_is_the_first(training, monkeypatch):
    assert who_trains(training()) == who_trains(training(devices=1, num_nodes=1))
    monkeypatch.setenv("LOCAL_RANK", "1")  # as Lightning starts the second process of the second machine
    monkeypatch.setenv("NODE_RANK", "1")
    assert who_trains(training(devices=2, num_nodes=3)).rank == 3
    assert who_trains(training()).first


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"devices": 2, "find_rate": True}, "must be 1 for --preview, --overfit and --find-rate"),
        ({"devices": 2, "device": "cuda:1"}, "cuda:1 is one GPU; use cuda with --devices"),
    ],
)
def test_several_processes_are_refused_where_they_cannot_be(training, options, words):
    with pytest.raises(ConfigError, match=words):
        train(training(**options))


def test_processes_that_try_a_new_folder_at_once_do_not_refuse_it(tmp_path):
    def often(_) -> None:
        for _ in range(300):
            try_to_write(tmp_path / "results" / "run")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(often, range(4)))


def test_a_folder_that_can_never_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        try_to_write(tmp_path / "file" / "results")
