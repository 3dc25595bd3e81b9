"""Models by name: what each one is (``CARDS``), and how to load it (``load_model``).

Names read ``architecture.weights``. A card holds what the network saw in training, its label space, its weights
with their hash, and what was published about them; nothing of that is decided anywhere else.
"""

from __future__ import annotations

import fnmatch
import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.checkpoints import check_file, check_hash, fetch, fit, load_state_dict_file
from vidbench.forward import PRECISIONS, TorchNetwork, cache_folder, choose_device, tune
from vidbench.records import ConfigError, InputSpec, WeightsError
from vidbench.utils import machine_facts, nearest_hint, package_versions, printable, usable_cores

__all__ = [
    "CARDS",
    "Model",
    "ModelCard",
    "Reported",
    "Weights",
    "check_frames",
    "choose_device",
    "find_card",
    "library_version",
    "list_models",
    "load_model",
    "tune",
]

SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Weights:
    """Where a card's weights come from.

    Args:
        file: name of the file, in ``vidbench/weights`` where ``url`` is empty.
        url: upstream address or TF-Hub handle.
        sha256: of the file in hexadecimal, whole or its first digits; empty where nobody published it.
        license: of the weights, or what is known of it.
    """

    file: str
    url: str = ""
    sha256: str = ""
    license: str = "not stated"


@dataclass(frozen=True)
class Reported:
    """What someone published about the weights. What we measure never stands in the same column.

    Args:
        top1: per cent, or ``None`` where no number was published.
        top5: likewise.
        on: dataset and split.
        protocol: views and averaging behind the number.
        source: where to read it.
    """

    top1: float | None
    top5: float | None
    on: str
    protocol: str
    source: str


@dataclass(frozen=True)
class ModelCard:
    """One set of weights: all that is needed to use it and to judge its numbers.

    Args:
        name: ``architecture.weights``.
        build: ``module:callable`` of the network, imported when asked for.
        kind: ``torch`` (callable takes ``num_classes``), ``tflite`` or ``tfhub``.
        labels: name of a label space in ``vidbench/data/labels``.
        num_frames: fewest and most frames of a view that the network can take; ``None`` for no limit.
        params: learnable parameters, in single numbers; 0 where unknown.
        notes: what a user should know before trusting a number.
    """

    name: str
    build: str
    kind: str
    weights: Weights
    labels: str
    num_classes: int
    input: InputSpec
    reported: Reported | None
    num_frames: tuple[int, int | None] = (1, None)
    params: int = 0
    citation: str = ""
    notes: str = ""

    @property
    def architecture(self) -> str:
        return self.name.partition(".")[0]

    @property
    def can_be_random(self) -> bool:
        """Whether ``weights="random"`` works: not for a finished program."""
        return self.kind == "torch"


