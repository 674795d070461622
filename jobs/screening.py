"""Screen structures from Python: `from jobs import screen`."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jobs.settings import ScreenSettings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from engine.execution import Listener
    from engine.stage import Stage
    from engine.store import Store, Superseded, Table

DEFAULT_STORE = "crysift-store"


@dataclass(frozen=True)
class ScreenResult:
    """The tables that a screening made, or found made; its scope is the sources that were screened."""

    store: Store
    features_table: Table
    predictions_table: Table
    parts: frozenset[str]

    @property
    def store_url(self) -> str:
        """Folder or URL of the store."""
        return self.store.folder.url

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Counts, prototypes, failures and the places of the tables, as JSON values."""
        from jobs.report import summarize

        rows_in = sum(footer.rows_in for footer in self.store.structures.footers(self.parts).values())
        rows_in -= self._superseded.count(self.parts)
        tables = (self.store.structures, self.store.rejects, self.features_table, self.predictions_table)
        return {
            "store": self.store_url,
            **summarize(self._connect(), rows_in),
            "tables": {table.name: table.folder.url for table in tables},
        }

    def predictions(self, columns: list[str] | None = None) -> pa.Table:
        """Return the predictions, one row per structure: all columns, or those named."""
        import pyarrow as pa

        needed = None if columns is None else list(dict.fromkeys([*columns, "structure_id"]))
        rows = pa.concat_tables(
            self._superseded.drop_from(part, self.predictions_table.read(part, needed))
            for part in sorted(self.parts)
        )
        return rows if columns is None else rows.select(columns)

    def most_out_of_distribution(self, count: int = 20) -> pa.Table:
        """Return the structures that are farthest from everything known, the farthest first."""
        from jobs.report import MOST_OUT_OF_DISTRIBUTION, answer

        return answer(self._connect(), MOST_OUT_OF_DISTRIBUTION, count)

    def prototypes(self) -> pa.Table:
        """Return how often each prototype is recognised, the most often first, and how often resembled."""
        from jobs.report import PROTOTYPES, answer

        return answer(self._connect(), PROTOTYPES)

    @cached_property
    def _superseded(self) -> Superseded:
        from engine.store import Superseded

        return Superseded.of(self.store)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        from engine.store import Superseded
        from jobs.views import add_view, open_connection

        connection = open_connection(self.store)
        scope = {
            "structures": self.store.structures,
            "rejects": self.store.rejects,
            "predictions": self.predictions_table,
        }
        for name, table in scope.items():
            superseded = Superseded({}) if table is self.store.rejects else self._superseded
            add_view(connection, name, table, self.parts & table.part_names(), superseded)
        return connection


def screen(
    sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    store: str | os.PathLike[str] = DEFAULT_STORE,
    settings: ScreenSettings | None = None,
    listener: Listener | None = None,
) -> ScreenResult:
    """Screen crystal structures: which known prototype each resembles, how surely, and which resemble none.

    `sources` are databases (`mp:`, `optimade:odbx`, `nomad:`), files, folders, globs or Parquet tables, or
    `examples:`. What the store already holds is not
    computed again, so that an interrupted call goes on when it is repeated. `listener` receives the events of
    `engine.execution`. Raises `engine.errors.CrysiftError` for everything that the caller can mend.
    """
    from connectors import open_sources
    from engine.descriptors.soap.stage import SoapStage
    from engine.execution.events import ignore
    from engine.store import Store
    from jobs.pipeline import derive_all, ingest_all, parts_of, recorded_run

    _leave_a_worker_that_runs_the_script_again()
    asked = settings or ScreenSettings()
    names = _names(sources)
    connectors = open_sources(names, asked.sources)
    opened = Store.open(os.fspath(store), create=True)
    featurize = SoapStage(asked.soap, asked.prediction.device)
    _check_before_anything_runs(opened, featurize, asked)
    record = {"sources": [connector.describe() for connector in connectors], **asked.as_json()}
    with (
        asked.execution.cluster.connected(),
        recorded_run(opened, "screen", record, listener or ignore) as (run, tell),
    ):
        parts = parts_of(ingest_all(connectors, opened, asked.limits, tell))
        stages = [featurize, asked.prediction]
        features, predictions = derive_all(opened, stages, asked.execution, tell)
        result = ScreenResult(opened, features, predictions, parts)
        run.finish(result.summary)
    return result


def _leave_a_worker_that_runs_the_script_again() -> None:
    """End a worker process that, importing the caller's script, came to its unguarded call of `screen`."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(
            "crysift: screen() starts processes that import this script again; "
            'call it under `if __name__ == "__main__":`'
        )


def _check_before_anything_runs(store: Store, featurize: Stage, settings: ScreenSettings) -> None:
    """Refuse, before any work, stages that do not fit each other and settings that are not the store's."""
    from engine.schema import STRUCTURES
    from engine.stage import check_pipeline
    from engine.store import Fingerprint

    check_pipeline([featurize, settings.prediction], STRUCTURES)
    keep_both = settings.execution.add_table
    features = store.derived(Fingerprint.of(featurize, store.structures), keep_both)
    settings.prediction.check_source(features.fingerprint)
    store.derived(Fingerprint.of(settings.prediction, features), keep_both)


def _names(sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    if isinstance(sources, str | os.PathLike):
        return [os.fspath(sources)]
    return [os.fspath(source) for source in sources]
