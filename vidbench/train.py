"""Training on Lightning's Trainer: our data, model and recipe; validated on whole videos, resumed, and timed.

A run folder holds ``last.ckpt``, from which the same command continues after the last whole epoch or step kept, and
``best.safetensors`` and ``last.safetensors``, checkpoints that carry their card. Everything that chance decides in a
step depends on the seed, the epoch and the number of the clip or step, so a run that was killed and continued ends
with the same weights on a CPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import torch
from torch.utils.data import DataLoader

from vidbench import distil, models, train_data
from vidbench.data import load
from vidbench.data.stored import stored_spec
from vidbench.first_steps import find_rate, overfit
from vidbench.flags import started_as_vidbench
from vidbench.learner import TrainedNetwork, WholeVideos
from vidbench.plan import limits_of, workers_of
from vidbench.preview import preview
from vidbench.records import ConfigError, RunError, VidbenchError, needs
from vidbench.runs import read_json, refuse_differences
from vidbench.samplers import EpochOrder, read_weights
from vidbench.train_arguments import WITHOUT_WARMUP
from vidbench.train_task import (
    Outcome,
    Processes,
    Task,
    augmentation,
    begin_folder,
    choose_precision,
    evaluation_words,
    make_task,
    manifest,
    run_folder,
    who_trains,
)
from vidbench.trainer import (
    Clock,
    KeepBest,
    KeepPlace,
    StopEarly,
    go_on_from,
    interruptible,
    loggers_for,
    make_trainer,
    quiet_lightning,
)
from vidbench.utils import plural, printable, usable_cores, write_json

with needs("Training", "train"):
    from lightning.pytorch import callbacks

# What torch's convolutions and poolings say of pixels that are used up before the last layer.
NOTHING_LEFT = ("smaller than kernel size", "Kernel size can't be greater than", "Output size is too small")
# A full memory in the words of torch on Linux and macOS, and on Windows; of CUDA, and of its libraries.
FULL = ("can't allocate memory", "not enough memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
WORKER = "DataLoader worker (pid"  # one that has ended without a word of its own, as a full memory ends it
EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130

log = logging.getLogger(__name__)


def train(config, *, progress=None, tell: Callable[[str], None] = lambda line: None) -> Outcome:
    """Train a network; continue the run when its folder exists.

    Args:
        config: a ``vidbench.arguments.TrainConfig``.
        progress: for reading the videos; as for ``vidbench.evaluate.evaluate``.
        tell: gets a line an epoch, the time that training will take, and which side limits the speed.

    Raises:
        VidbenchError: something asked for cannot be had, or training went wrong; whole epochs are kept.
    """
    config, who = config.checked(), who_trains(config)
    if who.first:
        return _train(config, who, progress, tell)
    logging.getLogger("vidbench").setLevel(logging.ERROR)
    try:
        return dataclasses.replace(_train(config, who, None, lambda line: None), summary="")
    except VidbenchError:  # the first process says it
        raise SystemExit(EXIT_FAILED) from None


def _train(config, who: Processes, progress, tell) -> Outcome:
    check_several(config, who)
    task = make_task(config)
    device, precision = choose_precision(config)
    how = None if config.overfit else augmentation(config, task.spec)
    folder, facts = run_folder(config, task), manifest(config, task, device, precision)
    if not config.first_step and (folder / "finished.json").is_file():
        return finished(folder, facts)
    check_lists(config, task, who)
    with contextlib.nullcontext() if config.first_step or not who.first else begun(folder, facts):
        with explained(config, task, loading=True):
            model = load_network(config, task, device if who.number == 1 and not config.preview else "cpu")
            teacher = None if config.preview else make_teacher(config, task, device)
        kept = read_videos(config, task, who, progress, tell)
        loader = make_loader(config, task, kept, how, who, device)
        module = TrainedNetwork(config, task, model, len(loader), teacher)
        with explained(config, task):
            if config.preview:
                return preview(module, loader, kept, folder)
            if config.overfit:
                return overfit(module, loader, folder, device)
            if config.find_rate:
                return find_rate(config, module, loader, folder, device, precision)
            best = KeepBest(config, task, facts["recipe"], folder, len(kept.skipped), tell)
            return fit(module, loader, best, who, device, precision)


def check_several(config, who: Processes) -> None:
    """Raise ``ConfigError`` where several processes cannot do what is asked for."""
    if who.number == 1:
        return
    if config.first_step:
        raise ConfigError(
            "--preview, --overfit and --find-rate are first steps of one process: leave torchrun and --devices out."
        )
    if "ipykernel" in sys.modules:
        raise ConfigError("Several processes train from the command line, not from a notebook: use scripts/train.py.")


def check_lists(config, task: Task, who: Processes) -> None:
    """Raise what is wrong with lists beside the videos, and warn of a warm-up without an end, before any is read."""
    listed = [record for record in task.sides.train if train_data.usable(record)]
    train_data.check_batch(len(listed), config.views_per_video, config.batch_size, who.number, "listed")
    if config.video_weights:
        read_weights(config.video_weights, [record for record in listed if (task.root / record.path).exists()])
    if config.curriculum not in (None, "length"):
        distil.teacher_run(config.curriculum, task.labels)
    if config.warmup_epochs > config.epochs and config.schedule not in WITHOUT_WARMUP:
        log.warning(
            "training ends within its warm-up (--warmup-epochs %g, --epochs %d): its highest rate is %.2g of the %g "
            "that --learning-rate says",
            config.warmup_epochs,
            config.epochs,
            config.learning_rate * config.epochs / config.warmup_epochs,
            config.learning_rate,
        )


def finished(folder: Path, facts: dict) -> Outcome:
    """What a run that is done said, where the same one is asked for; raises ``RunError`` for another one."""
    refuse_differences(folder, read_json(folder / "manifest.json"), facts)
    best = read_json(folder / "best.json")
    said = f"{best['summary']}\nnothing was run: {folder} is finished"
    return Outcome(folder, said, EXIT_OK, best["metrics"])


def load_network(config, task: Task, device: str) -> models.Model:
    """The network with a last layer for the dataset, ready to learn."""
    model = models.load_model(
        config.model,
        config.weights,
        device=device,
        memory_format="channels_last" if config.channels_last else "contiguous",
        seed=config.seed,
        labels=task.labels,
        options=config.options or None,
        backbone_weights=config.backbone_weights,
    )
    model.spec = task.spec
    return model


def make_teacher(config, task: Task, device: str) -> distil.Teacher | None:
    """A teacher that looks at every batch; ``None`` where there is none, or where its scores are stored."""
    if not config.teacher or Path(config.teacher).is_dir():
        if config.teacher:
            distil.teacher_run(config.teacher, task.labels)  # says what is wrong before the videos are read
        return None
    return distil.Teacher(config.teacher, config.teacher_weights, task.labels, task.num_frames, device)


def read_videos(config, task: Task, who: Processes, progress, tell) -> train_data.Stored:
    """Read every training video once, as small whole frames; those that cannot be read are counted and told."""
    Path(config.cache_dir).mkdir(parents=True, exist_ok=True)
    turns = filelock.FileLock(Path(config.cache_dir) / "reading") if who.number > 1 else contextlib.nullcontext()
    with turns:  # the first one reads; the others find everything in the cache
        kept = train_data.store_videos(
            task.sides.train,
            task.root,
            stored_spec(task.spec, task.num_frames, config.stored_frames),
            cache_dir=config.cache_dir,
            num_workers=readers(config, who),
            decoder=config.decoder,
            limits=limits_of(config),
            dataset=task.dataset.name,
            progress=progress,
        )
    tell(
        f"{plural(len(kept.records), 'video trains', 'videos train')} ({len(kept.skipped)} left out; their frames take "
        f"{kept.num_bytes / 1e6:.3g} MB), {plural(len(task.sides.val), 'validates', 'validate')}: {task.sides.how}"
    )
    if task.time_pairs and not config.overfit:
        turned = len({label for pair in task.time_pairs for label in pair})
        tell(f"clips of {turned} of {len(task.labels)} classes are played backwards, half of them; others never")
    return kept


def readers(config, who: Processes) -> int:
    """Processes that read videos for one that trains."""
    wanted = workers_of(config)
    return wanted if config.num_workers is not None else max(1, wanted // who.devices)


def view_workers(config, who: Processes, device: str) -> int:
    """Processes that cut and change clips beside the network: as asked, none on a processor, up to 8 for a GPU."""
    if config.num_workers is not None:
        return config.num_workers
    return min(8, max(1, usable_cores() // who.devices - 1)) if device != "cpu" else 0


def make_loader(config, task: Task, kept: train_data.Stored, how, who: Processes, device: str) -> DataLoader:
    """The batches of this process, in the order that the options ask for."""
    stored, scores = stored_spec(task.spec, task.num_frames, config.stored_frames), None
    if config.teacher and Path(config.teacher).is_dir():
        scores = distil.stored_scores(distil.teacher_run(config.teacher, task.labels), kept.records)
    clips = train_data.TrainingClips(
        kept.records, task.root, stored, task.spec, task.num_frames, how, task.labels,
        seed=config.seed, cache_dir=config.cache_dir, decoder=config.decoder, scores=scores,
        time_pairs=task.time_pairs,
    )  # fmt: skip
    order = EpochOrder(
        [record.label_index for record in kept.records],
        seed=config.seed,
        balanced=config.balanced,
        weights=read_weights(config.video_weights, kept.records) if config.video_weights else None,
        num_views=config.views_per_video,
        difficulty=difficulty(config, task, kept),
        easy_epochs=config.curriculum_epochs or config.epochs // 2,
    )
    workers = view_workers(config, who, device)
    return train_data.make_loader(
        clips, order, batch_size=config.batch_size, num_workers=workers, rank=who.rank, num_ranks=who.number
    )


def difficulty(config, task: Task, kept: train_data.Stored) -> np.ndarray | None:
    """How hard each training video is: its seconds, or minus the logarithm of what a run's model gave its class."""
    if config.curriculum == "length":
        return np.array(kept.seconds)
    if config.curriculum is None:
        return None
    scores = distil.stored_scores(distil.teacher_run(config.curriculum, task.labels), kept.records)
    return -scores[np.arange(len(scores)), [record.label_index for record in kept.records]]


