"""Small structures for strided pattern matching, and its settings at a low price."""

from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk

from engine.spm import Frame, GridSettings
from jobs.settings import ExecutionSettings
from jobs.spm.pipeline import SpmRequest

INLINE = ExecutionSettings(executor="inline")


def frame_of(atoms: Atoms) -> Frame:
    """The atoms as a frame."""
    labels = sorted(set(atoms.get_chemical_symbols()))
    species = np.array([labels.index(symbol) for symbol in atoms.get_chemical_symbols()], np.uint8)
    return Frame(np.array(atoms.positions), species, tuple(labels))


def bicrystal(length: float = 60.0, width: float = 11.0) -> Atoms:
    """A rod along x of iron atoms: fcc in its first half, bcc in its second."""
    halves = []
    for name, constant, start in (("fcc", 3.6, 0.0), ("bcc", 2.87, 0.5 * length + 1.0)):
        counts = [int(extent / constant) + 1 for extent in (0.5 * length, width, width)]
        half = bulk("Fe", name, a=constant, cubic=True) * counts
        half.positions[:, 0] += start
        halves.append(half)
    atoms: Atoms = halves[0] + halves[1]
    inside = (atoms.positions < [length, width, width]).all(axis=1)
    kept: Atoms = atoms[inside]
    return kept


def request(*frames: Atoms, **changes: Any) -> SpmRequest:
    """A request with few passes, for boxes of 10 Å every 2 Å along a rod unless `changes` say otherwise."""
    grid = changes.pop("grid", GridSettings(stride=(2.0, 2.0, 2.0), box=10.0, axes="1"))
    settings = {"name": "rod", "passes": 20, **changes}
    return SpmRequest(frames=[frame_of(atoms) for atoms in frames], grid=grid, **settings)
