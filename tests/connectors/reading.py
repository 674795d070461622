"""Reading sources in tests, page by page and without a store."""

import pyarrow as pa

from connectors import open_sources
from connectors.settings import SourceSettings
from engine.source import Connector


def opened(text: str, format: str | None = None, columns: str | None = None) -> Connector:  # noqa: A002
    """The one connector that a source gives."""
    (connector,) = open_sources([text], SourceSettings(format=format, columns=columns))
    return connector


def candidates(connector: Connector) -> list[pa.Table]:
    """What each page holds."""
    return [connector.read(page).candidates for page in connector.pages(None)]


def read_all(connector: Connector) -> tuple[pa.Table, pa.Table]:
    """All candidates and all rejects."""
    contents = [connector.read(page) for page in connector.pages(None)]
    tables = pa.concat_tables([content.candidates for content in contents], promote_options="default")
    return tables, pa.concat_tables([content.rejects for content in contents])


def keys(connector: Connector) -> list[str]:
    """The keys of all pages."""
    return [page.key for page in connector.pages(None)]
