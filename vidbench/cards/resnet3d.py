"""The 3-D ResNets of the Non-local paper."""

from __future__ import annotations

from dataclasses import replace

from vidbench.cards.card import ModelCard, Weights, reported_of
from vidbench.records import InputSpec

_ABSENT = "its authors published them as Caffe2 pickles, which could run code and are not opened here"


def _input(num_frames: int, stride: int) -> InputSpec:
    """``num_frames`` frames, each the ``stride``-th one of a video with 30 frames per second."""
    return InputSpec(
        num_frames,
        30.0 / stride,
        256,
        (256, 256),
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        sampling="dense",
        num_clips=10,
        num_crops=3,
        average="probabilities",
    )


def _card(architecture: str, clip: str, params: int, **options) -> ModelCard:
    num_frames, stride = map(int, clip.split("x"))
    options = {"stem_stride": 2 if num_frames >= 32 else 1, **options}
    return ModelCard(
        name=f"{architecture}.kinetics400_{clip}",
        build="vidbench.nets.resnet3d:ResNet3D",
        kind="torch",
        weights=Weights("", license="CC BY-NC 4.0 (the authors' repository)", absent=_ABSENT),
        labels="kinetics400",
        num_classes=400,
        input=_input(num_frames, stride),
        reported=reported_of(f"{architecture}.kinetics400_{clip}"),
        num_frames=(7 if options["stem_stride"] == 2 else 2, None),
        params=params,
        citation="Non-local Neural Networks, https://arxiv.org/abs/1711.07971",
        notes="Begins with torchvision's ImageNet ResNet of its depth (backbone_weights). The figure is a target to "
        "train towards: the published network has no border in its first pool and averages the softmax of every place "
        "of the last layer, where this one averages logits.",
        options=options,
    )


def _pytorchvideo(kind: str, params: int) -> ModelCard:
    """The same network, trained by others from nothing, in a file that can be read."""
    file = f"{kind.upper()}_8x8_R50.pyth"
    return replace(
        _card(f"resnet3d50_{kind}", "8x8", params, depth=50, inflate=int(kind == "i3d")),
        name=f"resnet3d50_{kind}.kinetics400_8x8_pytorchvideo",
        weights=Weights(file, _ZOO + file, license="Apache-2.0 (pytorchvideo's code; not stated for the weights)"),
        reported=reported_of(f"resnet3d50_{kind}.kinetics400_8x8_pytorchvideo"),
        notes="pytorchvideo gives no hash of the file. Its list of classes has the order here, but someone reports a "
        "permuted head: try a labelled clip first. The table does not say whether logits or softmax are averaged.",
        convert="vidbench.nets.resnet3d:from_pytorchvideo",
    )


_ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"

CARDS = (
    _card("resnet3d50_i3d", "32x2", 28043472, depth=50, inflate=1),
    _card("resnet3d50_i3d", "8x8", 28043472, depth=50, inflate=1),
    _card("resnet3d50_c2d", "32x2", 24327632, depth=50, inflate=0),
    _card("resnet3d50_c2d", "8x8", 24327632, depth=50, inflate=0),
    _card("resnet3d50_i3d_nl5", "32x2", 35401936, depth=50, inflate=1, non_local=5),
    _card("resnet3d50_i3d_nl5", "8x8", 35401936, depth=50, inflate=1, non_local=5),
    _card("resnet3d50_c2d_nl5", "32x2", 31686096, depth=50, inflate=0, non_local=5),
    _card("resnet3d50_c2d_nl5", "8x8", 31686096, depth=50, inflate=0, non_local=5),
    _card("resnet3d50_c2d_nl10", "32x2", 39044560, depth=50, inflate=0, non_local=10),
    _card("resnet3d101_i3d", "32x2", 51754192, depth=101, inflate=1),
    _card("resnet3d101_i3d_3x3x3", "32x2", 63042768, depth=101, inflate=2),
    _card("resnet3d101_c2d", "32x2", 43319760, depth=101, inflate=0),
    _card("resnet3d101_i3d_nl5", "32x2", 59112656, depth=101, inflate=1, non_local=5),
    _pytorchvideo("c2d", 24327632),
    _pytorchvideo("i3d", 28043472),
    _card("resnet3d101_c2d_nl5", "32x2", 50678224, depth=101, inflate=0, non_local=5),
)
