"""A folder of numbered pictures is a video like any other: same frames, same answers, same honesty about damage."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidbench.data import pictures
from vidbench.data.cache import ClipCache
from vidbench.data.check import check_videos, make_ledger
from vidbench.data.decode import Limits, open_video, packet_table, probe, read_clip, read_header
from vidbench.data.index import load_records
from vidbench.data.load import ViewReader, read_views
from vidbench.data.pictures import frame_rate, is_picture, read_series, video_stamp
from vidbench.data.survey import probe_all, survey
from vidbench.records import InputSpec, UnreadableVideo, VideoRecord

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "data" / "vidmini" / "videos" / "SitDown" / "v_SitDown_g01_c01.mp4"


def frames(number: int, height: int = 18, width: int = 26, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, height, width, 3), dtype=np.uint8)


def write_frames(folder: Path, many, name: str = "img_{:05d}.png", first: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(many, first):
        Image.fromarray(frame).save(folder / name.format(number))
    return folder


# ---------------------------------------------------------------- which pictures, in which order


def test_pictures_come_by_their_numbers_not_by_their_names(tmp_path):
    many = frames(13)
    for name in ("{}.png", "frame{:02d}.PNG", "a b [1]_{:d}.bmp", "é-{}.png"):
        folder = write_frames(tmp_path / name.replace("{", "").replace("}", ""), many, name)
        clip = read_clip(folder, np.arange(13))
        np.testing.assert_array_equal(clip.frames, many)
        assert (clip.status, clip.info.num_frames, clip.info.width, clip.info.height) == ("ok", 13, 26, 18)


def test_other_files_and_flow_beside_the_pictures_are_left_out(tmp_path):
    folder = write_frames(tmp_path / "video", frames(4))
    write_frames(folder, frames(4, seed=1), "flow_x_{:05d}.png")
    write_frames(folder, frames(4, seed=2), "y_{:05d}.png")
    (folder / "labels.json").write_text("{}")
    (folder / ".img_00009.png").write_bytes(b"x")
    (folder / "img_00077.png").mkdir()
    os.mkfifo(folder / "img_00088.png")
    assert read_series(folder).names == tuple(f"img_0000{n}.png" for n in (1, 2, 3, 4))


@pytest.mark.parametrize(
    ("names", "status", "words"),
    [
        (["a.txt"], "not_regular", "without numbered pictures"),
        ([], "not_regular", "without numbered pictures"),
        (["a_1.png", "b_1.png"], "not_media", "2 series of pictures"),
        (["1.png", "01.png"], "not_media", "two pictures have one number"),
        (["a1.png", "a1.jpg"], "not_media", "two pictures have one number"),
    ],
)
def test_a_folder_that_is_no_video_says_why(tmp_path, names, status, words):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnreadableVideo, match=words) as caught:
        read_clip(tmp_path, [0])
    assert caught.value.status == status


def test_missing_numbers_make_a_video_partial(tmp_path):
    folder = write_frames(tmp_path, frames(9), first=3)
    assert probe(folder).num_frames == 9
    (folder / "img_00005.png").unlink()
    clip = read_clip(folder, [0, 7])
    assert clip.status == "partial"
    assert clip.reason == "1 of the numbers 3 to 11 have no picture"
    np.testing.assert_array_equal(clip.frames, frames(9)[[0, 8]])


@pytest.mark.parametrize(
    ("name", "good"), [("img_00001.jpg", 1), ("7.PNG", 1), ("img_1.txt", 0), ("img.png", 0), ("._1.png", 0)]
)
def test_a_picture_is_told_by_its_name(name, good):
    assert is_picture(name) == bool(good)


# ---------------------------------------------------------------- times


def test_the_rate_is_25_unless_a_file_in_reach_says_otherwise(tmp_path):
    folder = write_frames(tmp_path / "root" / "videos" / "class" / "v1", frames(5))
    assert frame_rate(folder) is None
    assert probe(folder).frame_rate == 25.0
    (tmp_path / "root" / "frame_rate.txt").write_text("12.5\n")
    clip = read_clip(folder, [0, 4])
    assert clip.info.frame_rate == 12.5
    np.testing.assert_allclose(clip.pts_s, [0, 0.32])
    (folder / "frame_rate.txt").write_text("30")
    assert read_header(folder).frame_rate == 30.0


@pytest.mark.parametrize("text", ["", "fast", "0", "nan", "1e9", "-5", "25" * 100])
def test_a_rate_that_is_none_is_said(tmp_path, text):
    folder = write_frames(tmp_path / "v", frames(2))
    (folder / "frame_rate.txt").write_text(text)
    with pytest.raises(UnreadableVideo, match=r"frame_rate\.txt does not hold"):
        probe(folder)


# ---------------------------------------------------------------- damage


@pytest.fixture
def damaged(tmp_path):
    """Nine pictures; the fourth is cut, the seventh is text."""
    folder = write_frames(tmp_path / "damaged", frames(9, 40, 60), "img_{:03d}.jpg")
    cut = (folder / "img_004.jpg").read_bytes()
    (folder / "img_004.jpg").write_bytes(cut[: len(cut) // 2])
    (folder / "img_007.jpg").write_text("no picture")
    return folder


def test_pictures_that_cannot_be_decoded_are_left_out_and_counted(damaged):
    with open_video(damaged) as video:
        assert (video.status, video.read([0, 1]).status) == ("ok", "ok")  # as far as it was looked at
        clip = video.read(lambda table: np.arange(table.num_frames))
    assert clip.frames.shape == (7, 40, 60, 3)
    assert (clip.status, clip.reason) == ("partial", "2 of 9 pictures cannot be decoded")
    whole = [n for n in range(1, 10) if n not in (4, 7)]
    for frame, number in zip(clip.frames, whole, strict=True):
        np.testing.assert_array_equal(frame, np.asarray(Image.open(damaged / f"img_{number:03d}.jpg")))


def test_a_full_look_finds_damage_in_pictures_that_nobody_asked_for(damaged):
    with open_video(damaged) as video:
        video.decode_all()
        assert video.status == "partial"


def test_a_damaged_first_picture_does_not_decide(damaged):
    (damaged / "img_001.jpg").write_bytes(b"\xff\xd8\xff")
    assert probe(damaged).num_frames == 6


def test_pictures_of_two_sizes_are_no_video(tmp_path):
    folder = write_frames(tmp_path, [*frames(3), *frames(1, 20, 26)])
    with pytest.raises(UnreadableVideo, match="from 26x18 to 26x20"):
        read_clip(folder, [0, 3])


def test_nothing_but_damage_and_pictures_over_the_limits_are_refused(tmp_path):
    (tmp_path / "a1.png").write_text("no")
    with pytest.raises(UnreadableVideo, match="none of its pictures") as caught:
        probe(tmp_path)
    assert caught.value.status == "no_frames"
    folder = write_frames(tmp_path / "large", frames(3))
    for limits, words in (
        (Limits(max_pixels=18 * 26 - 1), "over the limit of 467 pixels"),
        (Limits(max_frames=2), "limit of 2 frames"),
        (Limits(seconds=1e-9), "not read within"),
    ):
        with pytest.raises(UnreadableVideo, match=words):
            read_clip(folder, [0, 1, 2], limits=limits)


def test_a_huge_header_is_refused_before_memory_is_taken(tmp_path):
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "1.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(UnreadableVideo) as caught:
        probe(tmp_path, limits=Limits(max_pixels=10**6))
    assert caught.value.status in ("too_large", "no_frames")


def test_grey_palette_and_transparent_pictures_are_rgb_and_16_bits_are_refused(tmp_path):
    picture = Image.fromarray(frames(1)[0])
    for mode in ("L", "P", "RGBA", "1"):
        folder = tmp_path / mode
        folder.mkdir()
        picture.convert(mode).save(folder / "0.png")
        np.testing.assert_array_equal(
            read_clip(folder, [0]).frames[0], np.asarray(picture.convert(mode).convert("RGB"))
        )
    deep = tmp_path / "deep"
    deep.mkdir()
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)).save(deep / "0.png")
    with pytest.raises(UnreadableVideo, match="none of its pictures"):
        probe(deep)


def test_a_folder_has_no_packets(tmp_path):
    with pytest.raises(UnreadableVideo, match="a folder, not a file"):
        packet_table(write_frames(tmp_path, frames(2)))


# ---------------------------------------------------------------- everywhere else


def test_a_folder_of_a_video_s_pictures_gives_the_views_of_the_video(tmp_path):
    clip = read_clip(CLIP, lambda table: np.arange(table.num_frames))
    write_frames(tmp_path / "v", clip.frames)
    (tmp_path / "frame_rate.txt").write_text(f"{clip.info.frame_rate!r}")
    (tmp_path / "v.mp4").write_bytes(CLIP.read_bytes())
    spec = InputSpec(5, 9.0, 60, (50, 40), (0.0,) * 3, (1.0,) * 3, num_clips=2, num_crops=3)
    records = [(name, VideoRecord(name, name)) for name in ("v", "v.mp4")]
    for workers in (0, 1):
        with ViewReader(tmp_path, spec, num_workers=workers) as reader:
            (_, one), (_, other) = reader.stream(records)
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_clip_cache_lets_folders_pass(tmp_path):
    folder = write_frames(tmp_path / "v", frames(6))
    spec = InputSpec(3, None, 12, (10, 8), (0.0,) * 3, (1.0,) * 3, sampling="uniform")
    cache = ClipCache(tmp_path / "cache")
    first, again = (read_views(folder, spec, cache=cache) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not (tmp_path / "cache").exists()


def test_an_evaluation_of_pictures_is_that_of_the_videos(tmp_path):
    from test_evaluate import bytes_of, config, rows_of

    from vidbench.evaluate import evaluate
    from vidbench.records import RunError

    for source in sorted((ROOT / "data" / "vidmini" / "videos").glob("*/*g02_c01.mp4"))[::4]:
        clip = read_clip(source, lambda table: np.arange(table.num_frames))
        write_frames(tmp_path / "pictures" / source.parent.name / source.stem, clip.frames, "{:06d}.png")
        (tmp_path / "videos" / source.parent.name).mkdir(parents=True)
        (tmp_path / "videos" / source.parent.name / source.name).write_bytes(source.read_bytes())
    asked = {"dataset": "folder", "label_map": "names", "limit": None, "top_n": 2}
    asked = {
        what: config(tmp_path, **asked, data_dir=str(tmp_path / what), run_name=what) for what in ("pictures", "videos")
    }
    folders = {what: evaluate(options).run_folder for what, options in asked.items()}
    assert bytes_of(folders["pictures"])["logits.npy"] == bytes_of(folders["videos"])["logits.npy"]
    rows = {what: rows_of(folder) for what, folder in folders.items()}
    for one, other in zip(rows["pictures"], rows["videos"], strict=True):
        assert (one["video_id"], one["top"], one["num_frames"]) == (
            other["video_id"],
            other["top"],
            other["num_frames"],
        )
        pictures = tmp_path / "pictures" / one["path"]
        assert one["file_size"] == sum(path.stat().st_size for path in pictures.iterdir())
    victim = pictures / "000001.png"
    victim.write_bytes(victim.read_bytes() + b"\0")
    with pytest.raises(RunError, match="has changed since its row was made"):
        evaluate(asked["pictures"])


def test_a_check_and_a_survey_read_folders_and_notice_changes(damaged, tmp_path):
    root = damaged.parent
    write_frames(root / "good", frames(6))
    listed = [VideoRecord(name, name) for name in ("damaged", "good")]
    journal = tmp_path / "kept.jsonl"
    states = [e.state for e in make_ledger(check_videos(listed, root, depth="full", num_workers=0, journal=journal))]
    assert states == ["truncated", "ok"]
    assert [(p.status, p.header.num_frames) for p in probe_all(listed, root, num_workers=0)] == [("ok", 9), ("ok", 6)]
    assert [look.info.num_frames for look in survey(listed, root, num_workers=0)] == [9, 6]
    before = video_stamp(root / "good")
    (root / "good" / "img_00003.png").write_text("no picture")
    assert video_stamp(root / "good") != before
    again = make_ledger(check_videos(listed, root, depth="full", num_workers=0, journal=journal))
    assert [entry.state for entry in again] == ["truncated", "truncated"]


def test_stamps_of_what_is_no_video_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    for name in ("pipe", "empty", "nowhere", "a\0b"):
        assert video_stamp(os.path.join(tmp_path, name)) == (-1, -1)


# ---------------------------------------------------------------- lists


def test_every_layout_finds_folders_of_pictures(tmp_path):
    folder = write_frames(tmp_path / "folder" / "jump" / "v1", frames(3))
    write_frames(folder.parent / "v 2 [x]", frames(3))
    assert [r.video_id for r in load_records("folder", tmp_path / "folder", "test")] == ["jump/v 2 [x]", "jump/v1"]

    write_frames(tmp_path / "k" / "val" / "x" / "-bcdefghijk_000001_000011", frames(2))
    (tmp_path / "k" / "val.csv").write_text("label,youtube_id,time_start,time_end\nzumba,-bcdefghijk,1,11\n")
    (record,) = load_records("kinetics400", tmp_path / "k", "val")
    assert (record.status, record.path) == ("ok", "val/x/-bcdefghijk_000001_000011")

    write_frames(tmp_path / "s" / "20bn-something-something-v2" / "123", frames(2))
    (tmp_path / "s" / "validation.json").write_text(json.dumps([{"id": "123", "template": "Holding [something]"}]))
    (record,) = load_records("ssv2", tmp_path / "s", "val")
    assert (record.status, record.path) == ("ok", "20bn-something-something-v2/123")


@pytest.mark.parametrize("folder", ["jpegs_256", "UCF-101/HandstandPushups", "HandstandPushups"])
@pytest.mark.parametrize("spelt", ["v_HandStandPushups_g01_c02", "v_HandstandPushups_g01_c02"])
def test_ucf101_finds_its_videos_as_pictures(tmp_path, folder, spelt):
    if folder != "jpegs_256":
        spelt = "v_HandStandPushups_g01_c02"
    write_frames(tmp_path / folder / spelt, frames(2), "frame{:06d}.jpg")
    (tmp_path / "testlist01.txt").write_text("HandstandPushups/v_HandStandPushups_g01_c02.avi\r\n")
    (record,) = load_records("ucf101", tmp_path, "test")
    assert (record.status, record.path, record.video_id) == ("ok", f"{folder}/{spelt}", "v_HandStandPushups_g01_c02")
    assert (record.label, record.group) == ("HandstandPushups", "HandstandPushups/v_HandStandPushups_g01")


def test_a_list_of_folders_may_give_their_number_of_pictures_or_first_and_last(tmp_path):
    for name, number in (("a/1", 3), ("a/2 x", 4), ("b/1", 5)):
        write_frames(tmp_path / name, frames(number))
    (tmp_path / "list.txt").write_text("a/1 3 0\na/2 x 4 0\nb/1 5 1\n")
    by_number = load_records("csv", tmp_path, "test")
    assert [(r.path, r.label, r.status) for r in by_number] == [
        ("a/1", "0", "ok"),
        ("a/2 x", "0", "ok"),
        ("b/1", "1", "ok"),
    ]
    (tmp_path / "list.txt").write_text("a/1 1 3 0\na/2 x 1 4 0\nb/1 1 5 1\n")
    assert load_records("csv", tmp_path, "test") == by_number
    (tmp_path / "list.txt").write_text("a/1 1 3 0\na/2 x 2 4 0\nc/1 1 5 1\n")
    records = load_records("csv", tmp_path, "test")
    assert [r.status for r in records] == ["ok", "bad_row", "missing"]
    assert "pictures 2 to 4 of 1 to 4; only whole folders are read" in records[1].reason


@pytest.mark.shared
def test_real_folders_of_pictures_are_read_from_their_list(shared_dir):
    root = shared_dir / "data" / "frames_folder"
    records = load_records("csv", root, "test", annotations=root / "annotations.txt")
    places = [("jumping/0001", "0"), ("jumping/0002", "0"), ("running/0001", "1"), ("running/0002", "1")]
    assert [(r.path, r.label) for r in records] == places
    assert {r.status for r in records} == {"ok"}
    assert [probe(root / r.path).num_frames for r in records] == [17, 18, 15, 15]


def test_more_levels_than_a_rate_may_lie_above_are_not_looked_at(tmp_path):
    folder = write_frames(tmp_path / "a" / "b" / "c" / "d", frames(1))
    (tmp_path / "frame_rate.txt").write_text("5")
    assert pictures.RATE_LEVELS == 3
    assert frame_rate(folder) is None
