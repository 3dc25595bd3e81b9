"""What an evaluation is about, settled before any work: model, input, videos, classes, folder."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from vidbench import models, predict
from vidbench.asked import FLAGS, asked_input
from vidbench.data import catalog, decode, index
from vidbench.data.parents import parents_facts
from vidbench.kinds import shard_numbers
from vidbench.records import ConfigError, InputSpec, VideoRecord
from vidbench.utils import printable, usable_cores

TOP_N = 5  # best classes of a row, where nobody named another number


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


def limits_of(config) -> decode.Limits:
    """What reading one video may cost, as the options say."""
    return decode.Limits(seconds=config.timeout, megabytes=config.memory)


def workers_of(config) -> int:
    """Decoding processes: as asked, or one per usable core, at most 32."""
    return config.num_workers if config.num_workers is not None else min(32, usable_cores())


def top_n_of(config, plan: Plan) -> int:
    """Best classes in a row: as ``--top-n`` says, else five or as many as there are."""
    return config.top_n or min(TOP_N, len(plan.labels))
