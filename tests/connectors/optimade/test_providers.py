"""What users name: addresses, registered providers and their databases; and the filter they give."""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.http import Patience
from connectors.optimade import open_optimade, providers
from connectors.optimade.service import PER_SECOND, service_at
from engine.errors import CrysiftError
from tests.connectors.optimade.harvest import BRIEF, connect, harvest
from tests.servers.fault_proxy import Answer, FaultProxy, Request
from tests.servers.optimade_entries import entries_of
from tests.servers.optimade_replica import OptimadeReplica, Quirks
from tests.servers.optimade_server import optimade_server

MISC = "https://optimade.odbx.science/misc"


def child(name: str, base_url: Any, **attributes: Any) -> dict[str, Any]:
    """A database in an index, as the reference server stores it."""
    about = {"type": "links", "name": name, "description": "", "homepage": None, "link_type": "child"}
    return {"id": name, "type": "links", "attributes": about | {"base_url": base_url} | attributes}


LINKS = [
    *(child(f"other-{number}", f"https://optimade.odbx.science/other/{number}/v1") for number in range(40)),
    child("misc", {"href": f"{MISC}/v1/"}),
    child("again", MISC),
    child("trial", "https://optimade.odbx.science/trial", aggregate="test"),
    child("planned", None),
    child("odbx", "https://odbx.science", link_type="root"),
]


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    with optimade_server(LINKS) as url:
        yield url


@pytest.fixture
def odbx(index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider odbx, with its index on this machine."""
    monkeypatch.setattr(providers, "providers", lambda: {"odbx": index, "aiida": None})


@pytest.mark.usefixtures("odbx")
def test_a_provider_names_all_its_databases_each_once() -> None:
    connectors = open_optimade("odbx", None, BRIEF)
    expected = [f"optimade.optimade.odbx.science/other/{number}" for number in range(40)]
    assert [connector.source for connector in connectors] == [
        *expected,
        "optimade.optimade.odbx.science/misc",
    ]


@pytest.mark.usefixtures("odbx")
def test_a_database_has_one_name_whether_its_provider_or_its_address_is_named() -> None:
    (by_provider,) = open_optimade("odbx/misc", None, BRIEF)
    for address in (
        MISC,
        f"{MISC}/",
        f"{MISC}/v1",
        f"{MISC}/v1.2/structures",
        "https://OPTIMADE.odbx.science:443/misc",
    ):
        (by_address,) = open_optimade(address)
        assert by_address.source == by_provider.source == "optimade.optimade.odbx.science/misc"
        assert by_address.base_url == by_provider.base_url == MISC


@pytest.mark.usefixtures("odbx")
def test_a_database_for_tests_is_opened_by_its_own_name_alone() -> None:
    (connector,) = open_optimade("odbx/trial", None, BRIEF)
    assert connector.base_url == "https://optimade.odbx.science/trial"


@pytest.mark.usefixtures("odbx")
def test_an_unknown_database_is_refused_with_those_that_exist() -> None:
    with pytest.raises(CrysiftError, match=r"odbx has no database 'mist'; it has .*misc.*trial"):
        open_optimade("odbx/mist", None, BRIEF)


@pytest.mark.usefixtures("odbx")
def test_a_provider_without_address_is_refused_as_such() -> None:
    with pytest.raises(CrysiftError, match="'aiida' is registered without an address"):
        open_optimade("aiida")


def test_the_bundled_list_names_the_registered_providers() -> None:
    known = providers.providers()
    assert known["odbx"] == "https://optimade-index.odbx.science"
    assert known["ccdc"] is None
    with pytest.raises(CrysiftError, match=r"no OPTIMADE provider 'oddbx'; there are .*odbx, omdb, oqmd"):
        open_optimade("oddbx")


def test_an_index_without_databases_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: Request) -> Answer:
        return Answer.of_json({"data": [child("planned", None)["attributes"], {"id": 1}, "x"]})

    with FaultProxy(answer) as server:
        monkeypatch.setattr(providers, "providers", lambda: {"odbx": server.url})
        with pytest.raises(CrysiftError, match="lists no database with an address"):
            open_optimade("odbx", None, BRIEF)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://", "no address"),
        ("https://host:port/", "no address"),
        ("http://[::1", "no address"),
        ("https://a\x00b/", "no address"),
        ("https://user:secret@host/optimade", "host holds a user name"),
        ("https://host/optimade?key=secret", "host holds a user name"),
        ("", "no OPTIMADE provider ''"),
        ("ftp://host/", "no OPTIMADE provider 'ftp:'"),
    ],
)
def test_what_is_no_address_is_refused_without_showing_secrets(text: str, message: str) -> None:
    with pytest.raises(CrysiftError, match=message) as caught:
        open_optimade(text)
    assert "secret" not in str(caught.value)


def test_databases_of_one_host_have_sources_of_their_own() -> None:
    addresses = ["https://h/a", "https://h/b", "https://h:8443/a", "https://h", "http://[::1]:5000/x"]
    names = [connector.source for address in addresses for connector in open_optimade(address)]
    assert names == [f"optimade.{name}" for name in ("h/a", "h/b", "h-8443/a", "h", "--1-5000/x")]


def test_other_peoples_servers_are_asked_gently_and_this_machine_at_will() -> None:
    assert service_at("https://example.org", Patience()).client.per_second == PER_SECOND == 4
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert service_at(f"http://{host}:5000", Patience()).client.per_second > 1000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('elements HAS "Si" and nelements = 2', "from character 23 on: .*and  ⟶ nelements"),
        ("nelements = ", "it ends too early: nelements =  ⟵ here"),
        ("elements HAS Si", "from character 14 on: elements HAS  ⟶ Si"),
    ],
)
def test_a_filter_is_checked_before_anything_is_asked(text: str, place: str) -> None:
    with pytest.raises(CrysiftError, match=place):
        open_optimade("https://nobody.example.org", text)


def test_a_blank_filter_is_none() -> None:
    (connector,) = open_optimade("https://nobody.example.org", "  ")
    assert connector.filter is None


def test_a_service_of_another_version_is_refused_with_those_it_serves() -> None:
    with FaultProxy(OptimadeReplica(quirks=Quirks(versions=("0", "2")))) as server:
        with pytest.raises(CrysiftError, match=r"not serve version 1 .* serves the versions 0, 2: .*404"):
            harvest(connect(f"{server.url}/v2"))
        assert [request.path for request in server.log] == ["/v1/info", "/versions"]


def test_an_index_is_not_taken_for_a_database() -> None:
    with (
        FaultProxy(OptimadeReplica(quirks=Quirks(info={"is_index": True}))) as server,
        pytest.raises(CrysiftError, match="is an index of databases"),
    ):
        harvest(connect(server.url))


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"available_licenses": ["CC-BY-4.0", "CC0-1.0"], "license": "https://x/"}, "CC-BY-4.0 OR CC0-1.0"),
        ({"available_licenses": [], "license": {"href": "https://x/license"}}, "https://x/license"),
        ({"available_licenses": None, "license": "https://x/license"}, "https://x/license"),
        ({"license": None}, None),
        ({"license": 5, "available_licenses": "CC-BY"}, None),
    ],
)
def test_the_licence_of_the_database_is_that_of_its_entries(
    info: dict[str, Any], expected: str | None
) -> None:
    with FaultProxy(OptimadeReplica(entries_of(["a", "b"]), Quirks(info=info))) as server:
        passage = harvest(connect(server.url))
    assert passage.candidates["license"].to_pylist() == [expected, expected]
