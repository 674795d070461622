"""The studies of series of crystals as a document: pictures beside it, and tables in its blocks.

`python -m jobs.studies.arise.document docs/arise-studies.md` does all of them with the default model. A
folder named after the document keeps what was computed; models named after the folder are compared, and the
pictures are of the first.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from engine.markdown import markdown_table

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.settings import ExecutionSettings
    from jobs.studies.study import StudyReport, StudyRequest

NARROWEST = 0.015
"""Width in c/a of the intervals that the table of the Bain path lists."""


def fill_document(
    document: Path, requests: Sequence[StudyRequest], folder: Path, execution: ExecutionSettings
) -> None:
    """Do all studies in a folder, copy the pictures of the first model beside the document, fill its blocks.

    `requests` differ in their weights; the checks of all models stand side by side.
    """
    from engine.execution.events import ignore
    from jobs.bench.readme import fill
    from jobs.studies.arise.studies import STUDIES

    blocks = {}
    for study in STUDIES:
        place = folder / study.name
        reports = [study.run(request, place, execution, ignore) for request in requests]
        stem = place / f"{study.name}-{requests[0].variant('full')}"
        shutil.copy(f"{stem}.png", document.with_name(f"{document.stem}-{study.name}.png"))
        table = TABLES[study.name](pq.read_table(f"{stem}.parquet"))
        weights = f"Picture and table: `{requests[0].weights}`."
        blocks[study.name] = f"{table}\n\n{weights}\n\n{checks_table(reports)}"
    document.write_text(fill(document.read_text(encoding="utf-8"), blocks), encoding="utf-8")


def checks_table(reports: Sequence[StudyReport]) -> str:
    """Lay out what was found with each model, beside the limits; findings of one study, in one order."""
    rows = []
    for checks in zip(*(report.checks for report in reports), strict=True):
        limit = checks[0].at_least
        cells = (f"{check.value:.4g}{' **(no)**' if check.holds is False else ''}" for check in checks)
        rows.append((checks[0].finding, "" if limit is None else f"{limit:g}", *cells))
    heading = ("found", "at least", *(f"`{report.request.weights}`" for report in reports))
    return f"{markdown_table(heading, rows)}\n\nT = {reports[0].request.passes:,}; {reports[0].counted}."


def bain_table(rows: pa.Table) -> str:
    """Classes along c/a."""
    from jobs.spm.maps.quantities import title_of
    from jobs.studies.arise.bain import intervals, lines

    names = {ratio: label for label, ratio in lines().items()}
    found = []
    for each in intervals(rows):
        if each.high - each.low < NARROWEST:
            continue
        held = [
            f"{title_of(label)}, {ratio:.3f}"
            for ratio, label in names.items()
            if each.low <= ratio <= each.high
        ]
        figures = (f"{each.probability:.3f}", f"{each.mutual_information:.3f}", f"{100 * each.flagged:.0f} %")
        found.append((f"{each.low:.3f}–{each.high:.3f}", title_of(each.label), *figures, ", ".join(held)))
    heading = (
        "c/a",
        "prototype",
        "mean probability",
        "mean mutual information (nat)",
        "flagged as out of distribution",
        "training structure",
    )
    return f"{markdown_table(heading, found)}\n\nIntervals narrower than {NARROWEST:g} are left out."


def out_of_sample_table(rows: pa.Table) -> str:
    """Candidates, doubts and kin of every crystal."""
    from jobs.spm.maps.quantities import title_of

    found = []
    for row in rows.to_pylist():
        if row["is_known"]:
            continue
        candidates = [_candidate(each, row["kin"]) for each in row["top"][:3]]
        flagged = "yes" if row["is_ood"] else "no"
        measures = (f"{row['mutual_information']:.3f}", f"{row['ood_score']:.2f}", flagged)
        kin = ", ".join(title_of(label) for label in row["kin"])
        found.append((row["title"], *candidates, *measures, f"{kin}: {row['reason']}"))
    heading = (
        "crystal",
        *(f"candidate {rank}" for rank in (1, 2, 3)),
        "mutual information (nat)",
        "out-of-distribution score",
        "flagged",
        "kin, and why",
    )
    return f"{markdown_table(heading, found)}\n\nBold: kin."


def supercells_table(rows: pa.Table) -> str:
    """Sizes from which on clusters are recognised, and their similarity to the crystal, by family."""
    from jobs.spm.maps.quantities import title_of
    from jobs.studies.arise.supercells import TRAINED_FROM, smallest_recognised

    sizes = smallest_recognised(rows)
    found = []
    for family in dict.fromkeys(each.family for each in sizes):
        of_family = [each for each in sizes if each.family == family]
        atoms = [each.atoms for each in of_family if each.atoms is not None]
        sizes_found = (f"{min(atoms)}", f"{np.median(atoms):g}", f"{max(atoms)}") if atoms else ("–",) * 3
        late = [title_of(each.label) for each in of_family if each.atoms is None or each.atoms > TRAINED_FROM]
        alike = (_similarity_near(rows, family, name) for name in ("descriptor", "representation"))
        found.append((family, f"{len(of_family)}", *sizes_found, *alike, ", ".join(late) or "–"))
    heading = (
        "family",
        "prototypes",
        "smallest (atoms)",
        "median",
        "largest",
        "similarity at 100–200 atoms, SOAP",
        "the same, last hidden layer",
        f"recognised from more than {TRAINED_FROM} atoms on",
    )
    return markdown_table(heading, found)


TABLES = {"bain-path": bain_table, "out-of-sample": out_of_sample_table, "supercells": supercells_table}
"""What makes the table of each study's rows."""


def _similarity_near(rows: pa.Table, family: str, name: str) -> str:
    """Median similarity of the clusters of 100 to 200 atoms."""
    wanted = np.array(rows["family"].to_pylist()) == family
    wanted &= np.array(rows["kind"].to_pylist()) == "cluster"
    atoms = rows["n_atoms"].to_numpy()
    wanted &= (atoms >= 100) & (atoms <= 200)
    values = rows[f"similarity_{name}"].to_numpy()[wanted]
    return f"{np.median(values):.3f}" if len(values) else "–"


def _candidate(candidate: dict[str, Any], kin: list[str]) -> str:
    from jobs.spm.maps.quantities import title_of

    text = f"{title_of(candidate['prototype'])} {candidate['probability']:.3f}"
    return f"**{text}**" if candidate["prototype"] in kin else text


def main(document: str, folder: str | None = None, *weights: str) -> None:
    """Do the studies and fill the document."""
    from jobs.settings import ExecutionSettings
    from jobs.studies.study import StudyRequest
    from models.stage import PredictArise

    requests = [StudyRequest(weights=each) for each in weights or (PredictArise.weights,)]
    with tempfile.TemporaryDirectory() as scratch:
        fill_document(Path(document), requests, Path(folder or scratch), ExecutionSettings("inline"))


if __name__ == "__main__":
    main(*sys.argv[1:])
