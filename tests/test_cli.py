"""scripts/evaluate.py as people start it: in its own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "evaluate.py"
HEAVY = {"torch", "torchvision", "tensorflow", "pandas", "av", "cv2", "sklearn", "matplotlib", "jinja2", "transformers"}


def start(*arguments, cwd, python=(), **more):
    return subprocess.run(
        [sys.executable, *python, str(SCRIPT), *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, **more
    )


def imported(text: str) -> set[str]:
    """Top-level packages in the output of ``python -X importtime``."""
    lines = [line for line in text.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().partition(".")[0] for line in lines}


def test_help_imports_nothing_heavy(tmp_path):
    done = start("--help", cwd=tmp_path, python=("-X", "importtime"))
    assert done.returncode == 0
    assert done.stdout.startswith("usage: evaluate.py [-h] --model NAME --dataset NAME [options]\n")
    assert "vidbench" in imported(done.stderr)
    assert not imported(done.stderr) & HEAVY


def test_a_bad_option_is_refused_before_anything_heavy_is_imported(tmp_path):
    (tmp_path / "bad.txt").write_text("# my run\n--bathc_size 4\n")
    done = start("@bad.txt", cwd=tmp_path, python=("-X", "importtime"))
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert done.stdout == ""
    assert said[0].startswith("evaluate.py: bad.txt:2: unknown option '--bathc_size'. Did you mean '--batch-size'")
    assert len(said) == 2
    assert not imported(done.stderr) & HEAVY


def test_a_label_mismatch_is_refused_before_anything_heavy_is_imported(tmp_path):
    words = ["--model", "movinet_a0_stream.k600_int8", "--dataset", "kinetics400"]
    done = start(*words, cwd=tmp_path, python=("-X", "importtime"))
    assert done.returncode == 2
    assert "--label-map names" in done.stderr
    assert not imported(done.stderr) & HEAVY
    assert list(tmp_path.iterdir()) == []


def test_without_arguments_the_required_options_are_named(tmp_path):
    done = start(cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("evaluate.py: --model and --dataset must be given")
    assert "Traceback" not in done.stderr


def test_version_is_the_packages(tmp_path):
    import vidbench

    assert start("--version", cwd=tmp_path).stdout == f"vidbench {vidbench.__version__}\n"


def test_help_works_where_the_terminal_knows_only_ascii(tmp_path):
    done = start("--help", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii", "PATH": ""})
    assert done.returncode == 0
    assert "500 give" in done.stdout


def test_a_reader_that_goes_away_ends_the_program_quietly(tmp_path):
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), "--help"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
        process.wait(60)
    assert said == b""
    assert process.returncode in (0, 1)


def test_a_worker_that_imports_the_script_loads_nothing_of_ours(tmp_path):
    # a spawned process runs the parent's script under another name before its own work
    code = f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}, run_name='__mp_main__'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not {name.partition(".")[0] for name in done.stdout.split()} & (HEAVY | {"vidbench", "numpy"})


def test_help_explains_the_exit_statuses(tmp_path):
    text = start("--help", cwd=tmp_path).stdout.split("exit status", 1)[1]
    for status in (0, 1, 2, 3, 130):
        assert f"\n  {status:<5}" in text
