"""Is a local copy whole, and do splits share videos: each listed video in one state, each leak with its members.

A copy is checked against its list: what is there, what opens, and whether pictures come out of it. The ledger puts
every listed video into exactly one of ``STATES``. Leaks are looked for between splits, of one dataset or of several:
by name, by source, by bytes and by what the pictures show.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from vidbench.data import order
from vidbench.data.catalog import DatasetCard, find_dataset
from vidbench.data.decode import Limits, decoder_version, open_video
from vidbench.data.index import dataset_labels, draw_subset, filter_classes, load_records
from vidbench.data.journal import FileJournal, file_stamp
from vidbench.data.ledger import (
    FETCH_STATES,
    STATES,
    Entry,
    accuracy_bounds,
    by_class,
    count_states,
    describe_ledger,
    state_of,
    write_ledger,
)
from vidbench.data.load import ViewReader
from vidbench.data.near import pairs_within
from vidbench.data.survey import LOOK, equal_files
from vidbench.records import (
    PREDICTED,
    AnnotationError,
    ConfigError,
    RunError,
    UnreadableVideo,
    VideoInfo,
    VideoRecord,
    Views,
    needs,
)
from vidbench.utils import printable, sha256_of_json, usable_cores, write_table

__all__ = [
    "STATES",
    "Entry",
    "Finding",
    "Leak",
    "Outcome",
    "Part",
    "accuracy_bounds",
    "by_class",
    "check",
    "check_videos",
    "count_states",
    "describe_leaks",
    "describe_ledger",
    "fetch_states",
    "find_leaks",
    "make_ledger",
    "picture_hash",
    "shared_bytes",
    "shared_names",
    "shared_pictures",
    "write_leaks",
    "write_ledger",
]  # fmt: skip

log = logging.getLogger(__name__)

SCHEMA = 1  # of the journal
GONE = "its archive was read: it was not asked for then, or its file was removed since"
EXIT_OK, EXIT_FOUND = 0, 3
DEPTHS = {
    "container": "open the file, read every packet's time stamp, decode the first picture",
    "frames": "and decode pictures spread from the first to the last",
    "full": "and decode every picture",
}
NUM_CODES = 5  # pictures of a video that are looked at, first and last among them
THUMBNAIL = (64, 64)  # pixels, height and width, stretched: twice what the hash needs
FLAT = 4.0  # levels: the standard deviation of a picture with something in it is larger
MOST_DIFFERENT = 10  # bits of 64; see ``shared_pictures``
LEAST_ALIKE = 3  # pictures of the five
PAIRS_AT_ONCE = 1 << 16


# ---------------------------------------------------------------- reading a copy


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


# ---------------------------------------------------------------- the ledger


def make_ledger(
    findings: Iterable[Finding],
    *,
    min_frames: int = 1,
    fetched: Mapping[str, tuple[str, str]] | None = None,
) -> list[Entry]:
    """Each listed video in exactly one state.

    Args:
        findings: what ``check_videos`` gave.
        min_frames: a video with fewer pictures is ``too_short``.
        fetched: by video id, ``(state, reason)`` for videos that a fetch did not bring: ``not_hosted``,
            ``not_fetched`` or ``fetch_failed``. It only explains files that are not there.

    Raises:
        ValueError: a state of a fetch that is none of these.
    """
    return [_entry(finding, min_frames, fetched or {}) for finding in findings]


def _entry(found: Finding, min_frames: int, fetched: Mapping[str, tuple[str, str]]) -> Entry:
    status, reason = found.status, found.reason
    frames = found.info.num_frames if found.info else 0
    if status in PREDICTED and frames < min_frames:
        status, reason = "too_short", f"{frames} frames, fewer than the {min_frames} asked for"
    state = state_of(status)
    if state == "not_there" and found.record.video_id in fetched:
        state, reason = fetched[found.record.video_id]
        if state not in FETCH_STATES:
            raise ValueError(f"{state!r} is no state that a fetch leaves a video in")
    return Entry(found.record, state, status, reason, frames, found.file_size)


# ---------------------------------------------------------------- leaks


@dataclass(frozen=True, slots=True)
class Part:
    """Videos that must not share anything with another part: usually one split.

    Args:
        name: in messages, ``ucf101 train``.
        root: the folder that the records' paths are relative to.
        records: its list.
        findings: what ``check_videos`` gave with ``codes``; needed for ``shared_pictures`` only.
        names_mean: parts with the same word here name a video alike; empty where names say nothing.
    """

    name: str
    root: str
    records: Sequence[VideoRecord]
    findings: Sequence[Finding] = ()
    names_mean: str = ""

    @classmethod
    def of(cls, card: DatasetCard, split: str, root, records, findings=()) -> Part:
        """The split of a dataset; file names in a folder of classes are not taken for names of videos."""
        names_mean = "" if card.layout == "folder" else card.layout
        return cls(f"{card.name} {split}", os.fspath(root), tuple(records), tuple(findings), names_mean)


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that lies in more than one part.

    Args:
        kind: ``same id``, ``same source``, ``same bytes`` or ``look alike``.
        what: the shared id or source, the file's size, or how like the pictures are.
        members: ``(name of the part, record)``, at least two, of at least two parts.
    """

    kind: str
    what: str
    members: tuple[tuple[str, VideoRecord], ...]

    @property
    def labels_differ(self) -> bool:
        """Whether its videos are of more than one class: then at least one label is wrong."""
        return len({record.label for _, record in self.members}) > 1


