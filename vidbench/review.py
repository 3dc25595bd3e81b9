"""What a person says about the videos of a run, and what that does to its accuracy.

A verdict is about the video or its label, never about the model: *label wrong*, *ambiguous*, *two actions*,
*undecodable*. Verdicts lie in ``verdicts.json`` of the run folder; rows, metrics and report are never touched, and
the accuracy of all listed videos stays the run's result. The re-scored one stands beside it, each with interval and n.

Whoever looks at mistakes only can only raise the accuracy. So the re-scored figure always says how many of the
verdicts are on videos that had counted as wrong.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock
import numpy as np

from vidbench.intervals import paired_difference, proportion
from vidbench.metrics import has_label, is_correct, percent
from vidbench.records import ConfigError, Row, RunError
from vidbench.runs import Run, read_json, read_run
from vidbench.utils import nearest_hint, printable, sha256_of_json, write_json

__all__ = [
    "FILE",
    "NAMES_A_CLASS",
    "ORDERS",
    "SCHEMA",
    "SHOWN",
    "VERDICTS",
    "WAIT_S",
    "Comparison",
    "Rescored",
    "Run",
    "Verdict",
    "choose_rows",
    "compare",
    "is_wrong",
    "pair_of",
    "rank_among",
    "read_run",
    "read_verdicts",
    "rescore",
    "save_verdict",
]

SCHEMA = 1
FILE = "verdicts.json"
WAIT_S = 10.0  # seconds to wait for another process that is writing a verdict
VERDICTS = {
    "label_wrong": "another class is to be seen; scored against it where it is named, else left out",
    "ambiguous": "people would not agree on the class; left out",
    "two_actions": "a second class is to be seen as well; either is right where it is named, else left out",
    "undecodable": "the pictures are damaged beyond recognition; left out",
}
NAMES_A_CLASS = ("label_wrong", "two_actions")  # verdicts that may name a class of the label space
ORDERS = {
    "confident": "most confident first",
    "pair": "most frequent confusion first",
    "class": "by class",
    "listed": "as listed",
    "random": "in random order",
}
SHOWN = {
    "wrong": "predicted, and wrongly",
    "right": "predicted rightly",
    "skipped": "could not be predicted",
    "reviewed": "with a verdict",
    "all": "every listed video",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says about one video of a run.

    Args:
        video_id: of the row.
        verdict: one of ``VERDICTS``.
        label: the class that is to be seen (``label_wrong``) or seen as well (``two_actions``); ``None`` where it
            was not named.
        note: free text.
        when: UTC, ISO 8601, to the second.
    """

    video_id: str
    verdict: str
    label: str | None = None
    note: str = ""
    when: str = ""


# ---------------------------------------------------------------- the file of verdicts


def read_verdicts(run: Run) -> dict[str, Verdict]:
    """Verdicts by video id, those on videos of this run; empty where nobody has reviewed it.

    Raises:
        RunError: the file is there and cannot be used.
    """
    return _of_run(run, _read(run.folder / FILE))


