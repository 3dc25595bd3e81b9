"""Figures say what the data says, and their words arrive where a notebook is read."""

from __future__ import annotations

import base64
import html
import io
import itertools
import json
import subprocess
import sys

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from vidbench import calibration, visualize
from vidbench.data.sample import middle_indices
from vidbench.metrics import confusion_matrix, proportion, summarise, wilson
from vidbench.plots import pictures
from vidbench.records import ConfigError, Prediction, Row, VideoRecord

RED, GREEN, BLUE = (200, 30, 30), (30, 170, 60), (30, 60, 200)


def plain(colour, height=18, width=32) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def pixels(figure) -> np.ndarray:
    """What a reader sees; uint8 (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(figure.data())).convert("RGB"))


def spots(figure, colour, tolerance=40) -> np.ndarray:
    """Where a colour lies in the picture, (N, 2) as fractions (down, right)."""
    seen = pixels(figure)
    near = np.abs(seen.astype(int) - colour).max(-1) < tolerance
    return np.argwhere(near) / seen.shape[:2]


def words(figure) -> list[str]:
    """All texts of a figure that are not empty."""
    found = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    return [text.strip() for text in found if text.strip()]


def bars(axes) -> list:
    """A chart's rectangles."""
    return [patch for patch in axes.patches if isinstance(patch, matplotlib.patches.Rectangle)]


# One of each, small, for what holds of all figures.
LABELS = ["A_b$c", "<d>", "Sit & stand"]
FRAMES = np.random.default_rng(0).integers(90, 120, (9, 20, 30, 3), np.uint8)
EVERY = {
    "contact_sheet": lambda: visualize.contact_sheet(FRAMES[:3], LABELS),
    "class_sheet": lambda: visualize.class_sheet({LABELS[0]: FRAMES[:2], LABELS[1]: FRAMES[2:9], LABELS[2]: []}),
    "film_strip": lambda: visualize.film_strip(FRAMES, np.arange(9) / 5),
    "side_by_side": lambda: visualize.side_by_side({"a": FRAMES[0], "b": FRAMES[1, :10]}),
    "sampling_diagram": lambda: visualize.sampling_diagram([[0, 3, 6], [2, 5, 8]], 9),
    "gop_diagram": lambda: visualize.gop_diagram("IPBB", pts_s=[0, 3, 1, 2], sizes=[9, 4, 2, 1]),
    "score_bars": lambda: visualize.score_bars({"x": list(zip(LABELS, [0.7, 0.2, 0.1]))}, truth="<d>"),
    "accuracy_bars": lambda: visualize.accuracy_bars({"x": (3, 4), "y": (0, 0)}, chance=0.5),
    "change_bars": lambda: visualize.change_bars({"A_b$c": {"value": -0.4, "low": -0.5, "high": -0.1}}),
    "per_class_bars": lambda: visualize.per_class_bars([{"label": "A_b$c", "listed": proportion(2, 5)}]),
    "reliability": lambda: visualize.reliability(calibration.reliability([0.2, 0.9, 0.95], [False, True, True])),
    "confusion": lambda: visualize.confusion([[3, 1, 0], [0, 2, 0], [0, 0, 0]], LABELS),
    "histogram": lambda: visualize.histogram([1.5, 2.5, 2.6], unit="s"),
    "class_balance": lambda: visualize.class_balance([VideoRecord("v", "v.mp4", "A_b$c", 0, "test")]),
    "resolution_scatter": lambda: visualize.resolution_scatter([320, 320, 180, None], [240, 240, 320, 9]),
    "timeline": lambda: visualize.timeline([0, 1], [[0.9, 0.1, 0], [0.2, 0.1, 0.7]], LABELS, truth=[(0, 1, "<d>")]),
    "named_points": lambda: visualize.named_points({"A_b$c": [(1, 2, "<d>"), (30, 4, "")]}, x="x", y="y", log=True),
    "heat_overlay": lambda: visualize.heat_overlay(FRAMES, np.linspace(0, 1, 9 * 6).reshape(9, 2, 3)),
}
each = pytest.mark.parametrize("name", EVERY)


def test_every_public_function_is_among_those_tested_here():
    public = {name for name, value in vars(visualize).items() if not name.startswith("_") and callable(value)}
    assert public - {"AltFigure", "style"} == set(EVERY)


@each
def test_a_figure_has_words_of_its_own(name):
    figure = EVERY[name]()
    assert isinstance(figure, visualize.AltFigure)
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure.alt == figure.alt.strip()
    assert figure.alt.endswith(".")
    assert any(letter.isdigit() for letter in figure.alt)  # what the data says, not what kind of figure it is


@each
def test_the_picture_is_small_light_and_of_a_notebooks_width(name):
    figure = EVERY[name]()
    data = figure.data()
    seen = pixels(figure)
    assert len(data) < 40_000
    assert data.startswith(b"\xff\xd8" if figure.photo else b"\x89PNG")
    assert figure.get_figwidth() * visualize.CSS_DPI <= 770
    if not figure.photo:
        assert (seen == 255).all(-1).mean() > 0.3


@each
def test_the_same_data_give_the_same_bytes_whatever_the_users_settings(name):
    before = EVERY[name]().data()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "lines.linewidth": 9, "text.usetex": True}):
        mine = dict(matplotlib.rcParams)
        assert EVERY[name]().data() == before
        assert dict(matplotlib.rcParams) == mine


