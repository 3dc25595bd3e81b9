"""The command ``vidbench``: each of its words is a function here, and the scripts of a checkout call the same ones.

Nothing heavy is imported before the options are checked, so ``vidbench --help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vidbench.flags import BAD_OPTIONS, run_program

Words = Sequence[str]

# ------------------------------------------------------------------------------------- measure


def evaluate(words: Words) -> int:
    """A run: see ``vidbench.evaluate``."""
    from vidbench.arguments import parse_evaluate

    config = parse_evaluate(words)

    from vidbench.engines import run
    from vidbench.progress import Progress

    outcome = run(config, progress=Progress())
    print(outcome.summary)
    return outcome.exit_status


def predict(words: Words) -> int:
    """What a model says about files: see ``vidbench.answer``."""
    from vidbench.ask_arguments import parse_predict

    config = parse_predict(words)

    from vidbench.answer import answer

    return answer(config, tell=lambda line: print(line, flush=True), warn=lambda line: print(line, file=sys.stderr))


def compare(words: Words) -> int:
    """Runs of the same videos against each other: see ``vidbench.compare``."""
    from vidbench.run_arguments import parse_compare

    config = parse_compare(words)

    from vidbench.compare import compare_runs, text, write_comparison

    options: dict[str, Any] = {
        "k": config.k,
        "baseline": config.baseline,
        "ensemble": config.ensemble or (),
        "seed": config.seed,
    }
    comparison = compare_runs(config.runs, **options)
    print(text(comparison))
    print("page", write_comparison(comparison, config.out))
    return 0


def merge(words: Words) -> int:
    """Several runs as one: see ``vidbench.merge``."""
    from vidbench.run_arguments import parse_merge

    config = parse_merge(words)

    from vidbench.evaluate import finish
    from vidbench.merge import merge

    merged = merge(config.runs, config.out, prefer_predicted=config.prefer_predicted)
    outcome = finish(merged.folder, config, ran=True)
    print(
        f"merged     {merged.num_runs} runs, {merged.num_videos} videos, {merged.num_repeated} of them in several runs"
    )
    print(outcome.summary)
    return outcome.exit_status


def power(words: Words) -> int:
    """How many videos a difference needs: see ``vidbench.power``."""
    from vidbench.run_arguments import parse_power

    config = parse_power(words)

    from vidbench.power import describe

    a, b = config.accuracies
    print(describe(a, b, config.discordance, config.power, config.alpha, config.design_effect))
    return 0


def _told(found, text: Callable, write: Callable, out, what: str) -> int:
    """Print what a study found, before it is written; 3 where it skipped videos."""
    print(text(found))
    print(what, write(found, out))
    return 3 if found.skipped else 0


def temporal(words: Words) -> int:
    """Whether a model needs time: see ``vidbench.temporal``."""
    from vidbench.study_arguments import parse_temporal_study

    config = parse_temporal_study(words)

    from vidbench.progress import Progress
    from vidbench.temporal import study, text, write_study

    found = study(config, progress=Progress())
    return _told(found, text, write_study, config.out, "page")


def robustness(words: Words) -> int:
    """What a model survives: see ``vidbench.robustness``."""
    from vidbench.study_arguments import parse_robustness

    config = parse_robustness(words)

    from vidbench.progress import Progress
    from vidbench.robustness import study, text, write_study

    found = study(config, progress=Progress())
    return _told(found, text, write_study, config.out, "page")


def audit_decoders(words: Words) -> int:
    """Whether decoders agree: see ``vidbench.audit``."""
    from vidbench.study_arguments import parse_audit

    config = parse_audit(words)

    from vidbench.audit import audit, text, write_audit
    from vidbench.progress import Progress

    found = audit(config, progress=Progress())
    return _told(found, text, write_audit, config.out, "tables")


def doctor(words: Words) -> int:
    """Whether a model does what its card says: see ``vidbench.doctor``."""
    from vidbench.arguments import parse_doctor

    config = parse_doctor(words)

    from vidbench.doctor import examine

    diagnosis = examine(config)
    print(diagnosis.summary)
    return diagnosis.exit_status


# ------------------------------------------------------------------------------------- train


def train(words: Words) -> int:
    """A training run: see ``vidbench.train``."""
    from vidbench.arguments import parse_train

    config = parse_train(words)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # torchmetrics imports it; warns where home is read-only

    from vidbench.progress import Progress
    from vidbench.train import train

    outcome = train(config, progress=Progress(), tell=lambda line: print(line, flush=True))
    if outcome.summary:  # of several processes, one speaks
        print(outcome.summary)
    return outcome.exit_status


# ------------------------------------------------------------------------------------- data


def fetch(words: Words) -> int:
    """A dataset, or a part of it: see ``vidbench.data.fetch``."""
    from vidbench.arguments import parse_fetch

    config = parse_fetch(words)

    from vidbench.data.fetch import fetch, make_plan
    from vidbench.progress import Progress

    plan = make_plan(config.order, dry=config.dry_run)
    print(plan.text(), flush=True)
    if config.dry_run:
        return 0 if plan.fits else 1
    outcome = fetch(config.order, progress=Progress(), plan=plan)
    print(outcome.summary)
    return outcome.exit_status


def check(words: Words) -> int:
    """What of a local copy is sound: see ``vidbench.data.check``."""
    from vidbench.arguments import parse_check

    config = parse_check(words)

    from vidbench.data.check import check
    from vidbench.progress import Progress

    outcome = check(config, progress=Progress())
    print(outcome.summary)
    return outcome.exit_status


def split(words: Words) -> int:
    """Random splits that keep sources together: see ``vidbench.data.split``."""
    from vidbench.arguments import parse_split

    config = parse_split(words)

    from vidbench.data.index import load_records
    from vidbench.data.split import random_splits, write_splits

    where: dict[str, Any] = {"root": config.data_dir, "split": config.split, "annotations": config.annotations}
    records = load_records(config.dataset, fold=config.fold, **where)
    parts = random_splits(records, config.parts, seed=config.seed, by=config.by, allow_leak=config.allow_leak)
    write_splits(parts, config.out)
    print(", ".join(f"{name} {len(part)} videos" for name, part in parts.items()), "in", config.out)
    return 0


def convert(words: Words) -> int:
    """A dataset's list in another format: see ``vidbench.data.exports``."""
    from vidbench.arguments import parse_convert

    config = parse_convert(words)

    from vidbench.data.exports import convert

    print(convert(config).words())
    return 0


