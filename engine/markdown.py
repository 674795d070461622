"""Tables in Markdown, as documents and model cards have them."""

from __future__ import annotations

from collections.abc import Iterable


def markdown_table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay out a table; the cells are Markdown already."""
    first = list(heading)
    lines = [first, ["---"] * len(first), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
