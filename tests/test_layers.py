"""Imports point downwards, light modules stay light, and nothing dangerous is written down."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vidbench"

LAYERS = [  # a module imports only from the lines above its own
    "import_guard utils records intervals",
    "published studies kinds endings data.drawn.ink data.classes",
    "words",
    "metrics flags plots.figure plots.words data.members data.parts",
    "data.catalog data.sample data.web data.disk data.near data.ledger data.video data.ends data.drawn.places",
    "calibration views power diagrams data.tars data.download data.pictures data.packets nets.padding plots",
    "data.drawn",
    "data.drawn.actions",
    "data.drawn.shots",
    "ensemble data.archives data.lists data.strict data.journal data.split data.mini data.barcode data.retime tflite",
    "visualize data.layouts data.foreign nets.inflate nets.backbone nets.i3d checkpoints gpu runs progress",
    "data.index data.decode data.parents",
    "data.process",
    "data.corrupt data.cache data.flow data.spawning",
    "data.workers",
    "asked protocol stage_times predictions_csv page.fill",
    "scores remote manifest_words data.load data.stored data.order data.arriving nets cards.card",
    "data.held data.sources data.strips",
    "data.fetch_plan page",
    "hubs hub_torch hub_transformers trained forward summary report review notebook cards",
    "data.survey data.fetch data.practice",
    "data.findings",
    "data.leaks",
    "models transcode data.check data.exports compare",
    "predict data.extract mini_recipe augment optimise explain tokens costs",
    "plan export probe samplers distil",
    "manifest local",
    "estimate devices",
    "evaluate distribute",
    "serve cells browse variants doctor train_data answer environment",
    "browse_answers panels.panel panels.choosing option_kinds merge temporal robustness audit train_task listing",
    "browse_data panels.player old_flags evaluate_checks shared_options completion",
    "browse_server panels evaluate_arguments run_arguments check_arguments fetch_arguments list_arguments",
    "widgets doctor_arguments train_arguments study_arguments ask_arguments",
    "arguments browse_arguments learner engines",
    "trainer",
    "first_steps preview",
    "train",
    "cli",
    "__main__",
]
# Said to be light: --help, decoding workers and a notebook's first cell import them.
LIGHT = [
    "vidbench",
    "records",
    "utils",
    "flags",
    "kinds",
    "words",
    "endings",
    "metrics",
    "arguments",
    "models",
    "progress",
    "report",
    "data.*",
]
LIGHT += ["option_kinds", "shared_options", "evaluate_arguments", "evaluate_checks", "old_flags", "train_arguments"]
LIGHT += ["check_arguments", "fetch_arguments", "list_arguments", "doctor_arguments", "summary", "predictions_csv"]
LIGHT += [
    "review",
    "transcode",
    "intervals",
    "calibration",
    "views",
    "scores",
    "power",
    "compare",
    "run_arguments",
    "study_arguments",
    "diagrams",
    "ensemble",
    "cli",
    "ask_arguments",
    "browse_arguments",
    "browse_answers",
    "browse_data",
    "listing",
    "environment",
    "completion",
    "published",
    "asked",
    "protocol",
    "studies",
]
ALONE = {"tensorflow": "hubs", "tensorflow_hub": "hubs", "ray": "distribute", "ipywidgets": "panels"}

LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names.split()}


def module_name(path: Path) -> str:
    """``data.decode`` for vidbench/data/decode.py; a package's ``__init__`` is the package's own name."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def level_of(module: str) -> int:
    """A module has its own place, or that of the package it lies in (``nets.i3d`` is in ``nets``)."""
    for name in (module, module.rpartition(".")[0]):
        if name in LEVELS:
            return LEVELS[name]
    pytest.fail(f"vidbench/{module.replace('.', '/')}.py has no place: give it one in LAYERS of {__file__}")


