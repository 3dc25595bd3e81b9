"""Kinds of values that an option can have: each checks one, given as text or as a Python object, and converts it.

Each raises ``ValueError`` with words that follow the option's name.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

from vidbench.utils import printable, quoted

Kind = TypeVar("Kind", bound=Callable)


def whole(low: int, high: int, word: str | None = None) -> Callable:
    """A whole number in ``[low, high]``, or ``word`` for ``None``."""

    def check(value):
        if value == word and word:
            return None
        digits = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
        if not re.fullmatch(r"[+-]?[0-9]{1,40}", digits) or not low <= int(digits) <= high:
            also = f", or '{word}'" if word else ""
            raise ValueError(f"must be a whole number from {low} to {high}{also}, not {quoted(value)}")
        return int(digits)

    return check


def number(low: float, high: float, unit: str) -> Callable:
    """A number above ``low`` and at most ``high``."""

    def check(value):
        try:
            result = float(value)
        except (TypeError, ValueError):
            result = math.nan
        if isinstance(value, bool) or not low < result <= high:
            raise ValueError(f"must be a number above {low:g} and at most {high:g} ({unit}), not {quoted(value)}")
        return result

    return check


def fraction(value) -> float:
    """A share of a whole: ``0.01`` or ``1%``."""
    text = str(value).strip()
    try:
        result = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        result = math.nan
    if isinstance(value, bool) or not 0 <= result <= 1:
        raise ValueError(f"must be a share from 0 to 1 such as 0.01, or a percentage such as 1%, not {quoted(value)}")
    return result


def one_of(*names: str) -> Callable:
    """One of a few words."""

    def check(value):
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {quoted(value)}")
        return value

    marked: Any = check
    marked.names = names  # for the completion of a shell
    return check


def text(value) -> str:
    """A word or words without control characters, at most 200 characters."""
    if not isinstance(value, str) or not value.strip() or len(value) > 200 or printable(value) != value:
        raise ValueError(f"must be a name, not {quoted(value)}")
    return value


def several(kind: Kind) -> Kind:
    """Mark a function that takes one value or a list of them."""
    marked: Any = kind
    marked.several = True
    return kind


def each(kind: Callable) -> Callable:
    """One value of a kind or several, as a tuple."""

    @several
    def check(value) -> tuple:
        """One or several, as a tuple."""
        return tuple(kind(item) for item in ((value,) if isinstance(value, (str, int, float)) else value))

    return check


def takes_several(kind: Callable) -> bool:
    """Whether an option of this kind takes one value or more: its function says so in ``several``."""
    return getattr(kind, "several", False)


def shard(value) -> str:
    """One part of several, ``1/4`` to ``4/4``."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value) if isinstance(value, str) else None
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"must be a part such as 1/4 (the first of four), not {quoted(value)}")
    return "/".join(str(number) for number in shard_numbers(value))


def shard_numbers(value: str) -> tuple[int, int]:
    """``(1, 4)`` for ``1/4``."""
    number, of = value.split("/")
    return int(number), int(of)


def path(value) -> str:
    """A path: ``~`` becomes the home folder; ``$NAME`` is refused, because only a shell expands it."""
    try:
        value = os.fspath(value)
    except TypeError:
        raise ValueError(f"must be a path, not {quoted(value)}") from None
    if not value or "\0" in value or len(value) > 4096:
        raise ValueError(f"must be a path, not {quoted(value)}")
    if re.search(r"\$[A-Za-z_{]", value):
        raise ValueError(f"holds a '$', which nothing expands here: write {quoted(value)} out in full, or begin with ~")
    expanded = os.path.expanduser(value)
    if value.startswith("~") and expanded == value:
        raise ValueError(f"begins with '~', but no home folder is known for {quoted(value)}; write ./~... if meant")
    return expanded


texts, paths = each(text), each(path)


def switch(value) -> bool:
    """On or off; on the command line its name alone turns it on."""
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {quoted(value)}")
    return value
