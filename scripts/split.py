"""Divide videos at random, sources kept together: python scripts/split.py NAME (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.arguments import parse_split

    config = parse_split()

    from vidbench.data.index import load_records
    from vidbench.data.split import random_splits, write_splits

    records = load_records(config.dataset, config.data_dir, config.split, config.fold, annotations=config.annotations)
    parts = random_splits(records, config.parts, seed=config.seed, by=config.by, allow_leak=config.allow_leak)
    write_splits(parts, config.out)
    print(", ".join(f"{name} {len(part)} videos" for name, part in parts.items()), "in", config.out)
    return 0


if __name__ == "__main__":
    from vidbench.flags import run_program

    sys.exit(run_program(main, "split.py"))
