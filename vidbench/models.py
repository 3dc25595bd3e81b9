"""Models by name: what each one is (``CARDS``), and how to load it (``load_model``).

Names read ``architecture.weights``. A card holds what the network saw in training, its label space, its weights
with their hash, and what was published about them; nothing of that is decided anywhere else.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vidbench import hub_transformers, trained
from vidbench.cards import cnn_rnn, i3d, mini, movinet, pytorchvideo, resnet3d, s3d, torchvision, transformers, tsn
from vidbench.cards.card import ModelCard, Reported, Weights
from vidbench.checkpoints import StateDict, check_file, check_fit, check_hash, fetch, fit, load_state_dict_file
from vidbench.data.web import megabytes
from vidbench.forward import PRECISIONS, TorchNetwork, cache_folder, choose_device, tune
from vidbench.records import RANDOM_NOTE, ConfigError, InputSpec, WeightsError
from vidbench.utils import machine_facts, nearest_hint, package_versions, printable, sha256_of_json, usable_cores

__all__ = [
    "CARDS",
    "Model",
    "ModelCard",
    "Reported",
    "Weights",
    "build_module",
    "check_frames",
    "choose_device",
    "find_card",
    "labels_of",
    "library_version",
    "list_models",
    "load_model",
    "tune",
]

SHIPPED = Path(__file__).parent / "weights"

FAMILIES = (mini, torchvision, movinet, i3d, s3d, resnet3d, tsn, cnn_rnn, transformers, pytorchvideo)
CARDS = {card.name: card for family in FAMILIES for card in family.CARDS}


class Model:
    """A network with its card, on a device.

    Args:
        card: the card.
        labels: class names in the order of the logits.
        network: ``TorchNetwork``, ``MoViNetStream`` or one of the ``SavedModel``s of ``hubs``.
        weights_source: ``shipped``, ``upstream``, ``path``, ``random``, or ``backbone`` where the rest is random.
        weights_file: the file or folder, as a string; empty for random weights.
        weights_sha256: of that file; ``None`` for random weights.
        random_head: whether the last layer is new and has learnt nothing.
        notes: sentences for the run's manifest.
    """

    def __init__(
        self,
        card,
        labels,
        network,
        *,
        weights_source,
        weights_file="",
        weights_sha256=None,
        random_head=False,
        notes=(),
    ):
        self.card, self.labels, self.network = card, labels, network
        self.settled = not network.tunable
        self.weights_source, self.weights_file = weights_source, weights_file
        self.weights_sha256, self.random_head, self.notes = weights_sha256, random_head, tuple(notes)

    @property
    def random_weights(self) -> bool:
        """Whether its scores are no result: nothing learnt, or nothing in the last layer."""
        return self.weights_source == "random" or self.random_head

    @property
    def published_weights(self) -> bool:
        """Whether these are the card's own weights, so that its published score speaks of them."""
        expected = self.card.weights.sha256
        if self.weights_file and self.weights_file == self.card.weights.file:
            return not self.random_head  # a checkpoint that carries its card
        if self.weights_source == "path" and not expected:
            return False
        return not self.random_head and self.weights_sha256 is not None and self.weights_sha256.startswith(expected)

    @property
    def seconds(self) -> dict:
        """Seconds spent so far by stage: ``transform``, ``transfer``, ``forward``."""
        return self.network.seconds

    @property
    def halved_batches(self) -> int:
        """How often a batch did not fit into the device's memory and was computed in halves."""
        return getattr(self.network, "halved", 0)

    @property
    def device(self) -> str:
        """Where it computes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
        return self.network.device

    @property
    def precision(self) -> str:
        """What it computes with now: ``fp32``, ``bf16`` or ``fp16``; ``int8`` where the program is so."""
        return self.network.precision

    @property
    def memory_format(self) -> str:
        """``contiguous`` or ``channels_last``: how the network's arrays lie in memory now."""
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
            pixels: one array a video, uint8 (V, T, H, W, C), RGB or as the card's modality says; V may differ.
            batch_size: views at a time, in the order given.

        Returns:
            One float32 array (V, K) a video.

        Raises:
            ConfigError: a batch too large for the device.
            ValueError: pixels of another type or shape.
        """
        return self.submit(pixels, batch_size)()

    def submit(self, pixels: list[np.ndarray], batch_size: int = 8) -> Callable[[], list[np.ndarray]]:
        """Begin what ``logits`` does, so that a GPU computes while the caller goes on.

        Returns:
            A function that waits for the scores and gives them.
        """
        for video in pixels:
            channels = self.spec.channels
            if video.dtype != np.uint8 or video.ndim != 5 or video.shape[-1] != channels or 0 in video.shape:
                raise ValueError(f"views must be uint8 (V, T, H, W, {channels}), not {video.dtype} {video.shape}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if hasattr(self.network, "submit"):
            return functools.partial(self._checked, self.network.submit(list(pixels), batch_size).result)
        found = self.network.logits(list(pixels), batch_size)
        return functools.partial(self._checked, lambda: found)

    def _checked(self, scores: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
        found = scores()
        for part in found:
            if part.shape[-1] != len(self.labels):
                raise WeightsError(f"{self.card.name} gave {part.shape[-1]} scores for {len(self.labels)} classes.")
        return found


def list_models(pattern: str = "*") -> list[str]:
    """Names of the cards that match a shell pattern, in the order of ``CARDS``.

    >>> list_models("mini*")
    ['mini2d.vidmini_v1', 'mini_r2plus1d.vidmini_v1']
    """
    return [name for name in CARDS if fnmatch.fnmatchcase(name, pattern)]


def find_card(name: str | None, weights: str | Path | None = None) -> ModelCard:
    """The card of a name; an architecture alone means its first card.

    ``transformers.local`` stands for a checkpoint in a folder that no card names: its card is made from the folder.
    A checkpoint of ``scripts/train.py`` carries its own card, and needs no name.

    Args:
        name: may be ``None`` for such a checkpoint; one that is given has to be its own, or its network's.
        weights: as for ``load_model``.

    Raises:
        ConfigError: an unknown name, with the nearest known ones, ``transformers.local`` without a folder, a name
            that is not the checkpoint's, or no name and weights that do not exist.
        WeightsError: a folder or checkpoint from which no card can be made.
    """
    if facts := trained.read_facts(weights):
        return _trained_card(name, weights, facts)
    if name is None:
        if weights not in (None, "random") and not Path(weights).exists():
            raise ConfigError(
                f"There is no file {printable(weights, 160)}; a training writes best.safetensors into its run folder."
            )
        raise ConfigError("A model has to be named, unless the weights are a checkpoint of scripts/train.py.")
    if name in CARDS:
        return CARDS[name]
    if name == hub_transformers.LOCAL:
        if weights is None or str(weights) == "random":
            raise ConfigError(
                f"{hub_transformers.LOCAL} takes its card from a checkpoint's folder: name it with --weights."
            )
        return hub_transformers.card_of_folder(weights)
    for card in CARDS.values():
        if card.architecture == name:
            return card
    known = dict.fromkeys([*(card.architecture for card in CARDS.values()), *CARDS, hub_transformers.LOCAL])
    raise ConfigError(f"There is no model {printable(name, 80)!r}.{nearest_hint(name, known)}")


def _trained_card(name: str | None, weights, facts: dict) -> ModelCard:
    """The card of a checkpoint that carries it, when it is of the network that the name means."""
    base = CARDS.get(facts["network"])
    if base is None:
        raise WeightsError(
            f"{printable(weights, 200)} is of the network {printable(facts['network'], 80)!r}, which this version does "
            f"not have.{nearest_hint(facts['network'], CARDS)}"
        )
    if name not in (None, facts["name"], base.name, base.architecture):
        raise ConfigError(
            f"{printable(weights, 200)} was trained as {base.name}, not {printable(name, 80)}: leave the model's name "
            "out, or name the weights of that one."
        )
    return trained.card_of(weights, facts, with_options(base, facts["options"]))


def with_options(card: ModelCard, options: dict) -> ModelCard:
    """The card of the same network built otherwise: no weights, figures or parameter count are known for it.

    Raises:
        ConfigError: an option that the card's network does not have, with those it has.
    """
    if not options or card.options == {**card.options, **options}:
        return card
    if not card.can_be_random:
        raise ConfigError(f"{card.name} comes as a finished program and has no options.")
    parameters = inspect.signature(_imported(card.build)).parameters
    known = [name for name in parameters if name != "num_classes"]
    judged_there = any(one.kind is one.VAR_KEYWORD for one in parameters.values())  # by a library that knows its own
    for name in options:
        if name not in known and not judged_there:
            raise ConfigError(
                f"{card.name} has no option {printable(name, 40)!r}, but {', '.join(known) or 'none at all'}."
            )
    absent = f"with the options {', '.join(sorted(options))} it is another network than the published one"
    weights = replace(card.weights, file="", url="", sha256="", absent=absent)
    return replace(card, options={**card.options, **options}, weights=weights, reported=None, params=0)


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
    names = {
        "torch": ("torch", "torchvision"),
        "transformers": ("torch", "transformers"),
        "torchhub": ("torch",),
        "tflite": ("ai-edge-litert",),
        "tfhub": ("tensorflow",),
    }[card.kind]
    return " ".join(f"{name} {version}" for name, version in package_versions(names).items() if name in names)


def load_model(
    name: str | None,
    weights: str | Path | None = None,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    memory_format: str | None = None,
    seed: int = 0,
    num_threads: int | None = None,
    labels: str | Sequence[str] | None = None,
    options: dict | None = None,
    backbone_weights: str | Path | None = None,
) -> Model:
    """A model ready for ``logits``.

    Args:
        name: a card's name, or an architecture; ``None`` for a checkpoint that carries its card.
        weights: ``None`` for the card's own (shipped with vidbench, or downloaded once), ``random`` for a network
            that has learnt nothing, or a path: a ``.safetensors`` or ``torch.save`` file, a ``.tflite`` file, a
            SavedModel folder, a folder of transformers, or a TensorFlow checkpoint (its folder, prefix or ``.index``
            file); for a program of TF-Hub also an address there or on Kaggle.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:NUMBER`` or ``mps``.
        precision: ``fp32``, ``bf16`` or ``fp16``; ``auto`` means ``fp32`` until ``tune`` has measured.
        memory_format: ``contiguous`` (default) or ``channels_last``.
        seed: of random weights.
        num_threads: cores for the network; ``None`` leaves the library's choice.
        labels: other classes than the card's: the name of a label space, or class names in the order of the logits.
            The network then gets a last layer for them. Weights with that many classes fill it; from weights with the
            card's number of classes everything else is taken, and the last layer stays random (``random_head``).
        options: other arguments of the card's network, ``{"consensus": "max"}`` for one: it then has no published
            weights (``with_options``).
        backbone_weights: weights of the smaller network that the card's begins with, for training: a file in that
            network's own names (torchvision's ``resnet50``, say), or the name of weights that torchvision publishes
            (``IMAGENET1K_V1``). Everything else is random, the last layer too. Not together with ``weights``.

    Raises:
        ConfigError: an unknown model, device or precision, or one that the model does not run on.
        WeightsError: weights that cannot be had, or do not fit.
    """
    card = with_options(find_card(name, weights), options or {})
    if precision not in ("auto", *PRECISIONS):
        raise ConfigError(f"Precision {printable(precision, 40)!r} is none of auto, {', '.join(PRECISIONS)}.")
    if not card.can_be_random:
        if labels is not None or backbone_weights is not None:
            raise ConfigError(f"{card.name} comes as a finished program and cannot have other classes or a backbone.")
        return _load_hub_model(card, weights, device, precision, num_threads)
    import torch

    labels = labels_of(card) if labels is None else _other_labels(labels)

    device = choose_device(device)
    if num_threads:
        torch.set_num_threads(num_threads)
    module, facts = _load_module(card, weights, seed, labels, backbone_weights)
    precision = "fp32" if precision == "auto" else precision
    network = TorchNetwork(
        module, card.input, device=device, precision=precision, memory_format=memory_format or "contiguous"
    )
    return Model(card, labels, network, **facts)


def build_module(card: ModelCard, num_classes: int | None = None):
    """A card's network as a ``torch.nn.Module`` with the initial values of its library, on the current device.

    Args:
        card: names the network and its options.
        num_classes: ``None`` for the card's.
    """
    return _imported(card.build)(num_classes=num_classes or card.num_classes, **card.options)


def _load_module(card: ModelCard, weights, seed: int, labels: tuple[str, ...], backbone_weights=None) -> tuple:
    """A card's torch module with its weights, and what the model says about them."""
    if weights is not None and str(weights) != "random" and backbone_weights is not None:
        raise ConfigError("weights are the whole network's and backbone_weights a part's: give one of them.")
    if backbone_weights is not None:
        module = _fresh_module(card, seed, len(labels))
        return module, _fill_backbone(card, module, backbone_weights)
    if str(weights) == "random":
        return _fresh_module(card, seed, len(labels)), {"weights_source": "random", "notes": (RANDOM_NOTE,)}
    built, state = card, None
    if card.parts and (weights is None or Path(weights).is_dir()):
        state, path, source = _parts(card, weights)
    else:
        path, source = _weights_file(card, weights)
    if card.kind == "transformers" and path.is_dir():
        built, state = _from_folder(card, path, labels)
    module = _fresh_module(built, seed, len(labels))
    state = _converted(card, state or _read(card, path), module)
    kept = state if len(labels) == card.num_classes else _without_other_head(card, state, module)
    fit(module, kept, card.name)
    facts = {"weights_source": source, "weights_file": str(path), "weights_sha256": state.sha256, "notes": kept.notes}
    return module, {**facts, "random_head": kept is not state}


