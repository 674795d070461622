"""The published accuracies, percent of the structures (or atoms) whose parent class is found.

Source: A. Leitherer, A. Ziletti, L. M. Ghiringhelli, Nat. Commun. 12, 6234 (2021), Table 1 and Supplementary
Information. Columns are those of `KINDS`: pristine, seven displacements, six shares of missing atoms; ARISE
has the seven combinations, too.
"""

from __future__ import annotations

from jobs.bench.accuracy.sets import KINDS
from models.training.defects import Defect

ARISE = "ARISE (published)"

_TABLE: dict[str, tuple[float, ...]] = {
    "spglib loose (96/108)": (100, 100, 100, 95.26, 20.00, 0, 0, 0, 11.23, 0, 0, 0, 0, 0),
    "PTM (12/108)": (
        *(100, 100, 100, 100, 100, 100, 100, 94.34),
        *(88.67, 51.76, 25.93, 6.24, 3.33, 1.72),
    ),
    "adaptive CNA (3/108)": (
        *(100, 100, 100, 100, 100, 100, 99.99, 94.55),
        *(89.25, 52.81, 25.92, 5.37, 2.60, 1.03),
    ),
    "Ackland–Jones (3/108)": (
        *(100, 100, 100, 100, 100, 97.85, 87.79, 69.68),
        *(99.71, 88.78, 65.21, 25.38, 14.25, 7.35),
    ),
    "Gaussian naive Bayes": (
        *(62.63, 56.50, 55.94, 55.56, 54.98, 52.72, 50.73, 48.62),
        *(54.51, 52.94, 52.67, 52.09, 51.33, 50.32),
    ),
    "Bernoulli naive Bayes": (
        *(75.76, 65.56, 65.19, 63.61, 61.58, 56.58, 48.81, 43.28),
        *(65.49, 64.00, 62.43, 60.48, 59.78, 58.18),
    ),
    ARISE: (
        *(100, 100, 100, 100, 99.86, 99.29, 97.82, 94.56),
        *(100, 100, 100, 99.85, 99.86, 99.76),
        *(100, 100, 100, 99.88, 99.29, 97.31, 92.50),
    ),
}

PUBLISHED: dict[str, dict[Defect, float]] = {
    method: dict(zip(KINDS, percents, strict=False)) for method, percents in _TABLE.items()
}
"""Method → kind → percent."""

ROBUST_GOALS: dict[Defect, float] = {
    Defect(0.04): 99.9,
    Defect(0.07): 99.5,
    Defect(0.10): 98.5,
    **{Defect(vacancies=share): 99.95 for share in (0.01, 0.05, 0.10, 0.20, 0.25, 0.30)},
    Defect(0.07, 0.25): 99.5,
    Defect(0.10, 0.30): 97.5,
}
"""Percent, at least, of a model that was trained on defective structures, too."""

GOALS: dict[str, dict[Defect, float]] = {"arise": PUBLISHED[ARISE], "arise-robust": ROBUST_GOALS}
"""Name of a shipped model → kind → percent, at least, when all structures are drawn."""
