"""Networks of others behind the same call: MoViNet with its real weights, I3D as a SavedModel."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidbench.data.catalog import load_labels
from vidbench.models import CARDS, Weights, load_model
from vidbench.predict import LabelMap, average, predict, rank_of
from vidbench.records import ConfigError, WeightsError

ROOT = Path(__file__).resolve().parents[1]
MOVINET = "movinet_a0_stream.k600_int8"


@pytest.fixture(scope="module")
def movinet_file(shared_dir):
    return shared_dir / "data" / "weights" / "movinet_a0_stream_k600_int8.tflite"


@pytest.fixture(scope="module")
def movinet(movinet_file):
    return load_model(MOVINET, movinet_file)


def frames(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, count, 172, 172, 3), dtype=np.uint8)


@pytest.mark.shared
def test_our_kinetics600_names_are_in_the_order_of_the_models(movinet, shared_dir):
    theirs = (shared_dir / "data" / "weights" / "movinet_k600_labels.txt").read_text().splitlines()
    assert list(movinet.labels) == theirs == list(load_labels("kinetics600"))


@pytest.mark.shared
def test_the_published_file_is_recognised(movinet, movinet_file):
    assert movinet.weights_sha256 == CARDS[MOVINET].weights.sha256
    assert movinet.published_weights
    assert (movinet.precision, movinet.device, movinet.settled) == ("int8", "cpu", True)


@pytest.mark.shared
def test_a_video_starts_from_zero_whatever_came_before(movinet):
    videos = [frames(count, seed) for seed, count in enumerate((7, 3, 5, 1, 4))]
    alone = [movinet.logits([video])[0] for video in videos]
    together = movinet.logits(videos, 2)
    backwards = movinet.logits(videos[::-1], 3)[::-1]
    for first, second, third in zip(alone, together, backwards):
        assert first.shape == (1, 600)
        assert first.dtype == np.float32
        assert np.array_equal(first, second)
        assert np.array_equal(first, third)


@pytest.mark.shared
def test_the_stream_remembers_and_heeds_the_order_of_frames(movinet):
    video = frames(6)
    whole = movinet.logits([video])[0]
    assert not np.allclose(whole, movinet.logits([video[:, -1:]])[0])
    assert not np.allclose(whole, movinet.logits([video[:, ::-1]])[0])


@pytest.mark.shared
def test_states_go_back_by_name_as_the_signature_runner_does(movinet, movinet_file):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(movinet_file)).get_signature_runner("serving_default")
    inputs = runner.get_input_details()
    assert len(inputs) == 44
    states = {name: np.zeros(v["shape"], v["dtype"]) for name, v in inputs.items() if name != "image"}
    video = frames(4)
    for frame in video[0]:
        states = runner(image=(frame[None, None] / 255).astype(np.float32), **states)
        expected = states.pop("logits")
    np.testing.assert_allclose(movinet.logits([video])[0], expected, atol=1e-4)


@pytest.mark.shared
def test_real_kinetics_clips_are_recognised(movinet, shared_dir):
    clips = sorted((shared_dir / "data" / "kinetics400" / "val").glob("*/*.mp4"))
    assert len(clips) == 4
    for clip in clips:
        assert predict(movinet, clip).top(1)[0][0] == clip.parent.name


@pytest.mark.slow
@pytest.mark.shared
def test_real_clips_of_ucf101s_test_groups_are_recognised(movinet, shared_dir):
    names = load_labels("ucf101")
    mapping = LabelMap.from_csv(ROOT / "scripts" / "label_maps" / "ucf101_to_kinetics600.csv", names, movinet.labels)
    assert len(names) - len(mapping.unmapped) == 9
    folder = shared_dir / "data" / "ucf101" / "UCF-101"
    clips = [path for path in sorted(folder.glob("*/*.avi")) if 1 <= int(path.stem.split("_g")[1][:2]) <= 7]
    assert len(clips) >= 30
    right = 0
    for clip in clips:
        scores = mapping.apply(average(predict(movinet, clip).logits, movinet.spec))
        right += rank_of(scores, names.index(clip.parent.name)) == 0
    assert right / len(clips) >= 0.95, f"{right} of {len(clips)}"


@pytest.mark.shared
def test_a_changed_file_is_refused_before_native_code_reads_it(movinet_file, tmp_path):
    data = bytearray(movinet_file.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.tflite").write_bytes(data)
    with pytest.raises(WeightsError, match=r"is not the published file.*native code reads it"):
        load_model(MOVINET, tmp_path / "a.tflite")


def test_a_file_that_is_no_model_is_refused(tmp_path):
    from vidbench.hubs import MoViNetStream

    (tmp_path / "a.tflite").write_bytes(b"TFL3" * 100)
    with pytest.raises(WeightsError, match="no TFLite model"):
        MoViNetStream(tmp_path / "a.tflite", CARDS[MOVINET].input)


def test_what_a_finished_program_cannot_do_is_refused():
    with pytest.raises(ConfigError, match="cannot have random weights"):
        load_model(MOVINET, "random")
    with pytest.raises(ConfigError, match="runs on the CPU as it is"):
        load_model(MOVINET, precision="bf16")
    with pytest.raises(ConfigError, match="runs on the CPU as it is"):
        load_model("i3d.tfhub_kinetics400", device="cuda")
    with pytest.raises(WeightsError, match="There is no weights file"):
        load_model(MOVINET, "absent.tflite")
    with pytest.raises(WeightsError, match="There is no SavedModel folder"):
        load_model("i3d.tfhub_kinetics400", "absent")


def test_without_a_network_the_sentence_says_where_to_put_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card = CARDS[MOVINET]
    monkeypatch.setitem(CARDS, MOVINET, replace(card, weights=Weights(card.weights.file, "http://127.0.0.1:9/m")))
    with pytest.raises(WeightsError) as caught:
        load_model(MOVINET)
    for part in ("http://127.0.0.1:9/m", str(tmp_path / "vidbench" / "weights" / card.weights.file), "--weights PATH"):
        assert part in str(caught.value)
    assert "random" not in str(caught.value), "this model cannot be random"


# TensorFlow lives in processes of its own here: it takes seconds to import and must come after torchvision.
MAKE = """
import sys
import torchvision, tensorflow as tf

