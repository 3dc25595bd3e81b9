"""What moves the weights: loss, parameter groups with their rates, optimisers, schedules, what is held still."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import LRSchedulerConfigType

STEPS = (0.6, 0.85)  # parts of training after which ``step`` divides the rate by ten
NORMS = (nn.modules.batchnorm._BatchNorm,)
NEVER = 10**12  # epochs between two steps that Lightning makes of a plateau's schedule
HELD_NORMS = {"nothing": "none", "backbone": "all", "norms": "all", "partial-norms": "partial"}  # by --freeze


def loss_of(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    smoothing: float = 0.0,
    focal: float = 0.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy of a batch, a scalar.

    Args:
        logits: float (N, K), or (N, S, K) where each of S segments has scores of its own.
        targets: int64 (N,), or float (N, K) whose rows add up to 1.
        smoothing: label smoothing.
        focal: gamma of the focal loss (https://arxiv.org/abs/1708.02002), which weighs each term by
            ``(1 - p) ** gamma``; 0 for plain cross-entropy.
        weights: float (K,), of the classes; as torch has it, the mean is a weighted one for whole-number targets.
    """
    if logits.dim() == 3:
        targets = targets.repeat_interleave(logits.shape[1], 0)
        logits = logits.flatten(0, 1)
    logits = logits.float()
    if not focal:
        return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing)
    num_classes = logits.shape[-1]
    shares = targets if targets.is_floating_point() else functional.one_hot(targets, num_classes).float()
    shares = shares * (1 - smoothing) + smoothing / num_classes
    log_p = logits.log_softmax(-1)
    terms = -shares * (1 - log_p.exp()) ** focal * log_p
    return (terms if weights is None else terms * weights).sum(-1).mean()


def class_weights(labels: Sequence[int] | np.ndarray, num_classes: int) -> np.ndarray:
    """Weights that make classes count alike, float32 (K,): inverse to their number of videos, 1 on average over videos.

    A class without a video gets 0.
    """
    counts = np.bincount(np.asarray(labels, np.int64), minlength=num_classes)
    present = (counts > 0).sum()
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0).astype(np.float32)


def freeze(module: nn.Module, names: Sequence[str], *, norms: str) -> None:
    """Hold parameters still: those named, and batch normalisations'.

    Args:
        module: the network.
        names: of parameters.
        norms: ``none``, ``all``, or ``partial`` for all but the first one, as Temporal Segment Networks are trained.
    """
    wanted = set(names)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in wanted)
    found = [part for part in module.modules() if isinstance(part, NORMS)]
    for part in {"none": [], "all": found, "partial": found[1:]}[norms]:
        part.requires_grad_(False)


def set_dropout(module: nn.Module, head: set[str], share: float) -> None:
    """Have each step of training leave out a share of the last layer's inputs.

    A dropout that stands beside the last layer gets the share; where there is none, one is put before the layer. It
    holds no weights, so the network's state keeps its names.

    Args:
        module: the network.
        head: names of the last layer's parameters.
        share: in [0, 1].
    """
    for place in {name.rpartition(".")[0] for name in head}:
        layer, parent = module.get_submodule(place), module.get_submodule(place.rpartition(".")[0])
        beside = [part for part in parent.children() if isinstance(part, nn.modules.dropout._DropoutNd)]
        for part in beside:
            part.p = share
        if not beside:
            layer.register_forward_pre_hook(
                lambda layer, inputs: (functional.dropout(inputs[0], share, layer.training), *inputs[1:])
            )


def hold_still(module: nn.Module) -> None:
    """Batch normalisations without a parameter that learns keep their statistics too; call it after ``train()``."""
    for part in module.modules():
        if isinstance(part, NORMS) and not any(p.requires_grad for p in part.parameters()):
            part.eval()


def block_of(name: str) -> str:
    """The part of a network that a parameter belongs to: its name up to the first number, or without its last word.

    >>> block_of("encoder.layer.3.attention.weight"), block_of("layer2.1.conv1.weight"), block_of("fc.bias")
    ('encoder.layer.3', 'layer2.1', 'fc')
    """
    found = re.match(r"(?:[^.]*\.)*?\d+(?=\.)", name)
    return found.group() if found else name.rpartition(".")[0] or name