def extract_frames(words: Words) -> int:
    """Frames of videos as numbered pictures: see ``vidbench.data.extract``."""
    from vidbench.arguments import parse_extract

    config = parse_extract(words)

    from vidbench.data.extract import extract
    from vidbench.progress import Progress

    outcome = extract(config, progress=Progress(), tell=lambda line: print(line, file=sys.stderr, flush=True))
    print(outcome.summary)
    return outcome.exit_status


def cache(words: Words) -> int:
    """What the clip cache holds, and its limit: see ``vidbench.data.cache``."""
    from vidbench.arguments import parse_cache

    config = parse_cache(words)

    from vidbench.data.cache import ClipCache, describe_holdings

    clips = ClipCache(config.cache_dir)
    if config.no_limit:
        clips.set_limit(None)
    elif config.most_gb is not None:
        clips.set_limit(round(config.most_gb * 10**9))
    print(describe_holdings(clips))
    return 0


# ------------------------------------------------------------------------------------- ask


def ls(words: Words) -> int:
    """Models, datasets or runs by name: see ``vidbench.listing``."""
    from vidbench.ask_arguments import parse_ls

    config = parse_ls(words)

    from vidbench.listing import listing

    print(listing(config))
    return 0


def env(words: Words) -> int:
    """What is installed here and works: see ``vidbench.environment``."""
    from vidbench.ask_arguments import parse_env

    config = parse_env(words)

    from vidbench.environment import examine, text_of_json

    if config.json:
        found = examine(config.seconds)
        print(text_of_json(found))
    else:
        found = examine(config.seconds, tell=lambda line: print(line, flush=True))
    return 0 if found.works else 1


def completion(words: Words) -> int:
    """A script that completes commands, options and names: see ``vidbench.completion``."""
    from vidbench.ask_arguments import parse_completion

    config = parse_completion(words)

    from vidbench.completion import script

    print(script(config.shell, COMMANDS))
    return 0


