"""How close a whole evaluation comes to the cost of its two halves, and how much memory it holds.

    python benchmarks/evaluation.py speed --dataset vidmini --data-dir data/vidmini --model mini_r2plus1d.vidmini_v1
    python benchmarks/evaluation.py memory --videos 100 1000
    python benchmarks/evaluation.py cached --sources KINETICS --videos 400
    python benchmarks/evaluation.py ray --sources KINETICS --videos 500
    python benchmarks/evaluation.py cores --sources KINETICS --videos 100

``speed`` reads all videos without a network, runs the network without reading, and evaluates, in
turn, ``--rounds`` times in one process, and prints the ratio of the evaluation's wall time to
(CPU seconds of reading + CPU seconds of forward) / cores. ``memory`` evaluates lists of different
lengths, each in a process of its own, and prints the peak resident memory. ``cached`` evaluates twice, the second time
from the clip cache. ``ray`` evaluates with and without Ray, and takes from both what one batch alone takes: start-up.
``cores`` reads the videos in one process, then in one process a core at the same time, and prints how much more CPU
time a video takes beside others: what ``speed`` cannot come below.
With ``--sources`` the videos below a folder are copied until there are ``--videos``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def reading_alone(plan, config) -> tuple[float, list]:
    """CPU seconds of decoding and transforming every video, and the pixels."""
    from vidbench.data import load
    from vidbench.records import UnreadableVideo

    pixels = []
    began = time.process_time()
    for record in plan.records:
        with contextlib.suppress(UnreadableVideo):
            views = load.read_views(plan.root / record.path, plan.spec, decoder=config.decoder)
            pixels.append(views.pixels)
    return time.process_time() - began, pixels


def forward_alone(model, pixels, config) -> float:
    """CPU seconds, over all threads, of the network on pixels that are already there."""
    began = time.process_time()
    for start in range(0, len(pixels), config.batch_size):
        model.logits(pixels[start : start + config.batch_size], config.batch_size)
    return time.process_time() - began


def cpu_seconds() -> float:
    """Of this process and of the workers that have ended: what other programs do hardly changes it."""
    import resource

    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def speed(args) -> None:
    from vidbench import evaluate as module
    from vidbench import forward, models
    from vidbench.arguments import EvaluateConfig
    from vidbench.plan import make_plan
    from vidbench.utils import peak_rss_mb, usable_cores

    cores, ratios, busy_ratios = usable_cores(), [], []
    with tempfile.TemporaryDirectory() as folder:
        if args.sources:
            args.data_dir = str(copied(args.sources, args.videos, Path(folder) / "videos"))
            args.dataset, args.label_map = "folder", "names"
        base = {
            "model": args.model, "weights": args.weights, "dataset": args.dataset, "data_dir": args.data_dir,
            "no_cache": True, "device": "cpu", "results_dir": folder, "precision": "fp32", "split": args.split,
            "present_only": args.present_only, "label_map": args.label_map, "max_skipped": 1.0,
            "batch_size": args.batch_size, "annotations": args.annotations, "limit": args.limit,
            "num_clips": args.num_clips,
        }  # fmt: skip
        config = EvaluateConfig(**base, run_name="plan")
        plan = make_plan(config)
        model = models.load_model(plan.card.name, args.weights, device="cpu")
        model.spec = plan.spec
        read_s, pixels = reading_alone(plan, config)
        tuning = models.tune(model, pixels[: args.batch_size], args.batch_size, "fp32")
        model.settle(tuning.precision, tuning.memory_format)
        model.logits(pixels[: args.batch_size], args.batch_size)
        forward.reuse_memory(model, peak_rss_mb())  # as evaluate does after its first batch
        for turn in range(args.rounds):
            if turn:
                read_s, pixels = reading_alone(plan, config)
            forward_s = forward_alone(model, pixels, config)
            began, busy = time.monotonic(), cpu_seconds()
            module.evaluate(EvaluateConfig(**base, run_name=f"turn{turn}"))
            wall, cpu = time.monotonic() - began, cpu_seconds() - busy
            ratios.append(wall / ((read_s + forward_s) / cores))
            busy_ratios.append(cpu / (read_s + forward_s))
            print(
                f"round {turn + 1}: read {read_s:.2f} CPU s, forward {forward_s:.2f} CPU s, evaluation {wall:.2f} s "
                f"wall, ratio {ratios[-1]:.3f}; its CPU {cpu:.2f} s, ratio {busy_ratios[-1]:.3f}; load "
                f"{os.getloadavg()[0]:.1f}",
                flush=True,
            )
    print(
        f"{args.model} on {len(plan.records)} videos of {args.dataset}, {cores} cores: median ratio "
        f"{statistics.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}], {len(ratios)} rounds"
    )
    told(busy_ratios, "CPU seconds of the evaluation, its workers and report included, over those of its halves")


def copied(sources: Path, count: int, folder: Path) -> Path:
    """A dataset of classes with so many videos: copies of those below a folder, under names of vidmini's classes.

    Each MP4 gets an empty box with its number at the end, or the clip cache, which goes by content, would take all
    copies of one for the same video.
    """
    found = sorted(path for path in sources.rglob("*") if path.suffix in (".mp4", ".avi", ".webm"))
    for number in range(count):
        source = found[number % len(found)]
        target = folder / ("SitDown", "StandUp")[number % 2] / f"{number:05d}{source.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        if source.suffix == ".mp4":
            with target.open("ab") as file:
                file.write(struct.pack(">I4sI", 12, b"free", number))
    return folder


def seconds_of(args, folder: Path, name: str, **changed) -> float:
    """Wall seconds of an evaluation in this process."""
    from vidbench import engines
    from vidbench.arguments import EvaluateConfig

    values = {
        "model": args.model, "dataset": "folder", "data_dir": str(folder / "videos"), "label_map": "names",
        "results_dir": str(folder / "results"), "run_name": name, "device": "cpu", "precision": "fp32",
        "max_skipped": 1.0, "batch_size": args.batch_size, "no_cache": True, **changed,
    }  # fmt: skip
    began = time.monotonic()
    engines.run(EvaluateConfig(**values))
    return time.monotonic() - began


def told(ratios: list[float], what: str) -> None:
    print(
        f"{what}: median {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}], {len(ratios)} rounds"
    )


def cached(args) -> None:
    """The first run over the second, which finds every clip in the cache."""
    ratios = []
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            copied(args.sources, args.videos, place / "videos")
            if not number:
                seconds_of(args, place, "warm", limit=args.batch_size)  # libraries are loaded
            cache = {"no_cache": False, "cache_dir": str(place / "clips")}
            first, second = (seconds_of(args, place, name, **cache) for name in ("first", "second"))
            ratios.append(first / second)
            print(f"round {number + 1}: {first:.2f} s, then {second:.2f} s; load {os.getloadavg()[0]:.1f}", flush=True)
    told(ratios, f"first over second run, {args.videos} videos")


def ray(args) -> None:
    """Ray over local, each without what one batch takes."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        copied(args.sources, args.videos, place / "videos")
        seconds_of(args, place, "warm", limit=args.batch_size)
        for number in range(args.rounds):
            whole, start = {}, {}
            for engine in ("local", "ray"):
                start[engine] = seconds_of(args, place, f"{engine}{number}-one", engine=engine, limit=args.batch_size)
                whole[engine] = seconds_of(args, place, f"{engine}{number}", engine=engine)
            ratios.append((whole["ray"] - start["ray"]) / (whole["local"] - start["local"]))
            print(
                f"round {number + 1}: local {whole['local']:.1f} s, of which one batch {start['local']:.1f}; ray "
                f"{whole['ray']:.1f} s, of which one batch {start['ray']:.1f}; ratio {ratios[-1]:.2f}; load "
                f"{os.getloadavg()[0]:.1f}",
                flush=True,
            )
    told(ratios, f"ray over local, start-up apart, {args.videos} videos")


