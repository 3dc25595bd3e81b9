"""The parts of a report: what is confused, which mistakes are shown, and colours that text can be read on."""

from __future__ import annotations

import re

import numpy as np
import pytest
from test_report import CLASSES, fake_rows

from vidbench.metrics import row_confusion
from vidbench.page.confused import NUM_CONFUSED, confused_pairs, confusion
from vidbench.page.fill import TEMPLATES, clean
from vidbench.page.mistakes import confident_mistakes, film_strip, thumbnail
from vidbench.records import Row, UnreadableVideo


def test_hostile_text_stays_readable():
    assert clean("a\x1b[31m\u202eb\nc\udcff") == "a\\x1b[31m\\u202eb\\nc\\udcff"
    hebrew = "\u05e9\u05dc\u05d5\u05dd"
    assert clean(hebrew) == hebrew
    assert len(clean("x" * 5000)) == 400
    assert clean(7) == 7
    assert clean(None) is None


def contrast(one, other):
    """Contrast of two ``#rrggbb`` colours, https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""
    lights = []
    for colour in (one, other):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        parts = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(parts @ [0.2126, 0.7152, 0.0722])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_can_be_read_on_every_colour(mode):
    css = (TEMPLATES / "report.css").read_text()
    colours = {}
    for block in css.split(":root")[1 : 3 if mode == "dark" else 2]:
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block.split("}")[0]))
    pairs = [(text, on) for text in ("ink", "muted", "link") for on in ("paper", "ground")]
    pairs += [("stop", "stop-bg"), ("warn", "warn-bg"), ("accent", "paper")]
    pairs += [("on-light", f"{kind}{shade}") for kind in "rw" for shade in range(1, 6)]
    pairs += [("on-strong", f"{kind}{shade}") for kind in "rw" for shade in range(6, 9)]
    poor = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert {pair: ratio for pair, ratio in poor.items() if ratio < 4.5} == {}


def test_the_shown_matrix_holds_every_listed_video():
    rng = np.random.default_rng(6)
    for num_classes, whole in ((12, True), (40, True), (41, False), (90, False)):
        labels = [f"c{index}" for index in range(num_classes)]
        rows = fake_rows(rng, labels, 1200, accuracy=0.5, skipped=0.1)
        matrix = row_confusion(rows, labels)
        shown = confusion(matrix, labels)
        assert shown["whole"] is whole
        assert len(shown["classes"]) == (num_classes if whole else NUM_CONFUSED)
        for line in shown["lines"]:
            total = sum(cell["count"] for cell in line["cells"]) + line["rest"] + line["lost"]
            assert total == matrix[labels.index(line["label"])].sum()
            assert all((cell["shade"] == 0) == (cell["count"] == 0) and cell["shade"] <= 8 for cell in line["cells"])
        assert whole == (sum(line["rest"] for line in shown["lines"]) == 0)


def test_classes_that_do_not_occur_are_left_out_of_the_matrix():
    labels = [f"c{index}" for index in range(101)]
    rows = [Row(i, f"v{i}", "", labels[7], 7, "", "", "ok", top=((labels[90], 90, 0.9),), rank=1) for i in range(3)]
    shown = confusion(row_confusion(rows, labels), labels)
    assert shown["classes"] == ["c7", "c90"]
    assert shown["whole"]
    assert confusion(np.zeros((4, 5), np.int64), "abcd") is None


def test_confused_pairs_come_most_frequent_first_with_the_way_back():
    matrix = np.zeros((4, 5), np.int64)
    matrix[0] = [5, 3, 0, 0, 2]
    matrix[1] = [1, 9, 0, 0, 0]
    matrix[2] = [0, 0, 0, 3, 0]
    pairs = confused_pairs(matrix, "abcd")
    assert [(pair["true"], pair["said"], pair["count"], pair["n"], pair["back"]) for pair in pairs] == [
        ("c", "d", 3, 3, 0),
        ("a", "b", 3, 10, 1),
        ("b", "a", 1, 10, 3),
    ]
    assert pairs[1]["share"] == 0.3


def test_mistakes_are_those_the_model_was_surest_of():
    rows = fake_rows(np.random.default_rng(2), CLASSES, 500, accuracy=0.6)
    chosen = confident_mistakes(rows)
    wrong = [row for row in rows if row.predicted and row.rank != 0]
    assert len(chosen) == 12
    assert all(row in wrong for row in chosen)
    limit = min(row.top[0][2] for row in chosen)
    assert [row.top[0][2] for row in chosen] == sorted((row.top[0][2] for row in chosen), reverse=True)
    assert sum(row.top[0][2] > limit for row in wrong) <= 11


def test_a_film_strip_shows_six_frames_from_the_whole_video(make_video, tmp_path):
    import base64

    import cv2
    from conftest import read_barcode

    path = make_video(tmp_path / "clip.mp4", num_frames=60, width=320, height=240)
    strip = film_strip(path)
    assert [frame["time"] for frame in strip] == ["0.2 s", "0.6 s", "1.0 s", "1.4 s", "1.8 s", "2.2 s"]
    assert {(frame["width"], frame["height"]) for frame in strip} == {(160, 120)}
    pictures = [base64.b64decode(frame["uri"].removeprefix("data:image/jpeg;base64,")) for frame in strip]
    decoded = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in pictures]
    assert [read_barcode(picture[..., ::-1]) for picture in decoded] == [5, 15, 25, 35, 45, 55]


def test_a_film_strip_of_a_short_video_shows_every_frame_once(make_video, tmp_path):
    strip = film_strip(make_video(tmp_path / "short.mp4", num_frames=4, width=100, height=400))
    assert [(frame["width"], frame["height"]) for frame in strip] == 4 * [(40, 160)]
    with pytest.raises(UnreadableVideo, match="not at its place"):
        film_strip(tmp_path / "gone.mp4")


def test_a_thumbnail_keeps_shape_and_colour():
    import base64

    import cv2

    frame = np.zeros((40, 200, 3), np.uint8) + np.array([200, 40, 90], np.uint8)
    small = thumbnail(frame)
    data = np.frombuffer(base64.b64decode(small["uri"].split(",")[1]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    assert picture.shape == (32, 160, 3) == (small["height"], small["width"], 3)
    assert np.abs(picture.astype(int) - frame[0, 0]).max() <= 4
    tall = thumbnail(np.zeros((400, 100, 3), np.uint8))
    assert (tall["width"], tall["height"]) == (40, 160)
    assert thumbnail(np.zeros((7, 9, 3), np.uint8))["width"] == 9
