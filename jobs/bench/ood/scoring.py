"""All scores of all structures by one network, and the p-values that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.bench.ood.answers import NOT_LISTED
from models.inference import Inference
from models.network import Perceptron
from models.ood import OutOfDistribution, conformal_p_values
from models.scores import SCORES, Fitted, seen
from models.scores.uncertainties import ensemble_disagreement

if TYPE_CHECKING:
    from jobs.bench.ood.answers import Judged
    from models.weights_file import Model

Floats = NDArray[np.floating]

DEFAULT, INFORMATION, ENTROPY = "ood_score", "mutual information", "predictive entropy"
ENSEMBLE = "deep-ensemble disagreement"
RECALIBRATED = f"{DEFAULT}, calibrated as the others"
"""Name of its p-values where they are of the same calibration structures as those of other scores."""
PASSES = 1000
"""Of Monte-Carlo dropout, T; the product's default."""


@dataclass(frozen=True)
class Scored:
    """Scores (N,) of the N structures `of` by the scores' names: the larger, the farther.

    `p_values` (N,) are those of the default score, as predictions have them.
    """

    of: Judged
    scores: dict[str, Floats]
    p_values: Floats


def scored(model: Model, structures: Judged, passes: int = PASSES, others: Sequence[Model] = ()) -> Scored:
    """Score structures by every score of a model, by the ensemble with `others`, and by the baselines."""
    network = perceptron_of(model)
    vectors = torch.from_numpy(structures.vectors).float()
    default = OutOfDistribution(network, model.reference)(vectors)
    uncertainty = Inference.of(model, passes, seed=0)(vectors).uncertainty
    looked_at = seen(network, vectors, uncertainty)
    fitted = fitted_to(model)
    scores: dict[str, Floats] = {DEFAULT: default.score}
    scores |= {name: make(fitted)(looked_at) for name, make in SCORES.items()}
    if others:
        logits = [looked_at.logits, *(_logits(other, vectors) for other in others)]
        scores[ENSEMBLE] = ensemble_disagreement(logits)
    return Scored(structures, scores | structures.baselines(model.labels), default.p_value)


def fitted_to(model: Model) -> Fitted:
    """What scores are fitted to: the model's network, and the training structures that it keeps."""
    network = perceptron_of(model)
    reference = model.reference
    return Fitted(network, seen(network, torch.from_numpy(reference.inputs)), reference.classes)


def perceptron_of(model: Model) -> Perceptron:
    """The network of a model that reads vectors directly."""
    if not isinstance(model.network, Perceptron):
        raise TypeError(f"a network of the architecture {model.network.architecture!r} reads no SOAP vectors")
    return model.network


def p_values_of(test: Scored, calibration: Scored) -> dict[str, Floats]:
    """P-values (N,) of every score; those of the default are the model's.

    Those of other scores are conformal: the share of calibration structures that are at least as far; the
    default's are there in this way, too. The label of a structure type says yes or no, and its p-value is 0
    or 1.
    """
    conformal: dict[str, Floats] = {
        name: conformal_p_values(values.astype(np.float32), _ascending(calibration.scores[name]))
        for name, values in test.scores.items()
        if name in calibration.scores
    }
    found = {DEFAULT: test.p_values, RECALIBRATED: conformal.pop(DEFAULT), **conformal}
    if NOT_LISTED in test.scores:
        found[NOT_LISTED] = 1.0 - test.scores[NOT_LISTED]
    return found


def _ascending(values: Floats) -> NDArray[np.float32]:
    return np.sort(values.astype(np.float32))


def _logits(model: Model, vectors: torch.Tensor) -> torch.Tensor:
    return seen(perceptron_of(model), vectors).logits
