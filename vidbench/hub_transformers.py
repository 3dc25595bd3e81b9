"""Video classifiers of the transformers library behind our cards: their networks, folders, processors and labels.

A checkpoint there is a folder: ``config.json`` (the network and its classes), ``preprocessor_config.json`` or another
of its names (what happens to pixels) and the weights. The library's defaults are not what a checkpoint was trained
with, so nothing here is taken from them: what the folder says is compared with the card, and a difference is refused.

transformers is imported where it is needed. No code that a checkpoint brings along is run: only networks that are part
of the library, and weights as safetensors or with ``weights_only``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidbench.cards.card import ModelCard, Weights
from vidbench.checkpoints import StateDict, check_file, load_state_dict_file
from vidbench.data.classes import LABELS_FOLDER, load_labels
from vidbench.data.web import network_words, through_proxy
from vidbench.records import AnnotationError, ConfigError, InputSpec, WeightsError, needs
from vidbench.utils import printable, sha256_of_json

HUB = "https://huggingface.co/"
LOCAL = "transformers.local"
NEEDED_BY = "A model of the transformers library"
KINDS = ("videomae", "timesformer", "vivit", "vjepa2")  # their config's model_type
PROCESSOR_FILES = ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
NUM_FRAMES = {"vjepa2": "frames_per_clip"}  # the field of config.json; num_frames otherwise
IMAGE_SIZE = {"vjepa2": "crop_size"}
SAME = 2e-3  # of a mean or standard deviation on [0, 1]: half a level of 255, for roundings in a file


def build_classifier(num_classes: int, *, model_type: str, **config):
    """A video classifier of transformers that takes one tensor and gives one: logits.

    Args:
        num_classes: K.
        model_type: one of ``KINDS``.
        config: fields of its ``config.json``; the library's defaults for the rest.

    Returns:
        The library's own ``torch.nn.Module``, names of parameters included. It takes float32 (N, T, 3, H, W) and
        returns (N, K). Another shape than its config's raises ``ConfigError``: some of these networks would
        take it and answer nonsense.

    Raises:
        ConfigError: a field that this kind of network does not have.
    """
    with needs(NEEDED_BY, "transformers"):
        from transformers import CONFIG_MAPPING, AutoModelForVideoClassification

    unknown = sorted(config.keys() - _fields(model_type))
    if unknown:
        raise ConfigError(f"A {model_type} network has no option {printable(unknown[0], 60)!r}.")
    settings = CONFIG_MAPPING[model_type](**{**config, "num_labels": num_classes})
    module = AutoModelForVideoClassification.from_config(settings)
    module.register_forward_pre_hook(_check_input)
    module.register_forward_hook(_logits_only)
    if getattr(settings, "attention_type", "") == "space_only":
        module.timesformer.encoder.register_forward_hook(_frames_averaged)
    return module


def _fields(model_type: str) -> set[str]:
    """Names of what can be set in a kind's ``config.json``, but for its classes and what speaks of the file."""
    with needs(NEEDED_BY, "transformers"):
        from transformers import CONFIG_MAPPING

    others = {"model_type", "id2label", "label2id", "num_labels", "transformers_version", "architectures"}
    return set(CONFIG_MAPPING[model_type]().to_dict()) - others


def _check_input(module, arguments) -> None:
    config = module.config.to_dict()
    kind = config["model_type"]
    size = config[IMAGE_SIZE.get(kind, "image_size")]
    height, width = (size, size) if isinstance(size, int) else size
    frames = None if kind == "vjepa2" else config["num_frames"]
    (pixels,) = arguments
    found = tuple(pixels.shape)
    if len(found) != 5 or found[2:] != (3, height, width) or found[1] != (frames or found[1]):
        wanted = f"(N, {frames or 'T'}, 3, {height}, {width})"
        raise ConfigError(f"This {kind} network takes pixels of shape {wanted}, not {found}.")


def _logits_only(module, arguments, output):
    return output.logits if hasattr(output, "logits") else output


