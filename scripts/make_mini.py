"""Draw vidmini, the mini set with ground truth, into a folder.

    python scripts/make_mini.py data/clips/vidmini --split train --seed 0 --per-class 100

Then `--dataset vidmini --data-dir data/clips/vidmini` reads it. An interrupted call goes on where
it stopped. The shipped test split in data/vidmini is `--split test --seed 0 --per-class 12`.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vidbench.endings import run_program

DEFAULT_PER_CLASS = {"test": 12, "train": 100}


def parse(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, metavar="OUT", help="folder to write; may hold the other split already")
    parser.add_argument("--split", choices=("test", "train"), default="test", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same pixels (default: %(default)s)")
    parser.add_argument("--per-class", type=int, help=f"clips of each class (default: {DEFAULT_PER_CLASS})")
    parser.add_argument("--workers", type=int, help="processes (default: one a core; 0: none)")
    return parser.parse_args(argv)


def main() -> int:
    args = parse()
    from vidbench.data.mini import CLASSES, make_mini  # needs packages; without them run_program says what to do

    per_class = DEFAULT_PER_CLASS[args.split] if args.per_class is None else args.per_class
    started = said = time.monotonic()
    first = done = total = 0
    for done, total in make_mini(
        args.folder, args.split, seed=args.seed, per_class=per_class, num_workers=args.workers
    ):
        if not said - started:
            first, said = done, time.monotonic()
            print(f"{total} clips of {len(CLASSES)} classes, {first} there already", flush=True)
        elif time.monotonic() - said > 10:
            said = time.monotonic()
            print(f"{done}/{total} clips, {(done - first) / (said - started):.1f} a second", file=sys.stderr)
    size = sum(path.stat().st_size for path in (args.folder / "videos").rglob("*.mp4"))
    seconds = time.monotonic() - started
    print(f"{args.folder}: {total} clips of split {args.split} in {seconds:.0f} s; videos/ holds {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(run_program(main, "make_mini"))
