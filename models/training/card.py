"""The model card: what a reader should know before trusting a network."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.markdown import bullet_list, markdown_table
from models.convnet import ConvNet
from models.network import Perceptron
from models.training.distortions import Distortion
from models.training.extension_card import extension_card
from models.weights_file import CARD_FILE, Model, load_model, save_model

ARISE = """\
# ARISE network

Bayesian neural network (Monte-Carlo dropout) that assigns a crystal structure, through its SOAP vector,
to one of {classes} prototypes. Architecture and protocol: A. Leitherer, A. Ziletti, L. M. Ghiringhelli,
Nat. Commun. 12, 6234 (2021). Trained from scratch on this project's own descriptors; no published
weights are used.

* Layers {layers}, {parameters:,} parameters, dropout {dropout}
* Reads SOAP vectors with {features}

## Training data

{vectors:,} vectors of structures made from `models/data/prototypes.json`. {defects}{pieces}
SHA-256 of the vectors: `{data_hash}`.

Pristine structures are seen through descriptors with other settings than the one that is read: smearing
convolves the density with a Gaussian, as thermal motion does, and a scale below 1 is a d_NN that disorder
has shortened; in mixed vectors each pair of species has a scale of its own.

{settings}
* best epoch {best_epoch}, validation accuracy {validation:.2f} %

The published protocol is a grid of cutoffs, σ and scales without smearing, a constant learning rate of
2.16e-4 and no `sparsity`. Here the learning rate falls along a cosine, and `sparsity` is the weight of the
mean hidden activation in the loss: it leaves more hidden units at zero, which inference skips.

## Accuracy

Percent correct. Defective structures: {draws} random draws of each of 588 structures (three supercells
of every prototype, periodic and as clusters, and the nanotubes), with a seed of their own; δ is the
largest displacement per coordinate in units of d_NN, η the share of atoms removed; mean of {passes}
dropout passes.

{accuracies}

## Calibration

Expected calibration error ({bins} bins) and log loss on these structures, before and after all logits were
divided by the temperature {temperature:.3f}, which was chosen on other draws:

{calibration_table}

## Out of distribution

{unknown} AFLOW prototypes that are none of the classes, against defective known ones: mild (δ 1 %, δ 4
%, η 5 %) and strong (δ 10 %, η 20 %, both 20 % and 4 %), and against crystals of known types with other
lattice parameters and free coordinates, without defects (distorted). AUROC, and the share of known
structures above the threshold that finds 95 % of the unknown ones.

The spaces, the distance and `sparsity` were chosen by comparing such figures on the same unknown
prototypes (with other draws of the defects), so they are slightly optimistic for prototypes at large.

{detection}

`ood_score` is the distance to the nearest of {reference:,} training vectors in the joint space of the
descriptor's, the first and the last hidden layer's directions, in units of the 95th percentile of
{calibration:,} known structures that were not trained on: {calibration_kinds}.
`ood_p_value` is conformal over all of them, with distances in units of the class of the nearest training
vector, {fewest} of them or more in each. At a threshold α this mixture of defects gives a share α of false
alarms, and every class about as many; a single kind of defect can give more.

## Versions

{versions}
"""

DIFFRACTION = """\
# Diffraction network

Convolutional network with Monte-Carlo dropout that assigns a crystal, through its simulated diffraction
pattern, to one of {classes} cubic structures: {labels}. Architecture and protocol: A. Ziletti,
D. Kumar, M. Scheffler, L. M. Ghiringhelli, Nat. Commun. 9, 2775 (2018). Trained from scratch on this
project's own descriptors; no published weights are used.

* Convolutions of {kernel} × {kernel} pixels with {filters} filters, a dense layer of {dense} units,
  {parameters:,} parameters, dropout {dropout}
* Reads diffraction patterns with {features}

## Training data

{vectors:,} of {structures:,} pristine structures, the rest being held out: {elements} elements in the four
structures, each in four cell settings (conventional, primitive, primitive sheared and turned, two
conventional cells) and with four lattice parameters (0.95 to 1.10 of that at which an atom has the
volume that it has in its element). No defective structure was trained on.

The standard cell and the scaling by the mean nearest-neighbour distance take settings and lattice
parameters out: the {descriptions} images of an element in a structure differ by at most
{difference:.4f} in any pixel (the brightest is 1). So there are {crystals} distinct images, and the
held-out structures are no harder than the others. SHA-256 of the images: `{data_hash}`.

{settings}
* best epoch {best_epoch}, validation accuracy {validation:.2f} %

{light}

## Accuracy

