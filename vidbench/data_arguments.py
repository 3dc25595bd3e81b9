"""Options of the programs that fetch, check, divide, convert and keep data."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.flags import (
    OptionError,
    Options,
    Program,
    first_words,
    number,
    one_of,
    option,
    parse_or_exit,
    path,
    quoted,
    switch,
    text,
    texts,
    whole,
)
from vidbench.option_kinds import (
    ABOUT_ANNOTATIONS,
    ABOUT_FOLD,
    ABOUT_MEMORY,
    ABOUT_TIMEOUT,
    HOW,
    LISTED,
    READING,
    RESULTS,
    about,
    num_frames,
)
from vidbench.utils import printable, try_to_write

CHECKED = "what is checked"
LEAKS = "leaks: what two splits have in common (instead of reading each video of one split)"


@dataclass(frozen=True, kw_only=True)
class CheckConfig(Options):
    """What ``vidbench.data.check.check`` does: the flags of ``scripts/check.py``, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    dataset: str = option(
        text,
        "the dataset, such as vidmini, ucf101 or kinetics400; may stand first, without the flag",
        group=CHECKED,
        metavar="NAME",
    )
    data_dir: str | None = option(
        path,
        "the dataset's folder, which is only read",
        group=CHECKED,
        metavar="DIR",
        default=None,
        shown="default: as on the dataset's card",
    )
    annotations: str | None = option(
        path,
        ABOUT_ANNOTATIONS,
        group=CHECKED,
        metavar="FILE",
        default=None,
        shown="default: found in the data folder",
    )
    split: tuple[str, ...] | None = option(
        texts,
        "one split or several, or the word all for those whose lists are there",
        group=CHECKED,
        metavar="NAME",
        default=None,
        shown="default: the one that papers report; all with --leaks",
    )
    fold: int = option(
        whole(1, 99),
        ABOUT_FOLD,
        group=CHECKED,
        default=1,
    )
    classes: tuple[str, ...] | None = option(
        texts, "check the videos of these classes only", group=CHECKED, metavar="CLASS", default=None,
        shown="default: all",
    )  # fmt: skip
    limit: int | None = option(
        whole(1, 10**9),
        "check N videos of a split, drawn once by --seed from all classes alike. "
        "300 without a fault leave at most 1 % of faulty ones, with 95 % confidence",
        group=CHECKED,
        default=None,
        shown="default: all",
    )
    seed: int = option(whole(0, 2**32 - 1), "draws the --limit subset", group=CHECKED, default=0)
    min_frames: int = option(
        whole(1, 10**7), "a video with fewer frames is too short", group=CHECKED, default=1
    )  # fmt: skip
    depth: str = option(
        one_of("container", "frames", "full"),
        "how far each video is read: container (every packet's time stamp, first picture), frames (also middle and "
        "last), full (every picture). What is not decoded can be damaged unseen",
        group=HOW,
        metavar="NAME",
        default="frames",
    )
    num_workers: int | None = option(
        whole(0, 256, "auto"),
        "processes that read videos. 0 reads in this process, where a damaged video can end the check",
        group=HOW,
        default=None,
        shown="default: auto, one per usable core",
    )
    timeout: float = option(
        number(0, 86400, "seconds"),
        f"{ABOUT_TIMEOUT}. Beyond it the video counts as undecodable",
        group=HOW,
        metavar="S",
        default=60.0,
        shown="default: 60",
    )
    memory: int = option(
        whole(64, 2**20),
        f"{ABOUT_MEMORY}. Beyond it the video counts as undecodable",
        group=HOW,
        metavar="MB",
        default=2048,
    )
    leaks: bool = option(
        switch,
        "look for what lies in more than one split. Reads no video with --compare names or bytes",
        group=LEAKS,
        default=False,
    )
    compare: str = option(
        one_of("names", "bytes", "pictures"),
        "how far: names (ids and sources), bytes (also files that are equal), pictures (also videos that look alike)",
        group=LEAKS,
        metavar="NAME",
        default="pictures",
    )
    against: tuple[str, ...] | None = option(
        texts,
        "other datasets to compare with, each as NAME=DIR for all of its splits, or NAME:SPLIT=DIR for one. "
        "Kinetics 400, 600 and 700 share videos",
        group=LEAKS,
        metavar="NAME=DIR",
        default=None,
        shown="default: none",
    )
    results_dir: str = option(
        path,
        "folder for tables and for what is known already. The same command continues a check that was stopped, and "
        "reads only new and changed files of one that was not",
        group=RESULTS,
        metavar="DIR",
        default="results/checks",
    )

    def checked(self) -> CheckConfig:
        """This configuration once more, with the data folder filled in from the card.

        Raises:
            ConfigError: an unknown dataset, split or fold, or an option that would do nothing.
        """
        from vidbench.data import catalog

        with about("dataset"):
            card = catalog.find_dataset(self.dataset)
        for split in self.split or ():
            if card.splits and split not in (*card.splits, "all"):
                known = ", ".join(card.splits)
                raise OptionError("split", f"must be one of {known} or all for {card.name}, not {quoted(split)}")
        if not 1 <= self.fold <= max(1, card.folds):
            raise OptionError("fold", f"must be from 1 to {max(1, card.folds)} for {card.name}, not {self.fold}")
        if self.against and not self.leaks:
            raise OptionError("against", "needs --leaks: there is nothing to compare with otherwise")
        filled = dataclasses.replace(self, data_dir=self.data_dir or str(card.default_dir))
        filled.others  # noqa: B018 - says what is wrong with --against now, before any work
        return filled

    @property
    def others(self) -> list[tuple[str, str, str]]:
        """``--against`` as ``(dataset, split or "all", folder)``."""
        from vidbench.data import catalog

        found = []
        for item in self.against or ():
            match = re.fullmatch(r"(\w+)(?::(\w+))?=(.+)", item)
            if not match:
                raise OptionError("against", f"must be NAME=DIR or NAME:SPLIT=DIR, not {quoted(item)}")
            with about("against"):
                card = catalog.find_dataset(match[1])
            found.append((card.name, match[2] or "all", path(match[3])))
        return found


