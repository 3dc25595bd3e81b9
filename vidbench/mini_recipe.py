"""The recipe of the two mini networks that come with vidbench: how they were trained, and what was stored, measured."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.data import mini
from vidbench.data.decode import read_clip
from vidbench.data.process import resize, target_size
from vidbench.data.sample import middle_indices
from vidbench.intervals import proportion
from vidbench.metrics import percent
from vidbench.records import ConfigError, InputSpec
from vidbench.utils import atomic_writer, nearest_hint, sha256_of_file, write_json

# 160x120 halved exactly: bilinear scaling then averages four pixels, and nothing folds over.
MINI2D = InputSpec(8, None, (60, 80), (56, 72), (0.5,) * 3, (0.25,) * 3, sampling="uniform", layout="NCHW")
SPECS = {"mini2d": MINI2D, "mini_r2plus1d": dataclasses.replace(MINI2D, num_frames=16, layout="NCTHW")}
TRAIN_FRAMES = 32  # read of each training clip; augmentation picks from them


@dataclass(frozen=True)
class Recipe:
    """How a mini network is trained.

    Args:
        model: ``mini2d`` or ``mini_r2plus1d``.
        epochs: passes over the training clips.
        batch_size: clips; of each, the single-frame network sees two random frames.
        learning_rate: highest, after the warm-up; then half a cosine down to 0.
        weight_decay: AdamW's.
        reverse: also play clips backwards, with their pair's other label. Off for the single-frame network, which
            must be free to find any trace of direction in a frame.
        seed: of the weights, the order and the augmentation.
    """

    model: str
    epochs: int = 12
    batch_size: int = 32
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    reverse: bool = True
    seed: int = 0

    def __post_init__(self):
        if self.model not in SPECS:
            raise ConfigError(f"{self.model!r} is no mini network.{nearest_hint(self.model, SPECS)}")


RECIPES = {
    "mini2d": Recipe("mini2d", epochs=30, batch_size=64, reverse=False),
    "mini_r2plus1d": Recipe("mini_r2plus1d"),
}


# --- clips in memory -------------------------------------------------------------------------


def list_clips(root: str | os.PathLike, split: str) -> tuple[list[Path], np.ndarray]:
    """Paths of a vidmini split as its list gives them, and their labels, int64 (N,).

    Raises:
        ConfigError: the folder does not hold the split.
    """
    path = Path(root) / "splits" / f"{split}list01.txt"
    if not path.is_file():
        raise ConfigError(f"{root} holds no {split} split. Run: python scripts/make_mini.py {root} --split {split}")
    names = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    labels = [mini.CLASSES.index(name.split("/")[0]) for name in names]
    return [Path(root) / "videos" / name for name in names], np.array(labels, np.int64)


def load_clips(paths: Sequence[Path], num_frames: int, size: int | tuple[int, int] = (60, 80)) -> np.ndarray:
    """``num_frames`` from the middle of equal shares of each clip, uint8 (N, T, h, w, 3), not yet cropped."""
    out = None
    for number, path in enumerate(paths):
        frames = read_clip(path, lambda table: middle_indices(table.num_frames, num_frames)).frames
        _, h, w, _ = frames.shape
        frames = resize(frames, target_size(h, w, size))
        if out is None:
            out = np.empty((len(paths), *frames.shape), np.uint8)
        out[number] = frames
    assert out is not None, "at least one clip"
    return out


# --- augmentation ----------------------------------------------------------------------------


def _swapped(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Class index to class index, int64 (K,), with the two of each pair exchanged."""
    partner = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    return np.array([mini.CLASSES.index(partner.get(name, name)) for name in mini.CLASSES])


MIRRORED = _swapped([("LeftToRight", "RightToLeft")])
REVERSED = _swapped(mini.PAIRS)


