"""Formats that ASE reads: POSCAR, CIF, FHI-aims and others."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from connectors.atomistic.building import FrameBuilder
from engine.errors import CrysiftError
from engine.species import ATOMIC_NUMBERS, FULL_OCCUPANCY_TOLERANCE

if TYPE_CHECKING:
    from ase import Atoms

    from engine.spm.atoms import Frame


def read_ase(path: Path, name: str, names: Mapping[str, str], every: int = 1) -> Iterator[Frame]:
    """Yield every `every`-th frame of a file in one of ASE's formats.

    `names` are what its labels stand for. Raises CrysiftError for a file that ASE cannot read and for sites
    shared by several species.
    """
    for index, atoms in enumerate(_images(path, name)):
        if index % every == 0:
            place = f"{path}, frame {index}" if index else str(path)
            builder = FrameBuilder(place, names)
            builder.add(atoms.positions, _labels(atoms, place))
            yield builder.finish()


def _images(path: Path, name: str) -> list[Atoms]:
    from ase.io import read

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images: Any = read(path, index=":", format=name)
            return list(images)
    except Exception as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        raise CrysiftError(
            f"{path} is not readable as {name}: {text}; correct the file or name its format"
        ) from error


def _labels(atoms: Atoms, place: str) -> pa.Array:
    """Return the symbol of each atom; raises CrysiftError for shared sites."""
    for site in (atoms.info.get("occupancy") or {}).values():
        if len(site) > 1 or abs(sum(site.values()) - 1.0) > FULL_OCCUPANCY_TOLERANCE:
            raise CrysiftError(
                f"{place} has a site with the occupancies {site}: every atom needs one species, so replace "
                "the structure by an ordered one"
            )
    numbers, rows = np.unique(atoms.numbers, return_inverse=True)
    symbols = {number: symbol for symbol, number in ATOMIC_NUMBERS.items() if symbol not in {"D", "T"}}
    unknown = [int(number) for number in numbers if number not in symbols]
    if unknown:
        raise CrysiftError(f"{place} has atoms of the atomic number {unknown[0]}, which is no element's")
    return pa.array([symbols[number] for number in numbers], pa.string()).take(pa.array(rows))
