"""Options of our programs: one frozen dataclass each, and what the predecessor's flags became."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.corrupt import STRENGTHS, parse_corrupt
from vidbench.data.retime import parse_temporal
from vidbench.flags import (
    Given,
    OptionError,
    Options,
    Program,
    check_folder,
    first_words,
    fraction,
    number,
    one_of,
    option,
    parse_or_exit,
    path,
    quoted,
    shard,
    switch,
    text,
    texts,
    whole,
)
from vidbench.protocol import FLAGS, asked_input
from vidbench.published import find_result
from vidbench.records import DECODER_MODULES, DECODERS, ConfigError, VidbenchError
from vidbench.remote import is_remote
from vidbench.utils import nearest_hint, printable, try_to_write

LABEL_MAPS = ("names", "known")
ENGINES = ("local", "ray")

WHAT = "what is evaluated"
INPUT = "what the model sees (as its card says; another value marks the run off-card: not compared with papers)"
INPUT_TRAINED = "what the network sees; the checkpoint keeps it"
HOW = "how the work is done (changes speed, not which videos are listed)"
READING = "how videos are read"
RESULTS = "where results go"
MODES = "instead of a full run"
WHAT_TO_FETCH = "what is fetched"
HOW_TO_FETCH = "how, and where to"
CACHE = "the clip cache"


def device(value) -> str:
    """``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``."""
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", value):
        raise ValueError(f"must be auto, cpu, cuda, cuda:N or mps, not {quoted(value)}")
    return value


def batch_size(value) -> int | str:
    """``auto``, or a whole number."""
    return value if value == "auto" else whole(1, 4096, "auto")(value)


def devices(value) -> tuple[str, ...]:
    """``all``, or several devices, a GPU by its number or its name; commas or spaces between them."""
    words = [word for item in ((value,) if isinstance(value, str) else value) for word in str(item).split(",")]
    named = tuple(f"cuda:{int(word)}" if re.fullmatch(r"[0-9]{1,3}", word) else word for word in words)
    if named == ("all",) or (named and all(re.fullmatch(r"cpu|cuda:[0-9]{1,3}", word) for word in named)):
        return named
    raise ValueError(f"must be all, or GPUs such as 0,1, not {quoted(','.join(words))}")


devices.several = True


def folder_name(value) -> str:
    """A name for one folder: no separators, and nothing that a file system or a shell takes another way."""
    if not isinstance(value, str) or not re.fullmatch(r"(?![.\-])[^\x00-\x1f\x7f/\\:*?$\"<>|]{1,120}(?<![. ])", value):
        raise ValueError(f"must be a plain folder name without / or other special characters, not {quoted(value)}")
    return value


def label_map(value) -> str:
    """``names``, ``known``, or the path of a CSV file."""
    return value if value in LABEL_MAPS else path(value)


def temporal(value) -> str:
    """A change of time; see ``vidbench.data.retime``."""
    return _known(parse_temporal, value)


def corrupt(value) -> str:
    """A corruption; see ``vidbench.data.corrupt``."""
    return _known(parse_corrupt, value)


def _known(parse, value) -> str:
    try:
        parse(value)
    except ConfigError as problem:
        raise ValueError("must be" + str(problem).partition("must be")[2]) from None
    return value


def ray_address(value) -> str:
    """Where a Ray cluster answers: ``auto`` or ``HOST:PORT``."""
    if isinstance(value, str) and value.startswith("ray://"):
        raise ValueError(
            "must be auto or HOST:PORT: Ray Data does not run over ray://. Make this machine part of the cluster (ray "
            "start --address HOST:6379 --num-cpus 0) and give auto"
        )
    if not isinstance(value, str) or not re.fullmatch(r"auto|[\w.\-]+:[0-9]{1,5}", value):
        raise ValueError(f"must be auto or HOST:PORT, not {quoted(value)}")
    return value


def weights(value) -> str:
    """``random``, or a path."""
    return value if value == "random" else path(value)


def amount(high: float):
    """A number from 0, which often means none, to ``high``."""

    def check(value) -> float:
        with contextlib.suppress(TypeError, ValueError):
            if not isinstance(value, bool) and 0 <= float(value) <= high:
                return float(value)
        raise ValueError(f"must be a number from 0 to {high:g}, not {quoted(value)}")

    return check


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Options):
    """What ``vidbench.evaluate.evaluate`` does: the flags of ``scripts/evaluate.py``, with underscores.

    Values are checked, and converted from text, when the object is made; ``checked`` looks further: at the model's and
    the dataset's cards, and at the folders. ``None`` stands for a value that a card or the machine decides.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    model: str | None = option(
        text,
        "the model, named architecture.weights. An unknown name is answered with the known ones. A checkpoint of "
        "train.py carries its own",
        group=WHAT,
        metavar="NAME",
        default=None,
        shown="required without such a checkpoint",
    )
    weights: str | None = option(
        weights,
        "file or folder of weights, TensorFlow's checkpoints included, or the word random. Random weights prove that "
        "everything runs; the summary, table and report say that they give no result",
        group=WHAT,
        metavar="PATH",
        default=None,
        shown="default: the card's own, downloaded where they are not shipped",
    )
    dataset: str | None = option(
        text,
        "the dataset, such as vidmini, ucf101 or kinetics400. Its card names classes, splits and layout",
        group=WHAT,
        metavar="NAME",
        default=None,
        shown="required without a checkpoint of train.py, which names its own",
    )
    data_dir: str | None = option(
        path,
        "the dataset's folder. A listed video that is not below it is counted as skipped",
        group=WHAT,
        metavar="DIR",
        default=None,
        shown="default: as on the dataset's card",
    )
    annotations: str | None = option(
        path,
        "annotation file that lists the videos. Use it where the file lies outside the data folder",
        group=WHAT,
        metavar="FILE",
        default=None,
        shown="default: found in the data folder",
    )
    split: str | None = option(
        text,
        "the split, such as test or val. Scores on other splits are other numbers",
        group=WHAT,
        metavar="NAME",
        default=None,
        shown="default: the one that papers report",
    )
    fold: int = option(
        whole(1, 99),
        "official train/test division, where the dataset has several (UCF101 and HMDB51: 1 to 3). "
        "Papers average over all; one fold is one third of that",
        group=WHAT,
        default=1,
    )
    classes: tuple[str, ...] | None = option(
        texts,
        "evaluate the videos of these classes only. The model still chooses among all its classes",
        group=WHAT,
        metavar="CLASS",
        default=None,
        shown="default: all",
    )
    limit: int | None = option(
        whole(1, 10**9),
        "evaluate N videos, drawn once by --seed from all classes alike, the same ones for every model. "
        "500 give about ±4 points at 70 %",
        group=WHAT,
        default=None,
        shown="default: all",
    )
    seed: int = option(
        whole(0, 2**32 - 1),
        "draws the --limit subset and random weights. Another seed, other videos",
        group=WHAT,
        default=0,
    )
    shard: str | None = option(
        shard,
        "evaluate one part of the list, such as 1/4, so that several machines share it. Then "
        "scripts/merge.py makes the parts one run, the same as an undivided one",
        group=WHAT,
        metavar="I/N",
        default=None,
        shown="default: the whole list",
    )
    present_only: bool = option(
        switch,
        "leave listed videos without a file out of the list (default: they count as skipped, hence wrong). "
        "For a partial copy of a dataset; the number then describes that copy",
        group=WHAT,
        default=False,
    )
    label_map: str | None = option(
        label_map,
        "needed where the model was trained on other classes: the word names joins classes of the same name, known "
        "also those that Kinetics renamed or split between its versions; a CSV file has the columns "
        "dataset label, model label, several rows a label allowed (the best score counts). "
        "Classes left unmapped count as wrong and are listed",
        group=WHAT,
        metavar="FILE",
        default=None,
        shown="default: none",
    )
    new_head: bool = option(
        switch,
        "give the network a last layer with the dataset's own classes. It is filled from --weights that have them; "
        "without those it is random: everything runs, and the run says that it gives no result",
        group=WHAT,
        default=False,
    )
    protocol: str = option(
        path,
        "card (the views behind the published figure), fast (one view, and the run says so), or a JSON file of input "
        "fields (docs/evaluation.md names them). Options below win over card and file; fast refuses more than one view",
        group=INPUT,
        metavar="card|fast|PATH",
        default="card",
    )
    target: str | None = option(
        text,
        "published result to compare with, an id of vidbench/cards/published.csv, where the weights are those of that "
        "result or were trained to reach it; the word card for those of the card again. Changes the verdict only",
        group=INPUT,
        metavar="ID",
        default=None,
        shown="default: those of the card's weights",
    )
    num_clips: int | None = option(
        whole(1, 1000),
        "clips spread over a video, their scores averaged. Time grows with it",
        group=INPUT,
        default=None,
        shown="default: the card's",
    )
    num_crops: int | None = option(
        whole(1, 10),
        "crops of each clip: 1 (centre), 3 (along the longer side) or 10 (corners and centre, each also mirrored: not "
        "where classes name left or right). Time grows with it",
        group=INPUT,
        default=None,
        shown="default: the card's",
    )
    average: str | None = option(
        one_of("logits", "probabilities", "max"),
        "how the views of a video become one answer: logits or probabilities (their mean), or max (each class's "
        "highest probability). The view ladder of the report shows all three",
        group=INPUT,
        metavar="HOW",
        default=None,
        shown="default: the card's",
    )
    short_side: int | None = option(
        whole(8, 8192),
        "pixels of a frame's short side before the crop. Larger shows a smaller part of the picture, in more detail",
        group=INPUT,
        metavar="PIXELS",
        default=None,
        shown="default: the card's",
    )
    num_frames: int | None = option(
        whole(1, 10000),
        "frames in a clip. Memory and time grow with it; some networks take one number only",
        group=INPUT,
        default=None,
        shown="default: the card's",
    )
    frame_rate: float | None = option(
        number(0, 1000, "frames per second"),
        "frames per second fed to the model. A clip then lasts num-frames / FPS seconds",
        group=INPUT,
        metavar="FPS",
        default=None,
        shown="default: the card's",
    )
    temporal: str | None = option(
        temporal,
        "change the time of every video: shuffle or reverse the frames of a clip, show only its first or middle one "
        "(freeze-first, freeze-middle), its middle half at half-speed, or hold frames as if there were N a second "
        "(fps:N). The run is off its card; scripts/temporal.py does them all and compares",
        group=INPUT,
        metavar="CHANGE",
        default=None,
        shown="default: none",
    )
    corrupt: str | None = option(
        corrupt,
        "make every video worse, the same way each time: NAME:SEVERITY, severities 1 to 5, names "
        f"{', '.join(STRENGTHS)}. The run is off its card, and its clips are made on the fly and not cached; "
        "scripts/robustness.py does them all and compares",
        group=INPUT,
        metavar="NAME:SEVERITY",
        default=None,
        shown="default: none",
    )
    batch_size: int | str = option(
        batch_size,
        "videos that pass the network together, or auto: on a GPU doubled from 8 while that saves time and fits into "
        "its memory, elsewhere 8; a run keeps what its first session found. Logits change within rounding only",
        group=HOW,
        default=8,
    )
    num_workers: int | None = option(
        whole(0, 256, "auto"),
        "processes that read videos. 0 reads in this process, where a damaged video can end the run",
        group=HOW,
        default=None,
        shown="default: auto, one per usable core",
    )
    device: str = option(
        device,
        "auto, cpu, cuda, cuda:N or mps. With auto, a GPU is used whenever there is one",
        group=HOW,
        metavar="NAME",
        default="auto",
    )
    precision: str = option(
        one_of("auto", "fp32", "bf16", "fp16"),
        "auto, fp32, bf16 or fp16. With auto, the fastest whose logits agree with fp32 on the first batch; "
        "a lower precision changes logits slightly",
        group=HOW,
        metavar="NAME",
        default="auto",
    )
    devices: tuple[str, ...] | None = option(
        devices,
        "GPUs of this machine that share the work, as 0,1 or all: a process for each, one run. Continues a run of "
        "any other number of them",
        group=HOW,
        metavar="N,N",
        default=None,
        shown="default: one, as --device says",
    )
    engine: str = option(
        one_of(*ENGINES),
        "local: this machine. ray: Ray Data, whose actors decode and predict on every machine of a cluster; the rows "
        "are the same. Needs vidbench[ray]",
        group=HOW,
        metavar="NAME",
        default="local",
    )
    ray_address: str | None = option(
        ray_address,
        "with --engine ray: the cluster to use, as HOST:PORT or auto (the one that this machine belongs to). Every "
        "machine of it needs the videos, the weights and vidbench in the same places",
        group=HOW,
        metavar="ADDRESS",
        default=None,
        shown="default: a cluster of this machine alone, started and ended with the run",
    )
    decoder: str = option(
        one_of(*DECODERS),
        f"{', '.join(DECODERS)}. Only pyav reports damage exactly; the others are for comparison, where installed",
        group=READING,
        metavar="NAME",
        default="pyav",
    )
    timeout: float = option(
        number(0, 86400, "seconds"),
        "seconds that reading one video may take. Beyond it the video is skipped with the status timeout",
        group=READING,
        metavar="S",
        default=60.0,
        shown="default: 60",
    )
    memory: int = option(
        whole(64, 2**20),
        "MB (2**20 bytes) that reading one video may take. Beyond it the video is skipped with the status memory",
        group=READING,
        metavar="MB",
        default=2048,
    )
    cache_dir: str = option(
        path,
        "folder that keeps decoded frames as NumPy arrays. The next run over the same videos does not decode",
        group=READING,
        metavar="DIR",
        default="data/clips",
    )
    no_cache: bool = option(
        switch,
        "neither read nor write that folder. Saves disk, costs decoding again",
        group=READING,
        default=False,
    )
    results_dir: str = option(
        path,
        "folder of run folders. Made when it is missing; a run at an address such as s3://bucket/results is sent there "
        "in pieces while it goes on, where the package for that store (s3fs) is installed",
        group=RESULTS,
        metavar="DIR",
        default="results",
    )
    run_name: str | None = option(
        folder_name,
        "name of this run's folder. The same name with the same options continues a run; with other options it is "
        "refused, and the option that differs is named",
        group=RESULTS,
        metavar="NAME",
        default=None,
        shown="default: from model, dataset and split",
    )
    top_n: int = option(
        whole(1, 100000),
        "classes per video in rows.jsonl and predictions.csv. Accuracy does not depend on it",
        group=RESULTS,
        default=5,
    )
    max_skipped: float = option(
        fraction,
        "share of listed videos that may be skipped, as 0.01 or 1%. Beyond it the exit status is 3; "
        "results are written all the same, skipped videos counted as wrong",
        group=RESULTS,
        metavar="SHARE",
        default=0.01,
    )
    report_only: bool = option(
        switch,
        "make metrics, table and report again from the rows of the run that the other options name. Runs no model",
        group=MODES,
        default=False,
    )
    dry_run: bool = option(
        switch,
        "print the plan (videos, bytes, hours, disk) and stop. Nothing is written",
        group=MODES,
        default=False,
    )

    def checked(self) -> EvaluateConfig:
        """This configuration once more, with full model name, split and data folder filled in from the cards.

        Looks at the cards of model and dataset and at the file system; opens no video, loads no model, leaves no file.

        Raises:
            ConfigError: an unknown model, dataset, split or fold, label spaces that differ without a label map, a file
                that is missing, a decoder that is not installed, a folder that cannot be made or written to.
        """
        filled = _with_card_defaults(_with_checkpoint_defaults(self))
        _check_labels(filled)
        _check_input(filled)
        _check_files(filled)
        _check_decoder(filled)
        _check_engine(filled)
        if not filled.dry_run:
            _check_folders(filled)
        return filled


