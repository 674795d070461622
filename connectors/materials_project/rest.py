"""Materials that a query selects, from the Materials Project's API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any
from urllib.parse import urlsplit

from connectors.http import Check, Client, Patience, Reply
from connectors.materials_project.documents import LEAVES, SOURCE, candidates
from connectors.materials_project.entries import tabulate
from connectors.materials_project.identifiers import is_identifier, numbered
from connectors.materials_project.query import api_key, endpoint
from connectors.materials_project.selection import Selection
from connectors.materials_project.versions import in_time
from engine.errors import CrysiftError
from engine.source import Harvest, Page, PageContent, SourceInterruptedError
from engine.store.fingerprint import canonical_json

LARGEST_PAGE = 1000
"""Documents; the API refuses to send more."""
IDENTIFIERS_AT_A_TIME = 200
"""Keeps addresses within the 8 kB that web servers take."""
REQUESTS_PER_SECOND = 20.0
"""Well below what the API's own client may send; to too many, the API answers 429, which is obeyed."""
LONGEST_LIST = 20
"""Identifiers that a remark names."""
FIELDS = ",".join(leaf for leaves in LEAVES.values() for leaf in leaves)
HIDDEN = (
    "deprecated materials are listed with --include-deprecated, and those not for commercial use with "
    "--include-nc and the key of a user who has accepted their terms"
)
RESTRICTED = "materials that are not for commercial use were left out (--include-nc takes them)"


@dataclass(frozen=True)
class _Listing:
    """Materials in the order of their identifiers: what selects them, and how many there are.

    ``found`` are those of the identifiers asked for that are there.
    """

    parameters: Mapping[str, str]
    total: int
    found: frozenset[str]


@dataclass(frozen=True)
class _Range:
    """``count`` consecutive materials of a listing; ``remarks`` are about the whole query."""

    listing: _Listing
    start: int
    count: int
    remarks: tuple[str, ...]

    def fault(self, document: Mapping[str, Any]) -> str | None:
        """Why an answer is not this range, or None."""
        if fault := _fault(document):
            return fault
        total, entries = document["meta"]["total_doc"], document["data"]
        if total != self.listing.total or len(entries) != self.count:
            return (
                f"the answer holds {len(entries):,} of {total:,} materials, not {self.count:,} of "
                f"{self.listing.total:,}"
            )
        identifiers = _identifiers(entries)
        if identifiers != sorted(identifiers):
            return "the materials are not in the order of their identifiers, so that pages overlap"
        return None


