"""From JSON documents of the API to columns, and to rejects for those that hold something else."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from connectors.entries import Failure, in_columns, moment_of, rejects_table
from connectors.materials_project.documents import DOCUMENT, PLACES, SOURCE
from connectors.materials_project.identifiers import is_identifier, numbered

UNREADABLE = (ValueError, TypeError, OverflowError)
"""What a document raises whose values are not of the kinds of their fields."""

_PATHS = {name: tuple(PLACES.get(name, name).split(".")) for name in DOCUMENT.names}


def tabulate(entries: Sequence[Any], place: str) -> tuple[pa.Table, pa.Table]:
    """Columns with the fields of ``DOCUMENT``, and rejects (REJECTS) for entries that do not fit them.

    ``place`` is where the entries come from.
    """
    documents, misfits = in_columns(entries, _columns, UNREADABLE)
    failures = [_failure(entries[i], f"entry {i} of {place}", error) for i, error in misfits.items()]
    return documents, rejects_table(SOURCE, failures)


def _columns(entries: Sequence[Any]) -> pa.Table:
    return pa.Table.from_struct_array(pa.array([_fields(entry) for entry in entries], DOCUMENT))


def _fields(entry: Any) -> dict[str, Any]:
    values = {name: _at(entry, path) for name, path in _PATHS.items()}
    updated = values["last_updated"]
    return values | {
        "last_updated": moment_of(updated.get("$date") if isinstance(updated, dict) else updated)
    }


def _at(entry: Any, path: Sequence[str]) -> Any:
    for name in path:
        if entry is None:
            return None
        if not isinstance(entry, Mapping):
            raise TypeError(f"{type(entry).__name__} where an object with {name!r} should be")
        entry = entry.get(name)
    return entry


def _failure(entry: Any, place: str, error: Exception) -> Failure:
    found = entry.get("material_id") if isinstance(entry, Mapping) else None
    identifier = found if isinstance(found, str) else ""
    source_id = numbered(identifier) if is_identifier(identifier) else identifier
    return Failure(source_id, "UnreadableValue", f"{place} is no summary document: {error}")