def _of_run(run: Run, verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    known = {row.video_id for row in run.rows}
    found = {name: verdict for name, verdict in verdicts.items() if name in known}
    for verdict in found.values():
        if verdict.label is not None and verdict.label not in run.labels:
            raise RunError(f"{run.folder / FILE} names {printable(verdict.label, 60)!r}, which is no class of the run")
    return found


def save_verdict(run: Run, video_id: str, verdict: str | None, *, label: str | None = None, note: str = "") -> dict:
    """Write a verdict, or take one back, and return all of them by video id.

    Several people may review one run at a time: the file is read again, changed and replaced under a lock.

    Args:
        run: as ``read_run`` gives it.
        video_id: one of its rows.
        verdict: one of ``VERDICTS``; ``None`` takes the video's verdict back.
        label: a class of the run, for ``label_wrong`` and ``two_actions``.
        note: free text.

    Raises:
        ConfigError: an unknown video, verdict or class, or a class that says nothing.
        RunError: the file cannot be read or written.
    """
    row = next((row for row in run.rows if row.video_id == video_id), None)
    if row is None:
        hint = nearest_hint(video_id, [row.video_id for row in run.rows])
        raise ConfigError(f"the run {run.name} has no video {printable(video_id, 80)!r}.{hint}")
    if verdict is not None:
        _check(row, verdict, label, run.labels)
    path = run.folder / FILE
    with _held(path):
        verdicts = _read(path)
        if verdict is None:
            verdicts.pop(video_id, None)
        else:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            verdicts[video_id] = Verdict(video_id, verdict, label, note, now)
        found = _of_run(run, verdicts)
        _write(path, verdicts)
    return found


def _check(row: Row, verdict: str, label: str | None, labels: Sequence[str]) -> None:
    if verdict not in VERDICTS:
        raise ConfigError(f"unknown verdict {printable(verdict, 40)!r}.{nearest_hint(verdict, VERDICTS)}")
    if label is None:
        return
    if verdict not in NAMES_A_CLASS:
        raise ConfigError(f"the verdict {verdict!r} names no class; leave out label")
    if label not in labels:
        raise ConfigError(f"no class of the run is called {printable(label, 80)!r}.{nearest_hint(label, labels)}")
    if label == row.label:
        raise ConfigError(f"{printable(row.video_id, 80)} is listed as {label!r} already; name another class, or none")


@contextlib.contextmanager
def _held(path: Path):
    lock = filelock.FileLock(path.with_suffix(".lock"), timeout=WAIT_S)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunError(f"{path} is being written by another process; try again") from None
    except OSError as problem:
        raise _unwritable(path, problem) from None
    try:
        yield
    finally:
        lock.release()


def _read(path: Path) -> dict[str, Verdict]:
    if not path.exists():
        return {}
    content = read_json(path)
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}")
        verdicts = [Verdict(**entry) for entry in content["verdicts"]]
        if not all(verdict.verdict in VERDICTS for verdict in verdicts):
            raise ValueError("an unknown verdict")
        return {verdict.video_id: verdict for verdict in verdicts}
    except (KeyError, TypeError, ValueError) as problem:
        raise RunError(
            f"{path} holds no verdicts that this version reads ({printable(problem, 80)}); move it away to begin anew"
        ) from None


def _write(path: Path, verdicts: Mapping[str, Verdict]) -> None:
    entries = [dataclasses.asdict(verdicts[name]) for name in sorted(verdicts)]
    try:
        write_json(path, {"schema": SCHEMA, "verdicts": entries})
    except OSError as problem:
        raise _unwritable(path, problem) from None


def _unwritable(path: Path, problem: OSError) -> RunError:
    return RunError(f"{path} cannot be written ({problem.strerror}); copy the run folder to a place of your own")


# ---------------------------------------------------------------- scoring again


@dataclass(frozen=True)
class Rescored:
    """A run's accuracy as listed, and with what people said about its videos.

    Args:
        k: of top-k.
        listed: the run's own figure over all listed videos with a label, as ``metrics.proportion`` gives it.
        rescored: the same with the verdicts taken into account; ``None`` where every video is left out.
        counts: number of verdicts by kind, those that occur.
        num_left_out: videos that count in ``listed`` only.
        num_on_wrong: verdicts on videos that count as wrong in ``listed``.
        num_verdicts: verdicts on videos that count.
    """

    k: int
    listed: dict | None
    rescored: dict | None
    counts: dict[str, int]
    num_left_out: int
    num_on_wrong: int
    num_verdicts: int

    @property
    def note(self) -> str:
        """What the verdicts are, and which way they can move the figure."""
        if not self.num_verdicts:
            return "No verdicts yet."
        kinds = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.counts.items())
        words = f"{self.num_verdicts} reviewed ({kinds}), {self.num_left_out} left out; "
        words += f"{self.num_on_wrong} of them had counted as wrong."
        if self.num_on_wrong == self.num_verdicts:
            words += " Reviewing mistakes only can only raise the figure: look at right answers too."
        return words

    def __str__(self) -> str:
        n = [part["n"] if part else 0 for part in (self.listed, self.rescored)]
        words = f"top-{self.k} as listed {percent(self.listed)}, n={n[0]}"
        return words + (f"; re-scored {percent(self.rescored)}, n={n[1]}. {self.note}" if self.num_verdicts else "")


