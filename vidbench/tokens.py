"""Video transformers see patches as tokens: where a TimeSformer attends, and which tubes of patches VideoMAE hides.

Attention says which patches a layer's answer was mixed from, not which were evidence for a class; Grad-CAM
(``vidbench.explain``) asks about a class.
"""

from __future__ import annotations

import numpy as np

from vidbench.records import ConfigError

GREY = 127  # level of a hidden patch


def attention(model, pixels: np.ndarray, *, layer: int = -1, over: str = "space") -> np.ndarray:
    """Attention of one layer of a TimeSformer in one view, as the network computes it.

    Args:
        model: a ``Model`` whose network is a TimeSformer.
        pixels: uint8, shape (T, H, W, 3), RGB: one view, as ``vidbench.data.load.read_views`` gives it.
        layer: index of the layer; negative ones count from the last.
        over: ``space``, what the class token takes from each patch; ``time``, what each patch takes from its own
            place in the other frames (divided attention only).

    Returns:
        float32 probabilities of A heads on a grid of h x w patches. ``space``: (A, T, h, w); the sum over a frame's
        patches (over all patches for joint attention) is 1 minus what the class token takes from itself. ``time``:
        (A, h, w, T, T), from frame to frame; the last axis sums to 1.

    Raises:
        ConfigError: another network, a layer that is not there, or attention over time where there is none.
        ValueError: pixels of another type or shape.
    """
    import torch

    from vidbench.data.process import normalise

    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3:
        raise ValueError(f"a view must be uint8 (T, H, W, 3), not {pixels.dtype} {pixels.shape}")
    config, block = _timesformer_block(model, layer)
    if over not in ("space", "time"):
        raise ConfigError(f"Attention is over space or time, not {over!r}.")
    if over == "time" and config.attention_type != "divided_space_time":
        raise ConfigError(f"{model.card.name} has no attention over time alone: its kind is {config.attention_type}.")
    part = block.attention if over == "space" else block.temporal_attention
    seen = []
    handle = part.attention.attn_drop.register_forward_hook(lambda module, arguments, output: seen.append(output))
    try:
        with torch.inference_mode():
            model.network.module(torch.from_numpy(normalise(pixels[None], model.spec)).to(model.device))
    finally:
        handle.remove()
    side = config.image_size // config.patch_size
    found = seen[0].float().cpu()
    if over == "time":  # (h * w, A, T, T)
        return found.unflatten(0, (side, side)).permute(2, 0, 1, 3, 4).numpy()
    return _from_class_token(found, len(pixels), side).numpy()


def attention_map(model, pixels: np.ndarray, *, layer: int = -1) -> np.ndarray:
    """Where a TimeSformer's class token looks, for a picture: ``attention`` over space, averaged over heads.

    Args:
        model: as for ``attention``.
        pixels: one view, uint8 (T, H, W, 3).
        layer: likewise.

    Returns:
        float32, shape (T, H, W), in [0, 1]: divided by its maximum; each patch has one value.

    Raises:
        ConfigError, ValueError: as ``attention``.
    """
    grid = attention(model, pixels, layer=layer).mean(0)
    return _enlarged(grid / grid.max(), pixels.shape[1:3]).astype(np.float32)


def tube_mask(grid: tuple[int, int, int], ratio: float = 0.9, *, seed: int = 0) -> np.ndarray:
    """Which tokens VideoMAE hides in pretraining: the same patches at all times, so that no neighbour gives them away.

    Args:
        grid: ``(T, h, w)``, tokens in time, down and across: for 16 frames of 224 x 224 (8, 14, 14).
        ratio: share of a frame's patches to hide, in [0, 1]; rounded down to whole patches.
        seed: of the draw.

    Returns:
        bool, shape (T, h, w), true where hidden; ``mask.reshape(1, -1)`` is what ``VideoMAEForPreTraining`` takes as
        ``bool_masked_pos``.

    Raises:
        ValueError: a size below 1, or a share outside [0, 1].

    Source:
        Tube masking with a ratio of 90 %, VideoMAE, https://arxiv.org/abs/2203.12602.

    >>> mask = tube_mask((4, 3, 5), 0.8)
    >>> int(mask[0].sum()), bool((mask == mask[0]).all())
    (12, True)
    """
    t, h, w = grid
    if min(grid) < 1 or not 0 <= ratio <= 1:
        raise ValueError(f"sizes must be at least 1 and the ratio in [0, 1], got {grid} and {ratio}")
    hidden = np.zeros(h * w, bool)
    hidden[np.random.default_rng(seed).permutation(h * w)[: int(ratio * h * w)]] = True
    return np.broadcast_to(hidden.reshape(1, h, w), (t, h, w)).copy()


def hide(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A view with the patches of a mask painted grey: what a masked autoencoder still sees.

    Args:
        pixels: uint8, shape (T, H, W, 3).
        mask: bool, shape (t, h, w); T, H and W are whole multiples of t, h and w.

    Returns:
        uint8, the same shape.

    Raises:
        ValueError: sizes that are no multiples.
    """
    steps = [whole / part for whole, part in zip(pixels.shape[:3], mask.shape, strict=True)]
    if not all(step == int(step) for step in steps):
        raise ValueError(f"a mask of {mask.shape} does not divide a view of {pixels.shape[:3]}")
    tubes = mask.repeat(int(steps[0]), axis=0)
    hidden = _enlarged(tubes, pixels.shape[1:3])
    return np.where(hidden[..., None], np.uint8(GREY), pixels)


def _timesformer_block(model, layer: int):
    module = getattr(model.network, "module", None)
    config = getattr(module, "config", None)
    if module is None or getattr(config, "model_type", "") != "timesformer":
        raise ConfigError(f"Attention is read from TimeSformers; {model.card.name} is none.")
    blocks = module.timesformer.encoder.layer
    if not -len(blocks) <= layer < len(blocks):
        raise ConfigError(f"{model.card.name} has {len(blocks)} layers, 0 to {len(blocks) - 1}, and no layer {layer}.")
    return config, blocks[layer]


def _from_class_token(found, num_frames: int, side: int):
    """(T, A, 1 + hw, 1 + hw), or (1, A, 1 + hwT, 1 + hwT) for joint attention, as (A, T, h, w)."""
    row = found[:, :, 0, 1:]
    if len(found) == num_frames and row.shape[-1] == side * side:
        return row.unflatten(-1, (side, side)).transpose(0, 1)
    return row[0].unflatten(-1, (side, side, num_frames)).permute(0, 3, 1, 2)  # a patch's frames are neighbours


def _enlarged(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(T, h, w) as (T, H, W), each value repeated over its patch."""
    return grid.repeat(size[0] // grid.shape[1], axis=1).repeat(size[1] // grid.shape[2], axis=2)
