"""What a service supports of OPTIMADE's optional parts: asked for, and tried out where it matters."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from connectors.optimade.filters import conjunction, literal
from connectors.optimade.paging import Place, Plan, above, data_returned, entry_id, is_plain, up_to
from connectors.optimade.service import REFUSALS, UNABLE, Service, refusal
from engine.errors import CrysiftError
from engine.source import SourceInterruptedError

FIELDS = (
    "lattice_vectors",
    "cartesian_site_positions",
    "dimension_types",
    "nsites",
    "species_at_sites",
    "species",
    "assemblies",
    "structure_features",
    "immutable_id",
    "last_modified",
)
LARGEST_PAGE = 1000
SMALLEST_PAGE = 15
TRIED = 10
"""Entries on a page that only tries something out."""
RANGES = 4
RANGE_PAGES = 10
"""Ids are divided into ranges, read at the same time, where each range has more pages than this."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)

NO_TIMES = "the service does not find entries by last_modified: all are fetched again"


@dataclass(frozen=True)
class Answer:
    """The ids on a page, and how many entries its filter finds."""

    ids: list[str]
    total: int | None


def license_of(service: Service) -> str | None:
    """The licences of the database that one may choose from, or the address of their text.

    Raises:
        CrysiftError: the service has no version 1, or is an index of databases.
    """
    address = service.address("info")
    reply = service.client.get(address, expect=REFUSALS)
    if reply.status in REFUSALS:
        raise _without_version_1(service, refusal(address, reply))
    info = _attributes(reply.document)
    if info.get("is_index") is True:
        raise CrysiftError(
            f"{service.base_url} is an index of databases and holds no structures; name one of the databases "
            f"that {service.address('links')} lists"
        )
    choices = info.get("available_licenses")
    if isinstance(choices, list) and choices and all(isinstance(choice, str) for choice in choices):
        return " OR ".join(choices)
    link = info.get("license")
    link = link.get("href") if isinstance(link, dict) else link
    return link if isinstance(link, str) else None


def _without_version_1(service: Service, reason: CrysiftError) -> CrysiftError:
    listed = service.client.get_text(f"{service.base_url}/versions", expect=REFUSALS)
    versions = (listed or "").split()[1:]
    known = f"; it serves the versions {', '.join(versions)[:200]}" if versions else ""
    return CrysiftError(f"{service.base_url} does not serve version 1 of OPTIMADE{known}: {reason}")


def settle(
    service: Service, condition: str | None, since: datetime | None
) -> tuple[Plan, list[Place], list[str]]:
    """Find out how to page through what ``condition`` finds, or of that what changed ``since``.

    Returns the plan, the places to begin at, and remarks for the user.

    Raises:
        CrysiftError: the service refuses every form of the request.
    """
    remarks = []
    license_name = license_of(service)
    properties = _properties(service)
    plan = replace(_with_fields(service, condition, properties), license=license_name)
    if since is not None:
        if _finds_by_time(service, plan):
            plan = replace(plan, filter=conjunction(plan.filter, modified_since(since)))
        else:
            remarks.append(NO_TIMES)
    plan, total = _with_limit(service, _with_order(service, plan, properties))
    return plan, _ranges(service, plan, total), remarks


def modified_since(moment: datetime) -> str:
    """The condition that entries changed at a time or later."""
    return f"last_modified >= {literal(moment.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ'))}"


