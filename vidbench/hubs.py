"""What others made, behind our calls: MoViNet as TFLite, I3D and MoViNet as SavedModels, TensorFlow's checkpoints.

The only module that imports TensorFlow; see ``_tensorflow`` for the order that keeps the process alive.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.checkpoints import StateDict, check_values
from vidbench.data.web import network_words, through_proxy
from vidbench.records import ConfigError, InputSpec, WeightsError, needs
from vidbench.utils import printable, quiet, sha256_of_file, sha256_of_json, usable_cores

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
            with quiet():  # it says on the terminal which delegate it made
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


class SavedModel:
    """A SavedModel that gives the scores of clips (N, T, H, W, 3), float32 made with the spec's mean and std.

    A SavedModel is a program: load only one that you trust.

    Args:
        folder: the SavedModel's folder.
        spec: how pixels become numbers.
        device: for the record: TensorFlow itself decides where it runs.

    Raises:
        WeightsError: a folder that holds none, or one that takes or gives other things than this class knows.
    """

    tunable, precision, memory_format = False, "fp32", "contiguous"
    wanted: str  # signatures that a kind looks for, in words

    def __init__(self, folder, spec: InputSpec, *, device: str = "cpu"):
        self.spec, self.device = spec, device
        self.seconds = {"transform": 0.0, "transfer": 0.0, "forward": 0.0}
        tf = _tensorflow()
        try:
            # A TF-Hub module of TensorFlow 1 holds several graphs; the one without a tag is for use.
            tags: list[str] | None = [] if (Path(folder) / "tfhub_module.pb").is_file() else None
            self._model = tf.saved_model.load(str(folder), tags)  # its functions live as long as it does
            signatures = {name: Signature.of(made) for name, made in self._model.signatures.items()}
        except (OSError, ValueError, LookupError, AttributeError, tf.errors.OpError) as problem:
            words = printable(str(problem).rstrip(" ."), 160)
            raise WeightsError(f"{printable(folder)} is no SavedModel: {words}.") from None
        if not self._choose(signatures):
            found = "; ".join(f"{name!r} {one.words()}" for name, one in sorted(signatures.items())) or "none"
            raise WeightsError(
                f"{printable(folder)} is no SavedModel with {self.wanted}; its signatures: {printable(found, 400)}."
            )

    def logits(self, pixels: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
        """Scores of every view; as ``TorchNetwork.logits``. Views of one size after another share a batch."""
        scores: list[np.ndarray] = []
        for _, group in itertools.groupby((view for video in pixels for view in video), lambda view: view.shape):
            alike = list(group)
            for start in range(0, len(alike), batch_size):
                scores.extend(self._score(np.stack(alike[start : start + batch_size])))
        ends = np.cumsum([len(video) for video in pixels])
        return [np.stack(scores[end - len(video) : end]) for video, end in zip(pixels, ends)]

    def _choose(self, signatures: dict[str, Signature]) -> bool:
        """Keep what is needed of the signatures, by their names; whether everything is there."""
        raise NotImplementedError

    def _score(self, views: np.ndarray) -> np.ndarray:
        """Logits (N, K) float32 of uint8 (N, T, H, W, 3)."""
        raise NotImplementedError

    def _clips(self, views: np.ndarray):
        """The tensor that the program takes."""
        start = time.perf_counter()
        mean, std = np.asarray(self.spec.mean, np.float32), np.asarray(self.spec.std, np.float32)
        clips = (views.astype(np.float32) / 255 - mean) / std
        self.seconds["transform"] += time.perf_counter() - start
        return _tensorflow().constant(clips)

    @contextlib.contextmanager
    def _computing(self, views: np.ndarray):
        """Count what is done inside as computing, and say in one sentence what the program cannot do."""
        tf, start, before = _tensorflow(), time.perf_counter(), self.seconds["transform"]
        try:
            yield
        except (ValueError, TypeError, tf.errors.OpError) as problem:
            raise WeightsError(
                f"This SavedModel does not take views of {views.shape[1:]}: {printable(problem, 160)}."
            ) from None
        self.seconds["forward"] += time.perf_counter() - start - (self.seconds["transform"] - before)


@dataclass(frozen=True)
class Signature:
    """A function of a SavedModel: its names in and out, and itself."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Callable

    @classmethod
    def of(cls, function) -> Signature:
        """From a concrete function of TensorFlow; names in alphabetical order."""
        _, named = function.structured_input_signature
        return cls(tuple(sorted(named)), tuple(sorted(function.structured_outputs)), function)

    def words(self) -> str:
        """What goes in and what comes out, the long lists of states cut.

        >>> Signature(("image",), ("classifier_head",), print).words()
        'takes image, gives classifier_head'
        """
        ways = []
        for names in (self.inputs, self.outputs):
            more = f" and {len(names) - 3} more" if len(names) > 4 else ""
            ways.append((", ".join(names[: 3 if more else 4]) or "nothing") + more)
        return f"takes {ways[0]}, gives {ways[1]}"


