"""Frames once: a folder of pictures a video, whole or not there, resumed, and a sentence for each that has none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, read_barcode
from filelock import FileLock

from vidbench.arguments import EXTRACT, ConvertConfig, ExtractConfig, TrainConfig
from vidbench.data.decode import read_clip
from vidbench.data.exports import convert
from vidbench.data.extract import extract, folders_of, listed
from vidbench.data.index import load_records
from vidbench.data.load import read_views
from vidbench.data.pictures import frame_rate
from vidbench.data.sample import uniform
from vidbench.records import ConfigError, InputSpec, RunError, VideoRecord

SPLITS = {"train": 4, "test": 1}


@pytest.fixture(scope="module")
def videos(make_video, tmp_path_factory) -> Path:
    """Two classes in two splits, with a list that knows sources."""
    root, lines = tmp_path_factory.mktemp("videos"), ["path,label,split,group"]
    for number, label in enumerate(("Jump", "Run")):
        for split, count in SPLITS.items():
            for clip in range(count):
                path = f"{label}/{split}_{clip}.mp4"
                make_video(root / path, num_frames=30 + 5 * number + clip, width=80, height=60)
                lines.append(f"{path},{label},{split},{label}{split}{clip}")
    (root / "annotations.csv").write_text("\n".join(lines) + "\n")
    return root


def config(root, out, **options) -> ExtractConfig:
    words = {"dataset": "csv", "data_dir": str(root), "out": str(out), "num_workers": 0, "split": "train"}
    return ExtractConfig(**words | options)


def tree(folder: Path) -> dict:
    """Content and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def copy_of(videos: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(videos, tmp_path / "copy"))


def test_the_pictures_are_those_frames_and_the_lists_name_them(videos, tmp_path):
    done = extract(config(videos, tmp_path / "out", frames=7, num_workers=2))
    assert (done.exit_status, done.skipped) == (0, [])
    assert done.summary.startswith("56 pictures of 8 of 8 videos")
    entries = json.loads((tmp_path / "out" / "datalist.json").read_text())
    assert [set(entry) for entry in entries] == [{"path", "class_name", "label", "num_frames"}] * 8
    for entry in entries:
        total = read_clip(videos / f"{entry['path']}.mp4", [0]).info.num_frames
        clip = read_clip(tmp_path / "out" / entry["path"], range(7))
        assert [read_barcode(frame) for frame in clip.frames] == uniform(total, 7)[0].tolist()
        assert (entry["num_frames"], clip.status, clip.frames.shape) == (7, "ok", (7, 60, 80, 3))
    for dataset in ("csv", "datalist.json"):
        where = {"annotations": None if dataset == "csv" else tmp_path / "out" / dataset}
        records = load_records("csv", tmp_path / "out", "train", **where)
        assert [(r.path, r.label, r.status) for r in records] == [(e["path"], e["class_name"], "ok") for e in entries]
    groups = [record.group for record in load_records("csv", tmp_path / "out", "train")]
    assert groups == [record.group for record in load_records("csv", videos, "train")]


def test_a_network_sees_in_the_pictures_what_it_sees_in_the_video(videos, tmp_path):
    extract(config(videos, tmp_path / "out", frames=6))
    spec = InputSpec(6, None, (40, 54), (36, 48), (0.5,) * 3, (0.5,) * 3, sampling="uniform")
    ours, theirs = (
        read_views(path, spec).pixels.astype(int)
        for path in (tmp_path / "out" / "Run" / "train_2", videos / "Run" / "train_2.mp4")
    )
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() < 3  # of 255: JPEG


def test_all_frames_keep_the_videos_rate_and_some_have_theirs(videos, tmp_path):
    extract(config(videos, tmp_path / "all", frames="all", short_side=30))
    clip = read_clip(tmp_path / "all" / "Run" / "train_3", range(38))
    assert [read_barcode(frame) for frame in clip.frames] == list(range(38))
    assert clip.frames.shape == (38, 30, 40, 3)
    assert frame_rate(tmp_path / "all" / "Run" / "train_3") == pytest.approx(25, abs=0.01)
    extract(config(videos, tmp_path / "some", frames=6))
    step = np.diff(uniform(38, 6)[0]).mean()
    assert frame_rate(tmp_path / "some" / "Run" / "train_3") == pytest.approx(25 / step, rel=1e-3)


