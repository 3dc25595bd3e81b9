"""The network while it learns: one step of training, and the scores of whole videos."""

from __future__ import annotations

import numpy as np
import torch

from vidbench import distil, forward, models, optimise, train_data
from vidbench.augment import mix_clips
from vidbench.data import load
from vidbench.local import batches, make_row
from vidbench.plan import Plan
from vidbench.records import RunError, Views, needs
from vidbench.train_task import Task
from vidbench.utils import peak_rss_mb

with needs("Training", "train"):
    import lightning
    from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig


class TrainedNetwork(lightning.LightningModule):
    """A network with its recipe: one step of training, and the scores of whole videos.

    Args:
        config: the options of the program.
        task: what they come to.
        model: the network to begin with; its module is trained in place.
        num_batches: in an epoch.
        teacher: looks at every batch; ``None`` where there is none, or where batches carry its scores.
    """

    allow_zero_length_dataloader_with_multiple_devices = True  # fewer validation videos than processes

    def __init__(
        self, config, task: Task, model: models.Model, num_batches: int, teacher: distil.Teacher | None = None
    ):
        super().__init__()
        self.config, self.task, self.model, self.teacher = config, task, model, teacher
        self.network = model.network.module
        self.learning_rate, self.num_batches = config.learning_rate, num_batches
        self.head = models.head_keys(task.card)
        self.network.requires_grad_(True)
        optimise.freeze(self.network, self._frozen(), norms=optimise.HELD_NORMS[config.freeze])
        if config.dropout is not None:
            optimise.set_dropout(self.network, self.head, config.dropout)
        labels = [record.label_index for record in task.sides.train if train_data.usable(record)]
        weights = optimise.class_weights(labels, len(task.labels)) if config.class_weights else None
        self.weights = None if weights is None else torch.from_numpy(weights)
        self.rows: list = []
        self.stepped = False
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
        """Scores (N, K) of training views, float (N, T, 3, H, W) from 0 to 1; (N, S, K) where each segment has its
        own."""
        return distil.network_scores(self.network, pixels, self.task.spec, self.model.memory_format)

    def loss(self, pixels: torch.Tensor, labels: torch.Tensor, told: torch.Tensor | None = None) -> torch.Tensor:
        """Loss of uint8 clips (N, T, 3, H, W) as the recipe has it.

        Args:
            pixels: the clips.
            labels: int64 (N,).
            told: stored scores of a teacher, float (N, K).
        """
        config = self.config
        pixels, labels = self.mixed(pixels, labels)
        weights = None if self.weights is None else self.weights.to(pixels.device)
        logits = self.logits(pixels)
        loss = optimise.loss_of(logits, labels, smoothing=config.label_smoothing, focal=config.focal, weights=weights)
        told = self.teacher(pixels) if self.teacher else told
        if told is None:
            return loss
        return (1 - config.distil) * loss + config.distil * distil.distillation_loss(logits, told, config.temperature)

    def mixed(self, pixels: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What a step learns from, from torch's current random state: clips mixed with others where the recipe has it.

        Args:
            pixels: uint8 (N, T, 3, H, W).
            labels: int64 (N,).

        Returns:
            Pixels, float from 0 to 1 of the same shape, and the labels, or float (N, K) where clips are mixed.
        """
        config, pixels = self.config, pixels.float() / 255
        if not (config.mixup or config.cutmix):
            return pixels, labels
        return mix_clips(pixels, labels, len(self.task.labels), config.mixup, config.cutmix)

    def seed_step(self, epoch: int, batch_idx: int) -> None:
        """Set what torch draws in a batch, mixing first and then dropout; both count from 0."""
        rank = [self.global_rank] if self.global_rank else []
        state = np.random.SeedSequence([self.config.seed, epoch, batch_idx, *rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]))

    def on_train_batch_start(self, batch, batch_idx: int) -> None:
        self.seed_step(self.current_epoch, batch_idx)

    def on_train_batch_end(self, outputs, batch, batch_idx: int) -> None:
        if not self.stepped:  # the first one: its memory is what all others need
            self.stepped = True
            forward.reuse_memory(self.model, peak_rss_mb())

    def training_step(self, batch, batch_idx: int) -> torch.Tensor:
        loss = self.loss(*batch)
        if not self._is_finite(loss):
            value = "not finite in another process" if loss.isfinite() else loss.item()
            raise RunError(
                f"the loss is {value} in epoch {self.current_epoch + 1}, batch {batch_idx + 1}: make "
                f"--learning-rate smaller (it is {self.config.learning_rate:g}; --find-rate proposes one)"
                f"{', or --warmup-epochs longer' if self.config.schedule == 'cosine' else ''}"
                f"{', or use --precision fp32' if self.trainer.precision != '32-true' else ''}"
            )
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def _is_finite(self, loss: torch.Tensor) -> bool:
        """Whether all processes have a finite loss: either all go on, or all stop and none waits for another."""
        if self.trainer.world_size == 1:
            return bool(loss.isfinite())
        return bool(
            self.trainer.strategy.reduce(loss.detach().isfinite().float(), reduce_op="sum") == self.trainer.world_size
        )

    def groups(self) -> list[dict]:
        """What learns, at its highest rate, as an optimiser takes it."""
        config = self.config
        return optimise.parameter_groups(
            self.network,
            self.head,
            rate=self.learning_rate,
            weight_decay=config.weight_decay,
            layer_decay=config.layer_decay,
            head_rate=config.head_rate,
        )

    @property
    def steps_an_epoch(self) -> int:
        """How often the weights move in an epoch; the last step may have fewer batches than others."""
        return -(-self.num_batches // self.config.accumulate)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        config, steps = self.config, self.steps_an_epoch
        optimizer = optimise.make_optimizer(config.optimizer, self.groups(), self.learning_rate)
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
            record = self.task.sides.val[number]
            self.rows.append(make_row(number, record, self.plan, views, scores, 1))

    @property
    def plan(self) -> Plan:
        """The validation as an evaluation knows it."""
        task = self.task
        return Plan(
            task.card, task.spec, task.dataset, task.root, "val", True, task.sides.val, task.labels, None,
            len(task.sides.val),
        )  # fmt: skip


class WholeVideos:
    """Validation videos batch by batch, each as ``(number, views or why there are none)``; can be walked repeatedly.

    Of ``num_ranks`` processes the ``rank``-th takes each ``num_ranks``-th video, so that together they take each once.
    """

    def __init__(self, reader: load.ViewReader, records: list, batch_size: int, rank: int = 0, num_ranks: int = 1):
        self.reader, self.batch_size = reader, batch_size
        self.records = list(enumerate(records))[rank::num_ranks]

    def __len__(self) -> int:
        return -(-len(self.records) // self.batch_size)

    def __iter__(self):
        return batches(self.reader.stream(self.records), self.batch_size)
