"""A database that speaks OPTIMADE, as a source of structures."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import Any

import orjson
import pyarrow as pa

from connectors.http import Patience, Reply
from connectors.optimade.capabilities import FIELDS, SMALLEST_PAGE, settle
from connectors.optimade.filters import checked
from connectors.optimade.mapping import Origin, tabulate
from connectors.optimade.paging import Place, Plan
from connectors.optimade.providers import base_urls
from connectors.optimade.service import TOO_MUCH, service_at
from engine.background import in_background
from engine.source import Harvest, Page, PageContent

LOOK_BACK = timedelta(days=1)
"""Beyond the start of the passage before: clocks differ, and some services give local times as UTC."""


@dataclass(frozen=True)
class Step:
    """A page of a list, mapped, and the place after it."""

    following: Place
    candidates: pa.Table
    rejects: pa.Table
    answered_at: datetime
    remarks: Sequence[str]


@dataclass(eq=False)
class OptimadeConnector:
    """The structures of the database at ``base_url`` (normalized) that ``filter`` finds.

    One chain of pages, each with the next entries of each of up to ``RANGES`` ranges of ids. What the
    service supports is found out with the first page and kept in the cursor. A source has the name of its
    address, by whatever way it was found.
    """

    base_url: str
    filter: str | None = None
    patience: Patience = field(default_factory=Patience)
    source: str = field(init=False)
    concurrency: int = 1
    live: bool = True

    def __post_init__(self) -> None:
        """Name the source; no request is made yet."""
        self._service = service_at(self.base_url, self.patience)
        self.source = self._service.source

    def describe(self) -> dict[str, Any]:
        """Tell what is read from where."""
        return {
            "connector": "optimade",
            "base_url": self.base_url,
            "api": "v1",
            "filter": self.filter,
            "fields": list(FIELDS),
        }

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        """Yield the first page; with ``previous``, of what was modified since a day before its start.

        Where the service cannot find entries by ``last_modified``, all are read once more. What a service
        deletes stays in the store.
        """
        passage = previous.number + 1 if previous else 0
        since = (previous.started - LOOK_BACK).isoformat() if previous and previous.started else None
        yield self._page({"passage": passage, "since": since})

    def read(self, page: Page) -> PageContent:
        """Fetch the next entries of each range, and map them."""
        cursor: dict[str, Any] = page.payload
        remarks: list[str] = []
        if "plan" not in cursor:
            cursor, remarks = self._begin(cursor)
        plan, places = Plan(**cursor["plan"]), [Place(**place) for place in cursor["places"]]
        unread = [place for place in places if not place.done]
        reading = {place: in_background(partial(self._step, plan), place) for place in unread}
        steps = {place: future.result() for place, future in reading.items()}
        places = [steps[place].following if place in steps else place for place in places]
        remarks += [remark for step in steps.values() for remark in step.remarks]
        totals = [place.total for place in places]
        following = None
        if not all(place.done for place in places):
            following = self._page({**cursor, "places": [asdict(place) for place in places]})
        return PageContent(
            candidates=pa.concat_tables(step.candidates for step in steps.values()),
            rejects=pa.concat_tables(step.rejects for step in steps.values()),
            following=following,
            announced=None if None in totals else sum(filter(None, totals)),
            answered_at=min(step.answered_at for step in steps.values()),
            remarks=tuple(dict.fromkeys(remarks)),
        )

    def close(self) -> None:
        """Close all connections; a later page opens them again."""
        self._service.client.close()

    def _begin(self, start: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The cursor at the beginning of a passage, and remarks."""
        since = datetime.fromisoformat(start["since"]) if start["since"] else None
        plan, places, remarks = settle(self._service, self.filter, since)
        return {**start, "plan": asdict(plan), "places": [asdict(place) for place in places]}, remarks

    def _step(self, plan: Plan, place: Place) -> Step:
        """Fetch a page and map it."""
        reply = self._reply(plan, place)
        if place.is_doubtful(plan, reply.document):
            reply = self._reply(plan, place)
        following = place.next(self._service, plan, reply)
        origin = Origin(self.source, self._service.structures, plan.license)
        where = f" above the id {place.after!r}" if place.after is not None else ""
        label = f"{self.source}, page {following.pages}{where}"
        candidates, rejects = tabulate(reply.document["data"], origin, label)
        remarks = place.remarks(plan, reply.document, following)
        return Step(following, candidates, rejects, reply.answered_at, remarks)

    def _reply(self, plan: Plan, place: Place) -> Reply:
        """Ask for a page, of fewer entries where these are too large for so many."""
        address = place.address(self._service, plan)
        divisible = plan.by_id and place.link is None and (plan.limit or 0) > SMALLEST_PAGE
        expect = TOO_MUCH if divisible else frozenset[int]()
        reply = self._service.ask(address, partial(place.fault, plan, address), expect)
        if reply.status in expect:
            return self._reply(replace(plan, limit=(plan.limit or 0) // 2), place)
        return reply

    def _page(self, cursor: dict[str, Any]) -> Page:
        """The page at a cursor, which consists of JSON values."""
        places = cursor.get("places", [])
        number = max((place["pages"] for place in places), default=0) + 1
        digest = blake2b(orjson.dumps(places), digest_size=16).hexdigest()
        identity = [self.base_url, self.filter, cursor["passage"], cursor["since"], number, digest]
        return Page(
            key=f"optimade:{orjson.dumps(identity).decode()}",
            label=f"{self.source}, page {number}",
            payload=cursor,
        )


def open_optimade(
    text: str,
    filter: str | None = None,  # noqa: A002 -- the option is --filter
    patience: Patience | None = None,
) -> list[OptimadeConnector]:
    """Return a connector for each database that ``optimade:text`` names.

    ``text`` is the address of a database, a registered provider (``odbx``) or one of its databases
    (``odbx/misc``). For providers, their index of databases is asked for at once; nothing is for an address.

    Raises:
        SourceInterruptedError: the index of the provider does not answer.
        CrysiftError: there is no such database, or the filter is not in OPTIMADE's language.
    """
    wanted, patience = checked(filter), patience or Patience()
    return [OptimadeConnector(base_url, wanted, patience) for base_url in base_urls(text, patience)]
