"""Which videos train and which validate, read once into the cache, and the batches of training views."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from vidbench.augment import (
    Augmentation,
    Turned,
    draw_view,
    exchange,
    label_of,
    mirror_classes,
    partner_classes,
)
from vidbench.data import index
from vidbench.data.cache import ClipCache
from vidbench.data.decode import Limits
from vidbench.data.load import ViewReader
from vidbench.data.spawning import HiddenMainContext
from vidbench.data.split import random_splits
from vidbench.data.stored import read_stored, stored_key
from vidbench.records import AnnotationError, ConfigError, InputSpec, UnreadableVideo, VideoRecord, Views
from vidbench.samplers import EpochOrder, RankBatches
from vidbench.utils import plural, printable

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
    records: Sequence[VideoRecord],
    official: Sequence[VideoRecord] | None,
    *,
    share: float,
    seed: int,
    allow_leak: bool,
    by_path: bool = False,
) -> Sides:
    """Training and validation videos that share no source, as far as sources are known.

    Where none is known, each clip is drawn for itself, which is logged and goes into the checkpoint's card.

    Args:
        records: the training split.
        official: a split that validates, or ``None`` to part ``share`` of ``records`` from it by source.
        share: of the videos that validate, in (0, 1), where there is no official split.
        seed: draws them.
        allow_leak: part by video instead, and take an official split that shares sources.
        by_path: as for ``vidbench.data.index.check_groups``.

    Raises:
        ConfigError: a side would be empty.
        AnnotationError: an official split that shares videos or sources with the training split.
    """
    if official is not None:
        if not allow_leak:
            index.check_groups(records, official, by_path=by_path)
        names = " and ".join(printable(name, 40) for name in dict.fromkeys(record.split for record in official))
        return Sides(list(records), list(official), f"the dataset's own split {names}".rstrip())
    known = {record.group for record in records if record.group}
    by = "group" if known and not allow_leak else "clip"
    parts = random_splits(records, {"train": 1 - share, "val": share}, seed=seed, by=by, allow_leak=True)
    if not all(parts.values()):
        raise ConfigError(_too_few(len(records), len(known) if by == "group" else None, share))
    how = f"{share:.0%} of the training videos, by {by}, "
    if known:
        leak = " LEAKING: videos of one source on both sides" if allow_leak else ""
        return Sides(parts["train"], parts["val"], f"{how}seed {seed}{leak}")
    log.warning(
        "No source of these videos is known, so they are divided by clip: clips cut from one video may stand on both "
        "sides, and validation then looks too good. Name sources in the column 'group' of a list (--dataset csv), or "
        "keep videos apart in folders train/ and val/, or as a split of the list that --val-split names."
    )
    return Sides(parts["train"], parts["val"], f"{how}sources unknown, seed {seed}")


def _too_few(num_videos: int, num_sources: int | None, share: float) -> str:
    """Why a side is empty, and what can be changed."""
    videos = plural(num_videos, "video")
    if num_sources is None:
        how = "by clip"
    else:
        videos += f" of {plural(num_sources, 'source')}"
        how = "by source"
    return (
        f"{videos} cannot be parted into training and validation {how} with --val-share {share:g}: name another share "
        "or a --val-split, or take more videos (--limit and --classes leave some out)."
    )


def check_classes(records: Sequence[VideoRecord], labels: Sequence[str], wanted: Sequence[str] | None) -> None:
    """Warn of classes without a training video, and of those with one; ``ConfigError`` as for ``refuse_one_class``."""
    counts = Counter(record.label for record in records if usable(record))
    asked = [label for label in labels if wanted is None or label in wanted]
    for number, words in ((0, "no training video"), (1, "a single training video")):
        few = [label for label in asked if counts[label] == number]
        if few:
            names = ", ".join(printable(label, 40) for label in few[:5])
            log.warning("%d of %d classes have %s: %s%s", len(few), len(asked), words, names, ", ..." * (len(few) > 5))
    refuse_one_class(records)


def refuse_one_class(records: Sequence[VideoRecord]) -> None:
    """Raise ``ConfigError`` unless usable videos are of two classes or more; it quotes what is wrong with the first."""
    labels = [record.label for record in records if usable(record)]
    if len(set(labels)) > 1:
        return
    bad = [record.reason for record in records if record.reason]
    others = f" ({len(bad)} more cannot be used, the first: {printable(bad[0], 160)})" if bad else ""
    raise ConfigError(
        f"Training needs videos of at least two classes that are there; {len(labels)} videos of {len(set(labels))} "
        f"were found{others}. Check --data-dir, --split and --classes."
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
        seconds: how long each readable video is.
    """

    records: list[VideoRecord]
    skipped: list[tuple[VideoRecord, str]]
    num_bytes: int
    seconds: list[float]


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
    kept, skipped, num_bytes, seconds = [], [], 0, []
    if progress:
        progress.start(len(records), 0)
    with ViewReader(
        root, spec, num_workers=num_workers, decoder=decoder, limits=limits, cache_dir=cache_dir, dataset=dataset,
        _read=read_stored,
    ) as reader:  # fmt: skip
        for number, views in reader.stream(enumerate(records)):
            record = records[number]
            if isinstance(views, UnreadableVideo):
                skipped.append((record, str(views)))
            elif not usable(record):
                skipped.append((record, f"{record.status}: no usable label"))
            else:
                kept.append(record)
                num_bytes += views.pixels.nbytes
                seconds.append(views.info.num_frames / views.info.frame_rate if views.info.frame_rate else 0.0)
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
    return Stored(kept, skipped, num_bytes, seconds)


