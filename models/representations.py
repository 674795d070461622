"""Representations of vectors in any layer of a network: what the unsupervised analysis looks at.

Reference: Leitherer et al., Nat. Commun. 12, 6234 (2021), Methods ("Unsupervised analysis").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import CrysiftError
from models.blocks import filled_blocks
from models.network import Network, Perceptron
from models.weights_file import load_model_of

if TYPE_CHECKING:
    from engine.store import Table

DESCRIPTOR = "descriptor"
"""Name of the layer before the first: the descriptor itself."""


class Layer:
    """One layer of a network as a function of vectors.

    `name` is "descriptor" for the vectors themselves, or the number of a hidden layer from 1 on, whose
    outputs before the ReLU, without dropout, are the representation.
    """

    def __init__(self, network: Network, name: str) -> None:
        """Choose a layer; raises CrysiftError, naming those there are, for any other name."""
        if not isinstance(network, Perceptron):
            raise CrysiftError(
                f"the network {network.architecture!r} has no layers to choose from: name weights of the "
                f"architecture {Perceptron.architecture!r}"
            )
        self._network = network
        widths = network.shape.widths
        layers = {DESCRIPTOR: 0, **{str(k): k for k in range(1, len(widths) - 1)}}
        if name not in layers:
            raise CrysiftError(f"there is no layer {name!r}: choose from {', '.join(layers)}")
        self._number = layers[name]
        self.width = widths[self._number]
        """Components of a representation."""

    @classmethod
    def of(cls, predictions: Table, name: str, weights: str) -> Layer:
        """Load a layer of the network that a table of predictions was made with; ``weights`` name it.

        Raises CrysiftError where they are not those of the predictions.
        """
        return cls(load_model_of(predictions, weights).network, name)

    @torch.inference_mode()
    def __call__(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the representations (B, width) of vectors (B, inputs), each independent of the others."""
        if self._number == 0:
            return vectors.astype(np.float32)
        network = self._network
        rows = torch.from_numpy(np.ascontiguousarray(vectors, np.float32)).to(network.device)
        blocks = [
            network.hidden_and_logits(block)[self._number - 1] for block in filled_blocks(rows, network.rows)
        ]
        return np.asarray(torch.cat(blocks)[: len(vectors)].cpu().numpy())
