"""From coarse to fine: which boxes a coarser grid leaves in doubt."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.spm import Boxes, Frame, Grid, SoapMode
    from engine.store import Table

Mask = NDArray[np.bool_]
MAX_STEP = 64
_COLUMNS = ("frame", "ix", "iy", "iz", "prototype", "probability", "mutual_information")


@dataclass(frozen=True)
class Refine:
    """When the boxes between those of a coarser grid are worth classifying.

    The coarsest grid has every `step`-th box along each strided axis, and each finer one halves the step. A
    cell between neighbouring boxes is divided if they differ in their class, or their probabilities by more
    than `contrast`, or if one has a mutual information above `uncertainty`. Raises CrysiftError for settings
    that make no sense.
    """

    step: int = 4
    uncertainty: float = 0.2
    """nat"""
    contrast: float = 0.3

    def __post_init__(self) -> None:
        """Refuse steps that are no powers of two, and thresholds below zero."""
        if not (2 <= self.step <= MAX_STEP and self.step & (self.step - 1) == 0):
            raise CrysiftError(
                f"a coarse grid of every {self.step}th box cannot be halved down to every box: choose 2, 4, "
                f"8, … up to {MAX_STEP}"
            )
        for name, value in (("uncertainty", self.uncertainty), ("contrast", self.contrast)):
            if not 0.0 <= value < np.inf:
                raise CrysiftError(f"the {name} that asks for a finer grid is {value:g}: give 0 or more")

    @property
    def levels(self) -> int:
        """How often the coarsest grid is halved."""
        return self.step.bit_length() - 1

    def as_json(self) -> dict[str, Any]:
        """Return one value per field, named for the fingerprint of a table."""
        return {f"refine_{name}": value for name, value in asdict(self).items()}


class Lattice(NamedTuple):
    """Boxes of one level: their indices along each axis, ascending."""

    axes: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

    @classmethod
    def coarse(cls, counts: tuple[int, ...], step: int) -> Lattice:
        """Every `step`-th box along each axis, and the last one."""
        return cls(_three(np.unique(np.append(np.arange(0, n, step), n - 1)) for n in counts))

    @property
    def shape(self) -> tuple[int, ...]:
        """Boxes along each axis."""
        return tuple(map(len, self.axes))

    @property
    def cells(self) -> tuple[int, ...]:
        """Cells between neighbouring boxes along each axis; an axis of one box counts as one."""
        return tuple(max(len(axis) - 1, 1) for axis in self.axes)

    def halved(self) -> Lattice:
        """Return the lattice with a box more in the middle of each gap that has room for one."""
        return Lattice(_three(np.union1d(axis, (axis[1:] + axis[:-1]) // 2) for axis in self.axes))

    def places(self, indices: NDArray[np.integer]) -> tuple[NDArray[np.int64], ...]:
        """Where boxes (n, 3) of this lattice are in it, per axis (n,)."""
        return tuple(np.searchsorted(axis, indices[:, k]) for k, axis in enumerate(self.axes))

    def indices(self, chosen: Mask) -> NDArray[np.int32]:
        """Indices (n, 3) of chosen boxes of the lattice."""
        return np.stack(
            [axis[place] for axis, place in zip(self.axes, np.nonzero(chosen), strict=True)], axis=1
        ).astype(np.int32)

    def corner_values(self, values: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Yield what every cell has at its first, second, … eighth corner."""
        for corner in product((0, 1), repeat=3):
            starts = [min(c, n - 1) for c, n in zip(corner, self.shape, strict=True)]
            yield values[tuple(slice(a, a + n) for a, n in zip(starts, self.cells, strict=True))]

    def divided(self, cells: Mask, finer: Lattice) -> tuple[Mask, Mask]:
        """Return the boxes of the finer lattice in or at these cells, and the finer cells in them."""
        before, after, within = [], [], []
        for mine, theirs, n_cells in zip(self.axes, finer.axes, self.cells, strict=True):
            last = n_cells - 1
            before.append(np.clip(np.searchsorted(mine, theirs) - 1, 0, last))
            after.append(np.clip(np.searchsorted(mine, theirs, side="right") - 1, 0, last))
            within.append(after[-1][: max(len(theirs) - 1, 1)])
        touched = np.zeros(finer.shape, np.bool_)
        for sides in product((before, after), repeat=3):
            touched |= cells[np.ix_(*(side[k] for k, side in enumerate(sides)))]
        return touched, cells[np.ix_(*within)]


