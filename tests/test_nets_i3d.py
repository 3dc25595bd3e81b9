"""I3D is the network of its authors: names, shapes, padding, and the same logits as an independent port."""

import csv

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidbench.models import CARDS, build_module, load_model
from vidbench.nets.i3d import I3D, SameConv, SamePool, from_others, same_padding, torch_name
from vidbench.records import ConfigError, WeightsError

OURS = [card for card in CARDS.values() if card.build.startswith("vidbench.nets.i3d:")]


def table(shared_dir, name):
    with open(shared_dir / "reference" / name, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def lively(module, seed=0):
    """Weights as after a training: norms with statistics and offsets of their own, logits of ordinary size."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif name.endswith(("bn.bias", "running_mean", "logits.conv3d.bias")):
            value.normal_(0, 0.2, generator=generator)
        elif name.endswith("weight") and value.dim() == 5:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    return module.eval()


def clips(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def network():
    return lively(I3D(num_classes=5))


# ------------------------------------------------------------------------------------------------------ padding


def padded(x, size, stride, value):
    """TensorFlow's rule written out: as many places as make the output ceil(length / stride) long."""
    pads = []
    for length in reversed(x.shape[2:]):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


@pytest.mark.parametrize(("size", "stride"), [(7, 2), (3, 1), (1, 1), (3, 2)])
def test_convolutions_pad_as_tensorflow_does_at_every_size(size, stride):
    conv = SameConv(2, 3, size, stride, bias=False)
    for shape in [(8, 9, 10), (9, 8, 8), (7, 7, 11), (1, 2, 3)]:
        x = clips(1, 2, *shape)
        found = conv(x)
        assert tuple(found.shape[2:]) == tuple(-(-length // stride) for length in shape)
        torch.testing.assert_close(found, F.conv3d(padded(x, size, stride, 0.0), conv.weight, None, stride))


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 1), (2, 2)])
def test_pools_pad_as_tensorflow_does_at_every_size(size, stride):
    pool = SamePool((size,) * 3, (stride,) * 3)
    for shape in [(8, 9, 10), (9, 8, 8), (7, 7, 11), (2, 3, 4)]:
        x = clips(1, 2, *shape) - 2  # below zero, so that a pad of zeros would be seen
        expected = F.max_pool3d(padded(x, size, stride, float("-inf")), size, stride)
        assert torch.equal(pool(x), expected)


def test_padding_is_uneven_exactly_where_the_authors_note_it():
    assert [same_padding(224, 7, 2), same_padding(112, 3, 2), same_padding(225, 7, 2)] == [(2, 3), (0, 1), (3, 3)]


# ------------------------------------------------------------------------------------------------------ network


@pytest.mark.parametrize("shape", [(2, 3, 9, 48, 40), (1, 3, 16, 33, 71), (1, 3, 11, 32, 40)])
def test_clips_of_any_size_from_nine_frames_on_give_logits(network, shape):
    with torch.no_grad():
        assert network(clips(*shape)).shape == (shape[0], 5)


def test_flow_has_two_channels():
    with torch.no_grad():
        assert I3D(4, in_channels=2).eval()(clips(1, 2, 9, 40, 32)).shape == (1, 4)


@pytest.mark.parametrize("shape", [(1, 3, 8, 64, 64), (1, 9, 64, 48, 3), (3, 9, 64, 48), (1, 2, 9, 32, 32)])
def test_other_clips_are_refused_in_one_sentence(network, shape):
    with pytest.raises(ConfigError, match=r"shape \(N, 3, T, H, W\) with at least 9 frames, not \("):
        network(clips(*shape))


def test_evaluation_is_deterministic_and_each_clip_stands_alone(network):
    x = clips(2, 3, 9, 32, 40)
    with torch.no_grad():
        together = network(x)
        assert torch.equal(network(x), together)
        alone = torch.cat([network(clip[None]) for clip in x])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_the_order_of_frames_matters(network):
    x = clips(1, 3, 12, 32, 32)
    with torch.no_grad():
        assert (network(x) - network(x.flip(2))).abs().max() > 1e-3


