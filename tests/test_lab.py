"""Every widget, driven in JupyterLab by a real browser: play, step, slide, filter, label, reload.

Skips where Chromium is not installed (Debian: ``apt-get install chromium fonts-dejavu-core``). Screenshots of each
step lie in pytest's temporary folder, or in the folder that VIDBENCH_SCREENSHOTS names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import chromium, free_port

from vidbench.data.classes import load_labels
from vidbench.data.index import load_records
from vidbench.records import Row
from vidbench.review import read_run, read_verdicts
from vidbench.runs import encode_row

ROOT = Path(__file__).resolve().parents[1]
VIDMINI = ROOT / "data" / "vidmini"
START_S = 120.0  # seconds for JupyterLab, or a kernel, to start on a busy machine
STEP_MS = 60_000  # milliseconds for one thing to happen on the page

pytestmark = pytest.mark.slow

# What axe finds in the controls that ipywidgets draws, whoever uses them; ours must add nothing to it.
KNOWN_VIOLATIONS: dict[str, str] = {}

CELLS = {
    "player": """
        from pathlib import Path
        import numpy as np
        from vidbench import widgets
        from vidbench.data.classes import load_labels
from vidbench.data.index import load_records
        root = Path(settings["root"])
        scores = np.random.default_rng(0).dirichlet(np.ones(7), 3)
        widgets.clip_player(settings["video"], times_s=[0.2, 0.8, 1.4], scores=scores, labels=list("abcdefg"),
                            truth=[(0.0, 0.6, "a"), (0.6, 9.0, "c")], title="sitting down")""",
    "sampling": "widgets.sampling_slider(settings['video'])",
    "dataset": """
        from vidbench.records import VideoRecord
        records = load_records("vidmini", root, "test")
        bad = [VideoRecord("broken", settings["broken"], "SitDown", 10, "val"),
               VideoRecord("gone", "no.mp4", "SitDown", 10, "val", status="missing", reason="no such file")]
        widgets.dataset_browser([*records, *bad], root)""",
    "errors": "widgets.error_browser(settings['run_a'], root)",
    "comparison": "widgets.run_comparison(settings['run_a'], settings['run_b'], root)",
    "video": "widgets.show_video(settings['xvid'], alt='numbered frames in Xvid')",
}


# ---------------------------------------------------------------- what the notebook shows


def write_run(folder: Path, num_right: int) -> Path:
    """A finished run on 12 clips of vidmini: the first ``num_right`` right, one skipped, the others taken for the
    next class."""
    records = load_records("vidmini", VIDMINI, "test")[::12][:12]
    labels = list(load_labels("vidmini"))
    folder.mkdir(parents=True)
    rows = []
    for index, record in enumerate(records):
        common = {
            name: getattr(record, name) for name in ("video_id", "path", "label", "label_index", "split", "group")
        }
        if index == 11:
            rows.append(Row(index, **common, status="decode_error", reason="made for the test"))
            continue
        other = (record.label_index + 1) % len(labels)
        best = record.label_index if index < num_right else other
        second = other if index < num_right else record.label_index
        top = ((labels[best], best, 0.9 - 0.05 * index), (labels[second], second, 0.05))
        rows.append(Row(index, **common, status="ok", num_frames=50, frame_rate=25.0, top=top, rank=int(best == other)))
    manifest = {"schema": 1, "run_name": folder.name, "labels": labels, "dataset": {"name": "vidmini", "n_listed": 12}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "rows.jsonl").write_bytes(b"".join(encode_row(row) for row in rows))
    return folder


def notebook(settings: dict) -> dict:
    """The cells as a notebook; the first one holds the settings."""
    sources = [f"settings = {settings!r}", *[re.sub(r"(?m)^ {8}", "", source).strip() for source in CELLS.values()]]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [
        {
            "cell_type": "code",
            "id": f"cell{k}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for k, source in enumerate(sources)
    ]
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


# ---------------------------------------------------------------- JupyterLab and Chromium


@contextlib.contextmanager
def jupyterlab(folder: Path, home: Path):
    """A server on ``folder``, with settings of its own; gives ``(address, token)``."""
    places = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_SETTINGS_DIR")
    env = {**os.environ, **{name: str(home / name.lower()) for name in places}, "PYTHONPATH": str(ROOT)}
    env["JUPYTER_RUNTIME_DIR"], env["XDG_CACHE_HOME"] = str(home / "runtime"), str(home / "cache")
    for name in places:
        Path(env[name]).mkdir(parents=True)
    write_settings(Path(env["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab")
    port, token = free_port(), secrets.token_hex(16)
    words = f"--no-browser --allow-root --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0"
    words += (
        f" --IdentityProvider.token={token} --LabApp.expose_app_in_browser=True --LabApp.extension_manager=readonly"
    )
    command = [sys.executable, "-m", "jupyterlab", *words.split(), f"--ServerApp.root_dir={folder}"]
    with open(home / "lab.log", "wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for_server(server, f"{address}/api/status?token={token}", home / "lab.log")
        yield address, token
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(20)


def write_settings(folder: Path) -> None:
    """No pop-up over the page, and every cell in the page at once, also those out of sight."""
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }
    for name, values in settings.items():
        path = folder / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))


def wait_for_server(server: subprocess.Popen, url: str, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-3000:]
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start within {START_S} s: {log.read_text()[-3000:]}")


@dataclasses.dataclass
class Lab:
    """The page with the notebook, and what the browser complained about."""

    page: object
    notebook: Path
    shots: Path
    settings: dict
    complaints: list

    def cell(self, name: str):
        """The output area of a named cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(1 + list(CELLS).index(name)).locator(".jp-OutputArea")

    def python(self, code: str) -> str:
        """What the notebook's kernel prints for some code, once everything before it is done."""
        return self.page.evaluate(
            """async code => {
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code, store_history: false});
                let words = '';
                future.onIOPub = m => { words += m.content.text || (m.content.traceback || []).join('\\n'); };
                await future.done;
                return words;
            }""",
            code,
        )

    def shoot(self, name: str, cell: str) -> None:
        area = self.cell(cell)
        area.scroll_into_view_if_needed()
        area.screenshot(path=str(self.shots / f"{name}.png"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory, make_video):
    pytest.importorskip("playwright", reason="needs playwright, see requirements.txt")
    from playwright.sync_api import sync_playwright

    browser_path, home = chromium(), tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    folder.mkdir()
    broken = home / "broken.mp4"
    broken.write_bytes(b"no video" * 200)
    settings = {
        "root": str(VIDMINI),
        "video": str(sorted((VIDMINI / "videos" / "SitDown").iterdir())[0]),
        "broken": str(broken),
        "xvid": str(make_video(home / "xvid.avi", codec="mpeg4", num_frames=30)),
        "run_a": str(write_run(home / "runs" / "a", 4)),
        "run_b": str(write_run(home / "runs" / "b", 8)),
    }
    (folder / "widgets.ipynb").write_text(json.dumps(notebook(settings)))
    shots = Path(os.environ.get("VIDBENCH_SCREENSHOTS") or home / "screenshots")
    shots.mkdir(parents=True, exist_ok=True)
    arguments = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    arguments += " --disable-component-update --disable-sync"
    with jupyterlab(folder, home) as (address, token), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=arguments.split())
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(STEP_MS)
        opened = Lab(page, folder / "widgets.ipynb", shots, settings, [])
        page.on("console", lambda m: opened.complaints.append(f"{m.text} {m.location}") if m.type == "error" else None)
        page.on("pageerror", lambda problem: opened.complaints.append(f"page: {problem}"))
        page.goto(f"{address}/lab/tree/widgets.ipynb?token={token}&reset")
        run_all(page)
        yield opened
        browser.close()


