"""The convolutional network that tells crystals apart by their diffraction pattern.

Architecture: A. Ziletti, D. Kumar, M. Scheffler, L. M. Ghiringhelli, Nat. Commun. 9, 2775 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.descriptors.diffraction.settings import PIXELS
from engine.errors import CrysiftError
from models.network import Network, Perceptron, PerceptronShape, check_dropout, check_layers

POOL = 2
"""Pixels per side that a pooling merges, and convolutions between two poolings."""


@dataclass(frozen=True)
class ConvNetShape:
    """Layers of the network: by default the published ones."""

    channels: int = 1
    classes: int = 4
    filters: tuple[int, ...] = (32, 16, 12, 12, 8, 8)
    """Of every convolution; the maximum of 2 × 2 pixels is taken after every second one but the last."""
    kernel: int = 7
    """Pixels per side of a filter, odd."""
    dense: int = 128
    dropout: float = 0.25

    def __post_init__(self) -> None:
        check_layers((self.channels, *self.filters, self.kernel, self.dense, self.classes))
        check_dropout(self.dropout)
        if self.kernel % 2 == 0:
            raise CrysiftError(
                f"filters of {self.kernel} × {self.kernel} pixels have no centre: take an odd size"
            )
        if not 1 <= self._pairs <= self._most_pairs or len(self.filters) % 2:
            raise CrysiftError(
                f"{len(self.filters)} convolutions were asked, a pattern of {PIXELS} × {PIXELS} pixels takes "
                f"an even number from 2 to {2 * self._most_pairs}"
            )

    @property
    def inputs(self) -> int:
        """Pixels of all channels."""
        return self.channels * PIXELS**2

    @property
    def representation(self) -> int:
        """Units of the dense layer."""
        return self.dense

    @property
    def side(self) -> int:
        """Pixels per side of the last convolution's maps."""
        return PIXELS // int(POOL ** (self._pairs - 1))

    @property
    def _pairs(self) -> int:
        return len(self.filters) // 2

    @property
    def _most_pairs(self) -> int:
        return PIXELS.bit_length()


class ConvNet(Network):
    """Pairs of convolutions with pooling between them, a dense layer, dropout, and a linear layer.

    A vector is a pattern of C channels of 64 × 64 pixels, flat in this order. Convolutions keep the size of
    the image and start orthogonal. Their weights lie in memory with the channels last, which is fastest.
    """

    architecture: ClassVar[str] = "diffraction"
    rows: ClassVar[int] = 16

    def __init__(self, shape: ConvNetShape) -> None:
        super().__init__()
        self.shape: ConvNetShape = shape
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, shape.kernel, padding="same")
            for a, b in pairwise((shape.channels, *shape.filters))
        )
        self.dense = nn.Linear(shape.filters[-1] * shape.side**2, shape.dense)
        self.classifier = Perceptron(PerceptronShape(shape.dense, (), shape.classes, shape.dropout))
        for convolution in self.convolution_layers:
            nn.init.orthogonal_(convolution.weight, nn.init.calculate_gain("relu"))
            convolution.weight.data = convolution.weight.data.contiguous(memory_format=torch.channels_last)

    @property
    def convolution_layers(self) -> Sequence[nn.Conv2d]:
        """The convolutions from the image to the dense layer."""
        return [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)]

    @property
    def head(self) -> Perceptron:
        """The linear layer from the dense layer's activations to the logits, with the dropout before it."""
        return self.classifier

    def images(self, vectors: Tensor) -> Tensor:
        """Vectors (B, inputs) as images (B, C, 64, 64)."""
        return vectors.reshape(len(vectors), self.shape.channels, PIXELS, PIXELS)

    def feature_maps(self, vectors: Tensor) -> list[Tensor]:
        """Outputs (B, filters, side, side) of every convolution after its ReLU, before any pooling."""
        maps: list[Tensor] = []
        image = self.images(vectors).contiguous(memory_format=torch.channels_last)
        for number, convolution in enumerate(self.convolutions):
            if number and number % 2 == 0:
                image = nn.functional.max_pool2d(image, POOL)
            image = torch.relu(convolution(image))
            maps.append(image)
        return maps

    def points(self, vectors: Tensor) -> Tensor:
        """The dense layer's outputs (B, dense) before its ReLU."""
        output: Tensor = self.dense(self.feature_maps(vectors)[-1].flatten(1))
        return output

    def head_inputs(self, vectors: Tensor, points: Tensor) -> Tensor:  # noqa: ARG002 -- see `Network`
        """The dense layer's activations."""
        return torch.relu(points)

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits (B, classes); in training mode with dropout."""
        logits: Tensor = self.classifier(self.head_inputs(vectors, self.points(vectors)))
        return logits
