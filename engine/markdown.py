"""Tables and lists in Markdown, as documents and model cards have them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def markdown_table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay out a table; the cells are Markdown already."""
    first = list(heading)
    lines = [first, ["---"] * len(first), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullet_list(values: Mapping[str, object]) -> str:
    """Lay out names and values as a list; those of a sequence stand one after the other."""
    return "\n".join(
        f"* {name}: {', '.join(map(str, value)) if isinstance(value, tuple | list) else value}"
        for name, value in values.items()
    )
