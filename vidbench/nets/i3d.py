"""I3D: Inception-v1 with every filter and every pool given a third axis, time.

Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset, https://arxiv.org/abs/1705.07750; layer table and
names of TensorFlow's variables after https://github.com/google-deepmind/kinetics-i3d, names of torch's parameters
after https://github.com/piergiaj/pytorch-i3d.
"""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.nn import functional as F

from vidbench.nets.padding import same_padding
from vidbench.records import ConfigError, WeightsError

FEWEST_FRAMES = 9  # of fewer, less than two moments are left for the last pool
# Channels of a block: 1x1x1 | 1x1x1, 3x3x3 | 1x1x1, 3x3x3 | 1x1x1 behind a pool.
BLOCKS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class I3D(nn.Module):
    """Logits (N, K) of clips, float (N, C, T, H, W) in [-1, 1].

    T is at least 9. Heights and widths from 193 to 224 pixels give the last pool the 7x7 places that it was trained
    with; of more places it takes the mean, of fewer what there is.

    Args:
        num_classes: K.
        in_channels: C, 3 for pictures and 2 for optical flow.
        dropout: share of the features that training drops before the last layer.

    Raises:
        ConfigError: when called with another number of axes or channels, or with fewer frames.
    """

    def __init__(self, num_classes: int = 400, in_channels: int = 3, dropout: float = 0.5):
        super().__init__()
        self.in_channels = in_channels
        self.Conv3d_1a_7x7 = Unit(in_channels, 64, 7, stride=2)
        self.MaxPool3d_2a_3x3 = SamePool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = SamePool((1, 3, 3), (1, 2, 2))
        width = 192
        for name, channels in BLOCKS.items():
            if name == "Mixed_4b":
                self.MaxPool3d_4a_3x3 = SamePool((3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                self.MaxPool3d_5a_2x2 = SamePool((2, 2, 2), (2, 2, 2))
            self.add_module(name, Block(width, channels))
            width = channels[0] + channels[2] + channels[4] + channels[5]
        self.dropout = nn.Dropout(dropout)
        self.logits = Head(width, num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        self._check(clips)
        for name, layer in self.named_children():
            if name not in ("dropout", "logits"):
                clips = layer(clips)
        height, width = clips.shape[3:]
        features = F.avg_pool3d(clips, (2, min(height, 7), min(width, 7)), stride=1)
        return self.logits(self.dropout(features)).mean((2, 3, 4))

    def _check(self, clips: torch.Tensor) -> None:
        if clips.dim() != 5 or clips.shape[1] != self.in_channels or clips.shape[2] < FEWEST_FRAMES:
            raise ConfigError(
                f"I3D takes clips of shape (N, {self.in_channels}, T, H, W) with at least {FEWEST_FRAMES} frames, not "
                f"{tuple(clips.shape)}."
            )


class TwoStream(nn.Module):
    """Logits (N, K) of clips, float (N, 5, T, H, W): the sum of an ``I3D`` of RGB and one of flow, unweighted."""

    def __init__(self, num_classes: int = 400, dropout: float = 0.5):
        super().__init__()
        self.rgb, self.flow = I3D(num_classes, 3, dropout), I3D(num_classes, 2, dropout)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        if clips.dim() != 5 or clips.shape[1] != 5:
            raise ConfigError(f"A two-stream I3D takes clips of shape (N, 5, T, H, W), not {tuple(clips.shape)}.")
        return self.rgb(clips[:, :3]) + self.flow(clips[:, 3:])


class Unit(nn.Module):
    """Convolution without bias, batch norm without scale, ReLU; (N, C, T, H, W) in and out."""

    def __init__(self, channels_in: int, channels: int, size: int = 1, *, stride: int = 1):
        super().__init__()
        self.conv3d = SameConv(channels_in, channels, size, stride, bias=False)
        self.bn = OffsetNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv3d(x)), inplace=True)


class Block(nn.Module):
    """Four branches side by side, their channels one behind the other."""

    def __init__(self, channels_in: int, channels: tuple[int, ...]):
        super().__init__()
        c0, c1a, c1b, c2a, c2b, c3b = channels
        self.b0 = Unit(channels_in, c0)
        self.b1a, self.b1b = Unit(channels_in, c1a), Unit(c1a, c1b, 3)
        self.b2a, self.b2b = Unit(channels_in, c2a), Unit(c2a, c2b, 3)
        self.b3a, self.b3b = SamePool((3, 3, 3), (1, 1, 1)), Unit(channels_in, c3b)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


class Head(nn.Module):
    """One linear layer at every place and moment."""

    def __init__(self, channels_in: int, num_classes: int):
        super().__init__()
        self.conv3d = nn.Conv3d(channels_in, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv3d(x)


class SameConv(nn.Conv3d):
    """A convolution with TensorFlow's padding SAME, which depends on the input's size.

    Where both ends of an axis get the same, the convolution pads by itself, which costs nothing; only an axis with
    more at its end is padded beforehand.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads = [same_padding(*axis) for axis in zip(x.shape[2:], self.kernel_size, self.stride)]
        even = [before if before == after else 0 for before, after in pads]
        odd = [value for before, after in reversed(pads) for value in ((0, 0) if before == after else (before, after))]
        x = F.pad(x, odd) if any(odd) else x
        return F.conv3d(x, self.weight, self.bias, self.stride, even)


class SamePool(nn.Module):
    """The largest value of each window under TensorFlow's padding SAME.

    What lies outside counts for nothing, so the windows that stick out at the end are simply cut (``ceil_mode``), and
    nothing is copied.
    """

    def __init__(self, size: tuple[int, int, int], stride: tuple[int, int, int]):
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = [same_padding(*axis)[0] for axis in zip(x.shape[2:], self.size, self.stride)]
        return F.max_pool3d(x, self.size, self.stride, before, ceil_mode=True)


class OffsetNorm(nn.BatchNorm3d):
    """Batch norm that learns an offset and no scale, as Sonnet's does by default: eps 0.001, decay 0.999."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-3, momentum=1e-3)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)


def from_others(tensors: dict, shapes: dict) -> dict:
    """Tensors under the names of DeepMind's TensorFlow checkpoints, or of their PyTorch port, as ``I3D`` has them.

    TensorFlow's kernels (T, H, W, in, out) become (out, in, T, H, W), its norms (C,) whatever axes of length 1 they
    have, and what its optimiser kept goes. The port's batch norms have a scale, which is multiplied into the filter
    before it: without training the network computes the same. Other names come back as they are.

    Args:
        tensors: name → tensor.
        shapes: name → shape of the network that asks; unused.

    Raises:
        WeightsError: two networks in one file, as RGB and Flow may be.
    """
    if any(key.endswith(".bn.weight") for key in tensors):
        return _without_scales(tensors)
    found: dict = {}
    source: dict = {}
    for key, value in tensors.items():
        if key.endswith("/Momentum"):
            continue
        name = torch_name(key)
        if name in found:
            raise WeightsError(f"The file holds two networks, {source[name]!r} beside {key!r}; it must hold one.")
        found[name], source[name] = _torch_axes(value) if name != key else value, key
    return found


def torch_name(variable: str) -> str:
    """The name that a variable of TensorFlow's I3D has in ``I3D``, whatever scope it lies in; others unchanged.

    >>> torch_name("RGB/inception_i3d/Mixed_5b/Branch_2/Conv3d_0a_3x3/batch_norm/beta")
    'Mixed_5b.b2b.bn.bias'
    >>> torch_name("Logits/Conv3d_0c_1x1/conv_3d/w"), torch_name("global_step")
    ('logits.conv3d.weight', 'global_step')
    """
    match = _VARIABLE.fullmatch(variable)
    if not match:
        return variable
    place, branch, size, part = match["unit"], match["branch"], match["size"], _PARTS[match["part"]]
    if branch:
        unit = "b0" if branch == "0" else f"b{branch}{'b' if branch == '3' or size == '3x3' else 'a'}"
        place = f"{match['block']}.{unit}"
    return f"{place or 'logits'}.{part}"


_VARIABLE = re.compile(
    r"(.*/)?(Logits/Conv3d_0c_1x1|(?P<unit>Conv3d_[12]\w_\dx\d)"
    r"|(?P<block>Mixed_\d\w)/Branch_(?P<branch>\d)/Conv3d_0\w_(?P<size>\dx\d))/(?P<part>conv_3d/[wb]|batch_norm/(beta|moving_mean|moving_variance))(:0)?"
)
_PARTS = {
    "conv_3d/w": "conv3d.weight",
    "conv_3d/b": "conv3d.bias",
    "batch_norm/beta": "bn.bias",
    "batch_norm/moving_mean": "bn.running_mean",
    "batch_norm/moving_variance": "bn.running_var",
}


def _torch_axes(value: torch.Tensor) -> torch.Tensor:
    kernel = value.dim() == 5 and tuple(value.shape[:4]) != (1, 1, 1, 1)
    return value.permute(4, 3, 0, 1, 2).contiguous() if kernel else value.flatten()


def _without_scales(tensors: dict) -> dict:
    found = dict(tensors)
    for key, scale in tensors.items():
        if key.endswith(".bn.weight"):
            unit = key.removesuffix(".bn.weight")
            del found[key]
            for name in (f"{unit}.conv3d.weight", f"{unit}.bn.running_mean"):
                if name in found:
                    found[name] = found[name] * scale.view(-1, *[1] * (found[name].dim() - 1))
    return found
