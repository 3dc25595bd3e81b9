"""Write the tables of docs/datasets.md anew from the datasets' cards: python scripts/dataset_table.py [--check]."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs from a checkout, installed or not

PAGE = ROOT / "docs" / "datasets.md"
BEGIN, END = "<!-- begin: made by scripts/dataset_table.py -->\n", "<!-- end -->"


def with_tables(text: str) -> str:
    """The page with the part between its marks made anew; raises ``ValueError`` where the marks are not there."""
    from vidbench.data.catalog import describe_cards

    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE.name} has no lines {BEGIN.strip()!r} and {END!r}")
    return before + BEGIN + describe_cards() + mark + after


def main(words: list[str]) -> int:
    if set(words) - {"--check"}:
        print(__doc__, file=sys.stderr)
        return 2
    old = PAGE.read_text(encoding="utf-8")
    new = with_tables(old)
    if words and new != old:
        print(
            f"{PAGE.relative_to(ROOT)} is not what the cards say; run python scripts/dataset_table.py", file=sys.stderr
        )
        return 1
    if not words:
        PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
