"""The videos of a dataset as pages: its classes, the videos of a class as film strips, a video in a player. Reads only.

Videos and classes go by their place in the list, so no text of a request becomes a path. All names are foreign and pass
through the templates, which clean and escape them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from vidbench.browse_answers import SHOWS, Answered
from vidbench.data.catalog import find_dataset
from vidbench.data.index import load_splits
from vidbench.data.pictures import data_uri, video_stamp
from vidbench.data.strips import LIMITS, Strip, Strips, info_words
from vidbench.page.fill import render
from vidbench.records import PREDICTED, STATUSES, ConfigError, UnreadableVideo, VideoRecord
from vidbench.transcode import PlayableVideo, playable

PER_PAGE = 24  # videos of a class
PAGE_S = 8.0  # seconds that a page waits for film strips; those that are not ready are read on meanwhile
MAX_KB = 20_000  # of a video in a player, as transcode.playable counts
TRIED = 3  # videos for the picture of a class
PLAYERS_KEPT = 4  # in memory, for the parts that a browser asks for one by one


@dataclass(frozen=True)
class ShownClass:
    """A class of the list.

    Args:
        label: its name, or "no label".
        places: of its videos in the list.
        unusable: how many of them are missing or listed wrongly.
        groups: different sources, 0 where none is known.
    """

    label: str
    places: tuple[int, ...]
    unusable: int
    groups: int


class Videos:
    """The videos of a dataset, to look at. Use it as a context manager: leaving it ends the workers that read.

    Args:
        name: of the dataset and its split, for the pages.
        records: the list, as ``vidbench.data.index.load_records`` gives it; at least one.
        root: the folder that their paths are relative to.
        dataset: its name in the manifests of runs.
        own: whether other videos in another folder may go by the same name.
        num_workers: isolated processes that make film strips; 0 makes them in this one.
    """

    def __init__(
        self,
        name: str,
        records: Iterable[VideoRecord],
        root: str | os.PathLike,
        *,
        dataset: str = "",
        own: bool = False,
        num_workers: int = 2,
    ):
        self.name, self.dataset, self.own = name, dataset, own
        self.strips = Strips(records, root, num_workers=num_workers)
        self.records = self.strips.records
        self.classes = classes_of(self.records)
        self.class_of = {place: n for n, shown in enumerate(self.classes) for place in shown.places}
        self._players: OrderedDict[tuple, PlayableVideo] = OrderedDict()
        self._turn = threading.Lock()

    def __enter__(self) -> Videos:
        return self

    def __exit__(self, *_) -> None:
        self.strips.close()

    def picture(self, number: int) -> bytes:
        """A frame of a class as JPEG, from the middle of the first of its videos; empty where ``TRIED`` have none."""
        listed = (place for place in self.classes[number].places if self.records[place].status in PREDICTED)
        for place in itertools.islice(listed, TRIED):
            (strip,) = self.strips.of([place], within=PAGE_S)
            if strip.jpegs:
                return strip.jpegs[len(strip.jpegs) // 2]
        return b""

    def player(self, place: int) -> PlayableVideo:
        """The video at a place of the list as browsers play it. One is re-encoded at a time.

        Raises:
            UnreadableVideo: it has no usable frame, or re-encoding took too long.
            ConfigError: no copy is small enough.
        """
        (strip,) = self.strips.of([place])
        if strip.status not in PREDICTED:  # a worker has looked at it first: it cannot take this process with it
            raise UnreadableVideo(strip.status, strip.reason)
        path = self.strips.path(place)
        with self._turn:
            key = place, video_stamp(path)
            if key not in self._players:
                self._players[key] = playable(path, max_kb=MAX_KB, limits=LIMITS)
            self._players.move_to_end(key)
            if len(self._players) > PLAYERS_KEPT:
                self._players.popitem(last=False)
            return self._players[key]


def classes_of(records: Sequence[VideoRecord]) -> tuple[ShownClass, ...]:
    """The classes that a list mentions, by their index, videos without one last."""
    places: dict[tuple[int, str], list[int]] = {}
    for place, record in enumerate(records):
        key = (record.label_index, record.label) if record.label is not None else (len(records), "no label")
        places.setdefault(key, []).append(place)
    return tuple(_shown_class(key[1], places[key], records) for key in sorted(places))


def _shown_class(label: str, places: Sequence[int], records: Sequence[VideoRecord]) -> ShownClass:
    members = [records[place] for place in places]
    unusable = sum(record.status not in PREDICTED for record in members)
    return ShownClass(label, tuple(places), unusable, len({record.group for record in members} - {""}))


@contextlib.contextmanager
def list_videos(config) -> Iterator[Videos | None]:
    """The videos that a checked ``browse_arguments.BrowseConfig`` names; ``None`` where it names no dataset.

    Raises:
        AnnotationError: a folder or list that cannot be used.
    """
    if config.dataset is None:
        yield None
        return
    where = config.dataset, config.data_dir, config.split, config.fold
    records = load_splits(*where, annotations=config.annotations, present_only=config.present_only)
    own = not find_dataset(config.dataset).splits
    name = os.path.basename(os.path.realpath(config.data_dir)) if own else config.dataset
    name = name if config.split == "all" else f"{name} {config.split}"
    with Videos(name, records, config.data_dir, dataset=config.dataset, own=own) as videos:
        yield videos


# ---------------------------------------------------------------- what the pages show


@dataclass(frozen=True)
class Choice:
    """Whose answers a page shows beside the videos, and which videos because of them.

    Args:
        runs: to choose from, the newest first.
        run: one of them; ``None`` where there are none.
        show: one of ``browse_answers.SHOWS``.
    """

    runs: Sequence[Answered] = ()
    run: Answered | None = None
    show: str = "all"

    def content(self) -> dict:
        """For the templates: names of the runs, what is chosen, and how a link keeps the choice."""
        from markupsafe import Markup  # comes with jinja2, which render loads when it is called

        runs = [(item.run.name, Markup(item.run.url), item is self.run) for item in self.runs]
        kept = Markup("&amp;run={}&amp;show={}").format(quote(self.run.run.url), self.show) if self.run else ""
        return {"runs": runs, "show": self.show, "shows": SHOWS, "kept": kept}

    def places(self, shown: ShownClass) -> Sequence[int]:
        """The videos of a class that are shown."""
        return self.run.chosen(shown.places, self.show) if self.run else shown.places


def classes_page(videos: Videos, choice: Choice) -> str:
    """The page with all classes of the list."""
    counts = [choice.run.counts(shown.places) if choice.run else (0, 0) for shown in videos.classes]
    content = {
        "data": videos.name,
        **choice.content(),
        "folder": videos.strips.root,
        "classes": list(zip(videos.classes, counts, strict=True)),
        "total": len(videos.records),
        "unusable": sum(shown.unusable for shown in videos.classes),
        "grouped": any(shown.groups for shown in videos.classes),
    }
    return render(content, "browse_classes.html.j2")


def class_page(videos: Videos, number: int, page: int, choice: Choice) -> str | None:
    """``PER_PAGE`` videos of a class, each with its film strip and facts; ``None`` where there is no such page.

    Args:
        videos: the dataset.
        number: the class's place among ``videos.classes``.
        page: from 1.
        choice: whose answers stand beside them.
    """
    shown = videos.classes[number]
    chosen = choice.places(shown)
    pages = max(1, -(-len(chosen) // PER_PAGE))
    if not 1 <= page <= pages:
        return None
    places = chosen[(page - 1) * PER_PAGE : page * PER_PAGE]
    strips = videos.strips.of(places, within=PAGE_S)
    cards = [card_of(videos, place, strip, choice.run) for place, strip in zip(places, strips, strict=True)]
    content = {
        "data": videos.name,
        **choice.content(),
        "num_chosen": len(chosen),
        "shown": shown,
        "number": number,
        "cards": cards,
        "unread": sum(not strip.is_read for strip in strips),
        "page": page,
        "pages": pages,
        "first": (page - 1) * PER_PAGE + 1,
    }
    return render(content, "browse_class.html.j2")


def card_of(videos: Videos, place: int, strip: Strip, *runs: Answered | None) -> dict:
    """A video as plain values: names, frames as ``data:`` URIs or why there are none, facts, and what runs said."""
    record, (height, width) = videos.records[place], strip.size
    facts = info_words(strip.info) if strip.info else []
    size = f"{strip.file_size / 1000:.0f} kB" if strip.file_size >= 1000 else f"{strip.file_size} bytes"
    facts += [("file", size)] if strip.file_size else []
    facts += [("group", record.group)] if record.group else []
    return {
        "place": place,
        "name": record.video_id,
        "path": record.path,
        "split": record.split,
        "status": strip.status,
        "is_read": strip.is_read,
        "reason": (strip.reason or STATUSES[strip.status]).rstrip("."),
        "frames": [
            {"uri": data_uri(jpeg), "index": index} for jpeg, index in zip(strip.jpegs, strip.indices, strict=True)
        ],
        "height": height,
        "width": width,
        "num_frames": strip.info.num_frames if strip.info else 0,
        "facts": facts,
        "answers": [words for run in runs if run and (words := run.words(place, strip.file_size))],
    }


def video_page(videos: Videos, place: int, choice: Choice) -> str:
    """One video in a player, with its frames and all that is known of it; a sentence where it cannot be played."""
    (strip,) = videos.strips.of([place])
    number = videos.class_of[place]
    if place not in choice.places(videos.classes[number]):  # the run has changed its mind meanwhile
        choice = dataclasses.replace(choice, show="all")
    places = choice.places(videos.classes[number])
    at = places.index(place)
    player, problem = None, ""
    try:
        player = videos.player(place)
    except (UnreadableVideo, ConfigError) as error:
        problem = (error.reason if isinstance(error, UnreadableVideo) else str(error)).rstrip(".")
    content = {
        "data": videos.name,
        **choice.content(),
        "shown": videos.classes[number],
        "number": number,
        "page": at // PER_PAGE + 1,
        "card": card_of(videos, place, strip, *choice.runs),
        "player": player,
        "problem": problem,
        "before": places[at - 1] if at else None,
        "after": places[at + 1] if at + 1 < len(places) else None,
    }
    return render(content, "browse_video.html.j2")
