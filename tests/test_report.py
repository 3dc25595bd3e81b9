"""A page made from a run folder that is drawn with a random generator."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import chromium

from vidbench.metrics import summarise
from vidbench.records import Row, RunError
from vidbench.report import write_report

CLASSES = [
    "open box",
    "close box",
    "sit down",
    "stand up",
    "approach",
    "recede",
    "left to right",
    "right to left",
    "juggling",
    "waving",
    "rolling ball",
    "falling leaf",
]
SPEC = {
    "num_frames": 16, "frame_rate": 12.5, "resize": 128, "crop": [112, 112], "mean": [0.45, 0.45, 0.45],
    "std": [0.225, 0.225, 0.225], "sampling": "clips", "num_clips": 1, "num_crops": 1, "layout": "NCTHW",
    "short": "repeat", "average": "logits",
}  # fmt: skip
REPORTED = {"top1": 71.1, "top5": 89.3, "on": "kinetics400 test", "protocol": "251 frames, 1 crop", "n": 38685,
            "source": "https://github.com/google-deepmind/kinetics-i3d"}  # fmt: skip


def fake_manifest(labels, n_listed, **changes):
    """A manifest with every section; ``changes`` replace sections' keys by ``section__key``."""
    manifest = {
        "schema": 1,
        "run_name": "r2plus1d_mini.vidmini-vidmini-test",
        "model": {"name": "r2plus1d_mini.vidmini", "weights": None, "weights_sha256": "5f" * 32, "random": False,
                  "num_classes": len(labels), "labels": "vidmini", "reported": None},
        "spec": dict(SPEC),
        "dataset": {"name": "vidmini", "data_dir": "data/vidmini", "split": "test", "fold": 1, "classes": None,
                    "limit": None, "seed": 0, "n_listed": n_listed, "n_in_split": n_listed},
        "label_map": None,
        "labels": list(labels),
        "decode": {"decoder": "pyav", "version": "av 18.1.0 libavcodec 62.28", "seconds": 60.0, "megabytes": 2048},
        "protocol": {"on_card": True, "num_views": 1, "changed": {}},
        "run": {"batch_size": 8, "device": "cpu", "precision": "bf16", "memory_format": "channels_last_3d",
                "num_workers": 2, "seed": 0, "top_n": 5},
        "timing": {"sessions": 1, "num_videos": n_listed, "clips_per_s": 11.8, "bottleneck": "decode",
                   "seconds": {"decode": 18.2, "transform": 2.3, "transfer": 0.02, "forward": 6.4, "wall": 12.2},
                   "peak_rss_mb": 812.4, "device_name": "AMD EPYC 9R14"},
        "environment": {"packages": {"python": "3.13.1", "torch": "2.15.0", "av": "18.1.0", "numpy": "2.4.6"},
                        "machine": {"system": "Linux-6.1", "cores": 2, "processor": "AMD EPYC", "memory_gb": 16.0},
                        "commit": "c0cb797" + "0" * 33 + "+changes"},
    }  # fmt: skip
    for key, value in changes.items():
        name, _, inner = key.partition("__")
        if inner:
            manifest[name][inner] = value
        else:
            manifest[name] = value
    return manifest


def fake_rows(rng, labels, num_videos, *, accuracy=0.9, skipped=0.03, groups=4, top_n=5):
    """Rows with wrong answers that prefer the neighbouring class, and skipped videos with reasons."""
    reasons = {"missing": "no file at this path", "decode_error": "Invalid data found when processing input",
               "timeout": "decoding took longer than 60 s"}  # fmt: skip
    rows = []
    for index in range(num_videos):
        true = index % len(labels)
        name = f"{labels[true].replace(' ', '_').replace('/', '_')[:40]}_{index:05d}"
        common = (index, name, f"{labels[true]}/{name}.mp4", labels[true], true, "test", f"scene{index % groups}")
        if rng.random() < skipped:
            status = str(rng.choice(list(reasons)))
            rows.append(Row(*common, status, reasons[status]))
            continue
        others = rng.permutation(np.delete(np.arange(len(labels)), true))
        if rng.random() < 0.6:
            neighbour = true ^ 1 if true ^ 1 < len(labels) else true - 1
            others = np.concatenate([[neighbour], others[others != neighbour]])
        rank = 0 if rng.random() < accuracy - 0.4 * (true % 5 == 3) else 1 + int(rng.integers(3))
        order = np.insert(others, rank, true)[:top_n]
        scores = np.sort(rng.dirichlet(np.full(len(labels), 0.15)))[::-1]
        top = tuple((labels[k], int(k), float(f"{s:.7g}")) for k, s in zip(order, scores))
        status = "partial" if rng.random() < 0.02 else "ok"
        reason = "61 of 75 frames could be read" if status == "partial" else ""
        rows.append(Row(*common, status, reason, 75, 25.0, top, rank))
    return rows


