"""Networks of others behind the same call: MoViNet with its real weights, I3D and MoViNet as SavedModels."""

import http.server
import re
import subprocess
import sys
import threading
import urllib.error
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vidbench import hubs
from vidbench.data.classes import load_labels
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
def test_the_interpreter_does_not_greet_on_the_terminal(movinet_file, capfd):
    load_model(MOVINET, movinet_file, num_threads=1)
    assert capfd.readouterr() == ("", "")


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
USE = """
import sys
from dataclasses import replace
import numpy as np
from vidbench.data.classes import load_labels
from vidbench.models import CARDS, load_model
from vidbench.records import WeightsError

saved_model, prefix, empty = sys.argv[1:]
hub = load_model("i3d.tfhub_kinetics400", saved_model)
assert hub.card.name == "i3d.tfhub_kinetics400" and len(hub.labels) == 400 and len(hub.weights_sha256) == 64
rng = np.random.default_rng(0)
videos = [rng.integers(0, 256, (1, 10, 224, 224, 3), dtype=np.uint8) for _ in range(2)]
videos[1][:, 4:] //= 3
apart = {}
sources = {"a SavedModel": saved_model, "a checkpoint": prefix, "its folder": prefix.rpartition("/")[0]}
for words, source in sources.items():
    ours = load_model("i3d.rgb_imagenet_k400", source)
    assert "TensorFlow checkpoint" in ours.notes[0] and not ours.published_weights
    ours.spec = replace(ours.spec, mean=hub.spec.mean, std=hub.spec.std)  # the hub's card says [0, 1]
    found = ours.logits(videos, 1)
    if not apart:
        expected = hub.logits(videos, 1)
        assert [scores.shape for scores in expected] == [(1, 400)] * 2 and expected[0].dtype == np.float32
        assert np.abs(expected[0] - expected[1]).max() > 1 and min(scores.std() for scores in expected) > 1
    apart[words] = max(np.abs(a - b).max() for a, b in zip(found, expected))
assert max(apart.values()) < 1e-3, apart    # measured: 4e-5, where logits spread by 11
assert hub.seconds["forward"] > 0

def said(name, weights):
    try:
        load_model(name, weights)
    except WeightsError as problem:
        return str(problem)
    raise SystemExit(f"{name} took {weights}")

assert "is no SavedModel: " in said("i3d.tfhub_kinetics400", empty)
words = said("movinet_a0_base.tfhub_k600", saved_model)
assert "its signatures: 'default' takes rgb_input, gives default." in words and chr(10) not in words, words
assert "There is no weights file" in said("i3d.rgb_imagenet_k400", prefix + "x")
assert "400 classes where 600 are asked for" in said("i3d.rgb_scratch_k600", prefix)
with open(prefix + ".data-00000-of-00001", "r+b") as file:
    file.truncate(1000)
words = said("i3d.rgb_imagenet_k400", prefix)
assert "is no whole checkpoint" in words and chr(10) not in words, words
print("fine", apart)
"""
REFUSED = """
import sys
from vidbench.models import load_model
from vidbench.records import WeightsError

try:
    load_model("i3d.tfhub_kinetics600", sys.argv[1])
except WeightsError as problem:
    print(problem)
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
@pytest.mark.timeout(600)
def test_tensorflow_and_torch_compute_the_same_i3d_from_the_same_files(tmp_path):
    """tests/tf_i3d.py writes the network in TensorFlow's own operations, and saves it as DeepMind did."""
    (tmp_path / "empty").mkdir()
    made = run((ROOT / "tests" / "tf_i3d.py").read_text(), tmp_path / "hub", tmp_path / "ckpt" / "model.ckpt")
    assert made.strip() == "230 variables"
    out = run(USE, tmp_path / "hub", tmp_path / "ckpt" / "model.ckpt", tmp_path / "empty")
    assert out.startswith("fine")


