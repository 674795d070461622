"""Scores of what stochastic passes say (Gal and Ghahramani, ICML 2016), and several networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.dropout import Uncertainty
from models.scores.score import Floats, Seen


class MutualInformation:
    """Mutual information of class and sampled network, nats (Leitherer et al. 2021, Methods)."""

    def __call__(self, structures: Seen) -> Floats:
        """Score (B,) structures."""
        return _sampled(structures).mutual_information


class PredictiveEntropy:
    """Entropy of the mean of the sampled networks' probabilities, nats (ibid.)."""

    def __call__(self, structures: Seen) -> Floats:
        """Score (B,) structures."""
        return _sampled(structures).predictive_entropy


def ensemble_disagreement(logits: Sequence[Tensor]) -> Floats:
    """Mutual information (B,), nats, of class and member of a deep ensemble, by logits (B, classes) of each.

    Lakshminarayanan, Pritzel, Blundell, NeurIPS 2017 (arXiv:1612.01474), section 2.4, with the entropy of the
    mean less the mean of the entropies as the disagreement.
    """
    p = torch.stack([each.double().softmax(dim=1) for each in logits])
    total, of_members = _entropy(p.mean(dim=0)), _entropy(p).mean(dim=0)
    return (total - of_members).clamp_min(0.0).numpy()


def _entropy(p: Tensor) -> Tensor:
    summed: Tensor = -torch.special.xlogy(p, p).sum(dim=-1)
    return summed


def _sampled(structures: Seen) -> Uncertainty:
    if structures.uncertainty is None:
        raise ValueError("this score reads the uncertainty of Monte-Carlo dropout, which was not asked for")
    return structures.uncertainty
