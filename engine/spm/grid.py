"""The grid of boxes over a structure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.neighbors import Floats
from engine.errors import CrysiftError
from engine.spm.settings import GridSettings, Shape, Vector

MAX_BOXES = 2**31
_SLACK = 1e-6
"""Å by which the one box along an axis without stride is larger than the structure, on every side."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Grid:
    """Boxes at equal distances; lengths in Å.

    Box (0, 0, 0) begins at `origin`, a neighbour `stride` further, and each is `size` long: a point belongs
    to it if low ≤ x < low + size on every axis, and with the shape "sphere" also if it is not farther than
    half the size from the middle, measured along the `strided` axes. Along the other axes there is one box
    over all.
    """

    origin: Vector
    stride: Vector
    size: Vector
    counts: tuple[int, int, int]
    strided: tuple[bool, bool, bool]
    shape: Shape = "box"

    @classmethod
    def over(cls, low: Floats, high: Floats, settings: GridSettings) -> Self:
        """Lay boxes over what reaches from `low` (3,) to `high` (3,), Å.

        With R the range of an axis, widened by the padding, and s its stride there are ⌊R/s⌋ + 1 boxes, more
        where the last one would not reach the end, and the overhang is divided between both ends. Raises
        CrysiftError where a box is larger than the structure on all axes, or boxes are too many.
        """
        extent = np.asarray(high, np.float64) - np.asarray(low, np.float64)
        strided = _strided(extent, settings)
        widened = np.where(strided, settings.padding * settings.box, _SLACK)
        start, length = np.asarray(low) - widened, extent + 2.0 * widened
        axes = [_axis(length[k], settings.stride[k], settings.box, bool(strided[k])) for k in range(3)]
        grid = cls(
            origin=_vector(start[k] - axes[k][2] for k in range(3)),
            stride=settings.stride,
            size=_vector(axis[1] for axis in axes),
            counts=(axes[0][0], axes[1][0], axes[2][0]),
            strided=(bool(strided[0]), bool(strided[1]), bool(strided[2])),
            shape=settings.shape,
        )
        if grid.n_boxes > MAX_BOXES:
            raise CrysiftError(
                f"{grid.n_boxes:,} boxes are more than {MAX_BOXES:,}: take a stride larger than "
                f"{min(settings.stride):g} Å"
            )
        return grid

    @property
    def n_boxes(self) -> int:
        """How many boxes there are."""
        return math.prod(self.counts)

    def lows(self, indices: NDArray[np.integer]) -> Floats:
        """Low corners (n, 3) of boxes by their indices (n, 3), Å."""
        return np.asarray(np.array(self.origin) + indices * np.array(self.stride), np.float64)

    def extent(self, indices: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Return the low and the high corner (3,) of all that boxes (n, 3) cover together, Å."""
        lows = self.lows(np.array([indices.min(axis=0), indices.max(axis=0)]))
        return lows[0], lows[1] + np.array(self.size)

    def centers(self, indices: NDArray[np.integer]) -> Floats:
        """Middles (n, 3) of boxes by their indices (n, 3), Å."""
        return self.lows(indices) + 0.5 * np.array(self.size)

    def indices(self) -> NDArray[np.int32]:
        """Indices (n_boxes, 3) of all boxes, the last axis running fastest."""
        return np.stack(np.unravel_index(np.arange(self.n_boxes), self.counts), axis=1).astype(np.int32)

    def to_json(self) -> dict[str, Any]:
        """Plain values, one per field."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read what `to_json` wrote, and JSON made lists of."""
        fields = {name: document[name] for name in cls.__dataclass_fields__}
        shape: Shape = fields.pop("shape")
        return cls(**{name: tuple(values) for name, values in fields.items()}, shape=shape)


def _strided(extent: Floats, settings: GridSettings) -> NDArray[np.bool_]:
    """Choose the axes (3,) along which boxes are lined up."""
    longer = extent > settings.box
    if settings.axes == "auto":
        if not longer.any():
            raise CrysiftError(
                f"a box of {settings.box:g} Å is larger than the structure, which measures "
                f"{' × '.join(f'{length:.1f}' for length in extent)} Å: take a smaller --box, or screen the "
                "structure as a whole"
            )
        return np.asarray(longer, np.bool_)
    chosen = np.zeros(3, np.bool_)
    chosen[np.argsort(-extent, kind="stable")[: int(settings.axes)]] = True
    return chosen


def _axis(length: float, stride: float, box: float, strided: bool) -> tuple[int, float, float]:
    """Return the number of boxes, their size, and how far the first one begins before the structure."""
    if not strided:
        return 1, float(length), 0.0
    count = math.floor(length / stride + _ROUNDING) + 1
    missing = length - (count - 1) * stride - box
    if missing > 0:
        count += math.ceil(missing / stride - _ROUNDING)
    return count, box, 0.5 * ((count - 1) * stride + box - length)


def _vector(values: Any) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