def fit(module: TrainedNetwork, loader, best: KeepBest, who: Processes, device: str, precision: str) -> Outcome:
    """Train to the end, from the last point that was kept where there is one."""
    config, task, folder = best.config, best.task, best.folder
    with (
        load.ViewReader(
            task.root, task.spec, num_workers=readers(config, who), decoder=config.decoder,
            limits=limits_of(config), cache_dir=config.cache_dir, dataset=task.dataset.name,
        ) as reader,
        quiet_lightning(),
    ):  # fmt: skip
        trainer = make_trainer(
            config, device, precision, who, max_epochs=config.epochs, callbacks=callbacks_for(best),
            default_root_dir=folder, logger=loggers_for(folder, not config.no_tensorboard) if who.first else False,
            log_every_n_steps=1,
        )  # fmt: skip
        check_rank(trainer, who)
        resume = go_on_from(folder / "last.ckpt", loader.batch_sampler)
        videos = WholeVideos(reader, task.sides.val, config.batch_size, who.rank, who.number)
        with interruptible(trainer) as stopped:
            trainer.fit(module, loader, videos, ckpt_path=resume, weights_only=True)
    if stopped:
        said = (
            f"stopped in epoch {trainer.current_epoch + 1} of {config.epochs}; the same command continues in {folder}"
        )
        return Outcome(folder, said, EXIT_INTERRUPTED, {})
    return ended(best, trainer.current_epoch) if who.first else Outcome(folder, "", EXIT_OK, {})


