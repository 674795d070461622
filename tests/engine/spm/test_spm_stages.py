"""Boxes through both stages: every box is a row, and the tables say where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from engine.errors import CrysiftError
from engine.execution import execute, plan_stage
from engine.schema import STATUS_OK, STATUS_SPARSE
from engine.spm import (
    AtomsTable,
    BoxSoapStage,
    Frame,
    Grid,
    GridSettings,
    SoapMode,
    boxes_table,
    parts_of_blocks,
    write_boxes,
)
from engine.store import Store, Table
from models.stage import PredictBoxes

FCC, L12 = "fcc_Cu_A_cF4_225_a", "L12_Cu3Au"


@pytest.fixture
def atoms(tmp_path: Path) -> AtomsTable:
    """Two frames of a copper crystal; in the second one an end is gone."""
    positions = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((10, 6, 6)).positions
    frames = [
        Frame(kept, np.zeros(len(kept), np.uint8), ("Cu",))
        for kept in (positions, positions[positions[:, 0] < 20.0])
    ]
    return AtomsTable.write(Store.open(tmp_path / "store", create=True), "copper", frames)


def described(tmp_path: Path, atoms: AtomsTable, mode: SoapMode) -> tuple[Table, Grid]:
    """The table of descriptors of boxes."""
    store = Store.open(tmp_path / "store", create=True)
    grid = Grid.over(*atoms.bounds, GridSettings(stride=(6.0,) * 3, box=14.0))
    boxes = boxes_table(store, atoms, grid, {})
    write_boxes(boxes, grid, atoms.name, parts_of_blocks([atoms.frame(0), atoms.frame(1)], grid, mode))
    plan = plan_stage(store, BoxSoapStage(atoms, grid, mode=mode), "inline", source=boxes)
    execute(plan)
    return plan.target, grid


@pytest.mark.parametrize("mode", ["exact", "shared"])
def test_every_box_of_every_frame_is_classified_or_sparse(
    tmp_path: Path, atoms: AtomsTable, mode: SoapMode
) -> None:
    soap, grid = described(tmp_path, atoms, mode)
    store = Store.open(tmp_path / "store")
    stage = PredictBoxes(grid=grid, passes=50, classes=(L12, FCC))
    plan = plan_stage(store, stage, "inline", source=soap)
    finished = execute(plan)
    assert (finished.rows, finished.failed) == (2 * grid.n_boxes, 0)
    rows = plan.target.scan().to_table().to_pylist()
    assert {row["status"] for row in rows} == {STATUS_OK, STATUS_SPARSE}
    for row in rows:
        place = np.array([[row["ix"], row["iy"], row["iz"]]])
        np.testing.assert_allclose(row["center"], grid.centers(place)[0])
        assert row["structure_id"] == f"copper/{row['frame']}/{row['ix']},{row['iy']},{row['iz']}"
        assert (row["status"] == STATUS_SPARSE) == (row["n_atoms"] < 20)
        if row["status"] == STATUS_SPARSE:
            assert row["mutual_information"] is None
            assert row["error_message"] is None
        else:
            asked = {each["prototype"]: each["probability"] for each in row["requested"]}
            assert list(asked) == [L12, FCC]
            likely = {each["prototype"]: each["probability"] for each in row["top"]}
            assert asked[FCC] == pytest.approx(likely.get(FCC, asked[FCC]))
    whole = [row for row in rows if row["n_atoms"] > 200]
    assert len(whole) > 10
    assert {row["prototype"] for row in whole} == {FCC}
    assert not any(row["n_atoms"] for row in rows if row["frame"] == 1 and row["center"][0] > 28.0)


def test_the_footer_of_a_grid_tells_its_geometry(tmp_path: Path, atoms: AtomsTable) -> None:
    soap, grid = described(tmp_path, atoms, "exact")
    plan = plan_stage(
        Store.open(tmp_path / "store"), PredictBoxes(grid=grid, passes=2), "inline", source=soap
    )
    execute(plan)
    [part, *_] = sorted(plan.target.part_names())
    assert Grid.from_json(plan.target.footer(part).fingerprint.settings) == grid


def test_unknown_classes_are_refused_with_names_like_them(tmp_path: Path, atoms: AtomsTable) -> None:
    grid = Grid.over(*atoms.bounds, GridSettings())
    with pytest.raises(CrysiftError, match=r"no prototype 'L12'; names like it: L12_Cu3Au"):
        PredictBoxes(grid=grid, classes=("L12",))
