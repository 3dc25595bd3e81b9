"""I3D, Inception-v1 inflated to three dimensions."""

from __future__ import annotations

from vidbench.cards.card import ModelCard, Weights
from vidbench.records import InputSpec

_UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def _i3d(num_classes: int) -> ModelCard:
    return ModelCard(
        name=f"i3d.tfhub_kinetics{num_classes}",
        build="vidbench.hubs:HubI3D",
        kind="tfhub",
        weights=Weights("", f"https://tfhub.dev/deepmind/i3d-kinetics-{num_classes}/1", license="Apache-2.0"),
        labels=f"kinetics{num_classes}",
        num_classes=num_classes,
        input=InputSpec(64, 25.0, 256, (224, 224), **_UNIT, layout="NTHWC"),
        reported=None,
        num_frames=(9, None),
        params=12704544 if num_classes == 400 else 0,
        citation="Quo vadis, action recognition?, https://arxiv.org/abs/1705.07750",
        notes="The pixel range is unresolved: TensorFlow's tutorial feeds [0, 1], as here; others feed [-1, 1] to the "
        "same module, and its page does not say. No accuracy was published for it. DeepMind's checkpoints score "
        "71.1 % top-1 on the kinetics400 test set with all frames of a video in one view.",
    )


CARDS = (_i3d(400), _i3d(600))