@each
def test_the_words_come_with_html_and_the_picture_stands_beside_it(name):
    figure = EVERY[name]()
    data, about = figure._repr_mimebundle_()
    assert next(iter(data)) == "text/html"
    assert f'alt="{html.escape(figure.alt)}"' in data["text/html"]
    assert about[figure.mime]["alt"] == data["text/plain"] == figure.alt
    beside = base64.b64decode(data[figure.mime])
    assert beside == figure.data() if not figure.photo else len(beside) < len(figure.data())
    if figure.photo:  # the same picture, in the size in which pages show it
        shown = Image.open(io.BytesIO(beside)).convert("RGB")
        assert shown.size == (about[figure.mime]["width"], about[figure.mime]["height"])
        whole = Image.fromarray(pixels(figure)).resize(shown.size)
        assert np.abs(np.asarray(whole, float) - np.asarray(shown, float)).mean() < 4
    assert figure.html() == data["text/html"]


def test_the_picture_in_html_is_a_charts_own_and_smaller():
    figure = EVERY["timeline"]()
    encoded = base64.b64decode(figure.html().split("base64,")[1].split('"')[0])
    assert (np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")) == pixels(figure)).all()
    assert len(encoded) < len(figure.data())


def test_names_are_printed_as_they_are():
    assert {"A_b$c", "<d>", "Sit & stand"} <= set(words(EVERY["contact_sheet"]()))
    assert "&lt;d&gt;" in EVERY["contact_sheet"]().html()


@pytest.mark.parametrize("bad", ["\udcff.avi", "\x00", "a\x1b[31m"])
def test_names_that_are_no_text_are_written_out(bad):
    record = VideoRecord("v", "p", bad, 0, bad)
    for figure in (
        visualize.contact_sheet([FRAMES[0]], [bad]),
        visualize.class_sheet({bad: [FRAMES[0]]}),
        visualize.resolution_scatter([9], [8], title=bad),
        visualize.film_strip(FRAMES, title=bad),
        visualize.sampling_diagram([0], 2, title=bad),
        visualize.side_by_side({bad: FRAMES[0]}),
        visualize.score_bars({bad: [(bad, 0.5)]}, truth=bad),
        visualize.accuracy_bars({bad: (1, 2)}),
        visualize.change_bars({bad: {"value": 0.1, "low": 0, "high": 0.2}}),
        visualize.confusion([[1, 0], [2, 0]], [bad, "b"]),
        visualize.class_balance([record, record]),
        visualize.histogram([1, 2], unit=bad, title=bad, groups=[bad, "b"]),
        visualize.timeline([0], [[1]], [bad], truth=[(0, 1, bad)]),
    ):
        data, about = figure._repr_mimebundle_()
        assert bad not in figure.alt
        assert not any(bad in word for word in words(figure))
        json.dumps([data, about], ensure_ascii=False).encode()  # as a kernel sends it


LONG = [f"a class with quite a long name, number {n} of many" for n in range(12)]
WIDE = {
    "contact_sheet": lambda: visualize.contact_sheet([plain(RED)] * 12, LONG, columns=12),
    "class_sheet": lambda: visualize.class_sheet(dict.fromkeys(LONG, [plain(RED)] * 12), num=12),
    "resolution_scatter": lambda: visualize.resolution_scatter(
        [1920, 1080, 640, 352, 320, 128], [1080, 1920, 480, 288, 240, 99]
    ),
    "film_strip": lambda: visualize.film_strip(np.repeat(FRAMES, 3, 0), np.arange(27) * 1000.0, num=20),
    "side_by_side": lambda: visualize.side_by_side(dict.fromkeys(LONG[:6], FRAMES[0])),
    "sampling_diagram": lambda: visualize.sampling_diagram(np.arange(64) * 20, 1300, frame_rate=30),
    "gop_diagram": lambda: visualize.gop_diagram("IBP" * 30, sizes=[123456] * 90, pts_s=np.arange(90)),
    "score_bars": lambda: visualize.score_bars(
        {key: [(name, 0.99) for name in LONG] for key in LONG[:6]}, truth=LONG[3]
    ),
    "accuracy_bars": lambda: visualize.accuracy_bars(dict.fromkeys(LONG, (20_000, 20_000)), chance=1.0),
    "change_bars": lambda: visualize.change_bars({key: {"value": -0.99, "low": -1.0, "high": 1.0} for key in LONG}),
    "confusion": lambda: visualize.confusion(np.full((12, 13), 4321), LONG, normalise=False),
    "class_balance": lambda: visualize.class_balance([VideoRecord("v", "p", name, 0, "test") for name in LONG] * 999),
    "timeline": lambda: visualize.timeline([0, 9], np.full((2, 12), 0.5), LONG, top=6, truth=[(0, 9, LONG[0])]),
    "histogram": lambda: visualize.histogram([1e6, 2e6], unit="bytes", groups=LONG[:2], title=LONG[0]),
}


@pytest.mark.parametrize("name", WIDE)
def test_long_names_and_many_of_them_stay_within_the_picture(name):
    figure = WIDE[name]()
    figure.canvas.draw()
    box = figure.get_tightbbox()  # inches, of all that is drawn
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.04
    assert box.x1 < width + 0.04
    assert box.y1 < height + 0.04


def test_no_pyplot_is_loaded_and_none_of_its_state_made(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from vidbench import visualize as v\n"
        "v.histogram([1, 2, 3.5], unit='s').data()\n"
        "v.film_strip(np.zeros((3, 8, 9, 3), np.uint8)).data()\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


def test_a_chart_keeps_its_main_colours_exactly():
    figure = EVERY["timeline"]()
    seen = {tuple(colour) for colour in pixels(figure).reshape(-1, 3).tolist()}
    for colour in visualize.SERIES[:3]:
        assert tuple(round(255 * part) for part in to_rgb(colour)) in seen
    assert len(seen) <= visualize.MOST_COLOURS


# Linear RGB as the eye without one kind of cone sees it: G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, 2009,
# https://doi.org/10.1109/TVCG.2009.113, severity 1.
CONES = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def seen_by(colours, cones) -> np.ndarray:
    """CIELAB of colours as an eye sees them, (N, 3); two that are 10 apart are told apart at a glance."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.transpose(cones)).clip(0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(rgb[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]


@pytest.mark.parametrize("eye", CONES)
def test_colours_differ_for_colour_blind_eyes_too(eye):
    series = seen_by(visualize.SERIES, CONES[eye])
    apart = np.linalg.norm(series[:, None] - series[None], axis=-1)[np.triu_indices(len(series), 1)]
    assert apart.min() > 20
    for pair in ((visualize.BLUE, visualize.ORANGE), [visualize.PICTURE_COLOURS[kind] for kind in "PB"]):
        assert np.linalg.norm(np.diff(seen_by(pair, CONES[eye]), axis=0)) > 25


# --- in a notebook

NOTEBOOK = """
import numpy as np
from vidbench import visualize
figure = visualize.accuracy_bars({"<3-D> & more": (9, 12)})
figure
---
%matplotlib inline
import matplotlib.pyplot as plt
plt.rcParams["figure.dpi"] = 30
figure
---
display(figure)
print(plt.get_fignums())
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A tiny notebook, executed."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in NOTEBOOK.split("---")]
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "x"}})
    folder = str(tmp_path_factory.mktemp("notebook"))
    return client.NotebookClient(made, timeout=120, resources={"metadata": {"path": folder}}).execute()


