"""The whole Materials Project, from its open data: the documents of one database version in Parquet files."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.http import Patience
from connectors.materials_project.documents import DOCUMENT, SOURCE, candidates
from connectors.materials_project.selection import LeftOut, Selection
from connectors.materials_project.table import ADDRESS, SummaryTable
from engine.errors import CrysiftError
from engine.execution.packing import TYPICAL_SPECIES, pack, predicted_pairs
from engine.schema import REJECTS
from engine.source import PAGE_PAIRS, PAGE_ROWS, Harvest, Page, PageContent

HELD_ROW_GROUPS = 2
SELECTED_BY = ["deprecated", "license", "nsites", "nelements"]
"""What tells which documents are taken and what they cost."""


@dataclass(frozen=True)
class _RowGroup:
    """Documents that are stored together: the costs (B,) of those that are ``taken`` (B,)."""

    path: str
    number: int
    taken: NDArray[np.bool_]
    costs: NDArray[np.float64]


@dataclass(frozen=True)
class _Rows:
    """Consecutive rows of a row group, of which ``taken`` are wanted."""

    path: str
    row_group: int
    start: int
    stop: int
    taken: int


@dataclass(eq=False)
class MaterialsProjectDelta:
    """Pages are ranges of rows within a row group, which is read once and held while its pages follow.

    Two row groups are held at most. Keys name the database version, the file, which never changes, and the
    selection. Of a row group none of whose documents is taken, the structures are never read.
    """

    version: str | None
    selection: Selection
    patience: Patience = field(default_factory=Patience)
    source: str = SOURCE
    concurrency: int = 4
    live: bool = False
    _held: dict[tuple[str, int], pa.Table] = field(default_factory=dict, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @cached_property
    def _table(self) -> SummaryTable:
        return SummaryTable.open(self.version, self.patience)

    def describe(self) -> dict[str, Any]:
        """Name the table, its database version and the selection."""
        return {
            "connector": "materials_project",
            "route": "delta",
            "table": ADDRESS,
            "database_version": self._table.version,
            **vars(self.selection),
        }

    def pages(self, previous: Harvest | None) -> Iterator[Page]:
        """Yield row ranges bounded in rows and in predicted pairs; another version has others."""
        if previous is None:
            for group in self._survey[0]:
                for rows in pack(group.costs, PAGE_PAIRS, PAGE_ROWS):
                    taken = int(group.taken[rows.start : rows.stop].sum())
                    if taken:
                        yield self._page(_Rows(group.path, group.number, rows.start, rows.stop, taken))

    def read(self, page: Page) -> PageContent:
        """Read the rows that are taken; validation tells structures from rejects."""
        rows: _Rows = page.payload
        group = self._row_group(rows.path, rows.row_group)
        documents = group.slice(rows.start, rows.stop - rows.start)
        if rows.taken < len(documents):
            taken, _ = self.selection.split(documents["deprecated"], documents["license"])
            documents = documents.filter(taken)
        return PageContent(
            candidates=candidates(documents, self._table.version),
            rejects=REJECTS.empty_table(),
            announced=rows.taken,
            remarks=self._remarks,
        )

    def close(self) -> None:
        """Let go of what is held in memory."""
        self._held = {}

    def _page(self, rows: _Rows) -> Page:
        version = self._table.version
        place = f"{rows.path}:{rows.row_group}:{rows.start}-{rows.stop}"
        flags = ",".join(name for name, asked in vars(self.selection).items() if asked)
        return Page(
            key=f"mp:delta:{version}:{place}:{flags}",
            label=f"{version} {rows.path} group {rows.row_group} rows {rows.start}-{rows.stop - 1}",
            payload=rows,
        )

    @cached_property
    def _survey(self) -> tuple[list[_RowGroup], LeftOut]:
        """All row groups, and how many of their documents are left out.

        Raises:
            CrysiftError: none is taken.
        """
        groups, left_out = [], LeftOut()
        for path in self._table.files:
            with self._table.file(path) as file:
                for number in range(file.row_groups):
                    rows = file.read(number, SELECTED_BY)
                    taken, others = self.selection.split(rows["deprecated"], rows["license"])
                    groups.append(_RowGroup(path, number, taken, np.where(taken, _costs(rows), 0.0)))
                    left_out += others
        if not any(group.taken.any() for group in groups):
            raise CrysiftError(
                f"nothing is taken of database version {self._table.version} of the Materials Project: "
                f"{str(left_out) or 'it is empty'}"
            )
        return groups, left_out

    @cached_property
    def _remarks(self) -> tuple[str, ...]:
        groups, left_out = self._survey
        reasons = str(left_out)
        if not reasons:
            return ()
        total = sum(len(group.taken) for group in groups)
        taken = sum(int(group.taken.sum()) for group in groups)
        return (f"{taken:,} of {total:,} materials of {self._table.version} are taken; left out: {reasons}",)

    def _row_group(self, path: str, number: int) -> pa.Table:
        """Documents of a row group; of those read before, the oldest is let go."""
        with self._lock:
            held = self._held
            if (path, number) not in held:
                if len(held) == HELD_ROW_GROUPS:
                    del held[next(iter(held))]
                with self._table.file(path) as file:
                    held[path, number] = file.read(number, DOCUMENT.names)
            return held[path, number]


def _costs(rows: pa.Table) -> NDArray[np.float64]:
    """Neighbour pairs that featurizing each document is predicted to visit (B,)."""
    nsites = rows["nsites"].fill_null(1).to_numpy()
    return predicted_pairs(nsites, rows["nelements"].fill_null(TYPICAL_SPECIES).to_numpy())
