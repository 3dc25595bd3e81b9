"""The videos of a dataset, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ipywidgets

from vidbench import visualize
from vidbench.cells import middle_frame, record_html, sentence, text
from vidbench.panels.choosing import ANY, Chooser, filter_for
from vidbench.panels.panel import Panel, panel_of_words, side_by_side
from vidbench.records import VideoRecord
from vidbench.utils import plural, printable


def dataset_browser(records: Sequence[VideoRecord], root: str | Path) -> Panel:
    """The videos of a dataset, by class, split and status, each in a player with its facts.

    Args:
        records: as ``vidbench.data.index.load_records`` gives them.
        root: the folder that their paths are relative to.
    """
    records, root = tuple(records), Path(root)
    if not records:
        words = sentence("There is no video to show: the list is empty.")
        return panel_of_words(words)
    kinds = {"label": "class", "split": "split", "status": "status"}
    filters = {}
    for name, words in kinds.items():
        values = {getattr(record, name) for record in records} - {None, ""}
        first = {record.label: record.label_index for record in records} if name == "label" else {}
        filters[name] = filter_for(words, sorted(values, key=lambda value: (first.get(value, 0), value)))
    stage = ipywidgets.HTML()

    def find() -> list:
        wanted = {name: control.value for name, control in filters.items() if control.value != ANY}
        fits = [r for r in records if all(getattr(r, name) == value for name, value in wanted.items())]
        return [(_record_words(record), record) for record in fits]

    def show(record: VideoRecord | None) -> None:
        stage.value = "<p>No video fits these filters.</p>" if record is None else record_html(record, root)

    chooser = Chooser(find, list(filters.values()), show)
    chooser.refill()
    body = side_by_side(chooser.box, stage)
    return Panel([body], lambda: _dataset_fallback(records, root))


def _record_words(record: VideoRecord) -> str:
    mark = "" if record.status == "ok" else f" [{record.status}]"
    return f"{printable(record.label or 'no label', 40)}: {printable(record.video_id, 60)}{mark}"


def _dataset_fallback(records: tuple[VideoRecord, ...], root: Path):
    labels = list(dict.fromkeys(record.label or "no label" for record in records))
    count = dict.fromkeys(labels, 0)
    for record in records:
        count[record.label or "no label"] += 1
    usable = [record for record in records if record.status == "ok"]
    firsts = list({record.label: record for record in reversed(usable)}.values())[::-1][:12]
    shown = ", ".join(f"{label} {count[label]}" for label in labels[:12]) + (", ..." if len(labels) > 12 else "")
    classes = plural(len(labels), "class", "classes")
    words = f"<p>{plural(len(records), 'video')}, {len(usable)} usable, {classes}: {text(shown, 600)}</p>"
    pictures = [(printable(record.label or "no label", 40), middle_frame(root / record.path)) for record in firsts]
    pictures = [(label, frame) for label, frame in pictures if frame is not None]
    if not pictures:
        return words, None, ""
    titles, images = zip(*pictures)
    return words, visualize.contact_sheet(images, titles, columns=6), ""
