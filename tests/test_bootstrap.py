"""bootstrap.py in copies of the project with a stub requirement and no network."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
SCRIPT, STEPS = SCRIPTS / "bootstrap.py", SCRIPTS / "bootstrap_steps.py"
EVALUATE = "import sys, stub; print('evaluating', sys.argv[1:], stub.__file__); sys.exit(7)\n"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="these copies use POSIX signals and paths")


def build_wheel(folder: Path, name: str, version: str, init: str = "") -> None:
    """A wheel of one package, small enough to write by hand."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": init,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))


class Project:
    """A copy with its own environment; ``bootstrap`` runs the script there."""

    def __init__(self, folder: Path):
        self.folder, self.wheels, self.venv = folder / "project", folder / "wheels", folder / "project" / ".venv"
        for path in (self.folder / "scripts", self.folder / "notebooks", self.wheels):
            path.mkdir(parents=True)
        for path in (SCRIPT, STEPS):
            shutil.copy(path, self.folder / "scripts")
        (self.folder / "scripts" / "evaluate.py").write_text(EVALUATE)
        for version in ("1.0", "2.0"):
            build_wheel(self.wheels, "stub", version)
        self.require("stub==1.0")

    def require(self, *lines: str) -> None:
        (self.folder / "requirements.txt").write_text("\n".join(lines) + "\n")

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON", "VIDBENCH_"))}
        env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        env |= {"PIP_NO_CACHE_DIR": "1", "VIDBENCH_SKIP_DISK_CHECK": "1", **variables}
        command = [sys.executable, str(self.folder / "scripts" / "bootstrap.py"), *arguments]
        return subprocess.Popen(
            command, env=env, cwd=self.folder.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def bootstrap(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **variables)
        output, _ = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def installed(self) -> str:
        """The version of the stub in the environment, by asking its Python."""
        code = "from importlib.metadata import version; import stub; print(version('stub'))"
        return subprocess.check_output([str(self.venv / "bin" / "python"), "-c", code], text=True).strip()

    def without_pip(self) -> None:
        """Take pip out of the environment: whoever calls it now fails."""
        for path in self.venv.glob("lib/python*/site-packages/pip"):
            shutil.rmtree(path)

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith(".venv"))


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("installed"))
    done = project.bootstrap("install")
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def ready(project, installed) -> Project:
    """A project with its environment: a copy, which spares making it, with the stamp of the new place."""
    shutil.copytree(installed.venv, project.venv, symlinks=True)
    stamp = project.venv / "vidbench-installed.json"
    stamp.write_text(stamp.read_text().replace(str(installed.folder), str(project.folder)))
    return project


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location("bootstrap_steps", STEPS)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def silent_index():
    """The address of an index that accepts calls and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/", server


def wait_until_called(server: socket.socket) -> socket.socket:
    server.settimeout(60)
    return server.accept()[0]


# --- the usual way


def test_first_call_says_the_cost_before_it_installs(project):
    done = project.bootstrap("install")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert "GB to download" in lines[0]
    assert "GB on disk" in lines[0]
    assert "minutes" in lines[0]
    assert project.installed() == "1.0"
    assert project.leftovers() == [".venv", ".venv.lock"]


def test_second_call_is_quick_and_runs_no_pip(ready):
    ready.without_pip()
    start = time.perf_counter()
    done = ready.bootstrap("evaluate", "--limit", "3")
    assert time.perf_counter() - start < 2
    assert done.stdout.startswith("evaluating ['@scripts/config.txt', '--limit', '3']")
    assert str(ready.venv) in done.stdout
    assert done.returncode == 7  # the command's own


def test_comments_do_not_count_as_a_change(ready):
    ready.without_pip()
    ready.require("# a new reason", "", "stub==1.0   # pinned")
    assert ready.bootstrap("install").returncode == 0


def test_changed_requirements_make_the_environment_anew(ready):
    (ready.venv / "of-the-old-one").touch()
    ready.require("stub==2.0")
    done = ready.bootstrap("install")
    assert done.returncode == 0, done.stdout
    assert ready.installed() == "2.0"
    assert not (ready.venv / "of-the-old-one").exists()
    assert ready.leftovers() == [".venv", ".venv.lock"]


def test_changed_pyproject_updates_in_place(ready):
    (ready.venv / "of-the-old-one").touch()
    (ready.folder / "pyproject.toml").write_text("[project]\nname = 'x'\n[tool.ruff]\nline-length = 1\n")
    assert "updating" in ready.bootstrap("install").stdout
    assert (ready.venv / "of-the-old-one").exists()
    ready.without_pip()
    (ready.folder / "pyproject.toml").write_text("[project]\nname = 'x'\n[tool.ruff]\nline-length = 2\n")
    assert ready.bootstrap("install").returncode == 0  # a linter's options are no reason


def test_the_environment_may_lie_elsewhere(project, tmp_path):
    done = project.bootstrap("evaluate", VIDBENCH_VENV=str(tmp_path / "cache" / "env"))
    assert str(tmp_path / "cache" / "env") in done.stdout.splitlines()[-1]
    assert not project.venv.exists()


def test_two_at_once_make_one_environment(project):
    both = [project.start("evaluate"), project.start("evaluate")]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [7, 7]
    assert sum("GB to download" in output for output in outputs) == 1


def test_a_running_command_keeps_its_environment(ready, tmp_path):
    until_told = "import pathlib, time\nprint('up', flush=True)\n"
    until_told += f"while not pathlib.Path({str(tmp_path / 'told')!r}).exists():\n    time.sleep(0.02)\n"
    (ready.folder / "scripts" / "evaluate.py").write_text(until_told)
    running = ready.start("evaluate")
    assert running.stdout.readline() == "up\n"
    ready.require("stub==2.0")
    install = ready.start("install")
    while "waiting" not in (line := install.stdout.readline()):
        assert line, "it did not wait"
    assert running.poll() is None
    assert ready.installed() == "1.0"
    (tmp_path / "told").touch()
    output, _ = install.communicate(timeout=300)
    assert install.returncode == 0, output
    assert running.wait(timeout=60) == 0
    assert ready.installed() == "2.0"
    running.communicate()


# --- what goes wrong


def test_requirement_that_is_not_to_be_had_is_one_sentence(project):
    project.require("stub==1.0", "nosuch==3.1")
    done = project.bootstrap("test")
    assert done.returncode == 1
    assert "pip could not install requirements.txt: a package is not to be had" in done.stdout
    assert "nosuch==3.1" in done.stdout
    assert "Traceback" not in done.stdout
    assert project.leftovers() == [".venv.lock"]
    project.require("stub==1.0")
    assert project.bootstrap("install").returncode == 0
    assert project.installed() == "1.0"


def test_failed_change_leaves_the_old_environment(ready):
    ready.require("stub==9.9")
    done = ready.bootstrap("install")
    assert done.returncode == 1
    assert ready.installed() == "1.0"
    assert ready.leftovers() == [".venv", ".venv.lock"]
    ready.without_pip()
    ready.require("stub==1.0")
    assert ready.bootstrap("install").returncode == 0  # at once: it fits again


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_install_leaves_nothing(project, silent_index, number, status):
    address, server = silent_index
    process = project.start("install", PIP_FIND_LINKS=address, PIP_TIMEOUT="120")
    with wait_until_called(server) as line:
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        line.settimeout(10)
        while line.recv(4096):  # until pip's end of the line is closed: it has ended too
            pass
    assert process.returncode == status, output
    assert "Traceback" not in output
    assert project.leftovers() == [".venv.lock"]


def test_killed_install_is_removed_by_the_next_call(project, silent_index):
    address, server = silent_index
    process = project.start("install", PIP_FIND_LINKS=address, PIP_RETRIES="0", PIP_TIMEOUT="60")
    with wait_until_called(server):
        process.kill()
        process.wait()
        following = project.start("install")
        assert "waiting" in following.stdout.readline()  # pip outlives its parent, and is waited for
    server.close()
    output, _ = following.communicate(timeout=300)
    assert following.returncode == 0, output
    assert "interrupted install" in output
    assert project.installed() == "1.0"
    assert project.leftovers() == [".venv", ".venv.lock"]


def test_killed_change_puts_the_old_environment_back(ready, silent_index):
    address, server = silent_index
    ready.require("stub==2.0")
    process = ready.start("install", PIP_FIND_LINKS=address, PIP_RETRIES="0")
    with wait_until_called(server):
        process.kill()
        process.wait()
    server.close()
    ready.require("stub==1.0")
    done = ready.bootstrap("install")
    assert done.returncode == 0
    assert "GB to download" not in done.stdout
    assert ready.installed() == "1.0"
    assert ready.leftovers() == [".venv", ".venv.lock"]


def test_environment_whose_python_is_gone_is_made_anew(ready):
    (ready.venv / "bin" / "python").unlink()
    done = ready.bootstrap("install")
    assert done.returncode == 0, done.stdout
    assert ready.installed() == "1.0"


def test_environment_of_someone_else_is_filled_and_never_removed(project):
    subprocess.run([sys.executable, "-m", "venv", str(project.venv)], check=True)
    (project.venv / "theirs").touch()
    project.require("nosuch==1")
    assert project.bootstrap("install").returncode == 1
    project.require("stub==1.0")
    assert project.bootstrap("install").returncode == 0
    assert project.installed() == "1.0"
    assert (project.venv / "theirs").exists()


def test_folder_that_is_no_environment_is_left_alone(project, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    done = project.bootstrap("install", VIDBENCH_VENV=str(tmp_path / "photos"))
    assert done.returncode == 1
    assert "not made by this script" in done.stdout
    project.bootstrap("clean", VIDBENCH_VENV=str(tmp_path / "photos"))
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["one.jpg"]


def test_missing_system_library_is_named_and_the_environment_kept(project):
    broken = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"
    build_wheel(project.wheels, "cv2", "4.0", broken)
    project.require("stub==1.0", "cv2==4.0")
    done = project.bootstrap("evaluate")
    assert done.returncode == 1
    assert "libGL.so.1" in done.stdout
    assert "apt-get install -y --no-install-recommends libgl1 libglib2.0-0" in done.stdout
    project.without_pip()
    assert project.bootstrap("evaluate").returncode == 1  # asked again, without a new install
    next(project.venv.glob("lib/python*/site-packages/cv2/__init__.py")).write_text("print('imported')\n")
    assert project.bootstrap("evaluate").returncode == 7


def test_clean_removes_what_was_made_and_keeps_downloads(ready):
    for name in ("results/run", "data/raw", "data/clips", "vidbench/__pycache__", "vidbench/data/__pycache__"):
        (ready.folder / name).mkdir(parents=True)
    done = ready.bootstrap("clean")
    assert done.returncode == 0
    assert done.stdout.count("removing") == 5
    left = {str(path.relative_to(ready.folder)) for path in ready.folder.rglob("*") if path.is_dir()}
    assert left == {"scripts", "notebooks", "data", "data/raw", "vidbench", "vidbench/data"}


# --- Pythons and machines that cannot be had here


def test_an_old_python_can_read_the_steps():
    ast.parse(STEPS.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_names_no_package_index():
    """The index is the user's to choose, by pip's own settings."""
    assert "://" not in SCRIPT.read_text(encoding="utf-8") + STEPS.read_text(encoding="utf-8")


@pytest.mark.parametrize("running", [(3, 11), (3, 12), (3, 13)])
def test_supported_python_is_used_as_it_is(module, running):
    assert module.other_python(running) is None


@pytest.mark.parametrize("running", [(3, 6), (3, 10), (3, 14)])
def test_unsuitable_python_is_a_sentence(module, monkeypatch, running):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    with pytest.raises(module.Stop, match=r"needs Python 3\.11, 3\.12 or 3\.13; this is 3\.\d+, and none"):
        module.other_python(running)


def test_suitable_python_on_the_path_takes_over(module, monkeypatch):
    versions = {"/shims/python3.11": None, "/bin/python3.12": (3, 12)}  # a shim is found but does not run
    monkeypatch.setattr(module.shutil, "which", lambda name: next((p for p in versions if p.endswith(name)), None))
    monkeypatch.setattr(module, "version_of", versions.get)
    assert module.other_python((3, 9)) == "/bin/python3.12"


def test_python_without_venv_names_the_package(module, monkeypatch):
    monkeypatch.setattr(module.subprocess, "call", lambda *args, **options: 1)
    with pytest.raises(module.Stop, match=r"apt-get install python3\.\d+-venv"):
        module.check_venv_module(sys.executable)


def test_full_disk_is_a_sentence_before_any_work(module, monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.delenv("VIDBENCH_SKIP_DISK_CHECK", raising=False)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(10e9, 5e9, 5e9))
    with pytest.raises(module.Stop, match=r"11 GB free to install, but .* has 5\.0 GB"):
        module.announce(str(tmp_path / ".venv"))


def test_unknown_command_lists_the_known(project):
    done = project.bootstrap("evalute")
    assert done.returncode == 2
    assert "choose one of evaluate, test, lab, html, install, clean" in done.stdout
    assert not project.venv.exists()


@pytest.mark.parametrize(("cores", "processes"), [(1, None), (2, "2"), (64, "4")])
def test_a_whole_run_of_the_tests_uses_the_cores(module, monkeypatch, cores, processes):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    found = module.side_by_side()
    assert found[:2] == (["-n", processes] if processes else [])


def test_what_fails_beside_others_runs_once_more_and_decides(module, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "side_by_side", lambda: ["-n", "2"])
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # of this test's own process
    (tmp_path / "test_two.py").write_text(
        "import os\n\ndef test_alone():\n    assert 'PYTEST_XDIST_WORKER' not in os.environ\n\ndef test_well(): pass\n"
    )
    monkeypatch.setattr(module, "run", module.status_of)
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), str(tmp_path)]
    assert module.every_test(command) == 0
    (tmp_path / "test_never.py").write_text("def test_never():\n    assert False\n")
    assert module.every_test(command) == 1


def test_a_trouble_of_pytest_itself_is_not_tried_again(module, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "side_by_side", lambda: ["-n", "2"])
    monkeypatch.setattr(module, "status_of", lambda command: asked.append(command) or 4)
    monkeypatch.setattr(module, "run", asked.append)
    assert module.every_test(["pytest"]) == 4
    assert asked == [["pytest", "-n", "2"]]