def callbacks_for(best: KeepBest) -> list:
    """What Lightning calls after steps and epochs; the mean of the weights comes before what keeps them."""
    config, last = best.config, best.folder / "last.ckpt"
    used: list[callbacks.Callback] = [best, Clock(best.tell, config.epochs)]
    used += [callbacks.EMAWeightAveraging(decay=config.ema)] if config.ema else []
    used += [StopEarly("val_top1", mode="max", patience=config.patience)] if config.patience else []
    used += [KeepPlace(last, config.save_steps)]
    keep_last = callbacks.ModelCheckpoint(
        last.parent, last.stem, save_on_train_epoch_end=True, enable_version_counter=False, save_top_k=1
    )
    return [*used, keep_last]


def check_rank(trainer, who: Processes) -> None:
    """Raise ``ConfigError`` where Lightning counts the processes otherwise than we do."""
    if (trainer.global_rank, trainer.world_size) != (who.rank, who.number):
        raise ConfigError(
            f"Lightning takes this for process {trainer.global_rank} of {trainer.world_size}, the options for "
            f"{who.rank} of {who.number}: start several machines with torchrun, or with one task a device."
        )


def ended(best: KeepBest, num_epochs: int) -> Outcome:
    """Mark a run as finished, and say what came out and how it is evaluated."""
    folder = best.folder
    write_json(folder / "finished.json", {"epochs": num_epochs})
    chosen = read_json(folder / "best.json")
    command = "vidbench evaluate" if started_as_vidbench() else "python scripts/evaluate.py"
    words, flatters = evaluation_words(best.config, best.task)
    words = ["--weights", str(folder / "best.safetensors"), *words]
    summary = (
        f"best epoch {chosen['epoch']} of {num_epochs}: {chosen['summary'].partition(', epoch')[0]}\n"
        f"to evaluate: {command} {shlex.join(words)}"
    )
    if flatters:
        summary += f"\nthat figure is too good: {flatters}; --data-dir or --split names others"
    return Outcome(folder, summary, EXIT_OK, chosen["metrics"])


