"""Runs of the same videos against each other: who is better, by how much, how sure, and on which videos. Runs no model.

The headline of a pair is the difference of its accuracies with its 95 % interval (``intervals.paired_difference``,
which knows groups). Beside it stand the exact test, corrected by Holm for the number of pairs, and the bootstrap; where
they disagree with the headline, the words say so.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from vidbench import calibration, intervals, power
from vidbench.ensemble import fit_weights, fused_right, given_weights
from vidbench.manifest_words import protocol_table
from vidbench.metrics import has_label, is_correct, is_counted, percent, summarise
from vidbench.page.cautions import cautions
from vidbench.page.fill import clean, render
from vidbench.page.verdicts import closest_verdict
from vidbench.records import ConfigError, Row, RunError
from vidbench.runs import Run, read_run, refuse_damaged, results_in, section
from vidbench.scores import logits_notes, logits_problem, probabilities, view_seconds
from vidbench.utils import atomic_writer, plural, printable, write_table

MOST_RUNS = 50
FLIPS_SHOWN = 200  # on the page; flips.csv has all
SURE = 0.05


@dataclass(frozen=True, eq=False)
class Answers:
    """A run, or an ensemble, on the videos that are compared.

    Args:
        name: of its folder; made unique where two have the same.
        right: bool, shape (N,): right at top-k, in the order of the first run's list.
        accuracy: as ``intervals.clustered_proportion`` gives it; plain where no two videos share a group.
    """

    name: str
    right: np.ndarray
    accuracy: dict


@dataclass(frozen=True, eq=False)
class Entry(Answers):
    """One run on the videos that are compared.

    Args:
        name, right, accuracy: as in ``Answers``.
        rows: its rows in the order of the first run's list.
        run: the run folder.
        figures: what ``metrics.summarise`` gives.
        cost: ``{seconds, network, device}``: measured wall seconds and network seconds a video; ``None`` where no time
            was taken.
    """

    rows: tuple[Row, ...]
    run: Run
    figures: dict
    cost: dict | None

    @property
    def random(self) -> bool:
        """Whether its weights are random."""
        return bool(section(self.run.manifest, "model").get("random"))


Kind = TypeVar("Kind", bound=Answers)


@dataclass(frozen=True, eq=False)
class Pair(Generic[Kind]):
    """B against A: ``difference`` (B minus A), exact ``p``, ``holm`` corrected for all pairs, ``bootstrap`` ends."""

    a: Kind
    b: Kind
    difference: dict
    p: float
    holm: float
    bootstrap: tuple[float, float]
    alone: bool

    @property
    def told_apart(self) -> bool:
        """By the interval where it is the only pair; among several, by the corrected p-value as well."""
        return self.by_interval and (self.alone or self.holm < SURE)

    @property
    def by_interval(self) -> bool:
        """Whether the interval of the difference leaves out 0: B is better or worse than A."""
        return not self.difference["low"] <= 0 <= self.difference["high"]

    @property
    def _units(self) -> str:
        """What the figures count as independent: of five groups no exact p-value is below 0.06, however large."""
        return "groups" if (self.difference["n_groups"] or self.difference["n"]) < self.difference["n"] else "videos"

    @property
    def sentence(self) -> str:
        """The difference in words."""
        value, low, high = (100 * self.difference[name] for name in ("value", "low", "high"))
        words = f"{self.b.name} minus {self.a.name}: {value:+.1f} points [{low:+.1f}, {high:+.1f}], "
        words += f"n={self.difference['n']}"
        if self._units == "groups":
            words += f" in {plural(self.difference['n_groups'], 'group')}"
        if not self.told_apart:
            return f"{words}: not told apart"
        verb = "is" if self.p < SURE else "seems"  # the exact test has its doubts, which ``doubt`` says
        return f"{words}: {(self.b if value > 0 else self.a).name} {verb} better"

    @functools.cached_property
    def doubt(self) -> str:
        """What disagrees with the headline, or how many videos would settle it; empty where nothing does."""
        if self.by_interval != (self.p < SURE):
            one, other = ("the interval leaves out 0", "the exact test does not tell them apart")
            if not self.by_interval:
                one, other = ("the interval holds 0", "the exact test tells them apart")
            return f"{one}, {other} ({intervals.p_words(self.p, 'p')}): too few {self._units} differ to be sure"
        if self.by_interval and not self.told_apart:
            return "told apart alone, but not among so many comparisons"
        if self.told_apart or not self.difference["value"]:
            return ""
        share = (self.difference["only_a"] + self.difference["only_b"]) / self.difference["n"]
        try:
            number = power.paired_number(share, abs(self.difference["value"]))
        except ConfigError:
            return ""
        number = round(number * (self.difference["design_effect"] or 1))
        if number <= self.difference["n"]:  # few groups, not few videos, keep the runs from being told apart
            return ""
        return f"were the true difference the one seen, about {number:,} videos like these would show it 4 times of 5"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that ``scripts/compare.py`` says; see ``compare_runs``.

    Args:
        k: of top-k.
        entries: the runs, in the order given.
        pairs: every pair, or each run against the baseline.
        ensemble: the ensemble with ``weights`` by name, ``members`` on the same videos, ``pair`` with the best of them,
            ``n_fitted`` (0 where weights were given); ``None`` where none was asked for.
        differing: lines of the protocol in which the runs differ.
    """

    k: int
    entries: tuple[Entry, ...]
    pairs: tuple[Pair[Entry], ...]
    ensemble: dict | None
    differing: list[dict]

    def flips(self) -> list[dict]:
        """Videos that one run of a pair has right and the other wrong, pair by pair, in listed order."""
        return [flip for pair in self.pairs for flip in flips_of(pair)]


