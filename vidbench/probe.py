"""What a labelled sample says of a model: whether its pixels or the order of its classes are others than it learnt.

Ways of feeding the network, and a last layer in another order, are explanations. Each is judged by the videos it gets
right, against the card's own way on the same videos; the simplest one that nothing else clearly beats is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vidbench.data.process import LAYOUTS
from vidbench.intervals import holm, proportion, sign_flip_test
from vidbench.metrics import percent
from vidbench.predict import average
from vidbench.records import InputSpec, VidbenchError
from vidbench.utils import plural, printable

ALPHA = 0.01  # chance of naming anything where nothing is wrong, all explanations together
APART = 0.05  # two explanations are told apart below this
GAIN = {"normalisation": 0.1}  # of the true class's mean probability, to count without more right answers: another
LEAST_GAIN = 0.01  # scale of the input makes scores flatter or steeper by itself; other changes do not
FOLDS = 5  # a rearrangement is judged on the fifth of the videos that it was not fitted to
SHOWN = 4  # classes named in a sentence
NORMS = {  # mean and std on values in [0, 1]
    "[0, 1]": ((0.0,) * 3, (1.0,) * 3),
    "[-1, 1]": ((0.5,) * 3, (0.5,) * 3),
    "[0, 255]": ((0.0,) * 3, (1 / 255,) * 3),
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "[0, 255] less ImageNet's mean": ((0.485, 0.456, 0.406), (1 / 255,) * 3),
}


@dataclass(frozen=True)
class Finding:
    """What one look at a model showed.

    Args:
        stage: what was looked at, one or two words.
        fine: whether it is as it should be; ``None`` where it could not be judged.
        text: one sentence, with the numbers.
    """

    stage: str
    fine: bool | None
    text: str


@dataclass(frozen=True)
class Change:
    """Another way to feed a network.

    Args:
        stage: the stage that would be wrong.
        name: the way, as the end of "fed with ...".
        advice: what to do about it, without a full stop.
        spec: the card's input → the input to try.
        pixels: uint8 (V, T, H, W, C) → the pixels to try.
    """

    stage: str
    name: str
    advice: str
    spec: Callable[[InputSpec], InputSpec] = field(default=lambda spec: spec)
    pixels: Callable[[np.ndarray], np.ndarray] = field(default=lambda pixels: pixels)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What would be wrong, and how a sample would then be answered.

    Args:
        changes: ways to feed the network otherwise; none for the card's way.
        rearranged: whether the classes stand in another order.
        right: bool, shape (N,), the videos answered right.
        sure: float64, shape (N,), probability of the true class.
    """

    changes: tuple[Change, ...]
    rearranged: bool
    right: np.ndarray
    sure: np.ndarray

    @property
    def true(self) -> float:
        """Mean probability of the true class."""
        return float(self.sure.mean())

    @property
    def size(self) -> int:
        """How many things are wrong."""
        return len(self.changes) + self.rearranged

    @property
    def name(self) -> str:
        """In words, for the end of "fed with ..." and the like."""
        words = [change.name for change in self.changes] + ["its classes rearranged"] * self.rearranged
        return " and ".join(words) or "what the card says"


@dataclass(frozen=True, eq=False)
class Sample:
    """Labelled videos.

    Args:
        pixels: uint8 (V, T, H, W, C), one array a video.
        classes: int, shape (N,), the true class of each in the dataset.
        columns: by class of the dataset the classes of the model that stand for it; not empty for those in use.
        names: class names of the dataset.
        model_names: class names of the model.
    """

    pixels: Sequence[np.ndarray]
    classes: np.ndarray
    columns: Sequence[Sequence[int]]
    names: Sequence[str]
    model_names: Sequence[str]

    @property
    def used(self) -> np.ndarray:
        """The classes that occur, in order."""
        return np.unique(self.classes)

    @property
    def rows(self) -> np.ndarray:
        """For each video the place of its class in ``used``."""
        return np.searchsorted(self.used, self.classes)


def probe(model, sample: Sample, batch_size: int = 8) -> list[Finding]:
    """Findings about pixels, the order of classes, and the weights as a whole; the model is left as it is.

    Accuracy is among the classes of the sample. A rearrangement is the assignment of the model's classes to the
    sample's that agrees best (Hungarian algorithm), fitted to four fifths of the videos and judged on the rest.

    Args:
        model: a ``Model``.
        sample: read as the model's ``spec`` says.
        batch_size: views at a time.
    """
    own = probabilities(model, sample.pixels, (), batch_size)
    if not np.isfinite(own).all():
        return [Finding("output", False, "the network gives NaN or infinity; look at its weights and its input first")]
    found = explanations(sample, (), own)
    tried: dict[tuple[Change, ...], np.ndarray] = {(): own}
    if not found[0].right.all():  # where all are right nothing can do better
        for changes in ways(model, sample, batch_size, tried):
            found += explanations(sample, changes, tried[changes])
    chosen, others = choose(found)
    findings = pixel_findings(found, chosen, others)
    findings.append(head_finding(sample, found, chosen, tried[chosen.changes], others))
    return [*findings, whole_finding(sample, found[0], chosen)]


