"""Train a model: python scripts/train.py @scripts/configs/train-vidmini.txt (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.arguments import parse_train

    config = parse_train()

    from vidbench.progress import Progress
    from vidbench.train import train

    outcome = train(config, progress=Progress(), tell=lambda line: print(line, flush=True))
    print(outcome.summary)
    return outcome.exit_status


if __name__ == "__main__":  # workers import this file: everything heavy stays in main
    from vidbench.flags import run_program

    sys.exit(run_program(main, "train.py"))