def compare_runs(
    folders: Sequence[str | Path], *, k: int = 1, baseline: bool = False, ensemble: Sequence[str] = (), seed: int = 0
) -> Comparison:
    """Compare finished runs of the same list.

    Args:
        folders: run folders, two or more.
        k: of top-k accuracy.
        baseline: compare each run with the first one only.
        ensemble: ``("even",)``, ``("fit",)``, or a weight a run: a late fusion of their probabilities as well.
        seed: of the bootstrap, and of the half on which weights are fitted.

    Raises:
        RunError: a folder that is no finished run, or runs of different videos, labels or classes, with what differs.
        ConfigError: options that cannot be.
    """
    if not 2 <= len(folders) <= MOST_RUNS:
        raise ConfigError(f"give 2 to {MOST_RUNS} run folders, not {len(folders)}")
    twice, times = Counter(Path(folder).resolve() for folder in folders).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"{printable(twice, 160)} is given {times} times; a run cannot be compared with itself")
    entries, runs, kept = read_entries(folders, k)
    groups = [row.group for row in entries[0].rows]
    asked = [(entries[0], other) for other in entries[1:]] if baseline else list(combinations(entries, 2))
    pairs = tuple(compare_pairs(asked, groups, seed))
    fused = fuse(entries, runs, kept, groups, ensemble, k, seed) if ensemble else None
    return Comparison(k, tuple(entries), pairs, fused, differing_protocol(runs))


def compare_pairs(pairs: Sequence[tuple[Kind, Kind]], groups: Sequence[str], seed: int) -> list[Pair[Kind]]:
    """Differences, tests and bootstraps of pairs of entries on the same videos."""
    p_values = [intervals.sign_flip_test(a.right, b.right, groups) for a, b in pairs]
    found = []
    for (a, b), p, corrected in zip(pairs, p_values, intervals.holm(p_values)):
        difference = intervals.paired_difference(a.right, b.right, groups)
        ends = intervals.bootstrap_difference(a.right, b.right, groups, seed=seed)
        found.append(Pair(a, b, difference, p, corrected, ends, len(pairs) == 1))
    return found


