"""The README: every command in it runs, every figure in it is made by a command, every link leads somewhere.

Commands run in a copy of the checkout, in the README's order, as a reader would type them. One that needs the internet,
videos that are not here, minutes, or a terminal of its own has a stand-in below, with the reason. A command that is
neither run nor listed cannot be: the test takes all of them, and a stand-in for a command that is gone fails too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import free_port

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = ("make", "python", "vidbench", "source", "docker", "pip", "git", "cd")
CLIP = "data/vidmini/videos/SitDown/v_SitDown_g01_c01.mp4"


def module(name: str, path: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    made = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@dataclass(frozen=True)
class Instead:
    """What is run in place of a command, and why.

    Args:
        command: the stand-in; words after ``+`` are put behind the README's own command.
        reason: why the command itself is not run.
        status: exit status that is right.
        says: a text that the output must hold.
        serves: it goes on until it is stopped; the text is its first line.
    """

    command: str
    reason: str
    status: int = 0
    says: str = ""
    serves: bool = False


MAKES = "makes an environment of 9 GB; tests/test_bootstrap.py runs the same file with a stub"
VIDEOS = "needs videos that nobody may ship"
INTERNET = "needs the internet"
MINUTES = "takes minutes on the whole set"
SERVES = "serves until it is stopped"
INSTEAD = {
    "make evaluate": Instead(
        "python scripts/evaluate.py @scripts/config.txt", MAKES, says="top-1 100.0 % [97.4, 100.0]"
    ),
    "make test": Instead("python -m pytest --version", MAKES, says="pytest"),
    "make lab": Instead("python -m jupyterlab --version", "opens a browser; tests/test_lab.py does"),
    "make html": Instead(
        "python scripts/notebooks.py --help", "takes a minute; tests/test_notebooks.py does", says="html"
    ),
    "python scripts/bootstrap.py evaluate": Instead("python scripts/bootstrap.py --help", MAKES, says="evaluate"),
    "python scripts/bootstrap.py test": Instead("python scripts/bootstrap.py --help", MAKES, says="test"),
    "source .venv/bin/activate": Instead("vidbench --version", "this test runs in an environment", says="vidbench "),
    "vidbench env": Instead("+ --help", "takes 20 s; tests/test_command.py does", says="decoders"),
    "python scripts/evaluate.py @scripts/configs/kinetics400-r2plus1d.txt --dry-run": Instead(
        "+", VIDEOS, status=2, says="data/raw/kinetics400"
    ),
    "vidbench fetch kinetics400 --per-class 2 --dry-run": Instead(
        "vidbench fetch vidmini --split train --per-class 2 --dry-run", INTERNET
    ),
    "vidbench check ucf101 --leaks": Instead("vidbench check vidmini --limit 12", VIDEOS, says="vidmini"),
    "vidbench convert ucf101 --to list --out lists/ucf101.txt": Instead(
        "vidbench convert vidmini --to list --out lists/vidmini.txt", VIDEOS, says="144"
    ),
    "vidbench extract-frames hmdb51 --frames 16 --out DIR": Instead(
        "vidbench extract-frames vidmini --split test --frames 1 --out DIR", VIDEOS
    ),
    "vidbench temporal --model mini2d --dataset vidmini": Instead(
        "+ --limit 12 --changes shuffle --single-frame none", MINUTES, says="shuffle"
    ),
    "vidbench robustness --model mini2d --dataset vidmini": Instead(
        "+ --limit 12 --corruptions gaussian-noise --severities 1 --single-frame none", MINUTES, says="noise"
    ),
    "vidbench audit-decoders --model mini2d --dataset vidmini": Instead("+ --limit 12", MINUTES, says="opencv"),
    "vidbench fetch vidmini --split train": Instead("+ --per-class 8", MINUTES),
    "vidbench train @scripts/configs/train-vidmini.txt --data-dir data/clips/vidmini": Instead(
        "+ --epochs 1 --no-tensorboard", MINUTES, says="train-vidmini"
    ),
    "vidbench evaluate --weights results/train-vidmini/best.safetensors": Instead(
        "+ --limit 12", MINUTES, says="top-1"
    ),
    "vidbench predict clip.mp4 --model r2plus1d_18.kinetics400_v1": Instead(
        "+ --weights random", INTERNET, says="400 classes of kinetics400"
    ),
    "vidbench predict https://example.org/clip.mp4": Instead(
        "+ --help", "needs the internet; tests/test_command.py fetches from this machine", says="addresses"
    ),
    "vidbench evaluate --model r2plus1d_18.kinetics400_v1 --dataset folder --data-dir my-videos --label-map my.csv": (
        Instead(
            "vidbench evaluate --model mini2d --dataset folder --data-dir my-videos --label-map my.csv",
            INTERNET,
        )
    ),
    "vidbench browse vidmini": Instead("+ --port 0", SERVES, says="are shown at", serves=True),
    "vidbench browse folder --data-dir my-videos": Instead("+ --port 0", SERVES, says="are shown at", serves=True),
    "vidbench browse": Instead("+ --port 0", SERVES, says="are shown at", serves=True),
    "python scripts/walkthrough.py": Instead("+ --help", "takes a minute; tests/test_walkthrough.py does"),
    "python scripts/train_mini.py": Instead("+ --help", "takes 25 minutes; the cards keep what it found"),
    "python scripts/mini_hardness.py": Instead("+ --help", "takes minutes; the cards keep what it found"),
    "python scripts/make_mini.py OUT --split test --seed 1 --per-class 100": Instead(
        "python scripts/make_mini.py OUT --split test --seed 1 --per-class 1", MINUTES, says="12 clips"
    ),
}
INSTEAD_PYTHON = {  # a line of a block of Python → what is run in its place: the weights are not here
    'backbone_weights="IMAGENET1K_V1"': 'weights="random"',
    'backbone_weights="resnet50.pth"': 'weights="random"',
}
NO_COMMANDS = {  # in backquotes, but nothing to type
    "vidbench NAME",
    "python scripts/NAME.py",
}


# --- what the README says


def blocks(kind: str) -> list[str]:
    """The fenced blocks of a kind; an empty one has no word behind its fence."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.S | re.M)
    return [block for name, block in found if name == kind]


