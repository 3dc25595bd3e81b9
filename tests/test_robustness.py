"""Corruption errors are sums over severities, relative to another model, with an interval over groups."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from vidbench.progress import Progress
from vidbench.records import ConfigError, RunError
from vidbench.robustness import corruption_errors, mean_with_interval, study, text, write_study
from vidbench.study_arguments import ROBUSTNESS, RobustnessConfig

ROOT = Path(__file__).resolve().parents[1]
MODEL = "mini_r2plus1d.vidmini_v1"


def outcomes(errors: list, num_videos=10) -> np.ndarray:
    """Right or wrong (2, C, S, N), the first so many videos wrong."""
    return np.arange(num_videos) >= np.array(errors)[..., None]


def test_a_corruption_error_is_the_ratio_of_errors_added_up_over_severities():
    ours, theirs = [[1, 2, 6], [0, 0, 3]], [[2, 5, 5], [2, 2, 2]]
    found = corruption_errors(outcomes([ours, theirs]))
    assert found.tolist() == pytest.approx([9 / 12, 3 / 6])
    assert np.isinf(corruption_errors(outcomes([[[1]], [[0]]]))[0])
    assert np.isnan(corruption_errors(outcomes([[[0]], [[0]]]))[0])


def test_the_interval_of_the_mean_draws_whole_groups():
    rng = np.random.default_rng(3)
    one = rng.random((2, 3, 4, 40)) < np.array([0.8, 0.6])[:, None, None, None]
    four_times = np.repeat(one, 4, axis=-1)
    alone = mean_with_interval(one, [""] * 40, seed=0)
    groups = [f"g{n // 4}" for n in range(160)]
    together = mean_with_interval(four_times, groups, seed=0)
    ignored = mean_with_interval(four_times, [""] * 160, seed=0)
    assert alone["low"] < alone["value"] < alone["high"]
    width = [found["high"] - found["low"] for found in (alone, together, ignored)]
    assert width[1] == pytest.approx(width[0], rel=0.2)  # four copies of a video tell no more than one
    assert width[2] < 0.65 * width[0]


def test_a_mean_that_is_not_finite_is_not_a_figure():
    assert mean_with_interval(outcomes([[[1]], [[0]]]), [""] * 10, seed=0) is None


def test_few_groups_make_a_wide_interval_of_the_mean_and_one_makes_none():
    rng = np.random.default_rng(5)
    right = rng.random((2, 3, 2, 60)) < np.array([0.8, 0.6])[:, None, None, None]
    few, many = (mean_with_interval(right, [f"g{n % size}" for n in range(60)], seed=0) for size in (4, 60))
    assert few["high"] - few["low"] > 1.5 * (many["high"] - many["low"])  # plain percentiles: 1.24 times
    one = mean_with_interval(right, ["film"] * 60, seed=0)
    assert (one["value"], one["low"], one["high"]) == (few["value"], 0, np.inf)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("robustness")
    config = RobustnessConfig(
        model=MODEL,
        dataset="vidmini",
        data_dir=str(ROOT / "data/vidmini"),
        corruptions=("gaussian-noise", "frame-rate"),
        severities=(5, 1),
        classes=("SitDown", "StandUp", "PlayGuitar"),
        num_workers=0,
        no_cache=True,
        out=str(out / "study"),
    )
    told = io.StringIO()
    found = study(config, Progress(told))
    (out / "told.txt").write_text(told.getvalue())
    return found, out


def test_it_is_said_which_of_the_runs_begins(small):
    lines = (small[1] / "told.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("run ")] == [
        f"run {number} of 10: {kind}, {model}"
        for number, (model, kind) in enumerate(
            itertools.product(
                (MODEL, "mini2d.vidmini_v1"),
                ("plain", "gaussian-noise:5", "gaussian-noise:1", "frame-rate:5", "frame-rate:1"),
            ),
            1,
        )
    ]


def test_both_models_run_on_the_same_videos_under_each_corruption(small):
    found, out = small
    assert [model["name"] for model in found.models] == [MODEL, "mini2d.vidmini_v1"]
    assert len(list((out / "study/runs").iterdir())) == 2 * (1 + 2 * 2)
    for model in found.models:
        assert [line["corruption"] for line in model["lines"]] == ["gaussian-noise", "frame-rate"]
        for line in model["lines"]:
            strong, weak = (cell["accuracy"] for cell in line["cells"])
            assert strong["n"] == weak["n"] == 36
            assert strong["value"] < weak["value"] or line["corruption"] == "frame-rate"
    noise = found.models[0]["lines"][0]["cells"][0]
    assert noise["change"]["value"] == pytest.approx(noise["accuracy"]["value"] - found.models[0]["plain"]["value"])
    assert noise["change"]["high"] < 0  # noise as strong as the picture
    errors = [sum(1 - c["accuracy"]["value"] for c in m["lines"][0]["cells"]) for m in found.models]
    assert found.errors["gaussian-noise"] == pytest.approx(errors[0] / errors[1])
    assert found.mean["value"] == pytest.approx(np.mean(list(found.errors.values())))


def test_the_tables_and_the_page_say_it_all_and_need_nothing_else(small, tmp_path):
    found, _ = small
    page = write_study(found, tmp_path).read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert not re.search(r"(src|href)=.?(http|//)", page)
    assert "Mean corruption error" in page
    with open(tmp_path / "robustness.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    assert [line["severity"] for line in lines[:4]] == ["5", "1", "5", "1"]
    assert "of the errors of mini2d.vidmini_v1" in text(found)


def test_without_a_single_frame_model_there_is_no_corruption_error(small, tmp_path):
    found, _ = small
    alone = dataclasses.replace(found, models=found.models[:1], errors=None, mean=None)
    assert "no corruption error" in text(alone)
    run = alone.plain.entry.run
    run = dataclasses.replace(run, manifest={**run.manifest, "spec": {**run.manifest["spec"], "layout": "NCHW"}})
    plain = dataclasses.replace(alone.plain, entry=dataclasses.replace(alone.plain.entry, run=run))
    assert "the model itself sees single frames" in text(dataclasses.replace(alone, plain=plain))
    assert "no corruption error" in write_study(alone, tmp_path).read_text(encoding="utf-8").lower()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--corruptions", "rain"], "--corruptions must be one of gaussian-noise"),
        (["--severities", "1", "6"], "--severities must be a whole number from 1 to 5"),
    ],
)
def test_a_wrong_option_is_one_sentence(flags, words, capsys):
    with pytest.raises(SystemExit) as leaving:
        ROBUSTNESS.parse_or_exit(["--model", MODEL, "--dataset", "vidmini", *flags])
    assert leaving.value.code == 2
    assert words in capsys.readouterr().err


def test_a_model_of_many_frames_is_no_measure(tmp_path):
    config = RobustnessConfig(model=MODEL, dataset="vidmini", single_frame=MODEL, out=str(tmp_path / "out"))
    with pytest.raises(ConfigError, match="sees 16 frames at once"):
        study(config)
    assert not (tmp_path / "out").exists()


def test_advice_names_the_options_of_a_study(small, tmp_path):
    _, out = small
    options = {"model": MODEL, "dataset": "vidmini", "data_dir": str(ROOT / "data/vidmini"), "single_frame": "none"}
    other = RobustnessConfig(**options, classes=("OpenDoor",), num_workers=0, no_cache=True, out=str(out / "study"))
    with pytest.raises(RunError, match=r"is another run: .*use another --out, or remove the folder"):
        study(other)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(ConfigError, match=r"--out: its part .*runs' cannot be made or written to"):
        study(RobustnessConfig(**options, out=str(blocked)))
