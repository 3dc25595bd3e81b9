"""The project description for Cloudera AI keeps to its specification, and its scripts do what they say when run as
the platform runs them: from the project's folder, without a terminal, as a program or cell by cell in a kernel."""

from __future__ import annotations

import copy
import csv
import http.server
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from conftest import free_port

from vidbench.data.classes import load_labels
from vidbench.data.index import keep_present, load_records

ROOT = Path(__file__).resolve().parents[1]
METADATA = ROOT / ".project-metadata.yaml"


def text(most: int) -> dict:
    return {"type": "string", "minLength": 1, "maxLength": most}


def task(kind: str, required: str, **fields) -> dict:
    """The schema of one type of task; fields that every type shares are added."""
    shared = {"type": {"const": kind}, "short_summary": text(200), "long_summary": text(4096)}
    return {
        "properties": {**shared, **fields},
        "required": ["type", *required.split()],
        "additionalProperties": False,
    }


# Cloudera's "AMP project specification", version 1.0, as far as this project could use it: names, types and limits of
# the fields. Model tasks are left out.
VARIABLES = {
    "type": "object",
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
}
GIVEN_VARIABLES = {**VARIABLES, "additionalProperties": {"type": "string"}}
ASKED_VARIABLES = {
    **VARIABLES,
    "additionalProperties": {
        "type": "object",
        "properties": {"default": {"type": "string"}, "description": text(2048), "required": {"type": "boolean"}},
        "required": ["description"],
        "additionalProperties": False,
    },
}
SCRIPT = {"type": "string", "pattern": r"^(?!/)(?!.*\.\.)[\w./-]+\.(py|ipynb|r|R)$"}
KERNEL = {"enum": ["python2", "python3", "r", "scala"]}
LABEL = {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,199}$"}
RESOURCES = {
    "cpu": {"type": "number", "exclusiveMinimum": 0},
    "memory": {"type": "number", "exclusiveMinimum": 0},
    "gpu": {"type": "integer", "minimum": 0},
}
RUN = {"name": text(200), "script": SCRIPT, "kernel": KERNEL, **RESOURCES}
JOB = {
    **RUN,
    "entity_label": LABEL,
    "arguments": text(4096),
    "environment": GIVEN_VARIABLES,
    "timeout": {"type": "integer"},
}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": text(200),
        "description": text(2048),
        "author": text(64),
        "date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$", "format": "date"},
        "specification_version": {"const": "1.0"},
        "prototype_version": text(16),
        "shared_memory_limit": {"type": "number", "exclusiveMinimum": 0},
        "environment_variables": ASKED_VARIABLES,
        "feature_dependencies": {"type": "array", "items": {"enum": ["model_metrics"]}},
        "runtimes": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "editor": {"enum": ["JupyterLab", "Workbench", "PBJ Workbench"]},
                    "kernel": {"type": "string", "pattern": r"^(Python 3\.\d+|R \d\.\d+|Scala 2\.\d+)$"},
                    "edition": text(32),
                    "version": text(64),
                    "addons": {"type": "array", "items": text(64)},
                },
                "required": ["editor", "kernel", "edition"],
                "additionalProperties": False,
            },
        },
        "tasks": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type"],
                "oneOf": [
                    task("run_session", "name script kernel", **RUN),
                    task("create_job", "name entity_label script kernel", **JOB),
                    task("run_job", "entity_label", **JOB),
                    task(
                        "start_application",
                        "name subdomain script kernel",
                        **RUN,
                        subdomain={"type": "string", "pattern": "^[a-z][a-z0-9-]{0,61}[a-z0-9]$"},
                        static_subdomain={"type": "boolean"},
                        bypass_authentication={"type": "boolean"},
                        environment_variables=GIVEN_VARIABLES,
                    ),
                ],
            },
        },
    },
    "required": ["name", "description", "author", "specification_version", "prototype_version", "runtimes", "tasks"],
    "additionalProperties": False,
}


def description() -> dict:
    return yaml.safe_load(METADATA.read_text(encoding="utf-8"))


def problems(top: dict) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(top)]


# ---------------------------------------------------------------- the description


def test_description_keeps_to_the_specification():
    assert problems(description()) == []


def set_at(*path):
    *parents, last, value = path

    def change(top):
        for name in parents:
            top = top[name]
        top[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_at("specification_version", 1.0),
        set_at("prototype_version", 0.1),
        set_at("author", "x" * 65),
        set_at("name", ""),
        set_at("date", "2026-13-01"),
        set_at("date", "21.11.2026"),
        set_at("runtimes", []),
        set_at("runtimes", 0, "editor", "Emacs"),
        set_at("shared_memory_limit", "2 GB"),
        set_at("tasks", 0, "type", "run_everything"),
        set_at("tasks", 0, "scripts", "cml/install_dependencies.py"),
        set_at("tasks", 0, "script", "../install.py"),
        set_at("tasks", 0, "arguments", "a session takes none"),
        set_at("tasks", 0, "cpu", 0),
        set_at("tasks", 0, "kernel", "python"),
        set_at("tasks", 3, "entity_label", "Not a label"),
        set_at("tasks", 4, "subdomain", "Not_A_Host"),
        set_at("environment_variables", "VIDBENCH_KINETICS_CLIPS", "default", 40),
        lambda top: top.pop("author"),
        lambda top: top["tasks"][3].pop("entity_label"),
        lambda top: top["tasks"][4].pop("subdomain"),
    ],
)
def test_a_description_that_breaks_the_specification_is_seen(change):
    top = copy.deepcopy(description())
    change(top)
    assert problems(top)


