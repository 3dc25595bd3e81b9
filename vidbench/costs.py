"""What a network costs: its parameters, multiply-adds counted without computing, and the time of a view here."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from vidbench.cards.card import ModelCard
from vidbench.models import build_module, check_frames
from vidbench.records import ConfigError


@dataclass(frozen=True)
class Cost:
    """What one view costs.

    Args:
        params: learnable parameters, in single numbers.
        macs: multiply-adds of one view, in single numbers.
        views: views a video, as the card's protocol has it.
    """

    params: int
    macs: int
    views: int

    @property
    def macs_of_video(self) -> int:
        """Multiply-adds of all views of a video."""
        return self.macs * self.views


def cost_of(card: ModelCard, *, num_frames: int | None = None, crop: tuple[int, int] | None = None) -> Cost:
    """The cost of a card's network, counted on shapes alone: no weights, no memory, seconds at most.

    Args:
        card: of a network that is built here.
        num_frames: frames a view; ``None`` for the card's.
        crop: height and width of a view; ``None`` for the card's.

    Raises:
        ConfigError: a finished program, frames that the network cannot take, or none where the card names none.
    """
    import torch

    if not card.can_be_random:
        raise ConfigError(f"{card.name} comes as a finished program, so its multiply-adds are not counted.")
    frames = num_frames or card.input.num_frames
    if frames < 1:
        raise ConfigError(
            f"{card.name} sees a video frame by frame, as many as there are: say how many with num_frames."
        )
    check_frames(card, frames)
    with torch.device("meta"):
        module = build_module(card).eval()
        shape = view_shape(card.input.layout, frames, crop or card.input.crop, len(card.input.mean))
        batch = torch.empty(shape)
    params = sum(parameter.numel() for parameter in module.parameters())
    return Cost(params, count_macs(module, batch), card.input.num_clips * card.input.num_crops)


def view_shape(layout: str, num_frames: int, crop: tuple[int, int], channels: int = 3) -> tuple[int, ...]:
    """The axes of one view as a network takes it; frames apart are a batch of pictures.

    Args:
        layout: order of the axes, as on a card.
        num_frames: frames a view.
        crop: height and width.
        channels: 3 for RGB, 2 for optical flow.

    >>> view_shape("NCTHW", 16, (112, 128)), view_shape("NCHW", 8, (56, 72))
    ((1, 3, 16, 112, 128), (8, 3, 56, 72))
    """
    if layout == "NCHW":
        return num_frames, channels, *crop
    sizes = {"N": 1, "C": channels, "T": num_frames, "H": crop[0], "W": crop[1]}
    return tuple(sizes[axis] for axis in layout)


def count_macs(module, *inputs) -> int:
    """Multiply-adds of one forward pass: of convolutions, matrix products and attention, as torch counts them.

    Additions, norms, pooling and other work of one step an element are not counted, here as in papers.

    Args:
        module: a ``torch.nn.Module``; on the device ``meta`` nothing is computed.
        inputs: its arguments, on the same device.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops() // 2


def seconds_of_view(model, *, num: int = 3) -> float:
    """The time that a model takes for one view of random pixels on its device, the copy to it included.

    Args:
        model: a ``Model``; its ``spec`` says how large a view is.
        num: passes of which the median counts, after one that does not.

    Returns:
        Seconds.
    """
    spec = model.spec
    shape = (1, spec.num_frames, *spec.crop, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    taken = []
    for _ in range(num + 1):
        start = time.perf_counter()
        model.logits([pixels], batch_size=1)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])