def _fresh_module(card: ModelCard, seed: int, num_classes: int):
    """A module of random weights, by a generator of our own: asking for a model must not move the caller's numbers."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_module(card, num_classes)


def _from_folder(card: ModelCard, path: Path, labels: tuple[str, ...]) -> tuple[ModelCard, StateDict]:
    """The card with the folder's own configuration of the network, and the folder's weights."""
    folder = hub_transformers.read_folder(path)
    notes = hub_transformers.check_folder(card, labels, folder)
    state = hub_transformers.load_weights(folder)
    return replace(card, options=folder.options), replace(state, notes=(*state.notes, *notes))


def _fill_backbone(card: ModelCard, module, weights) -> dict:
    """Put a backbone's weights into the network, and say what the model says about them; see ``nets/backbone.py``."""
    if not hasattr(module, "from_backbone"):
        raise ConfigError(f"{card.name} begins with no other network's weights; pass its own as weights.")
    state = _read_backbone(module, weights)
    shapes = module.backbone_shapes()
    left_out = sorted(key for key in state.tensors if key in shapes and shapes[key] is None)
    kept = replace(state, tensors={key: value for key, value in state.tensors.items() if key not in left_out})
    check_fit(
        {key: shape for key, shape in shapes.items() if shape is not None}, kept, f"the backbone {module.backbone}"
    )
    filled = module.from_backbone(kept.tensors)
    unknown = module.load_state_dict(filled, strict=False).unexpected_keys
    assert not unknown, f"{card.name} has no {unknown}"
    note = f"{len(filled)} tensors are those of the backbone {module.backbone}, everything else is random: no result"
    facts = {"weights_source": "backbone", "weights_file": str(state.path), "weights_sha256": state.sha256}
    return {**facts, "random_head": True, "notes": (*state.notes, note)}


