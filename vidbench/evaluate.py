"""A run: one row per listed video, whatever happens to it; resumed where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from vidbench import forward, hubs, models, predict, protocol, report, scores
from vidbench.asked import FLAGS, asked_facts, asked_input, asked_words
from vidbench.data import catalog, check, decode, flow, index, ledger, load
from vidbench.data.parents import parents_facts
from vidbench.data.pictures import video_stamp
from vidbench.gpu import is_cuda, pinned
from vidbench.kinds import shard_numbers
from vidbench.predictions_csv import write_predictions_csv
from vidbench.records import ConfigError, InputSpec, Row, RunError, UnreadableVideo, VideoRecord, Views
from vidbench.remote import is_remote
from vidbench.runs import SCHEMA, RunFolder, dataset_labels, read_json, read_rows, refuse_differences
from vidbench.summary import summary_text
from vidbench.utils import (
    git_commit,
    machine_facts,
    package_versions,
    printable,
    sha256_of_file,
    sha256_of_json,
    usable_cores,
    write_json,
)

EXIT_OK, EXIT_SKIPPED, EXIT_INTERRUPTED = 0, 3, 130
TOP_N = 5  # best classes of a row, where nobody named another number
ROOT = Path(__file__).resolve().parents[1]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How an evaluation ended.

    Args:
        run_folder: where everything lies; an address, where that is an object store.
        summary: a few lines for people.
        exit_status: 0; 3 when more videos were skipped than allowed; 130 when interrupted.
        metrics: the content of ``metrics.json``; empty when interrupted.
    """

    run_folder: Path | str
    summary: str
    exit_status: int
    metrics: dict


@dataclass(frozen=True)
class Choice:
    """Model, input and data that a configuration names.

    Args:
        card: the model's card.
        spec: the card's input, with what the configuration overrides.
        dataset: the dataset's card.
        root: folder that the records' paths are relative to.
        split: name of the split.
        new_head: whether the network's last layer has the dataset's classes instead of the card's.
    """

    card: models.ModelCard
    spec: InputSpec
    dataset: catalog.DatasetCard
    root: Path
    split: str
    new_head: bool


@dataclass(frozen=True)
class Plan(Choice):
    """A choice with its videos and classes, settled before any work.

    Args:
        records: listed videos in order; those that cannot be predicted carry a status.
        labels: class names of the dataset, in index order.
        label_map: from the model's classes to the dataset's; ``None`` where they are the same.
        num_in_split: videos before ``--limit``.
        absent: videos that ``--present-only`` left out, because they are not there.
        whole: the list before ``--shard``: ``(number of videos, fingerprint)``.
        card, spec, dataset, root, split, new_head: as in ``Choice``.
    """

    records: list[VideoRecord]
    labels: tuple[str, ...]
    label_map: predict.LabelMap | None
    num_in_split: int
    absent: tuple[VideoRecord, ...] = ()
    whole: tuple[int, str] = (0, "")

    @property
    def on_card(self) -> bool:
        """Whether the input is the card's, so that the score can be held beside published ones."""
        return self.spec == self.card.input

    @property
    def num_scores(self) -> int:
        """K of the network."""
        return len(self.labels) if self.new_head else self.card.num_classes


class Numbered(Protocol):
    """Records by their number in the list: the list itself, or a dictionary of some of it."""

    def __getitem__(self, number: int, /) -> VideoRecord:
        """The record of this number."""


