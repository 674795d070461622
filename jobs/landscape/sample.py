"""Which structures a map is fitted to: all current ones, or a sample that has every prototype in it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.schema import STATUS_OK
from engine.store import Superseded

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.store import Store, Table

FLOOR = 50
"""Structures that a sample takes of every stratum, as far as it has them."""
Vectors = NDArray[np.float32]


class Chosen(NamedTuple):
    """Rows of a table, by its parts in the order of their names, and how many they were chosen from."""

    rows: dict[str, NDArray[np.int64]]
    available: int

    @property
    def size(self) -> int:
        """How many rows are chosen."""
        return sum(map(len, self.rows.values()))


class _Candidates(NamedTuple):
    part: NDArray[np.int32]
    row: NDArray[np.int64]
    stratum: NDArray[np.uint64]
    lot: NDArray[np.uint64]


def choose(store: Store, predictions: Table, size: int, seed: int) -> Chosen:
    """Choose ``size`` of the current structures that were predicted, or all if there are no more.

    Strata are the prototypes, recognised and out of distribution apart. Each gives `FLOOR` structures, or all
    that it has, and a share of the rest in proportion to its size. Which ones depends on the ids and the
    seed alone, not on the order in which they came.
    """
    parts = sorted(predictions.part_names())
    found = _candidates(store, predictions, parts, seed)
    keep = np.ones(len(found.row), bool)
    if len(found.row) > size:
        _, of, counts = np.unique(found.stratum, return_inverse=True, return_counts=True)
        order = np.lexsort((found.lot, of))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        keep = rank < allocation(counts, size)[of]
    ends = np.searchsorted(found.part[keep], np.arange(1, len(parts)))
    rows = dict(zip(parts, np.split(found.row[keep], ends), strict=True))
    return Chosen({part: chosen for part, chosen in rows.items() if len(chosen)}, len(found.row))


def allocation(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Divide ``size`` over strata of these sizes (S,): a floor for each, the rest in proportion."""
    base = np.minimum(counts, min(FLOOR, size // len(counts)))
    left, rest = size - int(base.sum()), counts - base
    exact = rest * (left / max(int(rest.sum()), 1))
    whole = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: left - int(whole.sum())]] += 1
    return np.asarray(base + np.minimum(whole, rest))


def read_chosen(
    features: Table, chosen: Chosen, represent: Callable[[Vectors], Vectors]
) -> tuple[pa.Array, Vectors]:
    """Read the ids (N,) and the representations (N, width) of the chosen rows of a table of vectors."""
    ids, vectors = [], []
    for part, rows in chosen.rows.items():
        table = features.read(part, ["structure_id", "vector"])
        column = contiguous(table["vector"])
        vectors.append(represent(fixed_size_values(column).reshape(len(column), -1)[rows]))
        ids.append(contiguous(table["structure_id"]).take(pa.array(rows)))
    return pa.concat_arrays(ids), np.concatenate(vectors)


def _candidates(store: Store, predictions: Table, parts: list[str], seed: int) -> _Candidates:
    """Look at all current structures that have a prediction."""
    superseded = Superseded.of(store)
    blocks = []
    for number, part in enumerate(parts):
        rows = predictions.read(part, ["structure_id", "status", "prototype", "is_ood"])
        numbered = rows.append_column("row", pa.array(np.arange(len(rows))))
        current = superseded.drop_from(part, numbered)
        usable = current.filter(pa.array(np.asarray(current["status"]) == STATUS_OK))
        kinds = zip(usable["prototype"].to_pylist(), usable["is_ood"].to_pylist(), strict=True)
        blocks.append(
            _Candidates(
                np.full(len(usable), number, np.int32),
                usable["row"].to_numpy(),
                np.array([_hash(f"{name} {is_ood}") for name, is_ood in kinds], np.uint64),
                np.array([_hash(name, seed) for name in usable["structure_id"].to_pylist()], np.uint64),
            )
        )
    return _Candidates(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _hash(text: str, seed: int = 0) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")