def _read_backbone(module, weights) -> StateDict:
    """A backbone's tensors, from a file or, where its files come under several sets of names, TensorFlow's too."""
    from vidbench import hubs

    if not hasattr(module, "backbone_names"):
        return load_state_dict_file(_backbone_file(module.backbone, weights))
    found = hubs.find_checkpoint(weights)
    state = hubs.load_checkpoint(found) if found else load_state_dict_file(_backbone_file(module.backbone, weights))
    return replace(state, tensors=module.backbone_names(state.tensors))


def _backbone_file(backbone: str, weights) -> Path:
    """A file of backbone weights; downloads those that torchvision publishes under the name given."""
    if Path(weights).exists() or not str(weights).isidentifier():
        return check_file(weights)
    import torch

    from vidbench.nets.backbone import published

    url, sha256 = published(backbone, str(weights))
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not os.path.isfile(path):  # unlike Path.is_file no error where the folder may not be looked into
        fetch(url, path, sha256, backbone, can_be_random=False, advice="pass a file's path in place of their name")
    check_hash(path, sha256)
    return path


def _parts(card: ModelCard, weights) -> tuple[StateDict, Path, str]:
    """The tensors of a network that is put together from others: each part's own weights, or those in a folder."""
    import torch

    tensors: dict = {}
    digests, folder, source = [], Path(), ""
    for prefix, name in card.parts.items():
        part = CARDS[name]
        path, source = _weights_file(part, weights if weights is None else _part_in(Path(weights), part))
        with torch.device("meta"):
            module = build_module(part)
        state = _converted(part, _read(part, path), module)
        check_fit({key: tuple(value.shape) for key, value in module.state_dict().items()}, state, part.name)
        tensors |= {f"{prefix}.{key}": value for key, value in state.tensors.items()}
        digests.append([prefix, state.sha256])
        folder = path.parent if weights is None else Path(weights)
    notes = (f"put together from {len(digests)} parts",)
    return StateDict(tensors, folder, sha256_of_json(digests), notes), folder, source


