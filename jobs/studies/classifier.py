"""A model applied to fingerprints, with how much the networks that its dropout samples disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.weights_file import Model

Floats = NDArray[np.float64]


class Verdicts(NamedTuple):
    """What T sampled networks say about B fingerprints."""

    probabilities: Floats
    """(B, classes), mean over the sampled networks."""
    deviations: Floats
    """(B, classes), standard deviation over the sampled networks."""
    mutual_information: Floats
    """(B,), nats."""
    ood_score: Floats
    """(B,), see `models.ood`."""


class Classifier:
    """Monte-Carlo dropout as `crysift predict` does it, and the spread of the probabilities besides."""

    def __init__(self, model: Model, passes: int, seed: int = 0) -> None:
        """Draw the dropout masks of `passes` sampled networks from `seed`."""
        from models.inference import Inference
        from models.ood import OutOfDistribution
        from models.sampled_networks import mask_blocks

        self.labels = model.labels
        self._ood = OutOfDistribution(model.network.head, model.reference)
        self._inference = Inference.of(model, passes, seed)
        head = model.network.head
        (layer,) = head.linear_layers
        blocks = mask_blocks(head.shape, passes, seed, passes)
        self._kept = np.concatenate([~block.dropped[0] for block in blocks]) / (1.0 - head.shape.dropout)
        temperature = model.confidence.temperature
        self._weight = layer.weight.detach().double().numpy().T / temperature
        self._bias = layer.bias.detach().double().numpy() / temperature

    def __call__(self, fingerprints: NDArray[Any]) -> Verdicts:
        """Apply all sampled networks to fingerprints (B, inputs)."""
        import torch

        said, points, inputs = self._inference(torch.from_numpy(fingerprints))
        deviations = np.array([self._deviations(row) for row in points.relu().double().numpy()])
        score = self._ood(inputs).score.astype(np.float64)
        return Verdicts(said.probabilities, deviations, said.mutual_information, score)

    def _deviations(self, activations: Floats) -> Floats:
        """Standard deviations (classes,) for the activations (units,) that the head reads."""
        from scipy.special import softmax

        logits = (self._kept * activations) @ self._weight + self._bias
        deviations: Floats = softmax(logits, axis=1).std(axis=0)
        return deviations
