"""New classes are checked before anything is trained, and near-duplicates are named."""

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure as Crystal

from engine.descriptors.soap import SoapSettings
from engine.errors import CrysiftError
from engine.structure import Structure
from models.prototypes import Prototype, class_prototypes, prototype_of, prototypes, record_of
from models.training.additions import MAX_EXAMPLES, Addition, addition_to, prototype_from
from models.training.distortions import symmetry_of
from models.training.duplicates import NEAR, nearest_classes, refuse_duplicates, same_structure_type
from models.training.replicas import defect_hosts, label_of, name_of, pristine_structures
from models.weights_file import Model


def prototype(
    label: str, group: str, lattice: Lattice, species: list[str], positions: list[list[float]]
) -> Prototype:
    crystal = Crystal.from_spacegroup(group, lattice, species, positions)
    return prototype_from(Structure.from_pymatgen(crystal, "test", label), label)


def fluorite(elements: tuple[str, str] = ("Ca", "F"), edge: float = 5.46) -> Prototype:
    positions = [[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]]
    return prototype("fluorite", "Fm-3m", Lattice.cubic(edge), list(elements), positions)


def rutile(u: float = 0.305, ratio: float = 0.644) -> Prototype:
    lattice = Lattice.tetragonal(4.594, 4.594 * ratio)
    return prototype("rutile", "P4_2/mnm", lattice, ["Ti", "O"], [[0.0, 0.0, 0.0], [u, u, 0.0]])


def magnesia() -> Prototype:
    positions = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
    return prototype("magnesia", "Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], positions)


def gallium_nitride() -> Prototype:
    positions = [[1 / 3, 2 / 3, 0.0], [1 / 3, 2 / 3, 0.377]]
    return prototype("nitride", "P6_3mc", Lattice.hexagonal(3.19, 5.19), ["Ga", "N"], positions)


KNOWN = class_prototypes(["RockSalt_NaCl", "Wurtzite_ZnS", "CsCl", "fcc_Cu_A_cF4_225_a"])
OF_LABEL = {each.label: each for each in prototypes()}


@pytest.fixture
def few(model: Model) -> Model:
    """A model of three classes."""
    return replace(model, labels=("CsCl", "RockSalt_NaCl", "BN"))


def test_duplicates_of_known_classes_are_named_and_refused() -> None:
    salt, nitride, new = nearest_classes([magnesia(), gallium_nitride(), fluorite()], KNOWN, SoapSettings())
    assert (salt.nearest, salt.structure_type) == ("RockSalt_NaCl", "AB_cF8_225_a_b")
    assert salt.distance < 1e-5
    assert (nitride.nearest, nitride.structure_type) == ("Wurtzite_ZnS", "AB_hP4_186_b_b")
    assert 1e-3 < nitride.distance < NEAR
    assert not new.is_duplicate
    refuse_duplicates([new])
    with pytest.raises(CrysiftError, match=r"magnesia is 0\.000 from RockSalt_NaCl.*nitride.*Wurtzite"):
        refuse_duplicates([salt, nitride, new])


def test_new_classes_are_compared_with_each_other() -> None:
    anti = prototype("anti", "Fm-3m", Lattice.cubic(4.6), ["O", "Li"], [[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]])
    first, second = nearest_classes([fluorite(), anti], KNOWN, SoapSettings())
    assert first.nearest != "anti"
    assert second.nearest == "fluorite"
    assert second.is_duplicate


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Cu2ZnSiS4", "Cu2CdGeS4", "ABC2D4_oP16_31_a_a_b_2ab"),
        ("fcc_Cu_A_cF4_225_a", "bctIn_In_A_tI2_139_a", None),  # alike, but of two space groups
        ("bctIn_In_A_tI2_139_a", "bctAlphaPa_Pa_A_tI2_139_a", None),  # isopointal, but of other shape
        ("rhombBetaO_O_A_hR2_166_c", "rhombAlphaAs_As_A_hR2_166_c", None),
        ("BN", "BN", None),  # layers have no space group here
        ("CsCl", "fcc_Cu_A_cF4_225_a", None),
    ],
)
def test_structure_types_are_told_apart_by_symmetry_and_by_shape(
    one: str, other: str, expected: str | None
) -> None:
    assert same_structure_type(OF_LABEL[one], OF_LABEL[other]) == expected


