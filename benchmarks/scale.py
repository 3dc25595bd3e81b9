"""What a clip costs on this machine, and from that what a large evaluation needs.

    python benchmarks/scale.py measure --data-dir KINETICS --rounds 5      # writes benchmarks/scale.json
    python benchmarks/scale.py plan --write                                # writes the tables of docs/scale.md
    python benchmarks/scale.py plan --videos 2000000 --model r3d_18.kinetics400_v1 --cores 64 --gpus 4 --nodes 3

``measure`` reads every video below the folder as several models want it, writes rows and logits, reads long lists and
makes reports of drawn runs. ``plan`` multiplies; networks' times are those of ``costs/h100.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
COSTS = ROOT / "benchmarks" / "costs"
MODELS = (("r3d_18.kinetics400_v1", "one"), ("swin3d_t.kinetics400_v1", "one"), ("swin3d_t.kinetics400_v1", "card"))


@dataclass(frozen=True)
class Job:
    """An evaluation: its videos, their bytes, and the machines for it."""

    name: str
    videos: int
    source_bytes: float
    nodes: int


CLIP_BYTES = 30e9 / 19_881  # Kinetics-400 val as it is distributed
JOBS = (
    Job("Kinetics-400 val", 19_881, 30e9, 1),
    Job("Kinetics-700-2020 val", 33_914, 48e9, 1),
    Job("Kinetics-700-2020, all but test", 567_987, 651e9, 4),
    Job("10 million videos", 10_000_000, 10_000_000 * CLIP_BYTES, 32),
)


# ---------------------------------------------------------------- what things cost here


def measure(args) -> None:
    from vidbench.utils import machine_facts, package_versions, write_json

    videos = sorted(path for path in args.data_dir.rglob("*") if path.suffix in (".mp4", ".avi", ".webm"))
    if not videos:
        raise SystemExit(f"no video is below {args.data_dir}")
    facts = {
        "machine": machine_facts(), "packages": package_versions(), "load": round(os.getloadavg()[0], 1),
        "videos": len(videos), "bytes": sum(path.stat().st_size for path in videos), "rounds": args.rounds,
        "reading": reading(videos, args.rounds), "writing": writing(args.rounds), "listing": listing(),
        "finishing": finishing(),
    }  # fmt: skip
    facts["load_at_end"] = round(os.getloadavg()[0], 1)
    write_json(args.out, facts)
    print(json.dumps(facts, indent=1))


def spread(values: list[float]) -> dict:
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "n": len(values)}


def specs() -> dict:
    """How videos are read, by a name for it."""
    import dataclasses

    from vidbench.models import find_card

    found = {}
    for name, views in MODELS:
        spec = find_card(name).input
        spec = dataclasses.replace(spec, num_clips=1, num_crops=1) if views == "one" else spec
        found[f"{name}, {spec.num_views} view{'s' * (spec.num_views != 1)}"] = spec
    return found


def reading(videos: list[Path], rounds: int) -> dict:
    """CPU seconds of a video, decoded and from the cache, mean over the videos, for each round; in turn."""
    from vidbench.data.cache import ClipCache
    from vidbench.data.load import read_views

    times: dict[str, dict[str, list[float]]] = {}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = ClipCache(folder)
        for _ in range(rounds):
            for name, spec in specs().items():
                for path in videos:
                    sizes[name] = read_views(path, spec, cache=cache).pixels.nbytes  # fills the cache
                for kind, given in (("decode", None), ("cached", cache)):
                    began = time.process_time()
                    for path in videos:
                        read_views(path, spec, cache=given)
                    took = (time.process_time() - began) / len(videos)
                    times.setdefault(name, {}).setdefault(kind, []).append(took)
    return {
        name: {**{kind: spread(values) for kind, values in kinds.items()}, "view_bytes": sizes[name]}
        for name, kinds in times.items()
    }


def writing(rounds: int, videos: int = 4096, classes: int = 400) -> dict:
    """Wall seconds and bytes of a video's row and logits, flushed to the disk, by rows at a time."""
    from vidbench.records import Row, VideoRecord
    from vidbench.runs import RunFolder

    top = tuple((f"some class {k}", k, 0.1234567) for k in range(5))
    records = [VideoRecord(f"v{n:09d}_000010_000020", f"val/v{n:09d}.mp4", "some class", 1) for n in range(videos)]
    rows = [
        Row(n, r.video_id, r.path, r.label, 1, "val", "", "ok", top=top, rank=0, num_frames=300, frame_rate=29.97)
        for n, r in enumerate(records)
    ]
    logits, found = np.zeros((videos, 1, classes), np.float32), {}
    for size in (8, 256):
        times = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=ROOT) as folder:
                with RunFolder(Path(folder) / "run", {}, records, 1, classes, size) as run:
                    began = time.perf_counter()
                    for start in range(0, videos, size):
                        run.append(rows[start : start + size], logits[start : start + size])
                    times.append((time.perf_counter() - began) / videos)
                row_bytes = (Path(folder) / "run" / "rows.jsonl").stat().st_size / videos
        found[str(size)] = spread(times)
    return {"by_rows": found, "row_bytes": row_bytes, "classes": classes}


