"""Content hashes: equal for copies of a structure, whatever source they come from."""

import math
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.lattice import completed_cells
from engine.species import Species

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

HASH_DOMAIN = b"crysift structure 2".ljust(24, b"\0")
FRACTIONS = 100_800.0
"""Steps of fractional coordinates and cosines: a multiple of 2⁶ · 3² · 5² · 7, so that the coordinates of
special positions are far from where rounding turns, and so is every decimal of up to six digits."""
LENGTHS = 8192.0
"""Steps per Å (0.12 mÅ); a power of two, so that no decimal of up to 13 digits is where rounding turns."""
_HEADER = 14
_DOMAIN = tuple(np.frombuffer(HASH_DOMAIN, "<i8").tolist())
_LARGEST = 2.0**62


def content_hashes(
    offsets: Ints, positions: Floats, lattices: Floats, periodic: Flags, species: Ints
) -> list[bytes]:
    """SHA-256 of the content of each of B structures with N sites in total.

    ``offsets`` (B+1,) delimit their sites, of which there are positions (N, 3) in Å and species numbers (N,);
    lattice vectors are the rows of ``lattices`` (B, 3, 3) in Å, ``periodic`` (B, 3) says along which of them.

    What is hashed are little-endian int64:

    * ``HASH_DOMAIN``;
    * number of sites, and 0 or 1 for the periodicity along each lattice vector;
    * 1 or −1: the handedness of the lattice vectors, 1 unless all three are periodic;
    * lengths of the lattice vectors in steps of 1/``LENGTHS`` Å, and cosines of the angles between the second
      and third, third and first, first and second in steps of 1/``FRACTIONS``;
    * for each site its species number and three coordinates, sorted. Along periodic vectors coordinates are
      fractional, in steps of 1/``FRACTIONS``, moved into the cell after rounding; along others in steps of
      1/``LENGTHS`` Å along unit normals (see `engine.lattice.completed_cells`), and Cartesian where nothing
      is periodic. Lattice vectors that are not periodic count for nothing.

    All roundings are to the nearest step; numbers that are not finite or beyond 2⁶² are 0. So order of sites,
    lattice translations of single sites, names of species, and rotations of what is periodic along two or
    three vectors do not matter. Not recognised as equal are copies with another origin, another choice of
    lattice vectors or their order, and those that differ, however little, across the edge between two steps.
    """
    cells, inverses, volumes = completed_cells(lattices, periodic)
    message = _messages(offsets, positions, cells, inverses, volumes, periodic, species).astype(
        "<i8", copy=False
    )
    starts = (4 * offsets + _HEADER * np.arange(len(offsets))).tolist()
    content = memoryview(message.astype("<i8", copy=False).data).cast("B")
    return [sha256(content[8 * a : 8 * b]).digest() for a, b in pairwise(starts)]


@lru_cache(maxsize=10_000)
def species_number(species: Species) -> int:
    """First eight bytes, as little-endian int64, of the SHA-256 of what occupies the sites of ``species``."""
    return int.from_bytes(sha256(species.occupants.encode()).digest()[:8], "little", signed=True)


@compiled("numpy")
def _messages(
    offsets: Ints,
    positions: Floats,
    cells: Floats,
    inverses: Floats,
    volumes: Floats,
    periodic: Flags,
    species: Ints,
) -> Ints:
    """What is hashed of each structure, one after the other."""
    message = np.zeros(_HEADER * len(cells) + 4 * len(positions), dtype=np.int64)
    for row in range(len(cells)):
        first, last = offsets[row], offsets[row + 1]
        start = _HEADER * row + 4 * first
        header = message[start : start + _HEADER]
        for k in range(3):
            header[k] = _DOMAIN[k]
        header[3] = last - first
        header[7] = 1 if volumes[row] > 0.0 else -1
        _write_metric(header, cells[row], periodic[row])
        sites = message[start + _HEADER : start + _HEADER + 4 * (last - first)].reshape((last - first, 4))
        for i in range(last - first):
            sites[i, 0] = species[first + i]
        _write_coordinates(sites, positions[first:last], inverses[row], periodic[row])
        _sort(sites)
    return message


@compiled("numpy")
def _write_metric(header: Ints, cell: Floats, periodic: Flags) -> None:
    """Periodicity, lengths and cosines of the lattice vectors; zero along what is not periodic."""
    lengths = np.zeros(3)
    for k in range(3):
        header[4 + k] = periodic[k]
        if periodic[k]:
            lengths[k] = math.sqrt(_dot(cell, k, k))
            header[8 + k] = _nearest_step(lengths[k] * LENGTHS)
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        if periodic[i] and periodic[j]:
            cosine = _dot(cell, i, j) / (lengths[i] * lengths[j])
            header[11 + k] = _nearest_step(cosine * FRACTIONS)


@compiled("numpy")
def _dot(cell: Floats, i: int, j: int) -> float:
    return float(cell[i, 0] * cell[j, 0] + cell[i, 1] * cell[j, 1] + cell[i, 2] * cell[j, 2])


@compiled("numpy")
def _write_coordinates(sites: Ints, positions: Floats, inverse: Floats, periodic: Flags) -> None:
    for k in range(3):
        steps = FRACTIONS if periodic[k] else LENGTHS
        for i in range(len(positions)):
            value = (
                positions[i, 0] * inverse[0, k]
                + positions[i, 1] * inverse[1, k]
                + positions[i, 2] * inverse[2, k]
            )
            step = _nearest_step(value * steps)
            sites[i, 1 + k] = step % int(FRACTIONS) if periodic[k] else step


@compiled("numpy")
def _nearest_step(value: float) -> int:
    return int(np.rint(value)) if abs(value) < _LARGEST else 0


@compiled("numpy")
def _sort(sites: Ints) -> None:
    """Sort rows (n, 4) in place by all their columns: a shell sort, since most structures are small."""
    moved = np.empty(4, dtype=np.int64)
    gap = len(sites) // 2
    while gap > 0:
        for i in range(gap, len(sites)):
            for k in range(4):
                moved[k] = sites[i, k]
            place = i
            while place >= gap and _precedes(moved, sites, place - gap):
                for k in range(4):
                    sites[place, k] = sites[place - gap, k]
                place -= gap
            for k in range(4):
                sites[place, k] = moved[k]
        gap = 1 if gap == 2 else int(gap / 2.2)


@compiled("numpy")
def _precedes(site: Ints, sites: Ints, other: int) -> bool:
    for k in range(4):
        if site[k] != sites[other, k]:
            return bool(site[k] < sites[other, k])
    return False
