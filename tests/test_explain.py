"""Grad-CAM: the shapes, and on drawn clips the truth: heat falls on the actor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidbench.data import mini
from vidbench.data.load import read_views
from vidbench.explain import default_layer, frames_seen, grad_cam, view_of_mask
from vidbench.models import load_model
from vidbench.records import ConfigError, UnreadableVideo

VIDEOS = Path(__file__).resolve().parents[1] / "data" / "vidmini" / "videos"
NETWORKS = ("mini2d", "mini_r2plus1d")


def view_and_mask(model, label, index):
    """One view of a shipped clip, uint8 (T, H, W, 3), and where its actor is, bool (T, H, W)."""
    views = read_views(VIDEOS / mini.clip_name(label, "test", index), model.spec)
    return views.pixels[0], view_of_mask(mini.actor_mask(label, index), views.indices[0], model.spec)


class _Net(nn.Module):
    """Looks at one corner in one half of the time: its heat is known."""

    def __init__(self, stride=(1, 1, 1)):
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(3, 2, 1, stride), nn.ReLU(inplace=True))
        self.pool = nn.AdaptiveAvgPool3d(1)
        nn.init.ones_(self.features[0].weight)
        nn.init.zeros_(self.features[0].bias)

    def forward(self, x):
        return torch.cat([self.pool(self.features(x)).flatten(1)[:, :1]] * 12, 1) * torch.arange(1.0, 13.0)


def with_network(module, **changes):
    from dataclasses import replace

    model = load_model("mini_r2plus1d")
    model.network.module = module.eval()
    model.network.spec = replace(model.spec, mean=(0, 0, 0), std=(1, 1, 1), **changes)
    return model


# ------------------------------------------------------------------------------------------------------ what it is


def test_a_mask_goes_through_the_same_frames_resize_and_crop_as_the_pictures():
    mask = np.zeros((5, 24, 40), bool)
    mask[3, 8:16, 20:] = True  # 4 to 8 high and 10 to 20 wide, once halved
    spec = with_network(nn.Identity(), resize=(12, 20), crop=(8, 16)).spec
    seen = view_of_mask(mask, np.array([0, 3, 3]), spec)
    expected = np.zeros((3, 8, 16), bool)
    expected[1:, 2:6, 8:] = True
    np.testing.assert_array_equal(seen, expected)


def test_heat_is_where_and_when_the_evidence_is():
    pixels = np.zeros((6, 10, 14, 3), np.uint8)
    pixels[3:, :4, 8:] = 200
    heat = grad_cam(with_network(_Net()), pixels, "SitDown")
    assert heat.shape == (6, 10, 14)
    assert heat.dtype == np.float32
    np.testing.assert_allclose(heat, (pixels[..., 0] > 0).astype(np.float32), atol=1e-6)


def test_a_coarse_layer_is_spread_over_time_and_space():
    pixels = np.zeros((8, 12, 16, 3), np.uint8)
    pixels[4:, :, 8:] = 200
    heat = grad_cam(with_network(_Net(stride=(4, 4, 4))), pixels, "SitDown")
    assert heat.shape == (8, 12, 16)
    assert heat[7, :, 12:].min() > 0.99
    assert heat[0].max() < 0.01
    assert 0 < heat[4, 6, 15] < 1


def test_nothing_seen_is_no_heat_and_no_nan():
    heat = grad_cam(with_network(_Net()), np.zeros((3, 5, 7, 3), np.uint8), "SitDown")
    assert heat.shape == (3, 5, 7)
    assert not heat.any()


@pytest.mark.parametrize("layer", ["features.0", "features.1"])
def test_a_layer_by_name_also_before_an_activation_in_place(layer):
    pixels = np.zeros((4, 6, 8, 3), np.uint8)
    pixels[:2, 3:, :4] = 99
    heat = grad_cam(with_network(_Net()), pixels, "OpenDoor", layer=layer)
    np.testing.assert_allclose(heat, (pixels[..., 0] > 0).astype(np.float32), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_frame_of_a_view_gets_a_map_in_range(name):
    model = load_model(name)
    pixels, _ = view_and_mask(model, "OpenDoor", 1)
    before = model.logits([pixels[None]])[0]
    heat = grad_cam(model, pixels)
    assert heat.shape == pixels.shape[:3]
    assert heat.min() >= 0
    assert heat.max() == 1
    np.testing.assert_array_equal(model.logits([pixels[None]])[0], before)
    assert not any(parameter.requires_grad for parameter in model.network.module.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_without_a_class_the_best_one_is_explained(name):
    model = load_model(name)
    pixels, _ = view_and_mask(model, "HoldUmbrella", 2)
    best = model.labels[model.logits([pixels[None]])[0][0].argmax()]
    other = next(label for label in model.labels if label != best)
    np.testing.assert_array_equal(grad_cam(model, pixels), grad_cam(model, pixels, best))
    assert np.abs(grad_cam(model, pixels, other) - grad_cam(model, pixels, best)).max() > 0.1


def test_frames_scored_apart_are_explained_apart():
    """Frames handed to a single-frame network in another order give the same maps in that order."""
    model = load_model("mini2d")
    pixels, _ = view_and_mask(model, "RideBicycle", 4)
    order = np.random.default_rng(0).permutation(len(pixels))
    np.testing.assert_allclose(grad_cam(model, pixels[order]), grad_cam(model, pixels)[order], atol=1e-4)


def test_published_networks_have_a_default_layer():
    model = load_model("r3d_18", "random")
    pixels = np.random.default_rng(1).integers(0, 256, (8, 48, 56, 3), np.uint8)
    assert default_layer(model, pixels) == ("avgpool", True)
    assert grad_cam(model, pixels).shape == (8, 48, 56)


# ------------------------------------------------------------------------------------------------------- the truth


@pytest.mark.parametrize("name", NETWORKS)
def test_heat_falls_on_the_drawn_actor_more_than_on_the_background(name):
    """And more on the clip's own actor than where actors of other clips of the class would stand."""
    model = load_model(name)
    inside, own, elsewhere = [], [], []
    for label in mini.CLASSES:
        clips = [view_and_mask(model, label, index) for index in (0, 4, 8)]  # three groups: three places
        for number, (pixels, mask) in enumerate(clips):
            heat = grad_cam(model, pixels, label)
            inside.append(heat[mask].mean() > heat[~mask].mean())
            own.append(heat[mask].mean())
            elsewhere.append(np.mean([heat[m].mean() for other, (_, m) in enumerate(clips) if other != number]))
    assert np.mean(inside) > 0.95
    assert np.mean(np.array(own) > np.array(elsewhere)) > 0.85


