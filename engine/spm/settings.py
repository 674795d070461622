"""What a user chooses of the boxes that a structure is cut into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from engine.errors import CrysiftError

Vector = tuple[float, float, float]
Shape = Literal["box", "sphere"]
Axes = Literal["auto", "1", "2", "3"]
SoapMode = Literal["exact", "shared"]
"""How boxes are described: each as a cluster of its own, or by sums that all boxes share."""

LARGEST = 1e4
MAX_PADDING = 10.0


@dataclass(frozen=True)
class GridSettings:
    """Settings of strided pattern matching (Leitherer et al., Nat. Commun. 12, 6234 (2021), Methods).

    Lengths are in Å. Raises CrysiftError for what makes no grid.
    """

    stride: Vector = (1.0, 1.0, 1.0)
    """Distance of neighbouring boxes along x, y and z."""
    box: float = 16.0
    """Edge of a box, or diameter of a sphere."""
    shape: Shape = "box"
    axes: Axes = "auto"
    """Along how many axes boxes are lined up, the longest first; "auto": along those on which the structure
    is longer than one box."""
    padding: float = 0.0
    """By how many boxes the structure's bounding box is widened on every side."""
    min_atoms: int = 20
    """A box with fewer atoms is not classified."""

    def __post_init__(self) -> None:
        """Refuse what makes no grid."""
        for axis, stride in zip("xyz", self.stride, strict=True):
            if not 0.0 < stride <= LARGEST:
                raise CrysiftError(
                    f"the stride along {axis} is {stride:g} Å: give a length above 0 and up to {LARGEST:g} Å"
                )
        if not 0.0 < self.box <= LARGEST:
            raise CrysiftError(f"the box is {self.box:g} Å: give a length above 0 and up to {LARGEST:g} Å")
        if not 0.0 <= self.padding <= MAX_PADDING:
            raise CrysiftError(f"the padding is {self.padding:g} boxes: give 0 to {MAX_PADDING:g}")
        if self.min_atoms < 1:
            raise CrysiftError(f"the smallest number of atoms in a box is {self.min_atoms}: give at least 1")
        for name, value, known in (("shape", self.shape, Shape), ("axes", self.axes, Axes)):
            if value not in get_args(known):
                raise CrysiftError(f"{name} is {value!r}: choose {', '.join(get_args(known))}")
