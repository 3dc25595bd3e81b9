"""Options of the programs that make a dataset's list, or its videos, into others: convert, extract_frames, split."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from vidbench.flags import OptionError, Program, like, under
from vidbench.kinds import one_of, path, switch, texts, whole
from vidbench.option_kinds import check_split, dataset_card, num_frames
from vidbench.shared_options import LISTED, MEMORY, TIMEOUT, Listed, RunOptions, listed, results
from vidbench.utils import quoted

DIVIDING = "how it is divided"
written, extracted, dividing = under("how it is written"), under("which pictures"), under(DIVIDING)
LIST_FORMATS = ("kinetics", "ucf101", "hmdb51", "somethingv2", "csv", "list", "datalist", "frames", "folder")


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(Listed):
    """What ``scripts/convert.py`` does: its flags, with underscores."""

    classes: tuple[str, ...] | None = like(RunOptions, "classes", group=LISTED, help="the videos of these classes only")
    to: str = written(
        one_of(*LIST_FORMATS),
        f"{', '.join(LIST_FORMATS)}. datalist reads each video to count its frames; folder makes links to the videos",
        metavar="FORMAT",
    )
    out: str = written(
        path, "the file to write; for ucf101, hmdb51, somethingv2 and folder the folder to write to", metavar="PATH"
    )

    def checked(self) -> ConvertConfig:
        """This configuration once more, with data folder and split filled in from the card.

        Raises:
            ConfigError: an unknown dataset, or links within the folder of classes that they come from.
        """
        filled = super().checked()
        if filled.to == "folder":
            refuse_within_classes(filled, "the links")
        return filled


def refuse_within_classes(config: ConvertConfig | ExtractConfig, what: str) -> None:
    """Raise ``OptionError`` where a folder of classes is read and ``--out`` is it or lies in it."""
    out, videos = os.path.realpath(config.out), os.path.realpath(str(config.data_dir))
    if config.dataset == "folder" and (out == videos or out.startswith(os.path.join(videos, ""))):
        raise OptionError(
            "out",
            f"lies in the folder of classes ({quoted(config.out, 120)}), where {what} would be taken for a class or "
            "for videos; name a folder outside of it",
        )


CONVERT = Program(
    ConvertConfig,
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
    first=("dataset",),
)


@dataclass(frozen=True, kw_only=True)
class ExtractConfig(Listed):
    """What ``vidbench.data.extract.extract`` does: the flags of ``scripts/extract_frames.py``, with underscores."""

    split: str = like(Listed, "split", default="all", shown="")
    classes: tuple[str, ...] | None = like(ConvertConfig, "classes")
    present_only: bool = listed(switch, "leave listed videos without a file out, instead of counting them")
    frames: int | None = extracted(
        num_frames,
        "frames of each video, evenly spread over it, or the word all. A shorter video gives all it has",
        default=16,
    )
    short_side: int | None = extracted(
        whole(8, 8192),
        "pixels of a picture's short side. Smaller pictures take less room and are read sooner",
        metavar="PIXELS",
        shown="default: the video's own",
    )
    quality: int = extracted(whole(1, 100), "of the JPEG files", default=95)
    out: str = results(
        path,
        "folder for the pictures, new or begun by the same command: CLASS/VIDEO/img_00001.jpg, and the lists "
        "datalist.json, annotations.csv and labels.txt",
        metavar="DIR",
    )
    num_workers: int | None = like(RunOptions, "num_workers", help="processes that read videos and write pictures")
    timeout: float = like(RunOptions, "timeout", help=TIMEOUT)
    memory: int = like(RunOptions, "memory", help=MEMORY)

    def checked(self) -> ExtractConfig:
        """This configuration once more, with the data folder filled in from the card.

        Raises:
            ConfigError: an unknown dataset, split or fold, or a folder for the pictures that holds the videos.
        """
        filled = super().checked()
        assert filled.data_dir, "checked fills it in"
        out, videos = os.path.realpath(filled.out), os.path.realpath(filled.data_dir)
        if out == videos or videos.startswith(out + os.sep):
            raise OptionError("out", f"holds the videos ({quoted(filled.out, 120)}); name a folder for pictures alone")
        refuse_within_classes(filled, "the pictures")
        return filled


EXTRACT = Program(
    ExtractConfig,
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
    first=("dataset",),
)


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Listed):
    """What ``scripts/split.py`` does: its flags, with underscores."""

    split: str | None = like(Listed, "split", help="the split whose videos are divided")
    shares: tuple[str, ...] = dividing(
        texts,
        "names and shares of the new splits. Each class is divided so, as far as whole sources allow",
        metavar="NAME=SHARE",
        default=("train=0.8", "test=0.2"),
    )
    seed: int = like(RunOptions, "seed", group=DIVIDING, help="draws the splits")
    by: str = dividing(
        one_of("group", "clip"),
        "group or clip. By group, videos of one source stay together; by clip, a model meets in the test what it was "
        "trained on",
        metavar="NAME",
        default="group",
    )
    allow_leak: bool = dividing(switch, "divide sources all the same, or videos of unknown source")
    out: str = results(
        path,
        "the list to write, with the columns path, label, split and group. Use it with --dataset csv --annotations",
        metavar="FILE",
    )

    def checked(self) -> SplitConfig:
        """This configuration once more, with data folder and split filled in from the card.

        Raises:
            ConfigError: an unknown dataset, or shares that are none.
        """
        filled = super().checked()
        check_split(dataset_card(filled.dataset), str(filled.split))  # here the word all names none
        filled.parts  # noqa: B018 - says what is wrong with --shares now
        return filled

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
    SplitConfig,
    name="split.py",
    description="Divide videos at random into splits that share no source, for data whose authors made no splits.",
    usage="split.py [-h] NAME --out FILE [options]",
    first=("dataset",),
)