def test_examples_of_a_class_are_those_that_differ(few: Model) -> None:
    same = [fluorite(("Ca", "F"), 5.46), fluorite(("Ba", "F"), 6.2), fluorite(("Ce", "O"), 5.41)]
    assert [each.example for each in addition_to(few, same).prototypes] == [1]
    many = [rutile(u) for u in np.linspace(0.29, 0.32, 3 * MAX_EXAMPLES)]
    chosen = addition_to(few, many).prototypes
    assert [each.name for each in chosen][:2] == ["rutile", "rutile#2"]
    assert len(chosen) == MAX_EXAMPLES
    np.testing.assert_array_equal(chosen[-1].positions, many[-1].positions)


def test_labels_that_cannot_be_or_are_taken_are_refused(few: Model) -> None:
    for label, words in (
        ("CsCl", "has a class 'CsCl' already"),
        ("a/b", "is no label"),
        (" ", "is no label"),
    ):
        record = {**record_of(fluorite()), "label": label}
        with pytest.raises(CrysiftError, match=words):
            addition_to(few, [prototype_of(record)])


def test_cells_that_are_too_large_and_shared_sites_are_refused(few: Model) -> None:
    crystal = Crystal.from_spacegroup("Fm-3m", Lattice.cubic(4.0), ["Cu"], [[0.0, 0.0, 0.0]]) * (5, 4, 4)
    large = prototype_from(Structure.from_pymatgen(crystal, "test", "large"), "large")
    with pytest.raises(CrysiftError, match="has 320 atoms, and a prototype at most 300"):
        addition_to(few, [large])
    alloy = Crystal(Lattice.cubic(3.0), [{"Cu": 0.5, "Au": 0.5}], [[0.0, 0.0, 0.0]])
    with pytest.raises(CrysiftError, match="partially occupied"):
        prototype_from(Structure.from_pymatgen(alloy, "test", "alloy"), "alloy")


def test_layers_without_vacuum_and_isotopes_become_prototypes(few: Model) -> None:
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 1.42, 0.0], [0.0, 1.42, 3.0]])
    cell = np.array([[2.46, 0.0, 0.0], [1.23, 2.13, 0.0], [0.0, 0.0, 0.0]])
    layer = Structure("test", "layer", ("C", "C", "D"), positions, cell, (1, 1, 0))
    made = prototype_from(layer, "layer")
    assert made.species == ("C", "C", "H")
    np.testing.assert_allclose(np.abs(made.lattice[2]), [0.0, 0.0, 18.0], atol=1e-9)
    again = prototype_of(record_of(made))
    np.testing.assert_allclose(again.positions, made.positions, atol=1e-9)
    assert len(symmetry_of(made).rotations) >= 1
    assert addition_to(few, [made]).labels == ("layer",)


def test_a_single_atom_is_refused(few: Model) -> None:
    atom = prototype_from(Structure("test", "atom", ("Cu",), np.zeros((1, 3))), "atom")
    with pytest.raises(CrysiftError, match=r"test:atom is a single atom, which has no neighbours"):
        addition_to(few, [atom])


def test_only_networks_on_vectors_can_be_extended(diffraction_model: Model) -> None:
    with pytest.raises(CrysiftError, match="of the architecture 'arise'"):
        addition_to(diffraction_model, [fluorite()])


def test_prototypes_come_back_from_their_records() -> None:
    for each in (fluorite(), OF_LABEL["BN"], OF_LABEL["zigzag_cnt_nm_6_0_0.0_4.7"]):
        again = prototype_of(record_of(each))
        np.testing.assert_allclose(again.positions, each.positions, atol=1e-9)
        np.testing.assert_array_equal(again.lattice, each.lattice)
        for name in ("label", "species", "periodic", "family", "space_group", "example"):
            assert getattr(again, name) == getattr(each, name)


def test_prototypes_of_a_model_stand_in_the_order_of_its_classes() -> None:
    examples = [{**record_of(rutile()), "example": number} for number in (1, 2)]
    of = class_prototypes(["CsCl", "rutile", "BN"], examples)
    assert [each.name for each in of] == ["CsCl", "rutile", "rutile#2", "BN"]
    hosts = defect_hosts(of)
    assert {label_of(host.structure_id) for host in hosts} == {"CsCl", "rutile", "BN"}
    assert {name_of(host.structure_id) for host in hosts} == {"CsCl", "rutile", "rutile#2", "BN"}
    assert len({each.structure_id for each in pristine_structures(of)}) == 16
    with pytest.raises(CrysiftError, match="structure of the class 'marcasite' is not known"):
        class_prototypes(["CsCl", "marcasite"])


def test_an_addition_names_its_classes_once(few: Model) -> None:
    addition = addition_to(few, [rutile(0.29), rutile(0.32), fluorite()])
    assert isinstance(addition, Addition)
    assert addition.labels == ("rutile", "fluorite")
    assert [near.label for near in addition.neighbors] == ["rutile", "fluorite"]
