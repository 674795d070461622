"""What entries of all sources share: values that may be wrong, and the reasons why some give no candidate."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from engine.schema import REJECTS

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
