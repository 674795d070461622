"""Which tables of a store a page shows: a map, its clusters, their predictions, what is novel by those."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.errors import CrysiftError
from jobs.page.novelty import add_views
from jobs.views import connect, sql_name

if TYPE_CHECKING:
    import duckdb

    from engine.store import Store, Table


@dataclass(frozen=True)
class Answer:
    """What one screening selected at a false discovery rate, and the novel structures among it."""

    selection: Table
    novel: Table

    @property
    def fdr(self) -> float:
        """The false discovery rate."""
        return float(self.selection.fingerprint.settings["fdr"])


@dataclass(frozen=True)
class PageTables:
    """The tables of one page, and the views over them."""

    store: Store
    connection: duckdb.DuckDBPyConnection
    map: Table
    clusters: Table
    predictions: Table
    answer: Answer | None

    @classmethod
    def of(cls, store: Store, shown: Table | None = None) -> PageTables:
        """Take a map, the newest whose clusters are there if none is given, predictions, and what is novel.

        Raises CrysiftError, naming the command that makes it, where the store lacks one of them.
        """
        maps = [shown] if shown is not None else store.existing("map")
        if not maps:
            raise CrysiftError(
                f"{store.folder.url} has no map of its structures yet: `crysift map --store "
                f"{store.folder.url}` makes one"
            )
        clusters = {table.fingerprint.source_table: table for table in store.existing("clusters")}
        whole = [table for table in maps if table.folder.name in clusters]
        if not whole:
            raise CrysiftError(
                f"{maps[-1].folder.name} has no table of its clusters, so that `crysift map` is at work or "
                "was interrupted: run the same command again, it goes on where it stopped"
            )
        newest = whole[-1]
        predictions = _predictions(store, newest)
        answer = _answer(store, predictions)
        tables = cls(store, connect(store), newest, clusters[newest.folder.name], predictions, answer)
        add_views(tables)
        return tables

    def view(self, table: Table) -> str:
        """Name of the view over a table."""
        return sql_name(table.folder.name)

    def unit(self, view: str, column: str) -> str | None:
        """Unit of a column of a view over a table, where it has one."""
        named = {name: t for t in self.store.tables() for name in (t.name, self.view(t))}
        if view not in named:
            return None
        schema = named[view].part_schema(min(named[view].part_names()))
        metadata = schema.field(column).metadata or {}
        return metadata[b"unit"].decode() if b"unit" in metadata else None

    def columns(self, view: str) -> dict[str, str]:
        """SQL types of a view's columns, by name."""
        described = self.connection.sql(f'DESCRIBE "{view}"').fetchall()
        return {str(name): str(kind) for name, kind, *_ in described}


def _predictions(store: Store, of_map: Table) -> Table:
    """Return the predictions that the map is of, of the same features, or the newest."""
    source = of_map.fingerprint.source_table
    tables = store.existing("predictions_arise")
    if not tables:
        raise CrysiftError(f"{store.folder.url} has no predictions yet: `crysift predict` makes them")
    related = [t for t in tables if source in (t.folder.name, t.fingerprint.source_table)]
    return (related or tables)[-1]


def _answer(store: Store, predictions: Table) -> Answer | None:
    """Return the newest whole answer of a screening by these predictions."""
    answers = [
        Answer(selection, novel)
        for novel in store.existing("novel")
        for selection in store.existing("selection")
        if novel.fingerprint.source_table == predictions.folder.name
        and replace(selection.fingerprint, table="novel") == novel.fingerprint
    ]
    return answers[-1] if answers else None