Mean of {passes} dropout passes. Every kind of defect is made once in each of the {structures:,} pristine
structures, in a periodic crystal of about 128 atoms; displacements are standard deviations per
coordinate. All published kinds together: {right:,} of {published:,} right, {percent:.2f} %. The other
kinds are stronger. spglib is right if it finds the space group of the crystal without defects, at 0.1 Å
and 5° (loose) or 1e-4 Å and 1° (tight), on one of the sixteen descriptions of every crystal.

{accuracies}

{mistakes}

## Out of distribution

{unknown} AFLOW prototypes of other structure, against held-out cubic crystals with mild and strong
defects. AUROC, and the share of known structures above the threshold that finds 95 % of the unknown ones.

* mild: {mild}
* strong: {strong}

{detection}

`ood_score` is the distance to the nearest of {reference:,} training images, one of every structure and
element, between directions of the dense layer's activations, in units of the 95th percentile of
{calibration:,} structures that were not trained on: {calibration_kinds}.
`ood_p_value` is conformal over all of them, with distances in units of the class of the nearest training
image, {fewest:,} of them or more in each. At a threshold α this mixture of defects gives a share α of false
alarms, and every class about as many.

## Versions

{versions}
"""


def write_model(model: Model, folder: Path, text: str | None = None) -> Model:
    """Write weights, calibration and model card into `folder`; returns the model as `load_model` reads it.

    `text` is the card; None is that of a network trained here.
    """
    save_model(model, folder)
    (folder / CARD_FILE).write_text(card_text(model) if text is None else text, encoding="utf-8")
    return load_model(folder)


def versions() -> dict[str, str]:
    """What the numbers were computed with."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def card_text(model: Model) -> str:
    """Write the card as Markdown, from what is stored with the model."""
    card = model.card
    if "extensions" in card:
        return extension_card(model)
    shared = {
        "classes": model.network.shape.classes,
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "dropout": model.network.shape.dropout,
        "features": ", ".join(f"{name} {value}" for name, value in model.features.items()),
        "vectors": card["training_vectors"],
        "data_hash": card["training_data_sha256"],
        "best_epoch": card["best_epoch"]["number"],
        "validation": 100 * card["best_epoch"]["validation_accuracy"],
        "passes": card["settings"]["passes"],
        "unknown": card["results"]["unknown_prototypes"],
        "detection": _detection(card["results"]["detection"]),
        "reference": len(model.reference.classes),
        "calibration": len(model.reference.calibration),
        "fewest": np.bincount(model.reference.calibration_classes, minlength=len(model.labels)).min(),
        "calibration_kinds": "; ".join(card["calibration"]),
        "versions": ", ".join(f"{name} {version}" for name, version in card["versions"].items()),
    }
    match model.network:
        case Perceptron():
            return ARISE.format(**shared, **_of_arise(model.network, card))
        case ConvNet():
            return DIFFRACTION.format(**shared, **_of_diffraction(model, model.network, card))
        case network:
            raise TypeError(f"there is no card for a network of type {type(network).__name__}")


def _of_arise(network: Perceptron, card: dict[str, Any]) -> dict[str, Any]:
    settings, calibration = card["settings"], card["results"]["calibration"]
    recipe = settings["recipe"]
    return {
        "layers": " → ".join(map(str, network.shape.widths)),
        "defects": _defects(recipe),
        "pieces": _pieces(recipe),
        "settings": bullet_list({**recipe["grid"], **settings["optimisation"]}),
        "draws": settings["draws"],
        "accuracies": _accuracies(card["results"]["accuracies"]),
        "bins": calibration["bins"],
        "temperature": calibration["temperature"],
        "calibration_table": _calibration(calibration),
    }


def _defects(recipe: dict[str, Any]) -> str:
    """What the card says of the defective structures that were trained on."""
    if not recipe["draws"]:
        return "No defective structure was\ntrained on."
    strongest = recipe["strongest"]
    return (
        f"Besides pristine ones\nthere are {recipe['draws']} random variants of each of the 588 structures "
        f"that the tests below are made from (other\ndraws){_of_smallest(recipe)}: displacements up to "
        f"{100 * strongest['displacement']:g} % of d_NN, up to {100 * strongest['vacancies']:g} % of the "
        "atoms missing, or both." + _distorted(recipe)
    )


def _of_smallest(recipe: dict[str, Any]) -> str:
    """What the card says of the hardest hosts."""
    further = recipe.get("draws_of_smallest")
    return f", and {further} more of the smallest ones" if further else ""


def _distorted(recipe: dict[str, Any]) -> str:
    """What the card says of other lattice parameters."""
    if not recipe.get("distorted"):
        return ""
    share, undisturbed = (100 * recipe[name] for name in ("distorted", "undisturbed"))
    most = Distortion(**recipe["distortion"])
    return (
        f"\nOf the variants {share:g} % are of a crystal of the same structure type with lattice parameters "
        f"and free\ncoordinates of its own ({most}, at most), and {undisturbed:g} % are without defects."
    )


