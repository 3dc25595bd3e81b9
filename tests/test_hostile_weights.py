"""Weights in every form that is taken, spoilt: refused in one sentence, nothing in them runs, no video is decoded."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vidbench.arguments import EvaluateConfig
from vidbench.checkpoints import load_state_dict_file
from vidbench.data import load
from vidbench.evaluate import evaluate
from vidbench.models import CARDS, load_model
from vidbench.records import WeightsError

ROOT = Path(__file__).resolve().parents[1]
MINI = "mini2d.vidmini_v1"


class Runs:
    """Unpickled, it leaves a file: what a hostile file would do."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def marker(tmp_path):
    """A file that is there only if something ran."""
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists(), "code from a weights file ran"


def mini_weights(**changes):
    return {**load_model(MINI).network.module.state_dict(), **changes}


def spoilt(kind, folder, marker):
    """A weights file for the mini model that must not be used, and words of its refusal."""
    path = folder / f"{kind}.pth"
    head = {"head.weight": torch.zeros(7, 112), "head.bias": torch.zeros(7)}
    made = {
        "evil": (mini_weights(extra=Runs(marker)), "asks to run"),
        "evil model_state": ({"model_state": mini_weights(), "hook": Runs(marker)}, "asks to run"),
        "classes": (mini_weights(**head), "7 classes where 12 are asked"),
        "shape": (
            mini_weights(**{"stem.0.weight": torch.zeros(2, 3, 5, 5)}),
            r"'stem.0.weight' is \(2, 3, 5, 5\) in the file",
        ),
        "nan": (mini_weights(**{"head.bias": torch.full((12,), torch.nan)}), "'head.bias' holds NaN"),
        "missing": ({k: v for k, v in mini_weights().items() if k != "head.bias"}, "lacks 'head.bias'"),
        "extra": (mini_weights(other=torch.zeros(1)), "has 'other' that it does not know"),
        "no tensors": ({"state_dict": {"a": 1}}, "'a' is no tensor but int"),
    }
    content, words = made[kind]
    torch.save(content, path)
    return path, words


KINDS = ["evil", "evil model_state", "classes", "shape", "nan", "missing", "extra", "no tensors"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_evaluation_refuses_weights_before_it_decodes_a_video(tmp_path, marker, monkeypatch, kind):
    def decode(*_):
        raise AssertionError("a video was asked for")

    monkeypatch.setattr(load.ViewReader, "stream", decode)
    path, words = spoilt(kind, tmp_path, marker)
    config = EvaluateConfig(
        model=MINI, dataset="vidmini", weights=str(path), device="cpu", num_workers=0, no_cache=True,
        results_dir=str(tmp_path / "results"),
    )  # fmt: skip
    with pytest.raises(WeightsError, match=words) as caught:
        evaluate(config)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("rows.jsonl"))


def test_archives_of_numpy_are_no_weights_and_their_pickles_do_not_run(tmp_path, marker):
    np.savez(tmp_path / "plain.npz", a=np.zeros(3))
    np.savez(tmp_path / "objects.npz", a=np.array([Runs(marker)], object))
    np.savez_compressed(tmp_path / "small.npz", a=np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([Runs(marker)], object))  # objects are pickled unless told otherwise
    for name in ("plain.npz", "objects.npz", "small.npz", "objects.npy"):
        with pytest.raises(WeightsError) as caught:
            load_state_dict_file(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["resnet3d50_c2d.kinetics400_8x8_pytorchvideo", "s3d_port.kinetics400", "tsm_resnet50.kinetics400"]
)
def test_state_dicts_of_others_are_refused_with_names_and_numbers(tmp_path, marker, name):
    card = CARDS[name]
    assert card.convert
    torch.save({"model_state": {"blocks.0.a": torch.zeros(2), "hook": Runs(marker)}}, tmp_path / "evil.pyth")
    with pytest.raises(WeightsError, match="asks to run"):
        load_model(name, tmp_path / "evil.pyth")
    torch.save({"state_dict": {"blocks.0.a": torch.zeros(2)}}, tmp_path / "few.pyth")
    with pytest.raises(WeightsError, match=rf"does not fit {name}: it lacks '.*' and \d+ more and has '.*'"):
        load_model(name, tmp_path / "few.pyth")


# ---------------------------------------------------------------------------------------------- folders of transformers


def folder_of(path):
    """A folder as the hub has them, without its weights: VideoMAE's small network for Something-Something."""
    path.mkdir()
    card = CARDS["videomae_small.somethingv2"]
    config = {**card.options, "id2label": {}, "architectures": ["VideoMAEForVideoClassification"]}
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds none of model.safetensors"),
        ({"config.json": "{"}, "cannot be read as JSON"),
        ({"config.json": "[" * 99999}, "cannot be read as JSON"),
        ({"config.json": "[]"}, "holds no JSON object"),
        ({"config.json": '{"model_type": "mine", "auto_map": {"AutoModel": "mine.Net"}}'}, "of the kind 'mine'"),
        ({"config.json": '{"model_type": "videomae", "id2label": {"x": "a"}}'}, "config.json"),
        ({"model.safetensors": "<html>Sign in</html>"}, "no safetensors file"),
        ({"model.safetensors": ""}, r"is empty \(0 bytes\)"),
        ({"model.safetensors": "version https://git-lfs.github.com/spec/v1"}, "git lfs pull"),
        ({"model.safetensors.index.json": '{"weight_map": {"a": "../../secret.safetensors"}}'}, "its own folder"),
        ({"model.safetensors.index.json": '{"weight_map": {"a": "gone.safetensors"}}'}, "There is no weights file"),
        ({"model.safetensors.index.json": '{"weight_map": [1]}'}, "model.safetensors.index.json"),
    ],
)
def test_folders_of_transformers_are_refused_in_one_sentence(tmp_path, files, words):
    folder = folder_of(tmp_path / "folder")
    for name, content in files.items():
        (folder / name).write_text(content)
    with pytest.raises(WeightsError, match=words) as caught:
        load_model("videomae_small.somethingv2", folder)
    assert "\n" not in str(caught.value)


