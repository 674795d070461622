"""A model of a nickel superalloy: an ordered precipitate in a disordered matrix of the same composition."""

from __future__ import annotations

import numpy as np

from jobs.studies.atomistic.system import Grain, System, system

EDGE = 120.0
"""Å."""
LATTICE_PARAMETER = 3.74
"""Å: 132,127 atoms, as many as the model in the literature has, fill the cube at this lattice parameter."""
PRECIPITATE = 60.0
"""Edge of the ordered cube in the middle, Å."""
ALUMINIUM = 0.25
MATRIX, ORDERED = Grain("matrix", "fcc_Cu_A_cF4_225_a"), Grain("precipitate", "L12_Cu3Au")


def superalloy(
    edge: float = EDGE, precipitate: float = PRECIPITATE, a: float = LATTICE_PARAMETER, seed: int = 0
) -> System:
    """A cube of fcc sites: L1₂ Ni₃Al in the middle, Al at random around it; lengths in Å.

    Al takes a quarter of the sites inside and outside, so that nothing but order tells the two apart. Faces
    of both cubes are {100} (the model of Leitherer et al., Nat. Commun. 12, 6234 (2021), in the same size).
    """
    planes = np.arange(int(np.floor(edge / (0.5 * a))))
    sites = np.stack(np.meshgrid(planes, planes, planes, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = sites[sites.sum(axis=1) % 2 == 0]
    middle = 0.5 * (len(planes) - 1)
    inside = (np.abs(sites - middle) * 0.5 * a < 0.5 * precipitate).all(axis=1)
    is_aluminium = inside & (sites % 2 == 0).all(axis=1)
    outside = np.flatnonzero(~inside)
    drawn = np.random.default_rng(seed).permutation(outside)[: round(ALUMINIUM * len(outside))]
    is_aluminium[drawn] = True
    symbols = np.where(is_aluminium, "Al", "Ni")
    return system(0.5 * a * sites, symbols.tolist(), inside.astype(np.int8), (MATRIX, ORDERED))
