"""Options of the programs that read finished runs, or plan them: compare, merge, power."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from vidbench.flags import OptionError, Options, Program, check_folder, under
from vidbench.kinds import each, fraction, number, path, paths, switch, texts, whole
from vidbench.shared_options import results
from vidbench.utils import quoted

read, compared = under("which runs"), under("what is compared")
aim, risk = under("what is to be seen"), under("how sure")


def check_runs(folders: Sequence[str]) -> None:
    """Raises ``OptionError`` with the first of the run folders that is not there; looks into none of them."""
    for folder in folders:
        if not os.path.isdir(folder):
            what = "is no folder" if os.path.exists(folder) else "does not exist"
            raise OptionError("runs", f"{quoted(folder, 160)} {what}; 'vidbench ls runs' lists the runs that are there")


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Options):
    """What ``scripts/compare.py`` does: its flags, with underscores."""

    runs: tuple[str, ...] = read(
        paths, "run folders of the same list, two or more; may stand first, without the flag", metavar="RUN"
    )
    k: int = compared(
        whole(1, 10**6),
        "compare top-k accuracy, for any k below the number of classes. Mean class accuracy, macro F1 and verdicts "
        "are of top-1 all the same",
        default=1,
    )
    baseline: bool = compared(
        switch, "compare each run with the first one only, not every pair. Fewer comparisons need less correction"
    )
    ensemble: tuple[str, ...] | None = compared(
        texts,
        "also fuse the runs' probabilities: even, a weight for each run, or fit, which finds weights on a held-out "
        "half of the videos and reports on the other half",
        metavar="HOW",
        shown="default: none",
    )
    seed: int = compared(whole(0, 2**32 - 1), "draws the bootstrap, and the half for --ensemble fit", default=0)
    out: str = results(
        path,
        "folder for comparison.html, runs.csv, pairs.csv, classes.csv and flips.csv. Files of these names are replaced",
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
    """What ``scripts/power.py`` does: its flags, with underscores."""

    accuracies: tuple[float, ...] = aim(
        each(fraction),
        "the two accuracies, as 0.80 0.85 or 80% 85%; may stand first, without the flag",
        metavar="SHARE",
    )
    discordance: float | None = aim(
        fraction,
        "share of videos that one run has right and the other wrong; compare.py counts them. The smaller, the fewer "
        "videos are needed",
        metavar="SHARE",
        shown="default: two guesses",
    )
    design_effect: float = aim(
        number(0, 1000, "times"),
        "how many times more videos related ones must be; compare.py writes it into pairs.csv",
        metavar="X",
        default=1.0,
    )
    power: float = risk(fraction, "how often the difference is to be seen", metavar="SHARE", default=0.8)
    alpha: float = risk(fraction, "how often equal runs may be told apart", metavar="SHARE", default=0.05)

    def __post_init__(self):
        super().__post_init__()
        if len(self.accuracies) != 2 or not all(0 < share < 1 for share in self.accuracies):
            raise OptionError("accuracies", "must be two shares between 0 and 1, such as 0.80 0.85")
        if self.accuracies[0] == self.accuracies[1]:
            raise OptionError("accuracies", "must differ: no number of videos tells apart runs that are equally good")
        for name in ("power", "alpha"):
            if not 0 < getattr(self, name) < 1:
                raise OptionError(name, "must be above 0 and below 1")
        if self.power <= self.alpha:
            words = f"must be above --alpha, {self.alpha:g}: equal runs are told apart that often, not {self.power:g}"
            raise OptionError("power", words)
        a, b = self.accuracies
        if self.discordance is not None and self.discordance < abs(a - b) - 1e-12:
            raise OptionError(
                "discordance",
                f"must be at least {abs(a - b):.4g}, the difference of the accuracies, not {self.discordance:g}",
            )


@dataclass(frozen=True, kw_only=True)
class MergeConfig(Options):
    """What ``scripts/merge.py`` does: its flags, with underscores."""

    runs: tuple[str, ...] = read(paths, "finished run folders; may stand first, without the flag", metavar="RUN")
    out: str = results(path, "the run folder that is made", metavar="DIR")
    prefer_predicted: bool = read(
        switch,
        "where one run predicted a video and another skipped it (a file that one machine did not have), take the "
        "prediction. Two different predictions are always refused",
    )
    max_skipped: float = results(
        fraction,
        "share of listed videos that may be skipped. Beyond it the exit status is 3; all is written all the same",
        metavar="SHARE",
        default=0.01,
    )

    def checked(self) -> MergeConfig:
        """This configuration, once its runs are there and its folder can be written to; else ``ConfigError``."""
        check_folder("out", self.out)
        check_runs(self.runs)
        return self


COMPARE = Program(
    CompareConfig,
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
    first=("runs",),
)
MERGE = Program(
    MergeConfig,
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
    first=("runs",),
)
POWER = Program(
    PowerConfig,
    name="power.py",
    description="How many videos are needed to tell two accuracies apart.",
    usage="power.py [-h] SHARE SHARE [options]",
    first=("accuracies",),
)
