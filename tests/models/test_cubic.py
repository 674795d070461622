"""The pristine crystals are the four structures, each described in several ways, with the right volumes."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import spglib
from numpy.typing import NDArray

from engine.structure import Structure
from models.training.cubic import (
    CLASSES,
    SCALES,
    SPACE_GROUPS,
    atomic_volume,
    class_of,
    element_of,
    element_symbols,
    lattice_parameter,
    pristine_cubic,
)


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    return pristine_cubic()


def fractional(structure: Structure) -> NDArray[np.float64]:
    coordinates: NDArray[np.float64] = structure.positions @ np.linalg.inv(structure.cell)
    return coordinates


def test_every_class_has_every_element_in_sixteen_descriptions(structures: list[Structure]) -> None:
    assert len({structure.structure_id for structure in structures}) == len(structures) == 6272
    assert len(element_symbols()) == 98
    counts = Counter((class_of(s.structure_id), s.species_at_sites[0]) for s in structures)
    assert counts == {(label, symbol): 16 for label in CLASSES for symbol in element_symbols()}
    assert all(set(s.species_at_sites) == {element_of(s.structure_id)} for s in structures)


def test_space_groups_are_those_of_the_classes_in_every_description(structures: list[Structure]) -> None:
    for structure in structures[::29]:
        cell: Any = structure.cell, fractional(structure), [1] * len(structure.positions)
        found = spglib.get_symmetry_dataset(cell, symprec=1e-5)
        assert found is not None
        assert found.number == SPACE_GROUPS[class_of(structure.structure_id)]


def test_descriptions_of_one_crystal_are_unlike_but_of_one_density(structures: list[Structure]) -> None:
    for first in range(0, len(structures), 16 * 31):
        same = structures[first : first + 16]
        assert len({structure.content_hash for structure in same}) == 16
        volumes = [abs(np.linalg.det(s.cell)) / len(s.positions) for s in same]
        expected = np.tile(np.array(SCALES) ** 3 * atomic_volume(same[0].species_at_sites[0]), 4)
        np.testing.assert_allclose(volumes, expected, rtol=1e-9)


def test_sheared_cells_are_turned_off_the_axes_and_others_are_not(structures: list[Structure]) -> None:
    sheared = [s for s in structures if "/sheared/" in s.structure_id][::11]
    assert all(np.abs(s.cell).min() > 0 for s in sheared)
    for structure in structures[::41]:
        if "/primitive/" in structure.structure_id or "/sheared/" in structure.structure_id:
            assert len(structure.positions) == (2 if class_of(structure.structure_id) == "diamond" else 1)


@pytest.mark.parametrize(
    ("label", "symbol", "measured"), [("fcc", "Cu", 3.615), ("bcc", "Fe", 2.866), ("diamond", "Si", 5.431)]
)
def test_lattice_parameters_are_the_measured_ones(label: str, symbol: str, measured: float) -> None:
    assert lattice_parameter(label, symbol) == pytest.approx(measured, rel=1e-3)


def test_elements_without_a_known_volume_get_that_of_their_neighbours() -> None:
    assert atomic_volume("Fr") == pytest.approx((atomic_volume("Rn") + atomic_volume("Ra")) / 2)


def test_the_set_is_the_same_every_time(structures: list[Structure]) -> None:
    iron = pristine_cubic(("Fe",))
    among = [s for s in structures if element_of(s.structure_id) == "Fe"]
    assert [s.content_hash for s in iron] == [s.content_hash for s in among]
    assert [s.positions.tolist() for s in iron] == [s.positions.tolist() for s in among]
