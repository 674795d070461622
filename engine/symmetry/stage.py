"""The stage that turns the structures table into structure types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import StructureColumns, contiguous, list_rows
from engine.descriptors.features import GEOMETRY, ROW_ERRORS, Failure, disordered
from engine.errors import CrysiftError
from engine.schema import PROTOSTRUCTURES, STATUS_OK
from engine.stage import BatchFunction, Stage

if TYPE_CHECKING:
    from engine.symmetry.protostructure import Protostructure

MAX_TOLERANCE = 1.0
"""Å; more than that joins atoms."""

_DISORDERED = disordered("the protostructure")
_NOT_PERIODIC = Failure(
    "NotPeriodic",
    "the structure does not repeat along three vectors: a protostructure is that of a crystal",
)


@dataclass(frozen=True)
class ProtostructureStage(Stage):
    """structures → protostructures, the structure type of each crystal."""

    tolerance: float = 0.1
    """Å, by which atoms may miss the symmetry of the structure type."""

    name: ClassVar[str] = "protostructures"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raise CrysiftError for a tolerance with which no symmetry is found, or any."""
        if not 0.0 < self.tolerance <= MAX_TOLERANCE:
            raise CrysiftError(
                f"the tolerance of protostructures, {self.tolerance:g} Å, is outside (0, {MAX_TOLERANCE:g}]"
            )

    @property
    def reads(self) -> pa.Schema:
        """Geometry and elements of the structures."""
        return GEOMETRY

    @property
    def writes(self) -> pa.Schema:
        """`PROTOSTRUCTURES`."""
        return PROTOSTRUCTURES

    def settings(self) -> dict[str, Any]:
        """The tolerance."""
        return {"tolerance": self.tolerance}

    def open(self) -> BatchFunction:
        """Return the function on structures."""
        return self._label

    def _label(self, table: pa.Table) -> pa.Table:
        columns = StructureColumns.from_table(table)
        numbers = list_rows(contiguous(table["atomic_numbers"]))
        ordered = table["is_ordered"].to_numpy()
        results = [
            self._labelled(columns, row, numbers[row]) if ordered[row] else _DISORDERED
            for row in range(len(columns))
        ]
        failures = [result if isinstance(result, Failure) else None for result in results]
        found = [None if isinstance(result, Failure) else result for result in results]
        arrays = {
            "structure_id": contiguous(table["structure_id"]),
            "status": [STATUS_OK if failure is None else failure.status for failure in failures],
            "error_stage": [failure and self.name for failure in failures],
            "error_class": [failure and failure.error_class for failure in failures],
            "error_message": [failure and failure.message for failure in failures],
            "protostructure": [each and each.label for each in found],
            "space_group": [each and each.space_group for each in found],
        }
        return pa.table(arrays, schema=PROTOSTRUCTURES)

    def _labelled(
        self, columns: StructureColumns, row: int, numbers: NDArray[np.int64]
    ) -> Protostructure | Failure:
        from engine.symmetry.protostructure import protostructure

        positions, _, lattice, periodic = columns.row(row)
        if not periodic.all():
            return _NOT_PERIODIC
        try:
            return protostructure(positions, numbers, lattice, self.tolerance)
        except ROW_ERRORS as error:
            message = f"no protostructure of {len(positions)} sites: {error}"
            return Failure(type(error).__name__, message)
