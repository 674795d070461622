"""Large atomistic structures and image positions in files, as frames for strided pattern matching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from connectors.atomistic.formats import CSV, DATA, DUMP, EXTXYZ, PARQUET, TEXT, format_of
from connectors.atomistic.memory import refuse_too_large
from connectors.atomistic.names import parse_species
from engine.errors import CrysiftError
from engine.spm.atoms import Frame

__all__ = ["read_frames", "refuse_too_many"]


def read_frames(
    path: str | Path,
    format: str | None = None,  # noqa: A002 -- the option is --format
    *,
    every: int = 1,
    pixel_size: float | None = None,
    species: str | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a file, or every `every`-th one; positions in Å, periodicity left out.

    The format is told by the file's name or by `format`. `species` names what the labels of the file stand
    for, as in "1=Ni,2=Al", or is the element of files that name none. `pixel_size`, in Å, is for tables of
    image positions.

    Raises:
        CrysiftError: no such file, an unknown format, more memory needed than there is, or a file that cannot
            be read or has no atoms.
    """
    place = Path(path)
    if not place.is_file():
        raise CrysiftError(f"{place} is no file: name a file of atoms")
    if every < 1:
        raise CrysiftError(f"every {every}th frame cannot be read: give 1 or more")
    if pixel_size is not None and not pixel_size > 0.0:
        raise CrysiftError(f"the pixel size is {pixel_size:g} Å: give a length above 0")
    kind = format_of(place, format)
    if pixel_size is not None and kind not in (PARQUET, CSV, TEXT):
        raise CrysiftError(
            f"a pixel size is for tables of image positions, and {place} is {kind.name}: leave it out"
        )
    refuse_too_large([place], [kind], every)
    return _non_empty(place, _read(place, kind.name, every, pixel_size, parse_species(species)))


def refuse_too_many(paths: Sequence[str | Path], format: str | None = None, every: int = 1) -> None:  # noqa: A002
    """Raise CrysiftError, before anything is read, where the frames of all files do not fit into memory."""
    places = [Path(path) for path in paths if Path(path).is_file()]
    refuse_too_large(places, [format_of(place, format) for place in places], every)


def _read(
    path: Path, name: str, every: int, pixel_size: float | None, names: dict[str, str]
) -> Iterator[Frame]:
    if name == EXTXYZ.name:
        from connectors.atomistic.xyz import read_xyz

        return read_xyz(path, names, every)
    if name == DUMP.name:
        from connectors.atomistic.lammps_dump import read_dump

        return read_dump(path, names, every)
    if name == DATA.name:
        from connectors.atomistic.lammps_data import read_data

        return read_data(path, names)
    if name in {PARQUET.name, CSV.name, TEXT.name}:
        from connectors.atomistic import tables

        reader = {PARQUET.name: tables.read_parquet, CSV.name: tables.read_csv, TEXT.name: tables.read_text}
        return reader[name](path, tables.TableOptions(names, pixel_size, every))
    from connectors.atomistic.ase_files import read_ase

    return read_ase(path, name, names, every)


def _non_empty(path: Path, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Pass frames on; raise CrysiftError where one, or the file, has no atoms."""
    count = 0
    for frame in frames:
        if not len(frame):
            raise CrysiftError(f"frame {count} of {path} has no atoms: leave it out, or correct the file")
        yield frame
        count += 1
    if not count:
        raise CrysiftError(f"{path} has no atoms: name a file with at least one")