def test_shared_memory_is_raised_above_the_default():
    assert description()["shared_memory_limit"] >= 1  # GB


def test_every_task_is_complete_and_its_files_exist():
    tasks = description()["tasks"]
    for entry in tasks:
        assert (ROOT / entry["script"]).is_file()
        assert {"short_summary", "cpu", "memory"} <= set(entry)
        for argument in entry.get("arguments", "").split():
            assert (ROOT / argument.removeprefix("@")).is_file()
    kinds = [entry["type"] for entry in tasks]
    assert kinds == ["run_session"] * 3 + ["create_job", "start_application"]
    assert tasks[0]["script"] == "cml/install_dependencies.py"  # nothing else can run before it
    labels = [entry["entity_label"] for entry in tasks if entry["type"] == "create_job"]
    assert len(set(labels)) == len(labels)


def test_every_variable_that_is_asked_for_is_read():
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "cml").glob("*.py"))
    for name in description()["environment_variables"]:
        assert f'"{name}"' in scripts


def test_documentation_names_every_task_and_variable():
    page = (ROOT / "docs" / "cml.md").read_text(encoding="utf-8")
    for entry in description()["tasks"]:
        assert entry["name"] in page
        assert entry["script"] in page
    for name in re.findall(r"VIDBENCH_\w+", "".join(path.read_text() for path in (ROOT / "cml").glob("*.py"))):
        assert name in page


def test_scripts_are_plain_python():
    for path in (ROOT / "cml").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        compile(source, str(path), "exec")
        assert not re.search(r"(?m)^\s*[!%]", source)


def test_the_folder_does_not_hide_the_platforms_package(tmp_path):
    """Sessions import Cloudera's own ``cml`` with the project's folder first on their path."""
    package = tmp_path / "cml"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "data_v1.py").write_text("WHO = 'the platform'")
    code = "import cml.data_v1; print(cml.data_v1.WHO)"
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = run([sys.executable, "-c", code], ROOT, PYTHONPATH=path)
    assert done.stdout == "the platform\n"


# ---------------------------------------------------------------- a platform to run on

PIP = """
import json, os, pathlib, sys
words = sys.argv[1:]
files = {flag: pathlib.Path(words[words.index(flag) + 1]).read_text() for flag in ("-r", "-c") if flag in words}
with open(os.environ["PIP_RECORD"], "a") as file:
    file.write(json.dumps({"words": words, "files": files}) + "\\n")
print("Requirement already satisfied: pip in somewhere")
print("Installing collected packages: " + "x, " * 5000)
print("Ünïcode is fine too")
if any("headless" in word for word in words):
    pathlib.Path(os.environ["PIP_RECORD"]).with_name("headless").touch()
sys.exit(int(os.environ.get("PIP_STATUS", "0")))
"""
CV2 = """
import pathlib, os
if not pathlib.Path(os.environ["PIP_RECORD"]).with_name("headless").exists():
    raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
"""


@pytest.fixture
def project(tmp_path):
    """A copy of what a launch has: code, configurations and the mini set, but no results."""
    folder = tmp_path / "cdsw"
    for name in ("cml", "scripts", "vidbench", "data/vidmini"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "pyproject.toml", "README.md", ".project-metadata.yaml"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def platform(tmp_path):
    """Environment variables of a session; its pip only writes down what it was asked for."""
    stubs = tmp_path / "platform"
    for name, source in {
        "pip/__init__.py": "",  # or the real one goes first
        "pip/__main__.py": PIP,
        "cml/__init__.py": "",
        "cmlapi/__init__.py": "",
    }.items():
        (stubs / name).parent.mkdir(parents=True, exist_ok=True)
        (stubs / name).write_text(source)
    (tmp_path / "home").mkdir()
    return {
        "PYTHONPATH": str(stubs),
        "PIP_DRY_RUN": "1",  # should the real one ever be called, it changes nothing
        "PIP_RECORD": str(stubs / "asked.jsonl"),
        "HOME": str(tmp_path / "home"),
        "CDSW_PROJECT_ID": "17",
        "CDSW_PROJECT": "video-classification",
        "CDSW_ENGINE_ID": "a1b2c3d4e5f6",
        "CDSW_DOMAIN": "ml.example.org",
        "CDSW_APP_PORT": str(free_port()),
        "VIDBENCH_KINETICS_CLIPS": "0",
    }


def environment(**more: str) -> dict[str, str]:
    """This process's, without what a terminal or another launch left in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CDSW_", "VIDBENCH_", "JOB_"))}
    return {name: value for name, value in kept.items() if name not in ("TERM", "COLUMNS")} | more


def run(command, folder: Path, **more: str) -> subprocess.CompletedProcess:
    """A program without a terminal."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        timeout=500,
    )


