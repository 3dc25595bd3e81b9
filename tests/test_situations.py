"""Machines that are not as they should be: an old Python, a full disk, no network, a home that cannot be written to,
names with blanks and foreign letters. Each is one sentence with the right exit status, or makes no difference."""

from __future__ import annotations

import ast
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from vidbench import cli
from vidbench.data import download, web

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data" / "vidmini"
CLIP = DATA / "videos" / "SitDown" / "v_SitDown_g01_c01.mp4"
SCRIPTS = [path for path in sorted((ROOT / "scripts").glob("*.py")) if "run_script(__file__)" in path.read_text()]
NEEDS = "vidbench needs Python 3.11, 3.12 or 3.13; this is "
VIDMINI = ["--dataset", "vidmini", "--data-dir", DATA, "--limit", "12", "--device", "cpu", "--num-workers", "0"]
EVALUATE = ["evaluate", "--model", "mini2d", *VIDMINI]
LEARN = [*VIDMINI, "--split", "test", "--epochs", "1", "--batch-size", "4", "--classes", "SitDown", "StandUp"]
TRAIN = ["train", "--model", "mini2d", *LEARN, "--no-tensorboard"]
ODD = "Grüße an 日本 %20 [x]"


def said_once(err: str, status: int) -> str:
    """The one sentence of a command that failed."""
    lines = [line for line in err.splitlines() if not line.startswith("(")]  # the hint at --help stands in brackets
    assert status in (1, 2), err
    assert len(lines) == 1, err
    return lines[0]


