"""Codes of 64 bits that differ in few of them, found without comparing every pair, and none of them missed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BANDS, WIDTH = 4, 16  # a code is cut into so many pieces of so many bits
FEW_PAIRS = 1 << 24  # so many are compared faster than they are looked up
PIECE = 1 << 20  # pairs compared at a time: the arrays of one step stay within a processor's cache, or nearly


def pairs_within(one: np.ndarray, other: np.ndarray, most_different: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of codes, one of each list, that differ in at most so many bits.

    Two codes that differ in at most r bits differ in at most r // 4 bits of one of their four pieces (and in fewer
    than that of the last ones, unless of an earlier one too). So each code is looked up under all pieces that are so
    near to its own, and only what is found there is compared: of 10 bits, one pair in about 150.

    Args:
        one: uint64 (A,).
        other: uint64 (B,).
        most_different: bits, 0 to 64.

    Yields:
        int64 (n,) and int64 (n,): places in ``one`` and in ``other``. Each pair comes once, in no order.

    Raises:
        ValueError: another number of bits.

    Source:
        M. Norouzi, A. Punjani, D. J. Fleet, Fast Search in Hamming Space with Multi-Index Hashing, CVPR 2012,
        https://arxiv.org/abs/1307.2982.
    """
    if not 0 <= most_different <= 64:
        raise ValueError(f"codes of 64 bits differ in 0 to 64 of them, got {most_different}")
    if len(one) > len(other):
        yield from ((b, a) for a, b in pairs_within(other, one, most_different))
    elif len(one) * len(other) <= FEW_PAIRS or most_different >= 5 * BANDS:
        yield from _all_pairs(one, other, most_different)
    else:
        reach = [most_different // BANDS - (band > most_different % BANDS) for band in range(BANDS)]
        for band in range(BANDS):
            if reach[band] >= 0:
                yield from _pairs_of_band(one, other, most_different, band, reach)


def _all_pairs(one: np.ndarray, other: np.ndarray, most_different: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    step = max(1, PIECE // max(1, len(other)))
    for begin in range(0, len(one), step):
        rows, columns = np.nonzero(np.bitwise_count(one[begin : begin + step, None] ^ other) <= most_different)
        yield rows + begin, columns


def _pairs_of_band(one, other, most_different: int, band: int, reach: list[int]) -> Iterator:
    """Pairs that are near in this piece of their codes, and in no earlier one."""
    pieces = _piece(other, band)
    order = np.argsort(pieces, kind="stable")
    codes = other[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(pieces, minlength=1 << WIDTH))])
    flips = np.arange(1 << WIDTH, dtype=np.uint16)
    flips = flips[np.bitwise_count(flips) <= reach[band]]
    for rows in _shares(one, band, flips, starts):
        buckets = (_piece(one[rows], band)[:, None] ^ flips).ravel()
        first, counts = starts[buckets], starts[buckets.astype(np.int64) + 1] - starts[buckets]
        skipped = first - (np.cumsum(counts) - counts)
        places = np.arange(counts.sum()) + np.repeat(skipped, counts)
        by_row = counts.reshape(len(rows), len(flips)).sum(1)
        different = codes[places] ^ np.repeat(one[rows], by_row)
        found = np.flatnonzero(np.bitwise_count(different) <= most_different)
        for earlier in range(band):
            found = found[np.bitwise_count(_piece(different[found], earlier)).astype(int) > reach[earlier]]
        yield rows[np.searchsorted(np.cumsum(by_row), found, side="right")], order[places[found]]


def _shares(one: np.ndarray, band: int, flips: np.ndarray, starts: np.ndarray) -> Iterator[np.ndarray]:
    """Places in ``one``, in shares that meet about ``PIECE`` codes each; a single code may meet more."""
    sizes = np.diff(starts)
    step = max(1, PIECE // len(flips))
    for begin in range(0, len(one), step):
        rows = np.arange(begin, min(begin + step, len(one)))
        met = np.cumsum(sizes[_piece(one[rows], band)[:, None] ^ flips].sum(1))
        cuts = np.searchsorted(met, np.arange(PIECE, int(met[-1]) + PIECE, PIECE), side="right")
        yield from (rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True) if b > a)


def _piece(codes: np.ndarray, band: int) -> np.ndarray:
    """uint16, the piece of each code."""
    return (codes >> np.uint64(WIDTH * band)).astype(np.uint16)
