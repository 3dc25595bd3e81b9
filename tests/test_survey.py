"""One look at every listed video, and which of them show the same."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from vidbench.data import survey as module
from vidbench.data.mini import draw_clip, encode_clip
from vidbench.data.process import resize
from vidbench.data.survey import Look, equal_files, look_alikes, picture_code, probe_all, same_bytes, survey
from vidbench.records import VideoRecord


@pytest.fixture(scope="module")
def clips() -> dict[str, np.ndarray]:
    return {label: draw_clip(label, 2, seed=5) for label in ("SitDown", "PlayGuitar", "OpenDoor")}


@pytest.fixture(scope="module")
def folder(clips, tmp_path_factory):
    """Three clips with known facts, one of them at another rate, and one of each trouble."""
    root = tmp_path_factory.mktemp("survey")
    for name, frames in clips.items():
        (root / f"{name}.mp4").write_bytes(encode_clip(frames, frame_rate=15 if name == "OpenDoor" else 25))
    whole = (root / "SitDown.mp4").read_bytes()
    (root / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "empty.mp4").write_bytes(b"")
    (root / "page.mp4").write_text("<html>404 Not Found</html>")
    (root / "folder.mp4").mkdir()
    return root


def records(*names: str, **more) -> list[VideoRecord]:
    return [VideoRecord(name, f"{name}.mp4", "a", 0, "test", **more) for name in names]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_look_tells_the_facts_of_the_file_in_listed_order(folder, clips, num_workers):
    names = ["OpenDoor", "SitDown", "PlayGuitar"]
    looks = survey(records(*names), folder, num_workers=num_workers)
    assert [look.record.video_id for look in looks] == names
    for look in looks:
        frames = clips[look.record.video_id]
        rate = 15 if look.record.video_id == "OpenDoor" else 25
        facts = look.facts()
        assert look.status == "ok"
        assert facts["num_frames"] == len(frames)
        assert facts["frame_rate"] == pytest.approx(rate)
        assert facts["duration_s"] == pytest.approx(len(frames) / rate)
        assert (facts["height"], facts["width"], facts["codec"]) == (120, 160, "h264")
        assert look.file_size == (folder / look.record.path).stat().st_size


def test_the_thumbnail_is_the_frame_in_the_middle(folder, clips):
    (look,) = survey(records("PlayGuitar"), folder, num_workers=0)
    frames = clips["PlayGuitar"]
    distances = np.abs(resize(frames, (48, 72)).astype(int) - look.thumbnail).mean((1, 2, 3))
    assert abs(int(distances.argmin()) - len(frames) // 2) <= 1
    assert distances.min() < 6


def test_every_trouble_is_a_look_with_its_status(folder):
    listed = [*records("cut", "empty", "page", "folder", "nowhere"), VideoRecord("line 7", "", status="bad_row")]
    looks = survey(listed, folder, num_workers=0)
    statuses = [look.status for look in looks]
    assert statuses[1:] == ["empty", "not_media", "not_regular", "missing", "bad_row"]
    assert statuses[0] in ("partial", "not_media", "decode_error", "no_frames")
    assert all(look.reason for look in looks[:5])
    assert looks[1].facts()["num_frames"] is None
    assert set(looks[1].facts()) == set(looks[0].facts())
    assert looks[4].file_size == 0


def test_a_record_that_is_listed_as_missing_is_not_touched(folder):
    (look,) = survey(records("SitDown", status="missing", reason="not there"), folder, num_workers=0)
    assert (look.status, look.reason, look.file_size, look.thumbnail) == ("missing", "not there", 0, None)


def test_the_same_bytes_are_found_under_another_name(folder, tmp_path):
    for name, source in (("one", "SitDown"), ("two", "PlayGuitar"), ("three", "SitDown"), ("four", "OpenDoor")):
        shutil.copy(folder / f"{source}.mp4", tmp_path / f"{name}.mp4")
    data = bytearray((folder / "PlayGuitar.mp4").read_bytes())
    data[-1] ^= 1  # as long as "two", but not the same
    (tmp_path / "five.mp4").write_bytes(data)
    for name in ("six", "seven"):
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    looks = survey(records("one", "two", "three", "four", "five", "six", "seven"), tmp_path, num_workers=0)
    found = same_bytes(looks, tmp_path)
    assert [[look.record.video_id for look in group] for group in found] == [["one", "three"]]


def test_a_copy_encoded_again_smaller_and_darker_looks_alike_and_others_do_not(folder, clips, tmp_path):
    shutil.copy(folder / "SitDown.mp4", tmp_path / "first.mp4")
    darker = (resize(clips["SitDown"], (90, 120)) * 0.7).astype(np.uint8)
    (tmp_path / "again.mp4").write_bytes(encode_clip(darker, quantiser=36))
    for name in ("PlayGuitar", "OpenDoor"):
        shutil.copy(folder / f"{name}.mp4", tmp_path / f"{name}.mp4")
    looks = survey(records("PlayGuitar", "again", "OpenDoor", "first"), tmp_path, num_workers=0)
    pairs = look_alikes(looks)
    assert [(a.record.video_id, b.record.video_id) for a, b, _ in pairs] == [("again", "first")]


def look(name: str, picture) -> Look:
    return Look(VideoRecord(name, name), "ok", thumbnail=picture)


def test_look_alikes_agrees_with_comparing_bit_by_bit():
    rng = np.random.default_rng(3)
    base = rng.integers(0, 256, (6, 48, 72, 3), np.uint8)
    pictures = [
        np.clip(base[n % 6] + rng.normal(0, 200 * (n // 6), (48, 72, 3)), 0, 255).astype(np.uint8) for n in range(20)
    ]
    blocks = [np.kron(rng.integers(0, 256, (8, 9)), np.ones((6, 8))).astype(np.uint8) for _ in range(4)]
    pictures += [np.repeat(block[..., None], 3, -1) for block in blocks]
    looks = [look(str(n), picture) for n, picture in enumerate(pictures)]
    codes = {n: picture_code(picture) for n, picture in enumerate(pictures)}
    expected = {
        (str(a), str(b), int((codes[a] != codes[b]).sum()))
        for a in codes
        for b in codes
        if a < b and codes[a] is not None and codes[b] is not None
    }
    found = look_alikes(looks, 64)
    assert {(a.record.video_id, b.record.video_id, bits) for a, b, bits in found} == expected
    assert len(expected) > 10
    assert [bits for *_, bits in found] == sorted(bits for *_, bits in found)
    assert len(look_alikes(looks, 20)) == sum(bits <= 20 for *_, bits in expected)


def test_flat_and_missing_pictures_are_like_nothing():
    black = np.zeros((48, 72, 3), np.uint8)
    assert picture_code(black) is None
    assert look_alikes([look("a", black), look("b", black), look("c", None)]) == []
    assert look_alikes([]) == []


def test_a_picture_code_needs_whole_blocks():
    with pytest.raises(ValueError, match="height of 8 n and a width of 9 n"):
        picture_code(np.zeros((48, 64, 3), np.uint8))


def test_the_look_has_whole_blocks():
    assert module.LOOK.crop[0] % 8 == 0
    assert module.LOOK.crop[1] % 9 == 0


def test_real_clips_of_one_source_look_more_alike_than_others(shared_dir):
    from vidbench.data.index import load_records

    root = shared_dir / "data" / "ucf101"
    listed = load_records("ucf101", root, "train", classes=["PushUps"], present_only=True)
    pairs = look_alikes(survey(listed, root), 5)
    assert pairs
    assert all(a.record.group == b.record.group for a, b, _ in pairs)


# --- headers only


@pytest.mark.parametrize("num_workers", [0, 2])
def test_headers_of_whole_files_agree_with_what_is_counted(folder, num_workers):
    listed = records("OpenDoor", "SitDown", "PlayGuitar")
    probes = probe_all(listed, folder, num_workers=num_workers)
    names = ("num_frames", "frame_rate", "duration_s", "width", "height", "codec")
    for probe, look in zip(probes, survey(listed, folder, num_workers=0), strict=True):
        assert probe.record is look.record
        told, counted = probe.facts(), look.facts()
        assert [told[name] for name in names] == [pytest.approx(counted[name]) for name in names]
        assert told["file_size"] == counted["file_size"]


def test_what_has_no_header_is_a_probe_with_its_status(folder):
    listed = [*records("empty", "page", "folder", "nowhere"), VideoRecord("line 7", "", status="bad_row", reason="x")]
    probes = probe_all(listed, folder, num_workers=0)
    assert [probe.status for probe in probes] == ["empty", "not_media", "not_regular", "missing", "bad_row"]
    assert all(probe.reason for probe in probes)
    assert probes[0].facts()["num_frames"] is None
    assert set(probes[0].facts()) == set(probe_all(records("SitDown"), folder, num_workers=0)[0].facts())


def test_a_file_listed_twice_is_read_once_and_told_twice(folder, monkeypatch):
    read = []
    original = module.read_header
    monkeypatch.setattr(module, "read_header", lambda path, **more: read.append(path) or original(path, **more))
    probes = probe_all([*records("SitDown"), *records("SitDown")], folder, num_workers=0)
    assert [probe.status for probe in probes] == ["ok", "ok"]
    assert len(read) == 1


def test_a_cached_header_is_read_again_only_after_a_change(clips, tmp_path, monkeypatch):
    for name in ("SitDown", "PlayGuitar"):
        (tmp_path / f"{name}.mp4").write_bytes(encode_clip(clips[name]))
    listed, cache = records("SitDown", "PlayGuitar"), tmp_path / "notes" / "headers.jsonl"
    first = probe_all(listed, tmp_path, num_workers=0, cache=cache)
    read = []
    original = module.read_header
    monkeypatch.setattr(module, "read_header", lambda path, **more: read.append(path) or original(path, **more))
    assert probe_all(listed, tmp_path, num_workers=0, cache=cache) == first
    assert read == []
    (tmp_path / "SitDown.mp4").write_bytes(b"")
    again = probe_all(listed, tmp_path, num_workers=0, cache=cache)
    assert [probe.status for probe in again] == ["empty", "ok"]
    assert len(read) == 1


def test_equal_files_are_told_by_their_place(tmp_path):
    contents = [b"one", b"two", b"one", b"", b"", b"two", b"longer"]
    paths = [tmp_path / str(number) for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    found = equal_files([*paths, tmp_path, tmp_path / "nowhere"])
    assert sorted(places for _, places in found) == [[0, 2], [1, 5]]
    assert {size for size, _ in found} == {3}
