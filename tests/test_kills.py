"""An evaluation that is killed again and again ends with the same bytes."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ("rows.jsonl", "logits.npy", "predictions.csv", "metrics.json")


def command(extra=()):
    return [
        sys.executable, str(ROOT / "scripts" / "evaluate.py"), "--model", "mini_r2plus1d.vidmini_v1",
        "--dataset", "vidmini", "--data-dir", str(ROOT / "data" / "vidmini"), "--limit", "60", "--batch-size", "2",
        "--precision", "fp32", "--device", "cpu", "--num-workers", "2", "--no-cache",
        "--results-dir", "results", "--run-name", "run", *extra,
    ]  # fmt: skip


def fingerprint(folder: Path) -> str:
    digests = [hashlib.sha256((folder / "results" / "run" / name).read_bytes()).hexdigest() for name in RESULTS]
    return "\n".join(digests)


def children_of(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def still_running(pids: list[int], seconds: float) -> list[int]:
    """Those of them that run on after so long; one that has ended and waits to be asked for its status does not run."""
    until = time.monotonic() + seconds
    while left := [pid for pid in pids if runs(pid)]:
        if time.monotonic() > until:
            return left
        time.sleep(0.05)
    return []


def runs(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_rows(folder: Path, count: int, process, seconds: float = 120) -> None:
    path = folder / "results" / "run" / "rows.jsonl"
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} rows after {seconds} s; exit status {process.poll()}")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(), cwd=folder, check=True, capture_output=True)
    return fingerprint(folder)


def test_a_run_killed_in_the_middle_ends_with_the_same_bytes(tmp_path, undisturbed):
    rng = random.Random(3)
    for target in (1, 12, 33):
        process = subprocess.Popen(command(), cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
        wait_for_rows(tmp_path, target, process)
        time.sleep(rng.random() * 0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command(), cwd=tmp_path, check=True, capture_output=True)
    assert fingerprint(tmp_path) == undisturbed


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "TERM"])
def test_a_stopped_run_leaves_its_status_no_children_and_what_continues(tmp_path, undisturbed, number, status):
    process = subprocess.Popen(
        command(), cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_rows(tmp_path, 4, process)
    children = children_of(process.pid)
    assert children, "decoding happens in processes of its own"
    os.killpg(process.pid, number)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert "leaked" not in err
    assert "stopped. To continue: " in err
    assert "evaluate.py" in err
    assert not still_running(children, 10)
    subprocess.run(command(), cwd=tmp_path, check=True, capture_output=True)
    assert fingerprint(tmp_path) == undisturbed


def test_a_killed_parent_leaves_no_worker_behind(tmp_path):
    process = subprocess.Popen(command(), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_rows(tmp_path, 2, process)
    children = children_of(process.pid)
    process.kill()
    process.wait()
    assert not still_running(children, 10)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' limit on file sizes")
@pytest.mark.parametrize(
    ("most_bytes", "said"),
    [(50_000, "cannot hand over"), (100_000, "File too large")],
    ids=["no pictures", "no report"],
)
def test_a_full_disk_ends_the_run_in_one_sentence_and_costs_no_row(tmp_path, most_bytes, said):
    """A limit on file sizes refuses to write as a full disk does: pictures of a worker, or the report."""
    import resource

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

    words = command(["--model", "mini2d.vidmini_v1", "--limit", "12", "--num-workers", "1"])
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limited)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
    assert "run the same command again" in done.stderr
    rows = tmp_path / "results" / "run" / "rows.jsonl"
    assert not rows.exists() or "decode_error" not in rows.read_text()
    assert not list(tmp_path.rglob("*.tmp"))
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    assert rows.read_text().count('"status":"ok"') == 12


class EveryTwenty:
    """Kills a decoding process whenever twenty more rows are there."""

    def __init__(self):
        self.rng, self.kills = random.Random(5), 0

    def start(self, *_):
        pass

    def update(self, done, skipped):
        if done // 20 > self.kills:
            self.kills += 1
            os.kill(self.rng.choice(children_of(os.getpid())), signal.SIGKILL)

    def stop(self):
        pass


def test_a_worker_killed_every_twenty_clips_costs_no_row(tmp_path):
    from test_evaluate import bytes_of, config, rows_of

    from vidbench.evaluate import evaluate

    wanted = {"model": "mini2d.vidmini_v1", "limit": None}
    calm = evaluate(config(tmp_path, **wanted, run_name="calm", num_workers=0))
    killer = EveryTwenty()
    disturbed = evaluate(config(tmp_path, **wanted, run_name="disturbed"), progress=killer)
    assert killer.kills == 7  # of 144 clips
    assert {row["status"] for row in rows_of(disturbed.run_folder)} == {"ok"}
    assert bytes_of(disturbed.run_folder) == bytes_of(calm.run_folder)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_kills_at_random_moments_end_with_the_same_bytes(tmp_path, shared_dir):
    """Eight at least by default; ``VIDBENCH_KILLS=100 VIDBENCH_SIGNAL=INT`` makes others."""
    kills, how = int(os.environ.get("VIDBENCH_KILLS", "8")), os.environ.get("VIDBENCH_SIGNAL", "KILL")
    check = tmp_path / "check.py"
    check.write_text(
        "import hashlib\n"
        f"for name in {RESULTS!r}:\n"
        "    print(hashlib.sha256(open('results/run/' + name, 'rb').read()).hexdigest())\n"
    )
    took_s = []
    for name in ("a", "b", "c"):
        began = time.monotonic()
        subprocess.run(command(["--run-name", name]), cwd=tmp_path, check=True, capture_output=True)
        took_s.append(time.monotonic() - began)
    whole_s = min(took_s)  # kills fall into the part of a run that works, however fast the machine is
    between = ["--lo", str(0.4 * whole_s), "--hi", str(0.9 * whole_s)]
    killer = [
        sys.executable, str(shared_dir / "torture" / "killer.py"), "--workdir", str(tmp_path / "work"),
        "--check", f"{sys.executable} {check}", "--rounds", str(kills * 2 + 4), "--signal", how, *between,
        "--", *command(),
    ]  # fmt: skip
    done = subprocess.run(killer, capture_output=True, text=True)
    said = json.loads(done.stdout)
    print({name: said[name] for name in ("rounds", "killed", "failed", "same")})
    assert done.returncode == 0, said["problems"]
    assert said["same"]
    assert said["killed"] >= kills, said