def rescore(rows: Sequence[Row], verdicts: Mapping[str, Verdict], *, k: int = 1) -> Rescored:
    """Accuracy over listed videos, raw and with verdicts; skipped videos count as wrong in both.

    Verdicts are applied whether the model was right or wrong. *Label wrong* and *two actions* are scored against the
    class they name where the row's best classes hold it at a place up to k; without a class they are left out, as are
    *ambiguous* and *undecodable*.

    Args:
        rows: one a listed video.
        verdicts: by video id.
        k: at most the number of best classes that the rows hold.

    Raises:
        ConfigError: ``k`` is below 1, or above what the rows hold.
    """
    any_label = any(map(has_label, rows))
    counted = [row for row in rows if has_label(row) or (any_label and row.status == "bad_row")]
    held = max((len(row.top) for row in counted), default=0)
    if k < 1 or (held and k > held):
        raise ConfigError(f"k must be between 1 and the {held} best classes that the rows hold, got {k}")
    on = {row.index: verdicts[row.video_id] for row in counted if row.video_id in verdicts}
    right = {row.index: is_correct(row, k) for row in counted}
    again = {row.index: _right_again(row, on.get(row.index), k) for row in counted}
    kept = [value for value in again.values() if value is not None]
    kinds = Counter(verdict.verdict for verdict in on.values())
    return Rescored(
        k=k,
        listed=proportion(sum(right.values()), len(right)),
        rescored=proportion(sum(kept), len(kept)),
        counts={name: kinds[name] for name in VERDICTS if kinds[name]},
        num_left_out=len(counted) - len(kept),
        num_on_wrong=sum(not right[index] for index in on),
        num_verdicts=len(on),
    )


def _right_again(row: Row, verdict: Verdict | None, k: int) -> bool | None:
    """Whether a row is right with a verdict; ``None`` where it is left out."""
    if verdict is None:
        return is_correct(row, k)
    if verdict.verdict not in NAMES_A_CLASS or verdict.label is None:
        return None
    named = row.predicted and 0 <= rank_among(row, verdict.label) < k
    return named or (verdict.verdict == "two_actions" and is_correct(row, k))


def rank_among(row: Row, label: str) -> int:
    """How many other classes of the row's best ones score at least as high as ``label``; -1 where it is not one."""
    score = next((score for name, _, score in row.top if name == label), None)
    if score is None:
        return -1
    return sum(other >= score for _, _, other in row.top) - 1


# ---------------------------------------------------------------- what to look at first


def is_wrong(row: Row) -> bool:
    """Whether a labelled video was predicted, and wrongly."""
    return row.predicted and bool(row.top) and has_label(row) and not is_correct(row, 1)


