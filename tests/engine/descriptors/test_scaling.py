import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from hypothesis import given
from hypothesis import strategies as st

from engine.descriptors.neighbors import Floats
from engine.descriptors.scaling import d_nn, typical_distance
from engine.descriptors.soap.vector import by_species


def histogram_mode(distances: Floats) -> float:
    """The paper's definition, with numpy's histogram."""
    if np.ptp(distances) < 1e-9:
        return float(distances.min())
    counts, edges = np.histogram(distances, bins=100)
    largest = np.argmax(counts / edges[:-1] ** 2)
    return float(0.5 * (edges[largest] + edges[largest + 1]))


@given(st.lists(st.floats(0.5, 9.0), min_size=1, max_size=200))
def test_the_typical_distance_is_the_mode_of_numpys_histogram(distances: list[float]) -> None:
    values = np.array(distances)
    assert typical_distance(values) == pytest.approx(histogram_mode(values), abs=1e-12)


def test_equal_distances_are_returned_without_half_a_bin() -> None:
    assert typical_distance(np.array([2.5, 2.5 + 5e-10, 2.5])) == 2.5


@given(
    seed=st.integers(0, 10_000),
    periodic=st.sampled_from([(1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 0)]),
    rare=st.integers(1, 3),
)
def test_nearest_distances_are_those_of_an_exhaustive_search(
    seed: int, periodic: tuple[int, int, int], rare: int
) -> None:
    generator = np.random.default_rng(seed)
    lattice = np.diag(generator.uniform(5.0, 9.0, 3)) + generator.normal(size=(3, 3))
    species = np.array([1] * rare + [2] * 9)
    positions = generator.uniform(size=(len(species), 3)) @ lattice
    lengths = d_nn(*by_species(positions, species, lattice, np.array(periodic, np.bool_)))
    i, j, d = neighbor_list("ijd", Atoms(positions=positions, cell=lattice, pbc=periodic), 25.0)
    for a, alpha in enumerate((1, 2)):
        for b, beta in enumerate((1, 2)):
            nearest = [
                d[(i == center) & (species[j] == beta)].min(initial=np.inf)
                for center in np.flatnonzero(species == alpha)
            ]
            expected = np.inf if np.isinf(min(nearest)) else histogram_mode(np.array(nearest))
            assert lengths[a, b] == pytest.approx(expected, abs=1e-9)


def test_a_lone_atom_of_a_molecule_has_no_neighbour_of_its_species() -> None:
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.2], [0.0, 0.0, -1.2]])
    lengths = d_nn(*by_species(positions, np.array([6, 8, 8]), np.zeros((3, 3)), np.zeros(3, np.bool_)))
    assert np.isinf(lengths[0, 0])
    assert lengths[0, 1] == pytest.approx(1.2)
    assert lengths[1, 1] == pytest.approx(2.4)
