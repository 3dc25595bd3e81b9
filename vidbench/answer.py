"""What a model says about a few video files: a table or JSON, and one sentence for a file that cannot be read."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator

import numpy as np

from vidbench.data.decode import Limits
from vidbench.data.load import ViewReader
from vidbench.manifest_words import frames_words, views_words
from vidbench.models import Model, load_model
from vidbench.predict import average, top
from vidbench.records import UnreadableVideo, VideoRecord, Views
from vidbench.utils import printable

DEFAULT_MODEL = "mini_r2plus1d.vidmini_v1"
SKIPPED = 3  # exit status: done, but some files could not be read


def answer(config, *, tell: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Ask a model about each file, and say what it says as soon as it is known.

    Args:
        config: an ``ask_arguments.PredictConfig``.
        tell: takes lines of the answer.
        warn: takes sentences about files that cannot be read, and about what the answer is worth.

    Returns:
        The exit status: 0, or 3 where a file could not be read.

    Raises:
        ConfigError: an unknown model, or a device that is not there.
        WeightsError: weights that cannot be had.
    """
    name = config.model or (None if config.weights not in (None, "random") else DEFAULT_MODEL)
    model = load_model(name, config.weights, device=config.device)
    if model.random_weights:
        warn("random weights: these answers are no result.")
    elif config.model is None and config.weights is None:
        warn(f"{DEFAULT_MODEL} knows vidmini's {len(model.labels)} drawn classes only; --model names another one.")
    if not config.json:
        tell(head(model))
    found, skipped = [], 0
    for path, item in ask(model, config):
        skipped += isinstance(item, UnreadableVideo)
        if isinstance(item, UnreadableVideo):
            warn(f"{printable(path)}: {item.reason} ({item.status})")
        elif not config.json:
            tell(block(path, item))
        found.append({"path": path, **as_json(item)})
    if config.json:
        tell(json.dumps({"model": model.card.name, "weights": model.weights_source, "videos": found}, indent=1))
    return SKIPPED if skipped else 0


def ask(model: Model, config) -> Iterator[tuple[str, dict | UnreadableVideo]]:
    """Each file with its answer, in the order given: ``status``, ``reason`` and ``top``, or why there is none."""
    limits = Limits(seconds=config.timeout)
    records = ((path, VideoRecord(path, os.path.abspath(path))) for path in config.videos)
    with ViewReader(os.getcwd(), model.spec, num_workers=1, decoder=config.decoder, limits=limits) as reader:
        for path, views in reader.stream(records):
            yield path, views if isinstance(views, UnreadableVideo) else _judged(model, views, config.top)


def _judged(model: Model, views: Views, num_shown: int) -> dict | UnreadableVideo:
    (logits,) = model.logits([views.pixels])
    if not np.isfinite(logits).all():
        return UnreadableVideo("nonfinite", "the network gave NaN or infinity")
    scores = average(logits, model.spec)
    best = [(model.labels[k], round(float(scores[k]), 6)) for k in top(scores, num_shown)]
    return {"status": views.status, "reason": views.reason, "top": best}


def head(model: Model) -> str:
    """One line: the model, its classes, its views, and where it computes."""
    spec = dataclasses.asdict(model.spec)
    classes = f"{len(model.labels)} classes of {model.card.labels or 'its own'}"
    return (
        f"{model.card.name}: {classes}, {views_words(spec)}, {frames_words(spec)}, {model.precision} on {model.device}"
    )


def block(path: str, item: dict) -> str:
    """The lines of one file."""
    partial = f" (partial: {item['reason']})" if item["status"] == "partial" else ""
    lines = [printable(path) + partial]
    return "\n".join([*lines, *(f"  {score:7.1%}  {printable(label)}" for label, score in item["top"])])


def as_json(item: dict | UnreadableVideo) -> dict:
    """The answer to one file as plain values."""
    if isinstance(item, UnreadableVideo):
        return {"status": item.status, "reason": item.reason, "top": []}
    return {**item, "top": [{"label": label, "probability": score} for label, score in item["top"]]}
