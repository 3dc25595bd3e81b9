"""Cards say what is true of their weights; loading gives exactly what was asked for, or one clear sentence."""

import csv
import functools
import http.server
import importlib
import json
import re
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vidbench import models
from vidbench.data.classes import load_labels
from vidbench.models import CARDS, Weights, find_card, list_models, load_model
from vidbench.records import ConfigError, WeightsError
from vidbench.utils import sha256_of_file

ROOT = Path(__file__).resolve().parents[1]
TORCHVISION = [name for name, card in CARDS.items() if card.build.startswith("torchvision.")]
TORCH = [name for name, card in CARDS.items() if card.kind in ("torch", "transformers")]


def views(count, frames=4, height=24, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, frames, height, width, 3), dtype=np.uint8)


def torchvision_weights(card):
    """torchvision's own entry for a card: its enum member."""
    video = importlib.import_module("torchvision.models.video")
    stem = {"mvit_v1_b": "MViT_V1_B", "mvit_v2_s": "MViT_V2_S", "r2plus1d_18": "R2Plus1D_18"}
    name = stem.get(card.architecture) or re.sub("swin3d", "Swin3D", card.architecture).upper().replace("SWIN", "Swin")
    return getattr(getattr(video, f"{name}_Weights"), card.name.partition(".")[2].upper())


# --------------------------------------------------------------------------------------------------------- cards


def test_there_is_a_card_for_each_weights_of_torchvision():
    video = importlib.import_module("torchvision.models.video")
    theirs = {w.url for name in dir(video) if name.endswith("_Weights") for w in getattr(video, name)}
    assert {CARDS[name].weights.url for name in TORCHVISION} == theirs
    assert len(TORCHVISION) == 10


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_card_says_what_torchvision_says(name):
    card = CARDS[name]
    weights = torchvision_weights(card)
    meta, preset = weights.meta, weights.transforms()
    assert card.weights.url == weights.url
    assert card.weights.file == weights.url.rpartition("/")[2]
    assert card.weights.sha256 in weights.url
    assert len(card.weights.sha256) == 8
    assert list(card.input.crop) == preset.crop_size
    resize = card.input.resize
    assert (list(resize) if isinstance(resize, tuple) else [resize]) == preset.resize_size
    assert list(card.input.mean) == preset.mean
    assert list(card.input.std) == preset.std
    assert card.params == meta["num_params"]
    scores = meta["_metrics"]["Kinetics-400"]
    assert (card.reported.top1, card.reported.top5) == (scores["acc@1"], scores["acc@5"])
    assert list(load_labels(card.labels)) == meta["categories"]
    found = re.search(r"frame_rate=([\d.]+)`, `clips_per_video=(\d+)`, and `clip_len=(\d+)`", meta["_docs"])
    assert tuple(map(float, found.groups())) == (card.input.frame_rate, card.input.num_clips, card.input.num_frames)
    assert ("video-level" in meta["_docs"]) == card.reported.protocol.startswith("video level")
    assert card.num_frames[0] == meta.get("min_temporal_size", 1)
    # torchvision's reference sampler takes the first window where it takes one
    sampling = "clips_from_start" if card.input.num_clips == 1 else "clips"
    assert (card.input.average, card.input.num_crops, card.input.sampling) == ("probabilities", 1, sampling)


@pytest.mark.shared
@pytest.mark.parametrize("name", TORCHVISION)
def test_a_card_says_what_the_table_of_published_results_says(name, shared_dir):
    card = CARDS[name]
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["weights_url"] == card.weights.url)
    assert (float(row["top1"]), float(row["top5"])) == (card.reported.top1, card.reported.top5)
    assert (int(row["frames"]), int(row["clips"]), int(row["crops"])) == (
        card.input.num_frames,
        card.input.num_clips,
        card.input.num_crops,
    )
    assert row["frame_stride"] == f"resample to {card.input.frame_rate:g} fps"
    assert tuple(map(float, row["norm_mean"].split())) == card.input.mean
    assert tuple(map(float, row["norm_std"].split())) == card.input.std