CHECK = Program(
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
  130  stopped by Ctrl-C; the same command continues""",
)


def parse_check(arguments: Sequence[str] | None = None) -> CheckConfig:
    """Options of ``scripts/check.py``; see ``parse_evaluate``. The dataset's name may stand first."""
    return parse_or_exit(CheckConfig, first_words(arguments, "--dataset"), CHECK)


WHAT_TO_FETCH = "what is fetched"
HOW_TO_FETCH = "how, and where to"


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
    """What ``scripts/fetch.py`` does: its flags, with underscores; ``order`` is the same for ``vidbench.data.fetch``.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    dataset: str = option(
        text,
        "the dataset, such as kinetics400 or hmdb51; may be given as the first word. "
        "An unknown name is answered with the known ones",
        group=WHAT_TO_FETCH,
        metavar="NAME",
    )
    split: str | None = option(
        text,
        "the split, or all. Kinetics' train splits have 370 to 650 GB",
        group=WHAT_TO_FETCH,
        metavar="NAME",
        default=None,
        shown="default: the one that papers report",
    )
    fold: int = option(whole(1, 99), ABOUT_FOLD, group=WHAT_TO_FETCH, default=1)
    classes: tuple[str, ...] | None = option(
        texts,
        "only videos of these classes, with commas or as several words. Kinetics' archives are read all the same, "
        "the other videos in them are not kept",
        group=WHAT_TO_FETCH,
        metavar="CLASS",
        default=None,
        shown="default: all",
    )
    per_class: int | None = option(
        whole(1, 10**9),
        "at most N videos of each class. Kinetics' archives are read until there are enough",
        group=WHAT_TO_FETCH,
        default=None,
        shown="default: all",
    )
    limit: int | None = option(
        whole(1, 10**9),
        "at most N videos of a split, of all classes alike. Of UCF101 and HMDB51 these are the videos that "
        "an evaluation with the same --limit and --seed draws; of Kinetics they are those that its archives hold "
        "first, so evaluate them with --present-only",
        group=WHAT_TO_FETCH,
        default=None,
        shown="default: all",
    )
    seed: int = option(
        whole(0, 2**32 - 1),
        "draws the videos, or the order in which Kinetics' archives are read. A larger number with the same seed "
        "adds to what is there",
        group=WHAT_TO_FETCH,
        default=0,
    )
    data_dir: str | None = option(
        path,
        "folder to fetch to. Videos that are there are kept and counted",
        group=HOW_TO_FETCH,
        metavar="DIR",
        default=None,
        shown="default: as on the dataset's card, below data/raw",
    )
    mirror: tuple[str, ...] = option(
        addresses,
        "address that takes the place of the official one's beginning. Nothing else is asked then; "
        "several are separated by commas and tried in order",
        group=HOW_TO_FETCH,
        metavar="URL",
        default=(),
        shown="default: none",
    )
    ca_bundle: str | None = option(
        path,
        "PEM file of certificates to trust besides the usual ones. For a company's own, or one that a server leaves "
        "out",
        group=HOW_TO_FETCH,
        metavar="FILE",
        default=None,
        shown="default: none",
    )
    parallel: int = option(
        whole(1, 32), "files or archives at a time. Each archive needs 1 to 2 GB of disk while it is read",
        group=HOW_TO_FETCH, default=4,
    )  # fmt: skip
    retry_failed: bool = option(
        switch,
        "ask again for videos that were damaged or not there, and look for damage in those that are",
        group=HOW_TO_FETCH,
        default=False,
    )
    dry_run: bool = option(
        switch,
        "say what it takes (archives, bytes, time, disk) and stop. A few small lists and 8 MB of an archive are read, "
        "nothing is kept. Exit status 1 where the disk cannot hold it",
        group=HOW_TO_FETCH,
        default=False,
    )

    def checked(self) -> FetchConfig:
        """This configuration, with names of classes taken apart; opens nothing.

        Raises:
            ConfigError: an unknown dataset, split, fold or class.
        """
        from vidbench.data import catalog, order

        with about("dataset"):
            card = catalog.find_dataset(self.dataset)
        classes = order.class_names(self.classes, card.class_names) if card.labels else self.classes
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
  130  stopped by Ctrl-C""",
)


