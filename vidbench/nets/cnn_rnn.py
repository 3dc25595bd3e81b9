"""An image network on every frame and a recurrent network over its features: CNN + RNN.

The recipe of chapter 10 of the PyTorch Computer Vision Cookbook
(https://github.com/PacktPublishing/PyTorch-Computer-Vision-Cookbook; ResNet-18, LSTM of 100, last step), in the line of
Donahue et al., https://arxiv.org/abs/1411.4389. The recipe feeds batch-first tensors to an LSTM that takes the first
axis for time, so that videos of one batch run into each other; here the batch is the first axis everywhere.
"""

from __future__ import annotations

import torch
from torch import nn

from vidbench.nets.backbone import check_clips, headless, image_shapes
from vidbench.records import ConfigError

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class CnnRnn(nn.Module):
    """Logits (N, K) of clips, float (N, T, 3, H, W), T at least 1: batch first, then time.

    Args:
        num_classes: K.
        backbone: an image network of torchvision.
        rnn: ``lstm`` or ``gru``.
        hidden: its channels, at least 1.
        num_layers: its layers, at least 1.
        bidirectional: whether a second one reads the clip from its end; the last layer then sees both ends.
        dropout: probability before the last layer, and between layers of the recurrent network.
        level: bring each frame's features to mean 0 and variance 1 before the recurrent network. For image networks
            without normalisation, such as SqueezeNet, whose features are ten times as large as a ResNet's: gates are
            then shut or open for good, and little is learnt.

    Raises:
        ConfigError: a value that is none of these; in a call, other axes.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet18",
        rnn: str = "lstm",
        hidden: int = 100,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.1,
        level: bool = False,
    ):
        super().__init__()
        if rnn not in CELLS or hidden < 1 or num_layers < 1:
            raise ConfigError(
                f"rnn is one of {', '.join(CELLS)}, hidden and num_layers at least 1, not {rnn!r}, {hidden}, "
                f"{num_layers}."
            )
        self.backbone = backbone
        self.base_model, num_features = headless(backbone)
        self.level = nn.LayerNorm(num_features, elementwise_affine=False) if level else nn.Identity()
        between = dropout if num_layers > 1 else 0.0
        more = {"batch_first": True, "bidirectional": bidirectional, "dropout": between}
        self.rnn = CELLS[rnn](num_features, hidden, num_layers, **more)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden * (2 if bidirectional else 1), num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_clips(x, "NTCHW", "A CNN + RNN")
        steps, _ = self.rnn(self.level(self.base_model(x.flatten(0, 1))).unflatten(0, x.shape[:2]))
        last = steps[:, -1]
        if self.rnn.bidirectional:  # the second one has seen everything at the first frame
            last = torch.cat([last[:, : self.rnn.hidden_size], steps[:, 0, self.rnn.hidden_size :]], 1)
        return self.fc(self.drop(last))

    def backbone_shapes(self) -> dict:
        """Names and shapes of the image network's weights; its last layer is left out."""
        return image_shapes(self.backbone, set(self.base_model.state_dict()))

    def from_backbone(self, tensors: dict) -> dict:
        """The image network's tensors under this network's names."""
        return {f"base_model.{key}": value for key, value in tensors.items()}
