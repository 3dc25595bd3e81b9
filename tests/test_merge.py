"""Runs made apart become the run that was never divided, and what does not belong together is refused by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_compare import LABELS, make_run
from test_evaluate import RESULTS, config

from vidbench.compare import read_entries
from vidbench.data.ledger import ABSENT
from vidbench.evaluate import evaluate, finish
from vidbench.merge import merge
from vidbench.records import ConfigError, Row, RunError, VideoRecord
from vidbench.run_arguments import MergeConfig
from vidbench.runs import RunFolder, encode_row, read_json, read_rows

ROOT = Path(__file__).resolve().parents[1]
FAST = {"num_workers": 0, "limit": 18, "model": "mini2d.vidmini_v1"}


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """A run, and the same in three shards; batches of 4: 5 batches, the last one of two videos."""
    folder = tmp_path_factory.mktemp("divided")
    whole = evaluate(config(folder, run_name="whole", **FAST)).run_folder
    shards = [evaluate(config(folder, run_name=f"part{n}", shard=f"{n}/3", **FAST)).run_folder for n in (1, 2, 3)]
    return whole, shards


def finished(folder, **options):
    return finish(folder, MergeConfig(runs=("a",), out="b", max_skipped=1.0, **options), ran=True)


def test_shards_become_the_undivided_run_byte_by_byte(divided, tmp_path):
    whole, shards = divided
    assert [len(read_rows(folder / "rows.jsonl")[0]) for folder in shards] == [8, 6, 4]
    for name, order in (("one", shards), ("other", [shards[2], shards[0], shards[1], shards[0]])):
        merged = merge(order, tmp_path / name)
        finished(merged.folder)
        assert (merged.num_videos, merged.num_repeated) == (18, 8 if len(order) == 4 else 0)
        for file in RESULTS:
            assert (merged.folder / file).read_bytes() == (whole / file).read_bytes(), file
        ours, theirs = (read_json(folder / "manifest.json")["dataset"] for folder in (merged.folder, whole))
        assert ours == theirs


def test_a_merged_run_is_continued_like_the_undivided_one_and_keeps_its_parts(divided, tmp_path):
    _, shards = divided
    (tmp_path / "results").mkdir()
    merge(shards, tmp_path / "results" / "merged")
    outcome = evaluate(config(tmp_path, run_name="merged", **FAST))
    assert "nothing was run" in outcome.summary
    parts = read_json(outcome.run_folder / "manifest.json")["merged"]["parts"]
    assert [part["shard"] for part in parts] == [[1, 3], [2, 3], [3, 3]]
    timing = read_json(outcome.run_folder / "manifest.json")["timing"]
    assert timing["num_videos"] == 18
    page = (outcome.run_folder / "report.html").read_text()
    assert "--shard 1/3" in page
    assert f"# the first of 3 runs that merge.py joined: {', '.join(shard.name for shard in shards)}<" in page
    merge(shards, tmp_path / "results" / "merged")  # again: the same run


def test_a_shard_says_that_it_is_one(divided):
    _, shards = divided
    assert "art 2 of 3 of a list of 18 videos" in (shards[1] / "report.html").read_text()


def test_a_run_is_not_merged_into_itself(divided):
    _, shards = divided
    before = (shards[0] / "manifest.json").read_bytes()
    with pytest.raises(ConfigError, match=r"--out .* is one of the runs that are merged"):
        merge(shards, shards[0].parent / "." / shards[0].name)
    assert (shards[0] / "manifest.json").read_bytes() == before


def test_missing_shards_are_named(divided, tmp_path):
    whole, shards = divided
    with pytest.raises(RunError, match=r"shards are missing: 2/3$"):
        merge([shards[0], shards[2]], tmp_path / "m")
    with pytest.raises(RunError, match="is no shard, and others are"):
        merge([whole, *shards], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_an_empty_shard_and_a_part_that_is_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="shard 7/8 is empty: 18 videos are 5 batches of 4"):
        evaluate(config(tmp_path, shard="7/8", **FAST))
    for bad in ("0/3", "4/3", "1", "a/b", 3):
        with pytest.raises(ConfigError, match="--shard must be a part such as 1/4"):
            config(tmp_path, shard=bad)


def test_other_options_are_refused_by_the_key_that_differs(divided, tmp_path):
    _, shards = divided
    other = evaluate(config(tmp_path, shard="2/3", **{**FAST, "num_crops": 3})).run_folder
    with pytest.raises(RunError, match=r"protocol\.changed is \{\} in the first.*spec\.num_crops"):
        merge([shards[0], other], tmp_path / "m")
    changed = tmp_path / "changed"
    shutil.copytree(shards[1], changed)
    manifest = read_json(changed / "manifest.json")
    for section, key, value, words in (
        ("model", "weights_sha256", "0" * 64, "have other weights"),
        ("run", "precision", "bf16", "make them again with the same --precision"),
    ):
        altered = {**manifest, section: {**manifest[section], key: value}}
        (changed / "manifest.json").write_text(json.dumps(altered))
        with pytest.raises(RunError, match=words):
            merge([shards[0], changed, shards[2]], tmp_path / "m")


def edited(source, target, change):
    """A copy of a run whose rows are changed one by one."""
    shutil.copytree(source, target)
    rows, _ = read_rows(target / "rows.jsonl")
    (target / "rows.jsonl").write_bytes(b"".join(encode_row(change(row)) for row in rows))
    return target


def test_conflicts_are_named_and_a_prediction_wins_only_when_asked_to(tmp_path):
    whole = make_run(tmp_path / "whole", skill=2.0)
    other = edited(whole, tmp_path / "other", lambda row: row if row.index != 4 else turned(row))
    with pytest.raises(RunError, match=r"1 video has different rows: -v004 is .* in .*whole and .* in .*other$"):
        merge([whole, other], tmp_path / "m")
    gaps = make_run(tmp_path / "gaps", skill=2.0, skipped=(3, 7))
    with pytest.raises(RunError, match=r"2 videos .*-v003 is missing in .*--prefer-predicted takes"):
        merge([gaps, whole], tmp_path / "m")
    for name, order in (("union", [gaps, whole]), ("turned", [whole, gaps])):
        merged = merge(order, tmp_path / name, prefer_predicted=True)
        assert (merged.folder / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()
        assert np.isfinite(np.load(merged.folder / "logits.npy", allow_pickle=False)).all()
        assert merged.num_repeated == 90
    with pytest.raises(RunError, match="1 video has different rows"):
        merge([other, whole], tmp_path / "m2", prefer_predicted=True)


def test_a_run_that_was_made_again_is_not_hidden_by_an_earlier_merge(tmp_path):
    gaps = make_run(tmp_path / "gaps", skill=2.0, skipped=(3, 7))
    other = make_run(tmp_path / "other", skill=2.0, skipped=(3, 7))
    merge([gaps, other], tmp_path / "m")
    before = (tmp_path / "m" / "rows.jsonl").read_bytes()
    shutil.rmtree(other)
    make_run(other, skill=2.0)
    with pytest.raises(RunError, match=r"m holds an earlier merge, in which 2 videos have other rows \(-v003, "):
        merge([gaps, other], tmp_path / "m", prefer_predicted=True)
    assert (tmp_path / "m" / "rows.jsonl").read_bytes() == before


def turned(row):
    return Row(**{**row.as_json(), "rank": row.rank + 1})


def test_runs_of_different_classes_become_one_run_of_both(tmp_path):
    parts = [
        evaluate(config(tmp_path, run_name=name, **{**FAST, "limit": None, "classes": (name,)})).run_folder
        for name in ("SitDown", "StandUp")
    ]
    merged = merge(parts, tmp_path / "both")
    outcome = finished(merged.folder)
    assert outcome.metrics["n_listed"] == 24
    assert [line["label"] for line in outcome.metrics["per_class"]] == ["SitDown", "StandUp"]
    right = [json.loads((part / "metrics.json").read_text())["listed"]["top1"]["k"] for part in parts]
    assert outcome.metrics["listed"]["top1"]["k"] == sum(right)


def part_of(source, target, places, **dataset):
    """A finished run of some videos of another, with other facts in its manifest's ``dataset``."""
    rows, logits = read_rows(source / "rows.jsonl")[0], np.load(source / "logits.npy", allow_pickle=False)
    manifest = read_json(source / "manifest.json")
    manifest["dataset"] |= {"n_listed": len(places), "n_in_list": len(places), **dataset}
    kept = [Row(**{**rows[place].as_json(), "index": index}) for index, place in enumerate(places)]
    records = [VideoRecord(row.video_id, row.path, row.label, row.label_index, row.split, row.group) for row in kept]
    with RunFolder(target, manifest, records, *logits.shape[1:], 10) as run:
        run.append(kept, logits[list(places)])
    return target


