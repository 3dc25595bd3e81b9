"""How sure a figure is: one run, groups of related videos, two runs on the same videos, many comparisons. NumPy, SciPy.

One *group* holds the videos that were cut from one source (UCF101's ``gNN``, HMDB51's film). They are alike, so that
ten of them tell less than ten of ten sources. Every clustered figure here is the plain one, made wider by the *design
effect* that the data show, and never narrower; where every video is a group of its own, both are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

BOOTSTRAPS = 2000  # resamplings: the ends of a 95 % interval then move by about 2 % of its width
LEAST_P = 1e-12  # below it a p-value is no longer exact, and may be rounded to 0
MOST_TERMS = 2_000_000  # numbers held at a time by a bootstrap over groups


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion.

    Unlike ``p ± 1.96 s`` it stays in [0, 1], and covers 95 % on average over true shares between 0.5 and 1, from 20
    trials on. For a single share it may be less where about two failures or fewer are expected, whatever ``n``: 92 %
    for 1 (20 trials at a true 95 %), 90 % for 0.5, 84 % at worst, for 0.17. It takes the ``n`` trials as independent:
    clips cut from one source are not, and make the true interval wider.

    Args:
        k: successes, 0 to ``n``.
        n: trials; 0 gives ``(0.0, 1.0)``, because nothing is known.
        confidence: between 0 and 1, both excluded.

    Returns:
        ``(low, high)``, fractions in [0, 1] with ``low <= k / n <= high``.

    Raises:
        ValueError: ``k`` is not in ``[0, n]``, or ``confidence`` not in (0, 1).

    Source:
        E. B. Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953.

    >>> [round(end, 3) for end in wilson(139, 144)]
    [0.921, 0.985]
    """
    if not 0 <= k <= n:
        raise ValueError(f"successes must be between 0 and the number of trials, got {k=}, {n=}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    if n == 0:
        return 0.0, 1.0
    z = _normal(confidence)
    share = k / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if k == 0 else min(share, max(0.0, middle - half))  # the ends are exact; rounding is not
    high = 1.0 if k == n else max(share, min(1.0, middle + half))
    return low, high


def proportion(k: int, n: int) -> dict | None:
    """``k`` of ``n`` with its 95 % Wilson interval as ``{value, low, high, k, n}``; ``None`` where ``n`` is 0."""
    if n == 0:
        return None
    low, high = wilson(k, n)
    return {"value": k / n, "low": low, "high": high, "k": int(k), "n": int(n)}


# ---------------------------------------------------------------- groups of related videos


def group_numbers(groups: Sequence[str]) -> np.ndarray:
    """A number for each video, the same for those of one group; an empty name is a group of its own.

    Returns:
        int64, shape (N,), in ``[0, G)``.

    >>> group_numbers(["g01", "", "g01", ""])
    array([0, 1, 0, 2])
    """
    known: dict = {}
    return np.array([known.setdefault(name or (place,), len(known)) for place, name in enumerate(groups)], np.int64)


def sums_by_group(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the values and number of videos of each group, float64 and int64 (G,); ``groups`` as numbers."""
    return np.bincount(groups, weights=values), np.bincount(groups)


def group_variance(values: np.ndarray, groups: np.ndarray) -> float:
    """Variance of a mean over videos that are alike within groups: the cluster-robust one, in the form CR2.

    The residuals of a group are added up and squared, and over ``1 - share of the videos in it``: a large group pulls
    the mean to itself, so that its own residuals look small. Their sum over all groups is over ``N ** 2``. NaN with
    fewer than two groups.

    Source:
        R. M. Bell and D. F. McCaffrey, 2002, Survey Methodology 28, 169-181, for the estimate of K.-Y. Liang and
        S. L. Zeger, 1986, https://doi.org/10.1093/biomet/73.1.13, which E. Miller, 2024,
        https://arxiv.org/abs/2411.00640, proposes for evaluations.
    """
    residuals, sizes = sums_by_group(values - values.mean(), groups)
    num = len(values)
    return float((residuals**2 / (1 - sizes / num)).sum() / num**2) if len(sizes) > 1 else math.nan


def group_freedom(groups: np.ndarray) -> float:
    """Degrees of freedom of ``group_variance``: ``G - 1`` for G groups of one size, fewer where sizes differ.

    Those of Satterthwaite where videos are independent. With one group of 90 videos and ten of 1 they are 1.2: what
    the large one would give another time cannot be told from the small ones. NaN with fewer than two groups.

    Source:
        R. M. Bell and D. F. McCaffrey, 2002, Survey Methodology 28, 169-181.
    """
    sizes = np.bincount(groups).astype(float)
    if len(sizes) < 2:
        return math.nan
    num = sizes.sum()
    pulled = sizes**2 / (1 - sizes / num)
    return float(num**2 / ((sizes**2).sum() + (pulled.sum() ** 2 - (pulled**2).sum()) / num**2))


def clustered_proportion(right: np.ndarray, groups: Sequence[str], confidence: float = 0.95) -> dict | None:
    """A share of videos with an interval that knows their groups.

    Wilson's interval with the effective number of videos in place of the number: ``N`` over the design effect (the
    cluster-robust variance over ``p (1 - p) / N``, at least 1), and Student's quantile with the degrees of freedom of
    ``group_freedom``. Where all videos are right, or all wrong, the data show no design effect, and each group counts
    as one video (L. Kish's number where sizes differ: ``N ** 2`` over the sum of squared sizes).

    In 1,500 draws each of 13 kinds of groups (2 to 200 of them, of 1 to 100 videos, alike and very unequal, with a
    correlation of 0 or 0.3 within one) it covered 92 % or more at a true 60 and 80 %. At 95 and 98 % it covered 83 to
    90 % where a dozen to some forty groups hold many videos each and are right or wrong nearly as a whole: few of them
    hold all the mistakes, and a list may have none of these. No width that the data show would mend that.

    Args:
        right: bool, shape (N,).
        groups: N names; an empty one is a group of its own.
        confidence: between 0 and 1, both excluded.

    Returns:
        ``{value, low, high, k, n, n_groups, design_effect}``; ``None`` for no video. With a single group nothing is
        known, and the interval is 0 to 1.

    Source:
        Effective number in Wilson's interval: C. Franco et al., 2019, https://doi.org/10.1093/jssam/smy019; Student's
        quantile: E. L. Korn and B. I. Graubard, 1998, Survey Methodology 24, 193-201.
    """
    right, numbers = np.asarray(right, bool), group_numbers(groups)
    n, k = len(right), int(np.sum(right))
    if len(numbers) != n:
        raise ValueError(f"one group a video, got {len(numbers)} groups for {n} videos")
    if n == 0:
        return None
    num_groups = int(numbers.max()) + 1
    facts = {"value": k / n, "k": k, "n": n, "n_groups": num_groups}
    if num_groups == n:
        low, high = wilson(k, n, confidence)
        return {**facts, "low": low, "high": high, "design_effect": 1.0}
    if num_groups == 1:
        return {**facts, "low": 0.0, "high": 1.0, "design_effect": None}
    effect = _design_effect(right.astype(float), numbers)
    shrink = effect * student_over_normal(group_freedom(numbers), confidence) ** 2
    low, high = wilson_of_share(k / n, n / shrink, confidence)
    return {**facts, "low": low, "high": high, "design_effect": effect}


def _design_effect(values: np.ndarray, groups: np.ndarray) -> float:
    """Cluster-robust variance of a mean over the plain one, at least 1; 1 for a single group, of which it is unknown.

    Where all values are one, no group shows how alike its videos are, and each counts as one video, by Kish's number.
    """
    n, sizes = len(values), np.bincount(groups)
    plain = float(values.var()) / n
    if len(sizes) in (1, n):
        return 1.0
    return max(1.0, group_variance(values, groups) / plain) if plain else float((sizes**2).sum()) / n


def wilson_of_share(share: float, number: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share in [0, 1] of a number of trials, above 0, that need not be whole."""
    z2 = _normal(confidence) ** 2
    middle = (share + z2 / (2 * number)) / (1 + z2 / number)
    half = math.sqrt(z2 * (share * (1 - share) / number + z2 / (4 * number**2))) / (1 + z2 / number)
    low = 0.0 if share == 0 else max(0.0, middle - half)
    return low, 1.0 if share == 1 else min(1.0, middle + half)


def _normal(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def student_over_normal(freedom: float, confidence: float = 0.95) -> float:
    """Student's quantile over the normal one: how much wider an interval is that had to guess its own width."""
    return student(freedom, confidence) / _normal(confidence)


def student(freedom: float, confidence: float = 0.95) -> float:
    """The quantile of Student's distribution for a two-sided interval, above 0."""
    from scipy.special import stdtrit  # scipy.stats takes most of a second to load

    return float(stdtrit(freedom, 0.5 + confidence / 2))


# ---------------------------------------------------------------- two runs, the same videos


def paired_difference(a: np.ndarray, b: np.ndarray, groups: Sequence[str] | None = None, confidence=0.95) -> dict:
    """Accuracy of B minus that of A on the same videos, with an interval.

    Only videos on which the runs disagree count. Half a video is added to each of the four counts, before an interval
    as for a mean; with groups its half width is multiplied by the root of the design effect, as for
    ``clustered_proportion``, and by Student's quantile over the normal one.

    Of equal runs on independent videos it leaves out 0 for at most 6.8 % (20 videos), 5.5 % (144) and 5.4 % (1,000),
    whatever share of the videos the runs disagree on (computed for 60 shares); the exact test for at most 5 %.

    Args:
        a: bool, shape (N,): A is right.
        b: likewise for B.
        groups: N names; ``None`` takes videos as independent.
        confidence: of the interval, in (0, 1).

    Returns:
        ``{value, low, high, n, only_a, only_b, n_groups, design_effect}``, fractions. ``n_groups`` is ``None``
        without groups. With a single group nothing is known, and the interval is -1 to 1.

    Source:
        A. Agresti and Y. Min, 2005, https://doi.org/10.1002/sim.1781.
    """
    a, b = _checked_pair(a, b)
    n, only_a, only_b = len(a), int((a & ~b).sum()), int((b & ~a).sum())
    middle = (only_b - only_a) / (n + 2)
    half = _normal(confidence) * math.sqrt(only_a + only_b + 1 - (only_b - only_a) ** 2 / (n + 2)) / (n + 2)
    num_groups, effect = None, 1.0
    if groups is not None:
        numbers = group_numbers(groups)
        num_groups = int(numbers.max()) + 1
        effect = _design_effect(b.astype(float) - a, numbers)
        if num_groups == 1 < n:
            half = math.inf
        elif num_groups < n:
            half *= math.sqrt(effect) * student_over_normal(group_freedom(numbers), confidence)
    facts = {"n": n, "only_a": only_a, "only_b": only_b, "n_groups": num_groups, "design_effect": effect}
    return {"value": (only_b - only_a) / n, "low": max(-1.0, middle - half), "high": min(1.0, middle + half), **facts}


def sign_flip_test(a: np.ndarray, b: np.ndarray, groups: Sequence[str] | None = None) -> float:
    """Exact two-sided p-value of "A and B are equally good", from groups whose balance could as well be turned round.

    Each group's balance (videos that only B has right, minus those that only A has right) keeps its size and takes
    either sign with equal chance; p is the share of all such worlds with a total at least as far from 0 as ours. With
    every video a group of its own, the default, this is the exact test of McNemar.

    Returns:
        a probability in [0, 1]; 1 where the runs never differ. Below ``LEAST_P`` it is rounded; see ``p_words``.

    Source:
        Q. McNemar, 1947, https://doi.org/10.1007/BF02295996; R. A. Fisher, 1935, The Design of Experiments, section 21.
    """
    from scipy.stats import binom

    a, b = _checked_pair(a, b)
    numbers = np.arange(len(a)) if groups is None else group_numbers(groups)
    balances = np.rint(np.bincount(numbers, weights=b.astype(float) - a)).astype(np.int64)
    sizes, counts = np.unique(np.abs(balances[balances != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    if list(sizes) == [1]:  # the common case, to the last digit
        beyond = (int(counts[0]) + abs(int(balances.sum()))) // 2
        return float(min(1.0, 2 * binom.sf(beyond - 1, int(counts[0]), 0.5)))
    chances = np.ones(1)  # of each total from -S to S, in steps of 1
    for size, count in zip(sizes, counts):
        part = np.zeros(2 * size * count + 1)
        part[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = _convolved(chances, part)
    totals = np.arange(len(chances)) - len(chances) // 2
    return float(min(1.0, chances[np.abs(totals) >= abs(int(balances.sum()))].sum()))


def p_words(p: float, name: str = "") -> str:
    """A p-value for people, never 0.

    >>> p_words(0.0312), p_words(0.0), p_words(0.0312, "p"), p_words(0.0, "p")
    ('0.031', '< 1e-12', 'p = 0.031', 'p < 1e-12')
    """
    below = p < LEAST_P
    words = f"< {LEAST_P:.0e}" if below else f"{p:.2g}"
    return words if not name else f"{name} {words}" if below else f"{name} = {words}"


def _convolved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Chances of a sum of two independent numbers; large ones by Fourier, whose noise of 1e-16 may fall below 0."""
    if len(a) * len(b) < 10**8:
        return np.convolve(a, b)
    length = len(a) + len(b) - 1
    return np.clip(np.fft.irfft(np.fft.rfft(a, length) * np.fft.rfft(b, length), length), 0, None)


def bootstrap_difference(
    a: np.ndarray, b: np.ndarray, groups: Sequence[str] | None = None, *, seed=0, confidence=0.95, times=BOOTSTRAPS
) -> tuple[float, float]:
    """Percentile interval of B minus A when videos, or whole groups of them, are drawn again with replacement.

    A second opinion on ``paired_difference`` that supposes no formula; with few disagreements it is too narrow.

    Returns:
        ``(low, high)``, fractions; the same for the same seed. With a single group nothing is known: -1 to 1.

    Source:
        B. Efron, 1979, https://doi.org/10.1214/aos/1176344552.
    """
    a, b = _checked_pair(a, b)
    rng, n = np.random.default_rng(seed), len(a)
    if groups is None or len(set(numbers := group_numbers(groups))) == n:  # only three kinds of videos: quick
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        drawn = rng.multinomial(n, [only_a / n, only_b / n, 1 - (only_a + only_b) / n], times)
        differences = (drawn[:, 1] - drawn[:, 0]) / n
    elif numbers.max() == 0:
        return -1.0, 1.0
    else:
        sums, sizes = sums_by_group(b.astype(float) - a, numbers)
        differences = _group_means(sums, sizes, rng, times)
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    return float(low), float(high)


def _group_means(sums: np.ndarray, sizes: np.ndarray, rng: np.random.Generator, times: int) -> np.ndarray:
    """Means over videos when groups are drawn again, float64 (times,); a few thousand draws at a time."""
    means, rows = [], max(1, MOST_TERMS // len(sums))
    for start in range(0, times, rows):
        drawn = rng.integers(0, len(sums), (min(rows, times - start), len(sums)))
        means.append(sums[drawn].sum(1) / sizes[drawn].sum(1))
    return np.concatenate(means)


def _checked_pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(f"both runs need the same videos, at least one; got shapes {a.shape} and {b.shape}")
    return a, b


# ---------------------------------------------------------------- many comparisons


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values that allow for their number: one below 0.05 is below it however many were looked at.

    Source:
        S. Holm, 1979, https://www.jstor.org/stable/4615733.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, float)[order] * (len(order) - np.arange(len(order)))
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in adjusted]
