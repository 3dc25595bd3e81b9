"""The doctor finds nothing where nothing is wrong, and names what is."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidbench.arguments import DoctorConfig, parse_doctor
from vidbench.cards.card import Golden
from vidbench.data.catalog import load_labels
from vidbench.doctor import check_golden, examine, probe_range, read_clip
from vidbench.models import CARDS, load_model
from vidbench.records import ConfigError

ROOT = Path(__file__).resolve().parents[1]
MINI = "mini_r2plus1d.vidmini_v1"


@pytest.fixture
def clip():
    """float32 (1, 16, 56, 72, 3) as the mini model takes it: (x - 0.5) / 0.25."""
    return np.random.default_rng(0).uniform(-2, 2, (1, 16, 56, 72, 3)).astype(np.float32)


@pytest.fixture
def golden(monkeypatch, clip, tmp_path):
    """A stand-in for authors who published: the mini model's own logits, with the digits that authors print."""
    import torch

    model = load_model(MINI)
    logits = model.network.module(torch.from_numpy(clip).permute(0, 4, 1, 2, 3))[0].numpy()
    best = {model.labels[k]: float(f"{logits[k]:.6g}") for k in logits.argsort()[::-1][:5]}
    found = Golden(("clip.npy",), float(f"{np.linalg.norm(logits):.6f}"), best, "this test")
    monkeypatch.setitem(CARDS, MINI, dataclasses.replace(CARDS[MINI], golden=found))
    np.save(tmp_path / "clip.npy", clip)
    return tmp_path / "clip.npy"


def test_the_authors_logits_are_recognised(golden):
    diagnosis = examine(DoctorConfig(model=MINI, clip=(str(golden),), device="cpu"))
    (finding,) = diagnosis.findings
    assert finding.fine, finding.text
    assert diagnosis.exit_status == 0
    assert "5 published logits, the largest difference is 0.0000" in finding.text


def reversed_colours(clip):
    return clip[..., ::-1]


def reversed_time(clip):
    return clip[:, ::-1]


def another_range(clip):
    return clip / 4 + 0.5


@pytest.mark.parametrize("change", [reversed_colours, reversed_time, another_range])
def test_another_input_or_other_weights_are_found(golden, clip, change):
    model = load_model(MINI)
    finding = check_golden(model, np.ascontiguousarray(change(clip)))
    assert not finding.fine
    assert not check_golden(load_model(MINI, "random"), clip).fine
    assert check_golden(model, clip).fine


def test_a_clip_that_cannot_be_the_authors_is_refused(golden, clip, tmp_path):
    model = load_model(MINI)
    with pytest.raises(ConfigError, match=r"values lie from .* to .*; the authors' lie in \[-2, 2\]"):
        check_golden(model, clip * 100)
    with pytest.raises(ConfigError, match=r"compared on clip.npy, of shape \(1, T, H, W, 3\) together, not \(1, .*2\)"):
        check_golden(model, clip[..., :2])
    wrong = {
        "words.npy": (np.array(["a"]), r"must hold floats of shape \(1, T, H, W, C\), not <U1 \(1,\)"),
        "whole.npy": (np.zeros((1, 2, 3, 4, 3), np.uint8), "must hold floats"),
        "flat.npy": (np.zeros((2, 3, 4, 3), np.float32), "must hold floats"),
        "nan.npy": (np.full((1, 2, 3, 4, 3), np.nan, np.float32), "holds NaN or infinity"),
        "pickle.npy": (np.array([{}], object), "is no NumPy file of numbers"),
    }
    for name, (array, words) in wrong.items():
        np.save(tmp_path / name, array)
        with pytest.raises(ConfigError, match=words):
            read_clip([tmp_path / name])
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ConfigError, match="is no NumPy file of numbers"):
        read_clip([tmp_path / "text.npy"])