def test_each_cell_shows_the_figure_once(notebook):
    shown = [[output for output in cell.outputs if "data" in output] for cell in notebook.cells]
    assert [len(outputs) for outputs in shown] == [1, 1, 1]
    assert notebook.cells[2].outputs[-1]["text"] == "[]\n"  # pyplot holds no figure


def test_pyplots_formatter_does_not_take_over(notebook):
    first, second = (cell.outputs[0]["data"] for cell in notebook.cells[:2])
    assert first == second


def test_alt_text_arrives_in_the_pages_of_nbconvert(notebook):
    nbconvert = pytest.importorskip("nbconvert")
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    alt = visualize.accuracy_bars({"<3-D> & more": (9, 12)}).alt
    images = [part.split(">")[0] for part in page.split("<img")[1:]]
    assert len(images) == 3
    for image in images:
        assert html.unescape(image.split('alt="')[1].split('"')[0]) == alt


# --- pictures


def test_a_contact_sheet_puts_pictures_in_reading_order():
    figure = visualize.contact_sheet([plain(RED), plain(GREEN), plain(BLUE)], ["r", "g", "b"], columns=2)
    red, green, blue = (spots(figure, colour).mean(0) for colour in (RED, GREEN, BLUE))
    assert red[0] == pytest.approx(green[0], abs=0.02)
    assert red[1] < 0.5 < green[1]
    assert blue[0] > red[0] + 0.3
    assert blue[1] == pytest.approx(red[1], abs=0.02)
    assert words(figure) == ["r", "g", "b"]


def test_a_contact_sheets_pictures_keep_their_shape():
    figure = visualize.contact_sheet([plain(RED, 40, 20), plain(GREEN, 20, 40)], columns=2)
    height, width = pixels(figure).shape[:2]
    for colour, aspect in ((RED, 0.5), (GREEN, 2.0)):
        extent = np.ptp(spots(figure, colour), axis=0) * (height, width)
        assert extent[1] / extent[0] == pytest.approx(aspect, rel=0.05)


def test_a_contact_sheets_words_count_classes():
    figure = visualize.contact_sheet([plain(RED)] * 3, ["SitDown", "StandUp", "SitDown"])
    assert figure.alt == "Contact sheet of 3 pictures: SitDown (2 times) and StandUp."
    assert visualize.contact_sheet([plain(RED)], alt="Mine.").alt == "Mine."


def test_a_large_contact_sheet_stays_under_80_kb():
    noise = np.random.default_rng(1).integers(0, 30, (24, 120, 160, 3), np.uint8)
    shades = np.linspace(0, 220, 160).astype(np.uint8)[None, None, :, None]
    assert len(visualize.contact_sheet(noise + shades, ["class"] * 24).data()) < 80_000


def test_a_class_sheet_has_a_row_a_class_in_the_order_given_and_cuts_it():
    figure = visualize.class_sheet({"red": [plain(RED)] * 5, "none": [], "blue": [plain(BLUE)]}, num=3)
    assert words(figure) == ["red", "none", "blue"]
    assert len(figure.axes) == 4
    red, blue = spots(figure, RED), spots(figure, BLUE)
    assert red[:, 0].max() < 1 / 3 < 2 / 3 < blue[:, 0].min()
    assert blue[:, 1].max() < red[:, 1].max(), "the first column alone"
    assert figure.alt == (
        "A row of pictures for each of 3 classes, of pictures at hand: red 5, none 0 and blue 1; at most 3 are shown."
    )


