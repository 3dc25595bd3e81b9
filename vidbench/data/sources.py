"""The videos that are wanted, out of what publishes them: archives, single files, a remote ZIP, parts had by hand.

An archive is read as a stream and only the clips that are wanted are written. What is found out on the way is noted in
the job's ``Known``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import urllib.parse
import zipfile
import zlib
from pathlib import Path

from vidbench.data.archives import stream_members
from vidbench.data.arriving import Arriving, Joined, RangeFile, Restarted, Traffic, bytes_there
from vidbench.data.disk import writing
from vidbench.data.order import STATE, Job, addresses, get, in_parallel, mp4_damage
from vidbench.data.web import megabytes
from vidbench.records import ArchiveError, ConfigError, FetchError, VideoRecord
from vidbench.utils import printable

MOST_CLIP_BYTES = 200 * 10**6
PIECE = 1 << 18  # bytes of a clip that are copied at a time
KEPT = "what is there is kept, and the same command goes on"
CLIP_NAME = re.compile(r"([A-Za-z0-9_-]{11}_\d{6}_\d{6})\.mp4")  # ID_START_END


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