TRAINED = "what is trained"
AUGMENTED = "what chance does to training views"
DRAWN = "which videos and views an epoch takes"
RECIPE = "how the weights move"
FIRST = "first steps, instead of training"
given_weights = weights  # within the class below, weights is an option


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Options):
    """What ``vidbench.train.train`` does: the flags of ``scripts/train.py``, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    model: str | None = option(
        text,
        "the network, named architecture.weights or architecture. It gets a last layer with the dataset's classes",
        group=TRAINED,
        metavar="NAME",
        default=None,
        shown="required without a checkpoint of train.py",
    )
    weights: str | None = option(
        weights,
        "what training begins with: a file or folder of weights, or the word random",
        group=TRAINED,
        metavar="PATH",
        default=None,
        shown="default: the card's own, downloaded where they are not shipped",
    )
    backbone_weights: str | None = option(
        text,
        "weights of the image network inside, in place of --weights: a file, or a name that torchvision publishes, "
        "such as IMAGENET1K_V1",
        group=TRAINED,
        metavar="PATH",
        default=None,
        shown="default: none",
    )
    network: tuple[str, ...] = option(
        texts,
        "options of the network's own, such as backbone=resnet50 dropout=0.5. It then has no published weights",
        group=TRAINED,
        metavar="NAME=VALUE",
        default=(),
        shown="default: as on the card",
    )
    dataset: str = option(text, "the dataset, as for evaluate.py", group=TRAINED, metavar="NAME")
    data_dir: str | None = option(
        path, "the dataset's folder", group=TRAINED, metavar="DIR", default=None, shown="default: as on its card"
    )
    annotations: str | None = option(
        path, "annotation file that lists the videos", group=TRAINED, metavar="FILE", default=None,
        shown="default: found in the data folder",
    )  # fmt: skip
    split: str = option(text, "the split that trains", group=TRAINED, metavar="NAME", default="train")
    fold: int = option(whole(1, 99), "official division, where there are several", group=TRAINED, default=1)
    classes: tuple[str, ...] | None = option(
        texts,
        "train on videos of these classes only. The network still has all of the dataset's",
        group=TRAINED,
        metavar="CLASS",
        default=None,
        shown="default: all",
    )
    limit: int | None = option(
        whole(2, 10**9), "train on N videos, drawn by --seed from all classes alike", group=TRAINED, default=None,
        shown="default: all",
    )  # fmt: skip
    present_only: bool = option(
        switch,
        "leave listed videos without a file out, of training and of validation, instead of counting them",
        group=TRAINED,
        default=False,
    )
    val_split: str | None = option(
        text,
        "the split that validates. Choosing an epoch by the split that papers report makes its score too good",
        group=TRAINED,
        metavar="NAME",
        default=None,
        shown="default: val where the dataset has one, else a part of the training split, by source",
    )
    val_share: float = option(fraction, "that part, as 0.1 or 10%", group=TRAINED, metavar="SHARE", default=0.15)
    allow_leak: bool = option(
        switch,
        "let videos of one source train and validate. The score is then too good, which this is to show",
        group=TRAINED,
        default=False,
    )
    num_frames: int | None = option(
        whole(1, 10000), "frames in a clip", group=INPUT_TRAINED, default=None, shown="default: the card's"
    )
    frame_rate: float | None = option(
        number(0, 1000, "frames per second"), "frames per second of a clip", group=INPUT_TRAINED, metavar="FPS",
        default=None, shown="default: the card's",
    )  # fmt: skip
    short_side: int | None = option(
        whole(8, 8192), "pixels of a frame's short side before the crop", group=INPUT_TRAINED, metavar="PIXELS",
        default=None, shown="default: the card's",
    )  # fmt: skip
    crop: int | None = option(
        whole(8, 8192), "pixels of the square that the network sees", group=INPUT_TRAINED, metavar="PIXELS",
        default=None, shown="default: the card's",
    )  # fmt: skip
    stored_frames: int | None = option(
        whole(1, 10000),
        "frames kept of each training video, from which epochs draws. More show more of a long video and take disk",
        group=INPUT_TRAINED,
        default=None,
        shown="default: twice --num-frames and at least 32, or 300 where the card names a rate",
    )
    min_scale: float = option(
        number(0, 1, "share of the area"),
        "smallest share of the picture that a random crop takes; 1 takes a crop of the view's own size",
        group=AUGMENTED, metavar="SHARE", default=0.5,
    )  # fmt: skip
    multi_scale: bool = option(
        switch,
        "crop at one of five places and four sizes (1, 7/8, 3/4 and 0.66 of the picture, height and width up to one "
        "step apart), as TSN was trained, in place of --min-scale",
        group=AUGMENTED,
        default=False,
    )
    no_flip: bool = option(
        switch,
        "never mirror a clip. Otherwise half of them are, and classes that name left or right are exchanged, or left "
        "as they are where the other one is no class",
        group=AUGMENTED,
        default=False,
    )
    jitter: float = option(
        amount(1), "changes of brightness, contrast and saturation, 0 to 1",
        group=AUGMENTED, metavar="X", default=0.2,
    )  # fmt: skip
    rotation: int = option(whole(0, 180), "largest angle in degrees", group=AUGMENTED, default=0)
    rand_augment: int = option(whole(0, 30), "magnitude of RandAugment; 0 leaves it out", group=AUGMENTED, default=0)
    erase: float = option(fraction, "chance of a blanked rectangle", group=AUGMENTED, metavar="SHARE", default=0.0)
    mixup: float = option(
        amount(100), "alpha of MixUp between clips; 0 leaves it out", group=AUGMENTED,
        metavar="ALPHA", default=0.0,
    )  # fmt: skip
    cutmix: float = option(
        amount(100), "alpha of CutMix between clips; 0 leaves it out", group=AUGMENTED,
        metavar="ALPHA", default=0.0,
    )  # fmt: skip
    max_stride: int = option(
        whole(1, 100),
        "a view takes each k-th frame, k drawn from 1 to N; for networks that take neighbouring frames",
        group=AUGMENTED,
        default=1,
    )
    speed: float = option(
        number(0, 8, "times"),
        "play a clip up to X times faster or slower. A network whose frames are spread over the whole video sees it "
        "slower only",
        group=AUGMENTED, metavar="X", default=1.0,
    )  # fmt: skip
    drop_frames: float = option(
        fraction, "chance that a frame gets lost and the one before it stands still", group=AUGMENTED,
        metavar="SHARE", default=0.0,
    )  # fmt: skip
    views_per_video: int = option(whole(1, 1000), "views that an epoch takes of each video", group=DRAWN, default=1)
    even_views: bool = option(
        switch,
        "views at --views-per-video places spread evenly over a video, in place of random ones",
        group=DRAWN,
        default=False,
    )
    balanced: bool = option(
        switch, "draw each class alike often, rare ones' videos several times an epoch", group=DRAWN, default=False
    )
    video_weights: str | None = option(
        path,
        "how often each video is drawn: a CSV file with the columns path and weight. With --balanced, within its class",
        group=DRAWN, metavar="FILE", default=None, shown="default: all alike",
    )  # fmt: skip
    curriculum: str | None = option(
        path,
        "begin with the easiest third of each class: 'length' for the shortest videos, or a run folder of evaluate.py "
        "for those of which its model is surest",
        group=DRAWN, metavar="WHAT", default=None, shown="default: all from the start",
    )  # fmt: skip
    curriculum_epochs: int | None = option(
        whole(1, 100000), "epochs until all videos are drawn; each takes a greater part", group=DRAWN, default=None,
        shown="default: half of --epochs",
    )  # fmt: skip
    epochs: int = option(whole(1, 100000), "passes over the training videos", group=RECIPE, default=10)
    batch_size: int = option(whole(1, 4096), "clips in a batch", group=RECIPE, default=8)
    accumulate: int = option(
        whole(1, 4096), "batches that make one step. Memory stays that of one batch", group=RECIPE, default=1
    )
    optimizer: str = option(one_of("adamw", "sgd"), "adamw or sgd", group=RECIPE, metavar="NAME", default="adamw")
    learning_rate: float = option(
        number(0, 100, "rate"), "highest learning rate", group=RECIPE, metavar="RATE", default=1e-3
    )
    weight_decay: float = option(
        amount(10), "weight decay, of all but norms and biases", group=RECIPE, metavar="X", default=0.05
    )
    schedule: str = option(
        one_of("cosine", "onecycle", "step", "plateau", "constant"),
        "cosine, onecycle, step (a tenth after 60 and again after 85 % of the steps), plateau (a half when validation "
        "has not improved for five epochs) or constant",
        group=RECIPE,
        metavar="NAME",
        default="cosine",
    )
    warmup_epochs: float = option(
        amount(1e5), "epochs in which the rate rises from 0; not for onecycle and plateau",
        group=RECIPE, metavar="N", default=0.5,
    )  # fmt: skip
    clip_norm: float = option(
        amount(1e6), "largest norm of the gradient; 0 for any", group=RECIPE, metavar="X", default=1.0
    )
    label_smoothing: float = option(fraction, "label smoothing", group=RECIPE, metavar="SHARE", default=0.1)
    focal: float = option(
        amount(10), "gamma of the focal loss; 0 for cross-entropy", group=RECIPE, metavar="GAMMA",
        default=0.0,
    )  # fmt: skip
    class_weights: bool = option(
        switch, "weigh classes in the loss so that rare ones count as much as others", group=RECIPE, default=False
    )
    teacher: str | None = option(
        path,
        "learn from a teacher's scores too: a run folder of evaluate.py on the split that trains, a checkpoint of "
        "train.py, or a model's name. A network sees the same clips and takes its time in each step",
        group=RECIPE, metavar="WHAT", default=None, shown="default: none",
    )  # fmt: skip
    teacher_weights: str | None = option(
        given_weights, "weights of a teacher that is given by name", group=RECIPE, metavar="PATH", default=None,
        shown="default: the card's own",
    )  # fmt: skip
    distil: float = option(fraction, "share of the teacher in the loss", group=RECIPE, metavar="SHARE", default=0.5)
    temperature: float = option(
        number(0, 1000, "times"), "divides the teacher's and the network's scores before they are compared",
        group=RECIPE, metavar="T", default=2.0,
    )  # fmt: skip
    freeze: str = option(
        one_of("nothing", "backbone", "norms", "partial-norms"),
        "nothing, backbone (the image network inside; where there is none, all but the last layer), norms (all batch "
        "normalisation) or partial-norms (all but the first)",
        group=RECIPE,
        metavar="WHAT",
        default="nothing",
    )
    dropout: float | None = option(
        fraction, "share of the last layer's inputs that a step leaves out", group=RECIPE, metavar="SHARE",
        default=None, shown="default: as the network has it",
    )  # fmt: skip
    layer_decay: float = option(
        number(0, 1, "times the rate"), "each block learns by this factor slower than the next one", group=RECIPE,
        metavar="X", default=1.0,
    )  # fmt: skip
    head_rate: float = option(
        number(0, 1e4, "times the rate"),
        "factor for the last layer's learning rate",
        group=RECIPE,
        metavar="X",
        default=1.0,
    )
    ema: float = option(
        fraction, "decay of a running mean of the weights, which is validated and kept; 0 for none", group=RECIPE,
        metavar="X", default=0.0,
    )  # fmt: skip
    patience: int | None = option(
        whole(1, 10**6), "stop when validation has not improved for N epochs", group=RECIPE, default=None,
        shown="default: never",
    )  # fmt: skip
    seed: int = option(
        whole(0, 2**31 - 1), "draws new weights, order, augmentation and the parting of validation", group=RECIPE,
        default=0,
    )  # fmt: skip
    num_workers: int | None = option(
        whole(0, 256, "auto"),
        "processes that make training views, and that decode before training begins",
        group=HOW,
        default=None,
        shown="default: auto; decoding takes one a core, views none on a CPU and up to 8 beside a GPU",
    )
    device: str = option(device, "auto, cpu, cuda, cuda:N or mps", group=HOW, metavar="NAME", default="auto")
    devices: int | None = option(
        whole(1, 1024),
        "processes on this machine, each with a GPU or, on a CPU, a part of it. Each takes --batch-size clips, so a "
        "step takes as many times more; --learning-rate stays as given",
        group=HOW, default=None, shown="default: 1, or as torchrun says",
    )  # fmt: skip
    num_nodes: int | None = option(
        whole(1, 10000), "machines, each started by torchrun or a cluster's scheduler", group=HOW, default=None,
        shown="default: 1, or as torchrun says",
    )  # fmt: skip
    precision: str = option(
        one_of("auto", "fp32", "bf16", "fp16"),
        "auto (bf16 on a GPU that has it, else fp32), fp32, bf16 or fp16, mixed",
        group=HOW,
        metavar="NAME",
        default="auto",
    )
    decoder: str = option(
        one_of(*DECODERS), f"{', '.join(DECODERS)}, as for evaluate.py", group=READING, metavar="NAME", default="pyav"
    )
    timeout: float = option(
        number(0, 86400, "seconds"), "seconds that reading one video may take", group=READING, metavar="S",
        default=60.0, shown="default: 60",
    )  # fmt: skip
    memory: int = option(
        whole(64, 2**20), "MB that reading one video may take", group=READING, metavar="MB", default=2048
    )
    cache_dir: str = option(
        path, "folder that keeps the frames of each video. They are read once, whatever the number of epochs",
        group=READING, metavar="DIR", default="data/clips",
    )  # fmt: skip
    results_dir: str = option(path, "folder of run folders", group=RESULTS, metavar="DIR", default="results")
    run_name: str | None = option(
        folder_name,
        "name of this run's folder. The same name with the same options continues a run; with others it is refused",
        group=RESULTS,
        metavar="NAME",
        default=None,
        shown="default: train, network and dataset",
    )
    save_steps: int | None = option(
        whole(1, 10**9),
        "keep a point to continue from after every N steps too. For epochs that take hours",
        group=RESULTS,
        default=None,
        shown="default: after each epoch",
    )
    no_tensorboard: bool = option(
        switch, "write metrics.csv only, and no events for TensorBoard", group=RESULTS, default=False
    )
    overfit: bool = option(
        switch,
        "train on one batch alone and say whether it is learnt by heart; where it is not, no recipe will help",
        group=FIRST,
        default=False,
    )
    find_rate: bool = option(
        switch, "try rising learning rates on a hundred batches and propose one", group=FIRST, default=False
    )

    no_cache = False  # training reads its frames from the cache

    def checked(self) -> TrainConfig:
        """This configuration once more, with model, dataset and data folder filled in from the cards.

        Raises:
            ConfigError: an unknown name, a network that cannot be trained, a file that is missing, options that
                exclude each other.
        """
        from vidbench import models

        _check_weights(self.weights)  # first: a checkpoint names its network
        with _about("model"):
            card = models.find_card(self.model, self.weights)
        if not card.can_be_random:
            raise OptionError("model", f"needs a network in torch; {card.name} comes as a finished program")
        filled = dataclasses.replace(_with_card_defaults(self), model=card.name)
        _check_decoder(filled)
        _check_folders(filled)
        if filled.val_split == filled.split and not filled.allow_leak:
            raise OptionError("val_split", f"is the split that trains, {quoted(filled.split)}; see --allow-leak")
        if not 0 < filled.val_share < 1:
            raise OptionError("val_share", f"must be between 0 and 1, not {filled.val_share:g}")
        _check_together(filled)
        if filled.overfit and filled.find_rate:
            raise OptionError("overfit", "and --find-rate are two steps; give one of them")
        filled.options  # noqa: B018 - says what is wrong with --network now
        return filled

    @property
    def options(self) -> dict:
        """``--network`` by name, numbers as numbers."""
        found = {}
        for item in self.network:
            name, equals, value = item.partition("=")
            if not equals or not name.isidentifier() or name in found:
                raise OptionError("network", f"must be NAME=VALUE, each name once, not {quoted(item)}")
            found[name] = _as_value(value)
        return found


def _check_together(config: TrainConfig) -> None:
    """Refuse options that need, exclude or contradict another one."""
    if config.teacher_weights and not config.teacher:
        raise OptionError("teacher_weights", "belongs to --teacher, which is not given")
    if config.curriculum_epochs and not config.curriculum:
        raise OptionError("curriculum_epochs", "belongs to --curriculum, which is not given")
    if config.curriculum not in (None, "length") and not Path(config.curriculum).is_dir():
        raise OptionError(
            "curriculum", f"must be 'length' or a run folder of evaluate.py, not {quoted(config.curriculum)}"
        )
    stored = config.teacher and Path(config.teacher).is_dir()
    if stored and (config.mixup or config.cutmix):
        raise OptionError(
            "teacher", "of stored scores knows whole videos: leave --mixup and --cutmix out, or name a model"
        )
    if config.multi_scale and config.min_scale != TrainConfig.min_scale:
        raise OptionError("multi_scale", "and --min-scale are two ways to crop; give one of them")
    if config.speed < 1:
        raise OptionError(
            "speed", f"must be at least 1 (1.5 means up to 1.5 times faster or slower), not {config.speed:g}"
        )
    several = (config.devices or 1) * (config.num_nodes or 1) > 1
    if several and re.fullmatch(r"cuda:\d+", config.device):
        raise OptionError("device", f"{config.device} is one GPU; use cuda with --devices")
    if several and (config.overfit or config.find_rate):
        raise OptionError("devices", "must be 1 for --overfit and --find-rate, which are first steps of one process")


def _as_value(text: str):
    """A word of the command line as a number or a truth value where it reads as one."""
    if text in ("True", "False", "true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


CHECKED = "what is checked"
DIVIDED = "what is divided"
DIVIDING = "how it is divided"
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
        "annotation file that lists the videos. Use it where the file lies outside the data folder",
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
        "official train/test division, where the dataset has several (UCF101 and HMDB51: 1 to 3)",
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
        "seconds that reading one video may take. Beyond it the video counts as undecodable",
        group=HOW,
        metavar="S",
        default=60.0,
        shown="default: 60",
    )
    memory: int = option(
        whole(64, 2**20),
        "MB (2**20 bytes) that reading one video may take. Beyond it the video counts as undecodable",
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

        with _about("dataset"):
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
            with _about("against"):
                card = catalog.find_dataset(match[1])
            found.append((card.name, match[2] or "all", path(match[3])))
        return found


# ------------------------------------------------------------------------------------- fetch


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
    fold: int = option(
        whole(1, 99), "official train/test division, for UCF101 and HMDB51", group=WHAT_TO_FETCH, default=1
    )
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

        with _about("dataset"):
            card = catalog.find_dataset(self.dataset)
        classes = order.class_names(self.classes, catalog.load_labels(card.labels)) if card.labels else self.classes
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


LIST_FORMATS = ("kinetics", "ucf101", "hmdb51", "somethingv2", "csv", "list", "datalist", "frames", "folder")
LISTED = "what is listed"
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
        "annotation file that lists the videos",
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
    fold: int = option(whole(1, 99), "its official division, where there are several", group=LISTED, default=1)
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

        with _about("dataset"):
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


def num_frames(value) -> int | None:
    """A number from 1, or the word all."""
    return None if value in ("all", None) else whole(1, 100_000, "all")(value)


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
        number(0, 86400, "seconds"), "seconds that one video may take", group=READING, metavar="S", default=60.0,
        shown="default: 60",
    )  # fmt: skip
    memory: int = option(whole(64, 2**20), "MB that one video may take", group=READING, metavar="MB", default=2048)

    def checked(self) -> ExtractConfig:
        """This configuration once more, with the data folder filled in from the card.

        Raises:
            ConfigError: an unknown dataset, split or fold, or a folder for the pictures that holds the videos.
        """
        listed = ConvertConfig(
            dataset=self.dataset, data_dir=self.data_dir, split=self.split, fold=self.fold, to="csv", out=self.out
        ).checked()
        out, videos = os.path.realpath(self.out), os.path.realpath(listed.data_dir)
        if out == videos or videos.startswith(out + os.sep):
            raise OptionError("out", f"holds the videos ({quoted(self.out, 120)}); name a folder for pictures alone")
        return dataclasses.replace(self, dataset=listed.dataset, data_dir=listed.data_dir)


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(Options):
    """What ``vidbench.doctor.examine`` looks at: the flags of ``scripts/doctor.py``, with underscores.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    model: str = option(
        text, "the model, named architecture.weights; may stand first, without the flag", group=WHAT, metavar="NAME"
    )
    weights: str | None = option(
        weights,
        "file or folder of weights, TensorFlow's checkpoints included",
        group=WHAT,
        metavar="PATH",
        default=None,
        shown="default: the card's own, fetched once",
    )
    clip: tuple[str, ...] | None = option(
        texts,
        "the authors' clip as a .npy file, or two (RGB, then flow). The network must give "
        "the logits that they published for it",
        group=WHAT,
        metavar="FILE",
        default=None,
        shown="default: none",
    )
    dataset: str | None = option(
        text,
        "a dataset with labels, such as vidmini, ucf101 or folder. Some of its videos tell whether pixels and the "
        "order of classes are those that the weights learnt",
        group=WHAT,
        metavar="NAME",
        default=None,
        shown="default: none",
    )
    data_dir: str | None = option(
        path, "its folder. Videos that are not there are left out", group=WHAT, metavar="DIR", default=None,
        shown="default: as on the dataset's card",
    )  # fmt: skip
    annotations: str | None = option(
        path, "annotation file that lists its videos", group=WHAT, metavar="FILE", default=None,
        shown="default: found in the data folder",
    )  # fmt: skip
    split: str | None = option(
        text, "its split", group=WHAT, metavar="NAME", default=None, shown="default: the one that papers report"
    )
    label_map: str | None = option(
        label_map,
        "names, known or a CSV file, as for evaluate.py, where the dataset's classes are not the model's",
        group=WHAT,
        metavar="FILE",
        default=None,
        shown="default: none",
    )
    limit: int = option(
        whole(2, 10**6),
        "videos looked at, four of a class. About a dozen times as many go through the network; fewer find less",
        group=HOW,
        default=64,
    )
    seed: int = option(whole(0, 2**32 - 1), "draws them, and random weights", group=HOW, default=0)
    device: str = option(
        device,
        "auto (the GPU whenever there is one), cpu, cuda, cuda:N or mps",
        group=HOW,
        metavar="NAME",
        default="auto",
    )

    def as_evaluation(self, card) -> EvaluateConfig:
        """The evaluation whose videos are looked at: one view each, of those that are there."""
        stream = card.input.sampling == "stream"
        return EvaluateConfig(
            model=card.name, weights=self.weights, dataset=self.dataset, data_dir=self.data_dir, split=self.split,
            annotations=self.annotations, label_map=self.label_map, seed=self.seed, device=self.device, num_crops=1,
            num_clips=None if stream else 1, present_only=True, no_cache=True, dry_run=True,
        )  # fmt: skip

    def checked(self) -> DoctorConfig:
        """This configuration, when its model and files exist.

        Raises:
            ConfigError: an unknown model, or no such file.
        """
        from vidbench.models import find_card

        with _about("model"):
            find_card(self.model, self.weights)
        _check_weights(self.weights)
        if not self.dataset and (self.data_dir or self.annotations or self.split or self.label_map):
            raise OptionError("dataset", "must be given with --data-dir, --annotations, --split or --label-map")
        for name in self.clip or ():
            if not os.path.isfile(name):
                raise OptionError("clip", f"{quoted(name, 160)} is no regular file ({_started_at(name)})")
        return self


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
        "annotation file that lists the videos",
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
    fold: int = option(whole(1, 99), "its official division, where there are several", group=DIVIDED, default=1)
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

        with _about("dataset"):
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