def _pieces(recipe: dict[str, Any]) -> str:
    """What the card says of the pieces that were trained on."""
    if not recipe.get("pieces"):
        return ""
    return (
        f"\nAmong them are those of {recipe['pieces']} pieces of every periodic prototype, cut out of the "
        "crystal by a box\nwith random edges and a random corner, without periodicity."
    )


def _calibration(figures: dict[str, Any]) -> str:
    heading = ("set", "error before, %", "after, %", "log loss before", "after")
    rows = []
    for name, of_set in {"all": figures["all"], **figures["sets"]}.items():
        before, after = of_set["before"], of_set["after"]
        errors = (f"{100 * each['calibration_error']:.2f}" for each in (before, after))
        rows.append([name, *errors, *(f"{each['log_loss']:.4f}" for each in (before, after))])
    return markdown_table(heading, rows)


def _of_diffraction(model: Model, network: ConvNet, card: dict[str, Any]) -> dict[str, Any]:
    results, settings, shape = card["results"], card["settings"], network.shape
    judged, published = results["judged"], results["published"]
    right, total = (sum(judged[kind][figure] for kind in published) for figure in ("right", "structures"))
    return {
        "labels": ", ".join(model.labels),
        "kernel": shape.kernel,
        "filters": ", ".join(map(str, shape.filters)),
        "dense": shape.dense,
        "structures": card["pristine_structures"],
        "elements": card["elements"],
        "descriptions": card["pristine_structures"] // card["crystals"],
        "difference": card["largest_difference"],
        "crystals": card["crystals"],
        "settings": bullet_list({**settings["optimisation"], "diffuse_light": settings["diffuse_light"]}),
        "light": _light(settings["diffuse_light"]),
        "right": right,
        "published": total,
        "percent": 100 * right / max(total, 1),
        "accuracies": _beside_spglib(judged, results["spglib"]),
        "mistakes": _mistakes(judged),
        "mild": "; ".join(results["mild"]),
        "strong": "; ".join(results["strong"]),
    }


def _light(brightness: float) -> str:
    if not brightness:
        return "The published protocol has a constant learning rate; here it falls along a cosine."
    return (
        "The published protocol trains on the patterns as they are, at a constant learning rate. Here the\n"
        "learning rate falls along a cosine, and random diffuse light is added to every image trained on:\n"
        f"speckles that fall outwards, the brightest up to {brightness:g} times as bright as the brightest\n"
        "peak. Without it, the network errs on hydrogen and helium with many vacancies, where form factors\n"
        "let the peaks drown in such light. The best epoch is chosen by held-out pristine images with such\n"
        "light; how bright, wide and steep it is was chosen by the mistakes on defective crystals, so that\n"
        "the figures below are slightly optimistic."
    )


def _beside_spglib(judged: dict[str, dict[str, Any]], spglib: dict[str, dict[str, float]]) -> str:
    rows = [["set", "structures", "% correct", "wrong", "dropout off", "spglib loose, %", "tight, %"]]
    for name, verdict in judged.items():
        total, right = verdict["structures"], verdict["right"]
        found = spglib.get("pristine" if name == "pristine, held out" else name, {})
        wrong = (total - right, total - verdict["right_without_dropout"])
        shares = [f"{100 * share:.2f}" for share in found.values()] or [""] * 2
        rows.append([name, f"{total:,}", f"{100 * right / total:.2f}", *map(str, wrong), *shares])
    heading, *body = rows
    return markdown_table(heading, body)


def _mistakes(judged: dict[str, dict[str, Any]]) -> str:
    told = [
        f"* {name}: " + ", ".join(f"{mistake} ({count})" for mistake, count in verdict["mistakes"].items())
        for name, verdict in judged.items()
        if verdict["mistakes"]
    ]
    return "\n".join(["Taken for another structure, by element:", "", *told]) if told else "No mistake."


def _accuracies(accuracies: dict[str, float]) -> str:
    return markdown_table(
        ("set", "% correct"), [(name, f"{100 * share:.2f}") for name, share in accuracies.items()]
    )


def _detection(table: dict[str, dict[str, dict[str, float]]]) -> str:
    known = list(next(iter(table.values())))
    rows = [["score", *(f"{name}: {figure}" for name in known for figure in ("AUROC", "false alarms"))]]
    for score, row in table.items():
        figures = (row[name][figure] for name in known for figure in ("auroc", "false_alarms"))
        rows.append([f"`{score}`", *(f"{figure:.3f}" for figure in figures)])
    heading, *body = rows
    return markdown_table(heading, body)
