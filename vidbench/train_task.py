"""What a training configuration asks for, settled before any work: network, input, videos, folder, and their facts."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from vidbench import models, train_data, trained
from vidbench.augment import Augmentation
from vidbench.data import catalog, index, process
from vidbench.data.parents import find_time_pairs
from vidbench.data.sample import BY_COUNT
from vidbench.data.stored import Timing
from vidbench.forward import check_precision
from vidbench.gpu import is_cuda
from vidbench.records import ConfigError, InputSpec
from vidbench.runs import read_json, refuse_differences
from vidbench.utils import git_commit, jsonable, machine_facts, package_versions, printable, sha256_of_file, write_json

SCHEMA = 1
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
STREAM_FRAMES = 50  # of a training clip, for networks that take a whole video
FREE: tuple[str, ...] = (
    "num_workers",
    "cache_dir",
    "results_dir",
    "run_name",
    "data_dir",
    "timeout",
    "memory",
    "no_tensorboard",
)
FREE += ("preview", "overfit", "find_rate", "save_steps", "annotations")
FILES = ("weights", "backbone_weights", "teacher", "teacher_weights", "video_weights", "curriculum", "reverse")
FREE += (*FILES, "devices", "num_nodes")  # hashes of the files are compared, and the number of processes


@dataclass(frozen=True)
class Outcome:
    """How a training ended: its folder, a few lines for people, an exit status, and the metrics of the best epoch."""

    run_folder: Path
    summary: str
    exit_status: int
    metrics: dict


@dataclass(frozen=True)
class Task:
    """What a configuration asks for, settled before any work.

    Args:
        card: of the network to begin with, with its options.
        spec: its input with what the configuration changes: what validation sees, and the checkpoint's card says.
        num_frames: of a training view.
        dataset: the dataset's card.
        root: its folder.
        labels: its class names in index order.
        sides: training and validation videos.
        time_pairs: classes of which each is the other one played backwards, where clips are to be.
    """

    card: models.ModelCard
    spec: InputSpec
    num_frames: int
    dataset: catalog.DatasetCard
    root: Path
    labels: tuple[str, ...]
    sides: train_data.Sides
    time_pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Processes:
    """Who trains: this process is the ``rank``-th of all, from 0, with ``devices`` on each of ``nodes`` machines."""

    rank: int
    devices: int
    nodes: int

    @property
    def number(self) -> int:
        """Of all processes together."""
        return self.devices * self.nodes

    @property
    def first(self) -> bool:
        """Whether this one writes files and talks."""
        return self.rank == 0


def who_trains(config) -> Processes:
    """What the options say, and where they are silent what torchrun or a cluster's scheduler does.

    Raises:
        ConfigError: the options contradict torchrun.
    """
    said = {name: int(value) for name, value in os.environ.items() if name in RANKS and value.isdecimal()}
    local = said.get("LOCAL_WORLD_SIZE", 0)  # torchrun alone sets it
    devices = config.devices or local or 1
    nodes = config.num_nodes or (max(1, said.get("WORLD_SIZE", 1) // local) if local else 1)
    if devices * nodes == 1:
        return Processes(0, 1, 1)
    if local and devices * nodes != said.get("WORLD_SIZE"):
        raise ConfigError(
            f"--devices {devices} on {nodes} machine(s) are {devices * nodes} processes, but torchrun started "
            f"{said.get('WORLD_SIZE')}: leave --devices and --num-nodes out."
        )
    inside = said.get("NODE_RANK", 0) * devices + said.get("LOCAL_RANK", 0)
    return Processes(said.get("RANK", said.get("SLURM_PROCID", inside)), devices, nodes)


def make_task(config) -> Task:
    """Settle network, input, videos and classes; reads annotation files, decodes nothing."""
    card = models.with_options(models.find_card(config.model, config.weights), config.options)
    dataset = catalog.find_dataset(config.dataset)
    root = Path(config.data_dir)
    labels = index.dataset_labels(dataset.name, root, config.annotations)
    where = {"root": root, "fold": config.fold, "classes": config.classes, "annotations": config.annotations}
    records = index.load_records(dataset.name, split=config.split, **where)
    if config.present_only:
        records = index.keep_present(records)[0]
    val_split, own = config.val_split or own_validation(config, dataset), not dataset.splits
    official = index.load_records(dataset.name, split=val_split, **where) if val_split else None
    if official is not None and config.val_share != type(config).val_share:
        raise ConfigError(
            f"--val-share parts validation from the training videos, but split {printable(val_split, 40)} validates; "
            "leave --val-share out."
        )
    if config.limit:
        records = index.draw_subset(records, config.limit, config.seed)
    train_data.refuse_one_class(records)
    how = {"share": config.val_share, "seed": config.seed, "allow_leak": config.allow_leak}
    sides = train_data.divide(records, official, **how, by_path=own)
    if config.present_only:
        sides = dataclasses.replace(sides, val=index.keep_present(sides.val)[0])
    train_data.check_classes(sides.train, labels, config.classes)
    if not any(train_data.usable(record) for record in sides.val):
        raise ConfigError("No validation video is there, so no epoch can be judged. Check --data-dir and --val-split.")
    spec, num_frames = make_spec(card, config)
    return Task(card, spec, num_frames, dataset, root, labels, sides, find_time_pairs(config.reverse, dataset, labels))


def own_validation(config, dataset: catalog.DatasetCard) -> str | None:
    """``val`` where the dataset, or the folder or list of own videos, has such a split that does not train."""
    there = dataset.splits or index.own_splits(dataset.name, config.data_dir, config.annotations)
    return "val" if "val" in there and config.split != "val" else None


def evaluation_words(config, task: Task) -> tuple[list[str], str | None]:
    """What ``evaluate.py`` has to be told beside the weights, and why its figure would be too good, where it would."""
    dataset, words = task.dataset, list[str]()
    split: str | None = dataset.default_split
    sides = [config.split, config.val_split or own_validation(config, dataset)]
    if task.root.resolve() != dataset.default_dir.resolve():
        words += ["--data-dir", str(config.data_dir)]
    if config.fold != 1:
        words += ["--fold", str(config.fold)]
    if not dataset.splits:
        words += ["--annotations", str(config.annotations)] if config.annotations else []
        named = index.own_splits(dataset.name, task.root, config.annotations)
        split = min(named, key=lambda name: (name in sides, name != split, name == config.split), default=None)
        words += ["--split", split] if split not in (None, dataset.default_split) else []
    if split in (None, config.split):
        return words, "these videos, or some of them, trained the network"
    return words, "these videos chose the epoch" if split == sides[1] else None


def make_spec(card: models.ModelCard, config) -> tuple[InputSpec, int]:
    """The input that validation and the checkpoint have, and the frames of a training view."""
    if card.input.modality != "rgb":
        raise ConfigError(f"{card.name} takes {card.input.modality}; only networks that see RGB are trained here.")
    given = {"num_frames": config.num_frames, "frame_rate": config.frame_rate, "resize": config.short_side}
    given["crop"] = (config.crop, config.crop) if config.crop else None
    if config.frame_rate and card.input.sampling in BY_COUNT:
        raise ConfigError(
            f"--frame-rate is for networks that take frames at a rate. {card.name} takes its frames from the whole "
            "video, whatever the rate; --speed spreads them over a part."
        )
    stream = card.input.sampling == "stream"
    if stream:  # it validates on whole videos and trains on windows of them
        given["num_frames"] = None
    spec = dataclasses.replace(card.input, **{name: value for name, value in given.items() if value is not None})
    models.check_frames(card, spec.num_frames)
    process.check_spec(spec)
    if isinstance(spec.resize, int) and spec.resize < max(spec.crop):  # random crops are taken from frames of any shape
        height, width = spec.crop
        raise ConfigError(
            f"--short-side must be at least {max(spec.crop)} to train on crops of {height}x{width} pixels."
        )
    return spec, (config.num_frames or STREAM_FRAMES) if stream else spec.num_frames


def choose_precision(config) -> tuple[str, str]:
    """The device, and ``fp32``, ``bf16`` or ``fp16``."""
    device = models.choose_device(config.device)
    if config.precision != "auto":
        check_precision(config.precision, device)
        if device == "cpu" and config.precision == "fp16":
            raise ConfigError("Training in fp16 needs a GPU; use --precision bf16 or fp32.")
        return device, config.precision
    return device, "bf16" if is_cuda(device) and torch.cuda.is_bf16_supported() else "fp32"


def augmentation(config, spec: InputSpec) -> Augmentation:
    """What happens to the frames and pixels of a training clip, as the options say.

    Raises:
        ConfigError: a stride, or a speed of even views, where the network's frames are spread over the whole video.
    """
    if config.even_views and config.speed > 1 and spec.sampling in BY_COUNT:
        raise ConfigError(
            "--speed spreads the frames of this network over a random part of the video, --even-views over all of it: "
            "give one of them."
        )
    if config.max_stride > 1 and spec.sampling in BY_COUNT:
        raise ConfigError(
            "--max-stride is for networks that take neighbouring frames. The frames of this one are spread over the "
            "whole video; --speed spreads them over a part."
        )
    timing = Timing(config.even_views, config.views_per_video, config.max_stride, config.speed, config.drop_frames)
    names = ("min_scale", "multi_scale", "jitter", "rotation", "rand_augment", "erase")
    return Augmentation(flip=not config.no_flip, timing=timing, **{name: getattr(config, name) for name in names})


def run_folder(config, task: Task) -> Path:
    """``results/NAME``; the default name says network and dataset."""
    name = config.run_name or f"train-{task.card.architecture}-{task.dataset.name}"
    return Path(config.results_dir) / name


def manifest(config, task: Task, device: str, precision: str) -> dict:
    """Everything that decides the weights, and where they were made."""
    options = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    recipe = {name: value for name, value in options.items() if name not in FREE}
    files: dict = {name: hash_of(options[name]) for name in FILES}
    files["processes"] = who_trains(config).number
    return jsonable(
        {
            "schema": SCHEMA,
            "recipe": {**recipe, **files, "device": device, "precision": precision},
            "spec": trained.spec_as_json(task.spec),
            "data": data_facts(task),
            "environment": {
                "packages": package_versions(),
                "machine": machine_facts(),
                "commit": git_commit(),
            },
        }
    )


def hash_of(name: str | None) -> str | None:
    """SHA-256 of a file, or of a run folder's logits, in hexadecimal; what names neither is returned as it is."""
    if not name:
        return None
    path = Path(name) / "logits.npy" if Path(name).is_dir() else Path(name)
    return sha256_of_file(path) if path.is_file() else name


def data_facts(task: Task) -> dict:
    """Which videos are learnt from and judged on, for the manifest and the checkpoint."""
    sides = task.sides
    return {
        "name": task.dataset.name,
        "divided": sides.how,
        "num_train": len(sides.train),
        "num_val": len(sides.val),
        "train_sha256": index.records_fingerprint(sides.train),
        "val_sha256": index.records_fingerprint(sides.val),
    }


def begin_folder(folder: Path, facts: dict) -> None:
    """Write what is trained into the run's folder, which the caller holds; refuse one that holds another training."""
    if (folder / "last.ckpt").is_file():
        refuse_differences(folder, read_json(folder / "manifest.json"), facts)
        return
    write_json(folder / "manifest.json", facts)
