"""Compare runs of the same videos: python scripts/compare.py RUN_A RUN_B ... (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.run_arguments import parse_compare

    config = parse_compare()

    from vidbench.compare import compare_runs, text, write_comparison

    options = {"k": config.k, "baseline": config.baseline, "ensemble": config.ensemble or (), "seed": config.seed}
    comparison = compare_runs(config.runs, **options)
    print(text(comparison))
    print("page", write_comparison(comparison, config.out))
    return 0


if __name__ == "__main__":
    from vidbench.flags import run_program

    sys.exit(run_program(main, "compare.py"))