def listing(few: int = 1_000, many: int = 300_000) -> dict:
    """CPU seconds and memory of a listed video, from the difference of two lists in Kinetics' form."""
    from annotations import READ, write_kinetics

    seconds, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in (few, many):
            path = Path(folder) / f"{number}.csv"
            write_kinetics(path, number)
            words = [sys.executable, "-c", READ, str(ROOT), "kinetics400", folder, str(path)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            _, _, cpu, peak = json.loads(done.stdout)
            seconds.append(cpu)
            peaks.append(peak)
    number = many - few
    return {"seconds": (seconds[1] - seconds[0]) / number, "bytes": (peaks[1] - peaks[0]) * 2**20 / number, "n": many}


def finishing(few: int = 20_000, many: int = 80_000, classes: int = 400) -> dict:
    """CPU seconds and memory of a video at the end of a run, from the difference of two drawn runs."""
    from runs import draw_run, measured

    found = []
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        for number in (few, many):
            run = draw_run(Path(folder) / str(number), number, classes, 0)
            found.append(measured(["benchmarks/runs.py", "--report", str(run)]))
    (_, cpu_few, peak_few), (_, cpu_many, peak_many) = found
    number = many - few
    return {"seconds": (cpu_many - cpu_few) / number, "bytes": (peak_many - peak_few) * 2**20 / number, "n": many}


# ---------------------------------------------------------------- what follows from it


def network_ms(model: str, precision: str = "bf16") -> float:
    """Milliseconds of a view on an H100, from batches of 8 (``costs/h100.json``)."""
    rows = json.loads((COSTS / "h100.json").read_text())["rows"]
    found = [1000 / row["views_per_s"] for row in rows
             if (row["model"], row["precision"], row["batch_size"]) == (model, precision, 8)]  # fmt: skip
    if not found:
        raise SystemExit(f"costs/h100.json has no {model} in {precision} with batches of 8")
    return min(found)


def needs(job: Job, name: str, costs: dict, cores: int, gpus: int) -> dict:
    """Hours, memory and bytes of a job on ``job.nodes`` machines with so many cores and GPUs each.

    Decoding and the network work side by side, so the slower one decides; 0 GPUs mean that only reading is counted.
    """
    model, _, words = name.partition(", ")
    views, costs_here = int(words.split()[0]), costs["reading"][name]
    core_s = job.videos * costs_here["decode"]["median"]
    gpu_s = job.videos * views * network_ms(model) / 1000
    reading_h = core_s / (job.nodes * cores) / 3600
    network_h = gpu_s / (job.nodes * gpus) / 3600 if gpus else 0.0
    appended_s = job.videos * costs["writing"]["by_rows"]["256"]["median"]
    logits = 4 * job.videos * views * costs["writing"]["classes"]
    return {
        "core_hours": core_s / 3600, "gpu_hours": gpu_s / 3600, "hours": max(reading_h, network_h),
        "read_mb_s": job.source_bytes / 1e6 / 3600 / max(reading_h, network_h),
        "waits_for": "decoding" if reading_h >= network_h else "the network",
        "append_hours": appended_s / 3600,
        "list_minutes": job.videos * costs["listing"]["seconds"] / 60,
        "finish_minutes": job.videos * costs["finishing"]["seconds"] / 60,
        "memory_gb": job.videos * max(costs["listing"]["bytes"], costs["finishing"]["bytes"]) / 1e9,
        "source_gb": job.source_bytes / 1e9, "cache_gb": job.videos * costs_here["view_bytes"] / 1e9,
        "run_gb": (logits + job.videos * costs["writing"]["row_bytes"]) / 1e9,
    }  # fmt: skip


def figure(value: float) -> str:
    """Two or three significant digits, large numbers in full."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def first_to_break(found: dict, memory_gb: float) -> str:
    """What a job outgrows first: the memory of the machine that writes, its disk's flushes, or nothing."""
    if found["memory_gb"] > memory_gb / 2:
        return f"memory where rows are written ({found['memory_gb']:.3g} GB): divide with `--shard`"
    if found["append_hours"] > 0.5 * found["hours"]:
        return "rows, written one block after the other by one process: divide with `--shard`"
    return f"nothing; it waits for {found['waits_for']}"


def tables(jobs, costs: dict, cores: int, gpus: int) -> str:
    """Costs of a clip and plans of jobs, in Markdown."""
    memory_gb = costs["machine"].get("memory_gb", 0.0)
    lines = ["| a 10 s clip of Kinetics, as wanted by | CPU ms, decoded [least, most] | CPU ms, from the cache | "
             "in the cache, MB | H100 ms, bf16 |", "| --- | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for name, found in costs["reading"].items():
        decode, cached = found["decode"], found["cached"]
        model, _, words = name.partition(", ")
        gpu_ms = network_ms(model) * int(words.split()[0])
        lines.append(
            f"| {name} | {1000 * decode['median']:.0f} [{1000 * decode['least']:.0f}, {1000 * decode['most']:.0f}] | "
            f"{1000 * cached['median']:.1f} | {found['view_bytes'] / 1e6:.2f} | {gpu_ms:.2f} |"
        )
    columns = ["job", "model, views", "machines", "core hours", "GPU hours", "hours", "videos, GB", "read, MB/s"]
    columns += ["cache, GB", "run, GB"]
    lines += ["", f"Machines of {cores} cores and {gpus} GPU{'s' * (gpus != 1)}:", ""]
    lines += [f"| {' | '.join(columns)} | what breaks first |", f"| --- | --- |{' ---: |' * 8} --- |"]
    for job in jobs:
        for name in costs["reading"]:
            need = needs(job, name, costs, cores, gpus)
            keys = ("core_hours", "gpu_hours", "hours", "source_gb", "read_mb_s", "cache_gb", "run_gb")
            lines.append(
                f"| {job.name} | {name} | {job.nodes} | {' | '.join(figure(need[key]) for key in keys)} | "
                f"{first_to_break(need, memory_gb)} |"
            )
    return "\n".join(lines)


def about(costs: dict) -> str:
    """Conditions of the measurements, in a sentence or two."""
    machine, writing, listed, ended = (costs[name] for name in ("machine", "writing", "listing", "finishing"))
    blocks, batches = (1e6 * writing["by_rows"][size]["median"] for size in ("256", "8"))
    return (
        f"Measured on {machine['processor']}, {machine['cores']} cores, {machine.get('memory_gb', 0)} GB, load "
        f"{costs['load']} to {costs['load_at_end']}: {costs['videos']} clips of "
        f"{costs['bytes'] / costs['videos'] / 1e6:.2f} MB on average, {costs['rounds']} rounds. A row with logits of "
        f"{writing['classes']} classes takes {blocks:.0f} µs in blocks of 256 and {batches:.0f} µs in batches of 8, "
        f"flushed; a listed video {1e6 * listed['seconds']:.1f} µs and {listed['bytes'] / 1e3:.2f} kB; metrics and "
        f"report {1e6 * ended['seconds']:.0f} µs and {ended['bytes'] / 1e3:.2f} kB a video."
    )


def plan(args) -> None:
    costs = json.loads(args.costs.read_text())
    jobs: tuple[Job, ...] = JOBS
    if args.videos:
        jobs = (Job(f"{args.videos:,} videos", args.videos, args.videos * CLIP_BYTES, args.nodes),)
    if args.model:
        costs["reading"] = {name: cost for name, cost in costs["reading"].items() if args.model in name}
        if not costs["reading"]:
            raise SystemExit(f"{args.costs} has no {args.model}: measure it first (MODELS in this file)")
    text = about(costs) + "\n\n" + tables(jobs, costs, args.cores, args.gpus)
    print(text)
    if args.write:
        path, begin, end = ROOT / "docs" / "scale.md", "<!-- plan: begin -->", "<!-- plan: end -->"
        before = path.read_text(encoding="utf-8")
        block = f"{begin}\n{text}\n{end}"
        path.write_text(re.sub(f"{begin}.*{end}", lambda _: block, before, flags=re.S), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("--data-dir", type=Path, required=True, help="a folder with real videos")
    one.add_argument("--rounds", type=int, default=5)
    one.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "scale.json")
    two = commands.add_parser("plan")
    two.add_argument("--costs", type=Path, default=ROOT / "benchmarks" / "scale.json")
    two.add_argument("--videos", type=int, help="a job of your own instead of the four")
    two.add_argument("--nodes", type=int, default=1, help="machines for it")
    two.add_argument("--model", help="only this one")
    two.add_argument("--cores", type=int, default=16, help="of each machine")
    two.add_argument("--gpus", type=int, default=1, help="of each machine")
    two.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    args = parser.parse_args()
    with contextlib.suppress(BrokenPipeError):
        {"measure": measure, "plan": plan}[args.command](args)


if __name__ == "__main__":
    main()