def fake_run(folder, *, seed=0, labels=CLASSES, num_videos=144, manifest=None, rows=None, **kinds):
    """A run folder on disk; returns ``(folder, rows, manifest)``."""
    rng = np.random.default_rng(seed)
    rows = fake_rows(rng, labels, num_videos, **kinds) if rows is None else rows
    manifest = {"labels": list(labels), **(manifest or fake_manifest(labels, len(rows)))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row.as_json()) + "\n" for row in rows))
    return folder, rows, manifest


class Page(HTMLParser):
    """The parsed page: tags in order with their attributes, and its text without style sheets."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.texts, self.unbalanced = [], [], [], []
        self.feed(html)
        self.close()
        self.html, self.text = html, " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "mini")


# --- the page


def test_the_page_shows_the_figures_of_the_rows(mini):
    folder, rows, _ = mini
    page, metrics = page_of(folder), summarise(rows, CLASSES)
    top1 = metrics["listed"]["top1"]
    shown = [f"{100 * top1[name]:.1f}" for name in ("value", "low", "high")]
    assert (
        f"over all listed videos {shown[0]} % 95 % interval {shown[1]} to {shown[2]} %, {top1['k']} of 144" in page.text
    )
    assert f"{metrics['n_ok']} of 144" in page.text
    for line in metrics["per_class"]:
        assert line["label"] in page.text
    for words in (
        "16 frames at 12.5 per second",
        "pyav, av 18.1.0 libavcodec 62.28",
        "bf16 channels_last_3d",
        "short side to 128 pixels",
    ):
        assert words in page.text


def test_the_page_is_well_formed_and_can_be_read_aloud(mini):
    page = page_of(mini[0])
    assert page.unbalanced == []
    assert page.open == []
    assert page.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table")) >= 4
    assert all("alt" in image for image in page.all("img"))
    assert all("aria-label" in svg or svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) in (None, *ids)
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
    assert all("scope" in cell for cell in page.all("th"))


def test_the_page_needs_nothing_outside_itself(mini):
    page = page_of(mini[0])
    assert not [tag for tag, _ in page.tags if tag in ("link", "iframe", "object", "embed", "base", "form")]
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [
        {}
    ]  # the one that sorts, see test_pages
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("srcset", "style", "background")]
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in page.html
    assert "@import" not in page.html
    assert page.all("meta")[2]["content"].startswith("default-src 'none'")


def test_the_same_folder_gives_the_same_bytes_and_no_other_file_changes(mini):
    folder = mini[0]
    first = write_report(folder).read_bytes()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert write_report(folder).read_bytes() == first
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_page_believes_the_rows_and_not_metrics_json(tmp_path):
    folder, _, _ = fake_run(tmp_path)
    before = write_report(folder).read_bytes()
    (folder / "metrics.json").write_text('{"listed": {"top1": {"value": 1.0}}}')
    assert write_report(folder).read_bytes() == before


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</style></title><script>alert(1)</script>",
    "\"' onmouseover='alert(1)' x=\"",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "esc\x1b[31m nul\x00 line\nbreak tab\t del\x7f c1\x9b",
    "evil\u202etxt.exe \u2066isolated",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "lone \udcff surrogate",
    "&lt;b&gt; &amp; ]]> <!-- -->",
    "x" * 255,
)


def test_everything_foreign_is_escaped_wherever_it_appears(tmp_path):
    labels = [*HOSTILE, "plain"]
    rng = np.random.default_rng(4)
    rows = fake_rows(rng, labels, 240, accuracy=0.5, skipped=0.0)
    for index, bad in enumerate(HOSTILE):
        common = (len(rows), bad, bad, bad, index, bad, bad)
        rows.append(Row(*common, "decode_error", bad))
    rows = [Row(**{**row.as_json(), "path": labels[row.label_index], "group": labels[row.label_index]}) for row in rows]
    for number, bad in enumerate(HOSTILE):
        manifest = fake_manifest(
            labels, len(rows), model__name=bad, model__weights={"file": bad}, dataset__name=bad, dataset__split=bad,
            dataset__data_dir=bad.replace("\0", ""), dataset__classes=[bad], decode__decoder=bad, run__device=bad,
            run__precision=bad, environment={"packages": {bad: bad}, "commit": bad}, run_name=bad,
            timing__device_name=bad,
            protocol={"on_card": False, "changed": {bad: [bad, bad]}}, spec__sampling=bad, spec__average=bad,
            spec__short=bad, model__reported={"top1": 1.5, "source": bad, bad: bad},
            label_map={"source": bad, "unmapped": [bad]},
        )  # fmt: skip
        folder, _, _ = fake_run(tmp_path / str(number), manifest=manifest, labels=labels, rows=rows)
        page = page_of(folder)
        assert page.unbalanced == []
        assert page.open == []
        assert not [tag for tag, _ in page.tags if tag in ("img", "link")]
        assert page.html.count("<script") == 1
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
        assert all(attributes.get("href", "#").startswith("#") for _, attributes in page.tags)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page.html)
        assert "{{ 7 * 7 }}{% raw %}" in page.text
        assert "<img src=x onerror=alert(1)>" in page.text


def test_a_browser_finds_no_foreign_element_either(tmp_path):
    browser = chromium()
    labels = [*HOSTILE, "plain"]
    rows = fake_rows(np.random.default_rng(4), labels, 120, accuracy=0.5)
    manifest = fake_manifest(labels, len(rows), model__name=HOSTILE[0], run_name=HOSTILE[1], dataset__name=HOSTILE[2])
    page = write_report(fake_run(tmp_path / "run", manifest=manifest, labels=labels, rows=rows)[0])
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=3000 --dump-dom"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run([browser, *flags.split(), profile, page.as_uri()], capture_output=True, timeout=120)
    seen = Page(done.stdout.decode())
    assert not [tag for tag, _ in seen.tags if tag in ("img", "parsererror")]
    assert len(seen.all("script")) == 1
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert "Definitions" in seen.text
    assert "alert(1)" in seen.text


def test_only_a_web_address_becomes_a_link(tmp_path):
    manifest = fake_manifest(CLASSES, 24, model__reported=[REPORTED, {"top1": 50.0, "source": "a letter"}])
    page = page_of(fake_run(tmp_path, manifest=manifest, num_videos=24)[0])
    links = [link for link in page.all("a") if not link["href"].startswith("#")]
    assert [link["href"] for link in links] == [REPORTED["source"]]
    assert links[0]["rel"] == "noreferrer"
    assert "a letter" in page.text


def test_reported_figures_stand_apart_from_ours(tmp_path):
    manifest = fake_manifest(CLASSES, 24, model__reported=REPORTED)
    html = write_report(fake_run(tmp_path, manifest=manifest, num_videos=24)[0]).read_text()
    aside = html[html.index("<aside") : html.index("</aside>")]
    outside = html.replace(aside, "")
    assert "71.1" in aside
    assert "251 frames, 1 crop" in aside
    assert "kinetics400 test" in aside
    assert "71.1" not in outside
    assert "Reported by others" not in outside


def test_published_figures_are_not_tied_to_other_weights(tmp_path):
    manifest = fake_manifest(CLASSES, 24, model__reported=REPORTED, model__published=False)
    page = page_of(fake_run(tmp_path, manifest=manifest, num_videos=24)[0])
    assert "which this run did not use" in page.text
    assert "Published for these weights" not in page.text
    assert "Other weights. Not those of the model's card" in page.text


def test_the_headline_of_random_weights_says_no_result(tmp_path):
    page = page_of(fake_run(tmp_path, manifest=fake_manifest(CLASSES, 144, model__random=True))[0])
    assert "No result. The weights are random" in page.text
    assert "random weights, no result" in page.text


def test_an_unfinished_run_and_damaged_rows_are_said_loudly(tmp_path):
    folder, _rows, _ = fake_run(tmp_path)
    lines = (folder / "rows.jsonl").read_text().splitlines()
    (folder / "rows.jsonl").write_text("\n".join(lines[:100]) + '\n{"index": 100, torn\n')
    page = page_of(folder)
    assert "Not finished. Only 100 of 144 listed videos have a row so far" in page.text
    assert "Damaged. 1 line at the end" in page.text


def test_a_folder_that_is_no_run_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(RunError, match=r"manifest.json does not exist"):
        write_report(tmp_path)
    folder, _, _ = fake_run(tmp_path / "run")
    (folder / "rows.jsonl").write_text("")
    with pytest.raises(RunError, match="holds no rows yet"):
        write_report(folder)
    folder, _, manifest = fake_run(tmp_path / "other")
    (folder / "manifest.json").write_text(json.dumps({**manifest, "labels": 3}))
    with pytest.raises(RunError, match="names no classes"):
        write_report(folder)


def test_a_manifest_with_sections_missing_still_gives_a_page(tmp_path):
    labels = CLASSES[:3]
    for number, manifest in enumerate(({"labels": labels}, {"labels": labels, "model": None, "spec": 3, "timing": []})):
        page = page_of(fake_run(tmp_path / str(number), manifest=manifest, labels=labels, num_videos=9)[0])
        assert "No stage times were taken" in page.text


def test_videos_without_labels_give_a_page_without_accuracy(tmp_path):
    rows = [Row(i, f"v{i}", f"v{i}.mp4", None, -1, "test", "", "ok", top=((CLASSES[i], i, 0.5),)) for i in range(6)]
    page = page_of(fake_run(tmp_path, rows=rows)[0])
    assert "not known" in page.text
    assert "No listed video has a label" in page.text
    assert "confusion matrix" not in page.text.lower()


def test_skipped_videos_are_listed_by_status_with_their_number(tmp_path):
    rows = [
        Row(i, f"v{i}", f"gone{i:03d}.mp4", CLASSES[0], 0, "test", "", "missing", "no file here") for i in range(70)
    ]
    rows += [
        Row(
            70,
            "v",
            "cut.mp4",
            CLASSES[1],
            1,
            "test",
            "",
            "partial",
            "3 of 9 frames",
            3,
            25.0,
            ((CLASSES[1], 1, 0.9),),
            0,
        )
    ]
    page = page_of(fake_run(tmp_path, rows=rows)[0])
    assert "70 missing no file at the path" in page.text
    assert "The first 50 of 70; 20 more are in predictions.csv." in page.text
    assert "gone049.mp4" in page.text
    assert "gone050.mp4" not in page.text
    assert "3 of 9 frames" in page.text


def test_the_page_accounts_for_every_annotated_video(tmp_path):
    rows = fake_rows(np.random.default_rng(1), CLASSES, 60, skipped=0.4)
    folder, *_ = fake_run(tmp_path / "run", rows=rows)
    facts = {"path": "x.mp4", "label": CLASSES[2], "label_index": 2, "split": "test", "group": "", "listed": False}
    gone = [facts | {"video_id": f"x{n}", "state": "not_hosted", "reason": "<b>no archive</b>"} for n in range(7)]
    (folder / "absent.json").write_text(json.dumps(gone))
    page = page_of(folder)
    unread = 7 + sum(not r.predicted for r in rows)
    right = sum(r.predicted and r.rank == 0 for r in rows)
    assert "67 annotated videos." in page.text
    assert "not hosted 7 10.4 %" in page.text
    assert "<b>no archive</b> (7)" in page.text.replace("\xa0", " ")
    assert f"not there {sum(r.status == 'missing' for r in rows)} " in page.text
    ends = f"from {100 * right / 67:.1f} % (the {unread} not read all wrong) to {100 * (right + unread) / 67:.1f} %"
    assert ends in page.text
    assert not page.unbalanced
    number = sum(r.label == CLASSES[2] for r in rows)
    assert re.search(rf"{CLASSES[2]} \d+ of {number + 7} ", page.text)


def test_classes_without_a_video_are_a_number_and_a_closed_list(tmp_path):
    """Four of fifty classes are there: the page is about those."""
    labels = [f"class {number:02d}" for number in range(50)]
    rows = fake_rows(np.random.default_rng(1), labels, 200, accuracy=1.0, skipped=0)
    rows = [row if row.label_index < 4 else missing(row) for row in rows]
    folder, *_ = fake_run(tmp_path / "run", labels=labels, rows=rows, manifest=fake_manifest(labels, 200))
    html = write_report(folder).read_text(encoding="utf-8")
    page = Page(html)
    assert not page.unbalanced
    lacking, unread = re.findall(r"<details>(.*?)</details>", html, flags=re.S)
    assert "46 classes have no video here that was read" in lacking
    assert "46 more classes have no video that was read: 0 % each" in unread
    (table,) = re.findall(r'<table class="classes.*?</table>', html, flags=re.S)
    for number, label in enumerate(labels):
        assert (label in lacking) == (label in unread) == (number >= 4)
        assert (f'<th scope="row"><bdi>{label}</bdi>' in table) == (number < 4)
    assert "Confusion matrix" in page.text, "few classes were read, so that it is whole"
    assert "All 50 classes" not in page.text
    nothing = [missing(row) for row in rows]
    folder, *_ = fake_run(tmp_path / "none", labels=labels, rows=nothing, manifest=fake_manifest(labels, 200))
    assert "<details>" not in write_report(folder).read_text(encoding="utf-8")


def missing(row: Row) -> Row:
    common = (row.index, row.video_id, row.path, row.label, row.label_index, row.split, row.group)
    return Row(*common, "missing", "no such file")


def test_the_page_says_where_nothing_is_open_and_why_bounds_are_not_known(tmp_path):
    rows = fake_rows(np.random.default_rng(1), CLASSES, 24, skipped=0)
    page = page_of(fake_run(tmp_path / "whole", rows=rows)[0])
    assert "No video that could have changed the accuracy was left unread." in page.text
    unlabelled = [Row(0, "a", "a.mp4", None, -1, "test", "", "ok", top=((CLASSES[0], 0, 0.9),))]
    page = page_of(fake_run(tmp_path / "unlabelled", rows=unlabelled)[0])
    assert "cannot be said: no listed video has a label." in page.text


def test_a_page_of_kinetics_size_is_small_and_quick(tmp_path):
    import time

    labels = [f"class {index} of many, named at length" for index in range(400)]
    folder, _, _ = fake_run(tmp_path, labels=labels, num_videos=19_881, accuracy=0.7, groups=19_881)
    began = time.perf_counter()
    path = write_report(folder)
    assert time.perf_counter() - began < 20
    assert path.stat().st_size < 5e6
    page = Page(path.read_text())
    assert "The 30 most frequent confusions" in page.text
    assert "The classes confused most" in page.text
    assert "All 400 classes; the table scrolls." in page.text


def test_pictures_are_embedded_and_their_absence_explained(make_video, tmp_path):
    rows = [
        Row(0, "a", "a.mp4", CLASSES[0], 0, "test", "", "ok", "", 40, 25.0, ((CLASSES[1], 1, 0.9),), 1),
        Row(1, "b", "b.mp4", CLASSES[1], 1, "test", "", "ok", "", 40, 25.0, ((CLASSES[0], 0, 0.8),), 1),
        Row(2, "c", "c.mp4", CLASSES[2], 2, "test", "", "ok", "", 40, 25.0, ((CLASSES[0], 0, 0.7),), 1),
    ]
    make_video(tmp_path / "data" / "a.mp4", num_frames=40)
    (tmp_path / "data" / "c.mp4").write_bytes(b"no video at all")
    manifest = fake_manifest(CLASSES, 3, dataset__data_dir=str(tmp_path / "data"))
    page = page_of(fake_run(tmp_path / "run", manifest=manifest, rows=rows)[0])
    assert len(page.all("img")) == 6
    assert all(image["alt"] == "" for image in page.all("img"))
    assert "6 frames of the video, from 0.1 s to 1.4 s" in page.html
    assert "No pictures: the video is not at its place any more ." in page.text
    assert page.text.count("No pictures:") == 2


def test_a_page_of_the_mini_set_s_size_stays_below_its_limit(make_video, tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, 120, 160, 3), dtype=np.uint8)
    make_video(tmp_path / "noise.mp4", num_frames=12, width=160, height=120, draw=lambda n, w, h: noise[n % 8])
    rows = fake_rows(rng, CLASSES, 144, accuracy=0.6)
    rows = [Row(**{**row.as_json(), "path": "noise.mp4"}) for row in rows]
    manifest = fake_manifest(CLASSES, 144, dataset__data_dir=str(tmp_path))
    path = write_report(fake_run(tmp_path / "run", manifest=manifest, rows=rows)[0])
    assert path.read_text().count("<img") == 72
    assert path.stat().st_size < 1.5e6
