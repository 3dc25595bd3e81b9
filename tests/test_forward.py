"""Torch networks on a device: what they are fed, how views are put together, how a fast way is chosen."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from vidbench import forward
from vidbench.data.process import normalise
from vidbench.forward import TorchNetwork, Tuning, choose_device, tune
from vidbench.records import ConfigError, InputSpec

MEAN, STD = (0.2, 0.45, 0.7), (0.2, 0.3, 0.4)


def spec(layout="NCTHW"):
    return InputSpec(4, 10.0, 12, (6, 10), MEAN, STD, layout=layout)


class Keep(torch.nn.Module):
    """Remembers what it was fed and returns one score a class that tells the views apart."""

    def __init__(self, num_classes=5):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(1.0, num_classes + 1))
        self.fed = []

    def forward(self, x):
        self.fed.append(x.clone())
        return x.flatten(1).mean(1, keepdim=True) * self.weight


def views(*counts, shape=(4, 6, 10, 3), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (count, *shape), dtype=np.uint8) for count in counts]


@pytest.mark.parametrize("layout", ["NCTHW", "NTCHW", "NTHWC"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
def test_the_network_is_fed_normalised_pixels_in_its_layout(layout, memory_format):
    module, pixels = Keep(), views(2)
    TorchNetwork(module, spec(layout), memory_format=memory_format).logits(pixels, 8)
    (fed,) = module.fed
    axes = ["NTHWC".index(axis) for axis in layout]
    expected = ((pixels[0] / 255.0 - MEAN) / STD).transpose(axes)
    assert fed.dtype == torch.float32
    np.testing.assert_allclose(fed.numpy(), expected, atol=2e-6)


def test_what_the_network_is_fed_is_what_process_says():
    module, pixels = Keep(), views(3)
    TorchNetwork(module, spec()).logits(pixels, 8)
    np.testing.assert_allclose(module.fed[0].numpy(), normalise(pixels[0], spec()), atol=2e-6)


def test_a_single_frame_network_sees_frames_apart_and_their_logits_are_averaged():
    module, pixels = Keep(), views(2, 1)
    scores = TorchNetwork(module, spec("NCHW")).logits(pixels, 3)
    assert module.fed[0].shape == (3 * 4, 3, 6, 10)
    per_frame = ((pixels[1][0] / 255.0 - MEAN) / STD).mean((1, 2, 3))
    np.testing.assert_allclose(scores[1][0], per_frame.mean() * np.arange(1, 6), rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 100])
def test_views_of_all_videos_are_batched_in_order(batch_size):
    module, pixels = Keep(), views(3, 1, 2)
    scores = TorchNetwork(module, spec()).logits(pixels, batch_size)
    assert [len(fed) for fed in module.fed] == [min(batch_size, 6 - i) for i in range(0, 6, batch_size)]
    assert [found.shape for found in scores] == [(3, 5), (1, 5), (2, 5)]
    for video, found in zip(pixels, scores):
        expected = ((video / 255.0 - MEAN) / STD).mean((1, 2, 3, 4))[:, None] * np.arange(1, 6)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert found.dtype == np.float32


def test_no_views_give_no_scores():
    assert TorchNetwork(Keep(), spec()).logits([], 4) == []


def test_the_same_list_gives_the_same_bits():
    module = torch.nn.Sequential(torch.nn.Conv3d(3, 7, 3), torch.nn.Flatten(), torch.nn.Linear(7 * 2 * 4 * 8, 5))
    network, pixels = TorchNetwork(module, spec()), views(3, 2)
    first, second = network.logits(pixels, 2), network.logits(pixels, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_dropout_and_batch_norm_are_in_test_mode_and_nothing_is_learnt():
    module = torch.nn.Sequential(torch.nn.BatchNorm3d(3), torch.nn.Dropout(0.9), torch.nn.Flatten())
    network = TorchNetwork(module, spec())
    before = module[0].running_mean.clone()
    first, second = network.logits(views(2), 2), network.logits(views(2), 2)
    assert np.array_equal(first[0], second[0])
    assert torch.equal(module[0].running_mean, before)
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_stage_seconds_add_up():
    network = TorchNetwork(Keep(), spec())
    network.logits(views(2), 1)
    once = dict(network.seconds)
    network.logits(views(2), 1)
    assert set(once) == {"transform", "transfer", "forward"}
    assert all(network.seconds[stage] > once[stage] > 0 for stage in once)


def test_devices_and_precisions_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="none of auto, cpu"):
        choose_device("gpu")
    with pytest.raises(ConfigError, match="There is no device 'cuda:99'"):
        choose_device("cuda:99")
    with pytest.raises(ConfigError, match="none of auto, fp32"):
        TorchNetwork(Keep(), spec(), precision="fp8")
    with pytest.raises(ConfigError, match="Memory format"):
        TorchNetwork(Keep(), spec(), memory_format="rows")


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"


def test_fp16_runs_or_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False)
    with pytest.raises(ConfigError, match="no fp16 arithmetic"):
        TorchNetwork(Keep(), spec(), precision="fp16")


class Cramped(Keep):
    """A network on a device with room for so many views."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def forward(self, x):
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().forward(x)


