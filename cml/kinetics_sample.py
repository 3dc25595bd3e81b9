"""Some clips of Kinetics-400's validation split, spread over the classes, out of the published archives.

Each archive is a gzipped tar of about a thousand clips in no order of classes, so it can only be read from its start.
That is done here as a stream which is closed as soon as enough clips are there: no archive is stored, and nothing in
one decides where a file is written. The list of all labels comes along whole, so that an evaluation with
--present-only knows, and says, that it saw a part of the split.

This is the small download for a first look, not the way to the whole dataset.
"""

import re
import shutil
import tarfile
import time
import urllib.parse
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from vidbench.data.catalog import find_dataset
from vidbench.data.index import load_records
from vidbench.data.web import network_words
from vidbench.records import AnnotationError
from vidbench.utils import atomic_writer, printable

NAME, SPLIT = "kinetics400", "val"
OFFICIAL = "https://s3.amazonaws.com/kinetics"  # the copy of the Common Visual Data Foundation
MEMBER = re.compile(r"(?:[^/]+/)*([A-Za-z0-9_-]{11}_\d{6}_\d{6})\.mp4")  # ID_START_END, in any folder
LOOPBACK = ("127.0.0.1", "::1", "localhost")
TIMEOUT_S = 30  # that a server may be silent
DEADLINE_S = 900  # for everything
MB = 10**6
MOST_LIST_BYTES = 64 * MB
MOST_CLIP_BYTES = 100 * MB
BYTES_A_CLIP = 12 * MB  # read at most, per clip wanted; a clip has about 1.5 MB


class Unavailable(Exception):
    """Why clips cannot be had, in a few words."""


@dataclass
class Sample:
    """What lies on the disk, and what this call did.

    Args:
        clips: clips that are there.
        classes: how many classes they belong to.
        added: clips that this call wrote.
        megabytes: read from the network.
        problem: why there are fewer than wanted, or nothing.
    """

    clips: int = 0
    classes: int = 0
    added: int = 0
    megabytes: float = 0.0
    problem: str = ""


def fetch_sample(root: Path, wanted: int, base_url: str = OFFICIAL) -> Sample:
    """Bring the clips below ``root/val`` to ``wanted``, as evenly over the classes as the archives allow.

    Clips that are there are kept and counted; with enough of them nothing is asked of the network. Never raises for
    what a server, an archive or the disk does: ``problem`` says it, and what was written before stays.

    Args:
        root: the data folder of Kinetics-400; made where missing.
        wanted: clips, at least 1.
        base_url: https, or this machine; holds ``400/annotations/val.csv`` and ``400/val/k400_val_path.txt``.
    """
    fetcher = Fetcher(base_url.rstrip("/"), wanted * BYTES_A_CLIP)
    sample = Sample()
    try:
        labels, present = read_labels(root, fetcher)
        sample.clips, sample.classes = len(present), len({labels[name] for name in present})
        if len(present) < wanted:
            add_clips(root, wanted, labels, present, fetcher, sample)
    except Unavailable as problem:
        sample.problem = str(problem)
    except (OSError, HTTPException, AnnotationError, tarfile.TarError, EOFError, zlib.error) as problem:
        sample.problem = network_words(problem)
    sample.megabytes = fetcher.num_bytes / MB
    return sample


# ---------------------------------------------------------------- the network


