"""What was found against what is known: numbers computed from a result, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Check:
    """A number that was found; with a limit, what it must at least be."""

    finding: str
    value: float
    at_least: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the limit is reached; None where there is none."""
        return None if self.at_least is None else bool(self.value >= self.at_least)

    def as_json(self) -> dict[str, Any]:
        """Plain values; a number that is undefined is null."""
        value = self.value if np.isfinite(self.value) else None
        return {
            "finding": self.finding,
            "value": value,
            "at_least": self.at_least,
            "holds": self.holds,
        }


def separation(high: NDArray[np.floating], low: NDArray[np.floating]) -> float:
    """Probability that a value of `high` (n,) exceeds one of `low` (m,), ties counting half; NaN for none.

    It is the area under the ROC curve: 0.5 for equal distributions, 1 where all are larger.
    """
    from scipy.stats import mannwhitneyu

    if not (len(high) and len(low)):
        return float("nan")
    return float(mannwhitneyu(high, low).statistic / (len(high) * len(low)))
