"""Planes through a grid, as images with lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.spm.grid import Grid

Axis = Literal["x", "y", "z"]
AXES: tuple[Axis, Axis, Axis] = ("x", "y", "z")
TALLEST = 1.5
"""A map higher than this times its width is laid on its side."""
NICE = (1.0, 2.0, 5.0)
SHARE_OF_WIDTH = 0.3
"""How much of a map's width its scale bar takes at most."""


@dataclass(frozen=True)
class Plane:
    """The boxes of a grid with the index `index` along the axis number `normal`."""

    grid: Grid
    normal: int
    index: int

    @property
    def axes(self) -> tuple[int, int]:
        """Numbers of the axes that run to the right and upwards: as x, y, z, or the much longer one first."""
        right, up = (axis for axis in range(3) if axis != self.normal)
        (left, stop), (bottom, top) = limits(self.grid, right), limits(self.grid, up)
        return (right, up) if top - bottom <= TALLEST * (stop - left) else (up, right)

    @property
    def position(self) -> float:
        """Where the middles of the boxes lie along the normal, Å."""
        return float(centers_along(self.grid, self.normal)[self.index])

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top, Å, a box being shown as large as its stride."""
        right, up = (limits(self.grid, axis) for axis in self.axes)
        return (*right, *up)

    @property
    def title(self) -> str:
        """Where the plane is, in words; empty where there is only one."""
        one = self.grid.counts[self.normal] == 1
        return "" if one else f"{AXES[self.normal]} = {self.position:.1f} Å"

    def image(self, values: NDArray[Any]) -> NDArray[Any]:
        """Cut the plane out of values (nx, ny, nz): rows upwards, columns to the right."""
        right, up = self.axes
        cut = values.take(self.index, axis=self.normal)
        return np.asarray(cut.T if right < up else cut)


def centers_along(grid: Grid, axis: int) -> NDArray[np.float64]:
    """Middles of the boxes along an axis (n,), Å."""
    indices = np.zeros((grid.counts[axis], 3), np.int64)
    indices[:, axis] = np.arange(grid.counts[axis])
    return grid.centers(indices)[:, axis]


def limits(grid: Grid, axis: int) -> tuple[float, float]:
    """Ends of what a map shows along an axis, Å: half a stride beyond the middles of the outer boxes.

    Along an axis without strides that is the one box.
    """
    middles = centers_along(grid, axis)
    half = 0.5 * (grid.stride[axis] if grid.strided[axis] else grid.size[axis])
    return float(middles[0] - half), float(middles[-1] + half)


def flat_axis(grid: Grid) -> int:
    """The axis to look along: the last one with a single box, else z."""
    return max((axis for axis in range(3) if grid.counts[axis] == 1), default=2)


def middle_planes(grid: Grid) -> list[Plane]:
    """One plane of a flat grid, else the middle ones of the three axes, z first."""
    normals = [flat_axis(grid)] if min(grid.counts) == 1 else [2, 1, 0]
    return [Plane(grid, normal, grid.counts[normal] // 2) for normal in normals]


def planes_along(grid: Grid, normal: int, count: int) -> list[Plane]:
    """Return up to `count` planes at equal distances along an axis, each in the middle of its share of it."""
    n = grid.counts[normal]
    count = min(count, n)
    return [Plane(grid, normal, int((k + 0.5) * n / count)) for k in range(count)]


def plane_at(grid: Grid, normal: int, position: float) -> Plane:
    """Return the plane nearest to a position along an axis, Å; raises CrysiftError outside of the grid."""
    low, high = limits(grid, normal)
    if not low <= position <= high:
        raise CrysiftError(
            f"there is no plane at {AXES[normal]} = {position:g} Å: the boxes lie between {low:.1f} and "
            f"{high:.1f} Å"
        )
    return Plane(grid, normal, int(np.argmin(np.abs(centers_along(grid, normal) - position))))


def bar_length(width: float) -> float:
    """Length of the scale bar of a map of some width, Å: 1, 2 or 5 times a power of ten."""
    longest = SHARE_OF_WIDTH * width * (1.0 + 1e-9)
    power = math.floor(math.log10(longest))
    lengths = [factor * 10.0**exponent for exponent in (power - 1, power) for factor in NICE]
    return max(length for length in lengths if length <= longest)