class StaySafe(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only where ``checked`` would have let us begin."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        return super().redirect_request(req, fp, code, msg, headers, checked(newurl))


def checked(url: str) -> str:
    """The address, where it is https or this machine; raises ``Unavailable`` elsewhere."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return url
    raise Unavailable(f"{printable(url, 100)} is not an https address")


class Fetcher:
    """Reads addresses below a base, counting bytes and time over all of them.

    Args:
        base_url: takes the place of ``OFFICIAL`` in every address.
        most_bytes: to read altogether.
    """

    def __init__(self, base_url: str, most_bytes: int):
        self.base_url, self.most_bytes, self.num_bytes = base_url, most_bytes + MOST_LIST_BYTES, 0
        self.until = time.monotonic() + DEADLINE_S
        self._opener = urllib.request.build_opener(StaySafe)

    def address(self, official: str) -> str:
        """An official address below our base; blanks, as some archives have in their names, quoted."""
        if not official.startswith(OFFICIAL + "/"):
            raise Unavailable(f"the list of archives leads elsewhere: {printable(official, 100)}")
        return checked(self.base_url + urllib.parse.quote(official.removeprefix(OFFICIAL), safe="/%"))

    def open(self, official: str) -> "Metered":
        request = urllib.request.Request(self.address(official), headers={"User-Agent": "vidbench"})
        return Metered(self._opener.open(request, timeout=TIMEOUT_S), self)

    def read(self, official: str) -> bytes:
        """A small file, whole."""
        with self.open(official) as response:
            data = response.read(MOST_LIST_BYTES)
            if response.read(1):
                raise Unavailable(f"{official} is larger than {MOST_LIST_BYTES // MB} MB")
        return data


class Metered:
    """A response that stops when the fetcher's bytes or time are used up."""

    def __init__(self, response, fetcher: Fetcher):
        self.response, self.fetcher = response, fetcher

    def read(self, size: int) -> bytes:
        pieces, left = [], size
        while left and (data := self._some(left)):
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def _some(self, size: int) -> bytes:
        if time.monotonic() > self.fetcher.until:
            raise Unavailable(f"it took longer than {DEADLINE_S // 60} minutes")
        data = self.response.read(min(size, 1 << 16))
        self.fetcher.num_bytes += len(data)
        if self.fetcher.num_bytes > self.fetcher.most_bytes:
            raise Unavailable(f"the first {self.fetcher.most_bytes // MB} MB held too few clips")
        return data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.response.close()


# ---------------------------------------------------------------- clips


def read_labels(root: Path, fetcher: Fetcher) -> tuple[dict[str, str], set[str]]:
    """``({ID_START_END: label}, those whose clip is there)``; fetches the list where it is not there yet."""
    path = root / "annotations" / f"{SPLIT}.csv"
    fetched = not path.is_file()
    if fetched:
        data = fetcher.read(source("annotations"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path) as file:
            file.write(data)
    try:
        records = load_records(NAME, root, SPLIT)
    except AnnotationError:
        if fetched:  # a log-in page, say; the next call asks again
            path.unlink(missing_ok=True)
        raise
    good = [record for record in records if record.status in ("ok", "missing") and record.label_index >= 0]
    present = {record.video_id for record in good if record.status == "ok"}
    return {record.video_id: record.label for record in good if record.label}, present


def source(what: str) -> str:
    """The official address of the annotations or the list of archives, from the dataset's card."""
    return next(item.url for item in find_dataset(NAME).sources if item.what == f"{what}, {SPLIT}")


def add_clips(root: Path, wanted: int, labels: dict, present: set, fetcher: Fetcher, sample: Sample) -> None:
    """Write clips until ``wanted`` are there: of each class at most its share."""
    (root / SPLIT).mkdir(exist_ok=True)
    share = -(-wanted // len(set(labels.values())))
    taken = Counter(labels[name] for name in present)
    for archive in fetcher.read(source("list of archives")).decode("utf-8", "replace").split("\n"):
        if not archive.strip():
            continue
        for name, size, content in clips_of(fetcher, archive.strip()):
            if name not in labels or name in present or taken[labels[name]] >= share:
                continue
            write_clip(root / SPLIT / f"{name}.mp4", content, size)
            present.add(name)
            taken[labels[name]] += 1
            sample.added += 1
            sample.clips, sample.classes = len(present), len(taken)
            if len(present) >= wanted:
                return
    raise Unavailable("the archives hold no more clips of classes that are still wanted")


def clips_of(fetcher: Fetcher, archive: str) -> Iterator[tuple[str, int, object]]:
    """The clips in an archive, in its order, as ``(ID_START_END, bytes, file to read from)``."""
    with fetcher.open(archive) as response, tarfile.open(fileobj=response, mode="r|*") as tar:
        for member in tar:
            match = MEMBER.fullmatch(member.name)
            if match and member.isreg() and 0 < member.size <= MOST_CLIP_BYTES:
                yield match.group(1), member.size, tar.extractfile(member)


def write_clip(path: Path, content, size: int) -> None:
    """Write ``size`` bytes: first under a name that no one takes for a clip, then under its own."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            shutil.copyfileobj(content, file, 1 << 20)
        if part.stat().st_size != size:
            raise Unavailable("an archive ends in the middle of a clip")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
