"""Every annotated video of a run is in one state, and the bounds are what the unread ones leave open."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest

from vidbench.data.ledger import (
    STATES,
    bounds_words,
    read_absent,
    run_ledger,
    state_of,
    summarise_ledger,
    write_absent,
    write_ledger,
    write_videos,
)
from vidbench.metrics import summarise
from vidbench.records import STATUSES, Row, RunError, VideoRecord

LABELS = ("run", "jump", "sit")


def row(index, status="ok", rank=0, label=None, label_index=None, reason="") -> Row:
    place = index % 3 if label_index is None else label_index
    label = LABELS[place] if label is None and place >= 0 else label
    top = ((LABELS[(place + rank) % 3], (place + rank) % 3, 0.9),) if status in ("ok", "partial") else ()
    return Row(index, f"v{index}", f"v{index}.mp4", label, place, "val", "", status, reason, 9, 25.0, top, rank)


def absent(name, label="run", state="not_hosted", reason="no archive holds it", listed=False) -> dict:
    known = {"video_id": name, "path": f"{name}.mp4", "label": label, "split": "val", "group": ""}
    index = LABELS.index(label) if label in LABELS else -1
    return known | {"label_index": index, "state": state, "reason": reason, "listed": listed}


def ledger_of(rows, absent_facts=(), **dataset) -> dict:
    return summarise_ledger(run_ledger(rows, absent_facts), summarise(rows, LABELS), dataset)


def test_every_status_of_a_row_has_one_state():
    assert {state_of(status) for status in STATUSES} <= set(STATES)
    assert state_of("partial") == "truncated"
    assert state_of("timeout") == state_of("worker_crash") == "undecodable"


def test_a_run_s_ledger_holds_every_annotated_video_once():
    rng = np.random.default_rng(3)
    rows = [row(n, str(rng.choice(list(STATUSES))), rank=int(rng.integers(3))) for n in range(300)]
    gone = [absent(f"gone{n}", LABELS[n % 2], str(rng.choice(["not_hosted", "fetch_failed"]))) for n in range(31)]
    ledger = ledger_of(rows, gone)
    assert ledger["n_annotated"] == sum(ledger["states"].values()) == 331
    assert list(ledger["states"]) == list(STATES)
    assert ledger["states"]["ok"] == sum(r.status == "ok" for r in rows)
    for line in ledger["classes"]:
        assert sum(line[state] for state in STATES) == line["listed"]
        assert line["ok"] + line["truncated"] < line["listed"]
    assert sum(line["listed"] for line in ledger["classes"]) == 331
    shares = [(line["ok"] + line["truncated"]) / line["listed"] for line in ledger["classes"]]
    assert shares == sorted(shares)


def test_the_fetch_explains_listed_videos_that_are_not_there():
    rows = [row(0, "missing", reason="no file"), row(1, "missing", reason="no file"), row(2, "empty", reason="0 bytes")]
    facts = [absent("v0", listed=True), absent("v2", state="fetch_failed", reason="404", listed=True)]
    entries = run_ledger(rows, facts)
    assert [entry.state for entry in entries] == ["not_hosted", "not_there", "undecodable"]
    assert [entry.reason for entry in entries] == ["no archive holds it", "no file", "0 bytes"]


def test_bounds_are_the_least_and_the_most_that_unread_videos_allow():
    rng = np.random.default_rng(5)
    for _ in range(40):
        statuses = rng.choice(["ok", "partial", "missing", "decode_error", "nonfinite", "unknown_label"], 7)
        rows = [row(n, str(status), rank=int(rng.integers(2))) for n, status in enumerate(statuses)]
        gone = [absent(f"gone{n}") for n in range(int(rng.integers(3)))]
        unread = sum(status in ("missing", "decode_error") for status in statuses) + len(gone)
        right = sum(r.predicted and r.rank == 0 for r in rows)
        fates = [right + sum(fate) for fate in itertools.product((0, 1), repeat=unread)]
        n = len(rows) + len(gone)
        bounds = ledger_of(rows, gone)["bounds"]
        assert bounds == {"low": min(fates) / n, "high": max(fates) / n, "n": n, "n_read": n - unread, "n_lost": 0}


def test_a_video_without_a_class_of_the_model_is_wrong_in_both_bounds():
    rows = [row(0), row(1, "unknown_label"), row(2, "unknown_label", label="sprint", label_index=-1)]
    ledger = ledger_of(rows)
    assert {s: n for s, n in ledger["states"].items() if n} == {"ok": 1, "no_class": 1, "unusable_entry": 1}
    assert (ledger["bounds"]["low"], ledger["bounds"]["high"]) == (1 / 3, 2 / 3)


def test_an_absent_video_of_a_class_that_the_model_lacks_is_wrong_in_both_bounds():
    rows, gone = [row(0), row(1, "missing"), row(2, "missing")], [absent("x", "jump"), absent("y", "sit")]
    figures = summarise(rows, LABELS, unmapped=["jump"])
    ledger = summarise_ledger(run_ledger(rows, gone), figures, {})
    assert ledger["bounds"] == {"low": 1 / 5, "high": 3 / 5, "n": 5, "n_read": 3, "n_lost": 2}
    words = "(2 not read: all wrong, or all right; 2 more are of classes that the model lacks)"
    assert bounds_words(ledger).endswith(words)


def test_a_subset_counts_what_was_not_drawn_and_a_sample_of_a_partial_copy_has_no_bounds():
    rows = [row(n) for n in range(4)]
    drawn = ledger_of(rows, n_in_split=10, n_listed=4)
    assert (drawn["n_annotated"], drawn["n_not_drawn"], drawn["bounds"]["n"]) == (10, 6, 4)
    assert ledger_of(rows, [absent("gone")], n_in_split=10, n_listed=4)["bounds"] is None
    assert ledger_of(rows, [absent("gone")], n_in_split=4, n_listed=4)["bounds"]["n"] == 5


def test_a_shard_answers_for_its_own_videos():
    rows = [row(n) for n in range(4)]
    ledger = ledger_of(rows, n_in_split=20, n_in_list=12, n_listed=4)
    assert [ledger[f"n_{name}"] for name in ("annotated", "not_drawn", "elsewhere")] == [20, 8, 8]
    assert ledger["bounds"]["n"] == 4


def test_without_labels_there_are_no_bounds():
    rows = [Row(0, "a", "a.mp4", None, -1, "test", "", "ok", top=(("run", 0, 0.5),))]
    assert ledger_of(rows)["bounds"] is None
    assert bounds_words(ledger_of(rows)) == ""


def test_reasons_are_counted_whatever_numbers_they_hold():
    rows = [row(n, "partial", reason=f"{n} of 75 frames") for n in range(5)] + [row(5, "empty", reason="0 bytes")]
    assert ledger_of(rows)["reasons"] == [
        {"state": "truncated", "reason": "N of N frames", "count": 5},
        {"state": "undecodable", "reason": "N bytes", "count": 1},
    ]


def test_words_name_the_bounds_only_where_something_is_open():
    assert bounds_words(ledger_of([row(0), row(1)])) == ""
    words = bounds_words(ledger_of([row(0), row(1, "missing")], [absent("gone"), absent("gone2")]))
    assert words == "top-1 over all 4 annotated videos is 25.0 to 100.0 % (3 not read: all wrong, or all right)"


# ---------------------------------------------------------------- the file in the run folder


def test_tables_open_safely_in_a_spreadsheet(tmp_path):
    rows = [row(0, label="=cmd()"), row(1, "decode_error", reason="+1\nline"), row(2)]
    rows[2] = Row(**{**rows[2].as_json(), "video_id": "-0AbCdEfGhI", "path": "@x.mp4"})
    entries = run_ledger(rows)
    with write_videos(entries, tmp_path).open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["label"] for line in lines] == ["'=cmd()", "jump", "sit"]
    assert (lines[1]["reason"], lines[1]["num_frames"]) == ("'+1\\nline", "9")
    assert (lines[2]["video_id"], lines[2]["path"]) == ("'-0AbCdEfGhI", "'@x.mp4")
    write_ledger(entries, tmp_path)
    assert (tmp_path / "classes.csv").read_text().splitlines()[1].startswith("'=cmd(),1,1,0")


def test_what_is_absent_is_kept_and_read_back(tmp_path):
    there = VideoRecord("a", "a.mp4", "run", 0, "val")
    gone = VideoRecord("b [1]", "b [1].mp4", "run", 0, "val", "film", status="missing", reason="no such file")
    left = VideoRecord("-c", "-c.mp4", None, -1, "val", status="missing", reason="no such file")
    write_absent(tmp_path, [there, gone], [left], {"-c": ("fetch_failed", "404")})
    facts = read_absent(tmp_path)
    assert [(f["video_id"], f["state"], f["reason"], f["listed"]) for f in facts] == [
        ("b [1]", "not_there", "no such file", True),
        ("-c", "fetch_failed", "404", False),
    ]
    assert [item["video_id"] for item in read_absent(tmp_path, whole=False)] == ["b [1]"]
    write_absent(tmp_path, [there], [], {})
    assert read_absent(tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["[", "[1]", '[{"video_id": "a"}]', "{}{}", "\xff", '[{"state": "ok"}]'])
def test_a_damaged_file_is_said(tmp_path, text):
    (tmp_path / "absent.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=r"absent\.json is damaged"):
        read_absent(tmp_path)
