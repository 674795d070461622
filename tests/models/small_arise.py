"""A small network of a few prototypes, trained in a second: what larger ones are extended like."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

from models.network import PerceptronShape
from models.prototypes import class_prototypes
from models.training.arise import calibrate, perceptron_for, reference_of
from models.training.grid import GridSettings
from models.training.recipe import Recipe, Workplace
from models.training.train import TrainingSettings, train
from models.weights_file import Model, save_model

LABELS = ("fcc_Cu_A_cF4_225_a", "CsCl", "RockSalt_NaCl", "BN")
SOAP = {"cutoff": 4.0, "sigma": 0.1, "scale": 1.0, "basis": "quip"}
RECIPE = Recipe(GridSettings((4.0,), (0.1,), (0.95, 1.0, 1.05)), draws=4)


def small_model(work: Path, recipe: Recipe = RECIPE) -> Model:
    """Train a network of four classes by a small recipe, and calibrate it."""
    data = Workplace(work).training_vectors(recipe, class_prototypes(LABELS), LABELS)
    shape = PerceptronShape(hidden=(64, 32), classes=len(LABELS))
    settings = TrainingSettings(epochs=30, batch=16, learning_rate=3e-3, sparsity=0.0)
    trained = train(partial(perceptron_for, shape), *data.all, settings)
    card = {"settings": {"recipe": asdict(recipe)}}
    reference = reference_of(data, recipe)
    return calibrate(Model(trained.network, LABELS, dict(SOAP), reference, card), work)


def small_weights(folder: Path) -> Path:
    """The network as a folder of weights."""
    save_model(small_model(folder / "work"), folder)
    return folder
