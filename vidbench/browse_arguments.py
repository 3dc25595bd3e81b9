"""Options of browse."""

from __future__ import annotations

import os
from dataclasses import dataclass

from vidbench.ask_arguments import LsConfig
from vidbench.flags import OptionError, Options, Program, like, under
from vidbench.kinds import switch, whole
from vidbench.utils import quoted

PORT = 8090
RESULTS = "results"
shown, served = under("what is shown"), under("how it is shown")


@dataclass(frozen=True, kw_only=True)
class BrowseConfig(Options):
    """What ``vidbench browse`` does: its flags, with underscores."""

    results_dir: str | None = like(
        LsConfig, "results_dir", group="what is shown", default=None, shown=f"default: {RESULTS}"
    )
    port: int = served(whole(0, 65535), "the port, on this machine only (127.0.0.1). 0 takes a free one", default=PORT)
    open: bool = served(switch, "open the address in a browser")

    @property
    def results(self) -> str:
        """The folder that holds the runs."""
        return self.results_dir or RESULTS

    def checked(self) -> BrowseConfig:
        """This configuration, once its folders are there; the usual one may come later.

        Raises:
            ConfigError: the results are no folder.
        """
        there = os.path.exists(self.results)
        if not os.path.isdir(self.results) and (there or self.results_dir):
            what = "is no folder" if there else "does not exist"
            raise OptionError(
                "results_dir", f"{quoted(self.results, 160)} {what}; name the folder that holds your runs"
            )
        return self


BROWSE = Program(
    BrowseConfig,
    name="browse.py",
    description="Look at runs in a browser: a list, each report, and runs side by side.",
    usage="browse.py [-h] [options]",
    epilog="""\
Pages are served on this machine only, until Ctrl-C. They read and change nothing, and run no model.

exit status
  0    stopped by Ctrl-C
  2    a bad option, a folder that is not there, or a port in use
  143  ended by SIGTERM""",
)
