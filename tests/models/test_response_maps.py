"""Back-projections that can be computed by hand, and one by automatic differentiation."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.convnet import ConvNet, ConvNetShape
from models.response_maps import response_maps


@pytest.fixture
def image() -> Tensor:
    """One pattern as a vector, all pixels different and positive."""
    order = torch.randperm(64 * 64, generator=torch.Generator().manual_seed(1))
    return ((order + 1.0) / len(order))[None]


def network(channels: int = 1, filters: tuple[int, ...] = (1, 1, 1, 1)) -> ConvNet:
    """A network of small filters, all zero."""
    built = ConvNet(ConvNetShape(channels=channels, filters=filters, kernel=3, dense=2))
    for layer in range(len(filters)):
        torch.nn.init.zeros_(built.convolution_layers[layer].weight)
        biases(built, layer).zero_()
    return built.requires_grad_(False).eval()


def biases(net: ConvNet, layer: int) -> Tensor:
    """Of a layer's filters, to be written to."""
    found = net.convolution_layers[layer].bias
    assert found is not None
    return found.detach()


def with_entry(net: ConvNet, layer: int, row: int, column: int, value: float = 1.0) -> ConvNet:
    """Set one entry of a layer's first filter: 1, 1 is the centre."""
    net.convolution_layers[layer].weight[0, 0, row, column] = value
    return net


def identity(layers: int) -> ConvNet:
    net = network(filters=(1,) * layers)
    for layer in range(layers):
        with_entry(net, layer, 1, 1)
    return net


def block_maxima(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The image with all pixels dark but the brightest of every square block."""
    kept = np.zeros_like(image)
    for row in range(0, 64, size):
        for column in range(0, 64, size):
            block = image[row : row + size, column : column + size]
            place = np.unravel_index(block.argmax(), block.shape)
            kept[row + place[0], column + place[1]] = block.max()
    return kept


def test_filters_that_copy_give_the_image_back_at_the_places_of_the_maxima(image: Tensor) -> None:
    layers = response_maps(identity(6), image)
    shown = image[0].numpy().reshape(64, 64)
    for layer, size in zip(layers, (1, 1, 2, 2, 4, 4), strict=True):
        np.testing.assert_array_equal(layer.maps[0, 0].numpy(), block_maxima(shown, size))


@pytest.mark.parametrize(("row", "column"), [(0, 1), (2, 1), (1, 0), (1, 2)])
def test_what_a_filter_moved_is_moved_back(image: Tensor, row: int, column: int) -> None:
    net = with_entry(with_entry(network(filters=(1, 1)), 0, row, column, 3.0), 1, 1, 1)
    shown = image[0].numpy().reshape(64, 64)
    rows, columns = np.indices((64, 64))
    lost = np.zeros((64, 64), np.bool_)
    if row != 1:
        lost = lost | (rows == 63 if row == 0 else rows == 0)
    if column != 1:
        lost = lost | (columns == 63 if column == 0 else columns == 0)
    for layer in response_maps(net, image):  # what moved out of the image does not come back
        np.testing.assert_allclose(layer.maps[0, 0].numpy(), np.where(lost, 0.0, 9.0 * shown), rtol=1e-6)


def test_what_would_darken_the_layer_below_is_cut_off(image: Tensor) -> None:
    net = with_entry(with_entry(network(filters=(1, 1)), 0, 1, 1), 1, 1, 1, -1.0)
    biases(net, 1)[0] = 2.0
    assert net.feature_maps(image)[1].min() >= 1.0
    assert not response_maps(net, image)[1].maps.any()


def test_biases_shift_the_output_and_are_not_led_back(image: Tensor) -> None:
    net = with_entry(network(filters=(1, 1)), 0, 1, 1, 2.0)
    biases(net, 0)[0] = 0.25
    expected = 2.0 * (2.0 * image[0].reshape(64, 64) + 0.25)
    torch.testing.assert_close(response_maps(net, image)[0].maps[0, 0], expected)


def test_equals_the_gradient_where_no_unit_is_off(image: Tensor) -> None:
    """With positive weights every ReLU passes all: the map of h is the gradient of Σ h²/2."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        net = ConvNet(ConvNetShape(channels=1, filters=(3, 2, 4, 2, 2, 3), kernel=5, dense=2))
    for layer in range(6):
        net.convolution_layers[layer].weight.data.abs_()
        biases(net, layer).zero_()
    net.requires_grad_(False).eval()
    responses = response_maps(net, image)
    for depth, response in enumerate(responses):
        for number, found in zip(response.filters, response.maps, strict=True):
            x = image.clone().requires_grad_()
            energy = net.feature_maps(x)[depth][:, number].square().sum() / 2.0
            (gradient,) = torch.autograd.grad(energy, x)
            torch.testing.assert_close(found, gradient.reshape(1, 64, 64), rtol=1e-4, atol=1e-5)


def test_the_most_active_filters_come_first_and_add_up_to_the_template(image: Tensor) -> None:
    net = network(channels=3, filters=(4, 2))
    for number, strength in enumerate((1.0, 4.0, 0.0, 2.0)):
        net.convolution_layers[0].weight[number, number % 3, 1, 1] = strength
    colour = image.repeat(1, 3)
    first, second = response_maps(net, torch.cat([colour, 0.5 * colour]), top=3)
    assert first.filters == (1, 3, 0)
    assert first.maps.shape == (3, 3, 64, 64)
    assert len(second.filters) == 2
    shown = image[0].reshape(64, 64)
    torch.testing.assert_close(first.maps[0, 1], 16.0 * 0.75 * shown)  # mean of the image and half of it
    assert not first.maps[0, [0, 2]].any()
    torch.testing.assert_close(first.template[0], (1.0 + 4.0) * 0.75 * shown)
