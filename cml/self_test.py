"""See that this session can evaluate: what the machine offers, then the shipped model on 24 clips of the mini set.

The run is kept as results/self-test, so that the report browser has something to show from the start.
"""

import json
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path("cml").resolve()
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cml_session import ROOT, end, show  # noqa: E402

NUM_CLIPS = 24
LEAST_RIGHT = 0.9  # the shipped model reaches more on every split drawn so far; a broken installation reaches a twelfth
LEAST_SHARED_MB = 256  # PyTorch's DataLoader workers pass batches there; the platform's default is 64


def shared_memory_mb() -> float | None:
    """Size of the shared memory, in MB (2**20 bytes); ``None`` where the system has no /dev/shm."""
    try:
        info = os.statvfs("/dev/shm")
    except (OSError, AttributeError):
        return None
    return info.f_blocks * info.f_frsize / 2**20


def describe_machine() -> list[str]:
    """What the session has, one line each."""
    from vidbench.utils import machine_facts, package_versions

    facts, versions, shared = machine_facts(), package_versions(), shared_memory_mb()
    lines = [
        f"python    {versions['python']}, torch {versions.get('torch', 'not installed')}",
        f"machine   {facts['cores']} cores, {facts.get('memory_gb', 'unknown')} GB of memory (of the whole node)",
        f"disk      {shutil.disk_usage(ROOT).free / 1e9:.0f} GB free in the project",
        f"gpu       {gpu_words()}",
        f"shared    {f'{shared:.0f} MB' if shared is not None else 'unknown'} of shared memory",
    ]
    if shared is not None and shared < LEAST_SHARED_MB:
        lines.append(
            f"note      {shared:.0f} MB of shared memory are too little for PyTorch's DataLoader workers: raise the "
            "limit in the project's settings, to 2 GB say. The evaluation itself does without."
        )
    return lines


def gpu_words() -> str:
    try:
        import torch
    except ImportError:
        return "unknown, torch is not installed"
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none; the processor is used"


def verdict(run: Path) -> str:
    """What is wrong with the run of the self-test, or nothing."""
    try:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        top1 = metrics["listed"]["top1"]
        right, listed, skipped = top1["k"], top1["n"], metrics["n_skipped"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        return f"the run has no figures ({type(problem).__name__})"
    if skipped:
        return f"{skipped} of {listed} clips could not be read"
    if right < LEAST_RIGHT * listed:
        return f"only {right} of {listed} clips were classified right, where nearly all should be"
    return ""


def main() -> int:
    print("\n".join(describe_machine()), flush=True)
    run = ROOT / "results" / "self-test"
    shutil.rmtree(run, ignore_errors=True)  # an old one would only be read again
    words = ["@scripts/config.txt", "--limit", str(NUM_CLIPS), "--run-name", run.name, "--no-cache"]
    status = show([sys.executable, "scripts/evaluate.py", *words])
    problem = f"the evaluation ended with status {status}" if status else verdict(run)
    if problem:
        print(f"Self-test failed: {problem}.")
        return status or 1
    print("Self-test passed: clips are read, the network runs, and it is right where it should be.")
    return 0


if __name__ == "__main__":
    end(main())