# ------------------------------------------------------------------------------------- checks across options


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


def _with_checkpoint_defaults(config: EvaluateConfig) -> EvaluateConfig:
    """Model and dataset as a checkpoint of ``scripts/train.py`` says, where they were not given."""
    from vidbench import trained

    with _about("weights"):
        facts = trained.read_facts(config.weights) or {}
    known = {"model": facts.get("name"), "dataset": facts.get("dataset", {}).get("name")}
    lacking = [name for name, value in known.items() if getattr(config, name) is None and not value]
    if lacking:
        raise ConfigError(
            f"{' and '.join('--' + name for name in lacking)} must be given, on the command line or in a file such as "
            "@config.txt"
        )
    return dataclasses.replace(config, **{name: getattr(config, name) or value for name, value in known.items()})


def _with_card_defaults(config: EvaluateConfig) -> EvaluateConfig:
    from vidbench import models
    from vidbench.data import catalog

    with _about("model"):
        card = models.find_card(config.model, config.weights)
    with _about("dataset"):
        dataset = catalog.find_dataset(config.dataset)
    split = config.split or dataset.default_split
    if dataset.splits and split not in dataset.splits:
        raise OptionError(
            "split", f"must be one of {', '.join(dataset.splits)} for {dataset.name}, not {quoted(split)}"
        )
    if not 1 <= config.fold <= max(1, dataset.folds):
        raise OptionError("fold", f"must be from 1 to {max(1, dataset.folds)} for {dataset.name}, not {config.fold}")
    data_dir = config.data_dir or str(dataset.default_dir)
    return dataclasses.replace(config, model=card.name, dataset=dataset.name, split=split, data_dir=data_dir)


