from typing import Any

import numpy as np
import pytest
import torch
import xraydb
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal as spacegroup_crystal
from numpy.typing import NDArray
from pymatgen.core.structure import Structure as PymatgenStructure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from engine.descriptors.diffraction import DiffractionSettings
from engine.descriptors.diffraction.crystal import Crystal, diffracting_crystal, replications
from engine.descriptors.diffraction.detector import detector
from engine.descriptors.diffraction.pattern import GPU_PHASES, Camera, patterns
from engine.descriptors.diffraction.standard_cell import between_planes, standard_cell
from engine.errors import CrysiftError

Floats = NDArray[np.float64]
Turns = list[list[tuple[Floats, float]]]

HALF = np.sqrt(0.5)
ABOUT_X = np.array([[1.0, 0.0, 0.0], [0.0, HALF, -HALF], [0.0, HALF, HALF]])
ABOUT_Y = np.array([[HALF, 0.0, HALF], [0.0, 1.0, 0.0], [-HALF, 0.0, HALF]])
ABOUT_Z = np.array([[HALF, -HALF, 0.0], [HALF, HALF, 0.0], [0.0, 0.0, 1.0]])

CRYSTALS = {
    "fcc": bulk("Cu"),
    "diamond": bulk("Si"),
    "bcc": bulk("W"),
    "sc": bulk("Po", "sc", a=3.35),
    "rock salt": bulk("NaCl", "rocksalt", a=5.64),
    "hexagonal": bulk("Ti"),
    "orthorhombic": spacegroup_crystal(
        ["Ca", "Ti", "O", "O"],
        [(-0.005, 0.25, 0.037), (0, 0.5, 0), (0.484, 0.25, 0.019), (0.289, 0.537, 0.711)],
        spacegroup=62,
        cellpar=[5.441, 7.644, 5.381, 90, 90, 90],
    ),
    "monoclinic": spacegroup_crystal(
        ["Zr", "O", "O"],
        [(0.2754, 0.0395, 0.2083), (0.07, 0.3317, 0.3447), (0.4496, 0.7569, 0.4792)],
        spacegroup=14,
        cellpar=[5.1505, 5.2116, 5.3173, 90, 99.23, 90],
    ),
    "c-centred monoclinic": spacegroup_crystal(
        ["Ga", "Ga", "O", "O", "O"],
        [
            (0.0904, 0, 0.7948),
            (0.3414, 0, 0.6857),
            (0.1674, 0, 0.1011),
            (0.4957, 0, 0.2553),
            (0.8279, 0, 0.4365),
        ],
        spacegroup=12,
        cellpar=[12.214, 3.0371, 5.7981, 90, 103.83, 90],
    ),
    "triclinic": Atoms(
        "CuSO5", np.random.default_rng(1).random((7, 3)) * 5.0, cell=[5.1, 6.2, 7.0, 82, 107, 102], pbc=True
    ),
    "rhombohedral": bulk("Bi", "rhombohedral", a=4.75, alpha=57.2, basis=[(0.234,) * 3, (-0.234,) * 3]),
}


def diffracting(atoms: Atoms) -> Crystal:
    return diffracting_crystal(atoms.positions, atoms.numbers.astype(np.int64), atoms.cell.array)


def evaluated_directly(crystal: Crystal, channels: Turns, mask: bool) -> Floats:
    """The definition, pixel by pixel and atom by atom in double precision, with nothing of the product."""
    image = np.zeros((len(channels), 64, 64))
    for row in range(64):
        for column in range(64):
            x, y = 4e-4 * (column - 31.5), 4e-4 * (row - 31.5)
            pixels = np.hypot(x, y) / 4e-4
            if mask and not 5.0 < pixels < 30.0:
                continue
            away = np.sqrt(x * x + y * y + 0.01)
            q = 2.0 * np.pi / 0.05 * np.array([x / away, y / away, 0.1 / away - 1.0])
            s = np.linalg.norm(q) / (4.0 * np.pi)
            f = np.array([FACTORS[number](s) for number in crystal.numbers.tolist()])
            for channel, turns in enumerate(channels):
                for matrix, _ in turns:
                    amplitude = np.sum(f * np.exp(-1j * (matrix @ crystal.positions.T).T @ q))
                    image[channel, row, column] += (0.1 / away) ** 3 * abs(amplitude) ** 1.5
    brightest: float = image.max()
    return image / brightest


