"""What was published, as rows, and what a run says against them."""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from vidbench import models, protocol, report, runs
from vidbench.arguments import EvaluateConfig
from vidbench.asked import asked_words
from vidbench.cards.card import Reported
from vidbench.evaluate import evaluate
from vidbench.intervals import clustered_proportion, proportion
from vidbench.manifest import spec_facts
from vidbench.metrics import summarise
from vidbench.models import CARDS
from vidbench.plan import choose
from vidbench.protocol import interval, sentence, verdicts
from vidbench.published import find_result, published, recorded_with, results_of
from vidbench.records import ConfigError, RunError
from vidbench.utils import sha256_of_file

ROOT = Path(__file__).resolve().parents[1]
CARD = CARDS["r3d_18.kinetics400_v1"]  # 63.2 % on kinetics400 val, its whole protocol stated
K, N = 12581, 19906  # 63.2 % of all that are listed officially


def manifest(card=CARD, **changes):
    """A manifest as ``evaluate`` writes it, of a run under the card's protocol; ``section__key`` changes a value."""
    found = {
        "model": {"name": card.name, "random": False, "published": True},
        "spec": spec_facts(card.input),
        "dataset": {
            "name": "kinetics400",
            "split": "val",
            "n_listed": N,
            "limit": None,
            "classes": None,
            "shard": None,
        },
        "label_map": None,
        "protocol": {"on_card": True},
        "decode": {"decoder": "pyav"},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            found[section] = {**(found[section] or {}), name: value}
        else:
            found[section] = value
    return found


def metrics(k=K, n=N, **more):
    return {"n_listed": n, "listed": {"top1": proportion(k, n)}, "clustered": None, "statuses": {"ok": n}, **more}


def ledger(k=K, n=N, unread=0):
    return {"n_annotated": n, "bounds": {"low": k / n, "high": (k + unread) / n, "n": n, "n_read": n - unread}}


def verdict(facts=None, figures=None, gaps=None):
    (found,) = verdicts(facts or manifest(), figures or metrics(), gaps or ledger())
    return found


# ---------------------------------------------------------------- the table


def test_every_published_result_is_a_row_with_an_id_of_its_own():
    rows = published()
    assert len(rows) == 574
    for name, row in rows.items():
        assert name == row.id
        assert 1 < row.top1 <= 100
        assert row.top5 is None or row.top1 < row.top5 <= 100
        assert row.source
        assert row.dataset
        assert row.verified in ("yes", "secondary", "partly")
        assert row.sampling in ("", "dense", "uniform", "segments", "stream")
        assert row.average in ("", "probabilities", "logits")
        assert row.level in ("", "video", "clip")
        assert len(row.crop) in (0, 1)
        assert len(row.resize) in (0, 1, 2)
        assert {len(row.mean), len(row.std)} <= {0, 3}
        assert not (row.stride and row.frame_rate)


@pytest.mark.shared
def test_the_table_says_what_was_collected(shared_dir):
    with open(shared_dir / "reference" / "published_results.csv", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["top1"]]  # three name a model and no accuracy
    collected = [(float(line["top1"]), line["top5"] and float(line["top5"])) for line in lines]
    ours = [(row.top1, row.top5 or "") for row in published().values() if row.id != "movinet-a0-stream-int8-tflite"]
    assert sorted(map(str, collected)) == sorted(map(str, ours))


def test_a_card_and_its_row_agree_wherever_the_source_speaks():
    compared = 0
    for card in CARDS.values():
        for row in results_of(card.name)[:1]:
            facts = manifest(card, dataset__name=row.dataset, dataset__split=row.split)
            assert protocol.compare_protocols(row, facts)[0] == [], card.name
            assert card.reported == Reported(row.top1, row.top5, row.on, row.protocol, row.source)
            compared += 1
    assert compared == sum(card.reported is not None for card in CARDS.values())
    assert compared >= 90


def test_cards_in_the_table_are_cards_of_ours():
    assert {name for row in published().values() for name in row.cards} <= set(CARDS)


def test_an_unknown_result_gets_the_nearest_ones():
    with pytest.raises(ConfigError, match="r3d-18-kinetics400-v1-kinetics400"):
        find_result("r3d-18-kinetics400-v1-kinetics40")


def test_what_the_shipped_weights_record_is_a_row_of_theirs():
    (row,) = recorded_with("mini2d.vidmini_v1")
    assert (row.top1, row.num_videos, row.on) == (67.36, 144, "vidmini test")
    facts = manifest(CARDS["mini2d.vidmini_v1"], dataset__name="vidmini", dataset__split="test")
    assert protocol.compare_protocols(row, facts) == ([], [])
    assert recorded_with("r3d_18.kinetics400_v1") == ()


# ---------------------------------------------------------------- the four words


def test_the_same_protocol_the_whole_split_and_the_same_figure_is_reproduced():
    found = verdict()
    assert (found["verdict"], found["top1"], found["value"]) == ("REPRODUCED", 0.632, K / N)
    assert sentence(found).startswith("REPRODUCED: published 63.2 % on kinetics400 val (torchvision")
    assert sentence(found).endswith("same protocol, whole split")


def test_a_figure_outside_the_interval_is_not_reproduced():
    found = verdict(figures=metrics(12000), gaps=ledger(12000))
    assert found["verdict"] == "NOT REPRODUCED"
    assert "lies outside [59.6, 61.0]" in sentence(found)


def test_a_figure_inside_the_interval_but_half_a_point_off_is_consistent():
    near, far = metrics(K + 100), metrics(K + 112)  # 0.50 points of 19,906 videos are 99.5, and rounding is 10
    assert verdict(figures=near, gaps=ledger(K + 100))["verdict"] == "REPRODUCED"
    found = verdict(figures=far, gaps=ledger(K + 112))
    assert (found["verdict"], found["limits"]) == (
        "CONSISTENT",
        ["the figures are 0.6 points apart, more than the 0.5 that would reproduce it"],
    )


def test_the_ends_of_what_unread_videos_could_do_are_no_surer_than_such_shares_are():
    # all of 100 right, 100 more are absent: were they wrong, 50 % of 200 would be known to 7 points, not to 4
    gaps = {"bounds": {"low": 0.5, "high": 1.0, "n": 200, "n_read": 100}}
    found = protocol.interval(metrics(100, 100), gaps)
    assert found["low"] == pytest.approx(proportion(100, 200)["low"])
    gaps = {"bounds": {"low": 0.0, "high": 0.5, "n": 200, "n_read": 100}}
    assert protocol.interval(metrics(0, 200), gaps)["high"] == pytest.approx(proportion(100, 200)["high"])
    known = {"value": 1.0, "low": 0.92, "high": 1.0, "design_effect": 4.0}
    gaps = {"bounds": {"low": 0.5, "high": 1.0, "n": 200, "n_read": 100}}
    found = protocol.interval({**metrics(100, 100), "clustered": {"top1": known}}, gaps)
    assert found["low"] == pytest.approx(proportion(25, 50)["low"])  # groups: 200 videos tell as much as 50


def test_a_published_figure_stands_for_all_that_round_to_it():
    for k, word in ((12720, "CONSISTENT"), (12730, "NOT REPRODUCED")):  # the printed digit reaches up to 63.25 %
        assert 0.632 < proportion(k, N)["low"] < 0.633
        assert verdict(figures=metrics(k), gaps=ledger(k))["verdict"] == word


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset__limit": 500}, "a subset of 500 videos"),
        ({"dataset__shard": [1, 4]}, "one shard of the list"),
        ({"merged": {"parts": [{"shard": None}]}}, "a union of parts, which may not be the whole split"),
    ],
)
def test_a_part_of_the_split_can_be_no_more_than_consistent(change, words):
    found = verdict(manifest(**change))
    assert (found["verdict"], found["limits"]) == ("CONSISTENT", [words])
    assert words in sentence(found)