def test_again_changes_nothing_and_does_what_is_left_or_has_changed(videos, make_video, tmp_path):
    root, out = copy_of(videos, tmp_path), tmp_path / "out"
    extract(config(root, out))
    before = tree(out)
    extract(config(root, out))
    after = tree(out)
    assert {name: content for name, (content, _) in before.items()} == {n: c for n, (c, _) in after.items()}
    pictures = [name for name in before if name.endswith(".jpg")]
    assert all(before[name] == after[name] for name in pictures)
    (out / "Jump" / "train_0" / "img_00003.jpg").unlink()
    shutil.rmtree(out / "Jump" / "train_1")
    make_video(root / "Run" / "train_1.mp4", num_frames=50, width=64, height=60)
    extract(config(root, out))
    mended = tree(out)
    remade = {str(Path(name).parent) for name in pictures if mended[name] != before[name]}
    assert remade == {"Jump/train_0", "Jump/train_1", "Run/train_1"}
    clip = read_clip(out / "Run" / "train_1", range(16))
    assert [read_barcode(frame) for frame in clip.frames] == uniform(50, 16)[0].tolist()


def test_all_are_the_videos_of_every_split_that_is_there(tmp_path, caplog):
    """As the folders or the list name them; where they name none, the written list names none either."""

    def found(**words) -> list[tuple[str, str]]:
        given = config(root, tmp_path / "out", split="all", **words).checked()
        seen = [(record.split, record.path) for record in listed(given)]
        convert(ConvertConfig(to="csv", out=str(tmp_path / "c" / "list.csv"), split="all", data_dir=str(root), **words))
        rows = (line.split(",") for line in (tmp_path / "c" / "list.csv").read_text().splitlines()[1:])
        assert [(split, path) for path, _, split, _ in rows] == seen
        (tmp_path / "c" / "labels.txt").unlink()
        return seen

    root = tmp_path / "list"
    root.mkdir()
    rows = ["a.mp4,Run,training", "b.mp4,Jump,val", "c.mp4,Run,extra"]
    (root / "annotations.csv").write_text("\n".join(["path,label,split", *rows]) + "\n")
    assert found(dataset="csv") == [("train", "a.mp4"), ("val", "b.mp4"), ("extra", "c.mp4")]
    (root / "list.txt").write_text("a.mp4 Run\nb.mp4 Jump\n")
    assert found(dataset="csv", annotations=str(root / "list.txt")) == [("", "a.mp4"), ("", "b.mp4")]
    for number, (split, label) in enumerate((("val", "Run"), ("train", "Run"), ("train", "Jump"))):
        place = tmp_path / "parts" / split / label / f"{number}.mp4"
        place.parent.mkdir(parents=True)
        place.write_bytes(b"x")
    (tmp_path / "parts" / "test" / "Run").mkdir(parents=True)
    root = tmp_path / "parts"
    assert found(dataset="folder") == [
        ("train", "train/Jump/2.mp4"),
        ("train", "train/Run/1.mp4"),
        ("val", "val/Run/0.mp4"),
    ]
    assert "folder test is left out: No video is listed in split 'test'" in caplog.text
    root = tmp_path / "parts" / "train"
    assert found(dataset="folder") == [("", "Jump/2.mp4"), ("", "Run/1.mp4")]
    caplog.clear()
    assert {record.split for record in listed(ExtractConfig(dataset="vidmini", out=str(tmp_path / "o")).checked())} == {
        "test"
    }
    assert "vidmini train is left out: No train list" in caplog.text


def test_what_cannot_be_read_is_named_and_counted_and_the_rest_is_there(videos, tmp_path):
    root, said = copy_of(videos, tmp_path), []
    (root / "Jump" / "train_0.mp4").write_bytes(b"")
    (root / "Run" / "train_0.mp4").write_text("words")
    (root / "Run" / "train_1.mp4").unlink()
    done = extract(config(root, tmp_path / "out", num_workers=1), tell=said.append)
    assert done.exit_status == 3
    assert [line.partition(":")[0] for line in said] == ["Jump/train_0.mp4", "Run/train_0.mp4", "Run/train_1.mp4"]
    assert [why.partition(":")[0] for _, why in done.skipped] == ["empty", "not_media", "missing"]
    assert done.summary.endswith("left out: 1 empty, 1 not_media, 1 missing")
    assert len(json.loads((tmp_path / "out" / "datalist.json").read_text())) == 5
    shutil.copy(videos / "Run" / "train_0.mp4", root / "Run" / "train_0.mp4")
    again = extract(config(root, tmp_path / "out", present_only=True, classes=("Run",)))
    assert (again.exit_status, len(again.num_frames)) == (0, 3)