def find_leaks(parts: Sequence[Part], *, compare: str = "pictures") -> list[Leak]:
    """What two parts or more have in common, the surest first.

    Args:
        parts: two or more splits with what was found out about their files.
        compare: ``names`` looks at ids and sources, ``bytes`` also at files of equal size, ``pictures`` also at
            the codes in the parts' findings.

    Raises:
        ValueError: another word.
    """
    if compare not in ("names", "bytes", "pictures"):
        raise ValueError(f"compare is names, bytes or pictures, got {compare!r}")
    leaks = shared_names(parts, "same id", lambda record: record.video_id)
    leaks += shared_names(parts, "same source", lambda record: record.group)
    if compare != "names":
        leaks += shared_bytes(parts)
    if compare == "pictures":
        sure = {frozenset((name, r.path) for name, r in leak.members) for leak in leaks if leak.kind == "same bytes"}
        alike = shared_pictures(parts)
        leaks += [leak for leak in alike if not any({(n, r.path) for n, r in leak.members} <= same for same in sure)]
    return leaks


def shared_names(parts: Sequence[Part], kind: str, name_of) -> list[Leak]:
    """Names in more than one part, where the parts mean the same by them; bad rows have none."""
    found = defaultdict(list)
    for part in parts:
        for record in part.records if part.names_mean else ():
            if record.status not in ("bad_row", "duplicate") and (name := name_of(record)):
                found[part.names_mean, name].append((part.name, record))
    return [Leak(kind, key[1], tuple(members)) for key, members in found.items() if _crosses(members)]


def shared_bytes(parts: Sequence[Part]) -> list[Leak]:
    """Files of different parts that hold the same bytes; only files of equal size are read."""
    members = [(part.name, part.root, r) for part in parts for r in part.records if r.status == "ok"]
    groups = equal_files([os.path.join(root, record.path) for _, root, record in members])
    found = [(size, tuple((members[i][0], members[i][2]) for i in places)) for size, places in groups]
    return [Leak("same bytes", f"{size} bytes", pairs) for size, pairs in found if _crosses(pairs)]


def shared_pictures(
    parts: Sequence[Part], most_different: int = MOST_DIFFERENT, least_alike: int = LEAST_ALIKE
) -> list[Leak]:
    """Pairs of videos of different parts that show the same, the likest first.

    Two pictures are alike when their hashes differ in at most ``most_different`` of 64 bits; unrelated ones differ in
    about 32. Two videos are alike when ``least_alike`` of the pictures of one have their like in the other, at any
    time. This finds copies that were encoded again, scaled or brightened, and clips of one scene. It misses copies
    that were mirrored, cropped by much, or cut at other times out of a scene that moves.

    None is missed, though not every pair is compared (``vidbench.data.near``): a whole Kinetics against its validation
    split takes about a minute where hashes are unlike, more where many videos begin with one title.
    """
    coded = [(part.name, f.record, f.codes) for part in parts for f in part.findings if any(_usable(f.codes))]
    if not coded:
        return []
    words = np.array([[code or 0 for code in codes] for *_, codes in coded], np.uint64)
    usable = np.array([_usable(codes) for *_, codes in coded])
    leaks = []
    begins = [k for k in range(len(coded)) if k == 0 or coded[k][0] != coded[k - 1][0]]
    for begin, end in itertools.pairwise(begins):  # a part, and all that lie behind it
        for one, other in _candidates(words, usable, begin, end, most_different):
            alike, bits = _alike(words[one], usable[one], words[other], usable[other], most_different)
            needed = np.minimum(least_alike, np.minimum(usable[one].sum(1), usable[other].sum(1)))
            for k in np.flatnonzero(alike >= np.maximum(needed, 1)):
                pair = coded[one[k]][:2], coded[other[k]][:2]
                what = f"{alike[k]} of {usable[one[k]].sum()} pictures alike"
                leaks.append((bits[k], Leak("look alike", what, pair)))
    return [leak for _, leak in sorted(leaks, key=lambda item: item[0])]


