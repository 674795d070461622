"""What NOMAD's API does with a request: the models it has to fit, the search, the reading of archives.

Models, limits, messages and quirks are those of nomad-lab 2.0: quantities are searched by their kind in the
index, and cursors carry the id as a tie-breaker unless it is the order.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, model_validator

RESULT_WINDOW = 10_000
QUANTITIES = {
    "entry_id": str,
    "upload_id": str,
    "parser_name": str,
    "nomad_version": str,
    "quantities": str,
    "published": bool,
    "with_embargo": bool,
    "last_processing_time": datetime,
    "publish_time": datetime,
    "results.material.material_id": str,
    "results.material.elements": str,
    "results.material.n_elements": int,
}
"""What can be searched, and the kind of its field in the index."""

Value = StrictInt | StrictFloat | StrictBool | str | datetime
Comparable = StrictInt | StrictFloat | str | datetime


class Owner(StrEnum):
    PUBLIC = "public"
    ALL = "all"
    VISIBLE = "visible"
    SHARED = "shared"
    USER = "user"
    STAGING = "staging"
    ADMIN = "admin"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Range(Strict):
    lt: Comparable | None = None
    lte: Comparable | None = None
    gt: Comparable | None = None
    gte: Comparable | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if not any([self.lt, self.lte, self.gt, self.gte]):
            raise ValueError("At least one range boundary must be defined")
        if (self.lt is not None and self.lte is not None) or (self.gt is not None and self.gte is not None):
            raise ValueError("Cannot specify both an open and a closed bound for the same boundary")
        return self


class All(Strict):
    op: list[Value] = Field(alias="all")


class AnyOf(Strict):
    op: list[Value] = Field(alias="any")


class NoneOf(Strict):
    op: list[Value] = Field(alias="none")


class And(BaseModel):
    op: list["Query"] = Field(alias="and")


class Or(BaseModel):
    op: list["Query"] = Field(alias="or")


class Not(BaseModel):
    op: "Query" = Field(alias="not")


Criterion = Value | list[Value] | Range | AnyOf | All | NoneOf
Query = Annotated[And | Or | Not | Mapping[str, Criterion], Field(union_mode="left_to_right")]


class Pagination(BaseModel):
    page_size: Annotated[int, Field(ge=0)] = 10
    order_by: str | None = None
    order: Annotated[str, Field(pattern="^(asc|desc)$")] = "asc"
    page_after_value: str | None = None
    page: Annotated[int, Field(ge=1)] | None = None
    page_offset: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        if sum(map(bool, (self.page, self.page_offset, self.page_after_value))) > 1:
            raise ValueError("Can only specify one of: page_offset, page, or page_after_value")
        if self.page_size == 0 and self.page_after_value is not None:
            raise ValueError("Cannot specify page_after_value when page_size is set to 0")
        if self.first + self.page_size >= RESULT_WINDOW and self.first:
            raise ValueError("Pagination by `page` is limited to 10.000 entries.")
        return self

    @property
    def first(self) -> int:
        return self.page_offset or ((self.page or 1) - 1) * self.page_size


class MetadataRequired(BaseModel):
    include: list[str] | None = None
    exclude: list[str] | None = None


class Search(BaseModel):
    owner: Owner = Owner.PUBLIC
    query: Query | None = None
    pagination: Pagination = Pagination()


class ArchiveSearch(Search):
    required: str | dict[str, Any] | None = "*"


class MetadataSearch(Search):
    required: MetadataRequired | None = None


@dataclass(frozen=True)
class ReplicaEntry:
    """What the index knows of an entry, by the names in QUANTITIES, and its archive, if there is one."""

    index: Mapping[str, Any]
    archive: Mapping[str, Any] | None
    viewers: frozenset[str] = frozenset()

    @property
    def entry_id(self) -> str:
        return str(self.index["entry_id"])


def invalid(message: str, *loc: str) -> HTTPException:
    return HTTPException(422, [{"msg": message, "loc": list(loc)}])


def kind_of(name: str, *loc: str) -> type:
    if name not in QUANTITIES:
        raise invalid(f"{name} is not a doc quantity", *(loc or (name,)))
    return QUANTITIES[name]


def normalized(query: Query | None, *, aliased: bool) -> dict[str, Any]:
    """A query as answers repeat it, with the names of operators where ``aliased`` and ``op`` elsewhere."""
    if isinstance(query, And | Or):
        name = ("and" if isinstance(query, And) else "or") if aliased else "op"
        return {name: [normalized(part, aliased=aliased) for part in query.op]}
    if isinstance(query, Not):
        return {"not" if aliased else "op": normalized(query.op, aliased=aliased)}
    criteria = [
        {"name": quantity, "value": dumped(value, aliased=aliased)}
        for quantity, value in (split(name, value) for name, value in (query or {}).items())
    ]
    return criteria[0] if len(criteria) == 1 else {"and" if aliased else "op": criteria}


def dumped(value: Any, *, aliased: bool) -> Any:
    model = All.model_validate({"all": value}) if isinstance(value, list) else value
    return model.model_dump(by_alias=aliased, exclude_none=True) if isinstance(model, BaseModel) else model


def split(name: str, value: Any) -> tuple[str, Any]:
    """A quantity and its criterion, where an operator may stand behind a colon."""
    quantity, _, qualifier = name.rpartition(":")
    models: dict[str, type[Strict]] = {"all": All, "any": AnyOf, "none": NoneOf}
    models |= dict.fromkeys(("lt", "lte", "gt", "gte"), Range)
    if not quantity or qualifier not in models:
        return name, value
    return quantity, models[qualifier].model_validate({qualifier: value})


def as_kind(value: Any, kind: type, name: str) -> Any:
    if kind is not datetime or isinstance(value, datetime):
        return value if kind is not str else str(value)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        message = (
            f"Elasticsearch could not process your query: failed to parse date field [{value}] of {name}"
        )
        raise HTTPException(400, message) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Condition = Callable[[Mapping[str, Any]], bool]


def condition(query: Query | None) -> Condition:
    """What an index document has to meet."""
    if isinstance(query, And | Or):
        parts = [condition(part) for part in query.op]
        every = all if isinstance(query, And) else any
        return lambda document: every(part(document) for part in parts)
    if isinstance(query, Not):
        inner = condition(query.op)
        return lambda document: not inner(document)
    criteria = [criterion(name, value) for name, value in (query or {}).items()]
    return lambda document: all(part(document) for part in criteria)


def criterion(name: str, value: Any) -> Condition:
    name, value = split(name, value)
    kind = kind_of(name)
    if isinstance(value, Range):
        return within(name, kind, value)
    wanted = value.op if isinstance(value, All | AnyOf | NoneOf) else value
    listed = [as_kind(item, kind, name) for item in (wanted if isinstance(wanted, list) else [wanted])]
    if isinstance(value, AnyOf):
        return lambda document: any(item in values(document, name) for item in listed)
    if isinstance(value, NoneOf):
        return lambda document: not any(item in values(document, name) for item in listed)
    return lambda document: all(item in values(document, name) for item in listed)


def within(name: str, kind: type, bounds: Range) -> Condition:
    given = {side: as_kind(bound, kind, name) for side, bound in bounds.model_dump(exclude_none=True).items()}
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "lt": lambda value, bound: value < bound,
        "lte": lambda value, bound: value <= bound,
        "gt": lambda value, bound: value > bound,
        "gte": lambda value, bound: value >= bound,
    }
    return lambda document: any(
        all(tests[side](value, bound) for side, bound in given.items()) for value in values(document, name)
    )


def values(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else [] if value is None else [value]


def owned(owner: Owner, user: str | None) -> Callable[[ReplicaEntry], bool]:
    """Which entries a request may see."""
    if user is None and owner in {Owner.SHARED, Owner.USER, Owner.STAGING, Owner.ADMIN}:
        raise HTTPException(401, f"Authentication required for owner='{owner.value}'.")
    if owner is Owner.ADMIN:
        raise HTTPException(403, "This can only be used by the admin user.")

    def allows(entry: ReplicaEntry) -> bool:
        public = bool(entry.index["published"]) and not entry.index["with_embargo"]
        mine = user in entry.viewers
        published = bool(entry.index["published"])
        seen = {
            Owner.PUBLIC: public,
            Owner.VISIBLE: public or mine,
            Owner.ALL: published or mine,
            Owner.STAGING: mine and not published,
        }
        return seen.get(owner, mine)

    return allows


@dataclass(frozen=True)
class Found:
    """A page of hits and the pagination that answers."""

    hits: list[ReplicaEntry]
    pagination: dict[str, Any]


def find(entries: Iterable[ReplicaEntry], asked: Search, user: str | None) -> Found:
    """Search as NOMAD does, with Elasticsearch's ``search_after``."""
    pages = asked.pagination
    order_by = pages.order_by or "entry_id"
    kind_of(order_by, "pagination", "order_by")
    if pages.first + pages.page_size > RESULT_WINDOW:
        raise HTTPException(
            400,
            "Elasticsearch could not process your query: Result window is too large, from + size must be "
            f"less than or equal to: [{RESULT_WINDOW}] but was [{pages.first + pages.page_size}]",
        )
    meets, allows = condition(asked.query), owned(asked.owner, user)
    found = [entry for entry in entries if allows(entry) and meets(entry.index)]
    found.sort(key=lambda entry: sort_key(entry, order_by), reverse=pages.order == "desc")
    first = pages.first
    if pages.page_after_value:
        first = position_after(found, order_by, pages)
    hits = found[first : first + pages.page_size]
    answer = pages.model_dump(exclude_none=True) | {"order_by": order_by, "total": len(found)}
    if 0 < len(hits) < len(found) and len(hits) >= pages.page_size:
        answer["next_page_after_value"] = ":".join(map(str, sort_key(hits[-1], order_by)))
    return Found(hits, answer)


