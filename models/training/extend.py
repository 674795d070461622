"""Give a trained ARISE network further classes, by fine-tuning it on old and new ones together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.errors import check_between
from engine.execution.events import Listener, ignore
from models.network import Perceptron
from models.prototypes import Prototype, class_prototypes, record_of
from models.sampled_networks import check_passes
from models.training.additions import Addition, extensible
from models.training.arise import calibrate, center_of, reference_of
from models.training.before_after import Judged, judge, overall, validation_set
from models.training.card import versions, write_model
from models.training.defects import Defect
from models.training.distortions import Distortion
from models.training.grid import GridSettings
from models.training.recipe import MOST, Recipe, TrainingVectors, Workplace
from models.training.train import EpochListener, Trained, TrainingSettings, train
from models.weights_file import Model

MOST_VALUES = 3
"""Of a dimension of the grid with more values than this, every second one is trained on."""

MIXED_SHARE = 3
"""Of the base's vectors with mixed scales, one in so many."""

MOST_PIECES = 4
"""Pieces of every prototype."""


@dataclass(frozen=True)
class ExtensionSettings:
    """What determines an extended network besides its base and the new classes."""

    optimisation: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=30, batch=64, learning_rate=2e-4)
    )
    draws: int = 10
    """Defective variants to train on per structure of the old classes, if the base was trained on such."""
    draws_of_new: int = 40
    """Likewise of the new classes; the network knows the old ones already."""
    validation_draws: int = 1
    """Defective variants per structure of the old classes and kind of defect in the validation."""
    validation_draws_of_new: int = 10
    """Likewise of the new classes, which are fewer."""
    passes: int = 200
    """Dropout passes per structure in the validation."""

    def __post_init__(self) -> None:
        for draws in ("draws", "draws_of_new"):
            check_between(f"extension: {draws}", getattr(self, draws), 0, MOST)
        for draws in ("validation_draws", "validation_draws_of_new"):
            check_between(f"extension: {draws}", getattr(self, draws), 1, MOST)
        check_passes(self.passes)


def extend_arise(
    folder: str | Path,
    base: Model,
    addition: Addition,
    settings: ExtensionSettings | None = None,
    *,
    work: str | Path | None = None,
    listener: Listener = ignore,
    on_epoch: EpochListener = lambda _: None,
) -> Model:
    """Teach a network further classes, and write the model into `folder`.

    All weights are trained on, with the old classes' vectors beside the new ones', made by the base's recipe.
    Temperature and distances to the training data are calibrated anew. Vectors are kept under `work`
    (default: `folder`/work), where an interrupted call resumes and further extensions find those of the old
    classes. Returns the model as `load_model` reads it. Raises CrysiftError for a base of another
    architecture.
    """
    settings = settings or ExtensionSettings()
    folder = Path(folder)
    place = Workplace(Path(work or folder / "work"), listener)
    torch.set_num_threads(1)  # the layers are too small for more to pay, and sums keep their order
    network, labels = extensible(base), (*base.labels, *addition.labels)
    old = class_prototypes(base.labels, base.card.get("added", ()))
    recipe = rehearsal(base)
    data = _joined(
        _training_vectors(place, _with_draws(recipe, settings.draws), old, labels),
        _training_vectors(place, _with_draws(recipe, settings.draws_of_new), addition.prototypes, labels),
    )
    trained = train(partial(_widened, network, len(labels)), *data.all, settings.optimisation, on_epoch)
    model = replace(
        base,
        network=trained.network,
        labels=labels,
        reference=reference_of(data, recipe),
        card={**base.card, "added": [*base.card.get("added", ()), *map(record_of, addition.prototypes)]},
    )
    calibration = _place(place, "calibration", (*old, *addition.prototypes)).folder
    model = calibrate(model, calibration, listener, distorted=recipe.distorted > 0)
    judged = _judged(base, model, (old, addition.prototypes), settings, place)
    model.card["extensions"] = [
        *base.card.get("extensions", ()),
        _account(base, addition, settings, recipe, trained, judged),
    ]
    model.card["results"] = {"accuracies": overall(judged)}
    return write_model(model, folder)


