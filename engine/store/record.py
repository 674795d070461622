"""What ingest notes in the footer of a part: which pages it holds, what became of them, and what follows."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from engine.source import Page
from engine.store.fingerprint import canonical_json
from engine.store.footer import PartFooter


@dataclass(frozen=True)
class PartRecord:
    """Pages of one chain, from the one that names the part to the one before ``following``.

    Of the ``entries`` that arrived, ``known`` were in the store unchanged (in the parts ``known_in``), the
    others are rows of the part or rejects; ``replaced`` of the rows are later versions of rows in earlier
    parts. ``dropped`` never arrived, as the source said. ``announced`` is the chain's total by the last page;
    times are ISO 8601.
    """

    label: str
    limits: dict[str, float]
    pages: int
    entries: int
    known: int
    known_in: tuple[str, ...]
    replaced: int
    dropped: int
    announced: int | None
    answered_at: str | None
    ingested_at: str
    remarks: tuple[str, ...]
    following: Page | None

    def to_json(self) -> str:
        """Return the canonical JSON that the footer keeps as its cursor."""
        return canonical_json(asdict(self))

    @classmethod
    def of(cls, footer: PartFooter) -> Self:
        """Read the record in a part's footer."""
        document: dict[str, Any] = json.loads(footer.cursor or "{}")
        document["following"] = Page(**document["following"]) if document["following"] else None
        return cls(**document | {name: tuple(document[name]) for name in ("known_in", "remarks")})
