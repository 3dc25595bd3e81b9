"""Words and numbers of a figure: names cut to their room, lists in prose, values checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vidbench.records import ConfigError
from vidbench.utils import printable


def numbers(values, name: str, count: int | None, *, finite: bool = True) -> np.ndarray:
    """Values as float64 (count,)."""
    try:
        numbers = np.asarray(list(values), np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} must be a list of numbers.") from None
    if numbers.ndim != 1 or (count is not None and len(numbers) != count):
        raise ConfigError(
            f"{name} must hold {'one' if count is None else count} number{'s' if count != 1 else ''}"
            f"{' a video' if count is None else ''}, got shape {numbers.shape}."
        )
    if finite and not np.isfinite(numbers).all():
        raise ConfigError(f"{name} must be finite numbers.")
    return numbers


def check_num(num: int, what: str) -> None:
    """Raises ``ConfigError`` for a number of things to show that is no whole number of at least 1."""
    if not isinstance(num, int | np.integer) or num < 1:
        raise ConfigError(f"num must be a whole number, at least 1 {what}, got {num!r}.")


def fraction(value: float, name: str) -> float:
    """The value as a float; raises ``ConfigError`` for one outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must be a fraction between 0 and 1, got {value}.")
    return float(value)


def plain(words: object) -> str:
    """Words that a font can draw: blanks for all kinds of space, the rest as ``printable`` writes it."""
    return printable(" ".join(str(words).split()))


def short(words: object, room: int) -> str:
    """Words cut to ``room`` letters, the last one an ellipsis."""
    words = plain(words)
    return words if len(words) <= room else words[: max(1, room - 1)].rstrip() + "…"


def counted(words: Sequence[str]) -> list[str]:
    """Each word once, with how often it comes."""
    return [word if count == 1 else f"{word} ({count} times)" for word, count in Counter(words).items()]


def listing(words: Sequence[str], most: int) -> str:
    """``a, b and c``, or the first ``most`` and how many more."""
    if len(words) > most:
        return ", ".join(words[:most]) + f" and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
