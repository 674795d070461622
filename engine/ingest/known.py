"""What a store holds of each structure at present, in 28 bytes each."""

from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous
from engine.store import Store, Table
from engine.store.record import PartRecord

Hashes = NDArray[np.uint64]

Entries = NDArray[np.void]

ENTRY = np.dtype([("id", "<u8"), ("content", "<u8"), ("place", "<u8"), ("part", "<i4")])
NOWHERE = 0
REJECT_IDENTITY = ["structure_id", "error_class", "error_message"]
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
    newest: str = ""
    """When the latest of the parts in the store was ingested (ISO 8601)."""
    _runs: list[Entries] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)

    def catch_up(self, structures: Table) -> None:
        """Put in what was committed since the last call, by whatever run."""
        unseen = structures.part_names() - self.index.keys()
        footers = structures.footers(unseen)
        fresh = [(PartRecord.of(footer).ingested_at, part) for part, footer in footers.items()]
        for moment, part in sorted(fresh):
            self.add(entries_of(structures.read(part, COLUMNS)), part)
            self.newest = max(self.newest, moment)

    def add(self, rows: Entries, part: str) -> None:
        """Put in rows that ``part`` holds, none of one id; they supersede what was held under their ids."""
        if part not in self.index:
            self.index[part] = len(self.parts)
            self.parts.append(part)
        if not len(rows):
            return
        run = rows[np.argsort(rows["id"], kind="stable")]
        run["part"] = self.index[part]
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


@dataclass
class KnownRejects:
    """Rejects of completed parts, by 64-bit hashes of their ids, classes and messages; in 12 bytes each."""

    parts: list[str]
    hashes: Hashes
    holders: NDArray[np.int32]

    @classmethod
    def of(cls, store: Store) -> Self:
        """Read them part by part; a part that a killed run left incomplete does not count."""
        parts = sorted(store.rejects.part_names() & store.structures.part_names())
        hashes = [_reject_hashes(store.rejects.read(part, REJECT_IDENTITY)) for part in parts]
        holders = np.repeat(np.arange(len(parts), dtype=np.int32), [len(each) for each in hashes])
        found, first = np.unique(np.concatenate([np.array([], "<u8"), *hashes]), return_index=True)
        return cls(parts, found, holders[first])

    def find(self, rejects: pa.Table) -> tuple[NDArray[np.bool_], set[str]]:
        """Which of the rejects the store has word for word (B,), and the parts that have them."""
        hashes = _reject_hashes(rejects)
        if not len(self.hashes):
            return np.zeros(len(hashes), dtype=bool), set()
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        found = self.hashes[places] == hashes
        return found, {self.parts[i] for i in np.unique(self.holders[places[found]])}


def _reject_hashes(rejects: pa.Table) -> Hashes:
    columns = (pc.fill_null(rejects[name], "") for name in REJECT_IDENTITY)
    return text_hashes(pc.binary_join_element_wise(*columns, "\0"))


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
    entries["place"] = text_hashes(pc.replace_substring_regex(rows["url"], "^https?://", ""))
    return entries


def text_hashes(texts: pa.ChunkedArray | pa.Array) -> Hashes:
    """64-bit hashes, ``NOWHERE`` for nulls; equal texts are hashed once."""
    encoded = contiguous(texts).dictionary_encode(null_encoding="encode")
    distinct = encoded.dictionary.to_pylist()
    digests = b"".join(bytes(8) if text is None else _digest(text.encode()) for text in distinct)
    return np.asarray(np.frombuffer(digests, dtype="<u8")[encoded.indices.to_numpy()])


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=8).digest()
