"""Flat numpy views on an Arrow batch of structures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.errors import CrysiftError

Site = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class StructureColumns:
    """B structures with N sites in total, as flat arrays; lengths in Å.

    ``offsets`` (B+1,) delimits the sites of each structure in ``positions`` (N, 3) and ``site_labels`` (N,).
    ``lattices`` (B, 3, 3) holds lattice vectors as rows, zero where there are none; ``periodic`` (B, 3) says
    along which of them.
    """

    structure_ids: pa.Array
    offsets: NDArray[np.int64]
    positions: NDArray[np.float64]
    site_labels: pa.Array
    lattices: NDArray[np.float64]
    periodic: NDArray[np.bool_]

    @classmethod
    def from_table(cls, table: pa.Table) -> "StructureColumns":
        """View the columns of ``table``, whose rows are valid structures.

        Raises:
            CrysiftError: a row has more or fewer positions than species.
        """
        positions = contiguous(table["cartesian_site_positions"])
        labels = contiguous(table["species_at_sites"])
        offsets = list_offsets(positions)
        if not np.array_equal(offsets, list_offsets(labels)):
            raise CrysiftError(
                "cartesian_site_positions and species_at_sites differ in length in at least one row; "
                "pass the structures through engine.validation.validate, which names the rows"
            )
        return cls(
            structure_ids=contiguous(table["structure_id"]),
            offsets=offsets,
            positions=fixed_size_values(positions.flatten()).reshape(-1, 3),
            site_labels=labels.flatten(),
            lattices=lattices_or_zeros(contiguous(table["lattice_vectors"])),
            periodic=fixed_size_values(contiguous(table["dimension_types"])).reshape(-1, 3) == 1,
        )

    def __len__(self) -> int:
        """Count the structures."""
        return len(self.offsets) - 1

    def row(self, index: int) -> Site:
        """Positions (n, 3), species codes (n,), lattice (3, 3) and periodicity (3,) of one structure."""
        sites = slice(self.offsets[index], self.offsets[index + 1])
        return self.positions[sites], self.species[sites], self.lattices[index], self.periodic[index]

    @cached_property
    def _encoded(self) -> pa.DictionaryArray:
        return self.site_labels.dictionary_encode()

    @cached_property
    def species(self) -> NDArray[np.int64]:
        """Codes (N,) that index ``labels``: equal code, equal species label within this batch."""
        return np.asarray(self._encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))

    @cached_property
    def labels(self) -> Sequence[str]:
        """The different species labels of this batch."""
        labels: list[str] = self._encoded.dictionary.to_pylist()
        return labels

    @property
    def nsites(self) -> NDArray[np.int64]:
        """Sites per structure (B,)."""
        return np.diff(self.offsets)

    @property
    def site_rows(self) -> NDArray[np.int64]:
        """The row that each site belongs to (N,)."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.nsites)


def contiguous(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return the column as one array that starts where its memory starts.

    A slice is copied: pyarrow (26.0.1) takes and filters the rows of other memory where the array is a slice
    of fixed-size lists of fixed-size lists.
    """
    if isinstance(column, pa.ChunkedArray):
        chunks = column.chunks or [pa.array([], column.type)]
        column = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    return pa.concat_arrays([column, column.slice(0, 0)]) if column.offset else column


def list_offsets(lists: pa.Array) -> NDArray[np.int64]:
    """Offsets (B+1,) into ``lists.flatten()``; a null list has no elements."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def list_rows(lists: pa.Array) -> list[NDArray[np.int64]]:
    """The numbers of each row of an array of lists of integers; a null list has none."""
    values = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    return np.split(values, list_offsets(lists)[1:-1])[: len(lists)]


def rows_with_any(lists: pa.Array, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows of ``lists`` in which any of the flattened elements is flagged."""
    if not flags.any():
        return np.zeros(len(lists), dtype=bool)
    offsets = list_offsets(lists)
    flagged_before = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(flagged_before[offsets[1:]] > flagged_before[offsets[:-1]])


def distinct_labels(lists: pa.Array) -> NDArray[np.int64]:
    """How many different labels each row of a list array holds (B,)."""
    codes = pc.fill_null(lists.flatten().dictionary_encode().indices, -1).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(lists), dtype=np.int64), np.diff(list_offsets(lists)))
    stride = int(codes.max(initial=0)) + 2
    pairs = np.unique(rows * stride + codes + 1)
    return np.bincount(pairs // stride, minlength=len(lists))


def lattices_or_zeros(lattice_vectors: pa.Array) -> NDArray[np.float64]:
    """Lattice vectors (B, 3, 3), zero where there are none."""
    lattices = fixed_size_values(lattice_vectors).reshape(-1, 3, 3)
    if lattice_vectors.null_count == 0:
        return lattices
    absent = lattice_vectors.is_null().to_numpy(zero_copy_only=False)
    return np.where(absent[:, None, None], 0.0, lattices)


def fixed_size_values(lists: pa.Array) -> NDArray[Any]:
    """Numbers of a (nested) fixed-size list array, flat; NaN under a null of any level (doubles only)."""
    if not pa.types.is_fixed_size_list(lists.type):
        return np.asarray(lists.to_numpy(zero_copy_only=False))
    size = lists.type.list_size
    values = fixed_size_values(lists.values.slice(lists.offset * size, len(lists) * size))
    if lists.null_count == 0:
        return values
    rows = values.reshape(len(lists), -1).copy()
    rows[lists.is_null().to_numpy(zero_copy_only=False)] = np.nan if rows.dtype.kind == "f" else -1
    return rows.reshape(-1)
