"""First steps before a training: learn one batch by heart, and find a learning rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vidbench import optimise
from vidbench.learner import TrainedNetwork
from vidbench.records import RunError
from vidbench.train_task import Outcome, Processes
from vidbench.trainer import make_trainer, quiet_lightning

EXIT_OK, EXIT_NOT_LEARNT = 0, 3
LEARNT, TRIES = 0.1, 200  # --overfit: the loss to be reached, in at most so many steps


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
    what = f"one batch of {len(labels)} clips: loss {first:.3f} at first, {last:.3f} after {step} steps"
    if last < LEARNT:
        return Outcome(folder, f"{what}: learnt by heart, network, labels and optimiser work together", EXIT_OK, {})
    advice = f"NOT learnt; try another --learning-rate than {module.learning_rate:g} (--find-rate proposes one), "
    advice += "freeze less, and look whether two clips of the batch are alike and have other labels"
    return Outcome(folder, f"{what}: {advice}", EXIT_NOT_LEARNT, {})


def find_rate(config, module: TrainedNetwork, loader, folder: Path, device: str, precision: str) -> Outcome:
    """Lightning's range test: the rate at which the loss falls fastest."""
    import tempfile

    from lightning.pytorch.tuner.tuning import Tuner

    with tempfile.TemporaryDirectory() as scratch, quiet_lightning():
        trainer = make_trainer(
            config, device, precision, Processes(0, 1, 1), max_epochs=1000, logger=False, enable_checkpointing=False,
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