# ----------------------------------------------------------------------------------------------- other ways to feed


def single_changes(model) -> list[Change]:
    """Ways to feed a network other than its card's, one thing changed in each."""
    spec = model.spec
    found = [
        Change("layout", f"axes as {layout}", f"put layout={layout!r} on the card", _with_layout(layout))
        for layout in LAYOUTS
        if layout != spec.layout and model.card.kind not in ("tflite", "tfhub")
    ]  # fmt: skip
    if not spec.has_flow and model.card.kind != "tflite":
        found += [
            Change(
                "normalisation",
                f"pixels as {name}",
                f"put mean={_listed(mean)}, std={_listed(std)} on the card",
                _with_norm(mean, std),
            )
            for name, (mean, std) in NORMS.items()
            if not np.allclose([*mean, *std], [*spec.mean, *spec.std], rtol=0.02, atol=1e-3)
        ]
    if not spec.has_flow:
        advice = "turn round the input channels of the weights' first layer, which learnt BGR"
        found.append(Change("colour order", "colours as BGR", advice, pixels=lambda p: p[..., ::-1]))
    found += [
        Change("layout", "height and width swapped", "swap the last two axes of the weights' filters",
               pixels=lambda p: p.swapaxes(2, 3)),
        Change("order of frames", "the last frame first", "look at how the frames were read where it was trained",
               pixels=lambda p: p[:, ::-1]),
    ]  # fmt: skip
    return found


def _with_layout(layout: str) -> Callable[[InputSpec], InputSpec]:
    return lambda spec: replace(spec, layout=layout)


def _with_norm(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[InputSpec], InputSpec]:
    return lambda spec: replace(spec, mean=mean, std=std)


def ways(model, sample: Sample, batch_size: int, tried: dict) -> list[tuple[Change, ...]]:
    """Changes that the network accepts, each alone, then the best normalisation with each of the others.

    Args:
        model: the network with its card.
        sample: labelled videos as read for it.
        batch_size: views at a time.
        tried: gets the probabilities (N, K) by changes.
    """
    singles = single_changes(model)
    accepted: list[tuple[Change, ...]] = [
        (change,) for change in singles if _try(model, sample, (change,), batch_size, tried)
    ]
    norms = [changes for changes in accepted if changes[0].stage == "normalisation"]
    if norms:
        best = max(norms, key=lambda changes: max(e.right.sum() for e in explanations(sample, changes, tried[changes])))
        pairs = [(*best, *changes) for changes in accepted if changes[0].stage != "normalisation"]
        accepted += [changes for changes in pairs if _try(model, sample, changes, batch_size, tried)]
    return accepted


def _try(model, sample: Sample, changes: tuple[Change, ...], batch_size: int, tried: dict) -> bool:
    """Whether the network takes its input so; most take one layout only, some one shape."""
    try:
        probabilities(model, sample.pixels[:1], changes, batch_size)
    except (VidbenchError, RuntimeError, ValueError, LookupError):
        return False
    tried[changes] = probabilities(model, sample.pixels, changes, batch_size)
    return bool(np.isfinite(tried[changes]).all())


def probabilities(model, pixels: Sequence[np.ndarray], changes: Sequence[Change], batch_size: int) -> np.ndarray:
    """Probabilities (N, K), float64, of videos that are fed in another way; the model is left as it is."""
    before, spec, found = model.spec, model.spec, []
    for change in changes:
        spec = change.spec(spec)
    try:
        model.spec = spec
        for start in range(0, len(pixels), batch_size):
            part = list(pixels[start : start + batch_size])
            for change in changes:
                part = [np.ascontiguousarray(change.pixels(video)) for video in part]
            found += model.logits(part, batch_size)
    finally:
        model.spec = before
    if not all(np.isfinite(logits).all() for logits in found):
        return np.full((len(found), found[0].shape[-1]), np.nan)
    return np.stack([average(logits, spec) for logits in found])


# --------------------------------------------------------------------------------------------------- explanations


