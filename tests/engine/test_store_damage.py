"""Promises about damaged parts: every bit counts, damage is named, and derived parts are made again."""

import pickle
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import CrysiftError
from engine.store import DamagedPartError, Fingerprint, Store, Table
from engine.store.encoding import decode_part, metadata_bytes, verify_part
from engine.store.parallel import in_parallel
from engine.store.verification import stored_parts, verify_parts
from tests.engine.test_store import FINGERPRINT, commit, rows

DECODING = (pa.ArrowException, OSError, ValueError, KeyError)
RNG = np.random.default_rng(5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def table(store: Store) -> Table:
    return store.derived(FINGERPRINT)


def file_of(table: Table, part: str = "part-a") -> Path:
    return Path(table.folder.path(f"{part}.parquet"))


def varied(count: int = 40) -> pa.Table:
    """Columns of all kinds: dictionaries, lists, structs, nulls, fixed sizes."""
    return pa.table(
        {
            "structure_id": [f"test:{index}" for index in range(count)],
            "status": ["ok", None] * (count // 2),
            "species": [[{"name": "Cu", "mass": index / 3}] * (index % 3) for index in range(count)],
            "vector": pa.array(RNG.random((count, 2)).tolist(), pa.list_(pa.float32(), 2)),
            "hash": pa.array([bytes([index]) * 8 for index in range(count)], pa.binary(8)),
        }
    )


@pytest.fixture
def committed(table: Table) -> tuple[Table, pa.Table, bytes]:
    """A part, what it holds, and its bytes."""
    content = varied()
    table.commit("part-a", content, source_part="part-a", rows_in=40, failed=0, cost=1.0, source_hash="0")
    return table, content, file_of(table).read_bytes()


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << int(RNG.integers(8))]) + data[place + 1 :]


def test_a_flipped_bit_is_found_wherever_it_is(committed: tuple[Table, pa.Table, bytes]) -> None:
    _, _, data = committed
    for place in range(len(data)):
        with pytest.raises(DECODING):
            verify_part(flipped(data, place))


def test_a_flipped_bit_never_changes_what_is_read(committed: tuple[Table, pa.Table, bytes]) -> None:
    _, content, data = committed
    noticed = 0
    for place in range(len(data)):
        try:
            read = decode_part(BytesIO(flipped(data, place)), None)
        except DECODING:
            noticed += 1
            continue
        assert read.equals(content), f"byte {place} of {len(data)}"  # fields of page headers that none reads
    assert noticed > 0.9 * len(data)


def test_a_flipped_bit_of_the_metadata_is_found_with_the_footer(
    committed: tuple[Table, pa.Table, bytes],
) -> None:
    table, _, data = committed
    for place in range(len(data) - metadata_bytes(data), len(data)):
        file_of(table).write_bytes(flipped(data, place))
        with pytest.raises(DamagedPartError):
            table.footer("part-a")


def test_a_truncated_part_is_found_with_the_footer(committed: tuple[Table, pa.Table, bytes]) -> None:
    table, _, data = committed
    for length in range(0, len(data), 3):
        file_of(table).write_bytes(data[:length])
        with pytest.raises(DamagedPartError):
            table.footer("part-a")


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"PAR1"])
def test_an_overwritten_block_is_found(committed: tuple[Table, pa.Table, bytes], fill: bytes) -> None:
    table, _, data = committed
    for start in range(0, len(data), 61):
        block = (fill * 512)[: len(data[start : start + 512])]
        file_of(table).write_bytes(data[:start] + block + data[start + 512 :])
        with pytest.raises(DECODING):
            verify_part(file_of(table).read_bytes())


def test_the_metadata_may_be_larger_than_what_is_read_at_first(table: Table) -> None:
    wide = pa.table({f"column_{index}": [index] for index in range(1000)})
    table.commit("part-a", wide, source_part="part-a", rows_in=1, failed=0, cost=1.0)
    assert metadata_bytes(file_of(table).read_bytes()) > 2**16
    assert table.footer("part-a").rows_out == 1


def test_the_error_survives_the_way_from_a_worker() -> None:
    sent = pickle.dumps(DamagedPartError("/store/map-01234567", "part-a", "too short"))
    error = pickle.loads(sent)  # noqa: S301 -- made in the line above
    assert (error.table, error.part, error.reason) == ("/store/map-01234567", "part-a", "too short")
    assert str(error).startswith("/store/map-01234567/part-a.parquet is damaged")