def test_a_scatter_of_sizes_has_a_disc_a_size_with_its_number():
    figure = visualize.resolution_scatter([320] * 9 + [640, 240, np.nan], [240] * 9 + [360, 320, 100], num=2)
    (discs,) = figure.axes[0].collections
    assert discs.get_offsets().tolist() == [[320, 240], [640, 360], [240, 320]]
    area = discs.get_sizes()
    assert area[0] > area[1] == area[2]
    colours = [to_hex(colour) for colour in discs.get_facecolors()]
    assert colours[0] == colours[1] != colours[2] == visualize.ORANGE, "higher than wide"
    assert {"320x240 (n=9)", "640x360 (n=1)"} <= set(words(figure))
    assert "240x320 (n=1)" not in words(figure)
    assert figure.alt == (
        "Widths and heights: 11 videos of 3 sizes, most often 320x240 (n=9), 640x360 (n=1) and 240x320 (n=1); "
        "1 higher than wide. 1 video of unknown size."
    )


def test_a_film_strip_shows_the_middles_of_equal_shares_in_order():
    frames = np.stack([plain((5 * n, 0, 255 - 5 * n)) for n in range(41)])
    figure = visualize.film_strip(frames, np.arange(41) / 10, num=5, title="Slow")
    chosen = middle_indices(41, 5)
    assert [axes.images[0].get_array()[0, 0, 0] // 5 for axes in figure.axes] == chosen.tolist()
    lefts = [axes.get_position().x0 for axes in figure.axes]
    assert lefts == sorted(lefts)
    assert [text for text in words(figure) if text.endswith(" s")] == [f"{n / 10:.2f} s" for n in chosen]
    assert figure.alt == "Slow: 5 of 41 frames in order of time, from 0.40 s to 3.60 s."


def test_a_film_strip_of_few_frames_shows_each_once():
    figure = visualize.film_strip(FRAMES[:3])
    assert words(figure) == ["frame 0", "frame 1", "frame 2"]


def test_side_by_side_shows_equal_heights_and_true_sizes():
    figure = visualize.side_by_side({"whole": plain(RED, 60, 90), "small": plain(GREEN, 12, 9)})
    red, green = (spots(figure, colour) for colour in (RED, GREEN))
    assert np.ptp(red[:, 0]) == pytest.approx(np.ptp(green[:, 0]), abs=0.02)
    assert red[:, 1].max() < green[:, 1].min()
    assert "whole 90×60, small 9×12" in figure.alt
    assert "90×60 px" in words(figure)


def test_heat_lies_where_it_is_hot():
    frames = np.full((4, 40, 60, 3), 128, np.uint8)
    heat = np.zeros((4, 4, 6))
    heat[2, 0, 5] = 1.0
    figure = visualize.heat_overlay(frames, heat)
    below = [axes.images[0].get_array() for axes in figure.axes[4:]]
    assert (np.asarray(below[0]) == 128).all()
    changed = np.abs(np.asarray(below[2], int) - 128).sum(-1)
    down, right = np.argwhere(changed > 0.5 * changed.max()).mean(0)
    assert down < 10
    assert right > 45
    assert "strongest in frame 2, at the upper right (1.00)" in figure.alt


@pytest.mark.parametrize(
    ("down", "right", "said"),
    [
        (0.1, 0.1, "at the upper left"),
        (0.5, 0.5, "in the middle"),
        (0.9, 0.5, "at the lower middle"),
        (0.5, 0.9, "at the right"),
    ],
)
def test_places_have_names(down, right, said):
    assert pictures._place(down, right) == said


# --- sampling and files


def diagram_lines(figure) -> np.ndarray:
    """Start and end of each line of a one-clip diagram, (T, 2, 2)."""
    _, lines, _ = (found for found in figure.axes[0].collections if hasattr(found, "get_segments"))
    return np.array(lines.get_segments())


def test_a_sampling_diagram_leads_from_each_frame_taken_to_its_place():
    indices = [2, 5, 5, 11]
    figure = visualize.sampling_diagram(indices, 13, frame_rate=10)
    lines = diagram_lines(figure)
    assert lines[:, 0, 0] == pytest.approx([0.2, 0.5, 0.5, 1.1])  # seconds of the frame
    assert (np.diff(lines[:, 1, 0]) > 0).all()  # places in the clip
    assert [text for text in words(figure) if text.isdigit()] == ["2", "5", "5", "11"]
    assert figure.alt == "4 frames taken from a video of 13, frames 2, 5, 5, 11, 2 of them repeated."


def test_frames_taken_twice_are_orange():
    figure = visualize.sampling_diagram([0, 1, 1, 2], 3)
    squares = figure.axes[0].collections[-1]
    colours = [to_hex(colour) for colour in squares.get_facecolors()]
    assert colours == [visualize.BLUE, visualize.ORANGE, visualize.ORANGE, visualize.BLUE]


def test_time_stamps_place_the_frames_of_an_uneven_video():
    figure = visualize.sampling_diagram([0, 3], 4, pts_s=[0.0, 0.1, 0.2, 1.5])
    assert diagram_lines(figure)[:, 0, 0] == pytest.approx([0.0, 1.5])


def test_several_clips_have_a_row_each():
    clips = np.array([[0, 2, 4], [3, 5, 7]])
    figure = visualize.sampling_diagram(clips, 9)
    dots = [found.get_offsets() for found in figure.axes[0].collections if len(found.get_offsets()) == 3]
    assert [rows[:, 0].tolist() for rows in dots] == clips.tolist()
    assert dots[0][0, 1] > dots[1][0, 1]  # the first clip stands above
    assert {"clip 1", "clip 2", "video"} <= set(words(figure))
    assert "clip 2: frames 3, 5, 7" in figure.alt


def test_a_gop_diagram_leads_from_decoding_to_showing():
    figure = visualize.gop_diagram("IPBBP", pts_s=[0.0, 0.3, 0.1, 0.2, 0.4])
    arrows = [
        (note.xyann[0], note.xy[0])
        for note in figure.findobj(matplotlib.text.Annotation)
        if note.arrow_patch is not None
    ]
    assert arrows == [(0, 0), (1, 3), (2, 1), (3, 2), (4, 4)]
    assert "1 I, 2 P, 2 B" in figure.alt
    assert "3 of them are shown at another place" in figure.alt


def test_a_gop_diagrams_bars_are_bytes():
    figure = visualize.gop_diagram(["I", "P", "P"], sizes=[6000, 1000, 1000])
    assert [bar.get_height() for bar in bars(figure.axes[1])] == [6.0, 1.0, 1.0]
    assert "The I pictures hold 75 % of the bytes." in figure.alt


def test_of_a_long_file_the_first_pictures_are_drawn_and_it_says_so():
    figure = visualize.gop_diagram("I" + "P" * 249, sizes=[1000] * 250)
    assert len(figure.axes[0].collections[0].get_offsets()) == 75
    assert len(bars(figure.axes[1])) == 75
    assert figure.alt.startswith("The first 75 of 250 pictures in the order of decoding: 1 I, 74 P.")


def test_pictures_of_unknown_time_get_no_arrow():
    figure = visualize.gop_diagram("I?P", pts_s=[0.0, np.nan, 0.1], dts_s=[np.nan, 0.0, 0.1])
    decoded, shown = (found.get_offsets()[:, 0].tolist() for found in figure.axes[0].collections)
    assert decoded == [0, 1, 2]
    assert shown == [0, 1]
    assert "1 I, 1 P, 1 ?" in figure.alt
    assert len(visualize.gop_diagram("IP", pts_s=[np.nan, np.nan]).axes[0].collections) == 1


# --- scores


def test_score_bars_are_as_long_as_the_scores_best_first():
    prediction = Prediction(("a", "b", "c"), np.array([0.2, 0.7, 0.1], np.float32), np.zeros((1, 3), np.float32))
    figure = visualize.score_bars({"clip": prediction, "list": [("c", 0.4), ("a", 0.6)]}, top=2, truth="a")
    first, second = figure.axes
    assert [bar.get_width() for bar in bars(first)] == pytest.approx([0.7, 0.2])
    assert [bar.get_width() for bar in bars(second)] == pytest.approx([0.6, 0.4])
    assert [to_hex(bar.get_facecolor()) == visualize.BLUE for bar in bars(first)] == [False, True]
    assert "clip: b 0.70, a 0.20" in figure.alt
    assert "truth: place 2, 0.20, a" in words(figure)


def test_a_true_class_below_the_best_is_named_with_its_place():
    figure = visualize.score_bars({"x": [("a", 0.5), ("b", 0.3), ("c", 0.2)]}, top=1, truth="c")
    assert "truth: place 3, 0.20, c" in words(figure)
    assert len(bars(figure.axes[0])) == 1


def test_score_bars_take_a_rows_best_and_leave_out_unmapped_classes():
    figure = visualize.score_bars({"row": (("a", 4, 0.9), ("b", 2, -np.inf))})
    assert [bar.get_width() for bar in bars(figure.axes[0])] == [0.9]


def test_change_bars_fill_what_leaves_out_zero_and_stand_right_and_left_of_it():
    changes = {"worse": {"value": -0.4, "low": -0.5, "high": -0.3}, "open": {"value": 0.1, "low": -0.05, "high": 0.2}}
    figure = visualize.change_bars(changes, what="top-1")
    (axes,) = figure.axes
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in points] == [(-40, 0), (10, 1)]
    assert [to_hex(line.get_markerfacecolor()) == to_hex(line.get_color()) for line in points] == [True, False]
    whiskers = [
        tuple(line.get_xdata())
        for line in axes.lines
        if len(line.get_xdata()) == 2 and line.get_color() != visualize.MUTED
    ]
    assert np.allclose(whiskers, [(-50, -30), (-5, 20)])
    assert axes.get_xlim()[0] < -50
    assert axes.get_xlim()[1] > 20
    assert figure.alt == (
        "Change of top-1 in points, with 95 % intervals. worse: -40.0 [-50.0, -30.0]; open: +10.0 [-5.0, +20.0]."
    )