def test_a_union_of_limited_runs_is_a_part_and_says_of_what(tmp_path):
    whole = make_run(tmp_path / "whole", skill=2.0)
    facts = {"limit": 30, "n_in_split": 90, "seed": 0}
    parts = [part_of(whole, tmp_path / f"p{start}", range(start, start + 30), **facts) for start in (0, 20)]
    outcome = finished(merge(parts, tmp_path / "m").folder)
    assert "note       subset: 50 videos of 90, those of 2 runs that were merged" in outcome.summary
    ledger = outcome.metrics["ledger"]
    assert (ledger["n_annotated"], ledger["n_not_drawn"]) == (90, 40)
    parts.append(part_of(whole, tmp_path / "rest", range(50, 90), **{**facts, "limit": 40}))
    dataset = read_json(merge(parts, tmp_path / "all").folder / "manifest.json")["dataset"]
    assert (dataset["limit"], dataset["n_listed"], dataset["n_in_split"]) == (None, 90, 90)


def test_a_union_of_classes_keeps_which_they_are_and_what_they_were_drawn_from(tmp_path):
    whole = make_run(tmp_path / "whole", skill=2.0)
    a, b, c = LABELS[:3]
    asked = {"a": ([a], None), "b": ([b], 6), "bc": ([b, c], 30), "ab": ([a, b], 36)}  # 18 videos of each class
    parts = {
        name: part_of(whole, tmp_path / name, range(LABELS.index(names[0]), 30, 5), classes=names, limit=limit,
                      n_in_split=18 * len(names))
        for name, (names, limit) in asked.items()
    }  # fmt: skip
    for chosen, classes, limit, number in (
        ("a b", [a, b], 12, 36),  # apart: added up
        ("b bc", [b, c], 6, 36),  # one within the other
        ("a bc", [a, b, c], 12, 54),
        ("a b ab", [a, b], 12, 36),
    ):
        out = tmp_path / chosen.replace(" ", "+")
        merge([parts[name] for name in chosen.split()], out)
        dataset = read_json(out / "manifest.json")["dataset"]
        assert (dataset["classes"], dataset["limit"], dataset["n_in_split"]) == (classes, limit, number), chosen


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("dataset", None, 'dataset is null and must be an object'),
        ("dataset.shard", "1/2", 'dataset.shard is "1/2" and must be [i, n], part i of n'),
        ("dataset.shard", [1, 1], "dataset.n_in_list is null and must be given"),
        ("run.batch_size", 0, "run.batch_size is 0 and must be a whole number, 1 or above"),
        ("timing.seconds", {"wall": "x"}, 'timing.seconds is {"wall": "x"} and must be a number of seconds for each'),
        ("run.top_n", "5", 'run.top_n is "5" and must be a whole number, 1 or above'),
        ("timing", [], "timing is [] and must be an object"),
        ("spec.num_clips", "many", 'spec.num_clips is "many" and must be a whole number'),
    ],
)  # fmt: skip
def test_a_manifest_damaged_by_hand_is_named_with_its_field(tmp_path, field, value, words):
    folder = make_run(tmp_path / "run", num_videos=10)
    manifest, (part, _, key) = read_json(folder / "manifest.json"), field.partition(".")
    if key:
        manifest[part][key] = value
    else:
        manifest[part] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for use in (lambda: merge([folder], tmp_path / "m"), lambda: read_entries([folder])):
        with pytest.raises(RunError) as caught:
            use()
        assert f"run/manifest.json is damaged: {words}" in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_a_file_in_the_place_of_the_merged_run_is_a_bad_option(tmp_path):
    (tmp_path / "m").write_text("mine")
    with pytest.raises(ConfigError, match=r"--out '.*m' cannot be made or written to"):
        MergeConfig(runs=(str(tmp_path),), out=str(tmp_path / "m")).checked()


