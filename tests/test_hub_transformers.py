"""Checkpoints of transformers give here what the library itself gives, or one sentence that names what differs."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vidbench import hub_transformers
from vidbench.models import CARDS, Weights, build_module, find_card, load_model
from vidbench.records import ConfigError, InputSpec, WeightsError

ROOT = Path(__file__).resolve().parents[1]
NAMES = [name for name, card in CARDS.items() if card.kind == "transformers"]
TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20}
JEPA = {
    **{name: value for name, value in TINY.items() if name != "intermediate_size"},
    "pred_hidden_size": 24,
    "pred_num_attention_heads": 4,
    "pred_num_hidden_layers": 1,
    "num_pooler_layers": 1,
}
SMALL = {  # one of each kind, with few parameters
    "videomae_base.kinetics400": {**TINY, "image_size": 32, "num_frames": 6},
    "timesformer_base.kinetics400": {**TINY, "image_size": 32, "num_frames": 5},
    "timesformer_joint.kinetics400": {**TINY, "image_size": 32, "num_frames": 5},
    "timesformer_space.kinetics400": {**TINY, "image_size": 32, "num_frames": 5},
    "vivit_base.kinetics400": {**TINY, "image_size": 32, "num_frames": 6},
    "vjepa2_large.somethingv2": {**JEPA, "crop_size": 32, "frames_per_clip": 6},
}
PROCESSORS = {
    "videomae": "VideoMAEVideoProcessor",
    "timesformer": "TimesformerVideoProcessor",
    "vivit": "VivitVideoProcessor",
    "vjepa2": "VJEPA2VideoProcessor",
}


def small(monkeypatch, name):
    """The card of a name with a small network of the same kind in its place."""
    card, options = CARDS[name], SMALL[name]
    frames = options.get("num_frames", options.get("frames_per_clip"))
    resize = 36 if card.options["model_type"] == "vjepa2" else 40
    spec = replace(card.input, num_frames=frames, resize=resize, crop=(32, 32))
    limits = card.num_frames if card.num_frames[1] is None else (frames, frames)
    card = replace(card, options={**card.options, **options}, input=spec, num_frames=limits)
    monkeypatch.setitem(CARDS, name, card)
    return card


def save_processor(card, folder, **other):
    import transformers

    kind = card.options["model_type"]
    values = {
        "size": {"shortest_edge": card.input.resize},
        "crop_size": {"height": 32, "width": 32},
        "image_mean": card.input.mean,
        "image_std": card.input.std,
        "do_normalize": kind != "vivit",
        **other,
    }
    if kind == "vjepa2":
        values["crop_size"] = 32  # its size follows: 32 * 256 / 224
    getattr(transformers, PROCESSORS[kind])(**values).save_pretrained(folder)


def save_folder(card, folder, *, seed=0, labels=None, **processor):
    """A checkpoint as the library saves it: its own (older) names of parameters, config.json, processor."""
    from vidbench.data.classes import load_labels

    labels = labels or load_labels(card.labels)
    torch.manual_seed(seed)
    module = build_module(card, len(labels))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # biases are zero at first, and could be mixed up unseen
    module.config.id2label = dict(enumerate(labels))
    module.config.label2id = {label: index for index, label in enumerate(labels)}
    module.save_pretrained(folder)
    save_processor(card, folder, **processor)
    return folder


def views(card, count=2, seed=0):
    shape = (count, card.input.num_frames, *card.input.crop, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def librarys_logits(folder, frames, **call):
    """transformers used directly: its processor and its model on frames (T, H, W, 3)."""
    from transformers import AutoModelForVideoClassification, AutoVideoProcessor

    processor = AutoVideoProcessor.from_pretrained(folder)
    model = AutoModelForVideoClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(**processor(frames, return_tensors="pt", **call)).logits.numpy()


def logits_of_averaged_frames(folder, frames):
    """What the authors do with frames looked at apart, from the library's own tokens; it gives a row a frame itself."""
    from transformers import AutoModelForVideoClassification, AutoVideoProcessor

    processor = AutoVideoProcessor.from_pretrained(folder)
    model = AutoModelForVideoClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        found = model(**processor(frames, return_tensors="pt", do_resize=False), output_hidden_states=True)
        assert found.logits.shape[0] == len(frames)
        tokens = found.hidden_states[-1].mean(0, keepdim=True)
        return model.classifier(model.timesformer.layernorm(tokens)[:, 0]).numpy()


