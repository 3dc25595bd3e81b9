"""MoViNets: whole clips at once (base), or a video frame by frame (stream)."""

from __future__ import annotations

from typing import Any

from vidbench.cards.card import ModelCard, Weights, reported_of
from vidbench.records import InputSpec

_UNIT: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_PAPER = "MoViNets: mobile video networks for efficient video recognition, https://arxiv.org/abs/2103.11511"
_GARDEN = "https://storage.googleapis.com/tf_model_garden/vision/movinet"

_TFLITE = Weights(
    "movinet_a0_stream_k600_int8.tflite",
    "https://tfhub.dev/tensorflow/lite-model/movinet/a0/stream/kinetics-600/classification/tflite/int8/1"
    "?lite-format=tflite",
    sha256="6125b36e2485eeb5cc1fd6206cf5e5d70235593fbc84610d1dce97fe3aa9c2ac",
    license="Apache-2.0",
)
_A0_INPUT = InputSpec(0, 5.0, 172, (172, 172), **_UNIT, sampling="stream", layout="NTHWC")

_INT8 = ModelCard(
    name="movinet_a0_stream.k600_int8",
    build="vidbench.hubs:MoViNetStream",
    kind="tflite",
    weights=_TFLITE,
    labels="kinetics600",
    num_classes=600,
    input=_A0_INPUT,
    reported=reported_of("movinet_a0_stream.k600_int8"),
    num_frames=(0, None),
    params=2723392,
    citation=_PAPER,
    notes="8-bit weights and activations. The float A0-Stream is reported at 72.05 % top-1 on kinetics600 val; the two "
    "numbers are not of the same weights.",
)

_FLOAT = ModelCard(
    name="movinet_a0_stream.k600",
    build="vidbench.nets.movinet:MoViNet",
    kind="torch",
    weights=_TFLITE,
    labels="kinetics600",
    num_classes=600,
    input=_A0_INPUT,
    reported=None,
    num_frames=(0, None),
    params=2723407,
    citation=_PAPER,
    options={"size": "a0", "kind": "mobile"},
    convert="vidbench.nets.movinet_names:from_tensorflow",
    notes="The 8-bit weights of movinet_a0_stream.k600_int8 as floats, in torch, on the CPU or a GPU; nothing was "
    "published for this combination. Its norms are folded into weights and biases, and trained further it has none. "
    "Measured, zero-shot: 4 of 4 clips of kinetics400 val; 97.2 % top-1 [85.8, 99.5], n=36, on nine classes of ucf101 "
    "test split 1 (scripts/configs/ucf101-movinet-torch.txt). Among all 600 classes its best is that of the 8-bit "
    "network in 91.7 % [86.7, 94.9] of n=180 clips of ucf101 (benchmarks/agreement.py), whose running sum rounds small "
    "features away.",
)


_FORMS = {  # frames, frames a second, pixels of the crop and of the short side before it
    "a0": (50, 5.0, 172, 192),
    "a1": (50, 5.0, 172, 192),
    "a2": (50, 5.0, 224, 256),
    "a3": (120, 12.0, 256, 288),
    "a4": (80, 8.0, 290, 320),
    "a5": (120, 12.0, 320, 368),
}
_RESIZE = (
    "The short side before the crop is that of the authors' training configurations, official/projects/movinet/configs/"
    "yaml. No hash was published."
)
_KAGGLE = (
    "google/movinet/tensorFlow2/a0-base-kinetics-600-classification/3 and .../a0-stream-kinetics-600-classification/2"
)


def _input(size: str, kind: str) -> InputSpec:
    frames, rate, side, resize = _FORMS[size]
    stream = kind == "stream"
    sampling = "stream" if stream else "clips_from_start"
    return InputSpec(0 if stream else frames, rate, resize, (side, side), **_UNIT, sampling=sampling, layout="NTHWC")


def _published(size: str, kind: str, params: int) -> ModelCard:
    name, stream = f"movinet_{size}_{kind}", kind == "stream"
    full_name = f"{name}.k600_float" if stream else f"{name}.k600"
    return ModelCard(
        name=full_name,
        build="vidbench.nets.movinet:MoViNet",
        kind="torch",
        weights=Weights(
            f"{name}.tar.gz",
            f"{_GARDEN}/{name}.tar.gz",
            license="Apache-2.0",
            absent=f"they are a packed TensorFlow checkpoint; unpack {_GARDEN}/{name}.tar.gz and name its folder",
        ),
        labels="kinetics600",
        num_classes=600,
        input=_input(size, kind),
        reported=reported_of(full_name),
        num_frames=(0, None) if stream else (1, None),
        params=params,
        citation=_PAPER,
        options={"size": size, "kind": kind, "dropout": 0.2 if size in ("a0", "a1") else 0.5},
        convert="vidbench.nets.movinet_names:from_tensorflow",
        notes=f"{_RESIZE} The archive holds a TensorFlow checkpoint: unpack it and pass its folder, or a SavedModel's, "
        "with --weights.",
    )


def _tfhub(size: str, kind: str) -> ModelCard:
    """The same weights as a finished program of TensorFlow."""
    stream = kind == "stream"
    return ModelCard(
        name=f"movinet_{size}_{kind}.tfhub_k600",
        build=f"vidbench.hubs:HubMoViNet{'Stream' if stream else ''}",
        kind="tfhub",
        weights=Weights(
            "",
            f"https://tfhub.dev/tensorflow/movinet/{size}/{kind}/kinetics-600/classification/3",
            license="Apache-2.0",
        ),
        labels="kinetics600",
        num_classes=600,
        input=_input(size, kind),
        reported=reported_of(f"movinet_{size}_{kind}.tfhub_k600"),
        num_frames=(0 if stream else 1, None),
        citation=_PAPER,
        notes=f"{_RESIZE} The score is the published one of these weights. Kaggle has A0 as {_KAGGLE}."
        + (" Streams from A3 on know each frame's place in the video." if stream and size > "a2" else ""),
    )


CARDS = (
    _INT8,
    _FLOAT,
    _published("a0", "base", 3111799),
    _published("a1", "base", 4690296),
    _published("a2", "base", 5249562),
    _published("a3", "base", 7397545),
    _published("a4", "base", 11349463),
    _published("a5", "base", 18650523),
    _published("a0", "stream", 3748031),
    _published("a1", "stream", 6447352),
    _published("a2", "stream", 7326962),
    *(_tfhub(size, kind) for kind in ("base", "stream") for size in _FORMS),
)