class Model:
    """A network with its card, on a device.

    Args:
        card: the card.
        labels: class names in the order of the logits.
        network: ``TorchNetwork``, ``MoViNetStream`` or ``HubI3D``.
        weights_source: ``shipped``, ``upstream``, ``path`` or ``random``.
        weights_file: the file or folder, as a string; empty for random weights.
        weights_sha256: of that file; ``None`` for random weights.
        notes: sentences for the run's manifest.
    """

    def __init__(self, card, labels, network, *, weights_source, weights_file="", weights_sha256=None, notes=()):
        self.card, self.labels, self.network = card, labels, network
        self.settled = not network.tunable
        self.weights_source, self.weights_file = weights_source, weights_file
        self.weights_sha256, self.notes = weights_sha256, tuple(notes)

    @property
    def random_weights(self) -> bool:
        return self.weights_source == "random"

    @property
    def published_weights(self) -> bool:
        """Whether these are the card's own weights, so that its published score speaks of them."""
        expected = self.card.weights.sha256
        if self.weights_source == "path" and not expected:
            return False
        return self.weights_sha256 is not None and self.weights_sha256.startswith(expected)

    @property
    def seconds(self) -> dict:
        """Seconds spent so far by stage: ``transform``, ``transfer``, ``forward``."""
        return self.network.seconds

    @property
    def device(self) -> str:
        return self.network.device

    @property
    def precision(self) -> str:
        return self.network.precision

    @property
    def memory_format(self) -> str:
        return self.network.memory_format

    @property
    def device_name(self) -> str:
        """The processor or GPU it runs on, for people."""
        if self.device.startswith("cuda"):
            import torch

            return torch.cuda.get_device_name(self.device)
        return machine_facts()["processor"]

    @property
    def spec(self) -> InputSpec:
        """How the network is fed: the card's input, until another one is set (the score is then off-card).

        Setting it raises ``ConfigError`` for a number of frames that the network cannot take.
        """
        return self.network.spec

    @spec.setter
    def spec(self, spec: InputSpec) -> None:
        check_frames(self.card, spec.num_frames)
        self.network.spec = spec

    def settle(self, precision: str, memory_format: str) -> None:
        """Fix how it computes; raises ``ConfigError`` for what the device cannot do."""
        if self.network.tunable:
            self.network.configure(precision, memory_format)
        self.settled = True

    def logits(self, pixels: list[np.ndarray], batch_size: int = 8) -> list[np.ndarray]:
        """Scores of every view before the softmax.

        Args:
            pixels: one array a video, uint8 (V, T, H, W, 3), RGB; V may differ.
            batch_size: views at a time, in the order given.

        Returns:
            One float32 array (V, K) a video.

        Raises:
            ConfigError: a batch too large for the device.
            ValueError: pixels of another type or shape.
        """
        for video in pixels:
            if video.dtype != np.uint8 or video.ndim != 5 or video.shape[-1] != 3 or 0 in video.shape:
                raise ValueError(f"views must be uint8 (V, T, H, W, 3), not {video.dtype} {video.shape}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        scores = self.network.logits(list(pixels), batch_size)
        for found in scores:
            if found.shape[-1] != len(self.labels):
                raise WeightsError(f"{self.card.name} gave {found.shape[-1]} scores for {len(self.labels)} classes.")
        return scores


def list_models(pattern: str = "*") -> list[str]:
    """Names of the cards that match a shell pattern, in the order of ``CARDS``.

    >>> list_models("mini*")
    ['mini2d.vidmini_v1', 'mini_r2plus1d.vidmini_v1']
    """
    return [name for name in CARDS if fnmatch.fnmatchcase(name, pattern)]


def find_card(name: str) -> ModelCard:
    """The card of a name; an architecture alone means its first card.

    Raises:
        ConfigError: an unknown name, with the nearest known ones.
    """
    if name in CARDS:
        return CARDS[name]
    for card in CARDS.values():
        if card.architecture == name:
            return card
    known = dict.fromkeys([*(card.architecture for card in CARDS.values()), *CARDS])
    raise ConfigError(f"There is no model {printable(name, 80)!r}.{nearest_hint(name, known)}")


def check_frames(card: ModelCard, num_frames: int) -> None:
    """Raise ``ConfigError`` for a number of frames a view that the card's network cannot take."""
    fewest, most = card.num_frames
    if not fewest <= num_frames <= (most or num_frames):
        limits = f"exactly {fewest}" if fewest == most else f"at least {fewest}"
        raise ConfigError(f"{card.name} takes {limits} frames a view, not {num_frames}.")


def library_version(card: ModelCard) -> str:
    """The library that computes, with its version, without importing it.

    >>> library_version(find_card("r3d_18")).split()[0]
    'torch'
    """
    names = {"torch": ("torch", "torchvision"), "tflite": ("ai-edge-litert",), "tfhub": ("tensorflow",)}[card.kind]
    return " ".join(f"{name} {version}" for name, version in package_versions(names).items() if name in names)


def load_model(
    name: str,
    weights: str | Path | None = None,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    memory_format: str | None = None,
    seed: int = 0,
    num_threads: int | None = None,
) -> Model:
    """A model ready for ``logits``.

    Args:
        name: a card's name, or an architecture.
        weights: ``None`` for the card's own (shipped with vidbench, or downloaded once), ``random`` for a network
            that has learnt nothing, or a path: a ``.safetensors`` or ``torch.save`` file, a ``.tflite`` file, a
            SavedModel folder.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:NUMBER`` or ``mps``.
        precision: ``fp32``, ``bf16`` or ``fp16``; ``auto`` means ``fp32`` until ``tune`` has measured.
        memory_format: ``contiguous`` (default) or ``channels_last``.
        seed: of random weights.
        num_threads: cores for the network; ``None`` leaves the library's choice.

    Raises:
        ConfigError: an unknown model, device or precision, or one that the model does not run on.
        WeightsError: weights that cannot be had, or do not fit.
    """
    card = find_card(name)
    if precision not in ("auto", *PRECISIONS):
        raise ConfigError(f"Precision {printable(precision, 40)!r} is none of auto, {', '.join(PRECISIONS)}.")
    if card.kind != "torch":
        return _load_hub_model(card, weights, device, precision, num_threads)
    import torch

    device = choose_device(device)
    if num_threads:
        torch.set_num_threads(num_threads)
    module, facts = _load_module(card, weights, seed)
    precision = "fp32" if precision == "auto" else precision
    network = TorchNetwork(
        module, card.input, device=device, precision=precision, memory_format=memory_format or "contiguous"
    )
    return Model(card, _labels(card), network, **facts)


def _load_module(card: ModelCard, weights, seed: int) -> tuple:
    """A card's torch module with its weights, and what the model says about them."""
    import torch

    # Build with a generator of our own: asking for a model must not move the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _imported(card.build)(num_classes=card.num_classes)
    if str(weights) == "random":
        return module, {"weights_source": "random", "notes": ("random weights: no result",)}
    path, source = _weights_file(card, weights)
    state = load_state_dict_file(path)
    fit(module, state, card.name)
    facts = {"weights_source": source, "weights_file": str(path), "weights_sha256": state.sha256, "notes": state.notes}
    return module, facts


def _weights_file(card: ModelCard, weights) -> tuple[Path, str]:
    """The file to load and where it comes from; downloads it where it is not on this machine."""
    if weights is not None:
        return check_file(weights), "path"
    wanted = card.weights
    if not wanted.url:
        path = SHIPPED / wanted.file
        source = "shipped"
        if not path.is_file():
            raise WeightsError(f"{printable(path)} is missing; it is part of vidbench: install it again.")
    else:
        path, source = _weights_folder(card) / wanted.file, "upstream"
        if not path.is_file():
            fetch(wanted.url, path, wanted.sha256, card.name, can_be_random=card.can_be_random)
    check_hash(path, wanted.sha256, "delete it and fetch it again, or name it with --weights if you mean this one")
    return path, source


def _weights_folder(card: ModelCard) -> Path:
    """torchvision's own folder for its weights, so that one download serves both; ours for the rest."""
    if card.build.startswith("torchvision."):
        import torch

        return Path(torch.hub.get_dir()) / "checkpoints"
    return cache_folder() / "weights"


def _load_hub_model(card: ModelCard, weights, device: str, precision: str, num_threads: int | None) -> Model:
    from vidbench import hubs

    if str(weights) == "random":
        raise ConfigError(f"{card.name} comes as a finished program and cannot have random weights.")
    if device not in ("cpu", "auto") or precision not in ("fp32", "auto"):
        raise ConfigError(f"{card.name} runs on the CPU as it is; leave --device and --precision at auto.")
    if card.kind == "tflite":
        path, source = _weights_file(card, weights)
        digest = check_hash(path, card.weights.sha256, "native code reads it, so no other file is taken")
        network = hubs.MoViNetStream(path, card.input, num_workers=num_threads or usable_cores())
    else:
        source = "upstream" if weights is None else "path"
        path = hubs.resolve_handle(card.weights.url, card.name) if weights is None else Path(weights).expanduser()
        if not path.is_dir():
            raise WeightsError(f"There is no SavedModel folder {printable(path)}.")
        digest = hubs.hash_of_folder(path)
        network = hubs.HubI3D(path, card.input)
    return Model(card, _labels(card), network, weights_source=source, weights_file=str(path), weights_sha256=digest)


def _labels(card: ModelCard) -> tuple[str, ...]:
    from vidbench.data.catalog import load_labels

    labels = load_labels(card.labels)
    if len(labels) != card.num_classes:
        raise ValueError(f"{card.name}: {card.num_classes} classes, but {len(labels)} labels in {card.labels}")
    return labels


def _imported(build: str):
    module, _, name = build.partition(":")
    return getattr(importlib.import_module(module), name)


# ---------------------------------------------------------------------------------------------------------- cards

_KINETICS_NORM = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
_PLAIN_NORM = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
_IMAGENET_NORM = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_UNIT = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}

