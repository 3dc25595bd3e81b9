"""Pixels → logits through a torch network, in the fastest way that gives the same answer."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from vidbench.gpu import StageClock, Staging, is_cuda, to_host
from vidbench.metrics import softmax
from vidbench.records import ConfigError, InputSpec
from vidbench.utils import keep_freed_memory, machine_facts, sha256_of_json, write_json

PRECISIONS = ("fp32", "bf16", "fp16")
MEMORY_FORMATS = ("contiguous", "channels_last")

BF16_TOLERANCE = 0.01  # largest change of any probability under which bf16 may replace fp32
WORTH_IT = 0.85  # a choice other than the default must take at most this share of its time
QUICK_S = 0.5  # a batch faster than this is left as it is: nothing to gain, and the same bits on every machine
MEASURED_S = 2.0  # about as long each option is measured
BATCH_SIZE = 8  # where nothing says otherwise
MOST_IN_BATCH = 256
GAIN = 0.05  # a batch twice as large must save this share of a view's time


class TorchNetwork:
    """A torch module on one device, fed with uint8 views.

    Args:
        module: takes float32 in the layout of ``spec`` and returns logits (N, K).
        spec: mean, std and layout are used.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        precision: ``fp32``, or ``bf16`` or ``fp16`` by autocast: the weights stay float32.
        memory_format: ``contiguous`` or ``channels_last`` (its 3-D form for clips).
    """

    tunable = True

    def __init__(self, module, spec: InputSpec, *, device="cpu", precision="fp32", memory_format="contiguous"):
        self.spec, self.device = spec, device
        self.module = module.eval().requires_grad_(False).to(device)
        self.seconds = {"transform": 0.0, "transfer": 0.0, "forward": 0.0}
        self.halved = 0
        self._staging: Staging | None = None
        self._constants: dict = {}
        self.configure(precision, memory_format)

    def configure(self, precision: str, memory_format: str) -> None:
        """Choose another precision or memory format; raises ``ConfigError`` for one this device cannot do."""
        check_precision(precision, self.device)
        if memory_format not in MEMORY_FORMATS:
            raise ConfigError(f"Memory format {memory_format!r} is none of {', '.join(MEMORY_FORMATS)}.")
        self.precision, self.memory_format = precision, memory_format
        for parameter in self.module.parameters():
            parameter.data = parameter.data.contiguous(memory_format=torch_format(memory_format, parameter.dim()))

    def logits(self, pixels: list[np.ndarray], batch_size: int) -> list[np.ndarray]:
        """Scores of every view, computed ``batch_size`` views at a time in the order given.

        The same list and batch size give the same bits on the same machine. Another batch size may change the last
        digits, because the libraries pick other sums; so does a batch that does not fit into the device's memory and
        is computed in halves.

        Args:
            pixels: one uint8 array (V, T, H, W, 3) a video; V may differ, and T for a network that takes any; the
                rest is the same for all.
            batch_size: views (for single-frame networks: views of T frames) at a time, at least 1. Of these, views
                of different T are computed apart.

        Returns:
            One float32 array (V, K) a video.

        Raises:
            ConfigError: a single view that does not fit into the device's memory.
        """
        return self.submit(pixels, batch_size).result()

    def submit(self, pixels: list[np.ndarray], batch_size: int) -> Scores:
        """Begin what ``logits`` does: a GPU computes while the caller goes on; elsewhere it is done at once."""
        import torch

        views = [view for video in pixels for view in video]
        clock = StageClock(self.device)
        with torch.inference_mode(), _reproducible():
            parts = self._score_all(views, batch_size, clock)
            scores = to_host(torch.cat([part.float() for part in parts])) if parts else None
        clock.end()
        return Scores(scores, [len(video) for video in pixels], clock, self.seconds, held=pixels)

    def _score_all(self, views: list[np.ndarray], batch_size: int, clock: StageClock) -> list:
        """Logits on the device, part by part; a part that does not fit is done again in halves, it alone."""
        import torch

        scores = []
        for start in range(0, len(views), batch_size):
            part = views[start : start + batch_size]
            with contextlib.suppress(torch.OutOfMemoryError):
                scores.append(self._score(part, clock))
                continue
            # outside of the block above, which keeps what filled the memory
            if len(part) == 1:
                t, h, w, _ = part[0].shape
                raise ConfigError(
                    f"One view of {t} frames of {h}x{w} does not fit into the memory of {self.device}; use "
                    "--precision bf16, fewer --num-frames, or --device cpu."
                )
            if is_cuda(self.device):
                torch.cuda.empty_cache()
            self.halved += 1
            scores += self._score_all(part, (len(part) + 1) // 2, clock)
        return scores

    def _score(self, views: list[np.ndarray], clock: StageClock):
        """Logits (N, K) on the device of N views, uint8 (T, H, W, 3); those of one T together, one T after another."""
        lengths = np.array([len(view) for view in views])
        if (lengths == lengths[0]).all():
            return self._score_alike(views, clock)
        import torch

        groups = [np.flatnonzero(lengths == length) for length in dict.fromkeys(lengths.tolist())]
        scores = torch.cat([self._score_alike([views[place] for place in group], clock) for group in groups])
        return scores[torch.from_numpy(np.argsort(np.concatenate(groups))).to(scores.device)]

    def _score_alike(self, views: list[np.ndarray], clock: StageClock):
        with clock.stage("transfer"):
            batch = self._to_device(views)
        with clock.stage("transform"):
            batch = self._arrange(batch)
        with clock.stage("forward"):
            scores = self._run(batch)
            if self.spec.layout == "NCHW":
                scores = scores.float().unflatten(0, (len(views), -1)).mean(1)
        if len(scores) != len(views):
            raise ValueError(f"the network gave {len(scores)} rows of scores for {len(views)} views")
        return scores

    def _to_device(self, views: list[np.ndarray]):
        """Views as one uint8 tensor (N, T, H, W, 3) on the device."""
        import torch

        if not is_cuda(self.device):
            return torch.from_numpy(np.stack(views)).to(self.device)
        if self._staging is None:
            self._staging = Staging(self.device)
        return self._staging.copy(views)

    def _arrange(self, batch):
        """uint8 (N, T, H, W, 3) to normalised float32 in the network's layout; (N*T, 3, H, W) for ``NCHW``."""
        import torch

        layout = self.spec.layout
        if layout == "NCHW":
            batch = batch.flatten(0, 1).permute(0, 3, 1, 2)
        else:
            batch = batch.permute(
                {"NCTHW": (0, 4, 1, 2, 3), "NTCHW": (0, 1, 4, 2, 3), "NTHWC": (0, 1, 2, 3, 4)}[layout]
            )
        mean, std = self._norm(batch.device)
        kind = torch_format(self.memory_format if layout in ("NCTHW", "NCHW") else "contiguous", batch.dim())
        batch = batch.contiguous(memory_format=kind).to(torch.float32)
        return batch.div_(255).sub_(mean).div_(std)

    def _norm(self, device):
        """Mean and std, shaped to the layout; made once, because to make them a GPU has to be waited for."""
        import torch

        key = (self.spec.mean, self.spec.std, self.spec.layout, device)
        if key not in self._constants:
            shape = [1] * len(self.spec.layout)
            shape[self.spec.layout.index("C")] = self.spec.channels
            self._constants[key] = [torch.tensor(v, device=device).view(shape) for v in key[:2]]
        return self._constants[key]

    def _run(self, batch):
        import torch

        if self.precision == "fp32":
            return self.module(batch)
        with torch.autocast(torch.device(self.device).type, torch_dtype(self.precision)):
            return self.module(batch)


