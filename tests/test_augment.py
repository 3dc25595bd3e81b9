"""Training views: one change for all frames of a clip, mirror images with their label, frames in range."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from vidbench.augment import (
    NEVER,
    SCALES,
    Augmentation,
    ColorJitter,
    MultiScaleCrop,
    draw_view,
    label_of,
    mirror_classes,
    mix_clips,
    partner_classes,
    shift_hue,
)
from vidbench.data import mini
from vidbench.data.classes import _shipped_rows, load_labels, time_pairs
from vidbench.data.stored import Timing, draw_positions, middle_positions, stored_indices, stored_spec
from vidbench.records import InputSpec, VideoRecord
from vidbench.train_data import TrainingClips

SPEC = InputSpec(6, None, 40, (24, 32), (0.5,) * 3, (0.25,) * 3, sampling="uniform")
EVERYTHING = Augmentation(min_scale=0.3, jitter=0.6, rotation=30, rand_augment=9, erase=1.0)


def still_video(seed: int = 0, num_frames: int = 11) -> np.ndarray:
    """One random picture, repeated: uint8 (11, 40, 53, 3)."""
    picture = np.random.default_rng(seed).integers(0, 256, (1, 40, 53, 3), np.uint8)
    return np.repeat(picture, num_frames, 0)


NOTHING = {"min_scale": 1, "jitter": 0, "flip": False}
EACH = {
    "min_scale": {"min_scale": 0.3},
    "multi_scale": {"multi_scale": True},
    "flip": {"flip": True},
    "jitter": {"jitter": 0.6},
    "rotation": {"rotation": 30},
    "rand_augment": {"rand_augment": 15},
    "erase": {"erase": 1.0},
}


@pytest.mark.parametrize("kind", EACH)
def test_all_frames_of_a_clip_are_changed_alike_by_each_augmentation(kind):
    spec = InputSpec(6, None, 40, (40, 53), (0.5,) * 3, (0.25,) * 3, sampling="uniform")
    plain, changed = still_video(), 0
    for seed in range(6):
        how = Augmentation(**(NOTHING | EACH[kind]))
        view, _ = draw_view(plain, 0, spec, 6, how, np.array([0]), np.random.default_rng(seed))
        assert view.shape == (6, 3, 40, 53)
        assert view.dtype == torch.uint8
        assert (view == view[:1]).all(), "the frames of the video are alike, so those of the view must be"
        changed += bool((view[0].permute(1, 2, 0).numpy() != plain[0]).any())
    assert changed >= 2, "and it does something"


@pytest.mark.parametrize("seed", range(3))
def test_all_frames_of_a_clip_are_changed_alike_by_all_together(seed):
    view, _ = draw_view(still_video(), 0, SPEC, 6, EVERYTHING, np.array([0]), np.random.default_rng(seed))
    assert view.shape == (6, 3, 24, 32)
    assert (view == view[:1]).all()


def test_a_multi_scale_crop_has_one_of_five_places_and_a_few_sizes():
    crop, sizes, places = MultiScaleCrop((20, 30)), set(), set()
    torch.manual_seed(0)
    for _ in range(600):
        cut = crop.make_params([torch.zeros(4, 3, 48, 60)])  # twice the view fits: 40 x 60
        sizes.add((cut["height"], cut["width"]))
        places.add((cut["top"] / (48 - cut["height"]), cut["left"] / max(1, 60 - cut["width"])))
    heights, widths = (list(dict.fromkeys(round(side * scale) for scale in SCALES)) for side in (40, 60))
    assert (heights, widths) == ([40, 35, 30, 26], [60, 52, 45, 40])
    near = {(heights[a], widths[b]) for a in range(4) for b in range(4) if abs(a - b) <= 1}
    assert sizes == near
    assert {(round(down), round(right)) for down, right in places} >= {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert crop(torch.zeros(4, 3, 48, 60, dtype=torch.uint8)).shape == (4, 3, 20, 30)


def test_a_view_depends_on_its_generator_alone():
    def views(seed):
        return draw_view(still_video(), 0, SPEC, 6, EVERYTHING, np.array([0]), np.random.default_rng(seed))[0]

    before = torch.get_rng_state()
    first = views([3, 1])
    torch.rand(7)
    assert (views([3, 1]) == first).all()
    assert (views([3, 2]) != first).any()
    torch.set_rng_state(before)
    views([5, 5])
    assert (torch.get_rng_state() == before).all()  # dropout's numbers do not move


def half_white() -> tuple[np.ndarray, InputSpec]:
    """A video whose left half is white, and an input that sees all of it."""
    video = still_video()
    video[:, :, :26], video[:, :, 26:] = 255, 0
    return video, InputSpec(6, None, 40, (40, 53), (0.5,) * 3, (0.25,) * 3, sampling="uniform")


def test_half_of_the_views_are_mirrored_and_say_so():
    (video, spec), how, seen = half_white(), Augmentation(min_scale=1, jitter=0), []
    for seed in range(40):
        view, turned = draw_view(video, 0, spec, 6, how, np.array([1, 0]), np.random.default_rng(seed))
        assert turned[:2] == (bool(view[0, 0, 0, 0] == 0), False)
        seen.append(turned.mirrored)
        assert label_of(0, turned, np.array([1, 0]), None) == int(turned.mirrored)
    assert 10 < sum(seen) < 30


def test_a_clip_whose_mirror_image_is_no_class_is_never_mirrored():
    (video, spec), how = half_white(), Augmentation(min_scale=1, jitter=0)
    for seed in range(20):
        view, turned = draw_view(video, 0, spec, 6, how, np.array([NEVER]), np.random.default_rng(seed))
        assert view[0, 0, 0, 0] == 255
        assert not turned.mirrored


def test_a_mirrored_clip_has_label_and_scores_of_its_mirror_image(monkeypatch):
    video, spec = half_white()
    labels = ["WalkLeft", "Sit", "WalkRight", "turn left"]
    records = [VideoRecord(label, label, label, k) for k, label in enumerate(labels)]
    scores = np.arange(16, dtype=np.float32).reshape(4, 4)
    how = Augmentation(min_scale=1, jitter=0)
    clips = TrainingClips(records, ".", spec, spec, 6, how, labels, seed=0, cache_dir=None, scores=scores)
    monkeypatch.setattr(clips, "_frames", lambda number: video)
    found = set()
    for epoch, number in itertools.product(range(30), range(4)):
        clip, label, told = clips[epoch, number, 0]
        found.add((bool(clip[0, 0, 0, 0] == 0), number, label, tuple(told.tolist())))
    assert found == {
        (False, 0, 0, (0, 1, 2, 3)),
        (True, 0, 2, (2, 1, 0, 3)),
        (False, 1, 1, (4, 5, 6, 7)),
        (True, 1, 1, (6, 5, 4, 7)),  # somebody who sits, mirrored: left and right are exchanged for the teacher too
        (False, 2, 2, (8, 9, 10, 11)),
        (True, 2, 0, (10, 9, 8, 11)),
        (False, 3, 3, (12, 13, 14, 15)),
    }


def numbered(num_frames: int = 11) -> np.ndarray:
    """A video whose left half is white, and whose right half says the number of the frame, times ten."""
    video = np.repeat(half_white()[0][:1], num_frames, 0)
    video[:, :, 26:] = 10 * np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
    return video


def frames_of(view: torch.Tensor) -> list[int]:
    """The numbers of the frames in a view of a ``numbered`` video, mirrored or not."""
    side = 0 if view[0, 0, 0, -1] == 255 else -1
    return (view[:, 0, 0, side].int() // 10).tolist()


@pytest.mark.parametrize(
    ("timing", "turn", "forwards", "backwards"),
    [  # three of eleven, by hand: even views lie at (6 k + 2 turn + 1) * 11 // 18, or begin at (2 turn + 1) * 8 // 6
        (("uniform", Timing(even=True, num_views=3)), 0, [0, 4, 7], [10, 6, 3]),
        (("uniform", Timing(even=True, num_views=3)), 2, [3, 6, 10], [7, 4, 0]),
        (("clips", Timing(even=True, num_views=3)), 0, [1, 2, 3], [9, 8, 7]),
        (("clips", Timing(even=True, num_views=3, drop=1.0)), 0, [1, 1, 1], [9, 9, 9]),  # all but the first are lost
    ],
)
def test_a_view_played_backwards_is_that_of_the_video_in_the_other_order(timing, turn, forwards, backwards):
    (sampling, when), seen = timing, set()
    spec = InputSpec(3, 12.5, 40, (40, 53), (0.5,) * 3, (0.25,) * 3, sampling=sampling)
    how = Augmentation(min_scale=1, jitter=0, flip=False, timing=when)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        view, turned = draw_view(numbered(), 0, spec, 3, how, np.array([0, 1]), rng, turn, np.array([1, 0]))
        assert frames_of(view) == (backwards if turned.backwards else forwards)
        seen.add(turned[:2])
    assert seen == {(False, False), (False, True)}


def test_a_short_video_played_backwards_stands_still_at_its_beginning():
    spec = InputSpec(5, 12.5, 40, (40, 53), (0.5,) * 3, (0.25,) * 3, sampling="clips", short="repeat")
    how, seen = Augmentation(min_scale=1, jitter=0, flip=False), set()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        view, _ = draw_view(numbered(3), 0, spec, 5, how, np.array([0]), rng, 0, np.array([0]))
        seen.add(tuple(frames_of(view)))
    assert seen == {(0, 1, 2, 2, 2), (2, 1, 0, 0, 0)}


def test_clips_without_a_partner_are_never_played_backwards_and_other_draws_stay_as_they_were():
    spec, how = InputSpec(6, None, 40, (40, 53), (0.5,) * 3, (0.25,) * 3, sampling="uniform"), EVERYTHING
    for seed in range(12):
        plain, before = draw_view(numbered(), 1, spec, 6, how, np.array([0, 1, 2]), np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        view, turned = draw_view(numbered(), 1, spec, 6, how, np.array([0, 1, 2]), rng, 0, np.array([2, NEVER, 0]))
        assert turned[:2] == before[:2]
        assert (turned.positions == before.positions).all()
        assert not turned.backwards
        assert torch.equal(view, plain)
    _, turned = draw_view(numbered(), 0, spec, 6, None, np.array([0]), np.random.default_rng(0), 0, np.array([0]))
    assert not turned.backwards, "a view without chance is the video as it is"


def test_a_clip_played_backwards_has_label_and_scores_of_its_partner(monkeypatch):
    labels = ["PullLeft", "Sit", "PushRight", "Stand", "PullRight", "PushLeft", "Wave"]
    pairs = [("PullLeft", "PushRight"), ("Stand", "Sit"), ("PullRight", "PushLeft")]
    records = [VideoRecord(label, label, label, k) for k, label in enumerate(labels)]
    scores = np.arange(49, dtype=np.float32).reshape(7, 7)
    spec, how = half_white()[1], Augmentation(min_scale=1, jitter=0)
    clips = TrainingClips(
        records, ".", spec, spec, 6, how, labels, seed=0, cache_dir=None, scores=scores, time_pairs=pairs
    )
    monkeypatch.setattr(clips, "_frames", lambda number: numbered())
    found = set()
    for epoch, number in itertools.product(range(40), (0, 1, 6)):
        clip, label, told = clips[epoch, number, 0]
        order = frames_of(clip)
        found.add((bool(clip[0, 0, 0, 0] != 255), order[0] > order[-1], number, label, tuple(told.tolist())))
    assert found == {
        # mirrored, backwards, class, label, what the teacher said of PullLeft, Sit, PushRight, Stand, ...
        (False, False, 0, 0, (0, 1, 2, 3, 4, 5, 6)),
        (True, False, 0, 4, (4, 1, 5, 3, 0, 2, 6)),
        (False, True, 0, 2, (2, 3, 0, 1, 5, 4, 6)),
        (
            True,
            True,
            0,
            5,
            (5, 3, 4, 1, 2, 0, 6),
        ),  # who pulls to the left, in a mirror and backwards, pushes to the left
        (False, False, 1, 1, (7, 8, 9, 10, 11, 12, 13)),
        (True, False, 1, 1, (11, 8, 12, 10, 7, 9, 13)),
        (False, True, 1, 3, (9, 10, 7, 8, 12, 11, 13)),
        (True, True, 1, 3, (12, 10, 11, 8, 9, 7, 13)),
        (False, False, 6, 6, (42, 43, 44, 45, 46, 47, 48)),
        (True, False, 6, 6, (46, 43, 47, 45, 42, 44, 48)),
    }


def test_a_mixed_batch_mixes_the_labels_of_clips_played_backwards(monkeypatch):
    labels, spec, how = ["Sit", "Stand", "Wave"], half_white()[1], Augmentation(min_scale=1, jitter=0)
    records = [VideoRecord(label, label, label, k) for k, label in enumerate(labels)]
    clips = TrainingClips(
        records, ".", spec, spec, 6, how, labels, seed=0, cache_dir=None, time_pairs=[("Sit", "Stand")]
    )
    monkeypatch.setattr(clips, "_frames", lambda number: numbered())
    for epoch in range(6):
        views, shown = zip(*(clips[epoch, number, 0] for number in range(3)))
        torch.manual_seed(epoch)
        _, shares = mix_clips(torch.stack(views).float() / 255, torch.tensor(shown), 3, mixup=0.8, cutmix=0)
        expected = np.zeros(3)
        for view, number in zip(views, range(3)):
            order = frames_of(view)
            expected[{0: 1, 1: 0}.get(number, number) if order[0] > order[-1] else number] += 1
        np.testing.assert_allclose(shares.sum(0), expected, atol=1e-6)  # each clip has its share in two rows


def test_pairs_that_come_with_a_dataset_are_classes_of_it_and_each_stands_once():
    lists = {where for where, _, _ in _shipped_rows("backwards")}
    assert lists == {"vidmini", "somethingv2"}
    for name in lists:
        pairs, labels = time_pairs(name), load_labels(name)
        flat = [label for pair in pairs for label in pair]
        assert len(flat) == len(set(flat))
        assert set(flat) <= set(labels)
        partners = partner_classes(labels, pairs)
        assert (partners != NEVER).sum() == len(flat)
        assert all(partners[partners[k]] == k for k in np.flatnonzero(partners != NEVER))
    assert {frozenset(pair) for pair in time_pairs("vidmini")} == {frozenset(pair) for pair in mini.PAIRS}
    assert time_pairs("ucf101") == ()


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


@pytest.mark.parametrize("turn", [-0.5, -0.07, 0.0, 0.02, 0.5])
def test_a_turned_hue_is_torchvisions(turn):
    clip = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 61, 83), np.uint8))
    clip[:, :, :9] = clip[:, :1, :9]  # greys, which have no hue
    expected = v2.functional.adjust_hue(tv_tensors.Video(clip), turn)
    apart = (shift_hue(clip, turn).int() - expected.int()).abs()
    assert apart.max() <= 1
    assert (apart > 0).float().mean() < 1e-3
    assert (turn == 0) == bool((expected == clip).all())


def test_colours_change_by_the_draws_of_torchvisions_jitter():
    clip = tv_tensors.Video(torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 3, 31, 43), np.uint8)))
    for seed in range(5):
        views = []
        for kind in (ColorJitter, v2.ColorJitter):
            torch.manual_seed(seed)
            views.append(kind(0.4, 0.4, 0.4, 0.1)(clip).int())
        assert (views[0] - views[1]).abs().max() <= 2  # a level of hue, brightened
        assert (views[1] != clip).any()


NEIGHBOURS = InputSpec(6, 12.5, 40, (24, 32), (0.5,) * 3, (0.25,) * 3, sampling="clips")


def draws(spec, num_stored, timing, number=200):
    return [draw_positions(spec, num_stored, 6, np.random.default_rng(seed), timing) for seed in range(number)]


def test_a_drawn_stride_is_the_same_within_a_view_and_fits_into_the_video():
    found = draws(NEIGHBOURS, 40, Timing(max_stride=3))
    assert {tuple(set(np.diff(positions))) for positions in found} == {(1,), (2,), (3,)}
    short = draws(NEIGHBOURS, 12, Timing(max_stride=3))  # strides of 3 would need 16 frames
    assert {tuple(set(np.diff(positions))) for positions in short} == {(1,), (2,)}


def test_a_drawn_speed_plays_faster_and_slower_by_up_to_its_factor():
    spans = [positions[-1] - positions[0] for positions in draws(NEIGHBOURS, 60, Timing(speed=2.0))]
    assert min(spans) == 2  # floor(5 / 2), slowest
    assert 9 <= max(spans) <= 10  # 5 * 2, fastest
    spread = InputSpec(6, None, 40, (24, 32), (0.5,) * 3, (0.25,) * 3, sampling="uniform")
    spans = [positions[-1] - positions[0] for positions in draws(spread, 60, Timing(speed=3.0))]
    assert min(spans) < 22 < 45 < max(spans)  # of 60 frames a third at the least
    assert min(p[-1] - p[0] for p in draws(spread, 60, Timing())) > 40  # without it, 85 % at the least


def test_a_lost_frame_is_the_one_before_it_shown_again():
    plain, lossy = draws(NEIGHBOURS, 40, Timing()), draws(NEIGHBOURS, 40, Timing(drop=0.4))
    repeated = 0
    for whole, positions in zip(plain, lossy):
        assert positions[0] == whole[0]
        for k in range(1, 6):
            assert positions[k] in (whole[k], positions[k - 1])
            repeated += positions[k] == positions[k - 1]
    assert 0.34 < repeated / (5 * len(plain)) < 0.46
    always = draw_positions(NEIGHBOURS, 40, 6, np.random.default_rng(0), Timing(drop=1.0))
    assert (always == always[0]).all()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ("clips", [[5, 6, 7, 8, 9, 10], [17, 18, 19, 20, 21, 22], [28, 29, 30, 31, 32, 33]]),  # of 34
        ("uniform", [[1, 7, 14, 21, 27, 34], [3, 10, 16, 23, 30, 36], [5, 12, 18, 25, 32, 38]]),
    ],
)
def test_even_views_lie_at_fixed_places_one_for_each_turn(sampling, expected):
    spec = InputSpec(6, 12.5, 40, (24, 32), (0.5,) * 3, (0.25,) * 3, sampling=sampling)
    timing = Timing(even=True, num_views=3)
    for seed in (0, 1):
        found = [draw_positions(spec, 40, 6, np.random.default_rng(seed), timing, turn).tolist() for turn in range(4)]
        assert found == [*expected, expected[0]]