def run_script(name: str, folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess:
    return run([sys.executable, f"cml/{name}.py", *words], folder, **more)


def asked_of_pip(platform: dict) -> list[dict]:
    return [json.loads(line) for line in Path(platform["PIP_RECORD"]).read_text().splitlines()]


class Kernel:
    """Runs scripts as one cell each in an IPython kernel, as JupyterLab runtimes may: ``__file__`` is missing."""

    def __init__(self, folder: Path, variables: dict):
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder), env=environment(**variables))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.folder = folder

    def start(self, name: str) -> str:
        return self.client.execute((self.folder / "cml" / f"{name}.py").read_text(encoding="utf-8"))

    def run(self, name: str, timeout: float = 300) -> tuple[str, str]:
        """What the log pane shows, and the reply's status."""
        shown = []

        def collect(message):
            if message["msg_type"] == "stream":
                shown.append(message["content"]["text"])

        source = (self.folder / "cml" / f"{name}.py").read_text(encoding="utf-8")
        reply = self.client.execute_interactive(source, timeout=timeout, output_hook=collect)
        return "".join(shown), reply["content"]["status"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def page_of(port: str | int, path: str = "/") -> str:
    """A page of the application, waited for."""
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


# ---------------------------------------------------------------- a whole launch


@pytest.mark.slow
def test_a_launch_runs_every_task_in_order(project, platform):
    pages, logs = {}, {}
    for entry in description()["tasks"]:
        command = [sys.executable, entry["script"], *shlex.split(entry.get("arguments", ""))]
        if entry["type"] != "start_application":
            done = run(command, project, **platform)
            assert done.returncode == 0, done.stdout + done.stderr
            logs[entry["script"]] = done.stdout
            continue
        process = subprocess.Popen(
            command,
            cwd=project,
            env=environment(**platform),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            pages["list"] = page_of(platform["CDSW_APP_PORT"])
            link = re.search(r'href="(runs/self-test/report\.html)"', pages["list"]).group(1)
            pages["report"] = page_of(platform["CDSW_APP_PORT"], "/" + link)
        finally:
            process.send_signal(signal.SIGTERM)
            logs[entry["script"]], _ = process.communicate(timeout=30)
    assert "All packages are there." in logs["cml/install_dependencies.py"]
    assert "144 clips" in logs["cml/download_data.py"]
    assert "Self-test passed" in logs["cml/self_test.py"]
    assert re.search(r"top-1 \d+\.\d % \[\d+\.\d, \d+\.\d\], n=144 \(0 skipped\)", logs["cml/evaluate_job.py"])
    assert logs["cml/application.py"].count("\n") == 1  # one line, whatever is asked for
    assert pages["list"].count('type="checkbox"') == 2  # the self-test and the Job
    assert "<!doctype html>" in pages["report"]
    for log in logs.values():
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", log), "control characters in the log pane"
        assert max(map(len, log.splitlines())) <= 400
    runs = sorted(path.name for path in (project / "results").iterdir())
    assert runs == ["mini_r2plus1d.vidmini_v1-vidmini-test", "self-test"]


@pytest.mark.slow
def test_scripts_run_in_a_kernel_too(project, platform):
    variables = platform | {"JOB_ARGUMENTS": "@scripts/config.txt --limit 8 --run-name nightly --no-cache"}
    with Kernel(project, variables) as kernel:
        shown, status = kernel.run("install_dependencies")
        assert (status, "All packages are there." in shown) == ("ok", True), shown
        shown, status = kernel.run("download_data")
        assert (status, "144 clips" in shown) == ("ok", True), shown
        shown, status = kernel.run("evaluate_job")
        assert status == "ok", shown
        assert "top-1" in shown
        assert (project / "results" / "nightly" / "report.html").is_file()
        kernel.start("application")
        assert "nightly" in page_of(platform["CDSW_APP_PORT"])
        kernel.manager.interrupt_kernel()
        reply = kernel.client.get_shell_msg(timeout=30)
        assert reply["content"]["status"] == "ok"


@pytest.mark.slow
def test_a_failure_fails_the_task_in_a_kernel_too(project, platform):
    with Kernel(project, platform | {"JOB_ARGUMENTS": "--model nothing.here --dataset vidmini"}) as kernel:
        shown, status = kernel.run("evaluate_job")
    assert status == "error"
    assert "nothing.here" in shown
    assert "Not finished" in shown


# ---------------------------------------------------------------- install


def test_install_asks_pip_once_and_shows_a_readable_log(project, platform):
    done = run_script("install_dependencies", project, **platform)
    assert done.returncode == 0, done.stdout
    (asked,) = asked_of_pip(platform)
    assert asked["words"][0] == "install"
    assert "--no-input" in asked["words"]
    assert "-e ." in asked["files"]["-r"].splitlines()
    assert "already satisfied" not in done.stdout
    assert "Ünïcode" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 400
    again = run_script("install_dependencies", project, **platform)
    assert again.returncode == 0


def test_install_leaves_the_editors_packages_alone(project, platform):
    """The notebook packages of this very environment stand for the runtime's."""
    from importlib.metadata import version

    run_script("install_dependencies", project, **platform)
    (asked,) = asked_of_pip(platform)
    pinned = dict(line.split("==") for line in asked["files"]["-c"].splitlines())
    for name in ("ipykernel", "ipython", "traitlets", "tornado", "jupyter-client", "jupyterlab"):
        assert pinned[name] == version(name)
    names = {re.match(r"[\w.-]*", line).group() for line in asked["files"]["-r"].splitlines()}
    assert "jupyterlab" not in names
    assert {"torch", "ipywidgets", "opencv-python"} <= names


def test_install_takes_the_headless_opencv_where_a_system_library_is_missing(project, platform):
    (Path(platform["PYTHONPATH"]) / "cv2.py").write_text(CV2)
    done = run_script("install_dependencies", project, **platform)
    assert done.returncode == 0, done.stdout
    asked = asked_of_pip(platform)
    pin = re.search(r"(?m)^opencv-python(==\S+)", (project / "requirements.txt").read_text()).group(1)
    assert [words["words"][-1] for words in asked[1:]] == [f"opencv-python-headless{pin}"]
    run_script("install_dependencies", project, **platform)
    assert len(asked_of_pip(platform)) == 3  # it works now: nothing is replaced again


def test_install_says_so_where_opencv_stays_broken(project, platform):
    (Path(platform["PYTHONPATH"]) / "cv2.py").write_text("raise ImportError('libGL')")
    done = run_script("install_dependencies", project, **platform)
    assert done.returncode == 1
    assert "not complete" in done.stdout


def test_install_ends_with_pips_status(project, platform):
    done = run_script("install_dependencies", project, **platform, PIP_STATUS="7")
    assert done.returncode == 7
    assert "PIP_INDEX_URL" in done.stdout
    assert "Traceback" not in done.stderr


def test_install_ends_with_the_real_pips_status(tmp_path):
    shutil.copytree(ROOT / "cml", tmp_path / "cml")
    (tmp_path / "requirements.txt").write_text("-r missing.txt\n")
    done = run_script("install_dependencies", tmp_path, PIP_DRY_RUN="1")
    assert done.returncode == 1
    assert "missing.txt" in done.stdout


@pytest.fixture
def scripts(monkeypatch):
    """The folder of scripts can be imported."""
    monkeypatch.syspath_prepend(str(ROOT / "cml"))


def test_install_names_the_pythons_it_needs(scripts, monkeypatch, capsys):
    import install_dependencies

    monkeypatch.setattr(install_dependencies, "PYTHONS", ((3, 99),))
    monkeypatch.setattr(install_dependencies, "install_requirements", lambda: pytest.fail("pip was called"))
    assert install_dependencies.main() == 1
    assert "3.11" in capsys.readouterr().out


def test_install_allows_the_pythons_of_the_package(scripts):
    import tomllib

    import install_dependencies

    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    low, high = install_dependencies.PYTHONS[0], install_dependencies.PYTHONS[-1]
    assert wanted == f">={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"


# ---------------------------------------------------------------- arguments, the Job, the self-test


@pytest.mark.parametrize(
    ("argv", "variable", "words"),
    [
        (["cml/evaluate_job.py"], None, ["@default"]),
        (["cml/evaluate_job.py"], "", ["@default"]),
        (["cml/evaluate_job.py", "@a.txt", "--limit", "5"], None, ["@a.txt", "--limit", "5"]),
        (["cml/evaluate_job.py", "@a.txt"], "@b.txt", ["@a.txt"]),
        (["/usr/lib/ipykernel_launcher.py", "-f", "/run/kernel.json"], None, ["@default"]),
        (
            ["/usr/lib/ipykernel_launcher.py", "-f", "k.json"],
            "@b.txt --data-dir 'a b'",
            ["@b.txt", "--data-dir", "a b"],
        ),
    ],
)
def test_arguments_come_from_the_command_line_or_the_variable(scripts, monkeypatch, argv, variable, words):
    import cml_session

    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.delenv("JOB_ARGUMENTS", raising=False)
    if variable is not None:
        monkeypatch.setenv("JOB_ARGUMENTS", variable)
    assert cml_session.arguments(["@default"]) == words


def test_a_quotation_mark_that_nothing_closes_is_named(scripts, monkeypatch, capsys):
    import cml_session

    monkeypatch.setattr(sys, "argv", ["cml/evaluate_job.py"])
    monkeypatch.setenv("JOB_ARGUMENTS", "@scripts/config.txt --run-name 'x")
    with pytest.raises(SystemExit) as ended:
        cml_session.arguments(["@default"])
    assert ended.value.code == 2
    assert "JOB_ARGUMENTS cannot be read (No closing quotation)" in capsys.readouterr().out


@pytest.mark.parametrize("status", [0, 3, 130, 143, 2])
def test_the_job_ends_with_the_evaluations_status_and_a_sentence(project, platform, status):
    (project / "scripts" / "evaluate.py").write_text(
        f"import sys; print('words', sys.argv[1:]); print('to stderr', file=sys.stderr); sys.exit({status})"
    )
    done = run_script("evaluate_job", project, "@scripts/config.txt", "--limit", "5", **platform)
    lines = done.stdout.splitlines()
    assert done.returncode == status
    assert lines[0] == "python scripts/evaluate.py @scripts/config.txt --limit 5"
    assert "words ['@scripts/config.txt', '--limit', '5']" in lines
    assert "to stderr" in lines
    begins = {0: "Finished", 3: "Finished, but", 130: "Stopped.", 143: "Stopped from outside", 2: "Not finished"}
    assert lines[-1].startswith(begins[status])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
def test_a_job_that_the_platform_stops_lets_the_evaluation_end_by_itself(project, platform):
    (project / "scripts" / "evaluate.py").write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('the command that continues'), sys.exit(143)))\n"
        "print('going on', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "cml/evaluate_job.py"]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=project, env=environment(**platform), **streams) as job:
        begun = [job.stdout.readline(), job.stdout.readline()]
        job.send_signal(signal.SIGTERM)
        ended = job.communicate(timeout=60)[0].splitlines()
    assert begun[1] == "going on\n"
    assert ended == ["the command that continues", "Stopped from outside. Run the Job again to continue."]
    assert job.returncode == 143


