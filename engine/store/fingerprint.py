"""What determines a table's numbers, as data that can be hashed and compared."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from engine.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from engine.stage import Stage
    from engine.store.table import Table

INGEST_REVISION = 2
"""Raised when ingest writes other columns, hashes or records than before."""
_SHOWN = 12


def canonical_json(value: Any) -> str:
    """Serialise to the one JSON text of a value: sorted keys, no spaces, no NaN.

    Raises ValueError for NaN or infinity and TypeError for values that JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Fingerprint:
    """Everything that determines a table's numbers; equal fingerprints mean interchangeable parts.

    ``model`` is the SHA-256 of the weights, ``source_table`` the folder name of the table read.
    """

    table: str
    schema_version: int
    revision: int
    settings: dict[str, Any]
    model: str | None
    source_table: str | None

    def __post_init__(self) -> None:
        """Bring the settings into the form they have after a round trip through a part's footer."""
        object.__setattr__(self, "settings", json.loads(canonical_json(self.settings)))

    @classmethod
    def of(cls, stage: "Stage", source: "Table") -> Self:
        """Fingerprint of the table that ``stage`` derives from ``source``."""
        return cls(
            table=stage.name,
            schema_version=SCHEMA_VERSION,
            revision=stage.revision,
            settings=stage.settings(),
            model=stage.model_hash(),
            source_table=source.folder.name,
        )

    @classmethod
    def ingested(cls, table: str) -> Self:
        """Fingerprint of a table that a connector fills: no settings, no source."""
        return cls(
            table, SCHEMA_VERSION, revision=INGEST_REVISION, settings={}, model=None, source_table=None
        )

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read back what ``to_json`` wrote."""
        return cls(**document)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, one per field."""
        return asdict(self)

    @property
    def hash8(self) -> str:
        """First eight hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical_json(self.to_json()).encode()).hexdigest()[:8]

    @property
    def folder_name(self) -> str:
        """Name of the table's folder: ``<table>-<hash8>``, or ``<table>`` for an ingested one."""
        return self.table if self.source_table is None else f"{self.table}-{self.hash8}"

    def differences(self, asked: "Fingerprint") -> list[str]:
        """Name every field in which this fingerprint, found in a store, is not the one asked for."""
        mine, theirs = _flat(self), _flat(asked)
        return [
            f"{name}: {_shown(mine, name)} in the store, {_shown(theirs, name)} asked"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name, _ABSENT) != theirs.get(name, _ABSENT)
        ]


_ABSENT = object()


def _flat(fingerprint: Fingerprint) -> dict[str, Any]:
    fields = fingerprint.to_json()
    settings: dict[str, Any] = fields.pop("settings")
    named = {f"setting {name}" if name in fields else name: value for name, value in settings.items()}
    return {name.replace("_", " "): value for name, value in fields.items()} | named


def _shown(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        return "absent"
    value = fields[name]
    if name == "model" and value is not None:
        return f"{value[:_SHOWN]}…"
    return value if isinstance(value, str) else canonical_json(value)
