"""The same frames through every decoder: which picture comes, with which pixels, and what a model says then.

Pictures are identified by the numbers drawn into them (``vidbench.data.barcode``), so that nobody's word is taken for
which frame a decoder gave. Pixels and answers are compared on the videos of a dataset, with the first decoder's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench import compare, intervals
from vidbench.data import decode, index
from vidbench.data.barcode import read_numbers, write_numbered
from vidbench.data.sample import indices_for
from vidbench.metrics import percent, points
from vidbench.plan import make_plan
from vidbench.records import ConfigError, UnreadableVideo
from vidbench.runs import results_in
from vidbench.utils import plural, printable, write_table
from vidbench.variants import change_of, run_variants

NUM_NUMBERED = 48  # pictures in each numbered video
UNEVEN_S = np.cumsum(np.r_[0.0, np.tile([0.02, 0.06, 0.04, 0.11], NUM_NUMBERED)])[:NUM_NUMBERED]
X264 = "b-adapt=0:scenecut=0"
NUMBERED: dict[str, dict] = {  # file name: options of ``write_numbered``; the suffix chooses the container
    "h264, B-frames.mp4": {"b_frames": 3},
    "h264, open groups.mp4": {"b_frames": 3, "options": {"x264-params": f"{X264}:open-gop=1"}},
    "h264, uneven times.mp4": {"times_s": UNEVEN_S},
    # Coded from 16 to 235 and marked as 0 to 255: who heeds the mark shows black as 16, who does not as 0.
    "h264, marked full range.mp4": {"options": {"x264-params": f"{X264}:fullrange=on"}},
    "hevc, B-frames.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none:pools=none:frame-threads=1"}},
    "mpeg4, B-frames.avi": {"codec": "mpeg4", "options": {"q": "3"}},
    "vp9.webm": {"codec": "libvpx-vp9", "b_frames": 0},
}


NOTHING = {"pictures": 0, "right": 0, "alone": 0, "black": None, "white": None}


@dataclass(frozen=True, eq=False)
class Audit:
    """What ``scripts/audit_decoders.py`` says.

    Args:
        decoders: names and versions; the first is the one that others are compared with.
        indices: a line for each numbered video and decoder: ``{video, decoder, pictures, right, alone, black, white,
            problem}``, how many pictures it claims, how many of ``NUM_NUMBERED`` came at their own index when all were
            asked for, how many when each was asked for alone, and which levels the black and white blocks have.
        pixels: ``{decoder, n_videos, n_unreadable, mean, largest, gain, offset}`` of each other decoder; see
            ``PixelSums``.
        flips: ``{decoder, entry, flips, change}``: share of videos with another best class, and change of accuracy.
        plain: ``compare.Entry`` of the first decoder's run.
        skipped: whether more than 1 % of the videos were skipped in some run.
    """

    decoders: dict[str, str]
    indices: list[dict]
    pixels: list[dict]
    flips: list[dict]
    plain: compare.Entry
    skipped: bool


def audit(config, progress=None) -> Audit:
    """Read the same frames with each decoder, and run the model on what each gives.

    Args:
        config: a ``vidbench.study_arguments.AuditConfig``.
        progress: as for ``evaluate.evaluate``.

    Raises:
        ConfigError: fewer than two decoders are installed, or one that was asked for is not.
        VidbenchError: something else asked for cannot be had; finished runs stay.
    """
    decoders = versions(config.decoders)
    first, *others = decoders
    folder = str(Path(config.out) / "runs")
    asked = [(name, config.evaluation(results_dir=folder, decoder=name, run_name=name)) for name in decoders]
    plan = make_plan(asked[0][1].checked())
    found = number_test(tuple(decoders))
    pixels = [compare_pixels(plan, first, other, config) for other in others]
    runs = run_variants(asked, progress, keep=decoders)
    flips = [_flips(runs[0], run) for run in runs[1:]]
    return Audit(decoders, found, pixels, flips, runs[0].entry, any(run.skipped for run in runs))


def versions(asked: Sequence[str] | None) -> dict[str, str]:
    """Versions of the decoders that were asked for, or of all that are installed."""
    if asked:
        return {name: decode.decoder_version(name) for name in asked}
    found = {}
    for name in decode.DECODERS:
        try:
            found[name] = decode.decoder_version(name)
        except ConfigError:
            continue
    if len(found) < 2:
        raise ConfigError(f"only {', '.join(found)} is installed: there is nothing to compare it with")
    return found


# ---------------------------------------------------------------- which picture


def number_test(decoders: Sequence[str]) -> list[dict]:
    """Read every picture of each numbered video by its index, with each decoder; lines as in ``Audit.indices``."""
    lines = []
    with tempfile.TemporaryDirectory(prefix="vidbench-") as folder:
        for name, options in NUMBERED.items():
            path = Path(folder) / name
            problem = _write(path, options)
            for decoder in decoders:
                line = {**NOTHING, "problem": problem} if problem else _read_numbered(path, decoder)
                lines.append({"video": name, "decoder": decoder, **line})
    return lines


def _write(path: Path, options: dict) -> str:
    """Write a numbered video; returns why it cannot be, or nothing."""
    import av

    try:
        write_numbered(path, NUM_NUMBERED, **options)
    except (av.FFmpegError, ValueError) as problem:  # an encoder that this FFmpeg lacks
        return f"cannot be written here: {printable(problem, 80)}"
    return ""


def _read_numbered(path: Path, decoder: str) -> dict:
    try:
        with decode.open_video(path, decoder=decoder) as video:
            count = video.info.num_frames
            clip = video.read(np.arange(min(count, NUM_NUMBERED)))
            alone = [read_numbers(video.read([number]).frames)[0] for number in clip.indices[::-1]][::-1]
    except UnreadableVideo as problem:
        return {**NOTHING, "problem": printable(str(problem), 120)}
    right = read_numbers(clip.frames) == clip.indices
    height, width = clip.frames.shape[1:3]
    bars = clip.frames[:, height // 12 : height // 4, : width // 20]  # the middle of the first block: 0 below 512
    last = clip.frames[1::2, height // 12 : height // 4, -width // 20 :]  # the last block of odd numbers: 1
    levels = {"black": round(float(bars.mean()), 1), "white": round(float(last.mean()), 1)}
    hits = {"right": int(right.sum()), "alone": int((np.array(alone) == clip.indices).sum())}
    return {"pictures": count, **hits, **levels, "problem": ""}


# ---------------------------------------------------------------- which pixels


class PixelSums:
    """Adds up how pixels differ: mean and largest difference in levels, and how to turn one into the other.

    ``other = gain * first + offset`` by least squares: a gain of 1.164 or 0.859 tells of one colour range taken for
    another.
    """

    def __init__(self):
        self.sums, self.largest = np.zeros(6), 0

    def add(self, first: np.ndarray, other: np.ndarray) -> None:
        """Two arrays of uint8 of one shape."""
        a, b = first.astype(np.float64).ravel(), other.astype(np.float64).ravel()
        self.sums += np.array([len(a), a.sum(), b.sum(), a @ a, a @ b, np.abs(a - b).sum()])
        self.largest = max(self.largest, int(np.abs(a - b).max()))

    def facts(self) -> dict:
        """``{mean, largest, gain, offset}``; ``None`` each where nothing was added, or the first never varies."""
        n, a, b, aa, ab, apart = self.sums
        if not n or n * aa == a * a:
            return dict.fromkeys(("mean", "largest", "gain", "offset"))
        gain = (n * ab - a * b) / (n * aa - a * a)
        return {"mean": apart / n, "largest": self.largest, "gain": gain, "offset": (b - gain * a) / n}


def compare_pixels(plan, first: str, other: str, config) -> dict:
    """The model's own frames of some videos through two decoders, at the picture's own size; as in ``Audit.pixels``.

    A video that only one of them reads, or in another size, counts as unreadable.
    """
    readable = [record for record in plan.records if record.status == "ok"]
    records = index.draw_subset(readable, min(config.compare, len(readable)), config.seed)
    sums, unreadable = PixelSums(), 0
    for record in records:
        path = plan.root / record.path
        try:
            with decode.open_video(path, decoder=first) as video:
                chosen = np.unique(indices_for(plan.spec, video.pts_s, video.table.frame_rate))
                frames = video.read(chosen).frames
            with decode.open_video(path, decoder=other) as video:
                sums.add(frames, video.read(chosen).frames)
        except (UnreadableVideo, ValueError):  # not read, fewer pictures, or of another size
            unreadable += 1
    return {"decoder": other, "n_videos": len(records) - unreadable, "n_unreadable": unreadable, **sums.facts()}


# ---------------------------------------------------------------- which answers


def _flips(first, other) -> dict:
    """Videos whose best class differs between two decoders; one that only one of them reads differs too."""
    said = [[row.top[0][1] if row.top else None for row in run.entry.rows] for run in (first, other)]
    flipped = np.array([a != b for a, b in zip(*said)], bool)
    share = intervals.clustered_proportion(flipped, [row.group for row in first.entry.rows])
    change = change_of(first.entry, other.entry)
    return {"decoder": other.name, "entry": other.entry, "flips": share, "change": change}


# ---------------------------------------------------------------- what is said and written


def text(found: Audit) -> str:
    """Tables for a terminal."""
    first, lines = next(iter(found.decoders)), []
    lines += [f"{name}: {version}" for name, version in found.decoders.items()]
    width = max(len(line["video"]) for line in found.indices)
    lines.append(
        f"pictures at their own index, of {NUM_NUMBERED}: read together, alone; levels of black and white blocks"
    )
    for line in found.indices:
        shown = f"{line['right']:3d} {line['alone']:3d}  {line['black']} {line['white']}"
        shown += f"  it claims {line['pictures']} pictures" if line["pictures"] != NUM_NUMBERED else ""
        lines.append(f"  {line['video']:{width}}  {line['decoder']:10}  {line['problem'] or shown}")
    lines.append(f"pixels of the model's frames against {first}, in levels of 255")
    for line in found.pixels:
        shown = "nothing to compare"
        if line["mean"] is not None:
            shown = f"mean {line['mean']:.3f}, largest {line['largest']}, gain {line['gain']:.4f}"
            shown += f", offset {line['offset']:+.2f}"
        lines.append(
            f"  {line['decoder']:10}  {shown}; {plural(line['n_videos'], 'video')}, "
            f"{line['n_unreadable']} not comparable"
        )
    lines.append(f"top-1 {percent(found.plain.accuracy)} with {first}, n={found.plain.accuracy['n']}")
    for line in found.flips:
        lines.append(
            f"  {line['decoder']:10}  another answer on {line['flips']['k']}: {percent(line['flips'])}; "
            f"top-1 {percent(line['entry'].accuracy)}, change {points(line['change'])} points"
        )
    return "\n".join(lines)


def write_audit(found: Audit, out: str | Path) -> Path:
    """Write ``indices.csv``, ``pixels.csv`` and ``flips.csv`` into a folder; gives the folder.

    Raises:
        RunError: the folder cannot be written to.
    """
    names = ("value", "low", "high", "k", "n")
    flips = [
        {"decoder": line["decoder"], **{f"flips_{name}": line["flips"][name] for name in names}}
        | {"accuracy": line["entry"].accuracy["value"]}
        | {f"change_{name}": line["change"][name] for name in names[:3]}
        for line in found.flips
    ]
    with results_in(out) as out:
        write_table(out / "indices.csv", found.indices)
        write_table(out / "pixels.csv", found.pixels)
        write_table(out / "flips.csv", flips)
    return out
