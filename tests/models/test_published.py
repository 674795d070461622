"""The published network becomes a model: its file alone, with our prototypes, is enough."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.soap import SoapSettings
from engine.descriptors.soap.stage import soap_features
from engine.errors import CrysiftError
from engine.structure import structures_table
from models.keras import perceptron, read_keras
from models.network import Perceptron, PerceptronShape
from models.prototypes import prototypes
from models.training import published
from models.training.arise import perceptron_for
from models.training.published import class_places, import_keras, known_share, published_order
from models.training.recipe import classes_of
from models.training.replicas import pristine_structures
from models.training.train import TrainingSettings, plain_logits, train
from models.weights_file import CARD_FILE, load_model
from tests.models.keras_files import configuration, layers_of, write_keras

OURS = [prototype.label for prototype in prototypes()]
Pristine = tuple[NDArray[np.float32], NDArray[np.int64]]
PLACES = [OURS.index(label) for label in published_order()]


@pytest.fixture(scope="module")
def pristine() -> Pristine:
    """Vectors and classes of the pristine structures."""
    structures = pristine_structures()
    lists = contiguous(soap_features(structures_table(structures), SoapSettings())["vector"])
    return fixed_size_values(lists).reshape(len(structures), -1).copy(), classes_of(structures)


@pytest.fixture(scope="module")
def trained(pristine: Pristine) -> Perceptron:
    """A network of the published layers that has learnt the pristine structures."""
    settings = TrainingSettings(epochs=12, batch=16, learning_rate=2e-3, sparsity=0.0)
    network = train(partial(perceptron_for, PerceptronShape()), *pristine, settings).network
    assert isinstance(network, Perceptron)
    return network


@pytest.fixture(scope="module")
def keras_file(trained: Perceptron, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network as its authors would have saved it: on raw vectors, classes in their order."""
    layers = layers_of(trained, PLACES)
    return write_keras(
        tmp_path_factory.mktemp("keras") / "ARISE.h5", layers, configuration(layers, [0.0317] * 4)
    )


@pytest.mark.slow
def test_a_published_file_becomes_a_model_that_predicts_as_it_did(
    trained: Perceptron, keras_file: Path, pristine: Pristine, tmp_path: Path
) -> None:
    model = import_keras(keras_file, tmp_path / "model", work=tmp_path / "work")
    vectors = torch.from_numpy(pristine[0])
    torch.testing.assert_close(
        plain_logits(model.network, vectors), plain_logits(trained, vectors), rtol=1e-3, atol=1e-3
    )
    assert model.labels == tuple(OURS)
    assert model.features == {"cutoff": 4.0, "sigma": 0.1, "scale": 1.0, "basis": "quip"}
    assert model.confidence.temperature == 1.0
    assert len(model.reference.classes) == 396 * 3
    assert len(model.reference.calibration) == len(model.reference.calibration_classes) >= 12_960
    again = load_model(tmp_path / "model")
    assert again.sha256 == model.sha256
    card = (tmp_path / "model" / CARD_FILE).read_text(encoding="utf-8")
    assert card == published.card_text(again)
    assert "371,820 parameters, dropout 0.0317 (4 layers of the file)" in card


def test_a_file_in_another_order_of_classes_is_noticed(
    network: Perceptron, vectors: torch.Tensor, tmp_path: Path
) -> None:
    layers = layers_of(network, PLACES)
    found = read_keras(write_keras(tmp_path / "theirs.h5", layers, configuration(layers, [0.0317] * 4)))
    classes = plain_logits(network, vectors).argmax(dim=1).numpy()
    in_order = perceptron(found, class_places(published_order()))
    assert known_share(in_order, vectors.numpy(), classes) == 1.0
    with pytest.raises(CrysiftError, match=r"gets .* % of the 37 pristine structures right.*--labels"):
        known_share(perceptron(found, class_places(OURS)), vectors.numpy(), classes)
