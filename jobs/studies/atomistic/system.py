"""A structure whose grains are known: what a study analyses, and what its result is checked against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import CrysiftError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.spm import Frame

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grain:
    """A part of a structure, and the prototype that its atoms are arranged in."""

    name: str
    prototype: str


@dataclass(frozen=True, eq=False)
class System:
    """A structure and, per atom (N,), its place in `grains`."""

    frame: Frame
    grain_of: NDArray[np.int8]
    grains: tuple[Grain, ...]

    def __len__(self) -> int:
        """Count the atoms."""
        return len(self.frame)

    def symbols(self) -> list[str]:
        """Species of every atom."""
        return [self.frame.labels[code] for code in self.frame.species.tolist()]

    def positions_of(self, grain: int) -> Floats:
        """Positions (n, 3), Å, of the atoms of a grain."""
        return np.asarray(self.frame.positions[self.grain_of == grain])


def system(
    positions: Floats, symbols: Sequence[str], grain_of: NDArray[np.integer], grains: Sequence[Grain]
) -> System:
    """Make a system of positions (N, 3), Å, N species and N places in `grains`."""
    from engine.spm import Frame

    labels, codes = np.unique(np.asarray(symbols), return_inverse=True)
    frame = Frame(np.ascontiguousarray(positions, np.float64), codes.astype(np.uint8), tuple(labels.tolist()))
    return System(frame, np.asarray(grain_of, np.int8), tuple(grains))


def with_atoms(whole: System, kept: NDArray[np.int64], positions: Floats) -> System:
    """The system with the atoms `kept` (n,) only, at new positions (n, 3), Å."""
    frame = replace(whole.frame, positions=positions, species=whole.frame.species[kept])
    return replace(whole, frame=frame, grain_of=whole.grain_of[kept])


def from_file(
    file: Path | None, grains: Sequence[Grain], grain_of: Callable[[Floats], NDArray[np.int8]]
) -> System:
    """Read the first frame of a file; `grain_of` tells the grains of atoms at positions (N, 3), Å."""
    from connectors.atomistic import read_frames

    if file is None:
        raise CrysiftError("this structure is read from a file: name it with --file")
    [frame, *_] = read_frames(file)
    return System(frame, grain_of(frame.positions), tuple(grains))
