"""The runs behind a study: one model on the same videos again and again, each time with something changed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from vidbench import compare, evaluate, intervals, models
from vidbench.asked import PRESETS, read_protocol
from vidbench.manifest_words import protocol_words
from vidbench.records import ConfigError, RunError
from vidbench.summary import verdict_words
from vidbench.utils import printable

VIEWS = ("num_clips", "num_crops", "average")  # what of a protocol is about views, and not about one network's input


@dataclass(frozen=True)
class Variant:
    """One run of a study.

    Args:
        name: what is changed, or ``plain``; unique within a model.
        model: full name of the model.
        entry: how the run did, for ``vidbench.compare``.
        skipped: whether more videos were skipped than allowed.
        verdict: on the published result that is closest, in words; empty where nothing was published.
    """

    name: str
    model: str
    entry: compare.Entry
    skipped: bool
    verdict: str = ""


def run_variants(asked: Sequence[tuple], progress=None, *, keep=("plain",)) -> list[Variant]:
    """Make, or continue, one run for each ``(name, EvaluateConfig)``, and read them all back on the same videos.

    The first is the one that others are compared with. All options are checked before the first run begins.

    Args:
        asked: the runs; a name is unique within a model.
        progress: as for ``evaluate.evaluate``; before each run, ``part("run 2 of 9: reverse")`` is called.
        keep: names of runs whose rows are looked at again; those of all others are let go.

    Raises:
        VidbenchError: as ``evaluate.evaluate`` and ``compare.read_entries``.
        KeyboardInterrupt: a run was stopped; the same call continues it.
    """
    with _in_words_of_a_study():
        asked = [(name, config.checked()) for name, config in asked]
    outcomes = []
    for place, (name, config) in enumerate(asked, start=1):
        if progress:
            progress.part(f"run {place} of {len(asked)}: {_words_of(name, config)}")
        with _in_words_of_a_study():
            outcomes.append(evaluate.evaluate(config, progress=progress))
        if outcomes[-1].exit_status == evaluate.EXIT_INTERRUPTED:
            raise KeyboardInterrupt
    first, found = outcomes[0].run_folder, []
    for (name, config), outcome in zip(asked, outcomes):  # one by one: the rows of a hundred runs need not fit
        entry = compare.read_entries([first, outcome.run_folder])[0][1]
        if name not in keep:
            entry = dataclasses.replace(entry, rows=(), run=dataclasses.replace(entry.run, rows=()))
        model = models.find_card(config.model, config.weights).name
        verdict = "".join(verdict_words(outcome.metrics.get("published")))
        found.append(Variant(name, model, entry, outcome.exit_status != evaluate.EXIT_OK, verdict))
    return found


def unchanged_facts(plain: Variant) -> dict[str, str]:
    """The ``protocol`` of the run on unchanged videos in words, and its ``verdict`` where something was published.

    The runs on changed videos have the same views and no verdict: what was published is of unchanged videos.
    """
    facts = {"protocol": protocol_words(plain.entry.run.manifest), "verdict": plain.verdict}
    return {name: printable(words, 800) for name, words in facts.items() if words}


def _words_of(name: str, config) -> str:
    return f"{name}, {config.model}" if config.model not in (None, name) else name


@contextlib.contextmanager
def _in_words_of_a_study():
    """Advice that names an option of ``evaluate.py`` names the one of a study instead."""
    try:
        yield
    except (ConfigError, RunError) as problem:
        kind = ConfigError if isinstance(problem, ConfigError) else RunError
        words = str(problem).replace("another --run-name", "another --out").replace("--results-dir", "--out: its part")
        raise kind(words) from None


def single_frame_model(asked: str | None, model: str, weights: str | None) -> str | None:
    """The full name of the model that scores single frames; ``None`` where there is none, or none is wanted.

    Without a name it is the first card with the same classes, single frames and weights of its own.

    Raises:
        ConfigError: a model that sees more than single frames.
    """
    if asked == "none":
        return None
    card = models.find_card(model, weights)
    if asked is None:
        same = (other for other in models.CARDS.values() if other.labels == card.labels and other.name != card.name)
        return next((other.name for other in same if other.input.layout == "NCHW" and not other.weights.absent), None)
    other = models.find_card(asked)
    if other.input.layout != "NCHW":
        raise ConfigError(f"--single-frame {printable(other.name, 80)} sees {other.input.num_frames} frames at once")
    return other.name


def beside(config, single: str) -> dict:
    """Options that make a study's run one of the single-frame model: as many views, averaged in the same way.

    Frames, sizes and colours in a protocol file are those of the study's own model and stay with it.

    Args:
        config: a ``vidbench.study_arguments.StudyConfig``.
        single: as ``single_frame_model`` gives it.

    Raises:
        ConfigError: a protocol file that cannot be used.
    """
    changes = {"model": single, "weights": None}
    if config.protocol in PRESETS:
        return changes
    given = read_protocol(config.protocol)
    return {**changes, "protocol": "card", **{name: given[name] for name in VIEWS if name in given}}


def change_of(first: compare.Entry, other: compare.Entry, places=None) -> dict:
    """Accuracy of a run minus that of another on the same videos, as ``intervals.paired_difference`` gives it.

    Args:
        first: what is taken off.
        other: the run whose change is asked for; the same videos in the same order.
        places: int64 positions of the videos that count; ``None`` for all.
    """
    groups = [row.group for row in first.rows]
    if places is None:
        return intervals.paired_difference(first.right, other.right, groups)
    return intervals.paired_difference(first.right[places], other.right[places], [groups[place] for place in places])
