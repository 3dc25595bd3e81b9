"""A dataset, or the part of it that is asked for: what it costs, then fetched, resumed and accounted for.

Kinetics comes as archives of about a thousand clips. An archive is read as a stream and only the clips that are wanted
are written, so a part of the dataset needs the disk of that part. What was read of an archive is kept until its end is
reached: a fetch that was stopped goes on where it was. HMDB51 and UCF101 come video by video. Everything that is found
out on the way (what an archive holds, its hash, which clips are damaged in it) is written down in ``.fetch`` below the
data folder, one file a split (``vidbench.data.order.Known``), for the next call and for checks.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
import time
import urllib.parse
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from vidbench.data import index
from vidbench.data.archives import stream_members
from vidbench.data.arriving import Arriving, Joined, RangeFile, Restarted, Traffic, bytes_there
from vidbench.data.catalog import REPOSITORY
from vidbench.data.disk import writing
from vidbench.data.download import open_stream
from vidbench.data.held import find_held, unpack_lists, unpack_videos
from vidbench.data.mini import make_mini
from vidbench.data.order import (
    STATE,
    Job,
    Order,
    addresses,
    class_names,
    get,
    in_parallel,
    mp4_damage,
    open_job,
)
from vidbench.data.web import checked_url, megabytes
from vidbench.records import ArchiveError, ConfigError, FetchError, VideoRecord
from vidbench.utils import chance, printable

__all__ = ["Order", "Outcome", "Plan", "fetch", "make_plan"]

MB, GB = 10**6, 10**9
CLIP_BYTES = 1.55 * MB  # of a clip of Kinetics, where nothing better is known: 30 GB / 19,881 videos
MOST_CLIP_BYTES = 200 * MB
PIECE = 1 << 18  # bytes of a clip that are copied at a time
KEPT = "what is there is kept, and the same command goes on"
MOST_PROBES = 4  # archives whose size is asked for before
PROBE_BYTES = 8 * MB  # over which the rate is measured
RESERVE_BYTES = 200 * MB  # of disk that a fetch leaves free
MINI = {"test": 12, "train": 100}  # clips of a class of vidmini, as shipped and as used for training
CLIP_NAME = re.compile(r"([A-Za-z0-9_-]{11}_\d{6}_\d{6})\.mp4")  # ID_START_END


# ---------------------------------------------------------------- archives, read while they come


def read_archive(job: Job, url: str, traffic: Traffic, patience=None) -> None:
    """Read one archive as far as needed; keep the wanted clips; write down what it holds.

    Raises:
        FetchError: it cannot be had, or the disk is full.
    """
    place = urllib.parse.urlsplit(url).path.strip("/").replace("/", "-")
    target = job.root / STATE / "archives" / re.sub(r"[^\w.-]", "_", place)
    for again in (True, True, False):
        heard = traffic.report(url, before=bytes_there(target))
        urls = addresses(job.order, url)
        file = Arriving(urls, target, ca_bundle=job.order.ca_bundle, progress=heard, patience=patience, halt=job.halt)
        try:
            with contextlib.closing(file):
                whole = _read_members(job, url, file)
        except Restarted:
            continue
        except ArchiveError:
            file.remove()
            if not again:
                raise
            continue
        file.remove()
        if whole:
            job.num_read += 1
        return
    raise FetchError(f"{printable(url, 160)} keeps changing on the server.")


def _read_members(job: Job, url: str, file: Arriving) -> bool:
    """Whether the archive was read to its end."""
    clips: dict[str, int] = {}
    replaces = url in {source.url for source in job.order.card.sources_of("replacement", job.split)}
    for member in stream_members(file):
        name = clip_of(member.name)
        if name is None:
            continue
        clips[name] = member.size
        if job.wanted.wants(name) or (replaces and name in job.wanted.records):
            keep_clip(job, name, member)
        if not job.wanted.num_open and job.order.is_part:
            return False
    assert file.result, "it was read to its end"
    facts = {"state": "read", "num_bytes": file.result.num_bytes, "sha256": file.result.sha256, "clips": clips}
    _note(job, url, facts | ({"replaces": True} if replaces else {}))
    return True


def _note(job: Job, url: str, facts: dict) -> None:
    """Write down what became of an archive.

    Its clips are not forced to the disk one by one, which would take as long again. What a power failure loses is
    missing or empty then, and the next call takes it from the archive again.
    """
    with job.wanted.lock:
        job.known.archives[url] = facts
        job.known.save()


def clip_of(member: str) -> str | None:
    """``ID_START_END`` of a clip's name in an archive, or ``None`` for anything else.

    >>> clip_of("val/-0aBcDeFgHi_000010_000020.mp4"), clip_of("./._0aBcDeFgHi_000010_000020.mp4")
    ('-0aBcDeFgHi_000010_000020', None)
    """
    match = CLIP_NAME.fullmatch(member.rsplit("/", 1)[-1])
    return match[1] if match else None


def keep_clip(job: Job, name: str, member) -> None:
    """Write a clip under its own name, or write down what is wrong with it."""
    if member.size > MOST_CLIP_BYTES:
        job.wanted.was_lost(name, f"it has {megabytes(member.size)}, more than a clip of 10 s")
        return
    if reason := write_clip(job.root / job.wanted.records[name].path, member, mp4_damage):
        job.wanted.was_lost(name, reason)
        return
    job.known.lost.pop(name, None)
    job.wanted.arrived(name)


def write_clip(path: Path, source, check=None) -> str:
    """Write a file under a name that nobody takes for a video, then, if nothing is wrong with it, under its own.

    Args:
        path: its own name; the folder is made.
        source: ``read(size)`` gives its bytes.
        check: called with the written file and its size; says what is wrong with it.

    Returns:
        What ``check`` says; the file is there only where that is nothing.

    Raises:
        FetchError: the disk is full, or refuses.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with writing(path, KEPT, spoils="all"):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(part, "w+b")  # noqa: SIM115, closed below
        with file:
            while data := source.read(PIECE):
                with writing(path, KEPT, spoils="all"):
                    file.write(data)
            with writing(path, KEPT, spoils="all"):
                reason = check(file, file.tell()) if check else ""
        if not reason:
            with writing(path, KEPT, spoils="all"):
                os.replace(part, path)
        return reason
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