def _frames_averaged(encoder, arguments, output):
    """Tokens of frames that were looked at apart, (N * T, L, C), as (N, L, C).

    The authors average them here, before the last normalisation; the library forgets it and gives a row of scores a
    frame.
    """
    output["last_hidden_state"] = output.last_hidden_state.unflatten(0, (-1, encoder.config.num_frames)).mean(1)
    return output


# ------------------------------------------------------------------------------------------------- a folder


@dataclass(frozen=True)
class Folder:
    """A checkpoint's folder, read but for its weights.

    Args:
        path: the folder.
        config: of ``config.json``.
        labels: class names in the order of the logits; ``None`` where the file gives none but LABEL_0, LABEL_1, ...
        input: what its processor does to pixels, as a card says it; ``None`` where the folder has no processor.
    """

    path: Path
    config: dict
    labels: tuple[str, ...] | None
    input: InputSpec | None

    @property
    def model_type(self) -> str:
        """The family of networks as transformers calls it: ``videomae``, say."""
        return self.config["model_type"]

    @property
    def options(self) -> dict:
        """The configuration as ``build_classifier`` takes it: what decides the network, but for its classes."""
        return {name: self.config[name] for name in ("model_type", *_fields(self.model_type)) if name in self.config}


def read_folder(path) -> Folder:
    """Read a checkpoint's folder.

    Raises:
        WeightsError: no such folder, one without ``config.json``, a file that is no JSON, a network that is no video
            classifier of the library, or a processor that cannot be used.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise WeightsError(f"There is no folder {printable(path)}.")
    config = _json(path / "config.json")
    kind = config.get("model_type")
    if kind not in KINDS:
        raise WeightsError(
            f"{printable(path)}: config.json is of the kind {printable(kind, 60)!r}; known are {', '.join(KINDS)}."
        )
    config = _complete(config, path)
    return Folder(path, config, _labels_of(config, path), _input_of(path, config))


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"{printable(path.parent)} has no {path.name}; it is no checkpoint of transformers."
        ) from None
    except (OSError, ValueError, RecursionError) as problem:
        raise WeightsError(f"{printable(path)} cannot be read as JSON: {printable(problem, 120)}.") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{printable(path)} holds no JSON object.")
    return found


def _complete(config: dict, path: Path) -> dict:
    """The same with the library's defaults for what the file leaves out, as loading it there would have."""
    with needs(NEEDED_BY, "transformers"):
        from transformers import CONFIG_MAPPING

    try:
        return CONFIG_MAPPING[config["model_type"]].from_dict(config).to_dict()
    except Exception as problem:  # the library's validation raises types of its own
        raise WeightsError(f"{printable(path)}: config.json cannot be used: {printable(problem, 160)}.") from None


def _labels_of(config: dict, path: Path) -> tuple[str, ...] | None:
    named = {int(index): str(name) for index, name in (config.get("id2label") or {}).items()}
    if sorted(named) != list(range(len(named))):
        raise WeightsError(f"{printable(path)}: id2label of config.json does not number its classes 0, 1, 2, ...")
    labels = tuple(named[index] for index in range(len(named)))
    return None if all(re.fullmatch(r"LABEL_\d+", label) for label in labels) else labels


def _input_of(path: Path, config: dict) -> InputSpec | None:
    """What the folder's processor does to pixels, found by giving it a black and a white video."""
    if not any((path / name).is_file() for name in PROCESSOR_FILES):
        return None
    with needs(NEEDED_BY, "transformers"):
        from transformers import AutoVideoProcessor

    try:
        processor = AutoVideoProcessor.from_pretrained(str(path), trust_remote_code=False, local_files_only=True)
        black, white = (_processed(processor, value) for value in (0, 255))
    except Exception as problem:  # whatever a malformed file makes the library raise
        raise WeightsError(f"{printable(path)}: its processor cannot be used: {printable(problem, 160)}.") from None
    if max(np.ptp(values, (0, 1, 3, 4)).max() for values in (black, white)) > 1e-4:
        raise WeightsError(f"{printable(path)}: its processor adds borders to pictures, which no view here has.")
    std = 1 / (white - black).mean((0, 1, 3, 4))
    mean = -black.mean((0, 1, 3, 4)) * std
    mean, std = (tuple(round(float(number), 6) for number in values) for values in (mean, std))
    return InputSpec(
        config[NUM_FRAMES.get(config["model_type"], "num_frames")],
        None,
        _resize_of(processor, path),
        tuple(black.shape[-2:]),
        mean=mean,
        std=std,
        sampling="uniform",
        layout="NTCHW",
    )


