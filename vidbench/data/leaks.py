"""What splits have in common that should share nothing: names, sources, bytes, and what pictures show."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidbench.data.catalog import DatasetCard
from vidbench.data.findings import Finding
from vidbench.data.near import pairs_within
from vidbench.data.survey import equal_files
from vidbench.records import VideoRecord
from vidbench.utils import plural, printable, write_table

MOST_DIFFERENT = 10  # bits of 64; see ``shared_pictures``
LEAST_ALIKE = 3  # pictures of the five
PAIRS_AT_ONCE = 1 << 16


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
        videos = plural(len({(name, record.video_id) for leak in found for name, record in leak.members}), "video")
        labels = sum(leak.labels_differ for leak in found)
        example = " and ".join(f"{name}: {printable(r.video_id, 60)}" for name, r in _one_of_each(found[0]))
        other = f", {labels} of them with different labels" if labels else ""
        lines.append(f"leak       {kind}: {len(found)} in {' and '.join(names)} ({videos}){other}; {example}")
    return "\n".join(lines)


def _one_of_each(leak: Leak) -> list[tuple[str, VideoRecord]]:
    return list({name: (name, record) for name, record in reversed(leak.members)}.values())[::-1]