class _Factor:
    """A form factor that is looked up once per element: the table's own formula is slow."""

    def __init__(self, number: int) -> None:
        self._grid = np.linspace(0.0, 1.8, 20001)
        self._values = xraydb.f0(number, self._grid)

    def __call__(self, s: float | np.floating[Any]) -> float:
        return float(np.interp(s, self._grid, self._values))


FACTORS = {number: _Factor(number) for number in (11, 17, 20, 22, 8, 29)}


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("name", ["fcc", "rock salt", "orthorhombic"])
def test_a_pattern_is_the_directly_evaluated_one(name: str, mask: bool) -> None:
    crystal = diffracting(CRYSTALS[name])
    image = patterns([crystal], DiffractionSettings(mask=mask))[0].numpy()
    np.testing.assert_allclose(
        image, evaluated_directly(crystal, [[(ABOUT_X, 45.0)]], mask), atol=1e-5, rtol=0
    )


def test_three_channels_sum_both_turns_about_each_axis() -> None:
    crystal = diffracting(CRYSTALS["orthorhombic"])
    image = patterns([crystal], DiffractionSettings(channels="rgb"))[0].numpy()
    turns: Turns = [[(about, 45.0), (about.T, -45.0)] for about in (ABOUT_X, ABOUT_Y, ABOUT_Z)]
    np.testing.assert_allclose(image, evaluated_directly(crystal, turns, mask=True), atol=1e-5, rtol=0)


