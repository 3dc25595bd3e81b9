"""Views become one answer, and fewer of them give, bit by bit, what a run with fewer would have given."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vidbench import predict, views
from vidbench.arguments import EvaluateConfig
from vidbench.data import process, sample
from vidbench.evaluate import evaluate
from vidbench.metrics import softmax
from vidbench.models import CARDS
from vidbench.records import RunError
from vidbench.runs import read_json, read_rows
from vidbench.scores import figures, ladder_of, open_logits, probabilities

ROOT = Path(__file__).resolve().parents[1]


# --- one answer


def test_averages_are_what_their_names_say():
    logits = np.random.default_rng(0).normal(size=(5, 3, 7)).astype(np.float32)
    each = softmax(logits)
    np.testing.assert_allclose(views.aggregate(logits, "probabilities"), each.mean(1))
    np.testing.assert_allclose(views.aggregate(logits, "logits"), softmax(logits.astype(float).mean(1)))
    best = views.aggregate(logits, "max")
    np.testing.assert_allclose(best, each.max(1) / each.max(1).sum(-1, keepdims=True))
    np.testing.assert_allclose(best.sum(-1), 1)
    with pytest.raises(ValueError, match="not 'mean'"):
        views.aggregate(logits, "mean")


@pytest.mark.parametrize("how", views.AVERAGES)
def test_many_videos_at_once_give_the_same_bits_as_one(how):
    logits = (np.random.default_rng(1).normal(size=(6, 30, 11)) * 5).astype(np.float32)
    spec = dataclasses.replace(CARDS["mini_r2plus1d.vidmini_v1"].input, average=how)
    together = views.aggregate(logits, how)
    assert all((predict.average(video, spec) == scores).all() for video, scores in zip(logits, together))


# --- which views are those of a smaller run


@pytest.mark.parametrize("sampling", ["clips", "clips_from_start", "uniform", "segments", "dense"])
def test_nested_clips_are_the_frames_of_the_smaller_run(sampling):
    rng, found = np.random.default_rng(2), 0
    card = dataclasses.replace(CARDS["r3d_18.kinetics400_v1"].input, sampling=sampling, num_frames=4)
    for num_clips in (2, 3, 5, 9, 10):
        for wanted in range(1, num_clips + 1):
            places = views.nested_clips(sampling, num_clips, wanted)
            same = True
            for length, rate in zip(rng.integers(1, 400, 25), rng.choice([12.0, 25.0, 30000 / 1001], 25)):
                stamps = np.arange(length) / rate
                many, few = (
                    sample.indices_for(dataclasses.replace(card, num_clips=number), stamps, rate)
                    for number in (num_clips, wanted)
                )
                if places is not None:
                    np.testing.assert_array_equal(many[list(places)], few)
                same &= all(any((clip == other).all() for other in many) for clip in few)
            found += places is not None
            assert same == (places is not None), (num_clips, wanted)
    assert found >= 10


def test_nested_crops_are_the_pixels_of_the_smaller_run():
    frames = np.random.default_rng(3).integers(0, 256, (4, 9, 14, 3), dtype=np.uint8)
    for many in (1, 3, 10):
        for few in (1, 3, 10):
            places = views.nested_crops(many, few) if few <= many else None
            if places is not None:
                crops = process.CROPS[many](frames, (5, 6))
                for place, crop in zip(places, process.CROPS[few](frames, (5, 6)), strict=True):
                    np.testing.assert_array_equal(crops[place], crop)


def test_ten_crops_are_torchvisions():
    import torch
    from torchvision.transforms.functional import ten_crop

    frames = np.random.default_rng(4).integers(0, 256, (2, 11, 17, 3), dtype=np.uint8)
    theirs = ten_crop(torch.from_numpy(frames).permute(0, 3, 1, 2), [5, 8])
    for our, their in zip(process.ten_crops(frames, (5, 8)), theirs, strict=True):
        np.testing.assert_array_equal(our, their.permute(0, 2, 3, 1).numpy())


def test_a_ladder_counts_as_a_plain_loop_does():
    rng = np.random.default_rng(5)
    logits, labels = rng.normal(size=(41, 9, 6)).astype(np.float32), rng.integers(0, 6, 41)
    spec = {"sampling": "clips", "num_clips": 3, "num_crops": 3, "average": "max"}
    found = views.ladder(logits, labels, [f"g{n // 2}" for n in range(41)], spec, num_lost=4)
    assert [(rung["num_clips"], rung["num_crops"]) for rung in found] == [
        (1, 1),
        (2, 1),
        (1, 3),
        (3, 1),
        (2, 3),
        (3, 3),
    ]
    for rung, step in zip(found, views.rungs("clips", 3, 3)):
        for how in views.AVERAGES:
            scores = [views.aggregate(video[list(step["views"])], how) for video in logits]
            right = sum(score.argmax() == label for score, label in zip(scores, labels))
            assert rung["by_average"][how] == pytest.approx(right / 45)
        assert (rung["top1"]["n"], rung["clustered"]["n"]) == (45, 45)
        assert rung["top1"]["value"] == rung["by_average"]["max"]


# --- real runs


def run(tmp_path, name, **changed):
    values = {
        "model": "mini2d.vidmini_v1", "dataset": "vidmini", "data_dir": str(ROOT / "data" / "vidmini"), "limit": 9,
        "batch_size": 4, "num_workers": 0, "no_cache": True, "results_dir": str(tmp_path), "run_name": name,
        "device": "cpu", "precision": "fp32", **changed,
    }  # fmt: skip
    return evaluate(EvaluateConfig(**values)).run_folder


@pytest.mark.parametrize("model", ["mini2d.vidmini_v1", "mini_r2plus1d.vidmini_v1"])
def test_every_rung_of_a_ladder_is_the_direct_run_bit_by_bit(tmp_path, model):
    shape = {"num_clips": 3, "num_crops": 3, "average": "probabilities"}
    folder = run(tmp_path, "many", model=model, **shape)
    manifest = read_json(folder / "manifest.json")
    rows, _ = read_rows(folder / "rows.jsonl")
    logits, found = open_logits(folder, len(rows)), ladder_of(folder, manifest, rows)
    steps = views.rungs(manifest["spec"]["sampling"], 3, 3)
    assert len(found) == len(steps) >= 4
    for rung, step in zip(found, steps):
        changed = {**shape, "num_clips": step["num_clips"], "num_crops": step["num_crops"]}
        direct = run(tmp_path, f"{step['num_clips']}x{step['num_crops']}", model=model, **changed)
        theirs = open_logits(direct, len(rows))
        assert (logits[:, list(step["views"])] == theirs).all()
        metrics = read_json(direct / "metrics.json")
        assert rung["top1"] == metrics["listed"]["top1"]
        if len(step["views"]) > 1:
            assert metrics["view_ladder"][-1] == rung


def test_a_neighbour_that_cannot_be_read_changes_no_bit(tmp_path):
    import shutil

    videos = sorted((ROOT / "data" / "vidmini" / "videos").glob("*/*.mp4"))[:8]
    folders = [tmp_path / name for name in ("good", "bad")]
    for folder in folders:
        for video in videos:
            (folder / video.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(video, folder / video.parent.name / video.name)
    (folders[1] / videos[2].parent.name / videos[2].name).write_bytes(b"")
    same = {"dataset": "folder", "label_map": "names", "limit": None, "model": "mini_r2plus1d.vidmini_v1"}
    same |= {"max_skipped": 1.0}
    good, bad = (open_logits(run(tmp_path, f.name + "_run", data_dir=str(f), **same), 8) for f in folders)
    others = [place for place in range(8) if place != 2]
    assert (good[others] == bad[others]).all()
    assert np.isnan(bad[2]).all()


def test_a_ladder_of_mapped_classes_speaks_of_the_datasets_classes(tmp_path):
    import shutil

    videos = sorted((ROOT / "data" / "vidmini" / "videos").glob("[RS]*/*.mp4"))[::7]
    for video in videos:  # four of the model's twelve classes, with indices of their own
        (tmp_path / "data" / video.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video, tmp_path / "data" / video.parent.name / video.name)
    mapped = {"dataset": "folder", "label_map": "names", "limit": None, "data_dir": str(tmp_path / "data")}
    folder = run(tmp_path, "mapped", num_crops=3, **mapped)
    metrics = read_json(folder / "metrics.json")
    assert metrics["n_classes"] < 12
    assert metrics["view_ladder"][-1]["top1"] == metrics["listed"]["top1"]
    assert metrics["calibration"]["n"] == len(videos)
    assert metrics["calibration"]["nll"] is None  # the scores of mapped classes are no distribution
    direct = read_json(run(tmp_path, "direct", num_crops=1, **mapped) / "metrics.json")
    assert metrics["view_ladder"][0]["top1"] == direct["listed"]["top1"]


def test_probabilities_from_logits_are_those_of_the_rows(tmp_path):
    folder = run(tmp_path, "run", num_crops=10, average="max", short_side=96)
    manifest, (rows, _) = read_json(folder / "manifest.json"), read_rows(folder / "rows.jsonl")
    assert manifest["spec"]["resize"] == 96
    assert set(manifest["protocol"]["changed"]) == {"num_crops", "average", "resize"}
    scores = probabilities(folder, manifest, rows)
    for row, found in zip(rows, scores):
        assert [label for label, _, _ in row.top[:1]] == [manifest["labels"][found.argmax()]]
        assert row.top[0][2] == pytest.approx(found.max(), rel=1e-6)
    result = figures(folder, manifest, rows, manifest["labels"])
    assert [(rung["num_crops"], rung["num_views"]) for rung in result["view_ladder"]] == [(1, 1), (10, 10)]
    assert result["calibration"]["n"] == 9
    assert result["calibration"]["nll"] > 0


def test_logits_that_do_not_belong_to_the_rows_are_said_and_cost_no_other_figure(tmp_path):
    folder = run(tmp_path, "run", num_crops=3)
    manifest, (rows, _) = read_json(folder / "manifest.json"), read_rows(folder / "rows.jsonl")
    whole = figures(folder, manifest, rows, manifest["labels"])
    logits = np.load(folder / "logits.npy", allow_pickle=False)
    spoilt = {
        "NaN or infinity for": logits.copy(),
        "not float32 logits of 9": logits[:5],
        "float64": logits.astype(float),
    }
    spoilt["NaN or infinity for"][3, 1, 2] = np.nan
    for words, value in spoilt.items():
        np.save(folder / "logits.npy", value)
        with pytest.raises(RunError, match=words):
            probabilities(folder, manifest, rows)
        part = figures(folder, manifest, rows, manifest["labels"])
        assert part["view_ladder"] is None
        assert any("left out" in note for note in part["notes"])
        assert part["listed"] == whole["listed"]
        assert part["calibration"]["ece"] == whole["calibration"]["ece"]
    for data in (b"", b"\x93NUMPY\x01\x00", b"not an array"):
        (folder / "logits.npy").write_bytes(data)
        with pytest.raises(RunError, match="cannot be read"):
            open_logits(folder, 9)
    (folder / "logits.npy").unlink()
    with pytest.raises(RunError, match="does not exist"):
        open_logits(folder, 9)
