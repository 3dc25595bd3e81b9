"""S3D and S3D-G: I3D with its filters split into one over space and one over time, and gates.

Xie et al., Rethinking Spatiotemporal Feature Learning, https://arxiv.org/abs/1712.04851. Two definitions are in use,
and the arguments tell them apart: torchvision's (``S3D(num_classes)``; so too the port
https://github.com/kylemin/S3D) and the authors' in TF-slim (``TF_SLIM``; https://github.com/tensorflow/models,
``research/slim/nets/s3dg.py``). Weights have torchvision's names. An I3D gives its filters, less their time, to
either: ``from_backbone``.
"""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.nn import functional as F

from vidbench.nets.backbone import check_clips
from vidbench.nets.i3d import BLOCKS, I3D, OffsetNorm, SameConv, SamePool, from_others
from vidbench.nets.inflate import deflate, inflate
from vidbench.records import ConfigError

# Where I3D's layers lie in torchvision's S3D; pools are in between.
PLACES = {"Conv3d_1a_7x7": 0, "Conv3d_2b_1x1": 2, "Conv3d_2c_3x3": 3}
PLACES |= dict(zip(BLOCKS, (5, 6, 8, 9, 10, 11, 12, 14, 15)))
SPLIT = tuple(PLACES)[2:]  # the layers that can be split or gated
TF_SLIM = {"first": "joint", "first_length": 3, "padding": "same", "time_norm": False, "norm_scale": False}
_EPS, _MOMENTUM = 1e-3, 1e-3


