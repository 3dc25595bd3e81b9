"""The 3-D ResNets of the Non-local paper: image networks inflated over time, with non-local blocks where wanted.

Wang, Girshick, Gupta, He: Non-local Neural Networks, https://arxiv.org/abs/1711.07971, tables 1 to 3, and the authors'
code, https://github.com/facebookresearch/video-nonlocal-net (``lib/models``). Weights have the names of torchvision's
image ResNets, which fill the network: see ``nets/inflate.py``.
"""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.nn import functional

from vidbench.nets.backbone import check_clips, image_shapes
from vidbench.nets.inflate import WAYS, inflate_tensors
from vidbench.records import ConfigError

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
# Number of non-local blocks → behind which residual blocks of res3 and res4 they lie. 10 are behind every block,
# 5 behind every second, 1 before the last block of res4; ResNet-101 spreads its three of res4 (authors' code).
NON_LOCAL = {
    50: {0: ((), ()), 1: ((), (4,)), 5: ((1, 3), (1, 3, 5)), 10: (tuple(range(4)), tuple(range(6)))},
    101: {0: ((), ()), 5: ((1, 3), (6, 13, 20))},
}


class ResNet3D(nn.Module):
    """Logits (N, K) of clips, float (N, 3, T, H, W).

    The last features are averaged over all times and 7x7 places, and over such windows where there are more places.
    Time is halved before res3, and twice more in the stem with ``stem_stride`` 2. The authors' code pools without
    a border; here, as in the paper's table and in torchvision, the first pool has one in space.

    Args:
        num_classes: K.
        depth: 50 or 101.
        inflate: 0 for C2D, which sees time in its pooling only; 1 for I3D with 3x1x1 filters, in the first convolution
            of every second residual block (all three of res2); 2 for 3x3x3 ones, in the middle convolution of the same
            blocks. In 1 and 2 the first filter is 5x7x7.
        non_local: how many non-local blocks: 0, 5 (two in res3, three in res4), and for depth 50 also 1 or 10.
        stem_stride: 2 for 32 frames and more (the paper), T at least 7; 1 for 8 frames far apart (``8x8`` of the
            authors' code), T at least 2.
        inflation: how ``from_backbone`` makes 3-D filters: ``mean`` (the paper) or ``centre``.
        dropout: probability before the last layer.

    Raises:
        ConfigError: a value that is none of these; in a call, other axes or too few frames.
    """

    def __init__(
        self,
        num_classes: int,
        depth: int = 50,
        inflate: int = 1,
        non_local: int = 0,
        stem_stride: int = 2,
        inflation: str = "mean",
        dropout: float = 0.5,
    ):
        super().__init__()
        _check(depth, inflate, non_local, stem_stride, inflation)
        self.backbone, self.inflation = f"resnet{depth}", inflation
        self.fewest = 7 if stem_stride == 2 else 2  # frames that leave one after all halvings
        length = 1 if inflate == 0 else 5
        self.conv1 = _conv(3, 64, (length, 7, 7), (stem_stride, 2, 2))
        self.bn1 = nn.BatchNorm3d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d((stem_stride, 3, 3), (stem_stride, 2, 2), (0, 1, 1))
        self.timepool = nn.MaxPool3d((2, 1, 1))
        behind = dict(zip((1, 2), NON_LOCAL[depth][non_local]))
        stages = []
        for stage, count in enumerate(BLOCKS[depth]):
            inflated = [stage == 0 or number % 2 == (stage == 3) for number in range(count)]
            kinds = [inflate if wanted else 0 for wanted in inflated]
            stages.append(_stage(stage, kinds, behind.get(stage, ())))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        self._draw()

    def _draw(self) -> None:
        for part in self.modules():
            if isinstance(part, nn.Conv3d) and part.bias is None:
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the last stage gives, (N, 2048, T', H', W'); H' and W' are H and W over 32, rounded up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.timepool(self.layer1(x))
        return self.layer4(self.layer3(self.layer2(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_clips(x, "NCTHW", "A 3-D ResNet", self.fewest)
        x = self.features(x)
        t, h, w = x.shape[2:]
        x = functional.avg_pool3d(x, (t, min(h, 7), min(w, 7)), stride=1)  # as many places as in training
        return self.fc(self.drop(x.mean((2, 3, 4))))

    def backbone_shapes(self) -> dict:
        """Names and shapes of the image ResNet's weights; its ``fc`` is left out."""
        return image_shapes(self.backbone, {key for key in self.state_dict() if not key.startswith("fc.")})

    def from_backbone(self, tensors: dict) -> dict:
        """The image ResNet's tensors with a time axis where one is needed."""
        return inflate_tensors(tensors, {key: value.shape for key, value in self.state_dict().items()}, self.inflation)


def from_pytorchvideo(tensors: dict, shapes: dict) -> dict:
    """Weights of pytorchvideo's C2D and I3D of depth 50, under torchvision's names; others come back as they are.

    Its block 2 pools over time, so that stages lie in blocks 1, 3, 4 and 5.

    >>> list(from_pytorchvideo({"blocks.3.res_blocks.0.branch2.norm_b.bias": 0, "blocks.6.proj.bias": 0}, {}))
    ['layer2.0.bn2.bias', 'fc.bias']
    """
    ends = {"blocks.0.conv": "conv1", "blocks.0.norm": "bn1", "blocks.6.proj": "fc"}
    short = {"branch1_conv": "downsample.0", "branch1_norm": "downsample.1"}
    found = {}
    for key, value in tensors.items():
        place, _, name = key.rpartition(".")
        if inside := re.fullmatch(r"blocks\.([1345])\.res_blocks\.(\d+)\.(branch1_\w+|branch2\.\w+_[abc])", place):
            stage, part = "1_234"[int(inside[1]) - 1], inside[3]
            kind = short.get(part) or f"{'conv' if 'conv' in part else 'bn'}{'abc'.index(part[-1]) + 1}"
            place = f"layer{stage}.{inside[2]}.{kind}"
        found[f"{ends.get(place, place)}.{name}"] = value
    return found


class Bottleneck(nn.Module):
    """1x1x1, 1x3x3, 1x1x1 beside a shortcut, and a non-local block behind it where one is wanted.

    Args:
        channels_in: of the input.
        channels: inside; four times as many come out.
        stride: in space.
        inflate: 0 as above, 1 with 3x1x1 for the first filter, 2 with 3x3x3 for the middle one.
        non_local: whether a non-local block follows.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, inflate: int, non_local: bool):
        super().__init__()
        channels_out = 4 * channels
        self.conv1 = _conv(channels_in, channels, (3 if inflate == 1 else 1, 1, 1))
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = _conv(channels, channels, (3 if inflate == 2 else 1, 3, 3), (1, stride, stride))
        self.bn2 = nn.BatchNorm3d(channels)
        self.conv3 = _conv(channels, channels_out, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or channels_in != channels_out:
            short = _conv(channels_in, channels_out, (1, 1, 1), (1, stride, stride))
            self.downsample = nn.Sequential(short, nn.BatchNorm3d(channels_out))
        self.non_local = NonLocal(channels_out) if non_local else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        short = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.relu(self.bn3(self.conv3(x)) + short)
        return x if self.non_local is None else self.non_local(x)


class NonLocal(nn.Module):
    """Every place in space and time looks at every other one: the embedded Gaussian of the paper, scaled.

    Keys and values come from a clip halved in space. The last normalisation begins with zero, so that a new block
    changes nothing.

    Args:
        channels: of input and output (N, C, T, H, W), H and W at least 2; half as many inside.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv3d(channels, channels // 2, 1) for _ in range(3))
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.out = nn.Conv3d(channels // 2, channels, 1)
        self.bn = nn.BatchNorm3d(channels)
        for part in (self.theta, self.phi, self.g, self.out):
            nn.init.normal_(part.weight, std=0.01)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = self.pool(x)
        query, key, value = (part.flatten(2).mT for part in (self.theta(x), self.phi(small), self.g(small)))
        found = functional.scaled_dot_product_attention(query, key, value)  # its scale is the authors' too
        return x + self.bn(self.out(found.mT.unflatten(2, x.shape[2:])))


def _check(depth: int, inflate: int, non_local: int, stem_stride: int, inflation: str) -> None:
    choices = {
        "depth": (depth, tuple(BLOCKS)),
        "inflate": (inflate, (0, 1, 2)),
        "non_local": (non_local, tuple(NON_LOCAL.get(depth, ()))),
        "stem_stride": (stem_stride, (1, 2)),
        "inflation": (inflation, WAYS),
    }
    for name, (value, known) in choices.items():
        if value not in known:
            raise ConfigError(f"{name} of a 3-D ResNet is one of {', '.join(map(str, known))}, not {value!r}.")


def _stage(stage: int, kinds: list[int], behind: tuple) -> nn.Sequential:
    channels = 64 * 2**stage
    channels_in = 64 if stage == 0 else 2 * channels
    blocks = []
    for number, kind in enumerate(kinds):
        stride = 2 if stage and not number else 1
        blocks.append(Bottleneck(channels_in, channels, stride, kind, number in behind))
        channels_in = 4 * channels
    return nn.Sequential(*blocks)


def _conv(channels_in: int, channels: int, size: tuple, stride: tuple = (1, 1, 1)) -> nn.Conv3d:
    return nn.Conv3d(channels_in, channels, size, stride, tuple(part // 2 for part in size), bias=False)