@pytest.mark.parametrize("name", CARDS)
def test_every_card_is_whole(name):
    card = CARDS[name]
    assert card.name == name
    assert re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", name)
    assert len(load_labels(card.labels)) == card.num_classes
    assert card.input.num_frames >= card.num_frames[0]
    assert callable(models._imported(card.build))
    assert card.reported is None or card.reported.source


@pytest.mark.parametrize("name", TORCH)
def test_networks_have_as_many_parameters_and_classes_as_their_cards(name):
    card = CARDS[name]
    with torch.device("meta"):
        module = models.build_module(card)
    assert sum(parameter.numel() for parameter in module.parameters()) == card.params
    assert list(module.parameters())[-1].shape[0] == card.num_classes


SINCE = {"modality": "rgb", "corrupt": None, "temporal": None}  # fields that an input has got since


def test_mini_cards_say_how_the_shipped_weights_were_trained_and_what_they_reach():
    from vidbench import mini_recipe
    from vidbench.data.process import check_spec

    for name in list_models("mini*"):
        card = CARDS[name]
        side = json.loads((models.SHIPPED / card.weights.file).with_suffix(".json").read_text())
        assert card.input == mini_recipe.SPECS[card.architecture]
        assert json.loads(json.dumps(asdict(card.input))) == side["input"] | SINCE
        check_spec(card.input)
        assert (card.params, list(load_labels(card.labels))) == (side["num_parameters"], side["labels"])
        assert side["command"] in card.notes
        assert f"seed {side['seed']}" in card.notes
        fresh = side["measured"]["test split of seed 1"]
        for found in (side["measured"]["data/vidmini"]["top1"], fresh["top1"], fresh["inside_all_pairs"]):
            value, low, high = (f"{found[key] * 100:.1f}" for key in ("value", "low", "high"))
            assert f"{value} % [{low}, {high}], n={found['n']}" in card.notes


# ----------------------------------------------------------------------------------------------------- a new head


def test_other_classes_get_a_new_last_layer_and_keep_everything_else():
    model = load_model("mini2d", labels=("a", "b", "c"))
    whole = load_model("mini2d").network.module.state_dict()
    found = model.network.module.state_dict()
    assert {key for key in whole if whole[key].shape != found[key].shape} == {"head.weight", "head.bias"}
    assert all(torch.equal(whole[key], found[key]) for key in whole if not key.startswith("head."))
    assert model.labels == ("a", "b", "c")
    assert model.logits([views(2, 8, 56, 72)])[0].shape == (2, 3)
    assert model.random_weights
    assert not model.published_weights
    assert "head.bias, head.weight" in model.notes[-1]


def test_weights_with_the_new_classes_fill_the_new_last_layer(tmp_path):
    from safetensors.torch import save_file

    source = load_model("mini2d", "random", labels="ucf101", seed=5)
    save_file(source.network.module.state_dict(), tmp_path / "ucf.safetensors")
    model = load_model("mini2d", tmp_path / "ucf.safetensors", labels="ucf101")
    assert not model.random_weights
    assert len(model.labels) == 101
    pixels = views(1, 8, 56, 72)
    np.testing.assert_array_equal(model.logits([pixels])[0], source.logits([pixels])[0])
    with pytest.raises(WeightsError, match="101 classes where 51 are asked for"):
        load_model("mini2d", tmp_path / "ucf.safetensors", labels="hmdb51")


def test_labels_that_are_none_are_refused():
    for wrong in ((), ("a", "a"), (1, 2)):
        with pytest.raises(ConfigError, match="different class names"):
            load_model("mini2d", "random", labels=wrong)
    with pytest.raises(ConfigError, match="finished program"):
        load_model("i3d.tfhub_kinetics400", "random", labels=("a", "b"))


def swapped_names(tensors, shapes):
    """What a card's ``convert`` may do: other names, the same tensors."""
    assert set(shapes) == {key.removeprefix("net/") for key in tensors}
    return {key.removeprefix("net/"): value for key, value in tensors.items()}


