"""Late fusion: the probabilities of several runs as one answer, with weights that are given or fitted. NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vidbench.calibration import SMALLEST
from vidbench.records import ConfigError
from vidbench.utils import printable


def given_weights(asked: Sequence[str], number: int) -> list[float]:
    """Weights as they were typed, scaled to a sum of 1.

    Raises:
        ConfigError: not one for each of the ``number`` runs, below 0, or all 0.
    """
    try:
        weights = [float(word) for word in asked]
    except ValueError:
        weights = []
    finite = all(math.isfinite(weight) and weight >= 0 for weight in weights)
    good = len(weights) == number and finite and sum(weights) > 0
    if not good:
        raise ConfigError(
            f"an ensemble is 'even', 'fit', or {number} weights of at least 0, one a run; got "
            f"{printable(' '.join(asked), 80)!r}"
        )
    shares = [weight / max(weights) for weight in weights]  # first, because a sum of large numbers is infinite
    return [share / sum(shares) for share in shares]


def fit_weights(votes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights, at least 0 with sum 1, for which the fused probabilities have the smallest negative log-likelihood.

    Args:
        votes: float, shape (M, N, K), probabilities of M runs.
        labels: int, shape (N,).

    Source:
        Expectation maximisation for the weights of a mixture: A. P. Dempster et al., 1977,
        https://www.jstor.org/stable/2984875; the loss is convex in the weights, so it ends at the best ones.
    """
    true = np.maximum(votes[:, np.arange(len(labels)), labels].astype(np.float64), SMALLEST)
    weights = np.full(len(true), 1 / len(true))
    for _ in range(2000):
        shares = weights[:, None] * true
        after = (shares / shares.sum(0)).mean(1)
        if np.abs(after - weights).max() < 1e-7:
            break
        weights = after
    return after


def fused_right(votes: np.ndarray, labels: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Whether the true class is among the k best of the weighted votes (M, N, K); a tie counts against it."""
    fused = np.zeros(votes.shape[1:])
    for weight, vote in zip(weights, votes):
        fused += weight * np.nan_to_num(vote)
    voted = (np.isfinite(votes[:, :, 0]) & (weights[:, None] > 0)).any(0) & (labels >= 0)
    true = np.take_along_axis(fused, np.maximum(labels, 0)[:, None], axis=1)
    return voted & ((fused >= true).sum(1) <= k)