def change_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# ------------------------------------------------------------------------------------------------- the same answer


@pytest.mark.parametrize("name", SMALL)
def test_a_folder_gives_the_logits_of_the_library_itself(monkeypatch, tmp_path, name):
    """Frames that need no resizing: logits within 2e-5."""
    card = small(monkeypatch, name)
    folder = save_folder(card, tmp_path / "f")
    model = load_model(name, folder)
    pixels = views(card)
    (found,) = model.logits([pixels])
    if name == "timesformer_space.kinetics400":
        expected = np.concatenate([logits_of_averaged_frames(folder, view) for view in pixels])
    else:
        expected = np.concatenate([librarys_logits(folder, view, do_resize=False) for view in pixels])
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert (model.weights_source, model.random_weights, model.published_weights) == ("path", False, False)
    assert model.notes == ()


def test_decoded_videos_are_prepared_as_by_the_librarys_processor_but_for_its_antialiasing(
    monkeypatch, tmp_path, make_video
):
    """The library smooths when it makes pictures smaller; the authors' code and ours do not."""
    from transformers import VideoMAEVideoProcessor

    from vidbench.data.decode import Limits
    from vidbench.data.load import read_views

    card = small(monkeypatch, "videomae_base.kinetics400")
    card = replace(card, input=replace(card.input, num_clips=1, num_crops=1, sampling="uniform", frame_rate=None))
    monkeypatch.setitem(CARDS, card.name, card)
    folder = save_folder(card, tmp_path / "f")
    model = load_model(card.name, folder)
    found = read_views(make_video(tmp_path / "v.mp4", num_frames=30), card.input, limits=Limits(), cache=None)
    whole = replace(card.input, resize=(96, 128), crop=(96, 128))
    frames = read_views(tmp_path / "v.mp4", whole, limits=Limits(), cache=None).pixels[0]
    (ours,) = model.logits([found.pixels])
    smooth = librarys_logits(folder, frames)
    plain = VideoMAEVideoProcessor.resize
    monkeypatch.setattr(VideoMAEVideoProcessor, "resize", lambda *a, **k: plain(*a, **{**k, "antialias": False}))
    expected = librarys_logits(folder, frames)
    assert np.abs(ours - expected).max() < 0.02  # one level of 255 in a few values, where a sum lies between two
    assert np.abs(ours - smooth).max() > 5 * np.abs(ours - expected).max()


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_has_a_gradient_and_views_do_not_mix(monkeypatch, name):
    card = small(monkeypatch, name)
    model = load_model(name, "random", seed=1)
    pixels = views(card, 3)
    (together,) = model.logits([pixels], 3)
    assert np.array_equal(together, model.logits([pixels], 3)[0])
    np.testing.assert_allclose(together, model.logits([pixels], 1)[0], atol=1e-5)
    from vidbench.data.process import normalise

    module = model.network.module.requires_grad_(True)
    module(torch.from_numpy(normalise(pixels, card.input))).square().sum().backward()
    without = {key for key, value in module.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0}
    unused = {key for key in without if key.startswith("vjepa2.predictor.")}  # trained with, not used for classes
    assert without == unused
    assert bool(unused) == (name == "vjepa2_large.somethingv2")


def test_frames_that_are_only_looked_at_apart_may_come_in_any_order(monkeypatch):
    for name, blind in (("timesformer_space.kinetics400", True), ("timesformer_joint.kinetics400", False)):
        card = small(monkeypatch, name)
        model = load_model(name, "random", seed=1)
        with torch.no_grad():
            for parameter in model.network.module.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.2)
        pixels = views(card, 1)
        forwards, backwards = (model.logits([each])[0] for each in (pixels, np.ascontiguousarray(pixels[:, ::-1])))
        assert np.allclose(forwards, backwards, atol=1e-5) == blind


