"""The videos of a run through the network, in this process: from batches to rows and logits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from vidbench import forward, models, predict
from vidbench.data import load
from vidbench.data.pictures import video_stamp
from vidbench.gpu import is_cuda, pinned
from vidbench.plan import Plan, limits_of, top_n_of, workers_of
from vidbench.records import ConfigError, Row, RunError, UnreadableVideo, VideoRecord, Views
from vidbench.runs import RunFolder
from vidbench.stage_times import StageClock
from vidbench.utils import jsonable, peak_rss_mb, printable


class Numbered(Protocol):
    """Records by their number in the list: the list itself, or a dictionary of some of it."""

    def __getitem__(self, number: int, /) -> VideoRecord:
        """The record of this number."""


def load_model(config, plan: Plan, device: str) -> models.Model:
    """The model with its weights, set to the input that was asked for."""
    labels = plan.labels if plan.new_head else None
    model = models.load_model(plan.card.name, config.weights, device=device, seed=config.seed, labels=labels)
    if model.random_head and config.weights:
        raise ConfigError(
            f"{printable(config.weights)} has the {plan.card.num_classes} classes of {plan.card.labels} and not the "
            f"{len(plan.labels)} of {plan.dataset.name}; train it on them first, or leave out --new-head"
        )
    model.spec = plan.spec
    return model


def open_reader(config, plan: Plan, device: str) -> load.ViewReader:
    """A reader of the plan's videos; nothing is started or read yet."""
    workers = workers_of(config)
    return load.ViewReader(
        plan.root,
        plan.spec,
        num_workers=workers,
        decoder=config.decoder,
        limits=limits_of(config),
        cache_dir=None if config.no_cache else config.cache_dir,
        dataset=plan.dataset.name,
        ahead=2 * config.batch_size + workers,
        **({"allocate": pinned} if is_cuda(device) and workers else {}),
    )


class Here:
    """Reads in workers of this machine and predicts in this process.

    Another engine has the same methods, used in this order: entered, ``find_batch_size`` (where it is not known) and
    ``config`` set, ``prepare`` (where there is work), ``device``, ``begin``, ``results``, ``timing``, left.

    Args:
        config: a checked ``EvaluateConfig``.
        plan: what there is to do.
    """

    def __init__(self, config, plan: Plan):
        self.config, self.plan, self.device = config, plan, models.choose_device(config.device)
        self.records: Numbered = plan.records
        self.reader: load.ViewReader | None = None

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_) -> None:
        if self.reader:
            self.reader.close()

    @functools.cached_property
    def model(self) -> models.Model:
        """The model with its weights, loaded when it is first asked for."""
        return load_model(self.config, self.plan, self.device)

    def find_batch_size(self) -> int:
        """How many videos should pass the network together on this device."""
        if not is_cuda(self.device):
            return forward.BATCH_SIZE
        return forward.find_batch_size(self.model, self.config.precision)

    def prepare(self) -> models.Model:
        """Load what is needed, and give the model; raises what a user has to know before anything is written."""
        self.reader = open_reader(self.config, self.plan, self.device)
        self.reader.warm_up()  # workers start while the model is loaded
        return self.model

    def begin(self, run: RunFolder) -> None:
        """The run is there: write down the weights, and refuse others than it had."""
        if self.reader is None:
            self.prepare()
        check_weights(self.model, run)

    def results(
        self, run: RunFolder | None, todo: Iterable, clock: StageClock
    ) -> Iterator[tuple[list[Row], np.ndarray]]:
        """Rows and logits of whole batches of ``(number, record)``, in the order given.

        How the network runs best is tried out once and written down in ``run``; ``None`` where that is settled.
        """
        assert self.reader, "begin opens it"
        with self.reader as reader:
            begun = (
                self._begin_batch(batch, run, clock) for batch in batches(reader.stream(todo), self.config.batch_size)
            )
            for finish_batch in one_behind(begun) if is_cuda(self.device) else begun:
                yield finish_batch()
                if not clock.memory_kept and self.model.seconds.get("forward"):
                    clock.memory_kept = True
                    forward.reuse_memory(self.model, peak_rss_mb())

    def _begin_batch(self, batch, run: RunFolder | None, clock: StageClock) -> Callable:
        pixels = [views.pixels for _, views in batch if isinstance(views, Views)]
        if run and pixels and not self.model.settled:
            with clock.apart():
                settle(self.model, pixels, self.config, run)
        return begin_batch(batch, self.records, self.plan, self.model, self.config, clock)

    def timing(self, run: RunFolder, clock: StageClock) -> dict:
        """The section ``timing`` of the manifest, with the sessions before."""
        return clock.facts(self.model, run.manifest.get("timing"), workers_of(self.config))