def test_a_batch_too_large_for_the_device_is_computed_in_halves_and_only_it():
    pixels = views(7, 2)
    roomy, cramped = TorchNetwork(Keep(), spec()), TorchNetwork(Cramped(2), spec())
    expected, found = roomy.logits(pixels, 5), cramped.logits(pixels, 5)
    assert [len(fed) for fed in cramped.module.fed] == [2, 1, 2, 2, 2]  # of 5 and 4 views
    assert cramped.halved == 3
    for a, b in zip(expected, found):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_view_too_large_for_the_device_says_what_to_try():
    with pytest.raises(ConfigError, match=r"One view of 4 frames of 6x10 does not fit.*--precision bf16"):
        TorchNetwork(Cramped(0), spec()).logits(views(3), 16)


def test_scores_that_were_begun_earlier_stay_what_they_were():
    network, first, second = TorchNetwork(Keep(), spec()), views(3, seed=1), views(2, 2, seed=2)
    begun = [network.submit(first, 2), network.submit(second, 4)]
    for scores, pixels in zip(begun, (first, second)):
        for a, b in zip(scores.result(), network.logits(pixels, 2)):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    before = dict(network.seconds)
    begun[0].result()
    assert network.seconds == before, "a result that is asked for twice counts once"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_logits_of_the_processor_and_the_same_bits_twice():
    from vidbench.models import load_model

    (pixels,) = views(3, shape=(8, 32, 48, 3))
    expected = load_model("mini_r2plus1d", "random").logits([pixels], 2)[0]
    model = load_model("mini_r2plus1d", "random", device="auto")
    assert model.device == "cuda"
    first = model.logits([pixels], 2)[0]
    np.testing.assert_allclose(first, expected, atol=1e-4)
    assert np.array_equal(first, model.logits([pixels], 2)[0])
    assert all(seconds > 0 for seconds in model.seconds.values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_computes_many_batches_at_once_without_mixing_them():
    from vidbench.models import load_model

    model = load_model("mini_r2plus1d", "random", device="cuda")
    many = [views(2, 1 + k % 3, shape=(8, 32 + k, 48, 3), seed=k) for k in range(12)]
    alone = [model.logits(pixels, 3) for pixels in many]
    begun = [model.submit(pixels, 3) for pixels in many]
    for expected, scores in zip(alone, begun):
        assert all(np.array_equal(a, b) for a, b in zip(expected, scores()))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_that_is_full_gets_smaller_batches_and_the_same_scores():
    from vidbench.models import load_model

    model, pixels = load_model("r3d_18", "random", device="cuda"), views(16, shape=(16, 112, 112, 3))
    expected = model.logits(pixels, 16)[0]
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.empty_cache()
    try:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 600 * 2**20) / total)
        found = model.logits(pixels, 16)[0]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert model.halved_batches >= 1
    np.testing.assert_allclose(found, expected, atol=1e-3)


# ------------------------------------------------------------------------------------------------------- tuning


class FakeModel:
    """A model whose speed and scores are written down; counts how often it was measured."""

    def __init__(self, monkeypatch, seconds, scores=None, sha="a" * 64):
        self.network = TorchNetwork(Keep(), spec())
        self.card = type("Card", (), {"name": "fake.weights"})
        self.weights_sha256, self.measured = sha, 0
        right = np.float32([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]])

        def timed(network, views, choice):
            self.measured += 1
            return seconds[choice]

        monkeypatch.setattr(forward, "_timed", timed)
        monkeypatch.setattr(forward, "_scores", lambda network, views, choice: (scores or {}).get(choice, right))


