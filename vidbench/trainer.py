"""Lightning's Trainer as we use it: device, loggers, and what is kept and told after an epoch and some steps."""

from __future__ import annotations

import contextlib
import io
import logging
import signal
import sys
import time
import types
import warnings
from pathlib import Path
from typing import Literal

import torch

from vidbench import __version__, models, trained
from vidbench.learner import TrainedNetwork
from vidbench.metrics import percent, summarise
from vidbench.progress import duration
from vidbench.records import RunError, needs
from vidbench.samplers import RankBatches
from vidbench.train_task import Processes, Task, data_facts
from vidbench.utils import atomic_writer, jsonable, printable

with needs("Training", "train"):
    import lightning
    from lightning.pytorch import callbacks
    from lightning.pytorch.plugins.io import TorchCheckpointIO

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]  # Lightning's words for ours
PRECISIONS: dict[str, Precision] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
CLOCK_STEPS = 20  # after which the time of the whole training is told


class KeepBest(callbacks.Callback):
    """Judges each epoch on whole videos, and keeps the best and the last weights with their card.

    Args:
        config: the options of the program.
        task: what they come to.
        recipe: of the run's manifest.
        folder: of the run.
        skipped: training videos that could not be read.
        tell: gets a line an epoch.
    """

    def __init__(self, config, task: Task, recipe: dict, folder: Path, skipped: int, tell):
        self.config, self.task, self.recipe = config, task, recipe
        self.folder, self.skipped, self.tell = folder, skipped, tell
        self.best, self.summary, self.rate = -1.0, "", 0.0
        self.metrics: dict = {}

    def state_dict(self) -> dict:
        return {"best": self.best}

    def load_state_dict(self, state: dict) -> None:
        self.best = state["best"]

    def on_before_optimizer_step(self, trainer, module, optimizer) -> None:
        self.rate = optimizer.param_groups[-1]["lr"]  # of this step; after it the schedule names that of the next one

    def on_validation_epoch_end(self, trainer, module) -> None:
        if trainer.sanity_checking:
            return
        self.metrics = summarise(rows_of_all(trainer, module.rows), self.task.labels)
        top1 = self.metrics["listed"]["top1"]
        module.log("val_top1", top1["value"], batch_size=1)
        loss = trainer.callback_metrics.get("loss")
        self.summary = f"validation top-1 {percent(top1)}, n={top1['n']} ({self.metrics['n_skipped']} skipped)"
        self.tell(
            f"epoch {trainer.current_epoch + 1}/{self.config.epochs}: {self.summary}, "
            f"learning rate {self.rate:.2g}" + (f", loss before {loss:.3f}" if loss is not None else "")
        )
        for schedule in trainer.lr_scheduler_configs:
            if schedule.reduce_on_plateau:
                schedule.scheduler.step(top1["value"])
        better, self.best = top1["value"] > self.best, max(top1["value"], self.best)
        if trainer.is_global_zero:
            for name in ("best", "last") if better else ("last",):
                self.write(name, trainer, module)

    def write(self, name: str, trainer, module: TrainedNetwork) -> None:
        """Weights as they were validated, with their card."""
        task = self.task
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
            "recipe": self.recipe,
            "epoch": trainer.current_epoch + 1,
            "summary": f"{self.summary}, epoch {trainer.current_epoch + 1} of {self.config.epochs}",
            "metrics": metrics,
            "made_with": {"vidbench": __version__, "torch": torch.__version__, "lightning": lightning.__version__},
        }
        trained.write_trained(self.folder / f"{name}.safetensors", module.network.state_dict(), jsonable(facts))


def rows_of_all(trainer, rows: list) -> list:
    """The rows of all processes, in listed order; each validated its own videos."""
    if trainer.world_size == 1:
        return rows
    parts: list = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, rows)
    return sorted((row for part in parts for row in part), key=lambda row: row.index)


def base_of(config) -> str:
    """The card of ours behind a checkpoint that training begins with."""
    facts = trained.read_facts(config.weights)
    assert facts, "a card that is none of ours was in the checkpoint"
    return facts["network"]


