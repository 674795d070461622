"""Reading an OPTIMADE database from its first page to its last, without a store."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from connectors.http import Patience
from connectors.optimade import OptimadeConnector, open_optimade
from engine.source import Harvest, Page, PageContent

BRIEF = Patience(attempts=3, first_wait=0.001, longest_wait=0.01, connect=5.0, silence=20.0, answer=60.0)


MOST_PAGES = 200


@dataclass(frozen=True)
class Passage:
    """What came of a passage: the pages, and what each of them held."""

    pages: list[Page]
    contents: list[PageContent]

    @property
    def candidates(self) -> pa.Table:
        """All candidates, in order."""
        return pa.concat_tables(content.candidates for content in self.contents)

    @property
    def rejects(self) -> pa.Table:
        """All rejects, in order."""
        return pa.concat_tables(content.rejects for content in self.contents)

    @property
    def ids(self) -> list[str]:
        """The ids of all entries that arrived, in order."""
        found: list[str] = self.candidates["source_id"].to_pylist() + self.rejects["source_id"].to_pylist()
        return found

    @property
    def announced(self) -> int | None:
        """What the last page says of the number of entries."""
        return self.contents[-1].announced

    @property
    def remarks(self) -> set[str]:
        """What the user is told."""
        return {remark for content in self.contents for remark in content.remarks}

    @property
    def by_id(self) -> bool:
        """Whether the pages followed each other by ids, and not by links."""
        return bool(self.pages[-1].payload["plan"]["by_id"])


def connect(url: str, filter: str | None = None) -> OptimadeConnector:  # noqa: A002 -- as the option
    """The one connector for an address."""
    (connector,) = open_optimade(url, filter, BRIEF)
    return connector


def stored(page: Page) -> Page:
    """A page as it comes out of the footer of a part."""
    return replace(page, payload=json.loads(json.dumps(page.payload)))


def steps(
    connector: OptimadeConnector, previous: Harvest | None = None
) -> Iterator[tuple[Page, PageContent]]:
    """Read page after page, each by a cursor that has been stored."""
    following: Page | None
    (following,) = connector.pages(previous)
    for _ in range(MOST_PAGES):
        content = connector.read(stored(following))
        yield following, content
        following = content.following
        if following is None:
            return
    raise AssertionError(f"{MOST_PAGES} pages, and no end")


def harvest(connector: OptimadeConnector, previous: Harvest | None = None) -> Passage:
    """Read a passage to its end."""
    pages, contents = zip(*steps(connector, previous), strict=True)
    return Passage(list(pages), list(contents))