def test_a_network_built_otherwise_is_another_one_and_an_unknown_option_is_refused():
    model = load_model("timesformer_base", "random", options={"num_hidden_layers": 1, "hidden_size": 36})
    assert len(model.network.module.timesformer.encoder.layer) == 1
    assert (model.card.reported, model.card.params) == (None, 0)
    with pytest.raises(WeightsError, match="another network than the published one"):
        load_model("timesformer_base", options={"num_hidden_layers": 1})
    with pytest.raises(ConfigError, match="A timesformer network has no option 'layers'"):
        load_model("timesformer_base", "random", options={"layers": 1})


@pytest.mark.parametrize("name", SMALL)
def test_a_view_of_another_shape_is_one_sentence(monkeypatch, name):
    card = small(monkeypatch, name)
    model = load_model(name, "random")
    pixels = views(card, 1)
    kind = card.options["model_type"]
    wrong = [pixels[:, :, :-8], pixels[:, :, :, :-8], np.zeros((1, card.input.num_frames, 48, 48, 3), np.uint8)]
    if kind != "vjepa2":
        wrong.append(pixels[:, :-1])
    for each in wrong:
        with pytest.raises(ConfigError, match=rf"This {kind} network takes pixels of shape \(N, \w, 3, 32, 32\), not"):
            model.logits([np.ascontiguousarray(each)])
    model.network.spec = replace(model.spec, layout="NCTHW")
    with pytest.raises(ConfigError, match=r"not \(1, 3, \d, 32, 32\)"):
        model.logits([pixels])


# ---------------------------------------------------------------------------------------- what may differ, and may not


def test_weights_come_in_one_file_in_parts_or_as_torch_saved_them(monkeypatch, tmp_path):
    card = small(monkeypatch, "vivit_base.kinetics400")
    folder = save_folder(card, tmp_path / "f")
    (expected,) = load_model(card.name, folder).logits([views(card)])
    state = load_file(folder / "model.safetensors")
    assert any(key.startswith("vivit.encoder.layer.") for key in state)  # the names before version 5
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert np.array_equal(load_model(card.name, folder).logits([views(card)])[0], expected)
    (folder / "pytorch_model.bin").unlink()
    names = sorted(state)
    where = {key: f"model-{1 + (index > 9)}.safetensors" for index, key in enumerate(names)}
    for file in set(where.values()):
        save_file({key: state[key] for key in names if where[key] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert np.array_equal(load_model(card.name, folder).logits([views(card)])[0], expected)
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no weights file .*model-2.safetensors"):
        load_model(card.name, folder)
    where[names[0]] = "../elsewhere.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    with pytest.raises(WeightsError, match="does not list files of its own folder"):
        load_model(card.name, folder)


def test_the_file_with_the_weights_alone_is_built_as_the_card_says(monkeypatch, tmp_path):
    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f")
    alone = load_model(card.name, folder / "model.safetensors")
    np.testing.assert_array_equal(
        alone.logits([views(card)])[0], load_model(card.name, folder).logits([views(card)])[0]
    )


@pytest.mark.parametrize(
    ("name", "processor", "words"),
    [
        (  # the class's own default, which no checkpoint was trained with
            "videomae_base.kinetics400",
            {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3},
            r"mean 0.5/0.5/0.5 and std 0.5/0.5/0.5 \(values from -1.00 to 1.00\) with its processor and mean "
            r"0.485/0.456/0.406 .* on the card",
        ),
        (  # scaled to [-1, 1] and then normalised once more
            "vivit_base.kinetics400",
            {"do_normalize": True},
            r"\(values from -3.00 to 1.00\) with its processor and mean 0.5/0.5/0.5 and std 0.5/0.5/0.5 \(values from "
            r"-1.00 to 1.00\) on the card",
        ),
        ("timesformer_base.kinetics400", {"do_rescale": False}, r"with its processor and mean 0.45/0.45/0.45"),
        (
            "timesformer_base.kinetics400",
            {"size": {"shortest_edge": 48}, "crop_size": {"height": 24, "width": 40}},
            "resize is 48 with its processor and 40 on the card; crop is 24x40 with its processor and 32x32 on",
        ),
    ],
)
def test_a_processor_that_prepares_pixels_otherwise_is_refused_by_name(monkeypatch, tmp_path, name, processor, words):
    card = small(monkeypatch, name)
    folder = save_folder(card, tmp_path / "f", **processor)
    with pytest.raises(WeightsError, match=rf"prepares pixels otherwise than {name}: .*{words}.*transformers.local"):
        load_model(name, folder)


def test_a_processor_that_adds_borders_is_refused(monkeypatch, tmp_path):
    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f", size={"shortest_edge": 20})
    with pytest.raises(WeightsError, match="adds borders to pictures"):
        load_model(card.name, folder)


def test_older_processor_files_are_read_for_what_they_do(tmp_path):
    """As the hub has them: other names of files and classes, and sizes that are plain numbers."""
    values = {"do_resize": True, "size": 48, "do_center_crop": True, "crop_size": 32, "do_normalize": True}
    norm = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    old = {"feature_extractor_type": "VideoMAEFeatureExtractor", **values, **norm}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "videomae", "num_frames": 6, "image_size": 32}))
    found = hub_transformers.read_folder(tmp_path).input
    assert (found.resize, found.crop, found.num_frames) == (48, (32, 32), 6)
    np.testing.assert_allclose((found.mean, found.std), tuple(norm.values()), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_attention_heads": 8}, "num_attention_heads is 8 in config.json and 4 on the card"),
        ({"num_frames": 4, "tubelet_size": 1}, "num_frames is 4 in .* and 6 on the card; tubelet_size is 1"),
    ],
)
def test_another_network_than_the_cards_is_refused_by_name(monkeypatch, tmp_path, changes, words):
    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f")
    change_json(folder / "config.json", **changes)
    with pytest.raises(WeightsError, match=f"is not the network of videomae_base.kinetics400: .*{words}"):
        load_model(card.name, folder)


