"""Scores that are distances from training structures, or from Gaussians around classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.scores.score import Fitted, Floats, Seen

BLOCK = 1024
"""Rows per matrix product."""
SHRINKAGE = 1e-3
"""Of the mean variance, added to the variances of all directions, so that no direction has none."""


class NearestNeighbors:
    """Distance to the k-th nearest training structure, between directions in one space.

    Sun, Ming, Zhu, Li, ICML 2022 (arXiv:2204.06507), equation 2: features are brought to length one.
    """

    def __init__(self, fitted: Fitted, space: Callable[[Seen], Tensor], neighbors: int = 1) -> None:
        """Measure in the `space` (B, width) of what is seen of structures."""
        self._space = space
        self._training = directions_of(space(fitted.training))
        self._neighbors = neighbors

    def __call__(self, structures: Seen) -> Floats:
        """Score (B,) structures."""
        products = (
            (block @ self._training.t()).topk(self._neighbors, dim=1).values[:, -1]
            for block in directions_of(self._space(structures)).split(BLOCK)
        )
        return (2.0 - 2.0 * torch.cat(list(products))).clamp_min(0.0).sqrt().double().cpu().numpy()


def directions_of(features: Tensor) -> Tensor:
    """Features (B, width) of length one."""
    return torch.nn.functional.normalize(features, dim=1)


class Mahalanobis:
    """Squared Mahalanobis distance to the nearest class mean in the last hidden layer.

    One covariance serves all classes.

    Lee, Lee, Lee, Shin, NeurIPS 2018 (arXiv:1807.03888), equation 2.
    """

    def __init__(self, fitted: Fitted) -> None:
        features = fitted.training.hidden[-1].double()
        present, numbers = np.unique(fitted.classes, return_inverse=True)
        place = torch.from_numpy(numbers)
        self._means = torch.stack([features[place == c].mean(dim=0) for c in range(len(present))])
        self._whitening = _whitening(features - self._means[place])

    def __call__(self, structures: Seen) -> Floats:
        """Score (B,) structures."""
        whitened = structures.hidden[-1].double() @ self._whitening
        return torch.cdist(whitened, self._means @ self._whitening).square().min(dim=1).values.numpy()


class RelativeMahalanobis:
    """Mahalanobis distance to the nearest class less that to one Gaussian of all training structures.

    Ren, Fort, Liu, Roy, Padhy, Lakshminarayanan 2021 (arXiv:2106.09022), equation 2.
    """

    def __init__(self, fitted: Fitted) -> None:
        self._of_classes = Mahalanobis(fitted)
        self._of_all = Mahalanobis(fitted._replace(classes=np.zeros_like(fitted.classes)))

    def __call__(self, structures: Seen) -> Floats:
        """Score (B,) structures."""
        return self._of_classes(structures) - self._of_all(structures)


def _whitening(centered: Tensor) -> Tensor:
    """The matrix (width, width) that gives centered features (N, width) unit covariance."""
    covariance = centered.t() @ centered / len(centered)
    covariance += (
        SHRINKAGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=covariance.dtype)
    )
    values, vectors = torch.linalg.eigh(covariance)
    whitening: Tensor = vectors / values.sqrt()
    return whitening
