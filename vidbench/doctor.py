"""Whether a model does what its card says, and if not, which stage is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidbench import models
from vidbench.cards.card import ModelCard
from vidbench.data.process import LAYOUTS, check_spec
from vidbench.data.sample import SAMPLINGS
from vidbench.probe import Finding, Sample, probe
from vidbench.records import ConfigError, VidbenchError, Views, WeightsError
from vidbench.utils import printable

GOLDEN_TOLERANCE = 0.01  # of a logit: the same network in two libraries differed by 0.00004, another network by units
PER_CLASS = 4  # videos of a class in a sample, where there are so many: an order of classes shows from two on
TRIED_FRAMES = 8  # of a network that takes any number


@dataclass(frozen=True)
class Diagnosis:
    """All findings about a model."""

    model: str
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        """1 where something is wrong; what could not be judged is no fault."""
        return 1 if any(finding.fine is False for finding in self.findings) else 0

    @property
    def summary(self) -> str:
        """A line a finding, and the stages that are wrong, for people."""
        marks = {True: "fine ", False: "WRONG", None: "?    "}
        lines = [f"{marks[f.fine]}  {f.stage}: {f.text}" for f in self.findings]
        wrong = dict.fromkeys(f.stage for f in self.findings if f.fine is False)
        last = f"wrong  {', '.join(wrong)}" if wrong else "nothing is wrong as far as was looked"
        return "\n".join([f"model  {self.model}", *lines, last])


def examine(config) -> Diagnosis:
    """Look at a model as a configuration says.

    Its card and network are looked at without weights; with weights, what it answers; with a labelled sample, pixels
    and the order of classes; with the authors' clip, the logits that they published.

    Args:
        config: a ``vidbench.arguments.DoctorConfig``.

    Raises:
        VidbenchError: the model or a file cannot be used.
    """
    config = config.checked()
    card = models.find_card(config.model, config.weights)
    if config.clip:
        _check_has_golden(card)
    clip = read_clip(config.clip) if config.clip else None
    plan = plan_sample(card, config) if config.dataset else None
    findings = check_card(card)
    if any(finding.fine is False for finding in findings):  # nothing that follows would mean anything
        return Diagnosis(card.name, tuple(findings))
    model = models.load_model(card.name, config.weights, device=models.choose_device(config.device), seed=config.seed)
    if clip is not None:
        findings.append(check_golden(model, clip))
    findings += examine_sample(model, *plan) if plan else [check_output(answers(model))]
    return Diagnosis(card.name, tuple(findings))


# ------------------------------------------------------------------------------------------------ card and network


def check_card(card: ModelCard) -> list[Finding]:
    """Findings about a card and the network that it builds; no weights are needed and nothing is computed."""
    findings = [check_labels(card), check_input(card)]
    if any(finding.fine is False for finding in findings):
        return findings
    return findings + check_network(card)


def check_labels(card: ModelCard) -> Finding:
    """Whether the card's label space names each class once."""
    try:
        labels = models.labels_of(card)
    except (VidbenchError, ValueError) as problem:
        return Finding("label space", False, printable(problem, 200))
    again = {label for label in labels if labels.count(label) > 1} if len(set(labels)) < len(labels) else ()
    if again:
        return Finding("label space", False, f"{card.labels} names {printable(sorted(again)[0], 60)!r} twice")
    return Finding("label space", True, f"{len(labels)} classes of {card.labels}, each named once")


def check_input(card: ModelCard) -> Finding:
    """Whether the card's input can be made and is one that the network takes."""
    spec = card.input
    try:
        check_spec(spec)
        if spec.num_frames:
            models.check_frames(card, spec.num_frames)
    except ConfigError as problem:
        return Finding("input", False, printable(problem, 200))
    wrong = []
    if min(spec.std) <= 0 or min(spec.mean) < 0 or max(spec.mean) > 1:
        wrong.append(f"mean {spec.mean} and std {spec.std} are not of values in [0, 1]: divide them by 255")
    if spec.sampling not in SAMPLINGS:
        wrong.append(f"there is no sampling {spec.sampling!r}")
    if wrong:
        return Finding("input", False, "; ".join(wrong))
    low, high = ((value - np.array(spec.mean)) / spec.std for value in (0, 1))
    frames = f"{spec.num_frames} frames" if spec.num_frames else "any number of frames"
    return Finding(
        "input", True, f"{frames} of {spec.crop[0]}x{spec.crop[1]}, values {min(low):.3g} to {max(high):.3g}"
    )