class S3D(nn.Module):
    """Logits (N, K) of clips, float (N, 3, T, H, W).

    T is at least 13, or 9 with ``padding="same"``. The last pool is over two times and 7x7 places, or what there is.

    Args:
        num_classes: K.
        gating: whether channels are weighted by what they hold on average over the clip (S3D-G).
        first: ``separable``, the first layer split too, or ``joint``, as I3D's.
        first_length: frames that its filter sees: 1, 3, 5 or 7.
        time_from: the first layer with filters over time, ``Conv3d_2c_3x3`` or a ``Mixed`` block; those before see
            single frames ("top-heavy" in the paper). ``Conv3d_1a_7x7`` is not among them: see ``first_length``.
        gate_from: likewise the first layer with gates.
        padding: ``symmetric``, or TensorFlow's ``same``, which depends on the size.
        time_norm: batch norm behind filters over time; without it they have an offset (TF-slim).
        norm_scale: whether batch norms learn a scale; TF-slim's do not.
        dropout: probability before the last layer.

    Raises:
        ConfigError: a value that is none of these; in a call, other axes or too few frames.
    """

    def __init__(
        self,
        num_classes: int,
        gating: bool = False,
        first: str = "separable",
        first_length: int = 7,
        time_from: str = SPLIT[0],
        gate_from: str = SPLIT[0],
        padding: str = "symmetric",
        time_norm: bool = True,
        norm_scale: bool = True,
        dropout: float = 0.2,
    ):
        super().__init__()
        _check(first, first_length, time_from, gate_from, padding)
        self.fewest = 9 if padding == "same" else 13
        same = padding == "same"
        timed, gated = SPLIT[SPLIT.index(time_from) :], SPLIT[SPLIT.index(gate_from) :] if gating else ()
        start: nn.Module
        if first == "separable" and first_length > 1:
            start = Separable(3, 64, 7, first_length, 2, same=same, time_norm=time_norm)
        else:
            start = Unit(3, 64, (first_length, 7, 7), (2, 2, 2), same=same)
        layers = [start, _pool((1, 3, 3), (1, 2, 2), same), Unit(64, 64)]
        layers += [_split(64, 192, SPLIT[0] in timed, time_norm, SPLIT[0] in gated), _pool((1, 3, 3), (1, 2, 2), same)]
        width = 192
        for name, channels in BLOCKS.items():
            if name == "Mixed_4b":
                layers.append(_pool((3, 3, 3), (2, 2, 2), same))
            if name == "Mixed_5b":
                layers.append(_pool((2, 2, 2), (2, 2, 2), same))
            layers.append(Block(width, channels, name in timed, time_norm, name in gated))
            width = channels[0] + channels[2] + channels[4] + channels[5]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Conv3d(width, num_classes, 1))
        self._begin(norm_scale)

    def _begin(self, norm_scale: bool) -> None:
        """First values: filters over time change nothing yet, which these networks need to train well (TF-slim)."""
        for part in list(self.modules()):
            norms = [key for key, child in part.named_children() if isinstance(child, nn.BatchNorm3d)]
            for key in [] if norm_scale else norms:
                setattr(part, key, OffsetNorm(getattr(part, key).num_features))
            if isinstance(part, nn.Conv3d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        for part in self.modules():
            if isinstance(part, Separable):
                part.time_conv.weight.data = identity_filter(part.time_conv)
        nn.init.trunc_normal_(self.get_parameter("classifier.1.weight"), std=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_clips(x, "NCTHW", "An S3D", self.fewest)
        x = self.features(x)
        _, _, _, h, w = x.shape
        x = F.avg_pool3d(x, (2, min(h, 7), min(w, 7)), stride=1)
        return self.classifier(x).mean((2, 3, 4))

    backbone = "I3D"

    def backbone_names(self, tensors: dict) -> dict:
        """An I3D's weights under the names of ours, whoever published them."""
        return from_others(tensors, {})

    def backbone_shapes(self) -> dict:
        """Names and shapes of I3D's weights; its last layer is left out."""
        with torch.device("meta"):
            whole = I3D(2).state_dict()
        return {key: None if key.startswith("logits.") else tuple(value.shape) for key, value in whole.items()}

    def from_backbone(self, tensors: dict) -> dict:
        """I3D's filters, summed over time where they are split; filters over time then change nothing.

        A still video gives what it gives in I3D, but for the ends, where I3D sees zeros. Gates are left as they are.
        """
        own, found = self.state_dict(), {}
        for unit in sorted({key.partition(".conv3d.")[0] for key in tensors if ".conv3d." in key}):
            place = _place(unit)
            part = self.get_submodule(place)
            space = f"{place}.0" if isinstance(part, Separable) else place
            found[f"{space}.0.weight"] = _fitted(tensors[f"{unit}.conv3d.weight"], own[f"{space}.0.weight"].shape)
            found[f"{space}.1.weight"] = torch.ones_like(tensors[f"{unit}.bn.bias"])
            for name in ("bias", "running_mean", "running_var"):
                found[f"{space}.1.{name}"] = tensors[f"{unit}.bn.{name}"]
            if isinstance(part, Separable):
                found |= {f"{place}.1.{key}": value for key, value in part.resting().items()}
        return {key: value for key, value in found.items() if key in own}  # norms may have no scale


class Unit(nn.Sequential):
    """Convolution, batch norm, ReLU, and a gate where one is wanted; (N, C, T, H, W) in and out."""

    def __init__(self, channels_in: int, channels: int, size=(1, 1, 1), stride=(1, 1, 1), *, same=False, gate=False):
        super().__init__(
            _conv(channels_in, channels, size, stride, same),
            nn.BatchNorm3d(channels, eps=_EPS, momentum=_MOMENTUM),
            nn.ReLU(inplace=True),
        )
        if gate:
            self.gate = Gate(channels)


class Separable(nn.Sequential):
    """A unit over space and one over time, and a gate where one is wanted.

    Args:
        channels_in: C of the input.
        channels: C of the output.
        size: pixels that the first filter sees in each direction.
        length: frames that the second one sees.
        stride: of both.
        same: TensorFlow's padding.
        time_norm: batch norm behind the second, or an offset.
        gate: whether channels are weighed by their means (S3D-G).
    """

    def __init__(
        self, channels_in: int, channels: int, size=3, length=3, stride=1, *, same=False, time_norm=True, gate=False
    ):
        space = Unit(channels_in, channels, (1, size, size), (1, stride, stride), same=same)
        time: list[nn.Module] = [_conv(channels, channels, (length, 1, 1), (stride, 1, 1), same, bias=not time_norm)]
        time += [nn.BatchNorm3d(channels, eps=_EPS, momentum=_MOMENTUM)] if time_norm else []
        super().__init__(space, nn.Sequential(*time, nn.ReLU(inplace=True)))
        if gate:
            self.gate = Gate(channels)

    @property
    def time_conv(self) -> nn.Conv3d:
        """The convolution over time, for putting in weights of others."""
        conv = self.get_submodule("1.0")
        assert isinstance(conv, nn.Conv3d)
        return conv

    def resting(self) -> dict:
        """Weights with which the unit over time changes nothing that is not negative."""
        found = {"0.weight": identity_filter(self.time_conv)}
        if self.time_conv.bias is not None:
            return {**found, "0.bias": torch.zeros_like(self.time_conv.bias)}
        offsets = self.get_parameter("1.1.bias")
        zero, one = torch.zeros_like(offsets), torch.ones_like(offsets)
        return {**found, "1.weight": one, "1.bias": zero, "1.running_mean": zero, "1.running_var": one - _EPS}


class Gate(nn.Module):
    """Each channel times the sigmoid of a linear function of all channels' averages over the clip."""

    def __init__(self, channels: int):
        super().__init__()
        self.linear = nn.Conv3d(channels, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.linear(x.mean((2, 3, 4), keepdim=True)))


class Block(nn.Module):
    """Four branches side by side, their channels one behind the other."""

    def __init__(self, channels_in: int, channels: tuple[int, ...], timed: bool, time_norm: bool, gate: bool):
        super().__init__()
        c0, c1a, c1b, c2a, c2b, c3b = channels
        self.branch0 = Unit(channels_in, c0, gate=gate)
        self.branch1 = nn.Sequential(Unit(channels_in, c1a), _split(c1a, c1b, timed, time_norm, gate))
        self.branch2 = nn.Sequential(Unit(channels_in, c2a), _split(c2a, c2b, timed, time_norm, gate))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), Unit(channels_in, c3b, gate=gate))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)