def start(*words, cwd: Path, python=(sys.executable,), preexec=None, **variables: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    command = [*map(str, python), *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=env, preexec_fn=preexec, capture_output=True, text=True, timeout=200, encoding="utf-8"
    )


@pytest.fixture
def here(capsys, monkeypatch, tmp_path):
    """Call with the words of a command: run in this process and a folder of its own; gives status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vidbench", *map(str, words)])
        status = cli.main()
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


# --- an old Python


OLD = ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10")


def old_pythons() -> dict[str, str]:
    """Version → a Python of it on this machine, of those that are too old."""
    found = {}
    for version in OLD:
        places = [*Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), shutil.which(f"python{version}")]
        for place in filter(None, places):
            code = "import sys; print('%d.%d' % sys.version_info[:2])"
            if subprocess.run([place, "-c", code], capture_output=True, text=True).stdout.strip() == version:
                found[version] = str(place)
    return found


@pytest.fixture(scope="module")
def pythons() -> dict[str, str]:
    return old_pythons()


STARTED = {
    "evaluate.py": ["scripts/evaluate.py"],
    "-m": ["-m", "vidbench", "env"],
    "make_mini.py": ["scripts/make_mini.py"],
}


@pytest.mark.parametrize(
    ("version", "name"),
    [(version, name) for version in OLD for name in STARTED if (version, name) != ("2.7", "make_mini.py")],
)  # make_mini.py is no command but a program, which Python 2.7 cannot read
def test_an_old_python_is_told_which_one_is_needed(version, name, pythons):
    if version not in pythons:
        pytest.skip(f"there is no Python {version} on this machine")
    done = start(*STARTED[name], cwd=ROOT, python=[pythons[version]])
    assert done.returncode == 1
    assert said_once(done.stderr, done.returncode).startswith(f"{NEEDS}{version} (")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_python_2_is_told_so_by_every_command(script, pythons):
    if "2.7" not in pythons:
        pytest.skip("there is no Python 2.7 on this machine")
    done = start(script, "--help", cwd=ROOT, python=[pythons["2.7"]])
    assert said_once(done.stderr, done.returncode).startswith(NEEDS)


def test_python_2_is_told_so_by_what_make_calls(pythons):
    if "2.7" not in pythons:
        pytest.skip("there is no Python 2.7 on this machine")
    done = start("scripts/bootstrap.py", "evaluate", cwd=ROOT, python=[pythons["2.7"]])
    assert said_once(done.stderr, done.returncode).startswith(f"bootstrap: {NEEDS}2.7. Begin the same command with")


SINCE_1_5 = "Module Expr Constant Import ImportFrom alias If Compare Lt Eq Attribute Name Load Store Call Tuple Assign"
SINCE_1_5 += " BinOp Add Subscript Slice Starred"  # Starred: only the last argument of a call, see below


def is_readable_by_old_pythons(source: str) -> bool:
    """Whether a file holds nothing but what Python 2.7 reads and means the same by."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    simple = {type(node).__name__ for node in nodes} <= set(SINCE_1_5.split()) | {"keyword"}
    stars = [node for node in nodes if isinstance(node, ast.Starred)]
    last = [node.args[-1] for node in nodes if isinstance(node, ast.Call) and node.args]
    ours = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    return source.isascii() and simple and not ours and all(star in last for star in stars)


@pytest.mark.parametrize(
    "source",
    [
        "f'{1}'",
        "def f(a: int): pass",
        "print(1) if (n := 2) else 3",
        "f(*a, 1)",
        "x: int = 3",
        "'é'",
        "async def f(): 1",
    ],
)
def test_the_reader_of_old_syntax_sees_what_is_new(source):
    assert not is_readable_by_old_pythons(source)


@pytest.mark.parametrize(
    "path",
    [*SCRIPTS, ROOT / "scripts" / "bootstrap.py", ROOT / "vidbench" / "__init__.py", ROOT / "vidbench" / "__main__.py"],
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_what_is_started_directly_can_be_read_by_an_old_python(path):
    assert is_readable_by_old_pythons(path.read_text(encoding="utf-8"))


def test_a_python_without_the_packages_is_told_where_they_are(tmp_path):
    done = start(*EVALUATE, cwd=tmp_path, python=[sys.executable, "-S", "-m", "vidbench"])
    words = said_once(done.stderr, done.returncode)
    assert "No module named 'numpy'" in words
    assert sys.executable in words
    assert "source .venv/bin/activate" in words
    done = start(ROOT / "scripts" / "make_mini.py", tmp_path / "out", cwd=tmp_path, python=[sys.executable, "-S"])
    assert "it is not installed for" in said_once(done.stderr, done.returncode)


# --- no room, no rights


def small_files(num_bytes: int):
    """The system refuses a file larger than this, as it refuses any on a full disk."""
    import resource

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    return limit


def without_root_rights():
    """Permissions hold for this process even where it is root's."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, gone after exec
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


TOO_LARGE = [  # command, words of its sentence
    (EVALUATE, "File too large: results/mini2d.vidmini_v1-vidmini-test-limit12/manifest.json; make room and run"),
    (["convert", "vidmini", "--data-dir", DATA, "--to", "list", "--out", "l.txt"], "l.txt cannot be written: File too"),
    (["fetch", "vidmini", "--split", "train", "--per-class", "1", "--data-dir", "mini"], "File too large: mini"),
]


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
@pytest.mark.parametrize(
    ("words", "sentence"), TOO_LARGE, ids=lambda value: value[0] if isinstance(value, list) else ""
)
def test_a_full_disk_is_one_sentence(words, sentence, tmp_path):
    done = start("-m", "vidbench", *words, cwd=tmp_path, preexec=small_files(1500))
    assert sentence in said_once(done.stderr, done.returncode)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_a_disk_that_is_full_before_a_training_is_one_sentence_and_it_begins_when_there_is_room(here, tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    small_files(1500)()  # its manifest is larger; what a full disk does to its checkpoints: tests/test_train_kills.py
    try:
        status, _, err = here(*TRAIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said_once(err, status).endswith("manifest.json; make room and run the same command again")
    assert {path.name for path in (tmp_path / "results").rglob("*") if path.is_file()} <= {"held"}
    assert here(*TRAIN)[0] == 0


READ_ONLY = [
    (EVALUATE, 2, "--results-dir 'results' cannot be made or written to: Permission denied"),
    (["train", "--model", "mini2d", *VIDMINI], 2, "--results-dir 'results' cannot be made or written to: Permission"),
    (
        ["convert", "vidmini", "--data-dir", DATA, "--to", "list", "--out", "l.txt"],
        1,
        "l.txt cannot be written: Permis",
    ),
    (["fetch", "vidmini", "--split", "train", "--per-class", "1", "--data-dir", "mini"], 1, "Permission denied: mini;"),
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops rights as Linux does")
@pytest.mark.parametrize(("words", "status", "sentence"), READ_ONLY, ids=lambda v: v[0] if isinstance(v, list) else "")
def test_a_folder_that_may_not_be_written_to_is_one_sentence(words, status, sentence, tmp_path):
    folder = tmp_path / "not ours"
    folder.mkdir(mode=0o500)
    done = start("-m", "vidbench", *words, cwd=folder, preexec=without_root_rights)
    assert sentence in said_once(done.stderr, done.returncode)
    assert done.returncode == status
    assert list(folder.iterdir()) == []


# --- no network, a proxy that does not answer, no home


def nobody_is_known(*_, **__):
    raise socket.gaierror(-2, "Name or service not known")


SITUATIONS = {  # → what is so, and the words for weights, a checkpoint of the hub, and a dataset
    "no network": ({}, *3 * ["the name of the server is not known here"]),
    "a dead proxy": (
        {"HTTPS_PROXY": "http://user:secret@127.0.0.1:9"},
        "(nobody answers there, through the proxy that HTTPS_PROXY names)",
        "through the proxy that HTTPS_PROXY names",  # the hub's client may be an earlier one, without the proxy
        "nobody answers there, through the proxy that HTTPS_PROXY names",
    ),
    "no proxy at all": (
        {"HTTPS_PROXY": "http://127.0.0.1:port"},
        "nonnumeric port: 'port', through the proxy that HTTPS_PROXY names",
        "through the proxy that HTTPS_PROXY names",
        "cannot be asked",
    ),
    "no home": (
        {"HOME": "/proc/nowhere"},
        "/checkpoints cannot be written to (No such file or directory)",
        "",
        "the server is not known",
    ),
}


@pytest.fixture(params=SITUATIONS)
def cut_off(request, monkeypatch, tmp_path):
    """A machine that can fetch nothing; gives the words that say why."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    variables, *words = SITUATIONS[request.param]
    for name, value in ({"HOME": str(tmp_path / "home")} | variables).items():
        monkeypatch.setenv(name, value)
    if "HTTPS_PROXY" not in variables:
        monkeypatch.setattr(socket, "getaddrinfo", nobody_is_known)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
    monkeypatch.setattr(download, "Patience", lambda: web.Patience(tries=1))
    return words


WANTS_WEIGHTS = {
    "predict": ["predict", CLIP, "--model", "r2plus1d_18.kinetics400_v1"],
    "evaluate": ["evaluate", "--model", "r2plus1d_18.kinetics400_v1", "--new-head", *VIDMINI],
    "train": ["train", "--model", "r2plus1d_18.kinetics400_v1", *LEARN],
    "doctor": ["doctor", "r2plus1d_18.kinetics400_v1"],
}


@pytest.mark.parametrize("command", WANTS_WEIGHTS)
def test_weights_that_cannot_be_fetched_are_one_sentence(command, cut_off, here, tmp_path):
    status, out, err = here(*WANTS_WEIGHTS[command])
    words = said_once(err, status)
    assert status == 2
    assert words.startswith(f"vidbench {command}: The weights of r2plus1d_18.kinetics400_v1 are not on this machine")
    assert cut_off[0] in words
    assert "--weights PATH" in words
    assert "secret" not in words + out
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    ours = [path.name for path in left if "matplotlib" not in path.parts]  # which lists its fonts there
    assert set(ours) <= ({"manifest.json", "held"} if command == "train" else set())  # a folder with an aim, no weights


def test_a_checkpoint_of_the_hub_that_cannot_be_fetched_is_one_sentence(cut_off, here):
    status, _, err = here("predict", CLIP, "--model", "videomae_base.kinetics400")
    words = said_once(err, status)
    assert status == 2
    assert "Errno" not in words
    assert "config.json, preprocessor_config.json and model.safetensors in a folder" in words
    assert cut_off[1] in words


def test_a_dataset_that_cannot_be_fetched_is_one_sentence(cut_off, here):
    status, _, err = here("fetch", "kinetics400", "--per-class", "1")
    words = said_once(err, status)
    assert status == 1
    assert words.startswith("vidbench fetch: https://")
    assert "--mirror URL" in words or "cannot be asked" in words
    assert cut_off[2] in words
    assert "secret" not in words


def test_nothing_is_asked_of_a_home_that_is_not_there(here, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert here(*EVALUATE)[0] == 0
    status, out, err = here("predict", CLIP)
    assert (status, len(err.splitlines())) == (0, 1)
    assert "SitDown" in out


UNREADABLE_HOME = {  # command → its status, and words that it says
    ("ls", "models", "mini"): (0, "shipped"),
    ("predict", CLIP): (0, "SitDown"),
    ("doctor", "r2plus1d_18.kinetics400_v1"): (2, "cannot be written to (Permission denied). Name a folder that can"),
    ("train", "--model", "r3d_18.kinetics400_v1", *LEARN): (2, "cannot be written to (Permission denied). Name a"),
    tuple(TRAIN): (0, "best epoch 1 of 1"),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops rights as Linux does")
def test_a_home_that_may_not_be_looked_into_is_one_sentence_where_it_is_needed(tmp_path):
    (tmp_path / "home").mkdir(mode=0)
    commands = [["vidbench", *map(str, words)] for words in UNREADABLE_HOME]
    program = f"import sys\nfrom vidbench import cli\nfor sys.argv in {commands}:\n"
    program += "    status = cli.main()\n    for stream in (sys.stdout, sys.stderr):\n"
    program += "        print('=====', status, file=stream, flush=True)\n"
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / ".cache")}
    home["TORCH_HOME"] = str(tmp_path / "home" / ".cache" / "torch")
    done = start("-c", program, cwd=tmp_path, preexec=without_root_rights, **home)
    assert done.returncode == 0, done.stderr
    said, faults = (re.findall(r"(.*?)===== (\d)\n", text, re.DOTALL) for text in (done.stdout, done.stderr))
    for words, (status, expected), out, err in zip(
        UNREADABLE_HOME, UNREADABLE_HOME.values(), said, faults, strict=True
    ):
        assert int(out[1]) == status, (words, err)
        assert expected in (out[0] if status == 0 else said_once(err[0], status)), words
        assert "Traceback" not in err[0]


# --- folders of one's own that cannot be trained on, and that can


SIT, STAND = DATA / "videos" / "SitDown", DATA / "videos" / "StandUp"


@pytest.fixture
def own_folder(tmp_path):
    """Call with class → folder of clips, or nothing for a class without; a folder of classes with six clips each."""

    def make(classes: dict, name: bytes | str = "own", clip: bytes = b"%d.mp4") -> Path:
        for label, source in classes.items():
            folder = os.path.join(os.fsencode(tmp_path), os.fsencode(name), os.fsencode(label))
            os.makedirs(folder)
            for number, path in enumerate(sorted(source.glob("*.mp4"))[:6] if source else []):
                os.symlink(path, os.path.join(folder, clip % number))
        return Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), os.fsencode(name))))

    return make


