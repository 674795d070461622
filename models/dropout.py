"""Monte-Carlo dropout: the probability of every prototype, and how much the sampled networks disagree.

References: Gal & Ghahramani, ICML 2016; Leitherer et al., Nat. Commun. 12, 6234 (2021), Methods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.network import Perceptron
from models.sampled_networks import SampledNetworks, block_sizes, check_passes

CPU_BLOCK = 512
"""Passes per product on a CPU: the activations of a block stay in the second-level cache."""
GPU_BLOCK = 1000


@dataclass(frozen=True)
class Uncertainty:
    """What T passes say about B structures; entropies in nats (Leitherer et al. 2021, Methods).

    `probabilities` (B, classes) is the mean of the softmax outputs, `mutual_information` (B,) the entropy
    of the mean less the mean of the entropies, `variation_ratio` (B,) the share of passes that vote for
    another class than most, `passes` (B,) their number.
    """

    probabilities: NDArray[np.float64]
    mutual_information: NDArray[np.float64]
    predictive_entropy: NDArray[np.float64]
    variation_ratio: NDArray[np.float64]
    passes: NDArray[np.int32]


class Sums:
    """Sums over the passes that B structures have had so far."""

    def __init__(self, rows: int, classes: int, device: torch.device) -> None:
        self._probabilities = torch.zeros((rows, classes), dtype=torch.float64, device=device)
        self._entropy = torch.zeros(rows, dtype=torch.float64, device=device)
        self._votes = torch.zeros((rows, classes), dtype=torch.int64, device=device)
        self._passes = torch.zeros(rows, dtype=torch.int64, device=device)

    def add(self, rows: slice | Tensor, log_p: Tensor) -> None:
        """Add a block of passes for some rows, by the logarithms (rows, passes, classes) of probabilities."""
        p = log_p.exp()
        self._votes[rows] += (log_p == log_p.amax(dim=-1, keepdim=True)).sum(dim=1)
        self._probabilities[rows] += p.sum(dim=1)
        self._entropy[rows] -= p.mul_(log_p).sum(dim=(1, 2))
        self._passes[rows] += log_p.shape[1]

    def uncertainty(self) -> Uncertainty:
        """Return what the passes say."""
        mean = self._probabilities / self._passes[:, None]
        predictive = -torch.special.xlogy(mean, mean).sum(dim=1)
        information = (predictive - self._entropy / self._passes).clamp_min(0.0)
        return Uncertainty(
            probabilities=mean.cpu().numpy(),
            mutual_information=information.cpu().numpy(),
            predictive_entropy=predictive.cpu().numpy(),
            variation_ratio=(1.0 - self._votes.amax(dim=1) / self._passes).cpu().numpy(),
            passes=self._passes.to(torch.int32).cpu().numpy(),
        )


class MonteCarloDropout:
    """T sampled networks of one trained network, or of another network's head, ready to be applied."""

    def __init__(
        self,
        network: Perceptron,
        passes: int,
        seed: int,
        device: str = "cpu",
        fold: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        """Draw the masks; the other arguments are those of `SampledNetworks`."""
        check_passes(passes)
        block = CPU_BLOCK if torch.device(device).type == "cpu" else GPU_BLOCK
        sizes = block_sizes(passes, block)
        self._networks = SampledNetworks(network, sizes, seed, device, fold, temperature)

    @torch.inference_mode()
    def __call__(self, vectors: Tensor) -> Uncertainty:
        """Apply all sampled networks to `vectors` (B, inputs), which for a head are what it reads."""
        networks = self._networks
        sums = Sums(len(vectors), networks.classes, networks.device)
        for start in range(0, len(vectors), networks.fold):
            rows = slice(start, start + networks.fold)
            first = networks.first_layer(vectors[rows])
            for block in range(len(networks.sizes)):
                sums.add(rows, networks.log_probabilities(first, block))
        return sums.uncertainty()
