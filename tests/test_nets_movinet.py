"""MoViNet: the authors' sizes, a stream that equals its clip, and weights under others' names."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vidbench.checkpoints import load_state_dict_file
from vidbench.data.load import read_views
from vidbench.models import CARDS, load_model
from vidbench.nets import movinet
from vidbench.nets.movinet import KINDS, SIZES, MoViNet, Skip, Unit
from vidbench.nets.movinet_names import from_tensorflow, our_name
from vidbench.nets.padding import same_padding
from vidbench.records import WeightsError
from vidbench.tflite import read_constants

FLOAT, INT8 = "movinet_a0_stream.k600", "movinet_a0_stream.k600_int8"
CAUSAL = [name for name, kind in KINDS.items() if kind.causal]

# Variables of the authors' networks in millions, moving means and variances included:
# https://github.com/tensorflow/models/blob/master/official/projects/movinet/modeling/movinet_model_test.py
PUBLISHED = {"a0": 3.126071, "a1": 4.717912, "a2": 5.280922, "a3": 7.443289, "a4": 11.422727, "a5": 18.763355}


def network(kind: str, size="a0", num_classes=7, seed=0) -> MoViNet:
    """A network in evaluation mode in which every part takes effect: a new one has nothing but its skips."""
    torch.manual_seed(seed)
    net = MoViNet(num_classes, size, kind).eval()
    for name, value in net.state_dict().items():
        if name.endswith("scale"):
            value.uniform_(0.3, 0.9)
        elif re.search(r"running_var|norm\.weight", name):
            value.uniform_(0.7, 1.4)
        elif re.search(r"running_mean|bias", name) or name == "classifier.weight":
            value.normal_(std=0.1)
    return net


def clips(n=2, t=5, h=34, w=39, seed=0) -> torch.Tensor:
    return torch.rand(n, t, h, w, 3, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize("size", SIZES)
def test_each_size_has_as_many_variables_as_the_authors_count(size):
    with torch.device("meta"):
        state = MoViNet(600, size, "base").state_dict()
    count = sum(value.numel() for name, value in state.items() if not name.endswith("num_batches_tracked"))
    assert count / 1e6 == PUBLISHED[size]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "t", "h", "w"), [(1, 1, 32, 33), (2, 9, 50, 37), (1, 2, 1, 1)])
def test_any_number_of_frames_and_any_size_gives_one_score_a_class(kind, n, t, h, w):
    with torch.inference_mode():
        scores = network(kind)(clips(n, t, h, w))
    assert scores.shape == (n, 7)
    assert scores.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    net = network(kind).train()
    net(clips(2, 3, 64, 48)).square().sum().backward()
    assert [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_has_the_same_scores_whatever_lies_beside_it(kind):
    net, batch = network(kind), clips(3)
    with torch.inference_mode():
        together, again, alone = net(batch), net(batch), torch.cat([net(clip[None]) for clip in batch])
    assert torch.equal(together, again)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.01


def test_other_layouts_are_refused():
    with pytest.raises(ValueError, match=r"\(N, T, H, W, 3\), not \(1, 3, 4, 32, 32\)"):
        network("base")(torch.zeros(1, 3, 4, 32, 32))


@pytest.mark.parametrize(("length", "size", "stride"), [(172, 3, 2), (86, 5, 2), (43, 3, 2), (22, 3, 2), (11, 5, 1)])
def test_padding_is_tensorflows(length, size, stride):
    front, back = same_padding(length, size, stride)
    assert (length + front + back - size) // stride + 1 == -(-length // stride)
    assert back - front in (0, 1)
    unit = Unit(2, 3, (1, size), stride, norm=False)
    x = torch.randn(1, 2, 1, length, length + 1)
    other = same_padding(length + 1, size, stride)
    expected = unit.conv(F.pad(x[:, :, 0], (*other, front, back)))
    torch.testing.assert_close(unit(x)[:, :, 0], expected)


@pytest.mark.parametrize(("h", "w"), [(6, 7), (5, 4), (1, 2)])
def test_the_mean_on_the_way_around_counts_no_padding(h, w):
    x = torch.randn(2, 3, h, w)
    found = Skip._pool(x)
    assert found.shape[2:] == (-(-h // 2), -(-w // 2))
    top, left = same_padding(h, 3, 2)[0], same_padding(w, 3, 2)[0]
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            y, z = 2 * row - top, 2 * column - left
            window = x[:, :, max(y, 0) : y + 3, max(z, 0) : z + 3]
            torch.testing.assert_close(found[:, :, row, column], window.mean((2, 3)))


# -------------------------------------------------------------------------------------------------------- the stream


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("pieces", [(1,) * 7, (3, 4)])
def test_a_video_piece_by_piece_gives_the_scores_of_the_whole(kind, pieces):
    net, video, states = network(kind), clips(2, 7), None
    with torch.inference_mode():
        whole = net(video)
        for piece in video.split(pieces, 1):
            scores, states = net.step(piece, states)
    torch.testing.assert_close(scores, whole, atol=1e-5, rtol=1e-5)  # 2e-6 was seen
    assert states["frame_count"] == 7


@pytest.mark.parametrize("kind", CAUSAL)
def test_a_stream_knows_nothing_of_what_comes(kind):
    net, video = network(kind), clips(1, 6)
    other = torch.cat([video[:, :4], clips(1, 2, seed=1)], 1)
    with torch.inference_mode():
        torch.testing.assert_close(net.frame_features(video)[:, :, :4], net.frame_features(other)[:, :, :4])
        assert (net.frame_features(video)[:, :, 4:] - net.frame_features(other)[:, :, 4:]).abs().max() > 1e-3
        assert (net(video) - net(video.flip(1))).abs().max() > 1e-4, "it heeds the order of frames"


@pytest.mark.parametrize("kind", CAUSAL)
def test_states_that_were_handed_in_stay_as_they_were(kind):
    net, video = network(kind), clips(1, 4)
    with torch.inference_mode():
        _, states = net.step(video[:, :2])
        kept = {name: value.clone() if torch.is_tensor(value) else value for name, value in states.items()}
        first, _ = net.step(video[:, 2:], states)
        again, _ = net.step(video[:, 2:], states)
    assert torch.equal(first, again)
    assert all(np.array_equal(states[name], kept[name]) for name in kept)


def test_a_long_video_is_seen_in_pieces_with_the_same_scores(monkeypatch):
    net, video = network("stream"), clips(1, 11, 32, 33)
    with torch.inference_mode():
        whole = net(video)
        monkeypatch.setattr(movinet, "PIECE", 4)
        lengths = []
        net.stem.register_forward_hook(lambda module, given, out: lengths.append(out.shape[2]))
        torch.testing.assert_close(net(video), whole, atol=1e-5, rtol=1e-5)
    assert lengths == [4, 4, 3]


def test_a_network_that_looks_ahead_has_no_steps():
    with pytest.raises(ValueError, match="causal"):
        network("base").step(clips())


# ------------------------------------------------------------------------------------------------ others' names


def their_names(net: MoViNet, style: str) -> dict[str, torch.Tensor]:
    """The state under the authors' names and in TensorFlow's layouts, of ``3d`` or ``2plus1d`` networks."""
    outside = {"stem": "stem/stem", "project": "head/project"}
    inside = {"expand": "expansion", "feature": "feature", "project": "projection", "skip.project": "skip/skip_project"}
    inside |= {"squeeze.reduce": "se/se_reduce", "squeeze.expand": "se/se_expand", "feature_time": "feature"}
    values = {"norm.weight": "gamma", "norm.bias": "beta"}
    values |= {"norm.running_mean": "moving_mean", "norm.running_var": "moving_variance"}
    deep = {"expand": "", "project": "_3", "squeeze.reduce": "_1", "squeeze.expand": "_2", "skip.project": "_4"}
    found = {}
    for name, value in net.state_dict().items():
        block = re.fullmatch(r"blocks\.(block\d+_layer\d+)\.(.+)", name)
        if name.endswith("num_batches_tracked"):
            continue
        if block and block[2] == "scale":
            found[f"{block[1]}/scale:0"] = value
            continue
        part, kind = re.fullmatch(r"(.+?)\.((?:norm\.|conv\.)?\w+)", block[2] if block else name).groups()
        if block:
            path = f"{block[1]}/bneck/{inside[part]}"
        else:
            path = outside.get(part) or "classifier_head/" + {"hidden": "head"}.get(part, part)
        if kind in values:
            path += ("/bn_temporal/" if part == "feature_time" else "/bn/") + values[kind]
        elif kind.endswith("bias"):
            path += "/conv3d/bias" if style == "3d" else f"/conv2d/conv2d{deep.get(part, '')}/bias"
        elif style == "3d":
            value = value[..., None, None, None] if value.dim() == 2 else value
            value = value[:, :, None] if value.dim() == 4 else value
            path, value = f"{path}/conv3d/kernel", value.permute(2, 3, 4, 1, 0)
        elif part == "feature_time":
            path, value = f"{path}/conv2d_temporal/depthwise_conv2d_1/depthwise_kernel", value.permute(2, 3, 0, 1)
        elif part == "feature":
            path, value = f"{path}/conv2d/depthwise_conv2d/depthwise_kernel", value.permute(2, 3, 0, 1)
        else:
            value = value[..., None, None] if value.dim() == 2 else value
            value = value[:, :, 0] if value.dim() == 5 else value
            path, value = f"{path}/conv2d/conv2d{deep.get(part, '')}/kernel", value.permute(2, 3, 1, 0)
        found[f"{path}:0"] = value
    return found


def old_names(tensors: dict) -> dict:
    """As in TF-Hub's models: ``b0/l0`` for ``block0_layer0``."""
    return {re.sub(r"^block(\d+)_layer(\d+)/", r"b\1/l\2/", name): value for name, value in tensors.items()}


