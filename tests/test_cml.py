"""The project description for Cloudera Machine Learning names files that exist, and its scripts tell the truth."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FIELDS = {
    "run_session": {"type", "name", "script", "short_summary", "kernel", "cpu", "memory"},
    "create_job": {"type", "name", "entity_label", "script", "arguments", "short_summary", "kernel", "cpu", "memory"},
}


def description() -> dict:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / ".project-metadata.yaml").read_text(encoding="utf-8"))


def test_description_keeps_to_the_formats_limits():
    top = description()
    for name, limit in {"name": 200, "description": 2048, "author": 64, "prototype_version": 16, "date": 10}.items():
        assert isinstance(top[name], str), name
        assert 0 < len(top[name]) <= limit
    assert top["runtimes"]
    assert top["shared_memory_limit"] >= 1  # GB: pictures pass between processes there


def test_every_task_is_complete_and_its_files_exist():
    for task in description()["tasks"]:
        assert set(task) == FIELDS[task["type"]]
        assert (ROOT / task["script"]).is_file()
        for argument in task.get("arguments", "").split():
            assert (ROOT / argument.removeprefix("@")).is_file()


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "cml", tmp_path / "cml", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data" / "vidmini", tmp_path / "data" / "vidmini")
    return tmp_path


def check_data(project: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(project / "cml" / "download_data.py")], capture_output=True, text=True)


def test_whole_mini_set_is_ready(project):
    done = check_data(project)
    assert done.returncode == 0
    assert "144 clips" in done.stdout


@pytest.mark.parametrize("damage", ["delete", "change", "manifest"])
def test_damaged_mini_set_is_named(project, damage):
    root = project / "data" / "vidmini"
    clip = sorted((root / "videos" / "SitDown").iterdir())[5]
    if damage == "delete":
        clip.unlink()
    elif damage == "change":
        clip.write_bytes(clip.read_bytes()[:-1] + b"x")
    else:
        (root / "manifest.json").write_text("{")
    done = check_data(project)
    assert done.returncode == 1
    assert "is not whole" in done.stdout
    assert ("SitDown" in done.stdout) == (damage != "manifest")
    assert "Traceback" not in done.stderr


def test_install_ends_with_pips_status(tmp_path):
    (tmp_path / "cml").mkdir()
    shutil.copy(ROOT / "cml" / "install_dependencies.py", tmp_path / "cml")
    (tmp_path / "requirements.txt").write_text("-r missing.txt\n")
    done = subprocess.run([sys.executable, str(tmp_path / "cml" / "install_dependencies.py")], capture_output=True)
    assert done.returncode == 1
