"""An image network on every frame and a recurrent network over its features."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vidbench.cards.card import ModelCard, Weights
from vidbench.records import InputSpec

_IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_FRAMES = InputSpec(16, None, 256, (224, 224), **_IMAGENET, sampling="uniform", layout="NTCHW")
_CAFFE = replace(_FRAMES, num_frames=8, crop=(227, 227), mean=(123 / 255, 117 / 255, 104 / 255), std=(1 / 255,) * 3)


def _card(name: str, params: int, spec: InputSpec, notes: str, **options) -> ModelCard:
    return ModelCard(
        name=name,
        build="vidbench.nets.cnn_rnn:CnnRnn",
        kind="torch",
        weights=Weights("", absent="nobody published this network's; it is here to be trained"),
        labels="kinetics400",
        num_classes=400,
        input=spec,
        reported=None,
        params=params,
        citation="PyTorch Computer Vision Cookbook, chapter 10; Long-term recurrent convolutional networks, "
        "https://arxiv.org/abs/1411.4389",
        notes=f"No accuracy was published for it; {notes}",
        options={"backbone": "resnet18", **options},
    )


_ANY = "any backbone of torchvision by options."
CARDS = (
    _card("cnn_lstm.untrained", 11462512, _FRAMES, _ANY, rnn="lstm"),
    _card("cnn_gru.untrained", 11401112, _FRAMES, _ANY, rnn="gru"),
    _card(
        "cnn_lstm_squeezenet1_0.untrained_caffe",
        1021424,
        _CAFFE,
        "for the backbone weights of the original SqueezeNet 1.0, which see RGB from 0 to 255 less a mean.",
        backbone="squeezenet1_0",
        rnn="lstm",
        level=True,
    ),
)
