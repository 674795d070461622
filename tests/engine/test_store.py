"""Promises of the store: whole parts or none, no mixing, and a table of every kind readable where it lies."""

import errno
import json
import multiprocessing
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import CrysiftError
from engine.store import Fingerprint, Store, Table
from tests.engine.tiny_disk import tiny_disk

FINGERPRINT = Fingerprint(
    table="features_soap",
    schema_version=1,
    revision=1,
    settings={"cutoff": 4.0, "passes": 1000},
    model=None,
    source_table="structures",
)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = str(tmp_path / "store") if request.param == "local" else f"memory://{uuid4().hex}/store"
    return Store.open(url, create=True)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def rows(count: int, start: int = 0) -> pa.Table:
    return pa.table(
        {
            "structure_id": [f"test:{start + index}" for index in range(count)],
            "status": ["ok"] * count,
            "value": pa.array([[index / 7.0, 1.0] for index in range(count)], pa.list_(pa.float32(), 2)),
        }
    )


def commit(table: Table, name: str = "part-a", count: int = 10) -> None:
    table.commit(
        name, rows(count), source_part=name, rows_in=count, failed=0, cost=float(count), source_hash="0"
    )


def test_what_is_committed_reads_back_with_its_footer(store: Store) -> None:
    table = store.derived(FINGERPRINT)
    written = table.commit(
        "part-a",
        rows(10),
        source_part="part-a",
        rows_in=10,
        failed=2,
        cost=8.0,
        source_hash="ab",
        cursor="next",
    )
    assert table.part_names() == {"part-a"}
    assert table.read("part-a") == rows(10)
    assert table.read("part-a", ["value", "structure_id"]).column_names == ["value", "structure_id"]
    footer = table.footer("part-a")
    assert footer == written
    assert (footer.rows_in, footer.rows_out, footer.failed, footer.cost) == (10, 10, 2, 8.0)
    assert (footer.source_part, footer.source_hash, footer.cursor) == ("part-a", "ab", "next")


def test_a_recomputed_part_is_byte_identical_however_it_was_chunked(local: Store) -> None:
    table = local.derived(FINGERPRINT)
    whole = rows(5000)
    chunks = pa.concat_tables([whole.slice(0, 777), whole.slice(777, 3000), whole.slice(3777)])
    files = []
    for version in (whole, chunks):
        table.commit("part-a", version, source_part="part-a", rows_in=5000, failed=0, cost=1.0)
        files.append(Path(table.folder.path("part-a.parquet")).read_bytes())
    assert files[0] == files[1]


def test_a_part_is_written_while_a_profiler_keeps_frames(local: Store) -> None:
    """As Dask's does now and then: what a frame refers to lives as long as the frame."""
    table = local.derived(FINGERPRINT)
    frames = []
    sys.setprofile(lambda frame, event, _: frames.append(frame) if event == "return" else None)
    try:
        commit(table)
    finally:
        sys.setprofile(None)
    assert "_digest" in {frame.f_code.co_name for frame in frames}
    assert table.part_names() == {"part-a"}


def test_missing_is_the_set_difference_with_the_source(store: Store) -> None:
    for name in ("part-a", "part-b", "part-c"):
        commit(store.structures, name)
    derived = store.derived(FINGERPRINT)
    commit(derived, "part-b")
    assert derived.missing(store.structures) == ["part-a", "part-c"]


def test_other_settings_are_refused_and_every_differing_field_named(store: Store) -> None:
    commit(store.derived(FINGERPRINT))
    asked = replace(
        FINGERPRINT, settings={"cutoff": 4.0, "passes": 100, "seed": 3}, revision=2, model="f" * 64
    )
    with pytest.raises(CrysiftError) as refusal:
        store.derived(asked)
    message = str(refusal.value)
    assert "passes: 1000 in the store, 100 asked" in message
    assert "seed: absent in the store, 3 asked" in message
    assert "revision: 1 in the store, 2 asked" in message
    assert "model: null in the store, ffffffffffff… asked" in message
    assert "cutoff" not in message
    assert "--add-table" in message


def test_a_setting_named_like_a_field_does_not_hide_it() -> None:
    stored = replace(FINGERPRINT, settings={"model": "small"}, model="a" * 64)
    asked = replace(stored, settings={"model": "large"}, model="b" * 64)
    assert stored.differences(asked) == [
        "model: aaaaaaaaaaaa… in the store, bbbbbbbbbbbb… asked",
        "setting model: small in the store, large asked",
    ]


def test_add_table_keeps_both_side_by_side(store: Store) -> None:
    commit(store.derived(FINGERPRINT))
    other = replace(FINGERPRINT, settings={"cutoff": 5.0, "passes": 1000})
    commit(store.derived(other, allow_new=True), count=3)
    assert {table.fingerprint.hash8 for table in store.existing("features_soap")} == {
        FINGERPRINT.hash8,
        other.hash8,
    }
    assert store.derived(FINGERPRINT).count().rows == 10
    assert store.derived(other).count().rows == 3


