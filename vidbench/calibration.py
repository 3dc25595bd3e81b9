"""What a probability is worth: calibration errors, temperature, and risk against coverage. NumPy, SciPy.

Everything here speaks of videos that were predicted and have a label (N of them): one that was skipped has no
probability. Where a figure needs only the best class, ``confidence`` is its probability and ``right`` whether it is
the true one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from vidbench.intervals import group_numbers, wilson
from vidbench.metrics import softmax

NUM_BINS = 15  # of a reliability diagram, of equal width
SMALLEST = np.finfo(np.float64).tiny  # a probability of 0 for the true class would make the loss infinite
HIGHEST_TEMPERATURE = 50.0  # that is tried; the lowest is 1 over it
CURVE_POINTS = 100  # of a risk-coverage curve that is written down


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Negative log-likelihood: mean of ``-log p`` of the true class, in nats, at least 0.

    A probability of 0 would make it infinite, and counts as the smallest of float64: 708 nats for that video.

    Args:
        probabilities: float64, shape (N, K), rows sum to 1.
        labels: int, shape (N,), in ``[0, K)``.
    """
    true = np.take_along_axis(probabilities, np.asarray(labels)[:, None], axis=1)
    return float(abs(np.log(np.maximum(true, SMALLEST)).mean()))  # no logarithm is above 0, and none shall read -0


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Brier score: mean squared distance of the probabilities from certainty of the true class, in [0, 2].

    Source:
        G. W. Brier, 1950, https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2, in its form for K classes.
    """
    true = np.take_along_axis(probabilities, np.asarray(labels)[:, None], axis=1)[:, 0]
    return float(((probabilities**2).sum(1) - 2 * true + 1).mean())


def reliability(confidence: np.ndarray, right: np.ndarray, num_bins: int = NUM_BINS) -> list[dict]:
    """A reliability diagram as data: bins of equal width of the confidence, those that hold a video.

    A bin holds confidences above its lower end, up to and with its upper end; the first one 0 as well.

    Returns:
        ``{from, to, n, confidence, accuracy, low, high}`` each: mean confidence, and accuracy with its Wilson interval.
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, bool)
    if confidence.size and not (confidence.min() >= 0 and confidence.max() <= 1 + 1e-9):
        raise ValueError(f"a confidence must be in [0, 1], got {confidence.min()} to {confidence.max()}")
    edges = np.linspace(0, 1, num_bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        n, k = int(inside.sum()), int(right[inside].sum())
        low, high = wilson(k, n)
        ends = {"from": float(edges[place]), "to": float(edges[place + 1]), "n": n}
        mean = float(confidence[inside].mean())
        bins.append({**ends, "confidence": mean, "accuracy": k / n, "low": low, "high": high})
    return bins


def ece(bins: Sequence[dict]) -> float:
    """Expected calibration error of a reliability diagram: the mean gap of confidence and accuracy, in [0, 1].

    It depends on the bins, and with few videos it is above 0 by chance alone.

    Source:
        C. Guo et al., 2017, https://arxiv.org/abs/1706.04599.
    """
    total = sum(line["n"] for line in bins)
    return math.fsum(line["n"] * abs(line["confidence"] - line["accuracy"]) for line in bins) / total


# ---------------------------------------------------------------- temperature


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, K) with their logarithms divided by a temperature; above 1 they become milder."""
    return softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the smallest ``nll``, between 1 / ``HIGHEST_TEMPERATURE`` and that.

    Where every true class has the highest probability there is no best one, because a lower is always better: the
    lowest is given. Where true classes have no more than others on average (of logarithms), likewise the highest; 1
    where no temperature changes anything.

    Source:
        C. Guo et al., 2017, https://arxiv.org/abs/1706.04599.
    """
    from scipy.optimize import minimize_scalar

    logs = np.log(np.maximum(probabilities, SMALLEST))
    true = np.take_along_axis(logs, np.asarray(labels)[:, None], axis=1)[:, 0]
    # the loss is convex in 1 / temperature: it falls for ever, or rises from the start
    falls, rises = bool((true >= logs.max(1)).all()), bool(true.mean() <= logs.mean() + 1e-12)
    if falls or rises:
        return 1.0 if falls and rises else 1 / HIGHEST_TEMPERATURE if falls else HIGHEST_TEMPERATURE

    def loss(log_temperature: float) -> float:
        scaled = logs * math.exp(-log_temperature)
        top = scaled.max(1)
        return float((top + np.log(np.exp(scaled - top[:, None]).sum(1)) - true * math.exp(-log_temperature)).mean())

    bound = math.log(HIGHEST_TEMPERATURE)
    return math.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-6}).x)


def held_out_half(groups: Sequence[str], seed: int = 0) -> np.ndarray:
    """Which videos are held out: about half of them, drawn group by group; bool, shape (N,).

    Groups are taken in a drawn order until half of the videos are held out, so no source is on both sides.
    """
    numbers = group_numbers(groups)
    sizes = np.bincount(numbers)
    order = np.random.default_rng(seed).permutation(len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order]
    return np.isin(numbers, order[before + sizes[order] / 2 <= len(numbers) / 2])


