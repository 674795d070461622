"""Nested validation of the default score: chosen on some types and seeds, judged on others.

In every fold the structures of a fifth of the origins (prototypes, types, drawings) and of one seed are
put aside. The candidate with the best mean AUROC over the strata on structures of other origins and other
seeds is chosen, and judged on what was put aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.bench.ood.detections import GOAL, STRATA, Rows, rows_of
from models.training.evaluate import Detection, detection
from models.training.randomness import random_generator

if TYPE_CHECKING:
    from jobs.bench.ood.answers import Judged

Floats = NDArray[np.floating]

FOLDS = 5
"""Of origins."""


class Fold(NamedTuple):
    """What one fold chose, and how the choice and the shipped score do on what was put aside, by stratum."""

    origins: int
    seed: int
    chosen: str
    of_chosen: dict[str, Detection]
    of_shipped: dict[str, Detection]


def folds(candidates: Mapping[str, Floats], shipped: str, of: Judged) -> list[Fold]:
    """Choose and judge in every fold; with a single seed folds differ by their origins alone."""
    place = _places(of)
    seeds = np.unique(of.seeds).tolist()
    found = []
    for number in range(FOLDS):
        for seed in seeds:
            other_seeds = of.seeds != seed if len(seeds) > 1 else np.ones(len(of.seeds), bool)
            inner = (place != number) & other_seeds
            outer = (place == number) & (of.seeds == seed)
            chosen = best(candidates, of, inner)
            found.append(
                Fold(
                    number,
                    seed,
                    chosen,
                    by_stratum(candidates[chosen], of, outer),
                    by_stratum(candidates[shipped], of, outer),
                )
            )
    return found


def best(candidates: Mapping[str, Floats], of: Judged, among: Rows) -> str:
    """The candidate with the best mean AUROC over the strata among some structures (N,)."""

    def mean(name: str) -> float:
        return float(np.mean([told.auroc for told in by_stratum(candidates[name], of, among).values()]))

    return max(candidates, key=mean)


def by_stratum(values: Floats, of: Judged, among: Rows) -> dict[str, Detection]:
    """Judge a score (N,) by known structures and every stratum that there is among some structures (N,)."""
    known = values[among & (of.groups == GOAL)]
    strata = {stratum: values[among & rows_of(of, stratum)] for stratum in STRATA}
    return {
        stratum: detection(known, unknown)
        for stratum, unknown in strata.items()
        if len(known) and len(unknown)
    }


def times_chosen(of: Sequence[Fold]) -> Counter[str]:
    """How many folds chose what."""
    return Counter(fold.chosen for fold in of)


def _places(of: Judged) -> NDArray[np.int64]:
    """The fold (N,) in which structures are put aside: the same for all of one origin."""
    names, number = np.unique(of.origins, return_inverse=True)
    order = random_generator(0, "folds of origins").permutation(len(names))
    return np.asarray(order[number] % FOLDS)
