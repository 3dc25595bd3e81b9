"""Training on Lightning's Trainer: our data, model and recipe; validated on whole videos, resumed, and timed.

A run folder holds ``last.ckpt``, from which the same command continues after the last whole epoch, and
``best.safetensors`` and ``last.safetensors``, checkpoints that carry their card. Everything that chance decides in a
step depends on the seed, the epoch and the number of the clip or step, so a run that was killed and continued ends
with the same weights on a CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import torch

from vidbench import __version__, evaluate, models, optimise, train_data, trained
from vidbench.augment import Augmentation, mix_clips
from vidbench.data import catalog, index, load
from vidbench.data.stored import stored_spec
from vidbench.forward import check_precision
from vidbench.gpu import is_cuda
from vidbench.metrics import percent, summarise
from vidbench.progress import duration
from vidbench.records import ConfigError, InputSpec, RunError, Views, needs
from vidbench.runs import read_json, refuse_differences
from vidbench.utils import git_commit, machine_facts, package_versions, sha256_of_file, write_json

with needs("Training", "train"):
    import lightning
    from lightning.pytorch import callbacks

EXIT_OK, EXIT_NOT_LEARNT, EXIT_INTERRUPTED = 0, 3, 130
SCHEMA = 1
CLOCK_STEPS = 20  # after which the time of the whole training is told
LEARNT, TRIES = 0.1, 200  # --overfit: the loss to be reached, in at most so many steps
STREAM_FRAMES = 50  # of a training clip, for networks that take a whole video
FREE = ("num_workers", "cache_dir", "results_dir", "run_name", "data_dir", "timeout", "memory", "no_tensorboard")
FREE += ("overfit", "find_rate", "annotations", "weights", "backbone_weights")  # the files' hashes are compared

log = logging.getLogger(__name__)


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
    """

    card: models.ModelCard
    spec: InputSpec
    num_frames: int
    dataset: catalog.DatasetCard
    root: Path
    labels: tuple[str, ...]
    sides: train_data.Sides


def train(config, *, progress=None, tell: Callable[[str], None] = lambda line: None) -> Outcome:
    """Train a network; continue the run when its folder exists.

    Args:
        config: a ``vidbench.arguments.TrainConfig``.
        progress: for reading the videos; as for ``vidbench.evaluate.evaluate``.
        tell: gets a line an epoch, the time that training will take, and which side limits the speed.

    Raises:
        VidbenchError: something asked for cannot be had, or training went wrong; whole epochs are kept.
    """
    config = config.checked()
    task = make_task(config)
    device, precision = choose_precision(config)
    folder = run_folder(config, task)
    if not (config.overfit or config.find_rate):
        facts = manifest(config, task, device, precision)
        if (folder / "finished.json").is_file():
            refuse_differences(folder, read_json(folder / "manifest.json"), facts)
            best = read_json(folder / "best.json")
            return Outcome(
                folder, f"{best['summary']}\nnothing was run: {folder} is finished", EXIT_OK, best["metrics"]
            )
        begin_folder(folder, facts)
    model = load_network(config, task, device)
    stored = stored_spec(task.spec, task.num_frames, config.stored_frames)
    kept = read_videos(config, task, stored, progress, tell)
    how = None if config.overfit else augmentation(config)
    clips = train_data.TrainingClips(
        kept.records,
        task.root,
        stored,
        task.spec,
        task.num_frames,
        how,
        task.labels,
        seed=config.seed,
        cache_dir=config.cache_dir,
        decoder=config.decoder,
    )
    workers = view_workers(config, device)
    loader = train_data.make_loader(clips, batch_size=config.batch_size, num_workers=workers, balanced=config.balanced)
    module = TrainedNetwork(config, task, model, len(loader))
    with explained(config, module):
        if config.overfit:
            return overfit(module, loader, folder, device)
        if config.find_rate:
            return find_rate(config, module, loader, folder, device, precision)
        with alone(folder):
            return fit(config, task, module, loader, folder, device, precision, kept, tell)


