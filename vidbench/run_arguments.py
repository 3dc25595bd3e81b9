"""Options of the programs that read finished runs, or plan them: compare, merge, power."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from vidbench.flags import (
    OptionError,
    Options,
    Program,
    check_folder,
    first_words,
    fraction,
    number,
    option,
    parse_or_exit,
    path,
    quoted,
    several,
    switch,
    texts,
    whole,
)

RUNS = "which runs"
WHAT = "what is compared"
WHERE = "where results go"
AIM = "what is to be seen"
RISK = "how sure"


@several
def paths(value) -> tuple[str, ...]:
    """One path or several."""
    return tuple(path(item) for item in ((value,) if isinstance(value, str) else value))


def check_runs(folders: Sequence[str]) -> None:
    """Raises ``OptionError`` with the first of the run folders that is not there; looks into none of them."""
    for folder in folders:
        if not os.path.isdir(folder):
            what = "is no folder" if os.path.exists(folder) else "does not exist"
            raise OptionError("runs", f"{quoted(folder, 160)} {what}; 'vidbench ls runs' lists the runs that are there")


@several
def shares(value) -> tuple[float, ...]:
    """One share or several, each as ``0.8`` or ``80%``."""
    return tuple(fraction(item) for item in ((value,) if isinstance(value, (str, float, int)) else value))


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Options):
    """What ``scripts/compare.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    runs: tuple[str, ...] = option(
        paths,
        "run folders of the same list, two or more; may stand first, without the flag",
        group=RUNS,
        metavar="DIR",
    )
    k: int = option(
        whole(1, 10**6),
        "compare top-k accuracy. Rows hold the place of the true class, so that any k will do",
        group=WHAT,
        default=1,
    )
    baseline: bool = option(
        switch,
        "compare each run with the first one only, not every pair. Fewer comparisons need less correction",
        group=WHAT,
        default=False,
    )
    ensemble: tuple[str, ...] | None = option(
        texts,
        "also fuse the runs' probabilities: even, a weight for each run, or fit, which finds weights on a held-out "
        "half of the videos and reports on the other half",
        group=WHAT,
        metavar="HOW",
        default=None,
        shown="default: none",
    )
    seed: int = option(
        whole(0, 2**32 - 1), "draws the bootstrap, and the half for --ensemble fit", group=WHAT, default=0
    )
    out: str = option(
        path,
        "folder for comparison.html, runs.csv, pairs.csv and flips.csv. Files of these names in it are replaced",
        group=WHERE,
        metavar="DIR",
        default="results/comparison",
    )

    def checked(self) -> CompareConfig:
        """This configuration, once its runs are there and its folder can be written to; else ``ConfigError``."""
        check_folder("out", self.out)
        check_runs(self.runs)
        return self


