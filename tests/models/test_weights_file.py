"""A model that is saved comes back as it was, and nothing else is accepted in its place."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.soap import SoapSettings
from engine.descriptors.soap.stage import soap_features
from engine.errors import CrysiftError
from engine.structure import structures_table
from models.training.card import card_text
from models.training.defects import Defect, defective
from models.training.evaluate import accuracy
from models.training.replicas import defect_hosts, label_of
from models.weights_file import (
    CARD_FILE,
    DIGEST_FILE,
    MODEL_FILE,
    AriseModel,
    load_model,
    model_digest,
    model_folder,
    model_metadata,
    save_model,
)


def test_model_comes_back_as_it_was_saved(model: AriseModel, weights: Path, vectors: torch.Tensor) -> None:
    loaded = load_model(weights)
    torch.testing.assert_close(loaded.network(vectors), model.network(vectors), rtol=0, atol=0)
    np.testing.assert_array_equal(loaded.reference.directions, model.reference.directions)
    np.testing.assert_array_equal(loaded.reference.classes, model.reference.classes)
    np.testing.assert_array_equal(loaded.reference.calibration, model.reference.calibration)
    np.testing.assert_array_equal(loaded.reference.calibration_classes, model.reference.calibration_classes)
    assert (loaded.labels, loaded.soap, loaded.card) == (model.labels, model.soap, model.card)
    assert loaded.sha256 == model_digest(weights)
    assert model_metadata(weights) == json.loads(json.dumps(model.metadata))


def test_saving_twice_gives_the_same_bytes(model: AriseModel, weights: Path, tmp_path: Path) -> None:
    assert save_model(model, tmp_path) == model_digest(weights)


def test_changed_file_is_refused(weights: Path, tmp_path: Path) -> None:
    data = bytearray((weights / MODEL_FILE).read_bytes())
    data[-1] ^= 1
    (tmp_path / MODEL_FILE).write_bytes(data)
    (tmp_path / DIGEST_FILE).write_bytes((weights / DIGEST_FILE).read_bytes())
    with pytest.raises(CrysiftError, match=r"SHA-256 .* the file is damaged or was exchanged"):
        load_model(tmp_path)


def test_unknown_model_is_refused_naming_what_there_is() -> None:
    with pytest.raises(CrysiftError, match=r"no model 'arise-unheard'.*arise-quip"):
        load_model("arise-unheard")


def test_missing_digest_is_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_bytes((weights / MODEL_FILE).read_bytes())
    with pytest.raises(CrysiftError, match=f"{DIGEST_FILE} is missing"):
        load_model(tmp_path)


def test_metadata_of_a_model_that_was_trained_anew_is_read_anew(model: AriseModel, tmp_path: Path) -> None:
    save_model(replace(model, card={"note": "first"}), tmp_path)
    assert model_metadata(tmp_path)["card"] == {"note": "first"}
    save_model(replace(model, card={"note": "second"}), tmp_path)
    assert model_metadata(tmp_path)["card"] == {"note": "second"}
    assert load_model(tmp_path).card == {"note": "second"}


def test_card_of_the_shipped_model_is_made_of_what_is_stored_with_it() -> None:
    stored = (model_folder("arise-quip") / CARD_FILE).read_text(encoding="utf-8")
    assert card_text(load_model("arise-quip")) == stored


def test_shipped_model_reached_what_is_asked_of_it() -> None:
    accuracies = load_model("arise-quip").card["results"]["accuracies"]
    assert len(accuracies) == 8
    assert min(accuracies.values()) >= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("defect", [Defect(displacement=0.02), Defect(vacancies=0.10)], ids=str)
def test_shipped_model_is_as_accurate_as_its_card_says_on_new_draws(defect: Defect) -> None:
    model = load_model("arise-quip")
    structures = list(defective(defect_hosts(), defect, draws=1, seed=2026))
    features = soap_features(structures_table(structures), SoapSettings())
    vectors = fixed_size_values(contiguous(features["vector"])).reshape(len(structures), -1).copy()
    classes = np.array([model.labels.index(label_of(s.structure_id)) for s in structures])
    spread = 0.004  # two of 588 structures
    stated = model.card["results"]["accuracies"][str(defect)]
    assert accuracy(model, vectors, classes, passes=200) >= stated - spread
