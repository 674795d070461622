"""Nearest-neighbour distances in every box: of the box alone, and in the whole structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import contiguous
from engine.descriptors.neighbors import Floats, Ints
from engine.descriptors.scaling import nearest_distances
from engine.schema import BOX_COLUMNS, SPM_BOXES, SPM_SPACINGS, STATUS_OK, STATUS_SPARSE
from engine.spm.atoms import AtomsTable, BrickReader, Region
from engine.spm.boxes import by_frame
from engine.spm.cuboids import NOT_PERIODIC, cuboids
from engine.spm.exact import cut
from engine.spm.grid import Grid
from engine.spm.lengths import box_lengths
from engine.stage import BatchFunction, Resources, Stage

SPACINGS = SPM_SPACINGS.field("spacings").type
FARTHEST = 96.0
"""Å beyond which a nearest neighbour is found by chance only."""
_REACH = 6.0


class Neighbors(NamedTuple):
    """Atoms of a region, and the distance (n, S), Å, of each to its nearest neighbour of every species."""

    region: Region
    nearest: Floats
    """Infinite where there is no such neighbour."""


class BoxSpacings(NamedTuple):
    """Of n boxes and S species: lengths (n, S, S), Å, NaN for pairs without any; `counts` (n, S) of atoms."""

    d_nn: Floats
    """That of the descriptor: d_NN of the atoms in the box among themselves."""
    mean: Floats
    """Mean distance from the box's atoms to their nearest neighbours, in the box or outside."""
    counts: Ints


@dataclass(frozen=True)
class SpacingsStage(Stage):
    """spm_boxes → spm_spacings, the nearest-neighbour distances of every pair of species in every box."""

    atoms: AtomsTable
    grid: Grid
    min_atoms: int = 20

    name: ClassVar[str] = "spm_spacings"
    source: ClassVar[str] = "spm_boxes"
    revision: ClassVar[int] = 1
    cluster_from: ClassVar[float] = 1e9

    @property
    def reads(self) -> pa.Schema:
        """The boxes."""
        return SPM_BOXES

    @property
    def writes(self) -> pa.Schema:
        """A list of pairs of species for each box."""
        return SPM_SPACINGS

    @property
    def resources(self) -> Resources:
        """One core."""
        return Resources(memory_bytes=1024**3)

    def settings(self) -> dict[str, Any]:
        """The grid, and which boxes have too few atoms."""
        return {**self.grid.to_json(), "min_atoms": self.min_atoms}

    def open(self) -> BatchFunction:
        """Find the atoms; return the function on tables of boxes."""
        reader = self.atoms.reader()
        return lambda table: self._measured(table, reader)

    def _measured(self, table: pa.Table, reader: BrickReader) -> pa.Table:
        """Measure a block of boxes, which may be of several frames."""
        species = len(self.atoms.labels)
        shape = (len(table), species, species)
        found = BoxSpacings(np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape[:2], np.int64))
        for frame, rows, indices in by_frame(table):
            for mine, of_frame in zip(found, self._of_frame(reader, frame, indices), strict=True):
                mine[rows] = of_frame
        return self._table(table, found)

    def _of_frame(self, reader: BrickReader, frame: int, indices: NDArray[np.int32]) -> BoxSpacings:
        neighbors = nearest_in_frame(self.atoms, reader, frame, *self.grid.extent(indices))
        return box_spacings(neighbors, self.grid, indices)

    def _table(self, boxes: pa.Table, found: BoxSpacings) -> pa.Table:
        sparse = found.counts.sum(axis=1) < self.min_atoms
        columns = {
            "structure_id": contiguous(boxes["structure_id"]),
            "status": pa.array(np.where(sparse, STATUS_SPARSE, STATUS_OK), pa.string()),
            **{field.name: contiguous(boxes[field.name]) for field in BOX_COLUMNS},
            "n_atoms": pa.array(found.counts.sum(axis=1).astype(np.int32)),
            "spacings": _lists(found, self.atoms.labels, sparse),
        }
        arrays = [columns.get(f.name, pa.nulls(len(boxes), f.type)) for f in SPM_SPACINGS]
        return pa.table(arrays, schema=SPM_SPACINGS)


