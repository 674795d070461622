"""What every network has in common, and the ARISE network: from SOAP vectors to prototypes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import Field, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from engine.errors import CrysiftError

NEAR_CONSTANT = 1e-6
"""An input component that varies less than this over the training vectors is only centred, not scaled."""


class Shape(Protocol):
    """A frozen dataclass of JSON values that determines the layers of a network."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def inputs(self) -> int:
        """Components of a vector."""

    @property
    def representation(self) -> int:
        """Units of the last hidden layer."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def dropout(self) -> float:
        """Share of units that a pass drops."""


class Network(nn.Module, ABC):
    """A classifier that ends in a perceptron with dropout, its `head`, on which Monte-Carlo dropout acts.

    Vectors (B, inputs) go in, logits (B, classes) come out. Everything before the head is deterministic.
    """

    architecture: ClassVar[str]
    """Name in weights files."""
    rows: ClassVar[int]
    """Vectors per block of inference: one fixed size makes a vector's numbers independent of its batch."""
    shape: Shape

    @property
    @abstractmethod
    def head(self) -> Perceptron:
        """The layers that dropout acts on."""

    @abstractmethod
    def points(self, vectors: Tensor) -> Tensor:
        """The last hidden layer's outputs (B, representation) before its ReLU, without dropout."""

    @abstractmethod
    def head_inputs(self, vectors: Tensor, points: Tensor) -> Tensor:
        """What the head reads, given `vectors` (B, inputs) and their `points`."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device


@dataclass(frozen=True)
class PerceptronShape:
    """Widths and dropout ratio of a perceptron.

    By default those of ARISE (Leitherer et al., Nat. Commun. 12, 6234 (2021), Table 1); without hidden layers
    it is one linear layer.
    """

    inputs: int = 316
    hidden: tuple[int, ...] = (256, 512, 256)
    classes: int = 108
    dropout: float = 0.0317

    def __post_init__(self) -> None:
        check_layers(self.widths)
        check_dropout(self.dropout)

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of all layers from the input to the classes."""
        return (self.inputs, *self.hidden, self.classes)

    @property
    def representation(self) -> int:
        """Units of the last hidden layer; of the input, where there is none."""
        return self.widths[-2]


class Perceptron(Network):
    """Fully connected network with dropout on the standardised input and after every hidden layer.

    The mean and the standard deviation of the training vectors are part of the model: inputs are standardised
    before anything else happens.
    """

    architecture: ClassVar[str] = "arise"
    rows: ClassVar[int] = 32

    mean: Tensor
    std: Tensor

    def __init__(self, shape: PerceptronShape) -> None:
        super().__init__()
        self.shape: PerceptronShape = shape
        widths = shape.widths
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.register_buffer("mean", torch.zeros(shape.inputs))
        self.register_buffer("std", torch.ones(shape.inputs))

    @property
    def linear_layers(self) -> Sequence[nn.Linear]:
        """The layers from the input to the logits."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    @property
    def head(self) -> Perceptron:
        """The whole network: all its layers have dropout."""
        return self

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
        """Outputs of every layer before its ReLU, the last the logits; in training mode with dropout."""
        outputs: list[Tensor] = []
        activation = self.standardise(vectors)
        for layer in self.layers:
            dropped = nn.functional.dropout(activation, self.shape.dropout, self.training)
            outputs.append(layer(dropped))
            activation = torch.relu(outputs[-1])
        return outputs

    def spaces(self, vectors: Tensor) -> list[Tensor]:
        """The vectors (B, inputs) and the activations (B, width) of the first and the last hidden layer.

        A layer that is both is there once.
        """
        *hidden, _ = self.hidden_and_logits(vectors)
        chosen = [torch.relu(layer) for layer in (hidden[:1] + hidden[1:][-1:])]
        return [vectors, *chosen]

    def points(self, vectors: Tensor) -> Tensor:
        """The last hidden layer's outputs before its ReLU: the internal representations of the paper."""
        output = activation = self.standardise(vectors)
        for layer in self.linear_layers[:-1]:
            output = layer(activation)
            activation = torch.relu(output)
        return output

    def head_inputs(self, vectors: Tensor, points: Tensor) -> Tensor:  # noqa: ARG002 -- see `Network`
        """The vectors."""
        return vectors


def check_layers(widths: Sequence[int]) -> None:
    """Raise CrysiftError where a layer has no unit."""
    if min(widths) < 1:
        raise CrysiftError(f"every layer of a network needs at least one unit, asked were {tuple(widths)}")


def check_dropout(ratio: float) -> None:
    """Raise CrysiftError for a dropout ratio outside (0, 1)."""
    if not 0.0 < ratio < 1.0:
        raise CrysiftError(f"the dropout ratio {ratio:g} is outside (0, 1)")
