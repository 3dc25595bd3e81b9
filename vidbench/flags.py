"""A dataclass becomes a command line: flags, @files of flags, and errors that say where.

A program's options are the fields of one frozen dataclass that derives from ``Options``. A notebook builds the
dataclass, a script calls ``parse``; both go through the same checks, because the checks belong to the fields.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import functools
import importlib.util
import math
import os
import re
import shlex
import signal
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from vidbench.records import AnnotationError, ConfigError, VidbenchError, WeightsError
from vidbench.utils import nearest_hint, printable, try_to_write

Kind = TypeVar("Kind", bound=Callable)

MAX_FILE_BYTES = 256 * 1024  # of one @file: thousands of lines, and no device or video read by mistake
MAX_DEPTH = 20  # of @files within @files
FAILED, BAD_OPTIONS = 1, 2  # exit statuses; 2 is argparse's too
INTERRUPTED, TERMINATED = 130, 143  # a shell's for Ctrl-C, and for SIGTERM
NOT_OURS = {  # faults of a disk, or of rights on it → what helps
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a place that is yours to write"),
}
SHOW_AND_STOP = ("-h", "--help", "--version")

# ------------------------------------------------------------------------------------- kinds of values


def whole(low: int, high: int, word: str | None = None) -> Callable:
    """A whole number in ``[low, high]``, or ``word`` for ``None``."""

    def check(value):
        if value == word and word:
            return None
        digits = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
        if not re.fullmatch(r"[+-]?[0-9]{1,40}", digits) or not low <= int(digits) <= high:
            also = f", or '{word}'" if word else ""
            raise ValueError(f"must be a whole number from {low} to {high}{also}, not {quoted(value)}")
        return int(digits)

    return check


def number(low: float, high: float, unit: str) -> Callable:
    """A number above ``low`` and at most ``high``."""

    def check(value):
        try:
            result = float(value)
        except (TypeError, ValueError):
            result = math.nan
        if isinstance(value, bool) or not low < result <= high:
            raise ValueError(f"must be a number above {low:g} and at most {high:g} ({unit}), not {quoted(value)}")
        return result

    return check


def fraction(value) -> float:
    """A share of a whole: ``0.01`` or ``1%``."""
    text = str(value).strip()
    try:
        result = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        result = math.nan
    if isinstance(value, bool) or not 0 <= result <= 1:
        raise ValueError(f"must be a share from 0 to 1 such as 0.01, or a percentage such as 1%, not {quoted(value)}")
    return result


def one_of(*names: str) -> Callable:
    """One of a few words."""

    def check(value):
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {quoted(value)}")
        return value

    marked: Any = check
    marked.names = names  # for the completion of a shell
    return check


def text(value) -> str:
    """A word or words without control characters, at most 200 characters."""
    if not isinstance(value, str) or not value.strip() or len(value) > 200 or printable(value) != value:
        raise ValueError(f"must be a name, not {quoted(value)}")
    return value


def several(kind: Kind) -> Kind:
    """Mark a function that takes one value or a list of them."""
    marked: Any = kind
    marked.several = True
    return kind


def each(kind: Callable) -> Callable:
    """One value of a kind or several, as a tuple."""

    @several
    def check(value) -> tuple:
        """One or several, as a tuple."""
        return tuple(kind(item) for item in ((value,) if isinstance(value, (str, int, float)) else value))

    return check


def takes_several(kind: Callable) -> bool:
    """Whether an option of this kind takes one value or more: its function says so in ``several``."""
    return getattr(kind, "several", False)


def shard(value) -> str:
    """One part of several, ``1/4`` to ``4/4``."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value) if isinstance(value, str) else None
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"must be a part such as 1/4 (the first of four), not {quoted(value)}")
    return "/".join(str(number) for number in shard_numbers(value))


def shard_numbers(value: str) -> tuple[int, int]:
    """``(1, 4)`` for ``1/4``."""
    number, of = value.split("/")
    return int(number), int(of)


