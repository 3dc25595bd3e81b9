"""Options of ``scripts/doctor.py``."""

from __future__ import annotations

import os
from dataclasses import dataclass

from vidbench.evaluate_arguments import EvaluateConfig
from vidbench.flags import OptionError, Options, Program, like
from vidbench.kinds import text, texts, whole
from vidbench.option_kinds import about, check_weights, started_at
from vidbench.shared_options import RunOptions, how, what
from vidbench.utils import quoted


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(Options):
    """What ``vidbench.doctor.examine`` looks at: the flags of ``scripts/doctor.py``, with underscores."""

    model: str = what(text, "the model, named architecture.weights; may stand first, without the flag", metavar="MODEL")
    weights: str | None = like(
        RunOptions,
        "weights",
        help="file or folder of weights, TensorFlow's checkpoints included",
        shown="default: the card's own, fetched once",
    )
    clip: tuple[str, ...] | None = what(
        texts,
        "the authors' clip as a .npy file, or two (RGB, then flow). The network must give "
        "the logits that they published for it",
        metavar="FILE",
        shown="default: none",
    )
    dataset: str | None = like(
        RunOptions,
        "dataset",
        help="a dataset with labels, such as vidmini, ucf101 or folder. Some of its videos tell whether pixels and the "
        "order of classes are those that the weights learnt",
        shown="default: none",
    )
    data_dir: str | None = like(RunOptions, "data_dir", help="its folder. Videos that are not there are left out")
    annotations: str | None = like(RunOptions, "annotations")
    split: str | None = like(RunOptions, "split", help="its split")
    label_map: str | None = like(
        RunOptions,
        "label_map",
        help="names, known or a CSV file, as for evaluate.py, where the dataset's classes are not the model's",
    )
    limit: int = how(
        whole(2, 10**6),
        "videos looked at, four of a class. About a dozen times as many go through the network; fewer find less",
        default=64,
    )
    seed: int = how(whole(0, 2**32 - 1), "draws them, and random weights", default=0)
    device: str = like(RunOptions, "device")

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
        if not self.dataset and self.limit != DoctorConfig.limit:
            raise OptionError("limit", "counts videos of --dataset, which is not given")
        for name in self.clip or ():
            if not os.path.isfile(name):
                raise OptionError("clip", f"{quoted(name, 160)} is no regular file ({started_at(name)})")
        return self


DOCTOR = Program(
    DoctorConfig,
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
    first=("model",),
)
