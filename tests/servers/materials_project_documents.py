"""Documents of the Materials Project's summary collection, made by its own models from crystals."""

import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

VERSION = "2025.09.25"
UPDATED = datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
ELEMENTS = ("Li", "Na", "K", "Rb", "Cs")

Document = dict[str, Any]


def summary_document(structure: Structure, number: int, **values: Any) -> Document:
    """What the collection holds of a material; ``values`` are other fields than the usual ones."""
    with warnings.catch_warnings(action="ignore"):
        from emmet.core.summary import SummaryDoc

    document: Document = SummaryDoc.from_structure(
        meta_structure=structure,
        material_id=f"mp-{number}",
        property_name="summary",
        has_props={},
        **{
            "deprecated": False,
            "last_updated": UPDATED + timedelta(seconds=number),
            "builder_meta": {"license": "BY-C", "build_date": UPDATED},
            "energy_above_hull": number / 1000,
            "theoretical": number % 2 == 0,
            **values,
        },
    ).model_dump()
    return document


def crystal(number: int) -> Structure:
    """A triclinic halide, another one for each number, with sites outside the cell."""
    lattice = Lattice.from_parameters(5.0 + number / 100, 5.5, 6.0, 80.0, 85.0, 95.0)
    cation = ELEMENTS[number % len(ELEMENTS)]
    places = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.25, 0.5, 0.0], [1.25, -0.4, 0.1 + number / 1e4]]
    return Structure(lattice, [cation, "Cl", cation, "F"], places)


@cache
def _documents(count: int) -> tuple[Document, ...]:
    return tuple(summary_document(crystal(number), number) for number in range(1, count + 1))


def summary_documents(count: int) -> list[Document]:
    """Documents of the materials mp-1, mp-2, …; each call returns new ones."""
    return [{**document, "builder_meta": dict(document["builder_meta"])} for document in _documents(count)]


def summary_table(documents: Sequence[Document]) -> pa.Table:
    """The documents in the columns that the models prescribe."""
    with warnings.catch_warnings(action="ignore"):
        from emmet.core.arrow import arrowize
        from emmet.core.summary import SummaryDoc

    schema = pa.schema(arrowize(SummaryDoc))
    return pa.Table.from_pylist([_by_schema(document, schema) for document in documents], schema=schema)


def _by_schema(document: Document, schema: Iterable[pa.Field]) -> Document:
    """Only what the tests are about; maps are lists of pairs in Arrow."""
    plain = {field.name for field in schema if not pa.types.is_map(field.type)}
    return {name: value for name, value in document.items() if name in plain}
