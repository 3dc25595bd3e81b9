"""Time and memory of finding near duplicates: python benchmarks/look_alikes.py [--videos N N] [--share S].

Hashes are random, as those of unlike pictures are, with copies planted among them; no video is read. All pairs are
compared on a share of the first list only, and that time is multiplied.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vidbench.data.check import MOST_DIFFERENT, NUM_CODES, Finding, Part, shared_pictures
from vidbench.data.near import _all_pairs
from vidbench.records import VideoRecord
from vidbench.utils import machine_facts

COPIES = 500


def drawn(number: int, seed: int) -> np.ndarray:
    """uint64 (number, 5)."""
    return np.random.default_rng(seed).integers(0, 2**64 - 1, (number, NUM_CODES), dtype=np.uint64)


def planted(codes: np.ndarray, source: np.ndarray) -> np.ndarray:
    """``codes`` with copies of some of ``source`` in the first places, up to four bits changed in each picture."""
    rng = np.random.default_rng(2)
    copies = source[rng.choice(len(source), COPIES, replace=False)]
    for _ in range(4):
        copies ^= np.uint64(1) << rng.integers(0, 64, copies.shape).astype(np.uint64)
    return np.concatenate([copies, codes[COPIES:]])


def part(name: str, codes: np.ndarray) -> Part:
    findings = [
        Finding(VideoRecord(f"{name}{n}", f"{name}{n}.mp4"), "ok", codes=tuple(row))
        for n, row in enumerate(codes.tolist())
    ]
    return Part(name, ".", [], findings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, nargs=2, default=(240_000, 20_000))
    parser.add_argument("--share", type=float, default=0.01, help="of the first list that is compared with all pairs")
    options = parser.parse_args()
    train = drawn(options.videos[0], 0)
    val = planted(drawn(options.videos[1], 1), train)
    parts = [part("train", train), part("val", val)]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    leaks = shared_pictures(parts)
    banded = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    some = train[: int(len(train) * options.share)].ravel()
    began = time.perf_counter()
    for _ in _all_pairs(some, val.ravel(), MOST_DIFFERENT):
        pass
    every = (time.perf_counter() - began) / options.share
    print(f"machine: {machine_facts()}")
    print(f"{len(train)} x {len(val)} videos, {NUM_CODES} pictures each, {MOST_DIFFERENT} bits")
    print(f"found {len(leaks)} pairs, {COPIES} planted")
    print(f"shared_pictures {banded:.1f} s, peak {peak / 2**10:.0f} MB ({before / 2**10:.0f} MB before)")
    print(f"all pairs {every:.0f} s ({options.share:g} of them measured), {every / banded:.0f} times as long")


if __name__ == "__main__":
    main()
