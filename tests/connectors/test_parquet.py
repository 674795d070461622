from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.parquet import ParquetConnector
from engine.errors import CrysiftError
from engine.ingest import ingest
from engine.source import Harvest, PageContent
from engine.store import Store
from engine.structure import Structure, candidates_table, structures_in, structures_table
from engine.validation import StructureLimits
from tests.connectors.reading import candidates, keys, opened


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
    connector = opened(str(tmp_path))
    tables = candidates(connector)
    assert [name for table in tables for name in table["source_id"].to_pylist()] == list(
        map(str, range(2510))
    )
    assert [len(table) for table in tables] == [1024, 976, 500, 10]


def test_pages_are_bounded_in_predicted_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.parquet", 50)
    monkeypatch.setattr("connectors.parquet.PAGE_PAIRS", 1000.0)  # ten sites of one species
    connector = opened(str(tmp_path / "a.parquet"))
    assert [len(table) for table in candidates(connector)] == [10] * 5


def test_pages_of_a_huge_row_group_hold_few_rows_whatever_their_order(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 20_000, row_group_size=20_000)
    connector = ParquetConnector([tmp_path / "a.parquet"])
    pages = list(connector.pages(None))
    held = []
    for page in pages:
        content = connector.read(page)
        assert content.candidates["source_id"][0].as_py() == str(page.payload.start)
        assert connector._rows
        held.append(sum(batch.num_rows for batch in connector._rows._held))
    assert max(held) <= 2 * 1024
    for page in (pages[7], pages[3], pages[12], pages[12]):  # as after a kill, or asked again
        names = connector.read(page).candidates["source_id"].to_pylist()
        assert names == [str(i) for i in range(page.payload.start, page.payload.stop)]


def test_pages_are_read_by_other_threads_while_the_next_are_found(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 5000, row_group_size=1500)
    write(tmp_path / "b.parquet", 5000, first=5000, row_group_size=5000)
    connector = opened(str(tmp_path))
    contents: list[PageContent] = []
    for page in connector.pages(None):
        thread = Thread(target=lambda page=page: contents.append(connector.read(page)))
        thread.start()
        thread.join()
    names = [name for content in contents for name in content.candidates["source_id"].to_pylist()]
    assert names == list(map(str, range(10_000)))


def test_nothing_is_new_after_a_passage(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", 3)
    done = Harvest(0, datetime(2026, 1, 1, tzinfo=UTC))
    assert list(opened(str(tmp_path)).pages(done)) == []


def test_page_keys_follow_the_content_and_not_the_name(tmp_path: Path) -> None:
    table = write(tmp_path / "a.parquet", 5)
    before = keys(ParquetConnector([tmp_path / "a.parquet"]))
    (tmp_path / "a.parquet").rename(tmp_path / "b.parquet")
    assert keys(ParquetConnector([tmp_path / "b.parquet"])) == before
    pq.write_table(table.slice(1), tmp_path / "b.parquet")
    assert keys(ParquetConnector([tmp_path / "b.parquet"])) != before


def test_columns_that_are_not_of_the_table_are_not_read(tmp_path: Path) -> None:
    table = write(tmp_path / "a.parquet", 3).append_column("energy", pa.array([1.0, 2.0, 3.0]))
    pq.write_table(table, tmp_path / "a.parquet")
    (read,) = candidates(opened(str(tmp_path / "*.parquet")))
    assert "energy" not in read.column_names


def test_files_that_are_no_tables_of_structures_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CrysiftError, match=r"a\.parquet is not a readable Parquet file"):
        opened(str(tmp_path / "a.parquet"))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(CrysiftError, match=r"a\.parquet: the table has no column 'source'"):
        opened(str(tmp_path / "a.parquet"))


def test_a_stores_own_structures_can_be_ingested_again(tmp_path: Path) -> None:
    cell = np.eye(3) * 4.0
    table = structures_table([Structure("db", "1", ("Na",), np.zeros((1, 3)), cell, (1, 1, 1))])
    pq.write_table(table, tmp_path / "whole.parquet")
    store = Store.open(tmp_path / "store", create=True)
    ingest(opened(str(tmp_path / "whole.parquet")), store, StructureLimits())
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
    summary = ingest(opened(str(tmp_path / "a.parquet")), store, StructureLimits())
    assert summary.total.stored + summary.total.rejected == summary.total.announced == 2500
    rejected = set(store.rejects.scan().to_table()["source_id"].to_pylist())
    assert rejected == {str(i) for i in range(3, 2500, 7)}
    expected = {s.source_id: s.content_hash for s in structures if s.source_id not in rejected}
    table = store.structures.scan().to_table()
    assert (
        dict(zip(table["source_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True)) == expected
    )
    assert {s.source_id: s.content_hash for s in structures_in(table)} == expected


def test_the_shared_database_is_read_from_a_subset_of_the_columns(shared_data: Path) -> None:
    connector = opened(str(shared_data / "mp"))
    rows = [page.payload.stop - page.payload.start for page in connector.pages(None)]
    assert sum(rows) == 51_488
    assert max(rows) <= 1024