def parse_fetch(arguments: Sequence[str] | None = None) -> FetchConfig:
    """Options of ``scripts/fetch.py``; a first word without dashes is the dataset's name. See ``parse_evaluate``."""
    return parse_or_exit(FetchConfig, first_words(arguments, "--dataset"), FETCH)


LIST_FORMATS = ("kinetics", "ucf101", "hmdb51", "somethingv2", "csv", "list", "datalist", "frames", "folder")
LIST = "how it is written"


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(Options):
    """What ``scripts/convert.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    dataset: str = option(
        text,
        "the dataset whose list is written anew; may stand first, without the flag",
        group=LISTED,
        metavar="NAME",
    )
    data_dir: str | None = option(
        path, "the dataset's folder", group=LISTED, metavar="DIR", default=None,
        shown="default: as on the dataset's card",
    )  # fmt: skip
    annotations: str | None = option(
        path,
        ABOUT_ANNOTATIONS,
        group=LISTED,
        metavar="FILE",
        default=None,
        shown="default: found in the data folder",
    )
    split: str | None = option(
        text,
        "the split, or the word all",
        group=LISTED,
        metavar="NAME",
        default=None,
        shown="default: the one that papers report",
    )
    fold: int = option(whole(1, 99), ABOUT_FOLD, group=LISTED, default=1)
    classes: tuple[str, ...] | None = option(
        texts, "the videos of these classes only", group=LISTED, metavar="CLASS", default=None, shown="default: all"
    )
    to: str = option(
        one_of(*LIST_FORMATS),
        f"{', '.join(LIST_FORMATS)}. datalist reads each video to count its frames; folder makes links to the videos",
        group=LIST,
        metavar="FORMAT",
    )
    out: str = option(
        path,
        "the file to write; for ucf101, hmdb51, somethingv2 and folder the folder to write to",
        group=LIST,
        metavar="PATH",
    )

    def checked(self) -> ConvertConfig:
        """This configuration once more, with data folder and split filled in from the card.

        Raises:
            ConfigError: an unknown dataset, split or fold.
        """
        from vidbench.data import catalog

        with about("dataset"):
            card = catalog.find_dataset(self.dataset)
        split = self.split or card.default_split
        if card.splits and split not in (*card.splits, "all"):
            known = ", ".join(card.splits)
            raise OptionError("split", f"must be one of {known} or all for {card.name}, not {quoted(split)}")
        if not 1 <= self.fold <= max(1, card.folds):
            raise OptionError("fold", f"must be from 1 to {max(1, card.folds)} for {card.name}, not {self.fold}")
        data_dir = self.data_dir or str(card.default_dir)
        return dataclasses.replace(self, dataset=card.name, data_dir=data_dir, split=split)


def _as_convert(name: str):
    """An option of ``scripts/convert.py``, with its checks and its help."""
    field = ConvertConfig.__dataclass_fields__[name]
    return dataclasses.field(default=field.default, metadata=field.metadata)


CONVERT = Program(
    name="convert.py",
    description="Write a dataset's list of videos in another format; nothing that would read back as something else.",
    usage="""convert.py [-h] NAME --to FORMAT --out PATH [options]
       convert.py ucf101 --split all --to csv --out data/raw/ucf101/annotations.csv""",
    epilog="""\
