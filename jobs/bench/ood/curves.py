"""Receiver operating characteristics: the share of unknown structures found by that of known ones flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobs.bench.ood.answers import NEAREST_AMD
from jobs.bench.ood.detections import GOAL, STRATA, Judgement, rows_of, summary
from jobs.bench.ood.scoring import DEFAULT, INFORMATION
from jobs.bench.report import Curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.bench.ood.scoring import Scored

Floats = NDArray[np.floating]

POINTS = 80
BEST = 3
"""Curves of other scores: those that flag fewest known structures."""
BETWEEN = ": "
"""Between the stratum and the score in a curve's name."""


def curves(found: Scored, judged: Sequence[Judgement]) -> list[Curve]:
    """The curve of some scores for every stratum, over all seeds."""
    known = found.of.groups == GOAL
    drawn = []
    for stratum in STRATA:
        unknown = rows_of(found.of, stratum)
        if known.any() and unknown.any():
            for name in _drawn_scores(found, judged):
                points = roc(found.scores[name][known], found.scores[name][unknown])
                drawn.append(
                    Curve(f"{stratum}{BETWEEN}{name}", "false-positive rate", "true-positive rate", points)
                )
    return drawn


def roc(known: Floats, unknown: Floats) -> tuple[tuple[float, float], ...]:
    """Points (false-positive rate, true-positive rate), rates of false positives on a logarithmic grid."""
    descending = np.sort(known)[::-1]
    flagged = np.unique(np.geomspace(1, len(known), POINTS).round().astype(int))
    return tuple(
        (float((known >= threshold).mean()), float((unknown >= threshold).mean()))
        for threshold in np.unique(descending[flagged - 1])[::-1]
    )


def _drawn_scores(found: Scored, judged: Sequence[Judgement]) -> list[str]:
    """The default, mutual information, the best others by what they flag near the known ones, a baseline."""

    def false_alarms(name: str) -> float:
        return sum(of.false_alarms for stratum in STRATA if (of := summary(judged, name, GOAL, stratum)))

    fixed = [name for name in (DEFAULT, INFORMATION, NEAREST_AMD) if name in found.scores]
    others = sorted((name for name in found.scores if name not in fixed), key=false_alarms)[:BEST]
    return [*fixed[:2], *others, *fixed[2:]]
