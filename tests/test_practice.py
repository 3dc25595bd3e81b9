"""A practice copy is laid out as the published ones are, has the troubles it says, and can be fetched."""

from __future__ import annotations

import csv
import re
import tarfile
import urllib.error
import urllib.request
from collections import Counter

import pytest

from vidbench.data.check import check_videos, fetch_states, make_ledger
from vidbench.data.classes import load_labels
from vidbench.data.fetch import Order, fetch
from vidbench.data.index import load_records
from vidbench.data.practice import TROUBLES, PracticeServer, publish_hmdb51, publish_kinetics
from vidbench.notebook import open_dataset
from vidbench.records import ConfigError, VideoRecord


@pytest.fixture(scope="module")
def mini():
    return open_dataset("vidmini")


@pytest.fixture(scope="module")
def kinetics(mini, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirror")
    records = [record for record in mini.records if record.label in mini.classes[:5]][:54:2]
    return publish_kinetics(folder, records, mini.root, num_archives=3, num_troubled=5)


def test_the_lists_have_the_published_form(kinetics):
    with open(kinetics.folder / "400" / "annotations" / "val.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
    assert len(rows) == 27
    assert {int(row["time_end"]) - int(row["time_start"]) for row in rows} == {10}
    assert all(re.fullmatch(r"[\w-]{11}", row["youtube_id"]) for row in rows)
    assert sum(row["youtube_id"].startswith("-") for row in rows) == 7
    assert {row["label"] for row in rows} == set(kinetics.labels.values()) <= set(load_labels("kinetics400"))
    lines = (kinetics.folder / "400" / "val" / "k400_val_path.txt").read_text().split()
    assert lines == [f"https://s3.amazonaws.com/kinetics/400/val/part_{n}.tar.gz" for n in range(3)]


def test_the_archives_are_flat_hold_all_but_what_is_not_hosted_and_mix_the_classes(kinetics):
    held = {}
    for path in sorted(kinetics.folder.glob("400/val/*.tar.gz")):
        with tarfile.open(path, "r:gz") as tar:
            members = {member.name.removesuffix(".mp4"): member.size for member in tar}
        assert len({kinetics.listed[name] for name in members}) > 2
        assert not held.keys() & members.keys()
        held |= members
    lost = {name for name, trouble in kinetics.troubles.items() if trouble == "not_hosted"}
    assert Counter(kinetics.troubles.values()) == {"not_hosted": 2, "empty": 2, "cut": 1}
    assert held.keys() == kinetics.listed.keys() - lost
    assert {name for name, size in held.items() if not size} == {
        name for name, trouble in kinetics.troubles.items() if trouble == "empty"
    }


def test_a_copy_is_the_same_bytes_each_time(kinetics, mini, tmp_path):
    records = [record for record in mini.records if record.label in mini.classes[:5]][:54:2]
    again = publish_kinetics(tmp_path, records, mini.root, num_archives=3, num_troubled=5)
    assert again.listed == kinetics.listed
    for path in kinetics.folder.rglob("*.*"):
        assert (tmp_path / path.relative_to(kinetics.folder)).read_bytes() == path.read_bytes(), path.name


def test_a_fetch_brings_what_is_sound_and_the_ledger_names_every_trouble(kinetics, tmp_path):
    with PracticeServer(kinetics.folder) as server:
        outcome = fetch(Order("kinetics400", "val", data_dir=tmp_path, mirrors=(server.url,)))
        assert outcome.num_there == 22
        assert [path for path in server.asked if path.endswith(".csv")] == ["/400/annotations/val.csv"]
    records = load_records("kinetics400", tmp_path, "val")
    assert {record.video_id: record.label for record in records} == kinetics.listed
    found = check_videos(records, tmp_path, num_workers=0)
    ledger = make_ledger(found, fetched=fetch_states(tmp_path, "val", records))
    states = {entry.record.video_id: entry.state for entry in ledger if entry.state != "ok"}
    expected = {"not_hosted": "not_hosted", "empty": "fetch_failed", "cut": "fetch_failed"}
    assert states == {name: expected[trouble] for name, trouble in kinetics.troubles.items()}


def test_hmdb51_comes_with_its_codes_and_odd_names(mini, tmp_path):
    made = publish_hmdb51(tmp_path / "mirror", mini.records, mini.root, num_troubled=2)
    assert len(list((tmp_path / "mirror" / "hmdb51_splits").iterdir())) == 51 * 3
    with PracticeServer(tmp_path / "mirror") as server:
        outcomes = {
            split: fetch(Order("hmdb51", split, fold=2, data_dir=tmp_path / "data", mirrors=(server.url,)))
            for split in ("train", "test")
        }
    assert outcomes["train"].num_there == 72, "three sources of six, two clips each, of twelve classes"
    assert outcomes["test"].num_wanted == 24
    records = {split: load_records("hmdb51", tmp_path / "data", split, 2) for split in ("train", "test")}
    groups = {split: {record.group for record in found} for split, found in records.items()}
    assert not groups["train"] & groups["test"]
    assert len(groups["train"]) == 36
    assert {made.listed[record.video_id] for record in records["test"]} == set(made.labels.values())
    test = publish_hmdb51(tmp_path / "again", mini.records, mini.root, num_troubled=2).troubles
    assert set(test.values()) == {"not_hosted"}
    with PracticeServer(tmp_path / "again") as server:
        outcome = fetch(Order("hmdb51", "test", data_dir=tmp_path / "one", mirrors=(server.url,)))
    assert set(outcome.lost) == set(test)
    assert (outcome.num_wanted, outcome.num_there) == (24, 22)


def test_a_class_keeps_its_own_name_where_the_dataset_has_it(mini, tmp_path):
    records = [
        VideoRecord(f"v{n}", mini.records[n].path, label, 0) for n, label in enumerate(("zumba", "Other", "abseiling"))
    ]
    made = publish_kinetics(tmp_path, records, mini.root, num_archives=1, num_troubled=0)
    assert made.labels["zumba"] == "zumba"
    assert made.labels["abseiling"] == "abseiling"
    assert made.labels["Other"] in set(load_labels("kinetics400")) - {"zumba", "abseiling"}
    assert made.troubles == {}


def test_what_cannot_be_published_is_a_sentence(mini, tmp_path):
    good = mini.records[:3]
    (tmp_path / "page.mp4").write_text("<html>")
    with pytest.raises(ConfigError, match="at least one clip"):
        publish_kinetics(tmp_path / "m", [], mini.root)
    with pytest.raises(ConfigError, match=r"whole, labelled MP4 files; .*page\.mp4: "):
        publish_kinetics(tmp_path / "m", [VideoRecord("p", "page.mp4", "zumba", 0)], tmp_path)
    with pytest.raises(ConfigError, match=r"absent\.mp4: No such file"):
        publish_hmdb51(tmp_path / "m", [VideoRecord("p", "absent.mp4", "wave", 0)], tmp_path)
    with pytest.raises(ConfigError, match="it has no label"):
        publish_hmdb51(tmp_path / "m", [VideoRecord("p", good[0].path)], mini.root)
    with pytest.raises(ConfigError, match="3 clips cannot fill 0 archives with 3"):
        publish_kinetics(tmp_path / "m", good, mini.root, num_archives=0)
    with pytest.raises(ConfigError, match="with 4 in trouble"):
        publish_kinetics(tmp_path / "m", good, mini.root, num_troubled=4)
    with pytest.raises(ConfigError, match="9 of the 0 clips of the test split"):
        publish_hmdb51(tmp_path / "m", good[:1], mini.root, num_troubled=9)
    many = [VideoRecord(str(n), good[0].path, f"class {n}", n) for n in range(52)]
    with pytest.raises(ConfigError, match="52 classes are more than the 51 names"):
        publish_hmdb51(tmp_path / "m", many, mini.root)
    assert not (tmp_path / "m").exists()
    assert len(TROUBLES) == 3


def test_the_server_serves_nothing_but_its_folder_and_frees_its_port(tmp_path, capfd):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a b.txt").write_text("inside")
    (tmp_path / "secret.txt").write_text("outside")
    with PracticeServer(tmp_path / "served") as server:
        assert urllib.request.urlopen(f"{server.url}/a%20b.txt").read() == b"inside"
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/none.txt"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(server.url + path)
        assert server.asked == ["/a%20b.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/none.txt"]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{server.url}/a%20b.txt", timeout=2)
    assert capfd.readouterr() == ("", "")
