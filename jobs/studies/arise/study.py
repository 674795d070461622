"""A series of crystals that the network classifies: from the structures to table, picture and report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import CrysiftError
from jobs.studies.study import StudyReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from engine.execution import Listener
    from engine.structure import Structure
    from jobs.settings import ExecutionSettings
    from jobs.studies.arise.classify import Classified
    from jobs.studies.checks import Check
    from jobs.studies.study import StudyRequest


@dataclass(frozen=True, kw_only=True)
class SeriesStudy:
    """A series of structures and what is read off their predictions.

    `structures` makes them, fewer for a quick run. `tabulate` joins what the network says to what is known of
    each; `checks` and `draw` see that table only, which is the one that users get.
    """

    name: str
    title: str
    known: str
    extent: str
    structures: Callable[[bool], Sequence[Structure]]
    tabulate: Callable[[Sequence[Structure], Classified], pa.Table]
    checks: Callable[[pa.Table], list[Check]]
    draw: Callable[[Path, pa.Table], None]

    @property
    def file(self) -> None:
        """No study of a series reads a file."""

    def run(
        self, request: StudyRequest, folder: Path, execution: ExecutionSettings, listener: Listener
    ) -> StudyReport:
        """Classify the series; write table, picture, report and store into the folder."""
        from jobs.studies.arise.classify import classify

        self._refuse(request)
        structures = self.structures(request.quick)
        rows = self.tabulate(structures, classify(structures, folder, request, execution, listener))
        failed = sum(status != "ok" for status in rows["status"].to_pylist())
        report = StudyReport(
            study=self,
            request=request,
            counted=f"{len(structures):,} structures, {failed:,} of which failed",
            facts={"structures": len(structures), "failed": failed},
            checks=self.checks(rows),
        )
        stem = folder / f"{self.name}-{request.variant('full')}"
        pq.write_table(rows, stem.with_name(f"{stem.name}.parquet"))
        self.draw(stem.with_name(f"{stem.name}.png"), rows)
        text = json.dumps(report.as_json(), indent=2, ensure_ascii=False)
        stem.with_name(f"{stem.name}.json").write_text(text + "\n", encoding="utf-8")
        return report

    def _refuse(self, request: StudyRequest) -> None:
        if request.file is not None:
            raise CrysiftError(
                f"the study {self.name} makes its own structures: leave --file {request.file} out"
            )
        if request.mode is not None:
            raise CrysiftError(
                f"the study {self.name} cuts no structure into boxes: leave --mode {request.mode} out"
            )


def with_columns(rows: pa.Table, **columns: tuple[Sequence[object] | pa.Array, str | None]) -> pa.Table:
    """Add columns, each with its unit, behind the first one of a table."""
    for place, (name, (values, unit)) in enumerate(columns.items(), start=1):
        array = values if isinstance(values, pa.Array) else pa.array(values)
        field = pa.field(name, array.type, metadata={"unit": unit} if unit else None)
        rows = rows.add_column(place, field, array)
    return rows
