"""Every entry arrives exactly once, or the run stops, whatever quirks a service has."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.optimade.capabilities import FIELDS, NO_TIMES
from connectors.optimade.paging import BY_LINKS, CUT_SHORT, MOST_EMPTY, SHRUNK, UNSTEADY
from engine.errors import CrysiftError
from engine.source import Harvest, SourceInterruptedError
from tests.connectors.optimade.harvest import Passage, connect, harvest, stored
from tests.servers.fault_proxy import Fault, FaultProxy, Request, Rule, mutated, status
from tests.servers.optimade_entries import MODIFIED, entries_of, ids
from tests.servers.optimade_replica import OptimadeReplica, Quirks

NAMES = ids(100)
ENTRIES = entries_of(NAMES)
NO_IDS = Quirks(largest_page=15, knows=frozenset({"last_modified", "nelements"}))
"""A service that has to be paged by its links."""
SMALL = Quirks(largest_page=15)


@contextmanager
def serving(quirks: Quirks, entries: Any = ENTRIES) -> Iterator[tuple[FaultProxy, OptimadeReplica]]:
    """A server with these entries."""
    replica = OptimadeReplica(entries, quirks)
    with FaultProxy(replica) as server:
        yield server, replica


def passage_of(quirks: Quirks, entries: Any = ENTRIES) -> Passage:
    """All that a service gives."""
    with serving(quirks, entries) as (server, _):
        return harvest(connect(server.url))


def natural(name: str) -> tuple[str, int]:
    """Order by the number at the end, as some databases have it."""
    return name.rpartition("-")[0], int(name.rpartition("-")[2] or 0) if name[-1:].isdigit() else 0


def relative(address: str, _: str) -> str:
    return f"structures?{urlsplit(address).query}"


BY_ID = {
    "as the standard says": SMALL,
    "everything on one page": replace(SMALL, largest_page=500),
    "page_limit without effect": replace(SMALL, page_limit_ignored=7),
    "ids in the order of their numbers": replace(SMALL, order=natural),
    "ids in reverse": replace(SMALL, order=lambda name: [-ord(c) for c in name] + [1]),
    "no data_available": replace(SMALL, available=False),
    "no data_returned": replace(SMALL, counts=lambda *_: None),
    "data_returned that is always the same": replace(SMALL, counts=lambda *_: len(NAMES)),
    "data_returned of the page alone": replace(SMALL, counts=lambda _, page: page),
    "no response_fields": replace(SMALL, fields_refused=True),
    "next leads to the page itself": replace(SMALL, next=lambda _, here: here),
    "next leads elsewhere": replace(SMALL, next=lambda *_: "https://elsewhere.example.org/v1/structures"),
    "next is no address": replace(SMALL, next=lambda *_: 17),
}
BY_LINK = {
    "as the standard says": NO_IDS,
    "pages of 3 at most": replace(SMALL, largest_page=3),
    "no sorting": replace(SMALL, sorts=False),
    "sorting that is not told of": replace(SMALL, says_sortable=False),
    "id > without effect": replace(SMALL, ignored=frozenset({"id"})),
    "page_limit without effect": replace(NO_IDS, page_limit_ignored=7),
    "relative links": replace(NO_IDS, next=relative),
    "links as objects": replace(NO_IDS, next=lambda address, _: {"href": address}),
    "next_page": replace(NO_IDS, next_name="next_page"),
    "response_fields dropped": replace(NO_IDS, dropped=frozenset({"response_fields"})),
    "all parameters dropped": replace(
        NO_IDS, dropped=frozenset({"response_fields", "filter", "page_limit", "sort"})
    ),
    "https instead of http": replace(
        NO_IDS, next=lambda address, _: re.sub(r"http://127.0.0.1:\d+", "", address)
    ),
    "empty pages in between": replace(NO_IDS, empty_pages=3),
    "no data_returned": replace(NO_IDS, counts=lambda *_: None),
    "data_returned of the page alone": replace(NO_IDS, counts=lambda _, page: page),
    "no data_available": replace(NO_IDS, available=False),
}


@pytest.mark.parametrize("name", BY_ID)
def test_by_ids_every_entry_arrives_once(name: str) -> None:
    quirks = BY_ID[name]
    passage = passage_of(quirks)
    assert passage.by_id
    assert sorted(passage.ids) == sorted(NAMES)
    assert passage.remarks == set()
    assert passage.announced == (None if quirks.counts(1, 1) is None else len(NAMES))


@pytest.mark.parametrize("name", BY_LINK)
def test_by_links_every_entry_arrives_once(name: str) -> None:
    quirks = BY_LINK[name]
    passage = passage_of(quirks)
    assert not passage.by_id
    assert sorted(passage.ids) == sorted(NAMES)
    assert passage.remarks == {BY_LINKS}
    assert passage.announced == (None if quirks.counts(1, 1) is None else len(NAMES))


@pytest.mark.parametrize("dropped", [{"response_fields"}, {"filter"}, {"page_limit"}])
def test_what_a_link_drops_is_asked_for_again(dropped: set[str]) -> None:
    with serving(replace(NO_IDS, dropped=frozenset(dropped))) as (server, _):
        passage = harvest(connect(server.url, "nelements = 2"))
        pages = [request.query for request in server.log if "page_offset" in request.query]
    assert len(passage.ids) == len(NAMES)
    assert len(pages) == len(NAMES) // 15
    for query in pages:
        assert query["response_fields"] == ",".join(FIELDS)
        assert query["filter"] == "nelements = 2"
        assert query["page_limit"] == "15"


def elsewhere(address: str, _: str) -> str:
    return address.replace("127.0.0.1", "127.0.0.2")


def other_port(address: str, _: str) -> str:
    return re.sub(r":\d+/", ":1/", address)


def circle(address: str, _: str) -> str:
    """After offset 45 comes offset 15."""
    return address.replace("page_offset=60", "page_offset=15")


def same_page(address: str, _: str) -> str:
    """Links that differ, and lead to the first page all the same."""
    return address.replace("page_offset", "page_token")


STOPPED = {
    "a link to the page itself": (lambda _, here: here, "leads to the page itself"),
    "links in a circle": (circle, "the page has come before"),
    "links that all lead to the first page": (same_page, "the page has come before"),
    "a number as link": (lambda *_: 17, "is no address: '17'"),
    "a list as link": (lambda *_: ["/v1"], "is no address"),
    "a broken address": (lambda *_: "http://[::1/", "is no address"),
}


@pytest.mark.parametrize("name", STOPPED)
def test_links_that_lead_nowhere_stop_the_run_which_may_go_on_later(name: str) -> None:
    link, message = STOPPED[name]
    with pytest.raises(SourceInterruptedError, match=message):
        passage_of(replace(NO_IDS, next=link))


@pytest.mark.parametrize("link", [elsewhere, other_port])
def test_links_to_another_service_are_refused(link: Any) -> None:
    with pytest.raises(CrysiftError, match="another service"):
        passage_of(replace(NO_IDS, next=link))


def test_empty_pages_without_end_stop_the_run() -> None:
    with pytest.raises(SourceInterruptedError, match=f"{MOST_EMPTY} pages in a row are empty"):
        passage_of(replace(NO_IDS, empty_pages=MOST_EMPTY + 1))


def test_a_list_that_ends_too_early_stops_the_run() -> None:
    quirks = replace(NO_IDS, next=lambda *_: None, more=True)
    with pytest.raises(SourceInterruptedError, match="ends 85 entries early"):
        passage_of(quirks)


def test_a_last_page_that_claims_more_is_told_of() -> None:
    passage = passage_of(replace(NO_IDS, more=True))
    assert sorted(passage.ids) == sorted(NAMES)
    assert passage.remarks == {BY_LINKS, CUT_SHORT}


def test_answers_that_are_no_list_are_asked_for_again_and_then_stop_the_run() -> None:
    with serving(SMALL) as (server, replica):
        connector = connect(server.url)
        (page,) = connector.pages(None)
        following = connector.read(page).following
        assert following is not None
        replica._page = lambda *_: b'{"data": {"id": 1}}'  # type: ignore[method-assign]
        asked = len(server.log)
        with pytest.raises(SourceInterruptedError, match="no list of data"):
            connector.read(stored(following))
        assert len(server.log) == asked + 3


def emptied(document: dict[str, Any]) -> dict[str, Any]:
    """The page without its entries; its meta and its link are as they were."""
    return document | {"data": []}


def ended(document: dict[str, Any]) -> dict[str, Any]:
    """What a service says that has lost its data for a moment."""
    meta = document["meta"] | {"data_returned": 0, "more_data_available": False}
    return {"data": [], "meta": meta, "links": {"next": None}}


@pytest.mark.parametrize("quirks", [SMALL, NO_IDS], ids=["by ids", "by links"])
@pytest.mark.parametrize("change", [emptied, ended])
@pytest.mark.parametrize("page", [15, 17])
def test_a_page_that_is_empty_for_a_moment_loses_nothing(quirks: Quirks, change: Any, page: int) -> None:
    with serving(quirks) as (server, _):
        server.follow(Rule(mutated("empty", change), first=page, times=1, path="/structures"))
        passage = harvest(connect(server.url))
    assert [request.fault for request in server.log].count("empty") == 1
    assert sorted(passage.ids) == sorted(NAMES)
    assert passage.remarks <= {BY_LINKS}


def test_a_page_too_large_for_the_service_is_asked_for_in_halves() -> None:
    def plan(request: Request) -> Fault | None:
        large = 'id > "' in request.query.get("filter", "") and int(request.query["page_limit"]) > 15
        return status(504) if large else None

    with serving(replace(SMALL, largest_page=62)) as (server, _):
        server.follow(plan)
        passage = harvest(connect(server.url))
        asked = [r.query["page_limit"] for r in server.log if 'id > "' in r.query.get("filter", "")]
    assert sorted(passage.ids) == sorted(NAMES)
    assert [content.entries for content in passage.contents] == [62, 15, 15, 8, 0]
    assert asked == ["10", "10", *["62", "31", "15"] * 4]


class Shift:
    """Puts an entry before all others at each request for a page."""

    def __init__(self, replica: OptimadeReplica) -> None:
        self.replica = replica
        self.names = iter(f"a-{number}" for number in range(10_000, 0, -1))

    def __call__(self, request: Request) -> None:
        if request.query.get("page_limit") == "15":
            name = next(self.names)
            self.replica.insert(entries_of([name])[0], 0)


def test_by_ids_a_database_that_grows_meanwhile_loses_nothing_and_repeats_nothing() -> None:
    with serving(SMALL) as (server, replica):
        replica.before = Shift(replica)
        passage = harvest(connect(server.url))
    assert passage.by_id
    arrived = Counter(passage.ids)
    assert set(arrived.values()) == {1}
    assert set(NAMES) <= set(arrived)


def test_by_links_a_database_that_changes_meanwhile_is_told_of() -> None:
    with serving(NO_IDS) as (server, replica):
        replica.before = Shift(replica)
        passage = harvest(connect(server.url))
    assert UNSTEADY in passage.remarks
    assert max(Counter(passage.ids).values()) > 1


def test_entries_deleted_meanwhile_are_told_of_and_stay_announced() -> None:
    with serving(SMALL) as (server, replica):
        connector = connect(server.url)
        (page,) = connector.pages(None)
        first = connector.read(page)
        replica.delete(max(NAMES))
        assert first.following is not None
        second = connector.read(first.following)
    assert second.remarks == (SHRUNK,)
    assert second.announced == len(NAMES)


def test_empty_pages_are_passed_by_links_and_what_is_left_out_of_them_stays_announced() -> None:
    withheld = set(sorted(NAMES)[25:70])
    passage = passage_of(replace(SMALL, withheld=withheld.__contains__))
    assert passage.by_id
    assert sorted(passage.ids) == sorted(set(NAMES) - withheld)
    assert 0 in [content.entries for content in passage.contents[:-1]]
    assert passage.announced == len(NAMES)
    assert passage.remarks == {SHRUNK}


def test_entries_added_ahead_are_announced() -> None:
    with serving(SMALL) as (server, replica):
        connector = connect(server.url)
        (page,) = connector.pages(None)
        first = connector.read(page)
        replica.insert(entries_of(["z-1"])[0])
        assert first.following is not None
        assert connector.read(first.following).announced == len(NAMES) + 1


def test_ids_that_services_misread_are_passed_by_links() -> None:
    names = [f'{number:03}"odd"' if number % 3 else f"{number:03}" for number in range(90)]
    with serving(SMALL, entries_of(names)) as (server, _):
        passage = harvest(connect(server.url))
        assert passage.by_id
        assert sorted(passage.ids) == sorted(names)
        asked = [request.query["filter"] for request in server.log if "filter" in request.query]
    assert not any("odd" in condition for condition in asked)


def test_ranges_of_ids_cover_a_database_in_any_order() -> None:
    names = ids(700)
    with serving(replace(SMALL, order=natural), entries_of(names)) as (server, _):
        passage = harvest(connect(server.url))
    assert len(passage.pages[1].payload["places"]) == 4
    assert sorted(passage.ids) == sorted(names)
    assert {content.announced for content in passage.contents} == {700}
    assert max(content.entries for content in passage.contents) == 60


@pytest.mark.parametrize(
    "quirks",
    [
        replace(SMALL, counts=lambda *_: None),
        replace(SMALL, counts=lambda *_: 700),
        replace(SMALL, page_limit_ignored=300),
    ],
    ids=["no counts", "the same count always", "large pages"],
)
def test_a_database_is_one_range_where_its_counts_do_not_add_up(quirks: Quirks) -> None:
    names = ids(700)
    passage = passage_of(quirks, entries_of(names))
    assert len(passage.pages[-1].payload["places"]) == 1
    assert sorted(passage.ids) == sorted(names)


@pytest.mark.parametrize(
    "quirks",
    [
        replace(SMALL, knows=frozenset({"id"})),
        replace(SMALL, ignored=frozenset({"last_modified"})),
        replace(SMALL, knows=frozenset({"id"}), counts=lambda *_: None),
    ],
    ids=["refused", "without effect", "refused, no counts"],
)
def test_all_is_fetched_again_where_times_cannot_be_asked_for(quirks: Quirks) -> None:
    with serving(quirks) as (server, _):
        passage = harvest(connect(server.url), Harvest(0, MODIFIED))
    assert sorted(passage.ids) == sorted(NAMES)
    assert NO_TIMES in passage.remarks


def test_all_is_fetched_again_where_some_entries_have_no_time() -> None:
    for quirks in (SMALL, replace(SMALL, counts=lambda *_: None)):
        timeless = entries_of(["old"])[0]
        timeless["attributes"]["last_modified"] = None
        with serving(quirks, [*ENTRIES, timeless]) as (server, _):
            passage = harvest(connect(server.url), Harvest(0, MODIFIED))
        assert len(passage.ids) == len(NAMES) + 1


def test_only_what_changed_is_fetched_where_times_can_be_asked_for() -> None:
    for quirks in (SMALL, replace(SMALL, counts=lambda *_: None)):
        with serving(quirks) as (server, _):
            started = MODIFIED.replace(day=4)
            passage = harvest(connect(server.url), Harvest(0, started))
            (condition,) = parse_qs(urlsplit(server.log[-1].target).query)["filter"]
        assert sorted(passage.ids) == sorted(NAMES[48:])
        assert 'last_modified >= "2024-01-03T00:00:00Z"' in condition


def test_a_passage_asks_once_for_each_page() -> None:
    with serving(SMALL) as (server, _):
        passage = harvest(connect(server.url))
        targets = Counter(request.target for request in server.log if request.query.get("page_limit") == "15")
    assert len(passage.contents) == len(NAMES) // 15 + 2  # the last one is empty
    repeated = {target for target, count in targets.items() if count > 1}
    assert len(repeated) == 1  # the first page, which showed that the size is right