OWN = ["--model", "mini2d", "--dataset", "folder", "--device", "cpu", "--num-workers", "0", "--no-tensorboard"]
OWN += ["--epochs", "1", "--batch-size", "4"]
NOT_TRAINABLE = {  # → classes and their clips, the name of a clip, the sentence, and a warning before it
    "no folder": ({}, b"%d.mp4", "own cannot be read: No such file or directory", ""),
    "no videos": ({"A": None, "B": None}, b"%d.mp4", "No video is listed in split 'train'", ""),
    "no suffix": ({"A": SIT, "B": STAND}, b"%d.xyz", "No video is listed in split 'train'", "the suffix of a video"),
    "one class": ({"A": SIT}, b"%d.mp4", "at least two classes that are there; 6 videos of 1 were found", ""),
    "file names not UTF-8": (
        {"A": SIT, "B": STAND},
        b"\xff%d.mp4",
        "0 videos of 0 were found (12 more cannot be used, the first: line 1: A/\\udcff0.mp4: the file name is not",
        "folder: 12 bad_row",
    ),
    "a class name not UTF-8": (
        {"A": SIT, b"B\xff": STAND},
        b"%d.mp4",
        "6 videos of 1 were found",
        "own/B\\udcff is no",
    ),
}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names there are always text")
@pytest.mark.parametrize("name", NOT_TRAINABLE)
def test_a_folder_that_cannot_be_trained_on_is_one_sentence(name, own_folder, here, tmp_path, caplog):
    classes, clip, sentence, warning = NOT_TRAINABLE[name]
    status, _, err = here("train", *OWN, "--data-dir", own_folder(classes, clip=clip))
    *_, last = err.splitlines()
    assert sentence in said_once(last, status)
    assert status == 2
    assert [warning in line for line in caplog.messages] == [True] * bool(warning)
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").iterdir())


