"""Learn video classification, and measure it: decode, predict, evaluate, report.

Importing this package loads neither torch nor TensorFlow, opens no socket and creates no folder.
"""

import sys

# The first of our files that a script of a checkout reads, so Python 2.7 too must be able to read it. No ImportError:
# nothing here works under such a Python, and whoever started a script should see one sentence.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "vidbench needs Python 3.11, 3.12 or 3.13; this is {}.{} ({}). In a checkout, `make evaluate` makes an "
        "environment with the right one, and `source .venv/bin/activate` takes it.".format(
            *(sys.version_info[:2] + (sys.executable,))  # noqa: RUF005
        )
    )

__version__ = "0.1.0"

from vidbench import import_guard

import_guard.install()
