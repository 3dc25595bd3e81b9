"""TSN joins segments as it says, TSM shifts as published, and any image network of torchvision can begin one."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision

from vidbench.cards import tsn
from vidbench.models import CARDS, build_module, load_model
from vidbench.nets.backbone import headless, image_network, image_shapes
from vidbench.nets.tsn import TSN, TemporalShift
from vidbench.records import ConfigError, WeightsError

# One network of each kind that torchvision has.
KINDS = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
]


def clips(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def small(**options):
    """A TSN over ResNet-18 whose scores are not all nearly zero."""
    torch.manual_seed(4)
    module = TSN(5, **{"backbone": "resnet18", **options}).eval()
    torch.nn.init.normal_(module.new_fc.weight)
    return module


# -------------------------------------------------------------------------------------------------------- backbones


def check_backbone(name):
    with torch.device("meta"):
        network, num_features = headless(name)
        assert network.eval()(torch.empty(2, 3, 224, 224)).shape == (2, num_features)
        whole = image_network(name).state_dict()
    own = network.state_dict()
    assert own
    assert all(own[key].shape == whole[key].shape for key in own)
    left_out = sum(value.numel() for key, value in whole.items() if key not in own and "aux" not in key.lower())
    assert left_out == (num_features + (name != "maxvit_t")) * 1000  # its last layer has no bias


@pytest.mark.parametrize("name", KINDS)
def test_one_network_of_each_kind_gives_features_and_loses_its_last_layer_only(name):
    check_backbone(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision.models.list_models(module=torchvision.models))
def test_every_image_network_gives_features_and_loses_its_last_layer_only(name):
    check_backbone(name)


def test_an_unknown_backbone_gets_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"no image network 'resnet-50'. Did you mean .*resnet50"):
        TSN(5, backbone="resnet-50")


@torch.inference_mode()
def test_features_are_what_torchvisions_last_layer_sees():
    """The largest difference is 0: the same operations on the same numbers."""
    for name, last in (("resnet18", "fc"), ("squeezenet1_0", None)):
        torch.manual_seed(1)
        whole = image_network(name, num_classes=7).eval()
        part, _ = headless(name)
        part.load_state_dict({key: value for key, value in whole.state_dict().items() if key in part.state_dict()})
        frames = clips(3, 3, 72, 64)
        features = part.eval()(frames)
        if last:
            assert torch.equal(getattr(whole, last)(features), whole(frames))
        else:
            assert torch.equal(features, whole.features(frames).mean((2, 3)))


# -------------------------------------------------------------------------------------------------------- consensus


@torch.inference_mode()
def test_averaged_segments_are_torchvisions_logits_averaged():
    torch.manual_seed(2)
    image = image_network("resnet18", num_classes=5).eval()
    module = TSN(5, backbone="resnet18", num_segments=3).eval()
    tensors = {f"base_model.{key}": value for key, value in image.state_dict().items() if not key.startswith("fc.")}
    module.load_state_dict({**tensors, "new_fc.weight": image.fc.weight, "new_fc.bias": image.fc.bias})
    video = clips(2, 3, 3, 48, 40)
    expected = torch.stack([image(video[:, t]) for t in range(3)]).mean(0)
    torch.testing.assert_close(module(video), expected, atol=1e-5, rtol=1e-4)  # 1e-6 here


@torch.inference_mode()
def test_each_consensus_is_what_it_says():
    video = clips(2, 4, 3, 40, 36)
    module = small(num_segments=4)
    each = torch.stack([module(video[:, t : t + 1]) for t in range(4)], 1)
    assert each.std() > 0.1
    expected = {"avg": each.mean(1), "max": each.max(1).values, "topk": each.sort(1).values[:, -2:].mean(1)}
    for kind, wanted in {**expected, "identity": each.mean(1)}.items():
        torch.testing.assert_close(small(num_segments=4, consensus=kind, topk=2)(video), wanted, atol=1e-4, rtol=1e-4)
    apart = small(num_segments=4, consensus="identity", dropout=0.0).train()
    for part in apart.base_model.modules():
        part.eval()
    torch.testing.assert_close(apart(video), each, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_only_learnt_consensus_and_shifts_see_the_order_of_frames():
    video = clips(2, 4, 3, 40, 36)
    for options, sees in (
        ({"consensus": "avg"}, False),
        ({"consensus": "max"}, False),
        ({"consensus": "rnn"}, True),
        ({"consensus": "cnn"}, True),
        ({"consensus": "avg", "shift": True}, True),
    ):
        module = small(num_segments=4, **options)
        apart = (module(video) - module(video.flip(1))).abs().max().item()
        assert (apart > 1e-3) == sees, options


@torch.inference_mode()
def test_one_segment_is_the_image_network():
    module = small(num_segments=1, consensus="topk", topk=1)
    frame = clips(2, 1, 3, 40, 36)
    expected = module.new_fc(module.base_model(frame[:, 0]))
    torch.testing.assert_close(module(frame), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consensus": "mean"}, "one of avg, max, topk, identity, rnn, cnn, not 'mean'"),
        ({"consensus": "topk", "topk": 4}, "topk is from 1 to the number of segments, 3"),
        ({"num_segments": 0}, "num_segments is at least 1"),
        ({"shift": True, "backbone": "squeezenet1_1"}, "squeezenet1_1 is none"),
        ({"shift": True, "shift_div": 1}, "shift_div is at least 2"),
    ],
)
def test_values_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TSN(5, **{"backbone": "resnet18", **options})


def test_batches_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"A TSN takes clips \(N, T, 3, H, W\) with T at least 1, not \(2, 3, 4"):
        small()(clips(2, 3, 4, 40, 36))
    with pytest.raises(ConfigError, match="T at least 2, not"):
        small(consensus="topk", topk=2)(clips(2, 1, 3, 40, 36))
    with pytest.raises(ConfigError, match="shifts between 4 segments, not 2"):
        small(shift=True, num_segments=4)(clips(1, 2, 3, 40, 36))


# ------------------------------------------------------------------------------------------------------------ shifts


def test_a_shift_moves_an_eighth_forwards_and_an_eighth_backwards():
    shift = TemporalShift(torch.nn.Identity(), num_segments=5, shift_div=8)
    x = clips(2 * 5, 16, 2, 3)
    found = shift(x).unflatten(0, (2, 5))
    given = x.unflatten(0, (2, 5))
    for n in range(2):
        for t in range(5):
            for c in range(16):
                source = t + 1 if c < 2 else t - 1 if c < 4 else t
                expected = given[n, source, c] if 0 <= source < 5 else torch.zeros(2, 3)
                assert torch.equal(found[n, t, c], expected)


def test_shifts_lie_where_the_authors_put_them():
    for depth, every in ((50, 1), (101, 2)):
        with torch.device("meta"):
            module = TSN(3, backbone=f"resnet{depth}", num_segments=8, shift=True)
        for stage in range(1, 5):
            blocks = getattr(module.base_model, f"layer{stage}")
            shifted = [isinstance(block.conv1, TemporalShift) for block in blocks]
            assert shifted == [number % every == 0 for number in range(len(blocks))]


def authors_names(shifted):
    """Names and shapes in a TSM checkpoint: torchvision's ResNet-50 within DataParallel, without its last layer."""
    found = {}
    for key, shape in image_shapes("resnet50", set(image_network("resnet50").state_dict())).items():
        if key.startswith("fc."):
            continue
        block = key.startswith("layer") and key.endswith(".conv1.weight")
        key = key.replace(".conv1.", ".conv1.net.") if block and shifted else key
        found[f"module.base_model.{key}"] = shape
    return {**found, "module.new_fc.weight": (400, 2048), "module.new_fc.bias": (400,)}


