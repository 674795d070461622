"""Out-of-distribution scores: how far a structure is from what the network was trained on.

The score is a distance between directions: the last hidden layer's activations, without dropout, are
brought to length one, and the distance to the nearest training vector, treated likewise, is taken in units
of the distance that 95 % of held-out in-distribution structures stay below. Mutual information alone does
not find unknown structures that all sampled networks agree on; the model card compares the two and other
distances.

The unit is one for all classes, so that the score ranks by distance alone; units by class rank unknown
structures among strongly defective ones worse. The p-value is taken within the class of the nearest training
vector, because the same disorder moves some classes several times as far as others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.blocks import filled_blocks

ROWS = 32
"""Rows per matrix product: one fixed shape makes a structure's numbers independent of its batch."""
UNIT_QUANTILE = 0.95


@dataclass(frozen=True, eq=False)
class Reference:
    """What a new structure's distance to the training data is measured by.

    `directions` (R, width) belong to training vectors of `classes` (R,); `calibration` (n,) are the distances
    of held-out structures that are in distribution, `calibration_classes` (n,) the classes of the training
    vectors nearest to them.
    """

    directions: NDArray[np.float32]
    classes: NDArray[np.int64]
    calibration: NDArray[np.float32]
    calibration_classes: NDArray[np.int64]


@dataclass(frozen=True)
class OodScores:
    """Scores of B structures.

    `score` (B,) is 1 at the distance that 95 % of all calibration structures stay below; `nearest` (B,) is
    the class of the nearest training vector; `p_value` (B,) is conformal within that class, the share of its
    calibration structures, the new one included, that are at least as far.
    """

    score: NDArray[np.float32]
    p_value: NDArray[np.float32]
    nearest: NDArray[np.int64]


class OutOfDistribution:
    """Distances to the training data, calibrated on in-distribution structures."""

    def __init__(self, reference: Reference, device: str = "cpu") -> None:
        self._reference = reference
        self._directions = torch.from_numpy(reference.directions).to(device)
        self._unit = float(np.quantile(reference.calibration, UNIT_QUANTILE))
        self._within_class = ClassConditional(reference.calibration, reference.calibration_classes)

    def __call__(self, points: Tensor) -> OodScores:
        """Score representations (B, width)."""
        distance, rows = nearest_direction(directions(points), self._directions)
        nearest = self._reference.classes[rows]
        return OodScores(
            score=(distance / self._unit).astype(np.float32),
            p_value=self._within_class.p_values(distance, nearest),
            nearest=nearest,
        )


def directions(points: Tensor) -> Tensor:
    """Turn representations (B, width) into activations of length one."""
    return torch.nn.functional.normalize(torch.relu(points), dim=1)


@torch.inference_mode()
def nearest_direction(points: Tensor, reference: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the distance (B,) of unit vectors to the nearest row of `reference`, and which row (B,) that is.

    The row comes from a matrix product, its distance from the difference itself, which stays exact near zero.
    """
    products = [block @ reference.t() for block in filled_blocks(points, ROWS)]
    rows = torch.cat([product.argmax(dim=1) for product in products])[: len(points)]
    distance = torch.linalg.vector_norm(points - reference[rows], dim=1)
    return distance.cpu().numpy(), rows.cpu().numpy()


def conformal_p_values(
    distances: NDArray[np.float32], calibration: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (1 + #{calibration ≥ distance}) / (n + 1) of every distance; `calibration` (n,) is ascending.

    For structures exchangeable with those of the calibration, P(p ≤ α) ≤ α (Bates et al., Ann. Statist. 51,
    149 (2023)).
    """
    at_least = len(calibration) - np.searchsorted(calibration, distances, side="left")
    return ((1 + at_least) / (len(calibration) + 1)).astype(np.float32)


class ClassConditional:
    """Conformal p-values within classes (Mondrian conformal prediction).

    Among structures of one class that are exchangeable with its calibration structures, P(p ≤ α) ≤ α (Vovk,
    Gammerman, Shafer, Algorithmic Learning in a Random World, Springer 2005, section 4.5). A class without
    calibration structures gives 1.
    """

    def __init__(self, distances: NDArray[np.float32], classes: NDArray[np.int64]) -> None:
        self._ascending = {int(c): np.sort(distances[classes == c]) for c in np.unique(classes)}

    def p_values(self, distances: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the p-values (B,) of structures at `distances` (B,), each among those of its class (B,)."""
        p = np.ones(len(distances), dtype=np.float32)
        for c in np.unique(classes):
            if (calibration := self._ascending.get(int(c))) is not None:
                p[classes == c] = conformal_p_values(distances[classes == c], calibration)
        return p