@pytest.mark.parametrize(("kind", "style"), [("base", "3d"), ("stream", "2plus1d")])
@pytest.mark.parametrize("rename", [dict, old_names])
def test_the_authors_variables_become_ours(kind, style, rename):
    net = network(kind)
    theirs = rename(their_names(net, style)) | {"save_counter": torch.tensor(3), "optimizer/iter": torch.tensor(9)}
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    found = from_tensorflow(theirs, shapes)
    wanted = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_weights_without_the_blocks_factors_are_refused():
    net = network("mobile")
    theirs = {name: value for name, value in their_names(net, "2plus1d").items() if "scale" not in name}
    with pytest.raises(WeightsError, match="lack the 15 factors of the blocks"):
        from_tensorflow(theirs, {name: tuple(value.shape) for name, value in net.state_dict().items()})


def test_two_tensors_for_one_place_or_a_factor_of_many_numbers_are_refused():
    shapes = {"stem.norm.bias": (8,), "blocks.block0_layer0.scale": ()}
    with pytest.raises(WeightsError, match=r"two tensors for 'stem\.norm\.bias'"):
        from_tensorflow({"stem/stem/bn/beta": torch.zeros(8), "stem/stem/bn/beta:0": torch.zeros(8)}, shapes)
    with pytest.raises(WeightsError, match="not one number"):
        from_tensorflow({"x/block0_layer0/bneck/rezero/mul1|factor": torch.arange(3.0)}, shapes)