def is_command(line: str) -> bool:
    return line.split(" ")[0] in PROGRAMS


def commands() -> list[str]:
    """Every command of the README in order: lines of fenced blocks, and words in backquotes after a program's name."""
    found = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```|(?<!`)`([^`\n]+)`(?!`)", README, flags=re.S | re.M):
        kind, block, inline = match.groups()
        lines = [inline] if inline else block.splitlines() if kind != "python" else []
        lines = [re.split(r"\s+# ", line)[0].strip() for line in lines]
        found += [line for line in lines if is_command(line) and " " in line and line not in NO_COMMANDS]
    return list(dict.fromkeys(found))


def test_the_reader_of_commands_sees_blocks_and_backquotes():
    found = commands()
    assert "make evaluate" in found
    assert "vidbench power 0.80 0.85" in found
    assert "vidbench ls runs" in found
    assert not [line for line in found if "#" in line]


def test_a_block_without_a_kind_holds_commands_or_what_one_printed():
    for block in blocks(""):
        lines = [line for line in block.splitlines() if line.strip()]
        of_commands = [line for line in lines if is_command(line)]
        assert len(of_commands) in (0, len(lines)), f"no program of {PROGRAMS} begins one of these lines:\n{block}"


def test_every_exception_is_about_a_command_that_is_there():
    assert set(INSTEAD) <= set(commands())
    assert all(text in README for text in (*INSTEAD_PYTHON, *NO_COMMANDS))


# --- running it


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of what git tracks, with the reader's own videos beside it."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("readme") / "vidbench"
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    shutil.copyfile(folder / CLIP, folder / "clip.mp4")
    lines, videos = ["dataset_label,model_label"], ["path,label,group"]
    for number, (own, theirs) in enumerate((("sitting", "SitDown"), ("standing", "StandUp"))):
        lines.append(f"{own},{theirs}")
        (folder / "my-videos" / own).mkdir(parents=True)
        for video in sorted((folder / "data" / "vidmini" / "videos" / theirs).glob("*_c01.mp4"))[:4]:  # four sources
            shutil.copyfile(video, folder / "my-videos" / own / f"{number}{video.name}")
            videos.append(f"{own}/{number}{video.name},{own},{video.stem[:-4]}")
    (folder / "my.csv").write_text("\n".join(lines) + "\n")
    (folder / "my-list.csv").write_text("\n".join(videos) + "\n")
    return folder


def start(command: str, folder: Path) -> subprocess.Popen:
    program, *words = shlex.split(command)
    head = {"python": [sys.executable], "vidbench": [sys.executable, "-m", "vidbench"]}[program]
    env = {key: value for key, value in os.environ.items() if not key.startswith(("VIDBENCH_", "CDSW_"))}
    env |= {"PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": "", "CDSW_APP_PORT": str(free_port())}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([*head, *words], cwd=folder, env=env, text=True, **pipes)


def problem_of(command: str, folder: Path) -> str:
    """What is wrong with a command of the README, or nothing."""
    instead = INSTEAD.get(command, Instead("+", ""))
    run = command + instead.command[1:] if instead.command.startswith("+") else instead.command
    if instead.serves:
        return problem_of_server(run, instead, folder)
    process = start(run, folder)
    said, _ = process.communicate(timeout=600)
    if process.returncode != instead.status or instead.says not in said or "Traceback" in said:
        return f"{run}\nended with status {process.returncode}:\n{said[-1500:]}"
    return ""