def test_accuracy_bars_carry_wilson_intervals_and_n():
    figure = visualize.accuracy_bars({"eight": (6, 8), "none": (0, 0)}, chance=0.25)
    (axes,) = figure.axes
    (bar,) = bars(axes)
    assert bar.get_width() == 75
    whisker = axes.lines[0].get_xdata()
    assert whisker == pytest.approx([100 * end for end in wilson(6, 8)])
    assert "75.0 % [40.9, 92.9], n=8" in words(figure)
    assert "not known, n=0" in words(figure)
    assert [line.get_xdata() for line in axes.lines if line.get_linestyle() == "--"] == [[25, 25]]
    assert "eight: 75.0 % [40.9, 92.9], n=8" in figure.alt
    assert "Chance is 25.0 %" in figure.alt


def test_a_reliability_diagram_puts_each_bin_at_its_score_and_its_share_of_right_answers():
    bins = calibration.reliability([0.51, 0.52, 0.53, 0.97], [True, False, False, True])
    figure = visualize.reliability(bins)
    (axes,) = figure.axes
    points = [line for line in axes.lines if line.get_marker() == "o"]
    places = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in points]
    assert np.allclose(places, [(52, 100 / 3), (97, 100)])
    assert points[0].get_markersize() > points[1].get_markersize()
    low, high = wilson(1, 3)
    assert any(np.allclose(line.get_ydata(), [100 * low, 100 * high]) for line in axes.lines)
    assert "52 %: 33 % of 3 right; 97 %: 100 % of 1 right" in figure.alt