def test_two_clips_go_side_by_side_and_must_be_of_the_same_frames(tmp_path):
    for name, shape in (("rgb", (1, 4, 5, 6, 3)), ("flow", (1, 4, 5, 6, 2)), ("long", (1, 7, 5, 6, 2))):
        np.save(tmp_path / f"{name}.npy", np.full(shape, len(name), np.float32))
    both = read_clip([tmp_path / "rgb.npy", tmp_path / "flow.npy"])
    assert both.shape == (1, 4, 5, 6, 5)
    assert (both[..., :3] == 3).all()
    assert (both[..., 3:] == 4).all()
    with pytest.raises(ConfigError, match="not of the same frames"):
        read_clip([tmp_path / "rgb.npy", tmp_path / "long.npy"])


def test_a_model_without_published_logits_is_refused_before_its_weights_are_fetched(clip, tmp_path):
    np.save(tmp_path / "clip.npy", clip)
    with pytest.raises(ConfigError, match=r"Nobody published logits of s3d.kinetics400_v1.*i3d.rgb_imagenet_k400"):
        examine(DoctorConfig(model="s3d", clip=(str(tmp_path / "clip.npy"),)))


def test_published_logits_name_classes_and_agree_with_their_probabilities():
    cards = [card for card in CARDS.values() if card.golden]
    assert {card.name for card in cards} >= {"i3d.rgb_imagenet_k400"}
    for card in cards:
        logits = np.array(list(card.golden.logits.values()))
        assert set(card.golden.logits) <= set(load_labels(card.labels))
        assert len(logits) == 20
        assert list(logits) == sorted(logits, reverse=True)
        assert np.linalg.norm(logits) < card.golden.norm
        assert card.golden.source


@pytest.mark.shared
def test_published_logits_are_those_of_the_facts_about_models(shared_dir):
    text = (shared_dir / "reference" / "models.md").read_text()
    golden = CARDS["i3d.rgb_imagenet_k400"].golden
    assert "logit norm 87.108871" in text  # printed by two runs of the authors, 0.00002 apart
    assert abs(golden.norm - 87.108871) < 1e-4
    assert "logit 25.856646" in text
    assert abs(golden.logits["playing cricket"] - 25.856646) < 1e-4


def test_the_command_says_what_is_missing_in_one_sentence(tmp_path):
    script = [sys.executable, str(ROOT / "scripts" / "doctor.py")]
    done = subprocess.run([*script, "i3d", "--clip", "no.npy"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("doctor.py: command line: --clip 'no.npy' is no regular file")
    assert "Traceback" not in done.stderr


def test_the_model_may_stand_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.npy", "b.npy"):
        (tmp_path / name).touch()
    assert parse_doctor([MINI, "--clip", "a.npy", "b.npy"]) == DoctorConfig(model=MINI, clip=("a.npy", "b.npy"))


def test_the_range_that_a_network_learnt_is_told_from_the_other(monkeypatch):
    """A network that is sure of class 1 where white is 1 and black is -1, and knows nothing where black is 0."""
    import torch

    model = load_model(MINI, "random")
    monkeypatch.setattr(
        model.network, "module", lambda x: 9 * torch.eye(12)[1] * (x.amin((1, 2, 3, 4)) < -0.5)[:, None]
    )
    pixels = [np.random.default_rng(0).integers(0, 256, (1, 16, 56, 72, 3), dtype=np.uint8) for _ in range(2)]
    spec = dataclasses.replace(model.spec, mean=(0.5,) * 3, std=(0.5,) * 3)
    model.spec = spec
    for classes in (None, [1, 1]):
        finding = probe_range(model, pixels, classes)
        assert finding.fine, finding.text
        assert "with [-1, 1] the best class has 0.999" in finding.text
        assert "with [0, 1] the best class has 0.083" in finding.text
    assert model.spec is spec
    assert not probe_range(model, pixels, [2, 2]).fine, "sure of a wrong class"
    model.spec = dataclasses.replace(spec, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert not probe_range(model, pixels).fine