@dataclass(frozen=True, kw_only=True)
class PowerConfig(Options):
    """What ``scripts/power.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    accuracies: tuple[float, ...] = option(
        shares,
        "the two accuracies, as 0.80 0.85 or 80% 85%; may stand first, without the flag",
        group=AIM,
        metavar="SHARE",
    )
    discordance: float | None = option(
        fraction,
        "share of videos that one run has right and the other wrong; compare.py counts them. The smaller, the fewer "
        "videos are needed",
        group=AIM,
        metavar="SHARE",
        default=None,
        shown="default: two guesses",
    )
    design_effect: float = option(
        number(0, 1000, "times"),
        "how many times more videos related ones must be; compare.py writes it into pairs.csv",
        group=AIM,
        metavar="X",
        default=1.0,
    )
    power: float = option(fraction, "how often the difference is to be seen", group=RISK, metavar="SHARE", default=0.8)
    alpha: float = option(fraction, "how often equal runs may be told apart", group=RISK, metavar="SHARE", default=0.05)

    def __post_init__(self):
        super().__post_init__()
        if len(self.accuracies) != 2 or not all(0 < share < 1 for share in self.accuracies):
            raise OptionError("accuracies", "must be two shares between 0 and 1, such as 0.80 0.85")
        if self.accuracies[0] == self.accuracies[1]:
            raise OptionError("accuracies", "must differ: no number of videos tells apart runs that are equally good")
        for name in ("power", "alpha"):
            if not 0 < getattr(self, name) < 1:
                raise OptionError(name, "must be above 0 and below 1")
        a, b = self.accuracies
        if self.discordance is not None and self.discordance < abs(a - b) - 1e-12:
            raise OptionError(
                "discordance",
                f"must be at least {abs(a - b):.4g}, the difference of the accuracies, not {self.discordance:g}",
            )


@dataclass(frozen=True, kw_only=True)
class MergeConfig(Options):
    """What ``scripts/merge.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    runs: tuple[str, ...] = option(
        paths, "finished run folders; may stand first, without the flag", group=RUNS, metavar="DIR"
    )
    out: str = option(path, "the run folder that is made", group=WHERE, metavar="DIR")
    prefer_predicted: bool = option(
        switch,
        "where one run predicted a video and another skipped it (a file that one machine did not have), take the "
        "prediction. Two different predictions are always refused",
        group=RUNS,
        default=False,
    )
    max_skipped: float = option(
        fraction,
        "share of listed videos that may be skipped. Beyond it the exit status is 3; all is written all the same",
        group=WHERE,
        metavar="SHARE",
        default=0.01,
    )

    def checked(self) -> MergeConfig:
        """This configuration, once its runs are there; raises ``ConfigError`` where not."""
        check_runs(self.runs)
        return self


COMPARE = Program(
    name="compare.py",
    description="Compare finished runs of the same videos: differences with intervals, tests, videos that flipped.",
    usage="compare.py [-h] RUN RUN [RUN ...] [options]",
    epilog="""\
A difference is told apart from chance where its 95 % interval leaves out 0; with several pairs, where the exact test's
p-value is below 0.05 after Holm's correction. Where videos share a group (one source), both know it.

exit status
  0    compared, whatever came out
  1    a folder that is no finished run, or runs of different videos, labels or classes; it says what differs
  2    a bad option, or a run folder that is not there""",
)
MERGE = Program(
    name="merge.py",
    description="Make one run of several that were evaluated apart: the shards of a list, or parts of a dataset.",
    usage="merge.py [-h] RUN [RUN ...] --out DIR [options]",
    epilog="""\
The runs must agree in everything but the part of the data they list, where the data lie, and the machine. A video in
several runs counts once where its rows agree; where they do not, nothing is written and the first such video is named.

exit status
  0    merged; metrics, tables and report are made again from all rows
  1    runs that are not finished or do not belong together, missing shards, or rows that disagree
  2    a bad option, or a run folder that is not there
  3    merged, but more than --max-skipped of the videos were skipped""",
)
POWER = Program(
    name="power.py",
    description="How many videos are needed to tell two accuracies apart.",
    usage="power.py [-h] SHARE SHARE [options]",
)


def parse_compare(arguments: Sequence[str] | None = None) -> CompareConfig:
    """Options of ``scripts/compare.py``; run folders may stand first. See ``arguments.parse_evaluate``."""
    return parse_or_exit(CompareConfig, first_words(arguments, "--runs"), COMPARE)


def parse_merge(arguments: Sequence[str] | None = None) -> MergeConfig:
    """Options of ``scripts/merge.py``; run folders may stand first. See ``arguments.parse_evaluate``."""
    return parse_or_exit(MergeConfig, first_words(arguments, "--runs"), MERGE)


def parse_power(arguments: Sequence[str] | None = None) -> PowerConfig:
    """Options of ``scripts/power.py``; the accuracies may stand first. See ``arguments.parse_evaluate``."""
    return parse_or_exit(PowerConfig, first_words(arguments, "--accuracies"), POWER)