def row(index, label, said, status="ok") -> Row:
    names = ["a", "b", "c"]
    top = ((said, names.index(said), 0.9),) if status == "ok" else ()
    rank = (0 if said == label else 1) if status == "ok" else -1
    return Row(index, f"v{index}", "p", label, names.index(label), "test", "", status, top=top, rank=rank)


ROWS = [row(0, "a", "a"), row(1, "a", "a"), row(2, "b", "a"), row(3, "b", "b"), row(4, "a", "a", "timeout")]


@pytest.mark.parametrize("given", ["metrics", "rows", "table"])
def test_classes_are_drawn_lowest_first_from_whatever_holds_them(given):
    metrics = summarise(ROWS, ["a", "b", "c"])
    arguments = {"metrics": (metrics,), "rows": (ROWS, ["a", "b", "c"]), "table": (metrics["per_class"],)}[given]
    figure = visualize.per_class_bars(*arguments)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    assert [bar.get_width() for bar in bars(axes)] == pytest.approx([50, 200 / 3])
    assert "from b (50.0 % [9.5, 90.5], n=2) to a" in figure.alt


def test_classes_over_readable_videos_leave_out_the_skipped():
    figure = visualize.per_class_bars(ROWS, ["a", "b", "c"], over="readable")
    assert [bar.get_width() for bar in bars(figure.axes[0])] == pytest.approx([50, 100])


def test_of_many_classes_the_lowest_are_drawn_and_it_says_so():
    table = [{"label": f"c{k}", "listed": proportion(k, 50)} for k in range(50)]
    figure = visualize.per_class_bars(table, num=7)
    assert len(bars(figure.axes[0])) == 7
    assert "The 7 lowest of 50 classes are shown." in words(figure)
    assert "The 7 lowest of 50 classes are shown." in figure.alt


