"""What goes wrong on the bulk route: tables of another kind, a bucket that does not answer, damaged files."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from engine.errors import CrysiftError
from engine.source import SourceInterruptedError
from tests.connectors.materials_project.conftest import Open
from tests.connectors.materials_project.reading import all_of, identifiers, pages_of, usual
from tests.servers import fault_proxy as faults
from tests.servers.fault_proxy import FaultProxy, Rule
from tests.servers.materials_project_documents import Document, summary_table
from tests.servers.materials_project_s3 import Bucket, write_table

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_a_table_without_a_needed_column_is_refused(
    bucket: Bucket, documents: list[Document], opened: Open, tmp_path: Path
) -> None:
    write_table(tmp_path, summary_table(documents).drop_columns(["builder_meta"]))
    bucket.put(tmp_path)
    with pytest.raises(CrysiftError, match=r"has no column builder_meta\.license"):
        pages_of(opened())


def test_a_table_without_versions_is_refused(bucket: Bucket, opened: Open, tmp_path: Path) -> None:
    write_deltalake(tmp_path, pa.table({"material_id": ["mp-1"]}))
    bucket.put(tmp_path)
    with pytest.raises(CrysiftError, match="is not partitioned by version"):
        pages_of(opened())


def test_no_table_is_no_reason_to_try_again(bucket: Bucket, opened: Open) -> None:
    with pytest.raises(CrysiftError, match="cannot be read") as caught:
        pages_of(opened())
    assert not isinstance(caught.value, SourceInterruptedError)
    assert "\x1b" not in str(caught.value)


def test_no_bucket_is_no_reason_to_try_again(
    opened: Open, monkeypatch: pytest.MonkeyPatch, bucket: Bucket
) -> None:
    monkeypatch.setattr(
        "connectors.materials_project.table.ADDRESS", "s3://another-bucket/collections/summary/"
    )
    with pytest.raises(CrysiftError, match=r"NoSuchBucket.*AWS_ENDPOINT_URL") as caught:
        pages_of(opened())
    assert not isinstance(caught.value, SourceInterruptedError)


def test_a_server_that_is_away_stops_the_run_resumably(
    bucket: Bucket, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(SourceInterruptedError, match="gave no answer after several attempts"):
        pages_of(opened())


PASSING = [
    faults.status(500),
    faults.status(503),
    faults.reset(),
    faults.reset(share=0.6),
    faults.HANG_UP,
    faults.CUT_OFF,
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
def test_what_passes_is_tried_again_and_what_stays_stops_the_run_resumably(
    table: Path, bucket_proxy: FaultProxy, opened: Open, fault: faults.Fault
) -> None:
    source = opened()
    pages = pages_of(source)
    bucket_proxy.follow(Rule(fault, times=1, path=".parquet"))
    assert identifiers([source.read(page) for page in pages]) == usual()
    assert bucket_proxy.log[0].fault == fault.name
    source.close()
    bucket_proxy.follow(Rule(fault, path=".parquet"))
    with pytest.raises(SourceInterruptedError, match="run the same command again"):
        source.read(pages[0])
    bucket_proxy.follow(Rule(fault, times=1))
    assert len(pages_of(opened())) == 1


def test_a_file_that_vanishes_asks_for_another_run(table: Path, bucket: Bucket, opened: Open) -> None:
    source = opened()
    pages = pages_of(source)
    (file,) = table.glob("*/*.parquet")
    bucket.remove(file.relative_to(table).as_posix())
    with pytest.raises(SourceInterruptedError, match="the table was rewritten"):
        source.read(pages[0])


def overwrite_footer(content: bytearray) -> None:
    content[-2000:-8] = b"\xff" * 1992


def overwrite_columns(content: bytearray) -> None:
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


@pytest.mark.parametrize("damage", [overwrite_footer, overwrite_columns, cut])
def test_a_damaged_file_is_named(
    table: Path, bucket: Bucket, opened: Open, damage: Callable[[bytearray], None]
) -> None:
    (file,) = table.glob("*/*.parquet")
    content = bytearray(file.read_bytes())
    damage(content)
    file.write_bytes(content)
    bucket.put(table)
    with pytest.raises(CrysiftError, match=rf"{re.escape(file.name)} is damaged") as caught:
        all_of(opened())
    assert not isinstance(caught.value, SourceInterruptedError)
    assert "mp:@VERSION" in str(caught.value)
