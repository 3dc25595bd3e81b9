"""Options of the program that shows runs and videos in a browser."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from vidbench.ask_arguments import LsConfig
from vidbench.flags import OptionError, Options, Program, like, under
from vidbench.kinds import switch, whole
from vidbench.list_arguments import ExtractConfig
from vidbench.option_kinds import dataset_card
from vidbench.shared_options import Listed
from vidbench.utils import quoted

PORT = 8090
RESULTS = "results"
SHOWN = "what is shown"
served = under("how it is shown")


@dataclass(frozen=True, kw_only=True)
class BrowseConfig(Options):
    """What ``vidbench browse`` does: its flags, with underscores."""

    dataset: str | None = like(
        Listed,
        "dataset",
        group=SHOWN,
        help="also the videos of this dataset, such as vidmini, folder or csv; may stand first, without the flag",
        default=None,
        shown="default: runs only",
    )
    data_dir: str | None = like(Listed, "data_dir", group=SHOWN)
    annotations: str | None = like(Listed, "annotations", group=SHOWN)
    split: str | None = like(
        Listed, "split", group=SHOWN, shown="default: the one that papers report; of own videos all"
    )
    fold: int | None = like(Listed, "fold", group=SHOWN, default=None, shown="default: 1")
    present_only: bool = like(ExtractConfig, "present_only", group=SHOWN, help="leave listed videos without a file out")
    results_dir: str | None = like(LsConfig, "results_dir", group=SHOWN, default=None, shown=f"default: {RESULTS}")
    port: int = served(whole(0, 65535), "the port, on this machine only (127.0.0.1). 0 takes a free one", default=PORT)
    open: bool = served(switch, "open the address in a browser")

    @property
    def results(self) -> str:
        """The folder that holds the runs."""
        return self.results_dir or RESULTS

    def checked(self) -> BrowseConfig:
        """This configuration once more, with what the dataset's card says filled in.

        Raises:
            ConfigError: an unknown dataset, split or fold; options of a dataset without one; results that are no
                folder. The usual folder for results may come later.
        """
        for name in ("data_dir", "annotations", "split", "fold", "present_only"):
            if self.dataset is None and getattr(self, name) not in (None, False):
                raise OptionError(name, "says which videos, and needs --dataset")
        there = os.path.exists(self.results)
        if not os.path.isdir(self.results) and (there or self.results_dir):
            what = "is no folder" if there else "does not exist"
            raise OptionError(
                "results_dir", f"{quoted(self.results, 160)} {what}; name the folder that holds your runs"
            )
        return self if self.dataset is None else dataclasses.replace(self, **self._listed())

    def _listed(self) -> dict:
        """Options of a ``Listed``, with what the card says filled in."""
        assert self.dataset, "asked only with a dataset"
        split = self.split or (None if dataset_card(self.dataset).splits else "all")
        where = {"data_dir": self.data_dir, "annotations": self.annotations, "split": split}
        return dataclasses.asdict(Listed(dataset=self.dataset, fold=self.fold or 1, **where).checked())


BROWSE = Program(
    BrowseConfig,
    name="browse.py",
    description="Look at videos in a browser, class by class, and at runs: each report, and runs side by side.",
    usage="""browse.py [-h] [NAME] [options]
       browse.py vidmini --open
       browse.py folder --data-dir my-videos""",
    epilog="""\
Pages are served on this machine only, until Ctrl-C. They read and change nothing, and run no model. Videos are decoded
when their page is asked for, in processes of their own; one that browsers do not play is shown as a copy, which is kept
in the user's cache.

exit status
  0    stopped by Ctrl-C
  2    a bad option, a folder or list that cannot be used, or a port in use
  143  ended by SIGTERM""",
    first=("dataset",),
)
