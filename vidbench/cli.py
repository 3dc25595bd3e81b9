"""The command ``vidbench``: each of its words is a function here, and the scripts of a checkout call the same ones.

Nothing heavy is imported before the options are checked, so ``vidbench --help`` answers at once.
"""

from __future__ import annotations

import functools
import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidbench.endings import BAD_OPTIONS, run_program
from vidbench.flags import Program
from vidbench.utils import plural

if TYPE_CHECKING:  # each command imports what it needs
    from vidbench.arguments import (
        CacheConfig,
        CheckConfig,
        ConvertConfig,
        DoctorConfig,
        EvaluateConfig,
        ExtractConfig,
        FetchConfig,
        SplitConfig,
        TrainConfig,
    )
    from vidbench.ask_arguments import CompletionConfig, EnvConfig, LsConfig, PredictConfig
    from vidbench.browse_arguments import BrowseConfig
    from vidbench.run_arguments import CompareConfig, MergeConfig, PowerConfig
    from vidbench.study_arguments import AuditConfig, RobustnessConfig, TemporalConfig

# ------------------------------------------------------------------------------------- measure


def evaluate(config: EvaluateConfig) -> int:
    """A run: see ``vidbench.evaluate``."""
    from vidbench.engines import run
    from vidbench.progress import Progress

    outcome = run(config, progress=Progress())
    print(outcome.summary)
    return outcome.exit_status


def predict(config: PredictConfig) -> int:
    """What a model says about files: see ``vidbench.answer``."""
    from vidbench.answer import answer

    return answer(config, tell=lambda line: print(line, flush=True), warn=lambda line: print(line, file=sys.stderr))


def compare(config: CompareConfig) -> int:
    """Runs of the same videos against each other: see ``vidbench.compare``."""
    from vidbench.compare import compare_runs, text, write_comparison

    ensemble = config.ensemble or ()
    comparison = compare_runs(config.runs, k=config.k, baseline=config.baseline, ensemble=ensemble, seed=config.seed)
    print(text(comparison))
    print("page", write_comparison(comparison, config.out))
    return 0


def merge(config: MergeConfig) -> int:
    """Several runs as one: see ``vidbench.merge``."""
    from vidbench.evaluate import finish
    from vidbench.merge import merge

    merged = merge(config.runs, config.out, prefer_predicted=config.prefer_predicted)
    outcome = finish(merged.folder, config, ran=True)
    print(
        f"merged     {merged.num_runs} runs, {plural(merged.num_videos, 'video')}, {merged.num_repeated} of them in "
        "several runs"
    )
    print(outcome.summary)
    return outcome.exit_status


def power(config: PowerConfig) -> int:
    """How many videos a difference needs: see ``vidbench.power``."""
    from vidbench.power import describe

    a, b = config.accuracies
    print(describe(a, b, config.discordance, config.power, config.alpha, config.design_effect))
    return 0


def _told(found, text: Callable, write: Callable, out, what: str) -> int:
    """Print what a study found, before it is written; 3 where it skipped videos."""
    print(text(found))
    print(what, write(found, out))
    return 3 if found.skipped else 0


def temporal(config: TemporalConfig) -> int:
    """Whether a model needs time: see ``vidbench.temporal``."""
    from vidbench.progress import Progress
    from vidbench.temporal import study, text, write_study

    found = study(config, progress=Progress())
    return _told(found, text, write_study, config.out, "page")


def robustness(config: RobustnessConfig) -> int:
    """What a model survives: see ``vidbench.robustness``."""
    from vidbench.progress import Progress
    from vidbench.robustness import study, text, write_study

    found = study(config, progress=Progress())
    return _told(found, text, write_study, config.out, "page")


def audit_decoders(config: AuditConfig) -> int:
    """Whether decoders agree: see ``vidbench.audit``."""
    from vidbench.audit import audit, text, write_audit
    from vidbench.progress import Progress

    found = audit(config, progress=Progress())
    return _told(found, text, write_audit, config.out, "tables")


def doctor(config: DoctorConfig) -> int:
    """Whether a model does what its card says: see ``vidbench.doctor``."""
    from vidbench.doctor import examine

    diagnosis = examine(config)
    print(diagnosis.summary)
    return diagnosis.exit_status


# ------------------------------------------------------------------------------------- train