def imported_names(tree: ast.AST, module: str, is_package: bool) -> set[str]:
    """Absolute names of everything imported anywhere in a module, also within functions."""
    package = ["vidbench", *[part for part in module.split(".") if part]]
    if not is_package:
        package = package[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return found


@functools.cache
def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    return imported_names(ast.parse(path.read_text(encoding="utf-8")), module, path.name == "__init__.py")


def own_imports(module: str) -> set[str]:
    """The modules of vidbench that a module imports, without packages' names and itself."""
    names = {name.removeprefix("vidbench.") for name in imports_of(module) if name.startswith("vidbench.")}
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    return {name for name in names if name in MODULES and name not in packages} - {module}


def test_the_reader_of_imports_sees_every_form():
    source = "import a.b\nfrom . import c\nfrom ..x import d\ndef f():\n    from vidbench import e\n    __import__('g')"
    names = imported_names(ast.parse(source), "data.decode", False)
    assert {"a.b", "vidbench.data.c", "vidbench.x.d", "vidbench.e", "g"} <= names


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if path.name != "__init__.py"])
def test_imports_point_downwards(module):
    level = level_of(module)
    for imported in sorted(own_imports(module)):
        assert level_of(imported) < level, f"{module} imports upwards: {imported}"


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_packages_import_nothing_but_the_guard(module):
    assert own_imports(module) <= {"import_guard"}


@pytest.mark.parametrize("library", ALONE)
def test_one_module_or_package_alone_imports(library):
    importers = {
        module.split(".")[0] for module in MODULES if any(name.split(".")[0] == library for name in imports_of(module))
    }
    assert importers <= {ALONE[library]}


def test_the_cache_knows_every_module_that_shapes_pixels():
    """A clip that an older rule made is not used: keys hold the source of all that decode.py and the others import."""
    from vidbench.data.cache import SHAPING

    shaping, new = set(), {f"data.{name.removesuffix('.py')}" for name in SHAPING}
    while new:
        shaping |= new
        new = {name for module in new for name in own_imports(module) if name.startswith("data.")} - shaping
    assert sorted(f"{name.removeprefix('data.')}.py" for name in shaping) == sorted(SHAPING)


def test_no_function_is_longer_than_a_screen():
    """60 lines with signature and docstring; whoever needs more says here why."""
    reasons: dict[str, str] = {}
    long = set()
    for path in [path for folder in (PACKAGE, ROOT / "scripts", ROOT / "cml") for path in folder.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 60:
                long.add(f"{path.relative_to(ROOT)}: {node.name}")
    assert long == set(reasons)


def light_modules() -> list[str]:
    wanted = [name for pattern in LIGHT for name in MODULES if re.fullmatch(pattern.replace("*", r"\w+"), name)]
    return ["vidbench", *[f"vidbench.{name}" for name in wanted]]


# One process imports NumPy once; each module is then imported in a fork of it, where nothing of ours is.
LIGHT_IMPORTS = """
import importlib, json, os, sys
HEAVY = set("torch torchvision tensorflow transformers pandas sklearn matplotlib ray ipywidgets lightning".split())

def watch(event, arguments):
    if event.startswith("socket.") or event == "os.mkdir":
        raise SystemExit(f"{event} while importing")

def problem_of(module):
    try:
        importlib.import_module(module)
    except BaseException as problem:
        return f"{type(problem).__name__}: {problem}"
    loaded = sorted({name.split(".")[0] for name in sys.modules} & HEAVY)
    return f"loads {loaded}" if loaded else ""

def in_a_fork(module):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, problem_of(module).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as said:
        text = said.read()
    status = os.waitstatus_to_exitcode(os.wait()[1])
    return text or (f"ended with {status}" if status else "")

sys.dont_write_bytecode = True
sys.addaudithook(watch)
import numpy
assert not [name for name in sys.modules if name.partition(".")[0] in HEAVY | {"vidbench"}]
print(json.dumps({module: in_a_fork(module) for module in sys.argv[1:]}))
"""


def problems_of_imports(modules: list[str], folder: Path) -> dict[str, str]:
    """Module → what is wrong with importing it in a process that has loaded no other of vidbench; "" for nothing."""
    command = [sys.executable, "-c", LIGHT_IMPORTS, *modules]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_light_modules_load_nothing_heavy_and_open_no_socket(tmp_path):
    found = problems_of_imports(light_modules(), tmp_path)
    assert set(found) == set(light_modules())
    assert {module: problem for module, problem in found.items() if problem} == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_light_module_may_not_do_is_seen(tmp_path):
    sources = {
        "heavy": "import pandas",
        "asks": "import socket; socket.socket()",
        "makes": "import os; os.mkdir('folder')",
        "wrong": "import nosuch",
        "dies": "import os; os.abort()",
        "fine": "import numpy",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    found = problems_of_imports(list(sources), tmp_path)
    assert re.match(r"loads \['pandas'", found["heavy"])
    assert found["asks"] == "SystemExit: socket.__new__ while importing"
    assert found["makes"] == "SystemExit: os.mkdir while importing"
    assert found["wrong"] == "ModuleNotFoundError: No module named 'nosuch'"
    assert (found["dies"], found["fine"]) == ("ended with -6", "")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_importing_vidbench_takes_a_moment(tmp_path):
    code = "import time; start = time.perf_counter(); import vidbench; print(time.perf_counter() - start)"
    run = [sys.executable, "-c", code]
    times = [
        float(subprocess.run(run, cwd=tmp_path, env=environment(), capture_output=True, check=True, text=True).stdout)
        for _ in range(3)
    ]
    assert min(times) < 0.1  # seconds; some 2 ms here


# --- what must not be written down


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True).stdout
    files = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in files if path.is_file() and not path.is_symlink()]