FORMAT
  kinetics      CSV of identifier, times, label, split; needs Kinetics' identifiers
  ucf101        classInd.txt and trainlist0N.txt, testlist0N.txt; needs CLASS/NAME in paths
  hmdb51        CLASS_test_splitN.txt for every class
  somethingv2   JSON files of labels and of each split
  csv           path,label,split,group
  list          PATH and LABEL parted by a tab
  datalist      JSON of path, class_name, label, num_frames
  frames        PATH NUMBER LABEL, for folders of numbered pictures
  folder        links to the videos in SPLIT/CLASS/
The last five come with a labels.txt beside them. Entries that are wrong themselves are left out and counted.""",
)


def parse_convert(arguments: Sequence[str] | None = None) -> ConvertConfig:
    """Options of ``scripts/convert.py``; see ``parse_evaluate``. The dataset's name may stand first."""
    return parse_or_exit(ConvertConfig, first_words(arguments, "--dataset"), CONVERT)


EXTRACTED = "which pictures"


@dataclass(frozen=True, kw_only=True)
class ExtractConfig(Options):
    """What ``vidbench.data.extract.extract`` does: the flags of ``scripts/extract_frames.py``, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    dataset: str = option(
        text,
        "the dataset whose videos become pictures; may stand first, without the flag",
        group=LISTED,
        metavar="NAME",
    )
    data_dir: str | None = _as_convert("data_dir")
    annotations: str | None = _as_convert("annotations")
    split: str = option(
        text, "the split, or the word all", group=LISTED, metavar="NAME", default="all", shown="default: all"
    )
    fold: int = _as_convert("fold")
    classes: tuple[str, ...] | None = _as_convert("classes")
    present_only: bool = option(
        switch, "leave listed videos without a file out, instead of counting them", group=LISTED, default=False
    )
    frames: int | None = option(
        num_frames,
        "frames of each video, evenly spread over it, or the word all. A shorter video gives all it has",
        group=EXTRACTED,
        default=16,
    )
    short_side: int | None = option(
        whole(8, 8192),
        "pixels of a picture's short side. Smaller pictures take less room and are read sooner",
        group=EXTRACTED,
        metavar="PIXELS",
        default=None,
        shown="default: the video's own",
    )
    quality: int = option(whole(1, 100), "of the JPEG files", group=EXTRACTED, default=95)
    out: str = option(
        path,
        "folder for the pictures, new or begun by the same command: CLASS/VIDEO/img_00001.jpg, and the lists "
        "datalist.json, annotations.csv and labels.txt",
        group=RESULTS,
        metavar="DIR",
    )
    num_workers: int | None = option(
        whole(0, 256, "auto"), "processes that read videos and write pictures", group=HOW, default=None,
        shown="default: auto, one per usable core",
    )  # fmt: skip
    timeout: float = option(
        number(0, 86400, "seconds"), ABOUT_TIMEOUT, group=READING, metavar="S", default=60.0,
        shown="default: 60",
    )  # fmt: skip
    memory: int = option(whole(64, 2**20), ABOUT_MEMORY, group=READING, metavar="MB", default=2048)

    def checked(self) -> ExtractConfig:
        """This configuration once more, with the data folder filled in from the card.

        Raises:
            ConfigError: an unknown dataset, split or fold, or a folder for the pictures that holds the videos.
        """
        listed = ConvertConfig(
            dataset=self.dataset, data_dir=self.data_dir, split=self.split, fold=self.fold, to="csv", out=self.out
        ).checked()
        assert listed.data_dir, "checked fills it in"
        out, videos = os.path.realpath(self.out), os.path.realpath(listed.data_dir)
        if out == videos or videos.startswith(out + os.sep):
            raise OptionError("out", f"holds the videos ({quoted(self.out, 120)}); name a folder for pictures alone")
        return dataclasses.replace(self, dataset=listed.dataset, data_dir=listed.data_dir)


EXTRACT = Program(
    name="extract_frames.py",
    description="Write frames of every video as numbered JPEG files, once, for training and for other programs.",
    usage="""extract_frames.py [-h] NAME --out DIR [options]
       extract_frames.py hmdb51 --frames 16 --short-side 128 --out data/frames/hmdb51""",
    epilog="""\
