"""A trained network learns further classes, keeps the old ones, and can be extended again."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from models.inference import Inference
from models.network import Perceptron
from models.prototypes import class_prototypes
from models.training.additions import addition_to
from models.training.arise import PRISTINE, ROBUST, center_of
from models.training.card import card_text
from models.training.defects import Defect, defective
from models.training.extend import ExtensionSettings, extend_arise, rehearsal
from models.training.grid import GridSettings
from models.training.recipe import Recipe, Workplace
from models.training.replicas import defect_hosts
from models.training.train import TrainingSettings
from models.weights_file import CARD_FILE, Model, load_model, model_folder
from tests.models.small_arise import LABELS, RECIPE, small_model
from tests.models.test_additions import fluorite, rutile

QUICK = ExtensionSettings(
    optimisation=TrainingSettings(epochs=20, batch=16, learning_rate=2e-3, sparsity=0.0),
    validation_draws_of_new=2,
    passes=50,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.set_num_threads(1)
    return small_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def extended(base: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    """A folder with the model that knows fluorite as well, and the model."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("extended")
    return folder, extend_arise(folder, base, addition_to(base, [fluorite()]), QUICK)


def test_a_new_class_is_learnt_and_the_old_ones_are_kept(extended: tuple[Path, Model]) -> None:
    _, model = extended
    assert model.labels == (*LABELS, "fluorite")
    told = model.card["extensions"][-1]
    judged = {row["kind"]: row for row in told["judged"]}
    assert judged["δ 4 %"]["old"] == len(defect_hosts(class_prototypes(LABELS)))
    for kind in ("pristine", "δ 1 %", "δ 4 %", "η 10 %"):
        assert judged[kind]["added"]["fluorite"] == 1.0
        assert judged[kind]["after"] >= judged[kind]["before"] - 0.03
    assert model.card["results"]["accuracies"]["δ 1 %"] == judged["δ 1 %"]["overall"]


def test_the_new_class_is_found_by_the_written_model(extended: tuple[Path, Model], tmp_path: Path) -> None:
    folder, model = extended
    of = class_prototypes(model.labels, model.card["added"])[-1:]
    structures = list(defective(defect_hosts(of), Defect(0.02, 0.05), 1, seed=5, of=of))
    vectors = Workplace(tmp_path).central_vectors("fluorite", structures, center_of(model))
    result, *_ = Inference.of(load_model(folder), 50, seed=0)(torch.from_numpy(vectors))
    assert (result.probabilities.argmax(axis=1) == len(LABELS)).all()


def test_reference_and_calibration_cover_the_new_class(base: Model, extended: tuple[Path, Model]) -> None:
    _, model = extended
    new = len(LABELS)
    assert (model.reference.classes == new).sum() == 4 * len(RECIPE.grid.scales)
    assert (model.reference.calibration_classes == new).sum() >= 100
    assert len(model.reference.ids) == len(model.reference.classes)
    assert model.confidence != base.confidence


def test_the_card_tells_the_classes_and_what_they_cost(extended: tuple[Path, Model]) -> None:
    folder, model = extended
    card = (folder / CARD_FILE).read_text(encoding="utf-8")
    assert card == card_text(model)
    assert "| fluorite | test:fluorite | 12 | 225 |" in card
    assert "| set | old classes before | after | fluorite |" in card


def test_the_base_is_left_as_it_was(base: Model, extended: tuple[Path, Model]) -> None:
    _, model = extended
    assert base.labels == LABELS
    assert "added" not in base.card
    assert isinstance(base.network, Perceptron)
    assert isinstance(model.network, Perceptron)
    assert base.network.shape == replace(model.network.shape, classes=len(LABELS))
    assert torch.equal(base.network.mean, model.network.mean)


@pytest.mark.slow
def test_an_extended_model_is_extended_again(extended: tuple[Path, Model], tmp_path: Path) -> None:
    _, model = extended
    addition = addition_to(model, [rutile(0.30), rutile(0.32)])
    twice = extend_arise(tmp_path, model, addition, QUICK)
    assert twice.labels == (*LABELS, "fluorite", "rutile")
    assert [record["label"] for record in twice.card["added"]] == ["fluorite", "rutile", "rutile"]
    assert [each["labels"] for each in twice.card["extensions"]] == [["fluorite"], ["rutile"]]
    judged = twice.card["extensions"][-1]["judged"][1]
    assert judged["old"] == len(defect_hosts(class_prototypes(model.labels, model.card["added"])))
    assert judged["after"] >= judged["before"] - 0.03
    assert judged["added"]["rutile"] == 1.0


def test_old_classes_are_rehearsed_on_part_of_the_grid_that_they_were_trained_on(base: Model) -> None:
    assert rehearsal(base).grid == replace(RECIPE.grid, mixed_scales=RECIPE.grid.scales)
    assert rehearsal(base).draws == RECIPE.draws
    untold = rehearsal(replace(base, card={}))
    assert untold.draws == 0
    assert untold.center == Recipe().center
    assert set(untold.grid.points) < set(Recipe().grid.points)
    published = {"settings": {"recipe": {"grid": asdict(GridSettings()), "strongest": {}}}}
    thinned = rehearsal(replace(base, card=published)).grid
    assert thinned.cutoffs == (3.2, 3.6, 4.0, 4.4, 4.8)
    assert thinned.scales == (0.95, 1.0, 1.05)


@pytest.mark.parametrize(("name", "recipe"), [("arise", PRISTINE), ("arise-robust", ROBUST)])
def test_shipped_models_are_of_their_recipes_and_can_be_extended(name: str, recipe: Recipe) -> None:
    model = load_model(name)
    assert model.card["settings"]["recipe"] == json.loads(json.dumps(asdict(recipe)))
    rehearsed = rehearsal(model)
    assert replace(rehearsed, grid=recipe.grid, pieces=recipe.pieces) == recipe
    assert rehearsed.pieces < recipe.pieces
    assert rehearsed.grid.size < recipe.grid.size / 2


def test_models_are_found_by_name_in_the_folders_of_the_variable(
    extended: tuple[Path, Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, model = extended
    monkeypatch.setenv("CRYSIFT_MODELS", f"{tmp_path}:{folder.parent}")
    assert load_model(folder.name).labels == model.labels
    assert model_folder(folder.name) == folder
