"""A structure of known grains from its making to the report of what was found in it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from jobs.studies.study import StudyReport

if TYPE_CHECKING:
    from pathlib import Path

    from engine.execution import Listener
    from engine.spm.field import Field
    from jobs.settings import ExecutionSettings
    from jobs.spm.pipeline import SpmRequest, SpmTables
    from jobs.studies.atomistic.studies import GrainStudy
    from jobs.studies.atomistic.system import System
    from jobs.studies.study import StudyRequest

SHARES = 10
"""Classes that a report lists."""


def run_study(
    study: GrainStudy,
    request: StudyRequest,
    folder: Path,
    execution: ExecutionSettings,
    listener: Listener | None = None,
) -> StudyReport:
    """Make or read the structure, match it, draw the result and compare it with what is known.

    Writes the structure, a picture, the report and a store into `folder`; the same call goes on after an
    interruption.
    """
    from engine.spm.field import read_field
    from engine.store import Store
    from jobs.spm.pipeline import run_spm

    folder.mkdir(parents=True, exist_ok=True)
    known = _through_file(study.structure(request.file), study, folder)
    store = Store.open(str(folder / f"store-{_variant(request)}"), create=True)
    asked = _matching(study, request, known)
    tables = run_spm(store, asked, execution, listener)
    field = read_field(tables.grid, tables.geometry)
    report = _report(study, request, asked, tables, field, known)
    _write(report, known, field, folder)
    return report


def _variant(request: StudyRequest) -> str:
    """For the names of files that do not go with other settings."""
    return request.variant(request.mode or "exact")


def _through_file(known: System, study: GrainStudy, folder: Path) -> System:
    """Write a structure to a file and read it as a user's; pixels are converted on the way."""
    from connectors.atomistic import read_frames
    from jobs.studies.atomistic.files import IMAGED, write_image, write_structure

    if study.is_image:
        path, pixel = write_image(known, folder)
        [frame] = read_frames(path, pixel_size=pixel, species=IMAGED)
    else:
        [frame] = read_frames(write_structure(known, folder))
    return replace(known, frame=frame)


def _matching(study: GrainStudy, request: StudyRequest, known: System) -> SpmRequest:
    from engine.spm import GridSettings
    from jobs.spm.pipeline import SpmRequest

    stride = study.quick_stride if request.quick else study.stride
    return SpmRequest(
        name=study.name,
        frames=[known.frame],
        grid=GridSettings(stride=(stride, stride, stride), box=study.box),
        mode=request.mode or "exact",
        passes=request.passes,
        seed=request.seed,
        weights=request.weights,
    )


def _report(
    study: GrainStudy,
    request: StudyRequest,
    asked: SpmRequest,
    tables: SpmTables,
    field: Field,
    known: System,
) -> StudyReport:
    from jobs.spm.pipeline import counts

    found = counts(tables)
    return StudyReport(
        study=study,
        request=request,
        counted=f"{len(known):,} atoms, {found['boxes']:,} boxes, of which {found['classified']:,} "
        f"classified, {found['sparse']:,} sparse, {found['failed']:,} failed",
        facts={
            "atoms": len(known),
            "grid": asdict(asked.grid),
            "mode": asked.mode,
            "boxes": found,
            "shares": dict(list(field.shares.items())[:SHARES]),
        },
        checks=study.checks(known, field),
    )


def _write(report: StudyReport, known: System, field: Field, folder: Path) -> None:
    from jobs.studies.atomistic.drawing import draw

    variant = _variant(report.request)
    draw(folder / f"map-{variant}.png", known, field)
    path = folder / f"report-{variant}.json"
    path.write_text(json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