def sort_key(entry: ReplicaEntry, order_by: str) -> tuple[Any, ...]:
    """What a hit is sorted by; dates in milliseconds, as in Elasticsearch's ``sort``."""
    if order_by == "entry_id":
        return (entry.entry_id,)
    value = entry.index[order_by]
    return (int(value.timestamp() * 1000) if isinstance(value, datetime) else value, entry.entry_id)


def position_after(found: Sequence[ReplicaEntry], order_by: str, pages: Pagination) -> int:
    """Where the first hit after the cursor is."""
    cursor: tuple[Any, ...] = tuple((pages.page_after_value or "").rsplit(":", 1))
    if len(cursor) != (1 if order_by == "entry_id" else 2):
        raise HTTPException(
            400, f"Elasticsearch could not process your query: search_after has {len(cursor)} value(s)"
        )
    if QUANTITIES[order_by] in {datetime, int}:
        cursor = (int(cursor[0]), cursor[1])
    keys = [sort_key(entry, order_by) for entry in found]
    if pages.order == "desc":
        return sum(key >= cursor for key in keys)
    return bisect_right(keys, cursor)


def reduced(required: Any, archive: Any) -> Any:
    """The parts of an archive that ``required`` names."""
    if isinstance(required, str):
        if required in {"*", "include", "include-resolved"}:
            return archive
        raise HTTPException(400, f"unknown directive {required}")
    parts: dict[str, Any] = {}
    for key, below in required.items():
        if not re.fullmatch(r"[\s\w\-]+(\[-?\d*(:-?\d*)?\])?", key):
            raise HTTPException(422, [{"msg": "invalid required key", "loc": [key]}])
        if isinstance(archive, dict) and key in archive and below != "exclude":
            child = archive[key]
            if isinstance(child, list):
                parts[key] = [reduced(below, item) for item in child]
            else:
                parts[key] = None if child is None else reduced(below, child)
    return parts
