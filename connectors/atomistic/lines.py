"""Lines of atoms in text files, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.errors import CrysiftError

LINES_AT_ONCE = 20_000
LONGEST_LABEL = 32
SHORTEST_LINE = 8


def expected_atoms(path: Path, announced: int) -> int:
    """Return how many atoms to make room for: those announced, but not more than the file can hold."""
    return min(announced, path.stat().st_size // SHORTEST_LINE)


def atom_lines(
    stream: Iterator[str], count: int, columns: Sequence[int], label: int | None, place: str
) -> Iterator[tuple[NDArray[np.float64], pa.Array | None]]:
    """Yield `count` lines in blocks: numbers (n, len(columns)) and, of the column `label`, words (n,).

    Columns are separated by blanks and counted from 0. Raises CrysiftError, naming the place, where the lines
    are too few or hold something else.
    """
    kinds = [(f"c{k}", np.float64) for k in range(len(columns))]
    wanted = list(columns)
    if label is not None:
        kinds.append(("label", f"U{LONGEST_LABEL}"))  # type: ignore[arg-type]
        wanted.append(label)
    read = 0
    while read < count:
        block = _block(islice(stream, min(count - read, LINES_AT_ONCE)), np.dtype(kinds), wanted, place, read)
        if not len(block):
            raise CrysiftError(f"{place} announces {count:,} atoms and ends after {read:,}: it is cut short")
        read += len(block)
        numbers = np.stack([block[f"c{k}"] for k in range(len(columns))], axis=1)
        yield numbers, None if label is None else pa.array(block["label"])


def _block(
    lines: Iterator[str], kind: np.dtype[np.void], columns: list[int], place: str, read: int
) -> NDArray[np.void]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of no lines at all, which the caller explains
        try:
            return np.loadtxt(lines, kind, usecols=columns, comments=None, ndmin=1)
        except (ValueError, IndexError) as error:
            raise CrysiftError(
                f"{place} cannot be read, among the atoms from number {read} on: {error}; correct the file "
                "or name its format"
            ) from error
