"""Weights of perceptrons in HDF5 files as Keras 2 writes them, read with h5py alone: nothing is unpickled.

The layout (`Model.save` and `Model.save_weights` of Keras 2, in `legacy_h5_format` of Keras 3): a group, the
root or `model_weights`, lists its layers in the attribute `layer_names`; the group of a layer lists its
arrays in `weight_names`, for a dense layer `…/kernel:0` (inputs, units) and `…/bias:0` (units,). `save` adds
the JSON text `model_config`, which says the rates of dropout and the activations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import CrysiftError
from models.network import Perceptron, PerceptronShape

if TYPE_CHECKING:
    from collections.abc import Sequence

    import h5py

Floats = NDArray[np.float32]

TABLE_1 = PerceptronShape()
"""The layers of the published network (Leitherer et al., Nat. Commun. 12, 6234 (2021), Table 1)."""
_ACTIVATIONS = ("linear", "relu", "softmax")
_WITHOUT_WEIGHTS = ("InputLayer", "Dropout", "Activation", "ReLU", "Softmax", "Flatten", "Reshape")


@dataclass(frozen=True)
class DenseLayer:
    """One fully connected layer: `kernel` (inputs, units), `bias` (units,)."""

    name: str
    kernel: Floats
    bias: Floats


@dataclass(frozen=True)
class KerasPerceptron:
    """The dense layers of a file in their order, and what its configuration says of dropout.

    `dropout` holds the rate of every dropout layer; None where the file has no configuration.
    """

    layers: tuple[DenseLayer, ...]
    dropout: tuple[float, ...] | None

    def ratio(self, otherwise: float | None = None) -> float:
        """The one rate of all dropout layers; `otherwise`, where given, overrules the file.

        Raises CrysiftError where the file does not say one rate and `otherwise` is None.
        """
        if otherwise is not None:
            return otherwise
        if self.dropout is None:
            raise CrysiftError(
                "the file has weights but no configuration, which would say the dropout rate: give it "
                f"(--dropout; the published network has {TABLE_1.dropout:g})"
            )
        if len(set(self.dropout)) != 1:
            rates = ", ".join(f"{rate:g}" for rate in self.dropout) or "none"
            raise CrysiftError(
                f"the dropout rates of the file are {rates}, one for all layers is needed: give it "
                "(--dropout)"
            )
        return self.dropout[0]


def read_keras(path: str | Path) -> KerasPerceptron:
    """Read the dense layers of an HDF5 file of Keras 2 that holds the published network, `TABLE_1`.

    Sizes are checked before an array is read. Raises CrysiftError, naming what was found, where the file is
    not HDF5, not of this layout, or holds another network.
    """
    import h5py

    if not Path(path).is_file():
        raise CrysiftError(f"there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            return _perceptron(file, Path(path))
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise CrysiftError(f"{path} cannot be read as an HDF5 file of Keras 2: {error}") from error


def perceptron(found: KerasPerceptron, classes: Sequence[int], dropout: float | None = None) -> Perceptron:
    """The network of a file; its class k is the file's class `classes[k]`.

    The mean and spread of the inputs stay 0 and 1, since the file's network reads vectors as they are.
    """
    ratio = found.ratio(dropout)
    hidden = tuple(len(layer.bias) for layer in found.layers[:-1])
    widths = (len(found.layers[0].kernel), hidden, len(found.layers[-1].bias))
    network = Perceptron(PerceptronShape(*widths, dropout=ratio))
    order = np.asarray(classes)
    with torch.no_grad():
        for number, (layer, linear) in enumerate(zip(found.layers, network.linear_layers, strict=True)):
            units = order if number == len(hidden) else slice(None)
            linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(layer.kernel.T[units])))
            linear.bias.copy_(torch.from_numpy(layer.bias[units].copy()))
    return network.requires_grad_(False).eval()


def _perceptron(file: h5py.File, path: Path) -> KerasPerceptron:
    group = file.get("model_weights", file)
    if "layer_names" not in group.attrs and "layer_names0" not in group.attrs:
        raise CrysiftError(
            f"{path} has no list of layers (attribute layer_names) and so is no HDF5 file of Keras 2; "
            "Keras 3 writes that layout with model.save('name.h5'), not with save_weights or as .keras"
        )
    with_weights = [name for name in _names(group, "layer_names") if _names(group[name], "weight_names")]
    expected = list(pairwise(TABLE_1.widths))
    if len(with_weights) != len(expected):
        raise CrysiftError(
            f"{path} has {len(with_weights)} layers with weights ({', '.join(with_weights) or 'none'}), the "
            f"network has {len(expected)} ({' → '.join(map(str, TABLE_1.widths))})"
        )
    layers = [
        _dense(group[name], name, widths, path) for name, widths in zip(with_weights, expected, strict=True)
    ]
    return KerasPerceptron(tuple(layers), _dropout(file, path, len(layers)))


def _dense(group: h5py.Group, name: str, widths: tuple[int, int], path: Path) -> DenseLayer:
    """Read a layer's kernel and bias, whose sizes are checked first."""
    paths = {each.rsplit("/", 1)[-1].partition(":")[0]: each for each in _names(group, "weight_names")}
    if paths.keys() != {"kernel", "bias"}:
        raise CrysiftError(
            f"the layer {name} of {path} holds {', '.join(sorted(paths))}: only dense layers, with kernel "
            "and bias, can be read"
        )
    kernel = _array(group[paths["kernel"]], widths, f"the kernel of the layer {name} of {path}")
    bias = _array(group[paths["bias"]], widths[1:], f"the bias of the layer {name} of {path}")
    return DenseLayer(name, kernel, bias)