def check_network(card: ModelCard) -> list[Finding]:
    """Findings about the network that a card builds, on torch's device without memory."""
    if not card.can_be_random:
        return [Finding("network", None, "comes as a finished program and is looked at when it runs")]
    import torch

    try:
        with torch.device("meta"):
            module = models.build_module(card).eval()
    except WeightsError as problem:  # code of others that is not here
        return [Finding("network", None, printable(problem, 300))]
    count = sum(parameter.numel() for parameter in module.parameters())
    if card.params and count != card.params:
        return [Finding("network", False, f"{count:,} parameters, and the card says {card.params:,}")]
    shape, last = _meta_run(module, card, card.input.layout)
    if shape is None:
        runs = [layout for layout in LAYOUTS if layout != card.input.layout and _meta_run(module, card, layout)[0]]
        advice = f"it takes {' and '.join(runs)}: put that on the card" if runs else "no other order of axes helps"
        return [Finding("layout", False, f"the network refuses a clip as {card.input.layout} ({last}); {advice}")]
    rows = (TRIED_FRAMES if not card.input.num_frames else card.input.num_frames) if card.input.layout == "NCHW" else 1
    if shape != (rows, card.num_classes):
        return [Finding("network", False, f"its output has the shape {shape}, not ({rows}, {card.num_classes})")]
    if last:
        return [Finding("output", False, f"the network ends with {last}, so its scores are no logits: {NO_LOGITS}")]
    return [
        Finding("network", True, f"{count:,} parameters, output (N, {card.num_classes}) without a softmax behind it")
    ]


NO_LOGITS = (
    "a second softmax flattens them and views are averaged wrongly; take the last layer off (torchvision, transformers "
    "and this kit give logits)"
)


def _meta_run(module, card: ModelCard, layout: str) -> tuple[tuple | None, str]:
    """Shape of a network's output and the softmax or sigmoid it ends with; ``None`` and the reason where it refuses."""
    import torch

    t, (h, w) = card.input.num_frames or TRIED_FRAMES, card.input.crop
    sizes = {"N": t if layout == "NCHW" else 1, "T": t, "H": h, "W": w, "C": card.input.channels}
    watch = _watch()
    try:
        with torch.inference_mode(), watch:
            out = module(torch.empty([sizes[axis] for axis in layout], device="meta"))
    except Exception as problem:  # of any library: the network does not take this
        return None, printable(
            str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__, 160
        )
    if not isinstance(out, torch.Tensor):
        return (), ""
    return tuple(out.shape), watch.ending(out)


