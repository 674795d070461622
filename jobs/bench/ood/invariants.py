"""A baseline without networks: how far a structure's distances of atoms are from those of the known ones.

The average minimum distance AMD_k is the mean over atoms of the distance to the k-th nearest atom
(D. Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529 (2022)). It does not depend on the cell, sees
no elements, and is divided by AMD_1, the mean distance to the nearest atom, so that a crystal of larger atoms
is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import StructureColumns, contiguous
from engine.descriptors.features import GEOMETRY
from engine.schema import STATUS_COLUMNS, STATUS_OK, STRUCTURE_ID
from engine.stage import BatchFunction, Stage
from engine.structure import Structure

Floats = NDArray[np.float64]

NEIGHBORS = 100
VACUUM = 60.0
"""Å: more than to the hundredth neighbour in a layer."""


@dataclass(frozen=True)
class AmdStage(Stage):
    """structures → the first `NEIGHBORS` average minimum distances, in units of the first.

    A structure of fewer atoms without periodicity has NaN where it has no further neighbours.
    """

    name: ClassVar[str] = "average_minimum_distances"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        """Geometry."""
        return GEOMETRY

    @property
    def writes(self) -> pa.Schema:
        """The distances."""
        return pa.schema([STRUCTURE_ID, *STATUS_COLUMNS, pa.field("amd", pa.list_(pa.float64(), NEIGHBORS))])

    def settings(self) -> dict[str, Any]:
        """The number of neighbours."""
        return {"neighbors": NEIGHBORS}

    def open(self) -> BatchFunction:
        """Return the function on structures."""
        return self._measure

    def _measure(self, batch: pa.Table) -> pa.Table:
        columns = StructureColumns.from_table(batch)
        rows = (columns.row(row) for row in range(len(columns)))
        found = [average_minimum_distances(at, lattice, periodic) for at, _, lattice, periodic in rows]
        nothing = pa.nulls(len(batch), pa.string())
        arrays = {
            "structure_id": contiguous(batch["structure_id"]),
            "status": pa.array([STATUS_OK] * len(batch), pa.string()),
            **dict.fromkeys(("error_stage", "error_class", "error_message"), nothing),
            "amd": pa.array(found, self.writes.field("amd").type),
        }
        return pa.table(arrays, schema=self.writes)


def average_minimum_distances(positions: Floats, lattice: Floats, periodic: NDArray[np.bool_]) -> Floats:
    """AMD_1 … AMD_100 (100,) in units of AMD_1 of atoms at `positions` (n, 3) Å.

    `lattice` (3, 3) Å has the vectors as rows; copies of a layer or a chain are `VACUUM` apart.
    """
    import amd

    if periodic.any():
        cell = with_vacuum(positions, lattice, periodic)
        motif = np.ascontiguousarray(positions, float)
        found = np.asarray(amd.AMD(amd.PeriodicSet(motif, cell), NEIGHBORS))
    else:
        found = np.asarray(amd.AMD_finite(positions))[:NEIGHBORS]
    return np.pad(found / found[0], (0, NEIGHBORS - len(found)), constant_values=np.nan)


def with_vacuum(positions: Floats, lattice: Floats, periodic: NDArray[np.bool_]) -> Floats:
    """The lattice (3, 3) Å with vectors across a layer or a chain that leave `VACUUM` between its copies."""
    cell = np.array(lattice, float)
    along = cell[periodic]
    across = np.linalg.svd(along)[2][len(along) :]
    lengths = np.ptp(positions @ across.T, axis=0) + VACUUM
    cell[~periodic] = lengths[:, None] * across
    return cell


def distances_of(structures: Sequence[Structure]) -> Floats:
    """Average minimum distances (structures, 100)."""
    return np.array(
        [
            average_minimum_distances(each.positions, each.cell, np.array(each.dimension_types, bool))
            for each in structures
        ]
    )


def nearest_known(invariants: Floats, known: Floats) -> Floats:
    """Largest difference (N,) of `invariants` (N, 100) from those of the nearest of `known` (K, 100).

    Of two structures only as many distances count as both have.
    """
    return np.array([np.nanmax(np.abs(known - each), axis=1).min() for each in invariants])
