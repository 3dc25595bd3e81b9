"""Write a dataset's list in another format: python scripts/convert.py NAME --to FORMAT --out PATH (--help explains)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.arguments import parse_convert

    config = parse_convert()

    from vidbench.data.exports import convert

    print(convert(config).words())
    return 0


if __name__ == "__main__":  # workers import this file: everything heavy stays in main
    from vidbench.flags import run_program

    sys.exit(run_program(main, "convert.py"))
