"""Whether a model does what its card says, and if not, which stage is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidbench.records import ConfigError
from vidbench.utils import printable

GOLDEN_TOLERANCE = 0.01  # of a logit: the same network in two libraries differed by 0.00004, another network by units


@dataclass(frozen=True)
class Finding:
    """What one look at a model showed.

    Args:
        stage: what was looked at, one or two words.
        fine: whether it is as it should be.
        text: one sentence, with the numbers.
    """

    stage: str
    fine: bool
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """All findings about a model."""

    model: str
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        return 0 if all(finding.fine for finding in self.findings) else 1

    @property
    def summary(self) -> str:
        """A line a finding, for people."""
        lines = [f"{'fine ' if f.fine else 'WRONG'}  {f.stage}: {f.text}" for f in self.findings]
        return "\n".join([f"model  {self.model}", *lines])


def examine(config) -> Diagnosis:
    """Look at a model as a configuration says.

    Args:
        config: a ``vidbench.arguments.DoctorConfig``.

    Raises:
        VidbenchError: the model or a file cannot be used.
    """
    from vidbench import models

    config = config.checked()
    card = models.find_card(config.model)
    _check_has_golden(card)
    clip = read_clip(config.clip)
    model = models.load_model(card.name, config.weights, device=models.choose_device(config.device))
    return Diagnosis(card.name, (check_golden(model, clip),))


# ---------------------------------------------------------------------------------------------- published logits


def read_clip(paths) -> np.ndarray:
    """A clip that authors published as NumPy files.

    Args:
        paths: one ``.npy`` file, or several of the same frames whose channels go one behind the other.

    Returns:
        float32, shape (N, T, H, W, C).

    Raises:
        ConfigError: a file of another kind or shape, or with NaN or infinity.
    """
    parts = [_read_array(Path(path)) for path in paths]
    if len({part.shape[:-1] for part in parts}) > 1:
        shapes = " and ".join(str(part.shape) for part in parts)
        raise ConfigError(f"The clips are not of the same frames: their shapes are {shapes}.")
    return np.concatenate(parts, -1)


def check_golden(model, clip: np.ndarray) -> Finding:
    """Compare a model's logits on its authors' clip with those that they published.

    Args:
        model: a ``Model`` of kind ``torch`` whose card has golden logits.
        clip: float32 (1, T, H, W, C), as the network takes it but for the order of axes.

    Raises:
        ConfigError: no golden logits on the card, or a clip that is not the authors'.
    """
    golden = _check_has_golden(model.card)
    _check_clip(model, clip)
    (logits,) = logits_of_floats(model, clip)
    found = {name: float(logits[model.labels.index(name)]) for name in golden.logits}
    worst = max(found, key=lambda name: abs(found[name] - golden.logits[name]))
    norm, apart = float(np.linalg.norm(logits)), abs(found[worst] - golden.logits[worst])
    text = (
        f"{len(found)} published logits, the largest difference is {apart:.5f} ({worst}: {found[worst]:.4f}, published "
        f"{golden.logits[worst]:.4f}); length of all {norm:.4f}, published {golden.norm:.4f}"
    )
    return Finding("published logits", max(apart, abs(norm - golden.norm)) <= GOLDEN_TOLERANCE, text)


def logits_of_floats(model, clips: np.ndarray) -> np.ndarray:
    """Logits of clips that are scaled already.

    Args:
        model: a ``Model`` of kind ``torch``.
        clips: float32 (N, T, H, W, C).

    Returns:
        float32 (N, K).
    """
    import torch

    order = ["NTHWC".index(axis) for axis in model.spec.layout]
    batch = torch.from_numpy(clips).permute(order).contiguous().to(model.device)
    with torch.inference_mode():
        return model.network.module(batch).float().cpu().numpy()


def _check_has_golden(card):
    if card.golden is None or card.kind != "torch":
        from vidbench.models import CARDS

        known = ", ".join(name for name, other in CARDS.items() if other.golden)
        raise ConfigError(f"Nobody published logits of {card.name} for a clip; there are some of {known}.")
    return card.golden


def _check_clip(model, clip: np.ndarray) -> None:
    """Refuse a clip that cannot be the authors', in shape or values."""
    golden, channels = model.card.golden, len(model.spec.mean)
    if clip.shape[0] != 1 or clip.shape[-1] != channels:
        raise ConfigError(
            f"{model.card.name} is compared on {' and '.join(golden.clips)}, of shape (1, T, H, W, {channels}) "
            f"together, not {clip.shape}; see {golden.source}."
        )
    mean, std = np.array(model.spec.mean), np.array(model.spec.std)
    low, high = (-mean / std).min(), ((1 - mean) / std).max()
    if clip.min() < low - 1e-3 or clip.max() > high + 1e-3:
        raise ConfigError(
            f"The clip's values lie from {clip.min():.4g} to {clip.max():.4g}; the authors' lie in [{low:g}, {high:g}]."
        )


def _read_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise ConfigError(f"{printable(path)} is no NumPy file of numbers: {printable(problem, 120)}.") from None
    if not isinstance(array, np.ndarray) or array.ndim != 5 or array.dtype.kind != "f" or 0 in array.shape:
        kind = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise ConfigError(f"{printable(path)} must hold floats of shape (1, T, H, W, C), not {kind}.")
    if not np.isfinite(array).all():
        raise ConfigError(f"{printable(path)} holds NaN or infinity.")
    return array.astype(np.float32)


# ------------------------------------------------------------------------------------------------- the pixels' range

RANGES = {"[0, 1]": (0.0, 1.0), "[-1, 1]": (0.5, 0.5)}  # mean and std that make it


def probe_range(model, pixels: list[np.ndarray], classes: list[int] | None = None) -> Finding:
    """Which range of pixels a model's scores are surer with, on some clips; the model's own is left as it is.

    It can tell a range under which scores are flat or wrong from one under which they are not. It cannot prove a range:
    a network may be surer of a wrong class, so labelled clips say more than sure scores, and a few clips say little.

    Args:
        model: a ``Model`` that takes RGB.
        pixels: uint8 (V, T, H, W, 3), one array a video.
        classes: the true class of each video, where known; decides before sureness.
    """
    from vidbench.predict import average

    before, found = model.spec, {}
    try:
        for name, (mean, std) in RANGES.items():
            model.spec = replace(before, mean=(mean,) * 3, std=(std,) * 3)
            found[name] = np.stack([average(logits, model.spec) for logits in model.logits(pixels)])
    finally:
        model.spec = before
    sure = {name: float(scores.max(1).mean()) for name, scores in found.items()}
    words = [f"with {name} the best class has {sure[name]:.3f}" for name in found]
    best = max(sure, key=sure.get)
    if classes is not None:
        true = {name: float(scores[np.arange(len(classes)), classes].mean()) for name, scores in found.items()}
        words = [f"{word} and the true one {true[name]:.3f}" for word, name in zip(words, found)]
        best = max(true, key=true.get)
    own = next(
        (name for name, (mean, std) in RANGES.items() if before.mean == (mean,) * 3 and before.std == (std,) * 3), ""
    )
    text = f"{', '.join(words)} on average (n={len(pixels)}); the card says {own or 'neither'}"
    return Finding("pixel range", best == own or not own, text)