def test_a_class_without_videos_is_told_and_any_name_will_do_for_classes_and_clips(own_folder, here, caplog):
    folder = own_folder({"été & co": SIT, "B #2 100%": STAND, "leer": None}, name=ODD, clip="%%20 #%d é.mp4".encode())
    status, out, err = here("train", *OWN, "--data-dir", folder, "--run-name", "Übung #1 100%")
    assert status == 0, err
    assert "1 of 3 classes have no training video: leer" in caplog.text
    weights = folder.parent / "results" / "Übung #1 100%" / "best.safetensors"
    status, out, err = here("predict", folder / "été & co" / "%20 #0 é.mp4", "--weights", weights)
    assert status == 0, err
    assert {"été & co", "B #2 100%"} <= {line.split("%  ")[-1] for line in out.splitlines()}


# --- names with blanks, signs and foreign letters


@pytest.fixture(scope="module")
def odd_place(tmp_path_factory) -> Path:
    """A folder of such a name, with a few clips of vidmini in another one."""
    place = tmp_path_factory.mktemp("odd") / ODD
    for name in ("splits", "videos/SitDown", "videos/StandUp"):
        shutil.copytree(DATA / name, place / "données, à moi" / name)
    return place


ANYWHERE = [
    ["evaluate", "--model", "mini2d", "--split", "test"],
    ["check", "--split", "test"],
    ["convert", "--split", "test", "--to", "list", "--out", "liste ö.txt"],
    ["extract-frames", "--split", "test", "--frames", "2", "--out", "Bilder ö", "--num-workers", "0"],
]