def augment(rng: np.random.Generator, clip: np.ndarray, label: int, recipe: Recipe) -> tuple[np.ndarray, int]:
    """A random view of a training clip, with the label it then has.

    A window of the clip's frames, a random crop, the mirror image (left to right becomes right to left), with
    ``recipe.reverse`` the clip backwards (each order class becomes its partner), exchanged colour channels, negative,
    contrast, brightness, noise.

    Args:
        rng: what is random about the view; advanced by the call.
        clip: uint8 (T, h, w, 3).
        label: class index of the clip.
        recipe: which model, and whether clips are turned round.

    Returns:
        float32 (T', 3, h', w'), normalised, T' = 16, or two random frames for the single-frame network; its label.
    """
    spec = SPECS[recipe.model]
    t, h, w, _ = clip.shape
    if recipe.model == "mini2d":
        chosen = rng.integers(0, t, 2)
    else:
        length = int(rng.integers(t - 4, t + 1))
        chosen = rng.integers(0, t - length + 1) + middle_indices(length, spec.num_frames)
    top, left = rng.integers(0, h - spec.crop[0] + 1), rng.integers(0, w - spec.crop[1] + 1)
    clip = clip[chosen, top : top + spec.crop[0], left : left + spec.crop[1]]
    if rng.random() < 0.5:
        clip, label = clip[:, :, ::-1], MIRRORED[label]
    if recipe.reverse and rng.random() < 0.5:
        clip, label = clip[::-1], REVERSED[label]
    clip = clip[..., rng.permutation(3)].astype(np.float32) / 255
    sign = rng.choice([-1, 1]) * rng.uniform(0.75, 1.25)
    clip = (clip - 0.5) * np.float32(sign) + np.float32(0.5 + rng.uniform(-0.12, 0.12))
    clip += rng.standard_normal((1, *clip.shape[1:3], 1), np.float32) * np.float32(rng.uniform(0, 0.03))
    return (clip.transpose(0, 3, 1, 2) - 0.5) / 0.25, int(label)


# --- training --------------------------------------------------------------------------------


def build(model: str):
    """A mini network with weights from torch's current seed."""
    from vidbench.nets.mini import build_mini2d, build_mini_r2plus1d

    return {"mini2d": build_mini2d, "mini_r2plus1d": build_mini_r2plus1d}[model](len(mini.CLASSES))


def fit(clips: np.ndarray, labels: np.ndarray, recipe: Recipe, *, tell: Callable[[str], None] = lambda line: None):
    """Train a mini network.

    Args:
        clips: uint8 (N, T, h, w, 3) from ``load_clips``.
        labels: int64 (N,).
        recipe: the model and how it is trained; the same recipe gives the same weights on the same machine.
        tell: gets one line an epoch.

    Returns:
        The network, in evaluation mode.
    """
    import torch

    torch.manual_seed(recipe.seed)
    network = build(recipe.model).train()
    layout = torch.channels_last if recipe.model == "mini2d" else torch.channels_last_3d
    network = network.to(memory_format=layout)
    optimiser = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    num_batches = len(clips) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _warm_cosine(recipe.epochs * num_batches))
    for epoch in range(recipe.epochs):
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(clips))
        losses = []
        for batch in order[: num_batches * recipe.batch_size].reshape(num_batches, -1):
            pixels, targets = _batch(clips, labels, batch, epoch, recipe)
            losses.append(_step(network, optimiser, pixels.contiguous(memory_format=layout), targets))
            schedule.step()
        tell(f"{recipe.model} epoch {epoch + 1}/{recipe.epochs}: loss {np.mean(losses):.3f}")
    return network.eval().to(memory_format=torch.contiguous_format)


def _warm_cosine(num_steps: int, warm: float = 0.08) -> Callable[[int], float]:
    def factor(step: int) -> float:
        share = (step + 1) / num_steps
        return share / warm if share < warm else 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warm) / (1 - warm))))

    return factor


