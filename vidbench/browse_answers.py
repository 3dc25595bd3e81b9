"""What runs said about the videos of a dataset, by their place in its list. Reads only."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vidbench.browse import Results, ShownRun
from vidbench.metrics import has_label, is_correct
from vidbench.records import Row, VideoRecord
from vidbench.runs import read_rows, section

MOST_RUNS = 4  # whose rows are kept in memory
TOP = 3  # classes of an answer
SHOWS = ("all", "right", "wrong")  # which videos of a class; those that a run skipped count as wrong, as in its figures


@dataclass(frozen=True)
class Answered:
    """A run, and its rows by the place of their video in the list."""

    run: ShownRun
    rows: dict[int, Row]

    def right(self, place: int) -> bool | None:
        """Whether the run is right about a video; ``None`` where it is not in the run, or nobody knows its class."""
        row = self.rows.get(place)
        return is_correct(row, 1) if row is not None and has_label(row) else None

    def counts(self, places: Iterable[int]) -> tuple[int, int]:
        """On how many of these videos the run is right, and on how many that is known."""
        known = [right for place in places if (right := self.right(place)) is not None]
        return sum(known), len(known)

    def chosen(self, places: Iterable[int], show: str) -> list[int]:
        """Those of these videos that ``show`` names, one of ``SHOWS``."""
        return [place for place in places if show == "all" or self.right(place) is (show == "right")]

    def words(self, place: int, file_size: int) -> dict | None:
        """The answer on a video as plain values; ``None`` where the run has none.

        Args:
            place: of the video in the list.
            file_size: bytes of its file now; the answer may be about another one.
        """
        row = self.rows.get(place)
        if row is None:
            return None
        changed = bool(row.file_size and file_size and row.file_size != file_size)
        best = [(label, score) for label, _, score in row.top[:TOP]]
        told = {"status": row.status, "reason": row.reason.rstrip("."), "changed": changed}
        return {"run": self.run.name, "right": self.right(place), "top": best, **told}


class Answers:
    """The runs of a results folder that are about the videos of a dataset.

    Args:
        results: the folder.
        records: the dataset's list.
        dataset: its name in manifests.
        root: the videos' folder, where the name does not say which videos they are (own ones); else ``None``.
    """

    def __init__(self, results: Results, records: Sequence[VideoRecord], dataset: str, root: str | None):
        self.results, self.dataset = results, dataset
        self.root = None if root is None else os.path.realpath(root)
        self._places = {(r.video_id, r.path, r.label): place for place, r in enumerate(records)}
        self._known: dict[str, tuple[float, Answered]] = {}
        self._turn = threading.Lock()

    def runs(self) -> list[Answered]:
        """The ``MOST_RUNS`` newest that share a video with the list; none with random weights."""
        about = [run for run in self.results.runs() if run.metrics and not run.random and self._is_about(run)]
        with self._turn:
            self._known = {run.name: (run.changed, self._read(run)) for run in about[:MOST_RUNS]}
            return [answered for _, answered in self._known.values() if answered.rows]

    def _is_about(self, run: ShownRun) -> bool:
        dataset = section(run.manifest, "dataset")
        there = self.root is None or os.path.realpath(str(dataset.get("data_dir"))) == self.root
        return there and dataset.get("name") == self.dataset

    def _read(self, run: ShownRun) -> Answered:
        """A run's rows, from memory where they have not changed."""
        changed, known = self._known.get(run.name, (None, None))
        if known is not None and changed == run.changed:
            return known
        rows, _ = read_rows(run.folder / "rows.jsonl")
        found = ((self._places.get((row.video_id, row.path, row.label)), row) for row in rows)
        return Answered(run, {place: row for place, row in found if place is not None})
