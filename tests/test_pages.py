"""Pages in a real browser: they open offline, their tables sort and filter by keyboard, and foreign text stays text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import chromium
from test_compare import make_run
from test_report import fake_manifest, fake_rows, fake_run

from vidbench import compare, report, robustness, studies, temporal
from vidbench.data import mini
from vidbench.data.classes import load_labels, parents_of
from vidbench.metrics import by_parent, parent_matrix, row_confusion
from vidbench.page.fill import table_script
from vidbench.variants import Variant, change_of

HOSTILE = "<script>document.title='taken'</script>"
LABELS = ["SitDown", "StandUp", HOSTILE, "açaí bowl", "juggling", "waving", "rolling ball", "falling leaf", "10", "9"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with a study of each kind beside it, and two to compare it with."""
    folder = tmp_path_factory.mktemp("results")
    skills = {"plain": 2.0, "shuffle": 1.0, "reverse": 0.5, "single": 0.8}
    found = {
        name: make_run(folder / name, seed=seed, skill=skill, labels=LABELS, model="net.weights", num_videos=120)
        for seed, (name, skill) in enumerate(skills.items())
    }
    for path in found.values():
        manifest = json.loads((path / "manifest.json").read_text())
        manifest["dataset"]["records_sha256"] = "5f" * 32
        (path / "manifest.json").write_text(json.dumps(manifest))
    return found


def variants(runs):
    entries, _, _ = compare.read_entries(list(runs.values()))
    return {name: Variant(name, "net.weights", entry, False) for name, entry in zip(runs, entries)}


@pytest.fixture(scope="module")
def pages(runs):
    """Every page that a program writes, by name."""
    made, folder = variants(runs), runs["plain"].parent
    for name in ("time", "worse"):
        (folder / name).mkdir()
    changed = [temporal._against(made["plain"], made[name]) | {"holm": 0.01} for name in ("shuffle", "reverse")]
    classes = temporal.class_lines(made["plain"], [made["shuffle"], made["reverse"]])
    single = temporal._against(made["plain"], made["single"])
    timed = temporal.Study(made["plain"], changed, single, classes, False)
    cells = [
        {"accuracy": made[name].entry.accuracy, "change": change_of(made["plain"].entry, made[name].entry)}
        for name in ("shuffle", "reverse")
    ]
    lines = [{"corruption": name, "cells": cells} for name in ("gaussian-noise", "low-light")]
    table = {"name": "net.weights", "plain": made["plain"].entry.accuracy, "lines": lines}
    worse = robustness.Robustness((1, 5), [table], None, None, made["plain"], False)
    found = {
        "temporal": temporal.write_study(timed, folder / "time"),
        "robustness": robustness.write_study(worse, folder / "worse"),
        "comparison": compare.write_comparison(
            compare.compare_runs([runs["plain"], runs["shuffle"]]), folder / "compared"
        ),
    }
    return {"report": runs["plain"] / "report.html", **found}


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = chromium()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser):
    """A tab in which any message on the console, any error and any request beyond the file fails the test."""
    problems = []
    page = browser.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: None if request.url[:5] in ("file:", "data:") else problems.append(request.url))
    yield page
    page.close()
    assert problems == []


def names(table):
    return [text.strip() for text in table.locator("tbody tr:visible th").all_text_contents()]


NAMES = ["report", "comparison", "temporal", "robustness"]
SHIFTED = """() => {
  const seen = row => [...row.cells].filter(cell => cell.getClientRects().length).length;
  const tables = [...document.querySelectorAll('table.sortable')];
  const rows = tables.map(table => [table.tHead.rows[0], table.tBodies[0].rows[0]]);
  return rows.filter(([head, body]) => body && seen(head) != seen(body)).length;
}"""  # tables whose heads do not stand above their columns


