"""The pristine structures that the network is trained on: prototypes, periodic and as clusters."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from engine.structure import Structure
from models.prototypes import Prototype, prototypes

CLUSTER_ATOMS = 100
"""A cluster has at least as many atoms."""
CLUSTER_SIZES = 3
SOURCE = "prototype"


def pristine_structures() -> list[Structure]:
    """Return all 396 (Leitherer et al. 2021): 96 periodic, three clusters of each, twelve nanotubes."""
    return [structure for prototype in prototypes() for structure in _pristine(prototype)]


def defect_hosts() -> list[Structure]:
    """All 588 structures that defects are made in.

    These are the clusters and nanotubes of the training set, and the same supercells with periodicity left
    on, since a defect in a unit cell would repeat in every one of them.
    """
    return [
        structure
        for prototype in prototypes()
        for structure in (*_clusters(prototype), *_periodic_supercells(prototype))
    ]


def label_of(structure_id: str) -> str:
    """The prototype that a structure made here was made from."""
    return structure_id.removeprefix(f"{SOURCE}:").split("/")[0]


def cluster_replications(prototype: Prototype) -> list[tuple[int, int, int]]:
    """The smallest isotropic replication with enough atoms and the next two; in-plane only for a layer."""
    axes = sum(prototype.periodic)
    smallest = next(n for n in itertools.count(1) if n**axes * len(prototype.species) >= CLUSTER_ATOMS)
    sizes = range(smallest, smallest + CLUSTER_SIZES)
    first, second, third = prototype.periodic
    return [(n if first else 1, n if second else 1, n if third else 1) for n in sizes]


def replicate(
    prototype: Prototype, counts: tuple[int, int, int]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Species and positions (n, 3), Å, of `counts` unit cells along the lattice vectors."""
    cells = np.array(list(itertools.product(*map(range, counts))), dtype=np.float64)
    positions = (cells @ prototype.lattice)[:, None, :] + prototype.positions
    return prototype.species * len(cells), positions.reshape(-1, 3)


def _pristine(prototype: Prototype) -> list[Structure]:
    if not prototype.is_periodic:
        return _clusters(prototype)
    return [_supercell(prototype, (1, 1, 1), "periodic"), *_clusters(prototype)]


def _clusters(prototype: Prototype) -> list[Structure]:
    if not prototype.is_periodic:
        source_id = f"{prototype.label}/cluster-0"
        return [Structure(SOURCE, source_id, prototype.species, prototype.positions)]
    return [
        Structure(SOURCE, f"{prototype.label}/cluster-{i}", *replicate(prototype, counts))
        for i, counts in enumerate(cluster_replications(prototype))
    ]


def _periodic_supercells(prototype: Prototype) -> list[Structure]:
    if not prototype.is_periodic:
        return []
    return [
        _supercell(prototype, counts, f"supercell-{i}")
        for i, counts in enumerate(cluster_replications(prototype))
    ]


def _supercell(prototype: Prototype, counts: tuple[int, int, int], variant: str) -> Structure:
    species, positions = replicate(prototype, counts)
    first, second, third = (int(axis) for axis in prototype.periodic)
    lattice = prototype.lattice * np.array(counts)[:, None]
    return Structure(
        SOURCE, f"{prototype.label}/{variant}", species, positions, lattice, (first, second, third)
    )
