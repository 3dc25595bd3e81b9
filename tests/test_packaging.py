"""What `pip install .` brings, and that it works without what is optional."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import vidbench

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CLIP = ROOT / "data" / "vidmini" / "videos" / "SitDown" / "v_SitDown_g01_c01.mp4"
OPTIONAL = ("tensorflow", "tensorflow_hub", "transformers", "huggingface_hub", "lightning", "pytorch_lightning")
OPTIONAL += ("tensorboard", "tensorboardX", "captum", "jupyterlab", "IPython", "ray", "imagehash", "fastapi", "mypy")


def package_files() -> list[str]:
    """Tracked files below vidbench/, relative to the checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "vidbench"], capture_output=True, check=True)
    return sorted(name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file())


# --- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the files that git tracks; no index is asked."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in [*package_files(), "pyproject.toml", "README.md", "LICENSE"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def fresh(wheel, tmp_path_factory) -> Path:
    """The ``bin`` of an environment that holds the wheel, and behind it the packages of this environment."""
    folder = tmp_path_factory.mktemp("fresh environment")
    venv.create(folder, with_pip=False)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / Path(sys.executable).name
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    # a line of a .pth file puts a folder behind the environment's own; this checkout's editable install stays unknown
    own = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (Path(packages) / "others.pth").write_text(own)
    return binaries


