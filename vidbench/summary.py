"""What a run came to, in a few lines for a terminal or a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vidbench import protocol
from vidbench.data import ledger as ledgers
from vidbench.manifest_words import protocol_words
from vidbench.metrics import percent, summary_line
from vidbench.page.cautions import cautions
from vidbench.records import PREDICTED
from vidbench.runs import section
from vidbench.stage_times import bottleneck_words
from vidbench.utils import plural, printable


def summary_text(manifest: dict, metrics: dict, page: Path | None = None, *, timing: dict | None = None) -> str:
    """What a run came to, in at most 12 lines for a terminal or a log.

    Args:
        manifest: the content of ``manifest.json``.
        metrics: as ``metrics.summarise`` gives it.
        page: path of the report, named in the last line.
        timing: stage seconds, where they are not in the manifest.
    """
    model, dataset = section(manifest, "model"), section(manifest, "dataset")
    top5, classes = metrics["listed"].get("top5"), metrics["mean_class_accuracy"]
    lines = [
        f"model      {model.get('name', 'unknown')}",
        f"data       {_data_words(dataset, metrics)}",
        f"protocol   {protocol_words(manifest)}",
        summary_line(metrics),
    ]
    lines += [f"top-5 {percent(top5)}"] if top5 else []
    sure = _sure_words(metrics)
    if classes["listed"] is not None:
        number = plural(classes["n_classes_listed"], "class", "classes")
        sure.insert(0, f"mean class accuracy {100 * classes['listed']:.1f} % over {number}")
    lines += ["; ".join(sure)] if sure else []
    lost = [_status_words(metrics), ledgers.bounds_words(metrics.get("ledger") or {})]
    lines += [f"{'skipped ' if lost[0] else 'coverage'}   {'; '.join(filter(None, lost))}"] if any(lost) else []
    lines += [f"verdict    {words}" for words in verdict_words(metrics.get("published"))]
    lines += [f"speed      {words}" for words in bottleneck_words(manifest, timing)]
    warned = [note for note in cautions(manifest, metrics) if note["in_summary"]]
    lines += [f"{note['title'].upper()}: {note['text']}" for note in warned if note["kind"] == "stop"]
    milder = "; ".join(f"{note['title'].lower()}: {note['text']}" for note in warned if note["kind"] != "stop")
    lines += [f"note       {milder}"] if milder else []
    lines += [f"report     {page}"] if page else []
    return "\n".join(printable(line, 800) for line in lines)


def verdict_words(found: Sequence[dict] | None) -> list[str]:
    """The verdict on the published result whose protocol is closest, in one line; none where nothing was published."""
    if not found:
        return []
    more = f" ({plural(len(found) - 1, 'more verdict', 'more verdicts')} in the report)" if len(found) > 1 else ""
    return [protocol.sentence(found[0]) + more]


def _sure_words(metrics: dict) -> list[str]:
    """The interval that knows groups, and what the probabilities are worth; nothing where neither is known."""
    clustered, found = (metrics.get("clustered") or {}).get("top1"), metrics.get("calibration")
    words = []
    if clustered:
        low, high = 100 * clustered["low"], 100 * clustered["high"]
        words += [f"top-1 [{low:.1f}, {high:.1f}] with its {plural(clustered['n_groups'], 'group')} in mind"]
    if found:
        more = f", NLL {found['nll']:.3f}, Brier {found['brier']:.3f}" if found["nll"] is not None else ""
        words += [f"calibration error {100 * found['ece']:.1f} %{more}"]
    return words


def _data_words(dataset: dict, metrics: dict) -> str:
    words = f"{dataset.get('name', 'unknown')} {dataset.get('split') or ''}".strip()
    words += f", fold {dataset['fold']}" if dataset.get("fold") else ""
    partial = f", {metrics['n_partial']} of them in part" if metrics["n_partial"] else ""
    return f"{words}: {plural(metrics['n_listed'], 'video')} listed, {metrics['n_ok']} read{partial}"


def _status_words(metrics: dict) -> str:
    skipped = {name: count for name, count in metrics["statuses"].items() if name not in PREDICTED}
    return ", ".join(f"{count} {name}" for name, count in sorted(skipped.items(), key=lambda item: (-item[1], item[0])))
