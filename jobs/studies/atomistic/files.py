"""Structures of studies as files that other programs read, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.studies.atomistic.system import System


IMAGED = "C"
"""The element of the atoms in an image."""


def write_structure(known: System, folder: Path) -> Path:
    """Write an extXYZ file with the grain of every atom; return its path."""
    path = folder / "structure.extxyz"
    rows = zip(known.symbols(), known.frame.positions.tolist(), known.grain_of.tolist(), strict=True)
    with path.open("w", encoding="utf-8") as stream:
        stream.write(f'{len(known)}\nProperties=species:S:1:pos:R:3:grain:I:1 pbc="F F F"\n')
        stream.writelines(f"{symbol} {x:.8f} {y:.8f} {z:.8f} {grain}\n" for symbol, (x, y, z), grain in rows)
    return path


def write_image(known: System, folder: Path) -> tuple[Path, float]:
    """Write a flat structure as pixels x, y of an image; return the file's path and the pixel size, Å."""
    from jobs.studies.atomistic.graphene import PIXEL, pixels

    path = folder / "positions.csv"
    np.savetxt(path, pixels(known), fmt="%.3f", delimiter=",", header="x,y", comments="")
    return path, PIXEL