def _accuracy(right: np.ndarray, groups: Sequence[str]) -> dict:
    found = intervals.clustered_proportion(right, groups)
    assert found, "runs without a video are refused"
    return found


# ---------------------------------------------------------------- reading, and refusing what does not fit


def read_entries(folders: Sequence[str | Path], k: int = 1) -> tuple[list[Entry], list[Run], list[int]]:
    """Finished runs of the same list, and which places of the first one's list are compared.

    Raises:
        RunError: as ``compare_runs``.
        ConfigError: a ``k`` that cannot be.
    """
    runs = [read_finished(folder) for folder in folders]
    names = unique_names(runs)
    ordered = [same_list(runs[0], run) for run in runs]
    kept = [place for place, row in enumerate(ordered[0]) if is_counted(row)]
    if not any(has_label(ordered[0][place]) for place in kept):
        raise RunError(f"{runs[0].folder} lists no video with a label: there is no accuracy to compare")
    held = min(len(run.labels) for run in runs)
    if k != 1 and not 1 < k < held:
        raise ConfigError(f"--k must be 1, or more and below the number of classes, {held}, not {k}")
    groups = [ordered[0][place].group for place in kept]
    entries = []
    for name, run, listed in zip(names, runs, ordered):
        rows = tuple(listed[place] for place in kept)
        right = np.array([is_correct(row, k) for row in rows], bool)
        accuracy = _accuracy(right, groups)
        entries.append(Entry(name, right, accuracy, rows, run, _figures(run), cost_of(run.manifest)))
    return entries, runs, kept


def _figures(run: Run) -> dict:
    found, problem = summarise(run.rows, run.labels), logits_problem(run.folder, run.rows)
    return {**found, "notes": [*found["notes"], *([problem] if problem else [])]}


def read_finished(folder: str | Path, needed: Sequence[str] = ()) -> Run:
    """A run folder with a row for every listed video, and the fields of its manifest that are needed.

    Raises:
        RunError: no run folder, one that is not finished, or one whose rows or manifest are damaged.
    """
    run = read_run(folder)
    refuse_damaged(run, needed)
    if len(run.rows) != run.num_listed:
        raise RunError(
            f"{printable(run.folder)} has {len(run.rows)} of {run.num_listed} rows that can be used; run its command "
            "again to finish it (its report.html shows the command)"
        )
    return run


def unique_names(runs: Sequence[Run]) -> list[str]:
    """Names of the run folders; with the folder above where two are called the same, with a number where need be."""
    folders = [run.folder.resolve() for run in runs]
    often = Counter(folder.name for folder in folders)
    names = [
        printable(folder.name if often[folder.name] == 1 else "/".join(folder.parts[-2:]), 80) for folder in folders
    ]
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names


def same_list(first: Run, other: Run) -> list[Row]:
    """The other run's rows in the first one's order.

    Raises:
        RunError: other classes, videos or labels, with the first that differs.
    """
    where = f"{printable(first.folder)} and {printable(other.folder)}"
    if first.labels != other.labels:
        raise RunError(f"{where} cannot be compared: {_classes_differ(first.labels, other.labels)}")
    ours, theirs = _by_video(first.rows), _by_video(other.rows)
    only_first, only_other = ([key for key in a if key not in b] for a, b in ((ours, theirs), (theirs, ours)))
    if only_first or only_other:
        raise RunError(
            f"{where} list different videos: {_named(only_first)} only in the first, {_named(only_other)} only in the "
            "second; evaluate the same split and subset"
        )
    wrong = [key for key, row in ours.items() if (row.label, row.label_index) != _label(theirs[key])]
    if wrong:
        a, b = (printable(repr(rows[wrong[0]].label), 60) for rows in (ours, theirs))
        raise RunError(
            f"{where} label {plural(len(wrong), 'video')} differently: {printable(wrong[0][0], 80)} is {a} in the "
            f"first, {b} in the second; they were made with different lists"
        )
    return [theirs[key] for key in ours]


