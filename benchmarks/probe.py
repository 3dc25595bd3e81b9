"""Times looking through many videos: ``probe_all``, which reads headers, beside OpenCV, which counts frames.

    python benchmarks/probe.py [--rounds 3] [--write]

Needs ``../shared/data`` beside the checkout for UCF101 and Kinetics; vidmini is shipped. Clips are linked under new
names until there are enough, so the system's file cache is warm for all. ``probe_all`` is timed as it is called,
starting its workers included. OpenCV runs in one process, and, with ``spawn``, in as many as ``probe_all`` has workers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from page import put  # noqa: E402

from vidbench.data.survey import probe_all  # noqa: E402
from vidbench.records import VideoRecord  # noqa: E402
from vidbench.utils import machine_facts, package_versions, usable_cores  # noqa: E402


def count_frames(path: str) -> int:
    import cv2

    cv2.setNumThreads(1)
    capture, count = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]), 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def link(sources: list[Path], number: int, folder: Path) -> list[VideoRecord]:
    records = []
    for place in range(number):
        source = sources[place % len(sources)]
        name = f"{place:04d}{source.suffix}"
        os.symlink(source, folder / name)
        records.append(VideoRecord(name, name, "a", 0))
    return records


def ways(records: list[VideoRecord], folder: Path) -> dict:
    paths = [str(folder / record.path) for record in records]

    def with_workers():
        return [probe.header and probe.header.num_frames for probe in probe_all(records, folder)]

    def alone():
        return [probe.header and probe.header.num_frames for probe in probe_all(records, folder, num_workers=0)]

    def opencv():
        return [count_frames(path) for path in paths]

    def opencv_with_workers():
        with multiprocessing.get_context("spawn").Pool(usable_cores()) as pool:
            return pool.map(count_frames, paths)

    cores = usable_cores()
    return {
        f"`probe_all`, {cores} workers": with_workers,
        "`probe_all`, in one process": alone,
        "OpenCV, in one process": opencv,
        f"OpenCV, {cores} processes": opencv_with_workers,
    }


def measure(sources: list[Path], number: int, rounds: int) -> tuple[dict[str, list[float]], int]:
    """Seconds by way, one a round, taken in turn; and how many counts in headers are those of OpenCV."""
    with tempfile.TemporaryDirectory() as folder:
        found = ways(link(sources, number, Path(folder)), Path(folder))
        times: dict[str, list[float]] = {name: [] for name in found}
        counts = {}
        for _ in range(rounds):
            for name, way in found.items():
                began = time.perf_counter()
                counts[name] = way()
                times[name].append(time.perf_counter() - began)
    told, counted = (list(counts.values())[k] for k in (0, 2))
    return times, sum(a == b for a, b in zip(told, counted, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="where the real clips are")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    data = options.shared / "data"
    sets = {
        "UCF101, 320x240 MPEG-4": (sorted((data / "ucf101" / "UCF-101").glob("*/*.avi")), 1000),
        "vidmini, 160x120 H.264": (sorted((ROOT / "data" / "vidmini" / "videos").glob("*/*.mp4")), 1000),
        "Kinetics-400, 10 s H.264": (sorted((data / "kinetics400" / "val").glob("*/*.mp4")), 40),
    }
    facts, versions = machine_facts(), package_versions()
    lines = [
        "## Looking through many videos",
        "",
        f"`python benchmarks/probe.py --rounds {options.rounds} --write`: medians of {options.rounds} rounds, in turn, "
        "warm file cache. `probe_all` reads headers; OpenCV opens each video and counts frames with `grab`.",
        "*Alike* are clips whose header promises as many frames as OpenCV counts.",
        f"Machine: {facts['processor']}, {facts['cores']} cores; av {versions['av']}, "
        f"opencv-python {versions['opencv-python']}. Load when it began: {os.getloadavg()[0]:.1f}.",
        "",
        "| clips | number | way | seconds | OpenCV in one process takes | alike |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for name, (sources, number) in sets.items():
        if not sources:
            continue
        times, alike = measure(sources, number, options.rounds)
        middles = {way: statistics.median(seconds) for way, seconds in times.items()}
        slow = middles["OpenCV, in one process"]
        for way, seconds in middles.items():
            lines.append(f"| {name} | {number} | {way} | {seconds:.2f} | {slow / seconds:.1f} x | {alike} |")
    print("\n".join(lines))
    if options.write:
        put("probe", lines)


if __name__ == "__main__":
    main()
