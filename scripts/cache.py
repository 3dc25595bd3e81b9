"""What lies in the clip cache, by dataset and geometry, and its limit: python scripts/cache.py (--help explains)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not


def main() -> int:
    from vidbench.arguments import parse_cache

    config = parse_cache()

    from vidbench.data.cache import ClipCache, describe_holdings

    cache = ClipCache(config.cache_dir)
    if config.most_gb is not None or config.no_limit:
        cache.set_limit(None if config.no_limit else round(config.most_gb * 10**9))
    print(describe_holdings(cache))
    return 0


if __name__ == "__main__":
    from vidbench.flags import run_program

    sys.exit(run_program(main, "cache.py"))