def _candidates(words: np.ndarray, usable: np.ndarray, begin: int, end: int, most_different: int) -> Iterator:
    """Places of videos of one part and of later ones that share a picture, as two int64 arrays, in listed order."""
    (mine, _), (theirs, _) = np.nonzero(usable[begin:end]), np.nonzero(usable[end:])
    found = [np.empty(0, np.int64)]
    for one, other in pairs_within(words[begin:end][usable[begin:end]], words[end:][usable[end:]], most_different):
        found.append(np.unique(mine[one] * np.int64(len(words)) + theirs[other]))
    pairs = np.unique(np.concatenate(found))
    for first in range(0, len(pairs), PAIRS_AT_ONCE):
        one, other = np.divmod(pairs[first : first + PAIRS_AT_ONCE], len(words))
        yield one + begin, other + end


def _usable(codes: Iterable[int | None]) -> list[bool]:
    return [code is not None for code in codes]


def _alike(one, one_usable, other, other_usable, most_different: int) -> tuple[np.ndarray, np.ndarray]:
    """How many pictures of one video have their like in the other, and their mean distance in bits, pair by pair.

    Args:
        one: uint64 (N, P), with bool (N, P) of those that can be used, at least one a video.
        other: likewise.

    Returns:
        int (N,) and float (N,).
    """
    bits = np.bitwise_count(one[:, :, None] ^ other[:, None, :])
    nearest = np.maximum(bits, np.where(other_usable, 0, 65).astype(np.uint8)[:, None, :]).min(2)
    return ((nearest <= most_different) & one_usable).sum(1), (nearest * one_usable).sum(1) / one_usable.sum(1)


def _crosses(members: Iterable) -> bool:
    return len({member[0] for member in members}) > 1


def write_leaks(leaks: Sequence[Leak], path: str | os.PathLike) -> None:
    """Write a CSV file, one line for each member of each leak; raises ``OSError``."""
    header = ["leak", "kind", "what", "part", "video_id", "label", "group", "path"]
    lines = [
        {"leak": number, "kind": leak.kind, "what": leak.what, "part": name, "video_id": record.video_id}
        | {"label": record.label or "", "group": record.group, "path": record.path}
        for number, leak in enumerate(leaks, 1)
        for name, record in leak.members
    ]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_table(Path(path), lines, header)


def describe_leaks(leaks: Sequence[Leak]) -> str:
    """Leaks in a few lines: how many of each kind between which parts, how many videos, with an example."""
    if not leaks:
        return "leaks      none found"
    groups: dict[tuple, list[Leak]] = defaultdict(list)
    for leak in leaks:
        groups[leak.kind, tuple(sorted({name for name, _ in leak.members}))].append(leak)
    lines = []
    for (kind, names), found in groups.items():
        videos = len({(name, record.video_id) for leak in found for name, record in leak.members})
        labels = sum(leak.labels_differ for leak in found)
        example = " and ".join(f"{name}: {printable(r.video_id, 60)}" for name, r in _one_of_each(found[0]))
        other = f", {labels} of them with different labels" if labels else ""
        lines.append(f"leak       {kind}: {len(found)} in {' and '.join(names)} ({videos} videos){other}; {example}")
    return "\n".join(lines)


def _one_of_each(leak: Leak) -> list[tuple[str, VideoRecord]]:
    return list({name: (name, record) for name, record in reversed(leak.members)}.values())[::-1]


# ---------------------------------------------------------------- the whole check


@dataclass(frozen=True)
class Outcome:
    """How a check ended.

    Args:
        summary: a few lines for people.
        exit_status: 0; 3 where a listed video cannot be read, or something leaks.
        folder: where the tables lie.
    """

    summary: str
    exit_status: int
    folder: Path


def check(config, *, progress=None) -> Outcome:
    """Verify a local copy, or look for leaks between its splits, and write the tables.

    Args:
        config: a ``vidbench.arguments.CheckConfig``.
        progress: see ``check_videos``.

    Raises:
        VidbenchError: lists that cannot be used, or a folder that cannot be written.
    """
    config = config.checked()
    folder = Path(config.results_dir) / find_dataset(config.dataset).name
    try:
        return (_check_leaks if config.leaks else _check_copy)(config, folder, progress)
    except OSError as problem:
        where = printable(problem.filename or folder, 160)
        raise RunError(f"{where}: {problem.strerror or problem}; see --results-dir and --data-dir.") from None


