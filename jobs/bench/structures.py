"""Random structures of a source, as the arrays that the descriptor takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from connectors import open_sources
from engine.columns import StructureColumns
from engine.errors import CrysiftError
from engine.validation import StructureLimits, validate

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAGES_READ = 8


@dataclass(frozen=True)
class Sample:
    """One structure: `positions` (n, 3) Å, `species` (n,), `lattice` (3, 3) Å as rows, `periodic` (3,)."""

    positions: NDArray[np.float64]
    species: NDArray[np.int64]
    lattice: NDArray[np.float64]
    periodic: NDArray[np.bool_]


def draw_table(source: str, count: int, seed: int) -> pa.Table:
    """Draw rows from a few random pages of a source; raises CrysiftError if it holds no structures."""
    random = np.random.default_rng(seed)
    (connector,) = open_sources([source])
    pages = list(connector.pages(None))
    chosen = [pages[i] for i in random.permutation(len(pages))[:PAGES_READ]]
    share = -(-count // max(1, len(chosen)))
    drawn = []
    for page in chosen:
        accepted, _ = validate(connector.read(page).candidates, StructureLimits())
        drawn.append(accepted.take(pa.array(random.permutation(accepted.num_rows)[:share])))
    table = pa.concat_tables(drawn).slice(0, count) if drawn else None
    if not table:
        raise CrysiftError(f"there are no structures in {source} to measure on: name another --source")
    return table.combine_chunks()


def draw_structures(source: str, count: int, seed: int) -> list[Sample]:
    """Draw structures as `draw_table` does."""
    columns = StructureColumns.from_table(draw_table(source, count, seed))
    return [Sample(*columns.row(row)) for row in range(len(columns))]
