"""MoViNet's weights under others' names and in others' layouts, turned into ours.

Known are the variables of the authors' checkpoints and SavedModels (``block0_layer0/bneck/expansion/conv3d/kernel``;
in older ones ``b0/l0/...``), and the constants of a TFLite file as ``vidbench.tflite`` names them.

Source of the variables' names:
    https://github.com/tensorflow/models (official/projects/movinet/modeling), and the map for TF-Hub's models in
    https://github.com/Atze00/MoViNet-pytorch (weights/weight_load.ipynb).
"""

from __future__ import annotations

import re

import torch

from vidbench.records import WeightsError

BLOCK = re.compile(r"(?:^|/)(?:block|b)(\d+)(?:_layer|/l)(\d+)/(?:bneck/)?(.+)")
PARTS = {
    "expansion": "expand",
    "projection": "project",
    "skip/skip_project": "skip.project",
    "feature": "feature",
    "se/se_reduce": "squeeze.reduce",
    "se/se_expand": "squeeze.expand",
    "rezero": "",
    "scale": "",
}
OUTSIDE = {
    r"classifier_head(_\d+)?/head": "hidden",  # Keras counts layers of one name
    r"classifier_head(_\d+)?/classifier": "classifier",
    "head/project": "project",
    "stem/stem": "stem",
}
VALUES = {
    "gamma": "norm.weight",
    "beta": "norm.bias",
    "moving_mean": "norm.running_mean",
    "moving_variance": "norm.running_var",
    "kernel": "conv.weight",
    "depthwise_kernel": "conv.weight",
    "weight": "conv.weight",
    "bias": "conv.bias",
    "scale": "scale",
    "factor": "scale",
}
NOT_WEIGHTS = re.compile(r"global_average_pool3d|save_counter|global_step|optimizer|Momentum|/rms|learning_rate|/iter$")


def from_tensorflow(tensors: dict[str, torch.Tensor], shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """TensorFlow's tensors under our names and in our layouts; what is none of the network's keeps its name.

    Args:
        tensors: by TensorFlow's names, with or without ``:0``; or by ``vidbench.tflite``'s.
        shapes: of the network's own tensors, by name.

    Raises:
        WeightsError: two tensors for one place, or a factor that is not one number.
    """
    found: dict[str, torch.Tensor] = {}
    for name, value in tensors.items():
        if NOT_WEIGHTS.search(name):
            continue
        ours = our_name(name)
        if ours not in shapes:
            ours = name
        if ours in found:
            raise WeightsError(f"These weights have two tensors for {ours!r}; the second is {name!r}.")
        found[ours] = _arranged(name, value, shapes.get(ours))
    factors = [key for key in shapes if key.endswith(".scale") and key not in found]
    if factors and "classifier.weight" in found:
        raise WeightsError(
            f"These weights lack the {len(factors)} factors of the blocks (rezero), without which the network is "
            "another one; the .tflite file, the checkpoint and the SavedModel have them."
        )
    return found


def our_name(name: str) -> str:
    """The name in our network of one of TensorFlow's; the same name where there is none.

    >>> our_name("block1_layer0/bneck/feature/bn_temporal/gamma:0")
    'blocks.block1_layer0.feature_time.norm.weight'
    """
    path, _, value = re.sub(r":\d+$", "", name).replace("|", "/").rpartition("/")
    kind = VALUES.get(value)
    block = BLOCK.search(f"{path}/{value}")
    if kind is None:
        return name
    if not block:
        part = next((ours for theirs, ours in OUTSIDE.items() if re.search(theirs, path)), None)
        linear = part in ("hidden", "classifier")
        return f"{part}.{kind.removeprefix('conv.') if linear else kind}" if part else name
    stage, place, rest = block.groups()
    part = next((theirs for theirs in PARTS if re.match(rf"{theirs}(/|$)", rest)), None)
    if part is None:
        return name
    ours = PARTS[part] + ("_time" if part == "feature" and "_temporal" in rest else "")
    if part.startswith("se/"):
        kind = kind.removeprefix("conv.")
    return ".".join(word for word in (f"blocks.block{stage}_layer{place}", ours, kind) if word)


def _arranged(name: str, value: torch.Tensor, shape: tuple[int, ...] | None) -> torch.Tensor:
    """A kernel as (out, in, [T,] H, W), a factor as one number; what does not fit stays as it is, to be named so."""
    if shape is None:
        return value
    last = re.sub(r":\d+$", "", name).replace("|", "/").rpartition("/")[2]
    if last == "factor":
        if value.numel() > 1 and bool((value != value.flatten()[0]).any()):
            raise WeightsError(f"The factor {name!r} is not one number.")
        value = value.flatten()[0].clone()
    elif last == "weight" and value.dim() == 4:  # TFLite: (out, H, W, in), depthwise (1, H, W, channels)
        value = value.permute(3, 0, 1, 2) if "/feature/" in name else value.permute(0, 3, 1, 2)
    elif last == "kernel" and value.dim() in (4, 5):  # ([T,] H, W, in, out)
        value = value.movedim((-1, -2), (0, 1))
    elif last == "depthwise_kernel" and value.dim() == 4:  # (H, W, channels, 1)
        value = value.permute(2, 3, 0, 1)
    # Axes of length 1 come and go; the number of classes may be another one than the network's.
    inner = [[length for length in lengths[1:] if length > 1] for lengths in (value.shape, shape)]
    return value.reshape(value.shape[0], *shape[1:]) if shape and inner[0] == inner[1] else value
