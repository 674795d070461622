"""What an extension costs the old classes and how well the new ones are found, on defective structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.structure import Structure
from models.inference import Inference
from models.prototypes import Prototype
from models.training.defects import VALIDATION_SEED, Defect, defective
from models.training.replicas import defect_hosts, label_of
from models.weights_file import Model

VALIDATION_DEFECTS = (
    Defect(),
    Defect(0.01),
    Defect(0.04),
    Defect(0.10),
    Defect(vacancies=0.10),
    Defect(vacancies=0.30),
    Defect(0.04, 0.20),
)
"""Kinds of structures by which classes are judged; the first is without a defect."""

Floats = NDArray[np.float32]
Labels = NDArray[np.str_]


@dataclass(frozen=True)
class ValidationSet:
    """Structures of known class; `kinds` (n,) are the defects' names.

    Nothing was trained on those with a defect.
    """

    structures: list[Structure]
    kinds: Labels

    @property
    def labels(self) -> Labels:
        """The right answers (n,)."""
        return np.array([label_of(structure.structure_id) for structure in self.structures])


@dataclass(frozen=True)
class Judged:
    """Shares of structures of one kind that are assigned to the right class.

    `old` structures are of the base's classes, `before` is the base and `after` the extended network; `added`
    gives the share of every new class, by its label, of `new` structures each.
    """

    kind: str
    old: int
    before: float
    after: float
    new: int
    added: dict[str, float]
    overall: float
    """The share of all structures, old and new, that the extended network gets right."""


def validation_set(of: Sequence[Prototype], draws: int) -> ValidationSet:
    """`draws` variants of every host made of prototypes, of every kind; one where there is no defect."""
    hosts = defect_hosts(of)
    structures: list[Structure] = []
    kinds: list[str] = []
    for kind in VALIDATION_DEFECTS:
        count = 1 if kind == Defect() else draws
        structures += defective(hosts, kind, count, VALIDATION_SEED, of)
        kinds += [str(kind)] * (count * len(hosts))
    return ValidationSet(structures, np.array(kinds))


def judge(
    base: Model,
    model: Model,
    sets: tuple[ValidationSet, ValidationSet],
    vectors: Sequence[Floats],
    passes: int,
) -> list[Judged]:
    """Judge both models by `sets` of the old and of the new classes, whose `vectors` (n, 316) these are."""
    old, new = sets
    right_before = predicted(base, vectors[0], passes) == old.labels
    right_after = predicted(model, vectors[0], passes) == old.labels
    right_new = predicted(model, vectors[1], passes) == new.labels
    rows: list[Judged] = []
    for kind in dict.fromkeys(old.kinds.tolist()):
        of_old, of_new = old.kinds == kind, new.kinds == kind
        added = {
            label: float(right_new[of_new & (new.labels == label)].mean())
            for label in dict.fromkeys(new.labels.tolist())
        }
        before, after = float(right_before[of_old].mean()), float(right_after[of_old].mean())
        both = float(np.concatenate([right_after[of_old], right_new[of_new]]).mean())
        rows.append(Judged(kind, int(of_old.sum()), before, after, int(of_new.sum()), added, both))
    return rows


def predicted(model: Model, vectors: Floats, passes: int) -> Labels:
    """The most probable class (n,) of vectors (n, 316), by the mean of the passes."""
    probabilities = Inference.of(model, passes, seed=0)(torch.from_numpy(vectors)).uncertainty.probabilities
    return np.asarray(np.array(model.labels)[probabilities.argmax(axis=1)])


def overall(judged: Sequence[Judged]) -> dict[str, float]:
    """The share of right answers among all structures of each kind, old and new."""
    return {each.kind: each.overall for each in judged}
