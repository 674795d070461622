"""The second stage of a search: networks ranked on pristine and mildly defective structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.inference import Inference
from models.training.calibration import log_loss
from models.training.defects import BENCHMARK_DEFECTS, VALIDATION_SEED, defective
from models.training.recipe import classes_of
from models.training.replicas import defect_hosts, pristine_structures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.network import Perceptron
    from models.training.grid import GridSettings
    from models.training.recipe import Workplace

MILD = 0.01, 0.05
"""Largest displacement in units of d_NN, and largest share of atoms removed, of what counts as mild."""
RANKING_DEFECTS = tuple(
    kind for kind in BENCHMARK_DEFECTS if kind.displacement <= MILD[0] and kind.vacancies <= MILD[1]
)


@dataclass(frozen=True)
class LabelledVectors:
    """Vectors (N, inputs) and the numbers (N,) of their classes."""

    vectors: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """How many structures of a set a network gets right, and its mean −log p of the right class."""

    structures: int
    correct: int
    log_loss: float

    @property
    def accuracy(self) -> float:
        """Share of the structures that are right."""
        return self.correct / self.structures


@dataclass(frozen=True)
class Ranked:
    """A network's scores by set. Every set counts alike, whatever its size."""

    scores: Mapping[str, Score]

    @property
    def accuracy(self) -> float:
        """Mean over the sets."""
        return float(np.mean([score.accuracy for score in self.scores.values()]))

    @property
    def log_loss(self) -> float:
        """Mean over the sets."""
        return float(np.mean([score.log_loss for score in self.scores.values()]))

    @property
    def key(self) -> tuple[float, float]:
        """Sorts the best first: by accuracy, and where that is equal by the log loss."""
        return -self.accuracy, self.log_loss


def ranking_sets(place: Workplace, center: GridSettings, draws: int = 1) -> dict[str, LabelledVectors]:
    """Pristine structures and `draws` defective variants of every host, by the kind of defect.

    `center` is the one setting at which structures are read.
    """
    structures = {"pristine": pristine_structures()}
    for kind in RANKING_DEFECTS:
        structures[str(kind)] = list(defective(defect_hosts(), kind, draws, VALIDATION_SEED))
    return {
        name: LabelledVectors(
            place.central_vectors(f"ranking-{number}", of_kind, center), classes_of(of_kind)
        )
        for number, (name, of_kind) in enumerate(structures.items())
    }


def score(network: Perceptron, sets: Mapping[str, LabelledVectors], passes: int, seed: int = 0) -> Ranked:
    """Judge a network by the mean of `passes` dropout passes."""
    inference = Inference(network, passes, seed)
    return Ranked({name: _score(inference, labelled) for name, labelled in sets.items()})


def _score(inference: Inference, labelled: LabelledVectors) -> Score:
    probabilities = inference(torch.from_numpy(labelled.vectors)).uncertainty.probabilities
    right = probabilities.argmax(axis=1) == labelled.classes
    return Score(len(right), int(right.sum()), log_loss(probabilities, labelled.classes))
