"""Options of the programs that run a model several times over the same videos: temporal, robustness, audit_decoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from vidbench.data.corrupt import STRENGTHS
from vidbench.evaluate_arguments import PROTOCOLS, EvaluateConfig
from vidbench.flags import Options, Program, one_of, option, parse_or_exit, path, several, text, whole
from vidbench.option_kinds import temporal
from vidbench.records import DECODERS

CHANGES = "what is changed"
WHERE = "where results go"
EXIT_STATUS = """\
Each run is a run folder of its own below --out. The same command continues where it stopped.

exit status
  0    done
  1    the work could not be done: a run folder in use or of other options, or a fault of ours
  2    a bad option; nothing was begun
  3    done, but more than 1 % of the videos were skipped in some run
  130  stopped by Ctrl-C; the same command continues"""


@several
def temporals(value) -> tuple[str, ...]:
    """One change of time or several."""
    return tuple(temporal(item) for item in ((value,) if isinstance(value, str) else value))


@several
def corruptions(value) -> tuple[str, ...]:
    """Names of corruptions, one or several."""
    return tuple(one_of(*STRENGTHS)(item) for item in ((value,) if isinstance(value, str) else value))


@several
def severities(value) -> tuple[int, ...]:
    """One severity or several."""
    return tuple(whole(1, 5)(item) for item in ((value,) if isinstance(value, (str, int)) else value))


@several
def decoders(value) -> tuple[str, ...]:
    """Names of decoders, two or more, without repeats."""
    names = tuple(dict.fromkeys(one_of(*DECODERS)(item) for item in ((value,) if isinstance(value, str) else value)))
    if len(names) < 2:
        raise ValueError(f"must be two or more of {', '.join(DECODERS)}")
    return names


def _as_evaluate(name: str, more: str = "", said: str = ""):
    """An option of ``scripts/evaluate.py`` with its checks, its help or what is ``said``, and ``more`` behind that."""
    field = EvaluateConfig.__dataclass_fields__[name]
    metadata = {**field.metadata, "help": (said or field.metadata["help"]) + more}
    return dataclasses.field(default=field.default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class StudyConfig(Options):
    """What all of these programs take from ``scripts/evaluate.py``: the same flags with the same meaning."""

    model: str = _as_evaluate("model")
    weights: str | None = _as_evaluate("weights")
    dataset: str = _as_evaluate("dataset")
    data_dir: str | None = _as_evaluate("data_dir")
    annotations: str | None = _as_evaluate("annotations")
    split: str | None = _as_evaluate("split")
    fold: int = _as_evaluate("fold")
    classes: tuple[str, ...] | None = _as_evaluate("classes")
    limit: int | None = _as_evaluate("limit")
    seed: int = _as_evaluate("seed")
    present_only: bool = _as_evaluate("present_only")
    label_map: str | None = _as_evaluate("label_map")
    batch_size: int = _as_evaluate("batch_size")
    num_workers: int | None = _as_evaluate("num_workers")
    device: str = _as_evaluate("device")
    protocol: str = _as_evaluate("protocol", ". Every run of the study has these views", PROTOCOLS)
    timeout: float = _as_evaluate("timeout")
    cache_dir: str = _as_evaluate("cache_dir")
    no_cache: bool = _as_evaluate("no_cache")

    def evaluation(self, **changes) -> EvaluateConfig:
        """One of the runs, in fp32 so that none differs by its rounding alone; ``changes`` as ``EvaluateConfig``.

        A ``target`` is not passed on: what was published speaks of unchanged videos, whose run names it.
        """
        names = {field.name for field in dataclasses.fields(EvaluateConfig)}
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name in names}
        return EvaluateConfig(**shared | {"precision": "fp32", "target": None} | changes)


SINGLE_FRAME = (
    "a model that scores single frames, run on the same videos unchanged: what can be had without time. The word none "
    "leaves it out"
)


@dataclass(frozen=True, kw_only=True)
class TemporalConfig(StudyConfig):
    """What ``scripts/temporal.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    target: str | None = _as_evaluate("target", ". The verdict is that of the unchanged videos")
    changes: tuple[str, ...] = option(
        temporals,
        "changes of time, as --temporal of evaluate.py names them. Each is a run over all videos",
        group=CHANGES,
        metavar="CHANGE",
        default=("shuffle", "reverse", "freeze-first", "freeze-middle", "half-speed", "fps:4"),
        shown="default: shuffle reverse freeze-first freeze-middle half-speed fps:4",
    )
    single_frame: str | None = option(
        text,
        SINGLE_FRAME,
        group=CHANGES,
        metavar="MODEL",
        default=None,
        shown="default: one with the same classes and weights of its own, where there is one",
    )
    out: str = option(
        path,
        "folder for temporal.html, changes.csv, classes.csv and the runs. Files of these names in it are replaced",
        group=WHERE,
        metavar="DIR",
        default="results/temporal",
    )


