"""Measures what a clip takes in the cache, beside what all its frames take as float32.

    python benchmarks/cache_bytes.py [VIDEO ...] [--write]

Without names: the Kinetics clips of ``../shared/data`` beside the checkout. Everything is written to a temporary folder
and its files are measured, ours with their side files. All frames as float32, cropped to 224x224, is what the starter
kit that came before this one kept of every video.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from page import put  # noqa: E402

from vidbench.data.cache import ClipCache, predict_bytes  # noqa: E402
from vidbench.data.catalog import find_dataset  # noqa: E402
from vidbench.data.decode import probe, read_clip  # noqa: E402
from vidbench.data.load import read_views  # noqa: E402
from vidbench.data.process import center_crop, resize, target_size  # noqa: E402
from vidbench.records import InputSpec  # noqa: E402

HALF = (0.5, 0.5, 0.5)
MEAN_FRAMES = 263  # of a clip of Kinetics-400 val, by a published list of frame counts of 18,512 of them
CROPPED, WHOLE, BEFORE = "64 frames, 224x224, uint8", "64 frames, short side 256, uint8", "all frames, 224x224, float32"


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def ours(path: Path, size, crop: tuple[int, int]) -> int:
    """Bytes on disk of 64 frames at 25 fps, resized and cropped; checks the prediction too."""
    spec = InputSpec(64, 25.0, size, crop, HALF, HALF)
    with tempfile.TemporaryDirectory() as name:
        info = read_views(path, spec, cache=ClipCache(name)).info
        found, said = bytes_in(Path(name)), predict_bytes(spec, num_frames=info.num_frames, frame_rate=info.frame_rate)
    if abs(found - said) > 100:
        raise SystemExit(f"{path.name} takes {found} bytes, {said} were predicted")
    return found


def as_float32(path: Path) -> int:
    """Bytes on disk of all frames as one float32 array."""
    clip = read_clip(path, lambda table: range(table.num_frames))
    frames = center_crop(resize(clip.frames, target_size(clip.info.height, clip.info.width, 256)), 224)
    with tempfile.TemporaryDirectory() as name:
        np.save(Path(name) / "clip.npy", frames.astype(np.float32) / 255)
        return bytes_in(Path(name))


def measure(path: Path) -> dict[str, int]:
    info = probe(path)
    whole = target_size(info.height, info.width, 256)
    return {CROPPED: ours(path, 256, (224, 224)), WHOLE: ours(path, whole, whole), BEFORE: as_float32(path)}


def lines_of(paths: list[Path], command: str) -> list[str]:
    found = {path: measure(path) for path in paths}
    hosted = next(item for item in find_dataset("kinetics400").hosted if item.split == "val")
    lines = [
        "## What a clip takes in the cache",
        "",
        f"`{command}`: bytes on disk, side files included; MB are 10**6 bytes.",
        "",
        f"| clip | frames | size | {CROPPED} | {WHOLE} | {BEFORE} |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for path, sizes in found.items():
        info = probe(path)
        cells = [f"{size / 1e6:.1f} MB" for size in sizes.values()]
        lines.append(f"| {path.stem} | {info.num_frames} | {info.width}x{info.height} | {' | '.join(cells)} |")
    means = {what: sum(sizes[what] for sizes in found.values()) / len(found) for what in (CROPPED, WHOLE, BEFORE)}
    lines.append(f"| mean, n={len(found)} | | | {' | '.join(f'{mean / 1e6:.1f} MB' for mean in means.values())} |")
    each = " | ".join(f"{mean * hosted.num_videos / 1e12:.2f} TB" for mean in means.values())
    lines.append(f"| times {hosted.num_videos:,} videos of Kinetics-400 val | | | {each} |")
    shares = [f"{100 * means[what] / means[BEFORE]:.1f} %" for what in (CROPPED, WHOLE)]
    usual = MEAN_FRAMES * 224 * 224 * 3 * 4
    return [
        *lines,
        "",
        f"64 frames as uint8 take {shares[0]} of the bytes of all frames as float32, or {shares[1]} where nothing is "
        "cropped. "
        f"The mean clip of Kinetics-400 val has {MEAN_FRAMES} frames (published counts of 18,512 of its files): "
        f"{usual / 1e6:.1f} MB a clip and {usual * hosted.num_videos / 1e12:.2f} TB for the split as float32.",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    paths = options.videos or sorted((ROOT.parent / "shared" / "data" / "kinetics400" / "val").glob("*/*.mp4"))
    if not paths:
        parser.error("name some videos: there are no clips of Kinetics in ../shared/data")
    if absent := [str(path) for path in paths if not path.is_file()]:
        parser.error(f"no such file: {', '.join(absent)}")
    lines = lines_of(paths, f"python benchmarks/cache_bytes.py{' VIDEO ...' if options.videos else ''}")
    print("\n".join(lines))
    if options.write:
        put("cache_bytes", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
