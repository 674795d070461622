"""The atoms of the structure that is matched: a table of spatial bricks, of which a worker reads a few."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.neighbors import Floats, Ints
from engine.errors import CrysiftError
from engine.schema import SCHEMA_VERSION, SPM_ATOMS
from engine.store import Fingerprint, Store, Table

NAME = "spm_atoms"
REVISION = 1
ATOMS_PER_BRICK = 50_000
BRICKS_HELD = 32
"""Bricks that a worker keeps in memory: those that a block and its neighbours need."""
MAX_SPECIES = 256


@dataclass(frozen=True, eq=False)
class Frame:
    """A structure at one time: positions (N, 3), Å, and species (N,), which index `labels`."""

    positions: Floats
    species: NDArray[np.uint8]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        """Count the atoms."""
        return len(self.positions)


class Region(NamedTuple):
    """Atoms in a part of space: positions (n, 3), Å, species (n,) and their places in the frame (n,)."""

    positions: Floats
    species: Ints
    atoms: Ints


@dataclass(frozen=True)
class AtomsTable:
    """The atoms of all frames, cut into cubic bricks; picklable."""

    table: Table

    @classmethod
    def write(cls, store: Store, name: str, frames: Sequence[Frame], *, allow_new: bool = False) -> Self:
        """Put frames into a store, unless they are there.

        Raises CrysiftError for no atoms, for coordinates that are not finite, and where the store holds other
        atoms, unless `allow_new`.
        """
        labels = _checked(name, frames)
        low = np.min([frame.positions.min(axis=0) for frame in frames], axis=0)
        high = np.max([frame.positions.max(axis=0) for frame in frames], axis=0)
        settings = {
            "name": name,
            "content": _digest(frames),
            "atoms": [len(frame) for frame in frames],
            "species": labels,
            "low": low.tolist(),
            "high": high.tolist(),
            "brick": _brick_edge(high - low, max(map(len, frames))),
        }
        fingerprint = Fingerprint(NAME, SCHEMA_VERSION, REVISION, settings, model=None, source_table=name)
        atoms = cls(store.derived(fingerprint, allow_new))
        present = atoms.table.part_names()
        for index, frame in enumerate(frames):
            for part, rows in atoms._bricks(index, frame):
                if part not in present:
                    table = _rows(index, frame, rows)
                    atoms.table.commit(
                        part, table, source_part=None, rows_in=len(rows), failed=0, cost=float(len(rows))
                    )
        return atoms

    @property
    def name(self) -> str:
        """What the structure is called."""
        return str(self.table.fingerprint.settings["name"])

    @property
    def labels(self) -> tuple[str, ...]:
        """All species, sorted; the species codes of a region index them."""
        return tuple(self.table.fingerprint.settings["species"])

    @property
    def counts(self) -> list[int]:
        """Atoms of every frame."""
        return list(self.table.fingerprint.settings["atoms"])

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """The lowest and the highest coordinates (3,) in any frame, Å."""
        settings = self.table.fingerprint.settings
        return np.array(settings["low"]), np.array(settings["high"])

    def reader(self) -> BrickReader:
        """Open the table for reading regions; bricks once read are kept, up to `BRICKS_HELD`."""
        return BrickReader(self)

    def frame(self, index: int) -> Frame:
        """Read a whole frame, in the file's order."""
        low, high = self.bounds
        region = self.reader().within(index, low - 1.0, high + 1.0)
        order = np.argsort(region.atoms)
        return Frame(region.positions[order], region.species[order].astype(np.uint8), self.labels)

    def places(self, positions: Floats) -> Ints:
        """Places (n, 3) of the bricks that hold positions (n, 3), Å."""
        low, _ = self.bounds
        return np.asarray(np.floor((positions - low) / self.table.fingerprint.settings["brick"]), np.int64)

    def _bricks(self, index: int, frame: Frame) -> Iterator[tuple[str, Ints]]:
        """Names of the bricks of a frame that hold atoms, and these (n,)."""
        places = self.places(frame.positions)
        order = np.lexsort(places.T[::-1])
        sorted_places = places[order]
        changes = np.flatnonzero((np.diff(sorted_places, axis=0) != 0).any(axis=1)) + 1
        for rows in np.split(order, changes):
            yield _part(index, places[rows[0]].tolist()), rows


