"""Nearest-neighbour distances in clusters of boxes, for every pair of species."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.columns import contiguous, list_offsets
from engine.spm.depth import brick_corners
from engine.spm.spacings import Neighbors, SpacingsStage, nearest_in_frame

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.execution import Listener
    from engine.spm import AtomsTable, Grid
    from engine.store import Store, Table
    from jobs.settings import ExecutionSettings
    from jobs.spm.pipeline import SpmTables

Floats = NDArray[np.float64]
BIN = 0.05
LONGEST = 12.0
"""Å: width of a bin, and the end of the last one, of distances of atoms."""
EDGES = np.linspace(0.0, LONGEST, round(LONGEST / BIN) + 1)


@dataclass(frozen=True, eq=False)
class BoxDistances:
    """Distances of N boxes and S species, Å; NaN where a box has none.

    `d_nn` (N, S, S) is the length that scales the descriptor, found among the atoms of the box; `mean`
    (N, S, S) the mean distance of its atoms to their nearest neighbours in the structure.
    """

    labels: tuple[str, ...]
    d_nn: Floats
    mean: Floats

    def difference(self, first: str, second: str, kind: str = "d_nn") -> Floats:
        """Distance of equal neighbours of one species less that of another (N,), such as d_FeFe − d_PtPt."""
        values: Floats = getattr(self, kind)
        a, b = self.labels.index(first), self.labels.index(second)
        return np.asarray(values[:, a, a] - values[:, b, b])


def derive_spacings(
    store: Store, tables: SpmTables, execution: ExecutionSettings, listener: Listener
) -> Table:
    """Bring the table `spm_spacings` of an analysis up to date, and return it."""
    from jobs.pipeline import derive

    stage = SpacingsStage(tables.atoms, tables.geometry, tables.soap.fingerprint.settings["min_atoms"])
    return derive(store, stage, tables.boxes, execution, listener)


def read_distances(table: Table, labels: tuple[str, ...]) -> BoxDistances:
    """Read the table `spm_spacings`, in the order of its parts and rows."""
    parts = [_distances(table.read(part, ["spacings"]), labels) for part in sorted(table.part_names())]
    return BoxDistances(labels, *(np.concatenate(each) for each in zip(*parts, strict=True)))


def _distances(rows: pa.Table, labels: tuple[str, ...]) -> tuple[Floats, Floats]:
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = contiguous(rows["spacings"])
    pairs = lists.flatten()
    row = np.repeat(np.arange(len(lists)), np.diff(list_offsets(lists)))
    names = pa.array(labels, pa.string())
    alpha, beta = (
        pc.index_in(pairs.field(name), value_set=names).to_numpy() for name in ("center", "neighbor")
    )
    found = []
    for name in ("d_nn", "mean_nearest"):
        values = np.full((len(lists), len(labels), len(labels)), np.nan)
        values[row, alpha, beta] = pairs.field(name).to_numpy(zero_copy_only=False)
        found.append(values)
    return found[0], found[1]


def spacing_statistics(distances: BoxDistances, clusters: NDArray[np.integer]) -> list[dict[str, Any]]:
    """Summarise the distances in every cluster, outliers (-1) included, for every ordered pair of species.

    `clusters` (N,) are those of the boxes. One row per cluster and pair that occurs in it: how many boxes,
    and the mean, the standard deviation and the quartiles of d_NN, and the mean of the mean distance; in Å.
    """
    rows = []
    for cluster in np.unique(clusters[clusters >= -1]).tolist():
        member = clusters == cluster
        for alpha, beta in product(range(len(distances.labels)), repeat=2):
            d_nn = distances.d_nn[member, alpha, beta]
            d_nn = d_nn[np.isfinite(d_nn)]
            if not len(d_nn):
                continue
            quartiles = np.percentile(d_nn, [25, 50, 75])
            rows.append(
                {
                    "cluster": cluster,
                    "center": distances.labels[alpha],
                    "neighbor": distances.labels[beta],
                    "boxes": len(d_nn),
                    "d_nn": float(d_nn.mean()),
                    "d_nn_std": float(d_nn.std()),
                    **{f"d_nn_q{q}": float(v) for q, v in zip((25, 50, 75), quartiles, strict=True)},
                    "mean_nearest": float(np.nanmean(distances.mean[member, alpha, beta])),
                }
            )
    return rows


@dataclass(frozen=True, eq=False)
class AtomDistances:
    """How many atoms have their nearest neighbour how far away.

    `counts` (K + 1, S, S, bins): of the atoms of each cluster, the last of all being outliers, and of each
    species, to the nearest of each species, in bins between `EDGES`. Longer distances are left out.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]

    def quantile(self, share: float) -> Floats:
        """Distance (K + 1, S, S), Å, below which a share of the atoms has its neighbour; NaN for no atoms."""
        running = np.cumsum(self.counts, axis=-1)
        total = running[..., -1:]
        below = np.take_along_axis(EDGES[None], (running < share * total).sum(axis=-1).reshape(1, -1), axis=1)
        middle = below.reshape(total.shape[:-1]) + 0.5 * BIN
        return np.where(total[..., 0] > 0, middle, np.nan)


def atom_distances(atoms: AtomsTable, grid: Grid, clusters: NDArray[np.integer], count: int) -> AtomDistances:
    """Histogram the nearest-neighbour distances of all atoms, each in the cluster of the nearest box.

    `clusters` (F, nx, ny, nz) are those of all boxes, `count` how many there are; atoms whose box was left
    out do not count. The atoms are read brick by brick.
    """
    species = len(atoms.labels)
    counts = np.zeros((count + 1, species, species, len(EDGES) - 1), np.int64)
    for frame, neighbors in _brickwise(atoms, len(clusters)):
        place = _nearest_boxes(grid, neighbors.region.positions)
        own = clusters[(frame, *place.T)]
        known = own >= -1
        own = np.where(own == -1, count, own)
        for beta in range(species):
            bins = np.searchsorted(EDGES, neighbors.nearest[:, beta], side="right") - 1
            near = known & (bins < counts.shape[-1])
            np.add.at(counts, (own[near], neighbors.region.species[near], beta, bins[near]), 1)
    return AtomDistances(atoms.labels, counts)


def _brickwise(atoms: AtomsTable, frames: int) -> Iterator[tuple[int, Neighbors]]:
    """Yield the atoms of every brick of every frame with their nearest neighbours."""
    reader = atoms.reader()
    for frame in range(frames):
        for low, high in brick_corners(atoms):
            neighbors = nearest_in_frame(atoms, reader, frame, low, high)
            if len(neighbors.region.atoms):
                yield frame, neighbors


def _nearest_boxes(grid: Grid, positions: Floats) -> NDArray[np.int64]:
    """Indices (n, 3) of the boxes with the middles nearest to positions (n, 3), Å."""
    first = grid.centers(np.zeros((1, 3), np.int64))
    places = np.rint((positions - first) / np.array(grid.stride)).astype(np.int64)
    return np.asarray(np.clip(places, 0, np.array(grid.counts) - 1))