# ---------------------------------------------------------------- videos, one by one


def fetch_files(job: Job, traffic: Traffic, patience=None) -> None:
    """The wanted videos, each from its own address; one that is not there is written down as lost."""
    template = job.order.card.sources_of("files")[0].url

    def one(record: VideoRecord) -> None:
        label, name = Path(record.path).parts[-2:]
        url = template.format(path=urllib.parse.quote(f"hmdb51_org/{label}/{name}"))
        try:
            get(
                job.order, url, job.root / record.path,
                progress=traffic.report(record.video_id), patience=patience, stop=job.halt,
            )  # fmt: skip
        except FetchError as problem:
            if problem.spoils == "all" or problem.http_status not in (403, 404, 410):
                raise
            job.wanted.was_lost(record.video_id, f"the server answered {problem.http_status}")
            return
        job.wanted.arrived(record.video_id)

    absent = [record for name, record in job.wanted.records.items() if job.wanted.wants(name)]
    try:
        in_parallel(one, absent, job.order.num_parallel, job.halt)
    finally:
        job.known.save()


def fetch_from_zip(job: Job, traffic: Traffic, patience=None) -> None:
    """The wanted videos out of a remote zip, of which only its table and their own bytes are read."""
    source = job.order.card.sources_of("zip")[0]
    heard = traffic.count("zip")
    with RangeFile(
        addresses(job.order, source.url), ca_bundle=job.order.ca_bundle, patience=patience, heard=heard
    ) as file:
        try:
            with zipfile.ZipFile(io.BufferedReader(file, 1 << 20)) as archive:
                _take_from_zip(job, archive)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as problem:
            raise ArchiveError(f"{printable(source.url, 160)} is damaged: {printable(problem, 80)}.") from None
        finally:
            job.known.save()