# ---------------------------------------------------------------- what is asked for


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
    val_split = config.val_split or ("val" if "val" in dataset.splits else None)
    official = index.load_records(dataset.name, split=val_split, **where) if val_split else None
    if config.limit:
        records = index.draw_subset(records, config.limit, config.seed)
    sides = train_data.divide(records, official, share=config.val_share, seed=config.seed, allow_leak=config.allow_leak)
    if config.present_only:
        sides = dataclasses.replace(sides, val=index.keep_present(sides.val)[0])
    train_data.check_classes(sides.train, labels, config.classes)
    if not any(train_data.usable(record) for record in sides.val):
        raise ConfigError("No validation video is there, so no epoch can be judged. Check --data-dir and --val-split.")
    spec, num_frames = make_spec(card, config)
    return Task(card, spec, num_frames, dataset, root, labels, sides)


def make_spec(card: models.ModelCard, config) -> tuple[InputSpec, int]:
    """The input that validation and the checkpoint have, and the frames of a training view."""
    if card.input.modality != "rgb":
        raise ConfigError(f"{card.name} takes {card.input.modality}; only networks that see RGB are trained here.")
    given = {"num_frames": config.num_frames, "frame_rate": config.frame_rate, "resize": config.short_side}
    given["crop"] = (config.crop, config.crop) if config.crop else None
    stream = card.input.sampling == "stream"
    if stream:  # it validates on whole videos and trains on windows of them
        given["num_frames"] = None
    spec = dataclasses.replace(card.input, **{name: value for name, value in given.items() if value is not None})
    models.check_frames(card, spec.num_frames)
    load.check_spec(spec)
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


def augmentation(config) -> Augmentation:
    """What happens to the pixels of a training clip, as the options say."""
    names = ("min_scale", "jitter", "rotation", "rand_augment", "erase")
    return Augmentation(flip=not config.no_flip, **{name: getattr(config, name) for name in names})


def run_folder(config, task: Task) -> Path:
    """``results/NAME``; the default name says network and dataset."""
    name = config.run_name or f"train-{task.card.architecture}-{task.dataset.name}"
    return Path(config.results_dir) / name


def manifest(config, task: Task, device: str, precision: str) -> dict:
    """Everything that decides the weights, and where they were made."""
    options = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    recipe = {name: value for name, value in options.items() if name not in FREE}
    files = {name: hash_of(options[name]) for name in ("weights", "backbone_weights")}
    return evaluate.jsonable(
        {
            "schema": SCHEMA,
            "recipe": {**recipe, **files, "device": device, "precision": precision},
            "spec": trained.spec_as_json(task.spec),
            "data": data_facts(task),
            "environment": {
                "packages": package_versions(),
                "machine": machine_facts(),
                "commit": git_commit(evaluate.ROOT),
            },
        }
    )


def hash_of(weights: str | None) -> str | None:
    """SHA-256 of a weights file in hexadecimal; what names no file is returned as it is."""
    return sha256_of_file(weights) if weights and Path(weights).is_file() else weights


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
    """Make the run's folder; refuse one that holds another training."""
    if (folder / "last.ckpt").is_file():
        refuse_differences(folder, read_json(folder / "manifest.json"), facts)
        return
    if (folder / "rows.jsonl").exists():
        raise RunError(f"{folder} holds an evaluation; use another --run-name")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "manifest.json", facts)


def load_network(config, task: Task, device: str) -> models.Model:
    """The network with a last layer for the dataset, ready to learn."""
    model = models.load_model(
        config.model,
        config.weights,
        device=device,
        seed=config.seed,
        labels=task.labels,
        options=config.options or None,
        backbone_weights=config.backbone_weights,
    )
    model.spec = task.spec
    return model


def read_videos(config, task: Task, stored: InputSpec, progress, tell) -> train_data.Stored:
    """Read every training video once, as small whole frames; those that cannot be read are counted and told."""
    kept = train_data.store_videos(
        task.sides.train,
        task.root,
        stored,
        cache_dir=config.cache_dir,
        num_workers=evaluate.workers_of(config),
        decoder=config.decoder,
        limits=evaluate.limits_of(config),
        dataset=task.dataset.name,
        progress=progress,
    )
    tell(
        f"{len(kept.records)} videos train ({len(kept.skipped)} left out; their frames take {kept.num_bytes / 1e6:.3g} "
        f"MB), {len(task.sides.val)} validate: {task.sides.how}"
    )
    return kept


def view_workers(config, device: str) -> int:
    """Processes that cut and change clips beside the network: as asked, none on a processor, up to 8 for a GPU."""
    if config.num_workers is not None:
        return config.num_workers
    return min(8, max(1, evaluate.usable_cores() - 1)) if device != "cpu" else 0


