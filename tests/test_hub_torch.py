"""Networks of another repository: nothing of it runs unasked, and clips reach each pathway with the right frames."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vidbench import hub_torch
from vidbench.models import CARDS, build_module, load_model
from vidbench.records import ConfigError, WeightsError

ROOT = Path(__file__).resolve().parents[1]
NAMES = [name for name, card in CARDS.items() if card.kind == "torchhub"]

# Stands for a checkout of pytorchvideo: the same entries and arguments, and a network of two or one inputs.
HUBCONF = """
import pathlib
import torch

dependencies = ["torch"]
pathlib.Path(__file__).with_name("ran").touch()


class Net(torch.nn.Module):
    def __init__(self, inputs, model_num_class, head_activation):
        super().__init__()
        self.blocks = torch.nn.ModuleList(torch.nn.Conv3d(3, 4, 3, padding=1) for _ in range(inputs))
        self.proj = torch.nn.Linear(4 * inputs, model_num_class)
        self.head_activation = head_activation
        self.shapes = []

    def forward(self, x):
        x = list(x) if isinstance(x, (list, tuple)) else [x]
        self.shapes = [tuple(clip.shape) for clip in x]
        self.firsts = [clip[0, 0, :, 0, 0].clone() for clip in x]
        mixed = torch.cat([block(clip).mean((2, 3, 4)) for block, clip in zip(self.blocks, x, strict=True)], 1)
        scores = self.proj(mixed)
        return scores if self.head_activation is None else self.head_activation(scores)


def slowfast_r50(pretrained=False, progress=True, *, model_num_class=400, head_activation=None):
    return Net(2, model_num_class, head_activation)


def x3d_s(pretrained=False, progress=True, *, model_num_class=400, head_activation=torch.nn.Softmax(1)):
    return Net(1, model_num_class, head_activation)


def csn_r101(pretrained=False, progress=True, **options):
    raise RuntimeError("its code is broken")
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    monkeypatch.setenv(hub_torch.VARIABLE, str(folder))
    for name in ("slowfast_r50.kinetics400_ptv", "x3d_s.kinetics400_ptv"):
        card = CARDS[name]
        monkeypatch.setitem(CARDS, name, replace(card, input=replace(card.input, resize=12, crop=(10, 12))))
    return folder


def clips(frames, count=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, frames, 10, 12, 3), dtype=np.uint8)


def test_nothing_of_another_repository_runs_unasked(checkout, monkeypatch):
    monkeypatch.delenv(hub_torch.VARIABLE)
    with pytest.raises(WeightsError) as caught:
        load_model("slowfast_r50", "random")
    words = str(caught.value)
    assert "\n" not in words
    for part in ("runs with all your rights", "VIDBENCH_PYTORCHVIDEO to a checkout", hub_torch.COMMIT[:12], "github"):
        assert part in words
    assert not (checkout / "ran").exists()


def test_a_checkout_that_was_named_is_used(checkout):
    model = load_model("x3d_s", "random", seed=1)
    assert (checkout / "ran").exists()
    assert model.logits([clips(13)])[0].shape == (2, 400)
    assert load_model("x3d_s", "random", labels=("a", "b")).logits([clips(13)])[0].shape == (2, 2)


def test_scores_are_logits_where_an_entry_would_end_with_a_softmax(checkout):
    (scores,) = load_model("x3d_s", "random", seed=1).logits([clips(13)])
    assert scores.min() < 0
    assert abs(scores.sum(1) - 1).max() > 0.1


def test_the_slow_pathway_gets_a_quarter_of_the_frames_from_the_first_to_the_last(checkout):
    model = load_model("slowfast_r50", "random", seed=1)
    pixels = np.zeros((2, 32, 10, 12, 3), np.uint8)
    pixels[:] = np.arange(32, dtype=np.uint8)[:, None, None, None] * 7  # each frame its number times seven
    model.logits([pixels], 2)
    module = model.network.module
    assert module.shapes == [(2, 3, 8, 10, 12), (2, 3, 32, 10, 12)]
    slow, fast = ((first * 0.225 + 0.45) * 255 / 7 for first in module.firsts)
    np.testing.assert_allclose(fast, np.arange(32), atol=1e-3)
    np.testing.assert_allclose(slow, [0, 4, 8, 13, 17, 22, 26, 31], atol=1e-3)  # linspace, cut: not every fourth


