import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.descriptors.neighbors import (
    Floats,
    images_within,
    reduced_cell,
    rows_within,
    runs_within,
    wrapped,
)

Flags = NDArray[np.bool_]


def neighbor_vectors(
    positions: Floats, lattice: Floats, periodic: Flags, reach: float, divisions: int
) -> Floats:
    """All vectors from atoms to images within reach, by the compiled search."""
    cell = reduced_cell(lattice, periodic)
    atoms = wrapped(positions, cell)
    images = images_within(atoms, atoms, cell, reach, divisions)
    runs = np.empty((rows_within(images, reach), 2), np.int64)
    found = []
    for i, (px, py, pz) in enumerate(atoms):
        for begin, end in runs[: runs_within(images, px, py, pz, reach, runs)]:
            for j in range(begin, end):
                vector = np.array([images.x[j] - px, images.y[j] - py, images.z[j] - pz])
                if np.linalg.norm(vector) <= reach and images.key[j] != 3 * i + 1:
                    found.append(vector)
    return np.array(found).reshape(-1, 3)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 12),
    skew=st.floats(0.0, 3.0),
    periodic=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    reach=st.floats(0.5, 7.0),
    divisions=st.integers(1, 4),
)
def test_the_search_finds_the_neighbours_that_ase_finds(
    seed: int, count: int, skew: float, periodic: tuple[bool, bool, bool], reach: float, divisions: int
) -> None:
    generator = np.random.default_rng(seed)
    lattice = np.diag(generator.uniform(2.0, 6.0, 3)) + skew * generator.normal(size=(3, 3))
    if abs(np.linalg.det(lattice)) < 5.0:
        lattice = np.diag([3.0, 4.0, 5.0])
    positions = generator.uniform(-1.0, 2.0, (count, 3)) @ lattice
    expected = neighbor_list("d", Atoms(positions=positions, cell=lattice, pbc=periodic), reach)
    found = np.linalg.norm(neighbor_vectors(positions, lattice, np.array(periodic), reach, divisions), axis=1)
    borderline = int(np.sum(np.abs(expected - reach) < 1e-9))
    assert len(found) == pytest.approx(len(expected), abs=borderline)
    if borderline == 0:
        np.testing.assert_allclose(np.sort(found), np.sort(expected), atol=1e-9)


def test_a_very_skewed_cell_is_reduced_to_the_same_lattice() -> None:
    lattice = np.array([[1.0, 0.0, 0.0], [50.0, 1.0, 0.0], [-30.0, 70.0, 1.0]])
    cell = reduced_cell(lattice, np.ones(3, np.bool_))
    assert abs(np.linalg.det(cell.vectors)) == pytest.approx(1.0)
    assert np.linalg.norm(cell.vectors, axis=1).max() < 1.5
    multiples = lattice @ cell.inverse
    np.testing.assert_allclose(multiples, np.round(multiples), atol=1e-9)


@pytest.mark.parametrize("periodic", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1)])
def test_directions_without_periodicity_are_completed_orthogonally(periodic: tuple[int, int, int]) -> None:
    lattice = np.array([[3.0, 0.1, 0.0], [1.0, 4.0, 0.3], [0.2, 0.5, 5.0]])
    flags = np.array(periodic, np.bool_)
    cell = reduced_cell(np.where(flags[:, None], lattice, 0.0), flags)
    for k in np.flatnonzero(~flags):
        others = np.delete(cell.vectors, k, axis=0)
        assert np.linalg.norm(cell.vectors[k]) == pytest.approx(1.0)
        np.testing.assert_allclose(others @ cell.vectors[k], 0.0, atol=1e-12)
        assert cell.heights[k] == pytest.approx(1.0)