# ---------------------------------------------------------------- the network while it learns


class TrainedNetwork(lightning.LightningModule):
    """A network with its recipe: one step of training, and the scores of whole videos.

    Args:
        config: the options of the program.
        task: what they come to.
        model: the network to begin with; its module is trained in place.
        num_batches: in an epoch.
    """

    def __init__(self, config, task: Task, model: models.Model, num_batches: int):
        super().__init__()
        self.config, self.task, self.model = config, task, model
        self.network = model.network.module
        self.learning_rate, self.num_batches = config.learning_rate, num_batches
        self.head = models.head_keys(task.card)
        self.network.requires_grad_(True)
        optimise.freeze(self.network, self._frozen(), norms=config.freeze != "nothing")
        labels = [record.label_index for record in task.sides.train if train_data.usable(record)]
        weights = optimise.class_weights(labels, len(task.labels)) if config.class_weights else None
        self.weights = None if weights is None else torch.from_numpy(weights)
        self.rows: list = []
        self.train()

    def _frozen(self) -> list[str]:
        names = [name for name, _ in self.network.named_parameters()]
        if self.config.freeze != "backbone":
            return []
        if hasattr(self.network, "from_backbone"):
            shapes = {key: shape for key, shape in self.network.backbone_shapes().items() if shape is not None}
            inside = self.network.from_backbone({key: torch.zeros(shape) for key, shape in shapes.items()})
            return [name for name in names if name in inside]
        return [name for name in names if name not in self.head]

    def train(self, mode: bool = True) -> TrainedNetwork:
        super().train(mode)
        optimise.hold_still(self.network)
        return self

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scores (N, K) of training views, float (N, T, 3, H, W) from 0 to 1, normalised here; (N, S, K) where each
        segment has its own."""
        spec, layout = self.task.spec, self.task.spec.layout
        mean, std = (torch.tensor(value, device=pixels.device).view(3, 1, 1) for value in (spec.mean, spec.std))
        pixels = (pixels - mean) / std
        if layout == "NCHW":
            return self.network(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2]).mean(1)
        order = {"NCTHW": (0, 2, 1, 3, 4), "NTCHW": (0, 1, 2, 3, 4), "NTHWC": (0, 1, 3, 4, 2)}[layout]
        return self.network(pixels.permute(order).contiguous())

    def loss(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of uint8 clips (N, T, 3, H, W) as the recipe has it."""
        config, pixels = self.config, pixels.float() / 255
        if config.mixup or config.cutmix:
            pixels, labels = mix_clips(pixels, labels, len(self.task.labels), config.mixup, config.cutmix)
        weights = None if self.weights is None else self.weights.to(pixels.device)
        return optimise.loss_of(
            self.logits(pixels), labels, smoothing=config.label_smoothing, focal=config.focal, weights=weights
        )

    def on_train_batch_start(self, batch, batch_idx: int) -> None:
        state = np.random.SeedSequence([self.config.seed, self.current_epoch, batch_idx]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]))  # dropout, mixing

    def training_step(self, batch, batch_idx: int) -> torch.Tensor:
        loss = self.loss(*batch)
        if not torch.isfinite(loss):
            raise RunError(
                f"the loss is {loss.item()} in epoch {self.current_epoch + 1}, batch {batch_idx + 1}: make "
                f"--learning-rate smaller (it is {self.config.learning_rate:g}; --find-rate proposes one)"
                f"{', or --warmup-epochs longer' if self.config.schedule == 'cosine' else ''}"
                f"{', or use --precision fp32' if self.trainer.precision != '32-true' else ''}"
            )
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def configure_optimizers(self) -> dict:
        config = self.config
        groups = optimise.parameter_groups(
            self.network,
            self.head,
            rate=self.learning_rate,
            weight_decay=config.weight_decay,
            layer_decay=config.layer_decay,
            head_rate=config.head_rate,
        )
        optimizer = optimise.make_optimizer(config.optimizer, groups, self.learning_rate)
        steps = -(-self.num_batches // config.accumulate)
        schedule = optimise.make_schedule(
            config.schedule, optimizer, steps * config.epochs, round(steps * config.warmup_epochs)
        )
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def transfer_batch_to_device(self, batch, device, dataloader_idx: int):
        """Whole videos stay where they are: ``validation_step`` hands them to the model."""
        return batch if isinstance(batch[0], tuple) else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def on_validation_epoch_start(self) -> None:
        self.rows, self.model.network.device = [], str(self.device)

    def validation_step(self, batch, batch_idx: int) -> None:
        """Rows of whole videos, made as an evaluation makes them."""
        readable = [views.pixels for _, views in batch if isinstance(views, Views)]
        found = iter(self.model.logits(readable, self.config.batch_size) if readable else [])
        for number, views in batch:
            scores = next(found) if isinstance(views, Views) else None
            self.rows.append(evaluate.make_row(number, self.plan, views, scores, 1))

    @property
    def plan(self) -> evaluate.Plan:
        """The validation as an evaluation knows it."""
        task = self.task
        return evaluate.Plan(
            task.card, task.spec, task.dataset, task.root, "val", True, task.sides.val, task.labels, None,
            len(task.sides.val),
        )  # fmt: skip


class WholeVideos:
    """Validation videos batch by batch, each as ``(number, views or why there are none)``; can be walked repeatedly."""

    def __init__(self, reader: load.ViewReader, records: list, batch_size: int):
        self.reader, self.records, self.batch_size = reader, records, batch_size

    def __len__(self) -> int:
        return -(-len(self.records) // self.batch_size)

    def __iter__(self):
        return evaluate.batches(self.reader.stream(enumerate(self.records)), self.batch_size)


# ---------------------------------------------------------------- what Lightning calls


class KeepBest(callbacks.Callback):
    """Judges each epoch on whole videos, and keeps the best and the last weights with their card."""

    def __init__(self, config, task: Task, folder: Path, skipped: int, tell):
        self.config, self.task, self.folder, self.skipped, self.tell = config, task, folder, skipped, tell
        self.best, self.summary, self.metrics = -1.0, "", {}

    def state_dict(self) -> dict:
        return {"best": self.best}

    def load_state_dict(self, state: dict) -> None:
        self.best = state["best"]

    def on_validation_epoch_end(self, trainer, module: TrainedNetwork) -> None:
        if trainer.sanity_checking:
            return
        self.metrics = summarise(module.rows, self.task.labels)
        top1 = self.metrics["listed"]["top1"]
        module.log("val_top1", top1["value"], batch_size=1)
        loss, rate = trainer.callback_metrics.get("loss"), trainer.optimizers[0].param_groups[-1]["lr"]
        self.summary = f"validation top-1 {percent(top1)}, n={top1['n']} ({self.metrics['n_skipped']} skipped)"
        self.tell(
            f"epoch {trainer.current_epoch + 1}/{self.config.epochs}: {self.summary}, "
            f"learning rate {rate:.2g}" + (f", loss before {loss:.3f}" if loss is not None else "")
        )
        if top1["value"] > self.best:
            self.best = top1["value"]
            self.write("best", trainer, module)
        self.write("last", trainer, module)

    def write(self, name: str, trainer, module: TrainedNetwork) -> None:
        """Weights as they were validated, with their card."""
        task = self.task
        options = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.config)}
        metrics = {key: value for key, value in self.metrics.items() if key != "per_class"}
        facts = {
            "name": f"{task.card.architecture}.{self.folder.name}",
            "network": models.find_card(task.card.name).name
            if task.card.name in models.CARDS
            else base_of(self.config),
            "options": task.card.options,
            "labels": list(task.labels),
            "label_space": task.dataset.labels or task.dataset.name,
            "input": trained.spec_as_json(task.spec),
            "dataset": data_facts(task),
            "left_out": self.skipped,
            "recipe": {name: value for name, value in options.items() if name not in FREE},
            "epoch": trainer.current_epoch + 1,
            "summary": f"{self.summary}, epoch {trainer.current_epoch + 1} of {self.config.epochs}",
            "metrics": metrics,
            "made_with": {"vidbench": __version__, "torch": torch.__version__, "lightning": lightning.__version__},
        }
        trained.write_trained(
            self.folder / f"{name}.safetensors", module.network.state_dict(), evaluate.jsonable(facts)
        )


