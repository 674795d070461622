"""How the choice of axes and origin permutes the Wyckoff letters of a space group.

A change of coordinates that leaves all operations of a space group as they are, up to their order, is an
element of its affine normalizer. It turns a description of a crystal into another one of equal right, in
which the same atoms may bear other letters: rock salt is A on 4a and B on 4b, or the other way round.
Reference: International Tables for Crystallography, Vol. A (2016), chapter 3.5 (normalizers) and section
1.4.4.3 (Wyckoff sets).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray

from engine.symmetry.permutations import LETTERS, Permutation, closure
from engine.symmetry.wyckoff import (
    STEPS,
    Integers,
    Operations,
    grid,
    operations,
    places,
    standard_hall_number,
    wyckoff_classes,
)

MONOCLINIC = range(3, 16)

SYMPREC = 1e-4
"""In units of the lattice vectors, which are some twenty long."""
DISGUISE = 3
"""Sites in general position that leave a crystal no other symmetry than its group's."""

Floats = NDArray[np.float64]
_IDENTITY = np.eye(3, dtype=np.int64)
_AXES = np.array([[14.0, 0.0, 0.0], [2.0, 17.0, 0.0], [3.0, 5.0, 20.0]])


def letter_permutations(number: int) -> list[Permutation]:
    """Generators of the permutations of a space group's Wyckoff letters by its affine normalizer.

    None where no letter changes. Takes up to a minute: `engine.symmetry.permutations` has the results.
    """
    group = operations(number)
    classes = wyckoff_classes(group)
    letters = wyckoff_letters(number, group, classes)
    sites = grid()[np.unique(classes, return_index=True)[1][np.argsort(letters)]]
    generators: list[Permutation] = []
    reached = closure(generators, len(letters))
    for matrix, shift in normalizer(number, group):
        permutation = tuple(letters[classes[places(sites @ matrix.T + shift)]].tolist())
        if permutation not in reached:
            generators.append(permutation)
            reached = closure(generators, len(letters))
    return generators


def normalizer(number: int, group: Operations) -> Iterator[tuple[Integers, Integers]]:
    """Changes of coordinates (3, 3), (3,) in units of 1/24 that generate all that leave a group as it is.

    Shifts first, then of each matrix with small entries one with the first shift that serves. Shifts along
    the axis of a polar group, which permute nothing, are multiples of 1/24 here.
    """
    for shift in _shifts(_IDENTITY, group, grid()):
        yield _IDENTITY, shift
    for matrix in _matrices(number):
        if _keeps_rotations_and_lattice(matrix, group):
            shifts = _shifts(matrix, group, np.zeros((1, 3), np.int64))
            if not len(shifts):
                shifts = _shifts(matrix, group, grid())
            if len(shifts):
                yield matrix, shifts[0]


def _matrices(number: int) -> Integers:
    """Unimodular matrices (n, 3, 3) that, with a group's operations, generate all in its normalizer.

    Of monoclinic groups, whose normalizers have shears of any length, with entries up to 2 in the plane.
    """
    if number in MONOCLINIC:
        plane = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 4, indexing="ij"), axis=-1).reshape(-1, 2, 2)
        found = np.tile(_IDENTITY, (len(plane), 1, 1))
        found[:, ::2, ::2] = plane
    else:
        found = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 9, indexing="ij"), axis=-1).reshape(-1, 3, 3)
    return np.asarray(found[np.rint(np.abs(np.linalg.det(found))) == 1])


def _keeps_rotations_and_lattice(matrix: Integers, group: Operations) -> bool:
    inverse = np.rint(np.linalg.inv(matrix)).astype(np.int64)
    rotations = group.representatives.rotations
    found = (_row(matrix @ rotations @ inverse)[:, None] == _row(rotations)).any(axis=1)
    centerings = group.centerings
    kept = np.isin(places(centerings @ matrix.T), places(centerings))
    return bool(found.all() and kept.all())


def _shifts(matrix: Integers, group: Operations, shifts: Integers) -> Integers:
    """Those of the shifts (n, 3) with which a change of coordinates brings every operation to another one."""
    inverse = np.rint(np.linalg.inv(matrix)).astype(np.int64)
    rotations, translations = group.representatives
    codes = _row(rotations)
    for rotation, translation in zip(rotations, translations, strict=True):
        image = matrix @ rotation @ inverse
        expected = translations[np.flatnonzero(codes == _row(image[None]))[0]]
        excess = shifts - shifts @ image.T + matrix @ translation - expected
        shifts = shifts[np.isin(places(excess), places(group.centerings))]
    return shifts


def _row(matrices: Integers) -> Integers:
    """One number (n,) for each of the matrices (n, 3, 3), whose entries are small."""
    return np.asarray(matrices.reshape(-1, 9) @ 101 ** np.arange(9))


def wyckoff_letters(number: int, group: Operations, classes: Integers) -> Integers:
    """The letters, as places in `LETTERS`, of the positions that ``classes`` counts: (positions,).

    Read off what spglib calls the sites of a crystal that has an atom of another kind on each position. Where
    an atom is A and where B depends on the origin that spglib takes, which `letter_permutations` don't.
    """
    sites = grid()[np.unique(classes, return_index=True)[1]] / STEPS
    disguise = np.random.default_rng(number).random((DISGUISE, 3))
    positions, kinds = _orbits(np.vstack([sites, disguise]), group)
    cell: Any = _lattice(group), positions, kinds
    data = spglib.get_symmetry_dataset(cell, SYMPREC, hall_number=standard_hall_number(number))
    if data is None or data.number != number:
        raise ValueError(f"spglib does not find space group {number} in a crystal made to have it")
    first = np.searchsorted(kinds, np.arange(len(sites)))
    return np.array([LETTERS.index(data.wyckoffs[k]) for k in first])


def _orbits(sites: Floats, group: Operations) -> tuple[Floats, Integers]:
    """All images (m, 3) of sites (n, 3) in the cell, fractional, and of which site each is one: ascending."""
    positions, kinds = [], []
    for kind, site in enumerate(sites):
        images = (group.rotations @ site + group.translations / STEPS) % 1.0
        _, first = np.unique(np.rint(images * 1e6).astype(np.int64) % 1_000_000, axis=0, return_index=True)
        positions.append(images[first])
        kinds.append(np.full(len(first), kind))
    return np.concatenate(positions), np.concatenate(kinds)


def _lattice(group: Operations) -> Floats:
    """Lattice vectors (3, 3) of general lengths and angles that the rotations allow."""
    metric = (group.rotations.transpose(0, 2, 1) @ (_AXES @ _AXES.T) @ group.rotations).mean(axis=0)
    return np.asarray(np.linalg.cholesky(metric))
