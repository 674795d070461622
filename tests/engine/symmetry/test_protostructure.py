"""Labels of structure types are those that crystallographers give, and do not depend on the description."""

import re
from collections import Counter
from functools import cache
from importlib import import_module

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from engine.structure import Structure
from engine.symmetry.permutations import LETTERS, permutations
from engine.symmetry.protostructure import MIRROR_IMAGES, protostructure
from engine.symmetry.wyckoff import STEPS, Integers, Operations, grid, operations, wyckoff_classes
from models.prototypes import Prototype, prototypes

Floats = NDArray[np.float64]
CUBIC = [90, 90, 90]
RUTILE = {"spacegroup": 136, "cellpar": [4.6, 4.6, 2.96, *CUBIC]}
KNOWN = {
    "AB_cF8_225_a_b": bulk("NaCl", "rocksalt", a=5.64),
    "AB_cP2_221_a_b": bulk("CsCl", "cesiumchloride", a=4.12),
    "AB_cF8_216_a_c": bulk("ZnS", "zincblende", a=5.41),
    "AB_hP4_186_b_b": bulk("ZnO", "wurtzite", a=3.25, c=5.2),
    "AB2_cF12_225_a_c": bulk("CaF2", "fluorite", a=5.46),
    "AB2_tP6_136_a_f": crystal(["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], **RUTILE),
    "ABC3_cP5_221_a_b_c": crystal(
        ["Sr", "Ti", "O"],
        [(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0)],
        spacegroup=221,
        cellpar=[3.9, 3.9, 3.9, *CUBIC],
    ),
    "A2B3_hR10_167_c_e": crystal(
        ["Al", "O"],
        [(0, 0, 0.3522), (0.3062, 0, 0.25)],
        spacegroup=167,
        cellpar=[4.76, 4.76, 12.99, 90, 90, 120],
    ),
    "AB2C4_cF56_227_a_d_e": crystal(
        ["Mg", "Al", "O"],
        [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.2624, 0.2624, 0.2624)],
        spacegroup=227,
        setting=2,
        cellpar=[8.08, 8.08, 8.08, *CUBIC],
    ),
    "AB2_hP12_194_f_ah": crystal(
        ["Mg", "Zn", "Zn"],
        [(1 / 3, 2 / 3, 0.062), (0, 0, 0), (0.83, 0.66, 0.25)],
        spacegroup=194,
        cellpar=[5.22, 5.22, 8.57, 90, 90, 120],
    ),
    "AB3_cP8_223_a_c": crystal(
        ["Si", "Cr"],
        [(0, 0, 0), (0.25, 0, 0.5)],
        spacegroup=223,
        cellpar=[4.56, 4.56, 4.56, *CUBIC],
    ),
    "AB2C2_tI10_139_a_d_e": crystal(
        ["Th", "Cr", "Si"],
        [(0, 0, 0), (0, 0.5, 0.25), (0, 0, 0.374)],
        spacegroup=139,
        cellpar=[4.04, 4.04, 10.57, *CUBIC],
    ),
}
"""As in the AFLOW encyclopedia, with the species by rising amount."""
ELEMENTS = [p for p in prototypes() if p.family == "elemental" and all(p.periodic)]
GROUPS = [2, 10, 12, 15, 16, 25, 47, 62, 82, 98, 123, 139, 152, 166, 191, 194, 198, 221]


def label(atoms: Atoms, tolerance: float = 0.1) -> str:
    return protostructure(atoms.positions, atoms.numbers, atoms.cell.array, tolerance).label


@pytest.mark.parametrize("expected", KNOWN)
def test_known_structure_types_have_their_published_labels(expected: str) -> None:
    assert label(KNOWN[expected]) == expected


@pytest.mark.parametrize("prototype", ELEMENTS, ids=lambda p: p.label)
def test_elements_have_the_labels_that_aflow_gives_them(prototype: Prototype) -> None:
    numbers = np.array([atomic_numbers[symbol] for symbol in prototype.species])
    found = protostructure(prototype.positions, numbers, prototype.lattice, 0.01)
    assert prototype.label.endswith(f"_{found.label}")
    assert found.space_group == prototype.space_group


def canonical(aflow: str) -> str:
    """The label of AFLOW with species by rising amount and the first letters of all descriptions."""
    formula, pearson, group, *sites = aflow.split("_")
    amounts = [int(amount or 1) for amount in re.findall(r"[A-Z]([0-9]*)", formula)]
    letters = [
        Counter({LETTERS.index(letter): int(n or 1) for n, letter in re.findall(r"([0-9]*)([a-zA])", site)})
        for site in sites
    ]
    number = MIRROR_IMAGES.get(int(group), int(group))
    options = []
    for permutation in permutations(number):
        renamed = [
            [(permutation[letter], n) for letter, n in sorted(site.items(), key=lambda i: permutation[i[0]])]
            for site in letters
        ]
        options.append(sorted(zip(amounts, renamed, strict=True)))
    species = min(options)
    names = (f"{name}{n if n > 1 else ''}" for name, (n, _) in zip("ABCDEFG", species, strict=False))
    occupied = ["".join(f"{n if n > 1 else ''}{LETTERS[k]}" for k, n in site) for _, site in species]
    return "_".join(["".join(names), pearson, str(number), *occupied])


def test_labels_of_the_aflow_library_are_ours_but_where_its_coordinates_have_more_symmetry() -> None:
    library = import_module("pymatgen.analysis.prototypes").AFLOW_PROTOTYPE_LIBRARY
    found = {}
    for entry in library:
        atoms = Structure.from_pymatgen(entry["snl"].structure, "", "").to_ase()
        found[entry["tags"]["aflow"]] = label(atoms, 0.01)
    assert len(library) == 288
    malformed = found.pop("sigma_tP30_136_bf2ij")
    assert malformed.startswith("AB2C4D4E4_tP30_136_")
    others = {name: ours for name, ours in found.items() if ours != canonical(name)}
    assert others == {
        "AB3_tI16_140_b_ah": "AB3_tP4_123_a_ce",
        "AB_oP8_33_a_a": "AB_oP8_62_c_c",
        "A2B_oC12_38_de_ab": "AB2_oC12_63_c_g",
    }


def test_which_element_is_where_changes_nothing() -> None:
    halite, swapped = KNOWN["AB_cF8_225_a_b"], KNOWN["AB_cF8_225_a_b"].copy()
    swapped.symbols[:] = ["Cl", "Na"]
    assert label(swapped) == label(halite)
    anti = KNOWN["AB2_cF12_225_a_c"].copy()
    anti.symbols[:] = ["O", "Li", "Li"]
    assert label(anti) == "AB2_cF12_225_a_c"


def test_mirror_images_are_of_one_type_and_keep_their_space_groups() -> None:
    right = crystal(
        ["Si", "O"],
        [(0.4697, 0, 1 / 3), (0.4133, 0.2672, 0.2145)],
        spacegroup=152,
        cellpar=[4.916, 4.916, 5.405, 90, 90, 120],
    )
    mirror = np.diag([1.0, 1.0, -1.0])
    found = [
        protostructure(right.positions @ m, right.numbers, right.cell.array @ m) for m in (np.eye(3), mirror)
    ]
    assert [each.space_group for each in found] == [152, 154]
    assert {each.label for each in found} == {"AB2_hP9_152_a_c"}


def test_atoms_may_miss_the_symmetry_by_the_tolerance() -> None:
    displaced = KNOWN["ABC3_cP5_221_a_b_c"].repeat((2, 1, 1))
    displaced.positions += np.random.default_rng(0).uniform(-0.01, 0.01, (10, 3))
    assert label(displaced) == "ABC3_cP5_221_a_b_c"
    assert label(displaced, 1e-4) == "ABC3_aP10_1_2a_2a_6a"


@cache
def _group(number: int) -> tuple[Operations, Integers]:
    """Operations, and a point of each Wyckoff position, in units of 1/24."""
    group = operations(number)
    return group, grid()[np.unique(wyckoff_classes(group), return_index=True)[1]]


def _described(number: int, chosen: list[int], free: Floats, rng: np.random.Generator) -> Atoms:
    """A crystal with one element on each position: lattice, elements, axes, origin, cell are random."""
    group, sites = _group(number)
    places = np.vstack([sites[[k % len(sites) for k in chosen]] / STEPS, free])
    lengths = rng.uniform(0.75, 1.3, 3)
    skewed = np.diag(lengths) + 0.2 * rng.normal(size=(3, 3))
    metric = (group.rotations.transpose(0, 2, 1) @ (skewed @ skewed.T) @ group.rotations).mean(axis=0)
    images = (group.rotations @ places[:, None, :, None])[..., 0] + group.translations / STEPS
    kinds = np.repeat(np.arange(len(places)), len(group.rotations))
    fractional = images.reshape(-1, 3) % 1.0 % (1 - 1e-9)
    _, first = np.unique(np.c_[kinds, fractional.round(6)], axis=0, return_index=True)
    numbers = rng.permutation(np.arange(10, 10 + len(places)))[kinds[first]]
    lattice = 10.0 * np.linalg.cholesky(metric)
    order = rng.permutation(len(first))
    shifted = (fractional[first] + rng.random(3))[order] @ lattice
    atoms = Atoms(numbers[order], shifted, cell=lattice, pbc=True)
    sheared = np.eye(3, dtype=int)
    sheared[tuple(rng.permutation(3)[:2])] = rng.integers(-1, 2)
    atoms.set_cell(sheared @ atoms.cell.array)
    if len(atoms) < 60:
        atoms = atoms.repeat(rng.integers(1, 3, 3))
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    atoms.set_cell(atoms.cell.array @ turn)
    atoms.positions = atoms.positions @ turn
    return atoms


@settings(max_examples=40)
@given(
    number=st.sampled_from(GROUPS),
    chosen=st.lists(st.integers(0, 26), min_size=1, max_size=4, unique=True),
    free=st.integers(0, 1),
    seed=st.integers(0, 2**31),
)
def test_a_label_depends_neither_on_axes_origin_cell_orientation_elements_nor_lengths(
    number: int, chosen: list[int], free: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sites = rng.random((free, 3))
    first, second = (_described(number, chosen, sites, rng) for _ in range(2))
    assert label(first, 1e-3) == label(second, 1e-3)
