"""The arrangement around single atoms, from counts of neighbours: a second opinion that knows no network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError

Floats = NDArray[np.float64]

REACH, GAP = 1.2, 1.35
"""Neighbours are counted within the first number of mean distances of the nearest four; the next are beyond
the second."""
OPPOSITE = 0.25
"""Two neighbours are opposite if their vectors add up to less than so many of these distances."""
NEIGHBOURS = 18
ARRANGEMENTS = {"fcc": (12, 6), "hcp": (12, 3), "bcc": (14, 7), "diamond": (4, 0)}
"""Neighbours within reach and pairs of opposite ones among them; bcc's second shell, at 1.15, is in reach."""
VOTES = 9
_CHUNK = 4096


def arrangements(positions: Floats) -> NDArray[np.int8]:
    """Index in `ARRANGEMENTS` of the order around every atom, −1 where it is none of these.

    `positions` (N, 3), Å. Surfaces, boundaries and strong disorder are none of these.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(positions)
    found = np.full(len(positions), -1, np.int8)
    for start in range(0, len(positions), _CHUNK):
        rows = slice(start, start + _CHUNK)
        distances, neighbours = map(np.asarray, tree.query(positions[rows], k=NEIGHBOURS + 1))
        vectors = positions[np.minimum(neighbours[:, 1:], len(positions) - 1)] - positions[rows, None]
        found[rows] = _classified(distances[:, 1:], vectors)
    return found


def grains_by_order(positions: Floats) -> NDArray[np.int8]:
    """Index in `ARRANGEMENTS` for every atom: what most of the nearest atoms with a known order have.

    For structures whose grains differ in their order, atoms at surfaces and boundaries too. Raises
    CrysiftError where hardly any atom has a known order.
    """
    from scipy.spatial import cKDTree

    order = arrangements(positions)
    known = np.flatnonzero(order >= 0)
    if len(known) < VOTES:
        raise CrysiftError(
            f"of {len(positions):,} atoms {len(known)} are surrounded as in {', '.join(ARRANGEMENTS)}: a "
            "structure of such grains is needed, free of defects"
        )
    nearest = np.asarray(cKDTree(positions[known]).query(positions, k=VOTES)[1])
    votes = np.zeros((len(positions), len(ARRANGEMENTS)), np.int64)
    np.add.at(votes, (np.arange(len(positions))[:, None], order[known][nearest]), 1)
    return np.asarray(votes.argmax(axis=1), np.int8)


def _classified(distances: Floats, vectors: Floats) -> NDArray[np.int8]:
    """Arrangements (n,) from distances (n, k) and vectors (n, k, 3) to the nearest atoms, in order."""
    length = distances[:, :4].mean(axis=1)
    near = distances < REACH * length[:, None]
    sums = np.linalg.norm(vectors[:, :, None] + vectors[:, None], axis=3)
    opposite = (sums < OPPOSITE * length[:, None, None]) & near[:, :, None] & near[:, None]
    counts, pairs = near.sum(axis=1), opposite.sum(axis=(1, 2)) // 2
    apart = (distances < GAP * length[:, None]).sum(axis=1) == counts
    found = np.full(len(distances), -1, np.int8)
    for index, (neighbours, opposed) in enumerate(ARRANGEMENTS.values()):
        found[apart & (counts == neighbours) & (pairs == opposed)] = index
    return found
