"""First steps before a training: learn one batch by heart, and find a learning rate."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy import signal

from vidbench import optimise
from vidbench.learner import TrainedNetwork
from vidbench.records import RunError, needs
from vidbench.train_task import Outcome, Processes
from vidbench.trainer import make_trainer, quiet_lightning
from vidbench.utils import plural

with needs("Training", "train"):
    from lightning.pytorch import callbacks

EXIT_OK, EXIT_NOT_LEARNT = 0, 3
LEARNT, TRIES = 0.1, 200  # --overfit: the loss to be reached, in at most so many steps
RATES = np.geomspace(1e-6, 1.0, 100)  # --find-rate: of its steps
WINDOW = 11  # its steps that a line is laid through
AT_ONCE, DIVERGED = 5, 4  # it ends where the median of so many losses is so many times that of the first ones


def overfit(module: TrainedNetwork, loader, folder: Path, device: str) -> Outcome:
    """Learn one batch by heart, without augmentation and regularisation; a network that cannot will learn nothing."""
    pixels, labels = (part.to(device) for part in next(iter(loader))[:2])
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
    clips = plural(len(labels), "clip")
    what = f"one batch of {clips}: loss {first:.3f} at first, {last:.3f} after {plural(step, 'step')}"
    if last < LEARNT:
        return Outcome(folder, f"{what}: learnt by heart, network, labels and optimiser work together", EXIT_OK, {})
    advice = f"NOT learnt; try another --learning-rate than {module.learning_rate:g} (--find-rate proposes one), "
    advice += "freeze less, and look whether two clips of the batch are alike and have other labels"
    return Outcome(folder, f"{what}: {advice}", EXIT_NOT_LEARNT, {})


def find_rate(config, module: TrainedNetwork, loader, folder: Path, device: str, precision: str) -> Outcome:
    """Steps at rising learning rates (https://arxiv.org/abs/1506.01186), and the rate at which the loss falls fastest.

    Raises:
        RunError: the loss fell by no more than it scatters.
    """
    test = RangeTest()
    with tempfile.TemporaryDirectory() as scratch, quiet_lightning():
        trainer = make_trainer(
            config, device, precision, Processes(0, 1, 1), max_epochs=-1, max_steps=len(RATES), logger=False,
            enable_checkpointing=False, default_root_dir=scratch, limit_val_batches=0, callbacks=[test],
        )  # fmt: skip
        with contextlib.suppress(RunError):  # a loss that is not finite ends the range
            trainer.fit(module, loader)
    losses = np.array(test.losses)
    tried = f"tried from {RATES[0]:.1g} to {RATES[max(0, len(losses) - 1)]:.1g} in {plural(len(losses), 'step')}"
    place = steepest(losses)
    if place is None:
        raise RunError(
            f"no learning rate can be proposed: the loss fell nowhere by more than it scatters from step to step "
            f"({tried}). A larger --batch-size, or --accumulate, makes it scatter less; --overfit says whether the "
            "network learns at all"
        )
    rate = float(RATES[place])
    said = f"--learning-rate {rate:.1g}: there the loss fell fastest ({tried})"
    return Outcome(folder, said, EXIT_OK, {"learning_rate": rate})


class RangeTest(callbacks.Callback):
    """Gives each step its rate of ``RATES``, and keeps the mean loss of its batches.

    Groups of parameters keep the ratio of their rates. It ends before the last rate where the loss is several times
    what it was at first.
    """

    def __init__(self):
        self.losses: list[float] = []
        self.batches: list[float] = []

    def on_train_start(self, trainer, module) -> None:
        trainer.strategy.lr_scheduler_configs = []
        self.factors = [group["lr"] / module.learning_rate for group in module.groups()]

    def on_train_batch_start(self, trainer, module, batch, batch_idx) -> None:
        for group, factor in zip(trainer.optimizers[0].param_groups, self.factors, strict=True):
            group["lr"] = RATES[len(self.losses)] * factor

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.batches.append(outputs["loss"].item() * module.config.accumulate)  # Lightning divided it
        if trainer.global_step > len(self.losses):
            self.losses.append(float(np.mean(self.batches)))
            self.batches = []
        first, last = self.losses[:AT_ONCE], self.losses[-AT_ONCE:]
        if len(self.losses) >= 2 * AT_ONCE and np.median(last) > DIVERGED * np.median(first):
            trainer.should_stop = True


def steepest(losses: np.ndarray) -> int | None:
    """The step of a range test at which the loss falls fastest, or ``None`` where its fall cannot be told from chance.

    Through the ``WINDOW`` losses around each step goes a straight line; the steepest one before the lowest place
    counts. Steps stand for rates of which each is the same factor above the one before. The fall, from the highest to
    the lowest place after it, must be more than twice the scatter of single losses around those lines: of 4,000 draws
    of 100 losses that chance alone made, fewer than one in a hundred fell so far.

    Args:
        losses: float (n,), of steps at rising rates.

    >>> steepest(2 - np.tanh((np.arange(60) - 40) / 5))
    40
    """
    if len(losses) < 2 * WINDOW:
        return None
    inner = slice(WINDOW // 2, -(WINDOW // 2))  # steps with losses on both sides
    lines, slopes = (signal.savgol_filter(losses, WINDOW, 1, deriv=k)[inner] for k in (0, 1))
    lowest = int(lines.argmin())
    until = slice(max(lowest + 1, WINDOW))
    scatter = np.std((losses[inner] - lines)[until])
    if lowest == 0 or lines[: lowest + 1].max() - lines[lowest] <= 2 * scatter:
        return None
    return WINDOW // 2 + int(slopes[: lowest + 1].argmin())
