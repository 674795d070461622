"""Settings of the two-dimensional diffraction fingerprint, and what is fixed about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.errors import CrysiftError

WAVELENGTH = 5.0e-12
"""m."""
DISTANCE = 0.1
"""m, from the crystal to the detector."""
PIXEL_SIZE = 4.0e-4
"""m."""
PIXELS = 64
"""Pixels along either edge of the detector."""
GAMMA = 1.5
"""γ, the exponent of the amplitude."""
TARGET_ATOMS = 128
"""A cell is replicated until it has about as many atoms."""
MASK_RADII = (5.0, 30.0)
"""Pixels; what is nearer to the centre of the detector or farther from it is dark where a mask is used."""

Channels = Literal["single", "rgb"]


@dataclass(frozen=True)
class DiffractionSettings:
    """What can be chosen about the fingerprint (Ziletti et al., Nat. Commun. 9, 2775 (2018), Methods)."""

    channels: Channels = "single"
    """One pattern, of the crystal turned by 45° about its first axis ("single"); or three channels ("rgb"),
    one per crystal axis, each the sum of the patterns of the crystal turned by +45° and by −45° about it."""
    mask: bool = True
    """Whether pixels nearer than 5 and farther than 30 pixels from the centre are dark: the central spot is
    the brightest and tells nothing about the structure."""

    def __post_init__(self) -> None:
        if self.channels not in {"single", "rgb"}:
            raise CrysiftError(f'diffraction setting channels = "{self.channels}" is none of single, rgb')

    @property
    def turns(self) -> tuple[tuple[tuple[int, float], ...], ...]:
        """For every channel the turns whose patterns are summed: crystal axis and angle in degrees."""
        if self.channels == "single":
            return (((0, 45.0),),)
        return tuple(((axis, 45.0), (axis, -45.0)) for axis in range(3))

    @property
    def width(self) -> int:
        """Numbers in a fingerprint."""
        return len(self.turns) * PIXELS**2