METRICS = {"n_skipped": 0, "listed": {"top1": {"k": 24, "n": 24}}}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (METRICS, ""),
        ({**METRICS, "n_skipped": 2}, "2 of 24 clips could not be read"),
        ({**METRICS, "listed": {"top1": {"k": 3, "n": 24}}}, "only 3 of 24"),
        ({**METRICS, "listed": {"top1": None}}, "no figures"),
        ({}, "no figures"),
        (None, "no figures"),
    ],
)
def test_the_self_test_sees_what_is_wrong_with_its_run(scripts, tmp_path, metrics, words):
    import self_test

    if metrics is not None:
        (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert words in self_test.verdict(tmp_path)
    assert bool(self_test.verdict(tmp_path)) == bool(words)


@pytest.mark.parametrize(("skipped", "words"), [(0, "Self-test passed"), (2, "Self-test failed: 2 of 24 clips could")])
def test_the_self_test_fails_where_something_is_wrong(project, platform, skipped, words):
    metrics = json.dumps({**METRICS, "n_skipped": skipped})
    (project / "scripts" / "evaluate.py").write_text(
        "import pathlib\nfolder = pathlib.Path('results/self-test')\nassert not folder.exists()\n"
        f"folder.mkdir(parents=True)\n(folder / 'metrics.json').write_text({metrics!r})\n"
    )
    (project / "results" / "self-test").mkdir(parents=True)  # an old run, which must not be taken for a new one
    done = run_script("self_test", project, **platform)
    assert done.returncode == (1 if skipped else 0)
    assert words in done.stdout
    assert "Traceback" not in done.stderr


def test_the_self_test_tells_little_shared_memory(scripts, monkeypatch):
    import self_test

    monkeypatch.setattr(self_test, "shared_memory_mb", lambda: 64.0)
    assert any("64 MB of shared memory are too little" in line for line in self_test.describe_machine())
    monkeypatch.setattr(self_test, "shared_memory_mb", lambda: 2048.0)
    assert not any("too little" in line for line in self_test.describe_machine())


# ---------------------------------------------------------------- the application


@pytest.mark.parametrize("port", ["", "abc", "0", "70000", "-1", "٣"])
def test_a_port_that_is_none_is_said(project, platform, port):
    done = run_script("application", project, **platform | {"CDSW_APP_PORT": port})
    assert done.returncode == 1
    assert "CDSW_APP_PORT" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_said(project, platform):
    with socket.create_server(("127.0.0.1", int(platform["CDSW_APP_PORT"]))):
        done = run_script("application", project, **platform)
    assert done.returncode == 1
    assert platform["CDSW_APP_PORT"] in done.stdout
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------- the mini set


def check_data(project: Path, **more: str) -> subprocess.CompletedProcess:
    return run_script("download_data", project, **{"VIDBENCH_KINETICS_CLIPS": "0", **more})


@pytest.fixture
def data_project(tmp_path):
    for name in ("cml", "data/vidmini"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_whole_mini_set_is_ready(data_project):
    done = check_data(data_project)
    assert done.returncode == 0
    assert "144 clips" in done.stdout


@pytest.mark.parametrize("damage", ["delete", "change", "manifest"])
def test_damaged_mini_set_is_named(data_project, damage):
    root = data_project / "data" / "vidmini"
    clip = sorted((root / "videos" / "SitDown").iterdir())[5]
    if damage == "delete":
        clip.unlink()
    elif damage == "change":
        clip.write_bytes(clip.read_bytes()[:-1] + b"x")
    else:
        (root / "manifest.json").write_text("{")
    done = check_data(data_project)
    assert done.returncode == 1
    assert "is not whole" in done.stdout
    assert ("SitDown" in done.stdout) == (damage != "manifest")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", ["x", "-1", "1001", "1.5", "٣"])
def test_a_number_of_clips_that_is_none_is_said(data_project, number):
    done = check_data(data_project, VIDBENCH_KINETICS_CLIPS=number)
    assert done.returncode == 1
    assert "VIDBENCH_KINETICS_CLIPS must be a whole number" in done.stdout


def test_without_a_network_the_mini_set_has_to_do(data_project):
    url = f"http://127.0.0.1:{free_port()}"
    done = check_data(data_project, VIDBENCH_KINETICS_CLIPS="5", VIDBENCH_KINETICS_URL=url)
    assert done.returncode == 0
    assert "144 clips" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "cannot be had" in line]
    assert "mini set" in line
    assert done.stderr == ""
    assert not (data_project / "data" / "raw").exists()  # nothing that looks like data


# ---------------------------------------------------------------- a few clips of Kinetics


OFFICIAL = "https://s3.amazonaws.com/kinetics/400"


class Mirror:
    """The copy's layout on this machine: one list of labels, one of archives, and the archives.

    ``files`` maps addresses to bytes, or to a function that answers through the handler; ``asked`` is what was asked
    for, ``sent`` how many bytes of it were taken.
    """

    def __init__(self):
        self.files, self.asked, self.sent = {}, [], 0
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.asked.append(self.path)
                body = mirror.files.get(self.path)
                if callable(body):
                    return body(self)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                try:
                    for start in range(0, len(body or b""), 1 << 14):
                        self.wfile.write(body[start : start + (1 << 14)])
                        mirror.sent += min(1 << 14, len(body) - start)
                except ConnectionError:
                    pass
                return None

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def offer(self, labels: dict[str, str], *archives: bytes, names=None):
        """A list of ``{ID_START_END: label}`` and archives."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["label", "youtube_id", "time_start", "time_end", "split", "is_cc"])
        for name, label in labels.items():
            writer.writerow([label, name[:11], int(name[12:18]), int(name[19:]), "val", 0])
        names = names or [f"part_{number}.tar.gz" for number in range(len(archives))]
        self.files["/400/annotations/val.csv"] = table.getvalue().encode()
        self.files["/400/val/k400_val_path.txt"] = "".join(f"{OFFICIAL}/val/{name}\n" for name in names).encode()
        for name, archive in zip(names, archives):
            self.files[f"/400/val/{name.replace(' ', '%20')}"] = archive


@pytest.fixture
def mirror():
    made = Mirror()
    yield made
    made.server.shutdown()
    made.server.server_close()


def archive(members, mode="w:gz") -> bytes:
    """A tar of ``(name, bytes)`` or of ``TarInfo``, in this order."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return target.getvalue()


def draw_split(num_clips: int, num_classes: int, rng, size: int = 300) -> tuple[dict, list]:
    """``({ID_START_END: label}, [(file name, bytes)])`` with random ids, some beginning with a minus, and contents."""
    letters = np.array(list("abcXYZ019-_"))
    classes = rng.choice(load_labels("kinetics400"), num_classes, replace=False)
    labels, members = {}, []
    for number in range(num_clips):
        start = int(rng.integers(0, 900))
        name = "-" * (number % 3 == 0) + "".join(rng.choice(letters, 11))
        name = f"{name[:11]}_{start:06d}_{start + 10:06d}"
        labels[name] = str(classes[number % num_classes])
        members.append((f"{name}.mp4", rng.bytes(size + number)))
    order = rng.permutation(len(members))
    return labels, [members[i] for i in order]


def sample_of(root: Path, wanted: int, mirror):
    import kinetics_sample

    return kinetics_sample.fetch_sample(root, wanted, mirror.url)


def clips_in(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "val").iterdir()}


