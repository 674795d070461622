"""The NOMAD connector against a replica of an installation, on loopback."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.nomad import connector, open_nomad
from connectors.nomad.connector import PUBLIC
from engine.errors import CrysiftError
from engine.ingest import ingest
from engine.source import Harvest, SourceInterruptedError
from engine.store import Store
from tests.connectors.nomad_reading import (
    BRIEF,
    CUBE,
    LIMITS,
    chain,
    opened,
    read_all,
    rejects_of,
    rows_of,
    salt,
    salts,
)
from tests.servers.fault_proxy import Answer, Fault, FaultProxy, Rule, Upstream, mutated, status
from tests.servers.nomad_replica import PROCESSED, NomadReplica, nomad_entry, nomad_structure

PAT = "nomad_pat_4711-very-secret-0815"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the loopback as often as need be."""
    monkeypatch.setattr(connector, "PER_SECOND", 1000.0)
    monkeypatch.delenv("NOMAD_TOKEN", raising=False)


# ---- pages


def test_every_entry_arrives_exactly_once_over_several_pages_of_each_range() -> None:
    entries = salts(300)
    with NomadReplica(entries, largest_page=40) as replica:
        contents = read_all(opened(replica))
    assert sorted(row["source_id"] for row in rows_of(contents)) == sorted(e.entry_id for e in entries)
    assert not rejects_of(contents)
    assert not replica.listings
    assert len(contents) > 8
    assert sum(c.announced or 0 for c in contents if c.following is None) == 300
    assert all(c.answered_at is not None for c in contents)


def test_a_row_holds_the_structure_in_angstrom_and_where_it_came_from() -> None:
    with NomadReplica([nomad_entry(salt(), 7)]) as replica:
        (row,) = rows_of(read_all(opened(replica)))
        entry = replica.entries[0]
        assert row["url"] == f"{replica.url}/gui/search/entries/entry/id/{entry.entry_id}"
    assert row["source_id"] == entry.entry_id
    assert row["source"].startswith("nomad.127.0.0.1-")
    assert row["lattice_vectors"] == [[0.0, 2.82, 2.82], [2.82, 0.0, 2.82], [2.82, 2.82, 0.0]]
    assert row["cartesian_site_positions"] == [[0.0, 0.0, 0.0], [2.82, 0.0, 0.0]]
    assert row["species_at_sites"] == ["Na", "Cl"]
    assert row["dimension_types"] == [1, 1, 1]
    assert row["nsites"] == 2
    assert row["species"] is None
    assert row["license"] == "CC BY 4.0"
    assert row["source_version"] == "1.3.4"
    assert row["last_modified"] == PROCESSED
    assert json.loads(row["extra_json"]) == {
        "material_id": entry.index["results.material.material_id"],
        "upload_id": entry.index["upload_id"],
        "parser_name": "parsers/vasp",
    }


def test_the_end_is_the_missing_cursor_even_after_a_full_and_an_empty_page() -> None:
    entries = [nomad_entry(salt(), number, entry_id=f"A{number:04}") for number in range(1000)]
    with NomadReplica(entries) as replica:
        contents = read_all(opened(replica))
    assert [c.entries for c in contents] == [500, 500, 0, 0, 0, 0]
    assert not rejects_of(contents)


def test_archives_that_nomad_leaves_out_are_told_one_by_one() -> None:
    entries = [nomad_entry(salt(), number, has_archive=number % 7 != 3) for number in range(200)]
    with NomadReplica(entries, largest_page=40) as replica:
        contents = read_all(opened(replica))
    rejects = rejects_of(contents)
    assert {reject["source_id"] for reject in rejects} == {e.entry_id for e in entries if e.archive is None}
    assert {reject["error_class"] for reject in rejects} == {"MissingArchive"}
    assert len(rejects) + len(rows_of(contents)) == 200 == sum(c.entries for c in contents)


def test_an_entry_that_the_listing_shows_beyond_the_page_is_left_to_the_next_one() -> None:
    def one_more(document: Any) -> Any:
        document["data"].append({"entry_id": "A0500"})
        return document

    entries = [
        nomad_entry(salt(), number, entry_id=f"A{number:04}", has_archive=number != 7)
        for number in range(501)
    ]
    with (
        NomadReplica(entries) as replica,
        FaultProxy(Upstream(replica.url.removesuffix("/nomad-oasis"))) as proxy,
    ):
        proxy.follow(Rule(mutated("one more", one_more), path="entries/query"))
        contents = read_all(opened(f"{proxy.url}/nomad-oasis"))
    assert [reject["source_id"] for reject in rejects_of(contents)] == ["A0007"]
    assert len(rows_of(contents)) == 500