def test_small_videomae_has_the_authors_six_heads_and_a_folder_with_sixteen_is_refused(tmp_path):
    """The library's converter wrote 16, which takes the same weights and answers something else."""
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "videomae", "hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 16})
    )
    with pytest.raises(WeightsError, match=r"num_attention_heads is 16 in .* and 6 on the card.*the weights alone"):
        load_model("videomae_small", tmp_path)


def test_another_order_of_classes_is_refused_by_name(monkeypatch, tmp_path):
    from vidbench.data.classes import load_labels

    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f", labels=load_labels("kinetics400_videomaev2"))
    with pytest.raises(
        WeightsError,
        match=r"name 13 of 400 classes differently: class 12 is 'inflating balloons' in config.json and 'balloon blow",
    ):
        load_model(card.name, folder)


def test_brackets_of_something_something_are_no_difference_and_missing_facts_are_noted(monkeypatch, tmp_path):
    from vidbench.data.classes import load_labels

    card = small(monkeypatch, "vjepa2_large.somethingv2")
    bracketed = [label.replace("something", "[something]") for label in load_labels("somethingv2")]
    folder = save_folder(card, tmp_path / "f", labels=bracketed)
    assert load_model(card.name, folder).notes == ()
    change_json(folder / "config.json", id2label={str(index): f"LABEL_{index}" for index in range(174)})
    (folder / "video_preprocessor_config.json").unlink()
    notes = load_model(card.name, folder).notes
    assert notes == (
        "no processor file, so its pixels were not compared with the card's",
        "config.json names no classes, so their order was not compared",
    )


def test_other_classes_get_a_new_last_layer_or_bring_one(monkeypatch, tmp_path):
    card = small(monkeypatch, "timesformer_base.kinetics400")
    base = load_model(card.name, save_folder(card, tmp_path / "base"), labels=("a", "b", "c"))
    assert base.random_head
    assert base.logits([views(card)])[0].shape == (2, 3)
    tuned = save_folder(card, tmp_path / "tuned", labels=("a", "b", "c"))
    model = load_model(card.name, tuned, labels=("a", "b", "c"))
    assert not model.random_weights
    np.testing.assert_allclose(
        model.logits([views(card)])[0][:1], librarys_logits(tuned, views(card)[0], do_resize=False), atol=2e-5
    )
    with pytest.raises(WeightsError, match=r"class 0 is 'a' in config.json and 'b'"):
        load_model(card.name, tuned, labels=("b", "a", "c"))
    with pytest.raises(WeightsError, match="3 classes where 400 are asked for"):
        load_model(card.name, tuned)


