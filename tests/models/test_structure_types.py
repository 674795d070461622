"""Classes by their structure types."""

from dataclasses import replace

import numpy as np

from models.prototypes import prototypes
from models.structure_types import classes_by_type, structure_type
from models.weights_file import model_metadata


def test_the_label_of_a_prototype_names_its_type() -> None:
    checked = 0
    for prototype in prototypes():
        kind = structure_type(prototype)
        spelled = prototype.label.partition("_A_")[2]  # of elements: AFLOW's label stands behind the names
        if kind is not None and spelled:
            assert kind.label == f"A_{spelled}"
            checked += 1
    assert checked > 20


def test_what_has_no_cell_has_no_type() -> None:
    nanotube = next(prototype for prototype in prototypes() if not any(prototype.periodic))
    assert structure_type(nanotube) is None


def test_classes_of_one_type_are_named_together() -> None:
    classes = classes_by_type(model_metadata("arise-robust"))
    assert classes["AB_oP8_62_c_c"] == ["FeB", "MnP"]
    assert classes["A_cF4_225_a"] == ["fcc_Cu_A_cF4_225_a"]
    assert "AB2_cF12_225_a_c" not in classes


def test_a_class_has_the_type_that_its_distorted_prototype_nearly_is_of() -> None:
    classes = classes_by_type(model_metadata("arise-robust"))
    assert classes["ABC3_cP5_221_a_b_c"] == ["3_halides_cubic"]
    assert classes["ABC3_oP20_62_a_c_cd"] == ["3_halides_orthorhombic"]


def test_the_classes_of_the_diffraction_network_have_types_too() -> None:
    assert classes_by_type(model_metadata("diffraction-single")) == {
        "A_cF4_225_a": ["fcc"],
        "A_cF8_227_a": ["diamond"],
        "A_cI2_229_a": ["bcc"],
        "A_cP1_221_a": ["sc"],
    }


def test_symmetry_that_cannot_be_determined_is_no_type() -> None:
    crystal = next(prototype for prototype in prototypes() if all(prototype.periodic))
    crushed = replace(crystal, positions=np.zeros_like(crystal.positions), species=("Cu",) * 8)
    assert structure_type(replace(crushed, positions=np.zeros((8, 3)))) is None