def test_shards_that_were_merged_are_the_whole_split():
    merged = {"parts": [{"shard": [1, 2]}, {"shard": [2, 2]}]}
    assert verdict(manifest(merged=merged))["verdict"] == "REPRODUCED"


def test_what_a_source_does_not_state_keeps_a_figure_from_being_reproduced():
    card = CARDS["slow_r50.kinetics400_ptv"]
    k = round(N * card.reported.top1 / 100)
    found = verdict(manifest(card), metrics(k), ledger(k))
    assert (found["verdict"], found["not_stated"]) == ("CONSISTENT", ["averaging"])
    assert "the source does not state averaging" in sentence(found)


DIFFERENT = {
    "dataset": {"dataset__name": "kinetics600"},
    "split": {"dataset__split": "test"},
    "classes": {"dataset__classes": ["abseiling"]},
    "weights": {"model__published": False},
    "sampling": {"spec__sampling": "uniform"},
    "frames of a view": {"spec__num_frames": 32},
    "frame rate": {"spec__frame_rate": 7.5},
    "clips": {"spec__num_clips": 10},
    "crops": {"spec__num_crops": 3},
    "resize": {"spec__resize": 128},
    "crop": {"spec__crop": [112, 128]},
    "mean": {"spec__mean": [0.5, 0.4, 0.3]},
    "std": {"spec__std": [0.5, 0.5, 0.5]},
    "averaging": {"spec__average": "logits"},
    "modality": {"spec__modality": "flow"},
    "temporal": {"spec__temporal": "shuffle"},
    "corrupt": {"spec__corrupt": "noise:3"},
}


