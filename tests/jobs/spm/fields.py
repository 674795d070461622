"""Results on small grids, made of plain arrays."""

from collections.abc import Sequence

import numpy as np

from engine.spm.field import Field, Values
from engine.spm.grid import Grid

FCC, BCC = "fcc_Cu_A_cF4_225_a", "bcc_W_A_cI2_229_a"
LABELS = (FCC, BCC)


def grid_of(*counts: int) -> Grid:
    """A grid with different strides; an axis with one box is not strided."""
    strides = (2.0, 3.0, 4.0)
    x, y, z = counts
    strided = (x > 1, y > 1, z > 1)
    return Grid((-5.0, 1.0, 10.0), strides, (6.0, 6.0, 6.0), (x, y, z), strided)


def field_of(grid: Grid, frames: int = 1, labels: Sequence[str] = LABELS) -> Field:
    """The first class where x is low, but none in the box (0, 0, 0); numbers differ from box to box."""
    shape = (frames, *grid.counts)
    place = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    prototype = np.ones(shape, np.int16)
    prototype[:, : (grid.counts[0] + 1) // 2] = 0
    prototype[:, 0, 0, 0] = -1
    number: Values = np.where(prototype < 0, np.float32(np.nan), place / place.max())
    half = np.float32(0.5)
    shares = [np.where(prototype == code, number, 0.0 * number) for code in range(len(labels))]
    return Field(
        grid=grid,
        labels=tuple(labels),
        prototype=prototype,
        probability=number,
        mutual_information=half * number,
        predictive_entropy=number + half,
        ood_score=number - half,
        n_atoms=np.full(shape, 40, np.int32),
        level=np.zeros(shape, np.int8),
        failed=np.zeros(shape, np.bool_),
        probabilities=dict(zip(labels, shares, strict=True)),
    )
