"""Times reading 8 and 16 uniform frames of real clips: ``read_clip`` beside other decoders, in one process.

    python benchmarks/read_clips.py [--rounds 9] [--write]

Needs ``../shared/data`` beside the checkout. decord, TorchCodec and FFmpeg's libraries are used where they are
installed. Every round reads every clip with every decoder once, in a new order each round, so that a busy spell of
the machine meets them all. All use one thread, because an evaluation reads one clip per core. Each decoder is told
which frames to read; ``read_clip`` finds out the number of frames all the same.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from importlib import metadata, util
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from page import put  # noqa: E402

from vidbench.data.decode import read_clip  # noqa: E402
from vidbench.data.sample import middle_indices  # noqa: E402
from vidbench.utils import machine_facts  # noqa: E402


def by_read_clip(path: str, wanted: np.ndarray) -> np.ndarray:
    return read_clip(path, wanted).frames


def by_full_pyav(path: str, wanted: np.ndarray) -> np.ndarray:
    """Every picture decoded; only those wanted are converted, which is the most that a plain loop can save."""
    import av

    places, frames = set(wanted.tolist()), []
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        for number, frame in enumerate(container.decode(stream)):
            if number in places:
                frames.append(frame.to_ndarray(format="rgb24"))
    return np.stack(frames)


def by_opencv(path: str, wanted: np.ndarray) -> np.ndarray:
    import cv2

    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    places, frames = set(wanted.tolist()), []
    for number in range(int(wanted[-1]) + 1):
        capture.grab()
        if number in places:
            frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames)


def by_decord(path: str, wanted: np.ndarray) -> np.ndarray:
    import decord

    return decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1).get_batch(wanted.tolist()).asnumpy()


def by_torchcodec(path: str, wanted: np.ndarray) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, dimension_order="NHWC", seek_mode="exact", num_ffmpeg_threads=1)
    return decoder.get_frames_at(indices=wanted.tolist()).data.numpy()


READERS = {
    "read_clip": (by_read_clip, "av"),
    "PyAV, full decode": (by_full_pyav, "av"),
    "OpenCV, grab and retrieve": (by_opencv, "opencv-python"),
    "decord": (by_decord, "decord"),
    "TorchCodec, exact": (by_torchcodec, "torchcodec"),
}


def usable_readers(clip: str) -> dict:
    """Those that are installed and give a frame."""
    usable = {}
    for name, (reader, package) in READERS.items():
        try:
            if util.find_spec(reader.__name__.removeprefix("by_")) or package in ("av", "opencv-python"):
                reader(clip, np.array([0]))
                usable[name] = reader, f"{package} {metadata.version(package)}"
        except Exception as problem:  # whatever keeps a decoder from working is printed, and it is left out
            print(f"left out: {name}: {str(problem).strip().splitlines()[0][:100]}", file=sys.stderr)
    return usable


def all_pictures(path: str) -> list[np.ndarray]:
    import av

    with av.open(path, metadata_errors="ignore") as container:
        container.streams.video[0].thread_type = "NONE"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def clips_of(shared: Path) -> dict[str, list[str]]:
    odd, ucf = shared / "data" / "odd", sorted((shared / "data" / "ucf101" / "UCF-101").glob("*/*_g01_c01.avi"))
    ucf += sorted((shared / "data" / "ucf101" / "UCF-101").glob("BabyCrawling/*_g02_c01.avi"))
    kinetics = [odd / "arm_wrestling_340x256.mp4", odd / "kinetics_340x256_300f.mp4"]
    return {path.stem: [str(path)] for path in kinetics} | {f"UCF101, {len(ucf)} clips": [str(path) for path in ucf]}


def measure(clips: dict[str, list[str]], readers: dict, rounds: int) -> dict:
    """Wall and CPU milliseconds: ``times[group, count, reader]`` is a list with one pair a round."""
    lengths = {path: len(all_pictures(path)) for paths in clips.values() for path in paths}
    times: dict[tuple, list] = {}
    rng = random.Random(0)
    for turn in range(rounds + 1):
        jobs = [(g, count, name) for g in clips for count in (8, 16) for name in readers]
        rng.shuffle(jobs)
        for group, count, name in jobs:
            wall, cpu = time.perf_counter(), time.process_time()
            for path in clips[group]:
                readers[name][0](path, middle_indices(lengths[path], count))
            spent = time.perf_counter() - wall, time.process_time() - cpu
            if turn:  # the first round warms up
                times.setdefault((group, count, name), []).append([1000 * s / len(clips[group]) for s in spent])
    return times


def differences(clips: dict[str, list[str]], readers: dict) -> dict[tuple[str, str], float]:
    """The largest mean difference of a picture from that of a full decode, in levels of 255; 0 is bit for bit."""
    worst: dict[tuple[str, str], float] = {}
    for group, paths in clips.items():
        for path in paths:
            pictures = all_pictures(path)
            wanted = middle_indices(len(pictures), 16)
            truth = np.stack([pictures[i] for i in wanted]).astype(np.int16)
            for name, (reader, _) in readers.items():
                distance = float(np.abs(reader(path, wanted) - truth).mean((1, 2, 3)).max())
                worst[group, name] = max(distance, worst.get((group, name), 0.0))
    return worst


def table(clips: dict, readers: dict, times: dict, worst: dict) -> list[str]:
    lines = [
        "| clips | frames | decoder | wall, ms a clip | quartiles | CPU, ms a clip | `read_clip` takes | off by |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for group in clips:
        for count in (8, 16):
            ours = [wall for wall, _ in times[group, count, "read_clip"]]
            for name in readers:
                walls, cpus = zip(*times[group, count, name], strict=True)
                low, middle, high = statistics.quantiles(walls, n=4)
                ratio = statistics.median(a / b for a, b in zip(ours, walls, strict=True))
                cells = [group, count, name, f"{middle:.1f}", f"{low:.1f}-{high:.1f}", f"{statistics.median(cpus):.1f}"]
                cells += ["" if name == "read_clip" else f"{ratio:.2f} of it", f"{worst[group, name]:.2f}"]
                lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def headline(clips: dict, readers: dict, times: dict) -> list[str]:
    """Our median over that of the fastest other decoder, for each Kinetics clip and number of frames."""
    lines = ["| Kinetics clip | frames | wall time, of the fastest other | CPU time, of the most frugal other |"]
    lines += ["| --- | ---: | ---: | ---: |"]
    for group in list(clips)[:2]:
        for count in (8, 16):
            cells = [group, str(count)]
            for kind in (0, 1):
                middles = {
                    name: statistics.median(pair[kind] for pair in times[group, count, name]) for name in readers
                }
                ours = middles.pop("read_clip")
                best = min(middles, key=middles.__getitem__)
                cells.append(f"{ours / middles[best]:.2f} of {best}")
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds after the first, at least 7 (default: 9)")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="where the real clips are")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    if options.rounds < 7 or not (options.shared / "data" / "odd").is_dir():
        parser.error("at least 7 rounds are needed, and the real clips of ../shared/data")
    import cv2

    cv2.setNumThreads(1)
    clips = clips_of(options.shared)
    readers = usable_readers(next(iter(clips.values()))[0])
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    worst = differences(clips, readers)
    times = measure(clips, readers, options.rounds)
    facts = machine_facts()
    lines = [
        "## Reading 8 and 16 uniform frames",
        "",
        f"`python benchmarks/read_clips.py --rounds {options.rounds} --write`, {options.rounds} rounds side by side "
        "in one process, one thread each; medians over rounds.",
        "*Off by* is the largest mean difference of a picture from a full decode, in levels of 255.",
        f"Machine: {facts['processor']}, {facts['cores']} cores, {facts.get('memory_gb', '?')} GB; "
        + ", ".join(dict.fromkeys(version for _, version in readers.values()))
        + f". Load when it began: {load}.",
        "",
        *headline(clips, readers, times),
        "",
        *table(clips, readers, times, worst),
    ]
    print("\n".join(lines))
    if options.write:
        put("read_clips", lines)


if __name__ == "__main__":
    main()
