"""Run every command of docs/evaluation.md in a folder of its own, and compare or write its output.

    python scripts/walkthrough.py            # says where the page and the outputs differ, exit status 1
    python scripts/walkthrough.py --write    # puts the outputs into the page

Commands are the lines that begin with ``$ `` in blocks of ```console. Outputs differ in speed and place only, so
those are taken out before they are compared.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evaluation.md"
BLOCK = re.compile(r"```console\n(.*?)```", flags=re.S)
CHANGING = (  # what depends on the machine or its load
    (r"^speed .*$", "speed"),
    (r"^note .*$", "note"),
    (r", [0-9.e+-]+ m?s a video", ", TIME a video"),
    (r" in [0-9]+ s; ", " in TIME; "),
    (r"\bon (cpu|cuda|mps)\b", "on DEVICE"),
    (r"\b(fp32|bf16|fp16)\b", "PRECISION"),
)


def run(command: str, folder: Path) -> str:
    """Standard output of a command of the page, run with this Python, results in ``folder``.

    Raises:
        SystemExit: it failed; with what it said.
    """
    words = shlex.split(command)
    assert words[0] == "python", command
    words = [sys.executable, *[str(ROOT / word) if word.startswith("scripts/") else word for word in words[1:]]]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{command}\nended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.rstrip() + "\n"


def played(page: str, folder: Path) -> str:
    """The page with every output made again."""

    def again(match: re.Match) -> str:
        commands = [line[2:] for line in match[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"$ {command}\n{run(command, folder)}" for command in commands) + "```"

    return BLOCK.sub(again, page)


def steady(text: str) -> list[str]:
    """Lines without what depends on the machine or its load."""
    for pattern, instead in CHANGING:
        text = re.sub(pattern, instead, text, flags=re.M)
    return text.splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the outputs into the page")
    args = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        now = played(page, Path(folder))
    if args.write:
        PAGE.write_text(now, encoding="utf-8")
        return 0
    lines = list(difflib.unified_diff(steady(page), steady(now), "docs/evaluation.md", "now", lineterm=""))
    print("\n".join(lines) or "every command of docs/evaluation.md gives the output that is there")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
