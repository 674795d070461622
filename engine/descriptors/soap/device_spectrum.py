"""The SOAP kernel's sums as batched matrix products over segments of neighbour pairs, in PyTorch.

c_nlm ∝ Σ_pairs g_nl(r) Y_lm(r̂): the pairs of each *problem*, an ordered pair of sublattices, fill whole
blocks of pairs. In a block the sum is a product of the radial values, 9 × pairs, and the harmonics of degree
l, pairs × (2l + 1); the blocks of a problem are then added up in double precision, always in the same order.
As in `engine.descriptors.soap.kernel`, coefficients are summed over the centres before they are squared.
"""

from __future__ import annotations

from math import factorial

import numpy as np
import torch
from numpy.polynomial import legendre, polynomial
from torch import Tensor

from engine.descriptors.soap.radial import SPLINE_DEGREE, RadialTable
from engine.descriptors.soap.settings import L_MAX, N_LM, N_MAX

BLOCK = 64
"""Pairs per matrix product."""
_BEYOND = 2.0
"""Places of a block that are not taken hold a vector of this many times the reach, which has no weight."""
_NODES = SPLINE_DEGREE + 1
_SPLINES = (
    (1, -5, 10, -10, 5, -1),
    (26, -50, 20, 20, -20, 5),
    (66, 0, -60, 0, 30, -10),
    (26, 50, 20, -20, -20, 10),
    (1, 5, 10, 10, 5, -5),
    (0, 0, 0, 0, 0, 1),
)
"""120 times the quintic B-splines that are not zero between two nodes, as polynomials of the place there."""
_LM = [(order, m) for order in range(L_MAX + 1) for m in range(-order, order + 1)]
_DEGREE = [order * (order + 1) // 2 + abs(m) for order, m in _LM]
_TURN = [m if m >= 0 else L_MAX - m for _, m in _LM]
"""Of each Y_lm, the row of P_l|m| and the row of cos mφ or sin |m|φ."""


class Coefficients:
    """The c_lm,n of all problems of a batch, to which pairs are added chunk by chunk."""

    def __init__(self, problems: int, table: RadialTable, device: torch.device, dtype: torch.dtype) -> None:
        """Begin with zeros; `dtype` is the precision in which single pairs are treated."""
        self.sums = torch.zeros((problems, N_LM, N_MAX), dtype=torch.float64, device=device)
        self.pairs = torch.zeros(problems, dtype=torch.int64, device=device)
        self._table = table
        radial = table.coefficients.transpose(1, 0, 2).reshape(-1, (L_MAX + 1) * N_MAX)
        self._radial = torch.tensor(radial, dtype=dtype, device=device)
        self._splines = torch.tensor(_SPLINES, dtype=dtype, device=device) / 120.0
        self._legendre = torch.tensor(_legendre_polynomials(), dtype=dtype, device=device)
        self._degree = torch.tensor(_DEGREE, device=device)
        self._turn = torch.tensor(_TURN, device=device)

    def add(self, problem: Tensor, vector: Tensor) -> None:
        """Add neighbours at `vector` (3, M), divided by d_NN·x, of the problems (M,), which rise."""
        if len(problem) == 0:
            return
        first, last = torch.stack([problem[0], problem[-1]]).tolist()
        here = slice(first, last + 1)
        begin = torch.searchsorted(problem, torch.arange(first, last + 2, device=problem.device))
        counts = begin.diff()
        blocks = (counts + BLOCK - 1) // BLOCK
        places = (torch.arange(len(problem), device=problem.device) - begin[:-1][problem - first]) + BLOCK * (
            blocks.cumsum(0) - blocks
        )[problem - first]
        # An upper bound of the number of blocks, which the host knows without waiting for the device.
        most = (len(problem) + (last - first + 1) * (BLOCK - 1)) // BLOCK
        padded = torch.zeros((3, most * BLOCK), dtype=self._radial.dtype, device=problem.device)
        padded[2] = _BEYOND * self._table.reach
        padded.index_copy_(1, places, vector.to(padded.dtype))
        blocks[-1] += most - blocks.sum()
        sums = self._block_sums(padded).double()
        self.sums[here] += torch.segment_reduce(sums, "sum", lengths=blocks, axis=0, unsafe=True)
        self.pairs[here] += counts

    def _block_sums(self, vector: Tensor) -> Tensor:
        """Σ g_nl Y_lm (blocks, 49, 9) over the pairs of each block, from vectors (3, blocks · BLOCK)."""
        distance = (vector * vector).sum(0).sqrt()
        harmonics = self._harmonics(vector / distance).view(N_LM, -1, BLOCK)
        radial = self._radial_values(distance).view(-1, BLOCK, L_MAX + 1, N_MAX)
        products = [
            torch.bmm(harmonics[order**2 : (order + 1) ** 2].transpose(0, 1), radial[:, :, order])
            for order in range(L_MAX + 1)
        ]
        return torch.cat(products, 1)

    def _radial_values(self, distance: Tensor) -> Tensor:
        """g_nl (M, 63), l before n, of scaled distances (M,), with the weight of the cutoff."""
        table = self._table
        weight = (distance < 0.5 * (1.0 + _BEYOND) * table.reach).to(distance.dtype)
        if table.taper > 0.0:
            step = ((distance - table.reach) / table.taper + 1.0).clamp(0.0, 1.0)
            weight = weight * (0.5 + 0.5 * torch.cos(torch.pi * step))
        place = distance.clamp_max(table.reach) / table.spacing
        node = place.long().clamp(0, len(self._radial) - _NODES)  # an undefined distance has a node, too
        splines = self._splines @ _powers(place - node, _NODES) * weight
        nodes = node[:, None] + torch.arange(_NODES, device=node.device)
        return torch.nn.functional.embedding_bag(
            nodes, self._radial, mode="sum", per_sample_weights=splines.T.contiguous()
        )

    def _harmonics(self, unit: Tensor) -> Tensor:
        """Real orthonormal spherical harmonics (49, M), at l² + l + m, of unit vectors (3, M)."""
        x, y, z = unit
        polar = self._legendre @ _powers(z, L_MAX + 1)
        cosine, sine = [torch.ones_like(x)], [torch.zeros_like(x)]
        for _ in range(L_MAX):
            c, s = cosine[-1], sine[-1]
            cosine.append(x * c - y * s)
            sine.append(x * s + y * c)
        turns = torch.stack([*cosine, *sine[1:]])
        return polar.index_select(0, self._degree).mul_(turns.index_select(0, self._turn))


def power_spectrum(c: Tensor) -> Tensor:
    """Unit vectors (P, 316) of p_nn'l = π √(8/(2l+1)) Σ_m c_nlm c_n'lm, n ≥ n', √2 off the diagonal.

    `c` is (P, 49, 9). What has no neighbours is zero.
    """
    n, other = torch.tril_indices(N_MAX, N_MAX, device=c.device)
    factor = torch.where(n == other, c.new_tensor(1.0), c.new_tensor(2.0).sqrt())
    squares = []
    for order in range(L_MAX + 1):
        here = c[:, order**2 : (order + 1) ** 2]
        products = torch.bmm(here.transpose(1, 2), here)[:, n, other]
        squares.append(products * factor * (torch.pi * (8.0 / (2 * order + 1)) ** 0.5))
    spectrum = torch.nn.functional.pad(torch.stack(squares, 2).flatten(1), (0, 1))
    norm = torch.linalg.vector_norm(spectrum, dim=1, keepdim=True)
    return torch.where(norm == 0.0, spectrum, spectrum / norm)


def _powers(x: Tensor, count: int) -> Tensor:
    """x⁰, x¹, … (count, M)."""
    powers = [torch.ones_like(x)]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    return torch.stack(powers)


def _legendre_polynomials() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Coefficients (28, 7) of P_lm(z) without its sin^m θ, normalised on the sphere, times √2 where m > 0."""
    rows = np.zeros(((L_MAX + 1) * (L_MAX + 2) // 2, L_MAX + 1))
    for order in range(L_MAX + 1):
        for m in range(order + 1):
            derivative = polynomial.polyder(legendre.leg2poly([0.0] * order + [1.0]), m)
            norm = (2 * order + 1) / (4 * np.pi) * factorial(order - m) / factorial(order + m)
            row = rows[order * (order + 1) // 2 + m]
            row[: order - m + 1] = derivative * np.sqrt(norm * (2.0 if m else 1.0))
    return rows
