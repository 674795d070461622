"""Tables of vectors as stages read them, and the rows that they write."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.schema import STATUS_OK


def usable_rows(batch: pa.Table) -> NDArray[np.bool_]:
    """Mark the rows (B,) that carry a vector."""
    return np.asarray(pc.equal(contiguous(batch["status"]), STATUS_OK).to_numpy(zero_copy_only=False), bool)


def vectors_of(batch: pa.Table) -> NDArray[np.floating]:
    """Vectors (B, width) of all rows; those of failed rows mean nothing."""
    lists = contiguous(batch["vector"])
    return fixed_size_values(lists).reshape(len(lists), lists.type.list_size)


def with_failed_rows(
    batch: pa.Table, usable: NDArray[np.bool_], columns: dict[str, pa.Array], schema: pa.Schema
) -> pa.Table:
    """Spread the usable rows' columns over all rows; failed rows keep their error and get nulls."""
    place = pa.array(np.cumsum(usable) - 1, pa.int64(), mask=~usable)
    arrays = [
        contiguous(batch[field.name]) if field.name in batch.column_names else columns[field.name].take(place)
        for field in schema
    ]
    return pa.Table.from_arrays([a.cast(f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema)