@pytest.mark.parametrize("name", NAMES)
def test_a_page_opens_without_a_word_on_the_console_in_light_dark_narrow_and_print(pages, tab, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for scheme, width, media in (("light", 1200, "screen"), ("dark", 1200, "screen"), ("light", 360, "screen")):
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(color_scheme=scheme, media=media)
        tab.goto(pages[name].as_uri())
        assert [(one["id"], one["nodes"][0]["html"]) for one in axe.run(tab).response["violations"]] == []
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # tables scroll, not the page
    assert tab.evaluate(SHIFTED) == 0
    if name == "comparison":  # on a phone its tables are cards
        wide = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert tab.evaluate(wide) == 0
        assert tab.locator(".runs td:visible").first.evaluate("cell => getComputedStyle(cell).display") == "grid"
    if name == "report":  # a phone shows what each class comes to without a scroll to the right
        assert "%" in (figure := tab.locator(".classes tbody td.num").first).inner_text()
        assert (box := figure.bounding_box())["x"] + box["width"] <= 360
    tab.set_viewport_size({"width": 718, "height": 1000})  # A4 without its margins
    tab.emulate_media(media="print")
    assert not tab.locator(".tools").first.is_visible()
    tables = "[...document.querySelectorAll('table')].filter(table => table.getBoundingClientRect().right > innerWidth)"
    assert tab.evaluate(f"{tables}.map(table => table.textContent.slice(0, 80))") == []


@pytest.mark.parametrize("name", NAMES)
def test_a_label_that_is_a_script_stays_text(pages, tab, name):
    tab.goto(pages[name].as_uri())
    assert "taken" not in tab.title()
    assert tab.locator("script").count() == 1
    if name != "robustness":  # which names no classes
        assert HOSTILE in tab.inner_text("body")


@pytest.mark.parametrize("name", NAMES)
def test_every_column_sorts_both_ways_by_its_values(pages, tab, name):
    tab.goto(pages[name].as_uri())
    tables = tab.locator("table.sortable")
    assert tables.count() >= 1
    for table in tables.all():
        heads = table.locator("thead th")
        for column in range(heads.count()):
            button = heads.nth(column).locator("button")
            if button.count() == 0:
                assert "chart" in heads.nth(column).get_attribute("class")
                continue
            heads.nth(column).evaluate("head => head.removeAttribute('aria-sort')")
            seen = []
            for direction in ("ascending", "descending"):
                button.click()
                assert heads.nth(column).get_attribute("aria-sort") == direction
                assert table.locator("th[aria-sort]").count() == 1
                seen.append(values_of(table, column))
            rising, falling = ([value for value in values if value not in (None, "")] for values in seen)
            assert sorted(map(str, rising)) == sorted(map(str, falling))
            assert rising == falling[::-1] or len(set(map(str, rising))) < len(rising)  # equal ones keep their order
            numbers = [value for value in rising if isinstance(value, float)]
            assert numbers == sorted(numbers)
            assert all(values[len(rising) :] == [values[-1]] * (len(values) - len(rising)) for values in seen)


def values_of(table, column):
    """What a column holds in the order shown: numbers of ``data-value``, else text."""
    return table.evaluate(
        """(table, column) => [...table.tBodies[0].rows].map(row => {
            const cell = row.cells[column], given = cell.dataset.value;
            return given === undefined ? cell.textContent.trim() : given === "" ? null : Number(given) + 1e-9;
        })""",
        column,
    )


def test_classes_sort_and_filter_by_keyboard_alone(pages, tab):
    tab.goto(pages["report"].as_uri())
    table = tab.locator("#classes table")
    assert len(names(table)) == len(LABELS)
    assert table.locator("th[aria-sort]").inner_text().startswith("Accuracy")  # as the page comes: hardest first
    field = tab.get_by_label("Show only classes with")
    field.focus()
    tab.keyboard.type("SIT")
    assert names(table) == ["SitDown"]
    assert tab.locator("#classes output").inner_text() == f"1 of {len(LABELS)}"
    tab.keyboard.press("Control+A")
    tab.keyboard.press("Delete")
    assert len(names(table)) == len(LABELS)
    tab.keyboard.press("Tab")  # the scrolling region, which keys scroll
    tab.keyboard.press("Tab")
    focused = "document.activeElement.tagName + ' ' + document.activeElement.textContent.trim()"
    assert tab.evaluate(focused) == "BUTTON Class"
    tab.keyboard.press("Enter")
    assert names(table).index("9") + 1 == names(table).index("10")  # numbers by size
    assert names(table).index("açaí bowl") < names(table).index("falling leaf") < names(table).index("SitDown")
    tab.keyboard.press("Space")
    assert names(table).index("10") + 1 == names(table).index("9")
    tab.keyboard.press("Tab")
    assert tab.evaluate(focused) == "BUTTON Accuracy"


def test_without_scripts_every_row_is_there_and_no_button_does_nothing(pages, browser):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(pages["report"].as_uri())
    assert len(names(tab.locator("#classes table"))) == len(LABELS)
    assert tab.locator("button, input").count() == 0
    context.close()


def test_another_script_in_the_page_does_not_run(pages, browser, tmp_path):
    html = pages["report"].read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(html.replace("</body>", "<script>document.title='taken'</script></body>"))
    tab, said = browser.new_page(), []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto((tmp_path / "page.html").as_uri())
    assert tab.title() != "taken"
    assert "Content Security Policy" in said[0]
    assert tab.locator("#classes th button").count() > 0  # ours does
    tab.close()


# ---------------------------------------------------------------- studies beside a run


def test_a_report_shows_the_studies_that_were_made_of_its_run(pages):
    html = pages["report"].read_text(encoding="utf-8")
    assert "Does it need time?" in html
    assert "time/temporal.html" in html
    assert "What it survives" in html
    assert "worse/robustness.html" in html
    assert html.count("gaussian-noise") == 1
    assert "Severity 5" in html


def test_a_study_of_other_weights_videos_or_input_is_not_shown(runs, pages, tmp_path):
    manifest = json.loads((runs["plain"] / "manifest.json").read_text())
    assert [one["kind"] for one in studies.studies_of(runs["plain"], manifest)] == ["temporal", "robustness"]
    for section, key in (("model", "name"), ("model", "weights_sha256"), ("dataset", "records_sha256")):
        other = {**manifest, section: {**manifest[section], key: "another"}}
        assert studies.studies_of(runs["plain"], other) == []
    assert studies.studies_of(runs["plain"], {**manifest, "spec": {**manifest["spec"], "temporal": "shuffle"}}) == []
    assert studies.studies_of(tmp_path / "elsewhere" / "run", manifest) == []


@pytest.mark.parametrize("damage", ["{", "[]", '{"schema": 1}', "NaN", '{"schema": 9}', "no such"])
def test_a_damaged_study_is_left_out_and_the_log_says_which(runs, pages, tmp_path, damage, caplog):
    manifest = json.loads((runs["plain"] / "manifest.json").read_text())
    shutil.copytree(pages["temporal"].parent, tmp_path / "study")
    whole = (tmp_path / "study" / studies.NAME).read_text()
    damage = whole.replace('"value": ', '"value": "x", "was": ') if damage == "no such" else damage
    (tmp_path / "study" / studies.NAME).write_text(damage)
    assert studies.studies_of(tmp_path / "run", manifest) == []
    assert str(tmp_path / "study" / studies.NAME) in caplog.text
    assert caplog.text.count("\n") == 1


# ---------------------------------------------------------------- categories


@pytest.mark.parametrize(("name", "count"), [("ucf101", 5), ("hmdb51", 5), ("vidmini", 5)])
def test_every_class_of_a_list_has_one_category(name, count):
    labels = load_labels(name)
    parents = parents_of(labels)
    assert len(parents) == len(labels)
    assert len(set(parents)) == count
    assert parents_of([*labels, "another"]) is None
    assert parents_of([]) is None
    assert parents_of(load_labels("kinetics400")) is None


def test_the_pairs_of_vidmini_are_those_it_is_drawn_with():
    parents = dict(zip(load_labels("vidmini"), parents_of(load_labels("vidmini"))))
    assert all(parents[first] == parents[second] for first, second in mini.PAIRS)
    assert {parents[name] for name in mini.APPEARANCE}.isdisjoint(parents[name] for name in mini.ORDER)


def test_categories_add_up_what_their_classes_hold():
    rng = np.random.default_rng(3)
    matrix, parents = rng.integers(0, 9, (7, 8)), ["a", "b", "a", "c", "b", "b", "a"]
    names, summed = parent_matrix(matrix, parents)
    assert (names, summed.shape, summed.sum()) == (["a", "b", "c"], (3, 4), matrix.sum())
    assert summed[0, 1] == matrix[np.ix_([0, 2, 6], [1, 4, 5])].sum()
    assert summed[2].tolist()[-1] == matrix[3, -1]
    for line in by_parent(matrix, parents):
        inside = [index for index, parent in enumerate(parents) if parent == line["parent"]]
        assert line["n"] == line["right"]["k"] + line["within"] + line["outside"] + line["lost"]
        assert line["right"]["k"] == sum(matrix[index, index] for index in inside)
        assert line["lost"] == matrix[inside, -1].sum()


def test_a_report_of_a_list_with_categories_shows_them(tmp_path):
    labels = load_labels("hmdb51")
    rows = fake_rows(np.random.default_rng(1), labels, 300, accuracy=0.5)
    folder, rows, _ = fake_run(tmp_path / "run", labels=labels, rows=rows, manifest=fake_manifest(labels, 300))
    html = report.write_report(folder).read_text(encoding="utf-8")
    lines = by_parent(row_confusion(rows, labels), parents_of(labels))
    assert "By category" in html
    for line in lines:
        assert f"{100 * line['right']['value']:.1f} %, {line['right']['k']} of {line['n']}" in html
    folder, _, _ = fake_run(tmp_path / "other")
    assert "By category" not in report.write_report(folder).read_text(encoding="utf-8")


def test_the_script_of_the_pages_is_the_one_that_their_policy_names():
    templates = Path(report.__file__).parent / "templates"
    for name in ("report", "compare", "temporal", "robustness"):
        page = (templates / f"{name}.html.j2").read_text()
        assert page.count("script-src {{ script_source }};") == page.count("<script>{{ script }}</script>") == 1
    assert "</script" not in table_script()
