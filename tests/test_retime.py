"""A changed time is the same in every worker, costs no second decoding, and hurts just the classes that need time."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from vidbench.arguments import EVALUATE, EvaluateConfig
from vidbench.data import mini
from vidbench.data.barcode import read_numbers, write_numbered
from vidbench.data.cache import ClipCache
from vidbench.data.load import ViewReader, read_views
from vidbench.data.retime import half_speed, held_at, order_of, parse_temporal
from vidbench.evaluate import evaluate
from vidbench.models import CARDS, load_model
from vidbench.records import ConfigError, InputSpec, RunError, VideoRecord
from vidbench.runs import read_json
from vidbench.study_arguments import TEMPORAL, TemporalConfig
from vidbench.temporal import study, text, write_study
from vidbench.variants import single_frame_model

ROOT = Path(__file__).resolve().parents[1]
VIDEOS = ROOT / "data/vidmini/videos"
HALF = (0.5, 0.5, 0.5)
SPEC = InputSpec(7, 12.5, (120, 160), (120, 160), HALF, HALF, num_clips=3)
MODEL = "mini_r2plus1d.vidmini_v1"


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("numbered") / "counted.mp4", 60)


def seen(views) -> np.ndarray:
    """Numbers in the pictures, (V, T)."""
    return np.stack([read_numbers(view) for view in views.pixels])


def changed(path, temporal, spec=SPEC, **options):
    return read_views(path, dataclasses.replace(spec, temporal=temporal), **options)


@pytest.mark.parametrize("temporal", ["shuffle", "reverse", "freeze-first", "freeze-middle", "half-speed", "fps:5"])
def test_the_pictures_are_those_that_the_indices_say(numbered, temporal):
    views = changed(numbered, temporal)
    assert np.array_equal(seen(views), views.indices)
    assert views.indices.shape == (3, 7)
    assert not np.array_equal(views.indices, read_views(numbered, SPEC).indices)


def test_orders_keep_and_freezing_repeats_the_frames_of_a_clip(numbered):
    plain = read_views(numbered, SPEC).indices
    assert np.array_equal(changed(numbered, "reverse").indices, plain[:, ::-1])
    assert np.array_equal(changed(numbered, "freeze-first").indices, np.repeat(plain[:, :1], 7, axis=1))
    assert np.array_equal(changed(numbered, "freeze-middle").indices, np.repeat(plain[:, 3:4], 7, axis=1))
    shuffled = changed(numbered, "shuffle").indices
    assert np.array_equal(np.sort(shuffled, axis=1), plain)
    order = np.searchsorted(plain[0], shuffled[0])
    assert not np.array_equal(order, np.searchsorted(plain[1], shuffled[1]))  # each clip in its own way


def test_every_crop_of_a_clip_is_shuffled_alike(numbered):
    spec = dataclasses.replace(SPEC, crop=(120, 100), num_crops=3, num_clips=2)
    plain, shuffled = read_views(numbered, spec), changed(numbered, "shuffle", spec)
    for view in range(6):
        order = np.searchsorted(plain.indices[view // 3], shuffled.indices[view // 3])
        assert np.array_equal(shuffled.pixels[view], plain.pixels[view][order])


def test_a_video_is_shuffled_by_its_name_whatever_reads_it(numbered, tmp_path):
    spec = dataclasses.replace(SPEC, temporal="shuffle")
    record = VideoRecord("a", numbered.name)
    with ViewReader(numbered.parent, spec, num_workers=1) as reader:
        ((_, there),) = reader.stream([(0, record)])
    here = read_views(numbered, spec)
    assert np.array_equal(there.pixels, here.pixels)
    assert np.array_equal(there.indices, here.indices)
    moved, renamed = tmp_path / numbered.name, tmp_path / "other.mp4"
    shutil.copy(numbered, moved), shutil.copy(numbered, renamed)
    assert np.array_equal(read_views(moved, spec).indices, here.indices)
    assert not np.array_equal(read_views(renamed, spec).indices, here.indices)


def test_every_permutation_is_as_likely():
    drawn = [tuple(order_of("shuffle", 1, 3, seed)[0]) for seed in range(1200)]
    counts = [drawn.count(order) for order in sorted(set(drawn))]
    assert len(counts) == 6
    assert min(counts) > 140
    assert max(counts) < 260


def test_an_order_needs_no_second_decoding_and_other_frames_have_an_entry_of_their_own(numbered, tmp_path, monkeypatch):
    cache = ClipCache(tmp_path / "clips")
    read_views(numbered, SPEC, cache=cache)
    uncached = changed(numbered, "reverse").pixels
    with monkeypatch.context() as patch:
        patch.setattr("vidbench.data.load.open_video", None)  # whatever decodes now fails
        for temporal in ("shuffle", "reverse", "freeze-first", "freeze-middle"):
            found = changed(numbered, temporal, cache=cache)
        assert np.array_equal(changed(numbered, "reverse", cache=cache).pixels, uncached)
    assert len(cache.entries()) == 1
    for number, temporal in enumerate(("half-speed", "fps:5", "fps:2"), start=2):
        for _ in range(2):
            found = changed(numbered, temporal, cache=cache)
            assert np.array_equal(found.pixels, changed(numbered, temporal).pixels)
        assert len(cache.entries()) == number


def test_motion_is_found_between_frames_in_their_new_order(numbered, tmp_path):
    spec = dataclasses.replace(SPEC, modality="flow", mean=HALF[:2], std=HALF[:2])
    cache = ClipCache(tmp_path / "clips")
    frozen = changed(numbered, "freeze-first", spec, cache=cache)
    assert frozen.pixels.shape == (3, 7, 120, 160, 2)
    assert (frozen.pixels == 128).all()  # nothing moves
    plain, turned = read_views(numbered, spec, cache=cache), changed(numbered, "reverse", spec, cache=cache)
    ball = (slice(None), slice(60, 110), slice(20, 140), 0)  # the barcode above it flickers
    there, back = plain.pixels[1][ball].astype(float) - 128, turned.pixels[1][::-1][ball].astype(float) - 128
    assert there.mean() * back.mean() < 0  # what went right goes left
    assert len(cache.entries()) == 3
    assert np.array_equal(changed(numbered, "reverse", spec, cache=cache).pixels, turned.pixels)


def test_half_speed_takes_half_the_time_and_frames_in_between():
    found = half_speed(np.array([[10, 20, 30, 40, 50], [0, 1, 2, 3, 4]]))
    assert found.tolist() == [[20, 25, 30, 35, 40], [1, 1, 2, 2, 3]]
    assert half_speed(np.array([[5]])).tolist() == [[5]]


@pytest.mark.parametrize("rate", [0.5, 3.0, 7.5, 25.0, 60.0])
def test_a_lower_rate_holds_frames_and_never_looks_ahead(rate):
    pts_s, indices = np.arange(75) / 25, np.arange(0, 75, 4)
    held = held_at(indices, pts_s, 25.0, rate)
    assert (held <= indices).all()
    assert (np.diff(held) >= 0).all()
    assert (pts_s[indices] - pts_s[held] < 1 / rate + 1e-9).all()
    assert len(set(held)) <= np.ceil(3 * rate)
    if rate >= 25:
        assert np.array_equal(held, indices)


def test_stamps_that_are_no_time_count_as_the_frame_rate():
    assert held_at(np.arange(6), np.full(6, np.nan), 10.0, 5.0).tolist() == [0, 0, 2, 2, 4, 4]


# ---------------------------------------------------------------- the flag


@pytest.mark.parametrize("value", ["sideways", "fps", "fps:0", "fps:-3", "fps:nan", "fps:1e3", "fps:2000", "", 3, None])
def test_a_change_that_does_not_exist_is_refused(value):
    with pytest.raises(ConfigError, match=r"must be one of shuffle, reverse, .*fps:N"):
        parse_temporal(value)


def test_the_flag_says_what_can_be_given_in_one_sentence(capsys):
    for program in (EVALUATE, TEMPORAL):
        flag = "--temporal" if program is EVALUATE else "--changes"
        with pytest.raises(SystemExit) as leaving:
            program.parse_or_exit(["--model", MODEL, "--dataset", "vidmini", flag, "backwards"])
        said = capsys.readouterr().err.strip().splitlines()
        assert leaving.value.code == 2
        assert len(said) == 2
        assert f"{flag} must be one of shuffle" in said[0]
        assert "not 'backwards'" in said[0]


def test_a_reader_refuses_an_unknown_change_before_any_video():
    with pytest.raises(ConfigError, match="a change of time must be one of"):
        ViewReader(".", dataclasses.replace(SPEC, temporal="twice"), num_workers=0)


def test_a_changed_run_is_off_card_by_name_and_no_other_run_continues_it(tmp_path):
    options = {"model": MODEL, "dataset": "vidmini", "limit": 3, "num_workers": 0, "no_cache": True}
    options |= {"precision": "fp32", "results_dir": str(tmp_path), "data_dir": str(ROOT / "data/vidmini")}
    outcome = evaluate(EvaluateConfig(**options, temporal="fps:3"))
    manifest = read_json(outcome.run_folder / "manifest.json")
    assert outcome.run_folder.name.endswith("-fps-3")
    asked = {"asked": "card", "target": None}
    kept = {"on_card": False, "num_views": 1, "changed": {"temporal": [None, "fps:3"]}, **asked}
    assert manifest["protocol"] == kept
    assert "temporal fps:3" in outcome.summary
    assert "not comparable with the card's published figure" in outcome.summary
    assert "--temporal fps:3" in " ".join(manifest["command"])
    with pytest.raises(RunError, match="temporal"):
        evaluate(EvaluateConfig(**options, run_name=outcome.run_folder.name, temporal="fps:4"))


# ---------------------------------------------------------------- the ground truth of vidmini


def test_a_model_of_single_frames_does_not_see_the_order():
    model = load_model("mini2d.vidmini_v1")
    for path in sorted(VIDEOS.glob("*/*g03_c01.mp4"))[::3]:
        plain, *others = (changed(path, temporal, model.spec).pixels for temporal in (None, "shuffle", "reverse"))
        expected, *found = model.logits([plain, *others], 4)
        for logits in found:
            np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.fixture(scope="module")
def mini_study(tmp_path_factory):
    out = tmp_path_factory.mktemp("temporal")
    config = TemporalConfig(
        model=MODEL,
        dataset="vidmini",
        data_dir=str(ROOT / "data/vidmini"),
        changes=("shuffle", "reverse"),
        num_workers=0,
        cache_dir=str(out / "clips"),
        out=str(out / "study"),
    )
    return study(config), out / "study"


def test_shuffling_and_reversing_hurt_exactly_the_order_classes(mini_study):
    found, _ = mini_study
    order_classes = {label for pair in mini.PAIRS for label in pair}
    assert {line["label"] for line in found.classes if line["needs_time"]} == order_classes
    assert {line["label"] for line in found.classes[:8]} == order_classes
    for line in found.changes:
        assert line["change"]["high"] < -0.2
        assert line["holm"] < 0.001


def test_a_study_without_a_change_of_order_says_that_it_cannot_tell(mini_study, tmp_path):
    found = dataclasses.replace(mini_study[0], changes=[])
    assert "no change of order was asked for" in text(found)
    assert "hurts" not in text(found)
    assert "No change of order was asked for" in write_study(found, tmp_path).read_text(encoding="utf-8")


def test_reversing_swaps_the_two_classes_of_a_pair(mini_study):
    found, _ = mini_study
    said = {line["label"]: line["turned"] for line in found.classes}
    for first, second in mini.PAIRS:
        assert (said[first], said[second]) == (f"{second} 12 of 12", f"{first} 12 of 12")
    for label in set(mini.CLASSES) - {label for pair in mini.PAIRS for label in pair}:
        assert said[label].startswith(f"{label} 1")


def test_the_single_frame_model_is_found_and_worse(mini_study):
    found, _ = mini_study
    assert found.single["name"] == "mini2d.vidmini_v1"
    assert found.single["change"]["high"] < 0
    assert single_frame_model("none", MODEL, None) is None
    assert single_frame_model(None, "mvit_v2_s.kinetics400_v1", None) in (None, *CARDS)
    with pytest.raises(ConfigError, match="sees 16 frames at once"):
        single_frame_model(MODEL, MODEL, None)


def test_a_study_of_a_partial_copy_counts_what_is_there_when_asked_to(tmp_path):
    copy = tmp_path / "part"
    shutil.copytree(ROOT / "data" / "vidmini", copy)
    for path in sorted(copy.glob("videos/*/*.mp4")):
        if not path.name.endswith("g03_c01.mp4"):
            path.unlink()
    asked = {"model": MODEL, "dataset": "vidmini", "data_dir": str(copy), "single_frame": "none", "num_workers": 0}
    asked |= {"changes": ("reverse",), "cache_dir": str(tmp_path / "clips")}
    found = study(TemporalConfig(**asked, present_only=True, out=str(tmp_path / "there")))
    assert (len(found.plain.entry.right), found.skipped) == (12, False)
    whole = study(TemporalConfig(**asked, out=str(tmp_path / "listed")))
    assert (len(whole.plain.entry.right), whole.skipped) == (144, True)


def test_the_page_and_tables_say_it_all_and_need_nothing_else(mini_study, tmp_path):
    found, _ = mini_study
    for line in found.classes:
        if line["label"] == "SitDown":
            line["label"] = "<script>alert(1)</script>"
    page = write_study(found, tmp_path).read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"(src|href)=.?(http|//)", page)
    assert "hurts 8 of 12 classes" in page
    assert "StandUp 12 of 12" in page
    table = (tmp_path / "classes.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 13
    assert table[0].startswith("label,n,unchanged,shuffle value,shuffle low,shuffle high,reverse")
    assert [line.split(",")[0] for line in (tmp_path / "changes.csv").read_text().splitlines()] == [
        "change", "unchanged", "shuffle", "reverse", "mini2d.vidmini_v1",
    ]  # fmt: skip
    assert "8 of 12" in text(found)
    assert "reversed, it says" in text(found)
