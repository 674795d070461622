"""What a store holds of each structure at present, in 28 bytes each."""

from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous
from engine.ingest.record import PartRecord
from engine.store import Table

Hashes = NDArray[np.uint64]

_ENTRY = np.dtype([("id", "<u8"), ("content", "<u8"), ("place", "<u8"), ("part", "<i4")])
NOWHERE = 0
COLUMNS = ["structure_id", "content_hash", "url", "license", "deprecated"]


class State(IntEnum):
    """How a row compares with what is held under its id."""

    NEW = 0
    SAME = 1
    CHANGED = 2
    """Other content, from the same place: a later version."""
    FOREIGN = 3
    """Other content, from another place: another structure of the same name."""


@dataclass
class KnownStructures:
    """The latest content and place of every id, by 64-bit hashes, and the part that holds it.

    Two of n ids share a hash with a probability of n²/2⁶⁵, 3·10⁻⁴ for a hundred million. The entries are in
    runs sorted by id, newest last; runs of one size are merged, the newer entry of an id staying.
    """

    parts: list[str] = field(default_factory=list)
    _runs: list[NDArray[np.void]] = field(default_factory=list)
    _index: dict[str, int] = field(default_factory=dict)

    def catch_up(self, structures: Table) -> set[str]:
        """Put in what was committed since the last call, by whatever run; return the names of all parts."""
        names = structures.part_names()
        unseen = names - self._index.keys()
        fresh = [(PartRecord.of(structures.footer(part)).ingested_at, part) for part in unseen]
        for _, part in sorted(fresh):
            self.add(structures.read(part, COLUMNS), part)
        return names

    def add(self, rows: pa.Table, part: str) -> None:
        """Put in rows that ``part`` holds, none of one id; they supersede what was held under their ids."""
        if part not in self._index:
            self._index[part] = len(self.parts)
            self.parts.append(part)
        if not len(rows):
            return
        entries = np.empty(len(rows), _ENTRY)
        entries["id"] = id_hashes(rows)
        entries["content"] = _content_hashes(rows)
        entries["place"] = text_hashes(rows["url"])
        entries["part"] = self._index[part]
        run = entries[np.argsort(entries["id"], kind="stable")]
        while self._runs and len(self._runs[-1]) <= len(run):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)

    def compare(self, rows: pa.Table) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """The ``State`` of each row, and the index in ``parts`` of what is held under its id, or -1."""
        held = self._lookup(id_hashes(rows))
        known = held["part"] >= 0
        same = known & (held["content"] == _content_hashes(rows))
        places = text_hashes(rows["url"])
        foreign = ~same & (held["place"] != places) & (held["place"] != NOWHERE) & (places != NOWHERE)
        states = np.select([~known, same, foreign], [State.NEW, State.SAME, State.FOREIGN], State.CHANGED)
        return states.astype(np.int8), held["part"].astype(np.int32)

    def holds(self, rows: pa.Table) -> NDArray[np.bool_]:
        """Which rows have an id that is held."""
        return np.asarray(self._lookup(id_hashes(rows))["part"] >= 0)

    def _lookup(self, ids: Hashes) -> NDArray[np.void]:
        found = np.zeros(len(ids), _ENTRY)
        found["part"] = -1
        for run in self._runs:  # a later run overwrites what an earlier one says
            places = np.minimum(np.searchsorted(run["id"], ids), len(run) - 1)
            hit = run["id"][places] == ids
            found[hit] = run[places[hit]]
        return found


def _merged(older: NDArray[np.void], newer: NDArray[np.void]) -> NDArray[np.void]:
    both = np.concatenate([older[~np.isin(older["id"], newer["id"])], newer])
    return both[np.argsort(both["id"], kind="stable")]


def id_hashes(rows: pa.Table) -> Hashes:
    """64-bit hashes of the structures' ids."""
    return text_hashes(rows["structure_id"])


def _content_hashes(rows: pa.Table) -> Hashes:
    """64-bit hashes of what makes a later row another version: content, licence, whether it is deprecated."""
    digests = contiguous(rows["content_hash"]).to_pylist()
    contents = np.frombuffer(b"".join(digest[:8] for digest in digests), dtype="<u8")
    terms = pc.binary_join_element_wise(
        pc.fill_null(rows["license"], ""), pc.cast(pc.fill_null(rows["deprecated"], False), pa.string()), "\0"
    )
    return np.asarray(contents ^ text_hashes(terms))


def text_hashes(texts: pa.ChunkedArray | pa.Array) -> Hashes:
    """64-bit hashes, ``NOWHERE`` for nulls; equal texts are hashed once."""
    encoded = contiguous(texts).dictionary_encode(null_encoding="encode")
    distinct = encoded.dictionary.to_pylist()
    digests = b"".join(bytes(8) if text is None else _digest(text.encode()) for text in distinct)
    return np.asarray(np.frombuffer(digests, dtype="<u8")[encoded.indices.to_numpy()])


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=8).digest()
