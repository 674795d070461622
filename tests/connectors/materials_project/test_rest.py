"""The API route, against the Materials Project's own server."""

import logging
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import connectors.materials_project.rest
from connectors.materials_project import MaterialsProjectRest
from engine.errors import CrysiftError
from engine.ingest import ingest
from engine.source import Harvest, PageContent, SourceInterruptedError
from engine.store import Store
from engine.structure import Structure, structures_in
from engine.validation import StructureLimits, validate
from tests.connectors.materials_project.conftest import COUNT, Open
from tests.connectors.materials_project.reading import all_of, identifiers, pages_of, usual
from tests.servers import fault_proxy as faults
from tests.servers.fault_proxy import FaultProxy, Rule, Upstream, mutated
from tests.servers.materials_project_api import KEY, ApiServer, materials_project_api
from tests.servers.materials_project_documents import VERSION, Document, crystal, summary_document

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ALL = "nsites_min=1"
SUMMARY = "/materials/summary/"


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectors.materials_project.rest, "LARGEST_PAGE", 10)


@pytest.fixture
def proxy(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    with FaultProxy(Upstream(api.url.rstrip("/"))) as proxy:
        monkeypatch.setenv("MP_API_ENDPOINT", proxy.url)
        yield proxy


def test_every_material_of_a_query_arrives_once(api: ApiServer, opened: Open, small_pages: None) -> None:
    contents = all_of(opened("", ALL))
    assert identifiers(contents) == usual()
    assert [content.announced for content in contents] == [10, 10, 10, 7]
    assert all(len(content.rejects) == 0 and content.following is None for content in contents)
    assert all(request["_sort_fields"] == "material_id" for request in api.requests)


def test_the_server_applies_the_filter(api: ApiServer, opened: Open) -> None:
    contents = all_of(opened("", "elements=Na,Cl&energy_above_hull_max=0.02"))
    expected = [name for name in usual() if int(name[3:]) % 5 == 1 and int(name[3:]) <= 20]
    assert identifiers(contents) == expected


def test_structures_are_those_of_the_documents(api: ApiServer, opened: Open) -> None:
    (content,) = all_of(opened("mp-7,mp-8"))
    valid, rejects = validate(content.candidates, StructureLimits())
    assert len(rejects) == 0
    for found, number in zip(structures_in(valid), (7, 8), strict=True):
        made = Structure.from_pymatgen(crystal(number), "mp", f"mp-{number}")
        assert found.content_hash == made.content_hash


def test_structures_are_those_that_mp_api_returns(api: ApiServer, opened: Open) -> None:
    with warnings.catch_warnings(action="ignore"):
        from mp_api.client import MPRester

        with MPRester(KEY, endpoint=api.url, mute_progress_bars=True) as client:
            documents = client.materials.summary.search(
                elements=["Na"], fields=["material_id", "structure", "deprecated", "last_updated"]
            )
    (content,) = all_of(opened("", "elements=Na"))
    valid, _ = validate(content.candidates, StructureLimits())
    ours = {structure.source_id: structure for structure in structures_in(valid)}
    assert set(ours) == {str(document.material_id) for document in documents}
    for document in documents:
        found = ours[str(document.material_id)]
        made = Structure.from_pymatgen(document.structure, "mp", found.source_id)
        assert found.species_at_sites == made.species_at_sites
        assert np.allclose(found.positions, made.positions, rtol=0, atol=1e-12)
        assert np.array_equal(found.cell, made.cell)
        assert found.provenance["last_modified"] == document.last_updated
        assert found.provenance["deprecated"] == document.deprecated


def test_only_what_is_used_comes_over_the_wire(api: ApiServer, opened: Open) -> None:
    (page,) = pages_of(opened("", ALL))
    source = opened("", ALL)
    source.read(page)
    fields = api.requests[-1]["_fields"].split(",")
    assert "structure" not in fields
    assert {"structure.sites.xyz", "structure.sites.species.occu", "structure.lattice.matrix"} <= set(fields)


def test_restricted_and_deprecated_materials_are_asked_for(
    documents: list[Document], opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with materials_project_api(documents, non_commercial=True) as server:
        monkeypatch.setenv("MP_API_ENDPOINT", server.url)
        (content,) = all_of(opened("", ALL))
        assert identifiers([content]) == usual()
        assert (content.announced, content.dropped) == (COUNT - 3, 1)
        assert any("--include-nc" in remark for remark in content.remarks)
        with_nc = all_of(opened("", ALL, include_nc=True))
        assert set(identifiers(with_nc)) == {*usual(), "mp-3"}
        assert not any(content.remarks for content in with_nc)
        everything = all_of(opened("", ALL, include_nc=True, include_deprecated=True))
        assert sorted(identifiers(everything)) == sorted(f"mp-{n}" for n in range(1, COUNT + 1))
        licences = {row["source_id"]: row["license"] for page in everything for row in rows(page)}
        assert licences["mp-3"] == licences["mp-17"] == "CC-BY-NC-4.0"
        assert {row["source_id"] for page in everything for row in rows(page) if row["deprecated"]} == {
            "mp-5",
            "mp-17",
        }


def rows(content: PageContent) -> list[dict[str, Any]]:
    table: pa.Table = content.candidates.select(["source_id", "license", "deprecated"])
    return list(table.to_pylist())


def test_identifiers_that_are_not_listed_are_told(api: ApiServer, opened: Open) -> None:
    contents = all_of(opened("mp-1,mp-aaaaaaac,mp-3,mp-5,mp-4711"))
    assert identifiers(contents) == ["mp-1", "mp-2"]
    (remark,) = contents[0].remarks
    assert remark.startswith("3 of 5 materials are not listed: mp-3, mp-5, mp-4711; ")


def test_many_identifiers_go_in_several_requests(
    api: ApiServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors.materials_project.rest, "IDENTIFIERS_AT_A_TIME", 7)
    contents = all_of(opened(",".join(reversed(usual()))))
    assert sorted(identifiers(contents)) == sorted(usual())
    assert len(contents) == 6
    assert not any(content.remarks for content in contents)


@pytest.mark.parametrize("entry_filter", ["elements=Xe", "nsites_min=1000"])
def test_a_query_that_selects_nothing_is_an_error(api: ApiServer, opened: Open, entry_filter: str) -> None:
    with pytest.raises(CrysiftError, match=f"selects no material of database version {VERSION}"):
        pages_of(opened("", entry_filter))


@pytest.mark.parametrize(
    ("entry_filter", "message"),
    [
        ("colour=blue", "query parameters which cannot be used: colour"),
        ("nsites_max=many", "422"),
        ("elements=Xx", "comma-seperated list of elements"),
    ],
)
def test_a_filter_that_the_server_does_not_know_is_refused_in_its_words(
    api: ApiServer, opened: Open, entry_filter: str, message: str
) -> None:
    with pytest.raises(CrysiftError, match=message) as caught:
        pages_of(opened("", entry_filter))
    assert not isinstance(caught.value, SourceInterruptedError)


def test_pages_may_be_read_at_a_time_and_in_any_order(
    api: ApiServer, opened: Open, small_pages: None
) -> None:
    source = opened("", ALL)
    pages = pages_of(source)
    one_by_one = [source.read(page).candidates for page in pages]
    with ThreadPoolExecutor(source.concurrency) as pool:
        at_once = [content.candidates for content in pool.map(source.read, reversed(pages))]
    assert at_once[::-1] == one_by_one


def test_keys_tell_version_query_selection_and_length(
    api: ApiServer, opened: Open, small_pages: None
) -> None:
    def keys(*query: str, **flags: bool) -> set[str]:
        return {page.key for page in pages_of(opened(*query, **flags))}

    first = keys("", ALL)
    assert first == keys("", ALL)
    assert not first & keys("", "nsites_min=2")
    assert not first & keys("", ALL, include_nc=True)
    assert first < keys("", ALL, include_deprecated=True)
    api.heartbeat["db_version"] = "2025.10.01"
    assert not first & keys("", ALL)


def test_a_passage_for_changes_has_nothing_to_read(api: ApiServer, opened: Open) -> None:
    assert list(opened("", ALL).pages(Harvest(0, datetime.now(UTC)))) == []


def test_the_served_version_must_be_the_one_asked_for(api: ApiServer, opened: Open) -> None:
    assert identifiers(all_of(opened("mp-1@2025-09-25"))) == ["mp-1"]
    with pytest.raises(CrysiftError, match=rf"serves database version {VERSION} and not 2024\.11\.14"):
        pages_of(opened("mp-1@2024.11.14"))


def test_a_version_that_changes_within_a_run_stops_it(
    api: ApiServer, opened: Open, small_pages: None
) -> None:
    source = opened("", ALL)
    first, second, *_ = pages_of(source)
    assert len(source.read(first).candidates) == 10
    api.heartbeat["db_version"] = "2025.10.01"
    with pytest.raises(SourceInterruptedError, match=rf"from database version {VERSION} to 2025\.10\.01"):
        source.read(second)


def change_total(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "meta": {**document["meta"], "total_doc": document["meta"]["total_doc"] + 1}}


def change_data(change: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda document: {**document, "data": change(document["data"])}


WRONG = [
    mutated("another total", change_total),
    mutated("no total", lambda document: {**document, "meta": {}}),
    mutated("no meta", lambda document: {"data": document["data"]}),
    mutated("short page", change_data(lambda data: data[:-1])),
    mutated("empty page", change_data(lambda _: [])),
    mutated("no list", change_data(lambda _: {})),
    mutated("other order", change_data(lambda data: data[::-1])),
]


@pytest.mark.parametrize("fault", WRONG, ids=lambda fault: fault.name)
def test_an_answer_that_is_not_the_page_is_asked_for_again(
    proxy: FaultProxy, opened: Open, small_pages: None, fault: faults.Fault
) -> None:
    source = opened("", ALL)
    pages = pages_of(source)
    proxy.follow(Rule(fault, first=1, times=2, path=SUMMARY))
    assert identifiers([source.read(page) for page in pages]) == usual()
    proxy.follow(Rule(fault, path=SUMMARY))
    with pytest.raises(SourceInterruptedError, match="run the same command again"):
        source.read(pages[0])


@pytest.mark.parametrize("answer", [{}, {"db_version": None}, {"db_version": ""}])
def test_without_a_database_version_nothing_is_read(
    proxy: FaultProxy, opened: Open, answer: dict[str, Any]
) -> None:
    proxy.follow(Rule(mutated("no version", lambda _: answer), path="/heartbeat"))
    with pytest.raises(SourceInterruptedError, match="does not tell the database version"):
        pages_of(opened("", ALL))


def test_a_bad_document_loses_nothing_else(proxy: FaultProxy, opened: Open) -> None:
    def spoil(data: list[dict[str, Any]]) -> list[Any]:
        del data[0]["structure"]
        data[1]["structure"]["sites"][0]["xyz"][0] = None
        data[2]["structure"]["sites"][0]["xyz"][0] = "0.0"
        return [*data[:3], None, *data[4:]]

    proxy.follow(Rule(mutated("bad documents", change_data(spoil)), first=1, path=SUMMARY))
    (content,) = all_of(opened("", ALL))
    valid, rejects = validate(content.candidates, StructureLimits())
    assert content.entries == content.announced == COUNT - 3
    assert valid["source_id"].to_pylist() == usual()[4:]
    assert rejects["error_class"].to_pylist() == ["MissingValue", "MissingValue", "MissingIdentity"]
    assert content.rejects["source_id"].to_pylist() == ["mp-4"]


def test_the_key_is_nowhere_but_in_its_header(
    api: ApiServer,
    opened: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    source = opened("", ALL)
    assert isinstance(source, MaterialsProjectRest)
    store = Store.open(str(tmp_path / "store"), create=True)
    with caplog.at_level(logging.DEBUG):
        pages = pages_of(source)
        contents = [source.read(page) for page in pages]
        ingest(source, store, StructureLimits())
    texts = [
        repr(source),
        str(source.describe()),
        repr(pages),
        *(str(c.candidates.to_pylist()) for c in contents),
    ]
    texts += [repr(contents[0]), pickle.dumps(source).decode("latin-1")]
    texts += [record.getMessage() + repr(record.args) for record in caplog.records]
    stored = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert stored
    assert caplog.records
    assert not any(KEY in text for text in [*texts, *stored])
    assert identifiers(all_of(pickle.loads(pickle.dumps(source)))) == usual()  # noqa: S301 -- just made

    other = "ZYXWVUTSRQPONMLKJIHGFEDCBA987654"
    monkeypatch.setenv("MP_API_KEY", other)
    with caplog.at_level(logging.DEBUG), pytest.raises(CrysiftError, match=re.escape("b'***'")) as caught:
        pages_of(opened("", ALL))
    assert "401" in str(caught.value)
    texts = [text for error in chain_of(caught.value) for text in (str(error), repr(error))]
    texts += [record.getMessage() + repr(record.args) for record in caplog.records]
    assert not any(other in text or other[:12] in text for text in texts)


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_a_new_database_version_brings_what_is_new_and_changed(
    api: ApiServer,
    documents: list[Document],
    opened: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store.open(str(tmp_path / "store"), create=True)
    first = ingest(opened("", ALL), store, StructureLimits())
    assert (first.brought.stored, first.shortfall) == (COUNT - 3, None)
    again = ingest(opened("", ALL), store, StructureLimits())
    assert (again.brought.pages, again.brought.entries) == (0, 0)
    documents[0] = summary_document(crystal(99), 1)
    documents.append(summary_document(crystal(41), 41))
    with materials_project_api(documents, version="2025.10.01") as server:
        monkeypatch.setenv("MP_API_ENDPOINT", server.url)
        later = ingest(opened("", ALL), store, StructureLimits())
    assert (later.brought.stored, later.brought.replaced) == (2, 1)
    assert later.brought.known == COUNT - 4
    assert later.shortfall is None
