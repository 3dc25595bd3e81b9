"""Archives of UCF101 and HMDB51 that people have already: unpacked where they lie, in the data folder.

Their authors offer RAR archives, and UCF101 is passed on as pictures in a zip of three parts. A fetch looks for these
files by their published names before it asks any server.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.archives import Extracted, extract, find_parts, read_marker
from vidbench.data.catalog import DatasetCard, Source
from vidbench.data.disk import writing
from vidbench.data.order import STATE, Job
from vidbench.data.pictures import is_picture
from vidbench.utils import printable, sha256_of_json

log = logging.getLogger(__name__)

KEPT = "what was unpacked is kept, and the same command goes on"
VIDEO = ".avi"


@dataclass(frozen=True)
class Held:
    """An archive in the data folder.

    Args:
        source: what it is.
        parts: its files in order, one or more.
    """

    source: Source
    parts: tuple[Path, ...]

    @property
    def name(self) -> str:
        """File name of its first part."""
        return self.parts[0].name


def find_held(card: DatasetCard, root: Path, *kinds: str) -> list[Held]:
    """Archives of these kinds (``videos`` where none is named) that lie in a data folder, those of videos first.

    Raises:
        ArchiveError: a part in the middle is missing.
    """
    found = []
    for kind in kinds or ("zip", "held videos"):
        for source in card.sources_of(kind):
            path = root / source.url.rsplit("/", 1)[-1]
            in_parts = path.suffix[1:].isdigit()
            if in_parts and not path.is_file():
                path, in_parts = path.with_suffix(""), False  # put together already
            if path.is_file():
                found.append(Held(source, tuple(find_parts(path) if in_parts else [path])))
    return found


def unpack_lists(card: DatasetCard, root: Path, lists: Path) -> None:
    """Split files out of an archive of them in the data folder, where they are not there yet.

    Args:
        card: of the dataset.
        root: the data folder, where the archive lies.
        lists: the folder that keeps the lists: the data folder, or a temporary one.

    Raises:
        ArchiveError: it cannot be opened; a RAR archive may need a program, which the message names.
    """
    for held in find_held(card, root, "held splits"):
        home = lists / held.source.into
        if home.is_dir() and any(home.iterdir()):
            continue
        with _Unpacked(held, lists, lambda name: name.endswith(".txt"), "lists") as done:
            together = done.folder / ".together"  # a killed call leaves none of them, or all
            together.mkdir(exist_ok=True)
            for path in [path for path in done.folder.rglob("*.txt") if path.parent != together]:
                os.replace(path, together / path.name)
            if home.is_dir():
                home.rmdir()
            os.rename(together, home)


def unpack_videos(job: Job, archives: Iterable[Held]) -> None:
    """The wanted videos out of archives that lie in the data folder; what none of them holds is written down as lost.

    Raises:
        ArchiveError: one is damaged, or needs a program that is not there.
        FetchError: the disk is full.
    """
    archives = list(archives)
    for held in archives:
        wanted = {name.casefold(): name for name in job.wanted.records if job.wanted.wants(name)}
        if wanted:
            _unpack(job, held, wanted)
    names = " or ".join(held.name for held in archives)
    for name in list(job.wanted.records):
        if job.wanted.wants(name):
            job.wanted.was_lost(name, f"not in {names}")
    job.known.save()


def _unpack(job: Job, held: Held, wanted: dict[str, str]) -> None:
    """One archive: of videos, of folders of pictures, or of archives of videos."""
    classes = {f"{job.wanted.records[name].label}.rar" for name in wanted.values()}

    def want(name: str) -> bool:
        folder, _, file = name.rpartition("/")
        if is_picture(file):
            return folder.rpartition("/")[2].casefold() in wanted
        return file in classes or _stem(file) in wanted

    with _Unpacked(held, job.root, want, sha256_of_json(sorted(wanted))[:16]) as done:
        for inner in sorted(done.folder.rglob("*.rar")):
            within = Held(held.source, (inner,))
            with _Unpacked(within, inner.parent, lambda name: _stem(name.rpartition("/")[2]) in wanted, "") as videos:
                _take(job, held, wanted, videos.folder)
        _take(job, held, wanted, done.folder)


def _stem(file: str) -> str:
    """The name of a video as it is compared, or nothing for another file."""
    return file[: -len(VIDEO)].casefold() if file.casefold().endswith(VIDEO) else ""


def _take(job: Job, held: Held, wanted: dict[str, str], folder: Path) -> None:
    """Give what was unpacked its place: a file that of its record, a folder of pictures one below ``source.into``."""
    found: dict[str, Path] = {}
    for place, folders, files in os.walk(folder):
        found |= {wanted[_stem(file)]: Path(place, file) for file in files if _stem(file) in wanted}
        found |= {wanted[name.casefold()]: Path(place, name) for name in folders if name.casefold() in wanted}
    for name, path in found.items():
        if not job.wanted.wants(name):
            continue
        target = job.root / (held.source.into if path.is_dir() else job.wanted.records[name].path)
        target = target / path.name if path.is_dir() else target
        with writing(target, KEPT, spoils="all"):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        job.wanted.arrived(name)


class _Unpacked:
    """Unpack an archive below a folder's ``.fetch`` for as long as it is needed; a killed call goes on where it was."""

    def __init__(self, held: Held, root: Path, want: Callable[[str], bool], selection: str):
        self.held, self.want, self.selection = held, want, selection
        self.folder = root / STATE / f"unpacked-{held.parts[0].name}"

    def __enter__(self) -> Extracted:
        log.info("unpacking %s", printable(self.held.parts[0], 160))
        parts = self.held.parts if len(self.held.parts) > 1 else self.held.parts[0]
        if (read_marker(self.folder) or {}).get("selection") != self.selection:  # of a call that wanted others
            shutil.rmtree(self.folder, ignore_errors=True)
        return extract(parts, self.folder, want=self.want, selection=self.selection)

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
