"""Unknown prototypes: how well scores find structures that no known prototype explains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.bench import BenchmarkSettings
from jobs.bench.accuracy.ours import rows_of
from jobs.bench.map_vectors import cache_folder
from jobs.bench.ood.measure import Asked, measure
from jobs.bench.ood.networks import Training
from jobs.bench.ood.sets import OodSet
from models import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from jobs.bench.report import BenchmarkReport

QUICK_EVERY = 7
NETWORKS, WORK = "ood-networks", "ood-training"
"""Folders in the cache for trained networks and for the vectors that they are trained on."""


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Judge all scores of the default model on five seeds, or with ``quick`` on some structures of one."""
    chosen = OodSet(settings.seed)
    if settings.quick:
        chosen = replace(chosen, seeds=1, every=QUICK_EVERY)
    rows = rows_of(settings.weights)
    default = DEFAULT_WEIGHTS["arise"]
    named = {name: weights for name, weights in rows.items() if weights in (default, *settings.weights)}
    models = {default: named.pop(default), **named}
    training = None
    if settings.retrain:
        training = Training(cache_folder() / NETWORKS, settings.work or cache_folder() / WORK)
    database = settings.source if settings.source != BenchmarkSettings.source else None
    return measure(settings, chosen, Asked(models, training, database))