@pytest.mark.parametrize("words", ANYWHERE, ids=lambda words: words[0])
def test_any_name_will_do_for_data_and_results(words, odd_place, here, monkeypatch):
    monkeypatch.chdir(odd_place)
    chosen = ["--dataset", "vidmini", "--data-dir", "données, à moi", "--classes", "SitDown", "StandUp"]
    more = {"evaluate": ["--num-workers", "0", "--device", "cpu", "--results-dir", "Läufe & mehr"]}
    status, out, err = here(*words[:1], *chosen, *words[1:], *more.get(words[0], []))
    assert status == 0, err
    assert "24" in out
    assert "Traceback" not in err


def test_any_name_will_do_for_a_checkout(odd_place):
    """The command in it starts in one, and its decoding processes too."""
    checkout = odd_place / "Kopie ö"
    for name in ("vidbench", "scripts"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    words = ["--model", "mini2d", *VIDMINI[:-1], "1", "--limit", "2", "--no-cache"]
    done = start("scripts/evaluate.py", *words, cwd=checkout, PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert "n=2 (0 skipped)" in done.stdout
    assert len(list(checkout.glob("results/*/report.html"))) == 1


def test_a_decoder_that_crashes_on_a_name_is_not_given_it(tmp_path):
    from vidbench.data.decode import read_clip
    from vidbench.records import UnreadableVideo

    path = os.fsencode(tmp_path) + b"/not \xff utf-8.mp4"
    shutil.copyfile(CLIP, path)
    assert read_clip(os.fsdecode(path), [0, 3]).frames.shape[0] == 2
    with pytest.raises(UnreadableVideo, match="takes no file name that is not UTF-8"):
        read_clip(os.fsdecode(path), [0, 3], decoder="opencv")
