"""pytorchvideo's networks for Kinetics-400: C2D, I3D-R50, Slow, SlowFast, R(2+1)D-R50, CSN and X3D.

Parameters were counted on release 0.1.5; protocol and scores are those of its model zoo.
"""

from __future__ import annotations

from vidbench.cards.card import ModelCard, Weights, reported_of
from vidbench.records import InputSpec

_ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"
_MEAN, _STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
_SLOWFAST_PAPER = "SlowFast networks for video recognition, https://arxiv.org/abs/1812.03982"
_NOTES = (
    "The network is code of facebookresearch/pytorchvideo (Apache-2.0), which VIDBENCH_PYTORCHVIDEO must allow. "
    "Frames x stride are counted at 30 frames a second. How the zoo averages views is not stated; softmax here, as in "
    "SlowFast's own test."
)


def _pytorchvideo(entry, file, frames, stride, crop, params, citation, *, pathways=(), notes="", **options):
    return ModelCard(
        name=f"{entry}.kinetics400_ptv",
        build="vidbench.hub_torch:build_pytorchvideo",
        kind="torchhub",
        weights=Weights(file, _ZOO + file, license="Apache-2.0 (code)"),
        labels="kinetics400",
        num_classes=400,
        input=InputSpec(
            frames, 30 / stride, crop, (crop, crop), _MEAN, _STD, num_clips=10, num_crops=3, average="probabilities"
        ),
        reported=reported_of(f"{entry}.kinetics400_ptv"),
        num_frames=(frames, frames),
        params=params,
        citation=citation,
        notes=" ".join(part for part in (notes, _NOTES) if part),
        options={"entry": entry, **({"pathways": pathways} if pathways else {}), **options},
    )


_FAST = (
    "The name counts the slow pathway's frames; the network takes four times as many, and every fourth for the slow."
)
_X3D = "X3D, https://arxiv.org/abs/2004.04730"
_SOFTMAX = "Built without the softmax that its entry ends with by default."

CARDS = (
    _pytorchvideo("slowfast_r50", "SLOWFAST_8x8_R50.pyth", 32, 2, 256, 34566488, _SLOWFAST_PAPER,
                  pathways=(4, 1), notes=f"{_FAST} Its docstring says 76.4."),
    _pytorchvideo("slowfast_r101", "SLOWFAST_8x8_R101.pyth", 32, 2, 256, 62826968, _SLOWFAST_PAPER,
                  pathways=(4, 1), notes=_FAST),
    _pytorchvideo("slowfast_16x8_r101_50_50", "SLOWFAST_16x8_R101_50_50.pyth", 64, 2, 256, 53774808,
                  _SLOWFAST_PAPER, pathways=(4, 1), notes=_FAST),
    _pytorchvideo("slow_r50", "SLOW_8x8_R50.pyth", 8, 8, 256, 32454096, _SLOWFAST_PAPER),
    _pytorchvideo("c2d_r50", "C2D_8x8_R50.pyth", 8, 8, 256, 24327632,
                  "Non-local neural networks, https://arxiv.org/abs/1711.07971"),
    _pytorchvideo("i3d_r50", "I3D_8x8_R50.pyth", 8, 8, 256, 28043472,
                  "Non-local neural networks, https://arxiv.org/abs/1711.07971"),
    _pytorchvideo("r2plus1d_r50", "R2PLUS1D_16x4_R50.pyth", 16, 4, 256, 28107600,
                  "A closer look at spatiotemporal convolutions, https://arxiv.org/abs/1711.11248", notes=_SOFTMAX),
    _pytorchvideo("csn_r101", "CSN_32x2_R101.pyth", 32, 2, 256, 22213776,
                  "Video classification with channel-separated convolutional networks, "
                  "https://arxiv.org/abs/1904.02811"),
    _pytorchvideo("x3d_xs", "X3D_XS.pyth", 4, 12, 182, 3794274, _X3D, notes=_SOFTMAX),
    _pytorchvideo("x3d_s", "X3D_S.pyth", 13, 6, 182, 3794274, _X3D, notes=_SOFTMAX),
    _pytorchvideo("x3d_m", "X3D_M.pyth", 16, 5, 256, 3794274, _X3D, notes=_SOFTMAX),
    _pytorchvideo("x3d_l", "X3D_L.pyth", 16, 5, 356, 6153384, _X3D, notes=_SOFTMAX),
)  # fmt: skip