@dataclass(eq=False)
class MaterialsProjectRest:
    """Pages are ranges of one sorted listing, all known from its length, for a database version is immutable.

    Their keys name the database version, the query and the length; that the version is still the same is
    seen after every page. The key for the API is read from the environment when connections are opened, and
    is in nothing that is printed, stored or pickled.
    """

    parameters: Mapping[str, str]
    identifiers: tuple[str, ...]
    version: str | None
    selection: Selection
    patience: Patience = field(default_factory=Patience)
    endpoint: str = field(default_factory=endpoint)
    source: str = SOURCE
    concurrency: int = 4
    live: bool = False
    _begun: dict[tuple[str, str], int] = field(default_factory=dict, init=False, repr=False)
    """Where ranges begin, by the listing and the first identifier that arrived."""

    def __post_init__(self) -> None:
        """Refuse to begin without a key."""
        api_key()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the connections, which hold the key."""
        return {name: value for name, value in vars(self).items() if name != "_client"}

    @cached_property
    def _client(self) -> Client:
        secrets = {"x-api-key": api_key()}
        return Client(REQUESTS_PER_SECOND, self.concurrency, secret_headers=secrets, patience=self.patience)

    @cached_property
    def _version(self) -> str:
        """The database version that is read.

        Raises:
            CrysiftError: another one is asked for.
        """
        served = self._version_served()
        if self.version is not None and in_time(self.version) != in_time(served):
            raise CrysiftError(
                f"the API serves database version {served} and not {self.version}: leave the version out, or "
                "leave the filter out and take the open data of that version"
            )
        return served

    def describe(self) -> dict[str, Any]:
        """Name the server, its database version, the query and the selection."""
        return {
            "connector": "materials_project",
            "route": "api",
            "host": urlsplit(self.endpoint).hostname,
            "database_version": self._version,
            "parameters": dict(self.parameters),
            "identifiers": list(self.identifiers),
            **vars(self.selection),
        }

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        """Yield all ranges of the listings; another version has others."""
        if previous is not None:
            return
        version = self._version
        listings = [self._listing(parameters) for parameters in self._queries()]
        remarks = self._not_found(listings)
        if not any(listing.total for listing in listings):
            raise CrysiftError(
                f"the query selects no material of database version {version}: correct it; {HIDDEN}"
            )
        for listing in listings:
            for start in range(0, listing.total, LARGEST_PAGE):
                count = min(LARGEST_PAGE, listing.total - start)
                yield self._page(_Range(listing, start, count, remarks))

    def read(self, page: Page) -> PageContent:
        """Fetch a range of materials; those whose licence is not taken are left out."""
        rows: _Range = page.payload
        check = partial(self._fault_of, rows)
        reply = self._ask(rows.listing.parameters, FIELDS, rows.start, LARGEST_PAGE, check)
        if (served := self._version_served()) != self._version:
            raise SourceInterruptedError(
                f"the Materials Project went from database version {self._version} to {served} while it was "
                "read. What arrived before is stored: run the same command again, it reads the new version"
            )
        documents, rejects = tabulate(reply.document["data"], page.label)
        restricted = self.selection.restricted(documents["license"])
        count = int(restricted.sum())
        return PageContent(
            candidates=candidates(documents.filter(~restricted) if count else documents, self._version),
            rejects=rejects,
            announced=rows.count - count,
            dropped=count,
            remarks=(*rows.remarks, RESTRICTED) if count else rows.remarks,
        )

    def _fault_of(self, rows: _Range, document: Mapping[str, Any]) -> str | None:
        """Why an answer is not a range of materials that has not arrived yet, or None."""
        if fault := rows.fault(document):
            return fault
        for first in _identifiers(document["data"])[:1]:
            place = (canonical_json(dict(rows.listing.parameters)), first)
            if (start := self._begun.setdefault(place, rows.start)) != rows.start:
                return f"the answer begins with {first}, like that for the materials from {start} on"
        return None

    def close(self) -> None:
        """Close all connections."""
        client: Client | None = vars(self).pop("_client", None)
        if client is not None:
            client.close()

    def _version_served(self) -> str:
        reply = self._client.get(self.endpoint + "heartbeat", check=_version_missing)
        return str(reply.document["db_version"])

    def _queries(self) -> Iterator[dict[str, str]]:
        """Parameters of the listings: the API lists deprecated materials and the others only apart."""
        starts = range(0, len(self.identifiers), IDENTIFIERS_AT_A_TIME)
        lists = [",".join(self.identifiers[i : i + IDENTIFIERS_AT_A_TIME]) for i in starts]
        licence = {"license": "All"} if self.selection.include_nc else {}
        queries: list[Mapping[str, str]] = [{"material_ids": text} for text in lists]
        for query in queries or [self.parameters]:
            yield {**query, **licence, "deprecated": "false"}
            if self.selection.include_deprecated:
                yield {**query, **licence, "deprecated": "true"}

    def _listing(self, parameters: Mapping[str, str]) -> _Listing:
        """Ask how long a listing is, and which of the identifiers asked for are in it."""
        limit = IDENTIFIERS_AT_A_TIME if self.identifiers else 1
        document = self._ask(parameters, "material_id", 0, limit, _fault).document
        found = frozenset(map(numbered, _identifiers(document["data"])))
        return _Listing(parameters, document["meta"]["total_doc"], found)

    def _not_found(self, listings: list[_Listing]) -> tuple[str, ...]:
        """What to say about identifiers that are in no listing."""
        found = frozenset[str]().union(*(listing.found for listing in listings))
        missing = [identifier for identifier in self.identifiers if identifier not in found]
        if not missing:
            return ()
        names = ", ".join(missing[:LONGEST_LIST]) + (", …" if len(missing) > LONGEST_LIST else "")
        return (f"{len(missing):,} of {len(self.identifiers):,} materials are not listed: {names}; {HIDDEN}",)

    def _page(self, rows: _Range) -> Page:
        place = f"{rows.start}+{rows.count} of {rows.listing.total}"
        query = canonical_json({**rows.listing.parameters, "include_nc": self.selection.include_nc})
        return Page(f"mp:api:{self._version}:{query}:{place}", f"{self._version} materials {place}", rows)

    def _ask(self, parameters: Mapping[str, str], fields: str, skip: int, limit: int, check: Check) -> Reply:
        page: dict[str, str | int] = {
            "_fields": fields,
            "_sort_fields": "material_id",
            "_skip": skip,
            "_limit": limit,
        }
        return self._client.get(
            self.endpoint + "materials/summary/", params={**parameters, **page}, check=check
        )


def _version_missing(document: Mapping[str, Any]) -> str | None:
    version = document.get("db_version")
    return None if isinstance(version, str) and version else "the answer does not tell the database version"


def _fault(document: Mapping[str, Any]) -> str | None:
    """Why an answer is no page of a listing, or None."""
    meta, entries = document.get("meta"), document.get("data")
    total = meta.get("total_doc") if isinstance(meta, Mapping) else None
    if not isinstance(total, int) or total < 0 or not isinstance(entries, list):
        return "the answer does not hold a list `data` and its whole length `meta.total_doc`"
    return None


def _identifiers(entries: list[Any]) -> list[str]:
    """Return the identifiers that have the form of one."""
    found = (entry.get("material_id") for entry in entries if isinstance(entry, Mapping))
    return [identifier for identifier in found if isinstance(identifier, str) and is_identifier(identifier)]
