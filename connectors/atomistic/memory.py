"""Memory that reading files of atoms takes, known before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from connectors.atomistic.building import BYTES_PER_ATOM
from connectors.atomistic.formats import PARQUET, Format
from engine.errors import CrysiftError

_GIB = 1024**3
_SAMPLED = 2**16


def atoms_in(path: Path, kind: Format) -> int:
    """Estimate the atoms in a file: rows of Parquet, lines of text by the length of the first ones."""
    size = path.stat().st_size
    if kind is PARQUET:
        import pyarrow.parquet as pq

        with suppress(pa.ArrowInvalid):  # the reader will say what is wrong
            return int(pq.read_metadata(path).num_rows)
    with path.open("rb") as stream:
        head = stream.read(_SAMPLED)
    lines = head.count(b"\n")
    return int(size * lines / len(head)) if lines > 1 else size // BYTES_PER_ATOM


def memory_needed(paths: Sequence[Path], kinds: Sequence[Format], every: int = 1) -> int:
    """Bytes that reading every `every`-th frame of files is predicted to take, with the frames that stay."""
    atoms = [atoms_in(path, kind) for path, kind in zip(paths, kinds, strict=True)]
    held = sum(atoms) * BYTES_PER_ATOM / every
    beside = [n * (kind.bytes_per_atom - BYTES_PER_ATOM) for n, kind in zip(atoms, kinds, strict=True)]
    return int(held + max(beside, default=0.0))


def refuse_too_large(paths: Sequence[Path], kinds: Sequence[Format], every: int = 1) -> None:
    """Raise CrysiftError, before anything is read, where the memory that is free will not do."""
    from engine.execution.capacity import available_memory

    need, free = memory_needed(paths, kinds, every), available_memory()
    if need <= free:
        return
    largest, kind = max(zip(paths, kinds, strict=True), key=lambda each: each[0].stat().st_size)
    what = str(largest) if len(paths) == 1 else f"{len(paths)} files, the largest of them {largest}"
    way_out = (
        "read fewer frames with --every, or take a machine with more"
        if kind.in_blocks
        else "save it as extxyz, LAMMPS dump or Parquet (columns x, y, z and species), which are read block "
        "by block, or take a machine with more"
    )
    raise CrysiftError(
        f"reading {what} ({largest.stat().st_size / _GIB:.2f} GiB) as {kind.name} needs about "
        f"{need / _GIB:.1f} GiB of memory and {free / _GIB:.1f} GiB are free: {way_out}"
    )
