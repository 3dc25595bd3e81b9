"""Every training recipe of scripts/configs is one that runs: its options parse, its network is built, a step works."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_hub_torch import HUBCONF

from vidbench import hub_torch, models, optimise, train, train_task
from vidbench.arguments import TRAIN, TrainConfig
from vidbench.data import catalog, index
from vidbench.data.classes import load_labels
from vidbench.flags import parse
from vidbench.intervals import clustered_proportion
from vidbench.records import ConfigError

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "scripts" / "configs").glob("train-*.txt"))
NAMES = [path.stem for path in CONFIGS]
CHECKPOINT = re.compile(r"^--weights +results/([\w-]+)/last\.safetensors", re.MULTILINE)


# A stand-in for pytorchvideo with every entry that a recipe names; VIDBENCH_PYTORCHVIDEO has the real one tested.
ENTRIES = (
    HUBCONF
    + """

def csn_r101(pretrained=False, progress=True, *, model_num_class=400, head_activation=None):
    return Net(1, model_num_class, head_activation)
"""
)


@pytest.fixture(autouse=True, scope="module")
def pytorchvideo(tmp_path_factory):
    """The checkout that the environment names, or the stand-in."""
    if hub_torch.VARIABLE in os.environ:
        yield
        return
    folder = tmp_path_factory.mktemp("pytorchvideo")
    (folder / "hubconf.py").write_text(ENTRIES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(hub_torch.VARIABLE, str(folder))
        yield


def text_of(name: str) -> str:
    return CONFIGS[NAMES.index(name)].read_text(encoding="utf-8")


def before(name: str) -> str | None:
    """The recipe whose checkpoint this one goes on from."""
    found = CHECKPOINT.search(text_of(name))
    return found[1] if found else None


def asked(name: str) -> TrainConfig:
    """The recipe as ``train.py @FILE`` reads it; where it goes on from a checkpoint, with that network instead."""
    first = before(name)
    instead = ["--weights", "random", "--model", asked(first).model] if first else []
    return parse(TRAIN, [f"@{CONFIGS[NAMES.index(name)]}", *instead])[0]


def built(config: TrainConfig):
    """Card, input and frames of a training view of a recipe, and its network without memory for its weights."""
    card = models.with_options(models.find_card(config.model), config.options)
    spec, num_frames = train_task.make_spec(card, config)
    with torch.device("meta"):
        network = models.build_module(card, len(load_labels(catalog.find_dataset(config.dataset).labels)))
    return card, spec, num_frames, network


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is_and_where_its_results_go(name):
    config, text = asked(name), text_of(name)
    assert config.run_name == name
    assert config.split == "train"
    assert f"python scripts/train.py @scripts/configs/{name}.txt" in text
    assert text.startswith("# ")
    catalog.find_dataset(config.dataset)
    assert models.find_card(config.model).can_be_random


@pytest.mark.parametrize("name", [name for name in NAMES if before(name)])
def test_a_recipe_that_goes_on_says_so_where_there_is_nothing_yet(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"--weights 'results/{before(name)}/last.safetensors' does not exist"):
        parse(TRAIN, [f"@{CONFIGS[NAMES.index(name)]}"])


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_takes_a_step_at_its_own_size(name):
    """Forward, loss, backward and optimiser on torch's device ``meta``: every shape fits, nothing is computed."""
    config = asked(name)
    card, spec, num_frames, network = built(config)
    optimise.freeze(network.train(), [], norms=NORMS[config.freeze])
    height, width = spec.crop
    shape = {"NCTHW": (2, 3, num_frames, height, width), "NTCHW": (2, num_frames, 3, height, width)}
    shape |= {"NTHWC": (2, num_frames, height, width, 3), "NCHW": (2 * num_frames, 3, height, width)}
    with torch.device("meta"):
        logits = network(torch.empty(shape[spec.layout]))
        labels = torch.zeros(logits.shape[0], dtype=torch.int64)
        optimise.loss_of(logits, labels, smoothing=config.label_smoothing, focal=config.focal).backward()
    groups = optimise.parameter_groups(
        network, models.head_keys(card), rate=config.learning_rate, weight_decay=config.weight_decay,
        layer_decay=config.layer_decay, head_rate=config.head_rate,
    )  # fmt: skip
    optimizer = optimise.make_optimizer(config.optimizer, groups, config.learning_rate)
    optimise.make_schedule(config.schedule, optimizer, 100, round(config.warmup_epochs))
    optimizer.step()
    unused = {id(p) for name, p in network.named_parameters() if ".predictor." in name}  # V-JEPA 2's: not for classes
    assert all(p.grad is not None for group in groups for p in group["params"] if id(p) not in unused)


NORMS = {"nothing": "none", "backbone": "all", "norms": "all", "partial-norms": "partial"}
SMALL = {  # what runs on a processor in seconds: options that make it smaller still
    "train-vidmini": {},
    "train-ucf101-mini": {},
    "train-ucf101-tsn-squeezenet": {"short_side": 72, "crop": 64, "num_frames": 3},
    "train-ucf101-cnn-rnn-squeezenet": {"short_side": 72, "crop": 64, "num_frames": 3},
    "train-hmdb51-cnn-rnn": {"short_side": 48, "crop": 40, "num_frames": 3, "precision": "fp32"},
    "train-ucf101-movinet-head": {"short_side": 48, "crop": 48, "num_frames": 4},
    "train-ucf101-slowfast": {"short_side": 48, "crop": 40, "precision": "fp32"},
    "train-ucf101-x3d_s": {"short_side": 48, "crop": 40, "precision": "fp32"},
    "train-ucf101-csn": {"short_side": 48, "crop": 40, "precision": "fp32"},
}


