"""The results of strided pattern matching as arrays over the grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous, list_offsets
from engine.errors import CrysiftError
from engine.schema import STATUS_FAILED
from engine.spm.grid import Grid
from engine.store import Table

Values = NDArray[np.float32]
"""One number per frame and box (F, nx, ny, nz), NaN where there is none."""
Codes = NDArray[np.int16]

_PLACE = ("frame", "ix", "iy", "iz")
_NUMBERS = ("probability", "mutual_information", "predictive_entropy", "ood_score")
_CANDIDATES = ("top", "requested")
_COLUMNS = (*_PLACE, "level", "n_atoms", "status", "prototype", *_NUMBERS, *_CANDIDATES)


class ClassProbabilities(Mapping[str, Values]):
    """Probabilities of the classes that are among a box's most probable ones or were asked for by name.

    Looked up by label, a class has one number per frame and box (F, nx, ny, nz): 0 where it is beyond a box's
    list, NaN where a box is not classified.
    """

    def __init__(self, labels: Sequence[str], codes: Codes, values: Values, classified: NDArray[np.bool_]):
        """Keep lists (F, nx, ny, nz, k) of places in `labels`, -1 at their ends, and of probabilities."""
        self._places = {label: place for place, label in enumerate(labels)}
        self._codes, self._values, self._classified = codes, values, classified

    def __getitem__(self, label: str) -> Values:
        """Probability of a class in every box."""
        listed = np.where(self._codes == self._places[label], self._values, np.float32(0.0))
        return np.where(self._classified, listed.max(axis=-1, initial=0.0), np.float32(np.nan))

    def __iter__(self) -> Iterator[str]:
        """Go through the labels."""
        return iter(self._places)

    def __len__(self) -> int:
        """Count the labels."""
        return len(self._places)


@dataclass(frozen=True, eq=False)
class Field:
    """What was found in every box of a grid; arrays (F, nx, ny, nz) over F frames.

    `labels` are the prototypes that are the most probable somewhere, the most frequent first; `prototype`
    indexes them and is -1 in boxes that are not classified, where the other values are NaN. Mutual
    information and entropy are in nat. `level` is -1 where a box was left out by refinement: its values are
    those of the nearest box that was not. `failed` marks boxes with an error.
    """

    grid: Grid
    labels: tuple[str, ...]
    prototype: Codes
    probability: Values
    mutual_information: Values
    predictive_entropy: Values
    ood_score: Values
    n_atoms: NDArray[np.int32]
    level: NDArray[np.int8]
    failed: NDArray[np.bool_]
    probabilities: Mapping[str, Values]

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self.prototype)

    @property
    def classified(self) -> NDArray[np.bool_]:
        """The boxes (F, nx, ny, nz) that have a class."""
        return self.prototype >= 0

    @property
    def shares(self) -> dict[str, float]:
        """Share of every class in the classified boxes of all frames."""
        counts = np.bincount(self.prototype[self.classified], minlength=len(self.labels))
        return {label: float(n / max(counts.sum(), 1)) for label, n in zip(self.labels, counts, strict=True)}


def read_field(table: Table, grid: Grid) -> Field:
    """Read the results on a grid from a table `spm_grid`.

    Raises CrysiftError for an empty table and for boxes outside of the grid.
    """
    rows = _rows(table, _COLUMNS)
    boxes = _Boxes.of(rows, grid)
    names, prototype = _encoded(rows["prototype"])
    counts = np.bincount(prototype[prototype >= 0], minlength=len(names))
    order = sorted(range(len(names)), key=lambda code: (-counts[code], names[code]))
    rank = np.full(len(names) + 1, -1, np.int16)
    rank[order] = np.arange(len(names))
    dense = boxes.spread(rank[prototype], -1)
    numbers = {name: boxes.spread(_numbers(rows[name]).astype(np.float32), np.nan) for name in _NUMBERS}
    failed = np.asarray(pc.equal(rows["status"], STATUS_FAILED).to_numpy(zero_copy_only=False), bool)
    return Field(
        grid=grid,
        labels=tuple(names[code] for code in order),
        prototype=dense,
        n_atoms=boxes.spread(np.nan_to_num(_numbers(rows["n_atoms"])).astype(np.int32), 0),
        level=np.where(boxes.own, boxes.spread(_numbers(rows["level"]).astype(np.int8), -1), -1).astype(
            np.int8
        ),
        failed=boxes.spread(failed, False),
        probabilities=_probabilities(rows, boxes, dense >= 0),
        **numbers,
    )


def read_values(table: Table, grid: Grid, column: str) -> NDArray[np.float64]:
    """Read a column of numbers from a table with a row per box, such as `spm_regions`; NaN for none.

    Returns (F, nx, ny, nz), a box left out by refinement having the value of the nearest one that was not.
    Raises CrysiftError for an empty table, an unknown column and boxes outside of the grid.
    """
    rows = _rows(table, (*_PLACE, column))
    values: NDArray[np.float64] = _Boxes.of(rows, grid).spread(_numbers(rows[column]), np.nan)
    return values


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Where the rows of a table lie.

    `own` marks the boxes (F, nx, ny, nz) with a row of their own, `row` has the row whose values a box shows,
    -1 for none.
    """

    own: NDArray[np.bool_]
    row: NDArray[np.int64]

    @classmethod
    def of(cls, rows: pa.Table, grid: Grid) -> _Boxes:
        """Place rows; a box without one takes the nearest box's of the same frame."""
        from scipy.ndimage import distance_transform_edt

        frame, *place = (contiguous(rows[name]).to_numpy() for name in _PLACE)
        for axis, indices, count in zip("xyz", place, grid.counts, strict=True):
            if indices.min() < 0 or indices.max() >= count:
                raise CrysiftError(
                    f"a box has the index {max(indices.max(), -indices.min())} along {axis}, where the grid "
                    f"has {count} boxes: the table belongs to another grid; run `crysift spm` in a new store"
                )
        row = np.full((int(frame.max()) + 1, *grid.counts), -1, np.int64)
        row[(frame, *place)] = np.arange(len(frame))
        own = row >= 0
        for has_row, values in zip(own, row, strict=True):
            if has_row.any() and not has_row.all():
                nearest = distance_transform_edt(
                    ~has_row, sampling=grid.stride, return_distances=False, return_indices=True
                )
                values[:] = values[tuple(nearest)]
        return cls(own, row)

    def spread(self, values: NDArray[Any], absent: float) -> NDArray[Any]:
        """Values (n, …) of the rows, as (F, nx, ny, nz, …)."""
        end = np.full((1, *values.shape[1:]), absent, values.dtype)
        spread: NDArray[Any] = np.concatenate([values, end])[self.row]
        return spread


