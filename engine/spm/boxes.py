"""The table of boxes: a grid cut into blocks of about equal cost, which are the parts of the work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.descriptors.neighbors import Floats
from engine.schema import SCHEMA_VERSION, SPM_BOXES
from engine.spm.atoms import AtomsTable, Frame
from engine.spm.grid import Grid
from engine.spm.settings import SoapMode
from engine.store import Fingerprint, Store, Table

NAME = "spm_boxes"
REVISION = 1
BOXES_PER_BLOCK: dict[SoapMode, int] = {"exact": 1024, "shared": 4096}
"""Blocks of shared sums overlap by a box: large ones cost less, but leave fewer parts to the network."""
COST_PER_BLOCK = 1e8
"""Neighbour pairs."""
NEIGHBOURS = 330.0
"""Neighbours of an atom within the cutoff of ARISE, in a dense crystal."""
_ATOMS_AT_ONCE = 1_000_000
_INSIDE = 0.4
"""Share of an atom's neighbours, or of the atoms of its box, that are both: measured on boxes of 16 Å."""
_BOX_COST = 500.0
"""What a box costs beside its pairs, in pairs."""


class Block(NamedTuple):
    """Boxes `first` (3,) to `last` (3,), the latter excluded, and their predicted cost in neighbour pairs."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    cost: float

    def indices(self) -> NDArray[np.int32]:
        """Indices (n, 3) of the boxes, the last axis running fastest."""
        axes = [np.arange(a, b, dtype=np.int32) for a, b in zip(self.first, self.last, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def blocks(grid: Grid, frame: Frame, mode: SoapMode) -> list[Block]:
    """Cut the grid into blocks of bounded cost and number of boxes, halving at the middle of the cost."""
    costs = predicted_pairs(grid, frame.positions, mode)
    waiting = [Block((0, 0, 0), grid.counts, float(costs.sum()))]
    done = []
    while waiting:
        block = waiting.pop()
        if np.prod(np.subtract(block.last, block.first)) <= BOXES_PER_BLOCK[mode] and (
            block.cost <= COST_PER_BLOCK or block.last == tuple(np.add(block.first, 1))
        ):
            done.append(block)
        else:
            waiting.extend(_halves(block, costs, np.array(grid.stride)))
    return sorted(done)


def predicted_pairs(grid: Grid, positions: Floats, mode: SoapMode) -> NDArray[np.float32]:
    """Predict the neighbour pairs (nx, ny, nz) that each box costs, from the numbers of atoms in them."""
    if mode == "shared":
        return (_atoms_by_nearest_box(grid, positions) * NEIGHBOURS + _BOX_COST).astype(np.float32)
    atoms = atoms_in_boxes(grid, positions).astype(np.float32)
    return np.asarray(_INSIDE * atoms * np.minimum(atoms, NEIGHBOURS) + _BOX_COST, np.float32)


def atoms_in_boxes(grid: Grid, positions: Floats) -> NDArray[np.int64]:
    """Count the atoms (nx, ny, nz) in the cuboids of all boxes, also of spherical ones, by running sums."""
    starts = [grid.origin[k] + np.arange(grid.counts[k]) * grid.stride[k] for k in range(3)]
    edges = [np.unique([start, start + grid.size[k]]) for k, start in enumerate(starts)]
    counts = _histogram(positions, edges)
    for k, start in enumerate(starts):
        running = np.insert(counts.cumsum(axis=k), 0, 0, axis=k)
        first, last = (np.searchsorted(edges[k], end) for end in (start, start + grid.size[k]))
        counts = running.take(last, axis=k) - running.take(first, axis=k)
    return counts


def _histogram(positions: Floats, edges: Sequence[Floats]) -> NDArray[np.int64]:
    """Count positions (N, 3) with edge ≤ x < next edge on every axis."""
    shape = [len(edge) + 1 for edge in edges]
    counts = np.zeros(math.prod(shape), np.int64)
    for some in np.array_split(positions, len(positions) // _ATOMS_AT_ONCE + 1):
        places = [np.searchsorted(edge, some[:, k], side="right") for k, edge in enumerate(edges)]
        counts += np.bincount(np.ravel_multi_index(places, shape), minlength=len(counts))
    return counts.reshape(shape)[1:-1, 1:-1, 1:-1]


def _atoms_by_nearest_box(grid: Grid, positions: Floats) -> NDArray[np.float64]:
    places = (positions - grid.centers(np.zeros((1, 3), np.int64))) / np.array(grid.stride)
    nearest = np.clip(np.rint(places), 0, np.array(grid.counts) - 1).astype(np.int64)
    flat = np.ravel_multi_index(tuple(nearest.T), grid.counts)
    return np.bincount(flat, minlength=grid.n_boxes).reshape(grid.counts).astype(np.float64)


def _halves(block: Block, costs: NDArray[np.float32], stride: Floats) -> list[Block]:
    """Cut a block across its longest edge, at the middle of its cost."""
    inside = costs[tuple(map(slice, block.first, block.last))]
    shape = np.array(inside.shape)
    axis = int(np.argmax(np.where(shape > 1, shape * stride, 0.0)))
    along = inside.sum(axis=tuple(k for k in range(3) if k != axis), dtype=np.float64).cumsum()
    cut = int(np.clip(np.searchsorted(along, 0.5 * along[-1]) + 1, 1, len(along) - 1))
    middle = block.first[axis] + cut
    last = tuple(middle if k == axis else block.last[k] for k in range(3))
    first = tuple(middle if k == axis else block.first[k] for k in range(3))
    left = float(along[cut - 1])
    return [Block(block.first, last, left), Block(first, block.last, float(along[-1]) - left)]


class Boxes(NamedTuple):
    """Boxes of one part: their frame, indices (n, 3), level and cost."""

    frame: int
    indices: NDArray[np.int32]
    level: int
    cost: float


def boxes_table(
    store: Store, atoms: AtomsTable, grid: Grid, settings: dict[str, object], *, allow_new: bool = False
) -> Table:
    """Return the table of the boxes of a grid over a structure, existing or yet to be filled.

    `settings` is what else decides which boxes there are, under names of its own.
    """
    source = atoms.table.folder.name
    fingerprint = Fingerprint(
        NAME, SCHEMA_VERSION, REVISION, {**grid.to_json(), **settings}, model=None, source_table=source
    )
    return store.derived(fingerprint, allow_new)


def write_boxes(table: Table, grid: Grid, name: str, parts: Iterable[tuple[str, Boxes]]) -> None:
    """Commit the parts, by name, that the table does not have yet."""
    present = table.part_names()
    for part, boxes in parts:
        if part not in present:
            rows = _rows(grid, name, boxes)
            table.commit(part, rows, source_part=None, rows_in=len(rows), failed=0, cost=boxes.cost)


def parts_of_blocks(frames: Sequence[Frame], grid: Grid, mode: SoapMode) -> Iterator[tuple[str, Boxes]]:
    """Name the blocks of a grid over all frames."""
    for index, frame in enumerate(frames):
        for number, block in enumerate(blocks(grid, frame, mode)):
            boxes = Boxes(index, block.indices(), level=0, cost=block.cost)
            yield f"part-{index:05d}-{number:05d}", boxes


class BoxesOfFrame(NamedTuple):
    """Some rows (n,) of a table of boxes: those of one frame, with the boxes' indices (n, 3)."""

    frame: int
    rows: NDArray[np.int64]
    indices: NDArray[np.int32]


def by_frame(table: pa.Table) -> Iterator[BoxesOfFrame]:
    """Divide a table of boxes by their frames."""
    indices = np.stack([table[name].to_numpy() for name in ("ix", "iy", "iz")], axis=1)
    frames = table["frame"].to_numpy()
    for frame in np.unique(frames):
        rows = np.flatnonzero(frames == frame)
        yield BoxesOfFrame(int(frame), rows, indices[rows])


def _rows(grid: Grid, name: str, boxes: Boxes) -> pa.Table:
    count = len(boxes.indices)
    x, y, z = boxes.indices.T
    ids = [f"{name}/{boxes.frame}/{a},{b},{c}" for a, b, c in boxes.indices.tolist()]
    centers = pa.array(grid.centers(boxes.indices).reshape(-1))
    columns = [
        pa.array(ids, pa.string()),
        pa.repeat(pa.scalar(boxes.frame, pa.int32()), count),
        *(pa.array(values, pa.int32()) for values in (x, y, z)),
        pa.FixedSizeListArray.from_arrays(centers, type=SPM_BOXES.field("center").type),
        pa.repeat(pa.scalar(boxes.level, pa.int8()), count),
    ]
    return pa.table(columns, schema=SPM_BOXES)
