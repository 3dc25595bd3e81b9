"""3-D ResNets are the paper's, and begin as the image networks they are inflated from."""

import csv
from dataclasses import replace

import pytest
import torch

from vidbench.cards import resnet3d
from vidbench.models import build_module, check_frames, find_card, load_model
from vidbench.nets.backbone import image_network
from vidbench.nets.inflate import deflate, inflate, inflate_tensors
from vidbench.nets.resnet3d import Bottleneck, NonLocal, ResNet3D
from vidbench.records import ConfigError, WeightsError


def drawn(module, seed=0):
    """Random weights and statistics everywhere, also where a new network has ones and zeros."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
            for tensor, low in (
                (part.weight, 0.3),
                (part.bias, -0.1),
                (part.running_mean, -0.1),
                (part.running_var, 0.5),
            ):
                tensor.data = low + torch.rand(tensor.shape, generator=generator) * 0.4
    return module.eval()


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(3)
    return drawn(image_network("resnet50", num_classes=11))


def from_image(image, **options):
    """The image network inflated, its last layer too."""
    with torch.device("meta"):  # drawing weights that are replaced at once takes a second
        module = ResNet3D(11, **options).eval()
    module.to_empty(device="cpu")
    for tensor in module.state_dict().values():
        tensor.zero_()  # a non-local block of zeros changes nothing, as a fresh one
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    tensors = inflate_tensors(image.state_dict(), shapes, options.get("inflation", "mean"))
    assert not module.load_state_dict(tensors, strict=False).unexpected_keys
    return module


def still(num_frames, height=40, width=33, seed=1):
    picture = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return picture, picture.unsqueeze(2).repeat(1, 1, num_frames, 1, 1)


# ------------------------------------------------------------------------------------------------------ inflation


def test_an_inflated_filter_sums_to_the_image_filter_and_lies_where_it_is_said_to():
    weight = torch.rand(5, 4, 3, 2)
    for how in ("mean", "centre"):
        grown = inflate(weight, 7, how)
        assert grown.shape == (5, 4, 7, 3, 2)
        torch.testing.assert_close(deflate(grown).squeeze(2), weight)
    assert torch.equal(inflate(weight, 7, "mean")[:, :, 0], inflate(weight, 7, "mean")[:, :, 6])
    assert torch.equal(inflate(weight, 7, "centre")[:, :, 3], weight)
    assert not inflate(weight, 7, "centre")[:, :, [0, 1, 2, 4, 5, 6]].any()
    with pytest.raises(ValueError, match="cannot inflate"):
        inflate(weight, 4, "centre")
    with pytest.raises(ValueError, match="cannot inflate"):
        inflate(weight, 3, "middle")


@pytest.mark.parametrize("stem_stride", [1, 2])
@pytest.mark.parametrize("non_local", [0, 5])
@torch.inference_mode()
def test_c2d_gives_a_still_video_the_logits_of_the_image_network_at_any_length(image, stem_stride, non_local):
    module = from_image(image, inflate=0, stem_stride=stem_stride, non_local=non_local)
    for num_frames in (7, 12):
        picture, video = still(num_frames)
        torch.testing.assert_close(module(video), image(picture), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("inflate_mode", [1, 2])
@torch.inference_mode()
def test_filters_inflated_into_their_centre_give_a_still_video_the_logits_of_the_image_network(image, inflate_mode):
    """No border shows: the frames that padding makes up meet zeros."""
    module = from_image(image, inflate=inflate_mode, inflation="centre", non_local=5)
    picture, video = still(9)
    torch.testing.assert_close(module(video), image(picture), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("inflate_mode", [1, 2])
@torch.inference_mode()
def test_filters_inflated_by_their_mean_give_the_image_networks_features_away_from_both_ends(image, inflate_mode):
    """Zeros beyond a video's ends reach up to 8 times of the last stage: 6 by res3 to res5, the rest by what is before.

    So a short clip never gives the image network's logits exactly, and a long one does in its middle.
    """
    module = from_image(image, inflate=inflate_mode)
    picture, video = still(8 * 20, 32, 32)
    found = module.features(video)
    assert found.shape == (2, 2048, 20, 1, 1)
    body = torch.nn.Sequential(*list(image.children())[:-2])
    expected = body(picture[..., :32, :32]).unsqueeze(2)
    scale = expected.abs().max()
    apart = ((found - expected).abs().amax((0, 1, 3, 4)) / scale).tolist()
    assert max(apart[8:-8]) < 1e-5
    assert min(apart[0], apart[-1]) > 1e-2
    assert (module(video[:, :, :16]) - image(picture)).abs().max() > 1e-3


@torch.inference_mode()
def test_the_order_of_frames_reaches_i3d_and_not_c2d(image):
    video = torch.rand(1, 3, 14, 32, 40)
    for mode, blind in ((1, False), (2, False)):
        module = from_image(image, inflate=mode)
        assert torch.allclose(module(video), module(video.flip(2)), atol=1e-5) == blind
    module = from_image(image, inflate=0, stem_stride=1)
    pairs = (
        video.unflatten(2, (7, 2)).flip(2).flatten(2, 3)
    )  # pooled in pairs: their order may change, not their insides
    torch.testing.assert_close(module(video), module(pairs), atol=1e-5, rtol=1e-4)


# ----------------------------------------------------------------------------------------------------- the networks


def inflated_filters(module):
    return {
        f"{stage}.{number}": tuple(conv.kernel_size[0] for conv in (block.conv1, block.conv2, block.conv3))
        for stage in range(1, 5)
        for number, block in enumerate(getattr(module, f"layer{stage}"))
    }


@pytest.mark.parametrize(("mode", "place"), [(0, None), (1, 0), (2, 1)])
@pytest.mark.parametrize(("depth", "counts"), [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3))])
def test_time_filters_lie_where_the_authors_put_them(depth, counts, mode, place):
    with torch.device("meta"):
        module = ResNet3D(3, depth=depth, inflate=mode)
    pattern = [[1] * 3, [1, 0] * 2, ([1, 0] * 12)[: counts[2]], [0, 1, 0]]
    for name, lengths in inflated_filters(module).items():
        stage, number = map(int, name.split("."))
        expected = [1, 1, 1]
        if place is not None and pattern[stage - 1][number]:
            expected[place] = 3
        assert lengths == tuple(expected), name
    assert module.conv1.kernel_size == ((5 if mode else 1), 7, 7)


@pytest.mark.parametrize(
    ("depth", "count", "expected"),
    [
        (50, 1, ["layer3.4"]),
        (50, 5, ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]),
        (50, 10, [f"layer2.{n}" for n in range(4)] + [f"layer3.{n}" for n in range(6)]),
        (101, 5, ["layer2.1", "layer2.3", "layer3.6", "layer3.13", "layer3.20"]),
    ],
)
def test_non_local_blocks_lie_where_the_authors_put_them(depth, count, expected):
    with torch.device("meta"):
        module = ResNet3D(3, depth=depth, non_local=count)
    blocks = {name: part for name, part in module.named_modules() if isinstance(part, Bottleneck)}
    assert [name for name, block in blocks.items() if block.non_local is not None] == expected


def test_the_sizes_are_those_of_the_papers_table():
    module, sizes = ResNet3D(5).eval(), {}
    for name in ("conv1", "maxpool", "layer1", "timepool", "layer2", "layer3", "layer4"):
        part = getattr(module, name)
        part.register_forward_hook(lambda _, __, out, name=name: sizes.update({name: tuple(out.shape[1:])}))
    with torch.device("meta"):
        module.to("meta")(torch.empty(1, 3, 32, 224, 224))
    assert sizes == {
        "conv1": (64, 16, 112, 112),
        "maxpool": (64, 8, 56, 56),
        "layer1": (256, 8, 56, 56),
        "timepool": (256, 4, 56, 56),
        "layer2": (512, 4, 28, 28),
        "layer3": (1024, 4, 14, 14),
        "layer4": (2048, 4, 7, 7),
    }


@torch.inference_mode()
def test_a_non_local_block_is_the_papers_formula():
    torch.manual_seed(0)
    block = drawn(NonLocal(6))
    x = torch.rand(2, 6, 3, 4, 5)
    small = torch.nn.functional.max_pool3d(x, (1, 2, 2))
    expected = torch.empty_like(x)
    theta, phi, g = block.theta(x), block.phi(small), block.g(small)
    for n in range(2):
        for place in range(3 * 4 * 5):
            query = theta[n].flatten(1)[:, place]
            weight = torch.softmax(query @ phi[n].flatten(1) / 3**0.5, 0)
            expected[n].view(6, -1)[:, place] = 0
            found = (g[n].flatten(1) * weight).sum(1)
            expected[n].flatten(1)[:, place] = block.out.weight[:, :, 0, 0, 0] @ found + block.out.bias
    torch.testing.assert_close(block(x), x + block.bn(expected), atol=1e-5, rtol=1e-4)
    fresh = NonLocal(6).eval()
    torch.testing.assert_close(fresh(x), x)


@pytest.mark.parametrize("options", [{"inflate": 2, "non_local": 10}, {"stem_stride": 1, "inflate": 1}])
def test_every_parameter_learns(options):
    torch.manual_seed(1)
    module = ResNet3D(5, **options)
    for part in module.modules():
        if isinstance(part, NonLocal):
            torch.nn.init.ones_(part.bn.weight)  # at zero it keeps the block behind it from learning
    module(torch.rand(2, 3, 8, 40, 64)).square().sum().backward()
    assert [name for name, value in module.named_parameters() if value.grad is None or not value.grad.any()] == []


@torch.inference_mode()
def test_clips_do_not_see_each_other(image):
    module = from_image(image, inflate=1)
    clips = torch.rand(2, 3, 7, 40, 36)
    together = module(clips)
    torch.testing.assert_close(together, torch.cat([module(clip[None]) for clip in clips]), atol=1e-5, rtol=1e-4)
    assert torch.equal(together, module(clips))
    assert (together[0] - together[1]).abs().max() > 1e-4


@pytest.mark.parametrize(
    "options", [{"depth": 18}, {"inflate": 3}, {"non_local": 2}, {"depth": 101, "non_local": 10}, {"inflation": "max"}]
)
def test_another_network_than_these_is_refused(options):
    with pytest.raises(ConfigError, match=f"{list(options)[-1]} of a 3-D ResNet is one of"):
        ResNet3D(5, **options)


# ------------------------------------------------------------------------------------------------------------ cards


@pytest.mark.parametrize("card", resnet3d.CARDS, ids=lambda card: card.name)
def test_a_card_gives_the_fewest_frames_that_work(card):
    fewest = card.num_frames[0]
    with torch.device("meta"):
        module = build_module(card).eval()
        assert module(torch.empty(1, 3, fewest, 64, 64)).shape == (1, 400)
        assert module.features(torch.empty(1, 3, fewest, 64, 64)).shape[2] == 1
        for wrong in ((1, 3, fewest - 1, 64, 64), (1, fewest, 3, 64, 64), (3, fewest, 64, 64)):
            with pytest.raises(ConfigError, match=rf"takes clips \(N, 3, T, H, W\) with T at least {fewest}, not"):
                module(torch.empty(wrong))
    with pytest.raises(ConfigError, match=f"takes at least {fewest} frames"):
        check_frames(card, fewest - 1)


@pytest.mark.shared
@pytest.mark.parametrize("card", resnet3d.CARDS, ids=lambda card: card.name)
def test_a_card_says_what_was_published(card, shared_dir):
    kind = "C2D" if card.options["inflate"] == 0 else "I3D"
    if card.weights.url:
        with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
            (row,) = (row for row in csv.DictReader(file) if row["weights_url"] == card.weights.url)
        assert (float(row["top1"]), float(row["top5"])) == (card.reported.top1, card.reported.top5)
        assert (int(row["frames"]), int(row["clips"]), int(row["crops"])) == (8, 10, 3)
        return
    frames, stride = card.name.rpartition("_")[2].split("x")
    count = card.options.get("non_local", 0)
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["model"] in (f"Non-local repo {kind}", f"Non-local paper {kind}")
        ]
    found = [
        row
        for row in rows
        if f"R{card.options['depth']}" in row["variant"]
        and (row["frames"], row["frame_stride"]) == (frames, stride)
        and (float(row["top1"]), float(row["top5"])) == (card.reported.top1, card.reported.top5)
        and ("NL" in row["variant"]) == bool(count)
        and (count != 10 or "10 NL" in row["variant"])
        and ("3x3x3" in row["variant"]) == (card.options["inflate"] == 2)
    ]
    assert found
    for row in found:
        assert (int(row["clips"]), int(row["crops"])) == (card.input.num_clips, card.input.num_crops)


def pytorchvideos_name(key):
    """torchvision's name of a weight as pytorchvideo has it, from the attributes of its classes."""
    if not key.startswith("layer"):
        return {"conv1": "blocks.0.conv.", "bn1": "blocks.0.norm.", "fc": "blocks.6.proj."}[key.split(".")[0]] + (
            key.split(".", 1)[1]
        )
    stage, block, part, rest = key.split(".", 3)
    place = f"blocks.{(1, 3, 4, 5)[int(stage[-1]) - 1]}.res_blocks.{block}"
    if part == "downsample":
        number, name = rest.split(".")
        return f"{place}.branch1_{('conv', 'norm')[int(number)]}.{name}"
    kind, number = ("conv", part[4]) if part.startswith("conv") else ("norm", part[2])
    return f"{place}.branch2.{kind}_{'abc'[int(number) - 1]}.{rest}"


