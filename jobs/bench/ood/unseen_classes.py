"""Classes left out of the training: scores of networks that never saw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.bench.ood.detections import GOAL, Judgement
from jobs.bench.ood.scoring import scored
from models.training.evaluate import detection

if TYPE_CHECKING:
    from jobs.bench.ood.answers import Judged
    from models.weights_file import Model

UNSEEN = "classes left out"


def unseen_class_judgements(models: Sequence[Model], structures: Judged, passes: int) -> list[Judgement]:
    """Judge every score of every model by disordered structures of its classes and of all others.

    Both are of all seeds; the seed of a judgement is the number of the model.
    """
    mild = structures.chosen(structures.groups == GOAL)
    found = []
    for number, model in enumerate(models):
        unseen = ~np.isin(mild.origins, model.labels)
        for name, values in scored(model, mild, passes).scores.items():
            told = detection(values[~unseen], values[unseen])
            sizes = int((~unseen).sum()), int(unseen.sum())
            found.append(Judgement(name, GOAL, UNSEEN, number, told.auroc, told.false_alarms, sizes))
    return found
