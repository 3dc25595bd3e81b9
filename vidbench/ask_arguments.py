"""Options of the programs that answer at once: predict, ls, env, completion."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from vidbench.flags import (
    Options,
    Program,
    first_words,
    number,
    one_of,
    option,
    parse_or_exit,
    path,
    switch,
    text,
    whole,
)
from vidbench.option_kinds import ABOUT_DEVICE, device, weights
from vidbench.records import DECODERS
from vidbench.run_arguments import paths

ASKED = "what is asked"
HOW = "how"
SHOWN = "what is shown"
SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Options):
    """What ``vidbench predict`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    videos: tuple[str, ...] = option(
        paths,
        "video files, or folders of numbered pictures; may stand first, without the flag",
        group=ASKED,
        metavar="FILE",
    )
    model: str | None = option(
        text,
        "the model, named architecture.weights. The shipped one knows vidmini's twelve drawn classes only; "
        "r2plus1d_18.kinetics400_v1 knows 400 actions, and its weights are fetched once",
        group=ASKED,
        metavar="NAME",
        default=None,
        shown="default: mini_r2plus1d.vidmini_v1, or what the weights say",
    )
    weights: str | None = option(
        weights,
        "file or folder of weights. A checkpoint of train.py carries its model, so none has to be named",
        group=ASKED,
        metavar="PATH",
        default=None,
        shown="default: the card's own",
    )
    device: str = option(
        device,
        ABOUT_DEVICE,
        group=HOW,
        metavar="NAME",
        default="auto",
    )
    decoder: str = option(
        one_of(*DECODERS), f"{', '.join(DECODERS)}, as for evaluate.py", group=HOW, metavar="NAME", default="pyav"
    )
    timeout: float = option(
        number(0, 86400, "seconds"),
        "seconds that reading one file may take. It is given up then, and the others go on",
        group=HOW,
        metavar="S",
        default=60.0,
    )
    top: int = option(whole(1, 10**6), "show the N most likely classes", group=SHOWN, default=5)
    json: bool = option(switch, "write JSON instead of a table", group=SHOWN, default=False)


@dataclass(frozen=True, kw_only=True)
class LsConfig(Options):
    """What ``vidbench ls`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    what: str = option(
        one_of("models", "datasets", "runs"),
        "models, datasets or runs; may stand first, without the flag",
        group=ASKED,
        metavar="WHAT",
    )
    pattern: str = option(
        text,
        "names that match a shell pattern such as *k400*; a word without *, ? or [ is looked for anywhere in the name. "
        "Models are found by the name of their classes too, such as kinetics400. May stand second, without the flag",
        group=ASKED,
        metavar="PATTERN",
        default="*",
        shown="default: all",
    )
    results_dir: str = option(path, "the folder that holds the runs", group=ASKED, metavar="DIR", default="results")
    json: bool = option(switch, "write JSON instead of a table", group=SHOWN, default=False)


@dataclass(frozen=True, kw_only=True)
class EnvConfig(Options):
    """What ``vidbench env`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    seconds: float = option(
        number(0, 3600, "seconds"),
        "what one trial may take, in a process beside this one. One that takes longer is given up and counts as failed",
        group=HOW,
        metavar="S",
        default=120.0,
    )
    json: bool = option(switch, "write JSON instead of a table", group=SHOWN, default=False)


@dataclass(frozen=True, kw_only=True)
class CompletionConfig(Options):
    """What ``vidbench completion`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    shell: str = option(
        one_of(*SHELLS),
        f"{', '.join(SHELLS)}; may stand first, without the flag",
        group=ASKED,
        metavar="SHELL",
    )


PREDICT = Program(
    name="vidbench predict",
    description="Ask a model about video files: its most likely classes for each, with their probabilities.",
    usage="vidbench predict FILE [FILE ...] [--model NAME] [options]",
    epilog="""\
Each file is read in a process of its own, so that a damaged one costs one line. Probabilities are the average over the
views of the model's card; they say which of the model's classes, not whether it is any of them.

exit status
  0    every file was read
  1    it could not be done, or a fault of ours
  2    a bad option or weights file
  3    done, but some of the files could not be read""",
)
LS = Program(
    name="vidbench ls",
    description="List models, datasets or runs by name.",
    usage='''vidbench ls models|datasets|runs [PATTERN] [--json]
       vidbench ls models "*k400*"''',
    epilog="""\
exit status
  0    listed
  2    a bad option, or nothing of that name""",
)
ENV = Program(
    name="vidbench env",
    description="What is installed, which decoders and devices work, and what is missing for what.",
    usage="vidbench env [--seconds S] [--json]",
    epilog="""\
Decoders read a small numbered video, devices compute a small convolution, libraries are loaded: each in a process of
its own, so that one that crashes or hangs costs one line. Nothing is downloaded.

exit status
  0    PyAV and the CPU work, which an evaluation needs
  1    one of the two does not
  2    a bad option""",
)
COMPLETION = Program(
    name="vidbench completion",
    description="Write a script that completes commands, options, models and datasets when Tab is pressed.",
    usage="""vidbench completion bash|zsh|fish|tcsh|powershell
       vidbench completion bash > ~/.local/share/bash-completion/completions/vidbench""",
    epilog="""\
Names are those of the installed version: write the script again after an update.""",
)


def parse_predict(arguments: Sequence[str] | None = None) -> PredictConfig:
    """Options of ``vidbench predict``; files may stand first. See ``arguments.parse_evaluate``."""
    return parse_or_exit(PredictConfig, first_words(arguments, "--videos"), PREDICT)


def parse_ls(arguments: Sequence[str] | None = None) -> LsConfig:
    """Options of ``vidbench ls``; what is listed, and a pattern, may stand first. See ``arguments.parse_evaluate``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    named = first_words(words, "--what")
    if named != words and len(words) > 1 and not words[1].startswith(("-", "@")):
        named.insert(2, "--pattern")
    return parse_or_exit(LsConfig, named, LS)


def parse_env(arguments: Sequence[str] | None = None) -> EnvConfig:
    """Options of ``vidbench env``. See ``arguments.parse_evaluate``."""
    return parse_or_exit(EnvConfig, arguments, ENV)


def parse_completion(arguments: Sequence[str] | None = None) -> CompletionConfig:
    """Options of ``vidbench completion``; the shell may stand first. See ``arguments.parse_evaluate``."""
    return parse_or_exit(CompletionConfig, first_words(arguments, "--shell"), COMPLETION)
