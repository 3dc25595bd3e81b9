"""How long a comparison and a report of large runs take, and how much memory.

    python benchmarks/runs.py --videos 20000 --classes 400 --write

Draws two runs of that size (one view, groups of three videos, no video files), runs ``scripts/compare.py``, with and
without a fitted ensemble, and makes the figures and the report of one of them, each in a process of its own;
``--rounds`` times in turn. ``--write`` puts the table into benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PROGRAMS = {
    "compare.py": ["scripts/compare.py", "{a}", "{b}", "--out", "{out}"],
    "compare.py, ensemble fitted": ["scripts/compare.py", "{a}", "{b}", "--out", "{out}", "--ensemble", "fit"],
    "metrics.json and report.html": ["benchmarks/runs.py", "--report", "{a}"],
}


def draw_run(folder: Path, num_videos: int, num_classes: int, seed: int) -> Path:
    """A finished run whose best class is right about three times of four."""
    from vidbench.records import Row, VideoRecord
    from vidbench.runs import RunFolder
    from vidbench.views import aggregate

    rng, listed = np.random.default_rng(seed), []
    labels = [f"class {k:03d}" for k in range(num_classes)]
    for n in range(num_videos):
        label = n % num_classes
        listed.append(VideoRecord(f"v{n:06d}", f"v{n:06d}.mp4", labels[label], label, "val", f"g{n // 3:06d}"))
    manifest = {
        "run_name": folder.name,
        "model": {"name": "r3d_18.kinetics400_v1", "random": False},  # has a published figure
        "spec": {"sampling": "clips", "num_clips": 1, "num_crops": 1, "average": "logits", "num_frames": 16},
        "dataset": {"name": "drawn", "split": "val", "n_listed": num_videos},
        "run": {"device": "cpu", "batch_size": 1000, "top_n": 5},
        "protocol": {"on_card": True, "num_views": 1},
        "labels": labels,
    }
    with RunFolder(folder, manifest, listed, 1, num_classes, 1000) as run:
        for start in range(0, num_videos, 1000):
            part = listed[start : start + 1000]
            true = np.array([record.label_index for record in part])
            logits = rng.normal(size=(len(part), 1, num_classes)).astype(np.float32) * 2
            logits[np.arange(len(part)), 0, true] += 7
            scores = aggregate(logits, "logits")
            order = np.argsort(-scores, axis=1)[:, :5]
            ranks = (scores >= np.take_along_axis(scores, true[:, None], 1)).sum(1) - 1
            rows = [
                Row(
                    start + n, r.video_id, r.path, r.label, r.label_index, r.split, r.group, "ok",
                    top=tuple((labels[k], int(k), float(f"{scores[n, k]:.7g}")) for k in order[n]), rank=int(ranks[n]),
                )
                for n, r in enumerate(part)
            ]  # fmt: skip
            run.append(rows, logits)
    return folder


def make_report(folder: Path) -> None:
    """What ``evaluate`` does when its last row is there."""
    from types import SimpleNamespace

    from vidbench.evaluate import finish

    finish(folder, SimpleNamespace(max_skipped=1.0), ran=True)


def measured(words: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak resident MB of a process."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with status {status}")
    cpu = usage.ru_utime + usage.ru_stime
    return time.monotonic() - began, cpu, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.report:
        return make_report(args.report)
    found: dict[str, list] = {name: [] for name in PROGRAMS}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        places = {name: str(Path(folder) / name) for name in ("a", "b", "out")}
        for seed, name in enumerate("ab"):
            draw_run(Path(places[name]), args.videos, args.classes, seed)
        for _ in range(args.rounds):
            for name, words in PROGRAMS.items():
                found[name].append(measured([word.format(**places) for word in words]))
    table = write_up(args, found, load)
    print(table)
    return write_down(table) if args.write else None


def write_up(args, found: dict, load: float) -> str:
    """The measurements as a section of benchmarks/README.md."""
    from vidbench.utils import machine_facts

    facts = machine_facts()
    lines = [
        "## Comparing and reporting large runs",
        "",
        f"`python benchmarks/runs.py --rounds {args.rounds} --write`: two drawn runs of {args.videos:,} videos x "
        f"{args.classes} classes, one view,",
        "in groups of three; each program in a process of its own, start-up included, in turn. The aims: `compare.py` "
        "below 10 s, a report below 30 s,",
        "each below 2 GiB.",
        f"Machine: {facts['processor']}, {facts['cores']} cores, {facts.get('memory_gb', 0)} GB. Load when it began: "
        f"{load:.1f}.",
        "",
        "| program | rounds | median s | smallest, largest | CPU s | peak MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, values in found.items():
        seconds, cpu, peak = zip(*values)
        spread = f"{min(seconds):.1f}, {max(seconds):.1f}"
        lines.append(
            f"| {name} | {len(values)} | {statistics.median(seconds):.1f} | {spread} | {statistics.median(cpu):.1f} | "
            f"{max(peak):.0f} |"
        )
    return "\n".join(lines)


def write_down(table: str) -> None:
    path, begin, end = ROOT / "benchmarks" / "README.md", "<!-- runs: begin -->", "<!-- runs: end -->"
    text = path.read_text(encoding="utf-8")
    block = f"{begin}\n{table}\n{end}"
    if begin in text:
        text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, text, flags=re.S)
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
