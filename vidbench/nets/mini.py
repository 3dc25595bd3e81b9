"""Two networks small enough to train on a laptop: one that sees single frames, one that sees time.

``Mini2D`` is a residual network (He et al., Deep Residual Learning for Image Recognition,
https://arxiv.org/abs/1512.03385) shrunk to four blocks. ``MiniR2Plus1D`` splits each 3-D convolution
into one over space and one over time, as in R(2+1)D (Tran et al., A Closer Look at Spatiotemporal
Convolutions for Action Recognition, https://arxiv.org/abs/1711.11248).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class Residual2D(nn.Module):
    """Two 3x3 convolutions beside a shortcut; (N, C, H, W) in and out."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1):
        super().__init__()
        self.first = _conv2d(channels_in, channels, 3, stride)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        same = stride == 1 and channels_in == channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


class Mini2D(nn.Module):
    """Logits (N, K) of single frames, float (N, 3, H, W)."""

    def __init__(self, num_classes: int, widths: tuple[int, ...] = (24, 32, 64, 112)):
        super().__init__()
        self.stem = _conv2d(3, widths[0], 5, 2)
        pairs = zip(widths, (*widths[1:], widths[-1]))
        strides = (2,) * (len(widths) - 1) + (1,)
        self.blocks = nn.Sequential(*(Residual2D(a, b, stride) for (a, b), stride in zip(pairs, strides)))
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.blocks(self.stem(x)).mean((2, 3))))


class Conv2Plus1D(nn.Sequential):
    """A convolution over space, then one over time; (N, C, T, H, W) in and out."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1, time_stride: int = 1, size: int = 3):
        super().__init__(
            nn.Conv3d(
                channels_in, channels, (1, size, size), (1, stride, stride), (0, size // 2, size // 2), bias=False
            ),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, (3, 1, 1), (time_stride, 1, 1), (1, 0, 0), bias=False),
            nn.BatchNorm3d(channels),
        )


class Residual2Plus1D(nn.Module):
    """Two (2+1)D convolutions beside a shortcut; (N, C, T, H, W) in and out."""

    def __init__(self, channels_in: int, channels: int, stride: int, time_stride: int):
        super().__init__()
        self.first = Conv2Plus1D(channels_in, channels, stride, time_stride)
        self.second = Conv2Plus1D(channels, channels)
        self.shortcut = nn.Conv3d(channels_in, channels, 1, (time_stride, stride, stride), bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class MiniR2Plus1D(nn.Module):
    """Logits (N, K) of clips, float (N, 3, T, H, W)."""

    def __init__(self, num_classes: int, widths: tuple[int, ...] = (16, 24, 48, 96)):
        super().__init__()
        self.stem = Conv2Plus1D(3, widths[0], stride=2, size=5)
        pairs = list(pairwise(widths))
        self.blocks = nn.Sequential(
            *(Residual2Plus1D(a, b, 2, 1 if number == 0 else 2) for number, (a, b) in enumerate(pairs))
        )
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.blocks(torch.relu(self.stem(x))).mean((2, 3, 4))))


def build_mini2d(num_classes: int) -> Mini2D:
    """The single-frame network, with weights from torch's current seed."""
    return Mini2D(num_classes)


def build_mini_r2plus1d(num_classes: int) -> MiniR2Plus1D:
    """The network over space and time, with weights from torch's current seed."""
    return MiniR2Plus1D(num_classes)


def _conv2d(channels_in: int, channels: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
