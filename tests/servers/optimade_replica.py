"""An OPTIMADE service that can be made to misbehave as services do; fast, for it sends prepared bytes.

``FaultProxy(OptimadeReplica(entries))`` serves it. The format is that of the reference server (optimade
1.5.0); filters are conjunctions of the conditions that harvesting adds.
"""

import bisect
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from tests.servers.fault_proxy import Answer, Request

JSON_API = "application/vnd.api+json"
PROPERTIES = (
    *("id", "type", "immutable_id", "last_modified", "elements", "nelements", "chemical_formula_reduced"),
    *("nsites", "species_at_sites", "species", "cartesian_site_positions", "lattice_vectors"),
    *("dimension_types", "structure_features", "assemblies"),
)
HEAVY = ("elements", "nelements", "chemical_formula_reduced")
"""Properties that are not sent where fields are chosen."""
COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq}
CONDITION = re.compile(r'(\w+)\s*(>=|<=|>|<|=)\s*("(?:[^"\\]|\\.)*"|-?\d+)|(\w+) IS (UNKNOWN|KNOWN)')

Order = Callable[[str], Any]


@dataclass
class Quirks:
    """What a service does not do, or does in its own way."""

    largest_page: int = 500
    page_limit_ignored: int | None = None
    """So many entries are on every page, whatever is asked for."""
    sorts: bool = True
    says_sortable: bool = True
    knows: frozenset[str] = frozenset({"id", "last_modified", "nelements"})
    """Properties that filters may name; others are refused with 501."""
    ignored: frozenset[str] = frozenset()
    """Properties that filters may name, to no effect."""
    order: Order = str
    """The key by which ids are compared and sorted."""
    fields_refused: bool = False
    counts: Callable[[int, int], int | None] = lambda found, _: found
    """``data_returned`` from the number of entries found, and of those on the page."""
    available: bool = True
    more: bool | None = None
    """What ``more_data_available`` always is."""
    next: Callable[[str, str], Any] = lambda address, _: address
    """The link to the next page from its address and that of this page."""
    next_name: str = "next"
    dropped: frozenset[str] = frozenset()
    """Parameters that the link to the next page lacks."""
    empty_pages: int = 0
    """So many pages without entries come before each page but the first, by the links."""
    withheld: Callable[[str], bool] = lambda _: False
    """Ids of entries that are left out when a page has been cut."""
    info: dict[str, Any] = field(default_factory=dict)
    """More attributes of the info endpoint."""
    versions: Sequence[str] = ("1",)


class Row(NamedTuple):
    """An entry: its id, what filters compare, and its bytes."""

    id: str
    values: dict[str, Any]
    body: int
    raw: bytes | None = None


