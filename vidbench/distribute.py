"""An evaluation on many machines: Ray Data carries batches from actors that decode to actors that predict.

One row of the Ray dataset is one whole batch of the list, so that the network sees the same videos together as in an
evaluation on one machine. Rows come back in listed order and go into the same run folder, block by block; so a run may
be begun on a cluster and continued without one. Alone imports ray.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vidbench import forward, models
from vidbench.data import decode, load
from vidbench.devices import TUNED_ON, Meter, Tally, first_tuning, write_tuning
from vidbench.hubs import is_address
from vidbench.local import Here, batches, begin_batch, check_weights, load_model, open_reader, size_of
from vidbench.plan import Plan
from vidbench.records import (
    ConfigError,
    Row,
    RunError,
    UnreadableVideo,
    VidbenchError,
    VideoRecord,
    Views,
    WeightsError,
)
from vidbench.runs import RunFolder, encode_row
from vidbench.stage_times import StageClock
from vidbench.utils import peak_rss_mb, printable, quiet, usable_cores

# On a machine of C cores fit C decoders and a network, which has all threads; ten networks of lost machines fit beside.
DECODER_CPUS, PREDICTOR_CPUS = 0.9, 0.01
MOST_BATCHES = 32  # in a block, which is done again as a whole where its machine is lost
ENOUGH_BLOCKS = 500  # before blocks hold more than one batch
ANSWER_S = 5.0  # seconds that a cluster may take to answer at all


class OnRay:
    """Reads and predicts on a Ray cluster: an engine with the methods of ``vidbench.local.Here``.

    Args:
        config: a checked ``EvaluateConfig`` with ``engine="ray"``.
        plan: what there is to do.
    """

    def __init__(self, config, plan: Plan):
        self.config, self.plan, self.began = config, plan, time.monotonic()
        self.num_decoders = self.num_predictors = self.num_nodes = 0
        self.connected = False

    def __enter__(self) -> OnRay:
        return self

    def __exit__(self, *_) -> None:
        if self.connected:
            import ray

            ray.shutdown()

    @functools.cached_property
    def device(self) -> str:
        """``cuda`` where the cluster has GPUs, unless another one was asked for."""
        if self.config.device != "auto":
            return self.config.device
        if self.config.ray_address is None:
            return models.choose_device("auto").replace("mps", "cpu")
        self.connect()
        return "cuda" if _cluster_resource("GPU") >= 1 else "cpu"

    @functools.cached_property
    def pilot(self):
        """An actor with the network, on one machine of the cluster, until the work begins."""
        self.connect()
        import ray  # reads its variables when it is imported, so not before they are set

        num_gpus, tries = int(self.device == "cuda"), 3  # its machine may be lost as any other
        start = ray.remote(num_cpus=PREDICTOR_CPUS, num_gpus=num_gpus, max_restarts=tries, max_task_retries=tries)
        return start(Predictor).remote(*self._arguments())

    @functools.cached_property
    def tally(self) -> Tally:
        """What is known of the network, as the pilot says."""
        return self._ask(self.pilot.tally.remote())

    def connect(self) -> None:
        """Start or join a cluster, and count how many actors fit into it.

        Raises:
            ConfigError: none answers there, or it has no GPU and one was asked for.
        """
        if self.connected:
            return
        _start_or_join(self.config.ray_address)
        import ray

        self.connected = True
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise ConfigError("No machine of the Ray cluster has a free core for this; start workers with --num-cpus.")
        gpus = int(_cluster_resource("GPU"))
        if self.device == "cuda" and not gpus:
            raise ConfigError("The Ray cluster has no GPU; leave out --device cuda, or start workers with --num-gpus.")
        self.num_nodes = len(nodes)
        self.num_decoders = self.config.num_workers or sum(int(node["CPU"]) for node in nodes)
        self.num_predictors = gpus if self.device == "cuda" else len(nodes)

    def find_batch_size(self) -> int:
        """How many videos should pass a network together on a machine of the cluster."""
        return self._ask(self.pilot.find_batch_size.remote())

    def prepare(self) -> Tally:
        """Load the model on one machine of the cluster, so that a mistake shows before anything is written."""
        return self.tally

    def begin(self, run: RunFolder) -> None:
        """Write down the weights and, once in the life of a run, how the network runs best."""
        check_weights(self.tally, run)
        if "precision" not in run.manifest["run"]:
            size = self.config.batch_size
            todo = list(enumerate(self.plan.records))[len(run.rows) :][: TUNED_ON * size]
            write_tuning(run, self._ask(self.pilot.tune.remote(size, todo)))
        import ray

        ray.kill(self.pilot)
        del self.pilot

    def _ask(self, answer):
        """What an actor answers; its error as if it had happened here."""
        import ray

        with _our_errors():
            return ray.get(answer)

    def _arguments(self) -> tuple:
        """What every actor needs to know; places as they are called from anywhere."""
        config, plan = self.config, self.plan
        weights = config.weights
        if weights and weights != "random" and not is_address(weights):
            weights = os.path.abspath(weights)
        config = dataclasses.replace(
            config, weights=weights, cache_dir=os.path.abspath(config.cache_dir), num_workers=1, device=self.device
        )
        plan = dataclasses.replace(plan, records=[], absent=(), root=Path(os.path.abspath(plan.root)))
        return config, plan, _made_by(config, plan), os.environ.get("OMP_NUM_THREADS")

    def results(self, run: RunFolder, todo: Iterable, clock) -> Iterator[tuple[list[Row], np.ndarray]]:
        """Rows and logits of whole batches of ``(number, record)``, in the order given, a block at a time."""
        expected = len(run.rows)
        settled = {name: run.manifest["run"][name] for name in ("precision", "memory_format")}
        with _our_errors():
            for table in self._dataset(todo, settled).iter_batches(batch_size=None, batch_format="pyarrow"):
                clock.seconds.setdefault("start", time.monotonic() - self.began)
                rows, logits = [], []
                for found in table.to_pylist():
                    _raise_told(found["problem"])
                    part = [Row.from_json(json.loads(line)) for line in found["rows"].splitlines()]
                    self._refuse_unseen(part, found["machine"])
                    rows += part
                    logits.append(np.frombuffer(found["logits"], "<f4").reshape(len(part), *run.shape[1:]))
                    self.tally.add(clock, json.loads(found["took"]))
                if [row.index for row in rows] != list(range(expected, expected + len(rows))):
                    raise RuntimeError(f"Ray gave rows {rows[0].index} to {rows[-1].index} where {expected} was due")
                expected += len(rows)
                if rows:
                    yield rows, np.concatenate(logits)

    def _dataset(self, todo: Iterable, settled: dict):
        """The job: batches of records, then their pixels, then their rows."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        items = [{"records": _pack_records(batch)} for batch in batches(todo, self.config.batch_size)]
        in_block = min(MOST_BATCHES, max(1, len(items) // ENOUGH_BLOCKS))
        num_blocks = -(-len(items) // in_block)
        self.num_decoders = min(self.num_decoders, num_blocks)  # more would start for nothing
        self.num_predictors = min(self.num_predictors, num_blocks)
        return (
            ray.data.from_items(items, override_num_blocks=num_blocks)
            .map_batches(
                Decoder, fn_constructor_args=self._arguments()[:3], num_cpus=DECODER_CPUS,
                batch_size=1, batch_format="pyarrow", zero_copy_batch=True,
                compute=ray.data.ActorPoolStrategy(size=self.num_decoders),
            )
            .map_batches(
                Predictor, fn_constructor_args=(*self._arguments(), settled), num_cpus=PREDICTOR_CPUS,
                batch_size=1, batch_format="pyarrow", zero_copy_batch=True,
                num_gpus=int(self.device == "cuda"), compute=ray.data.ActorPoolStrategy(size=self.num_predictors),
            )
        )  # fmt: skip

    def _refuse_unseen(self, rows: list[Row], machine: str) -> None:
        """A video that is here and was not found elsewhere is no missing video, but a folder that is not shared."""
        for row in rows:
            record = self.plan.records[row.index]
            if row.status == "missing" and record.status == "ok" and size_of(self.plan.root / record.path):
                raise RunError(
                    f"{printable(record.path)} is here, but {printable(machine)} does not have it: every machine of "
                    f"the cluster needs the videos at {printable(os.path.abspath(self.plan.root))}"
                )

    def timing(self, run: RunFolder, clock) -> dict:
        """The section ``timing`` of the manifest, with the sessions before."""
        import ray

        facts = clock.facts(self.tally, run.manifest.get("timing"), self.num_decoders, self.num_predictors)
        actors = {"nodes": self.num_nodes, "decoders": self.num_decoders, "predictors": self.num_predictors}
        return {**facts, "engine": f"ray {ray.__version__}", **actors}


# ---------------------------------------------------------------- the cluster


def _start_or_join(address: str | None) -> None:
    """Connect this process to a cluster, or start one of this machine alone, without a word on the terminal."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address:
        _refuse_silence(address)
    import ray
    import ray.data

    try:
        _connect(address)
    except Exception as problem:
        if address:
            raise ConfigError(
                f"No Ray cluster can be used at {address} (one that asks for a token needs RAY_AUTH_MODE=token here): "
                f"{printable(problem, 200)}"
            ) from None
        try:  # Ray gives its processes half a minute to start, which is short on a busy machine
            ray.shutdown()
            _connect(address)
        except Exception as again:
            raise VidbenchError(
                f"Ray could not start on this machine, twice: {printable(again, 200)}; run the same command again when "
                "the machine has less to do, or without --engine ray, which gives the same results"
            ) from None
    for name in ("ray", "ray.data"):  # what goes wrong is raised; their logs lie in Ray's folder too
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _connect(address: str | None) -> None:
    import ray

    cores, dashboard = (usable_cores(), False) if address is None else (None, None)
    with quiet(), _own_signals():  # Ray's C++ part says there that it is going to be quiet
        ray.init(
            address or "local", num_cpus=cores, include_dashboard=dashboard,
            logging_level=logging.ERROR, log_to_driver=False,
        )  # fmt: skip


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keeps what SIGTERM does; Ray would end the program with status 15 and no word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse_silence(address: str) -> None:
    """Raise ``ConfigError`` where nothing answers: Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise ConfigError(
            f"No Ray cluster answers at {address} ({printable(reason, 80)}): start one with ray start --head, or leave "
            "out --ray-address"
        ) from None


def _cluster_resource(name: str) -> float:
    import ray

    return ray.cluster_resources().get(name, 0)


@contextlib.contextmanager
def _our_errors():
    """An error of ours in an actor as if it had happened here; the end of the cluster as one sentence."""
    import ray.exceptions

    try:
        yield
    except ray.exceptions.RayError as problem:
        for cause in _causes(problem):
            if isinstance(cause, VidbenchError) and not isinstance(cause, ray.exceptions.RayError):
                raise cause.with_traceback(None) from None
        if isinstance(problem, ray.exceptions.RayTaskError):
            raise  # a mistake of ours keeps its traceback
        words = printable(" ".join(str(problem).split()), 400)
        raise RunError(
            f"The Ray cluster cannot go on ({type(problem).__name__}: {words}); what was written stays, and the same "
            "command continues."
        ) from None


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        yield problem
        problem = getattr(problem, "cause", None) or problem.__cause__ or problem.__context__


# ---------------------------------------------------------------- in the actors


def _made_by(config, plan: Plan) -> dict:
    """Versions that decide pixels and scores: they have to be the same on every machine."""
    return {"decoder": decode.decoder_version(config.decoder), "library": models.library_version(plan.card)}


def _refuse_other_versions(config, plan: Plan, expected: dict) -> None:
    found = _made_by(config, plan)
    for name, version in expected.items():
        if found[name] != version:
            raise RunError(
                f"{socket.gethostname()} has another {name} than this machine: {found[name]}, not {version}; install "
                "the same versions on every machine of the cluster"
            )


class _Telling:
    """A part of an actor's work whose error travels as data: Ray would keep its words and lose its kind.

    Args:
        problem: what went wrong before, as JSON, or ``None``.
    """

    def __init__(self, problem: str | None = None):
        self.problem = problem
        self.row: dict = {}

    def __enter__(self) -> _Telling:
        return self

    def __exit__(self, kind, problem, _) -> bool:
        if isinstance(problem, VidbenchError):
            self.problem = json.dumps([kind.__name__, str(problem)])
        return isinstance(problem, VidbenchError)

    def table(self, always: dict, texts: tuple[str, ...], bytes_: tuple[str, ...]):
        """What is known, as a table of one row with the same columns whatever went wrong."""
        import pyarrow

        columns = {name: pyarrow.array([value], pyarrow.string()) for name, value in always.items()}
        columns |= {name: pyarrow.array([self.row.get(name)], pyarrow.string()) for name in texts}
        columns |= {name: pyarrow.array([self.row.get(name)], pyarrow.large_binary()) for name in bytes_}
        return pyarrow.table({**columns, "problem": pyarrow.array([self.problem], pyarrow.string())})


def _raise_told(problem: str | None) -> None:
    """Raise what an actor told, as an error of the same kind."""
    if problem is not None:
        name, words = json.loads(problem)
        raise {"ConfigError": ConfigError, "WeightsError": WeightsError}.get(name, RunError)(words)


class Decoder:
    """An actor that reads a batch of videos at a time, in an isolated worker of its own.

    Args:
        config: with one worker and absolute places.
        plan: without records.
        expected: versions as ``_made_by`` found them where the run was started.
    """

    def __init__(self, config, plan: Plan, expected: dict):
        self.config, self.plan, self.expected = config, plan, expected
        self.reader = open_reader(config, plan, "cpu")
        self.reader.warm_up()

    def __call__(self, table):
        """A batch's records, as a table of one row, with the pixels of its videos, as a table of one row."""
        (records,) = table.column("records").to_pylist()
        with _Telling() as told:
            pixels, facts = self._read(records)
            told.row = {"facts": facts, "pixels": pixels}
        return told.table({"records": records, "machine": socket.gethostname()}, ("facts",), ("pixels",))

    def _read(self, records: str) -> tuple[bytes, str]:
        if self.expected:
            _refuse_other_versions(self.config, self.plan, self.expected)
            self.expected = {}
        if not os.path.isdir(self.plan.root):
            raise RunError(
                f"{socket.gethostname()} has no folder {printable(self.plan.root)}: every machine of the cluster needs "
                "the videos in the same place"
            )
        return pack_views([views for _, views in self.reader.stream(_unpack_records(records))])


class Predictor:
    """An actor with the network: a batch's pixels in, its rows and logits out.

    Args:
        config: with one worker and absolute places.
        plan: without records.
        expected: versions as ``_made_by`` found them where the run was started.
        num_threads: ``OMP_NUM_THREADS`` as it was there, or ``None``; Ray's own value would be 1.
        settled: precision and memory format of the run; ``None`` for the actor that finds them.
    """

    def __init__(self, config, plan: Plan, expected: dict, num_threads: str | None, settled=None):
        os.environ.pop("OMP_NUM_THREADS", None)
        if num_threads:
            os.environ["OMP_NUM_THREADS"] = num_threads
        self.config, self.plan, self.memory_kept = config, plan, False
        self.loaded: models.Model | VidbenchError
        try:
            _refuse_other_versions(config, plan, expected)
            self.loaded = load_model(config, plan, config.device)
            if settled:
                self.loaded.settle(**settled)
        except VidbenchError as problem:  # said at the first call: an actor that cannot be made is made again and again
            self.loaded = problem

    @property
    def model(self) -> models.Model:
        """The network; raises what went wrong when it was loaded."""
        if isinstance(self.loaded, VidbenchError):
            raise self.loaded
        return self.loaded

    def tally(self) -> Tally:
        """What a run's manifest says of the network."""
        return Tally.of(self.model)

    def find_batch_size(self) -> int:
        """As ``Here.find_batch_size``, of a model that is there."""
        engine = Here(self.config, self.plan)
        engine.model = self.model
        return engine.find_batch_size()

    def tune(self, batch_size: int, todo: list[tuple[int, VideoRecord]]) -> dict:
        """How the network runs best, found on the first batch of which a video can be read."""
        return first_tuning(self.model, dataclasses.replace(self.config, batch_size=batch_size), self.plan, todo)

    def __call__(self, table):
        """A table of one batch's pixels as a table of its rows and logits."""
        (line,) = table.drop_columns(["pixels"]).to_pylist()
        with _Telling(line["problem"]) as told:
            if told.problem is None:
                told.row = self._predict(line, table.column("pixels")[0].as_buffer())
        return told.table({"machine": line["machine"]}, ("took",), ("rows", "logits"))

    def _predict(self, line: dict, pixels) -> dict:
        clock = StageClock()
        meter = Meter(self.model, clock)
        records = dict(_unpack_records(line["records"]))
        batch = list(zip(records, unpack_views(pixels, line["facts"])))
        rows, logits = begin_batch(batch, records, self.plan, self.model, self.config, clock)()
        self._keep_memory()
        lines = b"".join(encode_row(row) for row in rows)
        return {"rows": lines, "logits": logits.astype("<f4").tobytes(), "took": json.dumps(meter.took())}

    def _keep_memory(self) -> None:
        if not self.memory_kept and self.model.seconds.get("forward"):
            self.memory_kept = True
            forward.reuse_memory(self.model, peak_rss_mb())


def _pack_records(batch: Iterable[tuple[int, VideoRecord]]) -> str:
    """A batch of the list as text; ASCII, so that any file name comes back the same."""
    return json.dumps([[number, dataclasses.asdict(record)] for number, record in batch])


def _unpack_records(text: str) -> list[tuple[int, VideoRecord]]:
    return [(number, VideoRecord(**record)) for number, record in json.loads(text)]


def pack_views(found: list[Views | UnreadableVideo]) -> tuple[bytes, str]:
    """A batch of views as the bytes of all pixels, one video after another, and everything else as JSON."""
    facts: list[dict] = []
    for item in found:
        if isinstance(item, UnreadableVideo):
            facts.append({"status": item.status, "reason": item.reason})
        else:
            facts.append({**load.side_of(item), "shape": item.pixels.shape, "seconds": item.seconds})
    pixels = b"".join(item.pixels.tobytes() for item in found if isinstance(item, Views))
    return pixels, json.dumps(facts)


def unpack_views(pixels, facts: str) -> list[Views | UnreadableVideo]:
    """What ``pack_views`` packed; the pixels (any buffer) are not copied, and cannot be written to."""
    found: list[Views | UnreadableVideo] = []
    start = 0
    for item in json.loads(facts):
        if "shape" not in item:
            found.append(UnreadableVideo(item["status"], item["reason"]))
            continue
        shape, size = item["shape"], int(np.prod(item["shape"]))
        part = np.frombuffer(pixels, np.uint8, size, start).reshape(shape)
        found.append(load.with_side(part, item, item["seconds"]))
        start += size
    return found