def _part_in(folder: Path, part: ModelCard) -> Path:
    """The entry of a folder that holds a part's weights: the only one that is called as its card says."""
    word = part.name.partition(".")[2].rpartition("_")[0]
    found = sorted(path for path in folder.iterdir() if path.name.partition(".")[0] == word)
    if len(found) != 1:
        what = "nothing" if not found else f"{len(found)} entries"
        raise WeightsError(f"{printable(folder)} holds {what} called {word}, which the weights of {part.name} must be.")
    return found[0]


def _read(card: ModelCard, path: Path) -> StateDict:
    """The tensors of a weights file, or of a TensorFlow checkpoint where the card can use one."""
    from vidbench import hubs

    if card.convert and hubs.find_checkpoint(path):
        return hubs.load_checkpoint(path)
    return load_state_dict_file(path)


def _converted(card: ModelCard, state: StateDict, module) -> StateDict:
    """The tensors under the network's own names."""
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    if card.kind == "transformers" and state.tensors.keys() != shapes.keys():
        state = hub_transformers.renamed(state, module)
    if not card.convert or state.tensors.keys() == shapes.keys():
        return state
    return replace(state, tensors=_imported(card.convert)(state.tensors, shapes))


def _without_other_head(card: ModelCard, state: StateDict, module) -> StateDict:
    """The same state where its last layer fits; else with the network's own, random one in its place."""
    own = module.state_dict()
    other = {key for key in head_keys(card) & state.tensors.keys() if state.tensors[key].shape != own[key].shape}
    if not other or any(len(state.tensors[key]) != card.num_classes for key in other):
        return state
    note = f"the last layer ({', '.join(sorted(other))}) is new and random"
    tensors = {key: own[key].clone() if key in other else value for key, value in state.tensors.items()}
    return replace(state, tensors=tensors, notes=(*state.notes, note))


