"""A study from its structure to its report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from engine.execution import Listener
    from engine.spm import GridSettings, SoapMode
    from engine.spm.field import Field
    from jobs.settings import ExecutionSettings
    from jobs.spm.pipeline import SpmTables
    from jobs.studies.atomistic.checks import Check
    from jobs.studies.atomistic.studies import Study
    from jobs.studies.atomistic.system import System

PASSES, QUICK_PASSES = 1000, 100
SHARES = 10
"""Classes that a report lists."""


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """A study and how to do it."""

    study: Study
    file: Path | None = None
    quick: bool = False
    """A coarser stride and fewer passes."""
    mode: SoapMode = "exact"
    seed: int = 0

    @property
    def passes(self) -> int:
        """Stochastic passes per box."""
        return QUICK_PASSES if self.quick else PASSES

    @property
    def grid(self) -> GridSettings:
        """How the structure is cut."""
        from engine.spm import GridSettings

        stride = self.study.quick_stride if self.quick else self.study.stride
        return GridSettings(stride=(stride, stride, stride), box=self.study.box)

    @property
    def variant(self) -> str:
        """For the names of files that do not go with other settings."""
        return f"{self.mode}-quick" if self.quick else self.mode


@dataclass(frozen=True)
class StudyReport:
    """What a study found."""

    request: StudyRequest
    atoms: int
    counts: dict[str, Any]
    shares: dict[str, float]
    checks: list[Check]

    @property
    def holds(self) -> bool:
        """Whether all limits are reached."""
        return all(check.holds is not False for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        study = self.request.study
        return {
            "study": study.name,
            "title": study.title,
            "known": study.known,
            "atoms": self.atoms,
            "grid": asdict(self.request.grid),
            "mode": self.request.mode,
            "passes": self.request.passes,
            "boxes": self.counts,
            "shares": self.shares,
            "checks": [check.as_json() for check in self.checks],
            "holds": self.holds,
        }


def run_study(
    request: StudyRequest, folder: Path, execution: ExecutionSettings, listener: Listener | None = None
) -> StudyReport:
    """Make or read the structure, match it, draw the result and compare it with what is known.

    Writes the structure, a picture, the report and a store into `folder`; the same call goes on after an
    interruption.
    """
    from engine.spm.field import read_field
    from jobs.spm.pipeline import counts

    folder.mkdir(parents=True, exist_ok=True)
    known = _through_file(request.study.structure(request.file), request.study, folder)
    tables = _matched(request, known, folder, execution, listener)
    field = read_field(tables.grid, tables.geometry)
    report = StudyReport(
        request,
        len(known),
        counts(tables),
        dict(list(field.shares.items())[:SHARES]),
        request.study.checks(known, field),
    )
    _write(report, known, field, folder)
    return report


def _through_file(known: System, study: Study, folder: Path) -> System:
    """Write a structure to a file and read it as a user's; pixels are converted on the way."""
    from connectors.atomistic import read_frames
    from jobs.studies.atomistic.files import IMAGED, write_image, write_structure

    if study.is_image:
        path, pixel = write_image(known, folder)
        [frame] = read_frames(path, pixel_size=pixel, species=IMAGED)
    else:
        [frame] = read_frames(write_structure(known, folder))
    return replace(known, frame=frame)


def _matched(
    request: StudyRequest,
    known: System,
    folder: Path,
    execution: ExecutionSettings,
    listener: Listener | None,
) -> SpmTables:
    from engine.store import Store
    from jobs.spm.pipeline import SpmRequest, run_spm

    store = Store.open(str(folder / f"store-{request.variant}"), create=True)
    asked = SpmRequest(
        name=request.study.name,
        frames=[known.frame],
        grid=request.grid,
        mode=request.mode,
        passes=request.passes,
        seed=request.seed,
    )
    return run_spm(store, asked, execution, listener)


def _write(report: StudyReport, known: System, field: Field, folder: Path) -> None:
    from jobs.studies.atomistic.drawing import draw

    draw(folder / f"map-{report.request.variant}.png", known, field)
    path = folder / f"report-{report.request.variant}.json"
    path.write_text(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
