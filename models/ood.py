"""Out-of-distribution scores: how far a structure is from what the network was trained on.

The distance is that to the nearest training structure in a joint space: the directions of what enters the
network's head, of its first hidden layer's activations and of its last one's, without dropout, each in units
of the distance that 95 % of held-out in-distribution structures stay below in that space by itself. The
descriptor sees all that changes, what disorder does and what makes another crystal alike; the layers weigh
what tells classes apart and forget the rest. Together they find what either overlooks; `docs/ood.md` compares
them with each other, with mutual information and with other scores.

The nearest training structure as a score: Sun, Ming, Zhu, Li, ICML 2022 (arXiv:2204.06507); several layers at
once: Lee, Lee, Lee, Shin, NeurIPS 2018 (arXiv:1807.03888), section 2.2.

The unit of the score is one for all classes, so that it ranks by distance alone; units by class rank unknown
structures among strongly defective ones worse. The p-value is made of distances in units of the class of the
nearest training structure, because the same disorder moves some classes several times as far as others.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.blocks import filled_blocks
from models.network import Perceptron

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]

ROWS = 32
"""Rows per matrix product: one fixed shape makes a structure's numbers independent of its batch."""
UNIT_QUANTILE = 0.95
SMALLEST_UNIT = 1e-6
"""Of a space in which calibration structures coincide with training structures."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What a new structure's distance to the training data is measured by.

    `inputs` (R, width) are what the network's head reads of the training structures `ids` (R,) of `classes`
    (R,). `units` (spaces,) are the distances that count as one in each space, `calibration` (n,) the joint
    distances of held-out structures that are in distribution, and `calibration_classes` (n,) the classes of
    the training structures nearest to them.
    """

    inputs: Floats
    classes: Classes
    ids: tuple[str, ...]
    units: Floats
    calibration: Floats
    calibration_classes: Classes


@dataclass(frozen=True)
class OodScores:
    """Scores of B structures.

    `score` (B,) is 1 at the distance that 95 % of all calibration structures stay below; `row` (B,) is the
    row of the nearest training structure, `nearest` (B,) its class; `p_value` (B,) is conformal, the share of
    all calibration structures, the new one included, that are at least as far in units of their classes.
    """

    score: Floats
    p_value: Floats
    nearest: Classes
    row: NDArray[np.int64]


@dataclass(frozen=True)
class NearestClasses:
    """The nearest training structures of k different classes, the nearest first.

    `score` (k,) are their distances in units of `OodScores.score`, `classes` (k,) their classes and `row`
    (k,) their rows.
    """

    score: Floats
    classes: Classes
    row: NDArray[np.int64]


class OutOfDistribution:
    """Distances to the training data, calibrated on in-distribution structures."""

    def __init__(self, head: Perceptron, reference: Reference, device: str = "cpu") -> None:
        self._reference = reference
        self._space = JointSpace(head, reference.units, device)
        self._training = self._space(torch.from_numpy(reference.inputs))
        self._unit = unit_distance(reference)
        self._units = ClassUnits(reference.calibration, reference.calibration_classes)
        self._ascending = np.sort(self._units(reference.calibration, reference.calibration_classes))

    def __call__(self, inputs: Tensor) -> OodScores:
        """Score what the head reads of B structures, `inputs` (B, width)."""
        distance, row = nearest_direction(self._space(inputs), self._training)
        nearest = self._reference.classes[row]
        return OodScores(
            score=(distance / self._unit).astype(np.float32),
            p_value=conformal_p_values(self._units(distance, nearest), self._ascending),
            nearest=nearest,
            row=row,
        )

    def nearest_classes(self, inputs: Tensor, count: int) -> NearestClasses:
        """Find the nearest training structure of each of the `count` classes nearest to one structure.

        `inputs` (width,) are what the head reads of it. The first is the nearest one of `OodScores`.
        """
        point = self._space(inputs[None])
        [block] = filled_blocks(point, ROWS)
        order = (block @ self._training.t())[0].sort(descending=True, stable=True).indices.cpu().numpy()
        _, first = np.unique(self._reference.classes[order], return_index=True)
        row = order[np.sort(first)[:count]]
        distance = torch.linalg.vector_norm(point - self._training[row], dim=1).cpu().numpy()
        return NearestClasses(
            score=(distance / self._unit).astype(np.float32), classes=self._reference.classes[row], row=row
        )


def unit_distance(reference: Reference) -> float:
    """The distance in the joint space at which the score is one."""
    return _unit(reference.calibration)


class JointSpace:
    """The directions of several spaces side by side, which is a direction again."""

    def __init__(self, head: Perceptron, units: Sequence[float] | Floats, device: str = "cpu") -> None:
        self._head = deepcopy(head).to(device).eval()
        scales = 1.0 / torch.tensor(np.asarray(units, np.float32), device=device)
        self._scales = scales / torch.linalg.vector_norm(scales)

    @torch.inference_mode()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Directions (B, width of all spaces) of what the head reads of B structures."""
        parts = directions(self._head, inputs.to(self._scales.device))
        return torch.cat([scale * part for scale, part in zip(self._scales, parts, strict=True)], dim=1)


@torch.inference_mode()
def directions(head: Perceptron, inputs: Tensor) -> list[Tensor]:
    """Bring what a network's head reads, and its activations, of B structures to length one: (B, width)."""
    blocks = [head.spaces(block.float()) for block in filled_blocks(inputs, ROWS)]
    return [
        torch.nn.functional.normalize(torch.cat(parts)[: len(inputs)], dim=1)
        for parts in zip(*blocks, strict=True)
    ]


def calibrated(head: Perceptron, reference: Reference, usual: Tensor) -> Reference:
    """Return the reference with units and distances of held-out `usual` structures (n, width of the head)."""
    training = torch.from_numpy(reference.inputs)
    pairs = zip(directions(head, usual), directions(head, training), strict=True)
    units = np.array([_unit(nearest_direction(*pair)[0]) for pair in pairs], np.float32)
    space = JointSpace(head, units)
    distances, rows = nearest_direction(space(usual), space(training))
    return Reference(
        reference.inputs, reference.classes, reference.ids, units, distances, reference.classes[rows]
    )


@torch.inference_mode()
def nearest_direction(points: Tensor, reference: Tensor) -> tuple[Floats, NDArray[np.int64]]:
    """Return the distance (B,) of directions to the nearest row of `reference`, and which row (B,) that is.

    All rows of `reference` are of one length. The row comes from a matrix product, its distance from the
    difference itself, which stays exact near zero.
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


class ClassUnits:
    """Distances in units of a class: of what 95 % of its calibration structures stay below.

    P-values of such distances promise a share of false alarms over all classes, as those of the distances
    themselves do, and give each class nearly its own share. P-values within each class would promise that of
    every class, but are no smaller than one over the number of its calibration structures: too large to
    select anything of a database in which few structures are unknown.
    """

    def __init__(self, distances: Floats, classes: Classes) -> None:
        """Take the units from calibration structures (n,); other classes have the unit of all of them."""
        self._units = {int(c): _unit(distances[classes == c]) for c in np.unique(classes)}
        self._unit_of_all = _unit(distances)

    def __call__(self, distances: Floats, classes: Classes) -> Floats:
        """Return distances (B,) in units of their classes (B,)."""
        units = [self._units.get(int(c), self._unit_of_all) for c in classes]
        return np.divide(distances, np.array(units, np.float32), dtype=np.float32)


def _unit(distances: Floats) -> float:
    """The distance that counts as one: no less than what rounding gives coinciding structures."""
    return max(float(np.quantile(distances, UNIT_QUANTILE)), SMALLEST_UNIT)
