"""What a store holds of each structure at present, in 28 bytes each."""

from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous
from engine.store import Table
from engine.store.record import PartRecord

Hashes = NDArray[np.uint64]

Entries = NDArray[np.void]

ENTRY = np.dtype([("id", "<u8"), ("content", "<u8"), ("place", "<u8"), ("part", "<i4")])
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
    _runs: list[Entries] = field(default_factory=list)
    _index: dict[str, int] = field(default_factory=dict)

    def catch_up(self, structures: Table) -> set[str]:
        """Put in what was committed since the last call, by whatever run; return the names of all parts."""
        names = structures.part_names()
        unseen = names - self._index.keys()
        fresh = [(PartRecord.of(structures.footer(part)).ingested_at, part) for part in unseen]
        for _, part in sorted(fresh):
            self.add(entries_of(structures.read(part, COLUMNS)), part)
        return names

    def add(self, rows: Entries, part: str) -> None:
        """Put in rows that ``part`` holds, none of one id; they supersede what was held under their ids."""
        if part not in self._index:
            self._index[part] = len(self.parts)
            self.parts.append(part)
        if not len(rows):
            return
        run = rows[np.argsort(rows["id"], kind="stable")]
        run["part"] = self._index[part]
        while self._runs and len(self._runs[-1]) <= len(run):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)

    def compare(self, rows: Entries) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """The ``State`` of each row, and the index in ``parts`` of what is held under its id, or -1."""
        held = np.zeros(len(rows), ENTRY)
        held["part"] = -1
        for run in self._runs:  # a later run overwrites what an earlier one says
            places = np.minimum(np.searchsorted(run["id"], rows["id"]), len(run) - 1)
            hit = run["id"][places] == rows["id"]
            held[hit] = run[places[hit]]
        known = held["part"] >= 0
        same = known & (held["content"] == rows["content"])
        foreign = ~same & (held["place"] != rows["place"])
        foreign &= (held["place"] != NOWHERE) & (rows["place"] != NOWHERE)
        states = np.select([~known, same, foreign], [State.NEW, State.SAME, State.FOREIGN], State.CHANGED)
        return states.astype(np.int8), held["part"].astype(np.int32)


def _merged(older: Entries, newer: Entries) -> Entries:
    both = np.concatenate([older[~np.isin(older["id"], newer["id"])], newer])
    return both[np.argsort(both["id"], kind="stable")]


def entries_of(rows: pa.Table) -> Entries:
    """What is to be known of rows (B,): hashes of their ids, contents and places.

    The content is what makes a later row another version: structure, licence, and whether it is deprecated.
    """
    deprecated = pc.cast(pc.fill_null(rows["deprecated"], False), pa.string())
    terms = pc.binary_join_element_wise(pc.fill_null(rows["license"], ""), deprecated, "\0")
    digests = b"".join(contiguous(rows["content_hash"]).to_pylist())
    entries = np.zeros(len(rows), ENTRY)
    entries["id"] = text_hashes(rows["structure_id"])
    entries["content"] = np.frombuffer(digests, dtype="<u8")[::4] ^ text_hashes(terms)
    entries["place"] = text_hashes(rows["url"])
    return entries


def text_hashes(texts: pa.ChunkedArray | pa.Array) -> Hashes:
    """64-bit hashes, ``NOWHERE`` for nulls; equal texts are hashed once."""
    encoded = contiguous(texts).dictionary_encode(null_encoding="encode")
    distinct = encoded.dictionary.to_pylist()
    digests = b"".join(bytes(8) if text is None else _digest(text.encode()) for text in distinct)
    return np.asarray(np.frombuffer(digests, dtype="<u8")[encoded.indices.to_numpy()])


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=8).digest()
