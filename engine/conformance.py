"""Bringing the columns of a foreign table to the types of the structures table."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values, rows_with_any
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


Rows = dict[str, NDArray[np.bool_]]


def conform(table: pa.Table) -> tuple[pa.Table, Rows, Rows]:
    """Return the structures columns of ``table`` in their types, and by column the rows that do not fit them.

    These are rows of the wrong shape, with vectors that have not 3 components or incomplete ``species``, and
    rows with numbers that the type cannot hold; they come back null. Columns that the structures table does
    not know, or that are always derived, are left out; null lattice vectors along directions that are not
    periodic become zero; ``structure_id`` and ``lattice_vectors`` are always there.

    Raises:
        CrysiftError: a required column is missing or has a type that cannot be converted.
    """
    require_columns(table.schema)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    misshapen: Rows = {}
    inconvertible: Rows = {}
    for field in STRUCTURES:
        if field.name in table.column_names and field.name not in ALWAYS_DERIVED:
            column = contiguous(table[field.name])
            misshapen[field.name] = _unfit(column, field)
            if misshapen[field.name].any():
                column = _without(column, misshapen[field.name])
            columns[field.name], inconvertible[field.name] = _converted(column, field)
    lattices = columns.get("lattice_vectors", pa.nulls(len(table), LATTICE))
    columns["lattice_vectors"] = _without_null_vectors(lattices, columns["dimension_types"])
    columns["structure_id"] = structure_ids(pa.table(columns))
    return pa.table(columns), misshapen, inconvertible


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
    null = np.zeros(len(values), dtype=bool)
    if values.null_count:
        null |= values.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(values.type):
        size = values.type.list_size
        inside = null_elements(values.values.slice(values.offset * size, len(values) * size))
        if inside.any():
            null |= inside.reshape(-1, size).any(axis=1)
    return null


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


def _without(column: pa.Array, rows: NDArray[np.bool_]) -> pa.Array:
    """Return a copy of the column that is null in these rows."""
    return column.take(pa.array(np.arange(len(column)), mask=rows))


def _converted(column: pa.Array, field: pa.Field) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return the column in the type of ``field``, and the rows that it cannot hold, which are null."""
    try:
        return column.cast(field.type), np.zeros(len(column), dtype=bool)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        if isinstance(error, pa.ArrowInvalid) and _is_number(column.type) and _is_number(field.type):
            rows = _inconvertible(column, field.type)
            return _without(column, rows).cast(field.type), rows
        raise CrysiftError(
            f"column {field.name!r} is {column.type}, which does not convert to {field.type}: {error}"
        ) from error


def _is_number(kind: pa.DataType) -> bool:
    """Whether values of this type are numbers, or lists of them at any depth."""
    if pa.types.is_nested(kind):
        return kind.num_fields == 1 and _is_number(kind.field(0).type)
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _inconvertible(column: pa.Array, kind: pa.DataType) -> NDArray[np.bool_]:
    """Rows that do not convert, found by halving what does not.

    Rows are taken, not sliced: pyarrow also converts the elements of lists that a slice leaves out.
    """
    rows = np.zeros(len(column), dtype=bool)
    pieces = [range(len(column))]
    while pieces:
        piece = pieces.pop()
        try:
            column.take(pa.array(piece, pa.int64())).cast(kind)
        except pa.ArrowInvalid:
            middle = len(piece) // 2
            rows[piece] = middle == 0
            pieces += [half for half in (piece[:middle], piece[middle:]) if middle]
    return rows


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