def test_an_unfinished_or_damaged_run_is_refused_before_anything_is_written(divided, tmp_path):
    _, shards = divided
    torn = tmp_path / "torn"
    shutil.copytree(shards[1], torn)
    path = torn / "rows.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match="5 of 6 rows that can be used"):
        merge([shards[0], torn, shards[2]], tmp_path / "m")
    shutil.copyfile(shards[1] / "rows.jsonl", path)
    (torn / "logits.npy").write_bytes(b"short")
    with pytest.raises(RunError, match=r"logits\.npy cannot be read"):
        merge([shards[0], torn, shards[2]], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_what_is_known_of_absent_videos_is_kept(divided, tmp_path):
    _, shards = divided
    copies = []
    for number, shard in enumerate(shards):
        copies.append(tmp_path / f"s{number}")
        shutil.copytree(shard, copies[-1])
        facts = {"video_id": f"gone{number // 2}", "path": "x.mp4", "label": None, "label_index": -1, "split": "",
                 "group": "", "state": "not_there", "reason": "no file", "listed": False}  # fmt: skip
        (copies[-1] / ABSENT).write_text(json.dumps([facts]))
    merged = merge(copies, tmp_path / "m")
    assert [item["video_id"] for item in json.loads((merged.folder / ABSENT).read_text())] == ["gone0", "gone1"]


def test_the_program_writes_a_run_with_its_report(divided, tmp_path):
    _, shards = divided
    words = [sys.executable, str(ROOT / "scripts" / "merge.py"), *map(str, shards), "--out", str(tmp_path / "m")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "3 runs, 18 videos, 0 of them in several runs" in done.stdout
    assert (tmp_path / "m" / "report.html").is_file()
    done = subprocess.run([*words[:3], "--out", str(tmp_path / "n")], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (1, "merge.py: shards are missing: 2/3, 3/3\n")
