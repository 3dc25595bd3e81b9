"""A dataset, or the part of it that is asked for: fetched, resumed and accounted for.

Kinetics comes as archives of about a thousand clips. An archive is read as a stream and only the clips that are wanted
are written, so a part of the dataset needs the disk of that part. What was read of an archive is kept until its end is
reached: a fetch that was stopped goes on where it was. HMDB51 and UCF101 come video by video. Everything that is found
out on the way (what an archive holds, its hash, which clips are damaged in it) is written down in ``.fetch`` below the
data folder, one file a split (``vidbench.data.order.Known``), for the next call and for checks.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from vidbench.data import index
from vidbench.data.arriving import Traffic
from vidbench.data.catalog import REPOSITORY
from vidbench.data.fetch_plan import Plan, check_order, make_folder, make_plan, time_words
from vidbench.data.held import find_held, unpack_videos
from vidbench.data.mini import make_mini
from vidbench.data.order import STATE, Job, Order, open_job
from vidbench.data.sources import fetch_files, fetch_from_zip, read_archives, unpack_parts
from vidbench.data.web import megabytes
from vidbench.records import ConfigError, FetchError
from vidbench.utils import printable

__all__ = ["Order", "Outcome", "Plan", "fetch", "make_plan"]

MINI = {"test": 12, "train": 100}  # clips of a class of vidmini, as shipped and as used for training


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
        words[0] += f" ({self.num_new} new, {megabytes(self.num_bytes)} read in {time_words(self.seconds)})"
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
    check_order(order)
    with _held(order.root):
        _sweep(order.root)
        plan = plan or make_plan(order, patience=patience)
        if not plan.fits:
            raise FetchError(
                f"{order.root} needs {megabytes(plan.disk_bytes)}, but its disk has {megabytes(plan.free_bytes)} free; "
                "ask for fewer videos (--classes, --per-class, --limit) or choose another --data-dir.",
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
    make_folder(root / STATE)
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
    if traffic.num_bytes > 10**6 and seconds > 1:  # better than the rate of the beginning
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


def draw_vidmini(order: Order, progress=None) -> Outcome:
    """vidmini's test split is part of the repository; its train split is drawn, into ``data/clips/vidmini``.

    Outside a checkout the test split is drawn too, where it belongs.

    Raises:
        ConfigError: a part of the test split is asked for, or classes, or how to fetch what is not fetched.
    """
    if order.classes or order.limit:
        raise ConfigError("vidmini is drawn whole: --per-class says how many clips of each class; leave the rest out.")
    plain = Order(order.name, order.split, per_class=order.per_class, seed=order.seed, data_dir=order.data_dir)
    if order != plain:
        raise ConfigError(
            "vidmini is drawn here, from nothing: --fold, --mirror, --ca-bundle, --parallel and --retry-failed do "
            "nothing for it; leave them out."
        )
    began, outcome = time.monotonic(), Outcome(order.root)
    for split in order.splits:
        shipped = split == "test" and order.data_dir is None and order.per_class is None and order.seed == 0
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
