"""From a store of structures to the tables of the benchmark."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from engine.execution.capacity import available_cores
from engine.store import Store
from jobs.bench.map_vectors import cache_folder
from jobs.bench.ood.answers import Judged, derive_calibration, derive_test, missing
from jobs.bench.ood.candidates import ALL_SPACES, candidates
from jobs.bench.ood.database import database_judgements
from jobs.bench.ood.detections import judgements
from jobs.bench.ood.nested import by_stratum, folds
from jobs.bench.ood.networks import LEFT_OUT, Training, holdouts, members
from jobs.bench.ood.reporting import Outcome, report_of, write
from jobs.bench.ood.scoring import p_values_of, scored
from jobs.bench.ood.selection import MIXTURES, selections
from jobs.bench.ood.unseen_classes import unseen_class_judgements
from jobs.pipeline import recorded_run
from models.weights_file import load_model

if TYPE_CHECKING:
    from engine.execution import Listener
    from jobs.bench import BenchmarkSettings
    from jobs.bench.ood.detections import Judgement
    from jobs.bench.ood.sets import OodSet
    from jobs.bench.report import BenchmarkReport
    from jobs.settings import ExecutionSettings
    from models.weights_file import Model

CALIBRATION = "calibration"
"""Folder in the store for the store of the structures that p-values are calibrated on."""
PASSES = 200
"""Of Monte-Carlo dropout, T."""


@dataclass(frozen=True)
class Asked:
    """What is judged, besides the baselines."""

    models: Mapping[str, str]
    """Name → weights; of the first one everything, of others the detection alone."""
    training: Training | None = None
    """How further networks are trained, where they are asked for."""
    database: str | None = None
    """A source of real crystals to judge by, besides those that are drawn."""
    networks: int = 3
    """Further ones of either kind."""
    left_out: int = LEFT_OUT
    passes: int = PASSES
    mixtures: int = MIXTURES


@dataclass(frozen=True)
class _Trained:
    ensemble: Sequence[Model] = ()
    without_classes: Sequence[Model] = ()


def measure(settings: BenchmarkSettings, chosen: OodSet, asked: Asked) -> BenchmarkReport:
    """Bring structures, vectors and networks up to date, judge all scores, and write the tables."""
    started = time.perf_counter()
    store = Store.open(settings.store or _default_store(chosen), create=True)
    beside = Store.open(store.folder.child(CALIBRATION).url, create=True)
    execution = replace(settings.execution, add_table=True)
    record = {"seeds": list(chosen.test_seeds), "every": chosen.every, "models": dict(asked.models)}
    with recorded_run(store, "bench ood", record, settings.listener) as (run, tell):
        chosen.write(store, beside, tell, execution.workers or available_cores())
        test, calibration = _derived(store, beside, execution, tell)
        outcome = _judge(chosen, asked, test, calibration, tell)
        if asked.database is not None:
            real = _judge_database(asked, asked.database, store, execution, tell)
            outcome = replace(outcome, database=real)
        run.finish({"store": store.folder.url, "structures": len(test.ids)})
    report = report_of(outcome, store, time.perf_counter() - started)
    if settings.out is not None:
        write(settings.out, report, outcome)
    return report


def _derived(
    store: Store, beside: Store, execution: ExecutionSettings, listener: Listener
) -> tuple[Judged, Judged]:
    return derive_test(store, execution, listener), derive_calibration(beside, execution, listener)


def _judge(chosen: OodSet, asked: Asked, test: Judged, calibration: Judged, listener: Listener) -> Outcome:
    (name, weights), *further = asked.models.items()
    model = load_model(weights)
    trained = _trained(asked, model, listener)
    found, among = (scored(model, each, asked.passes, trained.ensemble) for each in (test, calibration))
    options = candidates(model, found, among)
    every = np.ones(len(test.ids), bool)
    return Outcome(
        chosen=chosen,
        model=name,
        passes=asked.passes,
        found=found,
        judged=judgements(found),
        selected=selections(p_values_of(found, among), test, asked.mixtures),
        candidates={each: by_stratum(values, test, every) for each, values in options.items()},
        folds=folds(options, ALL_SPACES, test),
        shipped=ALL_SPACES,
        others={other: judgements(scored(load_model(of), test, asked.passes)) for other, of in further},
        unseen=unseen_class_judgements(trained.without_classes, test, asked.passes),
        left_out=asked.left_out,
        remarks=missing(),
    )


def _judge_database(
    asked: Asked, source: str, store: Store, execution: ExecutionSettings, listener: Listener
) -> list[Judgement]:
    """Judge by real crystals, which are kept under a name that stands for their source."""
    name = f"database_{hashlib.sha256(source.encode()).hexdigest()[:8]}"
    beside = Store.open(store.folder.child(name).url, create=True)
    model = load_model(next(iter(asked.models.values())))
    return database_judgements(source, model, asked.passes, beside, execution, listener)


def _trained(asked: Asked, model: Model, listener: Listener) -> _Trained:
    if asked.training is None:
        return _Trained()
    training = replace(asked.training, listener=listener)
    ensemble, without = (
        [training.network(each) for each in wanted]
        for wanted in (
            members(model.labels, asked.networks),
            holdouts(model.labels, asked.networks, asked.left_out),
        )
    )
    return _Trained(ensemble, without)


def _default_store(chosen: OodSet) -> str:
    part = "" if chosen.every == 1 else f"-every-{chosen.every}"
    return str(cache_folder() / f"ood-seed-{chosen.first}-seeds-{chosen.seeds}{part}")