def _ranges(service: Service, plan: Plan, total: int | None) -> list[Place]:
    """Where to begin: at ranges of ids of equal size, or at one where that is not worth it, or not sure.

    Whatever the order of the ids, each is in one range. That the service counts as many entries in the
    ranges as in all says that it understands the conditions.
    """
    whole = [Place(total=total)]
    if not plan.by_id or (total or 0) <= RANGES * RANGE_PAGES * (plan.limit or LARGEST_PAGE):
        return whole
    try:
        firsts = [ask(service, plan, offset=(total or 0) * part // RANGES) for part in range(1, RANGES)]
        found = [answer.ids[0] for answer in firsts if answer and answer.ids and is_plain(answer.ids[0])]
        if len(set(found)) < RANGES - 1:
            return whole
        places = [
            Place(after=low, upto=high, total=_count(service, plan, above(low), up_to(high)))
            for low, high in pairwise([None, *found, None])
        ]
    except SourceInterruptedError:  # by large offsets, perhaps: the list can be read from end to end as well
        return whole
    counts = [place.total or 0 for place in places]
    return places if min(counts) > 0 and sum(counts) == total else whole


def _count(service: Service, plan: Plan, *conditions: str | None) -> int:
    """How many entries there are, 0 where the service does not tell."""
    answer = ask(service, plan, *conditions)
    return answer.total or 0 if answer else 0


def ask(service: Service, plan: Plan, *conditions: str | None, offset: int | None = None) -> Answer | None:
    """A small page with nothing but ids; None where the service refuses it, or sends something else."""
    tried = replace(plan, fields="id" if plan.fields else None, limit=TRIED)
    reply = service.attempt(tried.address(service, *conditions, offset=offset))
    entries = reply.document.get("data")
    if reply.status in UNABLE or not isinstance(entries, list):
        return None
    ids = [entry_id(entry) for entry in entries]
    if not all(isinstance(found, str) for found in ids):
        return None
    return Answer(ids, data_returned(reply.document))


def _with_fields(service: Service, condition: str | None, properties: dict[str, Any]) -> Plan:
    """The plan with the fields that the service knows, as many as it accepts."""
    known = tuple(field for field in FIELDS if field in properties)
    for fields in dict.fromkeys((FIELDS, known, ())):
        plan = Plan(condition, fields=",".join(fields) or None, limit=TRIED)
        if service.client.get(plan.address(service), expect=REFUSALS).status not in REFUSALS:
            return plan
    plan = Plan(condition, fields=",".join(FIELDS))
    service.ask(plan.address(service))
    return plan


def _with_order(service: Service, plan: Plan, properties: dict[str, Any]) -> Plan:
    """The plan with the order and the way of paging that work."""
    described = properties.get("id")
    if not isinstance(described, dict) or described.get("sortable") is not True:
        return plan
    ordered = replace(plan, sort="id")
    if pages_by_id(service, ordered) or pages_by_id(
        service, ordered
    ):  # entries may come between the requests
        return replace(ordered, by_id=True)
    return ordered if ask(service, ordered) else plan


def pages_by_id(service: Service, plan: Plan) -> bool:
    """Whether pages that begin after given ids follow each other as the order of the list demands."""
    first = ask(service, plan)
    plain = [i for i, found in enumerate(first.ids) if is_plain(found)] if first else []
    if first is None or not plain or len(first.ids) < 2 or len(set(first.ids)) < len(first.ids):
        return False
    low, high = plain[0], plain[-1]
    behind, beyond = (ask(service, plan, above(first.ids[i])) for i in (low, high))
    if behind is None or beyond is None:
        return False
    if first.total is not None and first.total > high + 1 and not beyond.ids:
        return False
    expected = first.ids[low + 1 : high + 1] + beyond.ids
    return behind.ids == expected[: len(behind.ids)] and bool(behind.ids or low == high)


def _finds_by_time(service: Service, plan: Plan) -> bool:
    """Whether a filter for a late ``last_modified`` would find every entry that has one, and each has."""
    everything, past, future = (
        ask(service, plan, condition)
        for condition in (None, modified_since(BEGINNING), modified_since(FUTURE))
    )
    if everything is None or past is None or not past.ids or future is None or future.ids:
        return False
    if everything.total is not None and past.total is not None:
        return everything.total == past.total
    without = ask(service, plan, "last_modified IS UNKNOWN")
    return without is not None and not without.ids


def _with_limit(service: Service, plan: Plan) -> tuple[Plan, int | None]:
    """The plan with the largest page that the service gives, halved as long as it cannot; the total."""
    limit = LARGEST_PAGE
    while limit >= SMALLEST_PAGE:
        larger = replace(plan, limit=limit)
        reply = service.attempt(larger.address(service))
        if reply.status not in UNABLE:
            return larger, data_returned(reply.document)
        limit //= 2
    return replace(plan, limit=None), None


def _properties(service: Service) -> dict[str, Any]:
    """What the service says of the properties of structures; nothing where it says nothing intelligible."""
    reply = service.client.get(service.address("info/structures"), expect=REFUSALS)
    data = reply.document.get("data")
    properties = data.get("properties") if isinstance(data, dict) else None
    return properties if isinstance(properties, dict) else {}


def _attributes(document: dict[str, Any]) -> dict[str, Any]:
    data = document.get("data")
    attributes = data.get("attributes") if isinstance(data, dict) else None
    return attributes if isinstance(attributes, dict) else {}