@dataclass(frozen=True, kw_only=True)
class RobustnessConfig(StudyConfig):
    """What ``scripts/robustness.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    target: str | None = _as_evaluate("target", ". The verdict is that of the unchanged videos")
    corruptions: tuple[str, ...] = option(
        corruptions,
        f"what is done to the videos: {', '.join(STRENGTHS)}. Time grows with their number",
        group=CHANGES,
        metavar="NAME",
        default=tuple(STRENGTHS),
        shown="default: all",
    )
    severities: tuple[int, ...] = option(
        severities,
        "how strongly, from 1 to 5. Each corruption at each severity is a run of each model",
        group=CHANGES,
        default=(1, 2, 3, 4, 5),
        shown="default: 1 2 3 4 5",
    )
    single_frame: str | None = option(
        text,
        "a model that scores single frames, run on the same videos: its errors are what the corruption error is "
        "relative to. The word none leaves it, and the corruption error, out",
        group=CHANGES,
        metavar="MODEL",
        default=None,
        shown="default: one with the same classes and weights of its own, where there is one",
    )
    out: str = option(
        path,
        "folder for robustness.html, robustness.csv and the runs. Files of these names in it are replaced",
        group=WHERE,
        metavar="DIR",
        default="results/robustness",
    )


@dataclass(frozen=True, kw_only=True)
class AuditConfig(StudyConfig):
    """What ``scripts/audit_decoders.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    decoders: tuple[str, ...] | None = option(
        decoders,
        f"two or more of {', '.join(DECODERS)}. All others are compared with the first",
        group=CHANGES,
        metavar="NAME",
        default=None,
        shown="default: all that are installed",
    )
    compare: int = option(
        whole(1, 10**6),
        "videos whose pixels are compared, drawn by --seed from all classes alike. Time grows with it",
        group=CHANGES,
        default=24,
    )
    out: str = option(
        path,
        "folder for indices.csv, pixels.csv, flips.csv and the runs. Files of these names in it are replaced",
        group=WHERE,
        metavar="DIR",
        default="results/decoders",
    )


TEMPORAL = Program(
    name="temporal.py",
    description="Ask whether a model needs time: run it on the same videos shuffled, reversed, stopped and slowed.",
    usage="temporal.py [-h] --model NAME --dataset NAME [options]",
    epilog=EXIT_STATUS,
)


def parse_temporal_study(arguments: Sequence[str] | None = None) -> TemporalConfig:
    """Options of ``scripts/temporal.py``. See ``arguments.parse_evaluate``."""
    return parse_or_exit(TemporalConfig, arguments, TEMPORAL)


ROBUSTNESS = Program(
    name="robustness.py",
    description="Run a model on the same videos made worse in nine ways, and compare with a single-frame model.",
    usage="robustness.py [-h] --model NAME --dataset NAME [options]",
    epilog=EXIT_STATUS,
)


def parse_robustness(arguments: Sequence[str] | None = None) -> RobustnessConfig:
    """Options of ``scripts/robustness.py``. See ``arguments.parse_evaluate``."""
    return parse_or_exit(RobustnessConfig, arguments, ROBUSTNESS)


AUDIT = Program(
    name="audit_decoders.py",
    description="Read the same frames with every installed decoder: do pictures, pixels, colours and answers agree?",
    usage="audit_decoders.py [-h] --model NAME --dataset NAME [options]",
    epilog=EXIT_STATUS,
)


def parse_audit(arguments: Sequence[str] | None = None) -> AuditConfig:
    """Options of ``scripts/audit_decoders.py``. See ``arguments.parse_evaluate``."""
    return parse_or_exit(AuditConfig, arguments, AUDIT)
