"""Faults of databases, and what each should lead to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.integration.faulty_sources import (
    API,
    BUCKET,
    NOMAD,
    OPTIMADE,
    OPTIMADE_LINKS,
    SOURCES,
    Entry,
    FaultySource,
    twelve_thousand_atoms,
)
from tests.servers import fault_proxy as faults
from tests.servers.fault_proxy import Answer, Chance, Fault, Plan, Request, Rule, mutated

SAME = "all entries, each once"
STOPS = "stops with the reason; the next run completes it"
REJECTED = "rejected with the reason; all else once"
KEPT = "stored as it is; all else once"
MISSING = "what is missing is told; all else once"
TOLD = "all entries, each once; the false count is told"

JSON_SOURCES = tuple(source for source in SOURCES if source is not BUCKET)
OPTIMADE_SOURCES = (OPTIMADE, OPTIMADE_LINKS)


@dataclass(frozen=True)
class Target:
    """Where a fault is to hit: the entry ``victim``, and from which request for a page on."""

    source: FaultySource
    victim: str
    middle: int


@dataclass(frozen=True)
class Case:
    """A fault of some sources, the plan for the proxy, and what is expected, ``otherwise`` for a source.

    With ``in_turn``, pages are read one after the other, so that it is sure which one has the fault.
    """

    fault: str
    expected: str
    plan: Callable[[Target], Plan]
    sources: tuple[FaultySource, ...] = JSON_SOURCES
    otherwise: Mapping[str, str] = field(default_factory=dict)
    in_turn: bool = False

    def outcome(self, source: FaultySource) -> str:
        """What is expected of a source."""
        return self.otherwise.get(source.name, self.expected)


def once(fault: Fault, sources: tuple[FaultySource, ...] = JSON_SOURCES) -> Case:
    """A fault in the answer to one request."""
    return Case(
        f"{fault.name}, once",
        SAME,
        lambda target: Rule(fault, first=target.middle, times=1, path=target.source.pages),
        sources,
    )


def lasting(fault: Fault, sources: tuple[FaultySource, ...] = JSON_SOURCES) -> Case:
    """A fault that stays."""
    return Case(
        f"{fault.name}, from some page on",
        STOPS,
        lambda target: Rule(fault, first=target.middle, path=target.source.pages),
        sources,
    )


TRANSPORT = (
    *(faults.status(code) for code in (429, 500, 502, 503, 504)),
    faults.retry_after(429, 0.1),
    faults.retry_after(503, 1, date=True),
    faults.reset(),
    faults.reset(share=0.6),
    faults.HANG_UP,
    faults.silence(),
    faults.trickle(pause=0.1, piece=32),
    faults.CUT_OFF,
)
CONTENT = (faults.TRUNCATED, faults.BROKEN_GZIP, faults.HTML, faults.EMPTY, faults.NOT_AN_OBJECT)
QUICK = tuple(fault for fault in TRANSPORT if "Retry-After" not in fault.name)

Damage = Callable[[FaultySource, list[Any], Entry], None]
"""Spoils one of the entries on a page."""


def damaged(name: str, expected: str, damage: Damage) -> Case:
    """One entry is spoilt, whenever it is asked for with its structure."""

    def plan(target: Target) -> Plan:
        def change(document: Any) -> Any:
            source, entries = target.source, document["data"]
            for entry in list(entries):
                whole = len(source.fields(entry)) > 1
                if whole and source.stored(entry[source.identity]) == target.victim:
                    damage(source, entries, entry)
            return document

        return Rule(mutated(name, change), path=target.source.pages)

    return Case(name, expected, plan)


def null_all(source: FaultySource, _: list[Any], entry: Entry) -> None:
    fields = source.fields(entry)
    fields.update(dict.fromkeys(fields.keys() - {source.identity}))


def coordinate(value: object) -> Damage:
    def put(source: FaultySource, _: list[Any], entry: Entry) -> None:
        source.site(entry)[0] = value

    return put


def enlarge(source: FaultySource, _: list[Any], entry: Entry) -> None:
    source.enlarge(entry, twelve_thousand_atoms())


def repeat(_: FaultySource, entries: list[Any], entry: Entry) -> None:
    entries.append(entry)


def no_object(_: FaultySource, entries: list[Any], entry: Entry) -> None:
    entries[entries.index(entry)] = "an entry"


def renamed(identity: object) -> Damage:
    def rename(source: FaultySource, _: list[Any], entry: Entry) -> None:
        entry[source.identity] = identity

    return rename


DAMAGES = (
    damaged("every field of an entry null", REJECTED, null_all),
    damaged("a coordinate null", REJECTED, coordinate(None)),
    damaged("a coordinate NaN", REJECTED, coordinate(float("nan"))),
    damaged("a coordinate that is text", REJECTED, coordinate("0.5")),
    damaged("an entry of 12,000 atoms", KEPT, enlarge),
    replace(
        damaged("an entry twice on a page", REJECTED, repeat), otherwise={API.name: STOPS, NOMAD.name: TOLD}
    ),
    damaged("an entry that is no object", REJECTED, no_object),
    damaged("the id `../../x`", KEPT, renamed("../../x!")),
    damaged("an id of 4,096 characters", KEPT, renamed("y" * 4096)),
    damaged("the id `<script>`", KEPT, renamed("<script>")),
    damaged("an id with half of a surrogate pair", KEPT, renamed("\ud83d")),
    damaged("an id that is a number", REJECTED, renamed(7)),
    damaged("no id", REJECTED, renamed(None)),
)


Steer = Callable[[str, Any], None]
"""Changes a page's document, given the address that was asked for."""