def _label(row: Row) -> tuple:
    return row.label, row.label_index


def _by_video(rows: Sequence[Row]) -> dict[tuple[str, int], Row]:
    """Rows by video id, and how often it came before: a list may name a video twice."""
    seen: Counter = Counter()
    found = {}
    for row in rows:
        found[row.video_id, seen[row.video_id]] = row
        seen[row.video_id] += 1
    return found


def _named(keys: Sequence[tuple[str, int]]) -> str:
    return f"{len(keys)} ({printable(keys[0][0], 80)}{', ...' if keys[1:] else ''})" if keys else "none"


def _classes_differ(a: Sequence[str], b: Sequence[str]) -> str:
    if len(a) != len(b):
        return f"the first has {len(a)} classes, the second {len(b)}"
    place = next(place for place, pair in enumerate(zip(a, b)) if pair[0] != pair[1])
    order = "the same classes in another order: class" if sorted(a) == sorted(b) else "class"
    return f"{order} {place} is {printable(a[place], 60)!r} in the first, {printable(b[place], 60)!r} in the second"


def differing_protocol(runs: Sequence) -> list[dict]:
    """The lines of the protocol in which runs differ, as ``{name, values}``, one value a run."""
    tables = [dict(protocol_table(run.manifest)) for run in runs]
    names = list(dict.fromkeys(name for table in tables for name in table))
    lines = [{"name": name, "values": [table.get(name, "") for table in tables]} for name in names]
    return [line for line in lines if len(set(line["values"])) > 1]


def cost_of(manifest: dict) -> dict | None:
    """Measured seconds a video: from end to end without trying things out, and of the network; and on what."""
    timing = section(manifest, "timing")
    seconds, number = section(timing, "seconds"), timing.get("num_videos")
    if not (number and seconds.get("wall")):
        return None
    views = section(manifest, "protocol").get("num_views") or 1
    network = view_seconds(manifest)
    device = timing.get("device_name") or section(manifest, "run").get("device") or ""
    whole = (seconds["wall"] - seconds.get("tuning", 0)) / number
    return {"seconds": whole, "network": network and network * views, "device": str(device)}


# ---------------------------------------------------------------- ensembles


def fuse(entries, runs, kept, groups, asked: Sequence[str], k: int, seed: int) -> dict:
    """Late fusion: the weighted mean of the runs' probabilities.

    A run that skipped a video does not vote on it; a video that all skipped is wrong. Fitted weights minimise the
    negative log-likelihood on a seeded held-out half (by group), and everything is reported on the other half.
    """
    votes = np.empty((len(runs), len(entries[0].rows), len(runs[0].labels)))
    for place, (run, entry) in enumerate(zip(runs, entries)):
        votes[place] = _votes(run, entry, kept)
    labels = np.array([row.label_index for row in entries[0].rows], np.int64)
    inside = np.ones(len(labels), bool)
    weights = np.full(len(entries), 1 / len(entries))
    if tuple(asked) == ("fit",):
        if any(run.manifest.get("label_map") for run in runs):
            raise ConfigError("weights cannot be fitted to runs with mapped labels; give them, or use even")
        held = calibration.held_out_half(groups, seed)
        usable = held & (labels >= 0) & np.isfinite(votes).all((0, 2))
        if not usable.any() or held.all():
            raise ConfigError("there are too few videos, or groups, to hold out half of them for the weights")
        weights, inside = fit_weights(votes[:, usable], labels[usable]), ~held
    elif tuple(asked) != ("even",):
        weights = np.array(given_weights(asked, len(entries)))
    right = fused_right(votes[:, inside], labels[inside], weights, k)
    names = [group for group, keep in zip(groups, inside) if keep]
    voters = [(entry.name, entry.right[inside]) for entry in entries]
    members = [Answers(name, right, _accuracy(right, names)) for name, right in voters]
    both = Answers("ensemble", right, _accuracy(right, names))
    best = max(members, key=lambda member: member.accuracy["value"])
    return {
        "entry": both,
        "weights": {entry.name: float(weight) for entry, weight in zip(entries, weights)},
        "members": members,
        "pair": compare_pairs([(best, both)], names, seed)[0],
        "n_fitted": int(held.sum()) if tuple(asked) == ("fit",) else 0,
        "seed": seed,
    }


