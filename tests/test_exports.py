"""A list that is written and read again gives the same records, or is refused with a reason."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_pictures import frames, write_frames

from vidbench.arguments import LIST_FORMATS, ConvertConfig
from vidbench.data.catalog import DATASETS
from vidbench.data.classes import load_labels
from vidbench.data.exports import FORMATS, export, folder_plan
from vidbench.data.index import load_records
from vidbench.data.layouts import LAYOUTS
from vidbench.records import AnnotationError, ConfigError, RunError, VideoRecord

ROOT = Path(__file__).resolve().parents[1]
SIGNS = [*list("abcXYZ019 -_.,;'\"[]!()&@#+=~%^{}$`éß漢字Ω½"), "  ", "''", '"a"', "[]"]
LABELS = (
    "kick, hard",
    'say "no"',
    "run (far)",
    "-dash",
    "näher [nah]",
    "漢字",
    "'quoted'",
    "a  b",
    "7",
    "007",
    "#x; y",
)


def words(rng, length: int = 12) -> str:
    """A name with anything in it that a file name may have, neither empty nor with spaces at its ends."""
    text = "".join(rng.choice(SIGNS, rng.integers(1, length))).strip(" .")
    return text if text and not text.isdigit() and text[0] != "~" else f"x{text}x"


def dressed(path: Path, how: str) -> None:
    """The same text file as other programs may save it."""
    text = path.read_bytes()
    path.write_bytes({"as it is": text, "BOM": b"\xef\xbb\xbf" + text, "CRLF": text.replace(b"\n", b"\r\n")}[how])


def touch(root: Path, records) -> None:
    for r in records:
        if r.status == "ok":
            (root / r.path).parent.mkdir(parents=True, exist_ok=True)
            (root / r.path).write_bytes(b"x")


def status_of(rng) -> dict:
    there = {"status": "ok"}
    gone = {"status": "missing", "reason": "listed, but there is no such file below the data folder"}
    return there if rng.random() < 0.7 else gone


def identifier(rng) -> str:
    signs = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    return "".join(rng.choice(signs, 11))


HOW = pytest.mark.parametrize("how", ["as it is", "BOM", "CRLF"])
SEEDS = pytest.mark.parametrize("seed", range(4))


# ---------------------------------------------------------------- random records of each format


@HOW
@SEEDS
def test_kinetics_comes_back(tmp_path, seed, how):
    rng, labels = np.random.default_rng(seed), load_labels("kinetics600")
    records = []
    for number in range(60):
        name = identifier(rng) if number else "-" + identifier(rng)[1:]
        start = float(rng.choice([rng.integers(0, 9000), round(float(rng.uniform(0, 500)), 3)]))
        times = (start, start + float(rng.integers(1, 11)))
        place = int(rng.integers(len(labels)))
        label = (labels[place], place) if rng.random() < 0.9 else (None, -1)
        video_id = f"{name}_{int(times[0]):06d}_{int(times[1]):06d}"
        state = status_of(rng)
        below = f"val/{label[0]}" if label[0] and "/" not in label[0] else "val"
        records.append(VideoRecord(video_id, f"{below}/{video_id}.mp4", *label, "val", name, *times, **state))
    touch(tmp_path, records)
    export(records, labels, "kinetics", tmp_path / "out.csv")
    dressed(tmp_path / "out.csv", how)
    assert load_records("kinetics600", tmp_path, "val", annotations=tmp_path / "out.csv") == records


def ucf_like(rng, labels, split, number) -> VideoRecord:
    place = int(rng.integers(len(labels)))
    stem = f"v {words(rng)}{number}_g{rng.integers(1, 26):02d}_c{rng.integers(1, 9):02d}"
    path, group = f"{labels[place]}/{stem}.avi", f"{labels[place]}/{stem.rpartition('_c')[0]}"
    return VideoRecord(stem, path, labels[place], place, split, group, **status_of(rng))


@HOW
@SEEDS
def test_ucf101_comes_back(tmp_path, monkeypatch, seed, how):
    rng = np.random.default_rng(seed)
    labels = tuple(f"{label} {n}" for n, label in enumerate(LABELS))
    card = dataclasses.replace(DATASETS["ucf101"], labels=str(tmp_path / "mine.txt"))
    (tmp_path / "mine.txt").write_text("\n".join(labels), encoding="utf-8")
    monkeypatch.setitem(DATASETS, "ucf101", card)
    parts = {split: [ucf_like(rng, labels, split, n) for n in range(40)] for split in ("train", "test")}
    for records in parts.values():
        touch(tmp_path, records)
    written = export([r for part in parts.values() for r in part], labels, "ucf101", tmp_path / "lists", fold=3)
    assert sorted(path.name for path in written.paths) == ["classInd.txt", "testlist03.txt", "trainlist03.txt"]
    for path in written.paths:
        dressed(path, how)
    for split, records in parts.items():
        lists = tmp_path / "lists" / f"{split}list03.txt"
        assert load_records("ucf101", tmp_path, split, 3, annotations=lists) == records


@HOW
@SEEDS
def test_hmdb51_comes_back(tmp_path, seed, how):
    rng, labels = np.random.default_rng(seed), load_labels("hmdb51")
    parts = {"train": [], "test": []}
    for place, label in enumerate(labels):
        for split, part in parts.items():
            for number in range(int(rng.integers(1, 3))):
                source = f"{words(rng)}{number}{split}"
                name = f"{source}_{label}_f_cm_np1_ba_med_{number}.avi"
                part.append(
                    VideoRecord(
                        name[:-4], f"{label}/{name}", label, place, split, f"{label}/{source}", **status_of(rng)
                    )
                )
    for records in parts.values():
        touch(tmp_path, records)
    written = export(parts["test"] + parts["train"], labels, "hmdb51", tmp_path / "lists", fold=2)
    assert len(written.paths) == 51
    for path in written.paths:
        dressed(path, how)
    for split, records in parts.items():
        assert load_records("hmdb51", tmp_path, split, 2, annotations=tmp_path / "lists") == records


@HOW
@SEEDS
def test_somethingv2_comes_back(tmp_path, seed, how):
    rng, labels = np.random.default_rng(seed), load_labels("somethingv2")
    for split, file in (("train", "train"), ("val", "validation"), ("test", "test")):
        records = []
        for number in range(30):
            place = int(rng.integers(len(labels))) if split != "test" else -1
            state, name = status_of(rng), str(1000 * seed + number)
            label = labels[place] if place >= 0 else None
            path = f"20bn-something-something-v2/{name}.webm"
            records.append(VideoRecord(name, path, label, place, split, **state))
        touch(tmp_path, records)
        written = export(records, labels, "somethingv2", tmp_path / "lists")
        for path in written.paths:
            dressed(path, how)
        file = tmp_path / "lists" / f"something-something-v2-{file}.json"
        assert load_records("ssv2", tmp_path, split, annotations=file) == records
        for path in tmp_path.glob("20bn*/*"):
            path.unlink()


def listed(rng, number, *, group=False, unlabelled=False) -> VideoRecord:
    place = int(rng.integers(len(LABELS)))
    path = "/".join(words(rng) for _ in range(int(rng.integers(1, 4)))) + f"{number}.mp4"
    label = (None, -1) if unlabelled and rng.random() < 0.1 else (LABELS[place], place)
    return VideoRecord(path, path, *label, "val", words(rng) if group else "", **status_of(rng))


@HOW
@SEEDS
@pytest.mark.parametrize(("form", "name"), [("csv", "a.csv"), ("list", "a.txt"), ("datalist", "a.json")])
def test_lists_of_paths_come_back(tmp_path, form, name, seed, how):
    rng = np.random.default_rng(seed)
    records = [listed(rng, n, group=form == "csv", unlabelled=form == "csv") for n in range(80)]
    touch(tmp_path / "data", records)
    counts = {r.path: int(rng.integers(1, 999)) for r in records}
    written = export(records, LABELS, form, tmp_path / "lists" / name, num_frames=counts)
    assert [path.name for path in written.paths] == [name, "labels.txt"]
    for path in written.paths:
        dressed(path, how)
    assert load_records("csv", tmp_path / "data", "val", annotations=tmp_path / "lists" / name) == records


def test_a_datalist_has_its_four_keys(tmp_path):
    record = VideoRecord("a/é [1].mp4", "a/é [1].mp4", LABELS[4], 4, "test")
    export([record], LABELS, "datalist", tmp_path / "datalist.json", num_frames={record.path: 17})
    (entry,) = json.loads((tmp_path / "datalist.json").read_text(encoding="utf-8"))
    assert entry == {"path": "a/é [1].mp4", "class_name": LABELS[4], "label": 4, "num_frames": 17}
    assert list(entry) == ["path", "class_name", "label", "num_frames"]


@HOW
@SEEDS
def test_lists_of_folders_of_pictures_come_back(tmp_path, seed, how):
    rng = np.random.default_rng(seed)
    records = []
    for number in range(12):
        place = int(rng.integers(len(LABELS)))
        path = f"{words(rng)}/{words(rng)}{number}x"
        records.append(VideoRecord(path, path, LABELS[place], place, "test"))
        write_frames(tmp_path / path, frames(int(rng.integers(1, 3)), 4, 4), "img_{:05d}.bmp")
    counts = {r.path: len(list((tmp_path / r.path).iterdir())) for r in records}
    export(records, LABELS, "frames", tmp_path / "list.txt", num_frames=counts)
    dressed(tmp_path / "list.txt", how)
    assert load_records("csv", tmp_path, "test") == records


@SEEDS
def test_a_folder_of_classes_comes_back_as_links(tmp_path, seed):
    rng, made = np.random.default_rng(seed), set()
    labels = tuple(label for label in LABELS if label != "7")
    for number in range(30):
        label = labels[number % len(labels)]
        made.add(f"val/{label}/{words(rng)}{number}.mp4")
    for path in made:
        touch(tmp_path / "data", [VideoRecord("", path)])
        (tmp_path / "data" / path).write_bytes(path.encode())
    (tmp_path / "data" / "labels.txt").write_text("\n".join(labels), encoding="utf-8")
    records = load_records("folder", tmp_path / "data", "val")
    assert len(records) == 30
    export(records, labels, "folder", tmp_path / "out", root=tmp_path / "data")
    assert load_records("folder", tmp_path / "out", "val") == records
    for r in records:
        assert (tmp_path / "out" / r.path).read_bytes() == r.path.encode()
    export(records, labels, "folder", tmp_path / "out", root=tmp_path / "data")  # once more changes nothing
    assert load_records("folder", tmp_path / "out", "val") == records


# ---------------------------------------------------------------- what cannot come back is refused

GOOD = VideoRecord("abcdefghijk_000001_000011", "archery/a.avi", "archery", 0, "test", "abcdefghijk", 1.0, 11.0)


@pytest.mark.parametrize(
    ("form", "changed", "said"),
    [
        ("list", {"path": "a\tb.mp4"}, "cannot hold"),
        ("csv", {"path": " a.mp4"}, "cannot hold"),
        ("csv", {"path": "a.mp4 "}, "cannot hold"),
        ("csv", {"path": "../a.mp4"}, "cannot hold"),
        ("csv", {"path": "/a.mp4"}, "cannot hold"),
        ("csv", {"path": "a\nb.mp4"}, "cannot hold"),
        ("csv", {"path": "a\\b.mp4"}, "cannot hold"),
        ("csv", {"group": "a\nb"}, "source 'a"),
        ("list", {"label": None, "label_index": -1}, "no class"),
        ("list", {"label": "unknown"}, "class 'unknown', index 0"),
        ("datalist", {"label_index": 1}, "class 'archery', index 1"),
        ("kinetics", {"start_s": None}, "no identifier and times of Kinetics"),
        ("kinetics", {"video_id": "other"}, "no identifier and times of Kinetics"),
        ("kinetics", {"group": "a b"}, "no identifier and times of Kinetics"),
        ("ucf101", {"path": "elsewhere/a.avi"}, "needs it in a folder 'archery'"),
        ("ucf101", {"split": "val"}, "train and test only"),
        ("hmdb51", {"split": "val"}, "train and test only"),
        ("somethingv2", {"video_id": "a b"}, "no short identifier"),
        ("frames", {"path": "archery/a 12"}, "taken for the count"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_nothing_is_written(tmp_path, form, changed, said):
    record = dataclasses.replace(GOOD, **changed)
    with pytest.raises(AnnotationError, match=said):
        export([record], ("archery", "wave"), form, tmp_path / "out", num_frames={record.path: 3})
    assert not (tmp_path / "out").exists()


def test_classes_that_cannot_be_named_so_are_refused(tmp_path):
    sides = dataclasses.replace(GOOD, label="a/b", path="a/b/x.avi")
    with pytest.raises(AnnotationError, match="cannot be the name of a folder"):
        folder_plan([sides], ("a/b",))
    with pytest.raises(AnnotationError, match="No video of class 'wave'"):
        export([GOOD], ("archery", "wave"), "hmdb51", tmp_path / "out")
    bracket = dataclasses.replace(GOOD, label="a [b]")
    with pytest.raises(AnnotationError, match="has brackets"):
        export([bracket], ("a [b]",), "somethingv2", tmp_path / "out")
    twins = [dataclasses.replace(GOOD, path=f"{place}/a.avi") for place in ("x", "y")]
    with pytest.raises(AnnotationError, match=r"would both be test/archery/a\.avi"):
        folder_plan(twins, ("archery",))


def test_other_names_in_labels_txt_and_files_in_the_way_are_kept(tmp_path):
    (tmp_path / "labels.txt").write_text("mine\nyours\n")
    with pytest.raises(ConfigError, match="names other classes"):
        export([GOOD], ("archery",), "list", tmp_path / "a.txt")
    assert (tmp_path / "labels.txt").read_text() == "mine\nyours\n"
    (tmp_path / "out" / "test" / "archery").mkdir(parents=True)
    (tmp_path / "out" / "test" / "archery" / "a.avi").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        export([GOOD], ("archery",), "folder", tmp_path / "out", root=tmp_path)
    with pytest.raises(RunError, match=r"labels\.txt/a\.csv cannot be written: .*; choose another --out\.$"):
        export([GOOD], ("archery",), "kinetics", tmp_path / "labels.txt" / "a.csv")


def test_entries_that_are_wrong_themselves_are_left_out_and_counted(tmp_path):
    wrong = [dataclasses.replace(GOOD, status=status) for status in ("bad_row", "duplicate", "duplicate")]
    written = export([GOOD, *wrong], ("archery",), "csv", tmp_path / "a.csv")
    assert (written.num_videos, written.left_out) == (1, {"bad_row": 1, "duplicate": 2})
    assert written.words() == f"1 video in {tmp_path / 'a.csv'}; left out: 1 bad_row, 2 duplicate"
    with pytest.raises(ConfigError, match=r"no video to be listed as csv \(1 bad_row\)"):
        export(wrong[:1], ("archery",), "csv", tmp_path / "b.csv")
    with pytest.raises(ConfigError, match="without a count of frames"):
        export([GOOD], ("archery",), "datalist", tmp_path / "b.json")
    with pytest.raises(ConfigError, match="No list is written as 'xml'"):
        export([GOOD], ("archery",), "xml", tmp_path / "b.xml")


def test_every_importer_has_an_exporter():
    layouts = set(LAYOUTS) - {"vidmini"}  # vidmini's lists have UCF101's form
    assert layouts <= set(FORMATS)
    assert tuple(FORMATS) == LIST_FORMATS


# ---------------------------------------------------------------- the command


def run(*options) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / "convert.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_script_writes_a_datalist_that_reads_back(tmp_path):
    classes = ("SitDown", "StandUp")
    done = run("vidmini", "--classes", *classes, "--to", "datalist", "--out", tmp_path / "datalist.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"24 videos in {tmp_path / 'datalist.json'}\n"
    entries = json.loads((tmp_path / "datalist.json").read_text())
    assert {entry["class_name"] for entry in entries} == set(classes)
    assert all(45 <= entry["num_frames"] <= 80 for entry in entries)
    root = ROOT / "data" / "vidmini"
    again = load_records("csv", root, "test", annotations=tmp_path / "datalist.json")
    first = load_records("vidmini", root, "test", classes=classes)
    assert [(r.path, r.label, r.label_index, r.status) for r in again] == [
        (r.path, r.label, r.label_index, r.status) for r in first
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["ucf102", "--to", "csv"], "NAME cannot be used: No dataset is called 'ucf102'"),
        (["vidmini", "--to", "csv", "--split", "val"], "--split must be one of train, test or all for vidmini"),
        (["vidmini", "--to", "kinetics"], "has no identifier and times of Kinetics"),
        (["vidmini", "--to", "cvs"], "--to must be one of kinetics"),
        (["vidmini", "--to", "csv", "--data-dir", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, options, said):
    done = run(*options, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.shared
def test_the_real_lists_come_back(shared_dir, tmp_path):
    data = shared_dir / "data"
    for name, root, form, splits in (
        ("ucf101", data / "ucf101", "ucf101", ("train", "test")),
        ("hmdb51", data / "hmdb51", "hmdb51", ("train", "test")),
        ("kinetics400", data / "kinetics400", "kinetics", ("val",)),
    ):
        for split in splits:
            records = load_records(name, root, split)
            out = tmp_path / name if form != "kinetics" else tmp_path / "val.csv"
            kept = [r for r in records if r.status in ("ok", "missing")]
            export(kept, load_labels(name), form, out)
            lists = out / f"{split}list01.txt" if form == "ucf101" else out
            assert load_records(name, root, split, annotations=lists) == kept


def test_links_within_the_folder_of_classes_that_they_come_from_are_refused(tmp_path):
    (tmp_path / "swing").mkdir()
    for out in (tmp_path, tmp_path / "links"):
        with pytest.raises(ConfigError, match=r"lies in the folder of classes .* where the links would be taken"):
            ConvertConfig(dataset="folder", data_dir=str(tmp_path), to="folder", out=str(out)).checked()
    ConvertConfig(dataset="folder", data_dir=str(tmp_path), to="csv", out=str(tmp_path / "annotations.csv")).checked()
