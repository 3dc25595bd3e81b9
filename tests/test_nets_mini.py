import json
from pathlib import Path

import numpy as np
import pytest

from vidbench import mini_recipe
from vidbench.data import mini
from vidbench.utils import sha256_of_file

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "vidbench" / "weights"
MODELS = sorted(mini_recipe.SPECS)


@pytest.fixture(scope="module")
def shipped():
    """Frames and labels of the shipped test split by model, each clip read once."""
    paths, labels = mini_recipe.list_clips(ROOT / "data" / "vidmini", "test")
    return {model: mini_recipe.load_clips(paths, mini_recipe.SPECS[model].num_frames) for model in MODELS}, labels


@pytest.fixture(scope="module")
def networks():
    return {model: mini_recipe.load_weights(model, WEIGHTS / f"{model}.vidmini_v1.safetensors") for model in MODELS}


@pytest.fixture(scope="module")
def scores(shipped, networks):
    """What the shipped weights say of each clip of the test split, by model."""
    return {model: mini_recipe.score_clips(networks[model], model, shipped[0][model]) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_shipped_weights_are_small_and_are_those_the_card_describes(model):
    path = WEIGHTS / f"{model}.vidmini_v1.safetensors"
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert path.stat().st_size == card["num_bytes"] < 2_000_000
    assert card["sha256"] == sha256_of_file(path)
    assert tuple(card["labels"]) == mini.CLASSES
    assert {"command", "recipe", "measured", "hardness", "input", "license", "seed"} <= set(card)
    for measured in card["measured"].values():
        assert {"value", "low", "high", "k", "n"} <= set(measured["top1"])


@pytest.mark.parametrize("model", MODELS)
def test_shipped_weights_score_what_their_card_says(model, shipped, scores):
    report = mini_recipe.order_report(scores[model], shipped[1])
    card = json.loads((WEIGHTS / f"{model}.vidmini_v1.json").read_text(encoding="utf-8"))
    said = card["measured"]["data/vidmini"]
    assert abs(report["top1"]["k"] - said["top1"]["k"]) <= 1  # rounding differs between processors
    assert abs(report["inside_all_pairs"]["k"] - said["inside_all_pairs"]["k"]) <= 1


def test_the_network_over_time_tells_nearly_every_class(shipped, scores):
    assert (scores["mini_r2plus1d"].argmax(1) == shipped[1]).mean() >= 0.95


def test_the_single_frame_network_tells_what_but_not_which_way(shipped, scores):
    report = mini_recipe.order_report(scores["mini2d"], shipped[1])
    assert report["appearance"]["value"] >= 0.85
    assert report["inside_all_pairs"]["low"] <= 0.5 <= report["inside_all_pairs"]["high"]


def test_the_single_frame_network_ignores_the_order_of_frames(shipped, networks):
    clips = shipped[0]["mini2d"][::7]
    order = np.random.default_rng(3).permutation(clips.shape[1])
    straight = mini_recipe.score_clips(networks["mini2d"], "mini2d", clips)
    shuffled = mini_recipe.score_clips(networks["mini2d"], "mini2d", np.ascontiguousarray(clips[:, order]))
    np.testing.assert_allclose(straight, shuffled, atol=1e-4)


def test_backwards_an_order_class_becomes_its_partner_and_an_appearance_class_stays(shipped, networks):
    clips, labels = shipped
    reversed_clips = np.ascontiguousarray(clips["mini_r2plus1d"][:, ::-1])
    found = mini_recipe.score_clips(networks["mini_r2plus1d"], "mini_r2plus1d", reversed_clips).argmax(1)
    assert (found == mini_recipe.REVERSED[labels]).mean() >= 0.9
    order = mini_recipe.REVERSED[labels] != labels
    assert (found[order] == labels[order]).mean() <= 0.1


@pytest.mark.parametrize("model", MODELS)
def test_networks_take_other_sizes_and_class_counts(model):
    import torch

    from vidbench.nets import mini as nets

    network = getattr(nets, f"build_{model}")(5).eval()
    shape = (2, 3, 40, 56) if model == "mini2d" else (2, 3, 12, 40, 56)
    with torch.inference_mode():
        assert network(torch.zeros(shape)).shape == (2, 5)


def test_the_same_seed_builds_the_same_network():
    import torch

    for model in MODELS:
        states = []
        for _ in range(2):
            torch.manual_seed(5)
            states.append(mini_recipe.build(model).state_dict())
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_mirror_and_reversal_swap_labels_exactly_where_they_change_the_meaning():
    names = np.array(mini.CLASSES)
    assert names[mini_recipe.MIRRORED[mini.CLASSES.index("LeftToRight")]] == "RightToLeft"
    assert (np.arange(12) != mini_recipe.MIRRORED).sum() == 2
    assert names[mini_recipe.REVERSED[mini.CLASSES.index("StandUp")]] == "SitDown"
    assert (np.arange(12) != mini_recipe.REVERSED).sum() == 8
    assert (mini_recipe.REVERSED[mini_recipe.REVERSED] == np.arange(12)).all()


def test_augmentation_follows_its_labels():
    # a white square that moves right; whatever augmentation does, the label names its direction
    clip = np.zeros((32, 60, 80, 3), np.uint8)
    for number in range(32):
        clip[number, 20:40, 4 + 2 * number : 14 + 2 * number] = 255
    recipe = mini_recipe.RECIPES["mini_r2plus1d"]
    seen = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        view, label = mini_recipe.augment(rng, clip, mini.CLASSES.index("LeftToRight"), recipe)
        assert view.shape == (16, 3, 56, 72)
        assert view.dtype == np.float32
        odd = np.abs(view - np.median(view)).mean((1, 2))  # (T, W): where the square is
        places = (odd * np.arange(72)).sum(1) / odd.sum(1)
        right = "LeftToRight" if places[-1] > places[0] else "RightToLeft"
        assert mini.CLASSES[label] == right
        seen.add(right)
    assert len(seen) == 2


@pytest.mark.slow
def test_training_is_deterministic_and_learns(tmp_path):
    frames = [(label, index) for label in ("OpenDoor", "HoldUmbrella") for index in range(12)]
    clips = np.stack([mini.draw_clip(label, index, split="train")[::4][:12, ::2, ::2] for label, index in frames])
    labels = np.array([mini.CLASSES.index(label) for label, _ in frames])
    recipe = mini_recipe.Recipe("mini2d", epochs=6, batch_size=8, reverse=False)
    losses: list[float] = []
    networks = [
        mini_recipe.fit(clips, labels, recipe, tell=lambda line: losses.append(float(line.split()[-1]))) for _ in "ab"
    ]
    assert losses[:6] == losses[6:]
    assert losses[5] < 0.7 * losses[0]
    mini_recipe.save_weights(networks[0], tmp_path / "a.safetensors")
    again = mini_recipe.load_weights("mini2d", tmp_path / "a.safetensors")
    np.testing.assert_array_equal(
        mini_recipe.score_clips(again, "mini2d", clips[:, :8]),
        mini_recipe.score_clips(networks[1], "mini2d", clips[:, :8]),
    )
