"""The ARISE network: a multilayer perceptron with dropout, from SOAP vectors to prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from engine.errors import CrysiftError

NEAR_CONSTANT = 1e-6
"""An input component that varies less than this over the training vectors is only centred, not scaled."""


@dataclass(frozen=True)
class AriseShape:
    """Widths and dropout ratio of the network (Leitherer et al., Nat. Commun. 12, 6234 (2021), Table 1)."""

    inputs: int = 316
    hidden: tuple[int, ...] = (256, 512, 256)
    classes: int = 108
    dropout: float = 0.0317

    def __post_init__(self) -> None:
        if min(self.inputs, self.classes, *self.hidden) < 1:
            raise CrysiftError(f"every layer of a network needs at least one unit, asked were {self.widths}")
        if not 0.0 < self.dropout < 1.0:
            raise CrysiftError(f"the dropout ratio {self.dropout:g} is outside (0, 1)")

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of all layers from the input to the classes."""
        return (self.inputs, *self.hidden, self.classes)


class Arise(nn.Module):
    """Fully connected network with dropout on the standardised input and after every hidden layer.

    Vectors (B, inputs) go in, logits (B, classes) come out. The mean and the standard deviation of the
    training vectors are part of the model: inputs are standardised before anything else happens.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: AriseShape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.widths
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.register_buffer("mean", torch.zeros(shape.inputs))
        self.register_buffer("std", torch.ones(shape.inputs))

    @property
    def linear_layers(self) -> Sequence[nn.Linear]:
        """The layers from the input to the logits."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def fit_standardisation(self, vectors: Tensor) -> None:
        """Take mean and standard deviation from training vectors (B, inputs)."""
        std, mean = torch.std_mean(vectors.double(), dim=0, correction=0)
        std[std < NEAR_CONSTANT] = 1.0
        self.mean.copy_(mean)
        self.std.copy_(std)

    def standardise(self, vectors: Tensor) -> Tensor:
        """Vectors (B, inputs) with the training set's mean and spread taken out."""
        return (vectors - self.mean) / self.std

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits (B, classes); in training mode with dropout."""
        return self.hidden_and_logits(vectors)[-1]

    def hidden_and_logits(self, vectors: Tensor) -> list[Tensor]:
        """Outputs of every layer before its ReLU, the last being the logits.

        In evaluation mode the hidden ones are the internal representations of the paper.
        """
        outputs: list[Tensor] = []
        activation = self.standardise(vectors)
        for layer in self.layers:
            dropped = nn.functional.dropout(activation, self.shape.dropout, self.training)
            outputs.append(layer(dropped))
            activation = torch.relu(outputs[-1])
        return outputs
