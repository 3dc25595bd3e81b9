"""MoViNets, which see a video frame by frame."""

from __future__ import annotations

from vidbench.cards.card import ModelCard, Reported, Weights
from vidbench.records import InputSpec

_UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}

_MOVINET = ModelCard(
    name="movinet_a0_stream.k600_int8",
    build="vidbench.hubs:MoViNetStream",
    kind="tflite",
    weights=Weights(
        "movinet_a0_stream_k600_int8.tflite",
        "https://tfhub.dev/tensorflow/lite-model/movinet/a0/stream/kinetics-600/classification/tflite/int8/1"
        "?lite-format=tflite",
        sha256="6125b36e2485eeb5cc1fd6206cf5e5d70235593fbc84610d1dce97fe3aa9c2ac",
        license="Apache-2.0",
    ),
    labels="kinetics600",
    num_classes=600,
    input=InputSpec(0, 5.0, 172, (172, 172), **_UNIT, sampling="stream", layout="NTHWC"),
    reported=Reported(
        65.0,
        None,
        "kinetics600",
        "split and views not stated",
        "https://www.tensorflow.org/lite/examples/video_classification/overview",
    ),
    num_frames=(0, None),
    params=2723392,
    citation="MoViNets: mobile video networks for efficient video recognition, https://arxiv.org/abs/2103.11511",
    notes="8-bit weights and activations. The float A0-Stream is reported at 72.05 % top-1 on kinetics600 val; the two "
    "numbers are not of the same weights.",
)

CARDS = (_MOVINET,)
