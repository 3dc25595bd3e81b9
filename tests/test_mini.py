import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidbench import mini_recipe
from vidbench.data import mini
from vidbench.data.decode import probe, read_clip
from vidbench.data.drawn.actions import ACTIONS, NOBODY
from vidbench.data.drawn.ink import FRAME_RATE, STAGE_HEIGHT, STAGE_WIDTH, box
from vidbench.data.drawn.places import draw_backdrop
from vidbench.data.drawn.shots import MAX_FRAMES, MIN_FRAMES, direct
from vidbench.records import ConfigError

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "data" / "vidmini"


def digest(frames: np.ndarray) -> str:
    return hashlib.sha256(frames.tobytes()).hexdigest()


def make(folder, split="test", **options) -> list:
    return list(mini.make_mini(folder, split, **{"seed": 0, "per_class": 1, "num_workers": 0, **options}))


def lists(folder) -> dict[str, list[str]]:
    return {path.name: path.read_text().splitlines() for path in sorted((Path(folder) / "splits").iterdir())}


@pytest.mark.parametrize("label", mini.CLASSES)
def test_the_same_seed_draws_the_same_pixels_and_another_seed_does_not(label):
    first = mini.draw_clip(label, 3, split="train", seed=7)
    t, h, w, c = first.shape
    assert MIN_FRAMES <= t <= MAX_FRAMES
    assert (h, w, c) == (120, 160, 3)
    assert first.dtype == np.uint8
    mini.draw_clip(label, 0, split="train", seed=7)  # drawing another clip in between changes nothing
    assert digest(mini.draw_clip(label, 3, split="train", seed=7)) == digest(first)
    others = [mini.draw_clip(label, 3, seed=7), mini.draw_clip(label, 3, split="train", seed=8)]
    others += [mini.draw_clip(label, 4, split="train", seed=7)]
    assert len({digest(clip) for clip in [first, *others]}) == 4


def test_another_process_draws_the_same_pixels():
    code = "from vidbench.data.mini import draw_clip; from hashlib import sha256; "
    code += "print(sha256(draw_clip('SitDown', 2, seed=5).tobytes()).hexdigest())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(mini.draw_clip("SitDown", 2, seed=5))


