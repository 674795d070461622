"""How well scores tell groups of structures from known ones: AUROC and false alarms, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.bench.ood.sets import BY_NAME
from models.training.evaluate import detection

if TYPE_CHECKING:
    from jobs.bench.ood.answers import Judged
    from jobs.bench.ood.scoring import Scored

Rows = NDArray[np.bool_]

STRATA = ("near", "mid", "far")
KNOWN = tuple(name for name, group in BY_NAME.items() if group.stratum == "known")
GOAL = "displaced and missing atoms"
"""The known structures that the goals are about."""


class Judgement(NamedTuple):
    """How well a score tells what it should find from known structures of one seed.

    `found` is a stratum or a group; `structures` are those known and those to be found.
    """

    score: str
    known: str
    found: str
    seed: int
    auroc: float
    false_alarms: float
    structures: tuple[int, int]


class Summary(NamedTuple):
    """Means and standard deviations over seeds."""

    auroc: float
    auroc_sd: float
    false_alarms: float
    false_alarms_sd: float


def judgements(found: Scored, known: Sequence[str] = KNOWN) -> list[Judgement]:
    """Judge every score by every group of known structures, every stratum, every group, and every seed."""
    of = found.of
    wanted = [*STRATA, *(name for name, group in BY_NAME.items() if group.stratum != "known")]
    return [
        judged
        for seed in np.unique(of.seeds).tolist()
        for against in known
        for what in wanted
        for judged in _of_one_seed(found, against, what, seed)
    ]


def _of_one_seed(found: Scored, against: str, what: str, seed: int) -> list[Judgement]:
    at = found.of.seeds == seed
    known, unknown = at & (found.of.groups == against), at & rows_of(found.of, what)
    if not known.any() or not unknown.any():
        return []
    result = []
    for name, values in found.scores.items():
        told = detection(values[known], values[unknown])
        sizes = int(known.sum()), int(unknown.sum())
        result.append(Judgement(name, against, what, seed, told.auroc, told.false_alarms, sizes))
    return result


def rows_of(structures: Judged, what: str) -> Rows:
    """Which structures (N,) are of a stratum or of a group of that name."""
    return np.asarray((structures.strata if what in STRATA else structures.groups) == what)


def summary(of: Sequence[Judgement], score: str, known: str, found: str) -> Summary | None:
    """Summarise over seeds; None where nothing was judged."""
    chosen = [each for each in of if (each.score, each.known, each.found) == (score, known, found)]
    if not chosen:
        return None
    ddof = int(len(chosen) > 1)
    auroc = np.array([each.auroc for each in chosen])
    alarms = np.array([each.false_alarms for each in chosen])
    return Summary(
        float(auroc.mean()), float(auroc.std(ddof=ddof)), float(alarms.mean()), float(alarms.std(ddof=ddof))
    )
