"""Nearest-neighbour distances of boxes: known crystals, and a search that goes as far as it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial import cKDTree

from engine.schema import SPM_BOXES, SPM_SPACINGS
from engine.spm import AtomsTable, Frame, Grid, GridSettings
from engine.spm import atoms as atoms_module
from engine.spm.boxes import Boxes
from engine.spm.boxes import _rows as box_rows
from engine.spm.spacings import SpacingsStage, nearest_in_frame
from engine.store import Store

A = 3.85


def ordered(corners: tuple[int, int, int, int], cells: int = 6) -> Frame:
    """An fcc crystal; `corners` are the species of the four atoms of its cell: 0 is Fe, 1 is Pt."""
    cell = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    shifts = np.indices((cells,) * 3).reshape(3, -1).T
    positions = A * (shifts[:, None] + cell[None]).reshape(-1, 3)
    return Frame(positions, np.tile(corners, len(shifts)).astype(np.uint8), ("Fe", "Pt"))


L10, L12 = ordered((0, 0, 1, 1)), ordered((0, 1, 1, 1))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def boxes(grid: Grid, name: str, frames: int = 1) -> pa.Table:
    return pa.concat_tables([box_rows(grid, name, Boxes(f, grid.indices(), 0, 1.0)) for f in range(frames)])


def pairs(row: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["center"], each["neighbor"]): each for each in row["spacings"]}


def test_distances_are_those_of_the_crystals(store: Store) -> None:
    atoms = AtomsTable.write(store, "alloy", [L10, L12])
    grid = Grid.over(*atoms.bounds, GridSettings(stride=(4.0,) * 3, box=10.0))
    found = SpacingsStage(atoms, grid, min_atoms=30).open()(boxes(grid, "alloy", 2))
    assert found.schema == SPM_SPACINGS
    rows = [row for row in found.to_pylist() if row["status"] == "ok"]
    assert len(rows) > 0.5 * len(found)
    near = A / np.sqrt(2.0)
    for row in rows:
        of_pair = pairs(row)
        fe_fe = near if row["frame"] == 0 else A
        expected = {("Fe", "Fe"): fe_fe, ("Fe", "Pt"): near, ("Pt", "Fe"): near, ("Pt", "Pt"): near}
        assert of_pair.keys() == expected.keys()
        for pair, distance in expected.items():
            assert of_pair[pair]["d_nn"] == pytest.approx(distance, abs=1e-5)
            assert of_pair[pair]["mean_nearest"] == pytest.approx(distance, abs=1e-5)
        atoms_in_box = of_pair["Fe", "Fe"]["n_centers"] + of_pair["Pt", "Pt"]["n_centers"]
        assert atoms_in_box == row["n_atoms"]
        low = np.array(row["center"]) - 5.0
        inside = ((L10.positions >= low) & (L10.positions < low + 10.0)).all(axis=1)
        assert row["n_atoms"] == inside.sum()


def test_boxes_with_few_atoms_have_no_distances(store: Store) -> None:
    far = Frame(
        np.append(L10.positions, [[60.0, 5.0, 5.0]], axis=0),
        np.append(L10.species, 0).astype(np.uint8),
        L10.labels,
    )
    atoms = AtomsTable.write(store, "alloy", [far])
    grid = Grid.over(*atoms.bounds, GridSettings(stride=(10.0,) * 3, box=10.0))
    rows = SpacingsStage(atoms, grid).open()(boxes(grid, "alloy")).to_pylist()
    sparse = [row for row in rows if row["n_atoms"] < 20]
    assert sparse
    assert all(row["status"] == "sparse" and row["spacings"] is None for row in sparse)
    assert all(row["status"] == "ok" and row["spacings"] for row in rows if row["n_atoms"] >= 20)


def test_a_block_of_boxes_does_not_change_their_distances(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atoms_module, "ATOMS_PER_BRICK", 60)
    random = np.random.default_rng(0)
    frame = Frame(random.uniform(0, 30, (900, 3)), random.integers(0, 2, 900).astype(np.uint8), ("Al", "Ni"))
    atoms = AtomsTable.write(store, "alloy", [frame])
    assert len(atoms.table.part_names()) > 8
    grid = Grid.over(*atoms.bounds, GridSettings(stride=(6.0,) * 3, box=12.0))
    measure = SpacingsStage(atoms, grid).open()
    rows = boxes(grid, "alloy")
    whole = measure(rows)
    assert pa.concat_tables([measure(rows.slice(k, 7)) for k in range(0, len(rows), 7)]).equals(whole)
    assert whole.schema.equals(SPM_SPACINGS)
    assert rows.schema.equals(SPM_BOXES)


def test_the_nearest_neighbour_is_found_however_far_it_is(store: Store) -> None:
    random = np.random.default_rng(1)
    positions = np.vstack([random.uniform(0, 12, (80, 3)), [[50.0, 6.0, 6.0]], [[52.0, 6.0, 6.0]]])
    species = np.array([0] * 80 + [1, 1], np.uint8)
    atoms = AtomsTable.write(store, "far", [Frame(positions, species, ("Al", "Ni"))])
    low, high = np.full(3, 2.0), np.full(3, 9.0)
    found = nearest_in_frame(atoms, atoms.reader(), 0, low, high)
    inside = ((positions >= low) & (positions < high)).all(axis=1)
    assert sorted(found.region.atoms) == np.flatnonzero(inside).tolist()
    own = positions[found.region.atoms]
    to_like = np.asarray(cKDTree(positions[species == 0]).query(own, k=2)[0])[:, 1]
    to_other = np.asarray(cKDTree(positions[species == 1]).query(own)[0])
    np.testing.assert_allclose(found.nearest, np.stack([to_like, to_other], axis=1), atol=1e-12)
    assert to_other.min() > 40.0
