"""Videos to folders of numbered pictures, once: resumed where it stopped, and a sentence for each that cannot be read.

Reading and writing happen in isolated workers; a folder of pictures appears whole or not at all, and says in
``source.json`` which file it was made from, so that the same command does what is left and what has changed since.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import filelock
import numpy as np

from vidbench.data.decode import Limits, Video, open_video
from vidbench.data.exports import export
from vidbench.data.index import dataset_labels, load_splits
from vidbench.data.load import ViewReader
from vidbench.data.pictures import read_series, video_stamp
from vidbench.data.process import resize, spread_indices, store_frames, target_size
from vidbench.records import ConfigError, InputSpec, RunError, UnreadableVideo, VideoRecord, Views
from vidbench.runs import read_json
from vidbench.utils import printable, usable_cores, write_json

EXIT_OK, EXIT_SKIPPED, EXIT_INTERRUPTED = 0, 3, 130
SOURCE, MANIFEST, HELD = "source.json", "extracted.json", "held"
LISTS = ("datalist", "datalist.json"), ("csv", "annotations.csv")
PIECE_BYTES = 64 * 2**20  # of frames in memory while all of a video are written
TRIES = 3  # damage has pictures counted anew
_ANY = InputSpec(1, None, 8, (8, 8), (0.0,) * 3, (1.0,) * 3)  # a reader wants one; frames are chosen here


@dataclass(frozen=True)
class Outcome:
    """How an extraction ended.

    Args:
        folder: that of the pictures.
        summary: one line for people.
        exit_status: 0; 3 when a video could not be read; 130 when interrupted.
        num_frames: pictures of each video that has some, by the path of its folder below ``folder``.
        skipped: ``(record, status: reason)`` of the others.
    """

    folder: Path
    summary: str
    exit_status: int
    num_frames: dict[str, int]
    skipped: list[tuple[VideoRecord, str]]


@dataclass(frozen=True)
class Recipe:
    """Which pictures; ``num_frames`` and ``short_side`` may be ``None`` for all and for the video's own size."""

    num_frames: int | None
    short_side: int | None
    quality: int


def extract(config, *, progress=None, tell: Callable[[str], None] = lambda line: None) -> Outcome:
    """Write the frames of all listed videos.

    Args:
        config: a ``vidbench.arguments.ExtractConfig``.
        progress: as for ``vidbench.evaluate.evaluate``.
        tell: gets a sentence for each video that cannot be read.

    Raises:
        VidbenchError: a list that cannot be read, or a folder that cannot be used.
    """
    config = config.checked()
    recipe = Recipe(config.frames, config.short_side, config.quality)
    records, labels = listed(config), dataset_labels(config.dataset, config.data_dir, config.annotations)
    out = Path(config.out)
    places = folders_of(records)
    begin(out, recipe)
    with alone(out):
        return _extract(config, recipe, records, labels, places, progress, tell)


def _extract(config, recipe: Recipe, records, labels, places: dict[str, str], progress, tell) -> Outcome:
    out, root = Path(config.out), Path(config.data_dir)
    found: dict[str, int] = {}
    skipped: list[tuple[VideoRecord, str]] = []
    try:
        for record, number, why in written(records, places, root, out, recipe, config, progress):
            if why is None:
                found[places[record.path]] = number
            else:
                skipped.append((record, why))
                tell(f"{printable(record.path, 160)}: {printable(why, 200)}")
    except KeyboardInterrupt:
        said = f"stopped after {len(found)} of {len(records)} videos; the same command continues in {out}"
        return Outcome(out, said, EXIT_INTERRUPTED, found, skipped)
    if found:
        write_lists(records, labels, places, found, out)
    return Outcome(
        out, summary_of(len(records), found, skipped, out), EXIT_SKIPPED if skipped else EXIT_OK, found, skipped
    )


def listed(config) -> list[VideoRecord]:
    """The records of one split, or of all whose lists are there; each path once."""
    where = {"classes": config.classes, "annotations": config.annotations, "present_only": config.present_only}
    records = load_splits(config.dataset, config.data_dir, config.split, config.fold, **where)
    if not records:
        raise ConfigError(f"No listed video is below {printable(config.data_dir, 160)}; check --data-dir.")
    return list({record.path: record for record in reversed(records)}.values())[::-1]


def folders_of(records: Sequence[VideoRecord]) -> dict[str, str]:
    """The folder of each video's pictures: its path without suffix, or with it where two would share a folder."""
    bare = {record.path: str(PurePosixPath(record.path).with_suffix("")) for record in records}
    shared = Counter(name.casefold() for name in bare.values())
    return {path: name if shared[name.casefold()] == 1 else path for path, name in bare.items()}


def begin(out: Path, recipe: Recipe) -> None:
    """Make the folder, or continue in it; raises ``RunError`` where it holds anything else."""
    facts = {"vidbench": "frames", **dataclasses.asdict(recipe)}
    if (out / MANIFEST).is_file():
        before = read_json(out / MANIFEST)
        for key, value in facts.items():
            if before.get(key) != value:
                raise RunError(
                    f"{printable(out, 160)} holds pictures made with {key} {printable(before.get(key), 40)}, not "
                    f"{value}; choose another --out, or remove the folder."
                )
        return
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"{printable(out, 160)} is there and was not made by this program; choose another --out.")
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / MANIFEST, facts)
    except OSError as problem:
        raise RunError(f"{printable(out, 160)} cannot be written: {problem.strerror or problem}.") from None


