"""Attention is what the network computed, on the right axes; hidden tubes are what the network does not see."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidbench import tokens
from vidbench.models import CARDS, load_model
from vidbench.records import ConfigError

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20}
FRAMES, SIDE, PATCH = 5, 24, 8  # 3 x 3 patches


def timesformer(monkeypatch, attention="divided_space_time"):
    """A small TimeSformer whose attention is sharp enough to tell patches apart."""
    base = CARDS["timesformer_base.kinetics400"]
    options = {**SMALL, "image_size": SIDE, "patch_size": PATCH, "num_frames": FRAMES, "attention_type": attention}
    spec = replace(base.input, num_frames=FRAMES, resize=SIDE, crop=(SIDE, SIDE))
    card = replace(base, options={**base.options, **options}, input=spec, num_frames=(FRAMES, FRAMES))
    monkeypatch.setitem(CARDS, card.name, card)
    model = load_model(card.name, "random", seed=3)
    with torch.no_grad():
        for parameter in model.network.module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.2)
    return model


def view(seed=0, frames=FRAMES, height=SIDE, width=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def attentions_of_the_library(model, pixels):
    from vidbench.data.process import normalise

    batch = torch.from_numpy(normalise(pixels[None], model.spec))
    with torch.inference_mode():
        return model.network.module.timesformer(batch, output_attentions=True).attentions


@pytest.mark.parametrize("layer", [0, -1])
def test_attention_over_space_is_what_the_library_gives_out(monkeypatch, layer):
    model, pixels = timesformer(monkeypatch), view()
    found = tokens.attention(model, pixels, layer=layer)
    expected = attentions_of_the_library(model, pixels)[layer]  # (T, A, 1 + 9, 1 + 9)
    assert found.shape == (3, FRAMES, 3, 3)
    for frame in range(FRAMES):
        np.testing.assert_allclose(found[:, frame].reshape(3, 9), expected[frame, :, 0, 1:], atol=1e-6)
    np.testing.assert_allclose(found.sum((2, 3)), 1 - expected[:, :, 0, 0].T, atol=1e-5)


def test_attention_over_time_stays_at_a_patchs_place(monkeypatch):
    model, pixels = timesformer(monkeypatch), view()
    before = tokens.attention(model, pixels, layer=0, over="time")
    assert before.shape == (3, 3, 3, FRAMES, FRAMES)
    np.testing.assert_allclose(before.sum(-1), 1, atol=1e-5)
    changed = pixels.copy()
    changed[:, PATCH : 2 * PATCH, 2 * PATCH :] = view(9)[:, :PATCH, :PATCH]  # row 1, column 2
    moved = np.abs(tokens.attention(model, changed, layer=0, over="time") - before).max((0, 3, 4))
    assert moved[1, 2] > 1e-4
    moved[1, 2] = 0
    assert moved.max() < 1e-6


@pytest.mark.parametrize("kind", ["joint_space_time", "space_only"])
def test_attention_finds_the_frame_and_the_patch_that_changed(monkeypatch, kind):
    """A patch that is looked at more or less than before is the one that was painted over, in every kind."""
    model = timesformer(monkeypatch, kind)
    pixels = np.full((FRAMES, SIDE, SIDE, 3), 90, np.uint8)
    before = tokens.attention(model, pixels, layer=0)
    assert before.shape == (3, FRAMES, 3, 3)
    changed = pixels.copy()
    changed[3, 2 * PATCH :, :PATCH] = 250  # frame 3, row 2, column 0
    change = np.abs(tokens.attention(model, changed, layer=0) - before).sum(0)
    assert np.unravel_index(change.argmax(), change.shape) == (3, 2, 0)


def test_a_map_has_the_size_of_the_view_and_one_value_a_patch(monkeypatch):
    model, pixels = timesformer(monkeypatch), view()
    heat = tokens.attention_map(model, pixels)
    grid = tokens.attention(model, pixels).mean(0)
    assert (heat.shape, heat.dtype) == ((FRAMES, SIDE, SIDE), np.float32)
    assert heat.max() == 1
    assert heat.min() > 0
    np.testing.assert_allclose(heat[:, ::PATCH, ::PATCH], grid / grid.max(), rtol=1e-6)
    assert (heat[:, :PATCH, :PATCH] == heat[:, :1, :1]).all()


def test_what_has_no_such_attention_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"mini2d.vidmini_v1 is none"):
        tokens.attention(load_model("mini2d"), view())
    model = timesformer(monkeypatch, "space_only")
    with pytest.raises(ConfigError, match="no attention over time alone"):
        tokens.attention(model, view(), over="time")
    with pytest.raises(ConfigError, match="2 layers, 0 to 1, and no layer 2"):
        tokens.attention(model, view(), layer=2)
    with pytest.raises(ConfigError, match="space or time, not 'both'"):
        tokens.attention(model, view(), over="both")
    with pytest.raises(ConfigError, match=r"takes pixels of shape \(N, 5, 3, 24, 24\), not \(1, 4, 3, 24, 24\)"):
        tokens.attention(model, view(frames=4))
    with pytest.raises(ValueError, match="uint8"):
        tokens.attention(model, view().astype(np.float32))


@pytest.mark.parametrize(("ratio", "hidden"), [(0.9, 18), (0.0, 0), (1.0, 20), (0.29, 5)])
def test_a_tube_mask_hides_the_same_share_of_the_same_patches_at_all_times(ratio, hidden):
    mask = tokens.tube_mask((3, 4, 5), ratio, seed=2)
    assert (mask.shape, mask.dtype) == ((3, 4, 5), bool)
    assert mask[0].sum() == hidden
    assert (mask == mask[:1]).all()
    assert np.array_equal(mask, tokens.tube_mask((3, 4, 5), ratio, seed=2))


def test_other_seeds_hide_other_patches_and_every_patch_equally_often():
    masks = np.stack([tokens.tube_mask((1, 2, 5), 0.5, seed=seed)[0] for seed in range(400)])
    share = masks.mean(0)
    assert np.abs(share - 0.5).max() < 0.1  # four standard deviations of a share of 400


def test_sizes_that_cannot_be_are_refused():
    for grid, ratio in (((0, 4, 5), 0.9), ((3, 4, 5), 1.1)):
        with pytest.raises(ValueError, match="at least 1"):
            tokens.tube_mask(grid, ratio)
    with pytest.raises(ValueError, match="does not divide"):
        tokens.hide(view(), tokens.tube_mask((2, 3, 3)))


def test_the_encoder_does_not_see_what_is_hidden_and_sees_the_rest():
    """Token order of the mask is that of the library's VideoMAE, also where time, height and width differ."""
    from transformers import VideoMAEConfig, VideoMAEModel

    torch.manual_seed(0)
    config = VideoMAEConfig(**SMALL, image_size=[16, 24], patch_size=8, num_frames=8, tubelet_size=2)
    encoder = VideoMAEModel(config).eval()
    mask = tokens.tube_mask((4, 2, 3), 0.5, seed=1)
    pixels = view(4, frames=8, height=16, width=24)

    def encoded(frames):
        values = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 255
        with torch.inference_mode():
            return encoder(values, bool_masked_pos=torch.from_numpy(mask.reshape(1, -1))).last_hidden_state

    seen = encoded(pixels)
    assert seen.shape == (1, int((~mask).sum()), 24)
    hidden = tokens.hide(pixels, mask)
    assert (hidden != pixels).any()
    assert torch.equal(encoded(hidden), seen)
    assert not torch.allclose(encoded(tokens.hide(pixels, ~mask)), seen, atol=1e-3)


def test_hidden_patches_are_grey_and_the_others_untouched():
    mask = np.zeros((2, 2, 3), bool)
    mask[1, 0, 2] = True
    pixels = view(5, frames=6, height=8, width=12)
    shown = tokens.hide(pixels, mask)
    assert (shown[3:, :4, 8:] == tokens.GREY).all()
    shown[3:, :4, 8:] = pixels[3:, :4, 8:]
    assert np.array_equal(shown, pixels)
