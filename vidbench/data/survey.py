"""What is in a dataset: one look at every listed video, and which of them show the same."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from vidbench.data.decode import Limits, VideoHeader, decoder_version, read_header
from vidbench.data.journal import FileJournal, file_stamp
from vidbench.data.load import ViewReader
from vidbench.data.near import pairs_within
from vidbench.data.pictures import video_stamp
from vidbench.records import PREDICTED, InputSpec, UnreadableVideo, VideoInfo, VideoRecord, Views
from vidbench.utils import sha256_of_file, usable_cores

# One frame from the middle, stretched to blocks of 6x8 pixels for the 8x9 means of ``picture_code``.
LOOK = InputSpec(1, None, (48, 72), (48, 72), (0.0,) * 3, (1.0,) * 3, sampling="uniform", layout="NTHWC")
LIMITS = Limits(seconds=20.0)
FLAT = 2.0  # levels: neighbouring blocks of a picture with something in it differ by more on average


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one look at a listed video found.

    Args:
        record: its entry in the list.
        status: ``ok``, ``partial``, or why there is no picture; one of ``vidbench.records.STATUSES``.
        reason: one sentence where the status is not ``ok``.
        info: frames, rate, size and codec; ``None`` where nothing could be decoded.
        file_size: bytes, 0 where there is no file.
        thumbnail: uint8 (48, 72, 3), RGB: the frame in the middle, stretched; ``None`` likewise.
    """

    record: VideoRecord
    status: str
    reason: str = ""
    info: VideoInfo | None = None
    file_size: int = 0
    thumbnail: np.ndarray | None = None

    def facts(self) -> dict:
        """Plain values for a table: those of the record and of the file, ``None`` where nothing is known."""
        r, names = self.record, VideoInfo.__dataclass_fields__
        known: dict = {"video_id": r.video_id, "label": r.label, "split": r.split, "group": r.group}
        known |= {"status": self.status, "reason": self.reason, "file_size": self.file_size}
        return known | (asdict(self.info) if self.info else dict.fromkeys(names))


def survey(
    records: Iterable[VideoRecord], root: str | os.PathLike, *, num_workers: int = 2, limits: Limits = LIMITS
) -> list[Look]:
    """Look at every listed video once: its facts, one picture of it, or what is wrong with it.

    Opens a file, reads every time stamp and decodes the frame in the middle, a few milliseconds for a short clip. As
    only that frame is decoded, damage elsewhere in it can stay unseen.

    Args:
        records: the list, as ``vidbench.data.index.load_records`` gives it.
        root: the folder that their paths are relative to.
        num_workers: isolated processes; 0 reads in this one, which a decoder that crashes then takes with it.
        limits: what one video may cost.

    Returns:
        One look per record, in the order given.

    Raises:
        ConfigError: a negative number of workers.
    """
    records = list(records)
    with ViewReader(root, LOOK, num_workers=num_workers, limits=limits) as reader:
        return [_look(records[place], root, found) for place, found in reader.stream(enumerate(records))]


@dataclass(frozen=True, slots=True)
class Probe:
    """What the header of a listed video says.

    Args:
        record: its entry in the list.
        status: ``ok``, or why there is no header; one of ``vidbench.records.STATUSES``.
        reason: one sentence where the status is not ``ok``.
        header: promised frames, rate, duration and size; ``None`` where there is none.
        file_size: bytes, 0 where there is no file.
    """

    record: VideoRecord
    status: str
    reason: str = ""
    header: VideoHeader | None = None
    file_size: int = 0

    def facts(self) -> dict:
        """Plain values for a table, under the names that ``Look.facts`` has too."""
        r, names = self.record, VideoHeader.__dataclass_fields__
        known: dict = {"video_id": r.video_id, "label": r.label, "split": r.split, "group": r.group}
        known |= {"status": self.status, "reason": self.reason, "file_size": self.file_size}
        return known | (asdict(self.header) if self.header else dict.fromkeys(names))


def probe_all(
    records: Iterable[VideoRecord],
    root: str | os.PathLike,
    *,
    num_workers: int | None = None,
    cache: str | os.PathLike | None = None,
    limits: Limits = LIMITS,
) -> list[Probe]:
    """Read the header of every listed video, and nothing else: a few hundred videos a second on one core.

    Headers can be wrong (those of HMDB51 promise one frame too many): ``survey`` counts, this believes.

    Args:
        records: the list, as ``vidbench.data.index.load_records`` gives it.
        root: the folder that their paths are relative to.
        num_workers: isolated processes, ``None`` for one a core; 0 reads in this one, which a file that crashes the
            reader then takes with it.
        cache: a file that keeps what was read; a later call reads only new and changed videos.
        limits: what one video may cost.

    Returns:
        One probe per record, in the order given.

    Raises:
        ConfigError: a negative number of workers.
        RunError: the cache cannot be written, or another process writes it.
    """
    records, made_by = list(records), f"header of {decoder_version('pyav')}"
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(FileJournal(cache, root, made_by)) if cache is not None else None
        known = {r.path: entry for r in records if journal is not None and (entry := journal.get(r.path))}
        left = [r for r in {r.path: r for r in records if r.status == "ok"}.values() if r.path not in known]
        workers = usable_cores() if num_workers is None else num_workers
        workers = min(workers, len(left))
        reader = stack.enter_context(
            ViewReader(root, LOOK, num_workers=workers, limits=limits, ahead=8 * workers + 8, _read=_header_as_views)
        )
        for (record, stamp), found in reader.stream(((r, file_stamp(root, r.path)), r) for r in left):
            known[record.path] = _header_values(found, stamp)
            if journal is not None:
                journal.add(record.path, stamp, known[record.path])
    return [_probe(record, known.get(record.path)) for record in records]