def explanations(sample: Sample, changes: tuple[Change, ...], scores: np.ndarray) -> list[Explanation]:
    """The two explanations of one way to feed: the model's own order of classes, and another one."""
    rows = sample.rows
    own = np.stack([scores[:, list(sample.columns[c])].max(1) for c in sample.used], 1)
    other = np.empty_like(own)
    for inside in folds(rows):
        other[inside] = scores[inside][:, assignment(scores[~inside], rows[~inside], own.shape[1])]
    return [
        Explanation(changes, rearranged, _right(table, rows), table[np.arange(len(rows)), rows])
        for rearranged, table in ((False, own), (True, other))
    ]


def folds(rows: np.ndarray):
    """Bool (N,) of each part; the videos of a class are dealt out one by one."""
    turn = np.empty(len(rows), int)
    for row in np.unique(rows):
        turn[rows == row] = np.arange((rows == row).sum()) % FOLDS
    for fold in range(FOLDS):
        if (turn == fold).any():
            yield turn == fold


def assignment(scores: np.ndarray, rows: np.ndarray, num_rows: int) -> np.ndarray:
    """The model's class for each row, no class twice, so that the mean probabilities of the videos add up to most.

    Args:
        scores: float, shape (N, K), probabilities; K at least ``num_rows``.
        rows: int, shape (N,).
        num_rows: R, classes of the dataset.

    Returns:
        int, shape (num_rows,).
    """
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((num_rows, scores.shape[1]))
    np.add.at(table, rows, scores)
    table /= np.maximum(1, np.bincount(rows, minlength=num_rows))[:, None]
    return linear_sum_assignment(table, maximize=True)[1]


def choose(found: Sequence[Explanation]) -> tuple[Explanation, list[Explanation]]:
    """The simplest explanation that nothing clearly beats, and as simple ones that cannot be told from it.

    The first one is the card's way: it stays unless another is better beyond chance, however many were tried.
    """
    own = found[0]
    by_right = holm([sign_flip_test(own.right, other.right) for other in found[1:]])
    by_sure = holm([surer(own, other) for other in found[1:]])
    better = [
        other
        for other, right_p, sure_p in zip(found[1:], by_right, by_sure)
        if (right_p < ALPHA and other.right.sum() > own.right.sum())
        or (sure_p < ALPHA and other.true - own.true >= least_gain(other))
    ]
    if not better:
        return own, []
    best = max(better, key=lambda e: (e.right.sum(), e.true, -e.size))
    level = [e for e in better if e is best or not told_apart(e, best)]
    simple = [e for e in level if e.size == min(e.size for e in level)]
    chosen = max(simple, key=lambda e: (e.right.sum(), e.true))
    return chosen, [e for e in simple if e is not chosen]


def surer(first: Explanation, second: Explanation) -> float:
    """P-value of "the true class is no more probable with the second", by Wilcoxon's signed ranks; 1 for equal ones."""
    from scipy.stats import wilcoxon

    gain = second.sure - first.sure
    return float(wilcoxon(gain, alternative="greater").pvalue) if (gain != 0).any() else 1.0


def least_gain(explanation: Explanation) -> float:
    """How much more probable the true class must be; out of reach for a rearrangement, which answers alone judge."""
    if explanation.rearranged:
        return np.inf
    return max(GAIN.get(change.stage, LEAST_GAIN) for change in explanation.changes)


def told_apart(other: Explanation, best: Explanation) -> bool:
    """Whether two ways of feeding differ on the same videos, by accuracy or by the true class's probability."""
    return min(sign_flip_test(other.right, best.right), surer(other, best)) < APART


