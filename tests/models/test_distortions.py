"""Distorted crystals keep their structure type, and become none of another class."""

from dataclasses import replace

import numpy as np
import pytest
from ase.data import atomic_numbers
from numpy.typing import NDArray

from engine.descriptors.soap import SoapSettings
from engine.errors import CrysiftError
from engine.symmetry.protostructure import protostructure
from models.prototypes import Prototype, prototypes
from models.training.distortions import Distortion, all_distorted, distorted, symmetry_of
from models.training.duplicates import unit_vector
from models.training.evaluate import USUAL_DISTORTION
from models.training.recipe import Recipe, Workplace
from models.training.replicas import pristine_structures

OF = {prototype.label: prototype for prototype in prototypes()}
HCP, WURTZITE, SALT = OF["hcp_Mg_A_hP2_194_c"], OF["Wurtzite_ZnS"], OF["RockSalt_NaCl"]


def structure_type(prototype: Prototype) -> str:
    numbers = np.array([atomic_numbers[symbol] for symbol in prototype.species])
    return protostructure(prototype.positions, numbers, prototype.lattice).label


def axial_ratio(prototype: Prototype) -> float:
    lengths = np.linalg.norm(prototype.lattice, axis=1)
    return float(lengths[2] / lengths[0])


@pytest.mark.parametrize(
    "label", ["hcp_Mg_A_hP2_194_c", "Wurtzite_ZnS", "FeB", "3_halides_orthorhombic", "SnS"]
)
def test_a_distorted_crystal_is_of_the_same_structure_type(label: str) -> None:
    random = np.random.default_rng(1)
    for _ in range(3):
        crystal = distorted(OF[label], Distortion(0.08, 0.08), random)
        assert crystal is not OF[label]
        assert structure_type(crystal) == structure_type(OF[label])
        volumes = [abs(np.linalg.det(each.lattice)) for each in (crystal, OF[label])]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.02)  # the strain has no trace


def test_lattice_parameters_and_free_coordinates_differ_as_far_as_asked() -> None:
    drawn = [each for draw in range(60) for each in all_distorted([HCP], Distortion(strain=0.08), 5, draw)]
    ratios = np.array([axial_ratio(crystal) for crystal in drawn]) / axial_ratio(HCP)
    assert 0.87 < ratios.min() < 0.93
    assert 1.07 < ratios.max() < 1.13
    for crystal in drawn[:5]:  # of hcp no coordinate is free
        ours, theirs = (each.positions @ np.linalg.inv(each.lattice) for each in (crystal, HCP))
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    moved = distorted(WURTZITE, Distortion(displacement=0.08), np.random.default_rng(2))
    np.testing.assert_allclose(moved.lattice, WURTZITE.lattice)
    difference = moved.positions - WURTZITE.positions
    assert np.abs(difference[:, 2]).max() > 0.005
    np.testing.assert_allclose(difference[:, :2], 0.0, atol=1e-9)  # only u, along c, is free


def test_what_symmetry_fixes_and_what_has_no_period_stays() -> None:
    random = np.random.default_rng(0)
    nanotube = next(prototype for prototype in prototypes() if not prototype.is_periodic)
    for prototype in (SALT, nanotube):
        assert distorted(prototype, Distortion(0.1, 0.1), random) is prototype
    assert distorted(HCP, Distortion(), random) is HCP


def soap(prototype: Prototype) -> NDArray[np.float64]:
    return unit_vector(pristine_structures([prototype])[0], SoapSettings())


def test_no_distorted_crystal_becomes_another_class() -> None:
    vectors = {label: soap(prototype) for label, prototype in OF.items()}
    chosen = [OF[label] for label in ("bctIn_In_A_tI2_139_a", "L10_CuAu", "rhombAlphaSm_Sm_A_hR3_166_ac")]
    for draw in range(5):
        for crystal in all_distorted(chosen, Distortion(0.1, 0.1), 3, draw):
            vector = soap(crystal)
            distances = {label: np.linalg.norm(of - vector) for label, of in vectors.items()}
            assert distances.pop(crystal.label) < 2.0 * min(distances.values())


def test_a_class_that_is_none_of_the_108_is_distorted_too() -> None:
    stretch = np.diag([1.0, 1.0, 1.3])
    mine = replace(HCP, label="mine", lattice=HCP.lattice @ stretch, positions=HCP.positions @ stretch)
    assert distorted(mine, Distortion(0.02), np.random.default_rng(0)) is not mine


def test_operations_map_the_crystal_onto_itself() -> None:
    rotations, images = symmetry_of(WURTZITE)
    assert len(rotations) == len(images) == 12
    species = np.array(WURTZITE.species)
    assert (species[images] == species).all()
    assert (np.sort(images, axis=1) == np.arange(len(species))).all()
    for rotation in rotations:
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


def test_distorted_crystals_are_among_those_at_rest(tmp_path_factory: pytest.TempPathFactory) -> None:
    recipe = Recipe(grid=replace(Recipe().center), draws=6, distorted=1.0, undisturbed=0.5)
    of = [HCP, SALT]
    data = Workplace(tmp_path_factory.mktemp("work")).training_vectors(recipe, of, [HCP.label, SALT.label])
    variants = list(recipe.variants(of))
    intact = [v.source_id.split("/")[1:3] == ["supercell-0", "pristine"] for v in variants]
    assert 0 < sum(intact) < 12
    vectors, classes, names = data.at_rest(recipe)
    assert len(vectors) == 8 + sum(intact)
    np.testing.assert_array_equal(vectors[8:], data.further[intact])
    np.testing.assert_array_equal(classes[8:], data.further_classes[intact])
    assert names[8:] == tuple(v.structure_id for v, kept in zip(variants, intact, strict=True) if kept)


def test_a_distortion_says_what_it_is_and_what_it_cannot_be() -> None:
    assert str(USUAL_DISTORTION) == "strain 6 %, free coordinates 6 % of d_NN"
    with pytest.raises(CrysiftError, match=r"strain of a distortion, 0\.5, is outside \[0, 0\.3\]"):
        Distortion(strain=0.5)
