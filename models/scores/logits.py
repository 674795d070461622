"""Scores of the logits, and of what of a feature the logits do not see."""

from __future__ import annotations

import torch
from torch import Tensor

from models.scores.score import Fitted, Floats, Seen


class Energy:
    """The negative logarithm of the sum of the logits' exponentials.

    Liu, Wang, Owens, Li, NeurIPS 2020 (arXiv:2010.03759), equation 4, at temperature 1.
    """

    def __call__(self, structures: Seen) -> Floats:
        """Score (B,) structures."""
        return -structures.logits.double().logsumexp(dim=1).numpy()


class VirtualLogit:
    """ViM: the part of a feature outside the principal space of the training features, against the logits.

    Wang, Li, Feng, Zhang, CVPR 2022 (arXiv:2203.10807), section 4: the residual is scaled such that on
    the training structures its mean is that of the largest logit; the score is its logarithmic odds.
    """

    def __init__(self, fitted: Fitted) -> None:
        last, training = fitted.network.linear_layers[-1], fitted.training
        weight, bias = last.weight.detach().double(), last.bias.detach().double()
        self._origin = -torch.linalg.pinv(weight) @ bias
        centered = training.hidden[-1].double() - self._origin
        vectors = torch.linalg.eigh(centered.t() @ centered / len(centered)).eigenvectors
        self._rest = vectors[:, : len(self._origin) // 2]  # eigenvalues ascend
        largest = training.logits.double().max(dim=1).values
        self._scale = largest.sum() / self._residual(training).sum()

    def __call__(self, structures: Seen) -> Floats:
        """Score (B,) structures."""
        virtual = self._scale * self._residual(structures)
        return (virtual - structures.logits.double().logsumexp(dim=1)).numpy()

    def _residual(self, structures: Seen) -> Tensor:
        outside = (structures.hidden[-1].double() - self._origin) @ self._rest
        length: Tensor = torch.linalg.vector_norm(outside, dim=1)
        return length
