"""Near codes are found without comparing every pair, and exactly those that comparing every pair finds."""

from __future__ import annotations

import numpy as np
import pytest

from vidbench.data import near


def codes(rng, number: int, base: np.ndarray) -> np.ndarray:
    """uint64 (number,): copies of the base codes with up to 14 bits changed."""
    found = base[rng.integers(0, len(base), number)].copy()
    for _ in range(14):
        bits = np.uint64(1) << rng.integers(0, 64, number).astype(np.uint64)
        found ^= np.where(rng.random(number) < 0.6, bits, np.uint64(0))
    return found


def found_pairs(one, other, most_different) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for x, y in near.pairs_within(one, other, most_different) for a, b in zip(x, y)]


@pytest.mark.parametrize("most_different", [0, 1, 2, 3, 4, 7, 10, 13, 19, 20, 64])
@pytest.mark.parametrize("sizes", [(211, 1009), (1009, 211)])
def test_every_near_pair_is_found_once_and_no_other(monkeypatch, most_different, sizes):
    rng = np.random.default_rng(most_different)
    base = rng.integers(0, 2**64 - 1, 30, dtype=np.uint64)
    one, other = codes(rng, sizes[0], base), codes(rng, sizes[1], base)
    expected = {
        (a, b)
        for a in range(len(one))
        for b in range(len(other))
        if (int(one[a]) ^ int(other[b])).bit_count() <= most_different
    }
    assert most_different < 7 or len(expected) > 5
    for few in (0, near.FEW_PAIRS):  # looked up, and compared one by one
        monkeypatch.setattr(near, "FEW_PAIRS", few)
        pairs = found_pairs(one, other, most_different)
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == expected


def test_a_bucket_that_holds_everything_is_cut_into_steps(monkeypatch):
    monkeypatch.setattr(near, "FEW_PAIRS", 0)
    monkeypatch.setattr(near, "PIECE", 500)
    same = np.full(300, 2**63 + 7, np.uint64)
    assert len(set(found_pairs(same, same[:41], 10))) == 300 * 41


def test_most_pairs_are_not_compared(monkeypatch):
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 2**64 - 1, n, dtype=np.uint64) for n in (2_000, 30_000))
    compared = 0
    count = np.bitwise_count

    def counted(values):
        nonlocal compared
        compared += values.size if values.dtype == np.uint64 else 0
        return count(values)

    monkeypatch.setattr(near.np, "bitwise_count", counted)
    pairs = found_pairs(one, other, 10)
    assert 0 < compared < len(one) * len(other) / 100
    assert len(pairs) < 20


def test_no_codes_have_no_pairs():
    empty, some = np.empty(0, np.uint64), np.arange(9, dtype=np.uint64)
    assert found_pairs(empty, some, 5) == found_pairs(some, empty, 5) == []


@pytest.mark.parametrize("bits", [-1, 65])
def test_a_code_has_64_bits(bits):
    with pytest.raises(ValueError, match="0 to 64"):
        found_pairs(np.zeros(1, np.uint64), np.zeros(1, np.uint64), bits)