@pytest.mark.parametrize("name", ["tsm_resnet50.kinetics400", "tsn_resnet50.kinetics400"])
def test_a_file_as_the_authors_publish_it_fills_the_whole_network(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card = CARDS[name]
    generator = torch.Generator().manual_seed(3)
    names = authors_names(card.options.get("shift", False))
    tensors = {key: torch.rand(shape, generator=generator) * 0.02 for key, shape in names.items() if "num_b" not in key}
    place = tmp_path / "vidbench" / "weights" / card.weights.file
    place.parent.mkdir(parents=True)
    file = {"epoch": 50, "arch": "resnet50", "state_dict": tensors, "best_prec1": torch.tensor(71.2)}
    torch.save(file, place, _use_new_zipfile_serialization=False)  # as torch of 2019 did
    model = load_model(name)
    own = model.network.module.state_dict()
    assert all(torch.equal(own[key.removeprefix("module.")], value) for key, value in tensors.items())
    assert (model.weights_source, model.random_weights) == ("upstream", False)
    assert "module." in model.notes[-1]


# ---------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("options", [{"consensus": "rnn"}, {"consensus": "cnn"}, {"shift": True}])
def test_every_parameter_learns(options):
    module = small(num_segments=4, **options).train()
    module(clips(2, 4, 3, 40, 36)).square().sum().backward()
    assert [name for name, value in module.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_partial_bn_freezes_all_normalisations_but_the_first():
    module = small(partial_bn=True).train()
    norms = [part for part in module.base_model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    before = [part.running_mean.clone() for part in norms]
    module(clips(2, 3, 3, 40, 36)).sum().backward()
    moved = [not torch.equal(a, part.running_mean) for a, part in zip(before, norms)]
    assert moved == [True] + [False] * (len(norms) - 1)
    assert [part.weight.requires_grad for part in norms] == moved
    assert not module.eval().base_model.bn1.training
    assert all(part.training for part in small(partial_bn=False).train().base_model.modules())


@torch.inference_mode()
def test_clips_do_not_see_each_other():
    for options in ({"shift": True}, {"consensus": "rnn"}):
        module = small(num_segments=4, **options)
        batch = clips(3, 4, 3, 40, 36)
        apart = torch.cat([module(clip[None]) for clip in batch])
        torch.testing.assert_close(module(batch), apart, atol=1e-4, rtol=1e-4)
        assert torch.equal(module(batch), module(batch))


# ------------------------------------------------------------------------------------------------------------- cards


@pytest.mark.shared
@pytest.mark.parametrize("card", [card for card in tsn.CARDS if card.reported], ids=lambda card: card.name)
def test_a_card_says_what_was_published(card, shared_dir):
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["weights_url"] == card.weights.url]
    views = (card.input.num_frames, card.input.num_clips, card.input.num_crops)
    found = [row for row in rows if (int(row["frames"]), int(row["clips"]), int(row["crops"])) == views]
    assert [float(row["top1"]) for row in found] == [card.reported.top1]
    assert found[0]["dataset"] == "Kinetics-400"
    assert tuple(map(float, found[0]["norm_mean"].split())) == card.input.mean
    assert tuple(map(float, found[0]["norm_std"].split())) == card.input.std


@pytest.mark.parametrize("card", tsn.CARDS, ids=lambda card: card.name)
def test_a_card_takes_its_own_views(card):
    with torch.device("meta"):
        module = build_module(card).eval()
        assert module(torch.empty(2, card.input.num_frames, 3, *card.input.crop)).shape == (2, 400)


def test_a_network_that_nobody_published_says_so():
    with pytest.raises(WeightsError, match=r"tsn_resnet18.untrained comes without weights: nobody published"):
        load_model("tsn_resnet18")


def test_options_choose_backbone_consensus_and_segments():
    options = {"backbone": "mobilenet_v3_small", "consensus": "max", "num_segments": 5}
    model = load_model("tsn_resnet18", "random", labels=("a", "b"), options=options)
    assert model.network.module.consensus.kind == "max"
    model.spec = replace(model.spec, num_frames=5)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 5, 40, 48, 3), np.uint8)
    assert model.logits([pixels])[0].shape == (1, 2)


