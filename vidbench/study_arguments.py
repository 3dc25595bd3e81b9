"""Options of the programs that run a model several times over the same videos: temporal, robustness, audit_decoders."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from vidbench.data.corrupt import STRENGTHS
from vidbench.evaluate_arguments import TARGET, EvaluateConfig
from vidbench.flags import Program, like, under
from vidbench.kinds import each, one_of, path, several, text, whole
from vidbench.option_kinds import temporal
from vidbench.records import DECODERS
from vidbench.shared_options import PROTOCOLS, RunOptions, results

changed = under("what is changed")
EXIT_STATUS = """\
Each run is a run folder of its own below --out. The same command continues where it stopped.

exit status
  0    done
  1    the work could not be done: a run folder in use or of other options, or a fault of ours
  2    a bad option; nothing was begun
  3    done, but more than 1 % of the videos were skipped in some run
  130  stopped by Ctrl-C (143: by SIGTERM); the same command continues"""


@several
def decoders(value) -> tuple[str, ...]:
    """Names of decoders, two or more, without repeats."""
    names = tuple(dict.fromkeys(one_of(*DECODERS)(item) for item in ((value,) if isinstance(value, str) else value)))
    if len(names) < 2:
        raise ValueError(f"must be two or more of {', '.join(DECODERS)}")
    return names


@dataclass(frozen=True, kw_only=True)
class StudyConfig(RunOptions):
    """What all of these programs take from ``scripts/evaluate.py``: the same flags with the same meaning."""

    model: str = like(RunOptions, "model")
    dataset: str = like(RunOptions, "dataset")
    protocol: str = like(RunOptions, "protocol", help=f"{PROTOCOLS}. Every run of the study has these views")

    def evaluation(self, **changes) -> EvaluateConfig:
        """One of the runs, in fp32 so that none differs by its rounding alone; ``changes`` as ``EvaluateConfig``.

        A ``target`` is not passed on: what was published speaks of unchanged videos, whose run names it.
        """
        names = {field.name for field in dataclasses.fields(EvaluateConfig)}
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name in names}
        return EvaluateConfig(**shared | {"precision": "fp32", "target": None} | changes)


@dataclass(frozen=True, kw_only=True)
class TemporalConfig(StudyConfig):
    """What ``scripts/temporal.py`` does: its flags, with underscores."""

    target: str | None = like(EvaluateConfig, "target", help=f"{TARGET}. The verdict is that of the unchanged videos")
    changes: tuple[str, ...] = changed(
        each(temporal),
        "changes of time, as --temporal of evaluate.py names them. Each is a run over all videos",
        metavar="CHANGE",
        default=("shuffle", "reverse", "freeze-first", "freeze-middle", "half-speed", "fps:4"),
    )
    single_frame: str | None = changed(
        text,
        "a model that scores single frames, run on the same videos unchanged: what can be had without time. The word "
        "none leaves it out",
        metavar="MODEL",
        shown="default: one with the same classes and weights of its own, where there is one",
    )
    out: str = results(
        path,
        "folder for temporal.html, changes.csv, classes.csv and the runs. Files of these names in it are replaced",
        metavar="DIR",
        default="results/temporal",
    )


@dataclass(frozen=True, kw_only=True)
class RobustnessConfig(StudyConfig):
    """What ``scripts/robustness.py`` does: its flags, with underscores."""

    target: str | None = like(TemporalConfig, "target")
    corruptions: tuple[str, ...] = changed(
        each(one_of(*STRENGTHS)),
        f"what is done to the videos: {', '.join(STRENGTHS)}. Time grows with their number",
        metavar="NAME",
        default=tuple(STRENGTHS),
        shown="default: all",
    )
    severities: tuple[int, ...] = changed(
        each(whole(1, 5)),
        "how strongly, from 1 to 5. Each corruption at each severity is a run of each model",
        default=(1, 2, 3, 4, 5),
    )
    single_frame: str | None = like(
        TemporalConfig,
        "single_frame",
        help="a model that scores single frames, run on the same videos: its errors are what the corruption error is "
        "relative to. The word none leaves it, and the corruption error, out",
    )
    out: str = results(
        path,
        "folder for robustness.html, robustness.csv and the runs. Files of these names in it are replaced",
        metavar="DIR",
        default="results/robustness",
    )


@dataclass(frozen=True, kw_only=True)
class AuditConfig(StudyConfig):
    """What ``scripts/audit_decoders.py`` does: its flags, with underscores."""

    decoders: tuple[str, ...] | None = changed(
        decoders,
        f"two or more of {', '.join(DECODERS)}. All others are compared with the first",
        metavar="NAME",
        shown="default: all that are installed",
    )
    compare: int = changed(
        whole(1, 10**6),
        "videos whose pixels are compared, drawn by --seed from all classes alike. Time grows with it",
        default=24,
    )
    out: str = results(
        path,
        "folder for indices.csv, pixels.csv, flips.csv and the runs. Files of these names in it are replaced",
        metavar="DIR",
        default="results/decoders",
    )


TEMPORAL = Program(
    TemporalConfig,
    name="temporal.py",
    description="Ask whether a model needs time: run it on the same videos shuffled, reversed, stopped and slowed.",
    usage="temporal.py [-h] --model NAME --dataset NAME [options]",
    epilog=EXIT_STATUS,
)


ROBUSTNESS = Program(
    RobustnessConfig,
    name="robustness.py",
    description="Run a model on the same videos made worse in nine ways, and compare with a single-frame model.",
    usage="robustness.py [-h] --model NAME --dataset NAME [options]",
    epilog=EXIT_STATUS,
)


AUDIT = Program(
    AuditConfig,
    name="audit_decoders.py",
    description="Read the same frames with every installed decoder: do pictures, pixels, colours and answers agree?",
    usage="audit_decoders.py [-h] --model NAME --dataset NAME [options]",
    epilog=EXIT_STATUS,
)
