"""The same structures with atoms missing and displaced."""

from __future__ import annotations

import numpy as np

from jobs.studies.atomistic.system import Floats, System, with_atoms


def with_defects(whole: System, vacancies: float, displacement: float, seed: int = 0) -> System:
    """Remove a share `vacancies` of the atoms, and move the others.

    Every coordinate moves by a number uniform in ±`displacement` · d_NN, with the d_NN of the atom's grain in
    the whole structure (Leitherer et al., Nat. Commun. 12, 6234 (2021), Methods). Equal seeds give equal
    structures.
    """
    from models.training.defects import remaining_sites
    from models.training.randomness import random_generator

    random = random_generator(seed, f"{len(whole)}-{vacancies:g}-{displacement:g}")
    kept = remaining_sites(len(whole), vacancies, random)
    reach = displacement * nearest_distances(whole)[whole.grain_of[kept]]
    moved = whole.frame.positions[kept] + reach[:, None] * random.uniform(-1.0, 1.0, (len(kept), 3))
    return with_atoms(whole, kept, moved)


def nearest_distances(whole: System) -> Floats:
    """The typical distance, Å, between nearest neighbours of any species in every grain."""
    from scipy.spatial import cKDTree

    from engine.descriptors.scaling import typical_distance

    lengths = np.full(len(whole.grains), np.nan)
    for grain in range(len(whole.grains)):
        positions = whole.positions_of(grain)
        if len(positions) > 1:
            distances = np.asarray(cKDTree(positions).query(positions, k=2)[0])
            lengths[grain] = typical_distance(distances[:, 1])
    return lengths
