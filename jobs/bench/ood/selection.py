"""What a selection at a false discovery rate brings: the share of it that is known, and how much it finds.

Mixtures of known and other structures are drawn at random; those whose Benjamini–Hochberg q-value is at most
the rate are selected (Benjamini, Hochberg, J. R. Statist. Soc. B 57, 289 (1995); for conformal p-values Bates
et al., Ann. Statist. 51, 149 (2023)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.bench.ood.detections import GOAL, STRATA, rows_of
from jobs.selection.selected import q_values
from models.training.randomness import random_generator

if TYPE_CHECKING:
    from jobs.bench.ood.answers import Judged

Floats = NDArray[np.floating]

RATES = (0.05, 0.1, 0.2)
SHARES = (0.1, 0.5)
"""Of structures out of distribution in a mixture."""
MIXTURES = 50
"""Drawn of the structures of every seed."""
OF_ALL = 0.9
"""Share of the scarcer kind of structures that a mixture takes, so that mixtures differ."""


class Selection(NamedTuple):
    """Means over mixtures: of the false discovery proportion, and of the power.

    `mixtures` were drawn of `structures` each, of which a `share` is of the stratum and all others are known.
    """

    score: str
    stratum: str
    share: float
    rate: float
    proportion: float
    power: float
    structures: int
    mixtures: int


def selections(p_values: Mapping[str, Floats], of: Judged, mixtures: int = MIXTURES) -> list[Selection]:
    """Select by every score's p-values (N,), in mixtures of every stratum with both shares, at every rate."""
    found = []
    for stratum in STRATA:
        for share in SHARES:
            drawn = [
                mixture
                for seed in np.unique(of.seeds)
                for mixture in _drawn(of, stratum, share, seed, mixtures)
            ]
            if drawn:
                for name, p in p_values.items():
                    found += _selections(name, p, drawn, stratum, share)
    return found


class _Mixture(NamedTuple):
    """Rows of structures that are known, and of others."""

    known: NDArray[np.int64]
    others: NDArray[np.int64]


def _drawn(of: Judged, stratum: str, share: float, seed: int, mixtures: int) -> list[_Mixture]:
    at = of.seeds == seed
    known = np.flatnonzero(at & (of.groups == GOAL))
    others = np.flatnonzero(at & rows_of(of, stratum))
    total = OF_ALL * min(len(known) / (1.0 - share), len(others) / share)
    sizes = round((1.0 - share) * total), round(share * total)
    if min(sizes) == 0:
        return []
    random = random_generator(int(seed), f"{stratum}/{share}")
    return [
        _Mixture(
            *(random.choice(rows, n, replace=False) for rows, n in zip((known, others), sizes, strict=True))
        )
        for _ in range(mixtures)
    ]


def _selections(
    name: str, p: Floats, drawn: Sequence[_Mixture], stratum: str, share: float
) -> list[Selection]:
    results = np.array([selected(p[each.known], p[each.others], RATES) for each in drawn]).mean(axis=0)
    size = len(drawn[0].known) + len(drawn[0].others)
    return [
        Selection(name, stratum, share, rate, float(proportion), float(power), size, len(drawn))
        for rate, (proportion, power) in zip(RATES, results, strict=True)
    ]


def selected(known: Floats, others: Floats, rates: Sequence[float]) -> list[tuple[float, float]]:
    """Proportion of false discoveries and power at every rate, by p-values of known (N,) and others (M,)."""
    q = q_values(np.concatenate([known, others]))
    found = []
    for rate in rates:
        chosen = q <= rate
        wrong = int(chosen[: len(known)].sum())
        found.append((wrong / max(int(chosen.sum()), 1), float(chosen[len(known) :].mean())))
    return found
