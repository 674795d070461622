"""Structures of a source in a store of its own, in parts of equal size."""

from __future__ import annotations

from itertools import pairwise, repeat
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from connectors import open_sources
from engine.errors import CrysiftError
from engine.execution.packing import row_costs
from engine.store import Store
from engine.validation import StructureLimits, validate

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.bench import BenchmarkSettings


def draw_rows(settings: BenchmarkSettings, count: int) -> pa.Table:
    """Draw rows of the structures table from random pages of the source; a small source is repeated.

    Raises CrysiftError where the source has none.
    """
    random = np.random.default_rng(settings.seed)
    (connector,) = open_sources([settings.source])
    pages = list(connector.pages(None))
    drawn, rows = [], 0
    for number in random.permutation(len(pages)):
        accepted, _ = validate(connector.read(pages[number]).candidates, StructureLimits())
        drawn.append(accepted)
        rows += len(accepted)
        if rows >= count:
            break
    if not rows:
        raise CrysiftError(
            f"there are no structures in {settings.source} to measure on: name another --source"
        )
    order = random.permutation(rows)
    found = pa.concat_tables(drawn).take(order)
    return pa.concat_tables(repeat(found, -(-count // rows))).slice(0, count)


def store_of(rows: pa.Table, parts: int, folder: Path) -> Store:
    """Commit rows to a new store, in so many parts of equal size."""
    store = Store.open(folder, create=True)
    bounds = np.linspace(0, len(rows), parts + 1).astype(int).tolist()
    for number, (start, end) in enumerate(pairwise(bounds)):
        part = rows.slice(start, end - start)
        store.structures.commit(
            f"part-{number:05d}",
            part,
            source_part=None,
            rows_in=len(part),
            failed=0,
            cost=float(row_costs(part["species_at_sites"]).sum()),
        )
    return store
