"""Checkpoints of our own training: weights that carry their card, in one safetensors file.

The card lies as JSON in the file's own header, so that the two cannot be parted; a copy for people lies beside it. It
names the network by a card of ours, never by code, and reading it runs nothing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

from vidbench.cards.card import ModelCard, Weights
from vidbench.records import InputSpec, WeightsError
from vidbench.utils import atomic_writer, printable, write_json

KEY, SCHEMA = "vidbench", 1
MOST_HEADER = 64 << 20  # bytes
KINDS = {"name": str, "network": str, "options": dict, "labels": list, "label_space": str, "input": dict}


def write_trained(path: str | os.PathLike, tensors: dict, facts: dict) -> None:
    """Write weights with their card, and the card once more as ``.json`` beside them.

    Args:
        path: ends in ``.safetensors``.
        tensors: ``{name: tensor}``, the network's state.
        facts: JSON values: those of ``KINDS``, and anything else that should travel: recipe, data, metrics.
    """
    from safetensors.torch import save

    path, facts = Path(path), {"schema": SCHEMA, **facts}
    text = json.dumps(facts, allow_nan=False)
    kept = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with atomic_writer(path) as file:
        file.write(save(kept, metadata={KEY: text}))
    write_json(path.with_suffix(".json"), facts)


def read_facts(path: str | os.PathLike | None) -> dict | None:
    """The card of a checkpoint as plain JSON values; ``None`` for a file that carries none, whatever it is.

    Raises:
        WeightsError: it carries a card that cannot be used, or is another part of a training's folder.
    """
    _refuse_beside(path)
    text = (_header_of(path) or {}).get("__metadata__", {})
    text = text.get(KEY) if isinstance(text, dict) else None
    if not isinstance(text, str):
        return None
    name = printable(path, 200)
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        raise WeightsError(f"The card in {name} is no JSON; the file was changed after training.") from None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        schema = printable(facts.get("schema"), 20) if isinstance(facts, dict) else "none"
        raise WeightsError(f"The card in {name} has schema {schema}, this version reads {SCHEMA}.")
    if wrong := [key for key, kind in KINDS.items() if not isinstance(facts.get(key), kind)]:
        raise WeightsError(f"The card in {name} does not say {', '.join(wrong)}.")
    return facts


def _refuse_beside(path: str | os.PathLike | None) -> None:
    """Name the weights where a training's folder, or a file beside them, is taken for them."""
    if path is None or not (os.path.isdir(path) or os.path.basename(path) in ("last.ckpt", "best.json", "last.json")):
        return
    folder = os.fspath(path) if os.path.isdir(path) else os.path.dirname(path)
    best = os.path.join(folder, "best.safetensors")
    if os.path.isfile(best):
        what = "the folder of a training" if folder == os.fspath(path) else "not the weights of a training"
        raise WeightsError(f"{printable(path, 200)} is {what}: pass its {printable(best, 200)}.")


def _header_of(path: str | os.PathLike | None) -> dict | None:
    if path is None or not str(path).endswith(".safetensors") or not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 0 < length <= min(MOST_HEADER, os.path.getsize(path) - 8):
                return None
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError):
        return None  # reading the weights will say what is wrong with them
    return header if isinstance(header, dict) else None


def card_of(path: str | os.PathLike, facts: dict, base: ModelCard) -> ModelCard:
    """The card of a checkpoint.

    Args:
        path: the file, for messages and as where the weights come from.
        facts: from ``read_facts``.
        base: the card that ``facts["network"]`` names, with ``facts["options"]``.

    Raises:
        WeightsError: an input or class names that cannot be.
    """
    labels = tuple(facts["labels"])
    try:
        spec = spec_from_json(facts["input"])
    except (TypeError, ValueError):
        raise WeightsError(f"The card in {printable(path, 200)} names an input that cannot be.") from None
    if not labels or len(set(labels)) != len(labels) or not all(isinstance(label, str) for label in labels):
        raise WeightsError(f"The card in {printable(path, 200)} has class names that cannot be.")
    return replace(
        base,
        name=facts["name"],
        weights=Weights(str(path), license="yours: trained here"),
        labels=facts["label_space"],
        label_names=labels,
        num_classes=len(labels),
        input=spec,
        reported=None,
        convert="",
        golden=None,
        notes=f"Trained here: {facts.get('summary', 'no figures')}",
    )


def spec_as_json(spec: InputSpec) -> dict:
    """An input as JSON values; ``spec_from_json`` reads it back."""
    return json.loads(json.dumps(dataclasses.asdict(spec)))


def spec_from_json(values: dict) -> InputSpec:
    """The input again; raises ``TypeError`` or ``ValueError`` for what is none."""
    fields: dict = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    spec = InputSpec(**fields)
    numbers = (spec.num_frames, *spec.crop, *spec.mean, *spec.std)
    if len(spec.crop) != 2 or not all(isinstance(value, (int, float)) for value in numbers):
        raise ValueError("not an input")
    return spec