def test_folders_that_hold_something_else_are_refused_and_stay_as_they_are(videos, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "annotations.csv").write_text("mine")
    with pytest.raises(RunError, match="was not made by this program; choose another --out"):
        extract(config(videos, mine))
    assert tree(mine).keys() == {"annotations.csv"}
    extract(config(videos, tmp_path / "out", frames=4))
    before = tree(tmp_path / "out")
    with pytest.raises(RunError, match="made with num_frames 4, not 5"):
        extract(config(videos, tmp_path / "out", frames=5))
    assert tree(tmp_path / "out") == before
    for out in (videos, videos.parent):
        with pytest.raises(ConfigError, match="--out holds the videos"):
            extract(config(videos, out))
    with pytest.raises(ConfigError, match=r"--out lies in the folder of classes .* name a folder outside"):
        extract(config(videos, videos / "frames", dataset="folder"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file is there"):
        extract(config(videos, tmp_path / "file"))
    shutil.rmtree(tmp_path / "out" / "Jump" / "train_0")
    (tmp_path / "out" / "Jump" / "train_0").mkdir()
    (tmp_path / "out" / "Jump" / "train_0" / "img_00001.jpg").write_bytes(b"mine")
    done = extract(config(videos, tmp_path / "out", frames=4))
    assert [why for _, why in done.skipped if "holds pictures already" in why]


def test_two_processes_do_not_write_into_one_folder(videos, tmp_path):
    extract(config(videos, tmp_path / "out", frames=4))
    with (
        FileLock(tmp_path / "out" / "held", timeout=0),
        pytest.raises(RunError, match="another process writes to"),
    ):
        extract(config(videos, tmp_path / "out", frames=4))


def test_two_videos_of_one_name_have_folders_of_their_own():
    names = ["A/x.mp4", "A/x.avi", "A/y.mp4", "A/Y.webm", "B/x.mp4", "A/z.1.mp4"]
    places = folders_of([VideoRecord(name, name, "A", 0) for name in names])
    assert places["B/x.mp4"] == "B/x"
    assert places["A/z.1.mp4"] == "A/z.1"
    assert [places[name] for name in names[:4]] == names[:4]
    assert len(set(places.values())) == len(names)


def test_killed_anywhere_it_ends_as_if_undisturbed(videos, tmp_path):
    """Killed without a warning, several times; then run to its end."""
    command = [sys.executable, str(ROOT / "scripts" / "extract_frames.py"), "csv", "--data-dir", str(videos)]
    command += ["--split", "train", "--num-workers", "1", "--frames", "all", "--out"]
    extract(config(videos, tmp_path / "quiet", frames="all"))
    for seconds in (0.7, 1.1, 1.5):
        killed = subprocess.Popen([*command, str(tmp_path / "out")], stderr=subprocess.DEVNULL)
        try:
            killed.wait(seconds)
        except subprocess.TimeoutExpired:
            killed.kill()
            killed.wait()
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found, wanted = ({n: c for n, (c, _) in tree(tmp_path / name).items()} for name in ("out", "quiet"))
    assert found == wanted


def test_options_are_those_of_the_help_and_bad_ones_one_sentence(capsys):
    asked = EXTRACT.parse_or_exit(["hmdb51", "--frames", "all", "--out", "frames"])
    assert (asked.dataset, asked.frames, asked.split, asked.quality) == ("hmdb51", None, "all", 95)
    for words, said in (
        (["vidmini", "--out", "x", "--frames", "0"], "--frames must be a whole number from 1 to 100000, or 'all'"),
        (["vidmini", "--out", "x", "--quality", "101"], "--quality must be a whole number from 1 to 100"),
        (["vidmini"], "--out"),
    ):
        with pytest.raises(SystemExit) as left:
            EXTRACT.parse_or_exit(words)
        assert left.value.code == 2
        assert said in capsys.readouterr().err


def test_training_reads_the_pictures(videos, tmp_path):
    from vidbench.train import train

    extract(config(videos, tmp_path / "out", frames=8, split="train"))
    (tmp_path / "out" / "labels.txt").write_text("Jump\nRun\n")
    done = train(
        TrainConfig(
            model="mini_r2plus1d.vidmini_v1", weights="random", dataset="csv", data_dir=str(tmp_path / "out"),
            num_frames=8, epochs=1, batch_size=2, val_share=0.25, num_workers=0, no_tensorboard=True, device="cpu",
            cache_dir=str(tmp_path / "clips"), results_dir=str(tmp_path), run_name="run",
        )
    )  # fmt: skip
    assert done.exit_status == 0
    assert done.metrics["listed"]["top1"]["n"] == 2
    assert os.path.isfile(tmp_path / "run" / "best.safetensors")
