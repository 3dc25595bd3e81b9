"""Training on a GPU: every precision, resumed, checkpoints that say the same on the processor; skips without one."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vidbench.arguments import EvaluateConfig, TrainConfig
from vidbench.evaluate import evaluate
from vidbench.train import train

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

CLASSES = ("HoldBalloon", "RideBicycle", "SitDown", "StandUp")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def config(tmp_path, cache):
    def make(**more):
        values = {"model": "mini_r2plus1d", "weights": "random", "dataset": "vidmini", "split": "test", "limit": 32}
        values |= {"classes": CLASSES, "epochs": 2, "batch_size": 5, "num_workers": 4, "val_share": 0.25}
        values |= {"device": "cuda", "cache_dir": cache, "results_dir": str(tmp_path), "no_tensorboard": True}
        return TrainConfig(**(values | more))

    return make


def test_one_batch_is_learnt_by_heart(config):
    assert "learnt" in train(config(overfit=True, precision="fp32")).summary


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_checkpoint_made_on_a_gpu_says_the_same_on_the_processor(config, tmp_path, cache, precision):
    hard = {"mixup": 0.4, "ema": 0.9, "accumulate": 2, "erase": 0.3}
    outcome = train(config(run_name="trained", precision=precision, weights=None, **hard))
    assert json.loads((outcome.run_folder / "manifest.json").read_text())["recipe"]["precision"] == precision
    best = load_file(outcome.run_folder / "best.safetensors")
    assert all(torch.isfinite(value).all() for value in best.values())
    found = []
    for device in ("cpu", "cuda"):
        where = {"results_dir": str(tmp_path / "runs"), "cache_dir": cache, "num_workers": 2, "limit": 20}
        weights = str(outcome.run_folder / "best.safetensors")
        run = evaluate(EvaluateConfig(weights=weights, device=device, precision="fp32", run_name=device, **where))
        found.append(np.load(run.run_folder / "logits.npy"))
    assert np.abs(found[0]).max() > 0
    assert np.abs(found[0] - found[1]).max() <= 1e-3 * np.abs(found[0]).max()


def test_a_run_in_two_parts_ends_as_one_that_was_not_stopped(config):
    """Closely, not bit by bit: sums on a GPU depend on the order in which its threads end."""

    def stop(line: str) -> None:
        if line.startswith("epoch 1/2"):
            raise KeyboardInterrupt

    whole = train(config(run_name="whole", precision="fp32"))
    with contextlib.suppress(KeyboardInterrupt):
        train(config(run_name="again", precision="fp32"), tell=stop)
    assert not (whole.run_folder.with_name("again") / "finished.json").exists()
    again = train(config(run_name="again", precision="fp32"))
    ends = [load_file(run.run_folder / "last.safetensors") for run in (whole, again)]
    for name, expected in ends[0].items():
        torch.testing.assert_close(ends[1][name], expected, rtol=0.05, atol=0.01)
