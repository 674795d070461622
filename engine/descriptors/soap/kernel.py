"""The SOAP kernel: one sum over neighbour pairs for each ordered pair of species, then one power spectrum.

The coefficients c_nlm are averaged over the centres before they are squared, so a pair of species needs
c_nlm ∝ Σ_pairs g_nl(r) Y_lm(r̂) only. With the radial functions as splines, g_nl(r) = Σ_k B_k(r) G_knl, this
is Σ_k G_knl A_klm with A_klm = Σ_pairs B_k(r) Y_lm(r̂): a neighbour adds its 49 harmonics to six nodes,
whatever the radial basis, and the basis enters once, in a small product at the end.

Within one sublattice (α = β) every pair occurs in both directions, so the odd l vanish and half of the pairs
suffice. If d_NN(α, β) = d_NN(β, α), the two spectra are equal, since the coefficients differ by (−1)^l and a
factor; one is computed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.compiled import compiled
from engine.descriptors.neighbors import Cell, Floats, Ints, images_within, rows_within, runs_within
from engine.descriptors.scaling import EQUAL_SPREAD
from engine.descriptors.soap.radial import RadialTable
from engine.descriptors.soap.settings import L_MAX, N_LM, N_MAX, SOAP_WIDTH

BLOCK = 128
_DIVISIONS = 3
_EVEN = 32
_SLOTS = 56
"""The 28 harmonics of even l, padded to 32, come before the 21 of odd l, padded to 24: whole registers."""


class Workspace(NamedTuple):
    """Buffers for one block of neighbours; entries beyond the neighbours at hand are of no consequence."""

    x: Floats
    y: Floats
    z: Floats
    distance: Floats
    harmonics: Floats
    """(56, BLOCK + 8): eight more columns, so that a column does not fall on one set of the first cache."""
    weights: Floats
    """(6, BLOCK)."""
    factor: Floats
    """(BLOCK,): by which the splines of each neighbour are multiplied."""
    first: Ints
    """(BLOCK,): the node at distance zero to which each neighbour counts."""
    row: Floats
    """(56,)."""
    nodes: Floats
    """(nodes, 56): the A_klm of the pair of species at hand, or of several centres behind one another."""


def _slots() -> Ints:
    """Position of Y_lm, index l² + l + m, within the padded row."""
    slots = np.empty(N_LM, np.int64)
    following = [0, _EVEN]
    for order in range(L_MAX + 1):
        for m in range(2 * order + 1):
            slots[order * order + m] = following[order % 2]
            following[order % 2] += 1
    return slots


def _recursion() -> tuple[Floats, Floats]:
    """Factors a_lm and b_lm of P_lm = a_lm (z P_(l−1)m − b_lm P_(l−2)m), normalised on the sphere."""
    a, b = np.zeros((L_MAX + 1, L_MAX + 1)), np.zeros((L_MAX + 1, L_MAX + 1))
    for order in range(1, L_MAX + 1):
        for m in range(order):
            a[order, m] = np.sqrt((4.0 * order**2 - 1.0) / (order**2 - m**2))
            b[order, m] = np.sqrt(((order - 1.0) ** 2 - m**2) / (4.0 * (order - 1.0) ** 2 - 1.0))
    return a, b


def _sectoral() -> Floats:
    """P_mm without its sin^m θ, normalised on the sphere, times √2 where m > 0."""
    values = np.empty(L_MAX + 1)
    values[0] = np.sqrt(0.25 / np.pi)
    for m in range(1, L_MAX + 1):
        values[m] = values[m - 1] * np.sqrt((2.0 * m + 1.0) / (2.0 * m))
    values[1:] *= np.sqrt(2.0)
    return values


SLOTS = _slots()
_A, _B = _recursion()
_SECTORAL = _sectoral()


@compiled("numpy")
def _legendre(order: int, m: int, z: Floats, before: Floats, last: Floats, now: Floats) -> None:
    """P_lm(z) without its sin^m θ, normalised on the sphere, from those of l − 2 and l − 1."""
    kind = z.dtype.type
    a, b = kind(_A[order, m]), kind(_B[order, m])
    if order == m:
        now[:] = kind(_SECTORAL[m])
    elif order == m + 1:
        for i in range(z.size):
            now[i] = a * z[i] * last[i]
    else:
        for i in range(z.size):
            now[i] = a * (z[i] * last[i] - b * before[i])


@compiled("numpy")
def harmonics(x: Floats, y: Floats, z: Floats, out: Floats) -> None:
    """Real orthonormal spherical harmonics of unit vectors (n,), in rows `SLOTS` of `out` (56, ≥ n)."""
    n = x.size
    cosine, sine = np.ones(n, x.dtype), np.zeros(n, x.dtype)
    before, last, now = np.empty(n, x.dtype), np.empty(n, x.dtype), np.empty(n, x.dtype)
    for m in range(L_MAX + 1):
        for order in range(m, L_MAX + 1):
            _legendre(order, m, z, before, last, now)
            plus = out[SLOTS[order * order + order + m]]
            minus = out[SLOTS[order * order + order - m]]
            if m > 0:
                for i in range(n):
                    minus[i] = now[i] * sine[i]
            for i in range(n):
                plus[i] = now[i] * cosine[i]
            before, last, now = last, now, before
        for i in range(n):
            c = x[i] * cosine[i] - y[i] * sine[i]
            sine[i] = x[i] * sine[i] + y[i] * cosine[i]
            cosine[i] = c


@compiled("numpy")
def _spline_weights(distance: Floats, factor: Floats, table: RadialTable, out: Floats) -> None:
    """The six quintic B-splines that are not zero at each distance (n,), times cutoff and factor: (6, n)."""
    inverse_spacing = 1.0 / table.spacing
    taper = max(table.taper, 1e-300)
    for i in range(distance.size):
        u = distance[i] * inverse_spacing
        t = u - np.floor(u)
        s = 1.0 - t
        t2, s2 = t * t, s * s
        weight = _cosine_step(max(0.0, (distance[i] - table.reach + table.taper) / taper)) / 120.0
        weight *= factor[i]
        out[0, i] = weight * s2 * s2 * s
        out[1, i] = weight * (1.0 + s * (5.0 + s * (10.0 + s * (10.0 + s * (5.0 - 5.0 * s)))))
        out[2, i] = weight * (66.0 + t2 * (-60.0 + t2 * (30.0 - 10.0 * t)))
        out[3, i] = weight * (66.0 + s2 * (-60.0 + s2 * (30.0 - 10.0 * s)))
        out[4, i] = weight * (1.0 + t * (5.0 + t * (10.0 + t * (10.0 + t * (5.0 - 5.0 * t)))))
        out[5, i] = weight * t2 * t2 * t


@compiled("numpy")
def _cosine_step(t: float) -> float:
    """½(cos(πt) + 1) for t in [0, 1], by the Taylor series of sin(π(½ − t)), to 1e-15."""
    a = np.pi * (0.5 - t)
    a2 = a * a
    series = 1.0 / 355687428096000.0
    series = series * a2 - 1.0 / 1307674368000.0
    series = series * a2 + 1.0 / 6227020800.0
    series = series * a2 - 1.0 / 39916800.0
    series = series * a2 + 1.0 / 362880.0
    series = series * a2 - 1.0 / 5040.0
    series = series * a2 + 1.0 / 120.0
    series = series * a2 - 1.0 / 6.0
    return 0.5 * (a * (series * a2 + 1.0) + 1.0)


@compiled("numpy")
def add_block(count: int, length: float, table: RadialTable, even_only: bool, work: Workspace) -> None:
    """Add the harmonics of the first `count` vectors in `work`, Å, weighted by splines, to its nodes."""
    for i in range(BLOCK):
        r = np.sqrt(work.x[i] * work.x[i] + work.y[i] * work.y[i] + work.z[i] * work.z[i])
        work.x[i] /= r
        work.y[i] /= r
        work.z[i] /= r
        work.distance[i] = min(r / length, table.reach)
    harmonics(work.x, work.y, work.z, work.harmonics)
    _spline_weights(work.distance, work.factor, table, work.weights)
    inverse_spacing = 1.0 / table.spacing
    w, row, nodes = work.weights, work.row, work.nodes
    width = _EVEN if even_only else _SLOTS
    for i in range(count):
        for q in range(width):
            row[q] = work.harmonics[q, i]
        k = work.first[i] + int(work.distance[i] * inverse_spacing)
        for s in range(0, 6, 2):  # by twos, which costs least in tests for overlap
            one, other = nodes[k + s], nodes[k + s + 1]
            w0, w1 = w[s, i], w[s + 1, i]
            for q in range(width):
                one[q] += w0 * row[q]
                other[q] += w1 * row[q]


@compiled("numpy")
def _add_pairs(
    centers: Floats,
    positions: Floats,
    cell: Cell,
    same: bool,
    length: float,
    table: RadialTable,
    work: Workspace,
) -> int:
    """Add all β neighbours of all α atoms to the nodes; return the number of pairs found.

    With `same` (α = β) each pair is found in one of its two directions.
    """
    radius = table.reach * length
    images = images_within(centers, positions, cell, radius, _DIVISIONS)
    runs = np.empty((rows_within(images, radius), 2), np.int64)
    filled, total = 0, 0
    square = radius * radius
    for i in range(centers.shape[0]):
        px, py, pz = centers[i, 0], centers[i, 1], centers[i, 2]
        after = 3 * i + 1 if same else -1
        for run in range(runs_within(images, px, py, pz, radius, runs)):
            for j in range(runs[run, 0], runs[run, 1]):
                x, y, z = images.x[j] - px, images.y[j] - py, images.z[j] - pz
                work.x[filled], work.y[filled], work.z[filled] = x, y, z
                filled += (x * x + y * y + z * z <= square) & (images.key[j] > after)
                if filled == BLOCK:
                    add_block(filled, length, table, same, work)
                    total += filled
                    filled = 0
    if filled > 0:
        add_block(filled, length, table, same, work)
    return total + filled


@compiled("numpy")
def _contract(nodes: Floats, coefficients: Floats, even_only: bool, c: Floats) -> None:
    """c_lm,n (49, 9) = Σ_k G_k,l,n A_k,lm, from the first node that has a neighbour."""
    first = 0
    while first < nodes.shape[0] - 1 and nodes[first, 0] == 0.0:
        first += 1
    c[:] = 0.0
    for order in range(0, L_MAX + 1, 2 if even_only else 1):
        slot = SLOTS[order * order]
        harmonic = np.ascontiguousarray(nodes[first:, slot : slot + 2 * order + 1])
        c[order * order : (order + 1) * (order + 1)] = harmonic.T @ coefficients[order, first:]


@compiled("numpy")
def power_spectrum(c: Floats, out: Floats) -> None:
    """Normalised p_nn'l = π √(8/(2l+1)) Σ_m c_nlm c_n'lm, n ≥ n', √2 off the diagonal, in `out` (316,)."""
    index = 0
    norm = 0.0
    for n in range(N_MAX):
        for other in range(n + 1):
            factor = np.pi * (1.0 if n == other else np.sqrt(2.0))
            for order in range(L_MAX + 1):
                total = 0.0
                for lm in range(order * order, (order + 1) * (order + 1)):
                    total += c[lm, n] * c[lm, other]
                out[index] = factor * np.sqrt(8.0 / (2.0 * order + 1.0)) * total
                norm += out[index] ** 2
                index += 1
    out[index] = 0.0
    if norm > 0.0:
        out /= np.sqrt(norm)