# -------------------------------------------------------------------------------------------- the authors' own files


def as_the_authors_name_them(state, kind):
    """A state of the library under the names of the authors' repositories."""
    found = {}
    for key, value in state.items():
        name = key.replace(f"{kind}.encoder.layer.", "blocks.").replace(f"{kind}.embeddings.", "")
        name = name.replace("patch_embeddings.projection", "patch_embed.proj").replace("classifier.", "head.")
        name = name.replace("position_embeddings", "pos_embed").replace("time_embeddings", "time_embed")
        name = name.replace("temporal_attention", "temporal_attn").replace("attention", "attn")
        name = name.replace("attn.output.dense", "attn.proj").replace("attn.attn.", "attn.")
        name = name.replace("output.dense", "mlp.fc2").replace("intermediate.dense", "mlp.fc1")
        name = name.replace("temporal_layernorm", "temporal_norm1").replace("temporal_dense", "temporal_fc")
        name = name.replace("layernorm_before", "norm1").replace("layernorm_after", "norm2")
        found[name.replace(f"{kind}.layernorm", "norm")] = value
    return found


def test_the_authors_file_of_a_timesformer_gives_the_same_logits(monkeypatch, tmp_path):
    card = small(monkeypatch, "timesformer_base.kinetics400")
    source = load_model(card.name, "random", seed=4)
    theirs = as_the_authors_name_them(source.network.module.state_dict(), "timesformer")
    for key in ("blocks.1.temporal_attn.qkv.weight", "blocks.0.attn.proj.bias", "blocks.0.mlp.fc2.weight", "norm.bias"):
        assert key in theirs  # as in the authors' vit.py
    torch.save({"model_state": {f"model.{key}": value for key, value in theirs.items()}}, tmp_path / "t.pyth")
    model = load_model(card.name, tmp_path / "t.pyth")
    assert np.array_equal(model.logits([views(card)])[0], source.logits([views(card)])[0])


def test_the_authors_file_of_a_videomae_gives_the_same_logits(monkeypatch, tmp_path):
    card = small(monkeypatch, "videomae_base.kinetics400")
    source = load_model(card.name, "random", seed=4)
    theirs = as_the_authors_name_them(source.network.module.state_dict(), "videomae")
    for layer in range(2):
        stem = f"blocks.{layer}.attn."
        parts = [theirs.pop(f"{stem}{name}.weight") for name in ("query", "key", "value")]
        theirs[f"{stem}qkv.weight"] = torch.cat(parts)
        theirs[f"{stem}q_bias"], theirs[f"{stem}v_bias"] = (
            theirs.pop(f"{stem}{name}.bias") for name in ("query", "value")
        )
    assert {"fc_norm.weight", "head.weight", "patch_embed.proj.bias", "blocks.1.norm2.bias"} <= theirs.keys()
    torch.save({"module": theirs}, tmp_path / "v.pth")
    model = load_model(card.name, tmp_path / "v.pth")
    assert np.array_equal(model.logits([views(card)])[0], source.logits([views(card)])[0])
    del theirs["blocks.1.attn.qkv.weight"]
    torch.save({"module": theirs}, tmp_path / "v.pth")
    with pytest.raises(WeightsError, match=r"lacks 'videomae.encoder.layer.1.attention.attention.query.weight'"):
        load_model(card.name, tmp_path / "v.pth")


# ---------------------------------------------------------------------------------------------- what cannot be trusted


def test_no_code_of_a_checkpoint_is_run(monkeypatch, tmp_path):
    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f")
    marker = tmp_path / "ran"
    (folder / "mine.py").write_text(f"open({str(marker)!r}, 'w')\nclass Config: pass\nclass Net: pass\n")
    networks = {"AutoConfig": "mine.Config", "AutoModelForVideoClassification": "mine.Net"}
    change_json(folder / "config.json", auto_map=networks)
    change_json(folder / "video_preprocessor_config.json", auto_map={"AutoVideoProcessor": "mine.Net"})
    load_model(card.name, folder)
    change_json(folder / "config.json", model_type="mine")
    with pytest.raises(WeightsError, match="of the kind 'mine'; known are videomae"):
        load_model(card.name, folder)
    assert not marker.exists()


