"""MoViNet: networks found by search for video on small machines, whole clips at once or frame by frame.

Kondratyuk et al., MoViNets: Mobile Video Networks for Efficient Video Recognition, https://arxiv.org/abs/2103.11511;
widths, kernels and details from the authors' code, https://github.com/tensorflow/models (official/projects/movinet).

Three kinds of one network:

* ``base``: 3-D convolutions that see frames before and after, squeeze and excitation over the whole clip, swish.
* ``stream``: each 3-D convolution is one over space and one over time that sees earlier frames only; squeeze and
  excitation over the frame and over all frames so far; hard swish.
* ``mobile``: the stream without squeeze and excitation, with ReLU6, and without batch norm: what is inside the
  authors' 8-bit TFLite file, whose norms are folded into weights and biases. Trained further, it stays without them.

All frames of a clip, or one at a time with the state handed on: a stream gives the same logits (``MoViNet.step``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from vidbench.nets.padding import same_padding

States = dict[str, torch.Tensor | int]
PIECE = 64  # frames that a stream without gradients sees at a time: memory for the rest of a long video is not needed


class Layer(NamedTuple):
    """One block: channels inside, kernel over time and over space, stride over space."""

    width: int
    kernel: tuple[int, int]
    stride: int = 1


class Size(NamedTuple):
    """One of the searched networks: channels of the stem, ``(channels, layers)`` a stage, channels of the head."""

    stem: int
    stages: tuple[tuple[int, tuple[Layer, ...]], ...]
    head: int


@dataclass(frozen=True)
class Kind:
    """What tells the kinds apart.

    Args:
        causal: whether a frame depends on earlier ones only.
        squeeze: ``clip`` (mean over all frames), ``so far`` (this frame, and the mean of all up to it) or ``none``.
        activation: within the blocks.
        gate: of squeeze and excitation.
        head_activation: between the last two layers.
        norm: whether convolutions are followed by batch norm; without it they have a bias.
    """

    causal: bool
    squeeze: str
    activation: type[nn.Module]
    gate: type[nn.Module]
    head_activation: type[nn.Module]
    norm: bool = True


class KerasHardSigmoid(nn.Module):
    """0.2 x + 0.5 between 0 and 1, as Keras had it when the streams were trained; torch's has the slope 1/6."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (0.2 * x + 0.5).clamp(0, 1)


KINDS = {
    "base": Kind(False, "clip", nn.SiLU, nn.Sigmoid, nn.SiLU),
    "stream": Kind(True, "so far", nn.Hardswish, KerasHardSigmoid, nn.SiLU),
    "mobile": Kind(True, "none", nn.ReLU6, nn.Identity, nn.ReLU6, norm=False),
}


def _stage(channels: int, widths: str, kernels: str, stride: int = 2) -> tuple[int, tuple[Layer, ...]]:
    """A stage from its layers' widths and kernels ("53" is 5 frames of 3x3); only the first layer has a stride."""
    sizes = [(int(size[0]), int(size[1])) for size in kernels.split()]
    strides = [stride, *[1] * (len(sizes) - 1)]
    return channels, tuple(map(Layer, map(int, widths.split()), sizes, strides))


