"""The documents say what is so: messages exist, recipes run, versions agree, the Dockerfile is clean."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vidbench

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def beside_python(program: str) -> str:
    """A program that the environment brings."""
    return str(Path(sys.executable).with_name(program))


# --- adding a model and a dataset


def fenced(text: str, kind: str) -> list[str]:
    """The blocks of a kind; an empty one has no word behind its fence."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.S | re.M)
    return [block for name, block in found if name == kind]


@pytest.fixture(scope="module")
def extended(tmp_path_factory, make_video) -> Path:
    """A copy of the library with the blocks of docs/extending.md put where their first lines say."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "vidbench", folder / "vidbench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data" / "vidmini", folder / "data" / "vidmini")
    (folder / "pyproject.toml").write_text("# a checkout\n")
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    for block in fenced(page, "python") + fenced(page, "text"):
        head, _, body = block.partition("\n")
        place = folder / head.removeprefix("# ").partition(",")[0]
        if "in _CARDS" in head:
            text = place.read_text(encoding="utf-8")
            place.write_text(text.replace("_CARDS = (\n", "_CARDS = (\n" + body, 1), encoding="utf-8")
        else:
            place.write_text(body, encoding="utf-8")
    models = folder / "vidbench" / "models.py"
    text = models.read_text(encoding="utf-8")
    for before in ("transformers, tsn", "transformers, pytorchvideo)"):
        assert before in text
        text = text.replace(before, before.replace("transformers, ", "transformers, tiny, "), 1)
    models.write_text(text, encoding="utf-8")
    for label, number in (("nod", 20), ("wave", 30)):
        make_video(folder / "data" / "raw" / "gestures" / "test" / label / f"{label}.mp4", num_frames=number)
    return folder


@pytest.mark.slow
def test_a_model_and_a_dataset_are_added_by_the_blocks_of_the_page(extended):
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    commands = [line for block in fenced(page, "") for line in block.splitlines()]
    assert len(commands) == 6
    env = {**os.environ, "PYTHONPATH": str(extended), "CUDA_VISIBLE_DEVICES": ""}
    for command in commands:
        words = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(words, cwd=extended, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout[-500:]}\n{done.stderr[-1500:]}"
        assert re.search("tiny|gestures", done.stdout)
    metrics = json.loads(next(extended.glob("results/tiny*gestures*/metrics.json")).read_text())
    assert metrics["n_listed"] == 2


def test_a_model_takes_some_twenty_lines_and_so_does_a_dataset():
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    model, dataset = page.split("## A dataset")
    for part in (model, dataset):
        lines = [line for block in fenced(part, "python") + fenced(part, "text") for line in block.splitlines()]
        assert 5 < len([line for line in lines if line.strip() and not line.startswith("#")]) <= 20


# --- messages


def messages_in_code() -> list[str]:
    """Every text in the code, with … for what is put in; neighbouring literals are one text."""
    texts = []
    for folder in ("vidbench", "scripts", "cml"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                    texts.append("".join(map(str, parts)))
    texts = [re.sub(r"%[sdr]|%\.\d[fg]", "…", text) for text in texts]  # a logger's messages
    return [" ".join(text.split()) for text in texts]


def messages_on_the_page() -> list[str]:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    return [line.removeprefix("> ") for line in page.splitlines() if line.startswith("> ")]


def said_by(message: str, texts: list[str]) -> bool:
    """Whether one text of the code holds the message's parts between its … in their order."""
    parts = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
    pattern = re.compile(".*".join(parts))
    return any(pattern.search(text) for text in texts)


def test_the_reader_of_messages_tells_what_is_said_from_what_is_not():
    texts = ["a … is gone; make it again"]
    assert said_by("a … is gone; make it again", texts)
    assert said_by("… is gone", texts)
    assert not said_by("a … was gone; make it again", texts)
    assert not said_by("make it again … is gone", texts)


def test_every_message_of_the_page_is_one_that_the_code_says():
    messages, texts = messages_on_the_page(), messages_in_code()
    assert len(messages) >= 20
    assert [message for message in messages if not said_by(message, texts)] == []
    for message in messages:  # no message of placeholders alone
        assert max(map(len, message.split("…"))) >= 15, message


# --- versions, citation, container


def test_version_changelog_and_citation_agree():
    changelog = (DOCS / "CHANGELOG.md").read_text(encoding="utf-8")
    version, date = re.search(r"^## (\S+), (\d{4}-\d\d-\d\d)$", changelog, re.M).groups()
    citation = dict(re.findall(r"^([\w-]+): (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M))
    assert version == vidbench.__version__ == citation["version"]
    assert date == citation["date-released"]
    assert citation["license"] == "Apache-2.0"


def test_the_citation_file_fits_its_schema():
    command = [beside_python("check-jsonschema"), "--builtin-schema", "vendor.citation-file-format", "CITATION.cff"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_a_citation_without_its_title_is_refused(tmp_path):
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    (tmp_path / "bad.cff").write_text(re.sub(r"^title: .*\n", "", text, flags=re.M))
    command = [beside_python("check-jsonschema"), "--builtin-schema", "vendor.citation-file-format", "bad.cff"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1


def test_the_dockerfile_has_no_faults_that_hadolint_knows():
    done = subprocess.run(
        [beside_python("hadolint"), ".ci/Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_runs_what_is_there():
    text = (ROOT / ".ci" / "Dockerfile").read_text(encoding="utf-8")
    image = re.search(r"^FROM python:(3\.\d+)", text, re.M)[1]
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f"Python :: {image}" in pyproject
    words = json.loads(re.search(r"^CMD (.*)$", text, re.M)[1])
    assert words[0] == "evaluate"
    assert (ROOT / words[1].removeprefix("@")).is_file()
    assert ".venv" in (ROOT / ".ci" / "Dockerfile.dockerignore").read_text()
