"""The way from page to page of a list: by the last id, or by the links that the service gives."""

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from connectors.http import Reply
from connectors.optimade.filters import conjunction, literal
from connectors.optimade.service import Service
from engine.errors import CrysiftError

MOST_EMPTY = 20
"""Empty pages in a row, each with a link to the next, after which a list is taken to be broken."""
LONGEST_ID = 500
"""Characters of an id that is put into an address."""
KEPT = ("filter", "response_fields", "sort", "page_limit")
"""Parameters that a link to the next page has to repeat, and that some services drop."""

BY_LINKS = (
    "the service does not page by ids reliably, so that its links are followed: entries that are added or "
    "deleted meanwhile may move others past the reader"
)
UNSTEADY = (
    "the number of entries changed while the list was paged by its links: some may have been passed over or "
    "have come twice"
)
SHRUNK = (
    "fewer entries are left than were announced: some were deleted meanwhile, or the service passes over them"
)
CUT_SHORT = "the last page says that there is more, but not where"


@dataclass(frozen=True)
class Plan:
    """How a list is asked for: what ``filter`` finds, ``limit`` entries at a time, with ``fields`` of each.

    With ``by_id``, a page is what comes after the last id of the page before, which entries that are added or
    deleted meanwhile do not disturb; else it is where the service's link leads.
    """

    filter: str | None = None
    fields: str | None = None
    limit: int | None = None
    sort: str | None = None
    by_id: bool = False
    license: str | None = None

    def address(self, service: Service, *conditions: str | None, offset: int | None = None) -> str:
        """Address of the page of entries that meet the conditions, too."""
        params = {
            "filter": conjunction(self.filter, *conditions),
            "response_fields": self.fields,
            "sort": self.sort,
            "page_limit": self.limit,
            "page_offset": offset,
        }
        return service.address("structures", {n: value for n, value in params.items() if value is not None})


@dataclass(frozen=True)
class Place:
    """Where reading is: at the ids above ``after`` and up to ``upto``, or at the address ``link``.

    ``pages`` with ``entries`` came before, the last ``empty`` of them without any; ``total`` is the most
    entries that the service announced. ``last`` and ``mark`` are digests of the page before and of an earlier
    one. ``done`` says that nothing follows.
    """

    after: str | None = None
    upto: str | None = None
    link: str | None = None
    pages: int = 0
    entries: int = 0
    empty: int = 0
    total: int | None = None
    last: str | None = None
    mark: str | None = None
    done: bool = False

    def address(self, service: Service, plan: Plan) -> str:
        """Address of the page here."""
        return self.link or plan.address(service, above(self.after), up_to(self.upto))

    def fault(self, plan: Plan, address: str, document: dict[str, Any]) -> str | None:
        """Why the answer from ``address`` is not the page that belongs here."""
        entries = document.get("data")
        if not isinstance(entries, list):
            return "the answer has no list of data"
        if self.after is not None and self.link is None and self.after in map(entry_id, entries):
            return f"the page after the id {self.after!r} holds that id"
        if entries and _digest(entries) in (self.last, self.mark):
            return "the page has come before: the list goes round in circles"
        if plan.by_id and last_plain_id(entries) is not None:
            return None
        link = _link(document)
        if link is None:
            return self._cut_short(plan, document)
        target = _joined(address, link)
        if target is None:
            return f"the link to the next page is no address: {str(link)[:200]!r}"
        if target == address:
            return "the link to the next page leads to the page itself"
        if not entries and self.empty >= MOST_EMPTY:
            return f"{MOST_EMPTY} pages in a row are empty"
        return None

    def _cut_short(self, plan: Plan, document: dict[str, Any]) -> str | None:
        missing = self._missing(plan, document)
        if missing > 0 and _says_more(document):
            return f"the list ends {missing} entries early, though the answer says that there is more"
        return None

    def _missing(self, plan: Plan, document: dict[str, Any]) -> int:
        """How many entries would be missing, if the page here were the last."""
        total = max(self.total or 0, self.announced(plan, document) or 0)
        return total - self.entries - len(document["data"])

    def is_doubtful(self, plan: Plan, document: dict[str, Any]) -> bool:
        """Whether the page here is empty, but not as the last one is: a service in trouble may send such."""
        return not document["data"] and (_link(document) is not None or self._missing(plan, document) > 0)

    def next(self, service: Service, plan: Plan, reply: Reply) -> "Place":
        """The place after the page here, which ``reply`` holds.

        Raises:
            CrysiftError: the link to the next page leads to another service.
        """
        entries = reply.document["data"]
        digest, pages = _digest(entries) if entries else self.last, self.pages + 1
        arrived = self.entries + len(entries)
        totals = [total for total in (self.total, self.announced(plan, reply.document)) if total is not None]
        here = replace(
            self,
            pages=pages,
            entries=arrived,
            empty=0 if entries else self.empty + 1,
            total=max(*totals, arrived) if totals else None,
            last=digest,
            mark=digest if pages & (pages - 1) == 0 else self.mark,  # Brent: meets a circle of any length
        )
        last = last_plain_id(entries) if plan.by_id else None
        if last is not None:
            return replace(here, after=last, link=None)
        link = _next_address(reply, self.address(service, plan), service)
        return replace(here, link=link, done=link is None)

    def announced(self, plan: Plan, document: dict[str, Any]) -> int | None:
        """How many entries there are in all, as far as the page here tells."""
        count = data_returned(document)
        if count is None:
            return None
        if not plan.by_id:
            return count if count >= self.entries + len(document["data"]) else None
        counts_ahead = self.link is None and not (self.pages and count == self.total)
        return self.entries + count if counts_ahead else None

    def remarks(self, plan: Plan, document: dict[str, Any], following: "Place") -> list[str]:
        """What the user should know of the page here."""
        found = []
        now = self.announced(plan, document)
        if self.total is not None and now is not None and now != self.total:
            if not plan.by_id:
                found.append(UNSTEADY)
            elif now < self.total:
                found.append(SHRUNK)
        if following.done and _says_more(document):
            found.append(CUT_SHORT)
        if not (plan.by_id or self.pages or following.done):
            found.append(BY_LINKS)
        return found