Each folder of pictures is a video for train.py and evaluate.py: --dataset csv --data-dir DIR has the classes, splits
and sources of the list (of several official divisions, that of --fold); datalist.json is for other programs. The same
command again does what is left, and anew what changed since. Videos that cannot be read are named with their reasons.

exit status
  0    every listed video has its pictures
  2    a bad option, or a file that cannot be used
  3    some videos could not be read; all others have their pictures
  130  interrupted; the same command continues""",
)


def parse_extract(arguments: Sequence[str] | None = None) -> ExtractConfig:
    """Options of ``scripts/extract_frames.py``; see ``parse_evaluate``. The dataset's name may stand first."""
    return parse_or_exit(ExtractConfig, first_words(arguments, "--dataset"), EXTRACT)


DIVIDED = "what is divided"
DIVIDING = "how it is divided"


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Options):
    """What ``scripts/split.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    dataset: str = option(
        text,
        "the dataset whose videos are divided; may stand first, without the flag",
        group=DIVIDED,
        metavar="NAME",
    )
    data_dir: str | None = option(
        path, "the dataset's folder", group=DIVIDED, metavar="DIR", default=None,
        shown="default: as on the dataset's card",
    )  # fmt: skip
    annotations: str | None = option(
        path,
        ABOUT_ANNOTATIONS,
        group=DIVIDED,
        metavar="FILE",
        default=None,
        shown="default: found in the data folder",
    )
    split: str | None = option(
        text,
        "the split whose videos are divided",
        group=DIVIDED,
        metavar="NAME",
        default=None,
        shown="default: the one that papers report",
    )
    fold: int = option(whole(1, 99), ABOUT_FOLD, group=DIVIDED, default=1)
    shares: tuple[str, ...] = option(
        texts,
        "names and shares of the new splits. Each class is divided so, as far as whole sources allow",
        group=DIVIDING,
        metavar="NAME=SHARE",
        default=("train=0.8", "test=0.2"),
        shown="default: train=0.8 test=0.2",
    )
    seed: int = option(whole(0, 2**32 - 1), "draws the splits", group=DIVIDING, default=0)
    by: str = option(
        one_of("group", "clip"),
        "group or clip. By group, videos of one source stay together; by clip, a model meets in the test what it was "
        "trained on",
        group=DIVIDING,
        metavar="NAME",
        default="group",
    )
    allow_leak: bool = option(
        switch, "divide sources all the same, or videos of unknown source", group=DIVIDING, default=False
    )
    out: str = option(
        path,
        "the list to write, with the columns path, label, split and group. Use it with --dataset csv --annotations",
        group=RESULTS,
        metavar="FILE",
    )

    def checked(self) -> SplitConfig:
        """This configuration once more, with data folder and split filled in from the card.

        Raises:
            ConfigError: an unknown dataset, or shares that are none.
        """
        from vidbench.data import catalog

        with about("dataset"):
            card = catalog.find_dataset(self.dataset)
        self.parts  # noqa: B018 - says what is wrong with --shares now
        data_dir, split = self.data_dir or str(card.default_dir), self.split or card.default_split
        return dataclasses.replace(self, data_dir=data_dir, split=split)

    @property
    def parts(self) -> dict[str, float]:
        """``--shares`` as numbers by name."""
        found = {}
        for item in self.shares:
            match = re.fullmatch(r"(\w+)=([0-9]*\.?[0-9]+)", item)
            if not match or match[1] in found:
                raise OptionError("shares", f"must be NAME=SHARE, each name once, not {quoted(item)}")
            found[match[1]] = float(match[2])
        return found


SPLIT = Program(
    name="split.py",
    description="Divide videos at random into splits that share no source, for data whose authors made no splits.",
    usage="split.py [-h] NAME --out FILE [options]",
)


def parse_split(arguments: Sequence[str] | None = None) -> SplitConfig:
    """Options of ``scripts/split.py``; see ``parse_evaluate``. The dataset's name may stand first."""
    return parse_or_exit(SplitConfig, first_words(arguments, "--dataset"), SPLIT)


