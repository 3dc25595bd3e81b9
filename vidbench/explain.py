"""Where and when a network looks: Grad-CAM in space and time.

Grad-CAM (Selvaraju et al., https://arxiv.org/abs/1610.02391) weighs the channels of a layer by how much the score of a
class would rise with them, and sums. It says where evidence for that class was found, not why, and only as finely as
the layer's grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vidbench.records import ConfigError, InputSpec, UnreadableVideo, needs
from vidbench.utils import nearest_hint, printable


def grad_cam(model, pixels: np.ndarray, label: str | None = None, *, layer: str | None = None) -> np.ndarray:
    """Where and when a torch model found evidence for a class in one view.

    Computed by captum's ``LayerGradCam`` in float32. A network that scores frames apart and averages them gets one map
    a frame; one over space and time gets the layer's own steps in time, spread linearly over the frames.

    Args:
        model: a ``Model`` of kind ``torch``, fed as its ``spec`` says.
        pixels: uint8, shape (T, H, W, 3), RGB: one view, as ``vidbench.data.load.read_views`` gives it.
        label: class to explain; ``None`` for the model's best one.
        layer: dotted name of a module, as in ``dict(module.named_modules())``; ``None`` for ``default_layer``.

    Returns:
        float32, shape (T, H, W), in [0, 1]: evidence divided by its maximum, negative evidence set to 0; all 0 where
        there is none.

    Raises:
        ConfigError: a model that is no torch network, an unknown class or layer, or a layer whose output has no axes
            of space.
        ValueError: pixels of another type or shape.
        UnreadableVideo: ``nonfinite``, where the network or its gradients give NaN or infinity.
    """
    import torch

    with needs("Grad-CAM", "course"):
        from captum.attr import LayerGradCam

    module = _module(model)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise ValueError(f"a view must be uint8 (T, H, W, 3), not {pixels.dtype} {pixels.shape}")
    target = _target(model, pixels, label)
    name, of_input = (layer, False) if layer else default_layer(model, pixels)
    modules = dict(module.named_modules())
    if name not in modules:
        raise ConfigError(f"{model.card.name} has no layer {printable(name, 80)!r}.{nearest_hint(name, modules)}")
    explainer = LayerGradCam(_scores_of_view(model), modules[name])
    with torch.enable_grad():
        found = explainer.attribute(_batch(model, pixels), target=target, attribute_to_layer_input=of_input)
    found = found[0] if isinstance(found, tuple) else found
    return _heat(found.detach().float().cpu(), pixels.shape[:3], name)


def default_layer(model, pixels: np.ndarray) -> tuple[str, bool]:
    """The last feature map of a network that still has a grid in space, found by running it once.

    Args:
        model: a ``Model`` of kind ``torch``.
        pixels: one view, uint8 (T, H, W, 3).

    Returns:
        The module's dotted name, and whether its input is meant and not its output (the input of a final pooling
        layer, say).

    Raises:
        ConfigError: there is none that all the evidence passes, because tokens come after it, as in transformers.
    """
    import torch

    module = _module(model)
    seen: list[tuple[str, bool] | None] = [None]

    def watch(name):
        def hook(_, arguments, output):
            for of_input, value in ((True, arguments[0] if arguments else None), (False, output)):
                if _is_map(value, len(pixels)):
                    seen.append((name, of_input))
                elif _are_tokens(value, len(pixels)):
                    seen.append(None)

        return hook

    handles = [part.register_forward_hook(watch(name)) for name, part in module.named_modules() if name]
    try:
        with torch.inference_mode():
            module(_batch(model, pixels))
    finally:
        for handle in handles:
            handle.remove()
    if seen[-1] is None:
        raise ConfigError(
            f"{model.card.name} ends without a feature map that has axes of space, which Grad-CAM needs; name a layer."
        )
    return seen[-1]


def frames_seen(module, layers: Sequence[str], batch, *, channels: int = 1) -> np.ndarray:
    """How strongly each frame of a clip reaches the middle of a layer's output: its receptive field in time.

    Args:
        module: a ``torch.nn.Module``; random weights will do, since only what is connected matters.
        layers: dotted names of parts of it that give one tensor each, the clip's first; computed in one pass.
        batch: float32 (1, 3, T, H, W), on the module's device.
        channels: the axis of the outputs that counts channels; of all others the middle is taken.

    Returns:
        float64, shape (L, T): the length of the gradient with respect to each frame; 0 where a frame is not seen.

    Raises:
        ConfigError: no such layer.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Conv3d(3, 2, (3, 1, 1), padding=(1, 0, 0)), torch.nn.Conv3d(2, 2, 1))
    >>> (frames_seen(net, ["1"], torch.ones(1, 3, 7, 2, 2)) > 0).astype(int)
    array([[0, 0, 1, 1, 1, 0, 0]])
    """
    import torch

    parts = dict(module.named_modules())
    for layer in layers:
        if layer not in parts:
            raise ConfigError(f"The network has no layer {printable(layer, 80)!r}.{nearest_hint(layer, parts)}")
    seen, batch = {}, batch.detach().clone().requires_grad_()
    handles = [
        parts[layer].register_forward_hook(lambda _, arguments, output, layer=layer: seen.update({layer: output}))
        for layer in layers
    ]
    try:
        with torch.enable_grad():
            module(batch)
            middles = [_middle(seen[layer].movedim(channels, -1)[0]).square().sum() for layer in layers]
            found = [torch.autograd.grad(middle, batch, retain_graph=True)[0][0] for middle in middles]
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(found).double().square().sum((1, 3, 4)).sqrt().cpu().numpy()


def _middle(value):
    """The channels (C,) at the middle of all other axes."""
    while value.dim() > 1:
        value = value[len(value) // 2]
    return value


def view_of_mask(mask: np.ndarray, indices: np.ndarray, spec: InputSpec) -> np.ndarray:
    """A mask of a video's frames as one view of it: the same frames, resized and cropped like the pictures.

    Args:
        mask: bool, shape (N, H, W), one picture a frame of the video.
        indices: int64, shape (T,): the frames of the view, a row of ``Views.indices``.
        spec: with one crop.

    Returns:
        bool, shape (T, h, w).
    """
    from vidbench.data.process import views_from_frames

    pictures = np.repeat(mask[indices].astype(np.uint8)[..., None] * 255, 3, axis=-1)
    (view,) = views_from_frames(pictures, np.arange(len(indices))[None], replace(spec, num_crops=1))
    return view[..., 0] > 127


def _module(model):
    module = getattr(model.network, "module", None)
    if module is None:
        raise ConfigError(f"Grad-CAM needs the gradients of a torch network, which {model.card.name} does not give.")
    return module


def _target(model, pixels: np.ndarray, label: str | None) -> int:
    if label is None:
        return int(model.logits([pixels[None]])[0][0].argmax())
    if label not in model.labels:
        raise ConfigError(
            f"{model.card.name} has no class {printable(label, 80)!r}.{nearest_hint(label, model.labels)}"
        )
    return model.labels.index(label)


def _batch(model, pixels: np.ndarray):
    """The view as the network takes it, float32 on its device: (1, 3, T, H, W), or (T, 3, H, W) for ``NCHW``."""
    import torch

    from vidbench.data.process import normalise

    return torch.from_numpy(normalise(pixels[None], model.spec)).to(model.device)


def _scores_of_view(model):
    """The network as one function from a batch to logits (1, K), frames averaged where it scores them apart."""
    module = _module(model)
    if model.spec.layout == "NCHW":
        return lambda batch: module(batch).mean(0, keepdim=True)
    return module


def _is_map(value, num_frames: int) -> bool:
    """Whether a value is a feature map with a grid: (1, C, t, h, w), or (T, C, h, w) for frames apart."""
    shape: tuple[int, ...] = getattr(value, "shape", ())
    if len(shape) == 5:
        return shape[0] == 1 and shape[-1] * shape[-2] > 1
    return len(shape) == 4 and shape[0] == num_frames and shape[-1] * shape[-2] > 1


def _are_tokens(value, num_frames: int) -> bool:
    """Whether a value is a row of tokens (N, L, C) in which space has no axes of its own; not one row a frame."""
    shape: tuple[int, ...] = getattr(value, "shape", ())
    return len(shape) == 3 and shape[1] > num_frames


def _heat(found, size: tuple[int, int, int], name: str) -> np.ndarray:
    """Attributions (1, 1, t, h, w) or (T, 1, h, w) as heat (T, H, W) in [0, 1]."""
    from torch.nn.functional import interpolate

    if found.dim() == 4 and len(found) == size[0]:
        found = found.transpose(0, 1)[None]  # frames apart: (T, 1, h, w) to (1, 1, T, h, w)
    if found.dim() != 5:
        raise ConfigError(f"The output of layer {name} has no axes of space: {tuple(found.shape)} after Grad-CAM.")
    heat = interpolate(found.clamp(min=0), size, mode="trilinear", align_corners=False)[0, 0].numpy()
    most = float(heat.max())
    if not np.isfinite(heat).all():
        raise UnreadableVideo("nonfinite", "the network or its gradients gave NaN or infinity")
    return np.clip(heat / most, 0, 1).astype(np.float32) if most > 0 else np.zeros(size, np.float32)
