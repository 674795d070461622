"""The structures that the studies are made with."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.descriptors.diffraction import DiffractionSettings
from engine.structure import Structure
from jobs.studies.crystals import (
    NEAREST,
    diffracting,
    displaced,
    fingerprints,
    host,
    in_units_of,
    is_turned,
    nearest_distance,
    spread_elements,
    with_vacancies,
    without_centres,
)
from models.training.cubic import lattice_parameter


def sites(structure: Structure, a: float) -> NDArray[np.float64]:
    """Positions in units of the lattice parameter, from the first corner."""
    return np.asarray((structure.positions - structure.positions[0]) / a)


@pytest.mark.parametrize(("share", "left"), [(0.0, 128), (0.25, 112), (0.5, 96), (1.0, 64)])
def test_so_many_body_centres_are_missing_and_no_corner(share: float, left: int) -> None:
    structure = without_centres("Fe", share, seed=1)
    places = sites(structure, lattice_parameter("bcc", "Fe"))
    corners = np.abs(places - places.round()).max(axis=1) < 1e-9
    assert len(places) == len(structure.species_at_sites) == left
    assert corners.sum() == 64
    np.testing.assert_allclose(places[~corners] % 1.0, 0.5)


def test_draws_differ_and_are_repeatable() -> None:
    first, again, other = (without_centres("Fe", 0.5, seed).positions for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_its_centres_bcc_is_simple_cubic() -> None:
    left, expected = diffracting(without_centres("Fe", 1.0, 0)), diffracting(host("sc", "Fe"))
    assert left.space_group == expected.space_group == 221
    images = fingerprints([left, expected], DiffractionSettings()).astype(np.float64)
    np.testing.assert_allclose(images[0], images[1], atol=1e-3)


@pytest.mark.parametrize("label", NEAREST)
def test_displacements_have_the_length_that_the_lindemann_parameter_says(label: str) -> None:
    rest = host(label, "W")
    d_nn = diffracting(rest).d_nn
    assert d_nn == pytest.approx(nearest_distance(label, "W"))
    moved = [displaced(label, "W", 0.2, seed).positions - rest.positions for seed in range(20)]
    lengths = np.linalg.norm(moved, axis=2)
    assert np.sqrt(np.mean(lengths**2)) / d_nn == pytest.approx(0.2, rel=0.03)
    np.testing.assert_allclose(np.std(moved, axis=(0, 1)) / d_nn, 0.2 / np.sqrt(3.0), rtol=0.06)
    np.testing.assert_array_equal(displaced(label, "W", 0.0, 0).positions, rest.positions)


def test_a_cell_is_turned_where_its_defects_have_another_symmetry() -> None:
    a = lattice_parameter("bcc", "Fe")
    whole = host("bcc", "Fe")
    along_a_face = [np.array([0.0, 0.0, 0.0]), np.array([1.0, 1.0, 0.0])]  # a pair of vacancies along [110]
    kept = [not any(np.allclose(site, place) for place in along_a_face) for site in sites(whole, a)]
    paired = replace(
        whole, positions=whole.positions[kept], species_at_sites=whole.species_at_sites[: sum(kept)]
    )
    assert len(paired.positions) == 126
    assert is_turned(paired, a)
    assert not is_turned(whole, a)
    assert not is_turned(without_centres("Fe", 0.5, 0), a)


def test_another_unit_of_length_scales_all_positions() -> None:
    crystal = diffracting(displaced("sc", "W", 0.2, 0))
    other = in_units_of(crystal, 2.0)
    np.testing.assert_allclose(other.positions * 2.0, crystal.positions * crystal.d_nn)
    assert (other.d_nn, other.space_group) == (2.0, crystal.space_group)


def test_half_of_the_atoms_are_missing() -> None:
    whole, half = host("fcc", "Cu"), with_vacancies("fcc", "Cu", 0.5, seed=0)
    assert len(half.positions) == len(whole.positions) / 2 == 72
    assert {tuple(p) for p in half.positions} < {tuple(p) for p in whole.positions}


def test_elements_are_spread_over_the_periodic_table() -> None:
    assert spread_elements(2) == ["H", "Cf"]
    assert len(set(spread_elements(33))) == 33
