"""torchvision's image networks as parts of video networks: without their last layer, and by name.

A network that can begin with an image network's weights has two methods that ``models.load_model`` calls for
``backbone_weights``:

* ``backbone_shapes()`` → ``{name in the file: shape}`` of the weights it takes, with ``None`` for those that a file may
  hold and that are left out (the image network's own classes),
* ``from_backbone(tensors)`` → ``{own name: tensor}`` of what they fill,

and a text ``backbone`` that names the smaller network. ``backbone_names(tensors)`` is for those whose files come
under several sets of names: it gives ``{the name that backbone_shapes uses: tensor}``.
"""

from __future__ import annotations

import torch
from torch import nn

from vidbench.records import ConfigError, WeightsError
from vidbench.utils import nearest_hint, printable


def check_clips(clips: torch.Tensor, layout: str, name: str, fewest: int = 1) -> None:
    """Refuse a batch that a network of a layout, ``NCTHW`` or ``NTCHW``, cannot take.

    Raises:
        ConfigError: another number of axes, other than three channels, or fewer frames than ``fewest``.
    """
    if clips.dim() == 5 and clips.shape[layout.index("C")] == 3 and clips.shape[layout.index("T")] >= fewest:
        return
    axes = ", ".join("3" if axis == "C" else axis for axis in layout)
    raise ConfigError(f"{name} takes clips ({axes}) with T at least {fewest}, not {tuple(clips.shape)}.")


_SLOW_START = ("googlenet", "inception_v3")  # they draw their weights with scipy, for seconds


def image_network(name: str, num_classes: int = 1000) -> nn.Module:
    """torchvision's network of a name, with random weights.

    Raises:
        ConfigError: torchvision has no image network of that name.
    """
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ConfigError(f"torchvision has no image network {printable(name, 60)!r}.{nearest_hint(name, known)}")
    more = {"init_weights": False} if name in _SLOW_START else {}
    device = torch.get_default_device()
    with torch.device("cpu" if name.startswith("regnet") else device):  # they compute their widths with tensors
        network = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **more)
    return network.to(device)


def headless(name: str) -> tuple[nn.Module, int]:
    """torchvision's network of a name without its last layer.

    Returns:
        A module that turns images (N, 3, H, W) into features (N, F), and F. Names of its weights are torchvision's.

    Raises:
        ConfigError: torchvision has no image network of that name.
    """
    network = image_network(name)
    if name in _SLOW_START:  # their second and third classifiers serve training only
        for part, without in (("aux_logits", False), ("aux1", None), ("aux2", None), ("AuxLogits", None)):
            if hasattr(network, part):
                setattr(network, part, without)
    if name.startswith("squeezenet"):
        conv = network.get_submodule("classifier.1")
        assert isinstance(conv, nn.Conv2d)
        network.classifier = nn.AdaptiveAvgPool2d(1)
        return network, conv.in_channels
    place, last = [(key, part) for key, part in network.named_modules() if isinstance(part, nn.Linear)][-1]
    network.set_submodule(place, nn.Identity())
    return network, last.in_features


def image_shapes(name: str, taken: set[str]) -> dict:
    """``{name: shape}`` of an image network's weights file; ``None`` for those that are not in ``taken``."""
    with torch.device("meta"):
        whole = image_network(name).state_dict()
    return {key: tuple(value.shape) if key in taken else None for key, value in whole.items()}


def published(name: str, weights: str) -> tuple[str, str]:
    """Address and first digits of the SHA-256 of weights that torchvision publishes, ``IMAGENET1K_V1`` for one.

    Raises:
        WeightsError: it publishes no such weights for this network.
    """
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise WeightsError(f"Weights of {name} have no name here; pass a file of them, not {printable(weights, 60)!r}.")
    known = torchvision.models.get_model_weights(name).__members__
    if weights not in known:
        raise WeightsError(f"torchvision has no weights {printable(weights, 60)!r} for {name}: {', '.join(known)}.")
    url = known[weights].url
    return url, url.rpartition("-")[2].partition(".")[0]
