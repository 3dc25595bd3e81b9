"""Learn video classification, and measure it: decode, predict, evaluate, report.

Importing this package loads neither torch nor TensorFlow, opens no socket and creates no folder.
"""

__version__ = "0.1.0"

from vidbench import import_guard

import_guard.install()
