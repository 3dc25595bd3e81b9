"""What is found out about each file of a copy by reading it: its state, its facts, and codes of its pictures."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from vidbench.data.decode import Limits, decoder_version, open_video
from vidbench.data.journal import FileJournal, file_stamp
from vidbench.data.load import ViewReader
from vidbench.data.survey import LOOK
from vidbench.records import PREDICTED, UnreadableVideo, VideoInfo, VideoRecord, Views, needs
from vidbench.utils import usable_cores

SCHEMA = 1  # of the journal
DEPTHS = {
    "container": "open the file, read every packet's time stamp, decode the first picture",
    "frames": "and decode pictures spread from the first to the last",
    "full": "and decode every picture",
}
NUM_CODES = 5  # pictures of a video that are looked at, first and last among them
THUMBNAIL = (64, 64)  # pixels, height and width, stretched: twice what the hash needs
FLAT = 4.0  # levels: the standard deviation of a picture with something in it is larger


@dataclass(frozen=True, slots=True)
class Finding:
    """What reading a listed video gave.

    Args:
        record: its entry in the list.
        status: one of ``vidbench.records.STATUSES``.
        reason: one sentence where the status is not ``ok``.
        info: frames, rate and size; ``None`` where nothing could be decoded.
        codes: perceptual hashes of its pictures in order of time, 64 bits each; ``None`` for a picture so flat that
            the bits would be noise. Empty where none were asked for.
        file_size: bytes, 0 where there is no file.
    """

    record: VideoRecord
    status: str
    reason: str = ""
    info: VideoInfo | None = None
    codes: tuple[int | None, ...] = ()
    file_size: int = 0


def check_videos(
    records: Iterable[VideoRecord],
    root: str | os.PathLike,
    *,
    depth: str = "frames",
    codes: bool = False,
    num_workers: int | None = None,
    journal: str | os.PathLike | None = None,
    limits: Limits | None = None,
    progress=None,
) -> list[Finding]:
    """Read every listed video as deeply as ``depth`` says, in isolated workers.

    Args:
        records: the list; entries whose own status is not ``ok`` are passed on, and a file listed twice is read once.
        root: the folder that their paths are relative to.
        depth: one of ``DEPTHS``. Damage in pictures that nothing decoded stays unseen.
        codes: also make perceptual hashes, for ``shared_pictures``; needs at least the depth ``frames``.
        num_workers: processes, ``None`` for one a core; 0 reads in this one.
        journal: a file that keeps what was found. A later call with it reads only what is left, new or changed; a
            deeper check counts for a less deep one.
        limits: what one video may cost.
        progress: ``start(total, done)``, ``update(done, skipped)`` and ``stop()`` are called.

    Returns:
        One finding per record, in the order given.

    Raises:
        ValueError: an unknown depth, or codes without pictures.
        ConfigError: codes are asked for and ImageHash is not installed.
        RunError: the journal cannot be written, or another process writes it.
    """
    if depth not in DEPTHS or (codes and depth == "container"):
        raise ValueError(f"depth is one of {', '.join(DEPTHS)} (codes need frames or full), got {depth!r}")
    if codes:
        with needs("Comparing pictures (--compare bytes does without)", "course"):
            import imagehash  # noqa: F401  here, and not in the middle of the work
    records = list(records)
    files = list({r.path: r for r in records if r.status == "ok"}.values())
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(FileJournal(journal, root, _made_by())) if journal is not None else None
        known = {r.path: entry for r in files if kept is not None and (entry := _known(kept, r.path, depth, codes))}
        left = [r for r in files if r.path not in known]
        workers = min(usable_cores() if num_workers is None else num_workers, len(left))
        read = functools.partial(_read_for_check, depth=depth, codes=codes)
        reader = stack.enter_context(ViewReader(root, LOOK, num_workers=workers, limits=limits, _read=read))
        if progress is not None:
            progress.start(len(files), len(known))
            stack.callback(progress.stop)
        bad = sum(entry["status"] != "ok" for entry in known.values())
        for (record, stamp), found in reader.stream(((r, file_stamp(root, r.path)), r) for r in left):
            values = _values(found, stamp, depth, codes)
            known[record.path] = values
            bad += values["status"] != "ok"
            if kept is not None:
                kept.add(record.path, stamp, values)
            if progress is not None:
                progress.update(len(known), bad)
    return [_finding(record, known.get(record.path)) for record in records]


def _made_by() -> str:
    return f"check {SCHEMA} with {decoder_version('pyav')}"


def _known(journal: FileJournal, path: str, depth: str, codes: bool) -> dict | None:
    """What an earlier check found, where it went as deep as this one."""
    entry = journal.get(path)
    if entry is None or entry.get("depth") not in DEPTHS or not isinstance(entry.get("status"), str):
        return None
    levels = list(DEPTHS)
    deep = levels.index(entry["depth"]) >= levels.index(depth)
    return entry if deep and (entry.get("codes") or not codes or entry["status"] not in PREDICTED) else None


def _read_for_check(path, spec, *, decoder, limits, cache, depth: str, codes: bool) -> Views:
    """Runs in a worker: the facts of a video, and small pictures of it where hashes are wanted."""
    with open_video(path, limits=limits) as video:
        if depth == "full":
            video.decode_all()
        frames = np.empty((0, *THUMBNAIL, 3), np.uint8)
        if depth != "container":
            frames = video.read(lambda table: _places(table.num_frames, codes)).frames
        pixels = _thumbnails(frames) if codes else np.empty((0, *THUMBNAIL, 3), np.uint8)
        return Views(pixels[None], np.empty((1, 0), np.int64), video.info, video.status, video.reason)


def _places(num_frames: int, codes: bool) -> np.ndarray:
    """First, middle and last frame; for hashes five, spread evenly with the first and the last among them."""
    return np.linspace(0, num_frames - 1, NUM_CODES if codes else 3).round().astype(np.int64)


def _thumbnails(frames: np.ndarray) -> np.ndarray:
    import cv2

    size = THUMBNAIL[::-1]
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])


def _values(found: Views | UnreadableVideo, stamp: tuple[int, int], depth: str, codes: bool) -> dict:
    values = {"depth": depth, "file_size": max(0, stamp[0])}
    if isinstance(found, UnreadableVideo):
        return values | {"status": found.status, "reason": found.reason, "info": None, "codes": []}
    hashes = [picture_hash(picture) for picture in found.pixels[0]] if codes else []
    return values | {"status": found.status, "reason": found.reason, "info": asdict(found.info), "codes": hashes}


def _finding(record: VideoRecord, values: dict | None) -> Finding:
    if values is None:
        return Finding(record, record.status, record.reason)
    info = VideoInfo(**values["info"]) if values["info"] else None
    return Finding(record, values["status"], values["reason"], info, tuple(values["codes"]), values["file_size"])


def picture_hash(picture: np.ndarray) -> int | None:
    """ImageHash's ``phash`` of a picture: 64 bits out of its coarse cosine transform.

    Args:
        picture: uint8 (H, W, 3), RGB.

    Returns:
        A number below 2**64; ``None`` for a picture so flat that the bits would be noise.
    """
    import imagehash
    from PIL import Image

    if picture.mean(-1).std() < FLAT:
        return None
    return int(str(imagehash.phash(Image.fromarray(picture))), 16)
