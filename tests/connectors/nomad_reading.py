"""Entries of a NOMAD replica, and reading them page by page and without a store."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
from ase.build import bulk

from connectors.http import Patience
from connectors.nomad import NomadConnector, open_nomad
from engine.source import Harvest, Page, PageContent
from engine.validation import StructureLimits
from tests.servers.nomad_replica import NomadReplica, nomad_entry, nomad_structure
from tests.servers.nomad_search import ReplicaEntry

BRIEF = Patience(attempts=3, first_wait=0.001, silence=5.0)
CUBE = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]
LIMITS = StructureLimits()


def salt(a: float = 5.64) -> dict[str, Any]:
    atoms = bulk("NaCl", "rocksalt", a=a)
    return nomad_structure(atoms.get_chemical_symbols(), atoms.positions.tolist(), atoms.cell.tolist())


def salts(count: int) -> list[ReplicaEntry]:
    return [nomad_entry(salt(5.0 + 0.001 * number), number) for number in range(count)]


def opened(place: NomadReplica | str, **settings: Any) -> NomadConnector:
    url = place if isinstance(place, str) else place.url
    return open_nomad("", oasis=url, patience=settings.pop("patience", BRIEF), **settings)


def chain(source: NomadConnector, page: Page | None) -> Iterator[PageContent]:
    """The contents of a page and of those that follow, each from its payload as JSON."""
    while page is not None:
        content = source.read(replace(page, payload=json.loads(json.dumps(page.payload))))
        yield content
        page = content.following


def read_all(source: NomadConnector, previous: Harvest | None = None) -> list[PageContent]:
    return [content for page in source.pages(previous) for content in chain(source, page)]


def rows_of(contents: list[PageContent]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.concat_tables([c.candidates for c in contents]).to_pylist()
    return rows


def rejects_of(contents: list[PageContent]) -> list[dict[str, Any]]:
    rejects: list[dict[str, Any]] = pa.concat_tables([c.rejects for c in contents]).to_pylist()
    return rejects