def head_keys(card: ModelCard) -> set[str]:
    """Names of the parameters whose shape depends on the number of classes: the last layer."""
    import torch

    with torch.device("meta"):
        one, two = (build_module(card, number).state_dict() for number in (card.num_classes, card.num_classes + 1))
    return {key for key, value in one.items() if value.shape != two[key].shape}


def _weights_file(card: ModelCard, weights) -> tuple[Path, str]:
    """The file to load and where it comes from; downloads it where it is not on this machine."""
    from vidbench import hubs

    if weights is not None:
        folder = Path(weights).expanduser()
        if card.kind == "transformers" and folder.is_dir():
            return folder, "path"
        found = hubs.find_checkpoint(weights) if card.convert else None
        return found or check_file(weights), "path"
    wanted = card.weights
    if wanted.absent:
        raise WeightsError(
            f"{card.name} comes without weights: {wanted.absent}. Pass a file of your own with --weights PATH, or "
            f"--weights random to try the pipeline without a result."
        )
    if card.kind == "transformers" and not wanted.url.endswith("/" + wanted.file):
        return hub_transformers.fetch_folder(wanted.url, card.name), "upstream"
    if not wanted.url:
        path = SHIPPED / wanted.file
        source = "shipped"
        if not path.is_file():
            raise WeightsError(f"{printable(path)} is missing; it is part of vidbench: install it again.")
    else:
        path, source = _weights_folder(card) / wanted.file, "upstream"
        if not os.path.isfile(path):
            fetch(wanted.url, path, wanted.sha256, card.name, can_be_random=card.can_be_random)
    check_hash(path, wanted.sha256, "delete it and fetch it again, or name it with --weights if you mean this one")
    return path, source


