"""Which videos train and which validate, read once into the cache, and their batches in an order that a seed draws."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from vidbench.augment import Augmentation, mirror_classes, training_view
from vidbench.data import index
from vidbench.data.cache import ClipCache
from vidbench.data.decode import Limits
from vidbench.data.load import ViewReader
from vidbench.data.split import random_splits
from vidbench.data.stored import read_stored
from vidbench.optimise import class_weights
from vidbench.records import AnnotationError, ConfigError, InputSpec, UnreadableVideo, VideoRecord
from vidbench.utils import printable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sides:
    """Videos of a training run.

    Args:
        train: readable or not; ``store_videos`` finds out.
        val: every one counts, readable or not.
        how: how the two were parted, for the checkpoint's card.
    """

    train: list[VideoRecord]
    val: list[VideoRecord]
    how: str


def divide(
    records: Sequence[VideoRecord], official: Sequence[VideoRecord] | None, *, share: float, seed: int, allow_leak: bool
) -> Sides:
    """Training and validation videos that share no source.

    Args:
        records: the training split.
        official: the dataset's own validation split, or ``None`` to part ``share`` of ``records`` from it by source.
        share: of the videos that validate, in (0, 1), where there is no official split.
        seed: draws them.
        allow_leak: part by video instead, and take an official split that shares sources.

    Raises:
        ConfigError: no source is known, or a side would be empty.
        AnnotationError: an official split that shares videos or sources with the training split.
    """
    if official is not None:
        if not allow_leak:
            index.check_groups(records, official)
        return Sides(list(records), list(official), "the dataset's own validation split")
    by = "clip" if allow_leak else "group"
    parts = random_splits(records, {"train": 1 - share, "val": share}, seed=seed, by=by, allow_leak=allow_leak)
    if not all(parts.values()):
        raise ConfigError(
            f"{len(records)} videos cannot be parted into training and validation by source; name a --val-split."
        )
    leak = " LEAKING: videos of one source on both sides" if allow_leak else ""
    return Sides(parts["train"], parts["val"], f"{share:.0%} of the training videos, by {by}, seed {seed}{leak}")


def check_classes(records: Sequence[VideoRecord], labels: Sequence[str], wanted: Sequence[str] | None) -> None:
    """Warn of classes without a training video, and of those with one; refuse to train on fewer than two classes.

    Raises:
        ConfigError: all usable videos are of one class, or there is none.
    """
    counts = Counter(record.label for record in records if usable(record))
    asked = [label for label in labels if wanted is None or label in wanted]
    for number, words in ((0, "no training video"), (1, "a single training video")):
        few = [label for label in asked if counts[label] == number]
        if few:
            names = ", ".join(printable(label, 40) for label in few[:5])
            log.warning("%d of %d classes have %s: %s%s", len(few), len(asked), words, names, ", ..." * (len(few) > 5))
    if len(counts) < 2:
        raise ConfigError(
            f"Training needs videos of at least two classes that are there; {sum(counts.values())} videos of "
            f"{len(counts)} were found. Check --data-dir, --split and --classes."
        )


def usable(record: VideoRecord) -> bool:
    """Whether a record can be trained on, as far as the list says."""
    return record.status == "ok" and record.label_index >= 0


@dataclass(frozen=True)
class Stored:
    """Training videos that could be read, and what became of the others.

    Args:
        records: the readable ones, in listed order.
        skipped: ``(record, status: reason)`` of those left out.
        num_bytes: of the kept frames.
    """

    records: list[VideoRecord]
    skipped: list[tuple[VideoRecord, str]]
    num_bytes: int


def store_videos(
    records: Sequence[VideoRecord],
    root: str | Path,
    spec: InputSpec,
    *,
    cache_dir: str | Path,
    num_workers: int,
    decoder: str = "pyav",
    limits: Limits | None = None,
    dataset: str = "",
    progress=None,
) -> Stored:
    """Read every training video once into the clip cache, in isolated workers.

    A video that cannot be read is left out with a warning, and no other takes its place.

    Args:
        records: the training split, in order.
        root: folder that their paths are relative to.
        spec: from ``vidbench.data.stored.stored_spec``.
        cache_dir, num_workers, decoder, limits, dataset: as for ``vidbench.data.load.ViewReader``.
        progress: as for ``vidbench.evaluate.evaluate``.
    """
    kept, skipped, num_bytes = [], [], 0
    how = {"num_workers": num_workers, "decoder": decoder, "limits": limits, "cache_dir": cache_dir}
    if progress:
        progress.start(len(records), 0)
    with ViewReader(root, spec, dataset=dataset, _read=read_stored, **how) as reader:
        for number, views in reader.stream(enumerate(records)):
            record = records[number]
            if isinstance(views, UnreadableVideo):
                skipped.append((record, str(views)))
            elif not usable(record):
                skipped.append((record, f"{record.status}: no usable label"))
            else:
                kept.append(record)
                num_bytes += views.pixels.nbytes
            if progress:
                progress.update(number + 1, len(skipped))
    if progress:
        progress.stop()
    if skipped:
        record, why = skipped[0]
        log.warning(
            "%d of %d training videos are left out, the first: %s (%s)",
            len(skipped),
            len(records),
            printable(record.path, 80),
            printable(why, 120),
        )
    return Stored(kept, skipped, num_bytes)


class TrainingClips(Dataset):
    """Training views: ``clips[epoch, i]`` depends on the constructor's arguments, epoch and ``i`` alone.

    Args:
        records: readable videos; read from the cache, or anew where their entry has gone.
        root: folder that their paths are relative to.
        stored: spec of the kept frames.
        spec: the model's input.
        num_frames: T of a view.
        how: augmentation, ``None`` for views without chance.
        labels: class names, for mirror images.
        seed: with epoch and ``i``, what is random about a view.
        cache_dir: the clip cache; ``None`` decodes every time.
        decoder: for videos whose entry has gone.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        root: str | Path,
        stored: InputSpec,
        spec: InputSpec,
        num_frames: int,
        how: Augmentation | None,
        labels: Sequence[str],
        *,
        seed: int,
        cache_dir: str | Path | None,
        decoder: str = "pyav",
    ):
        self.records, self.root, self.num_frames, self.how, self.seed = (
            tuple(records),
            Path(root),
            num_frames,
            how,
            seed,
        )
        self.stored, self.spec, self.mirrored = stored, spec, mirror_classes(labels)
        cache = None if cache_dir is None else ClipCache(cache_dir)
        self._read = functools.partial(read_stored, spec=stored, decoder=decoder, cache=cache)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: tuple[int, int]) -> tuple[torch.Tensor, int]:
        epoch, number = place
        record = self.records[number]
        frames = self._read(self.root / record.path).pixels[0]
        rng = np.random.default_rng([self.seed, epoch, number])
        return training_view(frames, record.label_index, self.spec, self.num_frames, self.how, self.mirrored, rng)


