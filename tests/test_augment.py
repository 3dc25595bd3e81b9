"""Training views: one change for all frames of a clip, mirror images with their label, frames in range."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidbench.augment import NEVER, Augmentation, mirror_classes, mix_clips, training_view
from vidbench.data.catalog import load_labels
from vidbench.data.stored import draw_positions, middle_positions, stored_indices, stored_spec
from vidbench.records import InputSpec

SPEC = InputSpec(6, None, 40, (24, 32), (0.5,) * 3, (0.25,) * 3, sampling="uniform")
EVERYTHING = Augmentation(min_scale=0.3, jitter=0.6, rotation=30, rand_augment=9, erase=1.0)


def still_video(seed: int = 0, num_frames: int = 11) -> np.ndarray:
    """One random picture, repeated: uint8 (11, 40, 53, 3)."""
    picture = np.random.default_rng(seed).integers(0, 256, (1, 40, 53, 3), np.uint8)
    return np.repeat(picture, num_frames, 0)


@pytest.mark.parametrize("seed", range(5))
def test_all_frames_of_a_clip_are_changed_alike(seed):
    rng = np.random.default_rng(seed)
    view, _ = training_view(still_video(), 0, SPEC, 6, EVERYTHING, np.array([0]), rng)
    assert view.shape == (6, 3, 24, 32)
    assert view.dtype == torch.uint8
    assert (view == view[:1]).all()


def test_a_view_depends_on_its_generator_alone():
    def views(seed):
        return training_view(still_video(), 0, SPEC, 6, EVERYTHING, np.array([0]), np.random.default_rng(seed))[0]

    before = torch.get_rng_state()
    first = views([3, 1])
    torch.rand(7)
    assert (views([3, 1]) == first).all()
    assert (views([3, 2]) != first).any()
    torch.set_rng_state(before)
    views([5, 5])
    assert (torch.get_rng_state() == before).all()  # dropout's numbers do not move


def test_a_mirrored_clip_has_the_label_of_its_mirror_image():
    video = still_video()
    video[:, :, :26] = 255  # the left half is white
    video[:, :, 26:] = 0
    how, seen = Augmentation(min_scale=1, jitter=0), set()
    spec = InputSpec(6, None, 40, (40, 53), (0.5,) * 3, (0.25,) * 3, sampling="uniform")
    for seed in range(20):
        view, label = training_view(video, 0, spec, 6, how, np.array([1, 0]), np.random.default_rng(seed))
        seen.add((bool(view[0, 0, 0, 0] == 255), label))
    assert seen == {(True, 0), (False, 1)}


def test_a_clip_whose_mirror_image_is_no_class_is_never_mirrored():
    video = still_video()
    video[:, :, :26], video[:, :, 26:] = 255, 0
    spec = InputSpec(6, None, 40, (40, 53), (0.5,) * 3, (0.25,) * 3, sampling="uniform")
    for seed in range(20):
        view, label = training_view(
            video, 0, spec, 6, Augmentation(min_scale=1, jitter=0), np.array([NEVER]), np.random.default_rng(seed)
        )
        assert view[0, 0, 0, 0] == 255
        assert label == 0


def test_mirror_classes_of_real_label_spaces():
    labels = load_labels("somethingv2")
    mirrored = mirror_classes(labels)
    named = [k for k, label in enumerate(labels) if {"left", "right"} & set(label.lower().split())]
    assert named
    assert [k for k in range(len(labels)) if mirrored[k] != k] == named
    pair = labels.index("Pushing something from left to right"), labels.index("Pushing something from right to left")
    assert mirrored[pair[0]] == pair[1]
    assert mirrored[pair[1]] == pair[0]
    assert mirror_classes(["Bright light", "upright", "copyright"]).tolist() == [0, 1, 2]
    assert (mirror_classes(load_labels("ucf101")) == np.arange(101)).all()


@pytest.mark.parametrize("kinds", [{"mixup": 0.8, "cutmix": 0}, {"mixup": 0, "cutmix": 1.0}])
def test_clips_are_mixed_with_one_share_for_all_frames(kinds):
    torch.manual_seed(0)
    pixels = torch.rand(4, 1, 3, 10, 14).expand(4, 5, 3, 10, 14).contiguous()  # still clips
    mixed, shares = mix_clips(pixels, torch.tensor([0, 1, 2, 6]), 7, **kinds)
    assert mixed.shape == pixels.shape
    assert shares.shape == (4, 7)
    torch.testing.assert_close(shares.sum(1), torch.ones(4))
    assert torch.equal(mixed, mixed[:, :1].expand_as(mixed))
    assert (mixed != pixels).any()


def test_stored_frames_are_spread_or_neighbours_as_the_card_says():
    times = np.arange(200) / 25
    spread = stored_indices(stored_spec(SPEC, 6), times, 25.0)
    assert len(spread) == 32
    assert spread[0] < 6
    assert spread[-1] > 193
    clips = stored_spec(InputSpec(8, 12.5, 40, (24, 32), (0.5,) * 3, (0.25,) * 3), 8, most=50)
    kept = stored_indices(clips, times, 25.0)
    assert len(kept) == 50
    assert (np.diff(kept) == 2).all()
    assert kept[0] == 50
    assert len(stored_indices(stored_spec(SPEC, 6), times[:5], 25.0)) == 5


@pytest.mark.parametrize("sampling", ["uniform", "segments", "clips", "dense", "stream"])
@pytest.mark.parametrize("num_stored", [1, 4, 33])
def test_drawn_positions_are_in_range_in_order_and_differ(sampling, num_stored):
    spec = InputSpec(6, 12.5, 40, (24, 32), (0.5,) * 3, (0.25,) * 3, sampling=sampling)
    drawn = [draw_positions(spec, num_stored, 6, np.random.default_rng(seed)) for seed in range(30)]
    for positions in (*drawn, middle_positions(spec, num_stored, 6)):
        assert positions.shape == (6,)
        assert positions.min() >= 0
        assert positions.max() < num_stored
        assert (np.diff(positions) >= 0).all()
    if num_stored == 33:
        assert len({tuple(positions) for positions in drawn}) > 10
    if sampling in ("clips", "dense", "stream") and num_stored == 33:
        assert all((np.diff(positions) == 1).all() for positions in drawn)