def reading_seconds(folder: Path, start) -> float:
    """CPU seconds of reading every video below a folder, all begun when ``start`` lets them."""
    from vidbench.data import load
    from vidbench.models import find_card

    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    spec = find_card("mini2d.vidmini_v1").input
    load.read_views(paths[0], spec, decoder="pyav")  # libraries are loaded
    start.wait()
    began = time.process_time()
    for path in paths:
        load.read_views(path, spec, decoder="pyav")
    return time.process_time() - began


def cores(args) -> None:
    """Reading with every core at it over reading alone, in CPU seconds of the same videos."""
    from vidbench.utils import usable_cores

    found, number = [], usable_cores()
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Manager() as manager:
        place = copied(args.sources, args.videos, Path(folder) / "videos")
        for turn in range(args.rounds):
            used = []
            for together in (1, number):
                with ProcessPoolExecutor(together, multiprocessing.get_context("spawn")) as pool:
                    start = manager.Barrier(together)
                    used.append(statistics.mean(pool.map(reading_seconds, [place] * together, [start] * together)))
            found.append(used[1] / used[0])
            print(f"round {turn + 1}: {used[0]:.2f} CPU s alone, {used[1]:.2f} beside; load {os.getloadavg()[0]:.1f}")
    told(found, f"CPU time of reading with {number} cores at it over that of one alone, {args.videos} videos")