def misled(
    name: str, steer: Steer, expected: str, sources: tuple[FaultySource, ...] = JSON_SOURCES, **otherwise: str
) -> Case:
    """Pages that lead astray, from some page on."""

    def plan(target: Target) -> Plan:
        rule = Rule(Fault(name, lambda answer: answer), first=target.middle, path=target.source.pages)

        def change(address: str, document: Any) -> Any:
            steer(address, document)
            return document

        def choose(request: Request) -> Fault | None:
            address = f"http://{request.headers['host']}{request.target}"
            return mutated(name, partial(change, address)) if rule(request) else None

        return choose

    named = {
        {"api": API, "nomad": NOMAD, "links": OPTIMADE_LINKS}[key].name: otherwise[key] for key in otherwise
    }
    return Case(name, expected, plan, sources, named, in_turn=True)


def other_total(_: str, document: Any) -> None:
    counts = document["pagination"] if "pagination" in document else document["meta"]
    for name in counts.keys() & {"total", "data_returned", "total_doc"}:
        counts[name] += 7


def without_entries(_: str, document: Any) -> None:
    document["data"] = []


def detour(address: str, document: Any) -> None:
    """First a page without entries, whose link leads to the right one."""
    if "email_address" not in address:
        document["data"] = []
        document["links"]["next"] = f"{address}&email_address=us@example.org"


def link_to_itself(address: str, document: Any) -> None:
    if document["links"].get("next"):
        document["links"]["next"] = address


def relative_link(_: str, document: Any) -> None:
    if following := document["links"].get("next"):
        document["links"]["next"] = f"?{urlsplit(following).query}"


def foreign_link(_: str, document: Any) -> None:
    if following := document["links"].get("next"):
        document["links"]["next"] = following.replace("127.0.0.1", "169.254.169.254")


def bare_link(_: str, document: Any) -> None:
    """Under another name, with the offset alone."""
    if following := document["links"].pop("next", None):
        offset = dict(parse_qsl(urlsplit(following).query)).get("page_offset", "0")
        document["links"]["next_page"] = f"{following.partition('?')[0]}?page_offset={offset}"


def no_link(_: str, document: Any) -> None:
    document["links"]["next"] = None


def cursor_to_itself(_: str, document: Any) -> None:
    pagination = document["pagination"]
    if "next_page_after_value" in pagination:
        pagination["next_page_after_value"] = pagination.get("page_after_value", "")


def no_cursor(_: str, document: Any) -> None:
    document["pagination"].pop("next_page_after_value", None)


def stale() -> Fault:
    """The answer of the page before."""
    before: list[Answer] = []

    def change(answer: Answer) -> Answer:
        before.append(answer)
        return before[0]

    return Fault("the page before once more", change)


def stale_page() -> Case:
    """From some page on, that page again and again."""
    return Case(
        "the same page again and again",
        STOPS,
        lambda target: Rule(stale(), first=target.middle, path=target.source.pages),
        in_turn=True,
    )


PAGING = (
    stale_page(),
    misled("a total that changes", other_total, TOLD, api=STOPS),
    misled("pages without their entries", without_entries, MISSING, api=STOPS, nomad=REJECTED),
    misled("an empty page between the others", detour, SAME, OPTIMADE_SOURCES),
    misled("a `next` that points to its own page", link_to_itself, SAME, OPTIMADE_SOURCES, links=STOPS),
    misled("a relative `next`", relative_link, SAME, OPTIMADE_SOURCES),
    misled("a `next` on another host", foreign_link, SAME, OPTIMADE_SOURCES, links=STOPS),
    misled("`next_page` instead of `next`, without filter and fields", bare_link, SAME, OPTIMADE_SOURCES),
    misled("no `next` though there is more", no_link, SAME, OPTIMADE_SOURCES, links=STOPS),
    misled("a cursor that points to its own page", cursor_to_itself, STOPS, (NOMAD,)),
    misled("no cursor though there is more", no_cursor, STOPS, (NOMAD,)),
)

CASES: tuple[Case, ...] = (
    *[case(fault, SOURCES) for fault in TRANSPORT for case in (once, lasting)],
    *[case(fault) for fault in CONTENT for case in (once, lasting)],
    Case(
        "503 Service Unavailable, from the first request on",
        STOPS,
        lambda _: Rule(faults.status(503)),
        SOURCES,
    ),
    Case(
        "any of these for 20% of all requests",
        SAME,
        lambda _: Chance(QUICK + CONTENT, 0.2, seed=11),
        in_turn=True,
    ),
    *PAGING,
    *DAMAGES,
)
