"""The atoms with what their boxes were found to be, for OVITO: extended XYZ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.spm.field import Field
from engine.spm.grid import Grid
from jobs.spm.maps.planes import limits

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.spm.atoms import AtomsTable
    from engine.store import Store, Table

PROBABILITIES = 6
"""Classes whose probabilities are written."""
NONE = "none"
"""Prototype of an atom whose box is not classified."""
ROWS = 65_536
Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]


def write_extxyz(
    path: Path, store: Store, atoms: AtomsTable, field: Field, extra: Arrays | None = None
) -> None:
    """Write all frames, atom after atom in the order of the source; `extra` are further (F, nx, ny, nz).

    An atom has the values of the box with the nearest middle: `prototype` and its number `class` (-1 and
    "none": not classified), `probability`, `mutual_information` and `predictive_entropy` in nat, `ood_score`,
    and `p_LABEL` of the most frequent classes; numbers are NaN where there is no class. `id` is the place in
    the source, from 1. `atoms` are streamed.
    """
    arrays = _arrays(field, extra or {})
    columns = ["species:S:1", "pos:R:3", "id:I:1", "prototype:S:1"]
    columns += [f"{name}:{'I' if values.dtype.kind == 'i' else 'R'}:1" for name, values in arrays.items()]
    with path.open("wb") as file:
        for frame, count in enumerate(atoms.counts):
            file.write(f'{count}\nProperties={":".join(columns)} pbc="F F F" frame={frame}\n'.encode())
            for batch in _rows(store, atoms.table, frame):
                _write(file, batch, field, {name: values[frame] for name, values in arrays.items()})


def nearest_boxes(grid: Grid, positions: Floats) -> tuple[NDArray[np.int64], ...]:
    """Indices (n,) along each axis of the boxes whose middles are nearest to positions (n, 3), Å."""
    indices = []
    for axis, count in enumerate(grid.counts):
        low, high = limits(grid, axis)
        place = np.floor((positions[:, axis] - low) * count / (high - low))
        indices.append(np.clip(place, 0, count - 1).astype(np.int64))
    return tuple(indices)


def _arrays(field: Field, extra: Arrays) -> dict[str, NDArray[Any]]:
    return {
        "class": field.prototype,
        "probability": field.probability,
        "mutual_information": field.mutual_information,
        "predictive_entropy": field.predictive_entropy,
        "ood_score": field.ood_score,
        **{f"p_{label}": field.probabilities[label] for label in field.labels[:PROBABILITIES]},
        **extra,
    }


def _rows(store: Store, atoms: Table, frame: int) -> Iterator[pa.RecordBatch]:
    """Read the atoms of a frame in their order, sorted on disk where memory is short."""
    from engine.store import Superseded
    from jobs.views import add_view, open_connection

    connection = open_connection(store)
    add_view(connection, "atoms", atoms, atoms.part_names(), Superseded({}))
    ordered = connection.sql(
        "SELECT species, position[1] AS x, position[2] AS y, position[3] AS z, atom + 1 AS id FROM atoms "
        "WHERE frame = ? ORDER BY atom",
        params=[frame],
    )
    return iter(ordered.fetch_arrow_reader(ROWS))


def _write(file: IO[bytes], batch: pa.RecordBatch, field: Field, arrays: Arrays) -> None:
    import pyarrow as pa
    from pyarrow import csv

    positions = np.stack([batch.column(name).to_numpy() for name in "xyz"], axis=1)
    place = nearest_boxes(field.grid, positions)
    names = pa.array([*field.labels, NONE], pa.string())
    columns = {name: batch.column(name) for name in batch.schema.names}
    codes = arrays["class"][place]
    columns["prototype"] = names.take(pa.array(np.where(codes < 0, len(field.labels), codes)))
    columns |= {name: pa.array(values[place]) for name, values in arrays.items()}
    plain = csv.WriteOptions(include_header=False, delimiter=" ", quoting_style="none")
    csv.write_csv(pa.table(columns), file, plain)
