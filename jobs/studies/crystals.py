"""Cubic crystals with sites removed or atoms displaced, and their fingerprints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engine.descriptors.diffraction import DiffractionSettings
    from engine.descriptors.diffraction.crystal import Crystal
    from engine.structure import Structure

NEAREST = {"fcc": math.sqrt(0.5), "diamond": math.sqrt(3.0) / 4.0, "bcc": math.sqrt(3.0) / 2.0, "sc": 1.0}
"""Distance of nearest neighbours in units of the lattice parameter."""


def host(label: str, symbol: str) -> Structure:
    """About 128 atoms of one element in the arrangement `label`: replicas of the cube."""
    from models.training.cubic import cubic_structure
    from models.training.cubic_defects import defect_host

    return defect_host(cubic_structure(label, symbol, "conventional", 1.0))


def nearest_distance(label: str, symbol: str) -> float:
    """Å, between nearest neighbours in the crystal at rest."""
    from models.training.cubic import lattice_parameter

    return NEAREST[label] * lattice_parameter(label, symbol)


def spread_elements(count: int) -> list[str]:
    """So many elements, evenly over the periodic table."""
    from models.training.cubic import element_symbols

    symbols = element_symbols()
    return [symbols[i] for i in np.linspace(0, len(symbols) - 1, count).round().astype(int)]


def without_centres(symbol: str, share: float, seed: int) -> Structure:
    """A body-centred crystal without a random `share` of the atoms in the centres of its cubes."""
    from models.training.cubic import lattice_parameter
    from models.training.randomness import random_generator

    whole = host("bcc", symbol)
    from_corner = (whole.positions - whole.positions[0]) / lattice_parameter("bcc", symbol)
    centres = np.flatnonzero(np.abs(from_corner - from_corner.round()).max(axis=1) > 0.25)
    drawn = random_generator(seed, f"{whole.source_id}/without-centres-{share:g}").permutation(centres)
    return _without(whole, drawn[: round(share * len(centres))])


def with_vacancies(label: str, symbol: str, share: float, seed: int) -> Structure:
    """A crystal without a random `share` of its atoms."""
    from models.training.cubic_defects import CubicDefect, defective_cubic

    return next(defective_cubic([host(label, symbol)], CubicDefect(vacancies=share), seed))


def displaced(label: str, symbol: str, lindemann: float, seed: int) -> Structure:
    """A crystal with all atoms displaced by Gaussian random vectors, the same in every direction.

    `lindemann` is their root mean square length in units of the nearest-neighbour distance of the crystal
    at rest: each coordinate has the standard deviation lindemann · d_NN / √3.
    """
    from models.training.cubic_defects import CubicDefect, defective_cubic

    sigma = lindemann * nearest_distance(label, symbol) / math.sqrt(3.0)
    return next(defective_cubic([host(label, symbol)], CubicDefect(displacement=sigma), seed))


def is_turned(structure: Structure, edge: float) -> bool:
    """Whether the standard cell does not stand along the cubes, of this edge in Å, that it was made from.

    So it is where defects leave a symmetry with other axes than the cubes'. The fingerprint then shows
    another zone.
    """
    from models.training.cubic_defects import standard_cell_of

    cubes = standard_cell_of(structure).lattice / edge
    upright = np.diag(np.diag(cubes).round())
    return bool(np.abs(cubes - upright).max() > 0.01)


def diffracting(structure: Structure) -> Crystal:
    """The finite crystal that diffracts."""
    from engine.descriptors.diffraction.crystal import diffracting_crystal

    numbers = np.array(structure.composition.atomic_numbers, dtype=np.int64)
    return diffracting_crystal(structure.positions, numbers, structure.cell)


def in_units_of(crystal: Crystal, length: float) -> Crystal:
    """The same atoms with lengths in units of this one, Å."""
    return crystal._replace(positions=crystal.positions * (crystal.d_nn / length), d_nn=length)


def fingerprints(crystals: Sequence[Crystal], settings: DiffractionSettings) -> NDArray[Any]:
    """Fingerprints (N, inputs) as a store holds them, in its precision."""
    from engine.descriptors.diffraction.pattern import patterns
    from engine.descriptors.diffraction.stage import IMAGE_TYPE

    return patterns(crystals, settings).flatten(1).numpy().astype(IMAGE_TYPE.to_pandas_dtype())


def _without(structure: Structure, sites: NDArray[np.int64]) -> Structure:
    kept = np.setdiff1d(np.arange(len(structure.positions)), sites)
    symbols = tuple(structure.species_at_sites[site] for site in kept)
    return replace(structure, positions=structure.positions[kept], species_at_sites=symbols)
