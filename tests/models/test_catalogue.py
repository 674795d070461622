"""Every model that a name stands for is listed with what its file says, and a broken one with the reason."""

import os
from pathlib import Path

import pytest

from models.catalogue import named_models
from models.network import PerceptronShape
from models.stage import PredictArise, PredictDiffraction
from models.weights_file import DIGEST_FILE, MODEL_FILE, MODELS_VARIABLE, WEIGHTS, Model, save_model

PARAMETERS = 371_820


def test_shipped_models_come_first_and_the_defaults_are_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    entries = {entry.name: entry for entry in named_models()}
    assert all(entry.folder.parent == WEIGHTS and not entry.error for entry in entries.values())
    arise, diffraction = entries[PredictArise.weights], entries[PredictDiffraction.weights]
    assert (arise.architecture, arise.classes) == ("arise", 108)
    assert arise.features["basis"] == "quip"
    assert (diffraction.architecture, diffraction.classes) == ("diffraction", 4)
    assert "channels" in diffraction.features


def test_models_of_the_users_folders_are_listed_unless_their_name_is_taken(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    for folder in (mine / "own", theirs / "own", theirs / PredictArise.weights):
        save_model(model, folder)
    monkeypatch.setenv(MODELS_VARIABLE, os.pathsep.join(map(str, (mine, theirs))))
    entries = {entry.name: entry for entry in named_models()}
    assert entries["own"].folder == mine / "own"
    assert entries[PredictArise.weights].folder.parent == WEIGHTS
    assert model.network.shape == PerceptronShape()
    assert entries["own"].parameters == PARAMETERS
    assert entries["own"].features == model.features


def test_a_model_that_could_not_be_loaded_is_listed_with_what_is_wrong(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model, tmp_path / "no-digest")
    (tmp_path / "no-digest" / DIGEST_FILE).unlink()
    save_model(model, tmp_path / "other-shape")
    file = tmp_path / "other-shape" / MODEL_FILE
    file.write_bytes(file.read_bytes().replace(b"hidden", b"hidded"))
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    errors = {entry.name: entry.error for entry in named_models()}
    assert "is missing or empty" in errors["no-digest"]
    assert "hidded" in errors["other-shape"]


@pytest.mark.parametrize("content", [b"", b"\x10\x00\x00\x00\x00\x00\x00\x00{not json at all"])
def test_a_broken_model_is_listed_with_what_is_wrong(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / MODEL_FILE).write_bytes(content)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    (broken,) = (entry for entry in named_models() if entry.name == "broken")
    assert broken.error
    assert broken.classes == 0
