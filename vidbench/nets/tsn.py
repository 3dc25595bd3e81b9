"""Temporal Segment Networks: an image network on one frame of each of K parts of a video, and a consensus.

Wang et al., https://arxiv.org/abs/1608.00859. With one segment it is the single-frame baseline. With ``shift`` it is
TSM (Lin, Gan, Han, https://arxiv.org/abs/1811.08383). Weights have the names of the authors' code
(https://github.com/yjxiong/tsn-pytorch, https://github.com/mit-han-lab/temporal-shift-module): ``base_model.*``,
``new_fc.*``, and ``base_model.layer1.0.conv1.net.weight`` behind a shift.
"""

from __future__ import annotations

import torch
from torch import nn

from vidbench.nets.backbone import check_clips, headless, image_shapes
from vidbench.records import ConfigError

CONSENSUS = ("avg", "max", "topk", "identity", "rnn", "cnn")


class TSN(nn.Module):
    """Logits (N, K) of segments, float (N, T, 3, H, W), one frame a segment.

    Args:
        num_classes: K.
        backbone: an image network of torchvision.
        num_segments: T. Without ``shift`` any other T works too, for ``topk`` any above it.
        consensus: what joins the segments. Of their scores: ``avg``, ``max``, ``topk`` (the mean of the best ``topk``
            of each class), or ``identity``: each segment's scores apart, (N, T, K), while training, so that each can
            have a loss of its own, and their average in evaluation. Of their features: ``rnn`` (an LSTM's last state)
            or ``cnn`` (a convolution over three neighbours, averaged), which see the order of frames.
        topk: for that consensus, at most T.
        hidden: channels of ``rnn`` and ``cnn``.
        dropout: probability before the last layer; the authors use 0.8 for TSN and 0.5 for TSM.
        partial_bn: in training, all batch normalisations of the backbone but the first keep their statistics and
            weights as they are.
        shift: before each residual block's first convolution, move an eighth (``1 / shift_div``) of the channels to the
            frame before and as many to the frame after; in every second block where the third stage has 23.
        shift_div: see ``shift``.

    Raises:
        ConfigError: a backbone that torchvision does not have or that cannot be shifted, or another value that is
            none of these.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet50",
        num_segments: int = 3,
        consensus: str = "avg",
        topk: int = 3,
        hidden: int = 256,
        dropout: float = 0.5,
        partial_bn: bool = False,
        shift: bool = False,
        shift_div: int = 8,
    ):
        super().__init__()
        _check(consensus, topk, num_segments)
        self.backbone, self.num_segments, self.partial_bn, self.shift = backbone, num_segments, partial_bn, shift
        self.base_model, num_features = headless(backbone)
        if shift:
            shift_blocks(self.base_model, backbone, num_segments, shift_div)
        self.consensus = Consensus(consensus, topk, num_features, hidden)
        self.drop = nn.Dropout(dropout)
        self.new_fc = nn.Linear(self.consensus.num_features, num_classes)
        nn.init.normal_(self.new_fc.weight, std=0.001)
        nn.init.zeros_(self.new_fc.bias)
        self.train(self.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class.

        Raises:
            ConfigError: other axes, fewer segments than ``topk``, or another number than a shift was made for.
        """
        check_clips(x, "NTCHW", "A TSN", self.consensus.fewest)
        if self.shift and x.shape[1] != self.num_segments:
            raise ConfigError(f"This TSM shifts between {self.num_segments} segments, not {x.shape[1]}.")
        features = self.base_model(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.consensus.scores(self.new_fc(self.drop(self.consensus.features(features))))

    def train(self, mode: bool = True) -> TSN:
        """As of every module; with ``partial_bn`` the frozen normalisations stay in evaluation."""
        super().train(mode)
        if self.partial_bn:
            norms = [part for part in self.base_model.modules() if isinstance(part, nn.BatchNorm2d)]
            for part in norms[1:]:
                part.eval().requires_grad_(False)
        return self

    def backbone_shapes(self) -> dict:
        """Names and shapes of the image network's weights; its last layer is left out."""
        return image_shapes(self.backbone, set(self._backbone_names()))

    def from_backbone(self, tensors: dict) -> dict:
        """The image network's tensors under this network's names."""
        names = self._backbone_names()
        return {names[key]: value for key, value in tensors.items()}

    def _backbone_names(self) -> dict:
        """Names in the image network's file → own names."""
        own = [key for key in self.state_dict() if key.startswith("base_model.")]
        return {key.removeprefix("base_model.").replace(".net.", "."): key for key in own}


class Consensus(nn.Module):
    """What joins segments; see ``TSN``."""

    def __init__(self, kind: str, topk: int, num_features: int, hidden: int):
        super().__init__()
        self.kind, self.topk, self.fewest = kind, topk, topk if kind == "topk" else 1
        self.num_features = hidden if kind in ("rnn", "cnn") else num_features
        if kind == "rnn":
            self.rnn = nn.LSTM(num_features, hidden, batch_first=True)
        if kind == "cnn":
            self.cnn = nn.Conv1d(num_features, hidden, 3, padding=1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, F) → (N, F') of the whole video, or unchanged where scores are joined."""
        if self.kind == "rnn":
            return self.rnn(x)[0][:, -1]
        if self.kind == "cnn":
            return torch.relu(self.cnn(x.mT)).mean(2)
        return x

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, K) → (N, K); (N, K) unchanged."""
        if self.kind in ("rnn", "cnn") or (self.kind == "identity" and self.training):
            return x
        if self.kind == "max":
            return x.amax(1)
        if self.kind == "topk":
            return x.topk(self.topk, 1).values.mean(1)
        return x.mean(1)


class TemporalShift(nn.Module):
    """A convolution that sees an eighth of its channels one frame later and an eighth one frame earlier.

    Args:
        net: the convolution; images of one video follow each other, (N * T, C, H, W).
        num_segments: T.
        shift_div: a share of ``1 / shift_div`` of the channels comes from the next frame, and as many from the one
            before; beyond the ends are zeros.
    """

    def __init__(self, net: nn.Module, num_segments: int, shift_div: int):
        super().__init__()
        self.net, self.num_segments, self.shift_div = net, num_segments, shift_div

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fold = x.shape[1] // self.shift_div
        clips = x.unflatten(0, (-1, self.num_segments))
        moved = torch.zeros_like(clips)
        moved[:, :-1, :fold] = clips[:, 1:, :fold]
        moved[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
        moved[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
        return self.net(moved.flatten(0, 1))


def shift_blocks(network: nn.Module, name: str, num_segments: int, shift_div: int) -> None:
    """Put a shift before the first convolution of a ResNet's residual blocks, in place.

    Raises:
        ConfigError: another network, or a share that cannot be.
    """
    if not hasattr(network, "layer4"):
        raise ConfigError(f"Shifts lie in the residual blocks of ResNets, and {name} is none.")
    if shift_div < 2:
        raise ConfigError(f"shift_div is at least 2 (all channels move), not {shift_div!r}.")
    stages: list = [network.layer1, network.layer2, network.layer3, network.layer4]
    every = 2 if len(stages[2]) >= 23 else 1
    for stage in stages:
        for block in list(stage)[::every]:
            block.conv1 = TemporalShift(block.conv1, num_segments, shift_div)


def from_authors(tensors: dict, shapes: dict) -> dict:
    """Weights of the authors' TSM and TSN; a last layer within the backbone (no dropout) becomes ``new_fc``."""
    moved = {
        f"base_model.{head}.{kind}": f"new_fc.{kind}" for head in ("fc", "classifier") for kind in ("weight", "bias")
    }
    return {key if key in shapes else moved.get(key, key): value for key, value in tensors.items()}


def _check(consensus: str, topk: int, num_segments: int) -> None:
    if consensus not in CONSENSUS:
        raise ConfigError(f"A consensus is one of {', '.join(CONSENSUS)}, not {consensus!r}.")
    if num_segments < 1:
        raise ConfigError(f"num_segments is at least 1, not {num_segments!r}.")
    if consensus == "topk" and not 1 <= topk <= num_segments:
        raise ConfigError(f"topk is from 1 to the number of segments, {num_segments}, not {topk!r}.")
