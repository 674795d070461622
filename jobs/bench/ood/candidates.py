"""Scores that the default could be: subsets of the joint space's parts, and it with what passes say."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from jobs.bench.ood.scoring import DEFAULT, ENTROPY, INFORMATION, perceptron_of
from models.ood import JointSpace, conformal_p_values, nearest_direction

if TYPE_CHECKING:
    from jobs.bench.ood.scoring import Scored
    from models.weights_file import Model

Floats = NDArray[np.floating]

SPACES = ("descriptor", "first layer", "last layer")
"""Of `Perceptron.spaces`."""
FUSED_WITH = (INFORMATION, ENTROPY)


def candidates(model: Model, test: Scored, calibration: Scored) -> dict[str, Floats]:
    """Every candidate's values (N,) for the test structures, by the candidates' names.

    Distances in joint spaces of one to three parts; and the default distance together with a score of the
    passes, by the product and by the smaller one of their p-values among the calibration structures (Fisher,
    Statistical Methods for Research Workers, 1932; Tippett, The Methods of Statistics, 1931).
    """
    found: dict[str, Floats] = {}
    for number in range(1, len(SPACES) + 1):
        for parts in itertools.combinations(range(len(SPACES)), number):
            name = " + ".join(SPACES[part] for part in parts)
            found[name] = _distances(model, test.of.vectors, parts)
    p = {name: _log_p_values(name, test, calibration) for name in (DEFAULT, *FUSED_WITH)}
    for name in FUSED_WITH:
        found[f"{DEFAULT} × {name}"] = p[DEFAULT] + p[name]
        found[f"{DEFAULT} or {name}"] = np.maximum(p[DEFAULT], p[name])
    return found


ALL_SPACES = " + ".join(SPACES)
"""The candidate that is the shipped default."""


def _distances(model: Model, vectors: NDArray[np.floating], parts: tuple[int, ...]) -> Floats:
    units = np.full(len(SPACES), np.inf, np.float32)  # a part in units without end counts for nothing
    units[list(parts)] = model.reference.units[list(parts)]
    space = JointSpace(perceptron_of(model), units)
    test, training = (space(torch.from_numpy(each).float()) for each in (vectors, model.reference.inputs))
    return nearest_direction(test, training)[0]


def _log_p_values(name: str, test: Scored, calibration: Scored) -> Floats:
    """−log p (N,) among the calibration structures."""
    among = np.sort(calibration.scores[name].astype(np.float32))
    return -np.log(conformal_p_values(test.scores[name].astype(np.float32), among))
