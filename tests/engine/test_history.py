from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from engine.store import PartRecord, Store, Superseded
from engine.structure import Structure, structures_table


def commit(store: Store, part: str, names: Sequence[str], *, a: float, hour: int, replaced: int = 0) -> None:
    positions = np.array([[0.0, 0, 0], [a / 2] * 3])
    rows = structures_table(
        Structure("db", name, ("Cs", "Cl"), positions, np.eye(3) * a, (1, 1, 1)) for name in names
    )
    counts = {"pages": 1, "entries": len(names), "known": 0, "dropped": 0, "replaced": replaced}
    record = PartRecord(
        label=part,
        limits={},
        known_in=(),
        announced=None,
        answered_at=None,
        ingested_at=f"2026-01-01T{hour:02}:00:00+00:00",
        remarks=(),
        following=None,
        **counts,
    )
    store.structures.commit(
        part, rows, source_part=None, rows_in=len(rows), failed=0, cost=1.0, cursor=record.to_json()
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three parts, named against the order of their commits; `a` has three versions, `b` two, `c` one."""
    store = Store.open(tmp_path / "store", create=True)
    commit(store, "part-z", ["a", "b", "c"], a=4.0, hour=1)
    commit(store, "part-m", ["a", "b"], a=5.0, hour=2, replaced=2)
    commit(store, "part-a", ["a", "d"], a=6.0, hour=3, replaced=1)
    return store


def test_only_the_latest_version_of_a_structure_is_current(store: Store) -> None:
    superseded = Superseded.of(store)
    assert {part: ids.to_pylist() for part, ids in superseded.ids.items()} == {
        "part-m": ["db:a"],
        "part-z": ["db:a", "db:b"],
    }
    assert superseded.count(["part-z", "part-a"]) == 2
    assert sorted(superseded.as_table().to_pylist(), key=str) == [
        {"part": "part-m", "structure_id": "db:a"},
        {"part": "part-z", "structure_id": "db:a"},
        {"part": "part-z", "structure_id": "db:b"},
    ]


def test_history_is_dropped_from_what_is_derived_of_a_part(store: Store) -> None:
    superseded = Superseded.of(store)
    features = pa.table({"structure_id": ["db:a", "db:b", "db:c"], "vector": [1, 2, 3]})
    assert superseded.drop_from("part-z", features)["vector"].to_pylist() == [3]
    assert superseded.drop_from("part-a", features) is features


def test_a_store_without_versions_has_no_history(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    assert Superseded.of(store).as_table().num_rows == 0
    commit(store, "part-z", ["a", "b"], a=4.0, hour=1)
    assert Superseded.of(store).ids == {}
