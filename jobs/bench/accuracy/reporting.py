"""What the accuracy benchmark says and writes: figures with their goals, tables, remarks and files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.store.runs import runs_in
from jobs.bench.accuracy.answers import SYMMETRY_DRAWS
from jobs.bench.accuracy.confusions import HEADING, most_frequent
from jobs.bench.accuracy.published import GOALS
from jobs.bench.accuracy.scores import scores_table
from jobs.bench.accuracy.table import BLOCK, accuracy_tables
from jobs.bench.report import BenchmarkReport, Figure, ReportTable
from models.prototypes import prototypes
from models.training.defects import DRAWS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.store import Store
    from jobs.bench.accuracy.answers import Asked
    from jobs.bench.accuracy.scores import Score
    from jobs.bench.accuracy.sets import BenchmarkSet

TABLE, SCORES, CONFUSIONS = "accuracy.md", "accuracy.parquet", "confusions.parquet"
"""Names of the files."""


@dataclass(frozen=True)
class Outcome:
    """What was measured, and what came of it."""

    chosen: BenchmarkSet
    asked: Asked
    scores: Sequence[Score]
    confusions: pa.Table
    missing: tuple[str, ...]
    """What is left out, and how to have it."""


def report_of(outcome: Outcome, store: Store, seconds: float) -> BenchmarkReport:
    """Put everything into one report; goals are of the full benchmark only."""
    classes = len(outcome.chosen.labels) or len(prototypes())
    full = outcome.chosen.draws >= DRAWS and not outcome.chosen.labels
    confused = [
        table for model in outcome.asked.models if (table := _confused(outcome.confusions, model)).rows
    ]
    return BenchmarkReport(
        BLOCK,
        tuple(_figures(outcome.scores)) if full else (),
        tuple(_remarks(outcome, store, seconds)),
        tables=(*accuracy_tables(outcome.scores, classes), *confused),
    )


def _figures(scores: Sequence[Score]) -> list[Figure]:
    """Our accuracies with what they should reach."""
    return [
        Figure(f"{score.method}: {score.kind}", score.percent, "%", at_least=GOALS[score.method][score.kind])
        for score in scores
        if score.kind in GOALS.get(score.method, {})
    ]


def _confused(confusions: pa.Table, model: str) -> ReportTable:
    of_model = confusions.filter(pc.equal(confusions["model"], model))
    return ReportTable(
        f"What {model} confuses most", HEADING, tuple(most_frequent(of_model)), f"{BLOCK}-confusions"
    )


def _remarks(outcome: Outcome, store: Store, seconds: float) -> list[str]:
    counts = store.structures.count()
    return [
        f"{counts.rows:,} structures: seed {outcome.chosen.seed}, {_draws(outcome.chosen.draws)} of each",
        "PTM, CNA, Ackland–Jones: mean share of a structure's atoms; all others: share of the structures",
        f"spglib: {_draws(min(outcome.chosen.draws, SYMMETRY_DRAWS))} of each",
        "*: of all structures, where what a method cannot treat counts as wrong",
        f"this run: {seconds / 60:.1f} min; {work_done(store)}",
        *outcome.missing,
    ]


def _draws(number: int) -> str:
    return "1 draw" if number == 1 else f"{number} draws"


def work_done(store: Store) -> str:
    """How long workers took in all runs into the store, by stage."""
    taken: Counter[str] = Counter()
    for run in runs_in(store.folder.child("runs")):
        for event in run.events():
            if event.get("event") == "PartDone":
                taken[event["stage"]] += event["seconds"]
    by_stage = ", ".join(f"{stage} {seconds / 60:.1f}" for stage, seconds in taken.most_common())
    return f"workers in all runs into this store: {taken.total() / 60:.1f} min ({by_stage})"


def write(folder: Path, report: BenchmarkReport, outcome: Outcome) -> None:
    """Write the tables for people as Markdown, accuracies and confusions as Parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TABLE).write_text(markdown(report), encoding="utf-8")
    pq.write_table(scores_table(outcome.scores), folder / SCORES)
    pq.write_table(outcome.confusions, folder / CONFUSIONS)


def markdown(report: BenchmarkReport) -> str:
    """The tables and remarks of a report."""
    from jobs.bench.readme import tables_text

    return f"# Accuracy\n\n{tables_text(report.as_json())}\n"