def base_of(config) -> str:
    """The card of ours behind a checkpoint that training begins with."""
    return trained.read_facts(config.weights)["network"]


class Clock(callbacks.Callback):
    """Says after some steps how long training will take, and whether data or network limits it."""

    def __init__(self, tell, epochs: int):
        self.tell, self.epochs = tell, epochs
        self.waited = self.worked = 0.0
        self.steps, self.mark, self.told = 0, None, False

    def on_train_epoch_start(self, trainer, module) -> None:
        self.mark = time.perf_counter()

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        now = time.perf_counter()
        if self.steps:  # the first batch waits for workers to start
            self.waited += now - self.mark
        self.mark = now

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        if module.device.type == "cuda" and not self.told:
            torch.cuda.synchronize(module.device)
        now = time.perf_counter()
        self.worked, self.mark, self.steps = self.worked + now - self.mark, now, self.steps + 1
        last = batch_idx + 1 == module.num_batches
        if not self.told and self.steps > 1 and (self.steps >= CLOCK_STEPS or last):
            self.told = True
            self._say(trainer, module)

    def _say(self, trainer, module) -> None:
        step_s = self.worked / self.steps + self.waited / (self.steps - 1)
        share = self.waited / (self.steps - 1) / step_s
        epoch_s, left = step_s * module.num_batches, self.epochs - trainer.current_epoch
        advice = "; more --num-workers, or fewer --stored-frames, may help" if share > 0.5 else ""
        self.tell(
            f"about {duration(epoch_s)} an epoch and {duration(epoch_s * left)} in all, without validation; "
            f"{module.config.batch_size / step_s:.3g} clips/s; the {'data limit' if share > 0.5 else 'network limits'} "
            f"the speed (waiting for data takes {share:.0%} of a step){advice}"
        )
        for logger in trainer.loggers:
            logger.log_metrics({"seconds_an_epoch": epoch_s, "share_waiting_for_data": share}, trainer.global_step)


