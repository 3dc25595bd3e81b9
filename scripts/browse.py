"""Look at runs in a browser: python scripts/browse.py (--help explains the options)."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))  # a checkout's own, installed or not

if __name__ == "__main__":  # worker processes import this file: nothing of ours outside
    from vidbench.cli import run_script  # an old Python, 2.7 too, ends here in a sentence

    sys.exit(run_script(__file__))
