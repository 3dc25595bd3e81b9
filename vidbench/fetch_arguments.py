"""Options of the programs that fill the disk and say what lies on it: fetch, cache."""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass

from vidbench.flags import OptionError, Options, Program, check_folder, like, under
from vidbench.kinds import number, path, switch, whole
from vidbench.option_kinds import dataset_card
from vidbench.shared_options import LISTED, Listed, Located, RunOptions, listed
from vidbench.utils import quoted

FETCHING, CACHED = "how, and where to", "the clip cache"
fetching, cached = under(FETCHING), under(CACHED)


def address(value) -> str:
    """The beginning of http or https addresses."""
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value) or len(value) > 2000:
        raise ValueError(f"must begin with https:// or http://, not {quoted(value)}")
    return value


def addresses(value) -> tuple[str, ...]:
    """Several of them, with commas between them where they are one text."""
    return tuple(address(item) for item in (value.split(",") if isinstance(value, str) else value))


@dataclass(frozen=True, kw_only=True)
class FetchConfig(Options):
    """What ``scripts/fetch.py`` does: its flags, with underscores; ``order`` is the same for the library."""

    dataset: str = like(Located, "dataset")
    split: str | None = like(Listed, "split", help="the split, or all. Kinetics' train splits have 370 to 650 GB")
    fold: int = like(Listed, "fold")
    classes: tuple[str, ...] | None = like(
        RunOptions,
        "classes",
        group=LISTED,
        help="only videos of these classes, with commas or as several words. Kinetics' archives are read all the same, "
        "the other videos in them are not kept",
    )
    per_class: int | None = listed(
        whole(1, 10**9),
        "at most N videos of each class. Kinetics' archives are read until there are enough",
        shown="default: all",
    )
    limit: int | None = like(
        RunOptions,
        "limit",
        group=LISTED,
        help="at most N videos of a split, of all classes alike. Of UCF101 and HMDB51 these are the videos that "
        "an evaluation with the same --limit and --seed draws; of Kinetics they are those that its archives hold "
        "first, so evaluate them with --present-only",
    )
    seed: int = like(
        RunOptions,
        "seed",
        group=LISTED,
        help="draws the videos, or the order in which Kinetics' archives are read. A larger number with the same seed "
        "adds to what is there",
    )
    data_dir: str | None = like(
        Located,
        "data_dir",
        group=FETCHING,
        help="folder to fetch to. Videos that are there are kept and counted",
        shown="default: as on the dataset's card, below data/raw",
    )
    mirror: tuple[str, ...] = fetching(
        addresses,
        "address that takes the place of the official one's beginning. Nothing else is asked then; "
        "several are separated by commas and tried in order",
        metavar="URL",
        default=(),
        shown="default: none",
    )
    ca_bundle: str | None = fetching(
        path,
        "PEM file of certificates to trust besides the usual ones. For a company's own, or one that a server leaves "
        "out",
        metavar="FILE",
        shown="default: none",
    )
    parallel: int = fetching(
        whole(1, 32), "files or archives at a time. Each archive needs 1 to 2 GB of disk while it is read", default=4
    )
    retry_failed: bool = fetching(
        switch, "ask again for videos that were damaged or not there, and look for damage in those that are"
    )
    dry_run: bool = fetching(
        switch,
        "say what it takes (archives, bytes, time, disk) and stop. A few small lists and 8 MB of an archive are read, "
        "nothing is kept. Exit status 1 where the disk cannot hold it",
    )

    def checked(self) -> FetchConfig:
        """This configuration, with names of classes taken apart; opens nothing.

        Raises:
            ConfigError: an unknown dataset, split, fold or class.
        """
        from vidbench.data.order import class_names

        card = dataset_card(self.dataset)
        classes = class_names(self.classes, card.class_names) if card.labels else self.classes
        filled = dataclasses.replace(self, dataset=card.name, classes=classes)
        if card.splits:
            _ = filled.order.splits  # raises for one that the dataset does not have
        return filled

    @property
    def order(self):
        """The same as a ``vidbench.data.fetch.Order``."""
        from vidbench.data.order import Order

        return Order(
            name=self.dataset,
            split=self.split,
            fold=self.fold,
            classes=self.classes,
            per_class=self.per_class,
            limit=self.limit,
            seed=self.seed,
            data_dir=self.data_dir,
            mirrors=self.mirror,
            ca_bundle=self.ca_bundle,
            retry_failed=self.retry_failed,
            num_parallel=self.parallel,
        )


FETCH = Program(
    FetchConfig,
    name="fetch.py",
    description="Fetch a dataset, or a part of it: resumed where it stopped, checked, and accounted for.",
    usage="""fetch.py [-h] NAME [options]
       fetch.py kinetics400 --split val --classes "arm wrestling,bungee jumping" --dry-run""",
    epilog="""\
NAME is kinetics400, kinetics600, kinetics700_2020, mini_kinetics200, ucf101, hmdb51 or ssv2; docs/datasets.md tells
what each takes and how it comes. Ctrl-C at any time: the same command goes on where it stopped. Archives of UCF101,
HMDB51 and Something-Something that lie in the data folder under their published names are unpacked, not downloaded.

exit status
  0    all videos asked for are there (with --dry-run: the disk can hold them)
  1    something failed that may work another time: the server, the disk, another fetch in that folder
  2    a bad option, or a dataset that has to be downloaded by hand first
  3    done, but the published copy lacks some of the videos; they are named in the folder's .fetch/SPLIT.json
  130  stopped by Ctrl-C (143: by SIGTERM)""",
    first=("dataset",),
)


@dataclass(frozen=True, kw_only=True)
class CacheConfig(Options):
    """What ``scripts/cache.py`` does: its flags, with underscores."""

    cache_dir: str = like(RunOptions, "cache_dir", group=CACHED, help="the folder, as evaluate.py has it")
    most_gb: float | None = cached(
        number(0, 10**6, "GB"),
        "give the folder this limit, in 10**9 bytes, for all who use it from now on. What was used least recently is "
        "removed at once where it holds more",
        shown="default: leave the limit as it is",
    )
    no_limit: bool = cached(switch, "take the limit away; nothing is removed")

    def checked(self) -> CacheConfig:
        """This configuration, once its folder can be used.

        Raises:
            ConfigError: no folder, one that cannot be written to, or two limits.
        """
        if self.no_limit and self.most_gb is not None:
            raise OptionError("no_limit", "and --most-gb say opposite things; give one of them")
        if os.path.lexists(self.cache_dir) and not os.path.isdir(self.cache_dir):
            raise OptionError("cache_dir", f"{quoted(self.cache_dir, 160)} is no folder")
        if self.no_limit or self.most_gb is not None:
            check_folder("cache_dir", self.cache_dir)
        return self


CACHE = Program(
    CacheConfig,
    name="cache.py",
    description="Say what lies in the clip cache, by dataset and geometry, and set how large it may become.",
    usage="cache.py [-h] [--cache-dir DIR] [--most-gb N | --no-limit]",
    epilog="""\
A clip that two datasets share lies there once and counts for the one that was read first. What a run will add is said
by evaluate.py --dry-run. To empty the cache, remove its folder.

exit status
  0    said
  2    a bad option, or a folder that cannot be used""",
)
