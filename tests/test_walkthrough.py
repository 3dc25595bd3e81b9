"""The commands of docs/evaluation.md run, and say what the page says that they say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("walkthrough", ROOT / "scripts" / "walkthrough.py")
walkthrough = importlib.util.module_from_spec(spec)
spec.loader.exec_module(walkthrough)

PAGE = walkthrough.PAGE.read_text(encoding="utf-8")


def figures(text: str) -> list[str]:
    """Its percentages and counts of videos, in order: what must not depend on the machine."""
    return re.findall(r"-?\+?\d+\.\d (?:%|points)|n=\d+", text)


@pytest.mark.slow
def test_every_command_gives_the_output_that_stands_on_the_page(tmp_path):
    again = walkthrough.played(PAGE, tmp_path)
    assert figures(again) == figures(PAGE)
    assert len(walkthrough.steady(again)) == len(walkthrough.steady(PAGE))


def test_the_page_names_programs_and_options_that_are_there():
    commands = [
        line[2:] for block in walkthrough.BLOCK.findall(PAGE) for line in block.splitlines() if line[:2] == "$ "
    ]
    assert len(commands) >= 8
    for command in commands:
        assert (ROOT / command.split()[1]).is_file()


def test_what_depends_on_the_machine_is_taken_out_and_nothing_else():
    one, other = (
        "top-1 67.4 %, 1.5 ms a video\nspeed      9 clips/s",
        "top-1 67.4 %, 1.2 s a video\nspeed      1 clips/s",
    )
    assert walkthrough.steady(one) == walkthrough.steady(other)
    assert walkthrough.steady(one) != walkthrough.steady(other.replace("67.4", "67.3"))


def test_a_command_that_fails_ends_it_with_what_it_said(tmp_path):
    with pytest.raises(SystemExit, match=r"ended with status 2:\npower\.py: "):
        walkthrough.run("python scripts/power.py 0.8 0.8", tmp_path)