def test_latest_is_the_table_with_the_newest_part(local: Store) -> None:
    other = replace(FINGERPRINT, revision=2)
    for fingerprint, stamp in ((FINGERPRINT, 2_000), (other, 1_000)):
        table = local.derived(fingerprint, allow_new=True)
        commit(table)
        os.utime(table.folder.path("part-a.parquet"), (stamp, stamp))
    assert local.latest("features_soap").fingerprint == FINGERPRINT
    with pytest.raises(CrysiftError, match="holds no table predictions_arise; it holds features_soap-"):
        local.latest("predictions_arise")


def test_a_part_of_another_table_is_refused_by_part_and_field(local: Store) -> None:
    mine = local.derived(FINGERPRINT)
    commit(mine, "part-a")
    other = local.derived(replace(FINGERPRINT, settings={"cutoff": 5.0, "passes": 1000}), allow_new=True)
    commit(other, "part-b")
    Path(other.folder.path("part-b.parquet")).rename(mine.folder.path("part-b.parquet"))
    commit(local.structures, "part-b")
    with pytest.raises(CrysiftError, match=r"part-b\.parquet.*cutoff: 5.0 in the store, 4.0 asked"):
        mine.check_derived(local.structures, ["part-b"])


def test_a_part_derived_from_a_replaced_source_is_to_be_made_again(local: Store) -> None:
    commit(local.structures, "part-a")
    derived = local.derived(FINGERPRINT)
    content = local.structures.footer("part-a").content_hash
    derived.commit(
        "part-a", rows(10), source_part="part-a", rows_in=10, failed=0, cost=1.0, source_hash=content
    )
    found = derived.check_derived(local.structures, ["part-a"])
    assert (found.counts.rows, found.unsound) == (10, {})
    commit(local.structures, "part-a", count=11)
    found = derived.check_derived(local.structures, ["part-a"])
    assert found.counts.parts == 0
    assert re.match("derived from a part of structures that has since been repl", found.unsound["part-a"])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "foreign"])
