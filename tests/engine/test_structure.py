from datetime import UTC, datetime

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Molecule
from pymatgen.core.structure import Structure as PymatgenStructure

from engine.errors import CrysiftError
from engine.species import reduced_formula
from engine.structure import Structure, structures_in, structures_table

coordinates = st.floats(min_value=-1e3, max_value=1e3, width=64)
lattices = arrays(float, (3, 3), elements=coordinates)


@st.composite
def records(draw: st.DrawFn) -> Structure:
    labels = draw(st.lists(st.sampled_from(["H", "D", "T", "C", "Fe", "Og"]), min_size=1, max_size=8))
    positions = draw(arrays(float, (len(labels), 3), elements=coordinates))
    kinds = draw(st.tuples(*[st.integers(0, 1)] * 3))
    lattice = draw(lattices if any(kinds) else st.none() | lattices)
    return Structure("test", "1", tuple(labels), positions, lattice, kinds)


@given(st.lists(records(), max_size=4))
def test_records_survive_the_table_to_the_last_bit(structures: list[Structure]) -> None:
    table = structures_table(structures)
    for before, after in zip(structures, structures_in(table), strict=True):
        assert after.species_at_sites == before.species_at_sites
        assert after.dimension_types == before.dimension_types
        assert after.positions.tobytes() == before.positions.tobytes()
        assert (after.lattice is None) == (before.lattice is None)
        assert after.cell.tobytes() == before.cell.tobytes()
        assert after.content_hash == before.content_hash
    assert table["content_hash"].to_pylist() == [s.content_hash for s in structures]


@given(records())
def test_records_survive_ase_to_the_last_bit(structure: Structure) -> None:
    after = Structure.from_ase(structure.to_ase(), "test", "1")
    assert after.species_at_sites == structure.species_at_sites
    assert after.dimension_types == structure.dimension_types
    assert after.content_hash == structure.content_hash


@pytest.mark.parametrize("name", ["NaCl", "slab", "molecule"])
def test_records_survive_pymatgen_to_rounding(name: str) -> None:
    slab = fcc111("Al", (2, 2, 3), vacuum=5.0)
    atoms = {"NaCl": bulk("NaCl", "rocksalt", a=5.64), "slab": slab, "molecule": molecule("CH3CH2OH")}[name]
    before = Structure.from_ase(atoms, "test", "1")
    after = Structure.from_pymatgen(before.to_pymatgen(), "test", "1")
    assert after.species_at_sites == before.species_at_sites
    assert after.dimension_types == before.dimension_types
    np.testing.assert_allclose(after.positions, before.positions, rtol=0, atol=1e-13)
    if before.lattice is not None and before.lattice.any():
        periodic = np.array(before.dimension_types) == 1
        np.testing.assert_array_equal(after.cell[periodic], before.cell[periodic])


def test_molecules_of_pymatgen_have_no_lattice() -> None:
    structure = Structure.from_pymatgen(Molecule(["O", "H"], np.eye(3)[:2]), "test", "1")
    assert structure.lattice is None
    assert structure.dimension_types == (0, 0, 0)


def test_shared_and_partly_vacant_sites_become_species_and_come_back() -> None:
    shared = PymatgenStructure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.25}, "O"], np.eye(3)[:2] / 2)
    before = Structure.from_pymatgen(shared, "test", "1")
    row = structures_table([before]).to_pylist()[0]
    assert row["species_at_sites"] == ["Fe0.5Ni0.25", "O"]
    assert row["species"][0]["chemical_symbols"] == ["Fe", "Ni", "vacancy"]
    assert row["species"][0]["concentration"] == [0.5, 0.25, 0.25]
    assert not row["is_ordered"]
    assert row["atomic_numbers"] is None
    assert (row["formula"], row["nelements"]) == ("Fe2NiO4", 3)
    after = next(structures_in(structures_table([before]))).to_pymatgen()
    assert [site.species for site in after] == [site.species for site in shared]
    with pytest.raises(CrysiftError, match=r"partially occupied species 'Fe0.5Ni0.25'.*use to_pymatgen"):
        before.to_ase()


def test_occupancies_that_ase_keeps_aside_are_not_lost() -> None:
    atoms = Atoms("FeO", [[0, 0, 0], [2, 0, 0]], cell=[4, 4, 4], pbc=True)
    atoms.set_array("spacegroup_kinds", np.array([0, 1]))
    atoms.info["occupancy"] = {"0": {"Fe": 0.5, "Ni": 0.5}, "1": {"O": 1.0}}
    structure = Structure.from_ase(atoms, "test", "1")
    assert structure.species_at_sites == ("Fe0.5Ni0.5", "O")
    assert structure.composition.formula == "FeNiO2"


def test_oxidation_states_are_dropped() -> None:
    ions = PymatgenStructure(Lattice.cubic(4.2), ["Na+", "Cl-"], np.eye(3)[:2] / 2)
    assert Structure.from_pymatgen(ions, "test", "1").species_at_sites == ("Na", "Cl")


def test_deuterium_keeps_its_label_and_counts_as_hydrogen() -> None:
    water = Structure("test", "1", ("O", "D", "D"), np.eye(3))
    assert water.composition.formula == "H2O"
    assert water.composition.atomic_numbers is not None
    assert water.composition.atomic_numbers.tolist() == [8, 1, 1]
    assert water.to_ase().get_masses()[1:] == pytest.approx([2.0141, 2.0141], abs=1e-4)


@pytest.mark.parametrize(
    ("amounts", "formula"),
    [
        ({"O": 6, "Ti": 3}, "O2Ti"),
        ({"Na": 1, "Cl": 1}, "ClNa"),
        ({"Fe": 4}, "Fe"),
        ({"La": 1.85, "Sr": 0.15, "Cu": 1, "O": 4}, "Cu20La37O80Sr3"),
        ({"H": 1 / 3, "O": 1}, "HO3"),
    ],
)
def test_reduced_formulas_are_alphabetical_whole_numbers(amounts: dict[str, float], formula: str) -> None:
    assert reduced_formula(amounts) == formula


def test_provenance_comes_along_and_anything_else_is_refused() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    given_facts = {"license": "CC-BY-4.0", "last_modified": moment, "quality_flags": ["unrelaxed"]}
    structure = Structure("a", "1", ("H", "H"), np.eye(3)[:2], provenance=given_facts)
    kept = next(structures_in(structures_table([structure]))).provenance
    assert {name: kept[name] for name in given_facts} == given_facts
    with pytest.raises(CrysiftError, match=r"energy.*extra_json"):
        Structure("a", "1", ("H",), np.zeros((1, 3)), provenance={"energy": -1.0})
