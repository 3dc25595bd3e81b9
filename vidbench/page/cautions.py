"""What a reader must know before believing the figures of a run."""

from __future__ import annotations

from vidbench import scores
from vidbench.data import catalog
from vidbench.data.classes import mirrored_name
from vidbench.manifest_words import value_words
from vidbench.metrics import percent
from vidbench.runs import section
from vidbench.utils import plural

SHORT_LIST = 0.95  # a list with a smaller share of the split's videos is a part of it, not another copy


def cautions(manifest: dict, metrics: dict) -> list[dict]:
    """What stands between the figures and a conclusion: ``{kind, title, text, in_summary}``, gravest first."""
    model, dataset, protocol = (section(manifest, name) for name in ("model", "dataset", "protocol"))
    found: list[dict] = []

    def add(kind: str, title: str, text: str, in_summary: bool = True) -> None:
        found.append({"kind": kind, "title": title, "text": text, "in_summary": in_summary})

    if model.get("random"):
        what = "the last layer is new and random" if model.get("new_head") else "the weights are random"
        add("stop", "No result", f"{what}; the figures only show that the pipeline runs")
    elif model.get("published") is False:
        add("warn", "Other weights", "not those of the model's card; its published figures do not speak of them")
    listed = dataset.get("n_listed")
    if isinstance(listed, int) and metrics["n_listed"] < listed:
        add("stop", "Not finished", f"only {metrics['n_listed']} of {listed} listed videos have a row so far")
    if protocol.get("on_card") is False:
        add("warn", "Off card", f"{_changed_words(protocol)}; not comparable with the card's published figure")
    if dataset.get("limit"):
        of = f" of {dataset['n_in_split']}" if dataset.get("n_in_split") else ""
        parts = section(manifest, "merged").get("parts")
        how = f"those of {len(parts)} runs that were merged" if parts else f"drawn with seed {dataset.get('seed')}"
        add("warn", "Subset", f"{plural(metrics['n_listed'], 'video')}{of}, {how}")
    if dataset.get("shard"):
        number, of = dataset["shard"]
        listed = plural(dataset.get("n_in_list"), "video")
        text = f"part {number} of {of} of a list of {listed}; scripts/merge.py joins the parts"
        add("warn", "Shard", text)
    if dataset.get("present_only"):
        add("warn", "Partial copy", "only videos that are present were listed; absent ones are not in the count")
    elif short := _short_list(dataset):
        add("warn", "Part of a list", short)
    if dataset.get("classes"):
        add("warn", "Some classes", f"only videos of {plural(len(dataset['classes']), 'class', 'classes')} were listed")
    if section(manifest, "spec").get("num_crops") == 10 and (turned := _turned_classes(manifest)):
        text = f"five of the ten crops are mirrored, and a mirrored '{turned[0]}' shows '{mirrored_name(turned[0])}'"
        more = f" ({len(turned)} classes name left or right)" if len(turned) > 1 else ""
        add("warn", "Mirrored crops", f"{text}{more}; --num-crops 3 mirrors none")
    if manifest.get("label_map"):
        missing = metrics["unmapped"]
        words = f"{plural(len(missing), 'class', 'classes')} of the data without" if missing else "all with"
        add(
            "warn",
            "Mapped labels",
            f"the model's classes were mapped to the data's, {words} a counterpart",
            bool(missing),
        )
    if metrics["n_groups"] and metrics["largest_group"] > 1:
        text = f"the videos come from {metrics['n_groups']} sources (groups), up to {metrics['largest_group']} from "
        text += "one, and are alike; Wilson's intervals take videos as independent and are too narrow"
        clustered = (metrics.get("clustered") or {}).get("top1")
        text += f", the one that knows groups is {percent(clustered)} for top-1" if clustered else ""
        add("note", "Related videos", text, False)
    broken = scores.logits_notes(metrics)
    for note in broken:
        add("warn", "Logits", note[:1].lower() + note[1:].rstrip("."))
    for note in metrics["notes"]:
        if note not in broken:
            add("note", "Left out", note.rstrip("."), False)
    return found


def _short_list(dataset: dict) -> str:
    """That a list is clearly shorter than the split as its dataset's card knows it; empty where it is not."""
    name, split = str(dataset.get("name")), str(dataset.get("split") or "")
    number = dataset.get("n_in_split") or dataset.get("n_in_list") or dataset.get("n_listed")
    known = catalog.split_sizes(name, split, dataset.get("fold"))
    if dataset.get("classes") or not known or not isinstance(number, int) or number >= SHORT_LIST * min(known):
        return ""
    return f"{number:,} videos are listed, and {name} {split} has {known[0]:,}"


def _turned_classes(manifest: dict) -> list[str]:
    """The classes of the videos that were listed whose names say left or right."""
    labels = section(manifest, "dataset").get("classes") or manifest.get("labels")
    return [label for label in map(str, labels if isinstance(labels, list) else ()) if mirrored_name(label) != label]


def _changed_words(protocol: dict) -> str:
    changed = section(protocol, "changed")
    if not changed:
        return "the input differs from the model's card"
    parts = []
    for name, values in changed.items():
        card, used = values if isinstance(values, (list, tuple)) and len(values) == 2 else ("?", values)
        parts.append(f"{name} {value_words(used)} instead of {value_words(card)}")
    return "input differs from the model's card: " + ", ".join(parts)
