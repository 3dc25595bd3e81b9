"""Studies take the protocol and the target of an evaluation: every run has the views, one has the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidbench import robustness, temporal
from vidbench.records import ConfigError
from vidbench.study_arguments import ROBUSTNESS, TEMPORAL, RobustnessConfig, TemporalConfig

ROOT = Path(__file__).resolve().parents[1]
TARGET = "r3d-18-kinetics400-v1-kinetics400"


def asked(tmp_path, **changed) -> dict:
    values = {"model": "mini_r2plus1d.vidmini_v1", "dataset": "vidmini", "data_dir": str(ROOT / "data" / "vidmini")}
    values |= {"limit": 6, "num_workers": 0, "cache_dir": str(tmp_path / "clips"), "out": str(tmp_path / "study")}
    return values | changed


def manifests(tmp_path) -> list[dict]:
    """Of all runs of the study, by the name of their folder."""
    return [json.loads(path.read_text()) for path in sorted(tmp_path.glob("study/runs/*/manifest.json"))]


def test_every_run_of_a_study_has_the_views_of_the_protocol_and_the_other_network_its_own_frames(tmp_path):
    file = tmp_path / "views.json"
    file.write_text('{"num_clips": 2, "average": "max", "num_frames": 12, "resize": 80}')
    found = temporal.study(TemporalConfig(**asked(tmp_path, protocol=str(file), changes=("reverse",), target=TARGET)))
    single, plain, reverse = sorted(manifests(tmp_path), key=lambda one: (one["model"]["name"], str(one["spec"])))
    plain, reverse = (reverse, plain) if "temporal" in plain["spec"] else (plain, reverse)
    for one in (single, plain, reverse):
        assert (one["spec"]["num_clips"], one["spec"]["average"]) == (2, "max")
    assert [one["spec"]["num_frames"] for one in (plain, reverse)] == [12, 12]
    assert (single["model"]["name"], single["spec"]["num_frames"], single["spec"]["resize"]) == (
        "mini2d.vidmini_v1",
        8,
        [60, 80],
    )
    assert [one["protocol"]["target"] for one in (single, plain, reverse)] == [None, TARGET, None]
    said = temporal.text(found)
    assert said.count("protocol   as views.json says, 2 clips x 1 crop = 2 views, 12 frames") == 1
    assert said.count("verdict    NOT COMPARABLE with published 63.2 % on kinetics400 val") == 1
    page = temporal.write_study(found, tmp_path / "study").read_text()
    assert "2 clips x 1 crop = 2 views, 12 frames" in page
    assert "Verdict of the unchanged videos" in page


def test_one_view_of_corrupted_videos_has_the_verdict_of_the_unchanged_ones_alone(tmp_path):
    config = asked(tmp_path, protocol="fast", corruptions=("low-light",), severities=(2,))
    found = robustness.study(RobustnessConfig(**config))
    assert [one["protocol"]["asked"] for one in manifests(tmp_path)] == ["fast"] * 4  # two models, with and without
    said = robustness.text(found)
    assert "protocol   fast: the card's own single view, 1 view, 16 frames" in said
    assert said.count("verdict    CONSISTENT: published 100.00 % on vidmini test") == 1
    assert "a subset of 6 videos" in said
    assert said.index("verdict") < said.index("top-1 of mini2d.vidmini_v1"), "it is not that of the second table"
    assert "Verdict of the unchanged videos" in robustness.write_study(found, tmp_path / "study").read_text()


@pytest.mark.parametrize("program", [TEMPORAL, ROBUSTNESS])
def test_the_programs_take_both_flags(program, capsys):
    words = ["--model", "mini2d", "--dataset", "vidmini", "--protocol", "fast", "--target", TARGET]
    asked = program.parse_or_exit(words)
    assert (asked.protocol, asked.target) == ("fast", TARGET)
    with pytest.raises(SystemExit):
        program.parse_or_exit(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Every run of the study has these views" in told
    assert "Options below" not in told, "studies have none of the views"


def test_a_protocol_that_cannot_be_used_is_refused_before_the_first_run(tmp_path):
    for text, words in (('{"num_clip": 2}', "has a field 'num_clip'"), ("[1]", "holds no JSON object")):
        (tmp_path / "views.json").write_text(text)
        with pytest.raises(ConfigError, match=words):
            temporal.study(TemporalConfig(**asked(tmp_path, protocol=str(tmp_path / "views.json"))))
    with pytest.raises(ConfigError, match="--target cannot be used: There is no published result"):
        robustness.study(RobustnessConfig(**asked(tmp_path, target="nothing-like-it")))
    assert not (tmp_path / "study").exists()
