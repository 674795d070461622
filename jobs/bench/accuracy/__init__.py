"""How often networks and their competitors are right about defective crystals: the published table, rebuilt.

Protocol: A. Leitherer, A. Ziletti, L. M. Ghiringhelli, Nat. Commun. 12, 6234 (2021), Table 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.bench.accuracy.answers import Asked
from jobs.bench.accuracy.measure import measure
from jobs.bench.accuracy.ours import rows_of
from jobs.bench.accuracy.sets import BenchmarkSet, check_unseen

if TYPE_CHECKING:
    from jobs.bench import BenchmarkSettings
    from jobs.bench.report import BenchmarkReport

FULL, QUICK = BenchmarkSet(), BenchmarkSet(draws=1)


def run(settings: BenchmarkSettings) -> BenchmarkReport:
    """Measure all models and competitors on all structures, or with ``quick`` on one draw instead of ten."""
    check_unseen(settings.seed)
    chosen = replace(QUICK if settings.quick else FULL, seed=settings.seed)
    return measure(settings, chosen, Asked(rows_of(settings.weights)))