def identity_filter(conv: nn.Conv3d) -> torch.Tensor:
    """A filter over time, as many channels in as out, that gives each frame back."""
    eye = torch.eye(conv.out_channels, device=conv.weight.device)[:, :, None, None]
    return inflate(eye, conv.kernel_size[0], "centre")


def from_port(tensors: dict, shapes: dict) -> dict:
    """Weights of the port https://github.com/kylemin/S3D under torchvision's names; other names come back as they are.

    >>> list(from_port({"base.5.branch1.1.bn_t.bias": 0, "base.2.conv.weight": 0, "fc.0.bias": 0}, {}))
    ['features.5.branch1.1.1.1.bias', 'features.2.0.weight', 'classifier.1.bias']
    """
    parts = {"conv_s": "0.0", "bn_s": "0.1", "conv_t": "1.0", "bn_t": "1.1", "conv": "0", "bn": "1"}
    found = {}
    for key, value in tensors.items():
        name = re.sub(r"\.(conv|bn)(_[st])?\.", lambda match: f".{parts[match.group()[1:-1]]}.", key)
        name = name.replace("branch0.0.", "branch0.")
        name = re.sub(r"^base\.", "features.", re.sub(r"^fc\.0\.", "classifier.1.", name))
        found[name if key.startswith(("base.", "fc.")) else key] = value
    return found


def _check(first: str, first_length: int, time_from: str, gate_from: str, padding: str) -> None:
    choices = {
        "first": (first, ("separable", "joint")),
        "first_length": (first_length, (1, 3, 5, 7)),
        "time_from": (time_from, SPLIT),
        "gate_from": (gate_from, SPLIT),
        "padding": (padding, ("symmetric", "same")),
    }
    for name, (value, known) in choices.items():
        if value not in known:
            raise ConfigError(f"{name} of an S3D is one of {', '.join(map(str, known))}, not {value!r}.")


def _split(channels_in: int, channels: int, timed: bool, time_norm: bool, gate: bool) -> nn.Module:
    if timed:
        return Separable(channels_in, channels, time_norm=time_norm, gate=gate)
    return Unit(channels_in, channels, (1, 3, 3), gate=gate)


def _conv(channels_in: int, channels: int, size: tuple, stride: tuple, same: bool, bias: bool = False) -> nn.Conv3d:
    if same and max(stride) > 1:  # elsewhere both paddings are one
        return SameConv(channels_in, channels, size, stride, bias=bias)
    return nn.Conv3d(channels_in, channels, size, stride, tuple(part // 2 for part in size), bias=bias)


def _pool(size: tuple, stride: tuple, same: bool) -> nn.Module:
    if same:
        return SamePool(size, stride)
    return nn.MaxPool3d(size, stride, tuple(part // 2 if part == 3 else 0 for part in size))


def _place(unit: str) -> str:
    """Where a unit of I3D lies, ``Mixed_3b.b1b`` for one."""
    layer, _, branch = unit.partition(".")
    inside = {"b0": "branch0", "b1a": "branch1.0", "b1b": "branch1.1", "b2a": "branch2.0", "b2b": "branch2.1"}
    inside |= {"b3b": "branch3.1"}
    return f"features.{PLACES[layer]}" + (f".{inside[branch]}" if branch else "")


def _fitted(weight: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """I3D's filter as it is, or its sum over time, spread over another length where there is one."""
    if weight.shape == shape:
        return weight
    return inflate(deflate(weight).squeeze(2), shape[2])