SIZES = {
    "a0": Size(
        8,
        (
            _stage(8, "24", "15"),
            _stage(32, "80 80 80", "33 33 33"),
            _stage(56, "184 112 184", "53 33 33"),
            _stage(56, "184 184 184 184", "53 33 33 33", 1),
            _stage(104, "384 280 280 344", "53 15 15 15"),
        ),
        480,
    ),
    "a1": Size(
        16,
        (
            _stage(16, "40 40", "15 33"),
            _stage(40, "96 120 96 96", "33 33 33 33"),
            _stage(64, "216 128 216 168 216", "53 33 33 33 33"),
            _stage(64, "216 216 216 128 128 216", "53 33 33 33 15 33", 1),
            _stage(136, "456 360 360 360 456 456 544", "53 15 15 15 15 33 13"),
        ),
        600,
    ),
    "a2": Size(
        16,
        (
            _stage(16, "40 40 64", "15 33 33"),
            _stage(40, "96 120 96 96 120", "33 33 33 33 33"),
            _stage(72, "240 160 240 192 240", "53 33 33 33 33"),
            _stage(72, "240 240 240 240 144 240", "53 33 33 33 15 33", 1),
            _stage(144, "480 384 384 480 480 480 576", "53 15 15 15 15 33 13"),
        ),
        640,
    ),
    "a3": Size(
        16,
        (
            _stage(16, "40 40 64 40", "15 33 33 33"),
            _stage(48, "112 144 112 112 144 144", "33 33 33 15 33 33"),
            _stage(80, "240 152 240 192 240", "53 33 33 33 33"),
            _stage(88, "264 264 264 264 160 264 264 264", "53 33 33 33 15 33 33 33", 1),
            _stage(168, "560 448 448 560 560 560 448 448 560 672", "53 15 15 15 15 33 15 15 33 13"),
        ),
        744,
    ),
    "a4": Size(
        24,
        (
            _stage(24, "64 64 96 64 96 64", "15 33 33 33 33 33"),
            _stage(56, "168 168 136 136 168 168 168 136 136", "33 33 33 33 33 33 33 15 33"),
            _stage(96, "320 160 320 192 320 160 320 256 320", "53 33 33 33 33 33 33 33 33"),
            _stage(96, "320 320 320 320 192 320 320 192 320 320", "53 33 33 33 15 33 33 33 33 33", 1),
            _stage(
                192,
                "640 512 512 640 640 640 512 512 640 768 640 640 768",
                "53 15 15 15 15 33 15 15 15 15 15 33 33",
            ),
        ),
        856,
    ),
    "a5": Size(
        24,
        (
            _stage(24, "64 64 96 64 96 64", "15 15 33 33 33 33"),
            _stage(64, "192 152 152 152 192 192 192 152 152 192 192", "53 33 33 33 33 33 33 33 33 33 33"),
            _stage(
                112,
                "376 224 376 376 296 376 224 376 376 296 376 376 376",
                "53 33 33 33 33 33 33 33 33 33 33 33 33",
            ),
            _stage(120, "376 376 376 376 224 376 376 224 376 376 376", "53 33 33 33 15 33 33 33 33 33 33", 1),
            _stage(
                224,
                "744 744 600 600 744 744 744 896 600 600 896 744 744 896 600 600 744 744",
                "53 33 15 15 15 15 33 15 15 15 15 15 33 15 15 15 15 33",
            ),
        ),
        992,
    ),
}
HIDDEN = 2048  # channels between the pooled features and the classes, in every size


def per_frame(function, x: torch.Tensor) -> torch.Tensor:
    """Apply what takes (N*T, C, H, W) to (N, C, T, H, W); no copy where channels lie last in memory."""
    n, _, t, _, _ = x.shape
    return function(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (n, t)).transpose(1, 2)


class Unit(nn.Module):
    """Convolution, batch norm and activation of (N, C, T, H, W); all frames in, all frames out.

    Args:
        channels_in: C of the input.
        channels: C of the output.
        size: kernel over time and over space; SAME padding as in TensorFlow.
        stride: over space.
        groups: 1, or ``channels_in`` for a depthwise convolution.
        activation: called for a module; ``None`` for none.
        norm: whether there is a batch norm; without it the convolution has a bias.
    """

    def __init__(self, channels_in, channels, size=(1, 1), stride=1, *, groups=1, activation=None, norm=True):
        super().__init__()
        time, space = size
        self.conv: nn.Conv2d | nn.Conv3d
        if time == 1:
            self.conv = nn.Conv2d(channels_in, channels, space, stride, groups=groups, bias=not norm)
        else:
            sizes, steps = (time, space, space), (1, stride, stride)
            self.conv = nn.Conv3d(channels_in, channels, sizes, steps, groups=groups, bias=not norm)
        if norm:
            self.norm = nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01)
        self.time, self.act = time, activation() if activation else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = per_frame(self._convolve, x) if self.time == 1 else self._convolve(x)
        return self.act(self.norm(x) if hasattr(self, "norm") else x)

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        conv, function = self.conv, F.conv2d if x.dim() == 4 else F.conv3d
        pads = [same_padding(*axis) for axis in zip(x.shape[2:], conv.kernel_size, conv.stride)]
        front: int | list[int] = [before for before, _ in pads]
        if any(before != after for before, after in pads):  # only here is the input copied
            x, front = F.pad(x, [zeros for pair in reversed(pads) for zeros in pair]), 0
        return function(x, conv.weight, conv.bias, conv.stride, front, 1, conv.groups)