@compiled("numpy")
def average_spectrum(
    positions: Floats, bounds: Ints, cell: Cell, lengths: Floats, table: RadialTable
) -> tuple[Floats, int]:
    """Mean (316,) over ordered pairs of species of their normalised power spectra, and the neighbour pairs.

    `positions` (n, 3) Å are wrapped and ordered by species: species s has the rows bounds[s] … bounds[s + 1]
    − 1. `lengths` (S, S) Å are the d_NN(α, β)·x. A pair of species without neighbours contributes zeros.
    """
    count = bounds.size - 1
    mean, spectrum = np.zeros(SOAP_WIDTH), np.zeros(SOAP_WIDTH)
    work, c = workspace(table, 1, np.float64), np.empty((N_LM, N_MAX))
    pairs = 0
    for a in range(count):
        centers = positions[bounds[a] : bounds[a + 1]]
        for b in range(count):
            same, mirrored = a == b, abs(lengths[a, b] - lengths[b, a]) < EQUAL_SPREAD
            if not lengths[a, b] < np.inf or (mirrored and b < a):
                continue
            work.nodes[:] = 0.0
            neighbors = positions[bounds[b] : bounds[b + 1]]
            found = _add_pairs(centers, neighbors, cell, same, lengths[a, b], table, work)
            _contract(work.nodes, table.coefficients, same, c)
            if same:
                c *= 2.0
                c[0] += centers.shape[0] * table.center
            power_spectrum(c, spectrum)
            weight = 2 if mirrored and not same else 1
            mean += weight * spectrum
            pairs += 2 * found if same else weight * found
    return mean / count**2, pairs


@compiled()
def workspace(table: RadialTable, centers: int, kind: type[np.floating]) -> Workspace:
    """Buffers for the sums of so many centres, or of one for all, in numbers of a precision."""
    return Workspace(
        np.ones(BLOCK, kind),
        np.ones(BLOCK, kind),
        np.ones(BLOCK, kind),
        np.ones(BLOCK, kind),
        np.zeros((_SLOTS, BLOCK + 8), kind),
        np.zeros((6, BLOCK), kind),
        np.ones(BLOCK, kind),
        np.zeros(BLOCK, np.int64),
        np.zeros(_SLOTS, kind),
        np.zeros((centers * table.coefficients.shape[1], _SLOTS), kind),
    )