class BrickReader:
    """Reads the atoms of a region from the bricks that it touches. Not safe to share between threads."""

    def __init__(self, atoms: AtomsTable) -> None:
        self._atoms = atoms
        self._parts = atoms.table.part_names()
        self._held = lru_cache(maxsize=BRICKS_HELD)(self._read)

    def within(self, frame: int, low: Floats, high: Floats) -> Region:
        """Read the atoms of a frame with low ≤ x < high on every axis, Å, in an order fixed by the table."""
        bounds = self._atoms.bounds
        corners = np.array([np.maximum(low, bounds[0]), np.minimum(high, bounds[1])])
        first, last = self._atoms.places(corners).tolist()
        parts = [_part(frame, place) for place in product(*map(_inclusive, first, last))]
        bricks = [self._held(part) for part in parts if part in self._parts]
        pieces = [_NOTHING, *(_cut(brick, low, high) for brick in bricks)]
        return Region(
            np.concatenate([piece.positions for piece in pieces]),
            np.concatenate([piece.species for piece in pieces]),
            np.concatenate([piece.atoms for piece in pieces]),
        )

    def _read(self, part: str) -> Region:
        table = self._atoms.table.read(part, ["position", "species", "atom"])
        positions = fixed_size_values(contiguous(table["position"])).reshape(-1, 3)
        species = pc.index_in(contiguous(table["species"]), value_set=pa.array(self._atoms.labels))
        return Region(positions, species.to_numpy().astype(np.int64), table["atom"].to_numpy())


_NOTHING = Region(np.empty((0, 3)), np.empty(0, np.int64), np.empty(0, np.int64))


def _inclusive(first: int, last: int) -> range:
    return range(first, last + 1)


def _cut(region: Region, low: Floats, high: Floats) -> Region:
    inside = ((region.positions >= low) & (region.positions < high)).all(axis=1)
    return Region(region.positions[inside], region.species[inside], region.atoms[inside])


def _checked(name: str, frames: Sequence[Frame]) -> list[str]:
    """Return the sorted species of all frames."""
    if not any(len(frame) for frame in frames):
        raise CrysiftError(f"{name} has no atoms: name a file with at least one")
    for index, frame in enumerate(frames):
        if not len(frame):
            raise CrysiftError(f"frame {index} of {name} has no atoms: leave it out")
        if not np.isfinite(frame.positions).all():
            atom = int(np.argmin(np.isfinite(frame.positions).all(axis=1)))
            raise CrysiftError(
                f"atom {atom} of frame {index} of {name} has the position {frame.positions[atom].tolist()}, "
                "which is not finite: correct the file"
            )
    labels = sorted({label for frame in frames for label in frame.labels})
    if len(labels) > MAX_SPECIES:
        raise CrysiftError(f"{name} has {len(labels)} species, and at most {MAX_SPECIES} are possible")
    return labels


def _digest(frames: Sequence[Frame]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for frame in frames:
        for values in (np.ascontiguousarray(frame.positions), np.ascontiguousarray(frame.species)):
            digest.update(values.data)
        digest.update("\0".join(frame.labels).encode())
    return digest.hexdigest()


def _brick_edge(extent: Floats, atoms: int) -> float:
    """Edge, Å, of bricks that hold `ATOMS_PER_BRICK` on average."""
    volume = float(np.prod(np.maximum(extent, 1.0)))
    return float(np.cbrt(volume * ATOMS_PER_BRICK / atoms))


def _part(frame: int, place: Sequence[int]) -> str:
    return f"part-{frame:05d}-{'-'.join(f'{k:04d}' for k in place)}"


def _rows(index: int, frame: Frame, rows: Ints) -> pa.Table:
    positions = pa.array(frame.positions[rows].reshape(-1))
    species = pa.array(frame.labels, pa.string()).take(pa.array(frame.species[rows]))
    columns = [
        pa.repeat(pa.scalar(index, pa.int32()), len(rows)),
        pa.array(rows, pa.int64()),
        species,
        pa.FixedSizeListArray.from_arrays(positions, type=SPM_ATOMS.field("position").type),
    ]
    return pa.table(columns, schema=SPM_ATOMS)
