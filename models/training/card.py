"""The model card: what a reader should know before trusting a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.weights_file import AriseModel

TEMPLATE = """\
# ARISE network

Bayesian neural network (Monte-Carlo dropout) that assigns a crystal structure, through its SOAP vector,
to one of {classes} prototypes. Architecture and protocol: A. Leitherer, A. Ziletti, L. M. Ghiringhelli,
Nat. Commun. 12, 6234 (2021). Trained from scratch on this project's own descriptors; no published
weights are used.

* Layers {layers}, {parameters:,} parameters, dropout {dropout}
* Reads SOAP vectors with {soap}

## Training data

{vectors:,} vectors of pristine structures made from `models/data/prototypes.json`; no defective
structure was trained on. SHA-256 of the vectors: `{data_hash}`.

{settings}
* best epoch {best_epoch}, validation accuracy {validation:.2f} %

The published protocol is a constant learning rate of 2.16e-4 and no `sparsity`. Here the learning rate
falls along a cosine, and `sparsity` is the weight of the mean hidden activation in the loss: it leaves
more hidden units at zero, which inference skips.

## Accuracy

Percent correct. Defective structures: {draws} random draws of each of 588 structures (three supercells
of every prototype, periodic and as clusters, and the nanotubes); δ is the largest displacement per
coordinate in units of d_NN, η the share of atoms removed; mean of {passes} dropout passes.

{accuracies}

## Out of distribution

{unknown} AFLOW prototypes that are none of the classes, against defective known ones: mild (δ 1 %, δ 4
%, η 5 %) and strong (δ 10 %, η 20 %, both 20 % and 4 %). AUROC, and the share of known structures above
the threshold that finds 95 % of the unknown ones.

The layer, the distance and `sparsity` were chosen by comparing such figures on the same unknown
prototypes (with other draws of the defects), so they are slightly optimistic for prototypes at large.

{detection}

`ood_score` is the distance to the nearest of {reference:,} training vectors between directions of the
last hidden layer's activations, in units of the 95th percentile of {calibration:,} known structures that
were not trained on: {calibration_kinds}.
`ood_p_value` is taken among those whose nearest training vector is of the same class ({fewest} or more).
At a threshold α every class gives about a share α of false alarms over this mixture of defects; a single
kind of defect can give more.

## Versions

{versions}
"""


def card_text(model: AriseModel) -> str:
    """Write the card as Markdown, from what is stored with the model."""
    card, shape = model.card, model.network.shape
    results, settings = card["results"], card["settings"]
    return TEMPLATE.format(
        classes=shape.classes,
        layers=" → ".join(map(str, shape.widths)),
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        dropout=shape.dropout,
        soap=", ".join(f"{name} {value}" for name, value in model.soap.items()),
        vectors=card["training_vectors"],
        data_hash=card["training_data_sha256"],
        settings=_settings({**settings["grid"], **settings["optimisation"]}),
        best_epoch=card["best_epoch"]["number"],
        validation=100 * card["best_epoch"]["validation_accuracy"],
        draws=settings["draws"],
        passes=settings["passes"],
        accuracies=_accuracies(results["accuracies"]),
        unknown=results["unknown_prototypes"],
        detection=_detection(results["detection"]),
        reference=len(model.reference.classes),
        calibration=len(model.reference.calibration),
        fewest=np.unique(model.reference.calibration_classes, return_counts=True)[1].min(),
        calibration_kinds="; ".join(card["calibration"]),
        versions=", ".join(f"{name} {version}" for name, version in card["versions"].items()),
    )


def _settings(settings: dict[str, Any]) -> str:
    return "\n".join(
        f"* {name}: {', '.join(map(str, value)) if isinstance(value, tuple | list) else value}"
        for name, value in settings.items()
    )


def _accuracies(accuracies: dict[str, float]) -> str:
    rows = [f"| {name} | {100 * value:.2f} |" for name, value in accuracies.items()]
    return "\n".join(["| set | % correct |", "|---|---|", *rows])


def _detection(table: dict[str, dict[str, dict[str, float]]]) -> str:
    known = list(next(iter(table.values())))
    rows = [["score", *(f"{name}: {figure}" for name in known for figure in ("AUROC", "false alarms"))]]
    rows.append(["---"] * len(rows[0]))
    for score, row in table.items():
        figures = (row[name][figure] for name in known for figure in ("auroc", "false_alarms"))
        rows.append([f"`{score}`", *(f"{figure:.3f}" for figure in figures)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
