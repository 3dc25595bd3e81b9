"""What others made, behind our calls: MoViNet as TFLite, I3D and MoViNet as SavedModels, TensorFlow's checkpoints.

The only module that imports TensorFlow; see ``_tensorflow`` for the order that keeps the process alive.
"""

from __future__ import annotations

import glob
import re
import time
import warnings
from pathlib import Path

import numpy as np

from vidbench.checkpoints import StateDict, check_values
from vidbench.records import ConfigError, InputSpec, WeightsError, needs
from vidbench.utils import printable, sha256_of_file, sha256_of_json, usable_cores

KAGGLE = re.compile(r"[\w-]+/[\w.-]+/[\w-]+/[\w.-]+/\d+")  # owner/model/framework/variation/version


class MoViNetStream:
    """A streaming MoViNet in TFLite: one frame at a time, its memory handed back to it with the next one.

    Each video starts from zero. The logits of the last frame are the video's: the network's pooling is causal, so
    they average over all frames. Videos run side by side, each in an interpreter of its own on one core: one with
    several threads gains little on frames that small.

    Args:
        path: the ``.tflite`` file with a signature ``serving_default``: ``image`` (1, 1, H, W, 3) float32 in
            [0, 1] and states in; ``logits`` (1, K) and states of the same names out.
        spec: mean and std are 0 and 1: the file takes pixels in [0, 1].
        num_workers: videos at a time; ``None`` for one a core.

    Raises:
        WeightsError: a file that is no TFLite model, or one with another signature.
    """

    tunable, device, precision, memory_format = False, "cpu", "int8", "contiguous"

    def __init__(self, path, spec: InputSpec, *, num_workers: int | None = None):
        self.path, self.spec = Path(path), spec
        self.seconds = {"transform": 0.0, "transfer": 0.0, "forward": 0.0}
        self._idle = [StreamInterpreter(self.path) for _ in range(num_workers or usable_cores())]

    def logits(self, pixels: list[np.ndarray], batch_size: int = 1) -> list[np.ndarray]:
        """Scores of every view; as ``TorchNetwork.logits``, but T may differ.

        Args:
            pixels: one uint8 array (V, T, H, W, 3) a video, T at least 1.
            batch_size: changes nothing: each view is a stream of its own.
        """
        from concurrent.futures import ThreadPoolExecutor

        start = time.perf_counter()
        views = [view for video in pixels for view in video]
        with ThreadPoolExecutor(len(self._idle)) as pool:
            scores = list(pool.map(self._score, views))
        self.seconds["forward"] += time.perf_counter() - start
        ends = np.cumsum([len(video) for video in pixels])
        return [np.stack(scores[end - len(video) : end]) for video, end in zip(pixels, ends)]

    def _score(self, frames: np.ndarray) -> np.ndarray:
        interpreter = self._idle.pop()
        try:
            return interpreter.score(frames)
        finally:
            self._idle.append(interpreter)


class StreamInterpreter:
    """One TFLite interpreter of a streaming network, on one core; used by one thread at a time."""

    def __init__(self, path: Path):
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=1)
            self._interpreter.allocate_tensors()
            runner = self._interpreter.get_signature_runner("serving_default")
        except (ValueError, RuntimeError) as problem:
            raise WeightsError(f"{printable(path)} is no TFLite model: {printable(problem, 160)}.") from None
        inputs, outputs = dict(runner.get_input_details()), dict(runner.get_output_details())
        if set(inputs) - {"image"} != set(outputs) - {"logits"} or "image" not in inputs or "logits" not in outputs:
            raise WeightsError(f"{printable(path)} is no streaming MoViNet: its states do not come back.")
        self._image, self._logits = inputs.pop("image"), outputs.pop("logits")
        self._states = [(inputs[name], outputs[name]) for name in sorted(inputs)]

    def score(self, frames: np.ndarray) -> np.ndarray:
        """Logits (K,) float32 after the last frame of uint8 (T, H, W, 3)."""
        run = self._interpreter
        wanted = tuple(self._image["shape"][2:])
        if frames.shape[1:] != wanted:
            raise ConfigError(f"This model takes frames of {wanted[:2]}, not {frames.shape[1:3]}.")
        for state, _ in self._states:
            run.set_tensor(state["index"], np.zeros(state["shape"], state["dtype"]))
        for number, frame in enumerate(frames):
            if number:
                for state, made in self._states:
                    run.set_tensor(state["index"], run.get_tensor(made["index"]))
            run.set_tensor(self._image["index"], np.multiply(frame[None, None], np.float32(1 / 255)))
            run.invoke()
        return run.get_tensor(self._logits["index"])[0].astype(np.float32)


