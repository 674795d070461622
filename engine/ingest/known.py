"""Which structures a store holds, in 24 bytes each."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.store import Table

Hashes = NDArray[np.uint64]


@dataclass
class HashSet:
    """A growing set of 64-bit hashes: sorted runs, merged when they are of one size.

    Two of n values share a hash with a probability of n²/2⁶⁵, 3·10⁻⁴ for a hundred million.
    """

    runs: list[Hashes] = field(default_factory=list)

    def contains(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which of ``hashes`` are in the set."""
        found = np.zeros(len(hashes), dtype=bool)
        for run in self.runs:
            places = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            found |= run[places] == hashes
        return found

    def add(self, hashes: Hashes) -> None:
        """Put ``hashes`` into the set."""
        run = np.sort(hashes)
        while self.runs and len(self.runs[-1]) <= len(run):
            run = np.sort(np.concatenate([self.runs.pop(), run]), kind="stable")
        if len(run):
            self.runs.append(run)


@dataclass
class KnownStructures:
    """Ids and contents of the structures in a store, and which part holds which."""

    ids: HashSet = field(default_factory=HashSet)
    contents: HashSet = field(default_factory=HashSet)
    parts: dict[str, Hashes] = field(default_factory=dict)

    def catch_up(self, structures: Table) -> None:
        """Put in what was committed since the last call, by whatever run."""
        for part in sorted(structures.part_names() - self.parts.keys()):
            self.add_part(part, structures.read(part, ["structure_id", "content_hash"]))

    def add_part(self, part: str, structures: pa.Table) -> None:
        """Put in a part that has these ``structures``."""
        self.parts[part] = id_hashes(structures)
        self.ids.add(self.parts[part])
        self.contents.add(content_hashes(structures))

    def holders(self, ids: Hashes) -> list[str]:
        """Names of the parts that hold any of these ids."""
        return [part for part, held in self.parts.items() if np.isin(ids, held).any()]


def id_hashes(structures: pa.Table) -> Hashes:
    """64-bit hashes of the structures' ids."""
    return _hashes(name.encode() for name in structures["structure_id"].to_pylist())


def content_hashes(structures: pa.Table) -> Hashes:
    """64-bit hashes of the structures' ids together with their contents."""
    pairs = zip(structures["structure_id"].to_pylist(), structures["content_hash"].to_pylist(), strict=True)
    return _hashes(content + name.encode() for name, content in pairs)


def _hashes(values: Iterable[bytes]) -> Hashes:
    digests = b"".join(blake2b(value, digest_size=8).digest() for value in values)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