# tests/tf_movinet.py writes the networks; everything else is asked of them here, in the same process.
MOVINETS = """
import sys
from pathlib import Path
import numpy as np
import tf_movinet
from vidbench.arguments import EvaluateConfig
from vidbench.evaluate import evaluate
from vidbench.models import load_model
from vidbench.records import WeightsError

folder = Path(sys.argv[1])
base, stream = str(folder / "base"), str(folder / "stream")
tf_movinet.main(base, stream, 600)
rng = np.random.default_rng(0)

def clips(*counts):
    return [rng.integers(0, 256, (v, t, 44, 58, 3), dtype=np.uint8) // (1 + v) for v, t in counts]

def compare(name, twin, source, videos):
    hub, ours = load_model(name, source), load_model(twin, source)
    assert len(hub.weights_sha256) == 64 and not hub.random_weights and hub.card.can_be_random is False
    assert ours.notes == ("read from a TensorFlow checkpoint",) and ours.weights_source == "path"
    found, expected = hub.logits(videos, 2), ours.logits(videos, 2)
    assert [part.shape for part in found] == [(len(video), 600) for video in videos] and found[0].dtype == np.float32
    spread, between = min(part.std() for part in found), np.abs(found[0][0] - found[1][0]).max()
    assert spread > 0.5 and between > 0.5, (spread, between)
    alone = [hub.logits([video], 5)[0] for video in videos]
    assert max(np.abs(a - b).max() for a, b in zip(alone, found)) < 1e-3
    assert hub.seconds["forward"] > 0 and hub.seconds["transform"] > 0
    return max(np.abs(a - b).max() for a, b in zip(found, expected)), hub

apart, hub = compare("movinet_a0_base.tfhub_k600", "movinet_a0_base.k600", base, clips((2, 5), (1, 5), (1, 1)))
assert apart < 1e-3, apart    # measured: 4e-5, where logits spread by 9
turned = clips((1, 6))
assert np.abs(hub.logits(turned)[0] - hub.logits([turned[0][:, ::-1]])[0]).max() > 0.01
apart_stream, hub = compare(
    "movinet_a0_stream.tfhub_k600", "movinet_a0_stream.k600_float", stream, clips((2, 7), (1, 5), (1, 1))
)
assert apart_stream < 1e-3, apart_stream    # measured: 8e-6, where logits spread by 2
(video,) = clips((1, 6))
whole, end, last = (hub.logits([part])[0] for part in (video, video[:, :5], video[:, 5:]))
assert np.abs(whole - end).max() > 0.05 and np.abs(whole - last).max() > 0.05, "it remembers the frames before"

def said(name, weights, call=load_model):
    try:
        call(name, weights)
    except WeightsError as problem:
        assert chr(10) not in str(problem)
        return str(problem)
    raise SystemExit(f"{name} took {weights}")

words = said("movinet_a0_stream.tfhub_k600", base)
assert "signatures 'init_states' and 'call'" in words, words
assert "its signatures: 'serving_default' takes image, gives classifier_head." in words, words
words = said("movinet_a0_base.tfhub_k600", stream)
assert "a signature 'serving_default' that takes image alone" in words, words
assert "'call' takes image, state_block0_layer0_pool_buffer, state_block0_layer0_pool_frame_count and" in words, words
assert "'init_states' takes input_shape, gives" in words, words
assert "no SavedModel with a signature 'default', which I3D has; its signatures" in said("i3d.tfhub_kinetics400", base)
assert "has 'block1_layer0/bneck/feature/conv2d_temporal/" in said("movinet_a0_base.k600", stream)
assert "lacks 'blocks.block1_layer0.feature_time" in said("movinet_a0_stream.k600_float", base)

classes = folder / "map.csv"
run = {"dataset": "vidmini", "limit": 2, "num_workers": 1, "no_cache": True, "results_dir": str(folder / "runs")}
pairs = zip(load_model("mini2d").labels, hub.labels)
classes.write_text("".join(f"{a},{b}" + chr(10) for a, b in [("dataset_label", "model_label"), *pairs]))
for name, source in (("movinet_a0_base.tfhub_k600", base), ("movinet_a0_stream.tfhub_k600", stream)):
    asked = {"model": name, "weights": source, "label_map": str(classes), "run_name": name}
    more = {} if "stream" in name else {"num_frames": 4}
    outcome = evaluate(EvaluateConfig(**run, **asked, **more))
    assert outcome.metrics["n_ok"] == 2, outcome.metrics
for name, damaged in (("saved_model.pb", base), ("variables/variables.data-00000-of-00001", stream)):
    with open(Path(damaged) / name, "r+b") as file:
        file.truncate(5000)
    assert "is no SavedModel: " in said("movinet_a0_base.tfhub_k600", damaged)
print("fine", apart, apart_stream)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tensorflow_and_torch_compute_the_same_movinets_from_the_same_files(tmp_path):
    """tests/tf_movinet.py writes A0, base and stream, in TensorFlow's own operations, and saves them as TF-Hub's."""
    assert run(MOVINETS, tmp_path, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}).splitlines()[-1].startswith("fine")


@pytest.fixture
def refusing_server():
    """Answers everything with 403, as Kaggle does where tfhub.dev sends people."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *words):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{web.server_port}"
    web.shutdown()
    web.server_close()