@pytest.mark.parametrize("field", DIFFERENT)
def test_each_part_of_the_protocol_that_differs_is_named_alone(field):
    found = verdict(manifest(**DIFFERENT[field]))
    assert [line["field"] for line in found["differs"]] == [field]
    assert found["verdict"] == "NOT COMPARABLE"
    assert found["limits"] == []
    line = found["differs"][0]
    assert f"{field} {line['published']}, here {line['run']}" in sentence(found)
    assert line["published"] != line["run"]


def test_random_weights_and_lost_classes_are_not_comparable():
    assert verdict(manifest(model__random=True))["differs"][0]["run"] == "random"
    mapped = verdict(manifest(label_map={"n_unmapped": 3}))
    assert mapped["differs"][0]["run"] == "mapped, 3 without a counterpart"
    whole = verdict(manifest(label_map={"n_unmapped": 0}))
    assert (whole["verdict"], whole["not_stated"]) == ("CONSISTENT", ["classes"])


def test_one_fold_is_not_the_mean_of_all():
    row = find_result("i3d-inception-v1-i3d-rgb-ucf101-fold-mean")
    facts = {"name": "ucf101", "split": "test", "fold": 2}
    differs, _ = protocol.compare_protocols(row, {"dataset": facts, "spec": {}, "model": {}})
    assert {"field": "fold", "published": "mean of all folds", "run": "2"} in differs


def test_motion_found_by_another_method_is_another_input():
    card = CARDS["i3d.flow_imagenet_k400"]
    test = {"dataset__split": "test", "dataset__n_listed": 38685}
    for method, names in (("dis of opencv 4.14", ["optical flow"]), ("tvl1 of opencv 4.14", [])):
        found = verdict(manifest(card, decode__flow=method, **test), metrics(n=38685), ledger(n=38685))
        assert [line["field"] for line in found["differs"]] == names


def test_a_run_that_is_not_finished_or_has_no_labels_is_not_comparable():
    found = verdict(figures=metrics(n=N - 1, k=K))
    assert found["differs"][0]["run"] == f"{N - 1} of {N} rows so far"
    none = metrics() | {"listed": {"top1": None}}
    found = verdict(figures=none)
    assert (found["verdict"], found["value"]) == ("NOT COMPARABLE", None)
    assert "no listed video has a label" in sentence(found)


def test_another_copy_of_a_split_is_named_and_another_size_differs():
    row = dataclasses.replace(results_of(CARD.name)[0], num_videos=19796)
    for n, word in ((19796, []), (19881, ["another copy of the split: 19,881 videos, published for 19,796"])):
        found = protocol.videos(row, manifest(dataset__n_listed=n), metrics(n=n), ledger(n=n))
        assert found == ([], [], word)
    differs, *_ = protocol.videos(row, manifest(dataset__n_listed=5000), metrics(k=3000, n=5000), ledger(3000, 5000))
    assert differs == [{"field": "videos", "published": "19,796 videos", "run": "5,000 videos"}]