def test_heat_of_a_network_that_has_learnt_nothing_is_hardly_on_the_actor():
    """The control: what makes the test above pass is what was learnt, not how clips are drawn."""
    model, inside = load_model("mini_r2plus1d", "random"), []
    for label in mini.CLASSES:
        for index in (0, 4, 8):
            pixels, mask = view_and_mask(model, label, index)
            heat = grad_cam(model, pixels, label)
            inside.append(heat[mask].mean() > heat[~mask].mean())
    assert np.mean(inside) < 0.9


# ------------------------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_explained_is_said_in_a_sentence():
    model = load_model("mini2d")
    pixels = np.zeros((8, 56, 72, 3), np.uint8)
    with pytest.raises(ConfigError, match=r"no class 'Sitdown'.*SitDown"):
        grad_cam(model, pixels, "Sitdown")
    with pytest.raises(ConfigError, match=r"no layer 'block'.*blocks"):
        grad_cam(model, pixels, layer="block")
    with pytest.raises(ConfigError, match="no axes of space"):
        grad_cam(model, pixels, layer="head")
    with pytest.raises(ValueError, match=r"must be uint8 \(T, H, W, 3\)"):
        grad_cam(model, pixels[None])


def test_heat_that_is_no_number_is_not_taken_for_no_evidence():
    model = load_model("mini2d", "random")
    model.network.module.head.weight.data[3] = float("nan")
    with pytest.raises(UnreadableVideo, match="nonfinite"):
        grad_cam(model, np.full((8, 56, 72, 3), 99, np.uint8), model.labels[3])


def test_a_transformer_on_tokens_is_refused():
    model = load_model("mvit_v2_s", "random")
    with pytest.raises(ConfigError, match="ends without a feature map that has axes of space"):
        default_layer(model, np.zeros((16, 224, 224, 3), np.uint8))


def test_a_finished_program_is_refused(monkeypatch):
    model = load_model("mini2d")
    monkeypatch.delattr(model.network, "module")
    with pytest.raises(ConfigError, match="needs the gradients of a torch network"):
        grad_cam(model, np.zeros((8, 56, 72, 3), np.uint8))


def test_the_field_of_a_stack_of_filters_over_time_is_as_wide_as_arithmetic_says():
    layers = [
        nn.Conv3d(3, 4, (3, 1, 1), padding=(1, 0, 0)),
        nn.Conv3d(4, 4, (3, 2, 2), (2, 1, 1)),
        nn.ReLU(inplace=True),
    ]
    net = nn.Sequential(*layers, nn.Conv3d(4, 2, (1, 2, 1)))
    batch = torch.randn(1, 3, 15, 6, 5, generator=torch.Generator().manual_seed(0))
    reached = [np.flatnonzero(seen) for seen in frames_seen(net, ["0", "1", "3"], batch)]
    assert [list(frames) for frames in reached] == [[6, 7, 8], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9]]


def test_the_field_of_tokens_and_of_channels_at_the_end():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows, self.head = nn.Linear(3, 5), nn.Identity()

        def forward(self, clip):  # (1, C, T, H, W) to tokens (1, T, H * W, 5)
            return self.head(self.rows(clip.movedim(1, -1)).flatten(2, 3))

    found = frames_seen(Tokens(), ["head"], torch.ones(1, 3, 5, 2, 4), channels=-1)
    assert list(np.flatnonzero(found[0])) == [2]
    with pytest.raises(ConfigError, match=r"has no layer 'rwos'.*rows"):
        frames_seen(Tokens(), ["rwos"], torch.ones(1, 3, 5, 2, 4))
