"""What networks are trained on: smearing is the mean of displacements, and variants are reproducible."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.descriptors.scaling import d_nn
from engine.descriptors.soap import SmearedSoapSettings, SoapSettings, soap_vector
from engine.descriptors.soap.kernel import average_spectrum
from engine.descriptors.soap.radial import radial_table
from engine.descriptors.soap.vector import by_species
from engine.errors import CrysiftError
from engine.structure import Structure
from models.prototypes import prototypes
from models.training.arise import AriseTraining
from models.training.defects import nearest_neighbor_distances
from models.training.extend import ExtensionSettings
from models.training.grid import GridSettings, grid_vectors
from models.training.recipe import Recipe, Workplace, classes_of
from models.training.replicas import defect_hosts, is_smallest, label_of, pieces_of, pristine_structures

FCC = "fcc_Cu_A_cF4_225_a"
SALT = "RockSalt_NaCl"


def host(name: str) -> Structure:
    return next(structure for structure in defect_hosts() if structure.source_id == name)


def spectrum(crystal: Structure, moved: NDArray[np.float64], settings: SoapSettings) -> NDArray[np.float64]:
    """The vector of a moved crystal, with the d_NN of the crystal at rest."""
    species = np.unique(crystal.species_at_sites, return_inverse=True)[1]
    periodic = np.array(crystal.dimension_types) == 1
    lengths = d_nn(*by_species(crystal.positions, species, crystal.cell, periodic))
    sublattices = by_species(moved, species, crystal.cell, periodic)
    return average_spectrum(*sublattices, lengths, radial_table(settings))[0]


@pytest.mark.parametrize(("basis", "cutoff"), [("quip", 4.0), ("gto", 3.35)])  # gto cuts off sharply
def test_smearing_is_what_gaussian_displacements_do_to_a_crystal_on_average(
    basis: Literal["quip", "gto"], cutoff: float
) -> None:
    crystal = host(f"{FCC}/supercell-2")
    length = nearest_neighbor_distances()[FCC]
    random = np.random.default_rng(5)
    draws = random.normal(0.0, 0.05 * length, (8, *crystal.positions.shape))
    rest = SmearedSoapSettings(cutoff=cutoff, basis=basis)
    smeared = SmearedSoapSettings(cutoff=cutoff, basis=basis, smearing=0.05 * np.sqrt(2.0))
    displaced = np.mean([spectrum(crystal, crystal.positions + draw, rest) for draw in draws], axis=0)
    still, moving = (spectrum(crystal, crystal.positions, settings) for settings in (rest, smeared))
    change = np.linalg.norm(displaced - still)
    assert change > 0.02
    assert np.linalg.norm(displaced - moving) < 0.25 * change


def test_atoms_at_rest_are_not_smeared() -> None:
    crystal = host(f"{SALT}/cluster-0")
    species = np.unique(crystal.species_at_sites, return_inverse=True)[1]
    atoms = (crystal.positions, species, crystal.cell, np.array(crystal.dimension_types) == 1)
    plain, smeared = (soap_vector(*atoms, kind).vector for kind in (SoapSettings(), SmearedSoapSettings()))
    np.testing.assert_array_equal(plain, smeared)


def test_too_wide_a_smearing_is_refused() -> None:
    with pytest.raises(CrysiftError, match=r"smearing = 1\.5 is outside"):
        SmearedSoapSettings(smearing=1.5)


def test_a_vector_does_not_depend_on_what_else_is_in_its_part(tmp_path: Path) -> None:
    grid = GridSettings((4.0,), (0.1,), (1.0,), mixed=4, mixed_scales=(0.85, 1.0, 1.05))
    salt = host(f"{SALT}/cluster-0")
    other_first = replace(
        salt,
        source_id="other first",
        species_at_sites=salt.species_at_sites[::-1],
        positions=salt.positions[::-1],
    )
    assert other_first.species_at_sites[0] != salt.species_at_sites[0]
    alone = grid_vectors(tmp_path / "alone", [salt], grid)
    after = grid_vectors(tmp_path / "after", [other_first, salt], grid)
    np.testing.assert_array_equal(alone[0], after[1])


def test_variants_that_are_neither_distorted_nor_defective_are_left_out() -> None:
    of = [prototype for prototype in prototypes() if prototype.label in {FCC, SALT}]
    assert not list(Recipe(draws=3, undisturbed=1.0).variants(of))
    assert len(list(Recipe(draws=3).variants(of))) == 3 * len(defect_hosts(of))


def test_further_variants_are_of_the_smallest_hosts() -> None:
    of = [prototype for prototype in prototypes() if prototype.label in {FCC, SALT}]
    usual, more = (list(Recipe(draws=2, draws_of_smallest=count).variants(of)) for count in (0, 3))
    assert [v.content_hash for v in more[: len(usual)]] == [v.content_hash for v in usual]
    further = [variant.source_id.split("/")[:2] for variant in more[len(usual) :]]
    smallest = [host.source_id.split("/") for host in defect_hosts(of) if is_smallest(host)]
    assert further == 3 * smallest
    assert len(smallest) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: Recipe(draws=-1), r"recipe: draws = -1 is outside \[0, 100000\]"),
        (lambda: Recipe(distorted=1.5), r"recipe: distorted = 1\.5 is outside \[0, 1\]"),
        (lambda: Recipe(only_displaced=0.7, only_vacant=0.6), r"only_displaced \+ only_vacant = 1\.3"),
        (lambda: GridSettings(cutoffs=()), "there are no cutoffs: name at least one value"),
        (lambda: GridSettings(scales=(0.01,)), r"scale = 0\.01 is outside"),
        (lambda: GridSettings(mixed=-2), r"mixed = -2 is outside"),
        (lambda: GridSettings(mixed=1, mixed_scales=(20.0,)), r"scale = 20 is outside"),
        (lambda: AriseTraining(draws=0), r"evaluation: draws = 0 is outside"),
        (lambda: AriseTraining(passes=0), r"the number of passes 0 is outside"),
        (lambda: ExtensionSettings(draws=-3), r"extension: draws = -3 is outside"),
        (lambda: ExtensionSettings(validation_draws=0), r"validation_draws = 0 is outside"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: Callable[[], object], message: str) -> None:
    with pytest.raises(CrysiftError, match=message):
        settings()


def test_variants_are_within_the_strongest_defects_and_the_same_again() -> None:
    recipe = Recipe(draws=12)
    of = [prototype for prototype in prototypes() if prototype.label in {FCC, SALT}]
    variants = list(recipe.variants(of))
    assert [v.content_hash for v in variants] == [v.content_hash for v in recipe.variants(of)]
    assert len({v.structure_id for v in variants}) == len(variants) == 12 * len(defect_hosts(of))
    sizes = {structure.source_id: len(structure.positions) for structure in defect_hosts(of)}
    kept = np.array([len(v.positions) / sizes["/".join(v.source_id.split("/")[:2])] for v in variants])
    assert kept.min() < 0.8
    assert kept.min() > 0.64
    assert 0.2 < (kept == 1.0).mean() < 0.55


def test_training_vectors_are_of_pristine_and_defective_structures(tmp_path: Path) -> None:
    of = [prototype for prototype in prototypes() if prototype.label in {FCC, SALT}]
    grid = GridSettings(cutoffs=(4.0,), sigmas=(0.1,), scales=(0.95, 1.0), smearings=(0.0, 0.1))
    recipe = Recipe(grid=grid, draws=1)
    data = Workplace(tmp_path).training_vectors(recipe, of, (SALT, FCC))
    assert data.pristine.shape == (8, 4, 316)
    assert data.further.shape == (12, 316)
    vectors, classes = data.all
    assert vectors.shape == (44, 316)
    assert sorted(np.bincount(classes)) == [22, 22]
    rest, of_rest, names = data.at_rest(recipe)
    np.testing.assert_array_equal(rest, data.pristine[:, [0, 2]].reshape(-1, 316))
    np.testing.assert_array_equal(of_rest, np.repeat(data.classes, 2))
    assert names[:2] == (f"{data.ids[0]}/scale-0.95", data.ids[0])
    assert (np.linalg.norm(data.pristine[:, 0] - data.pristine[:, 1], axis=1) > 0.01).all()


def test_pieces_are_cut_out_of_the_crystal() -> None:
    of = [prototype for prototype in prototypes() if prototype.label in {FCC, SALT, "MoS2"}]
    pieces = pieces_of(of, 4, seed=3)
    assert len({piece.structure_id for piece in pieces}) == len(pieces) == 12
    again = pieces_of(of, 4, seed=3)
    assert [piece.content_hash for piece in pieces] == [piece.content_hash for piece in again]
    sizes: dict[str, set[int]] = {prototype.label: set() for prototype in of}
    for piece in pieces:
        label = label_of(piece.structure_id)
        [prototype] = [each for each in of if each.label == label]
        sizes[label].add(len(piece.positions))
        assert 70 <= len(piece.positions) <= 700
        assert not any(piece.dimension_types)
        assert set(piece.species_at_sites) == set(prototype.species)
        fractions = np.linalg.solve(prototype.lattice.T, (piece.positions - piece.positions[0]).T).T
        nearest = [
            np.abs(fractions[np.array(piece.species_at_sites) == species][:, axis] % 1.0)
            for species in set(prototype.species)
            for axis in range(3)
        ]
        places = {len(np.unique(np.round(np.minimum(x, 1.0 - x), 3))) for x in nearest}
        assert max(places) <= len(prototype.species)
    assert all(len(of_prototype) > 1 for of_prototype in sizes.values())


def test_training_vectors_of_pieces_have_the_classes_of_their_prototypes(tmp_path: Path) -> None:
    of = [prototype for prototype in prototypes() if prototype.label in {FCC, SALT}]
    grid = GridSettings(cutoffs=(4.0,), sigmas=(0.1,), scales=(0.95, 1.0), smearings=(0.0, 0.1))
    recipe = Recipe(grid=grid, pieces=2, vectors_of_piece=3, draws=1)
    data = Workplace(tmp_path).training_vectors(recipe, of, (SALT, FCC))
    assert data.further.shape == (2 * 2 * (2 + 3) + 12, 316)
    assert list(np.bincount(data.further_classes)) == [16, 16]


def test_mixed_vectors_scale_every_pair_of_species_by_itself(tmp_path: Path) -> None:
    of = [prototype for prototype in prototypes() if prototype.label in {FCC, SALT}]
    grid = GridSettings(cutoffs=(4.0,), sigmas=(0.1,), scales=(0.9, 1.0), mixed=8)
    [copper] = [s for s in pristine_structures(of) if s.source_id == f"{FCC}/periodic"]
    [salt] = [s for s in pristine_structures(of) if s.source_id == f"{SALT}/periodic"]
    of_copper, of_salt = Workplace(tmp_path).vectors("two", [copper, salt], grid)
    assert len(of_copper) == grid.size == 10
    for vector in of_copper[2:]:
        assert min(np.abs(vector - point).max() for point in of_copper[:2]) < 1e-7
    apart = [min(np.abs(vector - point).max() for point in of_salt[:2]) for vector in of_salt[2:]]
    assert max(apart) > 1e-3


def test_a_class_that_is_not_asked_for_is_named() -> None:
    with pytest.raises(CrysiftError, match="is none of the 1 "):
        classes_of(pristine_structures(), [FCC])
