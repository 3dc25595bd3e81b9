"""Options of ``scripts/evaluate.py``."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from vidbench.data.corrupt import STRENGTHS
from vidbench.evaluate_checks import check_engine, check_files, check_input, check_labels, with_checkpoint_defaults
from vidbench.flags import Program, under
from vidbench.kinds import fraction, number, one_of, path, shard, switch, text, whole
from vidbench.old_flags import OLD_FLAGS, translate_old_flags
from vidbench.option_kinds import (
    card_defaults,
    check_decoder,
    check_folders,
    corrupt,
    devices,
    folder_name,
    parents,
    temporal,
)
from vidbench.records import DECODERS
from vidbench.shared_options import RunOptions, how, reading, results, seen, what
from vidbench.utils import quoted

ENGINES = ("local", "ray")
TARGET = (
    "published result to compare with, an id of vidbench/cards/published.csv, where the weights are those of that "
    "result or were trained to reach it; the word card for those of the card again. Changes the verdict only"
)
instead = under("instead of a full run")


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


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(RunOptions):
    """What ``vidbench.evaluate.evaluate`` does: the flags of ``scripts/evaluate.py``, with underscores.

    Values are checked, and converted from text, when the object is made; ``checked`` looks further: at the model's and
    the dataset's cards, and at the folders. ``None`` stands for a value that a card or the machine decides.
    """

    shard: str | None = what(
        shard,
        "evaluate one part of the list, such as 1/4, so that several machines share it. Then "
        "scripts/merge.py makes the parts one run, the same as an undivided one",
        metavar="I/N",
        shown="default: the whole list",
    )
    new_head: bool = what(
        switch,
        "give the network a last layer with the dataset's own classes. It is filled from --weights that have them; "
        "without those it is random: everything runs, and the run says that it gives no result",
    )
    target: str | None = seen(
        text,
        TARGET,
        metavar="ID",
        shown="default: those of the card's weights",
    )
    num_clips: int | None = seen(
        whole(1, 1000),
        "clips spread over a video, their scores averaged. Time grows with it",
        shown="default: the card's",
    )
    num_crops: int | None = seen(
        whole(1, 10),
        "crops of each clip: 1 (centre), 3 (along the longer side) or 10 (corners and centre, each also mirrored, "
        "which is wrong where classes name left or right). Time grows with it",
        shown="default: the card's",
    )
    average: str | None = seen(
        one_of("logits", "probabilities", "max"),
        "how the views of a video become one answer: logits or probabilities (their mean), or max (each class's "
        "highest probability). The view ladder of the report shows all three",
        metavar="HOW",
        shown="default: the card's",
    )
    short_side: int | None = seen(
        whole(8, 8192),
        "pixels of a frame's short side before the crop. Larger shows a smaller part of the picture, in more detail",
        metavar="PIXELS",
        shown="default: the card's",
    )
    num_frames: int | None = seen(
        whole(1, 10000),
        "frames in a clip. Memory and time grow with it; some networks take one number only",
        shown="default: the card's",
    )
    frame_rate: float | None = seen(
        number(0, 1000, "frames per second"),
        "frames per second fed to the model. A clip then lasts num-frames / FPS seconds",
        metavar="FPS",
        shown="default: the card's",
    )
    temporal: str | None = seen(
        temporal,
        "change the time of every video: shuffle or reverse the frames of a clip, show only its first or middle one "
        "(freeze-first, freeze-middle), its middle half at half-speed, or hold frames as if there were N a second "
        "(fps:N). The run is off its card; scripts/temporal.py does them all and compares",
        metavar="CHANGE",
        shown="default: none",
    )
    corrupt: str | None = seen(
        corrupt,
        "make every video worse, the same way each time: NAME:SEVERITY, severities 1 to 5, names "
        f"{', '.join(STRENGTHS)}. The run is off its card, and its clips are made on the fly and not cached; "
        "scripts/robustness.py does them all and compares",
        metavar="NAME:SEVERITY",
        shown="default: none",
    )
    precision: str = how(
        one_of("auto", "fp32", "bf16", "fp16"),
        "auto, fp32, bf16 or fp16. With auto, the fastest whose logits agree with fp32 on the first batch; "
        "a lower precision changes logits slightly",
        metavar="NAME",
        default="auto",
    )
    devices: tuple[str, ...] | None = how(
        devices,
        "GPUs of this machine that share the work, as 0,1 or all: a process for each, one run. Continues a run of "
        "any other number of them",
        metavar="N,N",
        shown="default: one, as --device says",
    )
    engine: str = how(
        one_of(*ENGINES),
        "local: this machine. ray: Ray Data, whose actors decode and predict on every machine of a cluster; the rows "
        "are the same. Needs vidbench[ray]",
        metavar="NAME",
        default="local",
    )
    ray_address: str | None = how(
        ray_address,
        "with --engine ray: the cluster to use, as HOST:PORT or auto (the one that this machine belongs to). Every "
        "machine of it needs the videos, the weights and vidbench in the same places",
        metavar="ADDRESS",
        shown="default: a cluster of this machine alone, started and ended with the run",
    )
    decoder: str = reading(
        one_of(*DECODERS),
        f"{', '.join(DECODERS)}. Only pyav reports damage exactly; the others are for comparison, where installed",
        metavar="NAME",
        default="pyav",
    )
    results_dir: str = results(
        path,
        "folder of run folders. Made when it is missing; a run at an address such as s3://bucket/results is sent there "
        "in pieces while it goes on, where the package for that store (s3fs) is installed",
        metavar="DIR",
        default="results",
    )
    run_name: str | None = results(
        folder_name,
        "name of this run's folder. The same name with the same options continues a run; with other options it is "
        "refused, and the option that differs is named",
        metavar="NAME",
        shown="default: from model, dataset and split",
    )
    top_n: int | None = results(
        whole(1, 100000),
        "classes per video in rows.jsonl and predictions.csv. Accuracy does not depend on it",
        shown="default: 5, or all where the data have fewer classes",
    )
    parents: str | None = results(
        parents,
        "categories of the classes, by which the report adds up confusions: a CSV file with the columns name,parent or "
        'a JSON file {"parent": ["class", ...]}, with every class once; the word shipped for those of vidbench again. '
        "Changes the report only, and stays with the run",
        metavar="FILE",
        shown="default: those that came with vidbench for UCF101, HMDB51 and vidmini",
    )
    max_skipped: float = results(
        fraction,
        "share of listed videos that may be skipped, as 0.01 or 1%. Beyond it the exit status is 3; "
        "results are written all the same, skipped videos counted as wrong",
        metavar="SHARE",
        default=0.01,
    )
    report_only: bool = instead(
        switch,
        "make metrics, table and report again from the rows of the run that the other options name. Runs no model",
    )
    dry_run: bool = instead(switch, "print the plan (videos, weights, bytes, hours, disk) and stop. Nothing is written")

    def checked(self) -> EvaluateConfig:
        """This configuration once more, with full model name, split and data folder filled in from the cards.

        Looks at the cards of model and dataset and at the file system; opens no video, loads no model, leaves no file.

        Raises:
            ConfigError: an unknown model, dataset, split or fold, label spaces that differ without a label map, a file
                that is missing, a decoder that is not installed, a folder that cannot be made or written to.
        """
        named = with_checkpoint_defaults(self)
        filled = dataclasses.replace(named, **card_defaults(named))
        check_labels(filled)
        check_input(filled)
        check_files(filled)
        check_decoder(filled.decoder)
        check_engine(filled)
        if not filled.dry_run:
            check_folders(filled.results_dir, None if filled.no_cache else filled.cache_dir)
        return filled


EVALUATE = Program(
    EvaluateConfig,
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
  130  stopped by Ctrl-C (143: by SIGTERM); the run folder is kept, and the same command continues it

The predecessor's --model_type --model_trained_on --kinetics_version --kinetics_split --num_videos still work;
each says what it became.""",
    old_flags=OLD_FLAGS,
    translate=translate_old_flags,
)
