"""A model that is saved comes back as it was, and nothing else is accepted in its place."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.soap import SoapSettings
from engine.descriptors.soap.stage import soap_features
from engine.errors import CrysiftError
from engine.structure import structures_table
from models.confidence import Confidence
from models.convnet import ConvNet
from models.inference import representations
from models.training.card import card_text
from models.training.defects import BENCHMARK_DEFECTS, Defect, defective
from models.training.evaluate import accuracy
from models.training.replicas import defect_hosts, label_of
from models.weights_file import (
    CARD_FILE,
    DIGEST_FILE,
    MODEL_FILE,
    Model,
    load_model,
    model_confidence,
    model_digest,
    model_folder,
    model_metadata,
    model_shape,
    save_model,
)


def test_model_comes_back_as_it_was_saved(model: Model, weights: Path, vectors: torch.Tensor) -> None:
    loaded = load_model(weights)
    torch.testing.assert_close(loaded.network(vectors), model.network(vectors), rtol=0, atol=0)
    np.testing.assert_array_equal(loaded.reference.inputs, model.reference.inputs)
    np.testing.assert_array_equal(loaded.reference.units, model.reference.units)
    assert loaded.reference.ids == model.reference.ids
    np.testing.assert_array_equal(loaded.reference.classes, model.reference.classes)
    np.testing.assert_array_equal(loaded.reference.calibration, model.reference.calibration)
    np.testing.assert_array_equal(loaded.reference.calibration_classes, model.reference.calibration_classes)
    assert (loaded.labels, loaded.features, loaded.card) == (model.labels, model.features, model.card)
    assert loaded.sha256 == model_digest(weights)
    assert model_metadata(weights) == json.loads(json.dumps(model.metadata))


def test_convolutional_model_comes_back_as_it_was_saved(
    diffraction_model: Model, diffraction_weights: Path, images: torch.Tensor
) -> None:
    loaded = load_model(diffraction_weights)
    assert isinstance(loaded.network, ConvNet)
    assert loaded.network.shape == diffraction_model.network.shape == model_shape(diffraction_weights)
    saved = diffraction_model.network.state_dict()
    assert loaded.network.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.network.state_dict().items())
    points = representations(diffraction_model.network, images)
    assert torch.equal(representations(loaded.network, images), points)
    assert (loaded.labels, loaded.features) == (diffraction_model.labels, diffraction_model.features)
    assert model_metadata(diffraction_weights)["architecture"] == "diffraction"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, r"has model format 2, this version of crysift reads 5: train the model again"),
        (
            {"architecture": "oracle"},
            r"architecture 'oracle', this version of crysift knows arise, diffraction",
        ),
    ],
)
def test_model_of_another_version_is_refused_saying_what_to_do(
    weights: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    data = (weights / MODEL_FILE).read_bytes()
    metadata = {**model_metadata(weights), **changes}
    altered = save(load(data), metadata={"crysift": json.dumps(metadata)})
    (tmp_path / MODEL_FILE).write_bytes(altered)
    (tmp_path / DIGEST_FILE).write_text(hashlib.sha256(altered).hexdigest(), encoding="ascii")
    with pytest.raises(CrysiftError, match=message):
        load_model(tmp_path)


def test_confidence_comes_back_as_it_was_saved(model: Model, tmp_path: Path) -> None:
    confidence = Confidence(temperature=0.8, information_threshold=0.25)
    save_model(replace(model, confidence=confidence), tmp_path)
    assert load_model(tmp_path).confidence == model_confidence(tmp_path) == confidence


@pytest.mark.parametrize("changes", [{"temperature": 0.0}, {"temperature": 100.0}, {"temperature": math.nan}])
def test_a_temperature_out_of_range_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(CrysiftError, match=r"the temperature .* is outside \[0.05, 20\]"):
        Confidence(**changes)


def test_a_threshold_that_is_not_positive_is_refused() -> None:
    with pytest.raises(CrysiftError, match="the mutual information 0 is not positive"):
        Confidence(information_threshold=0.0)


def test_saving_twice_gives_the_same_bytes(model: Model, weights: Path, tmp_path: Path) -> None:
    assert save_model(model, tmp_path) == model_digest(weights)


def test_changed_file_is_refused(weights: Path, tmp_path: Path) -> None:
    data = bytearray((weights / MODEL_FILE).read_bytes())
    data[-1] ^= 1
    (tmp_path / MODEL_FILE).write_bytes(data)
    (tmp_path / DIGEST_FILE).write_bytes((weights / DIGEST_FILE).read_bytes())
    with pytest.raises(CrysiftError, match=r"SHA-256 .* the file is damaged or was exchanged"):
        load_model(tmp_path)


def test_unknown_model_is_refused_naming_what_there_is() -> None:
    with pytest.raises(CrysiftError, match=r"no model 'arise-unheard'.*arise-robust"):
        load_model("arise-unheard")


def test_missing_digest_is_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_bytes((weights / MODEL_FILE).read_bytes())
    with pytest.raises(CrysiftError, match=f"{DIGEST_FILE} is missing"):
        load_model(tmp_path)


def test_metadata_of_a_model_that_was_trained_anew_is_read_anew(model: Model, tmp_path: Path) -> None:
    save_model(replace(model, card={"note": "first"}), tmp_path)
    assert model_metadata(tmp_path)["card"] == {"note": "first"}
    save_model(replace(model, card={"note": "second"}), tmp_path)
    assert model_metadata(tmp_path)["card"] == {"note": "second"}
    assert load_model(tmp_path).card == {"note": "second"}


def test_card_of_the_shipped_model_is_made_of_what_is_stored_with_it() -> None:
    stored = (model_folder("arise-robust") / CARD_FILE).read_text(encoding="utf-8")
    assert card_text(load_model("arise-robust")) == stored


def test_shipped_model_reached_what_is_asked_of_it() -> None:
    accuracies = load_model("arise-robust").card["results"]["accuracies"]
    assert len(accuracies) == 3 + len(BENCHMARK_DEFECTS)
    assert min(accuracies.values()) >= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("defect", [Defect(displacement=0.02), Defect(vacancies=0.10)], ids=str)
def test_shipped_model_is_as_accurate_as_its_card_says_on_new_draws(defect: Defect) -> None:
    model = load_model("arise-robust")
    structures = list(defective(defect_hosts(), defect, draws=1, seed=2026))
    features = soap_features(structures_table(structures), SoapSettings())
    vectors = fixed_size_values(contiguous(features["vector"])).reshape(len(structures), -1).copy()
    classes = np.array([model.labels.index(label_of(s.structure_id)) for s in structures])
    spread = 0.004  # two of 588 structures
    stated = model.card["results"]["accuracies"][str(defect)]
    assert accuracy(model, vectors, classes, passes=200) >= stated - spread


def test_a_path_is_never_taken_for_the_name_of_a_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(replace(load_model("arise-robust"), card={"note": "mine"}), tmp_path / "arise")
    assert load_model("./arise").card == {"note": "mine"}
    assert load_model(Path("arise")).card == {"note": "mine"}
    assert load_model("arise").card != {"note": "mine"}


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_text("version https://git-lfs.github.com/spec/v1", encoding="ascii")
    (tmp_path / DIGEST_FILE).write_text("0" * 64, encoding="ascii")
    with pytest.raises(CrysiftError, match=MODEL_FILE):
        model_metadata(tmp_path)
