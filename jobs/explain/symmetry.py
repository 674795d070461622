"""The space groups of one structure at several tolerances, and its structure type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.columns import StructureColumns, contiguous, list_rows
from engine.symmetry.crystal import FROM_LENGTHS, SymmetryError, crystal_symmetry
from engine.symmetry.stage import ProtostructureStage

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCES = (0.001, 0.01, 0.1)
"""Å, by which atoms may miss the symmetry; angles by what lengths imply."""
NO_CELL = "no cell: the structure does not repeat along three vectors"


@dataclass(frozen=True)
class SpaceGroup:
    """What spglib finds within a tolerance in Å; `reason` where it finds nothing."""

    tolerance: float
    number: int | None = None
    symbol: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Symmetry:
    """Space groups by rising tolerance, none without a cell, and the structure type at `tolerance` in Å.

    `reason` is why there is no structure type.
    """

    space_groups: tuple[SpaceGroup, ...]
    tolerance: float
    protostructure: str | None = None
    reason: str | None = None


def symmetry_of(table: pa.Table) -> Symmetry:
    """Find the symmetry of the one structure in a structures table."""
    stage = ProtostructureStage()
    columns = StructureColumns.from_table(table)
    if not columns.periodic[0].all():
        return Symmetry((), stage.tolerance, reason=NO_CELL)
    [found] = stage.open()(table).to_pylist()
    groups = tuple(_space_group(columns, table, tolerance) for tolerance in TOLERANCES)
    return Symmetry(groups, stage.tolerance, found["protostructure"], found["error_message"])


def _space_group(columns: StructureColumns, table: pa.Table, tolerance: float) -> SpaceGroup:
    positions, _, lattice, _ = columns.row(0)
    [numbers] = list_rows(contiguous(table["atomic_numbers"]))
    try:
        data = crystal_symmetry(positions, numbers, lattice, tolerance, FROM_LENGTHS)
    except SymmetryError as error:
        return SpaceGroup(tolerance, reason=str(error))
    return SpaceGroup(tolerance, int(data.number), str(data.international))
