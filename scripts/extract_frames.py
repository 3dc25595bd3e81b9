"""Write frames of videos as numbered pictures: python scripts/extract_frames.py NAME --out DIR (--help explains)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

if __name__ == "__main__":  # worker processes import this file: nothing of ours outside
    from vidbench.cli import run_script

    sys.exit(run_script(__file__))