def _right(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether the true row has the highest score alone."""
    true = table[np.arange(len(rows)), rows]
    return (table >= true[:, None]).sum(1) == 1


# ------------------------------------------------------------------------------------------------------ sentences


def pixel_findings(found: Sequence[Explanation], chosen: Explanation, others: Sequence[Explanation]) -> list[Finding]:
    """What the way of feeding that fits best says of the card's: nothing is wrong, or which stage is."""
    own = found[0]
    if not chosen.changes:
        return [Finding("pixels", None if chosen.rearranged else True, _fine_pixels(found))]
    numbers = (
        f"{_share(chosen)} and the true class has {chosen.true:.3f}; as the card says, {own.right.sum()} and "
        f"{own.true:.3f} (p = {_p_value(own, chosen):.1g})"
    )
    return [
        Finding(
            change.stage,
            False,
            f"fed with {change.name}{_with(chosen, change)}, {numbers}: {change.advice}{_level(others)}",
        )
        for change in chosen.changes
    ]


def _fine_pixels(found: Sequence[Explanation]) -> str:
    own, tried = found[0], [e for e in found if e.changes and not e.rearranged]
    text = f"fed as the card says, {_share(own)} and the true class has {own.true:.3f} on average"
    if not tried:
        return f"{text}: nothing can do better"
    best = max(tried, key=lambda e: (e.right.sum(), e.true))
    text += f"; of {len(tried)} other ways none is clearly better, the best with {best.name}: {best.right.sum()} and "
    same = [e.name for e in tried if len(e.changes) == 1 and not told_apart(e, own) and not told_apart(own, e)]
    return f"{text}{best.true:.3f}" + (f"; this sample cannot tell it from {', '.join(same)}" if same else "")


def _p_value(own: Explanation, chosen: Explanation) -> float:
    return min(sign_flip_test(own.right, chosen.right), surer(own, chosen))


def head_finding(sample: Sample, found, chosen: Explanation, scores: np.ndarray, others) -> Finding:
    """Whether the classes stand in the order of their names, given the chosen way to feed."""
    rows, used = sample.rows, sample.used
    if np.median(np.bincount(rows)) < 2 or len(used) < 2:
        seen = f"{plural(len(rows), 'video')} of {plural(len(used), 'class', 'classes')}"
        text = f"not judged: {seen}; take two videos or more of a class (--limit)"
        return Finding("order of classes", None, text)
    own, other = (e for e in found if e.changes == chosen.changes)
    columns = assignment(scores, rows, len(used))
    moved = [place for place, column in enumerate(columns) if column not in sample.columns[used[place]]]
    numbers = f"agreement {_share(own)} in its own order, {other.right.sum()} in the best other one"
    if not chosen.rearranged:
        return Finding("order of classes", True, f"{numbers}, which moves {len(moved)} of {len(used)} classes")
    pairs = [
        f"{printable(sample.names[used[place]], 40)!r} by row {columns[place]}, named "
        f"{printable(sample.model_names[columns[place]], 40)!r}"
        for place in moved[:SHOWN]
    ]
    more = f" and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
    return Finding(
        "order of classes",
        False,
        f"the last layer's rows stand in another order than the names: {numbers} (p = "
        f"{sign_flip_test(own.right, other.right):.1g}), which moves {len(moved)} of {len(used)} classes, "
        f"{'; '.join(pairs)}{more}{_known_order(sample, columns)}. Use the list of classes of the weights' training"
        f"{_level(others)}",
    )


def _known_order(sample: Sample, columns: np.ndarray) -> str:
    """Words for a common other order, where nearly all classes fit it."""
    names = list(sample.model_names)
    if list(sample.names) != names:
        return ""
    orders = {
        "sorting the names": sorted(names),
        "sorting the names whatever the case of their letters": sorted(names, key=str.casefold),
        "sorting folder names with _ for spaces": sorted(names, key=lambda name: name.replace(" ", "_")),
        "turning the list round": names[::-1],
        "a list that begins one later": names[1:] + names[:1],
        "a list that begins one earlier": names[-1:] + names[:-1],
    }
    for words, order in orders.items():
        fits = np.mean([order[column] == names[c] for column, c in zip(columns, sample.used)])
        if order != names and fits >= 0.9:
            return f" (the order that {words} gives)"
    return ""


def whole_finding(sample: Sample, own: Explanation, chosen: Explanation) -> Finding:
    """Whether the weights know these classes at all."""
    from scipy.stats import binom

    n, k, s = len(chosen.right), int(chosen.right.sum()), len(sample.used)
    text = (
        f"{k} of {n} right ({percent(proportion(k, n))}, n={n}) among the {s} classes of the sample, where guessing "
        f"gives {n / s:.1f}"
    )
    if s < 2 or n < 8:
        return Finding("weights", None, f"{text}: too few to judge")
    if binom.sf(k - 1, n, 1 / s) > ALPHA:
        reason = "no other input or order of classes that was tried helps either"
        return Finding(
            "weights", False, f"{text}: no better than guessing, and {reason}; are these the trained weights?"
        )
    return Finding("weights", True, f"{text}{'' if chosen is own else ', once that is mended'}")


def _share(explanation: Explanation) -> str:
    return f"{explanation.right.sum()} of {len(explanation.right)} are right"


def _with(chosen: Explanation, change: Change) -> str:
    """The rest of an explanation that changes more than one thing."""
    rest = replace(chosen, changes=tuple(c for c in chosen.changes if c is not change))
    return f" (together with {rest.name})" if rest.size else ""


def _level(others: Sequence[Explanation]) -> str:
    if not others:
        return ""
    names = [e.name for e in others[:SHOWN]]
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return f"; as likely on this sample: {', '.join(names)}{more}"


def _listed(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"