# torchvision's reference script averages the softmax of the clips, not their logits.
_RESNET = InputSpec(16, 15.0, (128, 171), (112, 112), **_KINETICS_NORM, num_clips=5, average="probabilities")
_S3D = InputSpec(
    128, 15.0, (256, 256), (224, 224), **_KINETICS_NORM, sampling="clips_from_start", average="probabilities"
)
_MVIT = InputSpec(16, 7.5, 256, (224, 224), **_PLAIN_NORM, num_clips=5, average="probabilities")
_SWIN = InputSpec(32, 15.0, 256, (224, 224), **_IMAGENET_NORM, num_clips=12, average="probabilities")

_R3D_PAPER = "A closer look at spatiotemporal convolutions, https://arxiv.org/abs/1711.11248"
_MVIT_V2_PAPER = "MViTv2: improved multiscale vision transformers, https://arxiv.org/abs/2112.01526"
_SWIN_PAPER = "Video Swin Transformer, https://arxiv.org/abs/2106.13230"


def _torchvision(
    architecture, file, spec, top1, top5, params, citation, *, weights="kinetics400_v1", frames=(1, None), notes=""
) -> ModelCard:
    views = f"{spec.num_clips} clips of {spec.num_frames} frames at {spec.frame_rate:g} fps, 1 crop"
    protocol = f"video level, {views}, softmax averaged" if spec.num_clips > 1 else f"clip level, {views}"
    return ModelCard(
        name=f"{architecture}.{weights}",
        build=f"torchvision.models.video:{architecture}",
        kind="torch",
        weights=Weights(
            file,
            "https://download.pytorch.org/models/" + file,
            sha256=file.rpartition("-")[2].partition(".")[0],
            license="not stated for the weights (code: BSD-3-Clause); trained on Kinetics-400",
        ),
        labels="kinetics400",
        num_classes=400,
        input=spec,
        reported=Reported(top1, top5, "kinetics400 val", protocol, "torchvision 0.29 weights.meta"),
        num_frames=frames,
        params=params,
        citation=citation,
        notes=notes,
    )