class Tiny(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, None, 224, 224, 3), tf.float32, name="rgb_input")])
    def serve(self, clips):
        brightness = tf.reduce_mean(clips, axis=(2, 3))          # (N, T, 3): frames and channels stay apart
        red_at_the_end = brightness[:, -1:, 0]
        return {"default": tf.concat([brightness[:, 0], red_at_the_end, tf.zeros((tf.shape(clips)[0], 396))], 1)}

tiny = Tiny()
tf.saved_model.save(tiny, sys.argv[1], signatures={"default": tiny.serve})
"""
USE = """
import sys
import numpy as np
from vidbench.models import load_model
from vidbench.records import WeightsError

model = load_model("i3d.tfhub_kinetics400", sys.argv[1])
assert model.card.name == "i3d.tfhub_kinetics400" and len(model.labels) == 400
rng = np.random.default_rng(0)
videos = [rng.integers(0, 256, (v, 9, 224, 224, 3), dtype=np.uint8) for v in (2, 1)]
scores = model.logits(videos, 2)
assert [s.shape for s in scores] == [(2, 400), (1, 400)] and scores[0].dtype == np.float32
for video, found in zip(videos, scores):
    mean = (video / 255).mean((2, 3))
    np.testing.assert_allclose(found[:, :3], mean[:, 0], rtol=1e-4)      # [0, 1], RGB, first frame first
    np.testing.assert_allclose(found[:, 3], mean[:, -1, 0], rtol=1e-4)
again = load_model("i3d.tfhub_kinetics400", sys.argv[1])
assert len(model.weights_sha256) == 64 and again.weights_sha256 == model.weights_sha256
assert model.seconds["forward"] > 0
try:
    load_model("i3d.tfhub_kinetics400", sys.argv[2])
except WeightsError as problem:
    assert "no SavedModel with a signature 'default'" in str(problem), problem
try:
    load_model("i3d.tfhub_kinetics600")
except WeightsError as problem:
    words = str(problem)
    assert "i3d-kinetics-600/1" in words and "--weights" in words and "\\n" not in words, words
else:
    raise SystemExit("the handle was reached, or nothing was said")
print("fine")
"""


def run(code, *words, env=None):
    import os

    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(env or {})},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_i3d_runs_from_a_saved_model_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    run(MAKE, tmp_path / "tiny")
    # a proxy that nobody listens on: no address can be reached, whatever this machine's network
    closed = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    out = run(USE, tmp_path / "tiny", tmp_path / "empty", env={**closed, "TFHUB_CACHE_DIR": str(tmp_path / "hub")})
    assert out.strip().endswith("fine")


def test_only_one_module_imports_tensorflow():
    found = [
        path.relative_to(ROOT / "vidbench").as_posix()
        for path in sorted((ROOT / "vidbench").rglob("*.py"))
        if re.search(r"^\s*(import|from) tensorflow", path.read_text(), re.M)
    ]
    assert found == ["hubs.py"]