class StopEarly(callbacks.EarlyStopping):
    """Stops when validation has not improved for a while; at once where a run that had stopped is continued."""

    def on_train_start(self, trainer, module) -> None:
        """Before anything is learnt."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class KeepPlace(callbacks.Callback):
    """Knows how far training is, and keeps a point to continue from within an epoch.

    Only between steps: gradients of batches that have not yet made a step are in no checkpoint. Not after the last
    batch, behind which validation comes and then the point that each epoch ends with.

    Args:
        path: of the checkpoint.
        every: steps from one point to the next; ``None`` for none within an epoch.
    """

    def __init__(self, path: Path, every: int | None):
        self.path, self.every, self.epoch, self.batch = path, every, 0, 0

    def state_dict(self) -> dict:
        return {"epoch": self.epoch, "batch": self.batch}

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.epoch, self.batch = trainer.current_epoch, batch_idx + 1
        stepped = self.batch % module.config.accumulate == 0
        if self.every and stepped and self.batch < module.num_batches and trainer.global_step % self.every == 0:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer, module) -> None:
        self.epoch, self.batch = trainer.current_epoch + 1, 0


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are written beside the one before, and take its place when they are whole and on the disk.

    Lightning's own writes into the system's folder for temporary files and moves the file from there. Where that is
    another disk, moving is copying: a kill on the way leaves half a checkpoint and none before it.
    """

    def save_checkpoint(self, checkpoint: dict, path, storage_options=None) -> None:
        """Write what Lightning collected; raises ``OSError`` where the disk does not take it, and nothing is lost."""
        whole = io.BytesIO()
        torch.save(checkpoint, whole)
        with atomic_writer(path) as file:
            file.write(whole.getbuffer())


def go_on_from(path: Path, batches: RankBatches) -> str | None:
    """The checkpoint to continue from, where there is one, with the batches set to what comes next.

    Raises:
        RunError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["callbacks"][KeepPlace.__qualname__]
        batches.begin_at(kept["epoch"], kept["batch"])
    except Exception as problem:  # whatever a damaged file makes torch raise
        raise RunError(
            f"{path} cannot be read ({printable(problem, 80)}), so the run cannot go on from it: remove that file to "
            "begin again, or use another --run-name"
        ) from None
    return str(path)


class Clock(callbacks.Callback):
    """Says after some steps how long training will take, and whether data or network limits it."""

    def __init__(self, tell, epochs: int):
        self.tell, self.epochs = tell, epochs
        self.waited = self.worked = 0.0
        self.steps, self.mark, self.told = 0, 0.0, False

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
        clips = module.config.batch_size * trainer.world_size / step_s
        self.tell(
            f"about {duration(epoch_s)} an epoch and {duration(epoch_s * left)} in all, without validation; "
            f"{clips:.3g} clips/s; the {'data limit' if share > 0.5 else 'network limits'} "
            f"the speed (waiting for data takes {share:.0%} of a step){advice}"
        )
        for logger in trainer.loggers:
            times = {"seconds_an_epoch": epoch_s, "seconds_in_all": epoch_s * left, "share_waiting_for_data": share}
            logger.log_metrics(times, trainer.global_step)


def loggers_for(folder: Path, tensorboard: bool) -> list:
    """Lightning's loggers: a CSV file a session and, where asked for, TensorBoard."""
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    found: list = [CSVLogger(folder, name="log")]  # a folder a session: it would empty one that is there
    if tensorboard:
        # TensorBoard then takes its own stand-in, and does not import TensorFlow where that is installed.
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        with needs("The log for TensorBoard (--no-tensorboard does without)", "train"):
            found.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    return found


def make_trainer(config, device: str, precision: str, who: Processes, **more) -> lightning.Trainer:
    """Lightning's Trainer on one device, or in as many processes as train together."""
    kind, _, number = device.partition(":")
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(kind, kind),
        devices=[int(number)] if number else who.devices,
        num_nodes=who.nodes,
        strategy="ddp" if who.number > 1 else "auto",
        use_distributed_sampler=False,
        precision=PRECISIONS[precision],
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip_norm or None,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=[WholeCheckpoints()],
        **more,
    )


@contextlib.contextmanager
def interruptible(trainer):
    """Collects Ctrl-C, which Lightning turns into an exit; the list is not empty afterwards where it came."""
    before = signal.getsignal(signal.SIGINT)
    stopped: list[bool] = []
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
def quiet_lightning():
    """Without Lightning's greetings and advice for programmers."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
