"""What fetching a dataset, or a part of it, would take: bytes, time and disk, told before it begins."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.download import open_stream
from vidbench.data.held import find_held, unpack_lists
from vidbench.data.order import Job, Order, addresses, class_names, open_job
from vidbench.data.web import checked_url, megabytes
from vidbench.records import ConfigError, FetchError
from vidbench.utils import chance, plural, printable

MB, GB = 10**6, 10**9
CLIP_BYTES = 1.55 * MB  # of a clip of Kinetics, where nothing better is known: 30 GB / 19,881 videos
MOST_PROBES = 4  # archives whose size is asked for before
PROBE_BYTES = 8 * MB  # over which the rate is measured
RESERVE_BYTES = 200 * MB  # of disk that a fetch leaves free


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
        lines.append(
            f"  disk       {megabytes(self.disk_bytes)} needed, {megabytes(self.free_bytes)} free at {self.order.root}"
        )
        return "\n".join([*lines, f"  licence    {card.licence}"])


def _words_of_job(job: Job, cost: Cost) -> list[str]:
    order, wanted = job.order, job.wanted
    what = f"{plural(job.num_listed, 'video')} listed, {wanted.num_wanted} wanted, {wanted.num_there} of them there"
    lines = [f"{order.card.title}, {job.split}: {what}"]
    if wanted.known.lost:
        lines.append(
            f"  lost       {len(wanted.known.lost)} could not be had before; --retry-failed asks for them again"
        )
    if order.card.comes == "archives":
        sized = f", from the size of {cost.num_sized}" if cost.num_sized else ", from the card's figures"
        how = f"in an order drawn by seed {order.seed}, until enough clips are there" if order.is_part else "all"
        lines.append(f"  archives   {len(job.archives)} of {job.num_archives} to be read, {how}")
        lines.append(f"  download   about {megabytes(cost.download_bytes)}{sized}")
        passing = f", and {megabytes(cost.passing_bytes)} while archives are read" if cost.passing_bytes else ""
        lines.append(f"  keep       about {megabytes(cost.keep_bytes)} for {plural(cost.num_clips, 'clip')}{passing}")
    elif cost.num_clips and (held := find_held(order.card, job.root)):
        videos, names = plural(cost.num_clips, "video"), ", ".join(item.name for item in held)
        lines.append(f"  unpack     {videos} out of {names}; no download")
    else:
        videos = plural(cost.num_clips, "video")
        lines.append(f"  download   about {megabytes(cost.download_bytes)} for {videos}, one by one")
    if cost.rate:
        lines.append(f"  time       about {time_words(cost.seconds)} at {megabytes(cost.rate)}/s, as measured")
    return lines


def time_words(seconds: float) -> str:
    """About how long something takes, in the unit that fits: ``45 s``, ``12 min``, ``2.5 h``."""
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
    check_order(order)
    with tempfile.TemporaryDirectory() as temporary:
        lists = Path(temporary) if dry and not _has_lists(order) else order.root
        make_folder(lists)
        unpack_lists(card, order.root, lists)
        jobs = [open_job(order, split, lists) for split in order.splits]
    costs = [estimate(job, patience, probe=card.comes == "archives") for job in jobs]
    if not dry:
        for job in jobs:
            job.known.save()
    return Plan(order, jobs, costs, shutil.disk_usage(_existing(order.root)).free)


def check_order(order: Order) -> None:
    """Raise ``ConfigError`` for what no fetch can give: another kind of dataset, a fold or class that is not there."""
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


def make_folder(folder: Path) -> None:
    """Make the data folder; ``FetchError`` where that is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise FetchError(
            f"{printable(folder, 160)} cannot be made: {problem.strerror}; choose another --data-dir.", spoils="all"
        ) from None


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(parent for parent in (folder, *folder.parents) if parent.is_dir())
