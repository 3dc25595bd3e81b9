"""A dataclass becomes a command line: flags, groups and help out of its fields, and errors that say where.

A program's options are the fields of one frozen dataclass that derives from ``Options``. A notebook builds the
dataclass, a script calls ``Program.parse_or_exit``; both go through the same checks, because the checks belong to the
fields.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from vidbench.endings import BAD_OPTIONS
from vidbench.kinds import switch, takes_several
from vidbench.records import ConfigError
from vidbench.utils import printable, quoted, try_to_write, without_login
from vidbench.words import Given, Word, collect, expand

SHOW_AND_STOP = ("-h", "--help", "--version")

# ------------------------------------------------------------------------------------- options as fields


class OptionError(ConfigError):
    """A value that an option cannot have; ``option`` is the field's name, ``message`` what follows the flag."""

    def __init__(self, option: str, message: str):
        super().__init__(f"{flag_of(option)} {message}")
        self.option, self.message = option, message


def check_folder(name: str, folder: str) -> None:
    """Raises ``OptionError`` for the option ``name`` where its folder cannot be made or written to; leaves nothing."""
    try:
        try_to_write(Path(folder))
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        words = f"{quoted(folder, 160)} cannot be made or written to: {printable(reason, 80)}"
        raise OptionError(name, words) from None


def flag_of(field_name: str) -> str:
    """``batch_size`` as it is typed: ``--batch-size``."""
    return "--" + field_name.replace("_", "-")


def option(kind: Callable, help: str, *, group: str, default=dataclasses.MISSING, metavar: str = "N", shown: str = ""):
    """A field of an ``Options`` dataclass.

    Args:
        kind: checks and converts a value given as text or as a Python object; raises ``ValueError`` with words that
            follow the option's name ("must be ...").
        help: what the option does and what follows from it, with its unit.
        group: heading in ``--help``.
        default: absent for a required option; for one that is ``None`` where it is not given, as ``shown`` words it;
            and for a switch, which is off then. ``None`` is left unchecked.
        metavar: stands for the value in ``--help``.
        shown: how ``--help`` words the default, where the value does not speak for itself.
    """
    if default is dataclasses.MISSING and (shown or kind is switch):
        default = False if kind is switch else None
    metadata = {"kind": kind, "help": help, "group": group, "metavar": metavar, "shown": shown}
    return dataclasses.field(default=default, metadata=metadata)


def under(heading: str) -> Callable:
    """``option`` for all that stands under one heading of ``--help``."""
    return functools.partial(option, group=heading)


def like(options: type, name: str, **differences):
    """An option that another dataclass has too, but for the arguments of ``option`` that are given."""
    field = options.__dataclass_fields__[name]  # type: ignore[attr-defined]  # a dataclass, which no type says
    return option(**{**field.metadata, "default": field.default, **differences})