class HubI3D:
    """DeepMind's I3D as TF-Hub publishes it: a SavedModel with the signature ``default``.

    A SavedModel is a program: load only one that you trust.

    Args:
        folder: the SavedModel's folder.
        spec: (N, T, 224, 224, 3) float32 is made from its mean and std.
        device: for the record: TensorFlow itself decides where it runs.
    """

    tunable, precision, memory_format = False, "fp32", "contiguous"

    def __init__(self, folder, spec: InputSpec, *, device: str = "cpu"):
        self.spec, self.device = spec, device
        self.seconds = {"transform": 0.0, "transfer": 0.0, "forward": 0.0}
        tf = _tensorflow()
        try:
            # A TF-Hub module of TensorFlow 1 holds several graphs; the one without a tag is for use.
            tags = [] if (Path(folder) / "tfhub_module.pb").is_file() else None
            self._model = tf.saved_model.load(str(folder), tags)
            self._signature = self._model.signatures["default"]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as problem:
            raise WeightsError(
                f"{printable(folder)} is no SavedModel with a signature 'default': {printable(problem, 160)}."
            ) from None

    def logits(self, pixels: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
        """Scores of every view; as ``TorchNetwork.logits``."""
        views = [view for video in pixels for view in video]
        parts = [self._score(np.stack(views[i : i + batch_size])) for i in range(0, len(views), batch_size)]
        scores = np.concatenate(parts) if parts else []
        ends = np.cumsum([len(video) for video in pixels])
        return [scores[end - len(video) : end] for video, end in zip(pixels, ends)]

    def _score(self, views: np.ndarray) -> np.ndarray:
        tf = _tensorflow()
        start = time.perf_counter()
        clips = (views.astype(np.float32) / 255 - np.float32(self.spec.mean)) / np.float32(self.spec.std)
        middle = time.perf_counter()
        scores = np.asarray(self._signature(tf.constant(clips))["default"], np.float32)
        self.seconds["transform"] += middle - start
        self.seconds["forward"] += time.perf_counter() - middle
        return scores


def find_checkpoint(path) -> Path | None:
    """The prefix of the TensorFlow checkpoint that a path means, or ``None`` where it means none.

    A path may be the prefix itself, one of the checkpoint's files, a SavedModel's folder, or a folder with one
    checkpoint. Only names are looked at.

    Raises:
        WeightsError: a folder with several checkpoints and no file that says which.
    """
    path = Path(path).expanduser()
    name = path.name.removesuffix(".index").partition(".data-")[0]
    if path.with_name(f"{name}.index").is_file():
        return path.with_name(name)
    if (path / "saved_model.pb").is_file():
        return path / "variables" / "variables"
    found = sorted(path.glob("*.index")) if path.is_dir() else []
    if len(found) > 1:
        raise WeightsError(
            f"{printable(path)} holds {len(found)} checkpoints; name one, for example "
            f"{printable(found[-1].with_suffix(''))}."
        )
    return found[0].with_suffix("") if found else None


def load_checkpoint(path) -> StateDict:
    """The variables of a TensorFlow checkpoint, or of a SavedModel, as tensors under their names.

    Only numbers are read; what a SavedModel computes is not run. Whole numbers that count steps are left out.

    Args:
        path: as for ``find_checkpoint``.

    Raises:
        WeightsError: no checkpoint there, damage, or a value that is not finite.
    """
    import torch

    prefix = find_checkpoint(path)
    if prefix is None:
        raise WeightsError(f"There is no TensorFlow checkpoint {printable(path)}.")
    tf = _tensorflow()
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        names = _variable_names(reader)
        arrays = {name: np.asarray(reader.get_tensor(key)) for key, name in names.items()}
    except (OSError, ValueError, RuntimeError, LookupError, tf.errors.OpError) as problem:
        raise WeightsError(f"{printable(prefix)} is no whole checkpoint: {printable(problem, 160)}.") from None
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items() if array.dtype == np.float32}
    check_values(tensors, prefix)
    files = sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.[id]*"))
    digest = sha256_of_json([[file.name.removeprefix(prefix.name), sha256_of_file(file)] for file in files])
    return StateDict(tensors, prefix, digest, ("read from a TensorFlow checkpoint",))


