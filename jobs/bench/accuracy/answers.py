"""What every model and competitor says of every structure, as tables of the store."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.descriptors.soap import SoapStage
from engine.store import Store
from jobs.bench.accuracy.local_order import LocalOrderStage
from jobs.bench.accuracy.naive_bayes import PUBLISHED_GRID, NaiveBayesStage
from jobs.bench.accuracy.ours import stages
from jobs.bench.accuracy.sets import PAIRS_PER_PART, PRISTINE
from jobs.bench.accuracy.symmetry import SpaceGroupStage
from jobs.pipeline import derive_all
from models.training.grid import GridStage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from engine.execution import Listener
    from engine.stage import Stage
    from engine.store import Table
    from jobs.bench.accuracy.sets import BenchmarkSet
    from jobs.settings import ExecutionSettings
    from models.training.grid import GridSettings

_INSTALL = "pip install 'crysift[peers]'"
WITHOUT_OVITO = (
    f"PTM, CNA, adaptive CNA and Ackland–Jones are left out, since OVITO is not installed: {_INSTALL}"
)
WITHOUT_SKLEARN = f"naive Bayes is left out, since scikit-learn is not installed: {_INSTALL}"
TRAINING = "training"
"""Folder in the store for the store of training vectors."""
SYMMETRY = "symmetry"
"""Folder in the store for the store of the structures that spglib is asked about."""
SYMMETRY_DRAWS = 1
"""How many of the draws spglib sees: large cells without symmetry take it longer than all others together."""


@dataclass(frozen=True)
class Answers:
    """Tables with a row for every structure."""

    models: dict[str, Table]
    """Predictions by the name of the model's row."""
    space_groups: Table
    local_orders: Table | None = None
    """None where OVITO is not installed."""
    naive_bayes: Table | None = None
    """None where scikit-learn is not installed."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What is left out, and how to have it."""
        absent = ((self.local_orders, WITHOUT_OVITO), (self.naive_bayes, WITHOUT_SKLEARN))
        return tuple(remark for table, remark in absent if table is None)


@dataclass(frozen=True)
class Asked:
    """Who is asked, besides spglib and OVITO."""

    models: Mapping[str, str]
    """Name of a row → weights."""
    grid: GridSettings = PUBLISHED_GRID
    """Of the vectors that naive Bayes is trained on."""


def derive_answers(
    store: Store, chosen: BenchmarkSet, asked: Asked, execution: ExecutionSettings, listener: Listener
) -> Answers:
    """Bring all answers about the structures of the store up to date, and return their tables."""

    def last(*chain: Stage) -> Table:
        return derive_all(store, chain, execution, listener)[chain[-1].name]

    models = {name: last(*stages(weights)) for name, weights in asked.models.items()}
    local_orders = last(LocalOrderStage()) if _installed("ovito") else None
    naive_bayes = None
    if _installed("sklearn"):
        training = _training_table(store, chosen, asked.grid, execution, listener)
        naive_bayes = last(SoapStage(), NaiveBayesStage(training=training))
    space_groups = _symmetry_table(store, chosen, execution, listener)
    return Answers(models, space_groups, local_orders, naive_bayes)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _symmetry_table(
    store: Store, chosen: BenchmarkSet, execution: ExecutionSettings, listener: Listener
) -> Table:
    """Space groups of the first draws, in a store of their own; these are the same structures."""
    first = replace(chosen, draws=min(chosen.draws, SYMMETRY_DRAWS))
    symmetry = Store.open(store.folder.child(SYMMETRY).url, create=True)
    first.write(symmetry, listener, processes=1)
    return derive_all(symmetry, [SpaceGroupStage()], execution, listener)[SpaceGroupStage.name]


def _training_table(
    store: Store, chosen: BenchmarkSet, grid: GridSettings, execution: ExecutionSettings, listener: Listener
) -> Table:
    """Vectors of the pristine structures on the grid of descriptor settings, in a store of their own."""
    pristine = replace(chosen, kinds=(PRISTINE,), draws=1, seed=0, pairs_per_part=PAIRS_PER_PART / grid.size)
    training = Store.open(store.folder.child(TRAINING).url, create=True)
    pristine.write(training, listener, processes=1)
    return derive_all(training, [GridStage(grid)], execution, listener)[GridStage.name]