class EpochOrder(Sampler):
    """``(epoch, i)`` of all videos in an order that seed and epoch draw; with ``balanced``, each class alike often."""

    def __init__(self, labels: Sequence[int], *, seed: int, balanced: bool = False):
        self.labels, self.seed, self.balanced, self.epoch = np.asarray(labels), seed, balanced, 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch, from 0, whose order comes next; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.balanced:
            chances = class_weights(self.labels, int(self.labels.max()) + 1)[self.labels].astype(np.float64)
            order = rng.choice(len(self), len(self), p=chances / chances.sum())
        else:
            order = rng.permutation(len(self))
        return iter([(self.epoch, int(number)) for number in order])


def make_loader(clips: TrainingClips, *, batch_size: int, num_workers: int, balanced: bool) -> DataLoader:
    """Batches ``(uint8 (N, T, 3, H, W), int64 (N,))``; the last ones of an epoch, too few for a batch, are left out.

    Raises:
        AnnotationError: fewer videos than a batch.
    """
    if len(clips) < batch_size:
        raise AnnotationError(
            f"{len(clips)} readable training videos are fewer than a batch of {batch_size}: make --batch-size smaller."
        )
    order = EpochOrder([record.label_index for record in clips.records], seed=clips.seed, balanced=balanced)
    workers = {"persistent_workers": True, "multiprocessing_context": "spawn"} if num_workers else {}
    return DataLoader(
        clips,
        batch_size,
        sampler=order,
        drop_last=True,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        **workers,
    )
