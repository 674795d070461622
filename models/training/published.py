"""The published network as a model: weights from its Keras file, everything else from the prototypes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import CrysiftError
from engine.execution.events import Listener, ignore
from models.confidence import Confidence
from models.keras import TABLE_1, KerasPerceptron, perceptron, read_keras
from models.prototypes import prototypes
from models.training.arise import calibrate, features_of, reference_of
from models.training.card import versions, write_model
from models.training.grid import GridSettings
from models.training.recipe import Recipe, Workplace
from models.training.train import plain_logits
from models.weights_file import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.network import Perceptron

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]

LEAST_ACCURACY = 0.9
"""Share of the pristine structures that a network in the right order of classes gets right, by far."""
REFERENCE = Recipe(grid=GridSettings((4.0,), (0.1,), (0.95, 1.0, 1.05)))
"""The vectors that distances are measured to; at its centre the published network reads structures."""

CARD = """\
# Imported ARISE network

Weights read from `{file}` (SHA-256 `{sha256}`), an HDF5 file of Keras 2: the network of A. Leitherer,
A. Ziletti, L. M. Ghiringhelli, Nat. Commun. 12, 6234 (2021), if that is the file its authors published. They
are under the licence of that file. Nothing was trained here.

* Layers {layers}, {parameters:,} parameters, dropout {dropout} ({dropout_source})
* Reads SOAP vectors with {features}, as they are: inputs are not standardised
* Order of the classes: {order}

## Accuracy

{accuracy:.2f} % of the {pristine} pristine structures, dropout off. Probabilities are as the network gives
them (temperature 1); {temperature} would calibrate them best on this project's defective structures.

## Out of distribution

`ood_score` is the distance to the nearest of {reference:,} vectors of pristine structures in the joint space
of the descriptor's, the first and the last hidden layer's directions, in units of the 95th percentile of
{calibration:,} defective structures made from this project's prototypes: {calibration_kinds}.

## Versions

{versions}
"""


@dataclass(frozen=True)
class ImportSettings:
    """What a file of weights does not say by itself."""

    labels: tuple[str, ...] | None = None
    """Labels in the order of the file's classes; None: sorted, as the authors' are."""
    dropout: float | None = None
    """Dropout ratio; None: as the file says."""


def published_order() -> tuple[str, ...]:
    """Labels of the published network's outputs, from the first to the last.

    They are sorted by code point, as the authors' repository shows (github.com/angeloziletti/ai4materials):
    `nn_output_layer_numerical_to_text_label.json` in `ai4materials/data/ARISE/Neural_network_data`, and
    `ARISE_class_info.json`, which their prediction code reads, list the same labels in that order.
    """
    return tuple(sorted(prototype.label for prototype in prototypes()))


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Read labels in the order of a network's classes from JSON: a list, or an object of number → label.

    The latter is the authors' format. Raises CrysiftError for anything else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            content = [content[str(number)] for number in range(len(content))]
    except (OSError, ValueError, KeyError) as error:
        raise CrysiftError(f"{path} cannot be read as labels: {error}") from error
    if not isinstance(content, list) or not all(isinstance(label, str) for label in content):
        raise CrysiftError(f"{path} is neither a list of labels nor an object of class number → label")
    return tuple(content)


def import_keras(
    file: str | Path,
    folder: str | Path,
    settings: ImportSettings | None = None,
    *,
    work: str | Path | None = None,
    listener: Listener = ignore,
) -> Model:
    """Write a Keras 2 file of the published layers into `folder` as a model with calibration and card.

    Its probabilities stay as published: the temperature is 1, and the card says which one would be best.
    Vectors are kept in stores under `work` (default: `folder`/work), where an interrupted call resumes.
    Raises CrysiftError where the file holds another network, or one that does not know the prototypes in the
    order of its labels.
    """
    settings, folder, file = settings or ImportSettings(), Path(folder), Path(file)
    place = Workplace(Path(work or folder / "work"), listener)
    found = read_keras(file)
    network = perceptron(found, class_places(settings.labels or published_order()), settings.dropout)
    labels = tuple(prototype.label for prototype in prototypes())
    data = place.training_vectors(REFERENCE, prototypes(), labels)
    center = REFERENCE.grid.points.index(REFERENCE.center.points[0])
    accuracy = known_share(network, data.pristine[:, center], data.classes)
    model = Model(
        network=network,
        labels=labels,
        features=features_of(REFERENCE.center),
        reference=reference_of(data, REFERENCE),
        card={
            **_provenance(file, found, settings),
            "pristine_structures": len(data.classes),
            "results": {"accuracies": {"pristine, dropout off": accuracy}},
        },
    )
    model = calibrate(model, place.folder, listener)
    card = {**model.card, "fitted_temperature": model.confidence.temperature}
    model = replace(model, confidence=Confidence(), card=card)
    return write_model(model, folder, card_text(model))


def class_places(labels: Sequence[str]) -> list[int]:
    """Where each of our classes stands among `labels`.

    Raises CrysiftError where a label is missing or foreign.
    """
    ours = [prototype.label for prototype in prototypes()]
    place = {label: number for number, label in enumerate(labels)}
    if place.keys() != set(ours) or len(labels) != len(ours):
        differing = sorted(place.keys() ^ set(ours)) or ["one twice"]
        raise CrysiftError(
            f"the labels of the file's classes are not the {len(ours)} prototypes: {', '.join(differing[:5])}"
            f"{' …' if len(differing) > 5 else ''} differ"
        )
    return [place[label] for label in ours]


def known_share(network: Perceptron, vectors: Floats, classes: Classes) -> float:
    """Accuracy on `vectors` (N, 316) of pristine structures of known `classes` (N,), dropout off.

    Raises CrysiftError where it is so low that the network's classes cannot be in our order.
    """
    right = plain_logits(network, torch.from_numpy(vectors)).argmax(dim=1).numpy() == classes
    if right.mean() < LEAST_ACCURACY:
        raise CrysiftError(
            f"the network gets {100 * right.mean():.1f} % of the {len(classes)} pristine structures right, "
            f"at least {100 * LEAST_ACCURACY:.0f} % are expected: its classes are in another order (give it, "
            "--labels), or it reads other vectors"
        )
    return float(right.mean())


def _provenance(file: Path, found: KerasPerceptron, settings: ImportSettings) -> dict[str, Any]:
    told = "given" if settings.dropout is not None else f"{len(found.dropout or ())} layers of the file"
    return {
        "imported": {
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "layers": [layer.name for layer in found.layers],
            "dropout": told,
            "order": "given" if settings.labels else "sorted labels, as published",
        },
        "versions": versions(),
    }


def card_text(model: Model) -> str:
    """Write the card of an imported model as Markdown, from what is stored with the model."""
    card, imported = model.card, model.card["imported"]
    return CARD.format(
        **{name: imported[name] for name in ("file", "sha256", "order")},
        layers=" → ".join(map(str, TABLE_1.widths)),
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        dropout=f"{model.network.shape.dropout:g}",
        dropout_source=imported["dropout"],
        features=", ".join(f"{name} {value}" for name, value in model.features.items()),
        accuracy=100 * card["results"]["accuracies"]["pristine, dropout off"],
        pristine=card["pristine_structures"],
        reference=len(model.reference.classes),
        calibration=len(model.reference.calibration),
        calibration_kinds="; ".join(card["calibration"]),
        temperature=f"{card['fitted_temperature']:.3f}",
        versions=", ".join(f"{name} {version}" for name, version in card["versions"].items()),
    )
