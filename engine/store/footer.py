"""The record that every part carries in its Parquet footer."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from engine.store.fingerprint import Fingerprint, canonical_json

FOOTER_KEY = b"crysift"


@cache
def package_version() -> str:
    """Version of the installed distribution, or ``"unknown"`` when run from a bare source tree."""
    try:
        return version("crysift")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class PartFooter:
    """Provenance and counts of one part.

    ``content_hash`` is a BLAKE2b of the part's encoded columns, ``source_hash`` that of the part it was
    derived from. ``cost`` is the predicted work of deriving the next table from this part: neighbour pairs
    for structures, usable rows otherwise. ``cursor`` is what ingest recorded of an ingested part: the page of
    the source, and the limits that its structures keep to.
    """

    fingerprint: Fingerprint
    content_hash: str
    source_part: str | None
    source_hash: str | None
    rows_in: int
    rows_out: int
    failed: int
    cost: float
    package_version: str
    cursor: str | None = None

    def to_bytes(self) -> bytes:
        """Return the canonical JSON stored under ``FOOTER_KEY``; equal footers give equal bytes."""
        source = {"part": self.source_part, "content_hash": self.source_hash} if self.source_part else None
        document = {
            "schema_version": self.fingerprint.schema_version,
            "table": self.fingerprint.table,
            "fingerprint": self.fingerprint.to_json(),
            "content_hash": self.content_hash,
            "source": source,
            "rows": {"in": self.rows_in, "out": self.rows_out, "failed": self.failed},
            "cost": self.cost,
            "package_version": self.package_version,
            "cursor": self.cursor,
        }
        return canonical_json(document).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read back ``to_bytes``; ValueError, KeyError or TypeError for anything else."""
        document: dict[str, Any] = json.loads(data)
        source = document["source"] or {}
        rows = document["rows"]
        return cls(
            fingerprint=Fingerprint.from_json(document["fingerprint"]),
            content_hash=document["content_hash"],
            source_part=source.get("part"),
            source_hash=source.get("content_hash"),
            rows_in=rows["in"],
            rows_out=rows["out"],
            failed=rows["failed"],
            cost=document["cost"],
            package_version=document["package_version"],
            cursor=document["cursor"],
        )
