"""How many videos a difference needs: python scripts/power.py 0.80 0.85 (--help explains the options)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.run_arguments import parse_power

    config = parse_power()

    from vidbench.power import describe

    a, b = config.accuracies
    print(describe(a, b, config.discordance, config.power, config.alpha, config.design_effect))
    return 0


if __name__ == "__main__":
    from vidbench.flags import run_program

    sys.exit(run_program(main, "power.py"))
