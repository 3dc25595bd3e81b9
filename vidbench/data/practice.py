"""A small copy of what is published of Kinetics-400 and HMDB51, made of clips at hand and served from this machine.

For trying a fetch without a network and with the truth at hand: the same lists, archives and folders under the same
names, with the same troubles, and few clips in them. Serve a folder made here with ``PracticeServer``, or
with any web server; its address is a mirror for ``vidbench.data.fetch``.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import tarfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from vidbench.data.catalog import find_dataset
from vidbench.data.classes import load_labels
from vidbench.data.order import mp4_damage
from vidbench.records import ConfigError, VideoRecord
from vidbench.utils import printable

TROUBLES = ("not_hosted", "empty", "cut")
CLIP_S = 10  # of a clip of Kinetics, as its lists have it


@dataclass(frozen=True)
class Published:
    """What a practice copy holds.

    Args:
        folder: where it lies; served, its address is a mirror.
        labels: names of the classes that have clips, by the class name of the clips they are made of.
        listed: class name of each listed video, by its id.
        troubles: what is wrong with a listed video, by its id: ``not_hosted`` (in no archive, or no such file),
            ``empty`` (a file without a byte) or ``cut`` (the second half is missing).
    """

    folder: Path
    labels: dict[str, str]
    listed: dict[str, str]
    troubles: dict[str, str]


def publish_kinetics(
    folder: str | os.PathLike,
    records: Iterable[VideoRecord],
    root: str | os.PathLike,
    *,
    split: str = "val",
    num_archives: int = 4,
    num_troubled: int = 3,
) -> Published:
    """Lay out clips as a split of Kinetics-400: a list of videos, a list of archives, and the archives.

    Videos get made-up identifiers, every fourth of which begins with a minus sign. Which archive holds which video has
    nothing to do with its class, as with the published ones.

    Args:
        folder: empty, or made here.
        records: clips that are there, as MP4 files. A class gets a name of Kinetics, its own where it is one.
        root: the folder that their paths are relative to.
        split: name of the split in the lists.
        num_archives: at least 1.
        num_troubled: so many videos have one of ``TROUBLES`` each, in turn; 0 for a sound copy.

    Raises:
        ConfigError: no records, one that is no whole MP4 file, more troubles than records, or no archive.
    """
    clips = _clips(records, root)
    if num_archives < 1 or not 0 <= num_troubled <= len(clips):
        raise ConfigError(f"{len(clips)} clips cannot fill {num_archives} archives with {num_troubled} in trouble.")
    names = _class_names(clips, load_labels("kinetics400"))
    order = sorted(clips, key=lambda item: _noise(item[0].video_id))  # mixes the classes
    videos = [(_clip_name(place), names[label], path) for place, (_, label, path) in enumerate(order)]
    troubles = {videos[place][0]: TROUBLES[place % len(TROUBLES)] for place in range(num_troubled)}
    base = Path(folder) / "400"
    for name in ("annotations", split):
        (base / name).mkdir(parents=True, exist_ok=True)
    rows = [_kinetics_row(name, label, split) for name, label, _ in sorted(videos)]
    header = "label,youtube_id,time_start,time_end,split,is_cc\n"
    (base / "annotations" / f"{split}.csv").write_text(header + "".join(rows), encoding="utf-8")
    hosted = [video for video in videos if troubles.get(video[0]) != "not_hosted"]
    official = find_dataset("kinetics400").bases[0]
    parts = [f"400/{split}/part_{number}.tar.gz" for number in range(num_archives)]
    for number, part in enumerate(parts):
        _write_archive(Path(folder) / part, hosted[number::num_archives], troubles)
    lines = "".join(f"{official}/{part}\n" for part in parts)
    (base / split / f"k400_{split}_path.txt").write_text(lines, encoding="utf-8")
    return Published(Path(folder), names, {name: label for name, label, _ in videos}, troubles)


def publish_hmdb51(
    folder: str | os.PathLike, records: Iterable[VideoRecord], root: str | os.PathLike, *, num_troubled: int = 1
) -> Published:
    """Lay out clips as HMDB51: a file a video, and a split file for each class and fold.

    In each fold the sources of a class take turns: of six, three are for training, one for testing, and two are used
    for neither. Names hold brackets and other signs, as many of HMDB51's do, and end with ``.avi`` whatever is inside.

    Args:
        folder, records, root: as for ``publish_kinetics``.
        num_troubled: so many videos of fold 1's test split are not there. Split files of classes without clips
            name one video that is in no split.

    Raises:
        ConfigError: as ``publish_kinetics``.
    """
    clips = _clips(records, root)
    names = _class_names(clips, load_labels("hmdb51"))
    by_class: dict[str, list[tuple[str, int, Path]]] = defaultdict(list)
    for (_, own_label, path), (source, number) in zip(clips, _sources(clips)):
        label = names[own_label]
        name = f"#{source}[{source % 3}]_({label[:3]})!_{label}_f_nm_np1_fr_med_{number}.avi"
        by_class[label].append((name, source, path))
    tested = [name for videos in by_class.values() for name, source, _ in videos if (source + 1) % 6 == 3]
    if not 0 <= num_troubled <= len(tested):
        raise ConfigError(f"{num_troubled} of the {len(tested)} clips of the test split cannot be missing.")
    splits = Path(folder) / "hmdb51_splits"
    splits.mkdir(parents=True, exist_ok=True)
    for label in load_labels("hmdb51"):
        for fold in (1, 2, 3):
            lines = [f"{name} {(1, 1, 1, 2, 0, 0)[(source + fold) % 6]} \n" for name, source, _ in by_class[label]]
            lines = lines or [f"none_{label}_f_nm_np1_fr_med_0.avi 0 \n"]  # an empty file would not be believed
            (splits / f"{label}_test_split{fold}.txt").write_text("".join(lines), encoding="utf-8")
    absent = set(tested[:num_troubled])
    for label, videos in by_class.items():
        (Path(folder) / "hmdb51_org" / label).mkdir(parents=True, exist_ok=True)
        for name, _, path in videos:
            if name not in absent:
                (Path(folder) / "hmdb51_org" / label / name).write_bytes(path.read_bytes())
    listed = {name.removesuffix(".avi"): label for label, videos in by_class.items() for name, _, _ in videos}
    return Published(Path(folder), names, listed, {name.removesuffix(".avi"): "not_hosted" for name in absent})


def _clips(records: Iterable[VideoRecord], root) -> list[tuple[VideoRecord, str, Path]]:
    """Records with their labels and files."""
    clips = []
    for record in records:
        path = Path(root) / record.path
        damage: str | None
        try:
            with open(path, "rb") as file:
                damage = mp4_damage(file, path.stat().st_size)
        except OSError as problem:
            damage = problem.strerror
        if damage or record.label is None:
            what = damage or "it has no label"
            raise ConfigError(f"A practice copy is made of whole, labelled MP4 files; {printable(path, 120)}: {what}.")
        clips.append((record, record.label, path))
    if not clips:
        raise ConfigError("A practice copy needs at least one clip.")
    return clips


def _class_names(clips: Sequence[tuple[VideoRecord, str, Path]], known: tuple[str, ...]) -> dict[str, str]:
    """For each class of the clips a name of the dataset: its own, or one that is free, spread over the list.

    Raises:
        ConfigError: more classes than names.
    """
    classes = list(dict.fromkeys(label for _, label, _ in clips))
    free = [name for name in known if name not in classes]
    strange = [name for name in classes if name not in known]
    if len(strange) > len(free):
        raise ConfigError(f"{len(strange)} classes are more than the {len(free)} names that are free.")
    lent = dict(zip(strange, free[:: max(1, len(free) // max(1, len(strange)))]))
    return {name: lent.get(name, name) for name in classes}


def _sources(clips: Sequence[tuple[VideoRecord, str, Path]]) -> list[tuple[int, int]]:
    """For each clip the number of its source within its class, and its own number within the source; from 0."""
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    counts: Counter[tuple[str, int]] = Counter()
    found = []
    for record, label, _ in clips:
        own = groups[label]
        source = own.setdefault(record.group or record.video_id, len(own))
        found.append((source, counts[label, source]))
        counts[label, source] += 1
    return found


def _noise(*words: object) -> str:
    return hashlib.sha256(" ".join(map(str, words)).encode("utf-8", "surrogatepass")).hexdigest()


def _clip_name(place: int) -> str:
    """``ID_START_END`` of a made-up video."""
    name = ("-" if place % 4 == 0 else "") + _noise("id", place)
    start = int(_noise("start", place)[:4], 16) % 200
    return f"{name[:11]}_{start:06d}_{start + CLIP_S:06d}"


def _kinetics_row(name: str, label: str, split: str) -> str:
    quoted = f'"{label}"' if " " in label else label
    return f"{quoted},{name[:11]},{int(name[12:18])},{int(name[19:])},{split},0\n"


def _write_archive(path: Path, videos: Sequence[tuple[str, str, Path]], troubles: dict[str, str]) -> None:
    """A gzipped tar of clips, the same bytes each time."""
    with (
        open(path, "wb") as raw,
        gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, _, source in videos:
            info = tarfile.TarInfo(f"{name}.mp4")
            size = source.stat().st_size
            info.size = {"empty": 0, "cut": size // 2}.get(troubles.get(name, ""), size)
            with open(source, "rb") as file:
                tar.addfile(info, file)


class PracticeServer:
    """Serves a folder to this machine alone, until it is closed; notes what is asked for.

    Use it as a context manager, or call ``close``.

    Args:
        folder: of files; those below it are served, and nothing else is done with them.
    """

    def __init__(self, folder: str | os.PathLike):
        self.asked: list[str] = []  # paths, in order
        handler = functools.partial(_Handler, directory=os.fspath(folder), asked=self.asked)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> PracticeServer:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; the port is free again."""
        self._http.shutdown()
        self._http.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments, asked: list[str], **more):
        self._asked = asked
        super().__init__(*arguments, **more)

    def do_GET(self):
        self._asked.append(self.path)
        try:
            super().do_GET()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked has enough: a part of an archive was all that was wanted

    def log_message(self, *_):
        pass