def test_a_damaged_part_is_named_with_the_way_out(local: Store, damage: str) -> None:
    table = local.derived(FINGERPRINT)
    commit(table, count=5000)
    path = Path(table.folder.path("part-a.parquet"))
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[len(data) // 3] ^= 0xFF
        path.write_bytes(data)
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        pq.write_table(pa.table({"a": [1]}), path)
        with pytest.raises(CrysiftError, match="was not written by crysift"):
            table.footer("part-a")
        return
    with pytest.raises(
        CrysiftError, match=r"part-a\.parquet is damaged.*(makes it again|delete the file and run the same)"
    ):
        table.read("part-a")


def test_an_absent_part_or_column_is_named(store: Store) -> None:
    table = store.derived(FINGERPRINT)
    commit(table)
    with pytest.raises(CrysiftError, match=r"no part .*part-z"):
        table.read("part-z")
    with pytest.raises(CrysiftError, match="no column 'energy'"):
        table.read("part-a", ["energy"])


def test_a_crash_before_the_rename_leaves_the_old_part_and_no_temporary(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = local.derived(FINGERPRINT)
    commit(table)
    before = Path(table.folder.path("part-a.parquet")).read_bytes()

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="bad disk"):
        commit(table, count=20)
    assert Path(table.folder.path("part-a.parquet")).read_bytes() == before
    assert table.folder.names() == ["part-a.parquet"]


def _leave_temporary(url: str, wait: bool) -> None:
    """Be killed, or wait to be, in the middle of a commit."""

    def stop(_: object) -> None:
        if wait:
            time.sleep(600)
        os.kill(os.getpid(), 9)

    Store.open(url, create=True).structures.folder.put("part-x.parquet", b"half", stop)


def test_only_temporaries_of_dead_processes_are_swept(local: Store) -> None:
    commit(local.structures)
    context = multiprocessing.get_context("spawn")
    dead = context.Process(target=_leave_temporary, args=(local.folder.url, False))
    dead.start()
    dead.join(60)
    assert dead.exitcode == -9
    folder = local.structures.folder
    [left] = [name for name in folder.names() if name.endswith(".tmp")]
    alive = context.Process(target=_leave_temporary, args=(local.folder.url, True))
    alive.start()
    try:
        deadline = time.monotonic() + 60
        while len(folder.names()) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        [kept] = [name for name in folder.names() if name.endswith(".tmp") and name != left]
        elsewhere = kept.replace(f"~{alive.pid}-", "~1-").replace("~", "~other-host-of-", 1)
        Path(folder.path(elsewhere)).write_bytes(b"half")
        assert local.sweep() == [left]
        assert {kept, elsewhere} <= set(folder.names())
        os.utime(folder.path(elsewhere), (0, 0))
        assert local.sweep() == [elsewhere]
    finally:
        alive.kill()
        alive.join()


def test_a_full_disk_is_explained_and_leaves_no_half_part(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "tiny") as disk:
        assert_full_disk_is_explained(disk)


def assert_full_disk_is_explained(disk: Path) -> None:
    store = Store.open(disk / "store", create=True)
    table = store.derived(FINGERPRINT)
    commit(table)
    noise = pa.table({"structure_id": [os.urandom(64).hex() for _ in range(10_000)]})
    with pytest.raises(
        CrysiftError, match=r"tiny/store.* is full: [\d,]+ bytes are needed and [\d,]+ are free"
    ):
        table.commit("part-b", noise, source_part="part-b", rows_in=1, failed=0, cost=1.0)
    assert table.folder.names() == ["part-a.parquet"]
    assert table.read("part-a") == rows(10)


def test_a_scan_sees_all_parts_and_only_the_columns_asked(store: Store) -> None:
    table = store.derived(FINGERPRINT)
    commit(table, "part-a", 4)
    commit(table, "part-b", 3)
    assert table.scan().to_table().num_rows == 7
    assert table.scan(["value"]).to_table().column_names == ["value"]
    with pytest.raises(CrysiftError, match="no column 'energy'; it has structure_id"):
        table.scan(["energy"])


def test_an_empty_table_scans_with_its_schema_or_says_that_it_is_empty(store: Store) -> None:
    assert store.rejects.scan(["error_class"]).to_table().num_rows == 0
    with pytest.raises(CrysiftError, match="holds no parts yet"):
        store.derived(FINGERPRINT).scan()


@pytest.mark.parametrize("mine", ["structures/quartz.cif", "structures/mine.parquet", "runs/a/CONTCAR"])
def test_folders_that_bear_a_tables_name_do_not_make_a_store(tmp_path: Path, mine: str) -> None:
    (tmp_path / mine).parent.mkdir(parents=True)
    (tmp_path / mine).write_text("mine")
    with pytest.raises(CrysiftError, match="is no store"):
        Store.open(tmp_path, create=True)
    with pytest.raises(CrysiftError, match="there is no store at"):
        Store.open(tmp_path)


def test_a_file_that_bears_a_folders_name_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(CrysiftError, match="there is no store at"):
        Store.open(tmp_path)


def test_a_store_whose_first_write_was_killed_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "structures").mkdir()
    (tmp_path / "structures" / ".part-a.parquet~host~1-1~01234567.tmp").write_bytes(b"PAR1")
    assert Store.open(tmp_path, create=True).tables() == []


def test_a_folder_of_other_things_never_becomes_a_store(tmp_path: Path) -> None:
    with pytest.raises(CrysiftError, match="there is no store at"):
        Store.open(tmp_path / "absent", create=False)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(CrysiftError, match=r"is no store: it holds 'thesis\.tex'"):
        Store.open(tmp_path, create=True)


def test_a_run_explains_itself_and_its_summary_comes_last(store: Store) -> None:
    run = store.start_run("screen", {"passes": 10})
    run.record({"event": "StageStarted"})
    run.record({"event": "StageFinished"})
    assert "summary.json" not in run.folder.names()
    run.finish({"rows": 3})
    assert run.folder.names() == ["events.jsonl", "settings.json", "summary.json", "versions.json"]
    assert json.loads(run.folder.open("settings.json").read()) == {
        "command": "screen",
        "settings": {"passes": 10},
    }
    assert len(run.folder.open("events.jsonl").read().splitlines()) == 2
    versions = json.loads(run.folder.open("versions.json").read())
    assert versions["packages"]["pyarrow"] == pa.__version__
    assert {"python", "platform", "machine", "crysift"} <= versions.keys()


def test_equal_settings_have_one_hash_whatever_their_order_and_container() -> None:
    first = replace(FINGERPRINT, settings={"a": (1, 2), "b": 0.1})
    second = replace(FINGERPRINT, settings={"b": 0.1, "a": [1, 2]})
    assert first == second
    assert first.hash8 == second.hash8
    assert len(first.hash8) == 8
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(FINGERPRINT, settings={"cutoff": float("nan")})


def test_repeating_columns_have_dictionaries_and_doubles_have_none(local: Store) -> None:
    table = local.derived(FINGERPRINT)
    commit(table, count=5000)
    group = pq.ParquetFile(table.folder.path("part-a.parquet")).metadata
    assert group.num_row_groups == 2
    columns = {group.row_group(0).column(i).path_in_schema: group.row_group(0).column(i) for i in range(3)}
    assert columns["status"].has_dictionary_page
    assert not columns["value.list.element"].has_dictionary_page
    assert {column.compression for column in columns.values()} == {"ZSTD"}
