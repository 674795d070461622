"""The rows of a page: every structure of the map with its columns, in one table, and as blocks."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.page.blocks import Block, numbers, rounded, text
from jobs.page.columns import Column, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb
    from numpy.typing import NDArray

    from jobs.page.tables import PageTables

PAGE = "page_rows"
"""The table of all rows: `row`, counting from 0 in the order of `structure_id`, and the columns by name."""
BATCH_ROWS = 65_536
MOST_CATEGORIES = 4_000
"""Texts with more different values are not categories."""
OUTLIER = -1


def make_rows(tables: PageTables, columns: Sequence[Column]) -> int:
    """Make the table of all rows; return how many there are. DuckDB writes it to disk where memory is short.

    A structure that failed, and so has no place, is among them.
    """
    foreign = dict.fromkeys(column.view for column in columns if column.view is not None)
    aliases = {view: f"foreign_{number}" for number, view in enumerate(foreign)}
    selected = ", ".join(f"{_value(column, aliases)} AS {quoted(column.name)}" for column in columns)
    joins = " ".join(
        f"LEFT JOIN ({_single(view, columns)}) AS {alias} ON {alias}.structure_id = structures.structure_id"
        for view, alias in aliases.items()
    )
    tables.connection.execute(f"""CREATE TEMP TABLE {PAGE} AS
        SELECT row_number() OVER (ORDER BY structures.structure_id) - 1 AS "row", {selected}
        FROM {tables.view(tables.map)} AS map JOIN structures USING (structure_id)
        LEFT JOIN {tables.view(tables.predictions)} AS predictions USING (structure_id) {joins}
        ORDER BY structures.structure_id""")
    [(count,)] = tables.connection.sql(f"SELECT count(*) FROM {PAGE}").fetchall()
    return int(count)


def _value(column: Column, aliases: dict[str, str]) -> str:
    return column.sql if column.view is None else f"{aliases[column.view]}.{column.sql}"


def _single(view: str, columns: Sequence[Column]) -> str:
    """SQL for one row per structure, whatever the view holds."""
    wanted = {column.sql for column in columns if column.view == view}
    values = ", ".join(f"any_value({value}) AS {value}" for value in sorted(wanted))
    return f"SELECT structure_id, {values} FROM {quoted(view)} GROUP BY structure_id"


def batches(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a question."""
    yield from connection.sql(sql).fetch_arrow_reader(BATCH_ROWS)


def column_values(connection: duckdb.DuckDBPyConnection, value: str) -> pa.ChunkedArray:
    """Return SQL's ``value`` in every row, in their order."""
    return connection.sql(f'SELECT {value} AS value FROM {PAGE} ORDER BY "row"').to_arrow_table()["value"]


def float_values(connection: duckdb.DuckDBPyConnection, name: str) -> NDArray[np.float32]:
    """Return a numeric column (N,); NaN where it is missing or not finite."""
    value = f"CAST({quoted(name)} AS FLOAT)"
    values = column_values(connection, value).to_numpy().astype(np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def encode_column(
    connection: duckdb.DuckDBPyConnection, column: Column, block: str, labels: dict[int, str]
) -> tuple[dict[str, Any], Block]:
    """Return how a page describes a column, and its block; ``labels`` are the clusters' by number."""
    described: dict[str, Any] = {"name": column.name, "title": column.title, "block": block}
    described |= {"unit": column.unit} if column.unit else {}
    described |= {"description": column.description} if column.description else {}
    if column.kind in ("number", "integer"):
        values = float_values(connection, column.name)
        data = numbers(block, rounded(values) if column.kind == "number" else values)
        return {**described, "kind": "number", "dtype": "f32", "scale": column.scale}, data
    if column.kind == "boolean":
        flags = column_values(connection, f"CAST({quoted(column.name)} AS UTINYINT)")
        data = numbers(block, pc.fill_null(flags, 2).to_numpy())
        return {**described, "kind": "boolean", "dtype": "u8", "missing": 2}, data
    if column.name == "cluster":
        return _categories(connection, column, described, {**labels, OUTLIER: "outlier"})
    found = None if column.kind == "text" else _frequent(connection, column.name)
    if found is None:
        texts = (chunk.to_pylist() for chunk in column_values(connection, quoted(column.name)).chunks)
        data = text(block, (value or "" for value in chain.from_iterable(texts)))
        return {**described, "kind": "text", "dtype": "utf8"}, data
    return _categories(connection, column, described, {value: value for value in found})


def _frequent(connection: duckdb.DuckDBPyConnection, name: str) -> list[str] | None:
    """Return the different values of a column, the most frequent first; None where there are too many."""
    column = quoted(name)
    values = connection.sql(
        f"SELECT CAST({column} AS VARCHAR) FROM {PAGE} WHERE {column} IS NOT NULL GROUP BY 1 "
        f"ORDER BY count(*) DESC, 1 LIMIT {MOST_CATEGORIES + 1}"
    ).fetchall()
    return None if len(values) > MOST_CATEGORIES else [value for (value,) in values]


def _categories(
    connection: duckdb.DuckDBPyConnection,
    column: Column,
    described: dict[str, Any],
    labels: dict[Any, str],
) -> tuple[dict[str, Any], Block]:
    """Encode a column as codes into the labels of its values, in the order given."""
    values = column_values(connection, quoted(column.name))
    known = pa.array(list(labels), values.type)
    missing = len(labels)
    width, dtype = next(
        (width, dtype)
        for width, dtype in ((np.uint8, "u8"), (np.uint16, "u16"), (np.uint32, "u32"))
        if missing <= np.iinfo(width).max
    )
    codes = pc.fill_null(pc.index_in(values, value_set=known), missing).to_numpy().astype(width)
    described |= {"kind": "category", "dtype": dtype, "categories": list(labels.values()), "missing": missing}
    return described, numbers(described["block"], codes)
