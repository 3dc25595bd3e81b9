"""Find out whether a model does what its card says: python scripts/doctor.py MODEL (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.arguments import parse_doctor

    config = parse_doctor()

    from vidbench.doctor import examine

    diagnosis = examine(config)
    print(diagnosis.summary)
    return diagnosis.exit_status


if __name__ == "__main__":
    from vidbench.flags import run_program

    sys.exit(run_program(main, "doctor.py"))
