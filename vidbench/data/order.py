"""What is asked for of a dataset, and what of it is known, listed, there, or still to come.

Knows lists and files on the disk; what it has to download are lists and split files.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import json
import logging
import os
import re
import threading
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vidbench.data import index
from vidbench.data.catalog import DatasetCard, Source, find_dataset
from vidbench.data.classes import read_text
from vidbench.data.download import Downloaded, download
from vidbench.records import AnnotationError, ConfigError, FetchError, VideoRecord
from vidbench.utils import atomic_writer, chance, nearest_hint, printable, quoted, write_json

STATE = ".fetch"  # below the data folder: what is known of the copy, and archives that are being read
SCHEMA = 1
MOST_LIST_BYTES = 256 * 10**6
FIRST_BOXES = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid"}  # of an MP4 file
HOMES = {"ucf101": ("UCF-101", "UCF101"), "hmdb51": ("hmdb51_org", "videos")}  # folders of videos, the usual one first


# ---------------------------------------------------------------- what is asked for


@dataclass(frozen=True)
class Order:
    """What to fetch, and how.

    Args:
        name: a dataset of ``vidbench.data.catalog``, or an alias.
        split: ``None`` for the card's default, ``all`` for all of them.
        fold: the official division, for datasets that have several.
        classes: only these; ``None`` for all.
        per_class: at most so many videos of each class.
        limit: at most so many videos of each split, evenly over the classes.
        seed: draws videos, or the order in which archives are read.
        data_dir: where to; ``None`` for the card's place.
        mirrors: addresses that take the place of the card's ``bases``, in the order to be tried.
        ca_bundle: file of certificates to trust instead of the usual ones.
        retry_failed: ask again for what was not there or damaged before.
        num_parallel: files, or archives, at a time.
    """

    name: str
    split: str | None = None
    fold: int = 1
    classes: tuple[str, ...] | None = None
    per_class: int | None = None
    limit: int | None = None
    seed: int = 0
    data_dir: str | os.PathLike | None = None
    mirrors: tuple[str, ...] = ()
    ca_bundle: str | None = None
    retry_failed: bool = False
    num_parallel: int = 4

    @property
    def card(self) -> DatasetCard:
        """The dataset's card. Raises ``ConfigError`` for a name that there is none of."""
        return find_dataset(self.name)

    @property
    def root(self) -> Path:
        """The data folder: the one asked for, else the dataset's own."""
        return Path(self.data_dir) if self.data_dir else self.card.default_dir

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits to fetch; raises ``ConfigError`` for one that the dataset does not have."""
        if self.split == "all":
            return self.card.splits
        split = self.split or self.card.default_split
        if split not in self.card.splits:
            known = ", ".join((*self.card.splits, "all"))
            raise ConfigError(f"--split must be one of {known} for {self.card.name}, not {quoted(split, 40)}")
        return (split,)

    @property
    def is_part(self) -> bool:
        """Whether fewer videos than listed are asked for; classes left out do not count."""
        return self.per_class is not None or self.limit is not None


def class_names(words: Iterable[str] | None, labels: tuple[str, ...]) -> tuple[str, ...] | None:
    """Class names out of words: each a name, or several with commas between them (names may hold commas too).

    Raises:
        ConfigError: no class of the dataset; says the nearest.

    >>> class_names(["golf,kick", "pour"], ("golf", "kick", "pour", "run"))
    ('golf', 'kick', 'pour')
    """
    if words is None:
        return None
    found: list[str] = []
    for word in words:
        found += [word] if word in labels else [part.strip() for part in word.split(",") if part.strip()]
    for name in found:
        if name not in labels:
            raise ConfigError(f"--classes names {quoted(name, 80)}, no class of it.{nearest_hint(name, labels)}")
    return tuple(dict.fromkeys(found))


def shares(available: dict[str, int], per_class: int | None, limit: int | None, seed: int) -> dict[str, int]:
    """How many videos of each class to take.

    Classes take turns, in an order drawn by ``seed``, until ``limit`` is reached or all have ``per_class``; so any two
    shares differ by one at most, unless a class has no more. A smaller limit lies within a larger one.

    Args:
        available: videos by class.
        per_class: at most so many of each class; ``None`` for all.
        limit: so many together, where there are; ``None`` for all.
        seed: draws the order of the classes.

    >>> shares({"a": 5, "b": 1, "c": 5}, 2, None, seed=0)
    {'a': 2, 'b': 1, 'c': 2}
    >>> sum(shares({"a": 5, "b": 1, "c": 5}, None, 7, seed=0).values())
    7
    """
    order = sorted(available, key=lambda name: chance(seed, "class", name))
    most = max(available.values(), default=0)
    most = most if per_class is None else min(per_class, most)
    taken = dict.fromkeys(available, 0)
    left = sum(available.values()) if limit is None else limit
    for turn in range(most):
        for name in order:
            if left and available[name] > turn:
                taken[name] += 1
                left -= 1
    return taken


def draw(records: list[VideoRecord], order: Order) -> list[VideoRecord]:
    """The videos to take where each can be had by itself: those that ``--limit`` of an evaluation draws too."""
    if order.per_class is not None:
        by_class = defaultdict(list)
        for record in records:
            by_class[record.label].append(record)
        kept = {
            record.video_id
            for members in by_class.values()
            for record in index.draw_subset(members, order.per_class, order.seed)
        }
        records = [record for record in records if record.video_id in kept]
    return records if order.limit is None else index.draw_subset(records, order.limit, order.seed)


# ---------------------------------------------------------------- what is known of the published copy


class Known:
    """What was found out about the published copy of one split: ``.fetch/SPLIT.json`` below the data folder.

    ``archives`` maps an archive's official address to ``{"state": "read" or "failed", "reason", "num_bytes", "sha256",
    "clips": {id: bytes}}``; ``lost`` maps the id of a video that cannot be had to the reason, ``sizes`` has the bytes
    of archives that were not read yet, ``rate`` the bytes a second that were measured last.
    """

    def __init__(self, root: Path, split: str):
        self.path = root / STATE / f"{split}.json"
        self.archives: dict[str, dict] = {}
        self.lost: dict[str, str] = {}
        self.listed_archives, self.rate = 0, 0.0
        self.sizes: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            values = json.loads(self.path.read_text(encoding="utf-8"))
            if isinstance(values, dict) and values.get("schema") == SCHEMA:
                self.archives, self.lost = dict(values["archives"]), dict(values["lost"])
                self.listed_archives, self.rate = int(values["listed_archives"]), float(values["rate"])
                self.sizes = dict(values["sizes"])

    def save(self) -> None:
        """Write it beside the data, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        values = {"schema": SCHEMA, "listed_archives": self.listed_archives, "rate": self.rate, "sizes": self.sizes}
        write_json(self.path, values | {"archives": self.archives, "lost": self.lost})

    def forget_failures(self) -> None:
        """For ``--retry-failed``: what failed, or was damaged, is asked for again."""
        bad = {url for url, facts in self.archives.items() if facts["state"] == "failed"}
        bad |= {url for url, facts in self.archives.items() if self.lost.keys() & facts["clips"].keys()}
        self.archives = {url: facts for url, facts in self.archives.items() if url not in bad}
        self.lost = {}

    @property
    def complete(self) -> bool:
        """Whether every archive of the split was read to its end, so that what none holds is not hosted."""
        read = sum(facts["state"] == "read" for url, facts in self.archives.items() if not facts.get("replaces"))
        return bool(self.listed_archives) and read == self.listed_archives

    @property
    def hosted(self) -> set[str]:
        """Ids of the clips that the archives read so far hold."""
        return {name for facts in self.archives.values() for name in facts["clips"]}