@dataclass(frozen=True)
class Options:
    """Base of a frozen dataclass whose fields are made by ``option``: checks every value when built.

    Raises:
        ConfigError: a value out of its range; the message says which are in it.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            try:
                object.__setattr__(self, field.name, field.metadata["kind"](value))
            except ValueError as problem:
                raise OptionError(field.name, str(problem)) from None

    def checked(self) -> Self:
        """This configuration once more, with what cards and files say filled in; here, as it is.

        Raises:
            ConfigError: options that do not go together, or name what is not there.
        """
        return self


Chosen = TypeVar("Chosen", bound=Options)


# ------------------------------------------------------------------------------------- the parser


@dataclass(frozen=True)
class Program(Generic[Chosen]):
    """A program's command line.

    Args:
        options: the dataclass of its options.
        name: file name of the script.
        description: one or two sentences for ``--help``.
        usage: the usage lines, without ``usage: ``.
        epilog: exit statuses and the like, shown as written.
        first: names of the options that words in front stand for without their flags; the last one gets all that are
            left.
        old_flags: names of an earlier program that stay valid, as ``--name``; each takes one value.
        translate: turns what was given under old names into what it became:
            ``translate(given) -> (given, notes)``.
    """

    options: type[Chosen]
    name: str
    description: str
    usage: str
    epilog: str = ""
    first: tuple[str, ...] = ()
    old_flags: tuple[str, ...] = ()
    translate: Callable | None = None

    def parse_or_exit(self, arguments: Sequence[str] | None = None) -> Chosen:
        """Options out of a command line; ``None`` takes that of this process.

        Notes go to standard error. A mistake is said there in one sentence, and ends the program with status 2.
        """
        program = self.as_started()
        try:
            made, notes = parse(program, sys.argv[1:] if arguments is None else list(arguments))
        except ConfigError as problem:
            said = without_login(str(problem))
            print(f"{program.name}: {said}\n({program.name} --help explains the options)", file=sys.stderr)
            raise SystemExit(BAD_OPTIONS) from None
        for note in notes:
            print(f"{program.name}: {without_login(note)}", file=sys.stderr)
        return made

    def as_started(self) -> Program[Chosen]:
        """The program under the name by which this process was started: ``vidbench NAME`` instead of ``NAME.py``."""
        if not started_as_vidbench():
            return self
        fields = ("name", "description", "usage", "epilog")
        texts: dict[str, Any] = {field: command_names(getattr(self, field)) for field in fields}
        return dataclasses.replace(self, **texts)


def started_as_vidbench() -> bool:
    """Whether the installed command ``vidbench``, or ``python -m vidbench``, runs this process."""
    file = os.path.abspath(sys.argv[0])
    return "vidbench" in (
        os.path.splitext(os.path.basename(file))[0],
        os.path.basename(os.path.dirname(file)) if os.path.basename(file) == "__main__.py" else "",
    )


def command_names(text: str) -> str:
    """Scripts by the names that the installed command has for them.

    >>> command_names("scripts/audit_decoders.py, python scripts/merge.py or evaluate.py")
    'vidbench audit-decoders, vidbench merge or vidbench evaluate'
    """
    scripts = re.compile(r"(?:python )?(?:\bscripts/)?\b([a-z][a-z_]*)\.py\b")
    return scripts.sub(lambda match: "vidbench " + match[1].replace("_", "-"), text)


def make_parser(program: Program) -> argparse.ArgumentParser:
    """A program's flags as an ``argparse`` parser, in the groups and words of its options."""
    from vidbench import __version__

    program = program.as_started()
    parser = argparse.ArgumentParser(
        prog=program.name,
        usage=program.usage,
        description=program.description,
        epilog=program.epilog,
        allow_abbrev=False,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    groups: dict = {}
    for field in dataclasses.fields(program.options):
        meta = field.metadata
        group = groups.setdefault(meta["group"], None) or parser.add_argument_group(meta["group"])
        groups[meta["group"]] = group
        how: dict[str, Any] = {"help": _help_of(field), "dest": field.name}
        if meta["kind"] is switch:
            group.add_argument(flag_of(field.name), action="store_true", **how)
        else:
            nargs = "+" if takes_several(meta["kind"]) else None
            group.add_argument(flag_of(field.name), metavar=meta["metavar"], nargs=nargs, **how)
    for flag in program.old_flags:
        parser.add_argument(flag, help=argparse.SUPPRESS)
    about = parser.add_argument_group("about this program")
    about.add_argument("-h", "--help", action="help", help="show this text and stop")
    about.add_argument("--version", action="version", version=f"vidbench {__version__}", help="show the version")
    return parser


def _help_of(field: dataclasses.Field) -> str:
    """Help text with the default put behind its first sentence."""
    shown = field.metadata["shown"]
    if field.default is dataclasses.MISSING:
        shown = "required"
    elif not shown and field.metadata["kind"] is not switch:
        shown = f"default: {_as_typed(field.default)}"
    head, stop, tail = field.metadata["help"].partition(". ")
    text = (head + (f" ({shown})" if shown else "") + stop + tail).replace("%", "%%")
    return command_names(text) if started_as_vidbench() else text


def _as_typed(value) -> str:
    """A default as it would be typed."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse(program: Program[Chosen], arguments: Sequence[str]) -> tuple[Chosen, list[str]]:
    """Command line → checked options.

    ``--help`` and ``--version`` print and leave with status 0.

    Returns:
        ``(options, notes)``: the dataclass, and sentences that the user should see.

    Raises:
        ConfigError: one sentence that begins with the place of the mistake where it has one.
    """
    _show_and_stop(arguments, program)  # also where another option is wrong
    given, notes = collect(_with_flags(expand(arguments), program), _takes(program))
    _show_and_stop(given, program)
    if program.translate:
        given, more = program.translate(given)
        notes += more
    return build(program.options, given), notes


def _with_flags(words: Sequence[Word], program: Program) -> list[Word]:
    """Words in front, typed without flags, with the flags that they stand for."""
    done, left = [], list(words)
    for name in program.first:
        if not left or left[0].place.line or left[0].text.startswith("-"):
            break
        metavar = program.options.__dataclass_fields__[name].metadata["metavar"]
        done += [Word(flag_of(name), left[0].place, metavar), left.pop(0)]
    return done + left


def _show_and_stop(words, program: Program) -> None:
    """Leave through the help or the version where they are asked for."""
    for word in SHOW_AND_STOP:
        if word in words:
            make_parser(program).parse_args([word])


def _takes(program: Program) -> dict[str, str]:
    """How many values each flag takes: ``none``, ``one`` or ``some``."""
    takes = dict.fromkeys(program.old_flags, "one") | dict.fromkeys(SHOW_AND_STOP, "none")
    for field in dataclasses.fields(program.options):
        kind = field.metadata["kind"]
        takes[flag_of(field.name)] = "none" if kind is switch else "some" if takes_several(kind) else "one"
    return takes


def build(options: type[Chosen], given: dict[str, Given]) -> Chosen:
    """Make and check the dataclass out of what was given; errors begin with the place that they are about."""
    missing = [
        flag_of(field.name)
        for field in dataclasses.fields(options)
        if field.default is dataclasses.MISSING and flag_of(field.name) not in given
    ]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} must be given, on the command line or in a file such as @config.txt"
        )
    try:
        return options(**{flag[2:].replace("-", "_"): item.value for flag, item in given.items()}).checked()
    except OptionError as problem:
        item = given.get(flag_of(problem.option))
        called = f"{item.called} {problem.message}" if item and item.called else str(problem)
        raise ConfigError(f"{item.place}: {called}" if item else called) from None
