"""Vectors of structures, computed by a stage through a store, where an interrupted call resumes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.errors import CrysiftError
from engine.execution.events import Listener, ignore
from engine.execution.execute import execute
from engine.execution.packing import pack, predicted_pairs
from engine.execution.plan import plan_stage
from engine.schema import STATUS_OK
from engine.stage import Stage
from engine.store import Store, Table
from engine.structure import Structure, structures_table

MAX_ROWS = 1024


def stage_vectors(
    folder: str | Path,
    structures: Sequence[Structure],
    stage: Stage,
    column: str,
    pairs_per_part: float,
    listener: Listener = ignore,
) -> NDArray[Any]:
    """`column` (structures, width) of the stage's table for all structures, in their order.

    The store in `folder` then holds these structures, in parts of about `pairs_per_part` neighbour pairs, and
    no others. Raises CrysiftError where it holds other structures, or where a structure has no vector.
    """
    store = Store.open(folder, create=True)
    _commit(store.structures, structures, pairs_per_part)
    plan = plan_stage(store, stage)
    execute(plan, listener)
    rows = plan.target.scan(["structure_id", "status", "error_message", column]).to_table()
    failed = rows.filter(pc.field("status") != STATUS_OK)
    if len(failed):
        first = failed.slice(0, 1).to_pylist()[0]
        raise CrysiftError(
            f"{len(failed)} of {len(rows)} structures have no vector: training needs all of them; the first "
            f"is {first['structure_id']} ({first['error_message']})"
        )
    place = {structure_id: row for row, structure_id in enumerate(rows["structure_id"].to_pylist())}
    order = [place[structure.structure_id] for structure in structures]
    values = fixed_size_values(contiguous(rows[column]))
    return np.asarray(values.reshape(len(rows), -1)[order])


def _commit(table: Table, structures: Sequence[Structure], limit: float) -> None:
    """Write the structures in parts of at most `limit` predicted pairs, unless they are there."""
    costs = predicted_pairs(
        [len(s.positions) for s in structures], [len(set(s.species_at_sites)) for s in structures]
    )
    batches = pack(costs, limit, MAX_ROWS)
    parts = {_part_name(structures[rows.start : rows.stop]): rows for rows in batches}
    present = table.part_names()
    if present - parts.keys():
        raise CrysiftError(
            f"{table.folder.url} holds other structures than this training needs: name an empty work folder"
        )
    for name in parts.keys() - present:
        rows = parts[name]
        batch = structures_table(structures[rows.start : rows.stop])
        cost = float(costs[rows.start : rows.stop].sum())
        table.commit(name, batch, source_part=None, rows_in=len(rows), failed=0, cost=cost)


def _part_name(structures: Sequence[Structure]) -> str:
    contents = b"".join(s.structure_id.encode() + s.content_hash for s in structures)
    return f"part-{hashlib.blake2b(contents, digest_size=8).hexdigest()}"
