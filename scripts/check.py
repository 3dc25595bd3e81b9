"""Check a local copy of a dataset: python scripts/check.py NAME [--leaks] (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.arguments import parse_check

    config = parse_check()

    from vidbench.data.check import check
    from vidbench.progress import Progress

    outcome = check(config, progress=Progress())
    print(outcome.summary)
    return outcome.exit_status


if __name__ == "__main__":  # workers import this file: everything heavy stays in main
    from vidbench.flags import run_program

    sys.exit(run_program(main, "check.py"))