def test_code_and_pickles_in_a_folder_of_transformers_do_not_run(tmp_path, marker):
    folder = folder_of(tmp_path / "folder")
    (folder / "mine.py").write_text(f"import pathlib; pathlib.Path({str(marker)!r}).touch()")
    torch.save({"a": Runs(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="asks to run"):
        load_model("videomae_small.somethingv2", folder)


# -------------------------------------------------------------------------------------------------------- TFLite


@pytest.mark.shared
def test_damaged_tflite_files_are_refused_or_read_as_numbers(shared_dir, tmp_path):
    # the file is read as data: whatever its bytes are, an answer comes back and it is one sentence
    whole = (shared_dir / "data" / "weights" / "movinet_a0_stream_k600_int8.tflite").read_bytes()
    rng, sentences = np.random.default_rng(0), []
    damaged = [whole[: len(whole) * part // 100] for part in (1, 30, 99)]
    for _ in range(12):
        copy = bytearray(whole)
        for place in rng.integers(8, len(copy), 40):
            copy[place] = rng.integers(256)
        copy[8:40] = rng.bytes(32)
        damaged.append(bytes(copy))
    for number, content in enumerate(damaged):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(content)
        try:
            load_state_dict_file(path)
        except WeightsError as problem:
            sentences.append(str(problem))
    assert len(sentences) >= 3
    assert not [words for words in sentences if "\n" in words]
    (tmp_path / "other.tflite").write_bytes(whole + b"\0")
    with pytest.raises(WeightsError, match="native code reads it, so no other file is taken"):
        load_model("movinet_a0_stream.k600_int8", tmp_path / "other.tflite")


# ----------------------------------------------------------------------------- TensorFlow's checkpoints and SavedModels

# In a process of its own: TensorFlow reads these with native code, whose crash would be seen.
TENSORFLOW = """
import shutil, sys, pathlib
import torchvision
import numpy as np
import tensorflow as tf
from vidbench.models import load_model
from vidbench.records import WeightsError

root = pathlib.Path(sys.argv[1])

def save(folder, **values):
    folder.mkdir(parents=True, exist_ok=True)
    names = list(values)
    tf.raw_ops.SaveV2(prefix=str(folder / "model.ckpt"), tensor_names=names, shape_and_slices=[""] * len(names),
                      tensors=[tf.constant(values[name]) for name in names])
    return folder

def refused(path, words):
    try:
        load_model("i3d.rgb_imagenet_k400", path)
    except WeightsError as problem:
        text = str(problem)
        assert words in text and chr(10) not in text, text
        return
    raise AssertionError(f"{path} was taken")

good = {"RGB/inception_i3d/Conv3d_1a_7x7/conv_3d/w": np.ones((7, 7, 7, 3, 64), np.float32)}
refused(save(root / "few", **good), "does not fit i3d.rgb_imagenet_k400: it lacks '")
refused(save(root / "nan", a=np.full(3, np.nan, np.float32)), "holds NaN or infinity")
refused(root / "absent", "There is no weights file")
(root / "empty").mkdir()
refused(root / "empty", "is no file")
save(root / "two", **good)
for file in (root / "two").glob("model.ckpt*"):
    shutil.copy(file, file.with_name(file.name.replace("model", "other")))
refused(root / "two", "holds 2 checkpoints")
gone = save(root / "gone", **good)
next(gone.glob("*.data-*")).unlink()
refused(gone, "is no whole checkpoint")
rng = np.random.default_rng(0)
for number in range(25):
    folder = save(root / f"damaged{number}", **good)
    file = folder / "model.ckpt.index"
    content = bytearray(file.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    file.write_bytes(content)
    refused(folder, "damaged" + str(number))
(root / "saved" / "variables").mkdir(parents=True)
(root / "saved" / "saved_model.pb").write_bytes(b"no graph at all: it is not read")
for file in (root / "few").glob("model.ckpt*"):
    shutil.copy(file, root / "saved" / "variables" / file.name.replace("model.ckpt", "variables"))
refused(root / "saved", "does not fit i3d.rgb_imagenet_k400: it lacks '")
print("all refused")
"""


@pytest.mark.slow
def test_checkpoints_of_tensorflow_are_refused_with_names_and_nothing_of_a_graph_is_read(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TENSORFLOW, str(tmp_path)], capture_output=True, text=True, timeout=500, cwd=ROOT
    )
    assert done.stdout.endswith("all refused\n"), done.stdout[-500:] + done.stderr[-2000:]


def test_a_hash_on_a_card_is_compared(tmp_path, monkeypatch):
    wrong = dataclasses.replace(CARDS[MINI].weights, sha256="0" * 64)
    monkeypatch.setitem(CARDS, MINI, dataclasses.replace(CARDS[MINI], weights=wrong))
    with pytest.raises(WeightsError, match="is not the published file: its SHA-256 begins with 6df6d698"):
        load_model(MINI)
