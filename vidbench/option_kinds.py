"""Kinds of options that several programs share, and checks of what they name."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from typing import TypedDict

from vidbench.data.catalog import DatasetCard, find_dataset
from vidbench.data.corrupt import parse_corrupt
from vidbench.data.parents import SHIPPED
from vidbench.data.retime import parse_temporal
from vidbench.data.web import checked_url, is_address
from vidbench.flags import OptionError, check_folder
from vidbench.kinds import each, path, several, whole
from vidbench.records import DECODER_MODULES, ConfigError, FetchError, VidbenchError
from vidbench.remote import is_remote
from vidbench.utils import printable, quoted

LABEL_MAPS = ("names", "known")


def device(value) -> str:
    """``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``."""
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", value):
        raise ValueError(f"must be auto, cpu, cuda, cuda:N or mps, not {quoted(value)}")
    return value


def batch_size(value) -> int | str:
    """``auto``, or a whole number."""
    return value if value == "auto" else whole(1, 4096, "auto")(value)


@several
def devices(value) -> tuple[str, ...]:
    """``all``, or several devices, a GPU by its number or its name; commas or spaces between them."""
    words = [word for item in ((value,) if isinstance(value, str) else value) for word in str(item).split(",")]
    named = tuple(f"cuda:{int(word)}" if re.fullmatch(r"[0-9]{1,3}", word) else word for word in words)
    if named == ("all",) or (named and all(re.fullmatch(r"cpu|cuda:[0-9]{1,3}", word) for word in named)):
        return named
    raise ValueError(f"must be all, or GPUs such as 0,1, not {quoted(','.join(words))}")


def folder_name(value) -> str:
    """A name for one folder: no separators, and nothing that a file system or a shell takes another way."""
    if not isinstance(value, str) or not re.fullmatch(r"(?![.\-])[^\x00-\x1f\x7f/\\:*?$\"<>|]{1,120}(?<![. ])", value):
        words = "must be a plain folder name, up to 120 characters without / and other special ones"
        raise ValueError(f"{words}, not {quoted(value)}")
    return value


def label_map(value) -> str:
    """``names``, ``known``, or the path of a CSV file."""
    return value if value in LABEL_MAPS else path(value)


def parents(value) -> str:
    """``shipped``, or the path of a file."""
    return value if value == SHIPPED else path(value)


def temporal(value) -> str:
    """A change of time; see ``vidbench.data.retime``."""
    return _known(parse_temporal, value)


def corrupt(value) -> str:
    """A corruption; see ``vidbench.data.corrupt``."""
    return _known(parse_corrupt, value)


def _known(parse, value) -> str:
    try:
        parse(value)
    except ConfigError as problem:
        raise ValueError("must be" + str(problem).partition("must be")[2]) from None
    return value


def weights(value) -> str:
    """``random``, or a path."""
    return value if value == "random" else path(value)


def file_or_address(value) -> str:
    """A path, or an http or https address, which is kept as it stands."""
    if not is_address(value):
        return path(value)
    try:
        checked_url(value)
    except FetchError:
        raise ValueError(f"must be files or complete http or https addresses, not {quoted(value)}") from None
    return value


files_or_addresses = each(file_or_address)


def num_frames(value) -> int | None:
    """A number from 1, or the word all."""
    return None if value in ("all", None) else whole(1, 100_000, "all")(value)


class CardDefaults(TypedDict):
    """Options that a card fills in."""

    model: str
    dataset: str
    split: str
    data_dir: str


def card_defaults(config) -> CardDefaults:
    """Full names of the model and dataset of a configuration, their usual split and folder; else ``OptionError``."""
    from vidbench import models

    with about("model"):
        card = models.find_card(config.model, config.weights)
    dataset = dataset_card(config.dataset)
    split = config.split or dataset.default_split
    check_split(dataset, split)
    check_fold(dataset, config.fold)
    data_dir = config.data_dir or str(dataset.default_dir)
    return {"model": card.name, "dataset": dataset.name, "split": split, "data_dir": data_dir}


def dataset_card(name: str) -> DatasetCard:
    """The card of a dataset by any of its names; else ``OptionError``."""
    with about("dataset"):
        return find_dataset(name)


def check_split(card: DatasetCard, split: str, *words: str) -> None:
    """Raises ``OptionError`` for a split that the dataset does not have; ``words`` may stand for several."""
    if card.splits and split not in (*card.splits, *words):
        known = " or ".join((", ".join(card.splits), *words))
        raise OptionError("split", f"must be one of {known} for {card.name}, not {quoted(split)}")


def check_fold(card: DatasetCard, fold: int) -> None:
    """Raises ``OptionError`` for a fold that the dataset does not have."""
    if not 1 <= fold <= max(1, card.folds):
        raise OptionError("fold", f"must be from 1 to {max(1, card.folds)} for {card.name}, not {fold}")


def check_weights(value: str | None) -> None:
    """A file or folder; a TensorFlow checkpoint's prefix, which is no file itself; or a SavedModel's address."""
    from vidbench.hubs import is_address

    if value not in (None, "random") and not os.path.exists(f"{value}.index") and not is_address(value):
        check_exists("weights", value, ("random",))


def check_exists(name: str, value: str, words: tuple[str, ...]) -> None:
    """Raises ``OptionError`` for the option ``name`` where its path is not there; ``words`` may stand for one."""
    if not os.path.exists(value):
        also = f", nor is it the word {' or '.join(map(repr, words))}" if words else ""
        raise OptionError(name, f"{quoted(value, 160)} does not exist{also} ({started_at(value)})")


def started_at(value: str) -> str:
    """From where a path is looked for, for a message."""
    return "an absolute path" if os.path.isabs(value) else f"looked for from {printable(os.getcwd(), 160)}"


def check_decoder(name: str) -> None:
    """Raises ``OptionError`` where a decoder is not installed."""
    if importlib.util.find_spec(DECODER_MODULES[name]) is None:
        raise OptionError("decoder", f"{name} is not installed here; pyav is, and is exact")


def check_folders(results_dir: str, cache_dir: str | None) -> None:
    """Raises ``OptionError`` where results, or clips for a cache, cannot be written to their folders."""
    if not is_remote(results_dir):
        check_folder("results_dir", results_dir)
    if cache_dir is not None:
        check_folder("cache_dir", cache_dir)


@contextlib.contextmanager
def about(name: str):
    """Turn an error of a lookup into one about the option that asked for it."""
    try:
        yield
    except VidbenchError as problem:
        raise OptionError(name, f"cannot be used: {problem}") from None
