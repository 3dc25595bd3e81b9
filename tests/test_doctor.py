"""The doctor finds nothing where nothing is wrong, and names what is."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vidbench.models
from vidbench.arguments import DOCTOR, DoctorConfig
from vidbench.cards.card import Golden
from vidbench.data.classes import load_labels
from vidbench.doctor import answers, check_card, check_golden, check_output, draw, examine, read_clip
from vidbench.models import CARDS, load_model
from vidbench.records import ConfigError, VideoRecord

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
    (finding,) = (finding for finding in diagnosis.findings if finding.stage == "published logits")
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
    assert DOCTOR.parse_or_exit([MINI, "--clip", "a.npy", "b.npy"]) == DoctorConfig(model=MINI, clip=("a.npy", "b.npy"))


# ------------------------------------------------------------------------------------------- card, network and output

CHECKED = [name for name, card in CARDS.items() if card.kind in ("torch", "transformers")]


@pytest.mark.parametrize("name", CARDS)
def test_every_card_of_the_registry_is_sound(name):
    findings = check_card(CARDS[name])
    assert not [finding for finding in findings if finding.fine is False], findings
    unseen = [finding.stage for finding in findings if finding.fine is None]
    assert unseen == ([] if name in CHECKED else ["network"])


@pytest.mark.parametrize(
    "name",
    [
        "mini2d.vidmini_v1",
        "mini_r2plus1d.vidmini_v1",
        "single_frame_resnet18.untrained",
        "tsn_squeezenet1_0.untrained_caffe",
    ],
)
def test_random_networks_give_finite_logits(name):
    finding = check_output(answers(load_model(name, "random")))
    assert finding.fine, finding.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "r2plus1d_18.kinetics400_v1",
        "s3dg.kinetics400",
        "resnet3d50_i3d_nl5.kinetics400_8x8",
        "tsm_resnet50.kinetics400",
        "cnn_gru.untrained",
        "movinet_a0_base.k600",
        "videomae_small.kinetics400",
        "mvit_v2_s.kinetics400_v1",
    ],
)
def test_heavier_random_networks_give_finite_logits(name):
    finding = check_output(answers(load_model(name, "random")))
    assert finding.fine, finding.text


def another(**changes):
    """The mini model's card with something wrong on it."""
    return dataclasses.replace(CARDS[MINI], **changes)


def with_input(**changes):
    return another(input=dataclasses.replace(CARDS[MINI].input, **changes))


@pytest.mark.parametrize(
    ("card", "stage", "words"),
    [
        (another(num_classes=11), "label space", "11 classes, but 12 labels in vidmini"),
        (another(labels="kinetics400"), "label space", "12 classes, but 400 labels in kinetics400"),
        (another(label_names=("a",) * 12), "label space", "names 'a' twice"),
        (with_input(layout="NTCHW"), "layout", "it takes NCTHW: put that on the card"),
        (with_input(mean=(114.75, 114.75, 114.75)), "input", "are not of values in [0, 1]: divide them by 255"),
        (with_input(std=(1.0, 1.0)), "input", "have 3 channels, so mean and std have as many"),
        (with_input(crop=(90, 90)), "input", "does not fit into frames"),
        (with_input(sampling="often"), "input", "there is no sampling 'often'"),
        (another(params=5), "network", "247,420 parameters, and the card says 5"),
        (another(build="tests.test_doctor:Probabilities"), "output", "the network ends with a softmax"),
        (another(build="tests.test_doctor:Frames"), "network", "its output has the shape (1, 4, 12), not (1, 12)"),
    ],
)
def test_what_is_wrong_with_a_card_is_said_without_weights(card, stage, words, monkeypatch):
    monkeypatch.setattr("vidbench.models._imported", lambda build: ours.get(build) or imported(build))
    card = dataclasses.replace(card, params=0) if card.build.startswith("tests.") else card
    wrong = [finding for finding in check_card(card) if finding.fine is False]
    assert [finding.stage for finding in wrong] == [stage], wrong
    assert words in wrong[0].text


