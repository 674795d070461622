"""Arrow tables as text: for the terminal and as JSON."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

from rich.table import Table as RichTable
from rich.text import Text

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_LIST = 6


def rich_table(table: pa.Table, title: str | None = None, decimals: int | None = None) -> RichTable:
    """Lay out an Arrow table for the terminal; numbers to the right, long lists abbreviated.

    `decimals` rounds all numbers to as many places; without it each keeps four significant digits.
    """
    import pyarrow.types as kinds

    shown = RichTable(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for field in table.schema:
        numeric = kinds.is_integer(field.type) or kinds.is_floating(field.type)
        heading = field.name if decimals is None else field.name.replace("_", " ")
        shown.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        shown.add_row(*(Text(cell_text(value, decimals)) for value in row))
    return shown


def cell_text(value: Any, decimals: int | None = None) -> str:
    """Return one value as a person reads it."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}" if decimals is None else f"{value:.{decimals}f}"
        case bytes():
            return value.hex()[:16] + "…" if len(value) > 8 else value.hex()
        case list() if len(value) > LONGEST_LIST:
            head = ", ".join(cell_text(item) for item in value[:3])
            return f"[{head}, … {len(value)} values]"
        case list():
            return "[" + ", ".join(cell_text(item) for item in value) + "]"
        case dict():
            return ", ".join(f"{name}: {cell_text(item)}" for name, item in value.items())
    return str(value)


def json_value(value: Any) -> Any:
    """Return a value that JSON can hold: bytes as hexadecimal, dates in ISO 8601, NaN as null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case bytes():
            return value.hex()
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case list():
            return [json_value(item) for item in value]
        case dict():
            return {str(name): json_value(item) for name, item in value.items()}
        case None | bool() | int() | float() | str():
            return value
    return str(value)