def table(plain, last, bf16_last, bf16):
    return {
        ("fp32", "contiguous"): plain,
        ("fp32", "channels_last"): last,
        ("bf16", "channels_last"): bf16_last,
        ("bf16", "contiguous"): bf16,
    }


def test_the_fastest_way_is_taken_where_the_answers_agree(monkeypatch, tmp_path):
    model = FakeModel(monkeypatch, table(1.0, 0.7, 0.2, 0.4))
    found = tune(model, views(2), 2, cache_file=tmp_path / "t.json")
    assert (found.precision, found.memory_format, found.origin) == ("bf16", "channels_last", "measured")
    assert (model.network.precision, model.network.memory_format) == ("bf16", "channels_last")
    assert found.max_difference == 0.0


@pytest.mark.parametrize(
    "scores",
    [
        [[2.0, 1.0, 0.0], [0.0, 1.0, 1.001]],  # another best class
        [[2.1, 1.0, 0.0], [0.0, 3.0, 1.0]],  # the same classes, a probability moved by 0.02
        [[2.0, 1.0, 0.0], [0.0, np.nan, 1.0]],
    ],
)
def test_bf16_is_refused_where_the_answers_differ(monkeypatch, scores):
    wrong = np.float32(scores)
    model = FakeModel(
        monkeypatch,
        table(1.0, 0.7, 0.2, 0.4),
        {("bf16", "channels_last"): wrong, ("bf16", "contiguous"): wrong},
    )
    found = tune(model, views(2), 2, cache_file="")
    assert (found.precision, found.memory_format) == ("fp32", "channels_last")
    assert found.seconds["bf16 channels_last"] == 0.1, "what was measured is still told, in seconds a view"


def test_a_small_gain_changes_nothing(monkeypatch):
    model = FakeModel(monkeypatch, table(1.0, 0.9, 0.88, 0.95))
    found = tune(model, views(2), 2, cache_file="")
    assert (found.precision, found.memory_format) == ("fp32", "contiguous")


def test_bf16_must_clearly_beat_the_best_fp32(monkeypatch):
    model = FakeModel(monkeypatch, table(1.0, 0.5, 0.45, 0.6))
    assert tune(model, views(2), 2, cache_file="").precision == "fp32"


def test_a_quick_batch_is_not_measured_further_and_later_runs_choose_the_same(monkeypatch, tmp_path):
    model = FakeModel(monkeypatch, table(0.04, 0.01, 0.01, 0.01))
    found = tune(model, views(2), 2, cache_file=tmp_path / "t.json")
    assert (found.precision, found.memory_format, found.origin) == ("fp32", "contiguous", "default")
    assert model.measured == 2
    slow = FakeModel(monkeypatch, table(4.0, 0.1, 0.1, 0.1))
    later = tune(slow, views(2), 2, cache_file=tmp_path / "t.json")
    assert (later.precision, later.memory_format, later.origin) == ("fp32", "contiguous", "stored")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_was_asked_for_is_kept(monkeypatch, precision):
    model = FakeModel(monkeypatch, table(1.0, 0.2, 0.2, 1.0))
    found = tune(model, views(2), 2, precision, cache_file="")
    assert (found.precision, found.memory_format) == (precision, "channels_last")


def test_later_runs_choose_the_same_without_measuring(monkeypatch, tmp_path):
    file = tmp_path / "deep" / "t.json"
    first = tune(FakeModel(monkeypatch, table(1.0, 0.7, 0.2, 0.4)), views(2), 2, cache_file=file)
    again = FakeModel(monkeypatch, table(1.0, 9.0, 9.0, 9.0))
    found = tune(again, views(2), 2, cache_file=file)
    assert again.measured == 0
    assert (found.origin, found.precision) == ("stored", "bf16")
    assert found.facts() == {**first.facts(), "origin": "stored"}
    other = FakeModel(monkeypatch, table(1.0, 9.0, 9.0, 9.0), sha="b" * 64)
    assert tune(other, views(2), 2, cache_file=file).precision == "fp32", "other weights are measured anew"
    assert len(json.loads(file.read_text())) == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"KEY": 5}', '{"KEY": {"precision": "fp8", "memory_format": "contiguous"}}', "[" * 9999]
)
def test_a_damaged_file_of_choices_is_measured_anew(monkeypatch, tmp_path, text):
    file = tmp_path / "t.json"
    model = FakeModel(monkeypatch, table(1.0, 0.7, 0.2, 0.4))
    key = forward._tuning_key(model, (2, 4, 6, 10, 3), "auto")
    file.write_text(text.replace("KEY", key))
    assert tune(model, views(2), 2, cache_file=file).origin == "measured"
    assert model.measured == 5


