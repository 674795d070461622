"""What the network for diffraction patterns does, and what it looks at: the figures of a document.

`python -m jobs.studies.diffraction docs/diffraction.md` does all studies with the shipped model, or with the
one that is named after the document, draws the pictures beside it, and fills its blocks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engine.descriptors.diffraction import DiffractionSettings
    from jobs.studies.classifier import Classifier
    from models.convnet import ConvNet
    from models.weights_file import Model

DRAWS = 33
PASSES = 1000
UNTRAINED = 5
"""Networks with random weights that the templates are compared with."""
ELEMENT = "Cu"
"""Of the crystals whose fingerprints are shown."""
VACANT, DISPLACED = 0.5, 0.1


def studies(document: Path, weights: str, draws: int = DRAWS, passes: int = PASSES) -> dict[str, str]:
    """Do all studies, draw their pictures beside the document, and return the content of its blocks.

    Raises CrysiftError where `weights` name no model that reads patterns of one channel.
    """
    import torch

    from engine.descriptors.diffraction import DiffractionSettings
    from jobs.studies.classifier import Classifier

    torch.set_num_threads(1)  # sums keep their order
    model, network = _loaded(weights)
    settings = DiffractionSettings(**model.features)
    classifier = Classifier(model, passes)
    draw_examples(document, settings, model.labels)
    return {
        **verdicts(document, settings, classifier, draws),
        **response_maps(document, settings, network, model.labels),
    }


def verdicts(
    document: Path, settings: DiffractionSettings, classifier: Classifier, draws: int
) -> dict[str, str]:
    """Remove body centres, and displace atoms."""
    from jobs.studies.drawing import draw_lindemann, draw_transition
    from jobs.studies.sweeps import bcc_to_sc, lindemann
    from jobs.studies.tables import lindemann_table, transition_table

    transition = bcc_to_sc(classifier, settings, draws)
    draw_transition(_beside(document, "bcc-to-sc.svg"), transition.upright, classifier.labels)
    disorder = {label: lindemann(classifier, settings, label, draws) for label in classifier.labels}
    draw_lindemann(_beside(document, "lindemann.svg"), disorder)
    return {
        "bcc-to-sc": transition_table(transition, classifier.labels),
        "lindemann": lindemann_table(disorder),
    }


def draw_examples(document: Path, settings: DiffractionSettings, labels: tuple[str, ...]) -> None:
    """Draw fingerprints of pristine, vacant and displaced crystals of every class, and their differences."""
    from jobs.studies.crystals import diffracting, displaced, fingerprints, host, with_vacancies
    from jobs.studies.drawing import draw_fingerprints

    images: dict[str, dict[str, NDArray[np.float64]]] = {}
    for label in labels:
        structures = (
            host(label, ELEMENT),
            with_vacancies(label, ELEMENT, VACANT, seed=0),
            displaced(label, ELEMENT, DISPLACED, seed=0),
        )
        names = ("pristine", f"{100 * VACANT:g} % vacancies", f"displaced by {DISPLACED:g} d$_{{NN}}$")
        vectors = fingerprints([diffracting(s) for s in structures], settings).astype(np.float64)
        images[label] = dict(zip(names, vectors.reshape(len(names), 64, 64), strict=True))
    draw_fingerprints(_beside(document, "fingerprints.png"), images)


def response_maps(
    document: Path, settings: DiffractionSettings, network: ConvNet, labels: tuple[str, ...]
) -> dict[str, str]:
    """Draw what the filters respond to, and count the maxima on Bragg peaks."""
    from jobs.studies.drawing import draw_filters, draw_templates
    from jobs.studies.tables import bragg_table
    from jobs.studies.templates import class_response, untrained

    responses = [class_response(network, settings, label) for label in labels]
    draw_filters(_beside(document, "filters.png"), responses)
    draw_templates(_beside(document, "templates.png"), responses)
    random = [
        [class_response(other, settings, label) for label in labels]
        for other in untrained(network, range(UNTRAINED))
    ]
    return {"bragg": bragg_table(responses, {"untrained": random})}


def _loaded(weights: str) -> tuple[Model, ConvNet]:
    from engine.errors import CrysiftError
    from models.convnet import ConvNet
    from models.weights_file import load_model

    model = load_model(weights)
    if not isinstance(model.network, ConvNet) or model.network.shape.channels != 1:
        raise CrysiftError(
            f"the model {weights} does not read diffraction patterns of one channel: name one that "
            '`crysift train diffraction` made with channels "single"'
        )
    return model, model.network


def _beside(document: Path, name: str) -> Path:
    return document.with_name(f"{document.stem}-{name}")


def main(document: str, weights: str | None = None) -> None:
    """Do the studies and fill the document."""
    from jobs.bench.readme import fill
    from models.stage import PredictDiffraction

    path = Path(document)
    blocks = studies(path, weights or PredictDiffraction.weights)
    path.write_text(fill(path.read_text(encoding="utf-8"), blocks), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
