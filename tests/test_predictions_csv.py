"""A line a video, in listed order, whatever its text holds."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from test_report import CLASSES, fake_rows

from vidbench.predictions_csv import write_predictions_csv
from vidbench.records import Row

ROWS = fake_rows(np.random.default_rng(0), CLASSES, 144)


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_has_one_line_per_listed_video_with_the_seed_s_columns(tmp_path):
    write_predictions_csv(tmp_path / "predictions.csv", ROWS, 3)
    lines = read_csv(tmp_path / "predictions.csv")
    assert list(lines[0]) == [
        "YouTube_Id",
        "Ground_Truth",
        "pred_1",
        "pred_2",
        "pred_3",
        "score_1",
        "score_2",
        "score_3",
        "video_id",
        "path",
        "split",
        "group",
        "status",
        "reason",
        "num_frames",
        "frame_rate",
        "rank",
    ]
    assert [line["video_id"] for line in lines] == [row.video_id for row in ROWS]
    for line, row in zip(lines, ROWS):
        assert line["Ground_Truth"] == row.label
        assert line["status"] == row.status
        assert [line["pred_1"], line["pred_3"]] == ([row.top[0][0], row.top[2][0]] if row.predicted else ["", ""])
        assert line["rank"] == (str(row.rank) if row.predicted else "")
        if row.predicted:
            assert float(line["score_2"]) == pytest.approx(row.top[1][2], rel=5e-6)


def test_the_csv_keeps_foreign_text_and_no_cell_is_a_formula(tmp_path):
    bad = 'a,"b"\n=1+1\x00\x1b \u05e9\u05dc \udcff'
    rows = [Row(0, "-0AbCdEfGh1_000003_000013", bad, "=cmd|' /C calc'!A0", 1, "val", "", "missing", bad)]
    rows += [
        Row(1, "@v", "p", None, -1, "", "", "ok", top=(("only one", 0, 1 / 3),), num_frames=30, frame_rate=29.97002997)
    ]
    write_predictions_csv(tmp_path / "p.csv", rows, 2)
    first, second = read_csv(tmp_path / "p.csv")
    assert first["YouTube_Id"] == "'-0AbCdEfGh1"
    assert first["video_id"] == "'-0AbCdEfGh1_000003_000013"
    assert first["Ground_Truth"] == "'=cmd|' /C calc'!A0"
    assert second["video_id"] == "'@v"
    assert first["path"] == first["reason"] == 'a,"b"\\n=1+1\\x00\\x1b \u05e9\u05dc \\udcff'
    assert second["score_1"] == "0.333333"
    assert second["frame_rate"] == "29.97"
    assert second["pred_2"] == second["score_2"] == second["Ground_Truth"] == second["rank"] == ""
    assert (tmp_path / "p.csv").read_bytes().count(b"\n") == 3
    assert not any(cell.startswith(tuple("=+-@\t\r")) for line in (first, second) for cell in line.values())


def test_the_csv_of_random_weights_says_so_on_every_line(tmp_path):
    write_predictions_csv(tmp_path / "p.csv", ROWS, 5, random_weights=True)
    assert {line["note"] for line in read_csv(tmp_path / "p.csv")} == {"random weights: no result"}


def test_the_csv_has_the_same_bytes_every_time(tmp_path):
    for name in ("one", "two"):
        write_predictions_csv(tmp_path / name, ROWS, 5)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