def test_a_card_turns_others_names_into_the_networks(tmp_path, monkeypatch):
    source = load_model("mini2d").network.module.state_dict()
    torch.save({f"net/{key}": value for key, value in source.items()}, tmp_path / "theirs.pth")
    monkeypatch.setattr(models, "swapped_names", swapped_names, raising=False)
    card = replace(CARDS["mini2d.vidmini_v1"], convert="vidbench.models:swapped_names")
    monkeypatch.setitem(CARDS, card.name, card)
    found = load_model("mini2d", tmp_path / "theirs.pth").network.module.state_dict()
    assert all(torch.equal(source[key], found[key]) for key in source)


# --------------------------------------------------------------------------------------------------------- names


def test_names_are_found_by_pattern_and_by_architecture():
    assert list_models("*imagenet22k*") == ["swin3d_b.kinetics400_imagenet22k_v1"]
    assert list_models("nothing*") == []
    assert list_models() == list(CARDS)
    assert find_card("r3d_18") is CARDS["r3d_18.kinetics400_v1"]
    assert find_card("swin3d_b") is CARDS["swin3d_b.kinetics400_v1"]
    assert find_card("movinet_a0_stream").num_classes == 600


@pytest.mark.parametrize(("name", "near"), [("r3d18", "r3d_18"), ("s3d.kinetics", "s3d"), ("mini_r21d", "mini")])
def test_an_unknown_name_gets_the_nearest_known_one(name, near):
    with pytest.raises(ConfigError, match=f"There is no model '{name}'. Did you mean .*'{near}"):
        load_model(name)


def test_asking_for_models_loads_neither_torch_nor_tensorflow():
    code = (
        "import sys, vidbench.models as m, vidbench.predict; m.list_models(); m.find_card('s3d'); "
        "m.library_version(m.CARDS['i3d.tfhub_kinetics400']); "
        "print([n for n in ('torch', 'tensorflow', 'torchvision', 'ai_edge_litert') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


# ------------------------------------------------------------------------------------------------------- weights


def test_random_weights_follow_the_seed_and_say_so():
    pixels = [views(2)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again = (load_model("mini2d", "random", seed=3) for _ in range(2))
    other = load_model("mini2d", "random", seed=4)
    assert torch.equal(torch.get_rng_state(), before), "the caller's random numbers stay where they are"
    assert np.array_equal(first.logits(pixels)[0], again.logits(pixels)[0])
    assert not np.allclose(first.logits(pixels)[0], other.logits(pixels)[0])
    assert (first.random_weights, first.weights_source, first.weights_sha256) == (True, "random", None)
    assert not first.published_weights


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file_give_the_same_logits(tmp_path, suffix):
    from safetensors.torch import save_file

    source = load_model("mini_r2plus1d", "random", seed=1)
    state = source.network.module.state_dict()
    path = tmp_path / f"mine{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    model = load_model("mini_r2plus1d", path)
    assert np.array_equal(model.logits([views(2)])[0], source.logits([views(2)])[0])
    assert (model.weights_source, model.weights_file) == ("path", str(path))
    assert model.weights_sha256 == sha256_of_file(path)
    assert not model.random_weights
    assert not model.published_weights


def test_weights_of_another_network_or_class_count_are_refused(tmp_path):
    state = load_model("mini2d", "random").network.module.state_dict()
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"does not fit mini_r2plus1d.vidmini_v1: it lacks 'stem"):
        load_model("mini_r2plus1d", tmp_path / "a.pth")
    heads = {key: torch.zeros(7, *value.shape[1:]) for key, value in state.items() if key.startswith("head.")}
    torch.save(state | heads, tmp_path / "b.pth")
    with pytest.raises(WeightsError, match="7 classes where 12 are asked"):
        load_model("mini2d", tmp_path / "b.pth")


def with_url(monkeypatch, tmp_path, url, sha256=""):
    """mini2d as a card whose weights are downloaded into ``tmp_path``; returns where they go."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    card = replace(CARDS["mini2d.vidmini_v1"], weights=Weights("w.pth", url, sha256))
    monkeypatch.setitem(CARDS, card.name, card)
    return tmp_path / "cache" / "vidbench" / "weights" / "w.pth"


@pytest.fixture
def server(tmp_path):
    """A web server on this machine: a folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{web.server_port}"
    web.shutdown()
    web.server_close()


def test_upstream_weights_are_fetched_once(monkeypatch, tmp_path, server):
    folder, address = server
    source = load_model("mini2d", "random", seed=9)
    torch.save(source.network.module.state_dict(), folder / "w.pth")
    place = with_url(monkeypatch, tmp_path, f"{address}/w.pth", sha256_of_file(folder / "w.pth")[:8])
    model = load_model("mini2d")
    assert np.array_equal(model.logits([views(1)])[0], source.logits([views(1)])[0])
    assert (model.weights_source, model.published_weights) == ("upstream", True)
    (folder / "w.pth").unlink()
    assert load_model("mini2d").weights_sha256 == sha256_of_file(place)


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("mini2d", None, "part of vidbench"),
        ("mini2d", "random", "random: no result"),
        ("mini2d", "own.pth", "from own.pth"),
        ("r2plus1d_18.kinetics400_v1", None, "about 126 MB, to be fetched once from https://download.pytorch.org/"),
        ("videomae_base.kinetics400", None, "in the cache of the library that fetches them, or about "),
        ("i3d.tfhub_kinetics400", None, "in the cache of the library that fetches them, or about 50.8 MB, to be f"),
        ("tsn_resnet18", None, "none: "),
    ],
)
def test_weights_are_described_without_asking_for_them(name, weights, words, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("somebody was asked"))
    assert models.describe_weights(find_card(name), weights).startswith(words)


