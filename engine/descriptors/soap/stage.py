"""The stage that turns the structures table into SOAP vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from engine.columns import StructureColumns
from engine.descriptors.neighbors import Ints
from engine.descriptors.soap.settings import SOAP_WIDTH, SoapSettings
from engine.descriptors.soap.vector import SoapResult, compile_kernel, soap_vector
from engine.schema import STATUS_FAILED, STATUS_OK, STRUCTURES, features_schema
from engine.stage import BatchFunction, Stage

_READS = (
    "structure_id",
    "is_ordered",
    "species_at_sites",
    "cartesian_site_positions",
    "lattice_vectors",
    "dimension_types",
    "atomic_numbers",
)


class Failure(NamedTuple):
    """Why a structure has no vector."""

    error_class: str
    message: str


@dataclass(frozen=True)
class SoapStage(Stage):
    """structures → features_soap, one vector per structure."""

    soap: SoapSettings = field(default_factory=SoapSettings)

    name: ClassVar[str] = "features_soap"
    source: ClassVar[str] = "structures"
    revision: ClassVar[int] = 1

    @property
    def reads(self) -> pa.Schema:
        """Geometry and species of the structures."""
        return pa.schema([STRUCTURES.field(name) for name in _READS])

    @property
    def writes(self) -> pa.Schema:
        """`features_schema` for 316 components."""
        return features_schema(SOAP_WIDTH)

    def settings(self) -> dict[str, Any]:
        """All of `SoapSettings`."""
        return asdict(self.soap)

    def open(self) -> BatchFunction:
        """Compile the kernel (or load it from numba's cache) and return `soap_features`."""
        compile_kernel(self.soap)
        return lambda table: soap_features(table, self.soap)


def soap_features(table: pa.Table, settings: SoapSettings) -> pa.Table:
    """SOAP vectors of a batch of structures: the rows of a `features_soap` table, in the same order."""
    columns = StructureColumns.from_table(table)
    ordered = table["is_ordered"].to_numpy()
    species = _species_codes(columns, table["atomic_numbers"])
    results = [
        _row_vector(columns, species, index, bool(ordered[index]), settings) for index in range(len(columns))
    ]
    return _features(table["structure_id"], results)


def _species_codes(columns: StructureColumns, atomic_numbers: pa.ChunkedArray) -> Ints:
    """Codes (N,) that are equal where the species are: elements where these are known, labels elsewhere.

    Two labels may stand for one element ("Fe1", "Fe2"); a partially occupied site has a label only.
    """
    numbers = atomic_numbers.combine_chunks()
    lengths = np.where(numbers.is_null().to_numpy(zero_copy_only=False), 0, columns.nsites)
    known = np.repeat(lengths > 0, columns.nsites)
    codes = columns.species + 256
    codes[known] = numbers.flatten().to_numpy(zero_copy_only=False)
    return codes


def _row_vector(
    columns: StructureColumns, species: Ints, index: int, is_ordered: bool, settings: SoapSettings
) -> SoapResult | Failure:
    """The vector of one row, or why it has none."""
    if not is_ordered:
        return Failure(
            "DisorderedStructure",
            "some sites are partially occupied or have several species; SOAP needs one species per site: "
            "replace the structure by an ordered approximant",
        )
    positions, _, lattice, periodic = columns.row(index)
    sites = slice(columns.offsets[index], columns.offsets[index + 1])
    try:
        result = soap_vector(positions, species[sites], lattice, periodic, settings)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError, MemoryError) as error:
        return Failure(type(error).__name__, f"SOAP failed on {len(positions)} sites: {error}")
    if not np.isfinite(result.vector).all():
        return Failure(
            "NonFiniteVector", "the SOAP vector has infinite or undefined components: do two atoms coincide?"
        )
    if not result.vector.any():
        return Failure("NoNeighbours", "no atom has a neighbour, so that there is no length to scale by")
    return result


def _features(structure_ids: pa.ChunkedArray, results: Sequence[SoapResult | Failure]) -> pa.Table:
    """The features table of a batch's results."""
    schema = features_schema(SOAP_WIDTH)
    failures = [result if isinstance(result, Failure) else None for result in results]
    vectors = [result if isinstance(result, SoapResult) else None for result in results]
    values = np.zeros((len(results), SOAP_WIDTH), np.float32)
    for row, result in enumerate(vectors):
        if result is not None:
            values[row] = result.vector
    absent = np.array([result is None for result in vectors], np.bool_)
    vector = pa.FixedSizeListArray.from_arrays(
        values.reshape(-1), type=schema.field("vector").type, mask=pa.array(absent)
    )
    arrays = [
        structure_ids.combine_chunks(),
        pa.array([STATUS_OK if failure is None else STATUS_FAILED for failure in failures]),
        pa.array([failure and SoapStage.name for failure in failures], pa.string()),
        pa.array([failure and failure.error_class for failure in failures], pa.string()),
        pa.array([failure and failure.message for failure in failures], pa.string()),
        vector,
        pa.array([result and result.d_nn_min for result in vectors], pa.float64()),
        pa.array([result and result.n_pairs for result in vectors], pa.int64()),
    ]
    return pa.table(arrays, schema=schema)
