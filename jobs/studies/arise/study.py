"""A series of crystals that the network classifies: from the structures to table, picture and report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
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
        """Classify the series; write table, picture, report and store into the folder.

        Raises CrysiftError where the request is of no use to the study, and where a structure fails.
        """
        from jobs.studies.arise.classify import classify

        self._refuse(request)
        structures = self.structures(request.quick)
        classified = classify(structures, folder, request, execution, listener)
        self._refuse_failed(classified.predictions, folder)
        rows = self.tabulate(structures, classified)
        report = StudyReport(
            study=self,
            request=request,
            counted=f"{len(structures):,} structures",
            facts={"structures": len(structures)},
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

    def _refuse_failed(self, predictions: pa.Table, folder: Path) -> None:
        failed = predictions.filter(pc.not_equal(predictions["status"], "ok"))
        if len(failed):
            raise CrysiftError(
                f"{len(failed):,} of {len(predictions):,} structures of the study {self.name} failed, the "
                f"first, {failed['structure_id'][0]}, with: {failed['error_message'][0]}; the study needs "
                f"all of them, and {folder} keeps what failed: do it again in another folder"
            )


def with_columns(rows: pa.Table, **columns: tuple[Sequence[object] | pa.Array, str | None]) -> pa.Table:
    """Add columns, each with its unit, behind the first one of a table."""
    for place, (name, (values, unit)) in enumerate(columns.items(), start=1):
        array = values if isinstance(values, pa.Array) else pa.array(values)
        field = pa.field(name, array.type, metadata={"unit": unit} if unit else None)
        rows = rows.add_column(place, field, array)
    return rows
