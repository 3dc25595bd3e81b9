"""An evaluation on several GPUs of one machine: a process for each, and their rows in listed order in one run.

Process *i* of *n* takes every *n*-th batch, reads it with workers of its own and predicts it. Batches are those of an
undivided run, and rows are written as they are due; so a run may be continued on another number of devices.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vidbench import forward, models
from vidbench.data.spawning import HiddenMainContext, exit_words, leave_with
from vidbench.local import Here, batches, check_weights, load_model, open_reader
from vidbench.plan import Plan, workers_of
from vidbench.records import ConfigError, Row, RunError, VidbenchError, Views
from vidbench.runs import RunFolder
from vidbench.stage_times import StageClock
from vidbench.utils import jsonable

TUNED_ON = 64  # batches looked through for one that can be read


@dataclass
class Tally:
    """What is known of a network in other processes: as much of a ``Model`` as a run's manifest asks for.

    Args:
        weights_sha256, weights_source, published_weights, device_name: as of ``Model``.
        seconds: by stage, added up over all processes.
        halved_batches: likewise.
    """

    weights_sha256: str | None
    weights_source: str
    published_weights: bool
    device_name: str
    seconds: dict = field(default_factory=dict)
    halved_batches: int = 0

    @classmethod
    def of(cls, model: models.Model) -> Tally:
        """Of a model that has not computed anything yet."""
        return cls(model.weights_sha256, model.weights_source, model.published_weights, model.device_name)

    def add(self, clock: StageClock, took: dict) -> None:
        """Add what a piece of work took, to the clock where it is reading."""
        clock.num_videos += took["num_videos"]
        self.halved_batches += took["halved_batches"]
        for seconds, more in ((clock.seconds, took["reading"]), (self.seconds, took["network"])):
            for stage, value in more.items():
                seconds[stage] = seconds.get(stage, 0.0) + value


class Meter:
    """What a model and a clock have spent since they were last asked: for ``Tally.add`` in another process."""

    def __init__(self, model: models.Model, clock: StageClock):
        self.model, self.clock = model, clock
        self.before: dict = {}
        self.took()

    def took(self) -> dict:
        """Since the last call: videos, halved batches, and seconds by stage of ``reading`` and of the ``network``."""
        model, clock = self.model, self.clock
        now = {"num_videos": clock.num_videos, "halved_batches": model.halved_batches,
               "reading": dict(clock.seconds), "network": dict(model.seconds)}  # fmt: skip
        before, self.before = self.before or now, now
        return {name: _less(value, before[name]) for name, value in now.items()}


def _less(now, before):
    if isinstance(now, dict):
        return {name: value - before.get(name, 0.0) for name, value in now.items()}
    return now - before


def first_tuning(model: models.Model, config, plan: Plan, todo: Iterable) -> dict:
    """How a network runs best, found on the first batch of ``(number, record)`` of which a video can be read."""
    wanted = (pair for pair in todo if pair[1].status == "ok")
    with open_reader(config, plan, "cpu") as reader:
        for _, batch in zip(range(TUNED_ON), batches(wanted, config.batch_size)):
            pixels = [views.pixels for _, views in reader.stream(batch) if isinstance(views, Views)]
            if pixels:
                return models.tune(model, pixels, config.batch_size, config.precision).facts()
    precision = "fp32" if config.precision == "auto" else config.precision
    return forward.Tuning(precision, "contiguous", origin="default").facts()


def write_tuning(run: RunFolder, tuning: dict) -> None:
    """Note in a run's manifest how its network runs, from the first session on."""
    settled = {name: tuning[name] for name in ("precision", "memory_format")}
    run.update_manifest(run=settled, tuning=jsonable(tuning))


def choose_devices(asked: tuple[str, ...]) -> list[str]:
    """Devices that are there, all of one kind.

    Raises:
        ConfigError: there are none, one is missing, or they are of two kinds.
    """
    if asked == ("all",):
        import torch

        found = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        if not found:
            raise ConfigError("There is no CUDA device here for --devices all; leave it out.")
        return found
    found = [models.choose_device(name) for name in asked]
    if len({kind_of(name) for name in found}) > 1:
        raise ConfigError(f"--devices must be of one kind, not {', '.join(found)}")
    return found


def kind_of(device: str) -> str:
    """``cuda`` of ``cuda:1``."""
    return device.partition(":")[0]


