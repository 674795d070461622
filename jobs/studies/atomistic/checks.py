"""What was found in grains and at boundaries against what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jobs.spm.maps.quantities import title_of
from jobs.studies.atomistic.truth import box_truth
from jobs.studies.checks import Check, separation

if TYPE_CHECKING:
    from engine.spm.field import Field
    from jobs.studies.atomistic.system import System

DOUBTS = {
    "mutual_information": "mutual information",
    "predictive_entropy": "predictive entropy",
    "ood_score": "out-of-distribution score",
}


def grains_found(known: System, field: Field, at_least: float) -> list[Check]:
    """Of the boxes inside each grain, the share whose class is the grain's."""
    truth = box_truth(known, field.grid)
    checks = []
    for index, grain in enumerate(known.grains):
        inside = truth.inside(index) & field.classified[0]
        right = is_class(field, grain.prototype)[inside]
        finding = f"{grain.name}: share of {title_of(grain.prototype)} in the {len(right):,} boxes inside"
        checks.append(Check(finding, float(right.mean()) if len(right) else np.nan, at_least))
    return checks


def only_there(known: System, field: Field, grain: int, at_least: float) -> Check:
    """Of the boxes with a grain's class, the share that has most of its atoms in that grain."""
    truth = box_truth(known, field.grid)
    place = known.grains[grain]
    found = is_class(field, place.prototype) & truth.filled
    right = (2 * truth.atoms[grain] > truth.atoms.sum(axis=0))[found]
    finding = f"{title_of(place.prototype)}: share of its {len(right):,} boxes that are mostly {place.name}"
    return Check(finding, float(right.mean()) if len(right) else np.nan, at_least)


def in_doubt_at_boundaries(known: System, field: Field, at_least: float | None = 0.9) -> list[Check]:
    """How well measures of doubt tell boxes on boundaries from boxes inside grains.

    The check is of the out-of-distribution score; the other measures are stated beside it. A network that was
    trained on disorder is seldom in doubt which class it is nearest to, but it tells how far that is.
    """
    truth = box_truth(known, field.grid)
    classified = field.classified[0]
    boundary, interior = truth.boundary & classified, truth.interior & classified
    sizes = f"{int(boundary.sum()):,} boxes at boundaries from {int(interior.sum()):,} inside"
    checks = []
    for name, words in DOUBTS.items():
        values = getattr(field, name)[0]
        area = separation(values[boundary], values[interior])
        limit = at_least if name == "ood_score" else None
        checks.append(Check(f"{words}: separation of {sizes}", area, limit))
        ratio = _mean(values[boundary]) / _mean(values[interior])
        checks.append(Check(f"{words}: mean at boundaries / mean inside", ratio))
    return checks


def is_class(field: Field, prototype: str) -> NDArray[np.bool_]:
    """Mark the boxes (nx, ny, nz) of the first frame whose most probable prototype is this one."""
    if prototype not in field.labels:
        return np.zeros(field.prototype.shape[1:], np.bool_)
    return np.asarray(field.prototype[0] == field.labels.index(prototype))


def _mean(values: NDArray[np.floating]) -> float:
    return float(values.mean()) if len(values) else float("nan")
