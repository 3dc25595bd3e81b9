"""A list of videos with filters above it, to choose one from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets
import numpy as np

from vidbench.utils import printable

MOST_LISTED = 500  # entries of one list of videos
LIST_WIDTH = "380px"  # so that list and player fit beside each other on a laptop
ANY = ""  # value of a filter that lets everything pass; no class is called so


class Chooser:
    """A list of videos with filters above it; calls ``show(item)``, or ``show(None)`` where the list is empty.

    Args:
        find: ``find()`` gives ``[(words, item), ...]`` for the filters as they are.
        filters: widgets whose change makes the list anew.
        show: called with the chosen item.
    """

    def __init__(self, find: Callable[[], list], filters: Sequence[ipywidgets.Widget], show: Callable):
        self.find, self.show, self.quiet = find, show, False
        self.items: list = []
        self.list = ipywidgets.Select(description="videos", rows=8, layout={"width": LIST_WIDTH})
        self.count = ipywidgets.HTML()
        self.back = ipywidgets.Button(description="previous", icon="chevron-left", tooltip="previous video")
        self.forth = ipywidgets.Button(description="next", icon="chevron-right", tooltip="next video")
        for control in filters:
            control.style.description_width = "60px"
            control.layout.width = LIST_WIDTH
            control.observe(lambda _: self.refill(), names="value")
        self.list.style.description_width = "60px"
        self.list.observe(self._chosen, names="index")
        self.back.on_click(lambda _: self.step(-1))
        self.forth.on_click(lambda _: self.step(1))
        self.box = ipywidgets.VBox([*filters, self.count, self.list, ipywidgets.HBox([self.back, self.forth])])

    @property
    def item(self):
        """What is chosen; ``None`` where the list is empty."""
        return None if self.list.index is None or not self.items else self.items[self.list.index][1]

    def refill(self, keep: object = None) -> None:
        """Make the list anew; stay at ``keep`` where it is still there, else begin at the first."""
        found = self.find()
        self.items = found[:MOST_LISTED]
        more = f", the first {MOST_LISTED} are listed" if len(found) > MOST_LISTED else ""
        self.count.value = f'<p role="status">{len(found)} video{"s" * (len(found) != 1)}{more}</p>'
        place = next((k for k, (_, item) in enumerate(self.items) if item is keep), 0)
        self.quiet = True
        self.list.options = [(f"{k + 1}. {words}", k) for k, (words, _) in enumerate(self.items)]
        self.list.index = place if self.items else None
        self.quiet = False
        self.show(self.item)

    def step(self, by: int) -> None:
        """Choose the item so many places further on, at most the last or the first."""
        if self.items:
            self.list.index = int(np.clip((self.list.index or 0) + by, 0, len(self.items) - 1))

    def _chosen(self, _) -> None:
        if not self.quiet:
            self.show(self.item)


def filter_for(words: str, values: Sequence) -> ipywidgets.Dropdown:
    """A drop-down list: all, then each value."""
    options = [("all", ANY), *[(printable(value, 60), value) for value in values]]
    return ipywidgets.Dropdown(options=options, description=words)
