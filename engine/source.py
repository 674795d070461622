"""What a source of structures is to the engine: pages that are read one after the other, each resumable."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from engine.errors import CrysiftError

PAGE_ROWS = 1024
PAGE_PAIRS = 2e7
"""Largest page that a source cuts itself, in rows and in predicted neighbour pairs."""


class SourceInterruptedError(CrysiftError):
    """A source stopped answering; what was fetched is stored, and the same command goes on there."""


@dataclass(frozen=True)
class Page:
    """A portion of a source.

    ``key`` identifies its content: pages of equal key are fetched once. ``payload`` tells the connector where
    the page is; for a page that follows another it consists of JSON values, since the store keeps it as the
    cursor from which a later run goes on.
    """

    key: str
    label: str
    payload: Any


@dataclass(frozen=True)
class PageContent:
    """What a page held: candidates, with the columns of the structures table or fewer, and rejects (REJECTS).

    ``following`` is the page that comes after this one, where only this one could tell. ``announced`` is how
    many entries the source says there are in the whole chain of pages, ``answered_at`` its own clock.
    ``dropped`` counts entries that the source itself left out of the page, ``remarks`` are for the user.
    """

    candidates: pa.Table
    rejects: pa.Table
    following: Page | None = None
    announced: int | None = None
    answered_at: datetime | None = None
    dropped: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def entries(self) -> int:
        """How many entries of the source arrived."""
        return len(self.candidates) + len(self.rejects)


@dataclass(frozen=True)
class Harvest:
    """A passage through a live source that came to its end: its number, from 0.

    ``started`` is its start by the source's clock; None where the next one must read everything again.
    """

    number: int
    started: datetime | None


class Connector(Protocol):
    """A source of structures."""

    source: str
    concurrency: int
    """How many pages may be read at a time; ``read`` is called from as many threads."""
    live: bool
    """Whether entries may change while they are read: an id that comes again is then a later version."""

    def describe(self) -> dict[str, Any]:
        """Tell what is read, for the record of the run (JSON values, no secrets)."""

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        """Yield the first page of each chain; all pages, where they are known without reading.

        With ``previous``, those of a new passage for what is new or changed since its start; none where the
        keys of the pages themselves tell what changed.
        """

    def read(self, page: Page) -> PageContent:
        """Fetch a page and map its entries.

        Raises:
            SourceInterruptedError: the source does not answer, or not intelligibly, after bounded attempts.
            CrysiftError: the request cannot succeed as it is.
        """

    def close(self) -> None:
        """Let go of processes, connections and what is held in memory; a later read opens them again."""