def choose_rows(
    rows: Iterable[Row],
    *,
    shown: str = "wrong",
    order: str = "confident",
    label: str | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
) -> list[Row]:
    """Rows to look at, in an order to look at them.

    Args:
        rows: of a run.
        shown: one of ``SHOWN``.
        order: ``confident``: highest probability of the best class first. ``pair``: mistakes of the most frequent
            ``(true, predicted)`` pair first, then by probability. ``class``: by true class, then by probability.
            ``listed``: as the list has them. ``random``: drawn from the video ids, the same every time.
        label: only videos of this true class.
        verdicts: by video id, for ``shown="reviewed"``.

    Raises:
        ConfigError: an unknown word.
    """
    for word, known in ((shown, SHOWN), (order, ORDERS)):
        if word not in known:
            raise ConfigError(f"unknown choice {printable(word, 40)!r}.{nearest_hint(word, known)}")
    tests = {
        "wrong": is_wrong,
        "right": lambda row: is_correct(row, 1),
        "skipped": lambda row: not row.predicted,
        "reviewed": lambda row: row.video_id in (verdicts or {}),
        "all": lambda row: True,
    }
    found = [row for row in rows if tests[shown](row) and label in (None, row.label)]
    pairs = Counter(pair_of(row) for row in found)
    keys = {
        "confident": lambda row: (-_confidence(row), row.index),
        "pair": lambda row: (-pairs[pair_of(row)], pair_of(row), -_confidence(row), row.index),
        "class": lambda row: (row.label_index < 0, row.label_index, -_confidence(row), row.index),
        "listed": lambda row: row.index,
        "random": lambda row: (sha256_of_json(row.video_id), row.index),
    }
    return sorted(found, key=keys[order])


def pair_of(row: Row) -> tuple[str, str]:
    """``(true class, best class)`` of a row; empty words where it has none."""
    return row.label or "", row.top[0][0] if row.top else ""


def _confidence(row: Row) -> float:
    return row.top[0][2] if row.top else 0.0


# ---------------------------------------------------------------- two runs


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs on the videos that both list.

    Args:
        pairs: ``(row of A, row of B)`` of each shared video with a label, in A's order.
        num_only_a: labelled videos that only A lists.
        num_only_b: likewise for B.
        difference: top-1 of B minus that of A on the shared videos, as ``intervals.paired_difference`` gives it.
    """

    pairs: tuple[tuple[Row, Row], ...]
    num_only_a: int
    num_only_b: int
    difference: dict

    def sentence(self, a: str, b: str) -> str:
        """The difference in words, for runs called ``a`` and ``b``."""
        value, low, high = (100 * self.difference[name] for name in ("value", "low", "high"))
        words = f"{b} minus {a}: {value:+.1f} points [{low:+.1f}, {high:+.1f}], n={self.difference['n']}."
        left = [f"{count} only in {name}" for count, name in ((self.num_only_a, a), (self.num_only_b, b)) if count]
        return words + (f" Videos left out: {', '.join(left)}." if left else "")

    def group(self, name: str) -> list[tuple[Row, Row]]:
        """Pairs by who is right at top-1: ``both``, ``a``, ``b`` (only that one), ``neither``, or ``all``."""
        if name == "all":
            return list(self.pairs)
        wanted = {"both": (True, True), "a": (True, False), "b": (False, True), "neither": (False, False)}[name]
        return [pair for pair in self.pairs if (is_correct(pair[0], 1), is_correct(pair[1], 1)) == wanted]


def compare(a: Sequence[Row], b: Sequence[Row]) -> Comparison:
    """Two runs video by video: rows are matched by video id and label.

    The same videos make the comparison sharper than two separate intervals: only those on which the runs disagree
    count. Skipped videos count as wrong. The interval is that of ``intervals.paired_difference``, and knows groups.

    Raises:
        RunError: the runs share no labelled video.
    """
    ours, theirs = _by_video(a), _by_video(b)
    pairs = tuple((row, theirs[key]) for key, row in ours.items() if key in theirs)
    if not pairs:
        raise RunError("the two runs share no labelled video, so there is nothing to compare; evaluate the same split")
    right_a, right_b = (np.array([is_correct(row, 1) for row in rows]) for rows in zip(*pairs))
    difference = paired_difference(right_a, right_b, groups=[row.group for row, _ in pairs])
    return Comparison(pairs, len(ours) - len(pairs), len(theirs) - len(pairs), difference)


def _by_video(rows: Iterable[Row]) -> dict[tuple, Row]:
    """Labelled rows by video id and label; the first one where a video is listed twice."""
    found: dict[tuple, Row] = {}
    for row in rows:
        if has_label(row):
            found.setdefault((row.video_id, row.label), row)
    return found