class Scores:
    """Scores that are there, or on their way from a GPU.

    Args:
        scores: float32 tensor (N, K) in the processor's memory, filled when ``clock``'s work is done; ``None`` for
            no views.
        counts: views of each video; they add up to N.
        clock: of the work.
        seconds: by stage; the clock's are added to it when the result is first asked for.
        held: what the device may still read, kept until then.
    """

    def __init__(self, scores, counts: list[int], clock: StageClock, seconds: dict, held=None):
        self._scores, self._counts, self._seconds, self._held = scores, counts, seconds, held
        self._clock: StageClock | None = clock

    def result(self) -> list[np.ndarray]:
        """One float32 array (V, K) a video; waits for a GPU."""
        if self._clock is not None:
            for name, seconds in self._clock.seconds().items():
                self._seconds[name] += seconds
            self._clock = self._held = None
        scores = [] if self._scores is None else self._scores.numpy()
        ends = np.cumsum(self._counts)
        return [np.array(scores[end - count : end]) for count, end in zip(self._counts, ends)]


@dataclass(frozen=True)
class Tuning:
    """How a network runs on this machine, and why.

    Args:
        precision: ``fp32``, ``bf16`` or ``fp16``.
        memory_format: ``contiguous`` or ``channels_last``.
        seconds: seconds a view by ``"precision memory_format"``; empty where nothing was measured.
        max_difference: largest change of a probability by the lower precision on the first batch; ``None`` where it
            was not worth asking, or where a best class changed.
        origin: ``measured``, ``stored`` (measured by an earlier run), or ``default`` (nothing to gain).
    """

    precision: str
    memory_format: str
    seconds: dict = field(default_factory=dict)
    max_difference: float | None = None
    origin: str = "measured"

    def facts(self) -> dict:
        """Its fields as JSON values, for the manifest and the stored choices."""
        return asdict(self)


