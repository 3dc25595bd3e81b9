"""How many videos a difference needs: for the same videos, for others, and for one figure. NumPy, SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from vidbench.intervals import wilson
from vidbench.records import ConfigError

MOST_VIDEOS = 10**9
SPREADS = 9  # standard deviations of the number of videos that differ which are looked at; beyond lie 1e-18


def paired_power(num_videos: int, discordance: float, difference: float, alpha: float = 0.05) -> float:
    """How often the exact test of McNemar tells two runs apart, computed, not approximated.

    Args:
        num_videos: videos that both runs list, at least 1.
        discordance: share of videos that one run has right and the other wrong.
        difference: true difference of the accuracies, at most ``discordance`` either way.
        alpha: share of equal runs that may be told apart.

    Returns:
        a probability in [0, 1].
    """
    from scipy.stats import binom

    _check_paired(discordance, difference)
    if discordance == 0:
        return 0.0
    middle, spread = num_videos * discordance, math.sqrt(num_videos * discordance * (1 - discordance))
    lowest, highest = max(0, int(middle - SPREADS * spread) - 9), min(num_videos, int(middle + SPREADS * spread) + 9)
    differ = np.arange(lowest, highest + 1)
    needed = binom.ppf(1 - alpha / 2, differ, 0.5) + 1  # for one side, of those that differ
    share = (discordance + difference) / (2 * discordance)
    told = binom.sf(needed - 1, differ, share) + binom.cdf(differ - needed, differ, share)
    return float((binom.pmf(differ, num_videos, discordance) * told).sum())


def paired_number(discordance: float, difference: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Videos that both runs need to list for their difference to be seen with a probability of ``power``.

    Raises:
        ConfigError: no difference, one above the discordance, or more than a billion videos.
    """
    _check_paired(discordance, difference)
    if difference == 0:
        raise ConfigError("two runs that are equally good are told apart by no number of videos")
    return _smallest(lambda n: paired_power(n, discordance, difference, alpha), power)


def unpaired_power(num_videos: int, a: float, b: float, alpha: float = 0.05) -> float:
    """How often two accuracies are told apart when each is measured on ``num_videos`` videos of its own.

    Normal approximation of the test of two proportions, with the pooled share under equality.

    Source:
        J. L. Fleiss, Statistical Methods for Rates and Proportions, chapter 3.
    """
    from scipy.stats import norm

    pooled, bar = (a + b) / 2, norm.isf(alpha / 2)
    equal = math.sqrt(2 * pooled * (1 - pooled) / num_videos)
    apart = math.sqrt((a * (1 - a) + b * (1 - b)) / num_videos)
    if apart == 0:
        return 1.0 if a != b else 0.0
    return float(norm.sf((bar * equal - abs(a - b)) / apart) + norm.cdf((-bar * equal - abs(a - b)) / apart))


def unpaired_number(a: float, b: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Videos of its own that each of two runs needs for their accuracies to be told apart; see ``unpaired_power``."""
    if a == b:
        raise ConfigError("two runs that are equally good are told apart by no number of videos")
    return _smallest(lambda n: unpaired_power(n, a, b, alpha), power)


def number_for_width(accuracy: float, half_width: float, confidence: float = 0.95) -> int:
    """Videos for which Wilson's interval is at most ``half_width`` to each side, on average of both sides."""

    def narrow(n: int) -> float:
        low, high = wilson(round(accuracy * n), n, confidence)
        return float(high - low <= 2 * half_width)

    return _smallest(narrow, 0.5)


def _smallest(reached: Callable[[int], float], wanted: float) -> int:
    """The smallest number that reaches ``wanted``, found by halving; powers of counts rise in small saw teeth."""
    high = 4
    while reached(high) < wanted:
        high *= 2
        if high > MOST_VIDEOS:
            raise ConfigError(f"more than {MOST_VIDEOS:,} videos would be needed")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= wanted else (middle, high)
    return high


def _check_paired(discordance: float, difference: float) -> None:
    if not (0 <= discordance <= 1 and abs(difference) <= discordance + 1e-12):
        raise ConfigError(
            f"runs whose accuracies differ by {abs(difference):.3g} disagree on at least that share of the videos, "
            f"so a discordance of {discordance:.3g} cannot be"
        )


def independent_discordance(a: float, b: float) -> float:
    """Share of videos that one run has right and the other wrong, if their mistakes had nothing to do with each other.

    Real runs share hard videos and disagree less.
    """
    return a * (1 - b) + b * (1 - a)


def describe(
    a: float, b: float, discordance: float | None, power: float, alpha: float, design_effect: float = 1.0
) -> str:
    """How many videos tell accuracies ``a`` and ``b`` apart, in a few lines.

    Raises:
        ConfigError: runs of these accuracies cannot disagree on so few, or so many, videos; or as ``paired_number``.
    """
    difference = b - a

    def grown(number: int) -> str:
        return f"{math.ceil(number * design_effect):,} videos"

    independent = independent_discordance(a, b)
    most = min(a + b, 2 - a - b)
    if discordance is not None and discordance > most + 1e-12:
        raise ConfigError(
            f"runs with accuracies {100 * a:.4g} % and {100 * b:.4g} % disagree on at most {100 * most:.4g} % of the "
            f"videos, so a discordance of {discordance:.3g} cannot be"
        )
    lines = [
        f"accuracies {100 * a:.4g} % and {100 * b:.4g} %, told apart in {100 * power:.4g} of 100 tries, at most "
        f"{100 * alpha:.4g} of 100 equal pairs told apart"
        + (f", design effect {design_effect:g}" if design_effect != 1 else "")
    ]
    if discordance is not None:
        number = grown(paired_number(discordance, difference, power, alpha))
        lines.append(f"the same videos, {100 * discordance:.4g} % of them right in one run only: {number}")
    else:
        for share, words in (
            (min(independent, 1.5 * abs(difference)), "if runs disagree on few more videos than they must"),
            (independent, "if their mistakes had nothing to do with each other"),
        ):
            share = max(share, abs(difference))
            number = grown(paired_number(share, difference, power, alpha))
            lines.append(f"the same videos, {words} ({100 * share:.3g} %): {number}")
    lines.append(f"different videos: {grown(unpaired_number(a, b, power, alpha))} for each run")
    width = number_for_width((a + b) / 2, abs(difference) / 2)
    lines.append(f"for one interval of ±{50 * abs(difference):.3g} points: {grown(width)}")
    return "\n".join(lines)
