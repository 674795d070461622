"""HDF5 files as Keras 2 writes them, made with h5py."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from models.network import Perceptron

Layer = tuple[str, NDArray[Any], NDArray[Any]]


def layers_of(network: Perceptron, order: Sequence[int]) -> list[Layer]:
    """The dense layers that do to raw vectors what `network` does to standardised ones.

    Class k of the file is the network's class `order[k]`.
    """
    mean, std = network.mean.double().numpy(), network.std.double().numpy()
    layers: list[Layer] = []
    for number, linear in enumerate(network.linear_layers):
        kernel, bias = linear.weight.detach().double().numpy().T, linear.bias.detach().double().numpy()
        if number == 0:
            kernel = kernel / std[:, None]
            bias = bias - mean @ kernel
        layers.append((f"dense_{number}", kernel, bias))
    name, kernel, bias = layers[-1]
    layers[-1] = (name, kernel[:, list(order)], bias[list(order)])
    return [(name, kernel.astype(np.float32), bias.astype(np.float32)) for name, kernel, bias in layers]


def configuration(layers: Sequence[Layer], rates: Sequence[float]) -> dict[str, Any]:
    """What `to_json` of a functional model says: dropout before every dense layer, ReLU, softmax last."""
    described: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"name": "input_1", "batch_input_shape": [None, 316]}}
    ]
    for number, ((name, _, bias), rate) in enumerate(zip(layers, rates, strict=True)):
        described.append({"class_name": "Dropout", "config": {"name": f"dropout_{number}", "rate": rate}})
        last = number == len(layers) - 1
        dense = {"name": name, "units": len(bias), "activation": "softmax" if last else "relu"}
        described.append({"class_name": "Dense", "config": dense})
    return {"class_name": "Model", "config": {"name": "model_1", "layers": described}}


def write_keras(
    path: Path, layers: Sequence[Layer], config: dict[str, Any] | None, *, whole: bool = True
) -> Path:
    """Write what `Model.save` writes (`whole`), or `save_weights`, which leaves the configuration out."""
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
            file.attrs["keras_version"] = b"2.2.4"
        group = file.create_group("model_weights") if whole else file
        without = ["input_1", *(f"dropout_{number}" for number in range(len(layers)))]
        names = [name for pair in zip(without[1:], [n for n, *_ in layers], strict=True) for name in pair]
        group.attrs["layer_names"] = [name.encode() for name in ["input_1", *names]]
        for name in without:
            group.create_group(name).attrs["weight_names"] = np.empty(0, "S1")
        for name, kernel, bias in layers:
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
            layer.create_dataset(f"{name}/kernel:0", data=kernel)
            layer.create_dataset(f"{name}/bias:0", data=bias)
    return path