# ------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Command:
    """One word of the command line.

    Args:
        run: called with the words after it; returns the exit status.
        about: what it is for, in a line.
        module: the module of ``vidbench`` that holds its options.
        options: the name of their dataclass there; that of the ``Program`` is the command's in capitals.
        program: where the ``Program`` is called otherwise.
        first: the options that words in front may stand for, without their flags.
    """

    run: Callable[[Words], int]
    about: str
    module: str
    options: str
    program: str
    first: tuple[str, ...] = ()


COMMANDS = {
    "evaluate": Command(
        evaluate,
        "a model on a dataset: accuracy with its interval, and a report",
        "arguments",
        "EvaluateConfig",
        "EVALUATE",
    ),
    "predict": Command(
        predict, "what a model says about video files", "ask_arguments", "PredictConfig", "PREDICT", ("videos",)
    ),
    "train": Command(train, "a network, on data of yours or on a dataset", "arguments", "TrainConfig", "TRAIN"),
    "fetch": Command(
        fetch,
        "a dataset, or a part of it; --dry-run says what it costs",
        "arguments",
        "FetchConfig",
        "FETCH",
        ("dataset",),
    ),
    "check": Command(
        check, "what of a copy is missing or broken, and leaks", "arguments", "CheckConfig", "CHECK", ("dataset",)
    ),
    "compare": Command(
        compare,
        "runs of the same videos: which is better, how surely",
        "run_arguments",
        "CompareConfig",
        "COMPARE",
        ("runs",),
    ),
    "doctor": Command(doctor, "does a model do what its card says", "arguments", "DoctorConfig", "DOCTOR", ("model",)),
    "ls": Command(
        ls,
        'models, datasets or runs, such as ls models "*k400*"',
        "ask_arguments",
        "LsConfig",
        "LS",
        ("what", "pattern"),
    ),
    "env": Command(
        env, "what is installed, what works here, what is missing for what", "ask_arguments", "EnvConfig", "ENV"
    ),
    "power": Command(
        power, "how many videos tell two accuracies apart", "run_arguments", "PowerConfig", "POWER", ("accuracies",)
    ),
    "merge": Command(
        merge, "shards made on several machines, as one run", "run_arguments", "MergeConfig", "MERGE", ("runs",)
    ),
    "temporal": Command(
        temporal, "does a model need the order of frames", "study_arguments", "TemporalConfig", "TEMPORAL"
    ),
    "robustness": Command(
        robustness, "what damage to pictures a model survives", "study_arguments", "RobustnessConfig", "ROBUSTNESS"
    ),
    "audit-decoders": Command(
        audit_decoders, "would another decoder change pictures or answers", "study_arguments", "AuditConfig", "AUDIT"
    ),
    "split": Command(
        split, "random splits that keep sources together", "arguments", "SplitConfig", "SPLIT", ("dataset",)
    ),
    "convert": Command(
        convert, "a dataset's list in another format", "arguments", "ConvertConfig", "CONVERT", ("dataset",)
    ),
    "extract-frames": Command(
        extract_frames, "videos as numbered pictures, once", "arguments", "ExtractConfig", "EXTRACT", ("dataset",)
    ),
    "cache": Command(cache, "what decoded clips take, and their limit", "arguments", "CacheConfig", "CACHE_PROGRAM"),
    "completion": Command(
        completion, "a script for your shell's Tab key", "ask_arguments", "CompletionConfig", "COMPLETION", ("shell",)
    ),
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


def dispatch(words: Words) -> int:
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
    return COMMANDS[name].run(words[1:])


def main() -> int:
    """The entry point ``vidbench``."""
    name = " ".join(["vidbench", *[word for word in sys.argv[1:2] if word in COMMANDS]])
    return run_program(lambda: dispatch(sys.argv[1:]), name)


def run_script(file: str) -> int:
    """A script of ``scripts/``, by its ``__file__``: the command of that name."""
    script = file.replace("\\", "/").rpartition("/")[2]
    command = COMMANDS[script.removesuffix(".py").replace("_", "-")]
    return run_program(lambda: command.run(sys.argv[1:]), script)
