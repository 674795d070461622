"""Identifiers, against the Materials Project's own library."""

import warnings

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.materials_project.identifiers import LAST_NUMBERED, all_numbered, is_identifier, numbered

with warnings.catch_warnings(action="ignore"):
    from emmet.core.mpid import AlphaID


@given(st.integers(0, 26**8 - 1), st.integers(0, 8))
def test_identifiers_have_a_number_where_the_project_gives_them_one(number: int, letters: int) -> None:
    lettered = str(AlphaID(number, padlen=letters, prefix="mp"))
    assert numbered(lettered) == AlphaID(number, padlen=8, prefix="mp").string
    assert is_identifier(lettered)


@pytest.mark.parametrize("number", [LAST_NUMBERED - 1, LAST_NUMBERED, LAST_NUMBERED + 1])
def test_the_last_number_is_the_last_of_the_project(number: int) -> None:
    assert (
        numbered(str(AlphaID(number, padlen=8, prefix="mp"))) == AlphaID(number, padlen=8, prefix="mp").string
    )


@pytest.mark.parametrize("identifier", ["mp-149", "mvc-0", "mp-9999999"])
def test_numbers_stay(identifier: str) -> None:
    assert numbered(identifier) == identifier


def test_what_has_another_form_stays() -> None:
    strange = [None, "", "mp-", "../../x", "<script>", "x" * 4096, "mp-ft", "mp-149", "MP-ft", "mp-ft\n"]
    expected = [*strange[:6], "mp-149", *strange[7:]]
    assert all_numbered(pa.array(strange)).to_pylist() == expected
    assert [text for text in strange if text and is_identifier(text)] == ["mp-ft", "mp-149"]
