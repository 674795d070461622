"""Tables of boxes as arrays over the grid."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import CrysiftError
from engine.schema import BOX_FACTS, CANDIDATES, SCHEMA_VERSION, predictions_schema
from engine.spm.field import read_field, read_values
from engine.spm.grid import Grid
from engine.store import Fingerprint, Store, Table

GRID = Grid((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (4.0, 4.0, 4.0), (3, 2, 1), (True, True, False))
SCHEMA = predictions_schema(4, pa.float16(), BOX_FACTS).append(pa.field("requested", CANDIDATES))
Row = dict[str, Any]


def box(frame: int, ix: int, iy: int, prototype: str | None, p: float = 0.9, **more: Any) -> Row:
    """A row of `spm_grid`; the second candidate gets what the first one leaves."""
    row: Row = {"structure_id": f"s/{frame}/{ix},{iy},0", "frame": frame, "ix": ix, "iy": iy, "iz": 0}
    row |= {"level": 0, "n_atoms": 10 * ix + iy, "status": "sparse" if prototype is None else "ok"}
    if prototype is not None:
        other = "b" if prototype == "a" else "a"
        top = [{"prototype": prototype, "probability": p}, {"prototype": other, "probability": 1 - p}]
        row |= {"prototype": prototype, "probability": p, "top": top, "requested": []}
        row |= {"mutual_information": ix + 0.1 * iy, "predictive_entropy": 2.0, "ood_score": 0.5 * frame}
    return row | more


def table_of(tmp_path: Path, *parts: list[Row]) -> Table:
    fingerprint = Fingerprint("spm_grid", SCHEMA_VERSION, 1, {}, model=None, source_table="spm_soap")
    table = Store.open(tmp_path / "store", create=True).derived(fingerprint)
    for number, rows in enumerate(parts):
        content = pa.Table.from_pylist(rows, schema=SCHEMA)
        name, n = f"part-{number}", len(rows)
        table.commit(name, content, source_part=name, rows_in=n, failed=0, cost=1.0, source_hash="0")
    return table


def whole(frame: int) -> list[Row]:
    names = {(0, 0): "b", (1, 0): "a", (2, 0): None, (0, 1): "b", (1, 1): "b", (2, 1): "c"}
    return [box(frame, ix, iy, name) for (ix, iy), name in names.items()]


def test_values_stand_where_their_boxes_are(tmp_path: Path) -> None:
    first, second = whole(0), whole(1)
    field = read_field(table_of(tmp_path, second[::-1], [*first[3:], *first[:3]]), GRID)
    assert field.frames == 2
    assert field.labels == ("b", "a", "c")
    for frame in (0, 1):
        assert field.prototype[frame, :, :, 0].tolist() == [[0, 0], [1, 0], [-1, 2]]
        assert field.n_atoms[frame, :, :, 0].tolist() == [[0, 1], [10, 11], [20, 21]]
        expected = [[0.0, 0.1], [1.0, 1.1], [np.nan, 2.1]]
        np.testing.assert_allclose(field.mutual_information[frame, :, :, 0], expected, atol=1e-6)
    assert field.ood_score[:, 0, 0, 0].tolist() == [0.0, 0.5]
    assert (field.level == 0).all()
    assert field.shares == {"b": 0.6, "a": 0.2, "c": 0.2}


def test_a_class_has_a_probability_where_it_is_listed_or_asked_for(tmp_path: Path) -> None:
    rows = whole(0)
    asked = [{"prototype": "c", "probability": 0.04}, {"prototype": "never", "probability": 0.01}]
    rows[0]["requested"] = asked
    rows[1]["top"] = rows[1]["top"][:1]
    field = read_field(table_of(tmp_path, rows), GRID)
    assert set(field.probabilities) == {"a", "b", "c", "never"}
    found = {label: field.probabilities[label][0, :, :, 0] for label in field.probabilities}
    np.testing.assert_allclose(found["b"], [[0.9, 0.9], [0.0, 0.9], [np.nan, 0.0]], atol=1e-6)
    np.testing.assert_allclose(found["a"], [[0.1, 0.1], [0.9, 0.1], [np.nan, 0.1]], atol=1e-6)
    np.testing.assert_allclose(found["c"], [[0.04, 0.0], [0.0, 0.0], [np.nan, 0.9]], atol=1e-6)
    np.testing.assert_allclose(found["never"][0], [0.01, 0.0], atol=1e-6)
    with pytest.raises(KeyError):
        field.probabilities["unheard of"]


def test_boxes_left_out_by_refinement_have_the_values_of_the_nearest_in_space(tmp_path: Path) -> None:
    stride = (1.0, 2.5, 1.0)
    grid = Grid((0.0, 0.0, 0.0), stride, (4.0, 4.0, 4.0), (5, 3, 1), (True, True, False))
    evaluated = [(0, 0), (4, 0), (0, 2), (4, 2), (3, 1)]
    rows = [box(0, ix, iy, "a", level=int(ix == 3)) for ix, iy in evaluated]
    field = read_field(table_of(tmp_path, rows), grid)
    compared = 0
    for place in np.ndindex(5, 3):
        lengths = np.linalg.norm((np.array(evaluated) - place) * stride[:2], axis=1)
        nearest = evaluated[int(lengths.argmin())]
        assert field.level[0, *place, 0] == (int(place == (3, 1)) if place in evaluated else -1)
        if np.sum(lengths < lengths.min() + 1e-9) == 1:
            assert field.mutual_information[0, *place, 0] == np.float32(nearest[0] + 0.1 * nearest[1])
            compared += 1
    assert compared > 10
    assert field.classified.all()


def test_boxes_with_an_error_are_marked(tmp_path: Path) -> None:
    rows = whole(0)
    rows[2]["status"] = "failed"
    field = read_field(table_of(tmp_path, rows), GRID)
    assert np.argwhere(field.failed).tolist() == [[0, 2, 0, 0]]
    assert np.argwhere(~field.classified).tolist() == [[0, 2, 0, 0]]


def test_a_column_of_any_table_of_boxes_is_read(tmp_path: Path) -> None:
    table = table_of(tmp_path, whole(0))
    assert read_values(table, GRID, "n_atoms")[0, :, :, 0].tolist() == [[0, 1], [10, 11], [20, 21]]
    assert np.isnan(read_values(table, GRID, "probability")[0, 2, 0, 0])
    with pytest.raises(CrysiftError, match="no column 'cluster'"):
        read_values(table, GRID, "cluster")


def test_a_table_of_another_grid_is_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, [*whole(0), box(0, 3, 0, "a")])
    with pytest.raises(CrysiftError, match="the index 3 along x, where the grid has 3 boxes"):
        read_field(table, GRID)