class CausalUnit(nn.Module):
    """Depthwise convolution over this frame and earlier ones, with batch norm and activation; (N, C, T, H, W)."""

    def __init__(self, channels: int, time: int, *, activation, norm: bool):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (time, 1), groups=channels, bias=not norm)
        if norm:
            self.norm = nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01)
        self.act, self.past = activation(), time - 1

    def forward(self, x: torch.Tensor, before: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Also returns the frames that the next call needs.

        Args:
            x: (N, C, T, H, W).
            before: the ``past`` frames before x; zeros at the beginning of a video.
        """
        n, c, _, h, w = x.shape
        x = torch.cat([before.to(x.dtype), x], 2)
        after = x[:, :, -self.past :]
        x = self.conv(x.reshape(n, c, -1, h * w)).unflatten(3, (h, w))
        return self.act(self.norm(x) if hasattr(self, "norm") else x), after


class Excite(nn.Module):
    """How much each channel counts, by its mean."""

    def __init__(self, channels: int, hidden: int, kind: Kind, inputs: int = 1):
        super().__init__()
        self.reduce, self.expand = nn.Conv3d(inputs * channels, hidden, 1), nn.Conv3d(hidden, channels, 1)
        self.act, self.gate = kind.activation(), kind.gate()

    def weights(self, means: torch.Tensor) -> torch.Tensor:
        """Factors (N, C, T, 1, 1) of the channels from means of ``inputs * C`` of them; T is 1 for the whole clip."""
        return self.gate(self.expand(self.act(self.reduce(means))))


class SqueezeExcite(Excite):
    """Weighs the channels of (N, C, T, H, W) by what the whole clip shows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weights(x.mean((2, 3, 4), keepdim=True))


class CausalSqueezeExcite(Excite):
    """Weighs the channels of each frame by what it shows, and by what all frames up to it showed on average."""

    def __init__(self, channels: int, hidden: int, kind: Kind):
        super().__init__(channels, hidden, kind, inputs=2)

    def forward(self, x, total, count) -> tuple[torch.Tensor, torch.Tensor]:
        """Also returns the sum for the next call.

        Args:
            x: (N, C, T, H, W).
            total: (N, C, 1, 1, 1), sum over all earlier frames of their means over space.
            count: how many frames that were.
        """
        here = x.mean((3, 4), keepdim=True)
        totals = total + here.cumsum(2)
        counts = count + torch.arange(1, x.shape[2] + 1, device=x.device)
        so_far = totals / counts.view(1, 1, -1, 1, 1)
        return x * self.weights(torch.cat([so_far.to(here.dtype), here], 1)), totals[:, :, -1:]


class Skip(nn.Module):
    """The way around a block that changes channels or size: mean over 3x3 where it halves, then a projection."""

    def __init__(self, channels_in: int, channels: int, stride: int, norm: bool):
        super().__init__()
        self.stride = stride
        self.project = Unit(channels_in, channels, norm=norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.project(per_frame(self._pool, x) if self.stride > 1 else x)

    @staticmethod
    def _pool(x: torch.Tensor) -> torch.Tensor:
        # TensorFlow's SAME: an odd length is padded on both sides, an even one behind; padding does not count.
        h, w = x.shape[2:]
        return F.avg_pool2d(x, 3, 2, (h % 2, w % 2), ceil_mode=True, count_include_pad=False)


class Block(nn.Module):
    """Expand, look around in space and time, weigh channels, project, add to the input.

    Args:
        name: ``block0_layer0``, the authors' name, with which its states begin.
        channels_in: C of the input.
        channels: C of the output.
        layer: width, kernel and stride.
        kind: of the network it belongs to.
    """

    def __init__(self, name: str, channels_in: int, channels: int, layer: Layer, kind: Kind):
        super().__init__()
        self.name, width, (time, space) = name, layer.width, layer.kernel
        act, norm = kind.activation, kind.norm
        self.expand = Unit(channels_in, width, activation=act, norm=norm)
        split = kind.causal and time > 1
        size = (1 if kind.causal else time, space)
        self.feature = Unit(width, width, size, layer.stride, groups=width, activation=act, norm=norm)
        self.feature_time = CausalUnit(width, time, activation=act, norm=norm) if split else None
        self.squeeze = None
        if kind.squeeze != "none":
            double = kind.squeeze == "so far"
            hidden = make_divisible(0.25 * width * (1 + double))
            self.squeeze = (CausalSqueezeExcite if double else SqueezeExcite)(width, hidden, kind)
        self.project = Unit(width, channels, norm=kind.norm)
        same = channels_in == channels and layer.stride == 1
        self.skip = nn.Identity() if same else Skip(channels_in, channels, layer.stride, kind.norm)
        self.scale = nn.Parameter(torch.zeros(()))  # a new network begins with its skips alone

    def forward(self, x: torch.Tensor, states: States, count: int) -> torch.Tensor:
        """(N, C, T, H, W) in and out; replaces its own entries of ``states``; ``count`` frames came before."""
        y = self.feature(self.expand(x))
        if self.feature_time is not None:
            key = f"{self.name}_stream_buffer"
            n, c, _, h, w = y.shape
            before = states[key] if key in states else y.new_zeros(n, c, self.feature_time.past, h, w)
            y, states[key] = self.feature_time(y, before)
        if isinstance(self.squeeze, CausalSqueezeExcite):
            key = f"{self.name}_pool_buffer"
            y, states[key] = self.squeeze(y, states.get(key, 0), count)
        elif self.squeeze is not None:
            y = self.squeeze(y)
        return self.scale * self.project(y) + self.skip(x)


class MoViNet(nn.Module):
    """Logits (N, K) of clips, float (N, T, H, W, 3), values in [0, 1], for any T, H and W from 1 on.

    Args:
        num_classes: K.
        size: one of ``SIZES``.
        kind: one of ``KINDS``.
        dropout: share of the last hidden layer that training leaves out.
    """

    def __init__(self, num_classes: int, size: str = "a0", kind: str = "base", dropout: float = 0.2):
        super().__init__()
        form, self.kind = SIZES[size], KINDS[kind]
        options = {"activation": self.kind.activation, "norm": self.kind.norm}
        self.stem = Unit(3, form.stem, (1, 3), 2, **options)
        blocks, channels = [], form.stem
        for number, (out, layers) in enumerate(form.stages):
            for place, layer in enumerate(layers):
                blocks.append(Block(f"block{number}_layer{place}", channels, out, layer, self.kind))
                channels = out
        self.blocks = nn.ModuleDict({block.name: block for block in blocks})
        self.project = Unit(channels, form.head, **options)
        self.hidden = nn.Linear(form.head, HIDDEN)
        self.act, self.drop = self.kind.head_activation(), nn.Dropout(dropout)
        self.classifier = nn.Linear(HIDDEN, num_classes)
        self.apply(_initialise)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        if not self.kind.causal or self.training or torch.is_grad_enabled():
            return self._run(frames, {})
        states: States = {}
        for piece in frames.split(PIECE, 1):
            logits = self._run(piece, states)
        return logits

    def step(self, frames: torch.Tensor, states: States | None = None) -> tuple[torch.Tensor, States]:
        """Logits after some more frames of a video, and the state to hand in with the next ones.

        Only for the causal kinds, in evaluation mode: batch norm in training looks at all frames of a clip.

        Args:
            frames: (N, T, H, W, 3), the next T of N videos, at least 1.
            states: what the call for the frames before returned; ``None`` at the beginning of a video.

        Returns:
            Logits (N, K) of everything seen so far, and new states; the old ones are left as they were. Names and
            meaning are those of the authors' SavedModels, with axes (N, C, T, H, W): ``..._stream_buffer`` holds the
            last frames for a convolution over time, ``..._pool_buffer`` a sum over frames, ``frame_count`` their
            number.
        """
        if not self.kind.causal:
            raise ValueError("only a causal network can go on where it stopped")
        states = dict(states or {})
        return self._run(frames, states), states

    def frame_features(self, frames: torch.Tensor) -> torch.Tensor:
        """What the last two layers take the mean of: (N, C, T) for clips as in ``forward``, averaged over space."""
        return self._frame_features(frames, {})

    def _run(self, frames: torch.Tensor, states: States) -> torch.Tensor:
        total = self._frame_features(frames, states).sum(2) + states.get("head_pool_buffer", 0)
        count = states.get("frame_count", 0) + frames.shape[1]
        states |= {"head_pool_buffer": total, "frame_count": count}
        return self.classify(total / count)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (N, K) of features (N, C), averaged over frames."""
        return self.classifier(self.drop(self.act(self.hidden(features))))

    def _frame_features(self, frames: torch.Tensor, states: States) -> torch.Tensor:
        _check(frames)
        count = states.get("frame_count", 0)
        # Channels last is much faster for depthwise convolutions on a CPU, and slower for 3-D ones on a GPU.
        plain = frames.is_cuda and not self.kind.causal
        form = torch.contiguous_format if plain else torch.channels_last_3d
        x = self.stem(frames.permute(0, 4, 1, 2, 3).contiguous(memory_format=form))
        for block in self.blocks.values():
            x = block(x, states, count)
        return self.project(x).mean((3, 4))


def _check(frames: torch.Tensor) -> None:
    if frames.dim() != 5 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"MoViNet takes clips as (N, T, H, W, 3), not {tuple(frames.shape)}")


def make_divisible(value: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to a number of channels, never below 90 % of it.

    >>> make_divisible(28), make_divisible(20), make_divisible(3)
    (32, 24, 8)
    """
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
