"""What `crysift query` sees of a store that holds several versions of a structure."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from connectors import open_sources
from engine.ingest import ingest
from engine.store import Store
from engine.structure import Structure, structures_table
from engine.validation import StructureLimits
from jobs import screen
from jobs.settings import ExecutionSettings, ScreenSettings
from jobs.views import connect, twins
from models.stage import PredictArise

FAST = ScreenSettings(execution=ExecutionSettings("inline"), models=(PredictArise(passes=20),))


def write(path: Path, **lattice_constants: float) -> Path:
    rows = [
        Structure("db", name, ("Cs", "Cl"), np.array([[0.0, 0, 0], [a / 2] * 3]), np.eye(3) * a, (1, 1, 1))
        for name, a in lattice_constants.items()
    ]
    pq.write_table(structures_table(rows), path)
    return path


def load(store: Store, path: Path) -> None:
    (connector,) = open_sources([str(path)])
    ingest(connector, store, StructureLimits())


def answers(store: Store, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connect(store).sql(sql).fetchall()]


def test_views_show_each_structure_in_its_latest_version(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    load(store, write(tmp_path / "january.parquet", a=4.0, b=4.1))
    load(store, write(tmp_path / "february.parquet", a=4.2, b=4.1, c=4.3))
    edge = "SELECT source_id, round(lattice_vectors[1][1], 1) FROM {} ORDER BY ALL"
    assert answers(store, edge.format("structures")) == [("a", 4.2), ("b", 4.1), ("c", 4.3)]
    assert answers(store, edge.format("structures_history")) == [
        ("a", 4.0),
        ("a", 4.2),
        ("b", 4.1),
        ("c", 4.3),
    ]


def test_a_screening_counts_and_reports_current_structures_only(tmp_path: Path) -> None:
    january = write(tmp_path / "january.parquet", a=4.0, b=4.1)
    february = write(tmp_path / "february.parquet", a=4.2, b=4.1)
    screen(january, tmp_path / "store", FAST)
    result = screen(february, tmp_path / "store", FAST)
    assert result.predictions(["structure_id"]).sort_by("structure_id") == pa.table(
        {"structure_id": ["db:a", "db:b"]}, schema=result.predictions(["structure_id"]).schema
    )
    assert (result.summary["rows_in"], result.summary["accounted"]) == (2, True)
    joined = "SELECT count(*) FROM predictions_arise JOIN structures USING (structure_id)"
    assert answers(result.store, joined) == [(2,)]


def test_exact_duplicates_are_counted_and_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    load(store, write(tmp_path / "one.parquet", a=4.0, b=4.0, c=4.1))
    assert answers(store, "SELECT count(*) FROM structures") == [(3,)]
    assert twins(connect(store)) == 2