def _check_labels(config: EvaluateConfig) -> None:
    """The model's classes are the dataset's, or a label map joins them; ``top_n`` and ``classes`` fit the dataset."""
    from vidbench import models
    from vidbench.data import catalog

    card, dataset = models.find_card(config.model, config.weights), catalog.find_dataset(config.dataset)
    if config.new_head and config.label_map:
        raise OptionError("new_head", "has the dataset's classes, so there is nothing for --label-map to join")
    if config.new_head and not card.can_be_random:
        raise OptionError("new_head", f"needs a network in torch; {card.name} comes as a finished program")
    if not dataset.labels:  # a folder of classes: its names are known when it is read
        return
    labels, predicted = catalog.load_labels(dataset.labels), models.labels_of(card)
    if config.label_map is None and labels != predicted and not config.new_head:
        shared = len(set(labels) & set(predicted))
        raise OptionError(
            "model",
            f"{card.name} knows the {len(predicted)} classes of {card.labels}, and {dataset.name} has {len(labels)} "
            f"classes, {shared} of them by the same name: pass --label-map names to join those, or known for "
            "renamed ones too (the others then count as wrong), or --label-map FILE, a CSV of dataset label, model "
            "label, or --new-head",
        )
    if config.top_n > len(labels):
        raise OptionError("top_n", f"must be at most {len(labels)}, the number of classes, not {config.top_n}")
    for name in config.classes or ():
        if name not in labels:
            raise OptionError(
                "classes", f"names {quoted(name)}, no class of {dataset.name}.{nearest_hint(name, labels)}"
            )


