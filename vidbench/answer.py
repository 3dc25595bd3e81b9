"""What a model says about a few videos, files or web addresses: a table or JSON, and one sentence for each that cannot
be read."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vidbench.data.decode import Limits
from vidbench.data.download import KEPT, download
from vidbench.data.load import ViewReader
from vidbench.data.web import Patience, is_address, megabytes
from vidbench.manifest_words import frames_words, views_words
from vidbench.models import Model, load_model
from vidbench.predict import average, top
from vidbench.records import FetchError, UnreadableVideo, VideoRecord, Views
from vidbench.utils import printable, without_login

DEFAULT_MODEL = "mini_r2plus1d.vidmini_v1"
SKIPPED = 3  # exit status: done, but some files could not be read
MOST_BYTES = 10**9  # of a file at an address
TOLD_EVERY_S = 10.0  # seconds between two lines about a file that is being fetched


def answer(config, *, tell: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Ask a model about each file, and say what it says as soon as it is known.

    Args:
        config: an ``ask_arguments.PredictConfig``.
        tell: takes lines of the answer.
        warn: takes sentences about files that cannot be read, about what the answer is worth, and about how far a
            file at an address is.

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
    for path, item in ask(model, config, warn):
        skipped += isinstance(item, UnreadableVideo)
        if isinstance(item, UnreadableVideo):
            warn(f"{printable(path)}: {item.reason} ({item.status})")
        elif not config.json:
            tell(block(path, item))
        found.append({"path": path, **as_json(item)})
    if config.json:
        tell(json.dumps({"model": model.card.name, "weights": model.weights_source, "videos": found}, indent=1))
    return SKIPPED if skipped else 0


def ask(model: Model, config, warn: Callable[[str], None]) -> Iterator[tuple[str, dict | UnreadableVideo]]:
    """Each file with its answer, in the order given: ``status``, ``reason`` and ``top``, or why there is none.

    An address is given without user and password. One file at a time is fetched, and removed once it is answered.
    """
    limits = Limits(seconds=config.timeout)
    ahead = 1 if any(map(is_address, config.videos)) else None  # no answer waits for files that are still to come
    reading = ViewReader(os.getcwd(), model.spec, num_workers=1, decoder=config.decoder, limits=limits, ahead=ahead)
    with tempfile.TemporaryDirectory(prefix="vidbench-") as folder, reading as reader:
        records = ((path, record_of(path, Path(folder), config.ca_bundle, warn)) for path in config.videos)
        for path, views in reader.stream(records):
            answered = views if isinstance(views, UnreadableVideo) else _judged(model, views, config.top)
            yield (without_login(path) if is_address(path) else path), answered
            for fetched in Path(folder).iterdir():
                fetched.unlink()


def record_of(path: str, folder: Path, ca_bundle: str | None, warn: Callable[[str], None]) -> VideoRecord:
    """A file to ask about, fetched first where it is an address; ``missing``, and why, where it cannot be had.

    Args:
        path: of a file or a folder of pictures, or an http or https address.
        folder: what is fetched lies there; empty.
        ca_bundle: as for ``download``.
        warn: told how far it is, where fetching takes longer than ``TOLD_EVERY_S``.
    """
    if not is_address(path):
        return VideoRecord(path, os.path.abspath(path))
    ending = re.search(r"\.[a-z0-9]{1,8}$", urllib.parse.urlsplit(path).path, re.IGNORECASE)
    target = folder / f"video{ending[0] if ending else ''}"
    try:
        download(
            path, target, ca_bundle=ca_bundle, most_bytes=MOST_BYTES, patience=Patience(tries=3),
            progress=_telling(without_login(path), warn),
        )  # fmt: skip
    except FetchError as problem:
        reason = re.sub(r"^https?://\S+ ", "", str(problem))  # the answer names the address itself
        reason = reason.removesuffix(".").removesuffix(f"; {KEPT}")
        return VideoRecord(path, str(target), status="missing", reason=reason)
    return VideoRecord(path, str(target))


def _telling(address: str, warn: Callable[[str], None]) -> Callable[[int, int | None], None]:
    """What ``download`` calls with bytes done and in all; says them where fetching takes long."""
    told = time.monotonic()

    def heard(done: int, total: int | None) -> None:
        nonlocal told
        if time.monotonic() - told >= TOLD_EVERY_S:
            told = time.monotonic()
            of = f" of {megabytes(total)}" if total is not None else ""
            warn(f"fetching {printable(address)}: {megabytes(done)}{of}")

    return heard


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
