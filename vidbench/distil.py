"""A teacher for training: the stored scores of a run joined by video, or a network that looks at every batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from vidbench import models, scores
from vidbench.forward import torch_format
from vidbench.records import ConfigError, InputSpec, VideoRecord
from vidbench.runs import Run, read_run
from vidbench.utils import printable

SMALLEST = 1e-8  # probability of a stored score, so that its logarithm is finite


def distillation_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """How far a network's softened probabilities are from its teacher's, a scalar.

    ``temperature ** 2 * KL(softmax(teacher / temperature) || softmax(logits / temperature))``, the mean over clips: the
    square keeps the size of gradients whatever the temperature (G. Hinton et al., https://arxiv.org/abs/1503.02531).

    Args:
        logits: float (N, K), or (N, S, K) where each of S segments has scores of its own.
        teacher: float (N, K), logits or log-probabilities.
        temperature: above 0.
    """
    if logits.dim() == 3:
        teacher = teacher.repeat_interleave(logits.shape[1], 0)
        logits = logits.flatten(0, 1)
    told, said = ((part.float() / temperature).log_softmax(-1) for part in (teacher, logits))
    return temperature**2 * functional.kl_div(said, told, reduction="batchmean", log_target=True)


def teacher_run(folder: str | Path, labels: Sequence[str]) -> Run:
    """A run folder whose scores can teach.

    Raises:
        RunError: no run folder.
        ConfigError: a run of other classes, with a label map, or of a network that has learnt nothing.
    """
    run, name = read_run(folder), printable(folder, 160)
    if list(run.labels) != list(labels):
        raise ConfigError(f"{name} has {len(run.labels)} other classes than the {len(labels)} that are trained on.")
    if run.manifest.get("label_map"):
        raise ConfigError(f"{name} was made with a label map, so its scores are no probabilities of these classes.")
    if (run.manifest.get("model") or {}).get("random"):
        raise ConfigError(f"{name} is of a network that has learnt nothing, and teaches nothing.")
    return run


def stored_scores(run: Run, records: Sequence[VideoRecord]) -> np.ndarray:
    """Log-probabilities that a run gave to each video, float32 (n, K), its views averaged as the run averaged them.

    Rows are joined by the video's path in its dataset's folder.

    Raises:
        RunError: its logits cannot be used.
        ConfigError: a video has no prediction.
    """
    places = {row.path: row.index for row in run.rows if row.predicted}
    lacking = [record.path for record in records if record.path not in places]
    if lacking:
        raise ConfigError(
            f"{printable(run.folder, 160)} has no prediction for {len(lacking)} of {len(records)} training videos, the "
            f"first: {printable(lacking[0], 120)}. Evaluate that model on the split that trains."
        )
    found = scores.probabilities(run.folder, run.manifest, run.rows)[[places[record.path] for record in records]]
    return np.log(np.maximum(found, SMALLEST)).astype(np.float32)


class Teacher:
    """A network that looks at the same training views, and learns nothing.

    It sees the frames and the cut that the learning network sees, resized to its own crop and normalised as its card
    says; its card's frame rate and number of frames do not count.

    Args:
        name: a model's name, or a checkpoint of ``scripts/train.py``.
        weights: as for ``models.load_model``.
        labels: the classes that are trained on.
        num_frames: T of a training view.
        device: that it is loaded to; it follows the clips to theirs.

    Raises:
        ConfigError: no network in torch, one that takes another number of frames, no RGB, or has other classes.
        WeightsError: weights that cannot be had.
    """

    def __init__(self, name: str, weights: str | None, labels: Sequence[str], num_frames: int, device: str):
        known: str | None = name
        if Path(name).is_file():
            known, weights = None, name
        card = models.find_card(known, weights)
        if not card.can_be_random or card.input.modality != "rgb":
            raise ConfigError(f"A teacher must be a network in torch that sees RGB; {card.name} is none.")
        models.check_frames(card, num_frames)
        if weights == "random":
            raise ConfigError("A teacher with random weights teaches nothing; name its weights.")
        self.model = models.load_model(known or card.name, weights, device=device)
        if list(self.model.labels) != list(labels):
            raise ConfigError(
                f"The teacher {card.name} has {len(self.model.labels)} other classes than the {len(labels)} that are "
                "trained on; train it on this dataset first."
            )
        self.network = self.model.network.module.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Log-probabilities (N, K) of training views, float (N, T, 3, H, W) from 0 to 1."""
        spec = self.model.card.input
        if pixels.shape[-2:] != spec.crop:
            sized = functional.interpolate(pixels.flatten(0, 1), spec.crop, mode="bilinear", antialias=True)
            pixels = sized.unflatten(0, pixels.shape[:2])
        found = network_scores(self.network.to(pixels.device), pixels, spec)
        found = found if found.dim() == 2 else found.float().softmax(-1).mean(1).clamp_min(SMALLEST).log()
        return found.float().log_softmax(-1)


def network_scores(
    network: torch.nn.Module, pixels: torch.Tensor, spec: InputSpec, memory_format: str = "contiguous"
) -> torch.Tensor:
    """Scores (N, K) of clips, float (N, T, 3, H, W) from 0 to 1, normalised here; (N, S, K) where each segment has its
    own. ``memory_format`` as for ``models.load_model``."""
    mean, std = (torch.tensor(value, device=pixels.device).view(3, 1, 1) for value in (spec.mean, spec.std))
    pixels = (pixels - mean) / std
    if spec.layout == "NCHW":
        frames = pixels.flatten(0, 1).contiguous(memory_format=torch_format(memory_format, 4))
        return network(frames).unflatten(0, pixels.shape[:2]).mean(1)
    order = {"NCTHW": (0, 2, 1, 3, 4), "NTCHW": (0, 1, 2, 3, 4), "NTHWC": (0, 1, 3, 4, 2)}[spec.layout]
    kind = torch_format(memory_format if spec.layout == "NCTHW" else "contiguous", 5)
    return network(pixels.permute(order).contiguous(memory_format=kind))