def _header_as_views(path, spec, *, decoder, limits, cache) -> Views:
    """What a worker gives back: the header in the place of the facts about a video, and no picture."""
    header = asdict(read_header(path, limits=limits))
    return Views(np.empty((1, 0, 1, 1, 3), np.uint8), np.empty((1, 0), np.int64), VideoInfo(**header))


def _header_values(found, stamp: tuple[int, int]) -> dict:
    size = max(0, stamp[0])
    if isinstance(found, UnreadableVideo):
        return {"status": found.status, "reason": found.reason, "header": None, "file_size": size}
    header = {name: getattr(found.info, name) for name in VideoHeader.__dataclass_fields__}
    return {"status": "ok", "reason": "", "header": header, "file_size": size}


def _probe(record: VideoRecord, values: dict | None) -> Probe:
    if record.status not in PREDICTED or values is None:
        return Probe(record, record.status, record.reason)
    header = VideoHeader(**values["header"]) if values["header"] else None
    return Probe(record, values["status"], values["reason"], header, values["file_size"])


def _look(record: VideoRecord, root, found) -> Look:
    size = 0 if record.status == "missing" else max(0, video_stamp(os.path.join(root, record.path))[0])
    if isinstance(found, UnreadableVideo):
        return Look(record, found.status, found.reason, file_size=size)
    return Look(record, found.status, found.reason, found.info, size, found.pixels[0, 0])


def same_bytes(looks: Iterable[Look], root: str | os.PathLike) -> list[list[Look]]:
    """Videos whose files hold the same bytes, under whatever name: lists of two or more, in listed order.

    Only files of equal size are read. Two entries that name one file count too; empty files do not.

    Raises:
        OSError: a file cannot be read.
    """
    looks = [look for look in looks if look.file_size]
    groups = equal_files([os.path.join(root, look.record.path) for look in looks])
    return [[looks[place] for place in places] for _, places in groups]


def equal_files(paths: Sequence[str | os.PathLike]) -> list[tuple[int, list[int]]]:
    """Files that hold the same bytes: ``(size in bytes, their places in the list)``, two or more each.

    Only files of equal size are read. Empty files, and paths where no regular file is, are left out.

    Raises:
        OSError: a file cannot be read.
    """
    by_size, by_hash = defaultdict(list), defaultdict(list)
    for place, path in enumerate(paths):
        if os.path.isfile(path) and (size := os.path.getsize(path)):
            by_size[size].append(place)
    for size, places in by_size.items():
        for place in places if len(places) > 1 else ():
            by_hash[size, sha256_of_file(paths[place])].append(place)
    return [(size, places) for (size, _), places in by_hash.items() if len(places) > 1]


def picture_code(picture: np.ndarray) -> np.ndarray | None:
    """64 bits that survive another size, codec or brightness: where a picture gets brighter from left to right.

    The grey picture is averaged over 8 rows of 9 blocks; each bit says whether a block is brighter than the one to
    its left. This is the difference hash of the image-hashing literature.

    Args:
        picture: uint8 (H, W, 3), H a multiple of 8 and W of 9.

    Returns:
        bool, shape (64,), row by row; ``None`` for a picture so flat that the bits would be noise.

    Raises:
        ValueError: sides that do not divide into blocks.

    >>> ramp = np.broadcast_to(np.arange(72, dtype=np.uint8)[:, None], (48, 72, 3))
    >>> int(picture_code(ramp).sum()), int(picture_code(ramp[:, ::-1]).sum())
    (64, 0)
    """
    h, w, _ = picture.shape
    if h % 8 or w % 9:
        raise ValueError(f"a picture code needs a height of 8 n and a width of 9 n pixels, got {h}x{w}")
    blocks = (picture @ (0.299, 0.587, 0.114)).reshape(8, h // 8, 9, w // 9).mean((1, 3))
    steps = np.diff(blocks, axis=1)
    return None if np.abs(steps).mean() < FLAT else (steps > 0).ravel()


def look_alikes(looks: Iterable[Look], most_different: int = 6) -> list[tuple[Look, Look, int]]:
    """Pairs of videos whose middle frames look alike, the likest first.

    This finds copies that were encoded again, scaled or brightened, and clips cut from one source. It does not find a
    copy cut at another time. None is missed, though not every pair is compared (``vidbench.data.near``).

    Args:
        looks: those without a picture, or with a flat one, are passed over.
        most_different: bits of 64 in which the ``picture_code`` may differ; two unrelated pictures differ in about 32.

    Returns:
        ``(one, other, bits that differ)``, sorted by bits and then by place in the list.
    """
    pictured = ((look, look.thumbnail) for look in looks if look.thumbnail is not None)
    coded = [(look, code) for look, picture in pictured if (code := picture_code(picture)) is not None]
    if not coded:
        return []
    words = np.packbits([code for _, code in coded], axis=1).view(np.uint64)[:, 0]
    pairs = []
    for one, other in pairs_within(words, words, most_different):
        pairs += [(int(a), int(b)) for a, b in zip(one, other, strict=True) if a < b]
    found = [(coded[a][0], coded[b][0], int(np.bitwise_count(words[a] ^ words[b]))) for a, b in sorted(pairs)]
    return sorted(found, key=lambda pair: pair[2])
