"""Does a model need time? python scripts/temporal.py --model NAME --dataset NAME (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.study_arguments import parse_temporal_study

    config = parse_temporal_study()

    from vidbench.progress import Progress
    from vidbench.temporal import study, text, write_study

    found = study(config, progress=Progress())
    print(text(found))
    print("page", write_study(found, config.out))
    return 3 if found.skipped else 0


if __name__ == "__main__":  # workers import this file: everything heavy stays in main
    from vidbench.flags import run_program

    sys.exit(run_program(main, "temporal.py"))
