"""S3D and S3D-G, apart from torchvision's (``torchvision.py``)."""

from __future__ import annotations

from vidbench.cards.card import ModelCard, Reported, Weights
from vidbench.records import InputSpec

_CITATION = "Rethinking spatiotemporal feature learning, https://arxiv.org/abs/1712.04851"
# What vidbench.nets.s3d calls TF_SLIM: cards load no torch.
_TF_SLIM = {"first": "joint", "first_length": 3, "padding": "same", "time_norm": False, "norm_scale": False}
_NOTE = (
    "The authors' definition in TF-slim: batch norms without scale, none behind filters over time, a first filter of 3 "
    "frames that is not split. The published networks saw 7 frames there, as their comment says (option first_length)."
)


def _input(num_frames: int) -> InputSpec:
    return InputSpec(num_frames, 25.0, 256, (224, 224), mean=(0.5,) * 3, std=(0.5,) * 3)


def _authors(name: str, top1: float, top5: float, params: int, source: str, **options) -> ModelCard:
    return ModelCard(
        name=name,
        build="vidbench.nets.s3d:S3D",
        kind="torch",
        weights=Weights("", absent="its authors published none that could be found"),
        labels="kinetics400",
        num_classes=400,
        input=_input(64),
        reported=Reported(
            top1, top5, "kinetics400 val", "ImageNet before; views not stated where it is quoted", source
        ),
        num_frames=(9, None),
        params=params,
        citation=_CITATION,
        notes=f"{_NOTE} Begins with an I3D's two-dimensional filters (backbone_weights).",
        options={**_TF_SLIM, **options},
    )


_PORT = ModelCard(
    name="s3d_port.kinetics400",
    build="vidbench.nets.s3d:S3D",
    kind="torch",
    weights=Weights(
        "",
        license="MIT (the port's code; not stated for the weights)",
        absent="its author keeps S3D_kinetics400.pt on Google Drive, linked from https://github.com/kylemin/S3D, and "
        "it has to be fetched by hand",
    ),
    labels="kinetics400",
    num_classes=400,
    input=_input(250),
    reported=Reported(
        72.08, 90.35, "kinetics400 val", "one view of a whole clip at 25 fps", "https://github.com/kylemin/S3D"
    ),
    num_frames=(13, None),
    params=8320048,
    citation=_CITATION,
    notes="The paper's weights in torch. It was measured on whole clips; 250 frames are 10 s of them.",
    convert="vidbench.nets.s3d:from_port",
)

CARDS = (
    _authors("s3dg.kinetics400", 74.7, 93.4, 9518848, "the paper, quoted by others", gating=True),
    _authors("s3d_slim.kinetics400", 72.2, 90.6, 8299520, "the paper, quoted by https://github.com/kylemin/S3D"),
    _PORT,
)
