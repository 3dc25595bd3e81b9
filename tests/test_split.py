"""A random split keeps sources together, and a leak has to be asked for."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vidbench.data.index import check_groups, load_records
from vidbench.data.split import random_splits, write_splits
from vidbench.records import ConfigError, RunError, VideoRecord

ROOT = Path(__file__).resolve().parents[1]
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def videos(seed=0, classes=4, groups=20) -> list[VideoRecord]:
    """Sources of one to four clips, most within one class, some over two."""
    rng, found = np.random.default_rng(seed), []
    for label in range(classes):
        for group in range(groups):
            for clip in range(int(rng.integers(1, 5))):
                source = f"shared{group}" if group < 2 and label < 2 else f"{label}/g{group}"
                name = f"{label}-{group}-{clip}"
                found.append(VideoRecord(name, f"c{label}/{name}.mp4", f"c{label}", label, "", source))
    return found


def test_a_split_that_no_video_falls_to_is_not_written(tmp_path):
    listed = videos()[:2]
    with pytest.raises(ConfigError, match="No video falls to val and test: each class has too few sources"):
        write_splits({"train": listed, "val": [], "test": []}, tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


def ids(parts) -> dict[str, set[str]]:
    return {name: {record.video_id for record in records} for name, records in parts.items()}


def test_every_video_is_in_one_split_and_every_source_too():
    listed = videos()
    parts = random_splits(listed, SHARES)
    assert sorted(r.video_id for records in parts.values() for r in records) == sorted(r.video_id for r in listed)
    for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
        check_groups(parts[one], parts[other])
    assert all(record.split == name for name, records in parts.items() for record in records)


@pytest.mark.parametrize("seed", range(4))
def test_each_class_has_its_share_to_within_a_source(seed):
    listed = videos(seed, groups=40)
    total = Counter(record.label for record in listed)
    for name, records in random_splits(listed, SHARES, seed=seed).items():
        found = Counter(record.label for record in records)
        for label in total:
            assert abs(found[label] - SHARES[name] * total[label]) <= 4


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_list():
    listed = videos()
    assert ids(random_splits(listed, SHARES)) == ids(random_splits(listed[::-1], SHARES))
    assert ids(random_splits(listed, SHARES)) != ids(random_splits(listed, SHARES, seed=1))


def test_a_split_by_clip_is_refused_with_the_number_of_sources_it_would_part():
    listed = videos()
    with pytest.raises(ConfigError, match=r"parts \d+ of \d+ sources .* --allow-leak"):
        random_splits(listed, SHARES, by="clip")
    parts = random_splits(listed, SHARES, by="clip", allow_leak=True)
    assert sum(map(len, parts.values())) == len(listed)
    alone = [VideoRecord(f"{n}", f"{n}.mp4", "a", 0, group=f"g{n}") for n in range(20)]
    assert len(random_splits(alone, SHARES, by="clip")["train"]) == 14  # nothing to part


def test_videos_without_a_known_source_are_said(caplog):
    listed = [VideoRecord(str(n), f"{n}.mp4", "a", 0) for n in range(10)]
    with pytest.raises(ConfigError, match="No source is known for any of the 10 videos"):
        random_splits(listed, SHARES)
    random_splits(listed, SHARES, allow_leak=True)
    assert "10 of 10 videos have no known source" in caplog.text


def test_entries_that_cannot_be_used_are_in_no_split():
    listed = [*videos(), VideoRecord("line 3", "", status="bad_row"), VideoRecord("x#2", "x", status="duplicate")]
    assert not {"line 3", "x#2"} & set().union(*ids(random_splits(listed, SHARES)).values())


def test_a_list_without_one_usable_entry_is_refused_with_the_reason():
    listed = [VideoRecord(str(n), f"a/{n}.mp4", "a", -1, "", f"g{n}", status="unknown_label") for n in range(3)]
    with pytest.raises(ConfigError, match=r"No video of the list can be divided \(3 unknown_label\)\. .*labels\.txt"):
        random_splits(listed, SHARES)


@pytest.mark.parametrize("shares", [{"train": 1.0}, {"train": 0.8, "test": 0.3}, {"train": 1.2, "test": -0.2}, {}])
def test_shares_that_do_not_add_up_are_refused(shares):
    with pytest.raises(ConfigError, match="Shares are two or more"):
        random_splits(videos(), shares)


def test_a_written_split_is_read_back_as_it_was(tmp_path):
    listed = videos(classes=2, groups=6)
    for record in listed:
        (tmp_path / record.path).parent.mkdir(exist_ok=True)
        (tmp_path / record.path).touch()
    parts = random_splits(listed, SHARES)
    write_splits(parts, tmp_path / "annotations.csv")
    for name, records in parts.items():
        found = load_records("csv", tmp_path, name)
        assert [(r.path, r.label, r.split, r.group) for r in found] == [
            (r.path, r.label, name, r.group) for r in records
        ]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/a\.csv cannot be written: .*; choose another --out\.$"):
        write_splits(random_splits(videos(), SHARES), tmp_path / "file" / "a.csv")


def run(*words) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / "split.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_script_writes_a_list_and_explains_a_leak(tmp_path):
    refused = run("vidmini", "--by", "clip", "--out", tmp_path / "leaky.csv")
    assert refused.returncode == 2
    assert "parts" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "leaky.csv").exists()
    done = run("vidmini", "--shares", "train=0.5", "test=0.5", "--out", tmp_path / "mine.csv")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "mine.csv").read_text().splitlines()) == 145
    found = [
        load_records("csv", ROOT / "data" / "vidmini", s, annotations=tmp_path / "mine.csv")
        for s in SHARES
        if s != "val"
    ]
    assert {record.status for part in found for record in part} == {"ok"}
    check_groups(*found)
