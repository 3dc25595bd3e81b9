"""Figures of a run against independent implementations and hand-counted cases."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vidbench.metrics import (
    confusion_matrix,
    macro_f1,
    per_class,
    percent,
    proportion,
    summarise,
    summary_line,
    true_ranks,
    wilson,
)
from vidbench.records import STATUSES, Row

LABELS = [f"class {index:02d}" for index in range(7)]


def row(index, true, said=None, *, status="ok", rank=None, group="", labels=LABELS, label="from index"):
    """A row whose true class is ``true`` (-1 for none) and whose best class is ``said`` (``None`` for skipped)."""
    if label == "from index":
        label = labels[true] if true >= 0 else None
    top = () if said is None else ((labels[said], said, 0.75),)
    if said is None and status == "ok":
        status = "missing"
    if rank is None:
        rank = -1 if said is None or true < 0 else int(said != true)
    return Row(index, f"v{index}", f"v{index}.mp4", label, true, "test", group, status, top=top, rank=rank)


# --- intervals


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    rng = np.random.default_rng(0)
    cases = [(int(rng.integers(0, n + 1)), int(n)) for n in rng.integers(1, 20_000, 60)]
    for k, n in [*cases, (0, 1), (1, 1), (0, 19_881), (19_881, 19_881), (1, 7)]:
        for confidence in (0.5, 0.95, 0.999):
            theirs = binomtest(k, n).proportion_ci(confidence, method="wilson")
            np.testing.assert_allclose(wilson(k, n, confidence), (theirs.low, theirs.high), rtol=1e-12, atol=1e-12)


def test_wilson_gives_the_published_examples():
    # Newcombe 1998, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I, method 3
    for k, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        np.testing.assert_allclose(wilson(k, n), (low, high), atol=5e-5)


def test_wilson_stays_in_the_unit_interval_and_holds_the_estimate():
    for n in range(1, 60):
        for k in range(n + 1):
            low, high = wilson(k, n)
            assert 0 <= low <= k / n <= high <= 1
            assert (low == 0) == (k == 0)
            assert (high == 1) == (k == n)


def test_wilson_of_nothing_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)
    assert proportion(0, 0) is None


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, -1)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ValueError, match="successes must be between"):
        wilson(k, n)


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 95, float("nan")])
def test_wilson_refuses_a_confidence_that_is_no_share(confidence):
    with pytest.raises(ValueError, match="confidence must be between"):
        wilson(1, 3, confidence)


def test_wilson_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    for truth, n in [(0.5, 30), (0.9, 144), (0.97, 144)]:
        ends = np.array([wilson(k, n) for k in range(n + 1)])
        drawn = rng.binomial(n, truth, 20_000)
        covered = (ends[drawn, 0] <= truth) & (truth <= ends[drawn, 1])
        assert 0.92 < covered.mean() < 0.98


# --- top-k


@pytest.mark.parametrize("k", [1, 2, 5, 11])
def test_top_k_agrees_with_scikit_learn_and_torchmetrics_where_nothing_ties(k):
    import torch
    from sklearn.metrics import top_k_accuracy_score
    from torchmetrics.functional import accuracy

    rng = np.random.default_rng(k)
    scores = rng.permuted(np.tile(np.arange(11) / 11, (503, 1)), axis=1)
    labels = rng.integers(0, 11, 503)
    ours = (true_ranks(scores, labels) < k).mean()
    if k < 11:
        assert ours == pytest.approx(top_k_accuracy_score(labels, scores, k=k, labels=range(11)))
    theirs = accuracy(
        torch.tensor(scores), torch.tensor(labels), task="multiclass", num_classes=11, top_k=k, average="micro"
    )
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_a_network_that_gives_every_class_the_same_score_is_never_right():
    from sklearn.metrics import top_k_accuracy_score

    scores, labels = np.full((300, 10), 0.1), np.arange(300) % 10
    assert (true_ranks(scores, labels) == 9).all()  # behind all others: right among the best ten only
    # others give such a network points by the order of the classes
    assert top_k_accuracy_score(labels, scores, k=3, labels=range(10)) == pytest.approx(0.3)


def test_one_tie_costs_one_place():
    scores = np.array([[0.5, 0.5, 0.0, 0.2], [0.1, 0.5, 0.5, 0.5], [0.9, 0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(true_ranks(scores, np.array([0, 3, 0])), [1, 2, 0])


def test_nan_is_never_right_and_never_helps():
    nan = np.nan
    scores = np.array([[nan, 0.2, 0.1], [0.9, nan, 0.1], [nan, nan, nan], [0.9, np.inf, 0.1]])
    np.testing.assert_array_equal(true_ranks(scores, np.array([0, 0, 2, 1])), [3, 1, 3, 0])


def test_ranks_are_right_for_random_ties_counted_one_by_one():
    rng = np.random.default_rng(8)
    scores, labels = rng.integers(0, 4, (200, 9)).astype(np.float32), rng.integers(-1, 9, 200)
    for line, label, rank in zip(scores, labels, true_ranks(scores, labels)):
        others = [value for index, value in enumerate(line) if index != label]
        assert rank == (-1 if label < 0 else sum(value >= line[label] for value in others))


def test_top_k_refuses_what_does_not_fit():
    scores = np.zeros((4, 3))
    with pytest.raises(ValueError, match="must be \\(N, K\\)"):
        true_ranks(scores, np.zeros(3, int))
    with pytest.raises(ValueError, match="must be in \\[0, 3\\) or -1"):
        true_ranks(scores, np.array([0, 1, 3, 0]))
    assert true_ranks(np.zeros((0, 3)), np.zeros(0, int)).shape == (0,)


# --- confusion and classes


def test_confusion_agrees_with_scikit_learn():
    import sklearn.metrics

    rng = np.random.default_rng(1)
    true, said = rng.integers(0, 8, 400), rng.integers(0, 8, 400)
    ours = confusion_matrix(true, said, 9)
    np.testing.assert_array_equal(ours[:, :-1], sklearn.metrics.confusion_matrix(true, said, labels=range(9)))
    assert ours.shape == (9, 10)
    assert ours[:, -1].sum() == 0


def test_confusion_rows_sum_to_the_listed_videos():
    rng = np.random.default_rng(2)
    true, said = rng.integers(0, 5, 100), rng.integers(-1, 5, 100)
    ours = confusion_matrix(true, said, 5)
    np.testing.assert_array_equal(ours.sum(axis=1), np.bincount(true, minlength=5))
    assert ours[:, -1].sum() == (said < 0).sum()
    with pytest.raises(ValueError, match="true classes"):
        confusion_matrix(said, true, 5)
    with pytest.raises(ValueError, match="predicted classes"):
        confusion_matrix(true, said + 1, 5)


def test_the_class_table_agrees_with_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    rng = np.random.default_rng(5)
    true, said = rng.integers(0, 6, 300), rng.integers(0, 7, 300)
    table = per_class([row(i, int(a), int(b)) for i, (a, b) in enumerate(zip(true, said))], LABELS)
    precision, recall, _, support = precision_recall_fscore_support(true, said, labels=range(6), zero_division=0)
    assert [line["index"] for line in table] == list(range(6))
    np.testing.assert_allclose([line["listed"]["value"] for line in table], recall)
    np.testing.assert_allclose([line["precision"]["value"] for line in table], precision)
    assert [line["n"] for line in table] == list(support)


def test_the_class_table_counts_skipped_videos_and_names_the_worst_confusion():
    rows = [row(0, 2, 2), row(1, 2, 5), row(2, 2, 5), row(3, 2, 0), row(4, 2), row(5, 5, 5), row(6, 4)]
    two, four, five = per_class(rows, LABELS)
    assert (two["n"], two["n_ok"], two["correct"]) == (5, 4, 1)
    assert two["listed"]["value"] == 1 / 5
    assert two["readable"]["value"] == 1 / 4
    assert two["confused_with"] == {"label": "class 05", "index": 5, "count": 2}
    assert four["readable"] is None
    assert four["precision"] is None
    assert four["listed"]["value"] == 0
    assert five["precision"]["value"] == 1 / 3
    assert five["confused_with"] is None


# --- the whole


def test_listed_is_predicted_plus_skipped_whatever_the_statuses():
    rng = np.random.default_rng(7)
    names = list(STATUSES)
    rows = []
    for index in range(500):
        status = names[rng.integers(len(names))]
        said = int(rng.integers(7)) if status in ("ok", "partial") else None
        rows.append(row(index, int(rng.integers(7)), said, status=status))
    metrics = summarise(rows, LABELS)
    assert metrics["n_listed"] == 500 == metrics["n_ok"] + metrics["n_skipped"]
    assert sum(metrics["statuses"].values()) == 500
    assert set(metrics["statuses"]) == set(names)
    assert metrics["n_partial"] == metrics["statuses"]["partial"]
    assert sum(line["n"] for line in metrics["per_class"]) == 500
    assert sum(line["correct"] for line in metrics["per_class"]) == metrics["top1"]["listed"]["k"]


def test_a_skipped_video_counts_as_wrong_in_the_listed_figure_only():
    rows = [row(i, i % 7, i % 7) for i in range(7)] + [
        row(7, 0),
        row(8, 1, status="timeout"),
        row(9, 2, 2, status="partial"),
    ]
    metrics = summarise(rows, LABELS)
    assert metrics["readable"]["top1"]["value"] == 1
    assert metrics["readable"]["top1"]["n"] == 8
    assert metrics["listed"]["top1"]["value"] == 0.8
    assert metrics["listed"]["top1"]["n"] == 10
    assert metrics["top1"] == {"readable": metrics["readable"]["top1"], "listed": metrics["listed"]["top1"]}
    assert metrics["mean_class_accuracy"]["readable"] == 1
    assert metrics["mean_class_accuracy"]["listed"] == pytest.approx((1 / 2 + 1 / 2 + 1 + 4) / 7)


def test_an_entry_without_a_label_that_was_skipped_still_counts_as_wrong():
    rows = [row(0, 1, 1), row(1, -1, status="bad_row"), row(2, -1, status="unknown_label", label="class 99")]
    metrics = summarise(rows, LABELS)
    assert metrics["listed"]["top1"]["n"] == 3
    assert metrics["n_labelled"] == 2


def test_a_video_without_a_label_is_in_no_figure_whether_it_could_be_read_or_not():
    metrics = summarise([row(0, 1, 1), row(1, 2, 2), row(2, -1, 3), row(3, -1)], LABELS)
    assert (metrics["listed"]["top1"]["k"], metrics["listed"]["top1"]["n"]) == (2, 2)
    assert metrics["n_skipped"] == 1


def test_videos_without_labels_give_no_accuracy_rather_than_zero():
    metrics = summarise([row(i, -1, 3) for i in range(4)] + [row(4, -1)], LABELS)
    assert metrics["top1"] == metrics["top5"] == {"readable": None, "listed": None}
    assert metrics["mean_class_accuracy"]["listed"] is None
    assert metrics["per_class"] == []
    assert metrics["n_labelled"] == 0
    assert "no listed video has a label" in metrics["notes"][0]
    assert summary_line(metrics) == "top-1 not known (no labels), n=5 (1 skipped)"


def test_a_predicted_video_without_a_label_is_left_out_of_both_figures():
    metrics = summarise([row(0, 1, 1), row(1, -1, 3), row(2, 2)], LABELS)
    assert metrics["readable"]["top1"]["n"] == 1
    assert metrics["listed"]["top1"]["n"] == 2


def test_nothing_listed_gives_figures_without_a_crash():
    metrics = summarise([], [])
    assert metrics["n_listed"] == 0
    assert metrics["top1"]["listed"] is None
    assert summary_line(metrics) == "top-1 not known (no videos), n=0 (0 skipped)"


def test_top_5_of_five_classes_is_left_out_with_a_reason():
    rows = [row(i, i % 5, 0) for i in range(10)]
    five, six = summarise(rows, LABELS[:5]), summarise(rows, LABELS[:6])
    assert five["top5"]["listed"] is None
    assert "among 5 classes" in five["notes"][0]
    assert six["top5"]["listed"]["value"] == 1
    assert six["notes"] == []


def test_top_n_adds_its_own_figure():
    rows = [row(i, i % 7, 0, rank=i % 7) for i in range(14)]
    metrics = summarise(rows, LABELS, 3)
    assert [metrics[f"top{k}"]["listed"]["k"] for k in (1, 3, 5)] == [2, 6, 10]


def test_a_model_index_outside_the_label_space_is_looked_up_by_name():
    rows = [Row(0, "a", "a.mp4", LABELS[3], 3, "test", "", "ok", top=((LABELS[3], 412, 0.9),), rank=0)]
    rows += [Row(1, "b", "b.mp4", LABELS[3], 3, "test", "", "ok", top=(("no class here", 3, 0.9),), rank=2)]
    (line,) = per_class(rows, LABELS)
    assert line["precision"]["k"] == 1
    assert line["precision"]["n"] == 1
    assert line["correct"] == 1


def test_groups_are_counted():
    rows = [row(i, 1, 1, group=f"g{i // 3}") for i in range(10)]
    metrics = summarise(rows, LABELS)
    assert (metrics["n_groups"], metrics["largest_group"]) == (4, 3)
    assert summarise([row(0, 1, 1)], LABELS)["n_groups"] is None


def test_the_figures_are_json_without_nan_and_do_not_depend_on_a_row_s_travels():
    rng = np.random.default_rng(9)
    rows = [row(i, int(rng.integers(7)), int(rng.integers(7)) if i % 9 else None) for i in range(90)]
    text = json.dumps(summarise(rows, LABELS, unmapped=["class 06"]), allow_nan=False)
    again = [Row.from_json(json.loads(json.dumps(line.as_json()))) for line in rows]
    assert json.dumps(summarise(again, LABELS, unmapped=["class 06"]), allow_nan=False) == text


@pytest.mark.parametrize("wrong", [{"rank": -2}, {"label_index": -2}])
def test_a_row_with_an_index_below_unknown_is_none(wrong):
    with pytest.raises(ValueError, match="not a row"):
        Row.from_json({**row(0, 1, 1).as_json(), **wrong})


def test_the_summary_reads_as_promised():
    rows = [row(i, 0, int(i >= 139)) for i in range(144)]
    assert summary_line(summarise(rows, LABELS)) == "top-1 96.5 % [92.1, 98.5], n=144 (0 skipped)"
    rows[-1] = row(143, 0)
    assert summary_line(summarise(rows, LABELS)) == "top-1 96.5 % [92.1, 98.5], n=144 (1 skipped)"
    assert percent(None) == "not known"


# --- F1 and groups


def test_macro_f1_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(9)
    true, said = rng.integers(0, 5, 300), rng.integers(-1, 7, 300)  # classes 5 and 6 have no video; -1 was skipped
    ours = macro_f1(confusion_matrix(true, said, 7))
    assert ours == pytest.approx(f1_score(true, said, labels=range(5), average="macro"))
    assert macro_f1(np.zeros((3, 4), np.int64)) is None


def test_a_summary_has_clustered_intervals_where_videos_share_a_group():
    rows = [row(n, n % 3, n % 3 if n // 8 % 4 else 4, group=f"g{n // 8}") for n in range(96)]
    found = summarise(rows, LABELS)["clustered"]["top1"]
    assert (found["k"], found["n"], found["n_groups"]) == (72, 96, 12)
    plain = summarise(rows, LABELS)["listed"]["top1"]
    assert found["low"] < plain["low"] - 0.05
    assert summarise([row(n, 1, 1, group=f"g{n}") for n in range(9)], LABELS)["clustered"] is None