def above(after: str | None) -> str | None:
    """The condition that ids come after one."""
    return None if after is None else f"id > {literal(after)}"


def up_to(last: str | None) -> str | None:
    """The condition that ids do not come after one."""
    return None if last is None else f"id <= {literal(last)}"


def entry_id(entry: Any) -> Any:
    """The id of an entry, whatever it is; None where there is none."""
    return entry.get("id") if isinstance(entry, dict) else None


def is_plain(found: Any) -> bool:
    """Whether an id means the same in every service's filters.

    Even the reference server misreads escaped quotes (optimade 1.5.0).
    """
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_ID:
        return False
    return found.isprintable() and found == found.strip() and not {'"', "\\"} & set(found)


def last_plain_id(entries: list[Any]) -> str | None:
    """The id of the last entry, if it is plain."""
    last = entry_id(entries[-1]) if entries else None
    return last if is_plain(last) else None


def data_returned(document: dict[str, Any]) -> int | None:
    """How many entries the filter finds, where the answer tells."""
    count = _meta(document).get("data_returned")
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def _says_more(document: dict[str, Any]) -> bool:
    return _meta(document).get("more_data_available") is True


def _meta(document: dict[str, Any]) -> dict[str, Any]:
    meta = document.get("meta")
    return meta if isinstance(meta, dict) else {}


def _link(document: dict[str, Any]) -> Any:
    """The link to the next page as it is given: a text, an object with ``href``, or none."""
    links = document.get("links")
    links = links if isinstance(links, dict) else {}
    link = links["next"] if "next" in links else links.get("next_page")
    return (link.get("href") if isinstance(link, dict) else link) or None


def _next_address(reply: Reply, asked: str, service: Service) -> str | None:
    """Where the link in ``reply`` leads, with the parameters of the address ``asked`` that it lacks."""
    link = _link(reply.document)
    if link is None:
        return None
    target = _joined(reply.url, link) or ""
    place = next((url for url in (reply.url, service.base_url) if _origin(url) == _origin(target)), None)
    if place is None:
        raise CrysiftError(
            f"the page after {asked[:2000]} is said to be at another service, {target[:2000]}; that is not "
            "followed: tell the provider, or ingest from there"
        )
    parts, home = urlsplit(target), urlsplit(place)
    present = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    lacking = [(n, v) for n, v in parse_qsl(urlsplit(asked).query) if n in KEPT and n not in present]
    query = "&".join(filter(None, [parts.query, urlencode(lacking, quote_via=quote)]))
    return parts._replace(scheme=home.scheme, netloc=home.netloc, query=query, fragment="").geturl()


def _joined(address: str, link: Any) -> str | None:
    """Where a link on the page at an address leads, None where it is no address."""
    if not isinstance(link, str) or not link.isprintable():
        return None
    try:
        return urljoin(address, link)
    except ValueError:
        return None


def _origin(address: str) -> tuple[str | None, int | None]:
    """Host and port; http and https, each at its own port, are one service."""
    try:
        host, port = urlsplit(address).hostname, urlsplit(address).port
    except ValueError:
        return None, None
    return host, None if port in (80, 443) else port


def _digest(entries: list[Any]) -> str:
    """What tells a page from others: the ids on it."""
    state = blake2b(digest_size=12)
    for entry in entries:
        found = entry_id(entry)
        state.update((found if isinstance(found, str) else repr(entry)).encode(errors="backslashreplace"))
        state.update(b"\0")
    return state.hexdigest()
