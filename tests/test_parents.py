"""Categories of one's own: read strictly, kept with the run, shown by its report and by the merged one's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidbench.arguments import EvaluateConfig
from vidbench.data.classes import load_labels, parents_of
from vidbench.data.parents import class_parents, read_parents, read_time_pairs
from vidbench.evaluate import evaluate
from vidbench.merge import merge
from vidbench.records import AnnotationError, ConfigError, RunError
from vidbench.report import write_report

ROOT = Path(__file__).resolve().parents[1]
LABELS = load_labels("vidmini")
HALVES = {label: "first half" if place < 5 else "second half" for place, label in enumerate(LABELS)}


def csv_file(path: Path, parents: dict) -> Path:
    path.write_text("name,parent\n" + "".join(f"{name},{parent}\n" for name, parent in parents.items()))
    return path


def json_file(path: Path, parents: dict) -> Path:
    by_parent: dict[str, list[str]] = {}
    for name, parent in parents.items():
        by_parent.setdefault(parent, []).append(name)
    path.write_text(json.dumps(by_parent))
    return path


@pytest.mark.parametrize("write", [csv_file, json_file])
def test_both_forms_say_the_same_whatever_their_order(tmp_path, write):
    backwards = dict(reversed(HALVES.items()))
    assert read_parents(write(tmp_path / "parents.txt", backwards), LABELS) == tuple(HALVES[name] for name in LABELS)


def test_another_known_spelling_of_a_class_is_taken(tmp_path):
    labels = load_labels("kinetics400")
    parents = {("hurling sport" if name == "hurling (sport)" else name): name[0] for name in labels}
    assert read_parents(json_file(tmp_path / "k.json", parents), labels)[labels.index("hurling (sport)")] == "h"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,parent\nSitDwn,a\n", "line 2: 'SitDwn' is not one of the 12 classes. Did you mean 'SitDown'"),
        ("name,parent\nSitDown,a\nSitDown,b\n", "line 3: 'SitDown' comes twice, first under 'a'"),
        ("name,parent\nSitDown,a\n", "has no parent for 11 of 12 classes: 'Approach', 'CloseDoor', 'HoldBalloon', ..."),
        ("name,parent\nSitDown,\n", "line 2: the parent of 'SitDown' must have 1 to 200 characters"),
        ("name,parent\nSitDown,a,b\n", "line 2: 3 fields, expected 2"),
        ("label,parent\nSitDown,a\n", "name"),
        ("name,parent\n" + "".join(f"{name},all\n" for name in LABELS), "puts all classes under one parent"),
        ('{"a": ["SitDown"], "b": ["SitDown"]}', "under 'b': 'SitDown' comes twice, first under 'a'"),
        ('{"a": ["SitDown"], "a": ["StandUp"]}', "has no parent for 10 of 12 classes"),
        ('{"a": ["Sit"]}', "under 'a': 'Sit' is not one of the 12 classes"),
        ('{"a": {"b": ["SitDown"]}}', "under 'a' is no list of class names"),
        ('["SitDown"]', "holds no JSON object"),
        ('{"a": ["SitDown"]', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("", "is empty"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path, text, words):
    (tmp_path / "file").write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_parents(tmp_path / "file", LABELS)
    assert words in str(caught.value)
    assert str(tmp_path / "file") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("first,second\na,b\n", "class"),
        ("class,backwards\n", "has a header and no row"),
        ("class,backwards\na,b,c\n", "line 2: 3 fields, expected 2"),
        ("class,backwards\na,bb\n", "line 2: 'bb' is not one of the 3 classes. "),
        ("class,backwards\na,\n", "line 2: '' is not one of the 3 classes. "),
        ("class,backwards\n\na,b\nc,a\n", "line 4: 'a' is in two pairs"),
        (f"class,backwards\n{'a' * 200_000},b\n", "line 2: field larger than field limit"),
        ('class,backwards\n"a,b\n', "line 2: "),
        ("", "is empty"),
    ],
)
def test_a_table_of_pairs_that_cannot_be_used_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_time_pairs(path, ("a", "b", "c"))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    path.write_text("class,backwards\na, c\n\nb,b\n")
    assert read_time_pairs(path, ("a", "b", "c")) == (("a", "c"), ("b", "b"))


def test_a_manifest_that_says_nonsense_leaves_the_categories_of_the_authors():
    shipped = parents_of(LABELS)
    for damaged in ({}, {"parents": 3}, {"parents": {"of": ["a"]}}, {"parents": {"of": [1] * len(LABELS)}}):
        assert class_parents(damaged, LABELS) == (shipped, "")


def options(tmp_path, **changed) -> EvaluateConfig:
    values = {"model": "mini2d", "dataset": "vidmini", "data_dir": str(ROOT / "data" / "vidmini"), "limit": 24}
    values |= {"num_workers": 0, "no_cache": True, "results_dir": str(tmp_path), "device": "cpu", "precision": "fp32"}
    return EvaluateConfig(**values | changed)


def test_a_run_keeps_its_categories_and_its_report_can_be_made_again(tmp_path):
    mine, others = csv_file(tmp_path / "mine.csv", HALVES), {name: name[0] for name in LABELS}
    first = evaluate(options(tmp_path, run_name="run", parents=str(mine)))
    folder = first.run_folder
    page = (folder / "report.html").read_text()
    assert "The categories of <bdi>mine.csv</bdi>" in page
    assert page.count("first half") >= 2
    kept = json.loads((folder / "manifest.json").read_text())["parents"]
    assert (kept["source"], kept["of"]) == ("mine.csv", [HALVES[name] for name in LABELS])
    mine.unlink()
    assert write_report(folder).read_text() == page
    again = evaluate(options(tmp_path, run_name="run", report_only=True))
    assert (folder / "report.html").read_text() == page
    assert again.metrics == first.metrics
    other = json_file(tmp_path / "letters.json", others)
    evaluate(options(tmp_path, run_name="run", report_only=True, parents=str(other)))
    assert "The categories of <bdi>letters.json</bdi>" in (folder / "report.html").read_text()
    evaluate(options(tmp_path, run_name="run", parents="shipped"))
    assert "The categories that the authors of the dataset put" in (folder / "report.html").read_text()
    assert json.loads((folder / "manifest.json").read_text())["parents"] is None


def test_parts_become_a_run_with_the_same_categories_or_are_refused(tmp_path):
    mine = csv_file(tmp_path / "mine.csv", HALVES)
    asked = {"run_name": "one", "shard": "1/2", "parents": str(mine)}
    parts = [evaluate(options(tmp_path, **asked)).run_folder]
    parts.append(evaluate(options(tmp_path, run_name="two", shard="2/2")).run_folder)
    merged = merge(parts, tmp_path / "whole").folder
    undivided = evaluate(options(tmp_path, run_name="undivided", parents=str(mine))).run_folder
    sections = [json.loads((folder / "manifest.json").read_text())["parents"] for folder in (merged, undivided)]
    assert sections[0] == sections[1] is not None
    other = json_file(tmp_path / "letters.json", {name: name[0] for name in LABELS})
    evaluate(options(tmp_path, run_name="two", shard="2/2", report_only=True, parents=str(other)))
    with pytest.raises(RunError, match=r"have other categories \(mine\.csv and letters\.json\)"):
        merge(parts, tmp_path / "another")
    assert not (tmp_path / "another").exists()


def test_a_file_that_cannot_be_used_is_refused_before_any_work(tmp_path):
    broken = csv_file(tmp_path / "broken.csv", {**HALVES, "Sit": "a"})
    with pytest.raises(ConfigError, match=r"^--parents cannot be used: .*line 14: 'Sit' is not one of the 12 classes"):
        options(tmp_path, run_name="run", parents=str(broken)).checked()
    with pytest.raises(ConfigError, match=r"^--parents .*nowhere\.csv' does not exist, nor is it the word 'shipped'"):
        options(tmp_path, run_name="run", parents=str(tmp_path / "nowhere.csv")).checked()
    assert not (tmp_path / "run").exists()
