"""A training that is killed, or finds the disk full, loses nothing that was whole and ends with the same bits."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_train import as_words

from vidbench.endings import run_program
from vidbench.train import alone, train
from vidbench.trainer import WholeCheckpoints


def test_a_point_to_continue_from_takes_the_place_of_the_one_before_when_it_is_whole(tmp_path, monkeypatch):
    path, moved = tmp_path / "last.ckpt", []
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    before = path.read_bytes()

    def refuse(source, target):
        moved.append((Path(source).parent, torch.load(source, weights_only=True), Path(target)))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert moved == [(tmp_path, {"epoch": 2}, path)], "whole before it is moved, and from the same folder"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_training_that_finds_the_disk_full_says_so_and_goes_on_when_there_is_room(training, capsys):
    whole = train(training(run_name="whole"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))  # weights have 1 MB, last.ckpt 4 MB
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            train(training(run_name="full"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def again() -> int:
        raise caught.value

    assert run_program(again, "train.py") == 1
    folder = whole.run_folder.with_name("full")
    said = f"train.py: File too large: {folder / 'last.ckpt'}; make room and run the same command again\n"
    assert capsys.readouterr().err.endswith(said)
    assert not [path.name for path in folder.iterdir() if path.name in ("last.ckpt", "finished.json")]
    assert not list(folder.glob(".*.tmp"))
    assert train(training(run_name="full")).metrics == whole.metrics
    for name in ("best", "last"):
        expected, found = (load_file(f / f"{name}.safetensors") for f in (whole.run_folder, folder))
        assert all(torch.equal(expected[key], found[key]) for key in expected), name


def test_what_a_killed_training_was_writing_is_removed_by_the_next_one(tmp_path):
    (tmp_path / ".last.ckpt-abc.tmp").write_bytes(b"half")
    (tmp_path / "last.ckpt").write_bytes(b"whole")
    with alone(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["held", "last.ckpt"]


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.timeout(3000)
def test_trainings_killed_at_random_moments_end_with_the_same_bytes(training, tmp_path, shared_dir):
    """Once by default; ``VIDBENCH_KILLS=20 VIDBENCH_SIGNAL=TERM`` makes others."""
    rounds, how = os.environ.get("VIDBENCH_KILLS", "1"), os.environ.get("VIDBENCH_SIGNAL", "KILL")
    check = tmp_path / "check.py"
    check.write_text(
        "import hashlib\n"
        "for name in ('best.safetensors', 'last.safetensors', 'finished.json'):\n"
        "    print(hashlib.sha256(open('results/run/' + name, 'rb').read()).hexdigest())\n"
    )
    words = as_words(training(cache_dir="clips", results_dir="results"))
    words += ["--run-name", "run", "--save-steps", "1", "--ema", "0.9", "--reverse", "known"]
    killer = [
        sys.executable, str(shared_dir / "torture" / "killer.py"), "--workdir", str(tmp_path / "work"),
        "--check", f"{sys.executable} {check}", "--rounds", rounds, "--signal", how, "--lo", "4", "--hi", "60",
        "--", *words,
    ]  # fmt: skip
    done = subprocess.run(killer, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    said = json.loads(done.stdout)
    assert done.returncode == 0, said["problems"]
    assert said["same"]
    assert said["left_over"] == []