@pytest.fixture
def rng():
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


@pytest.mark.usefixtures("scripts")
def test_clips_are_spread_evenly_over_the_classes(mirror, tmp_path, rng):
    labels, members = draw_split(42, 7, rng)
    mirror.offer(labels, archive(members))
    sample = sample_of(tmp_path, 14, mirror)
    assert (sample.problem, sample.clips, sample.added, sample.classes) == ("", 14, 14, 7)
    clips = clips_in(tmp_path)
    taken = [labels[name.removesuffix(".mp4")] for name in clips]
    assert sorted(taken.count(label) for label in set(taken)) == [2] * 7
    assert clips.items() <= dict(members).items()
    records = load_records("kinetics400", tmp_path, "val")  # as the evaluation will find them
    present, absent = keep_present(records)
    assert (len(present), absent) == (14, 28)
    assert {record.path.rpartition("/")[2] for record in present} == set(clips)


@pytest.mark.usefixtures("scripts")
def test_fewer_clips_than_classes_are_of_different_classes(mirror, tmp_path, rng):
    labels, members = draw_split(60, 20, rng)
    mirror.offer(labels, archive(members[:30]), archive(members[30:]))
    sample = sample_of(tmp_path, 8, mirror)
    assert (sample.clips, sample.classes) == (8, 8)