CACHE = "the clip cache"


@dataclass(frozen=True, kw_only=True)
class CacheConfig(Options):
    """What ``scripts/cache.py`` does: its flags, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    cache_dir: str = option(
        path, "the folder, as evaluate.py has it", group=CACHE, metavar="DIR", default="data/clips"
    )  # fmt: skip
    most_gb: float | None = option(
        number(0, 10**6, "GB"),
        "give the folder this limit, in 10**9 bytes, for all who use it from now on. What was used least recently is "
        "removed at once where it holds more",
        group=CACHE,
        default=None,
        shown="default: leave the limit as it is",
    )
    no_limit: bool = option(switch, "take the limit away; nothing is removed", group=CACHE, default=False)

    def checked(self) -> CacheConfig:
        """This configuration, once its folder can be used.

        Raises:
            ConfigError: no folder, one that cannot be written to, or two limits.
        """
        if self.no_limit and self.most_gb is not None:
            raise OptionError("no_limit", "and --most-gb say opposite things; give one of them")
        folder = Path(self.cache_dir)
        if os.path.lexists(folder) and not folder.is_dir():
            raise OptionError("cache_dir", f"{quoted(self.cache_dir, 160)} is no folder")
        if self.no_limit or self.most_gb is not None:
            try:
                try_to_write(folder)
            except (OSError, ValueError) as problem:
                reason = printable(getattr(problem, "strerror", None) or problem, 80)
                raise OptionError(
                    "cache_dir", f"{quoted(self.cache_dir, 160)} cannot be written to: {reason}"
                ) from None
        return self


CACHE_PROGRAM = Program(
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


def parse_cache(arguments: Sequence[str] | None = None) -> CacheConfig:
    """Options of ``scripts/cache.py``; see ``parse_evaluate``."""
    return parse_or_exit(CacheConfig, arguments, CACHE_PROGRAM)
