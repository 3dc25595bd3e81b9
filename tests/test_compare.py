"""Runs are compared on the same videos only, as sure as the data allow, and the page and tables say it all."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import chromium

from vidbench import compare, intervals, views
from vidbench.endings import INTERRUPTED
from vidbench.ensemble import fit_weights, given_weights
from vidbench.evaluate import finish
from vidbench.predict import rank_of, top
from vidbench.records import ConfigError, Row, RunError, VideoRecord
from vidbench.report import write_report
from vidbench.run_arguments import COMPARE, CompareConfig, MergeConfig, PowerConfig
from vidbench.runs import RunFolder, encode_row, read_rows

ROOT = Path(__file__).resolve().parents[1]
LABELS = ["open", "close", "<script>alert(1)</script>", "=SUM(A1)", "recede"]
NUM_VIDEOS, NUM_VIEWS = 90, 2


def records(num_videos=NUM_VIDEOS, group_size=1, labels=LABELS):
    return [
        VideoRecord(
            f"-v{n:03d}", f"{n}.mp4", labels[n % len(labels)], n % len(labels), "test", f"g{n // group_size:03d}"
        )
        for n in range(num_videos)
    ]


def make_run(
    folder, *, seed=0, skill=1.5, steep=1, skipped=(), group_size=1, labels=LABELS, model=None, num_videos=NUM_VIDEOS
):
    """A finished run whose logits favour the true class by ``skill``; hard videos are hard for every seed."""
    listed = records(num_videos, group_size, labels)
    rng, common = np.random.default_rng(seed), np.random.default_rng(99)
    true = np.array([record.label_index for record in listed])
    logits = rng.normal(size=(num_videos, NUM_VIEWS, len(labels))) + common.normal(size=(num_videos, 1, len(labels)))
    logits[np.arange(num_videos), :, true] += skill
    logits = (steep * logits).astype(np.float32)
    rows = []
    for number, record in enumerate(listed):
        facts = {name: getattr(record, name) for name in ("video_id", "path", "label", "label_index", "split", "group")}
        if number in skipped:
            logits[number] = np.nan
            rows.append(Row(number, **facts, status="missing", reason="no file"))
            continue
        scores = views.aggregate(logits[number], "logits")
        best = tuple((labels[k], k, float(f"{scores[k]:.7g}")) for k in top(scores, 3, last=record.label_index))
        rows.append(Row(number, **facts, status="ok", top=best, rank=rank_of(scores, record.label_index)))
    manifest = {
        "model": {"name": model or f"model{seed}.x", "random": False},
        "spec": {"sampling": "clips", "num_clips": NUM_VIEWS, "num_crops": 1, "average": "logits", "num_frames": 8},
        "dataset": {"name": "drawn", "split": "test", "n_listed": num_videos},
        "run": {"device": "cpu", "batch_size": 10, "top_n": 3},
        "protocol": {"on_card": True, "num_views": NUM_VIEWS},
        "timing": {"seconds": {"wall": 9.0 + seed, "tuning": 0.0, "forward": 4.5}, "num_videos": num_videos},
        "labels": list(labels),
    }
    with RunFolder(folder, manifest, listed, NUM_VIEWS, len(labels), 10) as run:
        for start in range(0, num_videos, 10):
            run.append(rows[start : start + 10], logits[start : start + 10])
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [make_run(folder / name, seed=seed, skill=skill) for seed, (name, skill) in
            enumerate({"weak": 0.5, "strong": 2.5, "strong too": 2.5}.items(), start=1)]  # fmt: skip


def right(folder):
    return np.array([row.rank == 0 for row in read_rows(folder / "rows.jsonl")[0]])


def damaged(source, target, change):
    """A copy of a run folder whose rows are changed."""
    shutil.copytree(source, target)
    path = target / "rows.jsonl"
    path.write_bytes(change(path.read_bytes()))
    return target


# --- figures


def test_a_pair_has_its_difference_exact_test_and_flips(three):
    found = compare.compare_runs(three[:2])
    a, b = right(three[0]), right(three[1])
    (pair,) = found.pairs
    assert pair.difference == intervals.paired_difference(a, b, [f"g{n:03d}" for n in range(NUM_VIDEOS)])
    assert pair.p == pair.holm == intervals.sign_flip_test(a, b)
    assert pair.told_apart
    assert pair.sentence.startswith("strong minus weak: +")
    assert pair.sentence.endswith("n=90: strong is better")
    assert [flip["video_id"] for flip in found.flips()] == [f"-v{n:03d}" for n in np.flatnonzero(a != b)]
    assert {flip["right"] for flip in found.flips()} == {"a", "b"}


def test_what_is_said_of_a_pair_does_not_contradict_itself():
    def pair(a, b, groups):
        entries = [compare.Answers(name, answers, {}) for name, answers in (("one", a), ("other", b))]
        return compare.compare_pairs([entries], groups, 0)[0]

    # p-values that float64 cannot hold are not said to be 0
    never, always = np.zeros(5000, bool), np.ones(5000, bool)
    far = pair(never, always, [""] * 5000)
    assert (far.p, intervals.p_words(far.p, "p")) == (0, "p < 1e-12")
    # two groups keep runs from being told apart, which more videos would not mend
    few = pair(np.arange(100) < 30, np.arange(100) % 10 < 6, [f"g{n % 2}" for n in range(100)])
    assert not few.told_apart
    assert "about" not in few.doubt
    # of five groups no exact p-value is below 0.06, however many of their videos differ
    five = pair(np.arange(100) % 20 < 10, np.arange(100) % 20 < 16, [f"g{n // 20}" for n in range(100)])
    assert five.doubt.endswith("(p = 0.062): too few groups differ to be sure")
    assert five.sentence.endswith(f"{five.b.name if five.difference['value'] > 0 else five.a.name} seems better")
    # among several pairs, one whose interval holds 0 is not called better, whatever the test says
    held = dataclasses.replace(far, difference={**far.difference, "low": -0.1}, alone=False, holm=0.01)
    assert held.sentence.endswith("not told apart")
    assert "tells them apart" in held.doubt


def test_several_pairs_are_corrected_and_a_baseline_takes_fewer(three):
    every, some = compare.compare_runs(three), compare.compare_runs(three, baseline=True)
    assert [(pair.a.name, pair.b.name) for pair in every.pairs] == [
        ("weak", "strong"),
        ("weak", "strong too"),
        ("strong", "strong too"),
    ]
    assert [pair.holm for pair in every.pairs] == intervals.holm([pair.p for pair in every.pairs])
    assert [pair.b.name for pair in some.pairs] == ["strong", "strong too"]
    assert some.pairs[0].holm < every.pairs[0].holm
    assert not every.pairs[2].told_apart
    assert "about" in every.pairs[2].doubt or every.pairs[2].difference["value"] == 0


def test_groups_make_a_difference_less_sure(tmp_path):
    folders = [
        make_run(tmp_path / f"r{seed}", seed=seed, skill=skill, group_size=9) for seed, skill in ((1, 1), (2, 1.6))
    ]
    (pair,) = compare.compare_runs(folders).pairs
    alone = intervals.paired_difference(right(folders[0]), right(folders[1]))
    assert pair.difference["n_groups"] == 10
    assert pair.difference["high"] - pair.difference["low"] > alone["high"] - alone["low"]
    assert "n=90 in 10 groups" in pair.sentence


def test_any_k_can_be_compared_and_skipped_videos_are_wrong(tmp_path, three):
    folder = make_run(tmp_path / "gaps", seed=1, skill=0.5, skipped=(3, 4))
    ranks = np.array([row.rank for row in read_rows(folder / "rows.jsonl")[0]])
    for k in (1, 4):
        entry = compare.compare_runs([three[1], folder], k=k).entries[1]
        assert entry.accuracy["k"] == ((ranks >= 0) & (ranks < k)).sum()
        assert entry.accuracy["n"] == NUM_VIDEOS
    for k in (5, 6):  # the true class is always among the 5 best of 5
        with pytest.raises(ConfigError, match=f"--k must be 1, or more and below the number of classes, 5, not {k}"):
            compare.compare_runs(three, k=k)


def test_rows_in_another_order_are_matched_by_video(tmp_path, three):
    target = tmp_path / "turned"
    shutil.copytree(three[1], target)
    rows, _ = read_rows(target / "rows.jsonl")
    turned = [Row(**{**row.as_json(), "index": place}) for place, row in enumerate(rows[::-1])]
    (target / "rows.jsonl").write_bytes(b"".join(map(encode_row, turned)))
    np.save(target / "logits.npy", np.load(target / "logits.npy", allow_pickle=False)[::-1])
    found = compare.compare_runs([three[1], target], ensemble=("even",))
    assert (found.pairs[0].difference["only_a"], found.pairs[0].difference["only_b"]) == (0, 0)
    assert found.ensemble["entry"].accuracy["k"] == right(three[1]).sum()


def test_classes_add_up_to_the_difference_and_the_one_that_was_lost_comes_first(tmp_path, three):
    folder = make_run(tmp_path / "blind", seed=1, skipped=[n for n in range(NUM_VIDEOS) if n % 5 == 4], group_size=2)
    seeing = make_run(tmp_path / "seeing", seed=1, group_size=2)
    found = compare.compare_runs([seeing, folder])
    lines = compare.classes_of(found.pairs)
    assert lines[0]["label"] == "recede"
    assert lines[0]["right_a"] > lines[0]["right_b"] == 0
    assert {line["n"] for line in lines} == {18}
    assert all(line["value"] == 0 for line in lines[1:])
    difference = found.pairs[0].difference
    assert sum(line["right_b"] - line["right_a"] for line in lines) == difference["only_b"] - difference["only_a"]
    page = compare.write_comparison(found, tmp_path / "out").read_text(encoding="utf-8")
    assert "Class by class" in page
    assert len((tmp_path / "out" / "classes.csv").read_text(encoding="utf-8").splitlines()) == 6
    assert len(compare.classes_of(compare.compare_runs(three).pairs)) == 15


# --- ensembles


def test_an_even_ensemble_is_the_mean_of_the_probabilities(three):
    found = compare.compare_runs(three, ensemble=("even",)).ensemble
    each = [views.aggregate(np.load(folder / "logits.npy", allow_pickle=False), "logits") for folder in three]
    truth = np.arange(NUM_VIDEOS) % len(LABELS)
    assert found["entry"].accuracy["k"] == (np.mean(each, 0).argmax(1) == truth).sum()
    assert found["n_fitted"] == 0


def test_given_weights_count_in_proportion_and_all_on_one_is_that_run(three):
    found = compare.compare_runs(three, ensemble=("0", "3", "0")).ensemble
    assert found["entry"].accuracy["k"] == right(three[1]).sum()
    assert found["weights"] == {"weak": 0, "strong": 1, "strong too": 0}


def test_fitted_weights_come_from_one_half_and_the_figures_from_the_other(three):
    found = compare.compare_runs(three, ensemble=("fit",), seed=5).ensemble
    assert found["n_fitted"] + found["entry"].accuracy["n"] == NUM_VIDEOS
    assert found["n_fitted"] == 45
    assert sum(found["weights"].values()) == pytest.approx(1)
    assert found["weights"]["weak"] < min(found["weights"]["strong"], found["weights"]["strong too"])
    assert all(member.accuracy["n"] == found["entry"].accuracy["n"] for member in found["members"])
    assert "fitted on 45 videos (seed 5), figures from the others only" in compare.ensemble_lines(found)[0]


def test_fitted_weights_have_the_smallest_loss():
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 200)
    votes = rng.dirichlet(np.ones(4), (2, 200))
    votes[1, np.arange(200), labels] += 0.3
    votes /= votes.sum(2, keepdims=True)
    true = votes[:, np.arange(200), labels]
    best = minimize_scalar(lambda w: -np.log((1 - w) * true[0] + w * true[1]).sum(), bounds=(0, 1), method="bounded")
    assert fit_weights(votes, labels)[1] == pytest.approx(best.x, abs=1e-3)


@pytest.mark.parametrize("k", [1, 4])
def test_an_ensemble_of_one_run_alone_is_that_run(tmp_path, three, k):
    sure = make_run(tmp_path / "sure", seed=9, skill=-1, steep=60)  # its small probabilities are no float32
    found = compare.compare_runs([sure, three[0]], ensemble=("1", "0"), k=k)
    assert (found.ensemble["entry"].right == found.entries[0].right).all()


def test_a_video_that_one_run_skipped_is_decided_by_the_others(tmp_path, three):
    folder = make_run(tmp_path / "gaps", seed=8, skill=2.5, skipped=range(45))
    found = compare.compare_runs([three[1], folder], ensemble=("even",)).ensemble
    assert (found["entry"].right[:45] == right(three[1])[:45]).all()


@pytest.mark.parametrize("asked", [("0.5", "0.5"), ("-1", "1", "1"), ("0", "0", "0"), ("nan", "1", "1"), ("best",)])
def test_weights_that_cannot_be_are_refused(three, asked):
    with pytest.raises(ConfigError, match="an ensemble is 'even', 'fit', or 3 weights"):
        compare.compare_runs(three, ensemble=asked)


# --- what is refused


def test_runs_of_one_name_are_told_apart_by_the_folder_above(tmp_path):
    runs = [make_run(tmp_path / above / "run", seed=seed) for seed, above in enumerate(("a", "b"))]
    runs.append(make_run(tmp_path / "third", seed=2))
    assert [entry.name for entry in compare.compare_runs(runs).entries] == ["a/run", "b/run", "third"]


def test_a_run_is_not_compared_with_itself(three, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(three[0])
    with pytest.raises(ConfigError, match=r"is given 2 times; a run cannot be compared with itself"):
        compare.compare_runs([three[0], three[1], link])


def test_other_classes_are_refused_with_the_first_that_differs(tmp_path, three):
    turned = make_run(tmp_path / "turned", labels=[LABELS[1], LABELS[0], *LABELS[2:]])
    with pytest.raises(RunError, match=r"class 0 is 'open' in the first, 'close' in"):
        compare.compare_runs([three[0], turned])
    fewer = make_run(tmp_path / "fewer", labels=LABELS[:4])
    with pytest.raises(RunError, match="the first has 5 classes, the second 4"):
        compare.compare_runs([three[0], fewer])


def test_other_videos_are_refused_by_name(tmp_path, three):
    fewer = make_run(tmp_path / "fewer", num_videos=80)
    with pytest.raises(RunError, match=r"10 \(-v080, \.\.\.\) only in the first, none only in the second"):
        compare.compare_runs([three[0], fewer])


def test_other_labels_of_the_same_videos_are_refused(tmp_path, three):
    relabel = (b'"label":"open","label_index":0', b'"label":"close","label_index":1')
    other = damaged(three[0], tmp_path / "other", lambda data: data.replace(*relabel, 1))
    with pytest.raises(
        RunError, match="label 1 video differently: -v000 is 'open' in the first, 'close' in the second"
    ):
        compare.compare_runs([three[0], other])


def lines(data):
    return data.splitlines()


DAMAGE = {
    "a torn last row": (lambda data: data[:-25], "89 of 90"),
    "half a character": (lambda data: data[:-25] + b"\xc3", "89 of 90"),
    "zeros at the end": (lambda data: data[: data.rfind(b'{"index":89')] + bytes(512), "89 of 90"),
    "a bad row in the middle": (lambda data: data.replace(lines(data)[40], lines(data)[40][:20]), "40 of 90"),
    "a row twice": (lambda data: data + data.splitlines(keepends=True)[3], None),
    "a row twice in the middle": (lambda data: data.replace(lines(data)[5], lines(data)[4]), "5 of 90"),
    "NaN for a score": (lambda data: re.sub(rb",0\.\d+\]", b",NaN]", data, count=1), "no rows yet"),
    "rows of a longer run": (lambda data: data + data.splitlines()[-1].replace(b":89,", b":90,") + b"\n", "91 of 90"),
    "empty": (lambda data: b"", "no rows yet"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_rows_are_refused_or_harmless(tmp_path, three, change, words):
    folder = damaged(three[0], tmp_path / "run", change)
    if words is None:  # behind the last row of the list: it belongs to no video
        assert compare.compare_runs([three[1], folder]).entries[1].accuracy["k"] == right(three[0]).sum()
        return
    with pytest.raises(RunError, match=words):
        compare.compare_runs([three[1], folder])


def test_weights_whose_sum_is_infinite_still_mean_their_ratio():
    assert given_weights(["1e308", "1e308", "0"], 3) == [0.5, 0.5, 0]


def test_logits_of_another_run_stop_an_ensemble(tmp_path, three):
    folder = shutil.copytree(three[0], tmp_path / "mixed")
    shutil.copy(three[1] / "logits.npy", folder)
    with pytest.raises(RunError, match=r"another answer than its row .* rows and logits are not of one run"):
        compare.compare_runs([three[1], folder], ensemble=("even",))


def test_logits_that_are_nan_stop_an_ensemble_and_nothing_else(tmp_path, three):
    folder = tmp_path / "run"
    shutil.copytree(three[0], folder)
    logits = np.load(folder / "logits.npy", allow_pickle=False)
    logits[7, 1, 2] = np.nan
    np.save(folder / "logits.npy", logits)
    assert compare.compare_runs([three[1], folder]).entries[1].accuracy["k"] == right(three[0]).sum()
    with pytest.raises(RunError, match=r"holds NaN or infinity for '-v007'"):
        compare.compare_runs([three[1], folder], ensemble=("even",))


def test_result_files_of_the_torture_kit_are_one_sentence(torture, three, tmp_path):
    folder, items = torture("configs")
    cases = [item for item in items if item["group"] == "results.resume"]
    cases = cases or [item for item in json.loads((folder / "manifest.json").read_text())["items"]
                      if item["group"] == "results.resume"]  # fmt: skip
    assert len(cases) >= 10
    for item in cases:
        run = tmp_path / Path(item["path"]).stem
        shutil.copytree(three[0], run)
        shutil.copyfile(folder / item["path"], run / "rows.jsonl")
        with pytest.raises(RunError, match="no rows yet"):  # none of them is a row of ours
            compare.compare_runs([three[1], run])


# --- what is written


@pytest.fixture(scope="module")
def page(three, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    found = compare.compare_runs(three[:2], ensemble=("even",))
    return out, compare.write_comparison(found, out).read_text(encoding="utf-8"), found


def test_the_page_is_one_file_and_foreign_text_stays_text(page):
    _, html, found = page
    assert found.pairs[0].sentence.split(":")[0] in html
    assert html.count("<script") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", html)
    assert html.count('<circle class="dot"') == 2  # the plot of accuracy against cost


def test_tables_open_safely_in_a_spreadsheet(page):
    out, _, found = page
    with open(out / "flips.csv", newline="", encoding="utf-8") as file:
        flips = list(csv.DictReader(file))
    assert [flip["video_id"] for flip in flips] == ["'" + flip["video_id"] for flip in found.flips()]
    cells = [cell for flip in flips for cell in flip.values()]
    assert "'=SUM(A1)" in cells
    assert not any(cell.startswith(tuple("=+-@\t\r")) for cell in cells)
    with open(out / "pairs.csv", newline="", encoding="utf-8") as file:
        (pair,) = csv.DictReader(file)
    assert float(pair["value"]) == pytest.approx(found.pairs[0].difference["value"])
    with open(out / "runs.csv", newline="", encoding="utf-8") as file:
        assert [line["run"] for line in csv.DictReader(file)] == ["weak", "strong"]


def test_the_table_of_runs_says_which_k_its_accuracies_are_of(three, tmp_path):
    compare.write_comparison(compare.compare_runs(three[:2], k=3), tmp_path)
    with open(tmp_path / "runs.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    ranks = [[row.rank for row in read_rows(folder / "rows.jsonl")[0]] for folder in three[:2]]
    assert [(line["top_k"], int(line["k"])) for line in lines] == [("3", sum(r < 3 for r in found)) for found in ranks]


def test_logits_that_cannot_be_used_are_said_beside_the_figures(three, tmp_path):
    folder = shutil.copytree(three[0], tmp_path / "bad")
    logits = np.load(folder / "logits.npy", allow_pickle=False)
    logits[7] = np.nan
    np.save(folder / "logits.npy", logits)
    words = "What needs the logits is left out: .*logits.npy holds NaN or infinity for '-v007'"
    assert re.search(f"^note  bad: {words}", compare.text(compare.compare_runs([three[1], folder])), flags=re.M)
    assert "note " not in compare.text(compare.compare_runs(three[:2]))
    outcome = finish(folder, MergeConfig(runs=("a",), out="b"), ran=True)
    assert re.search(f"^note .*logits: {words[0].lower()}{words[1:]}", outcome.summary, flags=re.M)
    assert "NLL" not in outcome.summary


def test_equal_runs_have_no_flips_and_a_table_all_the_same(three, tmp_path):
    found = compare.compare_runs([three[0], shutil.copytree(three[0], tmp_path / "copy")])
    compare.write_comparison(found, tmp_path / "out")
    assert (tmp_path / "out" / "flips.csv").read_text().strip() == ",".join(compare.FLIP_COLUMNS)


def test_the_page_and_the_report_of_a_run_are_accessible(page, three):
    sync_api = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    browser_path = chromium()
    report = write_report(three[0])
    html = report.read_text(encoding="utf-8")
    assert html.count("<table") == html.count("<caption") >= 6
    assert "Views: what fewer would have given" in html
    assert re.search(r'<path class="curve" d="M[^"]* L100\.00 [\d.]+"', html)  # the whole curve, to the last video
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page()
        problems = []
        tab.on("console", lambda message: problems.append(message.text))
        for place in (page[0] / "comparison.html", report):
            tab.goto(place.as_uri())
            assert [violation["id"] for violation in axe.run(tab).response["violations"]] == [], place
        browser.close()
    assert problems == []


def test_a_folder_that_cannot_be_written_is_one_sentence(three, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written: .*use another --out"):
        compare.write_comparison(compare.compare_runs(three), tmp_path / "file")


# --- the programs


def program(name, *words):
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *map(str, words)], capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr
    assert done.returncode != INTERRUPTED
    return done


def test_the_program_prints_what_it_found_and_writes_the_page(three, tmp_path):
    done = program("compare.py", *three, "--ensemble", "fit", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "strong minus weak: +" in done.stdout
    assert "after Holm's correction for 3 pairs" in done.stdout
    assert done.stdout.rstrip().endswith(str(tmp_path / "comparison.html"))
    (tmp_path / "file").write_text("")
    done = program("compare.py", three[0], tmp_path / "no run", "--out", tmp_path / "file" / "out")
    assert done.returncode == 2
    assert "cannot be made or written to" in done.stderr
    assert "no run" not in done.stderr, "said before any run is read"
    done = program("compare.py", three[0], tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "manifest.json does not exist" in done.stderr


def test_the_power_program_answers_and_refuses():
    done = program("power.py", "80%", "0.85", "--discordance", "0.2")
    assert done.returncode == 0, done.stderr
    assert "the same videos, 20 % of them right in one run only: " in done.stdout
    assert program("power.py", "0.8", "0.8").returncode == 2


def test_options_that_cannot_be_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="--accuracies must be two shares"):
        PowerConfig(accuracies=(0.5,))
    with pytest.raises(ConfigError, match=r"--discordance must be at least 0\.1"):
        PowerConfig(accuracies=(0.5, 0.6), discordance=0.05)
    with pytest.raises(ConfigError, match=r"--power must be above --alpha, 0\.05: .* not 0\.04"):
        PowerConfig(accuracies=(0.5, 0.6), power=0.04)
    with pytest.raises(ConfigError, match="give 2 to 50 run folders, not 1"):
        compare.compare_runs(["only"])
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert COMPARE.parse_or_exit(["a", "b", "--k", "5"]) == CompareConfig(runs=("a", "b"), k=5)
