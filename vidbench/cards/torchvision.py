"""torchvision's ten video networks for Kinetics-400."""

from __future__ import annotations

from typing import Any

from vidbench.cards.card import ModelCard, Weights, reported_of
from vidbench.records import InputSpec

_KINETICS_NORM: dict[str, Any] = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
_PLAIN_NORM: dict[str, Any] = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
_IMAGENET_NORM: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

# torchvision's reference script averages the softmax of the clips, not their logits.
_RESNET = InputSpec(16, 15.0, (128, 171), (112, 112), **_KINETICS_NORM, num_clips=5, average="probabilities")
_S3D = InputSpec(
    128, 15.0, (256, 256), (224, 224), **_KINETICS_NORM, sampling="clips_from_start", average="probabilities"
)
_MVIT = InputSpec(16, 7.5, 256, (224, 224), **_PLAIN_NORM, num_clips=5, average="probabilities")
_SWIN = InputSpec(32, 15.0, 256, (224, 224), **_IMAGENET_NORM, num_clips=12, average="probabilities")

_R3D_PAPER = "A closer look at spatiotemporal convolutions, https://arxiv.org/abs/1711.11248"
_MVIT_V2_PAPER = "MViTv2: improved multiscale vision transformers, https://arxiv.org/abs/2112.01526"
_SWIN_PAPER = "Video Swin Transformer, https://arxiv.org/abs/2106.13230"


def _torchvision(
    architecture, file, spec, params, citation, *, weights="kinetics400_v1", frames=(1, None), notes=""
) -> ModelCard:
    return ModelCard(
        name=f"{architecture}.{weights}",
        build=f"torchvision.models.video:{architecture}",
        kind="torch",
        weights=Weights(
            file,
            "https://download.pytorch.org/models/" + file,
            sha256=file.rpartition("-")[2].partition(".")[0],
            license="not stated for the weights (code: BSD-3-Clause); trained on Kinetics-400",
        ),
        labels="kinetics400",
        num_classes=400,
        input=spec,
        reported=reported_of(f"{architecture}.{weights}"),
        num_frames=frames,
        params=params,
        citation=citation,
        notes=notes,
    )


CARDS = (
    _torchvision("r3d_18", "r3d_18-b3b3357e.pth", _RESNET, 33371472, _R3D_PAPER),
    _torchvision("mc3_18", "mc3_18-a90a0ba3.pth", _RESNET, 11695440, _R3D_PAPER),
    _torchvision("r2plus1d_18", "r2plus1d_18-91a641e6.pth", _RESNET, 31505325, _R3D_PAPER),
    _torchvision(
        "s3d",
        "s3d-d76dad2f.pth",
        _S3D,
        8320048,
        "Rethinking spatiotemporal feature learning, https://arxiv.org/abs/1712.04851",
        frames=(14, None),
        notes="The published number is the accuracy of single clips of 128 frames.",
    ),
    _torchvision(
        "mvit_v1_b",
        "mvit_v1_b-dbeb1030.pth",
        _MVIT,
        36610672,
        "Multiscale vision transformers, https://arxiv.org/abs/2104.11227",
        frames=(16, 16),
    ),
    _torchvision("mvit_v2_s", "mvit_v2_s-ae3be167.pth", _MVIT, 34537744, _MVIT_V2_PAPER, frames=(16, 16)),
    _torchvision("swin3d_t", "swin3d_t-7615ae03.pth", _SWIN, 28158070, _SWIN_PAPER),
    _torchvision("swin3d_s", "swin3d_s-da41c237.pth", _SWIN, 49816678, _SWIN_PAPER),
    _torchvision("swin3d_b", "swin3d_b_1k-24f7c7c6.pth", _SWIN, 88048984, _SWIN_PAPER),
    _torchvision(
        "swin3d_b",
        "swin3d_b_22k-7c6ae6fa.pth",
        _SWIN,
        88048984,
        _SWIN_PAPER,
        weights="kinetics400_imagenet22k_v1",
    ),
)
