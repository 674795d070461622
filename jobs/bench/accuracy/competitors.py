"""What the competitors said of every structure, as verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jobs.bench.accuracy.local_order import METHODS
from jobs.bench.accuracy.naive_bayes import MODELS
from jobs.bench.accuracy.scores import Verdicts, verdicts
from jobs.bench.accuracy.sets import facts_of
from jobs.bench.accuracy.symmetry import right_groups
from models.training.symmetry import TOLERANCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.store import Table
    from jobs.bench.accuracy.sets import Facts

NAMES = {
    "loose": "spglib loose",
    "tight": "spglib tight",
    "ptm": "PTM",
    "cna": "CNA",
    "adaptive_cna": "adaptive CNA",
    "ackland_jones": "Ackland–Jones",
    "gaussian": "Gaussian naive Bayes",
    "bernoulli": "Bernoulli naive Bayes",
}
"""Column of a competitor's answers → the name of its row."""


def spglib_verdicts(space_groups: Table) -> Iterator[tuple[Facts, Verdicts]]:
    """Judge by space groups: right is that of the pristine crystal within the same tolerances."""
    rows = space_groups.scan(["structure_id", *TOLERANCES]).to_table()
    facts = facts_of(rows["structure_id"].to_pylist())
    for name in TOLERANCES:
        right = right_groups(facts.labels, facts.kinds, rows[name].to_pylist())
        treated = np.array([verdict is not None for verdict in right])
        yield facts, Verdicts(NAMES[name], np.array([verdict or False for verdict in right], float), treated)


def ovito_verdicts(local_orders: Table) -> Iterator[tuple[Facts, Verdicts]]:
    """Judge by atoms: a structure counts with the share of its atoms that are right."""
    rows = local_orders.scan(["structure_id", "n_atoms", *METHODS]).to_table()
    facts = facts_of(rows["structure_id"].to_pylist())
    atoms = rows["n_atoms"].to_numpy()
    for name in METHODS:
        right = rows[name].to_numpy()
        treated = ~np.isnan(right.astype(float))
        yield facts, Verdicts(NAMES[name], np.nan_to_num(right / atoms), treated, "atoms")


def naive_bayes_verdicts(predictions: Table) -> Iterator[tuple[Facts, Verdicts]]:
    """Judge by classes, as our networks are judged."""
    rows = predictions.scan(["structure_id", *MODELS]).to_table()
    facts = facts_of(rows["structure_id"].to_pylist())
    for name in MODELS:
        yield facts, verdicts(NAMES[name], facts, rows[name].to_pylist())