class OptimadeReplica:
    """Answers to requests; ``entries`` may be anything that JSON can say."""

    def __init__(self, entries: Iterable[Any] = (), quirks: Quirks | None = None) -> None:
        self.quirks = quirks or Quirks()
        self.rows: list[Row] = []
        self.before: Callable[[Request], None] = lambda _: None
        """What happens before a list of structures is made."""
        self._bodies: list[tuple[bytes, bytes]] = []
        self._sorted: tuple[list[Row], list[Any]] | None = None
        for entry in entries:
            self.insert(entry)

    @classmethod
    def repeating(cls, entries: Sequence[dict[str, Any]], count: int) -> "OptimadeReplica":
        """Serve ``count`` entries with the attributes of ``entries`` in turn and ids of their own."""
        replica = cls(entries)
        rows = replica.rows
        replica.rows = [rows[i % len(rows)]._replace(id=f"s-{i:09d}") for i in range(count)]
        return replica

    def insert(self, entry: Any, at: int | None = None) -> None:
        """Put in an entry, at the end or before that at ``at`` (the order where none is asked for)."""
        self._sorted = None
        self.rows.insert(len(self.rows) if at is None else at, self._row(entry))

    def delete(self, name: str) -> None:
        """Take an entry out."""
        self._sorted = None
        self.rows = [row for row in self.rows if row.id != name]

    def _row(self, entry: Any) -> Row:
        plain = isinstance(entry, dict) and set(entry) == {"id", "type", "attributes"}
        if not plain or not isinstance(entry["id"], str) or not isinstance(entry["attributes"], dict):
            name = entry.get("id") if isinstance(entry, dict) else None
            return Row(str(name), {}, 0, orjson.dumps(entry))
        attributes = entry["attributes"]
        wanted = {name: value for name, value in attributes.items() if name not in HEAVY}
        self._bodies.append((orjson.dumps(attributes), orjson.dumps(wanted)))
        values = {name: attributes.get(name) for name in ("last_modified", "nelements")}
        return Row(entry["id"], values, len(self._bodies) - 1)

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        match request.path:
            case "/versions":
                body = "\n".join(["version", *self.quirks.versions, ""]).encode()
                return Answer(200, {"content-type": "text/csv; header=present"}, body)
            case "/v1/info" if "1" in self.quirks.versions:
                return _json(200, {"data": {"id": "/", "type": "info", "attributes": self._info()}})
            case "/v1/info/structures":
                return _json(200, {"data": {"id": "structures", "properties": self._properties()}})
            case "/v1/structures":
                self.before(request)
                return self._list(request)
        return _refused(404, "Not Found")

    def _info(self) -> dict[str, Any]:
        return {"api_version": "1.2.0", "formats": ["json"], "is_index": False, **self.quirks.info}

    def _properties(self) -> dict[str, Any]:
        return {name: {"description": name, "sortable": self.quirks.says_sortable} for name in PROPERTIES}

    def _list(self, request: Request) -> Answer:
        quirks, query = self.quirks, request.query
        asked = int(query.get("page_limit", min(20, quirks.largest_page)))
        if quirks.page_limit_ignored is None and asked > quirks.largest_page:
            return _refused(403, f"Max allowed page_limit is {quirks.largest_page}, you requested {asked}")
        if quirks.fields_refused and "response_fields" in query:
            return _refused(400, "Unrecognised OPTIMADE field(s) in requested `response_fields`")
        if "sort" in query and not quirks.sorts:
            return _refused(400, "Unable to sort on unknown field 'id'")
        try:
            found = self._found(query)
        except LookupError as error:
            return _refused(501, f"{error.args[0]} is not implemented")
        start = int(query.get("page_offset", 0))
        stop = start + (quirks.page_limit_ignored or asked)
        blank = int(query.get("page_blank", 0))
        if blank:
            stop = start
        rows = [row for row in found[start:stop] if not quirks.withheld(row.id)]
        meta = {
            "api_version": "1.2.0",
            "data_returned": quirks.counts(len(found), len(rows)),
            "data_available": len(self.rows) if quirks.available else None,
            "more_data_available": stop < len(found) if quirks.more is None else quirks.more,
        }
        parameters = {name: value for name, value in query.items() if name not in quirks.dropped}
        parameters |= {
            "page_offset": str(stop),
            "page_blank": str(blank - 1 if blank else quirks.empty_pages),
        }
        here = f"http://{request.headers['host']}{request.target}"
        following = quirks.next(f"{here.partition('?')[0]}?{urlencode(parameters)}", here)
        rest = {
            "meta": {name: value for name, value in meta.items() if value is not None},
            "links": {quirks.next_name: following if stop < len(found) else None},
        }
        return Answer(200, {"content-type": JSON_API}, self._page(rows, query, rest))

    def _found(self, query: dict[str, str]) -> Sequence[Row]:
        """Rows that the filter finds, in order; raises LookupError over what it may not name."""
        rows, keys = self._by_id() if "sort" in query else (self.rows, None)
        start, stop = 0, len(rows)
        tests: list[Callable[[Row], bool]] = []
        for name, comparison, value, asked, known in CONDITION.findall(query.get("filter", "")):
            if (name or asked) not in self.quirks.knows:
                raise LookupError(name or asked)
            if (name or asked) in self.quirks.ignored:
                continue
            if asked:
                tests.append(partial(_is_known, asked, known == "KNOWN"))
                continue
            literal = orjson.loads(value)
            if name == "id" and keys is not None and comparison in (">", "<="):
                place = bisect.bisect_right(keys, self.quirks.order(literal))
                start, stop = (max(start, place), stop) if comparison == ">" else (start, min(stop, place))
            else:
                tests.append(partial(self._meets, name, COMPARISONS[comparison], literal))
        found = rows[start:stop]
        return [row for row in found if all(test(row) for test in tests)] if tests else found

    def _meets(self, name: str, compare: Callable[[Any, Any], Any], literal: Any, row: Row) -> bool:
        order = self.quirks.order
        if name == "id":
            return bool(compare(order(row.id), order(literal)))
        return row.values.get(name) is not None and bool(compare(row.values[name], literal))

    def _by_id(self) -> tuple[list[Row], list[Any]]:
        if self._sorted is None:
            rows = sorted(self.rows, key=lambda row: self.quirks.order(row.id))
            self._sorted = rows, [self.quirks.order(row.id) for row in rows]
        return self._sorted

    def _page(self, rows: Sequence[Row], query: dict[str, str], rest: dict[str, Any]) -> bytes:
        wanted = query.get("response_fields")
        if wanted is None:
            bodies = [self._bodies[row.body][0] if row.raw is None else b"" for row in rows]
        elif wanted == "id":
            bodies = [b"{}"] * len(rows)
        else:
            bodies = [self._bodies[row.body][1] if row.raw is None else b"" for row in rows]
        entries = [
            row.raw or b'{"id":%b,"type":"structures","attributes":%b}' % (orjson.dumps(row.id), body)
            for row, body in zip(rows, bodies, strict=True)
        ]
        return b'{"data":[%b],%b' % (b",".join(entries), orjson.dumps(rest)[1:])


def _is_known(name: str, known: bool, row: Row) -> bool:
    return (row.values.get(name) is not None) == known


def _json(status: int, document: dict[str, Any]) -> Answer:
    return Answer(
        status, {"content-type": JSON_API}, orjson.dumps({"meta": {"api_version": "1.2.0"}} | document)
    )


def _refused(status: int, detail: str) -> Answer:
    return _json(status, {"errors": [{"status": str(status), "title": "Refused", "detail": detail}]})
