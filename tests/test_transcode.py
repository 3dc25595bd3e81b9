"""Copies for browsers: the same pictures at the same times, whatever the file; one sentence where there are none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import read_barcode
from PIL import Image

from vidbench import transcode
from vidbench.data.decode import Limits, open_video, probe, read_clip
from vidbench.records import ConfigError, UnreadableVideo
from vidbench.transcode import playable, walk

REFUSED = {
    "xvid.avi": ({"codec": "mpeg4"}, "do not open AVI files"),
    "mpeg4.mp4": ({"codec": "mpeg4"}, "not every browser decodes mpeg4"),
    "h265.mp4": ({"codec": "libx265"}, "not every browser decodes hevc"),
    "ten_bits.mp4": ({"pix_fmt": "yuv420p10le"}, "pixel format yuv420p10le"),
    "all_colours.mp4": ({"pix_fmt": "yuv444p", "width": 129, "height": 97}, "pixel format yuv444p"),
    "h264.mkv": ({}, "do not open Matroska files"),
    "quicktime.mov": ({}, "do not open QuickTime files"),
}


def opened(video: transcode.PlayableVideo, folder: Path) -> Path:
    """The copy as a file."""
    path = folder / "copy.mp4"
    path.write_bytes(video.data)
    return path


def frames_of(path: Path):
    with open_video(path) as video:
        return video.read(lambda table: range(table.num_frames))


@pytest.mark.parametrize("name", ["plain.mp4", "vp9.webm"])
def test_a_file_that_browsers_play_is_left_as_it_is(make_video, tmp_path, name):
    path = make_video(tmp_path / name, codec="libvpx-vp9" if name.endswith("webm") else "libx264")
    video = playable(path, cache_dir=tmp_path / "cache")
    assert video.data == path.read_bytes()
    assert video.made_because == ""
    assert video.uri.startswith(f"data:video/{path.suffix[1:]};base64,")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", REFUSED)
def test_a_copy_has_every_frame_at_its_time(make_video, tmp_path, name):
    options, why = REFUSED[name]
    source = make_video(tmp_path / name, num_frames=23, **options)
    video = playable(source, cache_dir=tmp_path / "cache")
    assert why in video.made_because
    copy, before = opened(video, tmp_path), frames_of(source)
    after = frames_of(copy)
    assert [read_barcode(frame) for frame in after.frames] == list(range(23))
    np.testing.assert_allclose(after.pts_s, before.pts_s, atol=1e-3)
    assert abs(after.frames.shape[1] - before.frames.shape[1]) <= 1
    height, width = before.frames.shape[1:3]
    colours = np.abs(after.frames[:, :height, :width].mean((1, 2)) - before.frames.mean((1, 2)))
    assert colours.max() < 3  # levels of 255: the right matrix and range
    assert playable(copy).made_because == ""


def test_a_copy_is_h264_with_its_index_in_front(make_video, tmp_path):
    video = playable(make_video(tmp_path / "x.avi", codec="mpeg4"), cache_dir=tmp_path / "cache")
    copy = opened(video, tmp_path)
    with av.open(str(copy)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert video.data.index(b"moov") < video.data.index(b"mdat")
    assert video.mime == "video/mp4"


def test_frames_that_come_at_uneven_times_keep_them(make_video, tmp_path):
    pts = [0, 40, 45, 200, 1000, 1001, 1900]
    source = make_video(
        tmp_path / "x.mkv", num_frames=7, pts=pts, time_base=Fraction(1, 1000), b_frames=0, frame_rate=25
    )
    after = frames_of(opened(playable(source, cache_dir=tmp_path / "cache"), tmp_path))
    np.testing.assert_allclose(after.pts_s, np.array(pts) / 1000, atol=1e-3)


def test_a_large_video_is_made_smaller_and_keeps_its_shape(make_video, tmp_path):
    source = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=4, width=1600, height=900)
    info = probe(opened(playable(source, cache_dir=tmp_path / "cache"), tmp_path))
    assert abs(info.height - 480) <= 1
    assert info.width / info.height == pytest.approx(1600 / 900, rel=0.01)


@pytest.mark.parametrize("size", [(3, 96), (129, 2), (128, 97)])
def test_odd_and_tiny_pictures_can_be_copied(make_video, tmp_path, size):
    source = make_video(tmp_path / "x.mkv", width=size[0], height=size[1], codec="ffv1", pix_fmt="bgr0", num_frames=3)
    info = probe(opened(playable(source, cache_dir=tmp_path / "cache"), tmp_path))
    assert (info.width, info.height, info.num_frames) == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)


def noise(number: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def test_the_copy_fits_into_the_size_asked_for(make_video, tmp_path):
    source = make_video(tmp_path / "x.mp4", num_frames=12, width=480, height=400, draw=noise)
    whole = playable(source, cache_dir=tmp_path / "cache", max_kb=10_000)
    assert whole.made_because == ""
    small = playable(source, cache_dir=tmp_path / "cache", max_kb=whole.kilobytes / 3)
    assert len(small.uri) <= 1000 * whole.kilobytes / 3
    assert small.kilobytes == pytest.approx(len(small.uri) / 1000, abs=0.1)
    assert "it is larger than" in small.made_because
    with pytest.raises(ConfigError, match=r"smallest copy for a browser takes \d+ kB.*pass a larger max_kb"):
        playable(source, cache_dir=tmp_path / "cache", max_kb=2)


# ---------------------------------------------------------------- the cache


def test_a_copy_is_made_once(make_video, tmp_path, monkeypatch):
    source = make_video(tmp_path / "x.avi", codec="mpeg4")
    first = playable(source, cache_dir=tmp_path / "cache")
    moved = source.rename(tmp_path / "another name.avi")
    monkeypatch.setattr(transcode.subprocess, "run", lambda *_, **__: pytest.fail("made again"))
    assert playable(moved, cache_dir=tmp_path / "cache").data == first.data


def test_another_video_or_another_rule_finds_no_copy_of_it(make_video, tmp_path, monkeypatch):
    source = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=5)
    playable(source, cache_dir=tmp_path / "cache")
    make_video(source, codec="mpeg4", num_frames=6)
    assert playable(source, cache_dir=tmp_path / "cache").info.num_frames == 6
    monkeypatch.setattr(transcode, "SIZES", ((40, 30),))
    playable(source, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(transcode, "_rules", lambda: "another rule")
    playable(source, cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.mp4"))) == 4


@pytest.mark.parametrize("damage", ["cut", "flip", "no hash"])
def test_a_damaged_copy_is_made_anew(make_video, tmp_path, damage):
    source = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=5)
    good = playable(source, cache_dir=tmp_path / "cache").data
    (stored,) = (tmp_path / "cache").rglob("*.mp4")
    if damage == "no hash":
        stored.with_suffix(".sha256").unlink()
    stored.write_bytes(good[:-50] if damage == "cut" else good[:-1] + bytes([good[-1] ^ 1]))
    assert playable(source, cache_dir=tmp_path / "cache").data == good
    assert stored.read_bytes() == good


def test_a_cache_that_cannot_be_written_costs_only_time(make_video, tmp_path):
    source = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=5)
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert playable(source, cache_dir=tmp_path / "cache").data[4:8] == b"ftyp"


def test_many_callers_at_once_get_the_same_whole_copy(make_video, tmp_path):
    source = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=8)
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: playable(source, cache_dir=tmp_path / "cache").data, range(4)))
    assert len(set(copies)) == 1
    left = [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert sorted(left) == [".mp4", ".sha256"]


# ---------------------------------------------------------------- what cannot be played


def test_a_bad_file_is_one_sentence(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 500)
    os.mkfifo(tmp_path / "pipe.mp4")
    wanted = {"empty.mp4": "empty", "text.mp4": "not_media", "pipe.mp4": "not_regular", "gone.mp4": "missing"}
    for name, status in wanted.items():
        with pytest.raises(UnreadableVideo) as caught:
            playable(tmp_path / name, cache_dir=tmp_path / "cache")
        assert caught.value.status == status, name
        assert "\n" not in str(caught.value)


def test_a_folder_of_pictures_is_refused_in_one_sentence(tmp_path):
    for number in range(1, 6):
        Image.fromarray(np.full((24, 32, 3), 20 * number, np.uint8)).save(tmp_path / f"img_{number:05d}.jpg")
    with pytest.raises(UnreadableVideo, match="not_regular: a folder, not a file"):
        playable(tmp_path, cache_dir=tmp_path / "cache")


def test_a_damaged_video_is_copied_as_far_as_it_goes(make_video, tmp_path):
    whole = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=40)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 4 // 5])
    video = playable(cut, cache_dir=tmp_path / "cache")
    assert "the file ends" in video.problem
    shown = [read_barcode(frame) for frame in frames_of(opened(video, tmp_path)).frames]
    assert shown == [read_barcode(frame) for frame in frames_of(cut).frames]
    assert 5 < len(shown) < 40


def program(folder: Path, words: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name != "posix", reason="needs a shell script as the interpreter")
@pytest.mark.parametrize(("words", "status"), [("kill -SEGV $$", "worker_crash"), ("exec sleep 60", "timeout")])
def test_a_process_that_dies_or_hangs_costs_one_sentence(make_video, tmp_path, monkeypatch, words, status):
    source = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=5)
    monkeypatch.setattr(sys, "executable", program(tmp_path, words))
    monkeypatch.setattr(transcode, "START_S", 0.2)
    with pytest.raises(UnreadableVideo) as caught:
        playable(source, cache_dir=tmp_path / "cache", limits=Limits(seconds=2))
    assert caught.value.status == status


@pytest.mark.skipif(os.name != "posix", reason="needs an interval timer")
def test_a_process_whose_kernel_is_gone_ends_by_itself(make_video, tmp_path):
    source = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=5)
    hang = "import sys, runpy, time; sys.argv = sys.argv[1:]; import vidbench.data.decode as d\n"
    hang += "d.check_file = lambda path: time.sleep(60)\n"
    hang += "sys.modules.pop('vidbench.transcode', None); runpy.run_module('vidbench.transcode', run_name='__main__')"
    job = {"settings": {"short_side": 80, "crf": 30}, "limits": {"seconds": 1.5 - 2 * transcode.START_S}}
    words = [sys.executable, "-c", hang, "transcode", str(source), str(tmp_path / "copy.mp4"), json.dumps(job)]
    done = subprocess.run(words, capture_output=True, timeout=40)
    assert done.returncode == -signal.SIGALRM, done.stderr


def test_what_goes_wrong_in_the_process_keeps_its_words(make_video, tmp_path):
    source = make_video(tmp_path / "x.avi", codec="mpeg4", num_frames=5)
    with pytest.raises(UnreadableVideo, match="over the limit") as caught:
        transcode._make_apart(source, {"short_side": 100, "crf": 30}, Limits(max_pixels=100))
    assert caught.value.status == "too_large"


def test_walking_gives_every_nth_frame_in_pieces(make_video, tmp_path, monkeypatch):
    source = make_video(tmp_path / "x.mp4", num_frames=31)
    monkeypatch.setattr(transcode, "CHUNK_BYTES", 3 * 128 * 96 * 3)  # three frames at a time
    with open_video(source) as video:
        found = list(walk(video, step=4))
    clip = read_clip(source, range(0, 31, 4))
    assert [index for index, _, _ in found] == clip.indices.tolist()
    np.testing.assert_array_equal([pixels for _, pixels, _ in found], clip.frames)
    np.testing.assert_allclose([time for _, _, time in found], clip.pts_s)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("pattern", "copied"),
    [
        ("ucf101/UCF-101/*/v_*_g01_c01.avi", True),
        ("hmdb51/hmdb51_org/*/*.avi", True),
        ("kinetics400/val/*/*.mp4", False),
        ("odd/h265_video.mp4", True),
        ("odd/av1_video.mkv", True),
        ("odd/nasa_13013_rotated.mp4", True),
    ],
)
def test_real_clips_get_a_copy_where_they_need_one(shared_dir, tmp_path, pattern, copied):
    paths = sorted((shared_dir / "data").glob(pattern))[:2]
    assert paths
    for path in paths:
        video = playable(path, cache_dir=tmp_path / "cache")
        assert bool(video.made_because) == copied, path.name
        if copied:
            again = probe(opened(video, tmp_path))
            assert again.num_frames == video.info.num_frames
            assert again.duration_s == pytest.approx(video.info.duration_s, abs=0.1)