def _check_input(config: EvaluateConfig) -> None:
    from vidbench import models

    card = models.find_card(config.model, config.weights)
    if config.target not in (None, "card"):
        with _about("target"):
            find_result(config.target)
    if config.num_crops not in (None, 1, 3, 10):
        raise OptionError("num_crops", f"must be 1, 3 or 10, not '{config.num_crops}'")
    height, width = card.input.crop
    if config.protocol != "card":
        _check_protocol(config, card)
    if config.short_side is not None and config.short_side < max(height, width):
        raise OptionError(
            "short_side",
            f"must be at least {max(height, width)} for {card.name}, which crops {height} x {width} pixels, "
            f"not {config.short_side}",
        )
    for name in ("num_frames", "num_clips"):
        if card.input.sampling == "stream" and getattr(config, name) is not None:
            raise OptionError(name, f"has no meaning for {card.name}, which takes a whole video frame by frame")
    fewest, most = card.num_frames
    if config.num_frames is not None and not fewest <= config.num_frames <= (most or config.num_frames):
        allowed = f"{fewest}" if fewest == most else f"from {fewest} to {most}" if most else f"at least {fewest}"
        raise OptionError("num_frames", f"must be {allowed} for {card.name}, not {config.num_frames}")


def _check_protocol(config: EvaluateConfig, card) -> None:
    """The input that a protocol file and the flags make together is one that the card's network can take."""
    given = {name: getattr(config, name) for name in FLAGS} | {"resize": config.short_side}
    spec, what = asked_input(card.input, config.protocol, given), quoted(config.protocol, 160)
    fewest, most = card.num_frames
    if not fewest <= spec.num_frames <= (most or spec.num_frames):
        allowed = f"{fewest}" if fewest == most else f"from {fewest} to {most}" if most else f"at least {fewest}"
        raise OptionError("protocol", f"{what}: num_frames must be {allowed} for {card.name}, not {spec.num_frames}")
    sides = spec.resize if isinstance(spec.resize, tuple) else (spec.resize, spec.resize)
    if any(crop > side for crop, side in zip(spec.crop, sides)):
        raise OptionError(
            "protocol", f"{what}: a crop of {spec.crop} does not fit into frames resized to {spec.resize}"
        )
    if {len(spec.mean), len(spec.std)} != {spec.channels}:
        raise OptionError("protocol", f"{what}: mean and std must have {spec.channels} numbers each for {card.name}")