@pytest.mark.parametrize(
    ("n", "word", "words"),
    [
        (19906, "REPRODUCED", "same protocol, whole split"),
        (19881, "REPRODUCED", "same protocol, whole split"),  # all that the published copy holds
        (19404, "CONSISTENT", "another copy of the split: 19,404 videos, the whole split has 19,906"),
        (1000, "NOT COMPARABLE", "videos the whole split (19,906 videos), here 1,000 videos"),
    ],
)
def test_a_list_is_held_against_the_known_size_where_the_source_states_none(n, word, words):
    k = round(0.632 * n)
    assert results_of(CARD.name)[0].num_videos is None
    found = verdict(manifest(dataset__n_listed=n), metrics(k, n), ledger(k, n))
    assert found["verdict"] == word
    assert words in sentence(found)


def test_a_split_whose_size_nobody_states_is_never_called_whole():
    row = dataclasses.replace(results_of(CARD.name)[0], split="holdout")
    found = protocol.videos(row, manifest(dataset__split="holdout"), metrics(), ledger())
    assert found == ([], ["number of videos"], [])


def test_a_list_that_is_clearly_shorter_than_its_split_gets_a_box():
    def boxes(**dataset):
        facts = {"name": "kinetics400", "split": "val", **dataset}
        found = report.cautions({"dataset": facts}, summarise([], ["a"]) | {"n_listed": facts.get("n_listed")})
        return [item["text"] for item in found if item["kind"] == "warn"]

    assert boxes(n_listed=1000, n_in_split=1000) == ["1,000 videos are listed, and kinetics400 val has 19,906"]
    assert boxes(n_listed=19796, n_in_split=19796) == []  # a copy with gaps
    assert boxes(n_listed=10, n_in_list=19881, n_in_split=19881) == []  # a shard says so itself
    assert boxes(n_listed=10, n_in_split=10, name="csv") == []
    assert boxes(n_listed=500, n_in_split=500, classes=["abseiling"]) == ["only videos of 1 class were listed"]


# ---------------------------------------------------------------- what was not read


def test_unread_videos_stretch_the_interval_from_all_wrong_to_all_right():
    plain, gaps = interval(metrics(), ledger()), interval(metrics(), ledger(unread=2000))
    assert (plain["low"], plain["high"]) == tuple(proportion(K, N)[end] for end in ("low", "high"))
    assert gaps["low"] == plain["low"]
    assert gaps["high"] == pytest.approx(plain["high"] + 2000 / N)
    assert (gaps["bounds"], gaps["n_unread"]) == ((K / N, (K + 2000) / N), 2000)


def test_a_figure_that_unread_videos_could_explain_is_consistent_and_they_are_named():
    k = 11640  # 58.5 % of all, 65.0 % of the 17,906 that were read
    found = verdict(figures=metrics(k), gaps=ledger(k, unread=2000))
    assert found["verdict"] == "CONSISTENT"
    assert found["limits"] == ["2000 of 19906 videos were not read"]
    assert "2000 unread videos taken as wrong, as right" in sentence(found)
    assert verdict(figures=metrics(k), gaps=ledger(k))["verdict"] == "NOT REPRODUCED"


def test_a_handful_of_unread_videos_does_not_keep_a_figure_from_being_reproduced():
    assert verdict(gaps=ledger(unread=20))["verdict"] == "REPRODUCED"


def test_videos_that_were_left_out_of_the_list_count_in_the_bounds():
    """--present-only lists 10,000 of 19,906: the interval says how little that is."""
    gaps = {"n_annotated": N, "bounds": {"low": 0.316, "high": 0.816, "n": N, "n_read": 10000}}
    found = verdict(manifest(dataset__n_listed=10000), metrics(6320, 10000), gaps)
    assert found["verdict"] == "CONSISTENT"
    assert found["low"] < 0.31
    assert found["high"] > 0.82


def test_a_sample_of_a_partial_copy_bounds_nothing():
    found = verdict(gaps={"n_annotated": N, "bounds": None})
    assert found["verdict"] == "NOT COMPARABLE"
    assert "a sample of a partial copy" in sentence(found)


def test_the_interval_that_knows_groups_is_the_one_that_counts():
    right = [place < 126 for place in range(200)]  # 63 %, ten groups of twenty alike
    groups = [f"g{place // 20}" for place in range(200)]
    clustered = clustered_proportion(np.array(right), groups)
    figures = metrics(126, 200) | {"clustered": {"top1": clustered}}
    found = interval(figures, ledger(126, 200))
    assert (found["low"], found["high"]) == (clustered["low"], clustered["high"])
    assert found["high"] - found["low"] > 2 * (proportion(126, 200)["high"] - proportion(126, 200)["low"])