def test_every_parameter_learns():
    module = lively(I3D(num_classes=5)).train()
    module(clips(2, 3, 17, 33, 40)).square().sum().backward()
    assert [name for name, value in module.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_norms_have_an_offset_and_no_scale(network):
    norm = network.Mixed_4c.b2b.bn
    assert (norm.eps, norm.momentum) == (1e-3, 1e-3)
    assert [name for name, _ in norm.named_parameters()] == ["bias"]
    assert not any(key.endswith("bn.weight") for key in network.state_dict())


# ------------------------------------------------------------------------------------- names of other people's files


@pytest.mark.shared
def test_every_variable_of_the_checkpoints_has_its_place(shared_dir):
    rows = table(shared_dir, "i3d_tf_to_pytorch_i3d_keys.tsv")
    assert len(rows) == 230
    assert {row["tf_variable"]: torch_name(row["tf_variable"]) for row in rows} == {
        row["tf_variable"]: row["pytorch_i3d_key"] for row in rows
    }


def stand_in(rows, name, seed=0):
    """Tensors with the names and shapes of one of DeepMind's checkpoints."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {row["variable"]: shape_of(row["shape"]) for row in rows if row["checkpoint"] == name}
    return {key: torch.rand(shape, generator=generator) * 0.1 for key, shape in shapes.items()}


def shape_of(text):
    return tuple(int(number) for number in text.strip("[]").split(",") if number)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("checkpoint", "num_classes", "channels", "listed"),
    [("rgb_imagenet", 400, 3, 230), ("flow_imagenet", 400, 2, 230), ("rgb_scratch_kin600", 600, 3, 346)],
)
def test_all_variables_of_a_checkpoint_fit_and_nothing_is_left(shared_dir, checkpoint, num_classes, channels, listed):
    tensors = stand_in(table(shared_dir, "i3d_tf_checkpoint_variables.tsv"), checkpoint)
    assert len(tensors) == listed
    with torch.device("meta"):
        own = {key: tuple(value.shape) for key, value in I3D(num_classes, channels).state_dict().items()}
    found = from_others(tensors, own)
    missing = {key for key in own.keys() - found.keys() if not key.endswith("num_batches_tracked")}
    assert missing == found.keys() - own.keys() == set()
    assert {key: tuple(value.shape) for key, value in found.items()} == {key: own[key] for key in found}
    prefix = "" if checkpoint.startswith("rgb_scratch") else checkpoint.partition("_")[0].capitalize()
    scope = f"{prefix}/inception_i3d/" if prefix.endswith("low") else "RGB/inception_i3d/" if prefix else ""
    kernel = tensors[f"{scope}Mixed_3b/Branch_1/Conv3d_0b_3x3/conv_3d/w"]
    assert torch.equal(found["Mixed_3b.b1b.conv3d.weight"][7, 5, 0, 1, 2], kernel[0, 1, 2, 5, 7])


def test_two_networks_in_one_file_are_refused():
    tensors = {f"{scope}/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d/b": torch.zeros(4) for scope in ("RGB", "Flow")}
    with pytest.raises(WeightsError, match=r"two networks, 'RGB/.*'Flow/"):
        from_others(tensors, {})


@pytest.mark.shared
def test_the_ports_file_is_ours_with_scales(shared_dir):
    port = {row["key"]: shape_of(row["shape"]) for row in table(shared_dir, "pytorch_i3d_state_dict.tsv")}
    assert len(port) == 344
    with torch.device("meta"):
        own = {key: tuple(value.shape) for key, value in I3D(400).state_dict().items()}
    scales = {key for key in port if key.endswith(".bn.weight")}
    assert {key: port[key] for key in port.keys() - scales} == own
    assert len(scales) == 57
    assert set(from_others({key: torch.ones(port[key]) for key in port}, own)) == set(own)


def their_port(num_classes):
    """piergiaj's port as the package cd-fvd carries it; its epsilon is set to the authors'."""
    module = pytest.importorskip("cdfvd.third_party.i3d.pytorch_i3d").InceptionI3d(num_classes)
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.eps = 1e-3
    return lively(module, seed=3)


@pytest.mark.parametrize("scaled", [False, True])
def test_an_independent_port_gives_the_same_logits(scaled):
    theirs = their_port(7)
    if scaled:  # a network that was trained further has scales
        for name, value in theirs.state_dict().items():
            if name.endswith("bn.weight"):
                value.uniform_(0.8, 1.2, generator=torch.Generator().manual_seed(1))
    ours = I3D(7).eval()
    ours.load_state_dict(from_others(theirs.state_dict(), {}))
    x = clips(1, 3, 11, 224, 200)  # 7x7 places at the end, uneven padding along one axis and even along another
    with torch.no_grad():
        expected, found = theirs(x), ours(x)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


# -------------------------------------------------------------------------------------------------------- cards


@pytest.mark.shared
@pytest.mark.parametrize("card", OURS, ids=lambda card: card.name)
def test_cards_say_what_the_table_of_published_results_says(card, shared_dir):
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "TEST (not val)"]
    if card.num_classes == 600:
        assert card.reported is None
        return
    ids = "+".join(part.split(".")[1].removesuffix("_k400") for part in card.parts.values() or [card.name])
    (row,) = (row for row in rows if row["weights_id"] == ids)
    assert (float(row["top1"]), float(row["top5"])) == (card.reported.top1, card.reported.top5)
    assert "test" in card.reported.on
    assert (card.input.num_frames, card.input.frame_rate, card.input.crop) == (250, 25.0, (224, 224))


def test_white_is_one_and_black_is_minus_one(monkeypatch):
    model = load_model("i3d.rgb_imagenet_k400", "random", labels=("a", "b"))
    seen = []
    monkeypatch.setattr(model.network, "module", lambda x: seen.append(x) or torch.zeros(len(x), 2))
    model.logits([np.full((1, 9, 8, 6, 3), value, np.uint8) for value in (0, 255)])
    assert seen[0].shape == (2, 3, 9, 8, 6)
    assert (seen[0][0] == -1).all()
    assert (seen[0][1] == 1).all()


def test_the_ports_file_and_our_safetensors_give_the_same_model(tmp_path):
    from safetensors.torch import save_file

    card = CARDS["i3d.rgb_imagenet_k400"]
    source = lively(build_module(card))
    norms = {key: value for key, value in source.state_dict().items() if "bn.bias" in key}
    port = source.state_dict() | {key.replace("bias", "weight"): value * 0 + 1 for key, value in norms.items()}
    torch.save(port, tmp_path / "rgb_imagenet.pt")
    save_file(source.state_dict(), tmp_path / "ours.safetensors")
    for name in ("rgb_imagenet.pt", "ours.safetensors"):
        found = load_model(card.name, tmp_path / name).network.module.state_dict()
        assert all(torch.equal(found[key], value) for key, value in source.state_dict().items())


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """A folder with weights of the two streams, as the port's files are called, and the two networks."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("streams")
    networks = {}
    for number, name in enumerate(("rgb_imagenet", "flow_imagenet")):
        networks[name] = lively(build_module(CARDS[f"i3d.{name}_k400"]), seed=number)
        save_file(networks[name].state_dict(), folder / f"{name}.safetensors")
    return folder, networks


def test_two_streams_are_the_sum_of_their_logits(streams):
    folder, networks = streams
    model = load_model("i3d.two_stream_imagenet_k400", folder)
    assert (model.weights_source, len(model.weights_sha256), model.random_weights) == ("path", 64, False)
    pixels = np.random.default_rng(0).integers(1, 256, (1, 9, 40, 32, 5), dtype=np.uint8)
    values = torch.from_numpy(pixels).permute(0, 4, 1, 2, 3).float()
    with torch.no_grad():
        rgb = networks["rgb_imagenet"](values[:, :3] / 127.5 - 1)
        motion = networks["flow_imagenet"]((values[:, 3:] - 128) / 127)
    assert min(rgb.std(), motion.std()) > 0.1
    np.testing.assert_allclose(model.logits([pixels])[0], (rgb + motion).numpy(), atol=1e-4)


def test_a_folder_without_one_of_the_streams_is_refused_by_name(streams, tmp_path):
    folder, _ = streams
    (tmp_path / "rgb_imagenet.safetensors").symlink_to(folder / "rgb_imagenet.safetensors")
    with pytest.raises(WeightsError, match=r"holds nothing called flow_imagenet, which the weights of i3d.flow_imagen"):
        load_model("i3d.two_stream_imagenet_k400", tmp_path)
    (tmp_path / "flow_imagenet.safetensors").symlink_to(folder / "rgb_imagenet.safetensors")
    with pytest.raises(
        WeightsError, match=r"does not fit i3d.flow_imagenet_k400: 'Conv3d_1a_7x7.conv3d.weight' is \(64"
    ):
        load_model("i3d.two_stream_imagenet_k400", tmp_path)


def test_scratch_weights_say_where_their_folder_is():
    with pytest.raises(WeightsError, match=r"comes without weights: they are a folder .*checkpoints/flow_scratch"):
        load_model("i3d.flow_scratch_k400")
    with pytest.raises(WeightsError, match=r"i3d\.rgb_scratch_k400 comes without weights"):
        load_model("i3d.two_stream_scratch_k400")


def test_a_flow_model_refuses_pictures():
    model = load_model("i3d.flow_imagenet_k400", "random", labels=("a", "b"))
    with pytest.raises(ValueError, match=r"views must be uint8 \(V, T, H, W, 2\), not uint8 \(1, 9, 8, 8, 3\)"):
        model.logits([np.zeros((1, 9, 8, 8, 3), np.uint8)])
