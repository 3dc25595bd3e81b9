"""A corruption is the same in every run, worse with every severity, and leaves alone what it does not name."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from vidbench.arguments import EVALUATE
from vidbench.data.barcode import read_numbers, write_numbered
from vidbench.data.cache import ClipCache
from vidbench.data.corrupt import (
    CODED,
    SEVERITIES,
    STRENGTHS,
    corrupted,
    lost_frames,
    parse_corrupt,
    stroke,
)
from vidbench.data.load import ViewReader, read_views
from vidbench.data.mini import encode_clip
from vidbench.records import ConfigError, InputSpec, VideoRecord

HALF = (0.5, 0.5, 0.5)
SPEC = InputSpec(9, None, (90, 120), (80, 110), HALF, HALF, sampling="uniform")
TRIALS = range(6)


def drawn_clip(seed: int, num_frames=48, height=100, width=132) -> np.ndarray:
    """Blobs that drift over a smooth ground, every clip another way; uint8 (T, H, W, 3)."""
    rng = np.random.default_rng([77, seed])
    rows, columns = np.mgrid[0:height, 0:width]
    ground = rng.uniform(60, 190, 3) + rng.uniform(-0.4, 0.4, 3) * rows[..., None]
    frames = np.repeat(ground[None], num_frames, axis=0)
    time = np.arange(num_frames)[:, None, None]
    for _ in range(5):
        x, y = rng.uniform(0, width) + rng.uniform(-3, 3) * time, rng.uniform(0, height) + rng.uniform(-2, 2) * time
        inside = np.hypot((columns - x) % width - width / 2, (rows - y) % height - height / 2) < rng.uniform(8, 22)
        frames[inside] = rng.uniform(0, 255, 3)
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("drawn")
    paths = [folder / f"drawn{seed}.mp4" for seed in TRIALS]
    for seed, path in zip(TRIALS, paths):
        path.write_bytes(encode_clip(drawn_clip(seed)))
    return paths


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 pixels in decibels, over everything given; infinite where they are equal."""
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def worse(path, corrupt, spec=SPEC, **options):
    return read_views(path, dataclasses.replace(spec, corrupt=corrupt), **options)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_severity_is_further_from_the_clean_clip(name, videos):
    clean = np.stack([read_views(path, SPEC).pixels for path in videos])
    found = [np.stack([worse(path, f"{name}:{severity}").pixels for path in videos]) for severity in SEVERITIES]
    ratios = [psnr(clean, pixels) for pixels in found]
    assert all(a > b for a, b in itertools.pairwise(ratios)), ratios
    assert 50 > ratios[0] > ratios[-1] > 5


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_video_is_corrupted_by_its_name_whatever_reads_it(name, videos, tmp_path):
    spec = dataclasses.replace(SPEC, corrupt=f"{name}:3")
    here, again = read_views(videos[1], spec), read_views(videos[1], spec)
    assert np.array_equal(here.pixels, again.pixels)
    assert here.pixels.shape == (1, 9, 80, 110, 3)
    renamed = tmp_path / "other.mp4"
    renamed.write_bytes(videos[1].read_bytes())
    by_chance = name in ("gaussian-noise", "motion-blur", "low-light", "packet-loss", "frame-drop")
    assert np.array_equal(read_views(renamed, spec).pixels, here.pixels) != by_chance


def test_a_worker_makes_the_same_pixels(videos):
    for corrupt in ("gaussian-noise:2", "packet-loss:4"):
        spec = dataclasses.replace(SPEC, corrupt=corrupt)
        with ViewReader(videos[0].parent, spec, num_workers=1) as reader:
            ((_, there),) = reader.stream([(0, VideoRecord("a", videos[0].name))])
        assert np.array_equal(there.pixels, read_views(videos[0], spec).pixels)


def test_the_same_frame_gets_the_same_noise_whichever_frames_stand_beside_it():
    frames = drawn_clip(0, num_frames=7)
    all_of_them = corrupted(frames, np.arange(7), "gaussian-noise:3", seed=5)
    some = corrupted(frames[[2, 5]], np.array([2, 5]), "gaussian-noise:3", seed=5)
    assert np.array_equal(some, all_of_them[[2, 5]])
    assert not np.array_equal(all_of_them[0] - frames[0], all_of_them[1] - frames[1])


def test_corrupted_views_are_not_kept_on_the_disk_and_clean_ones_not_taken_for_them(videos, tmp_path):
    cache = ClipCache(tmp_path / "clips")
    clean = read_views(videos[0], SPEC, cache=cache).pixels
    noisy = worse(videos[0], "gaussian-noise:5", cache=cache).pixels
    assert len(cache.entries()) == 1
    assert psnr(clean, noisy) < 15
    assert np.array_equal(read_views(videos[0], SPEC, cache=cache).pixels, clean)


