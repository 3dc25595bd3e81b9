"""Options that several programs share: where a dataset lies, what of it is listed, how a model is run on it.

Each option is written once, here or where the first program has it. A program takes all options of a class here by
deriving from it, and a single one by ``like``, which names what differs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self

from vidbench.flags import Options, like, under
from vidbench.kinds import number, path, switch, text, texts, whole
from vidbench.option_kinds import batch_size, check_fold, check_split, dataset_card, device, label_map, weights

LISTED, WHAT = "which videos", "what is evaluated"
FOLD = "official train/test division, where the dataset has several (UCF101 and HMDB51: 1 to 3)"
TIMEOUT = "seconds that reading one video may take"
MEMORY = "MB (2**20 bytes) that reading one video may take"
PROTOCOLS = (
    "card (the views behind the published figure), fast (one view, and the run says so), or a JSON file of input "
    "fields (docs/evaluation.md names them)"
)

listed = under(LISTED)
what = under(WHAT)
seen = under("what the model sees (as its card says; another value marks the run off-card: not compared with papers)")
how = under("how the work is done (changes speed, not which videos are listed)")
reading = under("how videos are read")
results = under("where results go")


@dataclass(frozen=True, kw_only=True)
class Located(Options):
    """A dataset, and where it lies."""

    dataset: str = listed(
        text,
        "the dataset, such as vidmini, ucf101 or kinetics400; may stand first, without the flag",
        metavar="NAME",
    )
    data_dir: str | None = listed(
        path, "the dataset's folder", metavar="DIR", shown="default: as on the dataset's card"
    )
    annotations: str | None = listed(
        path,
        "annotation file that lists the videos. Use it where the file lies outside the data folder",
        metavar="FILE",
        shown="default: found in the data folder",
    )


@dataclass(frozen=True, kw_only=True)
class Listed(Located):
    """The list of one split of a dataset, or of all of them."""

    split: str | None = listed(
        text, "the split, or the word all", metavar="NAME", shown="default: the one that papers report"
    )
    fold: int = listed(whole(1, 99), FOLD, default=1)

    def checked(self) -> Self:
        """This configuration once more, with the dataset's full name, folder and split filled in from its card.

        Raises:
            ConfigError: an unknown dataset, split or fold.
        """
        card = dataset_card(self.dataset)
        split = self.split or card.default_split
        check_split(card, split, "all")
        check_fold(card, self.fold)
        data_dir = self.data_dir or str(card.default_dir)
        return dataclasses.replace(self, dataset=card.name, data_dir=data_dir, split=split)


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """A model, the videos it is run on, and how: what an evaluation and all runs of a study have in common."""

    model: str | None = what(
        text,
        "the model, named architecture.weights. An unknown name is answered with the known ones. A checkpoint of "
        "train.py carries its own",
        metavar="NAME",
        shown="required without such a checkpoint",
    )
    weights: str | None = what(
        weights,
        "file or folder of weights, TensorFlow's checkpoints included, or the word random. Random weights prove that "
        "everything runs; the summary, table and report say that they give no result",
        metavar="PATH",
        shown="default: the card's own, downloaded where they are not shipped",
    )
    dataset: str | None = what(
        text,
        "the dataset, such as vidmini, ucf101 or kinetics400. Its card names classes, splits and layout",
        metavar="NAME",
        shown="required without a checkpoint of train.py, which names its own",
    )
    data_dir: str | None = like(
        Located,
        "data_dir",
        group=WHAT,
        help="the dataset's folder. A listed video that is not below it is counted as skipped",
    )
    annotations: str | None = like(Located, "annotations", group=WHAT)
    split: str | None = what(
        text,
        "the split, such as test or val. Scores on other splits are other numbers",
        metavar="NAME",
        shown="default: the one that papers report",
    )
    fold: int = like(Listed, "fold", group=WHAT, help=f"{FOLD}. Papers average over all; one fold is one third of that")
    classes: tuple[str, ...] | None = what(
        texts,
        "evaluate the videos of these classes only. The model still chooses among all its classes",
        metavar="CLASS",
        shown="default: all",
    )
    limit: int | None = what(
        whole(1, 10**9),
        "evaluate N videos, drawn once by --seed from all classes alike, the same ones for every model. "
        "500 give about ±4 points at 70 %",
        shown="default: all",
    )
    seed: int = what(
        whole(0, 2**32 - 1), "draws the --limit subset and random weights. Another seed, other videos", default=0
    )
    present_only: bool = what(
        switch,
        "leave listed videos without a file out of the list (default: they count as skipped, hence wrong). "
        "For a partial copy of a dataset; the number then describes that copy",
    )
    label_map: str | None = what(
        label_map,
        "needed where the model was trained on other classes: the word names joins classes of the same name, known "
        "also those that Kinetics renamed or split between its versions; a CSV file has the columns "
        "dataset_label,model_label, several rows a label allowed (the best score counts). "
        "Classes left unmapped count as wrong and are listed",
        metavar="FILE",
        shown="default: none",
    )
    protocol: str = seen(
        path,
        f"{PROTOCOLS}. Options below win over card and file; fast refuses more than one view",
        metavar="card|fast|PATH",
        default="card",
    )
    batch_size: int | str = how(
        batch_size,
        "videos that pass the network together, or auto: on a GPU doubled from 8 while that saves time and fits into "
        "its memory, elsewhere 8; a run keeps what its first session found. Logits change within rounding only",
        default=8,
    )
    num_workers: int | None = how(
        whole(0, 256, "auto"),
        "processes that read videos. 0 reads in this process, where a damaged video can end the run",
        shown="default: auto, one per usable core",
    )
    device: str = how(
        device,
        "auto, cpu, cuda, cuda:N or mps. With auto, a GPU is used whenever there is one",
        metavar="NAME",
        default="auto",
    )
    timeout: float = reading(
        number(0, 86400, "seconds"),
        f"{TIMEOUT}. Beyond it the video is skipped with the status timeout",
        metavar="S",
        default=60.0,
    )
    memory: int = reading(
        whole(64, 2**20),
        f"{MEMORY}. Beyond it the video is skipped with the status memory",
        metavar="MB",
        default=2048,
    )
    cache_dir: str = reading(
        path,
        "folder that keeps decoded frames as NumPy arrays. The next run over the same videos does not decode",
        metavar="DIR",
        default="data/clips",
    )
    no_cache: bool = reading(switch, "neither read nor write that folder. Saves disk, costs decoding again")
