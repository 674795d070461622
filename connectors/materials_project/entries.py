"""From JSON documents of the API to columns, and to rejects for those that hold something else."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from connectors.materials_project.documents import DOCUMENT, PLACES, SOURCE
from connectors.materials_project.identifiers import is_identifier, numbered
from engine.schema import REJECTS

UNREADABLE = (ValueError, TypeError, OverflowError)
"""What a document raises whose values are not of the kinds of their fields."""
LONGEST_REASON = 500

_PATHS = {name: tuple(PLACES.get(name, name).split(".")) for name in DOCUMENT.names}


def tabulate(entries: Sequence[Any], place: str) -> tuple[pa.Table, pa.Table]:
    """Columns with the fields of ``DOCUMENT``, and rejects (REJECTS) for entries that do not fit them.

    ``place`` is where the entries come from.
    """
    try:
        return _columns(entries), REJECTS.empty_table()
    except UNREADABLE:
        pass
    sound, rejects = [_columns([])], [REJECTS.empty_table()]
    for number, entry in enumerate(entries):
        try:
            sound.append(_columns([entry]))
        except UNREADABLE as error:
            rejects.append(_reject(entry, f"entry {number} of {place}", error))
    return pa.concat_tables(sound), pa.concat_tables(rejects)


def _columns(entries: Sequence[Any]) -> pa.Table:
    return pa.Table.from_struct_array(pa.array([_fields(entry) for entry in entries], DOCUMENT))


def _fields(entry: Any) -> dict[str, Any]:
    values = {name: _at(entry, path) for name, path in _PATHS.items()}
    return values | {"last_updated": _moment(values["last_updated"])}


def _at(entry: Any, path: Sequence[str]) -> Any:
    for name in path:
        if entry is None:
            return None
        if not isinstance(entry, Mapping):
            raise TypeError(f"{type(entry).__name__} where an object with {name!r} should be")
        entry = entry.get(name)
    return entry


def _moment(value: Any) -> datetime | None:
    """A time in UTC, which is assumed where it does not tell its zone; None for what is no time."""
    if isinstance(value, Mapping):
        value = value.get("$date")
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except UNREADABLE:
        return None


def _reject(entry: Any, place: str, error: Exception) -> pa.Table:
    found = entry.get("material_id") if isinstance(entry, Mapping) else None
    identifier = found.encode(errors="replace").decode() if isinstance(found, str) else ""
    source_id = numbered(identifier) if is_identifier(identifier) else identifier
    reason = " ".join(str(error).encode(errors="replace").decode().split())[:LONGEST_REASON]
    row = {
        "structure_id": f"{SOURCE}:{source_id}",
        "source": SOURCE,
        "source_id": source_id,
        "error_stage": "read",
        "error_class": "UnreadableValue",
        "error_message": f"{place} is no summary document: {reason}",
        "fetched_at": datetime.now(UTC),
    }
    return pa.Table.from_pylist([row], schema=REJECTS)