def test_weights_that_are_there_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    card = find_card("r2plus1d_18.kinetics400_v1")
    place = tmp_path / "checkpoints" / card.weights.file
    place.parent.mkdir()
    place.touch()
    assert models.describe_weights(card) == f"on this machine, {place}"


def test_another_file_at_the_address_is_refused_and_not_kept(monkeypatch, tmp_path, server):
    folder, address = server
    (folder / "w.pth").write_bytes(b"<html>Sign in</html>")
    place = with_url(monkeypatch, tmp_path, f"{address}/w.pth", "12345678")
    with pytest.raises(WeightsError, match=r"gave another file.*not 12345678"):
        load_model("mini2d")
    assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/w.pth", "{server}/absent.pth"])
def test_an_address_that_does_not_answer_is_one_clear_sentence(monkeypatch, tmp_path, server, path):
    url = path.format(server=server[1])
    place = with_url(monkeypatch, tmp_path, url, "12345678")
    with pytest.raises(WeightsError) as caught:
        load_model("mini2d")
    words = str(caught.value)
    assert all(part in words for part in (url, str(place), "--weights PATH", "--weights random"))
    assert not place.parent.exists()


def test_damaged_weights_in_the_download_folder_are_refused(monkeypatch, tmp_path):
    place = with_url(monkeypatch, tmp_path, "http://127.0.0.1:9/w.pth", "12345678")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half of it")
    with pytest.raises(WeightsError, match=r"is not the published file.*delete it"):
        load_model("mini2d")