@pytest.mark.parametrize(("frames", "stride"), [(32, 4), (64, 4), (33, 4), (7, 2), (5, 5)])
def test_frames_of_a_pathway_are_those_of_the_authors_rule(frames, stride):
    expected = np.linspace(0, frames - 1, frames // stride, dtype=np.float32).astype(int)
    found = hub_torch.frames_of_pathway(frames, stride)
    assert found.dtype == torch.int64
    assert np.array_equal(found, expected)
    with pytest.raises(ConfigError, match=f"at least {stride} frames, not {stride - 1}"):
        hub_torch.frames_of_pathway(stride - 1, stride)


def test_weights_are_read_from_under_model_state(checkout, tmp_path):
    source = load_model("slowfast_r50", "random", seed=5)
    state = source.network.module.state_dict()
    torch.save({"epoch": 196, "model_state": state, "cfg": "text"}, tmp_path / "SLOWFAST_8x8_R50.pyth")
    model = load_model("slowfast_r50", tmp_path / "SLOWFAST_8x8_R50.pyth")
    assert np.array_equal(model.logits([clips(32)])[0], source.logits([clips(32)])[0])
    assert "took the weights under 'model_state'" in model.notes
    other = load_model("slowfast_r50", tmp_path / "SLOWFAST_8x8_R50.pyth", labels=("a", "b", "c"))
    assert other.random_head
    assert torch.equal(other.network.module.state_dict()["blocks.1.weight"], state["blocks.1.weight"])
    torch.save({"model_state": {**state, "more": torch.zeros(1)}}, tmp_path / "wrong.pyth")
    with pytest.raises(WeightsError, match="has 'more' that it does not know"):
        load_model("slowfast_r50", tmp_path / "wrong.pyth")


def test_every_parameter_has_a_gradient_through_both_pathways(checkout):
    module = build_module(CARDS["slowfast_r50.kinetics400_ptv"])
    module(torch.randn(2, 3, 32, 10, 12)).square().sum().backward()
    assert all(value.grad.abs().sum() > 0 for value in module.parameters())


def test_a_place_without_the_code_or_with_broken_code_is_one_sentence(checkout, monkeypatch, tmp_path):
    with pytest.raises(WeightsError, match=r"csn_r101 cannot be built from .*its code is broken\. Set VIDBENCH"):
        load_model("csn_r101", "random")
    with pytest.raises(WeightsError, match="x3d_m cannot be built"):  # no such entry
        load_model("x3d_m", "random")
    monkeypatch.setenv(hub_torch.VARIABLE, str(tmp_path))
    with pytest.raises(WeightsError, match=r"which has no hubconf.py\. Set VIDBENCH"):
        load_model("x3d_s", "random")


def test_github_means_one_commit_and_its_absence_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv(hub_torch.VARIABLE, "github")
    asked = []

    def load(repository, entry, **options):
        asked.append((repository, entry, options["source"], options["pretrained"]))
        raise OSError("no way to github.com")

    monkeypatch.setattr(torch.hub, "load", load)
    with pytest.raises(WeightsError, match=r"no way to github.com. Set VIDBENCH_PYTORCHVIDEO to a checkout"):
        load_model("x3d_s", "random")
    assert asked == [(f"facebookresearch/pytorchvideo:{hub_torch.COMMIT}", "x3d_s", "github", False)]
    assert len(hub_torch.COMMIT) == 40


def test_a_number_of_frames_that_the_network_does_not_take_is_refused(checkout):
    model = load_model("slowfast_r50", "random")
    with pytest.raises(ConfigError, match="takes exactly 32 frames a view, not 16"):
        model.spec = replace(model.spec, num_frames=16)


def test_a_network_with_two_pathways_is_evaluated_from_the_command_line(checkout, tmp_path):
    words = ["--model", "slowfast_r50", "--weights", "random", "--new-head", "--dataset", "vidmini", "--limit", "2"]
    words += ["--num-clips", "1", "--num-crops", "1", "--device", "cpu", "--results-dir", str(tmp_path / "r")]
    command = [sys.executable, str(ROOT / "scripts" / "evaluate.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "NO RESULT" in done.stdout


@pytest.mark.shared
@pytest.mark.parametrize("name", NAMES)
def test_cards_say_what_the_table_of_published_results_says(name, shared_dir):
    card = CARDS[name]
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["weights_url"] == card.weights.url)
    slowest = max(card.options.get("pathways", (1,)))
    assert (int(row["frames"]), int(row["frame_stride"])) == (
        card.input.num_frames // slowest,
        round(30 / card.input.frame_rate) * slowest,
    )
    assert (float(row["top1"]), float(row["top5"])) == (card.reported.top1, card.reported.top5)
    assert (int(row["clips"]), int(row["crops"])) == (card.input.num_clips, card.input.num_crops)
    assert row["crop_size"].startswith(str(card.input.crop[0]))
    assert abs(float(row["params_m"]) - card.params / 1e6) < 0.006
    assert (row["dataset"], row["source"]) == ("Kinetics-400", card.reported.source)
