"""The words of a command line and of the @files that it names, each with its place, and the options that they make."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidbench.records import ConfigError
from vidbench.utils import nearest_hint, printable, quoted

MAX_FILE_BYTES = 256 * 1024  # of one @file: thousands of lines, and no device or video read by mistake
MAX_DEPTH = 20  # of @files within @files


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
