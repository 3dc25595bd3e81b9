"""What ``--protocol`` asks a model to look at: the card's own views, a single one, or what a file says."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from vidbench.records import ConfigError, InputSpec
from vidbench.utils import nearest_hint, printable, sha256_of_file
from vidbench.views import AVERAGES

PRESETS = {
    "card": "the views of the card, those of the published figure",
    "fast": "one view: a single clip and its centre crop",
}
FLAGS = ("num_frames", "frame_rate", "num_clips", "num_crops", "average", "temporal", "corrupt")


def asked_input(spec: InputSpec, choice: str, given: Mapping) -> InputSpec:
    """The input of a run: the card's, changed by ``--protocol``, and then by the flags that were given.

    Args:
        spec: of the card.
        choice: one of ``PRESETS``, or the path of a file as ``read_protocol`` reads it.
        given: fields of ``InputSpec`` that flags set; ``None`` where one was not given.

    Raises:
        ConfigError: a file that cannot be used, more than one view of ``fast``, or a choice of frames for a network
            that takes a whole video frame by frame.
    """
    flags = {name: value for name, value in given.items() if value is not None}
    if choice == "fast":
        many = [f"--{name.replace('_', '-')} {flags[name]}" for name in ("num_clips", "num_crops") if name in flags]
        if any(flags.get(name, 1) != 1 for name in ("num_clips", "num_crops")):
            raise ConfigError(f"--protocol fast is one view, and {' '.join(many)} asks for more: leave one of them out")
        changed = {"num_crops": 1, **({} if spec.sampling == "stream" else {"num_clips": 1})}
    else:
        changed = {} if choice in PRESETS else read_protocol(choice)
    if spec.sampling == "stream" and (frames := {"num_frames", "num_clips", "sampling"} & {*changed, *flags}):
        names = " and ".join(sorted(frames))
        raise ConfigError(f"this model takes a whole video frame by frame: leave out {names}")
    return dataclasses.replace(spec, **changed | flags)


def read_protocol(path: str | os.PathLike) -> dict:
    """Fields of ``InputSpec`` from a JSON file, such as ``{"num_clips": 10, "num_crops": 3, "average": "logits"}``.

    Returns:
        The fields in the file and no others; lists as tuples, a crop of one number as a square.

    Raises:
        ConfigError: no such file, no JSON object, a field that is none, or a value that it cannot have.
    """
    where = f"--protocol {printable(path, 160)}"
    try:
        with open(path, encoding="utf-8") as file:
            values = json.loads(file.read(MOST_TEXT + 1))
    except OSError as problem:
        raise ConfigError(f"{where} cannot be read: {problem.strerror}; it is card, fast or a JSON file") from None
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{where} is no JSON: {printable(problem, 100)}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{where} holds no JSON object of fields such as num_clips and num_crops")
    for name, value in values.items():
        if name not in KINDS:
            raise ConfigError(f"{where} has a field {printable(name, 60)!r}.{nearest_hint(name, KINDS)}")
        allowed, check = KINDS[name]
        if not check(value):
            raise ConfigError(f"{where}: {name} must be {allowed}, not {printable(json.dumps(value), 60)}")
    if isinstance(values.get("crop"), int):
        values["crop"] = [values["crop"]] * 2
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _whole(low: int, high: int):
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _real(value, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low < value <= high


def _pixels(value) -> bool:
    several = value if isinstance(value, list) else [value]
    return (several is not value or len(value) == 2) and all(map(_whole(8, 8192), several))


def _colours(low: float):
    return lambda value: isinstance(value, list) and bool(value) and all(_real(item, low, 1000) for item in value)


def _among(names) -> tuple:
    return " or ".join(names), lambda value: isinstance(value, str) and value in names


MOST_TEXT = 1 << 20  # characters of a protocol file
KINDS = {  # field → what it may be, and the check
    "num_frames": ("a whole number from 1 to 10000", _whole(1, 10000)),
    "frame_rate": (
        "a number above 0, up to 1000, or null for every frame",
        lambda value: value is None or _real(value, 0, 1000),
    ),
    "sampling": _among(("clips", "clips_from_start", "dense", "uniform", "segments")),
    "num_clips": ("a whole number from 1 to 1000", _whole(1, 1000)),
    "num_crops": ("1, 3 or 10", lambda value: not isinstance(value, bool) and value in (1, 3, 10)),
    "resize": ("pixels of the short side, 8 to 8192, or [height, width]", _pixels),
    "crop": ("pixels, 8 to 8192, or [height, width]", _pixels),
    "mean": ("numbers, one a channel", _colours(-1000)),
    "std": ("numbers above 0, one a channel", _colours(0)),
    "average": _among(tuple(AVERAGES)),
    "short": _among(("repeat", "loop", "error")),
}


def asked_facts(choice: str) -> str | dict:
    """What a manifest keeps of ``--protocol``: its word, or name and hash of its file."""
    return choice if choice in PRESETS else {"file": Path(choice).name, "sha256": sha256_of_file(choice)}


def asked_words(manifest: Mapping) -> str:
    """``fast: 1 of the card's 30 views``; empty for the card's own protocol.

    >>> asked_words({"protocol": {"asked": "fast", "changed": {"num_clips": [10, 1], "num_crops": [3, 1]}}})
    "fast: 1 of the card's 30 views"
    """
    protocol = manifest.get("protocol")
    facts = protocol if isinstance(protocol, dict) else {}
    asked, changed = facts.get("asked"), facts.get("changed")
    changed = changed if isinstance(changed, dict) else {}
    if isinstance(asked, dict):
        return f"as {asked.get('file')} says"
    if asked != "fast":
        return ""
    pairs = [changed.get(name) for name in ("num_clips", "num_crops")]
    views = math.prod(pair[0] for pair in pairs if isinstance(pair, list) and pair and isinstance(pair[0], int))
    return f"fast: 1 of the card's {views} views" if views > 1 else "fast: the card's own single view"
