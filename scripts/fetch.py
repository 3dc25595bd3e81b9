"""Fetch a dataset, or a part of it: python scripts/fetch.py kinetics400 --per-class 2 --dry-run (--help explains)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

if __name__ == "__main__":  # worker processes import this file: nothing of ours outside
    from vidbench.cli import run_script

    sys.exit(run_script(__file__))
