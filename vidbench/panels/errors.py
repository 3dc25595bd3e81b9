"""The mistakes of a run, to look at and to judge."""

from __future__ import annotations

from pathlib import Path

import ipywidgets

from vidbench import review, visualize
from vidbench.cells import accuracy_html, middle_frame, row_html, sentence, table, text
from vidbench.panels.choosing import ANY, Chooser, filter_for
from vidbench.panels.panel import Panel, panel_of_words, side_by_side
from vidbench.records import Row, VidbenchError
from vidbench.utils import printable


def error_browser(run_folder: str | Path, root: str | Path) -> Panel:
    """The mistakes of a run, to look at and to judge.

    Verdicts are saved in the run folder the moment a button is pressed (``vidbench.review``), and the accuracy with
    them taken into account stands beside the run's own.

    Args:
        run_folder: of a finished or begun evaluation.
        root: the folder that the videos' paths are relative to.

    Returns:
        The panel; a sentence where the run folder cannot be read.
    """
    try:
        run = review.read_run(run_folder)
        verdicts = review.read_verdicts(run)
    except VidbenchError as problem:
        words = sentence(problem)
        return panel_of_words(words)
    return _ErrorBrowser(run, Path(root), verdicts).panel


class _ErrorBrowser:
    """The widgets of ``error_browser`` and what they do."""

    def __init__(self, run: review.Run, root: Path, verdicts: dict):
        self.run, self.root, self.verdicts = run, root, verdicts
        self.accuracy, self.stage, self.status = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.shown = ipywidgets.Dropdown(options=[(w, n) for n, w in review.SHOWN.items()], description="which")
        self.order = ipywidgets.Dropdown(options=[(w, n) for n, w in review.ORDERS.items()], description="order")
        present = {row.label for row in run.rows}
        self.label = filter_for("class", [label for label in run.labels if label in present])
        self.chooser = Chooser(self.find, [self.shown, self.order, self.label], self.show)
        self.seen = ipywidgets.Dropdown(
            options=[("not named", ANY), *[(printable(label, 60), label) for label in run.labels]],
            description="to be seen",
        )
        self.buttons = [self._button(name) for name in review.VERDICTS]
        self.buttons.append(self._button(None))
        judge = ipywidgets.VBox(
            [self.seen, ipywidgets.HBox(self.buttons, layout={"flex_flow": "row wrap"}), self.status]
        )
        body = side_by_side(self.chooser.box, ipywidgets.VBox([self.stage, judge]))
        self.tell()
        self.chooser.refill()
        self.panel = Panel([self.accuracy, body], self.fallback)

    def _button(self, name: str | None) -> ipywidgets.Button:
        words = "take back" if name is None else name.replace("_", " ")
        tooltip = "remove this video's verdict" if name is None else review.VERDICTS[name]
        button = ipywidgets.Button(description=words, tooltip=tooltip)
        button.on_click(lambda _: self.judge(name))
        return button

    def find(self) -> list[tuple[str, Row]]:
        rows = review.choose_rows(
            self.run.rows,
            shown=self.shown.value,
            order=self.order.value,
            label=self.label.value or None,
            verdicts=self.verdicts,
        )
        return [(self.words(row), row) for row in rows]

    def words(self, row: Row) -> str:
        verdict = self.verdicts.get(row.video_id)
        mark = f" [{verdict.verdict.replace('_', ' ')}]" if verdict else ""
        if not row.predicted:
            return printable(f"{row.label or 'no label'}: {row.status}, {row.video_id}{mark}", 160)
        return printable(f"{row.label or 'no label'} → {_best(row)}, {row.video_id}{mark}", 160)

    def show(self, row: Row | None) -> None:
        self.status.value = ""
        for button in self.buttons:
            button.disabled = row is None
        if row is None:
            self.stage.value = "<p>No video fits these filters.</p>"
            return
        self.seen.value = ANY
        self.stage.value = row_html(row, self.root, self.verdicts.get(row.video_id))

    def judge(self, name: str | None) -> None:
        row = self.chooser.item
        label = (self.seen.value or None) if name in review.NAMES_A_CLASS else None
        try:
            self.verdicts = review.save_verdict(self.run, row.video_id, name, label=label)
        except VidbenchError as problem:
            self.status.value = sentence(problem)
            return
        self.tell()
        self.chooser.refill(keep=row)
        done = "taken back" if name is None else f"saved as {name.replace('_', ' ')}" + (f" ({label})" if label else "")
        self.status.value = f'<p role="status">{text(row.video_id)}: {text(done)}</p>'

    def tell(self) -> None:
        self.accuracy.value = accuracy_html(self.run, self.verdicts)

    def fallback(self):
        rows = review.choose_rows(self.run.rows)[:6]
        names = [printable(f"{row.label} → {_best(row)}", 60) for row in rows]
        pairs = [(name, middle_frame(self.root / row.path)) for name, row in zip(names, rows)]
        pairs = [(words, frame) for words, frame in pairs if frame is not None]
        words = accuracy_html(self.run, self.verdicts)
        if not pairs:
            lines = [(row.video_id, row.label, row.top[0][0], f"{row.top[0][2]:.2f}") for row in rows]
            return words + table(("video", "true", "predicted", "score"), lines, "most confident mistakes"), None, ""
        titles, images = zip(*pairs)
        return words, visualize.contact_sheet(images, titles, columns=3), ""


def _best(row: Row) -> str:
    """A predicted row's best class and its score."""
    return f"{row.top[0][0]} {row.top[0][2]:.2f}" if row.top else "no class"
