"""The pristine structures that the network is trained on: prototypes, periodic and as clusters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.structure import Structure
from models.prototypes import Prototype, prototypes
from models.training.randomness import random_generator

CLUSTER_ATOMS = 100
"""A cluster has at least as many atoms."""
CLUSTER_SIZES = 3
PIECE_EDGES = (0.7, 1.5)
"""Shortest and longest edge of a piece, in units of that of the smallest cluster."""
PIECE_ATOMS = (70, 700)
"""The fewest and the most atoms of a piece."""
SOURCE = "prototype"


def pristine_structures(of: Sequence[Prototype] | None = None) -> list[Structure]:
    """Each prototype with periodicity and as three clusters; one without periodicity as it is.

    Of the 108, by default, these are 396 (Leitherer et al. 2021): 96 periodic ones, three clusters of each,
    and twelve nanotubes.
    """
    chosen = prototypes() if of is None else of
    return [structure for prototype in chosen for structure in _pristine(prototype)]


def defect_hosts(of: Sequence[Prototype] | None = None) -> list[Structure]:
    """All structures that defects are made in, 588 of the 108 prototypes, by default.

    These are the clusters and nanotubes of the training set, and the same supercells with periodicity left
    on, since a defect in a unit cell would repeat in every one of them.
    """
    chosen = prototypes() if of is None else of
    return [
        structure
        for prototype in chosen
        for structure in (*_clusters(prototype), *_periodic_supercells(prototype))
    ]


def is_smallest(host: Structure) -> bool:
    """Whether one of `defect_hosts` is the smallest cluster or supercell of its prototype, or a nanotube.

    Defects change these most.
    """
    return host.source_id.endswith(("cluster-0", "supercell-0"))


def label_of(structure_id: str) -> str:
    """The class of the prototype that a structure made here was made from."""
    return name_of(structure_id).split("#")[0]


def name_of(structure_id: str) -> str:
    """The prototype that a structure made here was made from, by its name."""
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


def pieces_of(of: Sequence[Prototype], count: int, seed: int) -> list[Structure]:
    """Cut `count` pieces without periodicity out of each periodic prototype's crystal, layer or rod.

    A piece is what lies in a box along the lattice vectors, with a random corner and random edges of about
    those of the smallest cluster, and has atoms of every species.
    """
    return [
        Structure(SOURCE, f"{prototype.name}/piece-{i}", *_piece(prototype, seed, i))
        for prototype in of
        if prototype.is_periodic
        for i in range(count)
    ]


def _piece(prototype: Prototype, seed: int, number: int) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    random = random_generator(seed, f"{prototype.name}/piece-{number}")
    axes = np.array(prototype.periodic)
    usual = np.array(cluster_replications(prototype)[0])
    fractions = np.linalg.solve(prototype.lattice.T, prototype.positions.T).T
    species = np.array(prototype.species)
    while True:
        corner = np.where(axes, random.uniform(0.0, 1.0, 3), 0.0)
        end = corner + usual * np.where(axes, random.uniform(*PIECE_EDGES, 3), 1.0)
        around = (
            range(-1, n + 1) if axis else range(1)
            for n, axis in zip(np.ceil(end).astype(int), axes, strict=True)
        )
        cells = np.array(list(itertools.product(*around)))
        places = (cells[:, None] + fractions).reshape(-1, 3)
        inside = (~axes | ((places >= corner) & (places < end))).all(axis=1)
        kept = np.tile(species, len(cells))[inside]
        if PIECE_ATOMS[0] <= len(kept) <= PIECE_ATOMS[1] and set(kept) == set(prototype.species):
            return tuple(map(str, kept)), places[inside] @ prototype.lattice


def _pristine(prototype: Prototype) -> list[Structure]:
    if not prototype.is_periodic:
        return _clusters(prototype)
    return [_supercell(prototype, (1, 1, 1), "periodic"), *_clusters(prototype)]


def _clusters(prototype: Prototype) -> list[Structure]:
    if not prototype.is_periodic:
        source_id = f"{prototype.name}/cluster-0"
        return [Structure(SOURCE, source_id, prototype.species, prototype.positions)]
    return [
        Structure(SOURCE, f"{prototype.name}/cluster-{i}", *replicate(prototype, counts))
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
        SOURCE, f"{prototype.name}/{variant}", species, positions, lattice, (first, second, third)
    )