@pytest.mark.parametrize("name", ["frame-drop", "frame-rate"])
def test_lost_frames_leave_an_earlier_one_on_screen_and_stay_lost(name, tmp_path):
    path = write_numbered(tmp_path / "counted.mp4", 60)
    spec = InputSpec(60, None, (120, 160), (120, 160), HALF, HALF, sampling="uniform")
    before = np.arange(60)
    for severity in SEVERITIES:
        views = worse(path, f"{name}:{severity}", spec)
        shown = read_numbers(views.pixels[0])
        assert np.array_equal(shown, views.indices[0])
        assert shown[0] == 0
        assert (shown <= np.arange(60)).all()
        assert (np.diff(shown) >= 0).all()
        assert set(shown) <= set(before)
        before = shown
    assert 2 <= len(set(before)) < 25


def test_the_share_of_lost_frames_is_the_one_that_is_said():
    pts_s, indices = np.arange(2000) / 25, np.arange(2000)
    for severity, share in enumerate(STRENGTHS["frame-drop"], start=1):
        lost = np.mean(
            [lost_frames(indices, pts_s, 25.0, f"frame-drop:{severity}", seed) != indices for seed in TRIALS]
        )
        assert abs(lost - share) < 0.02  # sd 0.005 of 12,000 frames


def test_frames_through_an_encoder_stay_in_their_places(tmp_path):
    path = write_numbered(tmp_path / "counted.mp4", 50)
    spec = InputSpec(8, None, (120, 160), (120, 160), HALF, HALF, sampling="uniform", num_clips=2)
    views = worse(path, "h264:2", spec)
    assert np.array_equal([read_numbers(view) for view in views.pixels], views.indices)


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("size", [(31, 45), (16, 16)])
def test_odd_sizes_and_single_frames_pass_the_encoder(name, size):
    for num_frames in (1, 6):
        frames = drawn_clip(3, num_frames, *size)
        found = corrupted(frames, np.arange(num_frames), f"{name}:1", seed=1)
        assert found.shape == frames.shape
        assert psnr(found, frames) > 15


def test_a_frame_of_which_nothing_arrives_does_not_end_the_stream(monkeypatch):
    frames = drawn_clip(2, 40)
    monkeypatch.setitem(STRENGTHS, "packet-loss", (0.7,) * 5)  # all four slices of every fourth frame
    found = corrupted(frames, np.arange(40), "packet-loss:1", seed=3)
    assert psnr(found[0], frames[0]) > 28
    assert any((a == b).all() for a, b in itertools.pairwise(found))
    assert not (found[-1] == found[20]).all()
    monkeypatch.setitem(STRENGTHS, "packet-loss", (1.0,) * 5)
    assert (corrupted(frames, np.arange(40), "packet-loss:1", seed=3) == found[0]).all()


def test_a_long_video_is_read_in_pieces_with_the_same_result(videos, monkeypatch):
    whole = worse(videos[2], "h264:3").pixels
    monkeypatch.setattr("vidbench.data.load.PIECES_OF_LIMIT", 2048 * 2**20 // (5 * 100 * 132 * 3))
    assert np.array_equal(worse(videos[2], "h264:3").pixels, whole)


def test_a_stroke_has_its_length_its_direction_and_all_the_light():
    for length in (1.0, 3.5, 9.0):
        for angle in (0.0, 0.7, np.pi / 2):
            kernel = stroke(length, angle)
            rows, columns = np.mgrid[0 : len(kernel), 0 : len(kernel)] - len(kernel) // 2
            assert kernel.sum() == pytest.approx(1, abs=1e-5)
            along = columns * np.cos(angle) + rows * np.sin(angle)
            across = -columns * np.sin(angle) + rows * np.cos(angle)
            assert (kernel * along).sum() == pytest.approx(0, abs=1e-4)
            assert np.sqrt(12 * (kernel * along**2).sum()) == pytest.approx(length, abs=0.9)
            assert (kernel * across**2).sum() < 0.3


def test_contrast_keeps_the_mean_and_darkness_the_order_of_brightness():
    frames = drawn_clip(4, 3)
    flat = corrupted(frames, np.arange(3), "contrast:5", seed=0)
    assert np.abs(flat.mean((1, 2, 3)) - frames.mean((1, 2, 3))).max() < 1
    assert flat.std() < 0.1 * frames.std()
    dark = corrupted(frames, np.arange(3), "low-light:5", seed=0)
    assert dark.mean() < 0.5 * frames.mean()
    assert np.corrcoef(dark.ravel(), frames.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("value", ["h264", "h264:0", "h264:6", "h264:1.5", "h265:1", ":3", "", None, 4, "h264:3:1"])
def test_a_corruption_that_does_not_exist_is_refused(value):
    with pytest.raises(ConfigError, match=r"must be NAME:SEVERITY, .* gaussian-noise"):
        parse_corrupt(value)


def test_the_flag_says_what_can_be_given_in_one_sentence(capsys):
    with pytest.raises(SystemExit) as leaving:
        EVALUATE.parse_or_exit(["--model", "mini2d", "--dataset", "vidmini", "--corrupt", "h246:3"])
    said = capsys.readouterr().err
    assert leaving.value.code == 2
    assert "--corrupt must be NAME:SEVERITY" in said
    assert "Did you mean 'h264'?" in said
