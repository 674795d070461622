"""LAMMPS dump files in text, frame by frame and block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.atomistic.building import FrameBuilder
from connectors.atomistic.lines import atom_lines, expected_atoms
from connectors.atomistic.masses import elements_of_masses
from engine.errors import CrysiftError
from engine.spm.atoms import Frame

_CARTESIAN = (("x", "y", "z"), ("xu", "yu", "zu"))
_SCALED = (("xs", "ys", "zs"), ("xsu", "ysu", "zsu"))
_ITEM = "ITEM: "


class Box(NamedTuple):
    """Origin (3,) and edges (3, 3) of the simulation box, one per row, Å."""

    origin: NDArray[np.float64]
    edges: NDArray[np.float64]


def read_dump(path: Path, names: Mapping[str, str], every: int = 1) -> Iterator[Frame]:
    """Yield every `every`-th frame of a dump, with positions as they are, wrapped or not, in Å.

    Elements come from the column `element`, from `names` by type, or from the column `mass`. Raises
    CrysiftError where they come from nowhere, and for what is no dump of atoms.
    """
    with path.open(encoding="utf-8", errors="replace") as stream:
        index, count, box = 0, 0, None
        for line in stream:
            place = f"{path}, frame {index}" if index else str(path)
            if not line.startswith(_ITEM):
                raise CrysiftError(
                    f"{place} has {line.strip()[:60]!r} where a dump has a line that begins with 'ITEM:': "
                    "correct the file or name its format"
                )
            item = line.removeprefix(_ITEM).strip()
            if item == "NUMBER OF ATOMS":
                count = int(next(stream, "0"))
            elif item.startswith("BOX BOUNDS"):
                box = _box(item, list(islice(stream, 3)), place)
            elif item.startswith("ATOMS"):
                wanted = index % every == 0
                if wanted:
                    builder = FrameBuilder(place, names, expected_atoms(path, count))
                    yield _frame(stream, count, item.split()[1:], box, builder)
                elif sum(1 for _ in islice(stream, count)) < count:
                    raise CrysiftError(f"{place} announces {count:,} atoms and ends before: it is cut short")
                index += 1
            else:
                next(stream, "")  # TIMESTEP, UNITS, TIME: one line each


def _box(item: str, lines: Sequence[str], place: str) -> Box | None:
    """Read the bounds of a box; None for a general triclinic one, which only scaled positions need."""
    if "abc" in item:
        return None
    try:
        bounds = np.array([[float(word) for word in line.split()] for line in lines])
        low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
    except (ValueError, IndexError) as error:
        raise CrysiftError(f"{place} has box bounds that are no numbers: {' '.join(lines)[:80]!r}") from error
    xy, xz, yz = bounds[:, 2] if bounds.shape[1] > 2 else (0.0, 0.0, 0.0)
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    edges = np.diag(high - low)
    edges[1, 0], edges[2, 0], edges[2, 1] = xy, xz, yz
    return Box(low, edges)


def _frame(
    stream: Iterator[str], count: int, columns: list[str], box: Box | None, builder: FrameBuilder
) -> Frame:
    place = builder.place
    axes, scaled = _axes(columns, place)
    if scaled and box is None:
        raise CrysiftError(
            f"{place} has scaled positions in a general triclinic box: dump x, y and z instead"
        )
    told = "element" if "element" in columns else "type"
    if told not in columns:
        raise CrysiftError(f"{place} has neither a column element nor type: it has {' '.join(columns)}")
    from_masses = told == "type" and not builder.names and "mass" in columns
    wanted = [columns.index(name) for name in (*axes, *(["mass"] if from_masses else []))]
    for numbers, words in atom_lines(stream, count, wanted, columns.index(told), place):
        positions = numbers[:, :3]
        if scaled and box is not None:
            positions = box.origin + positions @ box.edges
        labels = elements_of_masses(numbers[:, 3], place) if from_masses else words
        builder.add(positions, labels)
    return builder.finish()


def _axes(columns: Sequence[str], place: str) -> tuple[tuple[str, str, str], bool]:
    """Choose the columns of the positions, and tell whether they are scaled by the box."""
    for kinds, scaled in ((_CARTESIAN, False), (_SCALED, True)):
        for names in kinds:
            if set(names) <= set(columns):
                return names, scaled
    raise CrysiftError(
        f"{place} has no columns x y z, xu yu zu, xs ys zs or xsu ysu zsu: {' '.join(columns)}"
    )
