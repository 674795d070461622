"""Which format a file of atoms has, by its name or as told, and what reading it costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import CrysiftError


@dataclass(frozen=True)
class Format:
    """A format: its names for `--format`, the file names that tell it, and the memory that reading it takes.

    `bytes_per_atom` is the peak of reading, measured on 50,000 to 1,000,000 atoms. A format that is read
    `in_blocks` needs little more than the atoms themselves.
    """

    names: tuple[str, ...]
    suffixes: tuple[str, ...]
    prefixes: tuple[str, ...]
    bytes_per_atom: float
    in_blocks: bool = False

    @property
    def name(self) -> str:
        """The name in messages, ASE's where it has one."""
        return self.names[0]

    def is_told_by(self, path: Path) -> bool:
        """Whether a file's name leaves no doubt."""
        return path.suffix.lower() in self.suffixes or path.name.startswith(self.prefixes)


EXTXYZ = Format(("extxyz", "xyz"), (".xyz", ".extxyz"), (), 50.0, in_blocks=True)
DUMP = Format(("lammps-dump-text", "dump"), (".dump", ".lammpstrj"), ("dump.",), 50.0, in_blocks=True)
DATA = Format(("lammps-data", "data"), (".data", ".lmp"), ("data.",), 50.0, in_blocks=True)
POSCAR = Format(("vasp", "poscar"), (".vasp", ".poscar"), ("POSCAR", "CONTCAR"), 200.0)
CIF = Format(("cif",), (".cif",), (), 2200.0)
AIMS = Format(("aims",), (), ("geometry.in",), 500.0)
PARQUET = Format(("parquet",), (".parquet",), (), 110.0, in_blocks=True)
CSV = Format(("csv",), (".csv",), (), 100.0, in_blocks=True)
TEXT = Format(("txt",), (".txt",), (), 120.0)
FORMATS = (EXTXYZ, DUMP, DATA, POSCAR, CIF, AIMS, PARQUET, CSV, TEXT)
OTHER_BYTES_PER_ATOM = 2200.0
"""Of formats that are not listed and that ASE reads: the most that was measured."""


def known() -> str:
    """Say which names tell which format."""
    told = (
        f"{each.name} ({', '.join([f'*{end}' for end in each.suffixes] + [f'{p}*' for p in each.prefixes])})"
        for each in FORMATS
    )
    return ", ".join(told)


def format_of(path: Path, named: str | None) -> Format:
    """Return the format of a file: the one named, or the one that the file's name tells.

    Raises CrysiftError, listing the formats, where neither does.
    """
    if named is None:
        for each in FORMATS:
            if each.is_told_by(path):
                return each
        raise CrysiftError(
            f"the name of {path} does not tell its format and formats are never guessed: pass --format with "
            f"one of {known()}, or another of ASE's"
        )
    for each in FORMATS:
        if named in each.names:
            return each
    from ase.io.formats import ioformats

    if named not in ioformats:
        raise CrysiftError(f"format {named!r} is not known: name one of {known()}, or another of ASE's")
    return Format((named,), (), (), OTHER_BYTES_PER_ATOM)