def test_a_pickle_in_a_folder_is_not_loaded(monkeypatch, tmp_path):
    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f")
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Path("x")}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"asks to run 'pathlib.* was not loaded"):
        load_model(card.name, folder)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", "{", "cannot be read as JSON"),
        ("config.json", "[1]", "holds no JSON object"),
        ("config.json", '{"model_type": "bert"}', "of the kind 'bert'"),
        ("config.json", '{"model_type": "videomae", "hidden_size": "big"}', "config.json cannot be used"),
        ("config.json", '{"model_type": "videomae", "id2label": {"0": "a", "2": "b"}}', "does not number its classes"),
        ("video_preprocessor_config.json", "{", "its processor cannot be used"),
        ("video_preprocessor_config.json", '{"video_processor_type": "Nothing"}', "its processor cannot be used"),
        ("model.safetensors", None, "holds none of model.safetensors"),
        ("model.safetensors", "abc", "cut off or no safetensors"),
    ],
)
def test_a_damaged_folder_is_one_sentence(monkeypatch, tmp_path, file, content, words):
    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(WeightsError, match=words) as caught:
        load_model(card.name, folder)
    assert "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------- the hub


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """The hub's client without network, and its cache in a folder of the test."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_offline_a_card_says_two_ways_out(offline):
    with pytest.raises(WeightsError) as caught:
        load_model("videomae_base.somethingv2")
    words = str(caught.value)
    assert "\n" not in words
    for part in ("huggingface.co/MCG-NJU/videomae-base-finetuned-ssv2", "--weights random", "in a folder and pass"):
        assert part in words


def test_a_checkpoint_in_the_hubs_cache_is_used_offline(monkeypatch, tmp_path, offline):
    card = small(monkeypatch, "videomae_base.kinetics400")
    repository = offline / "models--MCG-NJU--videomae-base-finetuned-kinetics"
    save_folder(card, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    model = load_model(card.name)
    assert model.weights_source == "upstream"
    assert model.published_weights
    assert model.weights_file.endswith("abc")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "timesformer_large.kinetics400",
            r"no program can fetch them; save https://www.dropbox.com/\S+K400.pyth\?dl=0 in",
        ),
        ("timesformer_joint.kinetics400", "nobody published any. Pass a file of your own with --weights PATH"),
    ],
)
def test_weights_that_no_program_can_fetch_are_named(name, words):
    with pytest.raises(WeightsError, match=words):
        load_model(name)


# ---------------------------------------------------------------------------------------- a folder that no card names


def test_a_folder_of_ones_own_makes_its_own_card(monkeypatch, tmp_path):
    other = {"image_mean": (0.4, 0.5, 0.6), "image_std": (0.2, 0.25, 0.3), "size": {"shortest_edge": 48}}
    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f", labels=("wave", "clap", "jump"), **other)
    model = load_model("transformers.local", folder)
    assert model.labels == ("wave", "clap", "jump")
    assert (model.card.num_frames, model.spec.resize, model.spec.crop) == ((6, 6), 48, (32, 32))
    np.testing.assert_allclose((model.spec.mean, model.spec.std), list(other.values())[:2], atol=1e-5)
    frames = views(card)[0]
    np.testing.assert_allclose(
        model.logits([frames[None]])[0], librarys_logits(folder, frames, do_resize=False), atol=2e-5
    )
    with pytest.raises(ConfigError, match="takes exactly 6 frames"):
        model.spec = replace(model.spec, num_frames=8)


def test_a_folder_with_the_classes_of_a_known_list_says_so(monkeypatch, tmp_path):
    card = small(monkeypatch, "timesformer_base.kinetics400")
    assert find_card("transformers.local", save_folder(card, tmp_path / "f")).labels == "kinetics400"


def test_a_folder_that_leaves_out_what_a_card_needs_is_refused(monkeypatch, tmp_path):
    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f", labels=("a", "b"))
    for weights in (None, "random"):
        with pytest.raises(ConfigError, match="name it with --weights"):
            find_card("transformers.local", weights)
    with pytest.raises(WeightsError, match="There is no folder"):
        find_card("transformers.local", tmp_path / "nothing")
    change_json(folder / "config.json", id2label={"0": "LABEL_0", "1": "LABEL_1"})
    with pytest.raises(WeightsError, match="names no classes but LABEL_0"):
        find_card("transformers.local", folder)
    (folder / "video_preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="has no processor file"):
        find_card("transformers.local", folder)


def test_a_folder_of_ones_own_is_evaluated_from_the_command_line(monkeypatch, tmp_path):
    from vidbench.data.classes import load_labels

    card = small(monkeypatch, "videomae_base.kinetics400")
    folder = save_folder(card, tmp_path / "f", labels=load_labels("vidmini"))
    words = ["--model", "transformers.local", "--weights", str(folder), "--dataset", "vidmini", "--limit", "3"]
    command = [sys.executable, str(ROOT / "scripts" / "evaluate.py"), *words, "--results-dir", str(tmp_path / "r")]
    done = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "transformers.local" in done.stdout
    (manifest,) = (tmp_path / "r").glob("*/manifest.json")
    facts = json.loads(manifest.read_text())
    assert facts["model"]["weights"]["folder"] == "f"
    assert facts["labels"] == list(load_labels("vidmini"))
    assert "transformers 5" in facts["run"]["library"]
    change_json(folder / "config.json", layer_norm_eps=0.1)
    again = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert again.returncode == 1
    assert "model.weights" in again.stderr


# ----------------------------------------------------------------------------------------------------------- the cards


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in NAMES if CARDS[name].reported])
def test_cards_say_what_the_table_of_published_results_says(name, shared_dir):
    card = CARDS[name]
    tops = {(row["top1"], row["top5"]) for row in published(shared_dir, card)}
    found = (f"{card.reported.top1:.1f}", "" if card.reported.top5 is None else f"{card.reported.top5:.1f}")
    assert found in tops


def published(shared_dir, card):
    """Rows of the table about a card's weights, or its variant, with the card's dataset, source, frames and views."""
    datasets = {"kinetics400": "Kinetics-400", "kinetics600": "Kinetics-600", "somethingv2": "Something-Something-V2"}
    handle = card.weights.url.removeprefix("https://huggingface.co/")
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        for row in csv.DictReader(file):
            same = handle in row["weights_id"] or card.weights.url == row["weights_url"]
            views = (str(card.input.num_frames), str(card.input.num_clips), str(card.input.num_crops))
            stride = f"{30 / card.input.frame_rate:g}" if card.input.frame_rate else "uniform"
            facts = (row["frames"], row["clips"], row["crops"]) == views and row["frame_stride"] == stride
            on = row["dataset"] == datasets[card.reported.on.removesuffix(" val")]
            if same and facts and on and row["source"] == card.reported.source:
                yield row


@pytest.mark.parametrize("name", NAMES)
def test_cards_are_fed_as_their_networks_are_built(name):
    card = CARDS[name]
    size = card.options.get("image_size", card.options.get("crop_size", 224))
    frames = card.options.get("num_frames", card.options.get("frames_per_clip", 16))
    assert (card.input.crop, card.input.num_frames, card.input.layout) == ((size, size), frames, "NTCHW")
    assert isinstance(card.input, InputSpec)
    assert card.weights != Weights("")


@pytest.mark.shared
@pytest.mark.parametrize("version", ["400", "600", "700", "710"])
def test_lists_in_the_order_of_videomae_v2s_heads_are_the_authors(version, shared_dir):
    from vidbench.data.classes import load_labels, read_labels

    labels = load_labels(f"kinetics{version}_videomaev2")
    assert labels == read_labels(shared_dir / "reference" / "labels" / f"kinetics{version}_videomaev2.txt")
    assert len(set(labels)) == int(version)
    assert labels != load_labels(f"kinetics{version}")
    assert list(labels) != sorted(labels)