def loggers_for(folder: Path, tensorboard: bool) -> list:
    """Lightning's loggers: a CSV file a session and, where asked for, TensorBoard."""
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    found = [CSVLogger(folder, name="log")]  # a folder a session: it would empty one that is there
    if tensorboard:
        # TensorBoard then takes its own stand-in, and does not import TensorFlow where that is installed.
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        with needs("The log for TensorBoard (--no-tensorboard does without)", "train"):
            found.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    return found


def make_trainer(config, device: str, precision: str, **more) -> lightning.Trainer:
    """Lightning's Trainer on one device."""
    kind, _, number = device.partition(":")
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(kind, kind),
        devices=[int(number)] if number else 1,
        precision={"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[precision],
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip_norm or None,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **more,
    )


def fit(config, task, module, loader, folder, device, precision, kept, tell) -> Outcome:
    """Train to the end, from the last whole epoch where there is one."""
    best = KeepBest(config, task, folder, len(kept.skipped), tell)
    used = [best, Clock(tell, config.epochs)]
    if config.ema:
        used.append(callbacks.EMAWeightAveraging(decay=config.ema))
    if config.patience:
        used.append(callbacks.EarlyStopping("val_top1", mode="max", patience=config.patience))
    used.append(
        callbacks.ModelCheckpoint(
            folder, "last", save_on_train_epoch_end=True, enable_version_counter=False, save_top_k=1
        )
    )
    with (
        load.ViewReader(
            task.root,
            task.spec,
            num_workers=evaluate.workers_of(config),
            decoder=config.decoder,
            limits=evaluate.limits_of(config),
            cache_dir=config.cache_dir,
            dataset=task.dataset.name,
        ) as reader,
        quiet_lightning(),
    ):
        trainer = make_trainer(
            config, device, precision, max_epochs=config.epochs, callbacks=used, default_root_dir=folder,
            logger=loggers_for(folder, not config.no_tensorboard), log_every_n_steps=1,
        )  # fmt: skip
        resume = folder / "last.ckpt"
        videos = WholeVideos(reader, task.sides.val, config.batch_size)
        with interruptible(trainer) as stopped:
            trainer.fit(module, loader, videos, ckpt_path=str(resume) if resume.is_file() else None, weights_only=True)
    if stopped:
        said = (
            f"stopped in epoch {trainer.current_epoch + 1} of {config.epochs}; the same command continues in {folder}"
        )
        return Outcome(folder, said, EXIT_INTERRUPTED, {})
    write_json(folder / "finished.json", {"epochs": trainer.current_epoch})
    chosen = read_json(folder / "best.json")
    summary = (
        f"best epoch {chosen['epoch']} of {trainer.current_epoch}: {chosen['summary'].partition(', epoch')[0]}\n"
        f"to evaluate: python scripts/evaluate.py --weights {folder / 'best.safetensors'}"
    )
    return Outcome(folder, summary, EXIT_OK, chosen["metrics"])


