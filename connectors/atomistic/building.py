"""Frames put together from blocks of atoms, without a Python object per atom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.atomistic.names import NAME_TYPES
from engine.errors import CrysiftError
from engine.spm.atoms import MAX_SPECIES, Frame

BYTES_PER_ATOM = 25
"""Of a frame: three float64 and one uint8."""


@dataclass
class FrameBuilder:
    """Collects the atoms of one frame of the file `place`; `names` are what its labels stand for.

    `capacity` is how many atoms are expected; more may come.
    """

    place: str
    names: Mapping[str, str]
    capacity: InitVar[int] = 0
    _codes: dict[str, int] = field(init=False, default_factory=dict)
    _positions: NDArray[np.float64] = field(init=False)
    _species: NDArray[np.uint8] = field(init=False)
    _count: int = field(init=False, default=0)

    def __post_init__(self, capacity: int) -> None:
        """Make room."""
        self._positions, self._species = np.empty((capacity, 3)), np.empty(capacity, np.uint8)

    def add(self, positions: NDArray[np.float64], labels: pa.Array) -> None:
        """Take atoms: positions (n, 3), Å, and their labels (n,).

        Raises CrysiftError for missing labels, for numbers that nothing names, and for more species than a
        frame can hold.
        """
        encoded = labels.dictionary_encode()
        if encoded.null_count:
            raise CrysiftError(f"{encoded.null_count:,} atoms of {self.place} have no species: add them")
        codes = [self._code(label) for label in encoded.dictionary.to_pylist()]
        places = encoded.indices.to_numpy(zero_copy_only=False)
        end = self._count + len(positions)
        if end > len(self._positions):
            self._grow(max(end, 2 * len(self._positions)))
        self._positions[self._count : end] = positions
        self._species[self._count : end] = np.array(codes, np.uint8)[places]
        self._count = end

    def finish(self) -> Frame:
        """Return the frame, its species sorted by name."""
        labels = sorted(self._codes)
        rank = np.zeros(max(len(labels), 1), np.uint8)
        rank[[self._codes[label] for label in labels]] = np.arange(len(labels))
        return Frame(self._positions[: self._count], rank[self._species[: self._count]], tuple(labels))

    def _grow(self, capacity: int) -> None:
        positions, species = np.empty((capacity, 3)), np.empty(capacity, np.uint8)
        positions[: self._count] = self._positions[: self._count]
        species[: self._count] = self._species[: self._count]
        self._positions, self._species = positions, species

    def _code(self, label: str) -> int:
        name = self.names.get(label, label)
        if name.isdigit():
            raise CrysiftError(f"{self.place} has atoms of type {name}: {NAME_TYPES}")
        code = self._codes.setdefault(name, len(self._codes))
        if code >= MAX_SPECIES:
            raise CrysiftError(
                f"{self.place} has more than {MAX_SPECIES} species, the last one {name!r}: is this the "
                "column of the species?"
            )
        return code