def train(config: TrainConfig) -> int:
    """A training run: see ``vidbench.train``."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # torchmetrics imports it; warns where home is read-only

    from vidbench.progress import Progress
    from vidbench.train import train

    outcome = train(config, progress=Progress(), tell=lambda line: print(line, flush=True))
    if outcome.summary:  # of several processes, one speaks
        print(outcome.summary)
    return outcome.exit_status


# ------------------------------------------------------------------------------------- data


def fetch(config: FetchConfig) -> int:
    """A dataset, or a part of it: see ``vidbench.data.fetch``."""
    from vidbench.data.fetch import fetch, make_plan
    from vidbench.progress import Progress

    plan = make_plan(config.order, dry=config.dry_run)
    print(plan.text(), flush=True)
    if config.dry_run:
        return 0 if plan.fits else 1
    outcome = fetch(config.order, progress=Progress(), plan=plan)
    print(outcome.summary)
    return outcome.exit_status


def check(config: CheckConfig) -> int:
    """What of a local copy is sound: see ``vidbench.data.check``."""
    from vidbench.data.check import check
    from vidbench.progress import Progress

    outcome = check(config, progress=Progress())
    print(outcome.summary)
    return outcome.exit_status


def split(config: SplitConfig) -> int:
    """Random splits that keep sources together: see ``vidbench.data.split``."""
    from vidbench.data.index import load_records
    from vidbench.data.split import random_splits, write_splits

    where = str(config.data_dir), str(config.split), config.fold  # filled in where they were not given
    records = load_records(config.dataset, *where, annotations=config.annotations)
    parts = random_splits(records, config.parts, seed=config.seed, by=config.by, allow_leak=config.allow_leak)
    write_splits(parts, config.out)
    print(", ".join(f"{name} {plural(len(part), 'video')}" for name, part in parts.items()), "in", config.out)
    return 0


def convert(config: ConvertConfig) -> int:
    """A dataset's list in another format: see ``vidbench.data.exports``."""
    from vidbench.data.exports import convert

    print(convert(config).words())
    return 0


def extract_frames(config: ExtractConfig) -> int:
    """Frames of videos as numbered pictures: see ``vidbench.data.extract``."""
    from vidbench.data.extract import extract
    from vidbench.progress import Progress

    outcome = extract(config, progress=Progress(), tell=lambda line: print(line, file=sys.stderr, flush=True))
    print(outcome.summary)
    return outcome.exit_status


def cache(config: CacheConfig) -> int:
    """What the clip cache holds, and its limit: see ``vidbench.data.cache``."""
    from vidbench.data.cache import ClipCache, describe_holdings

    clips = ClipCache(config.cache_dir)
    if config.no_limit:
        clips.set_limit(None)
    elif config.most_gb is not None:
        clips.set_limit(round(config.most_gb * 10**9))
    print(describe_holdings(clips))
    return 0


# ------------------------------------------------------------------------------------- ask


def ls(config: LsConfig) -> int:
    """Models, datasets or runs by name: see ``vidbench.listing``."""
    from vidbench.listing import listing

    print(listing(config))
    return 0


def browse(config: BrowseConfig) -> int:
    """Runs and videos in a browser: see ``vidbench.browse_server``."""
    from vidbench.browse_data import list_videos
    from vidbench.browse_server import serve

    with list_videos(config) as videos:
        tell = functools.partial(print, flush=True)
        serve(config.results, config.port, videos=videos, open_browser=config.open, tell=tell)
    return 0


def env(config: EnvConfig) -> int:
    """What is installed here and works: see ``vidbench.environment``."""
    from vidbench.environment import examine, text_of_json

    if config.json:
        found = examine(config.seconds)
        print(text_of_json(found))
    else:
        found = examine(config.seconds, tell=lambda line: print(line, flush=True))
    return 0 if found.works else 1


def completion(config: CompletionConfig) -> int:
    """A script that completes commands, options and names: see ``vidbench.completion``."""
    from vidbench.completion import script

    print(script(config.shell, COMMANDS))
    return 0


# ------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Command:
    """One word of the command line.

    Args:
        run: called with the checked options; returns the exit status.
        about: what it is for, in a line.
        place: where its ``Program`` is, imported when asked for: ``MODULE:NAME``, the module below ``vidbench``.
    """

    run: Callable[[Any], int]
    about: str
    place: str

    @property
    def program(self) -> Program:
        """Its options, and what ``--help`` says of them."""
        module, _, name = self.place.partition(":")
        return getattr(importlib.import_module(f"vidbench.{module}"), name)

    def start(self, words: Sequence[str]) -> int:
        """Run it with the words of a command line; returns the exit status."""
        return self.run(self.program.parse_or_exit(words))


