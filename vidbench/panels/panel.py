"""The box that every widget of ours is: it says first, as HTML and as a picture, what it shows, and closes in time."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence

import ipywidgets

from vidbench.cells import sentence
from vidbench.records import VidbenchError

STYLE = """<style>
.vidbench {--vb-text: var(--jp-ui-font-color1, #1a1a1a); --vb-soft: var(--jp-ui-font-color2, #555);
  --vb-line: var(--jp-border-color2, #ccc); --vb-bar: #0072b2; --vb-true: #009e73; padding: 4px 0}
.vidbench figure {margin: 0; max-width: 100%} .vidbench figcaption, .vidbench p {color: var(--vb-text); margin: 4px 0}
.vidbench img, .vidbench video {display: block; max-width: 100%; height: auto; background: #000}
.vidbench table {border-collapse: collapse; color: var(--vb-text); margin: 4px 0; font-size: 13px}
.vidbench table, .vidbench p, .vidbench figcaption {line-height: 1.5}
.vidbench td, .vidbench th {padding: 1px 8px 1px 0; text-align: left; font-weight: normal; white-space: nowrap}
.vidbench th[scope=col] {border-bottom: 1px solid var(--vb-line)} .vidbench td.n {text-align: right}
.vidbench .bar {display: block; height: 10px; background: var(--vb-bar)}
.vidbench .true .bar {background: var(--vb-true)}
.vidbench .true td, .vidbench .true th {font-weight: bold}
.vidbench .problem {border-left: 4px solid #d55e00; padding-left: 8px}
</style>"""
# ipywidgets draws sliders and the buttons of its player without accessible names. A style element may carry a load
# handler where a script would not run; this one gives sliders the words of the label beside them, and names buttons.
NAMES_FOR_CONTROLS = """<style onload="
(() => {
  const box = this.closest('.vidbench');
  const buttons = ['play or pause', 'stop', 'play again and again'];
  let tries = 0;
  const name = () => {
    for (const handle of box ? box.querySelectorAll('.noUi-handle') : []) {
      const label = handle.closest('.widget-slider').querySelector('.widget-label');
      handle.setAttribute('aria-label', label ? label.textContent : 'value');
    }
    for (const play of box ? box.querySelectorAll('.widget-play') : []) {
      play.querySelectorAll('button').forEach((button, k) => {
        button.setAttribute('aria-label', buttons[k]);
        button.title = buttons[k];
      });
    }
    if (tries++ < 25) setTimeout(name, 200);
  };
  name();
})()"></style>"""


class Panel(ipywidgets.VBox):
    """A box of controls that also says, as HTML and as a picture, what it shows first.

    A kernel keeps every widget until it is closed. So a panel closes, with all that is in it, when the cell that
    showed it runs again: running a chapter twice takes no more memory than running it once.

    Args:
        children: widgets, from top to bottom.
        fallback: gives ``(html before, figure, html after)`` when the panel is displayed; the figure may be ``None``.
    """

    def __init__(self, children: Sequence[ipywidgets.Widget], fallback: Callable[[], tuple]):
        super().__init__([ipywidgets.HTML(STYLE + NAMES_FOR_CONTROLS), *children])
        self.add_class("vidbench")
        self.fallback = fallback
        self.shown_in: set[str] = set()

    def _repr_mimebundle_(self, **kwargs):
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        _close_older(self)
        try:
            before, figure, after = self.fallback()
        except VidbenchError as problem:
            before, figure, after = sentence(problem), None, ""
        if figure is None:
            bundle["text/html"] = f"<div>{before}{after}</div>"
            bundle["text/plain"] = html.unescape(re.sub(r"<[^>]*>", " ", before + after)).strip()
            return bundle
        picture, about = figure._repr_mimebundle_()
        return bundle | picture | {"text/html": f"<div>{before}{picture['text/html']}{after}</div>"}, about

    def close_all_within(self) -> None:
        """Close the panel and every widget in it; its picture in a saved notebook stays."""
        for widget in all_within(self):
            widget.close()


_PANELS: dict[str, tuple[str, list[Panel]]] = {}  # by cell: the execution, and the panels it showed


def _close_older(panel: Panel) -> None:
    """Close what earlier executions of this cell showed and no other cell shows; outside a notebook do nothing."""
    cell, execution = _running_cell()
    if not cell:
        return
    before, panels = _PANELS.get(cell, (execution, []))
    if before != execution:
        for old in panels:
            old.shown_in.discard(cell)
            if old is not panel and not old.shown_in:
                old.close_all_within()
        panels = []
    panel.shown_in.add(cell)
    _PANELS[cell] = execution, [*panels, panel]


def _running_cell() -> tuple[str, str]:
    """``(cell id, message id)`` of what the kernel executes now; empty where the front end does not say."""
    from IPython import get_ipython

    parent: dict = getattr(get_ipython(), "get_parent", dict)() or {}
    cell = (parent.get("metadata") or {}).get("cellId")
    return (str(cell), str(parent.get("header", {}).get("msg_id", ""))) if cell else ("", "")


def all_within(box: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """A widget and all that belong to it, the innermost first: children, links between them, layouts and styles."""
    for child in getattr(box, "children", ()):
        yield from all_within(child)
    yield from getattr(box, "links", ())
    for name in ("layout", "style"):
        if isinstance(part := getattr(box, name, None), ipywidgets.Widget):
            yield part
    yield box


def panel_of_words(words: str) -> Panel:
    """A panel of some words."""
    return Panel([ipywidgets.HTML(words)], lambda: (words, None, ""))


def side_by_side(left: ipywidgets.Widget, right: ipywidgets.Widget) -> ipywidgets.HBox:
    """Two columns, or one below the other where the page is narrow."""
    left.layout.flex, right.layout.flex = "0 0 auto", "1 1 400px"
    return ipywidgets.HBox([left, right], layout={"flex_flow": "row wrap", "grid_gap": "4px 24px"})
