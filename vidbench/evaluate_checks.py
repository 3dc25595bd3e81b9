"""Whether the options of an evaluation go together, with the cards that they name, and with the files here.

``config`` is an ``evaluate_arguments.EvaluateConfig``. Each check raises ``OptionError``.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re

from vidbench.asked import FLAGS, asked_input
from vidbench.data.parents import SHIPPED, parents_facts
from vidbench.flags import OptionError
from vidbench.option_kinds import LABEL_MAPS, about, check_exists, check_weights
from vidbench.published import find_result
from vidbench.records import ConfigError
from vidbench.utils import nearest_hint, quoted


def with_checkpoint_defaults(config):
    """Model and dataset as a checkpoint of ``scripts/train.py`` says, where they were not given."""
    from vidbench import trained

    with about("weights"):
        facts = trained.read_facts(config.weights) or {}
    known = {"model": facts.get("name"), "dataset": facts.get("dataset", {}).get("name")}
    lacking = [name for name, value in known.items() if getattr(config, name) is None and not value]
    if lacking:
        raise ConfigError(
            f"{' and '.join('--' + name for name in lacking)} must be given, on the command line or in a file such as "
            "@config.txt"
        )
    return dataclasses.replace(config, **{name: getattr(config, name) or value for name, value in known.items()})


def check_labels(config) -> None:
    """The model's classes are the dataset's, or a label map joins them; ``top_n`` and ``classes`` fit the dataset."""
    from vidbench import models
    from vidbench.data import catalog
    from vidbench.data.classes import load_labels

    card, dataset = models.find_card(config.model, config.weights), catalog.find_dataset(config.dataset)
    if config.new_head and config.label_map:
        raise OptionError("new_head", "has the dataset's classes, so there is nothing for --label-map to join")
    if config.new_head and not card.can_be_random:
        raise OptionError("new_head", f"needs a network in torch; {card.name} comes as a finished program")
    if not dataset.labels:  # a folder of classes: its names are known when it is read
        return
    labels, predicted = load_labels(dataset.labels), models.labels_of(card)
    if config.label_map is None and labels != predicted and not config.new_head:
        shared = len(set(labels) & set(predicted))
        raise OptionError(
            "model",
            f"{card.name} knows the {len(predicted)} classes of {card.labels}, and {dataset.name} has {len(labels)} "
            f"classes, {shared} of them by the same name: pass --label-map names to join those, or known for "
            "renamed ones too (the others then count as wrong), or --label-map FILE, a CSV file with the columns "
            "dataset_label,model_label, or --new-head",
        )
    if config.parents not in (None, SHIPPED) and os.path.isfile(config.parents):
        with about("parents"):
            parents_facts(config.parents, labels)
    if config.top_n is not None and config.top_n > len(labels):
        raise OptionError("top_n", f"must be at most {len(labels)}, the number of classes, not {config.top_n}")
    for name in config.classes or ():
        if name not in labels:
            raise OptionError(
                "classes", f"names {quoted(name)}, no class of {dataset.name}.{nearest_hint(name, labels)}"
            )


def check_input(config) -> None:
    """Raise ``OptionError`` for a protocol, crops, sizes or frames that do not fit the model's card."""
    from vidbench import models

    card = models.find_card(config.model, config.weights)
    if config.target not in (None, "card"):
        with about("target"):
            find_result(config.target)
    if config.num_crops not in (None, 1, 3, 10):
        raise OptionError("num_crops", f"must be 1, 3 or 10, not '{config.num_crops}'")
    height, width = card.input.crop
    if config.protocol != "card":
        _check_protocol(config, card)
    if config.short_side is not None and not _can_hold(config.short_side, (height, width)):
        raise OptionError(
            "short_side",
            f"must be at least {min(height, width)} for {card.name}, which crops {height} x {width} pixels, "
            f"not {config.short_side}",
        )
    for name in ("num_frames", "num_clips"):
        if card.input.sampling == "stream" and getattr(config, name) is not None:
            raise OptionError(name, f"has no meaning for {card.name}, which takes a whole video frame by frame")
    if config.frame_rate is not None:
        _check_rate(config, card)
    fewest, most = card.num_frames
    if config.num_frames is not None and not fewest <= config.num_frames <= (most or config.num_frames):
        allowed = f"{fewest}" if fewest == most else f"from {fewest} to {most}" if most else f"at least {fewest}"
        raise OptionError("num_frames", f"must be {allowed} for {card.name}, not {config.num_frames}")


def _check_rate(config, card) -> None:
    """A frame rate is for networks whose frames are a time apart, not spread over a video by their number."""
    from vidbench.data.sample import BY_COUNT

    if asked_input(card.input, config.protocol, {}).sampling in BY_COUNT:
        raise OptionError(
            "frame_rate", f"has no meaning for {card.name}, which takes its frames from the whole video, at any rate"
        )


def _can_hold(resize, crop) -> bool:
    from vidbench.data.process import can_hold  # brings a decoder, which --help and most refusals do without

    return can_hold(resize, crop)


def _check_protocol(config, card) -> None:
    """The input that a protocol file and the flags make together is one that the card's network can take."""
    given = {name: getattr(config, name) for name in FLAGS} | {"resize": config.short_side}
    spec, what = asked_input(card.input, config.protocol, given), quoted(config.protocol, 160)
    fewest, most = card.num_frames
    if not fewest <= spec.num_frames <= (most or spec.num_frames):
        allowed = f"{fewest}" if fewest == most else f"from {fewest} to {most}" if most else f"at least {fewest}"
        raise OptionError("protocol", f"{what}: num_frames must be {allowed} for {card.name}, not {spec.num_frames}")
    if not _can_hold(spec.resize, spec.crop):
        raise OptionError(
            "protocol", f"{what}: a crop of {spec.crop} does not fit into frames resized to {spec.resize}"
        )
    if {len(spec.mean), len(spec.std)} != {spec.channels}:
        raise OptionError("protocol", f"{what}: mean and std must have {spec.channels} numbers each for {card.name}")


def check_files(config) -> None:
    """Raise ``OptionError`` for a file that an option names and that is not there."""
    check_weights(config.weights)
    for name, words in (("label_map", LABEL_MAPS), ("annotations", ()), ("parents", (SHIPPED,))):
        value = getattr(config, name)
        if value is None or value in words:
            continue
        check_exists(name, value, words)
        if not os.path.isfile(value):
            raise OptionError(name, f"{quoted(value, 160)} is no regular file")


def check_engine(config) -> None:
    """Raise ``OptionError`` for options that contradict the way the work is done: devices, Ray, shards, none at all."""
    if config.report_only and config.dry_run:
        raise OptionError("report_only", "and --dry-run both take the place of a run; give one of them")
    if config.batch_size == "auto" and config.shard:
        raise OptionError("batch_size", "must be a number with --shard, the same one for every part, not auto")
    if config.devices and (config.device != "auto" or config.engine == "ray"):
        other = "--engine ray, which uses every GPU of its cluster" if config.device == "auto" else "--device"
        raise OptionError("devices", f"does not go together with {other}")
    if config.engine != "ray":
        if config.ray_address is not None:
            raise OptionError("ray_address", "is for --engine ray, which was not given")
        return
    if importlib.util.find_spec("ray") is None:
        raise OptionError("engine", "ray is not installed here: pip install 'vidbench[ray]'")
    if config.num_workers == 0:
        raise OptionError("num_workers", "must be at least 1 with --engine ray, not 0")
    if re.match("mps|cuda:", config.device):
        raise OptionError("device", f"must be auto, cpu or cuda with --engine ray, not {quoted(config.device)}")