def tune(model, pixels: list[np.ndarray], batch_size: int, precision="auto", cache_file=None) -> Tuning:
    """Measure memory formats and, for ``auto``, bf16 on the first batch; the model then runs with the best.

    bf16 is chosen only where every view's best class stays and no probability moves by more than
    ``BF16_TOLERANCE``. Another choice than the default (fp32, contiguous) must save 15 %. The result is stored
    on this machine, even where it is the default, so that later runs choose the same without measuring. Speed is
    measured on as many views as take about 2 s, agreement on all that are given, once.

    Args:
        model: a ``Model``; one that has nothing to choose is left as it is.
        pixels: views as for ``Model.logits``; of the first ``batch_size`` those as long as the first are used.
        batch_size: views that go through the network at a time, at most.
        precision: ``auto``, or one that is used whatever its speed.
        cache_file: where choices are stored; ``None`` for the user's cache folder, ``""`` for nowhere.
    """
    network = model.network
    if not network.tunable:
        return Tuning(network.precision, network.memory_format, origin="default")
    default = ("fp32" if precision == "auto" else precision, "contiguous")
    network.configure(*default)
    cache_file = tuning_file() if cache_file is None else cache_file
    first = [view for video in pixels for view in video][:batch_size]
    views = np.stack([view for view in first if len(view) == len(first[0])])
    key = _tuning_key(model, views.shape, precision)
    tuning = _stored(cache_file, key)
    if tuning is None:
        tuning = _measure(network, views, default, _choices(network, precision, default))
        _store(cache_file, key, tuning)
    network.configure(tuning.precision, tuning.memory_format)
    return tuning


def reuse_memory(model, peak_mb: float) -> bool:
    """Let a network on the CPU reuse its memory from batch to batch, where there is enough of it.

    Each batch needs blocks of the same sizes. Fetched from the system every time they cost 20 to 40 % of a batch's
    time (``benchmarks/forward.py --kept-memory``); kept, they may raise the peak, so that this is left alone where the
    peak is above a quarter of the machine's memory.

    Args:
        model: a ``Model``.
        peak_mb: peak resident memory of this process after a batch, in MB (2**20 bytes).

    Returns:
        Whether memory is kept from now on, in the whole process.
    """
    room_mb = machine_facts().get("memory_gb", 0.0) * 2**10 / 4
    return model.network.device == "cpu" and peak_mb <= room_mb and keep_freed_memory(large_blocks=True)