def parameter_groups(
    module: nn.Module, head: set[str], *, rate: float, weight_decay: float, layer_decay: float = 1.0, head_rate=1.0
) -> list[dict]:
    """Groups for an optimiser of all that learns; biases, norms and other parameters of one axis do not decay.

    Args:
        module: the network; what does not learn (``requires_grad``) is left out.
        head: names of the last layer's parameters.
        rate: learning rate of the last layer, but for ``head_rate``, and without ``layer_decay`` of all.
        weight_decay: of all others than biases, norms and the like.
        layer_decay: each block (``block_of``, in the order of the network's definition) learns by this factor slower
            than the next.
        head_rate: factor for the last layer.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    blocks = list(dict.fromkeys(block_of(name) for name, _ in named if name not in head))
    groups: dict[tuple, list] = {}
    for name, parameter in named:
        if name in head:
            factor = head_rate
        else:
            factor = layer_decay ** (len(blocks) - blocks.index(block_of(name)))
        groups.setdefault((factor, parameter.dim() > 1), []).append(parameter)
    return [
        {"params": found, "lr": rate * factor, "weight_decay": weight_decay if decays else 0.0}
        for (factor, decays), found in groups.items()
    ]


def make_optimizer(kind: str, groups: list[dict], rate: float, momentum: float = 0.9) -> torch.optim.Optimizer:
    """``adamw``, or ``sgd`` with Nesterov's momentum."""
    if kind == "adamw":
        return torch.optim.AdamW(groups, rate)
    return torch.optim.SGD(groups, rate, momentum=momentum, nesterov=True)


def make_schedule(kind: str, optimizer, num_steps: int, num_warm: int) -> LRSchedulerConfigType:
    """Lightning's description of a schedule: ``step`` by ``step`` but for ``plateau``, which looks at validation.

    Every schedule but ``onecycle``, which has its own, begins with ``num_warm`` steps of linear warm-up; ``plateau``
    has none, and whoever judges an epoch steps it: Lightning would do so after it has written the epoch's checkpoint,
    and a run that goes on from there would have missed that epoch's score.
    """
    schedulers = torch.optim.lr_scheduler
    if kind == "plateau":
        plateau = schedulers.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=5)
        return {"scheduler": plateau, "interval": "epoch", "monitor": "val_top1", "frequency": NEVER}
    if kind == "onecycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        made: torch.optim.lr_scheduler.LRScheduler = schedulers.OneCycleLR(
            optimizer, highest, total_steps=max(2, num_steps)
        )
    else:
        made = schedulers.LambdaLR(optimizer, factor_at(kind, num_steps, num_warm))
    return {"scheduler": made, "interval": "step"}


def rates_at(schedule: LRSchedulerConfigType, steps: Sequence[int]) -> np.ndarray:
    """What a schedule makes of the learning rates, without training: float64 (n, G) for G groups of parameters.

    A plateau's, which looks at validation, stays where it begins.

    Args:
        schedule: from ``make_schedule``; it is used up.
        steps: n of them, from 0, below the number of steps that it was made for.
    """
    scheduler: torch.optim.lr_scheduler.LRScheduler = schedule["scheduler"]
    if schedule["interval"] == "epoch":
        return np.tile([group["lr"] for group in scheduler.optimizer.param_groups], (len(steps), 1))
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch misses the steps of the optimiser between
        for step in steps:
            scheduler.last_epoch = step - 1
            scheduler.step()
            found.append(scheduler.get_last_lr())
    return np.array(found, np.float64)


def factor_at(kind: str, num_steps: int, num_warm: int) -> Callable[[int], float]:
    """The factor of the learning rate at each step, from 0.

    >>> [round(factor_at("cosine", 10, 2)(step), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """

    def factor(step: int) -> float:
        if step < num_warm:
            return (step + 1) / num_warm
        if kind == "constant":
            return 1.0
        if kind == "step":
            return 0.1 ** sum(step >= part * num_steps for part in STEPS)
        part = (step - num_warm) / max(1, num_steps - num_warm)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, part)))

    return factor