@contextlib.contextmanager
def interruptible(trainer):
    """Collects Ctrl-C, which Lightning turns into an exit; the list is not empty afterwards where it came."""
    before, stopped = signal.getsignal(signal.SIGINT), []
    try:
        yield stopped
    except SystemExit:
        if not trainer.interrupted:
            raise
        stopped.append(True)
    finally:
        if stopped:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def alone(folder: Path):
    """Hold a run folder, so that no two processes train in it; raises ``RunError`` where another one does."""
    lock = filelock.FileLock(folder / "held", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(f"another process is training in {folder}; wait for it, or use another --run-name") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def quiet_lightning():
    """Without Lightning's greetings and advice for programmers."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def explained(config, module):
    """Turns a full memory into a sentence that says what to change."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as problem:
        text = str(problem)
        if not isinstance(problem, torch.OutOfMemoryError) and "not enough memory" not in text:
            raise
        smaller = max(1, config.batch_size // 2)
        advice = f"--batch-size {smaller} with --accumulate {config.accumulate * 2} makes the same steps"
        if config.batch_size == 1:
            advice = "a batch of 1 cannot become smaller"
        raise ConfigError(
            f"A batch of {config.batch_size} clips of {module.task.num_frames} frames does not fit into the memory: "
            f"{advice}; --precision bf16, fewer --num-frames, a smaller --crop or --freeze backbone take less."
        ) from None


# ---------------------------------------------------------------- first steps


def overfit(module: TrainedNetwork, loader, folder: Path, device: str) -> Outcome:
    """Learn one batch by heart, without augmentation and regularisation; a network that cannot will learn nothing."""
    pixels, labels = (part.to(device) for part in next(iter(loader)))
    module.to(device)
    for part in module.network.modules():
        if isinstance(part, torch.nn.modules.dropout._DropoutNd):
            part.p = 0.0
    parameters = [p for p in module.network.parameters() if p.requires_grad]
    optimizer = optimise.make_optimizer(module.config.optimizer, parameters, module.learning_rate)
    torch.manual_seed(module.config.seed)
    first, last, step = None, float("nan"), 0
    for step in range(1, TRIES + 1):  # noqa: B007 - told afterwards
        loss = optimise.loss_of(module.logits(pixels.float() / 255), labels)
        last = loss.item()
        first = last if first is None else first
        if last < LEARNT or not np.isfinite(last):
            break
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    what = f"one batch of {len(labels)} clips: loss {first:.3f} at first, {last:.3f} after {step} steps"
    if last < LEARNT:
        return Outcome(folder, f"{what}: learnt by heart, network, labels and optimiser work together", EXIT_OK, {})
    advice = f"NOT learnt; try another --learning-rate than {module.learning_rate:g} (--find-rate proposes one), "
    advice += "freeze less, and look whether two clips of the batch are alike and have other labels"
    return Outcome(folder, f"{what}: {advice}", EXIT_NOT_LEARNT, {})


def find_rate(config, module: TrainedNetwork, loader, folder: Path, device: str, precision: str) -> Outcome:
    """Lightning's range test: the rate at which the loss falls fastest."""
    import tempfile

    from lightning.pytorch.tuner import Tuner

    with tempfile.TemporaryDirectory() as scratch, quiet_lightning():
        trainer = make_trainer(
            config, device, precision, max_epochs=1000, logger=False, enable_checkpointing=False,
            default_root_dir=scratch, limit_val_batches=0,
        )  # fmt: skip
        tested = Tuner(trainer).lr_find(
            module, loader, min_lr=1e-6, max_lr=1.0, num_training=100, attr_name="learning_rate", update_attr=False
        )
    rate = tested.suggestion() if tested else None
    if rate is None:
        raise RunError("no learning rate can be proposed: the loss fell nowhere between 1e-6 and 1; try --overfit")
    return Outcome(
        folder, f"--learning-rate {rate:.1g}: there the loss fell fastest (tried from 1e-6 to 1 in 100 steps)", EXIT_OK,
        {"learning_rate": rate},
    )  # fmt: skip