def _check_copy(config, folder: Path, progress) -> Outcome:
    lines, whole = [], True
    for split, records in _splits(config, config.dataset, config.data_dir, config.split):
        findings = _read(config, records, config.data_dir, folder, config.depth, False, progress)
        fetched = fetch_states(config.data_dir, split, records)
        ledger = make_ledger(findings, min_frames=config.min_frames, fetched=fetched)
        name = f"{split}{config.fold}" if find_dataset(config.dataset).folds > 1 else split
        write_ledger(ledger, folder / name)
        lines += [f"data       {config.dataset} {name} in {printable(config.data_dir, 160)}, read as {config.depth}"]
        lines += [describe_ledger(ledger), f"tables     {folder / name}"]
        whole &= all(entry.state == "ok" for entry in ledger)
    return Outcome("\n".join(lines), EXIT_OK if whole else EXIT_FOUND, folder)


def _check_leaks(config, folder: Path, progress) -> Outcome:
    datasets = [(config.dataset, config.data_dir, config.split or ("all",))]
    datasets += [(name, root, (split,)) for name, split, root in config.others]
    parts, places = [], []
    for number, (name, root, wanted) in enumerate(datasets):
        for split, records in _splits(config, name, root, wanted, main=number == 0):
            parts.append(Part.of(find_dataset(name), split, root, records))
            places.append(folder if number == 0 else folder.parent / find_dataset(name).name)
    if len(parts) < 2:
        raise ConfigError(
            f"Only {parts[0].name} is there: a leak is between two splits. Name the others' lists with --against."
        )
    if config.compare == "pictures":
        depth = "full" if config.depth == "full" else "frames"
        parts = [
            replace(part, findings=tuple(_read(config, part.records, part.root, place, depth, True, progress)))
            for part, place in zip(parts, places)
        ]
    leaks = find_leaks(parts, compare=config.compare)
    write_leaks(leaks, folder / "leaks.csv")
    names = ", ".join(f"{part.name} ({len(part.records)} videos)" for part in parts)
    lines = [f"compared   {names}, by {config.compare}", describe_leaks(leaks), f"table      {folder / 'leaks.csv'}"]
    return Outcome("\n".join(lines), EXIT_FOUND if leaks else EXIT_OK, folder)


def _splits(config, name: str, root: str, wanted: Sequence[str] | None, *, main: bool = True):
    """``(split, records)`` for each split asked for; of ``all``, those whose lists are there, and each list once."""
    card = find_dataset(name)
    every = tuple(wanted or ()) == ("all",)
    seen: dict[str, str] = {}
    for split in (card.splits or ("train", "val", "test")) if every else wanted or (card.default_split,):
        try:
            annotations = config.annotations if main else None
            records = load_records(name, root, split, config.fold if main else 1, annotations=annotations)
        except AnnotationError as problem:
            if not every:
                raise
            log.warning("%s %s is left out: %s", name, split, problem)
            continue
        same = seen.setdefault(sha256_of_json([(r.video_id, r.path) for r in records]), split)
        if same == split:
            yield split, _chosen(config, records, dataset_labels(name, root, config.annotations if main else None))
    if not seen:
        raise AnnotationError(f"No list of {card.title} is below {printable(root, 160)}.")


def _chosen(config, records: list[VideoRecord], labels: Sequence[str]) -> list[VideoRecord]:
    if config.classes is not None:
        records = filter_classes(records, config.classes, labels)
    return draw_subset(records, config.limit, config.seed) if config.limit and records else records


def _read(config, records, root: str, folder: Path, depth: str, codes: bool, progress) -> list[Finding]:
    limits = Limits(seconds=config.timeout, megabytes=config.memory)
    return check_videos(
        records, root, depth=depth, codes=codes, num_workers=config.num_workers, journal=folder / "files.jsonl",
        limits=limits, progress=progress,
    )  # fmt: skip


def fetch_states(root: str | os.PathLike, split: str, records: Iterable[VideoRecord]) -> dict[str, tuple[str, str]]:
    """Why files are not there, as far as ``vidbench.data.fetch`` wrote it down below the data folder.

    Returns:
        By video id ``(state, reason)``; empty where nothing was fetched into this folder.
    """
    if not (Path(root) / order.STATE / f"{split}.json").is_file():
        return {}
    known = order.Known(Path(root), split)
    hosted = known.hosted
    states = {}
    for record in records:
        if record.status != "missing":
            continue
        name = record.video_id
        if name in known.lost:
            states[name] = "fetch_failed", known.lost[name]
        elif name in hosted:
            states[name] = "not_fetched", GONE
        elif known.complete:
            states[name] = "not_hosted", STATES["not_hosted"]
        else:
            states[name] = "not_fetched", STATES["not_fetched"]
    return states
