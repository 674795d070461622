"""spglib as a competitor: a defective crystal is recognised where its space group is that of its parent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from engine.columns import StructureColumns, contiguous, list_rows
from engine.descriptors.features import GEOMETRY
from engine.schema import STATUS_COLUMNS, STATUS_OK, STRUCTURE_ID
from engine.stage import BatchFunction, Stage
from models.training.symmetry import TOLERANCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.descriptors.neighbors import Floats, Ints

NO_SYMMETRY = 1
"""The number of the space group P1."""
NONE_FOUND = 0
"""In place of a space group's number, where spglib ends without one."""


@dataclass(frozen=True)
class SpaceGroupStage(Stage):
    """structures → the number of the space group within each of `TOLERANCES`, null without periodicity.

    A layer is read as the crystal of layers that its cell with vacuum describes.
    """

    name: ClassVar[str] = "space_groups"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        """Geometry and elements."""
        return GEOMETRY

    @property
    def writes(self) -> pa.Schema:
        """A column for each of the tolerances."""
        groups = (pa.field(name, pa.int16()) for name in TOLERANCES)
        return pa.schema([STRUCTURE_ID, *STATUS_COLUMNS, *groups])

    def settings(self) -> dict[str, Any]:
        """The tolerances, in Å and degrees."""
        return {name: list(values) for name, values in TOLERANCES.items()}

    def open(self) -> BatchFunction:
        """Return the function on structures."""
        os.environ.setdefault("SPGLIB_WARNING", "OFF")
        return self._find

    def _find(self, batch: pa.Table) -> pa.Table:
        columns = StructureColumns.from_table(batch)
        found: list[list[int | None]] = []
        for row, numbers in enumerate(list_rows(contiguous(batch["atomic_numbers"]))):
            positions, _, lattice, periodic = columns.row(row)
            found.append(
                space_groups(positions, numbers, lattice) if periodic.any() else [None] * len(TOLERANCES)
            )
        groups = {
            name: pa.array([row[place] for row in found], pa.int16()) for place, name in enumerate(TOLERANCES)
        }
        return judged(batch["structure_id"], groups, self.writes)


def space_groups(positions: Floats, numbers: Ints, lattice: Floats) -> list[int | None]:
    """Numbers of the space groups within each of `TOLERANCES`, the widest first.

    What has no symmetry within a wide tolerance has none within a narrow one, and is not asked again.
    """
    found: list[int | None] = []
    for within in TOLERANCES.values():
        alone = found[-1:] == [NO_SYMMETRY]
        found.append(NO_SYMMETRY if alone else space_group(positions, numbers, lattice, *within))
    return found


def space_group(
    positions: Floats, numbers: Ints, lattice: Floats, tolerance: float, angle_tolerance: float
) -> int:
    """Number of the space group that spglib finds within Å and degrees, 0 where it finds none.

    `positions` (n, 3) Å Cartesian, `numbers` (n,) atomic numbers, `lattice` (3, 3) Å as rows.
    """
    import spglib

    cell: Any = lattice, positions @ np.linalg.inv(lattice), numbers
    try:
        data = spglib.get_symmetry_dataset(cell, tolerance, angle_tolerance)
    except spglib.SpglibError:
        return NONE_FOUND
    return NONE_FOUND if data is None else int(data.number)


def judged(structure_ids: pa.ChunkedArray, columns: dict[str, pa.Array], schema: pa.Schema) -> pa.Table:
    """Table of results in the order of the structures, none of which can fail."""
    rows = len(structure_ids)
    nothing = pa.nulls(rows, pa.string())
    status = {"status": pa.array([STATUS_OK] * rows, pa.string())}
    errors = dict.fromkeys(("error_stage", "error_class", "error_message"), nothing)
    every = {"structure_id": contiguous(structure_ids), **status, **errors, **columns}
    return pa.table([every[field.name] for field in schema], schema=schema)


def right_groups(
    labels: Sequence[str], kinds: Sequence[int], groups: Sequence[int | None]
) -> list[bool | None]:
    """Tell which structures (N,) have the space group of their pristine crystal; None where there is none.

    `kinds` are places in `KINDS`, of which 0 is pristine; the crystal itself is right by definition.
    """
    of_crystal = {
        label: group
        for label, kind, group in zip(labels, kinds, groups, strict=True)
        if kind == 0 and group is not None
    }
    return [
        None if group is None else group == of_crystal[label] != NONE_FOUND
        for label, group in zip(labels, groups, strict=True)
    ]
