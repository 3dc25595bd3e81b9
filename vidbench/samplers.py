"""Which training videos an epoch takes, in which order, how often, and which of several processes takes which."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Sampler

from vidbench.optimise import class_weights
from vidbench.records import AnnotationError, VideoRecord
from vidbench.utils import printable

FIRST_SHARE = 1 / 3  # of each class's videos, the easiest, with which a curriculum begins
MOST_BYTES = 256 << 20  # of a file of weights


class EpochOrder(Sampler):
    """``(epoch, number, turn)`` of the views of an epoch, in an order that seed and epoch draw.

    ``number`` is a video's place in the list, ``turn`` how often the epoch took it before: each view of a video is
    another one. Without ``balanced`` and ``weights`` every video comes ``num_views`` times, all once before any comes
    twice; with them each view is drawn by chance, with replacement.

    Args:
        labels: class index of each video.
        seed: a whole number, at least 0.
        balanced: draw each class alike often.
        weights: how often each video is drawn, relative to others of its class and, without ``balanced``, to all.
        num_views: of a video in an epoch, at least 1.
        difficulty: of each video, any unit. The first epoch takes the easiest third of each class, each later one a
            greater part. The number of views in an epoch stays the same.
        easy_epochs: the epoch, from 0, from which on all videos are taken.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        seed: int,
        balanced: bool = False,
        weights: Sequence[float] | np.ndarray | None = None,
        num_views: int = 1,
        difficulty: Sequence[float] | np.ndarray | None = None,
        easy_epochs: int = 0,
    ):
        self.labels, self.seed, self.num_views, self.epoch = np.asarray(labels), seed, num_views, 0
        self.chances = _chances(self.labels, balanced, weights)
        self.rank = None if difficulty is None else _rank_in_class(self.labels, np.asarray(difficulty))
        self.easy_epochs = easy_epochs

    def set_epoch(self, epoch: int) -> None:
        """The epoch, from 0, whose order comes next; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.labels) * self.num_views

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        before: Counter[int] = Counter()
        for number in self._numbers(rng).tolist():
            yield self.epoch, number, before[number]
            before[number] += 1

    def _numbers(self, rng: np.random.Generator) -> np.ndarray:
        taken = np.flatnonzero(self.taken(self.epoch))
        if self.chances is not None:
            chances = self.chances[taken]
            return rng.choice(taken, len(self), p=chances / chances.sum())
        passes = -(-len(self) // len(taken))
        return np.concatenate([rng.permutation(taken) for _ in range(passes)])[: len(self)]

    def taken(self, epoch: int) -> np.ndarray:
        """Which videos an epoch draws from, bool (n,)."""
        allowed = np.ones(len(self.labels), bool) if self.chances is None else self.chances > 0
        if self.rank is None or epoch >= self.easy_epochs:
            return allowed
        share = FIRST_SHARE + (1 - FIRST_SHARE) * epoch / self.easy_epochs
        easy = allowed & (self.rank < share - 1e-9)
        return easy if easy.any() else allowed


def _chances(labels: np.ndarray, balanced: bool, weights: Sequence[float] | np.ndarray | None) -> np.ndarray | None:
    if not balanced and weights is None:
        return None
    chances = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    if balanced:
        sums = np.bincount(labels, chances)
        if weights is None:
            return class_weights(labels, len(sums))[labels].astype(np.float64)
        chances = chances / np.maximum(sums, np.finfo(float).tiny)[labels]
    return chances


def _rank_in_class(labels: np.ndarray, difficulty: np.ndarray) -> np.ndarray:
    """The share of its class that is easier than a video, float (n,) in [0, 1); ties go by place in the list."""
    order, counts, rank = np.argsort(difficulty, kind="stable"), np.bincount(labels), np.zeros(len(labels))
    seen: Counter[int] = Counter()
    for number in order:
        label = labels[number]
        rank[number] = seen[label] / counts[label]
        seen[label] += 1
    return rank


class RankBatches(Sampler):
    """Batches of an order, of which each of several processes takes its part: together they are those of one process
    with batches ``num_ranks`` times as large. What is too little for a batch of all is left out of that epoch.

    Args:
        sampler: an ``EpochOrder``.
        batch_size: of one process.
        rank: of this one, from 0.
        num_ranks: processes in all.
    """

    def __init__(self, sampler: EpochOrder, batch_size: int, rank: int = 0, num_ranks: int = 1):
        self.sampler, self.batch_size, self.rank, self.num_ranks = sampler, batch_size, rank, num_ranks
        self.begun = (-1, 0)

    def begin_at(self, epoch: int, batch: int) -> None:
        """Leave out the first batches of an epoch: they were learnt from before a stop."""
        self.begun = (epoch, batch)
        self.sampler.set_epoch(epoch)  # workers begin before Lightning says which epoch it is

    def __len__(self) -> int:
        return len(self.sampler) // (self.batch_size * self.num_ranks)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        epoch, places = self.sampler.epoch, list(self.sampler)
        first = self.begun[1] if epoch == self.begun[0] else 0
        for batch in range(first, len(self)):
            start = (batch * self.num_ranks + self.rank) * self.batch_size
            yield places[start : start + self.batch_size]


def read_weights(path: str | Path, records: Sequence[VideoRecord]) -> np.ndarray:
    """How often each video is to be drawn, from a CSV file with the columns ``path`` and ``weight``.

    Lines of other videos are passed over, so that one file can serve several lists.

    Returns:
        float64 (n,), at least 0, in the order of ``records``.

    Raises:
        AnnotationError: no such table, a weight that is no number of at least 0, a video without one, or all 0.
    """
    name, found = printable(path, 160), {}
    try:
        if Path(path).stat().st_size > MOST_BYTES:
            raise AnnotationError(f"{name} is larger than {MOST_BYTES >> 20} MB: no list of weights")
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"path", "weight"} <= set(rows.fieldnames or ()):
                raise AnnotationError(f"{name} must be a CSV file whose first line names the columns path and weight")
            for row in rows:
                found[row["path"]] = _weight(row["weight"], f"{name}:{rows.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise AnnotationError(f"{name} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
    lacking = [record.path for record in records if record.path not in found]
    if lacking:
        raise AnnotationError(
            f"{name} has no weight for {len(lacking)} of {len(records)} training videos, the first: "
            f"{printable(lacking[0], 120)}"
        )
    weights = np.array([found[record.path] for record in records])
    if not weights.sum() > 0:
        raise AnnotationError(f"{name} gives all training videos the weight 0")
    return weights


def _weight(text: str | None, place: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise AnnotationError(f"{place}: a weight must be a number of at least 0, not {printable(text, 40)!r}")
    return value
