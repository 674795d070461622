"""The tables of the benchmark, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.bench.ood.answers import NOT_LISTED
from jobs.bench.ood.database import OF_CLASSES, OF_OTHERS
from jobs.bench.ood.detections import GOAL, KNOWN, STRATA, Summary, summary
from jobs.bench.ood.nested import Fold, times_chosen
from jobs.bench.ood.scoring import DEFAULT
from jobs.bench.ood.selection import RATES, SHARES
from jobs.bench.ood.sets import BY_NAME
from jobs.bench.ood.unseen_classes import UNSEEN
from jobs.bench.report import ReportTable

if TYPE_CHECKING:
    from jobs.bench.ood.detections import Judgement
    from jobs.bench.ood.selection import Selection
    from models.training.evaluate import Detection

BLOCK = "ood"
KNOWN_BLOCK, GROUPS_BLOCK, SELECTION_BLOCK, NESTED_BLOCK, UNSEEN_BLOCK, DATABASE_BLOCK = (
    f"{BLOCK}-{what}" for what in ("known", "groups", "selection", "nested", "unseen", "database")
)
SCORE = "score"
MEASURES = ("AUROC", "FPR95, %")
TABLE_RATE = 0.1
"""The rate of the table with all scores."""


def scores_table(judged: Sequence[Judgement], known: str, title: str, block: str) -> ReportTable:
    """Scores in rows, strata in columns, the best of each column in bold."""
    strata = [s for s in STRATA if summary(judged, DEFAULT, known, s)]
    heading = (SCORE, *(f"{stratum}: {measure}" for stratum in strata for measure in MEASURES))
    return ReportTable(title, heading, _score_rows(judged, known, strata), block)


def known_table(judged: Sequence[Judgement]) -> ReportTable:
    """The default score against every kind of known structures."""
    rows = tuple(
        (known, *(_both(summary(judged, DEFAULT, known, stratum)) for stratum in STRATA)) for known in KNOWN
    )
    title = f"`{DEFAULT}` against every kind of known structures (AUROC; FPR95, %)"
    return ReportTable(title, ("known structures", *STRATA), rows, BLOCK)


def groups_table(judged: Sequence[Judgement]) -> ReportTable:
    """The default score for every kind of unknown structures, against every kind of known ones."""
    rows = tuple(
        (f"{group.stratum}: {name}", *(_both(summary(judged, DEFAULT, known, name)) for known in KNOWN))
        for name, group in BY_NAME.items()
        if group.stratum != "known"
    )
    title = f"`{DEFAULT}` for every kind of unknown structures (AUROC; FPR95, %)"
    return ReportTable(title, ("unknown structures", *KNOWN), rows, GROUPS_BLOCK)


def selection_tables(found: Sequence[Selection]) -> list[ReportTable]:
    """All scores at one rate; the shipped p-values at all rates."""
    by_place = {(each.score, each.stratum, each.share, each.rate): each for each in found}
    columns = [(stratum, share) for share in SHARES for stratum in STRATA]
    names = dict.fromkeys(each.score for each in found)
    every = tuple(
        (
            _shown(name),
            *(_proportion_and_power(by_place.get((name, *column, TABLE_RATE))) for column in columns),
        )
        for name in names
    )
    of_default = tuple(
        (f"{rate:g}", *(_proportion_and_power(by_place.get((DEFAULT, *column, rate))) for column in columns))
        for rate in RATES
    )
    heading = tuple(f"{stratum}, {100 * share:g} %" for stratum, share in columns)
    what = "false discovery proportion / power, %, by the share of unknown structures"
    return [
        ReportTable(
            f"Selected at a false discovery rate of {TABLE_RATE:g}: {what}", (SCORE, *heading), every, BLOCK
        ),
        ReportTable(
            f"Selected by the p-values of `{DEFAULT}`: {what}",
            ("rate", *heading),
            of_default,
            SELECTION_BLOCK,
        ),
    ]


def unseen_table(judged: Sequence[Judgement], left_out: int) -> ReportTable:
    """Scores of networks that were trained without some classes."""
    title = f"{left_out} classes left out of the training, told from the others (displaced and missing atoms)"
    return ReportTable(title, (SCORE, *MEASURES), _score_rows(judged, GOAL, [UNSEEN]), BLOCK)


def database_table(judged: Sequence[Judgement]) -> ReportTable:
    """Scores by the crystals of a database."""
    known, others = judged[0].structures
    title = f"{known:,} {OF_CLASSES} told from {others:,} {OF_OTHERS}, by symmetry, in the source"
    rows = tuple(
        (_shown(each.score), f"{each.auroc:.3f}", f"{100 * each.false_alarms:.1f}") for each in judged
    )
    return ReportTable(title, (SCORE, *MEASURES), rows, DATABASE_BLOCK)


def candidates_table(
    figures: Mapping[str, Mapping[str, Detection]], folds: Sequence[Fold], shipped: str
) -> ReportTable:
    """What the default could be: on all structures, and how many folds chose it."""
    chosen = times_chosen(folds)
    heading = ("candidate", *(f"{s}: {measure}" for s in STRATA for measure in MEASURES), "chosen by folds")
    rows = []
    for name, of_strata in figures.items():
        numbers = [of_strata.get(stratum) for stratum in STRATA]
        cells = [
            cell
            for told in numbers
            for cell in ((f"{told.auroc:.4f}", f"{100 * told.false_alarms:.2f}") if told else ("", ""))
        ]
        shown = f"{name} (`{DEFAULT}`)" if name == shipped else name
        rows.append((shown, *cells, f"{chosen[name]} of {len(folds)}"))
    title = "Candidates for the default, all seeds at once"
    return ReportTable(title, heading, tuple(rows), NESTED_BLOCK)


def folds_table(folds: Sequence[Fold]) -> ReportTable:
    """What every fold of origins chose, and how choice and shipped score do on what was put aside."""
    rows = []
    for number in [*sorted({fold.origins for fold in folds}), None]:
        of_number = [fold for fold in folds if number in (None, fold.origins)]
        chosen = ", ".join(f"{name} ({times})" for name, times in times_chosen(of_number).most_common())
        cells = [
            _mean_auroc([getattr(fold, side).get(stratum) for fold in of_number])
            for side in ("of_chosen", "of_shipped")
            for stratum in STRATA
        ]
        rows.append(("all" if number is None else str(number + 1), chosen, *cells))
    heading = (
        "origins put aside",
        "chosen on the others (seeds)",
        *(f"chosen: {stratum}" for stratum in STRATA),
        *(f"`{DEFAULT}`: {stratum}" for stratum in STRATA),
    )
    title = "Nested validation: AUROC on what was put aside, mean over seeds"
    return ReportTable(title, heading, tuple(rows), NESTED_BLOCK)


def _score_rows(judged: Sequence[Judgement], known: str, found: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    names = list(dict.fromkeys(each.score for each in judged if each.known == known))
    columns: list[list[str]] = []
    for what in found:
        of_scores = [summary(judged, name, known, what) for name in names]
        columns.append(_column(of_scores, lambda s: (s.auroc, s.auroc_sd), 3, max))
        columns.append(_column(of_scores, lambda s: (100 * s.false_alarms, 100 * s.false_alarms_sd), 1, min))
    return tuple((_shown(name), *cells) for name, *cells in zip(names, *columns, strict=True))


def _column(
    summaries: Sequence[Summary | None],
    numbers: Callable[[Summary], tuple[float, float]],
    digits: int,
    best: Callable[[list[float]], float],
) -> list[str]:
    """Means with standard deviations, the best in bold."""
    values = [numbers(each) if each else None for each in summaries]
    leading = best([round(value[0], digits) for value in values if value])
    cells = []
    for value in values:
        if value is None:
            cells.append("")
            continue
        mean, deviation = value
        text = f"{mean:.{digits}f} ± {deviation:.{digits}f}"
        cells.append(f"**{text}**" if round(mean, digits) == leading else text)
    return cells


def _shown(name: str) -> str:
    return f"`{name}`" if name == DEFAULT else name


def _both(found: Summary | None) -> str:
    return f"{found.auroc:.3f}; {100 * found.false_alarms:.1f}" if found else ""


def _proportion_and_power(found: Selection | None) -> str:
    return f"{100 * found.proportion:.1f} / {100 * found.power:.1f}" if found else ""


def _mean_auroc(found: Sequence[Detection | None]) -> str:
    values = [told.auroc for told in found if told]
    return f"{np.mean(values):.4f}" if values else ""


def binary_remark(rates: Mapping[str, tuple[float, float]]) -> str:
    """Say what the baseline that only says yes or no flags, by stratum: known and unknown structures."""
    [known] = {of_known for of_known, _ in rates.values()}
    found = ", ".join(f"{100 * recall:.1f} % of {stratum}" for stratum, (_, recall) in rates.items())
    flagged = f"it flags {100 * known:.1f} % of the displaced and missing atoms, {found}"
    return f"'{NOT_LISTED}' says yes or no: {flagged}"