def _take_from_zip(job: Job, archive: zipfile.ZipFile) -> None:
    members = {info.filename.rsplit("/", 1)[-1]: info for info in archive.infolist() if not info.is_dir()}
    absent = [record for name, record in job.wanted.records.items() if job.wanted.wants(name)]
    found = []
    for record in absent:
        info = members.get(record.path.rsplit("/", 1)[-1])
        if info is None:
            job.wanted.was_lost(record.video_id, "not in the archive")
        elif info.file_size > MOST_CLIP_BYTES:
            job.wanted.was_lost(record.video_id, f"it has {megabytes(info.file_size)}, more than a clip")
        else:
            found.append((info, record))
    for info, record in sorted(found, key=lambda pair: pair[0].header_offset):
        with archive.open(info) as member:
            write_clip(job.root / record.path, member)
        job.wanted.arrived(record.video_id)


# ---------------------------------------------------------------- what it costs


@dataclass
class Cost:
    """What fetching a job takes, as far as can be told before: bytes, clips, seconds."""

    num_clips: int
    download_bytes: float
    keep_bytes: float
    passing_bytes: float = 0  # on disk while an archive is read
    num_sized: int = 0  # archives whose size was asked for
    rate: float = 0  # bytes a second, 0 where not measured

    @property
    def seconds(self) -> float:
        """Seconds of downloading at the measured rate, 0 where none was measured."""
        return self.download_bytes / self.rate if self.rate else 0.0

    @property
    def disk_bytes(self) -> float:
        """The most bytes on disk at a time: what stays and what passes through."""
        return self.keep_bytes + self.passing_bytes


def estimate(job: Job, patience=None, *, probe: bool = True) -> Cost:
    """What a job costs: sizes of some archives are asked for, and the rate is measured over a few megabytes.

    Raises:
        FetchError: the server cannot be reached.
    """
    clips = job.wanted.num_open
    if job.order.card.comes != "archives":
        whole_set = job.order.card.hosted[0]
        keep = clips * whole_set.gb * GB / whole_set.num_videos
        if clips and (held := find_held(job.order.card, job.root)):
            rar = any(item.name.endswith(".rar") for item in held)  # its programs unpack all of it
            return Cost(clips, 0, keep, max(0.0, whole_set.gb * GB - keep) if rar else 0.0)
        return Cost(clips, keep, keep)
    hosted = next((item for item in job.order.card.hosted if item.split == job.split), None)
    if probe:
        _probe(job, patience)
    known = [facts["num_bytes"] for facts in job.known.archives.values() if facts["state"] == "read"]
    known += job.known.sizes.values()
    each = sum(known) / len(known) if known else hosted.gb * GB / max(1, job.num_archives) if hosted else 1.5 * GB
    whole = each * max(1, job.num_archives)
    per_clip = whole / hosted.num_videos if hosted and not job.order.mirrors else CLIP_BYTES
    part = 1.0 if job.wanted.shares is None else share_to_read(job, job.wanted.shares)
    download_bytes = min(each * len(job.archives), whole * part)
    at_once = 1 if job.order.is_part else job.order.num_parallel
    passing = each * min(at_once, len(job.archives))
    keep_bytes, passing = min(clips * per_clip, whole), min(passing, download_bytes)
    return Cost(clips, download_bytes, keep_bytes, passing, len(known), job.known.rate)


def _probe(job: Job, patience) -> None:
    """Ask for the sizes of the first archives to be read, and measure the rate over the beginning of one."""
    known = job.known
    unknown = [url for url in job.archives[:MOST_PROBES] if url not in known.archives and url not in known.sizes]
    for url in unknown:
        first, *others = addresses(job.order, url)
        began = time.perf_counter()
        try:
            with open_stream(first, mirrors=others, ca_bundle=job.order.ca_bundle, patience=patience) as stream:
                if stream.total:
                    known.sizes[url] = stream.total
                known.rate = known.rate or _rate_of(stream, began)
        except FetchError as problem:
            if problem.http_status is None:  # the server itself is not there; an archive that is not comes up later
                raise


