"""Time and memory of finding near duplicates: python benchmarks/look_alikes.py [--videos N N] [--share S].

Hashes are random, as those of unlike pictures are, with copies planted among them; no video is read. All pairs are
compared on a share of the first list only, and that time is multiplied.

With ``--copies DIR`` it looks instead at what the rule finds on real clips: DIR holds UCF101, or a part of it. How many
pairs of different sources look alike is counted, and of copies of 30 clips, changed in seven ways, how many are found.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vidbench.data.check import MOST_DIFFERENT, NUM_CODES, Finding, Part, check_videos, shared_pictures
from vidbench.data.decode import read_clip
from vidbench.data.index import load_records
from vidbench.data.mini import encode_clip
from vidbench.data.near import _all_pairs
from vidbench.data.process import resize
from vidbench.records import VideoRecord
from vidbench.utils import machine_facts

COPIES = 500
CLIPS = 30  # real ones that are copied
CHANGES = {  # what becomes of frames, uint8 (T, H, W, 3)
    "encoded again at half the size": lambda frames: resize(frames, half(frames)),
    "at 60 % brightness": lambda frames: (0.6 * frames).astype(np.uint8),
    "without the first ten frames": lambda frames: frames[10:],
    "without a tenth of height and width": lambda frames: frames[:, 12:-12, 16:-16],  # of 240 x 320 pixels
    "without a fifth of them": lambda frames: frames[:, 24:-24, 32:-32],
    "second half": lambda frames: frames[len(frames) // 2 :],
    "mirrored": lambda frames: frames[:, :, ::-1],
}


def drawn(number: int, seed: int) -> np.ndarray:
    """uint64 (number, 5)."""
    return np.random.default_rng(seed).integers(0, 2**64 - 1, (number, NUM_CODES), dtype=np.uint64)


def planted(codes: np.ndarray, source: np.ndarray) -> np.ndarray:
    """``codes`` with copies of some of ``source`` in the first places, up to four bits changed in each picture."""
    rng = np.random.default_rng(2)
    copies = source[rng.choice(len(source), COPIES, replace=False)]
    for _ in range(4):
        copies ^= np.uint64(1) << rng.integers(0, 64, copies.shape).astype(np.uint64)
    return np.concatenate([copies, codes[COPIES:]])


def part(name: str, codes: np.ndarray) -> Part:
    findings = [
        Finding(VideoRecord(f"{name}{n}", f"{name}{n}.mp4"), "ok", codes=tuple(row))
        for n, row in enumerate(codes.tolist())
    ]
    return Part(name, ".", [], findings)


def half(frames: np.ndarray) -> tuple[int, int]:
    """Half of the height and width, made even."""
    return tuple(side // 4 * 2 for side in frames.shape[1:3])


def copies_found(root: Path) -> None:
    """Print what the rule finds among real clips, and of copies of some."""
    records = [r for split in ("train", "test") for r in load_records("ucf101", root, split, present_only=True)]
    findings = [finding for finding in check_videos(records, root, codes=True) if finding.codes]
    apart = sum(a.record.group != b.record.group for a, b in itertools.combinations(findings, 2))
    alone = [Part(str(number), str(root), [], [finding]) for number, finding in enumerate(findings)]
    pairs = [[record for _, record in leak.members] for leak in shared_pictures(alone)]
    alike = [f"{a.video_id} and {b.video_id}" for a, b in pairs if a.group != b.group]
    print(f"{len(findings)} clips; of {apart} pairs of different sources look alike: {len(alike)} {alike}")
    chosen = findings[:: max(1, len(findings) // CLIPS)][:CLIPS]
    for what, change in CHANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            copied = [copy_of(finding.record, root, Path(folder), change) for finding in chosen]
            parts = [Part("clips", str(root), [], chosen)]
            parts.append(Part("copies", folder, [], list(check_videos(copied, folder, codes=True))))
            own = {
                a.video_id
                for leak in shared_pictures(parts)
                for (_, a), (_, b) in [leak.members]
                if a.video_id == b.video_id
            }
        print(f"{what}: {len(own)} of {len(chosen)} found")


def copy_of(record: VideoRecord, root: Path, folder: Path, change) -> VideoRecord:
    """A changed copy of a clip, encoded as H.264 at 25 frames per second."""
    frames = read_clip(root / record.path, lambda table: range(table.num_frames)).frames
    path = Path(record.path).with_suffix(".mp4").name
    (folder / path).write_bytes(encode_clip(np.ascontiguousarray(change(frames)), frame_rate=25))
    return VideoRecord(record.video_id, path)


def random_codes(num_train: int, num_val: int, share: float) -> None:
    """Print what comparing two lists of drawn hashes takes."""
    train = drawn(num_train, 0)
    val = planted(drawn(num_val, 1), train)
    parts = [part("train", train), part("val", val)]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    leaks = shared_pictures(parts)
    banded = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    some = train[: int(len(train) * share)].ravel()
    began = time.perf_counter()
    for _ in _all_pairs(some, val.ravel(), MOST_DIFFERENT):
        pass
    every = (time.perf_counter() - began) / share
    print(f"machine: {machine_facts()}")
    print(f"{len(train)} x {len(val)} videos, {NUM_CODES} pictures each, {MOST_DIFFERENT} bits")
    print(f"found {len(leaks)} pairs, {COPIES} planted")
    print(f"shared_pictures {banded:.1f} s, peak {peak / 2**10:.0f} MB ({before / 2**10:.0f} MB before)")
    print(f"all pairs {every:.0f} s ({share:g} of them measured), {every / banded:.0f} times as long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, nargs=2, default=(240_000, 20_000))
    parser.add_argument("--share", type=float, default=0.01, help="of the first list that is compared with all pairs")
    parser.add_argument("--copies", type=Path, metavar="DIR", help="look at clips of UCF101 in this folder instead")
    options = parser.parse_args()
    if options.copies:
        copies_found(options.copies)
    else:
        num_train, num_val = options.videos
        random_codes(num_train, num_val, options.share)


if __name__ == "__main__":
    main()