_TORCHVISION = (
    _torchvision("r3d_18", "r3d_18-b3b3357e.pth", _RESNET, 63.2, 83.479, 33371472, _R3D_PAPER),
    _torchvision("mc3_18", "mc3_18-a90a0ba3.pth", _RESNET, 63.96, 84.13, 11695440, _R3D_PAPER),
    _torchvision("r2plus1d_18", "r2plus1d_18-91a641e6.pth", _RESNET, 67.463, 86.175, 31505325, _R3D_PAPER),
    _torchvision(
        "s3d",
        "s3d-d76dad2f.pth",
        _S3D,
        68.368,
        88.05,
        8320048,
        "Rethinking spatiotemporal feature learning, https://arxiv.org/abs/1712.04851",
        frames=(14, None),
        notes="The published number is the accuracy of single clips of 128 frames.",
    ),
    _torchvision(
        "mvit_v1_b",
        "mvit_v1_b-dbeb1030.pth",
        _MVIT,
        78.477,
        93.582,
        36610672,
        "Multiscale vision transformers, https://arxiv.org/abs/2104.11227",
        frames=(16, 16),
    ),
    _torchvision(
        "mvit_v2_s", "mvit_v2_s-ae3be167.pth", _MVIT, 80.757, 94.665, 34537744, _MVIT_V2_PAPER, frames=(16, 16)
    ),
    _torchvision("swin3d_t", "swin3d_t-7615ae03.pth", _SWIN, 77.715, 93.519, 28158070, _SWIN_PAPER),
    _torchvision("swin3d_s", "swin3d_s-da41c237.pth", _SWIN, 79.521, 94.158, 49816678, _SWIN_PAPER),
    _torchvision("swin3d_b", "swin3d_b_1k-24f7c7c6.pth", _SWIN, 79.427, 94.386, 88048984, _SWIN_PAPER),
    _torchvision(
        "swin3d_b",
        "swin3d_b_22k-7c6ae6fa.pth",
        _SWIN,
        81.643,
        95.574,
        88048984,
        _SWIN_PAPER,
        weights="kinetics400_imagenet22k_v1",
    ),
)

