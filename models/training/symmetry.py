"""What spglib makes of defective crystals: the method that the network is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import StructureColumns, contiguous, list_rows
from engine.descriptors.features import GEOMETRY, Failure, features_table
from engine.descriptors.neighbors import Floats, Ints
from engine.schema import features_schema
from engine.stage import BatchFunction, Stage

TOLERANCES = {"loose": (0.1, 5.0), "tight": (1e-4, 1.0)}
"""Å and degrees."""


class SpaceGroups(NamedTuple):
    """Numbers (tolerances,) of the space groups that were found, 0 where there was none."""

    vector: NDArray[np.float32]


@dataclass(frozen=True)
class SymmetryStage(Stage):
    """structures → the space group that spglib finds with each of `TOLERANCES`."""

    name: ClassVar[str] = "features_symmetry"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        """Geometry and elements."""
        return GEOMETRY

    @property
    def writes(self) -> pa.Schema:
        """`features_schema` for a space group of each tolerance."""
        return features_schema(len(TOLERANCES), pa.int16(), ())

    def settings(self) -> dict[str, Any]:
        """The tolerances."""
        return {name: list(values) for name, values in TOLERANCES.items()}

    def open(self) -> BatchFunction:
        """Return the function on structures."""
        return self._find

    def _find(self, table: pa.Table) -> pa.Table:
        columns = StructureColumns.from_table(table)
        found: list[SpaceGroups | Failure] = []
        for row, numbers in enumerate(list_rows(contiguous(table["atomic_numbers"]))):
            positions, _, lattice, _ = columns.row(row)
            groups = [_space_group(positions, numbers, lattice, *within) for within in TOLERANCES.values()]
            found.append(SpaceGroups(np.array(groups, np.float32)))
        return features_table(table["structure_id"], self.name, found, self.writes)


def _space_group(positions: Floats, numbers: Ints, lattice: Floats, length: float, angle: float) -> int:
    from engine.symmetry.crystal import SymmetryError, crystal_symmetry

    try:
        return int(crystal_symmetry(positions, numbers, lattice, length, angle).number)
    except SymmetryError:
        return 0
