"""What a run came to in a few lines: its figures, how it was made, what limits it, what to beware of."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from test_report import CLASSES, fake_manifest, fake_rows

from vidbench.manifest_words import command
from vidbench.metrics import summarise
from vidbench.page.cautions import cautions
from vidbench.records import Row
from vidbench.stage_times import bottleneck_words
from vidbench.summary import summary_text


def test_the_summary_says_what_was_measured_and_how():
    rows, manifest = fake_rows(np.random.default_rng(0), CLASSES, 144), fake_manifest(CLASSES, 144)
    text = summary_text(manifest, summarise(rows, CLASSES), Path("results/x/report.html"))
    lines = text.splitlines()
    assert 6 <= len(lines) <= 12
    assert lines[0] == "model      r2plus1d_mini.vidmini"
    assert re.search(r"^top-1 \d\d\.\d % \[\d\d\.\d, \d\d\.\d\], n=144 \(\d+ skipped\)$", text, re.M)
    assert "1 view, 16 frames at 12.5 per second, crop 112x112, pyav, bf16 on cpu" in text
    assert "decoding limits it" in text
    assert lines[-1] == "report     results/x/report.html"


def test_the_summary_warns_in_at_most_twelve_lines_whatever_is_wrong():
    manifest = fake_manifest(
        CLASSES, 2000, model__random=True, dataset__limit=2000, dataset__n_in_split=9999, dataset__present_only=True,
        protocol={"on_card": False, "changed": {"frame_rate": [25.0, 5.0], "crop": [[224, 224], [112, 112]]}},
        label_map={"unmapped": ["a"]}, dataset__classes=["x", "y"],
    )  # fmt: skip
    rows = fake_rows(np.random.default_rng(1), CLASSES, 200, skipped=0.3)
    text = summary_text(manifest, summarise(rows, CLASSES, unmapped=["a"]), Path("r.html"))
    assert len(text.splitlines()) <= 12
    assert "NO RESULT: the weights are random" in text
    assert "frame_rate 5 instead of 25" in text
    assert "crop 112 x 112 instead of 224 x 224" in text
    assert text.splitlines()[-1] == "report     r.html"


def test_a_clean_full_run_needs_no_caution():
    rows = [Row(i, f"v{i}", "", CLASSES[i], i, "", "", "ok", top=((CLASSES[i], i, 0.9),), rank=0) for i in range(12)]
    assert cautions(fake_manifest(CLASSES, 12, dataset__n_in_split=144), summarise(rows, CLASSES)) == []


@pytest.mark.parametrize(
    ("classes", "crops", "said"),
    [
        (["LeftToRight", "waving", "RightToLeft"], 10, "a mirrored 'LeftToRight' shows 'RightToLeft' (2 classes"),
        (["LeftToRight", "waving", "RightToLeft"], 3, None),
        (["waving", "upright"], 10, None),
    ],
)
def test_ten_crops_of_classes_that_name_left_or_right_are_not_passed_over(classes, crops, said):
    row = Row(0, "v0", "", classes[0], 0, "", "", "ok", top=((classes[0], 0, 0.9),), rank=0)
    found = cautions(
        fake_manifest(classes, 1, dataset__n_in_split=144, spec__num_crops=crops), summarise([row], classes)
    )
    texts = [caution["text"] for caution in found if caution["title"] == "Mirrored crops" and caution["in_summary"]]
    assert (said in texts[0]) if said else not texts


@pytest.mark.parametrize(
    ("seconds", "workers", "device", "expected"),
    [
        ({"decode": 40.0, "forward": 5.0}, 2, "cpu", "decoding limits it (20.0 s each in 2 workers"),
        (
            {"decode": 9.0, "transform": 1.0, "forward": 50.0},
            1,
            "cpu",
            "the network limits it (50.0 s, decoding 10.0 s): a GPU",
        ),
        ({"decode": 9.0, "forward": 50.0}, 4, "cuda", "lower precision or a larger batch"),
    ],
)
def test_the_bottleneck_is_the_side_that_keeps_the_other_waiting(seconds, workers, device, expected):
    manifest = {"timing": {"seconds": seconds}, "run": {"num_workers": workers, "device": device}}
    assert expected in bottleneck_words(manifest)[0]
    assert bottleneck_words({}) == []


def test_the_command_makes_the_run_again():
    manifest = fake_manifest(
        CLASSES, 10, model__random=True, dataset__data_dir="my data/$x", dataset__classes=["sit down", "wave"],
        dataset__limit=10, label_map={"source": "names"}, protocol={"changed": {"frame_rate": [25.0, 5.0]}},
        dataset__present_only=True,
    )  # fmt: skip
    words = command(manifest)
    assert words.startswith(
        "python scripts/evaluate.py --model r2plus1d_mini.vidmini --weights random --dataset vidmini "
    )
    assert "--data-dir 'my data/$x'" in words
    assert "--classes 'sit down' wave --limit 10" in words
    assert "--present-only --label-map names --frame-rate 5 --batch-size 8" in words
