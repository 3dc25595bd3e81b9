"""Options of ``scripts/train.py``."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.classes import load_labels
from vidbench.data.parents import find_time_pairs
from vidbench.evaluate_arguments import EvaluateConfig
from vidbench.flags import OptionError, Options, Program, like, under
from vidbench.kinds import fraction, number, one_of, path, switch, text, texts, whole
from vidbench.option_kinds import about, card_defaults, check_decoder, check_folders, check_weights, dataset_card
from vidbench.records import DECODERS
from vidbench.shared_options import FOLD, MEMORY, TIMEOUT, how, results
from vidbench.utils import quoted

TRAINED, SEEN = "what is trained", "what the network sees; the checkpoint keeps it"
trained, seen = under(TRAINED), under(SEEN)
augmented = under("what chance does to training views")
drawn = under("which videos and views an epoch takes")
RECIPE = "how the weights move"
recipe = under(RECIPE)
first = under("first steps, instead of training")
WITHOUT_WARMUP = ("onecycle", "plateau")  # schedules that rise in a way of their own, or not at all
FIRST_STEPS = ("preview", "overfit", "find_rate")


def amount(high: float):
    """A number from 0, which often means none, to ``high``."""

    def check(value) -> float:
        with contextlib.suppress(TypeError, ValueError):
            if not isinstance(value, bool) and 0 <= float(value) <= high:
                return float(value)
        raise ValueError(f"must be a number from 0 to {high:g}, not {quoted(value)}")

    return check


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Options):
    """What ``vidbench.train.train`` does: the flags of ``scripts/train.py``, with underscores."""

    model: str | None = trained(
        text,
        "the network, named architecture.weights or architecture. It gets a last layer with the dataset's classes",
        metavar="NAME",
        shown="required without a checkpoint of train.py",
    )
    weights: str | None = like(
        EvaluateConfig,
        "weights",
        group=TRAINED,
        help="what training begins with: a file or folder of weights, or the word random",
    )
    backbone_weights: str | None = trained(
        text,
        "weights of the image network inside, in place of --weights: a file, or a name that torchvision publishes, "
        "such as IMAGENET1K_V1",
        metavar="PATH",
        shown="default: none",
    )
    network: tuple[str, ...] = trained(
        texts,
        "options of the network's own, such as backbone=resnet50 dropout=0.5. It then has no published weights",
        metavar="NAME=VALUE",
        default=(),
        shown="default: as on the card",
    )
    dataset: str = trained(text, "the dataset, as for evaluate.py", metavar="NAME")
    data_dir: str | None = like(EvaluateConfig, "data_dir", group=TRAINED, help="the dataset's folder")
    annotations: str | None = like(EvaluateConfig, "annotations", group=TRAINED)
    split: str = trained(text, "the split that trains", metavar="NAME", default="train")
    fold: int = like(EvaluateConfig, "fold", group=TRAINED, help=FOLD)
    classes: tuple[str, ...] | None = like(
        EvaluateConfig,
        "classes",
        group=TRAINED,
        help="train on videos of these classes only. The network still has all of the dataset's",
    )
    limit: int | None = trained(
        whole(2, 10**9), "train on N videos, drawn by --seed from all classes alike", shown="default: all"
    )
    present_only: bool = trained(
        switch, "leave listed videos without a file out, of training and of validation, instead of counting them"
    )
    val_split: str | None = trained(
        text,
        "the split that validates. Choosing an epoch by the split that papers report makes its score too good",
        metavar="NAME",
        shown="default: val where the dataset has one, else a part of the training split, by source where one is known",
    )
    val_share: float = trained(
        fraction,
        "that part, as 0.1 or 10%. Where a split validates there is none, and the option is refused",
        metavar="SHARE",
        default=0.15,
    )
    allow_leak: bool = trained(
        switch, "let videos of one source train and validate. The score is then too good, which this is to show"
    )
    num_frames: int | None = like(EvaluateConfig, "num_frames", group=SEEN, help="frames in a clip")
    frame_rate: float | None = like(EvaluateConfig, "frame_rate", group=SEEN, help="frames per second of a clip")
    short_side: int | None = like(
        EvaluateConfig, "short_side", group=SEEN, help="pixels of a frame's short side before the crop"
    )
    crop: int | None = seen(
        whole(8, 8192), "pixels of the square that the network sees", metavar="PIXELS", shown="default: the card's"
    )
    stored_frames: int | None = seen(
        whole(1, 10000),
        "frames kept of each training video, from which epochs draws. More show more of a long video and take disk",
        shown="default: twice --num-frames and at least 32, or 300 where the card names a rate",
    )
    min_scale: float = augmented(
        number(0, 1, "share of the area"),
        "smallest share of the picture that a random crop takes; 1 takes a crop of the view's own size",
        metavar="SHARE",
        default=0.5,
    )
    multi_scale: bool = augmented(
        switch,
        "crop at one of five places and four sizes (1, 7/8, 3/4 and 0.66 of the picture, height and width up to one "
        "step apart), as TSN was trained, in place of --min-scale",
    )
    no_flip: bool = augmented(
        switch,
        "never mirror a clip. Otherwise half of them are, and classes that name left or right are exchanged, or left "
        "as they are where the other one is no class",
    )
    reverse: str | None = augmented(
        path,
        "play half of the clips of some classes backwards, with the class that they then show: 'known' for the pairs "
        "of classes that come with the dataset (vidmini, Something-Something), or a CSV file with the columns class "
        "and backwards. Clips of other classes are never played backwards",
        metavar="WHAT",
        shown="default: none",
    )
    jitter: float = augmented(
        amount(1), "changes of brightness, contrast and saturation, 0 to 1", metavar="X", default=0.2
    )
    rotation: int = augmented(whole(0, 180), "largest angle in degrees", default=0)
    rand_augment: int = augmented(whole(0, 30), "magnitude of RandAugment; 0 leaves it out", default=0)
    erase: float = augmented(
        fraction,
        "chance that a clip gets a blanked rectangle, 2 to 33 % of its area; with 1 every clip does",
        metavar="SHARE",
        default=0.0,
    )
    mixup: float = augmented(amount(100), "alpha of MixUp between clips; 0 leaves it out", metavar="ALPHA", default=0.0)
    cutmix: float = augmented(
        amount(100), "alpha of CutMix between clips; 0 leaves it out", metavar="ALPHA", default=0.0
    )
    max_stride: int = augmented(
        whole(1, 100),
        "a view takes each k-th frame, k drawn from 1 to N; for networks that take neighbouring frames",
        default=1,
    )
    speed: float = augmented(
        number(0, 8, "times"),
        "play a clip up to X times faster or slower. A network whose frames are spread over the whole video sees it "
        "slower only",
        metavar="X",
        default=1.0,
    )
    drop_frames: float = augmented(
        fraction, "chance that a frame gets lost and the one before it stands still", metavar="SHARE", default=0.0
    )
    views_per_video: int = drawn(whole(1, 1000), "views that an epoch takes of each video", default=1)
    even_views: bool = drawn(
        switch, "views at --views-per-video places spread evenly over a video, in place of random ones"
    )
    balanced: bool = drawn(switch, "draw each class alike often, rare ones' videos several times an epoch")
    video_weights: str | None = drawn(
        path,
        "how often each video is drawn: a CSV file with the columns path and weight. With --balanced, within its class",
        metavar="FILE",
        shown="default: all alike",
    )
    curriculum: str | None = drawn(
        path,
        "begin with the easiest third of each class: 'length' for the shortest videos, or a run folder of evaluate.py "
        "for those of which its model is surest",
        metavar="WHAT",
        shown="default: all from the start",
    )
    curriculum_epochs: int | None = drawn(
        whole(1, 100000),
        "epochs until all videos are drawn; each takes a greater part",
        shown="default: half of --epochs",
    )
    epochs: int = recipe(whole(1, 100000), "passes over the training videos", default=10)
    batch_size: int = recipe(whole(1, 4096), "clips in a batch", default=8)
    accumulate: int = recipe(whole(1, 4096), "batches that make one step. Memory stays that of one batch", default=1)
    optimizer: str = recipe(one_of("adamw", "sgd"), "adamw or sgd", metavar="NAME", default="adamw")
    learning_rate: float = recipe(number(0, 100, "rate"), "highest learning rate", metavar="RATE", default=1e-3)
    weight_decay: float = recipe(amount(10), "weight decay, of all but norms and biases", metavar="X", default=0.05)
    schedule: str = recipe(
        one_of("cosine", "onecycle", "step", "plateau", "constant"),
        "cosine, onecycle, step (a tenth after 60 and again after 85 % of the steps), plateau (a half when validation "
        "has not improved for five epochs) or constant",
        metavar="NAME",
        default="cosine",
    )
    warmup_epochs: float = recipe(
        amount(1e5), "epochs in which the rate rises from 0; not for onecycle and plateau", metavar="N", default=0.5
    )
    clip_norm: float = recipe(amount(1e6), "largest norm of the gradient; 0 for any", metavar="X", default=1.0)
    label_smoothing: float = recipe(fraction, "label smoothing", metavar="SHARE", default=0.1)
    focal: float = recipe(amount(10), "gamma of the focal loss; 0 for cross-entropy", metavar="GAMMA", default=0.0)
    class_weights: bool = recipe(switch, "weigh classes in the loss so that rare ones count as much as others")
    teacher: str | None = recipe(
        path,
        "learn from a teacher's scores too: a run folder of evaluate.py on the split that trains, a checkpoint of "
        "train.py, or a model's name. A network sees the same clips and takes its time in each step",
        metavar="WHAT",
        shown="default: none",
    )
    teacher_weights: str | None = like(
        EvaluateConfig,
        "weights",
        group=RECIPE,
        help="weights of a teacher that is given by name",
        shown="default: the card's own",
    )
    distil: float = recipe(fraction, "share of the teacher in the loss", metavar="SHARE", default=0.5)
    temperature: float = recipe(
        number(0, 1000, "times"),
        "divides the teacher's and the network's scores before they are compared",
        metavar="T",
        default=2.0,
    )
    freeze: str = recipe(
        one_of("nothing", "backbone", "norms", "partial-norms"),
        "nothing, backbone (the image network inside; where there is none, all but the last layer), norms (all batch "
        "normalisation) or partial-norms (all but the first)",
        metavar="WHAT",
        default="nothing",
    )
    dropout: float | None = recipe(
        fraction,
        "share of the last layer's inputs that a step leaves out",
        metavar="SHARE",
        shown="default: as the network has it",
    )
    layer_decay: float = recipe(
        number(0, 1, "times the rate"),
        "each block learns by this factor slower than the next one",
        metavar="X",
        default=1.0,
    )
    head_rate: float = recipe(
        number(0, 1e4, "times the rate"), "factor for the last layer's learning rate", metavar="X", default=1.0
    )
    ema: float = recipe(
        fraction,
        "decay of a running mean of the weights, which is validated and kept; 0 for none",
        metavar="X",
        default=0.0,
    )
    patience: int | None = recipe(
        whole(1, 10**6), "stop when validation has not improved for N epochs", shown="default: never"
    )
    seed: int = recipe(
        whole(0, 2**31 - 1), "draws new weights, order, augmentation and the parting of validation", default=0
    )
    num_workers: int | None = how(
        whole(0, 256, "auto"),
        "processes that make training views, and that decode before training begins",
        shown="default: auto; decoding takes one a core, views none on a CPU and up to 8 beside a GPU",
    )
    device: str = like(EvaluateConfig, "device")
    devices: int | None = how(
        whole(1, 1024),
        "processes on this machine, each with a GPU or, on a CPU, a part of it. Each takes --batch-size clips, so a "
        "step takes as many times more; --learning-rate stays as given",
        shown="default: 1, or as torchrun says",
    )
    num_nodes: int | None = how(
        whole(1, 10000),
        "machines, each started by torchrun or a cluster's scheduler",
        shown="default: 1, or as torchrun says",
    )
    channels_last: bool = how(
        switch,
        "keep the values of a pixel side by side in memory. Some networks then take less time, on a processor and in "
        "bf16 or fp16 on a GPU; sums in another order end in other last digits",
    )
    precision: str = like(
        EvaluateConfig,
        "precision",
        help="auto (bf16 on a GPU that has it, else fp32), fp32, bf16 or fp16, mixed",
    )
    decoder: str = like(EvaluateConfig, "decoder", help=f"{', '.join(DECODERS)}, as for evaluate.py")
    timeout: float = like(EvaluateConfig, "timeout", help=TIMEOUT)
    memory: int = like(EvaluateConfig, "memory", help=MEMORY)
    cache_dir: str = like(
        EvaluateConfig,
        "cache_dir",
        help="folder that keeps the frames of each video. They are read once, whatever the number of epochs",
    )
    results_dir: str = like(EvaluateConfig, "results_dir", help="folder of run folders")
    run_name: str | None = like(
        EvaluateConfig,
        "run_name",
        help="name of this run's folder. The same name with the same options continues a run; with others it is "
        "refused",
        shown="default: train, network and dataset",
    )
    save_steps: int | None = results(
        whole(1, 10**9),
        "keep a point to continue from after every N steps too. For epochs that take hours",
        shown="default: after each epoch",
    )
    no_tensorboard: bool = results(switch, "write metrics.csv only, and no events for TensorBoard")
    preview: bool = first(
        switch,
        "write preview.html into the run's folder: the first clips as this training will see them, its classes and "
        "its learning rates. Nothing is trained",
    )
    overfit: bool = first(
        switch, "train on one batch alone and say whether it is learnt by heart; where it is not, no recipe will help"
    )
    find_rate: bool = first(switch, "try rising learning rates in a hundred steps and propose one")

    def checked(self) -> TrainConfig:
        """This configuration once more, with model, dataset and data folder filled in from the cards.

        Raises:
            ConfigError: an unknown name, a network that cannot be trained, a file that is missing, options that
                exclude each other.
        """
        from vidbench import models

        check_weights(self.weights)  # first: a checkpoint names its network
        with about("model"):
            card = models.find_card(self.model, self.weights)
        if not card.can_be_random:
            raise OptionError("model", f"needs a network in torch; {card.name} comes as a finished program")
        filled = dataclasses.replace(self, **card_defaults(self))
        check_decoder(filled.decoder)
        check_folders(filled.results_dir, filled.cache_dir)
        if filled.val_split == filled.split and not filled.allow_leak:
            raise OptionError("val_split", f"is the split that trains, {quoted(filled.split)}; see --allow-leak")
        if not 0 < filled.val_share < 1:
            raise OptionError("val_share", f"must be between 0 and 1, not {filled.val_share:g}")
        _check_together(filled)
        _check_reverse(filled)
        filled.options  # noqa: B018 - says what is wrong with --network now
        return filled

    @property
    def first_step(self) -> bool:
        """Whether a first step is asked for in place of a training."""
        return any(getattr(self, name) for name in FIRST_STEPS)

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
    for name in ("teacher_weights", "distil", "temperature"):
        if getattr(config, name) != getattr(TrainConfig, name) and not config.teacher:
            raise OptionError(name, "belongs to --teacher, which is not given")
    if config.teacher_weights and Path(config.teacher or "").exists():
        raise OptionError(
            "teacher_weights", f"belongs to a teacher that is given by name; {quoted(config.teacher)} has its own"
        )
    if config.schedule in WITHOUT_WARMUP and config.warmup_epochs != TrainConfig.warmup_epochs:
        words = f"has no meaning for --schedule {config.schedule}, which begins in its own way; leave it out"
        raise OptionError("warmup_epochs", words)
    if config.freeze == "backbone" and config.layer_decay != TrainConfig.layer_decay:
        raise OptionError("layer_decay", "slows the blocks that --freeze backbone holds still; give one of them")
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
    for name in ("ema", "label_smoothing", "dropout", "drop_frames"):
        if getattr(config, name) == 1:
            raise OptionError(name, "must be less than 1: with 1 nothing could be learnt")
    several = (config.devices or 1) * (config.num_nodes or 1) > 1
    if several and re.fullmatch(r"cuda:\d+", config.device):
        raise OptionError("device", f"{config.device} is one GPU; use cuda with --devices")
    if several and config.first_step:
        raise OptionError("devices", "must be 1 for --preview, --overfit and --find-rate: first steps of one process")
    steps = [name for name in FIRST_STEPS if getattr(config, name)]
    if len(steps) > 1:
        raise OptionError(steps[0], f"and --{steps[1].replace('_', '-')} are two steps; give one of them")


def _check_reverse(config: TrainConfig) -> None:
    """The pairs of classes are known, or in a table; with the names of classes where the dataset's card has them."""
    if config.reverse not in (None, "known") and not Path(config.reverse).is_file():
        raise OptionError("reverse", f"must be 'known' or a CSV file of pairs, not {quoted(config.reverse)}")
    card = dataset_card(config.dataset)
    with about("reverse"):
        find_time_pairs(config.reverse, card, load_labels(card.labels) if card.labels else None)


def _as_value(text: str):
    """A word of the command line as a number or a truth value where it reads as one."""
    if text in ("True", "False", "true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


TRAIN = Program(
    TrainConfig,
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
  130  stopped by Ctrl-C (143: by SIGTERM); the same command continues""",
)
