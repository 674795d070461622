"""What entries of all sources share: values that may be wrong, and the reasons why some give no candidate."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from engine.schema import REJECTS

Entry = TypeVar("Entry")

LONGEST_REASON = 1000
"""Characters of a reason, which may quote what a server sent."""


@dataclass(frozen=True)
class Failure:
    """Why an entry, a file or a frame gave no candidate; ``source_id`` is empty where it has none."""

    source_id: str
    error_class: str
    message: str


def rejects_table(source: str, failures: Iterable[Failure]) -> pa.Table:
    """Tabulate reasons as rejects (REJECTS); what UTF-8 cannot hold becomes escapes."""
    moment = datetime.now(UTC)
    rows = [
        {
            "structure_id": f"{source}:{storable(failure.source_id)}",
            "source": source,
            "source_id": storable(failure.source_id),
            "error_stage": "read",
            "error_class": failure.error_class,
            "error_message": storable(" ".join(failure.message.split()))[:LONGEST_REASON],
            "fetched_at": moment,
        }
        for failure in failures
    ]
    return pa.Table.from_pylist(rows, schema=REJECTS)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def in_columns(
    entries: Sequence[Entry],
    columns: Callable[[Sequence[Entry]], pa.Table],
    misfits: tuple[type[Exception], ...],
) -> tuple[pa.Table, dict[int, Exception]]:
    """Tabulate the entries that fit into ``columns``, in order; and tell, by number, what the others raise.

    Entries that do not fit raise one of ``misfits``; they are found by halving.
    """
    try:
        return columns(entries), {}
    except misfits as error:
        if len(entries) == 1:
            return columns(()), {0: error}
    half = len(entries) // 2
    first, misfits_first = in_columns(entries[:half], columns, misfits)
    second, misfits_second = in_columns(entries[half:], columns, misfits)
    shifted = {half + number: error for number, error in misfits_second.items()}
    return pa.concat_tables([first, second]), misfits_first | shifted


def storable(text: str) -> str:
    """A text that every table takes: halves of surrogate pairs become escapes."""
    return text.encode(errors="backslashreplace").decode()


def moment_of(value: object) -> datetime | None:
    """A time in UTC, which is assumed where the text does not tell its zone; None for what is no time."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None:
            return None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