class Refinement:
    """Chooses the boxes of one frame, level by level."""

    def __init__(self, refine: Refine, counts: tuple[int, ...]) -> None:
        self._refine = refine
        self._lattice = Lattice.coarse(counts, refine.step)
        self._evaluated: Mask = np.ones(self._lattice.shape, np.bool_)
        self._cells: Mask = np.ones(self._lattice.cells, np.bool_)

    def coarsest(self) -> NDArray[np.int32]:
        """Indices (n, 3) of the boxes to begin with."""
        return self._lattice.indices(self._evaluated)

    def finer(self, found: Found) -> NDArray[np.int32]:
        """Indices (n, 3) of the boxes to add, given what was found in those of the levels before."""
        finer = self._lattice.halved()
        doubtful = self._cells & self._in_doubt(found)
        touched, self._cells = self._lattice.divided(doubtful, finer)
        before = np.zeros(finer.shape, np.bool_)
        places = (np.searchsorted(new, old) for new, old in zip(finer.axes, self._lattice.axes, strict=True))
        before[np.ix_(*places)] = self._evaluated
        self._lattice, self._evaluated = finer, before | touched
        return finer.indices(touched & ~before)

    def _in_doubt(self, found: Found) -> Mask:
        """Mark cells whose corners differ or are uncertain."""
        lattice = self._lattice
        place = lattice.places(found.indices)

        def corners(values: NDArray[Any], absent: float) -> NDArray[Any]:
            dense = np.full(lattice.shape, absent, values.dtype)
            dense[place] = values
            return np.stack(list(lattice.corner_values(dense)))

        classes = corners(found.classes, -1)
        probability = corners(found.probability, 0.0)
        uncertain = corners(found.mutual_information, 0.0).max(axis=0) > self._refine.uncertainty
        contrast = probability.max(axis=0) - probability.min(axis=0) > self._refine.contrast
        return np.asarray(uncertain | contrast | (classes.min(axis=0) != classes.max(axis=0)), np.bool_)


class Found(NamedTuple):
    """What boxes (n, 3) of a frame were found to be: class codes (n,), -1 for none, and numbers (n,)."""

    indices: NDArray[np.int64]
    classes: NDArray[np.int64]
    probability: NDArray[np.float64]
    mutual_information: NDArray[np.float64]


def found_in(table: Table, frame: int, level: int) -> Found:
    """Read what the boxes of a frame up to a level were found to be, from a table `spm_grid`."""
    import pyarrow.dataset as ds

    chosen = (ds.field("frame") == frame) & (ds.field("level") <= level)
    rows = table.scan().to_table(columns=list(_COLUMNS), filter=chosen)
    classes = rows["prototype"].combine_chunks().dictionary_encode().indices.fill_null(-1)
    return Found(
        np.stack([rows[name].to_numpy() for name in ("ix", "iy", "iz")], axis=1).astype(np.int64),
        classes.to_numpy(zero_copy_only=False).astype(np.int64),
        np.nan_to_num(rows["probability"].to_numpy().astype(np.float64)),
        np.nan_to_num(rows["mutual_information"].to_numpy().astype(np.float64)),
    )


def boxes_in_blocks(
    chosen: NDArray[np.int32], costs: NDArray[np.float32], most: int, limit: float
) -> list[NDArray[np.int32]]:
    """Cut boxes (n, 3) into neighbourhoods of at most `most` boxes whose summed cost stays within `limit`.

    `costs` (nx, ny, nz) are those of the whole grid. A box that alone costs more is a block of its own.
    """
    waiting, done = [chosen] if len(chosen) else [], []
    while waiting:
        block = waiting.pop()
        cost = costs[tuple(block.T)].astype(np.float64)
        if len(block) == 1 or (len(block) <= most and cost.sum() <= limit):
            done.append(block)
            continue
        axis = int(np.argmax(np.ptp(block, axis=0)))
        order = np.argsort(block[:, axis], kind="stable")
        along = cost[order].cumsum()
        cut = int(np.clip(np.searchsorted(along, 0.5 * along[-1]) + 1, 1, len(block) - 1))
        waiting += [block[order[cut:]], block[order[:cut]]]
    return [block[np.lexsort(block.T[::-1])] for block in done]


def _three(
    axes: Iterator[NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    x, y, z = axes
    return x, y, z


def parts_of_level(
    level: int, frame: int, blocks: list[NDArray[np.int32]], costs: NDArray[np.float32]
) -> Iterator[tuple[str, Boxes]]:
    """Name the blocks of a frame that a level adds."""
    from engine.spm import Boxes

    for number, indices in enumerate(blocks):
        cost = float(costs[tuple(indices.T)].sum(dtype=np.float64))
        yield f"part-{frame:05d}-{level}-{number:05d}", Boxes(frame, indices, level, cost)


def levels(
    refine: Refine, frames: Sequence[Frame], grid: Grid, mode: SoapMode, derived: Mapping[str, Table]
) -> Iterator[list[tuple[str, Boxes]]]:
    """Yield the boxes of each level, the coarsest first, as parts by name.

    Before the next level is asked for, the one before has to be in the table `spm_grid` of `derived`.
    """
    from engine.spm.boxes import BOXES_PER_BLOCK, COST_PER_BLOCK, predicted_pairs

    chosen_by = [Refinement(refine, grid.counts) for _ in frames]
    for level in range(refine.levels + 1):
        parts: list[tuple[str, Boxes]] = []
        for index, (frame, refinement) in enumerate(zip(frames, chosen_by, strict=True)):
            chosen = (
                refinement.finer(found_in(derived["spm_grid"], index, level - 1))
                if level
                else (refinement.coarsest())
            )
            costs = predicted_pairs(grid, frame.positions, mode)
            blocks = boxes_in_blocks(chosen, costs, BOXES_PER_BLOCK[mode], COST_PER_BLOCK)
            parts += parts_of_level(level, index, blocks, costs)
        if parts:
            yield parts
