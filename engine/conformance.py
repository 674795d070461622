"""Bringing the columns of a foreign table to the types of the structures table."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values, list_offsets
from engine.derivation import ALWAYS_DERIVED, structure_ids
from engine.errors import CrysiftError
from engine.schema import LATTICE, STRUCTURES, VECTOR

REQUIRED = (
    "source",
    "source_id",
    "nsites",
    "species_at_sites",
    "cartesian_site_positions",
    "dimension_types",
)
"""Columns that cannot be derived from others."""
VECTOR_COLUMNS = ("cartesian_site_positions", "lattice_vectors", "dimension_types")


def conform(table: pa.Table) -> tuple[pa.Table, dict[str, NDArray[np.bool_]]]:
    """Return the structures columns of ``table`` in their types, and by column the rows that do not fit them.

    These are rows with vectors that have not 3 components and with incomplete ``species``; they come back
    null. Columns that the structures table does not know, or that are always derived, are left out; null
    lattice vectors along directions that are not periodic become zero; ``structure_id`` and
    ``lattice_vectors`` are always there.

    Raises:
        CrysiftError: a required column is missing or has a type that cannot be converted.
    """
    require_columns(table.schema)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    misshapen: dict[str, NDArray[np.bool_]] = {}
    for field in STRUCTURES:
        if field.name in table.column_names and field.name not in ALWAYS_DERIVED:
            column = contiguous(table[field.name])
            rows = _unfit(column, field)
            if rows.any():
                misshapen[field.name] = rows
                column = column.take(pa.array(np.arange(len(column)), mask=rows))
            columns[field.name] = _cast(column, field)
    lattices = columns.get("lattice_vectors", pa.nulls(len(table), LATTICE))
    columns["lattice_vectors"] = _without_null_vectors(lattices, columns["dimension_types"])
    columns["structure_id"] = structure_ids(pa.table(columns))
    return pa.table(columns), misshapen


def require_columns(schema: pa.Schema) -> None:
    """Check that a table has the columns that cannot be derived.

    Raises:
        CrysiftError: one is missing.
    """
    missing = [name for name in REQUIRED if name not in schema.names]
    if missing:
        raise CrysiftError(
            f"the table has no column {missing[0]!r}; a table of structures needs {', '.join(REQUIRED)}, "
            f"this one has {', '.join(schema.names)}"
        )


def null_elements(values: pa.Array) -> NDArray[np.bool_]:
    """Which elements are null, or fixed-size lists with a null inside."""
    null = np.array(values.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_fixed_size_list(values.type) and len(values):
        size = values.type.list_size
        inside = null_elements(values.values.slice(values.offset * size, len(values) * size))
        null |= inside.reshape(-1, size).any(axis=1)
    return null


def rows_with_any(lists: pa.Array, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows of ``lists`` in which any of the flattened elements is flagged."""
    offsets = list_offsets(lists)
    flagged_before = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(flagged_before[offsets[1:]] > flagged_before[offsets[:-1]])


def _unfit(column: pa.Array, field: pa.Field) -> NDArray[np.bool_]:
    """Rows that cannot be brought to the type of ``field``, where others of the column can."""
    if field.name in VECTOR_COLUMNS and column.type != field.type:
        return _misshapen(column, field.type)
    if field.name == "species" and pa.types.is_nested(column.type):
        return rows_with_any(column, _incomplete(column.flatten()))
    return np.zeros(len(column), dtype=bool)


def _incomplete(species: pa.Array) -> NDArray[np.bool_]:
    """Which definitions of species are null, or lack a name, a symbol or a concentration."""
    incomplete = null_elements(species)
    for name in ("name", "chemical_symbols", "concentration"):
        if pa.types.is_struct(species.type) and name in species.type.names:
            values = species.field(name)
            incomplete |= null_elements(values)
            if pa.types.is_nested(values.type):
                incomplete |= rows_with_any(values, null_elements(values.flatten()))
    return incomplete


def _misshapen(lists: pa.Array, kind: pa.DataType) -> NDArray[np.bool_]:
    """Rows that hold a list of another length than the fixed size ``kind`` asks for, at any depth."""
    bad = np.zeros(len(lists), dtype=bool)
    if not pa.types.is_nested(lists.type) or not pa.types.is_nested(kind):
        return bad
    if pa.types.is_fixed_size_list(kind):
        lengths = pc.fill_null(pc.list_value_length(lists), kind.list_size)
        bad |= lengths.to_numpy(zero_copy_only=False) != kind.list_size
    return bad | rows_with_any(lists, _misshapen(lists.flatten(), kind.value_type))


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CrysiftError(
            f"column {field.name!r} is {column.type}, which does not convert to {field.type}: {error}"
        ) from error


def _without_null_vectors(lattices: pa.Array, dimension_types: pa.Array) -> pa.Array:
    """Lattices whose null components are zero along directions that are not periodic, NaN along others."""
    inner = lattices.values.slice(lattices.offset * 3, len(lattices) * 3)
    null = null_elements(inner).reshape(-1, 3)
    absent = lattices.is_null().to_numpy(zero_copy_only=False)
    if not null[~absent].any():
        return lattices
    periodic = fixed_size_values(dimension_types).reshape(-1, 3) == 1
    vectors = fixed_size_values(lattices).reshape(-1, 3, 3).copy()
    vectors[null & ~periodic] = 0.0
    rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=VECTOR)
    return pa.FixedSizeListArray.from_arrays(rows, type=LATTICE, mask=pa.array(absent))