def _rows(table: Table, columns: Sequence[str]) -> pa.Table:
    rows = table.scan(columns).to_table()
    if not rows.num_rows:
        raise CrysiftError(f"{table.folder.url} holds no boxes: run `crysift spm` first")
    return rows.combine_chunks()


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers (n,), NaN for null."""
    return np.asarray(contiguous(column).cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _encoded(column: pa.ChunkedArray | pa.Array) -> tuple[list[str], NDArray[np.int16]]:
    """Return the different strings of a column, and the code (n,) of each row, -1 for null."""
    encoded = contiguous(column).dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_pylist(), codes.astype(np.int16)


def _probabilities(rows: pa.Table, boxes: _Boxes, classified: NDArray[np.bool_]) -> ClassProbabilities:
    """Join both lists of candidates of every row; a class that is in both counts once."""
    lists = [contiguous(rows[name]) for name in _CANDIDATES]
    names = pa.concat_arrays([candidates.flatten().field("prototype") for candidates in lists])
    labels, codes = _encoded(names)
    values = np.concatenate([c.flatten().field("probability").to_numpy(zero_copy_only=False) for c in lists])
    lengths = [np.diff(list_offsets(candidates)) for candidates in lists]
    widths = [int(length.max(initial=0)) for length in lengths]
    shape = (rows.num_rows, sum(widths))
    of_row, of_value = np.full(shape, -1, np.int16), np.zeros(shape, np.float32)
    begin, first = 0, 0
    for length, width in zip(lengths, widths, strict=True):
        row = np.repeat(np.arange(len(length)), length)
        starts = np.concatenate([[0], np.cumsum(length)])[:-1]
        place = np.arange(len(row)) - np.repeat(starts, length) + first
        of_row[row, place] = codes[begin : begin + len(row)]
        of_value[row, place] = values[begin : begin + len(row)]
        begin, first = begin + len(row), first + width
    return ClassProbabilities(labels, boxes.spread(of_row, -1), boxes.spread(of_value, 0.0), classified)