@pytest.mark.slow
def test_a_handle_that_answers_403_is_one_sentence_with_two_ways_out(refusing_server, tmp_path):
    handle = f"{refusing_server}/deepmind/i3d-kinetics-600/1"
    said = run(REFUSED, handle, env={"TFHUB_CACHE_DIR": str(tmp_path / "hub"), "no_proxy": "127.0.0.1"}).strip()
    assert "\n" not in said
    for part in (handle, "(the server answered 403 Forbidden)", "--weights",
                     "https://www.kaggle.com/models/deepmind/i3d-kinetics",
                 "or take the same architecture in torch (i3d.rgb_imagenet_k400)"):  # fmt: skip
        assert part in said
    assert (tmp_path / "hub").is_dir(), "the cache is where TFHUB_CACHE_DIR says"


def test_movinets_handle_that_cannot_be_reached_names_what_there_is_instead(monkeypatch, tmp_path):
    tensorflow_hub = SimpleNamespace(resolve=raise_403)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", tensorflow_hub)
    monkeypatch.setattr(hubs, "_tensorflow", lambda: None)
    for size, kind, twin in (("a0", "base", "movinet_a0_base.k600"), ("a2", "stream", "movinet_a2_stream.k600_float")):
        with pytest.raises(WeightsError) as caught:
            load_model(f"movinet_{size}_{kind}.tfhub_k600")
        for part in (f"https://tfhub.dev/tensorflow/movinet/{size}/{kind}/kinetics-600/classification/3",
                     "(the server answered 403 Forbidden)",
                     "https://www.kaggle.com/models/google/movinet", "--weights", f"in torch ({twin})"):  # fmt: skip
            assert part in str(caught.value)
        assert twin in CARDS
    with pytest.raises(WeightsError, match=r"cannot be reached .*; download it in a browser from"):
        load_model("movinet_a4_stream.tfhub_k600")


def raise_403(handle):
    raise urllib.error.HTTPError(handle, 403, "Forbidden", {}, None)


def test_what_is_no_folder_and_no_address_is_refused_without_tensorflow():
    for weights in ("absent", "a/b/c", "deepmind/i3d-kinetics/tensorFlow1/400/one"):
        with pytest.raises(WeightsError, match=f"There is no SavedModel folder {weights}"):
            load_model("i3d.tfhub_kinetics400", weights)


def test_a_checkpoint_is_found_by_any_of_its_names(tmp_path):
    from vidbench.hubs import find_checkpoint

    for name in ("checkpoint", "model.ckpt.index", "model.ckpt.data-00000-of-00001"):
        (tmp_path / name).write_bytes(b"x")
    prefix = tmp_path / "model.ckpt"
    for path in (tmp_path, prefix, tmp_path / "model.ckpt.index", tmp_path / "model.ckpt.data-00000-of-00001"):
        assert find_checkpoint(path) == prefix
    for path in (tmp_path / "checkpoint", tmp_path / "absent", tmp_path / "model"):
        assert find_checkpoint(path) is None
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"x")
    assert find_checkpoint(tmp_path / "saved") == tmp_path / "saved" / "variables" / "variables"
    (tmp_path / "other.ckpt.index").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"holds 2 checkpoints; name one, for example .*other\.ckpt"):
        find_checkpoint(tmp_path)


def test_only_one_module_imports_tensorflow():
    found = [
        path.relative_to(ROOT / "vidbench").as_posix()
        for path in sorted((ROOT / "vidbench").rglob("*.py"))
        if re.search(r"^\s*(import|from) tensorflow", path.read_text(), re.M)
    ]
    assert found == ["hubs.py"]
