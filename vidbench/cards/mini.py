"""The two networks that come with vidbench, trained on its mini set."""

from __future__ import annotations

from vidbench.cards.card import ModelCard, Weights
from vidbench.records import InputSpec


def _mini(architecture: str, layout: str, num_frames: int, params: int, sha256: str, notes: str) -> ModelCard:
    # 160x120 halved exactly, so that bilinear scaling averages four pixels and nothing folds over. A pair, because the
    # crop is wider than a short side of 60: other shapes are stretched.
    geometry: dict = {"resize": (60, 80), "crop": (56, 72), "mean": (0.5,) * 3, "std": (0.25,) * 3}
    name = f"{architecture}.vidmini_v1"
    return ModelCard(
        name=name,
        build=f"vidbench.nets.mini:build_{architecture}",
        kind="torch",
        weights=Weights(f"{name}.safetensors", sha256=sha256, license="Apache-2.0"),
        labels="vidmini",
        num_classes=12,
        input=InputSpec(num_frames, None, **geometry, sampling="uniform", layout=layout),
        reported=None,
        params=params,
        notes=f"Trained here with `python scripts/train_mini.py --model {architecture}`, seed 0. {notes} All figures: "
        f"vidbench/weights/{name}.json.",
    )


CARDS = (
    _mini(
        "mini2d",
        "NCHW",
        8,
        489092,
        "6df6d6983f5be2cd5aaf713bd622212916d936ff41ba963fec2c3ea22cc76b45",
        "It scores single frames, so it is blind to the direction of time. Measured top-1: 67.4 % [59.3, 74.5], n=144, "
        "on the shipped test split; 65.2 % [62.4, 67.8], n=1200, on one drawn from another seed, where inside pairs "
        "that differ by the direction of time alone it is right in 48.6 % [45.2, 52.1], n=800.",
    ),
    _mini(
        "mini_r2plus1d",
        "NCTHW",
        16,
        247420,
        "2d98e7bd1b5a9d26b8ec9fbdfba2301dc9acd5604097b32c3422e8a30f3eed5b",
        "Measured top-1: 100.0 % [97.4, 100.0], n=144, on the shipped test split; 98.5 % [97.6, 99.0], n=1200, on one "
        "drawn from another seed, where inside pairs that differ by the direction of time alone it is right in 100.0 % "
        "[99.5, 100.0], n=800.",
    ),
)