# ---------------------------------------------------------------- addresses and lists


def addresses(order: Order, official: str) -> list[str]:
    """Where to ask for an official address: there, or at the mirrors that take the place of its beginning.

    Raises:
        FetchError: an address that begins with none of the card's bases (a list that leads elsewhere).
    """
    for base in order.card.bases:
        if official.startswith(base + "/"):
            rest = official.removeprefix(base)
            return [mirror.rstrip("/") + rest for mirror in order.mirrors] or [official]
    if any(official.startswith(mirror.rstrip("/") + "/") for mirror in order.mirrors):
        return [official]
    raise FetchError(f"{printable(official, 160)} is not below {order.card.bases[0]}; the list leads elsewhere.")


def get(order: Order, official: str, target: Path, **options) -> Downloaded:
    """Download a file from its official address or the order's mirrors; raises as ``download`` does."""
    first, *others = addresses(order, official)
    return download(first, target, mirrors=others, ca_bundle=order.ca_bundle, **options)


def fetch_list(order: Order, source: Source, root: Path, into: str = "") -> Path:
    """A small file of a dataset, from the disk where it is there already.

    Raises:
        FetchError: it cannot be had. It is the first thing asked for, so where nobody answers, the ways out are named.
    """
    target = root / (into or source.into)
    if not target.is_file():
        try:
            get(order, source.url, target, most_bytes=MOST_LIST_BYTES)
        except FetchError as problem:
            if problem.http_status is not None or problem.spoils != "address":
                raise
            ways = "--mirror URL asks another place, HTTPS_PROXY=http://HOST:PORT goes through a proxy."
            raise FetchError(f"{problem} {ways}") from None
    return target


