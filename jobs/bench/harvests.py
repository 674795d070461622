"""What is measured of ingest, each as a call for a process of its own: ours, and the sources' own clients."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass, field
from itertools import islice
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import psutil

from connectors import open_sources
from connectors.optimade.capabilities import FIELDS
from connectors.settings import SourceSettings
from engine.errors import CrysiftError
from engine.execution.events import Event, Listener, PageDone, ignore
from engine.ingest import ingest
from engine.store import Store
from engine.validation import StructureLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL = "nsites_min=1"
"""A query of the API that finds every material."""
DOCUMENT_FIELDS = [
    *("material_id", "nsites", "deprecated", "last_updated", "builder_meta"),
    *("energy_above_hull", "theoretical", "structure"),
]
"""What ours reads of a document, as mp-api names it."""


def use(environment: Mapping[str, str]) -> None:
    """Set environment variables that lead to other services than the public ones."""
    os.environ.update(environment)


def to_parquet(source: str, count: int, query: str | None = None, listener: Listener = ignore) -> None:
    """Ingest ``count`` structures into a new store: fetch, decode, map, validate, commit.

    Raises:
        CrysiftError: another number of structures was stored.
    """
    (connector,) = open_sources([source], SourceSettings(filter=query))
    with TemporaryDirectory() as folder:
        summary = ingest(connector, Store.open(folder, create=True), StructureLimits(), listener)
    _check(source, summary.total.stored, count)


def by_optimade_client(address: str, count: int) -> None:
    """Fetch ``count`` entries, a whole number of pages, with the reference client."""
    from optimade.client import OptimadeClient

    client = OptimadeClient(address, max_results_per_provider=count, silent=True)
    found = client.get(response_fields=list(FIELDS))["structures"][""][address]
    _check("OptimadeClient", len(found["data"]), count)


def by_rester(count: int) -> None:
    """Fetch ``count`` documents, which are all, with mp-api."""
    with _rester() as rester:
        found = rester.materials.summary.search(nsites=(1, 10**9), fields=DOCUMENT_FIELDS)
    _check("MPRester", len(found), count)


def copied_by_rester(count: int) -> None:
    """Copy the Delta table, which has ``count`` documents, with mp-api."""
    with TemporaryDirectory() as folder, _rester(folder) as rester:
        _check("MPRester", len(rester.materials.summary.search()), count)


def iterated_by_rester(folder: str, count: int) -> None:
    """Go through ``count`` documents of the copy that mp-api makes in a folder where there is none yet."""
    with _rester(folder) as rester:
        found = list(islice(rester.materials.summary.search(), count))
    _check("MPDataset", len(found), count)


def _rester(folder: str = "") -> Any:
    warnings.simplefilter("ignore")
    from mp_api.client import MPRester

    logging.getLogger("mp_api.client.core.client").setLevel(logging.ERROR)
    return MPRester(mute_progress_bars=True, local_dataset_cache=folder)


def _check(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise CrysiftError(f"{name} gave {found:,} structures and not {expected:,}: nothing can be compared")


def memory_curve(source: str, count: int, every: int) -> list[tuple[int, float]]:
    """Ingest ``count`` structures; return how many were there and the most memory till then, every so many.

    Memory is the resident set of this process, in MiB, and its largest within the last ``every`` structures.
    """
    curve = _MemoryCurve(every)
    to_parquet(source, count, listener=curve)
    return curve.points


@dataclass
class _MemoryCurve:
    """Looks at the memory of this process whenever a part is committed."""

    every: int
    points: list[tuple[int, float]] = field(default_factory=list)
    _rows: int = 0
    _most: float = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, PageDone):
            self._rows += event.rows
            self._most = max(self._most, psutil.Process().memory_info().rss / 2**20)
            if self._rows // self.every > len(self.points):
                self.points.append((self._rows, self._most))
                self._most = 0.0
