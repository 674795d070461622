"""The answer of a screening as tables of its store, and as CSV beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.schema import SCHEMA_VERSION
from engine.store import DamagedPartError, Fingerprint
from jobs.selection.novel import as_csv, novel_rows
from jobs.selection.selected import selection_rows
from jobs.views import add_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb
    import pyarrow as pa

    from engine.store import Store, Table
    from models.stage import PredictStage

CSV = "novel.csv"
REVISION = 1
_ONLY = "part-00000"


@dataclass(frozen=True)
class Answer:
    """What a screening selected of the structures in `parts`, by the network of a stage, at a rate `fdr`.

    `sources` are the tables that it is read from, by name.
    """

    store: Store
    stage: PredictStage
    sources: Mapping[str, Table]
    parts: frozenset[str]
    fdr: float

    def table(self, name: str) -> Table:
        """Return the table "selection" or "novel" of this answer, existing or yet to be filled."""
        settings = {"fdr": self.fdr, "content": self._content()}
        source = self.sources[self.stage.name]
        fingerprint = Fingerprint(
            name, SCHEMA_VERSION, REVISION, settings, source.fingerprint.model, source.folder.name
        )
        return self.store.derived(fingerprint, allow_new=True)

    def _content(self) -> str:
        """SHA-256 of what the sources hold."""
        digest = hashlib.sha256()
        for name in (self.stage.name, "protostructures"):
            footers = self.sources[name].footers(self.parts & self.sources[name].part_names())
            for part in sorted(footers):
                digest.update(f"{name} {part} {footers[part].content_hash}\n".encode())
        return digest.hexdigest()


def answer_tables(answer: Answer, connection: duckdb.DuckDBPyConnection) -> dict[str, Table]:
    """Bring the tables `selection` and `novel` of an answer up to date, and write `novel.csv` into the store.

    The views of `connection` are the scope of the screening. Adds the views `selection` and `novel`.
    """
    tables = {name: answer.table(name) for name in _MAKERS}
    held: dict[str, pa.Table] = {}
    for name, table in tables.items():
        rows = _rows_held(table)
        if rows is None:
            rows = _MAKERS[name](answer, connection)
            table.commit(_ONLY, rows, source_part=None, rows_in=len(rows), failed=0, cost=float(len(rows)))
        answer.store.make_newest(table)
        add_whole(connection, name, table)
        held[name] = rows
    answer.store.folder.put(CSV, as_csv(held["novel"]))
    return tables


def _rows_held(table: Table) -> pa.Table | None:
    """The rows of a table that was made before; one that is damaged is taken away."""
    if not table.part_names():
        return None
    try:
        return table.read(_ONLY)
    except DamagedPartError:
        table.discard(_ONLY)
        return None


def _selection(answer: Answer, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    from models.structure_types import classes_by_type
    from models.weights_file import model_metadata

    classes = classes_by_type(model_metadata(answer.stage.weights))
    return selection_rows(connection, answer.stage.architecture, answer.fdr, classes)


def _novel(answer: Answer, connection: duckdb.DuckDBPyConnection) -> pa.Table:
    return novel_rows(connection, answer.stage)


_MAKERS = {"selection": _selection, "novel": _novel}
"""In this order: what is novel is read from the view `selection`."""