def _check_files(config: EvaluateConfig) -> None:
    _check_weights(config.weights)
    for name, words in (("label_map", LABEL_MAPS), ("annotations", ())):
        value = getattr(config, name)
        if value is None or value in words:
            continue
        _check_exists(name, value, words)
        if not os.path.isfile(value):
            raise OptionError(name, f"{quoted(value, 160)} is no regular file")


def _check_weights(value: str | None) -> None:
    """A file or folder; a TensorFlow checkpoint's prefix, which is no file itself; or a SavedModel's address."""
    from vidbench.hubs import is_address

    if value not in (None, "random") and not os.path.exists(f"{value}.index") and not is_address(value):
        _check_exists("weights", value, ("random",))


def _check_exists(name: str, value: str, words: tuple[str, ...]) -> None:
    if not os.path.exists(value):
        also = f", nor is it the word {' or '.join(map(repr, words))}" if words else ""
        raise OptionError(name, f"{quoted(value, 160)} does not exist{also} ({_started_at(value)})")


def _started_at(value: str) -> str:
    return "an absolute path" if os.path.isabs(value) else f"looked for from {printable(os.getcwd(), 160)}"


def _check_decoder(config: EvaluateConfig) -> None:
    if importlib.util.find_spec(DECODER_MODULES[config.decoder]) is None:
        raise OptionError("decoder", f"{config.decoder} is not installed here; pyav is, and is exact")