def path(value) -> str:
    """A path: ``~`` becomes the home folder; ``$NAME`` is refused, because only a shell expands it."""
    try:
        value = os.fspath(value)
    except TypeError:
        raise ValueError(f"must be a path, not {quoted(value)}") from None
    if not value or "\0" in value or len(value) > 4096:
        raise ValueError(f"must be a path, not {quoted(value)}")
    if re.search(r"\$[A-Za-z_{]", value):
        raise ValueError(f"holds a '$', which nothing expands here: write {quoted(value)} out in full, or begin with ~")
    expanded = os.path.expanduser(value)
    if value.startswith("~") and expanded == value:
        raise ValueError(f"begins with '~', but no home folder is known for {quoted(value)}; write ./~... if meant")
    return expanded


texts, paths = each(text), each(path)


def switch(value) -> bool:
    """On or off; on the command line its name alone turns it on."""
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {quoted(value)}")
    return value


def quoted(value, limit: int = 60) -> str:
    """A value in quotes for a message, safe on a terminal and short whatever its length."""
    return f"'{printable(value, limit)}'"


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


# ------------------------------------------------------------------------------------- words and places


@dataclass(frozen=True)
class Place:
    """Where a word was written: a line of a file, or the command line (line 0)."""

    file: str = "command line"
    line: int = 0

    def __str__(self) -> str:
        return f"{printable(self.file, 160)}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Word:
    """A word of the command line or of a configuration, and where it stands.

    Args:
        text: the word.
        place: where it was written.
        called: what messages call an option whose flag was not typed.
    """

    text: str
    place: Place
    called: str = ""


@dataclass(frozen=True)
class Given:
    """An option as it was given: text, a list of texts, or ``True`` for a switch; where, and ``called`` as its word."""

    value: str | list | bool
    place: Place
    called: str = ""


def split_line(line: str) -> list[str]:
    """Words of one line as a shell reads them, with quotes; ``#`` at the start of a word begins a comment.

    ``shlex.split(line, comments=True)`` would cut ``runs/#1`` to ``runs/`` and turn ``C:\\clips`` into ``C:clips``.
    Here a ``#`` within a word and a backslash stand for themselves.

    Raises:
        ValueError: a quotation mark without its partner.

    >>> split_line("--results-dir 'my results'  # don't")
    ['--results-dir', 'my results']
    >>> split_line("--results-dir runs/#1")
    ['--results-dir', 'runs/#1']
    """
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = ""
    comment_or_end = re.compile(r"\s*(#|$)")
    words = []
    source: Any = lexer.instream  # of a text, a StringIO
    while not comment_or_end.match(line, source.tell()):
        words.append(lexer.get_token() or "")
    return words


def expand(arguments: Sequence[str]) -> list[Word]:
    """Words of a command line, with each ``@file`` replaced by the words in it.

    A file's path is relative to the current folder on the command line, and to the including file inside a file.
    A file is read once: a second mention is a loop or a mistake.

    Raises:
        ConfigError: a file that is missing, no regular file, not UTF-8, too big, or named twice.
    """
    seen: dict[str, Place] = {}
    words: list[Word] = []
    for argument in arguments:
        words += _expand_word(Word(argument, Place()), seen, depth=0)
    return words


def _expand_word(word: Word, seen: dict[str, Place], depth: int) -> list[Word]:
    if not word.text.startswith("@"):
        return [word]
    file = _included_path(word)
    real = os.path.realpath(file)
    if real in seen:
        raise ConfigError(
            f"{word.place}: {quoted(word.text, 160)} was read before ({seen[real]}); a file is included once"
        )
    if depth == MAX_DEPTH:
        raise ConfigError(f"{word.place}: more than {MAX_DEPTH} files inside one another")
    seen[real] = word.place
    words = []
    for number_of_line, line in enumerate(read_lines(file, word.place), start=1):
        place = Place(file, number_of_line)
        try:
            inside = split_line(line)
        except ValueError:
            raise ConfigError(f"{place}: a quotation mark without its partner") from None
        for item in inside:
            words += _expand_word(Word(item, place), seen, depth + 1)
    return words