def archive_list(order: Order, split: str, root: Path) -> list[str]:
    """The official addresses of a split's archives, in listed order.

    Raises:
        FetchError: the list cannot be had, is empty, or leads elsewhere.
    """
    path = fetch_list(order, order.card.sources_of("archives", split)[0], root)
    lines = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    try:
        for line in lines:
            addresses(order, line)
    except FetchError:
        path.unlink(missing_ok=True)  # a page that was no list; the next call asks again
        raise
    return list(dict.fromkeys(lines))


def kinetics_annotations(order: Order, split: str, root: Path) -> Path:
    """``annotations/SPLIT.csv`` of a Kinetics dataset; made out of the authors' files where they have another form."""
    card = order.card
    source = card.sources_of("annotations", split)[0]
    target = root / source.into
    ids = card.sources_of("ids", split)
    if target.is_file():
        return target
    if source.url.endswith(".csv") and not ids:
        return fetch_list(order, source, root)
    raw = fetch_list(order, source, root, f"annotations/{split}-all{Path(source.url).suffix}")
    if ids:
        wanted = set(read_text(fetch_list(order, ids[0], root)).split())
        rows = [row for row in csv.reader(read_text(raw).split("\n")) if row]
        place = rows[0].index("youtube_id") if "youtube_id" in rows[0] else 1
        rows = [rows[0], *(row for row in rows[1:] if len(row) > place and row[place] in wanted)]
    else:
        rows = kinetics_rows(read_text(raw), card.class_names, split, printable(raw.name))
    with atomic_writer(target, "w") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return target