def test_nan_answers_are_named_and_keep_a_figure_from_being_reproduced():
    found = verdict(figures=metrics(statuses={"ok": N - 3, "nonfinite": 3}))
    assert (found["verdict"], found["limits"]) == (
        "CONSISTENT",
        ["the network gave NaN or infinity for 3 videos, counted as wrong"],
    )


def test_several_published_results_are_judged_the_closest_first():
    card = CARDS["tsn_resnet50.kinetics400"]
    found = verdicts(manifest(card), metrics(), ledger())
    assert [len(one["differs"]) for one in found] == [0, 1, 4]
    assert [one["top1"] for one in found] == [0.688, 0.699, 0.706]


def test_a_target_takes_the_place_of_the_cards_own_and_says_what_it_rests_on():
    facts = manifest(model__published=False, protocol__target="r3d-18-kinetics400-v1-kinetics400")
    found = verdict(copy.deepcopy(facts))
    assert (found["verdict"], found["id"]) == ("CONSISTENT", "r3d-18-kinetics400-v1-kinetics400")
    assert found["limits"] == ["the weights are taken for those of the result, because --target says so"]
    facts["protocol"]["target"] = "no-such-result"
    with pytest.raises(ConfigError, match="no published result"):
        verdicts(facts, metrics(), ledger())


def test_nothing_published_is_no_verdict():
    assert verdicts(manifest(model__name="mine.trained"), metrics(), ledger()) == []


def test_a_manifest_that_says_nonsense_differs_and_breaks_nothing(tmp_path):
    bad = {"resize": ["<b>", 3], "crop": "x", "mean": [None, [], {}], "num_clips": "many", "sampling": ["a"], "std": 5}
    found = verdict(manifest(spec=bad, model__name=CARD.name))
    assert found["verdict"] == "NOT COMPARABLE"
    assert {"resize", "crop", "mean", "clips", "sampling"} <= {line["field"] for line in found["differs"]}
    assert targets_of("../weights/mini2d.vidmini_v1") == targets_of("x" * 5000) == ()


def targets_of(name):
    return protocol.targets({"model": {"name": name}})


# ---------------------------------------------------------------- runs


def test_a_run_a_subset_and_other_views_say_what_they_are_against_the_recorded_figure(tmp_path):
    def run(**changed):
        values = {"model": "mini2d", "dataset": "vidmini", "data_dir": str(ROOT / "data" / "vidmini"), "device": "cpu"}
        values |= {"num_workers": 1, "cache_dir": str(tmp_path / "clips"), "results_dir": str(tmp_path / "results")}
        outcome = evaluate(EvaluateConfig(**values | {"precision": "fp32"} | changed))
        (line,) = [line for line in outcome.summary.splitlines() if line.startswith("verdict")]
        written = json.loads((outcome.run_folder / "metrics.json").read_text())["published"]
        assert line == f"verdict    {sentence(written[0])}"
        assert written[0]["verdict"] in (outcome.run_folder / "report.html").read_text()
        return outcome, written[0]

    _, found = run()
    assert (found["verdict"], found["n"]) == ("REPRODUCED", 144)
    assert run(report_only=True)[1] == found
    part, found = run(limit=12)
    assert (found["verdict"], found["limits"][0]) == ("CONSISTENT", "a subset of 12 videos")
    _, found = run(limit=12, num_clips=3, run_name="three")
    assert found["differs"] == [{"field": "clips", "published": "1", "run": "3"}]
    rows, words = part.run_folder / "rows.jsonl", part.summary.splitlines()[:7]
    lines = rows.read_bytes().splitlines(keepends=True)
    for damaged in (b"".join(lines)[:-30], b"".join([*lines[:9], b'{"index": 9}\n', *lines[10:]])):
        rows.write_bytes(damaged)  # a torn last row, a bad one in the middle: nothing is said of a part of the rows
        with pytest.raises(RunError, match=r"of 12 rows; run the same command without --report-only"):
            run(limit=12, report_only=True)
        page = report.write_report(part.run_folder).read_text()
        assert "NOT COMPARABLE" in page
        assert "of 12 rows so far" in page
        assert run(limit=12)[0].summary.splitlines()[:7] == words  # what is missing was done again