def check_weights(model, run: RunFolder) -> None:
    """Write down which weights were loaded; refuse to continue a run with others."""
    before = run.manifest["model"].get("weights_sha256", model.weights_sha256)
    if before != model.weights_sha256:
        raise RunError(
            f"{run.folder} is another run: its weights have the hash {before}, these {model.weights_sha256}; "
            "use another --run-name"
        )
    run.update_manifest(
        model={
            "weights_sha256": model.weights_sha256,
            "weights_source": model.weights_source,
            "published": model.published_weights,
        }
    )


def batches(stream: Iterable, size: int) -> Iterator[list]:
    """Lists of ``size`` items; always the same videos together, however often a run stops."""
    iterator = iter(stream)
    while batch := list(islice(iterator, size)):
        yield batch


def one_behind(stream: Iterable) -> Iterator:
    """The same items, each given when the next one is there, so that a GPU works on one while another is read."""
    waiting: list = []
    for item in stream:
        yield from waiting
        waiting = [item]
    yield from waiting


def begin_batch(batch, records: Numbered, plan: Plan, model, config, clock: StageClock) -> Callable:
    """Hand one batch of ``(number, Views or UnreadableVideo)`` of these records to the network.

    Returns:
        A function that waits for the network and gives the batch's rows and per-view logits.
    """
    readable = [(number, views) for number, views in batch if isinstance(views, Views)]
    clock.add(views for _, views in readable)
    pixels = [views.pixels for _, views in readable]
    submitted = model.submit(whole_batches(pixels, config.batch_size, model), config.batch_size) if readable else list
    numbers, top_n = [number for number, _ in readable], top_n_of(config, plan)

    def finish_batch() -> tuple[list[Row], np.ndarray]:
        found = dict(zip(numbers, submitted()))
        logits = np.full((len(batch), plan.spec.num_views, plan.num_scores), np.nan, np.float32)
        rows = []
        for place, (number, views) in enumerate(batch):
            if number in found:
                logits[place] = found[number]
            rows.append(make_row(number, records[number], plan, views, found.get(number), top_n))
        return rows, logits

    return finish_batch


def whole_batches(pixels: list[np.ndarray], size: int, model) -> list[np.ndarray]:
    """Pixels of videos, with copies of one view behind them until the number of views is a multiple of ``size``.

    In a batch of one size a view gets the same logits, bit by bit, whatever stands beside it; in a smaller batch the
    libraries sum in another order. So a video's logits do not depend on which of its neighbours could be read, or on
    how many views it is given.
    """
    missing = -sum(len(views) for views in pixels) % size
    if not missing or not model.network.tunable:  # other networks take one video at a time
        return pixels
    return [*pixels, np.repeat(pixels[-1][-1:], missing, axis=0)]


def settle(model, pixels: list[np.ndarray], config, run: RunFolder) -> None:
    """Fix precision and memory format: what this run used before, or what measures best now."""
    before = run.manifest["run"]
    if "precision" in before:
        model.settle(before["precision"], before["memory_format"])
        return
    tuning = models.tune(model, pixels, config.batch_size, config.precision)
    model.settle(tuning.precision, tuning.memory_format)
    run.update_manifest(
        run={"precision": tuning.precision, "memory_format": tuning.memory_format}, tuning=jsonable(tuning.facts())
    )


def make_row(
    number: int,
    record: VideoRecord,
    plan: Plan,
    views: Views | UnreadableVideo,
    logits: np.ndarray | None,
    top_n: int,
) -> Row:
    """The row of one video: its best classes, or why it has none; ``logits`` are there where it was read."""
    size = size_of(plan.root / record.path) if record.status == "ok" else 0
    common = {name: getattr(record, name) for name in ("video_id", "path", "label", "label_index", "split", "group")}
    common["file_size"] = size
    if isinstance(views, UnreadableVideo):
        return Row(number, **common, status=views.status, reason=views.reason)
    assert logits is not None
    common |= {"num_frames": views.info.num_frames, "frame_rate": float(f"{views.info.frame_rate:.6g}")}
    if not np.isfinite(logits).all():
        return Row(number, **common, status="nonfinite", reason="the network gave NaN or infinity")
    scores = predict.average(logits, plan.spec)
    if plan.label_map is not None:
        scores = plan.label_map.apply(scores)
    best = predict.top(scores, top_n, last=record.label_index)
    top = tuple((plan.labels[k], k, float(f"{scores[k]:.7g}")) for k in best)
    rank = predict.rank_of(scores, record.label_index) if record.label_index >= 0 else -1
    return Row(number, **common, status=views.status, reason=views.reason, top=top, rank=rank)


def size_of(path: Path) -> int:
    """Bytes of a video, a file or a folder of pictures; 0 where there is none."""
    return max(0, video_stamp(path)[0])