def _check_engine(config: EvaluateConfig) -> None:
    if config.batch_size == "auto" and config.shard:
        raise OptionError("batch_size", "must be a number with --shard, the same one for every part, not auto")
    if config.devices and (config.device != "auto" or config.engine == "ray"):
        other = "--engine ray, which uses every GPU of its cluster" if config.device == "auto" else "--device"
        raise OptionError("devices", f"does not go together with {other}")
    if config.engine != "ray":
        if config.ray_address is not None:
            raise OptionError("ray_address", "is for --engine ray, which was not given")
        return
    if importlib.util.find_spec("ray") is None:
        raise OptionError("engine", "ray is not installed here: pip install 'vidbench[ray]'")
    if config.num_workers == 0:
        raise OptionError("num_workers", "must be at least 1 with --engine ray, not 0")
    if re.match("mps|cuda:", config.device):
        raise OptionError("device", f"must be auto, cpu or cuda with --engine ray, not {quoted(config.device)}")


def _check_folders(config: EvaluateConfig) -> None:
    names = () if is_remote(config.results_dir) else ("results_dir",)
    for name in names if config.no_cache else (*names, "cache_dir"):
        check_folder(name, getattr(config, name))


@contextlib.contextmanager
def _about(name: str):
    """Turn an error of a lookup into one about the option that asked for it."""
    try:
        yield
    except VidbenchError as problem:
        raise OptionError(name, f"cannot be used: {problem}") from None


# ------------------------------------------------------------------------------------- the predecessor's flags

# (--model_type, --model_trained_on) → our name
OLD_MODELS = {
    ("i3d", "kinetics-400"): "i3d.tfhub_kinetics400",
    ("i3d", "kinetics-600"): "i3d.tfhub_kinetics600",
}
OLD_FLAGS = ("--model-type", "--model-trained-on", "--kinetics-version", "--kinetics-split", "--num-videos")