def _processed(processor, value: int) -> np.ndarray:
    """What the processor makes of a video of one grey level: float64 (1, 2, 3, H, W)."""
    video = np.full((2, 48, 64, 3), value, np.uint8)
    found = processor(video, return_tensors="np", do_sample_frames=False)
    return np.asarray(found["pixel_values" if "pixel_values" in found else "pixel_values_videos"], np.float64)


def _resize_of(processor, path: Path) -> int | tuple[int, int]:
    size = dict(processor.size or {})
    if processor.do_resize and size.get("shortest_edge"):
        return int(size["shortest_edge"])
    if processor.do_resize and size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    raise WeightsError(f"{printable(path)}: its processor does not resize to one size, so no view can be made.")


# ---------------------------------------------------------------------------------- card against folder


def check_folder(card: ModelCard, labels: Sequence[str], folder: Folder) -> tuple[str, ...]:
    """Compare a folder with the card under which it is loaded.

    Args:
        card: the model that was asked for.
        labels: class names asked for, in the order of the logits: the card's, or other ones for a new last layer.
        folder: what its files say.

    Returns:
        Notes for the run's manifest: what could not be compared.

    Raises:
        WeightsError: another network, other pixels or another order of classes; it names both.
    """
    where = printable(folder.path, 160)
    hint = f"If the folder is right, use --model {LOCAL}, which takes everything from it."
    wrong = _config_differences(card, folder)
    if wrong:
        raise WeightsError(
            f"{where} is not the network of {card.name}: {'; '.join(wrong)}. {hint} If the card is right, pass the "
            "file with the weights alone."
        )
    wrong = _input_differences(card.input, folder.input)
    if wrong:
        raise WeightsError(f"{where} prepares pixels otherwise than {card.name}: {'; '.join(wrong)}. {hint}")
    notes = ["no processor file, so its pixels were not compared with the card's"] * (folder.input is None)
    return (*notes, *_check_labels(card, labels, folder, hint))


def _config_differences(card: ModelCard, folder: Folder) -> list[str]:
    return [
        f"{name} is {_short(folder.config.get(name))} in config.json and {_short(value)} on the card"
        for name, value in card.options.items()
        if _listed(folder.config.get(name)) != _listed(value)
    ]


def _input_differences(card: InputSpec, found: InputSpec | None) -> list[str]:
    if found is None:
        return []
    wrong = [
        f"{name} is {_short(getattr(found, name))} with its processor and {_short(getattr(card, name))} on the card"
        for name in ("resize", "crop")
        if getattr(found, name) != getattr(card, name)
    ]
    if not all(np.allclose(getattr(found, name), getattr(card, name), atol=SAME) for name in ("mean", "std")):
        wrong.append(f"{_range(found)} with its processor and {_range(card)} on the card")
    return wrong


def _range(spec: InputSpec) -> str:
    low, high = ((value - np.array(spec.mean)) / spec.std for value in (0, 1))
    return f"mean {_short(spec.mean)} and std {_short(spec.std)} (values from {min(low):.2f} to {max(high):.2f})"