@pytest.mark.parametrize("pair", mini.PAIRS, ids="-".join)
def test_the_second_class_of_a_pair_is_the_first_one_backwards(pair):
    """Given the same random numbers, the two classes draw the same frames in opposite order."""
    first, second = pair
    seed, code, index = 4, mini.SPLIT_CODES["train"], 6
    scene = [seed, code, 1000 + mini.CLASSES.index(first), index // mini.GROUP_SIZE]
    clip = [seed, code, mini.CLASSES.index(second), index]
    forwards = direct(first, np.random.default_rng(scene), np.random.default_rng(clip)).draw()
    np.testing.assert_array_equal(mini.draw_clip(second, index, split="train", seed=seed), forwards[::-1])
    clip[2] = mini.CLASSES.index(first)
    forwards = direct(first, np.random.default_rng(scene), np.random.default_rng(clip)).draw()
    np.testing.assert_array_equal(mini.draw_clip(first, index, split="train", seed=seed), forwards)


def test_a_pair_shares_its_scenes():
    """The place tells nothing about the direction: both classes of a pair are filmed in every scene."""
    a, b = (draw_backdrop(np.random.default_rng([0, 1, 1000, group])).picture for group in (0, 0))
    np.testing.assert_array_equal(a, b)
    names = [mini.clip_name(label, "train", 9) for label in ("SitDown", "StandUp")]
    assert [name.split("_")[-2:] for name in names] == [["g105", "c02.mp4"]] * 2


def test_classes_are_four_pairs_and_at_least_four_others():
    assert len(mini.CLASSES) >= 12
    assert tuple(sorted(mini.CLASSES)) == mini.CLASSES
    assert set(mini.ORDER) | set(mini.APPEARANCE) == set(mini.CLASSES)
    assert len(mini.PAIRS) == 4
    assert not set(mini.ORDER) & set(mini.APPEARANCE)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A test split of one clip a class, written by two workers; copy it before changing it."""
    folder = tmp_path_factory.mktemp("vidmini")
    make(folder, num_workers=2)
    return folder


def test_the_folder_is_laid_out_as_ucf101_is(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    assert make(tmp_path, "train", seed=3, num_workers=2)[-1] == (12, 12)  # beside the other split
    found = lists(tmp_path)
    assert found["classInd.txt"][:2] == ["1 Approach", "2 CloseDoor"]
    assert found["testlist01.txt"][-2] == "SitDown/v_SitDown_g01_c01.mp4"
    assert found["trainlist01.txt"][-1] == "StandUp/v_StandUp_g101_c01.mp4 12"
    listed = {line.split()[0] for name in ("testlist01.txt", "trainlist01.txt") for line in found[name]}
    videos = tmp_path / "videos"
    assert {path.relative_to(videos).as_posix() for path in videos.rglob("*.*")} == listed
    splits = json.loads((tmp_path / "manifest.json").read_text())["splits"]
    assert {split: entry["seed"] for split, entry in splits.items()} == {"test": 0, "train": 3}
    assert splits["test"]["classes"]["StandUp"]["num_clips"] == 1


def test_groups_never_cross_splits():
    names = {
        split: {mini.clip_name("SitDown", split, index).split("_")[2] for index in range(200)}
        for split in mini.SPLIT_CODES
    }
    assert not names["test"] & names["train"]
    assert len(names["test"]) == 100
    with pytest.raises(ConfigError, match="1 to 200 clips"):
        mini.check_split("test", 201)


def test_an_interrupted_drawing_goes_on_and_ends_as_workers_end(drawn, tmp_path):
    steps = mini.make_mini(tmp_path, "test", seed=0, per_class=1, num_workers=0)
    for done, _ in steps:
        if done == 5:
            steps.close()
            break
    assert not (tmp_path / "splits").exists()  # no list promises clips that are not there
    assert len(list((tmp_path / "videos").rglob("*"))) == 10  # 5 folders, 5 clips, nothing half-written
    assert make(tmp_path)[0] == (5, 12)
    contents = [{path.name: path.read_bytes() for path in folder.rglob("*.*")} for folder in (drawn, tmp_path)]
    assert contents[0] == contents[1]


def test_a_folder_of_another_seed_is_left_alone(drawn):
    before = sorted((str(path), path.stat().st_mtime_ns) for path in drawn.rglob("*"))
    with pytest.raises(ConfigError, match=r"seed 0.*asked for were seed 1.*Choose another folder"):
        make(drawn, seed=1)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in drawn.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "val"}, "splits test and train, not 'val'"),
        ({"per_class": 0}, "not 0"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_bad_arguments_are_named_before_any_work(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        make(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ConfigError, match="no class 'Sit'"):
        mini.draw_clip("Sit", 0)


def test_a_foreign_manifest_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "other"}')
    with pytest.raises(ConfigError, match="not a manifest of vidmini"):
        make(tmp_path)


def test_encoding_keeps_the_picture_and_hides_the_direction():
    """Forwards and backwards, no frame's place in the clip shows in how well it is coded."""
    errors = []
    for label in ("OpenDoor", "PlayGuitar", "RightToLeft"):
        frames = mini.draw_clip(label, 1, seed=9)
        path_bytes = mini.encode_clip(frames)
        decoded = decode_bytes(path_bytes)
        assert decoded.shape == frames.shape
        error = np.abs(decoded.astype(int) - frames).mean((1, 2, 3))
        assert error.max() < 14
        errors.append([part.mean() for part in np.array_split(error, 3)])
    first, _, last = np.mean(errors, axis=0)
    assert abs(first - last) < 0.1 * first


def decode_bytes(data: bytes) -> np.ndarray:
    import io

    import av

    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


# --- the shipped split -----------------------------------------------------------------------


def test_the_shipped_split_is_complete_small_and_readable():
    found = lists(SHIPPED)
    assert [line.split()[1] for line in found["classInd.txt"]] == list(mini.CLASSES)
    paths = [SHIPPED / "videos" / line for line in found["testlist01.txt"]]
    assert len(paths) >= 144
    assert all(sum(path.parent.name == label for path in paths) >= 12 for label in mini.CLASSES)
    assert sum(path.stat().st_size for path in paths) <= 8_000_000
    for path in paths[::12]:
        info = probe(path)
        assert (info.width, info.height, info.codec) == (160, 120, "h264")
        assert 2.0 <= info.duration_s <= 3.0
        assert info.frame_rate == pytest.approx(25)


def test_the_shipped_files_are_those_the_manifest_lists():
    manifest = mini.read_manifest(SHIPPED)
    assert manifest["recipe"] == mini.RECIPE
    for label, entry in manifest["splits"]["test"]["classes"].items():
        names = [mini.clip_name(label, "test", index) for index in range(entry["num_clips"])]
        digests = "".join(hashlib.sha256((SHIPPED / "videos" / name).read_bytes()).hexdigest() for name in names)
        assert hashlib.sha256(digests.encode()).hexdigest() == entry["files_sha256"]


@pytest.mark.parametrize("label", mini.CLASSES)
def test_the_code_still_draws_the_shipped_clips(label):
    """After encoding the pixels are near, not equal: encoders and processors may differ."""
    drawn = mini.draw_clip(label, 5, seed=0)
    clip = read_clip(SHIPPED / "videos" / mini.clip_name(label, "test", 5), lambda table: range(table.num_frames))
    assert clip.frames.shape == drawn.shape
    soft = [np.stack([cv2.blur(frame, (5, 5)) for frame in frames[::5]]) for frames in (drawn, clip.frames)]
    assert np.abs(soft[0].astype(int) - soft[1]).mean() < 4  # another seed's clip: about 50


# --- ground truth beyond the label ------------------------------------------------------------


@pytest.mark.parametrize("label", ["CloseDoor", "HoldUmbrella", "SitDown"])
def test_the_actor_is_where_its_mask_says(label, monkeypatch):
    """The clip drawn again without its actor: pixels differ inside the mask and nowhere else."""
    frames, mask = mini.draw_clip(label, 3), mini.actor_mask(label, 3)
    assert mask.shape == frames.shape[:3]
    assert mask.dtype == bool
    action = next((first for first, second in mini.PAIRS if label == second), label)
    with_actor = ACTIONS[action]

    def without_actor(*arguments):
        with_actor(*arguments)  # draws the same random numbers
        return lambda number, stage: None

    monkeypatch.setitem(ACTIONS, action, without_actor)
    differs = (frames != mini.draw_clip(label, 3)).any(-1)
    grown = np.stack([cv2.dilate(picture.astype(np.uint8), np.ones((5, 5))) for picture in mask]).astype(bool)
    assert differs[mask].mean() > 0.97
    assert differs[~grown].mean() < 1e-3  # the thin tip of an umbrella covers less than half a pixel
    assert 0.02 < mask.mean() < 0.5


def test_what_passes_in_front_is_cut_out_of_the_mask():
    rng = np.random.default_rng(3)
    shot = direct("RideBicycle", rng, rng)
    left_half = (lambda number, stage: box(stage, -9, -9, STAGE_WIDTH / 2, STAGE_HEIGHT + 9, (7, 7, 7)),)
    open_view, hidden = (dataclasses.replace(shot, before=before).masks() for before in ((), left_half))
    assert hidden.sum() < open_view.sum()
    assert not (hidden & ~open_view).any()


def test_a_long_video_has_one_action_after_the_other_and_says_when():
    labels = ["StandUp", NOBODY, "PlayGuitar", "StandUp"]
    frames, truth = mini.draw_long(labels, seed=3)
    assert [label for _, _, label in truth] == labels
    assert truth[0][0] == 0.0
    assert all(end == start for (_, end, _), (start, _, _) in itertools.pairwise(truth))
    assert len(frames) / FRAME_RATE == truth[-1][1]
    steps = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean((1, 2, 3))
    cuts = [round(start * FRAME_RATE) - 1 for start, _, _ in truth[1:]]
    assert set(np.argsort(steps)[-3:]) == set(cuts), "the picture changes most where the truth has a cut"
    again, _ = mini.draw_long(labels, seed=3)
    np.testing.assert_array_equal(frames, again)
    assert digest(frames[: cuts[0]]) != digest(mini.draw_long(labels, seed=4)[0][: cuts[0]])


def test_a_long_video_needs_known_classes():
    with pytest.raises(ConfigError, match=r"no class 'Sit'.*Nobody"):
        mini.draw_long(["SitDown", "Sit"])
    with pytest.raises(ConfigError, match="at least one class"):
        mini.draw_long([])


def test_a_long_video_lands_in_a_file(tmp_path):
    truth = mini.write_long(tmp_path / "long.mp4", ["HoldBalloon", "Approach"], seed=1)
    drawn, _ = mini.draw_long(["HoldBalloon", "Approach"], seed=1)
    clip = read_clip(tmp_path / "long.mp4", lambda table: range(table.num_frames))
    assert clip.frames.shape == drawn.shape
    assert clip.info.duration_s == pytest.approx(truth[-1][1], abs=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]


# --- how hard it is --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_set():
    """Drawn, not encoded: 24 training clips a class and 24 to test, 8 frames each at 80x60."""

    def draw(split, per_class):
        clips, labels = [], []
        for label in mini.CLASSES:
            for index in range(per_class):
                frames = mini.draw_clip(label, index, split=split, seed=11)
                clips.append(cv2_half(frames[mini_recipe.middle_indices(len(frames), 8)]))
                labels.append(mini.CLASSES.index(label))
        return np.stack(clips), np.array(labels)

    return draw("train", 24), draw("test", 24)


def cv2_half(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(frame, (80, 60), interpolation=cv2.INTER_LINEAR) for frame in frames])


