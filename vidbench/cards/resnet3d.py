"""The 3-D ResNets of the Non-local paper."""

from __future__ import annotations

from dataclasses import replace

from vidbench.cards.card import ModelCard, Reported, Weights
from vidbench.records import InputSpec

_README = "https://github.com/facebookresearch/video-nonlocal-net"
_PAPER = "Non-local Neural Networks, https://arxiv.org/abs/1711.07971, tables 2 and 3"
_PROTOCOL = "video level, 10 clips x 3 crops of 256 pixels, fully convolutional, softmax averaged"
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


def _card(architecture: str, clip: str, top1: float, top5: float, params: int, source: str, **options) -> ModelCard:
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
        reported=Reported(top1, top5, "kinetics400 val", _PROTOCOL, source),
        num_frames=(7 if options["stem_stride"] == 2 else 2, None),
        params=params,
        citation="Non-local Neural Networks, https://arxiv.org/abs/1711.07971",
        notes="Begins with torchvision's ImageNet ResNet of its depth (backbone_weights). The figure is a target to "
        "train towards: the published network has no border in its first pool and averages the softmax of every place "
        "of the last layer, where this one averages logits.",
        options=options,
    )


def _pytorchvideo(kind: str, top1: float, top5: float, params: int) -> ModelCard:
    """The same network, trained by others from nothing, in a file that can be read."""
    file = f"{kind.upper()}_8x8_R50.pyth"
    source = "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
    return replace(
        _card(f"resnet3d50_{kind}", "8x8", top1, top5, params, source, depth=50, inflate=int(kind == "i3d")),
        name=f"resnet3d50_{kind}.kinetics400_8x8_pytorchvideo",
        weights=Weights(file, _ZOO + file, license="Apache-2.0 (pytorchvideo's code; not stated for the weights)"),
        reported=Reported(top1, top5, "kinetics400 val", "video level, 10 clips x 3 crops of 256 pixels", source),
        notes="pytorchvideo gives no hash of the file. Its list of classes has the order here, but someone reports a "
        "permuted head: try a labelled clip first. The table does not say whether logits or softmax are averaged.",
        convert="vidbench.nets.resnet3d:from_pytorchvideo",
    )


_ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"

CARDS = (
    _card("resnet3d50_i3d", "32x2", 73.6, 90.8, 28043472, _README, depth=50, inflate=1),
    _card("resnet3d50_i3d", "8x8", 73.4, 90.9, 28043472, _README, depth=50, inflate=1),
    _card("resnet3d50_c2d", "32x2", 72.0, 90.0, 24327632, _README, depth=50, inflate=0),
    _card("resnet3d50_c2d", "8x8", 71.9, 90.0, 24327632, _README, depth=50, inflate=0),
    _card("resnet3d50_i3d_nl5", "32x2", 74.9, 91.6, 35401936, _README, depth=50, inflate=1, non_local=5),
    _card("resnet3d50_i3d_nl5", "8x8", 74.7, 91.6, 35401936, _README, depth=50, inflate=1, non_local=5),
    _card("resnet3d50_c2d_nl5", "32x2", 73.9, 91.0, 31686096, _README, depth=50, inflate=0, non_local=5),
    _card("resnet3d50_c2d_nl5", "8x8", 74.4, 91.4, 31686096, _README, depth=50, inflate=0, non_local=5),
    _card("resnet3d50_c2d_nl10", "32x2", 74.3, 91.2, 39044560, _PAPER, depth=50, inflate=0, non_local=10),
    _card("resnet3d101_i3d", "32x2", 74.4, 91.1, 51754192, _PAPER, depth=101, inflate=1),
    _card("resnet3d101_i3d_3x3x3", "32x2", 74.1, 91.2, 63042768, _PAPER, depth=101, inflate=2),
    _card("resnet3d101_c2d", "32x2", 73.1, 91.0, 43319760, _PAPER, depth=101, inflate=0),
    _card("resnet3d101_i3d_nl5", "32x2", 76.0, 92.1, 59112656, _PAPER, depth=101, inflate=1, non_local=5),
    _pytorchvideo("c2d", 71.46, 89.68, 24327632),
    _pytorchvideo("i3d", 73.27, 90.70, 28043472),
    _card("resnet3d101_c2d_nl5", "32x2", 75.1, 91.7, 50678224, _PAPER, depth=101, inflate=0, non_local=5),
)