def _watch():
    """A mode of torch that remembers which tensors are scores behind a softmax or sigmoid, or means of such."""
    from torch.utils._python_dispatch import TorchDispatchMode

    ends = {"softmax": "a softmax", "log_softmax": "the logarithm of a softmax", "sigmoid": "a sigmoid"}
    passed = ("mean", "view", "_unsafe_view", "squeeze", "select", "slice", "unsqueeze", "permute", "clone", "_to_copy")

    class Watch(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.seen = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            name = function.overloadpacket.__name__
            word = ends.get(name.removeprefix("_")) or (self.ending(args[0]) if name in passed and args else "")
            if word:
                self.seen.append((out, word))
            return out

        def ending(self, tensor) -> str:
            return next((word for seen, word in self.seen if seen is tensor), "")

    return Watch()


# ---------------------------------------------------------------------------------------------------------- answers


def answers(model, seed: int = 0) -> np.ndarray:
    """Scores (2, K) of two drawn views, as a model of any kind gives them."""
    spec = model.spec
    shape = (2, spec.num_frames or TRIED_FRAMES, *spec.crop, spec.channels)
    views = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return model.logits([views], 1)[0]


def check_output(scores: np.ndarray) -> Finding:
    """Whether scores (N, K) are finite and logits: no probabilities, nor logarithms of such."""
    if not np.isfinite(scores).all():
        return Finding("output", False, "the network gives NaN or infinity: look at its weights")
    sums, values = scores.sum(-1, dtype=np.float64), f"values from {scores.min():.4g} to {scores.max():.4g}"
    if (scores >= 0).all() and np.allclose(sums, 1, atol=1e-3):
        text = f"rows are not negative and sum to {sums.mean():.4f}: probabilities, no logits"
        return Finding("output", False, f"{text}: {NO_LOGITS}")
    if (scores <= 1e-6).all() and np.allclose(np.exp(scores.astype(np.float64)).sum(-1), 1, atol=1e-3):
        return Finding("output", False, f"rows are logarithms of probabilities, no logits: {NO_LOGITS}")
    if scores.size >= 20 and scores.min() >= 0 and scores.max() <= 1:
        return Finding("output", False, f"{values}, as behind a sigmoid, no logits: {NO_LOGITS}")
    return Finding("output", True, f"logits: {values}, rows sum to {sums.min():.4g} to {sums.max():.4g}")


# ------------------------------------------------------------------------------------------------ a labelled sample


def examine_sample(model, asked, plan) -> list[Finding]:
    """Findings about a model from the labelled videos of a plan; as ``plan_sample`` makes it.

    Raises:
        VidbenchError: no video of the sample can be read.
    """
    sample = read_sample(model, asked, plan)
    scores = np.concatenate([logits for video in sample.pixels for logits in model.logits([video])])
    findings = [_space(plan), check_output(scores)]
    return findings + probe(model, sample) if np.isfinite(scores).all() else findings


def plan_sample(card: ModelCard, config) -> tuple:
    """The evaluation that a sample is part of, and its plan: videos that are there, and what joins classes.

    Raises:
        VidbenchError: the dataset cannot be used, or has other classes than the model and no label map is given.
    """
    from vidbench.plan import make_plan

    asked = config.as_evaluation(card).checked()
    plan = make_plan(asked)
    return asked, replace(plan, records=draw(plan.records, config.limit, config.seed))


def read_sample(model, asked, plan) -> Sample:
    """The labelled videos of a plan, one view each; the model is fed as the plan says from now on.

    Raises:
        ConfigError: not one of them can be read.
    """
    from vidbench.local import open_reader

    read = []
    with open_reader(asked, plan, model.device) as reader:
        for number, views in reader.stream(enumerate(plan.records)):
            if isinstance(views, Views):
                read.append((plan.records[number].label_index, views.pixels))
    if not read:
        name = plan.dataset.name
        raise ConfigError(f"None of {len(plan.records)} videos of {name} with a class of the model can be read.")
    model.spec = plan.spec
    columns = plan.label_map.columns if plan.label_map else [(k,) for k in range(len(plan.labels))]
    return Sample([p for _, p in read], np.array([c for c, _ in read]), columns, plan.labels, model.labels)


def draw(records, limit: int, seed: int) -> list:
    """At most ``limit`` records that can be predicted, of so few classes that each has ``PER_CLASS`` where it can."""
    from vidbench.data.index import draw_subset

    usable = [record for record in records if record.status == "ok" and record.label_index >= 0]
    classes = sorted({record.label_index for record in usable})
    wanted = max(2, limit // PER_CLASS)
    if len(classes) > wanted:
        kept = set(np.random.default_rng(seed).choice(classes, wanted, replace=False).tolist())
        usable = [record for record in usable if record.label_index in kept]
    return draw_subset(usable, limit, seed) if len(usable) > limit else usable


def _space(plan) -> Finding:
    if plan.label_map is None:
        return Finding("label space", True, f"{plan.dataset.name} has the model's {len(plan.labels)} classes, in order")
    facts = plan.label_map.facts()
    return Finding(
        "label space",
        True,
        f"{facts['n_mapped']} of {len(plan.labels)} classes of {plan.dataset.name} have one of {plan.card.labels} by "
        f"{facts['source']}; {facts['n_unmapped']} are unmapped, count as wrong in an evaluation and are left out here",
    )


# ---------------------------------------------------------------------------------------------- published logits


def read_clip(paths) -> np.ndarray:
    """A clip that authors published as NumPy files.

    Args:
        paths: one ``.npy`` file, or several of the same frames whose channels go one behind the other.

    Returns:
        float32, shape (N, T, H, W, C).

    Raises:
        ConfigError: a file of another kind or shape, or with NaN or infinity.
    """
    parts = [_read_array(Path(path)) for path in paths]
    if len({part.shape[:-1] for part in parts}) > 1:
        shapes = " and ".join(str(part.shape) for part in parts)
        raise ConfigError(f"The clips are not of the same frames: their shapes are {shapes}.")
    return np.concatenate(parts, -1)


def check_golden(model, clip: np.ndarray) -> Finding:
    """Compare a model's logits on its authors' clip with those that they published.

    Args:
        model: a ``Model`` of kind ``torch`` whose card has golden logits.
        clip: float32 (1, T, H, W, C), as the network takes it but for the order of axes.

    Raises:
        ConfigError: no golden logits on the card, or a clip that is not the authors'.
    """
    golden = _check_has_golden(model.card)
    _check_clip(model, clip)
    (logits,) = logits_of_floats(model, clip)
    found = {name: float(logits[model.labels.index(name)]) for name in golden.logits}
    worst = max(found, key=lambda name: abs(found[name] - golden.logits[name]))
    norm, apart = float(np.linalg.norm(logits)), abs(found[worst] - golden.logits[worst])
    text = (
        f"{len(found)} published logits, the largest difference is {apart:.5f} ({worst}: {found[worst]:.4f}, published "
        f"{golden.logits[worst]:.4f}); length of all {norm:.4f}, published {golden.norm:.4f}"
    )
    return Finding("published logits", max(apart, abs(norm - golden.norm)) <= GOLDEN_TOLERANCE, text)


def logits_of_floats(model, clips: np.ndarray) -> np.ndarray:
    """Logits of clips that are scaled already.

    Args:
        model: a ``Model`` of kind ``torch``.
        clips: float32 (N, T, H, W, C).

    Returns:
        float32 (N, K).
    """
    import torch

    order = ["NTHWC".index(axis) for axis in model.spec.layout]
    batch = torch.from_numpy(clips).permute(order).contiguous().to(model.device)
    with torch.inference_mode():
        return model.network.module(batch).float().cpu().numpy()


def _check_has_golden(card):
    if card.golden is None or card.kind != "torch":
        from vidbench.models import CARDS

        known = ", ".join(name for name, other in CARDS.items() if other.golden)
        raise ConfigError(f"Nobody published logits of {card.name} for a clip; there are some of {known}.")
    return card.golden


def _check_clip(model, clip: np.ndarray) -> None:
    """Refuse a clip that cannot be the authors', in shape or values."""
    golden, channels = model.card.golden, len(model.spec.mean)
    if clip.shape[0] != 1 or clip.shape[-1] != channels:
        raise ConfigError(
            f"{model.card.name} is compared on {' and '.join(golden.clips)}, of shape (1, T, H, W, {channels}) "
            f"together, not {clip.shape}; see {golden.source}."
        )
    mean, std = np.array(model.spec.mean), np.array(model.spec.std)
    low, high = (-mean / std).min(), ((1 - mean) / std).max()
    if clip.min() < low - 1e-3 or clip.max() > high + 1e-3:
        raise ConfigError(
            f"The clip's values lie from {clip.min():.4g} to {clip.max():.4g}; the authors' lie in [{low:g}, {high:g}]."
        )


def _read_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise ConfigError(f"{printable(path)} is no NumPy file of numbers: {printable(problem, 120)}.") from None
    if not isinstance(array, np.ndarray) or array.ndim != 5 or array.dtype.kind != "f" or 0 in array.shape:
        kind = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise ConfigError(f"{printable(path)} must hold floats of shape (1, T, H, W, C), not {kind}.")
    if not np.isfinite(array).all():
        raise ConfigError(f"{printable(path)} holds NaN or infinity.")
    return array.astype(np.float32)
