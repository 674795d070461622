"""A batch of structures as flat arrays of sublattices, whose atoms are sorted into bins of their cells.

A bin is a parallelepiped of the (reduced) cell. Bins continue periodically, so that a bin's number along a
lattice vector, divided by the number of bins, is the lattice translation: a cell too small to be divided is
one bin, and its images are the bins around it. One search then serves unit cells and large structures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.descriptors.neighbors import Cell, Floats, Ints, reduced_cell, wrapped

ATOMS_PER_BIN = 4.0
_THINNEST = 1.0
"""Å: a sublattice that is flatter than this, along a direction that is not periodic, counts as this thick."""


class Sublattices(NamedTuple):
    """L sublattices, the atoms of one species each, of B structures with N atoms; lengths in Å."""

    positions: Floats
    """(N, 3), wrapped, by structure, species and bin."""
    fractions: Floats
    """(N, 3), multiples of the reduced cell's vectors, or Å along directions that are not periodic."""
    bounds: Ints
    """(L + 1,): sublattice l has the atoms bounds[l] … bounds[l + 1] − 1."""
    structure: Ints
    """(L,), the structure of each sublattice, rising."""
    shape: Ints
    """(L, 3), the number of bins along each vector."""
    origin: Floats
    """(L, 3), the fraction at which the bins begin: 0 along periodic vectors."""
    density: Floats
    """(L, 3), bins per fraction."""
    first_bin: Ints
    """(L,), where a sublattice's bins, the last vector running fastest, begin in `bin_start`."""
    bin_start: Ints
    """First atom of each bin, and N at the end."""
    spacing: Floats
    """(L,), cube root of the volume per atom."""
    vectors: Floats
    """(B, 3, 3), the reduced cells."""
    heights: Floats
    """(B, 3), distances between lattice planes."""
    periodic: NDArray[np.bool_]
    """(B, 3)."""
    farthest: Floats
    """(B,), a distance within which every atom has a neighbour of each species if it has one at all."""


@compiled()
def sublattices(
    positions: Floats, species: Ints, offsets: Ints, lattices: Floats, periodic: NDArray[np.bool_]
) -> Sublattices:
    """Sublattices of B structures, given as in `engine.columns.StructureColumns` (offsets (B + 1,) of sites).

    Raises ZeroDivisionError or LinAlgError for a cell without volume.
    """
    count = offsets.size - 1
    placed, fractions = np.empty_like(positions), np.empty_like(positions)
    bounds, structure = np.zeros(species.size + 1, np.int64), np.empty(species.size, np.int64)
    vectors, heights, farthest = np.empty((count, 3, 3)), np.empty((count, 3)), np.empty(count)
    found = 0
    for s in range(count):
        first, last = offsets[s], offsets[s + 1]
        cell = reduced_cell(lattices[s], periodic[s])
        order = np.argsort(species[first:last], kind="mergesort")
        codes = species[first:last][order]
        placed[first:last] = wrapped(positions[first:last][order], cell)
        fractions[first:last] = placed[first:last] @ cell.inverse
        vectors[s], heights[s] = cell.vectors, cell.heights
        farthest[s] = _farthest(placed[first:last], cell)
        for i in range(codes.size):
            if i == 0 or codes[i] != codes[i - 1]:
                structure[found], bounds[found] = s, first + i
                found += 1
    bounds[found] = species.size
    bounds, structure = bounds[: found + 1], structure[:found]
    shape, origin, density, spacing = _grids(fractions, bounds, structure, heights, periodic)
    first_bin, bin_start = _sort_into_bins(placed, fractions, bounds, shape, origin, density)
    return Sublattices(
        placed,
        fractions,
        bounds,
        structure,
        shape,
        origin,
        density,
        first_bin,
        bin_start,
        spacing,
        vectors,
        heights,
        periodic,
        farthest,
    )


@compiled()
def _farthest(positions: Floats, cell: Cell) -> float:
    """The diagonal of the box around the atoms and of the cell's periodic vectors."""
    square = 0.0
    for k in range(3):
        if positions.shape[0] > 0:
            square += (positions[:, k].max() - positions[:, k].min()) ** 2
        if cell.periodic[k]:
            square += (cell.vectors[k] ** 2).sum()
    return float(np.sqrt(square)) + 1e-6


@compiled()
def _grids(
    fractions: Floats, bounds: Ints, structure: Ints, heights: Floats, periodic: NDArray[np.bool_]
) -> tuple[Ints, Floats, Floats, Floats]:
    """`shape`, `origin`, `density` and `spacing` of the sublattices' bins."""
    count = structure.size
    shape, spacing = np.ones((count, 3), np.int64), np.empty(count)
    origin, density = np.zeros((count, 3)), np.ones((count, 3))
    extent, span = np.empty(3), np.empty(3)
    for sublattice in range(count):
        s = structure[sublattice]
        here = fractions[bounds[sublattice] : bounds[sublattice + 1]]
        for k in range(3):
            span[k] = 1.0
            if not periodic[s, k]:
                origin[sublattice, k] = here[:, k].min()
                span[k] = max(here[:, k].max() - here[:, k].min(), _THINNEST)
            extent[k] = span[k] * heights[s, k]
        spacing[sublattice] = np.cbrt(extent[0] * extent[1] * extent[2] / here.shape[0])
        edge = spacing[sublattice] * np.cbrt(ATOMS_PER_BIN)
        for k in range(3):
            shape[sublattice, k] = max(1, int(extent[k] / edge))
            density[sublattice, k] = shape[sublattice, k] / span[k]
    return shape, origin, density, spacing


@compiled()
def _sort_into_bins(
    positions: Floats, fractions: Floats, bounds: Ints, shape: Ints, origin: Floats, density: Floats
) -> tuple[Ints, Ints]:
    """Sort the atoms of each sublattice by bin, in place; return `first_bin` and `bin_start`."""
    first_bin = np.zeros(shape.shape[0] + 1, np.int64)
    for sublattice in range(shape.shape[0]):
        first_bin[sublattice + 1] = first_bin[sublattice] + shape[sublattice].prod()
    bin_start = np.zeros(first_bin[-1] + 1, np.int64)
    for sublattice in range(shape.shape[0]):
        first, last = bounds[sublattice], bounds[sublattice + 1]
        where = np.empty(last - first, np.int64)
        for i in range(first, last):
            index = 0
            for k in range(3):
                place = int(np.floor((fractions[i, k] - origin[sublattice, k]) * density[sublattice, k]))
                index = index * shape[sublattice, k] + min(max(place, 0), shape[sublattice, k] - 1)
            where[i - first] = first_bin[sublattice] + index
            bin_start[where[i - first] + 1] += 1
        order = first + np.argsort(where, kind="mergesort")
        positions[first:last], fractions[first:last] = positions[order], fractions[order]
    for i in range(bin_start.size - 1):
        bin_start[i + 1] += bin_start[i]
    return first_bin[:-1], bin_start