def temperature_scaling(
    probabilities: np.ndarray, labels: np.ndarray, right: np.ndarray, groups: Sequence[str], seed: int = 0
) -> dict | None:
    """A temperature fitted on a seeded held-out half, and what it does to the other half.

    It changes no order of classes, so ``right``, bool (N,), holds before and after.

    Returns:
        ``{temperature, seed, n_fitted, n, before, after}``; ``before`` and ``after`` hold ``nll``, ``brier`` and
        ``ece`` of the ``n`` videos of the other half. ``None`` where a half would be empty.
    """
    held = held_out_half(groups, seed)
    if not held.any() or held.all():
        return None
    temperature = fit_temperature(probabilities[held], labels[held])
    rest, true = probabilities[~held], labels[~held]
    facts = {"temperature": temperature, "seed": seed, "n_fitted": int(held.sum()), "n": int((~held).sum())}
    kept = np.asarray(right)[~held]
    both = {"before": rest, "after": tempered(rest, temperature)}
    return {**facts, **{name: _errors(found, true, kept) for name, found in both.items()}}


def temperature_words(scaled: Mapping) -> str:
    """What ``temperature_scaling`` found, and whether it helped, in a few words.

    >>> temperature_words({"temperature": 2.0, "before": {"nll": 0.9}, "after": {"nll": 0.7}})
    'milder probabilities are better'
    """
    found, gain = scaled["temperature"], scaled["before"]["nll"] - scaled["after"]["nll"]
    if found > 0.999 * HIGHEST_TEMPERATURE or found < 1.001 / HIGHEST_TEMPERATURE:
        end = "mildest" if found > 1 else "boldest"
        words = f"the half that it was fitted to has no best one, and the {end} that was tried is given"
        return words if gain > 0 else f"{words}, which does not help"
    if found == 1:
        return "no temperature changes anything"
    kind = "milder" if found > 1 else "bolder"
    return f"{kind} probabilities are better" if gain > 0 else f"{kind} probabilities fitted one half, and do not help"


def _errors(probabilities: np.ndarray, labels: np.ndarray, right: np.ndarray) -> dict:
    bins = reliability(probabilities.max(1), right)
    return {"nll": nll(probabilities, labels), "brier": brier(probabilities, labels), "ece": ece(bins)}


# ---------------------------------------------------------------- answering only when sure


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The error among answers, when only the surest are given.

    Videos of one confidence are answered together, so that the order of the list changes nothing.

    Returns:
        ``(coverage, risk)``, float64, one value for each distinct confidence, surest first; coverage in (0, 1].

    Source:
        R. El-Yaniv and Y. Wiener, 2010, https://www.jmlr.org/papers/v11/el-yaniv10a.html.
    """
    confidence, wrong = np.asarray(confidence, float), ~np.asarray(right, bool)
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    answered = ends + 1
    return answered / len(order), np.cumsum(wrong[order])[ends] / answered


def aurc(coverage: np.ndarray, risk: np.ndarray) -> float:
    """Area under a risk-coverage curve: the mean risk over all numbers of answers, in [0, 1]; lower is better."""
    return float((np.diff(coverage, prepend=0) * risk).sum())


def summary(
    confidence: np.ndarray, right: np.ndarray, groups: Sequence[str], seed: int = 0, whole: tuple | None = None
) -> dict | None:
    """All of this file for one run, as written to ``metrics.json``.

    Args:
        confidence: probability of the best class, shape (N,).
        right: whether it is the true one.
        groups: N names.
        seed: of the held-out half.
        whole: ``(probabilities (N, K), labels (N,))`` where they are at hand.

    Returns:
        ``{n, mean_confidence, ece, reliability, aurc, risk_coverage, nll, brier, temperature}``, the last three
        ``None`` without ``whole``. ``None`` for no video.
    """
    if not len(confidence):
        return None
    bins = reliability(confidence, right)
    coverage, risk = risk_coverage(confidence, right)
    kept = np.unique(np.linspace(0, len(coverage) - 1, min(len(coverage), CURVE_POINTS)).round().astype(int))
    curve = [[round(float(coverage[place]), 6), round(float(risk[place]), 6)] for place in kept]
    facts: dict = {"n": len(confidence), "mean_confidence": float(np.mean(confidence)), "ece": ece(bins)}
    facts |= {"reliability": bins, "aurc": aurc(coverage, risk), "risk_coverage": curve}
    if whole is None:
        return {**facts, "nll": None, "brier": None, "temperature": None}
    probabilities, labels = whole
    more = {"nll": nll(probabilities, labels), "brier": brier(probabilities, labels)}
    return {**facts, **more, "temperature": temperature_scaling(probabilities, labels, right, groups, seed)}
