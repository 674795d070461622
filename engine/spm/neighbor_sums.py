"""Sums over the neighbours of every atom, once per atom, for all boxes that hold it.

An isolated box has the pairs of atoms of which both ends are in it. In a homogeneous structure, and on
average over all places of the box, those at a displacement r are the share w(r) of the neighbours of its
atoms: the overlap of the box with itself, displaced by r. The sums are weighted by it, so that a box of
shared sums is like the same box cut out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled import compiled
from engine.descriptors.neighbors import Floats, Images, Ints, rows_within, runs_within
from engine.descriptors.soap.kernel import BLOCK, SLOTS, Workspace, add_block, workspace
from engine.descriptors.soap.radial import RadialTable
from engine.descriptors.soap.settings import L_MAX

_ATOMS_AT_ONCE = 8


class Window(NamedTuple):
    """The shape of a box: one over its `size` (3,), 1/Å, zero along axes without stride."""

    inverse: Floats
    sphere: bool


class Basis(NamedTuple):
    """What neighbours are summed over: the nodes, `length` Å their unit, and a projection per degree."""

    table: RadialTable
    length: float
    ranks: Ints
    projection: Floats


def width(ranks: Ints, even_only: bool) -> int:
    """Numbers per atom: 2l + 1 for each basis function of each degree l."""
    return int(sum((2 * order + 1) * ranks[order] for order in range(0, L_MAX + 1, 1 + even_only)))


@compiled("numpy")
def neighbor_sums(
    centers: Floats,
    names: Ints,
    images: Images,
    basis: Basis,
    window: Window,
    even_only: bool,
    out: NDArray[np.float32],
) -> int:
    """Write Σ_j w(r_ij) u_q(r_ij) Y_lm(r̂_ij) of each centre i (n, 3), Å, in `out` (n, `width`).

    j runs over the images within the cutoff but the one whose key is 3·name + 1. A row holds for each degree
    l, of the even ones or all, (2l + 1, ranks[l]) numbers. Returns the number of pairs.
    """
    table, radius = basis.table, basis.table.reach * basis.length
    nodes = table.coefficients.shape[1]
    work = workspace(table, _ATOMS_AT_ONCE, np.float32)
    runs = np.empty((rows_within(images, radius), 2), np.int64)
    total = 0
    for start in range(0, centers.shape[0], _ATOMS_AT_ONCE):
        end = min(start + _ATOMS_AT_ONCE, centers.shape[0])
        work.nodes[: (end - start) * nodes] = 0.0
        filled = 0
        for i in range(start, end):
            px, py, pz = centers[i, 0], centers[i, 1], centers[i, 2]
            itself = 3 * names[i] + 1
            for run in range(runs_within(images, px, py, pz, radius, runs)):
                for j in range(runs[run, 0], runs[run, 1]):
                    x, y, z = images.x[j] - px, images.y[j] - py, images.z[j] - pz
                    if x * x + y * y + z * z > radius * radius or images.key[j] == itself:
                        continue
                    weight = _overlap(x, y, z, window)
                    if weight <= 0.0:
                        continue
                    work.x[filled], work.y[filled], work.z[filled] = x, y, z
                    work.factor[filled], work.first[filled] = weight, (i - start) * nodes
                    filled += 1
                    if filled == BLOCK:
                        add_block(filled, basis.length, table, even_only, work)
                        total += filled
                        filled = 0
        add_block(filled, basis.length, table, even_only, work)
        total += filled
        _project(work, nodes, basis, even_only, out[start:end])
    return total


@compiled("numpy")
def _overlap(x: float, y: float, z: float, window: Window) -> float:
    """Share of a box that remains in it when it is displaced by (x, y, z) Å."""
    x, y, z = abs(x) * window.inverse[0], abs(y) * window.inverse[1], abs(z) * window.inverse[2]
    if not window.sphere:
        return max(0.0, 1.0 - x) * max(0.0, 1.0 - y) * max(0.0, 1.0 - z)
    t = math.sqrt(x * x + y * y + z * z)
    if t >= 1.0:
        return 0.0
    axes = np.count_nonzero(window.inverse)
    if axes == 3:
        return 1.0 - 1.5 * t + 0.5 * t * t * t
    if axes == 2:
        return 2.0 / math.pi * (math.acos(t) - t * math.sqrt(1.0 - t * t))
    return 1.0 - t


@compiled("numpy")
def _project(work: Workspace, nodes: int, basis: Basis, even_only: bool, out: NDArray[np.float32]) -> None:
    """From sums on nodes to sums over the basis, for all centres of `out` (n, `width`) in one product."""
    n, first = out.shape[0], 0
    while first < nodes - 1 and not work.nodes[first : n * nodes : nodes, 0].any():
        first += 1
    flat, column = 0, 0
    for order in range(L_MAX + 1):
        rank = basis.ranks[order]
        if not (even_only and order % 2):
            slot, count = SLOTS[order * order], 2 * order + 1
            rows = np.empty((n * count, nodes - first), np.float32)
            for i in range(n):
                for k in range(first, nodes):
                    for m in range(count):
                        rows[i * count + m, k - first] = work.nodes[i * nodes + k, slot + m]
            projection = basis.projection[flat + first * rank : flat + nodes * rank]
            sums = rows @ projection.reshape(nodes - first, rank)
            out[:, column : column + count * rank] = sums.reshape(n, count * rank)
            column += count * rank
        flat += nodes * rank
