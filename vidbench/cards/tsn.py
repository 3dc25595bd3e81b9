"""Temporal Segment Networks, and TSM, which shifts channels between their segments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vidbench.cards.card import ModelCard, Weights, reported_of
from vidbench.records import InputSpec

_IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_SEGMENTS = InputSpec(8, None, 256, (224, 224), **_IMAGENET, sampling="segments", layout="NTCHW")
# Every eighth frame of a video with 30 frames per second.
_DENSE = replace(_SEGMENTS, frame_rate=3.75, crop=(256, 256), sampling="dense", num_clips=10, num_crops=3)
_FOLDER = "https://hanlab18.mit.edu/projects/tsm/models/"
_TSN = "Temporal Segment Networks, https://arxiv.org/abs/1608.00859"
_TSM = "TSM: Temporal Shift Module, https://arxiv.org/abs/1811.08383"
_ABSENT = "nobody published this network's; it is here to be trained"


def _published(name: str, file: str, spec: InputSpec, *, notes: str = "", **options) -> ModelCard:
    shifted = options.get("shift", False)
    return ModelCard(
        name=name,
        build="vidbench.nets.tsn:TSN",
        kind="torch",
        weights=Weights(file, _FOLDER + file, license="MIT (the authors' code; not stated for the weights)"),
        labels="kinetics400",
        num_classes=400,
        input=spec,
        reported=reported_of(name),
        num_frames=(spec.num_frames, spec.num_frames) if shifted else (1, None),
        params=24327632,
        citation=_TSM if shifted else _TSN,
        notes="The authors give no hash of the file, and number classes as their list kinetics_label_map.txt does: not "
        f"compared with the order here.{notes}",
        options={"backbone": "resnet50", "num_segments": spec.num_frames, **options},
        convert="vidbench.nets.tsn:from_authors",
    )


def _untrained(name: str, spec: InputSpec, params: int, notes: str, **options) -> ModelCard:
    return ModelCard(
        name=name,
        build="vidbench.nets.tsn:TSN",
        kind="torch",
        weights=Weights("", absent=_ABSENT),
        labels="kinetics400",
        num_classes=400,
        input=spec,
        reported=None,
        params=params,
        citation=_TSN,
        notes=notes,
        options={"num_segments": spec.num_frames, **options},
    )


_16_FRAMES = replace(_SEGMENTS, num_frames=16)
_ONE = replace(_SEGMENTS, num_frames=1)
_CAFFE = replace(_SEGMENTS, mean=(123 / 255, 117 / 255, 104 / 255), std=(1 / 255,) * 3, crop=(227, 227))
_DENSE_NOTE = (
    " Its windows are 64 frames long in the authors' code and 57 here, so that they lie elsewhere by some frames; "
    "frames are counted at the video's own rate there."
)

CARDS = (
    _published("tsn_resnet50.kinetics400", "TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth", _SEGMENTS),
    _published(
        "tsm_resnet50.kinetics400",
        "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth",
        _SEGMENTS,
        shift=True,
    ),
    _published(
        "tsm_resnet50.kinetics400_16f",
        "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment16_e50.pth",
        _16_FRAMES,
        shift=True,
    ),
    _published(
        "tsm_resnet50.kinetics400_dense",
        "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense.pth",
        _DENSE,
        shift=True,
        notes=_DENSE_NOTE,
    ),
    _untrained(
        "tsn_resnet18.untrained",
        replace(_SEGMENTS, num_frames=3),
        11381712,
        "Three segments, as in the paper's training; any backbone of torchvision and any consensus by options.",
        backbone="resnet18",
    ),
    _untrained(
        "single_frame_resnet18.untrained",
        _ONE,
        11381712,
        "One segment: the middle frame alone, which is what a claim about time is compared with.",
        backbone="resnet18",
    ),
    _untrained(
        "tsn_squeezenet1_0.untrained_caffe",
        _CAFFE,
        940624,
        "For the backbone weights of the original SqueezeNet 1.0, which see RGB from 0 to 255 less a mean. "
        "torchvision's own see what its other networks see: tsn_resnet18 with the option backbone is for those.",
        backbone="squeezenet1_0",
    ),
)
