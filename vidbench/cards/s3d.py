"""S3D and S3D-G, apart from torchvision's (``torchvision.py``)."""

from __future__ import annotations

from vidbench.cards.card import ModelCard, Weights, reported_of
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


def _authors(name: str, params: int, **options) -> ModelCard:
    return ModelCard(
        name=name,
        build="vidbench.nets.s3d:S3D",
        kind="torch",
        weights=Weights("", absent="its authors published none that could be found"),
        labels="kinetics400",
        num_classes=400,
        input=_input(64),
        reported=reported_of(name),
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
    reported=reported_of("s3d_port.kinetics400"),
    num_frames=(13, None),
    params=8320048,
    citation=_CITATION,
    notes="The paper's weights in torch. It was measured on whole clips; 250 frames are 10 s of them.",
    convert="vidbench.nets.s3d:from_port",
)

CARDS = (
    _authors("s3dg.kinetics400", 9518848, gating=True),
    _authors("s3d_slim.kinetics400", 8299520),
    _PORT,
)
