"""What the widgets show, without a browser: the numbers are the library's, foreign text is harmless, a page without a
kernel reads well. tests/test_lab.py drives them in JupyterLab."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from fractions import Fraction
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from conftest import barcode_frame, read_barcode
from PIL import Image

from vidbench import review, widgets
from vidbench.data import sample
from vidbench.data.decode import read_clip
from vidbench.data.index import load_records
from vidbench.panels.panel import all_within
from vidbench.panels.player import MOST_FRAMES
from vidbench.panels.sampler import RULES
from vidbench.records import ConfigError, Row, VideoRecord
from vidbench.runs import encode_row

ROOT = Path(__file__).resolve().parents[1]
VIDMINI = ROOT / "data" / "vidmini"
EVIL = '<script>alert("x")</script>&\x1b[31m'
LABELS = ("run", "sit", EVIL)


@pytest.fixture
def video(make_video, tmp_path):
    return make_video(tmp_path / "clip.mp4", num_frames=19)


def within(panel, kind: type, description: str = "", tooltip: str = ""):
    """The one widget of a kind with a description or a tooltip."""
    found = [w for w in all_within(panel) if isinstance(w, kind)]
    found = [w for w in found if not description or w.description == description]
    found = [w for w in found if not tooltip or w.tooltip == tooltip]
    assert len(found) == 1, [getattr(w, "description", "") for w in found]
    return found[0]


def page(panel) -> str:
    """All HTML that a panel shows now, its style aside."""
    return "\n".join(w.value for w in all_within(panel) if type(w) is ipywidgets.HTML and "<style" not in w.value)


def bundle(shown) -> tuple[dict, dict]:
    found = shown._repr_mimebundle_()
    return found if isinstance(found, tuple) else (found, {})


def picture(html: str) -> np.ndarray:
    """The first picture of a piece of HTML."""
    data = base64.b64decode(re.search(r'src="data:image/\w+;base64,([^"]+)"', html).group(1))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


# ---------------------------------------------------------------- clip player


def test_each_step_of_the_player_shows_that_frame(video):
    panel = widgets.clip_player(video)
    slider = within(panel, ipywidgets.IntSlider)
    assert (slider.min, slider.max) == (0, 18)
    for place in (0, 7, 18):
        slider.value = place
        assert read_barcode(picture(page(panel))) == place
        assert f'alt="clip.mp4: frame {place} of 19, {place / 25:.2f} s"' in page(panel)
    within(panel, ipywidgets.Button, tooltip="one frame on").click()
    assert slider.value == 18
    within(panel, ipywidgets.Button, tooltip="one frame back").click()
    assert slider.value == 17


def test_frames_given_as_an_array_are_timed_by_the_rate(make_video):
    frames = np.stack([barcode_frame(number, 96, 64) for number in range(5)])
    panel = widgets.clip_player(frames, frame_rate=10, title="drawn")
    within(panel, ipywidgets.IntSlider).value = 3
    assert read_barcode(picture(page(panel))) == 3
    assert "drawn: frame 3 of 5, 0.30 s" in page(panel)


def test_the_best_classes_are_those_of_the_nearest_time(video):
    rng = np.random.default_rng(0)
    times, scores = np.array([0.1, 0.3, 0.6]), rng.dirichlet(np.ones(9), 3)
    labels = [f"class {k}" for k in range(9)]
    panel = widgets.clip_player(video, times_s=times, scores=scores, labels=labels, truth=[(0.0, 0.4, "class 2")])
    for place in (0, 4, 6, 12, 18):
        within(panel, ipywidgets.IntSlider).value = place
        nearest = int(np.abs(times - place / 25).argmin())
        shown = re.findall(r"<th scope=\"row\">(class \d).*?<td class=\"n\">([\d.]+)", page(panel))
        best = np.argsort(-scores[nearest])[:5]
        assert shown == [(labels[k], f"{scores[nearest, k]:.3f}") for k in best]
        assert ("true class: class 2" in page(panel)) == (place < 10)


def test_one_row_of_scores_holds_for_the_whole_clip(video):
    panel = widgets.clip_player(video, scores=[0.2, 0.7, 0.1], labels=["a", "b", "c"], truth="b")
    for place in (0, 18):
        within(panel, ipywidgets.IntSlider).value = place
        assert re.search(r"b \(true\).*0\.700.*a.*0\.200", page(panel), re.S)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scores": np.ones((3, 4)), "labels": "abc", "times_s": [0, 1, 2]}, "with K labels"),
        ({"scores": np.ones((3, 4)), "labels": "abcd", "times_s": [0, 1]}, "one time for each row"),
        ({"scores": np.ones((3, 4)), "labels": "abcd"}, "one time for each row"),
        ({"scores": np.ones(4)}, "with K labels"),
        ({"frame_rate": 0}, "above 0"),
        ({"frame_rate": float("inf")}, "above 0"),
        ({"frame_rate": "25"}, "above 0, got '25'"),
        ({"truth": [(0.0, 1.0)]}, r"list of \(start_s, end_s, label\)"),
        ({"truth": ["run"]}, r"list of \(start_s, end_s, label\)"),
    ],
)
def test_scores_that_do_not_fit_are_refused(video, options, words):
    with pytest.raises(ConfigError, match=words):
        widgets.clip_player(video, **options)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((4, 5, 3), np.uint8),
        np.zeros((2, 4, 5, 3)),
        np.zeros((0, 4, 5, 3), np.uint8),
        np.zeros((2, 4, 0, 3), np.uint8),
        [np.zeros((4, 5, 3), np.uint8)],
        None,
    ],
)
def test_an_array_that_is_no_video_is_refused(frames):
    with pytest.raises(ConfigError, match="uint8"):
        widgets.clip_player(frames)


def test_a_single_frame_and_a_long_video_have_players():
    one = widgets.clip_player(np.zeros((1, 20, 30, 3), np.uint8))
    assert within(one, ipywidgets.Play).disabled
    many = widgets.clip_player(np.zeros((MOST_FRAMES * 2 + 1, 6, 8, 3), np.uint8))
    assert "One frame in 3 is shown" in page(many)
    within(many, ipywidgets.IntSlider).value = 100
    assert "frame 300 of 1201" in page(many)


def test_what_cannot_be_read_is_a_sentence_in_the_panel(tmp_path):
    (tmp_path / "text.mp4").write_text("no video " * 300)
    for make in (widgets.clip_player, widgets.sampling_slider):
        panel = make(tmp_path / "text.mp4")
        assert "text.mp4 cannot be shown: not_media" in page(panel)
        data, _ = bundle(panel)
        assert "cannot be shown" in data["text/html"]
        assert "cannot be shown" in data["text/plain"]


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize("rule", RULES)
def test_the_sampling_slider_shows_what_the_library_samples(video, rule):
    panel = widgets.sampling_slider(video, rule=rule, num_frames=6, stride=3, num_clips=2, frame_rate=12.5)
    pts = read_clip(video, range(19)).pts_s
    wanted = {
        "clips": lambda n: sample.clips(pts, 25.0, n, 12.5, 2),
        "dense": lambda n: sample.dense(19, n, 3, 2),
        "uniform": lambda n: sample.uniform(19, n, 2),
        "segments": lambda n: sample.segments(19, n, 2),
    }[rule]
    from vidbench.visualize import sampling_diagram

    for num_frames in (6, 4):
        within(panel, ipywidgets.IntSlider, "frames").value = num_frames
        expected = sampling_diagram(wanted(num_frames), 19, pts_s=pts).alt
        assert f'alt="{expected}"' in page(panel)
    assert within(panel, ipywidgets.FloatSlider).disabled == (rule != "clips")
    assert within(panel, ipywidgets.IntSlider, "every n-th frame").disabled == (rule != "dense")


def test_a_video_of_few_frames_a_minute_can_be_sampled(make_video, tmp_path):
    slow = make_video(tmp_path / "slow.mkv", num_frames=4, pts=[0, 5, 90_000, 180_000], time_base=Fraction(1, 1000))
    panel = widgets.sampling_slider(slow, num_frames=3)
    slider = within(panel, ipywidgets.FloatSlider)
    assert slider.value == pytest.approx(3 / 180 / 2, rel=0.01)
    assert slider.min <= slider.value < slider.max
    assert "3 frames taken from a video of 4" in page(panel)


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "evenly"},
        {"num_frames": 0},
        {"num_frames": 2.5},
        {"stride": 17},
        {"num_clips": 11},
        {"frame_rate": 0},
        {"frame_rate": float("nan")},
        {"frame_rate": -3.0},
    ],
)
def test_a_sampling_out_of_range_is_refused(video, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        widgets.sampling_slider(video, **options)


# ---------------------------------------------------------------- dataset browser


def test_the_filters_of_the_dataset_browser_agree_with_the_records(tmp_path):
    records = load_records("vidmini", VIDMINI, "test")[::7]
    records += [VideoRecord("gone", "no.mp4", "SitDown", 10, "val", status="missing", reason="no such file")]
    panel = widgets.dataset_browser(records, VIDMINI)
    listed = within(panel, ipywidgets.Select)
    assert len(listed.options) == len(records)
    for name, attribute in (("class", "label"), ("split", "split"), ("status", "status")):
        control = within(panel, ipywidgets.Dropdown, name)
        values = [value for _, value in control.options if value]
        assert set(values) == {getattr(record, attribute) for record in records}
        for value in values:
            control.value = value
            fits = [record for record in records if getattr(record, attribute) == value]
            assert len(listed.options) == len(fits)
            assert f"{len(fits)} video" in page(panel)
            assert fits[0].video_id in page(panel)
        control.value = ""
    within(panel, ipywidgets.Dropdown, "class").value = "OpenDoor"
    within(panel, ipywidgets.Dropdown, "status").value = "missing"
    assert "No video fits these filters." in page(panel)
    assert listed.options == ()


def test_steps_through_a_list_stop_at_its_ends():
    records = load_records("vidmini", VIDMINI, "test")[:3]
    panel = widgets.dataset_browser(records, VIDMINI)
    back = within(panel, ipywidgets.Button, tooltip="previous video")
    forth = within(panel, ipywidgets.Button, tooltip="next video")
    for button, wanted in ((back, 0), (forth, 1), (forth, 2), (forth, 2), (back, 1)):
        button.click()
        assert f"Approach: {records[wanted].video_id}" in page(panel)


def test_an_empty_list_of_records_is_a_sentence():
    assert "the list is empty" in page(widgets.dataset_browser([], VIDMINI))


# ---------------------------------------------------------------- runs


def write_run(folder: Path, root: Path, ranks, name: str = "a run") -> Path:
    """A run over one video file, listed under several ids; ``None`` as a rank for a skipped video."""
    folder.mkdir()
    rows = []
    for index, rank in enumerate(ranks):
        common = (index, f"v{index}{EVIL}", "clip.mp4", LABELS[index % 3], index % 3, "test", "")
        if rank is None:
            rows.append(Row(*common, status="timeout", reason=EVIL))
            continue
        order = [index % 3, (index + 1) % 3] if rank == 0 else [(index + 1) % 3, index % 3]
        top = ((LABELS[order[0]], order[0], 0.9 - 0.01 * index), (LABELS[order[1]], order[1], 0.05))
        rows.append(Row(*common, status="ok", top=top, rank=rank, num_frames=19))
    manifest = {"schema": 1, "run_name": name, "labels": list(LABELS), "dataset": {"n_listed": len(rows)}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "rows.jsonl").write_bytes(b"".join(encode_row(row) for row in rows))
    return folder


@pytest.fixture
def run_folder(video, tmp_path):
    return write_run(tmp_path / "run", tmp_path, [0, 1, 1, 0, 1, None, 0, 1], name=f"run {EVIL}")


def test_a_button_saves_a_verdict_and_scores_again(run_folder, tmp_path):
    panel = widgets.error_browser(run_folder, tmp_path)
    run = review.read_run(run_folder)
    assert "37.5 %" in page(panel)
    assert len(within(panel, ipywidgets.Select).options) == 4
    first = run.rows[1]
    assert first.top[0][0] == LABELS[2]
    within(panel, ipywidgets.Dropdown, "to be seen").value = LABELS[2]
    within(panel, ipywidgets.Button, "label wrong").click()
    (verdict,) = review.read_verdicts(run).values()
    assert (verdict.video_id, verdict.verdict, verdict.label) == (first.video_id, "label_wrong", LABELS[2])
    assert "50.0 %" in page(panel)
    assert "37.5 %" in page(panel)
    within(panel, ipywidgets.Button, tooltip="next video").click()
    within(panel, ipywidgets.Button, "undecodable").click()
    assert set(review.read_verdicts(run)) == {run.rows[1].video_id, run.rows[2].video_id}
    again = widgets.error_browser(run_folder, tmp_path)
    assert "2 reviewed (1 label wrong, 1 undecodable)" in page(again)
    within(again, ipywidgets.Dropdown, "which").value = "reviewed"
    assert len(within(again, ipywidgets.Select).options) == 2
    within(again, ipywidgets.Button, "take back").click()
    assert len(within(again, ipywidgets.Select).options) == 1
    assert len(review.read_verdicts(run)) == 1


def test_a_verdict_that_cannot_be_saved_is_a_sentence(run_folder, tmp_path, monkeypatch):
    panel = widgets.error_browser(run_folder, tmp_path)

    def full(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("vidbench.review.write_json", full)
    within(panel, ipywidgets.Button, "ambiguous").click()
    assert "cannot be written (Read-only file system)" in page(panel)
    assert "No verdicts yet." in page(panel)


def test_an_error_browser_without_a_run_or_without_videos_says_so(run_folder, tmp_path):
    assert "is /" in page(widgets.error_browser(tmp_path / "nowhere", tmp_path))
    panel = widgets.error_browser(run_folder, tmp_path / "elsewhere")
    assert "clip.mp4 cannot be shown: missing: no such file" in page(panel)
    data, _ = bundle(panel)
    assert "<table" in data["text/html"]


def test_a_perfect_run_has_an_empty_list_and_no_buttons_to_press(video, tmp_path):
    panel = widgets.error_browser(write_run(tmp_path / "run", tmp_path, [0, 0, 0]), tmp_path)
    assert "No video fits these filters." in page(panel)
    assert within(panel, ipywidgets.Button, "ambiguous").disabled
    assert "100.0 %" in bundle(panel)[0]["text/html"]


def test_videos_without_a_label_or_an_answer_are_told_in_words(video, tmp_path):
    folder = write_run(tmp_path / "run", tmp_path, [1, 1, 1])
    no_label = Row(1, "v1", "clip.mp4", None, -1, "test", "", "ok", top=((LABELS[0], 0, 0.9),), num_frames=19)
    no_answer = Row(2, "v2", "clip.mp4", LABELS[2], 2, "test", "", "ok", num_frames=19)
    first = (folder / "rows.jsonl").read_bytes().splitlines(keepends=True)[0]
    (folder / "rows.jsonl").write_bytes(first + encode_row(no_label) + encode_row(no_answer))
    panel = widgets.error_browser(folder, tmp_path)
    within(panel, ipywidgets.Dropdown, "which").value = "all"
    listed = within(panel, ipywidgets.Select)
    said = [words for words, _ in listed.options]
    assert "no label → run 0.90, v1" in said[1]
    assert "no class, v2" in said[2]
    listed.index = 1
    assert "true class: not known</p>" in page(panel)
    assert "behind" not in page(panel)


def test_classes_that_are_no_text_reach_the_browser_written_out(video, tmp_path):
    folder = write_run(tmp_path / "run", tmp_path, [1])
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "labels": [*LABELS, "\udcff", "two\nlines"]}))
    panel = widgets.error_browser(folder, tmp_path)
    for widget in all_within(panel):
        json.dumps(widget.get_state(), ensure_ascii=False, default=str).encode()  # as a kernel sends it
    assert "two\\nlines" in dict(within(panel, ipywidgets.Dropdown, "to be seen").options)


def test_two_runs_are_compared_as_the_library_does(video, tmp_path):
    folders = [write_run(tmp_path / name, tmp_path, ranks, name) for name, ranks in RANKS.items()]
    panel = widgets.run_comparison(*folders, tmp_path)
    compared = review.compare(*(review.read_run(folder).rows for folder in folders))
    assert compared.sentence("a", "b") in page(panel)
    which, listed = within(panel, ipywidgets.Dropdown, "which"), within(panel, ipywidgets.Select)
    for name in ("both", "a", "b", "neither", "all"):
        which.value = name
        assert len(listed.options) == len(compared.group(name))
    assert {len(compared.group(name)) for name in ("both", "a", "b", "neither")} == {1, 2, 3}


RANKS = {"a": [0, 0, 0, 1, 1, 1, 1, None], "b": [0, 1, 1, 0, 0, 0, 1, 1]}


def test_runs_that_cannot_be_compared_are_a_sentence(run_folder, tmp_path):
    assert "does not exist" in page(widgets.run_comparison(run_folder, tmp_path / "gone", tmp_path))


# ---------------------------------------------------------------- one video in a cell


def test_a_shown_video_fits_the_size_and_says_what_it_is(video):
    data, about = bundle(widgets.show_video(video, alt='numbers "in" order'))
    assert 'aria-label="numbers &quot;in&quot; order"' in data["text/html"]
    assert re.search(r'src="data:video/mp4;base64,', data["text/html"])
    assert data["text/plain"] == 'numbers "in" order'
    assert about["image/jpeg"]["alt"] == 'numbers "in" order'
    assert picture(f'src="data:image/jpeg;base64,{data["image/jpeg"]}"').shape[2] == 3
    with pytest.raises(ConfigError, match="alt must say"):
        widgets.show_video(video, alt=" ")


def test_a_video_too_large_to_embed_is_a_sentence(video):
    words = bundle(widgets.show_video(video, alt="numbers", max_kb=1))[0]["text/html"]
    assert "over the limit of 1" in words
    assert "<video" not in words


# ---------------------------------------------------------------- pages without a kernel, and foreign text


def panels(video: Path, run_folder: Path, tmp_path: Path) -> dict:
    records = [VideoRecord(f"id {EVIL}", "clip.mp4", EVIL, 0, "test", group=EVIL)]
    records += [VideoRecord("bad", f"{EVIL}.mp4", EVIL, 0, status="bad_row", reason=EVIL)]
    return {
        "player": widgets.clip_player(video, scores=[0.4, 0.6], labels=["a", EVIL], truth=EVIL, title=EVIL),
        "sampling": widgets.sampling_slider(video),
        "dataset": widgets.dataset_browser(records, tmp_path),
        "errors": widgets.error_browser(run_folder, tmp_path),
        "comparison": widgets.run_comparison(run_folder, run_folder, tmp_path),
        "video": widgets.show_video(video, alt=EVIL),
    }


def test_foreign_text_never_becomes_markup(video, run_folder, tmp_path):
    for name, panel in panels(video, run_folder, tmp_path).items():
        words = bundle(panel)[0]["text/html"] + (page(panel) if name != "video" else "")
        assert "<script" not in words, name
        assert "\x1b" not in words, name
        if name != "sampling":
            assert "&lt;script&gt;" in words, name


def test_every_widget_has_a_page_without_a_kernel(video, run_folder, tmp_path):
    for name, panel in panels(video, run_folder, tmp_path).items():
        data, about = bundle(panel)
        (mime,) = {"image/png", "image/jpeg"} & set(data)
        assert about[mime]["alt"], name
        assert len(data["text/html"]) + len(data[mime]) < 200_000, name
        for image in re.findall(r"<img [^>]*>", data["text/html"]):
            assert re.search(r' alt="[^"]+"', image), name


def test_a_page_made_from_a_notebook_shows_the_stand_ins(video, run_folder, tmp_path):
    from nbconvert import HTMLExporter
    from nbformat import v4

    made = panels(video, run_folder, tmp_path)
    outputs = [v4.new_output("display_data", data=data, metadata=about) for data, about in map(bundle, made.values())]
    book = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=[output]) for output in outputs])
    words, _ = HTMLExporter(embed_images=False).from_notebook_node(book)
    body = words[words.index("<body") :]
    assert body.count("<img ") >= 5
    assert body.count("<video ") == 1
    assert "widget-view+json" not in body
    assert all(re.search(r""" alt=("[^"]+"|'[^']+')""", image) for image in re.findall(r"<img [^>]*>", body))


def test_closing_a_panel_leaves_no_widget_behind(video, run_folder, tmp_path):
    before = set(ipywidgets.widgets.widget._instances)
    made = [panel for name, panel in panels(video, run_folder, tmp_path).items() if name != "video"]
    assert len(set(ipywidgets.widgets.widget._instances) - before) > 100
    for panel in made:
        panel.close_all_within()
    left = [ipywidgets.widgets.widget._instances[key] for key in set(ipywidgets.widgets.widget._instances) - before]
    assert left == []


def test_video_files_are_named_whatever_their_names_are(make_video, tmp_path):
    name = "a b#c%20?'ü.mp4" if os.name == "posix" else "a b#c%20'ü.mp4"
    assert "<video" in widgets.video_html(make_video(tmp_path / name, num_frames=3), "odd name")
