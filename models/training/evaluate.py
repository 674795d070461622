"""What a trained network is worth: accuracies, and how well unknown structures stand out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.inference import Inference
from models.ood import OutOfDistribution
from models.training.defects import Defect
from models.training.distortions import Distortion
from models.training.train import plain_logits
from models.weights_file import Model

Floats = NDArray[np.floating[Any]]
Classes = NDArray[np.int64]

CALIBRATION_DEFECTS = (
    *(Defect(displacement=share) for share in (0.01, 0.02, 0.04)),
    *(Defect(vacancies=share) for share in (0.01, 0.05, 0.10)),
    Defect(displacement=0.02, vacancies=0.05),
)
"""What counts as in distribution: the thermal disorder and the vacancies of a usual crystal."""
USUAL_DISTORTION = Distortion(strain=0.06, displacement=0.06)
"""Likewise, how far lattice parameters and free coordinates of crystals of one type usually differ."""
MILD_DEFECTS = (Defect(0.01), Defect(0.04), Defect(vacancies=0.05))
STRONG_DEFECTS = (Defect(0.10), Defect(vacancies=0.20), Defect(0.04, 0.20))
RECALL = 0.95


@dataclass(frozen=True)
class Detection:
    """How well a score tells unknown structures from known ones.

    `auroc` is the probability that an unknown structure scores higher than a known one, `false_alarms` the
    share of known structures above the threshold that finds 95 % of the unknown ones.
    """

    auroc: float
    false_alarms: float


def accuracy(model: Model, vectors: Floats, classes: Classes, passes: int, seed: int = 0) -> float:
    """Share of `vectors` (N, inputs) whose most probable class by the mean of `passes` passes is right."""
    result = Inference.of(model, passes, seed)(torch.from_numpy(vectors)).uncertainty
    return float((result.probabilities.argmax(axis=1) == classes).mean())


def plain_accuracy(model: Model, vectors: Floats, classes: Classes) -> float:
    """Share of `vectors` (N, inputs) that the network without dropout puts into the right class."""
    logits = plain_logits(model.network, torch.from_numpy(vectors))
    return float((logits.argmax(dim=1).numpy() == classes).mean())


def detection_table(
    model: Model, known: Mapping[str, Floats], unknown: Floats, passes: int
) -> dict[str, dict[str, Detection]]:
    """Compare the scores that a prediction carries, by name of the score and of the known set."""
    of_unknown = _scores(model, unknown, passes)
    of_known = {name: _scores(model, vectors, passes) for name, vectors in known.items()}
    return {
        score: {name: detection(scores[score], of_unknown[score]) for name, scores in of_known.items()}
        for score in of_unknown
    }


def detection(known: NDArray[np.floating], unknown: NDArray[np.floating]) -> Detection:
    """Judge a score by its values on known (N,) and unknown (M,) structures; ties count half."""
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, side="left") + np.searchsorted(ordered, unknown, side="right")
    threshold = np.quantile(unknown, 1.0 - RECALL)
    return Detection(float(below.mean() / (2 * len(known))), float((known >= threshold).mean()))


def _scores(model: Model, vectors: Floats, passes: int) -> dict[str, NDArray[np.floating]]:
    uncertainty, _, inputs = Inference.of(model, passes, seed=0)(torch.from_numpy(vectors))
    return {
        "ood_score": OutOfDistribution(model.network.head, model.reference)(inputs).score,
        "mutual_information": uncertainty.mutual_information,
        "predictive_entropy": uncertainty.predictive_entropy,
        "variation_ratio": uncertainty.variation_ratio,
    }