def evaluate(config, *, progress=None, engine=None) -> Outcome:
    """Evaluate a model on a split; continue the run when its folder exists.

    Args:
        config: a ``vidbench.arguments.EvaluateConfig``.
        progress: ``start(total, done)``, ``update(done, skipped)`` and ``stop()`` are called.
        engine: called with the checked configuration and the plan, gives what reads and predicts: ``Here``, which is
            the default, or another class with its methods. ``vidbench.engines.run`` chooses it by the configuration.

    Returns:
        The outcome; rows, logits, metrics and report are in its run folder.

    Raises:
        VidbenchError: something asked for cannot be had; nothing that was written is lost.
    """
    config = config.checked()
    if engine is None and (config.engine != "local" or config.devices):
        raise ConfigError("--engine and --devices are for vidbench.engines.run, which chooses what evaluate runs on")
    if is_remote(config.results_dir):
        raise ConfigError(f"--results-dir {printable(config.results_dir)} is no folder of this machine")
    if config.report_only:
        return report_again(config)
    plan = make_plan(config)
    folder = run_folder(config)
    if config.dry_run:
        return Outcome(folder, describe_plan(with_batch_size(config, folder), plan, folder), EXIT_OK, {})
    done = len(read_rows(folder / "rows.jsonl", plan.records)[0])
    keep = functools.partial(rows_that_stand, plan)
    shape = plan.spec.num_views, plan.num_scores
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context((engine or Here)(config, plan))
        worker.config = config = with_batch_size(config, folder, worker)
        if done < len(plan.records):  # before anything is written
            worker.prepare()
        facts = manifest(config, plan, worker.device)
        run = stack.enter_context(RunFolder(folder, facts, plan.records, *shape, config.batch_size, keep))
        fetched = check.fetch_states(plan.root, plan.split, (*plan.records, *plan.absent))
        ledger.write_absent(folder, plan.records, plan.absent, fetched)
        left = len(plan.records) - len(run.rows)
        try:
            if left:
                predict_missing(plan, run, worker, progress)
        except KeyboardInterrupt:
            said = (
                f"stopped after {len(run.rows)} of {len(plan.records)} videos; the same command continues in {folder}"
            )
            return Outcome(folder, said, EXIT_INTERRUPTED, {})
        keep_questions(folder, config)
        return finish(folder, config, ran=bool(left))


def report_again(config) -> Outcome:
    """Metrics, table and report of a finished run from its rows, when the options name that run."""
    folder, choice = run_folder(config), choose(config)
    config = with_batch_size(config, folder)
    old, new = read_json(folder / "manifest.json"), {"schema": SCHEMA, **asked(config, choice)}
    for name in ("device", *(() if config.top_n else ("top_n",))):
        if name in old.get("run", {}):
            new["run"][name] = old["run"][name]
    shared = {
        name: {key: part.get(key) for key in new[name]}
        if isinstance(part, dict) and isinstance(new[name], dict)
        else part
        for name, part in old.items()
        if name in new
    }
    refuse_differences(folder, shared, new)
    keep_questions(folder, config)
    return finish(folder, config, ran=False)


def with_batch_size(config, folder: Path, worker=None):
    """The configuration with a number for ``--batch-size auto``: that of the run in the folder, or a new one."""
    if config.batch_size != "auto":
        return config
    size = None
    if (folder / "rows.jsonl").exists():
        size = read_json(folder / "manifest.json").get("run", {}).get("batch_size")
    if not size:
        size = worker.find_batch_size() if worker else forward.BATCH_SIZE
    return dataclasses.replace(config, batch_size=size)


# ---------------------------------------------------------------- what is asked for


def choose(config) -> Choice:
    """What the configuration names; reads no file of the dataset."""
    card, dataset = models.find_card(config.model, config.weights), catalog.find_dataset(config.dataset)
    root, split = Path(config.data_dir or dataset.default_dir), config.split or dataset.default_split
    return Choice(card, override(card.input, config), dataset, root, split, config.new_head)


