"""The SOAP vector of one structure."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.descriptors.features import Failure
from engine.descriptors.neighbors import Cell, Floats, Ints, reduced_cell, wrapped
from engine.descriptors.scaling import d_nn
from engine.descriptors.soap.kernel import average_spectrum
from engine.descriptors.soap.radial import radial_table
from engine.descriptors.soap.settings import SOAP_WIDTH, SoapSettings


class SoapResult(NamedTuple):
    """A structure's vector and what it was made from."""

    vector: Floats
    """(316,), the mean of unit vectors."""
    d_nn_min: float
    """Å, the smallest d_NN(α, β); NaN where no atom has a neighbour."""
    n_pairs: int | None
    """Ordered neighbour pairs within the cutoffs of all pairs of species; DScribe does not tell."""


class SoapPairs(NamedTuple):
    """What the vector of a structure of S species is the mean of."""

    spectra: Floats
    """(S, S, 316), unit vectors of the ordered pairs; zeros where no atom has a neighbour."""
    d_nn: Floats
    """(S, S) Å, d_NN(α, β) of centres α and neighbours β; infinite where there is no neighbour."""


def soap_vector(
    positions: Floats,
    species: Ints,
    lattice: Floats,
    periodic: NDArray[np.bool_],
    settings: SoapSettings,
    pair_scales: Floats | None = None,
) -> SoapResult:
    """SOAP vector of a structure as the ARISE network reads it.

    `positions` (n, 3) Å Cartesian, `species` (n,) integers (equal means the same species), `lattice` (3, 3) Å
    as rows (those of non-periodic directions are ignored), `periodic` (3,). Source: Leitherer et al., Nat.
    Commun. 12, 6234 (2021), Methods: for each ordered pair of species the structure is scaled by d_NN(α,
    β)·x, the coefficients are averaged over the α atoms, and the normalised power spectra are averaged over
    the pairs. `pair_scales` (S, S) are further factors of the d_NN(α, β), species ascending; the torch
    backend takes none.
    """
    if settings.backend == "torch":
        if pair_scales is not None:
            raise ValueError("the torch backend scales all pairs of species alike: use the kernel")
        from engine.descriptors.soap.torch_backend import Batch, soap_batch

        offsets = np.array([0, len(positions)])
        batch = Batch(positions, species, offsets, lattice[None], np.asarray(periodic)[None])
        return soap_batch(batch, settings)[0]
    sublattices, bounds, cell = by_species(positions, species, lattice, periodic)
    lengths = d_nn(sublattices, bounds, cell)
    scaled = lengths * settings.scale
    if pair_scales is not None:
        scaled = scaled * pair_scales
    vector, pairs = _average(sublattices, bounds, cell, scaled, settings)
    shortest = float(lengths.min())
    return SoapResult(vector, shortest if np.isfinite(shortest) else float("nan"), pairs)


def soap_pairs(
    positions: Floats, species: Ints, lattice: Floats, periodic: NDArray[np.bool_], settings: SoapSettings
) -> SoapPairs:
    """Spectra of the ordered pairs of species, ascending, whose mean is `soap_vector`, and their d_NN.

    The arguments are those of `soap_vector`. The kernel stands in for the torch backend, which has no pairs.
    """
    chosen = replace(settings, backend="kernel") if settings.backend == "torch" else settings
    sublattices, bounds, cell = by_species(positions, species, lattice, periodic)
    lengths = d_nn(sublattices, bounds, cell)
    spectra = np.empty((*lengths.shape, SOAP_WIDTH))
    for pair in np.ndindex(lengths.shape):
        only = np.full_like(lengths, np.inf)
        only[pair] = lengths[pair] * settings.scale
        spectra[pair] = _average(sublattices, bounds, cell, only, chosen)[0] * lengths.size
    return SoapPairs(spectra, lengths)


def _average(
    sublattices: Floats, bounds: Ints, cell: Cell, lengths: Floats, settings: SoapSettings
) -> tuple[Floats, int | None]:
    """Mean spectrum and neighbour pairs, as `engine.descriptors.soap.kernel.average_spectrum`."""
    if settings.backend == "dscribe":
        from engine.descriptors.soap.dscribe_backend import average_spectrum_dscribe

        return average_spectrum_dscribe(sublattices, bounds, cell, lengths, settings), None
    vector, pairs = average_spectrum(sublattices, bounds, cell, lengths, radial_table(settings))
    return vector, int(pairs)


def compile_kernel(settings: SoapSettings) -> None:
    """Compile all that `soap_vector` runs, or load it from the cache, by describing a pair of atoms."""
    pair = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    soap_vector(pair, np.zeros(2, np.int64), np.zeros((3, 3)), np.zeros(3, np.bool_), settings)


def checked(result: SoapResult | Failure) -> SoapResult | Failure:
    """The result, if its vector can be used."""
    if isinstance(result, Failure):
        return result
    if not np.isfinite(result.vector).all():
        return Failure(
            "NonFiniteVector", "the SOAP vector has infinite or undefined components: do two atoms coincide?"
        )
    if not result.vector.any():
        return Failure("NoNeighbours", "no atom has a neighbour, so that there is no length to scale by")
    return result


def by_species(
    positions: Floats, species: Ints, lattice: Floats, periodic: NDArray[np.bool_]
) -> tuple[Floats, Ints, Cell]:
    """Positions wrapped into a reduced cell and ordered by species, the species' bounds, and the cell."""
    cell = reduced_cell(np.ascontiguousarray(lattice, dtype=np.float64), np.asarray(periodic, dtype=np.bool_))
    order = np.argsort(species, kind="stable")
    _, counts = np.unique(species, return_counts=True)
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return wrapped(np.ascontiguousarray(positions[order], dtype=np.float64), cell), bounds, cell