def test_a_network_that_gives_nan_is_named_in_the_verdict_and_left_out_of_no_count(tmp_path, monkeypatch):
    submit = models.Model.submit

    def first_is_nan(self, pixels, batch_size):
        found = submit(self, pixels, batch_size)()
        found[0] = np.full_like(found[0], np.nan)
        return lambda: found

    monkeypatch.setattr(models.Model, "submit", first_is_nan)
    values = {"model": "mini2d", "dataset": "vidmini", "data_dir": str(ROOT / "data" / "vidmini"), "device": "cpu"}
    values |= {"num_workers": 0, "no_cache": True, "results_dir": str(tmp_path), "limit": 8, "batch_size": 4}
    outcome = evaluate(EvaluateConfig(**values, precision="fp32"))
    found = outcome.metrics["published"][0]
    assert (found["verdict"], found["n"], found["n_unread"]) == ("CONSISTENT", 8, 0)
    assert "the network gave NaN or infinity for 2 videos, counted as wrong" in outcome.summary


# ---------------------------------------------------------------- --protocol


def config(**changed):
    return EvaluateConfig(**{"model": CARD.name, "dataset": "kinetics400", "dry_run": True, **changed})


def spec_of(**changed):
    return choose(config(**changed)).spec


def test_the_card_is_the_default_and_fast_is_one_view():
    assert spec_of() == spec_of(protocol="card") == CARD.input
    assert spec_of(protocol="fast") == dataclasses.replace(CARD.input, num_clips=1, num_crops=1)
    assert spec_of(protocol="fast", num_clips=1, average="max").average == "max"
    stream = CARDS["movinet_a0_stream.k600"]
    assert spec_of(model=stream.name, dataset="kinetics600", protocol="fast") == stream.input


def test_a_file_changes_what_it_names_and_a_flag_wins_over_it(tmp_path):
    file = tmp_path / "views.json"
    file.write_text('{"num_clips": 10, "num_crops": 3, "crop": 96, "resize": [130, 140], "frame_rate": null}')
    changed = {"num_clips": 10, "num_crops": 3, "crop": (96, 96), "resize": (130, 140), "frame_rate": None}
    assert spec_of(protocol=str(file)) == dataclasses.replace(CARD.input, **changed)
    assert spec_of(protocol=str(file), num_clips=2).num_clips == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"num_clip": 2}', "has a field 'num_clip'. Did you mean 'num_clips'"),
        ('{"num_clips": "2"}', 'num_clips must be a whole number from 1 to 1000, not "2"'),
        ('{"num_crops": true}', "num_crops must be 1, 3 or 10, not true"),
        ('{"frame_rate": 0}', "frame_rate must be a number above 0"),
        ('{"frame_rate": NaN}', "frame_rate must be a number above 0"),
        ('{"resize": [1, 2, 3]}', "resize must be pixels of the short side"),
        ('{"mean": [0.5, "a", 0.5]}', "mean must be numbers, one a channel"),
        ('{"std": [0.5, 0, 0.5]}', "std must be numbers above 0"),
        ('{"sampling": "stream"}', "sampling must be clips or"),
        ('{"average": ["max"]}', "average must be logits or"),
        ("[1]", "holds no JSON object"),
        ('{"num_clips": 2', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"mean": [0.5, 0.5], "std": [1, 1]}', "mean and std must have 3 numbers each"),
        ('{"crop": 200}', "a crop of (200, 200) does not fit into frames resized to (128, 171)"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path, text, message):
    file = tmp_path / "views.json"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config(protocol=str(file)).checked()
    assert message in str(caught.value)
    assert str(caught.value).startswith("--protocol ")
    assert "\n" not in str(caught.value)


