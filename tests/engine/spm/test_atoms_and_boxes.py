"""Atoms in bricks, and boxes in blocks: nothing is lost, nothing is there twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import CrysiftError
from engine.spm import (
    AtomsTable,
    Frame,
    Grid,
    GridSettings,
    blocks,
    boxes_table,
    parts_of_blocks,
    write_boxes,
)
from engine.spm import atoms as atoms_module
from engine.spm.boxes import BOXES_PER_BLOCK, atoms_in_boxes, predicted_pairs
from engine.spm.settings import SoapMode
from engine.store import Store


@pytest.fixture
def frames() -> list[Frame]:
    """Two frames of 900 atoms of two species, in another order of labels."""
    random = np.random.default_rng(0)
    positions = [random.uniform(-20.0, 40.0, (900, 3)) * np.array([1.0, 1.0, 0.2]) for _ in range(2)]
    species = random.integers(0, 2, 900).astype(np.uint8)
    return [Frame(positions[0], species, ("Ni", "Al")), Frame(positions[1], species, ("Al", "Ni"))]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store.open(tmp_path / "store", create=True)


def names(frame: Frame, labels: tuple[str, ...], codes: np.ndarray) -> list[str]:
    """Labels of codes."""
    return [labels[code] for code in codes]


def test_atoms_come_back_as_they_were(
    store: Store, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atoms_module, "ATOMS_PER_BRICK", 50)
    table = AtomsTable.write(store, "alloy", frames)
    assert len(table.table.part_names()) > 20
    assert table.labels == ("Al", "Ni")
    for index, frame in enumerate(frames):
        found = table.frame(index)
        np.testing.assert_array_equal(found.positions, frame.positions)
        assert names(found, found.labels, found.species) == names(frame, frame.labels, frame.species)


def test_a_region_holds_exactly_the_atoms_inside(
    store: Store, frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atoms_module, "ATOMS_PER_BRICK", 50)
    monkeypatch.setattr(atoms_module, "BRICKS_HELD", 3)
    reader = AtomsTable.write(store, "alloy", frames).reader()
    random = np.random.default_rng(1)
    for _ in range(20):
        low = random.uniform(-30.0, 40.0, 3)
        high = low + random.uniform(0.0, 40.0, 3)
        expected = np.flatnonzero(((frames[1].positions >= low) & (frames[1].positions < high)).all(axis=1))
        region = reader.within(1, low, high)
        np.testing.assert_array_equal(np.sort(region.atoms), expected)
        np.testing.assert_array_equal(region.positions, frames[1].positions[region.atoms])


def test_the_same_atoms_are_written_once_and_others_refused(store: Store, frames: list[Frame]) -> None:
    first = AtomsTable.write(store, "alloy", frames)
    times = {part: first.table.folder.modified(f"{part}.parquet") for part in first.table.part_names()}
    again = AtomsTable.write(store, "alloy", frames)
    assert again.table.folder == first.table.folder
    assert {part: again.table.folder.modified(f"{part}.parquet") for part in times} == times
    with pytest.raises(CrysiftError, match="atoms: "):
        AtomsTable.write(store, "alloy", frames[:1])


@pytest.mark.parametrize(
    ("position", "words"), [([], "no atoms"), ([[0.0, np.nan, 0.0]], "atom 0 of frame 0 of odd")]
)
def test_no_atoms_and_no_places_are_refused(store: Store, position: list[list[float]], words: str) -> None:
    positions = np.array(position).reshape(-1, 3)
    with pytest.raises(CrysiftError, match=words):
        AtomsTable.write(store, "odd", [Frame(positions, np.zeros(len(positions), np.uint8), ("Fe",))])


def grid_over(frame: Frame, stride: float = 2.0, **settings: object) -> Grid:
    """A grid over a frame."""
    limits = frame.positions.min(axis=0), frame.positions.max(axis=0)
    return Grid.over(*limits, GridSettings(stride=(stride,) * 3, box=9.0, **settings))  # type: ignore[arg-type]


def test_atoms_are_counted_as_they_are_cut(frames: list[Frame]) -> None:
    grid = grid_over(frames[0])
    lows = grid.lows(grid.indices())[:, None]
    inside = (frames[0].positions >= lows) & (frames[0].positions < lows + np.array(grid.size))
    expected = inside.all(axis=2).sum(axis=1)
    np.testing.assert_array_equal(atoms_in_boxes(grid, frames[0].positions).ravel(), expected)


@pytest.mark.parametrize("mode", ["exact", "shared"])
def test_blocks_make_up_the_grid(
    frames: list[Frame], mode: SoapMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BOXES_PER_BLOCK, mode, 100)
    grid = grid_over(frames[0])
    found = blocks(grid, frames[0], mode)
    indices = np.concatenate([block.indices() for block in found])
    assert len(np.unique(indices, axis=0)) == len(indices) == grid.n_boxes
    assert max(len(block.indices()) for block in found) <= 100
    assert sum(block.cost for block in found) == pytest.approx(
        float(predicted_pairs(grid, frames[0].positions, mode).sum()), rel=1e-4
    )


def test_blocks_of_a_lopsided_structure_cost_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    dense = random.uniform(0.0, 30.0, (4000, 3))
    thin = random.uniform(0.0, 30.0, (400, 3)) + np.array([30.0, 0.0, 0.0])
    positions = np.concatenate([dense, thin])
    frame = Frame(positions, np.zeros(len(positions), np.uint8), ("Fe",))
    monkeypatch.setitem(BOXES_PER_BLOCK, "exact", 1000)
    costs = [block.cost for block in blocks(grid_over(frame, stride=1.5), frame, "exact")]
    assert len(costs) > 16
    assert max(costs) < 4.0 * np.median(costs)


def test_boxes_are_written_once_with_their_places(store: Store, frames: list[Frame]) -> None:
    atoms = AtomsTable.write(store, "alloy", frames)
    grid = Grid.over(*atoms.bounds, GridSettings(stride=(4.0,) * 3, box=9.0))
    table = boxes_table(store, atoms, grid, {})
    write_boxes(table, grid, atoms.name, parts_of_blocks(frames, grid, "exact"))
    rows = table.scan().to_table().to_pydict()
    assert len(set(rows["structure_id"])) == len(rows["structure_id"]) == 2 * grid.n_boxes
    last = rows["structure_id"].index(f"alloy/1/{','.join(str(n - 1) for n in grid.counts)}")
    np.testing.assert_allclose(rows["center"][last], grid.centers(np.array([grid.counts]) - 1)[0])
    written = table.count()
    write_boxes(table, grid, atoms.name, parts_of_blocks(frames, grid, "exact"))
    assert table.count() == written
