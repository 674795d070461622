import hashlib
import struct

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase.geometry import cell_to_cellpar, cellpar_to_cell
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from engine.columns import StructureColumns
from engine.content import FRACTIONS, LENGTHS, content_hashes, species_number
from engine.lattice import completed_cells
from engine.species import Species
from engine.structure import Structure, structures_table

PERIODICITIES = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)]
seeds = st.integers(0, 2**32 - 1)
periodicities = st.sampled_from(PERIODICITIES)


def random_lattice(random: np.random.Generator) -> NDArray[np.float64]:
    return np.eye(3) * random.uniform(3.0, 9.0, 3) + random.uniform(-1.0, 1.0, (3, 3))


def steps_to_positions(
    steps: NDArray[np.float64], lattice: NDArray[np.float64], kinds: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Cartesian positions of coordinates that are given in steps of the grid."""
    periodic = np.array(kinds) == 1
    cells, _, _ = completed_cells(lattice[None], periodic[None])
    return np.asarray((steps / np.where(periodic, FRACTIONS, LENGTHS)) @ cells[0])


@st.composite
def crystals(draw: st.DrawFn, kinds: st.SearchStrategy[tuple[int, int, int]] = periodicities) -> Structure:
    """Structures with every coordinate in the middle of a step."""
    random, periodicity = np.random.default_rng(draw(seeds)), draw(kinds)
    labels = draw(st.lists(st.sampled_from(["H", "D", "C", "Fe", "Og"]), min_size=4, max_size=40))
    lattice = random_lattice(random)
    steps = random.integers(0, 10_000, (len(labels), 3)).astype(float)
    return Structure(
        "t", "1", tuple(labels), steps_to_positions(steps, lattice, periodicity), lattice, periodicity
    )


def changed(
    structure: Structure,
    positions: NDArray[np.float64] | None = None,
    lattice: NDArray[np.float64] | None = None,
    labels: tuple[str, ...] | None = None,
    kinds: tuple[int, int, int] | None = None,
) -> Structure:
    return Structure(
        "t",
        "1",
        labels or structure.species_at_sites,
        structure.positions if positions is None else positions,
        structure.lattice if lattice is None else lattice,
        kinds or structure.dimension_types,
    )


def shifted(structure: Structure, steps: NDArray[np.float64]) -> Structure:
    """Move each site by so many steps along each direction."""
    moves = steps_to_positions(steps, structure.cell, structure.dimension_types)
    return changed(structure, structure.positions + moves)


@given(crystals(), seeds)
def test_order_of_sites_does_not_matter(structure: Structure, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(structure.positions))
    labels = tuple(structure.species_at_sites[i] for i in order)
    assert (
        changed(structure, structure.positions[order], labels=labels).content_hash == structure.content_hash
    )


@given(crystals(), seeds)
def test_lattice_translations_of_single_sites_do_not_matter(structure: Structure, seed: int) -> None:
    multiples = np.random.default_rng(seed).integers(-3, 4, structure.positions.shape)
    moves = (multiples * structure.dimension_types) @ structure.cell
    assert changed(structure, structure.positions + moves).content_hash == structure.content_hash


@given(crystals(st.sampled_from(PERIODICITIES[:4])), seeds)
def test_rotations_of_what_is_periodic_in_two_or_three_directions_do_not_matter(
    structure: Structure, seed: int
) -> None:
    rotation = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    rotated = changed(structure, structure.positions @ rotation.T, structure.cell @ rotation.T)
    assert rotated.content_hash == structure.content_hash


@given(crystals(), seeds)
def test_noise_within_a_step_does_not_matter_and_the_cell_is_left_through_zero(
    structure: Structure, seed: int
) -> None:
    noise = np.random.default_rng(seed).uniform(-0.4, 0.4, structure.positions.shape)
    noise[0] = -0.4  # 1 − ε where the coordinate is 0
    origin = changed(structure, structure.positions - structure.positions[0])
    assert shifted(origin, noise).content_hash == origin.content_hash


@given(crystals(), seeds, st.integers(0, 2))
def test_moving_one_site_by_two_steps_matters(structure: Structure, seed: int, axis: int) -> None:
    steps = np.zeros(structure.positions.shape)
    steps[seed % len(steps), axis] = 2.0
    assert shifted(structure, steps).content_hash != structure.content_hash


@given(crystals(), seeds)
def test_exchanging_two_species_matters(structure: Structure, seed: int) -> None:
    labels = ("H", "Fe", *structure.species_at_sites[2:])
    exchanged = ("Fe", "H", *structure.species_at_sites[2:])
    assert changed(structure, labels=labels).content_hash != changed(structure, labels=exchanged).content_hash


@given(crystals())
def test_mirror_images_differ(structure: Structure) -> None:
    mirror = np.diag([-1.0, 1.0, 1.0])
    reflected = changed(structure, structure.positions @ mirror, structure.cell @ mirror)
    assert reflected.content_hash != structure.content_hash
    inverted = changed(structure, -structure.positions)  # the other enantiomorph, in the same cell
    assert inverted.content_hash != structure.content_hash


@given(crystals(), periodicities)
def test_another_periodicity_matters(structure: Structure, kinds: tuple[int, int, int]) -> None:
    same = kinds == structure.dimension_types
    assert (changed(structure, kinds=kinds).content_hash == structure.content_hash) == same


@given(crystals(), st.integers(0, 2), st.integers(0, 2))
def test_a_periodic_lattice_vector_matters_and_another_does_not(
    structure: Structure, vector: int, component: int
) -> None:
    lattice = structure.cell.copy()
    lattice[vector, component] *= 1.01
    same = structure.dimension_types[vector] == 0
    assert (changed(structure, lattice=lattice).content_hash == structure.content_hash) == same


@given(st.lists(crystals(), min_size=1, max_size=5))
def test_a_batch_has_the_hashes_of_its_structures(structures: list[Structure]) -> None:
    hashes = structures_table(structures)["content_hash"].to_pylist()
    assert hashes == [structure.content_hash for structure in structures]


def test_the_hash_is_of_the_documented_numbers() -> None:
    lattice = np.array([[4.0, 0, 0], [2.0, np.sqrt(12.0), 0], [0, 0, -5.5]])
    positions = np.array([[0, 0, 2.25], [3.0, np.sqrt(12.0) / 2, -1.0], [-2.0, 0, 0]])
    structure = Structure("a", "1", ("Na", "Cl", "Cl"), positions, lattice, (1, 1, 0))
    occupants = [b'[[["Na", 10000]], []]', b'[[["Cl", 10000]], []]']
    sodium, chlorine = (struct.unpack("<q", hashlib.sha256(text).digest()[:8])[0] for text in occupants)
    header = [3, 1, 1, 0, 1, 4 * 8192, 4 * 8192, 0, 0, 0, 50_400]
    sites = [
        (sodium, 0, 0, 18_432),
        (chlorine, 50_400, 50_400, -8_192),
        (chlorine, 50_400, 0, 0),
    ]
    numbers = [*header, *(number for site in sorted(sites) for number in site)]
    content = b"crysift structure 2".ljust(24, b"\0") + struct.pack(f"<{len(numbers)}q", *numbers)
    assert structure.content_hash == hashlib.sha256(content).digest()


def species(name: str, *shares: tuple[str, float], **more: tuple[float, ...]) -> Species:
    return Species(name, tuple(s for s, _ in shares), tuple(c for _, c in shares), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (species("C", ("C", 1.0)), species("X1", ("C", 1.0)), True),
        (species("C", ("C", 1.0)), species("C", ("Ti", 1.0)), False),
        (species("C", ("C", 1.0)), species("C", ("C", 1.0), mass=(12.011,)), True),
        (species("D", ("H", 1.0)), species("heavy", ("H", 1.0), mass=(2.014,)), True),
        (species("D", ("H", 1.0)), species("H", ("H", 1.0)), False),
        (species("a", ("Fe", 0.5), ("Ni", 0.5)), species("b", ("Ni", 0.50001), ("Fe", 0.5)), True),
        (species("a", ("Fe", 0.5), ("Ni", 0.5)), species("a", ("Fe", 0.4), ("Ni", 0.6)), False),
        (species("a", ("Fe", 0.5)), species("b", ("Fe", 0.5), ("vacancy", 0.5)), True),
        (species("a", ("Fe", 0.5)), species("a", ("Fe", 1.0)), False),
        (
            Species("C", ("C",), (1.0,), attached=("H",), nattached=(3,)),
            Species("C3", ("C",), (1.0,), attached=("H", "H"), nattached=(2, 1)),
            True,
        ),
        (
            Species("C", ("C",), (1.0,), attached=("H",), nattached=(3,)),
            species("C", ("C", 1.0)),
            False,
        ),
    ],
)
def test_species_count_by_what_occupies_the_sites(one: Species, other: Species, equal: bool) -> None:
    assert (species_number(one) == species_number(other)) == equal
    both = [
        Structure(
            "t", str(i), (s.name, "O"), np.eye(3)[:2], np.eye(3) * 4, (1, 1, 1), (s, Species.of_label("O"))
        )
        for i, s in enumerate((one, other))
    ]
    table = structures_table(both)
    hashes = table["content_hash"].to_pylist()
    assert (hashes[0] == hashes[1]) == equal
    assert hashes == [structure.content_hash for structure in both]


def test_degenerate_lattices_are_hashed_without_complaint() -> None:
    for lattice in (np.zeros((3, 3)), np.ones((3, 3)), np.full((3, 3), np.nan)):
        structure = Structure("t", "1", ("H", "H"), np.eye(3)[:2] * 1e300, lattice, (1, 1, 1))
        assert len(structure.content_hash) == 32


@pytest.mark.parametrize(("digits", "least"), [(8, 0.99), (6, 0.8)])
def test_copies_by_lengths_angles_and_fractions_are_recognised(
    shared_data: object, digits: int, least: float
) -> None:
    """As in CIF, where the orientation is lost and every number is rounded."""
    table = pq.read_table(f"{shared_data}/mp/part-001.parquet").slice(0, 500)
    sites = StructureColumns.from_table(table.append_column("structure_id", table["source_id"]))
    numbers = np.array([species_number(Species.of_label(label)) for label in sites.labels])[sites.species]
    positions, lattices = [], []
    for row in range(len(sites)):
        cartesian, _, lattice, _ = sites.row(row)
        fractions = np.round(cartesian @ np.linalg.inv(lattice), digits)
        lattices.append(cellpar_to_cell(np.round(cell_to_cellpar(lattice), digits)))
        positions.append(fractions @ lattices[-1])
    before = content_hashes(sites.offsets, sites.positions, sites.lattices, sites.periodic, numbers)
    after = content_hashes(
        sites.offsets, np.concatenate(positions), np.array(lattices), sites.periodic, numbers
    )
    assert len(set(before)) == len(before)
    assert np.mean([a == b for a, b in zip(before, after, strict=True)]) >= least
