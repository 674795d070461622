"""Sources of a few structures each, behind real servers on loopback, and the anatomy of their answers."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import connectors.materials_project.rest
import connectors.nomad.connector
import connectors.optimade.capabilities
from connectors.http import Patience
from connectors.materials_project import MaterialsProjectDelta, MaterialsProjectRest
from connectors.materials_project.identifiers import numbered
from connectors.materials_project.selection import Selection
from connectors.nomad import NomadConnector
from connectors.optimade import OptimadeConnector
from engine.source import Connector
from tests.servers.fault_proxy import Plan, Rule, mutated
from tests.servers.materials_project_api import KEY, materials_project_api
from tests.servers.materials_project_documents import summary_documents
from tests.servers.materials_project_s3 import environment, materials_project_bucket, write_summary
from tests.servers.nomad_replica import PATH, NomadReplica, nomad_entry, nomad_structure
from tests.servers.optimade_entries import element, entries_of
from tests.servers.optimade_server import optimade_server

Entry = dict[str, Any]
Crystal = tuple[list[str], list[list[float]], list[list[float]]]
"""Labels of the sites, their positions and the lattice in Å."""
ENTRIES = 36
PAGE = 4
HOSTILE = ("../../x", "x" * 4096, "<script>alert(1)</script>", 'a" OR "1"="1', "back\\slash", "Å ß")


@dataclass(frozen=True)
class FaultySource:
    """A source of ``ENTRIES`` structures: its server, and the connector to an address.

    ``pages`` is part of the path of its pages of entries, ``identity`` the field with the id of an entry.
    ``stored`` turns such an id into that in the store.
    ``fields`` returns the part of an entry with the fields of a structure, ``site`` the coordinates of its
    first site; ``enlarge`` puts a crystal in its place. ``quirk`` is how the server behaves at the best.
    """

    name: str
    serve: Callable[[], AbstractContextManager[str]]
    connect: Callable[[str, Patience], Connector]
    pages: str
    identity: str
    fields: Callable[[Entry], Entry]
    site: Callable[[Entry], list[Any]]
    enlarge: Callable[[Entry, Crystal], None]
    stored: Callable[[str], str] = str
    quirk: Plan = lambda _: None


@contextmanager
def _optimade() -> Iterator[str]:
    names = [f"entry-{number}" for number in range(ENTRIES - len(HOSTILE))]
    with optimade_server(entries_of([*names, *HOSTILE])) as url:
        yield url


def _enlarge_optimade(entry: Entry, crystal: Crystal) -> None:
    labels, positions, lattice = crystal
    entry["attributes"] |= {
        "nsites": len(labels),
        "species_at_sites": labels,
        "species": [element(label) for label in sorted(set(labels))],
        "cartesian_site_positions": positions,
        "lattice_vectors": lattice,
    }


def _unsortable(document: Any) -> Any:
    for described in document["data"]["properties"].values():
        described["sortable"] = False
    return document


OPTIMADE = FaultySource(
    name="OPTIMADE",
    serve=_optimade,
    connect=lambda url, patience: OptimadeConnector(url, patience=patience),
    pages="/v1/structures",
    identity="id",
    fields=lambda entry: entry["attributes"],
    site=lambda entry: entry["attributes"]["cartesian_site_positions"][0],
    enlarge=_enlarge_optimade,
)
OPTIMADE_LINKS = replace(
    OPTIMADE,
    name="OPTIMADE (links)",
    quirk=Rule(mutated("not sortable", _unsortable), path="/info/structures"),
)


@contextmanager
def _api() -> Iterator[str]:
    variables = {"MP_API_KEY": KEY}
    with patch.dict(os.environ, variables), materials_project_api(summary_documents(ENTRIES)) as server:
        yield server.url.rstrip("/")


def _enlarge_summary(entry: Entry, crystal: Crystal) -> None:
    labels, positions, lattice = crystal
    sites = [
        {"species": [{"element": label, "occu": 1.0}], "xyz": position}
        for label, position in zip(labels, positions, strict=True)
    ]
    structure = {"lattice": {"matrix": lattice, "pbc": [True] * 3}, "sites": sites}
    entry |= {"nsites": len(sites), "structure": structure}


API = FaultySource(
    name="MP API",
    serve=_api,
    connect=lambda url, patience: MaterialsProjectRest(
        {"nsites_max": "1000"}, (), None, Selection(), patience, endpoint=f"{url}/"
    ),
    pages="/materials/summary/",
    identity="material_id",
    fields=lambda entry: entry,
    site=lambda entry: entry["structure"]["sites"][0]["xyz"],
    enlarge=_enlarge_summary,
    stored=numbered,
)


@contextmanager
def _bucket() -> Iterator[str]:
    documents = summary_documents(ENTRIES)
    with (
        patch.dict(os.environ),  # `_delta` sets some variables
        tempfile.TemporaryDirectory() as folder,
        materials_project_bucket() as bucket,
    ):
        for start in range(0, ENTRIES, ENTRIES // 3):
            write_summary(Path(folder), documents[start : start + ENTRIES // 3])
        bucket.put(Path(folder))
        yield bucket.url


def _delta(url: str, patience: Patience) -> Connector:
    os.environ |= environment(url)
    return MaterialsProjectDelta(None, Selection(), patience)


BUCKET = replace(API, name="MP bucket", serve=_bucket, connect=_delta, pages=".parquet")


@contextmanager
def _nomad() -> Iterator[str]:
    ids = [*HOSTILE, *[None] * (ENTRIES - len(HOSTILE))]
    entries = [
        nomad_entry(nomad_structure(*cesium_chloride(number)), number, entry_id=name)
        for number, name in enumerate(ids)
    ]
    with NomadReplica(entries, per_second=10_000, at_once=100) as replica:
        yield replica.url.removesuffix(PATH.removesuffix("/api/v1"))


def _nomad_structure(entry: Entry) -> Entry:
    structure: Entry = entry["archive"]["results"]["properties"]["structures"]["structure_original"]
    return structure


def _enlarge_nomad(entry: Entry, crystal: Crystal) -> None:
    _nomad_structure(entry).update(nomad_structure(*crystal))


NOMAD = FaultySource(
    name="NOMAD",
    serve=_nomad,
    connect=lambda url, patience: NomadConnector(url + PATH, patience=patience),
    pages="/entries/archive/query",
    identity="entry_id",
    fields=_nomad_structure,
    site=lambda entry: _nomad_structure(entry)["cartesian_site_positions"][0],
    enlarge=_enlarge_nomad,
)

SOURCES = (OPTIMADE, OPTIMADE_LINKS, API, BUCKET, NOMAD)


@contextmanager
def small_pages() -> Iterator[None]:
    """Let connectors ask for ``PAGE`` entries at a time, as fast as they can."""
    with (
        patch.multiple(connectors.nomad.connector, PER_SECOND=1e4, PAGE_ENTRIES=PAGE, SMALLEST_PAGE=2),
        patch.multiple(connectors.materials_project.rest, REQUESTS_PER_SECOND=1e4, LARGEST_PAGE=PAGE),
        patch.multiple(connectors.optimade.capabilities, LARGEST_PAGE=PAGE, SMALLEST_PAGE=2),
    ):
        yield


def cesium_chloride(number: int) -> Crystal:
    """A crystal of two sites, another one for each number."""
    a = 4.0 + number / 100
    lattice = [[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]]
    return ["Cs", "Cl"], [[0.0, 0.0, 0.0], [a / 2, a / 2, a / 2]], lattice


def twelve_thousand_atoms() -> Crystal:
    """Copper atoms on a simple cubic lattice."""
    positions = [[2.5 * x, 2.5 * y, 2.5 * z] for x in range(20) for y in range(20) for z in range(30)]
    return ["Cu"] * len(positions), positions, [[50.0, 0.0, 0.0], [0.0, 50.0, 0.0], [0.0, 0.0, 75.0]]