@contextlib.contextmanager
def begun(folder: Path, facts: dict):
    """Hold a run's folder, with a manifest of these facts; ``RunError`` where it is another training's, or held."""
    if (folder / "rows.jsonl").exists() and not (folder / "last.ckpt").is_file():
        raise RunError(f"{folder} holds an evaluation; use another --run-name")
    with alone(folder):
        begin_folder(folder, facts)
        yield


@contextlib.contextmanager
def alone(folder: Path):
    """Hold a run folder, so that no two processes train in it; raises ``RunError`` where another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "held", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(f"another process is training in {folder}; wait for it, or use another --run-name") from None
    try:
        for left in folder.glob(".*.tmp"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def explained(config, task: Task, *, loading: bool = False):
    """Turns a full memory, and clips too small for the network, into a sentence that says what to change.

    Args:
        config: the options of the program.
        task: what they come to.
        loading: whether networks are loaded; otherwise they learn.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as problem:
        if interrupt := interrupt_behind(problem):
            raise interrupt from None
        words = str(problem)
        if any(part in words for part in NOTHING_LEFT):
            height, width = task.spec.crop
            raise ConfigError(
                f"Clips of {task.num_frames} frames of {height}x{width} are too small for this network "
                f"({printable(problem, 120)}): use a larger --crop and --short-side, or more --num-frames."
            ) from None
        if WORKER in words:
            raise ConfigError(
                f"A process that makes training views came to an end ({printable(problem, 120)}), most often because "
                "the memory is full: use fewer --num-workers, fewer --num-frames or a smaller --batch-size."
            ) from None
        full = isinstance(problem, (MemoryError, torch.OutOfMemoryError)) or any(part in words for part in FULL)
        if not full:
            raise
        raise ConfigError(too_large_to_load(config) if loading else too_large_a_batch(config, task)) from None


def interrupt_behind(problem: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C or SIGTERM while whose consequences were seen to, an exception was raised.

    A cluster sends SIGTERM to all processes of a job, and the ones that make views are then missed by the one that is
    already on its way out.
    """
    while problem is not None and not isinstance(problem, KeyboardInterrupt):
        problem = problem.__context__
    return problem


def too_large_to_load(config) -> str:
    """What to change where the weights alone fill the memory."""
    teacher = " and its teacher do" if config.teacher else " does"
    return (
        f"The network{teacher} not fit into the memory, before any clip: end what else uses it, take a smaller network "
        "or, where it is a GPU's, --device cpu."
    )


def too_large_a_batch(config, task: Task) -> str:
    """What to change where a step fills the memory."""
    smaller = max(1, config.batch_size // 2)
    advice = f"--batch-size {smaller} with --accumulate {config.accumulate * 2} makes the same steps"
    if config.batch_size == 1:
        advice = "a batch of 1 cannot become smaller"
    return (
        f"A batch of {config.batch_size} clips of {task.num_frames} frames does not fit into the memory: "
        f"{advice}; --precision bf16, fewer --num-frames, a smaller --crop or --freeze backbone take less."
    )