def find_batch_size(model, precision: str = "auto") -> int:
    """How many views should pass a network together on its device, found by trying views of the card's size.

    A network that is no torch module, or that takes videos of any length, has no size to be found: ``BATCH_SIZE``.

    Args:
        model: a ``Model``; left as it was.
        precision: what it will run with, or ``auto``: what it is set to. A GPU needs larger batches in bf16 than in
            fp32 before its own time counts and not that of the processor that feeds it.
    """
    network, spec = model.network, model.spec
    if not network.tunable or spec.sampling == "stream":
        return BATCH_SIZE
    view = np.zeros((spec.num_frames, *spec.crop, spec.channels), np.uint8)
    halved, before = network.halved, (network.precision, network.memory_format)
    choice = (before[0] if precision == "auto" else precision, before[1])

    def seconds_of(size: int) -> float | None:
        found = _timed(network, np.broadcast_to(view, (size, *view.shape)), choice)
        fits, network.halved = network.halved == halved, halved
        return found if fits else None

    try:
        return best_batch_size(seconds_of)
    finally:
        network.configure(*before)


def best_batch_size(seconds_of, first: int = BATCH_SIZE, most: int = MOST_IN_BATCH) -> int:
    """Doubled from ``first`` while a view takes less time and the batch fits; halved where ``first`` does not fit.

    Args:
        seconds_of: called with a size, gives the seconds of a batch, or ``None`` for one that does not fit.
        first: size to begin with.
        most: largest size.

    >>> best_batch_size(lambda size: 1 + size / 100)  # most of a batch's time is the same for any size
    256
    >>> best_batch_size(lambda size: 0.01 * size)  # a view takes the same time in any batch
    8
    >>> best_batch_size(lambda size: 1 + size / 100 if size <= 3 else None)
    2
    """
    best, seconds = first, seconds_of(first)
    while seconds is None and best > 1:
        best //= 2
        seconds = seconds_of(best)
    while best >= first and 2 * best <= most:
        more = seconds_of(2 * best)
        if more is None or more > 2 * seconds * (1 - GAIN):
            break
        best, seconds = 2 * best, more
    return best


def tuning_file() -> Path:
    """The file with this user's measured choices; nothing is created."""
    return cache_folder() / "tuning.json"


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/vidbench`` or ``~/.cache/vidbench``; not created."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidbench"


def choose_device(name: str) -> str:
    """A device that is there: ``auto`` takes the GPU whenever there is one.

    Raises:
        ConfigError: an unknown device, or one this machine does not have.
    """
    import torch

    mps = torch.backends.mps.is_available()
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise ConfigError(f"Device {name!r} is none of auto, cpu, cuda, cuda:NUMBER, mps.")
    if kind == "cuda" and (not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"There is no device {name!r} here (CUDA devices: {torch.cuda.device_count()}); try auto.")
    if kind == "mps" and not mps:
        raise ConfigError("There is no device 'mps' here; try auto.")
    return name


def check_precision(precision: str, device: str) -> None:
    """Raise ``ConfigError`` for a precision that is unknown or that the device cannot do."""
    import torch

    if precision not in PRECISIONS:
        raise ConfigError(f"Precision {precision!r} is none of auto, {', '.join(PRECISIONS)}.")
    if precision == "fp16" and device == "cpu" and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        raise ConfigError("This processor has no fp16 arithmetic; use --precision bf16, fp32 or auto.")


def torch_dtype(precision: str):
    """torch's word for ``fp32``, ``bf16`` or ``fp16``."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def torch_format(name: str, num_axes: int):
    """torch's word for ``contiguous`` or ``channels_last``, for a tensor of so many axes."""
    import torch

    if name == "channels_last" and num_axes in (4, 5):
        return torch.channels_last if num_axes == 4 else torch.channels_last_3d
    return torch.contiguous_format


@contextlib.contextmanager
def _reproducible():
    """The same sums every time on a GPU: fixed algorithms, no TF32."""
    import torch

    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


def _choices(network: TorchNetwork, precision: str, default: tuple) -> list[tuple[str, str]]:
    precisions = ["fp32", "bf16"] if precision == "auto" and network.device != "mps" else [default[0]]
    formats = MEMORY_FORMATS if network.spec.layout in ("NCTHW", "NCHW") else MEMORY_FORMATS[:1]
    return [(p, f) for p in precisions for f in reversed(formats) if (p, f) != default]


