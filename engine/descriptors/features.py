"""Rows of a features table: a vector with facts about it, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import contiguous
from engine.schema import STATUS_FAILED, STATUS_OK, STRUCTURES

GEOMETRY = pa.schema(
    [
        STRUCTURES.field(name)
        for name in (
            "structure_id",
            "is_ordered",
            "species_at_sites",
            "cartesian_site_positions",
            "lattice_vectors",
            "dimension_types",
            "atomic_numbers",
        )
    ]
)
"""What a descriptor is computed from."""
ROW_ERRORS = (ValueError, ArithmeticError, np.linalg.LinAlgError, MemoryError)
"""What a structure can do to a descriptor; the row fails, the batch goes on."""


class Failure(NamedTuple):
    """Why a structure has no vector; a status other than "failed" is no error and has no class."""

    error_class: str | None
    message: str | None
    status: str = STATUS_FAILED


class Described(Protocol):
    """A vector; every further column of the features table is an attribute of its name."""

    @property
    def vector(self) -> NDArray[np.floating[Any]]:
        """(width,)."""


def disordered(descriptor: str) -> Failure:
    """The reason of a structure whose sites hold several species or are partly vacant."""
    return Failure(
        "DisorderedStructure",
        f"some sites are partially occupied or have several species; {descriptor} needs one species per "
        "site: replace the structure by an ordered approximant",
    )


def features_table(
    structure_ids: pa.ChunkedArray, stage: str, results: Sequence[Described | Failure], schema: pa.Schema
) -> pa.Table:
    """The table of a batch's results, in their order, with the columns of ``schema``."""
    failures = [result if isinstance(result, Failure) else None for result in results]
    vectors = [None if isinstance(result, Failure) else result for result in results]
    columns: dict[str, pa.Array] = {
        "structure_id": contiguous(structure_ids),
        "status": pa.array([STATUS_OK if failure is None else failure.status for failure in failures]),
        "error_stage": pa.array(
            [failure and failure.error_class and stage for failure in failures], pa.string()
        ),
        "error_class": pa.array([failure and failure.error_class for failure in failures], pa.string()),
        "error_message": pa.array([failure and failure.message for failure in failures], pa.string()),
        "vector": _lists(vectors, schema.field("vector").type),
    }
    for fact in [field for field in schema if field.name not in columns]:
        values = [None if result is None else getattr(result, fact.name) for result in vectors]
        columns[fact.name] = pa.array(values, fact.type)
    return pa.table([columns[field.name] for field in schema], schema=schema)


def _lists(results: Sequence[Described | None], kind: pa.DataType) -> pa.Array:
    """Vectors as fixed-size lists; null where there is none."""
    values = np.zeros((len(results), kind.list_size), kind.value_type.to_pandas_dtype())
    for row, result in enumerate(results):
        if result is not None:
            values[row] = result.vector
    absent = pa.array(np.array([result is None for result in results], np.bool_))
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=kind, mask=absent)
