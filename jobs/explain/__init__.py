"""Why a structure of a store is, or is not, out of distribution: `from jobs.explain import explain`."""

from jobs.explain.explanation import (
    Explanation,
    Nearest,
    PairContribution,
    Spacing,
    SpeciesContribution,
    Verdict,
    explain,
)

__all__ = [
    "Explanation",
    "Nearest",
    "PairContribution",
    "Spacing",
    "SpeciesContribution",
    "Verdict",
    "explain",
]
