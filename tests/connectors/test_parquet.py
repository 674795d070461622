from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import open_source
from connectors.parquet import ParquetConnector
from engine.errors import CrysiftError
from engine.ingest import ingest
from engine.store import Store
from engine.structure import Structure, candidates_table, structures_in, structures_table
from engine.validation import StructureLimits


def write(path: Path, n_rows: int, first: int = 0, row_group_size: int = 4096) -> pa.Table:
    """Write sodium crystals whose names count up."""
    cell, site = np.eye(3) * 4.0, np.zeros((1, 3))
    names = [str(first + i) for i in range(n_rows)]
    table = candidates_table(Structure("db", name, ("Na",), site, cell, (1, 1, 1)) for name in names)
    pq.write_table(table, path, row_group_size=row_group_size)
    return table


def test_pages_cover_every_row_once_and_in_order(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 2500, row_group_size=2000)
    write(tmp_path / "b.parquet", 10, first=2500)
    connector = open_source(str(tmp_path))
    names = [name for page in connector.pages() for name in connector.read(page)[0]["source_id"].to_pylist()]
    assert names == [str(i) for i in range(2510)]
    assert [len(connector.read(page)[0]) for page in connector.pages()] == [1024, 976, 500, 10]


def test_pages_are_bounded_in_predicted_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.parquet", 50)
    monkeypatch.setattr("connectors.parquet.PAGE_PAIRS", 1000.0)  # ten sites of one species
    connector = open_source(str(tmp_path / "a.parquet"))
    assert [len(connector.read(page)[0]) for page in connector.pages()] == [10] * 5


def test_page_keys_follow_the_content_and_not_the_name(tmp_path: Path) -> None:
    table = write(tmp_path / "a.parquet", 5)
    keys = [page.key for page in ParquetConnector([tmp_path / "a.parquet"]).pages()]
    (tmp_path / "a.parquet").rename(tmp_path / "b.parquet")
    assert [page.key for page in ParquetConnector([tmp_path / "b.parquet"]).pages()] == keys
    pq.write_table(table.slice(1), tmp_path / "b.parquet")
    assert [page.key for page in ParquetConnector([tmp_path / "b.parquet"]).pages()] != keys


def test_columns_that_are_not_of_the_table_are_not_read(tmp_path: Path) -> None:
    table = write(tmp_path / "a.parquet", 3).append_column("energy", pa.array([1.0, 2.0, 3.0]))
    pq.write_table(table, tmp_path / "a.parquet")
    connector = open_source(str(tmp_path / "*.parquet"))
    assert "energy" not in connector.read(next(iter(connector.pages())))[0].column_names


def test_files_that_are_no_tables_of_structures_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CrysiftError, match=r"a\.parquet is not a readable Parquet file"):
        list(open_source(str(tmp_path / "a.parquet")).pages())
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(CrysiftError, match=r"a\.parquet: the table has no column 'source'"):
        list(open_source(str(tmp_path / "a.parquet")).pages())


def test_a_stores_own_structures_can_be_ingested_again(tmp_path: Path) -> None:
    cell = np.eye(3) * 4.0
    table = structures_table([Structure("db", "1", ("Na",), np.zeros((1, 3)), cell, (1, 1, 1))])
    pq.write_table(table, tmp_path / "whole.parquet")
    store = Store.open(tmp_path / "store", create=True)
    ingest(open_source(str(tmp_path / "whole.parquet")), store, StructureLimits())
    assert store.structures.scan().to_table().equals(table)


def test_what_is_stored_is_what_was_read_on_every_page(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    structures = []
    for i in range(2500):
        n_sites = int(random.integers(1, 5))
        positions, cell = random.uniform(0, 9, (n_sites, 3)), np.eye(3) * random.uniform(9, 99)
        radius = 0.05 if i % 7 == 3 else 1.0  # every seventh row has coincident atoms
        positions = np.vstack([positions, positions[:1] + np.array([radius, 0, 0])])
        structures.append(Structure("db", str(i), ("Na",) * (n_sites + 1), positions, cell, (1, 1, 1)))
    pq.write_table(candidates_table(structures), tmp_path / "a.parquet", row_group_size=1500)
    store = Store.open(tmp_path / "store", create=True)
    summary = ingest(open_source(str(tmp_path / "a.parquet")), store, StructureLimits())
    assert summary.rows + summary.rejected == 2500
    rejected = set(store.rejects.scan().to_table()["source_id"].to_pylist())
    assert rejected == {str(i) for i in range(3, 2500, 7)}
    expected = {s.source_id: s.content_hash for s in structures if s.source_id not in rejected}
    table = store.structures.scan().to_table()
    assert (
        dict(zip(table["source_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True)) == expected
    )
    assert {s.source_id: s.content_hash for s in structures_in(table)} == expected


def test_the_shared_database_is_read_from_a_subset_of_the_columns(shared_data: Path) -> None:
    connector = open_source(str(shared_data / "mp"))
    rows = [page.payload.stop - page.payload.start for page in connector.pages()]
    assert sum(rows) == 51_488
    assert max(rows) <= 1024
