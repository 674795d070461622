"""From vectors to representations and uncertainties, in numbers that do not depend on the batch."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import Tensor

from models.adaptive import AdaptiveDropout, AdaptivePasses, Passes
from models.blocks import filled_blocks
from models.confidence import Confidence
from models.dropout import MonteCarloDropout, Uncertainty
from models.network import Network

if TYPE_CHECKING:
    from models.weights_file import Model


class Inferred(NamedTuple):
    """What a network says about B vectors.

    Its uncertainty, the representations `points` (B, width), and the `inputs` (B, inputs of the head) of its
    head.
    """

    uncertainty: Uncertainty
    points: Tensor
    inputs: Tensor


class Inference:
    """A network and T sampled ones, ready to be applied to vectors.

    Deterministic for a given seed, device and number of threads. The network given stays where it is. Not
    safe to share between threads.
    """

    def __init__(
        self,
        network: Network,
        passes: Passes,
        seed: int,
        device: str = "cpu",
        confidence: Confidence | None = None,
    ) -> None:
        """Draw the dropout masks of `passes` sampled networks from `seed`; `confidence` is the model's."""
        self._network = deepcopy(network).to(device).eval()
        confidence = confidence or Confidence()
        head = self._network.head
        self._dropout: MonteCarloDropout | AdaptiveDropout
        if isinstance(passes, AdaptivePasses):
            self._dropout = AdaptiveDropout(head, passes, seed, confidence, device)
        else:
            temperature = confidence.temperature
            self._dropout = MonteCarloDropout(head, passes, seed, device, temperature=temperature)

    @classmethod
    def of(cls, model: Model, passes: Passes, seed: int, device: str = "cpu") -> Self:
        """Sample the network of a model, at the model's temperature."""
        return cls(model.network, passes, seed, device, model.confidence)

    @torch.inference_mode()
    def __call__(self, vectors: Tensor) -> Inferred:
        """Apply the network to `vectors` (B, inputs) of any floating-point type."""
        points = representations(self._network, vectors)
        inputs = self._network.head_inputs(vectors, points)
        return Inferred(self._dropout(inputs), points, inputs)


@torch.inference_mode()
def representations(network: Network, vectors: Tensor) -> Tensor:
    """Return the last hidden layer's outputs (B, width) before the ReLU, without dropout.

    `vectors` (B, inputs) may be of any floating-point type; the result is float32 on the network's device.
    """
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        blocks = [
            network.points(block.to(network.device, torch.float32))
            for block in filled_blocks(vectors, network.rows)
        ]
    return torch.cat(blocks)[: len(vectors)]
