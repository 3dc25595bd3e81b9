"""mypy finds nothing wrong in vidbench, but in the files listed here; pyproject.toml says how strictly it looks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Files that mypy has not been made content with: package → modules. Nothing may be added; one that is clean comes off.
NOT_YET = {
    "": """
        asked audit browse cells compare data_arguments devices distribute engines evaluate evaluate_arguments
        explain forward gpu hub_transformers hubs learner merge mini_recipe option_kinds predict probe protocol
        published report review robustness samplers temporal tokens train train_arguments train_data trained
        trainer transcode variants widgets
    """,
    "data": """
        archives arriving barcode cache findings corrupt decode download exports fetch journal layouts ledger
        lists load mini order packets parts pictures practice process stored strict survey tars video
    """,
    "nets": """
        backbone movinet s3d
    """,
    "plots": """
        counts curves figure sampling scores
    """,
}
EXPECTED = {f"{package}.{name}".strip(".") for package, names in NOT_YET.items() for name in names.split()}


def check_types(folder: Path, cache: Path) -> dict[str, list[str]]:
    """Module of ``folder``/vidbench → what mypy says of it, under this checkout's settings."""
    words = [
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--python-executable",
        sys.executable,
        "--cache-dir",
        str(cache),
    ]
    command = [sys.executable, "-m", "mypy", *words, "--no-error-summary"]
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        if match := re.match(r"vidbench/([\w/]+)\.py:\d+: error: ", line):
            found.setdefault(match[1].replace("/", ".").removesuffix(".__init__"), []).append(line)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_file_but_those_listed_has_an_error_that_mypy_finds(tmp_path):
    found = check_types(ROOT, tmp_path)
    assert found, "mypy said nothing, not even about the files that are listed"
    news = [line for module, lines in found.items() if module not in EXPECTED for line in lines]
    assert not news, "\n".join(news)


@pytest.mark.slow
def test_an_error_in_a_file_that_is_not_listed_is_seen(tmp_path):
    (tmp_path / "vidbench").mkdir()
    (tmp_path / "vidbench" / "__init__.py").touch()
    (tmp_path / "vidbench" / "power.py").write_text("def half(n: int) -> int:\n    return n / 2\n")
    assert "power" not in EXPECTED
    (line,) = check_types(tmp_path, tmp_path / "cache")["power"]
    assert "Incompatible return value" in line


def test_the_list_names_files_that_are_there_and_no_more_than_at_first():
    for module in EXPECTED:
        assert (ROOT / "vidbench" / (module.replace(".", "/") + ".py")).is_file(), f"{module} is gone: take it off"
    assert len(EXPECTED) <= 73