class OnDevices:
    """Reads and predicts in a process for each device: an engine with the methods of ``vidbench.local.Here``.

    Args:
        config: a checked ``EvaluateConfig`` with ``devices``.
        plan: what there is to do.
    """

    def __init__(self, config, plan: Plan):
        self.config, self.plan = config, plan
        self.devices = choose_devices(config.devices)
        self.device = kind_of(self.devices[0])
        self.helpers: list[_Helper] = []
        self.tally: Tally | None = None

    def __enter__(self) -> OnDevices:
        return self

    def __exit__(self, *_) -> None:
        for helper in self.helpers:
            helper.end()

    def find_batch_size(self) -> int:
        """How many videos should pass the network of one device together."""
        self.prepare()
        self.helpers[0].say("size")
        return self.helpers[0].hear()

    def prepare(self) -> Tally:
        """Start the processes, each of which loads the model; returns what is known of it."""
        if self.tally:
            return self.tally
        num_workers = workers_of(self.config)
        each = num_workers and max(1, num_workers // len(self.devices))
        plan = dataclasses.replace(self.plan, records=[], absent=())
        for device in self.devices:
            config = dataclasses.replace(self.config, device=device, devices=None, num_workers=each)
            self.helpers.append(_Helper(device, config, plan))
        tallies: list[Tally] = [helper.hear() for helper in self.helpers]
        self.tally = tallies[0]
        return self.tally

    def begin(self, run: RunFolder) -> None:
        """Write down the weights and, once in the life of a run, how the network runs best."""
        check_weights(self.prepare(), run)
        if "precision" not in run.manifest["run"]:
            first = self.helpers[0]
            todo = list(enumerate(self.plan.records))[len(run.rows) :][: TUNED_ON * self.config.batch_size]
            first.say("tune", self.config.batch_size, todo)
            write_tuning(run, first.hear())

    def results(self, run: RunFolder, todo: Iterable, clock) -> Iterator[tuple[list[Row], np.ndarray]]:
        """Rows and logits of whole batches of ``(number, record)``, in the order given."""
        groups, tally = list(batches(todo, self.config.batch_size)), self.prepare()
        settled = {name: run.manifest["run"][name] for name in ("precision", "memory_format")}
        for number, helper in enumerate(self.helpers):
            todo = [pair for group in groups[number :: len(self.helpers)] for pair in group]
            helper.say("work", self.config.batch_size, todo, settled)
        for number in range(len(groups)):
            rows, logits, took = self.helpers[number % len(self.helpers)].hear()
            tally.add(clock, took)
            yield rows, logits

    def timing(self, run: RunFolder, clock) -> dict:
        """The section ``timing`` of the manifest, with the sessions before."""
        workers = workers_of(self.config)
        facts = clock.facts(self.tally, run.manifest.get("timing"), workers, len(self.devices))
        return {**facts, "devices": self.devices}


class _Helper:
    """The parent's side of one process: it is told what to do, and heard in turn."""

    def __init__(self, device: str, config, plan: Plan):
        context = HiddenMainContext()
        self.device = device
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_help, args=(theirs, config, plan, os.getpid()), name=f"vidbench {device}"
        )
        self.process.start()
        theirs.close()

    def say(self, *words) -> None:
        with contextlib.suppress(BrokenPipeError):  # hear says what became of it
            self.pipe.send(words)

    def hear(self):
        """The next answer; raises what went wrong there."""
        try:
            answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            raise RunError(
                f"the process of {self.device} ended ({exit_words(self.process.exitcode)}); what was written "
                "stays, and the same command continues"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()


def _help(pipe, config, plan: Plan, parent: int) -> None:
    """The process of one device."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=leave_with, args=(parent,), daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # the parent has ended, or wants no more
        try:
            _obey(pipe, config, plan)
        except VidbenchError as problem:
            pipe.send(problem)


def _obey(pipe: multiprocessing.connection.Connection, config, plan: Plan) -> None:
    """Load the model; then what the parent says: ``size``, ``tune``, and at last ``work``."""
    with Here(config, plan) as engine:
        engine.model = load_model(config, plan, engine.device)
        pipe.send(Tally.of(engine.model))
        while (heard := pipe.recv())[0] != "work":
            if heard[0] == "size":
                pipe.send(engine.find_batch_size())
            else:
                _, batch_size, todo = heard
                sized = dataclasses.replace(config, batch_size=batch_size)
                pipe.send(first_tuning(engine.model, sized, plan, todo))
        _, batch_size, todo, settled = heard
        engine.config = dataclasses.replace(config, batch_size=batch_size)
        engine.records = dict(todo)
        engine.prepare()
        engine.model.settle(**settled)
        clock = StageClock()
        meter = Meter(engine.model, clock)
        for rows, logits in engine.results(None, todo, clock):
            pipe.send((rows, logits, meter.took()))
        pipe.recv()  # until the parent closes its end
