"""SOAP vectors of whole batches of structures by PyTorch: the kernel's numbers, on a GPU where there is one.

The host sorts the atoms into sublattices and bins (`sublattices`) and picks d_NN from the nearest distances
by the kernel's own code; the device does what grows with the number of neighbours (`device_search`,
`device_spectrum`). Structures of all sizes share chunks of bounded size, and a structure larger than a chunk
is spread over several.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.descriptors.neighbors import Floats, Ints
from engine.descriptors.scaling import EQUAL_SPREAD
from engine.descriptors.soap.device_search import Search, typical_distances
from engine.descriptors.soap.device_spectrum import Coefficients, power_spectrum
from engine.descriptors.soap.radial import RadialTable, radial_table
from engine.descriptors.soap.settings import L_MAX, SoapSettings
from engine.descriptors.soap.sublattices import Sublattices, sublattices
from engine.descriptors.soap.vector import SoapResult

BYTES_PER_PAIR = 2048
"""The most that a candidate occupies in single precision: as a pair, with harmonics and radial values."""
CPU_CHUNK_BYTES = 64 * 1024**2
GPU_CHUNK_BYTES = 4 * 1024**3


class Batch(NamedTuple):
    """B structures with N atoms in total, as in `engine.columns.StructureColumns`."""

    positions: Floats
    """(N, 3) Å."""
    species: Ints
    """(N,), equal where the species are."""
    offsets: Ints
    """(B + 1,), delimits the atoms of each structure."""
    lattices: Floats
    """(B, 3, 3) Å, as rows."""
    periodic: NDArray[np.bool_]
    """(B, 3)."""


class Problems(NamedTuple):
    """P ordered pairs (α, β) of sublattices, by structure."""

    structure: Ints
    alpha: Ints
    beta: Ints
    length: Floats
    """d_NN(α, β)·x, Å."""
    weight: Ints
    """2 where the spectrum stands for (β, α), too."""


def available_device() -> Literal["cpu", "cuda"]:
    """The GPU of this process if there is one, and else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@torch.inference_mode()
def soap_batch(
    batch: Batch,
    settings: SoapSettings,
    device: str | None = None,
    dtype: torch.dtype = torch.float32,
    chunk_bytes: int | None = None,
) -> list[SoapResult]:
    """SOAP vectors of a batch of structures.

    Neighbours are found in double precision; `dtype` is that of their harmonics and radial values. The device
    holds some `chunk_bytes` (by default what suits it), and 6 kB per ordered pair of species. Raises
    ValueError for a structure without atoms and SearchTooLargeError.
    """
    if not np.diff(batch.offsets).all():
        raise ValueError("a structure without atoms has no SOAP vector")
    where = torch.device(device or available_device())
    chunk = chunk_bytes or (CPU_CHUNK_BYTES if where.type == "cpu" else GPU_CHUNK_BYTES)
    host = sublattices(*batch)
    search = Search(host, where, limit=max(1, chunk // (BYTES_PER_PAIR * dtype.itemsize // 4)))
    problems, d_nn_min = _problems(host, search, settings.scale)
    table = radial_table(settings)
    coefficients = Coefficients(len(problems.alpha), table, where, dtype)
    _add_pairs(coefficients, search, problems, table.reach)
    c = _completed(coefficients.sums, problems, np.diff(host.bounds), table)
    spectra = (power_spectrum(c).cpu().numpy().T * problems.weight).T
    pairs = coefficients.pairs.cpu().numpy() * np.where(problems.alpha == problems.beta, 2, problems.weight)
    species = np.bincount(host.structure)
    vectors, n_pairs = np.zeros((len(species), spectra.shape[1])), np.zeros(len(species), np.int64)
    np.add.at(vectors, problems.structure, spectra)
    np.add.at(n_pairs, problems.structure, pairs)
    vectors /= species[:, None] ** 2
    return [SoapResult(*result) for result in zip(vectors, d_nn_min.tolist(), n_pairs.tolist(), strict=True)]


def _problems(host: Sublattices, search: Search, scale: float) -> tuple[Problems, Floats]:
    """The spectra to compute, and the smallest d_NN of each structure (B,); the reasons are the kernel's."""
    species = np.bincount(host.structure)
    structure = np.repeat(np.arange(len(species)), species**2)
    first = np.cumsum(species**2) - species**2
    a, b = np.divmod(np.arange(len(structure)) - first[structure], species[structure])
    before = (np.cumsum(species) - species)[structure]
    alpha, beta = before + a, before + b
    nearest = search.nearest(search.rows(alpha, beta)).cpu().numpy()
    lengths = typical_distances(np.sqrt(nearest), np.diff(host.bounds)[alpha])
    shortest = np.minimum.reduceat(lengths, first)
    scaled = lengths * scale
    reverse = scaled[first[structure] + b * species[structure] + a]
    with np.errstate(invalid="ignore"):  # two infinite lengths are left out anyway
        equal = np.abs(scaled - reverse) < EQUAL_SPREAD
    weight = np.where(equal & (a != b), 2, 1)
    (needed,) = np.nonzero(np.isfinite(scaled) & ~(equal & (b < a)))
    problems = Problems(structure[needed], alpha[needed], beta[needed], scaled[needed], weight[needed])
    return problems, np.where(np.isfinite(shortest), shortest, np.nan)


def _add_pairs(coefficients: Coefficients, search: Search, problems: Problems, reach: float) -> None:
    """Add all neighbours within `reach` (scaled); with α = β each pair in one of its two directions."""
    rows = search.rows(problems.alpha, problems.beta)
    length = torch.from_numpy(problems.length).to(rows.center.device)
    radius = (reach * length)[rows.problem]
    square, same = radius * radius, rows.alpha == rows.beta
    for found in search.candidates(rows, radius):
        near = (found.square <= square[found.row]) & ((found.rank > 0) | ~same[found.row])
        (chosen,) = near.nonzero(as_tuple=True)
        problem = rows.problem[found.row[chosen]]
        coefficients.add(problem, found.vector.index_select(1, chosen) / length[problem])


def _completed(sums: Tensor, problems: Problems, atoms: Ints, table: RadialTable) -> Tensor:
    """c_lm,n (P, 49, 9) of the sums over pairs, of which those with α = β lack a direction and the centre."""
    same = torch.from_numpy(problems.alpha == problems.beta).to(sums.device)
    centers = torch.from_numpy(atoms[problems.alpha]).to(sums.device)
    odd = torch.tensor([order % 2 for order in range(L_MAX + 1) for _ in range(2 * order + 1)]).to(
        sums.device
    )
    both = 2.0 * (1.0 - odd.double())[:, None] * sums
    both[:, 0] += centers[:, None] * torch.from_numpy(table.center).to(sums.device)
    return torch.where(same[:, None, None], both, sums)
