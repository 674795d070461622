"""Numbers on a map, moved to where they cover little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

HEIGHT, DIGIT = 7.5, 4.6
"""Of a mark and of one of its characters, points of typography; so are all lengths here."""
RADII = (0.0, 9.0, 13.0, 18.0, 24.0, 31.0)
ANGLES = 16
CELL = 2.0
FARTHER = 0.25
"""What a point of distance costs, in cells that are covered."""
COLLISION = 1000.0


class Mark(NamedTuple):
    """A text for a place of the map."""

    x: float
    y: float
    text: str


class Moved(NamedTuple):
    """A mark, and how far from its place it is written, in points."""

    mark: Mark
    right: float
    up: float


class _Box(NamedTuple):
    left: float
    right: float
    low: float
    high: float

    def meets(self, other: _Box) -> bool:
        apart = self.left >= other.right or self.right <= other.left
        return not (apart or self.low >= other.high or self.high <= other.low)


def moved_marks(marks: Sequence[Mark], places: Doubles, low: Doubles, scale: float) -> list[Moved]:
    """Move marks, in their order, off the points (N, 2) and off one another, no farther than need be.

    The map begins at ``low`` (2,) and ``scale`` is the length of its unit; a mark of which nothing can be
    moved free lies where it covers least.
    """
    covered = _covered((places - low) * scale)
    taken: list[_Box] = []
    moved = []
    for mark in marks:
        x, y = (np.array([mark.x, mark.y]) - low) * scale
        width = DIGIT * len(mark.text) + 2.0
        shifts = [(0.0, 0.0), *((r * np.cos(a), 0.85 * r * np.sin(a)) for r in RADII[1:] for a in _angles())]
        boxes = [_box(x + right, y + up, width) for right, up in shifts]
        costs = [
            _cost(box, covered, taken) + FARTHER * float(np.hypot(*shift))
            for box, shift in zip(boxes, shifts, strict=True)
        ]
        best = int(np.argmin(costs))
        taken.append(boxes[best])
        moved.append(Moved(mark, float(shifts[best][0]), float(shifts[best][1])))
    return moved


def _angles() -> Doubles:
    return np.linspace(0.0, 2.0 * np.pi, ANGLES, endpoint=False) + 0.25 * np.pi


def _box(x: float, y: float, width: float) -> _Box:
    return _Box(x - width / 2, x + width / 2, y - HEIGHT / 2, y + HEIGHT / 2)


def _covered(places: Doubles) -> NDArray[np.int64]:
    """Count the cells with points below and left of each cell."""
    extent = int(np.ceil(max(float(places.max(initial=0.0)), CELL) / CELL)) + 1
    cells = np.clip((places / CELL).astype(np.int64), 0, extent - 1)
    occupied = np.zeros((extent + 1, extent + 1), np.int64)
    occupied[cells[:, 0] + 1, cells[:, 1] + 1] = 1
    return np.asarray(occupied.cumsum(axis=0).cumsum(axis=1))


def _cost(box: _Box, covered: NDArray[np.int64], taken: Sequence[_Box]) -> float:
    """Cells that a box covers, and what it costs to meet others or to leave the map."""
    last = len(covered) - 1
    edges = np.array([box.left, box.right + CELL, box.low, box.high + CELL]) / CELL
    left, right, low, high = np.clip(edges.astype(np.int64), 0, last)
    cells = covered[right, high] - covered[left, high] - covered[right, low] + covered[left, low]
    outside = min(box.left, box.low) < 0.0 or max(box.right, box.high) > last * CELL
    return float(cells) + COLLISION * (outside + sum(box.meets(other) for other in taken))
