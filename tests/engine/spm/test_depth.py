"""Where boxes lie in a particle: a ball and a slab, whose depths are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.spm import AtomsTable, Frame, Grid, GridSettings
from engine.spm import atoms as atoms_module
from engine.spm.depth import bricks, center_distances, center_of_mass, surface_depths
from engine.store import Store


def lattice(counts: tuple[int, int, int], spacing: float = 2.5) -> np.ndarray:
    return spacing * np.indices(counts).reshape(3, -1).T.astype(np.float64)


def write(folder: Path, positions: np.ndarray, species: np.ndarray | None = None) -> AtomsTable:
    kinds = np.zeros(len(positions), np.uint8) if species is None else species
    frame = Frame(positions, kinds, ("Fe", "Pt"))
    return AtomsTable.write(Store.open(folder / "store", create=True), "particle", [frame])


def test_the_depth_in_a_ball_is_its_radius_less_the_distance_from_the_centre(tmp_path: Path) -> None:
    positions = lattice((21, 21, 21)) - 25.0
    atoms = write(tmp_path, positions[np.linalg.norm(positions, axis=1) <= 25.0] + [7.0, -3.0, 100.0])
    grid = Grid.over(*atoms.bounds, GridSettings(stride=(3.0,) * 3, box=10.0))
    center = center_of_mass(atoms, 0, {"Fe": 1.0, "Pt": 2.0})
    np.testing.assert_allclose(center, [7.0, -3.0, 100.0], atol=1e-9)
    distance, depth = center_distances(grid, center), surface_depths(atoms, 0, grid)
    deep = depth > 3.0
    assert deep.sum() > 500
    assert np.abs(depth - (25.0 - distance))[deep].max() < 2.5
    assert np.abs(np.mean(depth - (25.0 - distance), where=deep)) < 1.5
    assert (depth[distance > 29.0] < 0.0).all()


def test_a_slab_has_no_surface_along_the_axis_that_is_not_strided(tmp_path: Path) -> None:
    atoms = write(tmp_path, lattice((25, 25, 3)))
    grid = Grid.over(*atoms.bounds, GridSettings(stride=(4.0,) * 3, box=10.0))
    assert grid.counts[2] == 1
    depth = surface_depths(atoms, 0, grid)[:, :, 0]
    x, y = (grid.centers(grid.indices())[:, k].reshape(grid.counts[:2]) for k in (0, 1))
    expected = np.minimum(np.minimum(x, 60.0 - x), np.minimum(y, 60.0 - y))
    assert np.abs(depth - expected).max() < 1.5


def test_a_missing_atom_makes_no_surface_and_a_large_void_does(tmp_path: Path) -> None:
    positions = lattice((17, 17, 17))
    middle = np.array([20.0, 20.0, 20.0])
    away = np.linalg.norm(positions - middle, axis=1)
    depths = []
    for name, radius in (("vacancy", 1.0), ("void", 9.0)):
        atoms = write(tmp_path / name, positions[away > radius])
        grid = Grid.over(*atoms.bounds, GridSettings(stride=(2.0,) * 3, box=8.0))
        place = np.unravel_index(center_distances(grid, middle).argmin(), grid.counts)
        depths.append(surface_depths(atoms, 0, grid)[place])
    assert depths[0] == pytest.approx(20.0, abs=2.5)
    assert depths[1] < -4.0


def test_every_atom_is_in_one_brick_and_masses_weigh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atoms_module, "ATOMS_PER_BRICK", 30)
    random = np.random.default_rng(0)
    positions = np.vstack([random.uniform(-5, 30, (500, 3)), np.full((5, 3), 30.0)])
    species = random.integers(0, 2, 505).astype(np.uint8)
    atoms = write(tmp_path, positions, species)
    held = np.concatenate([region.atoms for region in bricks(atoms, 0)])
    assert sorted(held) == list(range(505))
    weights = np.array([56.0, 195.0])[species]
    expected = weights @ positions / weights.sum()
    np.testing.assert_allclose(center_of_mass(atoms, 0, {"Fe": 56.0, "Pt": 195.0}), expected)
