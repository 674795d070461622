"""XYZ and extended XYZ, frame by frame and block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from connectors.atomistic.building import FrameBuilder
from connectors.atomistic.lines import atom_lines, expected_atoms
from engine.errors import CrysiftError
from engine.spm.atoms import Frame

PLAIN = "species:S:1:pos:R:3"
_SPECIES = ("species", "element")


class Columns(NamedTuple):
    """Where a line has the species and x; y and z follow x."""

    species: int
    position: int


def read_xyz(path: Path, names: Mapping[str, str], every: int = 1) -> Iterator[Frame]:
    """Yield every `every`-th frame of an XYZ file.

    `Properties=` in a comment line tells the columns; without it they are species, x, y and z, and what
    follows is left out. Raises CrysiftError for what is no XYZ.
    """
    with path.open(encoding="utf-8", errors="replace") as stream:
        index = 0
        for line in stream:
            if not line.strip():
                continue
            place = f"{path}, frame {index}" if index else str(path)
            count = _count(line, place)
            comment = next(stream, "")
            if index % every == 0:
                builder = FrameBuilder(place, names, expected_atoms(path, count))
                yield _frame(stream, count, comment, builder)
            elif sum(1 for _ in islice(stream, count)) < count:
                raise CrysiftError(f"{place} announces {count:,} atoms and ends before: it is cut short")
            index += 1


def _count(line: str, place: str) -> int:
    if not line.strip().isdigit():
        raise CrysiftError(
            f"{place} should begin with a number of atoms and begins with {line.strip()[:60]!r}: correct the "
            "file or name its format"
        )
    return int(line)


def _frame(stream: Iterator[str], count: int, comment: str, builder: FrameBuilder) -> Frame:
    columns = _columns(comment, builder.place)
    position = range(columns.position, columns.position + 3)
    for positions, labels in atom_lines(stream, count, position, columns.species, builder.place):
        builder.add(positions, labels)
    return builder.finish()


def _columns(comment: str, place: str) -> Columns:
    """Find the columns that a comment line announces."""
    properties = PLAIN
    if "Properties=" in comment:
        from ase.io.extxyz import key_val_str_to_dict

        properties = str(key_val_str_to_dict(comment).get("Properties", PLAIN))
    words = properties.split(":")
    first, starts = 0, {}
    for name, kind, width in zip(words[::3], words[1::3], words[2::3], strict=False):
        starts[name, kind] = first
        first += int(width)
    position = starts.get(("pos", "R"))
    species = next((starts[name, "S"] for name in _SPECIES if (name, "S") in starts), None)
    if position is None or species is None:
        raise CrysiftError(
            f"{place} has the columns {properties}: species:S:1 and pos:R:3 must be among them"
        )
    return Columns(species, position)
