"""Fetch a dataset, or a part of it: python scripts/fetch.py kinetics400 --per-class 2 --dry-run (--help explains)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.arguments import parse_fetch

    config = parse_fetch()

    from vidbench.data.fetch import fetch, make_plan
    from vidbench.progress import Progress

    plan = make_plan(config.order, dry=config.dry_run)
    print(plan.text(), flush=True)
    if config.dry_run:
        return 0 if plan.fits else 1
    outcome = fetch(config.order, progress=Progress(), plan=plan)
    print(outcome.summary)
    return outcome.exit_status


if __name__ == "__main__":
    from vidbench.flags import run_program

    sys.exit(run_program(main, "fetch.py"))