def _votes(run: Run, entry: Entry, kept: Sequence[int]) -> np.ndarray:
    """Probabilities (N, K) of the compared videos; NaN where skipped, 0 for classes that a label map left out.

    As float64: in float32 the small ones would be ties at 0, which count against the true class.
    """
    found = np.maximum(probabilities(run.folder, run.manifest, run.rows), 0)
    return found[[row.index for row in entry.rows]]


# ---------------------------------------------------------------- what is said and written


def flips_of(pair: Pair[Entry]) -> list[dict]:
    """Videos that one run of a pair has right and the other wrong, in listed order."""
    found = []
    for place in np.flatnonzero(pair.a.right != pair.b.right):
        a, b = pair.a.rows[place], pair.b.rows[place]
        found.append(
            {
                "run_a": pair.a.name, "run_b": pair.b.name, "right": "b" if pair.b.right[place] else "a",
                "video_id": a.video_id, "path": a.path, "group": a.group, "label": a.label or "",
                **_said("a", a), **_said("b", b),
            }
        )  # fmt: skip
    return found


def classes_of(pairs: Sequence[Pair[Entry]]) -> list[dict]:
    """What each class adds to a difference, pair by pair, the classes with the largest difference first.

    Returns:
        ``{run_a, run_b, label, n, right_a, right_b, value, low, high}``: B minus A on the ``n`` videos of the class, as
        ``intervals.paired_difference`` gives it, not corrected for the number of classes.
    """
    rows = pairs[0].a.rows
    places: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        if row.label_index >= 0:
            places.setdefault(row.label_index, []).append(place)
    found = []
    for pair in pairs:
        lines = [_class_line(pair, np.array(inside)) for inside in places.values()]
        found += sorted(lines, key=lambda line: (-abs(line["value"]), -line["n"], line["label"]))
    return found


def _class_line(pair: Pair[Entry], places: np.ndarray) -> dict:
    a, b, rows = pair.a.right[places], pair.b.right[places], pair.a.rows
    difference = intervals.paired_difference(a, b, [rows[place].group for place in places])
    line = {"run_a": pair.a.name, "run_b": pair.b.name, "label": rows[places[0]].label or "", "n": len(places)}
    line |= {"right_a": int(a.sum()), "right_b": int(b.sum())}
    return line | {name: difference[name] for name in ("value", "low", "high")}


def _said(which: str, row: Row) -> dict:
    label, score = (row.top[0][0], f"{row.top[0][2]:.6g}") if row.top else (row.status, "")
    return {f"said_{which}": label, f"score_{which}": score}


def text(comparison: Comparison) -> str:
    """A few lines for a terminal."""
    lines = [f"top-{comparison.k} of {plural(len(comparison.entries[0].right), 'video')}"]
    width = max(len(entry.name) for entry in comparison.entries)
    for entry in comparison.entries:
        cost = f", {_duration(entry.cost['seconds'])} a video" if entry.cost else ""
        void = ", RANDOM WEIGHTS: NO RESULT" if entry.random else ""
        lines.append(f"  {entry.name:{width}}  {percent(entry.accuracy)}{cost}{void}")
    lines += [f"note  {entry.name}: {note}" for entry in comparison.entries for note in logits_notes(entry.figures)]
    for pair in sorted(comparison.pairs, key=lambda pair: pair.p):
        lines.append(pair.sentence)
        holm = (
            ""
            if pair.alone
            else f", {intervals.p_words(pair.holm)} after Holm's correction for {len(comparison.pairs)} pairs"
        )
        ends = " to ".join(f"{100 * end:+.1f}" for end in pair.bootstrap)
        lines.append(
            f"  only {pair.a.name} right on {pair.difference['only_a']}, only {pair.b.name} on "
            f"{pair.difference['only_b']}; {intervals.p_words(pair.p, 'exact p')}{holm}; bootstrap {ends}"
        )
        lines += [f"  {pair.doubt}"] if pair.doubt else []
    if comparison.ensemble:
        lines += ensemble_lines(comparison.ensemble)
    return "\n".join(lines)


