"""The model card of a network that was given further classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.markdown import bullet_list, markdown_table
from models.network import Perceptron
from models.training.defects import Defect
from models.weights_file import Model

CARD = """\
# ARISE network with {added} added {classes}

Extended by fine-tuning from the model of SHA-256 `{base}…`, which has {known} classes: vectors of its
classes were trained on beside those of the new ones. The card of the shipped model tells the architecture
(A. Leitherer, A. Ziletti, L. M. Ghiringhelli, Nat. Commun. 12, 6234 (2021)) and the training that all began
with.

* Layers {layers}, dropout {dropout}
* Reads SOAP vectors with {features}

## Added classes

{prototypes}

The distance is that between the nearest SOAP vectors, of length one, of pristine structures of the two
classes, periodic or clusters. Of the 108 classes of the publication, hexagonal and rhombohedral graphite are
the nearest (0.024).

## Accuracy

Percent correct on structures that were not trained on, but for the pristine ones: {draws} random draw(s)
of each host of the old classes, and {draws_of_new} of the new ones; δ is the largest displacement per
coordinate in units of d_NN, η the share of atoms removed; mean of {passes} dropout passes.

{accuracies}

## Training

{settings}
* best epoch {best_epoch}, validation accuracy {validation:.2f} %

## Out of distribution

`ood_score` is the distance to the nearest of {reference:,} training vectors in the joint space of the
descriptor's, the first and the last hidden layer's directions, in units of the 95th percentile of
{calibration:,} structures, old and new, that were not trained on: {kinds}. `ood_p_value` is conformal over
all of them, with distances in units of the class of the nearest training vector.

## Versions

{versions}
"""


def extension_card(model: Model) -> str:
    """Write the card as Markdown, from what is stored with the model; the last extension is told in full."""
    told, network = model.card["extensions"][-1], model.network
    if not isinstance(network, Perceptron):
        raise TypeError(f"there is no extended network of type {type(network).__name__}")
    settings = told["settings"]
    return CARD.format(
        added=len(told["labels"]),
        classes="class" if len(told["labels"]) == 1 else "classes",
        base=told["base"]["sha256"][:12],
        known=told["base"]["classes"],
        layers=" → ".join(map(str, network.shape.widths)),
        dropout=network.shape.dropout,
        features=", ".join(f"{name} {value}" for name, value in model.features.items()),
        prototypes=_prototypes(model.card["added"], model.card["extensions"]),
        draws=settings["validation_draws"],
        draws_of_new=settings["validation_draws_of_new"],
        passes=settings["passes"],
        accuracies=_accuracies(told["judged"]),
        settings=_settings(settings, told["recipe"]),
        best_epoch=told["best_epoch"]["number"],
        validation=100 * told["best_epoch"]["validation_accuracy"],
        reference=len(model.reference.classes),
        calibration=len(model.reference.calibration),
        kinds="; ".join(model.card["calibration"]),
        versions=", ".join(f"{name} {version}" for name, version in told["versions"].items()),
    )


def _prototypes(records: Sequence[dict[str, Any]], extensions: Sequence[dict[str, Any]]) -> str:
    """Every class that was ever added: its examples, and what it was nearest to."""
    nearest = {near["label"]: near for extension in extensions for near in extension["neighbors"]}
    rows = [
        ["class", "structure", "atoms", "space group", "nearest class", "distance", "same structure type"]
    ]
    for record in records:
        near = nearest[record["label"]]
        told = (near["nearest"], f"{near['distance']:.3f}", near["structure_type"] or "no")
        group = record["space_group"] or ""
        rows.append([record["label"], record["source"], str(len(record["sites"])), str(group), *told])
    heading, *body = rows
    return markdown_table(heading, body)


def _accuracies(judged: Sequence[dict[str, Any]]) -> str:
    labels = list(judged[0]["added"])
    rows = [["set", "old classes before", "after", *labels]]
    for each in judged:
        shares = (each["before"], each["after"], *(each["added"][label] for label in labels))
        rows.append([each["kind"], *(f"{100 * share:.2f}" for share in shares)])
    unseen = [each for each in judged if each["kind"] != str(Defect())]
    means = np.mean([[each["before"], each["after"], *each["added"].values()] for each in unseen], axis=0)
    rows.append(["mean of those with defects", *(f"{100 * mean:.2f}" for mean in means)])
    heading, *body = rows
    return markdown_table(heading, body)


def _settings(settings: dict[str, Any], recipe: dict[str, Any]) -> str:
    """The descriptors and draws trained on, and the optimisation."""
    values = {**recipe["grid"], **settings["optimisation"]}
    if recipe["draws"]:
        values["defective variants per structure"] = (
            f"{settings['draws']}, of new classes {settings['draws_of_new']}"
        )
    return bullet_list(values)
