"""Shared sums against their definition, computed pair by pair, and against boxes cut out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from numpy.typing import NDArray
from scipy.special import sph_harm_y

from engine.descriptors.features import Failure
from engine.descriptors.neighbors import reduced_cell
from engine.descriptors.scaling import d_nn
from engine.descriptors.soap import SoapResult, SoapSettings
from engine.descriptors.soap.radial import quip_functions
from engine.errors import CrysiftError
from engine.spm import Grid, GridSettings, Region
from engine.spm.cuboids import cuboids
from engine.spm.exact import SPARSE, cut, exact_vectors
from engine.spm.lengths import box_lengths
from engine.spm.settings import Shape
from engine.spm.shared import shared_vectors
from engine.spm.span import span

SETTINGS = SoapSettings()
Floats = NDArray[np.float64]


def alloy(cells: int, spread: float = 0.05, share: float = 0.3, seed: int = 0) -> Region:
    """Random fcc alloy of two species with displaced atoms, in a random order."""
    random = np.random.default_rng(seed)
    atoms = bulk("Ni", "fcc", a=3.6, cubic=True).repeat(cells)
    positions = atoms.positions + random.uniform(-spread, spread, (len(atoms), 3)) * 2.55
    order = random.permutation(len(atoms))
    species = (random.random(len(atoms)) < share).astype(np.int64)
    return Region(positions[order], species, np.arange(len(atoms)))


def grid_over(region: Region, stride: float, box: float, shape: Shape = "box") -> Grid:
    """A grid over a region."""
    settings = GridSettings(stride=(stride,) * 3, box=box, shape=shape)
    return Grid.over(region.positions.min(axis=0), region.positions.max(axis=0), settings)


def vector_of(result: SoapResult | Failure) -> Floats:
    """The vector of a box that has one."""
    assert isinstance(result, SoapResult)
    return result.vector


def overlap(vector: Floats, grid: Grid) -> Floats:
    """Share of a box, or of a sphere, that is left of it displaced by vectors (n, 3): by sampling points."""
    size = np.array(grid.size)
    steps = (np.arange(24) + 0.5) / 24 - 0.5
    points = np.stack(np.meshgrid(*(steps * size[k] for k in range(3)), indexing="ij"), axis=-1).reshape(
        -1, 3
    )

    def inside(places: Floats) -> NDArray[np.bool_]:
        if grid.shape == "sphere":
            return np.asarray(np.linalg.norm(places, axis=-1) <= 0.5 * size[0])
        return np.asarray((np.abs(places) <= 0.5 * size).all(axis=-1))

    points = points[inside(points)]
    if grid.shape == "box":
        return np.asarray(np.prod(np.maximum(1.0 - np.abs(vector) / size, 0.0), axis=1))
    return np.array([inside(points + v).mean() for v in vector])


def spectrum_by_definition(region: Region, rows: NDArray[np.int64], grid: Grid, lengths: Floats) -> Floats:
    """The vector of the box that holds `rows`, pair by pair."""
    functions = quip_functions(SETTINGS)
    present = np.unique(region.species[rows])
    total = np.zeros(316)
    for alpha in present:
        for beta in present:
            length = lengths[alpha, beta]
            if not np.isfinite(length):
                continue
            few, many = sorted((alpha, beta), key=lambda species: int((region.species == species).sum()))
            centers = rows[region.species[rows] == few]
            others = np.flatnonzero(region.species == many)
            vectors = (region.positions[others][None] - region.positions[centers][:, None]).reshape(-1, 3)
            vectors = vectors[np.linalg.norm(vectors, axis=1) > 1e-9]
            vectors = vectors[np.linalg.norm(vectors, axis=1) < SETTINGS.cutoff * length]
            total += power_spectrum(vectors, length, overlap(vectors, grid), alpha == beta, functions)
    return total / len(present) ** 2


def power_spectrum(
    vectors: Floats, length: float, weights: Floats, even_only: bool, functions: Any
) -> Floats:
    """Normalised spectrum of the weighted neighbours at `vectors` (n, 3), Å."""
    r = np.linalg.norm(vectors, axis=1)
    theta, phi = np.arccos(np.clip(vectors[:, 2] / r, -1, 1)), np.arctan2(vectors[:, 1], vectors[:, 0])
    t = np.clip((r / length - 3.5) / 0.5, 0.0, 1.0)
    radial = functions(r / length) * (weights * 0.5 * (np.cos(np.pi * t) + 1.0))[:, None, None]
    out, index = np.zeros(316), 0
    degrees = range(0, 7, 2 if even_only else 1)
    c = {
        order: np.array(
            [sph_harm_y(order, m, theta, phi) @ radial[:, order] for m in range(-order, order + 1)]
        )
        for order in degrees
    }
    for n in range(9):
        for other in range(n + 1):
            for order in range(7):
                if order in c:
                    factor = np.sqrt(8.0 / (2 * order + 1)) * (1.0 if n == other else np.sqrt(2.0))
                    out[index] = factor * np.real(np.sum(c[order][:, n] * c[order][:, other].conj()))
                index += 1
    return np.asarray(out / np.linalg.norm(out))


@pytest.mark.parametrize("shape", ["box", "sphere"])
def test_shared_vectors_are_what_they_are_defined_as(shape: Shape) -> None:
    region = alloy(5)
    grid = grid_over(region, 4.0, 12.0, shape)
    indices = grid.indices()[::13]
    found = shared_vectors(region, grid, indices, SETTINGS, 10)
    members = list(cut(region, grid, indices))
    lengths = lengths_of(region, grid, indices)
    compared = 0
    for row in np.flatnonzero(found.n_atoms >= 10)[::2]:
        expected = spectrum_by_definition(region, members[row], grid, lengths[row])
        assert np.linalg.norm(vector_of(found.results[row]) - expected) < (6e-3 if shape == "box" else 1e-2)
        compared += 1
    assert compared > 4


def lengths_of(region: Region, grid: Grid, indices: NDArray[np.integer]) -> Floats:
    """d_NN (n, S, S) of boxes, from each box cut out."""
    count = int(region.species.max()) + 1
    cell = reduced_cell(np.zeros((3, 3)), np.zeros(3, np.bool_))
    lengths = np.full((len(indices), count, count), np.inf)
    for row, rows in enumerate(cut(region, grid, indices)):
        order = np.argsort(region.species[rows], kind="stable")
        present, counts = np.unique(region.species[rows], return_counts=True)
        if len(rows):
            bounds = np.concatenate([[0], np.cumsum(counts)])
            found = d_nn(np.ascontiguousarray(region.positions[rows[order]]), bounds, cell)
            lengths[row][np.ix_(present, present)] = found
    return lengths


@pytest.mark.parametrize("shape", ["box", "sphere"])
@pytest.mark.parametrize("share", [0.3, 0.01])
def test_lengths_of_boxes_are_those_of_boxes_cut_out(shape: Shape, share: float) -> None:
    region = alloy(6, share=share)
    order = np.argsort(region.species, kind="stable")
    grid = grid_over(region, 3.0, 9.0, shape)
    indices = grid.indices()
    bounds = np.concatenate([[0], np.cumsum(np.bincount(region.species))])
    boxes = cuboids(grid, indices)
    found = box_lengths(np.ascontiguousarray(region.positions[order]), bounds, boxes)
    np.testing.assert_array_equal(
        found.counts.sum(axis=1), [len(rows) for rows in cut(region, grid, indices)]
    )
    np.testing.assert_allclose(found.lengths, lengths_of(region, grid, indices), rtol=1e-12)


def test_a_span_holds_the_radial_functions_at_every_scale_of_its_range() -> None:
    basis = span(2.5, 2.9, SETTINGS)
    functions = quip_functions(SETTINGS)
    r = np.linspace(0.9, 3.9, 200) * 2.5
    nodes = basis.table.coefficients.shape[1]
    values = spline_values(r / basis.longest, basis.table.spacing, nodes)
    for length in (2.5, 2.6, 2.77, 2.9):
        matrices = basis.transform(np.array([length]))[0]
        flat, place = 0, 0
        for order, rank in enumerate(basis.ranks):
            projection = basis.projection[flat : flat + nodes * rank].reshape(nodes, rank)
            transform = matrices[place : place + rank * 9].reshape(rank, 9)
            t = np.clip((r / length - 3.5) / 0.5, 0.0, 1.0)
            expected = functions(r / length)[:, order] * (0.5 * (np.cos(np.pi * t) + 1.0))[:, None]
            assert np.abs(values @ projection @ transform - expected).max() < 8e-3 * np.abs(expected).max()
            flat, place = flat + nodes * rank, place + rank * 9


def spline_values(u: Floats, spacing: float, nodes: int) -> Floats:
    """Quintic B-splines (n, nodes) at distances `u` (n,), from scipy."""
    from scipy.interpolate import BSpline

    knots = (np.arange(nodes + 6) - 5.0) * spacing
    return np.asarray(BSpline.design_matrix(u, knots, 5).toarray())


def test_a_crystal_looks_as_it_does_cut_out() -> None:
    region = alloy(9, spread=0.0, share=0.0)
    grid = grid_over(region, 3.1, 16.0)
    inner = grid.indices()
    lows = grid.lows(inner)
    inner = inner[((lows >= -0.01) & (lows + 16.0 <= region.positions.max() + 0.01)).all(axis=1)]
    shared = shared_vectors(region, grid, inner, SETTINGS, 20)
    exact = exact_vectors(region, grid, inner, SETTINGS, 20)
    np.testing.assert_array_equal(shared.n_atoms, exact.n_atoms)
    differences = [
        np.linalg.norm(vector_of(one) - vector_of(other))
        for one, other in zip(shared.results, exact.results, strict=True)
    ]
    assert len(differences) > 20
    assert np.median(differences) < 0.06


def test_vectors_depend_on_the_block_only_by_rounding() -> None:
    region = alloy(6)
    grid = grid_over(region, 3.0, 12.0)
    indices = grid.indices()
    whole = shared_vectors(region, grid, indices, SETTINGS, 20)
    random = np.random.default_rng(1)
    some = np.sort(random.choice(len(indices), 12, replace=False))
    part = shared_vectors(region, grid, indices[some], SETTINGS, 20)
    for row, result in zip(some, part.results, strict=True):
        if result is not SPARSE:
            np.testing.assert_allclose(vector_of(result), vector_of(whole.results[row]), atol=6e-3)


def test_sparse_boxes_are_told_and_lone_species_count_as_cut_out() -> None:
    region = alloy(4, share=0.0)
    species = region.species.copy()
    species[np.argmin(np.linalg.norm(region.positions - 7.0, axis=1))] = 1
    region = region._replace(species=species)
    grid = grid_over(region, 4.0, 11.0)
    indices = grid.indices()
    shared = shared_vectors(region, grid, indices, SETTINGS, 60)
    exact = exact_vectors(region, grid, indices, SETTINGS, 60)
    assert [result is SPARSE for result in shared.results] == [r is SPARSE for r in exact.results]
    assert SPARSE in shared.results
    norms = [
        (float(np.linalg.norm(vector_of(one))), float(np.linalg.norm(vector_of(other))))
        for one, other in zip(shared.results, exact.results, strict=True)
        if one is not SPARSE
    ]
    ours, theirs = np.array(norms).T
    np.testing.assert_allclose(ours, theirs, atol=0.08)


def test_boxes_in_a_vacuum_are_sparse() -> None:
    grid = grid_over(alloy(4), 4.0, 9.0)
    nothing = Region(np.empty((0, 3)), np.empty(0, np.int64), np.empty(0, np.int64))
    found = shared_vectors(nothing, grid, grid.indices(), SETTINGS, 1)
    assert found.results == [SPARSE] * grid.n_boxes
    assert not found.n_atoms.any()


def test_settings_without_a_span_are_refused() -> None:
    region = alloy(3)
    with pytest.raises(CrysiftError, match="shared sums need"):
        shared_vectors(
            region, grid_over(region, 3.0, 9.0), np.zeros((1, 3), int), SoapSettings(basis="gto"), 9
        )