def test_what_contradicts_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--protocol fast is one view, and --num-clips 5 asks for more"):
        config(protocol="fast", num_clips=5).checked()
    with pytest.raises(ConfigError, match="it is card, fast or a JSON file"):
        config(protocol=str(tmp_path / "quick")).checked()
    (tmp_path / "views.json").write_text('{"num_clips": 2}')
    stream = {"model": "movinet_a0_stream.k600", "dataset": "kinetics600"}
    with pytest.raises(ConfigError, match="takes a whole video frame by frame: leave out num_clips"):
        config(**stream, protocol=str(tmp_path / "views.json")).checked()
    (tmp_path / "views.json").write_text('{"num_frames": 8}')
    with pytest.raises(ConfigError, match=r"num_frames must be 16 for mvit_v1_b\.kinetics400_v1, not 8"):
        config(model="mvit_v1_b", protocol=str(tmp_path / "views.json")).checked()
    with pytest.raises(ConfigError, match="--target cannot be used: There is no published result"):
        config(target="nothing-like-it").checked()


def test_how_the_input_was_asked_for_is_written_down_and_is_no_other_run(tmp_path):
    """Two views by a file and by a flag are the same run; the target is a question asked of it."""
    file = tmp_path / "views.json"
    file.write_text('{"num_clips": 2}')
    values = {"model": "mini2d", "dataset": "vidmini", "data_dir": str(ROOT / "data" / "vidmini"), "device": "cpu"}
    values |= {"num_workers": 0, "no_cache": True, "results_dir": str(tmp_path), "limit": 8, "precision": "fp32"}
    first = evaluate(EvaluateConfig(**values, protocol=str(file), run_name="run"))
    manifest_file = first.run_folder / "manifest.json"
    kept = json.loads(manifest_file.read_text())["protocol"]
    assert kept["asked"] == {"file": "views.json", "sha256": sha256_of_file(file)}
    assert (kept["changed"], kept["target"]) == ({"num_clips": [1, 2]}, None)
    assert "protocol   as views.json says, 2 clips x 1 crop = 2 views" in first.summary
    asked = {"target": "r3d-18-kinetics400-v1-kinetics400", "report_only": True}
    second = evaluate(EvaluateConfig(**values, num_clips=2, run_name="run", **asked))
    assert "NOT COMPARABLE with published 63.2 % on kinetics400 val" in second.summary
    assert json.loads(manifest_file.read_text())["protocol"]["target"] == asked["target"]
    third = evaluate(EvaluateConfig(**values, num_clips=2, run_name="run", target="card"))
    assert third.metrics == first.metrics
    with pytest.raises(RunError, match=r"spec\.num_clips was 2, now it is 1"):
        evaluate(EvaluateConfig(**values, protocol="fast", run_name="run", report_only=True))


def test_a_dry_run_says_what_fast_is():
    assert evaluate(config(model="mini2d", dataset="vidmini", protocol="fast", no_cache=True)).summary.splitlines()[
        1
    ] == ("protocol   fast: the card's own single view")
    facts = {"protocol": {"asked": "fast", "changed": {"num_clips": [5, 1]}}}
    assert asked_words(facts) == "fast: 1 of the card's 5 views"


# ---------------------------------------------------------------- what is written down


def test_the_page_of_the_run_format_names_every_key_and_which_may_change(tmp_path):
    values = {"model": "mini2d", "dataset": "vidmini", "data_dir": str(ROOT / "data" / "vidmini"), "limit": 1}
    values |= {"num_workers": 0, "no_cache": True, "results_dir": str(tmp_path), "device": "cpu", "precision": "auto"}
    folder = evaluate(EvaluateConfig(**values)).run_folder
    written, page = json.loads((folder / "manifest.json").read_text()), (ROOT / "docs" / "run_format.md").read_text()
    assert f"**schema {runs.SCHEMA}**" in page
    assert written["schema"] == runs.SCHEMA
    lines = dict(re.findall(r"^\| (`[\w`, †]+) \| (.*) \|$", page, flags=re.M))
    for section, value in written.items():
        (head,) = [head for head in lines if f"`{section}`" in head]
        assert (f"`{section}` †" in head) == (section in runs.FREE_SECTIONS), section
        if section in runs.FREE_SECTIONS or not isinstance(value, dict) or section in ("spec", "decode"):
            continue
        for key in value:
            assert f"`{key}`" in lines[head], f"{section}.{key} is not on the page"
            assert (f"`{key}` †" in lines[head]) == ((section, key) in runs.FREE_KEYS), f"{section}.{key}"
    metrics_part = page.split("## metrics.json")[1].split("##")[0]
    for key in set(json.loads((folder / "metrics.json").read_text())) - set(summarise([], ["a"])):
        assert f"`{key}`" in metrics_part, key