def make_plan(config) -> Plan:
    """Settle records and labels; reads annotation files, decodes nothing."""
    choice = choose(config)
    dataset, root, split = choice.dataset, choice.root, choice.split
    labels = index.dataset_labels(dataset.name, root, config.annotations)
    label_map = None if choice.new_head else make_label_map(config.label_map, labels, choice.card)
    parents_facts(config.parents, labels)  # said before any work where they cannot be used
    records = index.load_records(
        dataset.name,
        root=root,
        split=split,
        fold=config.fold,
        classes=config.classes,
        annotations=config.annotations,
    )
    absent = tuple(record for record in records if record.status == "missing") if config.present_only else ()
    if config.present_only:
        records, _ = index.keep_present(records)
        if not records:
            raise ConfigError(f"none of the {len(absent)} videos listed in split {split!r} is below {printable(root)}")
    listed = len(records)
    if config.limit:
        records = index.draw_subset(records, config.limit, config.seed)
    if not records:
        raise ConfigError(f"no video is listed in split {split!r} of {dataset.name} below {printable(root)}")
    records = [mark_unmapped(record, label_map) for record in records]
    whole = len(records), index.records_fingerprint(records)
    records = shard_of(records, config.shard, config.batch_size)
    values = {field.name: getattr(choice, field.name) for field in dataclasses.fields(choice)}
    return Plan(
        **values, records=records, labels=labels, label_map=label_map, num_in_split=listed, absent=absent, whole=whole
    )


