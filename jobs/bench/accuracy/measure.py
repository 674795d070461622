"""From a store of structures to the tables of accuracies."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from engine.execution.capacity import available_cores
from engine.store import Store
from jobs.bench.accuracy.answers import derive_answers
from jobs.bench.accuracy.competitors import naive_bayes_verdicts, ovito_verdicts, spglib_verdicts
from jobs.bench.accuracy.confusions import CONFUSIONS, confusions_of
from jobs.bench.accuracy.published import ARISE
from jobs.bench.accuracy.reporting import Outcome, report_of, write
from jobs.bench.accuracy.scores import published_scores, scores_of, verdicts
from jobs.bench.accuracy.sets import facts_of
from jobs.bench.map_vectors import cache_folder
from jobs.pipeline import recorded_run

if TYPE_CHECKING:
    from jobs.bench import BenchmarkSettings
    from jobs.bench.accuracy.answers import Answers, Asked
    from jobs.bench.accuracy.scores import Score
    from jobs.bench.accuracy.sets import BenchmarkSet
    from jobs.bench.report import BenchmarkReport


def measure(settings: BenchmarkSettings, chosen: BenchmarkSet, asked: Asked) -> BenchmarkReport:
    """Bring structures, vectors and answers up to date in the store, count, and write the tables."""
    started = time.perf_counter()
    store = Store.open(settings.store or _default_store(chosen), create=True)
    execution = replace(settings.execution, add_table=True)
    record = {"seed": chosen.seed, "draws": chosen.draws, "models": dict(asked.models)}
    with recorded_run(store, "bench accuracy", record, settings.listener) as (run, tell):
        chosen.write(store, tell, execution.workers or available_cores())
        answers = derive_answers(store, chosen, asked, execution, tell)
        run.finish({"store": store.folder.url, "structures": store.structures.count().rows})
    scores, confusions = score(answers)
    outcome = Outcome(chosen, asked, scores, confusions, answers.missing)
    report = report_of(outcome, store, time.perf_counter() - started)
    if settings.out is not None:
        write(settings.out, report, outcome)
    return report


def score(answers: Answers) -> tuple[list[Score], pa.Table]:
    """Count what is right: accuracies in the order of the table's rows, and what our models confuse."""
    scores: list[Score] = []
    confusions = [CONFUSIONS.empty_table()]
    for name, predictions in answers.models.items():
        rows = predictions.scan(["structure_id", "prototype"]).to_table()
        facts, found = facts_of(rows["structure_id"].to_pylist()), rows["prototype"].to_pylist()
        scores += scores_of(facts, verdicts(name, facts, found))
        confusions.append(confusions_of(name, facts, found))
    scores += published_scores(ARISE)
    judged = [*spglib_verdicts(answers.space_groups)]
    if answers.local_orders is not None:
        judged += ovito_verdicts(answers.local_orders)
    if answers.naive_bayes is not None:
        judged += naive_bayes_verdicts(answers.naive_bayes)
    for facts, of_method in judged:
        scores += scores_of(facts, of_method)
    return scores, pa.concat_tables(confusions)


def _default_store(chosen: BenchmarkSet) -> str:
    return str(cache_folder() / f"accuracy-seed-{chosen.seed}-draws-{chosen.draws}")
