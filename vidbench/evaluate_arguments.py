"""Options of ``scripts/evaluate.py``, and what the predecessor's flags mean today; options of ``scripts/doctor.py``."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from vidbench.asked import FLAGS, asked_input
from vidbench.data.corrupt import STRENGTHS
from vidbench.data.parents import SHIPPED, parents_facts
from vidbench.flags import (
    Given,
    OptionError,
    Options,
    Program,
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
from vidbench.option_kinds import (
    ABOUT_ANNOTATIONS,
    ABOUT_DEVICE,
    ABOUT_FOLD,
    ABOUT_MEMORY,
    ABOUT_TIMEOUT,
    HOW,
    LABEL_MAPS,
    READING,
    RESULTS,
    WHAT,
    about,
    batch_size,
    card_defaults,
    check_decoder,
    check_exists,
    check_folders,
    check_weights,
    corrupt,
    device,
    devices,
    folder_name,
    label_map,
    parents,
    started_at,
    temporal,
    weights,
)
from vidbench.published import find_result
from vidbench.records import DECODERS, ConfigError
from vidbench.utils import nearest_hint, printable

ENGINES = ("local", "ray")
INPUT = "what the model sees (as its card says; another value marks the run off-card: not compared with papers)"
MODES = "instead of a full run"


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


PROTOCOLS = (
    "card (the views behind the published figure), fast (one view, and the run says so), or a JSON file of input "
    "fields (docs/evaluation.md names them)"
)


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
        ABOUT_ANNOTATIONS,
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
        f"{ABOUT_FOLD}. Papers average over all; one fold is one third of that",
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
        f"{PROTOCOLS}. Options below win over card and file; fast refuses more than one view",
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
        ABOUT_DEVICE,
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
        f"{ABOUT_TIMEOUT}. Beyond it the video is skipped with the status timeout",
        group=READING,
        metavar="S",
        default=60.0,
        shown="default: 60",
    )
    memory: int = option(
        whole(64, 2**20),
        f"{ABOUT_MEMORY}. Beyond it the video is skipped with the status memory",
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
    top_n: int | None = option(
        whole(1, 100000),
        "classes per video in rows.jsonl and predictions.csv. Accuracy does not depend on it",
        group=RESULTS,
        default=None,
        shown="default: 5, or all where the data have fewer classes",
    )
    parents: str | None = option(
        parents,
        "categories of the classes, by which the report adds up confusions: a CSV file with the columns name,parent or "
        'a JSON file {"parent": ["class", ...]}, with every class once; the word shipped for those of vidbench again. '
        "Changes the report only, and stays with the run",
        group=RESULTS,
        metavar="FILE",
        default=None,
        shown="default: those that came with vidbench for UCF101, HMDB51 and vidmini",
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
        "print the plan (videos, weights, bytes, hours, disk) and stop. Nothing is written",
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
        named = _with_checkpoint_defaults(self)
        filled = dataclasses.replace(named, **card_defaults(named))
        _check_labels(filled)
        _check_input(filled)
        _check_files(filled)
        check_decoder(filled.decoder)
        _check_engine(filled)
        if not filled.dry_run:
            check_folders(filled.results_dir, None if filled.no_cache else filled.cache_dir)
        return filled


def _with_checkpoint_defaults(config: EvaluateConfig) -> EvaluateConfig:
    """Model and dataset as a checkpoint of ``scripts/train.py`` says, where they were not given."""
    from vidbench import trained

    with about("weights"):
        facts = trained.read_facts(config.weights) or {}
    known = {"model": facts.get("name"), "dataset": facts.get("dataset", {}).get("name")}
    lacking = [name for name, value in known.items() if getattr(config, name) is None and not value]
    if lacking:
        raise ConfigError(
            f"{' and '.join('--' + name for name in lacking)} must be given, on the command line or in a file such as "
            "@config.txt"
        )
    return dataclasses.replace(config, **{name: getattr(config, name) or value for name, value in known.items()})


def _check_labels(config: EvaluateConfig) -> None:
    """The model's classes are the dataset's, or a label map joins them; ``top_n`` and ``classes`` fit the dataset."""
    from vidbench import models
    from vidbench.data import catalog

    assert config.dataset, "card_defaults fills it in"
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
    if config.parents not in (None, SHIPPED) and os.path.isfile(config.parents):
        with about("parents"):
            parents_facts(config.parents, labels)
    if config.top_n is not None and config.top_n > len(labels):
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
        with about("target"):
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
    check_weights(config.weights)
    for name, words in (("label_map", LABEL_MAPS), ("annotations", ()), ("parents", (SHIPPED,))):
        value = getattr(config, name)
        if value is None or value in words:
            continue
        check_exists(name, value, words)
        if not os.path.isfile(value):
            raise OptionError(name, f"{quoted(value, 160)} is no regular file")


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

    def becomes(flags: Sequence[str], new: str, value: str | list | bool) -> None:
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
    return OLD_MODELS[str(old["--model-type"].value), str(old["--model-trained-on"].value)]


def _old_dataset(item: Given) -> str:
    if item.value not in ("400", "600", "700"):
        raise ConfigError(f"{item.place}: --kinetics_version must be 400, 600 or 700, not {quoted(item.value)}")
    return f"kinetics{item.value}"


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
        path, ABOUT_ANNOTATIONS, group=WHAT, metavar="FILE", default=None,
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
        ABOUT_DEVICE,
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

        with about("model"):
            find_card(self.model, self.weights)
        check_weights(self.weights)
        if not self.dataset and (self.data_dir or self.annotations or self.split or self.label_map):
            raise OptionError("dataset", "must be given with --data-dir, --annotations, --split or --label-map")
        for name in self.clip or ():
            if not os.path.isfile(name):
                raise OptionError("clip", f"{quoted(name, 160)} is no regular file ({started_at(name)})")
        return self


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