@pytest.mark.usefixtures("scripts")
def test_a_second_call_asks_for_nothing(mirror, tmp_path, rng):
    labels, members = draw_split(12, 4, rng)
    mirror.offer(labels, archive(members))
    sample_of(tmp_path, 8, mirror)
    before, mirror.asked[:] = clips_in(tmp_path), []
    sample = sample_of(tmp_path, 8, mirror)
    assert (sample.clips, sample.added, sample.megabytes, mirror.asked) == (8, 0, 0.0, [])
    assert clips_in(tmp_path) == before


@pytest.mark.usefixtures("scripts")
def test_an_archive_is_left_as_soon_as_enough_is_there(mirror, tmp_path, rng):
    labels, members = draw_split(60, 3, rng, size=500_000)  # 30 MB in all
    mirror.offer(labels, archive(members))
    sample = sample_of(tmp_path, 3, mirror)
    assert sample.clips == 3
    assert sample.megabytes < 10
    assert mirror.sent < 25_000_000
    assert not list(tmp_path.rglob("*.tar*"))


@pytest.mark.usefixtures("scripts")
def test_a_broken_download_keeps_whole_clips_and_goes_on_later(mirror, tmp_path, rng):
    labels, members = draw_split(20, 5, rng, size=50_000)
    whole = archive(members)
    mirror.offer(labels, whole[: len(whole) // 2])
    sample = sample_of(tmp_path, 20, mirror)
    assert sample.problem
    assert 0 < sample.clips < 20
    first = clips_in(tmp_path)
    assert len(first) == sample.clips
    assert first.items() <= dict(members).items()  # no clip in part, none that ends in .part
    mirror.offer(labels, whole)
    again = sample_of(tmp_path, 20, mirror)
    assert (again.problem, again.clips, again.added) == ("", 20, 20 - len(first))
    assert clips_in(tmp_path) == dict(members)


@pytest.mark.usefixtures("scripts")
def test_a_part_of_a_clip_left_by_a_kill_is_no_clip(mirror, tmp_path, rng):
    labels, members = draw_split(6, 3, rng)
    mirror.offer(labels, archive(members))
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / f"{members[0][0]}.part").write_bytes(b"half")
    assert sample_of(tmp_path, 6, mirror).added == 6
    assert clips_in(tmp_path) == dict(members)


def link(name: str, target: str, kind=tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.usefixtures("scripts")
def test_nothing_in_an_archive_decides_where_a_file_lands(mirror, tmp_path, rng):
    labels, members = draw_split(5, 5, rng)
    (good, data), (a, _), (b, _), (c, _), (d, _) = members
    outside = tmp_path / "outside"
    outside.write_text("safe")
    hostile = [
        (f"../../{a}.mp4", b"name"),
        (f"/{'x' * 30}.mp4", b"absolute"),
        (f"{outside}", b"overwritten"),
        link(a, str(outside)),
        link(b, "../../outside", tarfile.LNKTYPE),
        link(c, "", tarfile.FIFOTYPE),
        ("notes.txt", b"text"),
        ("unlisted-id_000001_000011.mp4"[-29:], b"no label"),
        (d.replace(".mp4", ".MP4"), b"case"),
        (f"deep/../../{good}", data),  # the name alone counts
    ]
    mirror.offer(labels, archive(hostile))
    sample = sample_of(tmp_path / "root", 5, mirror)
    assert sample.problem  # too few
    assert clips_in(tmp_path / "root") == {good: data}
    assert outside.read_text() == "safe"
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir()}
    assert found == {"outside", "root/annotations/val.csv", f"root/val/{good}"}


@pytest.mark.usefixtures("scripts")
def test_huge_members_are_passed_over(mirror, tmp_path, rng, monkeypatch):
    import kinetics_sample

    monkeypatch.setattr(kinetics_sample, "MOST_CLIP_BYTES", 1000)
    labels, members = draw_split(4, 4, rng)
    big = (members[0][0], rng.bytes(2000))
    mirror.offer(labels, archive([big, *members[1:]]))
    assert sample_of(tmp_path, 4, mirror).clips == 3
    assert members[0][0] not in clips_in(tmp_path)


@pytest.mark.usefixtures("scripts")
def test_reading_stops_where_it_gets_too_much(mirror, tmp_path, rng, monkeypatch):
    import kinetics_sample

    monkeypatch.setattr(kinetics_sample, "BYTES_A_CLIP", 100_000)
    monkeypatch.setattr(kinetics_sample, "MOST_LIST_BYTES", 100_000)
    labels, members = draw_split(3, 3, rng)
    mirror.offer(labels, archive([("other.bin", rng.bytes(5_000_000)), *members]))
    sample = sample_of(tmp_path, 3, mirror)
    assert "too few clips" in sample.problem
    assert sample.megabytes < 0.6


@pytest.mark.usefixtures("scripts")
def test_reading_stops_where_it_takes_too_long(mirror, tmp_path, rng, monkeypatch):
    import kinetics_sample

    monkeypatch.setattr(kinetics_sample, "DEADLINE_S", -1)
    mirror.offer(draw_split(3, 3, rng)[0])
    assert "longer than" in sample_of(tmp_path, 3, mirror).problem


@pytest.mark.usefixtures("scripts")
def test_plain_tars_and_names_with_blanks_are_read(mirror, tmp_path, rng):
    labels, members = draw_split(6, 6, rng)
    mirror.offer(
        labels,
        archive(members[:2], mode="w"),  # one archive of the copy once was no gzip
        archive(members[2:]),
        names=["part_0.tar.gz", "part 1.tar.gz"],
    )
    assert sample_of(tmp_path, 6, mirror).problem == ""
    assert "/400/val/part%201.tar.gz" in mirror.asked


def silent(handler):
    time.sleep(3)


def moved(handler):
    handler.send_response(302)
    handler.send_header("Location", "http://198.51.100.7/val.csv")  # nobody's address
    handler.end_headers()


def refused(handler):
    handler.send_error(403)


LOGIN = b"<!doctype html><title>Please log in</title>"


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize(
    ("file", "answer", "words"),
    [
        ("annotations/val.csv", None, "404"),
        ("annotations/val.csv", refused, "403 Forbidden"),
        ("annotations/val.csv", silent, "no answer in time"),
        ("annotations/val.csv", moved, "not an https address"),
        ("annotations/val.csv", LOGIN, "val.csv"),
        ("annotations/val.csv", b"", "val.csv"),
        ("annotations/val.csv", b"\xff\xfe\x00" * 99, "val.csv"),
        ("val/k400_val_path.txt", LOGIN, "leads elsewhere"),
        ("val/k400_val_path.txt", b"https://example.org/kinetics/part_0.tar.gz\n", "leads elsewhere"),
        ("val/k400_val_path.txt", b"", "no more clips"),
        ("val/part_0.tar.gz", None, "404 Not Found"),
        ("val/part_0.tar.gz", LOGIN, "ReadError"),
        ("val/part_0.tar.gz", b"", "ReadError"),
    ],
)
def test_what_a_server_may_do_is_said_in_a_sentence(mirror, tmp_path, rng, monkeypatch, file, answer, words):
    import kinetics_sample

    monkeypatch.setattr(kinetics_sample, "TIMEOUT_S", 0.5)
    labels, members = draw_split(3, 3, rng)
    mirror.offer(labels, archive(members))
    good = dict(mirror.files)
    mirror.files[f"/400/{file}"] = answer
    sample = sample_of(tmp_path, 3, mirror)
    assert re.search(words, sample.problem), sample.problem
    assert "\n" not in sample.problem
    assert sample.clips == 0
    mirror.files.update(good)  # and nothing that was left behind is in the way of the next call
    assert sample_of(tmp_path, 3, mirror).clips == 3


@pytest.mark.usefixtures("scripts")
def test_a_folder_that_cannot_be_written_is_said(mirror, tmp_path, rng):
    labels, members = draw_split(3, 3, rng)
    mirror.offer(labels, archive(members))
    (tmp_path / "annotations").write_text("a file in the way")
    assert sample_of(tmp_path, 3, mirror).problem


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize("url", ["http://example.org", "ftp://example.org", "file:///etc", "nonsense", ""])
def test_only_https_is_asked(tmp_path, url):
    import kinetics_sample

    assert "not an https address" in kinetics_sample.fetch_sample(tmp_path, 3, url).problem


@pytest.mark.usefixtures("scripts")
def test_a_certificate_that_nobody_vouches_for_is_refused(mirror, tmp_path, rng):
    if not shutil.which("openssl"):
        pytest.skip("needs the program openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    mirror.server.socket = context.wrap_socket(mirror.server.socket, server_side=True)
    mirror.offer(draw_split(3, 3, rng)[0])
    mirror.url = mirror.url.replace("http:", "https:")
    sample = sample_of(tmp_path / "root", 3, mirror)
    assert sample.problem == "its certificate cannot be verified"
    assert mirror.asked == []


def test_the_script_fetches_real_clips_and_says_what_they_are(mirror, data_project, make_video, rng):
    labels, members = draw_split(6, 3, rng)
    clips = [
        (name, make_video(data_project / "drawn" / name.strip("-"), num_frames=9).read_bytes()) for name, _ in members
    ]
    mirror.offer(labels, archive(clips))
    for added in (3, 0):
        done = check_data(data_project, VIDBENCH_KINETICS_CLIPS="3", VIDBENCH_KINETICS_URL=mirror.url)
        assert done.returncode == 0, done.stderr
        assert f"{added} clips added" in done.stdout
        assert "3 clips of 3 classes" in done.stdout
        assert "uploaders' terms" in done.stdout
        assert done.stderr == ""
    from vidbench.data.decode import read_clip

    for path in (data_project / "data" / "raw" / "kinetics400" / "val").iterdir():
        assert read_clip(path, [0, 8]).frames.shape[0] == 2
