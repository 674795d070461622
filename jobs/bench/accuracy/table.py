"""The accuracies as tables for people: methods in rows, kinds of defects in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.bench.accuracy.local_order import CLOSE_PACKED_AND_BCC, CUTOFFS, TEMPLATES
from jobs.bench.accuracy.published import PUBLISHED
from jobs.bench.accuracy.scores import published_scores
from jobs.bench.accuracy.sets import KINDS
from jobs.bench.report import ReportTable
from models.prototypes import titles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.bench.accuracy.scores import Score
    from models.training.defects import Defect

BLOCK = "accuracy"
PERCENT = "% correct"
SINGLE = tuple(kind for kind in KINDS if not (kind.displacement and kind.vacancies))
COMBINED = tuple(kind for kind in KINDS if kind.displacement and kind.vacancies)


def accuracy_tables(scores: Sequence[Score], prototypes: int) -> tuple[ReportTable, ...]:
    """Tables of displacements and missing atoms, and of both at once.

    Behind a method's name stands how many of the `prototypes` it can treat; with a star all count.
    """
    return tuple(
        ReportTable(title, (PERCENT, *map(str, kinds)), rows, BLOCK)
        for title, kinds in (
            ("Displaced atoms (δ) or missing atoms (η)", SINGLE),
            ("Missing and displaced atoms", COMBINED),
        )
        if (rows := _rows(scores, kinds, prototypes))
    )


def published_table() -> ReportTable:
    """All published rows."""
    scores = [score for method in PUBLISHED for score in published_scores(method)]
    heading = (PERCENT, *map(str, SINGLE))
    return ReportTable("Published", heading, _rows(scores, SINGLE, 0), f"{BLOCK}-published")


def local_order_table() -> ReportTable:
    """What OVITO's methods must call the atoms of which prototype, to be right."""
    named = titles()
    rows = tuple(
        (
            named[label],
            f"{template.structure} and {' or '.join(template.orderings)}",
            CLOSE_PACKED_AND_BCC.get(label, ""),
            f"{CUTOFFS[label]:.3f}" if label in CUTOFFS else "",
        )
        for label, template in TEMPLATES.items()
    )
    heading = ("prototype", "PTM", "CNA, adaptive CNA, Ackland–Jones", "cutoff of CNA, in d_NN")
    return ReportTable("Right answers", heading, rows, f"{BLOCK}-local-order")


def _rows(scores: Sequence[Score], kinds: Sequence[Defect], prototypes: int) -> tuple[tuple[str, ...], ...]:
    named: dict[str, dict[Defect, Score]] = {}
    for score in scores:
        if score.kind in kinds:
            named.setdefault(_title(score, prototypes), {})[score.kind] = score
    return tuple(
        (name, *(f"{row[kind].percent:.2f}" if kind in row else "" for kind in kinds))
        for name, row in named.items()
    )


def _title(score: Score, prototypes: int) -> str:
    partial = score.classes is not None and score.classes < prototypes and not score.starred
    return f"{score.row} ({score.classes}/{prototypes})" if partial else score.row