def nearest_in_frame(
    atoms: AtomsTable, reader: BrickReader, frame: int, low: Floats, high: Floats
) -> Neighbors:
    """Find the nearest neighbours, of every species, of the atoms with low ≤ x < high (3,), Å.

    The search goes on around the region until none can be nearer, at most to `FARTHEST`.
    """
    reach, bounds = _REACH, atoms.bounds
    while True:
        wide = reader.within(frame, low - reach, high + reach)
        core = ((wide.positions >= low) & (wide.positions < high)).all(axis=1)
        order = np.argsort(~core, kind="stable")
        wide = Region(wide.positions[order], wide.species[order], wide.atoms[order])
        count = int(core.sum())
        nearest = _nearest(wide, count, len(atoms.labels))
        everything = (low - reach <= bounds[0]).all() and (high + reach > bounds[1]).all()
        if everything or reach >= FARTHEST or not (nearest > reach).any():
            own = Region(wide.positions[:count], wide.species[:count], wide.atoms[:count])
            return Neighbors(own, nearest)
        reach *= 2.0


def _nearest(wide: Region, count: int, species: int) -> Floats:
    """Distances (count, species) from the first `count` atoms to the nearest of all."""
    nearest = np.full((count, species), np.inf)
    for alpha in range(species):
        centers = wide.positions[:count][wide.species[:count] == alpha]
        for beta in range(species):
            positions = wide.positions[wide.species == beta]
            if len(centers) and len(positions):
                distances = nearest_distances(centers, positions, NOT_PERIODIC, alpha == beta)
                nearest[wide.species[:count] == alpha, beta] = distances
    return nearest


def box_spacings(neighbors: Neighbors, grid: Grid, indices: NDArray[np.int32]) -> BoxSpacings:
    """Average over the atoms of boxes (n, 3), all within the region of `neighbors`."""
    region, species = neighbors.region, neighbors.nearest.shape[1]
    order = np.argsort(region.species, kind="stable")
    positions = np.ascontiguousarray(region.positions[order])
    bounds = np.searchsorted(region.species[order], np.arange(species + 1))
    if not len(positions):
        nothing = np.full((len(indices), species, species), np.nan)
        return BoxSpacings(nothing, nothing.copy(), np.zeros((len(indices), species), np.int64))
    lengths = box_lengths(positions, bounds, cuboids(grid, indices))
    d_nn = np.where(np.isfinite(lengths.lengths), lengths.lengths, np.nan)
    mean = np.stack(list(_means(neighbors, cut(region, grid, indices))))
    return BoxSpacings(d_nn, mean, lengths.counts)


def _means(neighbors: Neighbors, members: Iterator[Ints]) -> Iterator[Floats]:
    """Mean distance (S, S) of every box's atoms; NaN for a pair without finite ones."""
    species = neighbors.nearest.shape[1]
    for rows in members:
        centers, nearest = neighbors.region.species[rows], neighbors.nearest[rows]
        finite = np.isfinite(nearest)
        known = np.where(finite, nearest, 0.0)
        totals = np.stack([np.bincount(centers, known[:, beta], species) for beta in range(species)], axis=1)
        counts = np.stack([np.bincount(centers, finite[:, beta], species) for beta in range(species)], axis=1)
        yield np.divide(totals, counts, out=np.full((species, species), np.nan), where=counts > 0)


def _lists(found: BoxSpacings, labels: tuple[str, ...], sparse: NDArray[np.bool_]) -> pa.Array:
    """Lists of the pairs that a box has; null for a box with too few atoms."""
    present = ~np.isnan(found.mean) & ~sparse[:, None, None]
    _, alpha, beta = np.nonzero(present)
    names = pa.array(labels, pa.string())
    counts = np.broadcast_to(found.counts[:, :, None], present.shape)
    fields = [
        names.take(pa.array(alpha)),
        names.take(pa.array(beta)),
        pa.array(counts[present].astype(np.int32)),
        pa.array(found.d_nn[present].astype(np.float32), from_pandas=True),
        pa.array(found.mean[present].astype(np.float32)),
    ]
    pairs = pa.StructArray.from_arrays(fields, fields=list(SPACINGS.value_type))
    lengths = present.reshape(len(present), -1).sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pairs, type=SPACINGS, mask=pa.array(sparse))
