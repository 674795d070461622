"""What a page holds of each structure beside its columns: nearest neighbours and candidate prototypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.page.blocks import Block, numbers, rounded
from jobs.page.rows import PAGE, batches

if TYPE_CHECKING:
    from jobs.page.tables import PageTables

CANDIDATES = 5
NO_ROW = 0xFFFFFFFF
NO_NAME = 0xFFFF
DISTANCE_BITS = 9
"""Of a distance's mantissa: three digits."""

Described = tuple[dict[str, Any] | None, list[Block]]


def neighbors(tables: PageTables, rows: int, most: int) -> Described:
    """Describe the nearest neighbours, with blocks of their rows and distances: rows × k, k ≤ ``most``."""
    view = tables.view(tables.map)
    k = min(most, _longest(tables, "neighbors", view))
    if not k:
        return None, []
    near = np.full((rows, k), NO_ROW, dtype=np.uint32)
    distances = np.full((rows, k), np.nan, dtype=np.float32)
    sql = f"""SELECT own."row" AS "row", listed.rank AS rank, other."row" AS other,
        neighbor.distance AS distance
        FROM ({_ranked("neighbors", "neighbor", view, k)}) AS listed
        JOIN {PAGE} AS own USING (structure_id)
        JOIN {PAGE} AS other ON other.structure_id = neighbor.structure_id"""
    for batch in batches(tables.connection, sql):
        place = batch["row"].to_numpy(), batch["rank"].to_numpy() - 1
        near[place] = batch["other"].to_numpy()
        distances[place] = pc.fill_null(batch["distance"], np.nan).to_numpy()
    blocks = [
        numbers("neighbors", near),
        numbers("neighbor-distances", rounded(distances, DISTANCE_BITS)),
    ]
    return {"block": "neighbors", "distances": "neighbor-distances", "k": k}, blocks


def candidates(tables: PageTables, rows: int) -> Described:
    """Describe the most probable prototypes, with blocks of their names and probabilities: rows × k."""
    view = tables.view(tables.predictions)
    k = min(CANDIDATES, _longest(tables, "top", view))
    if not k:
        return None, []
    named = tables.connection.sql(
        f"SELECT DISTINCT candidate.prototype AS name FROM (SELECT unnest(top) AS candidate FROM {view}) "
        "WHERE name IS NOT NULL ORDER BY name"
    ).fetchall()
    names = pa.array([name for (name,) in named][:NO_NAME], pa.string())
    codes = np.full((rows, k), NO_NAME, dtype=np.uint16)
    probabilities = np.zeros((rows, k), dtype=np.uint8)
    sql = f"""SELECT own."row" AS "row", listed.rank AS rank, candidate.prototype AS name,
        candidate.probability AS probability
        FROM ({_ranked("top", "candidate", view, k)}) AS listed JOIN {PAGE} AS own USING (structure_id)"""
    for batch in batches(tables.connection, sql):
        place = batch["row"].to_numpy(), batch["rank"].to_numpy() - 1
        codes[place] = pc.fill_null(pc.index_in(batch["name"], value_set=names), NO_NAME).to_numpy()
        shares = pc.fill_null(batch["probability"], 0.0).to_numpy()
        probabilities[place] = np.rint(255 * np.clip(shares, 0, 1))
    blocks = [numbers("candidates", codes), numbers("candidate-probabilities", probabilities)]
    described = {"block": "candidates", "probabilities": "candidate-probabilities", "k": k}
    return {**described, "names": names.to_pylist()}, blocks


def _longest(tables: PageTables, column: str, view: str) -> int:
    [(length,)] = tables.connection.sql(f"SELECT max(len({column})) FROM {view}").fetchall()
    return int(length or 0)


def _ranked(column: str, element: str, view: str, k: int) -> str:
    """SQL for the first ``k`` elements of a list, each with its rank from 1."""
    first = f"list_slice({column}, 1, {k})"
    return (
        f"SELECT structure_id, unnest({first}) AS {element}, generate_subscripts({first}, 1) AS rank "
        f"FROM {view}"
    )