def shard_of(records: list[VideoRecord], shard: str | None, batch_size: int) -> list[VideoRecord]:
    """The records of ``i/n``: batches ``i - 1``, ``i - 1 + n``, and so on of the list; all without a shard.

    Whole batches, so that each holds the same videos as in a run that is not divided, and gives the same bits.

    Raises:
        ConfigError: there are fewer batches than that.
    """
    if shard is None:
        return records
    number, of = shard_numbers(shard)
    kept = [record for place, record in enumerate(records) if place // batch_size % of == number - 1]
    if not kept:
        batches = -(-len(records) // batch_size)
        raise ConfigError(f"shard {shard} is empty: {len(records)} videos are {batches} batches of {batch_size}")
    return kept


def override(spec: InputSpec, config) -> InputSpec:
    """The card's input as ``--protocol`` changes it, and then the flags that were given."""
    given = {name: getattr(config, name) for name in FLAGS} | {"resize": config.short_side}
    return asked_input(spec, config.protocol, given)


def make_label_map(choice, labels: tuple[str, ...], card) -> predict.LabelMap | None:
    """The map that ``--label-map`` names; ``None`` where dataset and model share their classes."""
    model_labels = models.labels_of(card)
    if choice is None:
        if tuple(labels) != tuple(model_labels):
            shared = len(set(labels) & set(model_labels))
            raise ConfigError(
                f"{card.name} predicts the {len(model_labels)} classes of {card.labels}, the data have {len(labels)} "
                f"others ({shared} names agree); pass --label-map names to use those, known to use renamed "
                "ones too, or --label-map FILE"
            )
        return None
    if choice in ("names", "known"):
        make = predict.LabelMap.by_name if choice == "names" else predict.LabelMap.known
        return make(labels, model_labels)
    return predict.LabelMap.from_csv(choice, labels, model_labels)


def mark_unmapped(record: VideoRecord, label_map) -> VideoRecord:
    """A record whose class the model cannot predict is listed, and never decoded; only its header is looked at."""
    if label_map is None or record.status != "ok" or record.label_index < 0:
        return record
    if label_map.is_mapped(record.label_index):
        return record
    reason = f"no class of the model is mapped to {printable(record.label, 80)}"
    return dataclasses.replace(record, status="unknown_label", reason=reason)


def run_folder(config) -> Path:
    """``results/NAME``; the default name says model, dataset, split and subset."""
    if config.run_name:
        return Path(config.results_dir) / config.run_name
    choice = choose(config)
    words = [choice.card.name, choice.dataset.name, choice.split]
    words += [] if config.protocol == "card" else [re.sub(r"[^\w.-]+", "-", Path(config.protocol).stem)[:40]]
    words += [f"limit{config.limit}"] if config.limit else []
    words += [f"shard{config.shard.replace('/', 'of')}"] if config.shard else []
    words += [word.replace(":", "-") for word in (config.temporal, config.corrupt) if word]
    words += ["random"] if config.weights == "random" else []
    return Path(config.results_dir) / "-".join(words)


def asked(config, choice: Choice) -> dict:
    """The sections of a manifest that follow from the options alone."""
    return {
        "model": {"name": choice.card.name, "weights": weights_facts(config), **no_result(config)},
        "spec": spec_facts(choice.spec),
        "dataset": {
            "name": choice.dataset.name,
            "split": choice.split,
            "fold": config.fold if choice.dataset.folds > 1 else None,
            "classes": list(config.classes) if config.classes else None,
            "limit": config.limit,
            "seed": config.seed,
            "present_only": config.present_only,
            "shard": list(shard_numbers(config.shard)) if config.shard else None,
        },
        "decode": {"decoder": config.decoder, **dataclasses.asdict(limits_of(config))},
        "run": {
            "batch_size": config.batch_size,
            "precision_asked": config.precision,
            "seed": config.seed,
            "top_n": config.top_n,  # null: not named, and settled by the number of classes
        },
    }


def weights_facts(config) -> dict | str | None:
    """Which weights the options name: name and hash of what lies here, else their word."""
    weights = str(config.weights) if config.weights else None
    if weights and weights != "random" and Path(weights).is_file():
        return {"file": Path(weights).name, "sha256": sha256_of_file(weights)}
    if weights and weights != "random" and Path(weights).is_dir():
        return {"folder": Path(weights).name, "sha256": hubs.hash_of_folder(weights)}
    return weights


def no_result(config) -> dict:
    """Whether the network, or its last layer, is random: the run then gives no result."""
    if not config.new_head:
        return {"random": config.weights == "random"}
    return {"random": config.weights in (None, "random"), "new_head": True}


def manifest(config, plan: Plan, device: str) -> dict:
    """Everything that decides the numbers, and the environment they were made in."""
    facts = asked(config, plan)
    more = {
        "model": {
            "labels": plan.dataset.name if plan.new_head else plan.card.labels,
            "num_classes": plan.num_scores,
            "reported": dataclasses.asdict(plan.card.reported) if plan.card.reported else None,
        },
        "dataset": {
            "data_dir": str(plan.root),
            "n_listed": len(plan.records),
            "n_in_split": plan.num_in_split,
            "records_sha256": index.records_fingerprint(plan.records),
            "n_in_list": plan.whole[0],
            "list_sha256": plan.whole[1],
            "labels_sha256": sha256_of_json(list(plan.labels)),
        },
        "decode": {"version": decode.decoder_version(config.decoder), **flow_facts(plan.spec)},
        "run": {"device": device, "num_workers": workers_of(config), "library": models.library_version(plan.card)},
    }
    more["run"]["top_n"] = top_n_of(config, plan)
    facts = {name: {**part, **more.get(name, {})} for name, part in facts.items()}
    return {
        "run_name": run_folder(config).name,
        **facts,
        "label_map": plan.label_map.facts() if plan.label_map else None,
        "labels": list(plan.labels),
        "parents": parents_facts(config.parents, plan.labels),
        "protocol": {
            "on_card": plan.on_card,
            "num_views": plan.spec.num_views,
            "changed": changed_fields(plan),
            "asked": asked_facts(config.protocol),
            "target": config.target if config.target != "card" else None,
        },
        "command": command(config),
        "environment": {"packages": package_versions(), "machine": machine_facts(), "commit": git_commit(ROOT)},
    }


def spec_facts(spec: InputSpec) -> dict:
    """An input as a manifest holds it; one of unchanged pictures alone says no more than runs always did."""
    facts, plain = jsonable(dataclasses.asdict(spec)), {"modality": "rgb", "temporal": None, "corrupt": None}
    return {name: value for name, value in facts.items() if name not in plain or value != plain[name]}


def flow_facts(spec: InputSpec) -> dict:
    """Which method found the motion, where a network looks at it."""
    return {"flow": flow.flow_version()} if spec.has_flow else {}


def command(config) -> list[str]:
    """The words that make this run again: every option that is not at its default."""
    words = ["python", "scripts/evaluate.py"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == field.default or field.name in ("results_dir", "report_only", "dry_run"):
            continue
        words.append("--" + field.name.replace("_", "-"))
        words += [] if value is True else [str(word) for word in (value if isinstance(value, tuple) else (value,))]
    return words


def jsonable(value):
    """Tuples as lists, as JSON will give them back."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value


def changed_fields(plan: Plan) -> dict:
    """Input fields that differ from the card: ``{name: [card, used]}``."""
    card, used = dataclasses.asdict(plan.card.input), dataclasses.asdict(plan.spec)
    return jsonable({name: [card[name], used[name]] for name in card if card[name] != used[name]})


def limits_of(config) -> decode.Limits:
    """What reading one video may cost, as the options say."""
    return decode.Limits(seconds=config.timeout, megabytes=config.memory)


def workers_of(config) -> int:
    """Decoding processes: as asked, or one per usable core, at most 32."""
    return config.num_workers if config.num_workers is not None else min(32, usable_cores())


# ---------------------------------------------------------------- the loop


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


def rows_that_stand(plan: Plan, rows: list[Row]) -> int:
    """How many of the first rows of a run still speak of the files that are there.

    A file that has gone since leaves its row as it is; one that was not there and now is ends the rows that stand.

    Raises:
        RunError: a file has another size than when its row was made.
    """
    for row in rows:
        record = plan.records[row.index]
        size = size_of(plan.root / record.path) if record.status == "ok" else 0
        if size in (0, row.file_size):
            continue
        if row.file_size:
            raise RunError(
                f"{printable(record.path)} has changed since its row was made ({row.file_size} bytes then, "
                f"{size} now): use another --run-name"
            )
        log.warning("%s is there now: the rows from number %d on are made again", printable(record.path), row.index)
        return row.index
    return len(rows)


def top_n_of(config, plan: Plan) -> int:
    """Best classes in a row: as ``--top-n`` says, else five or as many as there are."""
    return config.top_n or min(TOP_N, len(plan.labels))


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
        return forward.find_batch_size(self.model) if is_cuda(self.device) else forward.BATCH_SIZE

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


def predict_missing(plan: Plan, run: RunFolder, engine, progress) -> None:
    """Decode, predict and append every video that has no row yet, batch by batch."""
    engine.begin(run)
    todo = list(enumerate(plan.records))[len(run.rows) :]
    clock = StageClock()
    skipped = sum(not row.predicted for row in run.rows)
    if progress:
        progress.start(len(plan.records), len(run.rows), skipped)
    try:
        with contextlib.closing(engine.results(run, todo, clock)) as results:
            for rows, logits in results:
                run.append(rows, logits)
                skipped += sum(not row.predicted for row in rows)
                if progress:
                    progress.update(len(run.rows), skipped)
    finally:
        if progress:
            progress.stop()
        with contextlib.suppress(OSError):  # a full disk is append's to report
            run.update_manifest(timing=engine.timing(run, clock))


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


class StageClock:
    """Adds up what each stage costs in this session."""

    def __init__(self):
        self.began = time.monotonic()
        self.seconds = {"decode": 0.0, "transform": 0.0, "tuning": 0.0}
        self.num_videos, self.memory_kept = 0, False

    def add(self, many: Iterable[Views]) -> None:
        """Count these videos and the seconds that reading them took."""
        for views in many:
            self.num_videos += 1
            for stage, seconds in views.seconds.items():
                self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextlib.contextmanager
    def apart(self):
        """Time that belongs to no video: trying out how the network runs best."""
        began = time.monotonic()
        yield
        self.seconds["tuning"] += time.monotonic() - began

    def facts(self, model, before: dict | None, num_workers: int, num_networks: int = 1) -> dict:
        """Stage seconds of all sessions of a run, peak memory, and which stage limits the speed."""
        seconds = {**self.seconds, "wall": time.monotonic() - self.began}
        for stages in (model.seconds, (before or {}).get("seconds", {})):
            for stage, value in stages.items():
                seconds[stage] = seconds.get(stage, 0.0) + value
        before = before or {}
        num_videos = self.num_videos + before.get("num_videos", 0)
        working = seconds["wall"] - seconds["tuning"]
        return {
            "sessions": before.get("sessions", 0) + 1,
            "num_videos": num_videos,
            "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
            "clips_per_s": round(num_videos / working, 3) if working > 0 else 0.0,
            "bottleneck": bottleneck(seconds, num_workers, num_networks),
            "peak_rss_mb": max(peak_rss_mb(), before.get("peak_rss_mb", 0)),
            "device_name": model.device_name,
            "halved_batches": model.halved_batches + before.get("halved_batches", 0),
        }


def bottleneck(seconds: dict[str, float], num_workers: int, num_networks: int = 1) -> str:
    """``decode`` or ``forward``: the side that keeps the other waiting; ``start`` where neither explains the time.

    ``decode`` and ``transform`` are CPU seconds spread over the workers, ``forward`` and
    ``transfer`` wall seconds spread over the processes that run the network.
    """
    reading = (seconds.get("decode", 0) + seconds.get("transform", 0)) / max(1, num_workers)
    network = (seconds.get("forward", 0) + seconds.get("transfer", 0)) / num_networks
    if reading + network < 0.5 * (seconds.get("wall", 0) - seconds.get("tuning", 0)):
        return "start"
    return "decode" if reading > network else "forward"


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB (2**20 bytes)."""
    with contextlib.suppress(OSError, StopIteration):  # Linux; getrusage there starts from the parent's peak
        status = Path("/proc/self/status").read_text().splitlines()
        return round(next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 2**10, 1)
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 2**20, 1)
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)


# ---------------------------------------------------------------- what it would cost


def describe_plan(config, plan: Plan, folder: Path) -> str:
    """Videos, weights, bytes, hours and disk of an evaluation, without doing it.

    The time is measured on up to three of the videos, with random weights where the real ones
    would have to be fetched (they cost the same).
    """
    sizes = [size_of(plan.root / record.path) if record.status == "ok" else 0 for record in plan.records]
    present = [record for record, size in zip(plan.records, sizes) if size]
    done = len(read_rows(folder / "rows.jsonl", plan.records)[0])
    left = sum(size > 0 for size in sizes[done:])
    off_card, megabytes = "" if plan.on_card else " (off its card)", sum(sizes) / 1e6
    how = {"asked": asked_facts(config.protocol), "changed": changed_fields(plan)}
    lines = [
        f"model      {plan.card.name}, {plan.spec.num_views} view(s) a video{off_card}",
        *(f"protocol   {words}" for words in [asked_words({"protocol": how})] if words),
        f"videos     {len(plan.records)} listed, {len(present)} present ({megabytes:.3g} MB), {done} already done",
        f"weights    {models.describe_weights(plan.card, config.weights)}",
        f"run folder {folder}",
    ]
    if not present:
        return "\n".join([*lines, f"nothing to time: no listed video is below {printable(plan.root)}"])
    tried = present[:: max(1, len(present) // 3)][:3]
    seconds, cached = measure_cost(config, plan, tried)
    disk = 0 if config.no_cache else cached * left
    disk += 4 * plan.spec.num_views * plan.num_scores * len(plan.records)
    hours, what = seconds * left / 3600, "logits" if config.no_cache else "the clip cache and logits"
    lines += [
        f"time       about {rounded(hours)} hours ({rounded(hours * 60)} minutes) for the {left} videos that are "
        f"present and not done: {rounded(seconds)} s each on this machine, measured on {len(tried)}",
        f"disk       about {rounded(disk / 1e6)} MB for {what}",
    ]
    return "\n".join(lines)


def rounded(value: float) -> str:
    """A number with two digits that count, without an exponent, for an estimate.

    >>> [rounded(value) for value in (0.000512, 4.26, 173.2, 12760)]
    ['0.00051', '4.3', '170', '13,000']
    """
    return f"{float(f'{value:.2g}'):,.12g}"


def size_of(path: Path) -> int:
    """Bytes of a video, a file or a folder of pictures; 0 where there is none."""
    return max(0, video_stamp(path)[0])


def measure_cost(config, plan: Plan, records: list[VideoRecord]) -> tuple[float, float]:
    """Wall seconds and cache bytes a video, on this machine."""
    device = models.choose_device(config.device)
    random = plan.card.can_be_random and not (config.weights and Path(config.weights).exists())
    weights, labels = "random" if random else config.weights, plan.labels if plan.new_head else None
    model = models.load_model(plan.card.name, weights, device=device, labels=labels)
    model.spec = plan.spec
    reading, pixels = [], []
    for record in records:
        began = time.process_time()
        try:
            path = plan.root / record.path
            pixels.append(load.read_views(path, plan.spec, decoder=config.decoder, limits=limits_of(config)).pixels)
        except UnreadableVideo:
            continue
        reading.append(time.process_time() - began)
    if not pixels:
        return 0.0, 0.0
    model.logits(pixels[:1], config.batch_size)
    began = time.monotonic()
    model.logits(pixels, config.batch_size)
    network_s = (time.monotonic() - began) / len(pixels)
    read = sum(reading) / len(reading) / max(1, workers_of(config))
    return (read + network_s if device == "cpu" else max(read, network_s)), sum(p.nbytes for p in pixels) / len(pixels)


# ---------------------------------------------------------------- the end


def keep_questions(folder: Path, config) -> None:
    """Write into the manifest what ``--target`` and ``--parents`` name; what neither names stays as it is."""
    before = read_json(folder / "manifest.json")
    now = dict(before)
    if config.target is not None:
        asked = None if config.target == "card" else config.target
        now["protocol"] = {**(before.get("protocol") or {}), "target": asked}
    if config.parents is not None:
        now["parents"] = parents_facts(config.parents, dataset_labels(folder, before))
    if now != before:
        write_json(folder / "manifest.json", now)


def finish(folder: Path, config, *, ran: bool) -> Outcome:
    """Metrics, tables, report and summary from the rows of a finished run; runs no model."""
    facts = read_json(folder / "manifest.json")
    rows, _ = read_rows(folder / "rows.jsonl")
    listed = facts.get("dataset", {}).get("n_listed")
    if len(rows) != listed:
        raise RunError(
            f"{folder} has {len(rows)} of {listed} rows; run the same command without --report-only to finish it"
        )
    labels = facts["labels"]
    result = scores.figures(folder, facts, rows, labels)
    dataset = facts.get("dataset", {})
    entries = ledger.run_ledger(rows, ledger.read_absent(folder, whole=not dataset.get("shard")))
    result["ledger"] = ledger.summarise_ledger(entries, result, dataset)
    result["published"] = protocol.verdicts(facts, result, result["ledger"])
    write_json(folder / "metrics.json", result)
    ledger.write_videos(entries, folder)
    write_predictions_csv(
        folder / "predictions.csv", rows, facts["run"]["top_n"], random_weights=facts["model"]["random"]
    )
    page = report.write_report(folder, result)
    summary = summary_text(facts, result, page)
    if not ran:
        summary += "\nnothing was run: every row was there already"
    skipped = result["n_skipped"] / result["n_listed"]
    return Outcome(folder, summary, EXIT_SKIPPED if skipped > config.max_skipped else EXIT_OK, result)
