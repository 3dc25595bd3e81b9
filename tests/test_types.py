"""mypy finds nothing wrong in our code; pyproject.toml says where and how strictly it looks."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def check_types(folder: Path, cache: Path, *below: str) -> list[str]:
    """What mypy says of what lies below a folder, under this checkout's settings, line by line."""
    words = [
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--python-executable",
        sys.executable,
        "--cache-dir",
        str(cache),
    ]
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MYPYPATH")}
    command = [sys.executable, "-m", "mypy", *words, *below]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """What mypy knows of the standard library, read once."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_mypy_finds_nothing(cache):
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]
    assert "vidbench" in folders
    number = sum(len(list((ROOT / folder).rglob("*.py"))) for folder in folders)
    found = check_types(ROOT, cache)
    assert found == [f"Success: no issues found in {number} source files"], "\n".join(found)


@pytest.mark.slow
def test_an_error_is_seen(tmp_path, cache):
    (tmp_path / "power.py").write_text("def half(n: int) -> int:\n    return n / 2\n")
    line, summary = check_types(tmp_path, cache, "power.py")
    assert line.startswith("power.py:2: error: Incompatible return value type")
    assert summary == "Found 1 error in 1 file (checked 1 source file)"
