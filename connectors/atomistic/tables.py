"""Atoms as rows of a table: Parquet, CSV, and text with two columns of image positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.atomistic.building import FrameBuilder
from engine.errors import CrysiftError
from engine.spm.atoms import Frame

ROWS_AT_ONCE = 50_000
READ_BYTES = 1 << 20
"""Bytes of a column that are read ahead."""
_AXES = ("x", "y", "z")
_IMAGE = _AXES[:2]


@dataclass(frozen=True)
class TableOptions:
    """How the rows of a table become atoms.

    `names` are what labels stand for, under "" the species of all atoms of a table without this column.
    `pixel_size` is the length of a unit of x and y, Å; without it tables need a z column, in Å like them.
    """

    names: Mapping[str, str]
    pixel_size: float | None = None
    every: int = 1


def read_parquet(path: Path, options: TableOptions) -> Iterator[Frame]:
    """Yield the frames of a Parquet file with the columns x, y and, if any, z, species and frame.

    The rows of a frame follow each other. Raises CrysiftError for other columns and for another order.
    """
    import pyarrow.parquet as pq

    with _explained(path), pq.ParquetFile(path, buffer_size=READ_BYTES) as file:
        columns = _columns(file.schema_arrow.names, path)
        batches = file.iter_batches(ROWS_AT_ONCE, columns=list(columns.values()))
        yield from _frames(map(pa.Table.from_batches, ([batch] for batch in batches)), columns, path, options)


def read_csv(path: Path, options: TableOptions) -> Iterator[Frame]:
    """Yield the frames of a CSV file, whose first line names the columns; as `read_parquet`."""
    from pyarrow import csv

    with _explained(path), csv.open_csv(path) as file:
        columns = _columns(file.schema.names, path)
        blocks = (pa.Table.from_batches([batch]) for batch in file)
        yield from _frames(blocks, columns, path, options)


def read_text(path: Path, options: TableOptions) -> Iterator[Frame]:
    """Yield the one frame of a text file with two columns of numbers, x and y, between blanks or commas.

    Lines that begin with # are left out. Raises CrysiftError for other columns.
    """
    with path.open(encoding="utf-8", errors="replace") as stream:
        lines = (line.replace(",", " ") for line in stream)
        try:
            numbers = np.loadtxt(lines, np.float64, ndmin=2)
        except ValueError as error:
            raise CrysiftError(
                f"{path} should hold two columns of numbers, x and y: {error}; as CSV its first line names "
                "the columns"
            ) from error
    if numbers.size and numbers.shape[1] != 2:
        raise CrysiftError(
            f"{path} has {numbers.shape[1]} columns of numbers and not two, x and y: save it as CSV with a "
            "first line that names them"
        )
    rows = pa.table(dict(zip(_IMAGE, numbers.reshape(-1, 2).T, strict=True)))
    yield from _frames(iter([rows]), {name: name for name in _IMAGE}, path, options)


def _columns(present: Sequence[str], path: Path) -> dict[str, str]:
    """Find the columns that atoms are read from: the name in the file of each."""
    found = {name.strip().lower(): name for name in present}
    missing = [name for name in _IMAGE if name not in found]
    if missing:
        raise CrysiftError(
            f"{path} has no column {missing[0]!r} but {', '.join(present)}: atoms are rows with x, y and, if "
            "any, z, species and frame"
        )
    return {name: found[name] for name in (*_AXES, "species", "frame") if name in found}


def _frames(
    blocks: Iterator[pa.Table], columns: Mapping[str, str], path: Path, options: TableOptions
) -> Iterator[Frame]:
    """Gather rows by frame, and yield the frames that are wanted."""
    if "z" not in columns and options.pixel_size is None:
        raise CrysiftError(
            f"{path} has positions x and y only, in pixels: pass --pixel-size, the Å per pixel (1 if they "
            "are in Å)"
        )
    pieces = (piece for block in blocks for piece in _by_frame(block, columns))
    last = None
    for index, (number, rows_of_frame) in enumerate(groupby(pieces, key=itemgetter(0))):
        if last is not None and number < last:
            raise CrysiftError(f"{path} has frame {number} after {last}: sort its rows by frame")
        last = number
        if index % options.every == 0:
            place = f"{path}, frame {number}" if "frame" in columns else str(path)
            builder = FrameBuilder(place, options.names)
            for _, rows in rows_of_frame:
                builder.add(*_atoms(rows, columns, builder, options))
            yield builder.finish()


def _by_frame(block: pa.Table, columns: Mapping[str, str]) -> Iterator[tuple[int, pa.Table]]:
    """Cut rows where the number of the frame changes."""
    if "frame" not in columns:
        yield 0, block
        return
    numbers = block[columns["frame"]].to_numpy().astype(np.int64)
    cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for first, last in pairwise(cuts):
        if last > first:
            yield int(numbers[first]), block.slice(first, last - first)


def _atoms(
    rows: pa.Table, columns: Mapping[str, str], builder: FrameBuilder, options: TableOptions
) -> tuple[NDArray[np.float64], pa.Array]:
    """Positions (n, 3), Å, and labels (n,) of the rows of a frame."""
    positions = np.zeros((len(rows), 3))
    for k, axis in enumerate(_AXES):
        if axis in columns:
            values = pc.cast(rows[columns[axis]], pa.float64())
            positions[:, k] = values.to_numpy(zero_copy_only=False)
    if options.pixel_size is not None:
        positions *= options.pixel_size
    if "species" in columns:
        return positions, rows[columns["species"]].cast(pa.string()).combine_chunks()
    if "" not in options.names:
        raise CrysiftError(f"{builder.place} has no column species: pass --species with the element, as in C")
    return positions, pa.repeat(pa.scalar(""), len(rows))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a file that it cannot read into an error that names it."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise CrysiftError(f"{path} cannot be read: {error}; correct the file or name its format") from error
