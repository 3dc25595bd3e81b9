"""Each listed video in exactly one state, and nothing shared between splits goes unseen."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vidbench.arguments import CheckConfig
from vidbench.data import findings as module
from vidbench.data.check import (
    STATES,
    Finding,
    Part,
    accuracy_bounds,
    by_class,
    check,
    check_videos,
    count_states,
    describe_leaks,
    describe_ledger,
    find_leaks,
    make_ledger,
    picture_hash,
    shared_bytes,
    shared_pictures,
    write_leaks,
    write_ledger,
)
from vidbench.data.mini import draw_clip, encode_clip
from vidbench.data.process import resize
from vidbench.records import STATUSES, ConfigError, RunError, VideoInfo, VideoRecord

ROOT = Path(__file__).resolve().parents[1]


def record(name: str, label="run", split="test", group="", **more) -> VideoRecord:
    return VideoRecord(name, f"{name}.mp4", label, 0, split, group, **more)


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    from vidbench.data.classes import load_labels

    return {label: draw_clip(label, 2, seed=5) for label in load_labels("vidmini")[:4]}


@pytest.fixture(scope="module")
def folder(drawn, tmp_path_factory):
    """Whole clips, and one of each trouble."""
    root = tmp_path_factory.mktemp("check")
    for number, frames in enumerate(drawn.values()):
        (root / f"whole{number}.mp4").write_bytes(encode_clip(frames))
    (root / "short.mp4").write_bytes(encode_clip(next(iter(drawn.values()))[:5]))
    whole = (root / "whole0.mp4").read_bytes()
    (root / "cut.mp4").write_bytes(cut(whole))
    (root / "empty.mp4").write_bytes(b"")
    (root / "page.mp4").write_text("<html>404 Not Found</html>")
    return root


def cut(content: bytes) -> bytes:
    """A file whose index promises pictures that are not there any more: the last third of the pictures is gone."""
    start = content.index(b"mdat") + 4
    if content.index(b"moov") > start:  # the index comes last: blank the pictures instead
        end = content.index(b"moov") - 4
        hole = start + (end - start) * 2 // 3
        return content[:hole] + bytes(end - hole) + content[end:]
    return content[: start + (len(content) - start) * 2 // 3]


def test_every_trouble_ends_in_its_state(folder):
    listed = [
        *(record(name) for name in ("whole0", "cut", "short", "empty", "page", "nowhere")),
        record("gone", status="missing", reason="not there"),
        record("odd", label="?", status="unknown_label", reason="not a class"),
    ]
    ledger = make_ledger(check_videos(listed, folder, num_workers=0), min_frames=10)
    states = {entry.record.video_id: entry.state for entry in ledger}
    assert states.pop("cut") in ("truncated", "undecodable")
    assert states == {
        "whole0": "ok", "short": "too_short", "empty": "undecodable", "page": "undecodable", "nowhere": "not_there",
        "gone": "not_there", "odd": "unusable_entry",
    }  # fmt: skip
    assert all(entry.reason for entry in ledger if entry.state != "ok")
    assert [entry.record for entry in ledger] == listed


def test_every_status_has_one_state_and_counts_add_up():
    rng = np.random.default_rng(2)
    info = VideoInfo(20, 25.0, 0.8, 8, 6, "h264")
    findings = [
        Finding(record(str(n), label=f"class {n % 3}"), status, "why", info if status in ("ok", "partial") else None)
        for n, status in enumerate(rng.choice(list(STATUSES), 200))
    ]
    ledger = make_ledger(findings)
    counts = count_states(ledger)
    assert list(counts) == list(STATES)
    assert sum(counts.values()) == len(findings)
    rows = by_class(ledger)
    assert sum(row["listed"] for row in rows) == len(findings)
    for row in rows:
        assert sum(row[state] for state in STATES) == row["listed"]
    for state in STATES:
        assert sum(row[state] for row in rows) == counts[state]


def test_a_fetch_explains_only_files_that_are_not_there():
    findings = [Finding(record(name), "missing", "no file") for name in "abc"] + [Finding(record("d"), "empty", "x")]
    fetched = {"a": ("not_hosted", "no archive holds it"), "b": ("fetch_failed", "404"), "d": ("fetch_failed", "404")}
    ledger = make_ledger(findings, fetched=fetched)
    assert [entry.state for entry in ledger] == ["not_hosted", "fetch_failed", "not_there", "undecodable"]
    assert ledger[1].reason == "404"
    with pytest.raises(ValueError, match="no state that a fetch"):
        make_ledger(findings, fetched={"a": ("ok", "")})


def test_damage_between_the_looked_at_frames_needs_the_full_depth(make_video, tmp_path):
    from vidbench.data.decode import packet_table

    noise = np.random.default_rng(0).integers(0, 256, (60, 96, 128, 3), np.uint8)
    path = make_video(tmp_path / "a.mp4", num_frames=60, gop=6, b_frames=0, draw=lambda n, w, h: noise[n])
    content, sizes = bytearray(path.read_bytes()), packet_table(path).sizes
    place = content.index(b"mdat") + 4 + int(sizes[:14].sum())
    content[place + 60 : place + 160] = b"\x55" * 100
    path.write_bytes(content)
    found = {depth: check_videos([record("a")], tmp_path, depth=depth, num_workers=0)[0] for depth in module.DEPTHS}
    assert [found[depth].status for depth in ("container", "frames", "full")] == ["ok", "ok", "partial"]


def test_depths_and_codes_that_do_not_exist_are_refused(tmp_path):
    for depth, codes in (("deep", False), ("container", True)):
        with pytest.raises(ValueError, match="depth is one of container, frames, full"):
            check_videos([], tmp_path, depth=depth, codes=codes)


# --- resuming


class Reads:
    """Counts the videos that are opened, and stops the check after some."""

    def __init__(self, monkeypatch, most=10**9):
        self.names, self.most, self.original = [], most, module.open_video
        monkeypatch.setattr(module, "open_video", self)

    def __call__(self, path, **more):
        if len(self.names) == self.most:
            raise KeyboardInterrupt
        self.names.append(os.path.basename(path))
        return self.original(path, **more)


def test_a_stopped_check_goes_on_where_it_stopped_and_ends_the_same(folder, tmp_path, monkeypatch):
    listed = [record(name) for name in ("whole0", "whole1", "page", "whole2", "whole3")]
    fresh = check_videos(listed, folder, num_workers=0)
    journal = tmp_path / "files.jsonl"
    first = Reads(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        check_videos(listed, folder, num_workers=0, journal=journal)
    first.most = 10**9
    second = check_videos(listed, folder, num_workers=0, journal=journal)
    assert second == fresh
    assert first.names == [f"{r.video_id}.mp4" for r in listed]
    assert check_videos(listed, folder, num_workers=0, journal=journal) == fresh
    assert len(first.names) == 5


def test_a_deeper_check_counts_for_a_less_deep_one_but_not_the_other_way(folder, tmp_path, monkeypatch):
    journal, reads = tmp_path / "files.jsonl", Reads(monkeypatch)
    for depth, codes, expected in (
        ("frames", False, 1), ("container", False, 1), ("frames", True, 2), ("frames", False, 2),
        ("full", False, 3), ("frames", True, 4), ("full", True, 5), ("container", False, 5), ("frames", True, 5),
    ):  # fmt: skip
        (found,) = check_videos([record("whole0")], folder, depth=depth, codes=codes, num_workers=0, journal=journal)
        assert found.status == "ok"
        assert bool(found.codes) >= codes
        assert len(reads.names) == expected, (depth, codes)


def test_a_file_listed_twice_is_read_once(folder, monkeypatch):
    reads = Reads(monkeypatch)
    both = [record("whole0"), dataclasses.replace(record("whole0"), video_id="again")]
    found = check_videos(both, folder, num_workers=0)
    assert [f.record.video_id for f in found] == ["whole0", "again"]
    assert len(reads.names) == 1


def test_workers_find_the_same(folder):
    listed = [record(name) for name in ("whole0", "page", "cut", "empty", "whole1", "nowhere")]
    alone = check_videos(listed, folder, codes=True, num_workers=0)
    assert check_videos(listed, folder, codes=True, num_workers=2) == alone
    assert len(alone[0].codes) == 5


# --- what missing videos do to an accuracy


def test_bounds_are_the_least_and_the_most_that_the_unread_videos_allow():
    rng = np.random.default_rng(1)
    for _ in range(50):
        listed = int(rng.integers(1, 9))
        read = int(rng.integers(0, listed + 1))
        right = int(rng.integers(0, read + 1))
        fates = [right + sum(fate) for fate in itertools.product((0, 1), repeat=listed - read)]
        assert accuracy_bounds(right, read, listed) == (min(fates) / listed, max(fates) / listed)


@pytest.mark.parametrize("numbers", [(2, 1, 3), (1, 4, 3), (-1, 2, 3), (0, 0, 0)])
def test_counts_that_do_not_fit_have_no_bounds(numbers):
    with pytest.raises(ValueError, match="correct <= read <= listed"):
        accuracy_bounds(*numbers)


def test_the_words_of_a_ledger_give_counts_bounds_and_the_poorest_classes():
    info = VideoInfo(20, 25.0, 0.8, 8, 6, "h264")
    findings = [Finding(record(f"a{n}", "run"), "ok", info=info) for n in range(8)]
    findings += [Finding(record("b0", "jump"), "missing"), Finding(record("b1", "jump"), "partial", info=info)]
    words = describe_ledger(make_ledger(findings), num_correct=6)
    assert "10 videos: 8 ok, 1 truncated, 1 not there" in words
    assert "6 right answers over the 9 readable videos are 60.0 to 70.0 % over all 10" in words
    assert "1 of 2 lack videos: jump 1/2" in words
    assert describe_ledger(make_ledger(findings[:8])).count("\n") == 0


def test_tables_hold_every_video_once_and_broken_files_apart(folder, tmp_path):
    listed = [record(name) for name in ("whole0", "page", "empty", "nowhere")]
    paths = write_ledger(make_ledger(check_videos(listed, folder, num_workers=0)), tmp_path / "a" / "b")
    ledger, classes, broken = (list(csv.DictReader(path.open())) for path in paths)
    assert [row["video_id"] for row in ledger] == ["whole0", "page", "empty", "nowhere"]
    assert [row["video_id"] for row in broken] == ["page", "empty"]
    assert [(row["label"], row["listed"], row["ok"]) for row in classes] == [("run", "4", "1")]


# --- leaks


def part(name, records, root="", findings=(), names_mean="kinetics") -> Part:
    return Part(name, str(root), tuple(records), tuple(findings), names_mean)


def test_ids_and_sources_in_two_splits_are_found_with_all_their_members():
    train = part("train", [record("a", group="g1"), record("b", group="g2"), record("c", group="g2")])
    val = part("val", [record("a", "jump", group="g1"), record("d", group="g2"), record("e", group="g3")])
    test = part("test", [record("f", group="g3"), record("g"), record("a", group="g1", status="duplicate")])
    leaks = {(leak.kind, leak.what): leak for leak in find_leaks([train, val, test], compare="names")}
    assert set(leaks) == {("same id", "a"), ("same source", "g1"), ("same source", "g2"), ("same source", "g3")}
    assert [(name, r.video_id) for name, r in leaks["same source", "g2"].members] == [
        ("train", "b"), ("train", "c"), ("val", "d"),
    ]  # fmt: skip
    assert leaks["same id", "a"].labels_differ
    assert not leaks["same source", "g2"].labels_differ


def test_names_are_compared_only_where_they_mean_the_same():
    one, two = [record("0001", group="g1")], [record("0001", group="g1")]
    assert not find_leaks([part("a", one, names_mean=""), part("b", two, names_mean="")], compare="names")
    assert not find_leaks([part("a", one, names_mean="ucf101"), part("b", two)], compare="names")
    assert len(find_leaks([part("a", one), part("b", two)], compare="names")) == 2
    with pytest.raises(ValueError, match="names, bytes or pictures"):
        find_leaks([], compare="smell")


def test_the_same_bytes_count_across_parts_only(tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two"), ("d", b"two"), ("e", b"six")):
        (tmp_path / f"{name}.mp4").write_bytes(content)
    train, test = [record("a"), record("c"), record("d")], [record("b"), record("e"), record("x", status="missing")]
    found = shared_bytes([part("train", train, tmp_path), part("test", test, tmp_path)])
    assert [[(name, r.video_id) for name, r in leak.members] for leak in found] == [[("train", "a"), ("test", "b")]]


@pytest.fixture(scope="module")
def copies(drawn, folder, tmp_path_factory):
    """Copies of the first clip as people make them, each with another file."""
    root = tmp_path_factory.mktemp("copies")
    frames = next(iter(drawn.values()))
    made = {
        "again": encode_clip(frames, quantiser=36),
        "smaller": encode_clip(resize(frames, (90, 120))),
        "darker": encode_clip((frames * 0.6).astype(np.uint8)),
        "slower": encode_clip(frames, frame_rate=12),
        "same": (folder / "whole0.mp4").read_bytes(),
    }
    for name, content in made.items():
        (root / f"{name}.mp4").write_bytes(content)
    return root, list(made)


def test_copies_made_anew_look_alike_and_other_videos_do_not(folder, copies):
    root, names = copies
    train = [record(f"whole{n}", split="train") for n in range(4)]
    test = [record(name) for name in names]
    parts = [
        part("train", train, folder, check_videos(train, folder, codes=True, num_workers=0)),
        part("test", test, root, check_videos(test, root, codes=True, num_workers=0)),
    ]
    pairs = {tuple(r.video_id for _, r in leak.members) for leak in shared_pictures(parts)}
    assert pairs == {("whole0", name) for name in names}
    kinds = [(leak.kind, leak.members[1][1].video_id) for leak in find_leaks(parts)]
    assert kinds[0] == ("same bytes", "same")  # told once, by the surer sign
    assert sorted(kinds[1:]) == [("look alike", name) for name in sorted(names[:-1])]


def slow_alike(one, other, most_different) -> int:
    """Pictures of one video with their like in another, bit by bit."""
    return sum(
        any(b is not None and bin(a ^ b).count("1") <= most_different for b in other) for a in one if a is not None
    )


def test_look_alikes_agrees_with_comparing_bit_by_bit():
    rng = np.random.default_rng(4)
    base = [int(x) for x in rng.integers(0, 2**63, 6)]

    def code():
        value = base[rng.integers(6)]
        for bit in rng.integers(0, 64, rng.integers(0, 16)):
            value ^= 1 << int(bit)
        return None if rng.random() < 0.1 else value

    findings = [Finding(record(str(n)), "ok", codes=tuple(code() for _ in range(5))) for n in range(40)]
    findings += [Finding(record("dark"), "ok", codes=(None,) * 5), Finding(record("none"), "missing")]
    parts = [part("a", [], findings=findings[:23]), part("b", [], findings=findings[23:])]
    for most, least in ((10, 3), (4, 1), (14, 5)):
        expected = set()
        for one, other in itertools.product(parts[0].findings, parts[1].findings):
            usable = min(sum(c is not None for c in one.codes), sum(c is not None for c in other.codes))
            if usable and slow_alike(one.codes, other.codes, most) >= min(least, usable):
                expected.add((one.record.video_id, other.record.video_id))
        found = {tuple(r.video_id for _, r in leak.members) for leak in shared_pictures(parts, most, least)}
        assert found == expected
        assert most != 10 or 0 < len(expected) < 400


def test_a_flat_picture_has_no_hash_and_a_scaled_one_the_same():
    rng = np.random.default_rng(8)
    picture = resize(rng.integers(0, 256, (1, 6, 9, 3), np.uint8), (66, 99))[0]
    assert picture_hash(np.full((64, 64, 3), 90, np.uint8)) is None
    other = resize(picture[None], (132, 198))[0]
    assert (picture_hash(picture) ^ picture_hash(other)).bit_count() <= 4
    assert 0 <= picture_hash(picture) < 2**64


def test_words_and_table_of_leaks(tmp_path):
    leaks = find_leaks([part("train", [record("a")]), part("test", [record("a", "jump")])], compare="names")
    words = describe_leaks(leaks)
    assert "same id: 1 in test and train (2 videos), 1 of them with different labels; train: a and test: a" in words
    assert describe_leaks([]) == "leaks      none found"
    write_leaks(leaks, tmp_path / "new" / "leaks.csv")
    rows = list(csv.DictReader((tmp_path / "new" / "leaks.csv").open()))
    assert [(row["leak"], row["part"], row["video_id"], row["label"]) for row in rows] == [
        ("1", "train", "a", "run"), ("1", "test", "a", "jump"),
    ]  # fmt: skip


# --- the whole command


def kinetics(root: Path, split: str, rows) -> None:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    lines = ["label,youtube_id,time_start,time_end,split", *(f"{a},{b},{c},{c + 10},{split}" for a, b, c in rows)]
    (root / "annotations" / f"{split}.csv").write_text("\n".join(lines) + "\n")


def test_a_copy_of_kinetics_is_accounted_for(drawn, folder, tmp_path):
    root = tmp_path / "data"
    rows = [("abseiling", "aaaaaaaaaaa", 3), ("abseiling", "-bbbbbbbbbb", 4), ("zumba", "ccccccccccc", 5)]
    kinetics(root, "val", rows)
    (root / "val").mkdir()
    shutil.copy(folder / "whole0.mp4", root / "val" / "-bbbbbbbbbb_000004_000014.mp4")
    (root / "val" / "ccccccccccc_000005_000015.mp4").write_bytes(b"")
    before = sorted(path.relative_to(root) for path in root.rglob("*"))
    config = CheckConfig(dataset="kinetics400", data_dir=root, num_workers=0, results_dir=tmp_path / "out")
    outcome = check(config)
    assert outcome.exit_status == 3
    assert "3 videos: 1 ok, 1 undecodable, 1 not there" in outcome.summary
    ledger = list(csv.DictReader((tmp_path / "out" / "kinetics400" / "val" / "ledger.csv").open()))
    assert [row["state"] for row in ledger] == ["not_there", "ok", "undecodable"]
    assert sorted(path.relative_to(root) for path in root.rglob("*")) == before


def test_what_a_fetch_wrote_down_explains_what_is_not_there(tmp_path):
    from vidbench.data.order import Known

    names = ["aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc"]
    kinetics(tmp_path, "val", [("zumba", name, 3) for name in names])
    ids = [f"{name}_000003_000013" for name in names]
    config = CheckConfig(dataset="kinetics400", data_dir=tmp_path, num_workers=0, results_dir=tmp_path / "out")
    assert "3 videos: 3 not there" in check(config).summary
    known = Known(tmp_path, "val")
    known.listed_archives, known.lost = 2, {ids[1]: "the archive ends within it"}
    for number, (archive, clips) in enumerate({"one": {ids[1]: 5}, "two": {}}.items()):
        known.archives[archive] = {"state": "read", "reason": "", "num_bytes": 9, "sha256": "", "clips": clips}
        known.save()
        counts = ("2 not fetched, 1 fetch failed", "2 not hosted, 1 fetch failed")[number]
        assert f"3 videos: {counts}" in check(config).summary
    table = tmp_path / "out" / "kinetics400" / "val" / "ledger.csv"
    assert list(csv.DictReader(table.open()))[1]["reason"] == "the archive ends within it"
    known.archives["two"]["clips"] = {ids[2]: 7}
    known.save()
    assert "3 videos: 1 not hosted, 1 not fetched, 1 fetch failed" in check(config).summary
    reason = "its archive was read: it was not asked for then, or its file was removed since"
    assert list(csv.DictReader(table.open()))[2]["reason"] == reason


def test_comparing_pictures_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "imagehash", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"pip install 'vidbench\[course\]'"):
        check_videos([], tmp_path, codes=True)


def test_videos_that_two_versions_of_kinetics_share_are_found_by_name(tmp_path):
    kinetics(tmp_path / "k4", "val", [("abseiling", "aaaaaaaaaaa", 3), ("zumba", "bbbbbbbbbbb", 0)])
    kinetics(tmp_path / "k6", "train", [("abseiling", "aaaaaaaaaaa", 3), ("zumba", "ccccccccccc", 9)])
    kinetics(tmp_path / "k6", "val", [("zumba", "bbbbbbbbbbb", 50)])
    config = CheckConfig(
        dataset="kinetics400", data_dir=tmp_path / "k4", leaks=True, compare="names", results_dir=tmp_path / "out",
        against=f"kinetics600={tmp_path / 'k6'}",
    )  # fmt: skip
    outcome = check(config)
    assert outcome.exit_status == 3
    assert "same id: 1 in kinetics400 val and kinetics600 train" in outcome.summary
    assert "same source: 1 in kinetics400 val and kinetics600 val" in outcome.summary
    alone = dataclasses.replace(config, against=f"kinetics600:train={tmp_path / 'k6'}")
    assert "kinetics600 val" not in check(alone).summary
    with pytest.raises(ConfigError, match="Only kinetics400 val is there"):
        check(dataclasses.replace(config, against=None))


def test_the_splits_of_a_folder_are_compared_by_what_they_show(drawn, folder, copies, tmp_path):
    root = tmp_path / "mine"
    for place, source in (
        ("train/run/1.mp4", folder / "whole0.mp4"), ("train/jump/1.mp4", folder / "whole1.mp4"),
        ("test/run/1.mp4", folder / "whole2.mp4"), ("test/jump/7.mp4", copies[0] / "smaller.mp4"),
    ):  # fmt: skip
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / place)
    config = CheckConfig(dataset="folder", data_dir=root, leaks=True, num_workers=0, results_dir=tmp_path / "out")
    outcome = check(config)
    assert "look alike: 1 in folder test and folder train (2 videos), 1 of them with different" in outcome.summary
    assert "same id" not in outcome.summary
    assert "none found" in check(dataclasses.replace(config, compare="bytes")).summary
    plain = dataclasses.replace(config, data_dir=root / "train")
    with pytest.raises(ConfigError, match="Only folder train is there"):
        check(plain)


def test_a_part_of_the_list_can_be_checked(folder, tmp_path):
    config = CheckConfig(dataset="vidmini", limit=24, num_workers=0, depth="container", results_dir=tmp_path)
    assert "24 videos: 24 ok" in check(config).summary
    some = dataclasses.replace(config, limit=None, classes=("PlayGuitar", "SitDown"))
    assert "24 videos: 24 ok" in check(some).summary
    assert check(some).exit_status == 0
    assert "too short" in check(dataclasses.replace(some, min_frames=10_000)).summary


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"dataset": "kinetics40"}, "No dataset is called 'kinetics40'. Did you mean 'kinetics400'"),
        ({"split": "tset"}, "--split must be one of train, test or all for vidmini, not 'tset'"),
        ({"fold": 2}, "--fold must be from 1 to 1 for vidmini"),
        ({"against": "ucf101=x"}, "--against needs --leaks"),
        ({"compare": "bytes"}, "--compare needs --leaks"),
        ({"leaks": True, "against": "ucf101"}, "--against must be NAME=DIR or NAME:SPLIT=DIR, not 'ucf101'"),
        ({"leaks": True, "against": "ucf11=x"}, "No dataset is called 'ucf11'"),
        ({"depth": "deep"}, "--depth must be one of container, frames, full"),
    ],
)
def test_an_option_that_cannot_be_followed_is_one_sentence(wrong, words):
    with pytest.raises(ConfigError) as caught:
        CheckConfig(**{"dataset": "vidmini", **wrong}).checked()
    assert words in str(caught.value)


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        check(CheckConfig(dataset="vidmini", limit=1, num_workers=0, results_dir=tmp_path / "file" / "x"))


def test_a_single_split_is_refused_before_its_pictures_are_read(tmp_path):
    with pytest.raises(ConfigError, match="Only vidmini test is there: a leak is between two splits"):
        check(CheckConfig(dataset="vidmini", leaks=True, num_workers=0, results_dir=tmp_path))
    assert not list(tmp_path.rglob("files.jsonl"))


def command(*words, **more):
    line = [sys.executable, str(ROOT / "scripts" / "check.py"), *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def test_the_script_prints_the_ledger_and_exits_0_on_a_whole_copy(tmp_path):
    process = command("vidmini", "--limit", 12, "--results-dir", tmp_path)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "12 videos: 12 ok" in out
    assert len((tmp_path / "vidmini" / "test" / "ledger.csv").read_text().splitlines()) == 13


@pytest.mark.slow
def test_twenty_kills_cost_nothing_that_was_read(tmp_path):
    journal = tmp_path / "vidmini" / "files.jsonl"
    counts = []
    for _ in range(20):
        process = command("vidmini", "--num-workers", 1, "--depth", "full", "--results-dir", tmp_path)
        seen, end = len(journal.read_bytes().splitlines()) if journal.exists() else 0, time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            if journal.exists() and len(journal.read_bytes().splitlines()) > seen + 3:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.01)
        process.communicate(timeout=60)
        counts.append(len(journal.read_bytes().splitlines()))
    process = command("vidmini", "--depth", "full", "--results-dir", tmp_path)
    out, errors = process.communicate(timeout=300)
    assert "144 videos: 144 ok" in out, errors
    assert counts == sorted(counts)
    paths = [line.split('"')[3] for line in journal.read_text().splitlines()]
    assert len(paths) == len(set(paths)) == 144  # nothing was read twice


@pytest.mark.shared
@pytest.mark.slow
def test_real_files_end_in_their_known_state(shared_dir):
    odd = {
        "corrupted": "truncated", "h265_video": "ok", "nasa_13013_rotated": "ok", "kinetics_340x256_300f": "ok",
    }  # fmt: skip
    found = check_videos([record(name) for name in odd], shared_dir / "data" / "odd", depth="full")
    assert {entry.record.video_id: entry.state for entry in make_ledger(found)} == odd


@pytest.mark.shared
def test_one_pair_of_ucf101_looks_alike_across_the_official_split(shared_dir, tmp_path):
    config = CheckConfig(
        dataset="ucf101", data_dir=shared_dir / "data" / "ucf101", leaks=True, results_dir=tmp_path,
        classes=("BasketballDunk", "HorseRace"),
    )  # fmt: skip
    outcome = check(config)
    assert "look alike: 1 in ucf101 test and ucf101 train" in outcome.summary
    assert "v_BasketballDunk_g10_c01" in outcome.summary
