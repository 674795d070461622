from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.species import Species
from engine.structure import Structure, candidates_table, structures_in, structures_table
from engine.validation import StructureLimits, validate

shares = st.sampled_from([1 / 3, 0.25, 0.5, 0.9999999, 1.0])


@st.composite
def definitions(draw: st.DrawFn, name: str) -> Species:
    symbols = draw(st.lists(st.sampled_from(["C", "Fe", "H", "O", "vacancy"]), min_size=1, max_size=3))
    amounts = [draw(shares) for _ in symbols]
    scale = max(sum(amounts), 1.0)
    return Species(name, ("Ti", *symbols), (0.0, *(a / scale for a in amounts)))


@st.composite
def mixtures(draw: st.DrawFn) -> Structure:
    """Structures with labels that are elements, or defined, or both."""
    names = draw(st.lists(st.sampled_from(["C", "D", "Fe", "one", "two"]), min_size=1, max_size=9))
    defined = {name for name in names if name in ("one", "two") or draw(st.booleans())}
    plain = [Species.of_label(name) for name in set(names) - defined]
    species = [draw(definitions(name)) for name in sorted(defined)]
    return Structure(
        "t", "1", tuple(names), np.eye(3)[[0] * len(names)], species=tuple(plain + species) if defined else ()
    )


@given(st.lists(mixtures(), max_size=6))
def test_a_batch_is_composed_as_its_structures_are_one_by_one(structures: list[Structure]) -> None:
    table = structures_table(structures)
    for row, structure in zip(table.to_pylist(), structures, strict=True):
        composition = structure.composition
        assert (row["formula"], row["nelements"]) == (composition.formula, composition.nelements)
        assert row["is_ordered"] == composition.is_ordered
        numbers = composition.atomic_numbers
        assert row["atomic_numbers"] == (None if numbers is None else numbers.tolist())
        assert row["content_hash"] == structure.content_hash
    for before, after in zip(structures, structures_in(table), strict=True):
        assert after.content_hash == before.content_hash
        assert after.composition.formula == before.composition.formula


def test_definitions_belong_to_their_row_and_the_last_of_a_name_counts() -> None:
    def row(source_id: str, *species: tuple[str, str]) -> dict[str, Any]:
        listed = [{"name": n, "chemical_symbols": [s], "concentration": [1.0]} for n, s in species]
        return {
            "source": "t",
            "source_id": source_id,
            "nsites": 2,
            "species_at_sites": ["A", "Fe"],
            "cartesian_site_positions": [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]],
            "dimension_types": [0, 0, 0],
            "species": listed or None,
        }

    rows = [
        row("0", ("A", "O"), ("Fe", "Fe"), ("unused", "Xe")),
        row("1", ("Fe", "Ni"), ("A", "O"), ("A", "S")),
        row("2", ("A", "O")),
        row("3"),
        row("4", ("A", "O"), ("Fe", "Zz")),
    ]
    schema = candidates_table([]).schema
    accepted, rejected = validate(pa.Table.from_pylist(rows, schema=schema), StructureLimits())
    assert accepted["formula"].to_pylist() == ["FeO", "NiS"]
    assert rejected["source_id"].to_pylist() == ["2", "3", "4"]
    reasons = rejected["error_message"].to_pylist()
    assert [word in reason for word, reason in zip(["'Fe'", "'A'", "'Zz'"], reasons, strict=True)] == [
        True
    ] * 3


@pytest.mark.parametrize("count", [0, 1])
def test_tables_without_sites_are_complete(count: int) -> None:
    table = structures_table([Structure("t", "1", (), np.empty((0, 3)))] * count)
    assert table["formula"].to_pylist() == [""] * count
    assert table["atomic_numbers"].to_pylist() == [[]] * count


def test_names_of_isotopes_tell_where_a_definition_has_no_mass() -> None:
    water = Structure("t", "1", ("O", "D", "D"), np.eye(3))
    defined = Structure(
        "t", "2", ("O", "D", "D"), np.eye(3), species=(Species.of_label("O"), Species("D", ("H",), (1.0,)))
    )
    table = structures_table([water, defined])
    assert table["species"].to_pylist() == [None, None]
    assert len(set(table["content_hash"].to_pylist())) == 1
    assert table["formula"].to_pylist() == ["H2O", "H2O"]
