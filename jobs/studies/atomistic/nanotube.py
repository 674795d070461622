"""A rod of two carbon nanotubes, end to end."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from jobs.studies.atomistic.system import Floats, Grain, System, system

BOND = 1.42
"""Å."""
HALF = 80.0
"""Length of each tube, Å."""


class Tube(NamedTuple):
    """A nanotube (n, m), and its prototype."""

    n: int
    m: int
    prototype: str


TUBES = (
    Tube(4, 4, "armchair_cnt_nm_4_4_30.0_5.42"),
    Tube(7, 0, "zigzag_cnt_nm_7_0_0.0_5.48"),
)
"""Of nearly equal diameters, so that only the arrangement of the atoms tells them apart."""


def nanotube_rod(half: float = HALF) -> System:
    """An armchair tube below z = 0 and a zigzag tube above, one bond apart, each about `half` Å long."""
    lower, upper = (_tube(tube, half) for tube in TUBES)
    lower[:, 2] -= lower[:, 2].max() + 0.5 * BOND
    upper[:, 2] -= upper[:, 2].min() - 0.5 * BOND
    positions = np.concatenate([lower, upper])
    grain_of = np.repeat([0, 1], [len(lower), len(upper)])
    grains = [Grain(f"({tube.n},{tube.m})", tube.prototype) for tube in TUBES]
    return system(positions, ["C"] * len(positions), grain_of, grains)


def diameter(n: int, m: int) -> float:
    """Diameter of the rolled-up sheet, Å."""
    return BOND * math.sqrt(3.0 * (n * n + n * m + m * m)) / math.pi


def _tube(tube: Tube, length: float) -> Floats:
    """Positions (n, 3), Å, around the z axis."""
    from ase.build import nanotube

    period = nanotube(tube.n, tube.m, length=1, bond=BOND).cell[2, 2]
    atoms = nanotube(tube.n, tube.m, length=round(length / period), bond=BOND)
    positions = np.array(atoms.positions, np.float64)
    positions[:, :2] -= positions[:, :2].mean(axis=0)
    return positions
