"""A NOMAD installation on loopback: its API of entries and archives, over entries held in memory.

As with nomad-lab 2.0, entries without an archive are left out of a page without a word, an unknown personal
access token counts as none, and too many requests meet nginx's 503 before they reach the API.
"""

import base64
import hashlib
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Annotated, Any, Self

import orjson
import uvicorn
from fastapi import APIRouter, FastAPI, Header, HTTPException, Request, Response
from starlette.middleware.gzip import GZipMiddleware

from tests.servers.nomad_search import (
    QUANTITIES,
    ArchiveSearch,
    Found,
    MetadataSearch,
    Owner,
    ReplicaEntry,
    Search,
    find,
    normalized,
    reduced,
)

PATH = "/nomad-oasis/api/v1"
METRES = 1e-10
PERSONAL = "nomad_pat_"
PROCESSED = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
NGINX = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n</body></html>"
)


def nomad_id(*parts: object) -> str:
    """An id as NOMAD makes it: 28 digits of a hash to base 64."""
    digest = hashlib.sha512("".join(map(str, parts)).encode()).digest()
    return base64.b64encode(digest, altchars=b"-_")[:28].decode()


def nomad_structure(
    labels: Sequence[str],
    positions: Sequence[Sequence[float]],
    lattice: Sequence[Sequence[float]],
    dimension_types: Sequence[int] = (1, 1, 1),
    species: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """A section ``results.Structure`` as NOMAD's normalizer writes it; lengths are given in Å."""
    trivial = [
        {"name": label, "chemical_symbols": [label], "concentration": [1.0]}
        for label in dict.fromkeys(labels)
    ]
    return {
        "dimension_types": list(dimension_types),
        "lattice_vectors": [[x * METRES for x in vector] for vector in lattice],
        "cartesian_site_positions": [[x * METRES for x in site] for site in positions],
        "species_at_sites": list(labels),
        "cell_volume": 1.0e-28,
        "species": list(species or trivial),
        "lattice_parameters": {"a": 5e-10, "b": 5e-10, "c": 5e-10, "alpha": 1.5707963267948966},
    }


def nomad_entry(
    structure: Any,
    number: int = 0,
    *,
    entry_id: str | None = None,
    processed: datetime = PROCESSED,
    index: Mapping[str, Any] | None = None,
    viewers: Iterable[str] = (),
    has_archive: bool = True,
) -> ReplicaEntry:
    """An entry of an upload of ten with this ``structure_original``; ``index`` overrides what is searched."""
    upload_id = nomad_id("upload", number // 10)[:22]
    identity = nomad_id(upload_id, f"{number}/vasprun.xml") if entry_id is None else entry_id
    labels = structure.get("species_at_sites") if isinstance(structure, dict) else None
    elements = sorted({str(label) for label in labels or ()})
    material_id = nomad_id("material", *elements)
    known = {
        "entry_id": identity,
        "upload_id": upload_id,
        "parser_name": "parsers/vasp",
        "nomad_version": "1.3.4",
        "quantities": ["metadata.license", "results.properties.structures.structure_original"],
        "published": True,
        "with_embargo": False,
        "last_processing_time": processed,
        "results.material.material_id": material_id,
        "results.material.elements": elements,
        "results.material.n_elements": len(elements),
    }
    archive = {
        "metadata": {
            "upload_id": upload_id,
            "entry_id": identity,
            "license": "CC BY 4.0",
            "last_processing_time": processed.isoformat(),
            "nomad_version": "1.3.4",
            "quantities": known["quantities"],
        },
        "results": {
            "material": {"material_id": material_id, "elements": elements},
            "properties": {"structures": {"structure_original": structure}},
        },
    }
    return ReplicaEntry(known | dict(index or {}), archive if has_archive else None, frozenset(viewers))


class Json(Response):
    """As NOMAD's: NaN and infinities become null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


@dataclass(eq=False)
class NomadReplica:
    """A server of ``entries`` while the context lasts; ``entries`` may change meanwhile.

    ``tokens`` are the users of known tokens. Beyond ``per_second`` requests or ``at_once``, nginx answers
    503; pages of more than ``largest_page`` entries time out at the gateway. ``requests`` and ``listings``
    are the bodies that came, for archives and for metadata alone.
    """

    entries: list[ReplicaEntry]
    tokens: Mapping[str, str] = field(default_factory=dict)
    per_second: int = 30
    at_once: int = 10
    largest_page: int = sys.maxsize
    needs_login: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    listings: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._moments: deque[float] = deque()
        self._open = 0
        self._lock = threading.Lock()
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(self._app(), log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def url(self) -> str:
        """Address of the installation, less ``/api/v1``."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}{PATH.removesuffix('/api/v1')}"

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _app(self) -> FastAPI:
        app = FastAPI()
        router = APIRouter(prefix=PATH)
        router.add_api_route("/entries/archive/query", self._archives, methods=["POST"])
        router.add_api_route("/entries/query", self._metadata, methods=["POST"])
        app.include_router(router)
        app.add_middleware(GZipMiddleware, compresslevel=1)
        app.middleware("http")(self._gate)
        return app

    async def _gate(self, request: Request, answer: Callable[[Request], Any]) -> Response:
        """nginx before the API: limits by address, and a gateway that waits for so long only."""
        with self._lock:
            now = time.monotonic()
            while self._moments and self._moments[0] < now - 1:
                self._moments.popleft()
            if len(self._moments) >= self.per_second or self._open >= self.at_once:
                page = NGINX.format("503 Service Temporarily Unavailable")
                return Response(page, 503, media_type="text/html")
            self._moments.append(now)
            self._open += 1
        try:
            response: Response = await answer(request)
            return response
        finally:
            with self._lock:
                self._open -= 1

    def _user(self, authorization: str | None) -> str | None:
        scheme, _, token = (authorization or "").partition(" ")
        user = self.tokens.get(token) if scheme.lower() == "bearer" else None
        challenge = {"WWW-Authenticate": "Bearer"}
        if token and user is None and not token.startswith(PERSONAL):
            raise HTTPException(401, "Could not validate credentials. The given token is invalid.", challenge)
        if user is None and self.needs_login:
            raise HTTPException(401, "Authentication required.", challenge)
        return user

    def _archives(
        self, asked: ArchiveSearch, authorization: Annotated[str | None, Header()] = None
    ) -> Response:
        self.requests.append(asked.model_dump(by_alias=True, exclude_unset=True))
        user = self._user(authorization)
        if asked.owner is Owner.ALL:
            raise HTTPException(403, "The owner=all is not allowed for this operation")
        if asked.pagination.page_size > self.largest_page:
            return Response(NGINX.format("504 Gateway Time-out"), 504, media_type="text/html")
        found = find(self.entries, asked, user)
        required = "*" if asked.required is None else asked.required
        data = [
            {name: entry.index[name] for name in ("entry_id", "upload_id", "parser_name")}
            | {"archive": reduced(required, entry.archive) | {"m_ref_archives": {}}}
            for entry in found.hits
            if entry.archive is not None
        ]
        return Json(_answer(asked, found, aliased=False) | {"required": required, "data": data})

    def _metadata(
        self, asked: MetadataSearch, authorization: Annotated[str | None, Header()] = None
    ) -> Response:
        self.listings.append(asked.model_dump(by_alias=True, exclude_unset=True))
        found = find(self.entries, asked, self._user(authorization))
        include = (asked.required and asked.required.include) or QUANTITIES
        names = dict.fromkeys([*include, "entry_id", asked.pagination.order_by or "entry_id"])
        data = [{name: entry.index[name] for name in names if name in entry.index} for entry in found.hits]
        return Json(_answer(asked, found, aliased=True) | {"data": data})


def _answer(asked: Search, found: Found, *, aliased: bool) -> dict[str, Any]:
    """What an answer repeats of its request, and the pagination."""
    query = normalized(asked.query, aliased=aliased)
    return {"owner": asked.owner.value, "query": query, "pagination": found.pagination}