def test_slow_networks_are_timed_on_few_views_and_compared_on_all(monkeypatch):
    asked = {"timed": [], "compared": []}
    model = FakeModel(monkeypatch, table(1.5, 1.0, 0.4, 0.8))
    timed, scores = forward._timed, forward._scores
    monkeypatch.setattr(forward, "_timed", lambda n, v, c: (asked["timed"].append(len(v)), timed(n, v, c))[1])
    monkeypatch.setattr(forward, "_scores", lambda n, v, c: (asked["compared"].append((c, len(v))), scores(n, v, c))[1])
    assert tune(model, views(5, 4), 8, cache_file="").precision == "bf16"
    assert set(asked["timed"]) == {1}
    assert asked["compared"] == [(("fp32", "channels_last"), 8), (("bf16", "channels_last"), 8)]


def test_measuring_leaves_the_runs_own_clock_alone(tmp_path):
    model = FakeModel.__new__(FakeModel)
    model.network, model.weights_sha256 = TorchNetwork(Keep(), spec()), None
    model.card = type("Card", (), {"name": "fake.weights"})
    tune(model, views(2), 2, cache_file="")
    assert set(model.network.seconds.values()) == {0.0}


def test_a_folder_that_cannot_be_written_costs_no_run(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    model = FakeModel(monkeypatch, table(1.0, 0.7, 0.2, 0.4))
    assert tune(model, views(2), 2, cache_file=tmp_path / "file" / "t.json").precision == "bf16"


def test_a_network_with_nothing_to_choose_is_left_alone():
    network = type("Fixed", (), {"tunable": False, "precision": "int8", "memory_format": "contiguous"})()
    model = type("M", (), {"network": network})()
    assert tune(model, [], 2) == Tuning("int8", "contiguous", origin="default")


def test_bf16_of_a_real_network_agrees_within_the_tolerance(tmp_path):
    from vidbench.models import load_model

    model = load_model("mini_r2plus1d.vidmini_v1", "random")
    (pixels,) = views(2, shape=(8, 32, 48, 3))
    reference = model.logits([pixels])[0]
    model.settle("bf16", "channels_last")
    assert forward._difference(reference, model.logits([pixels])[0]) < forward.BF16_TOLERANCE
    model.settle("fp32", "contiguous")
    assert np.array_equal(model.logits([pixels])[0], reference), "the weights stay float32"


FAULTS = """
import resource, sys
from vidbench.utils import keep_freed_memory
kept = sys.argv[1] == "kept" and keep_freed_memory(large_blocks=True)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * 2**27
before = faults()
for _ in range(5):
    b"x" * 2**27
print(faults() - before, kept)
"""


@pytest.mark.skipif(sys.platform != "linux" or not os.confstr("CS_GNU_LIBC_VERSION"), reason="glibc only")
def test_kept_memory_is_used_again_without_asking_the_system():
    found = {}
    for how in ("given back", "kept"):
        command = [sys.executable, "-c", FAULTS, how]
        found[how] = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert found["kept"][1] == "True"
    assert int(found["kept"][0]) * 20 < int(found["given back"][0])


@pytest.mark.parametrize(("device", "peak_mb", "kept"), [("cpu", 1.0, True), ("cpu", 1e9, False), ("cuda", 1.0, False)])
def test_memory_is_kept_only_for_networks_that_leave_most_of_it_free(monkeypatch, device, peak_mb, kept):
    asked = []
    monkeypatch.setattr(forward, "keep_freed_memory", lambda large_blocks: asked.append(large_blocks) or True)
    model = types.SimpleNamespace(network=types.SimpleNamespace(device=device))
    assert forward.reuse_memory(model, peak_mb) is kept
    assert asked == [True] * kept


def test_a_network_that_gives_another_number_of_rows_than_views_is_found_out():
    class EachFrame(torch.nn.Module):
        def forward(self, x):  # (N, T, C, H, W)
            return x.flatten(0, 1).flatten(1)

    with pytest.raises(ValueError, match="8 rows of scores for 2 views"):
        TorchNetwork(EachFrame(), spec("NTCHW")).logits(views(2), 2)