def run_all(page) -> None:
    """Run every cell and wait for the kernel; the menus are left alone, commands are surer."""
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    page.evaluate(
        """async () => {
            const app = window.jupyterapp; await app.restored;
            const panel = app.shell.currentWidget;
            await panel.context.ready; await panel.sessionContext.ready; await panel.revealed;
            await app.commands.execute('notebook:run-all-cells');
        }"""
    )


def wait_until(true, what: str, seconds: float = 60.0):
    """The first true answer of ``true()``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := true():
            return answer
        time.sleep(0.1)
    pytest.fail(f"not within {seconds:g} s: {what}")


def wait_for(area, *words: str) -> None:
    """Until each of these words is in a part of the page; what is there instead is in the failure."""
    end = time.monotonic() + STEP_MS / 1000
    while not all(word in area.inner_text() for word in words):
        assert time.monotonic() < end, f"{words} never came; there is: {area.inner_text()}"
        time.sleep(0.1)


def plays(video) -> bool:
    return video.evaluate("v => v.readyState >= 2 && v.videoWidth > 0")


# ---------------------------------------------------------------- the tests


def test_every_cell_runs_and_shows_a_panel(lab):
    for name in ("player", "sampling", "dataset", "errors", "comparison"):
        lab.cell(name).locator(".vidbench").first.wait_for()
        lab.shoot(f"1-{name}", name)
    assert lab.page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def test_the_player_steps_slides_and_plays(lab):
    area = lab.cell("player")
    image, caption = area.locator("figure img"), area.locator("figcaption")
    assert caption.inner_text().startswith("frame 0 of ")
    assert "true class: a" in area.inner_text()
    first = image.get_attribute("src")
    area.get_by_title("one frame on").click()
    wait_until(lambda: caption.inner_text().startswith("frame 1 of "), "one step on")
    assert image.get_attribute("src") != first
    handle = area.locator(".noUi-handle")
    handle.focus()
    for _ in range(30):
        handle.press("ArrowRight")
    wait_until(lambda: caption.inner_text().startswith("frame 31 of "), "30 steps by the slider")
    wait_for(area, "true class: c")
    assert "frame 31 of" in image.get_attribute("alt")
    area.get_by_title("one frame back").click()
    wait_until(lambda: caption.inner_text().startswith("frame 30 of "), "one step back")
    area.get_by_role("button", name="play or pause").click()
    wait_until(lambda: int(caption.inner_text().split()[1]) > 34, "the player to play")
    area.get_by_role("button", name="play or pause").click()
    lab.shoot("2-player", "player")


def test_the_sampling_slider_draws_what_it_is_set_to(lab):
    area = lab.cell("sampling")
    assert area.locator("img").first.get_attribute("alt").startswith("16 frames")
    handle = area.locator(".widget-slider", has=lab.page.get_by_text("frames", exact=True)).locator(".noUi-handle")
    handle.focus()
    for _ in range(4):
        handle.press("ArrowLeft")
    wait_until(lambda: area.locator("img").first.get_attribute("alt").startswith("12 frames"), "another diagram")
    area.locator("select").select_option("evenly over the whole video")
    wait_until(lambda: " 2, 7, " in area.locator("img").first.get_attribute("alt"), "the other rule")
    lab.shoot("3-sampling", "sampling")


def test_the_dataset_browser_filters_and_plays(lab):
    area = lab.cell("dataset")
    wait_until(lambda: plays(area.locator("video")), "the first video to play")
    area.get_by_label("class").select_option("OpenDoor")
    wait_for(area, "\n12 videos\n")
    wait_until(lambda: area.locator("video").get_attribute("aria-label").startswith("OpenDoor"), "its first video")
    first = area.locator("video").get_attribute("aria-label")
    area.get_by_title("next video").click()
    wait_until(lambda: area.locator("video").get_attribute("aria-label") != first, "the next video")
    wait_until(lambda: plays(area.locator("video")), "it to play")
    lab.shoot("4-dataset", "dataset")
    area.get_by_label("class").select_option("all")
    area.get_by_label("split").select_option("val")
    wait_for(area, "\n2 videos\n", "broken.mp4 cannot be shown: not_media")
    area.get_by_title("next video").click()
    wait_for(area, "no such file")
    lab.shoot("4-dataset-broken", "dataset")


def test_a_verdict_is_saved_and_the_accuracy_scored_again(lab):
    area, run = lab.cell("errors"), read_run(lab.settings["run_a"])
    assert "33.3 %" in area.inner_text()
    wait_until(lambda: plays(area.locator("video")), "the first mistake to play")
    mistake = run.rows[4]
    area.get_by_label("to be seen").select_option(mistake.top[0][0])
    area.get_by_role("button", name="label wrong").click()
    wait_until(lambda: read_verdicts(run), "the verdict in its file")
    verdict = read_verdicts(run)[mistake.video_id]
    assert (verdict.verdict, verdict.label) == ("label_wrong", mistake.top[0][0])
    wait_for(area, "41.7 %")
    assert "33.3 %" in area.inner_text()
    lab.shoot("5-errors", "errors")
    area.get_by_role("button", name="take back").click()
    wait_until(lambda: not read_verdicts(run), "the verdict taken back")
    wait_for(area, "No verdicts yet")
    area.get_by_label("order").select_option("by class")
    area.get_by_label("which").select_option("could not be predicted")
    wait_for(area, "\n1 video\n", "made for the test")
    area.get_by_label("which").select_option("predicted, and wrongly")
    wait_for(area, "\n7 videos\n")
    area.get_by_role("button", name="ambiguous").click()
    wait_until(lambda: read_verdicts(run), "the second verdict")


def test_the_comparison_names_who_is_right(lab):
    area = lab.cell("comparison")
    assert "b minus a: +33.3 points" in area.inner_text()
    wait_for(area, "\n4 videos\n")
    wait_until(lambda: plays(area.locator("video")), "the first of them to play")
    area.get_by_label("which").select_option("neither is right")
    wait_for(area, "decode_error")
    lab.shoot("6-comparison", "comparison")


def test_a_video_that_browsers_refuse_is_shown_as_a_copy(lab):
    area = lab.cell("video")
    wait_until(lambda: plays(area.locator("video")), "the copy to play")
    area.locator("video").evaluate("v => v.play()")
    wait_until(lambda: area.locator("video").evaluate("v => v.currentTime > 0.1"), "time to pass")
    assert "browsers do not open AVI files" in area.inner_text()
    lab.shoot("7-video", "video")


def test_axe_finds_nothing_that_ipywidgets_does_not_bring(lab):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = {}
    for violation in axe.run(lab.page, context=".jp-OutputArea").response["violations"]:
        found[violation["id"]] = [node["html"][:200] for node in violation["nodes"]]
    assert {name: nodes for name, nodes in found.items() if name not in KNOWN_VIOLATIONS} == {}
    assert set(KNOWN_VIOLATIONS) <= set(found), "no longer found: take it off the list"


def test_widgets_come_back_after_a_reload(lab):
    lab.page.evaluate("async () => await window.jupyterapp.commands.execute('docmanager:save')")
    lab.page.reload()
    lab.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    area = lab.cell("player")
    area.locator(".vidbench").first.wait_for()
    before = area.locator("figcaption").inner_text()
    area.get_by_title("one frame on").click()
    wait_until(lambda: area.locator("figcaption").inner_text() != before, "a step after the reload")
    wait_for(lab.cell("errors"), "1 ambiguous")
    lab.shoot("8-reloaded", "player")


def test_running_a_cell_again_keeps_no_more_widgets(lab):
    count = "import ipywidgets; print(len(ipywidgets.widgets.widget._instances))"
    run_all(lab.page)
    before = int(lab.python(count))
    run_all(lab.page)
    after = int(lab.python(count))
    assert before > 100  # five panels of many controls
    assert after == before
    area = lab.cell("player")
    wait_until(lambda: area.locator("figcaption").inner_text().startswith("frame 0 of "), "the new player")
    area.get_by_title("one frame on").click()
    wait_until(lambda: area.locator("figcaption").inner_text().startswith("frame 1 of "), "a step in it")


def test_the_browser_complained_about_nothing(lab):
    assert lab.complaints == []


def test_the_saved_notebook_reads_without_a_kernel(lab):
    """Each output that is saved also holds HTML and, where it shows pictures, one that needs no JavaScript."""
    saved = json.loads(lab.notebook.read_text())
    outputs = {name: cell["outputs"][0] for name, cell in zip(CELLS, saved["cells"][1:])}
    for name, output in outputs.items():
        assert "text/html" in output["data"], name
        assert {"image/png", "image/jpeg"} & set(output["data"]), name
        pictures = re.findall(r"<img [^>]*>", "".join(output["data"]["text/html"]))
        assert all(re.search(r' alt="[^"]+"', picture) for picture in pictures), name


def test_the_run_of_the_test_is_what_it_says(tmp_path):
    run = read_run(write_run(tmp_path / "run", 4))
    assert [row.rank for row in run.rows] == [0] * 4 + [1] * 7 + [-1]
    assert np.isfinite([score for row in run.rows for _, _, score in row.top]).all()