def _batch(clips, labels, batch, epoch: int, recipe: Recipe):
    """Augmented tensors of some clips: (N, 3, T, H, W) or, of single frames, (2N, 3, H, W); targets."""
    import torch

    views, targets = [], []
    for index in batch:
        rng = np.random.default_rng([recipe.seed, epoch, int(index)])
        view, target = augment(rng, clips[index], labels[index], recipe)
        views.append(view)
        targets.append(target)
    pixels = torch.from_numpy(np.stack(views))
    if recipe.model == "mini2d":
        return pixels.flatten(0, 1), torch.tensor(targets).repeat_interleave(views[0].shape[0])
    return pixels.transpose(1, 2), torch.tensor(targets)


def _step(network, optimiser, pixels, targets) -> float:
    import torch

    with torch.autocast("cpu", torch.bfloat16):
        logits = network(pixels)
    loss = torch.nn.functional.cross_entropy(logits.float(), targets, label_smoothing=0.05)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
    optimiser.step()
    return loss.item()


# --- what was stored, measured ---------------------------------------------------------------


def save_weights(network, path: str | os.PathLike) -> None:
    """Write a network's weights as safetensors, float32."""
    from safetensors.torch import save

    with atomic_writer(path) as file:
        file.write(save({name: value.contiguous() for name, value in network.state_dict().items()}))


def load_weights(model: str, path: str | os.PathLike):
    """The network of a weights file that ``save_weights`` wrote, in evaluation mode."""
    from safetensors.torch import load_file

    network = build(model)
    network.load_state_dict(load_file(str(path)))
    return network.eval()


