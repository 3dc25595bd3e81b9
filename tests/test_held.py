"""Archives that people have already are unpacked where they lie, without a network."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from test_archives import cut, make_rar
from test_pictures import frames

from vidbench.data import held
from vidbench.data.catalog import find_dataset
from vidbench.data.classes import load_labels
from vidbench.data.decode import probe
from vidbench.data.fetch import Order, fetch, make_plan
from vidbench.data.held import find_held
from vidbench.data.index import load_records
from vidbench.records import ArchiveError, FetchError

NOWHERE = ("http://127.0.0.1:9/m",)  # a port at which nobody answers
STEMS = [f"v_{label}_g{group:02d}_c01" for label in ("Archery", "HandStandPushups") for group in (1, 2, 9)]
CLASS = {"Archery": "Archery", "HandStandPushups": "HandstandPushups"}
VIDEOS = {stem: b"RIFF" + stem.encode() * 50 for stem in STEMS}


def class_of(stem: str) -> str:
    return CLASS[stem.split("_")[1]]


def make_zip(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return memory.getvalue()


def ucf_lists() -> dict[str, str]:
    labels = load_labels("ucf101")
    paths = {stem: f"{class_of(stem)}/{stem}.avi" for stem in STEMS}
    lists = {"classInd.txt": "\n".join(f"{number} {label}" for number, label in enumerate(labels, 1))}
    for fold in (1, 2, 3):
        lists[f"testlist0{fold}.txt"] = "".join(f"{paths[stem]}\r\n" for stem in STEMS if "_g09_" not in stem)
        trained = [f"{paths[s]} {labels.index(class_of(s)) + 1}\r\n" for s in STEMS if "_g09_" in s]
        lists[f"trainlist0{fold}.txt"] = "".join(trained)
    return lists


def put_ucf_lists(root: Path) -> None:
    files = {f"ucfTrainTestlist/{name}": text.encode() for name, text in ucf_lists().items()}
    (root / "UCF101TrainTestSplits-RecognitionTask.zip").write_bytes(make_zip(files))


def picture(seed: int) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(frames(1, seed=seed)[0]).save(memory, "JPEG")
    return memory.getvalue()


def pictures_of(stems) -> dict[str, bytes]:
    """As the published zip has them, with one class spelt as its folder is."""
    spelt = [stem.replace("HandStand", "Handstand") for stem in stems]
    return {f"jpegs_256/{s}/frame{n:06d}.jpg": picture(n + k) for k, s in enumerate(spelt) for n in (1, 2, 3)}


def order(name: str, root: Path, **more) -> Order:
    return Order(name, "test", data_dir=root, mirrors=NOWHERE, **more)


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and ".fetch" not in path.parts}


# ---------------------------------------------------------------- UCF101


@pytest.mark.parametrize("parts", [3, 1])
def test_the_pictures_of_ucf101_come_out_of_their_zip_in_parts(tmp_path, parts):
    put_ucf_lists(tmp_path)
    names = [f"ucf101_jpegs_256.zip.00{n}" for n in (1, 2, 3)] if parts == 3 else ["ucf101_jpegs_256.zip"]
    cut(tmp_path, make_zip(pictures_of(STEMS)), names)
    outcome = fetch(order("ucf101", tmp_path))
    assert (outcome.num_wanted, outcome.num_there, outcome.num_bytes, outcome.exit_status) == (4, 4, 0, 0)
    records = load_records("ucf101", tmp_path, "test")
    assert {r.status for r in records} == {"ok"}
    assert records[-1].path == "jpegs_256/v_HandstandPushups_g02_c01"
    assert [probe(tmp_path / r.path).num_frames for r in records] == [3, 3, 3, 3]
    assert not (tmp_path / "jpegs_256" / "v_Archery_g09_c01").exists()  # of the train split, not asked for
    assert not list((tmp_path / ".fetch").glob("unpacked*"))
    assert fetch(order("ucf101", tmp_path)).num_new == 0


@pytest.mark.parametrize("kind", ["RAR", "zip"])
def test_the_videos_of_ucf101_come_out_of_an_archive_that_is_there(tmp_path, kind):
    put_ucf_lists(tmp_path)
    if kind == "RAR":
        files = {f"UCF-101/{class_of(stem)}/{stem}.avi": data for stem, data in VIDEOS.items()}
        (tmp_path / "UCF101.rar").write_bytes(make_rar(files))
    else:
        files = {f"UCF101/{stem}.avi": data for stem, data in VIDEOS.items()}
        (tmp_path / "UCF101_videos.zip").write_bytes(make_zip(files))
    archives = files_below(tmp_path)
    outcome = fetch(order("ucf101", tmp_path, classes=("HandstandPushups",)))
    assert (outcome.num_wanted, outcome.num_there) == (2, 2)
    wanted = {f"UCF-101/HandstandPushups/v_HandStandPushups_g0{n}_c01.avi" for n in (1, 2)}
    assert {
        name for name in files_below(tmp_path) - archives if "TestTrain" not in name and name[:3] == "UCF"
    } == wanted
    for path in wanted:
        assert (tmp_path / path).read_bytes() == VIDEOS[Path(path).stem]
    assert fetch(order("ucf101", tmp_path)).num_new == 2  # the other class


def test_a_video_that_the_archive_does_not_hold_is_told(tmp_path):
    put_ucf_lists(tmp_path)
    (tmp_path / "ucf101_jpegs_256.zip").write_bytes(make_zip(pictures_of(STEMS[1:])))
    outcome = fetch(order("ucf101", tmp_path))
    assert (outcome.num_there, outcome.exit_status) == (3, 3)
    assert outcome.lost == {"v_Archery_g01_c01": "not in ucf101_jpegs_256.zip"}


def test_a_missing_part_is_named(tmp_path):
    put_ucf_lists(tmp_path)
    parts = cut(tmp_path, make_zip(pictures_of(STEMS)), [f"ucf101_jpegs_256.zip.00{n}" for n in (1, 2, 3)])
    parts[1].unlink()
    with pytest.raises(ArchiveError, match=r"ucf101_jpegs_256\.zip\.002 is missing or empty"):
        fetch(order("ucf101", tmp_path))
    parts[2].unlink()
    with pytest.raises(ArchiveError, match=r"ucf101_jpegs_256\.zip\.001 is damaged"):
        fetch(order("ucf101", tmp_path))
    assert not (tmp_path / "jpegs_256").exists()


def test_a_call_that_was_killed_between_two_videos_goes_on(tmp_path, monkeypatch):
    put_ucf_lists(tmp_path)
    (tmp_path / "ucf101_jpegs_256.zip").write_bytes(make_zip(pictures_of(STEMS)))
    replace, moved = os.replace, []

    def once(source, target):
        moved.append(Path(target).parent.name)
        if moved.count("jpegs_256") == 3:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(held.os, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        fetch(order("ucf101", tmp_path))
    monkeypatch.setattr(held.os, "replace", replace)
    outcome = fetch(order("ucf101", tmp_path))
    assert (outcome.num_there, outcome.num_new) == (4, 2)
    assert not list((tmp_path / ".fetch").glob("unpacked*"))


def test_lists_of_a_call_that_was_killed_come_all_the_same(tmp_path, monkeypatch):
    put_ucf_lists(tmp_path)
    (tmp_path / "ucf101_jpegs_256.zip").write_bytes(make_zip(pictures_of(STEMS)))
    replace, moved = os.replace, []

    def twice(source, target):
        moved.append(target)
        if sum(str(path).endswith(".txt") for path in moved) == 3:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(held.os, "replace", twice)
    with pytest.raises(KeyboardInterrupt):
        fetch(order("ucf101", tmp_path))
    assert not (tmp_path / "ucfTrainTestlist").exists()
    monkeypatch.setattr(held.os, "replace", replace)
    assert fetch(order("ucf101", tmp_path)).num_there == 4
    assert {path.name for path in (tmp_path / "ucfTrainTestlist").iterdir()} == set(ucf_lists())


def test_a_plan_says_that_nothing_is_downloaded_and_a_dry_one_unpacks_nothing(tmp_path):
    put_ucf_lists(tmp_path)
    (tmp_path / "UCF101.rar").write_bytes(make_rar({"UCF-101/Archery/v_Archery_g01_c01.avi": b"x"}))
    before = files_below(tmp_path)
    text = make_plan(order("ucf101", tmp_path), dry=True).text()
    assert "unpack     4 videos out of UCF101.rar; no download" in text
    assert files_below(tmp_path) == before


def test_a_disk_that_fills_keeps_what_was_unpacked(tmp_path, monkeypatch):
    put_ucf_lists(tmp_path)
    (tmp_path / "ucf101_jpegs_256.zip").write_bytes(make_zip(pictures_of(STEMS)))
    fetch(order("ucf101", tmp_path, classes=("Archery",)))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    with pytest.raises(FetchError, match="free"):
        fetch(order("ucf101", tmp_path))
    monkeypatch.undo()
    assert fetch(order("ucf101", tmp_path)).num_there == 4


# ---------------------------------------------------------------- HMDB51: RAR of RARs


def hmdb(root: Path) -> dict[str, bytes]:
    """Three videos of each class, in a RAR a class, all in one RAR, and the RAR of split files."""
    videos, inner, lists = {}, {}, {}
    for label in load_labels("hmdb51"):
        names = [f"a#1 [x]&;({n})!_{label}_f_nm_np1_fr_med_{n}.avi" for n in range(3)]
        inner[f"{label}.rar"] = make_rar({f"{label}/{name}": b"RIFF" + name.encode() * 9 for name in names})
        videos |= {f"hmdb51_org/{label}/{name}": b"RIFF" + name.encode() * 9 for name in names}
        for fold in (1, 2, 3):
            lines = "".join(f"{name} {code} \n" for name, code in zip(names, (1, 2, 0)))
            lists[f"testTrainMulti_7030_splits/{label}_test_split{fold}.txt"] = lines.encode()
    (root / "hmdb51_org.rar").write_bytes(make_rar(inner))
    (root / "test_train_splits.rar").write_bytes(make_rar(lists))
    return videos


def test_hmdb51_comes_out_of_its_rar_of_rars(tmp_path):
    videos = hmdb(tmp_path)
    outcome = fetch(order("hmdb51", tmp_path))
    assert (outcome.num_wanted, outcome.num_there, outcome.exit_status) == (51, 51, 0)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.avi")}
    assert found == {path: data for path, data in videos.items() if path.endswith("_1.avi")}
    assert {r.status for r in load_records("hmdb51", tmp_path, "test")} == {"ok"}
    assert sorted(path.name for path in tmp_path.glob("*.rar")) == ["hmdb51_org.rar", "test_train_splits.rar"]
    assert not list((tmp_path / ".fetch").glob("unpacked*"))


def test_what_is_missing_to_open_a_rar_is_said_for_each_system(tmp_path, monkeypatch):
    put_ucf_lists(tmp_path)
    files = {f"UCF-101/{class_of(stem)}/{stem}.avi": data for stem, data in VIDEOS.items()}
    (tmp_path / "UCF101.rar").write_bytes(make_rar(files, method=0x33))
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(ArchiveError) as caught:
        fetch(order("ucf101", tmp_path))
    for words in ("UCF101.rar is a compressed RAR", "apt-get install unar", "brew install unar", "winget install 7zip"):
        assert words in str(caught.value)
    assert (tmp_path / "UCF101.rar").is_file()


def test_archives_are_found_by_their_published_names(tmp_path):
    for name in ("UCF101.rar", "ucf101_jpegs_256.zip.002", "UCF101_videos.zip", "other.rar"):
        (tmp_path / name).write_bytes(b"x")
    found = find_held(find_dataset("ucf101"), tmp_path)
    assert [item.name for item in found] == ["UCF101_videos.zip", "UCF101.rar"]
    assert find_held(find_dataset("kinetics400"), tmp_path) == []


@pytest.mark.skipif(
    "VIDBENCH_RAR" not in os.environ, reason="VIDBENCH_RAR names no RAR archive of a program's own making"
)
def test_a_real_rar_is_opened(tmp_path):
    from vidbench.data.archives import extract

    assert extract(os.environ["VIDBENCH_RAR"], tmp_path / "out").num_files > 0