def test_entries_that_appear_meanwhile_are_not_taken_for_left_out() -> None:
    entries = [nomad_entry(salt(), number, entry_id=f"A{number:04}") for number in range(600)]
    with NomadReplica(entries) as replica:
        source = opened(replica)
        first, *_ = source.pages(None)
        content = source.read(first)
        replica.entries += [nomad_entry(salt(), 1, entry_id="A0000-later")]
        (last,) = chain(source, content.following)
    assert (content.entries, last.entries, len(last.rejects)) == (500, 100, 0)
    assert last.announced == 601


def test_a_page_that_the_gateway_cannot_answer_is_asked_for_in_smaller_ones() -> None:
    with NomadReplica(salts(60), largest_page=30) as replica:
        contents = read_all(opened(replica))
        sizes = [request["pagination"]["page_size"] for request in replica.requests]
    assert sizes[:6] == [500, 250, 125, 62, 31, 25]
    assert set(sizes[6:]) == {25}
    assert len(rows_of(contents)) == 60


def test_a_gateway_that_never_answers_stops_the_run_resumably() -> None:
    with (
        NomadReplica(salts(3), largest_page=3) as replica,
        pytest.raises(SourceInterruptedError, match="504"),
    ):
        read_all(opened(replica))


def test_large_structures_make_the_pages_after_them_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "PAGE_SITES", 1000)
    large = nomad_structure(["C"] * 20, [[0.0, 0.0, 0.0]] * 20, CUBE)
    entries = [nomad_entry(large, number, entry_id=f"A{number:04}") for number in range(501)]
    with NomadReplica(entries) as replica:
        source = opened(replica)
        first, *_ = source.pages(None)
        following = source.read(first).following
    assert following is not None
    assert following.payload["size"] == 50


def test_a_cursor_that_does_not_advance_is_asked_for_again_and_then_ends_the_run() -> None:
    def stuck(document: Any) -> Any:
        document["pagination"]["next_page_after_value"] = "A0000"
        return document

    entries = [nomad_entry(salt(), number, entry_id=f"A{number:04}") for number in range(1001)]
    with (
        NomadReplica(entries) as replica,
        FaultProxy(Upstream(replica.url.removesuffix("/nomad-oasis"))) as proxy,
    ):
        source = opened(f"{proxy.url}/nomad-oasis")
        proxy.follow(Rule(mutated("stuck", stuck), first=1, times=2))
        assert len(rows_of(read_all(source))) == 1001
        proxy.follow(Rule(mutated("stuck", stuck), first=1))
        with pytest.raises(SourceInterruptedError, match=r"'A0000', which does not come after 'A0499'"):
            read_all(source)


@pytest.mark.parametrize(
    "document",
    [
        {"data": []},
        {"data": {}, "pagination": {"total": 1}},
        {"data": [], "pagination": {"total": "1"}},
    ],
)
def test_an_answer_that_is_no_page_ends_the_run_resumably(document: Any) -> None:
    with (
        NomadReplica(salts(1)) as replica,
        FaultProxy(Upstream(replica.url.removesuffix("/nomad-oasis"))) as proxy,
    ):
        proxy.follow(Rule(mutated("no page", lambda _: document)))
        with pytest.raises(SourceInterruptedError, match="the answer has no"):
            read_all(opened(f"{proxy.url}/nomad-oasis"))


def test_an_answer_that_belongs_to_another_request_is_not_taken() -> None:
    held: list[Answer] = []

    def stale(answer: Answer) -> Answer:
        held.append(answer)
        return held[0]

    entries = [
        nomad_entry(salt(), number, entry_id=f"{letter}{number:04}")
        for letter in "AG"
        for number in range(501)
    ]
    with (
        NomadReplica(entries, per_second=1000) as replica,
        FaultProxy(Upstream(replica.url.removesuffix("/nomad-oasis"))) as proxy,
    ):
        for first in range(3):
            held.clear()
            proxy.follow(Rule(Fault("stale", stale), first=first))
            with pytest.raises(SourceInterruptedError, match="are those of another request"):
                read_all(opened(f"{proxy.url}/nomad-oasis"))


