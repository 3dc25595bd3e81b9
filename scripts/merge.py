"""Make one run of several: python scripts/merge.py RUN RUN ... --out DIR (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.run_arguments import parse_merge

    config = parse_merge()

    from vidbench.evaluate import finish
    from vidbench.merge import merge

    merged = merge(config.runs, config.out, prefer_predicted=config.prefer_predicted)
    outcome = finish(merged.folder, config, ran=True)
    print(
        f"merged     {merged.num_runs} runs, {merged.num_videos} videos, {merged.num_repeated} of them in several runs"
    )
    print(outcome.summary)
    return outcome.exit_status


if __name__ == "__main__":
    from vidbench.flags import run_program

    sys.exit(run_program(main, "merge.py"))