def _variable_names(reader) -> dict[str, str]:
    """Key in the checkpoint → name of the variable; TensorFlow 2 keeps the names in a graph beside the values."""
    keys = list(reader.get_variable_to_shape_map())
    if "_CHECKPOINTABLE_OBJECT_GRAPH" not in keys:
        return {key: key for key in keys}
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    graph = TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    values = [value for node in graph.nodes for value in node.attributes]
    return {value.checkpoint_key: value.full_name or value.checkpoint_key for value in values}


def hash_of_folder(folder) -> str:
    """SHA-256 over the names and contents of a folder's files, in sorted order."""
    folder = Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256_of_json([[path.relative_to(folder).as_posix(), sha256_of_file(path)] for path in files])


def find_saved_model(weights, card) -> Path:
    """The folder of a SavedModel: one on this machine, or one that ``tensorflow_hub`` fetches into its cache.

    The cache is ``$TFHUB_CACHE_DIR``, or a folder among the system's temporary files that may be emptied at any time.

    Args:
        weights: ``None`` for the card's own; a folder, an address (of TF-Hub or Kaggle), or a model on Kaggle as
            ``owner/model/framework/variation/version``.
        card: whose weights are taken where no others are named.

    Raises:
        WeightsError: no such folder, or an address that cannot be reached.
    """
    text = str(weights) if weights is not None else card.weights.url
    if Path(text).expanduser().is_dir():
        return Path(text).expanduser()
    if not is_address(text):
        raise WeightsError(f"There is no SavedModel folder {printable(text)}.")
    if KAGGLE.fullmatch(text):
        text = f"https://www.kaggle.com/models/{text}"
    return _resolve_handle(text, card.name)


def is_address(text: str) -> bool:
    """Whether a word means a SavedModel elsewhere: an address, or a model on Kaggle.

    >>> is_address("https://tfhub.dev/deepmind/i3d-kinetics-400/1"), is_address("weights/i3d")
    (True, False)
    >>> is_address("deepmind/i3d-kinetics/tensorFlow1/400/1")
    True
    """
    return text.startswith(("https://", "http://")) or bool(KAGGLE.fullmatch(text))


def _resolve_handle(handle: str, name: str) -> Path:
    """The local folder of a TF-Hub module, downloaded by ``tensorflow_hub`` into its cache."""
    _tensorflow()
    with warnings.catch_warnings(), needs("A model of TF-Hub", "tensorflow"):
        warnings.simplefilter("ignore")  # about pkg_resources, which the extra takes care of
        import tensorflow_hub
    try:
        return Path(tensorflow_hub.resolve(handle))
    except (OSError, ValueError, RuntimeError) as problem:
        code = f"HTTP {problem.code} " if hasattr(problem, "code") else ""
        reason = printable(getattr(problem, "reason", None) or problem, 160)
        raise WeightsError(
            f"The SavedModel of {name} is not on this machine and {printable(handle, 200)} cannot be reached "
            f"({code}{reason}); either download it in a browser{_kaggle_page(handle)}, unpack it and pass its folder "
            f"with --weights, or take the same architecture in torch{_torch_instead(name)}, whose weights come from "
            "elsewhere."
        ) from None


def _kaggle_page(handle: str) -> str:
    """Where Kaggle keeps what was on tfhub.dev, as words; empty where it is not known."""
    if "deepmind/i3d-kinetics" in handle:
        return " from https://www.kaggle.com/models/deepmind/i3d-kinetics"
    return ""


def _torch_instead(name: str) -> str:
    return " (i3d.rgb_imagenet_k400)" if name.startswith("i3d.") else ""


def _tensorflow():
    """TensorFlow, after torch and torchvision: the other way round the two abort the process.

    Both bring an LLVM that registers the same options; see https://github.com/tensorflow/tensorflow/issues/124205.
    """
    import torchvision  # noqa: F401  imports torch and triton, which must come first

    with needs("This model", "tensorflow"):
        import tensorflow as tf
    return tf
