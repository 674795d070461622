"""What can be named behind ``mp:``, filters, and the key of the API."""

import pytest

from connectors.materials_project import MaterialsProjectDelta, MaterialsProjectRest
from connectors.materials_project.query import endpoint, parse_filter
from connectors.materials_project.versions import in_time
from engine.errors import CrysiftError
from tests.connectors.materials_project.conftest import Open


def test_the_bulk_route_needs_no_key(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY")
    source = opened()
    assert isinstance(source, MaterialsProjectDelta)
    assert (source.source, source.version) == ("mp", None)
    pinned = opened("@2025.09.25", include_nc=True, include_deprecated=True)
    assert isinstance(pinned, MaterialsProjectDelta)
    assert pinned.version == "2025.09.25"
    assert (pinned.selection.include_nc, pinned.selection.include_deprecated) == (True, True)


def test_identifiers_and_filters_are_for_the_api(opened: Open) -> None:
    named = opened(" mp-149, mp-aaaaaaft,mvc-13 @2025-09-25")
    assert isinstance(named, MaterialsProjectRest)
    assert named.source == "mp"
    assert named.identifiers == ("mp-149", "mvc-13")
    assert named.version == "2025-09-25"
    filtered = opened("", "elements=Li,O&nelements_max=3")
    assert isinstance(filtered, MaterialsProjectRest)
    assert filtered.parameters == {"elements": "Li,O", "nelements_max": "3"}


@pytest.mark.parametrize(
    ("text", "entry_filter", "message"),
    [
        ("mp149", None, "'mp149' is no identifier"),
        ("mp-149,", None, "'' is no identifier"),
        ("../../x", None, "no identifier"),
        ("mp-149", "is_stable=true", "give one of the two"),
        ("@newest", None, "'newest' is no database version"),
        ("@", None, "'' is no database version"),
        ("", "", "must be name=value"),
        ("", "elements", "must be name=value"),
        ("", "elements=", "must be name=value"),
        ("", "=Li", "must be name=value"),
        ("", "elements=Li&&nsites=3", "must be name=value"),
        ("", "nsites=3&nsites=4", "sets nsites twice"),
        ("", "license=All", "--include-nc"),
        ("", "deprecated=true", "--include-deprecated"),
        ("", "id_format=alpha", "leave it out"),
        ("", "_skip=10", "leave it out"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    opened: Open, text: str, entry_filter: str | None, message: str
) -> None:
    with pytest.raises(CrysiftError, match=message):
        opened(text, entry_filter)


def test_signs_in_filters_are_what_they_are() -> None:
    text = "possible_species=Fe2+,O2-&formula=Li%2AO&chemsys= Si-* "
    assert parse_filter(text) == {"possible_species": "Fe2+,O2-", "formula": "Li*O", "chemsys": "Si-*"}


@pytest.mark.parametrize("key", ["", "short", "x" * 33, "x" * 31 + "\n", "x" * 31 + " ", "é" * 32])
def test_a_key_that_is_none_is_refused_unquoted(
    opened: Open, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MP_API_KEY", key)
    with pytest.raises(CrysiftError, match="MP_API_KEY") as caught:
        opened("mp-149")
    assert "materialsproject.org/api" in str(caught.value)
    assert not key or key not in str(caught.value)


def test_the_address_of_the_api_is_that_of_mp_api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_ENDPOINT", raising=False)
    assert endpoint() == "https://api.materialsproject.org/"
    monkeypatch.setenv("MP_API_ENDPOINT", "http://127.0.0.1:1/api")
    assert endpoint() == "http://127.0.0.1:1/api/"


def test_versions_are_in_the_order_of_time() -> None:
    in_order = ["2022_10_28", "2023.9.1", "2023.11.1", "2024_11_14", "2025.09.25", "2025.09.25.post1"]
    assert sorted(in_order, key=in_time) == in_order
    assert sorted(in_order) != in_order
