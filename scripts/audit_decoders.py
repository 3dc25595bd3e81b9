"""Do decoders agree? python scripts/audit_decoders.py --model NAME --dataset NAME (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.study_arguments import parse_audit

    config = parse_audit()

    from vidbench.audit import audit, text, write_audit
    from vidbench.progress import Progress

    found = audit(config, progress=Progress())
    print(text(found))
    print("tables", write_audit(found, config.out))
    return 3 if found.skipped else 0


if __name__ == "__main__":  # workers import this file: everything heavy stays in main
    from vidbench.flags import run_program

    sys.exit(run_program(main, "audit_decoders.py"))
