"""Words of a command line and of @files, and what a program does at its end."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import sys
from dataclasses import dataclass

import pytest

from vidbench import flags, kinds
from vidbench.endings import run_program
from vidbench.fetch_arguments import FETCH
from vidbench.flags import Options, Program, option, parse
from vidbench.records import AnnotationError, ConfigError, RunError, WeightsError
from vidbench.words import Given, Place, collect, expand, split_line


@dataclass(frozen=True, kw_only=True)
class Small(Options):
    size: int = option(kinds.whole(1, 9), "how big. Bigger is slower", group="all", default=3)
    short_side: float = option(kinds.number(0, 500, "pixels"), "pixels. Fewer is faster", group="all", default=64.0)
    names: tuple[str, ...] | None = option(kinds.texts, "who. All by default", group="all", default=None)
    folder: str = option(kinds.path, "where to. Made when missing", group="all", default="out")
    share: float = option(kinds.fraction, "how much. The rest is left", group="all", default=0.5)
    quick: bool = option(kinds.switch, "less exact", group="all", default=False)


PROGRAM = Program(Small, "small.py", "Does little.", "small.py [options]")


def parsed(*arguments):
    return parse(PROGRAM, arguments)


def write(folder, name, text):
    data = text if isinstance(text, bytes) else text.encode()
    (folder / name).write_bytes(data)
    return f"@{folder / name}"


# ---------------------------------------------------------------- words of a line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--size 4", ["--size", "4"]),
        ("  --size\t4  # four", ["--size", "4"]),
        ("# don't", []),
        ("", []),
        ("--folder runs/#1", ["--folder", "runs/#1"]),
        ("--folder runs #1", ["--folder", "runs"]),
        ("--folder '#1 run'#2", ["--folder", "#1 run#2"]),
        ('--folder "my results" # "open', ["--folder", "my results"]),
        ("--names 'a b' c", ["--names", "a b", "c"]),
        ("--folder=''", ["--folder="]),
        ("--folder C:\\clips\\new", ["--folder", "C:\\clips\\new"]),
        ('--folder "C:\\my clips\\"', ["--folder", "C:\\my clips\\"]),
    ],
)
def test_a_hash_begins_a_comment_only_at_the_start_of_a_word(line, words):
    assert split_line(line) == words


def test_a_long_line_is_split_in_linear_time():
    assert split_line("a " * 100_000) == ["a"] * 100_000


# ---------------------------------------------------------------- values from a file


def test_a_file_and_the_same_words_typed_give_the_same_options(tmp_path):
    file = write(tmp_path, "a.txt", "# notes\n--size 4\n--short-side=96.5  # pixels\n\n--names 'a b' c\n--quick\n")
    typed = parsed("--size", "4", "--short-side", "96.5", "--names", "a b", "c", "--quick")
    assert parsed(file) == typed
    assert typed[0] == Small(size=4, short_side=96.5, names=("a b", "c"), quick=True)


@pytest.mark.parametrize("text", ["--short_side 9\n", "--short-side 9", "--short_side=9\r\n", "\ufeff--short-side 9\r"])
def test_hyphens_underscores_line_ends_and_a_byte_order_mark_make_no_difference(tmp_path, text):
    assert parsed(write(tmp_path, "a.txt", text))[0].short_side == 9


def test_an_option_after_the_file_wins_without_a_word(tmp_path):
    made, notes = parsed(write(tmp_path, "a.txt", "--size 4\n"), "--size", "5")
    assert (made.size, notes) == (5, [])


def test_an_option_twice_in_a_file_is_said_and_the_last_one_wins(tmp_path):
    made, notes = parsed(write(tmp_path, "a.txt", "--size 4\n\n--size 5\n"))
    assert made.size == 5
    assert notes == [f"{tmp_path}/a.txt:3: --size was given before ({tmp_path}/a.txt:1); the last one wins"]


def test_an_option_twice_on_the_command_line_is_said():
    made, notes = parsed("--size", "4", "--size=5")
    assert made.size == 5
    assert notes == ["command line: --size was given before (command line); the last one wins"]


def test_a_file_inside_a_file_is_found_from_that_file(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep", "common.txt", "--size 7\n--share 10%\n")
    file = write(tmp_path / "deep", "a.txt", "@common.txt\n--size 6\n")
    monkeypatch.chdir(tmp_path)
    assert parsed(file)[0] == Small(size=6, share=0.1)
    assert parsed("@deep/a.txt")[0] == Small(size=6, share=0.1)


def test_a_value_may_begin_with_a_dash_or_an_at_sign_after_an_equals_sign():
    assert parsed("--folder=-x")[0].folder == "-x"
    assert parsed("--folder=@x")[0].folder == "@x"


def test_a_negative_number_is_a_value_and_is_refused_for_its_range():
    with pytest.raises(ConfigError, match=r"^command line: --size must be a whole number from 1 to 9, not '-4'$"):
        parsed("--size", "-4")


# ---------------------------------------------------------------- mistakes, with their place


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n--szie 4\n", r"a.txt:2: unknown option '--szie'. Did you mean '--size'"),
        ("--siz 4\n", r"a.txt:1: unknown option '--siz'. Did you mean '--size'"),
        ("--size four\n", r"a.txt:1: --size must be a whole number from 1 to 9, not 'four'$"),
        ("--size 4.5\n", r"a.txt:1: --size must be a whole number"),
        ("--size 1_0\n", r"a.txt:1: --size must be a whole number"),
        ("--size ４\n", r"a.txt:1: --size must be a whole number"),
        ("--size " + "9" * 6000, r"a.txt:1: --size must be .* not '9{59}…'$"),
        ("--size 0\n", r"a.txt:1: --size must be"),
        ("--short-side nan\n", r"a.txt:1: --short-side must be a number above 0 and at most 500 \(pixels\)"),
        ("--short-side inf\n", r"a.txt:1: --short-side must be"),
        ("--share 5\n", r"a.txt:1: --share must be a share from 0 to 1"),
        ("--share 5%%\n", r"a.txt:1: --share must be a share"),
        ("\n\n--size\n", r"a.txt:3: --size needs a value$"),
        ("--size\n4\n", r"a.txt:1: --size needs a value$"),
        ("--folder -x\n", r"a.txt:1: --folder needs a value; '-x' begins with a dash: write --folder=-x"),
        ("--folder my results\n", r"a.txt:1: --folder takes one value, got 'my' and 'results'; .*quotes"),
        ("--quick yes\n", r"a.txt:1: --quick takes no value, got 'yes'$"),
        ("size 4\n", r"a.txt:1: 'size' belongs to no option.*Did you mean '--size'\?$"),
        ("--folder $HOME/x\n", r"a.txt:1: --folder holds a '\$'"),
        ("--folder ''\n", r"a.txt:1: --folder must be a path"),
        ("--folder 'x\n", r"a.txt:1: a quotation mark without its partner$"),
        (b"--size 4\n--folder r\xe9sultats\n", r"a.txt:2: not UTF-8 at byte 19"),
        ("--size 4\n".encode("utf-16"), r"a.txt is UTF-16"),
        (b"--size 4\n--folder a\0b\n", r"a.txt:2: a NUL character at byte 19"),
        (b"\xef\xbb\xbf--folder a\0b\n", r"a.txt:1: a NUL character at byte 13"),
        ("--size 4 " * 100_000, r"a.txt is larger than 256 KiB"),
        ("@\n", r"a.txt:1: '@' must be followed by a file's path"),
        ("--folder \x1b[31mred\n--size 77", r"a.txt:2: --size"),
        ("--\x1b[31m 4\n", r"a.txt:1: unknown option '--\\x1b\[31m'"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_file_and_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parsed(write(tmp_path, "a.txt", text))
    assert len(str(caught.value)) < 500
    assert "\x1b" not in str(caught.value)


def test_a_mistake_in_an_overridden_value_is_not_a_mistake(tmp_path):
    assert parsed(write(tmp_path, "a.txt", "--size 99\n"), "--size", "5")[0].size == 5


def test_a_missing_file_is_named_with_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"^command line: no file no/such.txt \(current folder {tmp_path}\)$"):
        parsed("@no/such.txt")
    with pytest.raises(ConfigError, match=r"a.txt:2: no file .*/such.txt$"):
        parsed(write(tmp_path, "a.txt", "\n@such.txt\n"))


def test_files_that_include_one_another_are_refused(tmp_path):
    write(tmp_path, "b.txt", "@a.txt\n")
    with pytest.raises(ConfigError, match=r"b.txt:1: '@a.txt' was read before \(command line\)"):
        parsed(write(tmp_path, "a.txt", "--size 4\n@b.txt\n"))
    with pytest.raises(ConfigError, match=r"c.txt:1: '@./c.txt' was read before"):
        parsed(write(tmp_path, "c.txt", "@./c.txt\n"))


def test_a_long_chain_of_files_is_refused_and_not_a_recursion_error(tmp_path):
    for link in range(40):
        write(tmp_path, f"{link}.txt", f"@{link + 1}.txt\n")
    with pytest.raises(ConfigError, match=r"/19.txt:1: more than 20 files inside one another"):
        parsed(f"@{tmp_path}/0.txt")


@pytest.mark.timeout(20)
def test_a_folder_a_pipe_and_a_device_are_no_configuration(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path, tmp_path / "pipe", "/dev/zero", "\0"):
        with pytest.raises(ConfigError, match=r"command line: .*(no regular file|must be followed)"):
            parsed(f"@{name}")


def test_the_same_checks_hold_in_a_notebook():
    with pytest.raises(ConfigError, match=r"^--size must be a whole number from 1 to 9, not 'True'$"):
        Small(size=True)
    with pytest.raises(ConfigError, match="--quick must be True or False, not '1'"):
        Small(quick=1)
    with pytest.raises(ConfigError, match="--folder must be a path, not '7'"):
        Small(folder=7)
    with pytest.raises(ConfigError, match="--size must be a whole number from 1 to 9, not 'None'"):
        Small(size=None)


def test_a_home_folder_is_expanded_and_an_unknown_one_refused(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert Small(folder="~/runs").folder == "/home/someone/runs"
    with pytest.raises(ConfigError, match="no home folder is known for '~nobody_here/x'"):
        Small(folder="~nobody_here/x")


def test_collect_keeps_the_last_place():
    words = expand(["--size", "4", "--quick", "--size=6"])
    given, _ = collect(words, {"--size": "one", "--quick": "none"})
    assert given == {"--size": Given("6", Place()), "--quick": Given(True, Place())}


def test_a_word_in_front_is_called_as_the_usage_calls_it():
    program = Program(Small, "small.py", "Does little.", "small.py N PATH", first=("size", "names"))
    assert parse(program, ["4", "a", "b", "--quick"]) == parsed("--size", "4", "--names", "a", "b", "--quick")
    with pytest.raises(ConfigError, match=r"^command line: N must be a whole number from 1 to 9, not '40'$"):
        parse(program, ["40"])
    with pytest.raises(ConfigError, match=r"^command line: --size must be a whole number from 1 to 9, not '40'$"):
        parse(program, ["--size", "40"])
    with pytest.raises(ConfigError, match=r"^command line: N takes one value, got '4' and '5'"):
        parse(dataclasses.replace(program, first=("size",)), ["4", "5"])


def test_an_option_like_another_differs_in_what_is_named():
    @dataclass(frozen=True, kw_only=True)
    class Other(Options):
        size: int = flags.like(Small, "size", default=5)
        share: float = flags.like(Small, "share", help="another share. The rest goes")

    told = flags.make_parser(Program(Other, "other.py", "Does less.", "other.py")).format_help()
    assert "how big (default: 5). Bigger is slower" in told
    assert "another share (default: 0.5). The rest goes" in told
    with pytest.raises(ConfigError, match=r"^--size must be a whole number from 1 to 9, not '10'$"):
        Other(size=10)


def test_help_is_shown_although_another_option_is_wrong(capsys):
    with pytest.raises(SystemExit) as left:
        parsed("@no/such/file", "--hepl", "--help")
    assert left.value.code == 0
    assert "--short-side N" in capsys.readouterr().out


def test_any_words_at_all_are_options_or_one_short_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(5)
    pieces = ["--size", "--siz", "--quick", "-", "--", "=", "@", "@a.txt", "4", "-4", "#", "\\", "'", "$A", "~", "%"]
    pieces += ["--names", "--folder=", "--share=5%", "é"]
    pieces += ['"', " ", "\n", "\t", "\x1b", "\udce9", "\0", "x" * 300]
    sentences, made = [], 0
    for _ in range(3000):
        words = rng.choices(pieces, k=rng.randint(0, 5))
        if rng.random() < 0.3:
            text = "".join(rng.choices(pieces, k=rng.randint(0, 9)))
            (tmp_path / "a.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
            words = ["@a.txt"]
        try:
            made += parsed(*words)[0] is not None
        except ConfigError as problem:
            sentences.append(str(problem))
    assert made > 100
    assert len(sentences) > 100
    assert not [sentence for sentence in sentences if len(sentence) >= 500 or not sentence.isprintable()]


# ---------------------------------------------------------------- the end of a program


def raising(problem):
    def main():
        raise problem

    return main


@pytest.mark.parametrize(
    ("problem", "status", "said"),
    [
        (ConfigError("--size is odd"), 2, "x.py: --size is odd\n"),
        (AnnotationError("no such split"), 2, "x.py: no such split\n"),
        (WeightsError("no weights"), 2, "x.py: no weights\n"),
        (RunError("in use"), 1, "x.py: in use\n"),
        (
            OSError(28, "No space left on device", "rows.jsonl"),
            1,
            "x.py: No space left on device: rows.jsonl; make room and run the same command again\n",
        ),
        (SystemExit(2), 2, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("no such chapter"), 1, "no such chapter\n"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_a_status(capsys, problem, status, said):
    assert run_program(raising(problem), "x.py") == status
    assert capsys.readouterr().err == said


def test_our_own_mistake_keeps_its_traceback_and_says_so(capsys):
    assert run_program(raising(KeyError("label")), "x.py") == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "KeyError: 'label'" in said
    assert "fault of vidbench, not of your data" in said


def test_an_interrupted_program_says_how_to_continue(capsys, monkeypatch):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray, in an earlier test, leaves a handler that ends the process
    monkeypatch.setattr(sys, "orig_argv", ["python", "scripts/evaluate.py", "--run-name", "my run"])
    assert run_program(raising(KeyboardInterrupt()), "x.py") == 130
    assert run_program(lambda: 130, "x.py") == 130
    assert run_program(lambda: signal.raise_signal(signal.SIGTERM), "x.py") == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    line = "x.py: stopped. To continue: python scripts/evaluate.py --run-name 'my run'\n"
    assert capsys.readouterr().err == 3 * line


def test_no_login_of_an_address_reaches_the_screen(capsys, monkeypatch):
    address = "https://me:secret@example.org/clips?id=3"
    monkeypatch.setattr(sys, "orig_argv", ["python", "scripts/fetch.py", "ucf101", "--mirror", address])
    for problem in (KeyboardInterrupt(), KeyError(address), ConfigError(address), SystemExit(address)):
        run_program(raising(problem), "x.py")
    with pytest.raises(SystemExit):
        FETCH.parse_or_exit(["ucf101", "--mirror", "s3://key:se/cret@bucket/" + 60 * "x"])
    said = capsys.readouterr().err
    assert "secret" not in said
    assert "se/cret" not in said
    command = "python scripts/fetch.py ucf101 --mirror 'https://example.org/clips?id=3'"
    assert f"To continue: {command}  # with the login, left out here, put back into its address\n" in said
    assert said.count("https://example.org/clips?id=3\n") >= 2
    assert "not 's3://bucket/xxx" in said