def kinetics_rows(text: str, labels: tuple[str, ...], split: str, where: str) -> list[list[str]]:
    """Rows of a Kinetics CSV, with its header, out of a list of videos in one of the forms in use.

    Kinetics-600's complete lists are text files. Read are: a CSV with a header; lines of values parted by commas or
    tabs, where the identifier, the two times and the label are told apart by what they look like; and lines that hold
    ``ID_START_END``, with the label's folder before it where there is one.

    Raises:
        AnnotationError: the first line is of no such form, or fewer than nine in ten lines are.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if lines and "youtube_id" in lines[0]:
        return [[field.strip() for field in row] for row in csv.reader(lines) if row]
    known, rows = set(labels), []
    for line in lines:
        if row := _kinetics_row(line, known):
            rows.append([*row, split])
    if not rows or len(rows) < 0.9 * len(lines):
        shown = quoted(lines[0], 100) if lines else "nothing"
        raise AnnotationError(f"{where}: {len(lines) - len(rows)} of {len(lines)} lines are no video (first: {shown}).")
    return [["label", "youtube_id", "time_start", "time_end", "split"], *rows]


def _kinetics_row(line: str, labels: set[str]) -> list[str] | None:
    """``[label, id, start, end]`` of one line, or ``None``."""
    if match := re.search(r"(?:([^/]*)/)?([A-Za-z0-9_-]{11})_(\d{6})_(\d{6})(?:\.mp4)?(?:\s|,|$)", line):
        folder = (match[1] or "").strip()
        label = next((name for name in (folder, folder.replace("_", " ")) if name in labels), "")
        return [label, match[2], str(int(match[3])), str(int(match[4]))]
    fields = [field.strip() for field in next(csv.reader([line], delimiter="\t" if "\t" in line else ","))]
    label = next((field for field in fields if field in labels), "")
    name = next((f for f in fields if re.fullmatch(r"[A-Za-z0-9_-]{11}", f) and f not in labels), None)
    times = [f for f in fields if re.fullmatch(r"\d+(\.\d+)?", f) and f != name]
    return [label, name, *times[:2]] if name and len(times) >= 2 else None


# ---------------------------------------------------------------- one split, and what of it is wanted


class Wanted:
    """The videos of a split that are wanted, those that are there, and how many of each class are still to come.

    Safe to share between threads.

    Args:
        records: the videos listed for the split.
        root: the data folder, which the records' paths are relative to.
        order: what is asked for.
        known: what earlier calls found out; damaged videos are not wanted again.
    """

    def __init__(self, records: list[VideoRecord], root: Path, order: Order, known: Known):
        usable = [r for r in records if r.status in ("ok", "missing")]
        if order.classes is not None:
            usable = [r for r in usable if r.label in order.classes]
        self.records = {r.video_id: r for r in usable}
        self.root, self.known, self.lock = root, known, threading.Lock()
        self.present = {r.video_id for r in usable if r.status == "ok" and not _broken(root / r.path, order)}
        self.num_before = len(self.present)
        self.taken = Counter(self.records[name].label for name in self.present)
        self.shares: dict[str | None, int] | None = None
        if order.is_part:
            available = Counter(r.label for r in usable if r.video_id not in known.lost)
            names = {label or "": count for label, count in available.items()}
            drawn = shares(names, order.per_class, order.limit, order.seed)
            self.shares = {label or None: count for label, count in drawn.items()}

    def wants(self, name: str) -> bool:
        """Whether a video that comes is to be kept: listed, not there yet, not known as damaged, its class not full."""
        record = self.records.get(name)
        if record is None or name in self.present or name in self.known.lost:
            return False
        return self.shares is None or self.taken[record.label] < self.shares.get(record.label, 0)

    def arrived(self, name: str) -> None:
        """Note that a video is there now; a second time changes nothing."""
        with self.lock:
            if name not in self.present:
                self.present.add(name)
                self.taken[self.records[name].label] += 1

    def was_lost(self, name: str, reason: str) -> None:
        """Note why a video cannot be had; it is not wanted again."""
        with self.lock:
            self.known.lost[name] = reason

    @property
    def num_open(self) -> int:
        """Videos that are still to come."""
        if self.shares is None:
            return sum(name not in self.present and name not in self.known.lost for name in self.records)
        return sum(max(0, share - self.taken[label]) for label, share in self.shares.items())

    @property
    def num_wanted(self) -> int:
        """How many videos shall be there in the end."""
        return len(self.records) if self.shares is None else sum(self.shares.values())

    @property
    def num_there(self) -> int:
        """Wanted videos that are there: of each class at most its share."""
        if self.shares is None:
            return len(self.present)
        return sum(min(self.taken[label], share) for label, share in self.shares.items())


def _broken(path: Path, order: Order) -> bool:
    """Whether a file that is there must be fetched again: empty, or, with ``--retry-failed``, damaged."""
    try:
        if path.stat().st_size == 0:
            return True
        if order.retry_failed and path.suffix == ".mp4":
            with open(path, "rb") as file:
                return bool(mp4_damage(file, path.stat().st_size))
    except OSError:
        return True
    return False


def mp4_damage(file, size: int) -> str:
    """What is wrong with an MP4 file as far as its outermost boxes tell, or an empty string.

    A file that was cut ends within a box; one whose recording was not finished has no ``moov`` box. The boxes' contents
    are not looked at.

    Args:
        file: opened for reading bytes, seekable.
        size: its bytes.

    >>> import io
    >>> mp4_damage(io.BytesIO(bytes(0)), 0), mp4_damage(io.BytesIO(b"\\0\\0\\0\\x08mdat"), 8)
    ('empty', 'no moov atom')
    """
    position = 0
    kinds: set[bytes] = set()
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4]), head[4:8]
        length = int.from_bytes(head[8:16]) if length == 1 else length or size - position
        if length < 8 or not re.fullmatch(rb"[\x20-\x7e\xa9]{4}", kind) or not (kinds or kind in FIRST_BOXES):
            return "not an MP4 file" if not kinds else f"no box at byte {position}"
        kinds.add(kind)
        position += length
    if position > size:
        return f"cut: {size} of {position} bytes"
    if not size:
        return "empty"
    return "" if b"moov" in kinds else "no moov atom"


@dataclass
class Job:
    """One split of an order, ready to be fetched."""

    order: Order
    split: str
    root: Path
    known: Known
    wanted: Wanted
    num_listed: int
    archives: list[str] = field(default_factory=list)  # to be read, in this order
    num_archives: int = 0  # of the split
    num_read: int = 0
    problems: list[str] = field(default_factory=list)
    halt: threading.Event = field(default_factory=threading.Event)  # set where all work must end


def open_job(order: Order, split: str, lists: Path) -> Job:
    """Read a split's lists, fetching them where they are not there, and see what is to be done.

    Args:
        order: what is asked for.
        split: one of ``order.splits``.
        lists: the folder that keeps the lists; the data folder, or a temporary one for a dry run.
    """
    root, card = order.root, order.card
    if card.comes == "archives":
        path = kinetics_annotations(order, split, lists)
        archives = archive_list(order, split, lists)
    else:
        path, archives = None, []
        fetch_split_files(order, lists)
        if lists == root:
            _make_home(root, card)
    try:
        if card.comes == "by hand" and not any(root.rglob("*.json")):
            raise ConfigError(f"{card.by_hand} into {root}; then the same command unpacks and checks them.")
        with _quiet(index.log):  # that videos are not there yet is no news
            below = root if root.is_dir() else lists
            annotations = path or _lists_elsewhere(order, split, lists)
            records = index.load_records(card.name, below, split, order.fold, annotations=annotations)
    except AnnotationError:
        if path and root not in path.parents:
            path.unlink(missing_ok=True)
        raise
    known = Known(root, split)
    known.listed_archives = len(archives)
    if order.retry_failed:
        known.forget_failures()
    if order.is_part and card.comes != "archives":
        kept = [r for r in records if order.classes is None or r.label in order.classes]
        records_wanted = draw([r for r in kept if r.status in ("ok", "missing")], order)
        wanted = Wanted(records_wanted, root, replace(order, per_class=None, limit=None), known)
    else:
        wanted = Wanted(records, root, order, known)
    job = Job(order, split, root, known, wanted, len(records), num_archives=len(archives))
    job.archives = [url for url in _in_order(archives, order) if worth_reading(job, url)]
    return job


def _lists_elsewhere(order: Order, split: str, lists: Path) -> Path | None:
    """The split file, or folder of them, of a dry run that keeps its lists outside the data folder."""
    sources = order.card.sources_of("splits")
    if lists == order.root or not sources:
        return None
    folder = lists / Path(sources[0].into).parts[0]
    return folder / f"{split}list{order.fold:02d}.txt" if order.card.layout == "ucf101" else folder


def _make_home(root: Path, card: DatasetCard) -> None:
    """Make the usual folder of videos, unless they lie elsewhere already."""
    folders = HOMES.get(card.name, ())
    if folders and not any((root / name).is_dir() for name in (*folders, *card.class_names)):
        (root / folders[0]).mkdir(parents=True)


@contextlib.contextmanager
def _quiet(log: logging.Logger):
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _in_order(archives: list[str], order: Order) -> list[str]:
    """Listed order for a whole split; for a part, an order drawn by the seed."""
    if not order.is_part:
        return archives
    return sorted(archives, key=lambda url: chance(order.seed, "archive", urllib.parse.urlsplit(url).path))


def worth_reading(job: Job, url: str) -> bool:
    """Whether an archive may hold what is wanted and not there, by what is known of it."""
    facts = job.known.archives.get(url)
    if facts:
        return facts["state"] == "read" and any(job.wanted.wants(name) for name in facts["clips"])
    if not job.wanted.num_open:
        return False
    return job.order.classes is None or _class_of(url, job.order) in (None, *job.order.classes)


def _class_of(url: str, order: Order) -> str | None:
    """The class that an archive is named after (some of Kinetics-600 are), or ``None``."""
    name = urllib.parse.unquote(url.rsplit("/", 1)[-1]).partition(".")[0]
    labels = order.card.class_names
    return next((label for label in (name, name.replace("_", " ")) if label in labels), None)


def fetch_split_files(order: Order, lists: Path) -> None:
    """The split files of UCF101 or HMDB51, one by one, where they are not there."""
    card = order.card
    items = []
    for source in card.sources_of("splits"):
        if "{label}" in source.url:
            items += [
                (source.url.format(label=label, fold=fold), lists / source.into.format(label=label, fold=fold))
                for label in card.class_names
                for fold in range(1, card.folds + 1)
            ]
        else:
            items.append((source.url, lists / source.into))
    absent = [(url, target) for url, target in items if not target.is_file()]
    halt = threading.Event()
    in_parallel(lambda item: get(order, *item, most_bytes=MOST_LIST_BYTES, stop=halt), absent, order.num_parallel, halt)


def in_parallel(work: Callable, items: Iterable, workers: int, halt: threading.Event | None = None) -> None:
    """Do the work for each item; the first problem, or Ctrl-C, ends it.

    Args:
        work: called with one item; what it returns is dropped.
        items: read at once.
        workers: threads; at least one is used.
        halt: set then, so that work that was begun can end early.
    """
    with concurrent.futures.ThreadPoolExecutor(max(1, workers)) as pool:
        tasks = [pool.submit(work, item) for item in items]
        try:
            for task in concurrent.futures.as_completed(tasks):
                task.result()
        except BaseException:
            if halt:
                halt.set()
            for task in tasks:
                task.cancel()
            raise
