"""Screen structures from Python: `from jobs import screen`."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.errors import CrysiftError
from jobs.settings import ScreenSettings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from engine.execution import Listener
    from engine.store import Store, Superseded, Table
    from models.stage import PredictStage

DEFAULT_STORE = "crysift-store"


@dataclass(frozen=True)
class ScreenResult:
    """The tables that a screening made, or found made; its scope is the sources that were screened.

    ``models`` are the networks that were applied, ``tables`` the derived tables by name, ``answers`` the
    tables "selection" and "novel": what the first network selects at a false discovery rate.
    """

    store: Store
    models: tuple[str, ...]
    tables: Mapping[str, Table]
    parts: frozenset[str]
    answers: Mapping[str, Table] = field(default_factory=dict)

    @property
    def store_url(self) -> str:
        """Folder or URL of the store."""
        return self.store.folder.url

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Counts, prototypes, failures and the places of the tables, as JSON values."""
        from jobs.selection import CSV
        from jobs.summary import selected, summarize

        rows_in = sum(footer.rows_in for footer in self.store.structures.footers(self.parts).values())
        rows_in -= self._superseded.count(self.parts)
        tables = (self.store.structures, self.store.rejects, *self.tables.values(), *self.answers.values())
        connection = self._connect()
        return {
            "store": self.store_url,
            **summarize(connection, self.models, rows_in),
            "selection": {
                "fdr": self.answers["selection"].fingerprint.settings["fdr"],
                **selected(connection),
            },
            "tables": {
                **{table.name: table.folder.url for table in tables},
                CSV: self.store.folder.path(CSV),
            },
        }

    def predictions(self, columns: list[str] | None = None, model: str | None = None) -> pa.Table:
        """Return the predictions of a network, one row per structure: all columns, or those named.

        ``model`` is "arise" or "diffraction", by default the first that was applied, in this order.
        """
        import pyarrow as pa

        table = self.predictions_table(model)
        needed = None if columns is None else list(dict.fromkeys([*columns, "structure_id"]))
        rows = pa.concat_tables(
            self._superseded.drop_from(part, table.read(part, needed)) for part in sorted(self.parts)
        )
        return rows if columns is None else rows.select(columns)

    def predictions_table(self, model: str | None = None) -> Table:
        """Return the table that a network's predictions are in, by default the first one's."""
        return self.tables[f"predictions_{self._applied(model)}"]

    def verdicts(self) -> pa.Table:
        """Return what both networks say of each structure, side by side, and whether they agree.

        Columns as in the view `verdicts` of `crysift query`. Raises CrysiftError where one was applied only.
        """
        from jobs.summary import answer

        if len(self.models) < 2:
            raise CrysiftError(
                f"only the network {self.models[0]!r} was applied: verdicts side by side need a screening "
                'with models=("arise", "diffraction")'
            )
        return answer(self._connect(), "SELECT * FROM verdicts ORDER BY structure_id")

    def most_out_of_distribution(self, count: int = 20) -> pa.Table:
        """Return the structures that are farthest from all that the first network knows, the farthest first.

        Where both networks were applied, with the verdicts of both.
        """
        from jobs.summary import answer, strangest

        return answer(self._connect(), strangest(self.models), count)

    def selection(self) -> pa.Table:
        """Return what is selected as out of distribution and why, a row per structure: `SELECTION`."""
        return _whole(self.answers["selection"])

    def novel(self, count: int | None = None) -> pa.Table:
        """Return the novel structures, equivalent ones once, the farthest first: `NOVEL`, so many or all."""
        return _whole(self.answers["novel"]).slice(0, count)

    def prototypes(self, model: str | None = None) -> pa.Table:
        """Return how often a network recognises each prototype, and how often it finds it only resembled."""
        from jobs.summary import answer, prototypes

        return answer(self._connect(), prototypes(self._applied(model)))

    def _applied(self, model: str | None) -> str:
        if model is None:
            return self.models[0]
        if model not in self.models:
            raise CrysiftError(f"the network {model!r} was not applied: {', '.join(self.models)} was")
        return model

    @cached_property
    def _superseded(self) -> Superseded:
        from engine.store import Superseded

        return Superseded.of(self.store)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        from engine.store import Superseded
        from jobs.views import add_verdicts, add_view, add_whole, open_connection

        connection = open_connection(self.store)
        scope = {"structures": self.store.structures, "rejects": self.store.rejects, **self.tables}
        for name, table in scope.items():
            superseded = Superseded({}) if table is self.store.rejects else self._superseded
            add_view(connection, name, table, self.parts & table.part_names(), superseded)
        if len(self.models) > 1:
            add_verdicts(connection, "features_diffraction")
        for name, table in self.answers.items():
            add_whole(connection, name, table)
        return connection

    def answered(self, stage: PredictStage, fdr: float) -> ScreenResult:
        """Return the result with what a network selects at a rate `fdr`, computed where it is not there."""
        from jobs.selection import Answer, answer_tables

        answer = Answer(self.store, stage, self.tables, self.parts, fdr)
        with closing(self._connect()) as connection:
            return replace(self, answers=answer_tables(answer, connection))