def problem_of_server(run: str, instead: Instead, folder: Path) -> str:
    with start(run, folder) as process:
        said = process.stdout.readline()
        process.send_signal(signal.SIGINT)
    return "" if instead.says in said else f"{run}\nsaid {said!r}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.name == "nt", reason="stops a server as POSIX does")
def test_every_command_of_the_readme_runs(copy):
    problems = [problem for command in commands() if (problem := problem_of(command, copy))]
    assert not problems, "\n\n".join(problems)
    # what the page promises of machines that share a list
    whole, parts = (copy / "results" / name for name in ("mini_r2plus1d.vidmini_v1-vidmini-test", "whole"))
    assert (parts / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()
    # and the lines that stand below `make evaluate`
    (shown,) = [block for block in blocks("") if block.startswith("model ")]
    again = start("python scripts/evaluate.py @scripts/config.txt --report-only", copy).communicate(timeout=300)[0]
    steady = module("walkthrough", "scripts/walkthrough.py").steady
    said = again.strip().removesuffix("nothing was run: every row was there already").strip()
    assert steady(said) == steady(shown.strip())


@pytest.mark.slow
def test_the_python_of_the_readme_runs(copy):
    code = "\n".join(blocks("python"))
    for own, instead in INSTEAD_PYTHON.items():
        code = code.replace(own, instead)
    code += "\nprint(prediction.top(1))"
    (copy / "block.py").write_text(code)
    said = start("python block.py", copy).communicate(timeout=600)[0]
    assert re.search(r"\[\('SitDown', 0\.9\d+\)\]$", said.strip()), said


# --- its figures


def test_the_costs_of_the_environment_are_those_of_bootstrap():
    bootstrap = module("bootstrap_steps", "scripts/bootstrap_steps.py")
    assert (
        f"about {bootstrap.DOWNLOAD_GB} GB to download, {bootstrap.DISK_GB} GB on disk, {bootstrap.MINUTES} minutes"
        in README
    )
    assert bootstrap.COMMANDS["evaluate"] == shlex.split(INSTEAD["make evaluate"].command)[1:]


def card(model: str) -> dict:
    return json.loads((ROOT / "vidbench" / "weights" / f"{model}.vidmini_v1.json").read_text())


def cell(figure: dict) -> str:
    """``97.9 % [89.1, 99.6], n=48``, with 100 where it is 100."""
    value, low, high = (f"{100 * figure[name]:.1f}".replace("100.0", "100") for name in ("value", "low", "high"))
    return f"{value} % [{low}, {high}], n={figure['n']:,}"


@pytest.mark.parametrize(
    ("row", "measured"),
    [
        ("shipped (seed 0)", "data/vidmini"),
        ("drawn afresh, seed 1", "test split of seed 1"),
        ("drawn afresh, seed 2", "test split of seed 2"),
    ],
)
def test_the_figures_of_the_mini_models_are_those_on_their_cards(row, measured):
    """`python scripts/train_mini.py` measures them and writes the cards."""
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {row} |")]
    r2plus1d, mini2d = (card(model)["measured"][measured] for model in ("mini_r2plus1d", "mini2d"))
    cells = [row, cell(r2plus1d["top1"]), cell(mini2d["appearance"]), cell(mini2d["inside_all_pairs"])]
    assert [part.strip() for part in line.strip("|").split("|")] == cells


def test_the_figures_of_the_linear_model_are_those_on_the_cards():
    kinds = card("mini2d")["hardness"]["kinds"].values()
    found = [sorted(round(100 * kind[name]["value"]) for kind in kinds) for name in ("appearance", "inside_all_pairs")]
    said = re.search(r"reaches (\d+) to (\d+) % on the\s+appearance classes and (\d+) to (\d+) % inside pairs", README)
    assert list(map(int, said.groups())) == [found[0][0], found[0][-1], found[1][0], found[1][-1]]


# --- its links and order


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_every_link_leads_somewhere(page):
    tool = module("notebooks_tool", "scripts/notebooks.py")
    path = ROOT / page
    assert tool.link_problems(path.read_text(encoding="utf-8"), path.parent) == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_order_is_that_of_what_people_come_for():
    heads = re.findall(r"^## (.*)$", README, re.M)
    assert heads[:6] == ["Learn", "Benchmark", "Train", "Your own videos", "On Cloudera AI (CML)", "On many machines"]
    assert README.index("![") < README.index("make evaluate") < README.index("## Learn")
