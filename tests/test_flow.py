"""Motion is found where it is, has the right sign and axis, and is read, cached and noted as pictures are."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vidbench.data import flow
from vidbench.data.cache import ClipCache, predict_bytes
from vidbench.data.flow import MEAN, STD, find_motion, flow_version, make_views, quantise
from vidbench.data.load import read_views
from vidbench.data.process import check_spec, normalise
from vidbench.models import CARDS
from vidbench.records import ConfigError, InputSpec

HALF = (0.5,) * 3
SPEC = InputSpec(3, 10.0, 60, (40, 48), HALF, HALF, num_clips=2, short="repeat")
FLOW = replace(SPEC, mean=(MEAN,) * 2, std=(STD,) * 2, modality="flow")
BOTH = replace(SPEC, mean=HALF + (MEAN,) * 2, std=HALF + (STD,) * 2, modality="rgb+flow")


def moving(count, down, right, height=64, width=88):
    """Frames uint8 (T, H, W, 3) of a soft random pattern that moves by whole pixels a frame."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, ((height + 40 * 2) // 4, (width + 40 * 2) // 4, 3), dtype=np.uint8)
    import cv2

    big = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    starts = [(40 - down * t, 40 - right * t) for t in range(count)]
    return np.stack([big[y : y + height, x : x + width] for y, x in starts])


@pytest.mark.parametrize(("down", "right"), [(0, 3), (2, 0), (-2, 1)])
def test_the_first_channel_is_motion_to_the_right_and_the_second_down(down, right):
    first, second = moving(2, down, right)
    motion = find_motion(first, second)
    assert motion.shape == (64, 88, 2)
    assert motion.dtype == np.float32
    inner = motion[12:-12, 12:-12]
    np.testing.assert_allclose(np.median(inner, (0, 1)), [right, down], atol=0.3)


def test_motion_does_not_depend_on_the_number_of_threads():
    import cv2

    first, second = moving(2, 1, 2, 256, 340)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        two = find_motion(first, second)
        assert cv2.getNumThreads() == 2
        cv2.setNumThreads(1)
        assert np.array_equal(find_motion(first, second), two)
    finally:
        cv2.setNumThreads(before)


def test_eight_bits_hold_motion_to_a_twelfth_of_a_pixel_and_no_motion_exactly():
    motion = np.linspace(-25, 25, 1001, dtype=np.float32).reshape(7, 11, 13)
    pixels = quantise(np.stack([motion, 0 * motion], -1))
    back = np.moveaxis(normalise(pixels[None], FLOW)[0], 0, -1)
    assert back.min() == pytest.approx(-1, abs=1e-6)
    assert back.max() == pytest.approx(1, abs=1e-6)
    assert np.abs(back[..., 0] * 20 - motion.clip(-20, 20)).max() <= 20 / 127 / 2 + 1e-5
    assert np.abs(back[..., 1]).max() < 1e-7


def test_views_hold_motion_from_each_frame_to_the_next_within_their_clip():
    frames = moving(6, 0, 2)
    positions = np.array([[0, 1, 1, 2], [2, 3, 4, 5]])  # the first clip repeats a frame
    spec = replace(FLOW, resize=(64, 88))
    views = make_views(frames, positions, spec)
    assert views.shape == (2, 3, 40, 48, 2)
    across = normalise(views, spec)[:, 0].mean((2, 3)) * 20
    np.testing.assert_allclose(across, [[2, 0, 2], [2, 2, 2]], atol=0.3)
    both = make_views(frames, positions, replace(BOTH, resize=(64, 88), num_crops=3))
    assert both.shape == (6, 3, 40, 48, 5)
    assert np.array_equal(both[1::3, ..., 3:], views), "the middle crop is the one crop"
    pictures = make_views(frames, positions[:, :3], replace(SPEC, resize=(64, 88), num_crops=3))
    assert np.array_equal(both[..., :3], pictures)


def test_mirrored_views_move_the_other_way():
    frames, positions = moving(4, 1, 3), np.arange(4)[None]
    across, down = (normalise(make_views(frames, positions, replace(FLOW, num_clips=1, resize=(64, 88), num_crops=10)),
                              FLOW).mean((2, 3, 4)) * 20).T  # fmt: skip
    np.testing.assert_allclose(across, [3] * 5 + [-3] * 5, atol=0.5)
    np.testing.assert_allclose(down, [1] * 10, atol=0.5)


def test_tvl1_is_taken_where_opencv_has_it(monkeypatch):
    class Method:
        def calc(self, first, second, _):
            assert first.ndim == second.ndim == 2
            return np.full((*first.shape, 2), 5, np.float32)

    class OpenCV:
        class optflow:
            DualTVL1OpticalFlow_create = Method

        import cv2

        cvtColor, COLOR_RGB2GRAY = cv2.cvtColor, cv2.COLOR_RGB2GRAY
        getNumThreads, setNumThreads, __version__ = cv2.getNumThreads, cv2.setNumThreads, "9.9"

    assert flow_version().startswith("dis of opencv 4.")
    monkeypatch.setattr(flow, "_opencv", lambda: OpenCV)
    assert flow_version() == "tvl1 of opencv 9.9"
    assert (find_motion(*moving(2, 0, 0)) == 5).all()


def test_a_card_with_other_channels_than_its_modality_is_refused():
    for spec in (FLOW, BOTH, SPEC, *(card.input for card in CARDS.values())):
        check_spec(spec)
    with pytest.raises(ConfigError, match="Views of flow have 2 channels, so mean and std have as many"):
        check_spec(replace(SPEC, modality="flow"))
    with pytest.raises(ConfigError, match=r"Unknown modality 'sound'; known: rgb, flow, rgb\+flow"):
        check_spec(replace(SPEC, modality="sound"))


def test_motion_is_cached_apart_from_pictures_and_by_its_method(make_video, tmp_path, monkeypatch):
    frames = moving(24, 0, 1)
    path = make_video(
        tmp_path / "a.mp4", num_frames=24, width=88, height=64, frame_rate=10, draw=lambda number, *size: frames[number]
    )
    cache = ClipCache(tmp_path / "cache")
    found = {}
    for spec in (SPEC, FLOW, BOTH):
        views = read_views(path, spec, cache=cache)
        again = read_views(path, spec, cache=cache)
        assert np.array_equal(views.pixels, again.pixels)
        assert views.pixels.shape == (2, 3, 40, 48, spec.channels)
        assert np.array_equal(views.indices, again.indices)
        assert views.indices.shape == (2, 3)
        found[spec.modality] = views.pixels
        assert len(cache.entries()) == len(found)
    assert np.array_equal(found["rgb+flow"][..., 3:], found["flow"])
    assert np.array_equal(found["rgb+flow"][0, ..., :3], found["rgb"][0]), "the first clips begin together"
    assert predict_bytes(FLOW) < predict_bytes(SPEC) < predict_bytes(BOTH)
    monkeypatch.setattr("vidbench.data.load.flow_version", lambda: "another method")
    read_views(path, FLOW, cache=cache)
    read_views(path, SPEC, cache=cache)
    assert len(cache.entries()) == 4


def test_manifests_of_pictures_are_as_they_were_and_those_of_motion_name_the_method():
    from vidbench.manifest import flow_facts, spec_facts

    old = spec_facts(SPEC)
    assert "modality" not in old
    assert flow_facts(SPEC) == {}
    json.dumps(old)
    assert spec_facts(FLOW)["modality"] == "flow"
    assert flow_facts(FLOW) == {"flow": flow_version()}