def _included_path(word: Word) -> str:
    name = os.path.expanduser(word.text[1:])
    if not name or "\0" in name:
        raise ConfigError(f"{word.place}: '@' must be followed by a file's path, got {quoted(word.text)}")
    return os.path.join(os.path.dirname(word.place.file), name) if word.place.line else name


def read_lines(file: str, asked: Place) -> list[str]:
    """Lines of a configuration file, without their ends (LF, CRLF or CR). A byte order mark is dropped.

    Raises:
        ConfigError: as ``expand``; names the place that asked for a file which cannot be opened, and the byte of one
            that is no UTF-8.
    """
    name = printable(file, 160)
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # opening a named pipe would wait for its writer
            raise ConfigError(f"{asked}: {name} is no regular file")
        with open(file, "rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        where = "" if os.path.isabs(file) else f" (current folder {printable(os.getcwd(), 160)})"
        raise ConfigError(f"{asked}: no file {name}{where}") from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise ConfigError(f"{asked}: {name} cannot be read: {reason}") from None
    return _decoded(data, name).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _decoded(data: bytes, name: str) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{name} is larger than {MAX_FILE_BYTES // 1024} KiB: no configuration file")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{name} is UTF-16 from byte 0 on; save it as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 at byte {problem.start}; save the file as UTF-8") from None
    if "\0" in text:
        line, byte = text.count("\n", 0, text.index("\0")) + 1, data.index(b"\0")
        raise ConfigError(f"{name}:{line}: a NUL character at byte {byte}; this is no text file")
    return text.removeprefix("\ufeff")


# ------------------------------------------------------------------------------------- words → options


def collect(words: Sequence[Word], takes: dict[str, str]) -> tuple[dict[str, Given], list[str]]:
    """Options out of words: the last mention of an option wins.

    Args:
        words: of the command line and of the files it names, in order, each with its place.
        takes: by flag, how many values it takes: ``none``, ``one`` or ``some``.

    Returns:
        what was given, by flag; and a note for each option given twice in one file or twice on the command line.
        (An option on the command line after the file that it overrides is what people mean, and gets no note.)

    Raises:
        ConfigError: an unknown option, a missing value, or a word too many; with its place.
    """
    given: dict[str, Given] = {}
    notes = []
    position = 0
    while position < len(words):
        flag, values, after = _statement(words, position, takes)
        place = words[position].place
        value: Any = {"none": True, "one": values[0] if values else "", "some": values}[takes[flag]]
        before = given.get(flag)
        if before and before.place.file == place.file and before.value != value:
            notes.append(f"{place}: {flag} was given before ({before.place}); the last one wins")
        given[flag] = Given(value, place, words[position].called)
        position = after
    return given, notes


def _statement(words: Sequence[Word], position: int, takes: dict[str, str]) -> tuple[str, list[str], int]:
    """One option with its values, from ``words[position]`` on; and the position after it."""
    head = words[position]
    name, equals, attached = head.text.partition("=")
    flag = _known_flag(name, head, takes)
    called = head.called or flag
    after = position + 1
    while after < len(words) and words[after].place == head.place and not _looks_like_option(words[after].text):
        after += 1
    values = ([attached] if equals else []) + [word.text for word in words[position + 1 : after]]
    if takes[flag] == "none" and values:
        raise ConfigError(f"{head.place}: {called} takes no value, got {quoted(values[0])}")
    if takes[flag] != "none" and not values:
        raise ConfigError(f"{head.place}: {called} needs a value{_dash_hint(head, words[after : after + 1], takes)}")
    if takes[flag] == "one" and len(values) > 1:
        raise ConfigError(
            f"{head.place}: {called} takes one value, got {quoted(values[0])} and {quoted(values[1])}; "
            "put a value with spaces in quotes"
        )
    return flag, values, after


def _looks_like_option(text: str) -> bool:
    return len(text) > 1 and text[0] == "-" and not re.fullmatch(r"-\.?[0-9].*", text)


def _known_flag(name: str, word: Word, takes: dict[str, str]) -> str:
    flag = name[:2] + name[2:].replace("_", "-")
    if flag in takes:
        return flag
    if not name.startswith("-"):
        dashed = "--" + flag.replace("_", "-")
        hint = f" Did you mean '{dashed}'?" if dashed in takes else ""
        raise ConfigError(f"{word.place}: {quoted(word.text)} belongs to no option; options begin with --.{hint}")
    raise ConfigError(f"{word.place}: unknown option {quoted(name)}.{nearest_hint(flag[:60], takes)}")


def _dash_hint(flag: Word, following: Sequence[Word], takes: dict[str, str]) -> str:
    """Whether the value was taken for an option because it begins with a dash."""
    for word in following:
        name = word.text.partition("=")[0]
        if word.place == flag.place and name[:2] + name[2:].replace("_", "-") not in takes:
            attached = f"{flag.text}={printable(word.text, 60)}"
            return f"; {quoted(word.text)} begins with a dash: write {attached} if it is meant"
    return ""


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
            print(f"{program.name}: {problem}\n({program.name} --help explains the options)", file=sys.stderr)
            raise SystemExit(BAD_OPTIONS) from None
        for note in notes:
            print(f"{program.name}: {note}", file=sys.stderr)
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


# ------------------------------------------------------------------------------------- the end of a program


def run_program(main: Callable[[], int], name: str) -> int:
    """Run a script's ``main`` and give the exit status, whatever happens in it.

    A ``VidbenchError`` is said in one sentence; a mistake of ours keeps its traceback; Ctrl-C, and the SIGTERM that a
    cluster sends some seconds before it kills, give the command that continues; a reader that went away (``| head``)
    ends the program quietly.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name outside the terminal's alphabet is no reason to fail
    try:
        with _termination_heard() as terminated:
            status = _status_of(main, name)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return FAILED
    if status == INTERRUPTED:
        print(f"{name}: stopped. To continue: {shlex.join(sys.orig_argv)}", file=sys.stderr)
    return TERMINATED if terminated and status else status


@contextlib.contextmanager
def _termination_heard() -> Iterator[list[bool]]:
    """SIGTERM does what Ctrl-C does, and a second one ends the process at once; the list is not empty where it came."""
    came: list[bool] = []

    def stop(*_) -> None:
        came.append(True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield came
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _status_of(main: Callable[[], int], name: str) -> int:
    try:
        return main()
    except SystemExit as leaving:
        if isinstance(leaving.code, (int, type(None))):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)  # as Python itself does with words
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except VidbenchError as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return BAD_OPTIONS if isinstance(problem, (ConfigError, AnnotationError, WeightsError)) else FAILED
    except Exception as problem:
        if words := _fault_of_this_machine(problem):
            print(f"{name}: {words}", file=sys.stderr)
            return FAILED
        traceback.print_exc()
        print(
            f"{name}: this is a fault of vidbench, not of your data; please report it with the lines above and "
            f"the command: {shlex.join(sys.orig_argv)}",
            file=sys.stderr,
        )
        return FAILED


def _fault_of_this_machine(problem: Exception) -> str:
    """The sentence about a full disk or a package that is not installed; nothing where the fault may be ours."""
    if isinstance(problem, OSError) and problem.errno in NOT_OURS:
        where = printable(problem.filename or "a file of the results")
        return f"{problem.strerror}: {where}; {NOT_OURS[problem.errno]} and run the same command again"
    if isinstance(problem, ModuleNotFoundError) and problem.name:
        package = problem.name.partition(".")[0]
        if package != "vidbench" and package not in sys.modules and not importlib.util.find_spec(package):
            return (
                f"No module named {package!r}: it is not installed for {sys.executable}. In a checkout, `make "
                "evaluate` installs everything into an environment, and `source .venv/bin/activate` takes it"
            )
    return ""