def memory(args) -> None:
    sources = sorted((ROOT / "data" / "vidmini").rglob("*.mp4"))
    peaks = {}
    for count in args.videos:
        with tempfile.TemporaryDirectory() as folder:
            videos = Path(folder) / "videos"
            for number in range(count):
                source = sources[number % len(sources)]
                target = videos / source.parent.name / f"{number:05d}.mp4"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            command = [
                sys.executable, str(ROOT / "scripts" / "evaluate.py"), "--model", args.model, "--dataset", "folder",
                "--data-dir", str(videos), "--label-map", "names", "--no-cache", "--results-dir", folder,
                "--run-name", "run", "--device", "cpu", "--precision", "fp32", "--max-skipped", "1",
            ]  # fmt: skip
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            text = (Path(folder) / "run" / "manifest.json").read_text()
            peaks[count] = json.loads(text)["timing"]["peak_rss_mb"]
            print(f"{count} videos: peak {peaks[count]:.0f} MB", flush=True)
    counts = sorted(peaks)
    print(f"ratio {peaks[counts[-1]] / peaks[counts[0]]:.3f} ({counts[-1]} to {counts[0]} videos)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("speed")
    one.add_argument("--model", default="mini_r2plus1d.vidmini_v1")
    one.add_argument("--weights")
    one.add_argument("--dataset", default="vidmini")
    one.add_argument("--data-dir", default=str(ROOT / "data" / "vidmini"))
    one.add_argument("--split")
    one.add_argument("--annotations")
    one.add_argument("--label-map")
    one.add_argument("--limit", type=int)
    one.add_argument("--num-clips", type=int)
    one.add_argument("--present-only", action="store_true")
    one.add_argument("--sources", type=Path)
    one.add_argument("--videos", type=int, default=400)
    one.add_argument("--batch-size", type=int, default=8)
    one.add_argument("--rounds", type=int, default=7)
    two = commands.add_parser("memory")
    two.add_argument("--videos", type=int, nargs="+", default=[100, 1000])
    two.add_argument("--model", default="mini_r2plus1d.vidmini_v1")
    for name in ("cached", "ray", "cores"):
        more = commands.add_parser(name)
        more.add_argument("--sources", type=Path, required=True)
        more.add_argument("--videos", type=int, default=500)
        more.add_argument("--model", default="mini2d.vidmini_v1")
        more.add_argument("--batch-size", type=int, default=8)
        more.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    {"speed": speed, "memory": memory, "cached": cached, "ray": ray, "cores": cores}[args.command](args)


if __name__ == "__main__":
    main()