def _check_labels(card: ModelCard, labels: Sequence[str], folder: Folder, hint: str) -> tuple[str, ...]:
    if folder.labels is None:
        return ("config.json names no classes, so their order was not compared",)
    expected = tuple(labels)
    if len(folder.labels) != len(expected):  # a new last layer: the old one is still the card's
        expected = card.label_names or load_labels(card.labels)
    if len(folder.labels) != len(expected):
        return ()  # the weights have another number of classes too, and `fit` says so
    wrong = [k for k, (a, b) in enumerate(zip(folder.labels, expected)) if _plain(a) != _plain(b)]
    if not wrong:
        return ()
    first = wrong[0]
    raise WeightsError(
        f"{printable(folder.path, 160)} and {card.name} name {len(wrong)} of {len(expected)} classes differently: "
        f"class {first} is {printable(folder.labels[first], 80)!r} in config.json and "
        f"{printable(expected[first], 80)!r} in {card.labels}. {hint}"
    )


def _plain(label: str) -> str:
    """A class name without the brackets that templates of Something-Something have around their nouns."""
    return label.translate({ord("["): None, ord("]"): None})


def _listed(value):
    return list(value) if isinstance(value, (list, tuple)) else value


def _short(value) -> str:
    if isinstance(value, (list, tuple)):
        return "x".join(map(str, value)) if isinstance(value[0], int) else "/".join(f"{number:g}" for number in value)
    return printable(value, 60)


# -------------------------------------------------------------------------------------------------- weights


def load_weights(folder: Folder) -> StateDict:
    """All tensors of a folder's weights, in one file or in the parts that an index names.

    Raises:
        WeightsError: none there, or one that cannot be trusted (``vidbench.checkpoints``).
    """
    found = [folder.path / name for name in WEIGHT_FILES if (folder.path / name).is_file()]
    if not found:
        raise WeightsError(f"{printable(folder.path)} holds none of {', '.join(WEIGHT_FILES)}.")
    if not found[0].name.endswith(".index.json"):
        return load_state_dict_file(found[0])
    places = _json(found[0]).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
    if not names or any(Path(name).name != name for name in names):
        raise WeightsError(f"{printable(found[0])} does not list files of its own folder.")
    parts = [load_state_dict_file(check_file(folder.path / name)) for name in names]
    tensors = {key: value for part in parts for key, value in part.tensors.items()}
    return StateDict(tensors, found[0], sha256_of_json([part.sha256 for part in parts]))


def renamed(state: StateDict, module) -> StateDict:
    """The tensors under the names that this version of the library gives them.

    Version 5 renamed parameters (VideoMAE's ``q_bias``, all of ViViT); files on the hub have the older names, and the
    library writes them still.
    """
    with needs(NEEDED_BY, "transformers"):
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming, rename_source_key

    rules = [rule for rule in get_model_conversion_mapping(module) if isinstance(rule, WeightRenaming)]
    return replace(state, tensors={rename_source_key(key, rules, [])[0]: value for key, value in state.tensors.items()})


def from_timesformer(tensors: dict, shapes: dict) -> dict:
    """The authors' names of a TimeSformer's parameters as the library's; a card's ``convert``.

    Source:
        The library's own converter, convert_timesformer_to_pytorch.py, and the authors' vit.py.
    """
    parts = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "time_embed": "embeddings.time_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "norm": "layernorm",
    }
    inside = {"temporal_norm1": "temporal_layernorm", "temporal_fc": "temporal_dense", **_INSIDE_A_BLOCK}
    for name in ("attn", "temporal_attn"):
        ours = name.replace("attn", "attention")
        inside |= {f"{name}.qkv": f"{ours}.attention.qkv", f"{name}.proj": f"{ours}.output.dense"}
    return {_translated(key.removeprefix("model."), "timesformer", parts, inside): tensors[key] for key in tensors}