def _whole(table: Table) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(table.read(part) for part in sorted(table.part_names()))


def screen(
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    store: str | os.PathLike[str] = DEFAULT_STORE,
    settings: ScreenSettings | None = None,
    listener: Listener | None = None,
) -> ScreenResult:
    """Screen crystal structures: which known prototype each resembles, how surely, and which resemble none.

    `sources` are databases (`mp:`, `optimade:odbx`, `nomad:`), files, folders, globs or Parquet tables, or
    `examples:`. What the store already holds is not computed again, so that an interrupted call goes on when
    it is repeated. `listener` receives the events of `engine.execution`. Raises `engine.errors.CrysiftError`
    for everything that the caller can mend.
    """
    from connectors import open_sources
    from engine.execution.events import ignore
    from engine.store import Store
    from jobs.pipeline import derive_all, ingest_all, parts_of, recorded_run

    _leave_a_worker_that_runs_the_script_again()
    asked = settings or ScreenSettings()
    connectors = open_sources(_names(sources), asked.sources)
    opened = Store.open(os.fspath(store), create=True)
    _check_before_anything_runs(opened, asked)
    record = {"sources": [connector.describe() for connector in connectors], **asked.as_json()}
    with (
        asked.execution.cluster.connected(),
        recorded_run(opened, "screen", record, listener or ignore) as (run, tell),
    ):
        parts = parts_of(ingest_all(connectors, opened, asked.limits, tell))
        tables = derive_all(opened, asked.stages(), asked.execution, tell)
        networks = asked.predictions()
        screened = ScreenResult(opened, tuple(networks), tables, parts)
        result = screened.answered(next(iter(networks.values())), asked.fdr)
        run.finish(result.summary)
    return result


def _leave_a_worker_that_runs_the_script_again() -> None:
    """End a worker process that, importing the caller's script, came to its unguarded call of `screen`."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(
            "crysift: screen() starts processes that import this script again; "
            'call it under `if __name__ == "__main__":`'
        )


def _check_before_anything_runs(store: Store, settings: ScreenSettings) -> None:
    """Refuse, before any work, stages that do not fit each other and settings that are not the store's."""
    from engine.schema import STRUCTURES
    from engine.stage import START, check_pipeline
    from engine.store import Fingerprint

    stages = settings.stages()
    tables = {START: store.structures}
    for stage in stages:
        source = tables[stage.source]
        tables[stage.name] = store.derived(Fingerprint.of(stage, source), settings.execution.add_table)
    for prediction in settings.predictions().values():
        prediction.check_source(tables[prediction.source].fingerprint)
    check_pipeline(stages, STRUCTURES)


def _names(sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    if isinstance(sources, str | os.PathLike):
        return [os.fspath(sources)]
    return [os.fspath(source) for source in sources]
