"""The d_NN of every box, from one search for the nearest neighbours of every atom."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.descriptors.neighbors import Cell, Floats, Images, Ints, images_within, rows_within, runs_within
from engine.descriptors.scaling import typical_distance
from engine.spm.cuboids import NOT_PERIODIC, Cuboids, contains

LISTED = 12
"""Nearest neighbours kept of every atom: if none of them is in a box, the box is searched."""
_REACH = 1.8
"""Radius of the search in units of the cube root of the volume per atom: it holds some 24 neighbours."""
_VOID_EDGE = 4.0
"""Å: atoms occupy the cubes of this edge that hold any."""
_MEMBER_CELLS = 6.0


class BoxLengths(NamedTuple):
    """Of n boxes and S species: `lengths` (n, S, S) Å, infinite where a pair has none; `counts` (n, S)."""

    lengths: Floats
    counts: Ints


def box_lengths(positions: Floats, bounds: Ints, boxes: Cuboids) -> BoxLengths:
    """Find d_NN(α, β) of every box as `engine.descriptors.scaling.d_nn` does, of the atoms in the box.

    `positions` (N, 3) Å are ordered by species, species s in rows bounds[s] … bounds[s + 1] − 1.
    """
    count = len(bounds) - 1
    if not len(positions):
        n = len(boxes.lows)
        return BoxLengths(np.full((n, count, count), np.inf), np.zeros((n, count), np.int64))
    nearest = np.empty((count, len(positions), LISTED), np.int32)
    volume = _occupied(positions)
    for beta in range(count):
        neighbors = positions[bounds[beta] : bounds[beta + 1]]
        reach = _REACH * np.cbrt(volume / max(len(neighbors), 1))
        _list_nearest(positions, neighbors, bounds[beta], NOT_PERIODIC, float(reach), nearest[beta])
    edge = float(boxes.size.min() / _MEMBER_CELLS)
    members = images_within(positions, positions, NOT_PERIODIC, edge, 1)
    return BoxLengths(*_lengths(positions, bounds, nearest, members, boxes))


def _occupied(positions: Floats) -> float:
    cubes = np.unique(np.floor(positions / _VOID_EDGE).astype(np.int64), axis=0)
    return float(len(cubes) * _VOID_EDGE**3)


@compiled()
def _list_nearest(
    centers: Floats, neighbors: Floats, first: int, cell: Cell, reach: float, out: NDArray[np.int32]
) -> None:
    """Write the up to `LISTED` nearest neighbours of each centre, by rising distance, then −1, in `out`.

    Neighbour j is called first + j, and a centre of that number is not its own neighbour.
    """
    images = images_within(centers, neighbors, cell, reach, 2)
    runs = np.empty((rows_within(images, reach), 2), np.int64)
    squares = np.empty(LISTED)
    for i in range(centers.shape[0]):
        px, py, pz = centers[i, 0], centers[i, 1], centers[i, 2]
        held = 0
        out[i] = -1
        for run in range(runs_within(images, px, py, pz, reach, runs)):
            for j in range(runs[run, 0], runs[run, 1]):
                dx, dy, dz = images.x[j] - px, images.y[j] - py, images.z[j] - pz
                square = dx * dx + dy * dy + dz * dz
                name = first + images.key[j] // 3
                if square > reach * reach or name == i or (held == LISTED and square >= squares[-1]):
                    continue
                place = held if held < LISTED else LISTED - 1
                while place > 0 and squares[place - 1] > square:
                    squares[place], out[i, place] = squares[place - 1], out[i, place - 1]
                    place -= 1
                squares[place], out[i, place] = square, name
                held = min(held + 1, LISTED)


@compiled()
def _lengths(
    positions: Floats, bounds: Ints, nearest: NDArray[np.int32], members: Images, boxes: Cuboids
) -> tuple[Floats, Ints]:
    count = bounds.size - 1
    n = boxes.lows.shape[0]
    species = np.empty(positions.shape[0], np.int64)
    for s in range(count):
        species[bounds[s] : bounds[s + 1]] = s
    lengths = np.full((n, count, count), np.inf)
    counts = np.zeros((n, count), np.int64)
    inside = np.empty((count, positions.shape[0]), np.int64)
    distances = np.empty(positions.shape[0])
    for b in range(n):
        _list_members(members, species, boxes, b, inside, counts[b])
        for alpha in range(count):
            for beta in range(count):
                atoms, others = inside[alpha, : counts[b, alpha]], inside[beta, : counts[b, beta]]
                found = _nearest_inside(atoms, others, positions, nearest[beta], boxes, b, distances)
                if found > 0:
                    lengths[b, alpha, beta] = typical_distance(distances[:found])
    return lengths, counts


@compiled()
def _list_members(members: Images, species: Ints, boxes: Cuboids, b: int, inside: Ints, counts: Ints) -> None:
    """Write the atoms of box b by species into `inside` (S, N), and their numbers into `counts` (S,)."""
    first, last = np.empty(3, np.int64), np.empty(3, np.int64)
    for k in range(3):
        low = boxes.lows[b, k] - members.origin[k]
        first[k] = max(int(low / members.edge), 0)
        last[k] = min(int((low + boxes.size[k]) / members.edge), members.shape[k] - 1)
    if first[0] > last[0]:
        return
    for cz in range(first[2], last[2] + 1):
        for cy in range(first[1], last[1] + 1):
            row = (cz * members.shape[1] + cy) * members.shape[0]
            for j in range(members.start[row + first[0]], members.start[row + last[0] + 1]):
                atom = members.key[j] // 3
                if contains(boxes, b, members.x[j], members.y[j], members.z[j]):
                    inside[species[atom], counts[species[atom]]] = atom
                    counts[species[atom]] += 1


@compiled()
def _nearest_inside(
    atoms: Ints,
    others: Ints,
    positions: Floats,
    nearest: NDArray[np.int32],
    boxes: Cuboids,
    b: int,
    out: Floats,
) -> int:
    """Write the distance of each atom of box b to the nearest of its β atoms, the `others`, if it has one.

    Returns how many have one.
    """
    found = 0
    for place in range(atoms.size):
        i = atoms[place]
        x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
        best = np.inf
        for rank in range(LISTED):
            j = nearest[i, rank]
            if j < 0:
                break
            if contains(boxes, b, positions[j, 0], positions[j, 1], positions[j, 2]):
                best = _square(positions, j, x, y, z)
                break
        if best == np.inf:
            for other in range(others.size):
                if others[other] != i:
                    best = min(best, _square(positions, others[other], x, y, z))
        if best < np.inf:
            out[found] = np.sqrt(best)
            found += 1
    return found


@compiled()
def _square(positions: Floats, j: int, x: float, y: float, z: float) -> float:
    dx, dy, dz = positions[j, 0] - x, positions[j, 1] - y, positions[j, 2] - z
    return float(dx * dx + dy * dy + dz * dz)
