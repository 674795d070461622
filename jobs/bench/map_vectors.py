"""Representations of the structures of a source and of displaced copies of them: many real vectors to map."""

from __future__ import annotations

import os
from contextlib import closing
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from connectors import open_sources
from engine.columns import StructureColumns
from engine.descriptors.soap import SoapStage
from engine.errors import CrysiftError
from engine.execution.capacity import available_cores
from engine.validation import StructureLimits, validate
from jobs.bench.processes import workers
from models.batches import usable_rows, vectors_of
from models.representations import Layer
from models.stage import PredictArise
from models.weights_file import load_model, model_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.source import Page
    from engine.stage import BatchFunction

    Singles = NDArray[np.float32]

LAYER = "3"
SHARES = (0.01, 0.04, 0.02)
"""Largest displacements per coordinate, as shares of d_NN, in the order in which copies are made."""
REVISION = 1
"""Bumped when other vectors come of the same source."""


class Representations(NamedTuple):
    """Vectors (N, 256) of the last hidden layer; the first ``undisplaced`` are of the source itself."""

    vectors: Singles
    undisplaced: int


class _Task(NamedTuple):
    rows: pa.Table
    page: int
    shares: tuple[float, ...]
    seed: int


def representations(source: str, count: int, seed: int, *, keep: bool) -> Representations:
    """Compute at most ``count`` vectors of a source, or read those that a run before has kept.

    They are of all its structures in the order of its pages, then of copies whose atoms are displaced, by all
    `SHARES` one after the other. Structures that SOAP refuses are left out. Those to ``keep`` are in
    `cache_folder`. Raises CrysiftError for a source without structures.
    """
    (connector,) = open_sources([source])
    with closing(connector):
        pages = list(connector.pages(None))
        path = cache_folder() / f"map-{_digest(pages, count, seed)}.npz"
        if keep and path.is_file():
            with np.load(path) as held:
                return Representations(held["vectors"], int(held["undisplaced"]))
        read = (validate(connector.read(page).candidates, StructureLimits())[0] for page in pages)
        rows = [of_page for of_page in read if len(of_page)]
    blocks = _blocks(rows, count, seed)
    if not any(len(block) for block in blocks):
        raise CrysiftError(f"there are no structures in {source} to measure on: name another --source")
    made = Representations(np.concatenate(blocks)[:count], min(len(blocks[0]), count))
    if keep:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, vectors=made.vectors, undisplaced=made.undisplaced)
    return made


def cache_folder() -> Path:
    """Return the folder of the user's cache where vectors are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crysift" / "bench"


def _digest(pages: Sequence[Page], count: int, seed: int) -> str:
    keys = [page.key for page in pages]
    determined_by = (REVISION, count, seed, keys, SHARES, LAYER, SoapStage().settings(), SoapStage.revision)
    return blake2b(
        f"{determined_by} {model_digest(PredictArise.weights)}".encode(), digest_size=8
    ).hexdigest()


def _blocks(pages: Sequence[pa.Table], count: int, seed: int) -> list[Singles]:
    """Vectors by share, the undisplaced ones first; the last share only as far as ``count`` needs it."""
    *first, last = (0.0, *SHARES)
    with workers(min(available_cores(), len(pages)) or 1) as apply:
        found = apply(_vectors, [_Task(rows, page, tuple(first), seed) for page, rows in enumerate(pages)])
        blocks = [np.concatenate(of_share) for of_share in zip(*found, strict=True)] or [_NONE]
        missing = count - sum(map(len, blocks))
        if missing > 0 and len(blocks[0]):
            needed = int(1.5 * missing * len(pages) / len(blocks[0])) + 2
            some = [_Task(rows, page, (last,), seed) for page, rows in enumerate(pages[:needed])]
            blocks.append(np.concatenate([of_page for (of_page,) in apply(_vectors, some)]))
    return blocks


_NONE = np.empty((0, 256), np.float32)


def _vectors(task: _Task) -> list[Singles]:
    """Representations of the structures of one page, displaced by each of the shares."""
    describe, layer = _described_by()
    pristine = describe(task.rows)
    reaches = np.nan_to_num(pristine["d_nn_min"].to_numpy().astype(np.float64))
    random = np.random.default_rng((task.seed, task.page))
    features = [
        describe(displaced(task.rows, share * reaches, random)) if share else pristine
        for share in task.shares
    ]
    return [layer(vectors_of(table)[usable_rows(table)]) for table in features]


def displaced(rows: pa.Table, reaches: NDArray[np.float64], random: np.random.Generator) -> pa.Table:
    """Move every coordinate by a number uniform in ± the reach (B,), Å, of its structure."""
    columns = StructureColumns.from_table(rows)
    reach = np.repeat(reaches, np.diff(columns.offsets))[:, None]
    positions = columns.positions + reach * random.uniform(-1.0, 1.0, columns.positions.shape)
    name = "cartesian_site_positions"
    sites = pa.FixedSizeListArray.from_arrays(pa.array(positions.ravel()), 3)
    moved = pa.ListArray.from_arrays(pa.array(columns.offsets, pa.int32()), sites)
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(name), moved.cast(rows.schema.field(name).type))


@lru_cache(maxsize=1)
def _described_by() -> tuple[BatchFunction, Layer]:
    import torch

    torch.set_num_threads(1)
    return SoapStage().open(), Layer(load_model(PredictArise.weights).network, LAYER)
