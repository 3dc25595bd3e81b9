"""Verdicts stand beside a run and never in it; the accuracy with them says what it is worth."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidbench import metrics
from vidbench.records import ConfigError, Row, RunError
from vidbench.review import (
    ORDERS,
    SHOWN,
    VERDICTS,
    Verdict,
    choose_rows,
    compare,
    is_wrong,
    pair_of,
    rank_among,
    read_run,
    read_verdicts,
    rescore,
    save_verdict,
)
from vidbench.runs import encode_row

LABELS = ("jump", "run", "sit", "stand", "wave", "walk", "turn")
ROOT = Path(__file__).resolve().parents[1]


def make_row(index: int, true: int, scores=None, status: str = "ok") -> Row:
    """A row as an evaluation writes it, from the scores of all classes; skipped where there are none."""
    common = {"label": LABELS[true] if true >= 0 else None, "label_index": true, "split": "test", "group": ""}
    if scores is None:
        return Row(index, f"v{index}", f"{index}.mp4", **common, status=status, reason="made for the test")
    order = np.argsort(-np.asarray(scores), kind="stable")[:5]
    top = tuple((LABELS[k], int(k), float(scores[k])) for k in order)
    rank = int((np.asarray(scores) >= scores[true]).sum()) - 1 if true >= 0 else -1
    return Row(index, f"v{index}", f"{index}.mp4", **common, status=status, top=top, rank=rank, num_frames=9)


def random_rows(seed: int, n: int = 60, skipped: float = 0.1) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(n):
        true = int(rng.integers(len(LABELS)))
        scores = rng.dirichlet(np.ones(len(LABELS)))
        scores[true] += 0.3 * rng.random()
        rows.append(make_row(index, true, None if rng.random() < skipped else scores, "ok"))
    return [dataclasses.replace(row, status="decode_error") if not row.top else row for row in rows]


def write_run(folder: Path, rows: list[Row], name: str = "a run") -> Path:
    folder.mkdir(parents=True)
    manifest = {"schema": 1, "run_name": name, "labels": list(LABELS), "dataset": {"n_listed": len(rows)}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "rows.jsonl").write_bytes(b"".join(encode_row(row) for row in rows))
    return folder


@pytest.fixture
def run(tmp_path):
    return read_run(write_run(tmp_path / "run", random_rows(1)))


# ---------------------------------------------------------------- reading a run


def test_a_run_is_read_as_it_was_written(tmp_path):
    rows = random_rows(2, 17)
    run = read_run(write_run(tmp_path / "run", rows, "mini"))
    assert run.rows == tuple(rows)
    assert (run.labels, run.name, run.num_listed) == (LABELS, "mini", 17)


def test_what_is_no_run_is_said_in_one_sentence(tmp_path):
    with pytest.raises(RunError, match=r"manifest\.json does not exist: is .* a run folder"):
        read_run(tmp_path)
    folder = write_run(tmp_path / "begun", [])
    with pytest.raises(RunError, match="has no rows yet"):
        read_run(folder)
    (folder / "manifest.json").write_text('{"labels": 3}')
    with pytest.raises(RunError, match="lists no classes"):
        read_run(folder)


# ---------------------------------------------------------------- the file


def test_a_verdict_is_there_for_the_next_reader(run):
    save_verdict(run, "v3", "label_wrong", label=next(x for x in LABELS if x != run.rows[3].label), note="tëxt")
    saved = save_verdict(run, "v5", "ambiguous")
    assert read_verdicts(read_run(run.folder)) == saved
    assert set(saved) == {"v3", "v5"}
    assert saved["v3"].note == "tëxt"
    assert saved["v5"].when.endswith("+00:00")
    save_verdict(run, "v5", "undecodable")
    assert read_verdicts(run)["v5"].verdict == "undecodable"
    assert set(save_verdict(run, "v3", None)) == {"v5"}
    assert set(save_verdict(run, "v9", None)) == {"v5"}  # nothing to take back


def test_verdicts_touch_nothing_else_in_the_run(run):
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    save_verdict(run, "v0", "two_actions")
    after = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {"verdicts.json", "verdicts.lock"}


def test_what_cannot_be_a_verdict_is_refused_before_anything_is_written(run):
    own = run.rows[0].label
    other = next(label for label in LABELS if label != own)
    for options, words in (
        (("v999", "ambiguous"), "has no video 'v999'.*Did you mean"),
        (("v0", "label-wrong"), "unknown verdict 'label-wrong'.*Did you mean 'label_wrong'"),
        (("v0", "label_wrong", "juump"), "no class of the run is called 'juump'.*'jump'"),
        (("v0", "ambiguous", other), "names no class"),
        (("v0", "label_wrong", own), "already"),
    ):
        label = options[2] if len(options) > 2 else None
        with pytest.raises(ConfigError, match=words):
            save_verdict(run, *options[:2], label=label)
    assert not (run.folder / "verdicts.json").exists()


UNUSABLE = [
    "{",
    "[]",
    '{"schema": 2, "verdicts": []}',
    '{"schema": 1}',
    '{"schema": 1, "verdicts": [{"video_id": "v2"}]}',
    '{"schema": 1, "verdicts": [{"video_id": "v2", "verdict": "fine"}]}',
    '{"schema": 1, "verdicts": [{"video_id": "v2", "verdict": "label_wrong", "label": "no class"}]}',
]


@pytest.mark.parametrize("content", UNUSABLE)
def test_a_damaged_file_is_refused_and_kept(run, content):
    path = run.folder / "verdicts.json"
    path.write_text(content)
    with pytest.raises(RunError, match=r"verdicts\.json"):
        read_verdicts(run)
    with pytest.raises(RunError, match=r"verdicts\.json"):
        save_verdict(run, "v1", "ambiguous")
    assert path.read_text() == content


def test_verdicts_on_videos_of_another_list_are_kept_and_not_counted(run):
    entry = dataclasses.asdict(Verdict("elsewhere", "ambiguous"))
    (run.folder / "verdicts.json").write_text(json.dumps({"schema": 1, "verdicts": [entry]}))
    assert read_verdicts(run) == {}
    assert set(save_verdict(run, "v1", "ambiguous")) == {"v1"}
    assert "elsewhere" in (run.folder / "verdicts.json").read_text()


def test_a_folder_that_cannot_be_written_is_one_sentence(run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vidbench.review.write_json", full)
    with pytest.raises(RunError, match=r"cannot be written \(No space left on device\); copy the run folder"):
        save_verdict(run, "v1", "ambiguous")


def test_several_people_reviewing_at_once_lose_no_verdict(run):
    code = (
        "import sys; from vidbench.review import read_run, save_verdict\n"
        "run = read_run(sys.argv[1])\n"
        "for k in range(int(sys.argv[2]), 30, 3): save_verdict(run, f'v{k}', 'ambiguous')\n"
    )
    people = [subprocess.Popen([sys.executable, "-c", code, str(run.folder), str(k)], cwd=ROOT) for k in range(3)]
    assert [person.wait(60) for person in people] == [0, 0, 0]
    assert set(read_verdicts(run)) == {f"v{k}" for k in range(30)}


# ---------------------------------------------------------------- scoring again


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 5])
def test_without_verdicts_it_is_the_accuracy_of_the_run(seed, k):
    rows = [*random_rows(seed), make_row(60, -1, None, "bad_row"), make_row(61, -1, np.eye(7)[2])]
    score = rescore(rows, {}, k=k)
    assert score.listed == score.rescored == metrics.summarise(rows, LABELS)["listed"][f"top{k}"]
    assert score.note == "No verdicts yet."
    assert "re-scored" not in str(score)


def scored(true: int, said: int, second: int | None = None) -> Row:
    scores = np.full(7, 0.02)
    scores[said] = 0.6
    if second is not None:
        scores[second] = 0.2
    return make_row(0, true, scores)


@pytest.mark.parametrize(
    ("row", "verdict", "label", "k", "right"),
    [
        (scored(0, 1), "ambiguous", None, 1, None),
        (scored(0, 0), "ambiguous", None, 1, None),
        (scored(0, 1), "undecodable", None, 1, None),
        (scored(0, 1), "label_wrong", None, 1, None),
        (scored(0, 1), "label_wrong", "run", 1, True),
        (scored(0, 0), "label_wrong", "run", 1, False),  # it was right for the wrong reason
        (scored(0, 1), "label_wrong", "sit", 1, False),
        (scored(0, 1, 2), "label_wrong", "sit", 1, False),
        (scored(0, 1, 2), "label_wrong", "sit", 2, True),
        (scored(0, 0), "two_actions", "run", 1, True),
        (scored(0, 1), "two_actions", "run", 1, True),
        (scored(0, 2), "two_actions", "run", 1, False),
        (scored(0, 2), "two_actions", None, 1, None),
        (make_row(0, 0, None, "decode_error"), "label_wrong", "run", 1, False),
        (make_row(0, 0, None, "decode_error"), "undecodable", None, 1, None),
    ],
)
def test_each_verdict_counts_as_it_says(row, verdict, label, k, right):
    score = rescore([row], {"v0": Verdict("v0", verdict, label)}, k=k)
    if right is None:
        assert score.rescored is None
        assert score.num_left_out == 1
    else:
        assert (score.rescored["k"], score.rescored["n"]) == (int(right), 1)
    assert score.listed["n"] == 1
    assert score.counts == {verdict: 1}


@pytest.mark.parametrize("seed", range(8))
def test_every_listed_video_is_scored_again_or_left_out(seed):
    rng, rows = np.random.default_rng(seed), random_rows(seed)
    verdicts = {}
    for row in rng.choice(np.array(rows, object), 25, replace=False):
        kind = str(rng.choice(list(VERDICTS)))
        label = str(rng.choice([x for x in LABELS if x != row.label])) if rng.random() < 0.5 else None
        verdicts[row.video_id] = Verdict(row.video_id, kind, label if kind in ("label_wrong", "two_actions") else None)
    score = rescore(rows, verdicts)
    assert score.rescored["n"] + score.num_left_out == score.listed["n"] == 60
    assert sum(score.counts.values()) == score.num_verdicts == 25
    assert score.rescored["low"] <= score.rescored["value"] <= score.rescored["high"]
    untouched = [row for row in rows if row.video_id not in verdicts]
    assert score.rescored["k"] >= sum(row.rank == 0 for row in untouched)


@pytest.mark.parametrize("seed", range(8))
def test_reviewing_mistakes_only_never_lowers_the_accuracy_and_says_so(seed):
    rng, rows = np.random.default_rng(seed), random_rows(seed)
    wrong = [row for row in rows if is_wrong(row)]
    kinds = rng.choice(list(VERDICTS), len(wrong))
    verdicts = {row.video_id: Verdict(row.video_id, str(kind)) for row, kind in zip(wrong, kinds)}
    score = rescore(rows, verdicts)
    assert score.rescored["value"] >= score.listed["value"]
    assert "can only raise" in score.note
    right = next(row for row in rows if row.predicted and not is_wrong(row))
    both = rescore(rows, verdicts | {right.video_id: Verdict(right.video_id, "ambiguous")})
    assert "can only raise" not in both.note
    assert f"{len(wrong)} of them had counted as wrong" in both.note


def test_a_rank_among_best_classes_counts_ties_against_us():
    row = make_row(0, 0, [0.3, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02])
    assert [rank_among(row, label) for label in ("jump", "run", "sit", "turn")] == [1, 1, 2, -1]


def test_a_k_that_the_rows_do_not_hold_is_refused():
    for k in (0, 6):
        with pytest.raises(ConfigError, match="k must be between 1 and the 5 best classes"):
            rescore(random_rows(0), {}, k=k)


# ---------------------------------------------------------------- what to look at first


def test_mistakes_come_in_the_order_asked_for():
    rows = random_rows(3, 200)
    wrong = [row for row in rows if row.predicted and row.rank != 0]
    for order in ORDERS:
        found = choose_rows(rows, order=order)
        assert sorted(row.index for row in found) == [row.index for row in wrong]
    confident = [row.top[0][2] for row in choose_rows(rows, order="confident")]
    assert confident == sorted(confident, reverse=True)
    classes = [row.label_index for row in choose_rows(rows, order="class")]
    assert classes == sorted(classes)
    drawn = [row.index for row in choose_rows(rows, order="random")]
    assert drawn == [row.index for row in choose_rows(rows[::-1], order="random")] != sorted(drawn)
    pairs = [pair_of(row) for row in choose_rows(rows, order="pair")]
    counts = [pairs.count(pair) for pair in pairs]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    assert len({pair for pair, after in itertools.pairwise(pairs) if pair != after}) == len(set(pairs)) - 1  # together


def test_filters_show_what_they_say():
    rows = random_rows(4, 120)
    verdicts = {"v7": Verdict("v7", "ambiguous")}
    found = {shown: {row.index for row in choose_rows(rows, shown=shown, verdicts=verdicts)} for shown in SHOWN}
    assert found["all"] == set(range(120)) == found["wrong"] | found["right"] | found["skipped"]
    assert not found["wrong"] & found["right"]
    assert found["reviewed"] == {7}
    assert all(row.label == "sit" for row in choose_rows(rows, shown="all", label="sit"))
    with pytest.raises(ConfigError, match=r"unknown choice 'wrng'.*'wrong'"):
        choose_rows(rows, shown="wrng")


# ---------------------------------------------------------------- two runs


def test_two_runs_are_compared_video_by_video():
    a, b = random_rows(5), [dataclasses.replace(row, rank=0 if row.index % 3 else row.rank) for row in random_rows(5)]
    compared = compare(a, list(reversed(b))[:-4])
    assert [pair[0].video_id for pair in compared.pairs] == [pair[1].video_id for pair in compared.pairs]
    assert (len(compared.pairs), compared.num_only_a, compared.num_only_b) == (56, 4, 0)
    groups = {name: compared.group(name) for name in ("both", "a", "b", "neither")}
    assert sum(map(len, groups.values())) == 56 == len(compared.group("all"))
    value = (len(groups["b"]) - len(groups["a"])) / 56
    assert compared.difference["value"] == pytest.approx(value)
    assert compared.difference["low"] < value < compared.difference["high"]
    assert "4 only in first" in compared.sentence("first", "second")


def test_swapping_the_runs_swaps_the_sign():
    a, b = random_rows(6), random_rows(7)
    b = [dataclasses.replace(row, label=x.label, label_index=x.label_index) for row, x in zip(b, a)]
    there, back = compare(a, b).difference, compare(b, a).difference
    assert [there[key] for key in ("value", "low", "high")] == pytest.approx(
        [-back[key] for key in ("value", "high", "low")]
    )


def test_runs_without_a_shared_video_are_refused():
    with pytest.raises(RunError, match="share no labelled video"):
        compare(random_rows(1), [dataclasses.replace(row, video_id="x" + row.video_id) for row in random_rows(1)])


def test_a_video_listed_twice_counts_once():
    rows = random_rows(8, 20, skipped=0)
    twice = [*rows, dataclasses.replace(rows[3], index=20, status="duplicate", top=(), rank=-1)]
    assert compare(twice, twice).difference["n"] == 20
    assert compare(twice, rows).difference["value"] == 0


def test_the_interval_of_a_difference_covers_the_truth():
    rng, n, trials, covered = np.random.default_rng(0), 60, 600, 0
    only_a, only_b = 0.1, 0.25
    for _ in range(trials):
        draws = rng.random(n)
        ranks_a, ranks_b = (
            (draws < only_a) | (draws > 0.6),
            (draws >= only_a) & (draws < only_a + only_b) | (draws > 0.6),
        )
        a = [
            dataclasses.replace(scored(0, 0), index=i, video_id=f"v{i}", rank=int(not r)) for i, r in enumerate(ranks_a)
        ]
        b = [
            dataclasses.replace(scored(0, 0), index=i, video_id=f"v{i}", rank=int(not r)) for i, r in enumerate(ranks_b)
        ]
        found = compare(a, b).difference
        covered += found["low"] <= only_b - only_a <= found["high"]
    spread = 3 * math.sqrt(0.95 * 0.05 / trials)
    assert 0.95 - spread <= covered / trials <= 0.95 + spread
