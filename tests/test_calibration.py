"""Probabilities are judged as independent implementations judge them, and a known temperature is found again."""

from __future__ import annotations

import numpy as np
import pytest

from vidbench import calibration
from vidbench.metrics import softmax


def drawn(seed=0, n=4000, k=7, temperature=1.0):
    """Logits whose softmax is the truth at temperature 1, divided by ``1 / temperature``; and the labels."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 2
    true = softmax(logits)
    labels = (true.cumsum(1) > rng.random((n, 1))).argmax(1)
    return softmax(logits * temperature), labels


def test_losses_are_those_of_scikit_learn():
    from sklearn.metrics import brier_score_loss, log_loss

    found, labels = drawn()
    assert calibration.nll(found, labels) == pytest.approx(log_loss(labels, found, labels=range(7)), rel=1e-12)
    theirs = brier_score_loss(labels, found, labels=range(7), scale_by_half=False)
    assert calibration.brier(found, labels) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_the_calibration_error_is_that_of_torchmetrics(num_bins):
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    found, labels = drawn(temperature=2.0)
    ours = calibration.ece(calibration.reliability(found.max(1), found.argmax(1) == labels, num_bins))
    theirs = multiclass_calibration_error(torch.tensor(found), torch.tensor(labels), 7, n_bins=num_bins, norm="l1")
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_bins_hold_every_video_once_with_their_upper_ends():
    bins = calibration.reliability(np.array([0.0, 0.5, 0.5000001, 1.0]), np.array([False, True, True, True]), 2)
    assert [(line["from"], line["to"], line["n"], line["accuracy"]) for line in bins] == [
        (0, 0.5, 2, 0.5),
        (0.5, 1, 2, 1),
    ]
    with pytest.raises(ValueError, match="must be in"):
        calibration.reliability(np.array([1.5]), np.array([True]))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature):
    found, labels = drawn(seed=3, n=6000, temperature=temperature)
    assert calibration.fit_temperature(found, labels) == pytest.approx(temperature, rel=0.06)


def test_the_temperature_is_the_minimum_of_the_loss():
    from scipy.optimize import minimize
    from sklearn.metrics import log_loss

    found, labels = drawn(seed=1, n=500, temperature=3.0)
    best = minimize(
        lambda x: log_loss(labels, calibration.tempered(found, x[0]), labels=range(7)), [2.0], method="Nelder-Mead"
    )
    assert calibration.fit_temperature(found, labels) == pytest.approx(best.x[0], rel=1e-3)


@pytest.mark.parametrize("gap", [5, 30, 800])
def test_where_no_temperature_is_best_an_end_is_given_and_said(gap):
    labels, sure = np.arange(40) % 4, np.zeros((40, 4))
    sure[np.arange(40), labels] = gap
    right, wrong = softmax(sure), softmax(np.roll(sure, 1, axis=1))
    assert calibration.fit_temperature(right, labels) == 1 / calibration.HIGHEST_TEMPERATURE
    assert calibration.fit_temperature(wrong, labels) == calibration.HIGHEST_TEMPERATURE
    assert calibration.fit_temperature(np.full((40, 4), 0.25), labels) == 1
    held = calibration.held_out_half([""] * 40)
    mixed = np.where(held[:, None], right, wrong)  # right on the half that is fitted, wrong on the other
    scaled = calibration.temperature_scaling(mixed, labels, held, [""] * 40)
    assert calibration.temperature_words(scaled) == (
        "the half that it was fitted to has no best one, and the boldest that was tried is given, which does not help"
    )
    assert str(calibration.nll(np.ones((2, 1)), np.zeros(2, int))) == "0.0"


def test_scaling_is_fitted_on_one_half_and_judged_on_the_other():
    found, labels = drawn(seed=5, n=3000, temperature=3.0)
    groups, right = [f"g{number // 3}" for number in range(3000)], found.argmax(1) == labels
    scaled = calibration.temperature_scaling(found, labels, right, groups, seed=4)
    held = calibration.held_out_half(groups, seed=4)
    assert scaled["n_fitted"] == held.sum() == 1500
    assert scaled["temperature"] == calibration.fit_temperature(found[held], labels[held])
    assert scaled["before"]["nll"] == calibration.nll(found[~held], labels[~held])
    assert scaled["after"]["nll"] < scaled["before"]["nll"]
    assert scaled["after"]["ece"] < 0.05 < scaled["before"]["ece"]
    assert calibration.temperature_scaling(found[:3], labels[:3], right[:3], ["one"] * 3) is None


def test_halves_keep_groups_together_and_depend_on_the_seed_alone():
    groups = [f"g{number}" for number in np.random.default_rng(0).integers(0, 40, 500)]
    held = calibration.held_out_half(groups, seed=1)
    assert abs(held.mean() - 0.5) < 0.05
    sides = {group: {bool(side) for name, side in zip(groups, held) if name == group} for group in groups}
    assert all(len(side) == 1 for side in sides.values())
    assert (held == calibration.held_out_half(groups, seed=1)).all()
    assert (held != calibration.held_out_half(groups, seed=2)).any()


def test_risk_and_coverage_are_those_of_a_plain_count():
    rng = np.random.default_rng(2)
    confidence, right = rng.integers(0, 20, 300) / 20, rng.random(300) < 0.7
    coverage, risk = calibration.risk_coverage(confidence, right)
    for share, error, bar in zip(coverage, risk, sorted(set(confidence), reverse=True)):
        answered = confidence >= bar
        assert share == pytest.approx(answered.mean())
        assert error == pytest.approx(1 - right[answered].mean())
    assert (coverage[-1], risk[-1]) == (1, pytest.approx(1 - right.mean()))


def test_the_area_under_the_curve_is_the_mean_risk_and_rewards_a_good_order():
    rng = np.random.default_rng(3)
    confidence, right = rng.permutation(400) / 400, rng.random(400) < 0.7
    coverage, risk = calibration.risk_coverage(confidence, right)
    wrong = ~right[np.argsort(-confidence)]
    assert calibration.aurc(coverage, risk) == pytest.approx(np.mean(np.cumsum(wrong) / np.arange(1, 401)))
    best = calibration.aurc(*calibration.risk_coverage(right * 0.5 + confidence / 10, right))
    worst = calibration.aurc(*calibration.risk_coverage(~right * 0.5 + confidence / 10, right))
    assert best < calibration.aurc(coverage, risk) < worst


def test_a_summary_is_json_and_says_what_it_cannot_know():
    import json

    found, labels = drawn(n=300)
    right = found.argmax(1) == labels
    whole = calibration.summary(found.max(1), right, [""] * 300, whole=(found, labels))
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    assert len(whole["risk_coverage"]) == calibration.CURVE_POINTS
    part = calibration.summary(found.max(1), right, [""] * 300)
    assert (part["nll"], part["brier"], part["temperature"]) == (None, None, None)
    assert part["ece"] == whole["ece"]
    assert calibration.summary(np.zeros(0), np.zeros(0, bool), []) is None
