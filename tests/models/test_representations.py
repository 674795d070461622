import numpy as np
import pytest
import torch

from engine.errors import CrysiftError
from models.convnet import ConvNet
from models.inference import representations
from models.network import Perceptron
from models.representations import Layer


def test_every_layer_is_what_the_definition_says(network: Perceptron, vectors: torch.Tensor) -> None:
    rows = vectors.numpy()
    activation = (vectors.double() - network.mean) / network.std
    assert np.array_equal(Layer(network, "descriptor")(rows), rows)
    for number, linear in enumerate(network.linear_layers[:-1], start=1):
        output = activation @ linear.weight.double().T + linear.bias
        layer = Layer(network, str(number))
        assert layer.width == output.shape[1]
        np.testing.assert_allclose(layer(rows), output, atol=1e-4)
        assert layer(rows).min() < 0.0, "before the ReLU"
        activation = torch.relu(output)


def test_the_last_layer_is_the_representation_of_predictions(
    network: Perceptron, vectors: torch.Tensor
) -> None:
    assert np.array_equal(Layer(network, "3")(vectors.numpy()), representations(network, vectors).numpy())


def test_a_row_does_not_depend_on_the_others(network: Perceptron, vectors: torch.Tensor) -> None:
    rows = vectors.numpy()
    layer = Layer(network, "2")
    whole = layer(rows)
    assert np.array_equal(np.concatenate([layer(rows[:5]), layer(rows[5:])]), whole)
    assert layer(rows[:0]).shape == (0, 512)


def test_other_layers_and_networks_are_refused(network: Perceptron, convnet: ConvNet) -> None:
    with pytest.raises(CrysiftError, match=r"no layer '4': choose from descriptor, 1, 2, 3"):
        Layer(network, "4")
    with pytest.raises(CrysiftError, match="diffraction' has no layers"):
        Layer(convnet, "1")