def plain_environment() -> dict[str, str]:
    """Variables without those that point to this checkout."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIDBENCH_"))}


def in_fresh(fresh: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess:
    env = plain_environment()
    words = [str(fresh / command[0]), *map(str, command[1:])]
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == set(package_files())
    assert "vidbench/py.typed" in inside


def test_the_wheel_says_which_pythons_it_is_for(wheel):
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        text = opened.read(name).decode()
        points = opened.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert f"Version: {vidbench.__version__}\n" in text
    assert set(re.findall(r"^Provides-Extra: (.*)$", text, re.M)) == set(PROJECT["optional-dependencies"])
    assert "vidbench = vidbench.cli:main" in points
    assert "vidbench = vidbench.import_guard:install" in points


@pytest.mark.slow
def test_an_installed_wheel_works_away_from_the_checkout(fresh, tmp_path):
    code = (
        "import vidbench, pathlib\n"
        "from vidbench.data.classes import LABELS_FOLDER, load_labels\n"
        "from vidbench.models import CARDS, labels_of\n"
        "lists = [len(load_labels(path.stem)) for path in LABELS_FOLDER.glob('*.txt')]\n"
        "for card in CARDS.values():\n"
        "    assert len(labels_of(card)) == card.num_classes, card.name\n"
        "print(vidbench.__file__, min(lists), len(lists))\n"
    )
    done = in_fresh(fresh, "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    file, fewest, count = done.stdout.rsplit(maxsplit=2)
    assert Path(file).is_relative_to(fresh.parent)
    assert int(fewest) > 1
    assert int(count) == len([name for name in package_files() if re.fullmatch(r"vidbench/data/labels/\w+\.txt", name)])
    done = in_fresh(fresh, "vidbench", "predict", CLIP, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].endswith("SitDown")
    words = ["--model", "mini2d", "--dataset", "vidmini", "--data-dir", CLIP.parents[2], "--limit", "12"]
    done = in_fresh(fresh, "vidbench", "evaluate", *words, "--device", "cpu", "--num-workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (report,) = tmp_path.glob("results/*/report.html")
    assert report.stat().st_size > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "results"]


@pytest.mark.slow
def test_an_installed_wheel_looks_for_datasets_in_the_current_folder(fresh, tmp_path):
    done = in_fresh(fresh, "vidbench", "evaluate", "--model", "mini2d", "--dataset", "vidmini", cwd=tmp_path)
    assert done.returncode == 2
    assert str(Path("data") / "vidmini") in done.stderr
    assert "Traceback" not in done.stderr
    assert "site-packages" not in done.stderr


# --- without what is optional

BLOCKED = f"""
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition('.')[0] in {OPTIONAL!r} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from vidbench.endings import run_program
"""
EXTRA = re.compile(r"pip install 'vidbench\[(\w+)\]' brings it")


def blocked(code: str, cwd: Path) -> subprocess.CompletedProcess:
    """Run code in a process in which nothing optional can be imported, ended as a script would be."""
    body = "\n".join(f"    {line}" for line in code.splitlines())
    text = f"{BLOCKED}\ndef main():\n{body}\n    return 0\nsys.exit(run_program(main, 'program'))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", text], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def test_the_block_blocks(tmp_path):
    done = blocked("import lightning", tmp_path)
    assert done.returncode == 1
    assert "No module named 'lightning'" in done.stderr


@pytest.mark.slow
def test_an_evaluation_needs_nothing_that_is_optional(tmp_path):
    words = ["--model", "mini2d", "--dataset", "vidmini", "--limit", "12", "--device", "cpu", "--num-workers", "1"]
    done = blocked(f"from vidbench.cli import dispatch\nreturn dispatch(['evaluate', *{words!r}])", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "top-1" in done.stdout
    assert len(list(tmp_path.glob("results/*/report.html"))) == 1


LOAD = "from vidbench.models import load_model\n"
TRAIN = "from vidbench.cli import dispatch\nreturn dispatch(['train', '--model', 'mini2d', '--dataset', 'vidmini'])"
GRAD_CAM = "from vidbench.explain import grad_cam\nimport numpy as np\n"
GRAD_CAM += "grad_cam(load_model('mini2d'), np.zeros((8, 56, 72, 3), np.uint8))"
FEATURES = {  # what needs something optional → the code that a user runs, and the extra it should name
    "training": (TRAIN, "train"),
    "transformers": (LOAD + "load_model('videomae_base', weights='random')", "transformers"),
    "TF-Hub": (LOAD + "load_model('i3d.tfhub_kinetics400', weights='folder')", "tensorflow"),
    "Grad-CAM": (LOAD + GRAD_CAM, "course"),
    "look-alikes": ("from vidbench.data.check import check_videos\ncheck_videos([], '.', codes=True)", "course"),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_missing_package_is_one_sentence_that_names_the_extra(feature, tmp_path):
    code, extra = FEATURES[feature]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "saved_model.pb").touch()
    done = blocked(code, tmp_path)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines) == 1
    assert EXTRA.findall(lines[0]) == [extra]
    assert "No module named" in lines[0]


def test_every_extra_that_code_names_is_there():
    named = set()
    for path in (ROOT / "vidbench").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"vidbench\[(\w+)\]", text)) | {
            node.args[1].value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "needs"
        }
    assert {"course", "train", "tensorflow"} <= named <= set(PROJECT["optional-dependencies"])


# --- what is written about the package


def test_the_same_pythons_are_named_everywhere():
    listed = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    bootstrap = (ROOT / "scripts" / "bootstrap_steps.py").read_text(encoding="utf-8")
    supported = ast.literal_eval(re.search(r"^SUPPORTED = (.*)$", bootstrap, re.M)[1])
    assert listed == [f"{major}.{minor}" for major, minor in supported]
    assert PROJECT["requires-python"] == f">={listed[0]},<3.{supported[-1][1] + 1}"


def other_pythons() -> dict[str, str]:
    """Version → a Python of it on this machine, for those that are supported and not running."""
    found = {}
    for version in re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"])):
        places = [shutil.which(f"python{version}")]
        places += map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        for place in filter(None, places):
            code = "import sys; print('%d.%d' % sys.version_info[:2])"
            done = subprocess.run([place, "-c", code], capture_output=True, text=True)
            if done.stdout.strip() == version:
                found[version] = place
    return found


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_other_pythons_compile_every_file_and_answer_help(version, tmp_path):
    python = other_pythons().get(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    names = [name for name in tracked_python_files() if name.endswith(".py")]
    code = (
        "import sys, warnings\nwarnings.simplefilter('error')\n"
        "for name in sys.stdin.read().split('\\0'):\n    compile(open(name, 'rb').read(), name, 'exec')"
    )
    command = [python, "-I", "-c", code]
    done = subprocess.run(command, cwd=ROOT, input="\0".join(names), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    env = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": ""}
    for words in (["-m", "vidbench", "--help"], ["-c", "import vidbench.utils, vidbench.records, vidbench.flags"]):
        done = subprocess.run([python, "-S", *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def tracked_python_files() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "*.py"], capture_output=True, check=True)
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.network
def test_every_extra_can_be_had(tmp_path):
    extras = ",".join(PROJECT["optional-dependencies"])
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-build-isolation", f"{ROOT}[{extras}]"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