def rehearsal(base: Model) -> Recipe:
    """The recipe that the base was trained by, with fewer points of the grid and fewer pieces.

    A model that does not tell its recipe is taken for one of pristine structures.
    """
    told = base.card.get("settings", {}).get("recipe")
    recipe = Recipe() if told is None else _recipe(told)
    grid, features = recipe.grid, base.features
    thinned = GridSettings(
        cutoffs=_thinned(grid.cutoffs, features["cutoff"]),
        sigmas=_thinned(grid.sigmas, features["sigma"]),
        scales=_thinned(grid.scales, features["scale"]),
        basis=features["basis"],
        smearings=_thinned(grid.smearings, 0.0),
        mixed=grid.mixed // MIXED_SHARE,
        mixed_scales=grid.mixed_scales or grid.scales,
    )
    return replace(recipe, grid=thinned, pieces=min(recipe.pieces, MOST_PIECES))


def _recipe(told: dict[str, Any]) -> Recipe:
    """Read a recipe from JSON values."""
    grid: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in told["grid"].items()
    }
    made = {"strongest": Defect, "distortion": Distortion}
    parts = {name: kind(**told[name]) for name, kind in made.items() if name in told}
    return Recipe(**{**told, "grid": GridSettings(**grid), **parts})


def _thinned(values: tuple[float, ...], kept: float) -> tuple[float, ...]:
    """Every second value if there are many, among them `kept`."""
    if len(values) <= MOST_VALUES:
        return values
    return values[values.index(kept) % 2 :: 2] if kept in values else values[::2]


def _with_draws(recipe: Recipe, draws: int) -> Recipe:
    return replace(recipe, draws=min(recipe.draws, draws), draws_of_smallest=0)


def _place(place: Workplace, name: str, of: Sequence[Prototype], *determined_by: object) -> Workplace:
    """A folder below, under a name that tells prototypes and settings."""
    digest = hashlib.sha256(repr(determined_by).encode())
    for prototype in of:
        digest.update(repr(record_of(prototype)).encode())
    return replace(place, folder=place.folder / f"{name}-{digest.hexdigest()[:12]}")


def _training_vectors(
    place: Workplace, recipe: Recipe, of: Sequence[Prototype], labels: Sequence[str]
) -> TrainingVectors:
    return _place(place, "training", of, recipe).training_vectors(recipe, of, labels)


def _joined(one: TrainingVectors, other: TrainingVectors) -> TrainingVectors:
    return TrainingVectors(
        pristine=np.concatenate([one.pristine, other.pristine]),
        classes=np.concatenate([one.classes, other.classes]),
        further=np.concatenate([one.further, other.further]),
        further_classes=np.concatenate([one.further_classes, other.further_classes]),
        ids=one.ids + other.ids,
        crystals=np.concatenate([one.crystals, len(one.further) + other.crystals]),
        crystal_ids=one.crystal_ids + other.crystal_ids,
    )


def _widened(base: Perceptron, classes: int, vectors: torch.Tensor) -> Perceptron:  # noqa: ARG001 -- see `train`
    """The base with more classes: its weights and standardisation, and random weights to the new classes."""
    network = Perceptron(replace(base.shape, classes=classes))
    network.mean.copy_(base.mean)
    network.std.copy_(base.std)
    with torch.no_grad():
        for layer, trained in zip(network.linear_layers, base.linear_layers, strict=True):
            layer.weight[: len(trained.weight)] = trained.weight
            layer.bias[: len(trained.bias)] = trained.bias
    return network


def _judged(
    base: Model,
    model: Model,
    old_and_new: tuple[Sequence[Prototype], Sequence[Prototype]],
    settings: ExtensionSettings,
    place: Workplace,
) -> list[Judged]:
    """Compare the two models on defective structures of the old classes, and the extended on the new."""
    draws = (settings.validation_draws, settings.validation_draws_of_new)
    old, new = (validation_set(of, count) for of, count in zip(old_and_new, draws, strict=True))
    center = center_of(base)
    vectors = [
        _place(place, "validation", of, count, center).central_vectors("validation", each.structures, center)
        for of, count, each in zip(old_and_new, draws, (old, new), strict=True)
    ]
    return judge(base, model, (old, new), vectors, settings.passes)


def _account(
    base: Model,
    addition: Addition,
    settings: ExtensionSettings,
    recipe: Recipe,
    trained: Trained,
    judged: Sequence[Judged],
) -> dict[str, Any]:
    """What the card says about the extension."""
    return {
        "base": {"sha256": base.sha256, "classes": len(base.labels)},
        "labels": list(addition.labels),
        "neighbors": [asdict(neighbor) for neighbor in addition.neighbors],
        "settings": asdict(settings),
        "recipe": asdict(recipe),
        "best_epoch": asdict(trained.best),
        "judged": [asdict(each) for each in judged],
        "versions": versions(),
    }