def cells(figure) -> dict:
    """(row, column) → text of a confusion matrix' cells."""
    return {
        (int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in figure.axes[0].texts
    }


def test_a_confusion_shows_percent_of_the_row_or_counts():
    counts = np.array([[6, 2, 0], [0, 5, 0], [1, 0, 0]])
    assert cells(visualize.confusion(counts, "abc")) == {(0, 0): "75", (0, 1): "25", (1, 1): "100", (2, 0): "100"}
    figure = visualize.confusion(counts, "abc", normalise=False)
    assert cells(figure) == {(0, 0): "6", (0, 1): "2", (1, 1): "5", (2, 0): "1"}
    assert "11 of 14 videos lie on the diagonal" in figure.alt
    assert "a taken for b, 2 times" in figure.alt


def test_mistakes_have_another_colour_than_right_answers():
    colours = np.asarray(visualize.confusion([[5, 5], [0, 9]], "ab").axes[0].images[0].get_array())[..., :3]
    assert colours[0, 0, 2] > colours[0, 0, 0]  # bluish
    assert colours[0, 1, 2] < colours[0, 1, 0]  # orange
    assert (colours[1, 0] == 1).all()  # white where nothing is


def test_a_confusion_takes_the_column_of_skipped_videos():
    matrix = confusion_matrix(np.array([0, 0, 1]), np.array([0, -1, 1]), 2)
    figure = visualize.confusion(matrix, ["a", "b"])
    assert cells(figure)[0, 2] == "50"
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["a", "b", "none"]
    assert "a taken for none, 1 time." in figure.alt


def test_a_confusion_of_400_classes_is_drawn_without_names():
    figure = visualize.confusion(np.eye(400, dtype=int) * 5, [f"c{k}" for k in range(400)])
    assert len(figure.axes[0].texts) == 0
    assert len(figure.data()) < 40_000


# --- tables of numbers


def test_a_histograms_bars_hold_every_finite_value():
    values = np.random.default_rng(0).gamma(4, 2, 300)
    figure = visualize.histogram([*values, np.nan, np.inf], unit="s", title="Durations")
    assert sum(bar.get_height() for bar in bars(figure.axes[0])) == 300
    assert "n=300" in figure.alt
    assert f"median {np.median(values):.4g} s" in figure.alt
    assert figure.alt.endswith("2 values not known.")


def test_few_whole_numbers_get_a_bar_each():
    figure = visualize.histogram([24, 25, 25, 30], unit="fps")
    heights = {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in bars(figure.axes[0])}
    assert {24: 1, 25: 2, 30: 1}.items() <= heights.items()
    assert sum(heights.values()) == 4


def test_groups_have_a_line_each():
    figure = visualize.histogram([1, 2, 2, 5], unit="s", groups=["x", "y", "y", "x"])
    assert {"x (n=2)", "y (n=2)"} <= set(words(figure))
    assert "y: n=2, from 2 to 2 s" in figure.alt


def test_one_value_is_a_histogram_too():
    assert [bar.get_height() for bar in bars(visualize.histogram([7.25], unit="s").axes[0])] == [1]


def test_a_balance_counts_each_split_and_sets_the_unusable_apart():
    records = [VideoRecord("v", "p", "a", 0, "train")] * 3 + [VideoRecord("v", "p", "b", 1, "test")] * 2
    records += [VideoRecord("v", "p", "b", 1, "test", status="missing"), VideoRecord("v", "p")]
    figure = visualize.class_balance(records)
    (axes,) = figure.axes
    lengths = sorted((bar.get_y() > 0.5, bar.get_x(), bar.get_width(), bool(bar.get_hatch())) for bar in bars(axes))
    assert lengths == [(False, 0, 3, False), (True, 0, 2, False), (True, 2, 1, True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert figure.alt == (
        "6 videos in 2 classes: 3 each. train: 3, test: 2, unusable: 1. 1 video without a label not counted."
    )


def test_many_classes_are_a_sorted_outline():
    records = [VideoRecord("v", "p", f"c{n}", n, "val") for n in range(60) for _ in range(n + 1)]
    figure = visualize.class_balance(records)
    heights = [bar.get_height() for bar in bars(figure.axes[0])]
    assert heights == sorted(heights, reverse=True)
    assert "from 1 (c0) to 60 (c59)" in figure.alt


def test_a_timeline_draws_true_classes_first_then_the_strongest():
    times = np.array([0.0, 0.5, 1.0, 1.5])
    scores = np.array([[0.8, 0.1, 0.0, 0.1], [0.7, 0.1, 0.1, 0.1], [0.2, 0.1, 0.6, 0.1], [0.1, 0.2, 0.6, 0.1]])
    truth = [(0.0, 0.9, "a"), (0.9, 1.5, "d")]
    figure = visualize.timeline(times, scores, "abcd", top=3, truth=truth)
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["a", "d", "c"]
    assert axes.lines[2].get_ydata() == pytest.approx(scores[:, 2])
    assert "a from 0.0 s and c from 1.0 s" in figure.alt
    assert "True are a from 0.0 to 0.9 s and d from 0.9 to 1.5 s." in figure.alt
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 3


def test_a_timeline_leaves_out_unmapped_classes():
    figure = visualize.timeline([0, 1], [[0.9, -np.inf, 0.1], [0.8, -np.inf, 0.2]], "abc")
    assert [line.get_label() for line in figure.axes[0].lines] == ["a", "c"]
    assert figure.axes[0].get_ylim() == (-0.02, 1.02)


# --- mistakes

SHORT = np.zeros((4, 6, 8, 3), np.uint8)
MISTAKES = [
    (lambda: visualize.contact_sheet([]), "needs a picture"),
    (lambda: visualize.contact_sheet([plain(RED)], ["a", "b"]), "1 pictures? with 2 titles"),
    (lambda: visualize.contact_sheet([plain(RED).astype(float)]), r"picture 0.*uint8.*got float64 \(18, 32, 3\)"),
    (lambda: visualize.class_sheet({}), "needs pictures of 1 to 60 classes"),
    (lambda: visualize.class_sheet({"a": []}), "needs pictures of 1 to 60 classes"),
    (lambda: visualize.class_sheet({"a": [plain(RED)]}, num=13), "12 of each at most"),
    (lambda: visualize.class_sheet({"a": [plain(RED), SHORT]}), r"a, picture 1: .*got uint8 \(4, 6, 8, 3\)"),
    (lambda: visualize.resolution_scatter([None, 320], [240, None]), "no video of known size"),
    (lambda: visualize.resolution_scatter([1, 2], [1]), r"heights must hold 2 numbers, got shape \(1,\)"),
    (lambda: visualize.resolution_scatter([1], [1], num=0), "num must be .*at least 1 size"),
    (lambda: visualize.film_strip(SHORT[..., 0]), r"uint8 \(T, H, W, 3\), got uint8 \(4, 6, 8\)"),
    (lambda: visualize.film_strip(SHORT, [0.0]), r"times_s must hold 4 numbers, got shape \(1,\)"),
    (lambda: visualize.film_strip(SHORT, num=0), "num must be .*at least 1"),
    (lambda: visualize.film_strip(SHORT, num=2.5), "num must be a whole number.*2.5"),
    (lambda: visualize.side_by_side({}), "1 to 6 pictures"),
    (lambda: visualize.side_by_side({"pad": SHORT}), r"pad: .*got uint8 \(4, 6, 8, 3\)"),
    (lambda: visualize.sampling_diagram([0, 9], 9), "run from 0 to 9, but the video has 9 frames"),
    (lambda: visualize.sampling_diagram([0.5], 9), "whole numbers"),
    (lambda: visualize.sampling_diagram([0], 2, frame_rate=0), "frame_rate must be positive"),
    (lambda: visualize.sampling_diagram([0], 2, pts_s=[0, np.nan]), "pts_s must be finite"),
    (lambda: visualize.gop_diagram(""), "needs at least one picture"),
    (lambda: visualize.gop_diagram("IP", dts_s=[1, 0]), "dts_s goes back"),
    (lambda: visualize.gop_diagram("IP", sizes=[1]), "sizes must hold 2 numbers"),
    (lambda: visualize.score_bars({}), "1 to 6 predictions"),
    (lambda: visualize.score_bars({"x": [0.1, 0.2]}), "x: give a Prediction, or a list"),
    (lambda: visualize.score_bars({"x": [("a", np.nan)]}), "x: .*finite"),
    (lambda: visualize.accuracy_bars({"x": (5, 4)}), r"x: give whole numbers \(number correct, n\)"),
    (lambda: visualize.accuracy_bars({"x": (0.75, 4)}), r"x: give whole numbers.*not \(0.75, 4\)"),
    (lambda: visualize.accuracy_bars({"x": (1, 4)}, chance=8), "chance must be a fraction"),
    (lambda: visualize.change_bars({}), "at least one name"),
    (lambda: visualize.reliability([]), "at least one bin"),
    (lambda: visualize.reliability([{"n": 3}]), "needs bins with n, confidence, accuracy, low, high"),
    (lambda: visualize.change_bars({"x": (1, 2)}), "x: give value, low and high, not"),
    (lambda: visualize.change_bars({"x": {"value": 30, "low": 20, "high": 40}}), "within -1 and 1, not 20"),
    (lambda: visualize.change_bars({"x": {"value": 0.3, "low": 0.4, "high": 0.5}}), "low <= value <= high must hold"),
    (lambda: visualize.per_class_bars(ROWS), "Rows need the class names"),
    (lambda: visualize.per_class_bars({"top1": 1}), "no 'per_class'"),
    (lambda: visualize.per_class_bars(ROWS, "abc", over="all"), "'listed' or 'readable'"),
    (lambda: visualize.per_class_bars(ROWS, "abc", num=0), "num must be .*at least 1 class"),
    (lambda: visualize.confusion([[1, 2]], "ab"), r"\(2, 2\) or \(2, 3\) for 2 labels, got \(1, 2\)"),
    (lambda: visualize.confusion([[1, -2], [0, 1]], "ab"), "counts"),
    (lambda: visualize.histogram([], unit="s"), "no finite value"),
    (lambda: visualize.histogram(["a"], unit="s"), "values must be"),
    (lambda: visualize.histogram([1, 2], unit="s", groups=["a"]), "2 values with 1 group"),
    (lambda: visualize.histogram([1, 2], unit="s", bins=0), "cannot be put into bins"),
    (lambda: visualize.histogram([0, 5e-324], unit="s"), "cannot be put into bins"),
    (lambda: visualize.class_balance([]), "no classes to count"),
    (lambda: visualize.timeline([0, 1], [[1], [2]], "ab"), r"scores must be \(N, 2\)"),
    (lambda: visualize.timeline([1, 1], [[1, 2], [2, 3]], "ab"), "must increase"),
    (lambda: visualize.timeline([0], [[1]], "a", truth="a"), "truth must be a list of"),
    (lambda: visualize.timeline([0], [[1]], "a", truth=[(2, 1, "a")]), "a must end after it starts, not 2.0 to 1.0 s"),
    (lambda: visualize.heat_overlay(SHORT, np.zeros((3, 2, 2))), r"T = 4 .*got \(3, 2, 2\)"),
    (lambda: visualize.heat_overlay(SHORT, np.full((4, 2, 2), 7.0)), r"heat must lie in \[0, 1\]"),
]


@pytest.mark.parametrize(("call", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_a_mistake_is_one_clear_sentence(call, said):
    with pytest.raises(ConfigError, match=said) as caught:
        call()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 160


def test_other_words_than_accuracy_and_score_stand_on_the_axis_and_in_the_alt_text():
    bars = visualize.accuracy_bars({"a": (3, 4)}, what="share of clips")
    assert bars.alt.startswith("Share of clips with 95 % intervals. a: 75.0 %")
    assert bars.axes[0].get_xlabel() == "share of clips (%)"
    values = np.array([[0.1, 0.5], [0.2, 0.4], [0.9, 0.1]])
    curves = visualize.timeline([0.0, 0.5, 1.0], values, ["heat", "motion"], what="relative size")
    assert curves.alt == "Relative size from 0.0 to 1.0 s: heat is highest at 1.0 s and motion is highest at 0.0 s."
    assert curves.axes[0].get_ylabel() == "relative size"


def test_named_points_stand_where_they_should_and_their_words_say_so():
    figure = visualize.named_points(
        {"a": [(100, 3, "far"), (1, 5, "near")], "b": [(10, 4, "")]}, x="cost", y="top-1", lines=True, log=True
    )
    (axes,) = figure.axes
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[1, 5], [100, 3]], [[10, 4]]]
    assert axes.get_xscale() == "log"
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert {"far", "near", "a", "b", "cost", "top-1"} <= set(words(figure))
    assert figure.alt == "top-1 against cost. a: near 1: 5 and far 100: 3; b: 10: 4."


@pytest.mark.parametrize(
    ("groups", "said"),
    [({}, "1 to 6 groups, not 0"), ({"a": []}, "a: points must be there"), ({"a": [(0, 1, "")]}, "x above 0")],
)
def test_points_that_cannot_be_drawn_are_refused(groups, said):
    with pytest.raises(ConfigError, match=said):
        visualize.named_points(groups, x="x", y="y", log=True)
    with pytest.raises(ConfigError, match="give a list"):
        visualize.named_points({"a": [(1, 2)]}, x="x", y="y")


def test_few_videos_are_counted_in_whole_numbers():
    figure = visualize.class_balance(
        [VideoRecord("v", "v.mp4", "a", 0, "test"), VideoRecord("w", "w.mp4", "b", 1, "test")]
    )
    figure.canvas.draw()
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


@pytest.mark.parametrize(
    "near",
    [
        [(100, 80.0, "first of them"), (130, 80.1, "second of them"), (9000, 79.0, "at the right edge of it")],
        [
            (144, 68.4, "S3D"),
            (588, 77.9, "TimeSformer"),
            (853, 79, "VideoMAE S"),
            (1053, 77.7, "Swin T"),
            (5108, 80, ""),
        ],
    ],
)
def test_names_of_near_points_do_not_cover_one_another(near):
    figure = visualize.named_points({"a": near}, x="cost", y="top-1", log=True)
    (axes,) = figure.axes
    figure.canvas.draw()  # what a reader sees, not where the words stood before
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in axes.texts]
    assert [text.get_text() for text in axes.texts] == [name for _, _, name in near if name]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert max(box.x1 for box in boxes) <= axes.bbox.x1
