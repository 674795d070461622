"""Structures in Parquet files with the columns of the structures table, or the required ones among them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.conformance import require_columns
from engine.errors import CrysiftError
from engine.execution.packing import pack
from engine.ingest import PAGE_PAIRS, PAGE_ROWS, Page, row_costs
from engine.schema import REJECTS, STRUCTURES


@dataclass(frozen=True)
class RowRange:
    """Consecutive rows within one row group of a file."""

    path: Path
    row_group: int
    start: int
    stop: int


@dataclass
class ParquetConnector:
    """Pages are ranges of rows within a row group, which is read once and held while its pages follow."""

    paths: list[Path]
    source: str = "parquet"
    _held: tuple[Path, int, pa.Table] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse files that are no tables of structures, before anything is read."""
        for path in self.paths:
            _open(path).close()

    def describe(self) -> dict[str, Any]:
        """Name the files."""
        return {"connector": "parquet", "files": [str(path) for path in self.paths]}

    def pages(self) -> Iterator[Page]:
        """Row ranges bounded in rows and in predicted pairs, keyed by the file's bytes and the range."""
        for path in self.paths:
            with _open(path) as file:
                digest = _sha256(path)
                for group in range(file.num_row_groups):
                    sizes = _read(file, path, group, ["nsites", "species_at_sites"])
                    for rows in pack(row_costs(sizes["species_at_sites"]), PAGE_PAIRS, PAGE_ROWS):
                        yield Page(
                            key=f"parquet:{digest}:{group}:{rows.start}-{rows.stop}",
                            label=f"{path.name} group {group} rows {rows.start}-{rows.stop - 1}",
                            payload=RowRange(path, group, rows.start, rows.stop),
                        )

    def read(self, page: Page) -> tuple[pa.Table, pa.Table]:
        """Return the rows as they are; validation tells structures from rejects."""
        rows: RowRange = page.payload
        table = self._row_group(rows.path, rows.row_group)
        return table.slice(rows.start, rows.stop - rows.start), REJECTS.empty_table()

    def _row_group(self, path: Path, group: int) -> pa.Table:
        if self._held is None or self._held[:2] != (path, group):
            with _open(path) as file:
                columns = [name for name in STRUCTURES.names if name in file.schema_arrow.names]
                self._held = (path, group, _read(file, path, group, columns))
        return self._held[2]


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
        require_columns(file.schema_arrow)
    except pa.ArrowInvalid as error:
        raise CrysiftError(
            f"{path} is not a readable Parquet file ({error}); replace or remove it"
        ) from error
    except CrysiftError as error:
        raise CrysiftError(f"{path}: {error}") from error
    return file


def _read(file: pq.ParquetFile, path: Path, group: int, columns: list[str]) -> pa.Table:
    try:
        return file.read_row_group(group, columns=columns)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CrysiftError(
            f"{path} is damaged in row group {group} ({reason}); replace or remove it"
        ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
