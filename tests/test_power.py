"""Numbers of videos hold what they promise in simulated test sets."""

from __future__ import annotations

import numpy as np
import pytest

from vidbench import power
from vidbench.intervals import sign_flip_test, wilson
from vidbench.records import ConfigError


@pytest.mark.parametrize(("discordance", "difference"), [(0.2, 0.05), (0.1, 0.08), (0.3, 0.1)])
def test_the_promised_power_is_reached_in_simulated_pairs_of_runs(discordance, difference):
    rng = np.random.default_rng(int(1000 * discordance))
    number = power.paired_number(discordance, difference)
    told = []
    for _ in range(1500):
        only_a, only_b = (discordance - difference) / 2, (discordance + difference) / 2
        kind = rng.choice(3, number, p=[only_a, only_b, 1 - discordance])
        told.append(sign_flip_test(kind == 0, kind == 1) < 0.05)
    assert np.mean(told) == pytest.approx(0.8, abs=0.035)  # three standard errors of the simulation
    assert power.paired_power(number, discordance, difference) == pytest.approx(np.mean(told), abs=0.035)


def test_the_exact_power_is_a_plain_sum():
    from scipy.stats import binomtest, multinomial

    n, only_a, only_b = 17, 0.1, 0.35
    total = 0.0
    for x in range(n + 1):
        for y in range(n + 1 - x):
            if x + y and binomtest(x, x + y).pvalue < 0.05:
                total += multinomial.pmf([x, y, n - x - y], n, [only_a, only_b, 1 - only_a - only_b])
    assert power.paired_power(n, only_a + only_b, only_b - only_a) == pytest.approx(total, rel=1e-9)


def test_equal_runs_are_told_apart_no_more_often_than_allowed():
    for number in (20, 144, 3000):
        assert 0 < power.paired_power(number, 0.2, 0.0) <= 0.05


def test_the_normal_approximation_gives_about_the_same_number():
    from scipy.stats import norm

    # R. J. Connor, 1987, https://doi.org/10.2307/2531961
    for discordance, difference in [(0.2, 0.05), (0.1, 0.02), (0.4, 0.1)]:
        bars = norm.isf(0.025) * discordance**0.5 + norm.isf(0.2) * (discordance - difference**2) ** 0.5
        assert power.paired_number(discordance, difference) == pytest.approx((bars / difference) ** 2, rel=0.1)


def test_different_videos_need_the_number_of_statsmodels():
    from statsmodels.stats.proportion import power_proportions_2indep

    for a, b in [(0.7, 0.75), (0.9, 0.95), (0.5, 0.7)]:
        number = power.unpaired_number(a, b)
        theirs = power_proportions_2indep(b - a, a, number, return_results=False)
        assert theirs == pytest.approx(0.8, abs=0.01)


def test_different_videos_reach_the_promised_power_in_simulation():
    rng = np.random.default_rng(5)
    number = power.unpaired_number(0.7, 0.78)
    a, b = (rng.binomial(number, share, 20_000) / number for share in (0.7, 0.78))
    pooled = (a + b) / 2
    told = np.abs(a - b) > 1.959964 * np.sqrt(2 * pooled * (1 - pooled) / number)
    assert told.mean() == pytest.approx(0.8, abs=0.015)


def test_a_width_is_reached_by_the_number_and_not_much_sooner():
    number = power.number_for_width(0.8, 0.03)
    low, high = wilson(round(0.8 * number), number)
    assert high - low <= 0.06
    low, high = wilson(round(0.8 * (number - 20)), number - 20)
    assert high - low > 0.06


def test_what_cannot_be_is_said():
    with pytest.raises(ConfigError, match="no number of videos"):
        power.paired_number(0.2, 0.0)
    with pytest.raises(ConfigError, match=r"discordance of 0\.05 cannot be"):
        power.paired_number(0.05, 0.1)
    with pytest.raises(ConfigError, match="more than 1,000,000,000"):
        power.paired_number(1.0, 1e-5)


def test_a_description_names_every_number():
    words = power.describe(0.8, 0.85, None, 0.8, 0.05)
    assert f"{power.unpaired_number(0.8, 0.85):,} videos for each run" in words
    assert f"{power.paired_number(0.29, 0.05):,} videos" in words
    wider = power.describe(0.8, 0.85, 0.2, 0.8, 0.05, design_effect=2.0)
    assert f"{2 * power.paired_number(0.2, 0.05):,} videos" in wider


def test_near_100_percent_runs_are_not_said_to_disagree_more_than_they_can():
    # 99.9 and 99 % disagree on 1.1 % of the videos at most, and on 1.098 % where mistakes have nothing in common
    few, many = power.describe(0.999, 0.99, None, 0.8, 0.05).splitlines()[1:3]
    assert "(1.1 %)" in few
    assert "(1.1 %)" in many
    assert few.split()[-2] == many.split()[-2]
    with pytest.raises(ConfigError, match=r"disagree on at most 1\.1 % of the videos, so a discordance of 0\.02"):
        power.describe(0.999, 0.99, 0.02, 0.8, 0.05)
