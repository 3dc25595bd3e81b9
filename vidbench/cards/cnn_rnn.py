"""An image network on every frame and a recurrent network over its features."""

from __future__ import annotations

from vidbench.cards.card import ModelCard, Weights
from vidbench.records import InputSpec


def _card(name: str, params: int, **options) -> ModelCard:
    return ModelCard(
        name=name,
        build="vidbench.nets.cnn_rnn:CnnRnn",
        kind="torch",
        weights=Weights("", absent="nobody published this network's; it is here to be trained"),
        labels="kinetics400",
        num_classes=400,
        input=InputSpec(
            16,
            None,
            256,
            (224, 224),
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            sampling="uniform",
            layout="NTCHW",
        ),
        reported=None,
        params=params,
        citation="PyTorch Computer Vision Cookbook, chapter 10; Long-term recurrent convolutional networks, "
        "https://arxiv.org/abs/1411.4389",
        notes="No accuracy was published for it; any backbone of torchvision by options.",
        options={"backbone": "resnet18", **options},
    )


CARDS = (_card("cnn_lstm.untrained", 11462512, rnn="lstm"), _card("cnn_gru.untrained", 11401112, rnn="gru"))
