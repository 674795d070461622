"""What connectors to the Materials Project give, read without a store."""

from engine.source import Connector, Page, PageContent
from tests.connectors.materials_project.conftest import COUNT


def pages_of(source: Connector) -> list[Page]:
    """All pages."""
    return list(source.pages(None))


def all_of(source: Connector) -> list[PageContent]:
    """What all pages hold."""
    return [source.read(page) for page in pages_of(source)]


def identifiers(contents: list[PageContent]) -> list[str]:
    """The ids of all candidates."""
    return [name for content in contents for name in content.candidates["source_id"].to_pylist()]


def usual() -> list[str]:
    """The materials that are neither deprecated nor restricted, in order."""
    return [f"mp-{number}" for number in range(1, COUNT + 1) if number not in {3, 5, 17}]