class HubI3D(SavedModel):
    """DeepMind's I3D as TF-Hub publishes it: (N, T, 224, 224, 3) to logits (N, K) by the signature ``default``."""

    wanted = "a signature 'default', which I3D has"

    def _choose(self, signatures: dict[str, Signature]) -> bool:
        found = signatures.get("default")
        if found is None:
            return False
        self._function = found.function
        return "default" in found.outputs

    def _score(self, views: np.ndarray) -> np.ndarray:
        with self._computing(views):
            return np.asarray(self._function(self._clips(views))["default"], np.float32)


class HubMoViNet(SavedModel):
    """MoViNet's base as TF-Hub publishes it: ``image`` (N, T, H, W, 3) in [0, 1] to logits (N, K), whole clips at once.

    Source:
        https://github.com/tensorflow/models (official/projects/movinet/tools/export_saved_model.py), and TF-Hub's
        tutorial https://www.tensorflow.org/hub/tutorials/movinet.
    """

    wanted = "a signature 'serving_default' that takes image alone, which MoViNet's base has"

    def _choose(self, signatures: dict[str, Signature]) -> bool:
        found = signatures.get("serving_default")
        if found is None or found.inputs != ("image",) or len(found.outputs) != 1:
            return False
        self._function, (self._output,) = found.function, found.outputs
        return True

    def _score(self, views: np.ndarray) -> np.ndarray:
        with self._computing(views):
            return np.asarray(self._function(image=self._clips(views))[self._output], np.float32)


class HubMoViNetStream(SavedModel):
    """MoViNet's stream as TF-Hub publishes it: one frame at a time, its states handed back to it with the next one.

    ``init_states`` makes the states of a video's size, ``call`` takes them with ``image`` (N, 1, H, W, 3) and gives
    them back under the same names with ``logits`` (N, K) of everything seen so far. A frame at a time, because the
    program is compiled anew for each number of frames.

    Source:
        as ``HubMoViNet``.
    """

    wanted = "signatures 'init_states' and 'call' that take and give back the same states, which MoViNet's stream has"

    def _choose(self, signatures: dict[str, Signature]) -> bool:
        first, call = signatures.get("init_states"), signatures.get("call")
        if first is None or call is None or len(first.inputs) != 1:
            return False
        self._first, (self._size,), self._call = first.function, first.inputs, call.function
        states = set(first.outputs)
        return bool(states) and set(call.inputs) == states | {"image"} and set(call.outputs) == states | {"logits"}

    def _score(self, views: np.ndarray) -> np.ndarray:
        tf = _tensorflow()
        with self._computing(views):
            made = self._first(**{self._size: tf.constant(views.shape, tf.int32)})
            for number in range(views.shape[1]):
                made = dict(self._call(image=self._clips(views[:, number : number + 1]), **made))
                scores = made.pop("logits")
            return np.asarray(scores, np.float32)


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
        reason = network_words(problem) + through_proxy(handle)
        ways = [f"download it in a browser{_kaggle_page(handle)}, unpack it and pass its folder with --weights"]
        if twin := _torch_twin(name):
            ways.append(f"take the same architecture in torch ({twin}), whose weights come from elsewhere")
        raise WeightsError(
            f"The SavedModel of {name} is not on this machine and {printable(handle, 200)} cannot be reached "
            f"({reason}); {'either ' if twin else ''}{', or '.join(ways)}."
        ) from None


def _torch_twin(name: str) -> str:
    """The card of the same architecture in torch; empty where there is none.

    >>> _torch_twin("movinet_a1_stream.tfhub_k600"), _torch_twin("movinet_a4_stream.tfhub_k600")
    ('movinet_a1_stream.k600_float', '')
    """
    architecture = name.partition(".")[0]
    if architecture == "i3d":
        return "i3d.rgb_imagenet_k400"
    if re.fullmatch(r"movinet_a\d_base", architecture):
        return f"{architecture}.k600"
    return f"{architecture}.k600_float" if re.fullmatch(r"movinet_a[012]_stream", architecture) else ""


def _kaggle_page(handle: str) -> str:
    """Where Kaggle keeps what was on tfhub.dev, as words; empty where it is not known."""
    pages = {"deepmind/i3d-kinetics": "deepmind/i3d-kinetics", "/movinet/": "google/movinet"}
    found = next((page for part, page in pages.items() if part in handle), "")
    return f" from https://www.kaggle.com/models/{found}" if found else ""


def _tensorflow():
    """TensorFlow, after torch and torchvision: the other way round the two abort the process.

    Both bring an LLVM that registers the same options; see https://github.com/tensorflow/tensorflow/issues/124205.
    """
    import torchvision  # noqa: F401  imports torch and triton, which must come first

    with needs("This model", "tensorflow"):
        import tensorflow as tf
    return tf
