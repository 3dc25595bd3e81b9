"""What Tab completes after ``vidbench``: commands, options, models, datasets, files. Written out by shtab."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence

import shtab

from vidbench.data.catalog import ALIASES, DATASETS
from vidbench.flags import make_parser
from vidbench.kinds import path, paths
from vidbench.models import list_models
from vidbench.option_kinds import files_or_addresses


def script(shell: str, commands: Mapping) -> str:
    """The completion script of a shell.

    Args:
        shell: one of ``ask_arguments.SHELLS``.
        commands: name → ``cli.Command``.
    """
    return shtab.complete(parser(commands), shell)


def parser(commands: Mapping) -> argparse.ArgumentParser:
    """All commands with their options as one ``argparse`` parser, with the values that they can have."""
    whole = argparse.ArgumentParser(prog="vidbench", description="Learn video classification, and measure it.")
    words = whole.add_subparsers()
    for name, command in commands.items():
        program = command.program
        made = make_parser(program)
        _give_values(made, program.options)
        added = words.add_parser(name, help=command.about, parents=[made], add_help=False)
        _add_first(added, program.first, made)
    return whole


def _give_values(made: argparse.ArgumentParser, options: type) -> None:
    """Tell the parser's options which values Tab offers."""
    kinds = {field.name: field.metadata["kind"] for field in dataclasses.fields(options)}
    named = {"model": list_models(), "dataset": [*DATASETS, *ALIASES]}
    for action in made._actions:
        kind = kinds.get(action.dest)
        if choices := named.get(action.dest) or getattr(kind, "names", None):
            action.choices = choices
        elif kind in (path, paths, files_or_addresses) or action.dest == "weights":
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # how shtab wants it


def _add_first(added: argparse.ArgumentParser, first: Sequence[str], made: argparse.ArgumentParser) -> None:
    """The words that may stand first without their flags, as positional arguments with the same values."""
    options = {action.dest: action for action in made._actions}
    for dest in first:
        one = added.add_argument(
            f"first_{dest}", nargs="*" if options[dest].nargs else "?", choices=options[dest].choices
        )
        if hasattr(options[dest], "complete"):
            one.complete = options[dest].complete  # type: ignore[attr-defined]
