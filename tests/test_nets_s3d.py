"""S3D is torchvision's and the authors', and begins as the I3D whose filters it takes."""

import csv
import math
import re

import numpy as np
import pytest
import torch
import torchvision

from vidbench.cards import s3d as cards
from vidbench.models import build_module, load_model
from vidbench.nets.i3d import I3D
from vidbench.nets.inflate import deflate
from vidbench.nets.s3d import PLACES, S3D, SPLIT, TF_SLIM, Gate, Separable, from_port, identity_filter
from vidbench.records import ConfigError, WeightsError


def drawn(module, seed=0):
    """Statistics and offsets as of a trained network, so that nothing is 0 or 1 by chance."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm3d):
            for tensor, low in ((part.bias, -0.1), (part.running_mean, -0.2), (part.running_var, 0.6)):
                tensor.data = low + torch.rand(tensor.shape, generator=generator) * 0.5
            if isinstance(part.weight, torch.nn.Parameter):
                part.weight.data = 0.6 + torch.rand(part.weight.shape, generator=generator)
    return module.eval()


def clips(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# --------------------------------------------------------------------------------------------------- the definitions


@torch.inference_mode()
def test_it_is_torchvisions_s3d():
    """Names, shapes and, with copied weights, logits within 1e-6."""
    torch.manual_seed(1)
    theirs = drawn(torchvision.models.video.s3d(num_classes=9))
    ours = S3D(9).eval()
    assert len(theirs.state_dict()) == 464
    ours.load_state_dict(theirs.state_dict(), strict=True)
    video = clips(1, 3, 14, 224, 230)
    found = ours(video)
    assert found.std() > 1e-2
    torch.testing.assert_close(found, theirs(video), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("size", [(9, 32, 32), (10, 47, 64), (13, 65, 33)])
def test_same_padding_halves_every_axis_rounded_up(size):
    module = S3D(3, **TF_SLIM).eval()
    sizes = []
    for place in (0, 1, 4, 7, 13):
        module.features[place].register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[2:])))
    with torch.device("meta"):
        module.to("meta")(torch.empty(1, 3, *size))
    t, h, w = size
    halvings = ((1, 1), (1, 2), (1, 3), (2, 4), (3, 5))
    assert sizes == [tuple(math.ceil(a / 2**n) for a, n in ((t, n), (h, m), (w, m))) for n, m in halvings]


def test_the_authors_definition_has_no_scales_and_offsets_over_time():
    module = S3D(3, gating=True, **TF_SLIM)
    learnt = {name for name, _ in module.named_parameters()}
    norms = {name for name, part in module.named_modules() if isinstance(part, torch.nn.BatchNorm3d)}
    assert not {f"{name}.weight" for name in norms} & learnt
    assert {f"{name}.bias" for name in norms} <= learnt
    for part in module.modules():
        if isinstance(part, Separable):
            assert [type(layer).__name__ for layer in part[1]] == ["Conv3d", "ReLU"]
            assert part.time_conv.bias is not None
    assert module.features[0][0].kernel_size == (3, 7, 7)


def test_filters_over_time_and_gates_begin_where_they_are_asked_to():
    with torch.device("meta"):
        module = S3D(3, gating=True, time_from="Mixed_4b", gate_from="Mixed_5b")
    for name in SPLIT:
        layer = module.features[PLACES[name]]
        timed = any(isinstance(part, Separable) for part in layer.modules())
        gated = any(isinstance(part, Gate) for part in layer.modules())
        assert (timed, gated) == (name >= "Mixed_4b", name >= "Mixed_5b"), name
    with torch.device("meta"):
        gates = [part for part in S3D(3, gating=True).modules() if isinstance(part, Gate)]
    assert len(gates) == 1 + 9 * 4


@torch.inference_mode()
def test_a_gate_is_the_papers_formula():
    torch.manual_seed(2)
    gate, x = Gate(6), clips(2, 6, 3, 4, 5)
    weight = gate.linear.weight[:, :, 0, 0, 0]
    for n in range(2):
        pooled = x[n].flatten(1).mean(1)
        for channel in range(6):
            factor = 1 / (1 + torch.exp(-(weight[channel] @ pooled)))
            torch.testing.assert_close(gate(x)[n, channel], x[n, channel] * factor)


@torch.inference_mode()
def test_filters_over_time_begin_as_the_identity():
    part = torch.nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0), bias=False)
    part.weight.data = identity_filter(part)
    x = clips(2, 4, 5, 3, 2)
    assert torch.equal(part(x), x)
    units = [unit for unit in S3D(3).modules() if isinstance(unit, Separable)]
    assert len(units) == 20
    assert all(torch.equal(unit.time_conv.weight, identity_filter(unit.time_conv)) for unit in units)


OPTIONS = [{}, {"gating": True, **TF_SLIM}, {"first_length": 1, "time_from": "Mixed_5b"}, {"padding": "same"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_parameter_learns(options):
    torch.manual_seed(3)
    module = S3D(4, **options)
    module(clips(2, 3, 16, 40, 36)).square().sum().backward()
    assert [name for name, value in module.named_parameters() if value.grad is None or not value.grad.any()] == []


@torch.inference_mode()
def test_clips_do_not_see_each_other():
    torch.manual_seed(4)
    module = drawn(S3D(4, gating=True, **TF_SLIM))
    batch = clips(2, 3, 9, 40, 36)
    together = module(batch)
    apart = torch.cat([module(clip[None]) for clip in batch])
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-4)
    assert torch.equal(together, module(batch))
    assert (together[0] - together[1]).abs().max() > 1e-6


@pytest.mark.parametrize(
    "options", [{"first": "2d"}, {"first_length": 4}, {"time_from": "Conv3d_1a_7x7"}, {"padding": "valid"}]
)
def test_another_network_than_these_is_refused(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))} of an S3D is one of"):
        S3D(5, **options)


@pytest.mark.parametrize("card", cards.CARDS, ids=lambda card: card.name)
def test_a_card_gives_the_fewest_frames_that_work(card):
    fewest = card.num_frames[0]
    with torch.device("meta"):
        module = build_module(card).eval()
        assert module(torch.empty(1, 3, fewest, 64, 48)).shape == (1, 400)
        for wrong in ((1, 3, fewest - 1, 64, 48), (1, fewest, 3, 64, 48)):
            with pytest.raises(ConfigError, match=rf"An S3D takes clips \(N, 3, T, H, W\) with T at least {fewest}"):
                module(torch.empty(wrong))
        assert module.features(torch.empty(1, 3, fewest, 64, 48)).shape[2] == 2
        assert module.features(torch.empty(1, 3, fewest - 1, 64, 48)).shape[2] == 1


# ---------------------------------------------------------------------------------------------------------- from I3D


@pytest.fixture(scope="module")
def i3d():
    torch.manual_seed(5)
    return drawn(I3D(4))


def still_at_borders(i3d):
    """The same I3D with its 3x3x3 filters looking at one frame: what S3D can take over whole."""
    module = I3D(4).eval()
    tensors = {key: value.clone() for key, value in i3d.state_dict().items()}
    for value in tensors.values():
        if value.dim() == 5 and value.shape[2] == 3:
            middle = value.sum(2)
            value.zero_()
            value[:, :, 1] = middle
    module.load_state_dict(tensors)
    return module


@pytest.mark.parametrize("options", [{}, {"time_norm": True}, {"time_norm": True, "norm_scale": True}], ids=str)
@torch.inference_mode()
def test_an_s3d_filled_from_an_i3d_is_that_i3d_where_filters_see_one_frame(i3d, options):
    """Any video: largest difference 1e-5 of the largest feature."""
    source = still_at_borders(i3d)
    module = S3D(4, **{**TF_SLIM, "first_length": 7, **options}).eval()
    tensors = {key: value for key, value in source.state_dict().items() if not key.startswith("logits.")}
    missing = module.load_state_dict(module.from_backbone(tensors), strict=False).missing_keys
    assert all(key.startswith("classifier.") or key.endswith("num_batches_tracked") for key in missing)
    module.classifier[1].load_state_dict(source.logits.conv3d.state_dict())
    video = clips(1, 3, 17, 64, 72)
    expected = source(video)
    assert expected.std() > 1e-4
    torch.testing.assert_close(module(video), expected, atol=1e-5 * expected.abs().max().item(), rtol=1e-4)


@torch.inference_mode()
def test_split_filters_are_sums_over_time(i3d):
    tensors = {key: value for key, value in i3d.state_dict().items() if not key.startswith("logits.")}
    found = S3D(4).from_backbone(tensors)
    whole = i3d.Mixed_4c.b1b.conv3d.weight
    torch.testing.assert_close(found["features.9.branch1.1.0.0.weight"], deflate(whole))
    assert torch.equal(found["features.9.branch3.1.0.weight"], i3d.Mixed_4c.b3b.conv3d.weight)
    short = S3D(4, first="joint", first_length=3).from_backbone(tensors)["features.0.0.weight"]
    torch.testing.assert_close(deflate(short), deflate(i3d.Conv3d_1a_7x7.conv3d.weight))


def test_an_i3d_file_of_the_ports_names_fills_an_s3dg(i3d, tmp_path):
    tensors = {**i3d.state_dict()}
    tensors |= {key[:-4] + "weight": torch.full_like(value, 2.0) for key, value in tensors.items() if "bn.bias" in key}
    torch.save(tensors, tmp_path / "rgb_imagenet.pt")
    model = load_model("s3dg", labels=("a", "b"), backbone_weights=tmp_path / "rgb_imagenet.pt")
    own = model.network.module.state_dict()
    torch.testing.assert_close(own["features.2.0.weight"], 2 * i3d.Conv3d_2b_1x1.conv3d.weight.data)
    assert own["classifier.1.weight"].shape[0] == 2
    assert "backbone I3D" in model.notes[-1]
    pixels = np.random.default_rng(0).integers(0, 256, (1, 9, 40, 48, 3), np.uint8)
    assert model.logits([pixels])[0].shape == (1, 2)
    with pytest.raises(WeightsError, match="Weights of I3D have no name here"):
        load_model("s3dg", backbone_weights="IMAGENET1K_V1")
    torch.save({"Conv3d_1a_7x7.conv3d.weight": torch.zeros(64, 3, 7, 7, 7)}, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match="does not fit the backbone I3D: it lacks"):
        load_model("s3dg", backbone_weights=tmp_path / "part.pt")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("table", "rows"), [("i3d_tf_checkpoint_variables.tsv", 230), ("pytorch_i3d_state_dict.tsv", 344)]
)
def test_published_i3d_files_have_all_that_an_s3d_takes(shared_dir, table, rows):
    with open(shared_dir / "reference" / table, newline="") as file:
        listed = [
            row for row in csv.DictReader(file, delimiter="\t") if row.get("checkpoint") in (None, "rgb_imagenet")
        ]
    assert len(listed) == rows
    sizes = {row.get("variable") or row["key"]: [int(n) for n in re.findall(r"\d+", row["shape"])] for row in listed}
    with torch.device("meta"):
        module = S3D(400, gating=True, **TF_SLIM)
        named = module.backbone_names({key: torch.empty(size) for key, size in sizes.items()})
    shapes = module.backbone_shapes()
    assert {key for key in shapes if "num_batches" not in key} == {key for key in named if "num_batches" not in key}
    assert all(shapes[key] in (None, tuple(value.shape)) for key, value in named.items())
    with torch.device("meta"):
        found = module.from_backbone({key: value for key, value in named.items() if shapes[key] is not None})
    left = {key for key in module.state_dict() if key not in found and "num_batches" not in key}
    assert all(key.startswith("classifier.") or ".gate." in key for key in left)


# ------------------------------------------------------------------------------------------------------------- cards


def ports_name(key):
    """A name of torchvision's S3D as the port has it, built from its own classes' attributes."""
    parts = key.replace("features.", "base.", 1).split(".")
    if parts[0] == "classifier":
        return f"fc.0.{parts[2]}"
    if "branch0" in parts:
        parts.insert(parts.index("branch0") + 1, "0")
    *place, last, name = parts
    start = 4 if len(place) > 2 and place[2].startswith("branch") else 2
    inside = place[start:]
    kind = ("conv", "bn")[int(last)]
    if inside:  # a split unit: space first, then time
        kind += ("_s", "_t")[int(inside[0])]
    return ".".join([*place[:start], kind, name])


def test_the_ports_file_fills_the_port(tmp_path):
    torch.manual_seed(6)
    source = drawn(S3D(400))
    tensors = {f"module.{ports_name(key)}": value for key, value in source.state_dict().items()}
    expected = {
        "module.base.0.conv_s.weight",
        "module.base.0.bn_t.running_var",
        "module.base.2.conv.weight",
        "module.base.3.conv_t.weight",
        "module.base.5.branch0.0.bn.bias",
        "module.base.15.branch1.0.conv.weight",
        "module.base.15.branch2.1.bn_s.weight",
        "module.base.8.branch3.1.conv.weight",
        "module.fc.0.bias",
    }
    assert expected <= set(tensors)
    torch.save(tensors, tmp_path / "S3D_kinetics400.pt")
    model = load_model("s3d_port", tmp_path / "S3D_kinetics400.pt")
    own = model.network.module.state_dict()
    assert all(torch.equal(own[key], value) for key, value in source.state_dict().items())
    assert from_port(source.state_dict(), {}).keys() == source.state_dict().keys()
    with pytest.raises(WeightsError, match=r"s3d_port.kinetics400 comes without weights: .*Google Drive"):
        load_model("s3d_port")


def test_the_cards_options_are_the_authors():
    assert all(cards._TF_SLIM.items() <= card.options.items() for card in cards.CARDS[:2])
    assert cards._TF_SLIM == TF_SLIM


@pytest.mark.shared
def test_cards_say_what_was_published(shared_dir):
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "Kinetics-400" and row["modality"] == "RGB"]
    names = {"s3dg.kinetics400": "S3D-G", "s3d_slim.kinetics400": "S3D", "s3d_port.kinetics400": "kylemin PyTorch port"}
    for card in cards.CARDS:
        found = [row for row in rows if names[card.name] in (row["variant"], row["model"])]
        assert (card.reported.top1, card.reported.top5) in [(float(row["top1"]), float(row["top5"])) for row in found]
