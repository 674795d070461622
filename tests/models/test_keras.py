"""A Keras file of the published layers becomes the same network here, and nothing else is taken for one."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from engine.errors import CrysiftError
from models.keras import perceptron, read_keras
from models.network import Perceptron, PerceptronShape
from models.prototypes import prototypes
from models.training.published import class_places, published_order, read_labels
from tests.models.keras_files import Layer, configuration, layers_of, write_keras

OURS = [prototype.label for prototype in prototypes()]
RATE = 0.0317


def published_places() -> list[int]:
    """For every class of a published file, our class."""
    return [OURS.index(label) for label in published_order()]


@pytest.fixture(scope="module")
def layers(network: Perceptron) -> list[Layer]:
    return layers_of(network, published_places())


@pytest.fixture(scope="module")
def whole_file(layers: list[Layer], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    return write_keras(folder / "arise.h5", layers, configuration(layers, [RATE] * 4))


def test_the_published_order_is_that_of_the_authors_table() -> None:
    order = published_order()
    assert order[:4] == ("24_RP", "327_RP", "3_cubic", "3_halides_cubic")
    assert order[11] == "BuckledGraphHex_C_A_hP4_186_ab"
    assert order[35].startswith("HexDiam_C")
    assert sorted(OURS) == list(order) != OURS  # the two orders differ, so a mix-up would show


def test_a_whole_model_gives_the_logits_of_the_network_that_it_was_written_from(
    network: Perceptron, whole_file: Path, vectors: torch.Tensor
) -> None:
    found = read_keras(whole_file)
    assert found.dropout == (RATE,) * 4
    read = perceptron(found, class_places(published_order()))
    assert read.shape == PerceptronShape(dropout=RATE)
    assert sum(parameter.numel() for parameter in read.parameters()) == 371_820
    with torch.inference_mode():
        torch.testing.assert_close(read(vectors), network(vectors), rtol=1e-4, atol=1e-4)
        unordered = perceptron(found, range(108))
        assert torch.equal(unordered(vectors)[:, class_places(published_order())], read(vectors))


def test_mere_weights_need_a_dropout_rate(layers: list[Layer], whole_file: Path, tmp_path: Path) -> None:
    found = read_keras(write_keras(tmp_path / "weights.h5", layers, None, whole=False))
    with pytest.raises(CrysiftError, match=r"no configuration.*give it \(--dropout; .* 0\.0317\)"):
        perceptron(found, range(108))
    read, whole = perceptron(found, range(108), 0.02), perceptron(read_keras(whole_file), range(108))
    assert read.shape.dropout == 0.02
    for one, other in zip(read.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_sequential_model_is_read_as_keras_wrote_it_before_2_2_3(
    layers: list[Layer], tmp_path: Path
) -> None:
    described = configuration(layers, [RATE] * 4)["config"]["layers"]
    for layer in described:
        if layer["class_name"] == "Dropout":
            layer["config"]["p"] = layer["config"].pop("rate")
    path = write_keras(tmp_path / "old.h5", layers, {"class_name": "Sequential", "config": described})
    assert read_keras(path).ratio() == RATE


def test_names_spread_over_several_attributes_are_put_together(whole_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "spread.h5"
    path.write_bytes(whole_file.read_bytes())
    with h5py.File(path, "r+") as file:
        attributes = file["model_weights"].attrs
        names = attributes["layer_names"]
        del attributes["layer_names"]
        attributes["layer_names0"], attributes["layer_names1"] = names[:4], names[4:]
    assert [layer.name for layer in read_keras(path).layers] == [f"dense_{number}" for number in range(4)]


def changed(layers: list[Layer], number: int, **arrays: Any) -> list[Layer]:
    name, kernel, bias = layers[number]
    return [
        *layers[:number],
        (name, arrays.get("kernel", kernel), arrays.get("bias", bias)),
        *layers[number + 1 :],
    ]


def test_another_shape_is_refused_naming_layer_and_sizes(layers: list[Layer], tmp_path: Path) -> None:
    wide = changed(layers, 1, kernel=np.zeros((256, 300), np.float32))
    with pytest.raises(CrysiftError, match=r"kernel of the layer dense_1 .*\(256, 300\).*\(256, 512\)"):
        read_keras(write_keras(tmp_path / "wide.h5", wide, None))
    with pytest.raises(CrysiftError, match=r"3 layers with weights .*316 → 256 → 512 → 256 → 108"):
        read_keras(write_keras(tmp_path / "few.h5", layers[:3], None))


def test_arrays_that_are_no_numbers_are_refused(layers: list[Layer], tmp_path: Path) -> None:
    damaged = changed(layers, 3, bias=np.full(108, np.nan, np.float32))
    with pytest.raises(CrysiftError, match=r"bias of the layer dense_3 .* not finite"):
        read_keras(write_keras(tmp_path / "nan.h5", damaged, None))
    texts = changed(layers, 3, bias=np.full(108, b"1.0"))
    with pytest.raises(CrysiftError, match=r"bias of the layer dense_3 .*expected are floating-point"):
        read_keras(write_keras(tmp_path / "text.h5", texts, None))


def test_other_layers_and_activations_are_refused(layers: list[Layer], tmp_path: Path) -> None:
    config = configuration(layers, [RATE] * 4)
    config["config"]["layers"][1]["class_name"] = "GaussianNoise"
    with pytest.raises(CrysiftError, match=r"layers that a perceptron does not have: GaussianNoise"):
        read_keras(write_keras(tmp_path / "noise.h5", layers, config))
    config = configuration(layers, [RATE] * 4)
    config["config"]["layers"][2]["config"]["activation"] = "tanh"
    with pytest.raises(
        CrysiftError, match=r"activations .* are tanh, relu, relu, softmax, expected are relu"
    ):
        read_keras(write_keras(tmp_path / "tanh.h5", layers, config))
    config = configuration(layers, [RATE] * 4)
    del config["config"]["layers"][1]
    with pytest.raises(CrysiftError, match=r"order Dense, Dropout, Dense, .* before every dense layer"):
        read_keras(write_keras(tmp_path / "late.h5", layers, config))


def test_unequal_dropout_rates_are_refused_unless_one_is_given(layers: list[Layer], tmp_path: Path) -> None:
    path = write_keras(tmp_path / "rates.h5", layers, configuration(layers, [0.1, 0.1, 0.2, 0.1]))
    with pytest.raises(CrysiftError, match=r"0\.1, 0\.1, 0\.2, 0\.1, one for all layers"):
        read_keras(path).ratio()
    assert read_keras(path).ratio(0.1) == 0.1


def test_files_that_are_something_else_are_refused(whole_file: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with pytest.raises(CrysiftError, match=r"text\.h5 cannot be read as an HDF5 file of Keras 2"):
        read_keras(text)
    with pytest.raises(CrysiftError, match=r"there is no file .*absent\.h5"):
        read_keras(tmp_path / "absent.h5")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(whole_file.read_bytes()[:200_000])
    with pytest.raises(CrysiftError, match=r"cut\.h5 cannot be read"):
        read_keras(cut)
    other = tmp_path / "keras3.weights.h5"
    with h5py.File(other, "w") as file:
        file.create_dataset("layers/dense/vars/0", data=np.zeros((316, 256), np.float32))
    with pytest.raises(CrysiftError, match=r"no list of layers .*Keras 3"):
        read_keras(other)


def test_a_configuration_that_is_no_json_is_refused(whole_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.h5"
    path.write_bytes(whole_file.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = b"{"
    with pytest.raises(CrysiftError, match=r"configuration \(model_config\) .* cannot be read"):
        read_keras(path)


def test_labels_are_read_in_both_forms_and_must_be_the_prototypes(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({str(number): label for number, label in enumerate(OURS)}))
    assert class_places(read_labels(path)) == list(range(108))
    path.write_text(json.dumps(OURS[::-1]))
    assert class_places(read_labels(path)) == list(range(107, -1, -1))
    with pytest.raises(CrysiftError, match=r"not the 108 prototypes: .*, fluorite differ"):
        class_places(["fluorite", *OURS[1:]])
    path.write_text("[1, 2]")
    with pytest.raises(CrysiftError, match=r"neither a list of labels nor"):
        read_labels(path)