@pytest.mark.slow
def test_a_linear_model_on_thumbnails_learns_nothing_about_direction(small_set):
    for kind, report in mini_recipe.hardness(*small_set).items():
        assert report["appearance"]["high"] < 0.6, kind
        inside = report["inside_all_pairs"]
        assert inside["low"] <= 0.5 <= inside["high"], kind


# --- the command -----------------------------------------------------------------------------


def run_script(name: str, *words) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_command_says_what_it_wrote_and_refuses_another_seed_in_one_sentence(tmp_path):
    done = run_script("make_mini.py", tmp_path / "out", "--split", "train", "--per-class", 1, "--workers", 0)
    assert done.returncode == 0, done.stderr
    assert "12 clips of split train" in done.stdout
    assert len(list((tmp_path / "out" / "videos").rglob("*.mp4"))) == 12
    done = run_script("make_mini.py", tmp_path / "out", "--split", "train", "--per-class", 1, "--seed", 4)
    assert done.returncode == 2
    assert "Choose another folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_hardness_without_a_train_split_says_how_to_draw_one():
    done = run_script("mini_hardness.py", SHIPPED, SHIPPED)
    assert done.returncode == 2
    assert "make_mini.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_leaves_no_worker_and_no_half_written_clip(tmp_path):
    words = [sys.executable, str(ROOT / "scripts" / "make_mini.py"), str(tmp_path), "--per-class", "100"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: list(tmp_path.rglob("*.mp4")))
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "make_mini: stopped. To continue: " in error
    wait_for(lambda: not group_alive(process.pid))
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_workers_end_with_a_killed_parent(tmp_path):
    words = [sys.executable, str(ROOT / "scripts" / "make_mini.py"), str(tmp_path), "--per-class", "100"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: list(tmp_path.rglob("*.mp4")))
    process.kill()
    process.wait()
    wait_for(lambda: not group_alive(process.pid))


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
