"""Evaluate a model as a Job. Arguments are those of scripts/evaluate.py; without any, @scripts/config.txt.

A Job that was stopped, or ran into its time limit, continues where it was when it runs again with the same arguments.
"""

import shlex
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path("cml").resolve()
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cml_session import arguments, end, show  # noqa: E402

from vidbench.utils import without_login  # noqa: E402

MEANINGS = {
    0: "Finished. The report browser (Applications) shows the run.",
    3: "Finished, but more videos had to be skipped than --max-skipped allows: the report names them.",
    130: "Stopped. Run the Job again to continue.",
    143: "Stopped from outside. Run the Job again to continue.",
}


def main() -> int:
    words = arguments(["@scripts/config.txt"])
    print(f"python scripts/evaluate.py {shlex.join(map(without_login, words))}", flush=True)
    status = show([sys.executable, "scripts/evaluate.py", *words])
    print(MEANINGS.get(status, f"Not finished (status {status}): the lines above say why."))
    return status


if __name__ == "__main__":
    end(main())