def ensemble_lines(ensemble: dict) -> list[str]:
    """What an ensemble came to, and on which videos."""
    weights = ", ".join(f"{name} {_weight(weight)}" for name, weight in ensemble["weights"].items())
    how = "weights as given"
    if ensemble["n_fitted"]:
        how = f"weights fitted on {ensemble['n_fitted']} videos (seed {ensemble['seed']}), figures from the others only"
    lines = [f"ensemble {percent(ensemble['entry'].accuracy)}, n={ensemble['entry'].accuracy['n']} ({how}: {weights})"]
    return [*lines, f"  {ensemble['pair'].sentence}"]


def _weight(weight: float) -> str:
    """A share of 1 in three decimals; one that is not 0 never reads as 0.

    >>> [_weight(share) for share in (0, 6.02e-08, 0.25, 0.99949, 1)]
    ['0', '< 0.001', '0.25', '0.999', '1']
    """
    return "< 0.001" if 0 < weight < 0.001 else f"{weight:.3f}".rstrip("0").rstrip(".")


def write_comparison(comparison: Comparison, out: str | Path) -> Path:
    """Write ``runs.csv``, ``pairs.csv``, ``classes.csv``, ``flips.csv`` and ``comparison.html``; gives the page's path.

    Raises:
        RunError: the folder cannot be made or written to.
    """
    with results_in(out) as out:
        write_table(out / "runs.csv", [_run_line(entry, comparison.k) for entry in comparison.entries])
        write_table(out / "pairs.csv", [_pair_line(pair) for pair in comparison.pairs])
        write_table(out / "classes.csv", classes_of(comparison.pairs))
        write_table(out / "flips.csv", comparison.flips(), FLIP_COLUMNS)
        page = render(page_content(comparison), "compare.html.j2")
        with atomic_writer(out / "comparison.html", "w") as file:
            file.write(page)
    return out / "comparison.html"


FLIP_COLUMNS = (
    "run_a",
    "run_b",
    "right",
    "video_id",
    "path",
    "group",
    "label",
    "said_a",
    "score_a",
    "said_b",
    "score_b",
)


def _run_line(entry: Entry, k: int) -> dict:
    """A line of ``runs.csv``: from ``value`` to ``design_effect`` of top-``top_k``, the others always of top-1."""
    figures, cost = entry.figures, entry.cost or {}
    line: dict = {"run": entry.name, "model": str(section(entry.run.manifest, "model").get("name") or "")}
    line["top_k"] = k
    line |= {name: entry.accuracy[name] for name in ("value", "low", "high", "k", "n", "n_groups", "design_effect")}
    line |= {"mean_class_accuracy": figures["mean_class_accuracy"]["listed"], "macro_f1": figures["macro_f1"]}
    line |= {"n_skipped": figures["n_skipped"], "random_weights": str(entry.random).lower()}
    verdict = _verdict(entry) or {}
    line |= {"verdict": verdict.get("verdict"), "published": verdict.get("id"), "published_top1": verdict.get("top1")}
    return line | {name: cost.get(name) for name in ("seconds", "network", "device")}


def _verdict(entry: Entry) -> dict | None:
    run = entry.run
    return closest_verdict(run.folder, run.manifest, run.rows, entry.figures)


def _pair_line(pair: Pair) -> dict:
    line = {"run_a": pair.a.name, "run_b": pair.b.name, **pair.difference}
    line |= {"p": pair.p, "p_holm": pair.holm, "bootstrap_low": pair.bootstrap[0], "bootstrap_high": pair.bootstrap[1]}
    return line | {"told_apart": str(pair.told_apart).lower()}