def sources() -> list[tuple[str, str]]:
    """Every tracked Python file and every code cell of a tracked notebook, as (place, source)."""
    found = []
    for path in tracked_files():
        place = str(path.relative_to(ROOT))
        if path.suffix == ".py":
            found.append((place, path.read_text(encoding="utf-8")))
        elif path.suffix == ".ipynb":
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            found += [
                (f"{place}, code cell {n}", re.sub(r"(?m)^\s*[%!].*$", "pass", text)) for n, text in enumerate(code)
            ]
    return found


def dangers(source: str) -> list[str]:
    """Calls that run code from data, trust a peer unseen, or unpack outside the folder."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in ("eval", "exec", "os.system") or re.search(r"(^|\.)(c?[pP]ickle|dill|joblib)\.loads?$", name):
            found.append(name)
        found += [
            f"{word}={value}"
            for word, value in (
                ("allow_pickle", "True"),
                ("verify", "False"),
                ("weights_only", "False"),
                ("shell", "True"),
            )
            if options.get(word) == value
        ]
        if name.endswith(".extractall") and "filter" not in options:
            found.append("extractall without filter")
        if name == "torch.load" and "weights_only" not in options:
            found.append("torch.load without weights_only")
        if name in ("yaml.load", "tempfile.mktemp"):
            found.append(name)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(f)",
        "np.load(p, allow_pickle=True)",
        "requests.get(u, verify=False)",
        "torch.load(p, weights_only=False)",
        "torch.load(p)",
        "tar.extractall(p)",
        "eval('1')",
    ],
)
def test_the_reader_of_dangers_sees_each(source):
    assert dangers(source)


def test_the_reader_of_dangers_lets_the_safe_forms_pass():
    assert not dangers("model.eval()\ntar.extractall(p, filter='data')\nnp.load(p, allow_pickle=False)\n'eval(x)'")


def test_no_file_holds_a_dangerous_call():
    found = {place: bad for place, source in sources() if (bad := dangers(source))}
    assert not found


def test_no_file_names_a_place_on_one_machine():
    places = re.compile(rb"(?<![\w.~/-])/(?:" + rb"work|root|home/[a-z])" + rb"/")
    found = []
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" not in data[:8000] and places.search(data):
            found.append(f"{path.relative_to(ROOT)}: {places.search(data).group().decode()}")
    assert not found


def test_the_tree_in_the_readme_names_every_file_of_the_library_and_every_script():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^[│ ]*[├└]── ([\w.]+\.py) +\S", text, flags=re.M)
    kept = [*PACKAGE.glob("*.py"), *(PACKAGE / "data").glob("*.py"), *(ROOT / "scripts").glob("*.py")]
    assert sorted(named) == sorted(path.name for path in kept if path.name != "__init__.py")


def test_the_tree_in_the_readme_runs_from_the_ground_up():
    """It says of itself that each file imports only from those above it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("├── vidbench/")[2].partition("├── scripts/")[0]
    listed = re.findall(r"^│   (│   )?[├└]── (\w+)", text, flags=re.M)
    places = {("data." if within else "") + name: place for place, (within, name) in enumerate(listed)}
    lines = {module: places.get(module, places.get(module.rpartition(".")[0])) for module in MODULES}
    wrong = [
        f"{module} stands above {imported}"
        for module, line in lines.items()
        for imported in own_imports(module)
        if line is not None and lines[imported] is not None and line < lines[imported]
    ]
    assert not wrong