def score_clips(network, model: str, clips: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """Logits, float32 (N, K), of uncropped clips (N, T, h, w, 3) that hold the frames of the model's spec."""
    import torch

    spec = SPECS[model]
    h, w = spec.crop
    top, left = (clips.shape[2] - h) // 2, (clips.shape[3] - w) // 2
    out = []
    with torch.inference_mode():
        for start in range(0, len(clips), batch_size):
            part = torch.from_numpy(clips[start : start + batch_size, :, top : top + h, left : left + w].copy())
            pixels = ((part.float() / 255 - torch.tensor(spec.mean)) / torch.tensor(spec.std)).permute(0, 4, 1, 2, 3)
            if spec.layout == "NCHW":
                frames = pixels.transpose(1, 2).flatten(0, 1)
                out.append(network(frames).unflatten(0, (len(part), -1)).mean(1).numpy())
            else:
                out.append(network(pixels.contiguous()).numpy())
    return np.concatenate(out)


def order_report(scores: np.ndarray, labels: np.ndarray) -> dict:
    """Accuracy overall, on appearance classes, on order classes, and inside each pair.

    Inside a pair only its two classes compete, so 50 % is chance. Each value is
    ``{value, low, high, k, n}`` with a 95 % Wilson interval.

    Args:
        scores: float, (N, K) over ``mini.CLASSES``.
        labels: int, (N,).
    """
    names = np.array(mini.CLASSES)
    right = scores.argmax(1) == labels
    appearance = np.isin(labels, [mini.CLASSES.index(name) for name in mini.APPEARANCE])
    report: dict = {
        "top1": _share(right),
        "appearance": _share(right[appearance]),
        "order": _share(right[~appearance]),
        "inside_pairs": {},
    }
    everywhere = []
    for pair in mini.PAIRS:
        columns = [int(np.flatnonzero(names == name)[0]) for name in pair]
        rows = np.isin(labels, columns)
        inside = np.array(columns)[scores[rows][:, columns].argmax(1)] == labels[rows]
        report["inside_pairs"]["/".join(pair)] = _share(inside)
        everywhere.append(inside)
    report["inside_all_pairs"] = _share(np.concatenate(everywhere))
    return report


def report_lines(report: dict) -> str:
    """An ``order_report`` for people: the totals in one line, then one line a pair."""
    parts = [("top-1", "top1"), ("appearance", "appearance"), ("order", "order"), ("inside pairs", "inside_all_pairs")]
    text = ", ".join(f"{title} {percent(report[key])}" for title, key in parts)
    pairs = report["inside_pairs"].items()
    return text + "".join(f"\n    {pair} {percent(value)}, n={value['n']}" for pair, value in pairs)


def _share(right: np.ndarray) -> dict | None:
    return proportion(int(np.sum(right)), len(right))


def measure(model: str, weights: str | os.PathLike, root: str | os.PathLike) -> dict:
    """``order_report`` of stored weights on the test split in a folder, with the split's seed and size."""
    paths, labels = list_clips(root, "test")
    spec = SPECS[model]
    scores = score_clips(load_weights(model, weights), model, load_clips(paths, spec.num_frames, spec.resize))
    entry = mini.read_manifest(root)["splits"]["test"]
    return {"split_seed": entry["seed"], "per_class": entry["per_class"], **order_report(scores, labels)}


def write_card(path: str | os.PathLike, recipe: Recipe, weights: str | os.PathLike, facts: dict) -> None:
    """Write a weights file's side file: what it is, the recipe, the input, and ``facts``."""
    import torch

    spec = dataclasses.asdict(SPECS[recipe.model])
    card = {
        "schema": 1,
        "name": f"{recipe.model}.vidmini_v1",
        "build": f"vidbench.nets.mini:build_{recipe.model}",
        "labels": list(mini.CLASSES),
        "input": spec,
        "license": "Apache-2.0",
        "sha256": sha256_of_file(weights),
        "num_bytes": Path(weights).stat().st_size,
        "num_parameters": sum(value.numel() for value in build(recipe.model).parameters()),
        "recipe": {**dataclasses.asdict(recipe), "drawing": mini.RECIPE},
        "trained_with": {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": "cpu"},
        **facts,
    }
    write_json(path, card)


# --- how hard the set is ---------------------------------------------------------------------


def thumbnail_features(clips: np.ndarray, kind: str) -> np.ndarray:
    """Float32 (N, F) of 12x9 thumbnails of clips (N, T, h, w, 3).

    ``kind``: ``ordered`` (8 frames one after the other), ``mean`` (of those 8) or ``middle`` (one frame).
    """
    n, t = clips.shape[:2]
    wanted = middle_indices(t, 1 if kind == "middle" else 8)
    small = resize(clips[:, wanted].reshape(-1, *clips.shape[2:]), (27, 36)).reshape(n, len(wanted), 9, 3, 12, 3, 3)
    small = small.astype(np.float32).mean((3, 5)) / 255
    return (small.mean(1) if kind == "mean" else small).reshape(n, -1)


def hardness(train: tuple, test: tuple, kinds: Sequence[str] = ("ordered", "mean", "middle")) -> dict:
    """What logistic regression on thumbnails gets, by kind of thumbnail.

    Accuracy overall and on appearance classes is that of one model of all classes; inside each pair it is that of a
    model of this pair alone, which has nothing else to learn.

    Args:
        train: ``(clips, labels)`` from ``load_clips`` and ``list_clips``.
        test: likewise, of other groups.
        kinds: what a thumbnail is made of, see ``thumbnail_features``.

    Returns:
        By kind, the keys of ``order_report``.
    """
    report = {}
    for kind in kinds:
        features, held_out = (thumbnail_features(clips, kind) for clips, _ in (train, test))
        scores = _linear_scores(features, train[1], held_out)
        report[kind] = order_report(scores, test[1])
        for pair in mini.PAIRS:
            columns = [mini.CLASSES.index(name) for name in pair]
            rows, wanted = np.isin(train[1], columns), np.isin(test[1], columns)
            scores[wanted] = _linear_scores(features[rows], train[1][rows], held_out[wanted])
        inside = order_report(scores, test[1])
        report[kind] |= {key: inside[key] for key in ("inside_pairs", "inside_all_pairs")}
    return report


def _linear_scores(features, labels, held_out, strength: float = 1e-3) -> np.ndarray:
    """Float (N, K) scores of a logistic regression; -inf for classes that it was not shown."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=strength, max_iter=300).fit(scaler.transform(features), labels)
    scores = np.full((len(held_out), len(mini.CLASSES)), -np.inf)
    scores[:, model.classes_] = model.predict_log_proba(scaler.transform(held_out))
    return scores
