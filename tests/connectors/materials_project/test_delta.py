"""The bulk route, against an S3 server that holds a Delta table in the project's layout."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, convert_to_deltalake

from connectors.materials_project import MaterialsProjectDelta, delta
from engine.errors import CrysiftError
from engine.ingest import ingest
from engine.source import Harvest, Page
from engine.store import Store
from engine.structure import Structure, structures_in
from engine.validation import StructureLimits, validate
from tests.connectors.materials_project.conftest import COUNT, Open
from tests.connectors.materials_project.reading import all_of, identifiers, pages_of, usual
from tests.servers import fault_proxy as faults
from tests.servers.fault_proxy import FaultProxy
from tests.servers.materials_project_api import ApiServer
from tests.servers.materials_project_documents import (
    VERSION,
    Document,
    crystal,
    summary_document,
    summary_documents,
    summary_table,
)
from tests.servers.materials_project_s3 import Bucket, write_summary

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

LATER = "2025_10_01"


def test_every_material_arrives_once_as_pymatgen_has_it(table: Path, opened: Open) -> None:
    contents = all_of(opened())
    assert identifiers(contents) == usual()
    assert sum(content.announced or 0 for content in contents) == COUNT - 3
    valid, rejects = validate(contents[0].candidates, StructureLimits())
    assert len(rejects) == 0
    for found in structures_in(valid):
        made = Structure.from_pymatgen(crystal(int(found.source_id[3:])), "mp", found.source_id)
        assert found.content_hash == made.content_hash


def test_both_routes_give_the_same_rows(table: Path, api: ApiServer, opened: Open, tmp_path: Path) -> None:
    (bulk,) = all_of(opened())
    (asked,) = all_of(opened("", "nsites_min=1"))
    assert bulk.candidates.to_pylist() == asked.candidates.to_pylist()
    store = Store.open(str(tmp_path / "store"), create=True)
    assert ingest(opened(), store, StructureLimits()).brought.stored == COUNT - 3
    second = ingest(opened("", "nsites_min=1"), store, StructureLimits())
    assert (second.brought.stored, second.brought.known) == (0, COUNT - 3)


def test_restricted_and_deprecated_materials_are_asked_for(table: Path, opened: Open) -> None:
    usual_remark = (
        "37 of 40 materials of 2025.09.25 are taken; left out: 2 deprecated (--include-deprecated takes "
        "them), 1 not for commercial use, CC BY-NC (--include-nc takes them)"
    )
    assert all_of(opened())[0].remarks == (usual_remark,)
    assert set(identifiers(all_of(opened(include_nc=True)))) == {*usual(), "mp-3"}
    assert set(identifiers(all_of(opened(include_deprecated=True)))) == {*usual(), "mp-5"}
    (everything,) = all_of(opened(include_nc=True, include_deprecated=True))
    assert identifiers([everything]) == [f"mp-{number}" for number in range(1, COUNT + 1)]
    assert everything.remarks == ()
    rows = {row["source_id"]: row for row in everything.candidates.to_pylist()}
    assert rows["mp-17"]["license"] == "CC-BY-NC-4.0"
    assert rows["mp-17"]["deprecated"] is True
    assert rows["mp-1"]["license"] == "CC-BY-4.0"


def test_a_material_without_a_licence_is_not_free(bucket: Bucket, opened: Open, tmp_path: Path) -> None:
    documents = summary_documents(3)
    documents[0]["builder_meta"]["license"] = None
    documents[1]["builder_meta"] = None
    write_summary(tmp_path, documents)
    bucket.put(tmp_path)
    (content,) = all_of(opened())
    assert identifiers([content]) == ["mp-3"]
    assert "2 without a known licence (--include-nc takes them)" in content.remarks[0]
    (content,) = all_of(opened(include_nc=True))
    assert content.candidates["license"].to_pylist() == [None, None, "CC-BY-4.0"]


def test_where_nothing_is_taken_the_reason_is_told(bucket: Bucket, opened: Open, tmp_path: Path) -> None:
    documents = summary_documents(2)
    for document in documents:
        document["deprecated"] = True
    write_summary(tmp_path, documents)
    bucket.put(tmp_path)
    with pytest.raises(CrysiftError, match=r"nothing is taken of .* 2 deprecated"):
        pages_of(opened())


@pytest.fixture
def two_versions(table: Path, bucket: Bucket, documents: list[Document]) -> None:
    documents[0] = summary_document(crystal(99), 1)
    documents[2]["builder_meta"]["license"] = "BY-C"
    write_summary(table, documents, LATER)
    bucket.put(table)


def test_the_newest_version_is_taken_unless_another_is_named(two_versions: None, opened: Open) -> None:
    newest = opened()
    (content,) = all_of(newest)
    assert newest.describe()["database_version"] == LATER
    assert set(content.candidates["source_version"].to_pylist()) == {LATER}
    assert "mp-3" in identifiers([content])
    older = opened("@2025-09-25")
    (content,) = all_of(older)
    assert older.describe()["database_version"] == VERSION
    assert set(content.candidates["source_version"].to_pylist()) == {VERSION}
    assert "mp-3" not in identifiers([content])
    assert not {page.key for page in pages_of(newest)} & {page.key for page in pages_of(older)}
    with pytest.raises(CrysiftError, match=f"no database version '2024.1.1'; it has {VERSION}, {LATER}"):
        pages_of(opened("@2024.1.1"))


def test_a_new_version_brings_what_is_new_and_changed(
    two_versions: None, opened: Open, tmp_path: Path
) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    assert ingest(opened(f"@{VERSION}"), store, StructureLimits()).brought.stored == COUNT - 3
    later = ingest(opened(), store, StructureLimits())
    assert (later.brought.stored, later.brought.replaced, later.brought.known) == (2, 1, COUNT - 4)
    again = ingest(opened(), store, StructureLimits())
    assert (again.brought.pages, again.brought.entries, again.shortfall) == (0, 0, None)
    assert list(opened().pages(Harvest(0, datetime.now(UTC)))) == []


def test_pages_cut_the_rows_without_gaps(
    bucket: Bucket, documents: list[Document], opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in (documents[:11], documents[11:31], documents[31:]):
        write_summary(tmp_path, part)
    bucket.put(tmp_path)
    for rows, pairs in ((4, 1e9), (1000, 5000.0), (1, 1e9)):
        monkeypatch.setattr(delta, "PAGE_ROWS", rows)
        monkeypatch.setattr(delta, "PAGE_PAIRS", pairs)
        source = opened()
        pages = pages_of(source)
        contents = [source.read(page) for page in pages]
        assert sorted(identifiers(contents)) == sorted(usual())
        assert all(content.announced == len(content.candidates) > 0 for content in contents)
        assert max(len(content.candidates) for content in contents) <= rows
        assert len({page.key for page in pages}) == len(pages) >= 3
        assert [page.key for page in pages_of(opened())] == [page.key for page in pages]


def test_pages_may_be_read_at_a_time_and_in_any_order(
    bucket: Bucket, documents: list[Document], opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "PAGE_ROWS", 3)
    for start in range(0, COUNT, 10):
        write_summary(tmp_path, documents[start : start + 10])
    bucket.put(tmp_path)
    source = opened()
    pages = pages_of(source)
    one_by_one = [source.read(page).candidates for page in pages]
    order = np.random.default_rng(0).permutation(len(pages)).tolist()
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda i: opened_page(source, pages[i]), order))
    assert at_once == [one_by_one[i] for i in order]
    source.close()
    assert source.read(pages[0]).candidates == one_by_one[0]


def opened_page(source: Any, page: Page) -> pa.Table:
    return source.read(page).candidates


def large_documents() -> list[Document]:
    places = np.random.default_rng(0).random((6, 2000, 6))
    documents = summary_documents(6)
    for document, rows in zip(documents, places.tolist(), strict=True):
        species = [{"element": "Na", "occu": 1.0}]
        sites = [{"label": "Na", "species": species, "abc": row[:3], "xyz": row[3:]} for row in rows]
        document["structure"] = {**document["structure"], "sites": sites}
        document["nsites"] = len(sites)
    return documents


def test_only_the_columns_that_are_used_are_fetched(
    bucket: Bucket, bucket_proxy: FaultProxy, opened: Open, tmp_path: Path
) -> None:
    write_summary(tmp_path, large_documents())
    bucket.put(tmp_path)
    assert identifiers(all_of(opened())) == [f"mp-{number}" for number in range(1, 7)]
    (file,) = tmp_path.glob("*/*.parquet")
    ranges = [bytes_of(request) for request in bucket_proxy.log if file.name in request.path]
    group = pq.read_metadata(file).row_group(0)
    chunks = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert touched(chunks["structure.sites.list.item.xyz.list.item"], ranges)
    assert not touched(chunks["structure.sites.list.item.abc.list.item"], ranges)


def bytes_of(request: faults.Request) -> tuple[int, int]:
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["range"])
    assert found is not None
    return int(found[1]), int(found[2])


def touched(chunk: pq.ColumnChunkMetaData, ranges: list[tuple[int, int]]) -> bool:
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    middle = start + chunk.total_compressed_size // 2
    return any(first <= middle <= last for first, last in ranges)


def test_a_row_group_of_which_nothing_is_taken_is_not_read(
    bucket: Bucket, bucket_proxy: FaultProxy, documents: list[Document], opened: Open, tmp_path: Path
) -> None:
    write_summary(tmp_path, documents[:20])
    (first,) = tmp_path.glob("*/*.parquet")
    for document in documents[20:]:
        document["builder_meta"]["license"] = "BY-NC"
    write_summary(tmp_path, documents[20:])
    (second,) = set(tmp_path.glob("*/*.parquet")) - {first}
    bucket.put(tmp_path)
    source = opened()
    pages = pages_of(source)
    bucket_proxy.follow()
    assert len(identifiers([source.read(page) for page in pages])) == 17
    asked = {request.path.rpartition("/")[2] for request in bucket_proxy.log}
    assert first.name in asked
    assert second.name not in asked


def documents_with_strange_ones() -> list[Document]:
    documents = summary_documents(6)
    documents[0]["structure"] = None
    documents[1] = summary_document(crystal(2), 2)
    documents[1]["structure"]["sites"][0]["species"] = [
        {"element": "Na", "occu": 0.5},
        {"element": "K", "occu": 0.25},
    ]
    documents[2] = summary_document(crystal(3), 3)
    documents[2]["structure"]["sites"][1]["xyz"] = None
    documents[3] = summary_document(crystal(4), 4) | {"material_id": "../../x", "last_updated": None}
    documents[4]["material_id"] = None
    return documents


def test_strange_documents_are_structures_or_rejects(bucket: Bucket, opened: Open, tmp_path: Path) -> None:
    write_summary(tmp_path, documents_with_strange_ones())
    bucket.put(tmp_path)
    (content,) = all_of(opened())
    valid, rejects = validate(content.candidates, StructureLimits())
    assert valid["source_id"].to_pylist() == ["mp-2", "../../x", "mp-6"]
    assert rejects["source_id"].to_pylist() == ["mp-1", "mp-3", ""]
    assert rejects["error_class"].to_pylist() == ["MissingValue", "MissingValue", "MissingIdentity"]
    (shared, *_) = structures_in(valid)
    assert shared.species_at_sites[0] == "K0.25Na0.5"
    assert shared.site_species[0].amounts == {"K": 0.25, "Na": 0.5}


def rename_items(kind: pa.DataType, name: str) -> pa.DataType:
    """The type with other names for the items of lists."""
    if pa.types.is_list(kind):
        return pa.list_(pa.field(name, rename_items(kind.value_type, name)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(rename_items(field.type, name)) for field in kind])
    return kind


def test_files_of_other_writers_are_read(
    bucket: Bucket, documents: list[Document], opened: Open, tmp_path: Path
) -> None:
    table = summary_table(documents)
    names = [
        field.name for field in table.schema if not pa.types.is_map(field.type) and "dos" not in field.name
    ]
    kept = table.select([name for name in names if name not in {"bandstructure", "theoretical", "has_props"}])
    schema = pa.schema([field.with_type(rename_items(field.type, "element")) for field in kept.schema])
    path = tmp_path / f"version={VERSION}" / "spark.parquet"
    path.parent.mkdir()
    pq.write_table(kept.cast(schema), path, row_group_size=7, use_dictionary=False, compression="zstd")
    partition = DeltaTable.create(tmp_path / "unused", pa.schema([("version", pa.string())])).schema()
    convert_to_deltalake(tmp_path, partition_by=partition, partition_strategy="hive")
    bucket.put(tmp_path)
    contents = all_of(opened())
    assert len(contents) == 6
    assert identifiers(contents) == usual()
    assert contents[0].candidates["extra_json"].to_pylist()[0] == '{"energy_above_hull": 0.001}'
    valid, _ = validate(contents[0].candidates, StructureLimits())
    (found, *_) = structures_in(valid)
    assert found.content_hash == Structure.from_pymatgen(crystal(1), "mp", "mp-1").content_hash


def test_the_description_names_what_is_read(table: Path, opened: Open) -> None:
    source = opened(include_nc=True)
    assert isinstance(source, MaterialsProjectDelta)
    assert source.describe() == {
        "connector": "materials_project",
        "route": "delta",
        "table": "s3://materialsproject-build/collections/summary/",
        "database_version": VERSION,
        "include_nc": True,
        "include_deprecated": False,
    }