# -------------------------------------------------------------------------------------------- real backbone weights


@pytest.fixture(scope="module")
def squeezenet(shared_dir):
    path = shared_dir / "data" / "weights" / "squeezenet1_0_imagenet_fp16.pt"
    return load_model("tsn_squeezenet1_0", labels=("a", "b", "c"), backbone_weights=path)


@pytest.mark.shared
@torch.inference_mode()
def test_real_imagenet_weights_fill_a_backbone(squeezenet, shared_dir):
    """Against torchvision's own network with the same file; the largest difference is 0."""
    whole = torchvision.models.squeezenet1_0().eval()
    path = shared_dir / "data" / "weights" / "squeezenet1_0_imagenet_fp16.pt"
    whole.load_state_dict(torch.load(path, weights_only=True))
    module = squeezenet.network.module
    frames = clips(2, 3, 80, 72) * 255 - 110
    assert torch.equal(module.base_model(frames), whole.features(frames).mean((2, 3)))
    assert squeezenet.weights_source == "backbone"
    assert squeezenet.random_weights
    assert "48 tensors" not in squeezenet.notes[-1]
    assert "50 tensors are those of the backbone squeezenet1_0" in squeezenet.notes[-1]


@pytest.mark.shared
@pytest.mark.slow
def test_real_features_tell_real_actions_apart(squeezenet, shared_dir):
    """Half of the sources give class means of features, the nearest judges the rest: 19 of 24 right here, 18 with
    torchvision's normalisation, so this says that the weights work and not how pixels are scaled.
    """
    from vidbench.data.load import read_views

    spec = replace(squeezenet.spec, num_frames=3, resize=180, crop=(160, 160))
    root = shared_dir / "data" / "ucf101" / "UCF-101"
    names = ("BabyCrawling", "Punch", "PushUps")
    files = [path for name in names for path in sorted((root / name).glob("*_c01.avi"))]
    assert len(files) > 40
    squeezenet.network.module.new_fc = torch.nn.Identity()
    pixels = [read_views(path, spec).pixels for path in files]
    features = np.stack([found[0] for found in squeezenet.network.logits(pixels, 8)])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = np.array([names.index(path.parent.name) for path in files])
    groups = np.array([int(path.stem.split("_g")[1][:2]) for path in files])
    learn = groups % 2 == 0
    means = np.stack([features[learn & (labels == k)].mean(0) for k in range(3)])
    right = (features[~learn] @ means.T).argmax(1) == labels[~learn]
    assert right.mean() > 0.6  # chance is a third
