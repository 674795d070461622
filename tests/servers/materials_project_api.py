"""The Materials Project's own API server (emmet-api), on a database in memory, behind a check of keys."""

import asyncio
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.servers.materials_project_documents import VERSION, Document

KEY = "0123456789abcdefghijABCDEFGHIJ42"
"""A key of no service."""


@dataclass
class ApiServer:
    """What runs; ``heartbeat`` may be changed, ``requests`` are the parameters asked for so far."""

    url: str
    heartbeat: dict[str, Any]
    requests: list[dict[str, str]] = field(default_factory=list)


@dataclass
class _Found:
    documents: list[Document]

    async def to_list(self) -> list[Document]:
        return self.documents


@dataclass
class _AsyncCollection:
    """The calls of pymongo's asynchronous collection that the server makes, without its hints."""

    collection: Any

    async def count_documents(self, criteria: Mapping[str, Any], **_: Any) -> int:
        return int(self.collection.count_documents(criteria))

    async def aggregate(self, pipeline: Sequence[Mapping[str, Any]], **_: Any) -> _Found:
        return _Found(list(self.collection.aggregate(pipeline)))


@dataclass
class _Gateway:
    """Asks for the key, as the gateway of the service does, and tells the groups that its user is in."""

    app: Any
    groups: str
    server: ApiServer

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] != "/heartbeat":
            headers = {name.lower(): value for name, value in scope["headers"]}
            if headers.get(b"x-api-key") != KEY.encode():
                await _refuse(send, headers)
                return
            query = parse_qs(scope["query_string"].decode())
            self.server.requests.append({name: values[0] for name, values in query.items()})
            scope["headers"] = [*scope["headers"], (b"x-consumer-groups", self.groups.encode())]
        await self.app(scope, receive, send)


async def _refuse(send: Any, headers: Mapping[bytes, bytes]) -> None:
    body = b"no user has this key; the headers were " + repr(headers).encode()
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def materials_project_api(
    documents: Sequence[Document], *, non_commercial: bool = False, version: str = VERSION
) -> Iterator[ApiServer]:
    """Serve ``documents`` to ``KEY``, whose user has accepted ``non_commercial`` terms or not."""
    with warnings.catch_warnings(action="ignore"):
        import mongomock
        import uvicorn
        from emmet.api.core.api import MAPI
        from emmet.api.resource.utils import CollectionWithKey
        from emmet.api.routes.materials.summary.resources import summary_resource

    collection: Any = mongomock.MongoClient().mp.summary
    if documents:
        collection.insert_many([dict(document) for document in documents])
    store: Any = _AsyncCollection(collection)
    resource = summary_resource(CollectionWithKey(store))  # type: ignore[no-untyped-call]
    listening = socket.create_server(("127.0.0.1", 0))
    heartbeat = {"db_version": version, "access_controlled_batch_ids": ["gnome_r2scan_statics"]}
    server = ApiServer(f"http://127.0.0.1:{listening.getsockname()[1]}/", heartbeat)
    api = MAPI({"materials": [resource]}, heartbeat_meta=heartbeat).app
    gateway = _Gateway(api, "TERMS:ACCEPT-NC" if non_commercial else "user", server)
    running = uvicorn.Server(uvicorn.Config(gateway, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=asyncio.run, args=(running.serve([listening]),), daemon=True)
    thread.start()
    try:
        while not running.started:
            time.sleep(0.01)
        yield server
    finally:
        running.should_exit = True
        thread.join()
        listening.close()
