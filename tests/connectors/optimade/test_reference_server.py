"""The connector against the reference server of the optimade package."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest

from connectors.optimade.capabilities import FIELDS, NO_TIMES
from engine.errors import CrysiftError
from engine.source import Harvest
from engine.validation import StructureLimits, validate
from tests.connectors.optimade.harvest import Passage, connect, harvest, stored
from tests.servers.fault_proxy import FaultProxy, Upstream
from tests.servers.optimade_entries import (
    MODIFIED,
    Entry,
    by_id,
    disordered_entries,
    entries_of,
    ids,
)
from tests.servers.optimade_server import optimade_server

HOSTILE = [
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "long-" + "x" * 4091,
    'quoted"id',
    '"',
    "back\\slash",
    "backslash at the end\\",
    'x" OR id > "',
    "line\nbreak",
    " space before",
    "Kröhnkit ⁵⁶Fe 結晶",
    "percent%41+plus&amp=1;#?",
    "'; DROP TABLE structures; --",
]
ENTRIES: list[Entry] = [*entries_of([*ids(60), *HOSTILE]), *disordered_entries()]
NAMES = sorted(entry["id"] for entry in ENTRIES)
MIDDLE = MODIFIED + timedelta(hours=40)
"""When entry 40 was modified; the disordered entries are as old as the first."""


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    with optimade_server(ENTRIES, page_limit_max=15) as url, FaultProxy(Upstream(url)) as server:
        yield server


@pytest.fixture(scope="module")
def whole(proxy: FaultProxy) -> Passage:
    """All of the database, read once."""
    return harvest(connect(proxy.url))


@pytest.fixture
def url(proxy: FaultProxy) -> str:
    proxy.follow()
    return proxy.url


def test_every_entry_arrives_once_whatever_its_id_is(whole: Passage) -> None:
    assert whole.by_id
    assert sorted(whole.ids) == NAMES
    assert len(whole.rejects) == 0
    assert [content.announced for content in whole.contents] == [len(ENTRIES)] * len(whole.contents)
    assert whole.remarks == set()


def test_structures_have_the_values_that_the_server_was_given(whole: Passage, url: str) -> None:
    valid, rejects = validate(whole.candidates, StructureLimits())
    rows = by_id(valid.to_pylist())
    assert len(rejects) == 0
    for entry in ENTRIES:
        row, attributes = rows[entry["id"]], entry["attributes"]
        np.testing.assert_allclose(
            row["cartesian_site_positions"], attributes["cartesian_site_positions"], atol=0
        )
        np.testing.assert_allclose(row["lattice_vectors"], attributes["lattice_vectors"], atol=0)
        assert row["species_at_sites"] == attributes["species_at_sites"]
        assert row["immutable_id"] == attributes["immutable_id"]
        assert row["last_modified"] == datetime.fromisoformat(attributes["last_modified"])
        assert row["quality_flags"] is None
    assert rows["../../etc/passwd"]["url"] == f"{url}/v1/structures/..%2F..%2Fetc%2Fpasswd"


def test_species_are_what_their_definitions_say(whole: Passage) -> None:
    valid, _ = validate(whole.candidates, StructureLimits())
    rows = by_id(valid.to_pylist())
    assert rows["swapped"]["species_at_sites"] == ["C", "Ti"]
    assert rows["swapped"]["atomic_numbers"] == [22, 6]
    assert not rows["partial"]["is_ordered"]
    assert rows["partial"]["species"][0]["concentration"] == [0.25, 0.75]
    assert not rows["vacant"]["is_ordered"]
    assert rows["vacant"]["species"][0]["chemical_symbols"] == ["Na", "vacancy"]
    assert rows["attached"]["species"][1]["nattached"] == [3]
    assert rows["assembled"]["assemblies"][0]["sites_in_groups"] == [[0], [1]]
    assert rows["assembled"]["structure_features"] == ["assemblies"]
    assert rows["mp-1"]["species"] is None
    assert rows["mp-1"]["is_ordered"]


def test_only_the_fields_that_are_used_are_asked_for_and_nothing_before_the_first_page(
    url: str, proxy: FaultProxy
) -> None:
    connector = connect(url)
    (page,) = connector.pages(None)
    assert proxy.log == []
    connector.read(page)
    *_, last = proxy.log
    assert last.query["response_fields"] == ",".join(FIELDS)
    assert last.headers["accept-encoding"] == "gzip, deflate"
    assert connector.describe()["base_url"] == url


def test_pages_are_halved_until_the_server_gives_them(url: str, proxy: FaultProxy) -> None:
    connector = connect(url)
    (page,) = connector.pages(None)
    content = connector.read(page)
    asked = [request.query["page_limit"] for request in proxy.log if request.path == "/v1/structures"]
    tried = [limit for limit in asked if limit != "10"]
    assert tried == ["1000", "500", "250", "125", "62", "31", "15", "15"]
    assert content.entries == 15


def test_a_filter_selects_and_is_counted(url: str) -> None:
    passage = harvest(connect(url, 'elements HAS "Na" OR id = "partial"'))
    expected = [entry["id"] for entry in ENTRIES if "Na" in entry["attributes"]["elements"]] + ["partial"]
    assert sorted(passage.ids) == sorted(expected)
    assert passage.announced == len(expected)


def test_a_filter_that_finds_nothing_gives_an_empty_passage(url: str) -> None:
    passage = harvest(connect(url, "nelements = 7"))
    assert passage.ids == []
    assert passage.announced == 0


def test_what_the_server_refuses_is_quoted(url: str) -> None:
    connector = connect(url, "foo = 1")
    (page,) = connector.pages(None)
    with pytest.raises(CrysiftError, match=r"400 Bad Request: .*foo") as caught:
        connector.read(page)
    assert f"GET {url}/v1/structures?" in str(caught.value)


def test_a_later_passage_brings_what_was_modified_since(url: str, whole: Passage) -> None:
    connector = connect(url)
    previous = Harvest(3, MIDDLE + timedelta(days=1))
    passage = harvest(connector, previous)
    late = ENTRIES[40 : -len(disordered_entries())]
    assert sorted(passage.ids) == sorted(entry["id"] for entry in late)
    assert passage.announced == len(late)
    assert NO_TIMES not in passage.remarks
    assert not {page.key for page in passage.pages} & {page.key for page in whole.pages}


def test_a_later_passage_keeps_the_filter(url: str) -> None:
    connector = connect(url, 'elements HAS "Na" OR nelements = 1')
    passage = harvest(connector, Harvest(0, MIDDLE + timedelta(days=1)))
    late = ENTRIES[40 : -len(disordered_entries())]
    assert sorted(passage.ids) == sorted(e["id"] for e in late if "Na" in e["attributes"]["elements"])


def test_reading_goes_on_from_any_stored_cursor(url: str, whole: Passage) -> None:
    for page, content in zip(whole.pages[2:5], whole.contents[2:5], strict=True):
        again = connect(url).read(stored(page))
        assert again.candidates.equals(content.candidates)
        assert again.following == content.following
    assert len({page.key for page in whole.pages}) == len(whole.pages)


def test_large_databases_are_read_in_ranges_of_ids_at_once() -> None:
    names = [f"s-{number}" for number in range(630)]
    with optimade_server(entries_of(names), page_limit_max=15) as url:
        passage = harvest(connect(url))
        assert len(passage.pages[1].payload["places"]) == 4
        assert sorted(passage.ids) == sorted(names)
        assert [content.announced for content in passage.contents] == [630] * len(passage.contents)
        assert len(passage.contents) <= 630 / 4 / 15 + 3
