"""Image filters to video filters: two-dimensional weights get a time axis.

Two ways are in use. ``mean`` repeats a filter over time and divides by the length, so that a still video gives, away
from its first and last frames, what the image gives (I3D, https://arxiv.org/abs/1705.07750). ``centre`` puts it into
the middle of the time axis and leaves zeros around it, so that the video network begins as the image network applied
to single frames, at the borders too (used in https://arxiv.org/abs/1712.09184).
"""

from __future__ import annotations

import torch

WAYS = ("mean", "centre")


def inflate(weight: torch.Tensor, length: int, how: str = "mean") -> torch.Tensor:
    """A two-dimensional filter with a time axis.

    Args:
        weight: (O, I, H, W).
        length: frames that the new filter sees, odd for ``centre``.
        how: ``mean`` or ``centre``.

    Returns:
        (O, I, ``length``, H, W), of the same type, in memory of its own; its sum over time is ``weight``.

    Raises:
        ValueError: an unknown way, a length below 1, an even one for ``centre``, or a weight of other axes.

    >>> inflate(torch.ones(1, 1, 1, 1), 5).flatten()
    tensor([0.2000, 0.2000, 0.2000, 0.2000, 0.2000])
    >>> inflate(torch.ones(1, 1, 1, 1), 3, "centre").flatten()
    tensor([0., 1., 0.])
    """
    if how not in WAYS or weight.dim() != 4 or length < 1 or (how == "centre" and length % 2 == 0):
        raise ValueError(f"cannot inflate a weight of shape {tuple(weight.shape)} to {length=} by {how!r}")
    if how == "mean":
        return (weight / length).unsqueeze(2).repeat(1, 1, length, 1, 1)
    grown = weight.new_zeros(*weight.shape[:2], length, *weight.shape[2:])
    grown[:, :, length // 2] = weight
    return grown


def inflate_tensors(tensors: dict, shapes: dict, how: str = "mean") -> dict:
    """An image network's tensors for a video network of the same names.

    Args:
        tensors: ``{name: tensor}``; those with another shape in the video network must be filters (O, I, H, W) that
            have a time axis there.
        shapes: the video network's ``{name: shape}``.
        how: as for ``inflate``.

    Returns:
        ``{name: tensor}`` for each name given.

    Raises:
        KeyError: a name that the video network does not have.
        ValueError: a shape that only a time axis does not explain.
    """
    found = {}
    for name, tensor in tensors.items():
        shape = tuple(shapes[name])
        grown = tensor.dim() == 4 and len(shape) == 5
        found[name] = inflate(tensor, shape[2], how) if grown else tensor
        if tuple(found[name].shape) != shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)} in the image network and {shape} in the video network")
    return found


def deflate(weight: torch.Tensor) -> torch.Tensor:
    """A filter's sum over time: what it does to a still video, (O, I, T, H, W) to (O, I, 1, H, W).

    >>> deflate(inflate(torch.ones(1, 1, 1, 1), 5)).shape
    torch.Size([1, 1, 1, 1, 1])
    """
    return weight.sum(2, keepdim=True)
