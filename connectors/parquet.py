"""Structures in Parquet files: with the columns of the structures table, or others by a column mapping."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from connectors.columns import LAYOUTS, ColumnMapping, recognised
from connectors.entries import digest_of
from connectors.mapping import MappedTable
from engine.conformance import REQUIRED, require_columns
from engine.errors import CrysiftError
from engine.execution.packing import pack, row_costs
from engine.schema import REJECTS, STRUCTURES
from engine.source import PAGE_PAIRS, PAGE_ROWS, Harvest, Page, PageContent

READ_BYTES = 1 << 20
"""Bytes of a column that are read ahead; a row group may be far larger than the memory."""


@dataclass(frozen=True)
class RowRange:
    """Consecutive rows within one row group of a file, of whose rows ``start`` is number ``first``."""

    path: Path
    row_group: int
    start: int
    stop: int
    first: int


@dataclass(eq=False)
class ParquetConnector:
    """Pages are ranges of rows within a row group, which is decoded once while its pages follow.

    ``mapping`` tells which columns hold what; without it each file has the columns of the structures table,
    or those of a known layout.
    """

    paths: list[Path]
    mapping: ColumnMapping | None = None
    source: str = "parquet"
    concurrency: int = field(default=1, init=False)
    live: bool = field(default=False, init=False)
    _mapped: dict[Path, MappedTable | None] = field(init=False, repr=False)
    _rows: "_RowReader | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse files that are no tables of structures, before anything is read."""
        self._mapped = {path: _mapped(path, self.mapping) for path in self.paths}

    def describe(self) -> dict[str, Any]:
        """Name the files, and the column mappings they are read by."""
        mappings = {mapped.mapping.fingerprint: mapped.mapping for mapped in self._mapped.values() if mapped}
        return {
            "connector": "parquet",
            "files": [str(path) for path in self.paths],
            "mappings": [mapping.as_json() for mapping in mappings.values()],
        }

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        """Row ranges bounded in rows and in predicted pairs, keyed by the file's bytes and the range."""
        for path in self.paths if previous is None else ():
            mapped, file = self._mapped[path], _open(path)
            key = f"parquet:{digest_of(path)}" + (f":{mapped.mapping.fingerprint}" if mapped else "")
            first = 0
            for group in range(file.num_row_groups):
                costs = _costs(_RowGroup(path, file, group), mapped)
                for rows in pack(costs, PAGE_PAIRS, PAGE_ROWS):
                    yield Page(
                        key=f"{key}:{group}:{rows.start}-{rows.stop}",
                        label=f"{path.name} group {group} rows {rows.start}-{rows.stop - 1}",
                        payload=RowRange(path, group, rows.start, rows.stop, first + rows.start),
                    )
                first += len(costs)

    def read(self, page: Page) -> PageContent:
        """Return the rows as they are, or as they are mapped; validation tells structures from rejects."""
        rows: RowRange = page.payload
        mapped = self._mapped[rows.path]
        table = self._reader(rows.path, rows.row_group).read(rows.start, rows.stop)
        candidates, rejects = mapped.read(table, rows.first) if mapped else (table, REJECTS.empty_table())
        return PageContent(candidates, rejects, announced=rows.stop - rows.start)

    def _reader(self, path: Path, group: int) -> "_RowReader":
        """The reader of a row group: that of the last page, where this one is of the same group."""
        last = self._rows.row_group if self._rows else None
        if self._rows and last and (last.path, last.index) == (path, group):
            return self._rows
        file = last.file if last and last.path == path else _open(path)
        mapped, names = self._mapped[path], file.schema_arrow.names
        columns = mapped.columns if mapped else [name for name in STRUCTURES.names if name in names]
        self._rows = _RowReader(_RowGroup(path, file, group), columns)
        return self._rows

    def close(self) -> None:
        """Let go of the file that is being read."""
        self._rows = None


@dataclass(frozen=True)
class _RowGroup:
    """A row group of an open file."""

    path: Path
    file: pq.ParquetFile
    index: int

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Decode a few rows at a time, which takes little memory however large the row group is."""
        try:
            yield from self.file.iter_batches(PAGE_ROWS, row_groups=[self.index], columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise self.damaged(str(error).splitlines()[0]) from error

    def damaged(self, reason: str) -> CrysiftError:
        """What to tell where rows cannot be read."""
        return CrysiftError(
            f"{self.path} is damaged in row group {self.index} ({reason}); replace or remove it"
        )


@dataclass(eq=False)
class _RowReader:
    """Reads ranges of rows of a row group; in their order each row is decoded once, and few are held.

    Rows ``_start`` to ``_stop`` of the group are held, the rest has been decoded or is to come.
    """

    row_group: _RowGroup
    columns: list[str]
    _batches: Iterator[pa.RecordBatch] = field(default=iter(()), init=False)
    _held: list[pa.RecordBatch] = field(default_factory=list, init=False)
    _start: int = field(default=0, init=False)
    _stop: int = field(default=0, init=False)

    def read(self, start: int, stop: int) -> pa.Table:
        """Rows ``start`` to ``stop``."""
        if start < self._start or self._stop == 0:
            self._batches = self.row_group.batches(self.columns)
            self._held, self._start, self._stop = [], 0, 0
        while self._stop < stop:
            batch = next(self._batches, None)
            if batch is None:
                raise self.row_group.damaged(f"row {self._stop} is missing")
            self._held.append(batch)
            self._stop += len(batch)
            while self._held and self._start + len(self._held[0]) <= start:
                self._start += len(self._held.pop(0))
        return pa.Table.from_batches(self._held).slice(start - self._start, stop - start)


def _mapped(path: Path, mapping: ColumnMapping | None) -> MappedTable | None:
    """How the columns of a file are mapped; None where they are those of the structures table."""
    schema = _open(path).schema_arrow
    if mapping is None and not set(REQUIRED) <= set(schema.names):
        mapping = recognised(schema.names)
    if mapping is not None:
        return MappedTable(mapping, schema, str(path))
    try:
        require_columns(schema)
    except CrysiftError as error:
        raise CrysiftError(
            f"{path}: {error}; tell by --columns which columns hold what, in a TOML file "
            f"(what is recognised without one: {', '.join(LAYOUTS)})"
        ) from error
    return None


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES)
    except pa.ArrowInvalid as error:
        raise CrysiftError(
            f"{path} is not a readable Parquet file ({error}); replace or remove it"
        ) from error


def _costs(rows: _RowGroup, mapped: MappedTable | None) -> NDArray[np.float64]:
    """Neighbour pairs that featurizing each row of a row group is predicted to visit."""
    if mapped is None:
        costs = [row_costs(batch["species_at_sites"]) for batch in rows.batches(["species_at_sites"])]
    else:
        costs = [mapped.costs(batch) for batch in rows.batches([mapped.label_column])]
    return np.concatenate([np.empty(0), *costs])
