"""What a score reads, what it is fitted to, and what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from models.dropout import Uncertainty
    from models.network import Perceptron

Floats = NDArray[np.float64]

ROWS = 4096
"""Vectors at a time."""


class Seen(NamedTuple):
    """What a perceptron makes of B vectors, without dropout and with it.

    `vectors` (B, inputs) are what it reads, `hidden` the activations (B, width) of every hidden layer after
    its ReLU, `logits` (B, classes) are without dropout, `uncertainty` is that of Monte-Carlo dropout where a
    score asks for it.
    """

    vectors: Tensor
    hidden: tuple[Tensor, ...]
    logits: Tensor
    uncertainty: Uncertainty | None = None


class Fitted(NamedTuple):
    """What scores are fitted to: a network, and its training structures with their classes (R,)."""

    network: Perceptron
    training: Seen
    classes: NDArray[np.int64]


class Score(Protocol):
    """A number for each of B structures."""

    def __call__(self, structures: Seen) -> Floats:
        """Score (B,) structures."""


@torch.inference_mode()
def seen(network: Perceptron, vectors: Tensor, uncertainty: Uncertainty | None = None) -> Seen:
    """Run `vectors` (B, inputs) through a network in evaluation mode."""
    layers = zip(*(network.hidden_and_logits(block) for block in vectors.split(ROWS)), strict=True)
    *hidden, logits = (torch.cat(blocks) for blocks in layers)
    return Seen(vectors, tuple(torch.relu(layer) for layer in hidden), logits, uncertainty)
