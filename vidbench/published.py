"""What others published, a row a result, each with the protocol that its source states.

``cards/published.csv`` is the only place of these figures: a card's ``reported``, the tables of docs/models.md and the
verdicts of a run (``vidbench.protocol``) all come from it. A cell is empty where the source does not say; nothing is
filled in from what is usual. Columns:

- ``id``; ``cards``: names of our cards with these very weights, a card's own protocol first; ``model``, ``weights``,
  ``pretraining`` in the source's words; ``modality``.
- ``dataset``, ``split``, ``fold`` (a number, or ``mean`` over all folds), ``num_videos``; ``top1``, ``top5``: per cent.
- ``num_frames`` of a view (0: the whole video, frame by frame), ``stride`` (frames of the video from one to the next)
  or ``frame_rate`` (per second), ``sampling`` (``dense``, ``uniform``, ``segments``, ``stream``), ``num_clips``,
  ``num_crops``, ``resize`` (pixels of the short side, or height and width), ``crop``, ``mean`` and ``std`` on [0, 1],
  ``average`` as in ``InputSpec``, ``level`` (``video`` or ``clip``: what is counted).
- ``source``, ``source_kind``, and ``verified``: ``yes`` (read in the source), ``secondary`` (in another paper that
  quotes it) or ``partly``.
"""

from __future__ import annotations

import csv
import functools
import json
from dataclasses import dataclass
from pathlib import Path

from vidbench.records import ConfigError
from vidbench.utils import nearest, nearest_hint, plural, printable

TABLE = Path(__file__).parent / "cards" / "published.csv"
WEIGHTS = Path(__file__).parent / "weights"
RATE_OF_STRIDES = 30.0  # frames per second of most videos: a published stride counts those


@dataclass(frozen=True)
class Published:
    """One published result; ``None`` (or an empty text) is what the source does not state. See the module.

    ``top1`` and ``top5`` are per cent; ``digits`` how many digits after the point were printed of ``top1``.
    """

    id: str
    cards: tuple[str, ...]
    model: str
    weights: str
    pretraining: str
    modality: str
    dataset: str
    split: str
    fold: str
    num_videos: int | None
    top1: float
    top5: float | None
    num_frames: int | None
    stride: int | None
    frame_rate: float | None
    sampling: str
    num_clips: int | None
    num_crops: int | None
    resize: tuple[int, ...]
    crop: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    average: str
    level: str
    source: str
    source_kind: str
    verified: str
    digits: int = 1

    @property
    def on(self) -> str:
        """Dataset, split and fold: ``ucf101 test, mean of all folds``."""
        fold = {"": "", "mean": ", mean of all folds"}.get(self.fold, f", fold {self.fold}")
        return f"{self.dataset} {self.split}".strip() + fold

    @property
    def rate(self) -> float | None:
        """Frames per second of a view, a stride counted at ``RATE_OF_STRIDES``; ``None`` where neither is stated."""
        return RATE_OF_STRIDES / self.stride if self.stride else self.frame_rate

    @property
    def protocol(self) -> str:
        """The views in words: ``video level, 5 clips x 1 crop, 16 frames at 15 fps, softmax averaged``."""
        words = [f"{self.level} level" if self.level else ""]
        if self.num_clips and self.num_crops:
            words.append(f"{plural(self.num_clips, 'clip')} x {plural(self.num_crops, 'crop')}")
        else:
            words.append("views not stated")
        rate = f" x stride {self.stride}" if self.stride else f" at {self.frame_rate:g} fps" if self.frame_rate else ""
        if self.num_frames is not None:
            words.append((plural(self.num_frames, "frame") if self.num_frames else "every frame") + rate)
        words.append({"uniform": "spread evenly", "segments": "one a segment"}.get(self.sampling, ""))
        averaged = {"probabilities": "softmax averaged", "logits": "logits averaged"}.get(self.average, "")
        words.append(averaged if (self.num_clips or 1) * (self.num_crops or 1) > 1 else "")
        return ", ".join(word for word in words if word)


_WHOLE = ("num_videos", "num_frames", "stride", "num_clips", "num_crops")
_REAL = ("top1", "top5", "frame_rate")
_PIXELS, _COLOURS = ("resize", "crop"), ("mean", "std")


def _parse(line: dict[str, str]) -> Published:
    values: dict = dict(line)
    values["digits"] = len(line["top1"].partition(".")[2])
    values["cards"] = tuple(line["cards"].split())
    values |= {name: int(line[name]) if line[name] else None for name in _WHOLE}
    values |= {name: float(line[name]) if line[name] else None for name in _REAL}
    values |= {name: tuple(map(int, line[name].split())) for name in _PIXELS}
    values |= {name: tuple(map(float, line[name].split())) for name in _COLOURS}
    return Published(**values)


@functools.cache
def published() -> dict[str, Published]:
    """Every row by its id, in the table's order."""
    with open(TABLE, newline="", encoding="utf-8") as file:
        rows = [_parse(line) for line in csv.DictReader(file)]
    return {row.id: row for row in rows}


@functools.cache
def _by_card() -> dict[str, tuple[Published, ...]]:
    found: dict[str, tuple[Published, ...]] = {}
    for row in published().values():
        for card in row.cards:
            found[card] = (*found.get(card, ()), row)
    return found


def results_of(card: str) -> tuple[Published, ...]:
    """What was published about a card's weights, its own protocol first; empty where nothing was."""
    return _by_card().get(card, ())


def find_result(name: str) -> Published:
    """The row of an id; raises ``ConfigError``, with the nearest ids, for another."""
    rows = published()
    if name not in rows:
        close = nearest(name, rows)
        raise ConfigError(
            f"There is no published result {printable(name, 80)!r}.{nearest_hint(name, rows) if close else ''} "
            "vidbench/cards/published.csv has them all."
        )
    return rows[name]


def recorded_with(card: str) -> tuple[Published, ...]:
    """What the file beside weights that come with vidbench records of them on the shipped mini set; a row or none."""
    files = {file.stem: file for file in WEIGHTS.glob("*.json")}  # a name never becomes a path
    if card not in files:
        return ()
    facts = json.loads(files[card].read_text(encoding="utf-8"))
    seen, top1 = facts["input"], facts["measured"]["data/vidmini"]["top1"]
    names = ("num_frames", "frame_rate", "sampling", "num_clips", "num_crops", "average")
    return (
        Published(
            **{name: seen[name] for name in names},
            resize=tuple(seen["resize"]),
            crop=tuple(seen["crop"]),
            mean=tuple(seen["mean"]),
            std=tuple(seen["std"]),
            id=f"{card}-shipped",
            cards=(card,),
            model=card,
            weights=facts["sha256"],
            pretraining="none",
            modality="rgb",
            dataset="vidmini",
            split="test",
            fold="",
            num_videos=top1["n"],
            top1=round(100 * top1["value"], 2),
            top5=None,
            stride=None,
            level="video",
            source=f"vidbench/weights/{card}.json",
            source_kind="recorded when it was trained",
            verified="yes",
            digits=2,
        ),
    )
