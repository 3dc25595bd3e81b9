"""Measure how hard vidmini is for a linear model on thumbnails.

    python scripts/mini_hardness.py data/clips/vidmini data/vidmini

The first folder holds a train split, the others test splits, which are pooled. Chance is 1/12 overall and 50 % inside
a pair; the values come with 95 % Wilson intervals. One interval in twenty misses by luck alone.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from vidbench import mini_recipe
from vidbench.records import VidbenchError


def parse(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("train_folder", type=Path, help="a folder of make_mini.py with a train split")
    parser.add_argument("test_folder", type=Path, nargs="+", help="a folder of make_mini.py with a test split")
    return parser.parse_args(argv)


def load(folder: Path, split: str) -> tuple:
    """Clips and labels of a split, 8 frames each."""
    paths, labels = mini_recipe.list_clips(folder, split)
    print(f"{folder}: {len(paths)} clips of split {split}", flush=True)
    return mini_recipe.load_clips(paths, 8), labels


def main(argv=None) -> int:
    args = parse(argv)
    try:
        known = load(args.train_folder, "train")
        held_out = tuple(map(np.concatenate, zip(*(load(folder, "test") for folder in args.test_folder))))
        for kind, report in mini_recipe.hardness(known, held_out).items():
            print(f"{kind} thumbnails: {mini_recipe.report_lines(report)}", flush=True)
    except VidbenchError as problem:
        print(f"mini_hardness: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