def small(behind):
    import torch

    class Network(torch.nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.head = torch.nn.Linear(3, num_classes)

        def forward(self, x):
            return behind(self.head(x.mean((3, 4)).transpose(1, 2)))

    return Network


imported = vidbench.models._imported
ours = {
    "tests.test_doctor:Probabilities": small(lambda y: y.softmax(-1).mean(1)),
    "tests.test_doctor:Frames": small(lambda y: y[:, :4]),
}


def test_a_softmax_inside_a_network_is_none_at_its_end(monkeypatch):
    monkeypatch.setattr("vidbench.models._imported", lambda build: small(lambda y: (y.softmax(1) * y).sum(1)))
    assert [finding.fine for finding in check_card(another(params=0))] == [True] * 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda y: np.exp(y) / np.exp(y).sum(-1, keepdims=True), "sum to 1.0000: probabilities, no logits"),
        (lambda y: y - np.log(np.exp(y).sum(-1, keepdims=True)), "logarithms of probabilities"),
        (lambda y: 1 / (1 + np.exp(-y)), "as behind a sigmoid"),
        (lambda y: y * np.inf, "NaN or infinity"),
    ],
)
def test_scores_that_are_no_logits_are_found(change, words):
    scores = np.random.default_rng(0).normal(size=(3, 12)).astype(np.float32)
    assert check_output(scores).fine
    finding = check_output(change(scores).astype(np.float32))
    assert finding.fine is False
    assert words in finding.text


# --------------------------------------------------------------------------------------------------------- command


def doctor(*words):
    script = [sys.executable, str(ROOT / "scripts" / "doctor.py")]
    return subprocess.run([*script, *words], capture_output=True, text=True, timeout=300, cwd=ROOT)


def test_the_command_passes_a_healthy_model_and_names_a_permuted_head(tmp_path):
    from safetensors.torch import save_file

    fine = examine(DoctorConfig(model="mini2d", dataset="vidmini", device="cpu", limit=24))
    assert fine.exit_status == 0, fine.summary
    assert fine.summary.endswith("nothing is wrong as far as was looked")
    order = np.random.default_rng(4).permutation(12)
    state = {k: v[order].contiguous() if k.startswith("head.") else v for k, v in weights_of("mini2d").items()}
    save_file(state, tmp_path / "theirs.safetensors")
    words = ("--weights", str(tmp_path / "theirs.safetensors"), "--dataset", "vidmini", "--device", "cpu")
    found = doctor("mini2d", *words, "--limit", "24")
    assert found.returncode == 1, found.stdout + found.stderr
    assert found.stdout.endswith("wrong  order of classes\n")
    assert found.stderr == ""


def weights_of(name):
    return load_model(name).network.module.state_dict()


def test_a_dataset_of_other_classes_is_refused_in_one_sentence():
    done = doctor("r3d_18", "--weights", "random", "--dataset", "vidmini", "--device", "cpu")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "400 classes of kinetics400" in done.stderr
    assert "0 of them by the same name" in done.stderr


def test_options_that_say_nothing_are_refused():
    with pytest.raises(ConfigError, match="dataset must be given with"):
        DoctorConfig(model=MINI, split="test").checked()


def test_the_sample_has_several_videos_of_a_class():
    records = [
        VideoRecord(f"v{k}", f"v{k}.mp4", f"c{k % 40}", k % 40, status="ok" if k % 7 else "missing") for k in range(400)
    ]
    kept = draw(records, 24, 0)
    assert len(kept) == 24
    assert {record.status for record in kept} == {"ok"}
    counts = np.bincount([record.label_index for record in kept])
    assert sorted(counts[counts > 0]) == [4] * 6
    assert kept == draw(records, 24, 0)
    assert kept != draw(records, 24, 1)