def test_names_of_nobody_stay_so_that_the_message_can_name_them(tmp_path):
    torch.save({"backbone.layer4.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"has 'backbone\.layer4\.weight' that it does not know"):
        load_model("movinet_a0_base", tmp_path / "other.pth")
    assert our_name("block0_layer0/bneck/unheard/kernel") == "block0_layer0/bneck/unheard/kernel"


# ----------------------------------------------------------------------------------------------------- the TFLite file


@pytest.fixture(scope="module")
def tflite_file(shared_dir) -> Path:
    return shared_dir / "data" / "weights" / "movinet_a0_stream_k600_int8.tflite"


@pytest.fixture(scope="module")
def real(tflite_file):
    return load_model(FLOAT, tflite_file)


@pytest.mark.shared
def test_the_files_constants_are_those_that_others_read(tflite_file, shared_dir):
    found = {name: value for name, value in read_constants(tflite_file).items() if not name.endswith("|factor")}
    with np.load(shared_dir / "data" / "weights" / "movinet_a0_stream_k600_dequant_fp16.npz") as theirs:
        assert len(found) == len(theirs.files) == 128
        for (name, value), key in zip(found.items(), theirs.files):
            assert name.rpartition("|")[2] == key.rpartition("|")[2]
            np.testing.assert_allclose(value, theirs[key], rtol=1e-3, atol=1e-3 * np.abs(value).max())


@pytest.mark.shared
def test_the_real_weights_fill_the_network(real, tflite_file):
    assert (real.weights_source, real.weights_sha256) == ("path", CARDS[FLOAT].weights.sha256)
    state = real.network.module.state_dict()
    assert sum(value.numel() for value in state.values()) == CARDS[FLOAT].params
    assert not any("norm" in name for name in state), "they are folded into weights and biases"
    assert all(1 < abs(float(value)) < 3 for name, value in state.items() if name.endswith(".scale"))


@pytest.mark.shared
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.95])
def test_a_cut_tflite_file_is_one_sentence(tflite_file, tmp_path, share):
    data = tflite_file.read_bytes()
    (tmp_path / "cut.tflite").write_bytes(data[: max(8, int(share * len(data)))])
    with pytest.raises(WeightsError, match=r"cut\.tflite"):
        load_state_dict_file(tmp_path / "cut.tflite")