@pytest.fixture(scope="module")
def two_classes(make_video, tmp_path_factory) -> Path:
    """A stand-in for any dataset: two classes with three sources each."""
    root, lines = tmp_path_factory.mktemp("two"), ["path,label,split,group"]
    for label in ("Jump", "Run"):
        for number in range(3):
            make_video(root / label / f"{number}.mp4", num_frames=12, width=100, height=76)
            lines.append(f"{label}/{number}.mp4,{label},train,{label}{number}")
    (root / "annotations.csv").write_text("\n".join(lines) + "\n")
    (root / "pairs.csv").write_text("class,backwards\nJump,Run\n")
    return root


@pytest.mark.parametrize("name", SMALL)
def test_a_recipe_trains_on_a_stand_in(name, two_classes, tmp_path):
    """The file as it is, with other data, one epoch and fewer pixels; the weights move and are finite."""
    words = [f"@{CONFIGS[NAMES.index(name)]}", "--dataset", "csv", "--data-dir", two_classes, "--weights", "random"]
    words += ["--epochs", 1, "--batch-size", 2, "--val-share", "0.34", "--num-workers", 0, "--device", "cpu"]
    words += ["--cache-dir", tmp_path / "clips", "--results-dir", tmp_path, "--no-tensorboard"]
    words += ["--reverse", two_classes / "pairs.csv"] if asked(name).reverse else []
    for option, value in SMALL[name].items():
        words += [f"--{option.replace('_', '-')}", value]
    text = [str(word) for word in words]
    asked_for = parse(TRAIN, text)[0]
    config = dataclasses.replace(asked_for, backbone_weights=None)  # not fetched here
    done = train.train(config)
    assert (done.exit_status, done.metrics["listed"]["top1"]["n"]) == (0, 2)
    log = next((tmp_path / name / "log").glob("*/metrics.csv")).read_text().splitlines()
    place = log[0].split(",").index("loss")
    losses = [float(line.split(",")[place]) for line in log[1:] if line.split(",")[place]]
    assert losses
    assert all(math.isfinite(loss) for loss in losses)


def test_together_they_cover_what_the_course_and_the_seeds_name():
    networks = {asked(name).model.partition(".")[0] for name in NAMES}
    for family in ("i3d", "s3d", "resnet3d50_c2d", "resnet3d50_i3d", "tsn_resnet18", "cnn_lstm", "videomae_base"):
        assert family in networks
    assert {"timesformer_base", "r2plus1d_18", "movinet_a0_stream", "mini_r2plus1d", "vivit_base"} <= networks
    assert {"slowfast_r50", "x3d_s", "csn_r101", "videomae2_base", "vjepa2_large", "tsm_resnet50"} <= networks
    modes = [asked(f"train-ucf101-resnet3d-{mode}") for mode in range(3)]
    inflation = [models.with_options(models.find_card(c.model), c.options).options["inflate"] for c in modes]
    assert inflation == [0, 1, 2]
    blog = asked("train-hmdb51-cnn-rnn")
    assert (blog.num_frames, blog.crop, blog.batch_size, blog.dataset, blog.fold) == (16, 112, 8, "hmdb51", 1)
    assert not blog.allow_leak


# ---------------------------------------------------------------- the table of accuracies


@pytest.fixture(scope="module")
def accuracy():
    path = CONFIGS[0].parents[2] / "benchmarks" / "accuracy.py"
    spec = importlib.util.spec_from_file_location("vidbench_accuracy", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_table_names_recipes_that_are_there_and_in_an_order_that_works(accuracy):
    seen = set()
    for side, seed, recipe in accuracy.order(range(2)):
        assert f"train-ucf101-{recipe.config}" in NAMES
        assert not recipe.after or (side, seed, recipe.after) in seen
        assert bool(recipe.after) == bool(before(f"train-ucf101-{recipe.config}"))
        seen.add((side, seed, recipe.name))
    assert len(seen) == 2 * len(accuracy.RECIPES) * len(accuracy.SIDES)


def test_pooled_seeds_do_not_count_as_more_sources(accuracy):
    right, groups = np.array([True] * 6 + [False] * 3), [f"g{number}" for number in range(9)]
    each, of_all = accuracy.cell([(right, groups)] * 3)
    assert each == "66.7, 66.7, 66.7"
    once = clustered_proportion(right, groups)
    low, high = (float(value) / 100 for value in re.search(r"\[(.*), (.*)\]", of_all).groups())
    assert low <= once["low"] + 1e-3
    assert high >= once["high"] - 1e-3
    assert accuracy.cell([]) == ("-", "-")


@pytest.mark.shared
def test_only_the_leaking_list_has_sources_on_both_sides(accuracy, shared_dir, tmp_path):
    accuracy.make_lists(shared_dir / "data", tmp_path, range(2))
    for name, shared in (("official", False), ("leaking-0", True), ("leaking-1", True)):
        sides = {
            split: index.load_records("csv", tmp_path, split, annotations=tmp_path / f"{name}.csv")
            for split in ("train", "test")
        }
        assert {split: len(records) for split, records in sides.items()} == {"train": 144, "test": 36}
        groups = [{record.group for record in records} for records in sides.values()]
        assert bool(groups[0] & groups[1]) is shared