def _measure(network: TorchNetwork, views: np.ndarray, default: tuple[str, str], choices: list) -> Tuning:
    one = _timed(network, views[:1], default)
    some = views[: max(1, min(len(views), int(MEASURED_S / one)))]
    seconds = {default: _timed(network, some, default)}
    if seconds[default] * len(views) / len(some) < QUICK_S:
        return Tuning(*default, {" ".join(default): round(seconds[default] / len(some), 5)}, origin="default")
    seconds |= {choice: _timed(network, some, choice) for choice in choices}
    same = [choice for choice in seconds if choice[0] == default[0]]
    best, difference = min(same, key=seconds.__getitem__), None
    if seconds[best] > WORTH_IT * seconds[default]:
        best = default
    lower = [choice for choice in choices if choice[0] != default[0] and seconds[choice] <= WORTH_IT * seconds[best]]
    if lower:
        choice = min(lower, key=seconds.__getitem__)
        difference = _difference(_scores(network, views, best), _scores(network, views, choice))
        best = choice if difference <= BF16_TOLERANCE else best
    named = {" ".join(choice): round(value / len(some), 5) for choice, value in seconds.items()}
    return Tuning(*best, named, difference if difference is None or np.isfinite(difference) else None)


def _timed(network: TorchNetwork, views: np.ndarray, choice: tuple) -> float:
    """Seconds of one batch: the smallest of up to three after a first one, which also allocates and compiles.

    On a CPU it is the time this process computes, shared among its threads: what else the machine does must not
    decide how the network runs.
    """
    network.configure(*choice)
    clock, share = _clock(network.device)
    times = []
    for repeat in range(4):
        start = clock()
        _scores(network, views, choice)
        times.append((clock() - start) / share)
        if repeat and sum(times) > MEASURED_S:
            break
    return min(times[1:])


def _clock(device: str):
    """A clock for a device, and among how many threads its seconds are shared."""
    if device != "cpu":
        return time.perf_counter, 1
    import torch

    return time.process_time, torch.get_num_threads()


def _scores(network: TorchNetwork, views: np.ndarray, choice: tuple) -> np.ndarray:
    before = dict(network.seconds)
    if (network.precision, network.memory_format) != choice:
        network.configure(*choice)
    (scores,) = network.logits([views], len(views))
    network.seconds.update(before)  # not the run's own work
    return scores


def _difference(reference: np.ndarray, scores: np.ndarray) -> float:
    """Largest change of a probability; infinite where a best class changed or a score is not finite."""
    if not np.isfinite(scores).all() or (reference.argmax(1) != scores.argmax(1)).any():
        return float("inf")
    return float(np.abs(softmax(reference) - softmax(scores)).max())


def _tuning_key(model, shape: tuple, precision: str) -> str:
    import torch

    network = model.network
    device = torch.cuda.get_device_name(network.device) if network.device.startswith("cuda") else network.device
    facts = machine_facts()
    return sha256_of_json(
        {
            "model": [model.card.name, model.weights_sha256],
            "input": [list(shape), asdict(network.spec)],
            "precision": precision,
            "torch": torch.__version__,
            "machine": [device, facts["processor"], facts["cores"], torch.get_num_threads()],
            "rule": [BF16_TOLERANCE, WORTH_IT, QUICK_S, MEASURED_S],
        }
    )


def _read_tunings(cache_file) -> dict:
    try:
        found = json.loads(Path(cache_file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _stored(cache_file, key: str) -> Tuning | None:
    found = _read_tunings(cache_file).get(key) if cache_file else None
    if not isinstance(found, dict):
        return None
    try:
        tuning = Tuning(**{**found, "origin": "stored"})
    except TypeError:
        return None
    known = tuning.precision in PRECISIONS and tuning.memory_format in MEMORY_FORMATS
    return tuning if known else None


def _store(cache_file, key: str, tuning: Tuning) -> None:
    if not cache_file:
        return
    with contextlib.suppress(OSError):  # a read-only home costs a measurement, not the run
        Path(cache_file).parent.mkdir(parents=True, exist_ok=True)
        write_json(cache_file, {**_read_tunings(cache_file), key: asdict(tuning)})