def describe_weights(card: ModelCard, weights=None) -> str:
    """Whether a model's weights are on this machine, and what fetching them would take; asks nobody.

    The size is that of the card's parameters in fp32, 4 bytes each; a file is a little larger.
    """
    wanted = card.weights
    if weights is not None:
        return "random: no result" if str(weights) == "random" else f"from {printable(weights, 200)}"
    if wanted.absent:
        return f"none: {wanted.absent}; --weights names some"
    if not wanted.url:
        return "part of vidbench"
    size = f"about {megabytes(4 * card.params)}, " if card.params else ""
    fetched = f"{size}to be fetched once from {printable(wanted.url, 200)}"
    if card.kind == "tfhub" or (card.kind == "transformers" and not wanted.url.endswith("/" + wanted.file)):
        return f"in the cache of the library that fetches them, or {fetched}"
    path = _weights_folder(card) / wanted.file
    return f"on this machine, {printable(path, 200)}" if os.path.isfile(path) else fetched


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
        path = hubs.find_saved_model(weights, card)
        source = "upstream" if weights is None else "path"
        digest = hubs.hash_of_folder(path)
        network = _imported(card.build)(path, card.input)
    return Model(card, labels_of(card), network, weights_source=source, weights_file=str(path), weights_sha256=digest)


def labels_of(card: ModelCard) -> tuple[str, ...]:
    """The card's class names in the order of the logits."""
    from vidbench.data.classes import load_labels

    labels = card.label_names or load_labels(card.labels)
    if len(labels) != card.num_classes:
        raise ValueError(f"{card.name}: {card.num_classes} classes, but {len(labels)} labels in {card.labels}")
    return labels


def _other_labels(labels) -> tuple[str, ...]:
    from vidbench.data.classes import load_labels

    labels = load_labels(labels) if isinstance(labels, str) else tuple(labels)
    if not labels or len(set(labels)) != len(labels) or not all(isinstance(label, str) for label in labels):
        raise ConfigError("labels must be the name of a label space, or different class names, at least one.")
    return labels


def _imported(build: str):
    module, _, name = build.partition(":")
    return getattr(importlib.import_module(module), name)