def test_simple_cubic_gives_the_peaks_of_its_zone() -> None:
    """Seen along [011], with unit lattice constant: reflections (h, k, −k) at tan 2θ · distance / pixel."""
    image = patterns([diffracting(CRYSTALS["sc"])], DiffractionSettings())[0, 0].numpy()
    expected = []
    for h in range(-2, 3):
        for k in range(-1, 2):
            spacing = np.sqrt(h * h + 2 * k * k)
            radius = 250.0 * np.tan(2 * np.arcsin(0.05 * spacing / 2)) if spacing else 0.0
            if 6.0 < radius < 29.0:
                expected.append((31.5 - radius * np.sqrt(2) * k / spacing, 31.5 + radius * h / spacing))
    assert len(expected) == 10
    for row, column in expected:
        around = image[round(row) - 3 : round(row) + 4, round(column) - 3 : round(column) + 4]
        found = np.unravel_index(around.argmax(), around.shape)
        distance = np.hypot(found[0] + round(row) - 3 - row, found[1] + round(column) - 3 - column)
        assert distance <= 1.0, (row, column)


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_description_of_a_crystal_does_not_matter(name: str) -> None:
    """Order, setting, origin, orientation and unit of length: the image stays."""
    random = np.random.default_rng(0)
    atoms = CRYSTALS[name]
    other = atoms.repeat((2, 1, 1))
    if name != "triclinic":  # a reduced triclinic cell may be the mirror image of the other's
        other.rotate(37.0, (1, 2, 3), rotate_cell=True)
    other.positions += random.random(3)
    other.set_cell(other.cell * 1.3, scale_atoms=True)
    other.wrap()
    other = other[random.permutation(len(other))]
    first, second = patterns([diffracting(atoms), diffracting(other)], DiffractionSettings(channels="rgb"))
    np.testing.assert_allclose(first.numpy(), second.numpy(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_standard_cell_is_that_of_pymatgen(name: str) -> None:
    atoms = CRYSTALS[name]
    ours = standard_cell(atoms.positions, atoms.numbers.astype(np.int64), atoms.cell.array)
    theirs = SpacegroupAnalyzer(
        PymatgenStructure(
            atoms.cell.array, atoms.numbers.tolist(), atoms.positions, coords_are_cartesian=True
        )
    ).get_conventional_standard_structure()
    np.testing.assert_allclose(ours.lattice, theirs.lattice.matrix, atol=1e-8)
    assert len(ours.numbers) == len(theirs)
    shifted = between_planes(theirs.frac_coords, np.array(theirs.atomic_numbers))
    for site, fractional in zip(theirs, shifted, strict=True):
        apart = ours.fractional[ours.numbers == site.specie.Z] - fractional
        assert np.abs(apart - np.round(apart)).max(axis=1).min() < 1e-5


def test_the_faces_of_a_cell_pass_between_planes() -> None:
    noisy = np.array([[1e-9, 0.5, 0.1], [1.0 - 1e-9, 0.5, 0.12], [0.4, 0.5, 0.9]])
    placed = between_planes(noisy, np.array([6, 6, 6]))
    np.testing.assert_allclose(placed[:, 0], [0.3, 0.3, 0.7], atol=1e-6)
    np.testing.assert_allclose(placed[:, 1], [0.5, 0.5, 0.5])
    np.testing.assert_allclose(placed[:, 2], [0.59, 0.61, 0.39])


def test_equally_wide_gaps_are_told_apart_by_the_atoms_and_not_by_the_origin() -> None:
    atoms, numbers = np.array([[0.0, 0.0, 0.0], [0.5, 0.1, 0.2], [0.5, 0.6, 0.7]]), np.array([6, 8, 8])
    placed = between_planes(atoms, numbers)
    moved = between_planes(np.add(atoms[::-1], [0.5, 0.3, 0.85]), numbers[::-1])
    np.testing.assert_allclose(placed, moved[::-1], atol=1e-12)


@pytest.mark.parametrize(
    ("edges", "atoms", "counts"),
    [
        ((1, 1, 1), 1, (5, 5, 5)),  # 125, and not 150
        ((1, 1, 1), 2, (4, 4, 4)),
        ((1, 1, 1), 4, (4, 3, 3)),  # 144 is nearer to 128 than 108
        ((1, 1, 1 + 1e-12), 8, (3, 3, 2)),
        ((2, 1, 1), 8, (2, 3, 3)),
        ((1, 1, 1), 200, (1, 1, 1)),
        ((1, 1, 1), 100, (1, 1, 1)),
    ],
)
def test_a_cell_is_replicated_to_about_128_atoms(
    edges: tuple[float, float, float], atoms: int, counts: tuple[int, int, int]
) -> None:
    assert tuple(replications(np.diag(edges), atoms).tolist()) == counts


def test_a_pattern_does_not_depend_on_its_batch() -> None:
    crystals = [diffracting(atoms) for atoms in CRYSTALS.values()]
    together = patterns(crystals, DiffractionSettings())
    for crystal, image in zip(crystals, together, strict=True):
        assert torch.equal(patterns([crystal], DiffractionSettings())[0], image)


def test_crystals_of_different_size_and_species_can_share_an_exposure() -> None:
    """As on a GPU, where small crystals are padded to the largest of a group."""
    crystals = [diffracting(atoms) for atoms in CRYSTALS.values()]
    camera = Camera(detector(True), torch.device("cpu"), torch.float32)
    together = camera.amplitude(crystals, 2, -45.0)
    for crystal, amplitude in zip(crystals, together, strict=True):
        alone = camera.amplitude([crystal], 2, -45.0)[0]
        assert (amplitude - alone).abs().max() < 1e-5 * alone.abs().max()


def test_exposures_take_every_crystal_once_and_stay_below_the_limit() -> None:
    camera = Camera(detector(True), torch.device("cuda"), torch.float32)
    sizes = [128, 2000, 144, 60, 1500] * 40
    exposures = list(camera.exposures(sizes))
    assert sorted(row for rows in exposures for row in rows) == list(range(200))
    assert 1 < len(exposures) < 10
    for rows in exposures:
        assert len(rows) * max(sizes[row] for row in rows) * len(detector(True).q) <= GPU_PHASES


def test_only_lengths_relative_to_the_neighbours_matter() -> None:
    crystal = diffracting(bulk("Fe"))
    assert crystal.d_nn == pytest.approx(2.87 * np.sqrt(3) / 2)
    distances = np.linalg.norm(crystal.positions - crystal.positions[0], axis=1)
    assert np.sort(distances)[1] == pytest.approx(1.0)
    assert crystal.space_group == 229


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(CrysiftError, match='"cmyk" is none of single, rgb'):
        DiffractionSettings(channels="cmyk")  # type: ignore[arg-type]
