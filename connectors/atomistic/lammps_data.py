"""LAMMPS data files, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from connectors.atomistic.building import FrameBuilder
from connectors.atomistic.lines import atom_lines, expected_atoms
from connectors.atomistic.masses import elements_of_masses
from engine.errors import CrysiftError
from engine.species import ATOMIC_NUMBERS
from engine.spm.atoms import Frame

_COLUMNS = {
    "atomic": (1, 2),
    "charge": (1, 3),
    "dipole": (1, 3),
    "sphere": (1, 4),
    "bond": (2, 3),
    "angle": (2, 3),
    "molecular": (2, 3),
    "full": (2, 4),
}
"""Columns of the type and of x in the section Atoms, by its style (https://docs.lammps.org/read_data.html)."""
_BY_WIDTH = {5: "atomic", 8: "atomic", 7: "full", 10: "full"}
"""Styles that the number of columns tells, with or without three image flags."""


@dataclass
class Head:
    """What stands before the section Atoms: numbers of atoms and types, masses (u) and labels of types."""

    atoms: int = 0
    types: int = 0
    masses: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    style: str = ""


def read_data(path: Path, names: Mapping[str, str]) -> Iterator[Frame]:
    """Yield the one frame of a LAMMPS data file, with positions as they are, in Å.

    Types are named by `names`, else by the section Atom Type Labels where it holds elements, else by their
    masses. Raises CrysiftError where nothing names them, and for what is no data file.
    """
    with path.open(encoding="utf-8", errors="replace") as stream:
        next(stream, "")  # a remark
        head = _read_head(stream, path)
        first = next((line for line in stream if line.strip()), "")
        label, x = _columns(head, first, path)
        builder = FrameBuilder(str(path), _named(head, names, path), expected_atoms(path, head.atoms))
        lines = chain([first], stream)
        without_remarks = (line.partition("#")[0] for line in islice(lines, head.atoms))
        for positions, types in atom_lines(without_remarks, head.atoms, range(x, x + 3), label, str(path)):
            builder.add(positions, types)
        yield builder.finish()


def _read_head(stream: Iterator[str], path: Path) -> Head:
    """Read until the section Atoms begins."""
    head, section = Head(), ""
    for line in stream:
        text, _, remark = line.partition("#")
        words = text.split()
        if words == ["Atoms"]:
            head.style = remark.strip()
            return head
        if words[1:] == ["atoms"]:
            head.atoms = int(words[0])
        elif words[1:] == ["atom", "types"]:
            head.types = int(words[0])
        elif words and words[0][0].isalpha():
            section = " ".join(words)
        elif len(words) >= 2 and section == "Masses":
            head.masses[words[0]] = float(words[1])
        elif len(words) >= 2 and section == "Atom Type Labels":
            head.labels[words[0]] = words[1]
    raise CrysiftError(f"{path} has no section Atoms: correct the file or name its format")


def _columns(head: Head, first: str, path: Path) -> tuple[int, int]:
    """Return the columns of the type and of x."""
    width = len(first.partition("#")[0].split())
    style = head.style or _BY_WIDTH.get(width, "")
    if style not in _COLUMNS:
        told = f"of the style {style!r}" if style else f"with {width} columns"
        raise CrysiftError(
            f"{path} has atoms {told}, of which the positions are not known: name the style behind the word "
            f"Atoms, as in 'Atoms # charge', one of {', '.join(_COLUMNS)}"
        )
    return _COLUMNS[style]


def _named(head: Head, names: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return the element of each type, by its number and by its label."""
    numbered = dict(names)
    if not numbered and set(head.labels.values()) & ATOMIC_NUMBERS.keys():
        numbered = {number: label for number, label in head.labels.items() if label in ATOMIC_NUMBERS}
    elif not numbered and head.masses:
        symbols = elements_of_masses(list(head.masses.values()), str(path)).to_pylist()
        numbered = dict(zip(head.masses, symbols, strict=True))
    by_label = {head.labels[key]: symbol for key, symbol in numbered.items() if key in head.labels}
    return numbered | by_label
