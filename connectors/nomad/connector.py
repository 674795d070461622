"""Entries of NOMAD with their structures, as ``entries/archive/query`` pages them out."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
import pyarrow.compute as pc

from connectors.entries import Failure, rejects_table
from connectors.http import Client, Patience, Reply
from connectors.nomad.mapping import EntryMapping, identity_of
from engine.errors import CrysiftError
from engine.source import Harvest, Page, PageContent

PUBLIC = "https://nomad-lab.eu/prod/v1/api/v1"
TOKEN = "NOMAD_TOKEN"  # noqa: S105 -- the name of the variable
PER_SECOND = 10.0
"""Requests; NOMAD answers 503 beyond 30 per second, or 10 at once, from one address."""
BOUNDS = ("F", "V", "k")
"""Entry ids begin with a digit of base 64, -0…9A…Z_a…z in order, each as often: four ranges of equal size."""
PAGE_ENTRIES = 500
PAGE_SITES = 100_000
SMALLEST_PAGE = 25
"""Entries; a page is cut to fewer where theirs are large, or where the server finds it too large or slow."""
TOO_MUCH = frozenset({413, 504})
"""Statuses of a server, or the gateway before it, that cannot answer so much at a time."""
LOOK_BACK = timedelta(days=90)
"""Entries are published some time after they were processed, and NOMAD's index often has only that time."""
STRUCTURE = "results.properties.structures.structure_original"
REQUIRED = {
    "metadata": {"license": "*", "last_processing_time": "*", "nomad_version": "*"},
    "results": {
        "material": {"material_id": "*"},
        "properties": {"structures": {"structure_original": "*"}},
    },
}


@dataclass(frozen=True)
class Place:
    """Where a page is: in the ids from ``lower`` to below ``upper``, after the id ``after``.

    ``passage`` counts the passages through the source; only what changed ``since`` (ISO 8601) is in it.
    ``listed`` entries of the range come before the page, which is of at most ``size``.
    """

    lower: str | None
    upper: str | None
    passage: int = 0
    since: str | None = None
    after: str | None = None
    listed: int = 0
    size: int = PAGE_ENTRIES


