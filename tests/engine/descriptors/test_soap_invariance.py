"""The vector does not depend on how a structure is written down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from engine.descriptors.neighbors import Floats, Ints
from engine.descriptors.soap import SoapSettings, soap_vector

Structure = tuple[Floats, Ints, Floats, NDArray[np.bool_]]

PERIODICITIES = [(1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 0)]
BASES = [SoapSettings(), SoapSettings(basis="gto")]


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    """Generic structures: no distance falls on a histogram edge or on the cutoff but by accident."""
    generator = np.random.default_rng(draw(st.integers(0, 100_000)))
    count = int(generator.integers(3, 14))
    edge = (18.0 * count) ** (1 / 3)
    lattice = np.diag(edge * generator.uniform(0.7, 1.4, 3)) + 0.2 * edge * generator.normal(size=(3, 3))
    positions = generator.uniform(size=(count, 3)) @ lattice
    species = generator.integers(0, draw(st.integers(1, 3)), count)
    return positions, species, lattice, np.array(draw(st.sampled_from(PERIODICITIES)), np.bool_)


def vector(
    positions: Floats, species: Ints, lattice: Floats, periodic: NDArray[np.bool_], settings: SoapSettings
) -> Floats:
    return soap_vector(positions, species, lattice, periodic, settings).vector


@pytest.mark.parametrize("settings", BASES, ids=lambda s: s.basis)
@given(structure=structures(), seed=st.integers(0, 1000))
def test_rotation_and_translation_change_nothing(
    settings: SoapSettings, structure: Structure, seed: int
) -> None:
    positions, species, lattice, periodic = structure
    rotation = Rotation.random(random_state=seed).as_matrix()
    shift = np.random.default_rng(seed).normal(scale=20.0, size=3)
    moved = vector(positions @ rotation.T + shift, species, lattice @ rotation.T, periodic, settings)
    np.testing.assert_allclose(moved, vector(*structure, settings), atol=1e-9)


@given(structure=structures(), seed=st.integers(0, 1000))
def test_the_order_of_the_atoms_and_the_names_of_the_species_change_nothing(
    structure: Structure, seed: int
) -> None:
    positions, species, lattice, periodic = structure
    order = np.random.default_rng(seed).permutation(len(positions))
    permuted = vector(positions[order], 100 - species[order], lattice, periodic, SoapSettings())
    np.testing.assert_allclose(permuted, vector(*structure, SoapSettings()), atol=1e-9)


@pytest.mark.parametrize("settings", BASES, ids=lambda s: s.basis)
@given(structure=structures(), repeats=st.tuples(*[st.integers(1, 2)] * 3))
def test_a_supercell_is_the_same_crystal(
    settings: SoapSettings, structure: Structure, repeats: tuple[int, int, int]
) -> None:
    positions, species, lattice, periodic = structure
    counts = np.where(periodic, repeats, 1)
    shifts = np.array(list(np.ndindex(*counts))) @ lattice
    supercell = (
        (positions[None] + shifts[:, None]).reshape(-1, 3),
        np.tile(species, len(shifts)),
        lattice * counts[:, None],
        periodic,
    )
    np.testing.assert_allclose(vector(*supercell, settings), vector(*structure, settings), atol=1e-9)


@given(structure=structures(), multiples=st.tuples(*[st.integers(-3, 3)] * 3))
def test_another_choice_of_cell_is_the_same_crystal(
    structure: Structure, multiples: tuple[int, int, int]
) -> None:
    positions, species, lattice, periodic = structure
    sheared = lattice.copy()
    for (i, j), multiple in zip([(1, 0), (2, 1), (2, 0)], multiples, strict=True):
        if periodic[i] and periodic[j]:
            sheared[i] += multiple * sheared[j]
    flipped = np.where(periodic[:, None], -sheared, sheared)
    other = vector(positions + periodic @ lattice, species, flipped, periodic, SoapSettings())
    np.testing.assert_allclose(other, vector(*structure, SoapSettings()), atol=1e-9)


@given(structure=structures(), factor=st.floats(0.3, 4.0))
def test_isotropic_scaling_changes_nothing(structure: Structure, factor: float) -> None:
    positions, species, lattice, periodic = structure
    scaled = vector(positions * factor, species, lattice * factor, periodic, SoapSettings())
    np.testing.assert_allclose(scaled, vector(*structure, SoapSettings()), atol=1e-8)


@given(structure=structures())
def test_lattice_vectors_of_directions_that_are_not_periodic_do_not_matter(structure: Structure) -> None:
    positions, species, lattice, periodic = structure
    without = np.where(periodic[:, None], lattice, 0.0)
    np.testing.assert_allclose(
        vector(positions, species, without, periodic, SoapSettings()),
        vector(*structure, SoapSettings()),
        atol=1e-9,
    )