def test_a_full_page_of_more_without_a_cursor_is_not_the_end() -> None:
    def endless(document: Any) -> Any:
        document["pagination"].pop("next_page_after_value", None)
        return document

    entries = [nomad_entry(salt(), number, entry_id=f"A{number:04}") for number in range(501)]
    with (
        NomadReplica(entries) as replica,
        FaultProxy(Upstream(replica.url.removesuffix("/nomad-oasis"))) as proxy,
    ):
        proxy.follow(Rule(mutated("no cursor", endless)))
        with pytest.raises(SourceInterruptedError, match="is missing after 500 of 501 entries"):
            read_all(opened(f"{proxy.url}/nomad-oasis"))


def test_the_503_of_too_many_requests_passes(caplog: pytest.LogCaptureFixture) -> None:
    patience = replace(BRIEF, attempts=12, first_wait=0.05)
    with NomadReplica(salts(8), per_second=3) as replica:
        assert len(rows_of(read_all(opened(replica, patience=patience)))) == 8
    assert "503 Service Temporarily Unavailable" in caplog.text


# ---- later passages


def test_a_later_passage_reads_what_was_processed_or_published_since() -> None:
    now = PROCESSED + timedelta(days=300)
    old = salts(5)
    processed = [nomad_entry(salt(), number, processed=now) for number in (10, 11)]
    published = nomad_entry(salt(), 20, index={"publish_time": now})
    with NomadReplica([*old, *processed, published]) as replica:
        source = opened(replica)
        rows = rows_of(read_all(source, Harvest(0, now + timedelta(days=60))))
        keys = [
            [page.key for page in source.pages(harvest)]
            for harvest in (None, Harvest(0, now), Harvest(1, now))
        ]
    assert {row["source_id"] for row in rows} == {entry.entry_id for entry in [*processed, published]}
    assert len({key for passage in keys for key in passage}) == 12


def test_a_second_ingest_brings_what_was_processed_again_and_what_is_new(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    now = datetime.now(UTC)
    with NomadReplica(salts(12), per_second=1000) as replica:
        first = ingest(opened(replica), store, LIMITS)
        replica.entries[3] = nomad_entry(salt(6.0), 3, processed=now)
        replica.entries += [
            nomad_entry(salt(6.1), number, entry_id=entry_id, processed=now)
            for number, entry_id in enumerate(("-new", "New", "_new", "new"))
        ]
        second, third = (ingest(opened(replica), store, LIMITS) for _ in range(2))
    assert (first.total.stored, first.shortfall) == (12, None)
    assert (second.brought.entries, second.brought.stored, second.brought.replaced) == (5, 5, 1)
    assert (third.brought.entries, third.brought.known, third.shortfall) == (5, 5, None)


# ---- what is asked for


def test_a_filter_in_nomads_language_restricts_what_comes() -> None:
    diamond = nomad_structure(["C"] * 2, [[0.0, 0.0, 0.0], [0.89, 0.89, 0.89]], (np.eye(3) * 3.56).tolist())
    with NomadReplica([*salts(3), nomad_entry(diamond, 9)]) as replica:
        source = opened(replica, filter='{"results.material.elements": {"all": ["C"]}}')
        assert [row["species_at_sites"] for row in rows_of(read_all(source))] == [["C", "C"]]
        assert source.describe()["filter"] == {"results.material.elements": {"all": ["C"]}}
        everything = {page.key for page in opened(replica).pages(None)}
        assert everything.isdisjoint(page.key for page in source.pages(None))


def test_what_nomad_says_against_a_filter_is_passed_on() -> None:
    with (
        NomadReplica([]) as replica,
        pytest.raises(CrysiftError, match=r"422.*results\.colour is not a doc quantity"),
    ):
        read_all(opened(replica, filter='{"results.colour": "red"}'))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON object"),
        ("elements HAS 'Ti'", "no JSON object"),
        ('["Ti"]', "it is list"),
        ('{"x": NaN}', "no JSON object"),
        ('{"and": [{"x": 1}], "y": 2}', "'y' beside 'and', which NOMAD would ignore"),
        ('{"not": {"or": [{"x": 1}], "and": []}}', "'or' beside 'and'"),
    ],
)
def test_a_filter_that_nomad_would_not_understand_is_refused_before_the_first_request(
    text: str, reason: str
) -> None:
    with pytest.raises(CrysiftError, match=reason):
        open_nomad("", filter=text)


