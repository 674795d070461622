"""What the benchmark says and writes: figures with their goals, tables, remarks, curves and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.bench.accuracy.reporting import work_done
from jobs.bench.ood.answers import BASELINES, NOT_LISTED
from jobs.bench.ood.curves import curves
from jobs.bench.ood.detections import GOAL, KNOWN, STRATA, Judgement, Summary, rows_of, summary
from jobs.bench.ood.scoring import DEFAULT, ENSEMBLE, INFORMATION, Scored
from jobs.bench.ood.sets import GROUPS, SEEDS
from jobs.bench.ood.table import (
    BLOCK,
    KNOWN_BLOCK,
    binary_remark,
    candidates_table,
    database_table,
    folds_table,
    groups_table,
    known_table,
    scores_table,
    selection_tables,
    unseen_table,
)
from jobs.bench.report import BenchmarkReport, Figure, ReportTable

if TYPE_CHECKING:
    from pathlib import Path

    from engine.store import Store
    from jobs.bench.ood.nested import Fold
    from jobs.bench.ood.selection import Selection
    from jobs.bench.ood.sets import OodSet
    from models.training.evaluate import Detection

AUROC_GOALS = {"near": 95.0, "mid": 99.0, "far": 99.0}
"""Percent."""
RATIO_GOAL = 1 / 3
"""FPR95 of the default to that of mutual information, at most."""
POORLY_TOLD = 0.2
"""FPR95 from which on known structures count as mistaken for unknown ones."""
TABLE, JUDGEMENTS, SELECTIONS = "ood.md", "judgements.parquet", "selections.parquet"
"""Names of the files."""


@dataclass(frozen=True)
class Outcome:
    """What was measured, and what came of it."""

    chosen: OodSet
    model: str
    passes: int
    found: Scored
    judged: Sequence[Judgement]
    selected: Sequence[Selection]
    candidates: Mapping[str, Mapping[str, Detection]]
    folds: Sequence[Fold]
    shipped: str
    """The candidate that is the default."""
    others: Mapping[str, Sequence[Judgement]] = field(default_factory=dict)
    """Of further models, by name."""
    database: Sequence[Judgement] = ()
    """By real crystals."""
    unseen: Sequence[Judgement] = ()
    """Of networks without some classes."""
    left_out: int = 0
    remarks: tuple[str, ...] = ()


def report_of(outcome: Outcome, store: Store, seconds: float) -> BenchmarkReport:
    """Put everything into one report; goals are of the full benchmark only."""
    chosen = outcome.chosen
    full = chosen.every == 1 and chosen.seeds >= SEEDS and chosen.groups == GROUPS
    return BenchmarkReport(
        BLOCK,
        tuple(figures_of(outcome.judged)) if full else (),
        tuple(_remarks(outcome, store, seconds)),
        tuple(curves(outcome.found, outcome.judged)),
        tuple(_tables(outcome)),
    )


def figures_of(judged: Sequence[Judgement]) -> list[Figure]:
    """What the default should reach on displaced and missing atoms, beside what it does."""
    found = []
    for stratum, goal in AUROC_GOALS.items():
        if of := summary(judged, DEFAULT, GOAL, stratum):
            found.append(Figure(f"{stratum}: AUROC of {DEFAULT}", 100 * of.auroc, "%", at_least=goal))
    for stratum in STRATA:
        ours, theirs = (summary(judged, name, GOAL, stratum) for name in (DEFAULT, INFORMATION))
        if ours and theirs and theirs.false_alarms > _one_structure(judged):
            ratio = ours.false_alarms / theirs.false_alarms
            name = f"{stratum}: FPR95 of {DEFAULT} to that of {INFORMATION}"
            found.append(Figure(name, ratio, "", at_most=RATIO_GOAL))
    return found


def _one_structure(judged: Sequence[Judgement]) -> float:
    """The share that one known structure of a seed is."""
    return 1 / max(each.structures[0] for each in judged if each.known == GOAL)


def _tables(outcome: Outcome) -> list[ReportTable]:
    judged = outcome.judged
    title = f"{outcome.model}, known: {GOAL} (mean ± standard deviation over {outcome.chosen.seeds} seeds)"
    tables = [scores_table(judged, GOAL, title, BLOCK), known_table(judged)]
    if outcome.unseen:
        tables.append(unseen_table(outcome.unseen, outcome.left_out))
    if outcome.database:
        tables.append(database_table(outcome.database))
    tables += selection_tables(outcome.selected)
    tables += [
        scores_table(judged, known, f"Known: {known}", KNOWN_BLOCK)
        for known in KNOWN
        if known != GOAL and any(each.known == known for each in judged)
    ]
    tables.append(groups_table(judged))
    tables += [
        candidates_table(outcome.candidates, outcome.folds, outcome.shipped),
        folds_table(outcome.folds),
    ]
    for name, of_model in outcome.others.items():
        tables.append(scores_table(of_model, GOAL, f"{name}, known: {GOAL}", f"{BLOCK}-{name}"))
    return tables


def _remarks(outcome: Outcome, store: Store, seconds: float) -> list[str]:
    chosen, found = outcome.chosen, outcome.found
    seeds = ", ".join(map(str, chosen.test_seeds))
    known = found.of.groups == GOAL
    remarks = [
        f"{len(found.of.ids):,} structures: seeds {seeds}; {outcome.passes} passes of Monte-Carlo dropout",
        "FPR95: share of the known structures above the threshold that finds 95 % of the unknown ones",
    ]
    if NOT_LISTED in found.scores and known.any():
        flagged = found.scores[NOT_LISTED]
        rates = {
            stratum: (float(flagged[known].mean()), float(flagged[rows].mean()))
            for stratum in STRATA
            if (rows := rows_of(found.of, stratum)).any()
        }
        remarks.append(binary_remark(rates))
    remarks += [baselines_remark(outcome.judged), *_limits(outcome.judged)]
    if ENSEMBLE in found.scores:
        remarks.append(f"{ENSEMBLE}: the shipped network and others of the same recipe with other seeds")
    return [*remarks, f"this run: {seconds / 60:.1f} min; {work_done(store)}", *outcome.remarks]


def baselines_remark(judged: Sequence[Judgement]) -> str:
    """Say where a baseline is better than the default, against any known structures."""
    ahead: dict[str, list[str]] = {}
    for known in KNOWN:
        for stratum in STRATA:
            default = summary(judged, DEFAULT, known, stratum)
            for name in BASELINES:
                of = summary(judged, name, known, stratum)
                if default and of and _is_ahead(of, default):
                    figures = f"{_figures_of(of)}, {DEFAULT} {_figures_of(default)}"
                    ahead.setdefault(known, []).append(f"{stratum}: {name} {figures}")
    if not ahead:
        return f"no baseline is ahead of {DEFAULT}, in any stratum and against any known structures"
    told = (f"told from {known} ({', '.join(where)})" for known, where in ahead.items())
    return f"a baseline is ahead of {DEFAULT} (AUROC / FPR95): {'; '.join(told)}"


def _is_ahead(of: Summary, default: Summary) -> bool:
    return of.auroc > default.auroc or of.false_alarms < default.false_alarms


def _figures_of(of: Summary) -> str:
    return f"{of.auroc:.3f} / {100 * of.false_alarms:.1f} %"


def _limits(judged: Sequence[Judgement]) -> list[str]:
    """Say which known structures the default mistakes for unknown ones."""
    poor = {
        known: [
            f"{stratum} {100 * of.false_alarms:.0f} %"
            for stratum in STRATA
            if (of := summary(judged, DEFAULT, known, stratum)) and of.false_alarms > POORLY_TOLD
        ]
        for known in KNOWN
    }
    return [
        f"{DEFAULT} does not tell '{known}' from unknown structures (FPR95: {', '.join(where)})"
        for known, where in poor.items()
        if where
    ]


def write(folder: Path, report: BenchmarkReport, outcome: Outcome) -> None:
    """Write the tables for people as Markdown, judgements and selections as Parquet."""
    from jobs.bench.readme import tables_text

    folder.mkdir(parents=True, exist_ok=True)
    text = f"# Unknown prototypes\n\n{tables_text(report.as_json())}\n"
    (folder / TABLE).write_text(text, encoding="utf-8")
    of_models = {outcome.model: [*outcome.judged, *outcome.unseen, *outcome.database], **outcome.others}
    rows = [
        {"model": model, **each._asdict(), "structures": list(each.structures)}
        for model, judged in of_models.items()
        for each in judged
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / JUDGEMENTS)
    pq.write_table(pa.Table.from_pylist([each._asdict() for each in outcome.selected]), folder / SELECTIONS)