_MOVINET = ModelCard(
    name="movinet_a0_stream.k600_int8",
    build="vidbench.hubs:MoViNetStream",
    kind="tflite",
    weights=Weights(
        "movinet_a0_stream_k600_int8.tflite",
        "https://tfhub.dev/tensorflow/lite-model/movinet/a0/stream/kinetics-600/classification/tflite/int8/1"
        "?lite-format=tflite",
        sha256="6125b36e2485eeb5cc1fd6206cf5e5d70235593fbc84610d1dce97fe3aa9c2ac",
        license="Apache-2.0",
    ),
    labels="kinetics600",
    num_classes=600,
    input=InputSpec(0, 5.0, 172, (172, 172), **_UNIT, sampling="stream", layout="NTHWC"),
    reported=Reported(
        65.0,
        None,
        "kinetics600",
        "split and views not stated",
        "https://www.tensorflow.org/lite/examples/video_classification/overview",
    ),
    num_frames=(0, None),
    params=2723392,
    citation="MoViNets: mobile video networks for efficient video recognition, https://arxiv.org/abs/2103.11511",
    notes="8-bit weights and activations. The float A0-Stream is reported at 72.05 % top-1 on kinetics600 val; the two "
    "numbers are not of the same weights.",
)


def _i3d(num_classes: int) -> ModelCard:
    return ModelCard(
        name=f"i3d.tfhub_kinetics{num_classes}",
        build="vidbench.hubs:HubI3D",
        kind="tfhub",
        weights=Weights("", f"https://tfhub.dev/deepmind/i3d-kinetics-{num_classes}/1", license="Apache-2.0"),
        labels=f"kinetics{num_classes}",
        num_classes=num_classes,
        input=InputSpec(64, 25.0, 256, (224, 224), **_UNIT, layout="NTHWC"),
        reported=None,
        num_frames=(9, None),
        params=12704544 if num_classes == 400 else 0,
        citation="Quo vadis, action recognition?, https://arxiv.org/abs/1705.07750",
        notes="The pixel range is unresolved: TensorFlow's tutorial feeds [0, 1], as here; others feed [-1, 1] to the "
        "same module, and its page does not say. No accuracy was published for it. DeepMind's checkpoints score "
        "71.1 % top-1 on the kinetics400 test set with all frames of a video in one view.",
    )


def _mini(architecture: str, layout: str, num_frames: int, params: int, sha256: str, notes: str) -> ModelCard:
    # 160x120 halved exactly, so that bilinear scaling averages four pixels and nothing folds over. A pair, because the
    # crop is wider than a short side of 60: other shapes are stretched.
    geometry = {"resize": (60, 80), "crop": (56, 72), "mean": (0.5,) * 3, "std": (0.25,) * 3}
    name = f"{architecture}.vidmini_v1"
    return ModelCard(
        name=name,
        build=f"vidbench.nets.mini:build_{architecture}",
        kind="torch",
        weights=Weights(f"{name}.safetensors", sha256=sha256, license="Apache-2.0"),
        labels="vidmini",
        num_classes=12,
        input=InputSpec(num_frames, None, **geometry, sampling="uniform", layout=layout),
        reported=None,
        params=params,
        notes=f"Trained here with `python scripts/train_mini.py --model {architecture}`, seed 0. {notes} All figures: "
        f"vidbench/weights/{name}.json.",
    )


_MINI = (
    _mini(
        "mini2d",
        "NCHW",
        8,
        489092,
        "6df6d6983f5be2cd5aaf713bd622212916d936ff41ba963fec2c3ea22cc76b45",
        "It scores single frames, so it is blind to the direction of time. Measured top-1: 67.4 % [59.3, 74.5], n=144, "
        "on the shipped test split; 65.2 % [62.4, 67.8], n=1200, on one drawn from another seed, where inside pairs "
        "that differ by the direction of time alone it is right in 48.6 % [45.2, 52.1], n=800.",
    ),
    _mini(
        "mini_r2plus1d",
        "NCTHW",
        16,
        247420,
        "2d98e7bd1b5a9d26b8ec9fbdfba2301dc9acd5604097b32c3422e8a30f3eed5b",
        "Measured top-1: 100.0 % [97.4, 100.0], n=144, on the shipped test split; 98.5 % [97.6, 99.0], n=1200, on one "
        "drawn from another seed, where inside pairs that differ by the direction of time alone it is right in 100.0 % "
        "[99.5, 100.0], n=800.",
    ),
)

CARDS = {card.name: card for card in (*_MINI, *_TORCHVISION, _MOVINET, _i3d(400), _i3d(600))}