def test_only_the_source_gives_an_ingested_part_again(store: Store) -> None:
    for table, also in (
        (store.structures, "delete the file and run"),
        (store.rejects, "in structures and run"),
    ):
        commit(table)
        file_of(table).write_bytes(b"")
        with pytest.raises(
            DamagedPartError, match=f"{also} the same command again to ingest it anew"
        ) as error:
            table.footer("part-a")
        assert not error.value.is_derived
        with pytest.raises(ValueError, match="is not derived from another part"):
            table.discard("part-a")
        assert file_of(table).exists()


def derive(table: Table, source: Table, part: str, count: int = 10) -> None:
    content = source.footer(part).content_hash
    table.commit(part, rows(count), source_part=part, rows_in=count, failed=0, cost=1.0, source_hash=content)


@pytest.fixture
def filled(store: Store, table: Table) -> Store:
    """A store of three structures parts and what is derived from them."""
    for part in ("part-a", "part-b", "part-c"):
        commit(store.structures, part)
        derive(table, store.structures, part)
    return store


def test_damaged_derived_parts_are_reported_and_the_others_counted(filled: Store, table: Table) -> None:
    file_of(table, "part-a").write_bytes(b"")
    commit(filled.structures, "part-b", count=11)
    found = table.check_derived(filled.structures, table.part_names())
    assert found.counts.parts == 1
    assert found.unsound["part-a"] == "it does not end as a Parquet file does"
    assert found.unsound["part-b"].startswith(
        "derived from a part of structures that has since been replaced"
    )
    counts = table.count()
    assert (counts.parts, counts.damaged, counts.rows) == (2, 1, 20)
    with pytest.raises(DamagedPartError):
        table.footers(table.part_names())
    table.discard("part-a")
    assert table.footers(table.part_names()).keys() == {"part-b", "part-c"}


def test_a_damaged_source_part_stops_what_derives_from_it(filled: Store, table: Table) -> None:
    file_of(filled.structures, "part-a").write_bytes(b"PAR1")
    with pytest.raises(DamagedPartError, match=r"structures/part-a\.parquet is damaged"):
        table.check_derived(filled.structures, table.part_names())


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no part at all"])
def test_a_table_is_found_though_its_first_part_is_damaged(
    filled: Store, table: Table, content: bytes
) -> None:
    file_of(table, "part-a").write_bytes(content)
    assert [found.folder.name for found in filled.tables()] == ["structures", FINGERPRINT.folder_name]
    assert filled.latest("features_soap").fingerprint == FINGERPRINT
    with pytest.raises(CrysiftError, match=r"cutoff: 4\.0 in the store, 5\.0 asked"):
        filled.derived(Fingerprint(**{**FINGERPRINT.to_json(), "settings": {"cutoff": 5.0, "passes": 1000}}))


def test_a_table_of_nothing_but_damaged_parts_is_made_anew(filled: Store, table: Table) -> None:
    for part in table.part_names():
        file_of(table, part).write_bytes(b"")
    assert filled.existing("features_soap") == []
    assert len(filled.derived(FINGERPRINT).check_derived(filled.structures, table.part_names()).unsound) == 3


def test_verifying_finds_all_faults_of_a_store(filled: Store, table: Table) -> None:
    assert not any(verdict.fault for verdict in verify_parts(stored_parts(filled)))
    data = file_of(table, "part-a").read_bytes()
    file_of(table, "part-a").write_bytes(flipped(data, len(data) // 3))
    commit(filled.structures, "part-b", count=11)
    pq.write_table(pa.table({"a": [1]}), file_of(filled.rejects).parent.parent / "structures/part-d.parquet")
    faults = {(v.folder.name, v.part): v for v in verify_parts(stored_parts(filled)) if v.fault}
    assert faults.keys() == {
        (FINGERPRINT.folder_name, "part-a"),
        (FINGERPRINT.folder_name, "part-b"),
        ("structures", "part-d"),
    }
    assert not faults["structures", "part-d"].can_be_made_again
    for verdict in faults.values():
        if verdict.can_be_made_again:
            verdict.repair()
    assert table.part_names() == {"part-c"}


def test_what_cannot_be_read_is_told_and_never_taken_away(filled: Store, table: Table) -> None:
    unreadable = file_of(table, "part-a")
    unreadable.unlink()
    unreadable.mkdir()  # an error of the operating system, for root too
    [verdict] = [v for v in verify_parts(stored_parts(filled)) if v.fault]
    assert (verdict.part, verdict.was_read, verdict.can_be_made_again) == ("part-a", False, False)
    assert "cannot be read" in verdict.fault


def test_reading_many_parts_leaves_no_threads_behind_when_it_is_given_up() -> None:
    before = threading.active_count()
    reading = in_parallel(str.upper, [f"part-{n}" for n in range(100)], 4)
    assert next(reading) == ("part-0", "PART-0")
    assert threading.active_count() == before, "nothing is left for the collector to stop"
