"""Scores of how far a structure is from what a network was trained on: the larger, the farther.

A score is fitted to what a model's training structures look like to its network, and then gives one number
for each of B others. All of them read the same `Seen`, so that one pass over the network serves them all.
"""

from __future__ import annotations

from collections.abc import Callable

from models.scores.distances import Mahalanobis, NearestNeighbors, RelativeMahalanobis
from models.scores.logits import Energy, VirtualLogit
from models.scores.score import Fitted, Score, Seen, seen
from models.scores.uncertainties import MutualInformation, PredictiveEntropy

SCORES: dict[str, Callable[[Fitted], Score]] = {
    "mutual information": lambda _: MutualInformation(),
    "predictive entropy": lambda _: PredictiveEntropy(),
    "kNN, descriptor": lambda to: NearestNeighbors(to, lambda of: of.vectors),
    "kNN, first hidden layer": lambda to: NearestNeighbors(to, lambda of: of.hidden[0]),
    "kNN, last hidden layer": lambda to: NearestNeighbors(to, lambda of: of.hidden[-1]),
    "Mahalanobis": Mahalanobis,
    "relative Mahalanobis": RelativeMahalanobis,
    "ViM": VirtualLogit,
    "energy": lambda _: Energy(),
}
"""By the names of the benchmark's rows; each is made of what it is fitted to."""

__all__ = ["SCORES", "Fitted", "Score", "Seen", "seen"]