def _rate_of(stream, began: float) -> float:
    most = min(PROBE_BYTES, (stream.total or PROBE_BYTES) // 50)
    got = 0
    while got < most and (data := stream.read(1 << 20)):
        got += len(data)
    return max(1, got) / max(1e-9, time.perf_counter() - began)


def share_to_read(job: Job, shares: dict[str | None, int]) -> float:
    """Part of a split's videos that pass by, in a random order, until the shares of all classes are full."""
    wanted = job.wanted
    left = Counter({label: share - wanted.taken[label] for label, share in shares.items()})
    left = Counter({label: count for label, count in left.items() if count > 0})
    names = sorted(wanted.records, key=lambda name: chance(job.order.seed, "video", name))
    for number, name in enumerate(names, 1):
        label = wanted.records[name].label
        if name not in wanted.present and left[label] > 0:
            left[label] -= 1
            if not left[label]:
                del left[label]
        if not left:
            return number / len(names)
    return 1.0


@dataclass
class Plan:
    """An order with what is known before anything is fetched."""

    order: Order
    jobs: list[Job]
    costs: list[Cost]
    free_bytes: int

    @property
    def disk_bytes(self) -> float:
        """Bytes of disk that are needed at most, with archives while they are read."""
        return sum(cost.keep_bytes for cost in self.costs) + max((c.passing_bytes for c in self.costs), default=0)

    @property
    def fits(self) -> bool:
        """Whether the disk takes it and keeps ``RESERVE_BYTES`` free."""
        return self.disk_bytes + RESERVE_BYTES <= self.free_bytes

    def text(self) -> str:
        """The plan in words, a few lines a split."""
        card = self.order.card
        lines = []
        for job, cost in zip(self.jobs, self.costs, strict=True):
            lines += _words_of_job(job, cost)
        if card.comes == "shipped":
            return f"{card.title}: the test split is part of the repository, the train split is drawn here, not fetched"
        lines.append(f"  disk       {_gb(self.disk_bytes)} needed, {_gb(self.free_bytes)} free at {self.order.root}")
        return "\n".join([*lines, f"  licence    {card.licence}"])


def _words_of_job(job: Job, cost: Cost) -> list[str]:
    order, wanted = job.order, job.wanted
    what = f"{job.num_listed} videos listed, {wanted.num_wanted} wanted, {wanted.num_there} of them there"
    lines = [f"{order.card.title}, {job.split}: {what}"]
    if wanted.known.lost:
        lines.append(
            f"  lost       {len(wanted.known.lost)} could not be had before; --retry-failed asks for them again"
        )
    if order.card.comes == "archives":
        sized = f", from the size of {cost.num_sized}" if cost.num_sized else ", from the card's figures"
        how = f"in an order drawn by seed {order.seed}, until enough clips are there" if order.is_part else "all"
        lines.append(f"  archives   {len(job.archives)} of {job.num_archives} to be read, {how}")
        lines.append(f"  download   about {_gb(cost.download_bytes)}{sized}")
        passing = f", and {_gb(cost.passing_bytes)} while archives are read" if cost.passing_bytes else ""
        lines.append(f"  keep       about {_gb(cost.keep_bytes)} for {cost.num_clips} clips{passing}")
    elif cost.num_clips and (held := find_held(order.card, job.root)):
        lines.append(
            f"  unpack     {cost.num_clips} videos out of {', '.join(item.name for item in held)}; no download"
        )
    else:
        lines.append(f"  download   about {_gb(cost.download_bytes)} for {cost.num_clips} videos, one by one")
    if cost.rate:
        lines.append(f"  time       about {_time(cost.seconds)} at {_gb(cost.rate)}/s, as measured")
    return lines


def _gb(num_bytes: float) -> str:
    return megabytes(round(num_bytes))


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def make_plan(order: Order, *, dry: bool = False, patience=None) -> Plan:
    """See what an order takes: lists are read, sizes asked for, the disk is looked at.

    Args:
        order: what is asked for.
        dry: write nothing: lists that are not there come into a temporary folder. Otherwise they stay in the data
            folder.
        patience: limits on time and tries; ``None`` for the usual ones.

    Raises:
        ConfigError: a split, class or number that the dataset does not have, or nothing to be fetched.
        FetchError: lists or archives that cannot be had.
        AnnotationError: lists that cannot be used.
    """
    card = order.card
    if card.comes == "shipped":
        return Plan(order, [], [], shutil.disk_usage(_existing(order.root)).free)
    _check_order(order)
    with tempfile.TemporaryDirectory() as temporary:
        lists = Path(temporary) if dry and not _has_lists(order) else order.root
        _make_folder(lists)
        unpack_lists(card, order.root, lists)
        jobs = [open_job(order, split, lists) for split in order.splits]
    costs = [estimate(job, patience, probe=card.comes == "archives") for job in jobs]
    if not dry:
        for job in jobs:
            job.known.save()
    return Plan(order, jobs, costs, shutil.disk_usage(_existing(order.root)).free)


def _check_order(order: Order) -> None:
    card = order.card
    if card.comes not in ("archives", "files", "zip", "by hand"):
        raise ConfigError(f"{card.title} is not fetched: {' '.join(card.notes) or 'its videos are your own.'}")
    if not 1 <= order.fold <= card.folds:
        raise ConfigError(f"--fold must be from 1 to {card.folds} for {card.name}, not {order.fold}")
    for mirror in order.mirrors:
        checked_url(mirror)
    class_names(order.classes, card.class_names)


def _has_lists(order: Order) -> bool:
    card = order.card
    if card.comes == "archives":
        kinds = ("annotations", "archives")
        return all(
            (order.root / card.sources_of(kind, split)[0].into).is_file() for split in order.splits for kind in kinds
        )
    return card.comes == "by hand" or (order.root / Path(card.sources_of("splits")[0].into).parts[0]).is_dir()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise FetchError(
            f"{printable(folder, 160)} cannot be made: {problem.strerror}; choose another --data-dir.", spoils="all"
        ) from None


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())