@pytest.mark.shared
def test_damage_anywhere_in_a_tflite_file_never_ends_in_a_traceback(tflite_file, tmp_path):
    data, rng, refused = bytearray(tflite_file.read_bytes()), np.random.default_rng(0), 0
    for _ in range(12):
        bad = data.copy()
        for place in rng.integers(len(data) - 200_000, len(data), 300):  # where the tables lie
            bad[place] = rng.integers(256)
        (tmp_path / "bad.tflite").write_bytes(bad)
        try:
            load_state_dict_file(tmp_path / "bad.tflite")
        except WeightsError:
            refused += 1
    assert refused > 3


def eight_bit_sum(features: torch.Tensor) -> torch.Tensor:
    """The mean over frames as the TFLite file takes it: a running sum that is rounded to 8 bits at every frame."""
    total = torch.zeros_like(features[:, :, 0])
    for frame in features.unbind(2):
        total = rounded(total, 0.5742605) + rounded(frame, 0.0235294)
        total = rounded(total, 0.5870788)
    return total / features.shape[2]


def rounded(values: torch.Tensor, step: float) -> torch.Tensor:
    return (values / step).round().clamp(0, 255) * step


# Clip → correlation of the 600 logits with TFLite's: of the torch network, and with the running sum rounded as there.
SEEN = {
    "BdMiTo_OtnU_000024_000034": (0.957, 0.998),
    "ehLnj7pXnYE_000027_000037": (0.952, 0.996),
    "dAeUFSdYG1I_000010_000020": (0.985, 0.998),
    "zkXOcxGnUhs_000025_000035": (0.953, 0.995),
}


@pytest.mark.shared
@pytest.mark.parametrize("clip", SEEN)
def test_torch_and_tflite_agree_on_a_real_clip_but_for_the_files_coarse_sum(real, tflite_file, shared_dir, clip):
    (path,) = (shared_dir / "data" / "kinetics400" / "val").rglob(f"{clip}.mp4")
    eight_bit = load_model(INT8, tflite_file, num_threads=1)
    pixels = read_views(path, eight_bit.spec).pixels
    wanted, found = eight_bit.logits([pixels])[0][0], real.logits([pixels])[0][0]
    assert found.argmax() == wanted.argmax()
    net = real.network.module
    with torch.inference_mode():
        features = net.frame_features(torch.from_numpy(pixels).float() / 255)
        coarse = net.classify(eight_bit_sum(features))[0].numpy()
    assert np.corrcoef(found, wanted)[0, 1] == pytest.approx(SEEN[clip][0], abs=0.015)
    assert np.corrcoef(coarse, wanted)[0, 1] == pytest.approx(SEEN[clip][1], abs=0.004)
    assert np.corrcoef(coarse, wanted)[0, 1] > 0.99


@pytest.mark.shared
def test_the_real_stream_gives_the_scores_of_the_whole_clip(real):
    frames, states = clips(1, 4, 172, 172), None
    with torch.inference_mode():
        for frame in frames.split(1, 1):
            scores, states = real.network.module.step(frame, states)
        whole = real.network.module(frames)
    torch.testing.assert_close(scores, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.shared
def test_a_new_head_on_the_real_weights_learns_and_so_does_what_is_below_it(tflite_file):
    model = load_model(FLOAT, tflite_file, labels=("a", "b", "c"))
    assert model.random_head
    net = model.network.module.requires_grad_(True).train()
    before = net.state_dict()["blocks.block4_layer3.project.conv.bias"].clone()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)
    colours = torch.eye(3).view(3, 1, 1, 1, 3)
    batch, labels, losses = 0.4 * clips(3, 3, 48, 48) + 0.6 * colours, torch.tensor([0, 1, 2]), []
    for _ in range(8):
        loss = F.cross_entropy(net(batch), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert not torch.equal(before, net.state_dict()["blocks.block4_layer3.project.conv.bias"])


# -------------------------------------------------------------------------------------------- videos of any length


def test_videos_of_different_lengths_have_the_scores_they_have_alone():
    model = load_model("movinet_a0_stream.k600", "random", labels=("a", "b", "c"), seed=1)
    model.network.module.load_state_dict(network("mobile", num_classes=3).state_dict())
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 256, (1, t, 40, 33, 3), dtype=np.uint8) for t in (5, 2, 5, 9, 2, 1)]
    alone = [model.logits([video])[0] for video in videos]
    for batch_size in (1, 3, 6):
        together = model.logits(videos, batch_size)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
    assert not np.allclose(alone[0], alone[2])
