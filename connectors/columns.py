"""Which columns of a foreign table hold what: layouts of known dumps, and a user's own mapping in TOML."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from engine.derivation import ALWAYS_DERIVED
from engine.errors import CrysiftError
from engine.schema import STRUCTURES
from engine.store.fingerprint import canonical_json

NUMBERS = "atomic_numbers_at_sites"
FRACTIONAL = "fractional_site_positions"
SPECIES_AT_SITES = "species_at_sites"
POSITIONS = "cartesian_site_positions"
LATTICES = "lattice_vectors"
_OURS = {"structure_id", "fetched_at", "extra_json", *ALWAYS_DERIVED}
TARGETS = (*(name for name in STRUCTURES.names if name not in _OURS), NUMBERS, FRACTIONAL)
"""What a column can be mapped to; the last two stand in for element symbols and Cartesian positions."""
ALTERNATIVES = ((SPECIES_AT_SITES, NUMBERS), (POSITIONS, FRACTIONAL))
CONSTANTS = ("source", "license", "source_version", "dimension_types")


@dataclass(frozen=True)
class ColumnMapping:
    """Where a table has the columns of the structures table.

    ``columns`` gives for a target the column that holds it, or several for ``source_id``, to be joined by
    "/". A dot leads into a struct, into the structs of a list, or into JSON text. The constants hold for all
    rows, where no column is mapped to them; without either, every structure is periodic in three dimensions.
    Lengths times ``angstrom_per_unit`` are in Å. The columns ``extra`` are kept in ``extra_json``.
    """

    columns: Mapping[str, str | Sequence[str]]
    source: str | None = None
    license: str | None = None
    source_version: str | None = None
    dimension_types: Sequence[int] | None = None
    angstrom_per_unit: float = 1.0
    extra: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse mappings that name what does not exist, or say a thing twice or not at all."""
        for target in self.columns:
            if target not in TARGETS:
                raise CrysiftError(f"{target!r} is no column to map to; those are {', '.join(TARGETS)}")
        for name in CONSTANTS:
            if name in self.columns and getattr(self, name) is not None:
                raise CrysiftError(f"{name} is given as a column and as a constant; give one of them")
        self._require_identity()
        self._require_geometry()

    def _require_identity(self) -> None:
        if "source_id" not in self.columns:
            raise CrysiftError("source_id is missing; map it to the column, or columns, that tell rows apart")
        if "source" not in self.columns and not self.source:
            raise CrysiftError('source is missing; name the data set, as in source = "gnome"')

    def _require_geometry(self) -> None:
        for one, other in ALTERNATIVES:
            if (one in self.columns) == (other in self.columns):
                raise CrysiftError(f"map a column to {one}, or one to {other}, and not to both")
        if FRACTIONAL in self.columns and LATTICES not in self.columns:
            raise CrysiftError(f"{FRACTIONAL} need the lattice; map a column to {LATTICES}")
        if not 0 < self.angstrom_per_unit < math.inf:
            raise CrysiftError(f"angstrom_per_unit is {self.angstrom_per_unit}; it must be a positive number")

    def inputs(self, target: str) -> tuple[str, ...]:
        """Columns, or paths into columns, that a target is made of."""
        found = self.columns.get(target, ())
        return (found,) if isinstance(found, str) else tuple(found)

    @property
    def labels(self) -> str:
        """Column, or path, that tells the elements at the sites."""
        (path,) = self.inputs(SPECIES_AT_SITES) or self.inputs(NUMBERS)
        return path

    @property
    def constants(self) -> dict[str, Any]:
        """Values that hold for every row, by target."""
        given = {name: getattr(self, name) for name in CONSTANTS}
        periodic = {} if "dimension_types" in self.columns else {"dimension_types": [1, 1, 1]}
        return periodic | {name: value for name, value in given.items() if value is not None}

    @property
    def paths(self) -> list[str]:
        """Every column, or path into one, that is read, each once."""
        read = [path for target in self.columns for path in self.inputs(target)]
        return list(dict.fromkeys([*read, *self.extra]))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that determines what the mapping makes of a table."""
        return blake2b(canonical_json(self.as_json()).encode(), digest_size=8).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the mapping as JSON values."""
        return {**asdict(self), "columns": {target: self.inputs(target) for target in self.columns}}


_LEMAT = ColumnMapping(
    columns={
        "source_id": ("immutable_id", "functional"),
        "immutable_id": "immutable_id",
        "nsites": "nsites",
        SPECIES_AT_SITES: SPECIES_AT_SITES,
        POSITIONS: POSITIONS,
        LATTICES: LATTICES,
        "dimension_types": "dimension_types",
        "species": "species",
        "last_modified": "last_modified",
    },
    source="lemat-bulk",
    license="CC-BY-4.0",
    extra=("functional", "cross_compatibility", "energy"),
)
"""LeMat-Bulk and LeMat-BulkUnique: a material occurs once for each functional it was computed with."""

_STEPS = ("relaxation_number", "relaxation_step")

LAYOUTS = {
    "lemat-traj": ColumnMapping(
        columns={**_LEMAT.columns, "source_id": ("immutable_id", "functional", *_STEPS)},
        source="lemat-traj",
        license=_LEMAT.license,
        extra=_LEMAT.extra,
    ),
    "lemat-bulk": _LEMAT,
    "colabfit": ColumnMapping(
        columns={
            "source_id": "property_id",
            "immutable_id": "configuration_id",
            "nsites": "nsites",
            NUMBERS: "atomic_numbers",
            POSITIONS: "positions",
            LATTICES: "cell",
            "dimension_types": "pbc",
            "last_modified": "last_modified",
        },
        source="colabfit",
        extra=("dataset_id", "method", "energy"),
    ),
}
"""Dumps that are recognised by their columns; where one has all columns of another, it comes first."""


def recognised(names: Sequence[str]) -> ColumnMapping | None:
    """Return the layout all of whose columns are among ``names``."""
    return next((layout for layout in LAYOUTS.values() if set(layout.paths) <= set(names)), None)


def load_mapping(name_or_path: str) -> ColumnMapping:
    """Return a layout by its name, or the mapping in a TOML file.

    Raises:
        CrysiftError: there is no such layout or file, or it is not a mapping.
    """
    if name_or_path in LAYOUTS:
        return LAYOUTS[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise CrysiftError(
            f"there is no column mapping {name_or_path!r}; name a TOML file, or one of {', '.join(LAYOUTS)}"
        )
    try:
        return _from_document(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, CrysiftError) as error:
        raise CrysiftError(f"{path} is not a column mapping: {error}") from error


def _from_document(document: dict[str, Any]) -> ColumnMapping:
    for name, value in document.items():
        if name not in _FORMS:
            raise CrysiftError(f"{name!r} is not known; what a mapping holds is {', '.join(_FORMS)}")
        fits, form = _FORMS[name]
        if not fits(value):
            raise CrysiftError(f"{name} is {value!r}; it must be {form}")
    if "columns" not in document:
        raise CrysiftError("it has no table [columns]")
    return ColumnMapping(**document)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_periodicity(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(v in (0, 1) and type(v) is int for v in value)


def _is_columns(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(_is_text(v) or (target == "source_id" and _is_texts(v)) for target, v in value.items())


_FORMS = {
    "columns": (_is_columns, "a table of column names, with a list of them for source_id alone"),
    **dict.fromkeys(("source", "license", "source_version"), (_is_text, "a text")),
    "dimension_types": (_is_periodicity, "three numbers, each 0 or 1"),
    "angstrom_per_unit": (_is_number, "a number"),
    "extra": (_is_texts, "a list of column names"),
}