@dataclass(frozen=True)
class Drawn:
    """What chance decided about a training view.

    Args:
        view: the view itself, uint8 (T, 3, H, W).
        frames: the number of each of its frames in the video, int64 (T,), from 0, in the order of the view.
        num_frames: of the video.
        turned: what it shows of the kept frames, and whether mirrored or backwards.
        size: (height, width) of the kept frames, in pixels.
        changes: name and draws of each transform of torchvision, in their order; see ``augment.change_pixels``.
    """

    view: torch.Tensor
    frames: np.ndarray
    num_frames: int
    turned: Turned
    size: tuple[int, int]
    changes: list[tuple[str, dict]]


class TrainingClips(Dataset):
    """Training views: ``clips[epoch, i, turn]`` depends on the constructor's arguments and these three alone.

    A view is ``(uint8 (T, 3, H, W), class index)``, with a teacher's scores, float32 (K,), where there are any.

    Args:
        records: readable videos; read from the cache, or anew where their entry has gone.
        root: folder that their paths are relative to.
        stored: spec of the kept frames.
        spec: the model's input.
        num_frames: T of a view.
        how: augmentation, ``None`` for views without chance.
        labels: class names, for mirror images.
        seed: with epoch, ``i`` and turn, what is random about a view.
        cache_dir: the clip cache; ``None`` decodes every time.
        decoder: for videos whose entry has gone.
        scores: of a teacher for each record, float32 (n, K). A mirrored view, and one played backwards, has those of
            the classes exchanged.
        time_pairs: classes of which each is the other one played backwards; half of their views are.
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
        scores: np.ndarray | None = None,
        time_pairs: Sequence[tuple[str, str]] = (),
    ):
        self.records, self.root, self.num_frames, self.how, self.seed = (
            tuple(records),
            Path(root),
            num_frames,
            how,
            seed,
        )
        self.stored, self.spec, self.mirrored, self.scores = stored, spec, mirror_classes(labels), scores
        self.partners = partner_classes(labels, time_pairs) if time_pairs else None
        self.cache, self.decoder = None if cache_dir is None else ClipCache(cache_dir), decoder
        self._keys: dict[int, str | None] = {}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: tuple[int, int, int]) -> tuple:
        _, number, turn = place
        label, how = self.records[number].label_index, (self.spec, self.num_frames, self.how, self.mirrored)
        clip, turned = draw_view(self._frames(number), label, *how, self._generator(place), turn, self.partners)
        label = label_of(label, turned, self.mirrored, self.partners)
        if self.scores is None:
            return clip, label
        scores = exchange(self.scores[number], self.mirrored) if turned.mirrored else self.scores[number]
        if self.partners is not None and turned.backwards:
            scores = exchange(scores, self.partners)
        return clip, label, torch.from_numpy(scores.copy())

    def how_drawn(self, place: tuple[int, int, int]) -> Drawn:
        """The view ``clips[place]`` once more, and what chance decided about it."""
        _, number, turn = place
        views, rng, heard = self._stored(number), self._generator(place), list[tuple[str, dict]]()
        how = (self.spec, self.num_frames, self.how, self.mirrored)
        frames, label = views.pixels[0], self.records[number].label_index
        view, turned = draw_view(frames, label, *how, rng, turn, self.partners, heard)
        return Drawn(view, views.indices[0][turned.positions], views.info.num_frames, turned, frames.shape[1:3], heard)

    def _generator(self, place: tuple[int, int, int]) -> np.random.Generator:
        epoch, number, turn = place
        return np.random.default_rng([self.seed, epoch, number, turn] if turn else [self.seed, epoch, number])

    def _frames(self, number: int) -> np.ndarray:
        return self._stored(number).pixels[0]

    def _stored(self, number: int) -> Views:
        """The kept frames of a video, which is itself read only for the first view of it."""
        path, known = self.root / self.records[number].path, self._keys
        if self.cache and number not in known:
            known[number] = stored_key(path, self.stored, self.cache, self.decoder)
        key = known.get(number)
        return read_stored(path, self.stored, decoder=self.decoder, cache=self.cache, key=key)


def check_batch(num_videos: int, num_views: int, batch_size: int, num_ranks: int, kind: str) -> None:
    """Raise ``AnnotationError`` where an epoch has fewer views than one batch of all processes.

    Args:
        num_videos: that train.
        num_views: of each in an epoch.
        batch_size: of one process.
        num_ranks: processes that share each epoch.
        kind: of videos these are, for the sentence.
    """
    if num_videos * num_views >= batch_size * num_ranks:
        return
    views = f", {num_views} views of each," if num_views > 1 else ""
    several = f" in each of {num_ranks} processes" if num_ranks > 1 else ""
    raise AnnotationError(
        f"{num_videos} {kind} training videos{views} are fewer than a batch of {batch_size}{several}: make "
        "--batch-size smaller."
    )


def make_loader(
    clips: TrainingClips, order: EpochOrder, *, batch_size: int, num_workers: int, rank: int = 0, num_ranks: int = 1
) -> DataLoader:
    """Batches ``(uint8 (N, T, 3, H, W), int64 (N,))``; the last ones of an epoch, too few for a batch, are left out.

    Args:
        clips: the training views.
        order: which of them an epoch takes.
        batch_size: N.
        num_workers: processes that make views; 0 makes them in this one.
        rank: of this process, from 0.
        num_ranks: processes that share each epoch.

    Raises:
        AnnotationError: fewer views than a batch.
    """
    check_batch(len(clips), order.num_views, batch_size, num_ranks, "readable")
    return DataLoader(
        clips,
        batch_sampler=RankBatches(order, batch_size, rank, num_ranks),
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
        multiprocessing_context=HiddenMainContext() if num_workers else None,  # Ctrl-C is this process's alone
    )
