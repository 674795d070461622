"""What a convolutional network looks at: attentive response maps of its filters, and templates of a class.

A filter's output is led back to the image plane, through the layers below it, by fractionally strided
convolutions (M. D. Zeiler, R. Fergus, ECCV 2014; D. Kumar, A. Wong, G. W. Taylor, CVPR Workshops 2017), here
of diffraction patterns (A. Ziletti, D. Kumar, M. Scheffler, L. M. Ghiringhelli, Nat. Commun. 9, 2775 (2018)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d, max_pool2d, max_unpool2d

from models.convnet import POOL, ConvNet

TOP = 4
"""Filters of a layer."""


@dataclass(frozen=True, eq=False)
class LayerResponse:
    """What the most active filters of one convolution respond to, the most active one first."""

    filters: tuple[int, ...]
    """Numbers of the filters, from 0."""
    maps: Tensor
    """(filters, C, 64, 64), a map per filter in the image plane."""

    @property
    def template(self) -> Tensor:
        """The sum (C, 64, 64) of the maps."""
        return self.maps.sum(dim=0)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A convolution in a forward pass of B images."""

    weight: Tensor
    """(filters, channels, kernel, kernel)."""
    output: Tensor
    """(B, filters, side, side), after the ReLU."""
    switches: Tensor | None
    """Where the maxima of the pooling before this convolution were; None where there was no pooling."""


@torch.inference_mode()
def response_maps(network: ConvNet, vectors: Tensor, top: int = TOP) -> list[LayerResponse]:
    """Response maps of every convolution, averaged over `vectors` (B, inputs), which are of one class.

    Activity is the sum of a filter's output. The `top` most active filters of a layer (all, if it has fewer)
    are back-projected one by one: transposed convolutions with the same weights and without the biases, a
    ReLU before each but the first, and at a pooling every value back to where the maximum was.
    """
    layers = _forward(network, vectors.to(network.device, torch.float32))
    responses = []
    for depth, layer in enumerate(layers):
        activity = layer.output.sum(dim=(0, 2, 3))
        filters = activity.argsort(descending=True, stable=True)[:top].tolist()
        maps = [_back_projected(layers[: depth + 1], number).mean(dim=0) for number in filters]
        responses.append(LayerResponse(tuple(filters), torch.stack(maps)))
    return responses


def _forward(network: ConvNet, vectors: Tensor) -> list[_Layer]:
    """Outputs of all convolutions, as in `ConvNet.feature_maps`, and the switches of the poolings."""
    image = network.images(vectors)
    layers = []
    for depth, convolution in enumerate(network.convolution_layers):
        switches = None
        if depth and depth % 2 == 0:
            image, switches = max_pool2d(image, POOL, return_indices=True)
        image = torch.relu(convolution(image))
        layers.append(_Layer(convolution.weight, image, switches))
    return layers


def _back_projected(layers: list[_Layer], number: int) -> Tensor:
    """The output of one filter of the last layer in the image plane (B, C, 64, 64)."""
    last = layers[-1].output
    image = torch.zeros_like(last)
    image[:, number] = last[:, number]
    for layer in reversed(layers):
        image = torch.relu(image)
        image = conv_transpose2d(image, layer.weight, padding=layer.weight.shape[-1] // 2)
        if layer.switches is not None:
            image = max_unpool2d(image, layer.switches, [POOL, POOL])
    return image