def test_torchvisions_weights_are_looked_for_where_torchvision_puts_them(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "r3d_18-b3b3357e.pth"
    place.parent.mkdir()
    place.write_bytes(b"not it")
    with pytest.raises(WeightsError, match=re.escape(str(place))):
        load_model("r3d_18")


# ------------------------------------------------------------------------------------------------------ networks


@pytest.mark.parametrize(
    ("name", "frames", "size"),
    [("r3d_18", 2, 32), ("mc3_18", 2, 32), ("r2plus1d_18", 2, 32), ("swin3d_t", 2, 32), ("s3d", 14, 224)],
)
def test_torchvisions_networks_run_behind_the_same_call(name, frames, size):
    model = load_model(name, "random")
    (scores,) = model.logits([views(1, frames, size, size)], 1)
    assert scores.shape == (1, 400)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert model.labels == load_labels("kinetics400")


@pytest.mark.parametrize("name", ["mvit_v1_b", "mvit_v2_s", "swin3d_s", "swin3d_b.kinetics400_imagenet22k_v1"])
def test_torchvisions_large_networks_take_the_views_of_their_cards(name):
    card = find_card(name)
    with torch.device("meta"):  # shapes without arithmetic
        module = models.build_module(card)
        assert module(torch.empty(2, 3, card.input.num_frames, *card.input.crop)).shape == (2, 400)


@pytest.mark.slow
def test_a_large_transformer_runs_too():
    assert load_model("mvit_v2_s", "random").logits([views(1, 16, 224, 224)], 1)[0].shape == (1, 400)


def test_torchvisions_own_call_gives_the_same_logits():
    model = load_model("r3d_18", "random", seed=2)
    pixels = views(1, 3, 48, 64)
    preset = importlib.import_module("torchvision.models.video").R3D_18_Weights.KINETICS400_V1.transforms()
    preset = preset.__class__(crop_size=(48, 64), resize_size=(48, 64))
    clip = preset(torch.from_numpy(pixels).permute(0, 1, 4, 2, 3))
    with torch.inference_mode():
        expected = model.network.module(clip).numpy()
    np.testing.assert_allclose(model.logits([pixels])[0], expected, atol=1e-5)


def test_the_single_frame_network_is_blind_to_order_and_the_other_is_not():
    pixels = views(1, 8, 56, 72)
    backwards = np.ascontiguousarray(pixels[:, ::-1])
    flat, deep = load_model("mini2d", "random"), load_model("mini_r2plus1d", "random")
    np.testing.assert_allclose(flat.logits([pixels])[0], flat.logits([backwards])[0], atol=1e-6)
    assert np.abs(deep.logits([pixels])[0] - deep.logits([backwards])[0]).max() > 1e-6


def test_pixels_of_another_kind_are_a_programming_error():
    model = load_model("mini2d", "random")
    for wrong in (views(1).astype(np.float32), views(1)[0], views(1)[..., :1], views(1)[:0]):
        with pytest.raises(ValueError, match="views must be uint8"):
            model.logits([wrong])
    with pytest.raises(ValueError, match="batch_size"):
        model.logits([views(1)], 0)


def test_a_number_of_frames_that_the_network_cannot_take_is_refused():
    model = load_model("s3d", "random")
    with pytest.raises(ConfigError, match="takes at least 14 frames a view, not 8"):
        model.spec = replace(model.spec, num_frames=8)
    model.spec = replace(model.spec, num_frames=64, num_clips=3)
    assert model.network.spec.num_clips == 3
    assert models.check_frames(CARDS["mvit_v1_b.kinetics400_v1"], 16) is None
    with pytest.raises(ConfigError, match="takes exactly 16 frames"):
        models.check_frames(CARDS["mvit_v1_b.kinetics400_v1"], 32)


def test_options_that_cannot_be_used_are_refused_before_any_work():
    with pytest.raises(ConfigError, match="Precision 'fp8'"):
        load_model("swin3d_b", precision="fp8")
    with pytest.raises(ConfigError, match="none of auto, cpu"):
        load_model("swin3d_b", device="tpu")


# ------------------------------------------------------------------------------------------------ shipped weights


@pytest.mark.parametrize("name", ["mini2d.vidmini_v1", "mini_r2plus1d.vidmini_v1"])
def test_shipped_weights_are_small_and_those_on_the_card(name):
    card = CARDS[name]
    path = models.SHIPPED / card.weights.file
    side = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size <= 2_000_000
    assert sha256_of_file(path) == card.weights.sha256 == side["sha256"]
    model = load_model(name)
    assert (model.weights_source, model.published_weights, model.random_weights) == ("shipped", True, False)
    assert model.logits([views(1, 8, 56, 72)])[0].shape == (1, 12)
