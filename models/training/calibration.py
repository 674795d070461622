"""Calibration: how often a network is right when it is sure to a given degree, and one number to mend it.

Temperature scaling divides all logits by one number, the temperature, which is chosen on held-out structures:
it changes how sure a network is. Here the logits are those of every pass of Monte-Carlo dropout, and what is
calibrated is the mean of the passes' probabilities, since that is what a prediction reports (Laves et al.,
arXiv:1909.13550). The method and the measure of its success: Guo, Pleiss, Sun, Weinberger, ICML 2017.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.confidence import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, Confidence
from models.dropout import MonteCarloDropout, Uncertainty
from models.inference import representations
from models.network import Network

if TYPE_CHECKING:
    from models.weights_file import Model

Floats = NDArray[np.floating[Any]]
Classes = NDArray[np.int64]

BINS = 15
PASSES = 200
"""Passes with which the temperature is chosen."""
TOLERANCE = 0.02
"""Relative precision of the temperature."""
SMALLEST = 1e-30
"""What a probability that single precision rounds to zero counts as."""
INFORMATION_QUANTILE = 0.95
"""Share of the structures that are in distribution whose mutual information stays below the threshold."""
LOWEST_THRESHOLD = 1e-3
"""In nats: less than this no one calls uncertain."""


@dataclass(frozen=True)
class Reliability:
    """Predictions sorted into bins of equal width by the probability of the most probable class.

    `counts` (bins,) are the predictions in each bin, `confidence` (bins,) the mean of their probabilities and
    `accuracy` (bins,) the share of them that is right; both are 0 in an empty bin.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and accuracy over all predictions.

        Guo et al. 2017, equation 3.
        """
        distance = np.abs(self.confidence - self.accuracy)
        return float((self.counts * distance).sum() / max(self.counts.sum(), 1))


def reliability(probabilities: Floats, classes: Classes, bins: int = BINS) -> Reliability:
    """Compare `probabilities` (N, classes) with the true `classes` (N,).

    Bins are (0, 1/bins], …, (1 − 1/bins, 1].
    """
    highest = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == classes
    place = np.clip(np.ceil(highest * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.maximum(counts, 1)
    return Reliability(
        counts=counts,
        confidence=np.bincount(place, weights=highest, minlength=bins) / filled,
        accuracy=np.bincount(place, weights=right, minlength=bins) / filled,
    )


def log_losses(probabilities: Floats, classes: Classes) -> Floats:
    """Return the negative logarithm of each true class' probability (N,), in nats."""
    p = probabilities[np.arange(len(classes)), classes]
    return np.asarray(-np.log(np.maximum(p, SMALLEST)))


def log_loss(probabilities: Floats, classes: Classes) -> float:
    """Return the mean of the log losses, in nats."""
    return float(log_losses(probabilities, classes).mean())


def fitted_confidence(
    network: Network, vectors: Floats, classes: Classes, usual: Floats, passes: int = PASSES, seed: int = 0
) -> Confidence:
    """Choose the temperature by `vectors` (N, inputs) of known `classes` (N,), the threshold by `usual` ones.

    All are held-out structures. The former must hold disorder so strong that the network errs now and then:
    where it is always right, the surer the better, and no temperature is low enough. `usual` (M, inputs) are
    what counts as in distribution.
    """
    temperature = calibrated_temperature(network, vectors, classes, passes, seed)
    information = _Sampled(network, usual, passes, seed)(temperature).mutual_information
    threshold = max(float(np.quantile(information, INFORMATION_QUANTILE)), LOWEST_THRESHOLD)
    return Confidence(temperature, threshold)


def calibrated_temperature(
    network: Network, vectors: Floats, classes: Classes, passes: int = PASSES, seed: int = 0
) -> float:
    """Return the temperature nearest to 1 at which the log loss of the mean of the passes is the least.

    `vectors` (N, inputs) are held-out structures of known `classes` (N,). Guo et al. 2017, section 4.2. A few
    errors decide where the loss of a good network is least, so that what exceeds it by up to one standard
    error of the mean difference counts as no more (the rule of Breiman, Friedman, Olshen, Stone,
    *Classification and Regression Trees* 1984, section 3.4.3). A network that never errs is the better the
    surer it is, at all temperatures: there it is 1.
    """
    from scipy.optimize import minimize_scalar

    sampled = _Sampled(network, vectors, passes, seed)

    def losses(logarithm: float) -> Floats:
        return log_losses(sampled(float(np.exp(logarithm))).probabilities, classes)

    edges = (float(np.log(LOWEST_TEMPERATURE)), float(np.log(HIGHEST_TEMPERATURE)))
    best = minimize_scalar(
        lambda x: float(losses(x).mean()), bounds=edges, method="bounded", options={"xatol": TOLERANCE}
    ).x
    if best - edges[0] < 2 * TOLERANCE:
        return 1.0
    least = losses(best)

    def is_no_more(logarithm: float) -> bool:
        above = losses(logarithm) - least
        return bool(above.mean() <= above.std() / np.sqrt(len(above)))

    if is_no_more(0.0):
        return 1.0
    too_far = 0.0
    while abs(best - too_far) > TOLERANCE:
        between = (best + too_far) / 2
        best, too_far = (between, too_far) if is_no_more(between) else (best, between)
    return float(np.exp(best))


def calibration_figures(
    model: Model, sets: Iterable[tuple[str, Floats, Classes]], passes: int = PASSES, seed: int = 0
) -> dict[str, Any]:
    """Judge a model's confidence on named sets of test vectors (N, inputs) with their classes (N,).

    Returns JSON values for the model card: the confidence, and for all sets together and for each the number
    of structures, error and log loss, before and after temperature scaling.
    """
    probabilities: dict[str, list[Floats]] = {"before": [], "after": []}
    names: list[str] = []
    classes: list[Classes] = []
    for name, vectors, of_set in sets:
        sampled = _Sampled(model.network, vectors, passes, seed)
        at = {t: sampled(t).probabilities for t in {1.0, model.confidence.temperature}}
        probabilities["before"].append(at[1.0])
        probabilities["after"].append(at[model.confidence.temperature])
        names.append(name)
        classes.append(of_set)
    together = {when: [np.concatenate(of_sets)] for when, of_sets in probabilities.items()}
    return {
        **asdict(model.confidence),
        "bins": BINS,
        "passes": passes,
        "all": _figures(together, [np.concatenate(classes)])[0],
        "sets": dict(zip(names, _figures(probabilities, classes), strict=True)),
    }


def _figures(probabilities: dict[str, list[Floats]], classes: list[Classes]) -> list[dict[str, Any]]:
    return [
        {
            "structures": len(of_set),
            **{
                when: {
                    "calibration_error": reliability(p[place], of_set).error,
                    "log_loss": log_loss(p[place], of_set),
                }
                for when, p in probabilities.items()
            },
        }
        for place, of_set in enumerate(classes)
    ]


class _Sampled:
    """Monte-Carlo dropout over some vectors, at any temperature; what is before the head is computed once."""

    def __init__(self, network: Network, vectors: Floats, passes: int, seed: int) -> None:
        x = torch.from_numpy(vectors)
        self._head = network.head
        self._inputs = network.head_inputs(x, representations(network, x))
        self._passes, self._seed = passes, seed

    def __call__(self, temperature: float) -> Uncertainty:
        dropout = MonteCarloDropout(self._head, self._passes, self._seed, temperature=temperature)
        return dropout(self._inputs)
