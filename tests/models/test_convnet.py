"""The convolutional network layer by layer, against a plain computation."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import correlate2d

from engine.errors import CrysiftError
from models.convnet import ConvNet, ConvNetShape


def convolved(layer: torch.nn.Conv2d, image: NDArray[np.float64]) -> NDArray[np.float64]:
    """ReLU of the layer on an image (channels, side, side), pixel sums by SciPy in double precision."""
    weight, bias = (parameter.detach().double().numpy() for parameter in layer.parameters())
    return np.stack(
        [
            np.maximum(sum(correlate2d(c, k, "same") for c, k in zip(image, kernels, strict=True)) + b, 0.0)
            for kernels, b in zip(weight, bias, strict=True)
        ]
    )


def pooled(image: NDArray[np.float64]) -> NDArray[np.float64]:
    blocks = image.reshape(len(image), image.shape[1] // 2, 2, -1, 2)
    return np.asarray(blocks.max(axis=(2, 4)))


def test_layers_have_the_published_sizes(convnet: ConvNet, images: torch.Tensor) -> None:
    maps = convnet.feature_maps(images[:2].float())
    assert [tuple(layer.shape) for layer in maps] == [
        (2, 32, 64, 64),
        (2, 16, 64, 64),
        (2, 12, 32, 32),
        (2, 12, 32, 32),
        (2, 8, 16, 16),
        (2, 8, 16, 16),
    ]
    assert convnet.points(images[:2].float()).shape == (2, 128)
    assert convnet(images[:2].float()).shape == (2, 4)


@pytest.mark.parametrize(("channels", "first"), [(1, 49 * 32 + 32), (3, 3 * 49 * 32 + 32)])
def test_number_of_parameters_is_that_of_a_count_by_hand(channels: int, first: int) -> None:
    others = 25_104 + 9_420 + 7_068 + 4_712 + 3_144  # 49 a b + b for a → b filters
    dense = 8 * 16 * 16 * 128 + 128
    network = ConvNet(ConvNetShape(channels=channels))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == first + others + dense + 128 * 4 + 4
    assert network.shape.inputs == channels * 4096


def test_equals_sums_over_pixels_in_double_precision() -> None:
    shape = ConvNetShape(channels=3, classes=5, filters=(3, 2, 4, 2), kernel=5, dense=7)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = ConvNet(shape).requires_grad_(False).eval()
        vector = torch.rand(shape.inputs)
    first, second, third, fourth = network.convolution_layers
    image = vector.double().numpy().reshape(3, 64, 64)
    image = pooled(convolved(second, convolved(first, image)))
    image = convolved(fourth, convolved(third, image))
    weight, bias = (parameter.double().numpy() for parameter in network.dense.parameters())
    points = weight @ image.reshape(-1) + bias
    np.testing.assert_allclose(network.points(vector[None])[0].numpy(), points, rtol=1e-4, atol=1e-5)
    weight, bias = (p.double().numpy() for p in network.head.linear_layers[0].parameters())
    logits = weight @ np.maximum(points, 0.0) + bias
    np.testing.assert_allclose(network(vector[None])[0].numpy(), logits, rtol=1e-4, atol=1e-5)


def test_convolutions_start_orthogonal() -> None:
    for layer in ConvNet(ConvNetShape()).convolution_layers:
        rows = layer.weight.detach().flatten(1).double()
        torch.testing.assert_close(rows @ rows.T, 2.0 * torch.eye(len(rows)).double(), atol=1e-5, rtol=0)


def test_dropout_acts_on_the_dense_layer_and_on_nothing_before_it(images: torch.Tensor) -> None:
    x = images[:4].float()
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(2)
        network = ConvNet(ConvNetShape()).eval()
        points = network.points(x)
        network.train()
        assert torch.equal(network.points(x), points)
        torch.manual_seed(3)
        logits = network(x)
        torch.manual_seed(3)
        dropped = torch.nn.functional.dropout(torch.relu(points), 0.25)
        assert torch.equal(logits, network.head.linear_layers[0](dropped))
        assert not torch.equal(logits, network.eval()(x))


def test_all_layers_learn() -> None:
    network = ConvNet(ConvNetShape(filters=(4, 4), dense=6))
    torch.nn.functional.cross_entropy(network(torch.rand(3, 4096)), torch.tensor([0, 1, 2])).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("at least one unit", {"dense": 0}),
        ("at least one unit", {"filters": (4, 0)}),
        ("dropout ratio 1 is outside", {"dropout": 1.0}),
        ("6 × 6 pixels have no centre", {"kernel": 6}),
        ("3 convolutions were asked", {"filters": (4, 4, 4)}),
        ("0 convolutions were asked", {"filters": ()}),
        ("16 convolutions .* an even number from 2 to 14", {"filters": (2,) * 16}),
    ],
)
def test_impossible_shapes_are_refused_saying_why(message: str, changes: dict[str, object]) -> None:
    with pytest.raises(CrysiftError, match=message):
        ConvNetShape(**changes)  # type: ignore[arg-type]  # what a caller may get wrong