def test_pytorchvideos_file_fills_the_network(tmp_path, monkeypatch):
    """Beside pytorchvideo itself, with weights copied so, the logits of I3D and C2D were equal at 224 pixels.

    At 256 they differed by up to 9e-7 of a deviation of 0.5 (pytorchvideo 0.1.5, eight random frames, CPU).
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card = find_card("resnet3d50_i3d.kinetics400_8x8_pytorchvideo")
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in build_module(card).state_dict().items()}
    tensors = {pytorchvideos_name(key): torch.rand(shape) * 0.01 for key, shape in shapes.items() if "num_b" not in key}
    assert len(tensors) == len({*tensors}) == 53 + 53 * 4 + 2
    assert tensors["blocks.5.res_blocks.1.branch2.conv_a.weight"].shape == (512, 2048, 3, 1, 1)
    place = tmp_path / "vidbench" / "weights" / "I3D_8x8_R50.pyth"
    place.parent.mkdir(parents=True)
    torch.save({"model_state": tensors}, place)
    own = load_model(card.name).network.module.state_dict()
    assert torch.equal(own["layer3.0.downsample.0.weight"], tensors["blocks.4.res_blocks.0.branch1_conv.weight"])
    assert torch.equal(own["layer2.3.bn3.running_var"], tensors["blocks.3.res_blocks.3.branch2.norm_c.running_var"])
    assert torch.equal(own["fc.bias"], tensors["blocks.6.proj.bias"])


def test_a_card_without_weights_says_so_in_one_sentence():
    with pytest.raises(
        WeightsError, match=r"resnet3d50_i3d.kinetics400_32x2 comes without weights: .*Caffe2.*--weights"
    ):
        load_model("resnet3d50_i3d")


# -------------------------------------------------------------------------------------------------- backbone weights


@pytest.fixture(scope="module")
def image_file(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "resnet50.pth"
    torch.save(image.half().state_dict(), path)
    image.float()
    return path


def test_an_image_networks_file_fills_all_but_the_last_layer(image, image_file):
    model = load_model("resnet3d50_i3d_nl5", labels=("a", "b"), backbone_weights=image_file)
    found, own = model.network.module.state_dict(), image.half().state_dict()
    torch.testing.assert_close(
        deflate(found["conv1.weight"]).squeeze(2), own["conv1.weight"].float(), atol=1e-4, rtol=1e-3
    )
    assert torch.equal(found["layer3.1.conv3.weight"].squeeze(2), own["layer3.1.conv3.weight"].float())
    assert torch.equal(found["layer4.2.bn3.running_var"], own["layer4.2.bn3.running_var"].float())
    assert found["fc.weight"].shape == (2, 2048)
    assert (model.weights_source, model.random_weights, model.published_weights) == ("backbone", True, False)
    assert "resnet50" in model.notes[-1]


def test_a_backbone_of_another_network_is_refused(image, image_file, tmp_path):
    with pytest.raises(WeightsError, match=r"does not fit the backbone resnet101: it lacks 'layer3.6"):
        load_model("resnet3d101_i3d", backbone_weights=image_file)
    deeper = image.state_dict() | {"layer3.6.conv1.weight": torch.zeros(256, 1024, 1, 1)}
    torch.save(deeper, tmp_path / "deeper.pth")
    with pytest.raises(WeightsError, match=r"has 'layer3.6.conv1.weight' that it does not know"):
        load_model("resnet3d50_i3d", backbone_weights=tmp_path / "deeper.pth")
    with pytest.raises(ConfigError, match="give one of them"):
        load_model("resnet3d50_i3d", image_file, backbone_weights=image_file)
    with pytest.raises(ConfigError, match="begins with no other network's weights"):
        load_model("mini2d", backbone_weights=image_file)
    with pytest.raises(WeightsError, match=r"There is no weights file .*absent.pth"):
        load_model("resnet3d50_i3d", backbone_weights=tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match=r"no weights 'IMAGENET' for resnet50: IMAGENET1K_V1, IMAGENET1K_V2"):
        load_model("resnet3d50_i3d", backbone_weights="IMAGENET")


def test_published_backbones_are_looked_for_where_torchvision_puts_them(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "resnet50-0676ba61.pth"
    place.parent.mkdir()
    place.write_bytes(b"not it")
    with pytest.raises(WeightsError, match=r"resnet50-0676ba61.pth is not the published file"):
        load_model("resnet3d50_i3d", backbone_weights="IMAGENET1K_V1")


# ---------------------------------------------------------------------------------------------------------- options


def test_options_change_the_network_and_take_the_published_figures_away():
    model = load_model("resnet3d50_i3d", "random", labels=("a", "b", "c"), options={"inflate": 2, "non_local": 1})
    assert model.network.module.layer1[0].conv2.kernel_size[0] == 3
    assert model.card.reported is None
    assert model.card.name == "resnet3d50_i3d.kinetics400_32x2"
    assert load_model("mini2d", options={}).card is find_card("mini2d")
    with pytest.raises(WeightsError, match="with the options inflate it is another network than the published one"):
        load_model("resnet3d50_i3d", options={"inflate": 2})
    with pytest.raises(ConfigError, match=r"has no option 'inflated', but depth, inflate"):
        load_model("resnet3d50_i3d", "random", options={"inflated": 2})
    with pytest.raises(ConfigError, match="has no options"):
        load_model("i3d.tfhub_kinetics400", options={"a": 1})


def test_a_random_one_runs_from_pixels():
    import numpy as np

    model = load_model("resnet3d50_c2d.kinetics400_8x8", "random", labels=("a", "b", "c"))
    model.spec = replace(model.spec, num_frames=4)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 40, 48, 3), np.uint8)
    assert model.logits([pixels])[0].shape == (2, 3)
