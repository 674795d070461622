"""A web service with prepared pages: OPTIMADE, and the summary route of the Materials Project's API."""

from __future__ import annotations

import gzip
import re
from functools import lru_cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobs.bench.database import Database
    from jobs.bench.processes import Tell

PAGE = 1000
"""Entries on a page where nothing else is asked for."""
PAGES_KEPT = 128
LICENSE = "CC-BY-4.0"
API_VERSION = "0.87.3"
VERSION = "2025.09.25"
"""Of the Materials Project's database."""

_CONDITION = re.compile(r'id (>|<=) "s-(\d+)"')


def serve(tell: Tell, database: Database) -> None:
    """Serve a database on a free port of this machine; pages that were asked for before are kept ready."""
    pages = lru_cache(PAGES_KEPT)(partial(_body, database))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, pages)) as http:
        tell(f"http://127.0.0.1:{http.server_port}")
        http.serve_forever()


def environment(address: str) -> dict[str, str]:
    """Environment variables that lead to the API at an address, with a key that it does not look at."""
    return {"MP_API_ENDPOINT": f"{address}/", "MP_API_KEY": "0" * 32}


class _Handler(BaseHTTPRequestHandler):
    """Sends pages, by connections that stay open."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # the head of an answer and its body in one piece
    disable_nagle_algorithm = True

    def __init__(self, pages: Callable[[str, bool], bytes | None], *connection: Any) -> None:
        self._pages = pages
        super().__init__(*connection)

    def do_GET(self) -> None:
        packed = "gzip" in self.headers.get("accept-encoding", "")
        body = self._pages(f"http://{self.headers['host']}{self.path}", packed)
        self.send_response(404 if body is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body or b"")))
        if body and packed:
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *message: Any) -> None:
        """Say nothing of requests."""


def _body(database: Database, address: str, packed: bool) -> bytes | None:
    document = _document(database, address)
    if document is None:
        return None
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return gzip.compress(body, compresslevel=1) if packed else body


def _document(database: Database, address: str) -> dict[str, Any] | None:
    """What there is at an address."""
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    match parts.path:
        case "/v1/info":
            info = {"api_version": "1.2.0", "is_index": False, "available_licenses": [LICENSE]}
            return {"data": {"type": "info", "id": "/", "attributes": info}}
        case "/v1/info/structures":
            return {"data": {"properties": {"id": {"sortable": True}}}}
        case "/v1/structures":
            return _structures(database, address.partition("?")[0], query)
        case "/heartbeat":
            return {"version": API_VERSION, "db_version": VERSION, "access_controlled_batch_ids": []}
        case "/materials/summary/":
            return _summary(database, query)
    return None


def _structures(database: Database, here: str, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of those entries, in the order of their ids, that the conditions on ids leave."""
    conditions = [(sign, int(number)) for sign, number in _CONDITION.findall(query.get("filter", ""))]
    first = max((number + 1 for sign, number in conditions if sign == ">"), default=0)
    stop = min((number + 1 for sign, number in conditions if sign == "<="), default=database.count)
    start = first + int(query.get("page_offset", 0))
    end = min(start + int(query.get("page_limit", PAGE)), stop)
    entries = [database.entry(number) for number in range(start, end)]
    if query.get("response_fields") == "id":
        entries = [entry | {"attributes": {}} for entry in entries]
    following = f"{here}?{urlencode({**query, 'page_offset': end - first})}" if end < stop else None
    meta = {
        "api_version": "1.2.0",
        "data_returned": max(stop - first, 0),
        "data_available": database.count,
        "more_data_available": end < stop,
    }
    return {"data": entries, "meta": meta, "links": {"next": following}}


def _summary(database: Database, query: Mapping[str, str]) -> dict[str, Any]:
    start = int(query.get("_skip", 0))
    end = min(start + int(query.get("_limit", PAGE)), database.count)
    documents = [database.document(number) for number in range(start, end)]
    return {"data": documents, "meta": {"total_doc": database.count}}