# ---------------------------------------------------------------- what is fetched


@dataclass
class Outcome:
    """What a fetch came to.

    Args:
        root: the data folder.
        num_wanted: videos asked for.
        num_there: of those, how many are there now.
        num_new: how many of them came in this call.
        num_bytes: read from the network in this call, about.
        lost: why videos cannot be had, by id.
        not_hosted: wanted videos that the published copy does not hold, as far as known.
        problems: archives or videos that could not be had this time, one sentence each.
        seconds: that it took.
    """

    root: Path
    num_wanted: int = 0
    num_there: int = 0
    num_new: int = 0
    num_bytes: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    not_hosted: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether all videos wanted are there."""
        return self.num_there >= self.num_wanted

    @property
    def exit_status(self) -> int:
        """0: all that is wanted is there; 1: something failed that may work another time; 3: the copy lacks some."""
        return 0 if self.complete else 1 if self.problems else 3

    @property
    def summary(self) -> str:
        """A few sentences for people, one a line: what is there, what is not, and why."""
        words = [f"{self.num_there} of {self.num_wanted} videos wanted are in {self.root}"]
        words[0] += f" ({self.num_new} new, {_gb(self.num_bytes)} read in {_time(self.seconds)})"
        if self.lost:
            reasons = Counter(self.lost.values())
            shown = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(4))
            words.append(f"{len(self.lost)} are damaged or missing in the published copy: {shown}")
        if self.not_hosted:
            words.append(f"{self.not_hosted} are not in the published copy")
        words += self.problems[:5]
        if self.problems:
            words.append("The same command goes on where this one stopped")
        return "\n".join(f"{word.rstrip('.')}." for word in words)


def fetch(order: Order, *, progress=None, patience=None, plan: Plan | None = None) -> Outcome:
    """Fetch what an order asks for; what is there is kept, and an earlier, stopped fetch is continued.

    Args:
        order: what is asked for.
        progress: ``start(total, done)``, ``update(done, skipped)`` and ``stop()`` are called.
        patience: limits on time and tries, see ``vidbench.data.web``.
        plan: of the same order, where one was made.

    Returns:
        What is there now, and what is not, with the reasons.

    Raises:
        FetchError: another fetch works in that folder, the disk is too small or full, lists cannot be had.
        ConfigError, AnnotationError: as ``make_plan``.
    """
    began = time.monotonic()
    if order.card.comes == "shipped":
        return draw_vidmini(order, progress)
    _check_order(order)
    with _held(order.root):
        _sweep(order.root)
        plan = plan or make_plan(order, patience=patience)
        if not plan.fits:
            raise FetchError(
                f"{order.root} needs {_gb(plan.disk_bytes)}, but its disk has {_gb(plan.free_bytes)} free; ask for "
                "fewer videos (--classes, --per-class, --limit) or choose another --data-dir.",
                spoils="all",
            )
        outcome = Outcome(order.root)
        for split in order.splits:
            _fetch_job(open_job(order, split, order.root), outcome, progress, patience)
    outcome.seconds = time.monotonic() - began
    return outcome


@contextlib.contextmanager
def _held(root: Path):
    """Let one fetch at a time work in a folder."""
    _make_folder(root / STATE)
    lock = filelock.FileLock(root / STATE / "held", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise FetchError(
            f"Another fetch is working in {printable(root, 160)}; wait for it, or choose another --data-dir.",
            spoils="all",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _sweep(root: Path) -> None:
    """Take away what a killed fetch was just writing; nobody else writes here now."""
    for folder in (root / STATE, root / STATE / "archives"):
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


def _fetch_job(job: Job, outcome: Outcome, progress, patience) -> None:
    wanted = job.wanted
    traffic = Traffic()
    if progress:
        progress.start(wanted.num_wanted, wanted.num_there)
        traffic.progress = lambda: progress.update(wanted.num_there, len(wanted.known.lost))
    how = {"archives": read_archives, "files": fetch_files, "zip": fetch_from_zip, "by hand": unpack_parts}
    try:
        if held := find_held(job.order.card, job.root):
            unpack_videos(job, held)
        else:
            how[job.order.card.comes](job, traffic, patience)
    finally:
        if progress:
            progress.update(wanted.num_there, len(wanted.known.lost))
            progress.stop()
    seconds = time.monotonic() - traffic.began
    if traffic.num_bytes > MB and seconds > 1:  # better than the rate of the beginning
        job.known.rate = traffic.num_bytes / seconds
        job.known.save()
    _add(outcome, job, traffic)


def _add(outcome: Outcome, job: Job, traffic: Traffic) -> None:
    wanted, known = job.wanted, job.known
    outcome.num_wanted += wanted.num_wanted
    outcome.num_there += wanted.num_there
    outcome.num_new += len(wanted.present) - wanted.num_before
    outcome.num_bytes += traffic.num_bytes
    outcome.problems += job.problems
    outcome.lost |= {name: reason for name, reason in known.lost.items() if name in wanted.records}
    if known.complete and wanted.shares is None:
        outcome.not_hosted += len(wanted.records.keys() - known.hosted - wanted.present - known.lost.keys())


def read_archives(job: Job, traffic: Traffic, patience=None) -> None:
    """Read the archives of a split: one after the other for a part of it, else several at a time.

    An archive that fails is written down, and the others are read; where the disk is full, all ends.
    """

    def one(url: str) -> None:
        if job.wanted.num_open or not job.order.is_part:
            try:
                read_archive(job, url, traffic, patience)
            except FetchError as problem:
                if problem.spoils == "all":
                    raise
                _note_failure(job, url, problem)

    in_parallel(one, job.archives, 1 if job.order.is_part else job.order.num_parallel, job.halt)
    if not job.order.is_part:
        for source in job.order.card.sources_of("replacement", job.split):
            if job.known.archives.get(source.url, {}).get("state") != "read":
                one(source.url)


def _note_failure(job: Job, url: str, problem: FetchError) -> None:
    """Remember what will not be another way tomorrow; all else is tried again by the next call."""
    job.problems.append(str(problem))
    if isinstance(problem, ArchiveError) or problem.http_status in (403, 404, 410):
        _note(job, url, {"state": "failed", "reason": str(problem), "clips": {}})


def draw_vidmini(order: Order, progress=None) -> Outcome:
    """vidmini's test split is part of the repository; its train split is drawn, into ``data/clips/vidmini``.

    Outside a checkout the test split is drawn too, where it belongs.

    Raises:
        ConfigError: a part of the test split is asked for, or classes.
    """
    if order.classes or order.limit:
        raise ConfigError(
            "vidmini is drawn whole: --per-class says how many clips of each class, the rest is not used."
        )
    began, outcome = time.monotonic(), Outcome(order.root)
    for split in order.splits:
        shipped = split == "test" and order.data_dir is None and order.per_class is None
        if shipped and (order.root / "splits" / "testlist01.txt").is_file():
            num_clips = len(index.load_records("vidmini", order.root, "test", present_only=True))
            outcome.num_wanted, outcome.num_there = outcome.num_wanted + num_clips, outcome.num_there + num_clips
            continue
        if not shipped:
            outcome.root = Path(order.data_dir) if order.data_dir else REPOSITORY / "data" / "clips" / "vidmini"
        first = done = total = -1
        for done, total in make_mini(outcome.root, split, seed=order.seed, per_class=order.per_class or MINI[split]):
            if first < 0:
                first = done
                if progress:
                    progress.start(total, done)
            if progress:
                progress.update(done, 0)
        if progress:
            progress.stop()
        outcome.num_wanted, outcome.num_there = outcome.num_wanted + total, outcome.num_there + done
        outcome.num_new += done - first
    outcome.seconds = time.monotonic() - began
    return outcome


# ---------------------------------------------------------------- what people have to download themselves


def unpack_parts(job: Job, traffic: Traffic, patience=None) -> None:
    """Something-Something's videos out of the parts that lie in the data folder.

    Raises:
        ConfigError: videos are wanted and there are no parts; says what to download and where to put it.
    """
    if not job.wanted.num_open:
        return
    parts = parts_in(job.root)
    if not parts:
        raise ConfigError(f"{job.order.card.by_hand} into {job.root}; then the same command unpacks and checks them.")
    heard = traffic.count("parts")
    with Joined(parts, heard) as file:
        for member in stream_members(file):
            name = member.name.rsplit("/", 1)[-1].rpartition(".")[0]
            if job.wanted.wants(name):
                write_clip(job.root / job.wanted.records[name].path, member)
                job.wanted.arrived(name)
            if not job.wanted.num_open:
                break


def parts_in(root: Path) -> list[Path]:
    """The parts of a divided archive in a folder, in order: ``20bn-something-something-v2-NN``, ``.zip`` or not.

    Raises:
        FetchError: one before the last is not there.
    """
    found: dict[int, Path] = {}
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_file() and (match := re.fullmatch(r"20bn-something-something-v2-(\d\d)(\.zip)?", path.name)):
            found.setdefault(int(match[1]), path)
    absent = [number for number in range(max(found, default=-1)) if number not in found]
    if absent:
        raise FetchError(f"Part {absent[0]:02d} of 20bn-something-something-v2 is not in {root}; download it too.")
    return [found[number] for number in sorted(found)]
