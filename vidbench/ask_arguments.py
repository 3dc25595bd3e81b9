"""Options of the programs that answer at once: predict, ls, env, completion."""

from __future__ import annotations

from dataclasses import dataclass

from vidbench.data.web import is_address
from vidbench.evaluate_arguments import EvaluateConfig
from vidbench.fetch_arguments import FetchConfig
from vidbench.flags import OptionError, Options, Program, like, under
from vidbench.kinds import number, one_of, path, switch, text, whole
from vidbench.option_kinds import files_or_addresses
from vidbench.records import DECODERS

ASKED, HOW = "what is asked", "how"
SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
asked, how, shown = under(ASKED), under(HOW), under("what is shown")


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Options):
    """What ``vidbench predict`` does: its flags, with underscores."""

    videos: tuple[str, ...] = asked(
        files_or_addresses,
        "video files, folders of numbered pictures, or http and https addresses of files; may stand first, without the "
        "flag",
        metavar="FILE",
    )
    model: str | None = asked(
        text,
        "the model, named architecture.weights. The shipped one knows vidmini's twelve drawn classes only; "
        "r2plus1d_18.kinetics400_v1 knows 400 actions, and its weights are fetched once",
        metavar="NAME",
        shown="default: mini_r2plus1d.vidmini_v1, or what the weights say",
    )
    weights: str | None = like(
        EvaluateConfig,
        "weights",
        group=ASKED,
        help="file or folder of weights. A checkpoint of train.py carries its model, so none has to be named",
        shown="default: the card's own",
    )
    device: str = like(EvaluateConfig, "device", group=HOW)
    decoder: str = like(EvaluateConfig, "decoder", group=HOW, help=f"{', '.join(DECODERS)}, as for evaluate.py")
    timeout: float = like(
        EvaluateConfig,
        "timeout",
        group=HOW,
        help="seconds that reading one file may take. It is given up then, and the others go on",
    )
    ca_bundle: str | None = like(FetchConfig, "ca_bundle", group=HOW)
    top: int = shown(whole(1, 10**6), "show the N most likely classes", default=5)
    json: bool = shown(switch, "write JSON instead of a table")

    def checked(self) -> PredictConfig:
        """This configuration; raises ``ConfigError`` for certificates where nothing is fetched."""
        if self.ca_bundle and not any(map(is_address, self.videos)):
            raise OptionError("ca_bundle", "is for files at https addresses, and none is given; leave it out")
        return self


@dataclass(frozen=True, kw_only=True)
class LsConfig(Options):
    """What ``vidbench ls`` does: its flags, with underscores."""

    what: str = asked(
        one_of("models", "datasets", "runs"),
        "models, datasets or runs; may stand first, without the flag",
        metavar="WHAT",
    )
    pattern: str = asked(
        text,
        "names that match a shell pattern such as *k400*; a word without *, ? or [ is looked for anywhere in the name. "
        "Models are found by the name of their classes too, such as kinetics400. May stand second, without the flag",
        metavar="PATTERN",
        default="*",
        shown="default: all",
    )
    results_dir: str = asked(path, "the folder that holds the runs", metavar="DIR", default="results")
    json: bool = like(PredictConfig, "json")

    def checked(self) -> LsConfig:
        """This configuration; raises ``ConfigError`` for a folder of runs where no runs are listed."""
        if self.what != "runs" and self.results_dir != LsConfig.results_dir:
            raise OptionError("results_dir", f"is for runs, and {self.what} do not lie there; leave it out")
        return self


@dataclass(frozen=True, kw_only=True)
class EnvConfig(Options):
    """What ``vidbench env`` does: its flags, with underscores."""

    seconds: float = how(
        number(0, 3600, "seconds"),
        "what one trial may take, in a process beside this one. One that takes longer is given up and counts as failed",
        metavar="S",
        default=120.0,
    )
    json: bool = like(PredictConfig, "json")


@dataclass(frozen=True, kw_only=True)
class CompletionConfig(Options):
    """What ``vidbench completion`` does: its flags, with underscores."""

    shell: str = asked(one_of(*SHELLS), f"{', '.join(SHELLS)}; may stand first, without the flag", metavar="SHELL")


PREDICT = Program(
    PredictConfig,
    name="vidbench predict",
    description="Ask a model about video files: its most likely classes for each, with their probabilities.",
    usage="vidbench predict FILE [FILE ...] [--model NAME] [options]",
    epilog="""\
Each file is read in a process of its own, so that a damaged one costs one line. Probabilities are the average over the
views of the model's card; they say which of the model's classes, not whether it is any of them. A file at an address
is fetched for its answer and removed; it may have 1 GB, and lies where TMPDIR says until then. A page that plays a
video is no file.

exit status
  0    every file was read
  1    it could not be done, or a fault of ours
  2    a bad option or weights file
  3    done, but some of the files could not be fetched or read""",
    first=("videos",),
)
LS = Program(
    LsConfig,
    name="vidbench ls",
    description="List models, datasets or runs by name.",
    usage='''vidbench ls models|datasets|runs [PATTERN] [--json]
       vidbench ls models "*k400*"''',
    epilog="""\
exit status
  0    listed
  2    a bad option, or nothing of that name""",
    first=("what", "pattern"),
)
ENV = Program(
    EnvConfig,
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
    CompletionConfig,
    name="vidbench completion",
    description="Write a script that completes commands, options, models and datasets when Tab is pressed.",
    usage="""vidbench completion bash|zsh|fish|tcsh|powershell
       vidbench completion bash > ~/.local/share/bash-completion/completions/vidbench""",
    epilog="""\
Names are those of the installed version: write the script again after an update.""",
    first=("shell",),
)