def from_videomae(tensors: dict, shapes: dict) -> dict:
    """The authors' names of a VideoMAE's parameters (version 1 or 2) as the library's; a card's ``convert``.

    Their one matrix for queries, keys and values becomes the library's three.

    Source:
        The library's own converter, convert_videomae_to_pytorch.py.
    """
    parts = {"patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm"}
    inside = {
        "attn.proj": "attention.output.dense",
        "attn.q_bias": "attention.attention.query.bias",
        "attn.v_bias": "attention.attention.value.bias",
        **{f"attn.{name}": f"attention.attention.{name}" for name in ("query", "key", "value")},
        **_INSIDE_A_BLOCK,
    }
    split: dict = {}
    for key, value in tensors.items():
        if key.endswith("attn.qkv.weight"):
            stem = key.removesuffix("qkv.weight")
            split |= {f"{stem}{name}.weight": part for name, part in zip(("query", "key", "value"), value.chunk(3))}
        else:
            split[key] = value
    return {_translated(key, "videomae", parts, inside): value for key, value in split.items()}


_INSIDE_A_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def _translated(key: str, root: str, parts: dict, inside: dict) -> str:
    """One name of the authors as the library's; a name that is none of theirs stays."""
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", key)
    table, rest = (inside, block[2]) if block else (parts, key)
    found = next((old for old in table if rest == old or rest.startswith(old + ".")), None)
    if found is None:
        return re.sub(r"^head\.", "classifier.", key)
    middle = f"{root}.encoder.layer.{block[1]}." if block else f"{root}."
    return middle + table[found] + rest.removeprefix(found)


def fetch_folder(url: str, name: str) -> Path:
    """The folder of a checkpoint on the hub, downloaded once into the library's own cache.

    Raises:
        WeightsError: it cannot be had from here.
    """
    with needs("Fetching a checkpoint from the hub", "transformers"):
        from huggingface_hub import snapshot_download

    wanted = ["config.json", *PROCESSOR_FILES]
    try:
        path = Path(snapshot_download(url.removeprefix(HUB), allow_patterns=[*wanted, "model*.safetensors*"]))
        if not any((path / file).is_file() for file in WEIGHT_FILES):
            path = Path(snapshot_download(url.removeprefix(HUB), allow_patterns=[*wanted, "pytorch_model.bin"]))
    except Exception as problem:  # of the hub's client, of HTTP, of the network
        reason = network_words(problem) + through_proxy(url)
        raise WeightsError(
            f"The weights of {name} are not on this machine and {url} cannot be reached ({reason}). Save its "
            "config.json, preprocessor_config.json and model.safetensors in a folder and pass that with --weights, or "
            "pass --weights random to try the pipeline without a result."
        ) from None
    return path


# ------------------------------------------------------------------------------------------ a folder's own card


def card_of_folder(path) -> ModelCard:
    """The card of a checkpoint that no card of ours names, made from what its folder says.

    Frames are taken evenly over a whole video in one view, because a folder does not say how its network was tested.

    Raises:
        WeightsError: as ``read_folder``; or a folder without processor or class names, which nothing can stand in for.
    """
    folder = read_folder(path)
    if folder.input is None:
        raise WeightsError(
            f"{printable(folder.path)} has no processor file ({', '.join(PROCESSOR_FILES)}), so what its network takes "
            "is unknown; save the processor that it was trained with there (processor.save_pretrained)."
        )
    if folder.labels is None:
        raise WeightsError(
            f"{printable(folder.path)}: config.json names no classes but LABEL_0, LABEL_1, ...; write the names, in "
            "the order of the scores, as id2label."
        )
    frames = folder.input.num_frames
    return ModelCard(
        name=LOCAL,
        build="vidbench.hub_transformers:build_classifier",
        kind="transformers",
        weights=Weights("", license="see the folder"),
        labels=_known_space(folder.labels) or str(folder.path / "config.json"),
        num_classes=len(folder.labels),
        input=folder.input,
        reported=None,
        num_frames=(2, None) if folder.model_type == "vjepa2" else (frames, frames),
        notes=f"Made from {folder.path}: the input is that of its processor, the classes are those of its config.json.",
        options=folder.options,
        label_names=folder.labels,
    )


def _known_space(labels: tuple[str, ...]) -> str:
    """The list of vidbench with these names in this order, if there is one."""
    for path in sorted(LABELS_FOLDER.glob("*.txt")):
        try:
            if load_labels(path.stem) == labels:
                return path.stem
        except AnnotationError:
            continue
    return ""