COMMANDS = {
    "evaluate": Command(
        evaluate, "a model on a dataset: accuracy with its interval, and a report", "evaluate_arguments:EVALUATE"
    ),
    "predict": Command(predict, "what a model says about video files", "ask_arguments:PREDICT"),
    "train": Command(train, "a network, on data of yours or on a dataset", "train_arguments:TRAIN"),
    "fetch": Command(fetch, "a dataset, or a part of it; --dry-run says what it costs", "fetch_arguments:FETCH"),
    "check": Command(check, "what of a copy is missing or broken, and leaks", "check_arguments:CHECK"),
    "compare": Command(compare, "runs of the same videos: which is better, how surely", "run_arguments:COMPARE"),
    "doctor": Command(doctor, "does a model do what its card says", "doctor_arguments:DOCTOR"),
    "browse": Command(browse, "videos of a dataset, and runs, in a browser", "browse_arguments:BROWSE"),
    "ls": Command(ls, 'models, datasets or runs, such as ls models "*k400*"', "ask_arguments:LS"),
    "env": Command(env, "what is installed, what works here, what is missing for what", "ask_arguments:ENV"),
    "power": Command(power, "how many videos tell two accuracies apart", "run_arguments:POWER"),
    "merge": Command(merge, "shards made on several machines, as one run", "run_arguments:MERGE"),
    "temporal": Command(temporal, "does a model need the order of frames", "study_arguments:TEMPORAL"),
    "robustness": Command(robustness, "what damage to pictures a model survives", "study_arguments:ROBUSTNESS"),
    "audit-decoders": Command(
        audit_decoders, "would another decoder change pictures or answers", "study_arguments:AUDIT"
    ),
    "split": Command(split, "random splits that keep sources together", "list_arguments:SPLIT"),
    "convert": Command(convert, "a dataset's list in another format", "list_arguments:CONVERT"),
    "extract-frames": Command(extract_frames, "videos as numbered pictures, once", "list_arguments:EXTRACT"),
    "cache": Command(cache, "what decoded clips take, and their limit", "fetch_arguments:CACHE"),
    "completion": Command(completion, "a script for your shell's Tab key", "ask_arguments:COMPLETION"),
}


def usage() -> str:
    """The text of ``vidbench --help``."""
    width = max(map(len, COMMANDS)) + 2
    lines = ["usage: vidbench COMMAND [options]", "", "Learn video classification, and measure it.", ""]
    lines += [f"  {name:<{width}}{command.about}" for name, command in COMMANDS.items()]
    lines += [
        "",
        "vidbench COMMAND --help explains a command's options; @FILE stands for the options in a file.",
        "Texts and pages that say scripts/NAME.py mean vidbench NAME too: in a checkout both do the same.",
    ]
    return "\n".join(lines)


def dispatch(words: Sequence[str]) -> int:
    """Run the command that the first word names."""
    from vidbench import __version__
    from vidbench.utils import nearest_hint, printable

    if words and words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words and words[0] == "--version":
        print(f"vidbench {__version__}")
        return 0
    if not words:
        print(usage(), file=sys.stderr)
        return BAD_OPTIONS
    name = words[0]
    if name not in COMMANDS:
        print(f"vidbench: there is no command {printable(name, 60)!r}.{nearest_hint(name, COMMANDS)}", file=sys.stderr)
        print("(vidbench --help lists the commands)", file=sys.stderr)
        return BAD_OPTIONS
    return COMMANDS[name].start(words[1:])


def main() -> int:
    """The entry point ``vidbench``."""
    name = " ".join(["vidbench", *[word for word in sys.argv[1:2] if word in COMMANDS]])
    return run_program(lambda: dispatch(sys.argv[1:]), name)


def run_script(file: str) -> int:
    """A script of ``scripts/``, by its ``__file__``: the command of that name."""
    script = file.replace("\\", "/").rpartition("/")[2]
    command = COMMANDS[script.removesuffix(".py").replace("_", "-")]
    return run_program(lambda: command.start(sys.argv[1:]), script)
