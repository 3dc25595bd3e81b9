"""What is installed here, what of it works, and what is missing for what.

Decoders, devices and libraries are tried, not only imported, in two processes beside this one, with a time limit for
each: one that crashes or hangs costs one line, and those after it get a new process. Trials run with
``python -m vidbench.environment KIND:NAME ...``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO

import numpy as np

from vidbench import __version__
from vidbench.records import DECODER_PACKAGES, DECODERS, VidbenchError
from vidbench.utils import machine_facts, package_versions, printable

LIBRARIES = {  # module → what it is here for
    "transformers": "VideoMAE, TimeSformer, ViViT",
    "tensorflow": "SavedModels of TF-Hub, TensorFlow checkpoints",
    "ai_edge_litert": "TFLite models",
    "lightning": "training",
    "captum": "where and when a network found its evidence",
    "ipywidgets": "players in notebooks",
}
PURPOSES = {  # extra → what it is for, as the end of "missing for"
    "course": "the notebooks",
    "transformers": "VideoMAE, TimeSformer, ViViT and fine-tuned folders",
    "train": "training (vidbench train)",
    "tensorflow": "models of TF-Hub and TensorFlow checkpoints",
    "ray": "evaluation on several machines at once",
    "dev": "the tests",
}
TOOLS = {
    "unar": "RAR archives",
    "unrar": "RAR archives",
    "7z": "RAR archives",
    "bsdtar": "RAR archives",
    "git": "the commit in a run's manifest",
}
NEEDED = ("decoder pyav", "device cpu")  # what an evaluation cannot do without
WITH_TORCH = ("captum", "lightning")  # tried where torch is loaded already
SECTIONS = {"decoder": "decoders", "device": "devices", "library": "libraries"}
ANSWER = "@trial "  # begins a line of standard output that is an outcome

Job = tuple[str, str]  # a kind of trial and a name: ("decoder", "pyav"), say


@dataclass(frozen=True)
class Trial:
    """One thing that was tried.

    Args:
        kind: ``decoder``, ``device`` or ``library``.
        name: which one.
        state: ``works``, ``absent`` or ``fails``.
        words: what was found: a version, or why it does not work.
    """

    kind: str
    name: str
    state: str
    words: str


@dataclass(frozen=True)
class Found:
    """What is here.

    Args:
        machine: facts about system and processor.
        versions: installed packages.
        trials: what was tried.
        tools: programs found on the PATH, with what they are for.
        missing: extra → packages of it that are not installed.
    """

    machine: dict
    versions: dict[str, str]
    trials: tuple[Trial, ...]
    tools: dict[str, str]
    missing: dict[str, list[str]] = field(default_factory=dict)

    @property
    def works(self) -> bool:
        """Whether an evaluation can run."""
        working = {f"{trial.kind} {trial.name}" for trial in self.trials if trial.state == "works"}
        return working.issuperset(NEEDED)


def examine(seconds: float = 120.0, tell: Callable[[str], None] = lambda line: None) -> Found:
    """Try everything.

    Args:
        seconds: what one trial may take.
        tell: takes the lines of ``vidbench env``, each as soon as it is known.
    """
    facts = machine_facts() | {"free_gb": round(shutil.disk_usage(os.getcwd()).free / 1e9, 1)}
    versions = {"vidbench": __version__} | package_versions()
    tell(head(facts, versions))
    jobs = [("decoder", name) for name in DECODERS] + [("device", "all")] + [("library", name) for name in LIBRARIES]
    torch_loads = [job for job in jobs if job[0] == "device" or job[1] in WITH_TORCH]
    lanes = [[job for job in jobs if job not in torch_loads], torch_loads]
    with contextlib.closing(_side_by_side(lanes, seconds)) as arriving:
        trials = _told(jobs, arriving, tell)
    tools = {name: purpose for name, purpose in TOOLS.items() if shutil.which(name)}
    found = Found(facts, versions, trials, tools, missing_packages())
    tell(tail(found))
    return found


def _told(jobs: Sequence[Job], arriving: Iterator[tuple[Job, list[Trial]]], tell: Callable) -> tuple[Trial, ...]:
    """All trials in the order of the jobs; told on the way, section by section, and within one as they come."""
    known: dict[Job, list[Trial]] = {}
    for kind, title in SECTIONS.items():
        tell(f"\n{title}")
        waiting = [job for job in jobs if job[0] == kind]
        while waiting:
            ready = [job for job in waiting if job in known]
            if not ready:
                job, trials = next(arriving)
                known[job] = trials
            for job in ready:
                waiting.remove(job)
                tell("\n".join(line(trial) for trial in known[job]))
    return tuple(trial for job in jobs for trial in known[job])


def missing_packages() -> dict[str, list[str]]:
    """Extras of vidbench → packages that they would install and that are not here.

    Empty where vidbench is read from a folder and not installed: nobody then wrote down what it needs.
    """
    try:
        lines = metadata.requires("vidbench") or []
    except metadata.PackageNotFoundError:
        return {}
    missing: dict[str, list[str]] = {}
    for line in lines:
        match = re.match(r"([\w.-]+).*?;.*extra == ['\"]([\w-]+)['\"]", line)
        if match and not _is_installed(match[1]):
            missing.setdefault(match[2], []).append(match[1])
    return missing


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


# ---------------------------------------------------------------- trials, as the process that asks sees them


def _side_by_side(lanes: Sequence[list[Job]], seconds: float) -> Generator[tuple[Job, list[Trial]], None, None]:
    """Each job of each lane with its outcome, as they come; the lanes run at the same time."""
    found: queue.Queue[tuple[Job, list[Trial]]] = queue.Queue()

    def run(lane: list[Job]) -> None:
        for outcome in run_trials(lane, seconds):
            found.put(outcome)

    with ThreadPoolExecutor(len(lanes)) as pool:
        for lane in lanes:
            pool.submit(run, lane)
        for _ in range(sum(map(len, lanes))):
            yield found.get()


def run_trials(jobs: Sequence[Job], seconds: float) -> Iterator[tuple[Job, list[Trial]]]:
    """Run trials one after the other in a process beside this one; whatever becomes of each is an answer.

    What a trial has imported serves the later ones. A process that ends, or is ended because a trial takes longer than
    ``seconds``, costs that trial; those after it get a new one.
    """
    left = list(jobs)
    while left:
        with tempfile.TemporaryFile() as said:
            try:
                process = _start(left, said)
            except OSError as problem:
                yield left[0], [_failed(left.pop(0), f"no process could be started: {printable(problem, 120)}")]
                continue
            with process:
                began = time.monotonic()
                for trials in _answers(process, seconds):
                    yield left.pop(0), trials
                    began = time.monotonic()
                late = time.monotonic() - began >= seconds
            if left:
                words = f"not done within {seconds:g} s" if late else _end_of(process, said)
                yield left[0], [_failed(left.pop(0), words)]


def _start(jobs: Sequence[Job], said: IO[bytes]) -> subprocess.Popen:
    words = [sys.executable, "-P", "-m", "vidbench.environment", *(f"{kind}:{name}" for kind, name in jobs)]
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=env)


def _answers(process: subprocess.Popen, seconds: float) -> Iterator[list[Trial]]:
    """The outcomes that a process writes, until it ends or is killed because one of them takes too long."""
    assert process.stdout is not None
    while True:
        alarm = threading.Timer(seconds, process.kill)
        alarm.start()
        text = ""
        while not text.startswith(ANSWER):
            data = process.stdout.readline()
            if not data:
                break
            text = data.decode("utf-8", "replace")
        alarm.cancel()
        if not text.startswith(ANSWER):
            return
        yield [Trial(**line) for line in json.loads(text.removeprefix(ANSWER))]


def _end_of(process: subprocess.Popen, said: IO[bytes]) -> str:
    """How a process ended before its time."""
    said.seek(0)
    last = said.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    return f"ended with status {process.returncode}: {printable(' '.join(last), 160)}"


def _failed(job: Job, words: str) -> Trial:
    return Trial(job[0], job[1], "fails", words)


# ---------------------------------------------------------------- trials, in their own process


def try_decoder(name: str) -> list[Trial]:
    """Read three frames of a numbered video and look whether they are those that were asked for."""
    from vidbench.data.barcode import read_numbers, write_numbered
    from vidbench.data.decode import decoder_version, read_clip

    if not _is_installed(DECODER_PACKAGES[name]):
        return [Trial("decoder", name, "absent", f"pip install {DECODER_PACKAGES[name]}")]
    wanted = [0, 7, 20]
    with tempfile.TemporaryDirectory(prefix="vidbench-") as folder:
        path = write_numbered(Path(folder) / "numbered.mp4", 24)
        numbers = read_numbers(read_clip(path, wanted, decoder=name).frames)
    if list(numbers) != wanted:
        return [Trial("decoder", name, "fails", f"asked for frames {wanted}, it gave {numbers.tolist()}")]
    return [Trial("decoder", name, "works", decoder_version(name))]


def try_devices(_: str) -> list[Trial]:
    """A small 3-D convolution on each device that torch sees, compared with the sums done by NumPy."""
    import torch

    names = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    names += ["mps"] if torch.backends.mps.is_available() else []
    trials = [_try_device(torch, name) for name in names]
    return trials if len(names) > 1 else [*trials, Trial("device", "gpu", "absent", "torch sees none")]


def _try_device(torch, name: str) -> Trial:
    try:
        clip, kernel = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6)).astype(np.float32)[:2]
        clip, kernel = torch.tensor(clip)[None], torch.tensor(kernel[:, :2, :3, :3])[None]
        got = torch.nn.functional.conv3d(clip.to(name), kernel.to(name)).cpu()
    except (RuntimeError, OSError) as problem:
        return Trial("device", name, "fails", printable(str(problem).splitlines()[0], 160))
    windows = np.lib.stride_tricks.sliding_window_view(clip[0].numpy(), kernel.shape[2:], axis=(1, 2, 3))
    right = np.einsum("cthwijk,cijk->thw", windows, kernel[0].numpy())
    if not np.allclose(got[0, 0].numpy(), right, atol=1e-2):
        return Trial("device", name, "fails", "a convolution came out wrong")
    what = torch.cuda.get_device_name(name) if name.startswith("cuda") else f"torch {torch.__version__}"
    return Trial("device", name, "works", what)


def try_library(module: str) -> list[Trial]:
    """Import a library. TensorFlow is imported after torch and torchvision, as vidbench does."""
    import importlib

    if module == "tensorflow":
        import torchvision  # noqa: F401
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as problem:
        if problem.name == module:
            return [Trial("library", module, "absent", f"for {LIBRARIES[module]}")]
        return [Trial("library", module, "fails", printable(problem, 160))]
    package = module.replace("_", "-")
    return [Trial("library", module, "works", f"{metadata.version(package)}, for {LIBRARIES[module]}")]


TRIALS: dict[str, Callable[[str], list[Trial]]] = {
    "decoder": try_decoder,
    "device": try_devices,
    "library": try_library,
}


def main(words: Sequence[str]) -> None:
    """Trials, each named ``KIND:NAME``; the outcome of each is a line of standard output."""
    for word in words:
        kind, _, name = word.partition(":")
        try:
            trials = TRIALS[kind](name)
        except (VidbenchError, ImportError, OSError, RuntimeError, ValueError) as problem:
            trials = [Trial(kind, name, "fails", printable(problem, 200))]
        print("\n" + ANSWER + json.dumps([dataclasses.asdict(trial) for trial in trials]), flush=True)


# ---------------------------------------------------------------- as text


def head(machine: dict, versions: dict[str, str]) -> str:
    """The first lines of ``vidbench env``: packages and machine."""
    memory = f", {machine['memory_gb']:g} GB memory" if "memory_gb" in machine else ""
    return (
        ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"\n{machine['system']}, {machine['cores']} cores{memory}, {machine['free_gb']:g} GB free in this folder"
    )


def line(trial: Trial) -> str:
    """The line of one trial."""
    return f"  {trial.state:<7} {trial.name:<15} {trial.words}"


def tail(found: Found) -> str:
    """The last lines: programs, and what is missing for what."""
    lines = ["", "programs", *(f"  {'found':<7} {name:<15} for {purpose}" for name, purpose in found.tools.items())]
    if "RAR archives" not in found.tools.values():
        lines.append(f"  {'absent':<7} {'unar':<15} for RAR archives; your system's package of that name brings it")
    lines += ["", "not installed" if found.missing else "no extra of vidbench lacks a package"]
    for extra, packages in found.missing.items():
        lines.append(f"  {', '.join(packages)}: for {PURPOSES.get(extra, extra)}; pip install 'vidbench[{extra}]'")
    return "\n".join(lines)


def text_of_json(found: Found) -> str:
    """All of it for programs."""
    return json.dumps({**dataclasses.asdict(found), "works": found.works}, indent=1)


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # what was imported takes its time to end, and nothing is left to be written