@dataclass(eq=False)
class NomadConnector:
    """Entries with a structure of the installation whose API is at ``api``, that ``filter`` (a query) finds.

    With a token, those that only its owner sees are among them; unpublished ones, too.
    """

    api: str
    source: str = "nomad"
    filter: dict[str, Any] | None = None
    token: str | None = field(default=None, repr=False)
    patience: Patience = field(default_factory=Patience)
    concurrency: int = len(BOUNDS) + 1
    live: bool = True

    def __post_init__(self) -> None:
        """Open the pool of connections; no request is made yet."""
        self._mapping = EntryMapping(
            self.source, f"{self.api.removesuffix('/api/v1')}/gui/search/entries/entry/id/"
        )
        secrets = {"authorization": f"Bearer {self.token}"} if self.token else {}
        self._client = Client(
            PER_SECOND, connections=self.concurrency, secret_headers=secrets, patience=self.patience
        )
        self._largest = PAGE_ENTRIES

    @property
    def owner(self) -> str:
        """What NOMAD calls the part of it that is read."""
        return "visible" if self.token else "public"

    def describe(self) -> dict[str, Any]:
        """Tell what is read from where."""
        return {"connector": "nomad", "api": self.api, "owner": self.owner, "filter": self.filter}

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        """Yield the first page of each range of ids.

        With ``previous``, they are of what was processed or published since ``LOOK_BACK`` before its start.
        What appeared later than that after its processing, published or freed from an embargo, is not among
        them: NOMAD's index has no time for it.

        Raises:
            CrysiftError: the token is not valid.
        """
        if self.token:
            self._check_token()
        passage, since = 0, None
        if previous is not None:
            passage = previous.number + 1
            if previous.started is not None:
                since = (previous.started - LOOK_BACK).isoformat(timespec="seconds")
        for lower, upper in zip((None, *BOUNDS), (*BOUNDS, None), strict=True):
            yield self._page(Place(lower, upper, passage, since))

    def read(self, page: Page) -> PageContent:
        """Fetch a page of archives; entries whose archive NOMAD leaves out are told among the rejects."""
        reply, place = self._archives(Place(**page.payload))
        entries, pagination = reply.document["data"], reply.document["pagination"]
        total, cursor = pagination["total"], pagination.get("next_page_after_value")
        candidates, rejects = self._mapping.tabulate(entries, page.label)
        expected = place.size if cursor else total - place.listed
        if len(entries) < expected:
            rejects += self._left_out(place, entries, cursor)
        following = None
        if cursor:
            sites = pc.mean(candidates["nsites"]).as_py() or 1
            size = max(SMALLEST_PAGE, min(int(PAGE_SITES / sites), PAGE_ENTRIES))
            listed = place.listed + place.size
            following = self._page(replace(place, after=cursor, listed=listed, size=size))
        return PageContent(
            candidates=candidates,
            rejects=rejects_table(self.source, rejects),
            following=following,
            announced=total,
            answered_at=reply.answered_at,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _page(self, place: Place) -> Page:
        """The page at ``place``; its size is no part of its identity."""
        identity = [self.api, self.owner, self._query(place), place.passage, place.after]
        return Page(
            key=f"nomad:{json.dumps(identity, sort_keys=True)}",
            label=f"{self.source} entries after {place.after or place.lower or 'the beginning'}",
            payload=asdict(place),
        )

    def _query(self, place: Place) -> dict[str, Any]:
        bounds = {"gte": place.lower, "lt": place.upper}
        conditions: list[dict[str, Any]] = [
            {"quantities": [STRUCTURE]},
            {"entry_id": {name: bound for name, bound in bounds.items() if bound is not None}},
        ]
        if place.since:
            times = ("last_processing_time", "publish_time")
            conditions.append({"or": [{time: {"gte": place.since}} for time in times]})
        if self.filter:
            conditions.append(self.filter)
        return {"and": conditions}

    def _body(self, place: Place, required: dict[str, Any]) -> dict[str, Any]:
        pagination: dict[str, Any] = {"page_size": place.size, "order_by": "entry_id"}
        if place.after:
            pagination["page_after_value"] = place.after
        return {
            "owner": self.owner,
            "query": self._query(place),
            "pagination": pagination,
            "required": required,
        }

    def _archives(self, place: Place) -> tuple[Reply, Place]:
        """The answer at ``place``, and the place with the size of page that the server could answer."""
        while True:
            place = replace(place, size=min(place.size, self._largest))
            expect = TOO_MUCH if place.size > SMALLEST_PAGE else frozenset[int]()
            reply = self._client.post(
                f"{self.api}/entries/archive/query",
                self._body(place, REQUIRED),
                expect,
                partial(_fault, place=place),
            )
            if reply.status not in expect:
                return reply, place
            self._largest = min(self._largest, max(place.size // 2, SMALLEST_PAGE))

    def _left_out(self, place: Place, entries: list[Any], cursor: str | None) -> list[Failure]:
        """Entries that the index lists up to ``cursor``, but whose archive did not come with ``entries``."""
        listing = self._client.post(
            f"{self.api}/entries/query",
            self._body(place, {"include": ["entry_id"]}),
            check=partial(_fault, place=place),
        )
        arrived = {identity_of(entry) for entry in entries}
        listed = filter(None, map(identity_of, listing.document["data"]))
        message = "NOMAD lists the entry, but delivers no archive of it; NOMAD has to process it again"
        return [
            Failure(entry_id, "MissingArchive", message)
            for entry_id in listed
            if entry_id not in arrived and (cursor is None or entry_id <= cursor)
        ]

    def _check_token(self) -> None:
        """Ask for what needs one, since NOMAD may answer other requests as if there were none.

        Raises:
            CrysiftError: NOMAD does not know the token.
        """
        body = {"owner": "user", "pagination": {"page_size": 0}}
        if self._client.post(f"{self.api}/entries/query", body, expect={401}).status == 401:
            raise CrysiftError(
                f"{self.api} does not accept the token in {TOKEN}: it may have expired; set another one, or "
                "none to read what is public"
            )


def open_nomad(
    place: str,
    *,
    oasis: str | None = None,
    filter: str | None = None,  # noqa: A002 -- the option is --filter
    patience: Patience | None = None,
) -> NomadConnector:
    """Return the connector for ``nomad:``, of the public NOMAD or the installation at the address ``oasis``.

    ``filter`` is a query of NOMAD's as JSON, ``{"results.material.elements": {"all": ["Ti", "O"]}}``. The
    environment variable NOMAD_TOKEN may hold a token, without which only public entries come.

    Raises:
        CrysiftError: there is no such address, or the filter is no JSON object.
    """
    if place:
        raise CrysiftError(
            f"nothing follows `nomad:`, but there is {place!r}; name an installation other than the public "
            "one by --oasis, and what to take by --filter"
        )
    api, source = _installation(oasis) if oasis else (PUBLIC, "nomad")
    token = os.environ.get(TOKEN, "").strip() or None
    return NomadConnector(api, source, _query_of(filter), token, patience or Patience())


def _installation(oasis: str) -> tuple[str, str]:
    """Address of the API of an installation, and the name of the source: that of its host."""
    parts = urlsplit(oasis.strip())
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise CrysiftError(
            f"{oasis.rpartition('@')[2]!r} is no address of a NOMAD installation, or has a user before it; "
            "name one like https://nomad.example.org/nomad-oasis"
        )
    path = re.sub(r"/(api(/v1)?|gui(/.*)?)?$", "", parts.path)
    api = f"{parts.scheme}://{parts.netloc.lower()}{path}/api/v1"
    name = host.replace(":", "-") + (f"-{port}" if port else "")
    return api, "nomad" if api == PUBLIC else f"nomad.{name}"


def _query_of(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        query = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        query = error
    if isinstance(query, dict):
        _refuse_ignored(query)
        return query
    fault = query if isinstance(query, Exception) else f"it is {type(query).__name__}"
    raise CrysiftError(
        f"the filter {text[:200]!r} is no JSON object ({fault}); NOMAD's queries are like "
        '{"results.material.elements": {"all": ["Ti", "O"]}}'
    )


def _refuse_ignored(query: dict[str, Any]) -> None:
    """Refuse conditions beside ``and``, ``or`` and ``not``: NOMAD ignores them without a word."""
    operator = next((name for name in ("and", "or", "not") if name in query), None)
    if operator is None:
        return
    if len(query) > 1:
        beside = next(name for name in query if name != operator)
        raise CrysiftError(
            f"the filter has {beside!r} beside {operator!r}, which NOMAD would ignore; join them: "
            '{"and": [{…}, {…}]}'
        )
    parts = query[operator] if isinstance(query[operator], list) else [query[operator]]
    for part in parts:
        if isinstance(part, dict):
            _refuse_ignored(part)


def _fault(document: dict[str, Any], place: Place) -> str | None:
    """Why an answer is not the page at ``place``."""
    pagination, entries = document.get("pagination"), document.get("data")
    total = pagination.get("total") if isinstance(pagination, dict) else None
    if not isinstance(pagination, dict) or not isinstance(total, int):
        return "the answer has no pagination.total"
    if not isinstance(entries, list):
        return "the answer has no list of data"
    query = json.dumps(document.get("query"))
    bounds = [json.dumps(bound) for bound in (place.lower, place.upper) if bound]
    if pagination.get("page_after_value") != place.after or not all(bound in query for bound in bounds):
        return "the query and page_after_value that it repeats are those of another request"
    cursor = pagination.get("next_page_after_value")
    if cursor is None and place.size <= len(entries) < total:
        return f"next_page_after_value is missing after {len(entries)} of {total} entries"
    if cursor is not None and (not isinstance(cursor, str) or cursor <= (place.after or "")):
        return f"next_page_after_value is {str(cursor)[:200]!r}, which does not come after {place.after!r}"
    return None
