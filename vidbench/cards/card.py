"""What a card says of one set of weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from vidbench.published import results_of
from vidbench.records import InputSpec


@dataclass(frozen=True)
class Weights:
    """Where a card's weights come from.

    Args:
        file: name of the file, in ``vidbench/weights`` where ``url`` is empty.
        url: upstream address or TF-Hub handle.
        sha256: of the file in hexadecimal, whole or its first digits; empty where nobody published it.
        license: of the weights, or what is known of it.
        absent: why there are none to load, as the end of "comes without weights: ..."; empty where there are some.
    """

    file: str
    url: str = ""
    sha256: str = ""
    license: str = "not stated"
    absent: str = ""


@dataclass(frozen=True)
class Reported:
    """What someone published about the weights. What we measure never stands in the same column.

    Args:
        top1: per cent, or ``None`` where no number was published.
        top5: likewise.
        on: dataset and split.
        protocol: views and averaging behind the number.
        source: where to read it.
    """

    top1: float | None
    top5: float | None
    on: str
    protocol: str
    source: str


def reported_of(name: str) -> Reported | None:
    """What was published about a card's weights under its own protocol; ``None`` where nothing was."""
    for row in results_of(name):
        return Reported(row.top1, row.top5, row.on, row.protocol, row.source)
    return None


@dataclass(frozen=True)
class Golden:
    """What the authors' own code says about one clip of theirs: a network with their weights must say the same.

    Args:
        clips: names of the authors' ``.npy`` files, float32 (1, T, H, W, C) as the network takes them; the channels of
            several stand one behind the other.
        norm: Euclidean length of the logits.
        logits: class → logit, as many as were published.
        source: where to read it, and where the clips are.
    """

    clips: tuple[str, ...]
    norm: float
    logits: dict[str, float]
    source: str


@dataclass(frozen=True)
class ModelCard:
    """One set of weights: all that is needed to use it and to judge its numbers.

    Args:
        name: ``architecture.weights``.
        build: ``module:callable`` of the network, imported when asked for and called with ``num_classes`` and
            ``options``.
        kind: ``torch`` (callable takes ``num_classes``), ``transformers`` (the same, and weights may be a folder with
            its own configuration), ``torchhub`` (the same, and the network is code of another repository), ``tflite``
            or ``tfhub``.
        weights: where they come from.
        labels: name of a label space in ``vidbench/data/labels``.
        num_classes: K of the network as published.
        input: what the network saw in training.
        reported: accuracy that somebody published; ``None`` where nobody did.
        num_frames: fewest and most frames of a view that the network can take; ``None`` for no limit.
        params: learnable parameters, in single numbers; 0 where unknown.
        citation: the paper, as one line.
        notes: what a user should know before trusting a number.
        options: further arguments of ``build``.
        convert: ``module:callable`` that turns the tensors of a file whose names are others' into the network's:
            called with ``{name: tensor}`` and the network's ``{name: shape}``, it returns ``{name: tensor}``; a file
            that it does not know is returned as it came. Empty where weights only come in the network's own names.
        parts: part of the network → card whose network and weights it is, where several are put together.
        golden: published logits of a published clip, for ``scripts/doctor.py``; ``None`` where there are none.
        label_names: the class names themselves, where ``labels`` is no list that comes with vidbench.
    """

    name: str
    build: str
    kind: str
    weights: Weights
    labels: str
    num_classes: int
    input: InputSpec
    reported: Reported | None
    num_frames: tuple[int, int | None] = (1, None)
    params: int = 0
    citation: str = ""
    notes: str = ""
    options: dict = field(default_factory=dict)
    convert: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    golden: Golden | None = None
    label_names: tuple[str, ...] = ()

    @property
    def architecture(self) -> str:
        """The name before the point: what several sets of weights share."""
        return self.name.partition(".")[0]

    @property
    def can_be_random(self) -> bool:
        """Whether ``weights="random"`` works: not for a finished program."""
        return self.kind in ("torch", "transformers", "torchhub")
