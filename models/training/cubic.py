"""The pristine structures of the diffraction network: four cubic arrangements of every element."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.structure import Structure
from models.training.randomness import random_generator

Floats = NDArray[np.float64]

SOURCE = "cubic"
ELEMENTS = 98
"""Hydrogen to californium: the elements whose x-ray form factors are tabulated (Waasmaier, Kirfel 1995)."""
SETTINGS = ("conventional", "primitive", "sheared", "supercell")
SCALES = (0.95, 1.0, 1.05, 1.1)
"""Lattice parameters in units of the one at which an atom has the volume that it has in its element."""
SPACE_GROUPS = {"fcc": 225, "diamond": 227, "bcc": 229, "sc": 221}
DESCRIPTIONS = len(SETTINGS) * len(SCALES)
"""Of every crystal."""
CLASSES = tuple(SPACE_GROUPS)
"""In the order of the network's outputs."""
SUPERCELL = (2, 1, 1)
_SEED = 0
_PRIMITIVE = {
    "fcc": [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]],
    "diamond": [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]],
    "bcc": [[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]],
    "sc": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
}
"""Primitive lattice vectors as rows, in units of the lattice parameter."""
_BASIS = {"diamond": [[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]]}
_CENTRINGS = {
    "fcc": [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]],
    "diamond": [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]],
    "bcc": [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]],
    "sc": [[0.0, 0.0, 0.0]],
}


def pristine_cubic(elements: Iterable[str] | None = None) -> list[Structure]:
    """Every class, element, cell setting and scale: 6,272 structures, or those of the elements named.

    The ids read ``cubic:fcc/Cu/sheared/1.05``.
    """
    symbols = element_symbols() if elements is None else tuple(elements)
    return [
        cubic_structure(label, symbol, setting, scale)
        for label, symbol, setting, scale in itertools.product(CLASSES, symbols, SETTINGS, SCALES)
    ]


def cubic_structure(label: str, symbol: str, setting: str, scale: float) -> Structure:
    """Atoms of one element in the arrangement `label`, described by one of the cell settings.

    *conventional*: the cube. *primitive*: the smallest cell, its origin off the atoms. *sheared*: another
    smallest cell, oblique, turned by a random rotation, its origin off the atoms. *supercell*: two cubes.
    All four are the same crystal.
    """
    source_id = f"{label}/{symbol}/{setting}/{scale:.2f}"
    random = random_generator(_SEED, source_id)
    a = scale * lattice_parameter(label, symbol)
    positions, lattice = (_conventional if setting in {"conventional", "supercell"} else _primitive)(label, a)
    if setting == "supercell":
        positions, lattice = _repeated(positions, lattice, SUPERCELL)
    if setting == "sheared":
        turn = _rotation(random)
        positions, lattice = positions @ turn, _shear(random) @ lattice @ turn
    if setting in {"primitive", "sheared"}:
        positions = positions + random.random(3) @ lattice
    return Structure(SOURCE, source_id, (symbol,) * len(positions), positions, lattice, (1, 1, 1))


def lattice_parameter(label: str, symbol: str) -> float:
    """Edge of the cube, Å, at which an atom has the volume of `atomic_volume`."""
    atoms = len(_CENTRINGS[label]) * len(_BASIS.get(label, [0]))
    return math.cbrt(atoms * atomic_volume(symbol))


@lru_cache(maxsize=ELEMENTS)
def atomic_volume(symbol: str) -> float:
    """Volume per atom, Å³, of the solid element: pymatgen's molar volume.

    Astatine and francium have none there; they get the mean of the two neighbouring elements.
    """
    from pymatgen.core.periodic_table import Element
    from scipy.constants import N_A

    number = Element(symbol).Z
    neighbours = [number - 1, number + 1]
    volume = _molar_volume(number) or sum(map(_molar_volume, neighbours)) / len(neighbours)
    return volume * 1e24 / float(N_A)


def element_symbols() -> tuple[str, ...]:
    """Symbols of all elements with form factors, by atomic number."""
    from pymatgen.core.periodic_table import Element

    return tuple(Element.from_Z(z).symbol for z in range(1, ELEMENTS + 1))


def class_of(structure_id: str) -> str:
    """The class that a structure made here, or a defective variant of one, belongs to."""
    return structure_id.removeprefix(f"{SOURCE}:").split("/")[0]


def element_of(structure_id: str) -> str:
    """The element that a structure made here, or a defective variant of one, was made of."""
    return structure_id.split("/")[1]


def _molar_volume(number: int) -> float:
    """cm³/mol, 0 where it is not known."""
    from pymatgen.core.periodic_table import Element

    known = Element.from_Z(number).data.get("Molar volume")
    return float(str(known).split()[0]) if known else 0.0


def _primitive(label: str, a: float) -> tuple[Floats, Floats]:
    return a * np.array(_BASIS.get(label, [[0.0, 0.0, 0.0]])), a * np.array(_PRIMITIVE[label])


def _conventional(label: str, a: float) -> tuple[Floats, Floats]:
    basis = np.array(_BASIS.get(label, [[0.0, 0.0, 0.0]]))
    positions = np.array(_CENTRINGS[label])[:, None] + basis
    return a * positions.reshape(-1, 3), a * np.eye(3)


def _repeated(positions: Floats, lattice: Floats, counts: tuple[int, int, int]) -> tuple[Floats, Floats]:
    cells = np.array(list(itertools.product(*map(range, counts))), dtype=np.float64) @ lattice
    return (cells[:, None] + positions).reshape(-1, 3), lattice * np.array(counts)[:, None]


def _shear(random: np.random.Generator) -> Floats:
    """Integer matrix (3, 3) of determinant 1: other lattice vectors of the same lattice."""
    below = random.choice([-1.0, 1.0], size=(3, 3))
    return np.tril(below, -1) + np.eye(3)


def _rotation(random: np.random.Generator) -> Floats:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.random(rng=random).as_matrix())