def _array(dataset: h5py.Dataset, shape: tuple[int, ...], what: str) -> Floats:
    if getattr(dataset, "shape", None) != shape:
        raise CrysiftError(f"{what} has the shape {getattr(dataset, 'shape', None)}, expected is {shape}")
    if dataset.dtype.kind != "f":
        raise CrysiftError(f"{what} holds {dataset.dtype}, expected are floating-point numbers")
    values = np.asarray(dataset[...], dtype=np.float32)
    if not np.isfinite(values).all():
        raise CrysiftError(f"{what} holds numbers that are not finite: the file is damaged")
    return values


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Read a list of names; Keras spreads long ones over `attribute`0, `attribute`1 and so on."""
    if attribute in group.attrs:
        parts = [group.attrs[attribute]]
    else:
        numbered = (f"{attribute}{part}" for part in range(len(group.attrs)))
        parts = [group.attrs[name] for name in numbered if name in group.attrs]
    return [name.decode() if isinstance(name, bytes) else str(name) for part in parts for name in part]


def _dropout(file: h5py.File, path: Path, dense: int) -> tuple[float, ...] | None:
    """The rates of the file's dropout layers, after a look at its activations; None without configuration."""
    text = file.attrs.get("model_config")
    if text is None:
        return None
    try:
        layers = _layers(json.loads(text))
        kinds = [(str(layer["class_name"]), dict(layer["config"])) for layer in layers]
        _check_kinds(kinds, path, dense)
        return tuple(
            float(config["rate"] if "rate" in config else config["p"])
            for kind, config in kinds
            if kind == "Dropout"
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CrysiftError(f"the configuration (model_config) of {path} cannot be read: {error!r}") from error


def _layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The layers of a Sequential (before Keras 2.2.3 a mere list) or functional model."""
    inner = config["config"]
    layers: list[dict[str, Any]] = inner if isinstance(inner, list) else inner["layers"]
    return layers


def _check_kinds(kinds: list[tuple[str, dict[str, Any]]], path: Path, dense: int) -> None:
    """Refuse layers that a perceptron with ReLU and softmax does not have."""
    others = sorted({kind for kind, _ in kinds} - {"Dense", *_WITHOUT_WEIGHTS})
    if others:
        raise CrysiftError(f"{path} has layers that a perceptron does not have: {', '.join(others)}")
    order = [kind for kind, _ in kinds if kind in ("Dense", "Dropout")]
    if "Dropout" in order and order != ["Dropout", "Dense"] * dense:
        raise CrysiftError(
            f"{path} has its layers in the order {', '.join(order)}: dropout is expected before every dense "
            "layer, and nowhere else"
        )
    found = [function for function in map(_activation, kinds) if function != "linear"]
    wanted = ["relu"] * (dense - 1) + ["softmax"]
    if found != wanted:
        raise CrysiftError(
            f"the activations of {path} are {', '.join(found) or 'none'}, expected are {', '.join(wanted)}"
        )


def _activation(layer: tuple[str, dict[str, Any]]) -> str:
    kind, config = layer
    if kind in ("Dense", "Activation"):
        return str(config.get("activation", "linear"))
    return kind.lower() if kind.lower() in _ACTIVATIONS else "linear"
