"""Whether a run gives what was published: one of four words for each published result, and why.

Every word is about top-1 accuracy over all videos of the split, and about the row of ``vidbench.published``.

``NOT COMPARABLE``
    A part of the protocol is known to differ: dataset, split, fold, classes, weights, number of videos (by more than
    5 %), input, views, averaging, or a change of time or pictures. Each is named, with both values. Nothing is said
    about figures.
``NOT REPRODUCED``
    Nothing is known to differ, and the published figure lies outside the interval of the run.
``CONSISTENT``
    Nothing is known to differ, and the published figure lies inside the interval, which may be wide: a subset or a copy
    with gaps can say no more than this. What keeps it from being reproduced is named.
``REPRODUCED``
    The source states the whole protocol and the run has it; the whole split was listed; the figure lies inside the
    interval and within ``TOLERANCE`` of the run's, even if all videos that could not be read were wrong, or all right.

*The interval* is the run's 95 % interval, the one that knows groups where there are groups, from its low end with every
unread video wrong to its high end with every unread one right. A published figure stands for all numbers that round to
it. ``TOLERANCE`` is half a point: what the interval of the largest split, 20,000 videos, spans to one side. Decoder,
precision and copy of the videos are no part of a published protocol; what they change has to fit into it.

A field that the source does not state can neither differ nor agree; for the number of videos, the sizes on the
dataset's card stand then (``catalog.split_sizes``). Strides are counted at 30 frames per second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from vidbench.data.catalog import split_sizes
from vidbench.intervals import wilson_of_share
from vidbench.published import Published, find_result, recorded_with, results_of
from vidbench.runs import section
from vidbench.utils import as_tuple, plural

REPRODUCED, CONSISTENT = "REPRODUCED", "CONSISTENT"
NOT_REPRODUCED, NOT_COMPARABLE = "NOT REPRODUCED", "NOT COMPARABLE"
TOLERANCE = 0.005  # of an accuracy in [0, 1]
OTHER_COPY = 0.05  # share of videos by which two copies of a split may differ
# Names of the sampling rules in ``InputSpec`` → what papers tell apart.
SAMPLING = {"clips": "dense", "clips_from_start": "dense"}


def targets(manifest: Mapping) -> tuple[Published, ...]:
    """What a run is compared with: the result that ``--target`` named, or all about the weights of its card.

    Raises:
        ConfigError: a manifest that names a result which this version does not know.
    """
    asked = section(manifest, "protocol").get("target")
    if asked:
        return (find_result(str(asked)),)
    name = str(section(manifest, "model").get("name"))
    return (*results_of(name), *recorded_with(name))


def verdicts(manifest: Mapping, metrics: Mapping, ledger: Mapping | None) -> list[dict]:
    """A verdict for each published result of the run's weights, the closest protocol first.

    Args:
        manifest: of the run.
        metrics: as ``metrics.summarise`` gives it.
        ledger: as ``data.ledger.summarise_ledger`` gives it; ``None`` stands for a list without gaps.

    Returns:
        ``{verdict, id, model, on, top1, digits, protocol, source, source_kind, verified, value, low, high, n,
        n_unread, differs, not_stated, limits}``: ``top1`` and everything else is a fraction in [0, 1]; ``low`` and
        ``high`` the interval as the module defines it, ``None`` without an accuracy; ``differs`` as ``{field,
        published, run}`` in words; ``not_stated`` names of fields; ``limits`` sentences on what else keeps the figure
        from being reproduced.
    """
    found = [_verdict(row, manifest, metrics, ledger or {}) for row in targets(manifest)]
    return sorted(found, key=lambda one: (len(one["differs"]), len(one["not_stated"])))


def _verdict(row: Published, manifest: Mapping, metrics: Mapping, ledger: Mapping) -> dict:
    ours = interval(metrics, ledger)
    differs, not_stated = compare_protocols(row, manifest)
    number, unknown, limits = videos(row, manifest, metrics, ledger)
    differs, not_stated = differs + number, not_stated + unknown
    if section(manifest, "protocol").get("target") and not section(manifest, "model").get("published"):
        limits.append("the weights are taken for those of the result, because --target says so")
    low, high = ours["low"], ours["high"]
    if low is None:
        why = "no listed video has a label" if ours["value"] is None else "a sample of a partial copy"
        differs.append(_difference("accuracy", "known", f"not known ({why})"))
    top1, rounding = row.top1 / 100, 0.5 * 10 ** -(row.digits + 2) + 1e-9
    inside = low is not None and low - rounding <= top1 <= high + rounding
    near = inside and all(abs(end - top1) <= TOLERANCE + rounding for end in ours["bounds"])
    if inside and not near and not differs:
        limits.append(_far(top1, ours))
    if differs:
        word = NOT_COMPARABLE
    elif not inside:
        word = NOT_REPRODUCED
    else:
        word = CONSISTENT if limits or not_stated else REPRODUCED
    facts = {name: getattr(row, name) for name in ("id", "model", "on", "digits", "protocol", "source", "source_kind")}
    found = {name: ours[name] for name in ("value", "low", "high", "n", "n_unread")}
    return {
        "verdict": word, **facts, "verified": row.verified, "top1": round(top1, 6), **found,
        "differs": differs, "not_stated": not_stated, "limits": limits,
    }  # fmt: skip


def _far(top1: float, ours: Mapping) -> str:
    if ours["n_unread"] and ours["bounds"][1] - ours["bounds"][0] > TOLERANCE:
        return f"{ours['n_unread']} of {ours['n']} videos were not read"
    gap = max(abs(end - top1) for end in ours["bounds"])
    words = f"{100 * gap:.1f}" if 100 * gap >= 0.55 else f"{100 * gap:.3f}"  # never the 0.5 that it is more than
    return f"the figures are {words} points apart, more than the {100 * TOLERANCE:g} that would reproduce it"


def interval(metrics: Mapping, ledger: Mapping) -> dict:
    """The accuracy of a run with its interval, stretched to what the videos that were not read could do.

    Returns:
        ``{value, low, high, bounds, n, n_unread}``, fractions; ``low``, ``high`` and ``bounds`` are ``None`` where
        nothing bounds the accuracy over the annotated videos, and all but ``n_unread`` where there is no accuracy.
    """
    plain = section(metrics, "listed").get("top1")
    if plain is None:
        return {"value": None, "low": None, "high": None, "bounds": None, "n": None, "n_unread": 0}
    best = (metrics.get("clustered") or {}).get("top1") or plain
    value, n = plain["value"], plain["n"]
    if ledger and ledger.get("bounds") is None:
        return {"value": value, "low": None, "high": None, "bounds": None, "n": n, "n_unread": 0}
    bounds = ledger.get("bounds") or {"low": value, "high": value, "n": n, "n_read": n}
    unread = bounds["n"] - bounds["n_read"]
    low, high = best["low"], best["high"]
    if unread:  # a share near 0 or 1 is surer than one between, so that each end has its own interval as well
        number = bounds["n"] / (best.get("design_effect") or 1)
        ends = wilson_of_share(bounds["low"], number)[0], wilson_of_share(bounds["high"], number)[1]
        low = max(0.0, min(low, bounds["low"] - (value - best["low"]), ends[0]))
        high = min(1.0, max(high, bounds["high"] + (best["high"] - value), ends[1]))
    ends = (bounds["low"], bounds["high"]) if unread else (value, value)
    return {"value": value, "low": low, "high": high, "bounds": ends, "n": bounds["n"], "n_unread": unread}


# ---------------------------------------------------------------- which videos


def videos(
    row: Published, manifest: Mapping, metrics: Mapping, ledger: Mapping
) -> tuple[list[dict], list[str], list[str]]:
    """What differs in the videos themselves, what is not stated of them, and what of them keeps a figure from being
    reproduced."""
    dataset, differs, not_stated, limits = section(manifest, "dataset"), [], [], []
    listed, annotated = dataset.get("n_listed"), ledger.get("n_annotated") or metrics["n_listed"]
    if isinstance(listed, int) and metrics["n_listed"] < listed:
        differs.append(_difference("videos", "the whole split", f"{metrics['n_listed']} of {listed} rows so far"))
    if dataset.get("classes"):
        number = len(dataset["classes"])
        differs.append(_difference("classes", "all", f"{number} of them"))
    elif sizes := _sizes(row, dataset):
        differs, limits = differs + _other_number(row, sizes, annotated), _other_copy(row, sizes, annotated)
    elif _same_split(row, dataset):
        not_stated.append("number of videos")
    return differs, not_stated, [*limits, *_parts(manifest, metrics)]


def _sizes(row: Published, dataset: Mapping) -> tuple[int, ...]:
    """Numbers of videos that are the whole split: the published one, else those that its dataset's card knows.

    Empty where none is known, and where the run is of another dataset or split, which differs anyway.
    """
    if row.num_videos:
        return (row.num_videos,)
    if not _same_split(row, dataset):
        return ()
    fold = row.fold if row.fold.isdigit() else dataset.get("fold")
    return split_sizes(row.dataset, str(dataset.get("split") or ""), fold)


def _same_split(row: Published, dataset: Mapping) -> bool:
    return row.dataset == dataset.get("name") and row.split in ("", dataset.get("split"))


def _other_number(row: Published, sizes: Sequence[int], annotated: int) -> list[dict]:
    if any(abs(size - annotated) <= OTHER_COPY * size for size in sizes):
        return []
    whole = f"{row.num_videos:,} videos" if row.num_videos else f"the whole split ({sizes[0]:,} videos)"
    return [_difference("videos", whole, f"{annotated:,} videos")]


def _other_copy(row: Published, sizes: Sequence[int], annotated: int) -> list[str]:
    if annotated in sizes or _other_number(row, sizes, annotated):
        return []
    whole = f"published for {sizes[0]:,}" if row.num_videos else f"the whole split has {sizes[0]:,}"
    return [f"another copy of the split: {annotated:,} videos, {whole}"]


def _parts(manifest: Mapping, metrics: Mapping) -> list[str]:
    dataset, limits = section(manifest, "dataset"), []
    if dataset.get("limit"):
        limits.append(f"a subset of {dataset['limit']:,} videos")
    if dataset.get("shard"):
        limits.append("one shard of the list")
    if any(not part.get("shard") for part in section(manifest, "merged").get("parts") or ()):
        limits.append("a union of parts, which may not be the whole split")
    if nonfinite := (metrics.get("statuses") or {}).get("nonfinite"):
        limits.append(f"the network gave NaN or infinity for {plural(nonfinite, 'video')}, counted as wrong")
    return limits


# ---------------------------------------------------------------- field by field


def compare_protocols(row: Published, manifest: Mapping) -> tuple[list[dict], list[str]]:
    """Fields of the protocol that differ, as ``{field, published, run}`` in words, and those that nobody states."""
    differs, not_stated = [], []
    for name, theirs, ours, same in _fields(row, manifest):
        if same is None:
            not_stated.append(name)
        elif not same:
            differs.append(_difference(name, theirs, ours))
    return differs, not_stated


def _difference(field: str, published: str, run: str) -> dict:
    return {"field": field, "published": published, "run": run}


def _fields(row: Published, manifest: Mapping) -> list[tuple[str, str, str, bool | None]]:
    """``(field, published, run, whether they agree)``; ``None`` where the source does not say."""
    found = [*_data_fields(row, manifest), *_weight_fields(row, manifest)]
    method = section(manifest, "decode").get("flow")
    if "flow" in row.modality and method:  # all published figures with motion are of TV-L1
        found.append(("optical flow", "tvl1", str(method), str(method).startswith("tvl1")))
    return [*found, *_input_fields(row, section(manifest, "spec"))]


def _data_fields(row: Published, manifest: Mapping) -> list[tuple]:
    dataset, label_map = section(manifest, "dataset"), section(manifest, "label_map")
    ours = f"{dataset.get('name') or ''} {dataset.get('split') or ''}".strip()
    same_set = row.dataset == dataset.get("name")
    same = None if same_set and not row.split else same_set and row.split == dataset.get("split")
    found = [("dataset" if not same_set else "split", row.on, ours, same)]
    if same and (fold := dataset.get("fold")):
        theirs = {"mean": "mean of all folds"}.get(row.fold, row.fold)
        found.append(("fold", theirs, str(fold), str(fold) == row.fold if row.fold else None))
    if label_map:
        without = label_map.get("n_unmapped") or len(label_map.get("unmapped") or ())
        agree = False if without else None  # a map was used by others too, perhaps another one
        found.append(("classes", "the dataset's", f"mapped, {without} without a counterpart", agree))
    return found


def _weight_fields(row: Published, manifest: Mapping) -> list[tuple]:
    model = section(manifest, "model")
    if model.get("random"):
        return [("weights", row.model, "random", False)]
    if model.get("published") is False and not section(manifest, "protocol").get("target"):
        return [("weights", row.model, "not known to be these (--target ID takes them as such)", False)]
    return []


def _input_fields(row: Published, spec: Mapping) -> list[tuple]:
    clips, crops = spec.get("num_clips") or 1, spec.get("num_crops") or 1
    sampling = SAMPLING.get(str(spec.get("sampling")), spec.get("sampling"))
    pairs = [
        ("modality", row.modality, spec.get("modality") or "rgb"),
        ("sampling", row.sampling, sampling),
        ("frames of a view", row.num_frames, spec.get("num_frames")),
        *([("frame rate", row.rate, spec.get("frame_rate"))] if sampling in ("dense", "stream") else []),
        ("clips", row.num_clips, clips),
        ("crops", row.num_crops, crops),
        ("resize", row.resize, as_tuple(spec.get("resize"))),
        *((name, _square(getattr(row, name)), _square(as_tuple(spec.get(name)))) for name in ("crop", "mean", "std")),
    ]
    if (clips, crops) != (1, 1):
        pairs += [("averaging", row.average, spec.get("average")), ("level", row.level, "video")]
    found = [(name, _words(a), _words(b), _agree(a, b)) for name, a, b in pairs]
    if row.resize and len(row.resize) != len(as_tuple(spec.get("resize"))):  # a short side is no stretched picture
        found = [(name, a, b, False if name == "resize" else same) for name, a, b, same in found]
    changed = [(name, "none", str(spec[name]), False) for name in ("temporal", "corrupt") if spec.get(name)]
    return found + changed


def _square(value: Sequence) -> tuple:
    """One number for several equal ones: ``224`` is a crop of 224 x 224, and a mean of all channels."""
    return tuple(value[:1]) if value and all(item == value[0] for item in value) else tuple(value)


def _agree(published, ours) -> bool | None:
    """Numbers agree to 1 %, pixels and colours to 0.002; ``None`` where nothing was published."""
    if published in (None, "", ()):
        return None
    if isinstance(published, tuple):
        if not all(isinstance(value, (int, float)) for value in ours):
            return False
        published = published * len(ours) if len(published) == 1 else published
        return len(published) == len(ours) and all(abs(a - b) <= 0.002 for a, b in zip(published, ours))
    if isinstance(published, float):
        return isinstance(ours, (int, float)) and math.isclose(published, ours, rel_tol=0.01)
    return published == ours


def _words(value) -> str:
    if value in (None, "", ()):
        return "not stated"
    if isinstance(value, tuple):
        return " x ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---------------------------------------------------------------- in words


def sentence(verdict: Mapping) -> str:
    """A verdict in one line.

    >>> sentence({"verdict": "NOT REPRODUCED", "top1": 0.632, "digits": 1, "on": "kinetics400 val", "source": "a page",
    ...           "value": 0.5, "low": 0.49, "high": 0.51, "n": 20000, "n_unread": 0, "differs": [], "not_stated": [],
    ...           "limits": []})
    'NOT REPRODUCED: published 63.2 % on kinetics400 val (a page) lies outside [49.0, 51.0]'
    """
    figure = f"published {100 * verdict['top1']:.{verdict['digits']}f} % on {verdict['on']} ({verdict['source']})"
    if verdict["verdict"] == NOT_COMPARABLE:
        return f"{NOT_COMPARABLE} with {figure}: {'; '.join(map(difference_words, verdict['differs']))}"
    ends = f"[{100 * verdict['low']:.1f}, {100 * verdict['high']:.1f}]"
    words = f"{verdict['verdict']}: {figure} lies {'outside' if verdict['verdict'] == NOT_REPRODUCED else 'in'} {ends}"
    if verdict["n_unread"]:
        words += f", {verdict['n_unread']} unread videos taken as wrong, as right"
    if verdict["verdict"] == REPRODUCED:
        return f"{words}, same protocol, whole split"
    why = [*verdict["limits"]]
    if verdict["not_stated"]:
        why.append(f"the source does not state {listed(verdict['not_stated'])}")
    return words + (f"; {'; '.join(why)}" if why else "")


def difference_words(difference: Mapping) -> str:
    """``clips 5, here 1``."""
    return f"{difference['field']} {difference['published']}, here {difference['run']}"


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