@pytest.mark.parametrize(
    ("oasis", "api", "source"),
    [
        ("https://nomad-lab.eu/prod/v1", PUBLIC, "nomad"),
        (PUBLIC, PUBLIC, "nomad"),
        ("https://o.org/nomad-oasis", "https://o.org/nomad-oasis/api/v1", "nomad.o.org"),
        ("https://O.org/nomad-oasis/", "https://o.org/nomad-oasis/api/v1", "nomad.o.org"),
        ("https://o.org/nomad-oasis/api", "https://o.org/nomad-oasis/api/v1", "nomad.o.org"),
        ("https://o.org/nomad-oasis/gui/search/entries", "https://o.org/nomad-oasis/api/v1", "nomad.o.org"),
        ("http://localhost:8000", "http://localhost:8000/api/v1", "nomad.localhost-8000"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/api/v1", "nomad.--1-8000"),
    ],
)
def test_an_installation_is_found_by_any_of_its_addresses(oasis: str, api: str, source: str) -> None:
    opened_there = open_nomad("", oasis=oasis)
    assert (opened_there.api, opened_there.source) == (api, source)


@pytest.mark.parametrize(
    "oasis", ["o.org", "ftp://o.org", "https://", "https://o.org:x", "https://a:b@o.org"]
)
def test_what_is_no_address_is_refused_and_a_password_not_repeated(oasis: str) -> None:
    with pytest.raises(CrysiftError, match="no address of a NOMAD installation") as caught:
        open_nomad("", oasis=oasis)
    assert "a:b" not in str(caught.value)


def test_nothing_follows_the_scheme() -> None:
    with pytest.raises(CrysiftError, match=r"nothing follows `nomad:`.*'o\.org'"):
        open_nomad("o.org")
    assert open_nomad("").api == PUBLIC


# ---- tokens


def test_a_token_shows_what_only_its_owner_sees_and_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mine = nomad_entry(salt(), 1, index={"published": False}, viewers=["me"])
    other = nomad_entry(salt(), 2, index={"published": False}, viewers=["you"])
    public = nomad_entry(salt(), 3)
    monkeypatch.setenv("NOMAD_TOKEN", PAT)
    with NomadReplica([mine, other, public], tokens={PAT: "me"}) as replica:
        source = opened(replica)
        contents = read_all(source)
        pages = list(source.pages(None))
    assert {row["source_id"] for row in rows_of(contents)} == {mine.entry_id, public.entry_id}
    told = f"{source!r} {source.describe()} {pages} {rows_of(contents)} {caplog.text}"
    assert "4711" not in told


@pytest.mark.parametrize("token", ["nomad_pat_expired-4711", "eyJ-4711"])
def test_a_token_that_nomad_does_not_know_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("NOMAD_TOKEN", token)
    with NomadReplica(salts(1)) as replica:
        with pytest.raises(CrysiftError, match=r"does not accept the token in NOMAD_TOKEN") as caught:
            read_all(opened(replica))
        assert not replica.requests
    assert "4711" not in str(caught.value)


def test_a_token_in_the_servers_answer_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMAD_TOKEN", PAT)
    with (
        NomadReplica([], tokens={PAT: "me"}) as replica,
        FaultProxy(Upstream(replica.url.removesuffix("/nomad-oasis"))) as proxy,
    ):
        echo = status(403)
        proxy.follow(
            Rule(
                replace(echo, change=lambda a: replace(echo.change(a), body=PAT.encode() * 40)),
                path="archive",
            )
        )
        with pytest.raises(CrysiftError, match=r"403") as caught:
            read_all(opened(f"{proxy.url}/nomad-oasis"))
    assert "4711" not in str(caught.value)


def test_an_oasis_that_wants_a_login_says_so() -> None:
    with (
        NomadReplica(salts(1), needs_login=True) as replica,
        pytest.raises(CrysiftError, match=r"401.*Authentication"),
    ):
        read_all(opened(replica))
