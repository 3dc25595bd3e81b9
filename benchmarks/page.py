"""The tables of benchmarks/README.md: each stands between two marks that carry its script's name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).with_name("README.md")


def put(name: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put a script's table into its place in a page, or at the end of it."""
    start, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = "\n".join([start, *lines, end])
    text = page.read_text(encoding="utf-8") if page.exists() else "# Benchmarks\n"
    if start in text:
        text = re.sub(re.escape(start) + ".*?" + re.escape(end), lambda _: block, text, flags=re.DOTALL)
    else:
        text = text.rstrip() + "\n\n" + block + "\n"
    page.write_text(text, encoding="utf-8")