def translate_old_flags(given: dict[str, Given]) -> tuple[dict[str, Given], list[str]]:
    """Flags of the Applied ML Prototype that this kit succeeds → ours, with a note on each.

    Where an old flag and the new one are both given, the new one counts.

    Raises:
        ConfigError: an old value that has become nothing here; begins with the place where it was given.
    """
    old = {flag: given[flag] for flag in OLD_FLAGS if flag in given}
    result = {flag: item for flag, item in given.items() if flag not in OLD_FLAGS}
    notes = []

    def becomes(flags: Sequence[str], new: str, value: str) -> None:
        typed = " ".join(f"--{flag[2:].replace('-', '_')} {printable(old[flag].value, 60)}" for flag in flags)
        place = old[flags[0]].place
        if new in result:
            notes.append(f"{place}: {typed} is set aside, because {new} is given ({result[new].place})")
        else:
            result[new] = Given(value, place)
            notes.append(f"{place}: {typed} is now {new} {printable(value, 60)}")

    model_flags = [flag for flag in OLD_FLAGS[:2] if flag in old]
    if "--model" in result and model_flags:
        becomes(model_flags, "--model", "")
    elif model_flags:
        becomes(model_flags, "--model", _old_model(old))
    if "--kinetics-version" in old:
        becomes(["--kinetics-version"], "--dataset", _old_dataset(old["--kinetics-version"]))
    for flag, new in (("--kinetics-split", "--split"), ("--num-videos", "--limit")):
        if flag in old:
            becomes([flag], new, old[flag].value)
    return result, notes


def _old_model(old: dict[str, Given]) -> str:
    for flag, values in (("--model-type", ("i3d",)), ("--model-trained-on", ("kinetics-400", "kinetics-600"))):
        typed = "--" + flag[2:].replace("-", "_")
        if flag not in old:
            place = next(iter(old.values())).place
            raise ConfigError(f"{place}: {typed} must be given too ({' or '.join(values)}); or use --model NAME")
        if old[flag].value not in values:
            raise ConfigError(
                f"{old[flag].place}: {typed} must be {' or '.join(values)}, not {quoted(old[flag].value)}; "
                "other models are chosen by --model NAME"
            )
    return OLD_MODELS[old["--model-type"].value, old["--model-trained-on"].value]


def _old_dataset(item: Given) -> str:
    if item.value not in ("400", "600", "700"):
        raise ConfigError(f"{item.place}: --kinetics_version must be 400, 600 or 700, not {quoted(item.value)}")
    return f"kinetics{item.value}"


# ------------------------------------------------------------------------------------- programs

EVALUATE = Program(
    name="evaluate.py",
    description="Evaluate a video classification model on a dataset and write a run folder with metrics and a report.",
    usage="""evaluate.py [-h] --model NAME --dataset NAME [options]
       evaluate.py @scripts/config.txt [options]       options after the file win""",
    epilog="""\
@FILE stands for the options in a file: one --flag value per line, notes after #, quotes around values with spaces,
hyphens and underscores alike. An @FILE inside a file is found from that file; all other relative paths start at the
current folder. --flag=value passes a value that begins with - or @.

exit status
  0    every listed video has its row, and at most --max-skipped of them were skipped
  1    the run could not be done: a run folder in use or of another run, or a fault of ours
  2    a bad option, configuration, annotation file or weights file; nothing was begun
  3    done and written, but more than --max-skipped of the videos were skipped
  130  stopped by Ctrl-C; the run folder is kept, and the same command continues it

The predecessor's --model_type --model_trained_on --kinetics_version --kinetics_split --num_videos still work;
each says what it became.""",
    old_flags=OLD_FLAGS,
    translate=translate_old_flags,
)


def parse_evaluate(arguments: Sequence[str] | None = None) -> EvaluateConfig:
    """Options of ``scripts/evaluate.py``; ``None`` takes the command line of this process.

    Notes go to standard error. A mistake is said there in one sentence, and ends the program with status 2.
    """
    return parse_or_exit(EvaluateConfig, arguments, EVALUATE)


TRAIN = Program(
    name="train.py",
    description="Train a video classification network and keep checkpoints that carry their card.",
    usage="""train.py [-h] --model NAME --dataset NAME [options]
       train.py @scripts/configs/train-vidmini.txt [options]       options after the file win""",
    epilog="""\
The run folder holds best.safetensors (the epoch that validated best) and last.safetensors, each with its card in it
and beside it, log/version_N/metrics.csv of each session, events for TensorBoard, and last.ckpt, from which the same
command continues after the last whole epoch.
evaluate.py --weights FOLDER/best.safetensors needs no other option.

exit status
  0    trained, or a first step passed
  1    the run could not be done: the loss is not finite, a run folder of another run, or a fault of ours
  2    a bad option, list or weights file, or a batch too large for the memory
  3    --overfit: the batch was not learnt
  130  stopped by Ctrl-C; the same command continues""",
)


def parse_train(arguments: Sequence[str] | None = None) -> TrainConfig:
    """Options of ``scripts/train.py``; see ``parse_evaluate``."""
    return parse_or_exit(TrainConfig, arguments, TRAIN)


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


SPLIT = Program(
    name="split.py",
    description="Divide videos at random into splits that share no source, for data whose authors made no splits.",
    usage="split.py [-h] NAME --out FILE [options]",
)


def parse_split(arguments: Sequence[str] | None = None) -> SplitConfig:
    """Options of ``scripts/split.py``; see ``parse_evaluate``. The dataset's name may stand first."""
    return parse_or_exit(SplitConfig, first_words(arguments, "--dataset"), SPLIT)


DOCTOR = Program(
    name="doctor.py",
    description="Find out whether a model does what its card says, and if not, which stage is wrong.",
    usage="""doctor.py [-h] MODEL [--weights PATH] [--dataset NAME [options]] [--clip FILE [FILE]]
       doctor.py mini_r2plus1d --dataset vidmini
       doctor.py i3d.rgb_imagenet_k400 --weights DIR --clip v_CricketShot_g04_c01_rgb.npy""",
    epilog="""\
Always: the card's classes and input, the network's size, axes and output. With --dataset: a sample is fed in other ways
too (range, mean and std, BGR, axes, direction of time), and its classes are rearranged; a way that gets clearly more of
it right than the card's is named. With --clip: the logits that the authors published for a clip of theirs.
--weights random looks at card, network and output without any weights.

exit status
  0    nothing is wrong as far as was looked
  1    something is wrong; the line says what and what to do
  2    a bad option, or a file that cannot be used""",
)


def parse_doctor(arguments: Sequence[str] | None = None) -> DoctorConfig:
    """Options of ``scripts/doctor.py``; see ``parse_evaluate``. The model's name may stand first."""
    return parse_or_exit(DoctorConfig, first_words(arguments, "--model"), DOCTOR)


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
