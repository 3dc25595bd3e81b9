"""Networks that are code of another repository, built through ``torch.hub``: pytorchvideo's SlowFast, X3D, Slow, ...

That code runs in this process with all rights of its user, so it is never fetched unasked: ``VIDBENCH_PYTORCHVIDEO``
names a checkout on this machine, or is ``github`` to have ``torch.hub`` fetch one commit. Weights are read here, not by
that code, and only as tensors.
"""

from __future__ import annotations

import os
from pathlib import Path

from vidbench.data.web import network_words
from vidbench.records import ConfigError, WeightsError
from vidbench.utils import printable

REPOSITORY = "facebookresearch/pytorchvideo"
COMMIT = "0825c731db09c364fa630045929740300f59e5c7"  # its hubconf.py was read for the cards; main moves
VARIABLE = "VIDBENCH_PYTORCHVIDEO"


def build_pytorchvideo(num_classes: int, *, entry: str, pathways: tuple[int, ...] = (), **options):
    """A network of pytorchvideo that takes one tensor and gives logits.

    Args:
        num_classes: K.
        entry: name of a function in the repository's ``hubconf.py``.
        pathways: strides in time of the inputs that the network takes as a list, slowest first: ``(4, 1)`` for
            SlowFast, which sees a quarter of the frames and all of them. Empty for a network with one input.
        options: further arguments of ``entry``.

    Returns:
        The repository's own ``torch.nn.Module``, names of parameters included, without its softmax: some entries
        (X3D, R(2+1)D) end with one unless told otherwise. It takes float32 (N, 3, T, H, W) and returns (N, K).

    Raises:
        WeightsError: the repository is not on this machine and nobody said that it may be fetched, or cannot be
            fetched, or does not work.
    """
    import torch

    repository, source = _repository(entry)
    kind = {"source": source, "trust_repo": True, "skip_validation": True, "verbose": False}
    arguments = {"pretrained": False, "model_num_class": num_classes, "head_activation": None, **options}
    try:
        module = torch.hub.load(repository, entry, **kind, **arguments)
    except Exception as problem:  # whatever code of others raises, or the network on the way to it
        raise WeightsError(
            f"{entry} cannot be built from {printable(repository, 160)}: {network_words(problem)}. {_advice()}"
        ) from None
    if pathways:
        module.pathways = tuple(pathways)
        module.register_forward_pre_hook(_split)
    return module


def _repository(entry: str) -> tuple[str, str]:
    """Where the code is, as ``torch.hub.load`` takes it, with its ``source``."""
    choice = os.environ.get(VARIABLE, "")
    if choice == "github":
        return f"{REPOSITORY}:{COMMIT}", "github"
    if not choice:
        raise WeightsError(f"{entry} is code of {REPOSITORY}, which runs with all your rights. {_advice()}")
    folder = Path(choice).expanduser()
    if not (folder / "hubconf.py").is_file():
        raise WeightsError(f"{VARIABLE} names {printable(folder, 160)}, which has no hubconf.py. {_advice()}")
    return str(folder), "local"


def _advice() -> str:
    return (
        f"Set {VARIABLE} to a checkout of https://github.com/{REPOSITORY} that you trust (commit {COMMIT[:12]}; it "
        f"needs pip install fvcore iopath parameterized), or to github to have torch.hub fetch and run that commit."
    )


def frames_of_pathway(num_frames: int, stride: int):
    """The frames that a slower pathway takes: ``num_frames // stride`` of them, from the first to the last.

    Returns:
        int64 tensor, shape (num_frames // stride,).

    Raises:
        ConfigError: fewer frames than the stride.

    Source:
        PackPathway in the transform of pytorchvideo's hub page for SlowFast: linspace over the fast frames, cut to
        whole numbers, so that the steps are not all ``stride``.

    >>> frames_of_pathway(32, 4).tolist()
    [0, 4, 8, 13, 17, 22, 26, 31]
    """
    import torch

    if num_frames < stride:
        raise ConfigError(f"A pathway of every {stride}th frame needs at least {stride} frames, not {num_frames}.")
    return torch.linspace(0, num_frames - 1, num_frames // stride).long()


def _split(module, arguments):
    """One clip (N, 3, T, H, W) as the list of clips that the network takes; a list stays as it is."""
    (clip,) = arguments
    if isinstance(clip, (list, tuple)):
        return (list(clip),)
    t = clip.shape[2]
    return (
        [
            clip if stride == 1 else clip.index_select(2, frames_of_pathway(t, stride).to(clip.device))
            for stride in module.pathways
        ],
    )
