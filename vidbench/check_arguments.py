"""Options of ``scripts/check.py``."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from vidbench.data.catalog import find_dataset
from vidbench.flags import OptionError, Program, like, under
from vidbench.kinds import one_of, path, switch, texts, whole
from vidbench.option_kinds import about, check_fold, check_split, dataset_card
from vidbench.shared_options import LISTED, MEMORY, TIMEOUT, Listed, Located, RunOptions, how, listed, results
from vidbench.utils import quoted

between = under("leaks: what two splits have in common (instead of reading each video of one split)")


@dataclass(frozen=True, kw_only=True)
class CheckConfig(Located):
    """What ``vidbench.data.check.check`` does: the flags of ``scripts/check.py``, with underscores."""

    split: tuple[str, ...] | None = listed(
        texts,
        "one split or several, or the word all for those whose lists are there",
        metavar="NAME",
        shown="default: the one that papers report; all with --leaks",
    )
    fold: int = like(Listed, "fold")
    classes: tuple[str, ...] | None = like(
        RunOptions, "classes", group=LISTED, help="check the videos of these classes only"
    )
    limit: int | None = like(
        RunOptions,
        "limit",
        group=LISTED,
        help="check N videos of a split, drawn once by --seed from all classes alike. "
        "300 without a fault leave at most 1 % of faulty ones, with 95 % confidence",
    )
    seed: int = like(RunOptions, "seed", group=LISTED, help="draws the --limit subset")
    min_frames: int = listed(whole(1, 10**7), "a video with fewer frames is too short", default=1)
    depth: str = how(
        one_of("container", "frames", "full"),
        "how far each video is read: container (every packet's time stamp, first picture), frames (also middle and "
        "last), full (every picture). What is not decoded can be damaged unseen",
        metavar="NAME",
        default="frames",
    )
    num_workers: int | None = like(
        RunOptions,
        "num_workers",
        help="processes that read videos. 0 reads in this process, where a damaged video can end the check",
    )
    timeout: float = like(RunOptions, "timeout", help=f"{TIMEOUT}. Beyond it the video counts as undecodable")
    memory: int = like(RunOptions, "memory", help=f"{MEMORY}. Beyond it the video counts as undecodable")
    leaks: bool = between(
        switch, "look for what lies in more than one split. Reads no video with --compare names or bytes"
    )
    compare: str = between(
        one_of("names", "bytes", "pictures"),
        "how far: names (ids and sources), bytes (also files that are equal), pictures (also videos that look alike)",
        metavar="NAME",
        default="pictures",
    )
    against: tuple[str, ...] | None = between(
        texts,
        "other datasets to compare with, each as NAME=DIR for all of its splits, or NAME:SPLIT=DIR for one. "
        "Kinetics 400, 600 and 700 share videos",
        metavar="NAME=DIR",
        shown="default: none",
    )
    results_dir: str = results(
        path,
        "folder for tables and for what is known already. The same command continues a check that was stopped, and "
        "reads only new and changed files of one that was not",
        metavar="DIR",
        default="results/checks",
    )

    def checked(self) -> CheckConfig:
        """This configuration once more, with the data folder filled in from the card.

        Raises:
            ConfigError: an unknown dataset, split or fold, or an option that would do nothing.
        """
        card = dataset_card(self.dataset)
        for split in self.split or ():
            check_split(card, split, "all")
        check_fold(card, self.fold)
        for name in ("against", "compare"):
            if getattr(self, name) != getattr(CheckConfig, name) and not self.leaks:
                raise OptionError(name, "needs --leaks: nothing is compared otherwise")
        if self.leaks and self.min_frames != CheckConfig.min_frames:
            raise OptionError("min_frames", "is for a check of each video; --leaks calls none too short")
        if self.leaks and self.compare != "pictures" and self.depth != CheckConfig.depth:
            raise OptionError("depth", f"needs --compare pictures: a comparison of {self.compare} decodes nothing")
        if self.leaks and self.depth == "container":
            raise OptionError("depth", "must be frames or full with --leaks, which compares pictures")
        filled = dataclasses.replace(self, data_dir=self.data_dir or str(card.default_dir))
        filled.others  # noqa: B018 - says what is wrong with --against now, before any work
        return filled

    @property
    def others(self) -> list[tuple[str, str, str]]:
        """``--against`` as ``(dataset, split or "all", folder)``."""
        found = []
        for item in self.against or ():
            match = re.fullmatch(r"(\w+)(?::(\w+))?=(.+)", item)
            if not match:
                raise OptionError("against", f"must be NAME=DIR or NAME:SPLIT=DIR, not {quoted(item)}")
            with about("against"):
                card = find_dataset(match[1])
            found.append((card.name, match[2] or "all", path(match[3])))
        return found


CHECK = Program(
    CheckConfig,
    name="check.py",
    description="Check a local copy of a dataset against its list, or look for leaks between splits and datasets.",
    usage="""check.py [-h] NAME [options]
       check.py NAME --leaks [options]""",
    epilog="""\
Writes ledger.csv (a row a video, each in exactly one state), classes.csv and broken.csv, or leaks.csv. The data folder
is only read.

exit status
  0    every listed video was read, or nothing leaks
  1    the check could not be done: tables in use or a folder that cannot be written, or a fault of ours
  2    a bad option or annotation file; nothing was begun
  3    done and written: some video is not ok, or something leaks
  130  stopped by Ctrl-C (143: by SIGTERM); the same command continues""",
    first=("dataset",),
)