def page_content(comparison: Comparison) -> dict:
    """Everything that the page of a comparison shows, as plain values."""
    entries = sorted(comparison.entries, key=lambda entry: -entry.accuracy["value"])
    numbers = {entry.name: place for place, entry in enumerate(entries, start=1)}
    flips = flips_of(comparison.pairs[0]) if len(comparison.pairs) == 1 else []
    return {
        "k": comparison.k,
        "entries": [
            {
                "number": numbers[entry.name],
                "name": entry.name,
                "model": str(section(entry.run.manifest, "model").get("name") or ""),
                "accuracy": entry.accuracy,
                "mean_class": entry.figures["mean_class_accuracy"]["listed"],
                "macro_f1": entry.figures["macro_f1"],
                "random": entry.random,
                "cost": entry.cost,
                "verdict": _verdict(entry),
                "cautions": [item for item in cautions(entry.run.manifest, entry.figures) if item["kind"] != "note"],
            }
            for entry in entries
        ],
        "data": _data_words(comparison.entries[0]),
        "pairs": sorted(comparison.pairs, key=lambda pair: pair.p),
        "plot": cost_plot(entries),
        "classes": classes_of(comparison.pairs) if len(comparison.pairs) == 1 else [],
        "flips": flips[:FLIPS_SHOWN],
        "num_flips": len(flips),
        "ensemble": comparison.ensemble,
        "ensemble_lines": ensemble_lines(comparison.ensemble) if comparison.ensemble else [],
        "differing": comparison.differing,
        "names": [entry.name for entry in comparison.entries],
    }


def _data_words(entry: Entry) -> str:
    dataset = section(entry.run.manifest, "dataset")
    name = f"{dataset.get('name') or ''} {dataset.get('split') or ''}"
    return clean(f"{name}, {plural(len(entry.right), 'video')}".strip())


def cost_plot(entries: Sequence) -> dict | None:
    """Accuracy against measured wall seconds a video (log scale), as places in percent of the drawing.

    Args:
        entries: have ``name``, ``cost``, ``accuracy`` and ``random`` as an ``Entry`` has; numbered in this order.

    Returns:
        ``{points: [{number, name, x, y, low, high}], x_ticks, y_ticks, devices}``; ``None`` with fewer than two costs.
    """
    known = [(number, entry) for number, entry in enumerate(entries, start=1) if entry.cost and not entry.random]
    if len(known) < 2:
        return None
    costs = np.array([entry.cost["seconds"] for _, entry in known])
    ends = [end for _, entry in known for end in (entry.accuracy["low"], entry.accuracy["high"])]
    left, right = np.floor(np.log10(costs.min())), np.ceil(np.log10(costs.max()) + 1e-9)
    low, high = max(0.0, np.floor(10 * min(ends)) / 10), min(1.0, np.ceil(10 * max(ends)) / 10)

    def across(seconds: float) -> float:
        return float(100 * (np.log10(seconds) - left) / (right - left))

    def up(value: float) -> float:
        return float(100 - 100 * (value - low) / (high - low))

    points = [
        {
            "number": number,
            "name": entry.name,
            "x": across(entry.cost["seconds"]),
            **{name: up(entry.accuracy[key]) for name, key in (("y", "value"), ("low", "low"), ("high", "high"))},
        }
        for number, entry in known
    ]
    ticks = [10.0**power for power in range(int(left), int(right) + 1)]
    steps = np.arange(round(10 * low), round(10 * high) + 1) / 10
    return {
        "points": points,
        "x_ticks": [{"at": across(seconds), "text": _duration(seconds)} for seconds in ticks],
        "y_ticks": [{"at": up(value), "text": f"{100 * value:.0f} %"} for value in steps],
        "devices": sorted({entry.cost["device"] for _, entry in known}),
    }


def _duration(seconds: float) -> str:
    """``10 ms``, ``1.25 s``."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