@contextlib.contextmanager
def alone(out: Path):
    """Hold the folder, and clear away what a killed process left half done; ``RunError`` where another one is at it."""
    lock = filelock.FileLock(out / HELD, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(f"another process writes to {printable(out, 160)}; wait for it, or use another --out.") from None
    try:
        for left in out.rglob(".*.tmp"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


# ---------------------------------------------------------------- video by video


def written(records, places, root: Path, out: Path, recipe: Recipe, config, progress) -> Iterator[tuple]:
    """``(record, number of pictures, why there are none)`` of each video in listed order; the rest is done already."""
    left = [record for record in records if kept_number(root / record.path, out / places[record.path]) is None]
    absent = {record.path for record in left}
    if progress:
        progress.start(len(records), len(records) - len(left))
    read = functools.partial(store_video, root=str(root), out=str(out), places=places, recipe=recipe)
    workers = config.num_workers if config.num_workers is not None else min(32, usable_cores())
    limits = Limits(seconds=config.timeout, megabytes=config.memory)
    skipped = 0
    with ViewReader(root, _ANY, num_workers=workers, limits=limits, _read=read) as reader:
        answers = reader.stream(enumerate(left))
        for record in records:
            if record.path not in absent:
                yield record, kept_number(root / record.path, out / places[record.path]), None
                continue
            number, views = next(answers)
            if isinstance(views, UnreadableVideo):
                skipped += 1
                yield record, 0, f"{views.status}: {views.reason}"
            else:
                yield record, views.indices.shape[1], None
            if progress:
                progress.update(len(records) - len(left) + number + 1, skipped)
    if progress:
        progress.stop()


def kept_number(video: Path, folder: Path) -> int | None:
    """Pictures in a folder that was made from the video as it is now; ``None`` where it has to be made."""
    try:
        facts = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
        number = len(read_series(folder).names)
    except (OSError, ValueError, RecursionError, UnreadableVideo):
        return None
    same = isinstance(facts, dict) and facts.get("stamp") == list(video_stamp(video)) and facts.get("frames") == number
    return number if same else None


def store_video(path: str, spec, *, decoder: str, limits: Limits, cache, root, out, places, recipe: Recipe) -> Views:
    """Write the pictures of one video; in a worker. A folder of an earlier state of the video makes room.

    Returns:
        Views without pixels; ``indices`` are the frames that were written, (1, T).

    Raises:
        UnreadableVideo: the video gives no usable frame, or its pictures cannot be written.
    """
    folder = Path(out, places[os.path.relpath(path, root).replace(os.sep, "/")])
    if (folder / SOURCE).is_file():
        shutil.rmtree(folder)
    with open_video(path, decoder=decoder, limits=limits) as video:
        for _ in range(TRIES):
            table = video.table
            chosen = spread_indices(table, recipe.num_frames)
            try:
                _store(video, chosen, folder, path, recipe)
            except (UnreadableVideo, ValueError):
                if video.table is table:
                    raise
            except RunError as problem:
                raise UnreadableVideo("cancelled", str(problem)) from None
            if video.table is table:
                return Views(np.empty((1, 0, 1, 1, 3), np.uint8), chosen[None], video.info, video.status, video.reason)
            shutil.rmtree(folder, ignore_errors=True)
    raise UnreadableVideo("decode_error", f"its pictures were counted {TRIES} times and differ each time")


def _store(video: Video, chosen: np.ndarray, folder: Path, path: str, recipe: Recipe) -> None:
    facts = {"stamp": list(video_stamp(path)), "frames": len(chosen), "of": video.table.num_frames}
    rate = _rate(video.table.pts_s, chosen, video.table.frame_rate)
    source = json.dumps({**facts, "indices": chosen.tolist()}) + "\n"
    frames = _in_pieces(video, chosen, recipe.short_side)
    store_frames(frames, folder, quality=recipe.quality, frame_rate=rate, notes={SOURCE: source})


def _rate(pts_s: np.ndarray, chosen: np.ndarray, frame_rate: float) -> float:
    """Pictures per second of the chosen frames, as far as ``frame_rate.txt`` may say it."""
    if len(chosen) > 1:
        share = (len(chosen) - 1) / max(1, int(chosen[-1] - chosen[0]))
        frame_rate = frame_rate * share
    return float(np.clip(frame_rate, 0.1, 1000))


def _in_pieces(video: Video, chosen: np.ndarray, short_side: int | None) -> Iterator[np.ndarray]:
    info = video.info
    size = target_size(info.height, info.width, short_side or min(info.height, info.width))
    length = max(1, PIECE_BYTES // (info.height * info.width * 3))
    for start in range(0, len(chosen), length):
        yield from resize(video.read(chosen[start : start + length]).frames, size)


# ---------------------------------------------------------------- what is left behind


def write_lists(records, labels, places: dict[str, str], found: dict[str, int], out: Path) -> None:
    """``datalist.json`` with the four keys, ``annotations.csv`` with splits and sources, and ``labels.txt``."""
    kept = [
        dataclasses.replace(record, path=places[record.path], status="ok")
        for record in records
        if places[record.path] in found
    ]
    for form, name in LISTS:
        export(kept, labels, form, out / name, num_frames=found)


def summary_of(num_listed: int, found: dict[str, int], skipped: Sequence, out: Path) -> str:
    """One line for people."""
    said = f"{sum(found.values())} pictures of {len(found)} of {num_listed} videos in {printable(out, 160)}"
    kinds = Counter(why.partition(":")[0] for _, why in skipped)
    lost = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    reads = f"; --dataset csv --data-dir {shlex.quote(printable(out, 4096))} reads them"
    return said + (f"; left out: {lost}" if lost else reads)
