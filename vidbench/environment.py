"""What is installed here, what of it works, and what is missing for what.

Decoders, devices and libraries are tried, not only imported: each in a process of its own with a time limit, so that
one that crashes or hangs costs one line. Trials run with ``python -m vidbench.environment KIND NAME``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

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


def examine(seconds: float = 120.0) -> Found:
    """Try everything, two trials at a time.

    Args:
        seconds: what one trial may take.
    """
    wanted = [("decoder", name) for name in DECODERS] + [("device", "all")] + [("library", name) for name in LIBRARIES]
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda pair: run_trial(pair[0], pair[1], seconds), wanted)
    trials = tuple(trial for several in found for trial in several)
    facts = machine_facts() | {"free_gb": round(shutil.disk_usage(os.getcwd()).free / 1e9, 1)}
    tools = {name: purpose for name, purpose in TOOLS.items() if shutil.which(name)}
    return Found(facts, {"vidbench": __version__} | package_versions(), trials, tools, missing_packages())


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


def run_trial(kind: str, name: str, seconds: float) -> list[Trial]:
    """Run one trial in a process of its own; whatever becomes of it is an answer."""
    words = [sys.executable, "-P", "-m", "vidbench.environment", kind, name]
    paths = [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, env=env)
    except subprocess.TimeoutExpired:
        return [Trial(kind, name, "fails", f"not done within {seconds:g} s")]
    except OSError as problem:
        return [Trial(kind, name, "fails", f"no process could be started: {printable(problem, 120)}")]
    try:
        return [Trial(**line) for line in json.loads(done.stdout.decode().splitlines()[-1])]
    except (ValueError, IndexError, TypeError):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return [Trial(kind, name, "fails", f"ended with status {done.returncode}: {printable(' '.join(said), 160)}")]


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


def main(kind: str, name: str) -> int:
    """One trial; its outcome is the last line of standard output, as JSON."""
    try:
        trials = TRIALS[kind](name)
    except (VidbenchError, ImportError, OSError, RuntimeError, ValueError) as problem:
        trials = [Trial(kind, name, "fails", printable(problem, 200))]
    print("\n" + json.dumps([dataclasses.asdict(trial) for trial in trials]))
    return 0


# ---------------------------------------------------------------- as text


def text(found: Found) -> str:
    """What ``vidbench env`` prints."""
    machine = found.machine
    memory = f", {machine['memory_gb']:g} GB memory" if "memory_gb" in machine else ""
    lines = [
        ", ".join(f"{name} {version}" for name, version in found.versions.items()),
        f"{machine['system']}, {machine['cores']} cores{memory}, {machine['free_gb']:g} GB free in this folder",
    ]
    for kind, title in (("decoder", "decoders"), ("device", "devices"), ("library", "libraries")):
        lines += ["", title]
        lines += [f"  {trial.state:<7} {trial.name:<15} {trial.words}" for trial in found.trials if trial.kind == kind]
    lines += ["", "programs", *(f"  {'found':<7} {name:<15} for {purpose}" for name, purpose in found.tools.items())]
    if "RAR archives" not in found.tools.values():
        lines.append(f"  {'absent':<7} {'unar':<15} for RAR archives; your system's package of that name brings it")
    lines += ["", "not installed" if found.missing else "all that is optional is installed"]
    for extra, packages in found.missing.items():
        lines.append(f"  {', '.join(packages)}: for {PURPOSES.get(extra, extra)}; pip install 'vidbench[{extra}]'")
    return "\n".join(lines)


def text_of_json(found: Found) -> str:
    """The same for programs."""
    return json.dumps({**dataclasses.asdict(found), "works": found.works}, indent=1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
