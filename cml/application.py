"""Serve the report browser: every run in results/, its report, and runs side by side.

Cloudera names the port in CDSW_APP_PORT and passes requests on to 127.0.0.1. Anywhere else the port is 8090.
"""

import functools
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path("cml").resolve()
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cml_session import ROOT, end  # noqa: E402


def port_number(text: str) -> int | None:
    """A port from its text, or ``None``."""
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else None


def main() -> int:
    from vidbench.browse_arguments import PORT
    from vidbench.browse_server import serve
    from vidbench.records import ConfigError

    port = port_number(os.environ.get("CDSW_APP_PORT", str(PORT)))
    if port is None:
        print(f"CDSW_APP_PORT must be a port, from 1 to 65535; it is {os.environ['CDSW_APP_PORT'][:40]!r}.")
        return 1
    results = Path(os.environ.get("VIDBENCH_RESULTS") or ROOT / "results").resolve()
    try:
        serve(results, port, choose="set CDSW_APP_PORT", tell=functools.partial(print, flush=True))
    except ConfigError as problem:
        print(f"The report browser does not start: {problem}.")
        return 1
    return 0


if __name__ == "__main__":
    end(main())
